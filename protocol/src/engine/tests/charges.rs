//! Who pays for what: a peer for what is worth nothing, an author for what it
//! makes, and nobody without end.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::engine::receive::HOUR_MS;
use crate::limits::EVIDENCE_PER_STREAM_MAX;
use crate::wire::envelope::{Header, SignedBytes};
use crate::wire::exchange::Remains;
use watchfire_crypto::Signed;

/// What remains of an envelope of node 0 that expires in this hour since 1970.
fn remains_of(expiry_hour: u32) -> Remains {
    let frame = Node::start(0).frame_of("short", 10);
    let logged = header_of_frame(&frame).unwrap();
    let mut header: Header = logged.header;
    header.prefix.expiry_hour = expiry_hour;
    let signed: Signed<Header> = Signed::seal(codec::encode(&header), &keys(0).signing);
    Remains {
        header: SignedBytes::new(signed).unwrap(),
        second_signature: None,
    }
}

fn frame_item(frame: &[u8]) -> RangeItem {
    RangeItem::Frame(Bytes::new(frame.to_vec()).unwrap())
}

/// A peer brings an item as part of a range.
fn bring(node: &mut Node, from: u64, item: RangeItem) -> Vec<Output> {
    let work = Work::Check {
        id: RequestId(0),
        from: node_id(from),
        items: vec![item],
        roster: node.engine.roster(),
    };
    node.feed(Input::Done(work.run()))
}

/// A node whose peer 2 has brought in vain what it may.
fn node_with_a_peer_at_its_limit() -> Node {
    let mut node = Node::start(1);
    node.meet(2);
    let empty = empty_quota(node.now());
    *node.engine.peers.quota(&node_id(2)).unwrap() = empty;
    node
}

#[test]
fn what_is_worth_nothing_costs_whoever_brings_it_by_range_too() {
    let frame = Node::start(0).frame_of("a", 10);
    let of_tomorrow = {
        let mut author = Node::start(0);
        author.pass(24 * HOUR_MS);
        author.frame_of("tomorrow", 10)
    };
    let of_the_living = Remains {
        header: header_of_frame(&frame).unwrap().signed,
        second_signature: None,
    };
    let hour = u32::try_from(WALL_MS / HOUR_MS).unwrap();
    let worthless = [
        (frame_item(&of_tomorrow), NotTaken::Ahead),
        (RangeItem::Remains(of_the_living), NotTaken::NotExpired),
        (
            RangeItem::Remains(remains_of(hour - 1)),
            NotTaken::NeverAlive,
        ),
    ];
    for (item, why) in worthless {
        let mut node = node_with_a_peer_at_its_limit();
        let outputs = bring(&mut node, 2, item);
        assert_eq!(not_taken(&outputs), Some(&why));
        assert_eq!(reconnects(&outputs), 1, "{why}");
    }
    // What this node cannot read is nobody's fault, and costs all the same.
    let mut node = node_with_a_peer_at_its_limit();
    let outputs = node.feed(Input::Done(Done::Checked {
        id: RequestId(0),
        from: node_id(2),
        items: vec![Err((Refusal::UnknownAuthor, 0))],
    }));
    assert_eq!(reconnects(&outputs), 1);
}

#[test]
fn what_is_worth_something_costs_nobody_who_carries_it() {
    let frame = Node::start(0).frame_of("a", 10);
    let fork = Node::start(0).frame_of("b", 10);
    let short = short_lived("short", 1);
    let expired = frame_with(&mut Node::start(3), short);
    let mut node = node_with_a_peer_at_its_limit();
    node.pass(2 * HOUR_MS);
    *node.engine.peers.quota(&node_id(2)).unwrap() = empty_quota(node.now());
    let expected = [
        (&frame, None),
        // It was asked for, and gossip was quicker.
        (&frame, None),
        (&fork, Some(NotTaken::Conflict)),
        // Its clock may be right, and its remains are of use.
        (&expired, Some(NotTaken::Expired)),
    ];
    for (frame, why) in expected {
        let outputs = bring(&mut node, 2, frame_item(frame));
        assert_eq!(not_taken(&outputs), why.as_ref());
        assert_eq!(reconnects(&outputs), 0, "{why:?}");
    }
    node.commit();
    assert_eq!(node.evidence(), 1);
}

#[test]
fn an_author_makes_no_places_that_were_dead_before_it_began() {
    // Its certificate began a second before the hour.
    let hour = u32::try_from(WALL_MS / HOUR_MS).unwrap();
    for (expiry_hour, lived) in [(hour - 1, false), (hour, true)] {
        let mut node = Node::start(1);
        node.meet(2);
        let item = RangeItem::Remains(remains_of(expiry_hour));
        let outputs = bring(&mut node, 2, item);
        let expected = (!lived).then_some(NotTaken::NeverAlive);
        assert_eq!(not_taken(&outputs), expected.as_ref());
        // Only what somebody may have seen alive keeps a place in its stream.
        let sequence = node.engine.streams.sequence(&public_of(0, 1));
        assert_eq!(sequence, u64::from(lived));
        assert_eq!(node.engine.status().envelopes, u64::from(lived));
    }
}

#[test]
fn evidence_against_one_stream_is_bounded_across_restarts() {
    let forks = usize::try_from(EVIDENCE_PER_STREAM_MAX).unwrap() + 4;
    let (mut author, mut twin) = (Node::start(0), Node::start(0));
    let mut node = Node::start(1);
    for at in 0..forks {
        node.gossip(0, &author.frame_of(&format!("{at}"), 10));
    }
    let others: Vec<_> = (0..forks)
        .map(|at| twin.frame_of(&format!("other {at}"), 10))
        .collect();
    for other in &others {
        assert_eq!(verdict(&node.gossip(0, other)), Verdict::Ignore);
    }
    node.commit();
    let kept = node.evidence();
    assert!((1..=forks - 4).contains(&kept), "{kept} kept");
    let mut node = node.restart(1);
    for other in &others {
        let outputs = node.gossip(0, other);
        assert_eq!(not_taken(&outputs), Some(&NotTaken::Conflict));
    }
    node.commit();
    // An author who forks at each of our starts fills no disk.
    assert_eq!(node.evidence(), kept);
}

#[test]
fn an_expired_frame_that_finds_no_place_is_what_its_remains_are() {
    // Another envelope is held where it would stand: that is so for good.
    let held = Node::start(0).frame_of("a", 10);
    let fork = frame_with(&mut Node::start(0), short_lived("b", 1));
    let mut node = node_with_a_peer_at_its_limit();
    node.gossip(0, &held);
    node.pass(2 * HOUR_MS);
    *node.engine.peers.quota(&node_id(2)).unwrap() = empty_quota(node.now());
    let outputs = bring(&mut node, 2, frame_item(&fork));
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Conflict));
    assert!(NotTaken::Conflict.is_for_good());
    // Its author's quota is used up: it comes again once that has filled.
    let over = frame_with(&mut Node::start(3), short_lived("c", 1));
    node.exhaust(3, Way::Asked);
    let outputs = bring(&mut node, 2, frame_item(&over));
    assert_eq!(
        not_taken(&outputs),
        Some(&NotTaken::Quota { whose: "author" })
    );
    assert!(!node.holds(&over));
}

#[test]
fn what_a_peer_owes_is_not_forgotten_with_its_link() {
    let frame = Node::start(0).frame_of("a", 10);
    let mut node = node_with_a_peer_at_its_limit();
    let junk = |node: &mut Node| {
        let outputs = node.feed(Input::Gossip {
            from: node_id(2),
            token: GossipToken(1),
            length: 10,
            checked: Err(Refusal::UnknownAuthor),
        });
        reconnects(&outputs)
    };
    // Closing the link grants nothing, and neither does coming again.
    assert_eq!(junk(&mut node), 1);
    assert_eq!(junk(&mut node), 1);
    node.feed(Input::PeerDisconnected { node: node_id(2) });
    assert_eq!(junk(&mut node), 0, "there is no link to close");
    node.meet(2);
    assert_eq!(junk(&mut node), 1);
    // What it brings of others counts all the same.
    assert_eq!(verdict(&node.gossip(2, &frame)), Verdict::Accept);
    // It fills with time alone.
    node.pass(60_000);
    assert_eq!(junk(&mut node), 0);
}

#[test]
fn what_the_gate_refuses_of_a_range_costs_its_bytes() {
    // Of a version that this node does not know: nobody's fault, and no use.
    let unknown = frame_item(&[9; 40_000]);
    for (left, closed) in [(39_999, 1), (40_000, 0)] {
        let mut node = Node::start(1);
        node.meet(2);
        let burst = Rate::AUTHOR_BYTES.for_peer().burst;
        let quota = node.engine.peers.quota(&node_id(2)).unwrap();
        quota.take(burst - left);
        let outputs = bring(&mut node, 2, unknown.clone());
        assert!(matches!(not_taken(&outputs), Some(NotTaken::Gate(_))));
        assert_eq!(reconnects(&outputs), closed, "{left}");
        // Its link is closed once, however many more there are.
        let outputs = node.brought(2, vec![unknown.clone(); 3]);
        assert_eq!(reconnects(&outputs), 1);
    }
}
