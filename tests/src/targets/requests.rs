//! Certificate requests and certificates, as files that were carried.

use std::convert::Infallible;

use watchfire_protocol::certify::{
    CardDraft, GrantRefused, Wish, certificate_from_file, certificate_to_file, make_request,
    read_request,
};
use watchfire_protocol::founding::Keys;
use watchfire_protocol::limits::CERTIFICATE_LIFE_MS_MAX;
use watchfire_protocol::roster::check_card;
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::{List, Text};

/// How a request begins.
pub const REQUEST_WORDS: &[&str] = &["watchfire-request 1\n", "watchfire-request 2\n", "at-cert"];

const SEED: [u8; 32] = [0x51; 32];

fn keys() -> Keys {
    Keys::derived(&SEED, 0)
}

/// Either file. A request that is read is of three good keys, and what its root
/// grants holds; a certificate that is read is written as the same bytes.
///
/// # Panics
/// When that is not so.
pub fn fuzz_request(bytes: &[u8]) {
    if let Ok(certificate) = certificate_from_file(bytes) {
        assert_eq!(certificate_to_file(&certificate), bytes);
    }
    let Ok(request) = read_request(bytes) else {
        return;
    };
    assert_eq!(request.cert.defect(), None);
    let root = keys().root;
    let granted = request.grant(&root.public(), |domain, message| {
        Ok::<_, Infallible>(root.sign(domain, message))
    });
    match granted {
        Ok(granted) => {
            let (_, cert) = granted.certificate.verify(&root.public()).unwrap();
            assert_eq!(cert, request.cert);
            assert_eq!(granted.card.is_some(), request.card.is_some());
            if let Some(card) = granted.card {
                assert_eq!(check_card(&card).unwrap().card.slug, request.slug);
            }
        }
        Err(GrantRefused::OtherRoot | GrantRefused::Card(_)) => {}
        Err(GrantRefused::Root(never)) => match never {},
        Err(GrantRefused::Certificate(why)) => panic!("it was asked for and granted: {why}"),
    }
}

/// Requests with and without a card and of another root, and a certificate.
///
/// # Panics
/// When one cannot be made, which is a mistake here.
pub fn requests() -> Vec<Vec<u8>> {
    let keys = keys();
    let address = Text::new("/ip4/192.0.2.1/tcp/4747").unwrap();
    let card = CardDraft {
        contact: Contact::default(),
        addresses: List::new(vec![address]).unwrap(),
        door_addresses: List::default(),
    };
    let wish = |root, card| Wish {
        slug: "at-cert".parse().unwrap(),
        root_key: root,
        role: Role::Agency,
        serial: 7,
        incarnation: 1,
        not_before_ms: 1_800_000_000_000,
        not_after_ms: 1_800_000_000_000 + CERTIFICATE_LIFE_MS_MAX,
        card,
    };
    let root = keys.root.public();
    let other = Keys::derived(&SEED, 1).root.public();
    let mut all: Vec<Vec<u8>> = [wish(root, None), wish(root, Some(card)), wish(other, None)]
        .iter()
        .map(|wish| make_request(wish, &keys.signing, &keys.transport).unwrap())
        .collect();
    let granted = read_request(&all[0])
        .unwrap()
        .grant(&root, |domain, message| {
            Ok::<_, Infallible>(keys.root.sign(domain, message))
        })
        .unwrap();
    all.push(certificate_to_file(&granted.certificate));
    all
}
