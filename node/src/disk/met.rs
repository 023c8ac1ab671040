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
        } = self;
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

    /// There may be some that nobody has taken.
    pub(crate) fn wake(&self) {
        self.told.notify_one();
    }

    /// Waits until there may be one that nobody has taken.
    pub(crate) async fn wait(&self) {
        self.told.notified().await;
    }

    /// Those that nobody has taken yet.
    pub(crate) fn take(&self) -> BTreeSet<Vec<u8>> {
        let mut known = held(&self.known);
        let new = known
            .keys
            .iter_mut()
            .filter(|(_, phase)| **phase == Phase::New);
        new.map(|(key, phase)| {
            *phase = Phase::Healing;
            key.clone()
        })
        .collect()
    }

    /// Nothing was begun for these: they are to be taken again.
    pub(crate) fn put_back(&self, keys: &BTreeSet<Vec<u8>>) {
        self.turn(keys, Phase::New);
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
        let keys = met.take();
        assert_eq!(keys, BTreeSet::from([b"key".to_vec()]));
        // It is under way: whoever reads it again says nothing new.
        met.note(b"key");
        assert!(!is_told(&met));
        assert_eq!(met.take(), BTreeSet::new());
        met.put_back(&keys);
        assert!(is_told(&met));
        assert_eq!(met.take(), keys);
    }
}
