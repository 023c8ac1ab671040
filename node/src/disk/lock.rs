//! A file that says which process is the one allowed to write here.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::point;

/// The longest text read back from a lock file. The largest pid has ten digits.
const PID_BYTES_MAX: u64 = 16;

/// Holds a lock file for this process until dropped.
///
/// The operating system owns the lock (`flock`), so that it ends with the
/// process however it ends, and a file left behind by a crash blocks nobody.
/// The process id inside is for the error message of the other process alone.
#[derive(Debug)]
pub struct PidLock {
    file: File,
}

/// Why a [`PidLock`] could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process, or another part of this one, holds it.
    #[error("held by process {}", pid_text(*pid))]
    Held {
        /// Who holds it, where the lock file tells.
        pid: Option<u32>,
    },
    /// The lock file cannot be opened, locked or written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl PidLock {
    /// Takes the lock at `path`, creating the file (mode 0600) where it is
    /// missing, and never waits.
    ///
    /// # Errors
    /// [`LockError::Held`] when someone has it; [`LockError::Io`] when the file
    /// cannot be used.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        point::before("make the lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(cause.into()),
        }
        point::before("write the lock");
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Self { file })
    }
}

impl Drop for PidLock {
    fn drop(&mut self) {
        // Without this, whoever looks between the next holder's lock and its
        // write would be told our number.
        let _ = self.file.set_len(0);
        // Closing would do, but for a process that another thread is starting
        // right now: until it runs its own program it shares our open files,
        // and would hold the lock a moment longer than we do.
        let _ = self.file.unlock();
    }
}

/// How a message names a process that may be unknown.
pub(crate) fn pid_text(pid: Option<u32>) -> String {
    pid.map_or_else(|| "of unknown number".to_owned(), |pid| pid.to_string())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use super::*;

    #[test]
    fn second_holder_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = PidLock::acquire(&path).unwrap();
        let refused = PidLock::acquire(&path).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("held by process {}", std::process::id())
        );
        drop(first);
        PidLock::acquire(&path).unwrap();
    }

    #[test]
    fn a_file_left_behind_blocks_nobody_and_its_number_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "4294967295 and much more than a number\n").unwrap();
        let _held = PidLock::acquire(&path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
    }

    #[test]
    fn unreadable_number_is_said_to_be_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = PidLock::acquire(&path).unwrap();
        std::fs::write(&path, "not a number").unwrap();
        let refused = PidLock::acquire(&path).unwrap_err();
        assert_eq!(refused.to_string(), "held by process of unknown number");
    }
}
