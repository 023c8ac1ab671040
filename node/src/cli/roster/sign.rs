//! `watchfire roster sign`: a root's vote, at the node or on a machine without
//! a network. Both go the same way: a packet is checked from its genesis on, the
//! record beside the root key is written, and only then is anything signed.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use watchfire_crypto::{PublicKey, Signed, Statement as _};
use watchfire_protocol::gate::check_notice;
use watchfire_protocol::limits::ROUNDS_AHEAD_MAX;
use watchfire_protocol::membership::{Arrival, Candidate, NotNews};
use watchfire_protocol::roster::{Roster, Step};
use watchfire_protocol::time::{Instant, Now};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::roster::{Vote, VoteBy, VoteFrame};

use super::import::bring;
use super::{Chain, candidate, fields_of, next_of};
use crate::cli::error::{CliError, Code};
use crate::cli::key::{TokenArgs, open_root};
use crate::cli::{Context, TIMEOUT_DEFAULT, files};
use crate::clock::wall_ms;
use crate::control::Op;
use crate::driver::membership::ProposalView;
use crate::keystore::{
    FileError, MODE_PUBLIC, PassphraseSource, RootSigner, write_atomic, write_new,
};
use crate::votes::{Committed, VoteRecord};

/// Sign a proposed roster with your root key, once enough members have prepared it
///
/// Without --packet the running node is asked and told. With it no node and no
/// data directory are needed: carry a packet to the machine of the root key,
/// sign there, and carry it back to "roster import". The key of an organisation
/// that would enter consents, before anybody prepares. What a root has signed is
/// noted beside its key file first, so that it never signs two rosters in one
/// round; keep that record with the key. A packet must come from a node of your
/// own member: it shows what that node prepared.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire roster sign --packet epoch-2.packet --root-key /media/offline/root.key
  watchfire roster sign 4f1c90ab77d20e35 --packet epoch-2.packet --root-key root.key -o signed.packet
  watchfire roster sign 4f1c90ab77d20e35
  watchfire roster sign --packet epoch-2.packet --record at-cert.votes --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token at-cert --pkcs11-key root")]
pub(crate) struct SignArgs {
    /// Id of the proposal, or its first digits [default: the only one]
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Packet with the chain, the proposal and the votes
    #[arg(long, value_name = "FILE")]
    packet: Option<PathBuf>,
    /// Where to write the packet with the vote [default: in place]
    #[arg(short, long, value_name = "FILE", requires = "packet")]
    output: Option<PathBuf>,
    /// Root key [default: keys/root.key in the data directory]
    #[arg(long, value_name = "FILE", conflicts_with = "pkcs11_module")]
    root_key: Option<PathBuf>,
    #[command(flatten)]
    token: TokenArgs,
    /// Where it is noted what the key of a token has signed [default: keys/root.key.votes in the data directory]
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    record: Option<PathBuf>,
    /// Round [default: the last one in which enough members prepared it]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    round: Option<u32>,
    /// Sign although this root committed another roster in an earlier round of the epoch
    #[arg(long)]
    instead: bool,
    /// Read the passphrase of the root key, or the PIN of its token, from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct SignedView {
    roster: String,
    epoch: u64,
    federation: String,
    step: &'static str,
    round: u32,
    by: String,
    file: Option<String>,
    outcome: String,
    proposal: ProposalView,
}

/// What a root's signature would be.
struct Planned {
    vote: Vote,
    by: String,
    step: &'static str,
    /// The last vote of this root that the packet shows.
    known: Option<Committed>,
}

pub(super) fn run(context: &Context, args: SignArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    if let Some(output) = &args.output
        && output.exists()
    {
        return Err(FileError::Exists {
            path: output.clone(),
        }
        .into());
    }
    let mut node = None;
    let mut chain = match &args.packet {
        Some(path) => Chain::of_file(path)?,
        None => Chain::of_node(node.insert(context.connect(TIMEOUT_DEFAULT)?))?,
    };
    for left in chain.rebuilt.left.iter().take(LEFT_SHOWN) {
        ui.note(&format!("note: a part was left out: {}", left.why));
    }
    let roster = &chain.rebuilt.roster;
    let deliberation = chain.rebuilt.membership.deliberation();
    let chosen = candidate(&chain, args.id.as_deref())?;
    let before = ProposalView::of(chosen, deliberation, roster);
    if !ui.json() {
        ui.fields(&[
            ("federation", roster.name().to_owned()),
            ("fingerprint", files::grouped(&roster.federation())),
        ])?;
        ui.fields(&fields_of(&before, roster.thresholds().votes()))?;
    }
    let key = args.token.key();
    let path = match (&args.root_key, &key) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(context.home()?.root_key()),
    };
    let record = record_of(context, &args, path.as_deref())?;
    let source = PassphraseSource::choose(args.passphrase_file.clone(), files::env);
    let root = open_root(key, path.as_deref(), &source, ui)?;
    let planned = plan(&chain, chosen, &root.public(), args.round)?;
    let vote = sign(record, &*root, &planned, args.instead)?;
    let vote = chain.rebuilt.membership.deliberation().complete(vote);
    drop(root);
    let epoch = planned.vote.epoch;
    let federation = roster.federation().to_string();
    let after = taken(&mut chain, &vote, &planned)?;
    let outcome = match node {
        Some(mut node) => {
            let brought = bring(&mut node, Op::Bring, &vote)?;
            if brought.outcome == "refused" {
                let why = brought.why.unwrap_or_default();
                return Err(CliError::new(
                    Code::Failure,
                    format!("the vote is signed, and the node refuses it: {why}"),
                )
                .hint(
                    "see \"watchfire roster status\"; sign again once it says what was missing",
                ));
            }
            brought.outcome
        }
        None => "written".to_owned(),
    };
    let file = match (args.packet, args.output) {
        (None, _) => None,
        (Some(_), Some(output)) => {
            write_new(&output, &chain.packet.to_bytes(), MODE_PUBLIC)?;
            Some(output)
        }
        (Some(packet), None) => {
            write_atomic(&packet, &chain.packet.to_bytes(), MODE_PUBLIC)?;
            Some(packet)
        }
    };
    let view = SignedView {
        roster: planned.vote.roster.to_string(),
        epoch,
        federation,
        step: planned.step,
        round: planned.vote.round,
        by: planned.by,
        file: file.map(|file| file.display().to_string()),
        outcome,
        proposal: after,
    };
    if ui.json() {
        return ui.document("roster-sign", &view);
    }
    let mut fields = vec![
        ("signed by", view.by.clone()),
        ("as", view.step.to_owned()),
        ("in round", view.round.to_string()),
    ];
    if let Some(file) = &view.file {
        fields.push(("file", file.clone()));
    }
    fields.push(("outcome", view.outcome.clone()));
    ui.fields(&fields)?;
    match &view.file {
        Some(file) => {
            if view.step == "consent" {
                ui.note("note: compare the fingerprint of the federation with a member by telephone before you send this");
            } else {
                ui.note(&format!(
                    "note: this packet must be one of a node of {0}: where it is not, let the node of {0} prepare nothing before it has this file",
                    view.by
                ));
            }
            ui.note("next: carry the file back, or to the next root, and at a node run");
            ui.note(&format!("  watchfire roster import {file}"));
        }
        None => {
            for line in next_of(&view.proposal) {
                ui.note(&line);
            }
        }
    }
    Ok(())
}

/// Parts of a packet that were left out, of which a person is told.
const LEFT_SHOWN: usize = 8;

/// Which vote this root may cast.
fn plan(
    chain: &Chain,
    chosen: &Candidate,
    root: &PublicKey,
    round: Option<u32>,
) -> Result<Planned, CliError> {
    let roster = &chain.rebuilt.roster;
    let deliberation = chain.rebuilt.membership.deliberation();
    let id = chosen.successor.id();
    let key = root.to_bytes();
    if chosen.successor.new_roots().contains(&key) {
        let by = chosen.successor.would_be().member_of_root(&key);
        return Ok(Planned {
            vote: chosen.successor.vote(0, VoteBy::Consent { key }),
            by: by.map_or_else(String::new, |member| member.slug.to_string()),
            step: "consent",
            known: None,
        });
    }
    let Some(member) = roster.member_of_root(&key) else {
        return Err(CliError::new(
            Code::NotAllowed,
            format!(
                "this root key is of no member in epoch {}, and of nobody who would enter",
                roster.epoch()
            ),
        )
        .hint("check --root-key; a packet of a node that has gone on may know the key"));
    };
    let ballot = deliberation.ballot();
    let votes = roster.thresholds().votes();
    let last = ballot
        .round(roster.thresholds())
        .saturating_add(ROUNDS_AHEAD_MAX);
    // The last in which it may; of none, the present one says why not.
    let round = round.unwrap_or_else(|| {
        (1..=last)
            .rev()
            .find(|round| ballot.is_prepared(*round, &id, votes))
            .unwrap_or_else(|| ballot.round(roster.thresholds()))
    });
    deliberation
        .may_commit(roster, &member.id, round, &id)
        .map_err(|why| CliError::of(Code::NotAllowed, &why))?;
    let known = (1..=last).rev().find_map(|round| {
        ballot
            .candidates()
            .into_iter()
            .find(|other| {
                ballot
                    .voters(Step::Commit, round, other)
                    .any(|voter| *voter == member.id)
            })
            .map(|other| Committed {
                epoch: roster.epoch().saturating_add(1),
                round,
                roster: *other,
            })
    });
    Ok(Planned {
        vote: chosen.successor.vote(round, VoteBy::Commit { key }),
        by: member.slug.to_string(),
        step: "commit",
        known,
    })
}

/// Where is noted what the root has signed. That of a token is always the same
/// file: a fresh one would know of nothing.
fn record_of(
    context: &Context,
    args: &SignArgs,
    key_file: Option<&Path>,
) -> Result<PathBuf, CliError> {
    match (key_file, &args.record) {
        (Some(key_file), _) => Ok(VoteRecord::place(key_file)),
        (None, Some(record)) => Ok(record.clone()),
        (None, None) => match context.home() {
            Ok(home) => Ok(VoteRecord::place(&home.root_key())),
            Err(error) if error.code == Code::NotInitialised => Err(CliError::new(
                Code::Usage,
                "here is no data directory in which to note what the key of the token signs",
            )
            .hint("name a file with --record, always the same for this key, and keep it with the token")),
            Err(error) => Err(error),
        },
    }
}

/// The frame of the vote. A commit is noted before it is signed.
fn sign(
    record: PathBuf,
    root: &dyn RootSigner,
    planned: &Planned,
    instead: bool,
) -> Result<Vec<u8>, CliError> {
    let vote = &planned.vote;
    // Held until the signature is made.
    let _record = match vote.by {
        VoteBy::Commit { .. } => {
            let mut record = VoteRecord::open_at(record, &root.public())?;
            if let Some(known) = planned.known {
                record.learn(vote.federation, known)?;
            }
            let now = Committed {
                epoch: vote.epoch,
                round: vote.round,
                roster: vote.roster,
            };
            record.enter(vote.federation, now, instead)?;
            Some(record)
        }
        // Of two consents neither contradicts the other.
        VoteBy::Consent { .. } | VoteBy::Prepare { .. } => None,
    };
    let bytes = codec::encode(vote);
    let signature = root.sign(Vote::DOMAIN, &bytes)?;
    let signed: Signed<Vote> = Signed::new(bytes, signature);
    VoteFrame::bare(signed).map_err(|why| CliError::new(Code::Failure, why.to_string()))
}

/// Takes the vote as every node will, and puts it into the packet.
fn taken(chain: &mut Chain, vote: &[u8], planned: &Planned) -> Result<ProposalView, CliError> {
    let failed = |why: String| {
        CliError::new(
            Code::Failure,
            format!("the vote that was made does not count: {why}"),
        )
        .hint("report this with the packet")
    };
    let roster: Roster = chain.rebuilt.roster.clone();
    let notice = check_notice(vote, &roster).map_err(|why| failed(why.to_string()))?;
    let now = Now {
        mono: Instant::ZERO,
        wall_ms: wall_ms(),
    };
    match chain
        .rebuilt
        .membership
        .take(now, &roster, &notice, Arrival::Later)
    {
        Ok(_) | Err(NotNews::Held) => {}
        Err(why) => return Err(failed(why.to_string())),
    }
    chain
        .packet
        .add_notice(vote.to_vec())
        .map_err(|full| CliError::of(Code::Failure, &full))?;
    let deliberation = chain.rebuilt.membership.deliberation();
    deliberation
        .candidate(&planned.vote.roster)
        .map(|candidate| ProposalView::of(candidate, deliberation, &roster))
        .ok_or_else(|| failed("its proposal is gone".to_owned()))
}
