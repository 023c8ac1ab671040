//! `watchfire peer ping`: how long the way to a member's nodes is.

use clap::Args;
use serde::Serialize;

use super::member_of;
use crate::cli::Context;
use crate::cli::error::{CliError, Code};
use crate::control::governance::MembersReply;

/// Tell how long the node's last probe of a member's nodes took, there and back
///
/// A node probes every link each 15 seconds and closes one that does not answer.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  watchfire peer ping at-cert")]
pub(crate) struct PingArgs {
    /// Slug of the member
    member: String,
}

pub(super) fn run(
    context: &Context,
    reply: &MembersReply,
    args: &PingArgs,
) -> Result<(), CliError> {
    let slug = args.member.as_str();
    #[derive(Serialize)]
    struct Probe<'a> {
        node: &'a str,
        round_trip_us: u64,
        probed_ms_ago: u64,
    }
    #[derive(Serialize)]
    struct Pinged<'a> {
        member: &'a str,
        probes: Vec<Probe<'a>>,
    }
    let ui = &context.ui;
    let member = member_of(reply, slug)?;
    if member.slug == reply.me {
        return Err(
            CliError::new(Code::Usage, format!("{slug} is this node's own member"))
                .hint("\"watchfire peer list\" names the others"),
        );
    }
    let probes = member.nodes.iter().filter_map(|node| {
        Some(Probe {
            node: &node.node,
            round_trip_us: node.round_trip_us?,
            probed_ms_ago: node.probed_ms_ago?,
        })
    });
    let pinged = Pinged {
        member: slug,
        probes: probes.collect(),
    };
    if pinged.probes.is_empty() && member.distrusted.is_some() {
        return Err(CliError::new(
            Code::Degraded,
            format!("this node distrusts {slug} and has no link to it"),
        )
        .hint(format!(
            "\"watchfire peer distrust {slug} --end\" ends that"
        )));
    }
    if pinged.probes.is_empty() {
        return Err(CliError::new(
            Code::Timeout,
            format!(
                "no node of {slug} has answered a probe: none is connected, or it was a moment ago"
            ),
        )
        .hint(format!(
            "see \"watchfire peer show {slug}\" for its addresses and its duty desk"
        )));
    }
    if ui.json() {
        return ui.document("peer-ping", &pinged);
    }
    let rows: Vec<Vec<String>> = pinged
        .probes
        .iter()
        .map(|probe| {
            vec![
                probe.node.to_owned(),
                format!(
                    "{}.{:03} ms",
                    probe.round_trip_us / 1_000,
                    probe.round_trip_us % 1_000
                ),
                format!("{} s ago", probe.probed_ms_ago / 1_000),
            ]
        })
        .collect();
    ui.rows(None, &["NODE", "ROUND TRIP", "MEASURED"], &rows)
}
