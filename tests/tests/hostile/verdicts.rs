//! The table of verdicts in `docs/wire.md`, step by step.

use std::collections::BTreeSet;

use watchfire_protocol::gate;
use watchfire_tests::catalogue::{Case, catalogue};
use watchfire_tests::forge::Forge;
use watchfire_tests::verdict::{Verdict, verdict};

/// Checks every case of one step, and that these are its rules.
fn step(number: u8, rules: &[&str]) {
    let forge = Forge::default();
    let mut seen = BTreeSet::new();
    for Case {
        name,
        frame,
        verdict: expected,
        ..
    } in catalogue(&forge)
    {
        let Verdict::Refuse { step, rule, .. } = &expected else {
            continue;
        };
        if *step == number {
            assert_eq!(
                verdict(&gate::check(&frame, &forge.roster)),
                expected,
                "{name}"
            );
            seen.insert(rule.clone());
        }
    }
    let rules: BTreeSet<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    assert_eq!(seen, rules);
}

#[test]
fn step_01_size() {
    step(1, &["frame-too-long"]);
}

#[test]
fn step_02_version_and_kind() {
    step(2, &["frame-too-short", "frame-unknown"]);
}

#[test]
fn step_03_form() {
    step(
        3,
        &[
            "frame-malformed",
            "frame-trailing",
            "frame-not-canonical",
            "header-malformed",
            "header-trailing",
            "header-not-canonical",
        ],
    );
}

#[test]
fn attack_07_step_04_federation() {
    step(4, &["other-federation"]);
}

#[test]
fn step_05_header() {
    step(
        5,
        &[
            "header-tag-of-other-class",
            "header-sequence-and-previous",
            "header-never-expires",
            "header-sealing-fields",
            "header-chunk-count",
            "direct-in-gossip",
            "second-signature-disagrees",
        ],
    );
}

#[test]
fn attack_09_step_06_body() {
    step(6, &["body-head", "body-key-block", "body-payload"]);
}

#[test]
fn step_07_author() {
    step(7, &["author-unknown"]);
}

#[test]
fn attack_01_step_08_signature() {
    step(8, &["signature"]);
}

#[test]
fn attack_12_step_09_second_signature() {
    step(9, &["second-signature-unknown"]);
}

#[test]
fn attack_11_step_10_inner() {
    step(
        10,
        &[
            "inner-malformed",
            "inner-trailing",
            "inner-not-canonical",
            "bundle-malformed",
            "bundle-trailing",
            "bundle-not-canonical",
            "inner-kind-misplaced",
            "inner-signature",
            "inner-disagrees-federation",
            "inner-disagrees-author",
            "inner-disagrees-certificate",
            "inner-disagrees-stream",
            "inner-disagrees-expiry",
            "inner-disagrees-payload",
            "bundle-times",
            "bundle-audience",
            "bundle-not-a-set",
            "bundle-parts",
            "bundle-relay-allowed",
            "outside-certificate",
            "marking-in-clear",
        ],
    );
}

#[test]
fn what_is_as_it_should_be_comes_through() {
    let forge = Forge::default();
    let mut accepted = 0;
    for Case {
        name,
        frame,
        verdict: expected,
        ..
    } in catalogue(&forge)
    {
        if matches!(expected, Verdict::Accept { .. }) {
            let outcome = gate::check(&frame, &forge.roster);
            assert_eq!(verdict(&outcome), expected, "{name}");
            assert_eq!(outcome.unwrap().value().bytes(), frame, "{name}");
            accepted += 1;
        }
    }
    assert!(
        accepted > 20,
        "only {accepted} frames of the catalogue are good"
    );
}

#[test]
fn names_of_cases_are_unique() {
    let cases = catalogue(&Forge::default());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
}

/// One verdict, however often and in whatever company it is asked for.
#[test]
fn attack_03_a_verdict_does_not_depend_on_what_came_before() {
    let forge = Forge::default();
    let cases = catalogue(&forge);
    for case in cases.iter().rev().chain(cases.iter()) {
        assert_eq!(
            verdict(&gate::check(&case.frame, &forge.roster)),
            case.verdict,
            "{}",
            case.name
        );
    }
}

/// A bundle a thousand times, each time after a crowd drawn anew from
/// everything the catalogue has, good and bad: no verdict of anybody moves. A
/// check in batches would let a neighbour cancel a defect, or spread one.
#[test]
fn attack_03_a_thousand_times_in_random_company() {
    let forge = Forge::default();
    let cases = catalogue(&forge);
    let good = forge.sign(0, &forge.plain(0));
    let mut spoiled = good.clone();
    // A byte of the outer signature's scalar, found by the one verdict it changes.
    let at = (2..good.len())
        .find(|at| {
            let mut frame = good.clone();
            frame[*at] ^= 1;
            gate::check(&frame, &forge.roster).err() == Some(gate::Refusal::Signature)
        })
        .unwrap();
    spoiled[at] ^= 1;
    let wanted = verdict(&gate::check(&good, &forge.roster));
    assert!(matches!(wanted, Verdict::Accept { .. }));
    // Marsaglia's xorshift, from the same seed in every run.
    let mut state = 0x7761_7463_6866_6972_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap() % below
    };
    for round in 0..1_000 {
        for _ in 0..draw(4) {
            let case = &cases[draw(cases.len())];
            let found = verdict(&gate::check(&case.frame, &forge.roster));
            assert_eq!(found, case.verdict, "{} in round {round}", case.name);
        }
        let outcome = gate::check(&spoiled, &forge.roster).map(|_| ());
        assert_eq!(outcome, Err(gate::Refusal::Signature), "round {round}");
        let found = verdict(&gate::check(&good, &forge.roster));
        assert_eq!(found, wanted, "round {round}");
    }
}
