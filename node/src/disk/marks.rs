//! Marks in a store's directory that outlive the process that made them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::durable::sync;
use super::point;

/// A repair has begun and has not ended.
const REPAIRING: &str = "store.repairing";

/// A node met a damaged value: a repair is due before the next one runs.
const SUSPECT: &str = "store.suspect";

/// Whether a repair was begun and not ended.
pub(crate) fn is_repairing(store: &Path) -> bool {
    store.join(REPAIRING).exists()
}

/// Whether a node met a damaged value, since the last repair: it may have gone
/// on, or ended for its sake.
pub(crate) fn is_suspect(store: &Path) -> bool {
    store.join(SUSPECT).exists()
}

/// Notes that a repair begins. Durable, since what follows takes indexes away.
pub(crate) fn begin_repair(store: &Path) -> io::Result<()> {
    make(store, REPAIRING)
}

/// Notes that a repair is over.
pub(crate) fn end_repair(store: &Path) -> io::Result<()> {
    for mark in [REPAIRING, SUSPECT] {
        point::before("remove a mark");
        match fs::remove_file(store.join(mark)) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
    }
    sync(store)
}

/// Notes that a repair is due.
pub(crate) fn suspect(store: &Path) -> io::Result<()> {
    make(store, SUSPECT)
}

fn make(store: &Path, mark: &str) -> io::Result<()> {
    point::before("make a mark");
    File::create(store.join(mark))?.sync_all()?;
    sync(store)
}
