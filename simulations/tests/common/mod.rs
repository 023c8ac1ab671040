//! What the scenarios share.
#![allow(dead_code, reason = "each test file uses a part")]

use watchfire_simulations::{Report, Scenario, World};

/// The seeds to run: those given, or the one of `WATCHFIRE_SIM_SEED`.
pub(crate) fn seeds(given: &[u64]) -> Vec<u64> {
    match std::env::var("WATCHFIRE_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("WATCHFIRE_SIM_SEED is a number")],
        Err(_) => given.to_vec(),
    }
}

/// Runs a scenario; a failure says how to see it again.
pub(crate) fn run(scenario: Scenario) -> Report {
    let (name, seed, members) = (scenario.name, scenario.seed, scenario.members as u64);
    let started = std::time::Instant::now();
    let report = World::new(scenario).and_then(|mut world| world.run()).unwrap_or_else(|failure| panic!("{failure}"));
    let wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    println!(
        "{name} seed {seed}: {} node-seconds a second, converged after {} ms, p50 {} ms, p99 {} ms, idle {} milli, {}",
        report.virtual_ms * members / wall_ms,
        report.converged_ms,
        report.delay_p50_us / 1_000,
        report.delay_p99_us / 1_000,
        report.idle_requests_milli,
        detail(&report),
    );
    report
}

fn detail(report: &Report) -> String {
    format!(
        "{} events, {} messages of {} KiB, {} published, {} crashes, {} reconnects, {} conflicts, {} not taken, at most {} waiting and {} outputs, trace {}",
        report.events,
        report.messages,
        report.bytes / 1_024,
        report.published,
        report.crashes,
        report.reconnects,
        report.conflicts,
        report.not_taken,
        report.queue_max,
        report.outputs_max,
        report.trace,
    )
}
