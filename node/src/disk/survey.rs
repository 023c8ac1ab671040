//! What a store holds, counted: `watchfire store stats`.

use watchfire_protocol::limits::FRAME_BYTES_MAX;
use watchfire_protocol::store::StoreError;
use watchfire_protocol::table::Outcome;
use watchfire_protocol::wire::codec;

use super::SledStore;
use super::tables::{self, OTHER, TABLES};

/// One table, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableCount {
    /// Its name.
    pub name: &'static str,
    /// Whether it is truth; the others can be made again from it.
    pub is_truth: bool,
    /// How many entries it has, damaged ones included.
    pub entries: u64,
    /// Bytes of keys and sound values, before the database's own overhead.
    pub bytes: u64,
}

/// A store, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Every table that has entries, in key order.
    pub tables: Vec<TableCount>,
    /// Envelopes, whole or as headers.
    pub envelopes: u64,
    /// Bundles in clear.
    pub bundles: u64,
    /// STIX objects of bundles that were opened.
    pub objects: u64,
    /// Values by which they can be found.
    pub values: u64,
    /// Bodies still to be fetched.
    pub awaited: u64,
    /// Bundles still to be opened.
    pub unopened: u64,
    /// Frames kept as evidence.
    pub evidence: u64,
    /// Values that do not carry their checksums.
    pub damaged: u64,
}

/// Counts what a store holds, reading everything.
///
/// # Errors
/// When the database cannot be walked to its end.
pub fn survey(store: &SledStore) -> Result<Survey, StoreError> {
    let mut counts = Counts::default();
    let mut found = Survey::default();
    store.walk(|key, value| {
        counts.add(key, value);
        let Some(value) = value else {
            found.damaged += 1;
            return Ok(());
        };
        if key.first() == Some(&b'O')
            && let Ok(Outcome::Opened {
                objects, values, ..
            }) = codec::decode(value, FRAME_BYTES_MAX)
        {
            found.objects = found.objects.saturating_add(objects);
            found.values = found.values.saturating_add(values);
        }
        Ok(())
    })?;
    counts.into_survey(&mut found);
    Ok(found)
}

/// Counts by table.
#[derive(Debug)]
pub(crate) struct Counts([TableCount; TABLES.len() + 1]);

impl Default for Counts {
    fn default() -> Self {
        let mut all = TABLES.into_iter().chain([OTHER]);
        Self(core::array::from_fn(|_| {
            let table = all.next().unwrap_or(OTHER);
            TableCount {
                name: table.name,
                is_truth: table.is_truth,
                entries: 0,
                bytes: 0,
            }
        }))
    }
}

impl Counts {
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        let name = tables::of(key).name;
        if let Some(count) = self.0.iter_mut().find(|count| count.name == name) {
            count.entries += 1;
            let bytes = key.len() + value.map_or(0, <[u8]>::len);
            count.bytes = count.bytes.saturating_add(bytes as u64);
        }
    }

    fn of(&self, name: &str) -> u64 {
        let found = self.0.iter().find(|count| count.name == name);
        found.map_or(0, |count| count.entries)
    }

    pub(crate) fn entries(&self) -> u64 {
        self.0.iter().map(|count| count.entries).sum()
    }

    fn into_survey(self, found: &mut Survey) {
        found.envelopes = self.of("log") + self.of("retained-headers");
        found.bundles = self.of("bundles");
        found.awaited = self.of("awaited-bodies");
        found.unopened = self.of("unopened");
        found.evidence = self.of("evidence");
        found.tables = self
            .0
            .into_iter()
            .filter(|count| count.entries > 0)
            .collect();
    }
}
