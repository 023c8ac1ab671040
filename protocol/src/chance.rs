//! Chance is a seed: named, independent generators, so that one more draw for
//! one purpose changes nothing elsewhere.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use watchfire_crypto::Domain;

const CHANCE: Domain = Domain::new("chance");

/// The root of every random choice of an engine. In production it is fresh
/// entropy at each start and never stored.
#[derive(Clone)]
pub struct Chance {
    seed: [u8; 32],
}

impl Chance {
    /// Derives everything from `seed`.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// A number below `bound` for this purpose, object and turn; 0 if `bound`
    /// is 0. The same four give the same number.
    pub fn below(&self, purpose: &'static str, object: &[u8], turn: u64, bound: u64) -> u64 {
        // The bias of a remainder is below 2^-32 for every bound used here.
        self.generator(purpose, object, turn)
            .next_u64()
            .checked_rem(bound)
            .unwrap_or(0)
    }

    /// 16 bytes for this purpose, object and turn: an id that nobody else
    /// draws.
    pub fn id(&self, purpose: &'static str, object: &[u8], turn: u64) -> [u8; 16] {
        let mut id = [0; 16];
        self.generator(purpose, object, turn).fill_bytes(&mut id);
        id
    }

    fn generator(&self, purpose: &'static str, object: &[u8], turn: u64) -> ChaCha8Rng {
        let mut stream = CHANCE.stream();
        stream.update(&self.seed);
        stream.update(purpose.as_bytes());
        stream.update(&[0]);
        stream.update(object);
        stream.update(&turn.to_be_bytes());
        ChaCha8Rng::from_seed(stream.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_independent_and_repeatable() {
        let chance = Chance::new([7; 32]);
        assert_eq!(
            chance.below("a", b"x", 1, 1 << 60),
            chance.below("a", b"x", 1, 1 << 60)
        );
        assert_ne!(
            chance.below("a", b"x", 1, 1 << 60),
            chance.below("b", b"x", 1, 1 << 60)
        );
        assert_ne!(
            chance.below("a", b"x", 1, 1 << 60),
            chance.below("a", b"x", 2, 1 << 60)
        );
        assert_eq!(chance.below("a", b"x", 1, 0), 0);
    }
}
