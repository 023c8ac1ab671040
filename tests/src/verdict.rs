//! Names for verdicts: the step of the table in `docs/wire.md`, a rule that
//! never changes its name, and who pays.

use watchfire_crypto::{KeyRefused, Verified};
use watchfire_protocol::gate::{self, Blame, Content, Frame, NotARequest, Refusal, envelope_id};
use watchfire_protocol::opening::OpenRefusal;
use watchfire_protocol::roster::RosterError;
use watchfire_protocol::wire::bundle::BundleDefect;
use watchfire_protocol::wire::codec::CodecError;
use watchfire_protocol::wire::envelope::FormDefect;
use watchfire_protocol::wire::exchange::Request;

/// What the gate says of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It comes through.
    Accept {
        /// `bundle`, `carried` and its number, `sealed` and its suite.
        content: String,
        /// The envelope id in hexadecimal.
        envelope: String,
        /// The bundle id, if it is one in clear.
        bundle: Option<String>,
    },
    /// It does not.
    Refuse {
        /// The step of the table.
        step: u8,
        /// What does not hold.
        rule: String,
        /// Whether the forwarder pays: reject; else ignore.
        forwarder_pays: bool,
    },
}

/// The verdict of the gate, by name.
pub fn verdict(outcome: &Result<Verified<Frame>, Refusal>) -> Verdict {
    match outcome {
        Ok(frame) => Verdict::Accept {
            content: content(frame.value()),
            envelope: envelope_id(frame).to_string(),
            bundle: frame.value().bundle_id().map(|id| id.to_string()),
        },
        Err(refusal) => {
            let (step, rule) = rule(refusal);
            Verdict::Refuse {
                step,
                rule,
                forwarder_pays: refusal.blame() == Blame::Forwarder,
            }
        }
    }
}

fn content(frame: &Frame) -> String {
    match frame.content() {
        Content::Bundle(_) => "bundle".to_owned(),
        Content::Carried { kind } => format!("carried {kind}"),
        Content::Sealed { suite } => format!("sealed {suite}"),
    }
}

/// Step and rule of a refusal.
///
/// # Panics
/// When the gate names a part that this table does not.
pub fn rule(refusal: &Refusal) -> (u8, String) {
    let (step, rule) = match refusal {
        Refusal::TooLong { .. } => (1, "frame-too-long"),
        Refusal::Unknown { .. } => (2, "frame-unknown"),
        Refusal::Form { part, why } => return form(part, why),
        Refusal::OtherFederation => (4, "other-federation"),
        Refusal::Header(defect) => (5, header(*defect)),
        Refusal::Direct => (5, "direct-in-gossip"),
        Refusal::SecondSignature => (5, "second-signature-disagrees"),
        Refusal::Body { part } => return (6, format!("body-{}", part.replace(' ', "-"))),
        Refusal::UnknownAuthor => (7, "author-unknown"),
        Refusal::Signature => (8, "signature"),
        Refusal::UnknownSignature { .. } => (9, "second-signature-unknown"),
        Refusal::InnerKind { .. } => (10, "inner-kind-misplaced"),
        Refusal::InnerSignature => (10, "inner-signature"),
        Refusal::InnerDisagrees { field } => {
            return (
                10,
                format!("inner-disagrees-{}", field.trim_start_matches("the ")),
            );
        }
        Refusal::Bundle(defect) => (10, bundle(*defect)),
        Refusal::OutsideCertificate => (10, "outside-certificate"),
        Refusal::MarkingInClear { .. } => (10, "marking-in-clear"),
        Refusal::Notice(_) => (3, "notice"),
    };
    (step, rule.to_owned())
}

fn form(part: &str, why: &CodecError) -> (u8, String) {
    let (step, part) = match part {
        "the frame" => return (2, "frame-too-short".to_owned()),
        "the frame is" => (3, "frame"),
        "the header is" => (3, "header"),
        "the inner statement is" => (10, "inner"),
        "the bundle is" => (10, "bundle"),
        other => panic!("the gate names a part that has no step: {other}"),
    };
    (step, format!("{part}-{}", codec(why)))
}

/// What the codec has against bytes.
pub const fn codec(why: &CodecError) -> &'static str {
    match why {
        CodecError::TooLong { .. } => "too-long",
        CodecError::Malformed { .. } => "malformed",
        CodecError::Trailing { .. } => "trailing",
        CodecError::NotCanonical => "not-canonical",
    }
}

const fn header(defect: FormDefect) -> &'static str {
    match defect {
        FormDefect::TagOfOtherClass => "header-tag-of-other-class",
        FormDefect::SequenceAndPrevious => "header-sequence-and-previous",
        FormDefect::Expiry => "header-never-expires",
        FormDefect::SealingFields => "header-sealing-fields",
        FormDefect::ChunkCount => "header-chunk-count",
    }
}

const fn bundle(defect: BundleDefect) -> &'static str {
    match defect {
        BundleDefect::Times => "bundle-times",
        BundleDefect::Audience => "bundle-audience",
        BundleDefect::NotASet => "bundle-not-a-set",
        BundleDefect::Parts => "bundle-parts",
        BundleDefect::RelayAllowed => "bundle-relay-allowed",
    }
}

/// What keeps a bundle from being opened.
pub const fn open_rule(refusal: &OpenRefusal) -> &'static str {
    match refusal {
        OpenRefusal::Gate(_) => "gate",
        OpenRefusal::NeedsUpgrade => "needs-upgrade",
        OpenRefusal::PayloadAbsent => "payload-absent",
        OpenRefusal::Encoding { .. } => "encoding",
        OpenRefusal::Digest => "digest",
        OpenRefusal::Stix { .. } => "stix",
        OpenRefusal::Marking { .. } => "marking",
    }
}

/// What keeps a card, certificate or genesis from counting.
pub const fn roster_rule(error: &RosterError) -> &'static str {
    match error {
        RosterError::Malformed { .. } => "malformed",
        RosterError::Signature { .. } => "signature",
        RosterError::Contradiction { .. } => "contradiction",
        RosterError::Shared { .. } => "shared",
        RosterError::Unsigned { .. } => "unsigned",
        RosterError::Size { .. } => "size",
        RosterError::NotAMember => "not-a-member",
        RosterError::Superseded => "superseded",
        RosterError::UnknownNode => "unknown-node",
        RosterError::NotNext { .. } => "not-next",
        RosterError::Undecided { .. } => "undecided",
    }
}

/// What keeps 32 bytes from being a public key.
pub const fn key_rule(refused: KeyRefused) -> &'static str {
    match refused {
        KeyRefused::NotHex => "not-hexadecimal",
        KeyRefused::NotAPoint => "not-a-point",
        KeyRefused::NotCanonical => "not-canonical",
        KeyRefused::Weak => "small-order",
    }
}

/// Reads a request; what is not known counts as malformed.
///
/// # Errors
/// As [`gate::request`].
pub fn request(bytes: &[u8]) -> Result<Request, CodecError> {
    gate::request(bytes).map_err(|why| match why {
        NotARequest::Malformed(why) => why,
        NotARequest::Unknown { number } => CodecError::Malformed {
            why: format!("request {number}"),
        },
    })
}
