//! Whether members can always still decide something, when the cheat falls
//! silent.
//!
//! Bounds: four members, of whom one is a cheat; two proposals; votes in
//! rounds 1 and 2 in every order, and then, from every state, one more round.
//! The cheat prepares what it likes, commits nothing, and at any moment is
//! never heard of again. What one honest member holds then reaches all of
//! them, so the honest know the same, but for what a ballot has no room for.
//! A state is no dead end if there is a roster that all three, one after the
//! other, may prepare in the round after and then may commit. Were that not
//! so, another round would bring nothing new: what binds a member is what was
//! committed and prepared in the rounds before.

use stateright::Property;

use super::rules::{Rules, falls, holds};
use super::vote::{Successor, Vote};
use super::votes::{AGREES, Drowns, State, Teller, Voting};
use watchfire_protocol::roster::{Thresholds, VoteRefusal};

const GOES_ON: &str = "the honest can still decide something";

impl Voting {
    pub(crate) fn dead_ends(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(GOES_ON, |model: &Self, state: &State| {
                let is_good = |roster: &Successor| model.can_be_brought_in(state, *roster);
                let mut good = Successor::ALL.iter().filter(|roster| is_good(roster));
                good.any(|roster| model.is_decided(state, *roster) || model.can_decide(state, *roster))
            }),
            Property::sometimes("two are bound to different rosters", |model: &Self, state: &State| {
                Successor::ALL.iter().all(|roster| {
                    let mut seats = state.seats.iter();
                    seats.any(|seat| {
                        (1..=model.rounds).any(|round| seat.sent.has(Vote::commit(round, *roster)))
                    })
                })
            }),
        ]
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
        let next = Self {
            rounds: self.rounds + 1,
            ..self.clone()
        };
        let mut state = *state;
        for vote in [Vote::prepare, Vote::commit] {
            let vote = vote(next.rounds, roster);
            for member in 0..next.honest() {
                if !next.may(&state, member).has(vote) {
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

#[test]
fn honest_members_can_always_still_decide() {
    holds("dead ends, a key to consent", Voting { new_key: true, checked: true, ..silent(truth()) }, 1);
}

#[test]
fn mutant_prepared_without_consent_ends_in_nothing() {
    let model = Voting { new_key: true, ..silent(Rules { unheeded: Some(VoteRefusal::NoConsent), ..truth() }) };
    falls("dead ends, no consent", model, GOES_ON);
}

#[test]
fn a_third_roster_of_a_cheat_blocks_for_ever() {
    let model = Voting { drowns: Some(Drowns::Rosters), ..silent(truth()) };
    falls("dead ends, rosters", model, GOES_ON);
    let model = Voting { drowns: Some(Drowns::Rounds), ..silent(truth()) };
    falls("dead ends, rounds", model, GOES_ON);
}

#[test]
fn commits_that_carry_prepares_do_not_block() {
    let carry = Rules { commits_carry: true, ..truth() };
    let model = Voting { drowns: Some(Drowns::Rosters), ..silent(carry) };
    holds("dead ends, rosters, carried", model, 1);
    let model = Voting { drowns: Some(Drowns::Rounds), ..silent(carry) };
    holds("dead ends, rounds, carried", model, 1);
}

#[test]
fn a_community_asked_by_commits_blocks_for_ever() {
    let model = Voting { asked: true, ..silent(truth()) };
    falls("dead ends, asked", model, GOES_ON);
}
