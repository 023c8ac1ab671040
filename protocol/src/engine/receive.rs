//! Taking verified frames: what depends on this node's state is decided here.

use super::NotTaken;
use super::kept::{Kept, kept_at};
use super::messages::{Event, GossipToken, Outgoing, Output, Verdict};
use super::opening::header_of_frame;
use super::quota::Quota;
use super::streams::{Displaced, Fit};
use super::trace::Passed;
use super::{Engine, StreamId, Way};
use crate::gate::{Blame, CheckedRemains, Content, Frame, Refusal, envelope_id};
use crate::ids::{EnvelopeId, NodeId};
use crate::limits::{BUNDLE_LIFE_MS_MAX, CLOCK_SKEW_MS_MAX, FRAME_BYTES_MAX};
use crate::marking::Marking;
use crate::policy::{Action, Peer, Release, SEALED_UNREAD, Standing, Subject, release};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, LogEntry, Outcome};
use crate::time::Now;
use crate::wire::Bytes;
use crate::wire::envelope::{EXPIRY_NEVER, Header, Position, Prefix};
use crate::wire::exchange::{RangeItem, Remains};
use watchfire_crypto::Verified;

pub(super) const HOUR_MS: u64 = 60 * 60 * 1_000;

impl<S: Store> Engine<S> {
    pub(super) fn on_gossip(
        &mut self,
        now: Now,
        from: NodeId,
        token: GossipToken,
        length: u64,
        checked: Result<Box<Verified<Frame>>, Refusal>,
    ) -> Result<(), StoreError> {
        if self.distrusts_node(&from) {
            // Its link is about to end. Others bring what it has of others.
            let verdict = Verdict::Ignore;
            self.outputs.push_back(Output::Verdict { token, verdict });
            return Ok(());
        }
        let taken = match checked {
            Err(refusal) => Err(NotTaken::Gate(refusal)),
            Ok(frame) => {
                self.peers.heard_gossip(&from);
                self.take(now, from, *frame, Way::Gossip)?
            }
        };
        let verdict = match &taken {
            Ok(()) => Verdict::Accept,
            Err(NotTaken::Gate(refusal)) if refusal.blame() == Blame::Forwarder => Verdict::Reject,
            Err(_) => Verdict::Ignore,
        };
        if taken.as_ref().is_err_and(|why| why.is_charged(Way::Gossip)) {
            self.charge_peer(now, from, length);
        }
        // A relay: it waits for no disk.
        self.outputs.push_back(Output::Verdict { token, verdict });
        self.note_not_taken(from, taken);
        self.start_opening()?;
        self.start_pulls(now)
    }

    /// Tells people what was not taken; a second copy is nobody's news. It
    /// claims nothing that could be forgotten, so it does not wait for the
    /// disk: behind a slow one, refusals would pile up in memory.
    pub(super) fn note_not_taken(&mut self, from: NodeId, taken: Result<(), NotTaken>) {
        match taken {
            Ok(()) | Err(NotTaken::Held) => {}
            Err(why) => self
                .outputs
                .push_back(Output::Event(Event::NotTaken { from, why })),
        }
    }

    /// Takes a frame into stream and log, unless something speaks against it.
    pub(super) fn take(
        &mut self,
        now: Now,
        from: NodeId,
        frame: Verified<Frame>,
        way: Way,
    ) -> Result<Result<(), NotTaken>, StoreError> {
        let id = envelope_id(&frame);
        let copy = Passed::of(id, frame.value());
        let taken = self.take_verified(now, from, (id, frame), way)?;
        match &taken {
            Ok(()) => self.trace_taken(&copy, from, way, now.wall_ms),
            Err(why) => self.trace_not_taken(&copy, from, now.wall_ms, why),
        }
        Ok(taken)
    }

    fn take_verified(
        &mut self,
        now: Now,
        from: NodeId,
        (id, frame): (EnvelopeId, Verified<Frame>),
        way: Way,
    ) -> Result<Result<(), NotTaken>, StoreError> {
        let (Some(stream), Some(position)) = (
            frame.value().stream(),
            frame.value().header().prefix.class.position(),
        ) else {
            return Ok(Err(NotTaken::Gate(Refusal::Direct)));
        };
        if let Some(arrival) = self.staged.sound_as::<Arrival>(&table::envelope(&id), 9)? {
            return self.take_held(now, arrival, from, id, frame, way);
        }
        if self.is_behind() {
            return Ok(Err(NotTaken::DiskBehind));
        }
        let author = frame.value().header().prefix.author;
        let cost = cost_of(frame.value());
        if let Err(why) = self.check_trust(now, (&author, &stream), cost, way) {
            return Ok(Err(why));
        }
        if let Err(why) = self.check_state(now, frame.value()) {
            if why == NotTaken::Expired {
                let place = (&stream, &position);
                let remains = self.take_as_remains(now, place, id, frame.value(), way)?;
                return Ok(Err(remains.err().unwrap_or(why)));
            }
            return Ok(Err(why));
        }
        match self.streams.fit(&stream, &position, &id) {
            Fit::Fits => {}
            fit @ (Fit::Below | Fit::Taken | Fit::Unchained) => {
                let item = || RangeItem::Frame(bytes_of(frame.value()));
                return Ok(Err(self.contradicts(
                    (&stream, &position),
                    &id,
                    fit,
                    item,
                )?));
            }
            Fit::TooFarAhead => {
                self.probe_soon(now, &from);
                return Ok(Err(NotTaken::TooFar));
            }
            Fit::TooManyStreams => return Ok(Err(NotTaken::TooFar)),
        }
        if self
            .streams
            .decreases(&stream, &position, cited(frame.value()))
        {
            let item = RangeItem::Frame(bytes_of(frame.value()));
            self.keep_evidence(&stream, &position, &id, &item, false)?;
            return Ok(Err(NotTaken::Conflict));
        }
        if let Err(why) = self.charge(now, &stream, cost_of(frame.value()), way) {
            return Ok(Err(why));
        }
        // A gap is news only when it opens.
        let had_gap = self.streams.has_gap(&stream);
        let arrival = self.append(now, &stream, &position, id, frame.value())?;
        let signed = (&id, frame.value().header());
        self.judge_arrival(now, arrival, &stream, signed, now.wall_ms)?;
        self.taken(now, arrival, id, from, frame);
        if !had_gap && self.streams.has_gap(&stream) {
            self.probe_soon(now, &from);
        }
        Ok(Ok(()))
    }

    /// Why what does not fit is not taken. It is evidence, unless it is the very
    /// one that is held and the index entry that says so cannot be read.
    fn contradicts(
        &mut self,
        (stream, position): (&StreamId, &Position),
        id: &EnvelopeId,
        fit: Fit,
        item: impl FnOnce() -> RangeItem,
    ) -> Result<NotTaken, StoreError> {
        // What is unchained claims a place at which nothing is held.
        if fit != Fit::Unchained {
            let there = match self.streams.at(stream, position.sequence) {
                Some(there) => Some(there),
                None => self
                    .staged
                    .sound_as(&table::sequence(stream, position.sequence), 32)?,
            };
            match there {
                Some(there) if there == *id => return Ok(NotTaken::Held),
                Some(_) => {}
                None => return Ok(NotTaken::Unreadable),
            }
        }
        self.keep_evidence(stream, position, id, &item(), fit != Fit::Unchained)?;
        Ok(NotTaken::Conflict)
    }

    /// Says that an envelope was taken, and sends it on.
    pub(super) fn taken(
        &mut self,
        now: Now,
        arrival: Arrival,
        id: EnvelopeId,
        from: NodeId,
        frame: Verified<Frame>,
    ) {
        let (envelope, bundle, author) = (
            id,
            frame.value().bundle_id(),
            frame.value().header().prefix.author,
        );
        self.outputs.push_back(Output::Event(Event::Verified {
            envelope,
            bundle,
            author,
        }));
        self.event(Event::Stored {
            envelope,
            bundle,
            author,
        });
        self.route(now, arrival, id, from, frame);
    }

    /// Time, roster and policy.
    pub(super) fn check_state(&self, now: Now, frame: &Frame) -> Result<(), NotTaken> {
        let prefix = &frame.header().prefix;
        if prefix.expiry_hour != EXPIRY_NEVER {
            if is_expired(prefix.expiry_hour, now.wall_ms) {
                return Err(NotTaken::Expired);
            }
            if u64::from(prefix.expiry_hour) * HOUR_MS
                > now.wall_ms + CLOCK_SKEW_MS_MAX + BUNDLE_LIFE_MS_MAX + HOUR_MS
            {
                return Err(NotTaken::ExpiresTooLate);
            }
        }
        // The gate looked at the roster of its moment; this is that of now.
        let known = self.roster.certificate(&prefix.certificate).is_some();
        if !known || prefix.epoch > self.roster.epoch() {
            return Err(NotTaken::AuthorGone);
        }
        let in_clear = match frame.content() {
            Content::Bundle(bundle) => {
                if bundle.value().created_ms > now.wall_ms + CLOCK_SKEW_MS_MAX {
                    return Err(NotTaken::Ahead);
                }
                true
            }
            Content::Carried { .. } => true,
            Content::Sealed { .. } => false,
        };
        // A node that cannot read a suite cannot say that it is outside the
        // audience, so it keeps what it may be able to open after an upgrade.
        let questions = [
            (Action::StoreCiphertext, Peer::InAudience),
            (Action::RelayCiphertext, Peer::of(in_clear, false)),
        ];
        for (action, peer) in questions {
            let carried = Outgoing {
                marking: marking_of(frame),
                bytes: Vec::new(),
            };
            if let Err(denied) = release(action, Subject::Peer(peer), Standing::BEST, carried) {
                return Err(NotTaken::Policy {
                    rule: denied.rule.name(),
                });
            }
        }
        Ok(())
    }

    /// Charges the author. What was asked for has a bucket of its own, so that
    /// catching up keeps nothing live out.
    pub(super) fn charge(
        &mut self,
        now: Now,
        stream: &StreamId,
        bytes: u64,
        way: Way,
    ) -> Result<(), NotTaken> {
        let author = self
            .author_quotas
            .entry((stream.node, way))
            .or_insert_with(|| Quota::author(now.mono));
        if !author.has(bytes, now.mono) {
            return Err(NotTaken::Quota { whose: "author" });
        }
        author.take(bytes);
        Ok(())
    }

    /// Charges a peer for bytes that were worth nothing here. What it brings
    /// of others is never refused for its sake, or it could keep it out: when
    /// its bucket is empty, the link is closed. That grants nothing: the bucket
    /// fills with time alone.
    pub(super) fn charge_peer(&mut self, now: Now, node: NodeId, bytes: u64) {
        let Some(quota) = self.peers.quota(&node) else {
            return;
        };
        if quota.has(bytes, now.mono) {
            quota.take(bytes);
        } else if self.peers.is_connected(&node) {
            // Once for all the items of a range.
            let is_said = |output: &Output| matches!(output, Output::Reconnect { node: said } if *said == node);
            if !self.outputs.iter().any(is_said) {
                self.outputs.push_back(Output::Reconnect { node });
            }
        }
    }

    /// Takes what remains of an expired envelope, so that its stream goes on
    /// after it. Of a live one it is not enough.
    pub(super) fn take_remains(
        &mut self,
        now: Now,
        checked: &Verified<CheckedRemains>,
        remains: &Remains,
    ) -> Result<Result<(), NotTaken>, StoreError> {
        let id = EnvelopeId::from_bytes(checked.id());
        let prefix = &checked.value().header().prefix;
        let (Some(stream), Some(position)) = (checked.value().stream(), prefix.class.position())
        else {
            return Ok(Err(NotTaken::Gate(Refusal::Direct)));
        };
        let held: Option<Arrival> = self.staged.sound_as(&table::envelope(&id), 9)?;
        if let Some(arrival) = held
            && !matches!(kept_at(&self.staged, arrival)?, Kept::Absent)
        {
            return Ok(Err(NotTaken::Held));
        }
        if self.is_behind() {
            return Ok(Err(NotTaken::DiskBehind));
        }
        if held.is_none() {
            let of = (&prefix.author, &stream);
            if let Err(why) = self.check_trust(now, of, REMAINS_COST_BYTES, Way::Asked) {
                return Ok(Err(why));
            }
        }
        if !is_expired(prefix.expiry_hour, now.wall_ms) {
            return Ok(Err(NotTaken::NotExpired));
        }
        if let Some(arrival) = held {
            // Nothing else can be had any more of what the store lost.
            if let Err(why) = self.charge(now, &stream, REMAINS_COST_BYTES, Way::Asked) {
                return Ok(Err(why));
            }
            self.staged.remove(table::log(arrival));
            self.staged.put_as(table::remains(arrival), remains);
            self.healed(&stream, checked.value().header());
            return Ok(Ok(()));
        }
        let place = (&stream, &position);
        self.place_remains(now, place, id, prefix, remains, Way::Asked)
    }

    /// Of a frame that came after its time, what remains.
    fn take_as_remains(
        &mut self,
        now: Now,
        place: (&StreamId, &Position),
        id: EnvelopeId,
        frame: &Frame,
        way: Way,
    ) -> Result<Result<(), NotTaken>, StoreError> {
        let Some(logged) = header_of_frame(frame.bytes()) else {
            return Ok(Err(NotTaken::Expired));
        };
        let remains = Remains {
            header: logged.signed,
            second_signature: logged.second_signature,
        };
        self.place_remains(now, place, id, &logged.header.prefix, &remains, way)
    }

    fn place_remains(
        &mut self,
        now: Now,
        (stream, position): (&StreamId, &Position),
        id: EnvelopeId,
        prefix: &Prefix,
        remains: &Remains,
        way: Way,
    ) -> Result<Result<(), NotTaken>, StoreError> {
        // It lived once: otherwise its author could make places without end
        // that nobody ever saw.
        let Some(author) = self.roster.certificate(&prefix.certificate) else {
            return Ok(Err(NotTaken::AuthorGone));
        };
        if prefix.epoch > self.roster.epoch() {
            return Ok(Err(NotTaken::AuthorGone));
        }
        if is_expired(prefix.expiry_hour, author.not_before_ms) {
            return Ok(Err(NotTaken::NeverAlive));
        }
        match self.streams.fit(stream, position, &id) {
            Fit::Fits => {}
            fit @ (Fit::Below | Fit::Taken | Fit::Unchained) => {
                let item = || RangeItem::Remains(remains.clone());
                return Ok(Err(self.contradicts((stream, position), &id, fit, item)?));
            }
            Fit::TooFarAhead | Fit::TooManyStreams => return Ok(Err(NotTaken::TooFar)),
        }
        if let Err(why) = self.charge(now, stream, REMAINS_COST_BYTES, way) {
            return Ok(Err(why));
        }
        let arrival = self.append_place(stream, position, id, now.wall_ms)?;
        self.staged.put_as(table::remains(arrival), remains);
        Ok(Ok(()))
    }

    /// Writes log, places and frontier.
    pub(super) fn append(
        &mut self,
        now: Now,
        stream: &StreamId,
        position: &Position,
        id: EnvelopeId,
        frame: &Frame,
    ) -> Result<Arrival, StoreError> {
        let arrival = self.append_bytes(
            stream,
            position,
            id,
            LogEntry {
                received_ms: now.wall_ms,
                frame: bytes_of(frame),
            },
        )?;
        let cited = cited(frame);
        if *stream == self.own_stream() {
            // Fetched back: the next one must not be older.
            self.own_created_ms = self.own_created_ms.max(cited.1);
        }
        self.streams.note_cited(stream, position, cited);
        Ok(arrival)
    }

    pub(super) fn append_bytes(
        &mut self,
        stream: &StreamId,
        position: &Position,
        id: EnvelopeId,
        entry: LogEntry,
    ) -> Result<Arrival, StoreError> {
        let arrival = self.append_place(stream, position, id, entry.received_ms)?;
        self.staged.put_as(table::log(arrival), &entry);
        Ok(arrival)
    }

    /// Writes where an envelope stands, and its stream as it now is.
    fn append_place(
        &mut self,
        stream: &StreamId,
        position: &Position,
        id: EnvelopeId,
        wall_ms: u64,
    ) -> Result<Arrival, StoreError> {
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        self.staged
            .put_as(table::next_arrival(), &self.next_arrival);
        self.staged.put_as(table::envelope(&id), &arrival);
        self.staged
            .put_as(table::sequence(stream, position.sequence), &id);
        let (row, displaced) = self.streams.insert(*stream, position, id);
        self.staged.put_as(table::stream(stream), &row);
        self.has_grown(stream);
        if let Some(displaced) = displaced {
            self.displace(wall_ms, stream, displaced)?;
        }
        Ok(arrival)
    }

    /// An envelope loses its place to one that fits from below: it is evidence
    /// against its author, and on no chain, so nothing can vouch for it any more.
    fn displace(
        &mut self,
        wall_ms: u64,
        stream: &StreamId,
        displaced: Displaced,
    ) -> Result<(), StoreError> {
        let Displaced { sequence, envelope } = displaced;
        let arrival: Option<Arrival> = self.staged.sound_as(&table::envelope(&envelope), 9)?;
        if let Some(arrival) = arrival {
            self.quarantine_displaced(wall_ms, arrival, stream, &envelope)?;
        }
        self.staged.remove(table::sequence(stream, sequence));
        let (item, header) = match self.kept(&envelope)? {
            Kept::Whole(logged) => {
                let frame = Bytes::new(logged.bytes).unwrap_or_default();
                (RangeItem::Frame(frame), logged.header)
            }
            Kept::Remains(remains, header) => (RangeItem::Remains(*remains), *header),
            Kept::Absent => return Ok(()),
        };
        self.staged.remove(table::envelope(&envelope));
        match header.prefix.class.position() {
            Some(position) => self.keep_evidence(stream, &position, &envelope, &item, false),
            None => Ok(()),
        }
    }

    /// Sends a new envelope on to be opened or pulled.
    fn route(
        &mut self,
        now: Now,
        arrival: Arrival,
        id: EnvelopeId,
        from: NodeId,
        frame: Verified<Frame>,
    ) {
        if let Some(bundle) = frame.value().bundle_id() {
            self.staged.put_as(table::bundle(&bundle), &arrival);
        } else {
            self.staged
                .put_as(table::outcome(arrival), &Outcome::NeedsUpgrade);
        }
        let header = frame.value().header();
        if is_pulled(header) {
            self.want_body(now, arrival, id, from, &header.clone());
        } else if frame.value().bundle_id().is_some() {
            self.want_opened(arrival, Some((now.wall_ms, Box::new(frame))));
        }
    }
}

/// Whether its body does not travel in its frame.
fn is_pulled(header: &Header) -> bool {
    header.binding.payload.is_some() && !header.body_is_inline()
}

pub(super) fn bytes_of(frame: &Frame) -> Bytes<FRAME_BYTES_MAX> {
    Bytes::new(frame.bytes().to_vec()).unwrap_or_default()
}

/// What the remains of an envelope cost their author.
const REMAINS_COST_BYTES: u64 = 1_200;

/// What an envelope costs its author: what there is to carry, and to open.
pub(super) fn cost_of(frame: &Frame) -> u64 {
    let header = frame.header();
    let pulled = if header.body_is_inline() {
        0
    } else {
        header.body_length()
    };
    let plain = match frame.content() {
        Content::Bundle(bundle) => bundle.value().plain_length(),
        Content::Carried { .. } | Content::Sealed { .. } => 0,
    };
    frame.bytes().len() as u64 + pulled.max(plain)
}

/// Whether an envelope's time is over.
pub(super) fn is_expired(expiry_hour: u32, wall_ms: u64) -> bool {
    expiry_hour != EXPIRY_NEVER && u64::from(expiry_hour) * HOUR_MS <= wall_ms
}

/// What must not decrease along a stream: the cited epoch, and when a bundle
/// was made where that can be read.
fn cited(frame: &Frame) -> (u64, u64) {
    let created_ms = match frame.content() {
        Content::Bundle(bundle) => bundle.value().created_ms,
        Content::Carried { .. } | Content::Sealed { .. } => 0,
    };
    (frame.header().prefix.epoch, created_ms)
}

/// The marking with which an envelope is asked about: its own where it can be
/// read, the strictest that travels so where it cannot.
pub(super) fn marking_of(frame: &Frame) -> Marking {
    match frame.content() {
        Content::Bundle(bundle) => bundle.value().marking,
        Content::Carried { .. } => Marking::Clear,
        Content::Sealed { .. } => SEALED_UNREAD,
    }
}

/// As [`marking_of`], from a header alone.
pub(super) const fn marking_of_header(header: &Header) -> Marking {
    match header.prefix.class {
        crate::wire::Class::Open { .. } => Marking::Clear,
        crate::wire::Class::Sealed { .. } | crate::wire::Class::Direct { .. } => SEALED_UNREAD,
    }
}

/// Lets a frame go to a member's node, if the policy does.
pub(super) fn release_frame(
    bytes: Vec<u8>,
    marking: Marking,
    to: Peer,
) -> Option<Release<Outgoing>> {
    let outgoing = Outgoing { marking, bytes };
    release(
        Action::RelayCiphertext,
        Subject::Peer(to),
        Standing::BEST,
        outgoing,
    )
    .ok()
}
