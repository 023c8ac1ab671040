//! A store as a node leaves it: envelopes of its own, one with a body outside
//! its frame, and a value large enough for a file of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use watchfire_crypto::SigningKey;
use watchfire_node::clock::wall_ms;
use watchfire_node::disk::SledStore;
use watchfire_protocol::engine::{ClientToken, Config, Engine, Input, Output};
use watchfire_protocol::founding::{Keys, derived_federation};
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{Draft, Wish};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Batch, Store};
use watchfire_protocol::time::{Instant, Now};
use watchfire_protocol::wire::card::Role;
use watchfire_protocol::wire::genesis::GenesisFile;

use super::{Place, place};

/// Envelopes in a [`Held`].
pub(crate) const ENVELOPES: u64 = 6;

/// A key of no table, as a newer program may have them.
const LARGE_KEY: &[u8] = b"zlarge";

/// A member's node whose store is looked at.
pub(crate) struct Held {
    pub(crate) place: Place,
    pub(crate) roster: Roster,
    genesis: GenesisFile,
    keys: Vec<Keys>,
    pub(crate) now: Now,
}

fn document(number: u64, filler_bytes: usize) -> Vec<u8> {
    format!(
        "[{{\"type\":\"domain-name\",\"spec_version\":\"2.1\",\"id\":\"domain-name--00000000-0000-4000-8000-{number:012x}\",\
         \"value\":\"h{number}.example\",\"x_filler\":\"{}\"}}]",
        "f".repeat(filler_bytes)
    )
    .into_bytes()
}

impl Held {
    /// The member alone, and an empty store.
    pub(crate) fn empty() -> Self {
        let now = Now {
            mono: Instant::ZERO,
            wall_ms: wall_ms(),
        };
        let roles = [Role::Agency, Role::Agency];
        let (genesis, roster, keys) = derived_federation(&[9; 32], &roles, now.wall_ms).unwrap();
        let place = place();
        drop(SledStore::create(&place.store).unwrap());
        Self {
            place,
            roster,
            genesis,
            keys,
            now,
        }
    }

    /// With envelopes, each flushed, reopened on the way.
    pub(crate) fn filled() -> Self {
        let held = Self::empty();
        for half in [1..=ENVELOPES / 2, ENVELOPES / 2 + 1..=ENVELOPES] {
            let store = Arc::new(SledStore::open(&held.place.store).unwrap());
            let mut engine = held.engine(Arc::clone(&store));
            for number in half {
                let filler_bytes = if number == 2 { 700_000 } else { 300 };
                held.publish(&mut engine, number, filler_bytes);
            }
            let mut batch = Batch::default();
            batch.put(LARGE_KEY.to_vec(), vec![7; 600_000]);
            store.apply(&batch).unwrap();
            store.flush().unwrap();
        }
        fs::write(held.genesis_path(), held.genesis.to_bytes()).unwrap();
        held
    }

    pub(crate) fn genesis_path(&self) -> PathBuf {
        self.place.store.with_file_name("genesis")
    }

    /// The node of a member.
    pub(crate) fn node(&self, number: usize) -> NodeId {
        NodeId::of_transport(&self.keys[number].transport.public().to_bytes())
    }

    pub(crate) fn engine<S: Store>(&self, store: S) -> Engine<S> {
        self.engine_of(0, store)
    }

    /// As [`Held::engine`], of the other member.
    pub(crate) fn engine_of<S: Store>(&self, number: usize, store: S) -> Engine<S> {
        let keys = &self.keys[number];
        let config = Config {
            links: Vec::new(),
            installed: Vec::new(),
            prepared: None,
            roster: self.roster.clone(),
            genesis_file: self.genesis.to_bytes(),
            transport_key: keys.transport.public().to_bytes(),
            signing_key: SigningKey::from_seed(keys.signing.expose_seed().expose()),
            seed: [1; 32],
        };
        Engine::open(store, config, self.now).unwrap()
    }

    /// Publishes one, makes it durable, and gives the frame.
    pub(crate) fn publish<S: Store>(
        &self,
        engine: &mut Engine<S>,
        number: u64,
        filler_bytes: usize,
    ) -> Vec<u8> {
        let wish = Wish {
            flag: Some(Marking::Clear),
            valid_ms: 86_400_000,
            exercise: true,
            permissible_actions: None,
            supersedes: None,
        };
        let draft = Draft::prepare(document(number, filler_bytes), None, wish).unwrap();
        let client = ClientToken(number);
        let draft = Box::new(draft);
        // A quota fills by time.
        let now = Now {
            mono: Instant::ZERO.plus_ms(number * 60_000),
            ..self.now
        };
        engine
            .handle(now, Input::Publish { client, draft })
            .unwrap();
        while let Some((commit, batch)) = engine.begin_commit() {
            engine.store().apply(&batch).unwrap();
            engine.store().flush().unwrap();
            engine.handle(now, Input::Committed(commit)).unwrap();
        }
        let said: Vec<Output> = std::iter::from_fn(|| engine.poll()).collect();
        let published =
            |output: &&Output| matches!(output, Output::Published { outcome: Ok(_), .. });
        assert_eq!(said.iter().filter(published).count(), 1);
        let frame = said.into_iter().find_map(|output| {
            if let Output::Gossip { frame } = output {
                return Some(frame.into_inner().bytes);
            }
            None
        });
        frame.unwrap()
    }
}

/// The roster of a genesis that [`Held::filled`] wrote.
pub(crate) fn roster_of(genesis: &Path) -> Roster {
    let bytes = fs::read(genesis).unwrap();
    Roster::found(&GenesisFile::from_bytes(&bytes).unwrap()).unwrap()
}

/// Everything a store holds.
pub(crate) fn entries(store: &SledStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
    store
        .scan(b"", b"", usize::MAX)
        .unwrap()
        .into_iter()
        .collect()
}

/// Whether a key is of a table whose values are never changed.
pub(crate) fn is_truth(key: &[u8]) -> bool {
    key == LARGE_KEY || matches!(key.first(), Some(b'L' | b'C' | b'R' | b'N' | b'X'))
}
