//! What was dropped or refused, and how often. Every bound of the transport that overflows counts here, because what is
//! dropped in silence is found by nobody.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A reading of the transport's counters, all since its start.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter by its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        /// The counters themselves.
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: Count,)*
        }

        impl Tally {
            /// Reads every counter.
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Own frames sent to nobody, because no peer was there. Catch-up brings them later.
    published_to_nobody,
    /// Own frames that could not be sent, each with an [`Event::Unpublished`](super::Event::Unpublished).
    unpublished,
    /// Frames above the application's limit, dropped unseen; each costs its sender what a rejected frame costs.
    frames_oversized,
    /// Frames on a topic that is not ours, dropped unseen.
    frames_foreign,
    /// Frames dropped because their sender, or all together, had too many without a verdict.
    frames_without_room,
    /// Frames whose verdict never came in time; they were not forwarded.
    verdicts_missing,
    /// Verdicts that came after their time, or for a frame that was never delivered.
    verdicts_late,
    /// Frames gossipsub dropped on their way out because the peer was too slow.
    frames_dropped_for_slow_peers,
    /// Requests of peers refused because too many waited for an answer.
    requests_refused,
    /// Requests of peers that had to wait because their peer asked for much in short time.
    requests_slowed,
    /// Answers of ours that came too late to be sent.
    responses_late,
    /// Connections closed after the handshake because the peer is not admitted.
    strangers_refused,
    /// Connections refused for any other reason: handshake failed, too many, too much memory.
    connections_refused,
    /// Requests at the door that were dropped because nobody took them.
    door_requests_dropped,
    /// Connections at the door refused or ended by a limit.
    door_connections_refused,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn one(&self) {
        self.many(1);
    }

    pub(crate) fn many(&self, times: usize) {
        let times = u64::try_from(times).unwrap_or(u64::MAX);
        self.0.fetch_add(times, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_shows_what_was_counted() {
        let tally = Tally::default();
        tally.unpublished.one();
        tally.verdicts_late.many(3);
        let expected = Counters {
            unpublished: 1,
            verdicts_late: 3,
            ..Counters::default()
        };
        assert_eq!(tally.read(), expected);
    }
}
