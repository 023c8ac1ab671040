//! What is kept against authors: envelopes that contradict what is held, and the
//! proof of it that everybody is told.

use super::kept::Kept;
use super::messages::Event;
use super::opening::header_of_frame;
use super::{Engine, StreamId};
use crate::ids::EnvelopeId;
use crate::limits::{EVIDENCE_PER_STREAM_MAX, HEADER_BYTES_MAX};
use crate::store::{Store, StoreError};
use crate::table;
use crate::wire::envelope::{Header, Position, frame};
use crate::wire::exchange::RangeItem;
use crate::wire::notice::Proof;
use crate::wire::{Kind, SignedBytes};

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
            self.unsaid.push(frame(Kind::Proof, &proof));
        }
        Ok(())
    }
}
