//! `watchfire search`: find what this node holds.

use clap::Args;

use super::error::{CliError, Code};
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::{HitView, Op, Reply, SearchOp};

/// The most hits one search may ask for: a table of them is some 3 MB.
const LIMIT_MAX: u64 = 1_000;

/// Search by value or STIX id
///
/// Finds domains, addresses, URLs, mail addresses and digests, written live or
/// defanged, and objects by their id. In a pipe a hit is one line: name, type,
/// marking, author, received, valid until, id, bundle, state.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire search 'evil[.]example' --subdomains
  watchfire search 192.0.2.7 --json")]
pub(crate) struct SearchArgs {
    /// A value, or a STIX id
    query: String,
    /// Also what lies below the domain
    #[arg(long)]
    subdomains: bool,
    /// How many hits at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=LIMIT_MAX))]
    limit: u64,
}

pub(crate) fn run(context: &Context, args: &SearchArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let op = Op::Search(SearchOp {
        query: args.query.clone(),
        subdomains: args.subdomains,
        limit,
    });
    let Reply::Found(found) = context.connect(TIMEOUT_DEFAULT)?.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        ui.document("search", &found)?;
    } else if !found.hits.is_empty() {
        let people = ui.for_people();
        let rows: Vec<Vec<String>> = found.hits.iter().map(|hit| row(hit, people)).collect();
        let header: &[&str] = if people {
            &["NAME", "TYPE", "TLP", "FROM", "RECEIVED", "ID", "STATE"]
        } else {
            &[]
        };
        ui.rows(None, header, &rows)?;
    }
    if found.incomplete > 0 {
        ui.note(&format!(
            "note: incomplete: of {} bundles a part cannot be found, since the index is damaged; restart the node, which makes it again",
            found.incomplete
        ));
    }
    if found.hits.is_empty() {
        return Err(CliError::new(Code::NotFound, format!("nothing found for {}", ui.cell(&args.query)))
            .hint("what this node has not received or may not show is not found; look at \"watchfire status\""));
    }
    if found.truncated {
        ui.note(&format!(
            "note: the first {} hits; there may be more, raise --limit",
            found.hits.len()
        ));
    }
    Ok(())
}

fn row(hit: &HitView, people: bool) -> Vec<String> {
    let mut state = Vec::new();
    if hit.superseded {
        state.push("superseded");
    }
    if hit.distrusted {
        state.push("distrusted");
    }
    if hit.exercise {
        state.push("exercise");
    }
    let state = state.join(",");
    let start = [
        hit.name.clone(),
        hit.kind.clone(),
        hit.marking.clone(),
        hit.author.clone(),
        if people {
            minute(&hit.received)
        } else {
            hit.received.clone()
        },
    ];
    let end = if people {
        vec![hit.id.clone(), state]
    } else {
        vec![
            hit.valid_until.clone(),
            hit.id.clone(),
            hit.bundle.clone(),
            state,
        ]
    };
    start.into_iter().chain(end).collect()
}

/// As much of a moment as people compare: `2026-11-23 02:00Z`.
pub(super) fn minute(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..16)) {
        (Some(date), Some(time)) => format!("{date} {time}Z"),
        (_, _) => rfc3339.to_owned(),
    }
}
