//! `watchfire federation show`: what a genesis says.

use std::path::PathBuf;

use clap::Args;

use super::GenesisView;
use crate::cli::error::CliError;
use crate::cli::{Context, files};

/// Show a genesis: its members, who has signed, and its fingerprint
#[derive(Args, Debug)]
#[command(after_help = "Example:
  watchfire federation show genesis")]
pub(crate) struct ShowArgs {
    /// The genesis
    genesis: PathBuf,
}

pub(crate) fn run(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    let (_, state) = files::genesis(&args.genesis)?;
    let view = GenesisView::new(args.genesis.display().to_string(), &state);
    view.print(&context.ui, "federation-show")?;
    view.next(&context.ui);
    Ok(())
}
