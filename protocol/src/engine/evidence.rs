//! What is kept against authors: envelopes that contradict what is held, and the
//! proof of it that everybody is told.

use super::kept::Kept;
use super::messages::Event;
use super::opening::header_of_frame;
use super::{Engine, StreamId};
use crate::ids::{EnvelopeId, NodeId};
use crate::limits::{EVIDENCE_PER_STREAM_MAX, HEADER_BYTES_MAX, NOTICE_AGAIN_MS};
use crate::store::{Store, StoreError};
use crate::table;
use crate::time::Instant;
use crate::wire::envelope::{Header, Position, frame};
use crate::wire::exchange::RangeItem;
use crate::wire::notice::Proof;
use crate::wire::{Kind, SignedBytes, Tag};
use std::collections::BTreeMap;

/// A node and its incarnation.
type Life = (NodeId, u64);

/// Where in the streams of a life: tag and sequence.
type Place = (Tag, u64);

/// Proofs that are to be told as a step ends: of each life of a node the one of the
/// least place, and the next one a minute later at the earliest. A life that forks
/// at one place after the other, downwards, would otherwise have everybody tell and
/// judge it again for each.
#[derive(Debug, Default)]
pub(super) struct Unsaid {
    waiting: BTreeMap<Life, (Place, Vec<u8>)>,
    told: BTreeMap<Life, Instant>,
    /// Of members that voted twice: one of each, for it is held once it was told.
    votes: Vec<Vec<u8>>,
}

impl Unsaid {
    /// The proof that a member voted twice.
    pub(super) fn put_votes(&mut self, proof: Vec<u8>) {
        self.votes.push(proof);
    }

    fn put(&mut self, life: Life, place: Place, proof: Vec<u8>) {
        let waits = self.waiting.get(&life);
        if waits.is_none_or(|(known, _)| place < *known) {
            self.waiting.insert(life, (place, proof));
        }
    }

    /// Those whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut due = core::mem::take(&mut self.votes);
        let told = &mut self.told;
        self.waiting.retain(|life, (_, proof)| {
            let is_soon = told
                .get(life)
                .is_some_and(|at| now.since_ms(*at) < NOTICE_AGAIN_MS);
            if !is_soon {
                told.insert(*life, now);
                due.push(core::mem::take(proof));
            }
            is_soon
        });
        due
    }
}

impl<S: Store> Engine<S> {
    /// Keeps what contradicts what is held. `same_place` says that the two
    /// claim one place, which is a proof by itself.
    pub(super) fn keep_evidence(
        &mut self,
        stream: &StreamId,
        position: &Position,
        id: &EnvelopeId,
        item: &RangeItem,
        same_place: bool,
    ) -> Result<(), StoreError> {
        let key = table::evidence(stream, position.sequence, id);
        // The same one comes again with every catch-up: it is one proof.
        if self.staged.sound(&key)?.is_some() {
            return Ok(());
        }
        let evidence = self.evidence.entry(*stream).or_default();
        // The last place is for a proof.
        let places = EVIDENCE_PER_STREAM_MAX - u32::from(!same_place || evidence.is_fork);
        let has_room = evidence.kept < places;
        if has_room {
            evidence.kept += 1;
            evidence.is_fork |= same_place;
            self.staged.put_as(key, item);
        }
        // From the least place that is known on nothing is believed, so a lesser one
        // is told also where nothing more is kept: the proof itself is.
        let place = (position.tag, position.sequence);
        let is_news = self
            .membership
            .fork_of(&stream.node, stream.incarnation)
            .is_none_or(|known| place < known);
        if same_place && is_news {
            self.prove_fork(stream, position, item)?;
        }
        if !has_room {
            return Ok(());
        }
        let author = self.roster.node(&stream.node).map(|author| author.member);
        if let Some(author) = author {
            self.event(Event::Conflict {
                author,
                envelope: *id,
            });
        }
        Ok(())
    }

    /// Two headers that claim one place are a proof that anybody can check: it is
    /// told to everybody.
    fn prove_fork(
        &mut self,
        stream: &StreamId,
        position: &Position,
        item: &RangeItem,
    ) -> Result<(), StoreError> {
        let other = match item {
            RangeItem::Frame(frame) => header_of_frame(frame.as_slice()).map(|it| it.signed),
            RangeItem::Remains(remains) => Some(remains.header.clone()),
        };
        let there: Option<EnvelopeId> = self
            .staged
            .sound_as(&table::sequence(stream, position.sequence), 32)?;
        let held = match there {
            Some(id) => match self.kept(&id)? {
                Kept::Whole(logged) => Some(logged.signed),
                Kept::Remains(remains, _) => Some(remains.header),
                Kept::Absent => None,
            },
            None => None,
        };
        if let (Some(one), Some(another)) = (held, other) {
            // In one order, so that everybody makes the same proof of it.
            let id = |signed: &SignedBytes<HEADER_BYTES_MAX>| signed.to_signed::<Header>().id();
            let (first, second) = if id(&one) < id(&another) {
                (one, another)
            } else {
                (another, one)
            };
            let proof = Proof::Fork { first, second };
            let place = (position.tag, position.sequence);
            let life = (stream.node, stream.incarnation);
            self.unsaid.put(life, place, frame(Kind::Proof, &proof));
        }
        Ok(())
    }
}
