//! `watchfire peer list`: every node of every member, one line each.

use clap::Args;

use super::{days, epoch, heard, offset, state};
use crate::cli::Context;
use crate::cli::error::CliError;
use crate::control::governance::{MemberReport, MembersReply, NodeReport};

/// List the nodes of every member: connected, suspended, distrusted, last heard of, epoch, clock, certificate
///
/// The clock is how far that member's was from this node's when gossip last
/// brought a sign of life of it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire peer list
  watchfire peer list --json")]
pub(crate) struct ListArgs {}

pub(super) fn run(context: &Context, reply: &MembersReply) -> Result<(), CliError> {
    let ui = &context.ui;
    if ui.json() {
        return ui.document("peer-list", reply);
    }
    let rows: Vec<Vec<String>> = reply
        .members
        .iter()
        .flat_map(|member| {
            let none = member.nodes.is_empty().then(|| row(reply, member, None));
            let nodes = member
                .nodes
                .iter()
                .map(|node| row(reply, member, Some(node)));
            nodes.chain(none).collect::<Vec<_>>()
        })
        .collect();
    ui.rows(
        None,
        &[
            "MEMBER",
            "ROLE",
            "STATE",
            "HEARD OF",
            "EPOCH",
            "CERTIFICATE",
            "CLOCK",
        ],
        &rows,
    )?;
    let clock = match reply.clock_offset_ms {
        Some(ms) => format!("this clock and the federation's differ by {}", offset(ms)),
        None => "too few were heard to know the federation's time".to_owned(),
    };
    ui.note(&format!(
        "note: this node holds epoch {}; {clock}",
        reply.epoch
    ));
    Ok(())
}

fn row(reply: &MembersReply, member: &MemberReport, node: Option<&NodeReport>) -> Vec<String> {
    vec![
        member.slug.clone(),
        member.role.clone(),
        state(member, node),
        node.map_or_else(String::new, heard),
        node.and_then(|node| epoch(node, reply.epoch))
            .unwrap_or_default(),
        node.map_or_else(String::new, days),
        member.clock_offset_ms.map_or_else(String::new, offset),
    ]
}
