//! Members this node is connected to: hello, and sign of life.
//!
//! Every so often a peer's [frontier](super::frontier) is looked at; the answer
//! is also the sign that the link lives. A question that is not answered, or an
//! author whose envelopes only ever come by catch-up, means that a link is open
//! and dead: it is closed and dialled again.

use super::frontier::Frontier;
use super::inquiry::{AlivesTurn, Inquiry, NoticeMarks};
use super::messages::{ClientToken, Event, Output};
use super::quota::Quota;
use super::withholding::Withheld;
use super::{Asked, Engine};
use crate::gate::{Content, Frame};
use crate::ids::NodeId;
use crate::limits::{LIST_ALL_EVERY_MS, PROBE_AGAIN_MS, PROBE_EVERY_MS, RETRY_MS, UNANSWERED_MAX};
use crate::store::{Store, StoreError};
use crate::table;
use crate::time::{Instant, Now};
use crate::wire::exchange::{Mark, Request};
use std::collections::{BTreeMap, BTreeSet};

/// A mark as it is kept: 16 bytes and a number.
const MARK_BYTES_MAX: usize = 25;

/// Every connected member. The roster bounds them: only its nodes connect.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// What each may still bring that is worth nothing here: its link ends and
    /// comes again, and what it owes stays. The roster bounds them too.
    quotas: BTreeMap<NodeId, Quota>,
    /// How far the notices of those who are away have been read.
    pub(super) notice_marks: BTreeMap<NodeId, NoticeMarks>,
    /// Who is asked for signs of life.
    pub(super) alives_turn: AlivesTurn,
    /// Streams of which their own authors serve less than they say there is.
    pub(super) withheld: BTreeMap<NodeId, Vec<Withheld>>,
    /// People who wait until every peer has been looked at.
    pub(super) waiting: BTreeMap<ClientToken, BTreeSet<NodeId>>,
}

#[derive(Debug)]
pub(super) struct Peer {
    /// It said hello to us: its input counts.
    said_hello: bool,
    /// It answered ours: it can be asked.
    heard_hello: bool,
    connected_wall_ms: u64,
    probed_at: Instant,
    pub(super) probe_at: Instant,
    probes: u64,
    unanswered: u32,
    /// Looks in a row that found its own envelopes missing here.
    pub(super) silent: u32,
    /// Up to where everything of its frontier has been dealt with: kept.
    pub(super) mark: Option<Mark>,
    /// Frames to it may have been lost: it is told to ask.
    pub(super) has_news: bool,
    pub(super) frontier: Frontier,
    inquiry: Inquiry,
}

impl Peers {
    /// What is asked of a peer about membership.
    pub(super) fn inquiry(&mut self, node: &NodeId) -> Option<&mut Inquiry> {
        self.peers.get_mut(node).map(|peer| &mut peer.inquiry)
    }

    pub(super) fn inquiries_mut(&mut self) -> impl Iterator<Item = &mut Inquiry> {
        self.peers.values_mut().map(|peer| &mut peer.inquiry)
    }

    /// Of those that can be asked.
    pub(super) fn inquiries(&self) -> impl Iterator<Item = (NodeId, &Inquiry)> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.heard_hello && peer.said_hello)
            .map(|(node, peer)| (*node, &peer.inquiry))
    }

    pub(crate) fn has_said_hello(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.said_hello)
    }

    pub(crate) fn is_connected(&self, node: &NodeId) -> bool {
        self.peers.contains_key(node)
    }

    pub(crate) fn ready(&self) -> impl Iterator<Item = NodeId> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.heard_hello && peer.said_hello)
            .map(|(node, _)| *node)
    }

    pub(crate) fn quota(&mut self, node: &NodeId) -> Option<&mut Quota> {
        self.quotas.get_mut(node)
    }

    pub(crate) fn heard_gossip(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.silent = 0;
        }
    }

    /// An envelope of this peer came by catch-up and not by gossip.
    pub(crate) fn missed_gossip(&mut self, author: &NodeId) {
        if let Some(peer) = self.peers.get_mut(author) {
            peer.frontier.missed_gossip = true;
        }
    }

    /// Every node that is connected.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.peers.keys().copied()
    }

    /// Every frontier is read from the beginning, and no mark moves before.
    pub(super) fn forget_marks(&mut self, now: Now) {
        for peer in self.peers.values_mut() {
            peer.mark = None;
            peer.frontier.redo = Some(now.mono);
        }
    }

    /// Peers of whose frontier something has not been dealt with.
    pub(crate) fn behind(&self) -> impl Iterator<Item = NodeId> {
        self.peers
            .iter()
            .filter(|(_, peer)| {
                peer.mark.is_none()
                    || peer.frontier.redo.is_some()
                    || !peer.frontier.open.is_empty()
            })
            .map(|(node, _)| *node)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let inquiries = self
            .inquiries()
            .filter_map(|(_, inquiry)| inquiry.deadline());
        let probes = self.peers.values().map(|peer| peer.probe_at);
        probes.chain(inquiries).min()
    }
}

impl<S: Store> Engine<S> {
    pub(super) fn on_connected(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        if self.roster.node(&node).is_none() || node == self.me.node || self.distrusts_node(&node) {
            return Ok(());
        }
        let peer = Peer {
            said_hello: false,
            heard_hello: false,
            connected_wall_ms: now.wall_ms,
            probed_at: now.mono,
            probe_at: now.mono.plus_ms(PROBE_EVERY_MS),
            probes: 0,
            unanswered: 0,
            silent: 0,
            mark: if self.streams.all_lost() > 0 {
                // It may have what was lost, long before anything changed.
                None
            } else {
                self.staged.sound_as(&table::mark(&node), MARK_BYTES_MAX)?
            },
            has_news: false,
            frontier: Frontier::new(now.mono),
            inquiry: Inquiry::new(
                now.mono,
                self.peers.notice_marks.remove(&node).unwrap_or_default(),
            ),
        };
        self.peers.peers.insert(node, peer);
        let quotas = &mut self.peers.quotas;
        quotas.entry(node).or_insert_with(|| Quota::peer(now.mono));
        self.say_hello(node);
        Ok(())
    }

    fn say_hello(&mut self, node: NodeId) {
        let hello = Request::Hello {
            federation: self.roster.federation(),
            epoch: self.roster.epoch(),
            nonce: self.nonce(),
        };
        self.ask(node, hello, Asked::Hello);
    }

    pub(super) fn on_disconnected(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        if let Some(peer) = self.peers.peers.remove(&node) {
            self.peers.notice_marks.insert(node, peer.inquiry.marks());
        }
        self.peers.alives_turn.give_up(&node);
        self.catch_up.forget(&node);
        self.looked_at(&node);
        self.fetch(now);
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
        self.ask_for_notices(now, node);
        self.say_alive_if_untold(now);
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

    /// Something was lost here: every peer's frontier is looked at from the
    /// beginning, since nothing changed there.
    pub(super) fn list_all_again(&mut self, now: Now) {
        for peer in self.peers.peers.values_mut() {
            peer.frontier.list_all_at = now.mono;
            peer.probe_at = now.mono;
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
            if let Some(peer) = self.peers.peers.get_mut(&node) {
                peer.has_news = true;
            }
            self.probe_soon(now, &node);
        }
    }

    pub(super) fn probe(&mut self, now: Now, node: NodeId) {
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
            let frontier = &mut peer.frontier;
            if frontier.asked.is_some() {
                return;
            }
            frontier.pages = 0;
            if frontier.is_quiet() {
                frontier.began = now.mono;
            }
            if frontier.list_all_at <= now.mono {
                frontier.list_all_at = now.mono.plus_ms(LIST_ALL_EVERY_MS);
                peer.mark = None;
                frontier.reached = None;
                frontier.redo = None;
            } else if frontier.redo.is_some_and(|redo| redo <= now.mono) {
                frontier.redo = None;
                frontier.reached = None;
            }
            self.ask_frontier(node);
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
        self.inquire(now);
        self.say_alive(now)?;
        self.release_suspended(now)?;
        self.fetch(now);
        self.retry_pulls(now)?;
        self.start_pulls(now)
    }

    /// A peer took our hello.
    pub(super) fn hello_taken(&mut self, now: Now, node: NodeId) -> Result<(), StoreError> {
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return Ok(());
        };
        let first = !core::mem::replace(&mut peer.heard_hello, true);
        if first && peer.said_hello {
            self.peer_ready(now, node)
        } else {
            Ok(())
        }
    }

    /// A peer does not know our hello any more, or never took it: with the next
    /// probe it is said again.
    pub(super) fn hello_refused(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.peers.get_mut(node) {
            peer.heard_hello = false;
        }
    }

    /// A peer answered something: its link lives.
    pub(super) fn answered(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.peers.get_mut(node) {
            peer.unanswered = 0;
        }
    }

    /// A peer left something unanswered: too often, and the link is dead.
    pub(super) fn unanswered(&mut self, now: Now, node: NodeId) {
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return;
        };
        peer.unanswered += 1;
        peer.probe_at = now.mono.plus_ms(RETRY_MS);
        if peer.unanswered >= UNANSWERED_MAX {
            peer.unanswered = 0;
            self.outputs.push_back(Output::Reconnect { node });
        }
    }

    /// A peer could not be asked from here: its next probe comes forward,
    /// spread, so that what was too much at once does not come again.
    pub(super) fn probe_again(&mut self, now: Now, node: &NodeId) {
        if let Some(peer) = self.peers.peers.get_mut(node) {
            let jitter_ms =
                self.chance
                    .below("again", node.as_bytes(), peer.probes, PROBE_EVERY_MS / 4);
            peer.probe_at = peer.probe_at.min(now.mono.plus_ms(RETRY_MS + jitter_ms));
        }
    }

    /// The author of an envelope that gossip ought to have brought from it.
    pub(super) fn missed_by_gossip(&self, frame: &Frame) -> Option<NodeId> {
        let author = frame.stream()?.node;
        let connected_ms = self.peers.peers.get(&author)?.connected_wall_ms;
        match frame.content() {
            Content::Bundle(bundle) => (bundle.value().created_ms
                > connected_ms.saturating_add(PROBE_EVERY_MS))
            .then_some(author),
            Content::Carried { .. } | Content::Sealed { .. } => None,
        }
    }
}
