//! What is held and not believed: envelopes above the cut of a key that has
//! ended, or of a life that signed two envelopes for one place.
//!
//! They are kept, since chains and other nodes need them, and shown to nobody
//! until a person here [accepts](acceptance) them. Whether an envelope is held back
//! is one question of the certificate it cites, its stream and its place there,
//! asked when it comes and asked again whenever the answer may be another; so it
//! does not matter in which order envelopes, cuts and proofs come. A cut names the
//! envelope at its end, and only what lies on the chain to that one counts: until
//! it is held without a gap nothing below it does, since whoever has the key could
//! bring another chain first.
//!
//! Of each stream the store has a hash of what had ended of it when all of it was
//! last judged. Where that is another, at a start above all, it is judged anew.

mod acceptance;
mod doubts;
mod reasons;

use super::Engine;
use super::opening::header_of_frame;
use crate::ids::{CertificateId, EnvelopeId, MemberId};
use crate::limits::{ALIVE_BYTES_MAX, FRAME_BYTES_MAX, REMAINS_BYTES_MAX};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, LogEntry};
use crate::time::Now;
use crate::wire::envelope::{Header, body_of};
use crate::wire::exchange::{Remains, StreamId};
use crate::wire::notice::Alive;
use crate::wire::{Kind, SignedBytes, codec};
use bincode::Encode;

pub use acceptance::{Accept, AcceptRefusal, AcceptedCount, WhatToAccept};
pub(super) use doubts::Doubts;
pub use reasons::{
    ACCEPTED_BYTES_MAX, Accepted, HELD_BACK_BYTES_MAX, HeldBack, Quarantine, Reasons,
};

/// What has ended of a stream, and up to where it counts all the same.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
struct Ends {
    /// The root that its member has now; none of who is no member.
    root: Option<[u8; 32]>,
    /// Up to where by the roster's cut, as far as the chain to it is held.
    listed: Option<u64>,
    /// Which certificates its member's root ended, and up to where it counts, as
    /// far as the chain to there is held.
    revoked: Option<([u8; 32], u64, u64)>,
    /// From where on it is forked.
    forked: Option<u64>,
}

/// What of an envelope decides.
#[derive(Clone, Copy, Debug)]
struct Facts<'a> {
    cited: &'a CertificateId,
    sequence: u64,
    /// When this node took it, in milliseconds UTC; 0 where only remains are held.
    received_ms: u64,
    /// Its author was suspended then.
    came_suspended: bool,
}

impl<S: Store> Engine<S> {
    /// Judges an envelope that stands in its place since now, or again.
    pub(super) fn judge_arrival(
        &mut self,
        now: Now,
        arrival: Arrival,
        stream: &StreamId,
        (id, header): (&EnvelopeId, &Header),
        received_ms: u64,
    ) -> Result<(), StoreError> {
        let Some(position) = header.prefix.class.position() else {
            return Ok(());
        };
        let ends = self.ends_of(stream)?;
        let facts = Facts {
            cited: &header.prefix.certificate,
            sequence: position.sequence,
            received_ms,
            came_suspended: received_ms == now.wall_ms || self.came_suspended(arrival)?,
        };
        let reasons = self.reasons(now, stream, &ends, facts)?;
        self.hold_back(now.wall_ms, arrival, stream, id, reasons)
    }

    /// Whether an envelope is held back, since its author was suspended when it
    /// came.
    fn came_suspended(&self, arrival: Arrival) -> Result<bool, StoreError> {
        let held: Option<HeldBack> = self
            .staged
            .sound_as(&table::quarantine(arrival), HELD_BACK_BYTES_MAX)?;
        Ok(held.is_some_and(|held| held.reasons.has(Quarantine::Suspended)))
    }

    fn is_suspended(&self, now: Now, member: &MemberId) -> bool {
        self.membership
            .suspensions()
            .is_suspended(&self.roster, member, now.wall_ms)
    }

    /// The one question: what speaks against an envelope.
    fn reasons(
        &self,
        now: Now,
        stream: &StreamId,
        ends: &Ends,
        facts: Facts<'_>,
    ) -> Result<Reasons, StoreError> {
        let mut reasons = Reasons::default();
        let cited = self.roster.certificate(facts.cited);
        let is_of_root_now =
            cited.is_some_and(|cited| ends.root == Some(cited.root_key.to_bytes()));
        if !is_of_root_now {
            // A quorum said that it counts, whatever the node did.
            if ends.listed.is_some_and(|last| facts.sequence <= last) {
                return Ok(reasons);
            }
            if !self.is_vouched_for(stream, facts.sequence)? {
                reasons.add(Quarantine::Expelled);
            }
        }
        if let Some(cited) = cited
            && is_of_root_now
            && self.roster.is_revoked(cited)
        {
            let last = ends.revoked.map_or(0, |(_, _, last)| last);
            if facts.sequence > last {
                reasons.add(Quarantine::Revoked);
            } else {
                // What its own root says counts, counts: but others may have
                // suspended the member, root and all.
                self.add_suspended(now, &cited.member, facts, &mut reasons);
                return Ok(reasons);
            }
        }
        if ends.forked.is_some_and(|from| facts.sequence >= from) {
            reasons.add(Quarantine::Forked);
        }
        if let Some(cited) = cited {
            if facts.received_ms > cited.not_after_ms
                && !self.is_vouched_for(stream, facts.sequence)?
            {
                reasons.add(Quarantine::Expired);
            }
            self.add_suspended(now, &cited.member, facts, &mut reasons);
        }
        Ok(reasons)
    }

    fn add_suspended(&self, now: Now, member: &MemberId, facts: Facts<'_>, reasons: &mut Reasons) {
        if facts.came_suspended && self.is_suspended(now, member) {
            reasons.add(Quarantine::Suspended);
        }
    }

    /// What has ended of a stream.
    fn ends_of(&self, stream: &StreamId) -> Result<Ends, StoreError> {
        let owner = self.roster.owner(&stream.node);
        let root = owner
            .and_then(|member| self.roster.member(&member))
            .map(|member| member.root_key.to_bytes());
        let listed = match self.roster.cut(stream) {
            Some(cut) => Some(self.counting(stream, cut.sequence, &cut.head)?),
            None => None,
        };
        let revocation = owner.and_then(|member| self.roster.revocation(member, &stream.node));
        let revoked = match revocation {
            Some(said) => {
                let named = said
                    .cuts
                    .iter()
                    .find(|cut| cut.incarnation == stream.incarnation && cut.tag == stream.tag);
                let last = match named {
                    Some(cut) => self.counting(stream, cut.sequence, &cut.head)?,
                    None => 0,
                };
                Some((said.root_key, said.serial, last))
            }
            None => None,
        };
        let forked = self
            .membership
            .fork_of(&stream.node, stream.incarnation)
            .map(|(tag, sequence)| if tag == stream.tag { sequence } else { 0 });
        Ok(Ends {
            root,
            listed,
            revoked,
            forked,
        })
    }

    /// Up to where a stream counts by a cut: to its end, where the chain to it is
    /// held, and nowhere before.
    fn counting(
        &self,
        stream: &StreamId,
        sequence: u64,
        head: &EnvelopeId,
    ) -> Result<u64, StoreError> {
        if self.streams.sequence(stream) < sequence {
            return Ok(0);
        }
        let there = match self.streams.at(stream, sequence) {
            Some(there) => Some(there),
            None => self
                .staged
                .sound_as(&table::sequence(stream, sequence), 32)?,
        };
        Ok(if there.as_ref() == Some(head) {
            sequence
        } else {
            0
        })
    }

    /// Where a stream ends by the newest sign of life of its node, if the
    /// certificate stands under which that was said. What is kept was current when
    /// it came, so nothing that a key says after its end is among it.
    fn end_said(&self, stream: &StreamId) -> Result<Option<(u64, EnvelopeId)>, StoreError> {
        let slot = crate::gate::Slot::Alive(stream.node);
        let Some(frame) = self.staged.sound(&table::notice(&slot))? else {
            return Ok(None);
        };
        let said = body_of(Kind::Alive, &frame)
            .and_then(|body| codec::decode::<SignedBytes<ALIVE_BYTES_MAX>>(body, frame.len()).ok())
            .and_then(|signed| signed.to_signed::<Alive>().claims().ok());
        let Some(said) = said else {
            return Ok(None);
        };
        let stands = self
            .roster
            .certificate(&said.certificate)
            .filter(|by| by.node == stream.node && by.incarnation == stream.incarnation)
            .is_some_and(|by| self.roster.stands(by));
        let named = said.heads.iter().find(|head| head.tag == stream.tag);
        Ok(named
            .filter(|_| stands)
            .map(|head| (head.sequence, head.head)))
    }

    /// Whether the node itself, while its key stood, named an end of this stream to
    /// which the chain is held. An end that nobody has vouches for nothing, or a
    /// thief could name one without bounds.
    fn is_vouched_for(&self, stream: &StreamId, sequence: u64) -> Result<bool, StoreError> {
        Ok(match self.end_said(stream)? {
            Some((last, head)) => sequence <= self.counting(stream, last, &head)?,
            None => false,
        })
    }

    /// Writes what speaks against an envelope, less what a person accepted, or that
    /// nothing does.
    fn hold_back(
        &mut self,
        wall_ms: u64,
        arrival: Arrival,
        stream: &StreamId,
        id: &EnvelopeId,
        reasons: Reasons,
    ) -> Result<(), StoreError> {
        let mut reasons = reasons;
        if !reasons.is_empty()
            && let Some(accepted) = self.accepted(id)?
        {
            reasons = reasons.without(accepted.reasons);
        }
        let key = table::quarantine(arrival);
        let held: Option<HeldBack> = self.staged.sound_as(&key, HELD_BACK_BYTES_MAX)?;
        if reasons.has(Quarantine::Expired) || reasons.has(Quarantine::Expelled) {
            self.doubts.unvouched.insert(*stream);
            if let Some((last, _)) = self.end_said(stream)? {
                self.await_place(stream, last);
            }
        }
        if reasons.has(Quarantine::Suspended)
            && let Some(member) = self.roster.owner(&stream.node)
        {
            let of_member = self.doubts.suspended.entry(member).or_default();
            of_member.insert(arrival);
        }
        match held {
            None if reasons.is_empty() => {}
            Some(_) if reasons.is_empty() => self.staged.remove(key),
            Some(held) if held.reasons == reasons => {}
            Some(HeldBack { since_ms, .. }) => {
                self.staged.put_as(key, &HeldBack { reasons, since_ms });
            }
            None => {
                let since_ms = wall_ms;
                self.staged.put_as(key, &HeldBack { reasons, since_ms });
            }
        }
        Ok(())
    }

    /// What is off the chain of its stream is held back, whatever else holds.
    pub(super) fn quarantine_displaced(
        &mut self,
        wall_ms: u64,
        arrival: Arrival,
        stream: &StreamId,
        id: &EnvelopeId,
    ) -> Result<(), StoreError> {
        self.hold_back(
            wall_ms,
            arrival,
            stream,
            id,
            Reasons::of(Quarantine::Forked),
        )
    }

    /// What an envelope says of itself, its id, and when it was taken; 0 where that
    /// is not known.
    fn header_at(&self, arrival: Arrival) -> Result<Option<(Header, EnvelopeId, u64)>, StoreError> {
        let entry: Option<LogEntry> = self
            .staged
            .sound_as(&table::log(arrival), FRAME_BYTES_MAX + 64)?;
        if let Some(entry) = entry
            && let Some(logged) = header_of_frame(entry.frame.as_slice())
        {
            return Ok(Some((logged.header, logged.id, entry.received_ms)));
        }
        let remains: Option<Remains> = self
            .staged
            .sound_as(&table::remains(arrival), REMAINS_BYTES_MAX)?;
        let read = remains.and_then(|remains| super::rebuild::remains(&codec::encode(&remains)));
        Ok(read.map(|(id, header)| (header, id, 0)))
    }
}
