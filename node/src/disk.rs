//! The store on disk: sled, and everything sled does not promise.
//!
//! No other file names sled. What is added to it here:
//!
//! - **A checksum per value** ([`value`]) bound to its key: a bad value is an
//!   error that names the key, and is never served.
//! - **A real flush.** On Linux sled ends a flush with `sync_file_range`, which
//!   neither writes the file's length nor empties the disk's own cache, and it
//!   never syncs the files in which it puts large values. A commit counts here
//!   only after `fdatasync` of all of them.
//! - **A witness** ([`witness`]) of how much was flushed, outside the database,
//!   since sled takes damage in its log for the end of its log.
//! - **One writer** ([`lock`]), known by name to whoever comes second.
//! - **No panics**: sled panics on some damaged files; it becomes an error.
//! - **No second chance**: after a failed write or flush the store refuses all
//!   further ones. What a failed `fsync` left behind is unknown, and a second
//!   one would answer that all is well.
//!
//! ```text
//! store/store.format   magic and version; written last when a store is made
//! store/store.lock     who has it open
//! store/store.flushed  the number of the last batch known to be on disk
//! store/sled/          the database: one tree, keys behind one byte of kind
//! ```
//!
//! One tree, since sled's batches are atomic within a tree and not across.

mod error;
pub mod lock;
mod value;
mod witness;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use watchfire_protocol::store::{Batch, Entry, Store, StoreError};

pub use error::OpenError;
use lock::{LockError, PidLock};
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
/// its file. 200 × 5 ms is one second.
const REOPEN_TRIES_MAX: u32 = 200;
const REOPEN_PAUSE_MS: u64 = 5;

const DATABASE_DIR: &str = "sled";
const LOCK_FILE: &str = "store.lock";

/// The kind byte before every physical key: what the engine stores, and what
/// this file stores for itself.
const KIND_ENTRY: u8 = 1;
const KIND_OWN: u8 = 0;

/// Where each batch writes its own number.
const SEQUENCE_KEY: &[u8] = &[KIND_OWN, b's', b'e', b'q'];

/// A [`Store`] in a directory, over one sled tree.
///
/// Readers on any thread see what was applied. [`apply`](Store::apply) and
/// [`flush`](Store::flush) may run on different threads; a flush covers the
/// batches applied before it began.
#[derive(Debug)]
pub struct SledStore {
    /// Present until dropped: see [`Drop`] below.
    database: Option<sled::Db>,
    /// The number of the last batch applied; its lock makes batches whole
    /// together with their numbers.
    applied: Mutex<u64>,
    durable: Mutex<Durable>,
    /// The first failure to write, after which nothing is written.
    fault: OnceLock<StoreError>,
    /// Fields are dropped in order: last, so that nobody else opens the
    /// database before it is closed.
    _lock: PidLock,
}

/// How much a damaged database has lost from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many batches it is known to have had on disk, counted from its
    /// creation.
    pub had: u64,
    /// How many of them, from the first, it still has.
    pub has: u64,
}

/// What a flush needs besides sled.
#[derive(Debug)]
struct Durable {
    /// A second handle on sled's log, for `fdatasync`.
    log: File,
    blobs: PathBuf,
    /// The large values synced so far, by the number in their file's name:
    /// eight bytes for each value above half a mebibyte.
    synced_blobs: BTreeSet<i64>,
    witness: Witness,
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
        DirBuilder::new()
            .mode(0o700)
            .create(&database)
            .map_err(io("create the database of"))?;
        let db = open_database(path)?;
        let witness = Witness::create(path).map_err(io("create the witness of"))?;
        let store = Self::assemble(path, db, 0, witness, lock)?;
        store
            .write_batch(sled::Batch::default(), 0)
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
        Ok(store)
    }

    /// Opens the store that [`SledStore::create`] made at `path`, as its one
    /// writer. Never creates one.
    ///
    /// # Errors
    /// Each way in which it is not a whole store of a known format, free to
    /// use, is its own [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (store, loss) = Self::open_with_loss(path)?;
        match loss {
            None => Ok(store),
            Some(Loss { had, has }) => Err(OpenError::Damaged {
                path: path.to_owned(),
                why: format!("it had {had} batches on disk and now ends at {has}"),
            }),
        }
    }

    /// As [`SledStore::open`], but takes a database that has lost its newest
    /// batches, and says how many: for `store check --rebuild` alone, where a
    /// person has decided to go on with what is left and heal the rest from
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
        let stored = guarded("read the last batch number", || db.get(SEQUENCE_KEY))
            .map_err(|fault| damaged(fault.cause()))?;
        let present = stored
            .as_deref()
            .and_then(|stored| value::open(SEQUENCE_KEY, stored))
            .and_then(|number| number.try_into().ok())
            .map(u64::from_be_bytes)
            .ok_or_else(|| {
                damaged("the number of its last batch is missing or damaged".to_owned())
            })?;
        let loss = (present < flushed).then_some(Loss {
            had: flushed,
            has: present,
        });
        let store = Self::assemble(path, db, present, witness, lock)?;
        Ok((store, loss))
    }

    /// The keys whose values are damaged, in key order, reading the whole
    /// store; at most `limit` of them.
    ///
    /// # Errors
    /// When the database itself cannot be walked to its end.
    pub fn damaged_keys(&self, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut damaged = Vec::new();
        let mut from = vec![KIND_ENTRY];
        while damaged.len() < limit {
            let database = self.database()?;
            let next = guarded("check", || {
                database.range(from.as_slice()..).next().transpose()
            })
            .map_err(|fault| fault.reading("check", from.get(1..).unwrap_or_default()))?;
            let Some((key, stored)) = next else { break };
            from.clear();
            from.extend_from_slice(&key);
            if value::open(&key, &stored).is_none() {
                damaged.push(key.get(1..).unwrap_or_default().to_vec());
            }
            from.push(0);
        }
        Ok(damaged)
    }

    fn assemble(
        path: &Path,
        db: sled::Db,
        applied: u64,
        witness: Witness,
        lock: PidLock,
    ) -> Result<Self, OpenError> {
        let database = path.join(DATABASE_DIR);
        let log = OpenOptions::new()
            .read(true)
            .write(true)
            .open(database.join("db"))
            .map_err(|cause| OpenError::io("open the log of", path, cause))?;
        Ok(Self {
            database: Some(db),
            applied: Mutex::new(applied),
            durable: Mutex::new(Durable {
                log,
                blobs: database.join("blobs"),
                synced_blobs: BTreeSet::new(),
                witness,
            }),
            fault: OnceLock::new(),
            _lock: lock,
        })
    }

    fn database(&self) -> Result<&sled::Db, StoreError> {
        self.database.as_ref().ok_or_else(|| StoreError::Failed {
            operation: "use",
            cause: "it is closed".to_owned(),
        })
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

    fn write_batch(&self, mut writes: sled::Batch, number: u64) -> Result<(), StoreError> {
        writes.insert(
            SEQUENCE_KEY,
            value::seal(SEQUENCE_KEY, &number.to_be_bytes()),
        );
        let database = self.database()?;
        guarded("apply a batch", || database.apply_batch(writes))
            .map_err(|fault| self.fail(fault.failed("apply a batch")))
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let database = self.database()?;
        let physical = physical(key);
        guarded("read", || database.get(&physical))
            .map_err(|fault| fault.reading("read", key))?
            .map(|stored| served(&physical, &stored))
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
        .map_err(|fault| fault.reading("scan", from))?;
        found
            .into_iter()
            .map(|(key, stored)| {
                Ok((
                    key.get(1..).unwrap_or_default().to_vec(),
                    served(&key, &stored)?,
                ))
            })
            .collect()
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.check_fault()?;
        let mut writes = sled::Batch::default();
        for (key, value) in batch.iter() {
            let key = physical(key);
            match value {
                Some(value) => {
                    let stored = value::seal(&key, value);
                    writes.insert(key, stored);
                }
                None => writes.remove(key),
            }
        }
        let mut applied = held(&self.applied);
        let number = applied.saturating_add(1);
        self.write_batch(writes, number)?;
        *applied = number;
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
            (*applied, durable.list_blobs().map_err(failed)?)
        };
        guarded("flush", || database.flush()).map_err(|fault| self.fail(fault.failed("flush")))?;
        durable.sync(upto, blobs).map_err(failed)
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // sled syncs as it is dropped, and unwraps the answer.
        if let Some(database) = self.database.take() {
            let _ = catch_unwind(AssertUnwindSafe(move || drop(database)));
        }
    }
}

impl Durable {
    /// Makes durable what sled has written, then vouches for it.
    fn sync(&mut self, upto: u64, blobs: BTreeSet<i64>) -> io::Result<()> {
        // Large values first: the log names them.
        self.sync_blobs(blobs)?;
        self.log.sync_data()?;
        self.witness.write(upto)
    }

    /// Every large value there is, by the number in its file's name.
    fn list_blobs(&self) -> io::Result<BTreeSet<i64>> {
        let mut present = BTreeSet::new();
        for file in fs::read_dir(&self.blobs)? {
            if let Some(number) = file?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                present.insert(number);
            }
        }
        Ok(present)
    }

    /// Syncs every large value that no earlier flush has synced. sled writes
    /// each once, under a name never used again.
    fn sync_blobs(&mut self, present: BTreeSet<i64>) -> io::Result<()> {
        let mut is_new = false;
        for number in present.difference(&self.synced_blobs) {
            is_new = true;
            match sync(&self.blobs.join(number.to_string())) {
                Ok(()) => {}
                // Replaced and removed meanwhile, on a thread of sled.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(cause),
            }
        }
        if is_new {
            sync(&self.blobs)?;
        }
        self.synced_blobs = present;
        Ok(())
    }
}

/// How sled failed.
enum Fault {
    Corrupt(String),
    Failed(String),
}

impl Fault {
    fn cause(self) -> String {
        match self {
            Self::Corrupt(cause) | Self::Failed(cause) => cause,
        }
    }

    /// The failure of a write.
    fn failed(self, operation: &'static str) -> StoreError {
        StoreError::Failed {
            operation,
            cause: self.cause(),
        }
    }

    /// The failure of a read at or after `key`.
    fn reading(self, operation: &'static str, key: &[u8]) -> StoreError {
        match self {
            Self::Corrupt(_) => StoreError::Damaged {
                key: hex::encode(key),
            },
            Self::Failed(cause) => StoreError::Failed { operation, cause },
        }
    }
}

/// Runs one operation of sled and turns every way it fails into a value.
///
/// sled asserts what a sound file guarantees, on a file that may not be sound.
/// Asserting unwind safety is right because nothing sled has touched is
/// trusted afterwards: a failed open is dropped, a failed write stops all
/// writing, and a read leaves nothing behind.
fn guarded<T>(operation: &'static str, work: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(cause)) if matches!(cause, sled::Error::Corruption { .. }) => {
            Err(Fault::Corrupt(cause.to_string()))
        }
        Ok(Err(cause)) => Err(Fault::Failed(cause.to_string())),
        Err(_) => Err(Fault::Failed(format!(
            "the database panicked when asked to {operation}"
        ))),
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

/// The value to serve, or the key of a damaged one.
fn served(physical: &[u8], stored: &[u8]) -> Result<Vec<u8>, StoreError> {
    value::open(physical, stored)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| StoreError::Damaged {
            key: hex::encode(physical.get(1..).unwrap_or_default()),
        })
}

/// Flushes a file or directory to disk.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A lock whose holder panicked still guards sound data here: a number or
/// three handles, each written whole.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
