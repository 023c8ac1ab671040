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
use crate::ids::EnvelopeId;

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
    assert_eq!(node.engine.store().snapshot(), before);
}

/// Peer 0 is connected, its probe differed, and its frontier is asked for.
fn asked_for_frontier(node: &mut Node) -> RequestId {
    let outputs = node.later(2 * PROBE_EVERY_MS);
    let probe = asked(&outputs, 0)
        .into_iter()
        .find(|(_, request)| matches!(request, Request::Probe { .. }));
    let digest = Answer::Probe { digest: [9; 32] };
    let outputs = node.answered(probe.unwrap().0, Some(digest));
    let (id, request) = asked(&outputs, 0).into_iter().next().unwrap();
    assert!(matches!(request, Request::Frontier { .. }));
    id
}

#[test]
fn what_could_not_be_sent_from_here_says_nothing_about_the_peer() {
    let mut node = Node::start(1);
    node.meet(0);
    for _ in 0..10 * UNANSWERED_MAX {
        let outputs = node.later(2 * PROBE_EVERY_MS);
        for (id, _) in asked(&outputs, 0) {
            let outputs = node.feed(Input::NotAsked { id });
            assert!(
                !outputs
                    .iter()
                    .any(|output| matches!(output, Output::Reconnect { .. }))
            );
        }
    }
}

#[test]
fn invented_streams_cost_nobody_a_question() {
    let mut node = Node::start(1);
    node.meet(0);
    let mut id = asked_for_frontier(&mut node);
    let entry = |incarnation: u64| crate::wire::exchange::FrontierEntry {
        stream: StreamId {
            node: node_id(0),
            incarnation,
            tag: Tag::PUBLIC,
        },
        through: 9,
        head: EnvelopeId::from_bytes([9; 32]),
    };
    // Ever more of them, ever ascending: it ends, and no range is asked for.
    for page in 0..1_000_u64 {
        let entries = (0..100).map(|at| entry(1_000 + page * 100 + at)).collect();
        let entries = crate::wire::List::new(entries).unwrap();
        let outputs = node.answered(
            id,
            Some(Answer::Frontier {
                entries,
                more: true,
            }),
        );
        match asked(&outputs, 0).into_iter().next() {
            Some((next, Request::Frontier { .. })) => id = next,
            Some((_, other)) => panic!("asked for {other:?}"),
            None => return,
        }
    }
    panic!("an endless frontier is asked for without end");
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
    let outputs = node.request(1, Request::Range { stream, after: 0 });
    let not_held = Answer::Unavailable {
        reason: Unavailable::NotHeld,
    };
    assert_eq!(answer(&outputs), Some(not_held));
    node.publish(draft("b", 10, Marking::Clear));
    assert!(!node.commit().is_empty());
}

#[test]
fn a_body_is_given_up_when_its_envelope_expires() {
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    let mut author = Node::start(0);
    let mut large = draft("large", 400_000, Marking::Clear);
    large.wish.valid_ms = HOUR_MS;
    let outputs = author.publish(large);
    assert!(outputs.is_empty());
    let frame = author.commit().into_iter().find_map(|output| match output {
        Output::Gossip { frame } => Some(frame.into_inner().bytes),
        _ => None,
    });
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
    let frame = |author: &mut Node, name: &str| {
        author.publish(draft(name, 400_000, Marking::Clear));
        let out = author.commit().into_iter().find_map(|output| match output {
            Output::Gossip { frame } => Some(frame.into_inner().bytes),
            _ => None,
        });
        out.unwrap()
    };
    let mut node = Node::start(2);
    node.meet(0);
    node.meet(1);
    let mut greedy = Node::start(0);
    for at in 0..8 {
        let frame = frame(&mut greedy, &format!("greedy {at}"));
        node.gossip(0, &frame);
    }
    let honest = frame(&mut Node::start(1), "honest");
    let outputs = node.gossip(1, &honest);
    assert!(!chunks_asked(&outputs, 1).is_empty());
}

#[test]
fn a_server_of_spoiled_ranges_loses_its_link() {
    let frame = Node::start(0).frame_of("a", 10);
    let mut spoiled = frame.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let mut node = Node::start(1);
    node.meet(0);
    let id = asked_for_frontier(&mut node);
    let entry = crate::wire::exchange::FrontierEntry {
        stream: StreamId {
            node: node_id(0),
            incarnation: 1,
            tag: Tag::PUBLIC,
        },
        through: 9,
        head: EnvelopeId::from_bytes([9; 32]),
    };
    let entries = crate::wire::List::new(vec![entry]).unwrap();
    let outputs = node.answered(
        id,
        Some(Answer::Frontier {
            entries,
            more: false,
        }),
    );
    let (range, _) = asked(&outputs, 0).into_iter().next().unwrap();
    let items = crate::wire::List::new(vec![RangeItem::Frame(Bytes::new(spoiled).unwrap())]);
    let outputs = node.answered(
        range,
        Some(Answer::Range {
            items: items.unwrap(),
            more: false,
        }),
    );
    let outputs = node.work(outputs);
    let reconnects = outputs
        .iter()
        .any(|output| matches!(output, Output::Reconnect { .. }));
    assert!(reconnects);
}
