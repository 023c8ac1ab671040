//! Bodies: whoever leaves, spoils or withholds them keeps none of them from
//! coming, and one that came or expired costs nothing any more.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::engine::receive::HOUR_MS;
use crate::limits::{
    BODIES_AWAITED_PER_AUTHOR_MAX, CHUNK_BYTES, LEFT_ON_DISK_AGAIN_MS, LEFT_ON_DISK_NEXT_MS,
    LEFT_ON_DISK_PAGE,
};
use crate::store::{Entry, MemoryStore};
use crate::table::LogEntry;
use crate::wire::chunk_tree::{Root, leaf, path_of};
use std::cell::Cell;

/// An author that is connected to peer 1, and the announcement of a body of
/// two chunks that lives for an hour.
fn announced() -> (Node, Vec<u8>) {
    let mut author = Node::start(0);
    author.meet(1);
    let mut large = draft("large", 400_000, Marking::Clear);
    large.wish.valid_ms = HOUR_MS;
    let frame = frame_with(&mut author, large);
    (author, frame)
}

fn chunk_of(author: &mut Node, frame: &[u8], index: u32) -> Option<Answer> {
    let envelope = id_of(frame, &author.engine.roster());
    answer(&author.request(1, Request::Chunk { envelope, index }))
}

fn not_held() -> Option<Answer> {
    Some(Answer::Unavailable {
        reason: Unavailable::NotHeld,
    })
}

fn pulls_on_disk(node: &mut Node) -> usize {
    node.commit();
    let store = node.engine.store();
    store.scan(table::PULLS, table::PULLS, 99).unwrap().len()
}

/// Brings the body to a node that asks peer 0 for it.
fn bring(node: &mut Node, author: &mut Node, frame: &[u8], outputs: &[Output]) {
    for (id, index) in chunks_asked(outputs, 0) {
        let outputs = node.answered(id, chunk_of(author, frame, index));
        node.work(outputs);
    }
}

#[test]
fn attack_33_a_chunk_is_as_long_as_was_announced() {
    // The author announces two chunks, the second of them short, and binds
    // another that is as large as a chunk may be.
    let (_, frame) = announced();
    let chunks = [vec![7; CHUNK_BYTES], vec![8; CHUNK_BYTES]];
    let leaves: Vec<_> = chunks.iter().map(|chunk| leaf(chunk)).collect();
    let frame = signed_again(&frame, 0, |header, _| {
        let payload = header.binding.payload.as_mut().unwrap();
        assert_eq!(payload.chunks, 2);
        payload.root = Root::of_leaves(&leaves).unwrap();
    });
    let mut node = Node::start(1);
    node.meet(0);
    let outputs = node.gossip(0, &frame);
    let spoiled: Vec<bool> = chunks_asked(&outputs, 0)
        .into_iter()
        .map(|(id, index)| {
            let bytes = chunks[usize::try_from(index).unwrap()].clone();
            let chunk = Answer::Chunk {
                bytes: Bytes::new(bytes).unwrap(),
                path: path_of(&leaves, index).unwrap(),
            };
            reconnects(&node.answered(id, Some(chunk))) == 1
        })
        .collect();
    assert_eq!(spoiled, [false, true]);
    assert_eq!(node.engine.status().pulls, 1);
}

#[test]
fn what_a_peer_was_asked_for_when_it_left_is_asked_of_another() {
    let (_, frame) = announced();
    let mut node = Node::start(1);
    node.meet(0);
    node.meet(2);
    let outputs = node.gossip(0, &frame);
    assert_eq!(chunks_asked(&outputs, 0).len(), 2);
    let outputs = node.feed(Input::PeerDisconnected { node: node_id(0) });
    assert_eq!(chunks_asked(&outputs, 2).len(), 2);
}

#[test]
fn who_serves_a_spoiled_chunk_loses_its_link_and_who_has_none_does_not() {
    let (mut author, frame) = announced();
    let mut node = Node::start(1);
    node.meet(0);
    let outputs = node.gossip(0, &frame);
    let ids = chunks_asked(&outputs, 0);
    assert_eq!(reconnects(&node.answered(ids[0].0, not_held())), 0);
    let Some(Answer::Chunk { bytes, path }) = chunk_of(&mut author, &frame, ids[1].1) else {
        panic!("not served");
    };
    let mut bytes = bytes.into_vec();
    bytes[0] ^= 1;
    let bytes = Bytes::new(bytes).unwrap();
    let outputs = node.answered(ids[1].0, Some(Answer::Chunk { bytes, path }));
    assert_eq!(reconnects(&outputs), 1);
}

#[test]
fn a_body_that_came_is_not_fetched_after_the_next_start() {
    let (mut author, frame) = announced();
    let mut node = Node::start(1);
    node.meet(0);
    let outputs = node.gossip(0, &frame);
    assert_eq!(pulls_on_disk(&mut node), 1);
    bring(&mut node, &mut author, &frame, &outputs);
    assert_eq!(pulls_on_disk(&mut node), 0);
    assert_eq!(node.restart(1).engine.status().pulls, 0);
}

#[test]
fn an_author_has_room_again_for_each_body_that_came_or_expired() {
    for comes in [true, false] {
        let (mut author, frame) = announced();
        let mut node = Node::start(1);
        node.meet(0);
        let full = BODIES_AWAITED_PER_AUTHOR_MAX;
        node.engine.pulls.pretend_awaited(node_id(0), full - 1);
        let outputs = node.gossip(0, &frame);
        assert_eq!(node.engine.status().pulls, 1, "the last that has room");
        if comes {
            bring(&mut node, &mut author, &frame, &outputs);
        } else {
            for (id, _) in chunks_asked(&outputs, 0) {
                node.answered(id, not_held());
            }
            // Nobody has it, and then its time is over.
            node.later(2 * HOUR_MS);
        }
        assert_eq!(node.engine.status().pulls, 0);
        let now = node.ms;
        author.pass(now);
        let frame = author.frame_of("next", 400_000);
        node.gossip(0, &frame);
        assert_eq!(node.engine.status().pulls, 1, "{comes}");
    }
}

#[test]
fn who_withholds_bodies_and_comes_again_is_not_asked_before_the_time() {
    let (_, frame) = announced();
    let mut node = Node::start(1);
    node.meet(0);
    let mut outputs = node.gossip(0, &frame);
    // Round after round it says that it has it not.
    for _ in 0..6 {
        for (id, _) in chunks_asked(&outputs, 0) {
            node.answered(id, not_held());
        }
        outputs = node.later(70_000);
    }
    for (id, _) in chunks_asked(&outputs, 0) {
        node.answered(id, not_held());
    }
    for _ in 0..10 {
        node.feed(Input::PeerDisconnected { node: node_id(0) });
        assert!(chunks_asked(&node.meet(0), 0).is_empty());
    }
    // Its time comes, whoever came and went.
    assert!(!chunks_asked(&node.later(70_000), 0).is_empty());
}

#[test]
fn what_waits_in_memory_is_not_lined_up_again_from_disk() {
    let mut hostile = Node::start(2);
    let mut node = Node::start(1);
    node.meet(2);
    let full = BODIES_AWAITED_PER_AUTHOR_MAX;
    node.engine.pulls.pretend_awaited(node_id(2), full - 2);
    for at in 0..3 {
        node.gossip(2, &hostile.frame_of(&format!("{at}"), 40_000));
    }
    assert_eq!(node.engine.status().pulls, 2, "one on disk alone");
    node.commit();
    node.engine.pulls.pretend_awaited(node_id(2), 2);
    node.later(LEFT_ON_DISK_AGAIN_MS);
    assert_eq!(node.engine.status().pulls, 3);
}

/// A store that counts what is read of it.
#[derive(Default)]
struct Counted {
    inner: MemoryStore,
    got: Cell<usize>,
    scanned: Cell<usize>,
}

impl Store for Counted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.got.set(self.got.get() + 1);
        self.inner.get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.inner.scan(prefix, from, limit)?;
        self.scanned.set(self.scanned.get() + entries.len());
        Ok(entries)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.inner.apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }
}

#[test]
fn bodies_announced_without_end_cost_a_look_one_page_of_the_disk() {
    // As many of node 2 as memory takes, five pages more, and behind them one
    // of node 3. One log entry serves for all of each author: what is read of
    // them is what counts.
    let store = Counted::default();
    let mut batch = Batch::default();
    let awaited = BODIES_AWAITED_PER_AUTHOR_MAX;
    let page = LEFT_ON_DISK_PAGE;
    let withheld = (awaited + 5 * page) as u64;
    let [of_two, of_three] = [2, 3].map(|number| {
        let frame = Node::start(number).frame_of("large", 40_000);
        codec::encode(&LogEntry {
            received_ms: WALL_MS,
            frame: Bytes::new(frame).unwrap(),
        })
    });
    for arrival in 0..=withheld {
        let logged = if arrival == withheld {
            &of_three
        } else {
            &of_two
        };
        let id = EnvelopeId::from_bytes(sha256(&arrival.to_be_bytes()));
        batch.put(table::pull(arrival), codec::encode(&id));
        batch.put(table::log(arrival), logged.clone());
    }
    store.apply(&batch).unwrap();
    let mut now = Node::start(1).now();
    let mut engine = Engine::open(&store, config_of(1), now).unwrap();
    let few = 16;
    let read_one_page = || {
        let (got, scanned) = (store.got.take(), store.scanned.take());
        assert!(
            got <= page + few && scanned <= page + few,
            "{got} {scanned}"
        );
        (got, scanned)
    };
    read_one_page();
    assert_eq!(engine.status().pulls, page);
    // The pages after it follow one by one, until all have been seen.
    let mut looks = 1;
    while engine.status().pulls <= awaited {
        now.mono = now.mono.plus_ms(LEFT_ON_DISK_NEXT_MS);
        engine.handle(now, Input::Wake).unwrap();
        read_one_page();
        looks += 1;
        assert!(looks < 20, "never comes to the last");
    }
    assert_eq!(looks, awaited / page + 5 + 1);
    assert_eq!(engine.status().pulls, awaited + 1);
    // Then it rests, and begins anew; what is in memory costs no read.
    let again = now.mono.plus_ms(LEFT_ON_DISK_AGAIN_MS);
    assert_eq!(engine.deadline(), Some((again, TimerKind::Pull)));
    now.mono = again;
    engine.handle(now, Input::Wake).unwrap();
    let (got, scanned) = read_one_page();
    assert!(got < few && scanned >= page, "{got} {scanned}");
    assert_eq!(engine.status().pulls, awaited + 1);
}

#[test]
fn what_came_of_a_body_is_read_once_however_long_the_rest_is_withheld() {
    let (mut author, frame) = announced();
    let mut node = Node::start(1);
    node.meet(0);
    let mut outputs = node.gossip(0, &frame);
    let envelope = id_of(&frame, &node.engine.roster());
    let (id, first) = chunks_asked(&outputs, 0)[0];
    let (other, second) = chunks_asked(&outputs, 0)[1];
    node.answered(id, chunk_of(&mut author, &frame, first));
    node.answered(other, not_held());
    node.commit();
    // Were it read again, it would be asked for again.
    let chunk = table::chunk(&envelope, first);
    let mut batch = Batch::default();
    batch.remove(chunk.clone());
    node.engine.store().apply(&batch).unwrap();
    for _ in 0..3 {
        outputs = node.later(70_000);
        let [(id, index)] = chunks_asked(&outputs, 0)[..] else {
            panic!("asks for the other alone: {outputs:?}");
        };
        assert_eq!(index, second);
        node.answered(id, not_held());
    }
    // It is read again where the store says that it is damaged.
    let header = header_of_frame(&frame).unwrap().header;
    node.engine.pull_again(node.now(), 0, envelope, &header);
    outputs = node.later(70_000);
    assert_eq!(chunks_asked(&outputs, 0).len(), 2);
}
