//! What was put on links, by kind: where the bytes of a run went.

use std::collections::BTreeMap;
use watchfire_protocol::wire::exchange::Answer;

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freight {
    /// Frames that honest members made, sent and forwarded by gossip.
    Gossip,
    /// Notices that honest members made, likewise: signs of life above all.
    GossipNotice,
    /// What hostile members put into gossip, copies of honest frames included,
    /// and what others forward of it.
    GossipHostile,
    /// Questions of the exchange protocol, of everybody.
    Request,
    /// Frontiers: what changed.
    Frontier,
    /// Ranges of streams of honest members.
    Range,
    /// Ranges of streams of hostile members.
    RangeHostile,
    /// Chunks of bodies.
    Chunk,
    /// Notices and links of the roster chain.
    Notices,
    /// Hellos, refusals, key blocks.
    Other,
}

impl Freight {
    /// The kind of an answer; `of_hostile` says whose stream was asked for.
    pub(crate) const fn of_answer(answer: &Answer, of_hostile: bool) -> Self {
        match answer {
            Answer::Frontier { .. } => Self::Frontier,
            Answer::Range { .. } if of_hostile => Self::RangeHostile,
            Answer::Range { .. } => Self::Range,
            Answer::Chunk { .. } => Self::Chunk,
            Answer::Notices { .. } | Answer::Link { .. } => Self::Notices,
            Answer::Hello { .. } | Answer::KeyBlock { .. } | Answer::Unavailable { .. } => {
                Self::Other
            }
        }
    }
}

/// Bytes put on links, by kind. What is lost on the way counts, what arrives
/// twice counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account(BTreeMap<Freight, u64>);

impl Account {
    pub(crate) fn note(&mut self, freight: Freight, bytes: usize) {
        *self.0.entry(freight).or_default() += bytes as u64;
    }

    /// Bytes of one kind.
    pub fn bytes(&self, freight: Freight) -> u64 {
        self.0.get(&freight).copied().unwrap_or(0)
    }

    /// Bytes of all kinds.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
