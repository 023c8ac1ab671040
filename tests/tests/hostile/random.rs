//! Random bytes, and valid ones at random altered: nothing panics, and what is
//! accepted says again exactly what came.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::sync::LazyLock;
use watchfire_protocol::gate;
use watchfire_protocol::roster::{Roster, check_card};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::envelope::Envelope;
use watchfire_protocol::wire::genesis::{GenesisFile, card_from_file, card_to_file};
use watchfire_tests::catalogue::catalogue;
use watchfire_tests::forge::Forge;
use watchfire_tests::membership;

static FORGE: LazyLock<Forge> = LazyLock::new(Forge::default);
static FRAMES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| catalogue(&FORGE).into_iter().map(|case| case.frame).filter(|frame| frame.len() < 2_000).collect());
static FILES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| membership::cases(&FORGE).into_iter().map(|case| case.bytes).collect());

/// One alteration of bytes.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), vec(prop_oneof![any::<u8>(), 250..=255_u8], 1..9)).prop_map(|(at, new)| Edit::Insert(at, new)),
        (any::<Index>(), 1..64_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (any::<Index>(), 1..64_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
    ];
    vec(edit, 0..4)
}

fn altered(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits.iter().filter(|_| !bytes.is_empty()).cloned().collect::<Vec<_>>() {
        if bytes.is_empty() {
            break;
        }
        match edit {
            Edit::Set(at, byte) => *at.get_mut(&mut bytes) = byte,
            Edit::Insert(at, new) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, new);
            }
            Edit::Remove(at, length) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Edit::Repeat(at, length) => {
                let at = at.index(bytes.len());
                let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Whatever comes through any door encodes to what came in.
fn through_every_door(bytes: &[u8]) {
    if let Ok(frame) = gate::check(bytes, &FORGE.roster) {
        assert_eq!(frame.value().bytes(), bytes);
        let envelope: Envelope = codec::decode(&bytes[2..], bytes.len()).unwrap();
        assert_eq!(codec::encode(&envelope), bytes[2..]);
        assert_eq!(codec::encode(frame.value().header()), frame.bytes());
    }
    if let Ok(message) = gate::request(bytes) {
        assert_eq!(codec::encode(&message), bytes);
    }
    if let Ok(message) = gate::answer(bytes) {
        assert_eq!(codec::encode(&message), bytes);
    }
    if let Ok(message) = gate::door_request(bytes) {
        assert_eq!(codec::encode(&message), bytes);
    }
    if let Ok(message) = gate::door_answer(bytes) {
        assert_eq!(codec::encode(&message), bytes);
    }
    if let Ok(card) = card_from_file(bytes) {
        assert_eq!(card_to_file(&card), bytes);
        let _ = check_card(&card);
    }
    if let Ok(file) = GenesisFile::from_bytes(bytes) {
        assert_eq!(file.to_bytes(), bytes);
        let _ = Roster::found(&file);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attack_36_random_bytes(bytes in vec(any::<u8>(), 0..2_000)) {
        through_every_door(&bytes);
    }

    #[test]
    fn attack_36_random_bytes_behind_a_good_beginning(start in 0..=15_u8, bytes in vec(prop_oneof![0..16_u8, 248..=255_u8, any::<u8>()], 0..400)) {
        through_every_door(&[&[1, 15], bytes.as_slice()].concat());
        through_every_door(&[&[1, 1], bytes.as_slice()].concat());
        through_every_door(&[&[1, 2], bytes.as_slice()].concat());
        through_every_door(&[&[start], bytes.as_slice()].concat());
    }

    #[test]
    fn attack_36_altered_frames(frame in select(FRAMES.clone()), edits in edits()) {
        through_every_door(&altered(frame, &edits));
    }

    #[test]
    fn attack_36_altered_cards_and_genesis(file in select(FILES.clone()), edits in edits()) {
        through_every_door(&altered(file, &edits));
    }

    /// The header altered and signed again: an author may say what it likes,
    /// and what is accepted of it is canonical.
    #[test]
    fn attack_36_altered_headers_under_good_signatures(edits in edits(), sealed in any::<bool>()) {
        let (member, cast) = if sealed {
            (1, FORGE.sealed(1, Some(&[0x6b; 9]), Some(&[0x70; 9])))
        } else {
            (0, FORGE.plain(0))
        };
        let header = altered(codec::encode(&cast.header), &edits);
        through_every_door(&FORGE.sign_header(member, &header, &cast));
    }

    /// The same of the inner statement.
    #[test]
    fn attack_36_altered_bundles_under_good_signatures(edits in edits()) {
        let statement = altered(codec::encode(&FORGE.plain_bundle(0)), &edits);
        let domain = watchfire_protocol::wire::Kind::Bundle.domain();
        let head = watchfire_tests::forge::head(14, &statement, domain, &FORGE.keys[0].signing);
        through_every_door(&FORGE.sign(0, &FORGE.plain(0).with_head(head)));
    }
}
