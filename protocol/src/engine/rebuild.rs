//! Making every index again from the truth: log, retained headers, chunks and
//! certificates.
//!
//! What this leaves to be opened is opened by the engine at its next start, so
//! that an index entry always comes from a payload that was checked again.

use std::collections::{BTreeMap, BTreeSet};

use super::opening::{LoggedFrame, header_of_frame};
use super::streams::Streams;
use super::{Staged, damaged, for_each, restore_certificates};
use crate::ids::EnvelopeId;
use crate::limits::{FRAME_BYTES_MAX, HEADER_BYTES_MAX, SEQUENCE_AHEAD_MAX};
use crate::roster::Roster;
use crate::store::{Batch, Store, StoreError};
use crate::table::{self, Arrival, LogEntry, Outcome};
use crate::wire::chunk_tree::leaf;
use crate::wire::codec;
use crate::wire::envelope::{Header, Position, SignedBytes};
use crate::wire::exchange::StreamId;
use watchfire_crypto::Statement;

/// What rebuilding found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Envelopes, whole or as headers.
    pub envelopes: u64,
    /// Of those, how many are left to be opened.
    pub unopened: u64,
    /// Log entries that do not read, or whose certificate is not known: they
    /// stay in the log and are in no index.
    pub unreadable: u64,
    /// Log entries of a place that an earlier one holds: they stay in the log
    /// and are in no index.
    pub repeated: u64,
    /// Log entries so far beyond a gap in their stream that a node would not
    /// have taken them: they stay in the log and are in no index. Peers bring
    /// what the gap lacks and then these; or rebuild again once it is closed.
    pub beyond: u64,
}

/// Changes in one batch.
const BATCH_KEYS_MAX: usize = 10_000;

/// Deletes every index and makes it again. No engine may use the store.
///
/// # Errors
/// When the store fails. It can be run again then.
pub fn rebuild<S: Store>(store: &S, roster: &Roster) -> Result<Rebuilt, StoreError> {
    let staged = Staged::new(store);
    let mut roster = roster.clone();
    restore_certificates(&staged, &mut roster)?;
    for index in table::INDEXES {
        remove_all(store, &[*index])?;
    }
    let mut work = Rebuild {
        store,
        roster,
        streams: Streams::default(),
        batch: Batch::default(),
        places: BTreeMap::new(),
        reach: BTreeMap::new(),
        found: Rebuilt::default(),
    };
    let arrivals = arrivals(&staged)?;
    work.survey(&arrivals)?;
    for (arrival, entry) in arrivals {
        work.entry(arrival, entry)?;
    }
    work.write()?;
    store.flush()?;
    Ok(work.found)
}

/// Where each envelope is, in the order of arrival: keys alone, so that a
/// large log costs little.
fn arrivals<S: Store>(staged: &Staged<S>) -> Result<BTreeMap<Arrival, Vec<u8>>, StoreError> {
    let mut arrivals = BTreeMap::new();
    for prefix in [b"L", b"R"] {
        for_each(staged, prefix, |key, _| {
            let arrival = table::arrival_of(key).ok_or_else(|| damaged(key))?;
            arrivals.insert(arrival, key.to_vec());
            Ok(())
        })?;
    }
    Ok(arrivals)
}

fn remove_all<S: Store>(store: &S, prefix: &[u8]) -> Result<(), StoreError> {
    loop {
        let entries = store.scan(prefix, prefix, BATCH_KEYS_MAX)?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for (key, _) in entries {
            batch.remove(key);
        }
        store.apply(&batch)?;
    }
}

struct Rebuild<'a, S> {
    store: &'a S,
    roster: Roster,
    streams: Streams,
    batch: Batch,
    /// Places that are taken: by each stream, which sequences.
    places: BTreeMap<StreamId, BTreeSet<u64>>,
    /// How far each stream with a gap may be held.
    reach: BTreeMap<StreamId, u64>,
    found: Rebuilt,
}

/// Where an envelope of the log goes.
enum Place {
    Taken,
    Repeated,
    Beyond,
    Unknown,
}

impl<S: Store> Rebuild<'_, S> {
    /// Finds out how far each stream goes without a gap. What was lost from the
    /// middle of the log leaves one, and an engine remembers only so much
    /// beyond a gap: what it would not remember it must not find in an index.
    fn survey(&mut self, arrivals: &BTreeMap<Arrival, Vec<u8>>) -> Result<(), StoreError> {
        let mut held: BTreeMap<StreamId, BTreeSet<u64>> = BTreeMap::new();
        for key in arrivals.values() {
            let value = self.read(key)?;
            let header = if key.starts_with(b"L") {
                logged(&value).map(|logged| logged.header)
            } else {
                retained(&value).map(|(_, header)| header)
            };
            if let Some((stream, position)) = header.and_then(|header| self.place_of(&header)) {
                held.entry(stream).or_default().insert(position.sequence);
            }
        }
        for (stream, sequences) in held {
            let gapless = (1..)
                .zip(&sequences)
                .take_while(|(expected, found)| expected == *found)
                .count() as u64;
            self.reach.insert(stream, gapless + SEQUENCE_AHEAD_MAX);
        }
        Ok(())
    }

    /// A value of the log; one that is damaged is read as nothing.
    fn read(&self, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        match self.store.get(key) {
            Ok(value) => Ok(value.unwrap_or_default()),
            Err(StoreError::Damaged { .. }) => Ok(Vec::new()),
            Err(failed @ StoreError::Failed { .. }) => Err(failed),
        }
    }

    fn entry(&mut self, arrival: Arrival, key: Vec<u8>) -> Result<(), StoreError> {
        self.batch
            .put(table::next_arrival(), codec::encode(&(arrival + 1)));
        let value = self.read(&key)?;
        let placed = if key.starts_with(b"L") {
            self.whole(arrival, &value)?
        } else {
            self.header(arrival, &value)
        };
        match placed {
            Place::Taken => self.found.envelopes += 1,
            Place::Repeated => self.found.repeated += 1,
            Place::Beyond => self.found.beyond += 1,
            Place::Unknown => self.found.unreadable += 1,
        }
        if self.batch.len() >= BATCH_KEYS_MAX {
            self.write()
        } else {
            Ok(())
        }
    }

    /// An envelope of the log.
    fn whole(&mut self, arrival: Arrival, value: &[u8]) -> Result<Place, StoreError> {
        let Some(logged) = logged(value) else {
            return Ok(Place::Unknown);
        };
        match self.place(arrival, logged.id, &logged.header) {
            Place::Taken => {}
            other @ (Place::Repeated | Place::Beyond | Place::Unknown) => return Ok(other),
        }
        match &logged.bundle {
            Some((bundle, _)) => self
                .batch
                .put(table::bundle(bundle), codec::encode(&arrival)),
            None => self.batch.put(
                table::outcome(arrival),
                codec::encode(&Outcome::NeedsUpgrade),
            ),
        }
        let pulled = logged
            .header
            .binding
            .payload
            .filter(|_| !logged.header.body_is_inline());
        let Some(payload) = pulled else {
            if logged.bundle.is_some() {
                self.unopened(arrival);
            }
            return Ok(Place::Taken);
        };
        let mut leaves = Vec::new();
        for index in 0..payload.chunks {
            leaves.extend(
                self.store
                    .get(&table::chunk(&logged.id, index))?
                    .map(|chunk| leaf(&chunk)),
            );
        }
        if leaves.len() as u64 == u64::from(payload.chunks) {
            self.batch.put(table::leaves(&logged.id), leaves.concat());
            self.unopened(arrival);
        } else {
            self.batch
                .put(table::pull(arrival), codec::encode(&logged.id));
        }
        Ok(Place::Taken)
    }

    /// A header that is all there is.
    fn header(&mut self, arrival: Arrival, value: &[u8]) -> Place {
        match retained(value) {
            Some((id, header)) => self.place(arrival, id, &header),
            None => Place::Unknown,
        }
    }

    fn place_of(&self, header: &Header) -> Option<(StreamId, Position)> {
        let certificate = self.roster.certificate(&header.prefix.certificate)?;
        let position = header.prefix.class.position()?;
        let stream = StreamId {
            node: certificate.node,
            incarnation: certificate.incarnation,
            tag: position.tag,
        };
        Some((stream, position))
    }

    fn place(&mut self, arrival: Arrival, id: EnvelopeId, header: &Header) -> Place {
        let Some((stream, position)) = self.place_of(header) else {
            return Place::Unknown;
        };
        let reach = self.reach.get(&stream).copied().unwrap_or(u64::MAX);
        if position.sequence > reach {
            return Place::Beyond;
        }
        let places = self.places.entry(stream).or_default();
        if !places.insert(position.sequence) {
            return Place::Repeated;
        }
        self.batch
            .put(table::envelope(&id), codec::encode(&arrival));
        self.batch.put(
            table::sequence(&stream, position.sequence),
            codec::encode(&id),
        );
        if let Some(through) = self.streams.insert(stream, &position, id) {
            self.batch
                .put(table::through(&stream), codec::encode(&through));
        }
        Place::Taken
    }

    fn unopened(&mut self, arrival: Arrival) {
        self.batch.put(table::unopened(arrival), Vec::new());
        self.found.unopened += 1;
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.store.apply(&core::mem::take(&mut self.batch))
    }
}

fn logged(value: &[u8]) -> Option<LoggedFrame> {
    let entry = codec::decode::<LogEntry>(value, FRAME_BYTES_MAX + 64).ok()?;
    header_of_frame(entry.frame.as_slice())
}

fn retained(value: &[u8]) -> Option<(EnvelopeId, Header)> {
    let bytes: SignedBytes<HEADER_BYTES_MAX> = codec::decode(value, HEADER_BYTES_MAX + 72).ok()?;
    let signed = bytes.to_signed::<Header>();
    let header = signed.claims().ok()?;
    let id = EnvelopeId::from_bytes(Header::DOMAIN.digest(signed.bytes()));
    Some((id, header))
}
