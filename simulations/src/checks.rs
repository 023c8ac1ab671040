//! What must hold: no leak, converges, nothing lost, bounded. All of it is
//! computed from what the scenario knows to be true, not from what engines say.

use crate::trace::TraceHash;
use crate::world::{Acknowledged, World};
use std::collections::BTreeSet;
use watchfire_crypto::sha256;
use watchfire_protocol::ids::{BundleId, EnvelopeId};
use watchfire_protocol::policy::Reader;
use watchfire_protocol::query::{Asker, Query};
use watchfire_protocol::store::{Store as _, StoreError};
use watchfire_protocol::table::{self, Arrival, Outcome};
use watchfire_protocol::wire::codec;

/// What every bundle above CLEAR holds, in its value, name and description,
/// and nothing else in the world does.
pub(crate) const PLANTED: &str = "zqplanted";

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{scenario}, seed {seed}, at {at_ms} ms: {what}")]
pub struct Failure {
    /// Which scenario.
    pub scenario: String,
    /// Which seed.
    pub seed: u64,
    /// When, in virtual milliseconds.
    pub at_ms: u64,
    /// What.
    pub what: String,
    /// Over everything until then.
    pub trace: TraceHash,
}

/// Looks for planted bytes in everything that is carried or stored.
#[derive(Debug, Default)]
pub struct LeakWatch {
    clean: BTreeSet<[u8; 32]>,
    leak: Option<String>,
}

/// Distinct byte strings remembered as clean; past it they are looked at again.
const CLEAN_MAX: usize = 200_000;

impl LeakWatch {
    /// Looks at bytes found at a place.
    pub fn scan(&mut self, place: &str, bytes: &[u8]) {
        const SHORT: usize = 256;
        let id = (bytes.len() > SHORT).then(|| sha256(bytes));
        if id.is_some_and(|id| self.clean.contains(&id)) {
            return;
        }
        if bytes
            .windows(PLANTED.len())
            .any(|window| window == PLANTED.as_bytes())
        {
            self.leak
                .get_or_insert_with(|| format!("planted bytes {place}"));
        } else if let Some(id) = id.filter(|_| self.clean.len() < CLEAN_MAX) {
            self.clean.insert(id);
        }
    }

    /// Where planted bytes were found first.
    pub fn leak(&self) -> Option<&str> {
        self.leak.as_deref()
    }
}

impl World {
    /// Looks through every store.
    pub(crate) fn scan_stores(&mut self) {
        for (number, host) in self.hosts.iter().enumerate() {
            for (key, value) in host.disk.snapshot() {
                self.watch
                    .scan(&format!("in a key of the store of host {number}"), &key);
                self.watch
                    .scan(&format!("in the store of host {number}"), &value);
            }
        }
    }

    /// What went wrong so far, if anything did.
    pub(crate) fn broken(&self) -> Option<String> {
        if let Some(leak) = self.watch.leak() {
            return Some(format!("leak: {leak}"));
        }
        if let Some(wrong) = &self.wrong {
            return Some(wrong.clone());
        }
        if self.queue_len() > self.scenario.queue_max {
            return Some(format!("not bounded: {} events wait", self.queue_len()));
        }
        None
    }

    /// Whether a bundle can be searched at a host, from its store.
    fn searchable_at(&self, host: usize, bundle: &BundleId) -> Result<bool, StoreError> {
        let Some(host) = self.hosts.get(host) else {
            return Ok(false);
        };
        if host.searchable.contains(bundle) {
            return Ok(true);
        }
        let Some(arrival) = host.disk.get(&table::bundle(bundle))? else {
            return Ok(false);
        };
        let Ok(arrival) = codec::decode::<Arrival>(&arrival, 9) else {
            return Ok(false);
        };
        let Some(outcome) = host.disk.get(&table::outcome(arrival))? else {
            return Ok(false);
        };
        Ok(matches!(
            codec::decode::<Outcome>(&outcome, 1_024),
            Ok(Outcome::Opened { .. })
        ))
    }

    /// A host and a bundle of an honest author that it does not have, if there
    /// are such.
    pub(crate) fn missing(&self) -> Result<Option<(usize, BundleId)>, StoreError> {
        let everything: BTreeSet<BundleId> = self
            .honest()
            .filter_map(|host| self.hosts.get(host))
            .flat_map(|host| host.searchable.iter().copied())
            .filter(|bundle| self.of_honest.contains(bundle))
            .chain(
                self.acknowledged
                    .iter()
                    .map(|acknowledged| acknowledged.bundle),
            )
            .collect();
        for host in self.standing() {
            for bundle in &everything {
                if !self.searchable_at(host, bundle)? {
                    return Ok(Some((host, *bundle)));
                }
            }
        }
        Ok(None)
    }

    /// Asks every honest store for every acknowledged publication, as a person
    /// would, and compares what comes with what was published.
    pub(crate) fn lost(&self) -> Result<Option<String>, StoreError> {
        for host in self.standing() {
            for acknowledged in &self.acknowledged {
                if let Some(why) = self.lost_at(host, acknowledged)? {
                    let Acknowledged { bundle, author, .. } = acknowledged;
                    return Ok(Some(format!(
                        "lost: {bundle} of host {author} at host {host}: {why}"
                    )));
                }
            }
        }
        Ok(None)
    }

    fn lost_at(
        &self,
        number: usize,
        acknowledged: &Acknowledged,
    ) -> Result<Option<&'static str>, StoreError> {
        let Some(host) = self.hosts.get(number) else {
            return Ok(Some("no such host"));
        };
        let asker = Asker {
            reader: Reader::Public,
            roster: &host.known.roster,
            wall_ms: host.now(self.now_us()).wall_ms,
        };
        let query = Query::new(&host.disk, asker);
        let found = query.by_values(core::slice::from_ref(&acknowledged.index_key), 4)?;
        if !found
            .hits
            .iter()
            .any(|hit| hit.value().bundle == acknowledged.bundle)
        {
            return Ok(Some("its value is not found"));
        }
        let Some(payload) = query.payload(&acknowledged.bundle)? else {
            return Ok(Some("its payload is absent"));
        };
        if sha256(&payload.value().stix) != acknowledged.stix {
            return Ok(Some("its payload is not what was published"));
        }
        Ok(None)
    }

    /// An envelope of an honest author at whose place an honest host keeps
    /// another: honest authors never contradict themselves.
    pub(crate) fn honest_conflict(&self) -> Option<(usize, EnvelopeId)> {
        self.conflicts
            .iter()
            .find(|(_, author, _)| self.is_honest_member(author))
            .map(|(host, _, id)| (*host, *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watch_finds_what_was_planted_and_nothing_else() {
        let mut watch = LeakWatch::default();
        watch.scan("here", &[b'z'; 1_000]);
        watch.scan("here", b"zqplante");
        assert_eq!(watch.leak(), None);
        let long = [vec![0; 500], PLANTED.as_bytes().to_vec(), vec![0; 500]].concat();
        watch.scan("in a long value", &long);
        watch.scan("later", PLANTED.as_bytes());
        assert_eq!(watch.leak(), Some("planted bytes in a long value"));
    }
}
