//! Real nodes on loopback for the benchmarks: as `serve` runs them, without
//! key files.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use libp2p::Multiaddr;
use watchfire_crypto::Secret;
use watchfire_node::clock::wall_ms;
use watchfire_node::disk::SledStore;
use watchfire_node::node::{Node, NodeConfig, NodeEnd};
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::Wish;
use watchfire_protocol::roster::{draft_genesis, sign_genesis};
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::genesis::GenesisFile;

/// Agencies that know each other's cards, each with a store of its own.
pub(crate) struct Federation {
    directory: PathBuf,
    genesis: GenesisFile,
    addresses: Vec<Multiaddr>,
}

impl Federation {
    /// Founds one of so many agencies, with empty stores under `directory`.
    pub(crate) fn found(directory: &Path, count: u64) -> Self {
        let mut cards = Vec::new();
        let mut addresses = Vec::new();
        for number in 0..count {
            let address = free_address();
            let profile = Profile {
                slug: format!("node-{number}").parse().expect("it is a slug"),
                role: Role::Agency,
                contact: Contact::default(),
                addresses: vec![address.to_string()],
                door_addresses: Vec::new(),
            };
            let card = make_card(&profile, &keys(number), wall_ms()).expect("the card fits");
            cards.push((card, Vec::new()));
            addresses.push(address);
        }
        let mut genesis = draft_genesis("benchmark", wall_ms(), &cards).expect("the cards agree");
        for number in 0..count {
            genesis = sign_genesis(&genesis, &keys(number).root).expect("it is a founder");
        }
        let federation = Self {
            directory: directory.to_owned(),
            genesis,
            addresses,
        };
        for number in 0..count {
            drop(SledStore::create(&federation.store(number)).expect("the directory is empty"));
        }
        federation
    }

    /// Where the store of an agency is.
    pub(crate) fn store(&self, number: u64) -> PathBuf {
        self.directory.join(number.to_string())
    }

    /// Starts the node of an agency.
    pub(crate) fn start(&self, number: u64) -> (Node, NodeEnd) {
        let keys = keys(number);
        let address = usize::try_from(number)
            .ok()
            .and_then(|at| self.addresses.get(at))
            .expect("it is one of those that were founded");
        let config = NodeConfig {
            genesis_file: self.genesis.to_bytes(),
            transport_seed: Secret::new(*keys.transport.expose_seed().expose()),
            signing_key: keys.signing,
            store: self.store(number),
            listen: vec![address.clone()],
            door: Vec::new(),
        };
        Node::start(config).expect("the node starts")
    }
}

fn keys(number: u64) -> Keys {
    Keys::derived(&[7; 32], number)
}

/// Waits until each of these nodes knows all others of them.
pub(crate) async fn meet(nodes: &[(Node, NodeEnd)]) {
    for (node, _) in nodes {
        loop {
            let status = node.status().await.expect("the node runs");
            if status.engine.peers.len() + 1 >= nodes.len() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Ends a node in order.
pub(crate) async fn stop((node, end): (Node, NodeEnd)) {
    node.shutdown().await;
    end.await.expect("it ends").expect("it ends well");
}

fn free_address() -> Multiaddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    format!("/ip4/127.0.0.1/tcp/{port}")
        .parse()
        .expect("it is an address")
}

/// A bundle of one indicator, different for each number.
pub(crate) fn small_bundle(number: u64) -> Vec<u8> {
    format!(
        r#"[{{"type":"indicator","spec_version":"2.1","id":"indicator--{number:08x}-0000-4000-8000-000000000000","created":"2026-11-01T08:00:00.000Z","modified":"2026-11-01T08:00:00.000Z","pattern":"[domain-name:value = 'h{number}.example']","pattern_type":"stix","valid_from":"2026-11-01T08:00:00Z"}}]"#
    )
    .into_bytes()
}

/// TLP:CLEAR for a day.
pub(crate) fn wish() -> Wish {
    Wish {
        flag: Some(Marking::Clear),
        valid_ms: 24 * 60 * 60 * 1_000,
        exercise: false,
        permissible_actions: None,
        supersedes: None,
    }
}
