//! What happens between two nodes over time: dead links, junk, envelopes that
//! expire.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::wire::exchange::Remains;

#[test]
fn a_link_on_which_gossip_is_dead_is_dialled_again() {
    let mut author = Node::start(0);
    author.meet(1);
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    node.pass(2 * PROBE_EVERY_MS);
    author.pass(2 * PROBE_EVERY_MS);
    let mut dialled = 0;
    // The link is up and requests pass; what its author publishes never comes
    // by gossip, only when it is asked for.
    for turn in 0..u64::from(crate::limits::SILENT_PROBES_MAX) {
        let frame = author.frame_of(&format!("{turn}"), 10);
        let probe = node.later(PROBE_EVERY_MS * 2);
        author.pass(PROBE_EVERY_MS * 2);
        let carried = node.carry(1, probe, &mut [(0, &mut author)]);
        assert!(node.holds(&frame));
        dialled += reconnects(&carried.outputs);
    }
    assert_eq!(dialled, 1);
}

#[test]
fn an_expired_envelope_leaves_its_header_and_its_stream_goes_on() {
    let mut author = Node::start(0);
    author.meet(1);
    author.publish(short_lived("short", 1));
    author.publish(draft("long", 10, Marking::Clear));
    author.commit();
    author.pass(2 * HOUR_MS);
    let stream = author.engine.own_stream();
    let Some(Answer::Range { items, .. }) = answer(&author.request(1, range_of(stream))) else {
        panic!("a range is answered");
    };
    assert!(matches!(
        items.as_slice(),
        [RangeItem::Remains(_), RangeItem::Frame(_)]
    ));
    // Whoever comes later takes both, and the stream has no gap.
    let mut late = Node::start(1);
    late.pass(2 * HOUR_MS);
    let outputs = late.meet(0);
    late.carry(1, outputs, &mut [(0, &mut author)]);
    late.commit();
    assert_eq!(late.engine.streams.through(&stream).unwrap().sequence, 2);
    // And serves the header on.
    late.meet(2);
    let Some(Answer::Range { items, .. }) = answer(&late.request(2, range_of(stream))) else {
        panic!("a range is answered");
    };
    assert!(matches!(
        items.as_slice(),
        [RangeItem::Remains(_), RangeItem::Frame(_)]
    ));
}

#[test]
fn a_header_alone_does_not_stand_for_a_living_envelope() {
    let mut author = Node::start(0);
    let frame = author.frame_of("a", 10);
    let remains = Remains {
        header: header_of_frame(&frame).unwrap().signed,
        second_signature: None,
    };
    let mut node = Node::start(1);
    node.meet(0);
    let outputs = node.brought(0, vec![RangeItem::Remains(remains)]);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::NotExpired));
    assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Accept);
}

#[test]
fn a_peer_that_brings_only_junk_loses_its_link_and_keeps_nothing_out() {
    let frame = Node::start(0).frame_of("a", 10);
    let mut node = Node::start(1);
    node.meet(0);
    node.commit();
    // As much as ten authors may bring at once is let pass, in large pieces so
    // that the test is quick.
    let junk = |token| Input::Gossip {
        from: node_id(0),
        token: GossipToken(token),
        length: 268_435_456,
        checked: Err(Refusal::Unknown {
            version: 9,
            kind: 9,
        }),
    };
    for token in 1_000..1_010 {
        let outputs = node.feed(junk(token));
        assert_eq!(verdict(&outputs), Verdict::Ignore);
        assert_eq!(reconnects(&outputs), 0);
    }
    let outputs = node.feed(junk(1_010));
    assert_eq!(reconnects(&outputs), 1);
    // What it brings of others still counts: only it pays.
    assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Accept);
}

#[test]
fn what_was_asked_for_and_only_this_node_knew_not_to_want_costs_its_server_nothing() {
    let held = Node::start(0).frame_of("a", 10);
    let conflicting = Node::start(0).frame_of("b", 10);
    let mut author = Node::start(2);
    let over_quota = author.frame_of("c", 10);
    author.publish(short_lived("d", 1));
    let expired = gossiped(author.commit()).unwrap();
    let whole = |frame: &Vec<u8>| RangeItem::Frame(Bytes::new(frame.clone()).unwrap());
    let mut node = Node::start(1);
    node.meet(0);
    node.pass(2 * HOUR_MS);
    node.gossip(0, &held);
    node.commit();
    for way in [Way::Gossip, Way::Asked] {
        node.exhaust(2, way);
    }
    // Whatever it brings in vain now is too much.
    let spend = |node: &mut Node| {
        let now = node.now().mono;
        let quota = node.engine.peers.quota(&node_id(0)).unwrap();
        assert!(quota.has(0, now), "it is filled up to now");
        quota.take(u64::MAX / 2_000);
    };
    for (frame, why) in [
        (&held, None),
        (&conflicting, Some(&NotTaken::Conflict)),
        (&over_quota, Some(&NotTaken::Quota { whose: "author" })),
        (&expired, Some(&NotTaken::Quota { whose: "author" })),
    ] {
        spend(&mut node);
        let outputs = node.brought(0, vec![whole(frame)]);
        assert_eq!((not_taken(&outputs), reconnects(&outputs)), (why, 0));
        let outputs = node.gossip(0, frame);
        assert_eq!((not_taken(&outputs), reconnects(&outputs)), (why, 1));
    }
    // That an envelope is not over, its server could know.
    let late = Node::start(0).frame_of("late", 10);
    let unexpired = Remains {
        header: header_of_frame(&late).unwrap().signed,
        second_signature: None,
    };
    spend(&mut node);
    let outputs = node.brought(0, vec![RangeItem::Remains(unexpired)]);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::NotExpired));
    assert_eq!(reconnects(&outputs), 1);
}

#[test]
fn every_index_can_be_made_again_from_the_truth() {
    let mut other = Node::start(0);
    let small = other.frame_of("small", 10);
    let mut node = Node::start(1);
    node.meet(0);
    let outputs = node.gossip(0, &small);
    node.work(outputs);
    node.publish(draft("own", 10, Marking::Clear));
    // Over what travels inside a frame, so that there are chunks.
    node.publish(draft("large", 400_000, Marking::Clear));
    node.commit();
    let before = node.engine.store().snapshot();
    assert!(before.len() > 20 && before.iter().any(|(key, _)| key.starts_with(b"C")));

    // Some of the index is lost, and something false is in it.
    let mut batch = Batch::default();
    for (key, _) in before
        .iter()
        .filter(|(key, _)| key.starts_with(b"V") || key.starts_with(b"F"))
    {
        batch.remove(key.clone());
    }
    batch.put(b"Vfalse".to_vec(), Vec::new());
    node.engine.store().apply(&batch).unwrap();
    let found = rebuild(node.engine.store(), &node.engine.roster()).unwrap();
    assert_eq!(
        (found.envelopes, found.unopened, found.unreadable),
        (3, 3, 0)
    );

    let mut node = node.restart(1);
    let outputs = node.feed(Input::Wake);
    node.work(outputs);
    node.commit();
    // The store's names are new, and the marks it kept of others are gone.
    let kept = |entries: Vec<(Vec<u8>, Vec<u8>)>| -> Vec<_> {
        entries
            .into_iter()
            .filter(|(key, _)| !key.starts_with(b"G") && !key.starts_with(b"M"))
            .collect()
    };
    assert!(kept(node.engine.store().snapshot()) == kept(before));
}

#[test]
fn what_could_not_be_sent_from_here_says_nothing_about_the_peer() {
    let mut node = Node::start(1);
    node.meet(0);
    for _ in 0..10 * UNANSWERED_MAX {
        let outputs = node.later(2 * PROBE_EVERY_MS);
        for (id, _) in asked(&outputs, 0) {
            let outputs = node.feed(Input::NotAsked { id });
            assert_eq!(reconnects(&outputs), 0);
        }
    }
}

#[test]
fn a_damaged_value_is_not_held_and_ends_nothing_else() {
    let mut node = Node::start(0);
    node.meet(1);
    node.publish(draft("a", 10, Marking::Clear));
    node.commit();
    let mut batch = Batch::default();
    batch.put(table::log(0), b"not a log entry".to_vec());
    node.engine.store().apply(&batch).unwrap();
    let stream = node.engine.own_stream();
    let outputs = node.request(1, range_of(stream));
    assert_eq!(answer(&outputs), Some(unavailable(Unavailable::NotHeld)));
    node.publish(draft("b", 10, Marking::Clear));
    assert!(!node.commit().is_empty());
}

#[test]
fn a_body_is_given_up_when_its_envelope_expires() {
    let mut author = Node::start(0);
    let mut large = draft("large", 400_000, Marking::Clear);
    large.wish.valid_ms = HOUR_MS;
    let outputs = author.publish(large);
    assert!(outputs.is_empty());
    let frame = gossiped(author.commit());
    let mut node = Node::start(1);
    node.meet(0);
    let outputs = node.gossip(0, &frame.unwrap());
    assert_eq!(node.engine.status().pulls, 1);
    for (id, _) in chunks_asked(&outputs, 0) {
        node.answered(id, None);
    }
    for _ in 0..4 {
        let outputs = node.later(HOUR_MS);
        for (id, _) in chunks_asked(&outputs, 0) {
            node.answered(id, None);
        }
    }
    assert_eq!(node.engine.status().pulls, 0);
    node.commit();
    assert!(
        node.engine
            .store()
            .scan(table::PULLS, table::PULLS, 9)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn who_announces_much_keeps_one_place_in_the_line_of_bodies() {
    let mut node = Node::start(2);
    node.meet(0);
    node.meet(1);
    let mut greedy = Node::start(0);
    for at in 0..8 {
        let frame = greedy.frame_of(&format!("greedy {at}"), 400_000);
        node.gossip(0, &frame);
    }
    let honest = Node::start(1).frame_of("honest", 400_000);
    let outputs = node.gossip(1, &honest);
    assert!(!chunks_asked(&outputs, 1).is_empty());
}
