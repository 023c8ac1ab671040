//! Mending a store: what is worthless goes, and every index is made again from
//! the truth that is left. `watchfire store check --rebuild`, and a node that
//! met damage, by itself at its next start.

use std::path::{Path, PathBuf};

use watchfire_protocol::engine::{Rebuilt, rebuild};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Batch, Store as _, StoreError};
use watchfire_protocol::table;

use super::audit::{Finding, Remedy, audit_for};
use super::{SledStore, marks, published};

/// Findings mended in one pass over the store, so that a store full of damage
/// costs passes and not memory: 10,000 of about 300 bytes are 3 MB.
const FINDINGS_PER_PASS: usize = 10_000;

/// Passes at most. Taking one away can show another (chunks whose envelope is
/// gone); each pass takes something away, so a store ends long before this.
const PASSES_MAX: usize = 1_000;

/// Removed values that are named; the rest is counted.
const NAMED_MAX: usize = 1_000;

/// What mending did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The truth that was removed, by key: peers bring it back. At most a
    /// thousand are named.
    pub removed: Vec<Finding>,
    /// How much truth was removed.
    pub removed_truth: u64,
    /// How many damaged values of indexes were, which are made again.
    pub removed_index: u64,
    /// What making the indexes again found.
    pub rebuilt: Rebuilt,
}

/// Why a store was not mended.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The store failed, or a part of it cannot be read at all.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system refused.
    #[error("could not note the repair of {}: {cause}; free disk space, check who may write there", path.display())]
    Io {
        /// The store's directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: std::io::Error,
    },
}

/// Mends a store that was opened from `path`. No engine may use it. What is
/// interrupted is noted, and refused to whoever opens the store without
/// beginning again.
///
/// # Errors
/// [`RepairError`]; it can be run again then.
pub fn repair(
    store: &SledStore,
    path: &Path,
    roster: &Roster,
    mut progress: impl FnMut(&'static str, u64),
) -> Result<Repaired, RepairError> {
    let io = |cause| RepairError::Io {
        path: path.to_owned(),
        cause,
    };
    // What is removed may be the end of an own stream.
    published::before_loss(path).map_err(io)?;
    marks::begin_repair(path).map_err(io)?;
    let mut repaired = Repaired::default();
    for _ in 0..PASSES_MAX {
        let wanted = |remedy: &Remedy| !matches!(remedy, Remedy::Reindex);
        let audit = audit_for(
            store,
            Some(roster),
            FINDINGS_PER_PASS,
            wanted,
            &mut progress,
        )?;
        if audit.findings.is_empty() {
            break;
        }
        let mut batch = Batch::default();
        for finding in audit.findings {
            match &finding.remedy {
                Remedy::Remove => batch.remove(finding.key.clone()),
                Remedy::Refetch(envelope) => {
                    let chunks = table::chunks(envelope);
                    for (key, _) in store.sound_under(&chunks, usize::MAX)? {
                        batch.remove(key);
                    }
                }
                Remedy::Reindex => continue,
            }
            if !finding.is_truth {
                repaired.removed_index += 1;
                continue;
            }
            repaired.removed_truth += 1;
            if repaired.removed.len() < NAMED_MAX {
                repaired.removed.push(finding);
            }
        }
        store.apply(&batch)?;
        store.flush()?;
    }
    progress("indexes", 0);
    repaired.rebuilt = rebuild(store, roster)?;
    store.accept_totals()?;
    store.flush()?;
    marks::end_repair(path).map_err(io)?;
    Ok(repaired)
}
