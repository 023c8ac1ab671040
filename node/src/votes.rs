//! What a root key has committed, kept beside it: a root signs one roster in one
//! round of an epoch and never goes back, whatever the machine it is carried to
//! knows.
//!
//! The record lies beside the key file, as `<key file>.votes`, and is on disk
//! before a signature is made. It holds the last vote in each federation:
//!
//! ```text
//! watchfire-votes 1
//! root 9b5c…
//! committed <federation> <epoch> <round> <roster>
//! end 1
//! ```
//!
//! The record of a key in a token lies where whoever signs says, or in the data
//! directory. A copy of the key on another medium has a record of its own. What the
//! federation already knows of the root's votes counts too, see
//! [`VoteRecord::learn`]; two copies of one key, used in turn on packets that do
//! not hold each other's votes, are what no file can prevent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use watchfire_crypto::PublicKey;
use watchfire_protocol::ids::{FederationId, RosterId};

use crate::disk::lock::{LockError, PidLock};
use crate::keystore::{FileError, MODE_PRIVATE, read_secret, write_atomic};

const TITLE: &str = "watchfire-votes 1";

/// A root's vote for a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of the roster.
    pub epoch: u64,
    /// In which round.
    pub round: u32,
    /// Which.
    pub roster: RosterId,
}

/// What a root has committed. No other process has it at the same time.
#[derive(Debug)]
pub struct VoteRecord {
    path: PathBuf,
    root: PublicKey,
    last: BTreeMap<FederationId, Committed>,
    _lock: PidLock,
}

/// Why a root does not sign.
#[derive(Debug, thiserror::Error)]
pub enum VotesError {
    /// The record cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not as it was written.
    #[error("{} is damaged: {why}; without it nobody knows what this root has signed, so restore it from a copy of the medium, or move it away if you are sure that this root has signed nothing for the next epoch", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// It is another key's.
    #[error("{} is the record of another root key; put each key with its own record", path.display())]
    OtherRoot {
        /// The record.
        path: PathBuf,
    },
    /// Another process signs with this key now.
    #[error("another process signs with this root key now; wait until it has ended")]
    Busy,
    /// The lock file cannot be made.
    #[error("could not lock {}: {why}; the medium of the root key must be writable, because what it signs is noted there first", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// A second roster in one round.
    #[error("this root has committed another roster, {}, in round {} of epoch {}: two in one round would prove it a cheat; vote in a later round", held.roster, held.round, held.epoch)]
    Second {
        /// What it committed.
        held: Committed,
    },
    /// An earlier round or epoch than the last.
    #[error("this root has committed {} in round {} of epoch {} already, which is later; export a packet from a node that has seen it", held.roster, held.round, held.epoch)]
    Earlier {
        /// What it committed.
        held: Committed,
    },
    /// Another roster in a later round of the same epoch.
    #[error("this root has committed another roster, {}, in round {} of epoch {}, and that one may be decided; if its proposers have given it up and every member's node has seen that vote, sign with --instead", held.roster, held.round, held.epoch)]
    Another {
        /// What it committed.
        held: Committed,
    },
}

fn beside(root_key: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = root_key.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl VoteRecord {
    /// Where the record of a key file lies.
    pub fn place(root_key: &Path) -> PathBuf {
        beside(root_key, ".votes")
    }

    /// Opens the record beside a key file; an empty one where there is none.
    ///
    /// # Errors
    /// When it is damaged or another key's, or another process has it.
    pub fn open(root_key: &Path, root: &PublicKey) -> Result<Self, VotesError> {
        Self::open_at(Self::place(root_key), root)
    }

    /// Opens the record in a file of its own, for a key that is in no file: one in
    /// a token. An empty one where there is none.
    ///
    /// # Errors
    /// As [`VoteRecord::open`].
    pub fn open_at(path: PathBuf, root: &PublicKey) -> Result<Self, VotesError> {
        let place = beside(&path, ".lock");
        let lock = PidLock::acquire(&place).map_err(|error| match error {
            LockError::Held { .. } => VotesError::Busy,
            LockError::Io(why) => VotesError::Lock { path: place, why },
        })?;
        let last = match read_secret(&path) {
            Ok(bytes) => read(&path, &bytes, root)?,
            Err(FileError::Missing { .. }) => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            path,
            root: *root,
            last,
            _lock: lock,
        })
    }

    /// The last vote in a federation.
    pub fn last(&self, federation: &FederationId) -> Option<&Committed> {
        self.last.get(federation)
    }

    /// Takes a vote of this root that the federation knows: the record may be
    /// missing, or older than the key's last use.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn learn(&mut self, federation: FederationId, known: Committed) -> Result<(), VotesError> {
        let is_later = self
            .last
            .get(&federation)
            .is_none_or(|held| (held.epoch, held.round) < (known.epoch, known.round));
        if is_later {
            self.write(federation, known)?;
        }
        Ok(())
    }

    /// Notes a vote that is about to be signed, durably. Only then may it be.
    /// `instead`: a person says that another roster, committed in an earlier
    /// round of this epoch, has been given up.
    ///
    /// # Errors
    /// When it would contradict an earlier one, or cannot be written.
    pub fn enter(
        &mut self,
        federation: FederationId,
        vote: Committed,
        instead: bool,
    ) -> Result<(), VotesError> {
        if let Some(held) = self.last.get(&federation).copied() {
            let (then, now) = ((held.epoch, held.round), (vote.epoch, vote.round));
            if now < then {
                return Err(VotesError::Earlier { held });
            }
            if now == then && vote.roster != held.roster {
                return Err(VotesError::Second { held });
            }
            if vote.epoch == held.epoch && vote.roster != held.roster && !instead {
                return Err(VotesError::Another { held });
            }
        }
        self.write(federation, vote)
    }

    fn write(&mut self, federation: FederationId, vote: Committed) -> Result<(), VotesError> {
        let mut last = self.last.clone();
        last.insert(federation, vote);
        let text = text(&self.root, &last);
        write_atomic(&self.path, text.as_bytes(), MODE_PRIVATE)?;
        self.last = last;
        Ok(())
    }
}

fn text(root: &PublicKey, last: &BTreeMap<FederationId, Committed>) -> String {
    let mut text = format!("{TITLE}\nroot {}\n", hex::encode(root.as_bytes()));
    for (federation, vote) in last {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "committed {federation} {} {} {}",
            vote.epoch, vote.round, vote.roster
        );
    }
    let _ = writeln!(text, "end {}", last.len());
    text
}

fn read(
    path: &Path,
    bytes: &[u8],
    root: &PublicKey,
) -> Result<BTreeMap<FederationId, Committed>, VotesError> {
    let damaged = |why| VotesError::Damaged {
        path: path.to_owned(),
        why,
    };
    let whole = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let mut lines = whole.lines();
    if lines.next() != Some(TITLE) {
        return Err(damaged("it does not begin as a record of votes"));
    }
    let key = lines.next().and_then(|line| line.strip_prefix("root "));
    if key.is_none() {
        return Err(damaged("it names no root key"));
    }
    if key != Some(hex::encode(root.as_bytes()).as_str()) {
        return Err(VotesError::OtherRoot {
            path: path.to_owned(),
        });
    }
    let mut last = BTreeMap::new();
    for line in lines.filter(|line| !line.starts_with("end ")) {
        let (federation, vote) = vote_of(line).ok_or_else(|| damaged("a line is no vote"))?;
        last.insert(federation, vote);
    }
    // One text for one record: a line that is cut off, doubled or out of place
    // is found.
    if text(root, &last) != whole {
        return Err(damaged("it is not whole"));
    }
    Ok(last)
}

fn vote_of(line: &str) -> Option<(FederationId, Committed)> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["committed", federation, epoch, round, roster] = words.as_slice() else {
        return None;
    };
    Some((
        federation.parse().ok()?,
        Committed {
            epoch: epoch.parse().ok()?,
            round: round.parse().ok()?,
            roster: roster.parse().ok()?,
        },
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use watchfire_crypto::SigningKey;

    use super::*;

    const FEDERATION: FederationId = FederationId::from_bytes([7; 32]);

    fn root() -> PublicKey {
        SigningKey::from_seed(&[1; 32]).public()
    }

    fn vote(epoch: u64, round: u32, roster: u8) -> Committed {
        Committed {
            epoch,
            round,
            roster: RosterId::from_bytes([roster; 32]),
        }
    }

    struct Medium(tempfile::TempDir);

    impl Medium {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn key(&self) -> PathBuf {
            self.0.path().join("root.key")
        }

        fn open(&self) -> Result<VoteRecord, VotesError> {
            VoteRecord::open(&self.key(), &root())
        }

        /// As each use of the key does: opened anew.
        fn enter(&self, vote: Committed) -> Result<(), VotesError> {
            self.open()?.enter(FEDERATION, vote, false)
        }
    }

    #[test]
    fn a_root_commits_one_roster_a_round_and_never_goes_back() {
        let medium = Medium::new();
        medium.enter(vote(3, 2, 1)).unwrap();
        medium.enter(vote(3, 2, 1)).unwrap();
        assert!(matches!(
            medium.enter(vote(3, 2, 2)),
            Err(VotesError::Second { .. })
        ));
        for earlier in [vote(3, 1, 1), vote(3, 1, 2), vote(2, 9, 1), vote(0, 1, 1)] {
            assert!(matches!(
                medium.enter(earlier),
                Err(VotesError::Earlier { .. })
            ));
        }
        medium.enter(vote(3, 3, 1)).unwrap();
        medium.enter(vote(4, 1, 9)).unwrap();
        // Not even a person who insists signs two in one round.
        let insisted = medium
            .open()
            .unwrap()
            .enter(FEDERATION, vote(4, 1, 8), true);
        assert!(matches!(insisted, Err(VotesError::Second { .. })));
    }

    #[test]
    fn another_roster_in_a_later_round_takes_a_persons_word() {
        let medium = Medium::new();
        medium.enter(vote(3, 1, 1)).unwrap();
        assert!(matches!(
            medium.enter(vote(3, 2, 2)),
            Err(VotesError::Another { .. })
        ));
        let mut record = medium.open().unwrap();
        record.enter(FEDERATION, vote(3, 2, 2), true).unwrap();
        assert_eq!(record.last(&FEDERATION), Some(&vote(3, 2, 2)));
    }

    #[test]
    fn a_lost_or_restored_record_learns_what_the_federation_knows() {
        let medium = Medium::new();
        medium.enter(vote(3, 1, 1)).unwrap();
        let old = fs::read(VoteRecord::place(&medium.key())).unwrap();
        medium.enter(vote(3, 2, 1)).unwrap();
        // A copy of the medium from before the second vote.
        fs::write(VoteRecord::place(&medium.key()), old).unwrap();
        let mut record = medium.open().unwrap();
        record.learn(FEDERATION, vote(3, 2, 1)).unwrap();
        assert!(matches!(
            record.enter(FEDERATION, vote(3, 2, 2), false),
            Err(VotesError::Second { .. })
        ));
        // What is older teaches nothing.
        record.learn(FEDERATION, vote(3, 1, 5)).unwrap();
        assert_eq!(record.last(&FEDERATION), Some(&vote(3, 2, 1)));
        drop(record);
        fs::remove_file(VoteRecord::place(&medium.key())).unwrap();
        let mut record = medium.open().unwrap();
        record.learn(FEDERATION, vote(3, 2, 1)).unwrap();
        drop(record);
        assert!(matches!(
            medium.enter(vote(3, 2, 2)),
            Err(VotesError::Second { .. })
        ));
    }

    #[test]
    fn every_damage_to_the_record_is_found() {
        let medium = Medium::new();
        medium.enter(vote(3, 1, 1)).unwrap();
        let place = VoteRecord::place(&medium.key());
        assert_eq!(
            fs::metadata(&place).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let whole = fs::read(&place).unwrap();
        for length in 0..whole.len() {
            fs::write(&place, &whole[..length]).unwrap();
            assert!(medium.open().is_err(), "cut to {length}");
        }
        let line_missing = String::from_utf8(whole.clone())
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with("committed"))
            .fold(String::new(), |text, line| text + line + "\n");
        fs::write(&place, line_missing).unwrap();
        assert!(matches!(medium.open(), Err(VotesError::Damaged { .. })));
        fs::write(&place, [&whole[..], b"end 1\n"].concat()).unwrap();
        assert!(matches!(medium.open(), Err(VotesError::Damaged { .. })));
        fs::write(&place, &whole).unwrap();
        let other = SigningKey::from_seed(&[2; 32]).public();
        assert!(matches!(
            VoteRecord::open(&medium.key(), &other),
            Err(VotesError::OtherRoot { .. })
        ));
        // One that others may write is not believed.
        fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(
            medium.open(),
            Err(VotesError::File(FileError::Exposed { .. }))
        ));
    }

    #[test]
    fn two_at_once_do_not_both_sign() {
        let medium = Medium::new();
        let first = medium.open().unwrap();
        assert!(matches!(medium.open(), Err(VotesError::Busy)));
        drop(first);
        assert!(medium.open().is_ok());
    }

    #[test]
    fn what_cannot_be_noted_is_not_signed() {
        let medium = Medium::new();
        let mut record = medium.open().unwrap();
        // In the way of the record: it cannot be put in its place.
        fs::create_dir(VoteRecord::place(&medium.key())).unwrap();
        assert!(matches!(
            record.enter(FEDERATION, vote(1, 1, 1), false),
            Err(VotesError::File(_))
        ));
        assert_eq!(record.last(&FEDERATION), None);
    }

    #[test]
    fn federations_do_not_mix() {
        let medium = Medium::new();
        medium.enter(vote(3, 1, 1)).unwrap();
        let mut record = medium.open().unwrap();
        let other = FederationId::from_bytes([8; 32]);
        record.enter(other, vote(1, 1, 2), false).unwrap();
        assert_eq!(record.last(&FEDERATION), Some(&vote(3, 1, 1)));
        drop(record);
        assert_eq!(medium.open().unwrap().last(&other), Some(&vote(1, 1, 2)));
    }
}
