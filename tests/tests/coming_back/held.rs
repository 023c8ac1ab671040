//! What a store holds of one stream.

use std::collections::BTreeMap;

use watchfire_node::disk::SledStore;
use watchfire_protocol::gate::{check, envelope_id};
use watchfire_protocol::ids::EnvelopeId;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::Store as _;
use watchfire_protocol::table::{self, Arrival, LogEntry, StreamRow};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::StreamId;

/// The sequences held of a stream, each with the number and the time at which
/// it was taken.
#[derive(Debug, Default)]
pub(crate) struct Held {
    at: BTreeMap<u64, (Arrival, u64)>,
    through: u64,
}

impl Held {
    /// Reads it, and fails where the store contradicts itself: every value
    /// with its checksum, every frame through the gate and chained to the one
    /// before, nothing twice and nothing besides.
    pub(crate) fn of(store: &SledStore, stream: &StreamId, roster: &Roster, at: &str) -> Self {
        let report = store.check(10).unwrap();
        assert!(
            report.damaged.is_empty() && report.is_sum_right,
            "{at}: {report:?}"
        );
        assert_eq!(
            store.scan(b"X", b"X", usize::MAX).unwrap(),
            [],
            "{at}: evidence"
        );
        let log: BTreeMap<Vec<u8>, LogEntry> = store
            .scan(b"L", b"L", usize::MAX)
            .unwrap()
            .into_iter()
            .map(|(key, value)| (key, codec::decode(&value, 1 << 17).unwrap()))
            .collect();
        let mut held = Self::default();
        let mut before: Option<(u64, EnvelopeId)> = None;
        let prefix = table::sequences(stream);
        for (key, value) in store.scan(&prefix, &prefix, usize::MAX).unwrap() {
            let sequence = table::stream_of(&key).unwrap().1.unwrap();
            let id: EnvelopeId = codec::decode(&value, 32).unwrap();
            let arrival = store.get(&table::envelope(&id)).unwrap().unwrap();
            let arrival: Arrival = codec::decode(&arrival, 9).unwrap();
            let entry = log.get(&table::log(arrival));
            let entry = entry.unwrap_or_else(|| panic!("{at}: {sequence} is not in the log"));
            let frame = check(entry.frame.as_slice(), roster).unwrap();
            assert_eq!(
                envelope_id(&frame),
                id,
                "{at}: another stands at {sequence}"
            );
            let position = frame.value().header().prefix.class.position().unwrap();
            assert_eq!(position.sequence, sequence, "{at}");
            if let Some((last, previous)) = before
                && last + 1 == sequence
            {
                assert_eq!(
                    position.previous,
                    Some(previous),
                    "{at}: the chain is cut at {sequence}"
                );
            }
            before = Some((sequence, id));
            held.at.insert(sequence, (arrival, entry.received_ms));
        }
        assert_eq!(
            held.at.len(),
            log.len(),
            "{at}: the log holds the stream, each of it once, and nothing else"
        );
        let row: Option<StreamRow> = store
            .get(&table::stream(stream))
            .unwrap()
            .map(|value| codec::decode(&value, 80).unwrap());
        let through = row.and_then(|row| row.through);
        held.through = through.map_or(0, |through| through.sequence);
        let gapless = (1..).zip(held.at.keys()).take_while(|(n, at)| n == *at);
        assert_eq!(held.through, gapless.count() as u64, "{at}: the frontier");
        held
    }

    /// How many are held.
    pub(crate) fn count(&self) -> u64 {
        self.at.len() as u64
    }

    /// Whether the envelope at this place is held.
    pub(crate) fn has(&self, sequence: u64) -> bool {
        self.at.contains_key(&sequence)
    }

    /// The largest n for which 1 to n are held.
    pub(crate) const fn through(&self) -> u64 {
        self.through
    }

    /// How many are held above a sequence.
    pub(crate) fn above(&self, sequence: u64) -> usize {
        self.at.range(sequence + 1..).count()
    }

    /// Whether everything here is there as well, and was not taken again.
    pub(crate) fn is_kept_in(&self, later: &Self) -> bool {
        self.at
            .iter()
            .all(|(sequence, taken)| later.at.get(sequence) == Some(taken))
    }
}
