//! The same seed is the same run; and a check that cannot fail is none.

mod common;

use watchfire_simulations::{Crash, Habit, Hostile, Partition, Scenario, World};

/// A little of everything.
fn mixed(seed: u64) -> Scenario {
    let mut scenario = Scenario::calm(seed, 7);
    scenario.name = "determinism";
    scenario.faults_ms = 40_000;
    scenario.network.loss_ppm = 50_000;
    scenario.workload.bundles = 20;
    scenario.partitions = vec![Partition { from_ms: 8_000, until_ms: 25_000, side: vec![0, 1, 2] }];
    scenario.crashes = vec![Crash { at_ms: 12_000, host: 2, down_ms: 4_000 }];
    scenario.hostile = vec![
        Hostile { host: 4, habit: Habit::Flood },
        Hostile { host: 6, habit: Habit::Equivocate },
    ];
    scenario
}

#[test]
fn the_same_seed_is_the_same_run() {
    let first = common::run(mixed(5));
    assert_eq!(first, common::run(mixed(5)));
    let other = common::run(mixed(6));
    assert_ne!(first.trace, other.trace);
    assert_ne!(first.stores, other.stores);
}

#[test]
fn paying_for_each_check_anew_changes_nothing() {
    let with = common::run(mixed(5));
    let mut scenario = mixed(5);
    scenario.memo = false;
    assert_eq!(with, common::run(scenario));
}

#[test]
fn a_bound_that_is_too_tight_is_noticed() {
    let mut scenario = mixed(5);
    scenario.queue_max = 20;
    let failure = World::new(scenario).unwrap().run().unwrap_err();
    assert!(failure.what.contains("not bounded"), "{failure}");
    assert!(failure.to_string().contains("WATCHFIRE_SIM_SEED=5"), "{failure}");
}

#[test]
fn too_little_time_is_noticed() {
    let mut scenario = mixed(5);
    // Cut off until the end, and not a moment more.
    scenario.partitions = vec![Partition { from_ms: 5_000, until_ms: 40_000, side: vec![0, 1, 2] }];
    scenario.calm_ms_max = 0;
    let failure = World::new(scenario).unwrap().run().unwrap_err();
    assert!(failure.what.contains("does not converge"), "{failure}");
}

#[test]
fn what_is_planted_in_a_clear_bundle_is_found_everywhere() {
    let mut scenario = mixed(5);
    scenario.workload.plant_in_clear = true;
    let failure = World::new(scenario).unwrap().run().unwrap_err();
    assert!(failure.what.contains("planted bytes in a gossip message"), "{failure}");
}

#[test]
fn a_store_that_loses_an_acknowledged_bundle_is_noticed() {
    let mut world = World::new(mixed(5)).unwrap();
    world.run_until(40_000).unwrap();
    world.wipe(0);
    let failure = world.run().unwrap_err();
    assert!(failure.what.contains("host 0"), "{failure}");
}
