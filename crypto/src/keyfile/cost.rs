//! What opening a key file costs, and how much of it is neither too little nor too much.

use super::KeyFileError;

/// The cost of the key derivation, Argon2id of RFC 9106.
///
/// There are named costs only: whoever writes a file chooses one of them, whoever reads one applies [`Bounds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub(super) memory_kib: u32,
    /// Passes over the memory.
    pub(super) passes: u32,
    /// Lanes, computed one after the other here.
    pub(super) lanes: u32,
}

impl Cost {
    /// For keys that a node opens at each start: 64 MiB and 3 passes, well below a second. The memory and passes of the
    /// second recommendation of RFC 9106 section 4; one lane, since they would not be computed in parallel.
    pub const INTERACTIVE: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// For roots, which are opened a few times a year: 256 MiB and 4 passes, a few seconds on a small machine.
    pub const SENSITIVE: Self = Self {
        memory_kib: 256 * 1024,
        passes: 4,
        lanes: 1,
    };

    /// For tests alone: 8 KiB and one pass, worth nothing. [`Bounds::PRODUCTION`] refuses such a file.
    #[doc(hidden)]
    pub const fn for_tests() -> Self {
        Self {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        }
    }

    /// The parameters as the library wants them, without a judgement of our own.
    pub(super) fn params(self) -> Result<argon2::Params, KeyFileError> {
        argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|_| {
            // The library asks for one pass, one lane, and eight KiB a lane.
            CostRefused::TooLow {
                what: "memory-kib",
                found: self.memory_kib,
                min: self.lanes.saturating_mul(8),
            }
            .into()
        })
    }
}

/// The costs with which a key file may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    floor: Cost,
    ceiling: Cost,
}

impl Bounds {
    /// The bounds of the product.
    ///
    /// The floor is [`Cost::INTERACTIVE`]: below it, somebody weakened the file. The ceiling is 1 GiB, 16 passes and 4
    /// lanes: 16 passes × 1 GiB, about 20 seconds and the memory of a small server, are what a hostile file can cost.
    pub const PRODUCTION: Self = Self {
        floor: Cost::INTERACTIVE,
        ceiling: Cost {
            memory_kib: 1024 * 1024,
            passes: 16,
            lanes: 4,
        },
    };

    /// For tests alone: they open files of [`Cost::for_tests`], and none that the product makes.
    #[doc(hidden)]
    pub const fn for_tests() -> Self {
        Self {
            floor: Cost::for_tests(),
            ceiling: Cost {
                memory_kib: 1024,
                passes: 4,
                lanes: 4,
            },
        }
    }

    /// Judges a cost before anything of it is spent, and hands out the parameters only then.
    pub(super) fn admit(&self, cost: Cost) -> Result<argon2::Params, KeyFileError> {
        within(
            "memory-kib",
            cost.memory_kib,
            self.floor.memory_kib,
            self.ceiling.memory_kib,
        )?;
        within(
            "passes",
            cost.passes,
            self.floor.passes,
            self.ceiling.passes,
        )?;
        within("lanes", cost.lanes, self.floor.lanes, self.ceiling.lanes)?;
        cost.params()
    }
}

fn within(what: &'static str, found: u32, min: u32, max: u32) -> Result<(), CostRefused> {
    if found < min {
        return Err(CostRefused::TooLow { what, found, min });
    }
    if found > max {
        return Err(CostRefused::TooHigh { what, found, max });
    }
    Ok(())
}

/// Why a key file is not opened at the cost it asks for. Nothing was derived or allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CostRefused {
    /// Too cheap to guess at.
    #[error(
        "key file refused: its {what} of {found} is below {min}, too little to protect it; restore its backup"
    )]
    TooLow {
        /// The line of the file.
        what: &'static str,
        /// Its value.
        found: u32,
        /// The least that is accepted.
        min: u32,
    },
    /// Too dear to open.
    #[error(
        "key file refused: its {what} of {found} is above {max}, more than any of ours; restore its backup"
    )]
    TooHigh {
        /// The line of the file.
        what: &'static str,
        /// Its value.
        found: u32,
        /// The most that is accepted.
        max: u32,
    },
}
