//! Whether this node's clock can be believed.
//!
//! The wall clock says how old statements are, and whoever sets it decides what
//! counts as fresh, as expired, as ready to be destroyed. So it is held against the
//! monotonic clock at every step: where the two go apart by more than
//! [`CLOCK_JUMP_MS`], the wall clock has jumped. Then nobody counts as fresh before
//! being heard anew, and what cannot be undone rests for [`CLOCK_REST_MS`]. A machine
//! that slept looks the same, and has heard nobody meanwhile either.

use super::Engine;
use crate::limits::{CLOCK_COMPARED_MS, CLOCK_JUMP_MS, CLOCK_REST_MS};
use crate::store::Store;
use crate::time::{Instant, Now};

/// The clock of this node jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockJump {
    /// By how much, in milliseconds; negative where it was set back.
    pub by_ms: i64,
    /// When, by the monotonic clock.
    pub at: Instant,
}

/// Why nothing that cannot be undone may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MayNotDestroy {
    /// The clock jumped a short while ago.
    #[error(
        "this node's clock jumped by {by_ms} ms; nothing is destroyed for another {rest_ms} ms, \
         in which a person can set it right"
    )]
    ClockJumped {
        /// By how much, in milliseconds.
        by_ms: i64,
        /// For how long nothing is destroyed, in milliseconds.
        rest_ms: u64,
    },
    /// Too few members were heard of to know what time it is.
    #[error(
        "too few members were heard of in the last hour to know the federation's time; \
         it is tried again when they are"
    )]
    NoFederationTime,
    /// This clock is another than the federation's.
    #[error("this node's clock is {off_ms} ms from the federation's; set it right")]
    ClockOff {
        /// What must be added to it, in milliseconds.
        off_ms: i64,
    },
}

/// The two clocks, as they were at a moment, and when they went apart last.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockWatch {
    since: Now,
    jump: Option<ClockJump>,
}

impl ClockWatch {
    /// From the start on. `said_ms` is the latest moment at which this node signed
    /// something, by its own clock then: a clock that is far behind it was set back
    /// while the node did not run.
    pub(super) fn new(now: Now, said_ms: u64) -> Self {
        let is_behind = said_ms > now.wall_ms.saturating_add(CLOCK_JUMP_MS);
        Self {
            since: now,
            jump: is_behind.then(|| ClockJump {
                by_ms: difference_ms(now.wall_ms, said_ms),
                at: now.mono,
            }),
        }
    }

    /// Holds the clocks against each other; gives whether the wall clock jumped since
    /// they last were.
    pub(super) fn looks_jumped(&mut self, now: Now) -> bool {
        let gone_ms = now.mono.since_ms(self.since.mono);
        let by_ms = difference_ms(now.wall_ms, self.since.wall_ms.saturating_add(gone_ms));
        let jumped = by_ms.unsigned_abs() > CLOCK_JUMP_MS;
        if jumped {
            self.jump = Some(ClockJump {
                by_ms,
                at: now.mono,
            });
        }
        if jumped || gone_ms >= CLOCK_COMPARED_MS {
            self.since = now;
        }
        jumped
    }

    /// The last jump, while nothing is destroyed for its sake, and for how long that
    /// still is.
    fn resting(&self, now: Instant) -> Option<(ClockJump, u64)> {
        let jump = self.jump?;
        let rest_ms = CLOCK_REST_MS.saturating_sub(now.since_ms(jump.at));
        (rest_ms > 0).then_some((jump, rest_ms))
    }
}

/// One moment less another, as far as that can be told.
fn difference_ms(one: u64, other: u64) -> i64 {
    let apart = i64::try_from(one.abs_diff(other)).unwrap_or(i64::MAX);
    if one < other { -apart } else { apart }
}

impl<S: Store> Engine<S> {
    /// Before every step: what depends on how old something is, is not believed after
    /// a jump.
    pub(super) fn look_at_clock(&mut self, now: Now) {
        if self.clock.looks_jumped(now) {
            self.membership.clock_jumped(now);
            self.say_alive_soon(now);
            // What was refused as made ahead of this clock may be right by it now.
            self.read_refused_again(now);
        }
    }

    /// The last jump of this node's clock, for an hour after it.
    pub fn clock_jump(&self, now: Now) -> Option<ClockJump> {
        self.clock.resting(now.mono).map(|(jump, _)| jump)
    }

    /// Whether what cannot be undone may be done now: destroying keys, collecting
    /// tombstones, ending what has been retained long enough.
    ///
    /// # Errors
    /// For an hour after this clock jumped, while the federation's time is not known,
    /// and while this clock is another.
    pub fn may_destroy(&self, now: Now) -> Result<(), MayNotDestroy> {
        if let Some((jump, rest_ms)) = self.clock.resting(now.mono) {
            let by_ms = jump.by_ms;
            return Err(MayNotDestroy::ClockJumped { by_ms, rest_ms });
        }
        let alives = self.membership.alives();
        match alives.clock_offset(&self.roster, now, &self.me.member) {
            None => Err(MayNotDestroy::NoFederationTime),
            Some(offset) if offset.is_off() => Err(MayNotDestroy::ClockOff { off_ms: offset.ms }),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_MS: u64 = 1_800_000_000_000;

    const fn at(mono_ms: u64, wall_ms: u64) -> Now {
        Now {
            mono: Instant::from_ms(mono_ms),
            wall_ms,
        }
    }

    #[test]
    fn a_clock_that_goes_apart_from_the_other_has_jumped_once_either_way() {
        for back in [false, true] {
            let mut clock = ClockWatch::new(at(0, WALL_MS), 0);
            assert!(!clock.looks_jumped(at(1_000, WALL_MS + 1_000)));
            let set = |wall_ms: u64, ms| {
                if back { wall_ms - ms } else { wall_ms + ms }
            };
            // As much as clocks may differ is no jump.
            let near = set(WALL_MS + 2_000, CLOCK_JUMP_MS);
            assert!(!clock.looks_jumped(at(2_000, near)));
            let far = set(WALL_MS + 3_000, CLOCK_JUMP_MS + 1);
            assert!(clock.looks_jumped(at(3_000, far)));
            // From there on it goes on as it should.
            assert!(!clock.looks_jumped(at(4_000, far + 1_000)));
            let (jump, rest_ms) = clock.resting(Instant::from_ms(4_000)).unwrap();
            let by_ms = i64::try_from(CLOCK_JUMP_MS + 1).unwrap();
            assert_eq!(jump.by_ms, if back { -by_ms } else { by_ms });
            assert_eq!(rest_ms, CLOCK_REST_MS - 1_000);
            let later = Instant::from_ms(3_000 + CLOCK_REST_MS);
            assert_eq!(clock.resting(later), None);
        }
    }

    #[test]
    fn a_clock_that_drifts_has_not_jumped_and_one_that_leaps_after_days_has() {
        let mut clock = ClockWatch::new(at(0, WALL_MS), 0);
        let mut now = at(0, WALL_MS);
        // A second a minute for two days: 48 minutes in all.
        for _ in 0..2 * 24 * 60 {
            now = at(now.mono.as_ms() + 60_000, now.wall_ms + 61_000);
            assert!(!clock.looks_jumped(now));
        }
        assert!(clock.looks_jumped(at(now.mono.as_ms() + 1, now.wall_ms + 2 * CLOCK_JUMP_MS)));
    }

    #[test]
    fn a_clock_behind_what_was_signed_before_the_start_was_set_back() {
        let said_ms = WALL_MS + CLOCK_JUMP_MS + 1;
        let clock = ClockWatch::new(at(0, WALL_MS), said_ms);
        assert!(clock.resting(Instant::ZERO).is_some());
        let clock = ClockWatch::new(at(0, WALL_MS), said_ms - 1);
        assert_eq!(clock.resting(Instant::ZERO), None);
    }
}
