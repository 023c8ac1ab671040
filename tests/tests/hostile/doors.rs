//! One message of every kind that has no signature, and what becomes of it when
//! it is cut or a bit of it turns.

use watchfire_protocol::gate;
use watchfire_protocol::ids::{EnvelopeId, NodeId};
use watchfire_protocol::limits::{
    ANSWER_BYTES_MAX, DOOR_BYTES_MAX, HEADER_BYTES_MAX, REQUEST_BYTES_MAX,
};
use watchfire_protocol::wire::codec::{self, CodecError};
use watchfire_protocol::wire::envelope::{Envelope, SignedBytes, Tag};
use watchfire_protocol::wire::exchange::{
    Answer, DoorAnswer, DoorRequest, FrontierEntry, Mark, RangeItem, Remains, Request, Run, Scope,
    ShortName, StoreId, StreamId, StreamName, Unavailable,
};
use watchfire_protocol::wire::{Bytes, ChunkPath, List};
use watchfire_tests::forge::Forge;
use watchfire_tests::membership;
use watchfire_tests::verdict::request as request_of;

fn stream() -> StreamId {
    StreamId {
        node: NodeId::from_bytes([0x4e; 32]),
        incarnation: 1,
        tag: Tag::PUBLIC,
    }
}

fn mark() -> Mark {
    Mark {
        store: StoreId([0x57; 16]),
        change: 300,
    }
}

/// The header of a frame, signed.
fn header_of(forge: &Forge) -> SignedBytes<HEADER_BYTES_MAX> {
    let frame = forge.sign(0, &forge.plain(0));
    let envelope: Envelope = codec::decode(&frame[2..], frame.len()).unwrap();
    envelope.header
}

/// Every request there is.
pub(crate) fn requests() -> Vec<Request> {
    let envelope = EnvelopeId::from_bytes([0xe0; 32]);
    vec![
        Request::Hello {
            federation: Forge::default().roster.federation(),
            epoch: 0,
            nonce: [0x0c; 16],
        },
        Request::Frontier {
            scope: Scope::OPEN,
            since: None,
            full: false,
            news: true,
        },
        Request::Frontier {
            scope: Scope(9),
            since: Some(mark()),
            full: true,
            news: false,
        },
        Request::Range {
            stream: stream(),
            from: 300,
            to: 555,
        },
        Request::Chunk { envelope, index: 3 },
        Request::KeyBlock { envelope },
    ]
}

/// Every answer there is.
pub(crate) fn answers() -> Vec<Answer> {
    let forge = Forge::default();
    let frame = RangeItem::Frame(Bytes::new(forge.sign(0, &forge.plain(0))).unwrap());
    let remains = RangeItem::Remains(Remains {
        header: header_of(&forge),
        second_signature: Some(Bytes::new(vec![2; 9]).unwrap()),
    });
    let full = FrontierEntry {
        name: StreamName::Full(stream()),
        through: 5,
        head: Some([0xe0; 8]),
        beyond: List::default(),
    };
    let short = FrontierEntry {
        name: StreamName::Short(ShortName([0x5a; 8])),
        through: 0,
        head: None,
        beyond: List::new(vec![Run { gap: 3, run: 9 }; 2]).unwrap(),
    };
    let mut all = vec![
        Answer::Hello {
            federation: forge.roster.federation(),
            epoch: 0,
            nonce: [0x0c; 16],
        },
        Answer::Frontier {
            at: mark(),
            entries: List::default(),
            more: false,
        },
        Answer::Frontier {
            at: mark(),
            entries: List::new(vec![full, short]).unwrap(),
            more: true,
        },
        Answer::Range {
            items: List::default(),
        },
        Answer::Range {
            items: List::new(vec![frame, remains]).unwrap(),
        },
        Answer::Chunk {
            bytes: Bytes::new(vec![0xcc; 300]).unwrap(),
            path: ChunkPath::new(vec![[1; 32]; 8]).unwrap(),
        },
        Answer::KeyBlock {
            bytes: Bytes::new(vec![0x6b; 300]).unwrap(),
        },
    ];
    for reason in [
        Unavailable::NotHeld,
        Unavailable::Busy,
        Unavailable::Refused,
        Unavailable::Unknown,
    ] {
        all.push(Answer::Unavailable { reason });
    }
    all
}

/// Every request at the door.
pub(crate) fn door_requests() -> Vec<DoorRequest> {
    let certificate = membership::card(&Forge::default(), 0).certificate;
    vec![
        DoorRequest::Genesis { offset: 3_072 },
        DoorRequest::Offer { certificate },
    ]
}

/// Every answer at the door.
pub(crate) fn door_answers() -> Vec<DoorAnswer> {
    let bytes = Bytes::new(vec![0x9e; 300]).unwrap();
    vec![
        DoorAnswer::Genesis {
            total: 9_000,
            offset: 3_072,
            bytes,
        },
        DoorAnswer::Offer { accepted: true },
        DoorAnswer::Unavailable,
    ]
}

/// What is read encodes to what came; what is cut is refused; a turned bit is
/// refused or is another message, never the same.
fn holds<T: PartialEq>(
    value: &T,
    encode: fn(&T) -> Vec<u8>,
    read: impl Fn(&[u8]) -> Result<T, CodecError>,
) {
    let bytes = encode(value);
    assert!(read(&bytes).is_ok_and(|read| read == *value));
    for length in 0..bytes.len() {
        assert!(
            read(&bytes[..length]).is_err(),
            "believed, though cut at {length}"
        );
    }
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = read(&flipped) {
            assert!(other != *value, "bit {bit} means nothing");
            assert_eq!(encode(&other), flipped, "bit {bit}");
        }
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    let trailing = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(
        read(&trailing),
        Err(CodecError::Trailing { bytes: 1 })
    ));
}

#[test]
fn requests_and_answers_survive_every_cut_and_every_flip() {
    for request in requests() {
        holds(&request, codec::encode, request_of);
    }
    for answer in answers() {
        holds(&answer, codec::encode, gate::answer);
    }
}

#[test]
fn messages_at_the_door_survive_every_cut_and_every_flip() {
    for request in door_requests() {
        holds(&request, codec::encode, gate::door_request);
    }
    for answer in door_answers() {
        holds(&answer, codec::encode, gate::door_answer);
    }
}

#[test]
fn messages_over_their_limit_are_not_read() {
    let long = |bytes_max: usize| vec![0; bytes_max + 1];
    let refused = |bytes_max: usize| CodecError::TooLong {
        bytes: bytes_max + 1,
        bytes_max,
    };
    assert_eq!(
        request_of(&long(REQUEST_BYTES_MAX)).unwrap_err(),
        refused(REQUEST_BYTES_MAX)
    );
    assert_eq!(
        gate::answer(&long(ANSWER_BYTES_MAX)).unwrap_err(),
        refused(ANSWER_BYTES_MAX)
    );
    assert_eq!(
        gate::door_request(&long(DOOR_BYTES_MAX)).unwrap_err(),
        refused(DOOR_BYTES_MAX)
    );
    assert_eq!(
        gate::door_answer(&long(DOOR_BYTES_MAX)).unwrap_err(),
        refused(DOOR_BYTES_MAX)
    );
}

#[test]
fn unknown_variants_are_refused() {
    for number in [7, 250] {
        assert!(gate::request(&[number]).is_err());
        assert!(gate::answer(&[number]).is_err());
        assert!(gate::door_request(&[number]).is_err());
        assert!(gate::door_answer(&[number]).is_err());
    }
}
