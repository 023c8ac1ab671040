//! Members who flood, contradict themselves, answer with garbage, or announce
//! what they never serve.

mod common;

use watchfire_simulations::{Habit, Hostile, Scenario};

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
    }
}
