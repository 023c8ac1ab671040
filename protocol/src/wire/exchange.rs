//! Session messages between two members: unsigned, because the connection says
//! who speaks, and bounded like everything else.

use super::bounded::{Bytes, List};
use super::card::CertificateBytes;
use super::chunk_tree::ChunkPath;
use super::envelope::{SignedBytes, Tag};
use crate::ids::{EnvelopeId, FederationId, NodeId};
use crate::limits::{
    CHUNK_BYTES, FRAME_BYTES_MAX, FRONTIER_ENTRIES_MAX, HEADER_BYTES_MAX, KEY_BLOCK_BYTES_MAX,
    RANGE_FRAMES_MAX,
};
use bincode::{Decode, Encode};

/// A stream: the numbered, chained envelopes of one life of one node under one
/// tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct StreamId {
    /// The author node.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: u64,
    /// Which of its streams.
    pub tag: Tag,
}

/// One line of a frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct FrontierEntry {
    /// Which stream.
    pub stream: StreamId,
    /// The largest n for which 1 to n are all held; at least 1.
    pub through: u64,
    /// The envelope there.
    pub head: EnvelopeId,
}

/// What a node asks another.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// The first words on a connection.
    Hello {
        /// Which federation the asker is in.
        federation: FederationId,
        /// The roster epoch it holds.
        epoch: u64,
    },
    /// Is your frontier mine? Also the sign of life.
    Probe {
        /// Digest of the asker's frontier.
        digest: [u8; 32],
    },
    /// Your frontier, after this stream.
    Frontier {
        /// Where the last answer ended.
        after: Option<StreamId>,
    },
    /// Envelopes of a stream, in order.
    Range {
        /// Which stream.
        stream: StreamId,
        /// The sequence before the first that is wanted.
        after: u64,
    },
    /// A chunk of a payload.
    Chunk {
        /// Whose payload.
        envelope: EnvelopeId,
        /// Which chunk.
        index: u32,
    },
    /// The key block of an envelope whose body is not inline.
    KeyBlock {
        /// Which envelope.
        envelope: EnvelopeId,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// To hello.
    Hello {
        /// Which federation the answerer is in.
        federation: FederationId,
        /// The roster epoch it holds.
        epoch: u64,
    },
    /// To probe.
    Probe {
        /// Digest of the answerer's frontier.
        digest: [u8; 32],
    },
    /// To frontier.
    Frontier {
        /// Ascending by stream.
        entries: List<FrontierEntry, FRONTIER_ENTRIES_MAX>,
        /// Whether there are more.
        more: bool,
    },
    /// To range.
    Range {
        /// Of the stream that was asked for, after the sequence that was named,
        /// ascending.
        items: List<RangeItem, RANGE_FRAMES_MAX>,
        /// Whether there are more.
        more: bool,
    },
    /// To chunk.
    Chunk {
        /// The chunk.
        bytes: Bytes<CHUNK_BYTES>,
        /// Its path to the root.
        path: ChunkPath,
    },
    /// To key block.
    KeyBlock {
        /// The key block.
        bytes: Bytes<KEY_BLOCK_BYTES_MAX>,
    },
    /// Not now, or not from here.
    Unavailable {
        /// Why.
        reason: Unavailable,
    },
}

/// One envelope of a range.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RangeItem {
    /// The frame.
    Frame(Bytes<FRAME_BYTES_MAX>),
    /// What remains of one that expired or was recalled: chains still close.
    Header(SignedBytes<HEADER_BYTES_MAX>),
}

/// Why an answer holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Unavailable {
    /// The answerer does not hold it, or the asker may not have it: the two
    /// look the same.
    NotHeld,
    /// Ask again later.
    Busy,
    /// Hello has not been said, or the request makes no sense here.
    Refused,
}

/// Bytes of genesis in one answer at the door.
pub const DOOR_PIECE_BYTES_MAX: usize = 3_072;

/// What a stranger may ask at the door.
// One lives at a time, on its way to an answer: a box would save nothing.
#[expect(clippy::large_enum_variant, reason = "short-lived")]
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DoorRequest {
    /// A piece of the genesis file.
    Genesis {
        /// Where it begins.
        offset: u32,
    },
    /// A certificate to be admitted by.
    Offer {
        /// Of the connection's own transport key, by the root of a current member.
        certificate: CertificateBytes,
    },
}

/// What the door answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DoorAnswer {
    /// A piece of the genesis file.
    Genesis {
        /// Length of the file.
        total: u32,
        /// Where this piece begins.
        offset: u32,
        /// The piece.
        bytes: Bytes<DOOR_PIECE_BYTES_MAX>,
    },
    /// To an offer.
    Offer {
        /// Whether the certificate is good here.
        accepted: bool,
    },
    /// Nothing to give.
    Unavailable,
}
