//! A node killed while it publishes: what it acknowledged is there. Before each
//! of its writes, and in the middle of them: `crash/points.rs`. At any moment:
//!
//! The real program serves a real data directory; one control connection
//! publishes without waiting for answers; after so many acknowledgements the
//! process gets SIGKILL. Each round goes on where the last one was killed, so
//! one stream lives through all of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "crash/child.rs"]
mod child;
#[path = "crash/held.rs"]
mod held;
#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "a release build has no points")
)]
#[path = "crash/points.rs"]
mod points;
#[path = "crash/program.rs"]
mod program;

use held::Held;
use program::{Acknowledged, Program};

/// How often it is killed.
const ROUNDS: usize = 20;

/// Publications of one round, if it were left alone.
const PUBLISHES: u64 = 10_000;

/// From what the counts follow, unless `WATCHFIRE_CRASH_SEED` says otherwise.
const SEED: u64 = 0x7761_7463_6866_6972;

/// After how many acknowledgements each round ends: as often among the first
/// few as among thousands, so the exponent is drawn before the number.
fn counts(seed: u64) -> Vec<u64> {
    let mut state = seed | 1;
    let mut draw = |below: u64| {
        // Marsaglia's xorshift; the low bits are the poor ones.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) % below
    };
    (0..ROUNDS)
        .map(|_| {
            let floor = 1 << draw(14);
            (floor + draw(floor)).min(PUBLISHES - 1)
        })
        .collect()
}

#[test]
fn attack_37_nothing_acknowledged_is_lost_to_kill_9() {
    let seed = std::env::var("WATCHFIRE_CRASH_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let counts = counts(seed);
    let program = Program::prepare();
    let mut held = Held::default();
    let mut last: Vec<Acknowledged> = Vec::new();
    let mut next = 0;
    for (round, count) in counts.iter().enumerate() {
        // Shown where anything below fails.
        let at = format!(
            "WATCHFIRE_CRASH_SEED={seed}, round {round}, killed after {count} acknowledgements"
        );
        println!("{at}");
        let serving = program.serve(&at);
        serving.ask_for(&last, &at);
        let acknowledged = serving.publish_and_kill(next..next + PUBLISHES, *count, &at);
        next += PUBLISHES;
        assert!(
            acknowledged.len() as u64 >= *count,
            "{at}: {}",
            acknowledged.len()
        );

        let store = program.open_store(&at);
        held.check_new(&store, program.author(), &at);
        held.check_acknowledged(&store, program.author(), &acknowledged, &at);
        last.extend(acknowledged.into_iter().max_by_key(|one| one.sequence));
    }

    // Alive after all of it: it answers for the last of every round, its stream
    // goes on, and it ends in order.
    let at = format!("WATCHFIRE_CRASH_SEED={seed}, after all rounds");
    let serving = program.serve(&at);
    serving.ask_for(&last, &at);
    let one = serving.publish_one(next, &at);
    assert_eq!(one.sequence, held.through() + 1, "{at}");
    serving.terminate(&at);
    let store = program.open_store(&at);
    held.check_new(&store, program.author(), &at);
    held.check_acknowledged(&store, program.author(), &[one], &at);
    held.check_whole(&store, program.author());
    println!(
        "{} envelopes in one stream, {} of them acknowledged",
        held.through(),
        held.acknowledged()
    );
}

/// What this test binary does when it was started by one of its tests.
#[test]
fn child() {
    child::play();
}
