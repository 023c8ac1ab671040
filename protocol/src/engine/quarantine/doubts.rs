//! What is judged again, and when: what changes in a step is noted, and what it
//! decides about is judged once as the step ends.

use super::{Ends, Facts, HELD_BACK_BYTES_MAX, HeldBack, Quarantine, Reasons};
use crate::engine::{Engine, for_each, rebuild};
use crate::ids::{EnvelopeId, MemberId, NodeId};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, Through};
use crate::time::Now;
use crate::wire::codec;
use crate::wire::exchange::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use watchfire_crypto::sha256;

/// What is remembered of quarantine between steps.
#[derive(Debug, Default)]
pub(in crate::engine) struct Doubts {
    /// What had ended of each stream when it was judged, as a hash.
    judged: BTreeMap<StreamId, [u8; 32]>,
    /// Places that a stream must reach before more of it can be believed: the
    /// least of each.
    pub(super) awaited: BTreeMap<StreamId, u64>,
    /// Streams of which something is held back that a sign of life may vouch for.
    pub(super) unvouched: BTreeSet<StreamId>,
    /// Up to where such a stream was judged by the end that was named last.
    vouched: BTreeMap<StreamId, u64>,
    /// What is held back because its author is suspended.
    pub(super) suspended: BTreeMap<MemberId, BTreeSet<Arrival>>,
    /// Nodes of which something changed in this step.
    nodes: BTreeSet<NodeId>,
}

impl<S: Store> Engine<S> {
    /// A stream has grown.
    pub(in crate::engine) fn has_grown(&mut self, stream: &StreamId) {
        let is_awaited = self
            .doubts
            .awaited
            .get(stream)
            .is_some_and(|place| self.streams.sequence(stream) >= *place);
        if is_awaited || !self.doubts.judged.contains_key(stream) {
            self.doubt(stream.node);
        }
    }

    /// Something changed that decides about what is held of a node: it is judged
    /// again as the step ends, once for all that changed in it.
    pub(in crate::engine) fn doubt(&mut self, node: NodeId) {
        self.doubts.nodes.insert(node);
    }

    /// As [`Self::doubt`], of every node.
    pub(in crate::engine) fn doubt_all(&mut self) {
        self.doubts.nodes.extend(self.streams.nodes());
    }

    /// A node said where its streams end.
    pub(in crate::engine) fn heard_ends(
        &mut self,
        now: Now,
        node: &NodeId,
    ) -> Result<(), StoreError> {
        let streams: Vec<StreamId> = self
            .doubts
            .unvouched
            .iter()
            .filter(|stream| stream.node == *node)
            .copied()
            .collect();
        for stream in streams {
            self.judge_unvouched(now, &stream)?;
        }
        Ok(())
    }

    /// Judges again what is held back of a stream and lies below the end that its
    /// node names.
    fn judge_unvouched(&mut self, now: Now, stream: &StreamId) -> Result<(), StoreError> {
        let Some((last, head)) = self.end_said(stream)? else {
            return Ok(());
        };
        let vouched = self.counting(stream, last, &head)?;
        let before = self.doubts.vouched.get(stream).copied().unwrap_or(0);
        if vouched > before {
            let ends = self.ends_of(stream)?;
            self.judge_stream(now, stream, &ends, (before.saturating_add(1), vouched))?;
            self.doubts.vouched.insert(*stream, vouched);
        } else {
            self.await_place(stream, last);
        }
        Ok(())
    }

    pub(super) fn await_place(&mut self, stream: &StreamId, place: u64) {
        if self.streams.sequence(stream) < place {
            let least = self.doubts.awaited.entry(*stream).or_insert(place);
            *least = (*least).min(place);
        }
    }

    /// Judges again what is in doubt since this step.
    pub(in crate::engine) fn settle_doubts(&mut self, now: Now) -> Result<(), StoreError> {
        for node in core::mem::take(&mut self.doubts.nodes) {
            for stream in self.streams.of_node(&node) {
                self.judge_again(now, &stream)?;
            }
        }
        Ok(())
    }

    /// At a start: what was judged under another roster than this is judged again,
    /// however this one came.
    pub(in crate::engine) fn restore_doubts(&mut self, now: Now) -> Result<(), StoreError> {
        let mut judged = BTreeMap::new();
        for_each(&self.staged, table::JUDGED, |key, value| {
            if let (Some((stream, None)), Ok(hash)) = (table::stream_of(key), value.try_into()) {
                judged.insert(stream, hash);
            }
            Ok(())
        })?;
        self.doubts.judged = judged;
        let mut marked = Vec::new();
        for_each(&self.staged, table::QUARANTINED, |key, value| {
            let held: Option<HeldBack> = codec::decode(value, HELD_BACK_BYTES_MAX).ok();
            let reasons = held.map_or_else(Reasons::default, |held| held.reasons);
            let may_end = [
                Quarantine::Expelled,
                Quarantine::Expired,
                Quarantine::Suspended,
            ];
            if may_end.into_iter().any(|why| reasons.has(why)) {
                marked.extend(table::arrival_of(key).map(|arrival| (arrival, reasons)));
            }
            Ok(())
        })?;
        for (arrival, reasons) in marked {
            let Some((header, ..)) = self.header_at(arrival)? else {
                continue;
            };
            if reasons.has(Quarantine::Suspended) {
                let author = header.prefix.author;
                let of_member = self.doubts.suspended.entry(author).or_default();
                of_member.insert(arrival);
            }
            if let Some((stream, _)) = rebuild::place_in(&self.roster, &header)
                && reasons.without(Reasons::of(Quarantine::Suspended)) != Reasons::default()
            {
                self.doubts.unvouched.insert(stream);
                if let Some((last, _)) = self.end_said(&stream)? {
                    self.await_place(&stream, last);
                }
            }
        }
        self.doubt_all();
        self.settle_doubts(now)
    }

    /// Judges all of a stream again, if anything of it has ended since.
    fn judge_again(&mut self, now: Now, stream: &StreamId) -> Result<(), StoreError> {
        let ends = self.ends_of(stream)?;
        self.doubts.awaited.remove(stream);
        self.await_ends(stream)?;
        let hash = sha256(&codec::encode(&ends));
        if self.doubts.judged.get(stream) != Some(&hash) {
            self.judge_stream(now, stream, &ends, (1, u64::MAX))?;
            self.doubts.judged.insert(*stream, hash);
            self.staged.put(table::judged(stream), hash.to_vec());
        } else if self.doubts.unvouched.contains(stream) {
            self.judge_unvouched(now, stream)?;
        }
        Ok(())
    }

    /// The ends of a stream that are not reached.
    fn await_ends(&mut self, stream: &StreamId) -> Result<(), StoreError> {
        let mut places: Vec<u64> = Vec::new();
        places.extend(self.roster.cut(stream).map(|cut| cut.sequence));
        if let Some(said) = self
            .roster
            .owner(&stream.node)
            .and_then(|member| self.roster.revocation(member, &stream.node))
        {
            let of_stream = said
                .cuts
                .iter()
                .filter(|cut| cut.incarnation == stream.incarnation && cut.tag == stream.tag);
            places.extend(of_stream.map(|cut| cut.sequence));
        }
        if self.doubts.unvouched.contains(stream) {
            places.extend(self.end_said(stream)?.map(|(last, _)| last));
        }
        for place in places {
            self.await_place(stream, place);
        }
        Ok(())
    }

    /// Judges what is held of a stream, one envelope after the other. All at once:
    /// it happens when a key ends.
    fn judge_stream(
        &mut self,
        now: Now,
        stream: &StreamId,
        ends: &Ends,
        (first, last): (u64, u64),
    ) -> Result<(), StoreError> {
        for sequence in first..=last.min(self.streams.last(stream)) {
            let there: Option<EnvelopeId> = self
                .staged
                .sound_as(&table::sequence(stream, sequence), 32)?;
            let Some(id) = there else {
                continue;
            };
            if let Some(arrival) = self.staged.sound_as::<Arrival>(&table::envelope(&id), 9)? {
                self.judge_held(now, arrival, stream, ends, sequence, &id)?;
            }
        }
        Ok(())
    }

    fn judge_held(
        &mut self,
        now: Now,
        arrival: Arrival,
        stream: &StreamId,
        ends: &Ends,
        sequence: u64,
        id: &EnvelopeId,
    ) -> Result<(), StoreError> {
        // What cannot be read is judged when it has come again.
        let Some((header, _, received_ms)) = self.header_at(arrival)? else {
            return Ok(());
        };
        let facts = Facts {
            cited: &header.prefix.certificate,
            sequence,
            received_ms,
            came_suspended: self.came_suspended(arrival)?,
        };
        let reasons = self.reasons(now, stream, ends, facts)?;
        self.hold_back(now.wall_ms, arrival, stream, id, reasons)
    }

    /// What came of a suspended member is judged again when its suspension has
    /// ended: something else may have ended meanwhile.
    pub(in crate::engine) fn release_suspended(&mut self, now: Now) -> Result<(), StoreError> {
        let over: Vec<MemberId> = self
            .doubts
            .suspended
            .keys()
            .filter(|member| !self.is_suspended(now, member))
            .copied()
            .collect();
        for member in over {
            for arrival in self.doubts.suspended.remove(&member).unwrap_or_default() {
                let Some((header, id, _)) = self.header_at(arrival)? else {
                    continue;
                };
                if let Some((stream, position)) = rebuild::place_in(&self.roster, &header) {
                    let ends = self.ends_of(&stream)?;
                    self.judge_held(now, arrival, &stream, &ends, position.sequence, &id)?;
                }
            }
        }
        Ok(())
    }

    /// Up to where a stream is held without a gap and nothing of it held back: what
    /// this node can say that counts. What was only ever held back must not count
    /// because its author is expelled.
    pub(in crate::engine) fn believed_through(
        &self,
        stream: &StreamId,
    ) -> Result<Option<Through>, StoreError> {
        let mut through = None;
        for sequence in 1..=self.streams.sequence(stream) {
            let there: Option<EnvelopeId> = self
                .staged
                .sound_as(&table::sequence(stream, sequence), 32)?;
            let Some(head) = there else {
                break;
            };
            let arrival: Option<Arrival> = self.staged.sound_as(&table::envelope(&head), 9)?;
            let is_held_back = match arrival {
                Some(arrival) => self.staged.get(&table::quarantine(arrival))?.is_some(),
                None => true,
            };
            if is_held_back {
                break;
            }
            through = Some(Through { sequence, head });
        }
        Ok(through)
    }
}
