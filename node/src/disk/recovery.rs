//! Starting with a store that is not whole, and saying so.
//!
//! - A store whose newest batches are gone and which is whole otherwise is what
//!   it was before them: the node goes on, and peers bring the rest.
//! - A store in which a node met a damaged value is mended first
//!   ([`repair`]).
//! - A store that does not open is set aside under a name with the time, never
//!   deleted, and a fresh one takes its place; peers fill it.
//!
//! None of it happens when the disk is full, read-only or failing, when this
//! user may not, or when another process has the store: what is there may be
//! whole, and a person has to act. A fresh store is made before the old one is
//! moved, so that a disk that takes no fresh one moves nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Store as _, StoreError};

use super::durable::sync;
use super::repair::{RepairError, Repaired, repair};
use super::{Loss, OpenError, SledStore, marks, point, published, tables};
use crate::clock::moment;
use crate::keystore::beside;

/// What the directory of a store that was set aside has in its name, between
/// the store's name and the time.
const ASIDE: &str = ".damaged-";

/// What the directory of a store that another took the place of has in its name.
const REPLACED: &str = ".replaced-";

/// What a store is called while it is copied into the data directory.
const RESTORING: &str = ".restoring";

/// What a fresh store is called until it takes its place.
const FRESH: &str = ".fresh";

/// The file inside that says why.
const WHY_FILE: &str = "why";

/// What is read of it at most, in bytes.
const WHY_BYTES_MAX: usize = 4_096;

/// Names tried for one moment: two nodes do not start in one store, so the
/// second is rare.
const NAMES_MAX: u32 = 100;

/// Something that happened to a store as a node started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It did not open and was set aside; a fresh one is in its place.
    SetAside {
        /// Where it is now.
        to: PathBuf,
        /// Why it did not open.
        why: String,
    },
    /// Its newest batches were gone, and it is whole without them.
    Shortened(Loss),
    /// It was mended.
    Repaired(Repaired),
}

impl core::fmt::Display for Happened {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::SetAside { to, why } => write!(
                f,
                "the store did not open ({why}) and was set aside as {}; a fresh one is being filled from peers",
                to.display()
            ),
            Self::Shortened(Loss { had, has }) => write!(
                f,
                "the store had {had} batches on disk and has {has}: the newest were lost, and what peers hold of them is being fetched"
            ),
            Self::Repaired(repaired) => write!(
                f,
                "the store was mended: {} damaged values of the truth were removed and are being fetched from peers, {} of indexes were made again",
                repaired.removed_truth, repaired.removed_index
            ),
        }
    }
}

/// A store to start with, and what happened to it.
#[derive(Debug)]
pub struct Recovered {
    /// The store.
    pub store: SledStore,
    /// In the order in which it happened; empty as a rule.
    pub happened: Vec<Happened>,
}

/// Opens the store of a node that starts at `wall_ms`, mends it where it was
/// found damaged, and sets it aside where it does not open.
///
/// # Errors
/// When a person has to act: see the list at the top.
pub fn start(path: &Path, roster: &Roster, wall_ms: u64) -> Result<Recovered, OpenError> {
    finish_set_aside(path)?;
    let opened = SledStore::open_with_loss(path).and_then(|(store, loss)| match loss {
        None => Ok((store, None)),
        Some(loss) => shortened(&store, path, loss).map(|happened| (store, Some(happened))),
    });
    let (store, mut happened) = match opened {
        Ok((store, happened)) => (store, Vec::from_iter(happened)),
        Err(refused) => {
            let why = reason_to_set_aside(path, refused)?;
            let to = set_aside(path, &why, wall_ms)?;
            let store = SledStore::open(path)?;
            return Ok(Recovered {
                store,
                happened: vec![Happened::SetAside { to, why }],
            });
        }
    };
    if !marks::is_repairing(path) && !marks::is_suspect(path) {
        return Ok(Recovered { store, happened });
    }
    match repair(&store, path, roster, |_, _| {}) {
        Ok(repaired) => {
            happened.push(Happened::Repaired(repaired));
            Ok(Recovered { store, happened })
        }
        // A part of it cannot be read at all.
        Err(RepairError::Store(damaged @ StoreError::Damaged { .. })) => {
            drop(store);
            let why = tables::in_words(&damaged);
            let to = set_aside(path, &why, wall_ms)?;
            happened.push(Happened::SetAside { to, why });
            let store = SledStore::open(path)?;
            Ok(Recovered { store, happened })
        }
        Err(failed) => Err(OpenError::io("mend", path, io::Error::other(failed))),
    }
}

/// Has a store mended at the next start, since a value in it was damaged.
///
/// # Errors
/// When that cannot be noted.
pub fn suspect(path: &Path) -> io::Result<()> {
    marks::suspect(path)
}

/// Takes a store that has lost its newest batches, if it is whole without
/// them.
fn shortened(store: &SledStore, path: &Path, loss: Loss) -> Result<Happened, OpenError> {
    let Loss { had, has } = loss;
    let damaged = |also: &str| OpenError::Damaged {
        path: path.to_owned(),
        why: format!("it had {had} batches on disk and now ends at {has}{also}"),
    };
    match store.check(1) {
        Ok(report) if report.is_whole() => {}
        Ok(_) | Err(StoreError::Damaged { .. }) => {
            return Err(damaged(", and what is left is damaged too"));
        }
        Err(failed @ StoreError::Failed { .. }) => {
            return Err(OpenError::io("check", path, io::Error::other(failed)));
        }
    }
    published::before_loss(path).map_err(|cause| OpenError::io("note the loss of", path, cause))?;
    // The first flush accepts what is left.
    store
        .flush()
        .map_err(|failed| OpenError::io("flush", path, io::Error::other(failed)))?;
    Ok(Happened::Shortened(loss))
}

/// Why a store that did not open is to be set aside; the error again where it
/// must stay.
fn reason_to_set_aside(path: &Path, refused: OpenError) -> Result<String, OpenError> {
    match refused {
        OpenError::Damaged { why, .. } => Ok(why),
        // Its marker is damaged or gone, and a database is there.
        OpenError::NotAStore { why, .. } if path.join(super::DATABASE_DIR).exists() => {
            Ok(why.to_owned())
        }
        other @ (OpenError::NotAStore { .. }
        | OpenError::InUse { .. }
        | OpenError::NotEmpty { .. }
        | OpenError::Newer { .. }
        | OpenError::Unfinished { .. }
        | OpenError::Io { .. }) => Err(other),
    }
}

/// Moves a store to a name with the time and puts a fresh one in its place.
fn set_aside(path: &Path, why: &str, wall_ms: u64) -> Result<PathBuf, OpenError> {
    let io = |operation| move |cause| OpenError::io(operation, path, cause);
    // Nobody else may open it from here on.
    let lock = super::take_lock(path)?;
    let fresh = beside(path, FRESH);
    remove_if_there(&fresh).map_err(io("clear the place of a fresh store beside"))?;
    SledStore::create(&fresh).map(drop).map_err(|refused| {
        let cause = match refused {
            OpenError::Io { cause, .. } => cause,
            other @ (OpenError::InUse { .. }
            | OpenError::NotAStore { .. }
            | OpenError::NotEmpty { .. }
            | OpenError::Newer { .. }
            | OpenError::Damaged { .. }
            | OpenError::Unfinished { .. }) => io::Error::other(other),
        };
        OpenError::io("make a fresh store beside the damaged", path, cause)
    })?;
    published::before_loss(path).map_err(io("note the loss of"))?;
    point::before("write why a store is set aside");
    fs::write(path.join(WHY_FILE), format!("{why}\n")).map_err(io("note what is wrong with"))?;
    let to = free_name(path, ASIDE, wall_ms).map_err(io("find a name for"))?;
    point::before("set the store aside");
    fs::rename(path, &to).map_err(io("set aside"))?;
    point::before("put a fresh store in its place");
    fs::rename(&fresh, path).map_err(io("put a fresh store in the place of"))?;
    sync(&parent(path)).map_err(io("flush"))?;
    drop(lock);
    Ok(to)
}

/// Ends what a process left that was killed between the two moves.
fn finish_set_aside(path: &Path) -> Result<(), OpenError> {
    let fresh = beside(path, FRESH);
    if path.exists() || !fresh.exists() {
        return Ok(());
    }
    point::before("finish putting a fresh store in its place");
    fs::rename(&fresh, path)
        .and_then(|()| sync(&parent(path)))
        .map_err(|cause| OpenError::io("put a fresh store in the place of", path, cause))
}

/// Where a store is copied to that is to take the place of the one at `path`. What
/// an interrupted copy left there is removed.
///
/// # Errors
/// When that cannot be done.
pub fn place_for_copy(path: &Path) -> io::Result<PathBuf> {
    let place = beside(path, RESTORING);
    remove_if_there(&place)?;
    Ok(place)
}

/// Puts a whole copy, at [`place_for_copy`], into the place of the store at `path`
/// and returns where that one is now, if there was one. Nobody may have either
/// open. A process that is killed in between leaves what the next start finishes.
///
/// # Errors
/// When a directory cannot be moved.
pub fn put_in_place(path: &Path, wall_ms: u64) -> io::Result<Option<PathBuf>> {
    let fresh = beside(path, FRESH);
    remove_if_there(&fresh)?;
    point::before("take a copy of a store for whole");
    fs::rename(beside(path, RESTORING), &fresh)?;
    sync(&parent(path))?;
    let former = if path.exists() {
        let to = free_name(path, REPLACED, wall_ms)?;
        point::before("move the store away that a copy takes the place of");
        fs::rename(path, &to)?;
        Some(to)
    } else {
        None
    };
    point::before("put a copy in the place of the store");
    fs::rename(&fresh, path)?;
    sync(&parent(path))?;
    Ok(former)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// What a fresh store that never took its place left behind; it holds nothing.
fn remove_if_there(fresh: &Path) -> io::Result<()> {
    point::before("remove a fresh store that never took its place");
    match fs::remove_dir_all(fresh) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn free_name(path: &Path, kind: &str, wall_ms: u64) -> io::Result<PathBuf> {
    let time: String = moment(wall_ms)
        .chars()
        .filter(|char| !matches!(char, '-' | ':'))
        .collect();
    for number in 1..=NAMES_MAX {
        let again = if number == 1 {
            String::new()
        } else {
            format!("-{number}")
        };
        let name = beside(path, &format!("{kind}{time}{again}"));
        if !name.exists() {
            return Ok(name);
        }
    }
    Err(io::Error::other("every name for it is taken"))
}

/// A store that was set aside, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Where it is.
    pub path: PathBuf,
    /// Why it did not open, where that was noted.
    pub why: String,
}

/// Every store that was set aside beside this one and is still there, oldest
/// first.
///
/// # Errors
/// When the directory cannot be listed.
pub fn asides(path: &Path) -> io::Result<Vec<Aside>> {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(ASIDE);
    let prefix = prefix.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir(parent(path))? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(&prefix) {
            continue;
        }
        let why = crate::keystore::read_bounded(&entry.path().join(WHY_FILE), WHY_BYTES_MAX);
        found.push(Aside {
            path: entry.path(),
            why: why.map_or_else(
                |_| "the reason was not noted".to_owned(),
                |why| String::from_utf8_lossy(&why).trim_end().to_owned(),
            ),
        });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
