//! What hostile members do beyond the first few habits: replay, fork, and say
//! what is not for here or not for now.

use crate::chance::Chance;
use crate::puppet::{Act, Habit, Puppet};
use watchfire_protocol::ids::FederationId;

/// An envelope of this sequence is the last that both sides of a fork share.
const FORKED_AT: u64 = 3;
/// The first side of a fork ends here.
const FORK_ENDS: u64 = 6;

/// How far ahead of time a frame of the future claims to be made: an hour,
/// where ten minutes are tolerated.
const FUTURE_MS: u64 = 3_600_000;

impl Habit {
    /// Every habit, as scenario files name them.
    pub const ALL: [(&'static str, Self); 9] = [
        ("flood", Self::Flood),
        ("replay", Self::Replay),
        ("equivocate", Self::Equivocate),
        ("fork", Self::Fork),
        ("garbage", Self::Garbage),
        ("withhold", Self::Withhold),
        ("silent", Self::Silent),
        ("astray", Self::Astray),
        ("outsider", Self::Outsider),
    ];

    /// Its name in scenario files.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, habit)| *habit == self)
            .map_or("", |(name, _)| *name)
    }
}

impl Puppet {
    /// Sends frames of others again, unchanged, to everybody: new ones and
    /// those that every cache of recent messages has long forgotten.
    pub(crate) fn replay(&self, peers: &[usize], chance: &mut Chance) -> Vec<Act> {
        let mut acts = Vec::new();
        for to in peers.iter().copied() {
            let pick = chance.below("replay", self.number, self.captured.len() as u64);
            let pick = usize::try_from(pick).unwrap_or(0);
            if let Some(frame) = self.captured.get(pick) {
                acts.push(Act::Gossip {
                    to,
                    bytes: frame.clone(),
                });
            }
        }
        acts
    }

    /// Says one chain to everybody, then goes back to an earlier place and
    /// goes on from there, as a member does who restores an old backup.
    pub(crate) fn fork(&mut self, peers: &[usize], wall_ms: u64) -> Vec<Act> {
        let [head, shared] = self.heads;
        // Two heads are remembered from the place of the fork on.
        let forked = self.ticks > FORK_ENDS * 16 + 8;
        if self.sequence == FORK_ENDS && !forked {
            self.sequence = FORKED_AT;
            self.heads = [shared, shared];
            return Vec::new();
        }
        self.sequence += 1;
        let side = if forked { "after" } else { "before" };
        let domain = format!("forked-{}-{side}.h{}.example", self.sequence, self.number);
        let Some((bytes, id)) = self.craft(&domain, 0, head, wall_ms) else {
            return Vec::new();
        };
        let shared = if self.sequence == FORKED_AT {
            Some(id)
        } else {
            shared
        };
        self.heads = [Some(id), shared];
        to_all(peers, &bytes)
    }

    /// Signs what is for another federation, of another epoch, or from the
    /// future, and tells it to everybody.
    pub(crate) fn astray(&mut self, peers: &[usize], wall_ms: u64) -> Vec<Act> {
        self.sequence += 1;
        let domain = format!("astray-{}.h{}.example", self.sequence, self.number);
        let (federation, epoch) = (self.federation, self.epoch);
        let mut made_ms = wall_ms;
        match self.sequence % 3 {
            0 => self.federation = FederationId::from_bytes([0x5a; 32]),
            1 => self.epoch = epoch.wrapping_add(7),
            _ => made_ms = wall_ms.saturating_add(FUTURE_MS),
        }
        let crafted = self.craft(&domain, 0, None, made_ms);
        (self.federation, self.epoch) = (federation, epoch);
        crafted.map_or_else(Vec::new, |(bytes, _)| to_all(peers, &bytes))
    }
}

fn to_all(peers: &[usize], bytes: &[u8]) -> Vec<Act> {
    peers
        .iter()
        .map(|to| Act::Gossip {
            to: *to,
            bytes: bytes.to_vec(),
        })
        .collect()
}
