//! A signature serves one kind of statement, one federation, one key, one id.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use watchfire_crypto::{Domain, PublicKey, Signature, Signed, SigningKey, Statement as _, check};
use watchfire_protocol::gate::{self, Refusal, envelope_id};
use watchfire_protocol::ids::{BundleId, CertificateId, EnvelopeId, MemberId, NodeId};
use watchfire_protocol::roster::{Roster, RosterError, check_card};
use watchfire_protocol::table;
use watchfire_protocol::wire::card::{Card, CertificateBytes, NodeCert};
use watchfire_protocol::wire::envelope::{Header, SignedBytes, Tag};
use watchfire_protocol::wire::exchange::StreamId;
use watchfire_protocol::wire::genesis::{Genesis, GenesisFile};
use watchfire_protocol::wire::{Kind, List, codec};
use watchfire_tests::bytes::Writer;
use watchfire_tests::forge::{CREATED_MS, FOUNDED_MS, Forge, SEED, STIX, head};
use watchfire_tests::membership::{self, Subject};
use watchfire_tests::verdict::{Verdict, verdict};

fn others(kind: Kind) -> impl Iterator<Item = Kind> {
    Kind::ALL
        .iter()
        .copied()
        .filter(move |other| *other != kind)
}

/// The domains of hashes that are signed by nobody; nor may a signature for a
/// kind be good for one of them.
const HASHES: [Domain; 3] = [
    Domain::new("member"),
    Domain::new("node"),
    Domain::new("frontier"),
];

#[test]
fn attack_06_every_ordered_pair_of_kinds() {
    assert_eq!(Kind::ALL.len(), 21);
    let key = SigningKey::from_seed(&[6; 32]);
    let public = key.public();
    let mut refused = 0;
    for signed in Kind::ALL {
        let signature = key.sign(signed.domain(), b"the same bytes");
        assert_eq!(
            check(&public, signed.domain(), b"the same bytes", &signature),
            Ok(())
        );
        for claimed in others(*signed).map(Kind::domain).chain(HASHES) {
            let holds = check(&public, claimed, b"the same bytes", &signature).is_ok();
            assert!(!holds, "{} as {}", signed.name(), claimed.kind());
            assert_ne!(
                signed.domain().digest(b"the same bytes"),
                claimed.digest(b"the same bytes")
            );
            refused += 1;
        }
    }
    assert_eq!(refused, 21 * (20 + 3));
}

#[test]
fn attack_06_headers_through_the_gate() {
    let forge = Forge::default();
    let cast = forge.plain(0);
    let header = codec::encode(&cast.header);
    let signed = |domain| cast.frame(&header, &forge.keys[0].signing.sign(domain, &header));
    assert!(gate::check(&signed(Kind::Envelope.domain()), &forge.roster).is_ok());
    for kind in others(Kind::Envelope) {
        let refusal = gate::check(&signed(kind.domain()), &forge.roster).unwrap_err();
        assert_eq!(refusal, Refusal::Signature, "{}", kind.name());
    }
}

#[test]
fn attack_06_bundles_through_the_gate() {
    let forge = Forge::default();
    let cast = forge.plain(0);
    let statement = codec::encode(&forge.plain_bundle(0));
    let signed = |domain| {
        let head = head(
            Kind::Bundle.number(),
            &statement,
            domain,
            &forge.keys[0].signing,
        );
        forge.sign(0, &cast.clone().with_head(head))
    };
    assert!(gate::check(&signed(Kind::Bundle.domain()), &forge.roster).is_ok());
    for kind in others(Kind::Bundle) {
        let refusal = gate::check(&signed(kind.domain()), &forge.roster).unwrap_err();
        assert_eq!(refusal, Refusal::InnerSignature, "{}", kind.name());
    }
}

/// The signature of the outer statement is none of the inner one, nor the
/// reverse, although one key made both.
#[test]
fn attack_06_inner_and_outer_signature_exchanged() {
    let forge = Forge::default();
    let cast = forge.plain(0);
    let header = codec::encode(&cast.header);
    let statement = codec::encode(&forge.plain_bundle(0));
    let key = &forge.keys[0].signing;
    let inner = key.sign(Kind::Bundle.domain(), &statement);
    assert_eq!(
        gate::check(&cast.frame(&header, &inner), &forge.roster).unwrap_err(),
        Refusal::Signature
    );
    let outer = key.sign(Kind::Envelope.domain(), &header);
    let head = Writer::new()
        .integer(14)
        .bytes(&statement)
        .raw(outer.as_bytes())
        .into_vec();
    let frame = forge.sign(0, &cast.with_head(head));
    assert_eq!(
        gate::check(&frame, &forge.roster).unwrap_err(),
        Refusal::InnerSignature
    );
    // A whole header as if it were a bundle: signed for an envelope.
    let head = Writer::new()
        .integer(14)
        .bytes(&header)
        .raw(outer.as_bytes())
        .into_vec();
    let frame = forge.sign(0, &forge.plain(0).with_head(head));
    assert_eq!(
        gate::check(&frame, &forge.roster).unwrap_err(),
        Refusal::InnerSignature
    );
}

/// The number on an inner statement is not signed, its domain is: relabelled,
/// a statement of another kind is no bundle.
#[test]
fn attack_06_inner_statements_relabelled() {
    let forge = Forge::default();
    let statement = codec::encode(&forge.plain_bundle(0));
    for kind in others(Kind::Bundle) {
        let head = head(
            Kind::Bundle.number(),
            &statement,
            kind.domain(),
            &forge.keys[0].signing,
        );
        let frame = forge.sign(0, &forge.plain(0).with_head(head));
        assert_eq!(
            gate::check(&frame, &forge.roster).unwrap_err(),
            Refusal::InnerSignature,
            "{}",
            kind.name()
        );
    }
    // And a bundle under another number is carried or has no place, but is
    // never opened as a bundle.
    for kind in others(Kind::Bundle) {
        let cast = forge.open_other(
            0,
            kind.number(),
            &statement,
            Kind::Bundle.domain(),
            Tag::PUBLIC,
        );
        match gate::check(&forge.sign(0, &cast), &forge.roster) {
            Ok(frame) => assert_eq!(frame.value().bundle_id(), None, "{}", kind.name()),
            Err(refusal) => assert_eq!(
                refusal,
                Refusal::InnerKind {
                    kind: kind.number()
                }
            ),
        }
    }
}

#[test]
fn attack_06_cards_certificates_and_genesis() {
    let forge = Forge::default();
    let keys = &forge.keys[0];
    let card = codec::encode(&membership::card(&forge, 0));
    let signed_card = |domain: Domain| {
        let signed = Signed::<Card>::new(card.clone(), keys.root.sign(domain, &card));
        check_card(&SignedBytes::<4_096>::new(signed).unwrap()).map(|_| ())
    };
    assert_eq!(signed_card(Card::DOMAIN), Ok(()));
    for kind in others(Kind::Card) {
        let refusal = signed_card(kind.domain()).unwrap_err();
        assert!(
            matches!(refusal, RosterError::Signature { .. }),
            "{}: {refusal}",
            kind.name()
        );
    }

    let cert = codec::encode(&membership::statement(&forge, 0));
    let certificate = |domains: [Domain; 3]| {
        let [root, signing, transport] = domains;
        let by = |key: &SigningKey, domain| key.sign(domain, &cert).to_bytes();
        let bytes = Writer::new()
            .bytes(&cert)
            .raw(&by(&keys.root, root))
            .raw(&by(&keys.signing, signing))
            .raw(&by(&keys.transport, transport))
            .into_vec();
        codec::decode::<CertificateBytes>(&bytes, 4_096)
            .unwrap()
            .verify(&keys.root.public())
            .is_ok()
    };
    let own = NodeCert::DOMAIN;
    assert!(certificate([own; 3]));
    for other in others(Kind::NodeCert).map(Kind::domain).chain(HASHES) {
        for at in 0..3 {
            let mut domains = [own; 3];
            domains[at] = other;
            assert!(!certificate(domains), "signature {at} of {}", other.kind());
        }
    }

    let genesis = |domain: Domain| {
        let statement = forge.genesis.genesis.as_slice();
        let signatures = (0..)
            .zip(&forge.keys)
            .map(|(index, keys)| (index, keys.root.sign(domain, statement).to_bytes()));
        let file = GenesisFile {
            signatures: List::new(signatures.collect()).unwrap(),
            ..forge.genesis.clone()
        };
        Roster::found(&file).is_ok()
    };
    assert!(genesis(Genesis::DOMAIN));
    for kind in others(Kind::Genesis) {
        assert!(!genesis(kind.domain()), "{}", kind.name());
    }
}

#[test]
fn attack_01_random_signatures_are_refused() {
    let forge = Forge::default();
    let cast = forge.plain(0);
    let header = codec::encode(&cast.header);
    for seed in 0..64_u8 {
        let mut random = [0; 64];
        random[..32].copy_from_slice(&Domain::new("noise").digest(&[seed]));
        random[32..].copy_from_slice(&Domain::new("noise").digest(&[seed, 1]));
        // Every second one has a scalar in range.
        random[63] &= if seed % 2 == 0 { 0x0f } else { 0xff };
        let frame = cast.frame(&header, &Signature::from_bytes(random));
        assert_eq!(
            gate::check(&frame, &forge.roster).unwrap_err(),
            Refusal::Signature
        );
    }
}

/// Weak keys in cards, certificates and genesis files; the cases are those of
/// the vectors.
#[test]
fn attack_04_weak_key_refused() {
    let forge = Forge::default();
    let mut judged = 0;
    for case in membership::cases(&forge) {
        let weak = case.what.starts_with("attack 04") || case.subject == Subject::Key;
        if let (true, Err((rule, about))) = (weak, &case.outcome) {
            let (found, why) = case.judge(&forge.roster).expect_err(case.name);
            assert!(
                found == *rule && why.contains(about),
                "{}: {found}, {why}",
                case.name
            );
            judged += 1;
        }
    }
    assert!(judged >= 16, "only {judged} weak keys");
}

/// A genesis whose second member has a root of small order: the signature
/// (R = neutral, S = 0) fits every statement of a lenient check.
#[test]
fn attack_04_weak_root_founds_nothing() {
    let forge = Forge::default();
    let mut weak = [0; 32];
    weak[0] = 1;
    let mut fits_all = [0; 64];
    fits_all[0] = 1;
    let card = Card {
        root_key: weak,
        ..membership::card(&forge, 1)
    };
    let statement = codec::encode(&card);
    let forged = Signed::<Card>::new(statement, Signature::from_bytes(fits_all));
    let refusal = check_card(&SignedBytes::<4_096>::new(forged).unwrap()).unwrap_err();
    assert!(refusal.to_string().contains("weak"), "{refusal}");
    assert!(PublicKey::enrol(&weak).is_err());
}

#[test]
fn attack_07_an_envelope_of_one_federation_in_another() {
    let here = Forge::default();
    // The same members with the same roots and the same node keys.
    let there = Forge::founded(&SEED, FOUNDED_MS + 1);
    assert_ne!(here.roster.federation(), there.roster.federation());
    let of_first = |forge: &Forge| forge.certificate(0).member;
    assert_eq!(of_first(&here), of_first(&there));
    let frame = here.sign(0, &here.plain(0));
    assert!(gate::check(&frame, &here.roster).is_ok());
    assert_eq!(
        gate::check(&frame, &there.roster).unwrap_err(),
        Refusal::OtherFederation
    );

    // The header made anew for the other federation by the same node; what is
    // inside was signed for the first one.
    let mut cast = there.plain(0);
    cast = cast.with_head(here.plain(0).head);
    let refusal = gate::check(&there.sign(0, &cast), &there.roster).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::InnerDisagrees {
            field: "the federation"
        }
    );
}

/// The gate remembers nothing, so a spoiled first delivery cannot keep the
/// good copy out, and a good one makes no spoiled one good.
#[test]
fn attack_08_bad_signature_first() {
    let forge = Forge::default();
    let cast = forge.plain(0);
    let good = forge.sign(0, &cast);
    let header = codec::encode(&cast.header);
    let mut signature = forge.keys[0]
        .signing
        .sign(Header::DOMAIN, &header)
        .to_bytes();
    signature[7] ^= 0x10;
    let spoiled = cast.frame(&header, &Signature::from_bytes(signature));
    for _ in 0..3 {
        assert_eq!(
            gate::check(&spoiled, &forge.roster).unwrap_err(),
            Refusal::Signature
        );
        assert!(gate::check(&good, &forge.roster).is_ok());
    }
    // They differ as gossip messages, though not in their envelope id.
    assert_ne!(
        watchfire_crypto::sha256(&spoiled),
        watchfire_crypto::sha256(&good)
    );
}

#[test]
fn attack_09_the_id_of_a_stored_envelope_over_other_content() {
    let forge = Forge::default();
    let stored = forge.sign(0, &forge.plain(0));
    let id = envelope_id(&gate::check(&stored, &forge.roster).unwrap());
    // Header and signature are those of the stored one, and so is the id.
    let (cast, other) = (forge.plain(0), STIX.replace("c2.watch", "c3.watch"));
    let mut with_payload = cast.clone();
    with_payload.payload = Some(other.clone().into_bytes());
    let mut with_head = cast.clone();
    with_head.head = forge
        .open_bundle(0, &forge.plain_bundle(0), other.as_bytes())
        .head;
    with_head.head[200] ^= 1;
    for (part, changed) in [("payload", with_payload), ("head", with_head)] {
        let header = codec::encode(&changed.header);
        assert_eq!(EnvelopeId::from_bytes(Header::DOMAIN.digest(&header)), id);
        assert_eq!(
            gate::check(&forge.sign(0, &changed), &forge.roster).unwrap_err(),
            Refusal::Body { part }
        );
    }
    // Another content honestly bound has another id.
    let bundle = watchfire_protocol::wire::bundle::Bundle {
        created_ms: CREATED_MS + 1,
        ..forge.plain_bundle(0)
    };
    let frame = forge.sign(0, &forge.open_bundle(0, &bundle, STIX.as_bytes()));
    assert_ne!(
        envelope_id(&gate::check(&frame, &forge.roster).unwrap()),
        id
    );
}

#[test]
fn attack_10_ids_count_in_full_length() {
    let forge = Forge::default();
    let near = |bytes: &[u8; 32], from: usize| {
        let mut near = *bytes;
        near[from..].iter_mut().for_each(|byte| *byte ^= 0xff);
        near
    };
    for from in [1, 8, 16, 31] {
        let mut cast = forge.plain(0);
        let certificate = near(cast.header.prefix.certificate.as_bytes(), from);
        cast.header.prefix.certificate = CertificateId::from_bytes(certificate);
        assert_eq!(
            gate::check(&forge.sign(0, &cast), &forge.roster).unwrap_err(),
            Refusal::UnknownAuthor
        );
        let mut cast = forge.plain(0);
        cast.header.prefix.author =
            MemberId::from_bytes(near(cast.header.prefix.author.as_bytes(), from));
        assert_eq!(
            gate::check(&forge.sign(0, &cast), &forge.roster).unwrap_err(),
            Refusal::UnknownAuthor
        );
        let member = near(forge.certificate(0).member.as_bytes(), from);
        assert!(forge.roster.member(&MemberId::from_bytes(member)).is_none());
        let node = near(forge.certificate(0).node.as_bytes(), from);
        assert!(forge.roster.node(&NodeId::from_bytes(node)).is_none());

        // Nor do two ids that begin alike meet in a key of the store.
        let (one, two) = ([0x11; 32], near(&[0x11; 32], from));
        let envelopes = [one, two].map(EnvelopeId::from_bytes);
        let bundles = [one, two].map(BundleId::from_bytes);
        let streams = [one, two].map(|node| StreamId {
            node: NodeId::from_bytes(node),
            incarnation: 1,
            tag: Tag::PUBLIC,
        });
        let holds = |key: &[u8], id: &[u8; 32]| key.windows(32).any(|window| window == id);
        for (at, id) in [one, two].iter().enumerate() {
            assert!(holds(&table::envelope(&envelopes[at]), id));
            assert!(holds(&table::chunk(&envelopes[at], 0), id));
            assert!(holds(&table::bundle(&bundles[at]), id));
            assert!(holds(&table::sequence(&streams[at], 1), id));
            assert!(holds(&table::stream(&streams[at]), id));
            assert!(holds(
                &table::certificate(&CertificateId::from_bytes(*id)),
                id
            ));
        }
    }
}

/// What a verdict is about does not depend on who asks: two nodes that have
/// only the genesis in common agree.
#[test]
fn two_nodes_come_to_one_verdict() {
    let (one, other) = (
        Forge::default(),
        Roster::found(&Forge::default().genesis).unwrap(),
    );
    for case in watchfire_tests::catalogue::catalogue(&one) {
        let found: Verdict = verdict(&gate::check(&case.frame, &other));
        assert_eq!(found, case.verdict, "{}", case.name);
    }
}
