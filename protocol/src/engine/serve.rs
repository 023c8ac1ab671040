//! Answers: to members, and to strangers at the door.

use super::Engine;
use super::messages::{AnswerToken, Event, Outgoing, Output};
use super::opening::header_of_frame;
use super::receive::{is_expired, marking_of_header, release_frame};
use crate::ids::{EnvelopeId, NodeId};
use crate::limits::{FRAME_BYTES_MAX, HEADER_BYTES_MAX, RANGE_BYTES_MAX, RANGE_FRAMES_MAX};
use crate::marking::Marking;
use crate::policy::Release;
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, LogEntry};
use crate::time::Now;
use crate::wire::card::CertificateBytes;
use crate::wire::chunk_tree::path_of;
use crate::wire::envelope::SignedBytes;
use crate::wire::exchange::{
    Answer, DOOR_PIECE_BYTES_MAX, DoorAnswer, DoorRequest, RangeItem, Request, StreamId,
    Unavailable,
};
use crate::wire::{Bytes, List};
use std::sync::Arc;

/// What a peer may have of an envelope.
enum Servable {
    /// All of it.
    Live(Release<Outgoing>),
    /// Its header, since its time is over.
    Expired(SignedBytes<HEADER_BYTES_MAX>),
}

/// A damaged value is not held: that the store reported it is no reason to
/// stop serving the rest.
fn undamaged(answer: Result<Answer, StoreError>) -> Result<Answer, StoreError> {
    match answer {
        Err(StoreError::Damaged { .. }) => Ok(Answer::Unavailable {
            reason: Unavailable::NotHeld,
        }),
        Ok(_) | Err(StoreError::Failed { .. }) => answer,
    }
}

impl<S: Store> Engine<S> {
    pub(super) fn on_request(
        &mut self,
        now: Now,
        from: NodeId,
        token: AnswerToken,
        request: Option<Request>,
    ) -> Result<(), StoreError> {
        let refused = Answer::Unavailable {
            reason: Unavailable::Refused,
        };
        let answer = match request {
            Some(Request::Hello { federation, .. }) if federation == self.roster.federation() => {
                self.heard_hello_of(now, from)?;
                Answer::Hello {
                    federation,
                    epoch: self.roster.epoch(),
                }
            }
            Some(Request::Hello { .. }) | None => refused,
            // Hello comes first; until then nothing else is answered.
            Some(_) if !self.peers.has_said_hello(&from) => refused,
            Some(Request::Probe { digest }) => {
                let ours = self.streams.digest();
                if ours != digest {
                    self.probe_differed(now, &from);
                }
                // The sign of life waits for no disk. A digest lets nobody ask
                // for what might be forgotten: frontiers and ranges do, and wait.
                Answer::Probe { digest: ours }
            }
            Some(Request::Frontier { after }) => {
                let (entries, more) = self.streams.page(after);
                let answer = match List::new(entries) {
                    Ok(entries) => Answer::Frontier { entries, more },
                    Err(_) => refused,
                };
                self.claim(Output::Answer { token, answer });
                return Ok(());
            }
            Some(Request::Range { stream, after }) => {
                // A claim: what the store shows may not be flushed yet, and an
                // author who forgot what a peer already holds would sign
                // another at its place.
                let answer = undamaged(self.range(now, &from, &stream, after))?;
                self.claim(Output::Answer { token, answer });
                return Ok(());
            }
            Some(Request::Chunk { envelope, index }) => {
                undamaged(self.chunk(now, &from, &envelope, index))?
            }
            Some(Request::KeyBlock { .. }) => Answer::Unavailable {
                reason: Unavailable::NotHeld,
            },
        };
        self.outputs.push_back(Output::Answer { token, answer });
        Ok(())
    }

    /// Envelopes of a stream, of those that the store shows.
    fn range(
        &self,
        now: Now,
        to: &NodeId,
        stream: &StreamId,
        after: u64,
    ) -> Result<Answer, StoreError> {
        let prefix = table::sequences(stream);
        let first = table::sequence(stream, after.saturating_add(1));
        let places = self.staged.scan(&prefix, &first, RANGE_FRAMES_MAX + 1)?;
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut more = places.len() > RANGE_FRAMES_MAX;
        for (key, value) in places.into_iter().take(RANGE_FRAMES_MAX) {
            let id: EnvelopeId = super::staged::read_value(&key, &value, 32)?;
            let Some(item) = self.item(now, to, &id)? else {
                continue;
            };
            bytes += match &item {
                RangeItem::Frame(frame) => frame.len() + 8,
                RangeItem::Header(_) => HEADER_BYTES_MAX + 72,
            };
            if bytes > RANGE_BYTES_MAX {
                more = true;
                break;
            }
            items.push(item);
        }
        Ok(match List::new(items) {
            Ok(items) => Answer::Range { items, more },
            Err(_) => Answer::Unavailable {
                reason: Unavailable::Refused,
            },
        })
    }

    /// An envelope for a range: whole while it lives, its header afterwards.
    fn item(
        &self,
        now: Now,
        to: &NodeId,
        id: &EnvelopeId,
    ) -> Result<Option<RangeItem>, StoreError> {
        let Some(arrival) = self.staged.get_as::<Arrival>(&table::envelope(id), 9)? else {
            return Ok(None);
        };
        let retained = self
            .staged
            .get_as(&table::retained(arrival), HEADER_BYTES_MAX + 72)?;
        if let Some(header) = retained {
            return Ok(Some(RangeItem::Header(header)));
        }
        match self.releasable(now, to, id)? {
            Some(Servable::Live(frame)) => {
                let frame = Bytes::new(frame.into_inner().bytes).unwrap_or_default();
                Ok(Some(RangeItem::Frame(frame)))
            }
            Some(Servable::Expired(header)) => Ok(Some(RangeItem::Header(header))),
            None => Ok(None),
        }
    }

    /// What this peer may have of an envelope of the log.
    fn releasable(
        &self,
        now: Now,
        to: &NodeId,
        id: &EnvelopeId,
    ) -> Result<Option<Servable>, StoreError> {
        let Some(arrival) = self.staged.get_as::<Arrival>(&table::envelope(id), 9)? else {
            return Ok(None);
        };
        let key = table::log(arrival);
        let Some(entry) = self.staged.get_as::<LogEntry>(&key, FRAME_BYTES_MAX + 64)? else {
            return Ok(None);
        };
        let frame = entry.frame.into_vec();
        let Some(logged) = header_of_frame(&frame) else {
            return Err(super::damaged(&key));
        };
        let Some(peer) = self.peer_of(to, marking_of_header(&logged.header) == Marking::Clear)
        else {
            return Ok(None);
        };
        if is_expired(logged.header.prefix.expiry_hour, now.wall_ms) {
            return Ok(Some(Servable::Expired(logged.signed)));
        }
        let marking = marking_of_header(&logged.header);
        let released = release_frame(frame, marking, peer);
        Ok(released.map(Servable::Live))
    }

    fn chunk(
        &self,
        now: Now,
        to: &NodeId,
        id: &EnvelopeId,
        index: u32,
    ) -> Result<Answer, StoreError> {
        let not_held = Answer::Unavailable {
            reason: Unavailable::NotHeld,
        };
        // The decision is about the envelope that the chunk is of.
        if !matches!(self.releasable(now, to, id)?, Some(Servable::Live(_))) {
            return Ok(not_held);
        }
        let Some(leaves) = self.staged.get(&table::leaves(id))? else {
            return Ok(not_held);
        };
        let (leaves, _) = leaves.as_chunks::<32>();
        let chunk = self.staged.get(&table::chunk(id, index))?;
        Ok(match (chunk.map(Bytes::new), path_of(leaves, index)) {
            (Some(Ok(bytes)), Some(path)) => Answer::Chunk { bytes, path },
            (Some(_) | None, _) => not_held,
        })
    }

    pub(super) fn on_door(
        &mut self,
        now: Now,
        token: AnswerToken,
        transport_key: &[u8; 32],
        request: Option<DoorRequest>,
    ) -> Result<(), StoreError> {
        let answer = match request {
            None => DoorAnswer::Unavailable,
            Some(DoorRequest::Genesis { offset }) => self.genesis_piece(offset),
            Some(DoorRequest::Offer { certificate }) => {
                let accepted = self.offered(now, transport_key, &certificate);
                DoorAnswer::Offer { accepted }
            }
        };
        self.claim(Output::Door { token, answer });
        Ok(())
    }

    fn genesis_piece(&self, offset: u32) -> DoorAnswer {
        let total = u32::try_from(self.genesis_file.len()).unwrap_or(u32::MAX);
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.genesis_file.get(at..).unwrap_or_default();
        let piece = rest.get(..DOOR_PIECE_BYTES_MAX).unwrap_or(rest);
        match Bytes::new(piece.to_vec()) {
            Ok(bytes) => DoorAnswer::Genesis {
                total,
                offset,
                bytes,
            },
            Err(_) => DoorAnswer::Unavailable,
        }
    }

    /// Takes a certificate offered by the node it is for.
    fn offered(
        &mut self,
        now: Now,
        transport_key: &[u8; 32],
        certificate: &CertificateBytes,
    ) -> bool {
        let of_connection = certificate
            .claims()
            .is_ok_and(|claimed| claimed.transport_key == *transport_key);
        if !of_connection {
            return false;
        }
        let known = certificate.claims().is_ok_and(|claimed| {
            let node = NodeId::of_transport(&claimed.transport_key);
            self.roster
                .node(&node)
                .is_some_and(|held| held.serial == claimed.serial && held.is_current(now.wall_ms))
        });
        if known {
            return true;
        }
        // The signatures before anything is copied: strangers ask here.
        if self
            .roster
            .check_certificate(certificate, now.wall_ms)
            .is_err()
        {
            return false;
        }
        let mut roster = (*self.roster).clone();
        let Ok(admitted) = roster.admit_certificate(certificate, now.wall_ms) else {
            return false;
        };
        self.staged
            .put_as(table::certificate(&admitted.id), certificate);
        self.roster = Arc::new(roster);
        self.outputs.push_back(Output::Roster(self.roster()));
        self.event(Event::Admitted {
            certificate: admitted.id,
            member: admitted.member,
        });
        true
    }
}
