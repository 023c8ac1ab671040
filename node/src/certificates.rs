//! Certificates that came by file: where they lie, and how a running node takes
//! them and tells the others.
//!
//! `watchfire key install` checks a certificate and puts it into `certificates/`
//! of the data directory. A node reads them as it starts, and looks again each
//! second, so that a renewal needs no restart. It then offers its own at
//! the doors of the other members, until each has taken it: the others believe
//! what it signs only when they know the certificate it signs under; and it
//! tells it to everybody it is connected with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::identity::Keypair;
use watchfire_protocol::certify::{
    CERTIFICATE_FILE_BYTES_MAX, certificate_from_file, certificate_to_file,
};
use watchfire_protocol::ids::{CertificateId, MemberId, NodeId};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::card::CertificateBytes;
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::{DoorAnswer, DoorRequest};

use crate::clock;
use crate::home::{Home, HomeError};
use crate::keystore::{FileError, MODE_PUBLIC, read_bounded, write_new};
use crate::node::Node;
use crate::revocations::Endings;
use crate::transport::{door, peer_id_of};

/// How often a running node looks for new files: it lists one short directory.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a door that did not take a certificate is asked again.
const OFFER_EVERY: Duration = Duration::from_secs(60);

/// How often a node whose certificate ends soon says so in its log.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// From how long before its end a certificate is to be renewed: a month, since
/// a person has to go to where the root key is.
pub const RENEW_BEFORE_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Doors asked at one time: each may take 10 seconds, and a federation has some
/// tens of members.
const OFFERS_AT_ONCE: usize = 4;

/// Files read at most: a certificate each 60 days for each of a few hundred
/// nodes of a federation, for some years. What lies beyond is not read.
const FILES_MAX: usize = 4_096;

/// How a certificate's file ends.
const EXTENSION: &str = "cert";

/// Puts a certificate that was checked into the data directory. Whether it was
/// not there yet.
///
/// # Errors
/// When it cannot be written.
pub fn keep(
    home: &Home,
    id: &CertificateId,
    certificate: &CertificateBytes,
) -> Result<bool, InstallError> {
    let dir = home.make_certificates()?;
    let path = dir.join(format!("{id}.{EXTENSION}"));
    match write_new(&path, &certificate_to_file(certificate), MODE_PUBLIC) {
        Ok(()) => Ok(true),
        Err(FileError::Exists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Why a certificate was not kept.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Its directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The certificates of a data directory that read as such, oldest serial first.
/// What they say is not checked: a roster does that.
pub fn installed(home: &Home) -> Vec<CertificateBytes> {
    let mut found: Vec<(u64, CertificateBytes)> = files(&home.certificates(), EXTENSION)
        .iter()
        .filter_map(|path| read(path))
        .filter_map(|certificate| Some((certificate.claims().ok()?.serial, certificate)))
        .collect();
    found.sort_by_key(|(serial, _)| *serial);
    found
        .into_iter()
        .map(|(_, certificate)| certificate)
        .collect()
}

/// Those that have begun: one that has not is taken when its time comes.
pub fn begun(home: &Home, wall_ms: u64) -> Vec<CertificateBytes> {
    let mut found = installed(home);
    found.retain(|certificate| {
        certificate
            .claims()
            .is_ok_and(|claimed| claimed.not_before_ms <= wall_ms)
    });
    found
}

fn read(path: &Path) -> Option<CertificateBytes> {
    let read = read_bounded(path, CERTIFICATE_FILE_BYTES_MAX)
        .map_err(|error| error.to_string())
        .and_then(|bytes| certificate_from_file(&bytes).map_err(|error| error.to_string()));
    match read {
        Ok(certificate) => Some(certificate),
        Err(why) => {
            tracing::warn!(file = %path.display(), %why, "certificate not read");
            None
        }
    }
}

/// The files of a directory with this ending, in order; none where it is absent.
pub(crate) fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(directory = %dir.display(), %error, "files from the root key not read");
            }
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == extension))
        .take(FILES_MAX)
        .collect();
    paths.sort();
    paths
}

/// Takes new certificates while a node runs, and offers its own at doors.
pub(crate) struct Keeper {
    home: Home,
    node: Node,
    keypair: Keypair,
    /// Files that need no second look: taken, or not to be read.
    seen: BTreeSet<PathBuf>,
    /// Given to the node, which may have to wait for their time.
    waiting: BTreeMap<PathBuf, CertificateBytes>,
    /// Which of ours was offered last; none when it is time to offer again.
    offered: Option<CertificateId>,
    /// Who has taken which certificate of ours.
    told: BTreeSet<(MemberId, CertificateId)>,
    /// Revocations, which come after the certificates.
    endings: Endings,
}

impl Keeper {
    pub(crate) fn new(home: Home, node: Node, keypair: Keypair) -> Self {
        Self {
            home,
            node,
            keypair,
            seen: BTreeSet::new(),
            waiting: BTreeMap::new(),
            offered: None,
            told: BTreeSet::new(),
            endings: Endings::default(),
        }
    }

    /// Runs until it is dropped or the node ends.
    pub(crate) async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut offer = tokio::time::interval(OFFER_EVERY);
        let mut remind = tokio::time::interval(REMIND_EVERY);
        loop {
            tokio::select! {
                _ = look.tick() => {
                    if self.take_new().await.is_none()
                        || self.endings.look(&self.home, &self.node).await.is_none()
                    {
                        return;
                    }
                }
                _ = offer.tick() => self.offered = None,
                _ = remind.tick() => self.remind(),
            }
            let newest = self.node.certificate().id;
            if self.offered != Some(newest) {
                self.offered = Some(newest);
                self.offer().await;
            }
        }
    }

    /// Gives the node what it does not know yet; nothing when it has ended.
    async fn take_new(&mut self) -> Option<()> {
        for path in files(&self.home.certificates(), EXTENSION) {
            if self.seen.insert(path.clone())
                && let Some(certificate) = read(&path)
            {
                self.waiting.insert(path, certificate);
            }
        }
        let now_ms = clock::wall_ms();
        let mut later = BTreeMap::new();
        for (path, certificate) in std::mem::take(&mut self.waiting) {
            match standing(&self.node.roster(), &certificate, now_ms) {
                Standing::Known => {}
                Standing::Early => {
                    later.insert(path, certificate);
                }
                Standing::Good => {
                    self.node.take_certificate(certificate).await.ok()?;
                }
                Standing::Refused(why) => {
                    tracing::warn!(file = %path.display(), %why, "certificate not taken");
                }
            }
        }
        self.waiting = later;
        Some(())
    }

    /// Says that it is time to renew.
    fn remind(&self) {
        let until_ms = self.node.certificate().not_after_ms;
        if until_ms.saturating_sub(clock::wall_ms()) < RENEW_BEFORE_MS {
            let until = clock::moment(until_ms);
            tracing::warn!(%until, "this node's certificate ends soon or has ended; renew it with \"watchfire key request\"");
        }
    }

    /// Offers our own certificate wherever it has not been taken.
    async fn offer(&mut self) {
        let me = self.node.certificate();
        let ours = installed(&self.home).into_iter().rev().find(|certificate| {
            certificate.claims().is_ok_and(|claimed| {
                claimed.serial == me.serial && claimed.transport_key == me.transport_key
            })
        });
        // The one of the genesis is known to everybody.
        let Some(certificate) = ours else { return };
        let roster = self.node.roster();
        let to_tell: Vec<MemberId> = roster
            .members()
            .filter(|member| member.id != me.member && !member.door_addresses.is_empty())
            .map(|member| member.id)
            .filter(|member| !self.told.contains(&(*member, me.id)))
            .filter(|member| !self.node.distrusts(member))
            .collect();
        let question = codec::encode(&DoorRequest::Offer { certificate });
        let offers = to_tell.into_iter().map(|member| {
            let (roster, keypair, question) = (&roster, &self.keypair, &question);
            async move { (member, knock(roster, keypair, &member, question).await) }
        });
        let mut offers = futures::stream::iter(offers).buffer_unordered(OFFERS_AT_ONCE);
        let mut taken = Vec::new();
        while let Some((member, accepted)) = offers.next().await {
            if accepted {
                tracing::info!(member = %member.short(), "certificate taken at the door");
                taken.push((member, me.id));
            } else {
                tracing::debug!(member = %member.short(), "certificate not taken at the door");
            }
        }
        drop(offers);
        self.told.extend(taken);
    }
}

/// Whether one of the member's doors takes the certificate. Only an answer of
/// one of its own nodes counts.
async fn knock(roster: &Roster, keypair: &Keypair, member: &MemberId, question: &[u8]) -> bool {
    let federation = roster.federation();
    let doors = roster
        .member(member)
        .map(|member| member.door_addresses.as_slice())
        .unwrap_or_default();
    let nodes: BTreeSet<NodeId> = roster
        .certificates_of(*member)
        .map(|certificate| certificate.node)
        .collect();
    for address in doors.iter().filter_map(|address| address.parse().ok()) {
        let address: libp2p::Multiaddr = address;
        for node in &nodes {
            let peer = roster
                .node(node)
                .and_then(|certificate| peer_id_of(&certificate.transport_key));
            let asked = door::ask(
                keypair,
                federation.as_bytes(),
                address.clone(),
                peer,
                question.to_vec(),
            );
            match asked.await {
                Ok(answer) => {
                    let answer = codec::decode(&answer, watchfire_protocol::limits::DOOR_BYTES_MAX);
                    if matches!(answer, Ok(DoorAnswer::Offer { accepted: true })) {
                        return true;
                    }
                    break;
                }
                // It may be the door of another node of theirs.
                Err(door::AskError::WrongPeer { .. }) => {}
                Err(_) => break,
            }
        }
    }
    false
}

/// What a roster says of a certificate now.
enum Standing {
    Known,
    Early,
    Good,
    Refused(String),
}

fn standing(roster: &Roster, certificate: &CertificateBytes, now_ms: u64) -> Standing {
    let Ok(claimed) = certificate.claims() else {
        return Standing::Refused("it is malformed".to_owned());
    };
    let held = roster.node(&claimed.node());
    if held.is_some_and(|held| held.serial >= claimed.serial) {
        return Standing::Known;
    }
    match roster.check_certificate(certificate, now_ms) {
        Ok(_) => Standing::Good,
        Err(_) if claimed.not_before_ms > now_ms => Standing::Early,
        Err(error) => Standing::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use watchfire_protocol::founding::{Keys, derived_federation};
    use watchfire_protocol::limits::CERTIFICATE_LIFE_MS_MAX;
    use watchfire_protocol::wire::card::{NodeCert, Role};

    use super::*;

    const WALL_MS: u64 = 1_800_000_000_000;
    const SEED: [u8; 32] = [9; 32];

    fn certificate(serial: u64, not_before_ms: u64, root: u64) -> CertificateBytes {
        let (keys, by) = (Keys::derived(&SEED, 0), Keys::derived(&SEED, root));
        let cert = NodeCert {
            root_key: by.root.public().to_bytes(),
            signing_key: keys.signing.public().to_bytes(),
            transport_key: keys.transport.public().to_bytes(),
            serial,
            incarnation: 1,
            role: Role::Agency,
            not_before_ms,
            not_after_ms: not_before_ms + CERTIFICATE_LIFE_MS_MAX,
        };
        CertificateBytes::sign(&cert, &by.root, &keys.signing, &keys.transport).unwrap()
    }

    #[test]
    fn what_is_kept_is_read_again_and_rubbish_beside_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(&dir.path().join("home")).unwrap();
        assert!(installed(&home).is_empty());
        let later = certificate(3, WALL_MS + 1, 0);
        let now = certificate(2, WALL_MS, 0);
        for (byte, one) in [(1, &later), (2, &now)] {
            let id = CertificateId::from_bytes([byte; 32]);
            assert!(keep(&home, &id, one).unwrap());
            assert!(!keep(&home, &id, one).unwrap(), "it is there already");
        }
        fs::write(home.certificates().join("x.cert"), b"rubbish").unwrap();
        fs::write(home.certificates().join("y.cert"), vec![1; 1 << 20]).unwrap();
        fs::write(home.certificates().join("readme"), b"").unwrap();
        assert_eq!(installed(&home), [now.clone(), later]);
        assert_eq!(begun(&home, WALL_MS), [now]);
    }

    #[test]
    fn a_certificate_is_taken_when_its_time_comes_and_never_from_another_root() {
        let roles = [Role::Agency, Role::Agency];
        let (_, roster, _) = derived_federation(&SEED, &roles, WALL_MS).unwrap();
        let standing = |serial, not_before_ms, root| {
            standing(&roster, &certificate(serial, not_before_ms, root), WALL_MS)
        };
        assert!(matches!(standing(1, WALL_MS, 0), Standing::Known));
        assert!(matches!(standing(2, WALL_MS, 0), Standing::Good));
        assert!(matches!(standing(2, WALL_MS + 1, 0), Standing::Early));
        assert!(matches!(standing(2, WALL_MS, 7), Standing::Refused(_)));
        let over = WALL_MS - CERTIFICATE_LIFE_MS_MAX - 1;
        assert!(matches!(standing(2, over, 0), Standing::Refused(_)));
    }
}
