//! How fast one peer is served. A peer may have few requests under way at a time, and could still keep disk, cores and
//! line busy by asking again at once. So every peer has an account: a request and the bytes of its answer are charged,
//! and time pays them back. Whoever owes too much waits and is not refused, since a refusal would look like a broken
//! link to an honest peer that catches up.
//!
//! A plain machine: time comes in as an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::request_response::InboundRequestId;

use crate::limits::{ADMITTED_MAX, REQUEST_COST_BYTES};

/// What one peer may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServingRate {
    /// Bytes that may be owed before a request waits.
    pub burst_bytes: u64,
    /// Bytes paid back each second; at least 1 counts.
    pub per_second_bytes: u64,
}

/// A request that waits for its peer's account.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) peer: PeerId,
    pub(crate) id: InboundRequestId,
    pub(crate) token: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The accounts, and who waits. What waits is bounded by whoever lets requests in.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: ServingRate,
    accounts: BTreeMap<PeerId, Account>,
    held: VecDeque<Held>,
}

/// What a peer owed at a moment. It outlives the connection, or a new one would be a new burst.
#[derive(Debug, Clone, Copy)]
struct Account {
    owed_bytes: u64,
    at: Instant,
}

impl Pace {
    pub(crate) fn new(rate: ServingRate) -> Self {
        Self {
            rate,
            accounts: BTreeMap::new(),
            held: VecDeque::new(),
        }
    }

    /// Charges a peer.
    pub(crate) fn charge(&mut self, peer: PeerId, bytes: usize, now: Instant) {
        let rate = self.rate;
        if self.accounts.len() >= ADMITTED_MAX && !self.accounts.contains_key(&peer) {
            // Whoever owes nothing needs no account, and whoever owes least needs it least.
            self.accounts
                .retain(|_, account| account.owed(rate, now) > 0);
            let least = self
                .accounts
                .iter()
                .min_by_key(|(_, account)| account.owed(rate, now));
            let least = least.map(|(peer, _)| *peer);
            if self.accounts.len() >= ADMITTED_MAX
                && let Some(least) = least
            {
                self.accounts.remove(&least);
            }
        }
        let account = self.accounts.entry(peer).or_insert(Account {
            owed_bytes: 0,
            at: now,
        });
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        account.owed_bytes = account.owed(rate, now).saturating_add(bytes);
        account.at = now;
    }

    /// Lets a request pass, charged for itself, or gives it back because it has to wait.
    pub(crate) fn pass(&mut self, request: Held, now: Instant) -> Result<Held, Held> {
        // Behind one of its own that waits, it waits as well: requests keep their order.
        if self.wait_of(&request.peer, now).is_zero() && !self.holds(&request.peer) {
            self.charge(request.peer, REQUEST_COST_BYTES, now);
            Ok(request)
        } else {
            Err(request)
        }
    }

    /// Keeps a request until its peer's account allows it.
    pub(crate) fn hold(&mut self, request: Held) {
        self.held.push_back(request);
    }

    /// A request whose time to wait is over.
    pub(crate) fn release(&mut self, now: Instant) -> Option<Held> {
        let at = self
            .held
            .iter()
            .position(|held| self.wait_of(&held.peer, now).is_zero())?;
        let held = self.held.remove(at)?;
        self.charge(held.peer, REQUEST_COST_BYTES, now);
        Some(held)
    }

    /// A request is over before it was let through.
    pub(crate) fn forget(&mut self, id: &InboundRequestId) {
        self.held.retain(|held| held.id != *id);
    }

    /// When [`Pace::release`] has something to give next.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        self.held
            .iter()
            .map(|held| now + self.wait_of(&held.peer, now))
            .min()
    }

    fn holds(&self, peer: &PeerId) -> bool {
        self.held.iter().any(|held| held.peer == *peer)
    }

    /// How long a peer has to wait until it owes no more than it may.
    fn wait_of(&self, peer: &PeerId, now: Instant) -> Duration {
        let owed = self
            .accounts
            .get(peer)
            .map_or(0, |account| account.owed(self.rate, now));
        let above = owed.saturating_sub(self.rate.burst_bytes);
        // Rounded up, so that nobody is woken too early.
        let ms = above
            .saturating_mul(1_000)
            .div_ceil(self.rate.per_second_bytes.max(1));
        Duration::from_millis(ms)
    }
}

impl Account {
    fn owed(&self, rate: ServingRate, now: Instant) -> u64 {
        let elapsed_ms = now.saturating_duration_since(self.at).as_millis();
        let elapsed_ms = u64::try_from(elapsed_ms).unwrap_or(u64::MAX);
        let paid = elapsed_ms.saturating_mul(rate.per_second_bytes.max(1)) / 1_000;
        self.owed_bytes.saturating_sub(paid)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::{
        EXCHANGE_RESPONSE_BYTES_MAX, EXCHANGE_WITHIN, INBOUND_REQUESTS_PER_PEER_MAX,
        SERVED_BURST_BYTES, SERVED_BYTES_PER_SECOND,
    };

    const RATE: ServingRate = ServingRate {
        burst_bytes: 1_000_000,
        per_second_bytes: 1_000_000,
    };

    fn owes(pace: &Pace, peer: &PeerId, now: Instant) -> bool {
        !pace.wait_of(peer, now).is_zero()
    }

    #[test]
    fn who_asks_without_end_is_served_at_the_rate_and_others_at_once() {
        let start = Instant::now();
        let (loud, quiet) = (PeerId::random(), PeerId::random());
        let mut pace = Pace::new(RATE);
        let mut served = 0_u64;
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            if !owes(&pace, &loud, now) {
                pace.charge(loud, 100_000, now);
                served += 100_000;
            }
            assert!(!owes(&pace, &quiet, now));
        }
        // The burst, ten seconds, and the one that went over.
        assert!((10_900_000..=11_100_000).contains(&served), "{served}");
    }

    #[test]
    fn a_new_connection_is_no_new_burst_and_accounts_are_bounded() {
        let start = Instant::now();
        let mut pace = Pace::new(RATE);
        for _ in 0..10 * ADMITTED_MAX {
            pace.charge(PeerId::random(), 1, start);
        }
        assert_eq!(pace.accounts.len(), ADMITTED_MAX);
        // All owe; a little later nobody does, and the next charge finds that out.
        let later = start + Duration::from_secs(1);
        pace.charge(PeerId::random(), 1, later);
        assert_eq!(pace.accounts.len(), 1);
        let peer = PeerId::random();
        pace.charge(peer, 2_000_000, later);
        assert!(owes(&pace, &peer, later + Duration::from_millis(999)));
        assert!(!owes(&pace, &peer, later + Duration::from_secs(1)));
    }

    #[test]
    fn no_honest_request_waits_as_long_as_its_asker_does() {
        // All that a peer may have under way, each with the largest answer, on top of a burst used up.
        let under_way =
            INBOUND_REQUESTS_PER_PEER_MAX * (EXCHANGE_RESPONSE_BYTES_MAX + REQUEST_COST_BYTES);
        let start = Instant::now();
        let peer = PeerId::random();
        let mut pace = Pace::new(ServingRate {
            burst_bytes: SERVED_BURST_BYTES,
            per_second_bytes: SERVED_BYTES_PER_SECOND,
        });
        let burst = usize::try_from(SERVED_BURST_BYTES).unwrap();
        pace.charge(peer, burst + under_way, start);
        assert!(pace.wait_of(&peer, start) < EXCHANGE_WITHIN / 10);
    }
}
