//! What this node prepared last, kept beside the store and not in it.
//!
//! A node prepares one roster in a round. One that lost its store, or had an old
//! copy of it put back, must not prepare another in that round: two signatures
//! would name it a double voter, with nothing that it did wrong. So the last
//! vote is in a file of its own, flushed before the store holds it and so before
//! it is let out, and a node starts from whichever of the two is later.
//!
//! ```text
//! store.prepared:
//!
//! watchfire-prepared 1
//! prepared <epoch> <round> <roster>
//! end
//! ```

use std::path::{Path, PathBuf};

use watchfire_protocol::store::Batch;
use watchfire_protocol::table::{self, PREPARED_BYTES_MAX, Prepared};
use watchfire_protocol::wire::codec;

use super::point;
use crate::keystore::{FileError, MODE_PRIVATE, beside, read_bounded, write_atomic};

/// What follows the store's name.
const SUFFIX: &str = ".prepared";

const TITLE: &str = "watchfire-prepared 1";

/// Longest file: the title, two numbers and an id take under 130 bytes.
const FILE_BYTES_MAX: usize = 256;

/// Why the file beside a store cannot be used. A node does not start then: it
/// might sign a second roster in one round.
#[derive(Debug, thiserror::Error)]
pub enum PreparedError {
    /// It is not as it was written.
    #[error("{} does not say what this node prepared last; put it back from a copy, or move it away once \"watchfire roster status\" of another member shows that nothing is proposed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Where the file of a store is.
pub fn path_for(store: &Path) -> PathBuf {
    beside(store, SUFFIX)
}

fn text(prepared: &Prepared) -> String {
    let Prepared {
        epoch,
        round,
        roster,
    } = prepared;
    format!("{TITLE}\nprepared {epoch} {round} {roster}\nend\n")
}

fn parse(bytes: &[u8]) -> Option<Prepared> {
    let whole = std::str::from_utf8(bytes).ok()?;
    let words: Vec<&str> = whole.lines().nth(1)?.split(' ').collect();
    let ["prepared", epoch, round, roster] = words.as_slice() else {
        return None;
    };
    let prepared = Prepared {
        epoch: epoch.parse().ok()?,
        round: round.parse().ok()?,
        roster: roster.parse().ok()?,
    };
    // One text for one vote: what is cut off or added is found.
    (text(&prepared) == whole).then_some(prepared)
}

/// What this node prepared last; none, where it never did.
///
/// # Errors
/// When the file cannot be read, or is not as it was written.
pub fn read(store: &Path) -> Result<Option<Prepared>, PreparedError> {
    let path = path_for(store);
    match read_bounded(&path, FILE_BYTES_MAX) {
        Ok(bytes) => parse(&bytes)
            .map(Some)
            .ok_or(PreparedError::Malformed { path }),
        Err(FileError::Missing { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// Keeps what a batch says that this node prepares, durably, before the store
/// has it.
pub(crate) fn keep(store: &Path, batch: &Batch) -> Result<(), FileError> {
    let key = table::prepared();
    for (_, value) in batch.iter().filter(|(at, _)| *at == key) {
        let prepared = value.and_then(|value| codec::decode(value, PREPARED_BYTES_MAX).ok());
        if let Some(prepared) = prepared {
            point::before("write what this node prepared");
            write_atomic(&path_for(store), text(&prepared).as_bytes(), MODE_PRIVATE)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::fs;

    use watchfire_protocol::ids::RosterId;

    use super::*;

    fn prepared(epoch: u64, round: u32) -> Prepared {
        Prepared {
            epoch,
            round,
            roster: RosterId::from_bytes([7; 32]),
        }
    }

    fn kept(store: &Path, prepared: &Prepared) {
        let mut batch = Batch::default();
        batch.put(b"Lother".to_vec(), vec![1]);
        batch.put(table::prepared(), codec::encode(prepared));
        keep(store, &batch).unwrap();
    }

    #[test]
    fn the_last_vote_is_kept_and_read() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store");
        assert_eq!(read(&store).unwrap(), None);
        let mut other = Batch::default();
        other.put(b"Lother".to_vec(), vec![1]);
        keep(&store, &other).unwrap();
        assert_eq!(read(&store).unwrap(), None);
        for last in [
            prepared(1, 1),
            prepared(1, 1_000),
            prepared(u64::MAX, u32::MAX),
        ] {
            kept(&store, &last);
            assert_eq!(read(&store).unwrap(), Some(last));
        }
    }

    #[test]
    fn every_damage_stops_the_start() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store");
        kept(&store, &prepared(3, 2));
        let path = path_for(&store);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&store).is_err(), "cut to {length}");
        }
        for after in [&b"end\n"[..], b" ", &[b'x'; FILE_BYTES_MAX]] {
            fs::write(&path, [&whole[..], after].concat()).unwrap();
            assert!(read(&store).is_err());
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(read(&store).unwrap(), Some(prepared(3, 2)));
    }
}
