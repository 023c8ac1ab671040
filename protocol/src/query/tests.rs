//! Searches that somebody crowds, and ids that somebody takes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::*;
use crate::engine::header_of_frame;
use crate::engine::tests::room::{Node, WALL_MS, keys};
use crate::indicator::detect;
use crate::limits::{INDEX_BLOCK_BYTES, SEARCH_PLACES_MAX};
use crate::store::{Batch, MemoryStore};
use crate::table::rows::{self, Filed};
use crate::table::{self, Arrival, LogEntry, blocks};
use crate::wire::{Bytes, Text};
use std::sync::Arc;

const ID: &str = "indicator--44444444-4444-4444-8444-444444444444";

/// A store with genuine frames, and rows and keys as a test wants them.
struct Shelf {
    store: MemoryStore,
    roster: Arc<Roster>,
    authors: Vec<Node>,
    next: Arrival,
}

impl Shelf {
    fn new() -> Self {
        let authors: Vec<Node> = (0..3).map(Node::start).collect();
        Self {
            store: MemoryStore::default(),
            roster: authors[0].engine.roster(),
            authors,
            next: 0,
        }
    }

    fn member(author: u64) -> MemberId {
        MemberId::of_root(&keys(author).root.public())
    }

    /// A bundle of one object of that id and version, found by these values.
    fn add(&mut self, author: usize, id: &str, modified_ms: u64, values: &[String]) -> Arrival {
        let frame = self.authors[author].frame_of(&format!("n{}", self.next), 10);
        let logged = header_of_frame(&frame).unwrap();
        let arrival = self.next;
        self.next += 1;
        let row = Row {
            id: Text::new(id).unwrap(),
            kind: Text::new("indicator").unwrap(),
            name: Text::new("").unwrap(),
            modified_ms,
            marking: Marking::Clear,
            offset: 0,
            length: 2,
        };
        let entry = LogEntry {
            received_ms: WALL_MS + arrival,
            frame: Bytes::new(frame).unwrap(),
        };
        let outcome = Outcome::Opened {
            objects: 1,
            values: values.len() as u64,
            not_indexed: 0,
        };
        let mut batch = Batch::default();
        batch.put(table::log(arrival), codec::encode(&entry));
        batch.put(table::outcome(arrival), codec::encode(&outcome));
        batch.put(
            table::bundle(&logged.bundle.as_ref().unwrap().0),
            codec::encode(&arrival),
        );
        let (bundle, statement) = logged.bundle.unwrap();
        let filed = Filed {
            bundle,
            author: statement.author,
            received_ms: WALL_MS + arrival,
            not_after_ms: statement.not_after_ms,
            exercise: statement.exercise,
            relay_allowed: statement.relay_allowed,
        };
        for (key, block) in rows::blocks(arrival, &filed, &[row]) {
            batch.put(key, block);
        }
        let keys = values
            .iter()
            .map(|value| detect(value).unwrap().index_key());
        let mut entries: Vec<Vec<u8>> = keys
            .filter_map(|key| table::value(&key, arrival, 0))
            .chain(table::object(id, arrival, 0))
            .collect();
        entries.sort_unstable();
        let first_from = |table: u8, from: &[u8]| Ok(self.store.scan(&[table], from, 1)?.pop());
        let mut repeated = Vec::new();
        let writes = blocks::insert(&entries, INDEX_BLOCK_BYTES, first_from, |key| {
            repeated.extend(table::repeated_object(key));
        });
        for (key, block) in writes.unwrap().writes {
            batch.put(key, block);
        }
        for key in repeated {
            batch.put(key, Vec::new());
        }
        self.store.apply(&batch).unwrap();
        arrival
    }

    fn query(&self) -> Query<'_, MemoryStore> {
        let asker = Asker {
            reader: Reader::LocalPerson,
            roster: &self.roster,
            wall_ms: WALL_MS,
        };
        Query::new(&self.store, asker)
    }

    fn below(&self, domain: &str, limit: usize) -> Found {
        let prefix = detect(domain).unwrap().subdomain_prefix().unwrap();
        self.query().by_values(&[prefix], limit).unwrap()
    }
}

fn id(number: u64) -> String {
    format!("indicator--44444444-4444-4444-8444-{number:012}")
}

/// Sub-domains that sort before every honest one.
fn crowd(of: u64, count: u64) -> Vec<String> {
    (0..count)
        .map(|number| format!("a{of}-{number}.evil.example"))
        .collect()
}

#[test]
fn three_objects_with_thousands_of_names_hide_nobody() {
    let mut shelf = Shelf::new();
    for number in 0..3 {
        shelf.add(1, &id(number), 1, &crowd(number, 5_000));
    }
    shelf.add(0, &id(9), 1, &["www.evil.example".to_owned()]);
    let found = shelf.below("evil.example", 10);
    assert_eq!(found.hits.len(), 4);
    assert!(!found.more);
    let honest = |hit: &Release<Hit>| hit.value().author == Shelf::member(0);
    assert!(found.hits.iter().any(honest));
}

#[test]
fn a_search_says_when_it_stopped_before_the_end() {
    let mut shelf = Shelf::new();
    for number in 0..4 {
        shelf.add(0, &id(number), 1, &crowd(number, 2));
    }
    for (limit, more) in [(0, true), (3, true), (4, false), (5, false)] {
        let found = shelf.below("evil.example", limit);
        assert_eq!((found.hits.len(), found.more), (limit.min(4), more));
    }
    for _ in 0..3 {
        shelf.add(0, ID, 1, &[]);
    }
    for (limit, more) in [(2, true), (3, false)] {
        let found = shelf.query().by_object(ID, limit).unwrap();
        assert_eq!((found.hits.len(), found.more), (limit, more));
    }
    // As many places as are read, all of one object, and one more behind them.
    let crowded = crowd(7, SEARCH_PLACES_MAX as u64);
    shelf.add(1, &id(7), 1, &crowded);
    shelf.add(0, &id(8), 1, &["www.evil.example".to_owned()]);
    let found = shelf.below("evil.example", 10);
    assert_eq!((found.hits.len(), found.more), (5, true));
}

#[test]
fn another_member_supersedes_nobody() {
    let mut shelf = Shelf::new();
    shelf.add(0, ID, 10, &["www.evil.example".to_owned()]);
    // More than were looked at once, every one from a far future.
    for _ in 0..70 {
        shelf.add(1, ID, u64::MAX, &[]);
    }
    let of_victim = |shelf: &Shelf| {
        let found = shelf.below("evil.example", 10);
        let superseded = found.hits.iter().map(|hit| hit.value().superseded);
        superseded.collect::<Vec<bool>>()
    };
    assert_eq!(of_victim(&shelf), [false]);
    // The author's own later version does, however many came in between.
    shelf.add(0, ID, 11, &[]);
    assert_eq!(of_victim(&shelf), [true]);
}

#[test]
fn an_id_means_the_object_of_whoever_published_it_first() {
    let mut shelf = Shelf::new();
    assert!(shelf.query().versions(ID).unwrap().is_none());
    shelf.add(0, ID, 10, &[]);
    shelf.add(1, ID, u64::MAX, &[]);
    let newest = shelf.add(0, ID, 12, &[]);
    shelf.add(0, ID, 11, &[]);
    shelf.add(2, ID, 13, &[]);
    shelf.add(1, ID, u64::MAX, &[]);
    let versions = shelf.query().versions(ID).unwrap().unwrap();
    let hit = versions.newest.value();
    assert_eq!(
        (hit.author, hit.row.modified_ms, hit.received_ms),
        (Shelf::member(0), 12, WALL_MS + newest)
    );
    assert!(!hit.superseded);
    let others = BTreeSet::from([Shelf::member(1), Shelf::member(2)]);
    assert_eq!(versions.others, others);
}
