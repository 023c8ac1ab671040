//! A store that can lose what was not flushed.
//!
//! A batch is visible as soon as it is applied, as in a real database, and
//! certain only when its flush is over. A crash keeps everything flushed and
//! a prefix of the rest, drawn by the caller.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use watchfire_protocol::store::{Batch, CommitNo, Entry, MemoryStore, Store, StoreError};

/// A disk. Cloning gives a second handle to the same one, so that it outlives
/// the engine that a crash ends.
#[derive(Clone, Default)]
pub struct Disk(Rc<RefCell<Platter>>);

#[derive(Default)]
struct Platter {
    visible: MemoryStore,
    /// What each batch that is not flushed yet replaced, oldest first.
    undo: VecDeque<(CommitNo, Vec<Replaced>)>,
}

/// A key and what stood there before.
type Replaced = (Vec<u8>, Option<Vec<u8>>);

impl Disk {
    /// Makes a batch visible; it may still be lost.
    ///
    /// # Errors
    /// When the store does.
    pub fn write(&self, number: CommitNo, batch: &Batch) -> Result<(), StoreError> {
        let mut platter = self.0.borrow_mut();
        let mut replaced = Vec::with_capacity(batch.len());
        for (key, _) in batch.iter() {
            replaced.push((key.to_vec(), platter.visible.get(key)?));
        }
        platter.visible.apply(batch)?;
        platter.undo.push_back((number, replaced));
        Ok(())
    }

    /// Makes everything up to a commit certain.
    pub fn flushed(&self, number: CommitNo) {
        let mut platter = self.0.borrow_mut();
        while platter
            .undo
            .front()
            .is_some_and(|(first, _)| *first <= number)
        {
            platter.undo.pop_front();
        }
    }

    /// How many batches a crash could lose now.
    pub fn unflushed(&self) -> usize {
        self.0.borrow().undo.len()
    }

    /// Power goes: of the batches that are not flushed, the first `kept`
    /// survive.
    ///
    /// # Errors
    /// When the store does.
    pub fn crash(&self, kept: usize) -> Result<(), StoreError> {
        let mut platter = self.0.borrow_mut();
        while platter.undo.len() > kept
            && let Some((_, replaced)) = platter.undo.pop_back()
        {
            let mut back = Batch::default();
            for (key, value) in replaced {
                match value {
                    Some(value) => back.put(key, value),
                    None => back.remove(key),
                }
            }
            platter.visible.apply(&back)?;
        }
        platter.undo.clear();
        Ok(())
    }

    /// Loses everything.
    pub fn wipe(&self) {
        *self.0.borrow_mut() = Platter::default();
    }

    /// A digest of everything visible.
    pub fn digest(&self) -> [u8; 32] {
        self.0.borrow().visible.digest()
    }

    /// Bytes of every visible key and value.
    pub fn bytes(&self) -> u64 {
        self.snapshot()
            .iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }

    /// A copy of everything visible.
    pub fn snapshot(&self) -> Vec<Entry> {
        self.0.borrow().visible.snapshot()
    }
}

impl Store for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.borrow().visible.get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.borrow().visible.scan(prefix, from, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.0.borrow().visible.apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.0.borrow_mut().undo.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(key: &[u8], value: Option<&[u8]>) -> Batch {
        let mut batch = Batch::default();
        match value {
            Some(value) => batch.put(key.to_vec(), value.to_vec()),
            None => batch.remove(key.to_vec()),
        }
        batch
    }

    #[test]
    fn a_disk_keeps_the_contract() {
        watchfire_protocol::store::testing::check_contract(&Disk::default());
    }

    #[test]
    fn a_crash_keeps_what_was_flushed_and_a_prefix_of_the_rest() {
        let disk = Disk::default();
        let first = CommitNo::FIRST;
        disk.write(first, &batch(b"a", Some(b"1"))).unwrap();
        disk.write(first.next(), &batch(b"a", Some(b"2"))).unwrap();
        disk.write(first.next().next(), &batch(b"a", None)).unwrap();
        disk.flushed(first);
        assert_eq!(disk.get(b"a").unwrap(), None);
        assert_eq!(disk.unflushed(), 2);
        disk.crash(1).unwrap();
        assert_eq!(disk.get(b"a").unwrap().unwrap(), b"2");
        disk.write(first, &batch(b"a", None)).unwrap();
        disk.crash(0).unwrap();
        assert_eq!(disk.get(b"a").unwrap().unwrap(), b"2");
    }
}
