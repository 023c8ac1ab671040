//! The note against what happens to it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;

use super::*;
use watchfire_protocol::ids::EnvelopeId;
use watchfire_protocol::wire::Tag;

const NODE: NodeId = NodeId::from_bytes([7; 32]);
const STREAM: StreamId = StreamId {
    node: NODE,
    incarnation: 1,
    tag: Tag::PUBLIC,
};

fn end(sequence: u64) -> Through {
    Through {
        sequence,
        head: EnvelopeId::from_bytes([u8::try_from(sequence % 251).unwrap(); 32]),
    }
}

fn published(sequence: u64) -> Batch {
    let mut batch = Batch::default();
    let row = StreamRow {
        through: Some(end(sequence)),
        born: 1,
        changed: sequence,
    };
    batch.put(table::stream(&STREAM), codec::encode(&row));
    batch
}

struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    drop(SledStore::create(&path).unwrap());
    Bench { _dir: dir, path }
}

/// Publishes up to a sequence, one flush each.
fn publish(bench: &Bench, sequences: std::ops::RangeInclusive<u64>) {
    let store = Arc::new(SledStore::open(&bench.path).unwrap());
    let own = Arc::new(OwnStreams::open(&store, &bench.path, NODE, 1).unwrap());
    let witnessed = Witnessed::new(store, own, bench.path.clone());
    for sequence in sequences {
        witnessed.apply(&published(sequence)).unwrap();
        witnessed.flush().unwrap();
    }
}

/// Starts again on a store that has lost everything.
fn after_loss(bench: &Bench) -> (SledStore, OwnStreams) {
    before_loss(&bench.path).unwrap();
    fs::remove_dir_all(&bench.path).unwrap();
    let store = SledStore::create(&bench.path).unwrap();
    let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
    (store, own)
}

#[test]
fn what_was_published_must_come_back_before_more_is() {
    let bench = bench();
    publish(&bench, 1..=5);
    let (store, own) = after_loss(&bench);
    for sequence in 0..5 {
        if sequence > 0 {
            store.apply(&published(sequence)).unwrap();
        }
        let refused = own.check(&store).unwrap().unwrap_err();
        assert_eq!(
            refused,
            Recovering {
                held: sequence,
                published: Some(5),
                life_over: None,
            }
        );
        assert!(refused.to_string().contains(&format!("{sequence} of 5")));
    }
    store.apply(&published(5)).unwrap();
    own.check(&store).unwrap().unwrap();
}

#[test]
fn another_life_of_the_node_has_a_stream_of_its_own() {
    let bench = bench();
    publish(&bench, 1..=5);
    let (store, _) = after_loss(&bench);
    let next_life = OwnStreams::open(&store, &bench.path, NODE, 2).unwrap();
    next_life.check(&store).unwrap().unwrap();
    let another = OwnStreams::open(&store, &bench.path, NodeId::from_bytes([8; 32]), 1);
    another.unwrap().check(&store).unwrap().unwrap();
}

#[test]
fn a_store_that_is_whole_needs_no_note() {
    let bench = bench();
    publish(&bench, 1..=3);
    for spoil in [
        (|path: &Path| fs::remove_file(path).unwrap()) as fn(&Path),
        |path| fs::write(path, [9; RECORD_BYTES]).unwrap(),
    ] {
        spoil(&path_for(&bench.path));
        let store = SledStore::open(&bench.path).unwrap();
        let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
        own.check(&store).unwrap().unwrap();
        let Reading::Sound(noted) = Reading::of(&path_for(&bench.path)).unwrap() else {
            panic!("the note was not mended");
        };
        assert_eq!(noted.streams[&STREAM].sequence, 3);
    }
}

#[test]
fn attack_37_a_note_lost_with_its_store_is_not_taken_for_an_empty_one() {
    for spoil in [
        (|path: &Path| fs::remove_file(path).unwrap()) as fn(&Path),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(path, bytes).unwrap();
        },
    ] {
        let bench = bench();
        publish(&bench, 1..=3);
        spoil(&path_for(&bench.path));
        let (store, own) = after_loss(&bench);
        store.apply(&published(3)).unwrap();
        let refused = own.check(&store).unwrap().unwrap_err();
        assert_eq!(refused.published, None, "{refused}");
        // It stays so over a restart, until a person decides.
        let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
        own.check(&store).unwrap().unwrap_err();
        accept(&store, &bench.path).unwrap();
        let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
        own.check(&store).unwrap().unwrap();
    }
}

#[test]
fn attack_37_a_cut_note_keeps_every_whole_record() {
    let bench = bench();
    publish(&bench, 1..=3);
    let path = path_for(&bench.path);
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), 4 * RECORD_BYTES);
    fs::write(&path, &whole[..RECORD_BYTES - 1]).unwrap();
    assert!(matches!(Reading::of(&path).unwrap(), Reading::Damaged(_)));
    for length in RECORD_BYTES..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let Reading::Sound(noted) = Reading::of(&path).unwrap() else {
            panic!("{length}");
        };
        let held = noted.streams.get(&STREAM).map_or(0, |end| end.sequence);
        assert_eq!(held, (length / RECORD_BYTES) as u64 - 1);
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        fs::write(&path, flipped).unwrap();
        assert!(
            matches!(Reading::of(&path).unwrap(), Reading::Damaged(_)),
            "{at}"
        );
    }
}

#[test]
fn a_long_note_is_written_anew_and_says_the_same() {
    let bench = bench();
    publish(&bench, 1..=1);
    let store = SledStore::open(&bench.path).unwrap();
    let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
    held(&own.file).noted.records = RECORDS_MAX;
    own.see(&published(2));
    own.note().unwrap();
    own.see(&published(3));
    own.note().unwrap();
    let bytes = fs::metadata(path_for(&bench.path)).unwrap().len();
    assert_eq!(bytes, 3 * RECORD_BYTES as u64);
    let noted = Reading::of(&path_for(&bench.path)).unwrap().into_noted();
    assert_eq!(noted.streams[&STREAM].sequence, 3);
}

#[test]
fn what_was_put_back_from_a_copy_publishes_in_a_later_life_alone() {
    let bench = bench();
    publish(&bench, 1..=2);
    let copy = bench.path.with_file_name("copy");
    fs::copy(path_for(&bench.path), path_for(&copy)).unwrap();
    publish(&bench, 3..=3);
    let life = before_restore(&bench.path, &copy, &NODE, 0).unwrap();
    assert_eq!(life, 1, "the note knows it");
    let store = SledStore::open(&bench.path).unwrap();
    let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
    // Everything that was noted is here, and still it may have published more.
    let refused = own.check(&store).unwrap().unwrap_err();
    assert_eq!(
        refused,
        Recovering {
            held: 3,
            published: Some(3),
            life_over: Some(LifeOver::Restored),
        }
    );
    assert!(refused.to_string().contains("--new-incarnation"));
    // Neither a person's word nor another start ends it, nor another restore.
    accept(&store, &bench.path).unwrap();
    before_restore(&bench.path, &copy, &NODE, 0).unwrap();
    let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
    let refused = own.check(&store).unwrap().unwrap_err();
    assert_eq!(refused.life_over, Some(LifeOver::Restored));
    // The life that follows does, while the node runs and at the next start.
    own.lives_in(2);
    own.check(&store).unwrap().unwrap();
    let own = OwnStreams::open(&store, &bench.path, NODE, 2).unwrap();
    own.check(&store).unwrap().unwrap();
    let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
    own.check(&store).unwrap().unwrap_err();
    let Reading::Sound(noted) = Reading::of(&path_for(&bench.path)).unwrap() else {
        panic!("the note is whole");
    };
    assert_eq!(
        (noted.restored_through, noted.unknown_through),
        (Some(1), None)
    );
    assert_eq!(noted.streams[&STREAM].sequence, 3, "the later of the two");
}

#[test]
fn a_lost_note_does_not_concern_a_later_life() {
    let bench = bench();
    let (store, own) = after_loss(&bench);
    own.check(&store).unwrap().unwrap_err();
    let own = OwnStreams::open(&store, &bench.path, NODE, 2).unwrap();
    own.check(&store).unwrap().unwrap();
}

#[test]
fn a_life_of_which_a_fork_is_proven_is_over() {
    let bench = bench();
    publish(&bench, 1..=2);
    let store = SledStore::open(&bench.path).unwrap();
    let own = OwnStreams::open(&store, &bench.path, NODE, 1).unwrap();
    own.check(&store).unwrap().unwrap();
    let mut batch = Batch::default();
    let of_another = Slot::Fork(NodeId::from_bytes([8; 32]), 1);
    batch.put(table::notice(&of_another), vec![1]);
    store.apply(&batch).unwrap();
    own.check(&store).unwrap().unwrap();
    let mut batch = Batch::default();
    batch.put(table::notice(&Slot::Fork(NODE, 1)), vec![1]);
    store.apply(&batch).unwrap();
    let refused = own.check(&store).unwrap().unwrap_err();
    assert_eq!(refused.life_over, Some(LifeOver::Forked));
    assert!(refused.to_string().contains("two envelopes for one place"));
    own.lives_in(2);
    own.check(&store).unwrap().unwrap();
}
