//! `watchfire store check`: whether everything in the store is right, and
//! mending what is not.

use clap::Args;
use serde::Serialize;

use super::{Offline, bytes_text, offline};
use crate::cli::error::{CliError, Code};
use crate::cli::ui::counted;
use crate::cli::{Context, files};
use crate::disk::audit::{Audit, Finding, audit};
use crate::disk::repair::{RepairError, Repaired, repair};
use crate::disk::space::free_bytes;
use crate::disk::{marks, published};

/// Findings that are named; the rest is counted.
const FINDINGS_MAX: usize = 1_000;

/// Findings that a person sees; the document has more.
const SHOWN_MAX: usize = 20;

/// Check everything in the store: checksums, signatures, indexes
///
/// Reads every value, checks every signature again, and names what does not
/// hold. Ends with 18 if anything does not. Nothing is changed without
/// --rebuild.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire store check
  watchfire store check --rebuild")]
pub(crate) struct CheckArgs {
    /// Remove what is worthless, then make every index again; peers bring back what was lost
    #[arg(long)]
    rebuild: bool,
    /// Let this node publish again although its own stream is shorter than it was, or nobody knows: only where no
    /// peer holds more of it
    #[arg(long)]
    accept_own_stream: bool,
}

#[derive(Serialize)]
struct CheckView {
    store: String,
    sound: bool,
    entries: u64,
    entries_expected: u64,
    stale: bool,
    lost_batches: u64,
    verified: u64,
    unknown_authors: u64,
    waiting_for_a_gap: u64,
    signatures_checked: bool,
    /// At most a thousand; `bad_total` counts all.
    bad: Vec<BadView>,
    bad_total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilt: Option<RebuiltView>,
    /// Own streams whose length was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_streams_accepted: Option<usize>,
}

#[derive(Serialize)]
struct BadView {
    table: &'static str,
    truth: bool,
    at: String,
    why: String,
    key: String,
}

/// What mending did.
#[derive(Serialize)]
struct RebuiltView {
    truth_removed: u64,
    index_values_removed: u64,
    envelopes: u64,
    unopened: u64,
    unreadable: u64,
    repeated: u64,
    beyond_a_gap: u64,
    /// What was removed; at most a thousand.
    removed: Vec<BadView>,
}

impl From<&Finding> for BadView {
    fn from(finding: &Finding) -> Self {
        Self {
            table: finding.table,
            truth: finding.is_truth,
            at: finding.place.clone(),
            why: finding.why.clone(),
            key: hex::encode(&finding.key),
        }
    }
}

impl From<&Repaired> for RebuiltView {
    fn from(repaired: &Repaired) -> Self {
        Self {
            truth_removed: repaired.removed_truth,
            index_values_removed: repaired.removed_index,
            envelopes: repaired.rebuilt.envelopes,
            unopened: repaired.rebuilt.unopened,
            unreadable: repaired.rebuilt.unreadable,
            repeated: repaired.rebuilt.repeated,
            beyond_a_gap: repaired.rebuilt.beyond,
            removed: repaired.removed.iter().map(BadView::from).collect(),
        }
    }
}

impl From<RepairError> for CliError {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Store(error) => error.into(),
            RepairError::Io { .. } => Self::of(Code::Failure, &error),
        }
    }
}

pub(crate) fn run(context: &Context, args: &CheckArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let offline = offline(context)?;
    let Offline {
        home, store, loss, ..
    } = &offline;
    let path = home.store();
    let roster = files::roster(home)?;
    let progress = ui.progress("reading the store");
    let step = |table: &'static str, entries: u64| {
        progress.now(&format!("{table}: {entries} entries read"));
    };
    let mut rebuilt = None;
    if args.rebuild {
        let Some(roster) = &roster else {
            return Err(CliError::new(
                Code::NotInitialised,
                "the indexes cannot be made again: this node belongs to no federation yet",
            )
            .hint("join one with \"watchfire join\", by an invitation, a genesis or a packet"));
        };
        let repaired = repair(store, &path, roster, step)?;
        rebuilt = Some(RebuiltView::from(&repaired));
    }
    let audit = audit(store, roster.as_ref(), FINDINGS_MAX, step)?;
    drop(progress);
    // Mending accepts the loss, which is said all the same.
    let lost_batches = loss.map_or(0, |loss| loss.had.saturating_sub(loss.has));
    let is_unfinished = marks::is_repairing(&path);
    let sound = audit.is_sound() && !is_unfinished && (lost_batches == 0 || args.rebuild);
    let mut own_streams_accepted = None;
    if args.accept_own_stream {
        if !sound {
            return Err(CliError::new(
                Code::Verification,
                "the own stream is not accepted: the store it is in is damaged",
            )
            .hint("mend it first with --rebuild"));
        }
        own_streams_accepted = Some(published::accept(store, &path)?);
    }
    let view = CheckView {
        store: path.display().to_string(),
        sound,
        entries: audit.entries,
        entries_expected: audit.entries_had,
        stale: audit.entries == audit.entries_had && !audit.is_sum_right,
        lost_batches,
        verified: audit.verified,
        unknown_authors: audit.unknown,
        waiting_for_a_gap: audit.beyond,
        signatures_checked: roster.is_some(),
        bad: audit.findings.iter().map(BadView::from).collect(),
        bad_total: audit.more.saturating_add(audit.findings.len() as u64),
        rebuilt,
        own_streams_accepted,
    };
    if ui.json() {
        ui.document("store-check", &view)?;
    } else {
        print(context, &view)?;
    }
    if view.sound {
        return Ok(());
    }
    Err(refused(&view, &audit, is_unfinished))
}

fn print(context: &Context, view: &CheckView) -> Result<(), CliError> {
    let ui = &context.ui;
    let mut fields = vec![
        ("store", view.store.clone()),
        (
            "entries",
            format!("{} of {}", view.entries, view.entries_expected),
        ),
        ("envelopes verified", view.verified.to_string()),
        ("bad", view.bad_total.to_string()),
    ];
    for (name, count) in [
        ("of unknown authors", view.unknown_authors),
        ("waiting for a gap", view.waiting_for_a_gap),
        ("batches lost", view.lost_batches),
    ] {
        if count > 0 {
            fields.push((name, count.to_string()));
        }
    }
    if let Some(rebuilt) = &view.rebuilt {
        fields.extend([
            ("truth removed", rebuilt.truth_removed.to_string()),
            (
                "index values removed",
                rebuilt.index_values_removed.to_string(),
            ),
            ("envelopes indexed", rebuilt.envelopes.to_string()),
            ("to be opened", rebuilt.unopened.to_string()),
            (
                "not indexed",
                (rebuilt.unreadable + rebuilt.repeated + rebuilt.beyond_a_gap).to_string(),
            ),
        ]);
    }
    if let Some(accepted) = view.own_streams_accepted {
        fields.push(("own streams accepted", accepted.to_string()));
    }
    ui.fields(&fields)?;
    let removed = view.rebuilt.iter().flat_map(|rebuilt| &rebuilt.removed);
    let rows_of = |record: &str, bad: &mut dyn Iterator<Item = &BadView>| {
        let rows: Vec<Vec<String>> = bad
            .map(|bad| vec![bad.table.to_owned(), bad.at.clone(), bad.why.clone()])
            .take(if ui.for_people() {
                SHOWN_MAX
            } else {
                FINDINGS_MAX
            })
            .collect();
        if ui.for_people() && !rows.is_empty() {
            ui.line("")?;
        }
        ui.rows(Some(record), &["TABLE", "AT", record], &rows)
    };
    rows_of("removed", &mut removed.into_iter())?;
    rows_of("bad", &mut view.bad.iter())?;
    if !view.signatures_checked {
        ui.note("note: no signature was checked, since this node belongs to no federation yet");
    }
    if let Some(rebuilt) = &view.rebuilt {
        if rebuilt.truth_removed > 0 {
            ui.note("note: what was removed comes back from peers when the node runs");
        }
        if rebuilt.unopened > 0 {
            ui.note("note: the node opens and indexes the bundles when it runs");
        }
    }
    Ok(())
}

fn refused(view: &CheckView, audit: &Audit, is_unfinished: bool) -> CliError {
    let mut wrong = Vec::new();
    if view.bad_total > 0 {
        let count = usize::try_from(view.bad_total).unwrap_or(usize::MAX);
        wrong.push(format!(
            "{} not hold",
            counted(count, "entry does", "entries do")
        ));
    }
    if view.lost_batches > 0 {
        wrong.push(format!("the newest {} batches are lost", view.lost_batches));
    }
    if !audit.is_complete() {
        wrong.push(if view.stale {
            "some entries are older than what was written last".to_owned()
        } else {
            format!(
                "it has {} entries and should have {}",
                view.entries, view.entries_expected
            )
        });
    }
    if is_unfinished {
        wrong.push("a repair of it was interrupted".to_owned());
    }
    let error = CliError::new(
        Code::Verification,
        format!("the store is damaged: {}", wrong.join("; ")),
    );
    if view.rebuilt.is_some() {
        return error
            .hint("start the node: what does not read is set aside and fetched from peers");
    }
    let room = free_bytes(std::path::Path::new(&view.store)).map_or_else(String::new, |free| {
        format!(" ({} are free)", bytes_text(free))
    });
    error
        .hint("copy the data directory if you want to examine it or have no other copy of what this node published")
        .hint(format!(
            "then run \"watchfire store check --rebuild\"{room}: it removes what is worthless, and peers bring it back"
        ))
}
