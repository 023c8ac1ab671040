//! `watchfire federation create`: a genesis of the founders' cards.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use watchfire_protocol::certify::sign_genesis_by;
use watchfire_protocol::roster::{draft_genesis, inspect_genesis};

use super::GenesisView;
use crate::cli::error::{CliError, Code};
use crate::cli::key::{TokenArgs, open_root};
use crate::cli::{Context, files};
use crate::home::Home;
use crate::keystore::{FileError, MODE_PUBLIC, PassphraseSource, write_new};

/// Create the genesis of a federation from its members' cards
///
/// Compare the fingerprint of each card with its maker by telephone first. If
/// your own card is among them and your root key at hand, this signs for you.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire federation create at.card de.card fr.card --name \"EU exercise\" --community eu
  watchfire federation create at.card de.card --name Pilot --community dach=at-cert,de-cert -o pilot.genesis")]
pub(crate) struct CreateArgs {
    /// Card of each member, at least two
    #[arg(required = true, value_name = "CARD")]
    cards: Vec<PathBuf>,
    /// Name of the federation, for people
    #[arg(long)]
    name: String,
    /// Community all members belong to, or NAME=MEMBER,MEMBER for some
    #[arg(long, value_name = "COMMUNITY")]
    community: Vec<String>,
    /// Where to write it
    #[arg(short, long, value_name = "FILE", default_value = "genesis")]
    output: PathBuf,
    /// Root key [default: keys/root.key in the data directory]
    #[arg(long, value_name = "FILE", conflicts_with = "pkcs11_module")]
    root_key: Option<PathBuf>,
    /// Read the passphrase of the root key, or the PIN of its token, from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    token: TokenArgs,
}

pub(crate) fn run(context: &Context, args: CreateArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let communities = args
        .community
        .iter()
        .map(|text| Community::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    // Said before a passphrase is asked for.
    if args.output.exists() {
        return Err(FileError::Exists { path: args.output }.into());
    }
    let mut cards = Vec::new();
    let mut slugs = BTreeSet::new();
    for path in &args.cards {
        let (signed, checked) = files::card(path)?;
        let slug = checked.card.slug.to_string();
        let of_it: Vec<String> = communities
            .iter()
            .filter(|community| community.has(&slug))
            .map(|community| community.name.clone())
            .collect();
        slugs.insert(slug);
        cards.push((signed, of_it));
    }
    for community in &communities {
        if let Some(stranger) = community
            .members
            .iter()
            .flatten()
            .find(|member| !slugs.contains(*member))
        {
            return Err(CliError::new(
                Code::Usage,
                format!(
                    "--community {} names {stranger}, and no card is of {stranger}",
                    community.name
                ),
            ));
        }
    }
    let mut file = draft_genesis(&args.name, crate::clock::wall_ms(), &cards)?;
    let state = inspect_genesis(&file)?;

    let mut unsigned_because = None;
    match context.home_path().and_then(|path| Ok(Home::open(&path)?)) {
        Ok(home) => {
            let own = files::own_card(&home)?;
            let path = args.root_key.unwrap_or_else(|| home.root_key());
            if !state.cards.iter().any(|card| card.root_key == own.root_key) {
                unsigned_because = Some("your own card is not among them".to_owned());
            } else if path.exists() || args.token.key().is_some() {
                let source = PassphraseSource::choose(args.passphrase_file, files::env);
                let root = open_root(args.token.key(), Some(&path), &source, ui)?;
                file = sign_genesis_by(&file, &root.public(), |domain, message| {
                    root.sign(domain, message)
                })??;
            } else {
                unsigned_because = Some(format!(
                    "your root key is not at {}; name it with --root-key",
                    path.display()
                ));
            }
        }
        Err(error) if error.code == Code::NotInitialised => {
            unsigned_because = Some("this machine has no member".to_owned());
        }
        Err(error) => return Err(error),
    }

    write_new(&args.output, &file.to_bytes(), MODE_PUBLIC)?;
    let view = GenesisView::new(args.output.display().to_string(), &inspect_genesis(&file)?);
    view.print(ui, "federation-create")?;
    if let Some(why) = unsigned_because {
        ui.note(&format!("note: not signed by you: {why}"));
    }
    view.next(ui);
    Ok(())
}

/// A community, and who belongs to it.
struct Community {
    name: String,
    /// Absent for everybody.
    members: Option<Vec<String>>,
}

impl Community {
    fn parse(text: &str) -> Result<Self, CliError> {
        let (name, members) = match text.split_once('=') {
            Some((name, members)) => (
                name,
                Some(
                    members
                        .split(',')
                        .map(|slug| slug.trim().to_owned())
                        .collect(),
                ),
            ),
            None => (text, None),
        };
        let well_formed = (1..=32).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !well_formed {
            return Err(CliError::new(
                Code::Usage,
                format!(
                    "{name:?} is no name of a community: use 1 to 32 of a-z, 0-9 and hyphens, such as \"eu\""
                ),
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            members,
        })
    }

    fn has(&self, slug: &str) -> bool {
        self.members
            .as_ref()
            .is_none_or(|members| members.iter().any(|member| member == slug))
    }
}
