//! The store as the engine sees it: what is durable, under what is on its way
//! there, under what this step has written.

use crate::store::{Batch, CommitNo, Entry, Store, StoreError};
use crate::wire::codec;
use bincode::{Decode, Encode};
use std::collections::VecDeque;

/// Layers over a store. Reads see the newest layer that speaks of a key.
pub(crate) struct Staged<S> {
    store: S,
    in_flight: VecDeque<(CommitNo, Batch)>,
    open: Batch,
    next: CommitNo,
}

/// Batches handed out and not yet durable. More would not be faster, since the
/// committer groups them anyway, and each is a layer to look through.
const IN_FLIGHT_MAX: usize = 4;

impl<S: Store> Staged<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            in_flight: VecDeque::new(),
            open: Batch::default(),
            next: CommitNo::FIRST,
        }
    }

    pub(crate) const fn store(&self) -> &S {
        &self.store
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let layers = self
            .in_flight
            .iter()
            .map(|(_, batch)| batch)
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
        self.open.put(key, value);
    }

    pub(crate) fn put_as<T: Encode>(&mut self, key: Vec<u8>, value: &T) {
        self.open.put(key, codec::encode(value));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.open.remove(key);
    }

    /// The commit after which everything written so far is durable; none if it
    /// is already.
    pub(crate) fn commit_holding_all(&self) -> Option<CommitNo> {
        if self.open.is_empty() {
            self.in_flight.back().map(|(number, _)| *number)
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
        self.in_flight.push_back((number, batch.clone()));
        Some((number, batch))
    }

    pub(crate) fn committed(&mut self, number: CommitNo) {
        while self
            .in_flight
            .front()
            .is_some_and(|(first, _)| *first <= number)
        {
            self.in_flight.pop_front();
        }
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
