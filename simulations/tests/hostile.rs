//! Members who flood, contradict themselves, answer with garbage, or announce
//! what they never serve.

mod common;

use watchfire_simulations::{Habit, Hostile, Scenario};

/// Of each honest host to each other, thousandths a second: one probe in 15
/// seconds is 66; hostile members make as much again differ; and the twelve
/// bodies that are withheld are asked of nine peers, in the first minutes every
/// 32 seconds: 9 × 12 / 32 / 5 = 675.
const IDLE_REQUESTS_MILLI_MAX: u64 = 900;

fn hostile(seed: u64) -> Scenario {
    let mut scenario = Scenario::calm(seed, 10);
    scenario.name = "hostile";
    scenario.workload.bundles = 30;
    scenario.workload.large_every = 5;
    scenario.hostile = vec![
        Hostile { host: 1, habit: Habit::Flood },
        Hostile { host: 3, habit: Habit::Equivocate },
        Hostile { host: 5, habit: Habit::Garbage },
        Hostile { host: 7, habit: Habit::Withhold },
    ];
    scenario
}

#[test]
fn hostile_members() {
    for seed in common::seeds(&[1, 2, 3]) {
        let report = common::run(hostile(seed));
        assert_eq!(report.published, 30, "seed {seed}");
        assert!(report.conflicts > 0, "seed {seed}: nobody kept evidence");
        let idle = report.idle_requests_milli;
        assert!(idle <= IDLE_REQUESTS_MILLI_MAX, "seed {seed}: {idle} without a new fact");
    }
}
