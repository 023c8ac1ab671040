//! The demonstration as anybody runs it: the program by itself, and the whole
//! summary it prints.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const MEMBERS: [(&str, &str); 4] = [
    ("north-cert", "agency"),
    ("south-cert", "agency"),
    ("west-cert", "agency"),
    ("hub", "hub"),
];

/// Runs `demo --once`, without anything of the environment that would steer it.
fn demo(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchfire-under-test"))
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .env("TMPDIR", dir)
        .args(["demo", "--once"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Checks everything the summary says, and returns its bundles' authors.
fn authors(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(keys(&summary), ["data", "schema"]);
    assert_eq!(summary["schema"], "watchfire.demo/1");
    let data = &summary["data"];
    assert_eq!(keys(data), ["bundles", "latencies_ms", "leaks", "members"]);

    let members = MEMBERS.map(|(slug, role)| json!({ "slug": slug, "role": role }));
    assert_eq!(data["members"], json!(members));
    assert_eq!(data["leaks"], json!(0), "an integer");

    let latencies = &data["latencies_ms"];
    assert_eq!(keys(latencies), ["max", "p50", "p99"]);
    let [p50, p99, max] = ["p50", "p99", "max"].map(|name| latencies[name].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{latencies}");

    let slugs = json!(MEMBERS.map(|(slug, _)| slug));
    let bundles = data["bundles"].as_array().unwrap();
    let mut ids: Vec<&str> = Vec::new();
    for bundle in bundles {
        let fields = ["author", "holds", "id", "marking", "opened", "refused"];
        assert_eq!(keys(bundle), fields);
        assert_eq!(bundle["marking"], "TLP:CLEAR");
        assert_eq!(bundle["holds"], slugs);
        assert_eq!(bundle["opened"], slugs);
        let refused = json!([{ "member": "outsider", "rule": "not-in-roster" }]);
        assert_eq!(bundle["refused"], refused);
        let id = bundle["id"].as_str().unwrap();
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        ids.push(id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), bundles.len(), "each bundle once");
    let authors = bundles.iter().map(|bundle| bundle["author"].as_str());
    authors.map(|author| author.unwrap().to_owned()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn the_built_in_story_reaches_everybody_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let output = demo(dir.path(), &["--json"]);
    assert_eq!(
        authors(&output),
        ["north-cert", "south-cert", "west-cert", "north-cert"]
    );
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 0, "its stores are removed");
}

#[test]
fn own_files_reach_everybody_and_are_found_there() {
    let dir = tempfile::tempdir().unwrap();
    let list = "# made up\nfirst-own.example\n198.51.100.77\n";
    std::fs::write(dir.path().join("own.txt"), list).unwrap();
    // A report without one value is found by an object of it.
    let report = r#"[{"type":"identity","spec_version":"2.1","id":"identity--5d6b2b36-1c7b-4a55-8f2b-0a8d2b7c4e10","created":"2026-11-01T00:00:00Z","modified":"2026-11-01T00:00:00Z","name":"A desk"}]"#;
    std::fs::write(dir.path().join("desk.json"), report).unwrap();
    let intel = ["--intel", "own.txt", "desk.json"];
    let output = demo(dir.path(), &[&["--json"], intel.as_slice()].concat());
    assert_eq!(authors(&output), ["north-cert", "south-cert"]);

    let output = demo(dir.path(), &intel);
    assert_eq!(output.status.code(), Some(0));
    let story = String::from_utf8(output.stderr).unwrap();
    for (slug, _) in MEMBERS {
        let searches = story
            .lines()
            .find(|line| line.contains(slug) && line.contains("searches:"));
        let searches = searches.unwrap_or_else(|| panic!("{slug} does not search in\n{story}"));
        for found in [
            "first-own[.]example from north-cert",
            "identity--5d6b2b36-1c7b-4a55-8f2b-0a8d2b7c4e10 from south-cert",
        ] {
            assert!(searches.contains(found), "{searches}");
        }
    }
    let tries = story.matches("gets no connection, refused by 4 of 4");
    assert_eq!(tries.count(), 2, "before and after publishing:\n{story}");
}
