//! Cards and node certificates: what a member's offline root signs.

use super::bounded::{List, Text};
use super::codec;
use super::codec::CodecError;
use super::envelope::SignedBytes;
use super::kind::{Kind, MEMBER, NODE};
use crate::ids::{MemberId, NodeId};
use crate::limits::{CARD_BYTES_MAX, CERTIFICATE_LIFE_MS_MAX, NODE_CERT_BYTES_MAX};
use bincode::{Decode, Encode};
use core::fmt;
use core::str::FromStr;
use watchfire_crypto::{Domain, PublicKey, Statement};

impl MemberId {
    /// The member first admitted with this root key.
    pub fn of_root(root: &PublicKey) -> Self {
        Self::from_bytes(MEMBER.digest(root.as_bytes()))
    }
}

impl NodeId {
    /// The node with this transport key.
    pub fn of_transport(transport: &[u8; 32]) -> Self {
        Self::from_bytes(NODE.digest(transport))
    }
}

/// What a member is called by people: `at-cert`. Not an identity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Slug(Text<32>);

/// The text is not a slug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a slug: use 2 to 32 of a-z, 0-9 and single hyphens, beginning with a letter, such as \"at-cert\"")]
pub struct NotASlug;

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the bytes that were decoded follow the grammar.
    pub fn is_well_formed(&self) -> bool {
        let text = self.as_str();
        text.len() >= 2
            && text.len() <= 32
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.ends_with('-')
            && !text.contains("--")
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    }
}

impl FromStr for Slug {
    type Err = NotASlug;

    fn from_str(text: &str) -> Result<Self, NotASlug> {
        let slug = Self(Text::new(text).map_err(|_| NotASlug)?);
        if slug.is_well_formed() { Ok(slug) } else { Err(NotASlug) }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a node of a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Role {
    /// A national agency: publishes and opens.
    Agency,
    /// Carries and stores for others, also what it cannot open.
    Hub,
    /// Reads what it is in the audience of.
    Observer,
}

impl Role {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agency => "agency",
            Self::Hub => "hub",
            Self::Observer => "observer",
        }
    }
}

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Self, NotARole> {
        [Self::Agency, Self::Hub, Self::Observer].into_iter().find(|role| role.name() == text).ok_or(NotARole)
    }
}

/// The text is not a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role: use agency, hub or observer")]
pub struct NotARole;

/// A node certificate: binds a node's two keys to its member's root.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeCert {
    /// The member's root key, which signs this.
    pub root_key: [u8; 32],
    /// Signs the node's statements.
    pub signing_key: [u8; 32],
    /// Is its peer id; stays across renewals.
    pub transport_key: [u8; 32],
    /// Which certificate of the member this is.
    pub serial: u64,
    /// Which life of the node: a restored node has a new one.
    pub incarnation: u64,
    /// What the node may do.
    pub role: Role,
    /// First moment it is valid, in milliseconds UTC.
    pub not_before_ms: u64,
    /// Last moment it is valid, in milliseconds UTC.
    pub not_after_ms: u64,
}

impl NodeCert {
    /// The node it certifies.
    pub fn node(&self) -> NodeId {
        NodeId::of_transport(&self.transport_key)
    }

    /// Whether its keys are three good different keys and its life is within
    /// bounds. The reason, if not.
    pub fn defect(&self) -> Option<&'static str> {
        let keys = [&self.root_key, &self.signing_key, &self.transport_key];
        if keys.iter().any(|key| PublicKey::enrol(key).is_err()) {
            return Some("a key is weak or not canonical");
        }
        if self.root_key == self.signing_key
            || self.signing_key == self.transport_key
            || self.root_key == self.transport_key
        {
            return Some("root, signing and transport key must differ");
        }
        let life = self.not_after_ms.checked_sub(self.not_before_ms);
        if !life.is_some_and(|life| (1..=CERTIFICATE_LIFE_MS_MAX).contains(&life)) {
            return Some("it must live more than nothing and at most 90 days");
        }
        None
    }
}

impl Statement for NodeCert {
    const DOMAIN: Domain = Kind::NodeCert.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, NODE_CERT_BYTES_MAX)
    }
}

/// Whom to call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Contact {
    /// The organisation's name.
    pub name: Text<128>,
    /// Its mail address.
    pub mail: Text<128>,
    /// Duty desk: telephone, hours, languages.
    pub duty: Text<256>,
}

/// What a member offers to be admitted by.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Card {
    /// What people call it.
    pub slug: Slug,
    /// Signs this card.
    pub root_key: [u8; 32],
    /// What its node may do.
    pub role: Role,
    /// Whom to call.
    pub contact: Contact,
    /// Where its node listens, as multiaddresses.
    pub addresses: List<Text<128>, 8>,
    /// Where its door is.
    pub door_addresses: List<Text<128>, 4>,
    /// Its first certificate.
    pub certificate: SignedBytes<NODE_CERT_BYTES_MAX>,
}

impl Statement for Card {
    const DOMAIN: Domain = Kind::Card.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, CARD_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for good in ["at-cert", "europol", "xk", "a1-b2-c3"] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in ["", "a", "-at", "at-", "a--b", "At-cert", "at_cert", "1at", "ät-cert", &"a".repeat(33)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }
}
