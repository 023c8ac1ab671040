//! Damaged values that somebody read: what they were is found out on a thread
//! of the openers, and the engine is told.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use watchfire_protocol::engine::{Damage, Input, examine, is_searched_for};
use watchfire_protocol::store::StoreError;
use watchfire_protocol::time::Instant;

use super::{Driver, Ready};
use crate::disk::met::Taken;
use crate::disk::{SledStore, recovery, tables};
use crate::limits::{EXAMINE_PAUSE_MS, EXAMINE_SEARCHES_MAX};

/// What a driver knows of damage.
#[derive(Debug)]
pub(crate) struct Healing {
    store: Arc<SledStore>,
    path: PathBuf,
    /// Those that are being looked at; one look at a time, since it may read
    /// the whole log.
    looking: Option<BTreeSet<Vec<u8>>>,
    pace: Pace,
    /// When to look at what was met before its time.
    again_at: Option<std::time::Instant>,
    /// Whether this run has noted that a repair is due.
    is_noted: Arc<AtomicBool>,
}

/// How often may be searched: whoever asks for damaged values decides when
/// they are met.
#[derive(Debug, Default)]
struct Pace {
    searches: u32,
    not_before: Instant,
}

impl Pace {
    /// Until when to wait, if it is too early.
    fn wait(&self, now: Instant) -> Option<Instant> {
        (now < self.not_before).then_some(self.not_before)
    }

    /// Whether one more search may be made now.
    fn search(&mut self, now: Instant) -> bool {
        if self.searches >= EXAMINE_SEARCHES_MAX {
            return false;
        }
        self.searches += 1;
        self.not_before = now.plus_ms(EXAMINE_PAUSE_MS);
        true
    }
}

impl Healing {
    pub(crate) fn new(store: Arc<SledStore>, path: PathBuf) -> Self {
        Self {
            store,
            path,
            looking: None,
            pace: Pace::default(),
            again_at: None,
            is_noted: Arc::default(),
        }
    }

    /// Waits until there is something to look at.
    pub(super) async fn wait(&self) {
        match self.again_at {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => self.store.met().wait().await,
        }
    }
}

impl Driver {
    /// Has looked at what was met since.
    pub(super) fn examine(&mut self) -> Option<Input> {
        self.healing.again_at = None;
        if self.healing.looking.is_some() {
            // Looked at when that is over.
            return None;
        }
        let now = self.clock.now().mono;
        if let Some(at) = self.healing.pace.wait(now) {
            self.healing.again_at = Some(self.clock.instant_of(at));
            return None;
        }
        let store = Arc::clone(&self.healing.store);
        let taken = store.met().take();
        if taken.is_none() {
            return None;
        }
        for key in &taken.keys {
            tracing::error!(table = tables::of(key).name, at = %tables::place(key), "damaged value in the store");
        }
        if taken.is_unreadable {
            tracing::error!(
                "a part of the store's database cannot be read; restart the node, which sets it aside if it has to"
            );
        }
        let (searched, others): (BTreeSet<_>, BTreeSet<_>) = taken
            .keys
            .iter()
            .cloned()
            .partition(|key| is_searched_for(key));
        let keys = if searched.is_empty() || self.healing.pace.search(now) {
            taken.keys.clone()
        } else {
            self.due(&searched);
            others
        };
        let (looked_at, roster) = (keys.clone(), self.engine.roster());
        let (path, is_noted) = (
            self.healing.path.clone(),
            Arc::clone(&self.healing.is_noted),
        );
        let given = self.openers.give(Box::new(move || {
            // Whatever comes of it: where one is, there may be more.
            if !is_noted.load(Ordering::Acquire) {
                match recovery::suspect(&path) {
                    Ok(()) => is_noted.store(true, Ordering::Release),
                    Err(why) => {
                        tracing::error!(%why, "could not note that; run \"watchfire store check --rebuild\"");
                    }
                }
            }
            Ready::Examined(examine(&store, &roster, &looked_at))
        }));
        if given {
            self.healing.looking = Some(keys);
        } else {
            let is_unreadable = taken.is_unreadable;
            let back = Taken {
                keys,
                is_unreadable,
            };
            self.healing.store.met().put_back(&back);
        }
        None
    }

    pub(super) fn on_examined(
        &mut self,
        damages: Result<Vec<Damage>, StoreError>,
    ) -> Option<Input> {
        let looked_at = self.healing.looking.take().unwrap_or_default();
        let damages = damages.unwrap_or_else(|why| {
            tracing::error!(%why, "could not look through the store");
            let rebuild = |key| Damage::Rebuild { key };
            looked_at.into_iter().map(rebuild).collect()
        });
        let due: BTreeSet<Vec<u8>> = damages
            .iter()
            .filter_map(|damage| match damage {
                Damage::Rebuild { key } => Some(key.clone()),
                Damage::Envelope { .. }
                | Damage::Body { .. }
                | Damage::Opening { .. }
                | Damage::Told { .. }
                | Damage::Known { .. } => None,
            })
            .collect();
        self.due(&due);
        if !damages.is_empty() {
            let healing = damages.len() - due.len();
            tracing::warn!(
                healing,
                at_next_start = due.len(),
                "damaged values looked at"
            );
        }
        // What was met while that went on waits its turn like any other.
        self.healing.store.met().wake();
        Some(Input::Damaged(damages))
    }

    /// These wait for the next start.
    pub(super) fn due(&self, keys: &BTreeSet<Vec<u8>>) {
        self.healing.store.met().due(keys);
        for key in keys {
            tracing::error!(table = tables::of(key).name, at = %tables::place(key), "made again at the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_37_who_asks_for_damaged_values_does_not_pace_the_searches() {
        let mut pace = Pace::default();
        let mut now = Instant::ZERO;
        for _ in 0..EXAMINE_SEARCHES_MAX {
            assert_eq!(pace.wait(now), None, "the first at once");
            assert!(pace.search(now));
            let next = now.plus_ms(EXAMINE_PAUSE_MS);
            assert_eq!(pace.wait(now), Some(next));
            now = next;
        }
        assert_eq!(pace.wait(now), None);
        assert!(!pace.search(now), "what is met then waits for the start");
    }
}
