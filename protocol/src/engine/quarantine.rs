//! What is held and not believed: envelopes above the cut of a key that has
//! ended, or of a life that signed two envelopes for one place.
//!
//! They are kept, since chains and other nodes need them, and shown to nobody
//! until a person here accepts them. A cut that the roster or a revocation lists
//! applies to everything, held or not; where there is no list, it lies at the
//! head of the last sign of life before the end, and only what comes later is
//! above it.

use super::Engine;
use crate::gate::Frame;
use crate::ids::{EnvelopeId, NodeId};
use crate::roster::Certificate;
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival};
use crate::time::Now;
use crate::wire::exchange::StreamId;
use bincode::{Decode, Encode};

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
        if self.membership.is_forked(&stream.node, stream.incarnation) {
            return Some(Quarantine::Forked);
        }
        if let CutAt::Above(last, why) = self.listed_cut(stream, author)
            && sequence > last
        {
            return Some(why);
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
        if !self.roster.is_revoked(author) {
            return CutAt::Nowhere;
        }
        let last = self
            .roster
            .revocation(author.member, &author.node)
            .and_then(|revocation| {
                revocation
                    .cuts
                    .iter()
                    .find(|cut| cut.incarnation == stream.incarnation && cut.tag == stream.tag)
                    .map(|cut| cut.sequence)
            })
            .unwrap_or(0);
        CutAt::Above(last, Quarantine::Revoked)
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

    pub(super) fn quarantine(&mut self, arrival: Arrival, why: Quarantine) {
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
            }
        }
        Ok(())
    }

    /// Everything of a life of a node is not believed from now on.
    pub(super) fn quarantine_life(
        &mut self,
        node: &NodeId,
        incarnation: u64,
    ) -> Result<(), StoreError> {
        for stream in self.streams.of_node(node) {
            if stream.incarnation == incarnation {
                self.quarantine_from(&stream, 1, Quarantine::Forked)?;
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
        const PAGE: usize = 1_024;
        let prefix = table::sequences(stream);
        let mut from = table::sequence(stream, first);
        loop {
            let page = self.staged.scan(&prefix, &from, PAGE)?;
            for (_, value) in &page {
                let id: Option<EnvelopeId> = crate::wire::codec::decode(value, 32).ok();
                let arrival = match id {
                    Some(id) => self.staged.sound_as::<Arrival>(&table::envelope(&id), 9)?,
                    None => None,
                };
                if let Some(arrival) = arrival {
                    self.quarantine(arrival, why);
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => {
                    from.clone_from(last);
                    from.push(0);
                }
                Some(_) | None => return Ok(()),
            }
        }
    }
}
