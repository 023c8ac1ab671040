//! Every parser over its samples, their mutations and noise (attack 36). The
//! same functions run guided by coverage, see `tests/fuzz/run`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use watchfire_tests::bytes::{hex, unhex};
use watchfire_tests::targets::mutate::{Chooser, mutated};
use watchfire_tests::targets::{ALL, named, wire};

/// Mutations of each target, enough for some seconds in all. The fuzzer does as
/// many in a fraction of the time, and chooses them better.
const MUTATIONS: u64 = 3_000;

/// Inputs of noise for each target.
const NOISE: u64 = 200;

/// Longest noise, in bytes.
const NOISE_BYTES_MAX: usize = 300;

/// Gives bytes to a target, and names both where it fails.
fn give(name: &str, bytes: &[u8]) {
    let target = named(name).unwrap();
    if catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_err() {
        panic!("{name} fails on {}", hex(bytes));
    }
}

fn mutations_of(name: &str) {
    let target = named(name).unwrap();
    let samples = (target.samples)();
    assert!(samples.len() >= 3, "{name} has nothing to begin with");
    for sample in &samples {
        give(name, sample);
    }
    // The name is the seed, so that each target has mutations of its own.
    let seed = name.bytes().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    for number in 0..MUTATIONS {
        let mut chooser = Chooser::new(seed.wrapping_add(number));
        let sample = &samples[chooser.below(samples.len())];
        give(name, &mutated(sample, &samples, target.words, &mut chooser));
    }
    for number in 0..NOISE {
        let mut chooser = Chooser::new(!seed.wrapping_add(number));
        let length = chooser.below(NOISE_BYTES_MAX);
        give(name, &chooser.bytes(length));
    }
}

macro_rules! attack_36 {
    ($($test:ident $name:literal)*) => {
        $(
            #[test]
            fn $test() {
                mutations_of($name);
            }
        )*

        #[test]
        fn attack_36_no_target_is_left_out() {
            let tested = [$($name),*];
            let all: Vec<&str> = ALL.iter().map(|target| target.name).collect();
            assert_eq!(all, tested);
        }
    };
}

attack_36! {
    attack_36_frames "frame"
    attack_36_messages "exchange"
    attack_36_statements "statement"
    attack_36_json "json"
    attack_36_stix "stix"
    attack_36_patterns "pattern"
    attack_36_values "value"
    attack_36_tables "csv"
    attack_36_reports "text"
    attack_36_lists "list"
    attack_36_key_files "keyfile"
    attack_36_payloads "payload"
    attack_36_control_lines "control"
}

/// A target that accepts none of its samples tests nothing behind the door.
#[test]
fn the_statements_begin_good() {
    wire::statements_are_good();
}

/// What fuzzing has found, so that it is never found again.
#[test]
fn attack_36_what_was_found_before() {
    const FOUND: [(&str, &str); 0] = [];
    for (name, bytes) in FOUND {
        give(name, &unhex(bytes));
    }
}

#[test]
fn the_same_seed_gives_the_same_mutation() {
    let sample = b"{\"a\":[1,2,3]}";
    let once = |seed| {
        mutated(
            sample,
            &[b"xyz".to_vec()],
            &["word"],
            &mut Chooser::new(seed),
        )
    };
    assert!((0..50).all(|seed| once(seed) == once(seed)));
    assert!((0..50).any(|seed| once(seed) != once(seed + 1)));
}
