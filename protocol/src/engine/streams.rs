//! What is held of each stream, and whether an envelope fits there.

use crate::ids::EnvelopeId;
use crate::limits::{FRONTIER_ENTRIES_MAX, SEQUENCE_AHEAD_MAX, STREAMS_PER_NODE_MAX};
use crate::table::Through;
use crate::wire::codec;
use crate::wire::envelope::Position;
use crate::wire::exchange::{FrontierEntry, StreamId};
use crate::wire::kind::FRONTIER;
use std::collections::BTreeMap;

/// Every stream this node follows.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: BTreeMap<StreamId, Stream>,
}

/// One stream: held up to a point without gaps, and some beyond it.
#[derive(Debug, Default)]
struct Stream {
    through: Option<Through>,
    /// Those beyond the first gap, with the id each cites as the one before.
    ahead: BTreeMap<u64, (EnvelopeId, Option<EnvelopeId>)>,
    /// Epoch and creation time of the newest that was taken, and its sequence.
    cited: Option<(u64, (u64, u64))>,
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

impl Stream {
    fn sequence(&self) -> u64 {
        self.through.map_or(0, |through| through.sequence)
    }

    /// Moves over what lies beyond and now follows.
    fn advance(&mut self) {
        while let Some(entry) = self.ahead.first_entry()
            && *entry.key() == self.through.map_or(0, |through| through.sequence) + 1
        {
            let sequence = *entry.key();
            let (head, _) = entry.remove();
            self.through = Some(Through { sequence, head });
        }
    }
}

impl Streams {
    /// Takes a stream as the store has it.
    pub(crate) fn restore(
        &mut self,
        id: StreamId,
        through: Option<Through>,
        ahead: Vec<(u64, EnvelopeId)>,
    ) {
        let stream = self.streams.entry(id).or_default();
        stream.through = through;
        // What they cite was checked when they were taken, against whatever
        // neighbour there was; the gap before the first has none.
        stream.ahead = ahead
            .into_iter()
            .map(|(sequence, id)| (sequence, (id, None)))
            .collect();
        stream.advance();
    }

    pub(crate) fn fit(&self, id: &StreamId, position: &Position, envelope: &EnvelopeId) -> Fit {
        let Some(stream) = self.streams.get(id) else {
            let of_node = self
                .streams
                .keys()
                .filter(|other| other.node == id.node && other.incarnation == id.incarnation);
            return if of_node.count() >= STREAMS_PER_NODE_MAX {
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
            Some((_, Some(cited))) if cited != envelope => Fit::Unchained,
            Some(_) | None => Fit::Fits,
        }
    }

    /// Takes an envelope that fits. Returns the new gapless end if it moved.
    pub(crate) fn insert(
        &mut self,
        id: StreamId,
        position: &Position,
        envelope: EnvelopeId,
    ) -> Option<Through> {
        let stream = self.streams.entry(id).or_default();
        let before = stream.through;
        stream
            .ahead
            .insert(position.sequence, (envelope, position.previous));
        stream.advance();
        stream.through.filter(|through| Some(*through) != before)
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

    pub(crate) fn entries(&self) -> impl Iterator<Item = FrontierEntry> {
        self.streams.iter().filter_map(|(stream, held)| {
            held.through.map(|through| FrontierEntry {
                stream: *stream,
                through: through.sequence,
                head: through.head,
            })
        })
    }

    /// One answer's worth of entries after a stream, and whether there are more.
    pub(crate) fn page(&self, after: Option<StreamId>) -> (Vec<FrontierEntry>, bool) {
        let mut entries: Vec<_> = self
            .entries()
            .filter(|entry| after.is_none_or(|after| entry.stream > after))
            .take(FRONTIER_ENTRIES_MAX + 1)
            .collect();
        let more = entries.len() > FRONTIER_ENTRIES_MAX;
        entries.truncate(FRONTIER_ENTRIES_MAX);
        (entries, more)
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut stream = FRONTIER.stream();
        for entry in self.entries() {
            stream.update(&codec::encode(&entry));
        }
        stream.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::wire::Tag;

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
        let moved = streams.insert(STREAM, &at(2), id(2)).unwrap();
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
        assert_eq!(streams.fit(&STREAM, &at(2), &id(8)), Fit::Unchained);
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

    #[test]
    fn the_digest_follows_the_frontier() {
        let mut streams = Streams::default();
        let empty = streams.digest();
        streams.insert(STREAM, &at(1), id(1));
        let one = streams.digest();
        assert_ne!(empty, one);
        streams.insert(STREAM, &at(3), id(3));
        assert_eq!(one, streams.digest());
    }
}
