//! Who is named when two successors are decided, which takes more cheats than
//! may lie.
//!
//! Of the f + 1 who lie, f cast everything and so are named by any rule; the
//! last is careful never to sign two in one round and step. A rule is good if
//! it names more than f then, and never anybody honest.

use stateright::Property;

use super::vote::{Successor, Vote, Votes};
use super::voting::{State, Voting};

pub(crate) const NAMED: &str = "two decided name more members than may lie";
pub(crate) const JUST: &str = "nobody honest is named";

/// By what a member is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// It cast two in one round and step.
    Doubles,
    /// Or it committed one and prepared another in a later round.
    Turned,
    /// The same, but for who could show that a quorum had prepared that other
    /// one in a round between.
    TurnedUnasked,
}

impl Naming {
    fn names(self, model: &Voting, state: &State, votes: Votes) -> bool {
        let turned = |committed: u32, roster: Successor| {
            let other = roster.other();
            votes.has(Vote::commit(committed, roster))
                && (committed + 1..=model.rounds).any(|round| {
                    let between = || {
                        (committed + 1..round)
                            .any(|round| model.is_quorum(state, Vote::prepare(round, other)))
                    };
                    votes.has(Vote::prepare(round, other)) && (self == Self::Turned || !between())
                })
        };
        votes.doubles()
            || self != Self::Doubles
                && (1..=model.rounds)
                    .any(|round| Successor::ALL.iter().any(|roster| turned(round, *roster)))
    }

    /// What is asked of a rule; nothing else, since two may well be decided here.
    pub(crate) fn properties(self) -> Vec<Property<Voting>> {
        vec![
            Property::always(NAMED, |model: &Voting, state: &State| {
                let naming = model.naming.unwrap_or(Self::Doubles);
                let named = |votes| naming.names(model, state, votes);
                let honest = || state.seats.iter().filter(|seat| named(seat.sent));
                let faults = model.rules.thresholds.faults();
                forks(model, state).all(|fork| {
                    let needed = fork
                        .into_iter()
                        .filter(|commit| !model.is_committed_without(state, *commit));
                    let careful = needed.fold(state.told, Votes::with);
                    model.cheats + usize::from(named(careful)) + honest().count() > faults
                })
            }),
            Property::always(JUST, |model: &Voting, state: &State| {
                let naming = model.naming.unwrap_or(Self::Doubles);
                let mut honest = state.seats.iter();
                !honest.any(|seat| naming.names(model, state, seat.sent))
            }),
            // In one round never: who is careful prepares but one of them.
            Property::sometimes("two are decided", |model: &Voting, state: &State| {
                forks(model, state).next().is_some()
            }),
        ]
    }
}

/// Every two commits of a quorum that are for different rosters.
fn forks<'a>(model: &'a Voting, state: &'a State) -> impl Iterator<Item = [Vote; 2]> + 'a {
    let decided = |roster| {
        (1..=model.rounds)
            .map(move |round| Vote::commit(round, roster))
            .filter(|commit| model.is_quorum(state, *commit))
    };
    decided(Successor::A).flat_map(move |one| decided(Successor::B).map(move |two| [one, two]))
}
