//! However much a member signs, what is kept of it is bounded.

use super::federation::{Desk, FOUNDED_MS, Federation, HOUR_MS, NOW_MS, Turned, at, head, list};
use crate::gate::Slot;
use crate::ids::RosterId;
use crate::limits::{
    NOTICE_TOKEN_BYTES, NOTICE_TOKENS, NOTICE_TOKENS_BURST, ROUNDS_AHEAD_MAX, ROUNDS_MAX,
    SUSPENSIONS_PER_MEMBER_MAX, VOTE_ROUNDS_MAX,
};
use crate::membership::{Arrival, NotNews};
use crate::wire::Tag;
use crate::wire::card::Role;
use crate::wire::roster::VoteBy;
use std::collections::BTreeSet;

fn roster(number: u32) -> RosterId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    RosterId::from_bytes(bytes)
}

fn rounds_held(desk: &Desk, is_step: impl Fn(&VoteBy) -> bool) -> Vec<u32> {
    let of_step = |slot: &Slot| {
        let Slot::Vote(by, round, _) = slot else {
            return None;
        };
        is_step(by).then_some(*round)
    };
    desk.membership.held.keys().filter_map(of_step).collect()
}

fn is_commit(by: &VoteBy) -> bool {
    matches!(by, VoteBy::Commit { .. })
}

/// Members who are honest have voted in this round, so that votes up to 8 ahead of
/// it are taken.
fn reach(desk: &mut Desk, of: &Federation, round: u32) {
    let votes = [0, 1].map(|by| of.prepare(by, roster(0), round));
    desk.settle(&votes);
    for vote in &votes {
        assert_eq!(desk.later(vote).unwrap_err(), Turned::Back(NotNews::Held));
    }
}

#[test]
fn of_a_cheats_votes_two_of_each_of_its_last_rounds_are_kept() {
    let four = Federation::of(4);
    let rounds_max = u32::try_from(VOTE_ROUNDS_MAX).unwrap();
    // All of them once: 307 is prime.
    let ascending: Vec<u32> = (1..=306).collect();
    let mixed: Vec<u32> = (1..=306).map(|round| (round * 100) % 307).collect();
    for rounds in [ascending, mixed] {
        let mut desk = Desk::of(&four);
        reach(&mut desk, &four, 306 - ROUNDS_AHEAD_MAX);
        let last: BTreeSet<u32> = rounds
            .iter()
            .copied()
            .filter(|at| *at > 306 - rounds_max)
            .collect();
        for round in rounds {
            for number in 1..=3 {
                let _ = desk.later(&four.commit(3, roster(number), round));
                assert!(rounds_held(&desk, is_commit).len() <= 2 * VOTE_ROUNDS_MAX);
            }
        }
        let held = rounds_held(&desk, is_commit);
        assert_eq!(held.iter().copied().collect::<BTreeSet<u32>>(), last);
        assert_eq!(held.len(), 2 * VOTE_ROUNDS_MAX);
        assert!(desk.membership.deliberation.commit_lines() <= 2 * VOTE_ROUNDS_MAX);
    }
}

#[test]
fn a_cheats_votes_far_ahead_are_not_kept_until_others_come_near() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let far = 1 + ROUNDS_AHEAD_MAX + 1;
    let votes = [
        four.prepare(3, roster(1), far),
        four.commit(3, roster(1), far),
    ];
    desk.later(&four.prepare(3, roster(1), far - 1)).unwrap();
    for vote in &votes {
        assert_eq!(desk.later(vote).unwrap_err(), Turned::Back(NotNews::TooFar));
    }
    assert!(NotNews::TooFar.passes(), "it is asked for again");
    assert_eq!(rounds_held(&desk, |_| true), [far - 1]);
    // A round that one more has reached than may lie is where votes are.
    desk.later(&four.prepare(0, roster(1), 2)).unwrap();
    for vote in &votes {
        desk.later(vote).unwrap();
    }
    let farther = four.prepare(3, roster(1), far + 1);
    let refused = desk.later(&farther).unwrap_err();
    assert_eq!(refused, Turned::Back(NotNews::TooFar));
}

/// Two cheats of seven, however far they vote, take nobody along.
#[test]
fn cheats_alone_are_followed_by_nobody() {
    let seven = Federation::of(7);
    let mut desk = Desk::of(&seven);
    let of = seven.roster.thresholds();
    for round in 1..=2 * ROUNDS_AHEAD_MAX {
        for by in [5, 6] {
            for vote in [
                seven.prepare(by, roster(1), round),
                seven.commit_on(by, roster(1), round, [0, 1, 2, 3, 4]),
            ] {
                let is_near = round <= 1 + ROUNDS_AHEAD_MAX;
                assert_eq!(desk.later(&vote).is_ok(), is_near, "{round}");
            }
        }
        assert_eq!(desk.membership.deliberation().ballot().round(of), 1);
    }
    for by in [5, 6] {
        let last = seven.prepare(by, roster(1), ROUNDS_MAX);
        let refused = desk.later(&last).unwrap_err();
        assert_eq!(refused, Turned::Back(NotNews::TooFar));
    }
    desk.later(&seven.prepare(0, roster(1), 2)).unwrap();
    assert_eq!(desk.membership.deliberation().ballot().round(of), 2);
}

/// Of the first rounds there is nothing left by then: a node that is new, or was
/// started again and reads its own votes, must still find where votes are.
#[test]
fn who_comes_when_votes_are_in_a_far_round_takes_them() {
    let four = Federation::of(4);
    let votes: Vec<Vec<u8>> = (0..3)
        .flat_map(|by| (40..48).map(move |round| (by, round)))
        .map(|(by, round)| four.prepare(by, roster(1), round))
        .collect();
    let mut desk = Desk::of(&four);
    desk.settle(&votes);
    assert_eq!(rounds_held(&desk, |_| true).len(), votes.len());
    let of = four.roster.thresholds();
    assert_eq!(desk.membership.deliberation().ballot().round(of), 47);
    // Those of one member are not enough: it may be a cheat.
    let mut desk = Desk::of(&four);
    desk.settle(&votes[..8]);
    assert_eq!(rounds_held(&desk, |_| true).len(), 0);
}

#[test]
fn many_certificates_give_a_member_no_more_votes() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    reach(&mut desk, &four, 12 - ROUNDS_AHEAD_MAX);
    for serial in 2..=6 {
        let (node, frame) = four.renewal(3, serial, NOW_MS);
        let taken = desk.later(&frame).unwrap();
        let Slot::Certificate(certificate) = taken.slot else {
            panic!("it is a certificate");
        };
        for round in 1..=12 {
            for number in 1..=3 {
                let mut vote = four.prepare_said(3, roster(number), round);
                vote.by = VoteBy::Prepare { certificate };
                let _ = desk.later(&super::federation::sign_vote(&vote, &node.signing));
            }
        }
    }
    let honest = [0, 1].map(|by| four.certificate(by).id);
    let held = rounds_held(&desk, |by| match by {
        VoteBy::Prepare { certificate } => !honest.contains(certificate),
        VoteBy::Commit { .. } | VoteBy::Consent { .. } => false,
    });
    assert_eq!(held.len(), 2 * VOTE_ROUNDS_MAX);
    assert!(held.iter().all(|round| *round > 12 - 8));
}

#[test]
fn of_a_proposer_the_newest_proposal_is_kept() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for minute in (0..120).map(|at| (at * 37) % 120) {
        let successor = four.propose(3, NOW_MS - minute, vec![four.settle(1, Role::Observer)]);
        let _ = desk.later(&four.proposal(3, &successor));
        assert_eq!(desk.membership.deliberation().candidates().count(), 1);
        assert_eq!(desk.membership.held.len(), 1);
    }
    let kept = desk.membership.deliberation().candidates().next().unwrap();
    assert_eq!(kept.successor.statement().created_ms, NOW_MS);
}

#[test]
fn a_cheat_pins_what_its_latest_votes_are_for_and_no_more() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let mut made_ms = NOW_MS - 200;
    for round in 1..=20 {
        reach(&mut desk, &four, round);
        for pair in 0..4 {
            made_ms += 1;
            let successor = four.propose(3, made_ms, vec![four.settle(1, Role::Observer)]);
            desk.later(&four.proposal(3, &successor)).unwrap();
            let vote = if pair % 2 == 0 {
                four.commit(2, successor.id(), round)
            } else {
                four.prepare(2, successor.id(), round)
            };
            desk.later(&vote).unwrap();
            let held = desk.membership.deliberation().candidates().count();
            assert!(held <= 5, "{held} in round {round}");
        }
    }
    // What nobody's latest votes are for goes with the votes, not later.
    reach(&mut desk, &four, 30);
    for step in 0..2 {
        for number in 1..=2 {
            let vote = if step == 0 {
                four.commit(2, roster(number), 30)
            } else {
                four.prepare(2, roster(number), 30)
            };
            desk.later(&vote).unwrap();
        }
    }
    assert_eq!(desk.membership.deliberation().candidates().count(), 1);
    let proposals = |slot: &&Slot| matches!(slot, Slot::Proposal(_));
    assert_eq!(desk.membership.held.keys().filter(proposals).count(), 1);
}

#[test]
fn a_cheat_suspends_so_many_and_of_those_the_newest_count() {
    let twelve = Federation::of(12);
    let mut desk = Desk::of(&twelve);
    for turn in 0..20_u64 {
        for of in 1..12_u64 {
            let created_ms = NOW_MS - HOUR_MS + turn * 1_000 + of;
            let member = twelve.id(usize::try_from(of).unwrap());
            let frame = twelve.suspension(0, member, created_ms, 2 * HOUR_MS, "");
            desk.later(&frame).unwrap();
            assert!(desk.membership.held.len() <= SUSPENSIONS_PER_MEMBER_MAX);
            assert!(desk.membership.suspensions().all().count() <= SUSPENSIONS_PER_MEMBER_MAX);
        }
    }
    assert_eq!(desk.membership.held.len(), SUSPENSIONS_PER_MEMBER_MAX);
    let oldest = twelve.suspension(0, twelve.id(1), NOW_MS - 2 * HOUR_MS, HOUR_MS, "");
    assert_eq!(
        desk.later(&oldest).unwrap_err(),
        Turned::Back(NotNews::TooMany)
    );
}

#[test]
fn of_a_node_one_sign_of_life_is_kept_and_of_a_member_one_card() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for at in 0..300 {
        let alive = four.alive(3, NOW_MS + at, |said| {
            said.heads = list(vec![head(Tag::PUBLIC, at + 1)]);
        });
        desk.later(&alive).unwrap();
        desk.later(&four.card(3, FOUNDED_MS + 1 + at, |_| {}))
            .unwrap();
    }
    assert_eq!(desk.membership.held.len(), 2);
    assert_eq!(desk.membership.alives().all().count(), 1);
    assert_eq!(desk.membership.changes.len(), 2, "nor are old changes");
}

#[test]
fn a_proof_of_a_cheat_is_kept_once() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    desk.later(&four.double_vote(3)).unwrap();
    desk.later(&four.fork(3)).unwrap();
    for number in 2..50_u8 {
        let of = |roster| four.commit_said(3, RosterId::from_bytes([roster; 32]), 1);
        let again = desk.later(&four.votes_of(3, &of(0), &of(number)));
        assert_eq!(again.unwrap_err(), Turned::Back(NotNews::Held));
        let again = desk.later(&four.fork_at(3, u64::from(number) + 1));
        assert_eq!(again.unwrap_err(), Turned::Back(NotNews::Held));
    }
    assert_eq!(desk.membership.held.len(), 2);
    assert!(desk.membership.is_forked(&four.node(3), 1));
    assert_eq!(
        desk.membership.double_voters(),
        &BTreeSet::from([four.id(3)])
    );
}

#[test]
fn whoever_signs_something_new_each_moment_is_taken_seldom_and_nobody_else_is_held_up() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let propose = |desk: &mut Desk, by: usize, created_ms: u64, wall_ms: u64| {
        let next = four.propose(by, created_ms, vec![four.settle(2, Role::Observer)]);
        desk.take(at(wall_ms), &four.proposal(by, &next), Arrival::Live)
    };
    let mut taken = 0;
    let flood = 3_000;
    for each in 0..flood {
        taken += u64::from(propose(&mut desk, 1, NOW_MS - flood + each, NOW_MS).is_ok());
    }
    let cost = NOTICE_TOKENS + four_bytes(&four) / NOTICE_TOKEN_BYTES;
    assert_eq!(taken, NOTICE_TOKENS_BURST / cost);
    let refused = propose(&mut desk, 1, NOW_MS, NOW_MS).unwrap_err();
    assert_eq!(refused, Turned::Back(NotNews::TooOften));
    assert!(NotNews::TooOften.passes());
    // Nor by page instead of gossip.
    let next = four.propose(1, NOW_MS, vec![four.settle(2, Role::Observer)]);
    let refused = desk.later(&four.proposal(1, &next)).unwrap_err();
    assert_eq!(refused, Turned::Back(NotNews::TooOften));
    propose(&mut desk, 3, NOW_MS, NOW_MS).unwrap();
    // A token a second, beside those that are left.
    let later_ms = NOW_MS + 1_000 * (cost - NOTICE_TOKENS_BURST % cost);
    assert!(propose(&mut desk, 1, NOW_MS, later_ms - 1_000).is_err());
    propose(&mut desk, 1, NOW_MS, later_ms).unwrap();
    assert!(propose(&mut desk, 1, NOW_MS + 1, later_ms).is_err());
    assert_eq!(desk.membership.deliberation().candidates().count(), 2);
}

/// Bytes of the proposal that the flood above consists of.
fn four_bytes(four: &Federation) -> u64 {
    let next = four.propose(1, NOW_MS, vec![four.settle(2, Role::Observer)]);
    four.proposal(1, &next).len() as u64
}
