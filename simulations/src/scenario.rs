//! What is to happen, and within which bounds it must end well.

use crate::puppet::Habit;

/// A run: with the same values it is the same run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Names it in failures.
    pub name: &'static str,
    /// Every choice follows from it.
    pub seed: u64,
    /// Members of the federation, hostile ones included, one node each.
    pub members: usize,
    /// How long faults and publications go on, in virtual milliseconds.
    pub faults_ms: u64,
    /// How long after that it may take until everybody has everything.
    pub calm_ms_max: u64,
    /// The links.
    pub network: Network,
    /// Groups that cannot reach each other for a time.
    pub partitions: Vec<Partition>,
    /// Hosts that lose power.
    pub crashes: Vec<Crash>,
    /// Faults drawn from the seed, on top.
    pub swarm: Option<Swarm>,
    /// What people publish.
    pub workload: Workload,
    /// Members that do not run our engine.
    pub hostile: Vec<Hostile>,
    /// Whether a stranger connects to everybody and asks for everything.
    pub outsider: bool,
    /// Whether equal checks are paid for once. Changes nothing but the time
    /// that the simulation itself takes.
    pub memo: bool,
    /// Most events that may wait at one time.
    pub queue_max: usize,
}

/// How links behave while faults are on. Calm, nothing is lost or doubled.
#[derive(Clone, Debug)]
pub struct Network {
    /// Delay of a link one way, drawn once for each link, in milliseconds.
    pub latency_ms: (u64, u64),
    /// At most so much more, drawn for each message: what overtakes what.
    pub jitter_ms: u64,
    /// Messages lost, in a million.
    pub loss_ppm: u64,
    /// Gossip messages that arrive twice, in a million.
    pub duplicate_ppm: u64,
    /// What a flush takes, in milliseconds.
    pub flush_ms: (u64, u64),
    /// How many members a frame of others is forwarded to.
    pub mesh_degree: usize,
    /// How far each host's wall clock is off at most, in milliseconds.
    pub skew_ms: u64,
}

/// Hosts on one side of it do not reach those on the other.
#[derive(Clone, Debug)]
pub struct Partition {
    /// When it begins, in milliseconds.
    pub from_ms: u64,
    /// When it ends.
    pub until_ms: u64,
    /// The hosts of one side.
    pub side: Vec<usize>,
}

/// A host loses power and what it had not flushed.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// Which.
    pub host: usize,
    /// For how long it is down.
    pub down_ms: u64,
}

/// Bounds of what is drawn from the seed.
#[derive(Clone, Copy, Debug)]
pub struct Swarm {
    /// Partitions, at most.
    pub partitions_max: u64,
    /// Crashes, at most.
    pub crashes_max: u64,
    /// Loss, at most, in a million; replaces that of the network.
    pub loss_ppm_max: u64,
}

/// What people publish, at drawn times by drawn members.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// TLP:CLEAR bundles.
    pub bundles: u64,
    /// Every so many of them is over 32 KiB, so that it is pulled; 0 for none.
    pub large_every: u64,
    /// Bundles above CLEAR, each with something planted in it. The engine must
    /// refuse them as long as it cannot seal.
    pub secrets: u64,
    /// Plants the same in TLP:CLEAR bundles: to see that the check for leaks
    /// can fail.
    pub plant_in_clear: bool,
}

/// A member that does not run our engine.
#[derive(Clone, Copy, Debug)]
pub struct Hostile {
    /// Which host.
    pub host: usize,
    /// What it does.
    pub habit: Habit,
}

impl Scenario {
    /// A quiet federation: loss of one percent, no other faults.
    pub fn calm(seed: u64, members: usize) -> Self {
        Self {
            name: "calm",
            seed,
            members,
            faults_ms: 60_000,
            calm_ms_max: 60_000,
            network: Network {
                latency_ms: (5, 60),
                jitter_ms: 10,
                loss_ppm: 10_000,
                duplicate_ppm: 10_000,
                flush_ms: (2, 15),
                mesh_degree: 4,
                skew_ms: 2_000,
            },
            partitions: Vec::new(),
            crashes: Vec::new(),
            swarm: None,
            workload: Workload { bundles: 40, large_every: 8, secrets: 5, plant_in_clear: false },
            hostile: Vec::new(),
            outsider: true,
            memo: true,
            queue_max: 50_000,
        }
    }
}
