//! Who belongs: the roster of a federation, its members and their nodes.
//!
//! A roster exists only whole and checked. It is made from a genesis that
//! every founder signed; nothing else in the program can make one.

mod ballot;
mod genesis;
mod quorum;

pub use ballot::{Ballot, Cast, VOTES_PER_VOTER_MAX};
pub use genesis::{
    CheckedCard, GenesisState, check_card, draft_genesis, inspect_genesis, sign_genesis,
};
pub use quorum::Thresholds;

use std::collections::{BTreeMap, BTreeSet};

use watchfire_crypto::PublicKey;

use crate::ids::{CertificateId, FederationId, MemberId, NodeId};
use crate::limits::CERTIFICATES_PER_MEMBER_MAX;
use crate::wire::card::{CertificateBytes, CertificateRefused, Contact, Role, Slug};
use crate::wire::genesis::GenesisFile;
use crate::wire::{Text, TooLong, codec};

/// The members of a federation at one epoch, and the certificates of their
/// nodes.
#[derive(Clone, Debug)]
pub struct Roster {
    federation: FederationId,
    name: String,
    epoch: u64,
    members: BTreeMap<MemberId, Member>,
    certificates: BTreeMap<CertificateId, Certificate>,
    /// Each life of each node for which a certificate stands.
    lives: BTreeSet<(NodeId, u64)>,
    nodes: BTreeMap<NodeId, CertificateId>,
}

/// An organisation in the roster.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its identity.
    pub id: MemberId,
    /// What people call it.
    pub slug: Slug,
    /// Signs its certificates.
    pub root_key: PublicKey,
    /// What its nodes may do.
    pub role: Role,
    /// The communities it belongs to.
    pub communities: Vec<String>,
    /// Whom to call.
    pub contact: Contact,
    /// Where its node listens, as multiaddresses.
    pub addresses: Vec<String>,
    /// Where its door is.
    pub door_addresses: Vec<String>,
}

/// A node certificate that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its hash; what statements cite.
    pub id: CertificateId,
    /// Whose node.
    pub member: MemberId,
    /// A newer certificate of a node has a higher one.
    pub serial: u64,
    /// Which node.
    pub node: NodeId,
    /// Checks the node's statements.
    pub signing_key: PublicKey,
    /// Is its peer id.
    pub transport_key: [u8; 32],
    /// Which life of the node.
    pub incarnation: u64,
    /// What the node may do.
    pub role: Role,
    /// First moment it is valid, in milliseconds UTC.
    pub not_before_ms: u64,
    /// Last moment it is valid, in milliseconds UTC.
    pub not_after_ms: u64,
}

impl Certificate {
    /// Whether it is valid at this moment.
    pub fn is_current(&self, wall_ms: u64) -> bool {
        (self.not_before_ms..=self.not_after_ms).contains(&wall_ms)
    }
}

/// Why a card, certificate or genesis does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// A file or statement does not decode.
    #[error("{what} is malformed: {why}; ask its maker to send it again")]
    Malformed {
        /// Which.
        what: String,
        /// What the codec said.
        why: String,
    },
    /// A signature does not hold.
    #[error(
        "the signature on {what} does not hold; do not use this file, ask its maker to send it again"
    )]
    Signature {
        /// Which.
        what: String,
    },
    /// Fields contradict each other.
    #[error("{what} contradicts itself: {why}")]
    Contradiction {
        /// Which.
        what: String,
        /// How.
        why: String,
    },
    /// Two members share what must be theirs alone.
    #[error("{first} and {second} share the same {what}; each needs its own")]
    Shared {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// Slug or key.
        what: &'static str,
    },
    /// Not everybody has signed yet.
    #[error(
        "the genesis is not complete: {missing} still to sign, with \"watchfire federation sign\""
    )]
    Unsigned {
        /// Slugs of those missing.
        missing: String,
    },
    /// A federation needs at least this.
    #[error("a federation needs at least two members and at most {members_max}")]
    Size {
        /// The bound.
        members_max: usize,
    },
    /// The key belongs to nobody here.
    #[error("this key belongs to no member of the federation")]
    NotAMember,
    /// The certificate adds nothing.
    #[error("the certificate is older than the one held for that node")]
    Superseded,
}

fn malformed(what: &str) -> impl Fn(codec::CodecError) -> RosterError + '_ {
    move |error| RosterError::Malformed {
        what: what.to_owned(),
        why: error.to_string(),
    }
}

fn contradiction(what: &str, why: impl Into<String>) -> RosterError {
    RosterError::Contradiction {
        what: what.to_owned(),
        why: why.into(),
    }
}

fn too_long(what: &str) -> impl Fn(TooLong) -> RosterError + '_ {
    move |error| contradiction(what, format!("too long, {error}"))
}

/// Checks a certificate against the root that is said to have signed it.
fn verify_certificate(
    signed: &CertificateBytes,
    root: &PublicKey,
    what: &str,
) -> Result<Certificate, RosterError> {
    let (id, cert) = signed.verify(root).map_err(|error| match error {
        CertificateRefused::Signature { .. } => RosterError::Signature {
            what: what.to_owned(),
        },
        CertificateRefused::Malformed(why) => malformed(what)(why),
        CertificateRefused::Defect(why) => contradiction(what, why),
    })?;
    let signing_key = PublicKey::enrol(&cert.signing_key)
        .map_err(|error| contradiction(what, error.to_string()))?;
    Ok(Certificate {
        id,
        member: MemberId::of_root(root),
        serial: cert.serial,
        node: cert.node(),
        signing_key,
        transport_key: cert.transport_key,
        incarnation: cert.incarnation,
        role: cert.role,
        not_before_ms: cert.not_before_ms,
        not_after_ms: cert.not_after_ms,
    })
}

impl Roster {
    /// The roster a complete genesis founds.
    ///
    /// # Errors
    /// When anything in it does not hold, or somebody has not signed.
    pub fn found(file: &GenesisFile) -> Result<Self, RosterError> {
        let state = inspect_genesis(file)?;
        let missing: Vec<_> = state
            .genesis
            .members
            .iter()
            .zip(&state.signed)
            .filter(|(_, signed)| !**signed)
            .map(|(member, _)| member.slug.to_string())
            .collect();
        if !missing.is_empty() {
            return Err(RosterError::Unsigned {
                missing: missing.join(", "),
            });
        }
        let mut roster = Self {
            federation: state.federation,
            name: state.genesis.name.as_str().to_owned(),
            epoch: 0,
            members: BTreeMap::new(),
            certificates: BTreeMap::new(),
            lives: BTreeSet::new(),
            nodes: BTreeMap::new(),
        };
        for (member, checked) in state.genesis.members.iter().zip(state.cards) {
            let id = MemberId::of_root(&checked.root_key);
            let texts =
                |list: &[Text<128>]| list.iter().map(|text| text.as_str().to_owned()).collect();
            roster.members.insert(
                id,
                Member {
                    id,
                    slug: member.slug.clone(),
                    root_key: checked.root_key,
                    role: member.role,
                    communities: member
                        .communities
                        .iter()
                        .map(|text| text.as_str().to_owned())
                        .collect(),
                    contact: checked.card.contact.clone(),
                    addresses: texts(checked.card.addresses.as_slice()),
                    door_addresses: texts(checked.card.door_addresses.as_slice()),
                },
            );
            roster.keep_certificate(checked.certificate);
        }
        Ok(roster)
    }

    /// Checks a further certificate of a member's node and takes nothing, so
    /// that a caller need not copy the roster for one that does not hold.
    ///
    /// # Errors
    /// When no member's root signed it, it is not current, its role is not the
    /// member's, it is not newer, its keys are another's, or there are too many.
    pub fn check_certificate(
        &self,
        signed: &CertificateBytes,
        wall_ms: u64,
    ) -> Result<Certificate, RosterError> {
        const WHAT: &str = "the certificate";
        let claimed = signed.claims().map_err(malformed(WHAT))?;
        let member = self
            .members
            .values()
            .find(|member| *member.root_key.as_bytes() == claimed.root_key)
            .ok_or(RosterError::NotAMember)?;
        // Nothing is decided on what it says before its signatures hold.
        let new = verify_certificate(signed, &member.root_key, WHAT)?;
        if claimed.role != member.role {
            return Err(contradiction(WHAT, "its role is not the member's"));
        }
        if !(claimed.not_before_ms..=claimed.not_after_ms).contains(&wall_ms) {
            return Err(contradiction(WHAT, "it is not valid now"));
        }
        if self.certificates_of(member.id).count() >= CERTIFICATES_PER_MEMBER_MAX {
            return Err(contradiction(WHAT, "the member has too many already"));
        }
        let keys = [&claimed.signing_key, &claimed.transport_key];
        if self
            .members
            .values()
            .any(|member| keys.contains(&member.root_key.as_bytes()))
        {
            return Err(contradiction(WHAT, "one of its keys is a member's root"));
        }
        let node = claimed.node();
        for held in self.certificates.values() {
            let same_node = held.member == member.id && held.node == node;
            let is_newer = claimed.serial > held.serial && claimed.incarnation >= held.incarnation;
            if same_node && !is_newer {
                return Err(RosterError::Superseded);
            }
            let shares =
                keys.contains(&held.signing_key.as_bytes()) || keys.contains(&&held.transport_key);
            if shares && !same_node {
                return Err(contradiction(
                    WHAT,
                    "one of its keys is in use by another node",
                ));
            }
        }
        Ok(new)
    }

    /// Takes a further certificate of a member's node, newer than what is held.
    ///
    /// # Errors
    /// Those of [`Roster::check_certificate`].
    pub fn admit_certificate(
        &mut self,
        signed: &CertificateBytes,
        wall_ms: u64,
    ) -> Result<Certificate, RosterError> {
        let new = self.check_certificate(signed, wall_ms)?;
        self.keep_certificate(new.clone());
        Ok(new)
    }

    fn keep_certificate(&mut self, certificate: Certificate) {
        self.nodes.insert(certificate.node, certificate.id);
        self.lives
            .insert((certificate.node, certificate.incarnation));
        self.certificates.insert(certificate.id, certificate);
    }

    /// The federation's id.
    pub const fn federation(&self) -> FederationId {
        self.federation
    }

    /// What people call the federation.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of this roster.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Every member, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// How many members it takes, for what.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds::of(self.members.len())
    }

    /// A member by its id.
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    /// A member by what people call it.
    pub fn member_by_slug(&self, slug: &str) -> Option<&Member> {
        self.members
            .values()
            .find(|member| member.slug.as_str() == slug)
    }

    /// A certificate by its hash.
    pub fn certificate(&self, id: &CertificateId) -> Option<&Certificate> {
        self.certificates.get(id)
    }

    /// Every certificate held of a member.
    pub fn certificates_of(&self, member: MemberId) -> impl Iterator<Item = &Certificate> {
        self.certificates
            .values()
            .filter(move |certificate| certificate.member == member)
    }

    /// Whether a certificate held stands for this life of this node.
    pub fn has_lived(&self, node: &NodeId, incarnation: u64) -> bool {
        self.lives.contains(&(*node, incarnation))
    }

    /// The newest certificate of each node.
    pub fn nodes(&self) -> impl Iterator<Item = &Certificate> {
        self.nodes
            .values()
            .filter_map(|id| self.certificates.get(id))
    }

    /// The newest certificate of a node.
    pub fn node(&self, node: &NodeId) -> Option<&Certificate> {
        self.nodes
            .get(node)
            .and_then(|id| self.certificates.get(id))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::founding::{Keys, derived_federation};
    use crate::limits::CERTIFICATE_LIFE_MS_MAX;
    use crate::wire::card::NodeCert;

    const WALL_MS: u64 = 1_800_000_000_000;
    const SEED: [u8; 32] = [6; 32];

    /// A certificate of the first member's node.
    fn cert(serial: u64) -> NodeCert {
        let keys = Keys::derived(&SEED, 0);
        NodeCert {
            root_key: keys.root.public().to_bytes(),
            signing_key: keys.signing.public().to_bytes(),
            transport_key: keys.transport.public().to_bytes(),
            serial,
            incarnation: 1,
            role: Role::Agency,
            not_before_ms: WALL_MS,
            not_after_ms: WALL_MS + CERTIFICATE_LIFE_MS_MAX,
        }
    }

    /// Signed by the keys of that member.
    fn signed(cert: &NodeCert, by: u64) -> CertificateBytes {
        let keys = Keys::derived(&SEED, by);
        CertificateBytes::sign(cert, &keys.root, &keys.signing, &keys.transport).unwrap()
    }

    fn roster() -> Roster {
        let roles = [Role::Agency, Role::Agency];
        derived_federation(&SEED, &roles, WALL_MS).unwrap().1
    }

    #[test]
    fn a_check_takes_nothing_and_agrees_with_admission() {
        let mut roster = roster();
        let new = signed(&cert(2), 0);
        let checked = roster.check_certificate(&new, WALL_MS).unwrap();
        assert!(roster.certificate(&checked.id).is_none());
        assert_eq!(roster.admit_certificate(&new, WALL_MS), Ok(checked.clone()));
        assert_eq!(roster.node(&checked.node), Some(&checked));
        let again = roster.check_certificate(&new, WALL_MS);
        assert_eq!(again, Err(RosterError::Superseded));
        let forged = roster.check_certificate(&signed(&cert(3), 1), WALL_MS);
        assert!(matches!(forged, Err(RosterError::Signature { .. })));
    }

    #[test]
    fn nothing_is_decided_on_what_a_false_certificate_says() {
        let roster = roster();
        for (cert, wall_ms) in [(cert(1), WALL_MS), (cert(2), WALL_MS), (cert(2), 0)] {
            // Every signature on it is false.
            let error = roster.check_certificate(&signed(&cert, 1), wall_ms);
            assert!(matches!(error, Err(RosterError::Signature { .. })));
        }
    }
}
