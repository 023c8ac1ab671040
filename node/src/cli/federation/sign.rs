//! `watchfire federation sign`: a founder's signature.

use std::path::PathBuf;

use clap::Args;
use watchfire_protocol::roster::{inspect_genesis, sign_genesis};

use super::GenesisView;
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, files};
use crate::keystore::{MODE_PUBLIC, PassphraseSource, write_atomic, write_new};

/// Sign a genesis with your root key
///
/// Look at it with "federation show" first: with your signature you found this
/// federation, with these members.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire federation sign genesis
  watchfire federation sign genesis -o genesis.signed --root-key /media/offline/root.key")]
pub(crate) struct SignArgs {
    /// The genesis
    genesis: PathBuf,
    /// Where to write it [default: in place]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Root key [default: keys/root.key in the data directory]
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// Read the passphrase of the root key from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: SignArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let home = context.home()?;
    let (file, state) = files::genesis(&args.genesis)?;
    let own = files::own_card(&home)?;
    let Some(index) = state
        .cards
        .iter()
        .position(|card| card.root_key == own.root_key)
    else {
        return Err(CliError::new(
            Code::NotAllowed,
            format!("{} is no member of this federation", own.card.slug),
        )
        .hint("send your card to whoever creates it, for a new genesis"));
    };
    if state.cards.get(index).is_some_and(|card| card.id != own.id) {
        return Err(CliError::new(
            Code::Verification,
            format!("this genesis holds another card of {}", own.card.slug),
        )
        .hint("send your present card, own.card, to whoever creates it, for a new genesis"));
    }
    let signed = state.signed.get(index) == Some(&true);
    let file = if signed {
        ui.note("note: you have signed this genesis before");
        file
    } else {
        let path = args.root_key.unwrap_or_else(|| home.root_key());
        let source = PassphraseSource::choose(args.passphrase_file, files::env);
        sign_genesis(&file, &files::root_key(&path, &source, ui)?)?
    };
    let place = match args.output {
        Some(path) => {
            write_new(&path, &file.to_bytes(), MODE_PUBLIC)?;
            path
        }
        None => {
            if !signed {
                write_atomic(&args.genesis, &file.to_bytes(), MODE_PUBLIC)?;
            }
            args.genesis
        }
    };
    let view = GenesisView::new(place.display().to_string(), &inspect_genesis(&file)?);
    view.print(ui, "federation-sign")?;
    view.next(ui);
    Ok(())
}
