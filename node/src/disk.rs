//! The store on disk: sled, and everything sled does not promise.
//!
//! No other file names sled. What is added to it here:
//!
//! - **A checksum per value** (`disk/value.rs`) bound to its key: a bad value is an
//!   error that names the key, is never served, and is made whole (`disk/met.rs`).
//! - **A real flush.** On Linux sled ends a flush with `sync_file_range`, which
//!   neither writes the file's length nor empties the disk's own cache, and it
//!   never syncs the files in which it puts large values. A commit counts here
//!   only after `fdatasync` of all of them.
//! - **A witness** (`disk/witness.rs`) of how much was flushed, outside the database,
//!   since sled takes damage at the end of its log for the end of its log. Each
//!   open compares them.
//! - **Totals** (`disk/totals.rs`) of all entries, since sled skips damage in the
//!   middle of its log. [`SledStore::check`] compares them, reading everything.
//! - **One writer** ([`lock`]), known by name to whoever comes second.
//! - **No panics**: sled panics on some damaged files; it becomes an error.
//! - **An end**: sled waits for ever when it is closed after a failed write; it is
//!   given up then.
//! - **No second chance**: after a failed write or flush the store refuses all
//!   further ones. What a failed `fsync` left behind is unknown, and a second
//!   one would answer that all is well.
//!
//! ```text
//! store/store.format   magic and version; written last when a store is made
//! store/store.lock     who has it open
//! store/store.flushed  the number of the last batch known to be on disk
//! store/store.repairing, store.suspect
//!                      a repair was begun; one is due at the next start
//! store/sled/          the database: one tree, keys behind one byte of kind
//! store.chain/         the roster chain: outlives the store
//! store.prepared       what this node prepared last: outlives the store
//! store.published      how far this node's own streams went: outlives the store
//! store.damaged-TIME/  a store that did not open, set aside by `recovery`
//! ```
//!
//! One tree, since sled's batches are atomic within a tree and not across.

pub mod audit;
pub mod chain;
mod durable;
mod error;
mod fault;
pub mod lock;
pub(crate) mod marks;
pub(crate) mod met;
mod point;
pub mod prepared;
pub mod published;
pub mod recovery;
pub mod repair;
mod report;
pub mod space;
pub mod survey;
pub(crate) mod tables;
mod totals;
mod value;
mod walk;
mod witness;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use watchfire_protocol::store::{Batch, Entry, Store, StoreError};

use durable::{Durable, sync};
pub use error::OpenError;
use fault::{Fault, guarded};
use lock::{LockError, PidLock};
pub use met::Damaged;
use met::Met;
pub use report::{CheckReport, Loss};
use totals::Totals;
use witness::Witness;

/// Memory for pages that sled keeps decoded, in bytes.
///
/// sled counts serialised bytes and holds about one and a half times as much
/// (397 MB resident were measured for a setting of 256 MiB), so 64 MiB are
/// some 100 MB: the working set of indexes for a million indicators, on a
/// machine of 512 MB that also runs the node.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How often opening asks again when sled's own lock is held although ours is
/// not: threads of a store closed a moment ago in this process may still hold
/// its file. 2,000 × 5 ms is ten seconds, for a machine that is very busy.
const REOPEN_TRIES_MAX: u32 = 2_000;
const REOPEN_PAUSE_MS: u64 = 5;

/// How long closing may take: what was applied and not flushed is written,
/// at most 64 batches of a mebibyte, on a disk that is slow.
const CLOSE_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// How long it may take after a write has failed, when nothing that counts is
/// left to write.
const CLOSE_FAILED_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);

const DATABASE_DIR: &str = "sled";
const LOCK_FILE: &str = "store.lock";

/// The kind byte before every physical key: what the engine stores, and what
/// this file stores for itself.
const KIND_ENTRY: u8 = 1;
const KIND_OWN: u8 = 0;

/// Where each batch writes its own number and the totals after it.
const TOTALS_KEY: &[u8] = &[KIND_OWN, b't', b'o', b't'];

/// A [`Store`] in a directory, over one sled tree.
///
/// Readers on any thread see what was applied. [`apply`](Store::apply) and
/// [`flush`](Store::flush) may run on different threads; a flush covers the
/// batches applied before it began.
#[derive(Debug)]
pub struct SledStore {
    /// Present until dropped: see [`Drop`] below.
    database: Option<sled::Db>,
    /// The totals after the last batch applied; whoever holds the lock is the
    /// one writer.
    applied: Mutex<Totals>,
    durable: Mutex<Durable>,
    /// The first failure to write, after which nothing is written.
    fault: OnceLock<StoreError>,
    /// Damaged values that somebody read.
    met: Met,
    /// Fields are dropped in order: last, so that nobody else opens the
    /// database before it is closed.
    _lock: PidLock,
}

impl SledStore {
    /// Makes an empty store at `path` and opens it. The directory is created
    /// (mode 0700) where it is missing, and must be empty where it is not.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`] for a directory with anything in it, so that no
    /// store is ever written over; otherwise as [`SledStore::open`].
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        let io = |operation| move |cause| OpenError::io(operation, path, cause);
        point::before("make the store's directory");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io("create the directory of"))?;
        if fs::read_dir(path).map_err(io("list"))?.next().is_some() {
            return Err(OpenError::NotEmpty {
                path: path.to_owned(),
            });
        }
        let lock = take_lock(path)?;
        let database = path.join(DATABASE_DIR);
        point::before("make the database's directory");
        DirBuilder::new()
            .mode(0o700)
            .create(&database)
            .map_err(io("create the database of"))?;
        let db = open_database(path)?;
        let witness = Witness::create(path).map_err(io("create the witness of"))?;
        let store = Self::assemble(path, db, witness, lock)?;
        store
            .write_batch(sled::Batch::default(), Totals::default())
            .and_then(|()| store.flush())
            .map_err(|cause| OpenError::Io {
                operation: "write",
                path: path.to_owned(),
                cause: io::Error::other(cause),
            })?;
        for synced in [database.join("conf"), database, path.to_owned()] {
            sync(&synced).map_err(io("flush"))?;
        }
        witness::write_format(path)?;
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            sync(parent).map_err(io("flush"))?;
        }
        Ok(store)
    }

    /// Opens the store that [`SledStore::create`] made at `path`, as its one
    /// writer. Never creates one.
    ///
    /// Compares what is there with what was flushed, not every value: that is
    /// [`SledStore::check`]. sled trims a log it finds torn even when the
    /// result is refused here, so whoever wants to examine a damaged store
    /// copies it before opening it again.
    ///
    /// # Errors
    /// Each way in which it is not a whole store of a known format, free to
    /// use, is its own [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (store, loss) = Self::open_with_loss(path)?;
        if marks::is_repairing(path) {
            return Err(OpenError::Unfinished {
                path: path.to_owned(),
            });
        }
        match loss {
            None => Ok(store),
            Some(Loss { had, has }) => Err(OpenError::Damaged {
                path: path.to_owned(),
                why: format!("it had {had} batches on disk and now ends at {has}"),
            }),
        }
    }

    /// As [`SledStore::open`], but takes a database that has lost its newest
    /// batches, and says how many, and one whose repair was interrupted: for
    /// [`recovery`] and `store check`, which tell people and heal the rest from
    /// peers. What was lost may have been a revocation.
    ///
    /// The loss is reported until the next flush, which accepts it.
    ///
    /// # Errors
    /// As [`SledStore::open`] for every other damage.
    pub fn open_with_loss(path: &Path) -> Result<(Self, Option<Loss>), OpenError> {
        witness::check_format(path)?;
        let lock = take_lock(path)?;
        let damaged = |why: String| OpenError::Damaged {
            path: path.to_owned(),
            why,
        };
        let database = path.join(DATABASE_DIR);
        for part in ["db", "conf"] {
            // sled would make what is missing, and call an empty store a success.
            match fs::metadata(database.join(part)) {
                Ok(found) if found.is_file() && found.len() > 0 => {}
                Ok(_) => {
                    return Err(damaged(format!(
                        "{DATABASE_DIR}/{part} is empty or not a file"
                    )));
                }
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                    return Err(damaged(format!("{DATABASE_DIR}/{part} is missing")));
                }
                Err(cause) => return Err(OpenError::io("look at the database of", path, cause)),
            }
        }
        let (witness, flushed) = match Witness::open(path) {
            Ok((witness, Some(flushed))) => (witness, flushed),
            Ok((_, None)) => {
                return Err(damaged(
                    "its witness, store.flushed, is unreadable".to_owned(),
                ));
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("its witness, store.flushed, is missing".to_owned()));
            }
            Err(cause) => return Err(OpenError::io("read the witness of", path, cause)),
        };
        let db = open_database(path)?;
        // Assembled before it is trusted: from here on it is closed with care.
        let store = Self::assemble(path, db, witness, lock)?;
        let present = store.read_totals().map_err(damaged)?;
        *held(&store.applied) = present;
        let loss = (present.batches < flushed).then_some(Loss {
            had: flushed,
            has: present.batches,
        });
        Ok((store, loss))
    }

    fn read_totals(&self) -> Result<Totals, String> {
        let database = self.database().map_err(|closed| closed.to_string())?;
        guarded("read the totals", || database.get(TOTALS_KEY))
            .map_err(Fault::cause)?
            .as_deref()
            .and_then(|stored| value::open(TOTALS_KEY, stored))
            .and_then(Totals::from_bytes)
            .ok_or_else(|| "its totals are missing or damaged".to_owned())
    }

    fn assemble(
        path: &Path,
        db: sled::Db,
        witness: Witness,
        lock: PidLock,
    ) -> Result<Self, OpenError> {
        let durable = Durable::open(&path.join(DATABASE_DIR), witness)
            .map_err(|cause| OpenError::io("open the log of", path, cause))?;
        Ok(Self {
            database: Some(db),
            applied: Mutex::new(Totals::default()),
            durable: Mutex::new(durable),
            fault: OnceLock::new(),
            met: Met::default(),
            _lock: lock,
        })
    }

    fn database(&self) -> Result<&sled::Db, StoreError> {
        self.database.as_ref().ok_or_else(|| StoreError::Failed {
            operation: "use",
            cause: "it is closed".to_owned(),
        })
    }

    /// The value to serve, or the key of a damaged one, which is noted.
    fn served(&self, physical: &[u8], stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        value::open(physical, stored)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| {
                self.met.note(logical(physical));
                StoreError::Damaged {
                    key: hex::encode(logical(physical)),
                }
            })
    }

    /// What a failed read is to whoever asked. What the database itself cannot
    /// read is noted: nobody else would tell of it before the next write there.
    fn unread(&self, fault: Fault, operation: &'static str, key: &[u8]) -> StoreError {
        let error = fault.reading(operation, key);
        if matches!(error, StoreError::Damaged { .. }) {
            self.met.note_unreadable();
        }
        error
    }

    /// Damaged values that were read and not replaced since.
    pub fn damaged(&self) -> Damaged {
        self.met.count()
    }

    pub(crate) const fn met(&self) -> &Met {
        &self.met
    }

    /// Refuses once a write has failed.
    fn check_fault(&self) -> Result<(), StoreError> {
        self.fault.get().map_or(Ok(()), |first| Err(first.clone()))
    }

    /// Remembers the first failure to write, and passes it on.
    fn fail(&self, error: StoreError) -> StoreError {
        let _ = self.fault.set(error.clone());
        error
    }

    fn write_batch(&self, mut writes: sled::Batch, totals: Totals) -> Result<(), StoreError> {
        writes.insert(TOTALS_KEY, value::seal(TOTALS_KEY, &totals.to_bytes()));
        let database = self.database()?;
        point::before("apply a batch");
        guarded("apply a batch", || database.apply_batch(writes))
            .map_err(|fault| self.fail(fault.failed("apply a batch")))
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let database = self.database()?;
        let physical = physical(key);
        guarded("read", || database.get(&physical))
            .map_err(|fault| self.unread(fault, "read", key))?
            .map(|stored| self.served(&physical, &stored))
            .transpose()
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let database = self.database()?;
        let start = physical(from.max(prefix));
        let prefix = physical(prefix);
        let found = guarded("scan", || {
            database
                .range(start.as_slice()..)
                .take_while(|entry| {
                    entry
                        .as_ref()
                        .map_or(true, |(key, _)| key.starts_with(&prefix))
                })
                .take(limit)
                .collect::<sled::Result<Vec<_>>>()
        })
        .map_err(|fault| self.unread(fault, "scan", from))?;
        found
            .into_iter()
            .map(|(key, stored)| Ok((logical(&key).to_vec(), self.served(&key, &stored)?)))
            .collect()
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.check_fault()?;
        let database = self.database()?;
        let mut applied = held(&self.applied);
        let mut totals = *applied;
        totals.batches = totals.batches.saturating_add(1);
        let mut writes = sled::Batch::default();
        for (key, value) in batch.iter() {
            let key = physical(key);
            let replaced =
                guarded("read what a batch replaces", || database.get(&key)).map_err(|fault| {
                    match self.unread(fault, "read what a batch replaces", logical(&key)) {
                        damaged @ StoreError::Damaged { .. } => damaged,
                        // sled tells of a failed write wherever it is asked next.
                        failed @ StoreError::Failed { .. } => self.fail(failed),
                    }
                })?;
            // What a damaged value added to the totals is not in it any more,
            // and is what its replacement adds: it is made whole, not changed.
            let is_healed = value.is_some() && self.met.is_known(logical(&key));
            if let Some(stored) = replaced.filter(|_| !is_healed) {
                totals.subtract(&stored);
            }
            match value {
                Some(value) => {
                    let stored = value::seal(&key, value);
                    if !is_healed {
                        totals.add(&stored);
                    }
                    writes.insert(key, stored);
                }
                None => writes.remove(key),
            }
        }
        self.write_batch(writes, totals)?;
        *applied = totals;
        self.met.written(batch);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut durable = held(&self.durable);
        self.check_fault()?;
        let failed = |cause: io::Error| {
            self.fail(StoreError::Failed {
                operation: "flush",
                cause: cause.to_string(),
            })
        };
        let database = self.database()?;
        let (upto, blobs) = {
            // No batch may make a large value while they are listed: the
            // listing then holds all that belong to this flush.
            let applied = held(&self.applied);
            (applied.batches, durable.list_blobs().map_err(failed)?)
        };
        point::before("flush the database");
        guarded("flush", || database.flush()).map_err(|fault| self.fail(fault.failed("flush")))?;
        durable.sync(upto, blobs).map_err(failed)
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        let Some(database) = self.database.take() else {
            return;
        };
        // sled syncs as it is dropped, unwraps the answer, and where a write
        // failed (a full disk does it) waits for ever for one to succeed. So
        // it is dropped elsewhere, and given up if it does not come back; what
        // is then lost is memory of a process that is about to end.
        let within = if self.fault.get().is_some() {
            CLOSE_FAILED_WITHIN
        } else {
            CLOSE_WITHIN
        };
        let (closed, is_closed) = std::sync::mpsc::channel();
        let closing = std::thread::Builder::new()
            .name("store-close".to_owned())
            .spawn(move || {
                let _ = catch_unwind(AssertUnwindSafe(move || drop(database)));
                // Whoever waited may have given up.
                let _ = closed.send(());
            });
        // Without a thread sled was dropped with the closure that held it.
        if closing.is_ok() {
            let _ = is_closed.recv_timeout(within);
        }
    }
}

fn take_lock(path: &Path) -> Result<PidLock, OpenError> {
    PidLock::acquire(&path.join(LOCK_FILE)).map_err(|refused| match refused {
        LockError::Held { pid } => OpenError::InUse {
            path: path.to_owned(),
            pid,
        },
        LockError::Io(cause) => OpenError::io("lock", path, cause),
    })
}

/// Opens sled itself.
///
/// `flush_every_ms` is off: the committer flushes, and a second flusher would
/// only make other moments durable. The mode (`LowSpace`, `HighThroughput`) is
/// left alone, since version 0.34.7 reads it nowhere.
fn open_database(path: &Path) -> Result<sled::Db, OpenError> {
    point::before("open the database");
    let mut tries = 0;
    loop {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            sled::Config::new()
                .path(path.join(DATABASE_DIR))
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None)
                .open()
        }));
        let damaged = |why| OpenError::Damaged {
            path: path.to_owned(),
            why,
        };
        match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(cause)))
                if cause.to_string().contains("could not acquire lock")
                    && tries < REOPEN_TRIES_MAX =>
            {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(REOPEN_PAUSE_MS));
            }
            Ok(Err(sled::Error::Io(cause))) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged("its database ends too early".to_owned()));
            }
            Ok(Err(sled::Error::Io(cause))) => {
                return Err(OpenError::io("open the database of", path, cause));
            }
            Ok(Err(cause)) => return Err(damaged(cause.to_string())),
            Err(_) => return Err(damaged("its database cannot be read".to_owned())),
        }
    }
}

/// The key as sled has it.
fn physical(key: &[u8]) -> Vec<u8> {
    let mut physical = Vec::with_capacity(key.len().saturating_add(1));
    physical.push(KIND_ENTRY);
    physical.extend_from_slice(key);
    physical
}

/// The key as the engine has it.
fn logical(physical: &[u8]) -> &[u8] {
    physical.get(1..).unwrap_or_default()
}

/// A lock whose holder panicked still guards sound data here: a number or
/// three handles, each written whole.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use super::*;

    #[test]
    fn after_a_failed_sync_no_later_one_says_that_all_is_well() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = SledStore::create(&path).unwrap();
        let mut batch = Batch::default();
        batch.put(b"key".to_vec(), b"value".to_vec());
        store.apply(&batch).unwrap();
        // A device without storage answers a sync with an error.
        let sound = std::mem::replace(
            &mut held(&store.durable).log,
            fs::File::open("/dev/null").unwrap(),
        );
        let first = store.flush().unwrap_err();
        held(&store.durable).log = sound;
        assert_eq!(
            store.flush(),
            Err(first.clone()),
            "the disk is well again, the store stays shut"
        );
        assert_eq!(store.apply(&batch), Err(first));
        assert_eq!(
            store.get(b"key").unwrap().unwrap(),
            b"value",
            "reading goes on"
        );
        drop(store);
        SledStore::open(&path).expect("the witness vouched for nothing that is not there");
    }
}
