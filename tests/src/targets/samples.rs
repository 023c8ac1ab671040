//! Samples from the repository's vectors (`tests/vectors/README.md`).

use std::fs;
use std::path::Path;

use crate::bytes::unhex;

/// Samples longer than this say nothing that a shorter one does not, and slow
/// every mutation down; in bytes.
pub const SAMPLE_BYTES_MAX: usize = 4_096;

/// The field `name` of every vector of these tests, if it is short enough.
///
/// # Panics
/// When the vectors are not there.
pub fn vectors(tests: &[&str], name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "vector")
        })
        .collect();
    paths.sort();
    let samples: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .filter(|text| {
            tests
                .iter()
                .any(|test| text.lines().any(|line| line == format!("test: {test}")))
        })
        .filter_map(|text| field(&text, name))
        .filter(|bytes| bytes.len() <= SAMPLE_BYTES_MAX)
        .collect();
    assert!(!samples.is_empty(), "no vector of {tests:?} has {name}");
    samples
}

fn field(text: &str, name: &str) -> Option<Vec<u8>> {
    let heading = format!("{name}:");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&heading));
    let own = lines.next()?.strip_prefix(&heading)?.trim();
    let below = lines.take_while(|line| line.starts_with("  "));
    Some(
        std::iter::once(own)
            .chain(below.map(str::trim))
            .flat_map(|line| match line.split_once(" times ") {
                Some((times, byte)) => unhex(byte).repeat(times.parse().unwrap()),
                None if line == "nothing" => Vec::new(),
                None => unhex(line),
            })
            .collect(),
    )
}
