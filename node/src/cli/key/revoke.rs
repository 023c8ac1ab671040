//! `watchfire key revoke`: request, issue and install of a node's end at once,
//! where the root key is at hand.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use watchfire_protocol::ending::{SignedRevocation, revocation_to_file, sign_revocation};
use watchfire_protocol::wire::notice::{Revocation, RevocationReason};

use super::end::{EndArgs, EndView, notes_of, revocation_of};
use super::known::known;
use super::{Own, RootArgs, ask, install, request};
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, Ui};
use crate::keystore::{MODE_PUBLIC, write_new};

/// End a node of this member, where the root key is at hand
///
/// Every certificate of that node ends, and everybody is told up to where its
/// streams count: as far as they are held here. What its keys sign beyond that
/// is kept and shown to nobody. It cannot be taken back. A node that was put
/// back from a copy, or cloned, goes on in a new life instead: see
/// "watchfire key request --new-incarnation". Where the root key is on another
/// machine, use "watchfire key request --revoke" and carry the file.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key revoke 4f1c90ab77d2 --reason replaced --root-key /media/stick/root.key --install
  watchfire key revoke 4f1c90ab77d2 --reason compromised --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token at-cert --pkcs11-key root")]
pub(crate) struct RevokeArgs {
    /// First digits of the node's id, eight at least
    node: String,
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    root: RootArgs,
    /// Where to write it [default: SLUG-NODE.revocation]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Give it to the node of this data directory, which tells everybody
    #[arg(long)]
    install: bool,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Revoked {
    file: String,
    revocation: EndView,
    installed: bool,
}

pub(crate) fn run(context: &Context, args: RevokeArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let home = context.home()?;
    let own = Own::read(&home)?;
    let reason = reason_of(&args.end)?;
    let known = known(context, &home, &own, Some(&args.node))?;
    let lives = &known.lives;
    let revocation = revocation_of(lives, args.end.up_to.unwrap_or(u64::MAX), reason)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| name_of(&lives.slug, &revocation));
    request::free(&output)?;
    let view = EndView::new(output.display().to_string(), &lives.slug, &revocation);
    if !ui.json() {
        ui.fields(&view.fields())?;
    }
    for note in notes_of(lives) {
        ui.note(&note);
    }
    if !known.is_caught_up() {
        ui.note("note: this node may not hold all that node published: what it does not hold will not count");
    }
    agreed(ui, args.yes)?;
    let file = home.root_key();
    let default = file.exists().then_some(file.as_path());
    let root = args.root.open(ui, default)?;
    let signed = sign_revocation(&revocation, &root.public(), |domain, message| {
        root.sign(domain, message)
    })?;
    write_new(&output, &revocation_to_file(&signed), MODE_PUBLIC)?;
    if args.install {
        give(context, &own, &signed, &revocation)?;
    }
    let revoked = Revoked {
        file: output.display().to_string(),
        revocation: view,
        installed: args.install,
    };
    if ui.json() {
        return ui.document("key-revoke", &revoked);
    }
    ui.note(&format!("signed: {}", revoked.file));
    if !args.install {
        ui.note("next: \"watchfire key install\" with this file, at a node of this member");
    }
    Ok(())
}

fn give(
    context: &Context,
    own: &Own,
    signed: &SignedRevocation,
    revocation: &Revocation,
) -> Result<(), CliError> {
    let outcome = install::keep_revocation(context, own, signed)?;
    install::note_outcome(&context.ui, own, revocation, &outcome);
    Ok(())
}

/// The reason, which must be given.
pub(super) fn reason_of(end: &EndArgs) -> Result<RevocationReason, CliError> {
    end.reason.map(RevocationReason::from).ok_or_else(|| {
        CliError::new(Code::Usage, "everybody reads why a node ended, so a reason is needed")
            .hint("give --reason compromised, replaced or retired; a node that was put back from a copy needs \"watchfire key request --new-incarnation\"")
    })
}

/// What the file of a revocation is called.
pub(super) fn name_of(slug: &str, revocation: &Revocation) -> PathBuf {
    PathBuf::from(format!("{slug}-{}.revocation", revocation.node.short()))
}

fn agreed(ui: &Ui, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || ui.json() || ui.quiet() {
        return Err(
            CliError::new(Code::Usage, "nobody agreed to the end of this node")
                .hint("run this on a terminal, or give --yes"),
        );
    }
    if ask(ui, "It cannot be taken back. End this node? Type yes:")? == "yes" {
        Ok(())
    } else {
        Err(CliError::new(Code::NotAllowed, "not signed, as you wish"))
    }
}
