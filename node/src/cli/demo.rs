//! `watchfire demo`: a small federation on this machine.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::error::CliError;
use crate::demo::{self, DemoArgs};

/// Show a small federation on this machine
///
/// Starts several real nodes, each with its own store and its own port,
/// publishes intelligence, and shows who got what and why. It needs no
/// preparation and leaves nothing behind. It fails if anything in it does not go
/// as it must.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire demo
  watchfire demo --once --intel report.json indicators.csv")]
pub(crate) struct DemoCommand {
    /// Publish these files instead of the built-in sample
    #[arg(long, value_name = "PATH", num_args = 1..)]
    intel: Vec<PathBuf>,
    /// End after the tour instead of staying up until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Keep the stores in this directory [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    stores: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: DemoCommand) -> Result<(), CliError> {
    Ok(demo::run(&DemoArgs {
        intel: args.intel,
        once: args.once,
        directory: args.stores,
        json: context.ui.json(),
        quiet: context.ui.quiet(),
    })?)
}
