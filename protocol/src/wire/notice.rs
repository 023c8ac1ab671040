//! Notices: statements about membership that stand in no stream, a frame each.

use super::bounded::{Bytes, List, Text};
use super::codec;
use super::codec::CodecError;
use super::envelope::{Header, SignedBytes, Tag};
use super::kind::Kind;
use super::roster::Vote;
use crate::ids::{CertificateId, EnvelopeId, FederationId, MemberId, NodeId, RosterId};
use crate::limits::{
    ALIVE_BYTES_MAX, CUTS_MAX, HEADER_BYTES_MAX, REVOCATION_BYTES_MAX, STREAMS_PER_NODE_MAX,
    SUSPENSION_BYTES_MAX, SUSPENSION_LIFE_MS_MAX, VOTE_BYTES_MAX,
};
use bincode::{Decode, Encode};
use watchfire_crypto::{Domain, Signed, Statement};

/// Why a certificate ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum RevocationReason {
    /// Somebody else has, or may have, its keys.
    Compromised,
    /// The node was replaced by another.
    Replaced,
    /// The node was restored from a copy and goes on under a new life.
    Restored,
    /// The node is not used any more.
    Retired,
}

/// Up to where a stream counts, of the node that the statement names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct StreamCut {
    /// Of which life.
    pub incarnation: u64,
    /// Which stream.
    pub tag: Tag,
    /// The last sequence that counts.
    pub sequence: u64,
    /// The envelope there.
    pub head: EnvelopeId,
}

/// Ends every certificate of a node up to a serial.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revocation {
    /// Which federation.
    pub federation: FederationId,
    /// Whose node, and whose root signs this.
    pub member: MemberId,
    /// Which node.
    pub node: NodeId,
    /// The last serial that ends.
    pub serial: u64,
    /// When, in milliseconds UTC.
    pub created_ms: u64,
    /// Why.
    pub reason: RevocationReason,
    /// Up to where its streams count; a set. Of a stream that is not named,
    /// nothing new counts.
    pub cuts: List<StreamCut, CUTS_MAX>,
}

impl Statement for Revocation {
    const DOMAIN: Domain = Kind::Revocation.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, REVOCATION_BYTES_MAX)
    }
}

/// One member's part in suspending another.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Suspension {
    /// Which federation.
    pub federation: FederationId,
    /// Of the node that signs.
    pub certificate: CertificateId,
    /// Who is to be suspended.
    pub member: MemberId,
    /// When this was made, in milliseconds UTC; it counts from then.
    pub created_ms: u64,
    /// When it ends, in milliseconds UTC; equal to `created_ms` takes back an
    /// earlier one.
    pub until_ms: u64,
    /// Why, for people.
    pub reason: Text<128>,
}

impl Suspension {
    /// Whether it lasts as long as one may.
    pub fn is_within_bounds(&self) -> bool {
        self.until_ms
            .checked_sub(self.created_ms)
            .is_some_and(|life| life <= SUSPENSION_LIFE_MS_MAX)
    }

    /// Whether it counts at this moment.
    pub const fn counts_at(&self, wall_ms: u64) -> bool {
        self.created_ms <= wall_ms && wall_ms < self.until_ms
    }
}

impl Statement for Suspension {
    const DOMAIN: Domain = Kind::Suspension.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, SUSPENSION_BYTES_MAX)
    }
}

/// The end of a stream, as its author says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct StreamHead {
    /// Which stream of the node's present life.
    pub tag: Tag,
    /// Its last sequence.
    pub sequence: u64,
    /// The envelope there.
    pub head: EnvelopeId,
}

/// A group of which the sender holds a version. Comes with groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct GroupVersion {
    /// Which group.
    pub group: [u8; 32],
    /// Which version.
    pub version: u64,
    /// Its hash.
    pub digest: [u8; 32],
}

/// A node's sign of life: what it holds of the roster, and where its streams end.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Alive {
    /// Which federation.
    pub federation: FederationId,
    /// Of the node that signs.
    pub certificate: CertificateId,
    /// The roster it holds.
    pub epoch: u64,
    /// The id of that roster.
    pub roster: RosterId,
    /// Its clock, in milliseconds UTC.
    pub wall_ms: u64,
    /// Where its streams end; a set, one a tag.
    pub heads: List<StreamHead, STREAMS_PER_NODE_MAX>,
    /// Which groups it holds at which version; a set.
    pub groups: List<GroupVersion, 32>,
    /// What later versions add, by number, ascending; carried and not read.
    pub more: List<(u16, Bytes<512>), 2>,
}

impl Statement for Alive {
    const DOMAIN: Domain = Kind::Alive.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, ALIVE_BYTES_MAX)
    }
}

/// That somebody signed two statements of which one alone may be.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Proof {
    /// Two envelopes at one place of a stream.
    Fork {
        /// One header.
        first: SignedBytes<HEADER_BYTES_MAX>,
        /// The other.
        second: SignedBytes<HEADER_BYTES_MAX>,
    },
    /// Two votes of one key for different rosters, in one epoch, round and step.
    Votes {
        /// One vote.
        first: SignedBytes<VOTE_BYTES_MAX>,
        /// The other.
        second: SignedBytes<VOTE_BYTES_MAX>,
    },
}

impl Proof {
    /// The two headers of a fork.
    pub fn headers(&self) -> Option<(Signed<Header>, Signed<Header>)> {
        match self {
            Self::Fork { first, second } => Some((first.to_signed(), second.to_signed())),
            Self::Votes { .. } => None,
        }
    }

    /// The two votes.
    pub fn votes(&self) -> Option<(Signed<Vote>, Signed<Vote>)> {
        match self {
            Self::Votes { first, second } => Some((first.to_signed(), second.to_signed())),
            Self::Fork { .. } => None,
        }
    }
}
