//! `watchfire peer`: the other members, their nodes, whom to call, and whether
//! this node trusts them.

use clap::Subcommand;

use super::error::{CliError, Code};
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::governance::{MemberReport, MembersReply, NodeReport};
use crate::control::{Op, Reply};

mod distrust;
mod list;
mod ping;
mod show;
mod trace;

/// See the members, when their nodes were last heard of, and whom to call
#[derive(Debug, Subcommand)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) enum PeerCommand {
    List(list::ListArgs),
    Show(show::PeerShowArgs),
    Ping(ping::PingArgs),
    Distrust(distrust::DistrustArgs),
    Trace(trace::TraceArgs),
}

pub(crate) fn run(context: &Context, command: &PeerCommand) -> Result<(), CliError> {
    match command {
        PeerCommand::List(_) => list::run(context, &members(context)?),
        PeerCommand::Show(args) => show::run(context, &members(context)?, args),
        PeerCommand::Ping(args) => ping::run(context, &members(context)?, args),
        PeerCommand::Distrust(args) => distrust::run(context, args),
        PeerCommand::Trace(args) => trace::run(context, args),
    }
}

fn members(context: &Context) -> Result<MembersReply, CliError> {
    let Reply::Members(reply) = context
        .connect(TIMEOUT_DEFAULT)?
        .request(Op::Members, &[])?
    else {
        return Err(ControlError::Unexpected.into());
    };
    Ok(reply)
}

fn member_of<'a>(reply: &'a MembersReply, slug: &str) -> Result<&'a MemberReport, CliError> {
    let found = reply.members.iter().find(|member| member.slug == slug);
    found.ok_or_else(|| {
        CliError::new(
            Code::NotFound,
            format!("there is no member {slug} in epoch {}", reply.epoch),
        )
        .hint("\"watchfire peer list\" names the members")
    })
}

/// An author as `show` and `explain` name it.
pub(super) fn author(slug: &str, is_distrusted: bool) -> String {
    if is_distrusted {
        format!("{slug} (distrusted here)")
    } else {
        slug.to_owned()
    }
}

/// `connected, suspended until 2026-11-26 02:00Z, distrusted`.
fn state(member: &MemberReport, node: Option<&NodeReport>) -> String {
    let mut words =
        vec![node.map_or_else(|| "no certificate".to_owned(), |node| node.state.clone())];
    if let Some(standing) = suspension(member) {
        words.push(standing);
    }
    if member.distrusted.is_some() {
        words.push("distrusted".to_owned());
    }
    if node.is_some_and(|node| !node.withholding.is_empty()) {
        words.push("withholding".to_owned());
    }
    words.join(", ")
}

fn suspension(member: &MemberReport) -> Option<String> {
    member.suspended.then(|| match &member.suspended_until {
        Some(until) => format!("suspended until {}", super::search::minute(until)),
        None => "suspended".to_owned(),
    })
}

fn heard(node: &NodeReport) -> String {
    node.heard_ms_ago.map_or_else(
        || "not yet".to_owned(),
        |ms| format!("{} ago", super::status::duration(ms)),
    )
}

/// The roster's number that a node says it holds, seen from the one held here.
fn epoch(node: &NodeReport, here: u64) -> Option<String> {
    let held = node.epoch?;
    Some(match held.cmp(&here) {
        core::cmp::Ordering::Equal => held.to_string(),
        core::cmp::Ordering::Less => format!("{held} (behind)"),
        core::cmp::Ordering::Greater => format!("{held} (ahead)"),
    })
}

/// A difference of clocks: `+1.250 s`.
fn offset(ms: i64) -> String {
    let size = ms.unsigned_abs();
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{}.{:03} s", size / 1_000, size % 1_000)
}

fn days(node: &NodeReport) -> String {
    match node.certificate_days {
        days if days < 0 => "ended".to_owned(),
        0 => "ends within a day".to_owned(),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_clocks_are_short_and_signed() {
        assert_eq!(offset(0), "+0.000 s");
        assert_eq!(offset(-61_250), "-61.250 s");
        assert_eq!(offset(5), "+0.005 s");
    }
}
