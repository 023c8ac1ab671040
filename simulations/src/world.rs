//! Virtual time: the queue of events, and one step of it.

use crate::account::Account;
use crate::chance::Chance;
use crate::checks::{Failure, LeakWatch};
use crate::host::{Brain, Host, Waiting, Wire};
use crate::memo::Memo;
use crate::network::Link;
use crate::people::{People, Task};
use crate::roll::{Census, Roll};
use crate::scenario::Scenario;
use crate::trace::TraceHash;
use crate::workload::Planned;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use watchfire_crypto::Sha256Stream;
use watchfire_protocol::engine::{Done, Input, RequestId};
use watchfire_protocol::ids::{BundleId, EnvelopeId, MemberId, NodeId};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{CommitNo, Entry, StoreError};
use watchfire_protocol::wire::exchange::{Answer, Request};

/// Something that happens at a moment of virtual time.
pub(crate) enum Happening {
    Gossip {
        epoch: u64,
        from: usize,
        to: usize,
        wire: Rc<Wire>,
    },
    Asked {
        to: usize,
        waiting: Waiting,
        request: Request,
    },
    Answered {
        to: usize,
        life: u64,
        id: RequestId,
        answer: Option<Box<Answer>>,
    },
    Worked {
        host: usize,
        life: u64,
        done: Box<Done>,
    },
    Flushed {
        host: usize,
        life: u64,
        commit: CommitNo,
    },
    Wake {
        host: usize,
        life: u64,
    },
    Dial {
        a: usize,
        b: usize,
    },
    Notice {
        a: usize,
        b: usize,
        epoch: u64,
    },
    Close {
        a: usize,
        b: usize,
        epoch: u64,
    },
    Partition {
        index: usize,
        begins: bool,
    },
    Session {
        a: usize,
        b: usize,
        opens: bool,
    },
    Crash {
        host: usize,
        down_ms: u64,
    },
    Restart {
        host: usize,
    },
    Publish {
        index: usize,
    },
    Tick {
        host: usize,
    },
    PublishOwn {
        host: usize,
        number: u64,
    },
    Survey,
    Person {
        host: usize,
        task: Task,
    },
    Motion {
        index: usize,
    },
    Suspend {
        index: usize,
        by: usize,
    },
    Join {
        host: usize,
    },
    Copy {
        index: usize,
    },
    Restore {
        index: usize,
    },
    Clone {
        index: usize,
        begins: bool,
    },
    Calm,
}

/// A publication that its author was told is durable.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) bundle: BundleId,
    pub(crate) author: usize,
    /// SHA-256 of what was published.
    pub(crate) stix: [u8; 32],
    pub(crate) index_key: Vec<u8>,
}

/// Hosts, links, and what waits to happen.
pub struct World {
    pub(crate) scenario: Scenario,
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: BTreeMap<(usize, usize), Link>,
    pub(crate) ranks: BTreeMap<u64, u64>,
    pub(crate) chance: Chance,
    pub(crate) memo: Memo,
    pub(crate) watch: LeakWatch,
    pub(crate) trace: TraceHash,
    pub(crate) plan: Vec<Planned>,
    pub(crate) unpublished: usize,
    pub(crate) sent: BTreeMap<u64, [u8; 32]>,
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) published_us: BTreeMap<BundleId, u64>,
    pub(crate) of_honest: BTreeSet<BundleId>,
    pub(crate) conflicts: BTreeSet<(usize, MemberId, EnvelopeId)>,
    pub(crate) delays_us: Vec<u64>,
    pub(crate) loss_ppm: u64,
    pub(crate) duplicate_ppm: u64,
    /// What went wrong first, if anything did.
    pub(crate) wrong: Option<String>,
    pub(crate) refused: u64,
    pub(crate) crashes: u64,
    pub(crate) crashes_with_loss: u64,
    pub(crate) reconnects: u64,
    pub(crate) not_taken: u64,
    pub(crate) requests: u64,
    pub(crate) messages: u64,
    pub(crate) account: Account,
    pub(crate) outputs_max: usize,
    pub(crate) people: People,
    pub(crate) roll: Roll,
    /// Copies of disks, by number of the restoration they are for.
    pub(crate) copies: BTreeMap<usize, Vec<Entry>>,
    pub(crate) own_published: u64,
    pub(crate) genesis_file: Vec<u8>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) numbers: BTreeMap<NodeId, Vec<usize>>,
    pub(crate) queue: BTreeMap<(u64, u64), Happening>,
    pub(crate) queue_max: usize,
    pub(crate) next: u64,
    pub(crate) now_us: u64,
    pub(crate) events: u64,
}

/// What came of a run. All figures are of virtual time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Over every event and output.
    pub trace: TraceHash,
    /// Over every store.
    pub stores: [u8; 32],
    /// Events that happened.
    pub events: u64,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// How long after the faults everybody had everything, in milliseconds.
    pub converged_ms: u64,
    /// Publications that were acknowledged.
    pub published: usize,
    /// Publications above CLEAR that were refused.
    pub refused: u64,
    /// Median from acknowledgement to searchable at another member, faults
    /// included, in microseconds.
    pub delay_p50_us: u64,
    /// The same, one in a hundred is slower.
    pub delay_p99_us: u64,
    /// Crashes that happened.
    pub crashes: u64,
    /// Crashes that took writes with them which were not flushed.
    pub crashes_with_loss: u64,
    /// Links that an engine wanted dialled again.
    pub reconnects: u64,
    /// Frames that were not taken, second copies aside.
    pub not_taken: u64,
    /// Envelopes kept as evidence against their author, over all hosts.
    pub conflicts: usize,
    /// What came of the membership.
    pub census: Census,
    /// Messages put on links.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The same by kind.
    pub account: Account,
    /// Their bytes for each member.
    pub bytes_per_node: u64,
    /// The largest store of an honest member, in bytes of keys and values.
    pub store_bytes_max: u64,
    /// Requests of each host to each other in the quiet at the end, in
    /// thousandths a second.
    pub idle_requests_milli: u64,
    /// Most events that waited at a time.
    pub queue_max: usize,
    /// Most outputs of one step.
    pub outputs_max: usize,
}

/// The quiet at the end: four probes of every pair.
const IDLE_MS: u64 = 60_000;

impl World {
    /// Runs faults, then calm until everybody has everything, then the checks.
    ///
    /// # Errors
    /// The first check that does not hold, with how to see it again.
    pub fn run(&mut self) -> Result<Report, Failure> {
        let faults_ms = self.scenario.ends_ms();
        self.run_until(faults_ms)?;
        let mut at_ms = faults_ms;
        // Often enough for a figure, seldom enough for a calm of hours.
        let look_ms = (self.scenario.calm_ms_max / 500).max(500);
        let (missing, unsettled) = loop {
            let missing = self
                .missing()
                .map_err(|error| self.failure(error.to_string()))?;
            let unsettled = self.unsettled();
            if (missing.is_none() && unsettled.is_none() && self.unpublished == 0)
                || at_ms >= faults_ms + self.scenario.calm_ms_max
            {
                break (missing, unsettled);
            }
            at_ms += look_ms;
            self.run_until(at_ms)?;
        };
        if let Some((host, bundle)) = missing {
            let waits = self.describe(host);
            return Err(self.failure(format!(
                "does not converge: host {host} does not have {bundle} ({waits})"
            )));
        }
        if let Some(what) = unsettled {
            return Err(self.failure(format!("does not settle: {what}")));
        }
        let requests = self.requests;
        self.run_until(at_ms + IDLE_MS)?;
        let idle_requests = self.requests - requests;
        self.scan_stores();
        if let Some(what) = self.broken().or(self
            .lost()
            .map_err(|error| self.failure(error.to_string()))?)
        {
            return Err(self.failure(what));
        }
        if let Some(what) = self.misjudged() {
            return Err(self.failure(what));
        }
        if let Some((host, envelope)) = self.honest_conflict() {
            return Err(self.failure(format!(
                "host {host} holds {envelope} as evidence against an honest member"
            )));
        }
        Ok(self.report(at_ms - faults_ms, idle_requests))
    }

    /// Runs until a moment of virtual time.
    ///
    /// # Errors
    /// As [`World::run`], for the checks that hold at every moment.
    pub fn run_until(&mut self, until_ms: u64) -> Result<(), Failure> {
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= until_ms * 1_000
        {
            let ((at_us, _), happening) = entry.remove_entry();
            self.now_us = at_us;
            self.events += 1;
            self.happen(happening)
                .map_err(|error| self.failure(error.to_string()))?;
            self.queue_max = self.queue_max.max(self.queue.len());
            if let Some(what) = self.broken() {
                return Err(self.failure(what));
            }
        }
        self.now_us = until_ms * 1_000;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), StoreError> {
        match happening {
            Happening::Gossip {
                epoch,
                from,
                to,
                wire,
            } => {
                self.note(to, "gossip", &[&(from as u64).to_be_bytes(), &wire.id]);
                self.on_gossip(epoch, from, to, wire)
            }
            Happening::Asked {
                to,
                waiting,
                request,
            } => {
                self.note(
                    to,
                    "asked",
                    &[
                        &(waiting.host as u64).to_be_bytes(),
                        &waiting.id.0.to_be_bytes(),
                    ],
                );
                self.on_asked(to, waiting, request)
            }
            Happening::Answered {
                to,
                life,
                id,
                answer,
            } => {
                self.note(
                    to,
                    "answered",
                    &[&id.0.to_be_bytes(), &[u8::from(answer.is_some())]],
                );
                self.feed_life(to, life, Input::Answered { id, answer })
            }
            Happening::Worked { host, life, done } => {
                self.note(host, "worked", &[]);
                self.feed_life(host, life, Input::Done(*done))
            }
            Happening::Flushed { host, life, commit } => {
                self.note(host, "flushed", &[&commit.get().to_be_bytes()]);
                if let Some(held) = self.hosts.get(host).filter(|host| host.life == life) {
                    held.disk.flushed(commit);
                }
                self.feed_life(host, life, Input::Committed(commit))
            }
            Happening::Wake { host, life } => {
                if self.hosts.get(host).is_some_and(|host| host.life == life) {
                    self.on_wake(host)
                } else {
                    Ok(())
                }
            }
            Happening::Dial { a, b } => {
                self.note(a, "dial", &[&(b as u64).to_be_bytes()]);
                self.on_dial(a, b)
            }
            Happening::Notice { a, b, epoch } => self.on_notice(a, b, epoch),
            Happening::Close { a, b, epoch } => {
                if self.connection(a, b) != Some(epoch) {
                    return Ok(());
                }
                self.close(a, b)?;
                self.dial_later(a, b);
                Ok(())
            }
            Happening::Partition { index, begins } => {
                self.note(index, if begins { "cut" } else { "heal" }, &[]);
                self.on_partition(index, begins);
                Ok(())
            }
            Happening::Session { a, b, opens } => self.on_session(a, b, opens),
            Happening::Crash { host, down_ms } => {
                self.note(host, "crash", &[]);
                self.on_crash(host, down_ms)
            }
            Happening::Restart { host } => {
                self.note(host, "restart", &[]);
                self.on_restart(host)
            }
            Happening::Publish { index } => self.on_publish(index),
            Happening::Tick { host } => self.on_tick(host),
            Happening::PublishOwn { host, number } => self.on_publish_own(host, number),
            Happening::Survey => self.on_survey(),
            Happening::Person { host, task } => self.on_person(host, task),
            Happening::Motion { index } => self.on_motion(index),
            Happening::Suspend { index, by } => self.on_suspend(index, by),
            Happening::Join { host } => self.on_join(host),
            Happening::Copy { index } => {
                self.on_copy(index);
                Ok(())
            }
            Happening::Restore { index } => self.on_restore(index),
            Happening::Clone { index, begins } => self.on_clone(index, begins),
            Happening::Calm => {
                self.loss_ppm = 0;
                self.duplicate_ppm = 0;
                Ok(())
            }
        }
    }

    fn feed_life(&mut self, host: usize, life: u64, input: Input) -> Result<(), StoreError> {
        if self.hosts.get(host).is_some_and(|host| host.life == life) {
            self.feed(host, input)
        } else {
            Ok(())
        }
    }

    /// The hash over everything that happened so far.
    pub const fn trace(&self) -> TraceHash {
        self.trace
    }

    /// Loses everything that a host stored, under its running engine: to see
    /// that the check for losses can fail.
    pub fn wipe(&mut self, host: usize) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.disk.wipe();
        }
    }

    fn report(&self, converged_ms: u64, idle_requests: u64) -> Report {
        let mut stores = Sha256Stream::new();
        for host in &self.hosts {
            stores.update(&host.disk.digest());
        }
        let mut delays = self.delays_us.clone();
        delays.sort_unstable();
        let quantile = |permille: usize| {
            delays
                .get(delays.len() * permille / 1_000)
                .copied()
                .unwrap_or(0)
        };
        let honest = self.honest().count() as u64;
        let store_bytes_max = self
            .honest()
            .filter_map(|host| self.hosts.get(host))
            .map(|host| host.disk.bytes())
            .max()
            .unwrap_or(0);
        let bytes = self.account.total();
        let pairs = honest * honest.saturating_sub(1);
        Report {
            trace: self.trace,
            stores: stores.finish(),
            events: self.events,
            virtual_ms: self.now_us / 1_000,
            converged_ms,
            published: self.acknowledged.len(),
            refused: self.refused,
            delay_p50_us: quantile(500),
            delay_p99_us: quantile(990),
            crashes: self.crashes,
            crashes_with_loss: self.crashes_with_loss,
            reconnects: self.reconnects,
            not_taken: self.not_taken,
            conflicts: self.conflicts.len(),
            census: self.census(),
            messages: self.messages,
            bytes,
            account: self.account.clone(),
            bytes_per_node: bytes.checked_div(self.scenario.members as u64).unwrap_or(0),
            store_bytes_max,
            idle_requests_milli: (idle_requests * 1_000_000 / IDLE_MS)
                .checked_div(pairs)
                .unwrap_or(0),
            queue_max: self.queue_max,
            outputs_max: self.outputs_max,
        }
    }

    fn describe(&self, number: usize) -> String {
        match self.hosts.get(number).map(|host| &host.brain) {
            Some(Brain::Engine(engine)) => {
                let status = engine.status();
                format!(
                    "it has {} envelopes, {} to be opened, {} to be pulled, {} peers",
                    status.envelopes,
                    status.unopened,
                    status.pulls,
                    status.peers.len()
                )
            }
            Some(Brain::Down) => "it is down".to_owned(),
            Some(Brain::Puppet(_)) | None => "it runs no engine".to_owned(),
        }
    }

    pub(crate) fn failure(&self, what: String) -> Failure {
        let mut failure = failure_of(&self.scenario, self.now_us / 1_000)(what);
        failure.trace = self.trace;
        failure
    }

    pub(crate) fn note(&mut self, host: usize, what: &str, parts: &[&[u8]]) {
        self.trace.note(self.now_us, host, what, parts);
    }

    pub(crate) fn at_us(&mut self, at_us: u64, happening: Happening) {
        self.next += 1;
        self.queue.insert((at_us, self.next), happening);
    }

    pub(crate) fn after_ms(&mut self, after_ms: u64, happening: Happening) {
        self.at_us(self.now_us + after_ms * 1_000, happening);
    }

    pub(crate) const fn now_us(&self) -> u64 {
        self.now_us
    }

    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }
}

pub(crate) fn failure_of(scenario: &Scenario, at_ms: u64) -> impl Fn(String) -> Failure + use<> {
    let (name, seed) = (scenario.name.clone(), scenario.seed);
    move |what| Failure {
        scenario: name.clone(),
        seed,
        at_ms,
        what,
        trace: TraceHash::EMPTY,
    }
}
