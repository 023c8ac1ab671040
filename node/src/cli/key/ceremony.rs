//! `watchfire key ceremony`: the root key of a member, made and used on a
//! machine without a network, step by step.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use watchfire_crypto::keyfile::ENTROPY_BYTES;
use watchfire_crypto::{Cost, KeyFile, Purpose, SigningKey};

use super::issue::{self, Issued};
use super::{RootArgs, ask, compared, request, root_text};
use crate::cli::error::{CliError, Code};
use crate::cli::init::random;
use crate::cli::{Context, Ui, files};
use crate::clock::{moment, wall_ms};
use crate::keystore::{
    FileError, MODE_PUBLIC, Overwrite, PassphraseUse, RootSigner, Token, write_key, write_new,
};

/// Make the root key on a machine without a network, and sign there, by files
///
/// Makes the root key if there is none yet, in a file under a passphrase or in
/// a PKCS#11 token, and says what to carry where. Then signs the requests that
/// nodes made: the one of a new member becomes its card, one to end a node its
/// revocation, any other a certificate. Run it again for every later request. Neither a data directory
/// nor a connection is needed, and nothing leaves this machine by itself.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key ceremony
  watchfire key ceremony --root-key root.key --out /media/stick /media/stick/at-cert.request
  watchfire key ceremony --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token at-cert --pkcs11-key root")]
pub(crate) struct CeremonyArgs {
    /// Requests to sign [default: asked for, one after another]
    #[arg(value_name = "REQUEST")]
    requests: Vec<PathBuf>,
    #[command(flatten)]
    root: RootArgs,
    /// Where files go that are carried away
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Refuse what is asked for more days than these
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
    /// Ask nothing: fingerprints and clock were compared otherwise
    #[arg(long)]
    yes: bool,
}

/// The root key's file when nothing else is named.
const ROOT_FILE: &str = "root.key";

/// The file with its public half.
const PUBLIC_FILE: &str = "root.public";

/// Requests signed at one sitting; more than a member has nodes.
const REQUESTS_MAX: usize = 64;

#[derive(Serialize)]
struct Held {
    root_key: String,
    made: bool,
    public_file: String,
    issued: Vec<Issued>,
}

pub(crate) fn run(context: &Context, args: CeremonyArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    if !args.yes && (ui.json() || ui.quiet()) {
        return Err(CliError::new(
            Code::Usage,
            "a ceremony that shows nothing cannot ask either",
        )
        .hint("leave out --json and --quiet, or give --yes if all of it was compared otherwise"));
    }
    ui.note("Step 1 of 4: this machine");
    ui.note("  It has no network and nobody else uses it. Its clock says");
    ui.note(&format!("  {}, in UTC.", moment(wall_ms())));
    agreed(ui, args.yes, "Is that right? Type yes:")?;

    ui.note("Step 2 of 4: the root key");
    let (root, made) = open_or_make(ui, &args)?;
    let public = root.public();
    let public_file = write_public(&args.out, &public.to_string())?;
    ui.note(&format!("  Its fingerprint is\n  {}", root_text(&public)));
    ui.note("  Write it on paper: people compare it, and nodes are told it.");
    ui.note(&format!("  It is in {} too.", public_file.display()));

    ui.note("Step 3 of 4: requests");
    let mut issued = Vec::new();
    for path in &args.requests {
        issued.push(one(ui, &args, path, &*root)?);
    }
    if args.requests.is_empty() && !args.yes {
        while issued.len() < REQUESTS_MAX {
            let path = ask(ui, "Path of a request, or nothing to go on:")?;
            if path.is_empty() {
                break;
            }
            // One that cannot be signed does not end the ceremony.
            match one(ui, &args, Path::new(&path), &*root) {
                Ok(done) => issued.push(done),
                Err(error) => ui.error(&error),
            }
        }
    }

    let held = Held {
        root_key: public.to_string(),
        made,
        public_file: public_file.display().to_string(),
        issued,
    };
    if ui.json() {
        ui.document("key-ceremony", &held)?;
    } else {
        ui.fields(&[
            ("root key", root_text(&public)),
            ("public half", held.public_file.clone()),
        ])?;
        let rows: Vec<Vec<String>> = held
            .issued
            .iter()
            .map(|issued| vec![issued.kind.to_owned(), issued.file.clone()])
            .collect();
        ui.rows(Some("issued"), &["KIND", "FILE"], &rows)?;
    }
    ui.note("Step 4 of 4: what goes where");
    farewell(ui, &args, &held);
    Ok(())
}

fn agreed(ui: &Ui, yes: bool, question: &str) -> Result<(), CliError> {
    if yes || ask(ui, question)? == "yes" {
        return Ok(());
    }
    Err(CliError::new(
        Code::NotAllowed,
        "ended, as you wish; nothing was made",
    ))
}

/// The root key of this ceremony, and whether it is new.
fn open_or_make(ui: &Ui, args: &CeremonyArgs) -> Result<(Box<dyn RootSigner>, bool), CliError> {
    let source = args.root.source();
    if let Some(named) = args.root.token.key() {
        let token = Token::log_in(&named, &source)?;
        if token.holds_key()? {
            return Ok((Box::new(token.open()?), false));
        }
        ui.note("  The token holds none of that label yet: one is made, which it will");
        ui.note("  not give out. If the token is lost, so is the key.");
        agreed(ui, args.yes, "Make it? Type yes:")?;
        return Ok((Box::new(token.create()?), true));
    }
    let path = args
        .root
        .root_key
        .clone()
        .unwrap_or_else(|| PathBuf::from(ROOT_FILE));
    if path.exists() {
        return Ok((Box::new(files::root_key(&path, &source, ui)?), false));
    }
    ui.note(&format!(
        "  There is none at {}: one is made.",
        path.display()
    ));
    ui.note("  Choose a passphrase of several words. Nobody can open the key without it.");
    agreed(ui, args.yes, "Make it? Type yes:")?;
    let passphrase = source.obtain("the root key", PassphraseUse::Create)?;
    let key = SigningKey::from_seed(&*random()?);
    let sealed = {
        let _progress = ui.progress("sealing the root key");
        let entropy = random::<ENTROPY_BYTES>()?;
        KeyFile::seal_key(Purpose::Root, &key, &passphrase, Cost::SENSITIVE, &entropy)?
    };
    write_key(&path, sealed.to_string().as_bytes(), Overwrite::Never)?;
    Ok((Box::new(key), true))
}

/// The public half as a file; one that is there must be the same.
fn write_public(dir: &Path, public: &str) -> Result<PathBuf, CliError> {
    let path = dir.join(PUBLIC_FILE);
    let line = format!("{public}\n");
    match write_new(&path, line.as_bytes(), MODE_PUBLIC) {
        Ok(()) => Ok(path),
        Err(FileError::Exists { .. }) => {
            let there = files::root_public(&path)?;
            if there.to_string() == public {
                Ok(path)
            } else {
                Err(CliError::new(
                    Code::Verification,
                    format!("{} is of another root key", path.display()),
                )
                .hint("check that this is the right medium, or choose another --out"))
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows a request, has it compared, and signs it.
fn one(
    ui: &Ui,
    args: &CeremonyArgs,
    path: &Path,
    root: &dyn RootSigner,
) -> Result<Issued, CliError> {
    let asked = issue::read(path)?;
    asked.within(args.days)?;
    let output = args.out.join(asked.name());
    request::free(&output)?;
    let view = asked.view(path.display().to_string());
    for (name, value) in view.fields() {
        ui.note(&format!("  {name:12} {value}"));
    }
    compared(ui, asked.fingerprint(), None, args.yes)?;
    let issued = issue::sign(&asked, view, root, &output)?;
    ui.note(&format!("  signed: {}", issued.file));
    Ok(issued)
}

fn farewell(ui: &Ui, args: &CeremonyArgs, held: &Held) {
    if held.issued.is_empty() {
        ui.note("  Carry the public half to the machine of the node, and make the node there:");
        ui.note(&format!(
            "    watchfire init --slug SLUG --root {PUBLIC_FILE} --address ADDRESS"
        ));
        ui.note("  Bring the request that this makes back here, and run this again.");
    } else {
        ui.note("  Carry each file to the node that asked for it, and run there:");
        for issued in &held.issued {
            ui.note(&format!("    watchfire key install {}", issued.file));
        }
    }
    if args.root.token.key().is_some() {
        ui.note("  Lock the token away. Without it no certificate can be renewed.");
    } else {
        ui.note("  Keep the root key and a copy on two media, locked away in two places, and the");
        ui.note("  passphrase elsewhere. Leave neither on a machine with a network.");
    }
}
