//! What is answered to whom: nothing that could still be forgotten, nothing
//! that is sealed or over, and never more than an answer may hold.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::engine::receive::HOUR_MS;
use crate::gate::NotARequest;
use crate::ids::FederationId;
use crate::limits::{FRAME_BYTES_MAX, LIST_LENGTH_BYTES_MAX, RANGE_BYTES_MAX, RANGE_FRAMES_MAX};
use crate::wire::codec::CodecError;
use crate::wire::exchange::Scope;

fn unavailable(reason: Unavailable) -> Option<Answer> {
    Some(Answer::Unavailable { reason })
}

fn range(node: &mut Node, stream: StreamId, from: u64, to: u64) -> Option<Answer> {
    let mut said = node.request(1, Request::Range { stream, from, to });
    said.extend(node.commit());
    answer(&said)
}

#[test]
fn a_frontier_is_not_told_before_it_is_durable() {
    let (mut author, _) = author_of(1);
    author.publish(draft("on its way", 10, Marking::Clear));
    let (number, batch) = author.engine.begin_commit().unwrap();
    author.engine.store().apply(&batch).unwrap();
    // It would name an envelope that a power cut could still take away; the
    // author would then sign another at its place.
    assert_eq!(answer(&author.request(1, frontier())), None);
    let Some(Answer::Frontier { entries, .. }) = answer(&author.feed(Input::Committed(number)))
    else {
        panic!("no frontier after the commit");
    };
    assert_eq!(entries.as_slice()[0].through, 2);
}

#[test]
fn a_sealed_stream_is_served_to_nobody_yet() {
    let (mut author, frames) = author_of(1);
    let sealed = StreamId {
        tag: Tag::from_bytes([9; 16]),
        ..public_of(0, 1)
    };
    // Something is held at a place of it.
    let id = id_of(&frames[0], &author.engine.roster());
    let mut batch = Batch::default();
    batch.put(table::sequence(&sealed, 1), codec::encode(&id));
    author.engine.store().apply(&batch).unwrap();
    let answered = range(&mut author, sealed, 1, 1);
    assert_eq!(answered, unavailable(Unavailable::NotHeld));
}

#[test]
fn a_senseless_or_endless_range_is_refused() {
    let (mut author, _) = author_of(1);
    let stream = public_of(0, 1);
    let most = RANGE_FRAMES_MAX as u64;
    for (from, to) in [(0, 1), (2, 1), (1, most + 1), (1, u64::MAX)] {
        let answered = range(&mut author, stream, from, to);
        assert_eq!(answered, unavailable(Unavailable::Refused), "{from} {to}");
    }
    let answered = range(&mut author, stream, 1, most);
    assert!(matches!(answered, Some(Answer::Range { .. })));
}

#[test]
fn a_range_of_large_envelopes_stops_where_an_answer_is_full() {
    let mut author = Node::start(0);
    let frames: Vec<_> = (0..12)
        .map(|at| author.frame_of(&format!("{at}"), 30_000))
        .collect();
    author.meet(1);
    author.commit();
    let Some(Answer::Range { items }) = range(&mut author, public_of(0, 1), 1, 12) else {
        panic!("no range");
    };
    let bytes: usize = items.iter().map(|item| codec::encode(item).len()).sum();
    assert!(bytes <= RANGE_BYTES_MAX - LIST_LENGTH_BYTES_MAX, "{bytes}");
    assert!((2..12).contains(&items.len()));
    // Whoever asks goes on behind the last that came.
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(frames.iter().all(|frame| node.holds(frame)));
}

#[test]
fn what_cannot_be_read_is_not_said_to_be_absent() {
    let (mut author, frames) = author_of(1);
    let place = table::sequence(&public_of(0, 1), 1);
    let sound = author.engine.store().get(&place).unwrap().unwrap();
    let put = |author: &Node, value: &[u8]| {
        let mut batch = Batch::default();
        batch.put(place.clone(), value.to_vec());
        author.engine.store().apply(&batch).unwrap();
    };
    put(&author, b"damaged");
    let answered = range(&mut author, public_of(0, 1), 1, 1);
    assert_eq!(answered, unavailable(Unavailable::Busy));
    // So nobody's mark moves over it, and it comes when the disk is mended.
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert_eq!(node.engine.status().behind, [node_id(0)]);
    put(&author, &sound);
    let outputs = node.later(2 * PROBE_EVERY_MS);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(node.holds(&frames[0]));
}

#[test]
fn who_sends_what_is_no_request_pays_for_it() {
    let ask = |why| {
        let mut node = Node::start(1);
        node.meet(2);
        let empty = empty_quota(node.now());
        *node.engine.peers.quota(&node_id(2)).unwrap() = empty;
        let outputs = node.feed(Input::Request {
            from: node_id(2),
            token: AnswerToken(1),
            request: Err(why),
        });
        (answer(&outputs), reconnects(&outputs) == 1)
    };
    let malformed = ask(NotARequest::Malformed(CodecError::NotCanonical));
    assert_eq!(malformed, (unavailable(Unavailable::Refused), true));
    // A newer version may ask more than this one knows.
    let unknown = ask(NotARequest::Unknown { number: 99 });
    assert_eq!(unknown, (unavailable(Unavailable::Unknown), false));
}

#[test]
fn a_hello_of_another_federation_opens_nothing() {
    let (mut author, _) = author_of(1);
    author.feed(Input::PeerConnected { node: node_id(3) });
    let hello = Request::Hello {
        federation: FederationId::from_bytes([3; 32]),
        epoch: 0,
        nonce: [7; 16],
    };
    let refused = unavailable(Unavailable::Refused);
    assert_eq!(answer(&author.request(3, hello)), refused);
    assert_eq!(answer(&author.request(3, frontier())), refused);
}

#[test]
fn another_scope_is_not_answered_with_this_one() {
    let (mut author, _) = author_of(1);
    let request = Request::Frontier {
        scope: Scope(7),
        since: None,
        full: true,
        news: false,
    };
    let answered = answer(&author.request(1, request));
    assert_eq!(answered, unavailable(Unavailable::Unknown));
}

#[test]
fn a_body_is_served_while_its_envelope_lives_and_no_longer() {
    let mut author = Node::start(0);
    author.meet(1);
    let mut large = draft("large", 400_000, Marking::Clear);
    large.wish.valid_ms = HOUR_MS;
    let frame = frame_with(&mut author, large);
    let envelope = id_of(&frame, &author.engine.roster());
    let chunk = || Request::Chunk { envelope, index: 0 };
    let answered = answer(&author.request(1, chunk()));
    assert!(matches!(answered, Some(Answer::Chunk { .. })));
    author.pass(2 * HOUR_MS);
    let answered = answer(&author.request(1, chunk()));
    assert_eq!(answered, unavailable(Unavailable::NotHeld));
}

#[test]
fn a_range_of_expired_envelopes_reads_no_more_than_one_of_live_ones() {
    let mut author = Node::start(0);
    let frames: Vec<_> = (0..24)
        .map(|at| {
            let mut large = draft(&format!("{at}"), 30_000, Marking::Clear);
            large.wish.valid_ms = 1;
            frame_with(&mut author, large)
        })
        .collect();
    author.meet(1);
    author.commit();
    author.pass(2 * HOUR_MS);
    let Some(Answer::Range { items }) = range(&mut author, public_of(0, 1), 1, 24) else {
        panic!("no range");
    };
    // Each is read whole to give its header.
    let read: usize = frames
        .iter()
        .take(items.len())
        .map(|frame| frame.len())
        .sum();
    assert!(read <= RANGE_BYTES_MAX + FRAME_BYTES_MAX, "{read}");
    assert!(items.len() > 1);
    // Whoever asks goes on behind the last that came.
    let mut node = Node::start(1);
    node.pass(2 * HOUR_MS);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert!(frames.iter().all(|frame| node.holds(frame)));
}
