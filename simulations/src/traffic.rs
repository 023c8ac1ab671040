//! What travels between hosts: gossip, requests, answers.

use crate::account::Freight;
use crate::chance::pair;
use crate::host::{Brain, Waiting, Wire};
use crate::puppet::Habit;
use crate::world::{Happening, World};
use std::borrow::Cow;
use std::rc::Rc;
use watchfire_protocol::engine::{AnswerToken, GossipToken, Input, RequestId, Verdict};
use watchfire_protocol::gate::is_notice;
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::store::StoreError;
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::{Answer, DoorAnswer, RangeItem, Request};

/// A request that is not answered in this time has failed.
const TIMEOUT_MS: u64 = 10_000;

impl World {
    pub(crate) fn on_verdict(&mut self, number: usize, token: GossipToken, verdict: Verdict) {
        let now_us = self.now_us();
        let Some(host) = self.hosts.get_mut(number) else {
            return;
        };
        let Some((source, wire)) = host.pending.remove(&token) else {
            return;
        };
        if verdict == Verdict::Reject {
            host.blame(source);
            if self.is_honest(number) && self.is_honest(source) {
                self.wrong.get_or_insert_with(|| {
                    format!("honest host {number} rejects what honest host {source} forwarded")
                });
            }
        }
        self.trace.note(
            now_us,
            number,
            "verdict",
            &[&wire.id, format!("{verdict:?}").as_bytes()],
        );
        if verdict == Verdict::Accept {
            for peer in self
                .mesh_of(number)
                .into_iter()
                .filter(|peer| *peer != source)
            {
                self.send_gossip(number, peer, &wire);
            }
        }
    }

    /// Peers this host would gossip with: connected, and in its roster.
    pub(crate) fn roster_peers(&self, number: usize) -> Vec<usize> {
        let mut peers = self.connected_to(number);
        peers.retain(|peer| self.knows(number, *peer));
        peers
    }

    pub(crate) fn knows(&self, number: usize, peer: usize) -> bool {
        match (self.hosts.get(number), self.hosts.get(peer)) {
            (Some(host), Some(peer)) => host.known.roster.node(&peer.node).is_some(),
            (Some(_) | None, _) => false,
        }
    }

    /// The few peers that frames of others are forwarded to: those of the
    /// lowest rank, which is drawn for each pair and the same from both sides.
    pub(crate) fn mesh_of(&self, number: usize) -> Vec<usize> {
        let mut peers = self.roster_peers(number);
        peers.sort_by_key(|peer| self.ranks.get(&pair(number, *peer)).copied());
        peers.truncate(self.scenario.network.mesh_degree);
        peers
    }

    pub(crate) fn send_gossip(&mut self, from: usize, to: usize, wire: &Rc<Wire>) {
        let Some(epoch) = self.connection(from, to) else {
            return;
        };
        self.watch.scan("in a gossip message", &wire.bytes);
        let freight = if wire.hostile {
            Freight::GossipHostile
        } else if is_notice(&wire.bytes) {
            Freight::GossipNotice
        } else {
            Freight::Gossip
        };
        self.carried(freight, wire.bytes.len());
        let direction = ((from as u64) << 32) | to as u64;
        let twice = self
            .chance
            .happens("duplicate", direction, self.duplicate_ppm);
        for _ in 0..=u8::from(twice) {
            if let Some(at_us) = self.arrival_us(from, to) {
                self.at_us(
                    at_us,
                    Happening::Gossip {
                        epoch,
                        from,
                        to,
                        wire: Rc::clone(wire),
                    },
                );
            }
        }
    }

    pub(crate) fn on_gossip(
        &mut self,
        epoch: u64,
        from: usize,
        to: usize,
        wire: Rc<Wire>,
    ) -> Result<(), StoreError> {
        // Strangers do not get past the handshake of the transport.
        if self.connection(from, to) != Some(epoch) || !self.knows(to, from) {
            return Ok(());
        }
        let now_us = self.now_us();
        let Some(node) = self.hosts.get(from).map(|from| from.node) else {
            return Ok(());
        };
        let Some(host) = self.hosts.get_mut(to) else {
            return Ok(());
        };
        if let Brain::Puppet(puppet) = &mut host.brain {
            puppet.capture(&wire.bytes);
            return Ok(());
        }
        if !host.listens_to(from) || !host.seen.insert(now_us, wire.id) {
            return Ok(());
        }
        let token = GossipToken(host.token());
        let length = wire.bytes.len() as u64;
        if is_notice(&wire.bytes) {
            let checked = self.memo.notice(wire.id, &wire.bytes, &host.known);
            host.pending.insert(token, (from, wire));
            let input = Input::GossipNotice {
                from: node,
                token,
                length,
                checked,
            };
            return self.feed(to, input);
        }
        let checked = self.memo.check(wire.id, &wire.bytes, &host.known);
        host.pending.insert(token, (from, wire));
        self.feed(
            to,
            Input::Gossip {
                from: node,
                token,
                length,
                checked,
            },
        )
    }

    pub(crate) fn ask(&mut self, from: usize, to: NodeId, id: RequestId, request: Request) {
        let Some(life) = self.hosts.get(from).map(|host| host.life) else {
            return;
        };
        let failed = Happening::Answered {
            to: from,
            life,
            id,
            answer: None,
        };
        let to = self.number_of(from, &to);
        let Some((to, epoch)) =
            to.and_then(|to| self.connection(from, to).map(|epoch| (to, epoch)))
        else {
            self.after_ms(1, failed);
            return;
        };
        self.after_ms(TIMEOUT_MS, failed);
        let bytes = codec::encode(&request);
        self.watch.scan("in a request", &bytes);
        self.carried(Freight::Request, bytes.len());
        let of_hostile = matches!(&request, Request::Range { stream, .. }
            if self.number_of(from, &stream.node).is_some_and(|node| !self.is_honest(node)));
        if let Some(at_us) = self.arrival_us(from, to) {
            let waiting = Waiting {
                host: from,
                life,
                id,
                epoch,
                of_hostile,
            };
            self.at_us(
                at_us,
                Happening::Asked {
                    to,
                    waiting,
                    request,
                },
            );
        }
    }

    pub(crate) fn ask_as_puppet(&mut self, from: usize, to: usize, request: Request) {
        let node = self.hosts.get(to).map(|host| host.node);
        let token = self.hosts.get_mut(from).map(|host| host.token());
        if let (Some(node), Some(token)) = (node, token) {
            self.ask(from, node, RequestId(token), request);
        }
    }

    pub(crate) fn on_asked(
        &mut self,
        to: usize,
        waiting: Waiting,
        request: Request,
    ) -> Result<(), StoreError> {
        if self.connection(waiting.host, to) != Some(waiting.epoch) {
            return Ok(());
        }
        let Some(node) = self.hosts.get(waiting.host).map(|host| host.node) else {
            return Ok(());
        };
        let Some(host) = self.hosts.get_mut(to) else {
            return Ok(());
        };
        if let Brain::Puppet(puppet) = &host.brain {
            if let Some(answer) = puppet.answer(&request, &mut self.chance) {
                self.send_answer(to, waiting, answer);
            }
            return Ok(());
        }
        let token = AnswerToken(host.token());
        host.answers.insert(token, waiting);
        self.feed(
            to,
            Input::Request {
                from: node,
                token,
                request: Ok(request),
            },
        )
    }

    pub(crate) fn on_answer(&mut self, number: usize, token: AnswerToken, answer: Answer) {
        let waiting = self
            .hosts
            .get_mut(number)
            .and_then(|host| host.answers.remove(&token));
        let Some(waiting) = waiting else { return };
        let now_us = self.now_us();
        let parts = parts_of(&answer);
        let slices: Vec<&[u8]> = parts.iter().map(Cow::as_ref).collect();
        self.trace.note(now_us, number, "answer", &slices);
        let stranger = self.habit_of(waiting.host) == Some(Habit::Outsider);
        if stranger && !matches!(answer, Answer::Hello { .. } | Answer::Unavailable { .. }) {
            self.wrong.get_or_insert_with(|| {
                format!(
                    "leak: host {number} answers a stranger with {}",
                    name_of(&answer)
                )
            });
        }
        self.send_answer(number, waiting, answer);
    }

    pub(crate) fn send_answer(&mut self, from: usize, waiting: Waiting, answer: Answer) {
        if self.connection(from, waiting.host) != Some(waiting.epoch) {
            return;
        }
        let mut bytes = 0;
        for part in parts_of(&answer) {
            self.watch.scan("in an answer", &part);
            bytes += part.len();
        }
        self.carried(Freight::of_answer(&answer, waiting.of_hostile), bytes);
        let Waiting {
            host: to, life, id, ..
        } = waiting;
        if let Some(at_us) = self.arrival_us(from, to) {
            self.at_us(
                at_us,
                Happening::Answered {
                    to,
                    life,
                    id,
                    answer: Some(Box::new(answer)),
                },
            );
        }
    }

    pub(crate) fn on_door_answer(
        &mut self,
        number: usize,
        token: AnswerToken,
        answer: &DoorAnswer,
    ) {
        if let Some(host) = self.hosts.get_mut(number) {
            host.answers.remove(&token);
        }
        self.note(number, "door", &[&codec::encode(answer)]);
        self.watch.scan("at the door", &codec::encode(answer));
        if matches!(answer, DoorAnswer::Offer { accepted: true }) {
            self.wrong
                .get_or_insert_with(|| format!("host {number} admits a stranger at its door"));
        }
    }

    fn carried(&mut self, freight: Freight, bytes: usize) {
        self.messages += 1;
        self.account.note(freight, bytes);
    }
}

/// Every byte string of an answer; what is left are numbers and ids.
fn parts_of(answer: &Answer) -> Vec<Cow<'_, [u8]>> {
    match answer {
        Answer::Range { items, .. } => items
            .iter()
            .map(|item| match item {
                RangeItem::Frame(frame) => Cow::Borrowed(frame.as_slice()),
                RangeItem::Remains(remains) => Cow::Owned(codec::encode(remains)),
            })
            .collect(),
        Answer::Chunk { bytes, path } => vec![
            Cow::Borrowed(bytes.as_slice()),
            Cow::Owned(codec::encode(path)),
        ],
        Answer::KeyBlock { bytes } => vec![Cow::Borrowed(bytes.as_slice())],
        Answer::Link { bytes } => vec![Cow::Borrowed(bytes.as_slice())],
        Answer::Notices { frames, .. } => frames
            .iter()
            .map(|frame| Cow::Borrowed(frame.as_slice()))
            .collect(),
        Answer::Hello { .. } | Answer::Frontier { .. } | Answer::Unavailable { .. } => {
            vec![Cow::Owned(codec::encode(answer))]
        }
    }
}

const fn name_of(answer: &Answer) -> &'static str {
    match answer {
        Answer::Hello { .. } => "hello",
        Answer::Frontier { .. } => "its frontier",
        Answer::Range { .. } => "a range",
        Answer::Chunk { .. } => "a chunk",
        Answer::KeyBlock { .. } => "a key block",
        Answer::Notices { .. } => "notices",
        Answer::Link { .. } => "a link",
        Answer::Unavailable { .. } => "nothing",
    }
}
