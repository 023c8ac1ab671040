//! The demonstration: a small federation on this machine, told as it happens.
//!
//! Nothing in it is played: the nodes are the ones that `serve` runs, on real
//! ports with real stores, and the summary is read out of those stores.

mod cast;
mod outsider;
mod sample;
mod story;
mod summary;

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::node::StartError;

/// What a demonstration is asked for.
#[derive(Clone, Debug, Default)]
pub struct DemoArgs {
    /// Publish these files instead of the built-in sample.
    pub intel: Vec<PathBuf>,
    /// End after the story.
    pub once: bool,
    /// Print the summary as JSON on standard output.
    pub json: bool,
    /// Tell nothing on the way.
    pub quiet: bool,
    /// Keep the stores here; absent: in a temporary directory, removed at the
    /// end.
    pub directory: Option<PathBuf>,
}

/// Why a demonstration cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Something it needs could not be made.
    #[error("the demonstration could not make {what}: {why}")]
    Made {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// A node did not start.
    #[error("a node of the demonstration did not start: {0}")]
    Start(#[from] StartError),
    /// A file to publish could not be read.
    #[error("{path}: {why}")]
    Intel {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// It took too long.
    #[error("the demonstration waited {seconds} seconds for {what}; is this machine very busy?")]
    Waited {
        /// For what.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// Something did not happen as it must.
    #[error("the demonstration did not go as it must: {0}")]
    Disappointed(String),
    /// A node ended.
    #[error("a node of the demonstration ended: {0}")]
    Ended(String),
}

impl DemoError {
    pub(crate) fn made(what: &'static str, why: &dyn std::fmt::Display) -> Self {
        Self::Made {
            what,
            why: why.to_string(),
        }
    }
}

/// Gives the demonstration.
///
/// # Errors
/// When it cannot be given, or an expectation of it did not hold.
pub fn run(args: &DemoArgs) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| DemoError::made("a runtime", &error))?;
    let (directory, temporary) = directory(args.directory.as_deref())?;
    let told = runtime.block_on(story::tell(args, &directory));
    // Connections and timers of the nodes end here, before their files go.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    if temporary {
        // What is left lies in the temporary directory of the system.
        let _ = std::fs::remove_dir_all(&directory);
    }
    told
}

/// Where the stores are, and whether they are removed at the end.
///
/// The keys of every member lie in it. So it is new or empty, in a place nobody
/// else could prepare, and open to this user alone.
fn directory(wished: Option<&Path>) -> Result<(PathBuf, bool), DemoError> {
    const WHAT: &str = "a directory for its stores";
    let made = |error: &dyn std::fmt::Display| DemoError::made(WHAT, error);
    let Some(path) = wished else {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|error| made(&error))?;
        let name = format!("watchfire-demo-{}", hex::encode(name));
        let path = std::env::temp_dir().join(name);
        create_private(&path).map_err(|error| made(&error))?;
        return Ok((path, true));
    };
    let shown = |why: &dyn std::fmt::Display| made(&format!("{}: {why}", path.display()));
    match create_private(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let mut entries = std::fs::read_dir(path).map_err(|error| shown(&error))?;
            if entries.next().is_some() {
                let why = "it is not empty; name one that is empty or does not exist";
                return Err(shown(&why));
            }
        }
        Err(error) => return Err(shown(&error)),
    }
    Ok((path.to_owned(), false))
}

/// Makes a directory for this user alone. One that exists, or a link in its
/// place, is an error.
fn create_private(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

/// A line of the story, on standard error so that data stays alone.
pub(crate) fn say(quiet: bool, line: &str) {
    if !quiet {
        // A closed pipe is no reason to stop the story.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_temporary_directory_is_new_private_and_not_to_be_guessed() {
        let (first, temporary) = directory(None).unwrap();
        let (second, _) = directory(None).unwrap();
        assert!(temporary);
        assert_ne!(first, second);
        assert_eq!(mode(&first), 0o700);
        std::fs::remove_dir(first).unwrap();
        std::fs::remove_dir(second).unwrap();
    }

    #[test]
    fn a_named_directory_is_new_or_empty() {
        let place = tempfile::tempdir().unwrap();
        let new = place.path().join("new");
        assert_eq!(directory(Some(&new)).unwrap(), (new.clone(), false));
        assert_eq!(mode(&new), 0o700);
        // Empty: taken as it is.
        assert!(directory(Some(&new)).is_ok());
        std::fs::write(new.join("store"), "what was here").unwrap();
        let error = directory(Some(&new)).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
        // What is no directory, and what a link points at from nowhere.
        let file = new.join("store");
        assert!(directory(Some(&file)).is_err());
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path().join("absent"), &link).unwrap();
        assert!(directory(Some(&link)).is_err());
    }
}
