//! What the log says: bundles, and the STIX in them, checked again on the way out.

use super::{BundleRecord, Facts, Hit, ObjectBytes, Query};
use crate::engine::header_of_frame;
use crate::gate::{Content, check};
use crate::ids::BundleId;
use crate::limits::{CHUNKS_MAX, FRAME_BYTES_MAX};
use crate::opening::{first_part, plain};
use crate::policy::{Action, Release, Subject, release};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, LogEntry, Outcome};
use crate::wire::bundle::Bundle;

impl<S: Store> Query<'_, S> {
    /// A bundle by its id.
    ///
    /// # Errors
    /// When the store fails.
    pub fn bundle(&self, id: &BundleId) -> Result<Option<Release<BundleRecord>>, StoreError> {
        let Some(arrival) = self.get::<Arrival>(&table::bundle(id), 9)? else {
            return Ok(None);
        };
        let Some(record) = self.record_at(arrival)? else {
            return Ok(None);
        };
        let standing = self.standing_of(&record)?;
        Ok(release(
            Action::Show,
            Subject::Reader(self.asker.reader),
            standing,
            record,
        )
        .ok())
    }

    /// Every bundle held, in the order of arrival, from one arrival on.
    ///
    /// # Errors
    /// When the store fails.
    pub fn bundles(
        &self,
        from: Arrival,
        limit: usize,
    ) -> Result<Vec<(Arrival, Release<BundleRecord>)>, StoreError> {
        let mut bundles = Vec::new();
        for (key, _) in self.store.scan(b"L", &table::log(from), limit)? {
            let Some(arrival) = table::arrival_of(&key) else {
                continue;
            };
            if let Some(record) = self.record_at(arrival)? {
                let standing = self.standing_of(&record)?;
                let released = release(
                    Action::Show,
                    Subject::Reader(self.asker.reader),
                    standing,
                    record,
                );
                bundles.extend(released.ok().map(|record| (arrival, record)));
            }
        }
        Ok(bundles)
    }

    /// The bytes of an object that a search found.
    ///
    /// # Errors
    /// When the store fails.
    pub fn object_bytes(
        &self,
        hit: &Release<Hit>,
    ) -> Result<Option<Release<ObjectBytes>>, StoreError> {
        let hit = hit.value();
        let Some(arrival) = self.get::<Arrival>(&table::bundle(&hit.bundle), 9)? else {
            return Ok(None);
        };
        let Some(plain) = self.plain_at(arrival)? else {
            return Ok(None);
        };
        let range = usize::try_from(hit.row.offset)
            .ok()
            .zip(usize::try_from(hit.row.length).ok());
        let stix = range.and_then(|(at, length)| plain.1.get(at..at.saturating_add(length)));
        let Some(stix) = stix.map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        let bytes = ObjectBytes {
            marking: hit.row.marking,
            stix,
        };
        let standing = self.standing(&Facts::of(&plain.0, self.quarantine(arrival)?))?;
        Ok(release(
            Action::Show,
            Subject::Reader(self.asker.reader),
            standing,
            bytes,
        )
        .ok())
    }

    /// The STIX of a bundle, byte for byte.
    ///
    /// # Errors
    /// When the store fails.
    pub fn payload(&self, id: &BundleId) -> Result<Option<Release<ObjectBytes>>, StoreError> {
        let Some(arrival) = self.get::<Arrival>(&table::bundle(id), 9)? else {
            return Ok(None);
        };
        let Some((statement, stix)) = self.plain_at(arrival)? else {
            return Ok(None);
        };
        let bytes = ObjectBytes {
            marking: statement.marking,
            stix,
        };
        let standing = self.standing(&Facts::of(&statement, self.quarantine(arrival)?))?;
        Ok(release(
            Action::Show,
            Subject::Reader(self.asker.reader),
            standing,
            bytes,
        )
        .ok())
    }

    fn entry(&self, arrival: Arrival) -> Result<Option<LogEntry>, StoreError> {
        self.get(&table::log(arrival), FRAME_BYTES_MAX + 64)
    }

    /// What the log says of a bundle, if it was opened or waits to be. One that
    /// was refused is shown to nobody.
    fn record_at(&self, arrival: Arrival) -> Result<Option<BundleRecord>, StoreError> {
        let outcome: Option<Outcome> = self.get(&table::outcome(arrival), 1_024)?;
        if matches!(
            outcome,
            Some(Outcome::Refused { .. } | Outcome::NeedsUpgrade)
        ) {
            return Ok(None);
        }
        let Some(entry) = self.entry(arrival)? else {
            return Ok(None);
        };
        let Some(logged) = header_of_frame(entry.frame.as_slice()) else {
            return Ok(None);
        };
        let quarantine = self.quarantine(arrival)?;
        let accepted = self.accepted(&logged.id)?;
        Ok(logged.bundle.map(|(bundle, statement)| BundleRecord {
            bundle,
            envelope: logged.id,
            author: logged.header.prefix.author,
            statement,
            received_ms: entry.received_ms,
            outcome,
            quarantine,
            accepted,
        }))
    }

    /// Statement and STIX, checked again on the way from the disk.
    fn plain_at(&self, arrival: Arrival) -> Result<Option<(Bundle, Vec<u8>)>, StoreError> {
        let key = table::log(arrival);
        let damaged = || StoreError::Damaged {
            key: hex::encode(&key),
        };
        // Only what was opened: until then nobody has compared its marking with
        // what is inside.
        let outcome: Option<Outcome> = self.get(&table::outcome(arrival), 1_024)?;
        if !matches!(outcome, Some(Outcome::Opened { .. })) {
            return Ok(None);
        }
        let Some(entry) = self.entry(arrival)? else {
            return Ok(None);
        };
        let frame = check(entry.frame.as_slice(), self.asker.roster).map_err(|_| damaged())?;
        let id = crate::gate::envelope_id(&frame);
        let Content::Bundle(bundle) = frame.value().content() else {
            return Ok(None);
        };
        let pulled = match frame.value().payload() {
            Some(payload) => payload.to_vec(),
            None => {
                let chunks =
                    self.store
                        .scan(&table::chunks(&id), &table::chunks(&id), CHUNKS_MAX)?;
                chunks.into_iter().flat_map(|(_, chunk)| chunk).collect()
            }
        };
        let plain = plain(bundle.value(), &pulled).map_err(|_| damaged())?;
        let stix = first_part(bundle.value(), &plain)
            .ok_or_else(damaged)?
            .to_vec();
        Ok(Some((bundle.value().clone(), stix)))
    }
}
