//! This node's own bundles: made, signed, stored, and only then let out.

use super::Engine;
use super::kept::Kept;
use super::messages::{ClientToken, Event, Output, PublishRefusal, Published};
use super::receive::HOUR_MS;
use super::receive::release_frame;
use super::trace::{Arrived, First};
use crate::ids::{BundleId, EnvelopeId, MemberId};
use crate::limits::{BODY_INLINE_BYTES_MAX, BUNDLE_LIFE_MS_MAX, CHUNK_BYTES};
use crate::marking::Marking;
use crate::opening::Draft;
use crate::policy::{Action, Peer, Standing, Subject, decide};
use crate::store::{Store, StoreError};
use crate::table::rows::Filed;
use crate::table::{self, LogEntry};
use crate::time::Now;
use crate::wire::bundle::{Audience, Bundle};
use crate::wire::chunk_tree::{Root, leaves};
use crate::wire::envelope::{
    Binding, Class, Envelope, Header, Inner, PayloadBinding, Position, Prefix, SignedBytes, frame,
};
use crate::wire::{Bytes, Kind, TooLong, codec};
use std::collections::BTreeSet;
use watchfire_crypto::{Signed, sha256};

/// What a frame of class open has beside its payload: header, head, signatures.
const FRAME_OVERHEAD_BYTES_MAX: u64 = 1_024;

/// Everything that belongs to one publication.
struct Made {
    bundle: BundleId,
    envelope: EnvelopeId,
    position: Position,
    frame: Vec<u8>,
    /// The leaf hashes, where the payload is pulled.
    leaves: Option<Vec<[u8; 32]>>,
    created_ms: u64,
}

impl<S: Store> Engine<S> {
    /// When the newest bundle of this node's public stream was made.
    pub(super) fn last_created(&self) -> Result<u64, StoreError> {
        let Some(through) = self.streams.through(&self.own_stream()) else {
            return Ok(0);
        };
        Ok(match self.kept(&through.head)? {
            Kept::Whole(logged) => logged.bundle.map_or(0, |(_, bundle)| bundle.created_ms),
            // Of what has expired, the expiry is later than when it was made,
            // and not later than now.
            Kept::Remains(_, header) => u64::from(header.prefix.expiry_hour) * HOUR_MS,
            Kept::Absent => 0,
        })
    }

    pub(super) fn on_publish(
        &mut self,
        now: Now,
        client: ClientToken,
        draft: Draft,
    ) -> Result<(), StoreError> {
        let outcome = self.publish(now, draft);
        if let Err(refusal) = outcome {
            // Nothing was written, so there is nothing to wait for.
            self.outputs.push_back(Output::Published {
                client,
                outcome: Err(refusal),
            });
        } else {
            self.claim(Output::Published { client, outcome });
        }
        Ok(())
    }

    fn publish(&mut self, now: Now, draft: Draft) -> Result<Published, PublishRefusal> {
        if draft.marking != Marking::Clear {
            // Closed, never open: what must be sealed does not leave in clear.
            return Err(PublishRefusal::SealingAbsent {
                marking: draft.marking,
            });
        }
        if self.is_fetching_back() {
            return Err(PublishRefusal::Behind);
        }
        let newest = self.roster.node(&self.me.node);
        let lives_on = newest.is_some_and(|newest| newest.incarnation > self.me.incarnation);
        if lives_on || !self.me.is_current(now.wall_ms) || !self.roster.stands(&self.me) {
            return Err(PublishRefusal::Certificate);
        }
        let alives = self.membership.alives();
        if let Some(offset) = alives.clock_offset(&self.roster, now, &self.me.member)
            && offset.is_off()
        {
            return Err(PublishRefusal::Clock {
                seconds: offset.ms / 1_000,
            });
        }
        // As receivers charge it: the larger of what is carried and opened.
        let plain = draft
            .parts
            .iter()
            .fold(0, |sum: u64, part| sum.saturating_add(part.length));
        let bytes = (draft.payload.len() as u64).max(plain) + FRAME_OVERHEAD_BYTES_MAX;
        if !self.own_quota.has(bytes, now.mono) {
            return Err(PublishRefusal::Quota);
        }
        let to = Peer::of(true, false);
        let decision = decide(
            draft.marking,
            Action::RelayCiphertext,
            Subject::Peer(to),
            Standing::BEST,
        );
        if !decision.is_allowed() {
            return Err(PublishRefusal::Policy {
                rule: decision.rule(),
                about: decision.about(),
            });
        }
        let marking = draft.marking;
        let made = self
            .make(now, &draft)
            .map_err(|error| PublishRefusal::Form {
                why: error.to_string(),
            })?;
        // A second lock on the same door: what others would refuse, above all
        // a marking that must not travel in clear, does not leave.
        let form = |why: String| PublishRefusal::Form { why };
        let checked = crate::gate::check(&made.frame, &self.roster)
            .map_err(|refusal| form(refusal.to_string()))?;
        let filed = Filed::of(checked.value(), now.wall_ms)
            .ok_or_else(|| form("it is no bundle in clear".to_owned()))?;
        let frame = Bytes::new(made.frame.clone()).map_err(|error| PublishRefusal::Form {
            why: error.to_string(),
        })?;
        let Some(outgoing) = release_frame(made.frame, marking, to) else {
            return Err(PublishRefusal::Policy {
                rule: decision.rule(),
                about: decision.about(),
            });
        };
        self.own_quota.take(bytes);
        self.own_created_ms = made.created_ms;
        let stream = self.own_stream();
        let entry = LogEntry {
            received_ms: now.wall_ms,
            frame,
        };
        let arrival = self
            .append_bytes(&stream, &made.position, made.envelope, entry)
            .map_err(|error| PublishRefusal::Form {
                why: error.to_string(),
            })?;
        let first = First {
            from: self.me.node,
            way: Arrived::Own,
            at_ms: now.wall_ms,
        };
        let place = (stream, made.position.sequence);
        self.traces
            .taken(made.envelope, self.own_member(), place, first);
        self.staged.put_as(table::bundle(&made.bundle), &arrival);
        if let Some(leaves) = made.leaves {
            self.staged
                .put(table::leaves(&made.envelope), leaves.concat());
            for (index, chunk) in (0..).zip(draft.payload.chunks(CHUNK_BYTES)) {
                self.staged
                    .put(table::chunk(&made.envelope, index), chunk.to_vec());
            }
        }
        let objects = self.file(arrival, &filed, &draft.opened, false);
        self.claim(Output::Gossip { frame: outgoing });
        let author = self.own_member();
        self.event(Event::Searchable {
            bundle: made.bundle,
            author,
            objects,
        });
        Ok(Published {
            bundle: made.bundle,
            envelope: made.envelope,
            sequence: made.position.sequence,
        })
    }

    /// Whether there are envelopes of this node that it does not hold: its next
    /// one would stand at a place that is taken. A gap proves it; a listing
    /// does when more members say so than may lie, since otherwise any one of
    /// them could keep this node from publishing.
    ///
    /// What others show, and what the disk has damaged: see
    /// [`PublishRefusal::Behind`].
    pub(super) fn is_fetching_back(&self) -> bool {
        let own = self.own_stream();
        let members: BTreeSet<MemberId> = self
            .catch_up
            .holders_of(&own)
            .filter_map(|node| self.roster.node(node))
            .map(|certificate| certificate.member)
            .collect();
        self.streams.has_gap(&own)
            || self.streams.lost(&own) > 0
            || members.len() > self.roster.thresholds().faults()
    }

    /// Signs statement and envelope.
    fn make(&self, now: Now, draft: &Draft) -> Result<Made, TooLong> {
        let stream = self.own_stream();
        let through = self.streams.through(&stream);
        let sequence = through.map_or(0, |through| through.sequence) + 1;
        let position = Position {
            tag: stream.tag,
            sequence,
            previous: through.map(|through| through.head),
        };
        let valid_ms = draft.wish.valid_ms.clamp(1, BUNDLE_LIFE_MS_MAX);
        // Created never decreases along a stream, whatever the clock does.
        let created_ms = now.wall_ms.max(self.own_created_ms);
        let bundle = Bundle {
            federation: self.roster.federation(),
            author: self.own_member(),
            certificate: self.me.id,
            stream: Some((position.tag, position.sequence)),
            created_ms,
            not_after_ms: created_ms.saturating_add(valid_ms),
            marking: draft.marking,
            permissible_actions: draft.wish.permissible_actions,
            audience: Audience::Everyone,
            relay_allowed: false,
            exercise: draft.wish.exercise,
            supersedes: draft.wish.supersedes,
            declassify: None,
            encoding: draft.encoding,
            parts: draft.parts.clone(),
        };
        let expiry_hour = u32::try_from(bundle.expiry_hour()).unwrap_or(u32::MAX - 1);
        let statement: Signed<Bundle> = Signed::seal(codec::encode(&bundle), &self.signing_key);
        let bundle_id = BundleId::from_bytes(statement.id());
        let head = codec::encode(&Inner {
            kind: Kind::Bundle.number(),
            statement: SignedBytes::new(statement)?,
        });
        let leaves = leaves(&draft.payload);
        let header = Header {
            prefix: Prefix {
                federation: bundle.federation,
                author: bundle.author,
                certificate: self.me.id,
                epoch: self.roster.epoch(),
                expiry_hour,
                class: Class::Open {
                    tag: position.tag,
                    sequence,
                    previous: position.previous,
                },
            },
            binding: Binding {
                head: sha256(&head),
                payload: Root::of_leaves(&leaves).map(|root| PayloadBinding {
                    chunks: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
                    length: draft.payload.len() as u64,
                    root,
                }),
                sealing: None,
                second_signature: None,
            },
        };
        let inline = draft.payload.len() <= BODY_INLINE_BYTES_MAX;
        let signed: Signed<Header> = Signed::seal(codec::encode(&header), &self.signing_key);
        let envelope_id = EnvelopeId::from_bytes(signed.id());
        let envelope = Envelope {
            header: SignedBytes::new(signed)?,
            second_signature: None,
            key_block: None,
            head: Bytes::new(head)?,
            payload: if inline {
                Some(Bytes::new(draft.payload.clone())?)
            } else {
                None
            },
        };
        Ok(Made {
            bundle: bundle_id,
            envelope: envelope_id,
            position,
            frame: frame(Kind::Envelope, &envelope),
            leaves: (!inline).then_some(leaves),
            created_ms,
        })
    }
}
