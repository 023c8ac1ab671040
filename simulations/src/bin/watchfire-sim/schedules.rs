//! Schedules of membership, many of them: what came, counted.

use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use watchfire_simulations::{Fault, Played, play_schedule};

/// Failures that are told; the rest is counted.
const TOLD_MAX: usize = 20;

/// What came of all of them.
#[derive(Default)]
pub(crate) struct Counts {
    played: u64,
    failed: u64,
    named: u64,
    crashes: u64,
    crashes_with_loss: u64,
    inputs: u64,
    round_max: u32,
    /// How many ended with which roster, by its number.
    epochs: [u64; 4],
    /// The first that did not hold, by seed.
    pub(crate) failures: Vec<String>,
}

impl Counts {
    fn take(&mut self, outcome: Result<Played, String>) {
        self.played += 1;
        match outcome {
            Ok(played) => {
                self.named += u64::from(played.is_cheat_named);
                self.crashes += played.crashes;
                self.crashes_with_loss += played.crashes_with_loss;
                self.inputs += played.inputs;
                self.round_max = self.round_max.max(played.round);
                let epoch = usize::try_from(played.epoch).unwrap_or(usize::MAX);
                if let Some(count) = self.epochs.get_mut(epoch.min(3)) {
                    *count += 1;
                }
            }
            Err(why) => {
                self.failed += 1;
                if self.failures.len() < TOLD_MAX {
                    self.failures.push(why);
                }
            }
        }
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} schedules, {} failed; {} inputs, {} power cuts of which {} with loss, the cheat named in {}, at most {} rounds; last roster: {:?} of epoch 0, 1, 2, 3 and more",
            self.played,
            self.failed,
            self.inputs,
            self.crashes,
            self.crashes_with_loss,
            self.named,
            self.round_max,
            self.epochs,
        )
    }

    /// For tools.
    pub(crate) fn json(&self, seeds: &[u64]) -> Value {
        json!({
            "schema": "watchfire.schedules/1",
            "data": {
                "version": env!("CARGO_PKG_VERSION"),
                "first_seed": seeds.first(),
                "last_seed": seeds.last(),
                "schedules": self.played,
                "failed": self.failed,
                "inputs": self.inputs,
                "crashes": self.crashes,
                "crashes_with_loss": self.crashes_with_loss,
                "cheat_named": self.named,
                "round_max": self.round_max,
                "by_epoch": self.epochs,
                "failures": self.failures,
            },
        })
    }
}

/// Plays every seed, so many at a time.
pub(crate) fn play(seeds: &[u64], jobs: usize) -> Counts {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::with_capacity(seeds.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(seeds.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(number) else { break };
                    let outcome = play_schedule(*seed, Fault::Nothing);
                    let mut outcomes = outcomes.lock().unwrap_or_else(|held| held.into_inner());
                    outcomes.push((*seed, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(|held| held.into_inner());
    outcomes.sort_by_key(|(seed, _)| *seed);
    let mut counts = Counts::default();
    for (_, outcome) in outcomes {
        counts.take(outcome);
    }
    counts
}
