//! The federation that all vectors are of, and keys, certificates, cards and
//! genesis files.

use crate::file::Vector;
use watchfire_crypto::SigningKey;
use watchfire_protocol::roster::Roster;
use watchfire_tests::bytes::hex;
use watchfire_tests::forge::Forge;
use watchfire_tests::membership::{self, RENEWED_MS, Subject};

pub(crate) fn make() -> Vec<(String, Vector)> {
    let forge = Forge::default();
    let mut vectors = vec![("federation".to_owned(), federation(&forge))];
    for case in membership::cases(&forge) {
        let subject = case.subject.name();
        let mut vector = Vector::new(case.what, subject);
        if case.subject == Subject::Certificate {
            vector = vector.with("at_ms", &RENEWED_MS.to_string());
        }
        let (expect, vector) = match &case.outcome {
            Ok(id) => ("accept", vector.with("expect", "accept").with("id", id)),
            Err((rule, about)) => {
                // The rules are coarse, so each is refused for what it is about.
                let (found, why) = case.judge(&forge.roster).expect_err(case.name);
                assert!(found == *rule && why.contains(about), "{}: {found}, {why}", case.name);
                ("reject", vector.with("expect", "reject").with("rule", rule))
            }
        };
        let rest = case.name.strip_prefix(subject).unwrap_or_else(|| panic!("{} is no {subject}", case.name));
        vectors.push((format!("{subject}-{expect}{rest}"), vector.with_bytes("bytes", &case.bytes)));
    }
    vectors
}

fn federation(forge: &Forge) -> Vector {
    let mut vector = Vector::new("the federation that every other vector is of", "federation")
        .with("federation_id", &forge.roster.federation().to_string());
    for (at, keys) in forge.keys.iter().enumerate() {
        let certificate = forge.certificate(at);
        let seed = |key: &SigningKey| hex(key.expose_seed().expose());
        vector = vector
            .with("member", forge.roster.member(&certificate.member).unwrap().slug.as_str())
            .with("root_seed", &seed(&keys.root))
            .with("signing_seed", &seed(&keys.signing))
            .with("transport_seed", &seed(&keys.transport))
            .with("root_key", &keys.root.public().to_string())
            .with("signing_key", &keys.signing.public().to_string())
            .with("transport_key", &keys.transport.public().to_string())
            .with("member_id", &certificate.member.to_string())
            .with("node_id", &certificate.node.to_string())
            .with("certificate_id", &certificate.id.to_string());
    }
    vector.with_bytes("genesis", &forge.genesis.to_bytes())
}

/// Seeds, keys and ids of the file belong to the roster it founds.
pub(crate) fn judge_federation(vector: &Vector, roster: &Roster) {
    assert_eq!(vector.text("federation_id"), roster.federation().to_string());
    let columns = |name| vector.all(name);
    assert_eq!(columns("member").len(), roster.members().count());
    for (at, slug) in columns("member").into_iter().enumerate() {
        let member = roster.member_by_slug(slug).unwrap();
        let certificate = roster.certificates_of(member.id).next().unwrap();
        let key = |name| {
            let seed: [u8; 32] = crate::file::bytes_of(columns(name)[at]).try_into().unwrap();
            SigningKey::from_seed(&seed).public().to_string()
        };
        assert_eq!(columns("member_id")[at], member.id.to_string());
        assert_eq!(columns("node_id")[at], certificate.node.to_string());
        assert_eq!(columns("certificate_id")[at], certificate.id.to_string());
        assert_eq!(columns("root_key")[at], member.root_key.to_string());
        assert_eq!(columns("signing_key")[at], certificate.signing_key.to_string());
        assert_eq!(columns("transport_key")[at], hex(&certificate.transport_key));
        assert_eq!(key("root_seed"), member.root_key.to_string());
        assert_eq!(key("signing_seed"), certificate.signing_key.to_string());
        assert_eq!(key("transport_seed"), hex(&certificate.transport_key));
    }
}

pub(crate) fn judge(name: &str, vector: &Vector, roster: &Roster) {
    let subject = match vector.text("test") {
        "key" => Subject::Key,
        "card" => Subject::Card,
        "genesis" => Subject::Genesis,
        "certificate" => Subject::Certificate,
        other => panic!("{name}: {other}"),
    };
    if subject == Subject::Certificate {
        assert_eq!(vector.number("at_ms"), RENEWED_MS, "{name}");
    }
    let found = membership::judge(subject, &vector.bytes("bytes"), roster);
    match vector.text("expect") {
        "accept" => assert_eq!(found, Ok(vector.text("id").to_owned()), "{name}"),
        _ => assert_eq!(found.unwrap_err().0, vector.text("rule"), "{name}"),
    }
}
