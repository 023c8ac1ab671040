//! What a change does to a roster, and when it holds.

use super::error::contradiction;
use super::genesis::check_card;
use super::{Member, Roster, RosterError, strings};
use crate::ids::MemberId;
use crate::limits::{COMMUNITIES_KNOWN_MAX, MEMBERS_MAX};
use crate::wire::roster::{Change, Communities, CommunityRule, Cut, RosterStatement};
use crate::wire::{List, StreamId};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_crypto::PublicKey;

const WHAT: &str = "the roster";

/// A roster while its changes are made.
pub(super) struct Changed {
    pub(super) roster: Roster,
    /// The roots that are new with it.
    pub(super) new_roots: BTreeSet<[u8; 32]>,
    /// The communities whose members or rule it changes otherwise than by an
    /// expulsion.
    pub(super) touched: BTreeSet<String>,
    /// Members that a change has named: no second one may.
    named: BTreeSet<MemberId>,
}

impl Changed {
    /// What the changes of a statement make of a roster.
    pub(super) fn by(before: &Roster, statement: &RosterStatement) -> Result<Self, RosterError> {
        if statement.changes.is_empty() {
            return Err(contradiction(WHAT, "it changes nothing"));
        }
        let mut changed = Self {
            roster: before.clone(),
            new_roots: BTreeSet::new(),
            touched: BTreeSet::new(),
            named: BTreeSet::new(),
        };
        changed.roster.epoch = statement.epoch;
        changed.roster.commits.clear();
        for change in statement.changes.iter() {
            changed.apply(change)?;
        }
        changed.close()?;
        Ok(changed)
    }

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
                self.forget_revocations(member);
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
                self.forget_revocations(member);
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

    /// What a root said that is none any more: who comes later takes nothing of it.
    fn forget_revocations(&mut self, member: &MemberId) {
        self.roster.revoked.retain(|(of, _), _| of != member);
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
