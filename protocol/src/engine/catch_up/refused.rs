//! What holders were seen to hold of another chain than the one held here.
//!
//! An author who contradicts itself leaves members with chains of which the
//! other's parts do not fit, and so with gaps that nobody can fill. Each such
//! place is asked of each holder once, and not again with every listing.

use super::offer::Offer;
use crate::engine::streams::Streams;
use crate::ids::NodeId;
use crate::limits::{REFUSED_FIRST_MS, REFUSED_LAST_MS, REFUSED_RUNS_MAX, REFUSED_STREAMS_MAX};
use crate::time::Instant;
use crate::wire::exchange::StreamId;
use std::collections::BTreeMap;

/// By stream and holder. It outlives connections, and no restart.
#[derive(Debug, Default)]
pub(super) struct Refused {
    of: BTreeMap<(StreamId, NodeId), Places>,
    /// Runs of all of them.
    runs: usize,
}

#[derive(Debug)]
struct Places {
    /// Runs that ascend. What lies between two places and is held here belongs
    /// to a run: it is asked of nobody.
    runs: Vec<(u64, u64)>,
    /// How far the gapless part went when the last of them was refused. When it
    /// has moved, the lowest run is decided anew from below.
    at: u64,
    /// From when on all of it is asked for again, and after how long.
    again_at: Instant,
    again_after_ms: u64,
}

impl Refused {
    /// What a holder brought at these places, which ascend, contradicts what is
    /// held.
    pub(super) fn note(
        &mut self,
        streams: &Streams,
        key: (StreamId, NodeId),
        refused: &[u64],
        now: Instant,
    ) {
        if refused.is_empty() {
            return;
        }
        let at = streams.sequence(&key.0);
        let mut places = self.take(&key).unwrap_or_else(|| Places {
            runs: Vec::new(),
            at,
            again_at: now.plus_ms(REFUSED_FIRST_MS),
            again_after_ms: REFUSED_FIRST_MS,
        });
        places.at = at;
        let mut runs = core::mem::take(&mut places.runs);
        runs.extend(refused.iter().map(|place| (*place, *place)));
        runs.retain(|(_, to)| *to > at);
        runs.sort_unstable();
        let gaps = streams.missing(&key.0);
        for (from, to) in runs {
            match places.runs.last_mut() {
                Some(last) if !is_missing_between(&gaps, last.1, from) => last.1 = last.1.max(to),
                Some(_) | None => places.runs.push((from, to)),
            }
        }
        while !self.of.is_empty()
            && (self.of.len() >= REFUSED_STREAMS_MAX
                || self.runs + places.runs.len() > REFUSED_RUNS_MAX)
        {
            // What is due first is asked for once more now.
            let first = self.of.iter().min_by_key(|(_, places)| places.again_at);
            if let Some(first) = first.map(|(key, _)| *key) {
                self.take(&first);
            }
        }
        self.runs += places.runs.len();
        self.of.insert(key, places);
    }

    fn take(&mut self, key: &(StreamId, NodeId)) -> Option<Places> {
        let places = self.of.remove(key)?;
        self.runs = self.runs.saturating_sub(places.runs.len());
        Some(places)
    }

    /// Takes out of an offer what is not worth asking for. After a day all of it
    /// is, then after two, and so on: a holder may have the other chain by then.
    pub(super) fn leave_out(
        &mut self,
        streams: &Streams,
        key: &(StreamId, NodeId),
        offer: &mut Offer,
        now: Instant,
    ) {
        let Some(places) = self.of.get_mut(key) else {
            return;
        };
        if places.again_at <= now {
            self.runs = self.runs.saturating_sub(places.runs.len());
            places.runs.clear();
            places.again_after_ms = (2 * places.again_after_ms).min(REFUSED_LAST_MS);
            places.again_at = now.plus_ms(places.again_after_ms);
            return;
        }
        let at = streams.sequence(&key.0);
        let decided = places.runs.iter().filter(|(_, to)| *to > at);
        offer.runs = less(&offer.runs, decided.skip(usize::from(places.at != at)));
    }
}

/// Whether something is missing after one place and before another.
fn is_missing_between(gaps: &[(u64, u64)], after: u64, before: u64) -> bool {
    let next = gaps.partition_point(|(_, last)| *last <= after);
    gaps.get(next)
        .is_some_and(|(first, _)| (*first).max(after + 1) < before)
}

/// Runs without these others. Both ascend, so each is walked once.
fn less<'a>(runs: &[(u64, u64)], others: impl Iterator<Item = &'a (u64, u64)>) -> Vec<(u64, u64)> {
    let mut others = others.peekable();
    let mut left = Vec::new();
    for (first, last) in runs {
        let mut from = *first;
        while let Some((out, to)) = others.peek().copied().copied()
            && from <= *last
            && out <= *last
        {
            if from < out {
                left.push((from, out - 1));
            }
            from = from.max(to + 1);
            if to <= *last {
                others.next();
            }
        }
        if from <= *last {
            left.push((from, *last));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::engine::catch_up::offer::without_all;
    use crate::ids::EnvelopeId;
    use crate::wire::Tag;
    use crate::wire::envelope::Position;

    fn stream(incarnation: u64) -> StreamId {
        StreamId {
            node: NodeId::from_bytes([1; 32]),
            incarnation,
            tag: Tag::PUBLIC,
        }
    }

    const HOLDER: NodeId = NodeId::from_bytes([2; 32]);

    /// A stream of which these are held.
    fn holding(held: &[u64]) -> Streams {
        let mut streams = Streams::default();
        for sequence in held {
            let position = Position {
                tag: Tag::PUBLIC,
                sequence: *sequence,
                previous: None,
            };
            streams.insert(stream(1), &position, EnvelopeId::from_bytes([7; 32]));
        }
        streams
    }

    #[test]
    fn runs_less_others_are_as_one_by_one() {
        let runs = [(1, 4), (6, 6), (8, 20), (30, 40)];
        for others in [
            vec![],
            vec![(1, 50)],
            vec![(2, 2), (4, 6), (10, 31)],
            vec![(5, 5), (7, 7), (21, 29), (41, 50)],
            vec![(8, 8), (10, 10), (20, 20), (40, 41)],
        ] {
            assert_eq!(
                less(&runs, others.iter()),
                without_all(runs.to_vec(), &others),
                "{others:?}"
            );
        }
    }

    #[test]
    fn what_is_held_between_joins_and_what_is_missing_parts() {
        let streams = holding(&[1, 3, 5, 9]);
        let mut refused = Refused::default();
        let key = (stream(1), HOLDER);
        refused.note(&streams, key, &[2, 6], Instant::ZERO);
        refused.note(&streams, key, &[4], Instant::ZERO);
        assert_eq!(refused.of[&key].runs, [(2, 6)]);
        // 7 is missing, and was not brought.
        refused.note(&streams, key, &[8, 10], Instant::ZERO);
        assert_eq!(refused.of[&key].runs, [(2, 6), (8, 10)]);
        let left = |refused: &mut Refused, streams: &Streams| {
            let mut offer = Offer::of_fork(0);
            offer.runs = vec![(1, 12)];
            refused.leave_out(streams, &key, &mut offer, Instant::ZERO);
            offer.runs
        };
        assert_eq!(left(&mut refused, &streams), [(1, 1), (7, 7), (11, 12)]);
        // The gapless part moves: its successor is decided anew.
        let moved = holding(&[1, 2, 3, 5, 9]);
        assert_eq!(left(&mut refused, &moved), [(1, 7), (11, 12)]);
    }

    #[test]
    fn an_author_of_many_chains_takes_a_bounded_memory() {
        let mut refused = Refused::default();
        let streams = holding(&[]);
        let every_second: Vec<u64> = (1..=2_048).map(|at| 2 * at).collect();
        for life in 1..=REFUSED_STREAMS_MAX as u64 + 10 {
            let now = Instant::from_ms(life);
            refused.note(&streams, (stream(life), HOLDER), &every_second, now);
            let runs: usize = refused.of.values().map(|places| places.runs.len()).sum();
            assert_eq!(runs, refused.runs);
            assert!(runs <= REFUSED_RUNS_MAX);
        }
        for life in 1..=REFUSED_STREAMS_MAX as u64 + 10 {
            let now = Instant::from_ms(life + 10_000);
            refused.note(&streams, (stream(life), HOLDER), &[2], now);
        }
        assert!(refused.of.len() <= REFUSED_STREAMS_MAX);
        // The newest are kept.
        assert!(!refused.of.contains_key(&(stream(1), HOLDER)));
    }
}
