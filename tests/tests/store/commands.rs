//! `watchfire store check` and `watchfire store stats`, as a person and a
//! script see them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use watchfire_node::disk::{SledStore, published};
use watchfire_node::home::Home;
use watchfire_node::keystore::{MODE_PUBLIC, write_new};
use watchfire_protocol::store::{Batch, Store};
use watchfire_tests::mesh::{Listen, Mesh, document};

const ENVELOPES: u64 = 4;

/// A data directory whose store holds a few envelopes.
struct Place {
    _mesh: Mesh,
    home: Home,
}

impl Place {
    fn filled() -> Self {
        let mesh = Mesh::of(&[Listen::Nowhere, Listen::Nowhere]);
        let node = mesh.start(0);
        let documents = (1..=ENVELOPES)
            .map(|number| document(number, 500))
            .collect();
        node.publish_all(documents);
        node.stop();
        let home = Home::create(&mesh.directory().join("home")).unwrap();
        write_new(&home.genesis(), &mesh.genesis_file(), MODE_PUBLIC).unwrap();
        fs::rename(mesh.store(0), home.store()).unwrap();
        fs::rename(
            published::path_for(&mesh.store(0)),
            published::path_for(&home.store()),
        )
        .unwrap();
        Self { _mesh: mesh, home }
    }

    fn store(&self) -> SledStore {
        SledStore::open(&self.home.store()).unwrap()
    }

    fn run(&self, args: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_watchfire-under-test"))
            .arg("--data-dir")
            .arg(self.home.path())
            .arg("store")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said::of(output)
    }
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    fn data(&self, schema: &str) -> Value {
        let document: Value = serde_json::from_str(&self.out).unwrap();
        assert_eq!(document["schema"], schema);
        document["data"].clone()
    }

    #[track_caller]
    fn has_line(&self, line: &str) {
        assert!(self.out.lines().any(|found| found == line), "{}", self.out);
    }
}

fn spoil(place: &Place) -> Vec<u8> {
    let store = place.store();
    let (key, mut value) = store.scan(b"L", b"L", 2).unwrap().remove(1);
    let last = value.len() - 1;
    value[last] ^= 1;
    let mut batch = Batch::default();
    batch.put(key.clone(), value);
    store.apply(&batch).unwrap();
    store.flush().unwrap();
    key
}

#[test]
fn a_sound_store_is_counted_and_passes() {
    let place = Place::filled();
    let said = place.run(&["stats"]).ends(0);
    said.has_line(&format!("envelopes\t{ENVELOPES}"));
    said.has_line(&format!("bundles\t{ENVELOPES}"));
    said.has_line(&format!("objects\t{ENVELOPES}"));
    said.has_line(&format!("values\t{ENVELOPES}"));
    said.has_line("evidence\t0");
    let stats = place.run(&["stats", "--json"]).ends(0);
    let stats = stats.data("watchfire.store-stats/1");
    assert_eq!(stats["envelopes"], ENVELOPES);
    assert!(stats["disk_bytes"].as_u64().unwrap() > 10_000);
    assert!(stats["free_bytes"].as_u64().is_none_or(|free| free > 0));
    let log = &stats["tables"]
        .as_array()
        .unwrap()
        .iter()
        .find(|table| table["name"] == "log")
        .unwrap()
        .clone();
    assert_eq!(
        (&log["entries"], &log["truth"]),
        (&ENVELOPES.into(), &true.into())
    );

    let check = place.run(&["check"]).ends(0);
    check.has_line(&format!("envelopes verified\t{ENVELOPES}"));
    check.has_line("bad\t0");
    let check = place.run(&["check", "--json"]).ends(0);
    let check = check.data("watchfire.store-check/1");
    assert_eq!(check["sound"], true);
    assert_eq!(check["bad"].as_array().unwrap().len(), 0);
}

#[test]
fn attack_37_what_does_not_hold_is_named_and_ends_with_18() {
    let place = Place::filled();
    let key = spoil(&place);
    let said = place.run(&["check"]).ends(18);
    said.has_line("bad\t1");
    assert!(said.out.contains("bad\tlog\tarrival 1\t"), "{}", said.out);
    assert!(said.err.contains("the store is damaged"), "{}", said.err);
    assert!(said.err.contains("--rebuild"), "{}", said.err);
    let said = place.run(&["check", "--json"]).ends(18);
    let check = said.data("watchfire.store-check/1");
    assert_eq!(check["sound"], false);
    assert_eq!(check["bad"][0]["key"], hex::encode(&key));
    assert!(
        place.store().get(&key).unwrap().is_some(),
        "nothing is changed"
    );

    let said = place.run(&["check", "--rebuild"]).ends(0);
    said.has_line("truth removed\t1");
    said.has_line(&format!("envelopes indexed\t{}", ENVELOPES - 1));
    assert!(
        said.out.contains("removed\tlog\tarrival 1\t"),
        "{}",
        said.out
    );
    assert_eq!(place.store().get(&key).unwrap(), None);
    place.run(&["check"]).ends(0);
}

#[test]
fn attack_37_lost_indexes_are_made_again() {
    let place = Place::filled();
    let store = place.store();
    let whole = store.scan(b"", b"", usize::MAX).unwrap();
    let mut batch = Batch::default();
    for (key, _) in whole
        .iter()
        .filter(|(key, _)| matches!(key[0], b'E' | b'F' | b'A'))
    {
        batch.remove(key.clone());
    }
    store.apply(&batch).unwrap();
    store.flush().unwrap();
    drop(store);
    place.run(&["check"]).ends(18);
    let said = place.run(&["check", "--rebuild", "--json"]).ends(0);
    let check = said.data("watchfire.store-check/1");
    assert_eq!(check["rebuilt"]["envelopes"], ENVELOPES);
    assert_eq!(check["rebuilt"]["truth_removed"], 0);
    let store = place.store();
    for (key, value) in whole
        .iter()
        .filter(|(key, _)| matches!(key[0], b'E' | b'F' | b'A'))
    {
        assert_eq!(store.get(key).unwrap().as_ref(), Some(value));
    }
}

#[test]
fn a_store_that_is_in_use_is_left_alone_with_11() {
    let place = Place::filled();
    let refused = |said: Said| {
        let said = said.ends(11);
        assert!(said.err.contains("in use by process"), "{}", said.err);
        assert!(said.err.contains("watchfire: hint: "), "{}", said.err);
        assert!(said.err.contains("watchfire status"), "{}", said.err);
    };
    let lock = place.home.lock().unwrap();
    refused(place.run(&["check"]));
    refused(place.run(&["stats"]));
    refused(place.run(&["check", "--rebuild"]));
    drop(lock);
    let store = place.store();
    refused(place.run(&["check"]));
    drop(store);
    place.run(&["check"]).ends(0);
}

#[test]
fn attack_37_a_store_that_does_not_open_is_not_touched() {
    let place = Place::filled();
    fs::write(place.home.store().join("sled/conf"), "").unwrap();
    for args in [&["check"][..], &["check", "--rebuild"], &["stats"]] {
        let said = place.run(args).ends(18);
        assert!(said.err.contains("does not open"), "{}", said.err);
        assert!(said.err.contains("start the node"), "{}", said.err);
    }
    assert_eq!(names_beside(&place.home.store()).len(), 2);
}

fn names_beside(store: &Path) -> Vec<PathBuf> {
    fs::read_dir(store.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("store")
        })
        .collect()
}

#[test]
fn an_own_stream_is_accepted_only_where_the_store_is_sound() {
    let place = Place::filled();
    let note = published::path_for(&place.home.store());
    let said = place.run(&["check", "--accept-own-stream"]).ends(0);
    said.has_line("own streams accepted\t1");
    assert!(note.exists());
    spoil(&place);
    let before = fs::read(&note).unwrap();
    place.run(&["check", "--accept-own-stream"]).ends(18);
    assert_eq!(fs::read(&note).unwrap(), before);
}

#[test]
fn without_a_store_or_a_home_the_commands_say_what_is_missing() {
    let place = Place::filled();
    fs::remove_dir_all(place.home.store()).unwrap();
    let said = place.run(&["check"]).ends(14);
    assert!(said.err.contains("no store at"), "{}", said.err);
    fs::remove_dir_all(place.home.path()).unwrap();
    place.run(&["stats"]).ends(10);
}
