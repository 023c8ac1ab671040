//! Answers: to members, and to strangers at the door.

use super::Engine;
use super::kept::Kept;
use super::messages::{AnswerToken, Outgoing, Output};
use super::receive::{is_expired, marking_of_header, release_frame};
use crate::gate::NotARequest;
use crate::ids::{CertificateId, EnvelopeId, NodeId};
use crate::limits::{LIST_LENGTH_BYTES_MAX, RANGE_BYTES_MAX, RANGE_FRAMES_MAX, REQUEST_BYTES_MAX};
use crate::marking::Marking;
use crate::policy::Release;
use crate::store::{Store, StoreError};
use crate::table;
use crate::time::Now;
use crate::wire::card::CertificateBytes;
use crate::wire::chunk_tree::path_of;
use crate::wire::envelope::frame;
use crate::wire::exchange::{
    Answer, DOOR_CERTIFICATES_MAX, DOOR_PIECE_BYTES_MAX, DoorAnswer, DoorRequest, Mark, RangeItem,
    Remains, Request, Scope, StreamId, Unavailable,
};
use crate::wire::{Bytes, Kind, List, codec};

/// What a peer may have of an envelope.
enum Servable {
    /// All of it.
    Live(Release<Outgoing>),
    /// Its header, since its time is over.
    Expired(Remains),
}

/// A damaged value ends nothing else. One that says what is held says nothing
/// when it cannot be read: ask again. An envelope that itself cannot be read is
/// not held, as far as a peer is concerned: once it is healed its stream is
/// listed anew, and every [`LIST_ALL_EVERY_MS`] all are. Nor is such a chunk,
/// which peers ask for again by themselves.
///
/// [`LIST_ALL_EVERY_MS`]: crate::limits::LIST_ALL_EVERY_MS
fn undamaged(answer: Result<Answer, StoreError>) -> Result<Answer, StoreError> {
    match answer {
        Err(StoreError::Damaged { .. }) => Ok(Answer::Unavailable {
            reason: Unavailable::Busy,
        }),
        Ok(_) | Err(StoreError::Failed { .. }) => answer,
    }
}

/// How long something is, and a piece of it.
pub(super) fn piece_of(whole: &[u8], offset: u32) -> (u32, Bytes<DOOR_PIECE_BYTES_MAX>) {
    let total = u32::try_from(whole.len()).unwrap_or(u32::MAX);
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = whole.get(at..).unwrap_or_default();
    let piece = rest.get(..DOOR_PIECE_BYTES_MAX).unwrap_or(rest);
    (total, Bytes::new(piece.to_vec()).unwrap_or_default())
}

impl<S: Store> Engine<S> {
    pub(super) fn on_request(
        &mut self,
        now: Now,
        from: NodeId,
        token: AnswerToken,
        request: Result<Request, NotARequest>,
    ) -> Result<(), StoreError> {
        let refused = Answer::Unavailable {
            reason: Unavailable::Refused,
        };
        let unknown = Answer::Unavailable {
            reason: Unavailable::Unknown,
        };
        let answer = match request {
            // Its link is about to end.
            _ if self.distrusts_node(&from) => refused,
            Ok(Request::Hello {
                federation, epoch, ..
            }) if federation == self.roster.federation() => {
                self.heard_hello_of(now, from)?;
                self.heard_epoch(now, from, epoch);
                Answer::Hello {
                    federation,
                    epoch: self.roster.epoch(),
                    nonce: self.nonce(),
                }
            }
            Ok(Request::Hello { .. }) => refused,
            // A newer version may ask more than this one knows.
            Err(NotARequest::Unknown { .. }) => unknown,
            Err(NotARequest::Malformed(_)) => {
                self.charge_peer(now, from, REQUEST_BYTES_MAX as u64);
                refused
            }
            // Hello comes first; until then nothing else is answered.
            Ok(_) if !self.peers.has_said_hello(&from) => refused,
            Ok(Request::Frontier { scope, .. }) if scope != Scope::OPEN => unknown,
            Ok(Request::Frontier {
                since, full, news, ..
            }) => {
                if news {
                    self.probe_soon(now, &from);
                }
                // A claim: what it names must not be forgotten.
                let answer = self.frontier(since, full);
                self.claim(Output::Answer { token, answer });
                return Ok(());
            }
            Ok(Request::Range {
                stream,
                from: first,
                to: last,
            }) => {
                if first == 0 || last < first || last - first >= RANGE_FRAMES_MAX as u64 {
                    refused
                } else {
                    self.traces
                        .asked_for_range(from, stream, (first, last), now.wall_ms);
                    // A claim: what the store shows may not be flushed yet, and
                    // an author who forgot what a peer already holds would sign
                    // another at its place.
                    let answer = undamaged(self.range(now, &from, &stream, (first, last)))?;
                    self.claim(Output::Answer { token, answer });
                    return Ok(());
                }
            }
            Ok(Request::Chunk { envelope, index }) => {
                self.traces.asked(&envelope, from, now.wall_ms);
                undamaged(self.chunk(now, &from, &envelope, index))?
            }
            Ok(Request::Notices { scope, since, have }) => {
                let Some(scope) = scope.scope() else {
                    self.outputs.push_back(Output::Answer {
                        token,
                        answer: unknown,
                    });
                    return Ok(());
                };
                // A claim, as a frontier is.
                let answer = undamaged(self.notices(scope, since, have))?;
                self.claim(Output::Answer { token, answer });
                return Ok(());
            }
            Ok(Request::Link { epoch }) => {
                let answer = undamaged(self.link(epoch))?;
                self.claim(Output::Answer { token, answer });
                return Ok(());
            }
            Ok(Request::KeyBlock { .. }) => Answer::Unavailable {
                reason: Unavailable::NotHeld,
            },
        };
        self.outputs.push_back(Output::Answer { token, answer });
        Ok(())
    }

    /// What changed since a mark, if it is one of this store.
    fn frontier(&self, since: Option<Mark>, full: bool) -> Answer {
        let holds = |mark: &Mark| {
            let (now, end) = (self.names.now, self.streams.newest());
            let mut names = self.names.former.iter().copied().chain([(now, end)]);
            names.any(|(store, end)| mark.store == store && mark.change <= end)
        };
        let since = since.filter(holds).map_or(0, |mark| mark.change);
        let page = self.streams.page(since, full, &self.names.now);
        let at = Mark {
            store: self.names.now,
            change: page.at,
        };
        match List::new(page.entries) {
            Ok(entries) => Answer::Frontier {
                at,
                entries,
                more: page.more,
            },
            Err(_) => Answer::Unavailable {
                reason: Unavailable::Refused,
            },
        }
    }

    /// Envelopes of a stream, of those that the store shows.
    fn range(
        &self,
        now: Now,
        to: &NodeId,
        stream: &StreamId,
        (first, last): (u64, u64),
    ) -> Result<Answer, StoreError> {
        let not_held = Answer::Unavailable {
            reason: Unavailable::NotHeld,
        };
        // Whom a sealed stream is served to, sealing will say.
        if !stream.tag.is_reserved() {
            return Ok(not_held);
        }
        let prefix = table::sequences(stream);
        let count = usize::try_from(last - first + 1).unwrap_or(RANGE_FRAMES_MAX);
        let end = table::sequence(stream, last);
        let places = self
            .staged
            .scan(&prefix, &table::sequence(stream, first), count)?;
        let mut items = Vec::new();
        let mut bytes = 0;
        // An expired one is read whole to give its header: what an answer costs
        // this node is bounded as what it brings is.
        let mut read = 0;
        for (key, value) in places.into_iter().take_while(|(key, _)| *key <= end) {
            if read > RANGE_BYTES_MAX {
                break;
            }
            let id: EnvelopeId = super::staged::read_value(&key, &value, 32)?;
            let kept = self.kept(&id)?;
            if let Kept::Whole(logged) = &kept {
                read += logged.bytes.len();
            }
            let Some(item) = self.item(now, to, kept) else {
                // Lost, or not for this peer: the rest is served all the same.
                continue;
            };
            bytes += codec::encode(&item).len();
            if bytes > RANGE_BYTES_MAX - LIST_LENGTH_BYTES_MAX {
                break;
            }
            items.push(item);
        }
        if items.is_empty() {
            return Ok(not_held);
        }
        Ok(match List::new(items) {
            Ok(items) => Answer::Range { items },
            Err(_) => Answer::Unavailable {
                reason: Unavailable::Refused,
            },
        })
    }

    /// An envelope for a range: whole while it lives, its remains afterwards.
    fn item(&self, now: Now, to: &NodeId, kept: Kept) -> Option<RangeItem> {
        Some(match self.servable(now, to, kept)? {
            Servable::Live(frame) => {
                let frame = Bytes::new(frame.into_inner().bytes).unwrap_or_default();
                RangeItem::Frame(frame)
            }
            Servable::Expired(remains) => RangeItem::Remains(remains),
        })
    }

    /// What this peer may have of an envelope.
    fn servable(&self, now: Now, to: &NodeId, kept: Kept) -> Option<Servable> {
        let logged = match kept {
            Kept::Whole(logged) => *logged,
            Kept::Remains(remains, _) => return Some(Servable::Expired(*remains)),
            Kept::Absent => return None,
        };
        if is_expired(logged.header.prefix.expiry_hour, now.wall_ms) {
            return Some(Servable::Expired(Remains {
                header: logged.signed,
                second_signature: logged.second_signature,
            }));
        }
        let marking = marking_of_header(&logged.header);
        let peer = self.peer_of(to, marking == Marking::Clear)?;
        release_frame(logged.bytes, marking, peer).map(Servable::Live)
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
        let kept = self.kept(id)?;
        if !matches!(self.servable(now, to, kept), Some(Servable::Live(_))) {
            return Ok(not_held);
        }
        let Some(leaves) = self.staged.sound(&table::leaves(id))? else {
            return Ok(not_held);
        };
        let (leaves, _) = leaves.as_chunks::<32>();
        let chunk = self.staged.sound(&table::chunk(id, index))?;
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
            Some(DoorRequest::Genesis { offset }) => {
                let (total, bytes) = piece_of(&self.genesis_file, offset);
                DoorAnswer::Genesis {
                    total,
                    offset,
                    bytes,
                }
            }
            Some(DoorRequest::Link { epoch, offset }) => {
                match self.staged.sound(&table::link(epoch))? {
                    Some(link) => {
                        let (total, bytes) = piece_of(&link, offset);
                        DoorAnswer::Link {
                            total,
                            offset,
                            bytes,
                        }
                    }
                    None => DoorAnswer::Unavailable,
                }
            }
            Some(DoorRequest::Certificates { after }) => self.certificates_after(now, after)?,
            Some(DoorRequest::Offer { certificate }) => {
                let accepted = self.offered(now, transport_key, &certificate)?;
                DoorAnswer::Offer { accepted }
            }
            Some(DoorRequest::Proposal { after, offset }) => {
                self.proposal_for(transport_key, after.as_ref(), offset)?
            }
            Some(DoorRequest::Consent { vote }) => {
                let accepted = self.consented(now, transport_key, vote)?;
                DoorAnswer::Consent { accepted }
            }
            // Whom a person has invited is the node's own affair and no part of
            // the protocol's state: the shell answers before it comes here.
            Some(DoorRequest::Knock { .. }) => DoorAnswer::Unavailable,
        };
        self.claim(Output::Door { token, answer });
        Ok(())
    }

    /// Certificates that are current, for somebody who was away so long that it
    /// knows nobody's: of the nodes above the one named, by ascending node.
    fn certificates_after(
        &self,
        now: Now,
        after: Option<NodeId>,
    ) -> Result<DoorAnswer, StoreError> {
        let mut ids: Vec<(NodeId, CertificateId)> = self
            .roster
            .nodes()
            .filter(|held| held.is_current(now.wall_ms))
            .filter(|held| after.is_none_or(|after| held.node > after))
            .map(|held| (held.node, held.id))
            .collect();
        ids.sort_unstable();
        let mut more = ids.len() > DOOR_CERTIFICATES_MAX;
        ids.truncate(DOOR_CERTIFICATES_MAX);
        let mut certificates = Vec::new();
        for (_, id) in &ids {
            // Those of genesis and chain are there to be had.
            if let Some(certificate) = self.staged.sound_as::<CertificateBytes>(
                &table::certificate(id),
                crate::limits::DOOR_BYTES_MAX,
            )? {
                certificates.push(certificate);
            }
        }
        let last = ids.last().map(|(node, _)| *node);
        more &= last.is_some();
        Ok(match List::new(certificates) {
            Ok(certificates) => DoorAnswer::Certificates {
                certificates,
                last,
                more,
            },
            Err(_) => DoorAnswer::Unavailable,
        })
    }

    /// Takes a certificate offered by the node it is for.
    fn offered(
        &mut self,
        now: Now,
        transport_key: &[u8; 32],
        certificate: &CertificateBytes,
    ) -> Result<bool, StoreError> {
        let of_connection = certificate
            .claims()
            .is_ok_and(|claimed| claimed.transport_key == *transport_key);
        if !of_connection {
            return Ok(false);
        }
        let known = certificate.claims().is_ok_and(|claimed| {
            let node = NodeId::of_transport(&claimed.transport_key);
            self.roster
                .node(&node)
                .is_some_and(|held| held.serial == claimed.serial && held.is_current(now.wall_ms))
        });
        if known {
            return Ok(true);
        }
        self.admit(now, certificate)
    }

    /// Takes a certificate that a person installed, as the door would.
    pub(super) fn on_certificate(
        &mut self,
        now: Now,
        certificate: &CertificateBytes,
    ) -> Result<(), StoreError> {
        // It may have come from others before.
        self.admit(now, certificate)?;
        let life = certificate.claims().ok().and_then(|claimed| {
            self.roster
                .certificates_of(self.me.member)
                .find(|held| {
                    held.node == self.me.node
                        && (held.serial, held.incarnation) == (claimed.serial, claimed.incarnation)
                })
                .map(|held| held.incarnation)
        });
        if let Some(life) = life {
            self.live_on(life);
        }
        Ok(())
    }

    /// Takes a certificate that holds, is current and is newer than what is
    /// known of its node; and signs under it when it is of this node's own keys.
    fn admit(&mut self, now: Now, certificate: &CertificateBytes) -> Result<bool, StoreError> {
        // The signatures before anything is copied: strangers ask here.
        if self
            .roster
            .check_certificate(certificate, now.wall_ms)
            .is_err()
        {
            return Ok(false);
        }
        // From here on it is a notice: the mesh carries it to who has no door.
        let frame = frame(Kind::NodeCert, certificate);
        Ok(self.utter(now, frame)?.is_ok())
    }
}
