//! How much room a store takes, and how much there is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes that the files below a directory take on the disk: blocks, not
/// lengths, since a database allots its log in advance.
///
/// # Errors
/// When the directory cannot be listed.
pub fn used_bytes(directory: &Path) -> io::Result<u64> {
    let mut used: u64 = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let found = match entry.metadata() {
                Ok(found) => found,
                // A running database removes what it no longer needs.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                Err(cause) => return Err(cause),
            };
            if found.is_dir() {
                directories.push(entry.path());
            } else {
                // POSIX leaves the unit open; on Linux and the BSDs it is 512.
                used = used.saturating_add(found.blocks().saturating_mul(512));
            }
        }
    }
    Ok(used)
}

/// Bytes that this user may still write where a path is; nothing where that
/// cannot be found out.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_free_is_said_of_a_place_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert_eq!(free_bytes(&dir.path().join("none")), None);
    }

    #[test]
    fn what_is_written_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        let before = used_bytes(dir.path()).unwrap();
        fs::write(dir.path().join("below/file"), vec![7; 100_000]).unwrap();
        assert!(used_bytes(dir.path()).unwrap() >= before + 100_000);
        assert!(used_bytes(&dir.path().join("none")).is_err());
    }
}
