//! Marks: up to where a peer's frontier has been dealt with. Whatever lies
//! behind a mark is never heard of again, so it moves over nothing that is
//! missing here for a reason that passes, and it is not believed for ever.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::catching_up::{entry, page};
use super::room::*;
use super::*;
use crate::limits::{
    DEFERRED_MS, LIST_ALL_EVERY_MS, PROBE_AGAIN_MS, RANGE_FRAMES_MAX, REDO_FIRST_MS, RETRY_MS,
    SEQUENCE_AHEAD_MAX,
};
use crate::wire::envelope::Position;
use crate::wire::exchange::{FrontierEntry, Mark, Scope};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What a node lists to peer 1 since a mark, and its own.
fn listed(node: &mut Node, since: Option<Mark>) -> (Vec<FrontierEntry>, Mark) {
    let request = Request::Frontier {
        scope: Scope::OPEN,
        since,
        full: true,
        news: false,
    };
    let mut said = node.request(1, request);
    said.extend(node.commit());
    match answer(&said) {
        Some(Answer::Frontier { at, entries, .. }) => (entries.into_vec(), at),
        other => panic!("no frontier: {other:?}"),
    }
}

/// The one question for its frontier that a peer is asked.
fn frontier_asked(outputs: &[Output], of: u64) -> (RequestId, Option<Mark>, bool) {
    match asked(outputs, of)[..] {
        [(id, Request::Frontier { since, news, .. })] => (id, since, news),
        _ => panic!("asks once: {outputs:?}"),
    }
}

#[test]
fn a_mark_of_a_former_start_holds_up_to_its_end_and_not_beyond() {
    let (mut author, _) = author_of(1);
    let mut other = Node::start(3);
    author.gossip(3, &other.frame_of("other", 10));
    author.commit();
    let (_, end) = listed(&mut author, None);
    let mut author = author.restart(0);
    author.meet(1);
    author.commit();
    // A third number, under the new name. Had the former start given out a
    // third too, and lost it in a crash, it was of something else.
    author.frame_of("later", 10);
    let mut count = |change| listed(&mut author, Some(Mark { change, ..end })).0.len();
    assert_eq!(count(end.change), 1, "what came later");
    assert_eq!(count(end.change - 1), 2);
    assert_eq!(count(end.change + 1), 2, "it does not hold: everything");
    // The same of the name that it has now.
    let (_, end) = listed(&mut author, None);
    let beyond = Mark {
        change: end.change + 1,
        ..end
    };
    assert_eq!(listed(&mut author, Some(end)).0.len(), 0);
    assert_eq!(listed(&mut author, Some(beyond)).0.len(), 2);
}

#[test]
fn a_mark_outlives_sixteen_starts() {
    let (mut author, _) = author_of(1);
    let (_, mark) = listed(&mut author, None);
    for start in 1..=FORMER_STORES_MAX + 1 {
        author = author.restart(0);
        author.meet(1);
        author.commit();
        let holds = listed(&mut author, Some(mark)).0.is_empty();
        assert_eq!(holds, start <= FORMER_STORES_MAX, "{start}");
    }
}

#[test]
fn what_a_holder_could_not_serve_is_asked_for_again_within_a_day() {
    let mut author = Node::start(0);
    let frames: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            let mut draft = draft(name, 10, Marking::Clear);
            draft.wish.valid_ms = 10 * DAY_MS;
            frame_with(&mut author, draft)
        })
        .collect();
    let mut holder = Node::start(2);
    for frame in &frames {
        holder.gossip(0, frame);
    }
    holder.commit();
    holder.meet(1);
    // Its disk fails to read one, for a while.
    let put = |holder: &Node, value: Vec<u8>| {
        let mut batch = Batch::default();
        batch.put(table::log(1), value);
        holder.engine.store().apply(&batch).unwrap();
    };
    let sound = holder.engine.store().get(&table::log(1)).unwrap().unwrap();
    put(&holder, b"not a log entry".to_vec());
    let mut node = Node::start(1);
    let outputs = node.meet(2);
    node.carry(1, outputs, &mut [(2, &mut holder)]);
    put(&holder, sound);
    // It said that it has it not: nothing changed there since, so nobody asks.
    let outputs = node.later(2 * PROBE_EVERY_MS);
    let carried = node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert_eq!(carried.ranges(), []);
    assert!(!node.holds(&frames[1]));
    // Once a day it is asked as if for the first time.
    let outputs = node.later(LIST_ALL_EVERY_MS);
    let carried = node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert_eq!(carried.ranges(), [(2, 2, 2)]);
    assert!(node.holds(&frames[1]));
}

#[test]
fn what_must_be_looked_at_again_is_not_forgotten_while_an_answer_is_under_way() {
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    let (id, ..) = frontier_asked(&outputs, 0);
    // What is listed is of a life that nobody knows yet: it is looked at again
    // in a while, and until then the mark does not move.
    node.pass(10_000);
    node.answered(id, page(1, vec![entry(public_of(0, 9), 1)], false));
    // The next question is asked before that, goes on behind it, and takes its
    // time, so that the moment to look again passes meanwhile.
    let outputs = node.later(REDO_FIRST_MS / 2);
    let (id, since, _) = frontier_asked(&outputs, 0);
    assert_eq!(since.map(|since| since.change), Some(1));
    assert!(asked(&node.later(2 * PROBE_EVERY_MS), 0).is_empty());
    node.answered(id, page(2, Vec::new(), false));
    // What it answers is no answer to what was passed over.
    assert_eq!(node.engine.status().behind, [node_id(0)]);
    let outputs = node.later(2 * PROBE_EVERY_MS);
    assert_eq!(frontier_asked(&outputs, 0).1, None);
}

#[test]
fn who_could_not_gossip_tells_and_is_asked_at_once() {
    let (mut author, mut node) = (Node::start(0), Node::start(1));
    // Both say hello and look at each other.
    let outputs = author.meet(1);
    node.meet(0);
    node.commit();
    author.carry(0, outputs, &mut [(1, &mut node)]);
    node.feed(Input::PeerDisconnected { node: node_id(0) });
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    let frame = author.frame_of("lost on the way", 10);
    author.feed(Input::Congested {
        node: Some(node_id(1)),
    });
    let outputs = author.later(PROBE_AGAIN_MS);
    author.carry(0, outputs, &mut [(1, &mut node)]);
    // Long before the node's own turn to ask.
    let outputs = node.later(PROBE_AGAIN_MS);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(node.holds(&frame));
    // A question without news makes nobody ask back.
    let outputs = author.later(2 * PROBE_EVERY_MS);
    assert!(!frontier_asked(&outputs, 1).2);
    author.carry(0, outputs, &mut [(1, &mut node)]);
    assert!(asked(&node.later(PROBE_AGAIN_MS), 0).is_empty());
}

#[test]
fn that_frames_were_lost_is_told_until_it_is_heard() {
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    let (id, ..) = frontier_asked(&outputs, 0);
    node.answered(id, page(1, Vec::new(), false));
    node.feed(Input::Congested { node: None });
    let outputs = node.later(2 * PROBE_AGAIN_MS);
    let (id, _, news) = frontier_asked(&outputs, 0);
    assert!(news);
    // The question is lost too.
    node.answered(id, None);
    let outputs = node.later(RETRY_MS);
    let (id, _, news) = frontier_asked(&outputs, 0);
    assert!(news, "after no answer");
    // Or cannot even be sent.
    node.feed(Input::NotAsked { id });
    let outputs = node.later(PROBE_EVERY_MS);
    let (id, _, news) = frontier_asked(&outputs, 0);
    assert!(news, "after it could not be sent");
    node.answered(id, page(1, Vec::new(), false));
    let outputs = node.later(2 * PROBE_EVERY_MS);
    assert!(!frontier_asked(&outputs, 0).2, "it was heard");
}

#[test]
fn what_lies_too_far_behind_a_gap_is_fetched_once_the_gap_is_closed() {
    let stream = public_of(0, 1);
    let id = |sequence: u64| EnvelopeId::from_bytes(sha256(&sequence.to_be_bytes()));
    let mut node = Node::start(1);
    let hold = |node: &mut Node, sequence: u64| {
        let position = Position {
            tag: stream.tag,
            sequence,
            previous: (sequence > 1).then(|| id(sequence - 1)),
        };
        node.engine.streams.insert(stream, &position, id(sequence));
    };
    // The first is missing; as much behind it is held as may be.
    for sequence in 2..=SEQUENCE_AHEAD_MAX {
        hold(&mut node, sequence);
    }
    let last = SEQUENCE_AHEAD_MAX + 1_000;
    let outputs = node.meet(2);
    let (question, ..) = frontier_asked(&outputs, 2);
    let outputs = node.answered(question, page(1, vec![entry(stream, last)], false));
    let [(range, Request::Range { from: 1, to: 1, .. })] = asked(&outputs, 2)[..] else {
        panic!("asks for the gap alone: {outputs:?}");
    };
    let not_held = Answer::Unavailable {
        reason: Unavailable::NotHeld,
    };
    // Nothing else can be taken of that peer now, and a thousand are missing.
    assert!(asked(&node.answered(range, Some(not_held)), 2).is_empty());
    assert_eq!(node.engine.status().behind, [node_id(2)]);
    // Somebody else brings the first.
    hold(&mut node, 1);
    let outputs = node.later(2 * REDO_FIRST_MS);
    let (question, since, _) = frontier_asked(&outputs, 2);
    assert_eq!(since, None, "the mark did not move over them");
    let outputs = node.answered(question, page(1, vec![entry(stream, last)], false));
    let ranges: Vec<(u64, u64)> = asked(&outputs, 2)
        .into_iter()
        .filter_map(|(_, request)| match request {
            Request::Range { from, to, .. } => Some((from, to)),
            _ => None,
        })
        .collect();
    let (first, count) = (SEQUENCE_AHEAD_MAX + 1, RANGE_FRAMES_MAX as u64);
    assert_eq!(ranges[0], (first, first + count - 1));
}

#[test]
fn who_waits_for_a_sync_does_not_wait_for_an_author_over_its_quota() {
    let (mut author, _) = author_of(2);
    let mut node = Node::start(1);
    let client = ClientToken(9);
    let is_synced =
        |output: &Output| matches!(output, Output::Synced { client: whom } if *whom == client);
    let mut go_on = |node: &mut Node, outputs| {
        let mut said = node.carry(1, outputs, &mut [(0, &mut author)]).outputs;
        said.extend(node.commit());
        // Something is missing all the while; no mark moves over it.
        let status = node.engine.status();
        assert_eq!((status.catch_up.missing, status.catch_up.deferred), (2, 1));
        assert_eq!(status.behind, [node_id(0)]);
        said.iter().any(is_synced)
    };
    let use_up = |node: &mut Node| {
        let whose = (node_id(0), Way::Asked);
        let empty = empty_quota(node.now());
        node.engine.author_quotas.insert(whose, empty);
    };
    // While the first look is under way.
    use_up(&mut node);
    let mut outputs = node.meet(0);
    outputs.extend(node.feed(Input::Sync { client }));
    assert!(go_on(&mut node, outputs));
    // And later: what waits is asked for once more, in vain again.
    let outputs = node.feed(Input::Sync { client });
    let mut synced = go_on(&mut node, outputs);
    node.pass(DEFERRED_MS);
    use_up(&mut node);
    let outputs = node.feed(Input::Wake);
    synced |= go_on(&mut node, outputs);
    assert!(synced);
}
