//! Counts over real public documents, where they are at hand.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use watchfire_protocol::marking::Marking;
use watchfire_protocol::stix::document::{Document, DocumentError, Shape};
use watchfire_protocol::stix::markings::{MarkingRefusal, ObjectMarking, effective, survey};
use watchfire_protocol::stix::object::ObjectRefusal;
use watchfire_protocol::stix::pattern::extract;

/// The folder of real data, or nothing and one loud line.
fn data(unchecked: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WATCHFIRE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if folder.join("stix21").is_dir() {
        return Some(folder);
    }
    eprintln!("WATCHFIRE_DATA ABSENT: {unchecked}");
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut open = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn public_stix_documents_give_the_known_counts() {
    let Some(data) = data("counts of objects, versions and patterns over public STIX 2.1") else {
        return;
    };
    let (mut shapes, mut refused_files) = (Vec::new(), Vec::new());
    let (mut elements, mut refused, mut duplicates) = (0, Vec::new(), 0);
    let mut versions = BTreeSet::new();
    let (mut indicators, mut single, mut complex, mut unindexed) = (0, 0, 0, 0);
    for file in files(&data.join("stix21")) {
        let bytes = std::fs::read(&file).unwrap();
        let document = match Document::read(&bytes) {
            Ok(document) => document,
            Err(error) => {
                refused_files.push((file, error));
                continue;
            }
        };
        shapes.push(document.shape());
        elements += document.verdicts().len();
        duplicates += document.duplicates().count();
        for object in document.refused() {
            refused.push((file.clone(), object.id.clone(), object.reason.clone()));
        }
        for object in document.accepted() {
            assert!(document.bytes_of(object).starts_with(b"{"));
            versions.insert((object.id.clone(), object.modified));
            if object.kind == "indicator" {
                indicators += 1;
                let json = document.json_of(object).unwrap();
                let found = extract(json.text("pattern").unwrap()).unwrap();
                if found.is_single_equality() {
                    single += 1;
                    assert_eq!(found.values.len(), 1, "{}", object.id);
                } else {
                    complex += 1;
                }
                unindexed += usize::from(found.values.is_empty());
            }
        }
    }
    assert_eq!(refused_files.len(), 1);
    assert!(refused_files[0].0.ends_with("index.json"));
    assert!(matches!(refused_files[0].1, DocumentError::NotStix { .. }));
    let count = |shape| shapes.iter().filter(|found| **found == shape).count();
    assert_eq!(
        (
            count(Shape::Bundle),
            count(Shape::Array),
            count(Shape::Single)
        ),
        (11, 16, 1)
    );
    // 7,025 in bundles and arrays, and the single object.
    assert_eq!(elements, 7_026);
    // One file of examples repeats observables, five of them with other members
    // under the same id.
    assert_eq!((duplicates, refused.len()), (7, 5), "{refused:?}");
    for (file, _, reason) in &refused {
        assert!(file.ends_with("sco-examples-bundle.json"));
        assert_eq!(*reason, ObjectRefusal::SecondBody);
    }
    assert_eq!(versions.len(), 6_538);
    assert_eq!((indicators, single, complex), (5_033, 4_936, 97));
    // Two certificates and two e-mail messages.
    assert_eq!(unindexed, 4);
}

#[test]
fn public_stix_documents_have_the_known_markings() {
    let Some(data) = data("markings over public STIX 2.1") else {
        return;
    };
    let mut above_clear = Vec::new();
    for file in files(&data.join("stix21")) {
        let bytes = std::fs::read(&file).unwrap();
        let Ok(document) = Document::read(&bytes) else {
            continue;
        };
        let survey = survey(&document);
        for entry in document.entries(&survey).unwrap() {
            if !matches!(
                entry.marking,
                ObjectMarking::Unmarked | ObjectMarking::Marked(Marking::Clear)
            ) {
                above_clear.push((entry.id, entry.marking));
            }
        }
        let name = file.to_string_lossy().into_owned();
        match effective(&document, Some(Marking::Clear)) {
            Ok(marking) => assert_eq!(marking, Marking::Clear),
            // RED beside an id that nobody defines.
            Err(MarkingRefusal::Closed { .. }) => assert!(name.contains("interop"), "{name}"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
    assert_eq!(above_clear.len(), 1, "{above_clear:?}");
}
