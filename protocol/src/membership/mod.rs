//! What a node holds about membership beside the roster itself: proposals and
//! votes for the next one, suspensions, signs of life, proofs against cheats.
//!
//! A state machine without a store: notices go in, one at a time and in any
//! order, and what is to be kept, dropped and done comes out. Two nodes that
//! were given the same notices hold the same state, whatever the order.

mod alives;
mod changes;
mod deliberation;
mod rebuilt;
mod suspensions;

pub use alives::{Alives, ClockOffset, Freshness};
pub use changes::{NoticePage, NoticeScope};
pub use deliberation::{Candidate, Deliberation};
pub use rebuilt::{Left, Rebuilt};
pub use suspensions::Suspensions;

use crate::engine::{Bucket, Rate};
use crate::gate::{Matter, Notice, Order, Slot};
use crate::ids::{CertificateId, MemberId, NodeId};
use crate::limits::{
    MEMBERS_MAX, NOTICE_AGAIN_MS, NOTICE_TOKEN_BYTES, NOTICE_TOKENS, NOTICE_TOKENS_BURST,
};
use crate::roster::{Certificate, HeldCommit, Roster};
use crate::time::{Instant, Now};
use crate::wire::card::CertificateBytes;
use crate::wire::kind::NOTICES;
use crate::wire::notice::Revocation;
use crate::wire::roster::VoteBy;
use crate::wire::{SignedBytes, StreamId, Tag};
use changes::Changes;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use watchfire_crypto::Verified;

/// What is held about membership.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    held: BTreeMap<Slot, Held>,
    changes: Changes,
    deliberation: Deliberation,
    suspensions: Suspensions,
    alives: Alives,
    forks: BTreeMap<(NodeId, u64), (Tag, u64)>,
    double_voters: BTreeSet<MemberId>,
    /// What more may be taken of what each member signs.
    signers: BTreeMap<MemberId, Bucket>,
}

/// How much of what one member signs is taken: each notice that is news has to be
/// kept, told to everybody and checked by everybody.
const SIGNER: Rate = Rate {
    burst: NOTICE_TOKENS_BURST,
    per_second: 1,
};

#[derive(Clone, Copy, Debug)]
struct Held {
    order: Order,
    taken_at: Instant,
}

/// How a notice came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// By gossip, so it was made a moment ago.
    Live,
    /// Asked for, read from a file or from the store.
    Later,
}

/// A notice was taken.
#[derive(Debug)]
pub struct Taken {
    /// To be kept there.
    pub slot: Slot,
    /// To be kept no longer.
    pub dropped: Vec<Slot>,
    /// What follows for others.
    pub effect: Effect,
}

/// What follows from a notice beyond this state.
#[derive(Debug)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// A certificate is known.
    Certificate(Box<(CertificateBytes, Certificate)>),
    /// A member's card is another.
    Card(Box<SignedBytes<{ crate::limits::CARD_BYTES_MAX }>>),
    /// A node has ended.
    Revoked(Box<Verified<Revocation>>),
    /// There may be a decided roster now.
    Voted,
    /// Who is suspended may have changed.
    Suspension(MemberId),
    /// Two envelopes of a stream claim one place.
    Fork(StreamId),
    /// A member cast two votes where one may be.
    DoubleVote(MemberId),
}

/// Why a notice was not taken; nobody pays for any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNews {
    /// What is held is as new.
    #[error("held already, or older than what is held")]
    Held,
    /// Made in the future.
    #[error("made more than 10 minutes ahead of this node's clock")]
    Ahead,
    /// Another was taken a moment ago.
    #[error("another was taken within the last minute")]
    TooSoon,
    /// Under a certificate that is not current.
    #[error("its certificate is not valid now")]
    NotCurrent,
    /// Over what is kept of one signer.
    #[error("too many of one signer")]
    TooMany,
    /// Over what is taken of one member at a time.
    #[error("its member signed more of late than is taken of one; it comes again later")]
    TooOften,
    /// A vote of a round that the others are far from.
    #[error("a vote of a round far ahead")]
    TooFar,
    /// About a proposal that is not held.
    #[error("about a roster that is not held")]
    NoProposal,
}

impl NotNews {
    /// Whether the same notice may be taken later, so that it is worth asking for
    /// again.
    pub const fn passes(self) -> bool {
        match self {
            Self::Ahead
            | Self::TooSoon
            | Self::TooOften
            | Self::NoProposal
            | Self::TooMany
            | Self::TooFar => true,
            Self::Held | Self::NotCurrent => false,
        }
    }
}

impl Membership {
    /// Takes a notice, if it is news.
    ///
    /// # Errors
    /// Says why it is not.
    pub fn take(
        &mut self,
        now: Now,
        roster: &Roster,
        notice: &Notice,
        arrival: Arrival,
    ) -> Result<Taken, NotNews> {
        let slot = notice.slot();
        if let Matter::Alive(alive, certificate) = notice.matter()
            && arrival == Arrival::Live
        {
            // Also of one that is too far ahead: it may be this clock that is slow.
            self.alives.hear(now, certificate, alive.value());
        }
        if !is_of(roster, notice) {
            return Err(NotNews::Held);
        }
        if notice.is_ahead(now.wall_ms) {
            return Err(NotNews::Ahead);
        }
        if let Some(held) = self.held.get(&slot) {
            if held.order >= notice.order() {
                return Err(NotNews::Held);
            }
            // What ends a life has all of it judged again, whichever way it came.
            let waits =
                arrival == Arrival::Live || matches!(slot, Slot::Fork(..) | Slot::Revocation(..));
            if waits && now.mono.since_ms(held.taken_at) < NOTICE_AGAIN_MS {
                return Err(NotNews::TooSoon);
            }
        }
        let tokens = NOTICE_TOKENS + notice.bytes().len() as u64 / NOTICE_TOKEN_BYTES;
        let signer = signer_of(notice);
        if let Some(signer) = signer
            && !self.signer(signer, now).has(tokens, now.mono)
        {
            return Err(NotNews::TooOften);
        }
        let (effect, dropped) = self.take_matter(now, roster, notice)?;
        if let Some(signer) = signer {
            self.signer(signer, now).take(tokens);
        }
        self.held.insert(
            slot,
            Held {
                order: notice.order(),
                taken_at: now.mono,
            },
        );
        self.changes.changed(slot);
        for dropped in &dropped {
            self.forget(dropped);
        }
        Ok(Taken {
            slot,
            dropped,
            effect,
        })
    }

    /// What more may be taken of a member. Members alone sign what comes so far, and
    /// former ones records of who their nodes were.
    fn signer(&mut self, member: MemberId, now: Now) -> &mut Bucket {
        if self.signers.len() >= 2 * MEMBERS_MAX && !self.signers.contains_key(&member) {
            // Whose bucket is full again has signed little.
            self.signers
                .retain(|_, bucket| !bucket.has(NOTICE_TOKENS_BURST, now.mono));
        }
        self.signers
            .entry(member)
            .or_insert_with(|| Bucket::new(SIGNER, now.mono))
    }

    fn take_matter(
        &mut self,
        now: Now,
        roster: &Roster,
        notice: &Notice,
    ) -> Result<(Effect, Vec<Slot>), NotNews> {
        let effect = match notice.matter() {
            Matter::Card(card) => Effect::Card(card.clone()),
            Matter::Certificate(certificate) => Effect::Certificate(certificate.clone()),
            Matter::Revocation(revocation) => Effect::Revoked(revocation.clone()),
            Matter::Proposal(successor) => {
                let dropped = self.deliberation.propose(successor)?;
                return Ok((Effect::Voted, dropped));
            }
            Matter::Vote(vote, member) => {
                let said = vote.value();
                let of_voter = self.votes_of(roster, &said.by, member);
                let same = |slot: &&Slot| {
                    matches!(slot, Slot::Vote(_, round, id)
                        if (*round, *id) == (said.round, said.roster))
                };
                // One vote under two certificates is kept under the lesser.
                if of_voter
                    .iter()
                    .filter(same)
                    .any(|slot| *slot < notice.slot())
                {
                    return Err(NotNews::Held);
                }
                let mut dropped = self.deliberation.vote(vote, *member, roster.thresholds())?;
                let past = |slot: &&Slot| same(slot) || !self.deliberation.keeps(slot, member);
                dropped.extend(of_voter.iter().filter(past));
                return Ok((Effect::Voted, dropped));
            }
            Matter::Consent(vote) => {
                self.deliberation.consent(vote)?;
                Effect::Voted
            }
            Matter::Suspension(suspension, by) => {
                let said = suspension.value();
                let is_current = roster
                    .certificate(&said.certificate)
                    .is_some_and(|certificate| certificate.is_current(said.created_ms));
                if !is_current {
                    return Err(NotNews::NotCurrent);
                }
                let dropped = self.suspensions.take(*by, said, notice.order())?;
                return Ok((Effect::Suspension(said.member), dropped));
            }
            Matter::Alive(alive, certificate) => {
                if !certificate.is_current(now.wall_ms) {
                    return Err(NotNews::NotCurrent);
                }
                self.alives.take(now, certificate, alive.value());
                Effect::Nothing
            }
            Matter::Fork(stream, sequence) => {
                // The least place: the gate orders them so.
                let life = (stream.node, stream.incarnation);
                self.forks.insert(life, (stream.tag, *sequence));
                Effect::Fork(*stream)
            }
            Matter::DoubleVote(member) => {
                self.double_voters.insert(*member);
                Effect::DoubleVote(*member)
            }
        };
        Ok((effect, Vec::new()))
    }

    /// The votes held of a member in the step of this one, under whichever of its
    /// certificates.
    fn votes_of(&self, roster: &Roster, by: &VoteBy, member: &MemberId) -> Vec<Slot> {
        let is_same = |other: &VoteBy| match other {
            VoteBy::Prepare { certificate } => {
                matches!(by, VoteBy::Prepare { .. })
                    && roster
                        .certificate(certificate)
                        .is_some_and(|certificate| certificate.member == *member)
            }
            VoteBy::Commit { .. } | VoteBy::Consent { .. } => other == by,
        };
        let of_voter = |slot: &&Slot| matches!(slot, Slot::Vote(other, ..) if is_same(other));
        self.held.keys().filter(of_voter).copied().collect()
    }

    fn forget(&mut self, slot: &Slot) {
        self.held.remove(slot);
        self.changes.forget(slot);
    }

    /// The roster is another: what was about the one before is dropped, and what
    /// is held of those who left. Gives the slots to be kept no longer.
    pub fn roster_changed(&mut self, roster: &Roster) -> Vec<Slot> {
        self.deliberation = Deliberation::default();
        self.suspensions
            .retain(|member| roster.member(member).is_some());
        self.alives.retain(|member| roster.member(member).is_some());
        self.double_voters
            .retain(|member| roster.member(member).is_some());
        self.signers
            .retain(|member, _| roster.member(member).is_some());
        let is_member = |member: &MemberId| roster.member(member).is_some();
        let dropped: Vec<Slot> = self
            .held
            .keys()
            .filter(|slot| match slot {
                Slot::Proposal(_) | Slot::Vote(..) => true,
                Slot::Card(member) | Slot::DoubleVote(member) => !is_member(member),
                Slot::Suspension(by, of) => !is_member(by) || !is_member(of),
                Slot::Alive(node) => roster.node(node).is_none(),
                // What who comes now would not take, nobody lists: it would be
                // refused anew at every meeting.
                Slot::Certificate(id) => roster
                    .certificate(id)
                    .is_none_or(|held| roster.is_record(held).is_err()),
                Slot::Revocation(member, node) => roster.revocation(*member, node).is_none(),
                Slot::Fork(node, incarnation) => !roster.has_record(node, *incarnation),
            })
            .copied()
            .collect();
        for slot in &dropped {
            self.forget(slot);
        }
        dropped
    }

    /// A certificate that came by the door is listed to peers like one that came
    /// as a notice. What the chain itself holds is not: everybody has it.
    pub fn knows_certificate(&mut self, certificate: &Certificate) {
        let slot = Slot::Certificate(certificate.id);
        if let Entry::Vacant(vacant) = self.held.entry(slot) {
            vacant.insert(Held {
                order: (0, 0, [0; 32]),
                taken_at: Instant::ZERO,
            });
            self.changes.changed(slot);
        }
    }

    /// A certificate is kept no longer, since its root signed many with greater
    /// serials.
    pub fn forget_certificate(&mut self, id: &CertificateId) {
        self.forget(&Slot::Certificate(*id));
    }

    /// The clock of this node jumped: nobody counts as fresh before being heard anew.
    pub(crate) fn clock_jumped(&mut self, now: Now) {
        self.alives.clock_jumped(now.mono);
    }

    /// The commits that are held.
    pub(crate) fn commits(&self) -> Vec<HeldCommit> {
        let commit = |slot: &Slot| match slot {
            Slot::Vote(VoteBy::Commit { key }, round, id) => Some((*key, *round, *id)),
            Slot::Vote(VoteBy::Prepare { .. } | VoteBy::Consent { .. }, ..)
            | Slot::Card(_)
            | Slot::Proposal(_)
            | Slot::Certificate(_)
            | Slot::Revocation(..)
            | Slot::Suspension(..)
            | Slot::Alive(_)
            | Slot::Fork(..)
            | Slot::DoubleVote(_) => None,
        };
        self.held.keys().filter_map(commit).collect()
    }

    /// Whether a notice for this slot is held that is as new.
    pub fn is_held(&self, slot: &Slot, order: Order) -> bool {
        self.held.get(slot).is_some_and(|held| held.order >= order)
    }

    /// Stands for all that is held in a scope: two nodes that hold the same have
    /// the same.
    pub fn digest(&self, scope: NoticeScope) -> [u8; 16] {
        let held: Vec<(Slot, Order)> = self
            .held
            .iter()
            .filter(|(slot, _)| NoticeScope::of(slot) == scope)
            .map(|(slot, held)| (*slot, held.order))
            .collect();
        let mut first = [0; 16];
        for (to, from) in first
            .iter_mut()
            .zip(NOTICES.digest(&crate::wire::codec::encode(&held)))
        {
            *to = from;
        }
        first
    }

    /// What changed since, of one scope.
    pub fn page(&self, scope: NoticeScope, since: u64, count_max: usize) -> NoticePage {
        self.changes.page(scope, since, count_max)
    }

    /// Proposals and votes for the next roster.
    pub const fn deliberation(&self) -> &Deliberation {
        &self.deliberation
    }

    /// Who suspends whom.
    pub const fn suspensions(&self) -> &Suspensions {
        &self.suspensions
    }

    /// Signs of life.
    pub const fn alives(&self) -> &Alives {
        &self.alives
    }

    /// Whether two envelopes of this life of a node claim one place.
    pub fn is_forked(&self, node: &NodeId, incarnation: u64) -> bool {
        self.forks.contains_key(&(*node, incarnation))
    }

    /// The least place, by tag and then sequence, that two envelopes of this life of
    /// a node are proven to claim.
    pub fn fork_of(&self, node: &NodeId, incarnation: u64) -> Option<(Tag, u64)> {
        self.forks.get(&(*node, incarnation)).copied()
    }

    /// Lives of nodes of which a fork is proven, and where.
    pub const fn forks(&self) -> &BTreeMap<(NodeId, u64), (Tag, u64)> {
        &self.forks
    }

    /// As if that place were proven: a test need not sign what is sealed.
    #[cfg(test)]
    pub(crate) fn pretend_fork(&mut self, life: (NodeId, u64), place: (Tag, u64)) {
        self.forks.insert(life, place);
    }

    /// Members of whom two votes are known where one may be.
    pub const fn double_voters(&self) -> &BTreeSet<MemberId> {
        &self.double_voters
    }
}

/// Whether a notice is still about this roster. It was checked against the one
/// that was held then, on another thread or earlier in the same page, and another
/// may have been decided since: a vote for the one before would count as a vote
/// for the next.
fn is_of(roster: &Roster, notice: &Notice) -> bool {
    let is_next = |epoch: u64| Some(epoch) == roster.epoch().checked_add(1);
    match notice.matter() {
        Matter::Proposal(successor) => is_next(successor.epoch()),
        Matter::Vote(vote, _) | Matter::Consent(vote) => is_next(vote.value().epoch),
        Matter::Suspension(said, by) => {
            roster.member(by).is_some() && roster.member(&said.value().member).is_some()
        }
        Matter::Alive(_, certificate) => roster.node(&certificate.node).is_some(),
        Matter::Card(_)
        | Matter::Certificate(_)
        | Matter::Revocation(_)
        | Matter::Fork(..)
        | Matter::DoubleVote(_) => true,
    }
}

/// The member that signed a notice, where one did: whoever carries a proof, or the
/// consent of a key that would enter, signed nothing.
fn signer_of(notice: &Notice) -> Option<MemberId> {
    match (notice.matter(), notice.slot()) {
        (Matter::Card(_), Slot::Card(member)) => Some(member),
        (Matter::Proposal(successor), _) => Some(successor.statement().proposer),
        (Matter::Vote(_, member) | Matter::Suspension(_, member), _) => Some(*member),
        (Matter::Certificate(known), _) => Some(known.1.member),
        (Matter::Revocation(revocation), _) => Some(revocation.value().member),
        (Matter::Alive(_, certificate), _) => Some(certificate.member),
        (Matter::Card(_) | Matter::Consent(_) | Matter::Fork(..) | Matter::DoubleVote(_), _) => {
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
pub(crate) mod tests;
