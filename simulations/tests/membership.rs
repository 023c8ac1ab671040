//! Every scenario of membership but the one of sixty members, which is played by
//! command; and that what is checked there can fail.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use watchfire_crypto::sha256;
use watchfire_simulations::{Crash, World};

const HOUR_MS: u64 = 3_600_000;

/// A test for each file, and the list of them.
macro_rules! play {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            common::play(concat!("membership/", $name));
        })*

        const PLAYED: &[&str] = &[$($name),*];
    };
}

play! {
    admission "admission"
    cloned_node "cloned-node"
    cut_off "cut-off"
    expulsion "expulsion"
    restored_backup "restored-backup"
    stale_peer "stale-peer"
    suspension "suspension"
    two_proposals "two-proposals"
}

#[test]
fn every_file_is_played() {
    let files: BTreeSet<String> = std::fs::read_dir(common::folder().join("membership"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let played = PLAYED.iter().chain(&["sixty"]);
    assert_eq!(files, played.map(|name| (*name).to_owned()).collect());
}

/// A host that lost its disk after it said which roster it holds.
#[test]
fn a_rollback_is_noticed() {
    let mut scenario = common::read("membership/admission").scenario(1);
    scenario.crashes.push(Crash {
        at_ms: 20 * HOUR_MS,
        host: 2,
        down_ms: 60_000,
    });
    let mut world = World::new(scenario).unwrap();
    world.run_until(20 * HOUR_MS - 1).unwrap();
    world.wipe(2);
    let failure = world.run().unwrap_err();
    assert!(failure.what.contains("rollback: host 2"), "{failure}");
}

#[test]
fn a_roster_that_is_not_decided_is_noticed() {
    let mut scenario = common::read("membership/admission").scenario(1);
    scenario.stop_ms = Some(4 * HOUR_MS);
    scenario.calm_ms_max = 0;
    scenario.workload.bundles = 0;
    let failure = World::new(scenario).unwrap().run().unwrap_err();
    assert!(failure.what.contains("does not settle"), "{failure}");
}

#[test]
fn a_partition_that_never_heals_is_noticed() {
    let mut scenario = common::read("membership/cut-off").scenario(1);
    scenario.workload.bundles = 0;
    scenario.agenda.motions.clear();
    scenario.stop_ms = Some(34 * HOUR_MS);
    scenario.calm_ms_max = 0;
    let failure = World::new(scenario).unwrap().run().unwrap_err();
    assert!(failure.what.contains("is not fresh"), "{failure}");
}

/// The run of sixty that is committed: of the file as it stands, and of an engine
/// for which everything held.
#[test]
fn the_committed_run_of_sixty_is_of_this_scenario() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results");
    let text = std::fs::read_to_string(folder.join("sixty.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let data = &document["data"];
    assert_eq!(data["failed"], 0);
    let file = std::fs::read(common::folder().join("membership/sixty.toml")).unwrap();
    let digest: String = sha256(&file)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(data["scenarios"][0]["file_sha256"], digest.as_str());
    let run = &data["scenarios"][0]["runs"][0];
    assert_eq!(run["members"], 61);
    assert_eq!(run["epoch"], 2);
    assert!(run["parts_stopped"].as_u64().unwrap() >= 3);
    assert!(run["part_stop_ms_max"].as_u64().unwrap() <= 24 * HOUR_MS + 25 * 60_000);
}
