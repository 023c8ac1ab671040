//! Twelve members, five percent of loss, two partitions, six crashes; and the
//! same with faults drawn from the seed.

mod common;

use watchfire_simulations::{Crash, Partition, Scenario, Swarm};

fn partitions(seed: u64) -> Scenario {
    let mut scenario = Scenario::calm(seed, 12);
    scenario.name = "partitions";
    scenario.faults_ms = 120_000;
    scenario.network.loss_ppm = 50_000;
    scenario.network.jitter_ms = 80;
    scenario.network.flush_ms = (5, 400);
    scenario.workload.bundles = 60;
    scenario.partitions = vec![
        Partition { from_ms: 15_000, until_ms: 50_000, side: vec![0, 1, 2, 3, 4] },
        Partition { from_ms: 40_000, until_ms: 90_000, side: vec![2, 5, 8, 11] },
    ];
    let crash = |at_ms, host, down_ms| Crash { at_ms, host, down_ms };
    scenario.crashes = vec![
        crash(10_000, 3, 5_000),
        crash(25_000, 0, 200),
        crash(45_000, 5, 30_000),
        crash(60_000, 11, 1_000),
        crash(61_000, 0, 10_000),
        crash(100_000, 7, 15_000),
    ];
    scenario
}

#[test]
fn partitions_and_crashes() {
    for seed in common::seeds(&[1, 2, 3, 4]) {
        let report = common::run(partitions(seed));
        assert_eq!(report.crashes, 6, "seed {seed}");
        assert!(report.published > 40, "seed {seed}: {} published", report.published);
    }
}

#[test]
fn partitions_swarm() {
    for seed in common::seeds(&[11, 12, 13, 14, 15, 16]) {
        let mut scenario = partitions(seed);
        scenario.name = "partitions_swarm";
        scenario.partitions.clear();
        scenario.crashes.clear();
        scenario.swarm = Some(Swarm { partitions_max: 4, crashes_max: 20, loss_ppm_max: 300_000 });
        common::run(scenario);
    }
}

/// Disks that take seconds, and hosts that lose power all the time: what was
/// let out before it was durable is contradicted after the restart.
#[test]
fn partitions_slow_disk() {
    for seed in common::seeds(&(21..=32).collect::<Vec<_>>()) {
        let mut scenario = Scenario::calm(seed, 5);
        scenario.name = "partitions_slow_disk";
        scenario.network.loss_ppm = 200_000;
        scenario.network.flush_ms = (300, 3_000);
        scenario.workload.bundles = 120;
        scenario.workload.large_every = 20;
        scenario.calm_ms_max = 120_000;
        scenario.swarm = Some(Swarm { partitions_max: 1, crashes_max: 60, loss_ppm_max: 400_000 });
        common::run(scenario);
    }
}

/// Four members who publish while they crash: the seeds at which an author
/// once served what it had not flushed, forgot it, and contradicted itself.
/// Seeds are added here and never removed.
#[test]
fn partitions_forgetful() {
    for seed in common::seeds(&FORGETFUL) {
        let mut scenario = Scenario::calm(seed, 4);
        scenario.name = "partitions_forgetful";
        scenario.network.flush_ms = (200, 1_200);
        scenario.workload.bundles = 200;
        scenario.workload.large_every = 0;
        scenario.outsider = false;
        scenario.calm_ms_max = 200_000;
        scenario.swarm = Some(Swarm { partitions_max: 0, crashes_max: 60, loss_ppm_max: 500_000 });
        common::run(scenario);
    }
}

const FORGETFUL: [u64; 7] = [1_020, 1_055, 1_061, 1_062, 1_083, 1_107, 1_126];
