//! What a frame says it is, before anything of it is checked.

use crate::limits::FRAME_BYTES_MAX;
use crate::roster::HeldCommit;
use crate::wire::envelope::{FRAME_VERSION, body_of};
use crate::wire::roster::{Vote, VoteBy, VoteFrame};
use crate::wire::{Kind, codec};

/// Whether a frame is of a kind that stands in no stream.
pub fn is_notice(bytes: &[u8]) -> bool {
    matches!(bytes, [FRAME_VERSION, kind, ..] if matches!(
        Kind::from_number(u16::from(*kind)),
        Some(
            Kind::Card
                | Kind::Roster
                | Kind::Vote
                | Kind::NodeCert
                | Kind::Revocation
                | Kind::Suspension
                | Kind::Alive
                | Kind::Proof
        )
    ))
}

/// Which commit a frame claims to be, nothing checked; nothing if it is none. The
/// prepares behind it are for whoever brings it to choose: by other ones a commit that
/// everybody holds would cost a quorum of signature checks again and again.
pub fn commit_claimed(bytes: &[u8]) -> Option<HeldCommit> {
    let body = body_of(Kind::Vote, bytes)?;
    let VoteFrame { vote, .. } = codec::decode(body, FRAME_BYTES_MAX).ok()?;
    let said = vote.to_signed::<Vote>().claims().ok()?;
    match said.by {
        VoteBy::Commit { key } => Some((key, said.round, said.roster)),
        VoteBy::Prepare { .. } | VoteBy::Consent { .. } => None,
    }
}
