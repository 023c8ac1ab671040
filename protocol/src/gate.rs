//! The one door for bytes from outside.
//!
//! Everything that arrives, from gossip, from an answer, from a file of
//! envelopes, from a fuzzer, comes through [`check`]. It is a pure function of
//! the bytes and the roster: no clock, no store. What comes out is a
//! `Verified<Frame>`; nothing else in the program makes one.

mod notice;

pub use notice::{
    Matter, Notice, NoticeRefusal, Order, Slot, check_notice, commit_claimed, is_notice,
};

use crate::ids::{BundleId, EnvelopeId};
use crate::limits::{ANSWER_BYTES_MAX, FRAME_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::marking::Marking;
use crate::roster::{Certificate, Roster};
use crate::wire::bundle::{Bundle, BundleDefect};
use crate::wire::codec::{self, CodecError};
use crate::wire::envelope::{Class, Envelope, FRAME_VERSION, FormDefect, Header, Inner};
use crate::wire::exchange::{Answer, DoorAnswer, DoorRequest, Remains, Request, StreamId};
use crate::wire::{Kind, Root};
use watchfire_crypto::{Signed, Verified, VerifyError, sha256};

/// A frame whose signatures hold and whose form is right.
#[derive(Clone, Debug)]
pub struct Frame {
    header: Header,
    stream: Option<StreamId>,
    content: Content,
    payload: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

/// What an envelope holds, as far as this version can tell.
#[derive(Clone, Debug)]
pub enum Content {
    /// A bundle in clear.
    Bundle(Box<Verified<Bundle>>),
    /// A statement in clear of a kind this version carries and does not open.
    Carried {
        /// Its number.
        kind: u16,
    },
    /// Sealed to somebody.
    Sealed {
        /// The suite it is sealed with.
        suite: u16,
    },
}

impl Frame {
    /// The outer header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The stream it belongs to; none for class direct.
    pub const fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// What it holds.
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// The payload, when it travelled inside the frame.
    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// The frame as it arrived.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bundle id, if it is a bundle in clear.
    pub fn bundle_id(&self) -> Option<BundleId> {
        match &self.content {
            Content::Bundle(bundle) => Some(BundleId::from_bytes(bundle.id())),
            Content::Carried { .. } | Content::Sealed { .. } => None,
        }
    }
}

/// The envelope id of a verified frame.
pub fn envelope_id(frame: &Verified<Frame>) -> EnvelopeId {
    EnvelopeId::from_bytes(frame.id())
}

/// Who pays for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Every honest node sees the defect, so whoever forwarded it is at fault.
    Forwarder,
    /// It depends on what this node knows: nobody pays.
    Nobody,
}

/// Why bytes did not come through the gate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Over the frame limit.
    #[error("frame of {bytes} bytes, where at most {FRAME_BYTES_MAX} are allowed")]
    TooLong {
        /// How many arrived.
        bytes: usize,
    },
    /// A version or kind that this version cannot check.
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
    #[error("{part} {why}")]
    Form {
        /// Which part.
        part: &'static str,
        /// What the codec said.
        why: CodecError,
    },
    /// The header contradicts itself.
    #[error("the header contradicts itself: {0}")]
    Header(#[from] FormDefect),
    /// For another federation.
    #[error("it belongs to another federation")]
    OtherFederation,
    /// The author, or its certificate, or its epoch is not known here.
    #[error("its author's certificate, or the epoch it cites, is not known here")]
    UnknownAuthor,
    /// The outer signature does not hold.
    #[error("the signature of the envelope does not hold")]
    Signature,
    /// Frame and header disagree whether there is a second signature.
    #[error("frame and header disagree about a second signature")]
    SecondSignature,
    /// There is a second signature of an algorithm that is not known here.
    #[error("it carries a second signature of suite {suite}, which a newer watchfire may verify")]
    UnknownSignature {
        /// Its number.
        suite: u16,
    },
    /// Class direct, where only streams may travel.
    #[error("a direct envelope has no place in gossip or a range")]
    Direct,
    /// An inner kind that has no place there.
    #[error("an inner statement of kind {kind} has no place in this stream")]
    InnerKind {
        /// Its number.
        kind: u16,
    },
    /// The bundle was made outside the life of its certificate.
    #[error("it was made outside the life of the certificate it cites")]
    OutsideCertificate,
    /// The body is not where it must be, or not what was signed.
    #[error("the {part} is not what was signed")]
    Body {
        /// Which part.
        part: &'static str,
    },
    /// The inner statement's signature does not hold under the outer signer.
    #[error("the inner statement is not signed by the signer of the envelope")]
    InnerSignature,
    /// Inner and outer fields disagree.
    #[error("the inner statement disagrees with its envelope about {field}")]
    InnerDisagrees {
        /// About what.
        field: &'static str,
    },
    /// The bundle contradicts itself.
    #[error("the bundle contradicts itself: {0}")]
    Bundle(#[from] BundleDefect),
    /// A notice that did not come through.
    #[error(transparent)]
    Notice(#[from] NoticeRefusal),
    /// In clear, and not CLEAR.
    #[error("{marking} travels in clear")]
    MarkingInClear {
        /// How it is marked.
        marking: Marking,
    },
}

impl Refusal {
    /// Who pays.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Notice(refusal) => refusal.blame(),
            Self::Unknown { .. } | Self::UnknownAuthor | Self::UnknownSignature { .. } => {
                Blame::Nobody
            }
            Self::TooLong { .. }
            | Self::Form { .. }
            | Self::Header(_)
            | Self::OtherFederation
            | Self::Signature
            | Self::SecondSignature
            | Self::Direct
            | Self::InnerKind { .. }
            | Self::OutsideCertificate
            | Self::Body { .. }
            | Self::InnerSignature
            | Self::InnerDisagrees { .. }
            | Self::Bundle(_)
            | Self::MarkingInClear { .. } => Blame::Forwarder,
        }
    }
}

/// Checks a frame: limits, canonical form, federation, roster, signature, and
/// that everything else is what the signature binds.
///
/// # Errors
/// The first thing that does not hold, and who pays for it.
pub fn check(bytes: &[u8], roster: &Roster) -> Result<Verified<Frame>, Refusal> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(Refusal::TooLong { bytes: bytes.len() });
    }
    let body = match bytes {
        [FRAME_VERSION, kind, body @ ..] if u16::from(*kind) == Kind::Envelope.number() => body,
        [version, kind, ..] => {
            return Err(Refusal::Unknown {
                version: *version,
                kind: *kind,
            });
        }
        [..] => {
            return Err(Refusal::Form {
                part: "the frame",
                why: CodecError::Malformed {
                    why: "shorter than its first two bytes".to_owned(),
                },
            });
        }
    };
    let envelope: Envelope = codec::decode(body, FRAME_BYTES_MAX).map_err(|why| Refusal::Form {
        part: "the frame is",
        why,
    })?;
    check_envelope(envelope, bytes, roster)
}

fn check_envelope(
    envelope: Envelope,
    bytes: &[u8],
    roster: &Roster,
) -> Result<Verified<Frame>, Refusal> {
    let signed: Signed<Header> = envelope.header.to_signed();
    let (header, author) = check_header(signed, roster, |claimed| {
        if claimed.binding.second_signature.is_some() != envelope.second_signature.is_some() {
            return Err(Refusal::SecondSignature);
        }
        // Before anything that depends on this node's roster, so that a spoiled
        // body has one verdict everywhere.
        check_body(claimed, &envelope)
    })?;
    header.refine(|header, _| {
        let content = check_content(&header, envelope.head.as_slice(), author)?;
        let stream = stream_of(&header, author);
        let payload = envelope.payload.map(crate::wire::Bytes::into_vec);
        Ok(Frame {
            header,
            stream,
            content,
            payload,
            bytes: bytes.to_vec(),
        })
    })
}

/// Steps 3 to 9 of the verdict table; `body` is step 6.
fn check_header(
    signed: Signed<Header>,
    roster: &Roster,
    body: impl FnOnce(&Header) -> Result<(), Refusal>,
) -> Result<(Verified<Header>, &Certificate), Refusal> {
    // Read before the signature holds only to learn whose signature to check.
    let claimed = signed.claims().map_err(|why| Refusal::Form {
        part: "the header is",
        why,
    })?;
    if claimed.prefix.federation != roster.federation() {
        return Err(Refusal::OtherFederation);
    }
    if let Some(defect) = claimed.defect() {
        return Err(Refusal::Header(defect));
    }
    if matches!(claimed.prefix.class, Class::Direct { .. }) {
        return Err(Refusal::Direct);
    }
    body(&claimed)?;
    if claimed.prefix.epoch > roster.epoch() {
        return Err(Refusal::UnknownAuthor);
    }
    let author = roster
        .author(&claimed.prefix.certificate, claimed.prefix.epoch)
        .filter(|certificate| certificate.member == claimed.prefix.author)
        .ok_or(Refusal::UnknownAuthor)?;
    let header = signed
        .verify(&author.signing_key)
        .map_err(|error| match error {
            VerifyError::BadSignature(_) => Refusal::Signature,
            VerifyError::Malformed(why) => Refusal::Form {
                part: "the header is",
                why,
            },
        })?;
    if let Some(suite) = header.value().binding.second_signature {
        return Err(Refusal::UnknownSignature { suite });
    }
    Ok((header, author))
}

fn stream_of(header: &Header, author: &Certificate) -> Option<StreamId> {
    header.prefix.class.position().map(|position| StreamId {
        node: author.node,
        incarnation: author.incarnation,
        tag: position.tag,
    })
}

/// What remains of an envelope after its expiry, its signature checked.
#[derive(Clone, Debug)]
pub struct CheckedRemains {
    header: Header,
    stream: Option<StreamId>,
}

impl CheckedRemains {
    /// The outer header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The stream it belongs to.
    pub const fn stream(&self) -> Option<StreamId> {
        self.stream
    }
}

/// Checks what remains of an envelope. Whether the envelope has
/// expired, so that this may be all there is, is for the engine to say.
///
/// # Errors
/// As [`check`].
pub fn check_remains(
    remains: &Remains,
    roster: &Roster,
) -> Result<Verified<CheckedRemains>, Refusal> {
    let second = remains.second_signature.is_some();
    let (header, author) = check_header(remains.header.to_signed(), roster, |claimed| {
        if claimed.binding.second_signature.is_some() == second {
            Ok(())
        } else {
            Err(Refusal::SecondSignature)
        }
    })?;
    header.refine(|header, _| {
        Ok(CheckedRemains {
            stream: stream_of(&header, author),
            header,
        })
    })
}

/// Head, key block and payload are exactly what the header binds, and are in
/// the frame exactly when they must be.
fn check_body(header: &Header, envelope: &Envelope) -> Result<(), Refusal> {
    let binding = &header.binding;
    if sha256(envelope.head.as_slice()) != binding.head {
        return Err(Refusal::Body { part: "head" });
    }
    let inline = header.body_is_inline();
    match (header.key_block(), &envelope.key_block) {
        (Some(bound), Some(block)) if inline => {
            if block.len() as u64 != u64::from(bound.length)
                || sha256(block.as_slice()) != bound.digest
            {
                return Err(Refusal::Body { part: "key block" });
            }
        }
        (None, None) => {}
        (Some(_), None) if !inline => {}
        (Some(_), Some(_) | None) | (None, Some(_)) => {
            return Err(Refusal::Body { part: "key block" });
        }
    }
    match (&binding.payload, &envelope.payload) {
        (Some(bound), Some(payload)) if inline => {
            let same = payload.len() as u64 == bound.length
                && Root::of(payload.as_slice()) == Some(bound.root);
            if same {
                Ok(())
            } else {
                Err(Refusal::Body { part: "payload" })
            }
        }
        (None, None) => Ok(()),
        (Some(_), None) if !inline => Ok(()),
        (Some(_), Some(_) | None) | (None, Some(_)) => Err(Refusal::Body { part: "payload" }),
    }
}

fn check_content(header: &Header, head: &[u8], author: &Certificate) -> Result<Content, Refusal> {
    let suite = match &header.prefix.class {
        Class::Open { .. } => return check_inner(header, head, author),
        Class::Sealed { suite, .. } | Class::Direct { suite, .. } => *suite,
    };
    Ok(Content::Sealed { suite })
}

fn check_inner(header: &Header, head: &[u8], author: &Certificate) -> Result<Content, Refusal> {
    let inner: Inner = codec::decode(head, head.len()).map_err(|why| Refusal::Form {
        part: "the inner statement is",
        why,
    })?;
    let tag = header.prefix.class.position().map(|position| position.tag);
    if let Some(kind) = Kind::from_number(inner.kind)
        && (kind.inner_tag().is_none() || kind.inner_tag() != tag)
    {
        return Err(Refusal::InnerKind { kind: inner.kind });
    }
    if inner.kind != Kind::Bundle.number() {
        // Carried as it is: a version that knows the kind checks it, and blames
        // nobody for having carried it.
        return Ok(Content::Carried { kind: inner.kind });
    }
    let signed: Signed<Bundle> = inner.statement.to_signed();
    let bundle = signed
        .verify(&author.signing_key)
        .map_err(|error| match error {
            VerifyError::BadSignature(_) => Refusal::InnerSignature,
            VerifyError::Malformed(why) => Refusal::Form {
                part: "the bundle is",
                why,
            },
        })?;
    agrees(header, bundle.value())?;
    if let Some(defect) = bundle.value().defect() {
        return Err(Refusal::Bundle(defect));
    }
    if !author.is_current(bundle.value().created_ms) {
        return Err(Refusal::OutsideCertificate);
    }
    let marking = bundle.value().marking;
    if marking != Marking::Clear {
        return Err(Refusal::MarkingInClear { marking });
    }
    Ok(Content::Bundle(Box::new(bundle)))
}

/// What inner statement and envelope both say, they say alike: otherwise one
/// statement could be carried to another place than its author meant.
fn agrees(header: &Header, bundle: &Bundle) -> Result<(), Refusal> {
    let prefix = &header.prefix;
    let position = prefix.class.position();
    let fields = [
        ("the federation", bundle.federation == prefix.federation),
        ("the author", bundle.author == prefix.author),
        ("the certificate", bundle.certificate == prefix.certificate),
        (
            "the stream",
            position.map(|position| (position.tag, position.sequence)) == bundle.stream,
        ),
        (
            "the expiry",
            bundle.expiry_hour() == u64::from(prefix.expiry_hour),
        ),
        ("the payload", header.binding.payload.is_some()),
    ];
    match fields.into_iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(Refusal::InnerDisagrees { field }),
        None => Ok(()),
    }
}

/// Reads a request of the exchange protocol. Unsigned: the connection says who
/// asks.
///
/// # Errors
/// When it is too long or not canonical.
pub fn request(bytes: &[u8]) -> Result<Request, NotARequest> {
    match codec::leading_number(bytes) {
        Some(number) if number >= REQUESTS => Err(NotARequest::Unknown { number }),
        Some(_) | None => Ok(codec::decode(bytes, REQUEST_BYTES_MAX)?),
    }
}

/// How many requests there are: as many as [`Request`] has variants.
const REQUESTS: u32 = 7;

/// Why bytes are not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARequest {
    /// A number that this version does not have: no offence, a newer one may.
    #[error("request {number} is not known here")]
    Unknown {
        /// Its number.
        number: u32,
    },
    /// Too long or not canonical.
    #[error(transparent)]
    Malformed(#[from] CodecError),
}

/// Reads an answer of the exchange protocol. Frames within it still have to
/// come through [`check`].
///
/// # Errors
/// When it is too long or not canonical.
pub fn answer(bytes: &[u8]) -> Result<Answer, CodecError> {
    codec::decode(bytes, ANSWER_BYTES_MAX)
}

/// Reads what a stranger asks at the door.
///
/// # Errors
/// When it is too long or not canonical.
pub fn door_request(bytes: &[u8]) -> Result<DoorRequest, CodecError> {
    codec::decode(bytes, crate::limits::DOOR_BYTES_MAX)
}

/// Reads what a door answers.
///
/// # Errors
/// When it is too long or not canonical.
pub fn door_answer(bytes: &[u8]) -> Result<DoorAnswer, CodecError> {
    codec::decode(bytes, crate::limits::DOOR_BYTES_MAX)
}

#[cfg(test)]
mod tests;
