//! What suite 1 has in the places that an envelope keeps for sealing, and the
//! statements by which keys reach an audience.

use super::bounded::{Bytes, List, Text};
use super::bundle::Named;
use super::codec;
use super::codec::CodecError;
use super::envelope::Tag;
use super::kind::Kind;
use crate::ids::{CertificateId, FederationId, GrantId, MemberId, PrekeyId};
use crate::limits::{
    GRANT_NOTE_BYTES_MAX, GRANT_SLOTS_MAX, INNER_BYTES_MAX, PREKEY_LIFE_MS_MAX, SLOTS_MAX,
    WRAPS_MAX,
};
use bincode::{Decode, Encode};
use watchfire_crypto::seal::{
    COMMITMENT_BYTES, HINT_KEY_BYTES, Hint, PREKEY_BYTES, SLOT_BYTES, WRAP_BYTES,
};
use watchfire_crypto::{Domain, Statement};

/// X-Wing, HKDF-SHA256, ChaCha20-Poly1305 in slots, XChaCha20-Poly1305 in
/// segments.
pub const SUITE_1: u16 = 1;

/// The field `sealing` of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sealing {
    /// Drawn for each envelope, so that no two have one prefix, whatever was
    /// lost in between.
    pub nonce: [u8; 16],
    /// Where its content key comes from.
    pub key: KeySource,
}

/// Where a content key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum KeySource {
    /// It derives from the audience key of this grant: one standing audience.
    Granted(GrantId),
    /// The key block has it, under several audience keys.
    Wrapped,
    /// The key block has it, in slots.
    Slots,
}

/// The field `commitments` of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Commitments {
    /// Of the head's key.
    pub header: [u8; COMMITMENT_BYTES],
    /// Of the payload's key, where there is a payload.
    pub payload: Option<[u8; COMMITMENT_BYTES]>,
}

/// A key block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum KeyBlock {
    /// The content key under each of these audience keys, by ascending grant.
    Wraps(List<(GrantId, [u8; WRAP_BYTES]), WRAPS_MAX>),
    /// The content key for each recipient node, in no order that tells.
    Slots(List<HintedSlot, SLOTS_MAX>),
}

/// A slot that names its recipient to the recipient alone.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HintedSlot {
    /// Whose.
    pub hint: Hint,
    /// The key.
    pub slot: SlotBytes,
}

/// A slot as it travels. Bounded by what it must be.
pub type SlotBytes = Bytes<SLOT_BYTES>;

/// The statement of kind `prekey`: what others seal to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Prekey {
    /// Equal to the outer one.
    pub federation: FederationId,
    /// Equal to the outer one.
    pub author: MemberId,
    /// Equal to the outer one.
    pub certificate: CertificateId,
    /// Tag and sequence, equal to the outer ones.
    pub stream: (Tag, u64),
    /// From when it is sealed to, in milliseconds UTC.
    pub not_before_ms: u64,
    /// Until when, in milliseconds UTC.
    pub not_after_ms: u64,
    /// The key.
    pub key: Bytes<PREKEY_BYTES>,
    /// By which its slots are hinted at.
    pub hint_key: [u8; HINT_KEY_BYTES],
}

/// The statement of kind `grant`: an audience key, told to its audience.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    /// Equal to the outer one.
    pub federation: FederationId,
    /// Equal to the outer one.
    pub author: MemberId,
    /// Equal to the outer one.
    pub certificate: CertificateId,
    /// Tag and sequence, equal to the outer ones.
    pub stream: (Tag, u64),
    /// From when envelopes may be sealed under it, in milliseconds UTC.
    pub not_before_ms: u64,
    /// Until when, in milliseconds UTC.
    pub not_after_ms: u64,
    /// Drawn for each grant: its hints and its note are made with it.
    pub nonce: [u8; 16],
    /// What the audience key commits to, so that no two recipients are granted
    /// different keys by one grant.
    pub commitment: [u8; COMMITMENT_BYTES],
    /// Which community, where the audience hides nothing.
    pub community: Option<Text<32>>,
    /// A [`GrantNote`], under the audience key.
    pub note: Bytes<GRANT_NOTE_BYTES_MAX>,
}

/// What the audience alone learns of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GrantNote {
    /// Who the audience is.
    pub audience: Named,
    /// The stream of this author for it.
    pub tag: Tag,
    /// By which its members name the stream to each other's nodes.
    pub stream_secret: [u8; 32],
}

/// The payload of an envelope with a grant.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum GrantSlots {
    /// For an audience that hides nothing, by ascending prekey.
    Named(List<(PrekeyId, SlotBytes), GRANT_SLOTS_MAX>),
    /// For an audience that is nobody else's to know, shuffled, some of them for
    /// nobody.
    Hinted(List<HintedSlot, GRANT_SLOTS_MAX>),
}

/// How the fields of a prekey or a grant can contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyDefect {
    /// It ends before it begins, or lives longer than it may.
    #[error("it ends before it begins, or lives longer than it may")]
    Times,
    /// What it holds is no key.
    #[error("what it holds is no key that can be sealed to")]
    Key,
}

impl Prekey {
    /// The first contradiction within it, if there is one.
    pub fn defect(&self) -> Option<KeyDefect> {
        let life = self.not_after_ms.checked_sub(self.not_before_ms);
        if !life.is_some_and(|life| (1..=PREKEY_LIFE_MS_MAX).contains(&life)) {
            return Some(KeyDefect::Times);
        }
        watchfire_crypto::seal::Prekey::enrol(self.key.as_slice())
            .err()
            .map(|_| KeyDefect::Key)
    }
}

impl Statement for Prekey {
    const DOMAIN: Domain = Kind::Prekey.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, INNER_BYTES_MAX)
    }
}

impl Statement for Grant {
    const DOMAIN: Domain = Kind::Grant.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, INNER_BYTES_MAX)
    }
}
