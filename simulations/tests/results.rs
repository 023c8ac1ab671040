//! The long run: what is committed of it, and a piece of it played again.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use serde_json::Value;
use std::path::PathBuf;
use watchfire_crypto::sha256;

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

fn result(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("results")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// One seed for its first hours: the same world, stopped early, must hold
/// all that the whole one must.
#[test]
fn a_piece_of_the_thousand_days() {
    let mut scenario = common::read("long/thousand-days").scenario(1);
    scenario.stop_ms = Some(14 * HOUR_MS);
    scenario.expect = scenario.expect.of_a_piece();
    let report = common::run(scenario);
    assert!(report.published > 0, "{report:?}");
    assert!(report.virtual_ms >= 14 * HOUR_MS);
}

/// What is committed is of the scenario as it stands, complete, and without a
/// failure; and the table says the same as the document.
#[test]
fn the_committed_results_are_of_the_scenario_that_is_there() {
    let document: Value = serde_json::from_str(&result("thousand-days.json")).unwrap();
    assert_eq!(document["schema"], "watchfire.simulations/1");
    let data = &document["data"];
    assert_eq!((&data["runs"], &data["failed"]), (&50.into(), &0.into()));
    assert!(data["until_ms"].is_null());
    let scenario = &data["scenarios"][0];
    let text = std::fs::read(common::folder().join("long/thousand-days.toml")).unwrap();
    let digest: String = sha256(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        scenario["file_sha256"],
        digest.as_str(),
        "the scenario changed: play it again as simulations/README.md says"
    );
    let runs = scenario["runs"].as_array().unwrap();
    let seeds: Vec<u64> = runs
        .iter()
        .map(|run| run["seed"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds, common::read("long/thousand-days").seeds);
    let sum = |key: &str| -> u64 { runs.iter().map(|run| run[key].as_u64().unwrap()).sum() };
    assert!(sum("virtual_ms") >= 1_000 * DAY_MS);
    assert!(
        runs.iter()
            .all(|run| run["outcome"] == "ok" && run["members"] == 12)
    );
    assert!(runs.iter().all(|run| run["conflicts"].as_u64() > Some(0)));

    let rows = result("thousand-days.csv");
    let mut table = csv::Reader::from_reader(rows.as_bytes());
    let columns = table.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = table.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), runs.len());
    for (row, run) in rows.iter().zip(runs) {
        for (column, cell) in columns.iter().zip(row) {
            let told = &run[column];
            let told = told
                .as_str()
                .map_or_else(|| told.to_string(), str::to_owned);
            assert_eq!(told, cell, "{column}");
        }
    }
}
