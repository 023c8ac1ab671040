//! Membership, as the engine lives it: notices are taken and kept, what follows
//! from them is done, and one roster follows another.

use super::NotTaken;
use super::messages::{Event, GossipToken, Output, Verdict};
use super::{Engine, OpenError, Staged, damaged, for_each};
use crate::gate::{Blame, Notice, NoticeRefusal, Refusal, Slot, check_notice};
use crate::ids::{CertificateId, NodeId};
use crate::limits::{FRAME_BYTES_MAX, LINK_BYTES_MAX};
use crate::membership::{Arrival, Effect, Membership, NotNews};
use crate::roster::{Roster, RosterError};
use crate::store::{Store, StoreError};
use crate::table;
use crate::time::Now;
use crate::wire::Bytes;
use crate::wire::card::CertificateBytes;
use crate::wire::codec;
use crate::wire::roster::{Link, VoteBy};
use std::collections::BTreeSet;
use std::sync::Arc;

impl<S: Store> Engine<S> {
    pub(super) fn on_gossip_notice(
        &mut self,
        now: Now,
        from: NodeId,
        token: GossipToken,
        length: u64,
        checked: Result<Box<Notice>, NoticeRefusal>,
    ) -> Result<(), StoreError> {
        if self.distrusts_node(&from) {
            // Its link is about to end; what it says of others they say too.
            let verdict = Verdict::Ignore;
            self.outputs.push_back(Output::Verdict { token, verdict });
            return Ok(());
        }
        let taken = match checked {
            Err(NoticeRefusal::Held) => Err(NotTaken::Notice(NotNews::Held)),
            Err(refusal) => {
                if refusal == NoticeRefusal::NotKnown {
                    self.notices_may_be_missing(now, &from);
                }
                Err(NotTaken::Gate(Refusal::Notice(refusal)))
            }
            Ok(notice) => {
                self.peers.heard_gossip(&from);
                self.heard_alive(now, from, &notice);
                self.take_notice(now, &notice, Arrival::Live)?
                    .map_err(NotTaken::Notice)
            }
        };
        let verdict = match &taken {
            Ok(()) => Verdict::Accept,
            Err(NotTaken::Gate(refusal)) if refusal.blame() == Blame::Forwarder => Verdict::Reject,
            Err(_) => Verdict::Ignore,
        };
        if taken.is_err() {
            self.charge_peer(now, from, length);
        }
        self.outputs.push_back(Output::Verdict { token, verdict });
        self.note_not_taken(from, taken);
        Ok(())
    }

    /// Takes a notice that came through the gate, keeps it, and does what follows.
    pub(super) fn take_notice(
        &mut self,
        now: Now,
        notice: &Notice,
        arrival: Arrival,
    ) -> Result<Result<(), NotNews>, StoreError> {
        let roster = self.roster();
        let taken = match self.membership.take(now, &roster, notice, arrival) {
            Ok(taken) => taken,
            Err(why) => return Ok(Err(why)),
        };
        if !matches!(taken.slot, Slot::Certificate(_)) {
            self.staged
                .put(table::notice(&taken.slot), notice.bytes().to_vec());
        }
        self.drop_notices(&taken.dropped);
        self.prove_double_votes(notice)?;
        self.note_commits(taken.slot, &taken.dropped);
        let is_vote = matches!(taken.effect, Effect::Voted);
        self.follows(now, taken.effect)?;
        if is_vote {
            self.votes_changed();
        }
        if let Slot::Alive(node) = &taken.slot {
            self.heard_ends(now, node)?;
        }
        Ok(Ok(()))
    }

    /// Whoever checks frames knows which commits need no second check.
    fn note_commits(&mut self, taken: Slot, dropped: &[Slot]) {
        let changed: Vec<_> = dropped
            .iter()
            .map(|slot| (slot, false))
            .chain([(&taken, true)])
            .filter_map(|(slot, is_held)| match slot {
                Slot::Vote(VoteBy::Commit { key }, round, id) => {
                    Some(((*key, *round, *id), is_held))
                }
                Slot::Vote(VoteBy::Prepare { .. } | VoteBy::Consent { .. }, ..)
                | Slot::Card(_)
                | Slot::Proposal(_)
                | Slot::Certificate(_)
                | Slot::Revocation(..)
                | Slot::Suspension(..)
                | Slot::Alive(_)
                | Slot::Fork(..)
                | Slot::DoubleVote(_) => None,
            })
            .collect();
        if changed.is_empty() {
            return;
        }
        let mut roster = (*self.roster).clone();
        for (commit, is_held) in changed {
            roster.note_commit(commit, is_held);
        }
        self.roster_is(roster);
    }

    fn drop_notices(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.staged.remove(table::notice(slot));
        }
    }

    fn follows(&mut self, now: Now, effect: Effect) -> Result<(), StoreError> {
        match effect {
            Effect::Nothing => {}
            Effect::Certificate(known) => {
                let (signed, certificate) = *known;
                self.staged
                    .put_as(table::certificate(&certificate.id), &signed);
                let life = (certificate.node, certificate.incarnation);
                let mut roster = (*self.roster).clone();
                self.event(Event::Admitted {
                    certificate: certificate.id,
                    member: certificate.member,
                });
                let displaced = roster.keep_certificate(certificate);
                self.roster_is(roster);
                if let Some(displaced) = displaced {
                    self.membership.forget_certificate(&displaced);
                    self.staged.remove(table::certificate(&displaced));
                }
                self.learned_life(now, life);
                // What it signed was of no use before.
                self.read_refused_again(now);
            }
            Effect::Card(card) => {
                let mut roster = (*self.roster).clone();
                if let Ok(member) = roster.take_card(&card) {
                    self.roster_is(roster);
                    self.event(Event::CardChanged { member });
                }
            }
            Effect::Revoked(revocation) => {
                let mut roster = (*self.roster).clone();
                roster.revoke(&revocation);
                let node = revocation.value().node;
                self.roster_is(roster);
                self.event(Event::Revoked {
                    member: revocation.value().member,
                    node,
                });
                self.doubt(node);
            }
            Effect::Voted => self.follow_if_decided(now)?,
            Effect::Suspension(member) => self.event(Event::Suspension { member }),
            Effect::Fork(stream) => {
                let node = stream.node;
                self.doubt(node);
                if let Some(member) = self.roster.owner(&node) {
                    self.event(Event::ForkProven { member, node });
                }
            }
            Effect::DoubleVote(member) => self.event(Event::DoubleVote { member }),
        }
        Ok(())
    }

    /// The roster, or what is known of its nodes, is another from now on.
    fn roster_is(&mut self, roster: Roster) {
        self.roster = Arc::new(roster);
        // A renewed certificate of this node is the one it cites from now on.
        if let Some(newest) = self.roster.node(&self.me.node).filter(|newest| {
            // A later life is another one for everybody: its streams begin anew. It
            // is lived by the node that a person installed it at, and not by a copy
            // of that node which hears of it.
            newest.signing_key == self.signing_key.public()
                && (self.me.incarnation..=self.life_max).contains(&newest.incarnation)
        }) {
            self.me = newest.clone();
        }
        self.has_roster_news = true;
    }

    /// A person installed a certificate of a later life of this node: it is lived
    /// here.
    pub(super) fn live_on(&mut self, life: u64) {
        if life > self.life_max {
            self.life_max = life;
            let roster = (*self.roster).clone();
            self.roster_is(roster);
        }
    }

    fn follow_if_decided(&mut self, now: Now) -> Result<(), StoreError> {
        while let Some(link) = self.membership.deliberation().decided(&self.roster) {
            if self.follow(now, &link)?.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Goes on to the next roster.
    pub(super) fn follow(
        &mut self,
        now: Now,
        link: &Link,
    ) -> Result<Result<(), RosterError>, StoreError> {
        let next = match self.roster.follow(link) {
            Ok(next) => next,
            Err(why) => return Ok(Err(why)),
        };
        self.staged.put(table::link(next.epoch()), link.to_bytes());
        let dropped = self.membership.roster_changed(&next);
        self.drop_notices(&dropped);
        let epoch = next.epoch();
        self.peers
            .withheld
            .retain(|node, _| next.node(node).is_some());
        self.roster_is(next);
        self.doubt_all();
        self.event(Event::Epoch { epoch });
        // What came for the next epoch and was not understood comes again.
        self.read_refused_again(now);
        self.say_alive_soon(now);
        Ok(Ok(()))
    }
}

/// The roster that the chain in a store leads to, with the certificates and the
/// notices that are held about it.
pub(super) fn restore<S: Store>(
    staged: &mut Staged<S>,
    roster: &mut Roster,
    links: &[Link],
    installed: Vec<CertificateBytes>,
    now: Now,
) -> Result<Membership, OpenError> {
    for (epoch, link) in (1..).zip(links) {
        match staged.get(&table::link(epoch))? {
            Some(held) if Link::from_bytes(&held).map(|held| held.id()) != Ok(link.id()) => {
                return Err(OpenError::ChainDiffers { epoch });
            }
            Some(_) => {}
            None => staged.put(table::link(epoch), link.to_bytes()),
        }
        if epoch > roster.epoch() {
            *roster = roster
                .follow(link)
                .map_err(|_| OpenError::ChainDiffers { epoch })?;
        }
    }
    for_each(staged, table::LINKS, |key, value| {
        let link = Link::from_bytes(value).map_err(|_| damaged(key))?;
        match roster.follow(&link) {
            Ok(next) => *roster = next,
            // A link that is known already, because it came with the start.
            Err(RosterError::NotNext { epoch, held }) if epoch <= held => {}
            Err(_) => return Err(damaged(key)),
        }
        Ok(())
    })?;
    let mut membership = Membership::default();
    let of_chain: BTreeSet<CertificateId> = roster
        .known_certificates()
        .map(|certificate| certificate.id)
        .collect();
    super::restore_certificates(staged, roster)?;
    for certificate in installed {
        if let Ok(record) = roster.check_record(&certificate)
            && !of_chain.contains(&record.id)
        {
            let key = table::certificate(&record.id);
            if staged.get(&key)?.is_none() {
                staged.put_as(key, &certificate);
            }
            roster.keep_certificate(record);
        }
    }
    for certificate in roster.known_certificates() {
        if !of_chain.contains(&certificate.id) {
            membership.knows_certificate(certificate);
        }
    }
    let mut frames: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for_each(staged, table::NOTICES, |key, value| {
        frames.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    // Some need others: a consent its proposal, a suspension a certificate.
    loop {
        let before = frames.len();
        frames.retain(|(_, bytes)| {
            let Ok(notice) = check_notice(bytes, roster) else {
                return true;
            };
            match membership.take(now, roster, &notice, Arrival::Later) {
                Ok(taken) => {
                    match taken.effect {
                        Effect::Card(card) => {
                            // One that the roster does not take changes nothing.
                            let _ = roster.take_card(&card);
                        }
                        Effect::Revoked(revocation) => {
                            roster.revoke(&revocation);
                        }
                        Effect::Certificate(known) => {
                            roster.keep_certificate(known.1);
                        }
                        Effect::Nothing
                        | Effect::Voted
                        | Effect::Suspension(_)
                        | Effect::Fork(..)
                        | Effect::DoubleVote(_) => {}
                    }
                    false
                }
                Err(why) => why.passes(),
            }
        });
        if frames.is_empty() || frames.len() == before {
            break;
        }
    }
    for (key, bytes) in frames {
        if is_past(&key, &bytes, roster) {
            staged.remove(key);
        }
    }
    for commit in membership.commits() {
        roster.note_commit(commit, true);
    }
    Ok(membership)
}

/// Whether a notice of the store was about a roster before this one, or of somebody
/// who has left since: a node that goes on from roster to roster drops it on the
/// way, and one that finds the next beside its store did not. What ends a key is
/// kept, as it is on the way.
fn is_past(key: &[u8], bytes: &[u8], roster: &Roster) -> bool {
    let slot = key
        .get(1..)
        .and_then(|slot| codec::decode::<Slot>(slot, slot.len()).ok());
    let is_kept = match slot {
        Some(Slot::Certificate(_) | Slot::Revocation(..) | Slot::Fork(..)) | None => true,
        Some(
            Slot::Card(_)
            | Slot::Proposal(_)
            | Slot::Vote(..)
            | Slot::Suspension(..)
            | Slot::Alive(_)
            | Slot::DoubleVote(_),
        ) => false,
    };
    !is_kept
        && matches!(
            check_notice(bytes, roster),
            Err(NoticeRefusal::NotKnown | NoticeRefusal::NotHere(_))
        )
}

/// A link as an answer carries it.
pub(super) fn link_bytes<S: Store>(
    staged: &Staged<S>,
    epoch: u64,
) -> Result<Option<Bytes<LINK_BYTES_MAX>>, StoreError> {
    Ok(staged
        .sound(&table::link(epoch))?
        .and_then(|bytes| Bytes::new(bytes).ok()))
}

/// A notice as an answer carries it.
pub(super) fn notice_bytes<S: Store>(
    staged: &Staged<S>,
    slot: &Slot,
) -> Result<Option<Bytes<FRAME_BYTES_MAX>>, StoreError> {
    let bytes = match slot {
        Slot::Certificate(id) => staged
            .sound(&table::certificate(id))?
            .map(|body| crate::wire::envelope::frame_of(crate::wire::Kind::NodeCert, body)),
        Slot::Card(_)
        | Slot::Proposal(_)
        | Slot::Vote(..)
        | Slot::Revocation(..)
        | Slot::Suspension(..)
        | Slot::Alive(_)
        | Slot::Fork(..)
        | Slot::DoubleVote(_) => staged.sound(&table::notice(slot))?,
    };
    Ok(bytes.and_then(|bytes| Bytes::new(bytes).ok()))
}
