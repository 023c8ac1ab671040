//! What may become the next roster: proposals, votes, and whether one is decided.

use super::NotNews;
use crate::gate::Slot;
use crate::ids::{MemberId, RosterId};
use crate::roster::{Ballot, Cast, Lack, Roster, Step, Successor, VoteRefusal};
use crate::wire::roster::{Link, Vote, VoteBy, VoteLine};
use crate::wire::{Bytes, List};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_crypto::Verified;

/// Proposals and votes about one epoch.
#[derive(Clone, Debug, Default)]
pub struct Deliberation {
    candidates: BTreeMap<RosterId, Candidate>,
    ballot: Ballot<MemberId, RosterId>,
    /// The roots' signatures, by what they are for and in which round.
    commits: BTreeMap<(RosterId, u32), BTreeMap<[u8; 32], VoteLine>>,
}

/// A roster that is proposed.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it would be.
    pub successor: Successor,
    consents: BTreeMap<[u8; 32], VoteLine>,
}

impl Candidate {
    /// The new roots that consented.
    pub fn consents(&self) -> BTreeSet<[u8; 32]> {
        self.consents.keys().copied().collect()
    }
}

impl Deliberation {
    /// Takes a proposal. Of one proposer the newest stays, and whatever somebody
    /// has a vote for.
    pub(super) fn propose(&mut self, successor: &Successor) -> Result<Vec<Slot>, NotNews> {
        let said = successor.statement();
        let order = |of: &Successor| (of.statement().created_ms, of.id());
        let mut dropped = Vec::new();
        let pinned = self.pinned();
        for (id, other) in &self.candidates {
            if other.successor.statement().proposer != said.proposer || pinned.contains(id) {
                continue;
            }
            if order(&other.successor) > order(successor) && !pinned.contains(&successor.id()) {
                return Err(NotNews::TooMany);
            }
            dropped.push(*id);
        }
        for id in &dropped {
            self.candidates.remove(id);
        }
        self.candidates.insert(
            successor.id(),
            Candidate {
                successor: successor.clone(),
                consents: BTreeMap::new(),
            },
        );
        Ok(dropped.into_iter().map(Slot::Proposal).collect())
    }

    /// What the latest votes are for: at most two a member and step.
    fn pinned(&self) -> BTreeSet<RosterId> {
        self.ballot.latest().copied().collect()
    }

    pub(super) fn vote(&mut self, vote: &Verified<Vote>, member: MemberId) -> Result<(), NotNews> {
        let said = vote.value();
        let step = match &said.by {
            VoteBy::Prepare { .. } => Step::Prepare,
            VoteBy::Commit { .. } => Step::Commit,
            VoteBy::Consent { .. } => return Err(NotNews::NoProposal),
        };
        match self.ballot.cast(step, member, said.round, said.roster) {
            Cast::New | Cast::Second | Cast::Known => {}
            Cast::TooMany => return Err(NotNews::TooMany),
        }
        if let VoteBy::Commit { key } = &said.by {
            let line = line(*key, vote);
            self.commits
                .entry((said.roster, said.round))
                .or_default()
                .insert(*key, line);
        }
        Ok(())
    }

    pub(super) fn consent(&mut self, vote: &Verified<Vote>) -> Result<(), NotNews> {
        let said = vote.value();
        let VoteBy::Consent { key } = &said.by else {
            return Err(NotNews::NoProposal);
        };
        let candidate = self
            .candidates
            .get_mut(&said.roster)
            .filter(|candidate| candidate.successor.new_roots().contains(key))
            .ok_or(NotNews::NoProposal)?;
        candidate.consents.insert(*key, line(*key, vote));
        Ok(())
    }

    /// The rosters that are proposed, ascending by id.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.values()
    }

    /// One of them.
    pub fn candidate(&self, id: &RosterId) -> Option<&Candidate> {
        self.candidates.get(id)
    }

    /// The votes.
    pub const fn ballot(&self) -> &Ballot<MemberId, RosterId> {
        &self.ballot
    }

    /// What a candidate lacks in a round.
    pub fn lacks(&self, candidate: &Candidate, round: u32) -> Vec<Lack> {
        let id = candidate.successor.id();
        let commits: BTreeSet<MemberId> = self
            .ballot
            .voters(Step::Commit, round, &id)
            .copied()
            .collect();
        candidate.successor.lacks(&commits, &candidate.consents())
    }

    /// The link that follows, if a candidate is decided.
    pub fn decided(&self, roster: &Roster) -> Option<Link> {
        self.candidates
            .values()
            .find_map(|candidate| self.link_of(candidate, roster))
    }

    fn link_of(&self, candidate: &Candidate, roster: &Roster) -> Option<Link> {
        let id = candidate.successor.id();
        let round = self.ballot.decided_in(&id, roster.thresholds().votes())?;
        if !self.lacks(candidate, round).is_empty() {
            return None;
        }
        let commits = self
            .commits
            .get(&(id, round))?
            .values()
            .filter(|line| roster.member_of_root(&line.key).is_some())
            .copied()
            .collect();
        Some(Link {
            roster: Bytes::new(candidate.successor.bytes().to_vec()).ok()?,
            round,
            commits: List::new(commits).ok()?,
            consents: List::new(candidate.consents.values().copied().collect()).ok()?,
        })
    }

    /// Whether a member may prepare a candidate in a round.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_prepare(
        &self,
        roster: &Roster,
        member: &MemberId,
        round: u32,
        id: &RosterId,
    ) -> Result<(), VoteRefusal> {
        let candidate = self.candidates.get(id).ok_or(VoteRefusal::NotHeld)?;
        if candidate.consents.len() < candidate.successor.new_roots().len() {
            return Err(VoteRefusal::NoConsent);
        }
        self.ballot
            .may_prepare(member, round, id, roster.thresholds())
    }

    /// Whether a member may commit a candidate in a round.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_commit(
        &self,
        roster: &Roster,
        member: &MemberId,
        round: u32,
        id: &RosterId,
    ) -> Result<(), VoteRefusal> {
        if !self.candidates.contains_key(id) {
            return Err(VoteRefusal::NotHeld);
        }
        self.ballot
            .may_commit(member, round, id, roster.thresholds())
    }
}

fn line(key: [u8; 32], vote: &Verified<Vote>) -> VoteLine {
    VoteLine {
        key,
        signature: vote.signature().to_bytes(),
    }
}
