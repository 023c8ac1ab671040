//! Encodings of single values.

use crate::file::Vector;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::wire::codec::{CodecError, decode};
use watchfire_protocol::wire::{Bytes, List, Text};
use watchfire_tests::bytes::hex;
use watchfire_tests::verdict;

/// Name, type, bytes, and the value, or the rule that refuses it.
const CASES: [(&str, &str, &[u8], Result<&str, &str>); 52] = [
    ("u8", "u8", &[0xff], Ok("255")),
    ("u16-250", "u16", &[250], Ok("250")),
    ("u16-251", "u16", &[251, 251, 0], Ok("251")),
    ("u16-largest", "u16", &[251, 0xff, 0xff], Ok("65535")),
    ("u32-65535", "u32", &[251, 0xff, 0xff], Ok("65535")),
    ("u32-65536", "u32", &[252, 0, 0, 1, 0], Ok("65536")),
    ("u32-largest", "u32", &[252, 0xff, 0xff, 0xff, 0xff], Ok("4294967295")),
    ("u64-0", "u64", &[0], Ok("0")),
    ("u64-2-32", "u64", &[253, 0, 0, 0, 0, 1, 0, 0, 0], Ok("4294967296")),
    ("u64-largest", "u64", &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Ok("18446744073709551615")),
    ("bool", "bool", &[1], Ok("true")),
    ("option-none", "option<u16>", &[0], Ok("none")),
    ("option-some", "option<u16>", &[1, 251, 0, 1], Ok("some 256")),
    ("enum-last", "marking", &[4], Ok("TLP:RED")),
    ("text", "text<8>", &[5, 0x6d, 0xc3, 0xb6, 0x68, 0x72], Ok("möhr")),
    ("text-empty", "text<8>", &[0], Ok("empty")),
    ("text-of-eight", "text<8>", b"\x08eightyes", Ok("eightyes")),
    ("bytes-of-eight", "bytes<8>", &[8, 0, 1, 2, 3, 4, 5, 6, 7], Ok("0001020304050607")),
    ("list-of-four", "list<u16,4>", &[4, 1, 2, 3, 251, 0, 1], Ok("1,2,3,256")),
    ("list-empty", "list<u16,4>", &[0], Ok("empty")),
    ("u8-absent", "u8", &[], Err("malformed")),
    ("u8-trailing", "u8", &[1, 0], Err("trailing")),
    ("u16-250-in-three", "u16", &[251, 250, 0], Err("not-canonical")),
    ("u16-in-five", "u16", &[252, 1, 0, 0, 0], Err("malformed")),
    ("u16-cut", "u16", &[251, 1], Err("malformed")),
    ("u16-marker-253", "u16", &[253, 1, 0, 0, 0, 0, 0, 0, 0], Err("malformed")),
    ("u32-65535-in-five", "u32", &[252, 0xff, 0xff, 0, 0], Err("not-canonical")),
    ("u32-in-nine", "u32", &[253, 1, 0, 0, 0, 0, 0, 0, 0], Err("malformed")),
    ("u64-0-in-nine", "u64", &[253, 0, 0, 0, 0, 0, 0, 0, 0], Err("not-canonical")),
    ("u64-0-in-five", "u64", &[252, 0, 0, 0, 0], Err("not-canonical")),
    ("u64-2-32-less-1-in-nine", "u64", &[253, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], Err("not-canonical")),
    ("u64-marker-254", "u64", &[254, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Err("malformed")),
    ("u64-marker-255", "u64", &[255, 0, 0, 0, 0, 0, 0, 0, 0], Err("malformed")),
    ("bool-2", "bool", &[2], Err("malformed")),
    ("bool-255", "bool", &[255], Err("malformed")),
    ("option-2", "option<u16>", &[2, 1], Err("malformed")),
    ("option-some-nothing", "option<u16>", &[1], Err("malformed")),
    ("option-none-something", "option<u16>", &[0, 1], Err("trailing")),
    ("enum-past-the-last", "marking", &[5], Err("malformed")),
    ("enum-not-minimal", "marking", &[251, 4, 0], Err("not-canonical")),
    ("enum-past-u32", "marking", &[253, 0, 0, 0, 0, 1, 0, 0, 0], Err("malformed")),
    ("text-of-nine", "text<8>", b"\x09ninebytes", Err("malformed")),
    ("text-not-utf-8", "text<8>", &[2, 0xc3, 0x28], Err("malformed")),
    ("text-surrogate", "text<8>", &[3, 0xed, 0xa0, 0x80], Err("malformed")),
    ("text-overlong", "text<8>", &[2, 0xc0, 0xaf], Err("malformed")),
    ("text-cut", "text<8>", &[5, 0x6d], Err("malformed")),
    ("bytes-length-not-minimal", "bytes<8>", &[251, 1, 0, 7], Err("not-canonical")),
    ("bytes-of-nine", "bytes<8>", &[9, 0, 1, 2, 3, 4, 5, 6, 7, 8], Err("malformed")),
    ("bytes-of-2-63", "bytes<8>", &[253, 0, 0, 0, 0, 0, 0, 0, 0x80], Err("malformed")),
    ("list-of-five", "list<u16,4>", &[5, 1, 2, 3, 4, 5], Err("malformed")),
    ("list-of-2-63", "list<u16,4>", &[253, 0, 0, 0, 0, 0, 0, 0, 0x80], Err("malformed")),
    ("list-cut", "list<u16,4>", &[3, 1, 2], Err("malformed")),
];

/// The value as text.
fn read(kind: &str, bytes: &[u8]) -> Result<String, CodecError> {
    let or_empty = |text: String| if text.is_empty() { "empty".to_owned() } else { text };
    Ok(match kind {
        "u8" => decode::<u8>(bytes, 64)?.to_string(),
        "u16" => decode::<u16>(bytes, 64)?.to_string(),
        "u32" => decode::<u32>(bytes, 64)?.to_string(),
        "u64" => decode::<u64>(bytes, 64)?.to_string(),
        "bool" => decode::<bool>(bytes, 64)?.to_string(),
        "option<u16>" => {
            decode::<Option<u16>>(bytes, 64)?.map_or("none".to_owned(), |value| format!("some {value}"))
        }
        "marking" => decode::<Marking>(bytes, 64)?.label().to_owned(),
        "text<8>" => or_empty(decode::<Text<8>>(bytes, 64)?.to_string()),
        "bytes<8>" => or_empty(hex(decode::<Bytes<8>>(bytes, 64)?.as_slice())),
        "list<u16,4>" => {
            or_empty(decode::<List<u16, 4>>(bytes, 64)?.iter().map(u16::to_string).collect::<Vec<_>>().join(","))
        }
        other => panic!("no type is called {other}"),
    })
}

pub(crate) fn make() -> Vec<(String, Vector)> {
    CASES
        .iter()
        .map(|(name, kind, bytes, outcome)| {
            let (expect, field, value) = match outcome {
                Ok(value) => ("accept", "value", value),
                Err(rule) => ("reject", "rule", rule),
            };
            let vector = Vector::new(&format!("{kind}, {}", name.replace('-', " ")), "codec")
                .with("type", kind)
                .with("expect", expect)
                .with(field, value)
                .with_bytes("bytes", bytes);
            (format!("codec-{expect}-{name}"), vector)
        })
        .collect()
}

pub(crate) fn judge(name: &str, vector: &Vector) {
    let found = read(vector.text("type"), &vector.bytes("bytes"));
    match vector.text("expect") {
        "accept" => assert_eq!(found.as_deref(), Ok(vector.text("value")), "{name}"),
        _ => assert_eq!(verdict::codec(&found.unwrap_err()), vector.text("rule"), "{name}"),
    }
}
