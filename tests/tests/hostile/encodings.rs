//! Second names for one value: integers that are longer than they must be, in
//! every place, under good signatures where there are any.

use watchfire_crypto::Statement as _;
use watchfire_protocol::gate;
use watchfire_protocol::gate::Refusal;
use watchfire_protocol::roster::{Roster, check_card};
use watchfire_protocol::wire::Kind;
use watchfire_protocol::wire::bundle::Bundle;
use watchfire_protocol::wire::card::{Card, NodeCert};
use watchfire_protocol::wire::codec::{self, CodecError};
use watchfire_protocol::wire::genesis::{Genesis, GenesisFile, card_from_file};
use watchfire_tests::bytes::{Writer, longer_integers};
use watchfire_tests::forge::{Forge, head};
use watchfire_tests::membership;

/// No longer form of these bytes is believed, and as many as there are longer
/// forms of their integers are refused for their form alone: one of a small
/// `u16`, two of a `u32` or the number of a variant, three of a `u64` or length.
fn none_comes_through<E>(
    bytes: &[u8],
    longer_forms: usize,
    gate: impl Fn(&[u8]) -> Result<(), E>,
    is_form: impl Fn(&E) -> bool,
) {
    let mut not_canonical = 0;
    for longer in longer_integers(bytes) {
        let refusal = gate(&longer)
            .err()
            .unwrap_or_else(|| panic!("believed: {longer:02x?}"));
        not_canonical += usize::from(is_form(&refusal));
    }
    assert_eq!(not_canonical, longer_forms, "refused for their form alone");
}

fn is_form(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Form {
            why: CodecError::NotCanonical,
            ..
        }
    )
}

fn is_codec(error: &CodecError) -> bool {
    *error == CodecError::NotCanonical
}

#[test]
fn attack_30_frames() {
    let forge = Forge::default();
    let check = |frame: &[u8]| gate::check(frame, &forge.roster).map(|_| ());
    let (plain, sealed) = (
        forge.plain(0),
        forge.sealed(1, Some(&[0x6b; 9]), Some(&[0x70; 9])),
    );
    // The lengths of header, head and payload; sealed, also of the key block.
    none_comes_through(&forge.sign(0, &plain), 3 + 3 + 2, check, is_form);
    none_comes_through(&forge.sign(1, &sealed), 2 + 3 + 2 + 3, check, is_form);
}

#[test]
fn attack_30_headers_under_good_signatures() {
    let forge = Forge::default();
    for (member, longer_forms, cast) in [
        // Epoch, class, sequence, chunks, length.
        (0, 3 + 2 + 3 + 2 + 2, forge.plain(0)),
        // Epoch, class, suite, sequence, sealing, chunks, length, key block, commitments.
        (
            1,
            3 + 2 + 1 + 3 + 3 + 2 + 3 + 2 + 3,
            forge.sealed(1, Some(&[0x6b; 9]), Some(&[0x70; 9])),
        ),
    ] {
        let check = |header: &[u8]| {
            gate::check(&forge.sign_header(member, header, &cast), &forge.roster).map(|_| ())
        };
        assert!(check(&codec::encode(&cast.header)).is_ok());
        none_comes_through(&codec::encode(&cast.header), longer_forms, check, is_form);
    }
}

#[test]
fn attack_30_inner_statements_under_good_signatures() {
    let forge = Forge::default();
    let (cast, key) = (forge.plain(0), &forge.keys[0].signing);
    let check = |head: Vec<u8>| {
        gate::check(&forge.sign(0, &cast.clone().with_head(head)), &forge.roster).map(|_| ())
    };
    assert!(check(cast.head.clone()).is_ok());
    // Kind and length.
    none_comes_through(&cast.head, 1 + 3, |head| check(head.to_vec()), is_form);
    let statement = codec::encode(&forge.plain_bundle(0));
    // Sequence, marking, audience, encoding, parts, media, length.
    let bundle =
        |statement: &[u8]| check(head(Kind::Bundle.number(), statement, Bundle::DOMAIN, key));
    none_comes_through(&statement, 3 + 2 + 2 + 2 + 3 + 2 + 2, bundle, is_form);
}

#[test]
fn attack_30_cards_and_genesis_under_good_signatures() {
    let forge = Forge::default();
    let keys = &forge.keys[0];
    let error = |error: watchfire_protocol::roster::RosterError| error.to_string();
    let is_form = |why: &String| why.contains("not the canonical encoding");

    let card = |statement: &[u8]| {
        let signature = keys.root.sign(Card::DOMAIN, statement);
        let file = Writer::new()
            .raw(&[1, 1])
            .bytes(statement)
            .raw(signature.as_bytes())
            .into_vec();
        check_card(&card_from_file(&file).map_err(|error| error.to_string())?)
            .map(|_| ())
            .map_err(error)
    };
    let statement = codec::encode(&membership::card(&forge, 0));
    assert_eq!(card(&statement), Ok(()));
    // Slug, role, six texts, the languages, the fingerprint, two lists, and the length
    // of the certificate.
    let longer_forms = 3 + 2 + 6 * 3 + 3 + 3 + 2 * 3 + 3;
    none_comes_through(&statement, longer_forms, card, is_form);

    let certificate = membership::statement(&forge, 0);
    let certified = |statement: &[u8]| {
        let by =
            |key: &watchfire_crypto::SigningKey| key.sign(NodeCert::DOMAIN, statement).to_bytes();
        let bytes = Writer::new()
            .bytes(statement)
            .raw(&by(&keys.root))
            .raw(&by(&keys.signing))
            .raw(&by(&keys.transport))
            .into_vec();
        let signed: watchfire_protocol::wire::card::CertificateBytes =
            codec::decode(&bytes, 4_096).map_err(|error| error.to_string())?;
        signed
            .verify(&keys.root.public())
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(certified(&codec::encode(&certificate)), Ok(()));
    // Serial, incarnation, role.
    none_comes_through(&codec::encode(&certificate), 3 + 3 + 2, certified, is_form);

    let genesis = |statement: &[u8]| {
        let mut file = Writer::new()
            .raw(&[1, 2])
            .bytes(statement)
            .integer(forge.keys.len() as u64);
        for (index, keys) in (0..).zip(&forge.keys) {
            file = file
                .integer(index)
                .raw(keys.root.sign(Genesis::DOMAIN, statement).as_bytes());
        }
        let file = file.raw(&codec::encode(&forge.genesis.cards)).into_vec();
        let file = GenesisFile::from_bytes(&file).map_err(|error| error.to_string())?;
        Roster::found(&file).map(|_| ()).map_err(error)
    };
    let statement = forge.genesis.genesis.as_slice();
    assert_eq!(genesis(statement), Ok(()));
    // Name, quorum, members; of each slug, role, communities, community.
    none_comes_through(statement, 3 + 2 + 3 + 3 * (3 + 2 + 3 + 3), genesis, is_form);
}

#[test]
fn attack_30_session_messages() {
    for message in super::doors::requests() {
        none_comes_back(
            &codec::encode(&message),
            codec::encode,
            watchfire_tests::verdict::request,
        );
    }
    for message in super::doors::answers() {
        none_comes_back(&codec::encode(&message), codec::encode, gate::answer);
    }
    for message in super::doors::door_requests() {
        none_comes_back(&codec::encode(&message), codec::encode, gate::door_request);
    }
    for message in super::doors::door_answers() {
        none_comes_back(&codec::encode(&message), codec::encode, gate::door_answer);
    }
}

/// Unsigned messages: a longer form is refused, or it is another message.
fn none_comes_back<T>(
    bytes: &[u8],
    encode: fn(&T) -> Vec<u8>,
    read: impl Fn(&[u8]) -> Result<T, CodecError>,
) {
    let mut not_canonical = 0;
    for longer in longer_integers(bytes) {
        match read(&longer) {
            Ok(value) => assert_eq!(encode(&value), longer),
            Err(error) => not_canonical += usize::from(is_codec(&error)),
        }
    }
    // The number of the variant is an integer in all of them.
    assert!(not_canonical >= 2, "{not_canonical}");
}
