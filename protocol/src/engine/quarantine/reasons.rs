//! Why an envelope is held back, as it is kept: every reason that there is, so
//! that one of them may end and the others stay.

use crate::limits::ACCEPT_REASON_BYTES_MAX;
use crate::wire::Text;
use bincode::{Decode, Encode};

/// Why an envelope is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Quarantine {
    /// Its author was expelled, or its root replaced.
    Expelled,
    /// The certificate it cites was revoked.
    Revoked,
    /// The certificate it cites had expired when it came.
    Expired,
    /// Its author is suspended.
    Suspended,
    /// Its author signed two envelopes for one place, or two chains of which this
    /// one is not on the other.
    Forked,
}

impl Quarantine {
    /// All of them, what says most first.
    pub const ALL: [Self; 5] = [
        Self::Expelled,
        Self::Revoked,
        Self::Forked,
        Self::Expired,
        Self::Suspended,
    ];

    /// What people and programs call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expelled => "expelled",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::Forked => "forked",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Expelled => 1,
            Self::Revoked => 2,
            Self::Expired => 4,
            Self::Suspended => 8,
            Self::Forked => 16,
        }
    }
}

/// A set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Reasons(u8);

impl Reasons {
    /// This one alone.
    pub const fn of(why: Quarantine) -> Self {
        Self(why.bit())
    }

    /// Adds one.
    pub(crate) const fn add(&mut self, why: Quarantine) {
        self.0 |= why.bit();
    }

    /// Whether this one is among them.
    pub const fn has(self, why: Quarantine) -> bool {
        self.0 & why.bit() != 0
    }

    /// These without those.
    pub(crate) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// These and those.
    pub(crate) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The one that says most.
    pub fn first(self) -> Option<Quarantine> {
        self.all().next()
    }

    /// Each, what says most first.
    pub fn all(self) -> impl Iterator<Item = Quarantine> {
        Quarantine::ALL
            .into_iter()
            .filter(move |why| self.has(*why))
    }
}

/// That an envelope is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HeldBack {
    /// Why.
    pub reasons: Reasons,
    /// Since when, in milliseconds UTC.
    pub since_ms: u64,
}

/// Longest [`HeldBack`]: a byte and a number of nine.
pub const HELD_BACK_BYTES_MAX: usize = 10;

/// That a person here accepted what was held back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Accepted {
    /// Against what. Another reason that comes up later holds it back anew.
    pub reasons: Reasons,
    /// When, in milliseconds UTC.
    pub at_ms: u64,
    /// Why, in that person's words.
    pub because: Text<ACCEPT_REASON_BYTES_MAX>,
}

/// Longest [`Accepted`]: a byte, a number of nine, and a text with three bytes of
/// length.
pub const ACCEPTED_BYTES_MAX: usize = 13 + ACCEPT_REASON_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec;

    #[test]
    fn each_reason_is_its_own_and_the_gravest_comes_first() {
        let mut all = Reasons::default();
        for why in Quarantine::ALL.into_iter().rev() {
            assert!(!all.has(why));
            all.add(why);
            assert_eq!(all.first(), Some(why));
        }
        assert!(all.all().eq(Quarantine::ALL));
        let rest = all.without(Reasons::of(Quarantine::Expelled));
        assert_eq!(rest.first(), Some(Quarantine::Revoked));
    }

    #[test]
    fn what_is_kept_fits_its_bound() {
        let held = HeldBack {
            reasons: Reasons(31),
            since_ms: u64::MAX,
        };
        assert_eq!(codec::encode(&held).len(), HELD_BACK_BYTES_MAX);
        let accepted = Accepted {
            reasons: Reasons(31),
            at_ms: u64::MAX,
            because: Text::new("x".repeat(ACCEPT_REASON_BYTES_MAX)).unwrap_or_default(),
        };
        assert_eq!(codec::encode(&accepted).len(), ACCEPTED_BYTES_MAX);
    }
}
