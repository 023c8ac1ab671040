//! The envelope: what travels, is chained, stored and relayed.

use super::bounded::Bytes;
use super::chunk_tree::{Root, chunk_count};
use super::codec;
use super::codec::CodecError;
use super::kind::Kind;
use crate::ids::{CertificateId, EnvelopeId, FederationId, MemberId, NodeId};
use crate::limits::{
    BODY_INLINE_BYTES_MAX, HEAD_BYTES_MAX, HEADER_BYTES_MAX, INNER_BYTES_MAX, KEY_BLOCK_BYTES_MAX,
    PAYLOAD_BYTES_MAX, SEALING_BYTES_MAX, SECOND_SIGNATURE_BYTES_MAX, SEQUENCE_MAX,
};
use bincode::{Decode, Encode};
use core::fmt;
use watchfire_crypto::{Domain, Signature, Signed, Statement};

/// What marks a stream of its author: 16 bytes, random except for the two
/// streams that hide nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Tag([u8; 16]);

impl Tag {
    /// The stream of a node's recalls, revocations and digests.
    pub const CONTROL: Self = Self([0; 16]);
    /// The stream of a node's TLP:CLEAR bundles.
    pub const PUBLIC: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// A tag of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether it is one of the two tags of class `open`.
    pub fn is_reserved(&self) -> bool {
        *self == Self::CONTROL || *self == Self::PUBLIC
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CONTROL => f.write_str("control"),
            Self::PUBLIC => f.write_str("public"),
            Self(bytes) => f.write_str(&hex::encode(bytes)),
        }
    }
}

/// How an envelope hides its content, and with it where it stands in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Class {
    /// In clear. Nothing of sealing has a place here.
    Open {
        /// Control or public stream.
        tag: Tag,
        /// From 1, without gaps.
        sequence: u64,
        /// The envelope before it in the stream; none before the first.
        previous: Option<EnvelopeId>,
    },
    /// Sealed to an audience, by a suite this version need not know.
    Sealed {
        /// Names the algorithms.
        suite: u16,
        /// A random tag.
        tag: Tag,
        /// From 1, without gaps.
        sequence: u64,
        /// The envelope before it in the stream; none before the first.
        previous: Option<EnvelopeId>,
        /// The padding step of the payload.
        size_bucket: u8,
        /// Key id and nonce, as the suite defines them.
        sealing: Bytes<SEALING_BYTES_MAX>,
    },
    /// Sealed to one node, in no stream.
    Direct {
        /// Names the algorithms.
        suite: u16,
        /// Who alone may open it.
        recipient: NodeId,
        /// The padding step of the payload.
        size_bucket: u8,
        /// Key id and nonce, as the suite defines them.
        sealing: Bytes<SEALING_BYTES_MAX>,
    },
}

/// Where an envelope stands in its author's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which stream.
    pub tag: Tag,
    /// Its number there.
    pub sequence: u64,
    /// The id of the one before.
    pub previous: Option<EnvelopeId>,
}

impl Class {
    /// The place in a stream; none for class direct.
    pub fn position(&self) -> Option<Position> {
        match *self {
            Self::Open {
                tag,
                sequence,
                previous,
            }
            | Self::Sealed {
                tag,
                sequence,
                previous,
                ..
            } => Some(Position {
                tag,
                sequence,
                previous,
            }),
            Self::Direct { .. } => None,
        }
    }
}

/// The first half of what is signed: enough for keys to derive from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Prefix {
    /// Which federation this is for; good in no other.
    pub federation: FederationId,
    /// The author's member.
    pub author: MemberId,
    /// The certificate whose key signed.
    pub certificate: CertificateId,
    /// The roster epoch the author held.
    pub epoch: u64,
    /// Hours since 1970 after which nobody relays it and its head and body go;
    /// [`EXPIRY_NEVER`] on the control stream alone.
    pub expiry_hour: u32,
    /// How it is sealed, and its place in a stream.
    pub class: Class,
}

/// The tree over a payload as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PayloadBinding {
    /// How many chunks.
    pub chunks: u32,
    /// How many bytes in all.
    pub length: u64,
    /// The root over the chunks.
    pub root: Root,
}

/// A key block, as the header binds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyBlockBinding {
    /// Its length in bytes, at least 1.
    pub length: u32,
    /// SHA-256 of it.
    pub digest: [u8; 32],
}

/// What the two sealed classes bind besides.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealingBinding {
    /// The key block, if there is one: a single standing audience needs none.
    pub key_block: Option<KeyBlockBinding>,
    /// Commitments of the segment keys, as the suite defines them.
    pub commitments: Bytes<SEALING_BYTES_MAX>,
}

/// The second half of what is signed: the hashes of everything that follows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Binding {
    /// SHA-256 of the head as it travels.
    pub head: [u8; 32],
    /// The payload, if there is one.
    pub payload: Option<PayloadBinding>,
    /// Absent, not zero, in class open.
    pub sealing: Option<SealingBinding>,
    /// The algorithm of the second signature, if the frame carries one. Bound
    /// here so that nobody can strip or add it.
    pub second_signature: Option<u16>,
}

/// Prefix and binding: the outer header, the statement of kind `envelope`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    /// Who, when, where in a stream.
    pub prefix: Prefix,
    /// What.
    pub binding: Binding,
}

impl Statement for Header {
    const DOMAIN: Domain = Kind::Envelope.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, HEADER_BYTES_MAX)
    }
}

impl Header {
    /// Bytes of key block and payload together, as announced.
    pub fn body_length(&self) -> u64 {
        let payload = self.binding.payload.map_or(0, |payload| payload.length);
        payload.saturating_add(self.key_block().map_or(0, |block| u64::from(block.length)))
    }

    /// The key block, if there is one.
    pub fn key_block(&self) -> Option<KeyBlockBinding> {
        self.binding
            .sealing
            .as_ref()
            .and_then(|sealing| sealing.key_block)
    }

    /// Whether the body travels inside the frame. There is no third form.
    pub fn body_is_inline(&self) -> bool {
        self.body_length() <= BODY_INLINE_BYTES_MAX as u64
    }

    /// The defect of form that every node sees, if there is one: fields that
    /// contradict each other.
    pub fn defect(&self) -> Option<FormDefect> {
        let reserved = |tag: &Tag| tag.is_reserved();
        match &self.prefix.class {
            Class::Open { tag, .. } if !reserved(tag) => return Some(FormDefect::TagOfOtherClass),
            Class::Sealed { tag, .. } if reserved(tag) => return Some(FormDefect::TagOfOtherClass),
            Class::Open { .. } | Class::Sealed { .. } | Class::Direct { .. } => {}
        }
        if let Some(Position {
            sequence, previous, ..
        }) = self.prefix.class.position()
            && (sequence == 0 || sequence > SEQUENCE_MAX || (sequence == 1) != previous.is_none())
        {
            return Some(FormDefect::SequenceAndPrevious);
        }
        if self.prefix.expiry_hour == EXPIRY_NEVER
            && !matches!(
                self.prefix.class,
                Class::Open {
                    tag: Tag::CONTROL,
                    ..
                }
            )
        {
            return Some(FormDefect::Expiry);
        }
        let open = matches!(self.prefix.class, Class::Open { .. });
        if open != self.binding.sealing.is_none() {
            return Some(FormDefect::SealingFields);
        }
        if self.key_block().is_some_and(|block| {
            !(1..=KEY_BLOCK_BYTES_MAX as u64).contains(&u64::from(block.length))
        }) {
            return Some(FormDefect::SealingFields);
        }
        if let Some(payload) = &self.binding.payload {
            let fits = (1..=PAYLOAD_BYTES_MAX).contains(&payload.length);
            if !fits || chunk_count(payload.length) != u64::from(payload.chunks) {
                return Some(FormDefect::ChunkCount);
            }
        }
        None
    }
}

/// The expiry of what is kept always. Allowed on the control stream alone.
pub const EXPIRY_NEVER: u32 = u32::MAX;

/// How the fields of a header can contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormDefect {
    /// A reserved tag outside class open, or another inside it.
    #[error("the stream tag belongs to another class")]
    TagOfOtherClass,
    /// Sequence 0, a first envelope with a previous, a later one without.
    #[error("sequence and previous contradict each other")]
    SequenceAndPrevious,
    /// No expiry outside the control stream.
    #[error("only the control stream may never expire")]
    Expiry,
    /// Sealing fields in class open, or missing outside it, or over the bound.
    #[error("the sealing fields do not fit the class")]
    SealingFields,
    /// Chunk count, length and bounds of the payload disagree.
    #[error("chunk count and length of the payload contradict each other")]
    ChunkCount,
}

/// A statement with its signature, inside something larger.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedBytes<const MAX: usize> {
    bytes: Bytes<MAX>,
    signature: [u8; 64],
}

impl<const MAX: usize> SignedBytes<MAX> {
    /// Takes a signed statement that fits.
    ///
    /// # Errors
    /// When the statement is longer than `MAX` bytes.
    pub fn new<T>(signed: Signed<T>) -> Result<Self, super::TooLong> {
        let (bytes, signature) = signed.into_parts();
        Ok(Self {
            bytes: Bytes::new(bytes)?,
            signature: signature.to_bytes(),
        })
    }

    /// The statement as one of type `T`, nothing checked yet.
    pub fn to_signed<T>(&self) -> Signed<T> {
        Signed::new(
            self.bytes.as_slice().to_vec(),
            Signature::from_bytes(self.signature),
        )
    }
}

impl<const MAX: usize> fmt::Debug for SignedBytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed{:?}", self.bytes)
    }
}

/// The envelope in a frame of kind 15.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// The signed header.
    pub header: SignedBytes<HEADER_BYTES_MAX>,
    /// A second signature, present exactly when the header says so.
    pub second_signature: Option<Bytes<SECOND_SIGNATURE_BYTES_MAX>>,
    /// Present when sealed and the body is inline.
    pub key_block: Option<Bytes<KEY_BLOCK_BYTES_MAX>>,
    /// The inner statement, in clear or sealed.
    pub head: Bytes<HEAD_BYTES_MAX>,
    /// The payload, when the body is inline.
    pub payload: Option<Bytes<BODY_INLINE_BYTES_MAX>>,
}

/// The head of class open.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Inner {
    /// Number of the statement's kind; an unknown one is carried.
    pub kind: u16,
    /// The statement.
    pub statement: SignedBytes<INNER_BYTES_MAX>,
}

/// Version of the frame layout.
pub const FRAME_VERSION: u8 = 1;

/// Writes a frame of `kind` around an encoded body.
pub fn frame<T: Encode>(kind: Kind, body: &T) -> Vec<u8> {
    let mut bytes = vec![
        FRAME_VERSION,
        u8::try_from(kind.number()).unwrap_or(u8::MAX),
    ];
    bytes.extend(codec::encode(body));
    bytes
}

/// As [`frame`], of a body that is encoded already.
pub fn frame_of(kind: Kind, body: Vec<u8>) -> Vec<u8> {
    let mut bytes = vec![
        FRAME_VERSION,
        u8::try_from(kind.number()).unwrap_or(u8::MAX),
    ];
    bytes.extend(body);
    bytes
}
