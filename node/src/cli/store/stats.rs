//! `watchfire store stats`: what the store holds.

use clap::Args;
use serde::Serialize;

use super::{bytes_text, offline};
use crate::cli::Context;
use crate::cli::error::{CliError, Code};
use crate::disk::space::{free_bytes, used_bytes};
use crate::disk::survey::{Survey, survey};

/// Count what the store holds, and what it takes on the disk
///
/// Reads the whole store, which takes some seconds for each gigabyte. Values
/// are counted as they are: "store check" says whether they are right.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire store stats
  watchfire store stats --json")]
pub(crate) struct StatsArgs {}

#[derive(Serialize)]
struct StatsView {
    store: String,
    envelopes: u64,
    bundles: u64,
    objects: u64,
    values: u64,
    awaited_bodies: u64,
    unopened: u64,
    evidence: u64,
    damaged: u64,
    lost_batches: u64,
    disk_bytes: u64,
    /// Absent where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
    tables: Vec<TableView>,
}

#[derive(Serialize)]
struct TableView {
    name: &'static str,
    truth: bool,
    entries: u64,
    bytes: u64,
}

pub(crate) fn run(context: &Context, _args: &StatsArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let offline = offline(context)?;
    let path = offline.home.store();
    let progress = ui.progress("reading the store");
    let Survey {
        tables,
        envelopes,
        bundles,
        objects,
        values,
        awaited,
        unopened,
        evidence,
        damaged,
    } = survey(&offline.store)?;
    drop(progress);
    let view = StatsView {
        store: path.display().to_string(),
        envelopes,
        bundles,
        objects,
        values,
        awaited_bodies: awaited,
        unopened,
        evidence,
        damaged,
        lost_batches: offline
            .loss
            .map_or(0, |loss| loss.had.saturating_sub(loss.has)),
        disk_bytes: used_bytes(&path).map_err(|cause| {
            CliError::new(
                Code::Failure,
                format!("could not look at {}: {cause}", path.display()),
            )
        })?,
        free_bytes: free_bytes(&path),
        tables: tables
            .into_iter()
            .map(|table| TableView {
                name: table.name,
                truth: table.is_truth,
                entries: table.entries,
                bytes: table.bytes,
            })
            .collect(),
    };
    if ui.json() {
        return ui.document("store-stats", &view);
    }
    let free = view
        .free_bytes
        .map_or_else(|| "unknown".to_owned(), bytes_text);
    ui.fields(&[
        ("store", view.store),
        ("envelopes", view.envelopes.to_string()),
        ("bundles", view.bundles.to_string()),
        ("objects", view.objects.to_string()),
        ("values", view.values.to_string()),
        ("bodies awaited", view.awaited_bodies.to_string()),
        ("unopened", view.unopened.to_string()),
        ("evidence", view.evidence.to_string()),
        ("on disk", bytes_text(view.disk_bytes)),
        ("free", free),
    ])?;
    if ui.for_people() {
        ui.line("")?;
    }
    let rows: Vec<Vec<String>> = view
        .tables
        .iter()
        .map(|table| {
            vec![
                table.name.to_owned(),
                if table.truth { "truth" } else { "index" }.to_owned(),
                table.entries.to_string(),
                if ui.for_people() {
                    bytes_text(table.bytes)
                } else {
                    table.bytes.to_string()
                },
            ]
        })
        .collect();
    ui.rows(Some("table"), &["TABLE", "KIND", "ENTRIES", "SIZE"], &rows)?;
    if view.damaged > 0 || view.lost_batches > 0 {
        ui.note("warning: the store is damaged: run \"watchfire store check\"");
    }
    Ok(())
}
