//! What a member may cast by what it knows: the verdicts of the protocol's
//! `Ballot`, asked once for every different question.
//!
//! Every vote that was sent may be known to a member or not, as messages come
//! late or never. What it may cast follows from its own votes and from which
//! rosters it knows to be prepared by enough, and in which rounds
//! (`what_enough_prepared_is_all_that_matters`). Who knows more may commit no
//! less, but may prepare less: a quorum that it saw binds it. So a member may do
//! here what it may by *any part* of what was sent, at every moment anew, as if
//! it forgot again what it knew. That is more than a node can do, which forgets
//! nothing; only for the question whether anything can still be decided, members
//! know everything (`dead_ends`), and where a node and its root are told apart,
//! what the node saw is kept (`voting`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use watchfire_protocol::roster::{Ballot, Step, VoteRefusal};

use super::rules::Rules;
use super::vote::{ROUNDS_MAX, Successor, Vote, Votes};

/// A ballot as a node has it; members by their number, rosters by a letter.
pub(crate) type Held = Ballot<usize, char>;

pub(crate) fn cast(ballot: &mut Held, voter: usize, votes: Votes) {
    for vote in votes.iter() {
        ballot.cast(vote.step, voter, vote.round, vote.roster.id());
    }
}

/// For each way in which the members can have cast one step in one round,
/// whether those are enough for A, and for B.
#[derive(Debug)]
pub(crate) struct Quorums {
    prepared: Vec<[bool; 2]>,
    decided: Vec<[bool; 2]>,
}

impl Quorums {
    pub(crate) fn of(rules: &Rules) -> Self {
        let members = rules.thresholds.members();
        let columns = 0..1u16 << (2 * members);
        let ballot = |column: u16, step| {
            let mut ballot = Held::default();
            for voter in 0..members {
                let cell = column >> (2 * voter);
                for roster in Successor::ALL {
                    if cell >> roster as u32 & 1 == 1 {
                        ballot.cast(step, voter, 1, roster.id());
                    }
                }
            }
            ballot
        };
        let prepared = |column| {
            let ballot = ballot(column, Step::Prepare);
            let votes = rules.prepares.votes();
            Successor::ALL.map(|roster| ballot.is_prepared(1, &roster.id(), votes))
        };
        let decided = |column| {
            let ballot = ballot(column, Step::Commit);
            let decided = |roster: Successor| ballot.decided_in(&roster.id(), rules.commits);
            Successor::ALL.map(|roster| decided(roster).is_some())
        };
        Self {
            prepared: columns.clone().map(prepared).collect(),
            decided: columns.map(decided).collect(),
        }
    }

    /// Two bits for each member, the first the lowest.
    pub(crate) fn has(&self, step: Step, column: u16, roster: Successor) -> bool {
        let of = match step {
            Step::Prepare => &self.prepared,
            Step::Commit => &self.decided,
        };
        of[usize::from(column)][roster as usize]
    }
}

/// What a member may cast, by its own votes and what enough have prepared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    by_all: Known,
    by_any_part: Known,
}

type Known = Arc<Mutex<HashMap<(Votes, u8), Votes>>>;

/// The bit of a round and roster in what is prepared.
pub(crate) const fn bit(round: u32, roster: Successor) -> u8 {
    1 << ((round - 1) * 2 + roster as u32)
}

/// Somebody of whom a member has commits alone, which show what is prepared.
const WITNESS: usize = usize::MAX;

/// A ballot that shows so much to be prepared.
fn showing(prepared: u8) -> Held {
    let mut held = Held::default();
    for round in 1..=ROUNDS_MAX {
        for roster in Successor::ALL {
            if prepared & bit(round, roster) != 0 {
                held.cast(Step::Commit, WITNESS, round, roster.id());
            }
        }
    }
    held
}

impl Verdicts {
    /// By all that is prepared: `prepared` has a bit for each round and roster.
    pub(crate) fn by_all(&self, rules: &Rules, (own, prepared): (Votes, u8)) -> Votes {
        let mut known = self.by_all.lock().unwrap();
        *known
            .entry((own, prepared))
            .or_insert_with(|| allowed(rules, &showing(prepared), 0, own))
    }

    /// By any part of it: what one part allows, a member may do.
    pub(crate) fn by_any_part(&self, rules: &Rules, (own, prepared): (Votes, u8)) -> Votes {
        if let Some(may) = self.by_any_part.lock().unwrap().get(&(own, prepared)) {
            return *may;
        }
        let parts = (0..=prepared).filter(|part| part & !prepared == 0);
        let may = parts.fold(Votes::default(), |may, part| {
            Votes(may.0 | self.by_all(rules, (own, part)).0)
        });
        let mut known = self.by_any_part.lock().unwrap();
        known.insert((own, prepared), may);
        may
    }
}

/// What the protocol lets a member cast next, but for the refusal that its
/// rules do not heed.
pub(crate) fn allowed(rules: &Rules, others: &Held, member: usize, own: Votes) -> Votes {
    let mut ballot = others.clone();
    cast(&mut ballot, member, own);
    let heeded = |verdict: Result<(), VoteRefusal>| match verdict {
        Ok(()) => true,
        Err(why) => rules.unheeded == Some(why),
    };
    let last = |step| {
        let rounds = own.iter().filter(|vote| vote.step == step);
        rounds.map(|vote| vote.round).max().unwrap_or(0)
    };
    // What it committed last, in that round or below, and never below a prepare.
    let is_late = |vote: &Vote| {
        let committed = last(Step::Commit);
        let same = committed > 0 && own.has(Vote::commit(committed, vote.roster));
        same && vote.round <= committed && vote.round >= last(Step::Prepare)
    };
    let may = |vote: &Vote| {
        let (round, roster) = (vote.round, vote.roster.id());
        match vote.step {
            Step::Prepare => {
                let verdict = ballot.may_prepare(&member, round, &roster, rules.prepares);
                if verdict == Err(VoteRefusal::RoundPast) {
                    return !rules.prepares_first && is_late(vote);
                }
                heeded(verdict)
            }
            Step::Commit => {
                let verdict = ballot.may_commit(&member, round, &roster, rules.prepares);
                if verdict == Err(VoteRefusal::RoundPast) && heeded(verdict) {
                    // It comes before other refusals, and those are heeded: as
                    // if nothing had been cast in a later round.
                    let mut ballot = others.clone();
                    let before = own.iter().filter(|vote| vote.round <= round);
                    cast(&mut ballot, member, Votes::of(before));
                    return ballot
                        .may_commit(&member, round, &roster, rules.prepares)
                        .is_ok();
                }
                heeded(verdict)
            }
        }
    };
    let new = Vote::all(ROUNDS_MAX).filter(|vote| !own.has(*vote));
    Votes::of(new.filter(may))
}

#[cfg(test)]
mod tests {
    use super::super::vote::STEPS;
    use super::*;
    use watchfire_protocol::roster::Thresholds;

    const TRIED: u32 = 2;

    /// Every set of prepares up to the round tried.
    fn prepares() -> Vec<Votes> {
        let all: Vec<Vote> = Vote::all(TRIED)
            .filter(|vote| vote.step == Step::Prepare)
            .collect();
        let subset = |bits: usize| {
            let votes = all.iter().enumerate();
            let chosen = votes.filter(|(place, _)| bits >> place & 1 == 1);
            Votes::of(chosen.map(|(_, vote)| *vote))
        };
        (0..1 << all.len()).map(subset).collect()
    }

    /// Everything an honest member can have cast up to the round tried.
    fn own() -> Vec<Votes> {
        STEPS
            .into_iter()
            .flat_map(|step| (1..=TRIED).map(move |round| (step, round)))
            .fold(vec![Votes::default()], |so_far, (step, round)| {
                let cast = |votes: Votes| {
                    Successor::ALL.map(|roster| {
                        votes.with(Vote {
                            step,
                            round,
                            roster,
                        })
                    })
                };
                so_far
                    .into_iter()
                    .flat_map(|votes| [votes].into_iter().chain(cast(votes)))
                    .collect()
            })
    }

    /// For whatever a member cast itself and whatever three others prepared:
    /// another prepare takes nothing away of what it may commit, in which order
    /// votes came does not matter, nor does anything but whether enough have
    /// prepared; and what somebody's commit shows is as good as their prepares.
    #[test]
    fn what_enough_prepared_is_all_that_matters() {
        let commits =
            |votes: Votes| Votes::of(votes.iter().filter(|vote| vote.step == Step::Commit));
        let rules = Rules::of(Thresholds::of(4));
        let prepares = prepares();
        let member = 0;
        for own in own() {
            let mut by_prepared: HashMap<Vec<bool>, Votes> = HashMap::new();
            let mut may: HashMap<[Votes; 3], Votes> = HashMap::new();
            // The largest first, so that each finds those with one vote more.
            for (one, first) in prepares.iter().enumerate().rev() {
                for (two, second) in prepares.iter().enumerate().skip(one).rev() {
                    for third in prepares.iter().skip(two).rev() {
                        let of = [*first, *second, *third];
                        let mut others = Held::default();
                        for (voter, votes) in of.iter().enumerate() {
                            cast(&mut others, voter + 1, *votes);
                        }
                        let allowed = allowed(&rules, &others, member, own);
                        for more in more(of) {
                            let more = may[&more];
                            assert_eq!(commits(allowed).0 & !more.0, 0, "{own:?} {of:?}");
                        }
                        may.insert(of, allowed);
                        cast(&mut others, member, own);
                        let prepared = Vote::all(TRIED)
                            .filter(|vote| vote.step == Step::Prepare)
                            .map(|vote| others.is_prepared(vote.round, &vote.roster.id(), 3))
                            .collect();
                        assert_eq!(*by_prepared.entry(prepared).or_insert(allowed), allowed);
                    }
                }
            }
            for shown in &prepares {
                let mut others = Held::default();
                for vote in shown.iter() {
                    others.cast(Step::Commit, 1, vote.round, vote.roster.id());
                }
                let allowed = allowed(&rules, &others, member, own);
                cast(&mut others, member, own);
                let prepared: Vec<bool> = Vote::all(TRIED)
                    .filter(|vote| vote.step == Step::Prepare)
                    .map(|vote| others.is_prepared(vote.round, &vote.roster.id(), 3))
                    .collect();
                assert_eq!(by_prepared[&prepared], allowed, "{own:?} {shown:?}");
            }
        }
    }

    /// The same prepares and one more, of any of the three.
    fn more(of: [Votes; 3]) -> impl Iterator<Item = [Votes; 3]> {
        (0..3).flat_map(move |voter| {
            Vote::all(TRIED)
                .filter(move |vote| vote.step == Step::Prepare && !of[voter].has(*vote))
                .map(move |vote| {
                    let mut more = of;
                    more[voter] = more[voter].with(vote);
                    more.sort_unstable();
                    more
                })
        })
    }

    /// In which order a node is handed votes makes no difference, as long as
    /// there are no more than two rosters.
    #[test]
    fn casting_commutes() {
        for bits in 0..=0xFF {
            let base = Votes(bits);
            for first in Vote::all(TRIED) {
                for second in Vote::all(TRIED) {
                    let ballot = |order: [(usize, Vote); 2]| {
                        let mut ballot = Held::default();
                        cast(&mut ballot, 0, base);
                        for (voter, vote) in order {
                            ballot.cast(vote.step, voter, vote.round, vote.roster.id());
                        }
                        ballot
                    };
                    for other in 0..2 {
                        let (one, two) = ((0, first), (other, second));
                        assert_eq!(ballot([one, two]), ballot([two, one]));
                    }
                }
            }
        }
    }
}
