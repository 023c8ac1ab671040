//! `watchfire roster`: who belongs, and how that changes without a centre.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use watchfire_protocol::membership::Candidate;

use super::error::{CliError, Code};
use super::{Context, TIMEOUT_DEFAULT};
use crate::driver::membership::ProposalView;

mod chain;
mod import;
mod propose;
mod say;
mod show;
mod sign;
mod status;

pub(super) use chain::Chain;

/// Change who belongs to the federation, and see how that stands
///
/// A member proposes a roster; its node signs that. An organisation that would
/// enter consents with its root key. Members prepare it, one roster in a round,
/// signed by their nodes. Once enough have, their offline roots sign it, by
/// file. With enough of those the next epoch begins by itself at every node.
#[derive(Debug, Subcommand)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) enum RosterCommand {
    Propose(propose::ProposeArgs),
    Prepare(say::PrepareArgs),
    Sign(sign::SignArgs),
    Status(status::StatusArgs),
    Show(show::ShowArgs),
    History(show::HistoryArgs),
    Export(import::ExportArgs),
    Import(import::ImportArgs),
    Suspend(say::SuspendArgs),
}

pub(crate) fn run(context: &Context, command: RosterCommand) -> Result<(), CliError> {
    match command {
        RosterCommand::Propose(args) => propose::run(context, &args),
        RosterCommand::Prepare(args) => say::prepare(context, &args),
        RosterCommand::Sign(args) => sign::run(context, args),
        RosterCommand::Status(args) => status::run(context, &args),
        RosterCommand::Show(args) => show::show(context, &args),
        RosterCommand::History(args) => show::history(context, &args),
        RosterCommand::Export(args) => import::export(context, &args),
        RosterCommand::Import(args) => import::import(context, &args),
        RosterCommand::Suspend(args) => say::suspend(context, &args),
    }
}

/// The chain of a packet file, or of the running node.
fn chain_of(context: &Context, packet: Option<&PathBuf>) -> Result<Chain, CliError> {
    match packet {
        Some(path) => Chain::of_file(path),
        None => Chain::of_node(&mut context.connect(TIMEOUT_DEFAULT)?),
    }
}

/// Fewer digits of an id than these name nothing: two could be alike by chance.
const DIGITS_MIN: usize = 8;

/// Which of these ids the digits begin; with none, the only one.
fn named<'a>(
    ids: impl Iterator<Item = &'a str>,
    digits: Option<&str>,
) -> Result<Option<&'a str>, CliError> {
    let digits = digits.map(str::to_ascii_lowercase);
    if let Some(digits) = &digits
        && digits.len() < DIGITS_MIN
    {
        return Err(CliError::new(
            Code::Usage,
            format!("\"{digits}\" is too short: give at least {DIGITS_MIN} digits of the id"),
        )
        .hint("\"watchfire roster status\" shows the ids"));
    }
    let mut found = ids.filter(|id| digits.as_ref().is_none_or(|digits| id.starts_with(digits)));
    match (found.next(), found.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(CliError::new(
            Code::Usage,
            match digits {
                Some(digits) => format!("more than one id begins with {digits}"),
                None => "more than one roster is proposed".to_owned(),
            },
        )
        .hint("name one by its id; \"watchfire roster status\" shows them")),
    }
}

fn not_proposed(digits: Option<&str>) -> CliError {
    let what = digits.map_or_else(
        || "no roster is proposed".to_owned(),
        |digits| format!("no roster whose id begins with {digits} is proposed"),
    );
    CliError::new(Code::NotFound, what).hint(
        "see \"watchfire roster status\", and \"watchfire roster history\" for what was decided",
    )
}

/// A proposal of a chain by its digits.
fn candidate<'a>(chain: &'a Chain, digits: Option<&str>) -> Result<&'a Candidate, CliError> {
    let deliberation = chain.rebuilt.membership.deliberation();
    let ids: Vec<String> = deliberation
        .candidates()
        .map(|candidate| candidate.successor.id().to_string())
        .collect();
    let id = named(ids.iter().map(String::as_str), digits)?;
    id.and_then(|id| deliberation.candidate(&id.parse().ok()?))
        .ok_or_else(|| not_proposed(digits))
}

/// A proposal as fields.
pub(super) fn fields_of(proposal: &ProposalView, votes: usize) -> Vec<(&'static str, String)> {
    let names = |names: &[String]| {
        if names.is_empty() {
            "nobody".to_owned()
        } else {
            names.join(", ")
        }
    };
    let mut fields = vec![
        ("proposal", proposal.id.clone()),
        ("for epoch", proposal.epoch.to_string()),
        ("proposed by", proposal.proposer.clone()),
        ("proposed", crate::clock::moment(proposal.created_ms)),
        ("reason", proposal.reason.clone()),
    ];
    fields.extend(
        proposal
            .changes
            .iter()
            .map(|change| ("change", change.clone())),
    );
    fields.push(("members then", proposal.members.to_string()));
    if !proposal.to_consent.is_empty() {
        fields.push(("still to consent", names(&proposal.to_consent)));
    }
    fields.extend([
        ("round", proposal.round.to_string()),
        (
            "prepared",
            format!(
                "{} of {votes}: {}",
                proposal.prepared.len(),
                names(&proposal.prepared)
            ),
        ),
        ("not prepared", names(&proposal.to_prepare)),
        (
            "signed",
            format!(
                "{} of {votes}: {}",
                proposal.committed.len(),
                names(&proposal.committed)
            ),
        ),
        ("not signed", names(&proposal.to_commit)),
        (
            "lacks",
            if proposal.lacks.is_empty() {
                "nothing".to_owned()
            } else {
                proposal.lacks.join("; ")
            },
        ),
    ]);
    fields
}

/// What people do next about a proposal.
fn next_of(proposal: &ProposalView) -> Vec<String> {
    let short = proposal.id.get(..16).unwrap_or(&proposal.id);
    match proposal.next.as_str() {
        "consent" => vec![
            format!(
                "next: {} consents: send it a packet, \"watchfire roster export --output FILE\"; it runs",
                proposal.to_consent.join(", ")
            ),
            "  watchfire roster sign --packet FILE --root-key FILE".to_owned(),
        ],
        "prepare" => vec![
            "next: each member that is for it runs".to_owned(),
            format!("  watchfire roster prepare {short}"),
        ],
        "commit" => vec![
            "next: the root keys of those who prepared it sign, where they are kept".to_owned(),
            format!("  watchfire roster sign {short} --packet FILE --root-key FILE"),
        ],
        _ => Vec::new(),
    }
}

fn written(path: &Path, bytes: usize) -> String {
    format!("{} ({bytes} bytes)", path.display())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_id_is_named_by_enough_of_its_digits_and_by_no_others() {
        let ids = ["0123456789ab", "0123456789cd", "ffffffff0000"];
        let of = |digits| named(ids.into_iter(), digits);
        assert_eq!(of(Some("FFFFFFFF")).unwrap(), Some("ffffffff0000"));
        assert_eq!(of(Some("0123456789a")).unwrap(), Some("0123456789ab"));
        assert_eq!(of(Some("0123456789")).unwrap_err().code, Code::Usage);
        assert_eq!(of(Some("fff")).unwrap_err().code, Code::Usage);
        assert_eq!(of(Some("eeeeeeee")).unwrap(), None);
        assert_eq!(of(None).unwrap_err().code, Code::Usage);
        assert_eq!(named(["a"].into_iter(), None).unwrap(), Some("a"));
        assert_eq!(named([].into_iter(), None).unwrap(), None);
    }
}
