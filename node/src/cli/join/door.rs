//! What a newcomer asks at a door, and believes of the answers: nothing that does
//! not prove itself. A genesis is the one whose id was invited to, a link is
//! signed by the quorum before it, and everything comes in full pieces, in order
//! and in bounded number, so that a hostile door can keep nobody busy without end.

use std::time::Duration;

use tokio::time::Instant;
use watchfire_protocol::gate;
use watchfire_protocol::ids::{FederationId, NodeId, RosterId};
use watchfire_protocol::limits::{
    FRAME_BYTES_MAX, GENESIS_FILE_BYTES_MAX, LINK_BYTES_MAX, PACKET_NOTICES_MAX,
};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::card::CertificateBytes;
use watchfire_protocol::wire::exchange::{
    DOOR_CERTIFICATES_MAX, DOOR_PIECE_BYTES_MAX, DoorAnswer, DoorRequest,
};
use watchfire_protocol::wire::genesis::GenesisFile;
use watchfire_protocol::wire::roster::Link;
use watchfire_protocol::wire::{Packet, codec};

use crate::cli::error::{CliError, Code};
use crate::limits::{JOIN_PROPOSALS_MAX, JOIN_VISIT_WITHIN};
use crate::transport::door::{AskError, Visit};

/// Somebody who answers as a door does.
pub(super) trait Asked {
    /// One question.
    async fn ask(&mut self, question: &DoorRequest) -> Result<DoorAnswer, CliError>;
}

/// A door, and until when one visit to it may last.
pub(super) struct AtDoor {
    visit: Visit,
    until: Instant,
}

impl AtDoor {
    pub(super) fn new(visit: Visit) -> Self {
        Self {
            visit,
            until: Instant::now() + JOIN_VISIT_WITHIN,
        }
    }

    /// Begins another visit.
    pub(super) fn again(&mut self) {
        self.until = Instant::now() + JOIN_VISIT_WITHIN;
    }
}

impl Asked for AtDoor {
    async fn ask(&mut self, question: &DoorRequest) -> Result<DoorAnswer, CliError> {
        let asked = self.visit.ask(codec::encode(question));
        let answer = match tokio::time::timeout_at(self.until, asked).await {
            Ok(asked) => asked.map_err(|error| failed(&error))?,
            Err(_) => {
                return Err(CliError::new(
                    Code::Timeout,
                    format!(
                        "the door did not tell everything within {} s",
                        whole_seconds(JOIN_VISIT_WITHIN)
                    ),
                )
                .hint("run this again; if it stays so, ask for an invitation to another member's door"));
            }
        };
        gate::door_answer(&answer).map_err(|why| lies(&format!("an answer cannot be read: {why}")))
    }
}

const fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs()
}

fn failed(error: &AskError) -> CliError {
    let code = match error {
        AskError::Setup(_) | AskError::QuestionTooLarge(_) => Code::Failure,
        AskError::WrongPeer { .. } | AskError::AnswerTooLarge => Code::Verification,
        AskError::NoAnswer | AskError::Declined => Code::Unreachable,
        AskError::Timeout => Code::Timeout,
    };
    CliError::of(code, error)
}

/// The door says what cannot be.
fn lies(why: &str) -> CliError {
    CliError::new(
        Code::Verification,
        format!("this door does not tell the truth: {why}"),
    )
    .hint("nothing was taken from it; tell whoever invited you, by telephone")
}

/// A piece of something: its whole length, where it begins, its bytes.
type Piece = (u32, u32, Vec<u8>);

/// Something that comes in pieces; nothing when the door has none.
async fn whole(
    door: &mut impl Asked,
    what: &str,
    bytes_max: usize,
    mut question: impl FnMut(u32) -> DoorRequest,
    mut piece_of: impl FnMut(DoorAnswer) -> Option<Piece>,
) -> Result<Option<Vec<u8>>, CliError> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut announced = None;
    loop {
        let offset = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let answer = door.ask(&question(offset)).await?;
        let Some((total, at, piece)) = piece_of(answer) else {
            // What was there a moment ago may be dropped; what never was is none.
            return Ok(None);
        };
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let is_last = bytes.len().saturating_add(piece.len()) == total;
        if total > bytes_max
            || at != offset
            || announced.is_some_and(|before| before != total)
            || bytes.len().saturating_add(piece.len()) > total
            || piece.is_empty()
            || (piece.len() < DOOR_PIECE_BYTES_MAX && !is_last)
        {
            return Err(lies(&format!("the pieces of {what} do not fit")));
        }
        announced = Some(total);
        bytes.extend(piece);
        if is_last {
            return Ok(Some(bytes));
        }
    }
}

/// The genesis of the federation with this id.
pub(super) async fn genesis(
    door: &mut impl Asked,
    federation: &FederationId,
) -> Result<(Vec<u8>, Roster), CliError> {
    let bytes = whole(
        door,
        "the genesis",
        GENESIS_FILE_BYTES_MAX,
        |offset| DoorRequest::Genesis { offset },
        |answer| match answer {
            DoorAnswer::Genesis {
                total,
                offset,
                bytes,
            } => Some((total, offset, bytes.into_vec())),
            DoorAnswer::Offer { .. }
            | DoorAnswer::Unavailable
            | DoorAnswer::Link { .. }
            | DoorAnswer::Certificates { .. }
            | DoorAnswer::Knock { .. }
            | DoorAnswer::Proposal { .. }
            | DoorAnswer::Consent { .. } => None,
        },
    )
    .await?
    .ok_or_else(|| lies("it has no genesis"))?;
    let file = GenesisFile::from_bytes(&bytes)
        .map_err(|why| lies(&format!("its genesis cannot be read: {why}")))?;
    let roster =
        Roster::found(&file).map_err(|why| lies(&format!("its genesis does not hold: {why}")))?;
    if roster.federation() != *federation {
        return Err(lies(
            "its genesis is of another federation than the invitation",
        ));
    }
    Ok((bytes, roster))
}

/// Goes on along the chain, as far as the door has it. A door that hides the end
/// of it is not found out here; the newcomer then waits, and asks its inviter.
pub(super) async fn follow(
    door: &mut impl Asked,
    packet: &mut Packet,
    roster: &mut Roster,
) -> Result<(), CliError> {
    loop {
        let epoch = roster.epoch().saturating_add(1);
        let link = whole(
            door,
            "a roster",
            LINK_BYTES_MAX,
            |offset| DoorRequest::Link { epoch, offset },
            |answer| match answer {
                DoorAnswer::Link {
                    total,
                    offset,
                    bytes,
                } => Some((total, offset, bytes.into_vec())),
                DoorAnswer::Genesis { .. }
                | DoorAnswer::Offer { .. }
                | DoorAnswer::Unavailable
                | DoorAnswer::Certificates { .. }
                | DoorAnswer::Knock { .. }
                | DoorAnswer::Proposal { .. }
                | DoorAnswer::Consent { .. } => None,
            },
        )
        .await?;
        let Some(bytes) = link else { return Ok(()) };
        let link = Link::from_bytes(&bytes).map_err(|why| {
            lies(&format!(
                "the roster of epoch {epoch} cannot be read: {why}"
            ))
        })?;
        *roster = roster
            .follow(&link)
            .map_err(|why| lies(&format!("the roster of epoch {epoch} does not hold: {why}")))?;
        packet
            .add_link(bytes)
            .map_err(|full| CliError::of(Code::Failure, &full))?;
    }
}

/// The frames of the proposals that the door says would admit this node and wait
/// for its consent.
pub(super) async fn proposals(door: &mut impl Asked) -> Result<Vec<Vec<u8>>, CliError> {
    let mut frames = Vec::new();
    let mut after: Option<RosterId> = None;
    while frames.len() < JOIN_PROPOSALS_MAX {
        let mut named = None;
        let frame = whole(
            door,
            "a proposal",
            FRAME_BYTES_MAX,
            |offset| DoorRequest::Proposal { after, offset },
            |answer| match answer {
                DoorAnswer::Proposal {
                    roster,
                    total,
                    offset,
                    bytes,
                } => {
                    let is_same = *named.get_or_insert(roster) == roster;
                    // The one that was being told may be gone, and this the next.
                    is_same.then(|| (total, offset, bytes.into_vec()))
                }
                DoorAnswer::Genesis { .. }
                | DoorAnswer::Offer { .. }
                | DoorAnswer::Unavailable
                | DoorAnswer::Link { .. }
                | DoorAnswer::Certificates { .. }
                | DoorAnswer::Knock { .. }
                | DoorAnswer::Consent { .. } => None,
            },
        )
        .await?;
        let (Some(frame), Some(named)) = (frame, named) else {
            break;
        };
        if after.is_some_and(|after| named <= after) {
            return Err(lies("its proposals go round in a circle"));
        }
        after = Some(named);
        frames.push(frame);
    }
    Ok(frames)
}

/// Certificates that genesis and chain do not hold, as frames: who proposed may
/// have renewed its own.
pub(super) async fn certificates(door: &mut impl Asked) -> Result<Vec<CertificateBytes>, CliError> {
    let mut found = Vec::new();
    let mut after: Option<NodeId> = None;
    for _ in 0..PACKET_NOTICES_MAX.div_ceil(DOOR_CERTIFICATES_MAX) {
        let answer = door.ask(&DoorRequest::Certificates { after }).await?;
        let DoorAnswer::Certificates {
            certificates,
            last,
            more,
        } = answer
        else {
            break;
        };
        found.extend(certificates.into_vec());
        if !more {
            break;
        }
        if last.is_none() || last <= after {
            return Err(lies("its certificates go round in a circle"));
        }
        after = last;
    }
    Ok(found)
}

#[cfg(test)]
#[path = "door/tests.rs"]
mod tests;
