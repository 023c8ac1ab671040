//! Every scenario file, each seed of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::BTreeSet;

/// A test for each file, and the list of them.
macro_rules! play {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            common::play($name);
        })*

        const PLAYED: &[&str] = &[$($name),*];
    };
}

play! {
    astray "astray"
    calm "calm"
    crash_loses_writes "crash-loses-writes"
    equivocator "equivocator"
    flood "flood"
    fork "fork"
    fork_across_a_partition "fork-across-a-partition"
    garbage_server "garbage-server"
    hostile_members "hostile-members"
    lossy_links "lossy-links"
    mixed "mixed"
    now_and_then "now-and-then"
    only_through_hubs "only-through-hubs"
    partition "partition"
    partitions_and_crashes "partitions-and-crashes"
    partitions_forgetful "partitions-forgetful"
    partitions_slow_disk "partitions-slow-disk"
    partitions_swarm "partitions-swarm"
    replayer "replayer"
    ring "ring"
    silent_peer "silent-peer"
    slow_peer "slow-peer"
}

#[test]
fn every_file_is_played() {
    let files: BTreeSet<String> = std::fs::read_dir(common::folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let played: BTreeSet<String> = PLAYED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(files, played);
}

#[test]
fn every_habit_has_a_scenario() {
    let texts: String = PLAYED
        .iter()
        .map(|name| std::fs::read_to_string(common::folder().join(format!("{name}.toml"))).unwrap())
        .collect();
    for (habit, _) in watchfire_simulations::Habit::ALL {
        assert!(texts.contains(&format!("habit = \"{habit}\"")), "{habit}");
    }
}
