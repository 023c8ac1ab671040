//! By which way an envelope came here, as far as this node sees it.
//!
//! A node sees its own links and nothing behind them: who handed it a copy, who
//! said that it holds the stream, who asked for it. Nothing on an envelope tells
//! where else it was, on purpose, so no trace goes further than one hop.
//!
//! All of it is in memory, bounded, and forgotten at the end of the process; when
//! an envelope was taken, what came of it and why it is not believed are in the
//! store.

mod memory;

use super::kept::Kept;
use super::quarantine::{HELD_BACK_BYTES_MAX, HeldBack};
use super::{Engine, NotTaken, Way};
use crate::gate::Frame;
use crate::ids::{BundleId, EnvelopeId, MemberId, NodeId};
use crate::limits::FRAME_BYTES_MAX;
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, LogEntry, Outcome};
use crate::wire::envelope::Header;
use crate::wire::exchange::StreamId;
pub(super) use memory::Traces;

/// How a copy of an envelope came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It was made here.
    Own,
    /// By itself.
    Gossip,
    /// Because this node asked for it.
    Asked,
}

impl From<Way> for Arrived {
    fn from(way: Way) -> Self {
        match way {
            Way::Gossip => Self::Gossip,
            Way::Asked => Self::Asked,
        }
    }
}

/// What a peer did with an envelope, and when first and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which peer.
    pub peer: NodeId,
    /// When first, in milliseconds UTC by this node's clock.
    pub first_ms: u64,
    /// How often.
    pub times: u32,
}

/// The copy that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Who handed it over; this node itself for its own.
    pub from: NodeId,
    /// How.
    pub way: Arrived,
    /// When, in milliseconds UTC by this node's clock.
    pub at_ms: u64,
}

/// A copy that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Who handed it over.
    pub from: NodeId,
    /// When, in milliseconds UTC by this node's clock.
    pub at_ms: u64,
    /// Why it was not taken.
    pub why: NotTaken,
}

/// A peer that said how far it holds the envelope's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which peer.
    pub peer: NodeId,
    /// Up to where, by the most that it said.
    pub through: u64,
    /// When it said so last, in milliseconds UTC by this node's clock.
    pub at_ms: u64,
}

/// What is remembered of an envelope's way since this node started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The copy that was taken.
    pub first: Option<First>,
    /// Who handed over another copy.
    pub again: Vec<Seen>,
    /// Who said that it holds it.
    pub listed: Vec<Listed>,
    /// Who asked this node for it, whether it was given or not.
    pub asked: Vec<Seen>,
    /// The last copy that was not taken, but for those of what is held.
    pub turned: Option<Turned>,
    /// Peers for which there was no place.
    pub not_noted: u32,
}

/// Everything this node knows of one envelope but what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Which.
    pub envelope: EnvelopeId,
    /// The bundle in it, if it is held and one in clear.
    pub bundle: Option<BundleId>,
    /// Its author.
    pub author: MemberId,
    /// Its stream.
    pub stream: StreamId,
    /// Its place there.
    pub sequence: u64,
    /// Whether it is held: all of it, or its header alone.
    pub held: Held,
    /// When it was taken, in milliseconds UTC; from the store.
    pub received_ms: Option<u64>,
    /// What came of opening it; from the store.
    pub outcome: Option<Outcome>,
    /// Why it is not believed here; from the store.
    pub held_back: Option<HeldBack>,
    /// Its way; none if it came before this node started, or is forgotten.
    pub route: Option<Route>,
}

/// What is held of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All of it.
    Whole,
    /// Its header, since its time is over.
    Header,
    /// Nothing.
    Nothing,
}

/// What of a frame that came through the gate outlives its being taken.
pub(super) struct Passed {
    id: EnvelopeId,
    author: MemberId,
    place: Option<(StreamId, u64)>,
}

impl Passed {
    pub(super) fn of(id: EnvelopeId, frame: &Frame) -> Self {
        let prefix = &frame.header().prefix;
        let place = frame
            .stream()
            .zip(prefix.class.position().map(|position| position.sequence));
        Self {
            id,
            author: prefix.author,
            place,
        }
    }
}

impl<S: Store> Engine<S> {
    /// A copy was taken, and is remembered with who else offers it.
    pub(super) fn trace_taken(&mut self, passed: &Passed, from: NodeId, way: Way, at_ms: u64) {
        let Some((stream, sequence)) = passed.place else {
            return;
        };
        let first = First {
            from,
            way: way.into(),
            at_ms,
        };
        let place = (stream, sequence);
        self.traces.taken(passed.id, passed.author, place, first);
        if way == Way::Asked {
            // They said so before anything of it was remembered.
            for peer in self.catch_up.offering(&stream, sequence) {
                self.traces.listed(peer, stream, sequence, at_ms);
            }
        }
    }

    /// Why a copy that came through the gate was not taken is remembered.
    pub(super) fn trace_not_taken(
        &mut self,
        passed: &Passed,
        from: NodeId,
        at_ms: u64,
        why: &NotTaken,
    ) {
        if *why == NotTaken::Held {
            self.traces.again(&passed.id, from, at_ms);
        } else if let Some(place) = passed.place {
            let turned = Turned {
                from,
                at_ms,
                why: why.clone(),
            };
            self.traces.turned(passed.id, passed.author, place, turned);
        }
    }

    /// What this node knows of an envelope, by its id or by that of the bundle in
    /// it; none if it knows nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub fn trace(&self, id: [u8; 32]) -> Result<Option<Traced>, StoreError> {
        let bundle = table::bundle(&BundleId::from_bytes(id));
        let envelope = match self.staged.sound_as::<Arrival>(&bundle, 9)? {
            Some(arrival) => match super::kept::kept_at(&self.staged, arrival)? {
                Kept::Whole(logged) => logged.id,
                Kept::Remains(..) | Kept::Absent => return Ok(None),
            },
            None => EnvelopeId::from_bytes(id),
        };
        let known = self.traces.route(&envelope);
        let arrival: Option<Arrival> = self.staged.sound_as(&table::envelope(&envelope), 9)?;
        let Some(arrival) = arrival else {
            return Ok(known.map(|(trace, route)| Traced {
                envelope,
                bundle: None,
                author: trace.author,
                stream: trace.stream,
                sequence: trace.sequence,
                held: Held::Nothing,
                received_ms: None,
                outcome: None,
                held_back: None,
                route: Some(route),
            }));
        };
        let (held, header, bundle) = match super::kept::kept_at(&self.staged, arrival)? {
            Kept::Whole(logged) => {
                let bundle = logged.bundle.map(|(bundle, _)| bundle);
                (Held::Whole, logged.header, bundle)
            }
            Kept::Remains(_, header) => (Held::Header, *header, None),
            Kept::Absent => return Ok(None),
        };
        let Some((stream, sequence)) = self.place_of(&header) else {
            return Ok(None);
        };
        let entry: Option<LogEntry> = self
            .staged
            .sound_as(&table::log(arrival), FRAME_BYTES_MAX + 64)?;
        Ok(Some(Traced {
            envelope,
            bundle,
            author: header.prefix.author,
            stream,
            sequence,
            held,
            received_ms: entry.map(|entry| entry.received_ms),
            outcome: self.staged.sound_as(&table::outcome(arrival), 1_024)?,
            held_back: self
                .staged
                .sound_as(&table::quarantine(arrival), HELD_BACK_BYTES_MAX)?,
            route: known.map(|(_, route)| route),
        }))
    }

    fn place_of(&self, header: &Header) -> Option<(StreamId, u64)> {
        super::rebuild::place_in(&self.roster, header)
            .map(|(stream, position)| (stream, position.sequence))
    }
}
