//! Real nodes on loopback for the benchmarks: as `serve` runs them, without
//! key files.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

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

/// Starts two agencies under `directory` and waits until they know each other.
pub(crate) async fn two_nodes(directory: &Path) -> Vec<(Node, NodeEnd)> {
    let mut cards = Vec::new();
    let mut parts = Vec::new();
    for number in 0..2 {
        let keys = Keys::derived(&[7; 32], number);
        let address = free_address();
        let profile = Profile {
            slug: format!("node-{number}").parse().expect("it is a slug"),
            role: Role::Agency,
            contact: Contact::default(),
            addresses: vec![address.to_string()],
            door_addresses: Vec::new(),
        };
        let card = make_card(&profile, &keys, wall_ms()).expect("the card fits");
        cards.push((card, Vec::new()));
        parts.push((keys, address));
    }
    let mut genesis = draft_genesis("benchmark", wall_ms(), &cards).expect("the cards agree");
    for (keys, _) in &parts {
        genesis = sign_genesis(&genesis, &keys.root).expect("it is a founder");
    }
    let mut nodes = Vec::new();
    for (number, (keys, address)) in parts.into_iter().enumerate() {
        let store = directory.join(number.to_string());
        drop(SledStore::create(&store).expect("the directory is empty"));
        let config = NodeConfig {
            genesis_file: genesis.to_bytes(),
            transport_seed: Secret::new(*keys.transport.expose_seed().expose()),
            signing_key: keys.signing,
            store,
            listen: vec![address],
            door: Vec::new(),
        };
        nodes.push(Node::start(config).expect("the node starts"));
    }
    while !both_know(&nodes).await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    nodes
}

async fn both_know(nodes: &[(Node, NodeEnd)]) -> bool {
    for (node, _) in nodes {
        if node
            .status()
            .await
            .expect("the node runs")
            .engine
            .peers
            .is_empty()
        {
            return false;
        }
    }
    true
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
