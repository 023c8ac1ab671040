//! Frames, messages between nodes, and signed statements.

use watchfire_crypto::{Signed, SigningKey, Statement};
use watchfire_protocol::gate;
use watchfire_protocol::ids::FederationId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{OpenRefusal, open};
use watchfire_protocol::roster::{Roster, RosterError, check_card, inspect_genesis};
use watchfire_protocol::wire::bundle::Bundle;
use watchfire_protocol::wire::card::{Card, CertificateBytes, NodeCert};
use watchfire_protocol::wire::envelope::{Class, Envelope, Header, Inner, SignedBytes};
use watchfire_protocol::wire::exchange::Remains;
use watchfire_protocol::wire::genesis::{Genesis, GenesisFile, card_from_file, card_to_file};
use watchfire_protocol::wire::invitation::{Invitation, Token};
use watchfire_protocol::wire::{Kind, List, Text, codec};

use super::{FORGE, samples};
use crate::bytes::Writer;
use crate::forge::{STIX, head};
use crate::membership::{self, RENEWED_MS};

/// A frame, as from gossip. What comes through is canonical, comes through
/// again as the same envelope, and holds what the gate promises of it.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_frame(bytes: &[u8]) {
    frame(bytes);
}

/// Whether it came through.
fn frame(bytes: &[u8]) -> bool {
    let Ok(frame) = gate::check(bytes, &FORGE.roster) else {
        return false;
    };
    let again = gate::check(bytes, &FORGE.roster).expect("what came through comes through again");
    assert_eq!(gate::envelope_id(&frame), gate::envelope_id(&again));
    assert_eq!(frame.value().bytes(), bytes);
    let envelope: Envelope = codec::decode(&bytes[2..], bytes.len()).unwrap();
    assert_eq!(codec::encode(&envelope), bytes[2..]);
    assert_eq!(codec::encode(frame.value().header()), frame.bytes());
    assert!(!matches!(
        frame.value().header().prefix.class,
        Class::Direct { .. }
    ));
    let remains = Remains {
        header: envelope.header,
        second_signature: envelope.second_signature,
    };
    let remains = gate::check_remains(&remains, &FORGE.roster).unwrap();
    assert_eq!(remains.value().header(), frame.value().header());
    assert_eq!(remains.value().stream(), frame.value().stream());
    if let gate::Content::Bundle(bundle) = frame.value().content() {
        assert_eq!(bundle.value().marking, Marking::Clear);
        assert_eq!(bundle.value().defect(), None);
        assert_eq!(codec::encode(bundle.value()), bundle.bytes());
    }
    match open(frame.value(), None) {
        Ok(opened) => {
            let objects = opened.rows().len();
            assert!(objects > 0);
            for row in opened.rows() {
                assert_eq!(row.marking, Marking::Clear, "in clear, and not CLEAR");
            }
            for (_, object) in opened.keys() {
                assert!(usize::try_from(*object).unwrap() < objects);
            }
        }
        Err(OpenRefusal::Gate(refusal)) => panic!("the gate let it through: {refusal}"),
        Err(
            OpenRefusal::NeedsUpgrade
            | OpenRefusal::PayloadAbsent
            | OpenRefusal::Encoding { .. }
            | OpenRefusal::Digest
            | OpenRefusal::Stix { .. }
            | OpenRefusal::Marking { .. },
        ) => {}
    }
    true
}

/// Frames of the vectors.
pub fn frames() -> Vec<Vec<u8>> {
    samples::vectors(&["frame"], "frame")
}

/// A message between two nodes, or at the door, in either direction: what is
/// read is written as the same bytes. Of an invitation, which people copy, what is
/// read is written as one text.
///
/// # Panics
/// When it is not.
pub fn fuzz_exchange(bytes: &[u8]) {
    if let Ok(message) = gate::request(bytes) {
        assert_eq!(codec::encode(&message), bytes);
        assert_eq!(gate::request(bytes).as_ref(), Ok(&message));
    }
    if let Ok(message) = gate::answer(bytes) {
        assert_eq!(codec::encode(&message), bytes);
        assert_eq!(gate::answer(bytes).as_ref(), Ok(&message));
    }
    if let Ok(message) = gate::door_request(bytes) {
        assert_eq!(codec::encode(&message), bytes);
        assert_eq!(gate::door_request(bytes).as_ref(), Ok(&message));
    }
    if let Ok(message) = gate::door_answer(bytes) {
        assert_eq!(codec::encode(&message), bytes);
        assert_eq!(gate::door_answer(bytes).as_ref(), Ok(&message));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(invitation) = text.parse::<Invitation>()
    {
        assert_eq!(invitation.to_text().parse(), Ok(invitation));
    }
}

/// Messages of the vectors, and an invitation.
pub fn messages() -> Vec<Vec<u8>> {
    let mut samples = samples::vectors(
        &["request", "answer", "door-request", "door-answer"],
        "bytes",
    );
    let invitation = Invitation {
        federation: FederationId::from_bytes([1; 32]),
        door: [2; 32],
        token: Token::from_bytes([3; 32]),
        expires_ms: 4,
        addresses: List::new(vec![Text::new("/ip4/192.0.2.1/tcp/4748").unwrap()]).unwrap(),
    };
    samples.push(invitation.to_text().into_bytes());
    samples
}

/// What the first byte of a statement's input asks for.
const STATEMENTS: u8 = 10;

/// A statement under good signatures: an author may say what it likes. The
/// first byte chooses the kind, the others are the statement; the files of
/// cards, certificates and genesis are there as they are, too.
///
/// # Panics
/// When what is accepted is not canonical, or is not accepted again.
pub fn fuzz_statement(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice % STATEMENTS {
        0 => header(bytes, false),
        1 => header(bytes, true),
        2 => {
            claims::<Bundle>(bytes, codec::encode);
            let key = &FORGE.keys[0].signing;
            let head = head(Kind::Bundle.number(), bytes, Bundle::DOMAIN, key);
            inner(&head);
        }
        3 => inner(bytes),
        4 => {
            claims::<Card>(bytes, codec::encode);
            card_file(&signed_file(Kind::Card, bytes, &FORGE.keys[1].root));
        }
        5 => {
            claims::<Genesis>(bytes, codec::encode);
            genesis_file(&signed_genesis(bytes));
        }
        6 => {
            claims::<NodeCert>(bytes, codec::encode);
            certificate(&signed_certificate(bytes));
        }
        7 => card_file(bytes),
        8 => genesis_file(bytes),
        _ => certificate(bytes),
    }
}

/// Whatever parses encodes to what it was parsed from, signed or not.
fn claims<T: Statement>(bytes: &[u8], encode: fn(&T) -> Vec<u8>) {
    if let Ok(value) = T::parse(bytes) {
        assert_eq!(encode(&value), bytes);
    }
}

fn header(bytes: &[u8], sealed: bool) {
    let (member, cast) = if sealed {
        (1, FORGE.sealed(1, Some(&[0x6b; 9]), Some(&[0x70; 9])))
    } else {
        (0, FORGE.plain(0))
    };
    let came = frame(&FORGE.sign_header(member, bytes, &cast));
    if came {
        assert_eq!(
            codec::encode(&codec::decode::<Header>(bytes, bytes.len()).unwrap()),
            bytes
        );
    }
}

/// An inner statement in an envelope that says of it what it should.
fn inner(head: &[u8]) {
    let came = frame(&FORGE.sign(0, &FORGE.plain(0).with_head(head.to_vec())));
    if came {
        let inner: Inner = codec::decode(head, head.len()).unwrap();
        assert_eq!(codec::encode(&inner), head);
    }
}

fn card_file(bytes: &[u8]) {
    let Ok(card) = card_from_file(bytes) else {
        return;
    };
    assert_eq!(card_to_file(&card), bytes);
    let Ok(checked) = check_card(&card) else {
        return;
    };
    let again = check_card(&card).expect("what counted counts again");
    assert_eq!(checked.id, again.id);
    assert!(checked.card.slug.is_well_formed());
    assert_eq!(
        codec::encode(&checked.card),
        card.to_signed::<Card>().bytes()
    );
    assert_eq!(checked.certificate.role, checked.card.role);
}

fn genesis_file(bytes: &[u8]) {
    let Ok(file) = GenesisFile::from_bytes(bytes) else {
        return;
    };
    assert_eq!(file.to_bytes(), bytes);
    let state = inspect_genesis(&file);
    let founded = Roster::found(&file);
    match (&state, &founded) {
        (Ok(state), Ok(roster)) => {
            assert!(state.signed.iter().all(|signed| *signed));
            assert_eq!(state.federation, roster.federation());
            assert_eq!(roster.members().count(), state.cards.len());
            assert_eq!(
                Roster::found(&file).unwrap().federation(),
                roster.federation()
            );
        }
        (Ok(state), Err(error)) => {
            assert!(matches!(error, RosterError::Unsigned { .. }), "{error}");
            assert!(!state.signed.iter().all(|signed| *signed));
        }
        (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) => panic!("founded on what does not hold: {error}"),
    }
}

fn certificate(bytes: &[u8]) {
    let Ok(signed) = codec::decode::<CertificateBytes>(bytes, bytes.len()) else {
        return;
    };
    assert_eq!(codec::encode(&signed), bytes);
    let Ok(checked) = FORGE.roster.check_certificate(&signed, RENEWED_MS) else {
        return;
    };
    let mut roster = FORGE.roster.clone();
    let admitted = roster.admit_certificate(&signed, RENEWED_MS).unwrap();
    assert_eq!(admitted.id, checked.id);
    assert!(admitted.is_current(RENEWED_MS));
    assert!(roster.certificate(&admitted.id).is_some());
    assert!(
        matches!(
            roster.admit_certificate(&signed, RENEWED_MS),
            Err(RosterError::Superseded)
        ),
        "one certificate counts once"
    );
}

/// A file of this kind around a statement, signed by a root.
fn signed_file(kind: Kind, statement: &[u8], root: &SigningKey) -> Vec<u8> {
    let signature = root.sign(kind.domain(), statement);
    Writer::new()
        .raw(&[1, u8::try_from(kind.number()).unwrap()])
        .bytes(statement)
        .raw(signature.as_bytes())
        .into_vec()
}

/// A genesis file around a statement, signed by every founder, with the cards
/// of the federation.
fn signed_genesis(statement: &[u8]) -> Vec<u8> {
    let mut file = Writer::new().raw(&[1, 2]).bytes(statement).integer(3);
    for (at, keys) in (0..).zip(&FORGE.keys) {
        let signature = keys.root.sign(Genesis::DOMAIN, statement);
        file = file.integer(at).raw(signature.as_bytes());
    }
    file = file.integer(3);
    for card in FORGE.genesis.cards.iter() {
        file = file.raw(&codec::encode(card));
    }
    file.into_vec()
}

/// A certificate around a statement, signed by the keys of the first member.
fn signed_certificate(statement: &[u8]) -> Vec<u8> {
    let keys = &FORGE.keys[0];
    [&keys.root, &keys.signing, &keys.transport]
        .into_iter()
        .fold(Writer::new().bytes(statement), |writer, key| {
            writer.raw(key.sign(NodeCert::DOMAIN, statement).as_bytes())
        })
        .into_vec()
}

/// A statement of each kind, and the files of the vectors.
///
/// # Panics
/// Never: what they are made of fits.
pub fn statements() -> Vec<Vec<u8>> {
    let forge = &*FORGE;
    let open = forge.plain(0);
    let sealed = forge.sealed(1, Some(&[0x6b; 9]), Some(&[0x70; 9]));
    let bundle = codec::encode(&forge.plain_bundle(0));
    let renewed = NodeCert {
        serial: 2,
        not_before_ms: RENEWED_MS - 1_000,
        not_after_ms: RENEWED_MS + 80 * 24 * 3_600_000,
        ..membership::statement(forge, 0)
    };
    let unknown = head(
        Kind::Sighting.number(),
        STIX.as_bytes(),
        Kind::Sighting.domain(),
        &forge.keys[0].signing,
    );
    let chosen = [
        (0, codec::encode(&open.header)),
        (1, codec::encode(&sealed.header)),
        (2, bundle),
        (3, open.head),
        (3, unknown),
        (4, codec::encode(&membership::card(forge, 1))),
        (5, forge.genesis.genesis.as_slice().to_vec()),
        (6, codec::encode(&renewed)),
        (7, membership::card_file(forge, 1)),
        (8, forge.genesis.to_bytes()),
        (9, signed_certificate(&codec::encode(&renewed))),
    ];
    let mut all: Vec<Vec<u8>> = chosen
        .into_iter()
        .map(|(choice, bytes)| chosen_of(choice, &bytes))
        .collect();
    for (choice, test) in [(7, "card"), (8, "genesis"), (9, "certificate")] {
        let files = samples::vectors(&[test], "bytes");
        all.extend(files.iter().map(|bytes| chosen_of(choice, bytes)));
    }
    all
}

fn chosen_of(choice: u8, bytes: &[u8]) -> Vec<u8> {
    [&[choice], bytes].concat()
}

/// The signed samples are good, so that mutations begin from what is accepted.
///
/// # Panics
/// When one is not.
pub fn statements_are_good() {
    for (choice, bytes) in statements()
        .iter()
        .take(11)
        .filter_map(|sample| sample.split_first())
    {
        match choice {
            0 => assert!(frame(&FORGE.sign_header(0, bytes, &FORGE.plain(0)))),
            2 => drop(Bundle::parse(bytes).unwrap()),
            4 => {
                let file = signed_file(Kind::Card, bytes, &FORGE.keys[1].root);
                let card: SignedBytes<4_096> = card_from_file(&file).unwrap();
                check_card(&card).unwrap();
            }
            5 => {
                let file = GenesisFile::from_bytes(&signed_genesis(bytes)).unwrap();
                Roster::found(&file).unwrap();
            }
            6 => {
                let signed = signed_certificate(bytes);
                let signed = codec::decode::<CertificateBytes>(&signed, 4_096).unwrap();
                FORGE.roster.check_certificate(&signed, RENEWED_MS).unwrap();
            }
            _ => {}
        }
    }
    let signed: Signed<Bundle> = Signed::seal(
        codec::encode(&FORGE.plain_bundle(0)),
        &FORGE.keys[0].signing,
    );
    assert!(signed.claims().is_ok());
}
