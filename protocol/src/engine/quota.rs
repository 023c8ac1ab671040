//! Quotas: token buckets of whole numbers, published in `docs/wire.md` so that
//! authors keep to the same ones.

use crate::time::Instant;

/// How much may come at once, and how much more each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u64,
    /// More a second.
    pub per_second: u64,
}

impl Rate {
    /// Envelopes of one author node.
    pub const AUTHOR_ENVELOPES: Self = Self {
        burst: 20_000,
        per_second: 50,
    };
    /// Bytes, frame and body, of one author node.
    pub const AUTHOR_BYTES: Self = Self {
        burst: 268_435_456,
        per_second: 1_048_576,
    };

    /// A quarter more: what a receiver grants, so that clocks and jitter hurt
    /// no author who keeps to the rate.
    pub const fn with_tolerance(self) -> Self {
        Self {
            burst: self.burst + self.burst / 4,
            per_second: self.per_second + self.per_second / 4,
        }
    }

    /// Ten times: what one peer may bring that is worth nothing here.
    pub const fn for_peer(self) -> Self {
        Self {
            burst: self.burst * 10,
            per_second: self.per_second * 10,
        }
    }
}

/// A bucket that fills with time.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    /// Thousandths of a token, so that slow rates lose nothing to rounding.
    level_milli: u64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub const fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            level_milli: rate.burst.saturating_mul(1_000),
            filled: now,
        }
    }

    /// Whether `amount` is there; nothing is taken.
    pub fn has(&mut self, amount: u64, now: Instant) -> bool {
        let elapsed_ms = now.since_ms(self.filled);
        self.filled = self.filled.max(now);
        // Tokens a second are thousandths of a token a millisecond.
        self.level_milli = self
            .level_milli
            .saturating_add(elapsed_ms.saturating_mul(self.rate.per_second))
            .min(self.rate.burst.saturating_mul(1_000));
        amount.saturating_mul(1_000) <= self.level_milli
    }

    /// Takes `amount`, down to nothing.
    pub const fn take(&mut self, amount: u64) {
        self.level_milli = self
            .level_milli
            .saturating_sub(amount.saturating_mul(1_000));
    }
}

/// Envelopes and bytes together.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    envelopes: Bucket,
    bytes: Bucket,
}

impl Quota {
    /// What this node allows itself.
    pub const fn own(now: Instant) -> Self {
        Self::of(Rate::AUTHOR_ENVELOPES, Rate::AUTHOR_BYTES, now)
    }

    /// What it grants another author.
    pub const fn author(now: Instant) -> Self {
        Self::of(
            Rate::AUTHOR_ENVELOPES.with_tolerance(),
            Rate::AUTHOR_BYTES.with_tolerance(),
            now,
        )
    }

    /// What it grants a peer.
    pub const fn peer(now: Instant) -> Self {
        Self::of(
            Rate::AUTHOR_ENVELOPES.for_peer(),
            Rate::AUTHOR_BYTES.for_peer(),
            now,
        )
    }

    const fn of(envelopes: Rate, bytes: Rate, now: Instant) -> Self {
        Self {
            envelopes: Bucket::new(envelopes, now),
            bytes: Bucket::new(bytes, now),
        }
    }

    /// Whether there is room for one envelope of so many bytes.
    pub fn has(&mut self, bytes: u64, now: Instant) -> bool {
        let envelopes = self.envelopes.has(1, now);
        self.bytes.has(bytes, now) && envelopes
    }

    /// Charges one envelope of so many bytes.
    pub const fn take(&mut self, bytes: u64) {
        self.envelopes.take(1);
        self.bytes.take(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let mut bucket = Bucket::new(
            Rate {
                burst: 2,
                per_second: 1,
            },
            Instant::ZERO,
        );
        assert!(bucket.has(2, Instant::ZERO));
        bucket.take(2);
        assert!(!bucket.has(1, Instant::from_ms(999)));
        assert!(bucket.has(1, Instant::from_ms(1_000)));
        assert!(!bucket.has(3, Instant::from_ms(100_000)));
    }

    #[test]
    fn an_author_at_the_published_rate_is_never_over_the_granted_one() {
        let mut own = Quota::own(Instant::ZERO);
        let mut granted = Quota::author(Instant::ZERO);
        for at in 0..200_000u64 {
            // Bursts arrive late and then all at once.
            let sent = Instant::from_ms(at * 3);
            if own.has(10_000, sent) {
                own.take(10_000);
                let arrived = Instant::from_ms((at * 3) / 5_000 * 5_000);
                assert!(granted.has(10_000, arrived));
                granted.take(10_000);
            }
        }
    }
}
