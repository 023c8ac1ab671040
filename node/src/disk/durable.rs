//! Making durable what sled has written: see the list in [`super`].

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::point;
use super::witness::Witness;

/// What a flush needs besides sled.
#[derive(Debug)]
pub(super) struct Durable {
    /// A second handle on sled's log, for `fdatasync`.
    pub(super) log: File,
    blobs: PathBuf,
    /// The large values synced so far, by the number in their file's name:
    /// eight bytes for each value above half a mebibyte.
    synced_blobs: BTreeSet<i64>,
    witness: Witness,
}

impl Durable {
    /// Over the files of the database in `database`.
    pub(super) fn open(database: &Path, witness: Witness) -> io::Result<Self> {
        Ok(Self {
            log: OpenOptions::new()
                .read(true)
                .write(true)
                .open(database.join("db"))?,
            blobs: database.join("blobs"),
            synced_blobs: BTreeSet::new(),
            witness,
        })
    }

    /// Makes durable what sled has written, then vouches for it.
    pub(super) fn sync(&mut self, upto: u64, blobs: BTreeSet<i64>) -> io::Result<()> {
        // Large values first: the log names them.
        self.sync_blobs(blobs)?;
        point::before("sync the log");
        self.log.sync_data()?;
        self.witness.write(upto)
    }

    /// Every large value there is, by the number in its file's name.
    pub(super) fn list_blobs(&self) -> io::Result<BTreeSet<i64>> {
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

/// Flushes a file or directory to disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    point::before("sync a file or directory");
    File::open(path)?.sync_all()
}
