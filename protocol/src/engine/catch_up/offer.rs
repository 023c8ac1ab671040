//! What a peer says it holds of a stream, as runs of sequences.

use crate::engine::streams::Streams;
use crate::limits::{SEQUENCE_AHEAD_MAX, SEQUENCE_MAX};
use crate::wire::exchange::{FrontierEntry, StreamId};

/// What one peer says it holds of a stream: runs that ascend and do not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(super) runs: Vec<(u64, u64)>,
    /// One that is held here too, and looked different: asked for, so that the
    /// fork is seen.
    pub(super) fork_at: Option<u64>,
    /// How often its holder was asked for some of it in vain.
    pub(super) vain: u32,
}

impl Offer {
    /// Reads an entry; none if it is senseless.
    pub(crate) fn of(entry: &FrontierEntry) -> Option<Self> {
        let through = entry.through;
        let mut runs = Vec::with_capacity(entry.beyond.len() + 1);
        if through > 0 {
            runs.push((1, through));
        }
        let mut end = through;
        for run in entry.beyond.iter() {
            let first = end.checked_add(u64::from(run.gap))?.checked_add(1)?;
            end = end.checked_add(u64::from(run.gap) + u64::from(run.run))?;
            if run.gap == 0 || run.run == 0 {
                return None;
            }
            runs.push((first, end));
        }
        let makes_sense = end <= SEQUENCE_MAX
            && end - through <= SEQUENCE_AHEAD_MAX
            && entry.head.is_some() == (through > 0);
        makes_sense.then_some(Self {
            runs,
            fork_at: None,
            vain: 0,
        })
    }

    /// One envelope that is held here, and seems to be another there.
    pub(crate) fn of_fork(sequence: u64) -> Self {
        Self {
            runs: Vec::new(),
            fork_at: Some(sequence),
            vain: 0,
        }
    }

    /// Whether it has something that is missing here and can be taken now.
    pub(crate) fn has_missing(&self, streams: &Streams, stream: &StreamId) -> bool {
        self.fork_at.is_some() || self.first_in(&streams.missing(stream)).is_some()
    }

    /// The first run of it that lies in these gaps, as much as is on end. Both
    /// ascend, so each is walked once.
    pub(super) fn first_in(&self, gaps: &[(u64, u64)]) -> Option<(u64, u64)> {
        let (mut runs, mut gaps) = (self.runs.iter(), gaps.iter());
        let (mut run, mut gap) = (runs.next()?, gaps.next()?);
        loop {
            let (first, last) = (run.0.max(gap.0), run.1.min(gap.1));
            if first <= last {
                return Some((first, last));
            }
            if run.1 < gap.1 {
                run = runs.next()?;
            } else {
                gap = gaps.next()?;
            }
        }
    }

    /// Whether one envelope is in it.
    pub(super) fn has(&self, sequence: u64) -> bool {
        let at = self.runs.partition_point(|(_, last)| *last < sequence);
        self.runs.get(at).is_some_and(|run| run.0 <= sequence)
    }

    pub(super) fn last(&self) -> u64 {
        self.runs.last().map_or(0, |(_, last)| *last)
    }

    /// Takes out what its holder was asked for in vain.
    pub(super) fn without(&mut self, from: u64, to: u64) {
        if self.fork_at.is_some_and(|fork| (from..=to).contains(&fork)) {
            self.fork_at = None;
        }
        self.runs = self
            .runs
            .iter()
            .flat_map(|(first, last)| {
                let below = (*first, (*last).min(from.saturating_sub(1)));
                let above = ((*first).max(to + 1), *last);
                [below, above]
            })
            .filter(|(first, last)| first <= last)
            .collect();
    }
}

/// Gaps, less what is asked for already. Both ascend.
pub(super) fn without_all(gaps: Vec<(u64, u64)>, asked: &[(u64, u64)]) -> Vec<(u64, u64)> {
    asked.iter().fold(gaps, |gaps, (from, to)| {
        let mut offer = Offer {
            runs: gaps,
            fork_at: None,
            vain: 0,
        };
        offer.without(*from, *to);
        offer.runs
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(runs: &[(u64, u64)]) -> Offer {
        Offer {
            runs: runs.to_vec(),
            fork_at: None,
            vain: 0,
        }
    }

    #[test]
    fn what_was_asked_for_in_vain_leaves_the_rest() {
        let mut of = offer(&[(1, 10), (20, 30)]);
        of.without(5, 5);
        assert_eq!(of.runs, [(1, 4), (6, 10), (20, 30)]);
        of.without(8, 25);
        assert_eq!(of.runs, [(1, 4), (6, 7), (26, 30)]);
        of.without(1, 30);
        assert!(of.runs.is_empty());
    }

    #[test]
    fn the_first_that_lies_in_a_gap_is_found() {
        let of = offer(&[(1, 10), (20, 30), (40, 50)]);
        assert_eq!(of.first_in(&[(11, 19), (31, 35), (44, 60)]), Some((44, 50)));
        assert_eq!(of.first_in(&[(8, 22)]), Some((8, 10)));
        assert_eq!(of.first_in(&[(11, 19), (51, 99)]), None);
        assert_eq!(of.first_in(&[]), None);
    }

    #[test]
    fn what_lies_between_two_runs_is_not_offered() {
        let of = offer(&[(1, 3), (6, 6)]);
        let offered: Vec<u64> = (0..9).filter(|at| of.has(*at)).collect();
        assert_eq!(offered, [1, 2, 3, 6]);
        assert!(!offer(&[]).has(1));
    }

    #[test]
    fn what_is_asked_for_is_no_gap() {
        let gaps = without_all(vec![(1, 600)], &[(1, 256), (300, 310)]);
        assert_eq!(gaps, [(257, 299), (311, 600)]);
    }
}
