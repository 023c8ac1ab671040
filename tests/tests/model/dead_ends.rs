//! Whether the honest can always still decide something, when the cheat falls
//! silent.
//!
//! Bounds: four members, one of them a cheat; two proposals; votes in rounds 1
//! and 2 in every order, and then, from every state, one more round. The cheat
//! prepares what it likes, commits nothing, and at any moment is never heard
//! of again. Where it drowns members' ballots, it does so twice: two members in
//! one round, or one in both. What one honest member holds then reaches all of
//! them, so they know the same, but for what a ballot has no room for.
//!
//! A state passes if there is a roster that all three, one after the other, may
//! prepare in the round after and then may commit, by all that they know; or may
//! once each of them has committed what it still can, in the last round in which
//! it can: a commit shows everybody what it stands on. What else they could cast
//! in earlier rounds is not tried, so more is asked than need be; in the ways
//! the checker finds nothing of that would help. Nor would later rounds: it
//! takes all three to prepare anything, and who is bound stays bound.

use stateright::Property;
use watchfire_protocol::limits;
use watchfire_protocol::roster::{Step, Thresholds, VoteRefusal};

use super::knowledge::Held;
use super::rules::{Rules, falls, holds};
use super::vote::{Successor, Vote};
use super::votes::Action;
use super::voting::{Drowns, Seat, State, Teller, Voting};

/// How often the cheat drowns a member in a round, or in all.
const DROWNED_MAX: u32 = 2;

const GOES_ON: &str = "the honest can still decide something";

impl Voting {
    /// Whom the teller can drown: before it told anybody what it is to keep
    /// from that member, so that nobody ever acted on what it then has not.
    pub(crate) fn drowning(&self, state: &State, drowns: Drowns, actions: &mut Vec<Action>) {
        let rounds = match drowns {
            Drowns::Rosters => 1..=self.rounds,
            Drowns::Rounds => 1..=1,
        };
        let drowned = |seat: &Seat| match drowns {
            Drowns::Rosters => seat.drowned.count_ones(),
            Drowns::Rounds => u32::from(seat.drowned != 0),
        };
        if state.seats.iter().map(drowned).sum::<u32>() == DROWNED_MAX {
            return;
        }
        for round in rounds {
            let told =
                (round..=self.rounds).any(|round| state.told.cell(Step::Prepare, round) != 0);
            for (member, seat) in state.seats.iter().enumerate().take(self.honest()) {
                let other = member == 0 || state.seats[member - 1] != *seat;
                if !told && other && seat.drowned & 1 << (round - 1) == 0 {
                    actions.push(Action::Drown(member, round));
                }
            }
        }
    }

    /// What is asked where the cheat falls silent. That nothing is decided twice
    /// is asked where it has cast everything.
    pub(crate) fn dead_ends(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(GOES_ON, |model: &Self, state: &State| {
                let mut rosters = Successor::ALL.into_iter();
                model.is_over(state) || rosters.any(|roster| model.can_decide(state, roster))
            }),
            Property::sometimes(
                "two are bound to different rosters",
                |model: &Self, state: &State| {
                    model.rounds < 2
                        || Successor::ALL.iter().all(|roster| {
                            let mut seats = state.seats.iter();
                            seats.any(|seat| {
                                (1..=model.rounds)
                                    .any(|round| seat.sent.has(Vote::commit(round, *roster)))
                            })
                        })
                },
            ),
        ]
    }

    /// Whether something is decided and this was about no more than that.
    pub(crate) fn is_over(&self, state: &State) -> bool {
        self.teller == Some(Teller::Silent)
            && Successor::ALL.into_iter().any(|roster| {
                self.can_be_brought_in(state, roster) && self.is_decided(state, roster)
            })
    }

    /// Whether votes are all that it can lack.
    fn can_be_brought_in(&self, state: &State, roster: Successor) -> bool {
        match roster {
            Successor::A => !self.asked,
            Successor::B => !self.new_key || state.consented,
        }
    }

    /// Whether the honest can decide it among themselves in the next round.
    fn can_decide(&self, state: &State, roster: Successor) -> bool {
        self.can_be_brought_in(state, roster)
            && (self.can_decide_from(state, roster)
                || self.can_decide_from(&self.committed(state), roster))
    }

    /// Where each of the honest commits what it still can, in the last round in
    /// which it can.
    fn committed(&self, state: &State) -> State {
        let mut state = *state;
        for member in 0..self.honest() {
            let may = self.may_by_all(&state, member);
            let commits = may.iter().filter(|vote| vote.step == Step::Commit);
            if let Some(vote) = commits.max_by_key(|vote| vote.round) {
                let seat = &mut state.seats[member];
                seat.own = seat.own.with(vote);
                seat.sent = seat.sent.with(vote);
            }
        }
        state
    }

    fn can_decide_from(&self, state: &State, roster: Successor) -> bool {
        let next = Self {
            rounds: self.rounds + 1,
            ..self.clone()
        };
        let mut state = *state;
        for vote in [Vote::prepare, Vote::commit] {
            let vote = vote(next.rounds, roster);
            for member in 0..next.honest() {
                if !next.may_by_all(&state, member).has(vote) {
                    return false;
                }
                let seat = &mut state.seats[member];
                seat.own = seat.own.with(vote);
                seat.sent = seat.sent.with(vote);
            }
        }
        next.is_decided(&state, roster)
    }
}

fn silent(rules: Rules) -> Voting {
    Voting {
        cheats: 0,
        teller: Some(Teller::Silent),
        ..Voting::new(rules, 2)
    }
}

fn truth() -> Rules {
    Rules::of(Thresholds::of(4))
}

/// A key that never consents blocks nothing either.
#[test]
fn honest_members_can_always_still_decide() {
    let model = Voting {
        new_key: true,
        checked: true,
        ..silent(truth())
    };
    holds("dead ends, N 4, f 1", model, 16_000);
}

#[test]
fn mutant_prepared_without_consent_ends_in_nothing() {
    let model = Voting {
        new_key: true,
        ..silent(Rules {
            unheeded: Some(VoteRefusal::NoConsent),
            ..truth()
        })
    };
    falls("dead ends, no consent", model, GOES_ON);
}

/// A cheat that drowns ballots, in these ways, while commits carry their
/// prepares or do not.
fn drowning(drowns: Drowns, commits_carry: bool) -> Voting {
    Voting {
        drowns: Some(drowns),
        ..silent(Rules {
            commits_carry,
            ..truth()
        })
    }
}

/// Why a commit comes with the prepares it stands on, as a link of the chain
/// comes with its commits: two are bound to different rosters, and the one bound
/// earlier can never be shown why the other turned. The cheat's vote that made
/// the quorum finds no room in its ballot, which has two others of that round.
#[test]
fn mutant_bare_commits_let_two_other_rosters_block_for_ever() {
    let model = drowning(Drowns::Rosters, false);
    falls("dead ends, bare, other rosters", model, GOES_ON);
}

/// The same with votes in rounds ahead, which push out those of the first.
#[test]
fn mutant_bare_commits_let_rounds_ahead_block_for_ever() {
    let model = drowning(Drowns::Rounds, false);
    falls("dead ends, bare, rounds ahead", model, GOES_ON);
}

#[test]
fn two_other_rosters_of_a_cheat_block_nothing() {
    let model = drowning(Drowns::Rosters, true);
    holds("dead ends, other rosters", model, 234_000);
}

#[test]
fn rounds_ahead_of_a_cheat_block_nothing() {
    let model = drowning(Drowns::Rounds, true);
    holds("dead ends, rounds ahead", model, 70_000);
}

/// In one round, for the ballots it takes are the dearest.
#[test]
fn tables_say_what_a_drowned_ballot_says() {
    for (drowns, commits_carry) in [
        (Drowns::Rosters, false),
        (Drowns::Rosters, true),
        (Drowns::Rounds, false),
        (Drowns::Rounds, true),
    ] {
        let model = Voting {
            rounds: 1,
            checked: true,
            ..drowning(drowns, commits_carry)
        };
        holds("dead ends, one round", model, 380);
    }
}

/// Why a community is asked before anybody prepares, as a new key is: a roster
/// that still lacks its members' commits when others have committed it keeps
/// those from preparing anything else.
#[test]
fn mutant_community_asked_by_commits_blocks_for_ever() {
    let model = Voting {
        asked: true,
        ..silent(truth())
    };
    falls("dead ends, community", model, GOES_ON);
}

/// What a lock by what was seen costs. Two see the quorum of round 2 when they
/// have prepared in round 3 already, so neither may commit on it any more and
/// show it; the third has no room for the cheat's prepare in it, and is bound by
/// that of round 1. It takes a cheat that signs three rosters in one round, which
/// names it, and then says nothing more.
#[test]
fn open_quorum_that_nobody_can_show_any_more_binds_two_against_one() {
    let of = truth().thresholds;
    let mut told = Held::default();
    for (round, votes) in [
        (1, [(0, 'B'), (1, 'A'), (2, 'B'), (3, 'B')].as_slice()),
        (2, &[(0, 'A'), (1, 'A'), (2, 'B')]),
        (3, &[(0, 'A'), (1, 'A'), (2, 'B')]),
    ] {
        for (voter, roster) in votes {
            told.cast(Step::Prepare, *voter, round, *roster);
        }
    }
    let mut drowned = told.clone();
    for junk in ['0', '1'] {
        drowned.cast(Step::Prepare, 3, 2, junk);
    }
    for held in [&mut told, &mut drowned] {
        held.cast(Step::Prepare, 3, 2, 'A');
    }
    for voter in [0, 1] {
        let late = told.may_commit(&voter, 2, &'A', of);
        assert_eq!(late, Err(VoteRefusal::RoundPast));
    }
    for round in 4..=limits::ROUNDS_MAX {
        let may = |held: &Held, voter, roster| held.may_prepare(&voter, round, &roster, of);
        for voter in [0, 1] {
            assert_eq!(may(&told, voter, 'A'), Ok(()));
            assert_eq!(may(&told, voter, 'B'), Err(VoteRefusal::Locked));
        }
        assert_eq!(may(&drowned, 2, 'B'), Ok(()));
        assert_eq!(may(&drowned, 2, 'A'), Err(VoteRefusal::Locked));
    }
}

/// The round in which a member votes that is told no other, when one cheat has
/// voted in the last there is; and whether votes are stuck there, once that round
/// is split.
fn last_round(of: Thresholds) -> (u32, bool) {
    let mut ballot = Held::default();
    ballot.cast(Step::Prepare, 3, limits::ROUNDS_MAX, '0');
    let round = ballot.round(of);
    let four = truth().thresholds;
    for (member, roster) in [(0, 'A'), (1, 'A'), (2, 'B')] {
        assert_eq!(ballot.may_prepare(&member, round, &roster, four), Ok(()));
        ballot.cast(Step::Prepare, member, round, roster);
    }
    let next = round + 1;
    let is_stuck = (0..3).all(|member| {
        let may = |roster| ballot.may_prepare(&member, next, roster, four).is_ok();
        next > limits::ROUNDS_MAX || !['A', 'B'].iter().any(may)
    });
    (round, is_stuck)
}

/// As far as a cheat may be alone, what it says of rounds moves nobody.
#[test]
fn one_cheat_takes_nobody_to_another_round() {
    assert_eq!(last_round(truth().thresholds), (1, false));
}

/// The highest round of any vote: a round that nobody need have reached but who
/// lies, as where nobody may lie. It is the last there is, and once it is split
/// there is none after it.
#[test]
fn mutant_highest_round_of_any_vote_is_the_last() {
    let of = Thresholds::of(3);
    assert_eq!(of.faults(), 0);
    assert_eq!(last_round(of), (limits::ROUNDS_MAX, true));
}
