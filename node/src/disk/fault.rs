//! Every way in which sled fails, as a value.

use std::panic::{AssertUnwindSafe, catch_unwind};

use watchfire_protocol::store::StoreError;

/// How sled failed.
pub(super) enum Fault {
    Corrupt(String),
    Failed(String),
}

impl Fault {
    pub(super) fn cause(self) -> String {
        match self {
            Self::Corrupt(cause) | Self::Failed(cause) => cause,
        }
    }

    /// The failure of a write.
    pub(super) fn failed(self, operation: &'static str) -> StoreError {
        StoreError::Failed {
            operation,
            cause: self.cause(),
        }
    }

    /// The failure of a read at or after `key`.
    pub(super) fn reading(self, operation: &'static str, key: &[u8]) -> StoreError {
        match self {
            Self::Corrupt(_) => StoreError::Damaged {
                key: hex::encode(key),
            },
            Self::Failed(cause) => StoreError::Failed { operation, cause },
        }
    }
}

/// Runs one operation of sled and turns every way it fails into a value.
///
/// sled asserts what a sound file guarantees, on a file that may not be sound.
/// Asserting unwind safety is right because nothing sled has touched is
/// trusted afterwards: a failed open is dropped, a failed write stops all
/// writing, and a read leaves nothing behind.
pub(super) fn guarded<T>(
    operation: &'static str,
    work: impl FnOnce() -> sled::Result<T>,
) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(cause)) if matches!(cause, sled::Error::Corruption { .. }) => {
            Err(Fault::Corrupt(cause.to_string()))
        }
        Ok(Err(cause)) => Err(Fault::Failed(cause.to_string())),
        Err(_) => Err(Fault::Failed(format!(
            "the database panicked when asked to {operation}"
        ))),
    }
}
