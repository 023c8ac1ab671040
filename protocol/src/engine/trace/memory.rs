//! What is remembered of the ways of envelopes: so many, the newest, and of each so
//! many peers.

use super::{First, Listed, Route, Seen, Turned};
use crate::ids::{EnvelopeId, MemberId, NodeId};
use crate::limits::{TRACE_LISTED_MAX, TRACE_PEERS_MAX, TRACES_MAX, TRACES_REFUSED_MAX};
use crate::wire::exchange::StreamId;
use std::collections::{BTreeMap, VecDeque};

/// What is remembered of one envelope.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) author: MemberId,
    pub(super) stream: StreamId,
    pub(super) sequence: u64,
    first: Option<First>,
    again: Vec<Seen>,
    asked: Vec<Seen>,
    turned: Option<Turned>,
    not_noted: u32,
}

/// What is remembered of every envelope. The oldest are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    taken: Ring,
    turned: Ring,
    places: BTreeMap<(StreamId, u64), EnvelopeId>,
    listed: BTreeMap<(StreamId, NodeId), (u64, u64)>,
}

/// So many of them, the newest.
#[derive(Debug, Default)]
struct Ring {
    of: BTreeMap<EnvelopeId, Trace>,
    order: VecDeque<EnvelopeId>,
}

impl Ring {
    /// Puts one in, and gives back the oldest where there is no room.
    fn put(&mut self, id: EnvelopeId, trace: Trace, most: usize) -> Option<(EnvelopeId, Trace)> {
        if self.of.insert(id, trace).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() <= most {
            return None;
        }
        let oldest = self.order.pop_front()?;
        Some((oldest, self.of.remove(&oldest)?))
    }

    fn take(&mut self, id: &EnvelopeId) -> Option<Trace> {
        let trace = self.of.remove(id)?;
        self.order.retain(|other| other != id);
        Some(trace)
    }
}

/// Counts a peer; whether there was a place for it.
fn count(seen: &mut Vec<Seen>, peer: NodeId, at_ms: u64) -> bool {
    if let Some(known) = seen.iter_mut().find(|known| known.peer == peer) {
        known.times = known.times.saturating_add(1);
        return true;
    }
    if seen.len() >= TRACE_PEERS_MAX {
        return false;
    }
    seen.push(Seen {
        peer,
        first_ms: at_ms,
        times: 1,
    });
    true
}

impl Traces {
    /// An envelope was taken.
    pub(in crate::engine) fn taken(
        &mut self,
        id: EnvelopeId,
        author: MemberId,
        (stream, sequence): (StreamId, u64),
        first: First,
    ) {
        let before = self.turned.take(&id);
        let trace = Trace {
            author,
            stream,
            sequence,
            first: Some(first),
            again: Vec::new(),
            asked: Vec::new(),
            turned: before.and_then(|before| before.turned),
            not_noted: 0,
        };
        self.places.insert((stream, sequence), id);
        if let Some((oldest, forgotten)) = self.taken.put(id, trace, TRACES_MAX) {
            let place = (forgotten.stream, forgotten.sequence);
            // Another one may stand there by now.
            if self.places.get(&place) == Some(&oldest) {
                self.places.remove(&place);
            }
            if !self.remembers(&forgotten.stream) {
                let from = (forgotten.stream, NodeId::from_bytes([0; 32]));
                let to = (forgotten.stream, NodeId::from_bytes([255; 32]));
                let stale: Vec<_> = self.listed.range(from..=to).map(|(key, _)| *key).collect();
                for key in stale {
                    self.listed.remove(&key);
                }
            }
        }
    }

    /// Whether anything of a stream is remembered.
    fn remembers(&self, stream: &StreamId) -> bool {
        let mut places = self.places.range((*stream, 0)..=(*stream, u64::MAX));
        places.next().is_some()
    }

    /// Another copy of what is held came.
    pub(in crate::engine) fn again(&mut self, id: &EnvelopeId, from: NodeId, at_ms: u64) {
        if let Some(trace) = self.taken.of.get_mut(id)
            && !count(&mut trace.again, from, at_ms)
        {
            trace.not_noted = trace.not_noted.saturating_add(1);
        }
    }

    /// A copy was not taken.
    pub(super) fn turned(
        &mut self,
        id: EnvelopeId,
        author: MemberId,
        (stream, sequence): (StreamId, u64),
        turned: Turned,
    ) {
        if let Some(trace) = self.taken.of.get_mut(&id) {
            trace.turned = Some(turned);
            return;
        }
        let trace = Trace {
            author,
            stream,
            sequence,
            first: None,
            again: Vec::new(),
            asked: Vec::new(),
            turned: Some(turned),
            not_noted: 0,
        };
        self.turned.put(id, trace, TRACES_REFUSED_MAX);
    }

    /// A peer says how far it holds a stream. Only of streams of which something
    /// is remembered, and of as many as there is room for.
    pub(in crate::engine) fn listed(
        &mut self,
        peer: NodeId,
        stream: StreamId,
        through: u64,
        at_ms: u64,
    ) {
        let key = (stream, peer);
        if let Some(known) = self.listed.get_mut(&key) {
            *known = (known.0.max(through), at_ms);
            return;
        }
        if self.listed.len() < TRACE_LISTED_MAX && self.remembers(&stream) {
            self.listed.insert(key, (through, at_ms));
        }
    }

    /// A peer asked for a range of a stream.
    pub(in crate::engine) fn asked_for_range(
        &mut self,
        peer: NodeId,
        stream: StreamId,
        (first, last): (u64, u64),
        at_ms: u64,
    ) {
        let ids: Vec<EnvelopeId> = self
            .places
            .range((stream, first)..=(stream, last))
            .map(|(_, id)| *id)
            .collect();
        for id in ids {
            self.asked(&id, peer, at_ms);
        }
    }

    /// A peer asked for a part of an envelope.
    pub(in crate::engine) fn asked(&mut self, id: &EnvelopeId, peer: NodeId, at_ms: u64) {
        if let Some(trace) = self.taken.of.get_mut(id)
            && !count(&mut trace.asked, peer, at_ms)
        {
            trace.not_noted = trace.not_noted.saturating_add(1);
        }
    }

    pub(super) fn route(&self, id: &EnvelopeId) -> Option<(&Trace, Route)> {
        let trace = self.taken.of.get(id).or_else(|| self.turned.of.get(id))?;
        let listed = self
            .listed
            .range((trace.stream, NodeId::from_bytes([0; 32]))..)
            .take_while(|((stream, _), _)| *stream == trace.stream)
            .filter(|(_, (through, _))| *through >= trace.sequence)
            .map(|((_, peer), (through, at_ms))| Listed {
                peer: *peer,
                through: *through,
                at_ms: *at_ms,
            })
            .collect();
        let route = Route {
            first: trace.first,
            again: trace.again.clone(),
            listed,
            asked: trace.asked.clone(),
            turned: trace.turned.clone(),
            not_noted: trace.not_noted,
        };
        Some((trace, route))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::engine::{Arrived, NotTaken};
    use crate::wire::Tag;

    fn stream(node: u8) -> StreamId {
        StreamId {
            node: NodeId::from_bytes([node; 32]),
            incarnation: 1,
            tag: Tag::PUBLIC,
        }
    }

    fn id(number: u64) -> EnvelopeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        EnvelopeId::from_bytes(bytes)
    }

    fn peer(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    const AUTHOR: MemberId = MemberId::from_bytes([1; 32]);

    fn first(from: u8) -> First {
        First {
            from: peer(from),
            way: Arrived::Gossip,
            at_ms: 1,
        }
    }

    fn turned(from: u8) -> Turned {
        Turned {
            from: peer(from),
            at_ms: 1,
            why: NotTaken::DiskBehind,
        }
    }

    #[test]
    fn the_oldest_are_forgotten_and_what_was_refused_pushes_out_nothing() {
        let mut traces = Traces::default();
        for number in 1..=TRACES_MAX as u64 {
            traces.taken(id(number), AUTHOR, (stream(1), number), first(2));
        }
        for number in 1..=2 * TRACES_REFUSED_MAX as u64 {
            let number = 1_000_000 + number;
            traces.turned(id(number), AUTHOR, (stream(1), number), turned(2));
        }
        assert!(traces.route(&id(1)).is_some());
        assert_eq!(traces.turned.of.len(), TRACES_REFUSED_MAX);
        traces.taken(id(0), AUTHOR, (stream(2), 1), first(2));
        assert!(traces.route(&id(1)).is_none() && traces.route(&id(2)).is_some());
        assert_eq!(traces.taken.of.len(), TRACES_MAX);
        assert_eq!(traces.places.len(), TRACES_MAX);
        assert_eq!(traces.taken.order.len(), TRACES_MAX);
    }

    #[test]
    fn what_was_turned_away_and_came_again_keeps_both() {
        let mut traces = Traces::default();
        traces.turned(id(1), AUTHOR, (stream(1), 1), turned(3));
        traces.taken(id(1), AUTHOR, (stream(1), 1), first(2));
        let route = traces.route(&id(1)).unwrap().1;
        assert_eq!(
            (route.first, route.turned),
            (Some(first(2)), Some(turned(3)))
        );
        assert!(traces.turned.of.is_empty() && traces.turned.order.is_empty());
    }

    #[test]
    fn many_peers_take_a_bounded_memory_and_are_counted() {
        let mut traces = Traces::default();
        traces.taken(id(1), AUTHOR, (stream(1), 5), first(2));
        for number in 0..TRACE_PEERS_MAX + 3 {
            let peer = peer(u8::try_from(number).unwrap());
            traces.again(&id(1), peer, 7);
            traces.asked_for_range(peer, stream(1), (1, 5), 8);
            traces.asked_for_range(peer, stream(1), (6, 9), 8);
        }
        traces.again(&id(1), peer(0), 9);
        let route = traces.route(&id(1)).unwrap().1;
        assert_eq!(route.again.len(), TRACE_PEERS_MAX);
        assert_eq!(route.asked.len(), TRACE_PEERS_MAX);
        assert_eq!((route.again[0].times, route.again[0].first_ms), (2, 7));
        assert_eq!((route.asked[0].times, route.not_noted), (1, 6));
    }

    #[test]
    fn who_holds_the_stream_so_far_is_told_and_nobody_else() {
        let mut traces = Traces::default();
        traces.listed(peer(2), stream(1), 9, 1);
        assert!(traces.listed.is_empty(), "nothing of it is remembered");
        traces.taken(id(1), AUTHOR, (stream(1), 5), first(2));
        traces.taken(id(2), AUTHOR, (stream(0), 5), first(2));
        for (number, through) in [(2, 4), (3, 5), (4, 6)] {
            traces.listed(peer(number), stream(1), through, 1);
            traces.listed(peer(number + 10), stream(0), 9, 1);
        }
        traces.listed(peer(2), stream(1), 5, 3);
        let listed = traces.route(&id(1)).unwrap().1.listed;
        let peers: Vec<NodeId> = listed.iter().map(|listed| listed.peer).collect();
        assert_eq!(peers, [peer(2), peer(3), peer(4)]);
        assert_eq!((listed[0].through, listed[0].at_ms), (5, 3));
        // With the last envelope of a stream goes what was said of it.
        for number in 10..10 + TRACES_MAX as u64 {
            traces.taken(id(number), AUTHOR, (stream(9), number), first(2));
        }
        assert!(traces.listed.is_empty());
    }
}
