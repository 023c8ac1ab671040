//! Signed bundles of another member, from bytes to durable and searchable:
//! gate, engine, opening, index, apply, flush. Beside it the least it could
//! cost: as many bare signature checks, and sled alone with the same bytes.
//!
//! `cargo bench -p watchfire-node --bench verify_and_store`, one thread; with
//! `WATCHFIRE_BUNDLE=1` (10, 100) bundles of that many indicators alone.

// A benchmark may end with a panic: it then has nothing to say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    dead_code
)]

mod corpus;

use std::time::{Duration, Instant};

use corpus::bare::Bare;
use corpus::engine::{Driven, draft};
use corpus::value;
use watchfire_crypto::{Domain, Signature, SigningKey};
use watchfire_node::disk::SledStore;
use watchfire_protocol::engine::Output;
use watchfire_protocol::store::{Batch, MemoryStore, Store};

/// How many bundles share a flush.
const BUNDLES_PER_FLUSH: usize = 64;
/// A frame has two signatures: the envelope's and the statement's.
const CHECKS: u64 = 2;
const DOMAIN: Domain = Domain::new("benchmark");

fn main() {
    println!("indicators a bundle, bundles; microseconds a bundle");
    println!(
        "{:>10}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}   of the limit",
        "", "", "gate+open", "apply", "flush", "together", "checks", "sled"
    );
    let only: Option<u64> = std::env::var("WATCHFIRE_BUNDLE").ok().map(|size| {
        size.parse()
            .expect("WATCHFIRE_BUNDLE is a size of the table")
    });
    for (size, count) in [(1, 10_000), (10, 5_000), (100, 1_000)] {
        if only.is_none_or(|only| only == size) {
            measure(size, count);
        }
    }
}

fn measure(size: u64, count: u64) {
    let frames = frames(size, count);
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let store = SledStore::create(&directory.path().join("store")).expect("it is empty");
    let mut node = Driven::start(&store, 1);
    let (mut taking, mut applying, mut flushing) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut checking, mut bare) = (Duration::ZERO, Duration::ZERO);
    let alone = Bare::at(&directory.path().join("raw"));
    for group in frames.chunks(BUNDLES_PER_FLUSH) {
        let begun = Instant::now();
        group.iter().for_each(|frame| node.take(frame));
        taking += begun.elapsed();
        checking += bare_checks(group);
        loop {
            let mut numbers = Vec::new();
            let mut batches = Vec::new();
            let begun = Instant::now();
            while let Some((number, batch)) = node.begin() {
                numbers.push(number);
                batches.push(batch);
            }
            taking += begun.elapsed();
            if numbers.is_empty() {
                break;
            }
            let begun = Instant::now();
            for batch in &batches {
                store.apply(batch).expect("the store writes");
            }
            applying += begun.elapsed();
            let begun = Instant::now();
            store.flush().expect("the store flushes");
            flushing += begun.elapsed();
            // The limit in turn with it, so that both meet the same machine.
            bare += stored(&alone, &batches);
            let begun = Instant::now();
            for number in numbers {
                node.committed(number);
            }
            taking += begun.elapsed();
        }
    }
    assert_eq!(node.engine.status().envelopes, count);
    assert_eq!(node.engine.status().unopened, 0);

    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let together = taking + applying + flushing;
    println!(
        "{size:>10}{count:>9}{:>10.1}{:>10.1}{:>10.1}{:>10.1}{:>10.1}{:>10.1}   {:.0} %",
        each(taking),
        each(applying),
        each(flushing),
        each(together),
        each(checking),
        each(bare),
        100.0 * (checking + bare).as_secs_f64() / together.as_secs_f64()
    );
}

/// The same batches to the database alone, and one flush.
fn stored(alone: &Bare, batches: &[Batch]) -> Duration {
    let begun = Instant::now();
    for batch in batches {
        alone.apply(batch).expect("it writes");
    }
    alone.flush().expect("it flushes");
    begun.elapsed()
}

/// Frames of one author, each with so many indicators.
fn frames(size: u64, count: u64) -> Vec<Vec<u8>> {
    let mut author = Driven::start(MemoryStore::default(), 0);
    let mut frames = Vec::new();
    for bundle in 0..count {
        let first = bundle * size;
        let mut outputs = author.publish(draft(first, (first..first + size).map(value)));
        while let Some((number, batch)) = author.begin() {
            author
                .engine
                .store()
                .apply(&batch)
                .expect("memory has room");
            outputs.extend(author.committed(number));
        }
        for output in outputs {
            if let Output::Gossip { frame } = output {
                frames.push(frame.into_inner().bytes);
            }
        }
    }
    assert_eq!(frames.len() as u64, count);
    frames
}

/// As many strict checks of signatures, over messages as long as a header.
fn bare_checks(frames: &[Vec<u8>]) -> Duration {
    let key = SigningKey::from_seed(&[1; 32]);
    let public = key.public();
    let signed: Vec<(&[u8], Signature)> = frames
        .iter()
        .map(|frame| {
            let message = &frame[..frame.len().min(400)];
            (message, key.sign(DOMAIN, message))
        })
        .collect();
    let begun = Instant::now();
    for (message, signature) in &signed {
        for _ in 0..CHECKS {
            watchfire_crypto::check(&public, DOMAIN, message, signature).expect("it holds");
        }
    }
    begun.elapsed()
}
