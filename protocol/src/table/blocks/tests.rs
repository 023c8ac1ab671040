//! Blocks against a plain ordered set, and against whoever wants them to grow.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::limits::{INDEX_BLOCK_BYTES, INDICATOR_URL_BYTES_MAX};
use crate::store::{Batch, MemoryStore, Store};
use std::collections::BTreeSet;

const TABLE: u8 = b'V';

fn file(store: &MemoryStore, entries: &mut [Vec<u8>]) -> BTreeSet<Vec<u8>> {
    entries.sort_unstable();
    let first_from = |table: u8, from: &[u8]| Ok(store.scan(&[table], from, 1)?.pop());
    let mut repeated = BTreeSet::new();
    let writes = insert(entries, INDEX_BLOCK_BYTES, first_from, |key| {
        repeated.insert(key.to_vec());
    });
    let mut batch = Batch::default();
    for (key, value) in writes.unwrap().writes {
        batch.put(key, value);
    }
    store.apply(&batch).unwrap();
    repeated
}

/// Every entry, and that the blocks follow one another and are no larger than
/// they should be.
fn all(store: &MemoryStore) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    let mut from = vec![TABLE];
    for (key, value) in store.scan(&[TABLE], &[TABLE], usize::MAX).unwrap() {
        let block = Block::read(&key, &value).unwrap();
        let of_block = block.entries().unwrap();
        assert_eq!(block.from(), from);
        assert!(of_block.iter().all(|entry| *entry >= from && *entry < key));
        // Where it begins and its first key are whole; one more before it is cut.
        assert!(value.len() <= INDEX_BLOCK_BYTES + 3 * INDEX_KEY_BYTES_MAX);
        let keys: usize = of_block.iter().map(Vec::len).max().unwrap_or(0);
        assert!(value.len() <= 2 * INDEX_BLOCK_BYTES + 2 * keys + from.len());
        from = key;
        entries.extend(of_block);
    }
    assert_eq!(from, [TABLE, LAST_FENCE]);
    entries
}

/// As a search does: the block that would hold it, and on.
fn places(store: &MemoryStore, beginning: &[u8]) -> Vec<(Arrival, u32)> {
    let mut found = Vec::new();
    let mut from = seek(beginning);
    while let Some((key, value)) = store.scan(&[TABLE], &from, 1).unwrap().pop() {
        found.extend(
            Block::read(&key, &value)
                .unwrap()
                .places(beginning)
                .unwrap(),
        );
        if !key.starts_with(beginning) {
            break;
        }
        from = seek(&key);
    }
    found
}

fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

#[test]
fn whatever_is_filed_in_whatever_order_is_the_same_set() {
    let store = MemoryStore::default();
    let mut model: BTreeSet<(Vec<u8>, Arrival, u32)> = BTreeSet::new();
    let mut state = 7;
    for arrival in 0..300 {
        let mut entries = Vec::new();
        // Small bundles, and now and then one that cuts blocks into many.
        let size = if arrival % 50 == 0 {
            2_000
        } else {
            draw(&mut state, 4)
        };
        for object in 0..u32::try_from(size).unwrap() {
            // Zero bytes, bytes above all text, and keys that are a start of others.
            let key: Vec<u8> = (0..=draw(&mut state, 5))
                .map(|_| [0, 1, b'a', b'b', 0xfe][usize::try_from(draw(&mut state, 5)).unwrap()])
                .collect();
            entries.push(entry(TABLE, &key, arrival, object).unwrap());
            model.insert((key, arrival, object));
        }
        file(&store, &mut entries);
        // Again, as after a crash: nothing changes.
        let before = store.snapshot();
        file(&store, &mut entries);
        assert_eq!(store.snapshot(), before);
    }
    let mut expected: Vec<Vec<u8>> = model
        .iter()
        .map(|(key, arrival, object)| entry(TABLE, key, *arrival, *object).unwrap())
        .collect();
    expected.sort_unstable();
    assert_eq!(all(&store), expected);
    assert!(store.scan(&[TABLE], &[TABLE], usize::MAX).unwrap().len() > 10);
    for beginning in [
        &[][..],
        b"a",
        b"ab",
        &[0],
        &[0xfe],
        b"aab",
        b"zzz",
        &[0xfe, 0xfe],
    ] {
        let mut of_table = vec![TABLE];
        of_table.extend_from_slice(beginning);
        let wanted = expected.iter().filter(|entry| entry.starts_with(&of_table));
        assert_eq!(
            places(&store, &of_table).len(),
            wanted.count(),
            "{beginning:?}"
        );
    }
}

#[test]
fn an_object_is_repeated_whichever_of_its_places_is_filed_first() {
    for arrivals in [[1, 2], [2, 1]] {
        let store = MemoryStore::default();
        let said = arrivals.map(|arrival| {
            // Neighbours that share most of the key are others.
            let keys: [&[u8]; 3] = [b"sam", b"same", b"samf"];
            let only = |key: &[u8]| key == b"same" || arrival == 1;
            let keys = keys.into_iter().filter(|key| only(key));
            let mut entries: Vec<_> = keys
                .map(|key| entry(TABLE, key, arrival, 0).unwrap())
                .collect();
            file(&store, &mut entries)
        });
        let repeated = BTreeSet::from([b"Vsame".to_vec()]);
        assert_eq!(said, [BTreeSet::new(), repeated.clone()], "{arrivals:?}");
        // Filed again after a crash, it is said again.
        for arrival in arrivals {
            let again = file(&store, &mut [entry(TABLE, b"same", arrival, 0).unwrap()]);
            assert_eq!(again, repeated, "{arrival} of {arrivals:?}");
        }
    }
}

#[test]
fn many_places_of_one_value_make_many_blocks() {
    let store = MemoryStore::default();
    let mut entries: Vec<_> = (0..10_000)
        .map(|object| entry(TABLE, b"crowded", 3, object).unwrap())
        .collect();
    entries.push(entry(TABLE, b"crowdee", 4, 0).unwrap());
    let repeated = file(&store, &mut entries);
    assert_eq!(repeated, BTreeSet::from([b"Vcrowded".to_vec()]));
    assert_eq!(all(&store), entries);
    assert_eq!(places(&store, b"Vcrowded\0").len(), 10_000);
    assert_eq!(places(&store, b"Vcrowdee\0"), [(4, 0)]);
    // What is not there costs one read, however crowded it is beside it.
    let key = store
        .scan(&[TABLE], &seek(b"Vcrowdea\0"), 1)
        .unwrap()
        .pop()
        .unwrap()
        .0;
    assert!(!key.starts_with(b"Vcrowdea\0"));
}

#[test]
fn the_longest_values_fit_and_longer_ones_are_none() {
    let store = MemoryStore::default();
    let long = |last: u8| [vec![b'x'; INDICATOR_URL_BYTES_MAX + 1], vec![last]].concat();
    let mut entries: Vec<_> = (0..20)
        .map(|at| entry(TABLE, &long(at), 1, 0).unwrap())
        .collect();
    // Alike to the last byte, and different from the first.
    entries.extend((0..20).map(|at| entry(TABLE, &[vec![at], long(at)].concat(), 1, 0).unwrap()));
    file(&store, &mut entries);
    assert_eq!(all(&store), entries);
    assert_eq!(entry(TABLE, &[1; INDEX_KEY_BYTES_MAX], 1, 0), None);
}

#[test]
fn a_second_place_is_told_whenever_it_comes() {
    let store = MemoryStore::default();
    let mut crowd: Vec<_> = (0..5_000)
        .map(|at: u32| entry(TABLE, format!("key-{at:05}").as_bytes(), 1, at).unwrap())
        .collect();
    assert!(file(&store, &mut crowd).is_empty());
    for at in 0..5_000 {
        let key = format!("key-{at:05}");
        let mut again = vec![entry(TABLE, key.as_bytes(), 2, at).unwrap()];
        let told = file(&store, &mut again);
        assert_eq!(told, BTreeSet::from([[b"V", key.as_bytes()].concat()]));
    }
}

#[test]
fn a_damaged_block_is_an_error_and_nothing_worse() {
    let mut entries: Vec<_> = (0..30)
        .map(|at: u8| entry(TABLE, &[b'k', at], 300, u32::from(at)).unwrap())
        .collect();
    let store = MemoryStore::default();
    file(&store, &mut entries);
    let (key, value) = store.scan(&[TABLE], &[TABLE], 1).unwrap().pop().unwrap();
    let mut state = 1;
    for _ in 0..20_000 {
        let mut spoiled = value.clone();
        let at = usize::try_from(draw(&mut state, value.len() as u64)).unwrap();
        spoiled[at] = u8::try_from(draw(&mut state, 256)).unwrap();
        spoiled.truncate(usize::try_from(draw(&mut state, value.len() as u64 + 1)).unwrap());
        if let Ok(block) = Block::read(&key, &spoiled) {
            let _ = block.entries();
        }
    }
}

#[test]
fn beside_a_damaged_block_the_others_take_what_is_theirs() {
    let store = MemoryStore::default();
    let entries = |from: u32| -> Vec<Vec<u8>> {
        let keys = (from..400).step_by(2);
        keys.map(|at| entry(TABLE, format!("n{at:04}.example").as_bytes(), 1, at).unwrap())
            .collect()
    };
    file(&store, &mut entries(0));
    let held = store.scan(&[TABLE], &[TABLE], usize::MAX).unwrap();
    assert!(held.len() > 4);
    let (spoiled, _) = &held[2];
    let (before, _) = &held[1];
    // Told by the store, and read as what no program wrote.
    for is_told in [true, false] {
        let damaged = || StoreError::Damaged {
            key: hex::encode(spoiled),
        };
        let first_from = |table: u8, from: &[u8]| {
            let first = store.scan(&[table], from, 1)?.pop();
            match first {
                Some((key, _)) if key == *spoiled && is_told => Err(damaged()),
                Some((key, _)) if key == *spoiled => Ok(Some((key, vec![0xff; 9]))),
                other => Ok(other),
            }
        };
        let new = entries(1);
        let inserted = insert(&new, INDEX_BLOCK_BYTES, first_from, |_| {}).unwrap();
        let lost = new
            .iter()
            .filter(|entry| *entry >= before && *entry < spoiled);
        assert_eq!(inserted.left_out, lost.count());
        assert!(inserted.left_out > 0);
        assert!(inserted.writes.iter().all(|(key, _)| key != spoiled));
        let written: usize = inserted
            .writes
            .iter()
            .map(|(key, value)| Block::read(key, value).unwrap().entries().unwrap().len())
            .sum();
        let of_spoiled = Block::read(spoiled, &held[2].1).unwrap().entries().unwrap();
        assert_eq!(written, 400 - inserted.left_out - of_spoiled.len());
    }
}
