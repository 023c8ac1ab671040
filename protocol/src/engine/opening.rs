//! Bundles on their way to being searched: handed out to be opened, filed when
//! they come back. What waits, waits in the log; memory holds a few.

use super::kept::{Kept, kept_at};
use super::messages::{Event, Output};
use super::{Engine, for_each};
use super::{OpenFrame, Work};
use crate::gate::{Blame, Frame};
use crate::ids::{BundleId, EnvelopeId};
use crate::limits::{
    FRAME_BYTES_MAX, HEAD_BYTES_MAX, HEADER_BYTES_MAX, OPENING_MAX, PAYLOAD_BYTES_MAX,
    SECOND_SIGNATURE_BYTES_MAX, UNOPENED_IN_MEMORY_MAX,
};
use crate::opening::{OpenRefusal, Opened};
use crate::store::{Batch, Store, StoreError};
use crate::table::rows::{self, Filed};
use crate::table::{self, Arrival, LogEntry, Outcome};
use crate::time::Now;
use crate::wire::bundle::Bundle;
use crate::wire::envelope::{Class, Envelope, Header, Inner, SignedBytes};
use crate::wire::{Bytes, Kind, Text, codec};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_crypto::Verified;

/// What waits to be opened.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    active: BTreeSet<Arrival>,
    /// Eight bytes each; the quotas of all authors together bound them.
    waiting: BTreeSet<Arrival>,
    /// The frames of the first of them, and when they were taken.
    memory: BTreeMap<Arrival, (u64, Box<Verified<Frame>>)>,
}

impl Opening {
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() + self.active.len()
    }
}

impl<S: Store> Engine<S> {
    pub(super) fn restore_unopened(&mut self) -> Result<(), StoreError> {
        let mut waiting = BTreeSet::new();
        for_each(&self.staged, table::UNOPENED, |key, _| {
            waiting.insert(table::arrival_of(key).ok_or_else(|| super::damaged(key))?);
            Ok(())
        })?;
        self.opening.waiting = waiting;
        self.start_opening()
    }

    /// Puts a bundle whose payload is complete in line, with its frame and when
    /// that was taken where they are at hand.
    pub(super) fn want_opened(
        &mut self,
        arrival: Arrival,
        frame: Option<(u64, Box<Verified<Frame>>)>,
    ) {
        self.staged.put(table::unopened(arrival), Vec::new());
        self.opening.waiting.insert(arrival);
        if let Some(frame) = frame
            && self.opening.memory.len() < UNOPENED_IN_MEMORY_MAX
        {
            self.opening.memory.insert(arrival, frame);
        }
    }

    /// Hands out as many as may be opened at a time.
    pub(super) fn start_opening(&mut self) -> Result<(), StoreError> {
        while self.opening.active.len() < OPENING_MAX
            && let Some(arrival) = self.opening.waiting.pop_first()
        {
            let (received_ms, frame) = match self.opening.memory.remove(&arrival) {
                Some((received_ms, frame)) => (received_ms, OpenFrame::Verified(frame)),
                None => match self.logged(arrival) {
                    Ok(entry) => {
                        let frame = OpenFrame::Logged(entry.frame.into_vec());
                        (entry.received_ms, frame)
                    }
                    // Reported by the store; the rest is opened all the same.
                    Err(StoreError::Damaged { .. }) => continue,
                    Err(failed @ StoreError::Failed { .. }) => return Err(failed),
                },
            };
            let payload = match &frame {
                // Its payload came in it: what is pulled is opened from the log.
                OpenFrame::Verified(_) => None,
                OpenFrame::Logged(bytes) => match header_of(bytes) {
                    Some((id, header)) if !header.body_is_inline() => {
                        match self.assemble(&id, &header) {
                            Ok(payload) => payload,
                            // In line on disk until that chunk has come again.
                            Err(StoreError::Damaged { .. }) => continue,
                            Err(failed @ StoreError::Failed { .. }) => return Err(failed),
                        }
                    }
                    Some(_) | None => None,
                },
            };
            self.opening.active.insert(arrival);
            let roster = self.roster();
            self.outputs.push_back(Output::Work(Work::Open {
                arrival,
                received_ms,
                frame,
                payload,
                roster,
            }));
        }
        Ok(())
    }

    pub(super) fn logged(&self, arrival: Arrival) -> Result<LogEntry, StoreError> {
        let key = table::log(arrival);
        self.staged
            .get_as(&key, FRAME_BYTES_MAX + 64)?
            .ok_or_else(|| super::damaged(&key))
    }

    /// A pulled payload out of its chunks.
    fn assemble(&self, id: &EnvelopeId, header: &Header) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(payload) = header.binding.payload else {
            return Ok(None);
        };
        let length = payload.length.min(PAYLOAD_BYTES_MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        for index in 0..payload.chunks {
            match self.staged.get(&table::chunk(id, index))? {
                Some(chunk) => bytes.extend(chunk),
                None => return Ok(None),
            }
        }
        Ok(Some(bytes))
    }

    pub(super) fn on_opened(
        &mut self,
        now: Now,
        arrival: Arrival,
        filed: Option<Filed>,
        outcome: Result<Opened, OpenRefusal>,
    ) -> Result<(), StoreError> {
        if !self.opening.active.remove(&arrival) {
            return Ok(());
        }
        if let Err(OpenRefusal::Gate(refusal)) = &outcome
            && refusal.blame() == Blame::Nobody
        {
            // It depends on what is known here: it stays in line on disk, for
            // the next start.
            return self.start_opening();
        }
        if matches!(outcome, Err(OpenRefusal::PayloadAbsent))
            && let Kept::Whole(logged) = kept_at(&self.staged, arrival)?
        {
            // A chunk of it is gone from the disk: it is fetched, and then opened.
            self.staged.remove(table::unopened(arrival));
            self.pull_again(now, arrival, logged.id, &logged.header);
            self.start_pulls(now)?;
            return self.start_opening();
        }
        match (outcome, filed) {
            (Err(OpenRefusal::NeedsUpgrade), _) => {
                self.staged.remove(table::unopened(arrival));
                self.staged
                    .put_as(table::outcome(arrival), &Outcome::NeedsUpgrade);
            }
            (Ok(opened), Some(filed)) => {
                let objects = self.file(arrival, &filed, &opened, true);
                self.event(Event::Searchable {
                    bundle: filed.bundle,
                    author: filed.author,
                    objects,
                });
            }
            (Ok(_), None) => self.staged.remove(table::unopened(arrival)),
            (Err(why), filed) => {
                self.staged.remove(table::unopened(arrival));
                let text: String = why.to_string().chars().take(120).collect();
                let why_text = Text::new(text).unwrap_or_default();
                self.staged
                    .put_as(table::outcome(arrival), &Outcome::Refused { why: why_text });
                if let Some(filed) = filed {
                    self.event(Event::NotOpened {
                        bundle: filed.bundle,
                        author: filed.author,
                        why,
                    });
                }
            }
        }
        self.start_opening()
    }

    /// Files what can be searched, and returns how many objects there are.
    /// `is_waiting` says that the bundle is in line on disk. Where a block is
    /// damaged, [`Engine::begin_commit`] takes back that it can be searched.
    pub(super) fn file(
        &mut self,
        arrival: Arrival,
        filed: &Filed,
        opened: &Opened,
        is_waiting: bool,
    ) -> u64 {
        let objects = (0..).zip(opened.rows());
        let ids = objects.filter_map(|(at, row)| table::object(row.id.as_str(), arrival, at));
        let keys = opened.keys().iter();
        let values = keys.filter_map(|(key, object)| table::value(key, arrival, *object));
        let mut entries: Vec<Vec<u8>> = ids.chain(values).collect();
        entries.sort_unstable();
        let mut then = Batch::default();
        for (key, block) in rows::blocks(arrival, filed, opened.rows()) {
            then.put(key, block);
        }
        let objects = opened.rows().len() as u64;
        let outcome = Outcome::Opened {
            objects,
            values: opened.keys().len() as u64,
            not_indexed: opened.not_indexed(),
        };
        then.put(table::outcome(arrival), codec::encode(&outcome));
        if is_waiting || !self.staged.files_at_once(entries.len()) {
            then.remove(table::unopened(arrival));
        }
        self.staged.file(arrival, entries, then, filed.bundle);
        objects
    }
}

/// Id and header of a frame of the log, which came through the gate once.
pub(super) fn header_of(bytes: &[u8]) -> Option<(EnvelopeId, Header)> {
    header_of_frame(bytes).map(|logged| (logged.id, logged.header))
}

/// What a frame of the log says.
pub(crate) struct LoggedFrame {
    /// All of it.
    pub(crate) bytes: Vec<u8>,
    pub(crate) id: EnvelopeId,
    pub(crate) header: Header,
    /// The header as it was signed.
    pub(crate) signed: SignedBytes<HEADER_BYTES_MAX>,
    /// The second signature over it, if there is one.
    pub(crate) second_signature: Option<Bytes<SECOND_SIGNATURE_BYTES_MAX>>,
    /// The bundle in it, if it is one in clear.
    pub(crate) bundle: Option<(BundleId, Bundle)>,
}

/// As [`header_of`], with the bundle in it if it is one in clear.
pub(crate) fn header_of_frame(bytes: &[u8]) -> Option<LoggedFrame> {
    let (_, body) = bytes.split_at_checked(2)?;
    let envelope: Envelope = codec::decode(body, FRAME_BYTES_MAX).ok()?;
    let signed = envelope.header.to_signed::<Header>();
    let header = signed.claims().ok()?;
    let id = EnvelopeId::from_bytes(signed.id());
    let in_clear = matches!(header.prefix.class, Class::Open { .. });
    let inner = codec::decode::<Inner>(envelope.head.as_slice(), HEAD_BYTES_MAX).ok();
    let bundle = inner
        .filter(|inner| in_clear && inner.kind == Kind::Bundle.number())
        .and_then(|inner| {
            let signed = inner.statement.to_signed::<Bundle>();
            Some((BundleId::from_bytes(signed.id()), signed.claims().ok()?))
        });
    Some(LoggedFrame {
        bytes: bytes.to_vec(),
        id,
        header,
        signed: envelope.header,
        second_signature: envelope.second_signature,
        bundle,
    })
}
