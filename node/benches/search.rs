//! A million indicators through the engine into the store a node has, and
//! searches among them, beside sled alone doing as little as could be done.
//!
//! `cargo bench -p watchfire-node --bench search`, with `WATCHFIRE_INDICATORS` for
//! fewer than a million.

// A benchmark may end with a panic: it then has nothing to say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    dead_code
)]

mod corpus;

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use corpus::bare::Bare;
use corpus::engine::{Driven, WALL_MS, draft};
use corpus::{
    absent, bundle_sizes, disk_bytes, indicators, mix, resident_kib, scattered, value, zone,
};
use watchfire_node::disk::SledStore;
use watchfire_protocol::indicator::{Value, detect};
use watchfire_protocol::policy::Reader;
use watchfire_protocol::query::{Asker, Query};
use watchfire_protocol::store::{Batch, Store};

/// Searches of each sort.
const SEARCHES: u64 = 20_000;
/// Searches below a name.
const ZONES: u64 = 1_000;
/// How many small bundles share a flush, as the committer groups them under load.
const BUNDLES_PER_FLUSH: u64 = 64;

fn main() {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let before_kib = resident_kib();
    let store_path = directory.path().join("store");
    let spool_path = directory.path().join("spool");
    let store = SledStore::create(&store_path).expect("the directory is empty");
    let mut node = Driven::start(&store, 0);

    let filed = file_all(&store, &mut node, &spool_path);
    let rate = |time: Duration| indicators() as f64 / time.as_secs_f64() / 1e3;
    println!(
        "{} indicators in {} bundles",
        indicators(),
        bundle_sizes().len()
    );
    println!(
        "  reading and preparing the STIX   {:>8.1} k/s",
        rate(filed.preparing)
    );
    println!(
        "  engine, apply and flush          {:>8.1} k/s",
        rate(filed.engine)
    );
    let kib = resident_kib();
    let disk = disk_bytes(&store_path);
    println!(
        "  {:.0} MB of logical log and chunks, {:.0} MB of logical index written, {:.0} MB on disk, {:.0} MB resident ({:.0} before)",
        filed.log_bytes as f64 / 1e6,
        filed.index_bytes as f64 / 1e6,
        disk as f64 / 1e6,
        kib as f64 * 1_024.0 / 1e6,
        before_kib as f64 * 1_024.0 / 1e6,
    );

    let raw = Bare::at(&directory.path().join("replay"));
    let replayed = replay(&raw, &spool_path);
    drop(raw);
    println!(
        "  sled alone, the same index bytes {:>8.1} k/s: the engine has {:.0} % of it",
        rate(replayed),
        100.0 * replayed.as_secs_f64() / filed.engine.as_secs_f64()
    );

    let raw = Bare::at(&directory.path().join("raw"));
    let loading = load(&raw);
    println!(
        "  sled alone, a key an indicator   {:>8.1} k/s",
        rate(loading)
    );

    println!("searches, microseconds: median, mean; and against a get of sled alone");
    let asker = Asker {
        reader: Reader::LocalPerson,
        roster: &node.roster,
        wall_ms: WALL_MS,
    };
    let query = Query::new(&store, asker);
    let get = |value: &Value, is_there: bool| {
        let found = raw.get(&value.index_key()).expect("sled reads");
        assert_eq!(found.is_some(), is_there);
    };
    let find = |value: &Value, is_there: bool| {
        let found = query
            .by_values(&value.search_prefixes(), 10)
            .expect("it reads");
        assert_eq!(!found.hits.is_empty(), is_there, "{value:?}");
    };
    // Twice: the second time what fits in memory is there.
    for round in ["first", "second"] {
        println!("{round} time");
        for (name, is_there, of) in [
            ("hit", true, value as fn(u64) -> String),
            ("miss", false, absent),
        ] {
            for (kinds, is_wanted) in [
                ("all kinds", (|_| true) as fn(u64) -> bool),
                ("digests", |number| matches!(number % 10, 4..=6)),
            ] {
                let values = || {
                    (0..SEARCHES)
                        .map(|at| mix(at ^ (1 << 50)) % indicators())
                        .filter(move |number| is_wanted(*number))
                        .map(move |number| detect(&of(number)).expect("it is a value"))
                };
                let raw = timed(values(), |value| get(value, is_there));
                let ours = timed(values(), |value| find(value, is_there));
                println!(
                    "  {name:<5}{kinds:<10} sled {:>6.1}{:>7.1}   search {:>6.1}{:>7.1}   {:>5.1} times, {:>4.1} by the mean",
                    raw.0,
                    raw.1,
                    ours.0,
                    ours.1,
                    ours.0 / raw.0,
                    ours.1 / raw.1
                );
            }
        }
    }
    let names = || (0..ZONES).map(|number| detect(&zone(number)).expect("it is a name"));
    let mut keys = 0;
    let scanned = timed(names(), |name| {
        let prefix = name.subdomain_prefix().expect("it has names below");
        keys += raw.scan(&prefix, &prefix, 1_000).expect("sled reads").len();
    });
    let mut found = 0;
    let below = timed(names(), |name| {
        let prefix = name.subdomain_prefix().expect("it has names below");
        found += query
            .by_values(&[prefix], 1_000)
            .expect("it reads")
            .hits
            .len();
    });
    println!(
        "  below a name: {:.1}, {:.1}; {:.0} hits each, {:.1} a hit; a range of sled alone {:.1}, {:.1}; {:.0} keys each; {:.1} times",
        below.0,
        below.1,
        found as f64 / ZONES as f64,
        below.1 * ZONES as f64 / found as f64,
        scanned.0,
        scanned.1,
        keys as f64 / ZONES as f64,
        below.0 / scanned.0
    );
}

struct Filed {
    preparing: Duration,
    engine: Duration,
    log_bytes: u64,
    index_bytes: u64,
}

fn file_all(store: &SledStore, node: &mut Driven<&SledStore>, spool: &Path) -> Filed {
    let mut spool = BufWriter::new(std::fs::File::create(spool).expect("it can be made"));
    let mut filed = Filed {
        preparing: Duration::ZERO,
        engine: Duration::ZERO,
        log_bytes: 0,
        index_bytes: 0,
    };
    let mut number = 0;
    for (at, size) in (1..).zip(bundle_sizes()) {
        let values = (number..number + size).map(|number| value(scattered(number)));
        let begun = Instant::now();
        let draft = draft(number, values);
        filed.preparing += begun.elapsed();
        number += size;
        let begun = Instant::now();
        node.publish(draft);
        filed.engine += begun.elapsed();
        if size == 1 && at % BUNDLES_PER_FLUSH != 0 {
            continue;
        }
        commit(store, node, &mut filed, &mut spool);
    }
    commit(store, node, &mut filed, &mut spool);
    spool.flush().expect("the disk has room");
    filed
}

/// Commits until nothing is left: as many batches as the engine gives, a flush.
fn commit(
    store: &SledStore,
    node: &mut Driven<&SledStore>,
    filed: &mut Filed,
    spool: &mut impl Write,
) {
    loop {
        let mut begun = Instant::now();
        let mut numbers = Vec::new();
        while let Some((number, batch)) = node.begin() {
            store.apply(&batch).expect("the store writes");
            filed.engine += begun.elapsed();
            write_index(&batch, filed, spool);
            numbers.push(number);
            begun = Instant::now();
        }
        if numbers.is_empty() {
            return;
        }
        store.flush().expect("the store flushes");
        for number in numbers {
            node.committed(number);
        }
        filed.engine += begun.elapsed();
        // A flush: an entry without a key.
        spool.write_all(&[0; 8]).expect("the disk has room");
    }
}

/// What of a batch is index: everything but the log and the chunks.
fn write_index(batch: &Batch, filed: &mut Filed, spool: &mut impl Write) {
    for (key, value) in batch.iter() {
        let value = value.unwrap_or_default();
        let bytes = (key.len() + value.len()) as u64;
        if matches!(key.first(), Some(b'L' | b'C')) {
            filed.log_bytes += bytes;
            continue;
        }
        filed.index_bytes += bytes;
        for length in [key.len(), value.len()] {
            spool
                .write_all(&(length as u32).to_le_bytes())
                .expect("the disk has room");
        }
        spool.write_all(key).expect("the disk has room");
        spool.write_all(value).expect("the disk has room");
    }
}

/// The same index bytes to sled alone, a batch and a flush where there was one.
fn replay(raw: &Bare, spool: &Path) -> Duration {
    let mut spool = BufReader::new(std::fs::File::open(spool).expect("it was made"));
    let mut took = Duration::ZERO;
    let mut batch = Batch::default();
    let mut lengths = [0; 8];
    while spool.read_exact(&mut lengths).is_ok() {
        let [a, b, c, d, e, f, g, h] = lengths;
        let mut key = vec![0; u32::from_le_bytes([a, b, c, d]) as usize];
        let mut value = vec![0; u32::from_le_bytes([e, f, g, h]) as usize];
        spool.read_exact(&mut key).expect("it is whole");
        spool.read_exact(&mut value).expect("it is whole");
        if key.is_empty() {
            let begun = Instant::now();
            raw.apply(&std::mem::take(&mut batch)).expect("sled writes");
            raw.flush().expect("sled flushes");
            took += begun.elapsed();
        } else {
            batch.put(key, value);
        }
    }
    took
}

/// A key and twelve bytes for each indicator, in batches of 1,000.
fn load(raw: &Bare) -> Duration {
    let mut took = Duration::ZERO;
    let mut batch = Batch::default();
    for number in 0..indicators() {
        let value = detect(&value(scattered(number))).expect("it is a value");
        batch.put(value.index_key(), vec![7; 12]);
        if (number + 1) % 1_000 == 0 {
            let begun = Instant::now();
            raw.apply(&std::mem::take(&mut batch)).expect("sled writes");
            raw.flush().expect("sled flushes");
            took += begun.elapsed();
        }
    }
    took
}

/// Median and mean, in microseconds.
fn timed(values: impl Iterator<Item = Value>, mut each: impl FnMut(&Value)) -> (f64, f64) {
    let mut times = Vec::new();
    for value in values {
        let begun = Instant::now();
        each(&value);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e6 / times.len() as f64;
    (times[times.len() / 2].as_secs_f64() * 1e6, mean)
}
