//! `watchfire quarantine`: what is held back here, and what a person accepts.

use clap::{ArgGroup, Args, Subcommand};

use super::error::CliError;
use super::ui::counted;
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::quarantined::{AcceptOp, HeldBackView, QuarantinedOp};
use crate::control::{Op, Reply};

/// The most that one list may have: a table of them is some 300 KB.
const LIMIT_MAX: u64 = 1_000;

/// See what is held back here, and accept it
///
/// What a key signed after its end, or beside what it had signed before, is kept
/// and shown to nobody: whoever has the key could have made it. Ask the author by
/// another channel what is its own. What is accepted is accepted at this node
/// alone.
#[derive(Debug, Subcommand)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) enum QuarantineCommand {
    List(ListArgs),
    Accept(AcceptArgs),
}

/// List what is held back: of whom, why, and since when
///
/// In a pipe an envelope is one line: author, node, life of the node, stream,
/// sequence, reasons, since, envelope.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire quarantine list
  watchfire quarantine list --of xk-cert --json")]
pub(crate) struct ListArgs {
    /// Of this node, by its id, or of this member, by its slug
    #[arg(long, value_name = "NODE")]
    of: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=LIMIT_MAX))]
    limit: u64,
}

/// Accept what is held back, at this node
///
/// It is shown, found and exported from then on like anything else, and stays so
/// after a restart. Should something else come up against it later, it is held
/// back again. With --of everything that is held back of a node now is accepted;
/// what comes later is not.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("what").required(true).args(["envelope", "of"]),
    after_help = "Examples:
  watchfire quarantine accept 6f1c3d0e9a5b7c824d1f0a3b5c7d9e1f2a4b6c8d0e1f3a5b7c9d1e3f5a7b9c0d --reason \"read to us by their duty desk\"
  watchfire quarantine accept --of xk-cert --up-to 1840 --reason \"published before the theft, says their director\""
)]
pub(crate) struct AcceptArgs {
    /// Id of an envelope
    envelope: Option<String>,
    /// Everything of this node, by its id, or of this member, by its slug
    #[arg(long, value_name = "NODE")]
    of: Option<String>,
    /// Only up to this sequence of each stream
    #[arg(long, value_name = "SEQ", conflicts_with = "envelope", value_parser = clap::value_parser!(u64).range(1..))]
    up_to: Option<u64>,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(crate) fn run(context: &Context, command: &QuarantineCommand) -> Result<(), CliError> {
    match command {
        QuarantineCommand::List(args) => list(context, args),
        QuarantineCommand::Accept(args) => accept(context, args),
    }
}

fn list(context: &Context, args: &ListArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let op = Op::Quarantined(QuarantinedOp {
        of: args.of.clone(),
        limit: usize::try_from(args.limit).unwrap_or(usize::MAX),
    });
    let mut node = context.connect(TIMEOUT_DEFAULT)?;
    let Reply::Quarantined(reply) = node.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        return ui.document("quarantine-list", &reply);
    }
    let people = ui.for_people();
    let rows: Vec<Vec<String>> = reply.held.iter().map(|held| row(held, people)).collect();
    let header: &[&str] = if people {
        &["FROM", "NODE", "STREAM", "SEQ", "WHY", "SINCE", "ENVELOPE"]
    } else {
        &[]
    };
    ui.rows(None, header, &rows)?;
    if reply.held.is_empty() {
        ui.note("note: nothing is held back");
    }
    if reply.truncated {
        ui.note(&format!(
            "note: the first {}; there are more, raise --limit or name a node with --of",
            reply.held.len()
        ));
    }
    Ok(())
}

fn row(held: &HeldBackView, people: bool) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(String::new, |it| it.to_string());
    let short = |id: &Option<String>| -> String {
        let id = id.as_deref().unwrap_or_default();
        if people {
            id.chars().take(12).collect()
        } else {
            id.to_owned()
        }
    };
    let mut cells = vec![held.author.clone(), short(&held.node)];
    if !people {
        cells.push(number(held.incarnation));
    }
    cells.extend([
        short(&held.stream),
        number(held.sequence),
        held.reasons.join(","),
        held.since.clone(),
        held.envelope.clone(),
    ]);
    cells
}

fn accept(context: &Context, args: &AcceptArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let op = Op::Accept(AcceptOp {
        envelope: args.envelope.clone(),
        of: args.of.clone(),
        up_to: args.up_to,
        reason: args.reason.clone(),
    });
    let mut node = context.connect(TIMEOUT_DEFAULT)?;
    let Reply::Accepted(reply) = node.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        return ui.document("quarantine-accept", &reply);
    }
    let count = usize::try_from(reply.envelopes).unwrap_or(usize::MAX);
    ui.line(&format!(
        "accepted {}",
        counted(count, "envelope", "envelopes")
    ))?;
    if reply.more {
        ui.note("note: there are more; accept again");
    }
    Ok(())
}
