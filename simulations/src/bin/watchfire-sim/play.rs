//! Spreads runs over threads. A world lives on one thread from its founding
//! to its end, so how many there are changes nothing in any run.

use crate::figures::Figures;
use crate::files::NamedFile;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use watchfire_simulations::{Scenario, World};

/// One run that is to be played.
pub(crate) struct Task {
    scenario: Scenario,
    /// The command that plays it again.
    again: String,
}

/// Every run of the files, in order: by file, then by seed.
pub(crate) fn tasks(
    files: &[NamedFile],
    seeds: Option<&[u64]>,
    until_ms: Option<u64>,
) -> Vec<Task> {
    let mut tasks = Vec::new();
    for file in files {
        for seed in seeds.unwrap_or(&file.scenario.seeds) {
            let mut scenario = file.scenario.scenario(*seed);
            scenario.stop_ms = until_ms;
            if until_ms.is_some_and(|until_ms| until_ms < scenario.faults_ms) {
                scenario.expect = scenario.expect.of_a_piece();
            }
            let piece = until_ms.map_or_else(String::new, |ms| format!(" --until {ms}ms"));
            tasks.push(Task {
                scenario,
                again: format!("watchfire-sim run {} --seed {seed}{piece}", file.path),
            });
        }
    }
    tasks
}

/// Plays every run, so many at a time. Gives their figures in order, and what
/// all of it took, in milliseconds.
pub(crate) fn play(tasks: &[Task], jobs: usize, quiet: bool) -> (Vec<Figures>, u64) {
    let started = Instant::now();
    let bar = progress(tasks.len(), quiet);
    let next = AtomicUsize::new(0);
    let figures = Mutex::new(Vec::with_capacity(tasks.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(tasks.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(number) else { break };
                    let played = play_one(task);
                    if !played.ok() {
                        bar.println(format!("failed: {}", played.what));
                    }
                    bar.inc(1);
                    let mut figures = figures.lock().unwrap_or_else(|held| held.into_inner());
                    figures.push((number, played));
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut figures = figures
        .into_inner()
        .unwrap_or_else(|held| held.into_inner());
    figures.sort_by_key(|(number, _)| *number);
    let figures = figures.into_iter().map(|(_, figures)| figures).collect();
    (figures, millis(started))
}

fn play_one(task: &Task) -> Figures {
    let started = Instant::now();
    let scenario = &task.scenario;
    // A panic is a finding like any other: the other runs go on.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        World::new(scenario.clone()).and_then(|mut world| world.run())
    }));
    let mut figures = match outcome {
        Ok(Ok(report)) => Figures::of_report(scenario, &report),
        Ok(Err(failure)) => Figures::of_failure(scenario, &failure),
        Err(_) => Figures::failed(
            scenario,
            format!("{}, seed {}: it panicked", scenario.name, scenario.seed),
        ),
    };
    figures.again.clone_from(&task.again);
    figures.wall_ms = millis(started);
    figures
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn progress(runs: usize, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(runs as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{pos} of {len} runs {bar:30} {elapsed}, {eta} to go")
    {
        bar.set_style(style);
    }
    bar.tick();
    bar
}
