//! What a node doubts: its own clock, and peers that serve less of their streams than
//! they say there is.

use super::catching_up::{STORE, entry, page};
use super::pages::alive_after;
use super::room::*;
use super::*;
use crate::engine::MayNotDestroy;
use crate::limits::{ALIVE_EVERY_MS, ALIVE_SOON_MS, CLOCK_JUMP_MS, CLOCK_REST_MS};
use crate::wire::exchange::{FrontierEntry, head_of};

/// An author of three, what it says of itself then, and a node that holds as many of
/// them.
fn told_of_three(held: usize) -> (Node, Vec<Vec<u8>>, Vec<u8>) {
    let (mut author, frames) = author_of(3);
    let alive = alive_after(&mut author, ALIVE_SOON_MS);
    let mut node = Node::start(1);
    for frame in &frames[..held] {
        node.gossip(0, frame);
    }
    node.pass(ALIVE_SOON_MS);
    tell(&mut node, &alive);
    node.pass(1);
    (node, frames, alive)
}

fn tell(node: &mut Node, notice: &[u8]) {
    let roster = node.engine.roster();
    let outputs = node.feed(Input::gossip(node_id(0), GossipToken(1), notice, &roster));
    assert_eq!(verdict(&outputs), Verdict::Accept);
    node.commit();
}

/// Answers the question for the frontier that is among the outputs: nothing changed,
/// or the author's stream ends at one of these.
fn look(
    node: &mut Node,
    outputs: &[Output],
    change: u64,
    end: Option<(u64, &[Vec<u8>])>,
) -> Vec<Output> {
    let id = asked(outputs, 0)
        .into_iter()
        .find_map(|(id, request)| matches!(request, Request::Frontier { .. }).then_some(id))
        .expect("it looks");
    let entries = end.map(|(through, frames)| {
        let last = &frames[usize::try_from(through).unwrap() - 1];
        let head = id_of(last, &node.engine.roster());
        FrontierEntry {
            head: Some(head_of(&STORE, &head)),
            ..entry(public_of(0, 1), through)
        }
    });
    node.answered(id, page(change, entries.into_iter().collect(), false))
}

fn withheld(node: &Node) -> Vec<(u64, u64)> {
    let all = node.engine.status().withheld;
    assert!(all.iter().all(|one| one.stream == public_of(0, 1)));
    all.iter().map(|one| (one.said, one.served)).collect()
}

#[test]
fn whoever_lists_less_than_it_says_there_is_withholds_until_it_serves_it() {
    let (mut node, frames, _) = told_of_three(2);
    let outputs = node.meet(0);
    assert_eq!(withheld(&node), []);
    let outputs = look(&mut node, &outputs, 2, Some((2, &frames)));
    assert_eq!(withheld(&node), [(3, 2)]);
    // It is told to people, and nothing else follows.
    assert_eq!(reconnects(&outputs), 0);
    // Also when its link ends.
    node.feed(Input::PeerDisconnected { node: node_id(0) });
    assert_eq!(withheld(&node), [(3, 2)]);
    let outputs = node.meet(0);
    look(&mut node, &outputs, 2, None);
    assert_eq!(withheld(&node), [(3, 2)]);
    node.gossip(0, &frames[2]);
    node.commit();
    let outputs = node.later(2 * PROBE_EVERY_MS);
    look(&mut node, &outputs, 3, Some((3, &frames)));
    assert_eq!(withheld(&node), []);
}

#[test]
fn whoever_lists_what_it_does_not_serve_withholds_it() {
    let (mut node, frames, _) = told_of_three(2);
    let outputs = node.meet(0);
    let outputs = look(&mut node, &outputs, 3, Some((3, &frames)));
    assert_eq!(withheld(&node), []);
    let (id, request) = asked(&outputs, 0).remove(0);
    assert!(matches!(request, Request::Range { from: 3, to: 3, .. }));
    node.answered(id, Some(unavailable(Unavailable::NotHeld)));
    assert_eq!(withheld(&node), [(3, 2)]);
}

#[test]
fn what_others_brought_is_withheld_by_its_author_all_the_same() {
    let (mut node, frames, _) = told_of_three(3);
    let outputs = node.meet(0);
    look(&mut node, &outputs, 2, Some((2, &frames)));
    assert_eq!(withheld(&node), [(3, 2)]);
    let outputs = node.later(2 * PROBE_EVERY_MS);
    look(&mut node, &outputs, 3, Some((3, &frames)));
    assert_eq!(withheld(&node), []);
}

#[test]
fn what_is_said_while_a_look_is_under_way_is_for_the_next_one() {
    let (mut author, frames) = author_of(3);
    let alive = alive_after(&mut author, ALIVE_SOON_MS);
    let mut node = Node::start(1);
    for frame in &frames[..2] {
        node.gossip(0, frame);
    }
    node.pass(ALIVE_SOON_MS);
    let outputs = node.meet(0);
    tell(&mut node, &alive);
    look(&mut node, &outputs, 2, Some((2, &frames)));
    assert_eq!(withheld(&node), []);
    let outputs = node.later(2 * PROBE_EVERY_MS);
    look(&mut node, &outputs, 2, None);
    assert_eq!(withheld(&node), [(3, 2)]);
}

#[test]
fn who_serves_all_of_it_withholds_nothing() {
    let (mut author, _) = author_of(3);
    let alive = alive_after(&mut author, ALIVE_SOON_MS);
    let mut node = Node::start(1);
    node.pass(ALIVE_SOON_MS);
    tell(&mut node, &alive);
    node.pass(1);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert_eq!(withheld(&node), []);
    assert_eq!(node.engine.status().envelopes, 3);
}

/// A step at another time of the wall clock than the monotonic one has it.
fn wake_at(node: &mut Node, off_ms: i64) -> Now {
    let mut now = node.now();
    now.wall_ms = now.wall_ms.checked_add_signed(off_ms).unwrap();
    node.engine.handle(now, Input::Wake).unwrap();
    while node.engine.poll().is_some() {}
    now
}

#[test]
fn attack_16_nothing_is_destroyed_for_an_hour_after_the_clock_jumped() {
    let far_ms = i64::try_from(CLOCK_JUMP_MS).unwrap() + 1;
    for off_ms in [far_ms, -far_ms] {
        let mut node = Node::start(1);
        node.pass(60_000);
        // Nobody was heard of yet.
        let now = node.now();
        let refused = Err(MayNotDestroy::NoFederationTime);
        assert_eq!(node.engine.may_destroy(now), refused);
        for number in [0, 2, 3] {
            let mut other = Node::start(number);
            tell(&mut node, &alive_after(&mut other, 60_000));
        }
        assert_eq!(node.engine.may_destroy(node.now()), Ok(()));
        assert_eq!(node.engine.clock_jump(node.now()), None);
        node.pass(1_000);
        let now = wake_at(&mut node, off_ms);
        let rest_ms = CLOCK_REST_MS;
        let by_ms = off_ms;
        let refused = Err(MayNotDestroy::ClockJumped { by_ms, rest_ms });
        assert_eq!(node.engine.may_destroy(now), refused);
        assert_eq!(node.engine.clock_jump(now).unwrap().by_ms, off_ms);
        // And nobody counts.
        let membership = node.engine.membership();
        let roster = node.engine.roster();
        let fresh = membership.alives().freshness(
            &roster,
            membership.suspensions(),
            node.engine.me(),
            now,
            Marking::Green,
        );
        assert_eq!(fresh.heard, 1);
        // An hour later the federation's time must be known anew.
        node.pass(CLOCK_REST_MS);
        let now = wake_at(&mut node, off_ms);
        let refused = Err(MayNotDestroy::NoFederationTime);
        assert_eq!(node.engine.may_destroy(now), refused);
        assert_eq!(node.engine.clock_jump(now), None);
    }
}

#[test]
fn attack_16_a_clock_set_back_while_the_node_did_not_run_is_noticed_at_its_start() {
    let mut node = Node::start(1);
    alive_after(&mut node, ALIVE_EVERY_MS);
    // It starts again at the moment of its first start.
    let node = node.restart(1);
    let by_ms = -i64::try_from(ALIVE_EVERY_MS).unwrap();
    assert_eq!(node.engine.clock_jump(node.now()).unwrap().by_ms, by_ms);
}
