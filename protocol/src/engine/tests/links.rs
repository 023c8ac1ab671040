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

#[test]
fn a_link_on_which_gossip_is_dead_is_dialled_again() {
    let mut author = Node::start(0);
    let mut node = Node::start(1);
    node.meet(0);
    node.later(2 * PROBE_EVERY_MS);
    author.pass(2 * PROBE_EVERY_MS);
    let mut reconnects = 0;
    // The link is up and requests pass; what its author publishes never comes
    // by gossip, only when it is asked for.
    for turn in 0..u64::from(crate::limits::SILENT_PROBES_MAX) {
        author.frame_of(&format!("{turn}"), 10);
        let stream = author.engine.own_stream();
        author.meet(1);
        let Some(Answer::Range { items, .. }) = answer(&author.request(
            1,
            Request::Range {
                stream,
                after: turn,
            },
        )) else {
            panic!("a range is answered");
        };
        let probe = node.later(PROBE_EVERY_MS * 2);
        author.pass(PROBE_EVERY_MS * 2);
        let probe = asked(&probe, 0)
            .into_iter()
            .find(|(_, request)| matches!(request, Request::Probe { .. }));
        let outputs = node.answered(
            probe.unwrap().0,
            Some(Answer::Probe {
                digest: [u8::try_from(turn).unwrap() + 1; 32],
            }),
        );
        let (frontier, _) = asked(&outputs, 0).into_iter().next().unwrap();
        let entry = crate::wire::exchange::FrontierEntry {
            stream,
            through: turn + 1,
            head: author.engine.streams.through(&stream).unwrap().head,
        };
        let entries = crate::wire::List::new(vec![entry]).unwrap();
        let outputs = node.answered(
            frontier,
            Some(Answer::Frontier {
                entries,
                more: false,
            }),
        );
        let (range, _) = asked(&outputs, 0).into_iter().next().unwrap();
        let outputs = node.answered(range, Some(Answer::Range { items, more: false }));
        let outputs = node.work(outputs);
        reconnects += outputs
            .iter()
            .filter(|output| matches!(output, Output::Reconnect { .. }))
            .count();
    }
    assert_eq!(reconnects, 1);
}

#[test]
fn an_expired_envelope_leaves_its_header_and_its_stream_goes_on() {
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    let mut author = Node::start(0);
    author.meet(1);
    let mut short = draft("short", 10, Marking::Clear);
    short.wish.valid_ms = 1;
    author.publish(short);
    author.publish(draft("long", 10, Marking::Clear));
    author.commit();
    author.pass(2 * HOUR_MS);
    let stream = author.engine.own_stream();
    let Some(Answer::Range { items, .. }) =
        answer(&author.request(1, Request::Range { stream, after: 0 }))
    else {
        panic!("a range is answered");
    };
    assert!(matches!(
        items.as_slice(),
        [RangeItem::Header(_), RangeItem::Frame(_)]
    ));
    // Whoever comes later takes both, and the stream has no gap.
    let mut late = Node::start(1);
    late.pass(2 * HOUR_MS);
    late.meet(0);
    let roster = late.engine.roster();
    let work = Work::Check {
        from: node_id(0),
        items: items.into_vec(),
        roster,
    };
    late.feed(Input::Done(work.run()));
    late.commit();
    assert_eq!(late.engine.streams.through(&stream).unwrap().sequence, 2);
    // And serves the header on.
    late.meet(2);
    let Some(Answer::Range { items, .. }) =
        answer(&late.request(2, Request::Range { stream, after: 0 }))
    else {
        panic!("a range is answered");
    };
    assert!(matches!(
        items.as_slice(),
        [RangeItem::Header(_), RangeItem::Frame(_)]
    ));
}

#[test]
fn a_header_alone_does_not_stand_for_a_living_envelope() {
    let mut author = Node::start(0);
    let frame = author.frame_of("a", 10);
    let header = header_of_frame(&frame).unwrap().signed;
    let mut node = Node::start(1);
    node.meet(0);
    let roster = node.engine.roster();
    let work = Work::Check {
        from: node_id(0),
        items: vec![RangeItem::Header(header)],
        roster,
    };
    let outputs = node.feed(Input::Done(work.run()));
    assert_eq!(not_taken(&outputs), Some(&NotTaken::HeaderAlone));
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
        assert!(
            !outputs
                .iter()
                .any(|output| matches!(output, Output::Reconnect { .. }))
        );
    }
    let outputs = node.feed(junk(1_010));
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Reconnect { .. }))
    );
    // What it brings of others still counts: only it pays.
    assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Accept);
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
    batch.put(table::value(b"false", 0, 0), Vec::new());
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
    assert_eq!(node.engine.store().snapshot(), before);
}
