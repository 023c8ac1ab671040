//! What is held of each stream, whether an envelope fits there, and what
//! changed since a mark.

use crate::ids::EnvelopeId;
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
use std::collections::BTreeMap;

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
        let row = StreamRow {
            through: stream.through,
            born: stream.born,
            changed: stream.changed,
        };
        (row, displaced)
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

    /// The largest n for which 1 to n are all held.
    pub(crate) fn sequence(&self, id: &StreamId) -> u64 {
        self.streams.get(id).map_or(0, Stream::sequence)
    }

    /// What is missing and could be taken: gaps that ascend, the last of them
    /// as far as anything may be taken ahead.
    pub(crate) fn missing(&self, id: &StreamId) -> Vec<(u64, u64)> {
        let held = self.sequence(id);
        let reach = held + SEQUENCE_AHEAD_MAX;
        let mut gaps = Vec::new();
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::ids::NodeId;

    const STREAM: StreamId = StreamId {
        node: NodeId::from_bytes([1; 32]),
        incarnation: 1,
        tag: Tag::PUBLIC,
    };

    fn id(sequence: u64) -> EnvelopeId {
        EnvelopeId::from_bytes([u8::try_from(sequence).unwrap(); 32])
    }

    fn at(sequence: u64) -> Position {
        Position {
            tag: Tag::PUBLIC,
            sequence,
            previous: (sequence > 1).then(|| id(sequence - 1)),
        }
    }

    #[test]
    fn a_gap_closes() {
        let mut streams = Streams::default();
        for sequence in [1, 3, 4] {
            assert_eq!(
                streams.fit(&STREAM, &at(sequence), &id(sequence)),
                Fit::Fits
            );
            streams.insert(STREAM, &at(sequence), id(sequence));
        }
        assert_eq!(streams.through(&STREAM).unwrap().sequence, 1);
        let moved = streams.insert(STREAM, &at(2), id(2)).0.through.unwrap();
        assert_eq!((moved.sequence, moved.head), (4, id(4)));
        assert_eq!(streams.fit(&STREAM, &at(3), &id(3)), Fit::Below);
    }

    #[test]
    fn forks_and_jumps_do_not_fit() {
        let mut streams = Streams::default();
        streams.insert(STREAM, &at(1), id(1));
        streams.insert(STREAM, &at(3), id(3));
        let fork = Position {
            previous: Some(id(9)),
            ..at(2)
        };
        assert_eq!(streams.fit(&STREAM, &fork, &id(2)), Fit::Unchained);
        // Behind the gapless part what comes from below decides; elsewhere not.
        assert_eq!(streams.fit(&STREAM, &at(2), &id(8)), Fit::Fits);
        streams.insert(STREAM, &at(6), id(6));
        assert_eq!(streams.fit(&STREAM, &at(5), &id(8)), Fit::Unchained);
        assert_eq!(streams.fit(&STREAM, &at(3), &id(7)), Fit::Taken);
        let far = Position {
            sequence: 1 + SEQUENCE_AHEAD_MAX + 1,
            ..at(2)
        };
        assert_eq!(streams.fit(&STREAM, &far, &id(2)), Fit::TooFarAhead);
        let first_far = StreamId {
            incarnation: 2,
            ..STREAM
        };
        assert_eq!(streams.fit(&first_far, &far, &id(2)), Fit::TooFarAhead);
    }

    #[test]
    fn streams_of_a_node_are_bounded() {
        let mut streams = Streams::default();
        for tag in 0..STREAMS_PER_NODE_MAX {
            let stream = StreamId {
                tag: Tag::from_bytes([u8::try_from(tag).unwrap(); 16]),
                ..STREAM
            };
            assert_eq!(streams.fit(&stream, &at(1), &id(1)), Fit::Fits);
            streams.insert(stream, &at(1), id(1));
        }
        let one_more = StreamId {
            tag: Tag::from_bytes([255; 16]),
            ..STREAM
        };
        assert_eq!(streams.fit(&one_more, &at(1), &id(1)), Fit::TooManyStreams);
    }

    const STORE: StoreId = StoreId([7; 16]);

    fn of_life(incarnation: u64) -> StreamId {
        StreamId {
            incarnation,
            ..STREAM
        }
    }

    #[test]
    fn the_place_behind_the_gapless_part_is_decided_from_below() {
        let mut streams = Streams::default();
        streams.insert(STREAM, &at(1), id(1));
        // A third that cites a second which nobody has, and a fourth on it.
        let poisoned = Position {
            previous: Some(id(9)),
            ..at(3)
        };
        streams.insert(STREAM, &poisoned, id(8));
        assert_eq!(streams.fit(&STREAM, &at(2), &id(2)), Fit::Fits);
        let (row, displaced) = streams.insert(STREAM, &at(2), id(2));
        assert_eq!(row.through.unwrap().sequence, 2);
        let lost = Displaced {
            sequence: 3,
            envelope: id(8),
        };
        assert_eq!(displaced, Some(lost));
        assert_eq!(streams.fit(&STREAM, &at(3), &id(3)), Fit::Fits);
        let (row, displaced) = streams.insert(STREAM, &at(3), id(3));
        assert_eq!((row.through.unwrap().sequence, displaced), (3, None));
    }

    #[test]
    fn a_page_lists_each_changed_stream_once_and_as_it_now_is() {
        let mut streams = Streams::default();
        for life in [2, 3, 2] {
            let sequence = streams.sequence(&of_life(life)) + 1;
            streams.insert(of_life(life), &at(sequence), id(sequence));
        }
        let page = streams.page(0, false, &STORE);
        let listed: Vec<_> = page
            .entries
            .iter()
            .map(|entry| (entry.name, entry.through))
            .collect();
        assert_eq!(
            listed,
            [
                (StreamName::Full(of_life(3)), 1),
                (StreamName::Full(of_life(2)), 2)
            ]
        );
        assert_eq!((page.at, page.more), (3, false));
        // Nothing since: nothing is said, and the mark stays.
        let page = streams.page(3, false, &STORE);
        assert_eq!((page.entries.len(), page.at), (0, 3));
        // One that was told before is named shortly, a new one in full.
        streams.insert(of_life(3), &at(2), id(2));
        streams.insert(of_life(4), &at(1), id(1));
        let names = |full| {
            let page = streams.page(3, full, &STORE);
            page.entries
                .iter()
                .map(|entry| entry.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(false),
            [
                StreamName::Short(of_life(3).short(&STORE)),
                StreamName::Full(of_life(4))
            ]
        );
        assert_eq!(
            names(true),
            [StreamName::Full(of_life(3)), StreamName::Full(of_life(4))]
        );
    }

    #[test]
    fn what_is_sealed_is_neither_listed_nor_counted() {
        let mut streams = Streams::default();
        streams.insert(STREAM, &at(1), id(1));
        let before = streams.page(0, false, &STORE);
        let sealed = StreamId {
            tag: Tag::from_bytes([9; 16]),
            ..STREAM
        };
        streams.insert(sealed, &at(1), id(1));
        let after = streams.page(0, false, &STORE);
        assert_eq!((before.at, before.entries), (after.at, after.entries));
    }

    #[test]
    fn pages_are_bounded_and_go_on_where_they_ended() {
        let mut streams = Streams::default();
        let lives = u64::try_from(FRONTIER_ENTRIES_MAX).unwrap() + 10;
        for life in 0..lives {
            streams.insert(of_life(life), &at(1), id(1));
        }
        let first = streams.page(0, false, &STORE);
        assert!(first.more && first.entries.len() == FRONTIER_ENTRIES_MAX);
        let second = streams.page(first.at, false, &STORE);
        assert!(!second.more && second.entries.len() == 10);
        let names = first.entries.iter().chain(&second.entries);
        let names = names.map(|entry| match entry.name {
            StreamName::Full(stream) => stream.incarnation,
            StreamName::Short(short) => panic!("{short:?} was never told"),
        });
        assert_eq!(names.collect::<Vec<_>>(), (0..lives).collect::<Vec<_>>());
    }

    #[test]
    fn what_lies_behind_gaps_is_told_as_runs() {
        let mut streams = Streams::default();
        for sequence in [1, 2, 5, 6, 7, 9] {
            streams.insert(STREAM, &at(sequence), id(sequence));
        }
        let entry = streams.page(0, false, &STORE).entries.remove(0);
        assert_eq!(entry.through, 2);
        let runs = [Run { gap: 2, run: 3 }, Run { gap: 1, run: 1 }];
        assert_eq!(entry.beyond.as_slice(), runs);
    }

    #[test]
    fn a_short_name_stands_for_one_known_stream() {
        let mut streams = Streams::default();
        streams.insert(STREAM, &at(1), id(1));
        let named = streams.by_short(&STORE);
        assert_eq!(named.get(&STREAM.short(&STORE)), Some(&Some(STREAM)));
        // In the answers of another store it has another.
        assert_ne!(STREAM.short(&STORE), STREAM.short(&StoreId([8; 16])));
    }
}
