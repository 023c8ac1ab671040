//! How long the last probe of each link took.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// A probe that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// From question to answer.
    pub took: Duration,
    /// When the answer came.
    pub at: Instant,
}

/// The last of each peer that is connected, so no more than may connect.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips(Mutex<BTreeMap<PeerId, RoundTrip>>);

impl RoundTrips {
    pub(crate) fn note(&self, peer: PeerId, took: Duration) {
        let at = Instant::now();
        self.all_mut(|trips| trips.insert(peer, RoundTrip { took, at }));
    }

    pub(crate) fn forget(&self, peer: &PeerId) {
        self.all_mut(|trips| trips.remove(peer));
    }

    pub(crate) fn all(&self) -> BTreeMap<PeerId, RoundTrip> {
        self.all_mut(|trips| trips.clone())
    }

    fn all_mut<T>(&self, act: impl FnOnce(&mut BTreeMap<PeerId, RoundTrip>) -> T) -> T {
        // What a thread that panicked left is whole: each change is one call.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_probe_counts_until_the_link_ends() {
        let trips = RoundTrips::default();
        let peer = PeerId::random();
        let took = |trips: &RoundTrips| trips.all().get(&peer).map(|trip| trip.took);
        trips.note(peer, Duration::from_millis(7));
        trips.note(peer, Duration::from_millis(3));
        assert_eq!(took(&trips), Some(Duration::from_millis(3)));
        trips.forget(&peer);
        assert_eq!(took(&trips), None);
    }
}
