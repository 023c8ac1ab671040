//! The one place that asks what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use watchfire_protocol::stix::time::Timestamp;
use watchfire_protocol::time::{Instant as Mono, Now};

/// This node's clocks, started together.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts counting.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// What time it is, for waiting and for saying.
    pub fn now(&self) -> Now {
        Now {
            mono: Mono::from_ms(millis(self.start.elapsed())),
            wall_ms: wall_ms(),
        }
    }

    /// The moment an engine names, on the clock of the runtime.
    pub fn instant_of(&self, mono: Mono) -> Instant {
        self.start + std::time::Duration::from_millis(mono.as_ms())
    }
}

/// Milliseconds UTC. A clock before 1970 reads as 1970, and every certificate
/// then says that it is not valid yet.
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

/// A moment as people and STIX write it, RFC 3339.
pub fn moment(unix_ms: u64) -> String {
    Timestamp::from_unix_ms(unix_ms).to_string()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
