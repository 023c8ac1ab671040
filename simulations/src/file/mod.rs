//! Scenarios as TOML files.
//!
//! A file is refused for an unknown key, a missing one, or a value of the
//! wrong form, with the line and what to write instead; every complaint is
//! collected, so that one reading tells all. [`schema`] is the same table of
//! keys as a JSON Schema, for editors.
//!
//! Nothing here opens a file: it is given text.

mod agenda;
mod forms;
mod keys;
mod read;
mod schema;

pub use forms::{SEEDS_MAX, duration_ms, seeds};
pub use schema::schema;

use crate::expect::Expect;
use crate::puppet::Habit;
use crate::scenario::{
    Crash, Hostile, Network, OddHost, Partition, Scenario, Sessions, Swarm, Topology, When,
    Workload,
};
use core::fmt;
use read::{Document, Filled};

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The line it is about, counted from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl Complaint {
    const fn new(line: usize, what: String) -> Self {
        Self { line, what }
    }
}

/// Everything that is wrong with a file, by line; at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Each complaint.
    pub complaints: Vec<Complaint>,
}

impl FileError {
    fn new(mut complaints: Vec<Complaint>) -> Self {
        complaints.sort_by_key(|complaint| complaint.line);
        Self { complaints }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Complaint { line, what }) in self.complaints.iter().enumerate() {
            let parted = if number == 0 { "" } else { "\n" };
            write!(f, "{parted}line {line}: {what}")?;
        }
        Ok(())
    }
}

impl core::error::Error for FileError {}

/// A scenario file that was read.
#[derive(Clone, Debug)]
pub struct ScenarioFile {
    /// What it is to show.
    pub why: String,
    /// The seeds to play, in order, none twice.
    pub seeds: Vec<u64>,
    /// Everything else, with the first of the seeds.
    scenario: Scenario,
}

impl ScenarioFile {
    /// Reads the text of a file; `name` is what failures call it.
    ///
    /// # Errors
    /// Every complaint about it, with lines.
    pub fn parse(name: &str, text: &str) -> Result<Self, FileError> {
        let document = read::document(text)?;
        let mut building = Building {
            complaints: Vec::new(),
        };
        let file = building.file(name, &document);
        if building.complaints.is_empty() {
            Ok(file)
        } else {
            Err(FileError::new(building.complaints))
        }
    }

    /// The run of one seed, which need not be one of the file.
    pub fn scenario(&self, seed: u64) -> Scenario {
        Scenario {
            seed,
            ..self.scenario.clone()
        }
    }
}

/// What is wrong between keys that are each of the right form.
struct Building {
    complaints: Vec<Complaint>,
}

impl Building {
    fn complain(&mut self, line: usize, what: impl Into<String>) {
        self.complaints.push(Complaint::new(line, what.into()));
    }

    fn file(&mut self, name: &str, document: &Document) -> ScenarioFile {
        let root = document.one("");
        let members = size(root.number("members").unwrap_or(2));
        let mut seeds = Vec::new();
        for seed in root.numbers("seeds").unwrap_or_default() {
            if !seeds.contains(seed) {
                seeds.push(*seed);
            }
        }
        let expect = document.one("expect");
        let agenda = self.agenda(document, members);
        let mut partitions = self.partitions(document.all("partition"), members);
        partitions.extend(self.stale(document.all("stale"), members));
        let (hostile, outsider) = self.adversaries(document.all("adversary"), members);
        let mut scenario = Scenario {
            name: name.to_owned(),
            faults_ms: root.number("duration").unwrap_or(0),
            calm_ms_max: expect.number("converges_within").unwrap_or(60_000),
            network: self.network(&document.one("network")),
            odd_hosts: self.odd_hosts(document.all("host"), members),
            partitions,
            crashes: self.crashes(document.all("crash"), members),
            swarm: self.swarm(document.all("swarm")),
            workload: workload(&document.one("workload")),
            founders: self.founders(&root, &agenda, members),
            agenda,
            hostile,
            outsider,
            memo: root.flag("memo").unwrap_or(true),
            queue_max: expect.number("queue_max").map_or(50_000, size),
            expect: expectations(&expect),
            ..Scenario::calm(seeds.first().copied().unwrap_or(0), members)
        };
        scenario.stop_ms = None;
        if scenario.faults_ms < 1_000 {
            self.complain(root.line_of("duration"), "duration is under a second");
        }
        for odd in &scenario.odd_hosts {
            if scenario
                .hostile
                .iter()
                .any(|hostile| hostile.host == odd.host)
            {
                let line = document.all("host").first().map_or(1, |host| host.line);
                self.complain(
                    line,
                    format!(
                        "host {} runs no engine, so it cannot differ from those that do",
                        odd.host
                    ),
                );
            }
        }
        ScenarioFile {
            why: root.text("why").unwrap_or_default().to_owned(),
            seeds,
            scenario,
        }
    }

    fn network(&mut self, table: &Filled) -> Network {
        let usual = Network::default();
        let sessions = match (table.number("up_every"), table.number("up_for")) {
            (Some(every_ms), Some(open_ms)) => {
                if open_ms == 0 || open_ms >= every_ms {
                    self.complain(
                        table.line_of("up_for"),
                        "up_for must be shorter than up_every, and not nothing",
                    );
                }
                Some(Sessions { every_ms, open_ms })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.complain(table.line, "up_every and up_for need each other");
                None
            }
        };
        Network {
            topology: match table.text("topology") {
                Some("hubs") => Topology::Hubs,
                Some("ring") => Topology::Ring,
                Some(_) | None => Topology::Full,
            },
            latency_ms: table.pair("latency").unwrap_or(usual.latency_ms),
            jitter_ms: table.number("jitter").unwrap_or(usual.jitter_ms),
            loss_ppm: table.number("loss").unwrap_or(usual.loss_ppm),
            duplicate_ppm: table.number("duplicates").unwrap_or(usual.duplicate_ppm),
            flush_ms: table.pair("flush").unwrap_or(usual.flush_ms),
            mesh_degree: table.number("mesh_degree").map_or(usual.mesh_degree, size),
            skew_ms: table.number("clock_skew").unwrap_or(usual.skew_ms),
            sessions,
        }
    }

    fn odd_hosts(&mut self, tables: &[Filled], members: usize) -> Vec<OddHost> {
        tables
            .iter()
            .map(|table| OddHost {
                host: self.host(table, "number", members),
                latency_ms: table.pair("latency"),
                flush_ms: table.pair("flush"),
            })
            .collect()
    }

    fn partitions(&mut self, tables: &[Filled], members: usize) -> Vec<Partition> {
        tables
            .iter()
            .map(|table| {
                let from_ms = table.number("from").unwrap_or(0);
                let until_ms = table.number("until").unwrap_or(0);
                if until_ms <= from_ms {
                    self.complain(table.line_of("until"), "until is not after from");
                }
                Partition {
                    from_ms,
                    until_ms,
                    side: self.hosts(table, "side", members),
                }
            })
            .collect()
    }

    fn crashes(&mut self, tables: &[Filled], members: usize) -> Vec<Crash> {
        tables
            .iter()
            .map(|table| Crash {
                at_ms: table.number("at").unwrap_or(0),
                host: self.host(table, "host", members),
                down_ms: table.number("down").unwrap_or(0),
            })
            .collect()
    }

    fn swarm(&mut self, tables: &[Filled]) -> Option<Swarm> {
        let table = tables.first()?;
        for (count, lasts) in [
            ("partitions", "partition"),
            ("crashes", "down"),
            ("crashes_publishing", "down"),
        ] {
            if table.has(count) && !table.has(lasts) {
                self.complain(
                    table.line_of(count),
                    format!("{count} needs {lasts}: how long"),
                );
            }
        }
        Some(Swarm {
            partitions: table.pair("partitions").unwrap_or((0, 0)),
            partition_ms: table.pair("partition").unwrap_or((0, 0)),
            crashes: table.pair("crashes").unwrap_or((0, 0)),
            crashes_publishing: table.pair("crashes_publishing").unwrap_or((0, 0)),
            down_ms: table.pair("down").unwrap_or((0, 0)),
            loss_ppm_max: table.number("loss_max"),
        })
    }

    fn adversaries(&mut self, tables: &[Filled], members: usize) -> (Vec<Hostile>, Option<When>) {
        let mut hostile: Vec<Hostile> = Vec::new();
        let mut outsider = None;
        let mut counted = Vec::new();
        for table in tables {
            let when = self.when(table);
            let named = table.text("habit").unwrap_or_default();
            let habit = Habit::ALL.iter().find(|(name, _)| *name == named);
            let Some((_, habit)) = habit else { continue };
            if *habit == Habit::Outsider {
                if outsider.is_some() || table.has("hosts") || table.has("count") {
                    self.complain(
                        table.line_of("habit"),
                        "there is one outsider at most, who is no member and has no host",
                    );
                }
                outsider = Some(when);
                continue;
            }
            if table.has("hosts") == table.has("count") {
                self.complain(table.line, "an adversary needs either hosts or count");
            }
            for host in self.hosts(table, "hosts", members) {
                if hostile.iter().any(|other| other.host == host) {
                    let line = table.line_of("hosts");
                    self.complain(line, format!("host {host} has two habits"));
                }
                hostile.push(Hostile {
                    host,
                    habit: *habit,
                    when,
                });
            }
            counted.extend((0..table.number("count").unwrap_or(0)).map(|_| (*habit, when)));
        }
        let free: Vec<usize> = (0..members)
            .rev()
            .filter(|host| !hostile.iter().any(|other| other.host == *host))
            .collect();
        let taken = free.into_iter().zip(counted.iter());
        hostile.extend(taken.map(|(host, (habit, when))| Hostile {
            host,
            habit: *habit,
            when: *when,
        }));
        if hostile.len() + 2 > members || counted.len() > members {
            let line = tables.first().map_or(1, |table| table.line);
            self.complain(line, "two members at least must run our engine");
        }
        (hostile, outsider)
    }

    fn when(&mut self, table: &Filled) -> When {
        let rhythm_ms = match (table.number("every"), table.number("lasts")) {
            (Some(every_ms), Some(lasts_ms)) => {
                if lasts_ms == 0 || lasts_ms > every_ms {
                    self.complain(
                        table.line_of("lasts"),
                        "lasts must not be longer than every, and not nothing",
                    );
                }
                Some((every_ms, lasts_ms))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.complain(table.line, "every and lasts need each other");
                None
            }
        };
        When {
            from_ms: table.number("from").unwrap_or(0),
            until_ms: table.number("until"),
            rhythm_ms,
        }
    }

    fn host(&mut self, table: &Filled, key: &str, members: usize) -> usize {
        let host = table.number(key).map_or(0, size);
        self.in_range(table, key, members, host);
        host
    }

    fn hosts(&mut self, table: &Filled, key: &str, members: usize) -> Vec<usize> {
        let hosts: Vec<usize> = table
            .numbers(key)
            .unwrap_or_default()
            .iter()
            .map(|host| size(*host))
            .collect();
        for host in &hosts {
            self.in_range(table, key, members, *host);
        }
        hosts
    }

    fn in_range(&mut self, table: &Filled, key: &str, members: usize, host: usize) {
        if host >= members {
            let last = members.saturating_sub(1);
            self.complain(
                table.line_of(key),
                format!("there is no host {host}: with {members} members the last is {last}"),
            );
        }
    }
}

fn workload(table: &Filled) -> Workload {
    let usual = Workload::default();
    Workload {
        bundles: table.number("bundles").unwrap_or(usual.bundles),
        large_every: table.number("large_every").unwrap_or(usual.large_every),
        secrets: table.number("secrets").unwrap_or(usual.secrets),
        plant_in_clear: false,
    }
}

fn expectations(table: &Filled) -> Expect {
    Expect {
        published_min: table.number("published_min"),
        refused: table.number("refused"),
        crashes_min: table.number("crashes_min"),
        crashes_with_loss_min: table.number("crashes_with_loss_min"),
        conflicts_min: table.number("conflicts_min"),
        conflicts_max: table.number("conflicts_max"),
        not_taken_min: table.number("not_taken_min"),
        reconnects_min: table.number("reconnects_min"),
        delay_p50_ms_max: table.number("delay_p50_max"),
        delay_p99_ms_max: table.number("delay_p99_max"),
        idle_requests_milli_max: table.number("idle_requests_milli_max"),
        bytes_per_node_max: table.number("bytes_per_node_max"),
        store_bytes_max: table.number("store_bytes_max"),
        outputs_max: table.number("outputs_max"),
        epochs: table.number("epochs"),
        admission_ms_max: table.number("admission_max"),
        expulsion_ms_max: table.number("expulsion_max"),
        parts_stopped_min: table.number("parts_stopped_min"),
        resume_ms_max: table.number("resume_max"),
        forks_seen: table.number("forks_seen"),
        forks_proven_min: table.number("forks_proven_min"),
        suspensions_agreed_min: table.number("suspensions_agreed_min"),
    }
}

/// A number that is bounded by its form, as a size; a host that does not fit
/// is one that does not exist.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
