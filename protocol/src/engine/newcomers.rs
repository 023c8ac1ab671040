//! What a node that is no member yet hears and says at the door about its own
//! admission: the proposals that name it, and the consent of its root.
//!
//! Nobody else may ask: a proposal is shown, and a consent taken, for the node
//! of the connection alone, and for it alone is a signature looked at. To
//! everybody else the door answers as if nothing were proposed.

use super::Engine;
use super::members::notice_bytes;
use super::sayings::SayingRefusal;
use super::serve::piece_of;
use crate::gate::Slot;
use crate::ids::{NodeId, RosterId};
use crate::limits::VOTE_BYTES_MAX;
use crate::membership::{Candidate, NotNews};
use crate::store::{Store, StoreError};
use crate::time::Now;
use crate::wire::exchange::DoorAnswer;
use crate::wire::roster::{Vote, VoteBy, VoteFrame};
use crate::wire::{List, SignedBytes};

impl<S: Store> Engine<S> {
    /// The root that would enter with this node's certificate, if the roster that
    /// is proposed admits it.
    fn entering(&self, node: &NodeId, candidate: &Candidate) -> Option<[u8; 32]> {
        let would_be = candidate.successor.would_be();
        let member = would_be.member(&would_be.node(node)?.member)?;
        let root = *member.root_key.as_bytes();
        let is_new = candidate.successor.new_roots().contains(&root)
            && self.roster.member(&member.id).is_none();
        is_new.then_some(root)
    }

    /// A piece of the next proposal to which the root of the asking node has to
    /// consent.
    pub(super) fn proposal_for(
        &self,
        transport_key: &[u8; 32],
        after: Option<&RosterId>,
        offset: u32,
    ) -> Result<DoorAnswer, StoreError> {
        let node = NodeId::of_transport(transport_key);
        let next = self
            .membership
            .deliberation()
            .candidates()
            .filter(|candidate| after.is_none_or(|after| candidate.successor.id() > *after))
            .filter(|candidate| {
                self.entering(&node, candidate)
                    .is_some_and(|root| !candidate.consents().contains(&root))
            })
            .map(|candidate| candidate.successor.id())
            .min();
        let Some(roster) = next else {
            return Ok(DoorAnswer::Unavailable);
        };
        let Some(frame) = notice_bytes(&self.staged, &Slot::Proposal(roster))? else {
            return Ok(DoorAnswer::Unavailable);
        };
        let (total, bytes) = piece_of(frame.as_slice(), offset);
        Ok(DoorAnswer::Proposal {
            roster,
            total,
            offset,
            bytes,
        })
    }

    /// Takes the consent of the root that would enter with the asking node, and
    /// gossips it. What is held already counts as taken: an answer may be lost.
    pub(super) fn consented(
        &mut self,
        now: Now,
        transport_key: &[u8; 32],
        vote: SignedBytes<VOTE_BYTES_MAX>,
    ) -> Result<bool, StoreError> {
        let Ok(said) = vote.to_signed::<Vote>().claims() else {
            return Ok(false);
        };
        let VoteBy::Consent { key } = said.by else {
            return Ok(false);
        };
        let node = NodeId::of_transport(transport_key);
        let is_its_own = self
            .membership
            .deliberation()
            .candidate(&said.roster)
            .and_then(|candidate| self.entering(&node, candidate))
            .is_some_and(|root| root == key);
        if !is_its_own {
            return Ok(false);
        }
        let frame = VoteFrame {
            vote,
            prepares: List::default(),
        };
        Ok(match self.utter(now, frame.to_frame())? {
            Ok(()) | Err(SayingRefusal::NotNews(NotNews::Held)) => true,
            Err(_) => false,
        })
    }
}
