//! `watchfire serve`: run the node of the data directory.

use std::path::PathBuf;

use clap::Args;

use super::error::CliError;
use super::settings::NodeSettings;
use super::{Context, files};
use crate::keystore::PassphraseSource;
use crate::serve::{self, ServeArgs};

/// Run the node
///
/// Opens the keys, listens, connects to the other members, and answers the
/// other commands, until it is interrupted or told to end.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire serve
  watchfire serve --passphrase-file /etc/watchfire/passphrase

Under systemd, LoadCredential=watchfire-passphrase:FILE does what --passphrase-file does")]
pub(crate) struct ServeCommand {
    /// Read the passphrase of the keys from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: ServeCommand) -> Result<(), CliError> {
    let home = context.home()?;
    let settings = NodeSettings::load(&home)?;
    Ok(serve::run(&ServeArgs {
        home,
        passphrase: PassphraseSource::choose(args.passphrase_file, files::env),
        listen: settings.listen,
        door: settings.door_listen,
        json: context.ui.json(),
        quiet: context.ui.quiet(),
        verbose: context.ui.verbose(),
    })?)
}
