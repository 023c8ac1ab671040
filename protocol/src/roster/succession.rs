//! From one roster to the next: what a proposal would change, what it still
//! lacks, and whether a link of the chain holds.
//!
//! All of it follows from the chain alone: no clock, and no certificate that one
//! node happens to know and another does not, so every node that holds the same
//! links holds the same roster.

use super::error::{contradiction, malformed, too_long};
use super::genesis::check_card;
use super::{Member, Roster, RosterError, Thresholds, strings};
use crate::ids::{CertificateId, MemberId, RosterId};
use crate::limits::{COMMUNITIES_KNOWN_MAX, MEMBERS_MAX, ROUNDS_MAX};
use crate::wire::roster::{
    Change, Communities, CommunityRule, Cut, Link, MemberLine, RosterState, RosterStatement, Vote,
    VoteBy, VoteLine,
};
use crate::wire::{List, StreamId, Text, codec};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_crypto::{PublicKey, Statement, Verified};

/// What a proposal is made of.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Who proposes it.
    pub proposer: MemberId,
    /// The certificate of the node that signs it.
    pub certificate: CertificateId,
    /// When, in milliseconds UTC.
    pub created_ms: u64,
    /// Why, for the people who vote.
    pub reason: String,
    /// What changes.
    pub changes: Vec<Change>,
}

/// A roster that would follow, if it is voted for.
#[derive(Clone, Debug)]
pub struct Successor {
    id: RosterId,
    statement: RosterStatement,
    bytes: Vec<u8>,
    before: Box<Roster>,
    roster: Roster,
    /// The roots that are new with it.
    new_roots: BTreeSet<[u8; 32]>,
    /// The communities whose members or rule it changes otherwise than by an
    /// expulsion.
    touched: BTreeSet<String>,
}

/// Something without which a roster is not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Votes of members.
    Votes {
        /// How many it has.
        have: usize,
        /// How many it needs.
        need: usize,
    },
    /// The consent of a key that enters.
    Consent {
        /// Of whom.
        slug: String,
        /// Which key.
        key: [u8; 32],
    },
    /// Votes of a community whose rule asks for them.
    Community {
        /// Which.
        name: String,
        /// How many it has.
        have: usize,
        /// How many it needs.
        need: usize,
    },
}

const WHAT: &str = "the roster";

impl Roster {
    /// What this roster says, as its hash is made.
    pub fn state(&self) -> RosterState {
        RosterState {
            epoch: self.epoch,
            members: self
                .members
                .values()
                .map(|member| MemberLine {
                    member: member.id,
                    slug: member.slug.clone(),
                    root_key: member.root_key.to_bytes(),
                    role: member.role,
                    communities: member.communities.clone(),
                })
                .collect(),
            communities: self
                .communities
                .iter()
                .map(|(name, rule)| (name.clone(), rule.clone()))
                .collect(),
            former: self.former.keys().copied().collect(),
        }
    }

    /// Makes the statement of a roster that follows this one.
    ///
    /// # Errors
    /// When a change does not hold, or something is too long.
    pub fn propose(&self, proposal: Proposal) -> Result<Successor, RosterError> {
        let changes = List::new(proposal.changes).map_err(too_long("the list of changes"))?;
        let mut statement = RosterStatement {
            federation: self.federation,
            epoch: self.epoch.saturating_add(1),
            previous: self.id,
            proposer: proposal.proposer,
            certificate: proposal.certificate,
            created_ms: proposal.created_ms.max(self.created_ms),
            reason: Text::new(proposal.reason).map_err(too_long("the reason"))?,
            changes,
            result: [0; 32],
        };
        statement.result = self.changed_by(&statement)?.roster.state().digest();
        self.successor(&codec::encode(&statement))
    }

    /// Reads a statement as a roster that follows this one. It says nothing about
    /// who signed or voted for it.
    ///
    /// # Errors
    /// When it does not continue this roster, or a change does not hold.
    pub fn successor(&self, bytes: &[u8]) -> Result<Successor, RosterError> {
        let statement = RosterStatement::parse(bytes).map_err(malformed(WHAT))?;
        if statement.federation != self.federation {
            return Err(contradiction(WHAT, "it is of another federation"));
        }
        if Some(statement.epoch) != self.epoch.checked_add(1) || statement.previous != self.id {
            return Err(RosterError::NotNext {
                epoch: statement.epoch,
                held: self.epoch,
            });
        }
        if statement.created_ms < self.created_ms {
            return Err(contradiction(WHAT, "it is older than the one before"));
        }
        let changed = self.changed_by(&statement)?;
        if changed.roster.state().digest() != statement.result {
            return Err(contradiction(WHAT, "its changes do not give what it says"));
        }
        let mut roster = changed.roster;
        roster.id = RosterStatement::id_of(bytes);
        roster.created_ms = statement.created_ms;
        Ok(Successor {
            id: roster.id,
            statement,
            bytes: bytes.to_vec(),
            before: Box::new(self.clone()),
            roster,
            new_roots: changed.new_roots,
            touched: changed.touched,
        })
    }

    /// The roster that a link of the chain makes of this one.
    ///
    /// # Errors
    /// When it does not continue this one, or too few have signed it.
    pub fn follow(&self, link: &Link) -> Result<Self, RosterError> {
        let successor = self.successor(link.roster.as_slice())?;
        if !(1..=ROUNDS_MAX).contains(&link.round) {
            return Err(contradiction(WHAT, "its round is none"));
        }
        let mut commits = BTreeSet::new();
        for line in lines(&link.commits)? {
            let by = VoteBy::Commit { key: line.key };
            check_line(line, &successor.vote(link.round, by))?;
            let member = self
                .member_of_root(&line.key)
                .ok_or_else(|| contradiction(WHAT, "somebody voted who may not"))?;
            commits.insert(member.id);
        }
        let mut consents = BTreeSet::new();
        for line in lines(&link.consents)? {
            let by = VoteBy::Consent { key: line.key };
            check_line(line, &successor.vote(0, by))?;
            consents.insert(line.key);
        }
        match successor.lacks(&commits, &consents).first() {
            Some(lack) => Err(RosterError::Undecided {
                lack: lack.to_string(),
            }),
            None => Ok(successor.roster),
        }
    }

    /// Checks a vote's form against the roster it is about: who may cast it, and
    /// for whom it counts.
    ///
    /// # Errors
    /// When whoever signed it may not vote so.
    pub fn voter(&self, vote: &Verified<Vote>) -> Result<MemberId, RosterError> {
        let said = vote.value();
        if said.federation != self.federation {
            return Err(contradiction("the vote", "it is of another federation"));
        }
        if Some(said.epoch) != self.epoch.checked_add(1) {
            return Err(RosterError::NotNext {
                epoch: said.epoch,
                held: self.epoch,
            });
        }
        if !(1..=ROUNDS_MAX).contains(&said.round) {
            return Err(contradiction("the vote", "its round is none"));
        }
        let member = match &said.by {
            VoteBy::Commit { key } => self
                .member_of_root(key)
                .filter(|_| vote.signer().as_bytes() == key)
                .map(|member| member.id),
            VoteBy::Prepare { certificate } => self
                .certificate(certificate)
                .filter(|certificate| certificate.signing_key == *vote.signer())
                .map(|certificate| certificate.member)
                .filter(|member| self.members.contains_key(member)),
            VoteBy::Consent { .. } => None,
        };
        member.ok_or(RosterError::NotAMember)
    }

    fn changed_by(&self, statement: &RosterStatement) -> Result<Changed, RosterError> {
        if statement.changes.is_empty() {
            return Err(contradiction(WHAT, "it changes nothing"));
        }
        let mut changed = Changed {
            roster: self.clone(),
            new_roots: BTreeSet::new(),
            touched: BTreeSet::new(),
            named: BTreeSet::new(),
        };
        changed.roster.epoch = statement.epoch;
        for change in statement.changes.iter() {
            changed.apply(change)?;
        }
        changed.close()?;
        Ok(changed)
    }
}

fn lines<const MAX: usize>(list: &List<VoteLine, MAX>) -> Result<&[VoteLine], RosterError> {
    let ascends = list
        .as_slice()
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.key < b.key));
    if ascends {
        Ok(list.as_slice())
    } else {
        Err(contradiction(WHAT, "its votes are not in ascending order"))
    }
}

fn check_line(line: &VoteLine, vote: &Vote) -> Result<(), RosterError> {
    line.verify(vote)
        .map(|_| ())
        .map_err(|_| RosterError::Signature {
            what: "a vote for the roster".to_owned(),
        })
}

/// A roster while its changes are made.
struct Changed {
    roster: Roster,
    new_roots: BTreeSet<[u8; 32]>,
    touched: BTreeSet<String>,
    /// Members that a change has named: no second one may.
    named: BTreeSet<MemberId>,
}

impl Changed {
    fn apply(&mut self, change: &Change) -> Result<(), RosterError> {
        match change {
            Change::Admit { card, communities } => {
                let checked = check_card(card)?;
                let certificate = &checked.certificate;
                for key in [
                    *checked.root_key.as_bytes(),
                    *certificate.signing_key.as_bytes(),
                    certificate.transport_key,
                ] {
                    self.is_new_key(&key, checked.card.slug.as_str())?;
                }
                let communities = self.communities_of(communities)?;
                self.touched.extend(communities.iter().cloned());
                let member = Member::of(&checked, communities);
                self.name(member.id)?;
                self.new_roots.insert(checked.card.root_key);
                self.roster.enter(member, checked.certificate);
            }
            Change::Expel { member, cuts } => {
                let expelled = self.current(member)?;
                self.cut(&expelled, cuts)?;
                self.roster.members.remove(member);
                self.roster.end_term(member);
                self.roster.former.insert(*member, expelled);
                self.forget_in_rules(member);
            }
            Change::Rekey {
                member,
                root_key,
                cuts,
            } => {
                let mut rekeyed = self.current(member)?;
                self.cut(&rekeyed, cuts)?;
                self.is_new_key(root_key, rekeyed.slug.as_str())?;
                let key = PublicKey::enrol(root_key)
                    .map_err(|why| contradiction(WHAT, why.to_string()))?;
                rekeyed.root_key = key;
                // A card of the former root says nothing any more.
                rekeyed.card_created_ms = 0;
                self.roster.keys.insert(*root_key, *member);
                self.roster.roots.insert(*root_key);
                self.new_roots.insert(*root_key);
                self.roster.begin_term(&rekeyed);
                self.roster.members.insert(*member, rekeyed);
            }
            Change::Settle {
                member,
                role,
                communities,
            } => {
                let mut settled = self.current(member)?;
                let communities = self.communities_of(communities)?;
                let before: BTreeSet<&String> = settled.communities.iter().collect();
                let after: BTreeSet<&String> = communities.iter().collect();
                self.touched.extend(
                    before
                        .symmetric_difference(&after)
                        .map(|name| (*name).clone()),
                );
                settled.communities.clone_from(&communities);
                settled.role = *role;
                self.roster.begin_term(&settled);
                self.roster.members.insert(*member, settled);
            }
            Change::Community { name, rule } => self.set_rule(name.as_str(), rule)?,
        }
        Ok(())
    }

    /// A member that no change has named yet.
    fn current(&mut self, member: &MemberId) -> Result<Member, RosterError> {
        self.name(*member)?;
        self.roster
            .members
            .get(member)
            .cloned()
            .ok_or(RosterError::NotAMember)
    }

    fn name(&mut self, member: MemberId) -> Result<(), RosterError> {
        if self.named.insert(member) {
            Ok(())
        } else {
            Err(contradiction(WHAT, "two changes name one member"))
        }
    }

    fn is_new_key(&self, key: &[u8; 32], slug: &str) -> Result<(), RosterError> {
        match self.roster.keys.get(key) {
            None => Ok(()),
            Some(owner) => Err(RosterError::Shared {
                first: self
                    .roster
                    .present_or_former(owner)
                    .map_or_else(|| owner.short(), |owner| owner.slug.to_string()),
                second: slug.to_owned(),
                what: "key",
            }),
        }
    }

    fn communities_of(&self, communities: &Communities) -> Result<Vec<String>, RosterError> {
        if !communities.is_set() {
            return Err(contradiction(
                WHAT,
                "communities are not in ascending order",
            ));
        }
        let names = strings(communities);
        match names
            .iter()
            .find(|name| !self.roster.communities.contains_key(*name))
        {
            Some(unknown) => Err(contradiction(
                WHAT,
                format!("there is no community {unknown}; a change before this one can begin it"),
            )),
            None => Ok(names),
        }
    }

    fn set_rule(&mut self, name: &str, rule: &CommunityRule) -> Result<(), RosterError> {
        if name.is_empty() {
            return Err(contradiction(WHAT, "a community has no name"));
        }
        if let CommunityRule::Named { members, of } = rule {
            let is_good = members.is_set()
                && (1..=members.len()).contains(&usize::from(*of))
                && members
                    .iter()
                    .all(|member| self.roster.members.contains_key(member));
            if !is_good {
                return Err(contradiction(
                    WHAT,
                    format!("the rule of {name} does not name members of whom so many can agree"),
                ));
            }
        }
        self.touched.insert(name.to_owned());
        self.roster
            .communities
            .insert(name.to_owned(), rule.clone());
        if self.roster.communities.len() > COMMUNITIES_KNOWN_MAX {
            return Err(contradiction(WHAT, "there are too many communities"));
        }
        Ok(())
    }

    /// Who was expelled has no say in a rule; where too few are left to follow
    /// one, the federation's quorum does.
    fn forget_in_rules(&mut self, expelled: &MemberId) {
        for rule in self.roster.communities.values_mut() {
            let CommunityRule::Named { members, of } = rule else {
                continue;
            };
            let left: Vec<MemberId> = members
                .iter()
                .filter(|member| *member != expelled)
                .copied()
                .collect();
            if left.len() == members.len() {
                continue;
            }
            *rule = match List::new(left) {
                Ok(left) if left.len() >= usize::from(*of) => CommunityRule::Named {
                    members: left,
                    of: *of,
                },
                Ok(_) | Err(_) => CommunityRule::Federation,
            };
        }
    }

    fn cut<const MAX: usize>(
        &mut self,
        member: &Member,
        cuts: &List<Cut, MAX>,
    ) -> Result<(), RosterError> {
        if !cuts.is_set() {
            return Err(contradiction(WHAT, "its cuts are not in ascending order"));
        }
        let mut seen: BTreeMap<StreamId, u64> = BTreeMap::new();
        for cut in cuts.iter() {
            let stream = StreamId {
                node: cut.node,
                incarnation: cut.incarnation,
                tag: cut.tag,
            };
            if seen.insert(stream, cut.sequence).is_some() {
                return Err(contradiction(
                    WHAT,
                    format!("two cuts of {} are of one stream", member.slug),
                ));
            }
            self.roster.cuts.insert(stream, *cut);
        }
        Ok(())
    }

    /// What must hold of the whole once every change is made.
    fn close(&self) -> Result<(), RosterError> {
        let members = &self.roster.members;
        if !(2..=MEMBERS_MAX).contains(&members.len()) {
            return Err(RosterError::Size {
                members_max: MEMBERS_MAX,
            });
        }
        let mut slugs: BTreeMap<&str, &Member> = BTreeMap::new();
        for member in members.values() {
            if let Some(other) = slugs.insert(member.slug.as_str(), member) {
                return Err(RosterError::Shared {
                    first: other.slug.to_string(),
                    second: member.slug.to_string(),
                    what: "slug",
                });
            }
        }
        Ok(())
    }
}

impl Successor {
    /// Its id.
    pub const fn id(&self) -> RosterId {
        self.id
    }

    /// Its number.
    pub const fn epoch(&self) -> u64 {
        self.statement.epoch
    }

    /// What it says.
    pub const fn statement(&self) -> &RosterStatement {
        &self.statement
    }

    /// The bytes that are signed and voted for.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The roster it would be; not to be acted on before it is decided.
    pub const fn would_be(&self) -> &Roster {
        &self.roster
    }

    /// The roots that are new with it, ascending.
    pub const fn new_roots(&self) -> &BTreeSet<[u8; 32]> {
        &self.new_roots
    }

    /// The vote for it by this key in this round.
    pub const fn vote(&self, round: u32, by: VoteBy) -> Vote {
        Vote {
            federation: self.statement.federation,
            epoch: self.statement.epoch,
            roster: self.id,
            round,
            by,
        }
    }

    /// What it lacks, when these members of the roster before committed it in one
    /// round and these new keys consented. Nothing when it is decided.
    pub fn lacks(&self, commits: &BTreeSet<MemberId>, consents: &BTreeSet<[u8; 32]>) -> Vec<Lack> {
        let mut lacks = Vec::new();
        let need = self.before.thresholds().votes();
        if commits.len() < need {
            lacks.push(Lack::Votes {
                have: commits.len(),
                need,
            });
        }
        for key in self.new_roots.difference(consents) {
            let slug = self
                .roster
                .member_of_root(key)
                .map_or_else(String::new, |member| member.slug.to_string());
            lacks.push(Lack::Consent { slug, key: *key });
        }
        for name in &self.touched {
            let Some(rule) = self.before.communities.get(name) else {
                continue;
            };
            let (who, need) = self.asked_by(name, rule);
            let have = who.intersection(commits).count();
            if have < need {
                lacks.push(Lack::Community {
                    name: name.clone(),
                    have,
                    need,
                });
            }
        }
        lacks
    }

    /// Whom a community's rule asks, and how many of them.
    fn asked_by(&self, name: &str, rule: &CommunityRule) -> (BTreeSet<MemberId>, usize) {
        match rule {
            CommunityRule::Federation => (BTreeSet::new(), 0),
            CommunityRule::Own => {
                let own: BTreeSet<MemberId> = self
                    .before
                    .members
                    .values()
                    .filter(|member| member.communities.iter().any(|own| own == name))
                    .map(|member| member.id)
                    .collect();
                let need = if own.is_empty() {
                    0
                } else {
                    Thresholds::of(own.len()).votes()
                };
                (own, need)
            }
            CommunityRule::Named { members, of } => {
                (members.iter().copied().collect(), usize::from(*of))
            }
        }
    }
}

impl core::fmt::Display for Lack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Votes { have, need } => write!(f, "{have} of {need} votes"),
            Self::Consent { slug, .. } => write!(f, "the signature of {slug}'s new root"),
            Self::Community { name, have, need } => {
                write!(f, "{have} of {need} votes that the rule of {name} asks for")
            }
        }
    }
}
