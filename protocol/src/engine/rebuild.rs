//! Making every index again from the truth: log, remains, chunks and
//! certificates.
//!
//! What this leaves to be opened is opened by the engine at its next start, so
//! that an index entry always comes from a payload that was checked again.

use std::collections::BTreeMap;

use super::opening::{LoggedFrame, header_of_frame};
use super::streams::{Fit, Streams};
use super::{Staged, damaged, for_each, restore_certificates};
use crate::ids::EnvelopeId;
use crate::limits::{FRAME_BYTES_MAX, REMAINS_BYTES_MAX};
use crate::roster::Roster;
use crate::store::{Batch, Store, StoreError};
use crate::table::{self, Arrival, LogEntry, Outcome};
use crate::wire::chunk_tree::leaf;
use crate::wire::codec;
use crate::wire::envelope::{Header, Position};
use crate::wire::exchange::{Remains, StreamId};
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
    /// Log entries of a place that another one holds: they stay in the log and
    /// are in no index.
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
        next_arrival: 0,
        found: Rebuilt::default(),
    };
    let mut left: Vec<(Arrival, Vec<u8>)> = arrivals(&staged)?.into_iter().collect();
    // What closes a gap may have come after what lies beyond it.
    loop {
        let mut beyond = Vec::new();
        let before = left.len();
        for (arrival, key) in left {
            if work.entry(arrival, &key)? == Place::Beyond {
                beyond.push((arrival, key));
            }
        }
        left = beyond;
        if left.is_empty() || left.len() == before {
            break;
        }
    }
    work.found.beyond = left.len() as u64;
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
    next_arrival: Arrival,
    found: Rebuilt,
}

/// Where an envelope of the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Taken,
    Repeated,
    Beyond,
    Unknown,
}

impl<S: Store> Rebuild<'_, S> {
    /// A value of the log; one that is damaged is read as nothing.
    fn read(&self, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        match self.store.get(key) {
            Ok(value) => Ok(value.unwrap_or_default()),
            Err(StoreError::Damaged { .. }) => Ok(Vec::new()),
            Err(failed @ StoreError::Failed { .. }) => Err(failed),
        }
    }

    fn entry(&mut self, arrival: Arrival, key: &[u8]) -> Result<Place, StoreError> {
        self.next_arrival = self.next_arrival.max(arrival + 1);
        self.batch
            .put(table::next_arrival(), codec::encode(&self.next_arrival));
        let value = self.read(key)?;
        let placed = if key.starts_with(b"L") {
            self.whole(arrival, &value)?
        } else {
            self.header(arrival, &value)
        };
        match placed {
            Place::Taken => self.found.envelopes += 1,
            Place::Repeated => self.found.repeated += 1,
            Place::Beyond => {}
            Place::Unknown => self.found.unreadable += 1,
        }
        if self.batch.len() >= BATCH_KEYS_MAX {
            self.write()?;
        }
        Ok(placed)
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
            let chunk = self.read(&table::chunk(&logged.id, index))?;
            leaves.extend((!chunk.is_empty()).then(|| leaf(&chunk)));
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
        match remains(value) {
            Some((id, header)) => self.place(arrival, id, &header),
            None => Place::Unknown,
        }
    }

    fn place(&mut self, arrival: Arrival, id: EnvelopeId, header: &Header) -> Place {
        let Some((stream, position)) = place_in(&self.roster, header) else {
            return Place::Unknown;
        };
        // As when it came: what was lost from the middle of the log leaves a
        // gap, and only so much beyond it is remembered. What is left out of
        // the indexes is asked for again.
        match self.streams.fit(&stream, &position, &id) {
            Fit::Fits => {}
            Fit::Below | Fit::Taken | Fit::Unchained => return Place::Repeated,
            Fit::TooFarAhead | Fit::TooManyStreams => return Place::Beyond,
        }
        self.batch
            .put(table::envelope(&id), codec::encode(&arrival));
        self.batch.put(
            table::sequence(&stream, position.sequence),
            codec::encode(&id),
        );
        let (row, displaced) = self.streams.insert(stream, &position, id);
        if let Some(displaced) = displaced {
            self.batch
                .remove(table::sequence(&stream, displaced.sequence));
            self.batch.remove(table::envelope(&displaced.envelope));
        }
        self.batch.put(table::stream(&stream), codec::encode(&row));
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

/// The stream and the place in it that a header names.
pub(super) fn place_in(roster: &Roster, header: &Header) -> Option<(StreamId, Position)> {
    let certificate = roster.certificate(&header.prefix.certificate)?;
    let position = header.prefix.class.position()?;
    let stream = StreamId {
        node: certificate.node,
        incarnation: certificate.incarnation,
        tag: position.tag,
    };
    Some((stream, position))
}

/// An envelope of the log.
pub(super) fn logged(value: &[u8]) -> Option<LoggedFrame> {
    let entry = codec::decode::<LogEntry>(value, FRAME_BYTES_MAX + 64).ok()?;
    header_of_frame(entry.frame.as_slice())
}

/// What remains of an envelope.
pub(super) fn remains(value: &[u8]) -> Option<(EnvelopeId, Header)> {
    let remains: Remains = codec::decode(value, REMAINS_BYTES_MAX).ok()?;
    let signed = remains.header.to_signed::<Header>();
    let header = signed.claims().ok()?;
    let id = EnvelopeId::from_bytes(Header::DOMAIN.digest(signed.bytes()));
    Some((id, header))
}
