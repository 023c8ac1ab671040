//! Every parser over its samples, their mutations and noise (attack 36). The
//! same functions run guided by coverage, see `tests/fuzz/run`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use watchfire_tests::bytes::{hex, unhex};
use watchfire_tests::targets::mutate::{Chooser, mutated};
use watchfire_tests::targets::{ALL, named, packet, wire};

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

// Each test is written as one, so that whoever reads the tree for the tests of
// an attack (`threats.rs`) finds these too.
macro_rules! attack_36 {
    ($(#[test] fn $test:ident $name:literal)*) => {
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
    #[test]
    fn attack_36_frames "frame"
    #[test]
    fn attack_36_messages "exchange"
    #[test]
    fn attack_36_statements "statement"
    #[test]
    fn attack_36_json "json"
    #[test]
    fn attack_36_stix "stix"
    #[test]
    fn attack_36_patterns "pattern"
    #[test]
    fn attack_36_values "value"
    #[test]
    fn attack_36_tables "csv"
    #[test]
    fn attack_36_reports "text"
    #[test]
    fn attack_36_lists "list"
    #[test]
    fn attack_36_key_files "keyfile"
    #[test]
    fn attack_36_requests "request"
    #[test]
    fn attack_36_payloads "payload"
    #[test]
    fn attack_36_control_lines "control"
    #[test]
    fn attack_36_packets "packet"
}

/// A target that accepts none of its samples tests nothing behind the door.
#[test]
fn the_statements_begin_good() {
    wire::statements_are_good();
}

/// Likewise.
#[test]
fn the_packets_begin_good() {
    packet::packets_are_good();
}

/// A compressed block in which the lengths of its four streams of literals are
/// not what RFC 8878 says: one decoder reads on to the end of each stream, the
/// reference stops after the symbols that are due. Each reading opens only if
/// it is the one that was signed.
#[test]
fn attack_36_a_damaged_frame_that_two_decoders_read_differently() {
    const FRAME: &str = concat!(
        "28b52ffd60bf00e50800b6933d216067f4031313607b7fbb37322d933d3e66181d4194942fd16e32ebcf520000",
        "ca0332003200360050ed389dcec4dba9c62780d01ebb542f52c9e6cb1743e50caf061586893bfe26976c7061f6",
        "b9c7bee37401f7ed4707750211014bf152dc9862fbd6bff64bb1c9c22b9e44067931ed582d52e16f7ee0a8e0ea",
        "44ce197a497d4ba13949cf68e247d31e2b05d369c61edb98756a148677a2a71b8f0cc4da06088b860240e1174e",
        "33de3f4d99ce7e204fec5b2a7dad1d4d391d7af65884520a794a05098a04c52e4e7131e976bd9a21c318864a53",
        "98c5c431e3a26b4e61982934eba453bef326de4ef2a54680ce02a99f06f140926c3c0c0067f2a25071dba856fd",
        "f215ac362829acd065d00d979216eb1ac4cd140a14c56402",
    );
    give("payload", &unhex(FRAME));
}

/// The fuzzer has a lockfile of its own. Where it falls behind, it would test
/// other code than the product has, and `--locked` would stop it.
#[test]
fn the_fuzzer_is_built_of_what_the_product_is_built_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ours = packages(&root.join("Cargo.lock"));
    let fuzz = packages(&root.join("tests/fuzz/Cargo.lock"));
    assert!(fuzz.len() > 100, "{} packages", fuzz.len());
    for (package, needs) in &fuzz {
        let only_here = ["watchfire-fuzz ", "libfuzzer-sys ", "arbitrary "];
        let same = match ours.get(package) {
            Some(other) if package.starts_with("watchfire-") => {
                let tests = only_in_tests(&root, package);
                let untested = |need: &&String| !tests.contains(*need);
                needs
                    .iter()
                    .filter(untested)
                    .eq(other.iter().filter(untested))
            }
            Some(_) => true,
            None => only_here.iter().any(|name| package.starts_with(name)),
        };
        assert!(
            same,
            "{package} is not as in Cargo.lock; copy that to tests/fuzz, and run \
             cargo metadata --manifest-path tests/fuzz/Cargo.toml"
        );
    }
}

/// The packages of a lockfile, each with the names of what it needs.
fn packages(path: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(path).unwrap();
    text.split("[[package]]")
        .skip(1)
        .map(|package| {
            let field = |name: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().replace('"', "")
            };
            let name = format!("{} {}", field("name = "), field("version = "));
            let needs = package
                .lines()
                .filter_map(|line| line.strip_prefix(" \""))
                .map(|need| need.split([' ', '"']).next().unwrap().to_owned())
                .collect();
            (name, needs)
        })
        .collect()
}

/// What only the tests of one of our packages need: the product's lockfile
/// names it beside the rest, the fuzzer's does not have it.
fn only_in_tests(root: &Path, package: &str) -> BTreeSet<String> {
    let folder = package.trim_start_matches("watchfire-");
    let folder = folder.split(' ').next().unwrap();
    let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
    let (_, after) = manifest
        .split_once("[dev-dependencies]")
        .unwrap_or_default();
    after
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .map(str::to_owned)
        .collect()
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
