//! What an author may do, this node among them: at what rate, in which order,
//! for how long, and under which epoch and certificate.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::catching_up::page;
use super::room::*;
use super::*;
use crate::engine::receive::HOUR_MS;
use crate::limits::{
    BUNDLE_LIFE_MS_MAX, CERTIFICATE_LIFE_MS_MAX, PROBE_AGAIN_MS, SEQUENCE_AHEAD_MAX,
};
use crate::table::Through;
use crate::wire::NodeCert;
use crate::wire::bundle::{Encoding, Part};
use crate::wire::envelope::Inner;
use crate::wire::exchange::Remains;

/// After this long there is room for one more envelope of an author, and not
/// for two: 62 a second.
const ONE_ENVELOPE_MS: u64 = 20;

const FIVE_MINUTES_MS: u64 = 5 * 60 * 1_000;

fn refusal(outputs: &[Output]) -> Option<&PublishRefusal> {
    outputs.iter().find_map(|output| match output {
        Output::Published {
            outcome: Err(refusal),
            ..
        } => Some(refusal),
        _ => None,
    })
}

fn remains_of(frame: &[u8]) -> Remains {
    Remains {
        header: header_of_frame(frame).unwrap().signed,
        second_signature: None,
    }
}

fn bring_remains(node: &mut Node, frame: &[u8]) -> Vec<Output> {
    let work = Work::Check {
        id: RequestId(0),
        from: node_id(0),
        items: vec![RangeItem::Remains(remains_of(frame))],
        roster: node.engine.roster(),
    };
    node.feed(Input::Done(work.run()))
}

#[test]
fn each_envelope_is_charged_to_its_author() {
    let (_, frames) = author_of(3);
    let mut node = Node::start(1);
    let empty = empty_quota(node.now());
    let whose = (node_id(0), Way::Gossip);
    node.engine.author_quotas.insert(whose, empty);
    node.pass(ONE_ENVELOPE_MS);
    assert_eq!(verdict(&node.gossip(0, &frames[0])), Verdict::Accept);
    let outputs = node.gossip(0, &frames[1]);
    let over = NotTaken::Quota { whose: "author" };
    assert_eq!(not_taken(&outputs), Some(&over));
    node.pass(ONE_ENVELOPE_MS);
    assert_eq!(verdict(&node.gossip(0, &frames[1])), Verdict::Accept);
}

#[test]
fn a_bundle_is_charged_with_what_it_costs_to_open() {
    // A few bytes that claim to open to 150 MB; two such fit at once.
    let mut author = Node::start(0);
    let mut node = Node::start(1);
    let verdicts: Vec<Verdict> = (0..3)
        .map(|at| {
            let mut bomb = draft(&format!("{at}"), 10, Marking::Clear);
            let part = Part {
                length: 150_000_000,
                ..bomb.parts.as_slice()[0]
            };
            bomb.parts = List::new(vec![part]).unwrap();
            bomb.encoding = Encoding::Zstd;
            // It does not keep to the rate that it publishes.
            author.engine.own_quota = Quota::own(author.now().mono);
            let frame = frame_with(&mut author, bomb);
            assert!(frame.len() < 4_096);
            verdict(&node.gossip(0, &frame))
        })
        .collect();
    assert_eq!(
        verdicts,
        [Verdict::Accept, Verdict::Accept, Verdict::Ignore]
    );
}

#[test]
fn remains_are_charged_as_what_they_take_on_disk() {
    let short = short_lived("short", 1);
    let frame = frame_with(&mut Node::start(0), short);
    let mut node = Node::start(1);
    node.meet(0);
    node.pass(2 * HOUR_MS);
    // Envelopes are left of its quota, bytes are not.
    let mut quota = Quota::author(node.now().mono);
    quota.take(u64::MAX / 2_000);
    let whose = (node_id(0), Way::Asked);
    node.engine.author_quotas.insert(whose, quota);
    let outputs = bring_remains(&mut node, &frame);
    let over = NotTaken::Quota { whose: "author" };
    assert_eq!(not_taken(&outputs), Some(&over));
    node.pass(ONE_ENVELOPE_MS);
    assert_eq!(not_taken(&bring_remains(&mut node, &frame)), None);
}

#[test]
fn an_epoch_that_is_not_known_here_waits_until_it_is() {
    let short = short_lived("short", 1);
    let frame = frame_with(&mut Node::start(0), short);
    let tomorrow = signed_again(&frame, 0, |header, _| header.prefix.epoch += 1);
    let unknown = NotTaken::Gate(Refusal::UnknownAuthor);
    let mut node = Node::start(1);
    node.meet(0);
    let outputs = node.gossip(0, &tomorrow);
    assert_eq!(verdict(&outputs), Verdict::Ignore);
    assert_eq!(not_taken(&outputs), Some(&unknown));
    // Nor does what remains of it keep a place.
    node.pass(2 * HOUR_MS);
    let outputs = bring_remains(&mut node, &tomorrow);
    assert_eq!(not_taken(&outputs), Some(&unknown));
    assert_eq!(node.engine.streams.sequence(&public_of(0, 1)), 0);
    assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Ignore);
    assert_eq!(node.engine.streams.sequence(&public_of(0, 1)), 1);
}

#[test]
fn what_this_version_cannot_read_is_kept_no_longer_than_anything_may_be() {
    let frame = Node::start(0).frame_of("a", 10);
    let hour = |ms: u64| u32::try_from((WALL_MS + ms) / HOUR_MS).unwrap();
    let unread = |expiry_hour| {
        signed_again(&frame, 0, |header, head| {
            // A statement of a kind that a newer version knows: when it was
            // made cannot be read.
            let mut inner: Inner = codec::decode(head, head.len()).unwrap();
            inner.kind = 60_000;
            *head = codec::encode(&inner);
            header.prefix.expiry_hour = expiry_hour;
        })
    };
    let mut node = Node::start(1);
    let too_late = unread(hour(BUNDLE_LIFE_MS_MAX + 3 * HOUR_MS));
    let outputs = node.gossip(0, &too_late);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::ExpiresTooLate));
    let in_time = unread(hour(BUNDLE_LIFE_MS_MAX));
    assert_eq!(verdict(&node.gossip(0, &in_time)), Verdict::Accept);
}

#[test]
fn a_stream_in_which_time_goes_back_is_evidence() {
    let mut author = Node::start(0);
    author.pass(FIVE_MINUTES_MS);
    let first = author.frame_of("first", 10);
    author.engine.own_created_ms = 0;
    author.ms = 0;
    let second = author.frame_of("backdated", 10);
    let mut node = Node::start(1);
    node.pass(FIVE_MINUTES_MS);
    node.gossip(0, &first);
    let outputs = node.gossip(0, &second);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Conflict));
    node.commit();
    assert_eq!((node.holds(&second), node.evidence()), (false, 1));
}

#[test]
fn who_brings_something_from_behind_a_gap_is_asked_for_the_gap_at_once() {
    let mut author = Node::start(0);
    let first = author.frame_of("first", 10);
    let second = author.frame_of("second", 10);
    let far = {
        let mut author = Node::start(0);
        let before = Through {
            sequence: SEQUENCE_AHEAD_MAX + 1,
            head: id_of(&first, &author.engine.roster()),
        };
        let row = StreamRow {
            through: Some(before),
            born: 1,
            changed: 1,
        };
        let stream = public_of(0, 1);
        author.engine.streams.restore(stream, row, Vec::new());
        author.frame_of("far", 10)
    };
    for (frame, expected, asks) in [
        (&first, Verdict::Accept, false),
        (&second, Verdict::Accept, true),
        (&far, Verdict::Ignore, true),
    ] {
        let mut node = Node::start(1);
        let outputs = node.meet(2);
        let (id, _) = asked(&outputs, 2).remove(0);
        node.answered(id, page(1, Vec::new(), false));
        assert_eq!(verdict(&node.gossip(2, frame)), expected);
        let outputs = node.later(PROBE_AGAIN_MS);
        assert_eq!(!asked(&outputs, 2).is_empty(), asks, "{expected:?}");
    }
}

#[test]
fn an_expired_frame_does_not_take_the_place_of_its_remains() {
    let short = short_lived("short", 1);
    let frame = frame_with(&mut Node::start(0), short);
    let mut node = Node::start(1);
    node.meet(0);
    node.pass(2 * HOUR_MS);
    for _ in 0..2 {
        assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Ignore);
        node.commit();
        let count = |prefix: &[u8]| node.engine.store().scan(prefix, prefix, 9).unwrap().len();
        // Its time is over: nobody is shown what it said.
        assert_eq!((count(b"R"), count(b"L")), (1, 0));
        assert_eq!(node.engine.status().unopened, 0);
    }
}

#[test]
fn this_node_keeps_to_the_rate_that_it_publishes() {
    let mut node = Node::start(0);
    let mut empty = Quota::own(node.now().mono);
    empty.take(u64::MAX / 2_000);
    for _ in 0..Rate::AUTHOR_ENVELOPES.burst {
        empty.take(0);
    }
    node.engine.own_quota = empty;
    node.pass(ONE_ENVELOPE_MS);
    node.frame_of("a", 10);
    let outputs = node.publish(draft("b", 10, Marking::Clear));
    assert_eq!(refusal(&outputs), Some(&PublishRefusal::Quota));
    node.pass(ONE_ENVELOPE_MS);
    node.frame_of("b", 10);
}

#[test]
fn nothing_is_published_under_a_certificate_that_is_over() {
    let mut node = Node::start(0);
    node.pass(CERTIFICATE_LIFE_MS_MAX);
    let outputs = node.publish(draft("a", 10, Marking::Clear));
    assert_eq!(refusal(&outputs), Some(&PublishRefusal::Certificate));
}

#[test]
fn a_node_goes_on_under_the_certificate_that_a_person_installs() {
    let mut node = Node::start(0);
    node.frame_of("under the first", 10);
    node.pass(CERTIFICATE_LIFE_MS_MAX / 2);
    let mut renewed = newcomer(&keys(0), &keys(0));
    renewed.serial = 2;
    renewed.not_before_ms = WALL_MS + CERTIFICATE_LIFE_MS_MAX / 2 - 1_000;
    renewed.not_after_ms = renewed.not_before_ms + CERTIFICATE_LIFE_MS_MAX;
    let install = |node: &mut Node, cert: &NodeCert| {
        let Keys {
            root,
            signing,
            transport,
        } = keys(0);
        let certificate = CertificateBytes::sign(cert, &root, &signing, &transport).unwrap();
        node.feed(Input::Certificate {
            certificate: Box::new(certificate),
        });
        node.engine.me().serial
    };
    // A new life begins without another start.
    let reborn = NodeCert {
        serial: 3,
        incarnation: 2,
        ..renewed.clone()
    };
    let mut running = Node::start(0);
    running.pass(CERTIFICATE_LIFE_MS_MAX / 2);
    assert_eq!(install(&mut running, &reborn), 3);
    // A copy of the node hears of that life, lives on in its own and publishes nothing.
    let mut copy = Node::start(0);
    copy.pass(CERTIFICATE_LIFE_MS_MAX / 2);
    let certificate = {
        let Keys {
            root,
            signing,
            transport,
        } = keys(0);
        CertificateBytes::sign(&reborn, &root, &signing, &transport).unwrap()
    };
    copy.feed(Input::gossip(
        node_id(1),
        GossipToken(7),
        &crate::wire::envelope::frame(crate::wire::Kind::NodeCert, &certificate),
        &copy.engine.roster(),
    ));
    copy.commit();
    let newest = copy.engine.roster().node(&node_id(0)).cloned();
    assert_eq!(newest.map(|newest| newest.serial), Some(3), "it was taken");
    assert_eq!(copy.engine.me().incarnation, 1);
    let outputs = copy.publish(draft("by a copy", 10, Marking::Clear));
    assert_eq!(refusal(&outputs), Some(&PublishRefusal::Certificate));
    let mut copy = copy.restart(0);
    assert_eq!(copy.engine.me().incarnation, 1, "nor after a restart");
    assert_eq!(install(&mut copy, &reborn), 3, "before a person says so");
    assert_eq!(install(&mut node, &renewed), 2);
    node.pass(CERTIFICATE_LIFE_MS_MAX / 2 + 1);
    let frame = node.frame_of("under the second", 10);
    // Others need the new one too, and then the stream goes on for them.
    let mut peer = Node::start(1);
    peer.pass(CERTIFICATE_LIFE_MS_MAX + 1);
    assert!(check(&frame, &peer.engine.roster()).is_err());
    assert_eq!(install(&mut peer, &renewed), 1);
    assert!(check(&frame, &peer.engine.roster()).is_ok());
}

#[test]
fn a_gap_in_the_own_stream_stops_publishing_until_it_is_closed() {
    let (_, frames) = author_of(2);
    // Its store was lost, and the second came back first.
    let mut author = Node::start(0);
    author.gossip(1, &frames[1]);
    let outputs = author.publish(draft("at a place that is taken", 10, Marking::Clear));
    assert_eq!(refusal(&outputs), Some(&PublishRefusal::Behind));
    author.gossip(1, &frames[0]);
    author.frame_of("third", 10);
    assert_eq!(author.engine.streams.sequence(&public_of(0, 1)), 3);
}

#[test]
fn a_clock_that_was_set_back_does_not_make_this_node_a_liar() {
    let mut author = Node::start(0);
    author.pass(FIVE_MINUTES_MS);
    let mut frames = vec![author.frame_of("before", 10)];
    author.ms = 0;
    frames.push(author.frame_of("after", 10));
    // It knows of it after a restart, too.
    let mut author = author.restart(0);
    frames.push(author.frame_of("after a start", 10));
    let mut node = Node::start(1);
    node.pass(FIVE_MINUTES_MS);
    for frame in &frames {
        assert_eq!(verdict(&node.gossip(0, frame)), Verdict::Accept);
    }
}

#[test]
fn whatever_life_is_wished_for_what_is_published_is_taken_elsewhere() {
    let mut author = Node::start(0);
    let mut node = Node::start(1);
    for valid_ms in [0, u64::MAX] {
        let mut wished = draft("a", 10, Marking::Clear);
        wished.wish.valid_ms = valid_ms;
        let frame = frame_with(&mut author, wished);
        assert_eq!(verdict(&node.gossip(0, &frame)), Verdict::Accept);
    }
}
