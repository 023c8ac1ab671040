//! What the tests share: scenario files, read and played.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::panic, reason = "a failed scenario ends its test")]

use std::path::PathBuf;
use watchfire_simulations::file::ScenarioFile;
use watchfire_simulations::{Report, Scenario, World};

/// Where the scenario files are.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// The file of this name, `long/` in front for the long ones.
pub(crate) fn read(name: &str) -> ScenarioFile {
    let path = folder().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{name}: {why}"));
    ScenarioFile::parse(name, &text).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// Plays one run; a failure says how to see it again.
pub(crate) fn run(scenario: Scenario) -> Report {
    let (name, seed, expect) = (
        scenario.name.clone(),
        scenario.seed,
        scenario.expect.clone(),
    );
    let again = format!(
        "to see it again: cargo run --release -p watchfire-simulations -- run simulations/scenarios/{name}.toml --seed {seed}"
    );
    let report = World::new(scenario)
        .and_then(|mut world| world.run())
        .unwrap_or_else(|failure| panic!("{failure}; {again}"));
    let unmet = expect.unmet(&report);
    assert!(unmet.is_empty(), "{name}, seed {seed}: {unmet:?}; {again}");
    report
}

/// Plays every seed of a file.
pub(crate) fn play(name: &str) {
    let file = read(name);
    for seed in file.seeds.clone() {
        run(file.scenario(seed));
    }
}
