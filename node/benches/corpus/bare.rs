//! What the figures are held against: the database alone.

use std::path::Path;

use watchfire_protocol::store::{Batch, Entry, Store, StoreError};

/// What `disk.rs` gives it.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// sled itself, without what `disk.rs` adds: what could at best be had of it.
pub(crate) struct Bare(sled::Db);

impl Bare {
    /// Opens it with the memory that `disk.rs` gives it.
    pub(crate) fn at(path: &Path) -> Self {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        Self(config.open().expect("the database opens"))
    }
}

impl Store for Bare {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .0
            .get(key)
            .expect("sled reads")
            .map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let range = self.0.range(from.to_vec()..).take(limit);
        let entries = range.map(|entry| entry.expect("sled reads"));
        Ok(entries
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect())
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writes = sled::Batch::default();
        for (key, value) in batch.iter() {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.0.apply_batch(writes).expect("sled writes");
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.0.flush().expect("sled flushes");
        Ok(())
    }
}
