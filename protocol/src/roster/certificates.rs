//! Node certificates: which hold, which are known, and for whom they speak.

use watchfire_crypto::{PublicKey, Signed, Verified};

use super::error::{contradiction, malformed};
use super::{Roster, RosterError};
use crate::ids::{CertificateId, MemberId, NodeId};
use crate::limits::CERTIFICATES_PER_MEMBER_MAX;
use crate::wire::card::{CertificateBytes, CertificateRefused, Role};
use crate::wire::notice::{Revocation, StreamCut};

const TOO_MANY: &str = "its root has signed too many with greater serials";

/// A node certificate that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its hash; what statements cite.
    pub id: CertificateId,
    /// Whose node.
    pub member: MemberId,
    /// Its member's root key, which signed it.
    pub root_key: PublicKey,
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

/// Checks a certificate against the root that is said to have signed it.
pub(super) fn verify_certificate(
    signed: &CertificateBytes,
    member: MemberId,
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
        member,
        root_key: *root,
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
    /// Checks a further certificate of a member's node and takes nothing, so
    /// that a caller need not copy the roster for one that does not hold.
    ///
    /// # Errors
    /// When no member's root signed it, it is not current, its role is not the
    /// member's, it is not newer, its keys are another's, or its root signed too many
    /// that come before it.
    pub fn check_certificate(
        &self,
        signed: &CertificateBytes,
        wall_ms: u64,
    ) -> Result<Certificate, RosterError> {
        const WHAT: &str = "the certificate";
        let claimed = signed.claims().map_err(malformed(WHAT))?;
        let member = self
            .member_of_root(&claimed.root_key)
            .ok_or(RosterError::NotAMember)?;
        // Nothing is decided on what it says before its signatures hold.
        let new = verify_certificate(signed, member.id, &member.root_key, WHAT)?;
        if claimed.role != member.role {
            return Err(contradiction(WHAT, "its role is not the member's"));
        }
        if !(claimed.not_before_ms..=claimed.not_after_ms).contains(&wall_ms) {
            return Err(contradiction(WHAT, "it is not valid now"));
        }
        if !self.has_room(&new) {
            return Err(contradiction(WHAT, TOO_MANY));
        }
        let keys = [&claimed.signing_key, &claimed.transport_key];
        if self.roots.contains(&claimed.signing_key) || self.roots.contains(&claimed.transport_key)
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

    /// Checks a certificate that says who a node was, also if it is over or not
    /// the newest: what was signed under it must stay verifiable.
    ///
    /// # Errors
    /// When no member's root signed it, one of its keys is another's by the chain,
    /// it is of a former root and of no life that a cut names, or its root signed too
    /// many that come before it.
    pub fn check_record(&self, signed: &CertificateBytes) -> Result<Certificate, RosterError> {
        const WHAT: &str = "the certificate";
        let claimed = signed.claims().map_err(malformed(WHAT))?;
        let owner = self
            .root_owner(&claimed.root_key)
            .ok_or(RosterError::NotAMember)?;
        let root = PublicKey::enrol(&claimed.root_key)
            .map_err(|why| contradiction(WHAT, why.to_string()))?;
        let certificate = verify_certificate(signed, owner, &root, WHAT)?;
        self.is_record(&certificate)?;
        if self.certificates.contains_key(&certificate.id) {
            return Err(RosterError::Superseded);
        }
        if !self.has_room(&certificate) {
            return Err(contradiction(WHAT, TOO_MANY));
        }
        Ok(certificate)
    }

    /// Whether a certificate whose signatures hold is a record to who holds this
    /// roster, held already or not.
    pub(crate) fn is_record(&self, certificate: &Certificate) -> Result<(), RosterError> {
        let owner = self.root_owner(certificate.root_key.as_bytes());
        if owner != Some(certificate.member) {
            return Err(RosterError::NotAMember);
        }
        for key in [
            certificate.signing_key.as_bytes(),
            &certificate.transport_key,
        ] {
            let is_anothers = |other: &MemberId| *other != certificate.member;
            if self.keys.get(key).is_some_and(is_anothers) || self.roots.contains(key) {
                return Err(contradiction(
                    "the certificate",
                    "one of its keys is another's",
                ));
            }
        }
        let is_root_now = self
            .members
            .get(&certificate.member)
            .is_some_and(|member| member.root_key == certificate.root_key);
        let life = (certificate.node, certificate.incarnation);
        let is_named = |stream: &crate::wire::StreamId| (stream.node, stream.incarnation) == life;
        if is_root_now || self.cuts.keys().any(is_named) {
            Ok(())
        } else {
            Err(RosterError::NotAMember)
        }
    }

    /// Whether a certificate of this life is known that is a record to who holds this
    /// roster.
    pub(crate) fn has_record(&self, node: &NodeId, incarnation: u64) -> bool {
        self.certificates.values().any(|held| {
            (held.node, held.incarnation) == (*node, incarnation)
                && (self.of_chain.contains(&held.id) || self.is_record(held).is_ok())
        })
    }

    /// Whether a certificate is among those kept of its root: those of the chain, and
    /// of the others the greatest by serial and id, whatever came first.
    fn has_room(&self, new: &Certificate) -> bool {
        let order = (new.serial, new.id);
        let before = self
            .of_root(new)
            .filter(|held| self.of_chain.contains(&held.id) || (held.serial, held.id) > order);
        before.count() < CERTIFICATES_PER_MEMBER_MAX
    }

    /// What is held that the same root signed.
    fn of_root(&self, certificate: &Certificate) -> impl Iterator<Item = &Certificate> {
        let root = certificate.root_key;
        self.certificates_of(certificate.member)
            .filter(move |held| held.root_key == root)
    }

    /// Takes a certificate that [`Roster::check_record`] let through. Gives the one
    /// that is kept no longer for it, if there are too many of its root.
    pub fn keep_certificate(&mut self, certificate: Certificate) -> Option<CertificateId> {
        let newest = self
            .nodes
            .get(&certificate.node)
            .and_then(|id| self.certificates.get(id));
        let order = |of: &Certificate| (of.serial, of.id);
        if newest.is_none_or(|newest| order(newest) < order(&certificate)) {
            self.nodes.insert(certificate.node, certificate.id);
        }
        self.lives
            .insert((certificate.node, certificate.incarnation));
        let id = certificate.id;
        self.certificates.insert(id, certificate);
        let kept = self.certificates.get(&id)?;
        if self.of_root(kept).count() <= CERTIFICATES_PER_MEMBER_MAX {
            return None;
        }
        let least = self
            .of_root(kept)
            .filter(|held| !self.of_chain.contains(&held.id))
            .min_by_key(|held| order(held))?
            .id;
        self.drop_certificate(&least);
        Some(least)
    }

    fn drop_certificate(&mut self, id: &CertificateId) {
        let Some(gone) = self.certificates.remove(id) else {
            return;
        };
        let of_node = || {
            self.certificates
                .values()
                .filter(|held| held.node == gone.node)
        };
        let newest = of_node().max_by_key(|held| (held.serial, held.id));
        let newest = newest.map(|held| held.id);
        let has_life = of_node().any(|held| held.incarnation == gone.incarnation);
        match newest {
            Some(newest) => self.nodes.insert(gone.node, newest),
            None => self.nodes.remove(&gone.node),
        };
        if !has_life {
            self.lives.remove(&(gone.node, gone.incarnation));
        }
    }

    /// A certificate, if it spoke for its member in this epoch: the member stood
    /// in that roster with the root that signed it.
    pub fn author(&self, id: &CertificateId, epoch: u64) -> Option<&Certificate> {
        let certificate = self.certificates.get(id)?;
        let terms = self.terms.get(&certificate.member)?;
        terms
            .iter()
            .any(|term| term.contains(epoch) && term.root_key == certificate.root_key)
            .then_some(certificate)
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

    /// The newest certificate of each node that stands: those who may connect,
    /// while it is current.
    pub fn nodes(&self) -> impl Iterator<Item = &Certificate> {
        self.nodes
            .values()
            .filter_map(|id| self.certificates.get(id))
            .filter(|certificate| self.stands(certificate))
    }

    /// The newest certificate of a node, if it stands.
    pub fn node(&self, node: &NodeId) -> Option<&Certificate> {
        self.nodes
            .get(node)
            .and_then(|id| self.certificates.get(id))
            .filter(|certificate| self.stands(certificate))
    }

    /// Whose root key it is or was.
    pub fn root_owner(&self, key: &[u8; 32]) -> Option<MemberId> {
        self.roots
            .get(key)
            .and_then(|key| self.keys.get(key))
            .copied()
    }

    /// Whether a member stood in this epoch with this root key.
    pub fn was_root(&self, member: &MemberId, key: &[u8; 32], epoch: u64) -> bool {
        self.terms.get(member).is_some_and(|terms| {
            terms
                .iter()
                .any(|term| term.contains(epoch) && term.root_key.as_bytes() == key)
        })
    }

    /// The newest certificate of a life of a node, whether it stands or not.
    pub fn newest_of_life(&self, node: &NodeId, incarnation: u64) -> Option<&Certificate> {
        self.certificates
            .values()
            .filter(|held| held.node == *node && held.incarnation == incarnation)
            .max_by_key(|held| (held.serial, held.id))
    }

    /// Every certificate that is known, by id.
    pub fn known_certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.values()
    }

    /// Whose node it is or was.
    pub fn owner(&self, node: &NodeId) -> Option<MemberId> {
        let id = self.nodes.get(node)?;
        Some(self.certificates.get(id)?.member)
    }

    /// Whether nothing but time can end it now: its member is in this roster with
    /// the root that signed it, and nobody revoked it.
    pub fn stands(&self, certificate: &Certificate) -> bool {
        self.author(&certificate.id, self.epoch).is_some() && !self.is_revoked(certificate)
    }

    /// Whether it ended before its time by its member's own word.
    pub fn is_revoked(&self, certificate: &Certificate) -> bool {
        self.revoked
            .get(&(certificate.member, certificate.node))
            .is_some_and(|revocation| {
                // What a former root said ends nothing of the one that replaced it.
                revocation.root_key == *certificate.root_key.as_bytes()
                    && certificate.serial <= revocation.serial
            })
    }

    /// What a member said of the end of a node, if it did.
    pub fn revocation(&self, member: MemberId, node: &NodeId) -> Option<&Revocation> {
        self.revoked
            .get(&(member, *node))
            .map(|revoked| &revoked.said)
    }

    /// Checks a revocation: its member's root now signed it, and a certificate of
    /// that node is known.
    ///
    /// # Errors
    /// When that is not so, or what it says is no end.
    pub fn check_revocation(
        &self,
        signed: Signed<Revocation>,
    ) -> Result<Verified<Revocation>, RosterError> {
        const WHAT: &str = "the revocation";
        let claimed = signed.claims().map_err(malformed(WHAT))?;
        // Under the key it names, so that a false signature is seen by everybody
        // alike, also by who does not know yet that a root was replaced.
        let root = PublicKey::enrol(&claimed.root_key)
            .map_err(|why| contradiction(WHAT, why.to_string()))?;
        let checked = signed.verify(&root).map_err(|_| RosterError::Signature {
            what: WHAT.to_owned(),
        })?;
        self.member(&claimed.member)
            .filter(|member| member.root_key == root)
            .ok_or(RosterError::NotAMember)?;
        if claimed.federation != self.federation {
            return Err(contradiction(WHAT, "it is of another federation"));
        }
        if !claimed.cuts.is_set() {
            return Err(contradiction(WHAT, "its cuts are not in ascending order"));
        }
        let streams = |cut: &StreamCut| (cut.incarnation, cut.tag);
        let once = claimed
            .cuts
            .as_slice()
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if streams(a) != streams(b)));
        if !once {
            return Err(contradiction(WHAT, "two of its cuts are of one stream"));
        }
        // Not only the newest: whoever has a node's keys may certify them as its
        // own, and that must not keep their member from ending them.
        let is_its_own = self
            .certificates_of(claimed.member)
            .any(|certificate| certificate.node == claimed.node);
        if !is_its_own {
            return Err(RosterError::UnknownNode);
        }
        Ok(checked)
    }

    /// Takes a revocation. Of two of one node the later counts, and of two of one
    /// moment that with the greater id.
    pub fn revoke(&mut self, revocation: &Verified<Revocation>) -> bool {
        let said = revocation.value();
        let order = (said.serial, said.created_ms, revocation.id());
        let slot = (said.member, said.node);
        if self
            .revoked
            .get(&slot)
            .is_some_and(|held| (held.serial, held.created_ms, held.id) >= order)
        {
            return false;
        }
        self.revoked.insert(
            slot,
            Revoked {
                id: revocation.id(),
                said: said.clone(),
            },
        );
        true
    }
}

/// A revocation that holds.
#[derive(Clone, Debug)]
pub(super) struct Revoked {
    id: [u8; 32],
    said: Revocation,
}

impl core::ops::Deref for Revoked {
    type Target = Revocation;

    fn deref(&self) -> &Revocation {
        &self.said
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
