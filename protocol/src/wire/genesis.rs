//! Genesis: the statement a federation begins with, and the file it travels in.

use super::bounded::{Bytes, List, Text};
use super::card::{Role, Slug};
use super::codec;
use super::codec::CodecError;
use super::envelope::{FRAME_VERSION, SignedBytes};
use super::kind::Kind;
use crate::ids::CardId;
use crate::limits::{CARD_BYTES_MAX, GENESIS_BYTES_MAX, GENESIS_FILE_BYTES_MAX, MEMBERS_MAX};
use bincode::{Decode, Encode};
use watchfire_crypto::{Domain, Statement};

/// How many members must sign a new roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Quorum {
    /// q = ⌈(N + f + 1) / 2⌉ with f = ⌊(N − 1) / 3⌋.
    Byzantine,
}

/// One founder.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GenesisMember {
    /// What people call it.
    pub slug: Slug,
    /// Its offline root.
    pub root_key: [u8; 32],
    /// What its node may do.
    pub role: Role,
    /// The communities it belongs to; a set.
    pub communities: List<Text<32>, 8>,
    /// Its card, which lies beside this statement.
    pub card: CardId,
}

/// Epoch 0 of a roster. The hash of this statement is the federation id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Genesis {
    /// What people call the federation.
    pub name: Text<64>,
    /// When it was made, in milliseconds UTC.
    pub created_ms: u64,
    /// How later rosters come about.
    pub quorum: Quorum,
    /// The founders, ascending by slug.
    pub members: List<GenesisMember, MEMBERS_MAX>,
}

impl Statement for Genesis {
    const DOMAIN: Domain = Kind::Genesis.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, GENESIS_BYTES_MAX)
    }
}

/// A genesis on its way round the founders, or complete.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GenesisFile {
    /// The statement.
    pub genesis: Bytes<GENESIS_BYTES_MAX>,
    /// Who has signed: index into the members, ascending, and signature.
    pub signatures: List<(u16, [u8; 64]), MEMBERS_MAX>,
    /// The card of each member, in their order.
    pub cards: List<SignedBytes<CARD_BYTES_MAX>, MEMBERS_MAX>,
}

impl GenesisFile {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_file(Kind::Genesis, self)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is not a genesis file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        from_file(Kind::Genesis, bytes, GENESIS_FILE_BYTES_MAX)
    }
}

/// A card as a file.
pub fn card_to_file(card: &SignedBytes<CARD_BYTES_MAX>) -> Vec<u8> {
    to_file(Kind::Card, card)
}

/// Reads a card file.
///
/// # Errors
/// When it is not one.
pub fn card_from_file(bytes: &[u8]) -> Result<SignedBytes<CARD_BYTES_MAX>, CodecError> {
    from_file(Kind::Card, bytes, CARD_BYTES_MAX + 128)
}

fn to_file<T: Encode>(kind: Kind, value: &T) -> Vec<u8> {
    super::envelope::frame(kind, value)
}

fn from_file<T: Decode<()> + Encode>(
    kind: Kind,
    bytes: &[u8],
    bytes_max: usize,
) -> Result<T, CodecError> {
    match bytes {
        [FRAME_VERSION, number, rest @ ..] if u16::from(*number) == kind.number() => {
            codec::decode(rest, bytes_max)
        }
        _ => Err(CodecError::Malformed {
            why: format!("this is not a {} file", kind.name()),
        }),
    }
}
