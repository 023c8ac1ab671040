//! Federations of real nodes on this machine: real ports on loopback, real
//! stores in a directory of their own, each node in a runtime of its own.
//!
//! A runtime for each node is what makes an end abrupt: dropping it takes every
//! task of that node with it, whatever it was doing, and leaves the others.
//! Nothing here sleeps: whoever waits, waits for something to be told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it serves tests alone, and a test fails by panicking where it is"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use watchfire_crypto::Secret;
use watchfire_node::disk::SledStore;
use watchfire_node::driver::{NodeEvent, PublishFailure, PublishedBundle};
use watchfire_node::node::{Node, NodeConfig, NodeEnd};
use watchfire_protocol::engine::Event;
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::ids::{BundleId, CertificateId, MemberId, NodeId};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::Wish;
use watchfire_protocol::policy::Reader;
use watchfire_protocol::query::{Asker, Query};
use watchfire_protocol::roster::{Roster, draft_genesis, sign_genesis};
use watchfire_protocol::store::{Batch, Store};
use watchfire_protocol::table::Outcome;
use watchfire_protocol::wire::card::{CertificateBytes, Contact, Role};
use watchfire_protocol::wire::genesis::GenesisFile;

/// How long anything may take. It only ends what would never end: twice the
/// longest repair of the protocol (a lost gossip link shows after some probes
/// of fifteen seconds each), and the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Publications of one call that are under way together.
const UNDER_WAY: usize = 32;

/// From what the keys of every mesh follow. They guard nothing.
const SEED: [u8; 32] = [0x5a; 32];

/// How a member's node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP, Noise, yamux.
    Tcp,
    /// QUIC.
    Quic,
    /// Not at all: it dials.
    Nowhere,
}

/// Members that may be started, each with its store.
#[derive(Debug)]
pub struct Mesh {
    directory: TempDir,
    genesis: GenesisFile,
    roster: Roster,
    addresses: Vec<Vec<String>>,
    door: String,
}

impl Mesh {
    /// A federation of agencies `m-0`, `m-1`, …; the first has a door.
    pub fn of(listen: &[Listen]) -> Self {
        let door = format!("/ip4/127.0.0.1/tcp/{}", free_port());
        let mut addresses = Vec::new();
        let mut cards = Vec::new();
        for (number, listen) in (0..).zip(listen) {
            let own = match listen {
                Listen::Tcp => vec![format!("/ip4/127.0.0.1/tcp/{}", free_port())],
                Listen::Quic => vec![format!("/ip4/127.0.0.1/udp/{}/quic-v1", free_port())],
                Listen::Nowhere => Vec::new(),
            };
            let profile = Profile {
                slug: format!("m-{number}").parse().unwrap(),
                role: Role::Agency,
                contact: Contact::default(),
                addresses: own.clone(),
                door_addresses: if number == 0 {
                    vec![door.clone()]
                } else {
                    Vec::new()
                },
            };
            let card = make_card(&profile, &Keys::derived(&SEED, number), wall_ms()).unwrap();
            cards.push((card, vec!["tests".to_owned()]));
            addresses.push(own);
        }
        let mut genesis = draft_genesis("under test", wall_ms(), &cards).unwrap();
        for (number, _) in (0..).zip(listen) {
            genesis = sign_genesis(&genesis, &Keys::derived(&SEED, number).root).unwrap();
        }
        let roster = Roster::found(&genesis).unwrap();
        Self {
            directory: tempfile::tempdir().unwrap(),
            genesis,
            roster,
            addresses,
            door,
        }
    }

    /// The keys of a member, or of anybody else: the same number is always the
    /// same keys.
    pub fn keys(number: u64) -> Keys {
        Keys::derived(&SEED, number)
    }

    /// What binds them.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The genesis file.
    pub fn genesis_file(&self) -> Vec<u8> {
        self.genesis.to_bytes()
    }

    /// The first member's door.
    pub fn door(&self) -> &str {
        &self.door
    }

    /// Where the store of a node is.
    pub fn store(&self, number: u64) -> PathBuf {
        self.directory.path().join(format!("store-{number}"))
    }

    /// A directory that goes with the mesh.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The id of a member.
    pub fn member(&self, number: u64) -> MemberId {
        MemberId::of_root(&Keys::derived(&SEED, number).root.public())
    }

    /// The id of a member's node.
    pub fn node(&self, number: u64) -> NodeId {
        NodeId::of_transport(&Keys::derived(&SEED, number).transport.public().to_bytes())
    }

    /// Starts a member's node on its store, made at the first start.
    pub fn start(&self, number: u64) -> Running {
        let listen = &self.addresses[usize::try_from(number).unwrap()];
        self.start_as(number, &Keys::derived(&SEED, number), listen)
    }

    /// Starts a node whose certificate the genesis does not hold and its store
    /// therefore must.
    pub fn start_certified(
        &self,
        number: u64,
        keys: &Keys,
        id: &CertificateId,
        certificate: &CertificateBytes,
    ) -> Running {
        let store = SledStore::create(&self.store(number)).unwrap();
        let mut batch = Batch::default();
        let value = watchfire_protocol::wire::codec::encode(certificate);
        batch.put(watchfire_protocol::table::certificate(id), value);
        store.apply(&batch).unwrap();
        store.flush().unwrap();
        drop(store);
        self.start_as(number, keys, &[])
    }

    /// Starts such a node once more.
    pub fn start_again(&self, number: u64, keys: &Keys) -> Running {
        self.start_as(number, keys, &[])
    }

    fn start_as(&self, number: u64, keys: &Keys, listen: &[String]) -> Running {
        let path = self.store(number);
        if !path.exists() {
            drop(SledStore::create(&path).unwrap());
        }
        let door = if number == 0 {
            vec![self.door.parse().unwrap()]
        } else {
            Vec::new()
        };
        let config = NodeConfig {
            genesis_file: self.genesis_file(),
            signing_key: watchfire_crypto::SigningKey::from_seed(
                keys.signing.expose_seed().expose(),
            ),
            transport_seed: Secret::new(*keys.transport.expose_seed().expose()),
            store: path,
            listen: listen
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
            door,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (node, end) = {
            let _inside = runtime.enter();
            Node::start(config)
                .unwrap_or_else(|error| panic!("node {number} does not start: {error}"))
        };
        Running::new(format!("node {number}"), node, end, runtime)
    }
}

/// What a node has told since it was started.
#[derive(Debug, Default)]
pub struct Heard {
    /// What can be searched there, its author, and how many objects it holds.
    pub searchable: BTreeMap<BundleId, (MemberId, u64)>,
    /// Bundles of others that are durable there, opened or not.
    pub stored: BTreeSet<BundleId>,
    /// Envelopes that were verified as they arrived.
    pub verified: u64,
    /// Peers that spoke.
    pub ready: BTreeSet<NodeId>,
    /// Certificates admitted at its door.
    pub admitted: BTreeSet<CertificateId>,
    /// Conflicts in streams.
    pub conflicts: u64,
    /// Bundles that were not opened, and why.
    pub not_opened: Vec<String>,
    /// Frames that were not taken, and why.
    pub not_taken: Vec<String>,
}

/// A running node, and what it has told. Dropping it ends it abruptly.
#[derive(Debug)]
pub struct Running {
    name: String,
    node: Node,
    end: Option<NodeEnd>,
    events: broadcast::Receiver<NodeEvent>,
    heard: Heard,
    runtime: Option<Runtime>,
}

impl Running {
    fn new(name: String, node: Node, end: NodeEnd, runtime: Runtime) -> Self {
        // First the ear, then a look at what was there before it.
        let events = node.events();
        let mut running = Self {
            name,
            node,
            end: Some(end),
            events,
            heard: Heard::default(),
            runtime: Some(runtime),
        };
        for record in running.records() {
            if let Some(Outcome::Opened { objects, .. }) = record.outcome {
                running
                    .heard
                    .searchable
                    .insert(record.bundle, (record.author, objects));
            }
        }
        running
    }

    fn runtime(&self) -> &Runtime {
        self.runtime
            .as_ref()
            .expect("it is taken only when the node ends")
    }

    /// The node.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// What it has told so far.
    pub const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Asks its store as a person of its own organisation.
    pub fn query<T>(&self, ask: impl FnOnce(&Query<'_, SledStore>) -> T) -> T {
        let roster = self.node.roster();
        ask(&Query::new(
            self.node.store(),
            Asker {
                reader: Reader::LocalPerson,
                roster: &roster,
                wall_ms: wall_ms(),
            },
        ))
    }

    /// Every bundle it holds, in the order of arrival.
    pub fn records(&self) -> Vec<watchfire_protocol::query::BundleRecord> {
        let records = self.query(|query| query.bundles(0, usize::MAX)).unwrap();
        records
            .into_iter()
            .map(|(_, record)| record.into_inner())
            .collect()
    }

    /// The ids of every bundle it holds.
    pub fn bundles(&self) -> BTreeSet<BundleId> {
        self.records()
            .into_iter()
            .map(|record| record.bundle)
            .collect()
    }

    /// Publishes, and waits until it is durable.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn publish(
        &self,
        stix: Vec<u8>,
        flag: Option<Marking>,
    ) -> Result<PublishedBundle, PublishFailure> {
        self.runtime()
            .block_on(self.node.publish(stix, wish(flag)))
            .expect("the node runs")
    }

    /// Publishes many as CLEAR, several under way together, and waits until all
    /// of them are durable.
    pub fn publish_all(&self, documents: Vec<Vec<u8>>) -> Vec<PublishedBundle> {
        let one = |stix| async {
            self.node
                .publish(stix, wish(Some(Marking::Clear)))
                .await
                .unwrap()
                .unwrap()
        };
        self.runtime().block_on(
            futures::stream::iter(documents)
                .map(one)
                .buffered(UNDER_WAY)
                .collect(),
        )
    }

    /// Waits until what was heard is as expected.
    ///
    /// # Panics
    /// When it does not come, with what was heard instead.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Heard) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.heard) {
            let runtime = self
                .runtime
                .as_ref()
                .expect("it is taken only when the node ends");
            let next = runtime.block_on(async {
                tokio::time::timeout_at(deadline.into(), self.events.recv()).await
            });
            match next {
                Ok(Ok(event)) => self.heard.note(event.event),
                Ok(Err(error)) => panic!("{} while waiting for {what}: {error}", self.name),
                Err(_) => panic!(
                    "{}: waited {} s for {what}; heard {:?}",
                    self.name,
                    PATIENCE.as_secs(),
                    self.heard
                ),
            }
        }
    }

    /// Notes what was told and not yet read.
    pub fn catch_up(&mut self) -> &Heard {
        while let Ok(event) = self.events.try_recv() {
            self.heard.note(event.event);
        }
        &self.heard
    }

    /// Waits until another node speaks with it.
    pub fn meets(&mut self, other: NodeId) {
        // It may have happened before anybody listened.
        let status = self
            .runtime()
            .block_on(self.node.status())
            .expect("the node runs");
        self.heard.ready.extend(status.engine.peers);
        self.until("a peer", |heard| heard.ready.contains(&other));
    }

    /// Waits until all of these can be searched.
    pub fn finds(&mut self, bundles: &[BundleId]) {
        let what = format!("{} bundles to be searchable", bundles.len());
        self.until(&what, |heard| {
            bundles
                .iter()
                .all(|bundle| heard.searchable.contains_key(bundle))
        });
    }

    /// Ends it as an operator does, everything durable.
    pub fn stop(mut self) {
        let end = self.end.take().expect("it ends once");
        self.runtime().block_on(async {
            self.node.shutdown().await;
            end.await
                .expect("its task does not panic")
                .expect("it ends in order");
        });
    }

    /// Ends it between any two of its steps: every task of it is dropped.
    pub fn kill(mut self) {
        drop(self.runtime.take());
    }
}

impl Heard {
    fn note(&mut self, event: Event) {
        match event {
            Event::Verified { .. } => self.verified += 1,
            Event::Stored { bundle, .. } => self.stored.extend(bundle),
            Event::Searchable {
                bundle,
                author,
                objects,
            } => {
                self.searchable.insert(bundle, (author, objects));
            }
            Event::NotOpened { bundle, why, .. } => {
                self.not_opened.push(format!("{bundle}: {why}"))
            }
            Event::NotTaken { why, .. } => self.not_taken.push(why.to_string()),
            Event::Conflict { .. } => self.conflicts += 1,
            Event::PeerReady { node } => {
                self.ready.insert(node);
            }
            Event::Admitted { certificate, .. } => {
                self.admitted.insert(certificate);
            }
            Event::Epoch { .. }
            | Event::CardChanged { .. }
            | Event::Revoked { .. }
            | Event::Suspension { .. }
            | Event::ForkProven { .. }
            | Event::DoubleVote { .. } => {}
        }
    }
}

/// How everything here is published.
pub const fn wish(flag: Option<Marking>) -> Wish {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    Wish {
        flag,
        valid_ms: 30 * DAY_MS,
        exercise: true,
        permissible_actions: None,
        supersedes: None,
    }
}

/// Milliseconds UTC.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A port that nobody listens on now, below those the system gives to outgoing
/// connections, and another one each time. Somebody else may take it before
/// its node does; the start then says so.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs run side by side and begin at different places.
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (offset.wrapping_mul(7).wrapping_add(turn)) % COUNT;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        if tcp.is_ok() && udp.is_ok() {
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
}

/// STIX of one domain name with a description of about so many bytes that
/// hardly compress. The same number is always the same document.
pub fn document(number: u64, filler_bytes: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut filler = String::with_capacity(filler_bytes);
    while filler.len() < filler_bytes {
        // Marsaglia's xorshift: ten letters of each step.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        for letter in 0..10 {
            let at = usize::try_from(state >> (letter * 6) & 63).unwrap();
            filler.push(char::from(ALPHABET[at]));
        }
    }
    format!(
        "[{{\"type\":\"domain-name\",\"spec_version\":\"2.1\",\"id\":\"domain-name--00000000-0000-4000-8000-{number:012x}\",\
         \"value\":\"h{number}.example\",\"x_filler\":\"{filler}\"}}]"
    )
    .into_bytes()
}
