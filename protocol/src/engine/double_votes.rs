//! Two votes of one member in one round and step: a proof that anybody can check,
//! made when the second of them is seen and told to everybody. What is known of
//! votes is dropped with the epoch they were about; the proof stays.

use super::Engine;
use super::members::notice_bytes;
use super::sayings::vote_of;
use crate::gate::{Matter, Notice, Slot};
use crate::ids::{CertificateId, MemberId, RosterId};
use crate::limits::VOTE_BYTES_MAX;
use crate::store::{Store, StoreError};
use crate::wire::envelope::frame;
use crate::wire::notice::Proof;
use crate::wire::roster::{Vote, VoteBy, VoteLine};
use crate::wire::{Kind, SignedBytes, codec};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_crypto::{Signature, Signed};

/// Commits of other rosters in one round whose prepares are looked through. Two
/// quorums of one round share enough members to name more than may lie.
const OTHER_COMMITS_MAX: usize = 2;

/// Votes of one round and step by who cast them, each with its signature.
type Cast = BTreeMap<MemberId, (Vote, [u8; 64])>;

impl<S: Store> Engine<S> {
    /// Proves what a vote that was taken just now contradicts: itself, and the
    /// prepares that a commit carries, which need not have come by themselves.
    /// One proof of a member is enough.
    pub(super) fn prove_double_votes(&mut self, notice: &Notice) -> Result<(), StoreError> {
        let Matter::Vote(vote, member) = notice.matter() else {
            return Ok(());
        };
        let said = *vote.value();
        let mut pairs = Vec::new();
        let own = (said, vote.signature().to_bytes());
        let prepares = match said.by {
            VoteBy::Prepare { .. } => [(*member, own)].into(),
            VoteBy::Commit { .. } => {
                let about = self.membership.deliberation();
                for (roster, line) in about.other_commits(member, said.round, &said.roster) {
                    let by = VoteBy::Commit { key: line.key };
                    pairs.push((*member, own, (Vote { roster, by, ..said }, line.signature)));
                }
                self.carried(&said, notice.bytes())
            }
            VoteBy::Consent { .. } => return Ok(()),
        };
        let others = self.prepares_of_others(&said)?;
        for other in others {
            for (who, vote) in &prepares {
                if let Some(another) = other.get(who) {
                    pairs.push((*who, *vote, *another));
                }
            }
        }
        let mut named = BTreeSet::new();
        for (who, one, another) in pairs {
            if self.membership.double_voters().contains(&who) || !named.insert(who) {
                continue;
            }
            if let (Some(one), Some(another)) = (signed(one), signed(another)) {
                // In one order, so that everybody makes the same proof of it.
                let id = |vote: &SignedBytes<VOTE_BYTES_MAX>| vote.to_signed::<Vote>().id();
                let (first, second) = if id(&one) < id(&another) {
                    (one, another)
                } else {
                    (another, one)
                };
                let proof = Proof::Votes { first, second };
                self.unsaid.put_votes(frame(Kind::Proof, &proof));
            }
        }
        Ok(())
    }

    /// The prepares for a roster that the frame of a commit carries.
    fn carried(&self, said: &Vote, bytes: &[u8]) -> Cast {
        let lines = vote_of(bytes).map(|frame| frame.prepares.into_vec());
        lines
            .unwrap_or_default()
            .into_iter()
            .filter_map(|line| self.prepare_of(said, said.roster, line))
            .collect()
    }

    /// A prepare in the round of a vote, and whose it is.
    fn prepare_of(
        &self,
        said: &Vote,
        roster: RosterId,
        line: VoteLine,
    ) -> Option<(MemberId, (Vote, [u8; 64]))> {
        let by = prepare_by(line);
        let VoteBy::Prepare { certificate } = by else {
            return None;
        };
        let member = self.roster.certificate(&certificate)?.member;
        Some((
            member,
            (
                Vote {
                    roster,
                    by,
                    ..*said
                },
                line.signature,
            ),
        ))
    }

    /// Prepares for other rosters in the round of a vote: those that are held, and
    /// those that a commit of each of some such rosters carries.
    fn prepares_of_others(&self, said: &Vote) -> Result<Vec<Cast>, StoreError> {
        let about = self.membership.deliberation();
        let mut others: Vec<Cast> = about
            .prepares_but(said.round, &said.roster)
            .map(|(roster, lines)| {
                let prepares = lines.filter_map(|line| self.prepare_of(said, roster, line));
                prepares.collect()
            })
            .collect();
        let committed = about.commits_but(said.round, &said.roster);
        for (roster, line) in committed.take(OTHER_COMMITS_MAX) {
            let by = VoteBy::Commit { key: line.key };
            let slot = Slot::Vote(by, said.round, roster);
            if let Some(held) = notice_bytes(&self.staged, &slot)? {
                let of_other = Vote { roster, ..*said };
                others.push(self.carried(&of_other, held.as_slice()));
            }
        }
        Ok(others)
    }
}

const fn prepare_by(line: VoteLine) -> VoteBy {
    VoteBy::Prepare {
        certificate: CertificateId::from_bytes(line.key),
    }
}

fn signed((vote, signature): (Vote, [u8; 64])) -> Option<SignedBytes<VOTE_BYTES_MAX>> {
    let signature = Signature::from_bytes(signature);
    SignedBytes::new(Signed::<Vote>::new(codec::encode(&vote), signature)).ok()
}
