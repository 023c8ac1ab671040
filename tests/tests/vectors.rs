//! The golden vectors of `tests/vectors`: named bytes and what must become of
//! them, for this implementation and every other.
//!
//! `WATCHFIRE_BLESS=1` writes them anew from the forge. A difference in a file
//! that existed is a change of the wire, and wants a decision, not a blessing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "vectors/codec.rs"]
mod codec;
#[path = "vectors/file.rs"]
mod file;
#[path = "vectors/frames.rs"]
mod frames;
#[path = "vectors/members.rs"]
mod members;
#[path = "vectors/messages.rs"]
mod messages;
#[path = "vectors/openings.rs"]
mod openings;
#[path = "vectors/page.rs"]
mod page;
#[path = "vectors/trees.rs"]
mod trees;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use file::Vector;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::genesis::GenesisFile;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Every vector, made anew.
fn made() -> BTreeMap<String, Vector> {
    let vectors = [
        frames::make(),
        members::make(),
        codec::make(),
        messages::make(),
        trees::make(),
        openings::make(),
    ];
    let mut all = BTreeMap::new();
    for (name, vector) in vectors.into_iter().flatten() {
        assert!(all.insert(name.clone(), vector).is_none(), "two vectors are called {name}");
    }
    all
}

/// Every file of the folder but its explanation.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name != "README.md" {
            let name = name.strip_suffix(".vector").unwrap_or_else(|| panic!("{name} is no vector"));
            files.insert(name.to_owned(), std::fs::read_to_string(&path).unwrap());
        }
    }
    files
}

#[test]
fn the_files_are_those_that_the_forge_makes() {
    let made = made();
    if std::env::var_os("WATCHFIRE_BLESS").is_some_and(|bless| bless == "1") {
        for name in files().keys().filter(|name| !made.contains_key(*name)) {
            std::fs::remove_file(folder().join(format!("{name}.vector"))).unwrap();
        }
        for (name, vector) in &made {
            std::fs::write(folder().join(format!("{name}.vector")), vector.render()).unwrap();
        }
    }
    let files = files();
    let missing: Vec<_> = made.keys().filter(|name| !files.contains_key(*name)).collect();
    let extra: Vec<_> = files.keys().filter(|name| !made.contains_key(*name)).collect();
    let differ: Vec<_> = made.iter().filter(|(name, vector)| files.get(*name) != Some(&vector.render())).collect();
    let differ: Vec<_> = differ.into_iter().map(|(name, _)| name).filter(|name| !missing.contains(name)).collect();
    assert!(
        missing.is_empty() && extra.is_empty() && differ.is_empty(),
        "missing {missing:?}, extra {extra:?}, different {differ:?}"
    );
}

/// Reads the files as another implementation would, and judges each with the
/// product: nothing here comes from the forge.
#[test]
fn the_product_judges_every_file_as_it_says() {
    let files: BTreeMap<String, Vector> =
        files().into_iter().map(|(name, text)| (name, Vector::parse(&text))).collect();
    let federation = &files["federation"];
    let roster = Roster::found(&GenesisFile::from_bytes(&federation.bytes("genesis")).unwrap()).unwrap();
    members::judge_federation(federation, &roster);
    let (mut good, mut bad) = (0, 0);
    for (name, vector) in files.iter().filter(|(name, _)| *name != "federation") {
        match vector.text("test") {
            "frame" => frames::judge(name, vector, &roster),
            "key" | "card" | "certificate" | "genesis" => members::judge(name, vector, &roster),
            "codec" => codec::judge(name, vector),
            "request" | "answer" | "door-request" | "door-answer" => messages::judge(name, vector),
            "chunk" => trees::judge(name, vector),
            "opening" => openings::judge(name, vector),
            other => panic!("{name}: no test is called {other}"),
        }
        let expect = vector.text("expect");
        assert!(name.split('-').any(|word| word == expect), "{name} does not say that it is {expect}");
        match expect {
            "accept" | "open" => good += 1,
            "reject" | "ignore" | "refuse" => bad += 1,
            other => panic!("{name}: nothing can be expected to {other}"),
        }
    }
    assert!(bad > good && good > 40, "{bad} bad vectors, {good} good ones");
}

#[test]
fn the_readme_names_every_test_and_no_other() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let named: Vec<&str> =
        readme.lines().filter_map(|line| line.strip_prefix("### `")).filter_map(|line| line.split('`').next()).collect();
    let mut used: Vec<String> = made().values().map(|vector| vector.text("test").to_owned()).collect();
    used.sort();
    used.dedup();
    let mut sorted = named.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, used);
}
