//! The same door for notices: statements about membership, a frame each.
//!
//! [`check_notice`] is a pure function of the bytes and the roster, as
//! [`check`](super::check) is. Whether a notice is newer than what is held, and
//! what follows from it, is for [`Membership`](crate::membership::Membership).

mod claimed;
mod proofs;

pub use claimed::{commit_claimed, is_notice};
use proofs::proof;

use super::Blame;
use crate::ids::{CertificateId, MemberId, NodeId, RosterId};
use crate::limits::{
    ALIVE_BYTES_MAX, CARD_BYTES_MAX, CLOCK_SKEW_MS_MAX, FRAME_BYTES_MAX, REVOCATION_BYTES_MAX,
    ROSTER_BYTES_MAX, SUSPENSION_BYTES_MAX,
};
use crate::roster::{Certificate, Roster, RosterError, Successor, check_card};
use crate::wire::card::{Card, CertificateBytes};
use crate::wire::codec::{self, CodecError};
use crate::wire::envelope::FRAME_VERSION;
use crate::wire::exchange::StreamId;
use crate::wire::notice::{Alive, Revocation, Suspension};
use crate::wire::roster::{RosterStatement, Vote, VoteBy, VoteFrame, VoteLine};
use crate::wire::{Kind, SignedBytes};
use bincode::{Decode, Encode};
use std::collections::BTreeSet;
use watchfire_crypto::{PublicKey, Signature, Signed, Statement, Verified, VerifyError};

/// A notice whose signatures hold under keys that this roster knows.
#[derive(Clone, Debug)]
pub struct Notice {
    matter: Matter,
    slot: Slot,
    order: Order,
    bytes: Vec<u8>,
}

/// What a notice says.
#[derive(Clone, Debug)]
pub enum Matter {
    /// A member's card.
    Card(Box<SignedBytes<CARD_BYTES_MAX>>),
    /// A roster that is proposed.
    Proposal(Box<Successor>),
    /// A vote for one, and for which member it counts.
    Vote(Box<Verified<Vote>>, MemberId),
    /// The consent of a key that would enter.
    Consent(Box<Verified<Vote>>),
    /// A certificate.
    Certificate(Box<(CertificateBytes, Certificate)>),
    /// The end of a node.
    Revocation(Box<Verified<Revocation>>),
    /// One member's part in suspending another, and whose.
    Suspension(Box<Verified<Suspension>>, MemberId),
    /// A sign of life, and of which node.
    Alive(Box<Verified<Alive>>, Box<Certificate>),
    /// That a node signed two envelopes for one place.
    Fork(StreamId, u64),
    /// That a member cast two votes where one may be.
    DoubleVote(MemberId),
}

/// Where a notice stands: a node holds one for each slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Slot {
    /// The card of a member.
    Card(MemberId),
    /// A proposal.
    Proposal(RosterId),
    /// A vote.
    Vote(VoteBy, u32, RosterId),
    /// A certificate.
    Certificate(CertificateId),
    /// The end of a node of a member.
    Revocation(MemberId, NodeId),
    /// Who suspends whom.
    Suspension(MemberId, MemberId),
    /// The sign of life of a node.
    Alive(NodeId),
    /// The fork of a life of a node.
    Fork(NodeId, u64),
    /// The two votes of a member.
    DoubleVote(MemberId),
}

impl Slot {
    /// Whether it is one of signs of life, which come and go by the minute.
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive(_))
    }
}

/// Which of two notices for a slot is newer: the greater, everywhere the same.
pub type Order = (u64, u64, [u8; 32]);

impl Notice {
    /// What it says.
    pub const fn matter(&self) -> &Matter {
        &self.matter
    }

    /// What it says, the frame given up.
    pub fn into_matter(self) -> Matter {
        self.matter
    }

    /// Where it stands.
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// How new it is.
    pub const fn order(&self) -> Order {
        self.order
    }

    /// The frame as it arrived.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// When its maker says it was made, where it says so; in milliseconds UTC.
    pub fn made_ms(&self) -> Option<u64> {
        match &self.matter {
            Matter::Card(_) | Matter::Proposal(_) | Matter::Suspension(..) => Some(self.order.0),
            Matter::Revocation(revocation) => Some(revocation.value().created_ms),
            Matter::Alive(alive, _) => Some(alive.value().wall_ms),
            Matter::Vote(..)
            | Matter::Consent(_)
            | Matter::Certificate(_)
            | Matter::Fork(..)
            | Matter::DoubleVote(_) => None,
        }
    }

    /// Whether it claims to be made further ahead than clocks may differ.
    pub fn is_ahead(&self, wall_ms: u64) -> bool {
        self.made_ms()
            .is_some_and(|made_ms| made_ms > wall_ms.saturating_add(CLOCK_SKEW_MS_MAX))
    }
}

/// Why a notice did not come through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeRefusal {
    /// Over the bound of a frame.
    #[error("notice of {bytes} bytes, where at most {FRAME_BYTES_MAX} are allowed")]
    TooLong {
        /// How many arrived.
        bytes: usize,
    },
    /// A kind that is no notice here.
    #[error(
        "frame version {version}, kind {kind} is not known here; a newer watchfire may know it"
    )]
    Unknown {
        /// The version byte.
        version: u8,
        /// The kind byte.
        kind: u8,
    },
    /// Not an encoding of what it claims to be.
    #[error("the notice is {0}")]
    Form(CodecError),
    /// A signature does not hold under the key that must have made it.
    #[error("a signature of the notice does not hold")]
    Signature,
    /// For another federation.
    #[error("the notice is of another federation")]
    OtherFederation,
    /// It contradicts itself, whatever is known.
    #[error("the notice contradicts itself: {0}")]
    Contradiction(&'static str),
    /// Its signer, or what it is about, is not known here or not any more.
    #[error("who signed the notice, or what it is about, is not known here")]
    NotKnown,
    /// What its frame says it is, is held already: nothing of it was checked.
    #[error("held already")]
    Held,
    /// A commit of what no quorum prepared, as far as it shows.
    #[error("the commit does not show that a quorum prepared it in its round")]
    NotPrepared,
    /// It is signed, and says something that this version cannot read or that
    /// does not fit the roster held here.
    #[error("{0}")]
    NotHere(RosterError),
}

impl NoticeRefusal {
    /// Who pays.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Unknown { .. } | Self::NotKnown | Self::NotHere(_) | Self::Held => Blame::Nobody,
            Self::TooLong { .. }
            | Self::Form(_)
            | Self::Signature
            | Self::OtherFederation
            | Self::NotPrepared
            | Self::Contradiction(_) => Blame::Forwarder,
        }
    }
}

/// Checks a notice against the roster held.
///
/// # Errors
/// The first thing that does not hold, and who pays for it.
pub fn check_notice(bytes: &[u8], roster: &Roster) -> Result<Notice, NoticeRefusal> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(NoticeRefusal::TooLong { bytes: bytes.len() });
    }
    let (version, kind, body) = match bytes {
        [version, kind, body @ ..] => (*version, *kind, body),
        [..] => {
            return Err(NoticeRefusal::Form(CodecError::Malformed {
                why: "shorter than its first two bytes".to_owned(),
            }));
        }
    };
    let unknown = NoticeRefusal::Unknown { version, kind };
    let Some(known) = Kind::from_number(u16::from(kind)).filter(|_| version == FRAME_VERSION)
    else {
        return Err(unknown);
    };
    let (matter, slot, order) = match known {
        Kind::Card => card(body, roster)?,
        Kind::Roster => proposal(body, roster)?,
        Kind::Vote => vote(body, roster)?,
        Kind::NodeCert => certificate(body, roster)?,
        Kind::Revocation => revocation(body, roster)?,
        Kind::Suspension => suspension(body, roster)?,
        Kind::Alive => alive(body, roster)?,
        Kind::Proof => proof(body, roster)?,
        Kind::Genesis
        | Kind::Person
        | Kind::Prekey
        | Kind::Group
        | Kind::Grant
        | Kind::GrantRequest
        | Kind::Bundle
        | Kind::Envelope
        | Kind::Recall
        | Kind::Receipt
        | Kind::Sighting
        | Kind::Mailbox
        | Kind::LedgerHead => return Err(unknown),
    };
    Ok(Notice {
        matter,
        slot,
        order,
        bytes: bytes.to_vec(),
    })
}

type Read = Result<(Matter, Slot, Order), NoticeRefusal>;

fn decode<T: Decode<()> + Encode>(body: &[u8]) -> Result<T, NoticeRefusal> {
    codec::decode(body, FRAME_BYTES_MAX).map_err(NoticeRefusal::Form)
}

fn claims<T: Statement<Malformed = CodecError>>(signed: &Signed<T>) -> Result<T, NoticeRefusal> {
    signed.claims().map_err(NoticeRefusal::Form)
}

fn verify<T: Statement<Malformed = CodecError>>(
    signed: Signed<T>,
    key: &PublicKey,
) -> Result<Verified<T>, NoticeRefusal> {
    signed.verify(key).map_err(|why| match why {
        VerifyError::BadSignature(_) => NoticeRefusal::Signature,
        VerifyError::Malformed(why) => NoticeRefusal::Form(why),
    })
}

/// A refusal of the roster's as one of the door: a false signature is seen by
/// everybody alike, the rest depends on what is known.
fn of_roster(why: RosterError) -> NoticeRefusal {
    match why {
        RosterError::Signature { .. } => NoticeRefusal::Signature,
        RosterError::NotAMember | RosterError::UnknownNode => NoticeRefusal::NotKnown,
        RosterError::Malformed { .. }
        | RosterError::Contradiction { .. }
        | RosterError::Shared { .. }
        | RosterError::Unsigned { .. }
        | RosterError::Size { .. }
        | RosterError::Superseded
        | RosterError::NotNext { .. }
        | RosterError::Undecided { .. } => NoticeRefusal::NotHere(why),
    }
}

/// The certificate that a notice cites, if it stands. Whether it is current is
/// a matter of clocks.
fn standing<'a>(roster: &'a Roster, id: &CertificateId) -> Result<&'a Certificate, NoticeRefusal> {
    roster
        .certificate(id)
        .filter(|certificate| roster.stands(certificate))
        .ok_or(NoticeRefusal::NotKnown)
}

fn same_federation(
    federation: &crate::ids::FederationId,
    roster: &Roster,
) -> Result<(), NoticeRefusal> {
    if *federation == roster.federation() {
        Ok(())
    } else {
        Err(NoticeRefusal::OtherFederation)
    }
}

fn card(body: &[u8], roster: &Roster) -> Read {
    let signed: SignedBytes<CARD_BYTES_MAX> = decode(body)?;
    // What is no card at all is seen by everybody alike.
    claims(&signed.to_signed::<Card>())?;
    let checked = check_card(&signed).map_err(of_roster)?;
    let member = roster
        .member_of_root(checked.root_key.as_bytes())
        .filter(|member| member.slug == checked.card.slug && member.role == checked.card.role)
        .ok_or(NoticeRefusal::NotKnown)?
        .id;
    let order = (checked.card.created_ms, 0, *checked.id.as_bytes());
    Ok((Matter::Card(Box::new(signed)), Slot::Card(member), order))
}

fn proposal(body: &[u8], roster: &Roster) -> Read {
    let signed: SignedBytes<ROSTER_BYTES_MAX> = decode(body)?;
    let signed: Signed<RosterStatement> = signed.to_signed();
    let claimed = claims(&signed)?;
    same_federation(&claimed.federation, roster)?;
    let node = standing(roster, &claimed.certificate)?;
    if node.member != claimed.proposer {
        return Err(NoticeRefusal::Contradiction(
            "its proposer is not whose node signed it",
        ));
    }
    let verified = verify(signed, &node.signing_key)?;
    let successor = roster.successor(verified.bytes()).map_err(of_roster)?;
    let (slot, order) = (
        Slot::Proposal(successor.id()),
        (claimed.created_ms, 0, verified.id()),
    );
    Ok((Matter::Proposal(Box::new(successor)), slot, order))
}

fn vote(body: &[u8], roster: &Roster) -> Read {
    let VoteFrame { vote, prepares } = decode(body)?;
    let signed: Signed<Vote> = vote.to_signed();
    let claimed = claims(&signed)?;
    same_federation(&claimed.federation, roster)?;
    if !prepares.is_empty() && !matches!(claimed.by, VoteBy::Commit { .. }) {
        return Err(NoticeRefusal::Contradiction(
            "only a commit carries prepares",
        ));
    }
    let key = match &claimed.by {
        VoteBy::Prepare { certificate } => standing(roster, certificate)?.signing_key,
        VoteBy::Commit { key } | VoteBy::Consent { key } => PublicKey::enrol(key)
            .map_err(|_| NoticeRefusal::Contradiction("it names a key that is none"))?,
    };
    let verified = verify(signed, &key)?;
    let slot = Slot::Vote(claimed.by, claimed.round, claimed.roster);
    let order = (0, 0, [0; 32]);
    if matches!(claimed.by, VoteBy::Consent { .. }) {
        if claimed.round != 0 {
            return Err(NoticeRefusal::Contradiction("a consent is of no round"));
        }
        if Some(claimed.epoch) != roster.epoch().checked_add(1) {
            return Err(NoticeRefusal::NotKnown);
        }
        return Ok((Matter::Consent(Box::new(verified)), slot, order));
    }
    let member = roster.voter(&verified).map_err(of_roster)?;
    if matches!(claimed.by, VoteBy::Commit { .. }) {
        // After the root's signature: nobody else has so many checked.
        stands_on(&claimed, prepares.as_slice(), roster)?;
    }
    Ok((Matter::Vote(Box::new(verified), member), slot, order))
}

/// A commit stands on a quorum that prepared the same in the same round. What was
/// prepared under a certificate that is not known here counts nothing and spoils
/// nothing: or a cheat could spoil a commit by a prepare that its bringer alone
/// can check.
fn stands_on(commit: &Vote, prepares: &[VoteLine], roster: &Roster) -> Result<(), NoticeRefusal> {
    let ascends = prepares
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.key < b.key));
    if !ascends {
        return Err(NoticeRefusal::Contradiction("its prepares do not ascend"));
    }
    let mut members = BTreeSet::new();
    let mut are_known = true;
    for line in prepares {
        let certificate = CertificateId::from_bytes(line.key);
        let Some(node) = roster.author(&certificate, roster.epoch()) else {
            are_known = false;
            continue;
        };
        let prepare = Vote {
            by: VoteBy::Prepare { certificate },
            ..*commit
        };
        let signature = Signature::from_bytes(line.signature);
        let signed: Signed<Vote> = Signed::new(codec::encode(&prepare), signature);
        verify(signed, &node.signing_key)?;
        members.insert(node.member);
    }
    if members.len() >= roster.thresholds().votes() {
        Ok(())
    } else if are_known {
        Err(NoticeRefusal::NotPrepared)
    } else {
        Err(NoticeRefusal::NotKnown)
    }
}

fn certificate(body: &[u8], roster: &Roster) -> Read {
    let signed: CertificateBytes = decode(body)?;
    signed.claims().map_err(NoticeRefusal::Form)?;
    let certificate = roster.check_record(&signed).map_err(of_roster)?;
    let slot = Slot::Certificate(certificate.id);
    let matter = Matter::Certificate(Box::new((signed, certificate)));
    Ok((matter, slot, (0, 0, [0; 32])))
}

fn revocation(body: &[u8], roster: &Roster) -> Read {
    let signed: SignedBytes<REVOCATION_BYTES_MAX> = decode(body)?;
    let signed: Signed<Revocation> = signed.to_signed();
    let claimed = claims(&signed)?;
    same_federation(&claimed.federation, roster)?;
    let revocation = roster.check_revocation(signed).map_err(of_roster)?;
    let slot = Slot::Revocation(claimed.member, claimed.node);
    let order = (claimed.serial, claimed.created_ms, revocation.id());
    Ok((Matter::Revocation(Box::new(revocation)), slot, order))
}

fn suspension(body: &[u8], roster: &Roster) -> Read {
    let signed: SignedBytes<SUSPENSION_BYTES_MAX> = decode(body)?;
    let signed: Signed<Suspension> = signed.to_signed();
    let claimed = claims(&signed)?;
    same_federation(&claimed.federation, roster)?;
    if !claimed.is_within_bounds() {
        return Err(NoticeRefusal::Contradiction(
            "a suspension lasts at most 72 hours",
        ));
    }
    let node = standing(roster, &claimed.certificate)?;
    if node.member == claimed.member {
        return Err(NoticeRefusal::Contradiction("nobody suspends itself"));
    }
    if roster.member(&claimed.member).is_none() {
        return Err(NoticeRefusal::NotKnown);
    }
    let by = node.member;
    let verified = verify(signed, &node.signing_key)?;
    let slot = Slot::Suspension(by, claimed.member);
    let order = (claimed.created_ms, 0, verified.id());
    Ok((Matter::Suspension(Box::new(verified), by), slot, order))
}

fn alive(body: &[u8], roster: &Roster) -> Read {
    let signed: SignedBytes<ALIVE_BYTES_MAX> = decode(body)?;
    let signed: Signed<Alive> = signed.to_signed();
    let claimed = claims(&signed)?;
    same_federation(&claimed.federation, roster)?;
    let once = |pair: &[crate::wire::notice::StreamHead]| matches!(pair, [a, b] if a.tag < b.tag);
    let is_one_of_each =
        |pair: &[crate::wire::notice::GroupVersion]| matches!(pair, [a, b] if a.group < b.group);
    // What is added later is carried and not read, but nobody adds twice.
    let more = claimed.more.as_slice();
    let ascends = claimed.heads.as_slice().windows(2).all(once)
        && claimed.groups.as_slice().windows(2).all(is_one_of_each)
        && more
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.0 < b.0));
    if !ascends {
        return Err(NoticeRefusal::Contradiction("its lists do not ascend"));
    }
    let node = standing(roster, &claimed.certificate)?;
    let verified = verify(signed, &node.signing_key)?;
    let slot = Slot::Alive(node.node);
    let order = (node.serial, claimed.wall_ms, verified.id());
    let node = Box::new(node.clone());
    Ok((Matter::Alive(Box::new(verified), node), slot, order))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
