//! Which literals of a pattern are indexed, and which are named as not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::indicator::pattern_of;

fn values(pattern: &str) -> Vec<String> {
    extract(pattern)
        .unwrap()
        .values
        .iter()
        .map(|value| format!("{} {value}", value.kind()))
        .collect()
}

#[test]
fn equalities_on_known_paths_are_indexed() {
    for (pattern, expected) in [
        (
            "[domain-name:value = 'Evil.Example']",
            vec!["domain evil.example"],
        ),
        ("[ipv4-addr:value='192.0.2.1']", vec!["ipv4 192.0.2.1"]),
        (
            "[ipv4-addr:value = '192.0.2.77/24']",
            vec!["cidr 192.0.2.0/24"],
        ),
        (
            "[ipv4-addr:value ISSUBSET '192.0.2.0/24']",
            vec!["cidr 192.0.2.0/24"],
        ),
        (
            "[ipv6-addr:value = '2001:DB8::1']",
            vec!["ipv6 2001:db8::1"],
        ),
        (
            "[url:value = 'http://evil.example/a\\'b\\\\c']",
            vec!["url http://evil.example/a'b/c"],
        ),
        (
            "[email-addr:value = 'X@evil.example']",
            vec!["email x@evil.example"],
        ),
        (
            "[email-message:from_ref.value = 'x@evil.example']",
            vec!["email x@evil.example"],
        ),
        (
            "[email-message:to_refs[*].value = 'x@evil.example']",
            vec!["email x@evil.example"],
        ),
        (
            "[network-traffic:dst_ref.value = '192.0.2.1']",
            vec!["ipv4 192.0.2.1"],
        ),
        (
            "[network-traffic:dst_ref.value = 'evil.example']",
            vec!["domain evil.example"],
        ),
        (
            "[domain-name:value IN ('a.example','b.example')]",
            vec!["domain a.example", "domain b.example"],
        ),
        (
            "[file:hashes.'MD5' = 'D41D8CD98F00B204E9800998ECF8427E' OR file:hashes.md5 = 'd41d8cd98f00b204e9800998ecf8427e']",
            vec![
                "md5 d41d8cd98f00b204e9800998ecf8427e",
                "md5 d41d8cd98f00b204e9800998ecf8427e",
            ],
        ),
        (
            "([domain-name:value = 'a.example'] FOLLOWEDBY [url:value = 'http://b.example/']) WITHIN 5 SECONDS REPEATS 2 TIMES START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
            vec!["domain a.example", "url http://b.example/"],
        ),
    ] {
        assert_eq!(values(pattern), expected, "{pattern}");
    }
    for name in ["'SHA-256'", "SHA256", "'sha-256'", "sha256", "'SHA256'"] {
        let pattern = format!("[file:hashes.{name} = '{}']", "ab".repeat(32));
        assert_eq!(values(&pattern).len(), 1, "{pattern}");
    }
}

#[test]
fn the_type_beside_a_reference_is_neither_value_nor_loss() {
    let found = extract(
        "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1']",
    )
    .unwrap();
    assert_eq!(found.values.len(), 1);
    assert!(found.not_indexed.is_empty());
}

#[test]
fn the_rest_is_reported() {
    for pattern in [
        "[domain-name:value != 'a.example']",
        "[domain-name:value NOT = 'a.example']",
        "[domain-name:value NOT IN ('a.example')]",
        "[domain-name:value LIKE '%.example']",
        "[domain-name:value MATCHES '^a']",
        "[url:value = 'not a url']",
        "[ipv4-addr:value ISSUPERSET '192.0.2.0/24']",
        "[process:name = 'evil']",
        "[file:hashes.SSDEEP = '3:abc']",
        "[file:size = 7]",
        "[network-traffic:dst_port = 443]",
        "[file:hashes.MD5 = h'00']",
        "[x:y = true]",
        "EXISTS x:y",
    ] {
        let found = extract(pattern).unwrap();
        assert!(found.values.is_empty(), "{pattern}");
        assert_eq!(found.not_indexed.len(), 1, "{pattern}");
        assert_eq!(found.comparisons, 1, "{pattern}");
    }
}

#[test]
fn a_port_joins_a_single_host_only() {
    assert_eq!(
        values("[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:dst_port = 8080]"),
        ["ipv4 192.0.2.1:8080"]
    );
    assert_eq!(
        values("[network-traffic:dst_port = 8080 AND network-traffic:dst_ref.value = 'a.example']"),
        ["domain a.example:8080"]
    );
    let two = extract(
        "[network-traffic:dst_ref.value IN ('a.example','b.example') AND network-traffic:dst_port = 1]",
    )
    .unwrap();
    assert_eq!(two.values.len(), 2);
    assert_eq!(two.not_indexed.len(), 1);
    let port_first =
        extract("[network-traffic:dst_port = 1 OR network-traffic:dst_ref.value = 'a.example']")
            .unwrap();
    assert_eq!(port_first.values[0].port(), None);
    assert_eq!(port_first.not_indexed.len(), 1);
    let either =
        extract("[network-traffic:dst_ref.value = 'a.example' OR network-traffic:dst_port = 1]")
            .unwrap();
    assert_eq!(either.values[0].port(), None);
    assert_eq!(either.not_indexed.len(), 1);
}

#[test]
fn single_equalities_are_told_from_the_rest() {
    let single = |pattern| extract(pattern).unwrap().is_single_equality();
    assert!(single("[domain-name:value = 'a.example']"));
    assert!(!single("[domain-name:value NOT = 'a.example']"));
    assert!(!single("[domain-name:value IN ('a.example')]"));
    assert!(!single(
        "[domain-name:value = 'a.example' OR domain-name:value = 'b.example']"
    ));
}

#[test]
fn hostile_patterns_are_errors() {
    for pattern in [
        "",
        "[]",
        "nonsense",
        "[domain-name:value = ]",
        "[domain-name:value = 'a.example]",
        "[domain-name:value 'a.example']",
        "[domain-name:value IN 'a.example']",
        "[domain-name:value IN ('a.example'",
        "[domain-name:value IN ('a.example' 'b.example')]",
        "[domain-name: = 'a']",
        "[a:b[x] = 'a']",
        "[a:b[",
        "é",
    ] {
        assert!(
            matches!(extract(pattern), Err(PatternError::Malformed { .. })),
            "{pattern}"
        );
    }
    assert_eq!(
        extract(&" ".repeat(PATTERN_BYTES_MAX + 1)),
        Err(PatternError::TooLong)
    );
    let many = format!("[a:b IN ({}'')]", "'',".repeat(PATTERN_LITERALS_MAX));
    assert_eq!(extract(&many), Err(PatternError::TooManyLiterals));
    // Nesting costs nothing.
    let deep = format!("{}x:y = 'z'{}", "(".repeat(30_000), ")".repeat(30_000));
    assert_eq!(extract(&deep).unwrap().comparisons, 1);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = extract(&text);
    }

    #[test]
    fn pattern_shaped_text_never_panics(
        pieces in prop::collection::vec(prop_oneof![
            Just("["), Just("]"), Just("("), Just(")"), Just("url:value"), Just(" = "), Just("'"),
            Just("IN"), Just("NOT "), Just(","), Just("\\"), Just("a:b.'c'[*]"), Just("t'"), Just("7"),
            Just("network-traffic:dst_port"), Just("'x.example'"), Just(" AND "), Just("/*"), Just("//"),
        ], 0..24)
    ) {
        let _ = extract(&pieces.concat());
    }

    /// What we publish is found under the very value it was made from.
    #[test]
    fn published_patterns_read_back(raw in prop_oneof![
        "[a-z]{1,8}\\.[a-z]{1,8}\\.example(:[1-9][0-9]{0,3})?",
        "https?://[a-z]{1,8}\\.example/[ -~]{0,24}",
        "[0-9]{1,2}\\.[0-9]{1,2}\\.0\\.1(:8080|/24)?",
        "2001:db8::[0-9a-f]{1,4}(/64)?",
        "[a-z'+]{1,8}@[a-z]{1,8}\\.example",
        "[0-9a-f]{40}",
    ]) {
        if let Ok(value) = crate::indicator::detect(&raw) {
            let found = extract(&pattern_of(&value)).unwrap();
            prop_assert_eq!(found.values, vec![value]);
            prop_assert!(found.not_indexed.is_empty());
        }
    }
}
