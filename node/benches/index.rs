//! Ways to lay out the value index, compared on the store a node has: what it
//! costs to file bundles of all sizes, to find a value, to find none, to find
//! what is below a name, on disk and in memory.
//!
//! `cargo bench -p watchfire-node --bench index`, with `WATCHFIRE_INDICATORS` for
//! fewer than a million. Each layout has a process of its own, so that memory
//! is its own; the last column of each figure compares with sled itself.

// A benchmark may end with a panic: it then has nothing to say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    dead_code
)]

mod corpus;
#[path = "index/layouts.rs"]
mod layouts;

use std::path::Path;
use std::time::{Duration, Instant};

use corpus::bare::Bare;
use corpus::{
    absent, bundle_sizes, disk_bytes, indicators, mix, resident_kib, scattered, value, zone,
};
use layouts::{Hashed, KeyPerPlace, KeyPerValue, Layout, Ordered, PerBundle};
use watchfire_node::disk::SledStore;
use watchfire_protocol::indicator::detect;
use watchfire_protocol::store::Store;

/// Searches of each sort.
const SEARCHES: u64 = 20_000;
/// Searches below a name.
const ZONES: u64 = 1_000;
/// How many bundles share a flush, as the committer groups them under load.
const BATCHES_PER_FLUSH: u64 = 64;

const LAYOUTS: [(&str, &str); 9] = [
    ("raw", "sled alone, a key a place"),
    ("place", "a key a place"),
    ("value", "a key a value"),
    ("bundle", "blocks a bundle, filters"),
    ("hash", "buckets by hash"),
    ("256", "ordered blocks, 256 B"),
    ("512", "ordered blocks, 512 B"),
    ("1024", "ordered blocks, 1 KiB"),
    ("4096", "ordered blocks, 4 KiB"),
];

fn main() {
    let wanted = std::env::var("WATCHFIRE_LAYOUT").ok();
    if let Some(layout) = wanted.filter(|layout| !layout.contains(',')) {
        return run(&layout);
    }
    println!(
        "{} indicators; thousands of indicators filed a second by size of bundle,",
        indicators()
    );
    println!("microseconds a search at the median and the mean, MB on disk, MB resident\n");
    println!(
        "{:<26}{:>8}{:>8}{:>8}{:>8} |{:>7}{:>7}{:>7}{:>7}{:>8} |{:>7}{:>7}",
        "", "10,000", "100", "1", "all", "hit", "mean", "miss", "mean", "below", "disk", "memory"
    );
    let program = std::env::current_exe().expect("it runs");
    let only = std::env::var("WATCHFIRE_LAYOUT").unwrap_or_default();
    for (layout, _) in LAYOUTS {
        if !only.is_empty() && !only.split(',').any(|wanted| wanted == layout) {
            continue;
        }
        let status = std::process::Command::new(&program)
            .env("WATCHFIRE_LAYOUT", layout)
            .status();
        assert!(status.expect("it starts").success(), "{layout} failed");
    }
}

fn run(layout: &str) {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let path = directory.path().join("store");
    if layout == "raw" {
        return measure(layout, &path, &Bare::at(&path), &mut KeyPerPlace);
    }
    let store = SledStore::create(&path).expect("the directory is empty");
    match layout {
        "place" => measure(layout, &path, &store, &mut KeyPerPlace),
        "value" => measure(layout, &path, &store, &mut KeyPerValue),
        "bundle" => measure(layout, &path, &store, &mut PerBundle::default()),
        "hash" => {
            // 1.1 keys an indicator of 20 bytes.
            let buckets = (indicators() * 22 / 4_096).max(1);
            measure(layout, &path, &store, &mut Hashed { buckets });
        }
        bytes => {
            let block_bytes = bytes.parse().expect("it is a layout");
            measure(layout, &path, &store, &mut Ordered { block_bytes });
        }
    }
}

fn measure<S: Store>(name: &str, path: &Path, store: &S, layout: &mut impl Layout<S>) {
    let filed = file_all(store, layout);
    let disk = disk_bytes(path);
    let resident = resident_kib();
    let numbers = |salt: u64| (0..SEARCHES).map(move |at| mix(at ^ salt) % indicators());
    let hits = searches(store, layout, numbers(1 << 50).map(value), |found| {
        found >= 1
    });
    let misses = searches(store, layout, numbers(1 << 51).map(absent), |found| {
        found == 0
    });
    let below = (name != "hash").then(|| below(store, layout));

    let rate = |(count, time): (u64, Duration)| count as f64 / time.as_secs_f64() / 1e3;
    let all = filed.iter().fold((0, Duration::ZERO), |sum, (_, class)| {
        (sum.0 + class.0, sum.1 + class.1)
    });
    let title = LAYOUTS.iter().find(|(layout, _)| *layout == name);
    print!("{:<26}", title.map_or(name, |(_, title)| title));
    for (_, class) in &filed {
        print!("{:>8.1}", rate(*class));
    }
    print!("{:>8.1} |", rate(all));
    for (median, mean) in [hits, misses] {
        print!("{median:>7.1}{mean:>7.1}");
    }
    match below {
        Some((median, _)) => print!("{median:>8.1}"),
        None => print!("{:>8}", "none"),
    }
    println!(
        " |{:>7.0}{:>7.0}",
        disk as f64 / 1e6,
        resident as f64 * 1_024.0 / 1e6
    );
}

/// Files everything, and tells how many and how long by size of bundle.
fn file_all<S: Store>(store: &S, layout: &mut impl Layout<S>) -> Vec<(u64, (u64, Duration))> {
    let mut classes = vec![
        (10_000, (0, Duration::ZERO)),
        (100, (0, Duration::ZERO)),
        (1, (0, Duration::ZERO)),
    ];
    let mut number = 0;
    let log: Vec<(u64, u64)> = (0..).zip(bundle_sizes()).collect();
    for (arrival, size) in log {
        let mut keys: Vec<(Vec<u8>, u32)> = Vec::new();
        for object in 0..size {
            // Neighbours in a bundle are no neighbours by number.
            let found_by = value(scattered(number));
            number += 1;
            let found_by = detect(&found_by).expect("it is a value");
            keys.extend(
                found_by
                    .index_keys()
                    .into_iter()
                    .map(|key| (key, object as u32)),
            );
        }
        keys.sort_unstable();
        let begun = Instant::now();
        let batch = layout.file(store, arrival, &keys);
        store.apply(&batch).expect("the store writes");
        if (arrival + 1).is_multiple_of(BATCHES_PER_FLUSH) {
            store.flush().expect("the store flushes");
        }
        let took = begun.elapsed();
        if let Some((_, class)) = classes.iter_mut().find(|(of, _)| *of == size) {
            class.0 += size;
            class.1 += took;
        }
    }
    classes
}

/// Median and mean of searches for whole values, in microseconds.
fn searches<S: Store>(
    store: &S,
    layout: &impl Layout<S>,
    values: impl Iterator<Item = String>,
    expected: impl Fn(usize) -> bool,
) -> (f64, f64) {
    let mut times = Vec::new();
    for value in values {
        let key = detect(&value).expect("it is a value").index_key();
        let begun = Instant::now();
        let found = layout.find(store, &key, true);
        times.push(begun.elapsed());
        assert!(expected(found.len()), "{value}: {} found", found.len());
    }
    median_and_mean(times)
}

/// The same for what is below a name.
fn below<S: Store>(store: &S, layout: &impl Layout<S>) -> (f64, f64) {
    let mut times = Vec::new();
    let mut found = 0;
    for number in 0..ZONES {
        let name = detect(&zone(number)).expect("it is a name");
        let prefix = name.subdomain_prefix().expect("it has names below");
        let begun = Instant::now();
        found += layout.find(store, &prefix, false).len();
        times.push(begun.elapsed());
    }
    assert!(found as u64 >= ZONES, "{found} below {ZONES} names");
    median_and_mean(times)
}

fn median_and_mean(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e6 / times.len() as f64;
    (times[times.len() / 2].as_secs_f64() * 1e6, mean)
}
