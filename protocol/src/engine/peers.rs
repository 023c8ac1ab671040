//! Members this node is connected to: hello, sign of life, and fetching what
//! was missed.
//!
//! A probe carries a digest of the frontier. Equal: both hold the same, and
//! the link lives. Otherwise the frontier is asked for, and then the ranges in
//! which the other is ahead. A probe that is not answered, or an author whose
//! envelopes only ever come by catch-up, means that a link is open and dead:
//! it is closed and dialled again.

use super::messages::{CheckedItem, Event, Output, RequestId, Work};
use super::quota::Quota;
use super::{Asked, Engine};
use crate::gate::{Blame, Content, Frame, Refusal};
use crate::ids::NodeId;
use crate::limits::{
    FRONTIER_ENTRIES_MAX, FRUITLESS_MAX, PROBE_AGAIN_MS, PROBE_EVERY_MS, RETRY_MS,
    SILENT_PROBES_MAX, STREAMS_PER_NODE_MAX, UNANSWERED_MAX,
};
use crate::store::{Store, StoreError};
use crate::time::{Instant, Now};
use crate::wire::exchange::{Answer, FrontierEntry, RangeItem, Request, StreamId, Unavailable};
use std::collections::{BTreeMap, VecDeque};

/// Every connected member. The roster bounds them: only its nodes connect.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug)]
struct Peer {
    /// It said hello to us: its input counts.
    said_hello: bool,
    /// It answered ours: it can be asked.
    heard_hello: bool,
    quota: Quota,
    connected_wall_ms: u64,
    probed_at: Instant,
    probe_at: Instant,
    probes: u64,
    unanswered: u32,
    /// Probes in a row that found its own envelopes missing here.
    silent: u32,
    /// Catch-ups in a row that brought nothing new.
    fruitless: u32,
    catch_up: Option<CatchUp>,
}

/// Fetching what a peer is ahead in.
#[derive(Debug, Default)]
struct CatchUp {
    wants: VecDeque<StreamId>,
    /// Where its frontier goes on, if it does.
    frontier_after: Option<StreamId>,
    /// Pages of it that came.
    pages: usize,
    /// The stream whose range is under way, and our end of it when we asked.
    asked: Option<(StreamId, u64)>,
    /// Whether the last range said there was more.
    more: bool,
    /// Envelopes of the peer itself that gossip should have brought.
    missed_gossip: bool,
    /// Whether it brought anything.
    fruit: bool,
}

impl Peers {
    pub(crate) fn has_said_hello(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.said_hello)
    }

    pub(crate) fn ready(&self) -> impl Iterator<Item = NodeId> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.heard_hello && peer.said_hello)
            .map(|(node, _)| *node)
    }

    pub(crate) fn quota(&mut self, node: &NodeId) -> Option<&mut Quota> {
        self.peers.get_mut(node).map(|peer| &mut peer.quota)
    }

    pub(crate) fn heard_gossip(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.silent = 0;
        }
    }

    /// The catch-up with a peer, if one is under way.
    fn catch_up(&mut self, node: &NodeId) -> Option<&mut CatchUp> {
        self.peers.get_mut(node)?.catch_up.as_mut()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.peers.values().map(|peer| peer.probe_at).min()
    }
}

impl<S: Store> Engine<S> {
    pub(super) fn on_connected(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        if self.roster.node(&node).is_none() || node == self.me.node {
            return Ok(());
        }
        let peer = Peer {
            said_hello: false,
            heard_hello: false,
            quota: Quota::peer(now.mono),
            connected_wall_ms: now.wall_ms,
            probed_at: now.mono,
            probe_at: now.mono.plus_ms(PROBE_EVERY_MS),
            probes: 0,
            unanswered: 0,
            silent: 0,
            fruitless: 0,
            catch_up: None,
        };
        self.peers.peers.insert(node, peer);
        self.say_hello(node);
        Ok(())
    }

    fn say_hello(&mut self, node: NodeId) {
        let hello = Request::Hello {
            federation: self.roster.federation(),
            epoch: self.roster.epoch(),
        };
        self.ask(node, hello, Asked::Hello);
    }

    pub(super) fn on_disconnected(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        self.peers.peers.remove(&node);
        self.forget_requests(now, &node)
    }

    /// A peer says hello.
    pub(super) fn heard_hello_of(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return Ok(());
        };
        let first = !core::mem::replace(&mut peer.said_hello, true);
        if first && peer.heard_hello {
            self.peer_ready(now, node)
        } else {
            Ok(())
        }
    }

    fn peer_ready(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        self.event(Event::PeerReady { node });
        self.probe(now, node);
        self.retry_pulls_early();
        self.start_pulls(now)
    }

    /// Something may be missing here or there: the next probe comes forward.
    pub(super) fn probe_soon(&mut self, now: Now, node: &NodeId) {
        if let Some(peer) = self.peers.peers.get_mut(node) {
            let soon = now.mono.max(peer.probed_at).plus_ms(PROBE_AGAIN_MS);
            peer.probe_at = peer.probe_at.min(soon);
        }
    }

    /// A peer's probe differed: ours comes forward. Not where that brought
    /// nothing lately: two who hold the two sides of a fork differ for good,
    /// and would keep each other asking.
    pub(super) fn probe_differed(&mut self, now: Now, node: &NodeId) {
        let peer = self.peers.peers.get(node);
        if peer.is_some_and(|peer| peer.fruitless < FRUITLESS_MAX) {
            self.probe_soon(now, node);
        }
    }

    /// Frames of ours were lost on the way: those whom they were for are told
    /// by a probe, since they cannot miss what they never heard of.
    pub(super) fn on_congested(&mut self, now: Now, node: Option<NodeId>) {
        let nodes: Vec<NodeId> = match node {
            Some(node) => vec![node],
            None => self.peers.peers.keys().copied().collect(),
        };
        for node in nodes {
            self.probe_soon(now, &node);
        }
    }

    fn probe(&mut self, now: Now, node: NodeId) {
        let digest = self.streams.digest();
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return;
        };
        peer.probes += 1;
        // Spread, so that a federation does not probe in step.
        let jitter_ms =
            self.chance
                .below("probe", node.as_bytes(), peer.probes, PROBE_EVERY_MS / 8);
        peer.probed_at = now.mono;
        peer.probe_at = now.mono.plus_ms(PROBE_EVERY_MS + jitter_ms);
        if peer.heard_hello {
            self.ask(node, Request::Probe { digest }, Asked::Probe);
        } else {
            self.say_hello(node);
        }
    }

    pub(super) fn on_wake(&mut self, now: Now) -> Result<(), StoreError> {
        let due: Vec<NodeId> = self
            .peers
            .peers
            .iter()
            .filter(|(_, peer)| peer.probe_at <= now.mono)
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            self.probe(now, node);
        }
        self.retry_pulls(now);
        self.start_pulls(now)
    }

    pub(super) fn on_answered(
        &mut self,
        now: Now,
        id: RequestId,
        answer: Option<Answer>,
    ) -> Result<(), StoreError> {
        let Some((from, asked)) = self.requests.remove(&id) else {
            return Ok(());
        };
        let Some(answer) = answer else {
            self.unanswered(now, from);
            if let Asked::Chunk { envelope, index } = asked {
                return self.on_chunk(now, from, envelope, index, None);
            }
            return Ok(());
        };
        if let Some(peer) = self.peers.peers.get_mut(&from) {
            peer.unanswered = 0;
        }
        match (asked, answer) {
            (Asked::Hello, Answer::Hello { federation, .. })
                if federation == self.roster.federation() =>
            {
                if let Some(peer) = self.peers.peers.get_mut(&from) {
                    let first = !core::mem::replace(&mut peer.heard_hello, true);
                    if first && peer.said_hello {
                        self.peer_ready(now, from)?;
                    }
                }
            }
            (Asked::Probe, Answer::Probe { digest }) => self.on_probed(from, digest),
            (Asked::Frontier { after }, Answer::Frontier { entries, more }) => {
                self.on_frontier(from, after, entries.into_vec(), more);
            }
            (Asked::Range { stream }, Answer::Range { items, more }) => {
                self.on_range(from, stream, items.into_vec(), more);
            }
            (Asked::Chunk { envelope, index }, Answer::Chunk { bytes, path }) => {
                return self.on_chunk(now, from, envelope, index, Some((bytes.as_slice(), &path)));
            }
            (Asked::Chunk { envelope, index }, _) => {
                return self.on_chunk(now, from, envelope, index, None);
            }
            // It does not know our hello any more, or never took it: with the
            // next probe it is said again.
            (
                Asked::Probe | Asked::Frontier { .. } | Asked::Range { .. },
                Answer::Unavailable {
                    reason: Unavailable::Refused,
                },
            ) => {
                if let Some(peer) = self.peers.peers.get_mut(&from) {
                    peer.heard_hello = false;
                }
                self.end_catch_up(from);
            }
            // Unavailable, or an answer to another question.
            (Asked::Hello | Asked::Probe | Asked::Frontier { .. } | Asked::Range { .. }, _) => {
                self.end_catch_up(from);
            }
        }
        Ok(())
    }

    /// A request could not be sent from here: nothing is learned about the
    /// peer, and it is tried again.
    pub(super) fn on_not_asked(&mut self, now: Now, id: RequestId) -> Result<(), StoreError> {
        let Some((from, asked)) = self.requests.remove(&id) else {
            return Ok(());
        };
        if let Some(peer) = self.peers.peers.get_mut(&from) {
            peer.catch_up = None;
            // Spread, so that what was too much at once does not come again.
            let jitter_ms =
                self.chance
                    .below("again", from.as_bytes(), peer.probes, PROBE_EVERY_MS / 4);
            peer.probe_at = peer.probe_at.min(now.mono.plus_ms(RETRY_MS + jitter_ms));
        }
        match asked {
            Asked::Chunk { envelope, index } => self.on_chunk(now, from, envelope, index, None),
            Asked::Hello | Asked::Probe | Asked::Frontier { .. } | Asked::Range { .. } => Ok(()),
        }
    }

    fn unanswered(&mut self, now: Now, node: NodeId) {
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return;
        };
        peer.catch_up = None;
        peer.unanswered += 1;
        peer.probe_at = now.mono.plus_ms(RETRY_MS);
        if peer.unanswered >= UNANSWERED_MAX {
            peer.unanswered = 0;
            self.outputs.push_back(Output::Reconnect { node });
        }
    }

    fn on_probed(&mut self, from: NodeId, digest: [u8; 32]) {
        let ours = self.streams.digest();
        let Some(peer) = self.peers.peers.get_mut(&from) else {
            return;
        };
        if digest == ours {
            peer.fruitless = 0;
        }
        if digest == ours || peer.catch_up.is_some() {
            return;
        }
        peer.catch_up = Some(CatchUp::default());
        self.ask(
            from,
            Request::Frontier { after: None },
            Asked::Frontier { after: None },
        );
    }

    fn on_frontier(
        &mut self,
        from: NodeId,
        after: Option<StreamId>,
        entries: Vec<FrontierEntry>,
        more: bool,
    ) {
        // Only streams that a certificate stands for, and of each life of a
        // node no more than it may have: invented ones cost nobody a question.
        let mut of_life: BTreeMap<(NodeId, u64), usize> = BTreeMap::new();
        let wants: Vec<StreamId> = entries
            .iter()
            .filter(|entry| {
                let StreamId {
                    node, incarnation, ..
                } = entry.stream;
                let ours = self
                    .streams
                    .through(&entry.stream)
                    .map_or(0, |through| through.sequence);
                let asked = of_life.entry((node, incarnation)).or_default();
                *asked += 1;
                entry.through > ours
                    && *asked <= STREAMS_PER_NODE_MAX
                    && self.roster.has_lived(&node, incarnation)
            })
            .map(|entry| entry.stream)
            .collect();
        let pages_max =
            1 + self.roster.nodes().count() * STREAMS_PER_NODE_MAX / FRONTIER_ENTRIES_MAX;
        let last = entries.last().map(|entry| entry.stream);
        let Some(catch_up) = self.peers.catch_up(&from) else {
            return;
        };
        catch_up.pages += 1;
        // Only forward, and no further than all members' streams reach, so that
        // an answer that repeats itself or goes on for ever ends it.
        let goes_on = more && catch_up.pages < pages_max;
        catch_up.frontier_after =
            last.filter(|last| goes_on && after.is_none_or(|after| *last > after));
        let room = FRONTIER_ENTRIES_MAX.saturating_sub(catch_up.wants.len());
        catch_up.wants.extend(wants.into_iter().take(room));
        self.next_range(from);
    }

    /// Asks for the next range, or the next page of the frontier, or ends.
    fn next_range(&mut self, from: NodeId) {
        let Some(catch_up) = self.peers.catch_up(&from) else {
            return;
        };
        if let Some(stream) = catch_up.wants.pop_front() {
            let after = self
                .streams
                .through(&stream)
                .map_or(0, |through| through.sequence);
            catch_up.asked = Some((stream, after));
            self.ask(
                from,
                Request::Range { stream, after },
                Asked::Range { stream },
            );
        } else if let Some(after) = catch_up.frontier_after.take() {
            self.ask(
                from,
                Request::Frontier { after: Some(after) },
                Asked::Frontier { after: Some(after) },
            );
        } else {
            self.end_catch_up(from);
        }
    }

    fn on_range(&mut self, from: NodeId, stream: StreamId, items: Vec<RangeItem>, more: bool) {
        let Some(catch_up) = self.peers.catch_up(&from) else {
            return;
        };
        if catch_up.asked.map(|(asked, _)| asked) != Some(stream) {
            return;
        }
        catch_up.more = more;
        if items.is_empty() {
            self.next_range(from);
            return;
        }
        let roster = self.roster();
        self.outputs.push_back(Output::Work(Work::Check {
            from,
            items,
            roster,
        }));
    }

    /// The items of a range have been through the gate.
    pub(super) fn on_checked(
        &mut self,
        now: Now,
        from: NodeId,
        items: Vec<Result<CheckedItem, Refusal>>,
    ) -> Result<(), StoreError> {
        let mut spoiled = false;
        let mut missed_gossip = false;
        let mut fruit = false;
        for checked in items {
            let taken = match checked {
                Err(refusal) => {
                    spoiled |= refusal.blame() == Blame::Forwarder;
                    Err(refusal.into())
                }
                Ok(CheckedItem::Frame(frame)) => {
                    let by_itself = self.should_have_come(from, frame.value());
                    let taken = self.take(now, from, *frame)?;
                    missed_gossip |= by_itself && taken.is_ok();
                    taken
                }
                Ok(CheckedItem::Header(retained, bytes)) => {
                    self.take_retained(now, &retained, &bytes)?
                }
            };
            fruit |= taken.is_ok();
            self.note_not_taken(from, taken);
        }
        if let Some(catch_up) = self.peers.catch_up(&from) {
            catch_up.fruit |= fruit;
        }
        self.after_range(from, spoiled, missed_gossip);
        self.start_pulls(now)?;
        self.start_opening()
    }

    /// Whether gossip from its own author ought to have brought this one.
    fn should_have_come(&self, from: NodeId, frame: &Frame) -> bool {
        let connected = self
            .peers
            .peers
            .get(&from)
            .map(|peer| peer.connected_wall_ms);
        match (frame.content(), frame.stream(), connected) {
            (Content::Bundle(bundle), Some(stream), Some(connected_ms)) => {
                stream.node == from
                    && bundle.value().created_ms > connected_ms.saturating_add(PROBE_EVERY_MS)
            }
            (Content::Bundle(_) | Content::Carried { .. } | Content::Sealed { .. }, _, _) => false,
        }
    }

    fn after_range(&mut self, from: NodeId, spoiled: bool, missed_gossip: bool) {
        let Some(catch_up) = self.peers.catch_up(&from) else {
            return;
        };
        catch_up.missed_gossip |= missed_gossip;
        if spoiled {
            // It serves what the gate rejects: the link is closed, and the same
            // is asked elsewhere. The transport calls it again ever later.
            self.end_catch_up(from);
            self.outputs.push_back(Output::Reconnect { node: from });
            return;
        }
        if let Some((stream, before)) = catch_up.asked.take() {
            let ours = self
                .streams
                .through(&stream)
                .map_or(0, |through| through.sequence);
            // Again only after progress, so that nobody keeps us asking.
            if catch_up.more && ours > before {
                catch_up.wants.push_front(stream);
            }
        }
        self.next_range(from);
    }

    fn end_catch_up(&mut self, node: NodeId) {
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return;
        };
        let ended = peer.catch_up.take();
        if let Some(catch_up) = &ended {
            peer.fruitless = if catch_up.fruit {
                0
            } else {
                peer.fruitless.saturating_add(1)
            };
        }
        if ended.is_some_and(|catch_up| catch_up.missed_gossip) {
            peer.silent += 1;
        }
        if peer.silent >= SILENT_PROBES_MAX {
            peer.silent = 0;
            self.outputs.push_back(Output::Reconnect { node });
        }
    }
}
