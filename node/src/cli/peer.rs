//! `watchfire peer`: the other members, their nodes, and whom to call.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::error::{CliError, Code};
use super::{Context, TIMEOUT_DEFAULT, files};
use crate::control::client::ControlError;
use crate::control::governance::{MemberReport, MembersReply, NodeReport};
use crate::control::{Op, Reply};

/// See the members, when their nodes were last heard of, and whom to call
#[derive(Debug, Subcommand)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) enum PeerCommand {
    List(ListArgs),
    Show(PeerShowArgs),
    Ping(PingArgs),
}

/// List the nodes of every member: connected, last heard of, epoch, certificate
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire peer list
  watchfire peer list --json")]
pub(crate) struct ListArgs {}

/// Show a member: its duty desk, its addresses, its nodes
#[derive(Args, Debug)]
#[command(after_help = "Example:
  watchfire peer show at-cert")]
pub(crate) struct PeerShowArgs {
    /// Slug of the member
    member: String,
}

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

pub(crate) fn run(context: &Context, command: &PeerCommand) -> Result<(), CliError> {
    let Reply::Members(reply) = context
        .connect(TIMEOUT_DEFAULT)?
        .request(Op::Members, &[])?
    else {
        return Err(ControlError::Unexpected.into());
    };
    match command {
        PeerCommand::List(_) => list(context, &reply),
        PeerCommand::Show(args) => show(context, &reply, &args.member),
        PeerCommand::Ping(args) => ping(context, &reply, &args.member),
    }
}

fn list(context: &Context, reply: &MembersReply) -> Result<(), CliError> {
    let ui = &context.ui;
    if ui.json() {
        return ui.document("peer-list", reply);
    }
    let rows: Vec<Vec<String>> = reply
        .members
        .iter()
        .flat_map(|member| {
            let silent = member.nodes.is_empty().then(|| {
                vec![
                    member.slug.clone(),
                    member.role.clone(),
                    "no certificate".to_owned(),
                    String::new(),
                    String::new(),
                    String::new(),
                ]
            });
            let nodes = member.nodes.iter().map(|node| {
                vec![
                    member.slug.clone(),
                    member.role.clone(),
                    state(member, node),
                    heard(node),
                    node.epoch
                        .map_or_else(String::new, |epoch| epoch.to_string()),
                    days(node),
                ]
            });
            nodes.chain(silent).collect::<Vec<_>>()
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
        ],
        &rows,
    )
}

fn show(context: &Context, reply: &MembersReply, slug: &str) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Shown<'a> {
        epoch: u64,
        #[serde(flatten)]
        member: &'a MemberReport,
    }
    let ui = &context.ui;
    let member = member_of(reply, slug)?;
    if ui.json() {
        return ui.document(
            "peer",
            &Shown {
                epoch: reply.epoch,
                member,
            },
        );
    }
    let mut fields = vec![
        ("member", format!("{} ({})", member.slug, member.role)),
        ("name", member.name.clone()),
        ("duty desk", member.duty.clone()),
        ("mail", member.mail.clone()),
        ("communities", member.communities.join(", ")),
        ("root key", files::grouped(&member.root_public)),
        (
            "card of",
            member
                .card_created
                .clone()
                .unwrap_or_else(|| "not known since its root was replaced".to_owned()),
        ),
    ];
    if member.suspended {
        fields.push(("suspended", "yes".to_owned()));
    }
    for node in &member.nodes {
        fields.extend([
            ("node", node.node.clone()),
            ("state", state(member, node)),
            ("heard of", heard(node)),
            (
                "holds epoch",
                node.epoch
                    .map_or_else(|| "not known".to_owned(), |epoch| epoch.to_string()),
            ),
            (
                "certificate",
                format!(
                    "serial {}, until {}, {}",
                    node.serial,
                    node.certificate_until,
                    days(node)
                ),
            ),
        ]);
        for withheld in &node.withholding {
            fields.push(("withholding", withheld.told()));
        }
    }
    ui.fields(&fields)?;
    // Addresses are copied, and are no indicators.
    for (name, addresses) in [
        ("dialled at", &member.addresses),
        ("door at", &member.door_addresses),
    ] {
        for address in addresses {
            let address = super::ui::visible(address);
            ui.line(&if ui.for_people() {
                format!("{name:11}  {address}")
            } else {
                format!("{name}\t{address}")
            })?;
        }
    }
    Ok(())
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

fn ping(context: &Context, reply: &MembersReply, slug: &str) -> Result<(), CliError> {
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

fn state(member: &MemberReport, node: &NodeReport) -> String {
    let mut state = node.state.clone();
    if member.suspended {
        state.push_str(", suspended");
    }
    if !node.withholding.is_empty() {
        state.push_str(", withholding");
    }
    state
}

fn heard(node: &NodeReport) -> String {
    node.heard_ms_ago.map_or_else(
        || "not yet".to_owned(),
        |ms| format!("{} ago", super::status::duration(ms)),
    )
}

fn days(node: &NodeReport) -> String {
    if node.certificate_days < 0 {
        "ended".to_owned()
    } else {
        format!("{} days left", node.certificate_days)
    }
}
