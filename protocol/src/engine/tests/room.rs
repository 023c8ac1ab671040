//! A node to test with, and what to look for in what it says. The tests of
//! other modules take their genuine frames from it too.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use crate::engine::*;
use crate::founding::{Keys, derived_federation};
use crate::gate::{check, is_notice};
use crate::ids::EnvelopeId;
use crate::marking::Marking;
use crate::opening::{Draft, Wish};
use crate::store::{Entry, MemoryStore};
use crate::wire::card::CertificateBytes;
use crate::wire::card::NodeCert;
use crate::wire::codec;
use crate::wire::envelope::{Envelope, Header, SignedBytes, frame};
use crate::wire::exchange::{Answer, DoorRequest, RangeItem, Request, Scope, Unavailable};
use crate::wire::{Bytes, Kind};
use watchfire_crypto::{Signed, sha256};

pub(crate) const WALL_MS: u64 = 1_800_000_000_000;
pub(super) use crate::engine::receive::HOUR_MS;

const SEED: [u8; 32] = [9; 32];

/// An engine, the time at which it is, and what it said last.
pub(crate) struct Node {
    pub(crate) engine: Engine<MemoryStore>,
    pub(super) ms: u64,
    /// Commits handed out and not reported durable.
    begun: Vec<(CommitNo, Batch)>,
    token: u64,
}

/// What was carried between nodes.
#[derive(Default)]
pub(super) struct Carried {
    pub(super) asked: Vec<(u64, Request)>,
    /// Of requests and answers together.
    pub(super) bytes: usize,
    pub(super) outputs: Vec<Output>,
}

impl Carried {
    pub(super) fn ranges(&self) -> Vec<(u64, u64, u64)> {
        self.asked
            .iter()
            .filter_map(|(of, request)| match request {
                Request::Range { from, to, .. } => Some((*of, *from, *to)),
                _ => None,
            })
            .collect()
    }
}

/// The request for everything that changed since the beginning.
pub(super) fn frontier() -> Request {
    Request::Frontier {
        scope: Scope::OPEN,
        since: None,
        full: false,
        news: false,
    }
}

/// The request for the beginning of a stream: more than a test publishes.
pub(super) const fn range_of(stream: StreamId) -> Request {
    Request::Range {
        stream,
        from: 1,
        to: 9,
    }
}

pub(super) const fn unavailable(reason: Unavailable) -> Answer {
    Answer::Unavailable { reason }
}

pub(crate) fn keys(number: u64) -> Keys {
    Keys::derived(&SEED, number)
}

pub(super) fn node_id(number: u64) -> NodeId {
    NodeId::of_transport(&keys(number).transport.public().to_bytes())
}

/// What a member publishes for everybody, in a life of its node.
pub(super) fn public_of(number: u64, incarnation: u64) -> StreamId {
    StreamId {
        node: node_id(number),
        incarnation,
        tag: Tag::PUBLIC,
    }
}

/// A certificate's contents for a new node of a member, with the keys `new`.
pub(super) fn newcomer(member: &Keys, new: &Keys) -> NodeCert {
    NodeCert {
        root_key: member.root.public().to_bytes(),
        signing_key: new.signing.public().to_bytes(),
        transport_key: new.transport.public().to_bytes(),
        serial: 1,
        incarnation: 1,
        role: Role::Agency,
        not_before_ms: WALL_MS - 1_000,
        not_after_ms: WALL_MS + 1_000_000,
    }
}

/// [`newcomer`], signed by all who must.
pub(super) fn newcomer_certificate(member: &Keys, new: &Keys) -> CertificateBytes {
    let cert = newcomer(member, new);
    CertificateBytes::sign(&cert, &member.root, &new.signing, &new.transport).unwrap()
}

/// What the engine of a member begins with.
pub(super) fn config_of(number: u64) -> Config {
    let (file, roster, _) = derived_federation(&SEED, &[Role::Agency; 4], WALL_MS - 1_000).unwrap();
    Config {
        roster,
        genesis_file: file.to_bytes(),
        links: Vec::new(),
        installed: Vec::new(),
        prepared: None,
        transport_key: keys(number).transport.public().to_bytes(),
        signing_key: keys(number).signing,
        seed: [u8::try_from(number).unwrap(); 32],
    }
}

/// An author that is connected to peers 1 and 2, with so many frames.
pub(super) fn author_of(frames: usize) -> (Node, Vec<Vec<u8>>) {
    let mut author = Node::start(0);
    let made = (0..frames)
        .map(|at| author.frame_of(&format!("f{at}"), 10))
        .collect();
    author.meet(1);
    author.meet(2);
    author.commit();
    (author, made)
}

/// A store that holds these.
pub(super) fn store_of(entries: Vec<Entry>) -> MemoryStore {
    let store = MemoryStore::default();
    let mut batch = Batch::default();
    for (key, value) in entries {
        batch.put(key, value);
    }
    store.apply(&batch).unwrap();
    store
}

impl Node {
    pub(crate) fn start(number: u64) -> Self {
        Self::on(MemoryStore::default(), number)
    }

    pub(super) fn on(store: MemoryStore, number: u64) -> Self {
        Self::with(store, config_of(number))
    }

    pub(super) fn with(store: MemoryStore, config: Config) -> Self {
        let engine = Engine::open(
            store,
            config,
            Now {
                mono: Instant::ZERO,
                wall_ms: WALL_MS,
            },
        )
        .unwrap();
        let mut node = Self {
            engine,
            ms: 0,
            begun: Vec::new(),
            token: 0,
        };
        // What it writes at every start is durable before a test looks; what it
        // says waits to be heard.
        let now = node.now();
        while let Some((number, batch)) = node.engine.begin_commit() {
            node.engine.store().apply(&batch).unwrap();
            node.engine.handle(now, Input::Committed(number)).unwrap();
        }
        node
    }

    /// What a power cut leaves, started again.
    pub(super) fn restart(self, number: u64) -> Self {
        Self::on(store_of(self.engine.store().snapshot()), number)
    }

    /// As [`Self::restart`], at the time that it is and with what lies beside the
    /// store.
    pub(super) fn restart_with(self, config: Config) -> Self {
        let store = store_of(self.engine.store().snapshot());
        let mut node = Self {
            engine: Engine::open(store, config, self.now()).unwrap(),
            ms: self.ms,
            begun: Vec::new(),
            token: 0,
        };
        node.commit();
        node
    }

    pub(super) fn now(&self) -> Now {
        Now {
            mono: Instant::from_ms(self.ms),
            wall_ms: WALL_MS + self.ms,
        }
    }

    pub(super) fn feed(&mut self, input: Input) -> Vec<Output> {
        self.engine.handle(self.now(), input).unwrap();
        std::iter::from_fn(|| self.engine.poll()).collect()
    }

    /// Makes everything written so far durable.
    pub(super) fn commit(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some((number, batch)) = self.engine.begin_commit() {
            self.begun.push((number, batch));
        }
        for (number, batch) in core::mem::take(&mut self.begun) {
            self.engine.store().apply(&batch).unwrap();
            outputs.extend(self.feed(Input::Committed(number)));
        }
        outputs
    }

    /// Time passes, and nobody wakes the engine.
    pub(super) fn pass(&mut self, ms: u64) {
        self.ms += ms;
    }

    pub(super) fn later(&mut self, ms: u64) -> Vec<Output> {
        self.ms += ms;
        self.feed(Input::Wake)
    }

    pub(super) fn publish(&mut self, draft: Draft) -> Vec<Output> {
        self.feed(Input::Publish {
            client: ClientToken(7),
            draft: Box::new(draft),
        })
    }

    /// Publishes, makes it durable, and gives the frame.
    pub(crate) fn frame_of(&mut self, name: &str, bytes: usize) -> Vec<u8> {
        let mut outputs = self.publish(draft(name, bytes, Marking::Clear));
        outputs.extend(self.commit());
        gossiped(outputs).unwrap()
    }

    pub(super) fn gossip(&mut self, from: u64, frame: &[u8]) -> Vec<Output> {
        let checked = check(frame, &self.engine.roster()).map(Box::new);
        self.token += 1;
        self.feed(Input::Gossip {
            from: node_id(from),
            token: GossipToken(self.token),
            length: frame.len() as u64,
            checked,
        })
    }

    pub(super) fn request(&mut self, from: u64, request: Request) -> Vec<Output> {
        self.token += 1;
        self.feed(Input::Request {
            from: node_id(from),
            token: AnswerToken(self.token),
            request: Ok(request),
        })
    }

    /// What it answers, once that is durable.
    pub(super) fn serves(&mut self, from: u64, request: Request) -> Option<Answer> {
        let mut outputs = self.request(from, request);
        outputs.extend(self.commit());
        answer(&outputs)
    }

    /// Items of a range, as a peer brings them.
    pub(super) fn brought(&mut self, from: u64, items: Vec<RangeItem>) -> Vec<Output> {
        let work = Work::Check {
            id: RequestId(0),
            from: node_id(from),
            items,
            roster: self.engine.roster(),
        };
        self.feed(Input::Done(work.run()))
    }

    /// Somebody with these keys offers a certificate at the door.
    pub(super) fn knock(&mut self, key: &Keys, certificate: CertificateBytes) -> Vec<Output> {
        self.feed(Input::Door {
            token: AnswerToken(1),
            transport_key: key.transport.public().to_bytes(),
            request: Some(DoorRequest::Offer { certificate }),
        })
    }

    /// An author has used up what it may bring that way.
    pub(super) fn exhaust(&mut self, author: u64, way: Way) {
        let mut empty = Quota::author(self.now().mono);
        empty.take(u64::MAX / 2_000);
        self.engine
            .author_quotas
            .insert((node_id(author), way), empty);
    }

    pub(super) fn hello(&self) -> Request {
        Request::Hello {
            federation: self.engine.roster.federation(),
            epoch: self.engine.roster.epoch(),
            nonce: [7; 16],
        }
    }

    /// Connects and says hello both ways; gives what comes of it.
    pub(super) fn meet(&mut self, peer: u64) -> Vec<Output> {
        let connected = self.feed(Input::PeerConnected {
            node: node_id(peer),
        });
        let (id, _) = asked(&connected, peer).remove(0);
        let (federation, epoch) = (self.engine.roster.federation(), self.engine.roster.epoch());
        let mut outputs = self.request(peer, self.hello());
        let hello = Answer::Hello {
            federation,
            epoch,
            nonce: [8; 16],
        };
        outputs.extend(self.answered(id, Some(hello)));
        outputs
    }

    /// Carries what this node asks to those who are there and brings their
    /// answers back, until it asks nothing more of them.
    pub(super) fn carry(
        &mut self,
        me: u64,
        outputs: Vec<Output>,
        others: &mut [(u64, &mut Self)],
    ) -> Carried {
        let mut carried = Carried::default();
        let mut queue: VecDeque<Output> = outputs.into();
        while let Some(output) = queue.pop_front() {
            match output {
                Output::Work(work) => queue.extend(self.feed(Input::Done(work.run()))),
                Output::Request { to, id, request } => {
                    let other = others.iter_mut().find(|(number, _)| node_id(*number) == to);
                    let Some((number, other)) = other else {
                        continue;
                    };
                    carried.bytes += codec::encode(&request).len();
                    let answer = other.serves(me, request.clone());
                    carried.bytes += answer
                        .iter()
                        .map(|it| codec::encode(it).len())
                        .sum::<usize>();
                    carried.asked.push((*number, request));
                    queue.extend(self.answered(id, answer));
                }
                other => carried.outputs.push(other),
            }
        }
        carried
    }

    pub(super) fn answered(&mut self, id: RequestId, answer: Option<Answer>) -> Vec<Output> {
        self.feed(Input::Answered {
            id,
            answer: answer.map(Box::new),
        })
    }

    /// Does all work and feeds back what it gives.
    pub(super) fn work(&mut self, outputs: Vec<Output>) -> Vec<Output> {
        let mut rest = Vec::new();
        let mut queue: VecDeque<Output> = outputs.into();
        while let Some(output) = queue.pop_front() {
            match output {
                Output::Work(work) => queue.extend(self.feed(Input::Done(work.run()))),
                other => rest.push(other),
            }
        }
        rest
    }

    pub(super) fn holds(&self, frame: &[u8]) -> bool {
        let id = id_of(frame, &self.engine.roster());
        self.engine
            .staged
            .get(&table::envelope(&id))
            .unwrap()
            .is_some()
    }

    pub(super) fn evidence(&self) -> usize {
        self.engine.store().scan(b"X", b"X", 100).unwrap().len()
    }
}

pub(super) fn id_of(frame: &[u8], roster: &Roster) -> EnvelopeId {
    crate::gate::envelope_id(&check(frame, roster).unwrap())
}

pub(super) fn draft(name: &str, bytes: usize, marking: Marking) -> Draft {
    let stix = format!(
        "{{\"type\":\"bundle\",\"id\":\"bundle--11111111-1111-4111-8111-111111111111\",\"objects\":[\
         {{\"type\":\"domain-name\",\"spec_version\":\"2.1\",\
         \"id\":\"domain-name--22222222-2222-4222-8222-222222222222\",\"value\":\"{name}.example\"}},\
         {{\"type\":\"note\",\"spec_version\":\"2.1\",\"id\":\"note--33333333-3333-4333-8333-333333333333\",\
         \"created\":\"2027-01-01T00:00:00.000Z\",\"modified\":\"2027-01-01T00:00:00.000Z\",\"content\":\"{}\",\
         \"object_refs\":[\"domain-name--22222222-2222-4222-8222-222222222222\"]}}]}}",
        "x".repeat(bytes)
    );
    let wish = Wish {
        flag: Some(marking),
        valid_ms: 86_400_000,
        exercise: false,
        permissible_actions: None,
        supersedes: None,
    };
    Draft::prepare(stix.into_bytes(), None, wish).unwrap()
}

/// One that expires after so long; its bundle is small.
pub(super) fn short_lived(name: &str, valid_ms: u64) -> Draft {
    let mut draft = draft(name, 10, Marking::Clear);
    draft.wish.valid_ms = valid_ms;
    draft
}

pub(super) fn asked(outputs: &[Output], of: u64) -> Vec<(RequestId, Request)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            // About membership there are questions of their own.
            Output::Request {
                request: Request::Notices { .. } | Request::Link { .. },
                ..
            } => None,
            Output::Request { to, id, request } if *to == node_id(of) => {
                Some((*id, request.clone()))
            }
            _ => None,
        })
        .collect()
}

pub(super) fn chunks_asked(outputs: &[Output], of: u64) -> Vec<(RequestId, u32)> {
    asked(outputs, of)
        .into_iter()
        .filter_map(|(id, request)| match request {
            Request::Chunk { index, .. } => Some((id, index)),
            _ => None,
        })
        .collect()
}

/// The first frame that goes out.
pub(super) fn gossiped(outputs: Vec<Output>) -> Option<Vec<u8>> {
    // Notices go out by themselves: signs of life, certificates.
    outputs.into_iter().find_map(|output| match output {
        Output::Gossip { frame } => {
            Some(frame.into_inner().bytes).filter(|bytes| !is_notice(bytes))
        }
        _ => None,
    })
}

/// An author of two chains: 1 and 2 for the world, and a twin that holds 1 and a
/// secret 2 of its own.
pub(super) fn two_chains() -> ([Vec<u8>; 2], Node, Node) {
    let mut author = Node::start(0);
    let world = ["first", "second"].map(|name| author.frame_of(name, 10));
    let mut twin = Node::start(0);
    twin.gossip(0, &world[0]);
    let _ = twin.frame_of("secret", 10);
    (world, author, twin)
}

/// How often a link is to be closed and dialled again.
pub(super) fn reconnects(outputs: &[Output]) -> usize {
    outputs
        .iter()
        .filter(|output| matches!(output, Output::Reconnect { .. }))
        .count()
}

pub(super) fn verdict(outputs: &[Output]) -> Verdict {
    outputs
        .iter()
        .find_map(|output| match output {
            Output::Verdict { verdict, .. } => Some(*verdict),
            _ => None,
        })
        .unwrap()
}

pub(super) fn answer(outputs: &[Output]) -> Option<Answer> {
    outputs.iter().find_map(|output| match output {
        Output::Answer { answer, .. } => Some(answer.clone()),
        _ => None,
    })
}

pub(super) fn events(outputs: &[Output]) -> Vec<&Event> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        })
        .collect()
}

pub(super) fn not_taken(outputs: &[Output]) -> Option<&NotTaken> {
    events(outputs).into_iter().find_map(|event| match event {
        Event::NotTaken { why, .. } => Some(why),
        _ => None,
    })
}

pub(super) fn is_searchable(outputs: &[Output]) -> bool {
    events(outputs)
        .iter()
        .any(|event| matches!(event, Event::Searchable { .. }))
}

/// Publishes a draft, makes it durable, and gives the frame.
pub(super) fn frame_with(node: &mut Node, draft: Draft) -> Vec<u8> {
    let mut outputs = node.publish(draft);
    outputs.extend(node.commit());
    gossiped(outputs).unwrap()
}

/// What is left of an author's quota that is used up, bytes and envelopes.
pub(super) fn empty_quota(now: Now) -> Quota {
    let mut empty = Quota::author(now.mono);
    empty.take(u64::MAX / 2_000);
    for _ in 0..Rate::AUTHOR_ENVELOPES.with_tolerance().burst {
        empty.take(0);
    }
    empty
}

/// The same envelope with another header or head, signed by the same node: what
/// an author makes who does not keep to the protocol.
pub(super) fn signed_again(
    bytes: &[u8],
    author: u64,
    change: impl FnOnce(&mut Header, &mut Vec<u8>),
) -> Vec<u8> {
    let mut envelope: Envelope = codec::decode(&bytes[2..], bytes.len()).unwrap();
    let mut header = envelope.header.to_signed::<Header>().claims().unwrap();
    let mut head = envelope.head.as_slice().to_vec();
    change(&mut header, &mut head);
    header.binding.head = sha256(&head);
    let signed = Signed::<Header>::seal(codec::encode(&header), &keys(author).signing);
    envelope.header = SignedBytes::new(signed).unwrap();
    envelope.head = Bytes::new(head).unwrap();
    frame(Kind::Envelope, &envelope)
}
