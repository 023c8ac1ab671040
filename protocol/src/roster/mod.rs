//! Who belongs: the roster of a federation, its members and their nodes.
//!
//! A roster exists only whole and checked. It is made from a genesis that
//! every founder signed, and each further one from the one before and the votes
//! of its members; nothing else in the program can make one.

mod ballot;
mod certificates;
mod changes;
mod error;
mod genesis;
mod quorum;
mod succession;

pub use ballot::{Ballot, Cast, Step, VoteRefusal};
pub use certificates::Certificate;
pub use error::RosterError;
pub use genesis::{
    CheckedCard, GenesisState, check_card, draft_genesis, inspect_genesis, sign_genesis,
};
pub use quorum::Thresholds;
pub use succession::{Lack, Proposal, Successor};

use std::collections::{BTreeMap, BTreeSet};

use watchfire_crypto::PublicKey;

use crate::ids::{CardId, CertificateId, FederationId, MemberId, NodeId, RosterId};
use crate::wire::StreamId;
use crate::wire::card::{Contact, Role, Slug};
use crate::wire::genesis::GenesisFile;
use crate::wire::roster::{CommunityRule, Cut};
use crate::wire::{List, Text};
use certificates::{Revoked, verify_certificate};
use error::{contradiction, malformed, too_long};

/// The members of a federation at one epoch, what is known of those before, and
/// the certificates of their nodes.
#[derive(Clone, Debug)]
pub struct Roster {
    federation: FederationId,
    name: String,
    epoch: u64,
    id: RosterId,
    created_ms: u64,
    members: BTreeMap<MemberId, Member>,
    /// Members of earlier rosters, as they last were.
    former: BTreeMap<MemberId, Member>,
    /// As what each member, present or former, stood in which epochs.
    terms: BTreeMap<MemberId, Vec<Term>>,
    communities: BTreeMap<String, CommunityRule>,
    /// Every key that the chain itself has named, and whose it is: nobody else's
    /// ever.
    keys: BTreeMap<[u8; 32], MemberId>,
    /// Those of them that are or were roots.
    roots: BTreeSet<[u8; 32]>,
    /// Of members that were expelled and of roots that were replaced: up to where
    /// their streams count.
    cuts: BTreeMap<StreamId, Cut>,
    certificates: BTreeMap<CertificateId, Certificate>,
    /// Those of them that came with a card: they stay, whatever else is signed.
    of_chain: BTreeSet<CertificateId>,
    /// Each life of each node for which a certificate stands.
    lives: BTreeSet<(NodeId, u64)>,
    nodes: BTreeMap<NodeId, CertificateId>,
    revoked: BTreeMap<(MemberId, NodeId), Revoked>,
    /// Commits of the next roster that are held: what they stand on need not be
    /// checked a second time.
    commits: BTreeSet<HeldCommit>,
}

/// A commit, by its root key, its round and what it is for.
pub type HeldCommit = ([u8; 32], u32, RosterId);

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
    /// When the newest card of it that is known was made, in milliseconds UTC.
    pub card_created_ms: u64,
    /// Which that is.
    pub card: CardId,
}

/// Epochs in which a member stood with one root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    from: u64,
    /// The first epoch in which it did no longer.
    until: Option<u64>,
    root_key: PublicKey,
}

impl Term {
    fn contains(&self, epoch: u64) -> bool {
        self.from <= epoch && self.until.is_none_or(|until| epoch < until)
    }
}

impl Member {
    fn of(checked: &CheckedCard, communities: Vec<String>) -> Self {
        let mut member = Self {
            id: MemberId::of_root(&checked.root_key),
            slug: checked.card.slug.clone(),
            root_key: checked.root_key,
            role: checked.card.role,
            communities,
            contact: Contact::default(),
            addresses: Vec::new(),
            door_addresses: Vec::new(),
            card_created_ms: 0,
            card: checked.id,
        };
        member.take_card(checked);
        member
    }

    /// What a member says of itself, and nobody votes on.
    fn take_card(&mut self, checked: &CheckedCard) {
        let card = &checked.card;
        self.card = checked.id;
        let texts = |list: &[Text<128>]| list.iter().map(|text| text.as_str().to_owned()).collect();
        self.contact = card.contact.clone();
        self.addresses = texts(card.addresses.as_slice());
        self.door_addresses = texts(card.door_addresses.as_slice());
        self.card_created_ms = card.created_ms;
    }
}

fn strings<const MAX: usize, const LIST: usize>(texts: &List<Text<MAX>, LIST>) -> Vec<String> {
    texts.iter().map(|text| text.as_str().to_owned()).collect()
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
            id: RosterId::from_bytes(*state.federation.as_bytes()),
            created_ms: state.genesis.created_ms,
            members: BTreeMap::new(),
            former: BTreeMap::new(),
            terms: BTreeMap::new(),
            communities: BTreeMap::new(),
            keys: BTreeMap::new(),
            roots: BTreeSet::new(),
            cuts: BTreeMap::new(),
            certificates: BTreeMap::new(),
            lives: BTreeSet::new(),
            nodes: BTreeMap::new(),
            revoked: BTreeMap::new(),
            of_chain: BTreeSet::new(),
            commits: BTreeSet::new(),
        };
        for (member, checked) in state.genesis.members.iter().zip(state.cards) {
            let communities = strings(&member.communities);
            for name in &communities {
                roster
                    .communities
                    .insert(name.clone(), CommunityRule::Federation);
            }
            roster.enter(Member::of(&checked, communities), checked.certificate);
        }
        Ok(roster)
    }

    /// A member stands in this roster from now on.
    fn enter(&mut self, member: Member, certificate: Certificate) {
        for key in [
            *member.root_key.as_bytes(),
            *certificate.signing_key.as_bytes(),
            certificate.transport_key,
        ] {
            self.keys.insert(key, member.id);
        }
        self.roots.insert(*member.root_key.as_bytes());
        self.begin_term(&member);
        self.members.insert(member.id, member);
        self.of_chain.insert(certificate.id);
        self.keep_certificate(certificate);
    }

    /// From this epoch on a member stands as it now is.
    fn begin_term(&mut self, member: &Member) {
        let terms = self.terms.entry(member.id).or_default();
        if let Some(last) = terms.last_mut() {
            last.until.get_or_insert(self.epoch);
        }
        terms.push(Term {
            from: self.epoch,
            until: None,
            root_key: member.root_key,
        });
    }

    /// From this epoch on a member stands no longer.
    fn end_term(&mut self, member: &MemberId) {
        if let Some(last) = self
            .terms
            .get_mut(member)
            .and_then(|terms| terms.last_mut())
        {
            last.until.get_or_insert(self.epoch);
        }
    }

    /// Takes a newer card of a member, with other addresses or another contact.
    ///
    /// # Errors
    /// When it does not hold, is not of a member, is not newer, or says of the
    /// member what only the roster may.
    pub fn take_card<const MAX: usize>(
        &mut self,
        signed: &crate::wire::SignedBytes<MAX>,
    ) -> Result<MemberId, RosterError> {
        let checked = check_card(signed)?;
        let id = *self
            .keys
            .get(checked.root_key.as_bytes())
            .ok_or(RosterError::NotAMember)?;
        let member = self.members.get_mut(&id).ok_or(RosterError::NotAMember)?;
        let what = format!("the card of {}", checked.card.slug);
        if member.root_key != checked.root_key {
            return Err(contradiction(&what, "its root key was replaced"));
        }
        if member.slug != checked.card.slug || member.role != checked.card.role {
            return Err(contradiction(
                &what,
                "slug and role are for the roster to change",
            ));
        }
        // Of two cards of one moment that with the greater id, as everywhere.
        if (checked.card.created_ms, checked.id) <= (member.card_created_ms, member.card) {
            return Err(RosterError::Superseded);
        }
        member.take_card(&checked);
        Ok(id)
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

    /// Its id; of epoch 0, the federation's.
    pub const fn id(&self) -> RosterId {
        self.id
    }

    /// When it was proposed, in milliseconds UTC.
    pub const fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// Members of earlier rosters, as they last were.
    pub fn former_members(&self) -> impl Iterator<Item = &Member> {
        self.former.values()
    }

    /// A member of this or an earlier roster.
    pub fn present_or_former(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id).or_else(|| self.former.get(id))
    }

    /// The member whose root key this is now.
    pub fn member_of_root(&self, key: &[u8; 32]) -> Option<&Member> {
        self.members
            .values()
            .find(|member| member.root_key.as_bytes() == key)
    }

    /// Each community and who may change it.
    pub fn communities(&self) -> impl Iterator<Item = (&str, &CommunityRule)> {
        self.communities
            .iter()
            .map(|(name, rule)| (name.as_str(), rule))
    }

    /// Up to where a stream counts whose author was expelled, or whose root was
    /// replaced. Nothing of another stream of an expelled member counts.
    pub fn cut(&self, stream: &StreamId) -> Option<&Cut> {
        self.cuts.get(stream)
    }

    /// How many members it takes, for what.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds::of(self.members.len())
    }

    /// Whether a commit of the next roster is held.
    pub fn holds_commit(&self, commit: &HeldCommit) -> bool {
        self.commits.contains(commit)
    }

    /// A commit of the next roster is held from now on, or no longer.
    pub(crate) fn note_commit(&mut self, commit: HeldCommit, is_held: bool) {
        if is_held {
            self.commits.insert(commit);
        } else {
            self.commits.remove(&commit);
        }
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
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
