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
fn directory(wished: Option<&Path>) -> Result<(PathBuf, bool), DemoError> {
    let (path, temporary) = match wished {
        Some(path) => (path.to_owned(), false),
        None => (
            std::env::temp_dir().join(format!("watchfire-demo-{}", std::process::id())),
            true,
        ),
    };
    std::fs::create_dir_all(&path)
        .map_err(|error| DemoError::made("a directory for its stores", &error))?;
    Ok((path, temporary))
}

/// A line of the story, on standard error so that data stays alone.
pub(crate) fn say(quiet: bool, line: &str) {
    if !quiet {
        // A closed pipe is no reason to stop the story.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
