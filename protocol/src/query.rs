//! Questions of people: what is known of a value, what an object says, how a
//! bundle stands. Each answer is one release: what the policy does not let go
//! is not in it, as if it were not there.
//!
//! `search.rs` reads the index alone: a hit is what was filed when its bundle was
//! opened. `records.rs` reads the log, and checks again what it shows of it.

mod held_back;
mod records;
mod search;

use crate::engine::{Accepted, HELD_BACK_BYTES_MAX, HeldBack, Quarantine};
use crate::ids::{BundleId, EnvelopeId, MemberId};
use crate::limits::DISTRUSTED_MAX;
use crate::marking::Marking;
use crate::policy::{
    AllowRelay, AuthorStanding, Exercise, Life, Marked, Membership, Operator, Reader, Release,
    Standing,
};
use crate::roster::Roster;
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, Outcome, Row};
use crate::wire::bundle::Bundle;
use crate::wire::codec;
use bincode::{Decode, Encode};
use core::cell::OnceCell;
use std::collections::BTreeSet;

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
    /// Why it is not believed here, if it is not.
    pub quarantine: Option<Quarantine>,
    /// That a person here accepted what was held back.
    pub accepted: Option<Accepted>,
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

pub use held_back::{HeldBackList, HeldBackRecord};

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

/// Asks of a store.
pub struct Query<'a, S> {
    store: &'a S,
    asker: Asker<'a>,
    /// Read once.
    distrusted: OnceCell<BTreeSet<MemberId>>,
}

impl<'a, S: Store> Query<'a, S> {
    /// Questions of one asker.
    pub const fn new(store: &'a S, asker: Asker<'a>) -> Self {
        Self {
            store,
            asker,
            distrusted: OnceCell::new(),
        }
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

    /// Whether this node distrusts a member: what is shown of it is marked so.
    ///
    /// # Errors
    /// When the store fails.
    pub fn distrusts(&self, member: &MemberId) -> Result<bool, StoreError> {
        if let Some(distrusted) = self.distrusted.get() {
            return Ok(distrusted.contains(member));
        }
        let held = self
            .store
            .scan(table::DISTRUSTED, table::DISTRUSTED, DISTRUSTED_MAX)?;
        let distrusted: BTreeSet<MemberId> = held
            .iter()
            .filter_map(|(key, _)| table::distrusted_of(key))
            .collect();
        Ok(self.distrusted.get_or_init(|| distrusted).contains(member))
    }

    /// What the policy asks about a bundle, as its author signed it.
    fn standing(&self, facts: &Facts) -> Result<Standing, StoreError> {
        let life = if facts.not_after_ms <= self.asker.wall_ms {
            Life::Expired
        } else {
            Life::Live
        };
        let is_known = self.asker.roster.present_or_former(&facts.author).is_some();
        let author = if !is_known || facts.quarantine.is_some() {
            AuthorStanding::Quarantined
        } else if self.distrusts(&facts.author)? {
            AuthorStanding::Distrusted
        } else {
            AuthorStanding::Ok
        };
        Ok(Standing {
            life,
            roster: crate::policy::Roster::Fresh,
            subject: Membership::Current,
            author,
            relay: if facts.relay_allowed {
                AllowRelay::Given
            } else {
                AllowRelay::Withheld
            },
            exercise: if facts.exercise {
                Exercise::Drill
            } else {
                Exercise::Real
            },
            operator: Operator::Silent,
        })
    }

    /// The standing of a bundle, for explanations.
    ///
    /// # Errors
    /// When the store fails.
    pub fn standing_of(&self, record: &BundleRecord) -> Result<Standing, StoreError> {
        self.standing(&Facts::of(&record.statement, record.quarantine))
    }

    /// Why an envelope is not believed here, if it is not.
    fn quarantine(&self, arrival: Arrival) -> Result<Option<Quarantine>, StoreError> {
        let held: Option<HeldBack> = self.get(&table::quarantine(arrival), HELD_BACK_BYTES_MAX)?;
        Ok(held.and_then(|held| held.reasons.first()))
    }
}

/// What of a bundle the policy asks about.
struct Facts {
    quarantine: Option<Quarantine>,
    author: MemberId,
    not_after_ms: u64,
    exercise: bool,
    relay_allowed: bool,
}

impl Facts {
    const fn of(bundle: &Bundle, quarantine: Option<Quarantine>) -> Self {
        Self {
            quarantine,
            author: bundle.author,
            not_after_ms: bundle.not_after_ms,
            exercise: bundle.exercise,
            relay_allowed: bundle.relay_allowed,
        }
    }
}

#[cfg(test)]
mod tests;
