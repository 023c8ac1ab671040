//! The long run: a piece of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

const HOUR_MS: u64 = 3_600_000;

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
