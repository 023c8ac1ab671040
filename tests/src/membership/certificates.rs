//! Further certificates of a member's node, as they are offered at the door.

use super::{Case, RENEWED_MS, Subject, certificate, id_of, statement};
use crate::forge::{Forge, SEED};
use watchfire_crypto::SigningKey;
use watchfire_protocol::founding::Keys;
use watchfire_protocol::limits::CERTIFICATE_LIFE_MS_MAX;
use watchfire_protocol::wire::card::{NodeCert, Role};
use watchfire_protocol::wire::codec;

pub(super) fn cases(forge: &Forge) -> Vec<Case> {
    let keys = &forge.keys[0];
    let other = &forge.keys[1];
    let stranger = Keys::derived(&SEED, 99);
    let renewal = NodeCert {
        signing_key: stranger.signing.public().to_bytes(),
        serial: 2,
        not_before_ms: RENEWED_MS - 3_600_000,
        not_after_ms: RENEWED_MS + 30 * 24 * 3_600_000,
        ..statement(forge, 0)
    };
    let second_node = NodeCert {
        transport_key: stranger.transport.public().to_bytes(),
        ..renewal.clone()
    };
    let by: [&SigningKey; 3] = [&keys.root, &stranger.signing, &keys.transport];
    let make = |cert: &NodeCert, by| codec::encode(&certificate(cert, by));
    let good = |name, what, cert: &NodeCert, by| Case {
        name,
        what,
        subject: Subject::Certificate,
        bytes: make(cert, by),
        outcome: Ok(id_of::<NodeCert>(&codec::encode(cert))),
    };
    let bad = |name, what, bytes, rule, about| Case {
        name,
        what,
        subject: Subject::Certificate,
        bytes,
        outcome: Err((rule, about)),
    };
    let cert = |change: fn(&mut NodeCert)| {
        let mut cert = renewal.clone();
        change(&mut cert);
        make(&cert, by)
    };
    let trailing = [make(&renewal, by), vec![0]].concat();
    let of_stranger = NodeCert {
        root_key: stranger.root.public().to_bytes(),
        ..second_node.clone()
    };
    let others_signing = NodeCert {
        signing_key: other.signing.public().to_bytes(),
        ..renewal.clone()
    };
    let others_transport = NodeCert {
        transport_key: other.transport.public().to_bytes(),
        ..renewal.clone()
    };
    let in_use = "in use by another node";
    vec![
        good(
            "certificate-renewal",
            "a new signing key for the same node",
            &renewal,
            by,
        ),
        good(
            "certificate-next-incarnation",
            "the node was restored",
            &NodeCert {
                incarnation: 2,
                ..renewal.clone()
            },
            by,
        ),
        good(
            "certificate-second-node",
            "a second node of the member",
            &second_node,
            [&keys.root, &stranger.signing, &stranger.transport],
        ),
        bad(
            "certificate-trailing-byte",
            "a byte follows it",
            trailing,
            "malformed",
            "follow",
        ),
        bad(
            "certificate-of-a-stranger",
            "its root is in no roster",
            make(
                &of_stranger,
                [&stranger.root, &stranger.signing, &stranger.transport],
            ),
            "not-a-member",
            "no member",
        ),
        bad(
            "certificate-by-another-member",
            "another member's root signed it",
            make(&renewal, [&other.root, &stranger.signing, &keys.transport]),
            "signature",
            "signature",
        ),
        bad(
            "certificate-of-anothers-signing-key",
            "that key did not agree",
            make(&others_signing, by),
            "signature",
            "signature",
        ),
        bad(
            "certificate-of-anothers-agreeing-signing-key",
            "one key of two nodes",
            make(
                &others_signing,
                [&keys.root, &other.signing, &keys.transport],
            ),
            "contradiction",
            in_use,
        ),
        bad(
            "certificate-of-anothers-transport-key",
            "that key did not agree",
            make(&others_transport, by),
            "signature",
            "signature",
        ),
        bad(
            "certificate-of-anothers-agreeing-transport-key",
            "one node of two members",
            make(
                &others_transport,
                [&keys.root, &stranger.signing, &other.transport],
            ),
            "contradiction",
            in_use,
        ),
        bad(
            "certificate-same-serial",
            "no higher than the one held",
            cert(|cert| cert.serial = 1),
            "superseded",
            "newer is held",
        ),
        bad(
            "certificate-lower-incarnation",
            "back to an earlier life",
            cert(|cert| cert.incarnation = 0),
            "superseded",
            "newer is held",
        ),
        bad(
            "certificate-of-another-role",
            "an agency as a hub",
            cert(|cert| cert.role = Role::Hub),
            "contradiction",
            "role",
        ),
        bad(
            "certificate-ended",
            "an hour ago",
            cert(|cert| cert.not_after_ms = RENEWED_MS - 1),
            "contradiction",
            "not valid now",
        ),
        bad(
            "certificate-not-begun",
            "it begins in an hour",
            cert(|cert| {
                cert.not_before_ms = RENEWED_MS + 1;
            }),
            "contradiction",
            "not valid now",
        ),
        bad(
            "certificate-lives-too-long",
            "90 days and a millisecond",
            cert(|cert| {
                cert.not_after_ms = cert.not_before_ms + CERTIFICATE_LIFE_MS_MAX + 1;
            }),
            "contradiction",
            "90 days",
        ),
        bad(
            "certificate-signing-key-weak",
            "attack 04: of small order",
            cert(|cert| {
                cert.signing_key = [0; 32];
            }),
            "contradiction",
            "weak",
        ),
        bad(
            "certificate-transport-key-weak",
            "attack 04: of small order",
            cert(|cert| {
                cert.transport_key = [0; 32];
            }),
            "contradiction",
            "weak",
        ),
    ]
}
