//! Looking at a peer's frontier, page by page: what changed at it since the
//! last time, what of that is missing here, and when its mark moves.

use super::catch_up::Offer;
use super::messages::{ClientToken, Output};
use super::withholding::Listed;
use super::{Asked, Engine};
use crate::ids::{EnvelopeId, NodeId};
use crate::limits::{
    EVIDENCE_PER_STREAM_MAX, FRONTIER_PAGES_MAX, LIST_ALL_EVERY_MS, OPEN_PER_PEER_MAX,
    REDO_FIRST_MS, REDO_LAST_MS, SILENT_PROBES_MAX, UNKNOWN_LIVES_MAX,
};
use crate::store::{Store, StoreError};
use crate::table;
use crate::time::{Instant, Now};
use crate::wire::exchange::{
    FrontierEntry, Mark, Request, Scope, StoreId, StreamId, StreamName, head_of,
};
use std::collections::{BTreeMap, BTreeSet};

/// A peer's frontier, as far as it has been looked at.
#[derive(Debug)]
pub(super) struct Frontier {
    /// The question that is under way. While one is, `reached`, `more` and
    /// `pages` do not move.
    pub(super) asked: Option<AskedFor>,
    /// Where the last page ended. Reading goes on there; only the mark waits
    /// until all has been dealt with.
    pub(super) reached: Option<Mark>,
    pub(super) more: bool,
    /// Pages in a row.
    pub(super) pages: usize,
    /// Lives that were listed and no certificate stands for yet.
    pub(super) unknown_lives: BTreeSet<(NodeId, u64)>,
    /// Streams listed and not yet dealt with.
    pub(super) open: BTreeSet<StreamId>,
    /// Something must be looked at again from the mark on, then.
    pub(super) redo: Option<Instant>,
    pub(super) redo_after_ms: u64,
    /// When it is asked for from the beginning.
    pub(super) list_all_at: Instant,
    /// Envelopes of the peer itself that gossip should have brought.
    pub(super) missed_gossip: bool,
    /// Somebody waits for a look that begins later than this one.
    pub(super) again: bool,
    /// When this look began.
    pub(super) began: Instant,
    /// Where the peer's own streams end.
    pub(super) listed: Listed,
}

/// How a frontier was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedFor {
    full: bool,
    news: bool,
}

impl Frontier {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            asked: None,
            reached: None,
            more: false,
            pages: 0,
            unknown_lives: BTreeSet::new(),
            open: BTreeSet::new(),
            redo: None,
            redo_after_ms: REDO_FIRST_MS,
            list_all_at: now.plus_ms(LIST_ALL_EVERY_MS),
            missed_gossip: false,
            again: false,
            began: now,
            listed: Listed::default(),
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.asked.is_none() && !self.more && self.open.is_empty()
    }

    /// Something passes that keeps an envelope out: later again, ever later.
    fn try_again(&mut self, now: Instant) {
        if self.redo.is_none() {
            self.redo = Some(now.plus_ms(self.redo_after_ms));
            self.redo_after_ms = (2 * self.redo_after_ms).min(REDO_LAST_MS);
        }
    }
}

/// What a page of a frontier gives.
#[derive(Debug, Default)]
struct PageOffers {
    offers: Vec<(StreamId, Offer)>,
    /// Where streams of the peer's own end.
    own: Vec<(StreamId, u64)>,
    /// Short names that stand for no stream here, or for two.
    has_unknown_names: bool,
    unknown_lives: BTreeSet<(NodeId, u64)>,
    /// Every stream that is named, and up to where.
    listed: Vec<(StreamId, u64)>,
}

impl<S: Store> Engine<S> {
    /// A person wants every peer looked at, and to be told when that is done.
    pub(super) fn on_sync(&mut self, now: Now, client: ClientToken) {
        let nodes: BTreeSet<NodeId> = self.peers.ready().collect();
        self.peers.waiting.insert(client, nodes.clone());
        for node in &nodes {
            if let Some(peer) = self.peers.peers.get_mut(node)
                && peer.frontier.redo.is_some()
            {
                peer.frontier.redo = Some(now.mono);
            }
            match self.peers.peers.get_mut(node) {
                Some(peer) if !peer.frontier.is_quiet() => peer.frontier.again = true,
                Some(_) | None => self.probe(now, *node),
            }
        }
        self.tell_who_waits();
    }

    /// A look at a peer has ended, or it is gone.
    pub(super) fn looked_at(&mut self, node: &NodeId) {
        for waiting in self.peers.waiting.values_mut() {
            waiting.remove(node);
        }
        self.tell_who_waits();
    }

    fn tell_who_waits(&mut self) {
        let done = self
            .peers
            .waiting
            .extract_if(.., |_, waiting| waiting.is_empty());
        let done: Vec<ClientToken> = done.map(|(client, _)| client).collect();
        for client in done {
            self.claim(Output::Synced { client });
        }
    }

    /// Asks a peer what changed at it.
    pub(super) fn ask_frontier(&mut self, node: NodeId) {
        self.ask_frontier_named(node, false);
    }

    fn ask_frontier_named(&mut self, node: NodeId, full: bool) {
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return;
        };
        if peer.frontier.asked.is_some() {
            return;
        }
        let asked = AskedFor {
            // Until there is a mark, not every full name has been told.
            full: full || peer.mark.is_none(),
            news: core::mem::take(&mut peer.has_news),
        };
        peer.frontier.asked = Some(asked);
        let request = Request::Frontier {
            scope: Scope::OPEN,
            since: peer.frontier.reached.or(peer.mark),
            full: asked.full,
            news: asked.news,
        };
        self.ask(node, request, Asked::Frontier);
    }

    /// It did not answer, or not with a frontier: the next probe asks again.
    pub(super) fn on_no_frontier(&mut self, now: Now, node: NodeId) {
        if let Some(peer) = self.peers.peers.get_mut(&node) {
            let asked = peer.frontier.asked.take();
            peer.has_news |= asked.is_some_and(|asked| asked.news);
            peer.frontier.more = false;
            peer.frontier.try_again(now.mono);
        }
        self.looked_at(&node);
    }

    /// It could not be asked from here: the next probe does.
    pub(super) fn frontier_not_asked(&mut self, node: &NodeId) {
        if let Some(peer) = self.peers.peers.get_mut(node) {
            let asked = peer.frontier.asked.take();
            peer.has_news |= asked.is_some_and(|asked| asked.news);
        }
    }

    /// A page of a peer's frontier came.
    pub(super) fn on_frontier(
        &mut self,
        now: Now,
        from: NodeId,
        at: Mark,
        entries: Vec<FrontierEntry>,
        more: bool,
    ) -> Result<(), StoreError> {
        let Some(peer) = self.peers.peers.get_mut(&from) else {
            return Ok(());
        };
        let was_full = peer.frontier.asked.take().is_none_or(|asked| asked.full);
        peer.frontier.pages += 1;
        if peer.frontier.open.len() >= OPEN_PER_PEER_MAX {
            // A sign of life, and no more: what is open comes first.
            return Ok(());
        }
        let Some(page) = self.offers_in(&from, &at.store, &entries)? else {
            // Senseless: nobody who keeps to the protocol says so.
            self.on_no_frontier(now, from);
            self.outputs.push_back(Output::Reconnect { node: from });
            return Ok(());
        };
        if page.has_unknown_names && !was_full {
            self.ask_frontier_named(from, true);
            return Ok(());
        }
        for (stream, through) in &page.listed {
            self.traces.listed(from, *stream, *through, now.wall_ms);
        }
        let mut passed_over = !page.unknown_lives.is_empty();
        let mut open = BTreeSet::new();
        let mut refused = BTreeSet::new();
        for (stream, offer) in page.offers {
            if self
                .catch_up
                .offer(&self.streams, (stream, from), offer, now.mono)
            {
                open.insert(stream);
            } else {
                refused.insert(stream);
                passed_over = true;
            }
        }
        if let Some(peer) = self.peers.peers.get_mut(&from) {
            let frontier = &mut peer.frontier;
            for (stream, through) in page.own {
                frontier.listed.note(&stream, through);
            }
            frontier.open.extend(open);
            frontier.open.retain(|stream| !refused.contains(stream));
            let room = UNKNOWN_LIVES_MAX.saturating_sub(frontier.unknown_lives.len());
            frontier
                .unknown_lives
                .extend(page.unknown_lives.into_iter().take(room));
            frontier.reached = Some(at);
            frontier.more = more && !entries.is_empty() && frontier.pages < FRONTIER_PAGES_MAX;
            if passed_over {
                frontier.try_again(now.mono);
            }
        }
        self.go_on(now, from);
        self.fetch(now);
        Ok(())
    }

    /// What a page offers that is missing here; none if it is senseless.
    fn offers_in(
        &self,
        from: &NodeId,
        store: &StoreId,
        entries: &[FrontierEntry],
    ) -> Result<Option<PageOffers>, StoreError> {
        let mut page = PageOffers::default();
        let mut listed = BTreeSet::new();
        // Worth making only where something is named so.
        let is_short = |entry: &FrontierEntry| matches!(entry.name, StreamName::Short(_));
        let by_short = if entries.iter().any(is_short) {
            self.streams.by_short(store)
        } else {
            BTreeMap::new()
        };
        for entry in entries {
            let Some(offer) = Offer::of(entry) else {
                return Ok(None);
            };
            let stream = match entry.name {
                StreamName::Full(stream) => Some(stream),
                StreamName::Short(name) => by_short.get(&name).copied().flatten(),
            };
            let Some(stream) = stream else {
                page.has_unknown_names = true;
                continue;
            };
            if !listed.insert(stream) || !stream.tag.is_reserved() {
                return Ok(None);
            }
            if stream.node == *from {
                page.own.push((stream, entry.through));
            }
            page.listed.push((stream, entry.through));
            // Of a distrusted member nothing is missing.
            if self.distrusts_node(&stream.node) {
                continue;
            }
            // Only streams that a certificate stands for: invented ones cost
            // nobody a question.
            if !self.roster.has_lived(&stream.node, stream.incarnation) {
                page.unknown_lives.insert((stream.node, stream.incarnation));
            } else if offer.has_missing(&self.streams, &stream) {
                page.offers.push((stream, offer));
            } else if self.is_fork(store, &stream, entry)? {
                page.offers.push((stream, Offer::of_fork(entry.through)));
            }
        }
        Ok(Some(page))
    }

    /// Whether another envelope is held here where a peer's gapless part ends,
    /// and there is no proof of it yet.
    fn is_fork(
        &self,
        store: &StoreId,
        stream: &StreamId,
        entry: &FrontierEntry,
    ) -> Result<bool, StoreError> {
        let evidence = self.evidence.get(stream).copied().unwrap_or_default();
        if evidence.is_fork || evidence.kept >= EVIDENCE_PER_STREAM_MAX {
            return Ok(false);
        }
        let ours: Option<EnvelopeId> = match self.streams.through(stream) {
            Some(through) if through.sequence == entry.through => Some(through.head),
            Some(_) => self
                .staged
                .sound_as(&table::sequence(stream, entry.through), 32)?,
            None => None,
        };
        Ok(ours.is_some_and(|ours| entry.head.is_some_and(|head| head != head_of(store, &ours))))
    }

    /// A certificate was learned: what was passed over for want of it is looked
    /// at again.
    pub(super) fn learned_life(&mut self, now: Now, life: (NodeId, u64)) {
        for peer in self.peers.peers.values_mut() {
            if peer.frontier.unknown_lives.remove(&life) {
                peer.frontier.redo = Some(now.mono);
                peer.probe_at = peer.probe_at.min(now.mono);
            }
        }
    }

    /// What did not come of a peer for a reason that passes is looked at again:
    /// its mark stays until then.
    pub(super) fn try_again(&mut self, now: Now, node: &NodeId) {
        if let Some(peer) = self.peers.peers.get_mut(node) {
            peer.frontier.try_again(now.mono);
        }
    }

    /// A stream of a peer's page has been dealt with.
    pub(super) fn dealt_with(&mut self, now: Now, node: &NodeId, stream: &StreamId) {
        let Some(peer) = self.peers.peers.get_mut(node) else {
            return;
        };
        if peer.frontier.open.remove(stream) {
            self.go_on(now, *node);
        }
    }

    /// Reads the next page, or moves the mark where all has been dealt with.
    fn go_on(&mut self, now: Now, node: NodeId) {
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return;
        };
        let frontier = &mut peer.frontier;
        if frontier.asked.is_none() && frontier.more && frontier.open.len() < OPEN_PER_PEER_MAX {
            frontier.more = false;
            self.ask_frontier(node);
            return;
        }
        if !frontier.is_quiet() {
            return;
        }
        if frontier.redo.is_none()
            && let Some(reached) = frontier.reached
        {
            frontier.redo_after_ms = REDO_FIRST_MS;
            if peer.mark.replace(reached) != Some(reached) {
                self.staged.put_as(table::mark(&node), &reached);
            }
            self.look_for_withheld(&node);
        }
        let Some(peer) = self.peers.peers.get_mut(&node) else {
            return;
        };
        let frontier = &mut peer.frontier;
        if core::mem::take(&mut frontier.missed_gossip) {
            peer.silent += 1;
        }
        if peer.silent >= SILENT_PROBES_MAX {
            peer.silent = 0;
            self.outputs.push_back(Output::Reconnect { node });
        }
        if core::mem::take(&mut frontier.again) {
            self.probe(now, node);
        } else {
            self.looked_at(&node);
        }
    }
}
