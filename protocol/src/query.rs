//! Questions of people: what is known of a value, what an object says, how a
//! bundle stands. Each answer is one release: what the policy does not let go
//! is not in it, as if it were not there.

use crate::engine::header_of_frame;
use crate::gate::{Content, check};
use crate::ids::{BundleId, EnvelopeId, MemberId};
use crate::limits::{CHUNKS_MAX, FRAME_BYTES_MAX};
use crate::marking::Marking;
use crate::opening::{first_part, plain};
use crate::policy::{
    Action, AllowRelay, AuthorStanding, Exercise, Life, Marked, Membership, Operator, Reader,
    Release, Standing, Subject, release,
};
use crate::roster::Roster;
use crate::store::{Entry, Store, StoreError};
use crate::table::{self, Arrival, LogEntry, Outcome, ROWS_PER_BLOCK, Row, Rows};
use crate::wire::Text;
use crate::wire::bundle::Bundle;
use crate::wire::codec;
use bincode::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// One object that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The object.
    pub row: Row,
    /// Its bundle.
    pub bundle: BundleId,
    /// Its author.
    pub author: MemberId,
    /// When this node took it, in milliseconds UTC.
    pub received_ms: u64,
    /// When it ceases to be valid, in milliseconds UTC.
    pub not_after_ms: u64,
    /// Drill data.
    pub exercise: bool,
    /// Whether its author's own object of the same id is newer here. Another
    /// member's never is, whatever time it names.
    pub superseded: bool,
}

impl Marked for Hit {
    fn marking(&self) -> Marking {
        self.row.marking
    }
}

/// A bundle as this node holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRecord {
    /// Its id.
    pub bundle: BundleId,
    /// What carried it.
    pub envelope: EnvelopeId,
    /// Its author.
    pub author: MemberId,
    /// Its statement.
    pub statement: Bundle,
    /// When this node took it, in milliseconds UTC.
    pub received_ms: u64,
    /// What came of opening it; none while it waits.
    pub outcome: Option<Outcome>,
}

impl Marked for BundleRecord {
    fn marking(&self) -> Marking {
        self.statement.marking
    }
}

/// An object's own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectBytes {
    /// Its marking.
    pub marking: Marking,
    /// STIX, byte for byte as its author sent it.
    pub stix: Vec<u8>,
}

impl Marked for ObjectBytes {
    fn marking(&self) -> Marking {
        self.marking
    }
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// As what the policy sees them.
    pub reader: Reader,
    /// The members.
    pub roster: &'a Roster,
    /// Now, in milliseconds UTC.
    pub wall_ms: u64,
}

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// What may be shown, in the order of the keys, each object once.
    pub hits: Vec<Release<Hit>>,
    /// Whether it stopped before the end: there is more than was asked for, or
    /// as many places as one search reads were read.
    pub more: bool,
}

/// An object that may be here in several versions and from several members.
#[derive(Debug)]
pub struct Versions {
    /// The newest version of the member whose object of that id arrived first.
    pub newest: Release<Hit>,
    /// The other members of whom an object of that id is here. An id is not
    /// anybody's own: anyone may use it once it is known.
    pub others: BTreeSet<MemberId>,
}

/// What one question has read so far.
struct Reading {
    places_left: usize,
    /// Whether something was left unread.
    stopped: bool,
    /// The latest `modified` of each author, by the id of the object.
    latest: BTreeMap<Text<256>, BTreeMap<MemberId, u64>>,
}

impl Reading {
    const fn new() -> Self {
        Self {
            places_left: PLACES_MAX,
            stopped: false,
            latest: BTreeMap::new(),
        }
    }

    /// Whether one more place may be read.
    const fn may_read(&mut self) -> bool {
        self.stopped = self.places_left == 0;
        self.places_left = self.places_left.saturating_sub(1);
        !self.stopped
    }
}

/// Places of one id read at most to tell what is superseded: more than a member
/// publishes of one object in five years of five versions a day, and few enough
/// that ten crowded ids do not stop a search.
const VERSIONS_MAX: usize = 10_000;

/// Places read at most in one search. One object has at most 10,000 in one
/// pattern, so one search sees past ten objects that crowd a name with
/// sub-domains. A place costs a read of the store and a frame of 48 KiB decoded
/// at most, some 50 us: seconds at worst.
const PLACES_MAX: usize = 100_000;

/// Places read at a time: 1,024 keys of at most some 4 KiB, 4 MiB.
const PAGE_PLACES: usize = 1_024;

/// The places under a prefix, in the order of their keys, read page by page.
struct Places<'a, S> {
    store: &'a S,
    prefix: Vec<u8>,
    from: Vec<u8>,
    page: std::vec::IntoIter<Entry>,
    is_last: bool,
}

impl<'a, S: Store> Places<'a, S> {
    fn under(store: &'a S, prefix: Vec<u8>) -> Self {
        Self {
            store,
            from: prefix.clone(),
            prefix,
            page: Vec::new().into_iter(),
            is_last: false,
        }
    }

    fn next(&mut self) -> Result<Option<(Arrival, u32)>, StoreError> {
        loop {
            for (key, _) in self.page.by_ref() {
                if let Some(place) = table::place_at_end(&key) {
                    return Ok(Some(place));
                }
            }
            if self.is_last {
                return Ok(None);
            }
            let page = self.store.scan(&self.prefix, &self.from, PAGE_PLACES)?;
            self.is_last = page.len() < PAGE_PLACES;
            if let Some((last, _)) = page.last() {
                // The smallest key above it.
                self.from.clone_from(last);
                self.from.push(0);
            }
            self.page = page.into_iter();
        }
    }
}

/// Asks of a store.
pub struct Query<'a, S> {
    store: &'a S,
    asker: Asker<'a>,
}

impl<'a, S: Store> Query<'a, S> {
    /// Questions of one asker.
    pub const fn new(store: &'a S, asker: Asker<'a>) -> Self {
        Self { store, asker }
    }

    fn get<T: Decode<()> + Encode>(
        &self,
        key: &[u8],
        bytes_max: usize,
    ) -> Result<Option<T>, StoreError> {
        let damaged = |_| StoreError::Damaged {
            key: hex::encode(key),
        };
        self.store
            .get(key)?
            .map(|bytes| codec::decode(&bytes, bytes_max).map_err(damaged))
            .transpose()
    }

    /// What holds a value whose key begins with one of these, in the order of
    /// the keys, at most `limit`, each object once.
    ///
    /// # Errors
    /// When the store fails.
    pub fn by_values(&self, beginnings: &[Vec<u8>], limit: usize) -> Result<Found, StoreError> {
        let prefixes = beginnings
            .iter()
            .map(|beginning| table::values_beginning(beginning));
        self.hits(prefixes, limit)
    }

    /// Every version of an object.
    ///
    /// # Errors
    /// When the store fails.
    pub fn by_object(&self, id: &str, limit: usize) -> Result<Found, StoreError> {
        self.hits(core::iter::once(table::objects(id)), limit)
    }

    fn hits(
        &self,
        prefixes: impl Iterator<Item = Vec<u8>>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let mut hits = Vec::new();
        let mut seen = BTreeSet::new();
        let mut reading = Reading::new();
        for prefix in prefixes {
            let mut places = Places::under(self.store, prefix);
            while let Some((arrival, object)) = places.next()? {
                if !reading.may_read() {
                    return Ok(Found { hits, more: true });
                }
                if !seen.insert((arrival, object)) {
                    continue;
                }
                let Some(hit) = self.hit(arrival, object, &mut reading)? else {
                    continue;
                };
                if hits.len() >= limit {
                    return Ok(Found { hits, more: true });
                }
                hits.push(hit);
            }
        }
        let more = reading.stopped;
        Ok(Found { hits, more })
    }

    /// An object by its id, as its first author has it now.
    ///
    /// # Errors
    /// When the store fails.
    pub fn versions(&self, id: &str) -> Result<Option<Versions>, StoreError> {
        let mut reading = Reading::new();
        let mut places = Places::under(self.store, table::objects(id));
        let mut versions: Option<Versions> = None;
        while let Some((arrival, object)) = places.next()?
            && reading.may_read()
        {
            let Some(hit) = self.hit(arrival, object, &mut reading)? else {
                continue;
            };
            let Some(held) = &mut versions else {
                versions = Some(Versions {
                    newest: hit,
                    others: BTreeSet::new(),
                });
                continue;
            };
            let (new, newest) = (hit.value(), held.newest.value());
            if new.author != newest.author {
                held.others.insert(new.author);
            } else if (new.row.modified_ms, new.received_ms)
                >= (newest.row.modified_ms, newest.received_ms)
            {
                held.newest = hit;
            }
        }
        Ok(versions)
    }

    fn hit(
        &self,
        arrival: Arrival,
        object: u32,
        reading: &mut Reading,
    ) -> Result<Option<Release<Hit>>, StoreError> {
        let (Some(row), Some(record)) = (self.row(arrival, object)?, self.record_at(arrival)?)
        else {
            return Ok(None);
        };
        let standing = self.standing(&record.statement);
        let latest = self.latest(&row.id, &record.author, reading)?;
        let hit = Hit {
            bundle: record.bundle,
            author: record.author,
            received_ms: record.received_ms,
            not_after_ms: record.statement.not_after_ms,
            exercise: record.statement.exercise,
            superseded: latest.is_some_and(|latest| latest > row.modified_ms),
            row,
        };
        Ok(release(
            Action::Show,
            Subject::Reader(self.asker.reader),
            standing,
            hit,
        )
        .ok())
    }

    fn row(&self, arrival: Arrival, object: u32) -> Result<Option<Row>, StoreError> {
        let rows: Option<Rows> =
            self.get(&table::rows(arrival, object / ROWS_PER_BLOCK), 1 << 16)?;
        let at = usize::try_from(object % ROWS_PER_BLOCK).unwrap_or(usize::MAX);
        Ok(rows.and_then(|rows| rows.as_slice().get(at).cloned()))
    }

    /// The latest `modified` of one author's objects of an id. A clock far in
    /// the future in somebody else's says nothing about them.
    fn latest(
        &self,
        id: &Text<256>,
        author: &MemberId,
        reading: &mut Reading,
    ) -> Result<Option<u64>, StoreError> {
        if let Some(latest) = reading.latest.get(id) {
            return Ok(latest.get(author).copied());
        }
        let mut latest: BTreeMap<MemberId, u64> = BTreeMap::new();
        let mut places = Places::under(self.store, table::objects(id.as_str()));
        let mut versions_left = VERSIONS_MAX;
        while versions_left > 0
            && let Some((arrival, object)) = places.next()?
            && reading.may_read()
        {
            versions_left -= 1;
            let (Some(row), Some(record)) = (self.row(arrival, object)?, self.record_at(arrival)?)
            else {
                continue;
            };
            let modified_ms = latest.entry(record.author).or_default();
            *modified_ms = row.modified_ms.max(*modified_ms);
        }
        let of_author = latest.get(author).copied();
        reading.latest.insert(id.clone(), latest);
        Ok(of_author)
    }

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
        let standing = self.standing(&record.statement);
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
                let standing = self.standing(&record.statement);
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
        let standing = self.standing(&plain.0);
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
        let standing = self.standing(&statement);
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
        Ok(logged.bundle.map(|(bundle, statement)| BundleRecord {
            bundle,
            envelope: logged.id,
            author: logged.header.prefix.author,
            statement,
            received_ms: entry.received_ms,
            outcome,
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

    fn standing(&self, bundle: &Bundle) -> Standing {
        let life = if bundle.not_after_ms <= self.asker.wall_ms {
            Life::Expired
        } else {
            Life::Live
        };
        let author = if self.asker.roster.member(&bundle.author).is_some() {
            AuthorStanding::Ok
        } else {
            AuthorStanding::Quarantined
        };
        Standing {
            life,
            roster: crate::policy::Roster::Fresh,
            subject: Membership::Current,
            author,
            relay: if bundle.relay_allowed {
                AllowRelay::Given
            } else {
                AllowRelay::Withheld
            },
            exercise: if bundle.exercise {
                Exercise::Drill
            } else {
                Exercise::Real
            },
            operator: Operator::Silent,
        }
    }

    /// The standing of a bundle, for explanations.
    pub fn standing_of(&self, record: &BundleRecord) -> Standing {
        self.standing(&record.statement)
    }
}

#[cfg(test)]
mod tests;
