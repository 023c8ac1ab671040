//! Revocations that came by file: where they lie, and how a running node takes
//! and tells them.
//!
//! `watchfire key install` checks one and puts it into `revocations/` of the data
//! directory. A running node looks there each second, takes what it does not know
//! yet, and tells everybody, as it does with whatever is said about membership.
//! It looks after the certificates, so that a node that goes on in a new life is
//! known in it before the old one ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use watchfire_protocol::ending::{
    ENDED_FILE_BYTES_MAX, SignedRevocation, revocation_from_file, revocation_to_file,
};
use watchfire_protocol::engine::{Saying, SayingRefusal};
use watchfire_protocol::gate::NoticeRefusal;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::notice::Revocation;

use crate::certificates::{InstallError, files};
use crate::home::Home;
use crate::keystore::{FileError, MODE_PUBLIC, read_bounded, write_new};
use crate::node::Node;

/// How a revocation's file ends.
const EXTENSION: &str = "revocation";

/// Looks after which one that was not taken is tried again: a minute of them. The
/// certificate it is about may come meanwhile.
const AGAIN_AFTER_LOOKS: u32 = 60;

/// Puts a revocation that was checked into the data directory. Whether it was not
/// there yet.
///
/// # Errors
/// When it cannot be written.
pub fn keep(home: &Home, revocation: &SignedRevocation) -> Result<bool, InstallError> {
    let id = revocation.to_signed::<Revocation>().id();
    let dir = home.make_revocations()?;
    let path = dir.join(format!("{}.{EXTENSION}", hex::encode(id)));
    match write_new(&path, &revocation_to_file(revocation), MODE_PUBLIC) {
        Ok(()) => Ok(true),
        Err(FileError::Exists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The revocations of a data directory that read as such. What they say is not
/// checked: a roster does that.
pub fn installed(home: &Home) -> Vec<SignedRevocation> {
    files(&home.revocations(), EXTENSION)
        .iter()
        .filter_map(|path| read(path))
        .collect()
}

fn read(path: &Path) -> Option<SignedRevocation> {
    let read = read_bounded(path, ENDED_FILE_BYTES_MAX)
        .map_err(|error| error.to_string())
        .and_then(|bytes| revocation_from_file(&bytes).map_err(|error| error.to_string()));
    match read {
        Ok(revocation) => Some(revocation),
        Err(why) => {
            tracing::warn!(file = %path.display(), %why, "revocation not read");
            None
        }
    }
}

/// Whether a roster holds this one, or a newer one of the same node.
fn is_known(roster: &Roster, revocation: &SignedRevocation) -> bool {
    let Ok(claimed) = revocation.to_signed::<Revocation>().claims() else {
        return true;
    };
    roster
        .revocation(claimed.member, &claimed.node)
        .is_some_and(|held| (held.serial, held.created_ms) >= (claimed.serial, claimed.created_ms))
}

/// What a running node does with the files.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    /// Files that need no second look: taken, or not to be read.
    seen: BTreeSet<PathBuf>,
    /// To be said, and in how many looks.
    waiting: BTreeMap<PathBuf, (SignedRevocation, u32)>,
}

impl Endings {
    /// Looks for new files and says what is not known yet; nothing when the node
    /// has ended.
    pub(crate) async fn look(&mut self, home: &Home, node: &Node) -> Option<()> {
        for (path, (revocation, looks)) in std::mem::take(&mut self.waiting) {
            if is_known(&node.roster(), &revocation) {
                continue;
            }
            if looks > 0 {
                self.waiting.insert(path, (revocation, looks - 1));
                continue;
            }
            let frame = revocation_to_file(&revocation);
            match node.say(Saying::Bring { frame }).await.ok()? {
                Ok(_) => tracing::info!(file = %path.display(), "revocation taken"),
                Err(why) => {
                    tracing::warn!(file = %path.display(), %why, "revocation not taken");
                    if may_be_taken_later(&why) {
                        self.waiting.insert(path, (revocation, AGAIN_AFTER_LOOKS));
                    }
                }
            }
        }
        // What is found now is said at the next look: a certificate that came
        // with it was told a second before.
        for path in files(&home.revocations(), EXTENSION) {
            if self.seen.insert(path.clone())
                && let Some(revocation) = read(&path)
            {
                self.waiting.insert(path, (revocation, 0));
            }
        }
        Some(())
    }
}

const fn may_be_taken_later(why: &SayingRefusal) -> bool {
    match why {
        SayingRefusal::NotNews(why) => why.passes(),
        SayingRefusal::Gate(NoticeRefusal::NotKnown | NoticeRefusal::NotHere(_)) => true,
        SayingRefusal::Gate(_)
        | SayingRefusal::Roster(_)
        | SayingRefusal::Vote(_)
        | SayingRefusal::OtherNode { .. }
        | SayingRefusal::Stale { .. }
        | SayingRefusal::Form(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::fs;

    use watchfire_protocol::ending::sign_revocation;
    use watchfire_protocol::founding::derived_federation;
    use watchfire_protocol::ids::MemberId;
    use watchfire_protocol::wire::List;
    use watchfire_protocol::wire::card::Role;
    use watchfire_protocol::wire::notice::RevocationReason;

    use super::*;

    const WALL_MS: u64 = 1_800_000_000_000;

    #[test]
    fn what_is_kept_is_read_again_and_known_once_it_or_a_newer_one_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(&dir.path().join("home")).unwrap();
        assert!(installed(&home).is_empty());
        let roles = [Role::Agency, Role::Agency];
        let (_, mut roster, keys) = derived_federation(&[4; 32], &roles, WALL_MS).unwrap();
        let root = &keys[0].root;
        let member = MemberId::of_root(&root.public());
        let node = roster.certificates_of(member).next().unwrap().node;
        let revocation = |created_ms| {
            let said = Revocation {
                federation: roster.federation(),
                member,
                root_key: root.public().to_bytes(),
                node,
                serial: 1,
                created_ms,
                reason: RevocationReason::Retired,
                cuts: List::default(),
            };
            let sign = |domain, message: &[u8]| Ok::<_, ()>(root.sign(domain, message));
            sign_revocation(&said, &root.public(), sign).unwrap()
        };
        let (one, newer) = (revocation(WALL_MS), revocation(WALL_MS + 1));
        assert!(keep(&home, &one).unwrap());
        assert!(!keep(&home, &one).unwrap(), "it is there already");
        fs::write(home.revocations().join("x.revocation"), b"rubbish").unwrap();
        assert_eq!(installed(&home), std::slice::from_ref(&one));
        assert!(!is_known(&roster, &one));
        let checked = roster.check_revocation(newer.to_signed()).unwrap();
        roster.revoke(&checked);
        assert!(is_known(&roster, &one) && is_known(&roster, &newer));
    }
}
