//! Coming back after an absence: what is asked of whom, and what it costs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::limits::{DEFERRED_MS, FRONTIER_PAGES_MAX, RANGE_FRAMES_MAX, REDO_LAST_MS};
use crate::wire::exchange::{FrontierEntry, Mark, Run, ShortName, StoreId, StreamName, head_of};

pub(super) const STORE: StoreId = StoreId([5; 16]);

pub(super) fn entry(stream: StreamId, through: u64) -> FrontierEntry {
    FrontierEntry {
        name: StreamName::Full(stream),
        through,
        head: (through > 0).then_some([9; 8]),
        beyond: List::default(),
    }
}

pub(super) fn page(change: u64, entries: Vec<FrontierEntry>, more: bool) -> Option<Answer> {
    Some(Answer::Frontier {
        at: Mark {
            store: STORE,
            change,
        },
        entries: List::new(entries).unwrap(),
        more,
    })
}

#[test]
fn who_was_away_gets_all_of_it_and_then_nothing_costs_under_200_bytes() {
    let (mut author, frames) = author_of(2 * RANGE_FRAMES_MAX + 3);
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    let carried = node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(frames.iter().all(|frame| node.holds(frame)));
    // In ranges, each sequence asked for once.
    assert_eq!(
        carried.ranges(),
        [(0, 1, 256), (0, 257, 512), (0, 513, 515)]
    );
    node.commit();
    // The mark was kept: after a restart nothing is listed again.
    let mut node = node.restart(1);
    let outputs = node.meet(0);
    let carried = node.carry(1, outputs, &mut [(0, &mut author)]);
    // Both are asked at once.
    assert_eq!(carried.asked.len(), 2, "one round trip");
    assert!(carried.bytes <= 200, "{} bytes", carried.bytes);
    assert_eq!(node.engine.status().behind, []);
}

#[test]
fn a_stream_that_changed_costs_at_most_28_bytes() {
    let (mut author, _) = author_of(3);
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    let ask = |node: &mut Node, author: &mut Node| {
        let outputs = node.later(2 * PROBE_EVERY_MS);
        let (id, request) = asked(&outputs, 0).remove(0);
        let answer = author.serves(1, request);
        let bytes = codec::encode(answer.as_ref().unwrap()).len();
        (node.answered(id, answer), bytes)
    };
    let (_, nothing) = ask(&mut node, &mut author);
    let frame = author.frame_of("one more", 10);
    let (outputs, one) = ask(&mut node, &mut author);
    assert!(one - nothing <= 28, "{nothing} and then {one}");
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(node.holds(&frame));
}

#[test]
fn several_holders_serve_different_ranges() {
    let (mut author, frames) = author_of(3 * RANGE_FRAMES_MAX);
    let mut holder = Node::start(2);
    let outputs = holder.meet(0);
    holder.carry(2, outputs, &mut [(0, &mut author)]);
    holder.commit();
    holder.meet(1);
    let mut node = Node::start(1);
    let mut outputs = node.meet(0);
    outputs.extend(node.meet(2));
    // Both tell their frontiers before a range is asked for.
    let frontiers: Vec<_> = [0, 2]
        .into_iter()
        .flat_map(|of| asked(&outputs, of))
        .collect();
    let mut outputs = Vec::new();
    for (id, request) in frontiers {
        let other = if asked(&outputs, 2).is_empty() && outputs.is_empty() {
            &mut author
        } else {
            &mut holder
        };
        outputs.extend(node.answered(id, other.serves(1, request)));
    }
    let carried = node.carry(1, outputs, &mut [(0, &mut author), (2, &mut holder)]);
    let ranges = carried.ranges();
    assert!(ranges.iter().any(|(of, ..)| *of == 0) && ranges.iter().any(|(of, ..)| *of == 2));
    let mut firsts: Vec<u64> = ranges.iter().map(|(_, from, _)| *from).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), ranges.len(), "no range is asked for twice");
    assert!(frames.iter().all(|frame| node.holds(frame)));
}

#[test]
fn what_is_held_behind_a_gap_is_told_and_only_gaps_are_asked_for() {
    let (mut author, frames) = author_of(9);
    // One holds 1, 2, 5 and 6; the other 1, 2, 3 and 6; the author is gone.
    let mut holder = Node::start(2);
    holder.meet(0);
    for at in [0, 1, 4, 5] {
        holder.gossip(0, &frames[at]);
    }
    let mut node = Node::start(1);
    node.meet(0);
    for at in [0, 1, 2, 5] {
        node.gossip(0, &frames[at]);
    }
    author.commit();
    holder.commit();
    holder.meet(1);
    let outputs = node.meet(2);
    let carried = node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert_eq!(carried.ranges(), [(2, 5, 5)]);
    assert!(node.holds(&frames[4]) && !node.holds(&frames[3]));
    // Nothing more is to be had, and nobody asks on.
    let outputs = node.later(2 * PROBE_EVERY_MS);
    let carried = node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert_eq!(carried.ranges(), []);
}

#[test]
fn a_timeout_is_no_answer_and_the_mark_does_not_move() {
    let (mut author, frames) = author_of(1);
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    let (id, request) = asked(&outputs, 0).remove(0);
    let outputs = node.answered(id, author.serves(1, request));
    let (id, _) = asked(&outputs, 0).remove(0);
    node.answered(id, None);
    assert_eq!(node.engine.status().behind, [node_id(0)]);
    let outputs = node.later(REDO_LAST_MS);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(node.holds(&frames[0]));
}

#[test]
fn one_author_over_its_quota_holds_up_nobody_else() {
    let (mut author, _) = author_of(2);
    let mut other = Node::start(3);
    let frame = other.frame_of("other", 10);
    author.meet(3);
    author.gossip(3, &frame);
    author.commit();
    let mut node = Node::start(1);
    node.exhaust(0, Way::Asked);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(node.holds(&frame));
    assert_eq!(node.engine.status().catch_up.missing, 2);
    // What it publishes now is taken: only what was asked for is charged there.
    let live = author.frame_of("live", 10);
    assert_eq!(verdict(&node.gossip(0, &live)), Verdict::Accept);
    let outputs = node.later(DEFERRED_MS);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert_eq!(node.engine.status().catch_up.missing, 0);
}

#[test]
fn what_no_certificate_stands_for_is_looked_at_again_when_one_does() {
    let member = keys(0);
    let new = keys(50);
    let certificate = newcomer_certificate(&member, &new);
    let mut node = Node::start(1);
    let outputs = node.meet(2);
    let (id, _) = asked(&outputs, 2).remove(0);
    let outputs = node.answered(id, page(1, vec![entry(public_of(50, 1), 1)], false));
    assert!(asked(&outputs, 2).is_empty());
    node.commit();
    node.knock(&new, certificate);
    // The mark had not moved: it asks from the beginning.
    let outputs = node.later(0);
    let [(_, Request::Frontier { since: None, .. })] = asked(&outputs, 2)[..] else {
        panic!("asks again: {outputs:?}");
    };
}

#[test]
fn a_short_name_that_is_not_known_is_asked_for_in_full_once() {
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    let [(id, Request::Frontier { full: true, .. })] = asked(&outputs, 0)[..] else {
        panic!("the first time all names are asked for in full: {outputs:?}");
    };
    node.answered(id, page(1, Vec::new(), false));
    let outputs = node.later(2 * PROBE_EVERY_MS);
    let [(id, Request::Frontier { full: false, .. })] = asked(&outputs, 0)[..] else {
        panic!("there is a mark now: {outputs:?}");
    };
    let short = FrontierEntry {
        name: StreamName::Short(ShortName([3; 8])),
        ..entry(public_of(0, 1), 4)
    };
    let outputs = node.answered(id, page(2, vec![short.clone()], false));
    let [(id, Request::Frontier { full: true, .. })] = asked(&outputs, 0)[..] else {
        panic!("asks in full: {outputs:?}");
    };
    // Who insists is passed over.
    assert!(asked(&node.answered(id, page(2, vec![short], false)), 0).is_empty());
}

#[test]
fn invented_streams_cost_nobody_a_question_and_pages_end() {
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    let (mut id, _) = asked(&outputs, 0).remove(0);
    // Ever more of them: it ends, and no range is asked for.
    for number in 0..1_000_u64 {
        let entries = (0..100).map(|at| entry(public_of(0, 1_000 + number * 100 + at), 9));
        let outputs = node.answered(id, page(number + 1, entries.collect(), true));
        match asked(&outputs, 0).into_iter().next() {
            Some((next, Request::Frontier { .. })) => id = next,
            Some((_, other)) => panic!("asked for {other:?}"),
            None => {
                assert_eq!(number + 1, FRONTIER_PAGES_MAX as u64);
                return;
            }
        }
    }
    panic!("an endless frontier is asked for without end");
}

#[test]
fn what_makes_no_sense_closes_the_link() {
    let stream = public_of(0, 1);
    let sealed = StreamId {
        tag: Tag::from_bytes([9; 16]),
        ..stream
    };
    let run = |gap, run| List::new(vec![Run { gap, run }]).unwrap();
    let with = |through, head, beyond| FrontierEntry {
        name: StreamName::Full(stream),
        through,
        head,
        beyond,
    };
    let senseless = [
        vec![entry(stream, 1), entry(stream, 2)],
        vec![entry(sealed, 1)],
        vec![with(0, Some([1; 8]), List::default())],
        vec![with(1, None, List::default())],
        vec![with(u64::MAX, Some([1; 8]), run(1, 1))],
        vec![with(1 << 48, Some([1; 8]), List::default())],
        vec![with(1, Some([1; 8]), run(0, 1))],
        vec![with(1, Some([1; 8]), run(1, 0))],
        vec![with(1, Some([1; 8]), run(4_096, 1))],
    ];
    for entries in senseless {
        let mut node = Node::start(1);
        let outputs = node.meet(0);
        let (id, _) = asked(&outputs, 0).remove(0);
        let outputs = node.answered(id, page(1, entries.clone(), false));
        assert_eq!(reconnects(&outputs), 1, "{entries:?}");
    }
}

#[test]
fn a_server_of_spoiled_or_foreign_ranges_loses_its_link() {
    let (author, frames) = author_of(3);
    let spoiled = {
        let mut bytes = frames[0].clone();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let other = Node::start(2).frame_of("b", 10);
    let stream = author.engine.own_stream();
    let head = author.engine.streams.through(&stream).unwrap().head;
    let answers: [Vec<&[u8]>; 4] = [
        vec![&spoiled],
        vec![&other],
        vec![&frames[1], &frames[0]],
        vec![&frames[0], &frames[0]],
    ];
    for frames in answers {
        let mut node = Node::start(1);
        let outputs = node.meet(0);
        let (id, _) = asked(&outputs, 0).remove(0);
        let listed = FrontierEntry {
            head: Some(head_of(&STORE, &head)),
            ..entry(stream, 3)
        };
        let outputs = node.answered(id, page(1, vec![listed], false));
        let (id, _) = asked(&outputs, 0).remove(0);
        let items = frames
            .iter()
            .map(|frame| RangeItem::Frame(Bytes::new(frame.to_vec()).unwrap()))
            .collect();
        let items = List::new(items).unwrap();
        let outputs = node.answered(id, Some(Answer::Range { items }));
        assert_eq!(reconnects(&node.work(outputs)), 1);
    }
}

#[test]
fn who_lists_and_does_not_serve_is_asked_once_and_another_instead() {
    let (mut author, frames) = author_of(2);
    let mut node = Node::start(1);
    let liar = node.meet(2);
    let (id, _) = asked(&liar, 2).remove(0);
    let outputs = node.answered(id, page(7, vec![entry(public_of(0, 1), 900)], false));
    let mut ranges = asked(&outputs, 2);
    let not_held = unavailable(Unavailable::NotHeld);
    let mut questions = 0;
    while let Some((id, _)) = ranges.pop() {
        questions += 1;
        ranges.extend(asked(&node.answered(id, Some(not_held.clone())), 2));
    }
    assert!(
        questions <= crate::limits::VAIN_MAX,
        "{questions} questions"
    );
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(frames.iter().all(|frame| node.holds(frame)));
}

#[test]
fn whoever_syncs_is_told_when_every_peer_has_been_looked_at() {
    let (mut author, frames) = author_of(2);
    let mut node = Node::start(1);
    node.meet(0);
    node.meet(2);
    let mut outputs = node.feed(Input::Sync {
        client: ClientToken(9),
    });
    outputs.extend(node.later(2 * PROBE_EVERY_MS));
    let synced = |outputs: &[Output]| {
        outputs
            .iter()
            .any(|output| matches!(output, Output::Synced { client } if *client == ClientToken(9)))
    };
    assert!(!synced(&outputs));
    // One answers at last, the other goes.
    node.feed(Input::PeerDisconnected { node: node_id(0) });
    let mut outputs = node.meet(0);
    outputs = node.carry(1, outputs, &mut [(0, &mut author)]).outputs;
    outputs.extend(node.feed(Input::PeerDisconnected { node: node_id(2) }));
    outputs.extend(node.commit());
    assert!(synced(&outputs));
    assert!(frames.iter().all(|frame| node.holds(frame)));
}

#[test]
fn one_that_is_missing_at_a_holder_does_not_hide_the_rest() {
    let (mut author, frames) = author_of(RANGE_FRAMES_MAX + 9);
    // The holder's copy of one is damaged.
    let mut holder = Node::start(2);
    let outputs = holder.meet(0);
    holder.carry(2, outputs, &mut [(0, &mut author)]);
    holder.commit();
    let mut batch = Batch::default();
    batch.put(table::log(3), b"not a log entry".to_vec());
    holder.engine.store().apply(&batch).unwrap();
    holder.meet(1);
    let mut node = Node::start(1);
    let outputs = node.meet(2);
    node.carry(1, outputs, &mut [(2, &mut holder)]);
    let held = frames.iter().filter(|frame| node.holds(frame)).count();
    assert_eq!(held, frames.len() - 1);
}

#[test]
fn a_question_under_way_keeps_what_must_be_asked_again() {
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    let (id, _) = asked(&outputs, 0).remove(0);
    // What is listed is of a life that nobody knows: the mark must not move.
    node.answered(id, page(1, vec![entry(public_of(0, 9), 1)], false));
    let outputs = node.later(REDO_LAST_MS);
    let (id, _) = asked(&outputs, 0).remove(0);
    // The answer takes its time, and probes come due meanwhile.
    node.later(REDO_LAST_MS);
    node.answered(id, page(2, vec![entry(public_of(0, 9), 1)], false));
    let outputs = node.later(2 * REDO_LAST_MS);
    let [(_, Request::Frontier { since: None, .. })] = asked(&outputs, 0)[..] else {
        panic!("asks from the beginning: {outputs:?}");
    };
}

#[test]
fn hellos_have_nonces_of_their_own() {
    let mut node = Node::start(1);
    let mut nonces = std::collections::BTreeSet::new();
    for peer in [0, 2, 3] {
        let outputs = node.feed(Input::PeerConnected {
            node: node_id(peer),
        });
        let [(_, Request::Hello { nonce, .. })] = asked(&outputs, peer)[..] else {
            panic!("says hello");
        };
        assert!(nonces.insert(nonce));
        let hello = node.hello();
        let Some(Answer::Hello { nonce, .. }) = answer(&node.request(peer, hello)) else {
            panic!("answers hello");
        };
        assert!(nonces.insert(nonce));
    }
}
