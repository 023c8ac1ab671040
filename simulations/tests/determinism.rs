//! The same seed is the same run; and a check that cannot fail is none.

mod common;

use watchfire_simulations::{Partition, Scenario, When, World};

/// A little of everything.
fn mixed(seed: u64) -> Scenario {
    common::read("mixed").scenario(seed)
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
    assert!(failure.to_string().contains("mixed, seed 5"), "{failure}");
}

#[test]
fn too_little_time_is_noticed() {
    let mut scenario = mixed(5);
    // Cut off until the end, and not a moment more.
    scenario.partitions = vec![Partition {
        from_ms: 5_000,
        until_ms: 40_000,
        side: vec![0, 1, 2],
    }];
    scenario.calm_ms_max = 0;
    let failure = World::new(scenario).unwrap().run().unwrap_err();
    assert!(failure.what.contains("does not converge"), "{failure}");
}

#[test]
fn what_is_planted_in_a_clear_bundle_is_found_everywhere() {
    let mut scenario = mixed(5);
    scenario.workload.plant_in_clear = true;
    let failure = World::new(scenario).unwrap().run().unwrap_err();
    assert!(
        failure.what.contains("planted bytes in a gossip message"),
        "{failure}"
    );
}

#[test]
fn a_store_that_loses_an_acknowledged_bundle_is_noticed() {
    let mut world = World::new(mixed(5)).unwrap();
    world.run_until(40_000).unwrap();
    world.wipe(0);
    let failure = world.run().unwrap_err();
    assert!(failure.what.contains("host 0"), "{failure}");
}

/// Beside the checks: what a file expects is held against the report.
#[test]
fn an_expectation_that_is_not_met_is_noticed() {
    let mut scenario = mixed(5);
    scenario.expect.published_min = Some(21);
    scenario.expect.conflicts_max = Some(0);
    scenario.expect.refused = Some(5);
    let expect = scenario.expect.clone();
    let report = World::new(scenario).unwrap().run().unwrap();
    let unmet: Vec<String> = expect
        .unmet(&report)
        .iter()
        .map(|unmet| unmet.key.to_owned())
        .collect();
    assert_eq!(unmet, ["published_min", "conflicts_max"]);
}

/// A run that is stopped early is the first piece of the whole: the same
/// until then, and it must end as well.
#[test]
fn a_piece_is_the_beginning_of_the_whole() {
    let mut piece = mixed(5);
    piece.stop_ms = Some(20_000);
    let mut until = World::new(piece.clone()).unwrap();
    let mut whole = World::new(mixed(5)).unwrap();
    until.run_until(19_999).unwrap();
    whole.run_until(19_999).unwrap();
    assert_eq!(until.trace(), whole.trace());
    let report = common::run(piece);
    assert!(report.published < 20 && report.virtual_ms < 100_000);
}

/// Somebody hostile who pauses costs nothing while he does.
#[test]
fn a_pause_is_a_pause() {
    let events = |when| {
        let mut scenario = mixed(5);
        for hostile in &mut scenario.hostile {
            hostile.when = when;
        }
        common::run(scenario).messages
    };
    let rarely = When {
        rhythm_ms: Some((30_000, 1_000)),
        ..When::ALWAYS
    };
    assert!(events(rarely) * 2 < events(When::ALWAYS));
}
