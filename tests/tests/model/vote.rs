//! A vote, and sets of them small enough to be kept a million times.

use std::fmt;

use watchfire_protocol::roster::Step;

/// The rounds there are room for.
pub(crate) const ROUNDS_MAX: u32 = 4;

pub(crate) const STEPS: [Step; 2] = [Step::Prepare, Step::Commit];

/// One of the two rosters proposed to follow epoch n. B brings a new root key,
/// where a model says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Successor {
    A,
    B,
}

impl Successor {
    pub(crate) const ALL: [Self; 2] = [Self::A, Self::B];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// By what a ballot knows it.
    pub(crate) const fn id(self) -> char {
        match self {
            Self::A => 'A',
            Self::B => 'B',
        }
    }
}

/// What a member casts. Rounds begin with 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) step: Step,
    pub(crate) round: u32,
    pub(crate) roster: Successor,
}

impl fmt::Debug for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} in {}", self.step, self.roster, self.round)
    }
}

impl Vote {
    pub(crate) const fn prepare(round: u32, roster: Successor) -> Self {
        Self {
            step: Step::Prepare,
            round,
            roster,
        }
    }

    pub(crate) const fn commit(round: u32, roster: Successor) -> Self {
        Self {
            step: Step::Commit,
            round,
            roster,
        }
    }

    /// Every vote there can be up to a round.
    pub(crate) fn all(rounds: u32) -> impl Iterator<Item = Self> {
        STEPS.into_iter().flat_map(move |step| {
            (1..=rounds).flat_map(move |round| {
                Successor::ALL.map(|roster| Self {
                    step,
                    round,
                    roster,
                })
            })
        })
    }
}

/// Where the two bits of a step and a round are.
const fn shift(step: Step, round: u32) -> u32 {
    let step = match step {
        Step::Prepare => 0,
        Step::Commit => 1,
    };
    (step * ROUNDS_MAX + round - 1) * 2
}

/// A set of votes of one member.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Votes(pub(crate) u16);

impl fmt::Debug for Votes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Votes {
    const fn mask(vote: Vote) -> u16 {
        1 << (shift(vote.step, vote.round) + vote.roster as u32)
    }

    pub(crate) const fn has(self, vote: Vote) -> bool {
        self.0 & Self::mask(vote) != 0
    }

    pub(crate) const fn with(self, vote: Vote) -> Self {
        Self(self.0 | Self::mask(vote))
    }

    pub(crate) fn of(votes: impl Iterator<Item = Vote>) -> Self {
        votes.fold(Self::default(), Self::with)
    }

    /// Two bits: those of one step and round, A the lower.
    pub(crate) const fn cell(self, step: Step, round: u32) -> u16 {
        (self.0 >> shift(step, round)) & 0b11
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Vote> {
        Vote::all(ROUNDS_MAX).filter(move |vote| self.has(*vote))
    }

    /// Whether two of one step and round are among them.
    pub(crate) const fn doubles(self) -> bool {
        self.0 & (self.0 >> 1) & 0x5555 != 0
    }
}
