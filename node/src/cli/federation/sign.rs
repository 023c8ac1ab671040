//! `watchfire federation sign`: a founder's signature.

use std::path::PathBuf;

use clap::Args;
use watchfire_crypto::PublicKey;
use watchfire_protocol::certify::sign_genesis_by;
use watchfire_protocol::roster::{CheckedCard, inspect_genesis};

use super::GenesisView;
use crate::cli::error::{CliError, Code};
use crate::cli::key::{TokenArgs, open_root};
use crate::cli::{Context, files};
use crate::keystore::{MODE_PUBLIC, PassphraseSource, write_atomic, write_new};

/// Sign a genesis with your root key
///
/// Look at it with "federation show" first: with your signature you found this
/// federation, with these members. Where the root key is kept on a machine
/// without a data directory, name the key: it says which member signs.
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
    #[arg(long, value_name = "FILE", conflicts_with = "pkcs11_module")]
    root_key: Option<PathBuf>,
    /// Read the passphrase of the root key, or the PIN of its token, from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    token: TokenArgs,
}

pub(crate) fn run(context: &Context, args: SignArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let (file, state) = files::genesis(&args.genesis)?;
    let named = args.root_key.is_some() || args.token.key().is_some();
    let (own, root_default) = match context.home() {
        Ok(home) => (Some(files::own_card(&home)?), Some(home.root_key())),
        // The machine of the root key has no node.
        Err(error) if error.code == Code::NotInitialised && named => (None, None),
        Err(error) => return Err(error),
    };
    if let Some(own) = &own {
        belongs(own, &state.cards)?;
    }
    let has_signed = |key: &PublicKey| {
        let index = state.cards.iter().position(|card| card.root_key == *key);
        index.and_then(|index| state.signed.get(index)) == Some(&true)
    };
    let signed = own.as_ref().is_some_and(|own| has_signed(&own.root_key));
    let file = if signed {
        ui.note("note: you have signed this genesis before");
        file
    } else {
        let path = args.root_key.or(root_default);
        let source = PassphraseSource::choose(args.passphrase_file, files::env);
        let root = open_root(args.token.key(), path.as_deref(), &source, ui)?;
        sign_genesis_by(&file, &root.public(), |domain, message| {
            root.sign(domain, message)
        })??
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

/// Refuses to sign where this node's member is not among the founders, or not
/// with its present card.
fn belongs(own: &CheckedCard, cards: &[CheckedCard]) -> Result<(), CliError> {
    let Some(listed) = cards.iter().find(|card| card.root_key == own.root_key) else {
        return Err(CliError::new(
            Code::NotAllowed,
            format!("{} is no member of this federation", own.card.slug),
        )
        .hint("send your card to whoever creates it, for a new genesis"));
    };
    if listed.id != own.id {
        return Err(CliError::new(
            Code::Verification,
            format!("this genesis holds another card of {}", own.card.slug),
        )
        .hint("send your present card, own.card, to whoever creates it, for a new genesis"));
    }
    Ok(())
}
