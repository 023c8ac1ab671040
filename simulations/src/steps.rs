//! One step of a host: inputs into its engine, commits, outputs out of it, and
//! what people do there.

use crate::host::{Brain, Wire};
use crate::puppet::{Act, Puppet};
use crate::workload;
use crate::world::{Acknowledged, Happening, World};
use watchfire_crypto::sha256;
use watchfire_protocol::engine::{
    AnswerToken, ClientToken, Event, Input, Output, PublishRefusal, Published,
};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::Draft;
use watchfire_protocol::store::StoreError;
use watchfire_protocol::wire::codec;

/// What a piece of work takes, in microseconds.
const WORK_US: (u64, u64) = (100, 3_000);

/// Outputs of one step: 1,024 frames of a range may each give two events and
/// a pull of four chunks, and 256 peers a request each.
const OUTPUTS_PER_STEP_MAX: usize = 8_192;

/// How often one engine may be woken at one moment: each wake may make the next
/// thing due, but not for ever.
const WAKES_MAX: u32 = 1_000;

impl World {
    /// One step of an engine, and everything that comes of it.
    pub(crate) fn feed(&mut self, number: usize, input: Input) -> Result<(), StoreError> {
        let now_us = self.now_us();
        let Some(host) = self.hosts.get_mut(number) else {
            return Ok(());
        };
        let now = host.now(now_us);
        let Brain::Engine(engine) = &mut host.brain else {
            return Ok(());
        };
        engine.handle(now, input)?;
        self.after_step(number)
    }

    /// Takes what an engine gives, after a step or its start.
    pub(crate) fn after_step(&mut self, number: usize) -> Result<(), StoreError> {
        let mut outputs = 0;
        while let Some(output) = self
            .hosts
            .get_mut(number)
            .and_then(|host| match &mut host.brain {
                Brain::Engine(engine) => engine.poll(),
                Brain::Down | Brain::Puppet(_) => None,
            })
        {
            outputs += 1;
            self.on_output(number, output);
        }
        if outputs > OUTPUTS_PER_STEP_MAX {
            self.wrong.get_or_insert_with(|| {
                format!("not bounded: {outputs} outputs of one step at host {number}")
            });
        }
        self.outputs_max = self.outputs_max.max(outputs);
        self.commit(number)?;
        self.schedule_wake(number);
        Ok(())
    }

    pub(crate) fn commit(&mut self, number: usize) -> Result<(), StoreError> {
        let now_us = self.now_us();
        loop {
            let Some(host) = self.hosts.get_mut(number) else {
                return Ok(());
            };
            let Brain::Engine(engine) = &mut host.brain else {
                return Ok(());
            };
            let Some((commit, batch)) = engine.begin_commit() else {
                return Ok(());
            };
            host.disk.write(commit, &batch)?;
            let flush_ms = self
                .scenario
                .odd_host(number)
                .and_then(|odd| odd.flush_ms)
                .unwrap_or(self.scenario.network.flush_ms);
            let flush_ms = self.chance.between("flush", number as u64, flush_ms);
            host.disk_free_us = host.disk_free_us.max(now_us) + flush_ms * 1_000;
            let (at_us, life) = (host.disk_free_us, host.life);
            self.at_us(
                at_us,
                Happening::Flushed {
                    host: number,
                    life,
                    commit,
                },
            );
        }
    }

    pub(crate) fn schedule_wake(&mut self, number: usize) {
        let now_us = self.now_us();
        let Some(host) = self.hosts.get_mut(number) else {
            return;
        };
        let Brain::Engine(engine) = &host.brain else {
            return;
        };
        let Some((deadline, _)) = engine.deadline() else {
            return;
        };
        let at_us = (host.started_us + deadline.as_ms() * 1_000).max(now_us);
        if host.wake_at_us.is_none_or(|already| at_us < already) {
            host.wake_at_us = Some(at_us);
            let life = host.life;
            self.at_us(at_us, Happening::Wake { host: number, life });
        }
    }

    pub(crate) fn on_wake(&mut self, number: usize) -> Result<(), StoreError> {
        let now_us = self.now_us();
        let Some(host) = self.hosts.get_mut(number) else {
            return Ok(());
        };
        if host.wake_at_us.is_none_or(|at| at > now_us) {
            return Ok(());
        }
        host.wake_at_us = None;
        let (at_us, times) = host.woken;
        host.woken = (now_us, if at_us == now_us { times + 1 } else { 1 });
        if host.woken.1 > WAKES_MAX {
            self.wrong.get_or_insert_with(|| {
                format!("not bounded: host {number} wants to be woken at one moment for ever")
            });
        }
        self.feed(number, Input::Wake)
    }

    pub(crate) fn on_output(&mut self, number: usize, output: Output) {
        match output {
            Output::Verdict { token, verdict } => self.on_verdict(number, token, verdict),
            Output::Gossip { frame } => {
                let wire = Wire::new(frame.into_inner().bytes, false);
                self.note(number, "publish", &[&wire.id]);
                let now_us = self.now_us();
                if let Some(host) = self.hosts.get_mut(number) {
                    host.seen.insert(now_us, wire.id);
                }
                for peer in self.roster_peers(number) {
                    self.send_gossip(number, peer, &wire);
                }
            }
            Output::Request { to, id, request } => {
                self.note(number, "ask", &[to.as_bytes(), &codec::encode(&request)]);
                self.requests += 1;
                self.ask(number, to, id, request);
            }
            Output::Answer { token, answer } => self.on_answer(number, token, answer),
            Output::Door { token, answer } => self.on_door_answer(number, token, &answer),
            Output::Work(work) => {
                let cost_us = self.chance.between("work", number as u64, WORK_US);
                let Some(host) = self.hosts.get(number) else {
                    return;
                };
                let life = host.life;
                let done = Box::new(self.memo.run(work, &host.known));
                let at_us = self.now_us() + cost_us;
                self.at_us(
                    at_us,
                    Happening::Worked {
                        host: number,
                        life,
                        done,
                    },
                );
            }
            Output::Published { client, outcome } => self.on_published(number, client, outcome),
            // Nobody asks a simulated node for answers by a barrier, or to look
            // at its peers sooner.
            Output::Durable { .. } | Output::Synced { .. } | Output::Accepted { .. } => {}
            // Nor does one distrust another.
            Output::Distrust { .. } | Output::Admission => {}
            Output::Said { client, outcome } => {
                let said = format!("{client:?} {outcome:?}");
                self.on_said(outcome);
                self.note(number, "said", &[said.as_bytes()]);
            }
            Output::Reconnect { node } => {
                self.note(number, "reconnect", &[node.as_bytes()]);
                self.reconnects += 1;
                if let Some(peer) = self.number_of(number, &node)
                    && let Some(epoch) = self.connection(number, peer)
                {
                    self.after_ms(
                        0,
                        Happening::Close {
                            a: number,
                            b: peer,
                            epoch,
                        },
                    );
                }
            }
            Output::Roster(roster) => {
                self.note(number, "roster", &[]);
                self.on_roster(number, &roster);
                if let Some(host) = self.hosts.get_mut(number) {
                    host.known = crate::memo::KnownRoster::new(roster);
                }
                self.admit_anew(number);
            }
            Output::Event(event) => self.on_event(number, &event),
        }
    }

    pub(crate) fn on_event(&mut self, number: usize, event: &Event) {
        self.note(number, "event", &[format!("{event:?}").as_bytes()]);
        match event {
            Event::Searchable { bundle, author, .. } => {
                if self.is_honest_member(author) {
                    self.of_honest.insert(*bundle);
                }
                let now_us = self.now_us();
                let Some(host) = self.hosts.get_mut(number) else {
                    return;
                };
                let own = host.member == Some(*author);
                if host.searchable.insert(*bundle)
                    && !own
                    && let Some(published_us) = self.published_us.get(bundle)
                {
                    self.delays_us.push(now_us.saturating_sub(*published_us));
                }
            }
            Event::Conflict { author, envelope } => {
                self.conflicts.insert((number, *author, *envelope));
            }
            Event::NotTaken { .. } => self.not_taken += 1,
            Event::Epoch { epoch } => {
                if let Some(host) = self.hosts.get_mut(number) {
                    host.epoch_claimed = host.epoch_claimed.max(*epoch);
                }
            }
            Event::ForkProven { member, .. } => {
                self.roll.proven.insert(*member);
            }
            Event::Verified { .. }
            | Event::Stored { .. }
            | Event::NotOpened { .. }
            | Event::PeerReady { .. }
            | Event::CardChanged { .. }
            | Event::Revoked { .. }
            | Event::Suspension { .. }
            | Event::DoubleVote { .. }
            | Event::Admitted { .. } => {}
        }
    }

    pub(crate) fn on_publish(&mut self, index: usize) -> Result<(), StoreError> {
        let Some(planned) = self.plan.get(index).cloned() else {
            return Ok(());
        };
        let Some(host) = self.hosts.get(planned.host) else {
            return Ok(());
        };
        if host.is_down() {
            // People try again; those who have not entered yet, seldom.
            let again_ms = if host.has_run { 1_000 } else { 600_000 };
            self.after_ms(again_ms, Happening::Publish { index });
            return Ok(());
        }
        let wall_ms = host.now(self.now_us()).wall_ms;
        let Some(member) = host.member else {
            return Ok(());
        };
        self.unpublished = self.unpublished.saturating_sub(1);
        let stix = workload::stix(
            &member,
            &planned.domain,
            planned.marking,
            planned.padding,
            wall_ms,
        );
        if let Some(stix) = &stix {
            self.sent.insert(index as u64, sha256(stix));
        }
        match stix.map(|stix| Draft::prepare(stix, None, workload::wish())) {
            Some(Ok(draft)) => {
                let client = ClientToken(index as u64);
                self.feed(
                    planned.host,
                    Input::Publish {
                        client,
                        draft: Box::new(draft),
                    },
                )
            }
            Some(Err(why)) => {
                self.wrong
                    .get_or_insert_with(|| format!("the workload is not publishable: {why}"));
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn on_published(
        &mut self,
        number: usize,
        client: ClientToken,
        outcome: Result<Published, PublishRefusal>,
    ) {
        self.note(
            number,
            "published",
            &[format!("{client:?} {outcome:?}").as_bytes()],
        );
        if self.is_own(number, client, &outcome) {
            return;
        }
        let index = usize::try_from(client.0).unwrap_or(usize::MAX);
        let Some(planned) = self.plan.get(index) else {
            return;
        };
        match outcome {
            Ok(_) if planned.marking != Marking::Clear => {
                let marking = planned.marking;
                self.wrong.get_or_insert_with(|| {
                    format!("leak: {marking} was published by host {number}")
                });
            }
            Ok(published) => {
                let index_key = workload::index_key(&planned.domain).unwrap_or_default();
                let stix = self.sent.get(&client.0).copied().unwrap_or_default();
                self.acknowledged.push(Acknowledged {
                    bundle: published.bundle,
                    author: number,
                    stix,
                    index_key,
                });
                self.published_us.insert(published.bundle, self.now_us());
                self.of_honest.insert(published.bundle);
                for host in &mut self.hosts {
                    if let Brain::Puppet(puppet) = &mut host.brain {
                        puppet.learn(published.envelope);
                    }
                }
            }
            Err(PublishRefusal::SealingAbsent { .. }) if planned.marking != Marking::Clear => {
                self.refused += 1
            }
            Err(why) => {
                self.wrong
                    .get_or_insert_with(|| format!("host {number} could not publish: {why}"));
            }
        }
    }

    pub(crate) fn on_tick(&mut self, number: usize) -> Result<(), StoreError> {
        let next_ms = (self.now_us() + Puppet::TICK_US) / 1_000;
        if let Some(at_ms) = self.when_of(number).and_then(|when| when.next_ms(next_ms)) {
            self.at_us(at_ms * 1_000, Happening::Tick { host: number });
        }
        let peers: Vec<usize> = self
            .connected_to(number)
            .into_iter()
            .filter(|peer| self.is_honest(*peer))
            .collect();
        if peers.is_empty() {
            // It signs nothing that nobody would hear.
            return Ok(());
        }
        let now_us = self.now_us();
        let Some(host) = self.hosts.get_mut(number) else {
            return Ok(());
        };
        let wall_ms = host.now(now_us).wall_ms;
        let Brain::Puppet(puppet) = &mut host.brain else {
            return Ok(());
        };
        let transport_key = puppet.keys.transport.public().to_bytes();
        for act in puppet.tick(&peers, &mut self.chance, wall_ms) {
            match act {
                Act::Gossip { to, bytes } => {
                    self.send_gossip(number, to, &Wire::new(bytes, true));
                }
                Act::Ask { to, request } => self.ask_as_puppet(number, to, request),
                Act::Door { to, request } => {
                    let token = self.hosts.get_mut(to).map_or(0, |host| host.token());
                    let input = Input::Door {
                        token: AnswerToken(token),
                        transport_key,
                        request: Some(request),
                    };
                    self.feed(to, input)?;
                }
            }
        }
        Ok(())
    }
}
