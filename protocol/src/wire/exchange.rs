//! Session messages between two members: unsigned, because the connection says
//! who speaks, and bounded like everything else.

use super::bounded::{Bytes, List};
use super::card::CertificateBytes;
use super::chunk_tree::ChunkPath;
use super::codec;
use super::envelope::{SignedBytes, Tag};
use super::invitation::Token;
use super::kind::{HEAD, STREAM};
use crate::ids::{EnvelopeId, FederationId, NodeId, RosterId};
use crate::limits::{
    CARD_BYTES_MAX, CHUNK_BYTES, FRAME_BYTES_MAX, FRONTIER_ENTRIES_MAX, FRONTIER_RUNS_MAX,
    HEADER_BYTES_MAX, KEY_BLOCK_BYTES_MAX, LINK_BYTES_MAX, NOTICES_MAX, RANGE_FRAMES_MAX,
    SECOND_SIGNATURE_BYTES_MAX, VOTE_BYTES_MAX,
};
use crate::membership::NoticeScope;
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

impl StreamId {
    /// Its short name in the answers of a store.
    pub fn short(&self, store: &StoreId) -> ShortName {
        ShortName(first_bytes(&STREAM.digest(&codec::encode(&(store, self)))))
    }
}

/// The first 8 bytes of a stream's hash, salted with the id of the answerer's
/// store: stands for it once the full name has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ShortName(pub [u8; 8]);

/// One life of a store, by 16 random bytes that it makes at every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct StoreId(pub [u8; 16]);

/// A moment in the changes of a store, within one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    /// Whose count this is.
    pub store: StoreId,
    /// How many changes there had been.
    pub change: u64,
}

/// Of which streams a frontier tells. Further scopes come with sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Scope(pub u16);

impl Scope {
    /// The control and public streams: they hide nothing.
    pub const OPEN: Self = Self(0);
}

/// How a frontier names a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum StreamName {
    /// One that the asker has been told in full.
    Short(ShortName),
    /// In full.
    Full(StreamId),
}

/// Envelopes held behind a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Run {
    /// How many are missing before it; at least 1.
    pub gap: u16,
    /// How many are held; at least 1.
    pub run: u16,
}

/// What a store's answers tell of an envelope id: enough to see that two differ.
pub fn head_of(store: &StoreId, id: &EnvelopeId) -> [u8; 8] {
    first_bytes(&HEAD.digest(&codec::encode(&(store, id))))
}

fn first_bytes(digest: &[u8; 32]) -> [u8; 8] {
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(digest) {
        *to = *from;
    }
    first
}

/// One line of a frontier.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FrontierEntry {
    /// Which stream.
    pub name: StreamName,
    /// The largest n for which 1 to n are all held; 0 where 1 is missing.
    pub through: u64,
    /// Stands for the envelope there; none exactly where `through` is 0.
    pub head: Option<[u8; 8]>,
    /// What is held behind the first gap.
    pub beyond: List<Run, FRONTIER_RUNS_MAX>,
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
        /// Random, fresh for each connection: sealing binds names to it.
        nonce: [u8; 16],
    },
    /// What changed at yours since I last looked? Also the sign of life.
    Frontier {
        /// Of which streams.
        scope: Scope,
        /// The answerer's mark up to which the asker has read; none to hear all.
        since: Option<Mark>,
        /// Whether streams are to be named in full.
        full: bool,
        /// Asks to be asked in turn: frames to the answerer may have been lost.
        news: bool,
    },
    /// Envelopes of a stream.
    Range {
        /// Which stream.
        stream: StreamId,
        /// The first sequence that is wanted; at least 1.
        from: u64,
        /// The last; at most 255 above the first.
        to: u64,
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
    /// Which notices changed at yours since I last asked?
    Notices {
        /// Which of them.
        scope: NoticeScopeNumber,
        /// The answerer's mark up to which the asker has read; none to hear all.
        since: Option<Mark>,
        /// Stands for all that the asker holds in this scope: who holds the same
        /// lists nothing.
        have: [u8; 16],
    },
    /// The link of the chain that leads to a roster.
    Link {
        /// Its number; at least 1.
        epoch: u64,
    },
}

/// Which notices are asked for: 0 all but signs of life, 1 those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NoticeScopeNumber(pub u16);

impl NoticeScopeNumber {
    /// The number of a scope.
    pub const fn of(scope: NoticeScope) -> Self {
        match scope {
            NoticeScope::Lasting => Self(0),
            NoticeScope::Alives => Self(1),
        }
    }

    /// The scope of a number, if this version knows it.
    pub const fn scope(self) -> Option<NoticeScope> {
        match self.0 {
            0 => Some(NoticeScope::Lasting),
            1 => Some(NoticeScope::Alives),
            _ => None,
        }
    }
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
        /// Random, fresh for each connection: sealing binds names to it.
        nonce: [u8; 16],
    },
    /// To frontier.
    Frontier {
        /// Where the next question goes on.
        at: Mark,
        /// Streams that changed, in the order of their last change.
        entries: List<FrontierEntry, FRONTIER_ENTRIES_MAX>,
        /// Whether there are more.
        more: bool,
    },
    /// To range.
    Range {
        /// Of the stream that was asked for, between the sequences that were
        /// named, ascending.
        items: List<RangeItem, RANGE_FRAMES_MAX>,
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
    /// To notices.
    Notices {
        /// Where the next question goes on.
        at: Mark,
        /// Frames, in the order of their last change.
        frames: List<Bytes<FRAME_BYTES_MAX>, NOTICES_MAX>,
        /// Whether there are more.
        more: bool,
    },
    /// To link.
    Link {
        /// The link.
        bytes: Bytes<LINK_BYTES_MAX>,
    },
}

/// One envelope of a range.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RangeItem {
    /// The frame.
    Frame(Bytes<FRAME_BYTES_MAX>),
    /// What remains of one that has expired.
    Remains(Remains),
}

/// The signed header of an envelope whose time is over: it keeps the place and
/// the chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Remains {
    /// Prefix and binding.
    pub header: SignedBytes<HEADER_BYTES_MAX>,
    /// As in the envelope.
    pub second_signature: Option<Bytes<SECOND_SIGNATURE_BYTES_MAX>>,
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
    /// A request or scope that this version does not have.
    Unknown,
}

/// Bytes of genesis in one answer at the door.
pub const DOOR_PIECE_BYTES_MAX: usize = 3_072;

/// What a stranger may ask at the door.
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
    /// A piece of a link of the roster chain.
    Link {
        /// To which epoch it leads.
        epoch: u64,
        /// Where the piece begins.
        offset: u32,
    },
    /// Current certificates that the chain does not hold.
    Certificates {
        /// Of nodes above this one; none for the first.
        after: Option<NodeId>,
    },
    /// A card to be admitted by, with the token of an invitation.
    Knock {
        /// The token.
        token: Token,
        /// The card, whose certificate is of the connection's own transport key.
        card: SignedBytes<CARD_BYTES_MAX>,
    },
    /// A piece of a proposal that would admit the node of the connection, and
    /// to which its root has not consented.
    Proposal {
        /// Of the first such roster above this one; none for the first of all.
        after: Option<RosterId>,
        /// Where the piece begins.
        offset: u32,
    },
    /// The consent of a root to such a proposal.
    Consent {
        /// The vote.
        vote: SignedBytes<VOTE_BYTES_MAX>,
    },
}

/// Nodes of whom one answer at the door has certificates: 6 of 600 bytes.
pub const DOOR_CERTIFICATES_MAX: usize = 6;

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
    /// A piece of a link.
    Link {
        /// Length of the link.
        total: u32,
        /// Where this piece begins.
        offset: u32,
        /// The piece.
        bytes: Bytes<DOOR_PIECE_BYTES_MAX>,
    },
    /// Certificates.
    Certificates {
        /// By ascending node.
        certificates: List<CertificateBytes, DOOR_CERTIFICATES_MAX>,
        /// The last node that was looked at.
        last: Option<NodeId>,
        /// Whether there are more behind it.
        more: bool,
    },
    /// To a knock. One answer for every reason not to take it, so that nothing
    /// is learned by guessing.
    Knock {
        /// Whether the card is deposited here.
        accepted: bool,
    },
    /// A piece of the frame of a proposal.
    Proposal {
        /// Which roster is proposed.
        roster: RosterId,
        /// Length of the frame.
        total: u32,
        /// Where this piece begins.
        offset: u32,
        /// The piece.
        bytes: Bytes<DOOR_PIECE_BYTES_MAX>,
    },
    /// To a consent.
    Consent {
        /// Whether it counts here.
        accepted: bool,
    },
}
