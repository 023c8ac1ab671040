//! Who plays: three agencies and a hub, each a real node with a store and
//! ports of its own on loopback, in one federation made for the occasion.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;

use libp2p::Multiaddr;
use watchfire_crypto::Secret;
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::ids::MemberId;
use watchfire_protocol::roster::{Roster, draft_genesis, sign_genesis};
use watchfire_protocol::wire::card::{Contact, Role};

use super::DemoError;
use crate::clock::wall_ms;
use crate::disk::SledStore;
use crate::node::{Node, NodeConfig, NodeEnd};

/// Slug, role and community of each.
const PARTS: [(&str, Role); 4] = [
    ("north-cert", Role::Agency),
    ("south-cert", Role::Agency),
    ("west-cert", Role::Agency),
    ("hub", Role::Hub),
];

/// One running member.
pub(crate) struct Player {
    pub(crate) slug: String,
    pub(crate) role: Role,
    pub(crate) node: Node,
    pub(crate) end: NodeEnd,
}

/// Everybody, and what binds them.
pub(crate) struct Cast {
    pub(crate) players: Vec<Player>,
    pub(crate) roster: Roster,
    /// Where the hub's door is: what a stranger finds.
    pub(crate) door: Multiaddr,
}

impl Cast {
    /// Makes keys, cards and genesis, and starts every node with its store
    /// under `directory`.
    pub(crate) fn start(directory: &Path) -> Result<Self, DemoError> {
        let mut cards = Vec::new();
        let mut parts = Vec::new();
        let door = tcp_address()?;
        for (number, (slug, role)) in PARTS.iter().enumerate() {
            let keys = fresh_keys()?;
            // Both transports are played: the last agency and the hub on QUIC.
            let address = if number < 2 {
                tcp_address()?
            } else {
                quic_address()?
            };
            let door: Vec<Multiaddr> = (*role == Role::Hub)
                .then(|| door.clone())
                .into_iter()
                .collect();
            let profile = Profile {
                slug: slug
                    .parse()
                    .map_err(|error| DemoError::made("a slug", &error))?,
                role: *role,
                contact: Contact::default(),
                addresses: vec![address.to_string()],
                door_addresses: door.iter().map(ToString::to_string).collect(),
            };
            let card = make_card(&profile, &keys, wall_ms())
                .map_err(|error| DemoError::made("a card", &error))?;
            cards.push((card, vec!["demo".to_owned()]));
            parts.push((*slug, *role, keys, address, door));
        }
        let made = |error: &_| DemoError::made("the federation", error);
        let mut genesis =
            draft_genesis("demonstration", wall_ms(), &cards).map_err(|error| made(&error))?;
        for (_, _, keys, _, _) in &parts {
            genesis = sign_genesis(&genesis, &keys.root).map_err(|error| made(&error))?;
        }
        let roster = Roster::found(&genesis).map_err(|error| made(&error))?;
        let mut players = Vec::new();
        for (slug, role, keys, address, door) in parts {
            let store = directory.join(slug);
            drop(SledStore::create(&store).map_err(|error| DemoError::made("a store", &error))?);
            let config = NodeConfig {
                genesis_file: genesis.to_bytes(),
                transport_seed: Secret::new(*keys.transport.expose_seed().expose()),
                signing_key: keys.signing,
                store,
                listen: vec![address],
                door,
            };
            let (node, end) = Node::start(config)?;
            players.push(Player {
                slug: slug.to_owned(),
                role,
                node,
                end,
            });
        }
        Ok(Self {
            players,
            roster,
            door,
        })
    }

    /// What people call a member.
    pub(crate) fn slug(&self, member: &MemberId) -> String {
        self.roster
            .member(member)
            .map_or_else(|| member.short(), |member| member.slug.to_string())
    }
}

/// Keys of the system's entropy.
pub(crate) fn fresh_keys() -> Result<Keys, DemoError> {
    let mut seeds = [[0; 32]; 3];
    for seed in &mut seeds {
        getrandom::fill(seed).map_err(|error| DemoError::made("a key", &error))?;
    }
    let [root, signing, transport] = &seeds;
    Ok(Keys::from_seeds(root, signing, transport))
}

/// A TCP port of this machine that is free now. Somebody else may take it
/// before the node does; the start then says so.
fn tcp_address() -> Result<Multiaddr, DemoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(|error| DemoError::made("a port", &error))?;
    let port = listener
        .local_addr()
        .map_err(|error| DemoError::made("a port", &error))?
        .port();
    address(&format!("/ip4/127.0.0.1/tcp/{port}"))
}

fn quic_address() -> Result<Multiaddr, DemoError> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(|error| DemoError::made("a port", &error))?;
    let port = socket
        .local_addr()
        .map_err(|error| DemoError::made("a port", &error))?
        .port();
    address(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1"))
}

fn address(text: &str) -> Result<Multiaddr, DemoError> {
    text.parse()
        .map_err(|error| DemoError::made("an address", &error))
}
