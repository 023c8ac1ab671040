//! Which peers are wanted, which are connected, and when to dial whom. A plain machine: time comes in as an argument.
//!
//! Two nodes that dial each other at once would hold two connections, and gossipsub announces its topics only on the
//! first, so closing the wrong one leaves a link that looks alive and carries nothing. So there is never a second one:
//! of two peers the one with the smaller id dials, the other waits a while longer and dials only if nobody came (the
//! first may sit behind a firewall), and the swarm refuses a second connection to a peer it already has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use super::Admitted;
use crate::limits::{ADDRESSES_PER_PEER_MAX, ADMITTED_MAX, DIALS_MAX};

/// How many first pauses the peer with the larger id waits longer than the other.
const YIELD_PAUSES: u32 = 4;

/// The pauses between two attempts to reach a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pauses {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    /// A connection that lived this long was a good one.
    pub(crate) sound_after: Duration,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Links {
    me: PeerId,
    pauses: Pauses,
    jitter: u64,
    wanted: BTreeMap<PeerId, Wanted>,
    connected: BTreeMap<PeerId, Connected>,
    dialling: BTreeSet<PeerId>,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Wanted {
    addresses: Vec<Multiaddr>,
    failures: u32,
    due: Instant,
}

#[derive(Debug)]
struct Connected {
    since: Instant,
    up: bool,
    redial_at_once: bool,
}

impl Links {
    /// A machine without peers. `jitter` seeds the spread of the pauses.
    pub(crate) fn new(me: PeerId, pauses: Pauses, jitter: u64) -> Self {
        Self {
            me,
            pauses,
            jitter,
            wanted: BTreeMap::new(),
            connected: BTreeMap::new(),
            dialling: BTreeSet::new(),
            next: None,
        }
    }

    /// Replaces the wanted peers and returns who is new and who is no longer among them.
    pub(crate) fn set_admitted(
        &mut self,
        admitted: Admitted,
        now: Instant,
    ) -> (Vec<PeerId>, Vec<PeerId>) {
        let mut wanted = BTreeMap::new();
        let mut added = Vec::new();
        for (peer, mut addresses) in admitted
            .into_iter()
            .filter(|(peer, _)| *peer != self.me)
            .take(ADMITTED_MAX)
        {
            addresses.truncate(ADDRESSES_PER_PEER_MAX);
            let entry = match self.wanted.remove(&peer) {
                // A new address deserves a new attempt.
                Some(old) if old.addresses != addresses => Wanted {
                    addresses,
                    failures: 0,
                    due: now,
                },
                Some(old) => old,
                None => {
                    added.push(peer);
                    Wanted {
                        addresses,
                        failures: 0,
                        due: now + self.yielding(&peer),
                    }
                }
            };
            wanted.insert(peer, entry);
        }
        let removed: Vec<PeerId> = std::mem::replace(&mut self.wanted, wanted)
            .into_keys()
            .collect();
        self.refresh();
        (added, removed)
    }

    /// Whom to dial now. Everybody named counts as being dialled until a result is reported.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let room = DIALS_MAX.saturating_sub(self.dialling.len());
        let due: Vec<_> = self
            .idle()
            .filter(|(_, wanted)| wanted.due <= now)
            .map(|(peer, wanted)| (*peer, wanted.addresses.clone()))
            .take(room)
            .collect();
        self.dialling.extend(due.iter().map(|(peer, _)| *peer));
        self.refresh();
        due
    }

    /// When [`Links::due`] has something to say next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// A dial failed. Says whether the peer is wanted and still without a connection, so that it matters.
    pub(crate) fn on_dial_failed(&mut self, peer: &PeerId, now: Instant) -> bool {
        self.dialling.remove(peer);
        let matters = !self.connected.contains_key(peer) && self.wanted.contains_key(peer);
        if matters {
            self.postpone(peer, now);
        }
        self.refresh();
        matters
    }

    /// A connection stands; whether the peer admits us shows later.
    pub(crate) fn on_connected(&mut self, peer: PeerId, now: Instant) {
        self.dialling.remove(&peer);
        self.connected.insert(
            peer,
            Connected {
                since: now,
                up: false,
                redial_at_once: false,
            },
        );
        self.refresh();
    }

    /// The peer shows that it has admitted us. True the first time for this connection.
    pub(crate) fn on_up(&mut self, peer: &PeerId) -> bool {
        self.connected
            .get_mut(peer)
            .is_some_and(|connected| !std::mem::replace(&mut connected.up, true))
    }

    /// The connection ended. Says whether the peer was up.
    pub(crate) fn on_closed(&mut self, peer: &PeerId, now: Instant) -> bool {
        let Some(connected) = self.connected.remove(peer) else {
            return false;
        };
        if let Some(wanted) = self.wanted.get_mut(peer) {
            if connected.redial_at_once {
                wanted.failures = 0;
                wanted.due = now;
            } else {
                if now.saturating_duration_since(connected.since) >= self.pauses.sound_after {
                    wanted.failures = 0;
                }
                self.postpone(peer, now);
            }
        }
        self.refresh();
        connected.up
    }

    /// The owner wants a new connection: dial as soon as the old one has ended, or now if there is none.
    pub(crate) fn reconnect(&mut self, peer: &PeerId, now: Instant) {
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.redial_at_once = true;
        } else if let Some(wanted) = self.wanted.get_mut(peer) {
            wanted.due = now;
        }
        self.refresh();
    }

    /// Whether a connection to the peer stands.
    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.connected.contains_key(peer)
    }

    /// Whether a second connection from this peer proves the first one dead: a peer that still held it would not
    /// call, unless both called at the same time.
    pub(crate) fn is_stale(&self, peer: &PeerId, now: Instant) -> bool {
        self.connected.get(peer).is_some_and(|connected| {
            now.saturating_duration_since(connected.since) >= self.pauses.sound_after
        })
    }

    fn idle(&self) -> impl Iterator<Item = (&PeerId, &Wanted)> {
        self.wanted.iter().filter(|(peer, wanted)| {
            !wanted.addresses.is_empty()
                && !self.connected.contains_key(peer)
                && !self.dialling.contains(peer)
        })
    }

    fn refresh(&mut self) {
        let full = self.dialling.len() >= DIALS_MAX;
        self.next = if full {
            None
        } else {
            self.idle().map(|(_, wanted)| wanted.due).min()
        };
    }

    fn yielding(&self, peer: &PeerId) -> Duration {
        if self.me < *peer {
            Duration::ZERO
        } else {
            self.pauses.min.saturating_mul(YIELD_PAUSES)
        }
    }

    /// Sets the next attempt: the first pause doubled for every failure, up to the longest; then between half and all
    /// of it, so that peers of one broken link do not call in step.
    fn postpone(&mut self, peer: &PeerId, now: Instant) {
        let spread =
            f64::from(u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        let yielding = self.yielding(peer);
        let pauses = self.pauses;
        if let Some(wanted) = self.wanted.get_mut(peer) {
            let factor = 1_u32 << wanted.failures.min(16);
            let pause = pauses.min.saturating_mul(factor).min(pauses.max);
            wanted.failures = wanted.failures.saturating_add(1);
            wanted.due = now + yielding + pause.mul_f64(0.5 + spread / 2.0);
        }
    }

    /// SplitMix64: enough to spread pauses, and repeatable in tests.
    fn draw(&mut self) -> u64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.jitter;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PAUSES: Pauses = Pauses {
        min: Duration::from_millis(500),
        max: Duration::from_secs(60),
        sound_after: Duration::from_secs(10),
    };

    fn two() -> (PeerId, PeerId) {
        let mut peers = [PeerId::random(), PeerId::random()];
        peers.sort();
        peers.into()
    }

    fn wanting(peer: PeerId) -> Admitted {
        Admitted::from([(peer, vec!["/ip4/192.0.2.1/tcp/7331".parse().unwrap()])])
    }

    #[test]
    fn the_smaller_id_dials_at_once_and_the_larger_one_waits() {
        let now = Instant::now();
        let (small, large) = two();
        let mut links = Links::new(small, PAUSES, 1);
        links.set_admitted(wanting(large), now);
        assert_eq!(links.due(now).len(), 1);
        assert!(links.due(now).is_empty(), "one dial at a time");
        let mut links = Links::new(large, PAUSES, 1);
        links.set_admitted(wanting(small), now);
        assert!(links.due(now).is_empty());
        assert_eq!(links.next(), Some(now + Duration::from_secs(2)));
    }

    #[test]
    fn pauses_grow_to_their_longest_and_spread() {
        let mut now = Instant::now();
        let (small, large) = two();
        let mut links = Links::new(small, PAUSES, 7);
        links.set_admitted(wanting(large), now);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            assert_eq!(links.due(now).len(), 1);
            assert!(links.on_dial_failed(&large, now));
            let next = links.next().unwrap();
            pauses.push(next - now);
            now = next;
        }
        let (first, last) = (pauses.first().unwrap(), pauses.last().unwrap());
        assert!((PAUSES.min / 2..=PAUSES.min).contains(first));
        assert!((PAUSES.max / 2..=PAUSES.max).contains(last));
        assert!(
            pauses.iter().rev().take(10).collect::<BTreeSet<_>>().len() > 5,
            "{pauses:?}"
        );
    }

    #[test]
    fn a_connection_that_dies_young_counts_as_a_failure() {
        let now = Instant::now();
        let (small, large) = two();
        let mut links = Links::new(small, PAUSES, 7);
        links.set_admitted(wanting(large), now);
        for _ in 0..8 {
            links.on_connected(large, now);
            links.on_closed(&large, now);
        }
        assert!(links.next().unwrap() - now > Duration::from_secs(30));
        links.on_connected(large, now);
        let later = now + PAUSES.sound_after;
        links.on_closed(&large, later);
        assert!(links.next().unwrap() - later <= PAUSES.min);
    }

    #[test]
    fn a_removed_peer_is_not_dialled_again_and_its_end_is_still_told() {
        let now = Instant::now();
        let (small, large) = two();
        let mut links = Links::new(small, PAUSES, 7);
        assert_eq!(
            links.set_admitted(wanting(large), now),
            (vec![large], vec![])
        );
        links.on_connected(large, now);
        assert!(links.on_up(&large));
        assert!(!links.on_up(&large));
        assert_eq!(
            links.set_admitted(Admitted::new(), now),
            (vec![], vec![large])
        );
        assert!(links.on_closed(&large, now));
        assert_eq!(links.next(), None);
    }

    #[test]
    fn reconnect_dials_as_soon_as_the_old_connection_has_ended() {
        let now = Instant::now();
        let (small, large) = two();
        let mut links = Links::new(large, PAUSES, 7);
        links.set_admitted(wanting(small), now);
        links.on_connected(small, now);
        links.reconnect(&small, now);
        assert!(links.due(now).is_empty());
        links.on_closed(&small, now);
        assert_eq!(links.due(now).len(), 1);
    }

    #[test]
    fn a_node_never_dials_itself_nor_a_peer_without_address() {
        let now = Instant::now();
        let (small, large) = two();
        let mut links = Links::new(small, PAUSES, 7);
        let mut admitted = wanting(small);
        admitted.insert(large, vec![]);
        links.set_admitted(admitted, now);
        assert_eq!(links.next(), None);
    }
}
