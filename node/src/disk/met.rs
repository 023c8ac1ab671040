//! Damaged values that somebody met in a store that is in use.
//!
//! Whoever reads is told; whoever runs the node takes them from here, has them
//! made again or fetched, and is told of no value twice before it is replaced.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use watchfire_protocol::store::Batch;

use super::held;

/// Values that are remembered. The next start looks at all there are, so a disk
/// full of damage costs no more memory than this: 1,000 keys of 100 bytes are
/// 100 KB.
const MET_MAX: usize = 1_000;

/// What is under way for a damaged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody knows of it yet.
    New,
    /// It is being made again, or asked for.
    Healing,
    /// It waits for the next start.
    Due,
}

/// Damaged values by their keys.
#[derive(Debug, Default)]
pub(crate) struct Met {
    known: Mutex<Known>,
    /// Whether any is known: asked with every write.
    is_any: AtomicBool,
    told: Notify,
}

#[derive(Debug, Default)]
struct Known {
    keys: BTreeMap<Vec<u8>, Phase>,
    healed: u64,
    more: bool,
    /// Reads that the database itself could not do.
    unreadable: u64,
    /// Whether somebody has taken that there are such.
    is_unreadable_taken: bool,
}

/// What nobody had taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Damaged values.
    pub(crate) keys: BTreeSet<Vec<u8>>,
    /// There is something that the database itself cannot read: taken once.
    pub(crate) is_unreadable: bool,
}

impl Taken {
    pub(crate) fn is_none(&self) -> bool {
        self.keys.is_empty() && !self.is_unreadable
    }
}

/// How many damaged values there are, of those that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    /// Replaced by what belongs there.
    pub healed: u64,
    /// Being made again, or asked of peers.
    pub healing: u64,
    /// Mended by the next start alone.
    pub due: u64,
    /// Whether there are more than are counted.
    pub more: bool,
    /// Reads that failed in a part of the database that it cannot read itself;
    /// nothing can be written there either, and the next start deals with it.
    pub unreadable: u64,
}

impl Damaged {
    /// Whether no damaged value was read.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl core::fmt::Display for Damaged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            healed,
            healing,
            due,
            more,
            unreadable,
        } = self;
        if *unreadable > 0 {
            write!(
                f,
                "a part of the database cannot be read, {unreadable} reads failed there: restart the node; "
            )?;
        }
        write!(
            f,
            "damaged values were read: {healed} are whole again, {healing} are being made again or fetched from peers, {due} wait for the next start{}; the next start looks through the whole store: look at the disk",
            if *more { ", and there are more" } else { "" }
        )
    }
}

impl Met {
    /// A damaged value was read.
    pub(super) fn note(&self, key: &[u8]) {
        let mut known = held(&self.known);
        if known.keys.contains_key(key) {
            return;
        }
        if known.keys.len() >= MET_MAX {
            known.more = true;
            return;
        }
        known.keys.insert(key.to_vec(), Phase::New);
        self.is_any.store(true, Ordering::Release);
        self.wake();
    }

    /// A read ended in a part that the database cannot read. Which values are
    /// there nobody can tell.
    pub(super) fn note_unreadable(&self) {
        let mut known = held(&self.known);
        known.unreadable = known.unreadable.saturating_add(1);
        if !known.is_unreadable_taken {
            self.wake();
        }
    }

    /// There may be some that nobody has taken.
    pub(crate) fn wake(&self) {
        self.told.notify_one();
    }

    /// Waits until there may be one that nobody has taken.
    pub(crate) async fn wait(&self) {
        self.told.notified().await;
    }

    /// What nobody has taken yet.
    pub(crate) fn take(&self) -> Taken {
        let mut known = held(&self.known);
        let is_unreadable = known.unreadable > 0 && !known.is_unreadable_taken;
        known.is_unreadable_taken |= is_unreadable;
        let new = known
            .keys
            .iter_mut()
            .filter(|(_, phase)| **phase == Phase::New);
        let keys = new.map(|(key, phase)| {
            *phase = Phase::Healing;
            key.clone()
        });
        Taken {
            keys: keys.collect(),
            is_unreadable,
        }
    }

    /// Nothing was begun for this: it is to be taken again.
    pub(crate) fn put_back(&self, taken: &Taken) {
        self.turn(&taken.keys, Phase::New);
        if taken.is_unreadable {
            held(&self.known).is_unreadable_taken = false;
        }
        // Told already, they would not be told again by whoever reads them.
        self.wake();
    }

    /// These wait for the next start.
    pub(crate) fn due(&self, keys: &BTreeSet<Vec<u8>>) {
        self.turn(keys, Phase::Due);
    }

    fn turn(&self, keys: &BTreeSet<Vec<u8>>, to: Phase) {
        let mut known = held(&self.known);
        for key in keys {
            if let Some(phase) = known.keys.get_mut(key) {
                *phase = to;
            }
        }
    }

    pub(super) fn is_known(&self, key: &[u8]) -> bool {
        self.is_any.load(Ordering::Acquire) && held(&self.known).keys.contains_key(key)
    }

    /// What was written is damaged no more.
    pub(super) fn written(&self, batch: &Batch) {
        if !self.is_any.load(Ordering::Acquire) {
            return;
        }
        let mut known = held(&self.known);
        for (key, value) in batch.iter() {
            if known.keys.remove(key).is_some() {
                known.healed += u64::from(value.is_some());
            }
        }
        self.is_any.store(!known.keys.is_empty(), Ordering::Release);
    }

    pub(super) fn count(&self) -> Damaged {
        let known = held(&self.known);
        let due = known.keys.values().filter(|phase| **phase == Phase::Due);
        let due = due.count() as u64;
        Damaged {
            healed: known.healed,
            healing: known.keys.len() as u64 - due,
            due,
            more: known.more,
            unreadable: known.unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::Future as _;
    use core::pin::pin;
    use core::task::{Context, Waker};

    use super::*;

    fn is_told(met: &Met) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(met.wait()).poll(&mut context).is_ready()
    }

    #[test]
    fn what_could_not_be_looked_at_is_told_again() {
        let met = Met::default();
        assert!(!is_told(&met));
        met.note(b"key");
        assert!(is_told(&met));
        let taken = met.take();
        assert_eq!(taken.keys, BTreeSet::from([b"key".to_vec()]));
        // It is under way: whoever reads it again says nothing new.
        met.note(b"key");
        assert!(!is_told(&met));
        assert!(met.take().is_none());
        met.put_back(&taken);
        assert!(is_told(&met));
        assert_eq!(met.take(), taken);
    }

    #[test]
    fn what_the_database_cannot_read_is_taken_once_and_counted() {
        let met = Met::default();
        met.note_unreadable();
        assert!(is_told(&met));
        let taken = met.take();
        assert!(taken.is_unreadable && taken.keys.is_empty());
        met.note_unreadable();
        assert!(!is_told(&met));
        assert!(met.take().is_none());
        assert_eq!(met.count().unreadable, 2);
        met.put_back(&taken);
        assert!(is_told(&met));
        assert_eq!(met.take(), taken);
    }
}
