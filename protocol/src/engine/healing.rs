//! Making damaged values whole again while the node runs.
//!
//! Whoever keeps the store names the keys whose values did not carry their
//! checksums. [`examine`] finds out, off the engine's thread, what each of them
//! was; the engine then does what it does anyway:
//!
//! | what was damaged | what becomes of it |
//! |---|---|
//! | an envelope, its remains | its place counts as missing: catch-up asks for it |
//! | a chunk, the hashes of a body | the body is in line to be pulled; what is there stays |
//! | rows, the outcome of opening | the bundle is opened again |
//! | an index entry that the log tells | it is put again |
//! | what the engine knows by itself | it is put again |
//! | blocks of the ordered indexes, certificates, evidence | it waits for [`rebuild`](super::rebuild()) |
//!
//! Each step is one that a node knows from coming back: nothing comes back
//! unchecked, and nothing that is not asked for in the ordinary way.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use super::NotTaken;
use super::kept::{Kept, kept_at};
use super::receive::{bytes_of, cost_of};
use super::{Engine, Staged, Way, rebuild};
use crate::gate::Frame;
use crate::ids::{EnvelopeId, NodeId};
use crate::roster::Roster;
use crate::store::{Store, StoreError};
use crate::table::rows;
use crate::table::{self, Arrival, LogEntry, Outcome};
use crate::time::Now;
use crate::wire::codec;
use crate::wire::envelope::Header;
use crate::wire::exchange::StreamId;
use watchfire_crypto::Verified;

/// What a damaged value was, as far as the rest of the store tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// An envelope, or what remained of it.
    Envelope {
        /// The key.
        key: Vec<u8>,
        /// Its number here.
        arrival: Arrival,
        /// Its stream.
        stream: StreamId,
        /// Its place there.
        sequence: u64,
    },
    /// A chunk of a body, or the hashes of one.
    Body {
        /// The key.
        key: Vec<u8>,
        /// Of which envelope.
        envelope: EnvelopeId,
    },
    /// Rows, or the outcome of opening.
    Opening {
        /// The key.
        key: Vec<u8>,
        /// Of which envelope.
        arrival: Arrival,
    },
    /// An index entry that can be read from the log.
    Told {
        /// The key.
        key: Vec<u8>,
        /// What belongs there.
        value: Vec<u8>,
    },
    /// What the engine knows by itself.
    Known {
        /// The key.
        key: Vec<u8>,
    },
    /// Only making the indexes anew, with the node ended, mends it.
    Rebuild {
        /// The key.
        key: Vec<u8>,
    },
}

/// Whether [`examine`] has to search for what was at a key: it reads all of the
/// log then, or two indexes. A host bounds how often.
pub fn is_searched_for(key: &[u8]) -> bool {
    matches!(key.first(), Some(b'L' | b'R' | b'E' | b'B' | b'S'))
}

/// Finds out what damaged values were. It may read all of the log once, and two
/// indexes, so it belongs on a thread where that delays nobody.
///
/// # Errors
/// When the store cannot be read on.
pub fn examine<S: Store>(
    store: &S,
    roster: &Roster,
    keys: &BTreeSet<Vec<u8>>,
) -> Result<Vec<Damage>, StoreError> {
    let mut found = Vec::new();
    // What has to be searched for; log and remains may both be damaged.
    let mut arrivals: BTreeMap<Arrival, Vec<Vec<u8>>> = BTreeMap::new();
    let mut told_by_log = BTreeSet::new();
    for key in keys {
        let key = key.clone();
        let damage = match key.first() {
            Some(b'L' | b'R') => match table::arrival_of(&key) {
                Some(arrival) => {
                    arrivals.entry(arrival).or_default().push(key);
                    continue;
                }
                None => Damage::Rebuild { key },
            },
            Some(b'E' | b'B' | b'S') => {
                told_by_log.insert(key);
                continue;
            }
            Some(b'C' | b'H') => match key.get(1..).and_then(<[u8]>::first_chunk::<32>) {
                Some(envelope) => Damage::Body {
                    envelope: EnvelopeId::from_bytes(*envelope),
                    key,
                },
                None => Damage::Rebuild { key },
            },
            Some(b'O' | b'T') => match key.get(1..).and_then(<[u8]>::first_chunk::<8>) {
                Some(arrival) => Damage::Opening {
                    arrival: u64::from_be_bytes(*arrival),
                    key,
                },
                None => Damage::Rebuild { key },
            },
            Some(b'A' | b'D' | b'F' | b'G' | b'M' | b'P' | b'U' | b'W') => Damage::Known { key },
            Some(_) | None => Damage::Rebuild { key },
        };
        found.push(damage);
    }
    if !told_by_log.is_empty() {
        found.extend(search_log(store, roster, told_by_log)?);
    }
    if !arrivals.is_empty() {
        found.extend(search_places(store, arrivals)?);
    }
    Ok(found)
}

/// Finds index entries of which the log tells.
fn search_log<S: Store>(
    store: &S,
    roster: &Roster,
    mut keys: BTreeSet<Vec<u8>>,
) -> Result<Vec<Damage>, StoreError> {
    let staged = Staged::new(store);
    let mut found = Vec::new();
    let mut look = |key: &[u8], value: &[u8]| {
        let Some(arrival) = table::arrival_of(key) else {
            return Ok(ControlFlow::Continue(()));
        };
        let logged = rebuild::logged(value);
        let bundle = logged
            .as_ref()
            .and_then(|logged| logged.bundle.as_ref().map(|(bundle, _)| *bundle));
        let placed = logged
            .map(|logged| (logged.id, logged.header))
            .or_else(|| rebuild::remains(value));
        let Some((id, header)) = placed else {
            return Ok(ControlFlow::Continue(()));
        };
        // A copy, or one that lost its place, stays in the log and in no index.
        let indexed = table::envelope(&id);
        let is_indexed = match staged.get_as::<Arrival>(&indexed, 9) {
            Ok(at) => at == Some(arrival),
            Err(StoreError::Damaged { .. }) => true,
            Err(failed @ StoreError::Failed { .. }) => return Err(failed),
        };
        if is_indexed {
            let place = rebuild::place_in(roster, &header)
                .map(|(stream, position)| table::sequence(&stream, position.sequence));
            let told = [
                Some((indexed, codec::encode(&arrival))),
                bundle.map(|bundle| (table::bundle(&bundle), codec::encode(&arrival))),
                place.map(|place| (place, codec::encode(&id))),
            ];
            for (key, value) in told.into_iter().flatten() {
                if keys.remove(&key) {
                    found.push(Damage::Told { key, value });
                }
            }
        }
        Ok(if keys.is_empty() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    };
    for table in [b"L", b"R"] {
        each_sound(store, table, &mut look)?;
    }
    found.extend(keys.into_iter().map(|key| Damage::Rebuild { key }));
    Ok(found)
}

/// Finds where in their streams envelopes stand whose log entries do not read.
fn search_places<S: Store>(
    store: &S,
    mut arrivals: BTreeMap<Arrival, Vec<Vec<u8>>>,
) -> Result<Vec<Damage>, StoreError> {
    let mut ids: BTreeMap<EnvelopeId, Arrival> = BTreeMap::new();
    each_sound(store, b"E", &mut |key, value| {
        let id = key.get(1..).and_then(|id| id.try_into().ok());
        if let (Some(id), Ok(arrival)) = (id, codec::decode::<Arrival>(value, 9))
            && arrivals.contains_key(&arrival)
        {
            ids.insert(EnvelopeId::from_bytes(id), arrival);
        }
        Ok(if ids.len() == arrivals.len() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    let mut found = Vec::new();
    each_sound(store, b"S", &mut |key, value| {
        if let (Some((stream, Some(sequence))), Ok(id)) =
            (table::stream_of(key), codec::decode(value, 32))
            && let Some(arrival) = ids.remove(&id)
        {
            let keys = arrivals.remove(&arrival).unwrap_or_default();
            found.extend(keys.into_iter().map(|key| Damage::Envelope {
                key,
                arrival,
                stream,
                sequence,
            }));
        }
        Ok(if ids.is_empty() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    // In no index: nobody can say what it was.
    let unknown = arrivals.into_values().flatten();
    found.extend(unknown.map(|key| Damage::Rebuild { key }));
    Ok(found)
}

/// Goes through the sound entries under a prefix until told to end.
fn each_sound<S: Store>(
    store: &S,
    prefix: &[u8],
    each: &mut impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    const PAGE: usize = 256;
    let mut from = prefix.to_vec();
    let mut limit = PAGE;
    loop {
        match store.scan(prefix, &from, limit) {
            Ok(entries) => {
                let Some((last, _)) = entries.last() else {
                    return Ok(());
                };
                from.clone_from(last);
                from.push(0);
                for (key, value) in &entries {
                    if each(key, value)?.is_break() {
                        return Ok(());
                    }
                }
            }
            // Up to the damaged one, one at a time; then over it.
            Err(StoreError::Damaged { .. }) if limit > 1 => limit = 1,
            Err(StoreError::Damaged { key }) => {
                // No key of these tables is one with a zero byte behind it: who
                // tells of where it began could not read at all from there on.
                let over = hex::decode(&key).ok().filter(|key| *key > from);
                match over {
                    Some(key) => from = key,
                    None => return Err(StoreError::Damaged { key }),
                }
                from.push(0);
                limit = PAGE;
            }
            Err(failed @ StoreError::Failed { .. }) => return Err(failed),
        }
    }
}

impl<S: Store> Engine<S> {
    /// Values were damaged, and this is what they were.
    pub(super) fn on_damaged(
        &mut self,
        now: Now,
        mut damages: Vec<Damage>,
    ) -> Result<(), StoreError> {
        // Where an envelope is in the log is asked about its body.
        damages.sort_by_key(|damage| !matches!(damage, Damage::Told { .. }));
        let mut is_lost = false;
        for damage in damages {
            let (key, has_begun) = match damage {
                Damage::Envelope {
                    key,
                    arrival,
                    stream,
                    sequence,
                } => {
                    let has_begun = match kept_at(&self.staged, arrival)? {
                        Kept::Absent => {
                            let is_new = self.streams.lose(&stream, sequence);
                            is_lost |= is_new;
                            is_new || self.streams.is_lost(&stream, sequence)
                        }
                        // It has come again, and what remained of it is worth nothing.
                        Kept::Whole(_) => {
                            if self.is_damaged(&key)? {
                                self.staged.remove(key.clone());
                            }
                            true
                        }
                        Kept::Remains(..) => !self.is_damaged(&key)?,
                    };
                    (key, has_begun)
                }
                Damage::Body { key, envelope } => {
                    let has_begun = self.body_again(now, &key, &envelope)?;
                    (key, has_begun)
                }
                Damage::Opening { key, arrival } => {
                    let has_begun = self.open_again(arrival)?;
                    (key, has_begun)
                }
                Damage::Told { key, value } => {
                    if self.is_damaged(&key)? {
                        self.staged.put(key, value);
                    }
                    continue;
                }
                Damage::Known { key } => {
                    if self.is_damaged(&key)? {
                        self.put_again(now, key)?;
                    }
                    continue;
                }
                Damage::Rebuild { .. } => continue,
            };
            if !has_begun {
                self.unhealed.insert(key);
            }
        }
        if is_lost {
            self.list_all_again(now);
        }
        self.start_pulls(now)?;
        self.start_opening()
    }

    /// Damaged values for which nothing was begun, by their keys: the next
    /// start makes them whole. Each is told once, and the host takes them after
    /// every [`Input::Damaged`](super::Input::Damaged).
    pub fn take_unhealed(&mut self) -> BTreeSet<Vec<u8>> {
        core::mem::take(&mut self.unhealed)
    }

    /// Whether nothing better has been written there meanwhile.
    fn is_damaged(&self, key: &[u8]) -> Result<bool, StoreError> {
        match self.staged.get(key) {
            Ok(_) => Ok(false),
            Err(StoreError::Damaged { .. }) => Ok(true),
            Err(failed @ StoreError::Failed { .. }) => Err(failed),
        }
    }

    /// Returns whether the damage has an end, as for [`Self::open_again`].
    fn body_again(
        &mut self,
        now: Now,
        key: &[u8],
        envelope: &EnvelopeId,
    ) -> Result<bool, StoreError> {
        if !self.is_damaged(key)? {
            return Ok(true);
        }
        match self.staged.get_as(&table::envelope(envelope), 9) {
            Ok(Some(arrival)) => match kept_at(&self.staged, arrival)? {
                Kept::Whole(logged) => self.pull_again(now, arrival, *envelope, &logged.header),
                Kept::Remains(..) => self.staged.remove(key.to_vec()),
                // It comes back, and then its body.
                Kept::Absent => return Ok(false),
            },
            // Of an envelope that is not held.
            Ok(None) => self.staged.remove(key.to_vec()),
            // It may be held: what there is of its body stays.
            Err(StoreError::Damaged { .. }) => return Ok(false),
            Err(failed @ StoreError::Failed { .. }) => return Err(failed),
        }
        Ok(true)
    }

    /// Opens a bundle again. Returns whether it could be begun.
    fn open_again(&mut self, arrival: Arrival) -> Result<bool, StoreError> {
        let Kept::Whole(logged) = kept_at(&self.staged, arrival)? else {
            return Ok(false);
        };
        if logged.bundle.is_some() {
            self.want_opened(arrival, None);
        } else {
            self.staged
                .put_as(table::outcome(arrival), &Outcome::NeedsUpgrade);
        }
        Ok(true)
    }

    /// Puts again what this engine knows by itself.
    fn put_again(&mut self, now: Now, key: Vec<u8>) -> Result<(), StoreError> {
        match key.first() {
            Some(b'A') => self.staged.put_as(key, &self.next_arrival),
            Some(b'G') => self.staged.put_as(key, &self.names),
            // The key says all.
            Some(b'D') => self.staged.put(key, Vec::new()),
            Some(b'F') => {
                let row = table::stream_of(&key).and_then(|(stream, _)| self.streams.row(&stream));
                match row {
                    Some(row) => self.staged.put_as(key, &row),
                    None => self.staged.remove(key),
                }
            }
            Some(b'W') => {
                let arrival = table::arrival_of(&key).unwrap_or(Arrival::MAX);
                if self.staged.sound(&table::outcome(arrival))?.is_some() {
                    self.staged.remove(key);
                } else {
                    self.staged.put(key, Vec::new());
                }
            }
            Some(b'P') => {
                let arrival = table::arrival_of(&key).unwrap_or(Arrival::MAX);
                match kept_at(&self.staged, arrival)? {
                    Kept::Whole(logged) => {
                        self.pull_again(now, arrival, logged.id, &logged.header);
                    }
                    // If it comes back, so does this.
                    Kept::Remains(..) | Kept::Absent => self.staged.remove(key),
                }
            }
            // A mark: without it the whole frontier is looked at, once.
            Some(_) | None => self.staged.remove(key),
        }
        Ok(())
    }

    /// What is held already is not taken twice. Only where nothing but remains
    /// are held of an envelope that lives, since a clock ran ahead, or where
    /// the store cannot read it any more, the whole of it takes that place.
    pub(super) fn take_held(
        &mut self,
        now: Now,
        arrival: Arrival,
        from: NodeId,
        id: EnvelopeId,
        frame: Verified<Frame>,
        way: Way,
    ) -> Result<Result<(), NotTaken>, StoreError> {
        let is_whole = matches!(kept_at(&self.staged, arrival)?, Kept::Whole(_));
        let Some(stream) = frame.value().stream() else {
            return Ok(Err(NotTaken::Held));
        };
        let state = self.check_state(now, frame.value());
        if is_whole || state == Err(NotTaken::Expired) {
            return Ok(Err(NotTaken::Held));
        }
        // What passes is no reason to give a lost place up until all is listed
        // again.
        if self.is_behind() {
            return Ok(Err(NotTaken::DiskBehind));
        }
        if let Err(why) = state {
            return Ok(Err(why));
        }
        if let Err(why) = self.charge(now, &stream, cost_of(frame.value()), way) {
            return Ok(Err(why));
        }
        self.staged.remove(table::remains(arrival));
        let received_ms = self.received_before(arrival)?;
        let entry = LogEntry {
            received_ms: received_ms.unwrap_or(now.wall_ms),
            frame: bytes_of(frame.value()),
        };
        self.staged.put_as(table::log(arrival), &entry);
        self.healed(&stream, frame.value().header());
        let signed = (&id, frame.value().header());
        self.judge_arrival(now, arrival, &stream, signed, entry.received_ms)?;
        self.taken(now, arrival, id, from, frame);
        Ok(Ok(()))
    }

    /// When an envelope was taken whose log entry is gone, if the rows of its
    /// bundle still tell.
    fn received_before(&self, arrival: Arrival) -> Result<Option<u64>, StoreError> {
        let (key, at) = rows::place(arrival, 0);
        let block = self.staged.sound(&key)?;
        let first = block.and_then(|block| rows::read(&key, &block, at).ok().flatten());
        Ok(first.map(|(filed, _)| filed.received_ms))
    }

    /// What a lost log entry was about stands there again.
    pub(super) fn healed(&mut self, stream: &StreamId, header: &Header) {
        if let Some(position) = header.prefix.class.position()
            && let Some(row) = self.streams.found(stream, position.sequence)
        {
            self.staged.put_as(table::stream(stream), &row);
        }
    }
}
