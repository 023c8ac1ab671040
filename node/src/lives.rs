//! What is known of the lives of a node of one's own member: up to where its
//! streams count, should it be ended now, and which numbers come next.
//!
//! A running node answers it out of what it holds, a stopped one out of its
//! store. Of a stream that forked, what lies below the fork counts. What an
//! earlier revocation said of a life stays as it was said: a later one replaces
//! it, and whoever has the keys of an ended life may have added to it since.

use std::collections::BTreeMap;

use watchfire_crypto::PublicKey;
use watchfire_protocol::engine::certificate_of;
use watchfire_protocol::gate::Slot;
use watchfire_protocol::ids::{EnvelopeId, FederationId, MemberId, NodeId};
use watchfire_protocol::limits::{CUTS_MAX, FRAME_BYTES_MAX, HEADER_BYTES_MAX};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Store, StoreError};
use watchfire_protocol::table;
use watchfire_protocol::wire::card::CertificateBytes;
use watchfire_protocol::wire::envelope::{Header, body_of};
use watchfire_protocol::wire::exchange::StreamId;
use watchfire_protocol::wire::notice::{Proof, Revocation, StreamCut};
use watchfire_protocol::wire::{Kind, SignedBytes, codec};

use crate::disk::published;

/// Keys read at once.
const PAGE: usize = 1_024;

/// What is known of the lives of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lives {
    /// Of which federation.
    pub federation: FederationId,
    /// Whose node.
    pub member: MemberId,
    /// What people call that member.
    pub slug: String,
    /// The root key that signs for it now.
    pub root_key: PublicKey,
    /// Which node.
    pub node: NodeId,
    /// The highest serial of this node that is known; of one that was ended by a
    /// higher number, that.
    pub serial: u64,
    /// The latest life of this node that is known.
    pub incarnation: u64,
    /// The highest serial of any node of the member that is known.
    pub serial_of_member: u64,
    /// Where its streams end, as far as they count: a set, one a stream.
    pub cuts: Vec<StreamCut>,
    /// Streams that there was no room for: nothing new of them would count.
    pub left_out: usize,
    /// Streams in which this node signed two envelopes for one place, and the
    /// first such place.
    pub forks: BTreeMap<StreamId, u64>,
}

/// The certificates that a store holds beside those of the chain.
///
/// # Errors
/// When the store fails.
pub fn certificates_in<S: Store>(store: &S) -> Result<Vec<CertificateBytes>, StoreError> {
    let mut found = Vec::new();
    let mut from = table::CERTIFICATES.to_vec();
    loop {
        let page = store.scan(table::CERTIFICATES, &from, PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        from.clone_from(last);
        from.push(0);
        found.extend(page.iter().filter_map(|(_, value)| certificate_of(value)));
    }
}

/// The revocations that a store holds, as they were signed.
///
/// # Errors
/// When the store fails.
pub fn revocations_in<S: Store>(
    store: &S,
) -> Result<Vec<watchfire_protocol::ending::SignedRevocation>, StoreError> {
    let mut found = Vec::new();
    let mut from = table::NOTICES.to_vec();
    loop {
        let page = store.scan(table::NOTICES, &from, PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        from.clone_from(last);
        from.push(0);
        found.extend(
            page.iter().filter_map(|(_, frame)| {
                watchfire_protocol::ending::revocation_from_file(frame).ok()
            }),
        );
    }
}

/// Looks at a node of a member; nothing where that member has no such node.
///
/// # Errors
/// When the store fails.
pub fn lives_of<S: Store>(
    roster: &Roster,
    store: &S,
    member: &MemberId,
    node: &NodeId,
) -> Result<Option<Lives>, StoreError> {
    let Some(of) = roster.member(member) else {
        return Ok(None);
    };
    let highest = |node: Option<&NodeId>| {
        roster
            .certificates_of(*member)
            .filter(|held| node.is_none_or(|node| held.node == *node))
            .map(|held| (held.serial, held.incarnation))
            .reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
    };
    let Some((serial, incarnation)) = highest(Some(node)) else {
        return Ok(None);
    };
    let former = roster
        .revocation(*member, node)
        .filter(|former| former.root_key == *of.root_key.as_bytes());
    let forks = forks_of(store, node, incarnation)?;
    let (cuts, left_out) = cuts_of(roster, store, node, former, &forks)?;
    Ok(Some(Lives {
        federation: roster.federation(),
        member: *member,
        slug: of.slug.to_string(),
        root_key: of.root_key,
        node: *node,
        serial: former.map_or(serial, |former| serial.max(former.serial)),
        incarnation,
        serial_of_member: highest(None).map_or(serial, |(serial, _)| serial),
        cuts,
        left_out,
        forks,
    }))
}

/// The first place of each stream at which its node signed two envelopes: what
/// was met here, and what others proved.
fn forks_of<S: Store>(
    store: &S,
    node: &NodeId,
    incarnation_last: u64,
) -> Result<BTreeMap<StreamId, u64>, StoreError> {
    let mut forks: BTreeMap<StreamId, u64> = BTreeMap::new();
    let mut note = |stream: StreamId, sequence: u64| {
        let first = forks.entry(stream).or_insert(sequence);
        *first = (*first).min(sequence);
    };
    let mut from = [table::EVIDENCE, node.as_bytes()].concat();
    let prefix = from.clone();
    loop {
        let page = store.scan(&prefix, &from, PAGE)?;
        let Some((last, _)) = page.last() else {
            break;
        };
        from.clone_from(last);
        from.push(0);
        for (key, _) in &page {
            let Some((stream, sequence)) = table::evidence_of(key) else {
                continue;
            };
            // Evidence may also be of a chain that does not fit.
            let there = id_at(store, &stream, sequence)?;
            if there.is_some_and(|there| !key.ends_with(there.as_bytes())) {
                note(stream, sequence);
            }
        }
    }
    for incarnation in 0..=incarnation_last.min(PROOFS_MAX) {
        let slot = Slot::Fork(*node, incarnation);
        let Some(frame) = store.get(&table::notice(&slot))? else {
            continue;
        };
        if let Some((tag, sequence)) = place_of(&frame) {
            let stream = StreamId {
                node: *node,
                incarnation,
                tag,
            };
            note(stream, sequence);
        }
    }
    Ok(forks)
}

/// Lives looked through for proofs: more than a node can have in five years of a
/// certificate a day.
const PROOFS_MAX: u64 = 2_048;

/// Which place a proof is about. It was checked before it was kept.
fn place_of(frame: &[u8]) -> Option<(watchfire_protocol::wire::Tag, u64)> {
    let proof: Proof = codec::decode(body_of(Kind::Proof, frame)?, FRAME_BYTES_MAX).ok()?;
    let Proof::Fork { first, .. } = proof else {
        return None;
    };
    let first: SignedBytes<HEADER_BYTES_MAX> = first;
    let header = first.to_signed::<Header>().claims().ok()?;
    let position = header.prefix.class.position()?;
    Some((position.tag, position.sequence))
}

fn id_at<S: Store>(
    store: &S,
    stream: &StreamId,
    sequence: u64,
) -> Result<Option<EnvelopeId>, StoreError> {
    let value = store.get(&table::sequence(stream, sequence))?;
    Ok(value.and_then(|value| codec::decode(&value, 32).ok()))
}

/// Up to where each stream counts, and how many did not fit.
fn cuts_of<S: Store>(
    roster: &Roster,
    store: &S,
    node: &NodeId,
    former: Option<&Revocation>,
    forks: &BTreeMap<StreamId, u64>,
) -> Result<(Vec<StreamCut>, usize), StoreError> {
    let has_ended = |incarnation: u64| {
        former.is_some_and(|former| {
            roster
                .newest_of_life(node, incarnation)
                .is_some_and(|newest| newest.serial <= former.serial)
        })
    };
    let mut cuts: Vec<StreamCut> = former
        .iter()
        .flat_map(|former| former.cuts.iter().copied())
        .filter(|cut| has_ended(cut.incarnation))
        .collect();
    for (stream, through) in published::ends_of(store, node)? {
        if has_ended(stream.incarnation) {
            continue;
        }
        let below_fork = forks.get(&stream).map(|place| place.saturating_sub(1));
        let sequence = below_fork.map_or(through.sequence, |last| last.min(through.sequence));
        let head = if sequence == through.sequence {
            Some(through.head)
        } else {
            id_at(store, &stream, sequence)?
        };
        cuts.extend(head.filter(|_| sequence > 0).map(|head| StreamCut {
            incarnation: stream.incarnation,
            tag: stream.tag,
            sequence,
            head,
        }));
    }
    // Of too many the newest lives stay.
    cuts.sort_unstable_by_key(|cut| (core::cmp::Reverse(cut.incarnation), cut.tag));
    let left_out = cuts.len().saturating_sub(CUTS_MAX);
    cuts.truncate(CUTS_MAX);
    cuts.sort_unstable();
    Ok((cuts, left_out))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use watchfire_protocol::ending::sign_revocation;
    use watchfire_protocol::founding::{Keys, derived_federation};
    use watchfire_protocol::limits::CERTIFICATE_LIFE_MS_MAX;
    use watchfire_protocol::store::{Batch, MemoryStore};
    use watchfire_protocol::table::{StreamRow, Through};
    use watchfire_protocol::wire::card::{NodeCert, Role};
    use watchfire_protocol::wire::notice::RevocationReason;
    use watchfire_protocol::wire::{List, Tag};

    use super::*;

    const WALL_MS: u64 = 1_800_000_000_000;

    fn id(sequence: u64) -> EnvelopeId {
        EnvelopeId::from_bytes([u8::try_from(sequence).unwrap(); 32])
    }

    struct Bench {
        roster: Roster,
        keys: Keys,
        member: MemberId,
        node: NodeId,
        store: MemoryStore,
    }

    impl Bench {
        fn new() -> Self {
            let roles = [Role::Agency, Role::Agency];
            let (_, roster, keys) = derived_federation(&[6; 32], &roles, WALL_MS).unwrap();
            let keys = keys.into_iter().next().unwrap();
            let member = MemberId::of_root(&keys.root.public());
            let node = roster.certificates_of(member).next().unwrap().node;
            Self {
                roster,
                keys,
                member,
                node,
                store: MemoryStore::default(),
            }
        }

        fn stream(&self, incarnation: u64) -> StreamId {
            StreamId {
                node: self.node,
                incarnation,
                tag: Tag::PUBLIC,
            }
        }

        /// The public stream of a life is held up to here.
        fn holds(&self, incarnation: u64, last: u64) {
            let stream = self.stream(incarnation);
            let mut batch = Batch::default();
            let row = StreamRow {
                through: Some(Through {
                    sequence: last,
                    head: id(last),
                }),
                born: 1,
                changed: last,
            };
            batch.put(table::stream(&stream), codec::encode(&row));
            for sequence in 1..=last {
                let key = table::sequence(&stream, sequence);
                batch.put(key, codec::encode(&id(sequence)));
            }
            self.store.apply(&batch).unwrap();
        }

        fn lives(&self) -> Lives {
            let found = lives_of(&self.roster, &self.store, &self.member, &self.node);
            found.unwrap().unwrap()
        }

        fn ends(&self) -> Vec<(u64, u64, EnvelopeId)> {
            let cuts = self.lives().cuts;
            let ends = cuts.iter();
            ends.map(|cut| (cut.incarnation, cut.sequence, cut.head))
                .collect()
        }
    }

    #[test]
    fn what_is_held_counts_and_of_a_forked_stream_what_lies_below() {
        let bench = Bench::new();
        assert_eq!(bench.ends(), []);
        bench.holds(1, 5);
        assert_eq!(bench.ends(), [(1, 5, id(5))]);
        let lives = bench.lives();
        assert_eq!((lives.serial, lives.incarnation), (1, 1));
        assert_eq!(lives.serial_of_member, 1);
        // Evidence that the one at its place is another proves a fork; evidence of
        // the very one that stands there is of something else.
        for (sequence, other, last) in [(4, id(4), 5), (4, id(99), 3), (3, id(98), 2)] {
            let mut batch = Batch::default();
            let key = table::evidence(&bench.stream(1), sequence, &other);
            batch.put(key, vec![1]);
            bench.store.apply(&batch).unwrap();
            assert_eq!(bench.ends(), [(1, last, id(last))], "{sequence}");
        }
        let forks: Vec<u64> = bench.lives().forks.into_values().collect();
        assert_eq!(forks, [3]);
        let nobody = NodeId::from_bytes([3; 32]);
        let found = lives_of(&bench.roster, &bench.store, &bench.member, &nobody);
        assert_eq!(found.unwrap(), None);
    }

    #[test]
    fn what_was_said_of_an_earlier_life_stays_as_it_was_said() {
        let mut bench = Bench::new();
        let said = Revocation {
            federation: bench.roster.federation(),
            member: bench.member,
            root_key: bench.keys.root.public().to_bytes(),
            node: bench.node,
            serial: 4,
            created_ms: WALL_MS,
            reason: RevocationReason::Restored,
            cuts: List::new(vec![StreamCut {
                incarnation: 1,
                tag: Tag::PUBLIC,
                sequence: 2,
                head: id(2),
            }])
            .unwrap(),
        };
        let root = &bench.keys.root;
        let sign = |domain, message: &[u8]| Ok::<_, ()>(root.sign(domain, message));
        let signed = sign_revocation(&said, &root.public(), sign).unwrap();
        let checked = bench.roster.check_revocation(signed.to_signed()).unwrap();
        bench.roster.revoke(&checked);
        let keys = &bench.keys;
        let cert = NodeCert {
            root_key: keys.root.public().to_bytes(),
            signing_key: keys.signing.public().to_bytes(),
            transport_key: keys.transport.public().to_bytes(),
            serial: 5,
            incarnation: 2,
            role: Role::Agency,
            not_before_ms: WALL_MS,
            not_after_ms: WALL_MS + CERTIFICATE_LIFE_MS_MAX,
        };
        let next =
            CertificateBytes::sign(&cert, &keys.root, &keys.signing, &keys.transport).unwrap();
        bench.roster.admit_certificate(&next, WALL_MS).unwrap();
        // Somebody has added to the life that ended.
        bench.holds(1, 7);
        bench.holds(2, 3);
        assert_eq!(bench.ends(), [(1, 2, id(2)), (2, 3, id(3))]);
        let lives = bench.lives();
        assert_eq!((lives.serial, lives.incarnation), (5, 2));
    }
}
