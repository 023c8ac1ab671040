//! Making every index again from the truth: log, retained headers, chunks and
//! certificates.
//!
//! What this leaves to be opened is opened by the engine at its next start, so
//! that an index entry always comes from a payload that was checked again.

use std::collections::BTreeMap;

use super::opening::header_of_frame;
use super::streams::Streams;
use super::{Staged, damaged, for_each, restore_certificates};
use crate::ids::EnvelopeId;
use crate::limits::{FRAME_BYTES_MAX, REMAINS_BYTES_MAX};
use crate::roster::Roster;
use crate::store::{Batch, Store, StoreError};
use crate::table::{self, Arrival, LogEntry, Outcome};
use crate::wire::chunk_tree::leaf;
use crate::wire::codec;
use crate::wire::envelope::Header;
use crate::wire::exchange::Remains;
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
        found: Rebuilt::default(),
    };
    for (arrival, entry) in arrivals(&staged)? {
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
    found: Rebuilt,
}

impl<S: Store> Rebuild<'_, S> {
    fn entry(&mut self, arrival: Arrival, key: Vec<u8>) -> Result<(), StoreError> {
        self.batch
            .put(table::next_arrival(), codec::encode(&(arrival + 1)));
        let value = match self.store.get(&key) {
            Ok(value) => value.unwrap_or_default(),
            Err(StoreError::Damaged { .. }) => Vec::new(),
            Err(failed @ StoreError::Failed { .. }) => return Err(failed),
        };
        let is_whole = key.starts_with(b"L");
        let read = if is_whole {
            self.whole(arrival, &value)?
        } else {
            self.header(arrival, &value)
        };
        match read {
            Some(()) => self.found.envelopes += 1,
            None => self.found.unreadable += 1,
        }
        if self.batch.len() >= BATCH_KEYS_MAX {
            self.write()
        } else {
            Ok(())
        }
    }

    /// An envelope of the log.
    fn whole(&mut self, arrival: Arrival, value: &[u8]) -> Result<Option<()>, StoreError> {
        let entry = codec::decode::<LogEntry>(value, FRAME_BYTES_MAX + 64).ok();
        let Some(logged) = entry.and_then(|entry| header_of_frame(entry.frame.as_slice())) else {
            return Ok(None);
        };
        if self.place(arrival, logged.id, &logged.header).is_none() {
            return Ok(None);
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
            return Ok(Some(()));
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
        Ok(Some(()))
    }

    /// A header that is all there is.
    fn header(&mut self, arrival: Arrival, value: &[u8]) -> Option<()> {
        let remains: Remains = codec::decode(value, REMAINS_BYTES_MAX).ok()?;
        let signed = remains.header.to_signed::<Header>();
        let header = signed.claims().ok()?;
        self.place(
            arrival,
            EnvelopeId::from_bytes(Header::DOMAIN.digest(signed.bytes())),
            &header,
        )
    }

    fn place(&mut self, arrival: Arrival, id: EnvelopeId, header: &Header) -> Option<()> {
        let certificate = self.roster.certificate(&header.prefix.certificate)?;
        let position = header.prefix.class.position()?;
        let stream = StreamId {
            node: certificate.node,
            incarnation: certificate.incarnation,
            tag: position.tag,
        };
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
        }
        self.batch.put(table::stream(&stream), codec::encode(&row));
        Some(())
    }

    fn unopened(&mut self, arrival: Arrival) {
        self.batch.put(table::unopened(arrival), Vec::new());
        self.found.unopened += 1;
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.store.apply(&core::mem::take(&mut self.batch))
    }
}
