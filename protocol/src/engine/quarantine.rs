//! What is held and not believed: envelopes above the cut of a key that has
//! ended, or of a life that signed two envelopes for one place.
//!
//! They are kept, since chains and other nodes need them, and shown to nobody
//! until a person here accepts them. A cut that the roster or a revocation lists
//! applies to everything, held or not; where there is no list, it lies at the
//! head of the last sign of life before the end, and only what comes later is
//! above it.

use super::Engine;
use super::kept::{Kept, kept_at};
use crate::gate::Frame;
use crate::ids::{EnvelopeId, MemberId, NodeId};
use crate::roster::Certificate;
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival};
use crate::time::Now;
use crate::wire::exchange::StreamId;
use bincode::{Decode, Encode};
use std::collections::BTreeSet;

/// Why an envelope is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Quarantine {
    /// Its author was expelled, or its root replaced.
    Expelled,
    /// The certificate it cites was revoked.
    Revoked,
    /// The certificate it cites had expired when it came.
    Expired,
    /// Its author is suspended.
    Suspended,
    /// Its author signed two envelopes for one place.
    Forked,
}

/// Where a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CutAt {
    /// Nothing has ended.
    Nowhere,
    /// Up to there everything counts; above it nothing does.
    Above(u64, Quarantine),
}

impl<S: Store> Engine<S> {
    /// Why an envelope that comes now is not believed, if it is not.
    pub(super) fn quarantine_of(
        &self,
        now: Now,
        stream: &StreamId,
        sequence: u64,
        frame: &Frame,
    ) -> Option<Quarantine> {
        let author = self
            .roster
            .certificate(&frame.header().prefix.certificate)?;
        match self.listed_cut(stream, author) {
            CutAt::Above(last, why) if sequence > last => return Some(why),
            // What its own root says counts, counts, whatever the node did.
            CutAt::Above(_, Quarantine::Revoked) => return None,
            CutAt::Above(..) | CutAt::Nowhere => {}
        }
        if self.membership.is_forked(&stream.node, stream.incarnation) {
            return Some(Quarantine::Forked);
        }
        if self
            .membership
            .suspensions()
            .is_suspended(&self.roster, &author.member, now.wall_ms)
        {
            return Some(Quarantine::Suspended);
        }
        let is_over = now.wall_ms > author.not_after_ms;
        (is_over && !self.is_vouched_for(stream, sequence)).then_some(Quarantine::Expired)
    }

    /// The cut that the roster, or its own member, lists for a stream.
    fn listed_cut(&self, stream: &StreamId, author: &Certificate) -> CutAt {
        let is_member_with_root = self
            .roster
            .author(&author.id, self.roster.epoch())
            .is_some();
        if !is_member_with_root {
            let last = self.roster.cut(stream).map_or(0, |cut| cut.sequence);
            // What a node of the same life signed under a certificate that stands
            // vouches for what lies below it.
            let last = last.max(self.vouched_through(stream));
            return CutAt::Above(last, Quarantine::Expelled);
        }
        match self.named_by_member(stream, author) {
            Some(last) => CutAt::Above(last, Quarantine::Revoked),
            None => CutAt::Nowhere,
        }
    }

    /// Up to where a stream counts by the word of its member's root; nothing where
    /// that did not end the certificate.
    fn named_by_member(&self, stream: &StreamId, author: &Certificate) -> Option<u64> {
        if !self.roster.is_revoked(author) {
            return None;
        }
        let revocation = self.roster.revocation(author.member, &author.node)?;
        let named = revocation
            .cuts
            .iter()
            .find(|cut| cut.incarnation == stream.incarnation && cut.tag == stream.tag);
        Some(named.map_or(0, |cut| cut.sequence))
    }

    /// Up to where a node that stands says its stream goes.
    fn vouched_through(&self, stream: &StreamId) -> u64 {
        if self.roster.node(&stream.node).is_none() {
            return 0;
        }
        self.membership
            .alives()
            .head(&stream.node, stream.incarnation, &stream.tag)
            .map_or(0, |(sequence, _)| sequence)
    }

    /// Whether a sign of life said that the stream goes as far. What came later of
    /// the stream says nothing: a thief could have sent that first.
    fn is_vouched_for(&self, stream: &StreamId, sequence: u64) -> bool {
        self.membership
            .alives()
            .head(&stream.node, stream.incarnation, &stream.tag)
            .is_some_and(|(last, _)| sequence <= last)
    }

    /// Marks an envelope of a member as not believed.
    pub(super) fn quarantine_of_member(
        &mut self,
        arrival: Arrival,
        author: MemberId,
        why: Quarantine,
    ) {
        if why == Quarantine::Suspended {
            self.suspended.insert(author);
        }
        self.quarantine(arrival, why);
    }

    fn quarantine(&mut self, arrival: Arrival, why: Quarantine) {
        self.staged.put_as(table::quarantine(arrival), &why);
    }

    /// What is held of a node's streams above their listed cuts is not believed
    /// from now on.
    pub(super) fn quarantine_beyond_cuts(&mut self, node: &NodeId) -> Result<(), StoreError> {
        for stream in self.streams.of_node(node) {
            let Some(author) = self
                .roster
                .newest_of_life(node, stream.incarnation)
                .cloned()
            else {
                continue;
            };
            if let CutAt::Above(last, why) = self.listed_cut(&stream, &author) {
                self.quarantine_from(&stream, last.saturating_add(1), why)?;
                if why == Quarantine::Revoked {
                    self.believe_up_to(&stream, last)?;
                }
            }
        }
        Ok(())
    }

    /// What a stream holds from a fork on is not believed, nor what comes of that
    /// life of the node: until its root ends it and says what counts.
    pub(super) fn quarantine_forked(
        &mut self,
        stream: &StreamId,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let named = self
            .roster
            .newest_of_life(&stream.node, stream.incarnation)
            .and_then(|author| self.named_by_member(stream, author));
        match named {
            Some(last) => self.quarantine_from(stream, last.saturating_add(1), Quarantine::Revoked),
            None => self.quarantine_from(stream, sequence, Quarantine::Forked),
        }
    }

    /// What its own root said counts of a forked stream is believed again.
    fn believe_up_to(&mut self, stream: &StreamId, last: u64) -> Result<(), StoreError> {
        let forked = crate::wire::codec::encode(&Quarantine::Forked);
        for arrival in self.arrivals_from(stream, 1, last)? {
            let key = table::quarantine(arrival);
            if self.staged.sound(&key)?.is_some_and(|why| why == forked) {
                self.staged.remove(key);
            }
        }
        Ok(())
    }

    /// What came of a suspended member is believed again when its suspension has
    /// ended, unless something else has ended meanwhile.
    pub(super) fn release_suspended(&mut self, now: Now) -> Result<(), StoreError> {
        let over: BTreeSet<MemberId> = self
            .suspended
            .iter()
            .filter(|member| {
                !self
                    .membership
                    .suspensions()
                    .is_suspended(&self.roster, member, now.wall_ms)
            })
            .copied()
            .collect();
        if over.is_empty() {
            return Ok(());
        }
        self.suspended.retain(|member| !over.contains(member));
        let mut arrivals = Vec::new();
        super::for_each(&self.staged, table::QUARANTINED, |key, value| {
            if *value == crate::wire::codec::encode(&Quarantine::Suspended) {
                arrivals.extend(table::arrival_of(key));
            }
            Ok(())
        })?;
        for arrival in arrivals {
            let author = match kept_at(&self.staged, arrival)? {
                Kept::Whole(logged) => logged.header.prefix.author,
                Kept::Remains(_, header) => header.prefix.author,
                Kept::Absent => continue,
            };
            // Who was expelled while it was suspended stays quarantined.
            if over.contains(&author) && self.roster.member(&author).is_some() {
                self.staged.remove(table::quarantine(arrival));
            }
        }
        Ok(())
    }

    fn quarantine_from(
        &mut self,
        stream: &StreamId,
        first: u64,
        why: Quarantine,
    ) -> Result<(), StoreError> {
        for arrival in self.arrivals_from(stream, first, u64::MAX)? {
            self.quarantine(arrival, why);
        }
        Ok(())
    }

    /// Where the envelopes of a stream between two places are in the log. All at
    /// once: it happens when a key ends, and 8 bytes each are less than what the
    /// marks about to be written take.
    fn arrivals_from(
        &self,
        stream: &StreamId,
        first: u64,
        last: u64,
    ) -> Result<Vec<Arrival>, StoreError> {
        let mut arrivals = Vec::new();
        for sequence in first..=last.min(self.streams.last(stream)) {
            let there: Option<EnvelopeId> = self
                .staged
                .sound_as(&table::sequence(stream, sequence), 32)?;
            if let Some(id) = there {
                arrivals.extend(self.staged.sound_as::<Arrival>(&table::envelope(&id), 9)?);
            }
        }
        Ok(arrivals)
    }
}
