//! Bodies that are announced and fetched, chunk by chunk, from whoever holds
//! them. The announced length is the bound; each chunk proves itself.

use super::messages::RequestId;
use super::{Asked, Engine, for_each};
use crate::ids::{EnvelopeId, NodeId};
use crate::limits::{CHUNKS_ASKED_MAX, PULLS_ACTIVE_MAX, RETRY_MS};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival};
use crate::time::{Instant, Now};
use crate::wire::chunk_tree::{ChunkPath, chunk_length, leaf};
use crate::wire::codec;
use crate::wire::envelope::{Header, PayloadBinding};
use crate::wire::exchange::Request;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bodies being fetched, and those in line. A line on disk outlives a crash.
#[derive(Debug, Default)]
pub(crate) struct Pulls {
    active: BTreeMap<EnvelopeId, Pull>,
    waiting: VecDeque<(Arrival, EnvelopeId, Option<NodeId>)>,
}

/// One body.
#[derive(Debug)]
struct Pull {
    arrival: Arrival,
    bound: PayloadBinding,
    leaves: Vec<Option<[u8; 32]>>,
    missing: BTreeSet<u32>,
    asked: BTreeMap<u32, NodeId>,
    /// Who announced it, asked first.
    announcer: Option<NodeId>,
    /// Who did not have it, this round.
    without: BTreeSet<NodeId>,
    retry_at: Option<Instant>,
}

impl Pulls {
    pub(crate) fn len(&self) -> usize {
        self.active.len() + self.waiting.len()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.active.values().filter_map(|pull| pull.retry_at).min()
    }
}

impl<S: Store> Engine<S> {
    pub(super) fn restore_pulls(&mut self, now: Now) -> Result<(), StoreError> {
        let mut waiting = VecDeque::new();
        for_each(&self.staged, table::PULLS, |key, value| {
            let arrival = table::arrival_of(key).ok_or_else(|| super::damaged(key))?;
            let id = codec::decode(value, 32).map_err(|_| super::damaged(key))?;
            waiting.push_back((arrival, id, None));
            Ok(())
        })?;
        self.pulls.waiting = waiting;
        self.start_pulls(now)
    }

    /// Puts a body in line.
    pub(super) fn want_body(&mut self, arrival: Arrival, id: EnvelopeId, from: NodeId, header: &Header) {
        if header.binding.payload.is_some() {
            self.staged.put_as(table::pull(arrival), &id);
            self.pulls.waiting.push_back((arrival, id, Some(from)));
        }
    }

    /// Begins as many as may run.
    pub(super) fn start_pulls(&mut self, now: Now) -> Result<(), StoreError> {
        while self.pulls.active.len() < PULLS_ACTIVE_MAX
            && let Some((arrival, id, announcer)) = self.pulls.waiting.pop_front()
        {
            let Some(bound) = self.bound_payload(arrival)? else { continue };
            let mut pull = Pull {
                arrival,
                bound,
                leaves: Vec::new(),
                missing: BTreeSet::new(),
                asked: BTreeMap::new(),
                announcer,
                without: BTreeSet::new(),
                retry_at: None,
            };
            for index in 0..bound.chunks {
                let held = self.staged.get(&table::chunk(&id, index))?;
                if held.is_none() {
                    pull.missing.insert(index);
                }
                pull.leaves.push(held.map(|chunk| leaf(&chunk)));
            }
            self.pulls.active.insert(id, pull);
            self.ask_chunks(now, &id);
        }
        Ok(())
    }

    fn bound_payload(&self, arrival: Arrival) -> Result<Option<PayloadBinding>, StoreError> {
        let key = table::log(arrival);
        let entry: Option<table::LogEntry> = self.staged.get_as(&key, crate::limits::FRAME_BYTES_MAX + 64)?;
        let header = entry.and_then(|entry| super::opening::header_of(entry.frame.as_slice()));
        Ok(header.and_then(|(_, header)| header.binding.payload))
    }

    /// Asks for as many chunks as may be under way.
    fn ask_chunks(&mut self, now: Now, id: &EnvelopeId) {
        while let Some((index, to)) = self.next_chunk(now, id) {
            self.ask(to, Request::Chunk { envelope: *id, index }, Asked::Chunk { envelope: *id, index });
        }
    }

    fn next_chunk(&mut self, now: Now, id: &EnvelopeId) -> Option<(u32, NodeId)> {
        let pull = self.pulls.active.get_mut(id)?;
        if pull.asked.len() >= CHUNKS_ASKED_MAX || pull.retry_at.is_some() {
            return None;
        }
        let index = pull.missing.iter().find(|index| !pull.asked.contains_key(index)).copied()?;
        let holders: Vec<NodeId> = self.peers.ready().filter(|peer| !pull.without.contains(peer)).collect();
        let to = match pull.announcer.filter(|announcer| holders.contains(announcer)) {
            Some(announcer) => Some(announcer),
            None => {
                let count = holders.len() as u64;
                let turn = pull.without.len() as u64;
                let at = usize::try_from(self.chance.below("pull", id.as_bytes(), turn, count)).unwrap_or(0);
                holders.get(at).copied()
            }
        };
        match to {
            Some(to) => {
                pull.asked.insert(index, to);
                Some((index, to))
            }
            None => {
                // Nobody who is here has it: ask them all again later.
                if pull.asked.is_empty() {
                    pull.without.clear();
                    pull.retry_at = Some(now.mono.plus_ms(RETRY_MS));
                }
                None
            }
        }
    }

    /// A chunk came, or did not.
    pub(super) fn on_chunk(
        &mut self,
        now: Now,
        from: NodeId,
        id: EnvelopeId,
        index: u32,
        chunk: Option<(&[u8], &ChunkPath)>,
    ) -> Result<(), StoreError> {
        let Some(pull) = self.pulls.active.get_mut(&id) else { return Ok(()) };
        pull.asked.remove(&index);
        let good = chunk.filter(|(bytes, path)| {
            bytes.len() == chunk_length(pull.bound.length, index)
                && pull.bound.root.holds(bytes, index, pull.bound.chunks, path)
        });
        match good {
            Some((bytes, _)) => {
                if let Some(slot) = usize::try_from(index).ok().and_then(|at| pull.leaves.get_mut(at)) {
                    *slot = Some(leaf(bytes));
                }
                pull.missing.remove(&index);
                self.staged.put(table::chunk(&id, index), bytes.to_vec());
            }
            // Absent or wrong: the same is asked elsewhere.
            None => {
                pull.without.insert(from);
            }
        }
        if pull.missing.is_empty() {
            self.body_complete(id);
            self.start_pulls(now)?;
            return self.start_opening();
        }
        self.ask_chunks(now, &id);
        Ok(())
    }

    fn body_complete(&mut self, id: EnvelopeId) {
        let Some(pull) = self.pulls.active.remove(&id) else { return };
        self.staged.remove(table::pull(pull.arrival));
        let leaves: Vec<[u8; 32]> = pull.leaves.into_iter().flatten().collect();
        self.staged.put(table::leaves(&id), leaves.concat());
        self.want_opened(pull.arrival, None);
    }

    /// Asks again where nobody had it, and whoever is new.
    pub(super) fn retry_pulls(&mut self, now: Now) {
        let due: Vec<EnvelopeId> = self
            .pulls
            .active
            .iter_mut()
            .filter(|(_, pull)| pull.retry_at.is_some_and(|at| at <= now.mono))
            .map(|(id, pull)| {
                pull.retry_at = None;
                *id
            })
            .collect();
        for id in due {
            self.ask_chunks(now, &id);
        }
    }

    /// A peer left: what it was asked for is asked elsewhere.
    pub(super) fn forget_requests(&mut self, now: Now, node: &NodeId) {
        self.requests.retain(|_: &RequestId, (to, _)| to != node);
        let ids: Vec<EnvelopeId> = self
            .pulls
            .active
            .iter_mut()
            .map(|(id, pull)| {
                pull.asked.retain(|_, to| to != node);
                *id
            })
            .collect();
        for id in ids {
            self.ask_chunks(now, &id);
        }
    }
}
