//! What may become the next roster: proposals, votes, and whether one is decided.

use super::NotNews;
use crate::gate::Slot;
use crate::ids::{CertificateId, MemberId, RosterId};
use crate::limits::{FRAME_BYTES_MAX, ROUNDS_AHEAD_MAX};
use crate::roster::{Ballot, Cast, Lack, Roster, Step, Successor, Thresholds, VoteRefusal};
use crate::wire::envelope::body_of;
use crate::wire::roster::{Link, Vote, VoteBy, VoteFrame, VoteLine};
use crate::wire::{Bytes, Kind, List, codec};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_crypto::Verified;

/// Proposals and votes about one epoch.
#[derive(Clone, Debug, Default)]
pub struct Deliberation {
    candidates: BTreeMap<RosterId, Candidate>,
    ballot: Ballot<MemberId, RosterId>,
    /// The highest round that each member signed a vote in, also one too far ahead
    /// to be taken: whoever comes when all votes are far from the first round
    /// learns from these where votes are.
    reached: BTreeMap<MemberId, u32>,
    /// The roots' signatures, by what they are for and in which round: those of
    /// the ballot's commits and no more.
    commits: BTreeMap<(RosterId, u32), BTreeMap<MemberId, VoteLine>>,
    /// The nodes' signatures, likewise: a commit carries them.
    prepares: BTreeMap<(RosterId, u32), BTreeMap<MemberId, VoteLine>>,
}

/// A roster that is proposed.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it would be.
    pub successor: Successor,
    consents: BTreeMap<[u8; 32], VoteLine>,
}

impl Candidate {
    /// The roots that consented: new ones, and those that communities ask.
    pub fn consents(&self) -> BTreeSet<[u8; 32]> {
        self.consents.keys().copied().collect()
    }
}

impl Deliberation {
    /// Takes a proposal. Of one proposer the newest stays, and whatever somebody's
    /// latest vote is for.
    pub(super) fn propose(&mut self, successor: &Successor) -> Result<Vec<Slot>, NotNews> {
        self.candidates.insert(
            successor.id(),
            Candidate {
                successor: successor.clone(),
                consents: BTreeMap::new(),
            },
        );
        let dropped = self.sweep();
        if self.candidates.contains_key(&successor.id()) {
            Ok(dropped)
        } else {
            Err(NotNews::TooMany)
        }
    }

    /// Drops proposals that nothing keeps, and the consents to them: they count
    /// again when the proposal comes back.
    fn sweep(&mut self) -> Vec<Slot> {
        let pinned: BTreeSet<RosterId> = self.ballot.latest().copied().collect();
        let mut newest: BTreeMap<MemberId, (u64, RosterId)> = BTreeMap::new();
        for (id, candidate) in &self.candidates {
            let said = candidate.successor.statement();
            let of_proposer = newest
                .entry(said.proposer)
                .or_insert((said.created_ms, *id));
            *of_proposer = (*of_proposer).max((said.created_ms, *id));
        }
        let kept: BTreeSet<RosterId> = newest.values().map(|(_, id)| *id).collect();
        let mut dropped = Vec::new();
        self.candidates.retain(|id, candidate| {
            let is_kept = kept.contains(id) || pinned.contains(id);
            if !is_kept {
                dropped.push(Slot::Proposal(*id));
                let consent = |key: &[u8; 32]| Slot::Vote(VoteBy::Consent { key: *key }, 0, *id);
                dropped.extend(candidate.consents.keys().map(consent));
            }
            is_kept
        });
        dropped
    }

    /// Takes a vote, and gives the proposals that no latest vote is for any more.
    pub(super) fn vote(
        &mut self,
        vote: &Verified<Vote>,
        member: MemberId,
        thresholds: Thresholds,
    ) -> Result<Vec<Slot>, NotNews> {
        let said = vote.value();
        let step = step_of(&said.by).ok_or(NotNews::NoProposal)?;
        let reached = self.reached.entry(member).or_default();
        *reached = (*reached).max(said.round);
        if said.round
            > self
                .reached_by_enough(thresholds)
                .saturating_add(ROUNDS_AHEAD_MAX)
        {
            return Err(NotNews::TooFar);
        }
        match self.ballot.cast(step, member, said.round, said.roster) {
            Cast::New | Cast::Second | Cast::Known => {}
            Cast::TooMany => return Err(NotNews::TooMany),
        }
        let (key, kept) = match &said.by {
            VoteBy::Commit { key } => (*key, &mut self.commits),
            VoteBy::Prepare { certificate } => (*certificate.as_bytes(), &mut self.prepares),
            VoteBy::Consent { .. } => return Err(NotNews::NoProposal),
        };
        kept.entry((said.roster, said.round))
            .or_default()
            .insert(member, line(key, vote));
        let ballot = &self.ballot;
        kept.retain(|(roster, round), lines| {
            lines.retain(|voter, _| ballot.is_cast(step, voter, *round, roster));
            !lines.is_empty()
        });
        Ok(self.sweep())
    }

    /// The highest round that more members have reached than may lie.
    fn reached_by_enough(&self, thresholds: Thresholds) -> u32 {
        let mut rounds: Vec<u32> = self.reached.values().copied().collect();
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        rounds.get(thresholds.faults()).copied().unwrap_or(1)
    }

    /// Whether the vote of a slot, which this member cast, is still kept.
    pub(super) fn keeps(&self, slot: &Slot, member: &MemberId) -> bool {
        let Slot::Vote(by, round, id) = slot else {
            return true;
        };
        step_of(by).is_none_or(|step| self.ballot.is_cast(step, member, *round, id))
    }

    pub(super) fn consent(&mut self, vote: &Verified<Vote>) -> Result<(), NotNews> {
        let said = vote.value();
        let VoteBy::Consent { key } = &said.by else {
            return Err(NotNews::NoProposal);
        };
        let candidate = self
            .candidates
            .get_mut(&said.roster)
            .filter(|candidate| candidate.successor.may_consent(key))
            .ok_or(NotNews::NoProposal)?;
        candidate.consents.insert(*key, line(*key, vote));
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn commit_lines(&self) -> usize {
        self.commits.values().map(BTreeMap::len).sum()
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
        let ((_, round), lines) = self
            .commits
            .range((id, 0)..=(id, u32::MAX))
            .find(|((_, round), _)| self.lacks(candidate, *round).is_empty())?;
        let mut commits: Vec<VoteLine> = lines
            .values()
            .filter(|line| roster.member_of_root(&line.key).is_some())
            .copied()
            .collect();
        commits.sort_unstable();
        Some(Link {
            roster: Bytes::new(candidate.successor.bytes().to_vec()).ok()?,
            round: *round,
            commits: List::new(commits).ok()?,
            consents: List::new(candidate.consents.values().copied().collect()).ok()?,
        })
    }

    /// The prepares that a commit of a candidate in a round stands on, ascending by
    /// certificate.
    pub fn prepares(&self, id: &RosterId, round: u32) -> Vec<VoteLine> {
        let mut lines: Vec<VoteLine> = self
            .prepares
            .get(&(*id, round))
            .into_iter()
            .flat_map(BTreeMap::values)
            .copied()
            .collect();
        lines.sort_unstable();
        lines
    }

    /// What a member committed in a round but one roster.
    pub fn other_commits(
        &self,
        member: &MemberId,
        round: u32,
        but: &RosterId,
    ) -> impl Iterator<Item = (RosterId, VoteLine)> {
        self.commits
            .iter()
            .filter(move |((roster, at), _)| *at == round && roster != but)
            .filter_map(move |((roster, _), lines)| Some((*roster, *lines.get(member)?)))
    }

    /// The prepares of a round for other rosters than one.
    pub fn prepares_but(
        &self,
        round: u32,
        but: &RosterId,
    ) -> impl Iterator<Item = (RosterId, impl Iterator<Item = VoteLine>)> {
        self.prepares
            .iter()
            .filter(move |((roster, at), _)| *at == round && roster != but)
            .map(|((roster, _), lines)| (*roster, lines.values().copied()))
    }

    /// One commit of a round for each of the other rosters than one.
    pub fn commits_but(
        &self,
        round: u32,
        but: &RosterId,
    ) -> impl Iterator<Item = (RosterId, VoteLine)> {
        self.commits
            .iter()
            .filter(move |((roster, at), _)| *at == round && roster != but)
            .filter_map(|((roster, _), lines)| Some((*roster, *lines.values().next()?)))
    }

    /// In which rounds, and under which certificates, a member prepared.
    pub fn prepared_by(&self, member: &MemberId) -> impl Iterator<Item = (u32, CertificateId)> {
        self.prepares.iter().filter_map(move |((_, round), lines)| {
            let line = lines.get(member)?;
            Some((*round, CertificateId::from_bytes(line.key)))
        })
    }

    /// A commit as a root's machine made it, with the prepares that are held here:
    /// they are not what the root signed, and whoever brings it may add them. Other
    /// frames are given back as they are.
    pub fn complete(&self, bytes: Vec<u8>) -> Vec<u8> {
        let bare = body_of(Kind::Vote, &bytes)
            .and_then(|body| codec::decode::<VoteFrame>(body, FRAME_BYTES_MAX).ok())
            .filter(|bare| bare.prepares.is_empty());
        let said = bare
            .as_ref()
            .and_then(|bare| bare.vote.to_signed::<Vote>().claims().ok());
        match (bare, said) {
            (Some(bare), Some(said)) if matches!(said.by, VoteBy::Commit { .. }) => {
                let prepares = self.prepares(&said.roster, said.round);
                let complete = VoteFrame {
                    prepares: List::new(prepares).unwrap_or_default(),
                    ..bare
                };
                complete.to_frame()
            }
            (Some(_) | None, _) => bytes,
        }
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
        if !candidate
            .successor
            .lacks_consents(&candidate.consents())
            .is_empty()
        {
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

/// The step of a vote; a consent is of none.
const fn step_of(by: &VoteBy) -> Option<Step> {
    match by {
        VoteBy::Prepare { .. } => Some(Step::Prepare),
        VoteBy::Commit { .. } => Some(Step::Commit),
        VoteBy::Consent { .. } => None,
    }
}

fn line(key: [u8; 32], vote: &Verified<Vote>) -> VoteLine {
    VoteLine {
        key,
        signature: vote.signature().to_bytes(),
    }
}
