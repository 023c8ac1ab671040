//! What `serve` and `demo` hand to the parts of the program that run a node.

use std::path::PathBuf;

use super::error::{CliError, Code};
use crate::home::Home;
use crate::keystore::PassphraseSource;

/// What running a node needs.
#[derive(Clone, Debug)]
pub struct ServeArgs {
    /// Its data directory.
    pub home: Home,
    /// Where the passphrase of its keys comes from.
    pub passphrase: PassphraseSource,
    /// Log lines in JSON.
    pub json: bool,
    /// Warnings and errors alone.
    pub quiet: bool,
    /// Also what is of interest when looking for a mistake.
    pub verbose: bool,
}

/// What the demonstration needs.
#[derive(Clone, Debug)]
pub struct DemoArgs {
    /// Intelligence to publish beside the demonstration's own.
    pub intel: Vec<PathBuf>,
    /// End after the tour instead of staying up.
    pub once: bool,
    /// The first of the ports it uses; absent to let the system choose.
    pub port_base: Option<u16>,
    /// Print JSON documents.
    pub json: bool,
    /// Say nothing but data and errors.
    pub quiet: bool,
}

/// Runs a node until it is told to stop.
pub(crate) fn serve(_args: ServeArgs) -> Result<(), CliError> {
    Err(CliError::new(Code::Failure, "this build cannot run a node"))
}

/// Runs the demonstration.
pub(crate) fn demo(_args: DemoArgs) -> Result<(), CliError> {
    Err(CliError::new(
        Code::Failure,
        "this build has no demonstration",
    ))
}
