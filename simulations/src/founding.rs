//! How a world begins: the federation, its hosts and links, and what is to
//! happen.

use crate::account::Account;
use crate::chance::{Chance, pair};
use crate::checks::{Failure, LeakWatch};
use crate::disk::Disk;
use crate::host::{Brain, Host, Seen, WALL_START_MS};
use crate::memo::{KnownRoster, Memo};
use crate::network::Link;
use crate::people::People;
use crate::puppet::{Habit, Puppet};
use crate::roll::Roll;
use crate::scenario::{Crash, Partition, Scenario, Topology};
use crate::trace::TraceHash;
use crate::workload::{self, Planned};
use crate::world::{Happening, World, failure_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use watchfire_protocol::engine::{Config, Engine};
use watchfire_protocol::founding::{Keys, derived_federation};
use watchfire_protocol::ids::{CertificateId, MemberId, NodeId};
use watchfire_protocol::store::StoreError;
use watchfire_protocol::wire::Tag;
use watchfire_protocol::wire::card::Role;
use watchfire_protocol::wire::exchange::StreamId;

/// Every so many members one is a hub.
const HUB_EVERY: usize = 6;

const fn is_hub(number: usize) -> bool {
    number % HUB_EVERY == HUB_EVERY - 1
}

/// What the nodes of a member may do.
pub(crate) const fn role_of(number: usize) -> Role {
    if is_hub(number) {
        Role::Hub
    } else {
        Role::Agency
    }
}

impl World {
    /// Founds the federation and starts every host.
    ///
    /// # Errors
    /// When the scenario cannot be built: too few members, for example.
    pub fn new(scenario: Scenario) -> Result<Self, Failure> {
        let failed = failure_of(&scenario, 0);
        let mut chance = Chance::new(scenario.seed);
        let scenario = with_swarm(scenario, &mut chance);
        let roles: Vec<Role> = (0..scenario.founders).map(role_of).collect();
        let seed = chance.seed_for("federation", 0);
        let (file, roster, keys) = derived_federation(&seed, &roles, WALL_START_MS - 3_600_000)
            .map_err(|error| failed(error.to_string()))?;
        // Whoever is to leave or runs from a copy publishes nothing that must
        // be found in the end.
        let honest: Vec<usize> = (0..scenario.members)
            .filter(|host| !scenario.hostile.iter().any(|hostile| hostile.host == *host))
            .filter(|host| {
                let agenda = &scenario.agenda;
                !agenda.is_to_leave(*host)
                    && !agenda.is_to_be_suspended(*host)
                    && !agenda.is_twofold(*host)
            })
            .collect();
        let plan = workload::plan(&scenario, &honest, &mut chance);
        let scenario = with_crashes_publishing(scenario, &plan, &mut chance);
        let mut world = Self {
            hosts: Vec::new(),
            links: BTreeMap::new(),
            ranks: BTreeMap::new(),
            memo: Memo::new(scenario.memo),
            watch: LeakWatch::default(),
            trace: TraceHash::EMPTY,
            unpublished: plan.len(),
            plan,
            sent: BTreeMap::new(),
            acknowledged: Vec::new(),
            published_us: BTreeMap::new(),
            of_honest: BTreeSet::new(),
            conflicts: BTreeSet::new(),
            delays_us: Vec::new(),
            loss_ppm: scenario.network.loss_ppm,
            duplicate_ppm: scenario.network.duplicate_ppm,
            wrong: None,
            refused: 0,
            crashes: 0,
            crashes_with_loss: 0,
            reconnects: 0,
            not_taken: 0,
            requests: 0,
            messages: 0,
            account: Account::default(),
            outputs_max: 0,
            people: People::default(),
            roll: Roll::default(),
            copies: BTreeMap::new(),
            own_published: 0,
            genesis_file: file.to_bytes(),
            roster: Arc::new(roster),
            numbers: BTreeMap::new(),
            queue: BTreeMap::new(),
            queue_max: 0,
            next: 0,
            now_us: 0,
            events: 0,
            chance,
            scenario,
        };
        world
            .populate(keys)
            .map_err(|error| failed(error.to_string()))?;
        world.schedule();
        Ok(world)
    }

    fn populate(&mut self, founders: Vec<Keys>) -> Result<(), StoreError> {
        let founding = KnownRoster::new(Arc::clone(&self.roster));
        let members = self.scenario.members;
        let clones = self.scenario.agenda.clones.len();
        let mut keys = founders;
        keys.extend((keys.len()..members + clones).map(|number| self.keys_of(number)));
        let stranger = self
            .scenario
            .outsider
            .map(|_| Keys::derived(&self.chance.seed_for("outsider", 0), 0));
        for (number, keys) in keys.into_iter().chain(stranger).enumerate() {
            let node = NodeId::of_transport(&keys.transport.public().to_bytes());
            let member = MemberId::of_root(&keys.root.public());
            let hostile = self
                .scenario
                .hostile
                .iter()
                .find(|hostile| hostile.host == number)
                .map(|hostile| hostile.habit);
            let habit = if number < members + clones {
                hostile
            } else {
                Some(Habit::Outsider)
            };
            self.numbers.entry(node).or_default().push(number);
            let ahead_ms =
                self.chance
                    .below("skew", number as u64, self.scenario.network.skew_ms + 1);
            self.hosts.push(Host {
                node,
                member: (number < members + clones).then_some(member),
                brain: habit.map_or(Brain::Down, |habit| {
                    Brain::Puppet(Box::new(self.puppet(number, habit, keys, member)))
                }),
                life: 0,
                started_us: 0,
                ahead_ms,
                disk: Disk::default(),
                known: founding.clone(),
                wake_at_us: None,
                woken: (0, 0),
                disk_free_us: 0,
                seen: Seen::default(),
                pending: BTreeMap::new(),
                scores: BTreeMap::new(),
                next_token: 0,
                answers: BTreeMap::new(),
                epoch_claimed: 0,
                is_joining: false,
                has_run: false,
                searchable: BTreeSet::new(),
            });
        }
        for b in 0..self.hosts.len() {
            for a in 0..b {
                if !self.has_link(a, b) {
                    continue;
                }
                let odd_ms = |host: usize| self.scenario.odd_host(host)?.latency_ms;
                let latency_ms = odd_ms(a)
                    .or_else(|| odd_ms(b))
                    .unwrap_or(self.scenario.network.latency_ms);
                let latency_us = self.chance.between("latency", pair(a, b), latency_ms) * 1_000;
                let mut link = Link {
                    latency_us,
                    ..Link::default()
                };
                if let Some(sessions) = self.scenario.network.sessions {
                    // Down until its moment in the first period comes.
                    link.cuts = 1;
                    let at_ms = self.chance.below("session", pair(a, b), sessions.every_ms);
                    self.after_ms(at_ms, Happening::Session { a, b, opens: true });
                }
                if (members..members + clones).contains(&b) {
                    // Until the second host is there.
                    link.cuts += 1;
                }
                self.links.insert((a, b), link);
                let rank = self.chance.below("rank", pair(a, b), u64::MAX);
                self.ranks.insert(pair(a, b), rank);
                self.dial_later(a, b);
            }
        }
        let honest: Vec<usize> = self
            .honest()
            .filter(|host| *host < self.scenario.founders)
            .collect();
        honest
            .into_iter()
            .try_for_each(|number| self.start_engine(number))
    }

    /// Whether a host has a link to a later one.
    fn has_link(&self, a: usize, b: usize) -> bool {
        let members = self.scenario.members;
        if self.is_outsider(b) {
            return true;
        }
        let (a, b) = (self.original_of(a), self.original_of(b));
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        match self.scenario.network.topology {
            _ if a == b => false,
            Topology::Full => true,
            Topology::Hubs => is_hub(a) || is_hub(b),
            Topology::Ring => b == a + 1 || (a == 0 && b + 1 == members),
        }
    }

    fn puppet(&self, number: usize, habit: Habit, keys: Keys, member: MemberId) -> Puppet {
        let node = NodeId::of_transport(&keys.transport.public().to_bytes());
        let certificate = self
            .roster
            .node(&node)
            .map_or(CertificateId::from_bytes([7; 32]), |certificate| {
                certificate.id
            });
        let streams = self
            .roster
            .nodes()
            .filter(|certificate| certificate.node != node)
            .map(|certificate| StreamId {
                node: certificate.node,
                incarnation: certificate.incarnation,
                tag: Tag::PUBLIC,
            })
            .collect();
        Puppet {
            number: number as u64,
            habit,
            keys,
            member,
            certificate,
            federation: self.roster.federation(),
            epoch: self.roster.epoch(),
            streams,
            known: VecDeque::new(),
            captured: VecDeque::new(),
            ticks: 0,
            sequence: 0,
            heads: [None, None],
        }
    }

    /// Starts an engine on what its disk holds, with fresh chance.
    pub(crate) fn start_engine(&mut self, number: usize) -> Result<(), StoreError> {
        let keys = self.keys_of(number);
        let now_us = self.now_us;
        let Some(host) = self.hosts.get_mut(number) else {
            return Ok(());
        };
        host.started_us = now_us;
        let config = Config {
            roster: (*self.roster).clone(),
            genesis_file: self.genesis_file.clone(),
            links: Vec::new(),
            installed: Vec::new(),
            prepared: None,
            transport_key: keys.transport.public().to_bytes(),
            signing_key: keys.signing,
            seed: self
                .chance
                .seed_for("engine", (number as u64) << 32 | host.life),
        };
        match Engine::open(host.disk.clone(), config, host.now(now_us)) {
            Ok(engine) => {
                host.known = KnownRoster::new(engine.roster());
                host.has_run = true;
                let (epoch, claimed) = (engine.roster().epoch(), host.epoch_claimed);
                if epoch < claimed {
                    self.wrong.get_or_insert_with(|| {
                        format!("rollback: host {number} starts at epoch {epoch} after it claimed {claimed}")
                    });
                }
                host.brain = Brain::Engine(Box::new(engine));
            }
            Err(why) => {
                self.wrong
                    .get_or_insert_with(|| format!("host {number} does not start: {why}"));
            }
        }
        self.after_step(number)
    }

    fn schedule(&mut self) {
        let faults_ms = self.scenario.ends_ms();
        for index in 0..self.plan.len() {
            let at_ms = self.plan.get(index).map_or(0, |planned| planned.at_ms);
            if at_ms > faults_ms {
                // The run is stopped before anybody publishes it.
                self.unpublished = self.unpublished.saturating_sub(1);
                continue;
            }
            self.after_ms(at_ms, Happening::Publish { index });
        }
        let partitions: Vec<(u64, u64)> = self
            .scenario
            .partitions
            .iter()
            .map(|partition| (partition.from_ms, partition.until_ms))
            .collect();
        for (index, (from_ms, until_ms)) in partitions
            .into_iter()
            .enumerate()
            .filter(|(_, (from, _))| *from < faults_ms)
        {
            self.after_ms(
                from_ms,
                Happening::Partition {
                    index,
                    begins: true,
                },
            );
            self.after_ms(
                until_ms.min(faults_ms),
                Happening::Partition {
                    index,
                    begins: false,
                },
            );
        }
        for Crash {
            at_ms,
            host,
            down_ms,
        } in self.scenario.crashes.clone()
        {
            if at_ms < faults_ms {
                self.after_ms(
                    at_ms,
                    Happening::Crash {
                        host,
                        down_ms: down_ms.min(faults_ms - at_ms),
                    },
                );
            }
        }
        self.schedule_agenda();
        for host in 0..self.hosts.len() {
            if let Some(at_ms) = self.when_of(host).and_then(|when| when.next_ms(1_000)) {
                self.after_ms(at_ms, Happening::Tick { host });
            }
        }
        self.after_ms(faults_ms, Happening::Calm);
    }
}

impl World {
    fn schedule_agenda(&mut self) {
        let agenda = self.scenario.agenda.clone();
        if !agenda.is_on() {
            return;
        }
        let faults_ms = self.scenario.ends_ms();
        let mut all = vec![(0, Happening::Survey)];
        for (index, motion) in agenda.motions.iter().enumerate() {
            all.push((motion.at_ms, Happening::Motion { index }));
        }
        for (index, suspending) in agenda.suspensions.iter().enumerate() {
            for by in suspending.by.iter().copied() {
                let person_ms = self.chance.between("suspend", by as u64, agenda.person_ms);
                let at_ms = suspending.at_ms + person_ms;
                all.push((at_ms, Happening::Suspend { index, by }));
            }
        }
        for (index, restore) in agenda.restores.iter().enumerate() {
            all.push((restore.copied_ms, Happening::Copy { index }));
            all.push((restore.at_ms, Happening::Restore { index }));
        }
        for (index, clone) in agenda.clones.iter().enumerate() {
            let begins = true;
            all.push((clone.at_ms, Happening::Clone { index, begins }));
            let begins = false;
            all.push((clone.until_ms, Happening::Clone { index, begins }));
        }
        for (at_ms, happening) in all {
            if at_ms < faults_ms {
                self.after_ms(at_ms, happening);
            }
        }
    }
}

/// Draws the crashes that befall authors while they publish.
fn with_crashes_publishing(
    mut scenario: Scenario,
    plan: &[Planned],
    chance: &mut Chance,
) -> Scenario {
    let Some(swarm) = scenario.swarm else {
        return scenario;
    };
    for number in 0..chance.between("swarm-publishing", 0, swarm.crashes_publishing) {
        let index = chance.below("swarm-published", number, plan.len() as u64);
        let Some(planned) = usize::try_from(index).ok().and_then(|at| plan.get(at)) else {
            continue;
        };
        let flush_ms_max = scenario.network.flush_ms.1;
        scenario.crashes.push(Crash {
            at_ms: planned.at_ms + chance.between("swarm-published", number, (1, flush_ms_max)),
            host: planned.host,
            down_ms: chance.between("swarm-published", number, swarm.down_ms),
        });
    }
    scenario
}

/// Draws the faults of a swarm.
fn with_swarm(mut scenario: Scenario, chance: &mut Chance) -> Scenario {
    let Some(swarm) = scenario.swarm else {
        return scenario;
    };
    let (members, faults_ms) = (scenario.members as u64, scenario.faults_ms);
    let host = |drawn: u64| usize::try_from(drawn).unwrap_or(0);
    for number in 0..chance.between("swarm-partitions", 0, swarm.partitions) {
        let from_ms = chance.below("swarm-partition", number, faults_ms);
        let until_ms = from_ms + chance.between("swarm-partition", number, swarm.partition_ms);
        let side = (0..scenario.members)
            .filter(|_| chance.happens("swarm-side", number, 500_000))
            .collect();
        scenario.partitions.push(Partition {
            from_ms,
            until_ms,
            side,
        });
    }
    for number in 0..chance.between("swarm-crashes", 0, swarm.crashes) {
        scenario.crashes.push(Crash {
            at_ms: chance.below("swarm-crash", number, faults_ms),
            host: host(chance.below("swarm-crash", number, members)),
            down_ms: chance.between("swarm-crash", number, swarm.down_ms),
        });
    }
    if let Some(loss_ppm_max) = swarm.loss_ppm_max {
        scenario.network.loss_ppm = chance.below("swarm-loss", 0, loss_ppm_max + 1);
    }
    scenario
}
