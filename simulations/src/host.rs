//! One machine: an engine or a puppet, its disk, and what the transport keeps
//! for it.

use crate::disk::Disk;
use crate::memo::KnownRoster;
use crate::puppet::Puppet;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use watchfire_crypto::sha256;
use watchfire_protocol::engine::{AnswerToken, Engine, GossipToken, RequestId};
use watchfire_protocol::ids::{BundleId, MemberId, NodeId};
use watchfire_protocol::time::{Instant, Now};

/// Virtual time begins here, in milliseconds UTC: 2027-01-01.
pub(crate) const WALL_START_MS: u64 = 1_798_761_600_000;

/// A frame on its way, with SHA-256 over all of it: its gossip message id.
pub(crate) struct Wire {
    pub(crate) id: [u8; 32],
    pub(crate) bytes: Vec<u8>,
    /// A hostile member put it into gossip.
    pub(crate) hostile: bool,
}

impl Wire {
    pub(crate) fn new(bytes: Vec<u8>, hostile: bool) -> Rc<Self> {
        Rc::new(Self {
            id: sha256(&bytes),
            bytes,
            hostile,
        })
    }
}

/// What runs on a host.
pub(crate) enum Brain {
    /// The engine that a node ships.
    Engine(Box<Engine<Disk>>),
    /// Nothing: it lost power.
    Down,
    /// Something else.
    Puppet(Box<Puppet>),
}

/// Who waits for an answer of ours.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) host: usize,
    pub(crate) life: u64,
    pub(crate) id: RequestId,
    pub(crate) epoch: u64,
    /// Whether it asked for a stream of a hostile member.
    pub(crate) of_hostile: bool,
}

/// One machine.
pub(crate) struct Host {
    pub(crate) node: NodeId,
    pub(crate) member: Option<MemberId>,
    pub(crate) brain: Brain,
    /// Counts starts, so that what was meant for an earlier one is dropped.
    pub(crate) life: u64,
    pub(crate) started_us: u64,
    /// How far its wall clock is ahead of the slowest.
    pub(crate) ahead_ms: u64,
    pub(crate) disk: Disk,
    pub(crate) known: KnownRoster,
    pub(crate) wake_at_us: Option<u64>,
    /// How often it was woken at one moment, and at which.
    pub(crate) woken: (u64, u32),
    /// When the disk is done with what it was given.
    pub(crate) disk_free_us: u64,
    pub(crate) seen: Seen,
    pub(crate) pending: BTreeMap<GossipToken, (usize, Rc<Wire>)>,
    /// Rejects of each forwarder, less what time forgave.
    pub(crate) scores: BTreeMap<usize, u64>,
    pub(crate) next_token: u64,
    pub(crate) answers: BTreeMap<AnswerToken, Waiting>,
    /// The highest epoch it claimed to hold, over all its lives.
    pub(crate) epoch_claimed: u64,
    /// Its people know that it was admitted.
    pub(crate) is_joining: bool,
    /// It was started once.
    pub(crate) has_run: bool,
    /// Bundles it claimed to be searchable, over all its lives.
    pub(crate) searchable: BTreeSet<BundleId>,
}

/// Rejects after which a forwarder is not listened to any more.
const GRAYLIST_AT: u64 = 20;

impl Host {
    pub(crate) const fn now(&self, world_us: u64) -> Now {
        Now {
            mono: Instant::from_ms(world_us.saturating_sub(self.started_us) / 1_000),
            wall_ms: WALL_START_MS + world_us / 1_000 + self.ahead_ms,
        }
    }

    /// What a power cut leaves.
    pub(crate) fn forget(&mut self) {
        self.brain = Brain::Down;
        self.life += 1;
        self.wake_at_us = None;
        self.disk_free_us = 0;
        self.seen = Seen::default();
        self.pending.clear();
        self.scores.clear();
        self.answers.clear();
    }

    pub(crate) const fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(self.brain, Brain::Down)
    }

    pub(crate) fn blame(&mut self, forwarder: usize) {
        *self.scores.entry(forwarder).or_default() += 1;
    }

    pub(crate) fn listens_to(&self, forwarder: usize) -> bool {
        self.scores
            .get(&forwarder)
            .is_none_or(|rejects| *rejects < GRAYLIST_AT)
    }
}

/// Gossip messages seen lately, by the hash of the whole frame.
#[derive(Default)]
pub(crate) struct Seen {
    until_us: BTreeMap<[u8; 32], u64>,
    order: VecDeque<(u64, [u8; 32])>,
}

impl Seen {
    const KEPT_US: u64 = 120_000_000;
    const KEPT_MAX: usize = 16_384;

    /// Whether it is new.
    pub(crate) fn insert(&mut self, now_us: u64, id: [u8; 32]) -> bool {
        while let Some((until, oldest)) = self.order.front().copied()
            && (until <= now_us || self.order.len() >= Self::KEPT_MAX)
        {
            self.order.pop_front();
            self.until_us.remove(&oldest);
        }
        if self.until_us.contains_key(&id) {
            return false;
        }
        let until = now_us + Self::KEPT_US;
        self.until_us.insert(id, until);
        self.order.push_back((until, id));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_forgets_with_time_and_stays_bounded() {
        let mut seen = Seen::default();
        assert!(seen.insert(0, [1; 32]));
        assert!(!seen.insert(Seen::KEPT_US - 1, [1; 32]));
        assert!(seen.insert(Seen::KEPT_US, [1; 32]));
        for number in 0..20_000_u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            seen.insert(Seen::KEPT_US, id);
        }
        assert!(seen.order.len() <= Seen::KEPT_MAX && seen.until_us.len() <= Seen::KEPT_MAX);
    }
}
