//! The door for notices: every kind as it should be, and what somebody who holds
//! some of the keys, or none, tries with its bytes, keys and lists. What else is
//! refused, and who pays for it, is asked in `refusals`: those are verdicts on what
//! a good signature is under.

mod refusals;

use super::*;
use crate::ids::EnvelopeId;
use crate::limits::{CUTS_MAX, ROUNDS_MAX, STREAMS_PER_NODE_MAX, SUSPENSION_LIFE_MS_MAX};
use crate::membership::tests::federation::{
    FOUNDED_MS, Federation, HOUR_MS, NOW_MS, head, list, sign, sign_vote,
};
use crate::wire::notice::Proof;
use crate::wire::notice::{RevocationReason, StreamCut, StreamHead};
use crate::wire::roster::Change;
use crate::wire::{Bytes, Class, List, Role, Tag, Text};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use watchfire_crypto::SigningKey;

/// A good frame of every kind, and by whose key the statement in it is signed.
struct Sample {
    name: &'static str,
    kind: Kind,
    frame: Vec<u8>,
    key: SigningKey,
}

fn samples(of: &Federation) -> Vec<Sample> {
    let (newcomer, admit) = Federation::newcomer(1);
    let successor = of.propose(0, NOW_MS, vec![admit]);
    let roster = successor.id();
    let sample = |name, kind, frame, key| Sample {
        name,
        kind,
        frame,
        key,
    };
    let (_, renewal) = of.renewal(1, 2, NOW_MS);
    let (node, root) = (|at| of.keys(at).signing, |at| of.keys(at).root);
    let two = |by| (of.prepare_said(by, id(1), 3), of.prepare_said(by, id(2), 3));
    let (one, other) = two(2);
    vec![
        sample("card", Kind::Card, of.card(1, NOW_MS, |_| {}), root(1)),
        sample(
            "proposal",
            Kind::Roster,
            of.proposal(0, &successor),
            node(0),
        ),
        sample("prepare", Kind::Vote, of.prepare(1, roster, 1), node(1)),
        sample("commit", Kind::Vote, of.commit(1, roster, 1), root(1)),
        sample(
            "consent",
            Kind::Vote,
            of.consent(&newcomer, roster),
            newcomer.root,
        ),
        sample("certificate", Kind::NodeCert, renewal, root(1)),
        sample(
            "revocation",
            Kind::Revocation,
            of.revocation(1, 1, NOW_MS),
            root(1),
        ),
        sample(
            "suspension",
            Kind::Suspension,
            of.suspension(1, of.id(2), NOW_MS, HOUR_MS, "silent"),
            node(1),
        ),
        sample("alive", Kind::Alive, of.alive(1, NOW_MS, |_| {}), node(1)),
        sample("fork", Kind::Proof, of.fork(1), node(1)),
        sample("two commits", Kind::Proof, of.double_vote(1), root(1)),
        sample(
            "two prepares",
            Kind::Proof,
            of.votes_of(2, &one, &other),
            node(2),
        ),
    ]
}

fn id(byte: u8) -> RosterId {
    RosterId::from_bytes([byte; 32])
}

fn refusal(frame: &[u8], roster: &Roster) -> NoticeRefusal {
    check_notice(frame, roster).unwrap_err()
}

/// What is signed in a frame of one statement.
fn statement(sample: &Sample) -> Vec<u8> {
    let body = &sample.frame[2..sample.frame.len() - carried(sample).len()];
    let body: SignedBytes<ROSTER_BYTES_MAX> = codec::decode(body, FRAME_BYTES_MAX).unwrap();
    body.to_signed::<Vote>().bytes().to_vec()
}

/// What a frame carries behind its statement: with votes the prepares.
fn carried(sample: &Sample) -> Vec<u8> {
    if sample.kind != Kind::Vote {
        return Vec::new();
    }
    codec::encode(&vote_frame(&sample.frame).prepares)
}

fn vote_frame(frame: &[u8]) -> VoteFrame {
    codec::decode(&frame[2..], FRAME_BYTES_MAX).unwrap()
}

/// Where the signatures of a frame end: that of its statement, or of the last in
/// it, and those it carries.
fn signature_ends(sample: &Sample) -> Vec<usize> {
    let own = sample.frame.len() - carried(sample).len();
    let is_vote = sample.kind == Kind::Vote;
    let lines = is_vote.then(|| vote_frame(&sample.frame).prepares.len());
    let lines = lines.unwrap_or(0);
    let of_line = |back: usize| sample.frame.len() - back * size_of::<VoteLine>();
    [own].into_iter().chain((0..lines).map(of_line)).collect()
}

fn resigned(kind: Kind, bytes: &[u8], signature: [u8; 64]) -> Vec<u8> {
    let mut frame = vec![FRAME_VERSION, u8::try_from(kind.number()).unwrap()];
    let bytes: Bytes<FRAME_BYTES_MAX> = Bytes::new(bytes.to_vec()).unwrap();
    frame.extend(codec::encode(&(bytes, signature)));
    frame
}

#[test]
fn every_kind_comes_through_as_it_was_sent_into_a_slot_of_its_own() {
    let four = Federation::of(4);
    let mut slots = BTreeSet::new();
    for sample in samples(&four) {
        let notice = check_notice(&sample.frame, &four.roster)
            .unwrap_or_else(|why| panic!("{}: {why}", sample.name));
        assert_eq!(notice.bytes(), sample.frame);
        assert!(is_notice(&sample.frame), "{}", sample.name);
        assert_eq!(notice.slot().is_alive(), sample.name == "alive");
        assert!(slots.insert(notice.slot()), "{}", sample.name);
        let read: Slot = codec::decode(&codec::encode(&notice.slot()), 256).unwrap();
        assert_eq!(read, notice.slot());
    }
    assert_eq!(slots.len(), 12);
}

#[test]
fn every_byte_counts() {
    let four = Federation::of(4);
    for sample in samples(&four) {
        for at in 0..sample.frame.len() {
            let mut flipped = sample.frame.clone();
            flipped[at] ^= 1 << (at % 8);
            let refused = check_notice(&flipped, &four.roster);
            assert!(refused.is_err(), "{}: byte {at}", sample.name);
        }
        // Of a signature all must be told alike, and the forwarder could tell.
        let ends = signature_ends(&sample);
        assert_eq!(ends.len(), if sample.name == "commit" { 4 } else { 1 });
        for at in ends.iter().flat_map(|end| (end - 64..*end).step_by(7)) {
            let mut flipped = sample.frame.clone();
            flipped[at] ^= 0x10;
            let refused = refusal(&flipped, &four.roster);
            assert_eq!(refused, NoticeRefusal::Signature, "{}", sample.name);
            assert_eq!(refused.blame(), Blame::Forwarder);
        }
    }
}

#[test]
fn attack_30_nothing_shorter_or_longer_is_a_notice() {
    let four = Federation::of(4);
    for sample in samples(&four) {
        for length in 0..sample.frame.len() {
            let refused = refusal(&sample.frame[..length], &four.roster);
            assert!(matches!(refused, NoticeRefusal::Form(_)), "{}", sample.name);
            assert_eq!(refused.blame(), Blame::Forwarder);
        }
        let mut longer = sample.frame.clone();
        longer.push(0);
        let refused = refusal(&longer, &four.roster);
        assert!(matches!(refused, NoticeRefusal::Form(_)), "{}", sample.name);
        longer.resize(FRAME_BYTES_MAX + 1, 0);
        let bytes = longer.len();
        assert_eq!(
            refusal(&longer, &four.roster),
            NoticeRefusal::TooLong { bytes }
        );
    }
}

#[test]
fn attack_06_a_signature_of_one_kind_is_none_of_another() {
    let four = Federation::of(4);
    for sample in samples(&four) {
        // The same bytes, called another kind.
        for kind in Kind::ALL.iter().filter(|kind| **kind != sample.kind) {
            let mut renamed = sample.frame.clone();
            renamed[1] = u8::try_from(kind.number()).unwrap();
            assert!(check_notice(&renamed, &four.roster).is_err());
        }
        // What it says, signed by the right key as another kind.
        if matches!(sample.kind, Kind::NodeCert | Kind::Proof) {
            continue;
        }
        let said = statement(&sample);
        for kind in Kind::ALL {
            let signature = sample.key.sign(kind.domain(), &said).to_bytes();
            let mut replayed = resigned(sample.kind, &said, signature);
            replayed.extend(carried(&sample));
            match check_notice(&replayed, &four.roster) {
                Ok(notice) => {
                    assert_eq!(*kind, sample.kind, "{}", sample.name);
                    assert_eq!(notice.bytes(), sample.frame);
                }
                Err(why) => {
                    assert_ne!(*kind, sample.kind);
                    assert_eq!(why, NoticeRefusal::Signature, "{}", sample.name);
                }
            }
        }
    }
    no_other_kind_is_a_prepare(&four);
}

/// Nor is it one of the prepares that a commit carries.
fn no_other_kind_is_a_prepare(four: &Federation) {
    let good = vote_frame(&four.commit(1, id(1), 1));
    for (at, line) in good.prepares.iter().enumerate() {
        let is_by = |by: &usize| *four.certificate(*by).id.as_bytes() == line.key;
        let by = (0..4).find(is_by).unwrap();
        let said = codec::encode(&four.prepare_said(by, id(1), 1));
        for kind in Kind::ALL {
            let signature = four.keys(by).signing.sign(kind.domain(), &said);
            let mut lines = good.prepares.as_slice().to_vec();
            lines[at].signature = signature.to_bytes();
            let prepares = list(lines);
            let vote = good.vote.clone();
            let checked = check_notice(&VoteFrame { vote, prepares }.to_frame(), &four.roster);
            if *kind == Kind::Vote {
                assert!(checked.is_ok());
            } else {
                assert_eq!(checked.unwrap_err(), NoticeRefusal::Signature);
            }
        }
    }
}

#[test]
fn attack_06_no_key_of_a_certificate_signs_as_another_kind() {
    let four = Federation::of(4);
    let keys = four.keys(1);
    let certificate = |kinds: [Kind; 3]| {
        let good = four.certify(1, &keys, |cert| cert.serial = 2);
        let said: Bytes<512> = Bytes::new(codec::encode(&good.claims().unwrap())).unwrap();
        let by = |key: &SigningKey, kind: Kind| key.sign(kind.domain(), said.as_slice()).to_bytes();
        let root = by(&keys.root, kinds[0]);
        let signing = by(&keys.signing, kinds[1]);
        let transport = by(&keys.transport, kinds[2]);
        crate::wire::envelope::frame(Kind::NodeCert, &(said, root, signing, transport))
    };
    assert!(check_notice(&certificate([Kind::NodeCert; 3]), &four.roster).is_ok());
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::NodeCert) {
        for at in 0..3 {
            let mut kinds = [Kind::NodeCert; 3];
            kinds[at] = *kind;
            let refused = refusal(&certificate(kinds), &four.roster);
            assert_eq!(refused, NoticeRefusal::Signature);
        }
    }
}

#[test]
fn attack_07_what_is_of_another_federation_is_refused() {
    let four = Federation::of(4);
    // The same keys and certificates, another genesis.
    let five = Federation::of(5);
    assert_eq!(five.certificate(1).id, four.certificate(1).id);
    for sample in samples(&five) {
        let checked = check_notice(&sample.frame, &four.roster);
        // They name their root, and no federation.
        if matches!(sample.kind, Kind::Card | Kind::NodeCert) {
            assert!(checked.is_ok());
            continue;
        }
        let refused = checked.unwrap_err();
        assert_eq!(refused, NoticeRefusal::OtherFederation, "{}", sample.name);
        assert_eq!(refused.blame(), Blame::Forwarder);
    }
}

/// A statement of these fields, which no type here would hold, as a frame.
fn oversized<T: Statement>(kind: Kind, fields: &impl Encode, key: &SigningKey) -> Vec<u8> {
    let bytes = codec::encode(fields);
    let signature = key.sign(T::DOMAIN, &bytes).to_bytes();
    resigned(kind, &bytes, signature)
}

#[test]
fn attack_31_a_list_holds_what_its_bound_says_and_no_more() {
    let four = Federation::of(4);
    let keys = four.keys(1);
    let (federation, epoch, roster) = (
        four.roster.federation(),
        four.roster.epoch(),
        four.roster.id(),
    );
    let certificate = four.certificate(1).id;
    let refused_alone = |good: &[u8], over: &[u8]| {
        check_notice(good, &four.roster).unwrap();
        let refused = refusal(over, &four.roster);
        assert!(matches!(refused, NoticeRefusal::Form(_)), "{refused}");
    };
    let heads = |count: usize| {
        let tags = (1..=u8::try_from(count).unwrap()).map(|at| Tag::from_bytes([at; 16]));
        let heads: List<StreamHead, 99> = list(tags.map(|tag| head(tag, 1)).collect());
        let none: List<u64, 1> = List::default();
        let fields = (
            federation,
            certificate,
            epoch,
            roster,
            NOW_MS,
            heads,
            &none,
            &none,
        );
        oversized::<Alive>(Kind::Alive, &fields, &keys.signing)
    };
    refused_alone(
        &heads(STREAMS_PER_NODE_MAX),
        &heads(STREAMS_PER_NODE_MAX + 1),
    );
    let cuts = |count: usize| {
        let cut = |at| StreamCut {
            incarnation: 1,
            tag: Tag::from_bytes([at; 16]),
            sequence: 1,
            head: EnvelopeId::from_bytes([at; 32]),
        };
        let cuts: List<StreamCut, 99> = list((1..=u8::try_from(count).unwrap()).map(cut).collect());
        let reason = RevocationReason::Retired;
        let fields = (
            federation,
            four.id(1),
            keys.root.public().to_bytes(),
            four.node(1),
            1_u64,
            NOW_MS,
            reason,
            cuts,
        );
        oversized::<Revocation>(Kind::Revocation, &fields, &keys.root)
    };
    refused_alone(&cuts(CUTS_MAX), &cuts(CUTS_MAX + 1));
    let reason = |count: usize| {
        let reason: Text<999> = Text::new("r".repeat(count)).unwrap();
        let until_ms = NOW_MS + SUSPENSION_LIFE_MS_MAX;
        let fields = (
            federation,
            certificate,
            four.id(2),
            NOW_MS,
            until_ms,
            reason,
        );
        oversized::<Suspension>(Kind::Suspension, &fields, &keys.signing)
    };
    refused_alone(&reason(128), &reason(129));
}

#[test]
fn attack_13_a_proof_proves_two_of_one_place_and_nothing_less() {
    let four = Federation::of(4);
    let header = |sequence, content| four.header(1, sequence, content);
    let in_no_stream = {
        let mut header = header(2, 1);
        header.prefix.class = Class::Direct {
            suite: 1,
            recipient: four.node(2),
            size_bucket: 1,
            sealing: Bytes::default(),
        };
        header
    };
    let mut other_stream = header(2, 2);
    other_stream.prefix.class = Class::Open {
        tag: Tag::CONTROL,
        sequence: 2,
        previous: None,
    };
    let commit = |roster, round| four.commit_said(1, id(roster), round);
    let later = Vote {
        epoch: 9,
        ..commit(2, 1)
    };
    let key = four.root_key(1);
    let consent = |roster| Vote {
        by: VoteBy::Consent { key },
        ..commit(roster, 1)
    };
    let cases = [
        (
            "one header twice",
            four.fork_of(1, &header(2, 1), &header(2, 1)),
        ),
        ("two places", four.fork_of(1, &header(2, 1), &header(3, 1))),
        ("two streams", four.fork_of(1, &header(2, 1), &other_stream)),
        ("no stream", four.fork_of(1, &in_no_stream, &in_no_stream)),
        (
            "one vote twice",
            four.votes_of(1, &commit(1, 1), &commit(1, 1)),
        ),
        ("two rounds", four.votes_of(1, &commit(1, 1), &commit(2, 2))),
        ("two epochs", four.votes_of(1, &commit(1, 1), &later)),
        (
            "two steps",
            four.votes_of(1, &commit(1, 1), &four.prepare_said(1, id(2), 1)),
        ),
        ("consents", four.votes_of(1, &consent(1), &consent(2))),
    ];
    for (name, frame) in cases {
        let refused = refusal(&frame, &four.roster);
        assert!(
            matches!(refused, NoticeRefusal::Contradiction(_)),
            "{name}: {refused}"
        );
    }
    // Two members' votes for two rosters are no contradiction of either.
    let of_two = {
        let signed = |by: usize, roster| {
            let vote = four.commit_said(by, id(roster), 1);
            let key = four.keys(by).root;
            SignedBytes::new(Signed::<Vote>::seal(codec::encode(&vote), &key)).unwrap()
        };
        let (first, second) = (signed(1, 1), signed(2, 2));
        crate::wire::envelope::frame(Kind::Proof, &Proof::Votes { first, second })
    };
    assert!(matches!(
        refusal(&of_two, &four.roster),
        NoticeRefusal::Contradiction(_)
    ));
    // And nobody proves anything with a key that is not the accused's.
    let framed = four.fork_of(2, &header(2, 1), &header(2, 2));
    assert_eq!(refusal(&framed, &four.roster), NoticeRefusal::Signature);
}

#[test]
fn attack_21_a_card_with_a_role_nobody_gave_is_refused() {
    let four = Federation::of(4);
    let frame = four.card(1, NOW_MS, |card| {
        card.role = Role::Hub;
        card.certificate = four.certify(1, &four.keys(1), |cert| cert.role = Role::Hub);
    });
    assert_eq!(refusal(&frame, &four.roster), NoticeRefusal::NotKnown);
}

#[test]
fn attack_17_a_revoked_node_signs_no_notice_any_more() {
    let four = Federation::of(4);
    let mut roster = four.roster.clone();
    let Matter::Revocation(revocation) = check_notice(&four.revocation(1, 1, NOW_MS), &roster)
        .unwrap()
        .into_matter()
    else {
        panic!("it is a revocation");
    };
    assert!(roster.revoke(&revocation));
    let successor = four.propose(1, NOW_MS, vec![four.expel(3)]);
    for frame in [
        four.alive(1, NOW_MS, |_| {}),
        four.suspension(1, four.id(2), NOW_MS, HOUR_MS, ""),
        four.prepare(1, successor.id(), 1),
        four.proposal(1, &successor),
    ] {
        assert_eq!(refusal(&frame, &roster), NoticeRefusal::NotKnown);
    }
    // Its root does, and what the node signed twice before stays proven.
    assert!(check_notice(&four.commit(1, successor.id(), 1), &roster).is_ok());
    assert!(check_notice(&four.fork(1), &roster).is_ok());
}

static TWO: LazyLock<Federation> = LazyLock::new(|| Federation::of(2));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn attack_36_no_bytes_make_the_door_panic(
        kind in 0_u8..24,
        body in prop::collection::vec(any::<u8>(), 0..256),
    ) {
        let mut frame = vec![FRAME_VERSION, kind];
        frame.extend(body);
        prop_assert!(check_notice(&frame, &TWO.roster).is_err());
    }
}

#[test]
fn attack_15_a_key_that_was_replaced_names_nobody_a_double_voter_of_a_later_epoch() {
    let four = Federation::of(4);
    let rekey = Change::Rekey {
        member: four.id(2),
        root_key: Federation::stranger(1).root.public().to_bytes(),
        cuts: List::default(),
    };
    let next = four.propose(1, NOW_MS, vec![rekey]).would_be().clone();
    let said = |epoch, vote: Vote| Vote { epoch, ..vote };
    let proof = |epoch, of: &dyn Fn(u8) -> Vote| {
        let (one, other) = (said(epoch, of(1)), said(epoch, of(2)));
        let id = |vote: &Vote| Vote::DOMAIN.digest(&codec::encode(vote));
        if id(&one) < id(&other) {
            four.votes_of(2, &one, &other)
        } else {
            four.votes_of(2, &other, &one)
        }
    };
    let commits = |roster| four.commit_said(2, id(roster), 1);
    let prepares = |roster| four.prepare_said(2, id(roster), 1);
    for of in [&commits as &dyn Fn(u8) -> Vote, &prepares] {
        // When its keys stood it voted twice, and that is known for good.
        assert!(check_notice(&proof(1, of), &next).is_ok());
        assert_eq!(refusal(&proof(2, of), &next), NoticeRefusal::NotKnown);
    }
}
