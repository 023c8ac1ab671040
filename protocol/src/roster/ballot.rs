//! Votes on what follows a roster: in two steps and in rounds, so that members
//! who want different things at once can neither decide both nor block each
//! other for ever.
//!
//! A member first *prepares* a roster and then *commits* it. It commits in a
//! round only what a quorum prepared in that round, and it prepares only what a
//! quorum prepared in the last earlier round in which it saw one do so: that
//! quorum is a *lock*, whether or not its own root has committed on it. For a
//! node may learn of the commit of its own root, which is elsewhere, later than
//! it votes again; but it has seen the quorum that it handed to that root. So
//! what a quorum committed in one round is the only thing that can be prepared
//! by a quorum in any later one. Where a round is split, the next one begins;
//! nothing that was signed has to be taken back.
//!
//! Generic in who votes and what for, so that the very rules a node follows are
//! what a model checker explores.

use super::quorum::Thresholds;
use crate::limits::VOTE_ROUNDS_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// Different rosters of one voter that are kept in one round: the second proves
/// that it signed two, and a third would prove nothing more. Of more it is the
/// least two, whichever came first, so that all who saw them hold the same.
const ROSTERS_PER_ROUND_MAX: usize = 2;

/// A step of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// It would do, if enough others say so too.
    Prepare,
    /// It is to be.
    Commit,
}

/// What each voter cast in one step, by voter and round.
type Votes<V, R> = BTreeMap<V, BTreeMap<u32, BTreeSet<R>>>;

/// The votes of one epoch that are known here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot<V, R> {
    prepares: Votes<V, R>,
    commits: Votes<V, R>,
}

/// What a vote is to those known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// New.
    New,
    /// Known.
    Known,
    /// The voter signed two in one round and step.
    Second,
    /// Not kept: of one round the least two are, and not of rounds long past.
    TooMany,
}

/// Why a member may not cast a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum VoteRefusal {
    /// Its proposal is not here.
    #[error("no such roster is proposed here; see \"watchfire roster status\"")]
    NotHeld,
    /// A root that would enter, or a community that is asked, has not agreed.
    #[error(
        "a new root, or a community whose rule asks for it, has not consented yet; votes come after that, or none could be decided"
    )]
    NoConsent,
    /// It cast another in this round.
    #[error("another roster was voted for in this round; begin the next round")]
    OtherInRound,
    /// It prepared in a later round.
    #[error("a later round has begun here; vote in that one")]
    RoundPast,
    /// Too few prepared it in this round.
    #[error("too few members have prepared it in this round; wait, or ask them")]
    NotPrepared,
    /// A quorum prepared another, which may be decided.
    #[error(
        "enough members prepared another roster in an earlier round, and none has been \
         prepared by as many since: roots may have signed that one, so prepare it or wait"
    )]
    Locked,
}

impl<V, R> Default for Ballot<V, R> {
    fn default() -> Self {
        Self {
            prepares: BTreeMap::new(),
            commits: BTreeMap::new(),
        }
    }
}

impl<V: Ord + Clone, R: Ord + Clone> Ballot<V, R> {
    const fn votes(&self, step: Step) -> &Votes<V, R> {
        match step {
            Step::Prepare => &self.prepares,
            Step::Commit => &self.commits,
        }
    }

    /// Takes a vote whose signature holds, of somebody who may vote.
    pub fn cast(&mut self, step: Step, voter: V, round: u32, roster: R) -> Cast {
        let votes = match step {
            Step::Prepare => &mut self.prepares,
            Step::Commit => &mut self.commits,
        };
        let rounds = votes.entry(voter).or_default();
        let rosters = rounds.entry(round).or_default();
        if rosters.contains(&roster) {
            return Cast::Known;
        }
        if rosters.len() >= ROSTERS_PER_ROUND_MAX {
            if rosters.last().is_none_or(|last| *last < roster) {
                return Cast::TooMany;
            }
            rosters.pop_last();
        }
        rosters.insert(roster);
        let cast = if rosters.len() > 1 {
            Cast::Second
        } else {
            Cast::New
        };
        if rounds.len() > VOTE_ROUNDS_MAX
            && let Some((lowest, _)) = rounds.pop_first()
            && lowest == round
        {
            return Cast::TooMany;
        }
        cast
    }

    /// Who cast this vote, ascending.
    pub fn voters<'a>(
        &'a self,
        step: Step,
        round: u32,
        roster: &'a R,
    ) -> impl Iterator<Item = &'a V> {
        self.votes(step)
            .iter()
            .filter(move |(_, rounds)| {
                rounds
                    .get(&round)
                    .is_some_and(|rosters| rosters.contains(roster))
            })
            .map(|(voter, _)| voter)
    }

    /// Whether this vote is kept.
    pub fn is_cast(&self, step: Step, voter: &V, round: u32, roster: &R) -> bool {
        self.votes(step)
            .get(voter)
            .and_then(|rounds| rounds.get(&round))
            .is_some_and(|rosters| rosters.contains(roster))
    }

    /// Whether a quorum prepared it in this round. A commit shows that too: one
    /// comes in here only with the prepares it stands on.
    pub fn is_prepared(&self, round: u32, roster: &R, votes: usize) -> bool {
        self.voters(Step::Prepare, round, roster).count() >= votes
            || self.voters(Step::Commit, round, roster).next().is_some()
    }

    /// The first round in which a quorum committed it.
    pub fn decided_in(&self, roster: &R, votes: usize) -> Option<u32> {
        let rounds: BTreeSet<u32> = self
            .commits
            .values()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect();
        rounds
            .into_iter()
            .find(|round| self.voters(Step::Commit, *round, roster).count() >= votes)
    }

    /// Everything that any vote is for, ascending.
    pub fn candidates(&self) -> BTreeSet<&R> {
        self.prepares
            .values()
            .chain(self.commits.values())
            .flat_map(BTreeMap::values)
            .flatten()
            .collect()
    }

    /// What each voter's latest votes are for.
    pub fn latest(&self) -> impl Iterator<Item = &R> {
        self.prepares
            .values()
            .chain(self.commits.values())
            .filter_map(BTreeMap::last_key_value)
            .flat_map(|(_, rosters)| rosters)
    }

    /// Who signed two in one round and step, ascending.
    pub fn double_voters(&self) -> BTreeSet<&V> {
        self.prepares
            .iter()
            .chain(&self.commits)
            .filter(|(_, rounds)| rounds.values().any(|rosters| rosters.len() > 1))
            .map(|(voter, _)| voter)
            .collect()
    }

    /// The round that votes are in: the highest that more voters have reached than
    /// may lie, so that cheats alone take nobody anywhere; at least 1.
    pub fn round(&self, thresholds: Thresholds) -> u32 {
        let mut highest: BTreeMap<&V, u32> = BTreeMap::new();
        for (voter, rounds) in self.prepares.iter().chain(&self.commits) {
            if let Some((round, _)) = rounds.last_key_value() {
                let known = highest.entry(voter).or_default();
                *known = (*known).max(*round);
            }
        }
        let mut rounds: Vec<u32> = highest.into_values().collect();
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        rounds.get(thresholds.faults()).copied().unwrap_or(0).max(1)
    }

    fn last_of(&self, step: Step, voter: &V) -> Option<(u32, &BTreeSet<R>)> {
        let (round, rosters) = self.votes(step).get(voter)?.last_key_value()?;
        Some((*round, rosters))
    }

    /// The last round in which a voter cast a vote of a step, as far as it is kept.
    pub fn last_round(&self, step: Step, voter: &V) -> Option<u32> {
        self.last_of(step, voter).map(|(round, _)| round)
    }

    /// Whether a voter may prepare a roster in a round, by all it has cast, which
    /// must be in here.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_prepare(
        &self,
        voter: &V,
        round: u32,
        roster: &R,
        thresholds: Thresholds,
    ) -> Result<(), VoteRefusal> {
        if let Some((last, rosters)) = self.last_of(Step::Prepare, voter) {
            if last > round {
                return Err(VoteRefusal::RoundPast);
            }
            if last == round && !rosters.contains(roster) {
                return Err(VoteRefusal::OtherInRound);
            }
        }
        let committed = self.last_of(Step::Commit, voter);
        // Nor behind its own commit, so that a prepare of something else is always
        // later, and a cheat is known by it.
        if committed.is_some_and(|(committed, _)| round <= committed)
            && !self.is_cast(Step::Prepare, voter, round, roster)
        {
            return Err(VoteRefusal::RoundPast);
        }
        let Some((last, prepared)) = self.lock(round, thresholds.votes()) else {
            return Ok(());
        };
        // Where more lie than may, two can be prepared in one round: then what it
        // committed there itself binds it.
        let is_free = match committed {
            Some((committed, rosters)) if committed == last => rosters.contains(roster),
            Some(_) | None => prepared.contains(roster),
        };
        if is_free {
            Ok(())
        } else {
            Err(VoteRefusal::Locked)
        }
    }

    /// The last round before this one in which a quorum prepared something, and
    /// what: more than one only where more lie than may. A commit shows that too,
    /// as in [`Ballot::is_prepared`].
    pub fn lock(&self, round: u32, votes: usize) -> Option<(u32, BTreeSet<&R>)> {
        let mut counts: BTreeMap<u32, BTreeMap<&R, usize>> = BTreeMap::new();
        for (step, cast) in [
            (Step::Prepare, &self.prepares),
            (Step::Commit, &self.commits),
        ] {
            let counted = match step {
                Step::Prepare => 1,
                Step::Commit => votes,
            };
            for (at, rosters) in cast.values().flat_map(|rounds| rounds.range(..round)) {
                let at = counts.entry(*at).or_default();
                for roster in rosters {
                    let count = at.entry(roster).or_default();
                    *count = count.saturating_add(counted);
                }
            }
        }
        counts.into_iter().rev().find_map(|(at, rosters)| {
            let prepared: BTreeSet<&R> = rosters
                .into_iter()
                .filter(|(_, count)| *count >= votes)
                .map(|(roster, _)| roster)
                .collect();
            (!prepared.is_empty()).then_some((at, prepared))
        })
    }

    /// Whether a voter may commit a roster in a round, by all it has cast, which
    /// must be in here.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_commit(
        &self,
        voter: &V,
        round: u32,
        roster: &R,
        thresholds: Thresholds,
    ) -> Result<(), VoteRefusal> {
        if let Some((last, _)) = self.last_of(Step::Prepare, voter)
            && last > round
        {
            return Err(VoteRefusal::RoundPast);
        }
        if let Some((last, rosters)) = self.last_of(Step::Commit, voter) {
            if last > round {
                return Err(VoteRefusal::RoundPast);
            }
            if last == round && !rosters.contains(roster) {
                return Err(VoteRefusal::OtherInRound);
            }
        }
        if self.is_prepared(round, roster, thresholds.votes()) {
            Ok(())
        } else {
            Err(VoteRefusal::NotPrepared)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: Thresholds = Thresholds::of(4);

    fn ballot(votes: &[(Step, &'static str, u32, char)]) -> Ballot<&'static str, char> {
        let mut ballot: Ballot<&'static str, char> = Ballot::default();
        for (step, voter, round, roster) in votes {
            ballot.cast(*step, *voter, *round, *roster);
        }
        ballot
    }

    #[test]
    fn nobody_counts_twice_and_who_signed_two_is_named() {
        let mut votes = ballot(&[(Step::Commit, "at", 1, 'a'), (Step::Commit, "be", 1, 'a')]);
        assert_eq!(votes.cast(Step::Commit, "at", 1, 'a'), Cast::Known);
        assert_eq!(votes.decided_in(&'a', FOUR.votes()), None);
        assert_eq!(votes.cast(Step::Commit, "be", 1, 'b'), Cast::Second);
        assert_eq!(votes.cast(Step::Commit, "be", 1, 'c'), Cast::TooMany);
        assert_eq!(votes.cast(Step::Commit, "cy", 2, 'a'), Cast::New);
        assert_eq!(votes.decided_in(&'a', FOUR.votes()), None, "two rounds");
        assert_eq!(votes.cast(Step::Commit, "cy", 1, 'a'), Cast::New);
        assert_eq!(votes.decided_in(&'a', FOUR.votes()), Some(1));
        assert_eq!(
            votes.double_voters().into_iter().collect::<Vec<_>>(),
            [&"be"]
        );
    }

    #[test]
    fn a_commit_needs_a_quorum_that_prepared_in_that_round() {
        let mut votes = ballot(&[
            (Step::Prepare, "at", 1, 'a'),
            (Step::Prepare, "be", 1, 'a'),
            (Step::Prepare, "cy", 2, 'a'),
        ]);
        let refused = votes.may_commit(&"at", 1, &'a', FOUR);
        assert_eq!(refused, Err(VoteRefusal::NotPrepared));
        votes.cast(Step::Prepare, "dk", 1, 'a');
        assert_eq!(votes.may_commit(&"at", 1, &'a', FOUR), Ok(()));
        let later = votes.may_commit(&"cy", 1, &'a', FOUR);
        assert_eq!(later, Err(VoteRefusal::RoundPast));
    }

    #[test]
    fn who_committed_turns_to_another_only_when_a_quorum_did_so_since() {
        let mut votes = ballot(&[(Step::Prepare, "at", 1, 'a'), (Step::Commit, "at", 1, 'a')]);
        let other = |votes: &Ballot<_, _>, round| votes.may_prepare(&"at", round, &'b', FOUR);
        assert_eq!(other(&votes, 1), Err(VoteRefusal::OtherInRound));
        assert_eq!(other(&votes, 3), Err(VoteRefusal::Locked));
        for voter in ["be", "cy", "dk"] {
            votes.cast(Step::Prepare, voter, 2, 'b');
        }
        assert_eq!(other(&votes, 2), Err(VoteRefusal::Locked));
        assert_eq!(other(&votes, 3), Ok(()));
        let own = votes.may_prepare(&"at", 3, &'a', FOUR);
        assert_eq!(own, Err(VoteRefusal::Locked), "nor back");
    }

    #[test]
    fn what_a_quorum_was_seen_to_prepare_last_is_all_that_may_be_prepared() {
        let quorum =
            |round, roster| ["be", "cy", "dk"].map(|voter| (Step::Prepare, voter, round, roster));
        // This one committed nothing, and prepared nothing either.
        let mut votes = ballot(&quorum(1, 'a'));
        let may =
            |votes: &Ballot<_, _>, round, roster| votes.may_prepare(&"at", round, &roster, FOUR);
        assert_eq!(may(&votes, 2, 'b'), Err(VoteRefusal::Locked));
        assert_eq!(may(&votes, 9, 'b'), Err(VoteRefusal::Locked));
        assert_eq!(may(&votes, 2, 'a'), Ok(()));
        // In that round itself it is only late.
        assert_eq!(may(&votes, 1, 'b'), Ok(()));
        for (step, voter, round, roster) in quorum(3, 'b') {
            votes.cast(step, voter, round, roster);
        }
        assert_eq!(
            may(&votes, 3, 'b'),
            Err(VoteRefusal::Locked),
            "not by its own round"
        );
        assert_eq!(may(&votes, 4, 'b'), Ok(()));
        assert_eq!(
            may(&votes, 4, 'a'),
            Err(VoteRefusal::Locked),
            "the last counts"
        );
        // One fewer binds nobody.
        let fewer = ballot(&quorum(1, 'a')[..2]);
        assert_eq!(may(&fewer, 2, 'b'), Ok(()));
    }

    #[test]
    fn a_commit_alone_shows_that_a_quorum_prepared() {
        let mut votes = ballot(&[(Step::Prepare, "at", 1, 'a'), (Step::Commit, "at", 1, 'a')]);
        let turn = |votes: &Ballot<_, _>, round| votes.may_prepare(&"at", round, &'b', FOUR);
        assert_eq!(turn(&votes, 3), Err(VoteRefusal::Locked));
        assert!(!votes.is_prepared(2, &'b', FOUR.votes()));
        votes.cast(Step::Commit, "be", 2, 'b');
        assert!(votes.is_prepared(2, &'b', FOUR.votes()));
        assert!(!votes.is_prepared(2, &'a', FOUR.votes()));
        assert!(!votes.is_prepared(3, &'b', FOUR.votes()));
        assert_eq!(turn(&votes, 3), Ok(()));
        assert_eq!(votes.may_commit(&"at", 2, &'b', FOUR), Ok(()));
    }

    #[test]
    fn nobody_prepares_up_to_its_own_last_commit_but_what_it_prepared_there() {
        // It committed what the others prepared.
        let mut votes = ballot(&[(Step::Prepare, "at", 1, 'a'), (Step::Commit, "at", 3, 'b')]);
        for round in 1..=3 {
            for roster in ['a', 'b'] {
                let may = votes.may_prepare(&"at", round, &roster, FOUR);
                let said = match (round, roster) {
                    (1, 'b') => Err(VoteRefusal::OtherInRound),
                    // Said before: it may be said again.
                    (1, _) => Ok(()),
                    _ => Err(VoteRefusal::RoundPast),
                };
                assert_eq!(may, said, "{roster} in {round}");
            }
        }
        assert_eq!(votes.may_prepare(&"at", 4, &'b', FOUR), Ok(()));
        // What it prepared there it may say again.
        votes.cast(Step::Prepare, "be", 3, 'b');
        votes.cast(Step::Commit, "be", 3, 'b');
        assert_eq!(votes.may_prepare(&"be", 3, &'b', FOUR), Ok(()));
        let other = votes.may_prepare(&"be", 3, &'a', FOUR);
        assert_eq!(other, Err(VoteRefusal::OtherInRound));
    }

    #[test]
    fn cheats_alone_move_the_round_nowhere() {
        for members in [1, 3, 4, 7, 10] {
            let of = Thresholds::of(members);
            let mut votes: Ballot<usize, char> = Ballot::default();
            assert_eq!(votes.round(of), 1, "before the first vote");
            for cheat in 0..of.faults() {
                for (step, round) in [(Step::Prepare, 900), (Step::Commit, 1_000)] {
                    votes.cast(step, cheat, round, 'a');
                }
                assert_eq!(votes.round(of), 1, "{members}");
            }
            // One more, and it is where the farthest of that many are.
            votes.cast(Step::Prepare, 98, 4, 'a');
            assert_eq!(votes.round(of), 4, "{members}");
            votes.cast(Step::Commit, 98, 5, 'a');
            assert_eq!(votes.round(of), 5, "{members}");
            votes.cast(Step::Prepare, 99, 3, 'b');
            assert_eq!(votes.round(of), 5, "{members}");
        }
    }

    #[test]
    fn a_cheat_pushes_out_its_own_rounds_alone() {
        let mut votes = ballot(&[(Step::Commit, "at", 1, 'a')]);
        for round in 1..=20 {
            assert_eq!(votes.cast(Step::Commit, "be", round, 'a'), Cast::New);
        }
        assert_eq!(votes.cast(Step::Commit, "be", 1, 'a'), Cast::TooMany);
        assert_eq!(
            votes.voters(Step::Commit, 1, &'a').collect::<Vec<_>>(),
            [&"at"]
        );
    }
}
