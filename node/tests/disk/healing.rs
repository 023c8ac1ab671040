//! Damaged values met by a node that runs: made whole without a restart.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use watchfire_node::clock::wall_ms;
use watchfire_node::disk::audit::audit;
use watchfire_node::disk::recovery::Happened;
use watchfire_node::disk::{Damaged, SledStore};
use watchfire_node::driver::PublishFailure;
use watchfire_node::node::{Node, NodeConfig, NodeEnd};
use watchfire_protocol::engine::PublishRefusal;
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::ids::BundleId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::Wish;
use watchfire_protocol::policy::Reader;
use watchfire_protocol::query::{Asker, Query};
use watchfire_protocol::roster::{Roster, draft_genesis, sign_genesis};
use watchfire_protocol::store::{Store, StoreError};
use watchfire_protocol::table;
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::genesis::GenesisFile;

use super::damage::{files_below, open_raw};
use super::held::entries;
use super::{Place, draws};

/// It only ends what would never end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Two members with real nodes on loopback.
struct Pair {
    dir: TempDir,
    genesis: GenesisFile,
    addresses: [String; 2],
}

fn keys(number: u64) -> Keys {
    Keys::derived(&[0x37; 32], number)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A domain name and a description that hardly compresses.
fn document(number: u64, filler_bytes: usize) -> Vec<u8> {
    let mut draw = draws(number);
    let filler: String = (0..filler_bytes)
        .map(|_| char::from(b'0' + u8::try_from(draw(75)).unwrap()))
        .filter(|letter| !matches!(letter, '\\' | '"'))
        .collect();
    format!(
        "[{{\"type\":\"domain-name\",\"spec_version\":\"2.1\",\"id\":\"domain-name--00000000-0000-4000-8000-{number:012x}\",\
         \"value\":\"h{number}.example\",\"x_filler\":\"{filler}\"}}]"
    )
    .into_bytes()
}

const fn wish() -> Wish {
    Wish {
        flag: Some(Marking::Clear),
        valid_ms: 86_400_000,
        exercise: true,
        permissible_actions: None,
        supersedes: None,
    }
}

impl Pair {
    fn new() -> Self {
        let addresses = [(); 2].map(|()| format!("/ip4/127.0.0.1/tcp/{}", free_port()));
        let mut cards = Vec::new();
        for (number, address) in (0..).zip(&addresses) {
            let profile = Profile {
                slug: format!("m-{number}").parse().unwrap(),
                role: Role::Agency,
                contact: Contact::default(),
                addresses: vec![address.clone()],
                door_addresses: Vec::new(),
            };
            let card = make_card(&profile, &keys(number), wall_ms()).unwrap();
            cards.push((card, vec!["tests".to_owned()]));
        }
        let mut genesis = draft_genesis("healing", wall_ms(), &cards).unwrap();
        for number in 0..2 {
            genesis = sign_genesis(&genesis, &keys(number).root).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let pair = Self {
            dir,
            genesis,
            addresses,
        };
        for number in 0..2 {
            drop(SledStore::create(&pair.store(number)).unwrap());
        }
        pair
    }

    fn roster(&self) -> Roster {
        Roster::found(&self.genesis).unwrap()
    }

    fn store(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("store-{number}"))
    }

    fn start(&self, number: usize) -> Running {
        let own = keys(number as u64);
        let config = NodeConfig {
            genesis_file: self.genesis.to_bytes(),
            signing_key: own.signing,
            transport_seed: watchfire_crypto::Secret::new(*own.transport.expose_seed().expose()),
            store: self.store(number),
            listen: vec![self.addresses[number].parse().unwrap()],
            door: Vec::new(),
        };
        let runtime = Runtime::new().unwrap();
        let (node, end) = {
            let _inside = runtime.enter();
            Node::start(config).unwrap()
        };
        Running { runtime, node, end }
    }

    /// Both hold what the first published: small, with a body of two chunks,
    /// small. Both have ended.
    fn filled() -> (Self, Vec<BundleId>) {
        let pair = Self::new();
        let (author, other) = (pair.start(0), pair.start(1));
        let bundles: Vec<BundleId> = [300, 700_000, 300]
            .into_iter()
            .zip(1..)
            .map(|(filler, number)| author.publish(number, filler).unwrap())
            .collect();
        for bundle in &bundles {
            other.until(|| other.payload(bundle).ok().flatten().is_some());
        }
        author.stop();
        other.stop();
        (pair, bundles)
    }

    /// Overwrites the nth value of a table by garbage, as no checksum stands.
    /// Returns its key.
    fn spoil(&self, number: usize, table: u8, nth: usize) -> Vec<u8> {
        let place = Place {
            _dir: tempfile::tempdir().unwrap(),
            store: self.store(number),
        };
        let raw = open_raw(&place);
        let (key, stored) = raw.range(vec![1, table]..).nth(nth).unwrap().unwrap();
        assert_eq!(key.get(1), Some(&table), "the table has entries");
        raw.insert(&key, vec![0xa5; stored.len()]).unwrap();
        raw.flush().unwrap();
        key[1..].to_vec()
    }

    fn is_sound(&self, number: usize) {
        let store = SledStore::open(&self.store(number)).unwrap();
        let found = audit(&store, Some(&self.roster()), 10, |_, _| {}).unwrap();
        assert!(found.is_sound(), "{found:?}");
    }
}

struct Running {
    runtime: Runtime,
    node: Node,
    end: NodeEnd,
}

impl Running {
    fn publish(&self, number: u64, filler: usize) -> Result<BundleId, PublishFailure> {
        let stix = document(number, filler);
        let published = self.runtime.block_on(self.node.publish(stix, wish()));
        Ok(published.unwrap()?.published.bundle)
    }

    fn query<T>(&self, ask: impl FnOnce(&Query<'_, SledStore>) -> T) -> T {
        let roster = self.node.roster();
        let asker = Asker {
            reader: Reader::LocalPerson,
            roster: &roster,
            wall_ms: wall_ms(),
        };
        ask(&Query::new(self.node.store(), asker))
    }

    fn payload(&self, bundle: &BundleId) -> Result<Option<Vec<u8>>, StoreError> {
        let payload = self.query(|query| query.payload(bundle))?;
        Ok(payload.map(|bytes| bytes.into_inner().stix))
    }

    /// Waits, a turn of the driver at a time.
    fn until(&self, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.node.damaged());
            self.runtime.block_on(self.node.barrier()).unwrap();
        }
    }

    fn lost(&self) -> u64 {
        let status = self.runtime.block_on(self.node.status()).unwrap();
        status.engine.lost
    }

    fn stop(self) {
        self.runtime.block_on(async {
            self.node.shutdown().await;
            self.end.await.unwrap().unwrap();
        });
    }
}

fn damaged(key: &[u8]) -> StoreError {
    StoreError::Damaged {
        key: hex::encode(key),
    }
}

fn is_suspect(store: &Path) -> bool {
    store.join("store.suspect").exists()
}

#[test]
fn attack_37_a_damaged_envelope_or_body_comes_back_from_a_peer_while_the_node_runs() {
    let (pair, bundles) = Pair::filled();
    let before = entries(&SledStore::open(&pair.store(1)).unwrap());
    // The second envelope is the one with a body outside its frame.
    for (table, nth) in [(b'L', 0), (b'L', 1), (b'C', 1), (b'H', 0), (b'T', 2)] {
        let key = pair.spoil(1, table, nth);
        let author = pair.start(0);
        let other = pair.start(1);
        assert_eq!(other.node.happened(), [], "nobody knows yet");
        // Never served, and named; and then it is there again.
        assert_eq!(other.node.store().get(&key), Err(damaged(&key)));
        other.until(|| other.node.store().get(&key).is_ok());
        let now = other.node.store().get(&key).unwrap();
        assert_eq!(now.as_ref(), before.get(&key), "{}", char::from(table));
        for bundle in &bundles {
            other.until(|| other.payload(bundle).is_ok_and(|payload| payload.is_some()));
        }
        other.until(|| other.node.damaged().healing == 0);
        let Damaged { healed, due, .. } = other.node.damaged();
        assert_eq!((healed, due), (1, 0));
        assert_eq!(other.lost(), 0);
        assert!(is_suspect(&pair.store(1)), "the next start looks at it all");
        author.stop();
        other.stop();
        pair.is_sound(1);
        // As that start would do; here the next table is to be met running.
        std::fs::remove_file(pair.store(1).join("store.suspect")).unwrap();
    }
}

#[test]
fn attack_37_an_author_whose_own_envelope_is_damaged_publishes_when_it_is_back() {
    let (pair, bundles) = Pair::filled();
    let key = pair.spoil(0, b'L', 0);
    let author = pair.start(0);
    assert_eq!(author.node.store().get(&key), Err(damaged(&key)));
    author.until(|| author.lost() == 1);
    let refused = author.publish(10, 300).unwrap_err();
    assert_eq!(refused, PublishFailure::Refused(PublishRefusal::Behind));
    let other = pair.start(1);
    author.until(|| author.lost() == 0);
    author.until(|| author.node.store().get(&key).is_ok());
    assert!(author.payload(&bundles[0]).unwrap().is_some());
    let next = author.publish(10, 300).unwrap();
    other.until(|| other.payload(&next).is_ok_and(|payload| payload.is_some()));
    for node in [&author, &other] {
        let store = node.node.store();
        assert_eq!(store.scan(b"X", b"X", 1).unwrap(), [], "no conflict");
    }
    author.stop();
    other.stop();
    pair.is_sound(0);
}

#[test]
fn attack_37_what_nothing_can_be_begun_for_is_said_to_wait_for_the_next_start() {
    let (pair, _) = Pair::filled();
    let log = pair.spoil(1, b'L', 0);
    let row = pair.spoil(1, b'T', 0);
    let other = pair.start(1);
    // To be opened again it would have to be there.
    assert_eq!(other.node.store().get(&row), Err(damaged(&row)));
    other.until(|| other.node.damaged().due == 1);
    other.until(|| other.lost() == 1);
    assert_eq!(other.node.damaged().healing, 1, "{}", hex::encode(&log));
    other.stop();
}

#[test]
fn attack_37_a_damaged_block_of_an_index_is_said_and_made_again_by_the_next_start() {
    let (pair, _) = Pair::filled();
    let key = pair.spoil(1, b'V', 0);
    let other = pair.start(1);
    assert_eq!(other.node.store().get(&key), Err(damaged(&key)));
    other.until(|| other.node.damaged().due == 1);
    let said = other.node.damaged().to_string();
    assert!(said.contains("1 wait for the next start"), "{said}");
    other.stop();
    let other = pair.start(1);
    let [Happened::Repaired(repaired)] = other.node.happened() else {
        panic!("{:?}", other.node.happened());
    };
    assert_eq!((repaired.removed_truth, repaired.removed_index), (0, 1));
    other.until(|| !other.node.store().scan(b"V", b"V", 1).unwrap().is_empty());
    assert!(other.node.damaged().is_none());
    other.stop();
}

#[test]
fn attack_37_a_store_names_each_damaged_value_once_and_counts_what_is_made_whole() {
    let place = super::place();
    let store = SledStore::create(&place.store).unwrap();
    store.apply(&super::put(&table::log(1), b"it")).unwrap();
    store.apply(&super::put(&table::log(2), b"other")).unwrap();
    drop(store);
    let raw = open_raw(&place);
    for arrival in [1, 2] {
        let key = [&[1], table::log(arrival).as_slice()].concat();
        raw.insert(key, vec![0; 11]).unwrap();
    }
    raw.flush().unwrap();
    drop(raw);
    let store = SledStore::open(&place.store).unwrap();
    assert!(store.damaged().is_none());
    for _ in 0..3 {
        store.get(&table::log(1)).unwrap_err();
        store.scan(b"L", b"L", 10).unwrap_err();
    }
    store.get(&table::log(2)).unwrap_err();
    assert_eq!(store.damaged().healing, 2);
    // The same again: the totals are those of before.
    store.apply(&super::put(&table::log(1), b"it")).unwrap();
    store.apply(&super::put(&table::log(2), b"other")).unwrap();
    let Damaged {
        healed, healing, ..
    } = store.damaged();
    assert_eq!((healed, healing), (2, 0));
    assert!(store.check(10).unwrap().is_whole());
}

/// Turns a bit of every sixteenth byte, in place, from some way into each of a
/// database's files: what it has open is what is damaged.
fn rot(store: &Path) {
    for file in files_below(&store.join("sled")) {
        let mut bytes = std::fs::read(&file).unwrap();
        if file.ends_with("conf") {
            continue;
        }
        bytes
            .iter_mut()
            .skip(7)
            .step_by(16)
            .for_each(|byte| *byte ^= 1);
        let mut open = OpenOptions::new().write(true).open(&file).unwrap();
        open.write_all(&bytes).unwrap();
    }
}

/// Batches of [`fill`].
const FILLED: u64 = 300;

/// More than is read as a node starts, in no table that it knows.
fn fill(store: &Path) {
    let store = SledStore::open(store).unwrap();
    for number in 1..=FILLED {
        store.apply(&super::numbered(number)).unwrap();
    }
    store.flush().unwrap();
}

/// How many values of [`fill`] cannot be read.
fn unread(store: &SledStore) -> u64 {
    let mut failed = 0;
    for number in 1..=FILLED {
        for (key, _) in super::numbered(number).iter() {
            let read = store.get(key);
            failed += u64::from(matches!(read, Err(StoreError::Damaged { .. })));
        }
    }
    failed
}

#[test]
fn attack_37_what_the_database_itself_cannot_read_is_noted_and_counted() {
    let place = super::place();
    drop(SledStore::create(&place.store).unwrap());
    fill(&place.store);
    let store = SledStore::open(&place.store).unwrap();
    rot(&place.store);
    let failed = unread(&store);
    assert!(failed > 0, "nothing of it is read from the disk");
    assert_eq!(store.damaged().unreadable, failed);
    store.scan(b"", b"", usize::MAX).unwrap_err();
    assert_eq!(store.damaged().unreadable, failed + 1);
    let said = store.damaged().to_string();
    assert!(said.contains("cannot be read"), "{said}");
    let written = (1..=FILLED).map(|number| store.apply(&super::numbered(number)));
    let refused = written.filter(|written| matches!(written, Err(StoreError::Damaged { .. })));
    assert!(refused.count() > 0);
}

#[test]
fn attack_37_a_database_that_rots_under_a_node_is_set_aside_by_the_next_start() {
    let (pair, bundles) = Pair::filled();
    fill(&pair.store(1));
    let other = pair.start(1);
    rot(&pair.store(1));
    assert!(unread(other.node.store()) > 0);
    other.until(|| is_suspect(&pair.store(1)));
    assert!(other.node.damaged().unreadable > 0);
    other.stop();
    let author = pair.start(0);
    let other = pair.start(1);
    assert!(matches!(other.node.happened(), [Happened::SetAside { .. }]));
    for bundle in &bundles {
        other.until(|| other.payload(bundle).ok().flatten().is_some());
    }
    author.stop();
    other.stop();
    pair.is_sound(1);
}
