//! The store as the engine sees it: what is durable, under what is on its way
//! there, under what this step has written.
//!
//! What is not durable yet is memory, and a slow disk must not turn into a
//! full one: above [`STAGED_BYTES_MAX`] nothing more is taken from others
//! ([`Engine::is_behind`]). It comes again by catch-up.
//!
//! Entries of the ordered indexes are filed as a commit begins, so many with
//! each: an entry changes a block that has to be read, and a bundle may have
//! hundreds of thousands in as many blocks. A bundle counts as opened with the
//! commit that holds the last of its entries; until then it waits in line on
//! disk, and a node that is killed files it again from its log.

use super::Engine;
use crate::ids::BundleId;
use crate::limits::{
    FILED_PER_COMMIT_MAX, FILING_ENTRIES_MAX, INDEX_BLOCK_BYTES, STAGED_BYTES_MAX,
};
use crate::store::{Batch, CommitNo, Entry, Store, StoreError};
use crate::table::blocks::{self, Inserted};
use crate::table::{self, Arrival};
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
    filing: VecDeque<Filing>,
    /// Entries in `filing`.
    unfiled: usize,
    /// Claims may wait for commits up to this one, so there will be as many.
    expected: CommitNo,
    /// Bundles that were filed in part, and wait for the next start.
    filed_in_part: usize,
    /// Those of them that nobody has taken.
    unfound: Vec<BundleId>,
    /// The store failed where nobody could be told.
    failed: Option<StoreError>,
}

/// A bundle whose entries are being filed.
struct Filing {
    arrival: Arrival,
    /// In order.
    entries: std::vec::IntoIter<Vec<u8>>,
    /// What is written with the last of them.
    then: Batch,
    /// Which it is.
    bundle: BundleId,
    /// Some of its entries are in no block, since that is damaged: it waits for
    /// the next start.
    is_in_part: bool,
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
            filing: VecDeque::new(),
            unfiled: 0,
            expected: CommitNo::FIRST,
            filed_in_part: 0,
            unfound: Vec::new(),
            failed: None,
        }
    }

    pub(crate) const fn store(&self) -> &S {
        &self.store
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.layers().find_map(|batch| batch.get(key)) {
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

    /// Files entries of the ordered indexes, which are in order, with the commits
    /// to come, and writes `then` with the last of them. Where a block is damaged, what belongs into others is filed
    /// there; the rest waits for the next start, which makes the index again.
    pub(crate) fn file(
        &mut self,
        arrival: Arrival,
        entries: Vec<Vec<u8>>,
        then: Batch,
        bundle: BundleId,
    ) {
        if entries.is_empty() {
            return self.append(then);
        }
        self.unfiled += entries.len();
        if self.unfiled > FILED_PER_COMMIT_MAX {
            // It takes several commits: in line until the last.
            self.put(table::unopened(arrival), Vec::new());
        }
        self.filing.push_back(Filing {
            arrival,
            entries: entries.into_iter(),
            then,
            bundle,
            is_in_part: false,
        });
        if self.unfiled > FILING_ENTRIES_MAX {
            // Opening is ahead of the disk: no more may wait in memory.
            self.expected = self.expected.max(self.commit_filing_all());
            while self.unfiled > FILING_ENTRIES_MAX {
                self.file_some();
            }
        }
    }

    /// Whether so many entries are all filed with the next commit.
    pub(crate) const fn files_at_once(&self, entries: usize) -> bool {
        self.unfiled.saturating_add(entries) <= FILED_PER_COMMIT_MAX
    }

    /// Files as many entries as one commit does.
    fn file_some(&mut self) {
        let mut left = FILED_PER_COMMIT_MAX;
        while let Some(mut filing) = self.filing.pop_front() {
            let entries: Vec<_> = filing.entries.by_ref().take(left).collect();
            left -= entries.len();
            self.unfiled -= entries.len();
            match self.insert(&entries) {
                Ok(left_out) => filing.is_in_part |= left_out > 0,
                Err(failed) => {
                    filing.is_in_part = true;
                    self.failed.get_or_insert(failed);
                }
            }
            if filing.entries.len() > 0 {
                self.filing.push_front(filing);
                return;
            }
            if filing.is_in_part {
                self.filed_in_part += 1;
                self.unfound.push(filing.bundle);
                self.put(table::unopened(filing.arrival), Vec::new());
            } else {
                self.append(filing.then);
            }
            if left == 0 {
                return;
            }
        }
    }

    /// Returns how many entries belong to damaged blocks.
    fn insert(&mut self, entries: &[Vec<u8>]) -> Result<usize, StoreError> {
        let mut repeated = Vec::new();
        let Inserted { writes, left_out } = blocks::insert(
            entries,
            INDEX_BLOCK_BYTES,
            |table, from| self.first_from(&[table], from),
            |key| repeated.extend(table::repeated_object(key)),
        )?;
        for (key, value) in writes {
            self.put(key, value);
        }
        for key in repeated {
            self.put(key, Vec::new());
        }
        Ok(left_out)
    }

    /// Bundles that were filed in part, each told once, and before the commit
    /// with which the last of its entries would have been filed.
    pub(crate) fn take_unfound(&mut self) -> Vec<BundleId> {
        core::mem::take(&mut self.unfound)
    }

    /// How the store failed as a commit began, told once.
    pub(crate) fn failure(&mut self) -> Result<(), StoreError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Bundles of which a part is in no index until the next start.
    pub(crate) const fn filed_in_part(&self) -> usize {
        self.filed_in_part
    }

    /// The first entry at or after `from` under a prefix under which nothing is
    /// ever removed.
    fn first_from(&self, prefix: &[u8], from: &[u8]) -> Result<Option<Entry>, StoreError> {
        let stored = self.store.scan(prefix, from, 1)?.pop();
        let layered = self
            .layers()
            .filter_map(|batch| batch.first_from(prefix, from))
            .min();
        match (layered, &stored) {
            (Some(key), Some((first, _))) if key > first.as_slice() => Ok(stored),
            (Some(key), _) => Ok(self.get(key)?.map(|value| (key.to_vec(), value))),
            (None, _) => Ok(stored),
        }
    }

    /// What is not known to be durable, the newest first.
    fn layers(&self) -> impl Iterator<Item = &Batch> {
        let in_flight = self.in_flight.iter().map(|in_flight| &in_flight.batch);
        in_flight.chain([&self.open]).rev()
    }

    fn append(&mut self, later: Batch) {
        let bytes = later
            .iter()
            .map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len) + ENTRY_BYTES)
            .sum();
        self.open_bytes = self.open_bytes.saturating_add(bytes);
        self.open.append(later);
    }

    /// The commit after which everything written so far is durable; none if it
    /// is already.
    pub(crate) fn commit_holding_all(&self) -> Option<CommitNo> {
        if self.open.is_empty() && self.filing.is_empty() {
            self.in_flight.back().map(|last| last.number)
        } else {
            Some(self.commit_filing_all())
        }
    }

    /// The commit with which all entries are filed: each takes as many as it may.
    fn commit_filing_all(&self) -> CommitNo {
        let commits = self.unfiled.div_ceil(FILED_PER_COMMIT_MAX);
        (1..commits).fold(self.next, |number, _| number.next())
    }

    pub(crate) fn begin(&mut self) -> Option<(CommitNo, Batch)> {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return None;
        }
        self.file_some();
        // An empty one only where entries were filed before their turn.
        if self.open.is_empty() && self.filing.is_empty() && self.next >= self.expected {
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
