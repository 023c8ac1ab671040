//! `watchfire-sim`: checks and plays scenario files.
//!
//! Data goes to standard output and everything else to standard error, as
//! with `watchfire`. The worlds are made by the library; what is here reads
//! files, spreads runs over threads, and tells what came of them.

mod complaint;
mod figures;
mod files;
mod play;
mod report;
mod schedules;

use clap::{Args, Parser, Subcommand};
use complaint::{Code, Complaint};
use figures::Figures;
use report::Played;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use watchfire_simulations::file;

/// Play Watchfire federations in virtual time
///
/// A scenario is a TOML file: members, links, faults, hostile members, what is
/// published, and what is expected. The same file and seed are the same run,
/// on every machine.
#[derive(Debug, Parser)]
#[command(
    name = "watchfire-sim",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  watchfire-sim check simulations/scenarios/*.toml
  watchfire-sim run simulations/scenarios/calm.toml --seeds 1..20
  watchfire-sim run simulations/scenarios/*.toml --json > report.json

Exit codes: 0 all is well, 1 an expectation failed, 2 the command line or a file is wrong"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read scenario files and say what is wrong with them
    #[command(after_help = "Examples:\n  watchfire-sim check simulations/scenarios/*.toml")]
    Check(Check),
    /// Play scenario files and hold them against what they expect
    #[command(after_help = "Examples:
  watchfire-sim run simulations/scenarios/calm.toml
  watchfire-sim run simulations/scenarios/long/thousand-days.toml --seed 7 --until 1d
  watchfire-sim run simulations/scenarios/*.toml --csv runs.csv --jobs 2")]
    Run(Run),
    /// Play the membership of four engines over random schedules
    #[command(after_help = "Examples:\n  watchfire-sim schedules --seeds 1..10000 --json")]
    Schedules(Schedules),
    /// Print the JSON Schema of scenario files
    #[command(after_help = "Examples:\n  watchfire-sim schema > simulations/scenario.schema.json")]
    Schema,
}

#[derive(Args, Debug)]
struct Schedules {
    /// The first and the last seed [default: 1..200]
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Option<Seeds>,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,

    /// Schedules at a time [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

#[derive(Args, Debug)]
struct Check {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Args, Debug)]
struct Run {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Play these seeds instead of the file's, the first to the last of a..b
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<Seeds>,

    /// Play this seed alone
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Play only the first piece of each run, then its calm, as in 12h or 2d; what must come at least is not asked of it
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    until: Option<u64>,

    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,

    /// Write a row for each run to this file, units in the column names
    #[arg(long, value_name = "PATH")]
    csv: Option<PathBuf>,

    /// Say nothing but data and errors
    #[arg(short, long)]
    quiet: bool,

    /// Runs at a time, each on a thread of its own [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

/// Seeds of the command line.
#[derive(Clone, Debug)]
struct Seeds(Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    file::seeds(text)
        .map(Seeds)
        .ok_or_else(|| "write the first and the last, as in 1..50".to_owned())
}

fn duration_ms(text: &str) -> Result<u64, String> {
    file::duration_ms(text)
        .filter(|ms| *ms >= 1_000)
        .ok_or_else(|| {
            "write a number of at least a second with a unit, as in 90s, 12h or 2d".to_owned()
        })
}

fn main() -> ExitCode {
    let (json, outcome) = match Cli::parse().command {
        Command::Check(check) => (check.json, run_check(&check)),
        Command::Run(run) => (run.json, run_run(&run)),
        Command::Schedules(run) => (run.json, run_schedules(&run)),
        Command::Schema => (false, print_schema()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code.number()),
        Err(complaint) => {
            complaint.tell(json);
            ExitCode::from(complaint.code.number())
        }
    }
}

fn run_check(check: &Check) -> Result<Code, Complaint> {
    let files = files::read_all(&check.files)?;
    if check.json {
        print(&report::checked(&files).to_string())?;
    } else if !check.quiet {
        for file in &files {
            let seeds = file.scenario.seeds.len();
            print(&format!("{}\tok\t{seeds} seeds", file.path))?;
        }
    }
    Ok(Code::Ok)
}

fn run_run(run: &Run) -> Result<Code, Complaint> {
    let files = files::read_all(&run.files)?;
    let given = run
        .seed
        .map(|seed| vec![seed])
        .or_else(|| run.seeds.as_ref().map(|seeds| seeds.0.clone()));
    let tasks = play::tasks(&files, given.as_deref(), run.until);
    let jobs = run
        .jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, NonZeroUsize::get);
    let csv = run
        .csv
        .as_ref()
        .map(|path| report::Csv::create(path))
        .transpose()?;
    let (figures, wall_ms) = play::play(&tasks, jobs, run.quiet);
    let played = Played {
        files: &files,
        figures: &figures,
        seeds: given.as_deref(),
        until_ms: run.until,
        wall_ms,
    };
    if let Some(csv) = csv {
        csv.write(&figures)?;
    }
    if run.json {
        print(&played.json().to_string())?;
    } else {
        print(&played.table())?;
    }
    for failed in figures.iter().filter(|figures| !figures.ok()) {
        say(&format!(
            "watchfire-sim: error: {}\nwatchfire-sim: hint: to see it again: {}",
            failed.what, failed.again
        ));
    }
    if !run.quiet {
        say(&played.summary());
    }
    Ok(if figures.iter().all(Figures::ok) {
        Code::Ok
    } else {
        Code::Failure
    })
}

/// Plays schedules, so many at a time, and counts what came.
fn run_schedules(run: &Schedules) -> Result<Code, Complaint> {
    let seeds = run
        .seeds
        .as_ref()
        .map_or_else(|| (1..=200).collect(), |seeds| seeds.0.clone());
    let jobs = run
        .jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, NonZeroUsize::get);
    let counts = schedules::play(&seeds, jobs);
    print(&if run.json {
        counts.json(&seeds).to_string()
    } else {
        counts.line()
    })?;
    for failure in &counts.failures {
        say(&format!("watchfire-sim: error: {failure}"));
    }
    Ok(if counts.failures.is_empty() {
        Code::Ok
    } else {
        Code::Failure
    })
}

fn print_schema() -> Result<Code, Complaint> {
    let text = serde_json::to_string_pretty(&file::schema())
        .map_err(|error| Complaint::failure(format!("could not write the schema: {error}")))?;
    print(&text)?;
    Ok(Code::Ok)
}

/// A line of data.
fn print(text: &str) -> Result<(), Complaint> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Complaint::failure(format!("could not write to standard output: {error}")))
}

/// A line for people. Where standard error is gone there is nobody to tell.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
