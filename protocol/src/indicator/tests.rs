//! Values in every disguise, their keys and their ids.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::ids::MemberId;
use crate::marking::Marking;
use crate::stix::document::Document;
use crate::stix::markings::{effective, survey};
use crate::stix::time::Timestamp;

fn read(raw: &str) -> String {
    match detect(raw) {
        Ok(value) => format!("{} {value}", value.kind()),
        Err(error) => format!("refused: {error}"),
    }
}

#[test]
fn values_are_recognised_and_normalised() {
    for (raw, expected) in [
        ("Evil.Example", "domain evil.example"),
        ("evil.example.", "domain evil.example"),
        ("bücher.example", "domain xn--bcher-kva.example"),
        ("evil。example", "domain evil.example"),
        ("a_b.evil.example", "domain a_b.evil.example"),
        ("evil.example:8080", "domain evil.example:8080"),
        ("192.0.2.1", "ipv4 192.0.2.1"),
        ("192.0.2.1:443", "ipv4 192.0.2.1:443"),
        ("192.0.2.77/24", "cidr 192.0.2.0/24"),
        ("192.0.2.77/32", "ipv4 192.0.2.77"),
        ("2001:DB8:0:0::1", "ipv6 2001:db8::1"),
        ("[2001:db8::1]", "ipv6 2001:db8::1"),
        ("[2001:db8::1]:8443", "ipv6 [2001:db8::1]:8443"),
        ("2001:db8::1/32", "cidr 2001:db8::/32"),
        ("::ffff:192.0.2.1", "ipv4 192.0.2.1"),
        ("http://Evil.Example", "url http://evil.example/"),
        ("http://evil.example:80/A#b", "url http://evil.example/A#b"),
        ("http://evil.example./", "url http://evil.example/"),
        (
            "http://user:pw@evil.example/",
            "url http://user:pw@evil.example/",
        ),
        ("http://192.0.2.1:8080/x", "url http://192.0.2.1:8080/x"),
        ("http://0xc0000201/", "url http://192.0.2.1/"),
        ("http://[2001:DB8::1]/x", "url http://[2001:db8::1]/x"),
        ("evil.example/gate.php", "url http://evil.example/gate.php"),
        (
            "evil.example:8080/gate",
            "url http://evil.example:8080/gate",
        ),
        ("192.0.2.1/gate.php", "url http://192.0.2.1/gate.php"),
        ("Someone@Evil.Example", "email someone@evil.example"),
        (
            "D41D8CD98F00B204E9800998ECF8427E",
            "md5 d41d8cd98f00b204e9800998ecf8427e",
        ),
        (
            "SHA1: da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
        ),
    ] {
        assert_eq!(read(raw), expected, "{raw}");
    }
}

#[test]
fn defanged_values_are_understood() {
    for (raw, expected) in [
        ("hxxp://evil[.]example/a", "url http://evil.example/a"),
        ("hXXps[:]//evil(.)example", "url https://evil.example/"),
        ("hxxps[://]evil{.}example", "url https://evil.example/"),
        (
            "https[:]//evil[.]example/x[.]txt",
            "url https://evil.example/x.txt",
        ),
        ("evil[dot]example", "domain evil.example"),
        ("evil(DOT)example", "domain evil.example"),
        ("evil\\.example", "domain evil.example"),
        ("evil[.example", "domain evil.example"),
        ("192.0.2[.]1", "ipv4 192.0.2.1"),
        ("192[.]0[.]2[.]1[:]8080", "ipv4 192.0.2.1:8080"),
        ("2001[:]db8[:][:]1", "ipv6 2001:db8::1"),
        ("x[@]evil[.]example", "email x@evil.example"),
        ("x[at]evil[dot]example", "email x@evil.example"),
        ("evil[.]example\u{200e} ", "domain evil.example"),
        ("\u{feff}ev\u{200b}il.example,", "domain evil.example"),
        ("\"evil[.]example\"", "domain evil.example"),
        ("(evil[.]example).", "domain evil.example"),
        (
            "<hxxp://evil[.]example/a(b)>",
            "url http://evil.example/a(b)",
        ),
        ("fxp://evil[.]example/x", "url ftp://evil.example/x"),
    ] {
        assert_eq!(read(raw), expected, "{raw}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    for raw in [
        "",
        " ",
        "\u{200b}",
        "...",
        "evil",
        "evil..example",
        "-evil.example",
        "evil-.example",
        "evil.example:0",
        "evil.example:65536",
        "evil.example:http",
        "1.2.3",
        "1.2.3.4.5",
        "192.0.2.256",
        "192.0.2.1:",
        "01.02.03.04",
        "192.0.2.1/33",
        "2001:db8::1/129",
        "[evil]:80",
        "/gate.php",
        "javascript://evil",
        "file:///etc/passwd",
        "http://",
        "http://evil/",
        "http://*.example/",
        "*.evil.example",
        "evil example",
        "a\nb.example",
        "@evil.example",
        "x@",
        "x@evil",
        "a b@evil.example",
        "d41d8cd98f00b204e9800998ecf8427",
        "xn--.example",
        "evil.example:80:80",
        "fe80::1%eth0",
        "evil.123",
        "a@b@evil.example",
    ] {
        assert!(detect(raw).is_err(), "{raw:?} gave {}", read(raw));
    }
    let long_label = format!("{}.example", "a".repeat(64));
    let long_name = format!("{}example", "abcdefg.".repeat(31));
    let long_url = format!("http://evil.example/{}", "a".repeat(4096));
    let long_email = format!("{}@evil.example", "a".repeat(400));
    for raw in [
        long_label,
        long_name,
        long_url,
        long_email,
        "x".repeat(1 << 20),
    ] {
        assert!(detect(&raw).is_err());
    }
}

#[test]
fn kinds_are_held_to() {
    assert!(normalise(Kind::Domain, "192.0.2.1").is_err());
    assert!(normalise(Kind::Ipv4, "evil.example").is_err());
    assert!(normalise(Kind::Ipv4, "2001:db8::1").is_err());
    assert!(normalise(Kind::Ipv6, "192.0.2.1").is_err());
    assert!(normalise(Kind::Md5, &"a".repeat(40)).is_err());
    assert!(normalise(Kind::Url, "x@evil.example y").is_err());
    let mapped = normalise(Kind::Ipv6, "::ffff:192.0.2.1").unwrap();
    assert_eq!(mapped.kind(), Kind::Ipv4);
    let bare = normalise(Kind::Url, "evil.example").unwrap();
    assert_eq!(bare.text(), "http://evil.example/");
}

#[test]
fn private_values_are_known() {
    for raw in [
        "10.0.0.5",
        "127.0.0.1",
        "192.168.1.1:80",
        "172.16.9.9",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "10.0.0.0/24",
        "0.0.0.0/0",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "http://10.0.0.5/x",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.5]/",
        "printer.local",
        "x@mail.internal",
    ] {
        assert!(detect(raw).unwrap().is_private(), "{raw}");
    }
    for raw in [
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.9",
        "2001:db8::1",
        "evil.example",
        "192.0.2.0/24",
        "http://198.51.100.1/",
        "x@evil.example",
        "172.32.0.1",
    ] {
        assert!(!detect(raw).unwrap().is_private(), "{raw}");
    }
}

#[test]
fn suffixes_are_known_or_not() {
    for (raw, known) in [
        ("evil.example", true),
        ("evil.co.uk", true),
        ("file.exe", false),
        ("autoit3.dll", false),
        ("http://a.example/", true),
        ("192.0.2.1", false),
    ] {
        assert_eq!(detect(raw).unwrap().has_known_suffix(), known, "{raw}");
    }
}

#[test]
fn defanging_reads_back() {
    for (raw, shown) in [
        ("http://evil.example/a.b", "hxxp://evil[.]example/a.b"),
        (
            "https://u@evil.example:8080/",
            "hxxps://u@evil[.]example:8080/",
        ),
        ("wss://evil.example/", "wss[:]//evil[.]example/"),
        ("evil.example:8080", "evil[.]example:8080"),
        ("192.0.2.1", "192[.]0[.]2[.]1"),
        ("2001:db8::1", "2001[:]db8[:][:]1"),
        ("[2001:db8::1]:80", "[2001[:]db8[:][:]1]:80"),
        ("192.0.2.0/24", "192[.]0[.]2[.]0/24"),
        ("x@evil.example", "x[@]evil[.]example"),
    ] {
        let value = detect(raw).unwrap();
        assert_eq!(value.defanged(), shown);
        assert_eq!(detect(shown).unwrap(), value);
    }
}

#[test]
fn keys_make_searches_prefix_scans() {
    let key = |raw: &str| detect(raw).unwrap().index_key();
    let prefix = detect("evil.example").unwrap().subdomain_prefix().unwrap();
    for inside in ["evil.example", "a.evil.example", "b.a.evil.example:80"] {
        assert!(key(inside).starts_with(&prefix), "{inside}");
    }
    for outside in [
        "xevil.example",
        "evil.examples",
        "example.evil.test",
        "evilx.example",
    ] {
        assert!(!key(outside).starts_with(&prefix), "{outside}");
    }
    let searched = |raw: &str| detect(raw).unwrap().search_prefixes();
    let finds = |searched: &[Vec<u8>], filed: &str| {
        let keys = detect(filed).unwrap().index_keys();
        keys.iter()
            .any(|key| searched.iter().any(|prefix| key.starts_with(prefix)))
    };
    for (wanted, found, not_found) in [
        (
            "192.0.2.1",
            ["192.0.2.1", "192.0.2.1:80", "http://192.0.2.1:1/"],
            ["192.0.2.17", "http://192.0.2.17/", "192.0.2.0/24"],
        ),
        (
            "192.0.2.1:80",
            ["192.0.2.1:80", "http://192.0.2.1:1/", "https://192.0.2.1/x"],
            ["192.0.2.1", "192.0.2.1:8", "http://192.0.2.17:80/"],
        ),
        (
            "2001:db8::1",
            ["2001:db8::1", "[2001:db8::1]:80", "http://[2001:db8::1]:1/"],
            ["2001:db8::11", "http://[2001:db8::11]/", "2001:db8::/32"],
        ),
        (
            "evil.example",
            ["evil.example:80", "http://evil.example/x", "x@evil.example"],
            [
                "a.evil.example",
                "http://a.evil.example/",
                "x@a.evil.example",
            ],
        ),
        (
            "evil.example:80",
            ["evil.example:80", "http://evil.example/x", "x@evil.example"],
            ["evil.example", "evil.example:81", "a.evil.example:80"],
        ),
    ] {
        let prefixes = searched(wanted);
        for filed in found {
            assert!(finds(&prefixes, filed), "{wanted} finds {filed}");
        }
        for filed in not_found {
            assert!(!finds(&prefixes, filed), "{wanted} does not find {filed}");
        }
    }
    assert_eq!(searched("evil.example").len(), 1, "one place to read");
    for below in [
        "http://evil.example/x",
        "https://u:p@a.evil.example:8080/x",
        "x@evil.example",
        "x@a.evil.example",
    ] {
        assert!(finds(core::slice::from_ref(&prefix), below), "{below}");
    }
    assert!(!finds(core::slice::from_ref(&prefix), "x@xevil.example"));
}

#[test]
fn published_objects_are_stix_and_stay_themselves() {
    let author = MemberId::from_bytes([7; 32]);
    let other = MemberId::from_bytes([8; 32]);
    let created = Timestamp::from_unix_ms(1_795_399_200_000);
    let labels = vec!["a \"quote\"\n\u{1}".to_owned()];
    let value = detect("http://evil.example/it's\\x").unwrap();
    let draft = Draft {
        author: &author,
        marking: Marking::AmberStrict,
        created,
        modified: created,
        valid_from: created,
        labels: &labels,
        name: None,
        description: Some("seen in a test"),
        reference: Some("https://report.example/1"),
    };
    let objects = [
        crate::stix::markings::definition::tlp2_definition(draft.marking),
        identity_to_stix(&author, "Agency \\ \"A\"", created, draft.marking),
        to_stix(&value, &draft),
    ];
    let text = format!("[{}]", objects.join(","));
    let document = Document::read(text.as_bytes()).unwrap();
    assert_eq!(document.refused().count(), 0);
    assert_eq!(effective(&document, None), Ok(Marking::AmberStrict));
    let entries = document.entries(&survey(&document)).unwrap();
    let mut keys = value.index_keys();
    keys.sort();
    assert_eq!(entries[2].keys, keys);
    assert_eq!(entries[2].id, indicator_id(&author, &value));
    assert_ne!(indicator_id(&author, &value), indicator_id(&other, &value));
    let indicator = document.accepted().nth(2).unwrap();
    let json = document.json_of(indicator).unwrap();
    assert_eq!(
        json.text("created_by_ref"),
        Some(identity_id(&author).as_str())
    );
    assert_eq!(
        json.get("labels").unwrap().as_array().unwrap()[0].as_text(),
        Some(labels[0].as_str())
    );
    // Ids are part of what others store: they may never change.
    assert_eq!(
        indicator_id(&author, &detect("evil.example").unwrap()),
        "indicator--7d19b403-d5df-5e9a-8ee9-a4a583c80084"
    );
}

#[test]
fn a_parser_that_makes_new_marks_does_not_unsettle_a_value() {
    // The URL parser turns the backslash into a slash, and `[/]` is a mark.
    let value = detect("http://a.example/[\\]x").unwrap();
    assert_eq!(value.text(), "http://a.example//x");
    assert_eq!(detect(value.text()).unwrap(), value);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_and_normalising_is_idempotent(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn value_shaped_text_is_idempotent(
        text in r"(hxxps?|https?|ftp)?(\[:\]|:)?(//)?[a-zA-Z0-9_\[\](){}.@é-]{1,16}(\[\.\]|\.)[a-z]{2,4}(:[0-9]{1,5})?([/?#\\][ -~]{0,20})?"
    ) {
        check(&text)?;
    }

    #[test]
    fn nested_defanging_is_idempotent(
        pieces in prop::collection::vec(prop_oneof![
            Just("["), Just("]"), Just("."), Just("[.]"), Just("("), Just(")"), Just("dot"), Just("\\"),
            Just("http://"), Just("hxxp"), Just("a.example"), Just("/"), Just("@"), Just(":"), Just("%2e"),
            Just("<"), Just(">"), Just("'"), Just("at"), Just("?"), Just("#"), Just("1"), Just("{"), Just("}"),
        ], 1..16)
    ) {
        check(&pieces.concat())?;
    }

    #[test]
    fn keys_are_injective_and_prefix_free(left in any_value(), right in any_value()) {
        let (left_key, right_key) = (left.index_key(), right.index_key());
        prop_assert_eq!(left == right, left_key == right_key);
        if left != right {
            prop_assert!(!left_key.starts_with(&right_key));
        }
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    if let Ok(value) = detect(text) {
        let again = detect(&value.to_string());
        prop_assert_eq!(again.as_ref(), Ok(&value), "{:?}", text);
        let shown = value.defanged();
        let again = detect(&shown);
        prop_assert_eq!(again.as_ref(), Ok(&value), "{:?}", shown);
        let _ = (value.is_private(), value.has_known_suffix());
    }
    for kind in Kind::ALL {
        if let Ok(value) = normalise(kind, text) {
            let again = normalise(value.kind(), &value.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&value), "{} {:?}", kind, text);
        }
    }
    Ok(())
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[ab]{1,2}(\\.[ab]{1,2}){0,2}\\.(ab|example)(:[12])?",
        "[12]\\.0\\.0\\.[0-2](:[12]|/8|/16)?",
        "::[1-3](/64|/32)?",
        "http://[ab]\\.ab/[ab]{0,2}",
        "[ab]@[ab]\\.ab",
        "[ab]{32}|[ab]{40}",
    ]
    .prop_filter_map("no value", |raw| detect(&raw).ok())
}
