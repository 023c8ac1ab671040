//! Damaged values that somebody read: what they were is found out on a thread
//! of the openers, and the engine is told.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use watchfire_protocol::engine::{Damage, Input, examine};
use watchfire_protocol::store::StoreError;

use super::{Driver, Ready};
use crate::disk::{SledStore, recovery, tables};

/// What a driver knows of damage.
#[derive(Debug)]
pub(crate) struct Healing {
    store: Arc<SledStore>,
    path: PathBuf,
    /// Those that are being looked at; one look at a time, since it may read
    /// the whole log.
    looking: Option<BTreeSet<Vec<u8>>>,
}

impl Healing {
    pub(crate) const fn new(store: Arc<SledStore>, path: PathBuf) -> Self {
        Self {
            store,
            path,
            looking: None,
        }
    }

    /// Waits until there is something to look at.
    pub(super) async fn wait(&self) {
        self.store.met().wait().await;
    }
}

impl Driver {
    /// Has looked at what was met since.
    pub(super) fn examine(&mut self) -> Option<Input> {
        if self.healing.looking.is_some() {
            // Looked at when that is over.
            return None;
        }
        let store = Arc::clone(&self.healing.store);
        let keys = store.met().take();
        if keys.is_empty() {
            return None;
        }
        for key in &keys {
            tracing::error!(table = tables::of(key).name, at = %tables::place(key), "damaged value in the store");
        }
        // Whatever comes of it: where one is, there may be more.
        if let Err(why) = recovery::suspect(&self.healing.path) {
            tracing::error!(%why, "could not note that; run \"watchfire store check --rebuild\"");
        }
        let (looked_at, roster) = (keys.clone(), self.engine.roster());
        let given = self.openers.give(Box::new(move || {
            Ready::Examined(examine(&store, &roster, &looked_at))
        }));
        if given {
            self.healing.looking = Some(keys);
        } else {
            self.healing.store.met().put_back(&keys);
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
        let healing = damages.len() - due.len();
        tracing::warn!(
            healing,
            at_next_start = due.len(),
            "damaged values looked at"
        );
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
