//! What a damaged value was is found out of the rest of the store, and the
//! engine makes it again, asks for it, or says that it began nothing.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use watchfire_protocol::engine::{
    CheckedItem, Damage, Done, Engine, GossipToken, Input, Output, RequestId, examine,
};
use watchfire_protocol::gate::{self, check_remains};
use watchfire_protocol::ids::EnvelopeId;
use watchfire_protocol::limits::FRAME_BYTES_MAX;
use watchfire_protocol::store::{Batch, Entry, MemoryStore, Store, StoreError};
use watchfire_protocol::table::{self, LogEntry};
use watchfire_protocol::time::Now;
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::envelope::Envelope;
use watchfire_protocol::wire::exchange::{Mark, Remains, StoreId};

use super::held::Held;

/// A store of which values can be damaged while an engine uses it: a damaged
/// one is told by its key until something else is written there.
#[derive(Default)]
struct Shaky {
    inner: MemoryStore,
    spoiled: Mutex<BTreeSet<Vec<u8>>>,
    /// The database itself cannot read on from this key, as where a page of it
    /// is damaged: it tells where it was asked to begin.
    unreadable: Option<Vec<u8>>,
    scans: AtomicU32,
}

/// Nothing here takes more.
const SCANS_MAX: u32 = 10_000;

impl Shaky {
    fn spoil(&self, key: &[u8]) {
        self.spoiled.lock().unwrap().insert(key.to_vec());
    }

    fn sound(&self, key: &[u8]) -> Result<(), StoreError> {
        if self.spoiled.lock().unwrap().contains(key) {
            return Err(StoreError::Damaged {
                key: hex::encode(key),
            });
        }
        Ok(())
    }
}

impl Store for Shaky {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.sound(key)?;
        self.inner.get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let scans = self.scans.fetch_add(1, Ordering::Relaxed);
        assert!(scans < SCANS_MAX, "scans on and on");
        let found = self.inner.scan(prefix, from, limit)?;
        let last = found.last().map_or(from, |(key, _)| key.as_slice());
        let unreadable = self.unreadable.as_deref();
        if unreadable.is_some_and(|at| at.starts_with(prefix) && last >= at) {
            return Err(StoreError::Damaged {
                key: hex::encode(from),
            });
        }
        found.iter().try_for_each(|(key, _)| self.sound(key))?;
        Ok(found)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut spoiled = self.spoiled.lock().unwrap();
        for (key, _) in batch.iter() {
            spoiled.remove(key);
        }
        self.inner.apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }
}

/// An engine says what it says of damage at these keys, and all is written.
fn damaged(engine: &mut Engine<&Shaky>, held: &Held, keys: &[&[u8]]) {
    let keys: BTreeSet<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
    for key in &keys {
        engine.store().spoil(key);
    }
    let damages = examine(engine.store(), &held.roster, &keys).unwrap();
    engine.handle(held.now, Input::Damaged(damages)).unwrap();
    settle(engine, held.now);
}

/// Opening again is work, and filing takes commits.
fn settle(engine: &mut Engine<&Shaky>, now: Now) {
    while let Some(output) = engine.poll() {
        if let Output::Work(work) = output {
            engine.handle(now, Input::Done(work.run())).unwrap();
        }
    }
    while let Some((number, batch)) = engine.begin_commit() {
        engine.store().apply(&batch).unwrap();
        engine.handle(now, Input::Committed(number)).unwrap();
    }
}

fn gossip(engine: &mut Engine<&Shaky>, held: &Held, frame: &[u8]) {
    let input = Input::Gossip {
        from: held.node(1),
        token: GossipToken(1),
        length: frame.len() as u64,
        checked: gate::check(frame, &held.roster).map(Box::new),
    };
    engine.handle(held.now, input).unwrap();
}

/// A peer brings what remains of an envelope, when its time is over.
fn bring_remains(engine: &mut Engine<&Shaky>, held: &Held, remains: &Remains, now: Now) {
    let checked = check_remains(remains, &held.roster).unwrap();
    let done = Done::Checked {
        id: RequestId(u64::MAX),
        from: held.node(1),
        items: vec![Ok(CheckedItem::Remains(Box::new(checked), remains.clone()))],
    };
    engine.handle(now, Input::Done(done)).unwrap();
    settle(engine, now);
}

fn remains_of(frame: &[u8]) -> Remains {
    let envelope: Envelope = codec::decode(&frame[2..], FRAME_BYTES_MAX).unwrap();
    Remains {
        header: envelope.header,
        second_signature: envelope.second_signature,
    }
}

#[test]
fn attack_37_what_the_log_or_the_engine_tells_is_made_again_at_once() {
    let held = Held::empty();
    let store = Shaky::default();
    let mark = Mark {
        store: StoreId([7; 16]),
        change: 3,
    };
    let mut marked = Batch::default();
    marked.put(table::mark(&held.node(1)), codec::encode(&mark));
    store.apply(&marked).unwrap();
    let mut engine = held.engine(&store);
    // The last has an id for the second time.
    for number in [1, 2, 3, 4, 4] {
        held.publish(&mut engine, number, 300);
    }
    // Of somebody else: one whose time is over, one to be opened and one to be pulled.
    let other = Shaky::default();
    let mut other = held.engine_of(1, &other);
    let frames = [11, 12, 13].map(|number| {
        let filler_bytes = if number == 13 { 70_000 } else { 300 };
        held.publish(&mut other, number, filler_bytes)
    });
    let later = Now {
        wall_ms: held.now.wall_ms + 3 * 86_400_000,
        ..held.now
    };
    let remains = remains_of(&frames[0]);
    bring_remains(&mut engine, &held, &remains, later);
    gossip(&mut engine, &held, &frames[1]);
    gossip(&mut engine, &held, &frames[2]);
    // That it is to be opened is heard by nobody.
    while engine.poll().is_some() {}
    settle(&mut engine, held.now);
    let mut healed = BTreeSet::new();
    for (key, value) in store.scan(b"", b"", usize::MAX).unwrap() {
        let table = key[0];
        if matches!(table, b'L' | b'I' | b'V') {
            continue;
        }
        damaged(&mut engine, &held, &[&key]);
        if table == b'R' {
            assert_eq!(engine.status().lost, 1);
            bring_remains(&mut engine, &held, &remains, later);
            assert_eq!(engine.status().lost, 0);
        }
        // Without its mark the whole frontier of a peer is looked at, once; and what
        // is not known to be judged is judged by the next start.
        let expected = (!matches!(table, b'M' | b'U')).then_some(value);
        assert_eq!(store.get(&key).unwrap(), expected, "{}", hex::encode(&key));
        assert_eq!(engine.take_unhealed(), BTreeSet::new());
        healed.insert(table);
    }
    let expected: BTreeSet<u8> = b"ABDEFGMOPRSTUW".iter().copied().collect();
    assert_eq!(healed, expected);
}

#[test]
fn attack_37_a_page_that_cannot_be_read_ends_the_look_at_it() {
    let held = Held::empty();
    let mut store = Shaky::default();
    let mut engine = held.engine(&store);
    for number in 1..=4 {
        held.publish(&mut engine, number, 300);
    }
    drop(engine);
    let (place, _) = store.scan(b"S", b"S", 4).unwrap().remove(3);
    store.unreadable = Some(table::log(2));
    let looked = examine(&store, &held.roster, &BTreeSet::from([place]));
    let from = [table::log(1), vec![0]].concat();
    assert_eq!(
        looked,
        Err(StoreError::Damaged {
            key: hex::encode(from)
        })
    );
}

#[test]
fn attack_37_what_nobody_can_tell_is_named_by_its_own_key() {
    let held = Held::empty();
    let store = Shaky::default();
    let keys = BTreeSet::from([table::log(8), table::remains(8), table::remains(9)]);
    let found: BTreeSet<Vec<u8>> = examine(&store, &held.roster, &keys)
        .unwrap()
        .into_iter()
        .map(|damage| {
            let Damage::Rebuild { key } = damage else {
                panic!("{damage:?}");
            };
            key
        })
        .collect();
    assert_eq!(found, keys);
}

#[test]
fn attack_37_what_nothing_is_begun_for_waits_for_the_next_start() {
    let held = Held::empty();
    let store = Shaky::default();
    let mut engine = held.engine(&store);
    for number in 1..=2 {
        held.publish(&mut engine, number, 300);
    }
    // Where the envelope is damaged too, nobody can open it again.
    store.spoil(&table::log(0));
    damaged(&mut engine, &held, &[&table::outcome(0)]);
    assert_eq!(engine.take_unhealed(), BTreeSet::from([table::outcome(0)]));
    assert_eq!(engine.take_unhealed(), BTreeSet::new(), "told once");
    // A place that is not held cannot be lost.
    let (place, _) = store.scan(b"S", b"S", 1).unwrap().remove(0);
    let (stream, _) = table::stream_of(&place).unwrap();
    for (sequence, unhealed) in [(1, None), (1, None), (9, Some(table::log(0)))] {
        let damage = Damage::Envelope {
            key: table::log(0),
            arrival: 0,
            stream,
            sequence,
        };
        engine
            .handle(held.now, Input::Damaged(vec![damage]))
            .unwrap();
        assert_eq!(engine.take_unhealed(), BTreeSet::from_iter(unhealed));
    }
    assert_eq!(engine.status().lost, 1);
    // Remains beside the whole envelope are worth nothing.
    let mut batch = Batch::default();
    batch.put(table::remains(1), vec![1]);
    store.apply(&batch).unwrap();
    damaged(&mut engine, &held, &[&table::remains(1)]);
    assert_eq!(engine.take_unhealed(), BTreeSet::new());
    assert_eq!(store.get(&table::remains(1)).unwrap(), None);
}

/// An own bundle with a body of three chunks: its envelope.
fn with_body(held: &Held, engine: &mut Engine<&Shaky>) -> EnvelopeId {
    let frame = held.publish(engine, 1, 700_000);
    gate::envelope_id(&gate::check(&frame, &held.roster).unwrap())
}

#[test]
fn attack_37_a_chunk_is_fetched_though_where_its_envelope_stands_is_damaged_too() {
    let held = Held::empty();
    let store = Shaky::default();
    let mut engine = held.engine(&store);
    let id = with_body(&held, &mut engine);
    let (chunk, place) = (table::chunk(&id, 1), table::envelope(&id));
    damaged(&mut engine, &held, &[&chunk, &place]);
    assert_eq!(store.get(&place).unwrap(), Some(codec::encode(&0_u64)));
    assert!(store.get(&chunk).is_err(), "it is not here yet");
    assert_eq!(engine.status().pulls, 1);
    assert!(store.get(&table::pull(0)).unwrap().is_some());
    assert_eq!(engine.take_unhealed(), BTreeSet::new());
}

#[test]
fn attack_37_a_chunk_stays_while_where_its_envelope_stands_cannot_be_read() {
    let held = Held::empty();
    let store = Shaky::default();
    let mut engine = held.engine(&store);
    let id = with_body(&held, &mut engine);
    store.spoil(&table::envelope(&id));
    let chunk = table::chunk(&id, 1);
    damaged(&mut engine, &held, &[&chunk]);
    assert!(store.get(&chunk).is_err(), "not removed");
    assert_eq!(engine.take_unhealed(), BTreeSet::from([chunk]));
}

#[test]
fn attack_37_a_bundle_of_which_a_chunk_is_gone_is_pulled_and_not_refused() {
    let held = Held::empty();
    let store = Shaky::default();
    let mut engine = held.engine(&store);
    let id = with_body(&held, &mut engine);
    let mut batch = Batch::default();
    batch.remove(table::chunk(&id, 1));
    store.apply(&batch).unwrap();
    damaged(&mut engine, &held, &[&table::outcome(0)]);
    assert_eq!(engine.status().pulls, 1);
    assert!(store.get(&table::pull(0)).unwrap().is_some());
    assert!(store.get(&table::outcome(0)).is_err(), "no refusal");
}

#[test]
fn attack_37_of_an_envelope_whose_time_is_over_the_remains_come_back() {
    let held = Held::empty();
    let store = Shaky::default();
    let mut engine = held.engine(&store);
    for number in 1..=2 {
        held.publish(&mut engine, number, 300);
    }
    let key = table::log(0);
    let entry: LogEntry = codec::decode(&store.get(&key).unwrap().unwrap(), 1 << 17).unwrap();
    let remains = remains_of(entry.frame.as_slice());
    damaged(&mut engine, &held, &[&key]);
    assert_eq!(engine.status().lost, 1);
    // While it lives, remains are not enough.
    bring_remains(&mut engine, &held, &remains, held.now);
    assert_eq!(engine.status().lost, 1);
    let later = Now {
        wall_ms: held.now.wall_ms + 3 * 86_400_000,
        ..held.now
    };
    bring_remains(&mut engine, &held, &remains, later);
    assert_eq!(engine.status().lost, 0);
    assert_eq!(store.get(&key).unwrap(), None);
    assert!(store.get(&table::remains(0)).unwrap().is_some());
}
