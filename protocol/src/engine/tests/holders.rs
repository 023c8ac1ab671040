//! Of those who offer something: whom to ask first, how often in vain, and
//! what an answer may be at most.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::catching_up::{entry, page};
use super::room::*;
use super::*;
use crate::limits::{RANGES_PER_PEER_MAX, RETRY_MS, SEQUENCE_AHEAD_MAX, VAIN_MAX};
use crate::wire::exchange::FrontierEntry;

/// A node that is connected to a peer, and the question for its frontier.
fn met(node: &mut Node, peer: u64) -> RequestId {
    let outputs = node.meet(peer);
    asked(&outputs, peer)[0].0
}

fn ranges(outputs: &[Output], of: u64) -> Vec<(RequestId, StreamId, u64, u64)> {
    asked(outputs, of)
        .into_iter()
        .filter_map(|(id, request)| match request {
            Request::Range { stream, from, to } => Some((id, stream, from, to)),
            _ => None,
        })
        .collect()
}

fn brought(frames: &[&Vec<u8>]) -> Option<Answer> {
    let items = frames
        .iter()
        .map(|frame| RangeItem::Frame(Bytes::new(frame.to_vec()).unwrap()))
        .collect();
    Some(Answer::Range {
        items: List::new(items).unwrap(),
    })
}

fn not_held() -> Option<Answer> {
    Some(Answer::Unavailable {
        reason: Unavailable::NotHeld,
    })
}

#[test]
fn recalls_and_revocations_are_fetched_before_anything_else() {
    // The control stream of whoever stands last in every order, so that it is
    // not by its place that it is asked for first.
    let last = [0, 2, 3].into_iter().max_by_key(|at| node_id(*at)).unwrap();
    let control = StreamId {
        tag: Tag::CONTROL,
        ..public_of(last, 1)
    };
    let mut listed: Vec<FrontierEntry> = [0, 2, 3]
        .into_iter()
        .map(|author| entry(public_of(author, 1), 1_000))
        .collect();
    listed.push(entry(control, 1_000));
    let mut node = Node::start(1);
    let question = met(&mut node, 0);
    let mut waiting = ranges(&node.answered(question, page(1, listed, false)), 0);
    assert_eq!(waiting.len(), RANGES_PER_PEER_MAX);
    assert_eq!(waiting[0].1, control);
    // And all of it before one of the others gets a second turn.
    let mut order = Vec::new();
    while !waiting.is_empty() && order.len() < 8 {
        let (id, stream, from, to) = waiting.remove(0);
        order.push((stream, from));
        assert!(to < from + crate::limits::RANGE_FRAMES_MAX as u64);
        waiting.extend(ranges(&node.answered(id, not_held()), 0));
    }
    let firsts: Vec<u64> = order
        .iter()
        .filter(|(stream, _)| *stream == control)
        .map(|(_, from)| *from)
        .collect();
    assert_eq!(firsts, [1, 257, 513, 769]);
    let before = order.iter().position(|asked| *asked == (control, 769));
    assert!(before < Some(5), "{order:?}");
}

#[test]
fn who_lists_thousands_and_has_none_costs_a_few_questions_and_not_one_for_each() {
    let mut node = Node::start(1);
    let question = met(&mut node, 2);
    let listed = vec![entry(public_of(0, 1), SEQUENCE_AHEAD_MAX)];
    let mut waiting = ranges(&node.answered(question, page(7, listed, false)), 2);
    let mut questions = 0;
    while let Some((id, ..)) = waiting.pop() {
        questions += 1;
        assert!(questions < 100, "asks on and on");
        waiting.extend(ranges(&node.answered(id, not_held()), 2));
    }
    // Those that were under way when it was enough are answered too.
    let most = VAIN_MAX as usize + RANGES_PER_PEER_MAX - 1;
    assert!(questions <= most, "{questions} questions");
    // What was not asked for is left for later: the mark stays.
    assert_eq!(node.engine.status().behind, [node_id(2)]);
}

#[test]
fn of_two_who_have_the_same_the_quicker_is_asked() {
    let mut author = Node::start(3);
    let frames: Vec<_> = (0..3)
        .map(|at| author.frame_of(&format!("{at}"), 10))
        .collect();
    let stream = public_of(3, 1);
    // Where nothing else tells them apart, it would be the slow one's turn.
    let (slow, quick) = if node_id(0) < node_id(2) {
        (0, 2)
    } else {
        (2, 0)
    };
    let mut node = Node::start(1);
    let mut question = [met(&mut node, slow), met(&mut node, quick)];
    for (at, peer, took_ms) in [(0, slow, 5_000), (1, quick, 10)] {
        let listed = vec![entry(stream, at + 1)];
        let index = usize::try_from(at).unwrap();
        let outputs = node.answered(question[index], page(1, listed, false));
        let [(id, _, from, to)] = ranges(&outputs, peer)[..] else {
            panic!("asks: {outputs:?}");
        };
        assert_eq!((from, to), (at + 1, at + 1));
        node.pass(took_ms);
        let outputs = node.answered(id, brought(&[&frames[index]]));
        node.work(outputs);
    }
    let outputs = node.later(2 * PROBE_EVERY_MS);
    question = [slow, quick].map(|peer| asked(&outputs, peer)[0].0);
    // Both offer the third. The question for it does not leave this node, so
    // that both are free when it is asked again.
    let listed = || page(2, vec![entry(stream, 3)], false);
    let outputs = node.answered(question[0], listed());
    let [(id, ..)] = ranges(&outputs, slow)[..] else {
        panic!("the only one who offers it is asked: {outputs:?}");
    };
    node.feed(Input::NotAsked { id });
    assert!(ranges(&node.answered(question[1], listed()), quick).is_empty());
    let outputs = node.later(RETRY_MS);
    assert_eq!(ranges(&outputs, slow), []);
    assert!(matches!(ranges(&outputs, quick)[..], [(_, _, 3, 3)]));
}

#[test]
fn more_than_was_asked_for_is_not_even_verified() {
    let (mut author, frames) = author_of(2);
    let mut node = Node::start(1);
    let question = met(&mut node, 2);
    let outputs = node.answered(question, page(1, vec![entry(public_of(0, 1), 1)], false));
    let [(id, _, 1, 1)] = ranges(&outputs, 2)[..] else {
        panic!("asks for what is listed: {outputs:?}");
    };
    let outputs = node.answered(id, brought(&[&frames[0], &frames[1]]));
    assert_eq!(reconnects(&outputs), 1);
    let is_work = |output: &Output| matches!(output, Output::Work(_));
    assert!(
        !outputs.iter().any(is_work),
        "no signature is worth checking"
    );
    // It proves nothing about what the peer holds, so that is asked for again,
    // there or elsewhere.
    assert_eq!(node.engine.status().behind, [node_id(2)]);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(frames.iter().all(|frame| node.holds(frame)));
}
