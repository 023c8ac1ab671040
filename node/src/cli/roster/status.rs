//! `watchfire roster status`: what is proposed, who is missing, and how fresh
//! this node's roster is.

use clap::Args;

use super::say::membership;
use super::{fields_of, next_of};
use crate::cli::error::CliError;
use crate::cli::{Context, TIMEOUT_DEFAULT};
use crate::driver::membership::MembershipView;

/// Show what is proposed, who is missing, and how fresh the roster is here
///
/// A roster is fresh for a marking while enough members were heard of that hold
/// the same: what is marked so is not sealed on a stale one.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire roster status
  watchfire roster status --json")]
pub(crate) struct StatusArgs {}

pub(super) fn run(context: &Context, _args: &StatusArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let view = membership(&mut context.connect(TIMEOUT_DEFAULT)?)?;
    if ui.json() {
        return ui.document("roster-status", &view);
    }
    ui.fields(&fields(&view))?;
    for proposal in &view.proposals {
        if ui.for_people() {
            ui.line("")?;
        }
        ui.fields(&fields_of(proposal, view.votes_needed))?;
    }
    if ui.for_people() && !view.suspensions.is_empty() {
        ui.line("")?;
    }
    let rows: Vec<Vec<String>> = view
        .suspensions
        .iter()
        .map(|one| {
            vec![
                one.of.clone(),
                one.by.clone(),
                crate::clock::moment(one.until_ms),
                one.reason.clone(),
            ]
        })
        .collect();
    ui.rows(
        Some("suspension"),
        &["TO BE SUSPENDED", "BY", "UNTIL", "REASON"],
        &rows,
    )?;
    for proposal in &view.proposals {
        for line in next_of(proposal) {
            ui.note(&line);
        }
    }
    Ok(())
}

fn fields(view: &MembershipView) -> Vec<(&'static str, String)> {
    let names = |names: &[String]| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let mut fields = vec![
        ("epoch", view.epoch.to_string()),
        ("roster", view.roster.clone()),
        (
            "members",
            format!(
                "{}, of whom {} may cheat together",
                view.members, view.faults
            ),
        ),
        ("votes that decide", view.votes_needed.to_string()),
    ];
    for fresh in &view.freshness {
        fields.push((
            "fresh",
            format!(
                "{}: {}, {} of {} members heard of",
                fresh.marking,
                if fresh.is_fresh { "yes" } else { "no" },
                fresh.heard,
                view.heard_needed
            ),
        ));
    }
    fields.extend([
        (
            "clock",
            view.clock_offset_ms.map_or_else(
                || "not known: too few members were heard of".to_owned(),
                |ms| {
                    let side = if ms < 0 { "ahead of" } else { "behind" };
                    format!("{} ms {side} the federation's", ms.unsigned_abs())
                },
            ),
        ),
        ("suspended", names(&view.suspended)),
        ("voted twice", names(&view.double_voters)),
        ("forked nodes", names(&view.forked)),
        ("proposals", view.proposals.len().to_string()),
    ]);
    fields
}
