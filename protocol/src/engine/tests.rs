//! What an engine promises, one promise a test.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

mod accepting;
mod alives;
mod authors;
mod behind;
mod bodies;
mod catching_up;
mod charges;
mod distrust;
mod doubts;
mod durable;
mod filing;
mod healed;
mod holders;
mod links;
mod losses;
mod marks;
mod members;
mod packets;
mod pages;
mod quarantine;
mod repairs;
pub(crate) mod room;
mod serving;
mod votes;

use super::*;
use crate::founding::Keys;
use crate::gate::{Refusal, check};
pub(crate) use crate::ids::EnvelopeId;
use crate::limits::{PROBE_EVERY_MS, PULLS_ACTIVE_MAX, UNANSWERED_MAX};
use crate::marking::Marking;
pub(crate) use crate::table::StreamRow;
use crate::wire::Bytes;
pub(crate) use crate::wire::card::CertificateBytes;
pub(crate) use crate::wire::codec;
use crate::wire::exchange::{Answer, DoorAnswer, RangeItem, Request, Unavailable};
use room::*;
use watchfire_crypto::sha256;

#[test]
fn the_verdict_waits_for_no_disk_and_what_people_see_does() {
    let frame = Node::start(0).frame_of("a", 10);
    let mut node = Node::start(1);
    node.meet(0);
    node.commit();
    let outputs = node.gossip(0, &frame);
    assert_eq!(verdict(&outputs), Verdict::Accept);
    assert!(matches!(
        events(&outputs).as_slice(),
        [Event::Verified { .. }]
    ));
    let outputs = node.work(outputs);
    // Nothing is claimed yet: neither that it is stored nor that it is found.
    assert!(
        events(&outputs)
            .iter()
            .all(|event| matches!(event, Event::Verified { .. }))
    );
    let outputs = node.commit();
    assert!(
        events(&outputs)
            .iter()
            .any(|event| matches!(event, Event::Stored { .. }))
    );
    assert!(is_searchable(&outputs));
    assert!(node.commit().is_empty());
}

#[test]
fn a_publication_shows_only_once_it_is_durable() {
    let mut node = Node::start(0);
    assert!(node.publish(draft("a", 10, Marking::Clear)).is_empty());
    let (number, batch) = node.engine.begin_commit().unwrap();
    assert!(node.engine.poll().is_none());
    node.engine.store().apply(&batch).unwrap();
    assert!(node.engine.poll().is_none());
    // One more on the way has its own commit.
    assert!(node.publish(draft("b", 10, Marking::Clear)).is_empty());
    let outputs = node.feed(Input::Committed(number));
    let published = |output: &&Output| matches!(output, Output::Published { outcome: Ok(_), .. });
    assert_eq!(outputs.iter().filter(published).count(), 1);
    assert_eq!(
        outputs
            .iter()
            .filter(|output| matches!(output, Output::Gossip { .. }))
            .count(),
        1
    );
    assert_eq!(node.commit().iter().filter(published).count(), 1);
}

#[test]
fn above_clear_is_refused_and_nothing_is_written() {
    for marking in [
        Marking::Green,
        Marking::Amber,
        Marking::AmberStrict,
        Marking::Red,
    ] {
        let mut node = Node::start(0);
        let outputs = node.publish(draft("a", 10, marking));
        assert!(matches!(
            outputs.as_slice(),
            [Output::Published {
                outcome: Err(PublishRefusal::SealingAbsent { .. }),
                ..
            }]
        ));
        assert!(node.engine.begin_commit().is_none());
    }
}

#[test]
fn hello_comes_first() {
    let frame = Node::start(0).frame_of("a", 10);
    let mut node = Node::start(1);
    let connected = node.feed(Input::PeerConnected { node: node_id(0) });
    assert!(matches!(
        asked(&connected, 0).as_slice(),
        [(_, Request::Hello { .. })]
    ));
    // A frame proves itself: ignored, it would stay in the seen-cache and keep
    // the good copy out.
    assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Accept);
    node.commit();
    let refused = Some(unavailable(Unavailable::Refused));
    assert_eq!(answer(&node.request(0, frontier())), refused);
    let hello = node.hello();
    node.request(0, hello);
    assert!(matches!(
        answer(&node.request(0, frontier())),
        Some(Answer::Frontier { .. })
    ));
    // A stranger may say hello as often as it likes.
    let hello = node.hello();
    node.request(77, hello);
    assert_eq!(answer(&node.request(77, frontier())), refused);
}

#[test]
fn whoever_refuses_for_want_of_a_hello_gets_it_again() {
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    let (probe, _) = asked(&outputs, 0).remove(0);
    node.answered(probe, Some(unavailable(Unavailable::Refused)));
    let outputs = node.later(2 * PROBE_EVERY_MS);
    assert!(matches!(
        asked(&outputs, 0).as_slice(),
        [(_, Request::Hello { .. })]
    ));
}

#[test]
fn what_a_quota_ignores_comes_by_catch_up_when_it_has_filled() {
    let mut author = Node::start(0);
    let frame = author.frame_of("a", 10);
    author.meet(1);
    let mut node = Node::start(1);
    let probe = node.meet(0);
    node.commit();
    for way in [Way::Gossip, Way::Asked] {
        node.exhaust(0, way);
    }
    let mut outputs = node.gossip(0, &frame);
    assert_eq!(verdict(&outputs), Verdict::Ignore);
    outputs.extend(node.commit());
    assert_eq!(
        not_taken(&outputs),
        Some(&NotTaken::Quota { whose: "author" })
    );
    assert!(!node.holds(&frame));
    // It is listed and asked for, and still too much.
    let carried = node.carry(1, probe, &mut [(0, &mut author)]);
    assert_eq!(carried.ranges(), [(0, 1, 1)]);
    assert!(!node.holds(&frame));
    assert_eq!(node.engine.status().catch_up.deferred, 1);
    let again = node.later(crate::limits::DEFERRED_MS);
    node.carry(1, again, &mut [(0, &mut author)]);
    assert!(node.holds(&frame));
    assert_eq!(node.engine.status().catch_up, Progress::default());
}

#[test]
fn two_envelopes_at_one_place_are_kept_as_evidence_once() {
    let first = Node::start(0).frame_of("a", 10);
    let second = Node::start(0).frame_of("b", 10);
    let mut node = Node::start(1);
    node.meet(0);
    assert_eq!(verdict(&node.gossip(0, &first)), Verdict::Accept);
    assert_eq!(verdict(&node.gossip(0, &second)), Verdict::Ignore);
    assert_eq!(verdict(&node.gossip(0, &second)), Verdict::Ignore);
    let outputs = node.commit();
    let conflicts = events(&outputs)
        .into_iter()
        .filter(|event| matches!(event, Event::Conflict { .. }))
        .count();
    assert_eq!((conflicts, node.evidence()), (1, 1));
    assert!(node.holds(&first) && !node.holds(&second));
    // Another author's stream is as it was.
    let other = Node::start(2).frame_of("c", 10);
    assert_eq!(verdict(&node.gossip(0, &other)), Verdict::Accept);
}

#[test]
fn a_range_is_not_given_before_it_is_durable() {
    let mut author = Node::start(0);
    author.meet(1);
    author.commit();
    author.publish(draft("a", 10, Marking::Clear));
    // The store shows it, and the flush is not over.
    let (number, batch) = author.engine.begin_commit().unwrap();
    author.engine.store().apply(&batch).unwrap();
    let stream = author.engine.own_stream();
    assert_eq!(answer(&author.request(1, range_of(stream))), None);
    let Some(Answer::Range { items, .. }) = answer(&author.feed(Input::Committed(number))) else {
        panic!("no range after the commit");
    };
    assert!(matches!(items.as_slice(), [RangeItem::Frame(_)]));
}

/// A payload of three chunks: the announcement, and its author to serve it.
fn large() -> (Node, Vec<u8>) {
    let mut author = Node::start(0);
    let frame = author.frame_of("large", 600_000);
    author.meet(1);
    author.commit();
    (author, frame)
}

fn serve(author: &mut Node, frame: &[u8], index: u32) -> Option<Answer> {
    let envelope = id_of(frame, &author.engine.roster());
    answer(&author.request(1, Request::Chunk { envelope, index }))
}

#[test]
fn a_pull_goes_on_after_a_restart() {
    let (mut author, frame) = large();
    let mut node = Node::start(1);
    node.meet(0);
    let outputs = node.gossip(0, &frame);
    let (id, index) = chunks_asked(&outputs, 0)[1];
    node.answered(id, serve(&mut author, &frame, index));
    node.commit();
    let mut node = node.restart(1);
    assert_eq!(node.engine.status().pulls, 1);
    let mut outputs = node.meet(0);
    assert_eq!(
        chunks_asked(&outputs, 0).len(),
        2,
        "the one that is here is not asked for again"
    );
    let mut searchable = false;
    for (id, index) in chunks_asked(&outputs, 0) {
        outputs = node.answered(id, serve(&mut author, &frame, index));
        let outputs = node.work(outputs);
        searchable |= is_searchable(&outputs) || is_searchable(&node.commit());
    }
    assert!(searchable);
    assert_eq!(node.engine.status().pulls, 0);
}

#[test]
fn a_chunk_that_one_does_not_have_or_spoils_is_asked_of_another() {
    let (mut author, frame) = large();
    let mut node = Node::start(1);
    node.meet(2);
    node.meet(3);
    node.meet(0);
    let outputs = node.gossip(2, &frame);
    let (id, index) = chunks_asked(&outputs, 2)[0];
    let outputs = node.answered(id, Some(unavailable(Unavailable::NotHeld)));
    assert!(chunks_asked(&outputs, 2).is_empty());
    let (to, (id, _)) = [0, 3]
        .into_iter()
        .find_map(|peer| {
            chunks_asked(&outputs, peer)
                .first()
                .copied()
                .map(|chunk| (peer, chunk))
        })
        .unwrap();
    let Some(Answer::Chunk { bytes, path }) = serve(&mut author, &frame, index) else {
        panic!("not served")
    };
    let mut spoiled = bytes.into_vec();
    spoiled[0] ^= 1;
    let outputs = node.answered(
        id,
        Some(Answer::Chunk {
            bytes: Bytes::new(spoiled).unwrap(),
            path,
        }),
    );
    let elsewhere = if to == 0 { 3 } else { 0 };
    assert!(
        chunks_asked(&outputs, elsewhere)
            .iter()
            .any(|(_, asked)| *asked == index)
    );
}

#[test]
fn bodies_that_are_withheld_keep_no_other_waiting() {
    let mut hostile = Node::start(2);
    let withheld: Vec<_> = (0..=PULLS_ACTIVE_MAX)
        .map(|at| hostile.frame_of(&format!("w{at}"), 40_000))
        .collect();
    let (_, frame) = large();
    let mut node = Node::start(1);
    node.meet(0);
    node.meet(2);
    let mut outputs = Vec::new();
    for frame in &withheld {
        outputs.extend(node.gossip(2, frame));
    }
    outputs.extend(node.gossip(0, &frame));
    let envelope = id_of(&frame, &node.engine.roster());
    let mut answers = 0;
    let mut queue: VecDeque<_> = outputs.into();
    let mut asked_for_it = false;
    while let Some(output) = queue.pop_front() {
        let Output::Request {
            id,
            request: Request::Chunk { envelope: of, .. },
            ..
        } = output
        else {
            continue;
        };
        asked_for_it |= of == envelope;
        answers += 1;
        assert!(answers < 100, "asks on and on");
        queue.extend(node.answered(id, Some(unavailable(Unavailable::NotHeld))));
    }
    assert!(asked_for_it);
    // All rest now, and are asked for again later.
    assert!(node.engine.deadline().is_some());
    assert!(!chunks_asked(&node.later(2_000), 2).is_empty());
}

#[test]
fn bodies_that_never_come_wait_on_disk_and_not_in_memory() {
    let mut hostile = Node::start(2);
    let mut node = Node::start(1);
    node.meet(2);
    let full = crate::limits::BODIES_AWAITED_PER_AUTHOR_MAX;
    node.engine.pulls.pretend_awaited(node_id(2), full - 1);
    for name in ["last that has room", "one too many"] {
        let frame = hostile.frame_of(name, 40_000);
        assert_eq!(verdict(&node.gossip(2, &frame)), Verdict::Accept);
    }
    assert_eq!(node.engine.status().pulls, 1);
    node.commit();
    // When there is room again it is found on disk.
    node.engine.pulls.pretend_awaited(node_id(2), 1);
    node.later(crate::limits::LEFT_ON_DISK_AGAIN_MS);
    assert_eq!(node.engine.status().pulls, 2);
}

#[test]
fn attack_08_a_spoiled_signature_first_does_not_keep_the_good_copy_out() {
    let frame = Node::start(0).frame_of("a", 10);
    let mut node = Node::start(1);
    node.meet(0);
    let roster = node.engine.roster();
    // Some byte of the outer signature: the one change that only it notices.
    let spoiled = (2..frame.len())
        .find_map(|at| {
            let mut spoiled = frame.clone();
            spoiled[at] ^= 1;
            matches!(check(&spoiled, &roster), Err(Refusal::Signature)).then_some(spoiled)
        })
        .unwrap();
    assert_eq!(verdict(&node.gossip(0, &spoiled)), Verdict::Reject);
    assert!(!node.holds(&frame));
    let outputs = node.gossip(0, &frame);
    assert_eq!(verdict(&outputs), Verdict::Accept);
    let outputs = node.work(outputs);
    assert!(is_searchable(&outputs) || is_searchable(&node.commit()));
    // And the other way round: the good one stays what it was.
    assert_eq!(verdict(&node.gossip(0, &spoiled)), Verdict::Reject);
    assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Ignore);
}

#[test]
fn a_link_that_does_not_answer_is_dialled_again() {
    let mut node = Node::start(1);
    let mut outputs = node.meet(0);
    for turn in 1..=UNANSWERED_MAX {
        let (id, _) = asked(&outputs, 0).remove(0);
        outputs = node.answered(id, None);
        let reconnects = outputs
            .iter()
            .any(|output| matches!(output, Output::Reconnect { node } if *node == node_id(0)));
        assert_eq!(reconnects, turn == UNANSWERED_MAX);
        if turn < UNANSWERED_MAX {
            outputs = node.later(2_500);
        }
    }
}

#[test]
fn the_door_takes_a_certificate_of_a_member_for_the_key_that_knocks() {
    let member = keys(0);
    let new = keys(50);
    let cert = newcomer(&member, &new);
    let good = newcomer_certificate(&member, &new);
    // Under a root that no member has.
    let foreign = newcomer_certificate(&new, &new);
    let mut node = Node::start(1);
    let knock = |node: &mut Node, key: &Keys, certificate: &CertificateBytes| {
        let mut outputs = node.knock(key, certificate.clone());
        outputs.extend(node.commit());
        let accepted = outputs.iter().any(|output| {
            matches!(
                output,
                Output::Door {
                    answer: DoorAnswer::Offer { accepted: true },
                    ..
                }
            )
        });
        let admitted = outputs
            .iter()
            .any(|output| matches!(output, Output::Roster(_)));
        (accepted, admitted)
    };
    assert_eq!(knock(&mut node, &new, &foreign), (false, false));
    assert_eq!(knock(&mut node, &member, &good), (false, false));
    assert!(node.engine.roster.node(&cert.node()).is_none());
    assert_eq!(knock(&mut node, &new, &good), (true, true));
    assert_eq!(
        knock(&mut node, &new, &good),
        (true, false),
        "known already"
    );
    let node = node.restart(1);
    assert!(
        node.engine.roster.node(&cert.node()).is_some(),
        "it is known after a restart"
    );
}

/// A story with everything in it, and a hash over what was said and stored.
fn story(name: &str) -> ([u8; 32], [u8; 32]) {
    let (mut author, frame) = large();
    let mut node = Node::start(1);
    let mut said = String::new();
    let mut note = |outputs: &[Output]| said.push_str(&format!("{outputs:?}"));
    note(&node.meet(0));
    note(&node.meet(2));
    let outputs = node.gossip(0, &frame);
    note(&outputs);
    for (id, index) in chunks_asked(&outputs, 0) {
        let outputs = node.answered(id, serve(&mut author, &frame, index));
        note(&outputs);
        let outputs = node.work(outputs);
        note(&outputs);
    }
    note(&node.publish(draft(name, 100, Marking::Clear)));
    note(&node.commit());
    note(&node.later(PROBE_EVERY_MS * 2));
    note(&node.feed(Input::PeerDisconnected { node: node_id(0) }));
    note(&node.commit());
    (sha256(said.as_bytes()), node.engine.store().digest())
}

#[test]
fn the_same_inputs_give_the_same_outputs_and_the_same_store() {
    let first = story("a");
    assert_eq!(first, story("a"));
    let other = story("b");
    assert_ne!(first.0, other.0);
    assert_ne!(first.1, other.1);
}
