//! Bundles whose index entries take several commits.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::indicator::detect;
use crate::limits::FILED_PER_COMMIT_MAX;
use crate::opening::Draft;
use crate::policy::Reader;
use crate::query::{Asker, Query};

/// An own bundle of so many names under one domain.
fn names(count: usize) -> Draft {
    let object = |at: usize| {
        format!(
            "{{\"type\":\"domain-name\",\"spec_version\":\"2.1\",\
             \"id\":\"domain-name--22222222-2222-4222-8222-{at:012}\",\"value\":\"n{at}.evil.example\"}}"
        )
    };
    let stix = (0..count).map(object).collect::<Vec<_>>().join(",");
    let wish = draft("a", 1, Marking::Clear).wish;
    Draft::prepare(format!("[{stix}]").into_bytes(), None, wish).unwrap()
}

/// How many of them a search finds.
fn found(node: &Node) -> usize {
    let asker = Asker {
        reader: Reader::LocalPerson,
        roster: &node.engine.roster(),
        wall_ms: WALL_MS,
    };
    let prefix = detect("evil.example").unwrap().subdomain_prefix().unwrap();
    let query = Query::new(node.engine.store(), asker);
    query.by_values(&[prefix], usize::MAX).unwrap().hits.len()
}

#[test]
fn a_large_bundle_is_filed_by_many_commits_and_claimed_with_the_last() {
    const NAMES: usize = 3 * FILED_PER_COMMIT_MAX;
    let mut node = Node::start(0);
    assert!(node.publish(names(NAMES)).is_empty());
    node.publish(draft("behind it", 10, Marking::Clear));
    let mut commits = 0;
    let mut published = 0;
    while let Some((number, batch)) = node.engine.begin_commit() {
        // A value and an id each, a block at most for each, and some more.
        assert!(batch.len() < 2 * FILED_PER_COMMIT_MAX + NAMES / 8 + 16);
        commits += 1;
        if commits <= 6 {
            assert_eq!((published, found(&node)), (0, 0), "commit {commits}");
        }
        node.engine.store().apply(&batch).unwrap();
        let outputs = node.feed(Input::Committed(number));
        published += outputs
            .iter()
            .filter(|output| matches!(output, Output::Published { outcome: Ok(_), .. }))
            .count();
    }
    assert_eq!((commits, published, found(&node)), (7, 2, NAMES));
    assert!(node.engine.is_durable());
}

#[test]
fn a_node_killed_while_it_files_files_again() {
    const NAMES: usize = 2 * FILED_PER_COMMIT_MAX;
    let mut node = Node::start(0);
    node.publish(names(NAMES));
    let (_, batch) = node.engine.begin_commit().unwrap();
    node.engine.store().apply(&batch).unwrap();
    let mut node = node.restart(0);
    assert_eq!((found(&node), node.engine.status().unopened), (0, 1));
    let outputs = node.feed(Input::Wake);
    node.work(outputs);
    while !node.engine.is_durable() {
        node.commit();
    }
    assert_eq!(found(&node), NAMES);

    // And made again from the log it is the same index, cut as it may be.
    let entries = |node: &Node| {
        let mut entries = Vec::new();
        for (key, value) in node.engine.store().snapshot() {
            match key.first() {
                // Names are new at every start, and marks go with the indexes.
                Some(b'G' | b'M') => {}
                Some(b'I' | b'V') => entries.extend(table::entries_in(&key, &value).unwrap()),
                _ => entries.push([key, value].concat()),
            }
        }
        entries
    };
    let before = entries(&node);
    rebuild(node.engine.store(), &node.engine.roster()).unwrap();
    assert_eq!(found(&node), 0);
    let mut node = node.restart(0);
    let outputs = node.feed(Input::Wake);
    node.work(outputs);
    while !node.engine.is_durable() {
        node.commit();
    }
    assert_eq!(entries(&node), before);
}

#[test]
fn what_the_policy_asks_of_a_bundle_is_filed_as_its_author_signed_it() {
    let mut drill = short_lived("drill", 7_200_000);
    drill.wish.exercise = true;
    let frame = frame_with(&mut Node::start(0), drill);
    let (bundle, statement) = header_of_frame(&frame).unwrap().bundle.unwrap();
    let mut node = Node::start(1);
    let outputs = node.gossip(0, &frame);
    node.work(outputs);
    node.commit();
    let (key, at) = table::rows::place(0, 0);
    let block = node.engine.store().get(&key).unwrap().unwrap();
    let (filed, _) = table::rows::read(&key, &block, at).unwrap().unwrap();
    let expected = table::rows::Filed {
        bundle,
        author: statement.author,
        received_ms: node.now().wall_ms,
        not_after_ms: statement.not_after_ms,
        exercise: true,
        relay_allowed: statement.relay_allowed,
    };
    assert_eq!(filed, expected);
    assert_eq!(filed.not_after_ms, statement.created_ms + 7_200_000);
    assert!(!filed.relay_allowed, "nobody asked for it");
}

#[test]
fn attack_37_beside_a_damaged_block_of_an_index_nothing_is_claimed_that_is_not_found() {
    let mut node = Node::start(0);
    node.publish(names(2));
    node.commit();
    let (key, _) = node.engine.store().scan(b"V", b"V", 1).unwrap().remove(0);
    let sound = node.engine.store().get(&key).unwrap().unwrap();
    let mut damage = Batch::default();
    damage.put(key.clone(), vec![0xff; 9]);
    node.engine.store().apply(&damage).unwrap();

    let bundle_of = |outputs: &[Output]| {
        let mut published = outputs.iter().filter_map(|output| match output {
            Output::Published {
                outcome: Ok(published),
                ..
            } => Some(published.bundle),
            _ => None,
        });
        published.next().unwrap()
    };
    node.publish(names(3));
    let outputs = node.commit();
    bundle_of(&outputs);
    assert!(!is_searchable(&outputs), "its names are in no block");
    let status = node.engine.status();
    assert_eq!((status.unopened, status.filed_in_part), (1, 1));
    // Its ids are in the other index, whose blocks are sound.
    let id = "domain-name--22222222-2222-4222-8222-000000000002";
    let blocks = node.engine.store().scan(b"I", b"I", usize::MAX).unwrap();
    let ids = blocks
        .iter()
        .flat_map(|(key, value)| table::entries_in(key, value).unwrap());
    let beginning = table::objects(id);
    assert_eq!(ids.filter(|entry| entry.starts_with(&beginning)).count(), 1);

    // The next start makes the index again, and opens it.
    let mut whole = Batch::default();
    whole.put(key, sound);
    node.engine.store().apply(&whole).unwrap();
    let mut node = node.restart(0);
    let outputs = node.feed(Input::Wake);
    let mut outputs = node.work(outputs);
    outputs.extend(node.commit());
    assert!(is_searchable(&outputs));
    assert_eq!(found(&node), 5);
    let status = node.engine.status();
    assert_eq!((status.unopened, status.filed_in_part), (0, 0));
}

/// A store that cannot be read any more.
struct Gone;

impl Store for Gone {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Err(failed())
    }

    fn scan(&self, _: &[u8], _: &[u8], _: usize) -> Result<Vec<crate::store::Entry>, StoreError> {
        Err(failed())
    }

    fn apply(&self, _: &Batch) -> Result<(), StoreError> {
        Err(failed())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Err(failed())
    }
}

fn failed() -> StoreError {
    StoreError::Failed {
        operation: "scan",
        cause: "it is gone".to_owned(),
    }
}

#[test]
fn a_store_that_fails_as_entries_are_filed_ends_the_engine() {
    let mut staged = Staged::new(Gone);
    let entries = vec![table::value(b"n.example", 1, 0).unwrap()];
    let bundle = crate::ids::BundleId::from_bytes([1; 32]);
    staged.file(1, entries, Batch::default(), bundle);
    assert!(staged.begin().is_some(), "it waits for the next start");
    assert_eq!(staged.failure(), Err(failed()));
    assert_eq!(staged.failure(), Ok(()), "told once");
}
