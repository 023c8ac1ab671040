//! The consent of a newcomer's root: what would change is shown, a person agrees,
//! the root signs. Where the root key is elsewhere, the same goes by a packet.
//!
//! No record of votes is needed beside the key, as `roster sign` says: of two
//! consents neither contradicts the other.

use std::path::Path;

use watchfire_crypto::{Signed, SigningKey};
use watchfire_protocol::ids::RosterId;
use watchfire_protocol::limits::{FRAME_BYTES_MAX, VOTE_BYTES_MAX};
use watchfire_protocol::membership::Candidate;
use watchfire_protocol::roster::CheckedCard;
use watchfire_protocol::wire::envelope::body_of;
use watchfire_protocol::wire::roster::{Vote, VoteBy, VoteFrame};
use watchfire_protocol::wire::{Kind, Packet, SignedBytes, codec};

use super::{JoinArgs, is_asked};
use crate::cli::error::{CliError, Code};
use crate::cli::roster::{Chain, fields_of};
use crate::cli::{Context, files, key};
use crate::driver::membership::ProposalView;
use crate::home::Home;
use crate::keystore::{MODE_PUBLIC, PassphraseSource, read_bounded, write_new};

/// A root's signed consent, and to what.
pub(super) type Consent = (RosterId, SignedBytes<VOTE_BYTES_MAX>);

/// What became of the proposals of one visit.
#[derive(Default)]
pub(super) struct Considered {
    /// To be brought to the door.
    pub(super) consents: Vec<Consent>,
    /// Those a person still has to look at.
    pub(super) open: Vec<RosterId>,
}

/// The proposals of a chain that would admit this very card. What the door says
/// of them does not count: the card in them does.
fn admitting<'a>(chain: &'a Chain, own: &CheckedCard) -> Vec<&'a Candidate> {
    let root = own.root_key.as_bytes();
    chain
        .rebuilt
        .membership
        .deliberation()
        .candidates()
        .filter(|candidate| candidate.successor.new_roots().contains(root))
        .filter(|candidate| {
            let would_be = candidate.successor.would_be();
            would_be.certificate(&own.certificate.id).is_some()
        })
        .collect()
}

/// Looks at every proposal that admits this card, and asks. `seen` are those that
/// were shown in this run and not agreed to.
pub(super) fn consider(
    context: &Context,
    args: &JoinArgs,
    home: &Home,
    own: &CheckedCard,
    chain: &Chain,
    seen: &mut Vec<RosterId>,
) -> Result<Considered, CliError> {
    let ui = &context.ui;
    let mut considered = Considered::default();
    let mut root: Option<SigningKey> = None;
    let roster = &chain.rebuilt.roster;
    let deliberation = chain.rebuilt.membership.deliberation();
    for candidate in admitting(chain, own) {
        let id = candidate.successor.id();
        let is_seen = seen.contains(&id);
        if let Some(path) = &args.packet {
            match by_packet(context, path, chain, own, &id, is_seen)? {
                Some(consent) => considered.consents.push(consent),
                None => considered.open.push(id),
            }
            if !is_seen {
                seen.push(id);
            }
            continue;
        }
        if is_seen {
            considered.open.push(id);
            continue;
        }
        seen.push(id);
        let view = ProposalView::of(candidate, deliberation, roster);
        // The whole id: who is to be admitted does not know who proposes, and two
        // ids with the same first digits are found in minutes.
        let is_named = args
            .consent
            .as_ref()
            .is_some_and(|id| view.id == id.to_ascii_lowercase());
        if !is_named {
            show(context, &view, roster.thresholds().votes())?;
            if !is_asked(ui) {
                ui.note(&format!(
                    "next: if you agree, run this again with --consent {}",
                    view.id
                ));
                considered.open.push(id);
                continue;
            }
            let question = "Do you consent to become a member by this? Type yes:";
            if key::ask(ui, question)? != "yes" {
                ui.note("note: not consented, as you wish; run this again to be asked again");
                considered.open.push(id);
                continue;
            }
        }
        let key = match root.take() {
            Some(key) => key,
            None => root_of(context, args, home, own)?,
        };
        let by = VoteBy::Consent {
            key: key.public().to_bytes(),
        };
        let vote = candidate.successor.vote(0, by);
        let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), &key);
        let signed = SignedBytes::new(signed)
            .map_err(|why| CliError::new(Code::Failure, why.to_string()))?;
        considered.consents.push((id, signed));
        root = Some(key);
    }
    Ok(considered)
}

fn show(context: &Context, view: &ProposalView, votes: usize) -> Result<(), CliError> {
    if context.ui.json() {
        // The document of the command has the ids.
        return Ok(());
    }
    context.ui.fields(&fields_of(view, votes))
}

fn root_of(
    context: &Context,
    args: &JoinArgs,
    home: &Home,
    own: &CheckedCard,
) -> Result<SigningKey, CliError> {
    let path = args.root_key.clone().unwrap_or_else(|| home.root_key());
    if !path.exists() {
        return Err(CliError::new(
            Code::NotFound,
            format!("the root key is not at {}", path.display()),
        )
        .hint("name it with --root-key; or write the proposal to a file with --packet, sign that where the root key is, and run this again with the file"));
    }
    let source = match (&args.root_passphrase_file, &args.passphrase_file) {
        (Some(file), _) | (None, Some(file)) => PassphraseSource::File(file.clone()),
        (None, None) => PassphraseSource::choose_root(None, files::env),
    };
    let key = files::root_key(&path, &source, &context.ui)?;
    if key.public() == own.root_key {
        return Ok(key);
    }
    Err(CliError::new(
        Code::NotAllowed,
        format!("{} is not the root key of this node's card", path.display()),
    )
    .hint("check --root-key and --data-dir"))
}

/// A proposal by file: written, so that the root can sign it elsewhere; or, where
/// the file is there, the consent that it holds.
fn by_packet(
    context: &Context,
    path: &Path,
    chain: &Chain,
    own: &CheckedCard,
    id: &RosterId,
    is_seen: bool,
) -> Result<Option<Consent>, CliError> {
    let ui = &context.ui;
    if !path.exists() {
        write_new(path, &chain.packet.to_bytes(), MODE_PUBLIC)?;
        ui.note(&format!(
            "note: the proposal {} is in {}",
            id.short(),
            path.display()
        ));
        ui.note(&format!(
            "next: where the root key is, \"watchfire roster sign {} --packet FILE --root-key …\"; then run this again with the signed file",
            id.short()
        ));
        return Ok(None);
    }
    let bytes =
        read_bounded(path, watchfire_protocol::limits::PACKET_BYTES_MAX).map_err(files::absent)?;
    let packet = Packet::from_bytes(&bytes).map_err(|why| {
        CliError::new(
            Code::Verification,
            format!("{} is no packet: {why}", path.display()),
        )
        .hint("carry the signed packet here again")
    })?;
    let consent = packet.notices().find_map(|frame| {
        let frame: VoteFrame = codec::decode(body_of(Kind::Vote, frame)?, FRAME_BYTES_MAX).ok()?;
        let said = frame.vote.to_signed::<Vote>().claims().ok()?;
        let key = *own.root_key.as_bytes();
        (said.roster == *id && said.by == VoteBy::Consent { key }).then_some(frame.vote)
    });
    if consent.is_none() && !is_seen {
        ui.note(&format!(
            "note: {} holds no consent to the proposal {}; sign it where the root key is, or name another file",
            path.display(),
            id.short()
        ));
    }
    Ok(consent.map(|vote| (*id, vote)))
}
