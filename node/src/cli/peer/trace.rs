//! `watchfire peer trace`: by which way an envelope came here.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::search::minute;
use crate::cli::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::peers::{HopView, TraceReply};
use crate::control::{Op, Reply};

/// Tell by which way an envelope came here, as far as this node can see
///
/// Who handed it over first and when, who handed over another copy, who says it
/// holds it, who asked this node for it, and what came of it. A node sees its
/// own links and nothing behind them. The way is remembered in memory, of the
/// newest 4,096 envelopes, until the node ends; when an envelope was taken and
/// what came of it is in the store.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  watchfire peer trace 5c1f0e6b2f0f4f7d9f3e8f5d4c3b2a190f1e2d3c4b5a69788796a5b4c3d2e1f0")]
pub(crate) struct TraceArgs {
    /// The 64 digits of an envelope id or a bundle id
    #[arg(value_name = "ENVELOPE|BUNDLE")]
    id: String,
}

pub(super) fn run(context: &Context, args: &TraceArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let op = Op::Trace {
        id: args.id.clone(),
    };
    let Reply::Traced(traced) = context.connect(TIMEOUT_DEFAULT)?.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        return ui.document("peer-trace", &traced);
    }
    ui.fields(&fields(&traced))?;
    let rows = rows(&traced, ui.for_people());
    if ui.for_people() && !rows.is_empty() {
        ui.line("")?;
    }
    ui.rows(Some("hop"), &["WHAT", "MEMBER", "WHEN", "NODE", ""], &rows)?;
    for note in notes(&traced) {
        ui.note(&format!("note: {note}"));
    }
    Ok(())
}

fn fields(traced: &TraceReply) -> Vec<(&'static str, String)> {
    let mut fields = vec![("envelope", traced.envelope.clone())];
    if let Some(bundle) = &traced.bundle {
        fields.push(("bundle", bundle.clone()));
    }
    fields.extend([
        ("author", traced.author.clone()),
        ("sequence", traced.sequence.to_string()),
        ("verdict", traced.verdict.clone()),
    ]);
    if let Some(received) = &traced.received {
        fields.push(("received", received.clone()));
    }
    if let Some(why) = &traced.quarantine {
        fields.push(("not believed", why.clone()));
    }
    if let Some(way) = &traced.way {
        fields.push(("came by", way.clone()));
    }
    fields
}

/// A line for each peer, in the order in which things happen to an envelope.
fn rows(traced: &TraceReply, people: bool) -> Vec<Vec<String>> {
    let row = |what: &str, hop: &HopView, more: String| {
        let at = if people {
            second(&hop.at)
        } else {
            hop.at.clone()
        };
        vec![
            what.to_owned(),
            hop.member.clone(),
            at,
            hop.node.clone(),
            more,
        ]
    };
    let times = |hop: &HopView| match hop.times {
        Some(times) if times > 1 => format!("{times} times"),
        Some(_) | None => String::new(),
    };
    let mut rows = Vec::new();
    if let Some(hop) = &traced.not_taken {
        let why = traced.not_taken_why.clone().unwrap_or_default();
        rows.push(row("not taken from", hop, why));
    }
    rows.extend(
        traced
            .first
            .iter()
            .map(|hop| row("first from", hop, String::new())),
    );
    rows.extend(
        traced
            .again
            .iter()
            .map(|hop| row("again from", hop, times(hop))),
    );
    rows.extend(traced.listed.iter().map(|hop| {
        let through = hop
            .through
            .map_or_else(String::new, |through| format!("its stream up to {through}"));
        row("held by", hop, through)
    }));
    rows.extend(
        traced
            .asked
            .iter()
            .map(|hop| row("asked for by", hop, times(hop))),
    );
    rows
}

/// A moment to the second, with the time of day that `minute` cuts.
fn second(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..19)) {
        (Some(date), Some(time)) => format!("{date} {time}Z"),
        (_, _) => minute(rfc3339),
    }
}

/// What a person must not take this for.
fn notes(traced: &TraceReply) -> Vec<String> {
    let mut notes = Vec::new();
    if !traced.remembered {
        notes.push(
            "its way is not remembered: it came before this node started, or it is not among the newest 4,096"
                .to_owned(),
        );
    }
    if traced.not_noted > 0 {
        notes.push(format!(
            "{} more from peers for which there was no place",
            traced.not_noted
        ));
    }
    notes.push(
        "no node sees further than its own links: where the first copy was before, and to whom gossip passed it on, cannot be known here; copies that gossip brings within a minute of the first are dropped unseen"
            .to_owned(),
    );
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(member: &str) -> HopView {
        HopView {
            member: member.to_owned(),
            node: "00".to_owned(),
            at: "2026-11-23T02:00:07.250Z".to_owned(),
            times: Some(2),
            through: None,
        }
    }

    #[test]
    fn hops_are_told_in_order_and_what_is_not_known_is_said() {
        let mut traced = TraceReply {
            envelope: "01".to_owned(),
            bundle: None,
            author: "at-cert".to_owned(),
            node: "02".to_owned(),
            sequence: 3,
            held: "whole".to_owned(),
            received: None,
            verdict: "taken".to_owned(),
            quarantine: None,
            remembered: true,
            way: Some("gossip".to_owned()),
            first: Some(hop("be-cert")),
            again: vec![hop("cz-cert")],
            listed: vec![HopView {
                through: Some(9),
                ..hop("de-cert")
            }],
            asked: vec![hop("ee-cert")],
            not_taken: Some(hop("fi-cert")),
            not_taken_why: Some("the disk is behind".to_owned()),
            not_noted: 0,
        };
        let said: Vec<String> = rows(&traced, true)
            .iter()
            .map(|row| row.join("|"))
            .collect();
        assert_eq!(
            said,
            [
                "not taken from|fi-cert|2026-11-23 02:00:07Z|00|the disk is behind",
                "first from|be-cert|2026-11-23 02:00:07Z|00|",
                "again from|cz-cert|2026-11-23 02:00:07Z|00|2 times",
                "held by|de-cert|2026-11-23 02:00:07Z|00|its stream up to 9",
                "asked for by|ee-cert|2026-11-23 02:00:07Z|00|2 times",
            ]
        );
        assert_eq!(notes(&traced).len(), 1);
        traced.remembered = false;
        traced.not_noted = 2;
        assert_eq!(notes(&traced).len(), 3);
    }
}
