//! `watchfire roster export` and `import`: membership by file.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use watchfire_crypto::Statement as _;
use watchfire_protocol::limits::{FRAME_BYTES_MAX, ROSTER_BYTES_MAX};
use watchfire_protocol::roster::inspect_genesis;
use watchfire_protocol::wire::genesis::GenesisFile;
use watchfire_protocol::wire::roster::{Link, RosterStatement, Vote, VoteBy, VoteFrame};
use watchfire_protocol::wire::{Kind, Packet, SignedBytes, codec};

use super::chain::{packet_file, packet_of};
use super::written;
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, files};
use crate::control::client::{ControlClient, ControlError};
use crate::control::governance::BroughtReply;
use crate::control::{Op, Reply};
use crate::keystore::{FileError, MODE_PUBLIC, write_new};

/// Write genesis, chain, proposals and votes into a packet, for a machine without a network
///
/// A packet holds nothing secret and is not signed: everything in it is. Signs
/// of life are left out.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  watchfire roster export --output epoch-2.packet")]
pub(crate) struct ExportArgs {
    /// Where to write it
    #[arg(short, long, value_name = "FILE", default_value = "roster.packet")]
    output: PathBuf,
}

/// Give the running node what a packet holds, and tell what came of each part
///
/// Links of the chain first, then certificates, proposals and votes. What the
/// node takes it gives to others, too. It ends with code 3 when something was
/// refused.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  watchfire roster import epoch-2.packet")]
pub(crate) struct ImportArgs {
    /// The packet
    packet: PathBuf,
}

/// How long the node may take for a packet when `--timeout` does not say.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// What came of one part of a packet.
#[derive(Serialize)]
struct Part {
    /// What it is, in words.
    what: String,
    /// `accepted`, `held`, `past` or `refused`.
    outcome: String,
    /// Why it was refused.
    why: Option<String>,
    #[serde(skip)]
    later: bool,
}

#[derive(Serialize)]
struct Imported {
    epoch: u64,
    accepted: usize,
    held: usize,
    past: usize,
    refused: usize,
    parts: Vec<Part>,
}

pub(super) fn export(context: &Context, args: &ExportArgs) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Exported {
        file: String,
        bytes: usize,
        links: usize,
        notices: usize,
    }
    if args.output.exists() {
        return Err(FileError::Exists {
            path: args.output.clone(),
        }
        .into());
    }
    let packet = packet_of(&mut context.connect(PATIENCE)?)?;
    let bytes = packet.to_bytes();
    write_new(&args.output, &bytes, MODE_PUBLIC)?;
    let exported = Exported {
        file: args.output.display().to_string(),
        bytes: bytes.len(),
        links: packet.links().count(),
        notices: packet.notices().count(),
    };
    if context.ui.json() {
        return context.ui.document("roster-export", &exported);
    }
    context.ui.fields(&[
        ("file", written(&args.output, exported.bytes)),
        ("epochs after the founding", exported.links.to_string()),
        (
            "certificates, proposals, votes",
            exported.notices.to_string(),
        ),
    ])
}

pub(super) fn import(context: &Context, args: &ImportArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let packet = packet_file(&args.packet)?;
    let mut node = context.connect(PATIENCE)?;
    same_federation(&mut node, &packet)?;
    let progress = ui.progress("bringing the packet to the node");
    let mut epoch = 0;
    let mut parts = Vec::new();
    for link in packet.links() {
        let brought = bring(&mut node, Op::Follow, link)?;
        epoch = brought.epoch;
        parts.push(part(about_link(link), brought));
    }
    // Some need others: a consent its proposal, a vote a certificate.
    let mut waiting: Vec<&[u8]> = packet.notices().collect();
    // Votes last: they may decide the next roster, in which what is said of somebody
    // who left has no place any more.
    waiting.sort_by_key(|frame| is_vote(frame));
    while !waiting.is_empty() {
        progress.now(&format!("{} parts to go", waiting.len()));
        let before = waiting.len();
        let mut again = Vec::new();
        let mut refused = Vec::new();
        for frame in waiting {
            let brought = bring(&mut node, Op::Bring, frame)?;
            epoch = brought.epoch;
            let part = part_of(frame, brought);
            if part.later {
                again.push(frame);
                refused.push(part);
            } else {
                parts.push(part);
            }
        }
        if again.len() == before {
            parts.append(&mut refused);
            break;
        }
        waiting = again;
    }
    drop(progress);
    let count = |outcome: &str| parts.iter().filter(|part| part.outcome == outcome).count();
    let imported = Imported {
        epoch,
        accepted: count("accepted"),
        held: count("held"),
        past: count("past"),
        refused: count("refused"),
        parts,
    };
    if ui.json() {
        ui.document("roster-import", &imported)?;
    } else {
        ui.fields(&[
            ("epoch here", imported.epoch.to_string()),
            ("accepted", imported.accepted.to_string()),
            ("held already", imported.held.to_string()),
            ("of past epochs", imported.past.to_string()),
            ("refused", imported.refused.to_string()),
        ])?;
        let rows: Vec<Vec<String>> = imported
            .parts
            .iter()
            .filter(|part| part.outcome != "held" || ui.verbose() || !ui.for_people())
            .map(|part| {
                vec![
                    part.outcome.clone(),
                    part.what.clone(),
                    part.why.clone().unwrap_or_default(),
                ]
            })
            .collect();
        ui.rows(Some("part"), &["OUTCOME", "PART", "WHY"], &rows)?;
    }
    if imported.refused == 0 {
        return Ok(());
    }
    Err(CliError::new(
        Code::Partial,
        format!(
            "{} of {} parts were refused",
            imported.refused,
            imported.parts.len()
        ),
    )
    .hint(
        "the table says why of each; a packet of a node that holds more may hold what was missing",
    ))
}

fn is_vote(frame: &[u8]) -> bool {
    frame.get(1).copied().map(u16::from) == Some(Kind::Vote.number())
}

/// A packet of another federation is refused as one, and not part by part.
fn same_federation(node: &mut ControlClient, packet: &Packet) -> Result<(), CliError> {
    let genesis = GenesisFile::from_bytes(packet.genesis()).map_err(|why| {
        CliError::new(
            Code::Verification,
            format!("the genesis of the packet cannot be read: {why}"),
        )
    })?;
    let federation = inspect_genesis(&genesis)?.federation.to_string();
    let Reply::Status(status) = node.request(Op::Status, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if status.federation_id == federation {
        return Ok(());
    }
    Err(CliError::new(
        Code::Verification,
        format!(
            "the packet is of another federation, with the fingerprint {}",
            files::grouped(&federation)
        ),
    )
    .hint("check --data-dir and the file"))
}

/// Brings one part to the node.
pub(super) fn bring(
    node: &mut ControlClient,
    op: Op,
    bytes: &[u8],
) -> Result<BroughtReply, CliError> {
    let Reply::Brought(brought) = node.request(op, bytes)? else {
        return Err(ControlError::Unexpected.into());
    };
    Ok(brought)
}

fn part(what: String, brought: BroughtReply) -> Part {
    Part {
        what,
        why: brought.why.filter(|_| brought.outcome == "refused"),
        outcome: brought.outcome,
        later: brought.later,
    }
}

/// As [`part`], of a notice. What is about a roster that was decided is past,
/// also where its signer has left and is not known any more.
fn part_of(frame: &[u8], mut brought: BroughtReply) -> Part {
    let is_past = about_epoch(frame).is_some_and(|epoch| epoch <= brought.epoch);
    if is_past && brought.outcome == "refused" {
        brought.outcome = "past".to_owned();
        brought.later = false;
    }
    part(about(frame), brought)
}

fn about_link(bytes: &[u8]) -> String {
    let epoch = Link::from_bytes(bytes)
        .and_then(|link| RosterStatement::parse(link.roster.as_slice()))
        .map(|statement| statement.epoch);
    match epoch {
        Ok(epoch) => format!("link to epoch {epoch}"),
        Err(_) => "a link that cannot be read".to_owned(),
    }
}

/// The kind of a frame, and what follows.
fn parts_of(frame: &[u8]) -> Option<(Kind, &[u8])> {
    match frame {
        [_, kind, body @ ..] => Some((Kind::from_number(u16::from(*kind))?, body)),
        [..] => None,
    }
}

/// What a vote claims. Nothing of it is believed here.
fn vote_of(body: &[u8]) -> Option<Vote> {
    let frame: VoteFrame = codec::decode(body, FRAME_BYTES_MAX).ok()?;
    frame.vote.to_signed::<Vote>().claims().ok()
}

/// For which epoch a vote or a proposal claims to be.
fn about_epoch(frame: &[u8]) -> Option<u64> {
    let (kind, body) = parts_of(frame)?;
    if kind == Kind::Vote {
        return Some(vote_of(body)?.epoch);
    }
    if kind != Kind::Roster {
        return None;
    }
    let signed: SignedBytes<ROSTER_BYTES_MAX> = codec::decode(body, FRAME_BYTES_MAX).ok()?;
    let statement = signed.to_signed::<RosterStatement>().claims().ok()?;
    Some(statement.epoch)
}

/// What a frame is, in words.
fn about(frame: &[u8]) -> String {
    let Some((kind, body)) = parts_of(frame) else {
        return "a notice of an unknown kind".to_owned();
    };
    if kind != Kind::Vote {
        return kind.name().to_owned();
    }
    let Some(vote) = vote_of(body) else {
        return "a vote that cannot be read".to_owned();
    };
    let step = match vote.by {
        VoteBy::Prepare { .. } => "prepare",
        VoteBy::Commit { .. } => "commit",
        VoteBy::Consent { .. } => "consent",
    };
    format!(
        "vote: {step} {} in round {} for epoch {}",
        vote.roster.short(),
        vote.round,
        vote.epoch
    )
}
