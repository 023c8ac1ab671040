//! Nodes that serve less of their own streams than they say there is.
//!
//! A sign of life says, under its node's signature, where each of its streams ends. A
//! node whose frontier and ranges then show less withholds it: it was put back from
//! an old copy, lost something, or tells different members different things. It is
//! shown to people, and nothing else follows: whoever closed such a link would get
//! still less.

use super::Engine;
use crate::ids::NodeId;
use crate::limits::STREAMS_PER_NODE_MAX;
use crate::store::Store;
use crate::wire::Tag;
use crate::wire::exchange::StreamId;
use std::collections::BTreeMap;

/// Where each stream of a peer's own ends by its frontier, as far as it was listed
/// since its link is up.
#[derive(Debug, Default)]
pub(super) struct Listed {
    ends: BTreeMap<(u64, Tag), u64>,
}

impl Listed {
    /// An entry of the peer's frontier about a stream of its own.
    pub(super) fn note(&mut self, stream: &StreamId, through: u64) {
        let key = (stream.incarnation, stream.tag);
        if self.ends.len() < STREAMS_PER_NODE_MAX || self.ends.contains_key(&key) {
            self.ends.insert(key, through);
        }
    }

    fn end(&self, stream: &StreamId) -> Option<u64> {
        self.ends.get(&(stream.incarnation, stream.tag)).copied()
    }
}

/// A stream of which its own author serves less than it says there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Which, and whose.
    pub stream: StreamId,
    /// Where it ends by its author's word.
    pub said: u64,
    /// Up to where it is served.
    pub served: u64,
}

impl<S: Store> Engine<S> {
    /// A look at a peer's frontier has ended and nothing of it is open: what the peer
    /// said of its streams before the look began ought to be here.
    pub(super) fn look_for_withheld(&mut self, node: &NodeId) {
        let Some(peer) = self.peers.peers.get(node) else {
            return;
        };
        let began = peer.frontier.began;
        let mut withheld = Vec::new();
        if let Some(ends) = self.membership.alives().ends(node) {
            if ends.taken_at >= began {
                // It was said while the look was under way: the next look judges.
                return;
            }
            for (tag, (said, _)) in ends.heads {
                let stream = StreamId {
                    node: *node,
                    incarnation: ends.incarnation,
                    tag: *tag,
                };
                let held = self.streams.sequence(&stream);
                let listed = peer.frontier.listed.end(&stream);
                let served = listed.unwrap_or(held).min(held);
                if served < *said && tag.is_reserved() && !self.is_unclear(&stream) {
                    withheld.push(Withheld {
                        stream,
                        said: *said,
                        served,
                    });
                }
            }
        }
        if withheld.is_empty() {
            self.peers.withheld.remove(node);
        } else {
            self.peers.withheld.insert(*node, withheld);
        }
    }

    /// Whether what is held of a stream says nothing of what its author serves: it
    /// signed two truths, or something of it was lost here.
    fn is_unclear(&self, stream: &StreamId) -> bool {
        self.membership.is_forked(&stream.node, stream.incarnation)
            || self.evidence.contains_key(stream)
            || self.streams.lost(stream) > 0
    }

    /// Streams of which their own authors serve less than they say there is, by node.
    pub fn withheld(&self) -> impl Iterator<Item = &Withheld> {
        self.peers.withheld.values().flatten()
    }
}
