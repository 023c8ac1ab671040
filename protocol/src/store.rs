//! What the engine asks of a database, and the one in memory.
//!
//! A store is one ordered map from bytes to bytes with an atomic batch. The
//! engine decides what becomes durable and when; a store only does it. sled
//! is one implementation, in `node`; the other is here, for simulations and
//! tests.

use std::collections::BTreeMap;

/// A change to make as one: all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Batch {
    /// Puts `value` at `key`, over whatever was there.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// What this batch says of `key`: nothing, a value, or its removal.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.writes.get(key).map(|value| value.as_deref())
    }

    /// Every change in key order; `None` removes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.writes
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many keys it touches.
    pub fn len(&self) -> usize {
        self.writes.len()
    }
}

/// One key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// An ordered map with atomic batches and a durable commit.
///
/// Methods take `&self`: readers on other threads see what was applied, while
/// one writer applies.
pub trait Store {
    /// The value at `key`.
    ///
    /// # Errors
    /// When the database fails, or the value does not carry its own checksum.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` entries whose key is at least `from` and starts with
    /// `prefix`, in key order.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Makes the batch visible, whole. It is durable only after [`Store::flush`].
    ///
    /// # Errors
    /// When the database fails: full, read-only, closed.
    fn apply(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Returns once everything applied so far survives a power cut.
    ///
    /// # Errors
    /// As [`Store::apply`].
    fn flush(&self) -> Result<(), StoreError>;
}

/// What a store can fail with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error(
        "store failed to {operation}: {cause}; free disk space, check the disk, then start the node again"
    )]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// What the database said.
        cause: String,
    },
    /// A value's checksum or schema does not hold.
    #[error("store holds a damaged value at key {key}; it is not served")]
    Damaged {
        /// The key, in hexadecimal.
        key: String,
    },
}

/// A store in memory: what simulations and tests run on.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: core::cell::RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    /// A copy of everything applied so far, in key order.
    pub fn snapshot(&self) -> Vec<Entry> {
        self.entries
            .borrow()
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.entries.borrow().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let start = from.max(prefix).to_vec();
        Ok(self
            .entries
            .borrow()
            .range(start..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut entries = self.entries.borrow_mut();
        for (key, value) in batch.iter() {
            match value {
                Some(value) => entries.insert(key.to_vec(), value.to_vec()),
                None => entries.remove(key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
