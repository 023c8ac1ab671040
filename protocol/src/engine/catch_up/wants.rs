//! What is wanted of whom: the offers of all peers, and whose turn it is.

use super::Asking;
use super::offer::{Offer, without_all};
use super::refused::Refused;
use crate::engine::messages::RequestId;
use crate::engine::streams::Streams;
use crate::ids::NodeId;
use crate::limits::{
    OFFERED_RUNS_PER_PEER_MAX, OFFERS_PER_PEER_MAX, PACE_MS_MAX, RANGE_FRAMES_MAX,
    RANGES_PER_PEER_MAX, VAIN_MAX,
};
use crate::time::Instant;
use crate::wire::Tag;
use crate::wire::exchange::StreamId;
use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is offered and missing here, and what is being fetched.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    pub(super) wants: BTreeMap<StreamId, Want>,
    pub(super) holders: BTreeMap<NodeId, Holder>,
    /// Streams of which a range may be asked for, control streams apart because
    /// they come first, and whose turn was last.
    control: BTreeSet<StreamId>,
    line: BTreeSet<StreamId>,
    turn: Option<StreamId>,
    /// Streams that wait, by when they go on.
    deferred: BTreeSet<(Instant, StreamId)>,
    refused: Refused,
    pub(super) under_way: BTreeMap<RequestId, Asking>,
}

/// A stream in which something is missing here.
#[derive(Debug, Default)]
pub(super) struct Want {
    pub(super) offers: BTreeMap<NodeId, Offer>,
    /// Until when it waits, if it does: for a quota, or because nobody could
    /// be asked.
    pub(super) deferred: Option<Instant>,
}

/// What is known of one who offers.
#[derive(Debug, Default)]
pub(super) struct Holder {
    /// The streams of which it offers something.
    pub(super) streams: BTreeSet<StreamId>,
    /// Runs in its offers.
    pub(super) runs: usize,
    /// Ranges under way.
    pub(super) asked: usize,
    /// Milliseconds that its last answer took for an envelope; the longest
    /// where it brought none. Who is quick is asked first.
    pub(super) pace_ms: u64,
}

/// How catching up goes, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Streams in which something is missing that a peer offers.
    pub streams: u64,
    /// Envelopes missing in them.
    pub missing: u64,
    /// Of the streams, those that wait: for a quota, or because nobody could be
    /// asked.
    pub deferred: u64,
    /// Ranges under way.
    pub ranges: u64,
}

/// What is left of an offer after its holder was asked in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Something,
    Nothing,
    /// Too often in vain: later.
    NotWorthAsking,
}

pub(super) enum Next {
    Ask(Asking),
    /// Everybody who offers it is busy.
    Busy,
    /// Nothing more to ask for.
    Nothing,
}

impl CatchUp {
    /// Takes an offer, less what is known to contradict what is held. Returns
    /// whether there was room for it.
    pub(crate) fn offer(
        &mut self,
        streams: &Streams,
        (stream, node): (StreamId, NodeId),
        mut offer: Offer,
        now: Instant,
    ) -> bool {
        self.withdraw_only(&stream, &node);
        self.refused
            .leave_out(streams, &(stream, node), &mut offer, now);
        let holder = self.holders.entry(node).or_default();
        let has_room = holder.streams.len() < OFFERS_PER_PEER_MAX
            && holder.runs + offer.runs.len() <= OFFERED_RUNS_PER_PEER_MAX;
        if has_room {
            holder.streams.insert(stream);
            holder.runs += offer.runs.len();
            let want = self.wants.entry(stream).or_default();
            want.offers.insert(node, offer);
        }
        self.forget_if_unwanted(&stream);
        self.queue(stream);
        has_room
    }

    /// Forgets what a peer offered of a stream.
    pub(super) fn withdraw(&mut self, stream: &StreamId, node: &NodeId) {
        self.withdraw_only(stream, node);
        self.forget_if_unwanted(stream);
    }

    /// As [`Self::withdraw`], but a stream that nobody offers any more keeps
    /// its place, and its wait, for the offer that follows.
    fn withdraw_only(&mut self, stream: &StreamId, node: &NodeId) {
        let offer = self
            .wants
            .get_mut(stream)
            .and_then(|want| want.offers.remove(node));
        if let (Some(offer), Some(holder)) = (offer, self.holders.get_mut(node)) {
            holder.streams.remove(stream);
            holder.runs = holder.runs.saturating_sub(offer.runs.len());
        }
    }

    fn forget_if_unwanted(&mut self, stream: &StreamId) {
        let Some(want) = self.wants.get(stream) else {
            return;
        };
        if want.offers.is_empty() {
            if let Some(until) = want.deferred {
                self.deferred.remove(&(until, *stream));
            }
            self.wants.remove(stream);
            self.unqueue(stream);
        }
    }

    /// Takes out of an offer what was asked for. Returns what is left
    /// of it, if it is there.
    pub(super) fn without(&mut self, asking: &Asking, in_vain: bool) -> Option<Left> {
        let offer = self
            .wants
            .get_mut(&asking.stream)
            .and_then(|want| want.offers.get_mut(&asking.holder));
        let holder = self.holders.get_mut(&asking.holder)?;
        let offer = offer?;
        let before = offer.runs.len();
        offer.without(asking.from, asking.to);
        holder.runs = (holder.runs + offer.runs.len()).saturating_sub(before);
        offer.vain += u32::from(in_vain);
        Some(if offer.runs.is_empty() && offer.fork_at.is_none() {
            Left::Nothing
        } else if offer.vain >= VAIN_MAX {
            Left::NotWorthAsking
        } else {
            Left::Something
        })
    }

    /// Who offers something of a stream.
    pub(crate) fn holders_of(&self, stream: &StreamId) -> impl Iterator<Item = &NodeId> {
        self.wants
            .get(stream)
            .into_iter()
            .flat_map(|want| want.offers.keys())
    }

    /// Who offers one envelope of a stream.
    pub(crate) fn offering(&self, stream: &StreamId, sequence: u64) -> Vec<NodeId> {
        let Some(want) = self.wants.get(stream) else {
            return Vec::new();
        };
        let offers = want.offers.iter();
        offers
            .filter(|(_, offer)| offer.has(sequence))
            .map(|(node, _)| *node)
            .collect()
    }

    /// A peer left: what it offered and was asked for is forgotten.
    pub(crate) fn forget(&mut self, node: &NodeId) {
        let asked: Vec<RequestId> = self
            .under_way
            .iter()
            .filter(|(_, asking)| asking.holder == *node)
            .map(|(id, _)| *id)
            .collect();
        for id in asked {
            if let Some(asking) = self.ended(&id) {
                self.queue(asking.stream);
            }
        }
        let offered = self.holders.get(node).map(|holder| holder.streams.clone());
        for stream in offered.into_iter().flatten() {
            self.withdraw(&stream, node);
        }
        self.holders.remove(node);
    }

    /// What came of a range contradicts, at these places, what is held.
    pub(super) fn note_refused(
        &mut self,
        streams: &Streams,
        asking: &Asking,
        refused: &[u64],
        now: Instant,
    ) {
        let of = (asking.stream, asking.holder);
        self.refused.note(streams, of, refused, now);
    }

    /// A range is no longer under way.
    pub(super) fn ended(&mut self, id: &RequestId) -> Option<Asking> {
        let asking = self.under_way.remove(id)?;
        if let Some(holder) = self.holders.get_mut(&asking.holder) {
            holder.asked = holder.asked.saturating_sub(1);
        }
        Some(asking)
    }

    /// Notes how quick a holder was.
    pub(super) fn note_pace(&mut self, asking: &Asking, now: Instant, brought: u64) {
        if let Some(holder) = self.holders.get_mut(&asking.holder) {
            let took_ms = now.since_ms(asking.at).max(1);
            holder.pace_ms = took_ms.checked_div(brought).unwrap_or(PACE_MS_MAX);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deferred.first().map(|(at, _)| *at)
    }

    pub(crate) fn progress(&self, streams: &Streams) -> Progress {
        let missing = self.wants.iter().map(|(stream, want)| {
            let last = want.offers.values().map(Offer::last).max().unwrap_or(0);
            last.saturating_sub(streams.sequence(stream)) + streams.lost(stream) as u64
        });
        Progress {
            streams: self.wants.len() as u64,
            missing: missing.sum(),
            deferred: self.deferred.len() as u64,
            ranges: self.under_way.len() as u64,
        }
    }

    pub(super) fn queue(&mut self, stream: StreamId) {
        let waits = |want: &Want| want.deferred.is_some();
        if self.wants.get(&stream).is_some_and(|want| !waits(want)) {
            if stream.tag == Tag::CONTROL {
                self.control.insert(stream);
            } else {
                self.line.insert(stream);
            }
        }
    }

    fn unqueue(&mut self, stream: &StreamId) {
        self.control.remove(stream);
        self.line.remove(stream);
    }

    pub(super) fn defer(&mut self, stream: StreamId, until: Instant) {
        let Some(want) = self.wants.get_mut(&stream) else {
            return;
        };
        if let Some(before) = want.deferred.replace(until) {
            self.deferred.remove(&(before, stream));
        }
        self.deferred.insert((until, stream));
        self.unqueue(&stream);
    }

    /// Puts back in line what has waited long enough.
    pub(super) fn resume(&mut self, now: Instant) {
        while let Some((until, stream)) = self.deferred.first().copied()
            && until <= now
        {
            self.deferred.remove(&(until, stream));
            if let Some(want) = self.wants.get_mut(&stream) {
                want.deferred = None;
            }
            self.queue(stream);
        }
    }

    /// Takes the next stream out of the line, each in its turn.
    pub(super) fn next_in_line(&mut self) -> Option<StreamId> {
        if let Some(control) = self.control.pop_first() {
            return Some(control);
        }
        let after = self.turn.and_then(|turn| {
            self.line
                .range((Bound::Excluded(turn), Bound::Unbounded))
                .next()
        });
        let stream = *after.or_else(|| self.line.first())?;
        self.line.remove(&stream);
        self.turn = Some(stream);
        Some(stream)
    }

    /// The next range of a stream to ask for.
    pub(super) fn next(&self, streams: &Streams, stream: &StreamId, now: Instant) -> Next {
        let Some(Want { offers, .. }) = self.wants.get(stream) else {
            return Next::Nothing;
        };
        let free: Vec<(&NodeId, &Holder, &Offer)> = offers
            .iter()
            .filter_map(|(node, offer)| Some((node, self.holders.get(node)?, offer)))
            .filter(|(_, holder, _)| holder.asked < RANGES_PER_PEER_MAX)
            .collect();
        if free.is_empty() {
            return Next::Busy;
        }
        let mut asked: Vec<(u64, u64)> = self
            .under_way
            .values()
            .filter(|asking| asking.stream == *stream)
            .map(|asking| (asking.from, asking.to))
            .collect();
        asked.sort_unstable();
        let gaps = without_all(streams.missing(stream), &asked);
        let found = free
            .iter()
            .filter_map(|(node, holder, offer)| {
                let (from, _) = offer.first_in(&gaps)?;
                // To the end of the gap: what the holder lacks in it, it skips.
                let gap = gaps
                    .iter()
                    .find(|(first, last)| (*first..=*last).contains(&from))?;
                let last = gap.1.min(offer.last());
                Some((from, holder.pace_ms, holder.asked, **node, last))
            })
            .min();
        if let Some((from, _, _, holder, last)) = found {
            return Next::Ask(Asking {
                stream: *stream,
                from,
                to: last.min(from + RANGE_FRAMES_MAX as u64 - 1),
                holder,
                at: now,
            });
        }
        let fork = free
            .iter()
            .find_map(|(node, _, offer)| Some((**node, offer.fork_at?)));
        match fork {
            Some((holder, sequence)) if asked.is_empty() => Next::Ask(Asking {
                stream: *stream,
                from: sequence,
                to: sequence,
                holder,
                at: now,
            }),
            // Something is under way of it, or of whom it would be asked.
            _ if !asked.is_empty() || free.len() < offers.len() => Next::Busy,
            Some(_) | None => Next::Nothing,
        }
    }
}
