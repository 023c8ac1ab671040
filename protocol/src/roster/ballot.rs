//! Votes on what follows a roster: who voted for what, and whether it is decided.
//!
//! Generic in who votes and what for, so that the very counting a node does is
//! what a model checker explores.

use super::quorum::Thresholds;
use std::collections::{BTreeMap, BTreeSet};

/// How many different successors a voter's votes are kept for: the second proves
/// that it signed two, and a third would prove nothing more.
pub const VOTES_PER_VOTER_MAX: usize = 2;

/// The votes of one epoch that are known here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot<V, R> {
    votes: BTreeMap<V, BTreeSet<R>>,
}

/// What a vote is to those known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// The voter's first.
    First,
    /// Known.
    Known,
    /// The voter signed two.
    Second,
    /// The voter signed two others; this one is not kept.
    TooMany,
}

impl<V, R> Default for Ballot<V, R> {
    fn default() -> Self {
        Self {
            votes: BTreeMap::new(),
        }
    }
}

impl<V: Ord + Clone, R: Ord + Clone> Ballot<V, R> {
    /// Takes a vote whose signature holds, of somebody who may vote.
    pub fn cast(&mut self, voter: V, roster: R) -> Cast {
        let votes = self.votes.entry(voter).or_default();
        if votes.contains(&roster) {
            return Cast::Known;
        }
        match votes.len() {
            0 => {
                votes.insert(roster);
                Cast::First
            }
            kept if kept < VOTES_PER_VOTER_MAX => {
                votes.insert(roster);
                Cast::Second
            }
            _ => Cast::TooMany,
        }
    }

    /// Who voted for it, ascending.
    pub fn voters_for<'a>(&'a self, roster: &'a R) -> impl Iterator<Item = &'a V> {
        self.votes
            .iter()
            .filter(|(_, rosters)| rosters.contains(roster))
            .map(|(voter, _)| voter)
    }

    /// Who signed two, ascending.
    pub fn double_voters(&self) -> impl Iterator<Item = &V> {
        self.votes
            .iter()
            .filter(|(_, rosters)| rosters.len() > 1)
            .map(|(voter, _)| voter)
    }

    /// What any vote is for, ascending.
    pub fn candidates(&self) -> BTreeSet<&R> {
        self.votes.values().flatten().collect()
    }

    /// Whether enough voted for it, among voters who all count.
    pub fn is_decided(&self, roster: &R, thresholds: Thresholds) -> bool {
        self.voters_for(roster).count() >= thresholds.votes()
            && self.double_voters().count() <= thresholds.faults()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_counts_twice_and_who_signed_two_is_named() {
        let mut ballot = Ballot::default();
        assert_eq!(ballot.cast("at", 1), Cast::First);
        assert_eq!(ballot.cast("at", 1), Cast::Known);
        assert_eq!(ballot.cast("be", 1), Cast::First);
        assert!(!ballot.is_decided(&1, Thresholds::of(4)));
        assert_eq!(ballot.cast("be", 2), Cast::Second);
        assert_eq!(ballot.cast("be", 3), Cast::TooMany);
        assert_eq!(ballot.cast("cy", 1), Cast::First);
        assert!(ballot.is_decided(&1, Thresholds::of(4)));
        assert_eq!(ballot.double_voters().collect::<Vec<_>>(), [&"be"]);
        assert_eq!(ballot.candidates().into_iter().collect::<Vec<_>>(), [&1, &2]);
    }

    #[test]
    fn where_more_signed_two_than_may_lie_nothing_is_decided() {
        let mut ballot = Ballot::default();
        for voter in 0..4 {
            ballot.cast(voter, 'a');
        }
        ballot.cast(0, 'b');
        assert!(ballot.is_decided(&'a', Thresholds::of(4)));
        ballot.cast(1, 'b');
        assert!(!ballot.is_decided(&'a', Thresholds::of(4)));
    }
}
