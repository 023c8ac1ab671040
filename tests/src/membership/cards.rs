//! Cards, and the certificate in each.

use super::keys::WEAK;
use super::{Case, Subject, card, card_file, certificate, id_of, signed_card, statement};
use crate::bytes::unhex;
use crate::forge::{FOUNDED_MS, Forge};
use watchfire_protocol::limits::CERTIFICATE_LIFE_MS_MAX;
use watchfire_protocol::wire::card::{Card, NodeCert, Role};
use watchfire_protocol::wire::codec;

pub(super) fn cases(forge: &Forge) -> Vec<Case> {
    let mut cases = good(forge);
    cases.extend(files(forge));
    cases.extend(fields(forge));
    cases.extend(certified(forge));
    cases
}

fn good(forge: &Forge) -> Vec<Case> {
    [(0, "card-of-an-agency", "as a member makes it"), (2, "card-of-a-hub", "as a hub makes it")]
        .into_iter()
        .map(|(member, name, what)| Case {
            name,
            what,
            subject: Subject::Card,
            bytes: card_file(forge, member),
            outcome: Ok(id_of::<Card>(&codec::encode(&card(forge, member)))),
        })
        .collect()
}

fn bad(name: &'static str, what: &'static str, bytes: Vec<u8>, rule: &'static str, about: &'static str) -> Case {
    Case { name, what, subject: Subject::Card, bytes, outcome: Err((rule, about)) }
}

fn files(forge: &Forge) -> Vec<Case> {
    let file = card_file(forge, 0);
    let keys = &forge.keys[0];
    let bytes = codec::encode(&card(forge, 0));
    let mut altered = file.clone();
    *altered.last_mut().unwrap() ^= 1;
    let with = |version, kind| [&[version, kind], &file[2..]].concat();
    let signature = "the signature on the card";
    vec![
        bad("card-of-no-bytes", "nothing", Vec::new(), "malformed", "not a card file"),
        bad("card-of-a-later-version", "version 2", with(2, 1), "malformed", "not a card file"),
        bad("card-that-is-a-genesis", "kind 2", with(1, 2), "malformed", "not a card file"),
        bad("card-cut-off", "its last byte is missing", file[..file.len() - 1].to_vec(), "malformed", "malformed"),
        bad("card-trailing-byte", "a byte follows it", [file.as_slice(), &[0]].concat(), "malformed", "follow"),
        bad("card-signature-altered", "a bit of it", altered, "signature", signature),
        bad("card-by-the-signing-key", "by the node and not by the root", signed_card(&bytes, &keys.signing), "signature", signature),
        bad("card-by-another-root", "by the root of another", signed_card(&bytes, &forge.keys[1].root), "signature", signature),
        bad(
            "card-statement-trailing-byte",
            "a byte follows the statement, under a good signature",
            signed_card(&[bytes.as_slice(), &[0]].concat(), &keys.root),
            "malformed",
            "follow",
        ),
    ]
}

fn fields(forge: &Forge) -> Vec<Case> {
    let root = &forge.keys[0].root;
    let good = card(forge, 0);
    let bytes = codec::encode(&good);
    // The slug "m-000" is the first field.
    let slug = |slug: &[u8; 5]| signed_card(&[&bytes[..1], slug, &bytes[6..]].concat(), root);
    let role = Card { role: Role::Hub, ..good.clone() };
    let mut role_bytes = codec::encode(&good);
    assert_eq!(role_bytes[38], 0, "the role follows slug and root key");
    role_bytes[38] = 3;
    let mut cases = vec![
        bad("card-slug-upper-case", "M-000", slug(b"M-000"), "contradiction", "slug"),
        bad("card-slug-two-hyphens", "m--00", slug(b"m--00"), "contradiction", "slug"),
        bad("card-slug-ends-with-hyphen", "m-00-", slug(b"m-00-"), "contradiction", "slug"),
        bad("card-slug-begins-with-digit", "0-000", slug(b"0-000"), "contradiction", "slug"),
        bad("card-slug-with-dot", "m.000", slug(b"m.000"), "contradiction", "slug"),
        bad("card-slug-not-utf-8", "bytes that are no text", slug(b"m-\xff00"), "malformed", "UTF-8"),
        bad("card-role-3", "there are three roles, from 0", signed_card(&role_bytes, root), "malformed", "malformed"),
        bad(
            "card-role-of-another",
            "card and certificate name different roles",
            signed_card(&codec::encode(&role), root),
            "contradiction",
            "different roles",
        ),
    ];
    let short = signed_card(&[&[1, b'm'], &bytes[6..]].concat(), root);
    cases.push(bad("card-slug-of-one", "m", short, "contradiction", "slug"));
    for (name, what, (_, _, _, weak)) in [
        ("card-root-of-small-order", "attack 04: a root under which one signature fits many cards", WEAK[4]),
        ("card-root-not-canonical", "attack 04: a root with two names", WEAK[10]),
        ("card-root-not-a-point", "attack 04: a root that is no point", WEAK[9]),
    ] {
        let card = Card { root_key: unhex(weak).try_into().unwrap(), ..good.clone() };
        cases.push(bad(name, what, signed_card(&codec::encode(&card), root), "contradiction", "public key refused"));
    }
    cases
}

fn certified(forge: &Forge) -> Vec<Case> {
    let keys = &forge.keys[0];
    let own = [&keys.root, &keys.signing, &keys.transport];
    let other = &forge.keys[1];
    let good = statement(forge, 0);
    let with = |cert: &NodeCert, by: [&watchfire_crypto::SigningKey; 3]| {
        let card = Card { certificate: certificate(cert, by), ..card(forge, 0) };
        signed_card(&codec::encode(&card), &keys.root)
    };
    let weak = |at: usize| -> [u8; 32] { unhex(WEAK[at].3).try_into().unwrap() };
    let life = |not_after_ms| NodeCert { not_after_ms, ..good.clone() };
    let key = "a key is weak or not canonical";
    let cases = [
        ("card-signing-key-weak", "attack 04: a signing key of small order", NodeCert { signing_key: weak(0), ..good.clone() }, own, key),
        ("card-signing-key-second-name", "attack 04: a signing key with two names", NodeCert { signing_key: weak(10), ..good.clone() }, own, key),
        ("card-transport-key-weak", "attack 04: a transport key of small order", NodeCert { transport_key: weak(5), ..good.clone() }, own, key),
        ("card-transport-key-not-a-point", "attack 04: a transport key that is no point", NodeCert { transport_key: weak(9), ..good.clone() }, own, key),
        (
            "card-signing-key-is-transport-key",
            "one key for two purposes",
            NodeCert { signing_key: good.transport_key, ..good.clone() },
            [&keys.root, &keys.transport, &keys.transport],
            "must differ",
        ),
        (
            "card-signing-key-is-root",
            "one key for two purposes",
            NodeCert { signing_key: good.root_key, ..good.clone() },
            [&keys.root, &keys.root, &keys.transport],
            "must differ",
        ),
        ("card-certificate-of-no-life", "it ends as it begins", life(FOUNDED_MS), own, "90 days"),
        ("card-certificate-ends-first", "before it begins", life(FOUNDED_MS - 1), own, "90 days"),
        ("card-certificate-lives-too-long", "90 days and a millisecond", life(FOUNDED_MS + CERTIFICATE_LIFE_MS_MAX + 1), own, "90 days"),
        (
            "card-certificate-of-another-root",
            "it names another root",
            NodeCert { root_key: other.root.public().to_bytes(), ..good.clone() },
            own,
            "another root key",
        ),
    ];
    let mut cases: Vec<Case> = cases
        .into_iter()
        .map(|(name, what, cert, by, about)| bad(name, what, with(&cert, by), "contradiction", about))
        .collect();
    for (name, what, by) in [
        ("card-certificate-not-by-the-root", "the root did not grant it", [&other.root, &keys.signing, &keys.transport]),
        ("card-signing-key-not-agreed", "the signing key did not agree", [&keys.root, &other.signing, &keys.transport]),
        ("card-transport-key-not-agreed", "the transport key did not agree: it is another's", [&keys.root, &keys.signing, &other.transport]),
    ] {
        cases.push(bad(name, what, with(&good, by), "signature", "certificate of m-000"));
    }
    cases
}
