//! What a look costs when there is nothing to fetch: two engines, no sockets,
//! and as many envelopes as one likes. The benchmark uses this file too, with
//! many.

use std::collections::VecDeque;

use watchfire_protocol::engine::{
    AnswerToken, ClientToken, Config, Engine, GossipToken, Input, Output,
};
use watchfire_protocol::founding::derived_federation;
use watchfire_protocol::gate::check;
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::limits::PROBE_EVERY_MS;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{Draft, Wish};
use watchfire_protocol::store::{Batch, MemoryStore, Store as _};
use watchfire_protocol::time::{Instant, Now};
use watchfire_protocol::wire::card::Role;
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::Request;

const WALL_MS: u64 = 1_800_000_000_000;
const SEED: [u8; 32] = [5; 32];

/// Members who publish in turn. The first of them is who is looked at.
const AUTHORS: usize = 4;
/// The member who looks.
const READER: usize = AUTHORS;

/// Virtual time between two publications, in milliseconds: below the rate of
/// one author, so that no quota is ever used up.
const PACE_MS: u64 = 21;

/// What a look costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Frontiers that were asked for.
    pub(crate) round_trips: usize,
    /// Requests and answers together, without the four bytes of length before
    /// each.
    pub(crate) bytes: usize,
}

/// An engine, and who it is.
struct Host<'a> {
    engine: Engine<&'a MemoryStore>,
    node: NodeId,
}

impl<'a> Host<'a> {
    fn open(store: &'a MemoryStore, number: usize, now: Now) -> Self {
        let roles = [Role::Agency; AUTHORS + 1];
        let (file, roster, mut keys) = derived_federation(&SEED, &roles, WALL_MS - 1_000).unwrap();
        let keys = keys.swap_remove(number);
        let config = Config {
            links: Vec::new(),
            installed: Vec::new(),
            prepared: None,
            roster,
            genesis_file: file.to_bytes(),
            transport_key: keys.transport.public().to_bytes(),
            signing_key: keys.signing,
            seed: [u8::try_from(number).unwrap(); 32],
        };
        let mut host = Self {
            engine: Engine::open(store, config, now).unwrap(),
            node: NodeId::of_transport(&keys.transport.public().to_bytes()),
        };
        host.settle(now);
        host
    }

    /// One step, and everything it wrote made durable.
    fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        self.engine.handle(now, input).unwrap();
        self.settle(now)
    }

    fn settle(&mut self, now: Now) -> Vec<Output> {
        while let Some((number, batch)) = self.engine.begin_commit() {
            self.engine.store().apply(&batch).unwrap();
            self.engine.handle(now, Input::Committed(number)).unwrap();
        }
        std::iter::from_fn(|| self.engine.poll()).collect()
    }
}

fn later(now: Now, ms: u64) -> Now {
    Now {
        mono: now.mono.plus_ms(ms),
        wall_ms: now.wall_ms + ms,
    }
}

/// Lets the members publish so many together, each of which all of them get by
/// gossip; starts the reader again; and looks twice: what it costs to find,
/// when it comes back, that nothing was missed, and what it costs from then on.
pub(crate) fn looks_with_nothing_to_fetch(envelopes: usize) -> [Cost; 2] {
    let stores: Vec<MemoryStore> = (0..=READER).map(|_| MemoryStore::default()).collect();
    let mut now = Now {
        mono: Instant::ZERO,
        wall_ms: WALL_MS,
    };
    let mut hosts: Vec<Host<'_>> = (0..=READER)
        .map(|number| Host::open(&stores[number], number, now))
        .collect();
    for number in 0..envelopes {
        now = later(now, PACE_MS);
        let frame = publish(&mut hosts[number % AUTHORS], now, number);
        let author = hosts[number % AUTHORS].node;
        for other in [0, READER] {
            if other != number % AUTHORS {
                hear(&mut hosts[other], now, author, number, &frame);
            }
        }
    }
    let mut reader = hosts.pop().unwrap();
    let mut holder = hosts.swap_remove(0);
    for host in [&reader, &holder] {
        assert_eq!(host.engine.status().envelopes, envelopes as u64);
    }
    // The first meeting lists everything once, and leaves a mark.
    let first = meet(now, &mut reader, &mut holder);
    assert_eq!(first.round_trips, 1);
    drop(reader);
    let kept = copy_of(&stores[READER]);
    let mut reader = Host::open(&kept, READER, now);
    let back = meet(now, &mut reader, &mut holder);
    now = later(now, 2 * PROBE_EVERY_MS);
    let outputs = reader.step(
        now,
        Input::Sync {
            client: ClientToken(1),
        },
    );
    let again = carry(now, outputs, &mut reader, &mut holder);
    for host in [&reader, &holder] {
        assert_eq!(host.engine.status().envelopes, envelopes as u64);
    }
    assert_eq!(
        reader.engine.status().behind,
        [],
        "it knows that it has all"
    );
    [back, again]
}

/// The frame of one small bundle, durable at its author.
fn publish(author: &mut Host<'_>, now: Now, number: usize) -> Vec<u8> {
    let stix = format!(
        "[{{\"type\":\"domain-name\",\"spec_version\":\"2.1\",\
         \"id\":\"domain-name--00000000-0000-4000-8000-{number:012x}\",\"value\":\"h{number}.example\"}}]"
    );
    let wish = Wish {
        flag: Some(Marking::Clear),
        valid_ms: 30 * 24 * 60 * 60 * 1_000,
        exercise: true,
        permissible_actions: None,
        supersedes: None,
    };
    let publish = Input::Publish {
        client: ClientToken(number as u64),
        draft: Box::new(Draft::prepare(stix.into_bytes(), None, wish).unwrap()),
    };
    let mut frame = None;
    for output in author.step(now, publish) {
        if let Output::Gossip { frame: made } = output {
            frame = Some(made.into_inner().bytes);
        }
    }
    frame.expect("it is below every quota")
}

fn hear(host: &mut Host<'_>, now: Now, from: NodeId, number: usize, frame: &[u8]) {
    let checked = check(frame, &host.engine.roster()).map(Box::new);
    let gossip = Input::Gossip {
        from,
        token: GossipToken(number as u64),
        length: frame.len() as u64,
        checked,
    };
    // What is to be opened is left alone: nobody searches here.
    host.step(now, gossip);
}

/// Connects the two anew and carries everything until both are quiet. What is
/// counted is what the reader asks about changes; a hello is part of every
/// connection.
fn meet(now: Now, reader: &mut Host<'_>, holder: &mut Host<'_>) -> Cost {
    let node = reader.node;
    holder.step(now, Input::PeerDisconnected { node });
    let mut said = reader.step(now, Input::PeerConnected { node: holder.node });
    let other = holder.step(now, Input::PeerConnected { node });
    // The holder's own hello, and whatever it asks when it is ready.
    said.extend(carry_back(now, other, reader, holder));
    carry(now, said, reader, holder)
}

/// Brings what the holder asks to the reader, and the answers back. Returns
/// what the reader says besides.
fn carry_back(
    now: Now,
    outputs: Vec<Output>,
    reader: &mut Host<'_>,
    holder: &mut Host<'_>,
) -> Vec<Output> {
    let mut rest = Vec::new();
    let mut queue: VecDeque<Output> = outputs.into();
    while let Some(output) = queue.pop_front() {
        let Output::Request { id, request, .. } = output else {
            continue;
        };
        for said in reader.step(now, asked_by(holder.node, request)) {
            if let Output::Answer { answer, .. } = said {
                let answer = Some(Box::new(answer));
                queue.extend(holder.step(now, Input::Answered { id, answer }));
            } else {
                rest.push(said);
            }
        }
    }
    rest
}

/// Brings what the reader asks to the holder, and the answers back.
fn carry(now: Now, outputs: Vec<Output>, reader: &mut Host<'_>, holder: &mut Host<'_>) -> Cost {
    let mut cost = Cost {
        round_trips: 0,
        bytes: 0,
    };
    let mut asked = outputs;
    while !asked.is_empty() {
        // What is asked at once is one round trip.
        let mut is_round_trip = false;
        let mut next = Vec::new();
        for output in core::mem::take(&mut asked) {
            let Output::Request { id, request, .. } = output else {
                continue;
            };
            let is_hello = matches!(request, Request::Hello { .. });
            let mut bytes = codec::encode(&request).len();
            let mut further = Vec::new();
            for said in holder.step(now, asked_by(reader.node, request)) {
                if let Output::Answer { answer, .. } = said {
                    bytes += codec::encode(&answer).len();
                    let answer = Some(Box::new(answer));
                    next.extend(reader.step(now, Input::Answered { id, answer }));
                } else {
                    further.push(said);
                }
            }
            next.extend(carry_back(now, further, reader, holder));
            if !is_hello {
                is_round_trip = true;
                cost.bytes += bytes;
            }
        }
        cost.round_trips += usize::from(is_round_trip);
        asked = next;
    }
    cost
}

fn asked_by(from: NodeId, request: Request) -> Input {
    Input::Request {
        from,
        token: AnswerToken(0),
        request: Ok(request),
    }
}

/// The same store once more: what a process leaves on disk when it ends.
fn copy_of(store: &MemoryStore) -> MemoryStore {
    let copy = MemoryStore::default();
    let mut batch = Batch::default();
    for (key, value) in store.snapshot() {
        batch.put(key, value);
    }
    copy.apply(&batch).unwrap();
    copy
}
