//! The hash over everything that happened, in order.

use core::fmt;
use watchfire_crypto::{Sha256Stream, sha256};

/// Equal for equal runs: each event and each output with its time and host is
/// hashed onto what came before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceHash([u8; 32]);

impl TraceHash {
    pub(crate) const EMPTY: Self = Self([0; 32]);

    /// Adds one occurrence.
    pub(crate) fn note(&mut self, at_us: u64, host: usize, what: &str, parts: &[&[u8]]) {
        let mut hash = Sha256Stream::new();
        hash.update(&self.0);
        hash.update(&at_us.to_be_bytes());
        hash.update(&(host as u64).to_be_bytes());
        hash.update(what.as_bytes());
        for part in parts {
            // Long parts by their own hash, so that no two lists of parts
            // feed this one the same bytes.
            hash.update(&sha256(part));
        }
        self.0 = hash.finish();
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
