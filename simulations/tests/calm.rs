//! Eight members, one percent of loss, nothing else wrong.

mod common;

use watchfire_simulations::Scenario;

/// One probe of each peer in 15 seconds is 66 thousandths a second.
const IDLE_REQUESTS_MILLI_MAX: u64 = 70;

#[test]
fn calm() {
    for seed in common::seeds(&[1, 2, 3, 4]) {
        let report = common::run(Scenario::calm(seed, 8));
        assert_eq!((report.published, report.refused), (40, 5), "seed {seed}");
        assert_eq!(report.conflicts, 0, "seed {seed}");
        assert!(report.idle_requests_milli <= IDLE_REQUESTS_MILLI_MAX, "seed {seed}: {} without a new fact", report.idle_requests_milli);
    }
}
