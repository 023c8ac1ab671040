//! Cards and node certificates: what a member's offline root signs.

use super::bounded::{Bytes, List, Text, TooLong};
use super::codec;
use super::codec::CodecError;
pub use super::contact::{Contact, DutyDesk};
use super::kind::{Kind, MEMBER, NODE};
use crate::ids::{CertificateId, MemberId, NodeId};
use crate::limits::{CARD_BYTES_MAX, CERTIFICATE_LIFE_MS_MAX, NODE_CERT_BYTES_MAX};
use bincode::{Decode, Encode};
use core::fmt;
use core::str::FromStr;
use watchfire_crypto::{Domain, PublicKey, Signature, SigningKey, Statement, check};

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
#[error(
    "not a slug: use 2 to 32 of a-z, 0-9 and single hyphens, beginning with a letter, such as \"at-cert\""
)]
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
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    }
}

impl FromStr for Slug {
    type Err = NotASlug;

    fn from_str(text: &str) -> Result<Self, NotASlug> {
        let slug = Self(Text::new(text).map_err(|_| NotASlug)?);
        if slug.is_well_formed() {
            Ok(slug)
        } else {
            Err(NotASlug)
        }
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
        [Self::Agency, Self::Hub, Self::Observer]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or(NotARole)
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

/// A node certificate with its three signatures: the root grants it, and the
/// two keys it speaks of agree to it, so that nobody can certify another's key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CertificateBytes {
    statement: Bytes<NODE_CERT_BYTES_MAX>,
    root: [u8; 64],
    signing: [u8; 64],
    transport: [u8; 64],
}

/// Why a certificate does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefused {
    /// It does not decode.
    #[error("malformed: {0}")]
    Malformed(#[from] CodecError),
    /// Its fields are not as they must be.
    #[error("{0}")]
    Defect(&'static str),
    /// One of the three signatures does not hold.
    #[error("the signature of its {key} key does not hold")]
    Signature {
        /// Whose.
        key: &'static str,
    },
}

impl CertificateBytes {
    /// Signs a certificate with all three keys.
    ///
    /// # Errors
    /// When it is too long, which a certificate is not.
    pub fn sign(
        cert: &NodeCert,
        root: &SigningKey,
        signing: &SigningKey,
        transport: &SigningKey,
    ) -> Result<Self, TooLong> {
        let statement = codec::encode(cert);
        let by = |key: &SigningKey| key.sign(NodeCert::DOMAIN, &statement).to_bytes();
        Ok(Self {
            root: by(root),
            signing: by(signing),
            transport: by(transport),
            statement: Bytes::new(statement)?,
        })
    }

    /// Puts together a certificate of signatures that were made apart: the root
    /// may be a token, or lie on another machine.
    ///
    /// # Errors
    /// What [`CertificateBytes::verify`] says: what comes out holds.
    pub fn assemble(
        statement: &[u8],
        root_key: &PublicKey,
        root: &Signature,
        signing: &Signature,
        transport: &Signature,
    ) -> Result<Self, CertificateRefused> {
        let bytes = Bytes::new(statement.to_vec())
            .map_err(|_| CertificateRefused::Defect("it is longer than a certificate"))?;
        let assembled = Self {
            statement: bytes,
            root: root.to_bytes(),
            signing: signing.to_bytes(),
            transport: transport.to_bytes(),
        };
        assembled.verify(root_key)?;
        Ok(assembled)
    }

    /// What it says, nothing checked yet.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn claims(&self) -> Result<NodeCert, CodecError> {
        NodeCert::parse(self.statement.as_slice())
    }

    /// Checks the three signatures and the fields.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn verify(
        &self,
        root: &PublicKey,
    ) -> Result<(CertificateId, NodeCert), CertificateRefused> {
        let bytes = self.statement.as_slice();
        let by = |key: &PublicKey, signature: &[u8; 64], name| {
            check(
                key,
                NodeCert::DOMAIN,
                bytes,
                &Signature::from_bytes(*signature),
            )
            .map_err(|_| CertificateRefused::Signature { key: name })
        };
        by(root, &self.root, "root")?;
        let cert = self.claims()?;
        if let Some(why) = cert.defect() {
            return Err(CertificateRefused::Defect(why));
        }
        if cert.root_key != *root.as_bytes() {
            return Err(CertificateRefused::Defect("it names another root key"));
        }
        let enrol =
            |key| PublicKey::enrol(key).map_err(|_| CertificateRefused::Defect("a key is weak"));
        by(&enrol(&cert.signing_key)?, &self.signing, "signing")?;
        by(&enrol(&cert.transport_key)?, &self.transport, "transport")?;
        Ok((
            CertificateId::from_bytes(NodeCert::DOMAIN.digest(bytes)),
            cert,
        ))
    }
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
    /// When it was made, in milliseconds UTC: the newest card counts.
    pub created_ms: u64,
    /// Its first certificate.
    pub certificate: CertificateBytes,
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
        for bad in [
            "",
            "a",
            "-at",
            "at-",
            "a--b",
            "At-cert",
            "at_cert",
            "1at",
            "ät-cert",
            &"a".repeat(33),
        ] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }
}
