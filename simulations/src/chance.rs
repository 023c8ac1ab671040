//! Chance: one generator for each purpose and object, all derived from the
//! seed, so that one draw more for one purpose changes nothing elsewhere.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use watchfire_crypto::Domain;

const CHANCE: Domain = Domain::new("simulated-chance");

/// The named generators of a world.
pub(crate) struct Chance {
    seed: u64,
    streams: BTreeMap<(&'static str, u64), ChaCha8Rng>,
}

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, streams: BTreeMap::new() }
    }

    /// The 32 bytes from which a generator of this name begins.
    pub(crate) fn seed_for(&self, purpose: &'static str, object: u64) -> [u8; 32] {
        let mut bytes = self.seed.to_be_bytes().to_vec();
        bytes.extend(object.to_be_bytes());
        bytes.extend(purpose.as_bytes());
        CHANCE.digest(&bytes)
    }

    fn stream(&mut self, purpose: &'static str, object: u64) -> &mut ChaCha8Rng {
        let seed = self.seed_for(purpose, object);
        self.streams.entry((purpose, object)).or_insert_with(|| ChaCha8Rng::from_seed(seed))
    }

    /// The next number below `bound` of this generator; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, purpose: &'static str, object: u64, bound: u64) -> u64 {
        // The bias of a remainder is below 2^-30 for every bound used here.
        self.stream(purpose, object).next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// The next number from the first to the second, both included.
    pub(crate) fn between(&mut self, purpose: &'static str, object: u64, range: (u64, u64)) -> u64 {
        let (low, high) = range;
        low.saturating_add(self.below(purpose, object, high.saturating_sub(low).saturating_add(1)))
    }

    /// Whether something happens that happens this often in a million.
    pub(crate) fn happens(&mut self, purpose: &'static str, object: u64, ppm: u64) -> bool {
        ppm > 0 && self.below(purpose, object, 1_000_000) < ppm
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, purpose: &'static str, object: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream(purpose, object).fill_bytes(&mut bytes);
        bytes
    }
}

/// A pair of hosts as one number, the same from either side.
pub(crate) fn pair(a: usize, b: usize) -> u64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    ((low as u64) << 32) | high as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_draw_more_elsewhere_changes_nothing_here() {
        let (mut one, mut other) = (Chance::new(1), Chance::new(1));
        other.below("elsewhere", 0, 10);
        assert_eq!(one.bytes("here", 0, 8), other.bytes("here", 0, 8));
        assert_ne!(Chance::new(1).bytes("here", 0, 8), Chance::new(2).bytes("here", 0, 8));
        assert_ne!(Chance::new(1).bytes("here", 0, 8), Chance::new(1).bytes("here", 1, 8));
    }

    #[test]
    fn bounds_hold() {
        let mut chance = Chance::new(1);
        for _ in 0..1_000 {
            assert!((3..=5).contains(&chance.between("x", 0, (3, 5))));
            assert!(!chance.happens("x", 0, 0));
            assert!(chance.happens("x", 0, 1_000_000));
        }
    }
}
