//! What is held of each stream, whether an envelope fits there, and what
//! changed since a mark.

use crate::ids::{EnvelopeId, NodeId};
use crate::limits::{
    FRONTIER_BYTES_MAX, FRONTIER_ENTRIES_MAX, FRONTIER_RUNS_MAX, LIST_LENGTH_BYTES_MAX,
    SEQUENCE_AHEAD_MAX, STREAMS_PER_NODE_MAX,
};
use crate::table::{StreamRow, Through};
use crate::wire::envelope::Position;
use crate::wire::exchange::{
    FrontierEntry, Run, ShortName, StoreId, StreamId, StreamName, head_of,
};
use crate::wire::{List, Tag, codec};
use std::collections::{BTreeMap, BTreeSet};

/// Places of one stream that are fetched back while the node runs. A disk that
/// lost more than some is mended with the node ended: what is read of them then
/// is damaged still, and is removed by the next start.
const LOST_PER_STREAM_MAX: usize = 1_024;

/// Every stream this node follows.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: BTreeMap<StreamId, Stream>,
    /// Each open stream once, by its last change. What is sealed is counted
    /// nowhere.
    changes: BTreeMap<u64, StreamId>,
    newest: u64,
}

/// One stream: held up to a point without gaps, and some beyond it.
#[derive(Debug, Default)]
struct Stream {
    through: Option<Through>,
    /// Those beyond the first gap, with the id each cites as the one before.
    ahead: BTreeMap<u64, (EnvelopeId, Option<EnvelopeId>)>,
    /// Places whose envelope the store cannot read any more.
    lost: BTreeSet<u64>,
    /// Epoch and creation time of the newest that was taken, and its sequence.
    cited: Option<(u64, (u64, u64))>,
    /// The change with which it began, and its last; 0 where it is sealed.
    born: u64,
    changed: u64,
}

/// An envelope that lost its place to one that fits from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Displaced {
    pub(crate) sequence: u64,
    pub(crate) envelope: EnvelopeId,
}

/// Where an envelope would stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It can be taken.
    Fits,
    /// At or below the gapless part: the store knows what is there.
    Below,
    /// Another envelope is held there.
    Taken,
    /// Its neighbour and it do not cite each other.
    Unchained,
    /// Too far beyond what is held.
    TooFarAhead,
    /// Its author has too many streams.
    TooManyStreams,
}

/// A page of what changed.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<FrontierEntry>,
    /// Where the next page begins.
    pub(crate) at: u64,
    pub(crate) more: bool,
}

impl Stream {
    fn sequence(&self) -> u64 {
        self.through.map_or(0, |through| through.sequence)
    }

    const fn row(&self) -> StreamRow {
        StreamRow {
            through: self.through,
            born: self.born,
            changed: self.changed,
        }
    }

    /// Moves over what lies beyond and now follows. What does not cite the one
    /// before it loses its place: it is decided from below.
    fn advance(&mut self) -> Option<Displaced> {
        while let Some(entry) = self.ahead.first_entry()
            && *entry.key() == self.through.map_or(0, |through| through.sequence) + 1
        {
            let sequence = *entry.key();
            let (envelope, cited) = entry.remove();
            let before = self.through.map(|through| through.head);
            if cited.is_some() && before.is_some() && cited != before {
                return Some(Displaced { sequence, envelope });
            }
            self.through = Some(Through {
                sequence,
                head: envelope,
            });
        }
        None
    }

    /// What is held behind the first gap, as far as an entry tells.
    fn beyond(&self) -> List<Run, FRONTIER_RUNS_MAX> {
        let mut runs: Vec<Run> = Vec::new();
        let mut end = self.sequence();
        for sequence in self.ahead.keys() {
            match runs.last_mut() {
                Some(run) if *sequence == end + 1 => run.run = run.run.saturating_add(1),
                Some(_) | None => {
                    if runs.len() == FRONTIER_RUNS_MAX {
                        break;
                    }
                    // Nothing is taken further ahead than 4,096.
                    let gap = u16::try_from(sequence - end - 1).unwrap_or(u16::MAX);
                    runs.push(Run { gap, run: 1 });
                }
            }
            end = *sequence;
        }
        List::new(runs).unwrap_or_default()
    }
}

impl Streams {
    /// Takes a stream as the store has it, with what each of those beyond its
    /// first gap cites.
    pub(crate) fn restore(
        &mut self,
        id: StreamId,
        row: StreamRow,
        ahead: Vec<(u64, EnvelopeId, Option<EnvelopeId>)>,
    ) {
        let reach = row.through.map_or(0, |through| through.sequence) + SEQUENCE_AHEAD_MAX;
        let mut stream = Stream {
            through: row.through,
            ahead: ahead
                .into_iter()
                .filter(|(sequence, ..)| *sequence <= reach)
                .map(|(sequence, id, cited)| (sequence, (id, cited)))
                .collect(),
            lost: BTreeSet::new(),
            cited: None,
            born: row.born,
            changed: row.changed,
        };
        let _ = stream.advance();
        if id.tag.is_reserved() {
            self.newest = self.newest.max(row.changed);
            self.changes.insert(row.changed, id);
        }
        self.streams.insert(id, stream);
    }

    pub(crate) fn fit(&self, id: &StreamId, position: &Position, envelope: &EnvelopeId) -> Fit {
        let Some(stream) = self.streams.get(id) else {
            let first = StreamId {
                tag: Tag::from_bytes([0; 16]),
                ..*id
            };
            let of_life = self
                .streams
                .range(first..)
                .take(STREAMS_PER_NODE_MAX)
                .take_while(|(other, _)| {
                    other.node == id.node && other.incarnation == id.incarnation
                });
            return if of_life.count() >= STREAMS_PER_NODE_MAX {
                Fit::TooManyStreams
            } else if position.sequence > SEQUENCE_AHEAD_MAX {
                Fit::TooFarAhead
            } else {
                Fit::Fits
            };
        };
        let at = position.sequence;
        if at <= stream.sequence() {
            return Fit::Below;
        }
        if at - stream.sequence() > SEQUENCE_AHEAD_MAX {
            return Fit::TooFarAhead;
        }
        if stream.ahead.contains_key(&at) {
            return Fit::Taken;
        }
        let before = if at == stream.sequence() + 1 {
            stream.through.map(|through| through.head)
        } else {
            stream.ahead.get(&(at - 1)).map(|(id, _)| *id)
        };
        if before.is_some() && before != position.previous {
            return Fit::Unchained;
        }
        match stream.ahead.get(&(at + 1)) {
            // The place behind the gapless part is decided from below.
            Some(_) if at == stream.sequence() + 1 => Fit::Fits,
            Some((_, Some(cited))) if cited != envelope => Fit::Unchained,
            Some(_) | None => Fit::Fits,
        }
    }

    /// Takes an envelope that fits. Returns the stream's row as it now is, and
    /// what lost its place to it.
    pub(crate) fn insert(
        &mut self,
        id: StreamId,
        position: &Position,
        envelope: EnvelopeId,
    ) -> (StreamRow, Option<Displaced>) {
        let stream = self.streams.entry(id).or_default();
        if id.tag.is_reserved() {
            self.newest += 1;
            self.changes.remove(&stream.changed);
            self.changes.insert(self.newest, id);
            stream.changed = self.newest;
            if stream.born == 0 {
                stream.born = self.newest;
            }
        }
        let mut displaced = None;
        if position.sequence > stream.sequence() {
            stream
                .ahead
                .insert(position.sequence, (envelope, position.previous));
            displaced = stream.advance();
        }
        (stream.row(), displaced)
    }

    /// Counts a place as missing although something stands there: the store
    /// cannot read it. Returns whether it does from now on.
    pub(crate) fn lose(&mut self, id: &StreamId, sequence: u64) -> bool {
        let Some(stream) = self.streams.get_mut(id) else {
            return false;
        };
        let is_held = sequence <= stream.sequence() || stream.ahead.contains_key(&sequence);
        is_held && stream.lost.len() < LOST_PER_STREAM_MAX && stream.lost.insert(sequence)
    }

    /// What was lost has come back. It is a change: whoever asked for it while
    /// it was lost hears of it now. Returns the stream's row as it now is.
    pub(crate) fn found(&mut self, id: &StreamId, sequence: u64) -> Option<StreamRow> {
        let stream = self.streams.get_mut(id)?;
        stream.lost.remove(&sequence);
        if id.tag.is_reserved() {
            self.newest += 1;
            self.changes.remove(&stream.changed);
            self.changes.insert(self.newest, *id);
            stream.changed = self.newest;
        }
        Some(stream.row())
    }

    /// Whether a place is one that was lost.
    pub(crate) fn is_lost(&self, id: &StreamId, sequence: u64) -> bool {
        let stream = self.streams.get(id);
        stream.is_some_and(|stream| stream.lost.contains(&sequence))
    }

    /// How many places of a stream are lost.
    pub(crate) fn lost(&self, id: &StreamId) -> usize {
        self.streams.get(id).map_or(0, |stream| stream.lost.len())
    }

    /// How many places of all streams are lost.
    pub(crate) fn all_lost(&self) -> u64 {
        let lost = self.streams.values().map(|stream| stream.lost.len() as u64);
        lost.sum()
    }

    /// A stream as it is kept.
    pub(crate) fn row(&self, id: &StreamId) -> Option<StreamRow> {
        self.streams.get(id).map(Stream::row)
    }

    /// Whether something beyond a gap is held.
    pub(crate) fn has_gap(&self, id: &StreamId) -> bool {
        self.streams
            .get(id)
            .is_some_and(|stream| !stream.ahead.is_empty())
    }

    /// Whether epoch or creation time go back against the newest that was
    /// taken in this run. A time of 0 is one that cannot be read.
    pub(crate) fn decreases(
        &self,
        id: &StreamId,
        position: &Position,
        (epoch, created_ms): (u64, u64),
    ) -> bool {
        let Some((sequence, (newest_epoch, newest_ms))) =
            self.streams.get(id).and_then(|stream| stream.cited)
        else {
            return false;
        };
        position.sequence > sequence
            && (epoch < newest_epoch || (created_ms > 0 && created_ms < newest_ms))
    }

    pub(crate) fn note_cited(&mut self, id: &StreamId, position: &Position, cited: (u64, u64)) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream
                .cited
                .is_none_or(|(sequence, _)| position.sequence > sequence)
        {
            stream.cited = Some((position.sequence, cited));
        }
    }

    pub(crate) fn through(&self, id: &StreamId) -> Option<Through> {
        self.streams.get(id).and_then(|stream| stream.through)
    }

    /// The nodes of whom a stream is held.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        self.streams.keys().map(|stream| stream.node).collect()
    }

    /// The streams of a node, of all its lives.
    pub(crate) fn of_node(&self, node: &NodeId) -> Vec<StreamId> {
        self.streams
            .keys()
            .filter(|stream| stream.node == *node)
            .copied()
            .collect()
    }

    /// Where the streams of a life of a node end, by ascending tag.
    pub(crate) fn ends_of(
        &self,
        node: &NodeId,
        incarnation: u64,
    ) -> impl Iterator<Item = (Tag, Through)> {
        self.streams
            .iter()
            .filter(move |(id, _)| id.node == *node && id.incarnation == incarnation)
            .filter_map(|(id, stream)| Some((id.tag, stream.through?)))
    }

    /// What stands at the end of the gapless part or beyond a gap; of the rest
    /// the store knows.
    pub(crate) fn at(&self, id: &StreamId, sequence: u64) -> Option<EnvelopeId> {
        let stream = self.streams.get(id)?;
        match stream.through {
            Some(through) if through.sequence == sequence => Some(through.head),
            Some(_) | None => stream.ahead.get(&sequence).map(|(id, _)| *id),
        }
    }

    /// The largest sequence held of a stream, behind a gap or not.
    pub(crate) fn last(&self, id: &StreamId) -> u64 {
        self.streams.get(id).map_or(0, |stream| {
            let ahead = stream.ahead.last_key_value().map_or(0, |(last, _)| *last);
            ahead.max(stream.sequence())
        })
    }

    /// The largest n for which 1 to n are all held.
    pub(crate) fn sequence(&self, id: &StreamId) -> u64 {
        self.streams.get(id).map_or(0, Stream::sequence)
    }

    /// What is missing and could be taken: gaps that ascend, the last of them
    /// as far as anything may be taken ahead. What is lost is missing too.
    pub(crate) fn missing(&self, id: &StreamId) -> Vec<(u64, u64)> {
        let held = self.sequence(id);
        let reach = held + SEQUENCE_AHEAD_MAX;
        let mut gaps: Vec<(u64, u64)> = Vec::new();
        let lost = self.streams.get(id).map(|stream| &stream.lost);
        for sequence in lost.into_iter().flatten() {
            match gaps.last_mut() {
                Some((_, last)) if *sequence == *last + 1 => *last = *sequence,
                Some(_) | None => gaps.push((*sequence, *sequence)),
            }
        }
        let are_lost = !gaps.is_empty();
        let mut from = held + 1;
        let ahead = self.streams.get(id).map(|stream| &stream.ahead);
        for sequence in ahead.into_iter().flat_map(BTreeMap::keys) {
            if *sequence > from {
                gaps.push((from, sequence - 1));
            }
            from = sequence + 1;
        }
        if from <= reach {
            gaps.push((from, reach));
        }
        if are_lost {
            gaps.sort_unstable();
        }
        gaps
    }

    /// How many changes there have been.
    pub(crate) const fn newest(&self) -> u64 {
        self.newest
    }

    /// The open streams by the short names that a store gives them; none where
    /// two share one.
    pub(crate) fn by_short(&self, store: &StoreId) -> BTreeMap<ShortName, Option<StreamId>> {
        let mut named = BTreeMap::new();
        for id in self.changes.values() {
            named
                .entry(id.short(store))
                .and_modify(|known| *known = None)
                .or_insert(Some(*id));
        }
        named
    }

    /// What changed after a moment; everything after 0. `full` asks for full
    /// names, and `store` is whose answer this becomes.
    pub(crate) fn page(&self, since: u64, full: bool, store: &StoreId) -> Page {
        let mut page = Page {
            entries: Vec::new(),
            at: since,
            more: false,
        };
        let mut bytes = 0;
        for (change, id) in self.changes.range(since + 1..) {
            let Some(stream) = self.streams.get(id) else {
                continue;
            };
            let entry = FrontierEntry {
                name: if stream.born <= since && !full {
                    StreamName::Short(id.short(store))
                } else {
                    StreamName::Full(*id)
                },
                through: stream.sequence(),
                head: stream.through.map(|through| head_of(store, &through.head)),
                beyond: stream.beyond(),
            };
            bytes += codec::encode(&entry).len();
            if page.entries.len() == FRONTIER_ENTRIES_MAX
                || bytes > FRONTIER_BYTES_MAX - LIST_LENGTH_BYTES_MAX
            {
                page.more = true;
                return page;
            }
            page.entries.push(entry);
            page.at = *change;
        }
        page.at = self.newest;
        page
    }
}

#[cfg(test)]
mod tests;
