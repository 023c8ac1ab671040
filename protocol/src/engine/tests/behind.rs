//! A disk that is slower than the network: what is not durable is bounded, and
//! nothing is lost by it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use crate::engine::*;
use crate::gate::check;
use crate::wire::Bytes;
use crate::wire::exchange::RangeItem;

/// A node whose disk begins with the next commit to stand still, and frames of
/// somebody else, 8 KiB each.
fn flooded(bytes_max: usize) -> (Node, Vec<Vec<u8>>) {
    let mut author = Node::start(0);
    let frames = (0..48)
        .map(|number| author.frame_of(&format!("n{number}"), 8_192))
        .collect();
    let mut node = Node::start(1);
    node.meet(0);
    node.commit();
    node.engine.staged.bytes_max = bytes_max;
    (node, frames)
}

/// Bytes of everything that is written and not durable, as they are.
fn staged_bytes(node: &mut Node) -> usize {
    let batches = std::iter::from_fn(|| node.engine.begin_commit()).collect::<Vec<_>>();
    batches
        .iter()
        .flat_map(|(_, batch)| batch.iter())
        .map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len))
        .sum()
}

#[test]
fn a_disk_that_stands_still_costs_no_more_memory_than_its_bound() {
    const BYTES_MAX: usize = 100_000;
    let (mut node, frames) = flooded(BYTES_MAX);
    let verdicts: Vec<Verdict> = frames
        .iter()
        .map(|frame| verdict(&node.gossip(0, frame)))
        .collect();
    let taken = verdicts
        .iter()
        .take_while(|verdict| **verdict == Verdict::Accept)
        .count();
    assert!((2..frames.len()).contains(&taken), "{taken} taken");
    // Never rejected: whoever forwards it does not pay for this node's disk.
    assert!(
        verdicts[taken..]
            .iter()
            .all(|verdict| *verdict == Verdict::Ignore)
    );
    assert!(node.engine.is_behind());
    assert!(staged_bytes(&mut node) < BYTES_MAX + 2 * 16_384);
}

#[test]
fn what_the_disk_had_no_room_for_is_told_at_once_and_costs_the_peer_nothing() {
    let (mut node, frames) = flooded(1);
    node.gossip(0, &frames[0]);
    // Each more than a peer may bring in vain: the link stands all the same.
    for frame in std::iter::repeat_n(&frames[1], 100) {
        let checked = check(frame, &node.engine.roster()).map(Box::new);
        let outputs = node.feed(Input::Gossip {
            from: node_id(0),
            token: GossipToken(1),
            length: u64::MAX / 4_000,
            checked,
        });
        assert_eq!(not_taken(&outputs), Some(&NotTaken::DiskBehind));
        assert_eq!(reconnects(&outputs), 0);
    }
    assert!(node.engine.claims.values().map(Vec::len).sum::<usize>() < 8);
}

#[test]
fn what_the_disk_had_no_room_for_comes_by_catch_up() {
    let (mut node, frames) = flooded(40_000);
    for frame in &frames {
        node.gossip(0, frame);
    }
    let held = frames.iter().filter(|frame| node.holds(frame)).count();
    assert!(held < frames.len());
    // While it stands still, a range brings nothing either.
    assert_eq!(range(&mut node, &frames), held);
    // The disk works again.
    node.commit();
    assert!(!node.engine.is_behind());
    node.engine.staged.bytes_max = usize::MAX;
    assert_eq!(range(&mut node, &frames), frames.len());
}

/// What the node holds after it was offered everything by the author.
fn range(node: &mut Node, frames: &[Vec<u8>]) -> usize {
    let items = frames
        .iter()
        .map(|frame| RangeItem::Frame(Bytes::new(frame.clone()).unwrap()))
        .collect();
    node.brought(0, items);
    frames.iter().filter(|frame| node.holds(frame)).count()
}
