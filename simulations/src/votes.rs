//! What roots sign: on a machine apart, and brought to a node as a frame.

use std::collections::BTreeSet;
use watchfire_crypto::{Signed, SigningKey};
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::roster::Successor;
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::roster::{Change, Vote, VoteBy, VoteFrame, VoteLine};
use watchfire_protocol::wire::{List, SignedBytes, Text, codec};

/// The community of every simulated member.
const COMMUNITY: &str = "demo";

/// A vote as a frame, signed by this key.
pub(crate) fn vote(
    successor: &Successor,
    round: u32,
    by: VoteBy,
    key: &SigningKey,
) -> Option<Vec<u8>> {
    let vote = successor.vote(round, by);
    let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), key);
    VoteFrame::bare(signed).ok()
}

/// A root decides for a roster.
pub(crate) fn commit(successor: &Successor, round: u32, root: &SigningKey) -> Option<Vec<u8>> {
    let key = root.public().to_bytes();
    vote(successor, round, VoteBy::Commit { key }, root)
}

/// The same with prepares, and with how many.
pub(crate) fn commit_on(
    successor: &Successor,
    round: u32,
    root: &SigningKey,
    prepares: BTreeSet<VoteLine>,
) -> Option<(Vec<u8>, usize)> {
    let key = root.public().to_bytes();
    let vote = successor.vote(round, VoteBy::Commit { key });
    let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), root);
    let count = prepares.len();
    let frame = VoteFrame {
        vote: SignedBytes::new(signed).ok()?,
        prepares: List::new(prepares.into_iter().collect()).ok()?,
    };
    Some((frame.to_frame(), count))
}

/// A root that would enter agrees.
pub(crate) fn consent(successor: &Successor, root: &SigningKey) -> Option<Vec<u8>> {
    let key = root.public().to_bytes();
    vote(successor, 0, VoteBy::Consent { key }, root)
}

/// The change by which a member of this number enters.
pub(crate) fn admission(number: usize, role: Role, keys: &Keys, wall_ms: u64) -> Option<Change> {
    let profile = Profile {
        slug: format!("m-{number:03}").parse().ok()?,
        role,
        contact: Contact::default(),
        addresses: Vec::new(),
        door_addresses: Vec::new(),
    };
    Some(Change::Admit {
        card: make_card(&profile, keys, wall_ms).ok()?,
        communities: List::new(vec![Text::new(COMMUNITY).ok()?]).ok()?,
    })
}
