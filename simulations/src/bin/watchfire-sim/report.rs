//! What came of the runs: a table for people, JSON and CSV for tools.

use crate::complaint::Complaint;
use crate::figures::Figures;
use crate::files::{NamedFile, hex};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use watchfire_crypto::Sha256Stream;

/// Every run of a command.
pub(crate) struct Played<'a> {
    pub(crate) files: &'a [NamedFile],
    pub(crate) figures: &'a [Figures],
    /// The seeds of the command line, if it names any: the same for each file.
    pub(crate) seeds: Option<&'a [u64]>,
    /// Where only the first piece of each was played.
    pub(crate) until_ms: Option<u64>,
    /// What all of it took on this machine.
    pub(crate) wall_ms: u64,
}

impl Played<'_> {
    /// The runs of each file, in the order of the command line.
    fn by_file(&self) -> impl Iterator<Item = (&NamedFile, &[Figures])> {
        let mut rest = self.figures;
        self.files.iter().map(move |file| {
            let count = self.seeds.map_or(file.scenario.seeds.len(), <[u64]>::len);
            let (mine, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = others;
            (file, mine)
        })
    }

    /// One hash over every run: SHA-256 over scenario, seed and trace of each,
    /// in order.
    fn trace_hash(&self) -> String {
        let mut hash = Sha256Stream::new();
        for run in self.figures {
            hash.update(format!("{} {} {}\n", run.scenario, run.seed, run.trace_hash).as_bytes());
        }
        hex(&hash.finish())
    }

    /// The one JSON document.
    pub(crate) fn json(&self) -> Value {
        let scenarios: Vec<Value> = self
            .by_file()
            .map(|(file, runs)| {
                json!({
                    "name": file.name,
                    "path": file.path,
                    "file_sha256": file.sha256,
                    "why": file.scenario.why,
                    "runs": runs,
                })
            })
            .collect();
        json!({
            "schema": "watchfire.simulations/1",
            "data": {
                "version": env!("CARGO_PKG_VERSION"),
                "trace_hash": self.trace_hash(),
                "runs": self.figures.len(),
                "failed": self.failed(),
                "until_ms": self.until_ms,
                "virtual_ms": self.virtual_ms(),
                "wall_ms": self.wall_ms,
                "scenarios": scenarios,
            },
        })
    }

    fn failed(&self) -> usize {
        self.figures.iter().filter(|run| !run.ok()).count()
    }

    fn virtual_ms(&self) -> u64 {
        self.figures.iter().map(|run| run.virtual_ms).sum()
    }

    /// A row for each scenario: the median of its runs, and the worst where
    /// the worst is what matters.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "scenario",
            "runs",
            "failed",
            "converged ms (worst)",
            "p50 ms",
            "p99 ms (worst)",
            "published",
            "crashes",
            "evidence",
            "KB a node",
            "queue (worst)",
            "epochs",
            "admitted h (worst)",
            "expelled h (worst)",
            "stale % of node hours",
            "forks",
        ]);
        for (file, runs) in self.by_file() {
            let median = |value: fn(&Figures) -> u64| {
                let mut all: Vec<u64> = runs.iter().map(value).collect();
                all.sort_unstable();
                all.get(all.len() / 2).copied().unwrap_or(0)
            };
            let worst = |value: fn(&Figures) -> u64| runs.iter().map(value).max().unwrap_or(0);
            table.add_row([
                file.name.clone(),
                runs.len().to_string(),
                runs.iter().filter(|run| !run.ok()).count().to_string(),
                format!(
                    "{} ({})",
                    median(|run| run.converged_ms),
                    worst(|run| run.converged_ms)
                ),
                (median(|run| run.delay_p50_us) / 1_000).to_string(),
                format!(
                    "{} ({})",
                    median(|run| run.delay_p99_us) / 1_000,
                    worst(|run| run.delay_p99_us) / 1_000
                ),
                median(|run| run.published).to_string(),
                median(|run| run.crashes).to_string(),
                median(|run| run.conflicts).to_string(),
                (median(|run| run.bytes_per_node) / 1_000).to_string(),
                worst(|run| run.queue_max).to_string(),
                median(|run| run.epoch).to_string(),
                format!(
                    "{} ({})",
                    hours(median(|run| run.admission_last_ms)),
                    hours(worst(|run| run.admission_last_ms))
                ),
                format!(
                    "{} ({})",
                    hours(median(|run| run.expulsion_last_ms)),
                    hours(worst(|run| run.expulsion_last_ms))
                ),
                median(|run| {
                    let all = run.fresh_minutes.saturating_add(run.stale_minutes);
                    run.stale_minutes
                        .saturating_mul(100)
                        .checked_div(all)
                        .unwrap_or(0)
                })
                .to_string(),
                median(|run| run.forks_seen).to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.trim_fmt()
    }

    /// The last line.
    pub(crate) fn summary(&self) -> String {
        let seconds = self.wall_ms.max(1);
        let node_ms: u64 = self
            .figures
            .iter()
            .map(|run| run.virtual_ms.saturating_mul(run.members))
            .sum();
        format!(
            "{} runs, {} failed; {} of virtual time in {}.{} s, {} node-seconds a second; trace {}",
            self.figures.len(),
            self.failed(),
            span(self.virtual_ms()),
            self.wall_ms / 1_000,
            self.wall_ms % 1_000 / 100,
            node_ms / seconds,
            self.trace_hash(),
        )
    }
}

/// Hours with one decimal.
fn hours(ms: u64) -> String {
    let tenths = ms / 360_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A span of time as people say it, in two units at most.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        172_800.. => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// The document of `check`.
pub(crate) fn checked(files: &[NamedFile]) -> Value {
    let files: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({
                "name": file.name,
                "path": file.path,
                "file_sha256": file.sha256,
                "why": file.scenario.why,
                "seeds": file.scenario.seeds.len(),
            })
        })
        .collect();
    json!({ "schema": "watchfire.simulations-check/1", "data": { "files": files } })
}

/// A CSV file, opened before anything is played, so that a wrong path costs
/// no hour.
pub(crate) struct Csv {
    path: String,
    writer: csv::Writer<File>,
}

impl Csv {
    pub(crate) fn create(path: &Path) -> Result<Self, Complaint> {
        let shown = path.display().to_string();
        let writer = csv::Writer::from_path(path).map_err(|error| failed(&shown, &error))?;
        Ok(Self {
            path: shown,
            writer,
        })
    }

    pub(crate) fn write(mut self, figures: &[Figures]) -> Result<(), Complaint> {
        for run in figures {
            self.writer
                .serialize(run)
                .map_err(|error| failed(&self.path, &error))?;
        }
        self.writer
            .flush()
            .map_err(|error| failed(&self.path, &error.into()))
    }
}

fn failed(path: &str, error: &csv::Error) -> Complaint {
    Complaint::failure(format!("could not write {path}: {error}"))
}
