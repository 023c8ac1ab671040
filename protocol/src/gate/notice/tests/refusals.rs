//! For every refusal what earns it, under good signatures, and who pays.

use super::*;
use crate::wire::Bytes;
use crate::wire::notice::GroupVersion;

#[test]
fn what_is_signed_and_reads_as_nothing_is_the_forwarders() {
    let four = Federation::of(4);
    for sample in samples(&four) {
        if sample.kind == Kind::Proof {
            continue;
        }
        let nonsense = [0xff; 40];
        let signature = sample.key.sign(sample.kind.domain(), &nonsense).to_bytes();
        let mut frame = resigned(sample.kind, &nonsense, signature);
        frame.extend(carried(&sample));
        if sample.kind == Kind::NodeCert {
            frame.extend([0; 128]);
        }
        let refused = refusal(&frame, &four.roster);
        assert!(matches!(refused, NoticeRefusal::Form(_)), "{}", sample.name);
        assert_eq!(refused.blame(), Blame::Forwarder);
    }
}

#[test]
fn a_kind_that_is_no_notice_is_nobodys_fault() {
    let four = Federation::of(4);
    let alive = four.alive(1, NOW_MS, |_| {});
    for version in [0, 1, 2, 255] {
        for kind in 0..=255 {
            let mut frame = alive.clone();
            (frame[0], frame[1]) = (version, kind);
            match check_notice(&frame, &four.roster) {
                Ok(_) => assert_eq!((version, kind), (FRAME_VERSION, 10)),
                Err(why) => {
                    let is_unknown = why == NoticeRefusal::Unknown { version, kind };
                    assert_eq!(is_unknown, !is_notice(&frame), "{version} {kind}");
                    assert!(!is_unknown || why.blame() == Blame::Nobody);
                }
            }
        }
    }
    assert!(!is_notice(&[FRAME_VERSION]));
}

#[test]
fn what_contradicts_itself_is_the_forwarders() {
    let four = Federation::of(4);
    let me = four.id(1);
    let suspend = |of, life| four.suspension(1, of, NOW_MS, life, "");
    let back_in_time = {
        let said = Suspension {
            federation: four.roster.federation(),
            certificate: four.certificate(1).id,
            member: four.id(2),
            created_ms: NOW_MS,
            until_ms: NOW_MS - 1,
            reason: Text::default(),
        };
        sign::<_, SUSPENSION_BYTES_MAX>(Kind::Suspension, &said, &four.keys(1).signing)
    };
    let heads = |tags: &[u8]| {
        let tags = tags.iter().map(|at| Tag::from_bytes([*at; 16]));
        let heads = tags.zip(1..).map(|(tag, at)| head(tag, at)).collect();
        four.alive(1, NOW_MS, |said| said.heads = list(heads))
    };
    let groups = |versions: &[(u8, u64)]| {
        let version = |(group, version): &(u8, u64)| GroupVersion {
            group: [*group; 32],
            version: *version,
            digest: [0; 32],
        };
        let groups = versions.iter().map(version).collect();
        four.alive(1, NOW_MS, |said| said.groups = list(groups))
    };
    let more = |numbers: &[u16]| {
        let additions = numbers.iter().map(|number| (*number, Bytes::default()));
        let more = additions.collect();
        four.alive(1, NOW_MS, |said| said.more = list(more))
    };
    let consent_in_a_round = {
        let (newcomer, admit) = Federation::newcomer(1);
        let successor = four.propose(0, NOW_MS, vec![admit]);
        let key = newcomer.root.public().to_bytes();
        let vote = successor.vote(1, VoteBy::Consent { key });
        sign_vote(&vote, &newcomer.root)
    };
    let weak = {
        let vote = four.commit_said(1, id(1), 1);
        let key = [0; 32];
        let by = VoteBy::Commit { key };
        sign_vote(&Vote { by, ..vote }, &four.keys(1).root)
    };
    let for_another = {
        let mut statement = four
            .propose(0, NOW_MS, vec![four.expel(3)])
            .statement()
            .clone();
        statement.proposer = four.id(2);
        sign::<_, ROSTER_BYTES_MAX>(Kind::Roster, &statement, &four.keys(0).signing)
    };
    let cases = [
        ("suspends itself", suspend(me, HOUR_MS)),
        ("too long", suspend(four.id(2), SUSPENSION_LIFE_MS_MAX + 1)),
        ("ends before it begins", back_in_time),
        ("heads descend", heads(&[2, 1])),
        ("one stream twice", heads(&[2, 2])),
        ("one group twice", groups(&[(2, 1), (2, 2)])),
        ("groups descend", groups(&[(2, 1), (1, 2)])),
        ("one addition twice", more(&[7, 7])),
        ("additions descend", more(&[8, 7])),
        ("a consent in a round", consent_in_a_round),
        ("a key that is none", weak),
        ("proposed for another", for_another),
    ];
    for (name, frame) in cases {
        let refused = refusal(&frame, &four.roster);
        assert!(
            matches!(refused, NoticeRefusal::Contradiction(_)),
            "{name}: {refused}"
        );
        assert_eq!(refused.blame(), Blame::Forwarder);
    }
    assert!(check_notice(&suspend(four.id(2), SUSPENSION_LIFE_MS_MAX), &four.roster).is_ok());
    assert!(check_notice(&groups(&[(1, 2), (2, 1)]), &four.roster).is_ok());
    assert!(check_notice(&more(&[7, 8]), &four.roster).is_ok());
}

#[test]
fn what_is_not_known_here_is_nobodys_fault() {
    let four = Federation::of(4);
    let stranger = Federation::stranger(5);
    let unknown = CertificateId::from_bytes([9; 32]);
    let successor = four.propose(0, NOW_MS, vec![four.expel(3)]);
    let (roster, far) = (successor.id(), four.commit_said(1, successor.id(), 1));
    let by_stranger = VoteBy::Commit {
        key: stranger.root.public().to_bytes(),
    };
    let cases = [
        (
            "alive",
            four.alive(1, NOW_MS, |said| said.certificate = unknown),
        ),
        (
            "a stranger's vote",
            sign_vote(&successor.vote(1, by_stranger), &stranger.root),
        ),
        (
            "a vote of a later epoch",
            sign_vote(&Vote { epoch: 2, ..far }, &four.keys(1).root),
        ),
        ("round 0", four.commit(1, roster, 0)),
        ("too many rounds", four.commit(1, roster, ROUNDS_MAX + 1)),
        (
            "a stranger suspended",
            four.suspension(1, MemberId::from_bytes([3; 32]), NOW_MS, 1, ""),
        ),
        (
            "a node not known",
            four.revocation_of(1, NodeId::from_bytes([3; 32]), 1, NOW_MS),
        ),
        ("a stranger's certificate", {
            let of =
                crate::membership::tests::federation::certify(&stranger.root, &stranger, |_| {});
            crate::wire::envelope::frame(Kind::NodeCert, &of)
        }),
        ("a slug that is not its own", {
            four.card(1, NOW_MS, |card| card.slug = "m-002".parse().unwrap())
        }),
    ];
    for (name, frame) in cases {
        let refused = refusal(&frame, &four.roster);
        assert_eq!(refused.blame(), Blame::Nobody, "{name}: {refused}");
    }
    assert!(check_notice(&four.commit(1, roster, ROUNDS_MAX), &four.roster).is_ok());
}

#[test]
fn what_is_made_further_ahead_than_clocks_differ_says_so() {
    let four = Federation::of(4);
    let limit = NOW_MS + CLOCK_SKEW_MS_MAX;
    let made = |created_ms| {
        vec![
            four.card(1, created_ms, |_| {}),
            four.proposal(0, &four.propose(0, created_ms, vec![four.expel(3)])),
            four.suspension(1, four.id(2), created_ms, 0, ""),
            four.revocation(1, 1, created_ms),
            four.alive(1, created_ms, |_| {}),
        ]
    };
    for (in_time, ahead) in made(limit).iter().zip(&made(limit + 1)) {
        let is_ahead = |frame| check_notice(frame, &four.roster).unwrap().is_ahead(NOW_MS);
        assert!(!is_ahead(in_time));
        assert!(is_ahead(ahead));
    }
}

#[test]
fn a_proposal_is_of_this_epoch_and_its_changes_hold() {
    let four = Federation::of(4);
    let good = four.propose(0, NOW_MS, vec![four.expel(3)]);
    let spoiled = |spoil: &dyn Fn(&mut RosterStatement)| {
        let mut said = good.statement().clone();
        spoil(&mut said);
        let frame = sign::<_, ROSTER_BYTES_MAX>(Kind::Roster, &said, &four.keys(0).signing);
        refusal(&frame, &four.roster)
    };
    let cases: [&dyn Fn(&mut RosterStatement); 6] = [
        &|said| said.epoch = 2,
        &|said| said.epoch = 0,
        &|said| said.previous = id(7),
        &|said| said.result = [7; 32],
        &|said| said.created_ms = FOUNDED_MS - 1,
        &|said| said.changes = List::default(),
    ];
    for spoil in cases {
        assert!(matches!(spoiled(spoil), NoticeRefusal::NotHere(_)));
    }
    let twice = |said: &mut RosterStatement| {
        let change: Change = four.expel(3);
        said.changes = list(vec![change.clone(), change]);
    };
    assert!(matches!(spoiled(&twice), NoticeRefusal::NotHere(_)));
}

/// A commit of the first member, in round 1, with these prepares.
fn commit_with(of: &Federation, prepares: Vec<VoteLine>) -> Vec<u8> {
    let vote = vote_frame(&of.commit(0, id(1), 1)).vote;
    let prepares = list(prepares);
    VoteFrame { vote, prepares }.to_frame()
}

/// What these prepared, in a round, as a commit carries it.
fn prepared(of: &Federation, by: &[usize], roster: RosterId, round: u32) -> Vec<VoteLine> {
    let commit = of.commit_on(0, roster, round, by.iter().copied());
    vote_frame(&commit).prepares.as_slice().to_vec()
}

#[test]
fn a_commit_that_shows_too_few_prepares_is_refused() {
    for members in [4, 7] {
        let of = Federation::of(members);
        let votes = of.roster.thresholds().votes();
        let all: Vec<usize> = (0..members).collect();
        for (count, by) in (0..=members).map(|count| (count, &all[..count])) {
            let frame = commit_with(&of, prepared(&of, by, id(1), 1));
            if count >= votes {
                assert!(check_notice(&frame, &of.roster).is_ok(), "{count}");
                continue;
            }
            let refused = refusal(&frame, &of.roster);
            assert_eq!(refused, NoticeRefusal::NotPrepared, "{count}");
            assert_eq!(refused.blame(), Blame::Forwarder);
        }
        // Whose they are does not matter, nor whether its own is among them.
        let frame = commit_with(&of, prepared(&of, &all[members - votes..], id(1), 1));
        assert!(check_notice(&frame, &of.roster).is_ok());
    }
}

#[test]
fn a_commit_shows_each_prepare_once_and_in_order() {
    let four = Federation::of(4);
    let three = prepared(&four, &[0, 1, 2], id(1), 1);
    let [a, b, c] = [three[0], three[1], three[2]];
    assert!(check_notice(&commit_with(&four, three), &four.roster).is_ok());
    for lines in [
        vec![a, b, b],
        vec![a, a, b, c],
        vec![b, a, c],
        vec![a, c, b],
    ] {
        let refused = refusal(&commit_with(&four, lines), &four.roster);
        assert!(matches!(refused, NoticeRefusal::Contradiction(_)));
        assert_eq!(refused.blame(), Blame::Forwarder);
    }
}

/// With a second certificate of its node a member signs a second prepare, and
/// counts once.
#[test]
fn whoever_prepares_under_two_certificates_counts_once_in_a_commit() {
    let four = Federation::of(4);
    let mut roster = four.roster.clone();
    let (node, frame) = four.renewal(1, 2, NOW_MS);
    let Matter::Certificate(renewed) = check_notice(&frame, &roster).unwrap().into_matter() else {
        panic!("it is a certificate");
    };
    let certificate = renewed.1.id;
    roster.keep_certificate(renewed.1);
    let by = VoteBy::Prepare { certificate };
    let said = Vote {
        by,
        ..four.prepare_said(1, id(1), 1)
    };
    let signed: Signed<Vote> = Signed::seal(codec::encode(&said), &node.signing);
    let again = VoteLine {
        key: *certificate.as_bytes(),
        signature: signed.signature().to_bytes(),
    };
    let with_again = |by: &[usize]| {
        let mut lines = prepared(&four, by, id(1), 1);
        lines.push(again);
        lines.sort_unstable();
        commit_with(&four, lines)
    };
    let refused = refusal(&with_again(&[0, 1]), &roster);
    assert_eq!(refused, NoticeRefusal::NotPrepared);
    assert!(check_notice(&with_again(&[0, 1, 2]), &roster).is_ok());
    assert!(check_notice(&with_again(&[0, 2]), &roster).is_ok());
    // Who does not know the certificate counts the others, and where these are
    // too few it may be that it comes to know it.
    let unknown = refusal(&with_again(&[0, 2]), &four.roster);
    assert_eq!(unknown, NoticeRefusal::NotKnown);
    assert!(check_notice(&with_again(&[0, 1, 2]), &four.roster).is_ok());
}

#[test]
fn prepares_of_anything_else_are_none_of_a_commit() {
    let four = Federation::of(4);
    let three = [0, 1, 2];
    let five = Federation::of(5);
    let next = Vote {
        epoch: 2,
        ..four.prepare_said(2, id(1), 1)
    };
    let mut of_another_epoch = prepared(&four, &three, id(1), 1);
    let key = *four.certificate(2).id.as_bytes();
    for line in of_another_epoch.iter_mut().filter(|line| line.key == key) {
        let signed: Signed<Vote> = Signed::seal(codec::encode(&next), &four.keys(2).signing);
        line.signature = signed.signature().to_bytes();
    }
    for (name, lines) in [
        ("another round's", prepared(&four, &three, id(1), 2)),
        ("another roster's", prepared(&four, &three, id(2), 1)),
        ("another federation's", prepared(&five, &three, id(1), 1)),
        ("one of another epoch", of_another_epoch),
    ] {
        let refused = refusal(&commit_with(&four, lines), &four.roster);
        assert_eq!(refused, NoticeRefusal::Signature, "{name}");
        assert_eq!(refused.blame(), Blame::Forwarder);
    }
    // Strangers of this federation count nothing, and it may be that they come to
    // be known.
    let stranger = prepared(&five, &[4], id(1), 1);
    let with_stranger = |by: &[usize]| {
        let mut lines = prepared(&four, by, id(1), 1);
        lines.extend(&stranger);
        lines.sort_unstable();
        commit_with(&four, lines)
    };
    let refused = refusal(&with_stranger(&[0, 1]), &four.roster);
    assert_eq!(refused, NoticeRefusal::NotKnown);
    assert!(check_notice(&with_stranger(&[0, 1, 2]), &four.roster).is_ok());
}

#[test]
fn only_a_commit_carries_prepares() {
    let four = Federation::of(4);
    let (newcomer, admit) = Federation::newcomer(1);
    let roster = four.propose(0, NOW_MS, vec![admit]).id();
    for frame in [four.prepare(0, roster, 1), four.consent(&newcomer, roster)] {
        assert!(check_notice(&frame, &four.roster).is_ok());
        let vote = vote_frame(&frame).vote;
        let prepares = list(prepared(&four, &[0, 1, 2], roster, 1));
        let refused = refusal(&VoteFrame { vote, prepares }.to_frame(), &four.roster);
        assert!(matches!(refused, NoticeRefusal::Contradiction(_)));
        assert_eq!(refused.blame(), Blame::Forwarder);
    }
}
