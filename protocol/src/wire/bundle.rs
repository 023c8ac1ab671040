//! The bundle statement: what its author signs about a payload of STIX.

use super::bounded::{List, Text};
use super::codec;
use super::codec::CodecError;
use super::envelope::Tag;
use super::kind::Kind;
use crate::ids::{BundleId, CertificateId, FederationId, MemberId};
use crate::limits::{BUNDLE_LIFE_MS_MAX, INNER_BYTES_MAX, PLAIN_BYTES_MAX};
use crate::marking::Marking;
use bincode::{Decode, Encode};
use watchfire_crypto::{Domain, Statement};

/// The inner statement of kind `bundle`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Bundle {
    /// Equal to the outer one.
    pub federation: FederationId,
    /// Equal to the outer one.
    pub author: MemberId,
    /// Equal to the outer one.
    pub certificate: CertificateId,
    /// Tag and sequence, equal to the outer ones; none in class direct.
    pub stream: Option<(Tag, u64)>,
    /// When it was made, in milliseconds UTC.
    pub created_ms: u64,
    /// When it ceases to be valid, in milliseconds UTC.
    pub not_after_ms: u64,
    /// The strictest marking of anything in the payload.
    pub marking: Marking,
    /// Limits what may be done with it, never with whom it is shared.
    pub permissible_actions: Option<PermissibleActions>,
    /// Who may open it.
    pub audience: Audience,
    /// Whether RED may lie in a hub's mailbox.
    pub relay_allowed: bool,
    /// Drill data: never reaches a sensor.
    pub exercise: bool,
    /// The version it replaces.
    pub supersedes: Option<BundleId>,
    /// Why a later version may be less strict.
    pub declassify: Option<Text<512>>,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// What the payload consists of, one after the other.
    pub parts: List<Part, 4>,
}

/// PAP, the permissible actions protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum PermissibleActions {
    /// No restriction.
    Clear,
    /// Active actions allowed.
    Green,
    /// Passive cross-checks only.
    Amber,
    /// Non-detectable actions only.
    Red,
}

/// Who a bundle is for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Audience {
    /// Anyone: TLP:CLEAR, and nothing else.
    Everyone,
    /// Those who are named.
    Named(Named),
}

/// An audience by name: each list a set, at least one of them not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Named {
    /// Communities of the roster.
    pub communities: List<Text<32>, 16>,
    /// Sharing groups at a version.
    pub groups: List<([u8; 32], u64), 16>,
    /// Members.
    pub members: List<MemberId, 64>,
    /// People of members.
    pub people: List<(MemberId, Text<32>), 32>,
}

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Encoding {
    /// As is.
    Identity,
    /// One zstd frame, RFC 8878.
    Zstd,
}

/// What a part of the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Media {
    /// STIX 2.1, always part 0.
    Stix,
    /// The MISP event it was made from.
    Misp,
    /// The CSV it was made from.
    Csv,
    /// The text it was made from.
    Text,
}

/// One part of the plain payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Part {
    /// What it is.
    pub media: Media,
    /// Its length in bytes.
    pub length: u64,
    /// SHA-256 of it; salted in the sealed classes.
    pub digest: [u8; 32],
}

/// How a bundle's own fields can contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleDefect {
    /// `created`, `not after` and the expiry of the envelope.
    #[error("the times of the bundle contradict each other")]
    Times,
    /// CLEAR not for everyone, or something stricter for everyone, or nobody.
    #[error("marking and audience contradict each other, or the audience is empty")]
    Audience,
    /// A list that stands for a set is not strictly ascending.
    #[error("a set is not in ascending order")]
    NotASet,
    /// No part, the first not STIX, an empty part, or too much in all.
    #[error("the parts of the payload are not as they must be")]
    Parts,
    /// `relay allowed` on something that is not RED.
    #[error("relay-allowed is for TLP:RED alone")]
    RelayAllowed,
}

const HOUR_MS: u64 = 60 * 60 * 1_000;

impl Bundle {
    /// The expiry hour its envelope must carry: `not after`, rounded up.
    pub fn expiry_hour(&self) -> u64 {
        self.not_after_ms.div_ceil(HOUR_MS)
    }

    /// Length of the plain payload in bytes.
    pub fn plain_length(&self) -> u64 {
        self.parts
            .iter()
            .fold(0, |sum: u64, part| sum.saturating_add(part.length))
    }

    /// The first contradiction within the statement, if there is one.
    pub fn defect(&self) -> Option<BundleDefect> {
        let life = self.not_after_ms.checked_sub(self.created_ms);
        if !life.is_some_and(|life| (1..=BUNDLE_LIFE_MS_MAX).contains(&life)) {
            return Some(BundleDefect::Times);
        }
        match (&self.audience, self.marking) {
            (Audience::Everyone, Marking::Clear) => {}
            (Audience::Everyone, _) | (Audience::Named(_), Marking::Clear) => {
                return Some(BundleDefect::Audience);
            }
            (Audience::Named(named), _) => {
                if named.is_empty() {
                    return Some(BundleDefect::Audience);
                }
                if !named.is_canonical() {
                    return Some(BundleDefect::NotASet);
                }
            }
        }
        if self.relay_allowed && self.marking != Marking::Red {
            return Some(BundleDefect::RelayAllowed);
        }
        let mut media = self.parts.iter().map(|part| part.media);
        let first_is_stix =
            media.next() == Some(Media::Stix) && media.all(|media| media != Media::Stix);
        let none_is_empty = self.parts.iter().all(|part| part.length > 0);
        if !first_is_stix || !none_is_empty || self.plain_length() > PLAIN_BYTES_MAX {
            return Some(BundleDefect::Parts);
        }
        None
    }
}

impl Named {
    /// Whether it names nobody: refused, never read as everybody.
    pub fn is_empty(&self) -> bool {
        self.communities.is_empty()
            && self.groups.is_empty()
            && self.members.is_empty()
            && self.people.is_empty()
    }

    fn is_canonical(&self) -> bool {
        self.communities.is_set()
            && self.groups.is_set()
            && self.members.is_set()
            && self.people.is_set()
    }
}

impl Statement for Bundle {
    const DOMAIN: Domain = Kind::Bundle.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, INNER_BYTES_MAX)
    }
}
