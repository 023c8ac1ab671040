//! Damage to a store's files, and what is said of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use watchfire_node::disk::SledStore;
use watchfire_protocol::store::{Batch, Store, StoreError};

use super::{Place, copy_dir, draws, numbered, place, put, start_child};

/// The database without our checks. The threads of one that was closed a
/// moment ago may still hold its file, longer the busier the machine is.
pub(crate) fn open_raw(place: &Place) -> sled::Db {
    let patience = Duration::from_secs(60);
    let begun = Instant::now();
    loop {
        match sled::Config::new().path(place.store.join("sled")).open() {
            Ok(db) => return db,
            Err(error) => assert!(begun.elapsed() < patience, "{error}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn attack_37_a_changed_value_is_reported_by_its_key_and_never_served() {
    let place = place();
    let store = SledStore::create(&place.store).unwrap();
    for key in [b"a", b"b", b"c"] {
        store.apply(&put(key, b"a value that matters")).unwrap();
    }
    drop(store);

    let raw = open_raw(&place);
    let at = |key: &[u8]| [&[1], key].concat();
    let mut flipped = raw.get(at(b"b")).unwrap().unwrap().to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    raw.insert(at(b"b"), flipped).unwrap();
    // Sound, and at a key that it was not written for.
    let sound = raw.get(at(b"a")).unwrap().unwrap();
    raw.insert(at(b"d"), sound).unwrap();
    raw.flush().unwrap();
    drop(raw);

    let store = SledStore::open(&place.store).unwrap();
    let damaged = |key: &[u8]| StoreError::Damaged {
        key: hex::encode(key),
    };
    assert_eq!(store.get(b"a").unwrap().unwrap(), b"a value that matters");
    assert_eq!(store.get(b"b"), Err(damaged(b"b")));
    assert_eq!(store.get(b"d"), Err(damaged(b"d")));
    assert_eq!(store.scan(b"", b"", 10), Err(damaged(b"b")));
    assert_eq!(
        store.scan(b"c", b"", 10).unwrap().len(),
        1,
        "what is sound is served"
    );
    assert_eq!(
        store.check(10).unwrap().damaged,
        [b"b".to_vec(), b"d".to_vec()]
    );
    assert_eq!(store.check(1).unwrap().damaged, [b"b".to_vec()]);

    // Healed from peers, or given up.
    store.apply(&put(b"b", b"from a peer")).unwrap();
    let mut batch = Batch::default();
    batch.remove(b"d".to_vec());
    store.apply(&batch).unwrap();
    assert_eq!(store.scan(b"", b"", 10).unwrap().len(), 3);
    let report = store.check(10).unwrap();
    assert!(report.damaged.is_empty());
    assert!(
        !report.is_whole(),
        "what a database made up was never counted in"
    );
    store.accept_totals().unwrap();
    assert!(store.check(10).unwrap().is_whole());
}

#[test]
fn attack_37_a_check_sees_what_is_lost_and_what_is_stale() {
    let place = place();
    let store = SledStore::create(&place.store).unwrap();
    store.apply(&put(b"revoked", b"no")).unwrap();
    store.apply(&put(b"beside", b"it")).unwrap();
    drop(store);
    let raw = || open_raw(&place);
    let stale = raw().get(b"\x01revoked").unwrap().unwrap();
    let store = SledStore::open(&place.store).unwrap();
    store.apply(&put(b"revoked", b"yes")).unwrap();
    assert!(store.check(10).unwrap().is_whole());
    drop(store);

    raw().insert(b"\x01revoked", stale).unwrap();
    let store = SledStore::open(&place.store).unwrap();
    assert_eq!(
        store.get(b"revoked").unwrap().unwrap(),
        b"no",
        "sound by its own checksum"
    );
    let report = store.check(10).unwrap();
    assert_eq!(
        (report.entries_had, report.entries_has, report.is_sum_right),
        (2, 2, false)
    );
    drop(store);

    raw().remove(b"\x01revoked").unwrap();
    let store = SledStore::open(&place.store).unwrap();
    let report = store.check(10).unwrap();
    assert_eq!((report.entries_had, report.entries_has), (2, 1));
    store.accept_totals().unwrap();
    store.flush().unwrap();
    drop(store);
    assert!(
        SledStore::open(&place.store)
            .unwrap()
            .check(10)
            .unwrap()
            .is_whole()
    );
}

/// How many batches [`busy_store`] holds: enough for four of sled's segments.
const BUSY_BATCHES: u64 = 2_500;

/// A store of many flushed batches, reopened on the way, so that there is all
/// that sled ever writes: a log, a snapshot of its page table, large values.
fn busy_store() -> Place {
    let place = place();
    drop(SledStore::create(&place.store).unwrap());
    for half in [1..=BUSY_BATCHES / 2, BUSY_BATCHES / 2 + 1..=BUSY_BATCHES] {
        let store = SledStore::open(&place.store).unwrap();
        for number in half {
            store.apply(&numbered(number)).unwrap();
            if number.is_multiple_of(100) {
                store.flush().unwrap();
            }
        }
        store.flush().unwrap();
    }
    place
}

/// The worst that reading every value of a [`busy_store`] shows. The first two
/// are what must never be.
pub(crate) fn read_all(store: &SledStore) -> &'static str {
    let mut worst = "whole";
    for number in 1..=BUSY_BATCHES {
        for (key, value) in numbered(number).iter() {
            match store.get(key) {
                Ok(Some(found)) if Some(found.as_slice()) == value => {}
                Ok(Some(_)) => return "wrong value served",
                Ok(None) => return "lost without a word",
                Err(StoreError::Damaged { .. }) => worst = "damaged value",
                Err(StoreError::Failed { .. }) => worst = "failed read",
            }
        }
    }
    match store.scan(b"", b"", usize::MAX) {
        Ok(entries) if u64::try_from(entries.len()).unwrap() == 2 * BUSY_BATCHES => worst,
        Ok(_) => "lost without a word",
        Err(_) if worst == "whole" => "damaged scan",
        Err(_) => worst,
    }
}

fn verdict(store: &Path) -> String {
    let child = start_child("read", store);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let verdict = text.lines().find_map(|line| line.strip_prefix("verdict "));
    verdict
        .unwrap_or_else(|| panic!("no verdict, {}: a crash", output.status))
        .to_owned()
}

pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// How many damages to try: a few in every run, as many as one likes by
/// command, with `WATCHFIRE_TEST_DAMAGES=1000`.
fn damage_rounds() -> u64 {
    std::env::var("WATCHFIRE_TEST_DAMAGES").map_or(24, |rounds| rounds.parse().unwrap())
}

#[test]
fn attack_37_a_damaged_file_is_reported_and_nothing_wrong_is_served() {
    let whole = busy_store();
    // A copy, since opening sums up the log, and then damage to the log that
    // nothing sums up would not be tried.
    let untouched = place();
    copy_dir(&whole.store, &untouched.store);
    let first = verdict(&untouched.store);
    assert_eq!(first, "whole", "the check passes what is sound");
    let files: Vec<PathBuf> = files_below(&whole.store)
        .into_iter()
        .map(|path| path.strip_prefix(&whole.store).unwrap().to_owned())
        .filter(|path| path != Path::new("store.lock"))
        .collect();
    let mut draw = draws(3_737);
    let mut verdicts = std::collections::BTreeMap::<String, u32>::new();
    for round in 0..damage_rounds() {
        let place = place();
        copy_dir(&whole.store, &place.store);
        // Half of the damage goes to the log, where nearly everything is.
        let file = match draw(2) {
            0 => Path::new("sled/db"),
            _ => &files[usize::try_from(draw(u64::try_from(files.len()).unwrap())).unwrap()],
        };
        let mut bytes = fs::read(place.store.join(file)).unwrap();
        let at = usize::try_from(draw(u64::try_from(bytes.len()).unwrap())).unwrap();
        let what = match draw(3) {
            0 => {
                bytes[at] ^= 1 << draw(8);
                "a bit"
            }
            1 => {
                bytes.truncate(at);
                "cut"
            }
            _ => {
                let end = bytes.len().min(at + 4_096);
                bytes[at..end].fill(0);
                "a page of zeros"
            }
        };
        fs::remove_file(place.store.join(file)).unwrap();
        fs::write(place.store.join(file), bytes).unwrap();
        let verdict = verdict(&place.store);
        let case = format!(
            "round {round}: {} with {what} at {at}: {verdict}",
            file.display()
        );
        assert!(
            ![
                "wrong value served",
                "lost without a word",
                "whole, and the check says otherwise"
            ]
            .contains(&verdict.as_str()),
            "{case}"
        );
        *verdicts.entry(verdict).or_default() += 1;
    }
    assert!(
        verdicts.keys().any(|verdict| verdict != "whole"),
        "no damage was found: {verdicts:?}"
    );
    println!("{verdicts:?}");
}
