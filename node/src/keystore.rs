//! Files that must be whole, and files that must be secret.
//!
//! What a key file holds is `watchfire-crypto`'s business; how it gets on disk
//! and who may read it is this file's. Writing is atomic (a temporary file
//! beside the target, flushed, then put in its place, then the directory
//! flushed), so that after a power cut there is the old file or the new one.
//! Reading refuses a secret that others could have read or exchanged.

mod passphrase;
pub mod root;
pub mod token;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

pub use passphrase::{
    PASSPHRASE_CREDENTIAL, PassphraseError, PassphraseSource, PassphraseUse,
    ROOT_PASSPHRASE_CREDENTIAL,
};
pub use root::RootSigner;
pub use token::{Token, TokenError, TokenKey, TokenRoot};

/// Owner reads and writes, nobody else anything.
pub const MODE_PRIVATE: u32 = 0o600;

/// As [`MODE_PRIVATE`], and everyone reads: cards and genesis documents.
pub const MODE_PUBLIC: u32 = 0o644;

/// The largest key or passphrase file read, in bytes. A key file holds one
/// sealed seed and its parameters, some 300 bytes; the rest is room for
/// comments and stops a mistaken path (`/dev/zero`, a disk image) early.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Why a file was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Something is there, and overwriting was not asked for.
    #[error("{} exists and is not overwritten; move it away first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error("{} does not exist; check the path, or run \"watchfire init\"", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is a symbolic link, a directory or a device: what it names can be
    /// exchanged by whoever owns the other end.
    #[error("{} is {found} and not a regular file; put the file itself there", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What was found.
        found: &'static str,
    },
    /// Others may read or write it.
    #[error("{} is open to others (mode {:04o}); run \"chmod 600 {}\", and replace the secret if they may have read it", path.display(), mode, path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user owns it, and could have chosen what is in it.
    #[error("{} belongs to user {owner}, and this process runs as user {expected}; run as that user, or \"chown {expected} {}\"", path.display(), path.display())]
    WrongOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        expected: u32,
    },
    /// It is longer than anything that belongs there.
    #[error("{} is longer than {bytes_max} bytes; check that it is the right file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: usize,
    },
    /// The operating system refused.
    #[error("could not {operation} {}: {cause}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
}

impl FileError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| {
            if cause.kind() == io::ErrorKind::NotFound && operation == READ {
                Self::Missing { path }
            } else if cause.kind() == io::ErrorKind::AlreadyExists {
                Self::Exists { path }
            } else {
                Self::Io {
                    operation,
                    path,
                    cause,
                }
            }
        }
    }
}

const READ: &str = "read";
const WRITE: &str = "write";

/// What to do with a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave it, and report [`FileError::Exists`].
    Never,
    /// Put the new one in its place.
    Replace,
}

/// The path beside this one, under its name and what follows it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Writes `bytes` to `path`, replacing what is there, whole or not at all.
/// `mode` is narrowed by the process's umask, never widened.
///
/// # Errors
/// [`FileError::Io`]; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write(path, bytes, mode, Overwrite::Replace)
}

/// As [`write_atomic`], refusing to replace anything, also when another
/// process makes the file at the same moment.
///
/// # Errors
/// [`FileError::Exists`], or [`FileError::Io`].
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write(path, bytes, mode, Overwrite::Never)
}

/// Writes a key file, readable by its owner alone.
///
/// # Errors
/// As [`write_new`] or [`write_atomic`].
pub fn write_key(path: &Path, bytes: &[u8], overwrite: Overwrite) -> Result<(), FileError> {
    write(path, bytes, MODE_PRIVATE, overwrite)
}

/// Reads a secret: a regular file of at most [`SECRET_BYTES_MAX`] bytes that
/// belongs to this process's user and that nobody else may touch. The bytes
/// are erased when dropped.
///
/// # Errors
/// Each refusal is its own [`FileError`] and names the path and the remedy.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_guarded(path, |found| {
        let expected =
            own_uid().map_err(FileError::io("find out this process's user to read", path))?;
        if found.uid() != expected {
            return Err(FileError::WrongOwner {
                path: path.to_owned(),
                owner: found.uid(),
                expected,
            });
        }
        not_open_to(found, 0o077, path)
    })
}

/// Reads a public file of at most `bytes_max` bytes: a card, a genesis
/// document. Anyone may have written it; its content is checked elsewhere.
///
/// # Errors
/// [`FileError::Missing`], [`FileError::TooLong`] or [`FileError::Io`].
pub fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(FileError::io(READ, path))?;
    let mut bytes = Vec::new();
    read_at_most(file, bytes_max, path, &mut bytes)?;
    Ok(bytes)
}

/// The user this process acts as.
///
/// The standard library has no call for it; a pipe made just now belongs to
/// us, on every Unix, and `/proc` need not be mounted nor tell the truth about
/// a process that may not be traced.
///
/// # Errors
/// When no pipe can be had: no file descriptors left.
pub fn own_uid() -> io::Result<u32> {
    let (reader, _writer) = io::pipe()?;
    Ok(File::from(OwnedFd::from(reader)).metadata()?.uid())
}

/// Flushes the directory that holds `path`, so that its name survives too.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

fn write(path: &Path, bytes: &[u8], mode: u32, overwrite: Overwrite) -> Result<(), FileError> {
    let temporary = temporary_beside(path)?;
    let placed = write_whole(&temporary, bytes, mode).and_then(|()| match overwrite {
        Overwrite::Replace => fs::rename(&temporary, path),
        // A hard link, unlike a rename, fails where something is already.
        Overwrite::Never => fs::hard_link(&temporary, path),
    });
    if placed.is_err() || overwrite == Overwrite::Never {
        // Not an error of the write: the file is in its place, or was refused.
        let _ = fs::remove_file(&temporary);
    }
    placed.map_err(FileError::io(WRITE, path))?;
    sync_parent(path).map_err(FileError::io("flush the directory of", path))
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the same directory, hence on the same file system, that no other
/// thread or process uses now.
fn temporary_beside(path: &Path) -> Result<PathBuf, FileError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(FileError::NotAFile {
            path: path.to_owned(),
            found: "a directory",
        });
    };
    let mut temporary = OsString::from(".");
    temporary.push(name);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}.{count}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

fn not_open_to(found: &fs::Metadata, others: u32, path: &Path) -> Result<(), FileError> {
    let mode = found.mode() & 0o7777;
    if mode & others != 0 {
        return Err(FileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Reads a regular file after `judge` has seen the metadata of the very file
/// that is open, so that nothing can be exchanged in between.
fn read_guarded(
    path: &Path,
    judge: impl FnOnce(&fs::Metadata) -> Result<(), FileError>,
) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let not_a_file = |found| FileError::NotAFile {
        path: path.to_owned(),
        found,
    };
    // Looked at before opening: opening a pipe would wait for a writer.
    let named = fs::symlink_metadata(path).map_err(FileError::io(READ, path))?;
    if named.is_symlink() {
        return Err(not_a_file("a symbolic link"));
    }
    if named.is_dir() {
        return Err(not_a_file("a directory"));
    }
    if !named.is_file() {
        return Err(not_a_file("a device or a pipe"));
    }
    let file = File::open(path).map_err(FileError::io(READ, path))?;
    let opened = file.metadata().map_err(FileError::io(READ, path))?;
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(not_a_file("being exchanged"));
    }
    judge(&opened)?;
    // Room for all of it at once: a growing vector leaves copies behind that
    // nothing erases.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 64));
    read_at_most(file, SECRET_BYTES_MAX, path, &mut bytes)?;
    Ok(bytes)
}

fn read_at_most(
    file: File,
    bytes_max: usize,
    path: &Path,
    bytes: &mut Vec<u8>,
) -> Result<(), FileError> {
    // `usize` has at most 64 bits wherever Rust runs.
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(limit)
        .read_to_end(bytes)
        .map_err(FileError::io(READ, path))?;
    if bytes.len() > bytes_max {
        return Err(FileError::TooLong {
            path: path.to_owned(),
            bytes_max,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn put(path: &Path, bytes: &[u8], mode: u32) {
        // One that may not be written must not stand in the way.
        let _ = fs::remove_file(path);
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_key_comes_back_and_only_its_owner_may_read_it() {
        let dir = dir();
        let path = dir.path().join("root.key");
        write_key(&path, b"sealed", Overwrite::Never).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(**read_secret(&path).unwrap(), *b"sealed");
        assert_eq!(names(dir.path()), ["root.key"], "no temporary file stays");
    }

    #[test]
    fn a_key_is_not_overwritten_unless_asked() {
        let dir = dir();
        let path = dir.path().join("root.key");
        write_key(&path, b"first", Overwrite::Never).unwrap();
        let refused = write_key(&path, b"second", Overwrite::Never).unwrap_err();
        assert!(matches!(refused, FileError::Exists { .. }), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        write_key(&path, b"second", Overwrite::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(dir.path()), ["root.key"]);
    }

    #[test]
    fn a_link_in_the_way_of_a_write_is_replaced_and_not_followed() {
        let dir = dir();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, b"untouched").unwrap();
        let path = dir.path().join("card");
        symlink(&elsewhere, &path).unwrap();
        assert!(matches!(
            write_new(&path, b"new", MODE_PUBLIC),
            Err(FileError::Exists { .. })
        ));
        write_atomic(&path, b"new", MODE_PUBLIC).unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = dir();
        let path = dir.path().join("there");
        fs::create_dir(&path).unwrap();
        assert!(
            write_atomic(&path, b"bytes", MODE_PUBLIC).is_err(),
            "a directory is in the way"
        );
        assert_eq!(names(dir.path()), ["there"]);
        assert!(write_atomic(Path::new("/"), b"bytes", MODE_PUBLIC).is_err());
        assert!(write_atomic(&dir.path().join("none/file"), b"bytes", MODE_PUBLIC).is_err());
    }

    #[test]
    fn secrets_that_others_may_touch_are_refused_with_the_remedy() {
        let dir = dir();
        let path = dir.path().join("signing.key");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o777] {
            put(&path, b"seed", mode);
            let text = read_secret(&path).unwrap_err().to_string();
            assert!(text.contains(&format!("mode {mode:04o}")), "{text}");
            assert!(
                text.contains(&format!("chmod 600 {}", path.display())),
                "{text}"
            );
        }
        for mode in [0o600, 0o400] {
            put(&path, b"seed", mode);
            assert!(read_secret(&path).is_ok());
        }
    }

    #[test]
    fn secrets_of_another_user_are_refused() {
        let dir = dir();
        let path = dir.path().join("signing.key");
        put(&path, b"seed", 0o600);
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
            // Only the superuser may give a file away; for anyone else there
            // is no such file to make, and nothing to check.
            return;
        }
        let refused = read_secret(&path).unwrap_err();
        assert!(
            matches!(refused, FileError::WrongOwner { owner: 12_345, .. }),
            "{refused}"
        );
    }

    #[test]
    fn our_own_user_is_the_owner_of_what_we_make() {
        let dir = dir();
        assert_eq!(own_uid().unwrap(), fs::metadata(dir.path()).unwrap().uid());
    }

    #[test]
    fn secrets_behind_links_directories_pipes_and_sizes_are_refused() {
        let dir = dir();
        let path = dir.path().join("key");
        put(&path, b"seed", 0o600);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(
            read_secret(&link),
            Err(FileError::NotAFile {
                found: "a symbolic link",
                ..
            })
        ));
        assert!(matches!(
            read_secret(dir.path()),
            Err(FileError::NotAFile {
                found: "a directory",
                ..
            })
        ));
        assert!(matches!(
            read_secret(Path::new("/dev/null")),
            Err(FileError::NotAFile { .. })
        ));
        assert!(matches!(
            read_secret(&dir.path().join("none")),
            Err(FileError::Missing { .. })
        ));
        put(&path, &vec![0; SECRET_BYTES_MAX], 0o600);
        assert_eq!(read_secret(&path).unwrap().len(), SECRET_BYTES_MAX);
        put(&path, &vec![0; SECRET_BYTES_MAX + 1], 0o600);
        assert!(matches!(read_secret(&path), Err(FileError::TooLong { .. })));
    }

    #[test]
    fn public_files_are_bounded_too() {
        let dir = dir();
        let path = dir.path().join("genesis");
        write_atomic(&path, b"12345", MODE_PUBLIC).unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert!(matches!(
            read_bounded(&path, 4),
            Err(FileError::TooLong { .. })
        ));
        assert!(matches!(
            read_bounded(&dir.path().join("none"), 4),
            Err(FileError::Missing { .. })
        ));
    }
}
