//! What must be sealed is refused while there is no sealing, and nothing of it
//! reaches a store: not the author's own, and not another's. The samples are
//! made here.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use watchfire_node::disk::SledStore;
use watchfire_node::driver::PublishFailure;
use watchfire_node::formats::import;
use watchfire_protocol::engine::PublishRefusal;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::PrepareError;
use watchfire_protocol::stix::markings::MarkingRefusal;
use watchfire_protocol::stix::markings::definition::tlp2_id;
use watchfire_protocol::store::Store;
use watchfire_protocol::table;

use watchfire_tests::mesh::{Listen, Mesh};

/// Every sample holds it, and nothing else does.
const SECRET: &str = "planted-secret";

/// TLP 1.0 (STIX 2.1, section 7.2.1.4), which has no AMBER+STRICT.
const TLP1: [(Marking, &str); 3] = [
    (
        Marking::Green,
        "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    ),
    (
        Marking::Amber,
        "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    ),
    (
        Marking::Red,
        "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
    ),
];

const SEALED: [Marking; 4] = [
    Marking::Green,
    Marking::Amber,
    Marking::AmberStrict,
    Marking::Red,
];

/// An indicator with this text in its value and at length in its description,
/// marked by reference.
fn indicator(number: usize, text: &str, marking: Option<&str>) -> (String, Vec<u8>) {
    let id = format!("indicator--00000000-0000-4000-8000-{number:012x}");
    let marking = marking.map_or_else(String::new, |id| {
        format!(",\"object_marking_refs\":[\"{id}\"]")
    });
    let description = format!("{text} described, ").repeat(40);
    let stix = format!(
        "{{\"type\":\"bundle\",\"id\":\"bundle--00000000-0000-4000-8000-{number:012x}\",\"objects\":[{{\
         \"type\":\"indicator\",\"spec_version\":\"2.1\",\"id\":\"{id}\",\
         \"created\":\"2026-11-01T00:00:00Z\",\"modified\":\"2026-11-01T00:00:00Z\",\
         \"description\":\"{description}\",\"pattern\":\"[domain-name:value = '{text}-{number}.example']\",\
         \"pattern_type\":\"stix\",\"valid_from\":\"2026-11-01T00:00:00Z\"{marking}}}]}}"
    );
    (id, stix.into_bytes())
}

/// Where a store holds a text: in which tables, as it stands or in anything
/// compressed.
fn traces(store: &SledStore, text: &str) -> Vec<String> {
    let holds = |bytes: &[u8]| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let mut found = Vec::new();
    for (key, value) in store.scan(b"", b"", usize::MAX).unwrap() {
        let name = String::from_utf8_lossy(&key[..1]).into_owned();
        if holds(&key) {
            found.push(format!("key of {name}"));
        }
        // A block of the index says of each entry only what differs from the
        // one before: it is looked at unpacked.
        let entries = match name.as_str() {
            "I" | "V" => table::entries_in(&key, &value).unwrap(),
            _ => Vec::new(),
        };
        if entries.iter().any(|entry| holds(entry)) {
            found.push(format!("entry of {name}"));
        }
        if holds(&value) {
            found.push(format!("value of {name}"));
        }
        if compressed_in(&value).iter().any(|plain| holds(plain)) {
            found.push(format!("compressed in {name}"));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What every zstd frame (RFC 8878, section 3.1.1) in some bytes decodes to,
/// wherever it begins.
fn compressed_in(bytes: &[u8]) -> Vec<Vec<u8>> {
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
    let begins = bytes
        .windows(MAGIC.len())
        .enumerate()
        .filter(|(_, window)| *window == MAGIC);
    begins
        .filter_map(|(at, _)| zstd::stream::read::Decoder::new(&bytes[at..]).ok())
        .map(|decoder| {
            let mut plain = Vec::new();
            // What does not decode to its end is looked at as far as it does.
            let _ = decoder.single_frame().read_to_end(&mut plain);
            plain
        })
        .collect()
}

/// Whether any file below a directory holds a text.
fn is_in_files(folder: &Path, text: &str) -> bool {
    super::files(folder).values().any(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

fn assert_sealing_absent(what: &str, refused: &PublishFailure, marking: Marking) {
    assert_eq!(
        *refused,
        PublishFailure::Refused(PublishRefusal::SealingAbsent { marking }),
        "{what}"
    );
    assert!(
        refused.to_string().contains(marking.label()),
        "{what} is refused by name: {refused}"
    );
}

#[test]
fn attack_40_what_is_above_clear_is_refused_and_leaves_no_trace() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let mut north = mesh.start(0);
    let mut south = mesh.start(1);
    north.meets(mesh.node(1));
    south.meets(mesh.node(0));

    // Something that may travel, which the search below must find.
    let (_, canary) = indicator(1, "planted-canary", Some(tlp2_id(Marking::Clear)));
    let canary = north.publish(canary, None).unwrap().published;

    let mut number = 100;
    let mut refused = 0;
    for marking in SEALED {
        let mut options = super::options(&mesh, 0);
        options.marking = Some(marking);
        let list = format!("{SECRET}-{number}.example\n192.0.2.{number}\n");
        let import = import("list.txt", list.as_bytes(), &options).unwrap();
        // What is converted carries its marking, so the flag may be left out.
        for flag in [Some(marking), None] {
            let error = north.publish(import.stix.clone(), flag).unwrap_err();
            assert_sealing_absent(&format!("a list as {marking}"), &error, marking);
            refused += 1;
        }

        // STIX without a marking takes the flag; with one, in either family of
        // definitions, it needs none, and no flag lowers it.
        let (_, unmarked) = indicator(number, SECRET, None);
        let error = north.publish(unmarked, Some(marking)).unwrap_err();
        assert_sealing_absent(&format!("STIX with the flag {marking}"), &error, marking);
        let families = TLP1
            .iter()
            .filter(|(label, _)| *label == marking)
            .map(|(_, id)| *id)
            .chain([tlp2_id(marking)]);
        for definition in families {
            number += 1;
            let (id, stix) = indicator(number, SECRET, Some(definition));
            let error = north.publish(stix.clone(), None).unwrap_err();
            assert_sealing_absent(&format!("STIX marked {definition}"), &error, marking);
            let error = north.publish(stix, Some(Marking::Clear)).unwrap_err();
            let PublishFailure::Prepare(PrepareError::Marking(MarkingRefusal::Stricter {
                objects,
                strictest,
                ..
            })) = &error
            else {
                panic!("{definition} with the flag CLEAR: {error}");
            };
            assert_eq!((objects, *strictest), (&vec![id.clone()], marking));
            assert!(error.to_string().contains(&id), "{error}");
            refused += 2;
        }
        number += 1;
        refused += 1;
    }
    // Two of a list, one of a flag, two of each of seven definitions.
    assert_eq!(refused, 4 * 3 + 7 * 2);

    // A refusal takes no place in the stream.
    let (_, last) = indicator(2, "planted-canary", None);
    let last = north.publish(last, Some(Marking::Clear)).unwrap().published;
    assert_eq!((canary.sequence, last.sequence), (1, 2));
    for node in [&mut north, &mut south] {
        node.finds(&[canary.bundle, last.bundle]);
        assert_eq!(node.bundles().len(), 2);
        let store = node.node().store();
        let everywhere: BTreeSet<String> = traces(store, "planted-canary").into_iter().collect();
        for place in ["entry of V", "value of T", "compressed in L"] {
            assert!(
                everywhere.contains(place),
                "the search does not see what is there: {everywhere:?}"
            );
        }
        assert_eq!(traces(store, SECRET), [""; 0]);
    }
    north.stop();
    south.stop();
    for number in 0..2 {
        assert!(is_in_files(&mesh.store(number), "planted-canary"));
        assert!(!is_in_files(&mesh.store(number), SECRET), "store {number}");
    }
}
