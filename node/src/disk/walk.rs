//! Reading a store from one end to the other, damaged values included.

use watchfire_protocol::store::{Entry, Store as _, StoreError};

use super::{CheckReport, totals::Totals};
use super::{KIND_ENTRY, SledStore, guarded, held, logical, physical, value};

/// Entries read at a time. The largest common values are chunks of 256 KiB:
/// 64 of them are 16 MiB.
const PAGE_ENTRIES: usize = 64;

/// A key and its value, or nothing where the value does not carry its checksum.
pub(crate) type Walked = (Vec<u8>, Option<Vec<u8>>);

impl SledStore {
    /// Reads the whole store and compares it with its checksums and totals.
    /// The report names at most `damaged_max` keys. Writers wait meanwhile, so
    /// the time for it is before the node starts its work.
    ///
    /// # Errors
    /// When the database cannot be walked to its end.
    pub fn check(&self, damaged_max: usize) -> Result<CheckReport, StoreError> {
        let applied = held(&self.applied);
        let (found, damaged) = self.count(damaged_max)?;
        Ok(CheckReport {
            damaged,
            entries_had: applied.entries,
            entries_has: found.entries,
            is_sum_right: (found.entries, found.sum) == (applied.entries, applied.sum),
        })
    }

    /// Accepts what is there as all there should be: the last step of a repair,
    /// after damaged values were healed or removed and lost ones fetched from
    /// peers. Durable after the next flush.
    ///
    /// # Errors
    /// As [`SledStore::check`] and `Store::apply`.
    pub fn accept_totals(&self) -> Result<(), StoreError> {
        self.check_fault()?;
        let mut applied = held(&self.applied);
        let (found, _) = self.count(0)?;
        let accepted = Totals {
            batches: applied.batches.saturating_add(1),
            ..found
        };
        self.write_batch(sled::Batch::default(), accepted)?;
        *applied = accepted;
        Ok(())
    }

    /// Adds up every entry, and names damaged ones.
    fn count(&self, damaged_max: usize) -> Result<(Totals, Vec<Vec<u8>>), StoreError> {
        let database = self.database()?;
        let mut found = Totals::default();
        let mut damaged = Vec::new();
        let mut last = Vec::new();
        guarded("check", || {
            for entry in database.range([KIND_ENTRY].as_slice()..) {
                let (key, stored) = entry?;
                last.clear();
                last.extend_from_slice(logical(&key));
                found.add(&stored);
                if damaged.len() < damaged_max && value::open(&key, &stored).is_none() {
                    damaged.push(last.clone());
                }
            }
            Ok(())
        })
        .map_err(|fault| fault.reading("check", &last))?;
        Ok((found, damaged))
    }

    /// The entries from `from` on, at most [`PAGE_ENTRIES`]. Unlike a scan it
    /// does not stop at a damaged value.
    pub(crate) fn page(&self, from: &[u8]) -> Result<Vec<Walked>, StoreError> {
        let database = self.database()?;
        let start = physical(from);
        let found = guarded("walk", || {
            database
                .range(start.as_slice()..)
                .take(PAGE_ENTRIES)
                .collect::<sled::Result<Vec<_>>>()
        })
        .map_err(|fault| fault.reading("walk", from))?;
        Ok(found
            .into_iter()
            .map(|(key, stored)| {
                let value = value::open(&key, &stored).map(<[u8]>::to_vec);
                (logical(&key).to_vec(), value)
            })
            .collect())
    }

    /// Hands out every entry in key order.
    ///
    /// # Errors
    /// When the database cannot be walked to its end, or `each` fails.
    pub(crate) fn walk(
        &self,
        mut each: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let page = self.page(&from)?;
            for (key, value) in &page {
                each(key, value.as_deref())?;
            }
            match page.last() {
                Some((last, _)) => {
                    from.clone_from(last);
                    from.push(0);
                }
                None => return Ok(()),
            }
        }
    }

    /// What is at a key, if it is there and sound.
    pub(crate) fn sound(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.get(key) {
            Ok(value) => Ok(value),
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(failed @ StoreError::Failed { .. }) => Err(failed),
        }
    }

    /// The sound entries under a prefix, at most `limit`.
    pub(crate) fn sound_under(
        &self,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut from = prefix.to_vec();
        let mut found = Vec::new();
        loop {
            let page = self.page(&from)?;
            let Some((last, _)) = page.last() else {
                return Ok(found);
            };
            from.clone_from(last);
            from.push(0);
            for (key, value) in page {
                if !key.starts_with(prefix) || found.len() >= limit {
                    return Ok(found);
                }
                found.extend(value.map(|value| (key, value)));
            }
        }
    }
}
