//! `watchfire demo`: a small federation on this machine.

use std::path::PathBuf;

use clap::Args;

use super::error::CliError;
use super::{Context, pending};

/// Show a small federation on this machine
///
/// Starts several real nodes, each with its own store and its own port,
/// publishes intelligence, and shows who got what and why. It needs no
/// preparation and leaves nothing behind.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire demo
  watchfire demo --once --intel report.json indicators.csv")]
pub(crate) struct DemoCommand {
    /// Publish these files too
    #[arg(long, value_name = "PATH", num_args = 1..)]
    intel: Vec<PathBuf>,
    /// End after the tour instead of staying up until Ctrl-C
    #[arg(long)]
    once: bool,
    /// First of the ports to use [default: free ones]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1_024..=65_000))]
    port_base: Option<u16>,
}

pub(crate) fn run(context: &Context, args: DemoCommand) -> Result<(), CliError> {
    pending::demo(pending::DemoArgs {
        intel: args.intel,
        once: args.once,
        port_base: args.port_base,
        json: context.ui.json(),
        quiet: context.ui.quiet(),
    })
}
