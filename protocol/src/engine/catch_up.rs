//! Fetching what was missed: which ranges of which streams, from whom.
//!
//! Peers offer streams by their frontiers. What is missing here is known by
//! counting, so it is cut into ranges, and each is asked of one who offers it;
//! several holders serve different ranges of one stream at a time. An offer is
//! dealt with when everything in it is held, or contradicts what is held, or
//! its holder was asked and has it not. What a timeout, a quota or a clock kept
//! out is let go for now, and is offered again.

use super::messages::{CheckedItem, NotTaken, Output, RequestId, Work};
use super::streams::Streams;
use super::{Asked, Engine};
use crate::gate::{Blame, Refusal};
use crate::ids::NodeId;
use crate::limits::{
    DEFERRED_MS, OFFERED_RUNS_MAX, OFFERS_MAX, RANGE_FRAMES_MAX, RANGES_MAX, RANGES_PER_PEER_MAX,
    RETRY_MS, SEQUENCE_AHEAD_MAX, SEQUENCE_MAX,
};
use crate::store::{Store, StoreError};
use crate::time::{Instant, Now};
use crate::wire::Tag;
use crate::wire::exchange::{FrontierEntry, RangeItem, Request, StreamId};
use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is offered and missing here, and what is being fetched.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    wants: BTreeMap<StreamId, Want>,
    /// How many offers there are in all wants, and runs in them.
    offers: usize,
    runs: usize,
    /// Streams of which a range may be asked for, control streams apart because
    /// they come first, and whose turn was last.
    control: BTreeSet<StreamId>,
    line: BTreeSet<StreamId>,
    turn: Option<StreamId>,
    /// Streams that must wait: an author's quota has to refill.
    deferred: BTreeSet<(Instant, StreamId)>,
    under_way: BTreeMap<RequestId, Asking>,
}

/// A stream in which something is missing here.
#[derive(Debug, Default)]
struct Want {
    offers: BTreeMap<NodeId, Offer>,
    /// Until when it waits, if it does.
    deferred: Option<Instant>,
}

/// What one peer says it holds of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    through: u64,
    /// First and last of each run behind its first gap.
    runs: Vec<(u64, u64)>,
    /// One that is held here too, and looked different: asked for, so that the
    /// fork is seen.
    doubtful: Option<u64>,
}

/// How an envelope came, and so which of its author's buckets it is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By itself.
    Gossip,
    /// Because it was asked for.
    Asked,
}

/// A range that was asked for.
#[derive(Clone, Copy, Debug)]
struct Asking {
    stream: StreamId,
    from: u64,
    to: u64,
    holder: NodeId,
}

/// How catching up goes, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Streams in which something is missing that a peer offers.
    pub streams: u64,
    /// Envelopes missing in them.
    pub missing: u64,
    /// Of the streams, those that wait for a quota.
    pub deferred: u64,
    /// Ranges under way.
    pub ranges: u64,
}

impl Asking {
    /// The sequence of an item, if it belongs to the answer.
    fn place_of(&self, item: &CheckedItem) -> Option<u64> {
        let (stream, header) = match item {
            CheckedItem::Frame(frame) => (frame.value().stream(), frame.value().header()),
            CheckedItem::Remains(checked, _) => {
                (checked.value().stream(), checked.value().header())
            }
        };
        let sequence = header.prefix.class.position()?.sequence;
        (stream == Some(self.stream) && (self.from..=self.to).contains(&sequence))
            .then_some(sequence)
    }
}

enum Next {
    Ask(Asking),
    /// Everybody who offers it is busy.
    Busy,
    /// Nothing more to ask for.
    Nothing,
}

impl Offer {
    /// Reads an entry; none if it is senseless.
    pub(crate) fn of(entry: &FrontierEntry) -> Option<Self> {
        let through = entry.through;
        let mut runs = Vec::new();
        let mut end = through;
        for run in entry.beyond.iter() {
            let first = end.checked_add(u64::from(run.gap))?.checked_add(1)?;
            end = end.checked_add(u64::from(run.gap) + u64::from(run.held))?;
            if run.gap == 0 || run.held == 0 {
                return None;
            }
            runs.push((first, end));
        }
        let makes_sense = end <= SEQUENCE_MAX
            && end - through <= SEQUENCE_AHEAD_MAX
            && entry.head.is_some() == (through > 0);
        makes_sense.then_some(Self {
            through,
            runs,
            doubtful: None,
        })
    }

    pub(crate) const fn doubting(mut self, sequence: u64) -> Self {
        self.doubtful = Some(sequence);
        self
    }

    /// The last of those that are held on end from here, if this one is.
    fn until(&self, sequence: u64) -> Option<u64> {
        if sequence <= self.through {
            return Some(self.through);
        }
        self.runs
            .iter()
            .find(|(first, last)| (*first..=*last).contains(&sequence))
            .map(|(_, last)| *last)
    }

    fn last(&self) -> u64 {
        self.runs.last().map_or(self.through, |(_, last)| *last)
    }

    /// Whether it has something that is missing here and can be taken now.
    pub(crate) fn has_missing(&self, streams: &Streams, stream: &StreamId) -> bool {
        let held = streams.sequence(stream);
        let reach = held + SEQUENCE_AHEAD_MAX;
        self.doubtful.is_some()
            || self.through > held
            || self.runs.iter().any(|(first, last)| {
                (*first..=(*last).min(reach)).any(|sequence| !streams.holds(stream, sequence))
            })
    }
}

impl CatchUp {
    /// Takes an offer. Returns whether there was room for it.
    pub(crate) fn offer(&mut self, stream: StreamId, holder: NodeId, offer: Offer) -> bool {
        self.withdraw(&stream, &holder);
        if self.offers >= OFFERS_MAX || self.runs + offer.runs.len() > OFFERED_RUNS_MAX {
            return false;
        }
        self.offers += 1;
        self.runs += offer.runs.len();
        let want = self.wants.entry(stream).or_default();
        want.offers.insert(holder, offer);
        self.queue(stream);
        true
    }

    /// Forgets what a peer offered of a stream.
    pub(crate) fn withdraw(&mut self, stream: &StreamId, holder: &NodeId) {
        let Some(want) = self.wants.get_mut(stream) else {
            return;
        };
        if let Some(offer) = want.offers.remove(holder) {
            self.offers -= 1;
            self.runs -= offer.runs.len();
        }
        if want.offers.is_empty() {
            if let Some(until) = want.deferred {
                self.deferred.remove(&(until, *stream));
            }
            self.wants.remove(stream);
            self.unqueue(stream);
        }
    }

    /// Forgets what a peer was asked for: it left.
    pub(crate) fn forget(&mut self, holder: &NodeId) {
        let gone: Vec<StreamId> = self
            .under_way
            .values()
            .filter(|asking| asking.holder == *holder)
            .map(|asking| asking.stream)
            .collect();
        self.under_way.retain(|_, asking| asking.holder != *holder);
        for stream in gone {
            self.queue(stream);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deferred.first().map(|(at, _)| *at)
    }

    pub(crate) fn progress(&self, streams: &Streams) -> Progress {
        let missing = self.wants.iter().map(|(stream, want)| {
            let last = want.offers.values().map(Offer::last).max().unwrap_or(0);
            last.saturating_sub(streams.sequence(stream))
        });
        Progress {
            streams: self.wants.len() as u64,
            missing: missing.sum(),
            deferred: self.deferred.len() as u64,
            ranges: self.under_way.len() as u64,
        }
    }

    fn queue(&mut self, stream: StreamId) {
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

    fn defer(&mut self, stream: StreamId, until: Instant) {
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
    fn resume(&mut self, now: Instant) {
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
    fn next_in_line(&mut self) -> Option<StreamId> {
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

    fn under_way_of(&self, holder: &NodeId) -> usize {
        self.under_way
            .values()
            .filter(|asking| asking.holder == *holder)
            .count()
    }

    /// The next range of a stream to ask for.
    fn next(&self, streams: &Streams, stream: &StreamId) -> Next {
        let Some(Want { offers, .. }) = self.wants.get(stream) else {
            return Next::Nothing;
        };
        let free: BTreeMap<&NodeId, (usize, &Offer)> = offers
            .iter()
            .map(|(holder, offer)| (holder, (self.under_way_of(holder), offer)))
            .filter(|(_, (under_way, _))| *under_way < RANGES_PER_PEER_MAX)
            .collect();
        let asked: Vec<(u64, u64)> = self
            .under_way
            .values()
            .filter(|asking| asking.stream == *stream)
            .map(|asking| (asking.from, asking.to))
            .collect();
        let is_missing = |sequence: u64| {
            !streams.holds(stream, sequence)
                && !asked
                    .iter()
                    .any(|(from, to)| (*from..=*to).contains(&sequence))
        };
        let held = streams.sequence(stream);
        let last = offers.values().map(Offer::last).max().unwrap_or(0);
        let reach = last.min(held + SEQUENCE_AHEAD_MAX);
        for from in (held + 1..=reach).filter(|sequence| is_missing(*sequence)) {
            if !offers.values().any(|offer| offer.until(from).is_some()) {
                continue;
            }
            let holders = free
                .iter()
                .filter_map(|(holder, (under_way, offer))| {
                    Some((*under_way, **holder, offer.until(from)?))
                })
                .min();
            let Some((_, holder, until)) = holders else {
                return Next::Busy;
            };
            let end = until.min(reach).min(from + RANGE_FRAMES_MAX as u64 - 1);
            let to = (from..=end)
                .take_while(|sequence| is_missing(*sequence))
                .last()
                .unwrap_or(from);
            return Next::Ask(Asking {
                stream: *stream,
                from,
                to,
                holder,
            });
        }
        let doubt = free
            .iter()
            .find_map(|(holder, (_, offer))| Some((**holder, offer.doubtful?)));
        match doubt {
            Some((holder, sequence)) if asked.is_empty() => Next::Ask(Asking {
                stream: *stream,
                from: sequence,
                to: sequence,
                holder,
            }),
            Some(_) | None => Next::Nothing,
        }
    }
}

impl<S: Store> Engine<S> {
    /// Asks for as much as may be under way.
    pub(super) fn fetch(&mut self, now: Now) {
        self.catch_up.resume(now.mono);
        let mut busy = Vec::new();
        while self.catch_up.under_way.len() < RANGES_MAX
            && let Some(stream) = self.catch_up.next_in_line()
        {
            match self.catch_up.next(&self.streams, &stream) {
                Next::Ask(asking) => {
                    self.catch_up.queue(stream);
                    self.ask_range(asking);
                }
                Next::Busy => busy.push(stream),
                Next::Nothing => self.settle(now, &stream),
            }
        }
        for stream in busy {
            self.catch_up.queue(stream);
        }
    }

    fn ask_range(&mut self, asking: Asking) {
        let Asking {
            stream,
            from,
            to,
            holder,
        } = asking;
        let id = self.ask(holder, Request::Range { stream, from, to }, Asked::Range);
        self.catch_up.under_way.insert(id, asking);
    }

    /// A range came: to the gate with it.
    pub(super) fn on_range(&mut self, now: Now, id: RequestId, mut items: Vec<RangeItem>) {
        let Some(asking) = self.catch_up.under_way.get(&id).copied() else {
            return;
        };
        if items.is_empty() {
            return self.on_no_range(now, id, true);
        }
        // More than was asked for is worth nothing.
        items.truncate(usize::try_from(asking.to - asking.from + 1).unwrap_or(usize::MAX));
        let roster = self.roster();
        self.outputs.push_back(Output::Work(Work::Check {
            id,
            from: asking.holder,
            items,
            roster,
        }));
    }

    /// The holder says that it has nothing of it; or says nothing, and is asked
    /// again.
    pub(super) fn on_no_range(&mut self, now: Now, id: RequestId, for_good: bool) {
        if let Some(asking) = self.catch_up.under_way.remove(&id) {
            self.let_go(now, &asking.stream, &asking.holder, for_good);
            self.settle(now, &asking.stream);
            self.catch_up.queue(asking.stream);
            self.fetch(now);
        }
    }

    /// The question could not be sent from here: later.
    pub(super) fn on_range_not_asked(&mut self, now: Now, id: RequestId) {
        if let Some(asking) = self.catch_up.under_way.remove(&id) {
            self.catch_up
                .defer(asking.stream, now.mono.plus_ms(RETRY_MS));
        }
    }

    /// The items of a range have been through the gate.
    pub(super) fn on_checked(
        &mut self,
        now: Now,
        id: RequestId,
        from: NodeId,
        items: Vec<Result<CheckedItem, Refusal>>,
    ) -> Result<(), StoreError> {
        let asking = self.catch_up.under_way.remove(&id);
        let mut spoiled = false;
        let mut deferred = false;
        let mut for_good = true;
        let mut last = None;
        for checked in items {
            if let (Some(asking), Ok(item)) = (&asking, &checked) {
                let place = asking.place_of(item);
                spoiled |= place.is_none() || place <= last;
                last = place;
            }
            let taken = match checked {
                Err(refusal) => {
                    spoiled |= refusal.blame() == Blame::Forwarder;
                    Err(refusal.into())
                }
                Ok(CheckedItem::Frame(frame)) => {
                    let author = self.missed_by_gossip(frame.value());
                    let taken = self.take(now, from, *frame, Way::Asked)?;
                    if let (Some(author), Ok(())) = (author, &taken) {
                        self.peers.missed_gossip(&author);
                    }
                    taken
                }
                Ok(CheckedItem::Remains(checked, remains)) => {
                    self.take_remains(now, &checked, &remains)?
                }
            };
            deferred |= matches!(taken, Err(NotTaken::Quota { .. }));
            for_good &= taken.as_ref().err().is_none_or(NotTaken::is_for_good);
            self.note_not_taken(from, taken);
        }
        // A peer that left meanwhile has nothing under way any more; what it
        // brought is taken all the same.
        if let Some(asking) = asking {
            let stream = asking.stream;
            let came =
                (asking.from..=asking.to).any(|sequence| self.streams.holds(&stream, sequence));
            if spoiled {
                // It serves what the gate rejects: the link is closed, and the
                // same is asked elsewhere. The transport calls it again ever
                // later.
                self.let_go(now, &stream, &from, true);
                self.outputs.push_back(Output::Reconnect { node: from });
            } else if deferred {
                self.catch_up.defer(stream, now.mono.plus_ms(DEFERRED_MS));
            } else if !came || asking.to <= self.doubt_of(&stream, &from) {
                self.let_go(now, &stream, &from, for_good);
            }
            self.settle(now, &stream);
            self.catch_up.queue(stream);
        }
        self.fetch(now);
        self.start_pulls(now)?;
        self.start_opening()
    }

    /// The sequence about which an offer was in doubt, or 0.
    fn doubt_of(&self, stream: &StreamId, holder: &NodeId) -> u64 {
        self.catch_up
            .wants
            .get(stream)
            .and_then(|want| want.offers.get(holder))
            .and_then(|offer| offer.doubtful)
            .unwrap_or(0)
    }

    /// What a holder offered of a stream is dealt with, for good or until it
    /// is offered again.
    fn let_go(&mut self, now: Now, stream: &StreamId, holder: &NodeId, for_good: bool) {
        self.catch_up.withdraw(stream, holder);
        self.dealt_with(now, holder, stream, for_good);
    }

    /// Lets go of every offer of a stream that has nothing more to give.
    fn settle(&mut self, now: Now, stream: &StreamId) {
        let Some(want) = self.catch_up.wants.get(stream) else {
            return;
        };
        let done: Vec<NodeId> = want
            .offers
            .iter()
            .filter(|(_, offer)| !offer.has_missing(&self.streams, stream))
            .map(|(holder, _)| *holder)
            .collect();
        for holder in done {
            self.let_go(now, stream, &holder, true);
        }
    }
}
