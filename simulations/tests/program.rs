//! The program as scripts see it: exit codes, documents, the same bytes twice.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SMALL: &str = "why = \"small\"\nmembers = 4\nseeds = [\"1..2\"]\nduration = \"5s\"\n[workload]\nbundles = 3\n";

fn sim(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchfire-sim"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// A folder with this scenario in it.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.toml"), text).unwrap();
    folder
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap()
}

#[test]
fn two_processes_give_one_trace() {
    let folder = folder(SMALL);
    let run = |jobs: &str| -> Value {
        let output = sim(
            folder.path(),
            &["run", "small.toml", "--json", "--quiet", "--jobs", jobs],
        );
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one["schema"], "watchfire.simulations/1");
    assert_eq!(one["data"]["trace_hash"].as_str().unwrap().len(), 64);
    assert_eq!(one["data"]["trace_hash"], two["data"]["trace_hash"]);
    let of = |document: &Value, run: usize, key: &str| {
        document["data"]["scenarios"][0]["runs"][run][key].clone()
    };
    for run in 0..2 {
        for key in [
            "seed",
            "trace_hash",
            "stores_hash",
            "events",
            "bytes",
            "delay_p99_us",
        ] {
            assert_eq!(of(&one, run, key), of(&two, run, key), "{key}");
        }
    }
    assert_ne!(of(&one, 0, "trace_hash"), of(&one, 1, "trace_hash"));
}

#[test]
fn a_table_a_summary_and_a_csv_with_units() {
    let folder = folder(SMALL);
    let output = sim(
        folder.path(),
        &["run", "small.toml", "--seed", "7", "--csv", "runs.csv"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(table.len(), 2, "{table:?}");
    assert!(
        table[0].contains("converged ms") && table[1].contains("small"),
        "{table:?}"
    );
    let last = text(&output.stderr).lines().last().unwrap();
    assert!(last.starts_with("1 runs, 0 failed; "), "{last}");
    let mut csv = csv::Reader::from_path(folder.path().join("runs.csv")).unwrap();
    let columns: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
    for column in ["virtual_ms", "delay_p99_us", "bytes_per_node", "trace_hash"] {
        assert!(columns.iter().any(|name| name == column), "{columns:?}");
    }
    let rows: Vec<csv::StringRecord> = csv.records().collect::<Result<_, _>>().unwrap();
    assert_eq!((rows.len(), &rows[0][1]), (1, "7"));
}

#[test]
fn an_expectation_that_fails_is_told_with_the_command_that_repeats_it() {
    let folder = folder(&format!("{SMALL}[expect]\npublished_min = 4\n"));
    let output = sim(folder.path(), &["run", "small.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("small, seed 1: expected published_min = 4, found 3"),
        "{said}"
    );
    assert!(
        said.contains("watchfire-sim run small.toml --seed 2"),
        "{said}"
    );
    assert!(
        said.lines().last().unwrap().starts_with("2 runs, 2 failed"),
        "{said}"
    );
    let again = sim(
        folder.path(),
        &["run", "small.toml", "--seed", "2", "--quiet"],
    );
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn a_wrong_file_or_command_line_is_a_mistake_of_use() {
    let folder = folder(&SMALL.replace("members", "member"));
    for command in ["check", "run"] {
        let output = sim(folder.path(), &[command, "small.toml", "absent.toml"]);
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(
            said.contains(
                "small.toml:2: the file has no key \"member\"; did you mean \"members\"?"
            ),
            "{said}"
        );
        assert!(said.contains("absent.toml: could not be opened"), "{said}");
    }
    let json = sim(folder.path(), &["check", "--json", "small.toml"]);
    let error: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!(
        (&error["schema"], &error["data"]["code"]),
        (&"watchfire.error/1".into(), &2.into())
    );
    for wrong in [
        &["run"][..],
        &["run", "x", "--seeds", "5..1"],
        &["play"],
        &["run", "x", "--until", "5"],
    ] {
        assert_eq!(
            sim(folder.path(), wrong).status.code(),
            Some(2),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_written_costs_no_run() {
    let folder = folder(SMALL);
    let output = sim(
        folder.path(),
        &["run", "small.toml", "--csv", "absent/runs.csv"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("could not write absent/runs.csv"));
}
