//! Payloads, and what opening the bundle around each comes to.

use crate::file::{Vector, bytes_of};
use watchfire_crypto::sha256;
use watchfire_protocol::gate;
use watchfire_protocol::opening::open;
use watchfire_protocol::wire::List;
use watchfire_protocol::wire::bundle::{Encoding, Media, Part};
use watchfire_tests::bytes::hex;
use watchfire_tests::forge::{Forge, STIX, stored_stix};
use watchfire_tests::verdict::open_rule;
use watchfire_tests::zstd::{self, Block, Head, WINDOW_8_MIB};

const MEDIA: [(&str, Media); 4] =
    [("stix", Media::Stix), ("misp", Media::Misp), ("csv", Media::Csv), ("text", Media::Text)];

/// What the author signs about a payload.
struct Case {
    name: &'static str,
    what: &'static str,
    zstd: bool,
    parts: Vec<(&'static str, u64, [u8; 32])>,
    payload: Vec<u8>,
    outcome: Result<u64, &'static str>,
}

fn stix(bytes: &[u8]) -> (&'static str, u64, [u8; 32]) {
    ("stix", bytes.len() as u64, sha256(bytes))
}

/// A payload of STIX as it is, refused for what it says.
fn says(name: &'static str, what: &'static str, rule: &'static str, payload: &[u8]) -> Case {
    Case { name, what, zstd: false, parts: vec![stix(payload)], payload: payload.to_vec(), outcome: Err(rule) }
}

/// A zstd payload that ought to be [`STIX`].
fn decodes(name: &'static str, what: &'static str, rule: &'static str, payload: Vec<u8>) -> Case {
    Case { name, what, zstd: true, parts: vec![stix(STIX.as_bytes())], payload, outcome: Err(rule) }
}

fn cases() -> Vec<Case> {
    let mut cases = good();
    cases.extend(encodings());
    cases.extend(contents());
    cases
}

fn good() -> Vec<Case> {
    let csv = b"domain,c2.watch.example\n".as_slice();
    let case = |name, what, zstd, parts, payload| Case { name, what, zstd, parts, payload, outcome: Ok(1) };
    vec![
        case("as-is", "one indicator", false, vec![stix(STIX.as_bytes())], STIX.into()),
        case("zstd", "the same in a zstd frame", true, vec![stix(STIX.as_bytes())], stored_stix()),
        case(
            "two-parts",
            "and the original it was made from",
            false,
            vec![stix(STIX.as_bytes()), ("csv", csv.len() as u64, sha256(csv))],
            [STIX.as_bytes(), csv].concat(),
        ),
    ]
}

fn encodings() -> Vec<Case> {
    let stored = stored_stix();
    let raw = [Block::Raw(STIX.as_bytes().to_vec())];
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let window = |window| zstd::frame(Head { window: Some(window), ..Head::default() }, &raw);
    let dictionary = Head { window: Some(WINDOW_8_MIB), dictionary: Some(7), content_bytes: None };
    let longer = format!("{STIX} ");
    let mut bomb = decodes("zstd-bomb", "16 MiB announced as 1 KiB", "encoding", zstd::bomb(128));
    bomb.parts[0].1 = 1_024;
    let as_is = |name, what, payload: &[u8]| Case {
        zstd: false,
        ..decodes(name, what, "digest", payload.to_vec())
    };
    vec![
        bomb,
        decodes("zstd-trailing-byte", "a byte follows the frame", "encoding", [stored.as_slice(), &[0]].concat()),
        decodes("zstd-second-frame", "a frame follows the frame", "encoding", [stored.clone(), stored.clone()].concat()),
        decodes("zstd-skippable-behind", "a skippable frame follows", "encoding", [stored.as_slice(), &skippable].concat()),
        decodes("zstd-skippable-before", "a skippable frame comes first", "encoding", [&skippable, stored.as_slice()].concat()),
        decodes("zstd-cut", "its last byte is missing", "encoding", stored[..stored.len() - 1].to_vec()),
        decodes("zstd-window-of-9-mib", "8 MiB is the largest", "encoding", window(WINDOW_8_MIB + 1)),
        decodes("zstd-window-of-3-tib", "the largest there is", "encoding", window(0xff)),
        decodes("zstd-dictionary", "it needs a dictionary", "encoding", zstd::frame(dictionary, &raw)),
        decodes("zstd-longer", "a byte more than was signed", "encoding", zstd::stored(longer.as_bytes())),
        decodes("zstd-shorter", "a byte less than was signed", "encoding", zstd::stored(&STIX.as_bytes()[1..])),
        decodes("zstd-that-is-not", "STIX as it is, signed as zstd", "encoding", STIX.into()),
        as_is("longer", "a byte more than was signed", longer.as_bytes()),
        as_is("shorter", "a byte less than was signed", &STIX.as_bytes()[1..]),
        as_is("altered", "another domain than was signed", STIX.replace("c2", "c3").as_bytes()),
        as_is("zstd-signed-as-is", "a zstd frame, signed as it is", &stored),
    ]
}

fn contents() -> Vec<Case> {
    let with = |member: &str| STIX.replacen(r#""pattern_type""#, &format!(r#"{member},"pattern_type""#), 1);
    let marked = |id: &str| STIX.replace("94868c89-83c2-464b-929b-a1a8aa3c8487", id);
    let deep = with(&format!(r#""x_deep":{}{}"#, "[".repeat(200), "]".repeat(200)));
    let (before, after) = STIX.split_at(100);
    let not_text = [before.as_bytes(), &[0xfe], after.as_bytes()].concat();
    vec![
        says("duplicate-member", "two members of one name", "stix", with(r#""pattern":"[a:b = 'c']""#).as_bytes()),
        says("duplicate-member-escaped", "one of them written with an escape", "stix", with(r#""patt\u0065rn":"x""#).as_bytes()),
        says("deep", "200 levels", "stix", deep.as_bytes()),
        says("number-too-large", "1e400", "stix", with(r#""x_score":1e400"#).as_bytes()),
        says("integer-inexact", "2^53 + 1", "stix", with(r#""x_score":9007199254740993"#).as_bytes()),
        says("lone-surrogate", "half of a pair", "stix", with(r#""x_text":"\ud800""#).as_bytes()),
        says("not-utf-8", "a byte that is no text", "stix", &not_text),
        says("not-json", "text", "stix", b"indicator"),
        says("not-stix", "JSON that is no STIX", "stix", b"1"),
        says("no-objects", "a bundle of nothing", "stix", br#"{"type":"bundle","objects":[]}"#),
        says("two-documents", "one after the other", "stix", format!("{STIX}{STIX}").as_bytes()),
        says("marked-green", "TLP:GREEN inside, signed CLEAR", "marking", marked("bab4a63c-aed9-4cf5-a766-dfca5abac2bb").as_bytes()),
        says("marked-red", "TLP:RED inside, signed CLEAR", "marking", marked("e828b379-4e03-4974-9ac4-e53a884c97c1").as_bytes()),
        says("marked-red-of-tlp-1", "the same of TLP 1.0", "marking", marked("5e57c739-391a-4eb3-b6be-7d15ca92d5ed").as_bytes()),
    ]
}

pub(crate) fn make() -> Vec<(String, Vector)> {
    cases()
        .into_iter()
        .map(|case| {
            let expect = if case.outcome.is_ok() { "open" } else { "refuse" };
            let mut vector = Vector::new(case.what, "opening").with("expect", expect);
            vector = match case.outcome {
                Ok(objects) => vector.with("objects", &objects.to_string()),
                Err(rule) => vector.with("rule", rule),
            };
            vector = vector.with("encoding", if case.zstd { "zstd" } else { "as-is" });
            for (media, length, digest) in &case.parts {
                vector = vector.with("part", &format!("{media} {length} {}", hex(digest)));
            }
            (format!("opening-{expect}-{}", case.name), vector.with_bytes("payload", &case.payload))
        })
        .collect()
}

pub(crate) fn judge(name: &str, vector: &Vector) {
    let parts = vector.all("part").into_iter().map(|part| {
        let fields: Vec<&str> = part.split(' ').collect();
        let (_, media) = MEDIA.iter().find(|(name, _)| *name == fields[0]).unwrap();
        Part { media: *media, length: fields[1].parse().unwrap(), digest: bytes_of(fields[2]).try_into().unwrap() }
    });
    let encoding = match vector.text("encoding") {
        "zstd" => Encoding::Zstd,
        "as-is" => Encoding::Identity,
        other => panic!("{name}: {other}"),
    };
    let forge = Forge::default();
    let mut bundle = forge.bundle(0, encoding, &[]);
    bundle.parts = List::new(parts.collect()).unwrap();
    let payload = vector.bytes("payload");
    let frame = forge.sign(0, &forge.open_bundle(0, &bundle, &payload));
    let frame = gate::check(&frame, &forge.roster).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    match (open(frame.value(), None), vector.text("expect")) {
        (Ok(opened), "open") => assert_eq!(opened.rows().len() as u64, vector.number("objects"), "{name}"),
        (Err(refusal), "refuse") => assert_eq!(open_rule(&refusal), vector.text("rule"), "{name}: {refusal}"),
        (outcome, expect) => panic!("{name}: {expect}, and it is {outcome:?}"),
    }
}
