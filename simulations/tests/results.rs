//! The results of the long run that are committed: of the scenario and the
//! engine as they stand, complete, and the same in both forms.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use serde_json::Value;
use std::path::PathBuf;
use watchfire_crypto::sha256;

const DAY_MS: u64 = 86_400_000;

const AGAIN: &str = "play it again as simulations/README.md says";

fn result(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("results")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{name}: {why}; {AGAIN}"))
}

/// A document of the program, of this scenario file as it stands and without
/// a failure: what it says of all runs, and the runs.
fn document(name: &str) -> (Value, Vec<Value>) {
    let document: Value = serde_json::from_str(&result(name)).unwrap();
    assert_eq!(document["schema"], "watchfire.simulations/1");
    let data = document["data"].clone();
    assert_eq!(data["failed"], 0, "{name}");
    let scenario = &data["scenarios"][0];
    let text = std::fs::read(common::folder().join("long/thousand-days.toml")).unwrap();
    let digest: String = sha256(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let of = &scenario["file_sha256"];
    assert_eq!(of, digest.as_str(), "the scenario changed: {AGAIN}");
    let runs = scenario["runs"].as_array().unwrap().clone();
    for run in &runs {
        assert_eq!((&run["outcome"], &run["what"]), (&"ok".into(), &"".into()));
        assert_eq!(run["members"], 12);
    }
    (data, runs)
}

/// The first hours of one seed, played here: the same trace as when the results
/// were made, so that they are of this engine and this model. What
/// differs only later is not seen.
#[test]
fn the_committed_results_are_of_this_engine() {
    let (data, runs) = document("thousand-days-piece.json");
    let run = &runs[0];
    let mut scenario = common::read("long/thousand-days").scenario(run["seed"].as_u64().unwrap());
    scenario.stop_ms = data["until_ms"].as_u64();
    scenario.expect = scenario.expect.of_a_piece();
    let report = common::run(scenario);
    assert!(report.published > 0, "{report:?}");
    assert!(report.virtual_ms >= 14 * 60 * 60 * 1_000, "{report:?}");
    assert_eq!(
        run["trace_hash"],
        report.trace.to_string().as_str(),
        "the engine or the model changed: {AGAIN}"
    );
}

#[test]
fn the_committed_results_are_complete_and_of_this_scenario() {
    let (data, runs) = document("thousand-days.json");
    assert!(data["until_ms"].is_null());
    assert_eq!(data["runs"], 50);
    let seeds: Vec<u64> = runs
        .iter()
        .map(|run| run["seed"].as_u64().unwrap())
        .collect();
    let file = common::read("long/thousand-days");
    assert_eq!(seeds, file.seeds);
    assert_eq!(seeds.len(), 50);
    let figure = |run: &Value, key: &str| run[key].as_u64().unwrap();
    let virtual_ms: u64 = runs.iter().map(|run| figure(run, "virtual_ms")).sum();
    assert!(virtual_ms >= 1_000 * DAY_MS, "{virtual_ms}");
    // How many in one seed is chance; of all of them it is not.
    let lossy: u64 = runs
        .iter()
        .map(|run| figure(run, "crashes_with_loss"))
        .sum();
    assert!(lossy >= 2 * 50, "{lossy}");
    // The expectations once more, of the figures and not of what is said of them.
    for run in &runs {
        let expect = file.scenario(figure(run, "seed")).expect;
        for (key, least) in [
            ("published", expect.published_min),
            ("refused", expect.refused),
            ("crashes", expect.crashes_min),
            ("conflicts", expect.conflicts_min),
        ] {
            assert!(figure(run, key) >= least.unwrap(), "{key} of {run}");
        }
        for (key, most) in [
            ("refused", expect.refused),
            ("bytes_per_node", expect.bytes_per_node_max),
            ("store_bytes_max", expect.store_bytes_max),
        ] {
            assert!(figure(run, key) <= most.unwrap(), "{key} of {run}");
        }
        let kinds: u64 = ["gossip", "gossip_hostile", "request", "frontier", "range"]
            .into_iter()
            .chain(["range_hostile", "chunk", "other"])
            .chain(["gossip_notice", "notices"])
            .map(|kind| figure(run, &format!("{kind}_bytes")))
            .sum();
        assert_eq!(kinds, figure(run, "bytes"), "{run}");
    }
}

/// The table says the same as the document: every figure, and nothing else.
#[test]
fn the_committed_table_is_of_the_committed_document() {
    let (_, runs) = document("thousand-days.json");
    let rows = result("thousand-days.csv");
    let mut table = csv::Reader::from_reader(rows.as_bytes());
    let columns = table.headers().unwrap().clone();
    assert_eq!(columns.len(), runs[0].as_object().unwrap().len());
    let rows: Vec<csv::StringRecord> = table.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), runs.len());
    for (row, run) in rows.iter().zip(&runs) {
        for (column, cell) in columns.iter().zip(row) {
            let told = &run[column];
            let told = told
                .as_str()
                .map_or_else(|| told.to_string(), str::to_owned);
            assert_eq!(told, cell, "{column}");
        }
    }
}
