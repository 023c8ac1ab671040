//! Searches: places out of the ordered index, and what a hit shows of each.

use super::{Facts, Found, Hit, Query, Versions};
use crate::ids::MemberId;
use crate::limits::{SEARCH_PAGE_BLOCKS, SEARCH_PLACES_MAX, SEARCH_VERSIONS_MAX};
use crate::policy::{Action, Release, Subject, release};
use crate::store::{Store, StoreError};
use crate::table::blocks::{Block, seek};
use crate::table::rows::{self, Filed};
use crate::table::{self, Arrival, Row};
use crate::wire::Text;
use std::collections::{BTreeMap, BTreeSet};

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
            places_left: SEARCH_PLACES_MAX,
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

/// The places of entries that begin so, in order, read page by page.
struct Places<'a, S> {
    store: &'a S,
    beginning: Vec<u8>,
    /// The fence of the last block read, or the beginning.
    through: Vec<u8>,
    /// Whether a block has been read.
    is_under_way: bool,
    page: std::vec::IntoIter<(Arrival, u32)>,
    is_last: bool,
}

impl<'a, S: Store> Places<'a, S> {
    fn under(store: &'a S, beginning: Vec<u8>) -> Self {
        Self {
            store,
            through: beginning.clone(),
            beginning,
            is_under_way: false,
            page: Vec::new().into_iter(),
            is_last: false,
        }
    }

    fn next(&mut self) -> Result<Option<(Arrival, u32)>, StoreError> {
        loop {
            if let Some(place) = self.page.next() {
                return Ok(Some(place));
            }
            if self.is_last {
                return Ok(None);
            }
            self.read()?;
        }
    }

    /// Reads the next blocks: one at first, which is mostly all there is.
    fn read(&mut self) -> Result<(), StoreError> {
        let limit = if self.is_under_way {
            SEARCH_PAGE_BLOCKS
        } else {
            1
        };
        let table = self.beginning.get(..1).unwrap_or_default();
        let page = self.store.scan(table, &seek(&self.through), limit)?;
        // Nothing at all is filed, since the last fence is above everything.
        self.is_last = page.is_empty();
        let mut places = Vec::new();
        for (at, (key, value)) in page.iter().enumerate() {
            let block = Block::read(key, value)?;
            let follows = if self.is_under_way {
                block.from() == self.through
            } else {
                block.from() <= self.through.as_slice()
            };
            if !follows {
                if at > 0 {
                    // It was cut since the one before was read: its lower part
                    // comes with the next page.
                    break;
                }
                // At each moment the first block above a fence begins there.
                return Err(StoreError::Damaged {
                    key: hex::encode(key),
                });
            }
            places.extend(block.places(&self.beginning)?);
            self.is_under_way = true;
            self.through.clone_from(key);
            self.is_last = !key.starts_with(&self.beginning);
            if self.is_last {
                break;
            }
        }
        self.page = places.into_iter();
        Ok(())
    }
}

impl<S: Store> Query<'_, S> {
    /// What holds a value whose key begins with one of these, in the order of
    /// the keys, at most `limit`, each object once.
    ///
    /// # Errors
    /// When the store fails.
    pub fn by_values(&self, beginnings: &[Vec<u8>], limit: usize) -> Result<Found, StoreError> {
        let beginnings = beginnings.iter();
        self.hits(
            beginnings.map(|beginning| table::values_beginning(beginning)),
            limit,
        )
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
        beginnings: impl Iterator<Item = Vec<u8>>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let mut hits = Vec::new();
        let mut seen = BTreeSet::new();
        let mut reading = Reading::new();
        for beginning in beginnings {
            let mut places = Places::under(self.store, beginning);
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
        let Some((filed, row)) = self.row(arrival, object)? else {
            return Ok(None);
        };
        let standing = self.standing(&Facts {
            quarantine: self.quarantine(arrival)?,
            author: filed.author,
            not_after_ms: filed.not_after_ms,
            exercise: filed.exercise,
            relay_allowed: filed.relay_allowed,
        })?;
        let latest = self.latest(&row.id, &filed.author, reading)?;
        let hit = Hit {
            bundle: filed.bundle,
            author: filed.author,
            received_ms: filed.received_ms,
            not_after_ms: filed.not_after_ms,
            exercise: filed.exercise,
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

    /// What was filed of an object. An entry can be there before its row: the
    /// bundle is then still being filed, and not to be found yet.
    fn row(&self, arrival: Arrival, object: u32) -> Result<Option<(Filed, Row)>, StoreError> {
        let (key, at) = rows::place(arrival, object);
        match self.store.get(&key)? {
            Some(block) => rows::read(&key, &block, at),
            None => Ok(None),
        }
    }

    /// The latest `modified` of one author's objects of an id, where there is
    /// more than one. A clock far in the future in somebody else's says nothing
    /// about them.
    fn latest(
        &self,
        id: &Text<256>,
        author: &MemberId,
        reading: &mut Reading,
    ) -> Result<Option<u64>, StoreError> {
        if let Some(latest) = reading.latest.get(id) {
            return Ok(latest.get(author).copied());
        }
        // Nearly every object has one place, and this small table says so.
        let repeated = table::repeated(id.as_str().as_bytes());
        if self.store.get(&repeated)?.is_none() {
            return Ok(None);
        }
        let mut latest: BTreeMap<MemberId, u64> = BTreeMap::new();
        let mut places = Places::under(self.store, table::objects(id.as_str()));
        let mut versions_left = SEARCH_VERSIONS_MAX;
        while versions_left > 0
            && let Some((arrival, object)) = places.next()?
            && reading.may_read()
        {
            versions_left -= 1;
            let Some((filed, row)) = self.row(arrival, object)? else {
                continue;
            };
            let modified_ms = latest.entry(filed.author).or_default();
            *modified_ms = row.modified_ms.max(*modified_ms);
        }
        let of_author = latest.get(author).copied();
        reading.latest.insert(id.clone(), latest);
        Ok(of_author)
    }
}
