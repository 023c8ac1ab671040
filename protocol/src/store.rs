//! What the engine asks of a database, and the one in memory.
//!
//! A store is one ordered map from bytes to bytes with an atomic batch. The
//! engine decides what becomes durable and when; a store only does it. sled
//! is one implementation, in `node`; the other is here, for simulations and
//! tests.

use core::ops::Bound;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A change to make as one: all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Shared by its copies: the engine reads a batch that the disk writes.
    writes: Arc<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
}

impl Batch {
    /// Puts `value` at `key`, over whatever was there.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        Arc::make_mut(&mut self.writes).insert(key, Some(value));
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: Vec<u8>) {
        Arc::make_mut(&mut self.writes).insert(key, None);
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

    /// The first key at or after `from` that begins with `prefix` and is put.
    pub fn first_from(&self, prefix: &[u8], from: &[u8]) -> Option<&[u8]> {
        self.writes
            .range::<[u8], _>((Bound::Included(from), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .find_map(|(key, value)| value.as_ref().map(|_| key.as_slice()))
    }

    /// Makes the changes of `later` as well, over those here.
    pub fn append(&mut self, later: Self) {
        // One by one: `BTreeMap::append` goes through all that is there.
        Arc::make_mut(&mut self.writes).extend(Arc::unwrap_or_clone(later.writes));
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
    /// To read on, scan again from the last key with a zero byte appended,
    /// which is the smallest key above it. A damaged value ends the scan with
    /// its key, so that the caller can heal or remove it and scan again.
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

/// The number of a durable commit: 1 for the first of a run, then one more each.
///
/// A number belongs to one run of a node and is never written down; what
/// survives a restart is what the batch wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitNo(u64);

impl CommitNo {
    /// The first commit of a run.
    pub const FIRST: Self = Self(1);

    /// The commit after this one. A run that commits a million times a second
    /// stays below the end of the range for half a million years.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number, for people's eyes and for counting.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for CommitNo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A store that is lent.
impl<S: Store> Store for &S {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        (**self).scan(prefix, from, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        (**self).apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        (**self).flush()
    }
}

/// A store that is shared: its readers elsewhere see what is applied here.
impl<S: Store> Store for Arc<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        (**self).scan(prefix, from, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        (**self).apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        (**self).flush()
    }
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
    #[error(
        "store holds a damaged value at key {}; it is not served",
        printable(key)
    )]
    Damaged {
        /// The key, in hexadecimal.
        key: String,
    },
}

/// A key as it may be printed: in the ordered indexes, and where repeated ids
/// stand, what follows the table is something that somebody published.
fn printable(key: &str) -> String {
    match key.get(..2) {
        Some(table @ ("49" | "56" | "44")) => format!("{table}..."),
        Some(_) | None => key.to_owned(),
    }
}

/// A store in memory: what simulations and tests run on.
///
/// It is `Send` and not `Sync`: one engine owns it. A flush has nothing to do,
/// since nothing here survives the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: core::cell::RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    /// A digest of everything applied so far: equal for equal entries, on
    /// every machine, whatever the order in which they came.
    ///
    /// SHA-256 over each key and value in key order, each behind its length in
    /// eight bytes, big end first, so that no two different stores feed the
    /// hash the same bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = watchfire_crypto::Sha256Stream::new();
        for (key, value) in self.entries.borrow().iter() {
            for bytes in [key, value] {
                // `usize` has at most 64 bits wherever Rust runs.
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                hash.update(&length.to_be_bytes());
                hash.update(bytes);
            }
        }
        hash.finish()
    }

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

pub mod testing {
    //! What every store must do, as one check that each implementation's tests
    //! call. A failed expectation panics, as tests do; nothing but tests calls
    //! it.

    use std::collections::BTreeMap;

    use super::{Batch, Entry, Store};

    /// Checks the whole contract of [`Store`] on an empty store, and leaves it
    /// empty.
    ///
    /// # Panics
    /// On the first broken promise, naming it.
    pub fn check_contract<S: Store>(store: &S) {
        assert_eq!(all(store), [], "the store to check is not empty");
        single_keys(store);
        batches(store);
        scans(store);
        sizes(store);
        against_a_model(store);
        store.flush().expect("flush with nothing to do");
        assert_eq!(all(store), [], "the checks clean up after themselves");
    }

    fn single_keys<S: Store>(store: &S) {
        assert_eq!(read(store, b"absent"), None, "an absent key has no value");
        put(store, b"key", b"one");
        assert_eq!(read(store, b"key").as_deref(), Some(&b"one"[..]));
        put(store, b"key", b"two");
        assert_eq!(
            read(store, b"key").as_deref(),
            Some(&b"two"[..]),
            "a later put wins"
        );
        put(store, b"key", b"");
        assert_eq!(
            read(store, b"key").as_deref(),
            Some(&b""[..]),
            "empty is not absent"
        );
        put(store, b"", b"at the empty key");
        assert_eq!(read(store, b"").as_deref(), Some(&b"at the empty key"[..]));
        remove(store, b"");
        remove(store, b"key");
        assert_eq!(read(store, b"key"), None, "removed is absent");
        remove(store, b"key");
        store.apply(&Batch::default()).expect("apply nothing");
    }

    fn batches<S: Store>(store: &S) {
        put(store, b"old", b"1");
        let mut batch = Batch::default();
        batch.put(b"new".to_vec(), b"2".to_vec());
        batch.remove(b"old".to_vec());
        batch.put(b"twice".to_vec(), b"3".to_vec());
        batch.remove(b"twice".to_vec());
        batch.remove(b"again".to_vec());
        batch.put(b"again".to_vec(), b"4".to_vec());
        assert_eq!(
            all(store),
            [entry(b"old", b"1")],
            "a batch not applied changes nothing"
        );
        store.apply(&batch).expect("apply a batch");
        let want = [entry(b"again", b"4"), entry(b"new", b"2")];
        assert_eq!(
            all(store),
            want,
            "a batch is applied whole, its last word per key"
        );
        store.apply(&batch).expect("apply it again");
        assert_eq!(all(store), want, "applying twice is applying once");
        store.flush().expect("flush");
        assert_eq!(all(store), want, "a flush changes nothing");
        clear(store);
    }

    fn scans<S: Store>(store: &S) {
        let keys: [&[u8]; 8] = [
            b"a",
            b"a\0",
            b"a\0\xff",
            b"a\xff",
            b"a\xff\xff",
            b"b",
            b"\xff",
            b"\xff\xff",
        ];
        for key in keys {
            put(store, key, key);
        }
        let scan = |prefix: &[u8], from: &[u8], limit: usize| -> Vec<Vec<u8>> {
            let entries = store.scan(prefix, from, limit).expect("scan");
            for (key, value) in &entries {
                assert_eq!(key, value, "a scan pairs each key with its own value");
            }
            entries.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(
            scan(b"", b"", usize::MAX),
            keys,
            "every key, ordered as unsigned bytes"
        );
        let under_a: [&[u8]; 5] = [b"a", b"a\0", b"a\0\xff", b"a\xff", b"a\xff\xff"];
        assert_eq!(
            scan(b"a", b"", usize::MAX),
            under_a,
            "a prefix includes the key it equals"
        );
        assert_eq!(
            scan(b"a", b"a", usize::MAX),
            under_a,
            "`from` itself is included"
        );
        assert_eq!(
            scan(b"a", b"a\0\x01", usize::MAX),
            [
                b"a\0\xff".to_vec(),
                b"a\xff".to_vec(),
                b"a\xff\xff".to_vec()
            ]
        );
        assert_eq!(
            scan(b"a", b"b", usize::MAX),
            [[0_u8; 0]; 0],
            "`from` above the prefix: nothing"
        );
        assert_eq!(
            scan(b"\xff", b"", usize::MAX),
            [b"\xff".to_vec(), b"\xff\xff".to_vec()],
            "a prefix with no successor"
        );
        assert_eq!(scan(b"ab", b"", usize::MAX), [[0_u8; 0]; 0]);
        assert_eq!(scan(b"a", b"", 0), [[0_u8; 0]; 0], "a limit of zero");
        assert_eq!(
            scan(b"a", b"", 2),
            [b"a".to_vec(), b"a\0".to_vec()],
            "a limit cuts the end"
        );

        let mut paged = Vec::new();
        let mut from = Vec::new();
        while let Some(key) = scan(b"a", &from, 1).pop() {
            from = key.clone();
            from.push(0);
            paged.push(key);
        }
        assert_eq!(paged, under_a, "page by page is the same as at once");
        clear(store);
    }

    fn sizes<S: Store>(store: &S) {
        let long_key = vec![7; 4_096];
        // Past half a mebibyte one known database keeps a value in a file of its own.
        let long_value: Vec<u8> = (0..700_000_u32)
            .flat_map(|n| n.to_be_bytes().into_iter().skip(3))
            .collect();
        put(store, &long_key, &long_value);
        put(store, b"beside", b"small");
        store.flush().expect("flush a long value");
        assert_eq!(read(store, &long_key).as_deref(), Some(&long_value[..]));
        assert_eq!(read(store, b"beside").as_deref(), Some(&b"small"[..]));
        clear(store);
    }

    /// Two thousand changes from a fixed sequence, compared with a plain map.
    fn against_a_model<S: Store>(store: &S) {
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut state: u64 = 0x5741_5443_4846_4952;
        let mut draw = |below: u64| {
            // Knuth's linear congruence; the high half is the random one.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..200_u64 {
            let mut batch = Batch::default();
            for _ in 0..draw(20) {
                let key = draw(150)
                    .to_be_bytes()
                    .into_iter()
                    .skip(7)
                    .collect::<Vec<u8>>();
                if draw(3) == 0 {
                    batch.remove(key.clone());
                    model.remove(&key);
                } else {
                    let value = vec![
                        u8::try_from(round).unwrap_or(0);
                        usize::try_from(draw(300)).unwrap_or(0)
                    ];
                    batch.put(key.clone(), value.clone());
                    model.insert(key, value);
                }
            }
            store.apply(&batch).expect("apply a drawn batch");
            if round % 16 == 0 {
                let want: Vec<Entry> = model
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                assert_eq!(all(store), want, "round {round} differs from a plain map");
            }
        }
        clear(store);
    }

    fn entry(key: &[u8], value: &[u8]) -> Entry {
        (key.to_vec(), value.to_vec())
    }

    fn all<S: Store>(store: &S) -> Vec<Entry> {
        store.scan(b"", b"", usize::MAX).expect("scan everything")
    }

    fn read<S: Store>(store: &S, key: &[u8]) -> Option<Vec<u8>> {
        store.get(key).expect("get")
    }

    fn put<S: Store>(store: &S, key: &[u8], value: &[u8]) {
        let mut batch = Batch::default();
        batch.put(key.to_vec(), value.to_vec());
        store.apply(&batch).expect("put");
    }

    fn remove<S: Store>(store: &S, key: &[u8]) {
        let mut batch = Batch::default();
        batch.remove(key.to_vec());
        store.apply(&batch).expect("remove");
    }

    fn clear<S: Store>(store: &S) {
        let mut batch = Batch::default();
        for (key, _) in all(store) {
            batch.remove(key);
        }
        store.apply(&batch).expect("remove everything");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use super::*;

    fn store_of(entries: &[(&[u8], &[u8])]) -> MemoryStore {
        let store = MemoryStore::default();
        for (key, value) in entries {
            let mut batch = Batch::default();
            batch.put(key.to_vec(), value.to_vec());
            store.apply(&batch).unwrap();
        }
        store
    }

    #[test]
    fn memory_keeps_the_contract() {
        testing::check_contract(&MemoryStore::default());
    }

    #[test]
    fn memory_can_move_to_another_thread() {
        fn is_send<T: Send>(_: &T) {}
        is_send(&MemoryStore::default());
    }

    #[test]
    fn digest_follows_the_entries_and_not_their_history() {
        let forwards = store_of(&[(b"a", b"1"), (b"b", b"2")]);
        let backwards = store_of(&[(b"b", b"0"), (b"b", b"2"), (b"a", b"1")]);
        assert_eq!(forwards.digest(), backwards.digest());
        assert_ne!(
            forwards.digest(),
            store_of(&[(b"a", b"1"), (b"b", b"3")]).digest()
        );
        assert_ne!(forwards.digest(), MemoryStore::default().digest());
    }

    #[test]
    fn digest_keeps_key_and_value_apart() {
        assert_ne!(
            store_of(&[(b"ab", b"c")]).digest(),
            store_of(&[(b"a", b"bc")]).digest()
        );
        assert_ne!(
            store_of(&[(b"a", b"")]).digest(),
            store_of(&[(b"", b"a")]).digest()
        );
    }

    #[test]
    fn a_batch_remembers_its_last_word() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        assert_eq!(batch.get(b"k"), None);
        batch.put(b"k".to_vec(), b"v".to_vec());
        assert_eq!(batch.get(b"k"), Some(Some(&b"v"[..])));
        batch.remove(b"k".to_vec());
        assert_eq!(batch.get(b"k"), Some(None));
        batch.put(b"a".to_vec(), b"w".to_vec());
        assert_eq!(batch.len(), 2);
        let order: Vec<&[u8]> = batch.iter().map(|(key, _)| key).collect();
        assert_eq!(order, [b"a", b"k"]);
    }

    #[test]
    fn commits_count_up_from_one() {
        assert_eq!(CommitNo::FIRST.get(), 1);
        assert!(CommitNo::FIRST < CommitNo::FIRST.next());
        assert_eq!(CommitNo::FIRST.next().to_string(), "2");
    }
}
