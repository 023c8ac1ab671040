//! The roster chain, kept beside the store and not in it.
//!
//! A node that lost its store, or had an old copy of it put back, must not go
//! back to a roster that it has left: somebody who was expelled would be a
//! member again. So each link is a file of its own, flushed before the store
//! holds it, and a node starts from whichever of the two knows more.
//!
//! ```text
//! store.chain/00000001   the link that leads to epoch 1, as `wire::roster::Link`
//! store.chain/00000002
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use watchfire_protocol::limits::LINK_BYTES_MAX;
use watchfire_protocol::store::Batch;
use watchfire_protocol::table;
use watchfire_protocol::wire::roster::Link;

use super::point;
use crate::keystore::{FileError, MODE_PRIVATE, beside, read_bounded, write_atomic};

/// What follows the store's name.
const SUFFIX: &str = ".chain";

/// Why the chain beside a store cannot be used. A node does not start then: it
/// would trust a roster that it may have left.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A file is there that is no link.
    #[error("{} is no link of a roster chain: {why}; put back this file from a copy, or import the chain from another member into a new data directory", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What the codec said.
        why: String,
    },
    /// A link is missing, and later ones are there.
    #[error("{} is missing, and later links of the roster chain are there; put it back from a copy, or from another member's", path.display())]
    Gap {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Where the chain of a store is.
pub fn path_for(store: &Path) -> PathBuf {
    beside(store, SUFFIX)
}

fn file_of(chain: &Path, epoch: u64) -> PathBuf {
    chain.join(format!("{epoch:08}"))
}

/// Reads the links there are, from epoch 1 on.
///
/// # Errors
/// When one cannot be read or is none.
pub fn read(store: &Path) -> Result<Vec<Link>, ChainError> {
    let chain = path_for(store);
    let mut links = Vec::new();
    for epoch in 1.. {
        let path = file_of(&chain, epoch);
        let bytes = match read_bounded(&path, LINK_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(FileError::Missing { .. }) => {
                return if is_last(&chain, epoch) {
                    Ok(links)
                } else {
                    Err(ChainError::Gap { path })
                };
            }
            Err(other) => return Err(other.into()),
        };
        let link = Link::from_bytes(&bytes).map_err(|why| ChainError::Malformed {
            path,
            why: why.to_string(),
        })?;
        links.push(link);
    }
    Ok(links)
}

/// Whether no link of this epoch or a later one is there.
fn is_last(chain: &Path, epoch: u64) -> bool {
    let Ok(entries) = fs::read_dir(chain) else {
        return true;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok())
        .all(|there| there < epoch)
}

/// Keeps what a batch adds to the chain, durably, before the store has it.
pub(crate) fn keep(store: &Path, batch: &Batch) -> Result<(), FileError> {
    for (key, value) in batch.iter() {
        let (Some(epoch), Some(link)) = (table::epoch_of(key), value) else {
            continue;
        };
        let chain = path_for(store);
        point::before("make the folder of the chain");
        fs::create_dir_all(&chain).map_err(|cause| FileError::Io {
            operation: "make",
            path: chain.clone(),
            cause,
        })?;
        point::before("write a link of the chain");
        write_atomic(&file_of(&chain, epoch), link, MODE_PRIVATE)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use watchfire_protocol::wire::{Bytes, List};

    fn link(byte: u8) -> Link {
        Link {
            roster: Bytes::new(vec![byte; 40]).unwrap(),
            round: 1,
            commits: List::default(),
            consents: List::default(),
        }
    }

    #[test]
    fn links_are_kept_one_by_one_and_read_in_order() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store");
        assert_eq!(read(&store).unwrap(), []);
        for epoch in 1..=3 {
            let mut batch = Batch::default();
            batch.put(
                table::link(epoch),
                link(u8::try_from(epoch).unwrap()).to_bytes(),
            );
            batch.put(b"Lother".to_vec(), vec![1]);
            keep(&store, &batch).unwrap();
        }
        assert_eq!(read(&store).unwrap(), [link(1), link(2), link(3)]);
    }

    #[test]
    fn a_gap_stops_the_start() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store");
        for epoch in [1, 3] {
            let mut batch = Batch::default();
            batch.put(table::link(epoch), link(1).to_bytes());
            keep(&store, &batch).unwrap();
        }
        assert!(matches!(read(&store), Err(ChainError::Gap { .. })));
    }

    #[test]
    fn a_file_that_is_no_link_stops_the_start() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store");
        let mut batch = Batch::default();
        batch.put(table::link(1), link(1).to_bytes());
        keep(&store, &batch).unwrap();
        fs::write(file_of(&path_for(&store), 1), b"garbage").unwrap();
        let Err(ChainError::Malformed { .. }) = read(&store) else {
            panic!("garbage was read as a link");
        };
    }
}
