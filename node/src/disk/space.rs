//! How much room a store takes, and how much there is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

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
///
/// It asks `df -P -k`, which POSIX lays down: the standard library does not
/// know, and a system call would need code that the compiler cannot check.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let output = Command::new("df")
        .args(["-P", "-k"])
        .arg(path)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    read_df(&String::from_utf8(output.stdout).ok()?)
}

/// The fourth number from the left after the file system's name, which may
/// have blanks in it, as may the place it is mounted on.
fn read_df(text: &str) -> Option<u64> {
    let line = text.lines().nth(1)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words.iter().position(|word| word.ends_with('%'))?;
    let free_kib: u64 = words.get(percent.checked_sub(1)?)?.parse().ok()?;
    free_kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_answer_of_df_is_read() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
            /dev/my disk 1000 250 750 25% /var/my place\n";
        assert_eq!(read_df(text), Some(750 * 1_024));
        for other in ["", "Filesystem\n", "a\nnone - - - - /\n", "a\n5% /\n"] {
            assert_eq!(read_df(other), None, "{other:?}");
        }
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
