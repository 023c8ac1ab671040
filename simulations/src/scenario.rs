//! What is to happen, and within which bounds it must end well.

use crate::agenda::Agenda;
use crate::expect::Expect;
use crate::puppet::Habit;

/// A run: with the same values it is the same run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Names it in failures.
    pub name: String,
    /// Every choice follows from it.
    pub seed: u64,
    /// Members of the federation, hostile ones included, one node each.
    pub members: usize,
    /// Of the members so many found the federation; the others, of the highest
    /// numbers, enter when they are admitted.
    pub founders: usize,
    /// How long faults and publications go on, in virtual milliseconds.
    pub faults_ms: u64,
    /// Where only a first piece of the run is played: when its faults end and
    /// its calm begins, in virtual milliseconds. What happens before is what
    /// happens in the whole run.
    pub stop_ms: Option<u64>,
    /// How long after the faults it may take until everybody has everything.
    pub calm_ms_max: u64,
    /// The links.
    pub network: Network,
    /// Hosts that differ from the rest.
    pub odd_hosts: Vec<OddHost>,
    /// Groups that cannot reach each other for a time.
    pub partitions: Vec<Partition>,
    /// Hosts that lose power.
    pub crashes: Vec<Crash>,
    /// Faults drawn from the seed, on top.
    pub swarm: Option<Swarm>,
    /// What people publish.
    pub workload: Workload,
    /// What happens to the membership.
    pub agenda: Agenda,
    /// Members that do not run our engine.
    pub hostile: Vec<Hostile>,
    /// When a stranger knocks at everybody's door and asks for everything, if
    /// one does.
    pub outsider: Option<When>,
    /// Whether equal checks are paid for once. Changes nothing but the time
    /// that the simulation itself takes.
    pub memo: bool,
    /// Most events that may wait at one time.
    pub queue_max: usize,
    /// What the report must say.
    pub expect: Expect,
}

/// Who has a link to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Everybody to everybody.
    Full,
    /// Hubs to everybody, agencies to hubs alone.
    Hubs,
    /// Each to the one before and the one after.
    Ring,
}

/// How links behave. Loss and doubles end with the faults; the rest stays.
#[derive(Clone, Debug)]
pub struct Network {
    /// Who has a link to whom. An outsider has one to everybody.
    pub topology: Topology,
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
    /// Where links are up only a part of the time: so often, and so long.
    pub sessions: Option<Sessions>,
}

/// Each link is up for a while, then down until its period is over. When in
/// the period is drawn for each link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// The period, in milliseconds.
    pub every_ms: u64,
    /// How much of it the link is up, in milliseconds.
    pub open_ms: u64,
}

/// A host that differs from the rest: far away, or on a bad disk.
#[derive(Clone, Copy, Debug)]
pub struct OddHost {
    /// Which.
    pub host: usize,
    /// Delay of its links one way instead of the network's, in milliseconds.
    pub latency_ms: Option<(u64, u64)>,
    /// What its flushes take instead of the network's, in milliseconds.
    pub flush_ms: Option<(u64, u64)>,
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

/// Bounds of what is drawn from the seed, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Swarm {
    /// Partitions.
    pub partitions: (u64, u64),
    /// How long each of them lasts, in milliseconds.
    pub partition_ms: (u64, u64),
    /// Crashes.
    pub crashes: (u64, u64),
    /// Crashes more, each at an author shortly after it was asked to publish:
    /// within the longest flush, so that there is something to lose.
    pub crashes_publishing: (u64, u64),
    /// How long a host is down after one, in milliseconds.
    pub down_ms: (u64, u64),
    /// Loss, at most, in a million; replaces that of the network.
    pub loss_ppm_max: Option<u64>,
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
    /// When it acts of its own accord. What it is asked, it always answers in
    /// its own way.
    pub when: When,
}

/// When somebody acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// Not before, in milliseconds.
    pub from_ms: u64,
    /// Not after, if it ends at all.
    pub until_ms: Option<u64>,
    /// Within each so many milliseconds only the first so many, if not always.
    pub rhythm_ms: Option<(u64, u64)>,
}

impl When {
    /// From the beginning, without end or pause.
    pub const ALWAYS: Self = Self {
        from_ms: 0,
        until_ms: None,
        rhythm_ms: None,
    };

    /// The first moment from this one on at which it acts; none if it is over.
    pub fn next_ms(&self, now_ms: u64) -> Option<u64> {
        let mut at_ms = now_ms.max(self.from_ms);
        if let Some((every_ms, lasts_ms)) = self.rhythm_ms.filter(|(every_ms, _)| *every_ms > 0) {
            let into_ms = at_ms.saturating_sub(self.from_ms) % every_ms;
            if into_ms >= lasts_ms {
                at_ms = at_ms.saturating_add(every_ms - into_ms);
            }
        }
        self.until_ms
            .is_none_or(|until_ms| at_ms < until_ms)
            .then_some(at_ms)
    }
}

impl Scenario {
    /// A quiet federation: loss of one percent, no other faults.
    pub fn calm(seed: u64, members: usize) -> Self {
        Self {
            name: "calm".to_owned(),
            seed,
            members,
            founders: members,
            faults_ms: 60_000,
            stop_ms: None,
            calm_ms_max: 60_000,
            network: Network::default(),
            odd_hosts: Vec::new(),
            partitions: Vec::new(),
            crashes: Vec::new(),
            swarm: None,
            workload: Workload::default(),
            agenda: Agenda::default(),
            hostile: Vec::new(),
            outsider: Some(When::ALWAYS),
            memo: true,
            queue_max: 50_000,
            expect: Expect::default(),
        }
    }

    /// When faults and publications end, in virtual milliseconds.
    pub fn ends_ms(&self) -> u64 {
        self.stop_ms
            .map_or(self.faults_ms, |stop_ms| stop_ms.min(self.faults_ms))
    }

    pub(crate) fn odd_host(&self, host: usize) -> Option<&OddHost> {
        self.odd_hosts.iter().find(|odd| odd.host == host)
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            topology: Topology::Full,
            latency_ms: (5, 60),
            jitter_ms: 10,
            loss_ppm: 10_000,
            duplicate_ppm: 10_000,
            flush_ms: (2, 15),
            mesh_degree: 4,
            skew_ms: 2_000,
            sessions: None,
        }
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            bundles: 40,
            large_every: 8,
            secrets: 5,
            plant_in_clear: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_acts_in_a_rhythm_from_a_moment_to_another() {
        assert_eq!(When::ALWAYS.next_ms(17), Some(17));
        let when = When {
            from_ms: 100,
            until_ms: Some(1_000),
            rhythm_ms: Some((200, 50)),
        };
        let next = |now_ms| when.next_ms(now_ms);
        assert_eq!((next(0), next(149)), (Some(100), Some(149)));
        assert_eq!((next(150), next(349)), (Some(300), Some(349)));
        // 950 is past the last fifty, and the next would begin at 1,100.
        assert_eq!((next(949), next(950)), (Some(949), None));
    }
}
