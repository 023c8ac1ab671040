//! Reading everything a store holds and saying what is wrong with it:
//! `watchfire store check`.
//!
//! Each value is looked at by itself (checksum, schema, form), then the truth
//! as a whole: every frame of the log comes through the gate again, under its
//! own id and at its own place; what lies outside a frame adds up to the root
//! that its author signed; no stream ends elsewhere than its places do.

mod values;

use std::collections::BTreeMap;

use watchfire_protocol::engine::{admit_held, certificate_of};
use watchfire_protocol::gate::{self, Blame};
use watchfire_protocol::ids::EnvelopeId;
use watchfire_protocol::limits::{FRAME_BYTES_MAX, REMAINS_BYTES_MAX, SEQUENCE_AHEAD_MAX};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::StoreError;
use watchfire_protocol::table::{self, Arrival, LogEntry, StreamRow};
use watchfire_protocol::wire::chunk_tree::{Root, leaf};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::envelope::{Header, Position};
use watchfire_protocol::wire::exchange::{RangeItem, Remains, StreamId};

use super::survey::Counts;
use super::{SledStore, tables};

/// How a finding is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The value is worthless: it is removed, and truth among it comes back
    /// from peers.
    Remove,
    /// Its chunks are worthless together: they are removed and fetched again.
    Refetch(EnvelopeId),
    /// The indexes are made again.
    Reindex,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key.
    pub key: Vec<u8>,
    /// The name of its table.
    pub table: &'static str,
    /// Whether the table is truth; all else can be made again.
    pub is_truth: bool,
    /// Where it stands, in words: ids and numbers.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
    /// How it is mended.
    pub remedy: Remedy,
}

/// What a store is found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// What is wrong, in the order in which it was met; as many as were asked
    /// for at most.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
    /// Entries that are there.
    pub entries: u64,
    /// Entries that there should be.
    pub entries_had: u64,
    /// Whether they are those last written, and none an older one.
    pub is_sum_right: bool,
    /// Envelopes of the log that came through the gate.
    pub verified: u64,
    /// Envelopes whose author's certificate is not known here: neither right
    /// nor wrong.
    pub unknown: u64,
    /// Envelopes that wait, in no index, for a gap in their stream to close.
    pub beyond: u64,
    /// Chunks of envelopes that are not held, or not yet again.
    pub loose_chunks: u64,
}

impl Audit {
    /// Whether nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.more == 0 && self.is_complete()
    }

    /// Whether nothing is lost or stale.
    pub const fn is_complete(&self) -> bool {
        self.entries == self.entries_had && self.is_sum_right
    }
}

/// Reads everything and checks it. Without a roster, for a node that has not
/// joined a federation, no signature can be checked.
///
/// `progress` hears the table and how many entries have been read, every few
/// dozen entries.
///
/// # Errors
/// When the database cannot be walked to its end.
pub fn audit(
    store: &SledStore,
    roster: Option<&Roster>,
    findings_max: usize,
    progress: impl FnMut(&'static str, u64),
) -> Result<Audit, StoreError> {
    audit_for(store, roster, findings_max, |_| true, progress)
}

/// As [`audit`], with the findings alone whose remedies are asked for.
pub(super) fn audit_for(
    store: &SledStore,
    roster: Option<&Roster>,
    findings_max: usize,
    wanted: fn(&Remedy) -> bool,
    mut progress: impl FnMut(&'static str, u64),
) -> Result<Audit, StoreError> {
    let totals = store.check(0)?;
    let mut auditor = Auditor {
        store,
        roster: roster
            .map(|roster| with_certificates(store, roster))
            .transpose()?,
        findings_max,
        wanted,
        ends: ends(store)?,
        runs: BTreeMap::new(),
        next_arrival: None,
        last_arrival: None,
        counts: Counts::default(),
        audit: Audit {
            entries_had: totals.entries_had,
            is_sum_right: totals.is_sum_right,
            ..Audit::default()
        },
    };
    store.walk(|key, value| {
        auditor.counts.add(key, value);
        if auditor.counts.entries().is_multiple_of(64) {
            progress(tables::of(key).name, auditor.counts.entries());
        }
        auditor.entry(key, value)
    })?;
    auditor.ended();
    let mut audit = auditor.audit;
    audit.entries = auditor.counts.entries();
    Ok(audit)
}

/// The roster with the certificates that were taken at the door, as an engine
/// has it.
fn with_certificates(store: &SledStore, roster: &Roster) -> Result<Roster, StoreError> {
    let mut roster = roster.clone();
    let held = store.sound_under(table::CERTIFICATES, usize::MAX)?;
    let held = held.iter().filter_map(|(_, value)| certificate_of(value));
    admit_held(&mut roster, held.collect());
    Ok(roster)
}

fn ends(store: &SledStore) -> Result<BTreeMap<StreamId, u64>, StoreError> {
    let ends = store.sound_under(table::STREAMS, usize::MAX)?;
    Ok(ends
        .iter()
        .filter_map(|(key, value)| {
            let (stream, _) = table::stream_of(key)?;
            let row: StreamRow = codec::decode(value, 128).ok()?;
            Some((stream, row.through.map_or(0, |through| through.sequence)))
        })
        .collect())
}

struct Auditor<'a> {
    store: &'a SledStore,
    roster: Option<Roster>,
    findings_max: usize,
    wanted: fn(&Remedy) -> bool,
    /// Where the index says each stream ends.
    ends: BTreeMap<StreamId, u64>,
    /// Where its places show that it ends.
    runs: BTreeMap<StreamId, u64>,
    next_arrival: Option<Arrival>,
    last_arrival: Option<Arrival>,
    counts: Counts,
    audit: Audit,
}

/// An envelope as its header has it.
struct Placed<'a> {
    arrival: Arrival,
    id: EnvelopeId,
    header: &'a Header,
    stream: Option<StreamId>,
    position: Option<Position>,
}

impl Auditor<'_> {
    fn find(&mut self, key: &[u8], why: impl Into<String>, remedy: Remedy) {
        if !(self.wanted)(&remedy) {
            return;
        }
        if self.audit.findings.len() >= self.findings_max {
            self.audit.more += 1;
            return;
        }
        let table = tables::of(key);
        self.audit.findings.push(Finding {
            key: key.to_vec(),
            table: table.name,
            is_truth: table.is_truth,
            place: tables::place(key),
            why: why.into(),
            remedy,
        });
    }

    fn entry(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let Some(value) = value else {
            self.find(key, "it does not carry its checksum", Remedy::Remove);
            return Ok(());
        };
        if let Err(why) = values::check(key, value) {
            self.find(key, why, Remedy::Remove);
            return Ok(());
        }
        match key.first().copied() {
            Some(b'A') => self.next_arrival = codec::decode(value, 9).ok(),
            Some(b'C') => self.chunk(key)?,
            Some(b'E' | b'B') => self.pointer(key, value)?,
            Some(b'L') => self.log(key, value)?,
            Some(b'R') => self.remains(key, value)?,
            Some(b'S') => self.place(key, value)?,
            Some(b'P' | b'W' | b'O') => self.of_arrival(key)?,
            Some(b'X') => self.evidence(key, value),
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Whether something came with that number.
    fn has_arrival(&self, arrival: Arrival) -> Result<bool, StoreError> {
        Ok(self.store.sound(&table::log(arrival))?.is_some()
            || self.store.sound(&table::remains(arrival))?.is_some())
    }

    fn pointer(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let arrival: Arrival = codec::decode(value, 9).unwrap_or(Arrival::MAX);
        if !self.has_arrival(arrival)? {
            self.find(key, "it points to nothing", Remedy::Reindex);
        }
        Ok(())
    }

    fn of_arrival(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let arrival = table::arrival_of(key).unwrap_or(Arrival::MAX);
        if !self.has_arrival(arrival)? {
            self.find(key, "it is about nothing that is held", Remedy::Reindex);
        }
        Ok(())
    }

    fn chunk(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let envelope = key.get(1..).and_then(<[u8]>::first_chunk::<32>);
        let id = EnvelopeId::from_bytes(*envelope.unwrap_or(&[0; 32]));
        // Not wrong: an envelope that was lost comes back, and takes them.
        if self.store.sound(&table::envelope(&id))?.is_none() {
            self.audit.loose_chunks += 1;
        }
        Ok(())
    }

    fn log(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let arrival = table::arrival_of(key).unwrap_or_default();
        self.last_arrival = self.last_arrival.max(Some(arrival));
        let (Some(roster), Ok(entry)) = (
            &self.roster,
            codec::decode::<LogEntry>(value, FRAME_BYTES_MAX + 64),
        ) else {
            return Ok(());
        };
        let frame = match gate::check(entry.frame.as_slice(), roster) {
            Ok(frame) => frame,
            Err(refusal) if refusal.blame() == Blame::Nobody => {
                self.audit.unknown += 1;
                return Ok(());
            }
            Err(refusal) => {
                self.find(key, refusal.to_string(), Remedy::Remove);
                return Ok(());
            }
        };
        self.audit.verified += 1;
        let header = frame.value().header();
        let placed = Placed {
            arrival,
            id: gate::envelope_id(&frame),
            header,
            stream: frame.value().stream(),
            position: header.prefix.class.position(),
        };
        if !self.placed(key, &placed)? {
            return Ok(());
        }
        if let Some(bundle) = frame.value().bundle_id()
            && self.store.sound(&table::bundle(&bundle))?.is_none()
        {
            self.find(key, "its bundle is in no index", Remedy::Reindex);
        }
        self.body(key, &placed)
    }

    fn remains(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let arrival = table::arrival_of(key).unwrap_or_default();
        self.last_arrival = self.last_arrival.max(Some(arrival));
        let remains: Result<Remains, _> = codec::decode(value, REMAINS_BYTES_MAX);
        let (Some(roster), Ok(remains)) = (&self.roster, remains) else {
            return Ok(());
        };
        match gate::check_remains(&remains, roster) {
            Ok(checked) => {
                self.audit.verified += 1;
                let header = checked.value().header();
                let placed = Placed {
                    arrival,
                    id: EnvelopeId::from_bytes(checked.id()),
                    header,
                    stream: checked.value().stream(),
                    position: header.prefix.class.position(),
                };
                self.placed(key, &placed).map(drop)
            }
            Err(refusal) if refusal.blame() == Blame::Nobody => {
                self.audit.unknown += 1;
                Ok(())
            }
            Err(refusal) => {
                self.find(key, refusal.to_string(), Remedy::Remove);
                Ok(())
            }
        }
    }

    /// Whether an envelope is where the indexes say, or rightly in none.
    fn placed(&mut self, key: &[u8], placed: &Placed<'_>) -> Result<bool, StoreError> {
        let (Some(stream), Some(position)) = (placed.stream, placed.position) else {
            self.find(key, "it belongs to no stream", Remedy::Remove);
            return Ok(false);
        };
        let indexed = self.store.sound(&table::envelope(&placed.id))?;
        let indexed: Option<Arrival> = indexed.and_then(|bytes| codec::decode(&bytes, 9).ok());
        match indexed {
            Some(at) if at == placed.arrival => {}
            // A copy of one that is held elsewhere.
            Some(at) if self.has_arrival(at)? => return Ok(false),
            Some(_) => {
                self.find(key, "its index points elsewhere", Remedy::Reindex);
                return Ok(false);
            }
            // It lost its place to one that fits from below, and is evidence.
            None if self.is_evidence(&stream, position.sequence, &placed.id)? => {
                return Ok(false);
            }
            None => {
                let end = self.ends.get(&stream).copied().unwrap_or(0);
                if position.sequence > end.saturating_add(SEQUENCE_AHEAD_MAX) {
                    self.audit.beyond += 1;
                } else {
                    self.find(key, "its id is in no index", Remedy::Reindex);
                }
                return Ok(false);
            }
        }
        let place = table::sequence(&stream, position.sequence);
        let there = self.store.sound(&place)?;
        let there: Option<EnvelopeId> = there.and_then(|bytes| codec::decode(&bytes, 32).ok());
        if there != Some(placed.id) {
            self.find(key, "it is not at its place in its stream", Remedy::Reindex);
        }
        Ok(true)
    }

    fn is_evidence(
        &self,
        stream: &StreamId,
        sequence: u64,
        id: &EnvelopeId,
    ) -> Result<bool, StoreError> {
        let key = table::evidence(stream, sequence, id);
        Ok(self.store.sound(&key)?.is_some())
    }

    /// Whether what lies outside the frame is whole or awaited.
    fn body(&mut self, key: &[u8], placed: &Placed<'_>) -> Result<(), StoreError> {
        let Some(payload) = placed.header.binding.payload else {
            return Ok(());
        };
        if placed.header.body_is_inline() {
            return Ok(());
        }
        let mut leaves = Vec::new();
        for index in 0..payload.chunks {
            match self.store.sound(&table::chunk(&placed.id, index))? {
                Some(chunk) => leaves.push(leaf(&chunk)),
                None => {
                    if self.store.sound(&table::pull(placed.arrival))?.is_none() {
                        let why = "a part of its body is missing and not awaited";
                        self.find(key, why, Remedy::Reindex);
                    }
                    return Ok(());
                }
            }
        }
        if Root::of_leaves(&leaves) != Some(payload.root) {
            let why = "its body is not the one its author signed";
            self.find(key, why, Remedy::Refetch(placed.id));
        } else if self.store.sound(&table::leaves(&placed.id))? != Some(leaves.concat()) {
            self.find(key, "its body's hashes are in no index", Remedy::Reindex);
        }
        Ok(())
    }

    /// A place of a stream. They come in order, stream by stream.
    fn place(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let id = codec::decode(value, 32).unwrap_or(EnvelopeId::from_bytes([0; 32]));
        if self.store.sound(&table::envelope(&id))?.is_none() {
            self.find(key, "it points to nothing", Remedy::Reindex);
        }
        if let Some((stream, Some(sequence))) = table::stream_of(key) {
            let run = self.runs.entry(stream).or_default();
            if sequence == *run + 1 {
                *run = sequence;
            }
        }
        Ok(())
    }

    fn evidence(&mut self, key: &[u8], value: &[u8]) {
        if let Some(roster) = &self.roster
            && let Ok(item) = codec::decode::<RangeItem>(value, FRAME_BYTES_MAX + 64)
            && let Err(refusal) = match &item {
                RangeItem::Frame(frame) => gate::check(frame.as_slice(), roster).map(drop),
                RangeItem::Remains(remains) => gate::check_remains(remains, roster).map(drop),
            }
            && refusal.blame() == Blame::Forwarder
        {
            self.find(key, refusal.to_string(), Remedy::Remove);
        }
    }

    /// What can be said only of all together.
    fn ended(&mut self) {
        let mut streams: BTreeMap<StreamId, (u64, u64)> = BTreeMap::new();
        for (stream, end) in &self.ends {
            streams.entry(*stream).or_default().0 = *end;
        }
        for (stream, run) in &self.runs {
            streams.entry(*stream).or_default().1 = *run;
        }
        for (stream, (end, run)) in streams {
            if end != run {
                let why = format!("it ends at {end}, and what is held without a gap ends at {run}");
                self.find(&table::stream(&stream), why, Remedy::Reindex);
            }
        }
        if let Some(last) = self.last_arrival
            && self.next_arrival.is_none_or(|next| next <= last)
        {
            let why = "what comes next would be written over what is held";
            self.find(&table::next_arrival(), why, Remedy::Reindex);
        }
    }
}
