//! A member played by the test: the real engine over the real transport, with
//! every byte of the exchange counted, and unwilling where a test wants it so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant as Clock;

use tokio::sync::{mpsc, oneshot};
use watchfire_node::transport::{
    self, Admitted, Command, Event as Net, Handle, TransportConfig, keypair_of, peer_id_of,
    transport_key_of,
};
use watchfire_protocol::engine::{
    AnswerToken, ClientToken, Config, Engine, GossipToken, Input, Output, RequestId, Status,
};
use watchfire_protocol::gate;
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::limits::ANSWER_BYTES_MAX;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::Draft;
use watchfire_protocol::store::{MemoryStore, Store as _};
use watchfire_protocol::time::{Instant, Now};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::{Answer, Request, Unavailable};
use watchfire_tests::mesh::{Mesh, document, wall_ms, wish};

/// The four bytes of length before each request and each answer.
const LENGTH_BYTES: usize = 4;

/// What went over the exchange on our behalf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Requests of ours.
    pub(crate) requests: usize,
    /// Of those, ranges.
    pub(crate) ranges: usize,
    /// Bytes of requests and answers, lengths included.
    pub(crate) bytes: usize,
}

/// What others asked of it, and how far it goes along with that.
#[derive(Debug)]
pub(crate) struct Served {
    /// Ranges that it still answers. Then it refuses, as a node does that has
    /// something against it for now.
    pub(crate) willing: AtomicUsize,
    /// First and last of every range it answered.
    pub(crate) ranges: Mutex<Vec<(u64, u64)>>,
}

/// The member.
pub(crate) struct Played {
    engine: Engine<MemoryStore>,
    transport: Handle,
    network: mpsc::Receiver<Net>,
    begun: Clock,
    others: Vec<[u8; 32]>,
    carried: Carried,
    tokens: u64,
    synced: bool,
    served: Arc<Served>,
}

impl Played {
    /// Plays a member of the mesh, inside a tokio runtime.
    pub(crate) fn start(mesh: &Mesh, number: u64) -> Self {
        let keys = Mesh::keys(number);
        let mut config = TransportConfig::new(*mesh.roster().federation().as_bytes());
        let mut admitted = Admitted::default();
        let mut others = Vec::new();
        for certificate in mesh.roster().nodes() {
            let card = mesh.roster().member(&certificate.member).unwrap();
            let addresses = card.addresses.iter().map(|at| at.parse().unwrap());
            if certificate.node == mesh.node(number) {
                config.listen = addresses.collect();
            } else {
                let peer = peer_id_of(&certificate.transport_key).unwrap();
                admitted.insert(peer, addresses.collect());
                others.push(certificate.transport_key);
            }
        }
        config.admitted = admitted;
        let keypair = keypair_of(&mut keys.transport.expose_seed().expose().clone()).unwrap();
        let (transport, network) = transport::start(config, keypair).unwrap();
        let begun = Clock::now();
        let config = Config {
            links: Vec::new(),
            installed: Vec::new(),
            prepared: None,
            roster: mesh.roster().clone(),
            genesis_file: mesh.genesis_file(),
            transport_key: keys.transport.public().to_bytes(),
            signing_key: keys.signing,
            seed: [u8::try_from(number).unwrap(); 32],
        };
        Self {
            engine: Engine::open(MemoryStore::default(), config, now(begun)).unwrap(),
            transport,
            network,
            begun,
            others,
            carried: Carried::default(),
            tokens: 0,
            synced: false,
            served: Arc::new(Served {
                willing: AtomicUsize::new(usize::MAX),
                ranges: Mutex::default(),
            }),
        }
    }

    /// How it is.
    pub(crate) fn status(&self) -> Status {
        self.engine.status()
    }

    /// What others ask of it, to be seen and changed from another thread.
    pub(crate) fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served)
    }

    /// What it asked so far, and what that cost.
    pub(crate) const fn carried(&self) -> Carried {
        self.carried
    }

    /// Publishes so many bundles.
    pub(crate) async fn publish(&mut self, count: u64) {
        for number in 0..count {
            let wish = wish(Some(Marking::Clear));
            let draft = Draft::prepare(document(number, 0), None, wish).unwrap();
            let publish = Input::Publish {
                client: ClientToken(0),
                draft: Box::new(draft),
            };
            self.handle(publish).await;
        }
    }

    /// Looks at every peer, and waits until that is done.
    pub(crate) async fn sync(&mut self) {
        self.synced = false;
        let client = ClientToken(1);
        self.handle(Input::Sync { client }).await;
        while !self.synced {
            self.step().await;
        }
    }

    /// Does what comes until told to end.
    pub(crate) async fn play_until(&mut self, stopped: oneshot::Receiver<()>) {
        let mut stopped = std::pin::pin!(stopped);
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                () = self.step() => {}
            }
        }
    }

    /// Waits for the next thing that happens, and deals with it.
    pub(crate) async fn step(&mut self) {
        let deadline = self.engine.deadline();
        let wake_ms = deadline.map_or(60_000, |(at, _)| at.since_ms(now(self.begun).mono));
        // The engine's own deadline, as a driver keeps it.
        let wake = std::time::Duration::from_millis(wake_ms);
        let Ok(event) = tokio::time::timeout(wake, self.network.recv()).await else {
            return self.handle(Input::Wake).await;
        };
        let event = event.expect("the transport runs");
        if let Some(input) = self.input_of(event) {
            self.handle(input).await;
        }
    }

    fn input_of(&mut self, event: Net) -> Option<Input> {
        self.tokens += 1;
        match event {
            Net::PeerUp { peer } => Some(Input::PeerConnected {
                node: node_of(&peer),
            }),
            Net::PeerDown { peer } => Some(Input::PeerDisconnected {
                node: node_of(&peer),
            }),
            Net::Message { bytes, source, .. } => {
                let (from, token) = (node_of(&source), GossipToken(self.tokens));
                Some(Input::gossip(from, token, &bytes, &self.engine.roster()))
            }
            Net::Request { peer, token, bytes } => Some(Input::Request {
                from: node_of(&peer),
                token: AnswerToken(token),
                request: gate::request(&bytes),
            }),
            Net::Response {
                request, outcome, ..
            } => {
                self.carried.bytes += outcome.as_ref().map_or(0, |it| it.len() + LENGTH_BYTES);
                let answer = outcome.ok().and_then(|bytes| gate::answer(&bytes).ok());
                Some(Input::Answered {
                    id: RequestId(request),
                    answer: answer.map(Box::new),
                })
            }
            Net::Listening { .. }
            | Net::DoorListening { .. }
            | Net::Unreachable { .. }
            | Net::Unpublished { .. }
            | Net::DoorRequest { .. }
            | Net::SlowPeer { .. } => None,
        }
    }

    async fn handle(&mut self, input: Input) {
        let now = now(self.begun);
        if let Input::Request {
            token,
            request: Ok(Request::Range { from, to, .. }),
            ..
        } = &input
        {
            let willing = self.served.willing.load(Ordering::SeqCst);
            if willing == 0 {
                let reason = Unavailable::Refused;
                return self.respond(*token, &Answer::Unavailable { reason }).await;
            }
            self.served.willing.store(willing - 1, Ordering::SeqCst);
            self.served.ranges.lock().unwrap().push((*from, *to));
        }
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.engine.handle(now, input).unwrap();
            while let Some((number, batch)) = self.engine.begin_commit() {
                self.engine.store().apply(&batch).unwrap();
                self.engine.handle(now, Input::Committed(number)).unwrap();
            }
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Work(work) => inputs.push_back(Input::Done(work.run())),
                    Output::Request { to, id, request } => self.ask(&to, id, &request).await,
                    Output::Answer { token, answer } => self.respond(token, &answer).await,
                    Output::Synced { .. } => self.synced = true,
                    Output::Gossip { frame } => {
                        let bytes = frame.into_inner().bytes;
                        self.send(Command::Publish { bytes }).await;
                    }
                    Output::Verdict { .. }
                    | Output::Door { .. }
                    | Output::Reconnect { .. }
                    | Output::Published { .. }
                    | Output::Said { .. }
                    | Output::Accepted { .. }
                    | Output::Durable { .. }
                    | Output::Distrust { .. }
                    | Output::Admission
                    | Output::Roster(_)
                    | Output::Event(_) => {}
                }
            }
        }
    }

    async fn ask(&mut self, to: &NodeId, id: RequestId, request: &Request) {
        let key = self.others.iter();
        let key = key.copied().find(|key| NodeId::of_transport(key) == *to);
        let bytes = codec::encode(request);
        self.carried.requests += 1;
        self.carried.ranges += usize::from(matches!(request, Request::Range { .. }));
        self.carried.bytes += bytes.len() + LENGTH_BYTES;
        self.send(Command::Request {
            peer: peer_id_of(&key.expect("it is of the roster")).unwrap(),
            request: id.0,
            bytes,
            response_bytes_max: ANSWER_BYTES_MAX,
        })
        .await;
    }

    async fn respond(&self, token: AnswerToken, answer: &Answer) {
        let bytes = codec::encode(answer);
        let token = token.0;
        self.send(Command::Respond { token, bytes }).await;
    }

    async fn send(&self, command: Command) {
        self.transport.send(command).await.unwrap();
    }
}

fn now(begun: Clock) -> Now {
    Now {
        mono: Instant::from_ms(u64::try_from(begun.elapsed().as_millis()).unwrap()),
        wall_ms: wall_ms(),
    }
}

fn node_of(peer: &libp2p::PeerId) -> NodeId {
    NodeId::of_transport(&transport_key_of(peer).unwrap())
}
