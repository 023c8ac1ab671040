//! Streams that grow, fork, jump and lose.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::ids::NodeId;

const STREAM: StreamId = StreamId {
    node: NodeId::from_bytes([1; 32]),
    incarnation: 1,
    tag: Tag::PUBLIC,
};

fn id(sequence: u64) -> EnvelopeId {
    EnvelopeId::from_bytes([u8::try_from(sequence).unwrap(); 32])
}

fn at(sequence: u64) -> Position {
    Position {
        tag: Tag::PUBLIC,
        sequence,
        previous: (sequence > 1).then(|| id(sequence - 1)),
    }
}

#[test]
fn a_gap_closes() {
    let mut streams = Streams::default();
    for sequence in [1, 3, 4] {
        assert_eq!(
            streams.fit(&STREAM, &at(sequence), &id(sequence)),
            Fit::Fits
        );
        streams.insert(STREAM, &at(sequence), id(sequence));
    }
    assert_eq!(streams.through(&STREAM).unwrap().sequence, 1);
    let moved = streams.insert(STREAM, &at(2), id(2)).0.through.unwrap();
    assert_eq!((moved.sequence, moved.head), (4, id(4)));
    assert_eq!(streams.fit(&STREAM, &at(3), &id(3)), Fit::Below);
}

#[test]
fn forks_and_jumps_do_not_fit() {
    let mut streams = Streams::default();
    streams.insert(STREAM, &at(1), id(1));
    streams.insert(STREAM, &at(3), id(3));
    let fork = Position {
        previous: Some(id(9)),
        ..at(2)
    };
    assert_eq!(streams.fit(&STREAM, &fork, &id(2)), Fit::Unchained);
    // Behind the gapless part what comes from below decides; elsewhere not.
    assert_eq!(streams.fit(&STREAM, &at(2), &id(8)), Fit::Fits);
    streams.insert(STREAM, &at(6), id(6));
    assert_eq!(streams.fit(&STREAM, &at(5), &id(8)), Fit::Unchained);
    assert_eq!(streams.fit(&STREAM, &at(3), &id(7)), Fit::Taken);
    let far = Position {
        sequence: 1 + SEQUENCE_AHEAD_MAX + 1,
        ..at(2)
    };
    assert_eq!(streams.fit(&STREAM, &far, &id(2)), Fit::TooFarAhead);
    let first_far = StreamId {
        incarnation: 2,
        ..STREAM
    };
    assert_eq!(streams.fit(&first_far, &far, &id(2)), Fit::TooFarAhead);
}

#[test]
fn streams_of_a_node_are_bounded() {
    let mut streams = Streams::default();
    for tag in 0..STREAMS_PER_NODE_MAX {
        let stream = StreamId {
            tag: Tag::from_bytes([u8::try_from(tag).unwrap(); 16]),
            ..STREAM
        };
        assert_eq!(streams.fit(&stream, &at(1), &id(1)), Fit::Fits);
        streams.insert(stream, &at(1), id(1));
    }
    let one_more = StreamId {
        tag: Tag::from_bytes([255; 16]),
        ..STREAM
    };
    assert_eq!(streams.fit(&one_more, &at(1), &id(1)), Fit::TooManyStreams);
}

const STORE: StoreId = StoreId([7; 16]);

fn of_life(incarnation: u64) -> StreamId {
    StreamId {
        incarnation,
        ..STREAM
    }
}

#[test]
fn the_place_behind_the_gapless_part_is_decided_from_below() {
    let mut streams = Streams::default();
    streams.insert(STREAM, &at(1), id(1));
    // A third that cites a second which nobody has, and a fourth on it.
    let poisoned = Position {
        previous: Some(id(9)),
        ..at(3)
    };
    streams.insert(STREAM, &poisoned, id(8));
    assert_eq!(streams.fit(&STREAM, &at(2), &id(2)), Fit::Fits);
    let (row, displaced) = streams.insert(STREAM, &at(2), id(2));
    assert_eq!(row.through.unwrap().sequence, 2);
    let lost = Displaced {
        sequence: 3,
        envelope: id(8),
    };
    assert_eq!(displaced, Some(lost));
    assert_eq!(streams.fit(&STREAM, &at(3), &id(3)), Fit::Fits);
    let (row, displaced) = streams.insert(STREAM, &at(3), id(3));
    assert_eq!((row.through.unwrap().sequence, displaced), (3, None));
}

#[test]
fn a_page_lists_each_changed_stream_once_and_as_it_now_is() {
    let mut streams = Streams::default();
    for life in [2, 3, 2] {
        let sequence = streams.sequence(&of_life(life)) + 1;
        streams.insert(of_life(life), &at(sequence), id(sequence));
    }
    let page = streams.page(0, false, &STORE);
    let listed: Vec<_> = page
        .entries
        .iter()
        .map(|entry| (entry.name, entry.through))
        .collect();
    assert_eq!(
        listed,
        [
            (StreamName::Full(of_life(3)), 1),
            (StreamName::Full(of_life(2)), 2)
        ]
    );
    assert_eq!((page.at, page.more), (3, false));
    // Nothing since: nothing is said, and the mark stays.
    let page = streams.page(3, false, &STORE);
    assert_eq!((page.entries.len(), page.at), (0, 3));
    // One that was told before is named shortly, a new one in full.
    streams.insert(of_life(3), &at(2), id(2));
    streams.insert(of_life(4), &at(1), id(1));
    let names = |full| {
        let page = streams.page(3, full, &STORE);
        page.entries
            .iter()
            .map(|entry| entry.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(false),
        [
            StreamName::Short(of_life(3).short(&STORE)),
            StreamName::Full(of_life(4))
        ]
    );
    assert_eq!(
        names(true),
        [StreamName::Full(of_life(3)), StreamName::Full(of_life(4))]
    );
}

#[test]
fn what_is_sealed_is_neither_listed_nor_counted() {
    let mut streams = Streams::default();
    streams.insert(STREAM, &at(1), id(1));
    let before = streams.page(0, false, &STORE);
    let sealed = StreamId {
        tag: Tag::from_bytes([9; 16]),
        ..STREAM
    };
    streams.insert(sealed, &at(1), id(1));
    let after = streams.page(0, false, &STORE);
    assert_eq!((before.at, before.entries), (after.at, after.entries));
}

#[test]
fn pages_are_bounded_and_go_on_where_they_ended() {
    let mut streams = Streams::default();
    let lives = u64::try_from(FRONTIER_ENTRIES_MAX).unwrap() + 10;
    for life in 0..lives {
        streams.insert(of_life(life), &at(1), id(1));
    }
    let first = streams.page(0, false, &STORE);
    assert!(first.more && first.entries.len() == FRONTIER_ENTRIES_MAX);
    let second = streams.page(first.at, false, &STORE);
    assert!(!second.more && second.entries.len() == 10);
    let names = first.entries.iter().chain(&second.entries);
    let names = names.map(|entry| match entry.name {
        StreamName::Full(stream) => stream.incarnation,
        StreamName::Short(short) => panic!("{short:?} was never told"),
    });
    assert_eq!(names.collect::<Vec<_>>(), (0..lives).collect::<Vec<_>>());
}

#[test]
fn what_lies_behind_gaps_is_told_as_runs() {
    let mut streams = Streams::default();
    for sequence in [1, 2, 5, 6, 7, 9] {
        streams.insert(STREAM, &at(sequence), id(sequence));
    }
    let entry = streams.page(0, false, &STORE).entries.remove(0);
    assert_eq!(entry.through, 2);
    let runs = [Run { gap: 2, run: 3 }, Run { gap: 1, run: 1 }];
    assert_eq!(entry.beyond.as_slice(), runs);
}

#[test]
fn a_short_name_stands_for_one_known_stream() {
    let mut streams = Streams::default();
    streams.insert(STREAM, &at(1), id(1));
    let named = streams.by_short(&STORE);
    assert_eq!(named.get(&STREAM.short(&STORE)), Some(&Some(STREAM)));
    // In the answers of another store it has another.
    assert_ne!(STREAM.short(&STORE), STREAM.short(&StoreId([8; 16])));
}
