//! The store as the engine sees it: what is durable, under what is on its way
//! there, under what this step has written.
//!
//! What is not durable yet is memory, and a slow disk must not turn into a
//! full one: above [`STAGED_BYTES_MAX`] nothing more is taken from others
//! ([`Engine::is_behind`]). It comes again by catch-up.

use super::Engine;
use crate::store::{Batch, CommitNo, Entry, Store, StoreError};
use crate::wire::codec;
use bincode::{Decode, Encode};
use std::collections::VecDeque;

/// Layers over a store. Reads see the newest layer that speaks of a key.
pub(crate) struct Staged<S> {
    store: S,
    in_flight: VecDeque<InFlight>,
    open: Batch,
    /// What the open batch was charged for every write, one over another too.
    open_bytes: usize,
    next: CommitNo,
    /// [`STAGED_BYTES_MAX`]; a field, so that a test need not fill it.
    pub(super) bytes_max: usize,
}

/// A batch handed out and not yet durable.
struct InFlight {
    number: CommitNo,
    batch: Batch,
    bytes: usize,
}

/// Batches handed out and not yet durable. More would not be faster, since the
/// committer groups them anyway, and each is a layer to look through.
const IN_FLIGHT_MAX: usize = 4;

/// What may be written and not durable, in bytes, before nothing more is taken
/// from others. Four of the largest bundles filed together, 4 x 60 MB, are
/// below it; a disk that stands still is found after 256 MiB of frames, four
/// minutes of an author at the published rate. A batch in flight is held twice,
/// here and by the committer: 512 MiB at most, and what one step writes beyond.
const STAGED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What an entry costs besides its bytes: its place in the tree and two
/// allocations.
const ENTRY_BYTES: usize = 96;

impl<S: Store> Staged<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            in_flight: VecDeque::new(),
            open: Batch::default(),
            open_bytes: 0,
            next: CommitNo::FIRST,
            bytes_max: STAGED_BYTES_MAX,
        }
    }

    pub(crate) const fn store(&self) -> &S {
        &self.store
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let layers = self
            .in_flight
            .iter()
            .map(|in_flight| &in_flight.batch)
            .chain([&self.open]);
        match layers.rev().find_map(|batch| batch.get(key)) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => self.store.get(key),
        }
    }

    pub(crate) fn get_as<T: Decode<()> + Encode>(
        &self,
        key: &[u8],
        bytes_max: usize,
    ) -> Result<Option<T>, StoreError> {
        self.get(key)?
            .map(|bytes| read_value(key, &bytes, bytes_max))
            .transpose()
    }

    /// As [`Self::get`], but a damaged value is no value: the store reports it,
    /// and the question of a remote must not end the node.
    pub(crate) fn sound(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.get(key) {
            Err(StoreError::Damaged { .. }) => Ok(None),
            read => read,
        }
    }

    /// As [`Self::sound`], of a type.
    pub(crate) fn sound_as<T: Decode<()> + Encode>(
        &self,
        key: &[u8],
        bytes_max: usize,
    ) -> Result<Option<T>, StoreError> {
        let value = self.sound(key)?;
        Ok(value.and_then(|value| codec::decode(&value, bytes_max).ok()))
    }

    /// Durable entries only: what is on its way is not among them.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.store.scan(prefix, from, limit)
    }

    /// The keys alone of durable entries.
    pub(crate) fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let entries = self.store.scan(prefix, from, limit)?;
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    }

    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.charge(key.len() + value.len());
        self.open.put(key, value);
    }

    pub(crate) fn put_as<T: Encode>(&mut self, key: Vec<u8>, value: &T) {
        self.put(key, codec::encode(value));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.charge(key.len());
        self.open.remove(key);
    }

    fn charge(&mut self, bytes: usize) {
        self.open_bytes = self.open_bytes.saturating_add(bytes + ENTRY_BYTES);
    }

    /// Whether more is written and not durable than may be.
    pub(crate) fn is_behind(&self) -> bool {
        let in_flight: usize = self.in_flight.iter().map(|batch| batch.bytes).sum();
        in_flight.saturating_add(self.open_bytes) >= self.bytes_max
    }

    /// The commit after which everything written so far is durable; none if it
    /// is already.
    pub(crate) fn commit_holding_all(&self) -> Option<CommitNo> {
        if self.open.is_empty() {
            self.in_flight.back().map(|last| last.number)
        } else {
            Some(self.next)
        }
    }

    pub(crate) fn begin(&mut self) -> Option<(CommitNo, Batch)> {
        if self.open.is_empty() || self.in_flight.len() >= IN_FLIGHT_MAX {
            return None;
        }
        let number = self.next;
        self.next = self.next.next();
        let batch = core::mem::take(&mut self.open);
        self.in_flight.push_back(InFlight {
            number,
            batch: batch.clone(),
            bytes: core::mem::take(&mut self.open_bytes),
        });
        Some((number, batch))
    }

    pub(crate) fn committed(&mut self, number: CommitNo) {
        while self
            .in_flight
            .front()
            .is_some_and(|first| first.number <= number)
        {
            self.in_flight.pop_front();
        }
    }
}

impl<S: Store> Engine<S> {
    /// Whether the disk is so far behind that nothing more is taken from
    /// others. A host asks peers for nothing then, and lets its own people
    /// wait, until commits are reported again.
    pub fn is_behind(&self) -> bool {
        self.staged.is_behind()
    }
}

/// Reads a value that this program wrote; one that does not read is damage.
pub(crate) fn read_value<T: Decode<()> + Encode>(
    key: &[u8],
    bytes: &[u8],
    bytes_max: usize,
) -> Result<T, StoreError> {
    codec::decode(bytes, bytes_max).map_err(|_| StoreError::Damaged {
        key: hex::encode(key),
    })
}
