//! What was lost or damaged on a disk and comes back: it accuses nobody, and
//! its stream goes on.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::engine::receive::HOUR_MS;
use crate::limits::SEQUENCE_AHEAD_MAX;
use crate::table::Through;
use crate::wire::exchange::Remains;

/// An entry of the store is gone.
fn lose(node: &Node, key: Vec<u8>) {
    let mut batch = Batch::default();
    batch.remove(key);
    node.engine.store().apply(&batch).unwrap();
}

fn conflicts(outputs: &[Output]) -> usize {
    let is_conflict = |event: &&&Event| matches!(event, Event::Conflict { .. });
    events(outputs).iter().filter(is_conflict).count()
}

#[test]
fn an_author_is_not_accused_because_an_index_here_lost_an_entry() {
    let frame = Node::start(0).frame_of("a", 10);
    let mut node = Node::start(1);
    node.meet(0);
    node.gossip(0, &frame);
    node.commit();
    // Where the envelope is in the log is lost; that it is held is not.
    let id = id_of(&frame, &node.engine.roster());
    lose(&node, table::envelope(&id));
    let mut outputs = node.gossip(0, &frame);
    assert_eq!(verdict(&outputs), Verdict::Ignore);
    assert_eq!(not_taken(&outputs), None, "it is held: no news");
    outputs.extend(node.commit());
    assert_eq!((conflicts(&outputs), node.evidence()), (0, 0));
}

#[test]
fn nor_is_one_of_whom_only_remains_are_held() {
    let short = short_lived("short", 1);
    let frame = frame_with(&mut Node::start(0), short);
    let logged = header_of_frame(&frame).unwrap();
    let remains = Remains {
        header: logged.signed,
        second_signature: None,
    };
    let mut node = Node::start(1);
    node.pass(2 * HOUR_MS);
    node.meet(0);
    let bring = |node: &mut Node| {
        let work = Work::Check {
            id: RequestId(0),
            from: node_id(0),
            items: vec![RangeItem::Remains(remains.clone())],
            roster: node.engine.roster(),
        };
        let mut outputs = node.feed(Input::Done(work.run()));
        outputs.extend(node.commit());
        outputs
    };
    assert_eq!(not_taken(&bring(&mut node)), None);
    lose(&node, table::envelope(&logged.id));
    let outputs = bring(&mut node);
    assert_eq!(not_taken(&outputs), None, "it is held: no news");
    assert_eq!((conflicts(&outputs), node.evidence()), (0, 0));
}

#[test]
fn what_closes_a_gap_may_stand_in_the_log_behind_what_lies_beyond_it() {
    let stream = public_of(0, 1);
    let first = Node::start(0).frame_of("first", 10);
    // The farthest that is taken once the first is held.
    let mut author = Node::start(0);
    let before = Through {
        sequence: SEQUENCE_AHEAD_MAX,
        head: id_of(&first, &author.engine.roster()),
    };
    let row = StreamRow {
        through: Some(before),
        born: 1,
        changed: 1,
    };
    author.engine.streams.restore(stream, row, Vec::new());
    let far = author.frame_of("far", 10);
    let mut node = Node::start(1);
    node.meet(0);
    for frame in [&first, &far] {
        assert_eq!(verdict(&node.gossip(0, frame)), Verdict::Accept);
    }
    node.commit();
    // The first is lost from the log, and the indexes are made anew: now the
    // other lies too far beyond what is held.
    lose(&node, table::log(0));
    let found = rebuild(node.engine.store(), &node.engine.roster()).unwrap();
    assert_eq!((found.envelopes, found.beyond), (0, 1));
    // It comes again, and stands behind the other in the log.
    let mut node = node.restart(1);
    assert_eq!(verdict(&node.gossip(0, &first)), Verdict::Accept);
    node.commit();
    let found = rebuild(node.engine.store(), &node.engine.roster()).unwrap();
    assert_eq!((found.envelopes, found.beyond), (2, 0));
    let node = node.restart(1);
    assert!(node.holds(&first) && node.holds(&far));
}

#[test]
fn who_fetched_back_its_own_is_not_older_afterwards_whatever_its_clock_says() {
    const LATE_MS: u64 = 5 * 60 * 1_000;
    let mut author = Node::start(0);
    author.pass(LATE_MS);
    let frame = author.frame_of("before", 10);
    let mut holder = Node::start(1);
    holder.pass(LATE_MS);
    holder.meet(0);
    holder.gossip(0, &frame);
    holder.commit();
    // Its store is lost, and its clock runs behind that of before.
    let mut author = Node::start(0);
    let outputs = author.meet(1);
    author.carry(0, outputs, &mut [(1, &mut holder)]);
    assert!(author.holds(&frame));
    // A stream in which time went back would be evidence against it.
    let next = author.frame_of("after", 10);
    let mut outputs = holder.gossip(0, &next);
    assert_eq!(verdict(&outputs), Verdict::Accept);
    outputs.extend(holder.commit());
    assert_eq!((conflicts(&outputs), holder.evidence()), (0, 0));
}

#[test]
fn what_lost_its_place_is_not_said_to_be_held() {
    // 1, 2 for the world; 1, 2', 3' in secret.
    let ([first, second], mut author, mut twin) = two_chains();
    let poison = twin.frame_of("poison", 10);
    let mut node = Node::start(1);
    for frame in [&first, &poison, &second] {
        assert_eq!(verdict(&node.gossip(0, frame)), Verdict::Accept);
    }
    // It is evidence, and known by its id no more; it comes again as what
    // contradicts what is held, and is one proof.
    assert!(!node.holds(&poison));
    node.commit();
    node.gossip(0, &author.frame_of("third", 10));
    let outputs = node.gossip(0, &poison);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Conflict));
    node.commit();
    assert_eq!(node.evidence(), 1);
    // The indexes made anew say the same.
    rebuild(node.engine.store(), &node.engine.roster()).unwrap();
    let node = node.restart(1);
    assert!(!node.holds(&poison) && node.holds(&second));
}

#[test]
fn two_indexes_that_cannot_be_read_make_no_evidence() {
    let mut author = Node::start(0);
    let frames: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| author.frame_of(name, 10))
        .collect();
    let stream = public_of(0, 1);
    // In the middle, at the end of the gapless part, and beyond a gap.
    for (at, sequence, is_known) in [(0, 1, false), (1, 2, true), (3, 4, true)] {
        let mut node = Node::start(1);
        node.meet(0);
        for held in [0, 1, 3] {
            node.gossip(0, &frames[held]);
        }
        node.commit();
        let id = id_of(&frames[at], &node.engine.roster());
        let mut batch = Batch::default();
        batch.put(table::envelope(&id), b"damaged".to_vec());
        batch.put(table::sequence(&stream, sequence), b"damaged".to_vec());
        node.engine.store().apply(&batch).unwrap();
        let mut outputs = node.gossip(0, &frames[at]);
        outputs.extend(node.brought(
            0,
            vec![RangeItem::Frame(Bytes::new(frames[at].clone()).unwrap())],
        ));
        let why = (!is_known).then_some(&NotTaken::Unreadable);
        assert_eq!(not_taken(&outputs), why);
        outputs.extend(node.commit());
        assert_eq!((conflicts(&outputs), node.evidence()), (0, 0), "{at}");
    }
}

#[test]
fn nor_do_they_of_remains() {
    let mut author = Node::start(0);
    let first = frame_with(&mut author, short_lived("a", 1));
    let second = author.frame_of("b", 10);
    let logged = header_of_frame(&first).unwrap();
    let mut node = Node::start(1);
    node.meet(0);
    for frame in [&first, &second] {
        assert_eq!(verdict(&node.gossip(0, frame)), Verdict::Accept);
    }
    node.commit();
    let mut batch = Batch::default();
    batch.put(table::envelope(&logged.id), b"damaged".to_vec());
    batch.put(table::sequence(&public_of(0, 1), 1), b"damaged".to_vec());
    node.engine.store().apply(&batch).unwrap();
    node.pass(2 * HOUR_MS);
    let remains = Remains {
        header: logged.signed,
        second_signature: None,
    };
    let mut outputs = node.brought(0, vec![RangeItem::Remains(remains)]);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Unreadable));
    assert!(!NotTaken::Unreadable.is_for_good() && !NotTaken::Unreadable.is_charged(Way::Asked));
    outputs.extend(node.commit());
    assert_eq!((conflicts(&outputs), node.evidence()), (0, 0));
}
