//! `watchfire restore`: a data directory is put back from a copy.
//!
//! A node that was put back would go on where its copy ended, and sign other
//! envelopes under numbers it has used: to the others that is an attack. So before
//! anything is put back it is noted, durably, that this node publishes nothing
//! more in its present life (`disk/published.rs`). It runs, serves and fetches,
//! and publishes again in a new life that its root begins.
//!
//! The store of the copy takes the place of the present one. Of everything else
//! what is there stays, since it is newer, and what is missing comes from the
//! copy; of the note of what was published and of the roster chain both count.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use watchfire_protocol::ids::NodeId;

use super::error::{CliError, Code};
use super::{Context, files};
use crate::clock::wall_ms;
use crate::disk::{SledStore, chain, published, recovery};
use crate::home::{Home, HomeError};
use crate::lives::certificates_in;

/// Put this node back from a copy of its data directory
///
/// The copy must have been made while the node did not run; end the node before.
/// Where the data directory is gone, all but its invitations comes from the copy; else the
/// store does, and what else is missing. The store that was there is kept beside
/// it. The node then runs, serves and fetches what others hold, and publishes
/// nothing until its root key has begun a new life of it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire restore /media/backup/watchfire
  watchfire restore /media/backup/watchfire --data-dir /var/lib/watchfire")]
pub(crate) struct RestoreArgs {
    /// The copy: a data directory
    copy: PathBuf,
}

#[derive(Serialize)]
struct Restored {
    data_dir: String,
    copy: String,
    node: String,
    /// The life in which it publishes nothing more; 0 where it never lived.
    life_ended: u64,
    /// Where the store is that was there.
    former_store: Option<String>,
    /// Files that were missing and came from the copy.
    files: Vec<String>,
}

/// How deep directories of a data directory may lie in each other.
const DEPTH_MAX: u32 = 8;

pub(crate) fn run(context: &Context, args: &RestoreArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let copy = Home::open(&args.copy).map_err(|error| about_copy(error, &args.copy))?;
    let _copy_is_still = still(&copy)?;
    let target = context.home_path()?;
    let home = match Home::open(&target) {
        Ok(home) => home,
        Err(HomeError::NotInitialised { .. }) => Home::create(&target)?,
        Err(error) => return Err(error.into()),
    };
    if fs::canonicalize(copy.path()).ok() == fs::canonicalize(home.path()).ok() {
        return Err(
            CliError::new(Code::Usage, "the copy is the data directory itself")
                .hint("name the copy, and the data directory with --data-dir"),
        );
    }
    let _lock = home.lock()?;
    let node = same_node(&home, &copy)?;
    same_federation(&home, &copy)?;

    let progress = ui.progress("copying the store");
    let store = home.store();
    let place = recovery::place_for_copy(&store).map_err(io_of("clear the place of", &store))?;
    copy_all(&copy.store(), &place, 0)?;
    progress.now("reading the copy");
    let life = latest_life(&home, &copy, &place, &node)?;
    progress.now("putting it in place");
    // From here on the node publishes nothing in that life, whatever happens next.
    let life_ended = if life.is_some() || published::path_for(&copy.store()).exists() {
        published::before_restore(&store, &copy.store(), &node, life.unwrap_or(0))
            .map_err(io_of("note that this is put back:", &store))?
    } else {
        0
    };
    let mut came = Vec::new();
    bring_missing(copy.path(), home.path(), Path::new(""), &mut came, 0)?;
    let former = recovery::put_in_place(&store, wall_ms())
        .map_err(io_of("put the copy in the place of", &store))?;
    drop(progress);

    let restored = Restored {
        data_dir: home.path().display().to_string(),
        copy: copy.path().display().to_string(),
        node: node.to_string(),
        life_ended,
        former_store: former.map(|path| path.display().to_string()),
        files: came,
    };
    if ui.json() {
        return ui.document("restore", &restored);
    }
    let mut fields = vec![
        ("put back", restored.data_dir.clone()),
        ("from", restored.copy.clone()),
        ("node", files::grouped(&restored.node)),
        ("life ended", restored.life_ended.to_string()),
        ("other files put back", restored.files.len().to_string()),
    ];
    if let Some(former) = &restored.former_store {
        fields.push(("former store", former.clone()));
    }
    ui.fields(&fields)?;
    if restored.files.iter().any(|file| file.ends_with(".votes")) {
        ui.note("note: a record of what the root key voted came from the copy: it does not know of votes since");
    }
    ui.note(
        "next: start the node; it publishes nothing yet. When \"watchfire sync now\" is done, run",
    );
    ui.note("  watchfire key request --new-incarnation");
    Ok(())
}

fn about_copy(error: HomeError, copy: &Path) -> CliError {
    match error {
        HomeError::NotInitialised { .. } => CliError::new(
            Code::NotFound,
            format!("{} is no copy of a data directory", copy.display()),
        )
        .hint("name the directory that holds \"keys\" and \"store\""),
        other @ (HomeError::NotEmpty { .. }
        | HomeError::Exposed { .. }
        | HomeError::WrongOwner { .. }
        | HomeError::NotADirectory { .. }
        | HomeError::InUse { .. }
        | HomeError::NoDefault
        | HomeError::SocketPathTooLong { .. }
        | HomeError::Io { .. }) => other.into(),
    }
}

fn io_of<'a>(operation: &'a str, path: &'a Path) -> impl Fn(io::Error) -> CliError + 'a {
    move |cause| {
        let code = if cause.kind() == io::ErrorKind::PermissionDenied {
            Code::NotAllowed
        } else {
            Code::Failure
        };
        CliError::new(
            code,
            format!("could not {operation} {}: {cause}", path.display()),
        )
        .hint("nothing was put in place of the present store; run the same command again")
    }
}

/// Makes sure that no node runs in the copy, without writing there: it may lie on
/// a medium that takes nothing. What is returned keeps one from starting.
fn still(copy: &Home) -> Result<Option<File>, CliError> {
    let path = copy.path().join("lock");
    let Ok(file) = File::open(&path) else {
        return Ok(None);
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(CliError::new(
            Code::InUse,
            format!("a node runs in {}", copy.path().display()),
        )
        .hint("end it and copy its data directory then: a copy of what changes may be torn")),
        // Some file systems have no locks.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Which node the copy is of; it must be the one of the data directory, if that
/// has keys.
fn same_node(home: &Home, copy: &Home) -> Result<NodeId, CliError> {
    let of_copy = files::public_half(&copy.transport_key())?;
    let pairs = [
        (home.transport_key(), copy.transport_key()),
        (home.signing_key(), copy.signing_key()),
    ];
    for (here, there) in pairs {
        if here.exists() && files::public_half(&here)? != files::public_half(&there)? {
            return Err(CliError::new(
                Code::Verification,
                format!("the copy is of another node than {}", home.path().display()),
            )
            .hint("name another copy, or another data directory with --data-dir"));
        }
    }
    Ok(NodeId::of_transport(of_copy.as_bytes()))
}

/// Both must be of one federation, and of one roster chain as far as both have it.
fn same_federation(home: &Home, copy: &Home) -> Result<(), CliError> {
    let other = |what: &str| {
        CliError::new(
            Code::Verification,
            format!("the copy and the data directory hold {what}"),
        )
        .hint("one of them is of another federation or was tampered with: do not use either before you know which")
    };
    let genesis = |home: &Home| fs::read(home.genesis()).ok();
    if let (Some(here), Some(there)) = (genesis(home), genesis(copy))
        && here != there
    {
        return Err(other("two different geneses"));
    }
    let (here, there) = (chain::read(&home.store())?, chain::read(&copy.store())?);
    if here
        .iter()
        .zip(&there)
        .any(|(here, there)| here.id() != there.id())
    {
        return Err(other("two different rosters of one epoch"));
    }
    Ok(())
}

/// The latest life of the node that directory, copy or its store know of. Reading
/// the copied store shows that it opens, too.
fn latest_life(
    home: &Home,
    copy: &Home,
    copied: &Path,
    node: &NodeId,
) -> Result<Option<u64>, CliError> {
    let mut lives = Vec::new();
    for of in [home, copy] {
        if let Some(roster) = files::roster(of)? {
            lives.extend(
                roster
                    .known_certificates()
                    .filter(|held| held.node == *node)
                    .map(|held| held.incarnation),
            );
        }
    }
    let store = SledStore::open(copied).map_err(|error| {
        let mut error = CliError::from(error);
        error.message = format!("the store of the copy is not whole: {}", error.message);
        error.hints = vec!["take another copy; nothing was changed".to_owned()];
        error
    })?;
    lives.extend(certificates_in(&store)?.iter().filter_map(|held| {
        let claimed = held.claims().ok()?;
        (claimed.node() == *node).then_some(claimed.incarnation)
    }));
    Ok(lives.into_iter().max())
}

/// Whether a file at the top of a data directory is not one to be put back as it
/// is: who uses it, what others connect to, and what is handled on its own.
fn is_apart(name: &str) -> bool {
    name == "lock" || name == "control.sock" || (name.starts_with("store") && name != "store.chain")
}

/// Copies what is in the copy and not here, and names it.
fn bring_missing(
    from: &Path,
    to: &Path,
    below: &Path,
    came: &mut Vec<String>,
    depth: u32,
) -> Result<(), CliError> {
    for entry in list(from)? {
        let name = entry.file_name();
        if depth == 0 && name.to_str().is_none_or(is_apart) {
            continue;
        }
        let (there, here) = (entry.path(), to.join(&name));
        let kind = entry.file_type().map_err(io_of("look at", &there))?;
        if kind.is_dir() && depth < DEPTH_MAX {
            make_dir(&here)?;
            bring_missing(&there, &here, &below.join(&name), came, depth + 1)?;
        } else if kind.is_file() && !here.exists() {
            copy_file(&there, &here)?;
            came.push(below.join(&name).display().to_string());
        }
    }
    flush(to)
}

/// Copies a directory whole.
fn copy_all(from: &Path, to: &Path, depth: u32) -> Result<(), CliError> {
    make_dir(to)?;
    for entry in list(from)? {
        let (there, here) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(io_of("look at", &there))?;
        if kind.is_dir() && depth < DEPTH_MAX {
            copy_all(&there, &here, depth + 1)?;
        } else if kind.is_file() {
            copy_file(&there, &here)?;
        }
    }
    flush(to)
}

fn list(dir: &Path) -> Result<Vec<fs::DirEntry>, CliError> {
    fs::read_dir(dir)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(io_of("list", dir))
}

fn make_dir(path: &Path) -> Result<(), CliError> {
    use std::os::unix::fs::DirBuilderExt as _;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
            Err(io_of("make", path)(cause))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Under another name first, so that a file that is there is whole.
fn copy_file(from: &Path, to: &Path) -> Result<(), CliError> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let fresh = to.with_file_name(name);
    fs::copy(from, &fresh)
        .and_then(|_| File::open(&fresh)?.sync_all())
        .and_then(|()| fs::rename(&fresh, to))
        .map_err(io_of("copy", from))
}

fn flush(dir: &Path) -> Result<(), CliError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_of("flush", dir))
}
