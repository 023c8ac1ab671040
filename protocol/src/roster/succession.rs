//! From one roster to the next: what a proposal would change, what it still
//! lacks, and whether a link of the chain holds.
//!
//! All of it follows from the chain alone: no clock, and no certificate that one
//! node happens to know and another does not, so every node that holds the same
//! links holds the same roster.

use super::changes::Changed;
use super::error::{contradiction, malformed, too_long};
use super::{Roster, RosterError, Thresholds};
use crate::ids::{CertificateId, MemberId, RosterId};
use crate::limits::ROUNDS_MAX;
use crate::wire::roster::{
    Change, CommunityRule, Link, MemberLine, RosterState, RosterStatement, Vote, VoteBy, VoteLine,
};
use crate::wire::{List, Text, codec};
use std::collections::BTreeSet;
use std::sync::Arc;
use watchfire_crypto::{Statement, Verified};

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
    roster: Arc<Roster>,
    /// How many members of the roster before must commit it.
    votes_needed: usize,
    /// The roots that are new with it.
    new_roots: BTreeSet<[u8; 32]>,
    /// The communities whose members or rule it changes otherwise than by an
    /// expulsion.
    asked: Vec<Asked>,
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
    /// The consent of a root that enters.
    Consent {
        /// Of whom.
        slug: String,
        /// Which key.
        key: [u8; 32],
    },
    /// The consent of a community whose rule asks for it.
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
        statement.result = Changed::by(self, &statement)?.roster.state().digest();
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
        let changed = Changed::by(self, &statement)?;
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
            roster: Arc::new(roster),
            votes_needed: self.thresholds().votes(),
            new_roots: changed.new_roots,
            asked: asked_in(self, &changed.touched),
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
            None => Ok(Arc::unwrap_or_clone(successor.roster)),
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
    pub fn would_be(&self) -> &Roster {
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

    /// Whose consent it may need: the roots that are new with it, and those that a
    /// community's rule asks.
    pub fn may_consent(&self, key: &[u8; 32]) -> bool {
        self.new_roots.contains(key) || self.asked.iter().any(|asked| asked.roots.contains(key))
    }

    /// Which consents it lacks. Votes come after them: a quorum that had committed
    /// something which a community, or a new root, then does not agree to could
    /// commit nothing else any more.
    pub fn lacks_consents(&self, consents: &BTreeSet<[u8; 32]>) -> Vec<Lack> {
        let new_roots = self.new_roots.difference(consents).map(|key| {
            let slug = self
                .roster
                .member_of_root(key)
                .map_or_else(String::new, |member| member.slug.to_string());
            Lack::Consent { slug, key: *key }
        });
        let communities = self.asked.iter().filter_map(|asked| {
            let have = asked.roots.intersection(consents).count();
            (have < asked.need).then(|| Lack::Community {
                name: asked.name.clone(),
                have,
                need: asked.need,
            })
        });
        new_roots.chain(communities).collect()
    }

    /// What it lacks, when these members of the roster before committed it in one
    /// round and these keys consented. Nothing when it is decided.
    pub fn lacks(&self, commits: &BTreeSet<MemberId>, consents: &BTreeSet<[u8; 32]>) -> Vec<Lack> {
        let votes = (commits.len() < self.votes_needed).then_some(Lack::Votes {
            have: commits.len(),
            need: self.votes_needed,
        });
        votes
            .into_iter()
            .chain(self.lacks_consents(consents))
            .collect()
    }
}

/// A community whose rule must be met.
#[derive(Clone, Debug)]
struct Asked {
    name: String,
    /// The roots that may say so for it.
    roots: BTreeSet<[u8; 32]>,
    /// How many of them.
    need: usize,
}

/// What the rules of these communities ask in the roster before.
fn asked_in(before: &Roster, touched: &BTreeSet<String>) -> Vec<Asked> {
    let root_of = |member: &MemberId| {
        before
            .member(member)
            .map(|member| member.root_key.to_bytes())
    };
    touched
        .iter()
        .filter_map(|name| {
            let (roots, need): (BTreeSet<[u8; 32]>, usize) = match before.communities.get(name)? {
                CommunityRule::Federation => return None,
                CommunityRule::Own => {
                    let roots: BTreeSet<[u8; 32]> = before
                        .members()
                        .filter(|member| member.communities.contains(name))
                        .map(|member| member.root_key.to_bytes())
                        .collect();
                    let need = if roots.is_empty() {
                        0
                    } else {
                        Thresholds::of(roots.len()).votes()
                    };
                    (roots, need)
                }
                CommunityRule::Named { members, of } => (
                    members.iter().filter_map(root_of).collect(),
                    usize::from(*of),
                ),
            };
            Some(Asked {
                name: name.clone(),
                roots,
                need,
            })
        })
        .collect()
}

impl core::fmt::Display for Lack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Votes { have, need } => write!(f, "{have} of {need} votes"),
            Self::Consent { slug, .. } => write!(f, "the signature of {slug}'s new root"),
            Self::Community { name, have, need } => {
                write!(
                    f,
                    "{have} of {need} consents that the rule of {name} asks for"
                )
            }
        }
    }
}
