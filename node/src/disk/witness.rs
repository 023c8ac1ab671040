//! What a store knows about itself outside its database: which format it is
//! in, and how far it had been flushed.
//!
//! The second is there because a log-structured database that finds a torn
//! record takes it for the end of its log, which is right after a power cut
//! and wrong after damage: it would open, quietly, as it was last week,
//! without that week's revocations. The witness holds the number of the last
//! batch known to be on disk; a database that has fewer has lost something.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::disk::OpenError;
use crate::disk::point;
use crate::disk::value;
use crate::keystore;

/// The format this program writes, and the newest it reads.
pub(crate) const FORMAT: u32 = 1;

const FORMAT_FILE: &str = "store.format";
const FORMAT_MAGIC: &str = "watchfire-store ";
/// The magic, ten digits and a newline fit three times.
const FORMAT_BYTES_MAX: u64 = 80;

const WITNESS_FILE: &str = "store.flushed";
/// What the checksum of the witness is bound to.
const WITNESS_KEY: &[u8] = b"flushed";

/// Writes the format marker: the last act of creating a store, so that a
/// half-made one never passes for a whole one.
pub(crate) fn write_format(store: &Path) -> Result<(), OpenError> {
    let text = format!("{FORMAT_MAGIC}{FORMAT}\n");
    point::before("write the format");
    keystore::write_new(
        &store.join(FORMAT_FILE),
        text.as_bytes(),
        keystore::MODE_PRIVATE,
    )
    .map_err(|cause| OpenError::Io {
        operation: "write the format marker of",
        path: store.to_owned(),
        cause: io::Error::other(cause),
    })
}

/// Refuses a directory whose marker is missing, unknown, or newer than this
/// program. Touches nothing, so that a newer store is left as it is.
pub(crate) fn check_format(store: &Path) -> Result<(), OpenError> {
    let not_a_store = |why| OpenError::NotAStore {
        path: store.to_owned(),
        why,
    };
    match fs::metadata(store) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(not_a_store("it is not a directory")),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(not_a_store("it does not exist"));
        }
        Err(cause) => return Err(OpenError::io("look at", store, cause)),
    }
    let mut bytes = Vec::new();
    match File::open(store.join(FORMAT_FILE)) {
        Ok(file) => file
            .take(FORMAT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|cause| OpenError::io("read the format marker of", store, cause))?,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(not_a_store("it has no format marker, store.format"));
        }
        Err(cause) => return Err(OpenError::io("read the format marker of", store, cause)),
    };
    let found: u32 = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| {
            text.strip_prefix(FORMAT_MAGIC)?
                .strip_suffix('\n')?
                .parse()
                .ok()
        })
        .ok_or_else(|| not_a_store("its format marker, store.format, is unreadable"))?;
    match found {
        FORMAT => Ok(()),
        0 => Err(not_a_store(
            "its format marker, store.format, is unreadable",
        )),
        newer => Err(OpenError::Newer {
            path: store.to_owned(),
            found: newer,
            known: FORMAT,
        }),
    }
}

/// The open witness file.
#[derive(Debug)]
pub(crate) struct Witness {
    file: File,
}

impl Witness {
    /// Creates the witness of a store with nothing in it.
    pub(crate) fn create(store: &Path) -> io::Result<Self> {
        point::before("make the witness");
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(store.join(WITNESS_FILE))?;
        let witness = Self { file };
        witness.write(0)?;
        point::before("sync the witness");
        witness.file.sync_all()?;
        Ok(witness)
    }

    /// Opens the witness and reads the number of the last batch it vouches
    /// for; nothing when the file does not hold one.
    pub(crate) fn open(store: &Path) -> io::Result<(Self, Option<u64>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(store.join(WITNESS_FILE))?;
        let mut bytes = Vec::new();
        (&mut file).take(FORMAT_BYTES_MAX).read_to_end(&mut bytes)?;
        let number = value::open(WITNESS_KEY, &bytes)
            .and_then(|number| number.try_into().ok())
            .map(u64::from_be_bytes);
        Ok((Self { file }, number))
    }

    /// Vouches for every batch up to `number`, which must be on disk already.
    ///
    /// This is one write of seventeen bytes over themselves, without a flush of
    /// its own: that would double the cost of a commit. A killed process loses
    /// nothing by it; after a power cut the witness may vouch for less than
    /// there is, never for more.
    pub(crate) fn write(&self, number: u64) -> io::Result<()> {
        point::before("write the witness");
        self.file
            .write_all_at(&value::seal(WITNESS_KEY, &number.to_be_bytes()), 0)
    }
}
