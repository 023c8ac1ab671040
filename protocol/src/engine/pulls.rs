//! Bodies that are announced and fetched, chunk by chunk, from whoever holds
//! them. The announced length is the bound; each chunk proves itself.

use super::kept::{Kept, kept_at};
use super::messages::{Output, RequestId};
use super::receive::is_expired;
use super::{Asked, Engine};
use crate::ids::{EnvelopeId, NodeId};
use crate::limits::{
    BODIES_AWAITED_PER_AUTHOR_MAX, CHUNKS_ASKED_MAX, LEFT_ON_DISK_AGAIN_MS, LEFT_ON_DISK_NEXT_MS,
    LEFT_ON_DISK_PAGE, PULLS_ACTIVE_MAX, RETRY_MS,
};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival};
use crate::time::{Instant, Now};
use crate::wire::chunk_tree::{ChunkPath, chunk_length, leaf};
use crate::wire::envelope::{Header, PayloadBinding};
use crate::wire::exchange::Request;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bodies being fetched, those in line, and those that nobody had. A line on
/// disk outlives a crash.
///
/// What nobody has gives its place to the next in line, so that bodies that
/// are announced and never served keep no others waiting.
#[derive(Debug, Default)]
pub(crate) struct Pulls {
    active: BTreeMap<EnvelopeId, Pull>,
    waiting: VecDeque<Wanted>,
    /// By when they are to be in line again.
    resting: BTreeMap<(Instant, Arrival), Wanted>,
    /// All of these, and of those that are not being fetched what came before:
    /// none where the disk has not been read for it.
    in_memory: BTreeMap<EnvelopeId, Option<Leaves>>,
    /// Of each author, how many of them.
    of_author: BTreeMap<NodeId, usize>,
    left_on_disk: LeftOnDisk,
}

/// The hashes of the chunks that came, by their numbers.
type Leaves = BTreeMap<u32, [u8; 32]>;

/// Those that memory had no room for. The disk is gone through a page at a
/// time, so that a look costs the same however many there are.
#[derive(Debug, Default)]
struct LeftOnDisk {
    /// When the next page is read; none if nothing is left.
    at: Option<Instant>,
    /// The key with which it begins.
    from: Vec<u8>,
    /// Whether anything was left since the first page was read.
    is_any: bool,
}

/// A body that is not being fetched.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    arrival: Arrival,
    id: EnvelopeId,
    /// The node that made it.
    author: Option<NodeId>,
    /// Who announced it, asked first; its author where that is forgotten.
    announcer: Option<NodeId>,
    /// How often everybody was asked in vain.
    rounds: u32,
}

/// One body.
#[derive(Debug)]
struct Pull {
    wanted: Wanted,
    bound: PayloadBinding,
    leaves: Leaves,
    asked: BTreeMap<u32, NodeId>,
    /// Who did not have it, this round.
    without: BTreeSet<NodeId>,
}

impl Pull {
    /// The first chunk that neither came nor is asked for.
    fn next_missing(&self) -> Option<u32> {
        (0..self.bound.chunks)
            .find(|index| !self.leaves.contains_key(index) && !self.asked.contains_key(index))
    }

    fn is_complete(&self) -> bool {
        self.leaves.len() as u64 == u64::from(self.bound.chunks)
    }
}

/// How often the time between two rounds doubles: from 2 to 64 seconds.
const ROUNDS_DOUBLED_MAX: u32 = 5;

/// Rounds in vain, 30 seconds, after which somebody new is no reason to ask
/// everybody again before the time: who withholds bodies could come and go.
const ROUNDS_HOPEFUL: u32 = 4;

impl Pulls {
    pub(crate) fn len(&self) -> usize {
        self.active.len() + self.waiting.len() + self.resting.len()
    }

    #[cfg(test)]
    pub(crate) fn pretend_awaited(&mut self, author: NodeId, count: usize) {
        self.of_author.insert(author, count);
    }

    /// Puts a body in line. Of an author who announces and never serves, most
    /// wait on disk alone.
    fn line_up(&mut self, now: Instant, wanted: Wanted) {
        if let Some(author) = wanted.author {
            let count = self.of_author.entry(author).or_default();
            if *count >= BODIES_AWAITED_PER_AUTHOR_MAX {
                let left = &mut self.left_on_disk;
                left.is_any = true;
                left.at
                    .get_or_insert_with(|| now.plus_ms(LEFT_ON_DISK_AGAIN_MS));
                return;
            }
            *count += 1;
        }
        self.in_memory.insert(wanted.id, None);
        self.waiting.push_back(wanted);
    }

    fn is_in_memory(&self, wanted: &EnvelopeId) -> bool {
        self.in_memory.contains_key(wanted)
    }

    /// It came, or nobody asks for it any more.
    fn ended(&mut self, wanted: &Wanted) {
        self.in_memory.remove(&wanted.id);
        if let Some(count) = wanted
            .author
            .and_then(|author| self.of_author.get_mut(&author))
        {
            *count = count.saturating_sub(1);
        }
    }

    /// The first in line whose announcer has no other under way: whoever
    /// announces much, or serves slowly, keeps one place and not all of them.
    fn next_waiting(&mut self) -> Option<Wanted> {
        let busy: BTreeSet<Option<NodeId>> = self
            .active
            .values()
            .map(|pull| pull.wanted.announcer)
            .collect();
        let at = self
            .waiting
            .iter()
            .position(|wanted| !busy.contains(&wanted.announcer))?;
        self.waiting.remove(at)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let resting = self.resting.keys().next().map(|(at, _)| *at);
        [resting, self.left_on_disk.at].into_iter().flatten().min()
    }
}

impl<S: Store> Engine<S> {
    /// Lines up the next page of those on disk.
    pub(super) fn restore_pulls(&mut self, now: Now) -> Result<(), StoreError> {
        let from = &self.pulls.left_on_disk.from;
        let page = self.staged.scan(table::PULLS, from, LEFT_ON_DISK_PAGE)?;
        for (key, value) in &page {
            let arrival = table::arrival_of(key).ok_or_else(|| super::damaged(key))?;
            let id = super::staged::read_value(key, value, 32)?;
            if self.pulls.is_in_memory(&id) {
                continue;
            }
            let Some((author, _)) = self.bound_payload(now, arrival)? else {
                // Its time is over, or it cannot be read: nobody asks again.
                self.staged.remove(table::pull(arrival));
                continue;
            };
            let wanted = Wanted {
                arrival,
                id,
                author,
                announcer: None,
                rounds: 0,
            };
            self.pulls.line_up(now.mono, wanted);
        }
        let left = &mut self.pulls.left_on_disk;
        match page.last() {
            Some((last, _)) if page.len() == LEFT_ON_DISK_PAGE => {
                left.from.clone_from(last);
                left.from.push(0);
                left.at = Some(now.mono.plus_ms(LEFT_ON_DISK_NEXT_MS));
            }
            Some(_) | None => {
                left.from.clear();
                let is_any = core::mem::take(&mut left.is_any);
                left.at = is_any.then(|| now.mono.plus_ms(LEFT_ON_DISK_AGAIN_MS));
            }
        }
        self.start_pulls(now)
    }

    /// Puts a body in line.
    pub(super) fn want_body(
        &mut self,
        now: Now,
        arrival: Arrival,
        id: EnvelopeId,
        from: NodeId,
        header: &Header,
    ) {
        if header.binding.payload.is_some() {
            self.staged.put_as(table::pull(arrival), &id);
            let certificate = self.roster.certificate(&header.prefix.certificate);
            let author = certificate.map(|certificate| certificate.node);
            let wanted = Wanted {
                arrival,
                id,
                author,
                announcer: Some(from),
                rounds: 0,
            };
            self.pulls.line_up(now.mono, wanted);
        }
    }

    /// Puts a body in line of which a part cannot be read any more.
    pub(super) fn pull_again(
        &mut self,
        now: Now,
        arrival: Arrival,
        id: EnvelopeId,
        header: &Header,
    ) {
        // One that is being fetched counts as held what was read as it began.
        if let Some(pull) = self.pulls.active.remove(&id) {
            self.pulls.ended(&pull.wanted);
        }
        self.staged.put_as(table::pull(arrival), &id);
        if let Some(leaves) = self.pulls.in_memory.get_mut(&id) {
            *leaves = None;
            return;
        }
        let certificate = self.roster.certificate(&header.prefix.certificate);
        let wanted = Wanted {
            arrival,
            id,
            author: certificate.map(|certificate| certificate.node),
            announcer: None,
            rounds: 0,
        };
        self.pulls.line_up(now.mono, wanted);
    }

    /// Begins as many as may run. Where nobody is, nobody can be asked.
    pub(super) fn start_pulls(&mut self, now: Now) -> Result<(), StoreError> {
        while self.pulls.active.len() < PULLS_ACTIVE_MAX
            && self.peers.ready().next().is_some()
            && let Some(mut wanted) = self.pulls.next_waiting()
        {
            let Some((author, bound)) = self.bound_payload(now, wanted.arrival)? else {
                // Its time is over, or it cannot be read: nobody asks again.
                self.staged.remove(table::pull(wanted.arrival));
                self.pulls.ended(&wanted);
                continue;
            };
            wanted.announcer = wanted.announcer.or(author);
            let id = wanted.id;
            let known = self.pulls.in_memory.get_mut(&id).and_then(Option::take);
            let leaves = match known {
                Some(leaves) => leaves,
                None => self.leaves_on_disk(&id, bound.chunks)?,
            };
            let pull = Pull {
                wanted,
                bound,
                leaves,
                asked: BTreeMap::new(),
                without: BTreeSet::new(),
            };
            let is_complete = pull.is_complete();
            self.pulls.active.insert(id, pull);
            if is_complete {
                // Only its envelope had to come again, or the hashes.
                self.body_complete(id);
            } else {
                self.ask_chunks(now, &id);
            }
        }
        Ok(())
    }

    /// Reads what there is of a body: up to 64 MiB, so once, and not each time
    /// that the rest of it does not come.
    fn leaves_on_disk(&self, id: &EnvelopeId, chunks: u32) -> Result<Leaves, StoreError> {
        let mut leaves = Leaves::new();
        for index in 0..chunks {
            if let Some(chunk) = self.staged.sound(&table::chunk(id, index))? {
                leaves.insert(index, leaf(&chunk));
            }
        }
        Ok(leaves)
    }

    /// The author's node and the payload as the header binds it.
    fn bound_payload(
        &self,
        now: Now,
        arrival: Arrival,
    ) -> Result<Option<(Option<NodeId>, PayloadBinding)>, StoreError> {
        let Kept::Whole(logged) = kept_at(&self.staged, arrival)? else {
            return Ok(None);
        };
        let header = logged.header;
        if is_expired(header.prefix.expiry_hour, now.wall_ms) {
            return Ok(None);
        }
        let author = self
            .roster
            .certificate(&header.prefix.certificate)
            .map(|certificate| certificate.node);
        Ok(header.binding.payload.map(|payload| (author, payload)))
    }

    /// Asks for as many chunks as may be under way. A body that nobody who is
    /// here has rests, and everybody is asked again later.
    fn ask_chunks(&mut self, now: Now, id: &EnvelopeId) {
        while let Some((index, to)) = self.next_chunk(id) {
            self.ask(
                to,
                Request::Chunk {
                    envelope: *id,
                    index,
                },
                Asked::Chunk {
                    envelope: *id,
                    index,
                },
            );
        }
        if self
            .pulls
            .active
            .get(id)
            .is_some_and(|pull| pull.asked.is_empty())
            && let Some(pull) = self.pulls.active.remove(id)
        {
            let mut wanted = pull.wanted;
            let rest_ms = RETRY_MS << wanted.rounds.min(ROUNDS_DOUBLED_MAX);
            wanted.rounds = wanted.rounds.saturating_add(1);
            self.pulls.in_memory.insert(*id, Some(pull.leaves));
            self.pulls
                .resting
                .insert((now.mono.plus_ms(rest_ms), wanted.arrival), wanted);
        }
    }

    fn next_chunk(&mut self, id: &EnvelopeId) -> Option<(u32, NodeId)> {
        let pull = self.pulls.active.get_mut(id)?;
        if pull.asked.len() >= CHUNKS_ASKED_MAX {
            return None;
        }
        let index = pull.next_missing()?;
        let holders: Vec<NodeId> = self
            .peers
            .ready()
            .filter(|peer| !pull.without.contains(peer))
            .collect();
        let to = match pull
            .wanted
            .announcer
            .filter(|announcer| holders.contains(announcer))
        {
            Some(announcer) => announcer,
            None => {
                let count = holders.len() as u64;
                let turn = pull.without.len() as u64;
                let at = usize::try_from(self.chance.below("pull", id.as_bytes(), turn, count))
                    .unwrap_or(0);
                *holders.get(at)?
            }
        };
        pull.asked.insert(index, to);
        Some((index, to))
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
        let Some(pull) = self.pulls.active.get_mut(&id) else {
            return Ok(());
        };
        pull.asked.remove(&index);
        let came = chunk.is_some();
        let good = chunk.filter(|(bytes, path)| {
            bytes.len() == chunk_length(pull.bound.length, index)
                && pull.bound.root.holds(bytes, index, pull.bound.chunks, path)
        });
        let mut spoiled = false;
        match good {
            Some((bytes, _)) => {
                pull.leaves.insert(index, leaf(bytes));
                self.staged.put(table::chunk(&id, index), bytes.to_vec());
            }
            // Absent or wrong: the same is asked elsewhere.
            None => {
                pull.without.insert(from);
                spoiled = came;
            }
        }
        let complete = pull.is_complete();
        if spoiled {
            self.outputs.push_back(Output::Reconnect { node: from });
        }
        if complete {
            self.body_complete(id);
            self.start_pulls(now)?;
            return self.start_opening();
        }
        self.ask_chunks(now, &id);
        self.start_pulls(now)
    }

    fn body_complete(&mut self, id: EnvelopeId) {
        let Some(pull) = self.pulls.active.remove(&id) else {
            return;
        };
        self.staged.remove(table::pull(pull.wanted.arrival));
        self.pulls.ended(&pull.wanted);
        let leaves: Vec<[u8; 32]> = pull.leaves.into_values().collect();
        self.staged.put(table::leaves(&id), leaves.concat());
        self.want_opened(pull.wanted.arrival, None);
    }

    /// Puts what has rested in line again, and what waits on disk alone.
    pub(super) fn retry_pulls(&mut self, now: Now) -> Result<(), StoreError> {
        if self.pulls.left_on_disk.at.is_some_and(|at| at <= now.mono) {
            match self.restore_pulls(now) {
                // It is made again; this page is read anew then.
                Err(StoreError::Damaged { .. }) => {
                    let later = now.mono.plus_ms(LEFT_ON_DISK_AGAIN_MS);
                    self.pulls.left_on_disk.at = Some(later);
                }
                looked => looked?,
            }
        }
        while let Some(entry) = self.pulls.resting.first_entry()
            && entry.key().0 <= now.mono
        {
            self.pulls.waiting.push_back(entry.remove());
        }
        Ok(())
    }

    /// Somebody new is here, who may have what nobody had.
    pub(super) fn retry_pulls_early(&mut self) {
        let resting = core::mem::take(&mut self.pulls.resting);
        for (at, wanted) in resting {
            if wanted.rounds < ROUNDS_HOPEFUL {
                self.pulls.waiting.push_back(wanted);
            } else {
                self.pulls.resting.insert(at, wanted);
            }
        }
    }

    /// A peer left: what it was asked for is asked elsewhere.
    pub(super) fn forget_requests(&mut self, now: Now, node: &NodeId) -> Result<(), StoreError> {
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
        self.start_pulls(now)
    }
}
