//! Why a store did not open.

use std::io;
use std::path::{Path, PathBuf};

use super::lock::pid_text;

/// Why a store was not opened or not created.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it. The command line exits with 11.
    #[error("store in use by process {}: {}; stop that process, or ask it through its control socket", pid_text(*pid), path.display())]
    InUse {
        /// The store's directory.
        path: PathBuf,
        /// The process, where its lock file tells.
        pid: Option<u32>,
    },
    /// There is no store, or something else in its place. Opening never makes
    /// one: a node that started with an empty store would trust nobody's
    /// revocations.
    #[error("no store at {}: {why}; restore it from a backup, or run \"watchfire init\" for a new node", path.display())]
    NotAStore {
        /// The store's directory.
        path: PathBuf,
        /// What was found instead.
        why: &'static str,
    },
    /// [`create`](super::SledStore::create) found something there already.
    #[error("will not create a store in {}: it is not empty; choose another directory, or move its content away", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A later version of this program wrote it.
    #[error("store {} has format {found}, this program knows formats up to {known}; use the newer program again", path.display())]
    Newer {
        /// The store's directory.
        path: PathBuf,
        /// The format it is in.
        found: u32,
        /// The newest format this program reads.
        known: u32,
    },
    /// The database is torn, or holds less than it is known to have held.
    #[error("store {} is damaged: {why}; move it away and restore it from a backup or from peers", path.display())]
    Damaged {
        /// The store's directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A repair was interrupted: its indexes are gone in part, and whoever
    /// wrote on would write over the log.
    #[error("store {} was being repaired when that was interrupted; run \"watchfire store check --rebuild\" again, or start the node, which does the same", path.display())]
    Unfinished {
        /// The store's directory.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("could not {operation} store {}: {cause}; free disk space, check the disk and who may read and write there", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The store's directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(operation: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io {
            operation,
            path: path.to_owned(),
            cause,
        }
    }
}
