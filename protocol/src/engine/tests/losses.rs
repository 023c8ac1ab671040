//! Forks, stores that were lost or made anew, clocks that were wrong: what a
//! stream survives.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::limits::LIST_ALL_EVERY_MS;

#[test]
fn a_fork_is_fetched_as_evidence_and_does_not_keep_two_honest_nodes_asking() {
    let first = Node::start(0).frame_of("a", 10);
    let second = Node::start(0).frame_of("b", 10);
    let mut one = Node::start(1);
    let mut two = Node::start(2);
    one.gossip(0, &first);
    two.gossip(0, &second);
    two.meet(1);
    two.commit();
    let outputs = one.meet(2);
    let carried = one.carry(1, outputs, &mut [(2, &mut two)]);
    assert_eq!(carried.ranges(), [(2, 1, 1)]);
    one.commit();
    assert_eq!(one.evidence(), 1);
    let mut questions = 0;
    for _ in 0..10 {
        let outputs = one.later(2 * PROBE_EVERY_MS);
        let carried = one.carry(1, outputs, &mut [(2, &mut two)]);
        questions += carried
            .asked
            .iter()
            .filter(|(_, request)| matches!(request, Request::Frontier { .. }))
            .count();
        assert_eq!(carried.ranges(), []);
    }
    assert_eq!(questions, 10, "a sign of life each, and no more");
}

/// Two chains of one author. A node has every other envelope of the first and
/// a holder all of the second, so that what is missing here fits nowhere.
fn of_two_chains(length: usize) -> (Node, Node, Node, Vec<Vec<u8>>) {
    let (_, here) = author_of(length);
    let mut twin = Node::start(0);
    let there: Vec<_> = (0..length)
        .map(|at| twin.frame_of(&format!("twin{at}"), 10))
        .collect();
    let (mut node, mut holder) = (Node::start(1), Node::start(2));
    for frame in here.iter().step_by(2) {
        assert_eq!(verdict(&node.gossip(0, frame)), Verdict::Accept);
    }
    for frame in &there {
        assert_eq!(verdict(&holder.gossip(0, frame)), Verdict::Accept);
    }
    holder.meet(1);
    holder.commit();
    (node, holder, twin, here)
}

#[test]
fn what_belongs_to_another_chain_is_asked_of_a_holder_once() {
    let (mut node, mut holder, mut twin, _) = of_two_chains(20);
    let mut outputs = node.meet(2);
    let mut ranges = Vec::new();
    for _ in 0..40 {
        let carried = node.carry(1, outputs, &mut [(2, &mut holder)]);
        ranges.extend(carried.ranges());
        outputs = node.later(4 * PROBE_EVERY_MS);
    }
    // 1, 3, 5 and so on are held; 20 is behind the last of them.
    let gaps: Vec<_> = (1..=10).map(|at| (2, 2 * at, 2 * at)).collect();
    assert_eq!(ranges, gaps);
    assert_eq!(node.engine.status().behind, []);
    // Neither a new connection nor one more envelope brings it up again.
    node.feed(Input::PeerDisconnected { node: node_id(2) });
    holder.gossip(0, &twin.frame_of("one more", 10));
    let outputs = node.meet(2);
    let carried = node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert_eq!(carried.ranges(), [(2, 21, 21)]);
    assert_eq!(node.engine.status().behind, []);
}

#[test]
fn what_did_not_fit_is_asked_for_again_when_it_is_decided_from_below_and_after_a_day() {
    // The holder has the chain of the world but for its second; the node has
    // the first of it, and a fourth of another chain.
    let (_, world) = author_of(6);
    let mut twin = Node::start(0);
    twin.gossip(0, &world[0]);
    let _ = (twin.frame_of("x", 10), twin.frame_of("y", 10));
    let poison = twin.frame_of("poison", 10);
    let (mut node, mut holder) = (Node::start(1), Node::start(2));
    node.gossip(0, &world[0]);
    assert_eq!(verdict(&node.gossip(0, &poison)), Verdict::Accept);
    for at in [0, 2, 3, 4] {
        holder.gossip(0, &world[at]);
    }
    holder.meet(1);
    holder.commit();
    let outputs = node.meet(2);
    node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert!(!node.holds(&world[2]) && !node.holds(&world[4]));
    // The second comes, and the holder is looked at for the sake of a sixth.
    node.gossip(0, &world[1]);
    holder.gossip(0, &world[5]);
    for _ in 0..4 {
        let outputs = node.later(4 * PROBE_EVERY_MS);
        node.carry(1, outputs, &mut [(2, &mut holder)]);
    }
    assert!(world.iter().all(|frame| node.holds(frame)));

    let (mut node, mut holder, _, _) = of_two_chains(3);
    let outputs = node.meet(2);
    let carried = node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert_eq!(carried.ranges(), [(2, 2, 2)]);
    // Everything is listed every day; after one day and after two more it is
    // asked for again.
    let days = [1, 2, 3, 4].map(|_| {
        holder.pass(LIST_ALL_EVERY_MS + 4 * PROBE_EVERY_MS);
        let outputs = node.later(LIST_ALL_EVERY_MS + 4 * PROBE_EVERY_MS);
        let carried = node.carry(1, outputs, &mut [(2, &mut holder)]);
        carried.ranges().len()
    });
    assert_eq!(days, [1, 0, 1, 0]);
}

#[test]
fn a_poisoned_successor_does_not_stop_a_stream() {
    // A fork: 1, 2, 3 for the world, and 1, 2', 3' in secret.
    let (mut author, frames) = author_of(3);
    let mut twin = Node::start(0);
    twin.gossip(0, &frames[0]);
    let _ = twin.frame_of("secret", 10);
    let poison = twin.frame_of("poison", 10);
    let mut node = Node::start(1);
    node.gossip(0, &frames[0]);
    // Whoever got only 3' before holds a place that nothing leads to.
    assert_eq!(verdict(&node.gossip(0, &poison)), Verdict::Accept);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    let outputs = node.later(2 * PROBE_EVERY_MS);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(frames.iter().all(|frame| node.holds(frame)));
    assert_eq!(node.engine.streams.sequence(&public_of(0, 1)), 3);
    node.commit();
    assert_eq!(node.evidence(), 1);
    // The same is made again from the log.
    rebuild(node.engine.store(), &node.engine.roster()).unwrap();
    let node = node.restart(1);
    assert_eq!(node.engine.streams.sequence(&public_of(0, 1)), 3);
}

#[test]
fn remains_that_are_displaced_end_nothing_and_are_evidence() {
    // 1, 2 for the world; 1, 2', 3' in secret, and 3' has expired.
    let ([first, second], _, mut twin) = two_chains();
    twin.publish(short_lived("short", 1));
    let third = gossiped(twin.commit());
    let mut node = Node::start(1);
    node.pass(2 * HOUR_MS);
    assert_eq!(verdict(&node.gossip(0, &first)), Verdict::Accept);
    // It is kept as remains, behind a gap.
    node.gossip(0, &third.unwrap());
    assert!(node.engine.streams.has_gap(&public_of(0, 1)));
    node.commit();
    // Its chain is known after a restart too.
    let mut node = node.restart(1);
    node.pass(2 * HOUR_MS);
    assert_eq!(verdict(&node.gossip(0, &second)), Verdict::Accept);
    node.commit();
    assert_eq!(node.engine.streams.sequence(&public_of(0, 1)), 2);
    assert_eq!(node.evidence(), 1);
}

#[test]
fn an_author_that_lost_its_store_and_its_newest_has_expired_starts_and_goes_on() {
    let mut author = Node::start(0);
    author.publish(short_lived("short", 1));
    author.commit();
    let mut holder = Node::start(1);
    author.meet(1);
    let outputs = holder.meet(0);
    holder.carry(1, outputs, &mut [(0, &mut author)]);
    holder.commit();
    holder.meet(0);
    holder.pass(2 * HOUR_MS);
    // Its store is gone; what it published comes back as remains.
    let mut other = Node::start(2);
    other.meet(1);
    holder.meet(2);
    let outputs = other.meet(1);
    other.pass(2 * HOUR_MS);
    other.carry(2, outputs, &mut [(1, &mut holder)]);
    other.commit();
    other.meet(0);
    let mut author = Node::start(0);
    author.pass(2 * HOUR_MS);
    let mut ranges = Vec::new();
    for (number, peer) in [(1, &mut holder), (2, &mut other)] {
        // One of four members may lie: a second must say so, too.
        assert!(!author.engine.is_fetching_back());
        let outputs = author.meet(number);
        let frontier = asked(&outputs, number).remove(0);
        ranges.extend(author.answered(frontier.0, peer.serves(0, frontier.1)));
    }
    let refused = author.publish(draft("too early", 10, Marking::Clear));
    assert!(matches!(
        refused[..],
        [Output::Published {
            outcome: Err(PublishRefusal::Behind),
            ..
        }]
    ));
    author.carry(0, ranges, &mut [(1, &mut holder), (2, &mut other)]);
    author.commit();
    let mut author = author.restart(0);
    author.pass(2 * HOUR_MS);
    let frame = author.frame_of("on", 10);
    assert_eq!(author.engine.streams.sequence(&public_of(0, 1)), 2);
    assert_eq!(verdict(&holder.gossip(0, &frame)), Verdict::Accept);
}

#[test]
fn who_took_an_envelope_for_expired_takes_it_whole_when_its_clock_is_right() {
    const DAY_MS: u64 = 24 * HOUR_MS;
    let frame = Node::start(0).frame_of("a", 10);
    let mut node = Node::start(1);
    node.pass(2 * DAY_MS);
    assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Ignore);
    node.commit();
    let mut node = node.restart(1);
    assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Accept);
    node.commit();
    let [(key, _)] = &node.engine.store().scan(b"L", b"L", 9).unwrap()[..] else {
        panic!("one in the log");
    };
    assert_eq!(*key, table::log(0));
    assert!(node.engine.store().scan(b"R", b"R", 9).unwrap().is_empty());
}

#[test]
fn numbers_that_a_crash_gave_out_again_hide_nothing() {
    let (mut author, _) = author_of(2);
    let backup = author.engine.store().snapshot();
    author.frame_of("told, then lost", 10);
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    // An old copy of the disk comes back, and grows past the old number.
    let mut author = Node::on(store_of(backup), 0);
    let mut other = Node::start(3);
    author.meet(1);
    author.meet(3);
    let fresh: Vec<_> = (0..3)
        .map(|at| other.frame_of(&format!("other {at}"), 10))
        .collect();
    for frame in &fresh {
        author.gossip(3, frame);
    }
    author.commit();
    let outputs = node.later(2 * PROBE_EVERY_MS);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(fresh.iter().all(|frame| node.holds(frame)));
}

#[test]
fn a_damaged_mark_or_a_store_made_anew_costs_a_listing_and_loses_nothing() {
    let (mut author, frames) = author_of(4);
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    node.commit();
    // The author's store is rebuilt: its numbers mean something else now.
    rebuild(author.engine.store(), &author.engine.roster()).unwrap();
    let mut author = author.restart(0);
    author.meet(1);
    author.commit();
    let outputs = node.later(2 * PROBE_EVERY_MS);
    let carried = node.carry(1, outputs, &mut [(0, &mut author)]);
    assert_eq!(carried.ranges(), []);
    // And this one's: it forgets its marks with its indexes.
    node.commit();
    rebuild(node.engine.store(), &node.engine.roster()).unwrap();
    let mut node = node.restart(1);
    let outputs = node.meet(0);
    let [(_, Request::Frontier { since: None, .. })] = asked(&outputs, 0)[..] else {
        panic!("asks from the beginning: {outputs:?}");
    };
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(frames.iter().all(|frame| node.holds(frame)));
}
