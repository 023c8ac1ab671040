//! Messages of the exchange and of the door.

use crate::file::Vector;
use watchfire_protocol::gate::{self, NotARequest};
use watchfire_protocol::wire::codec::{self, CodecError};
use watchfire_tests::bytes::Writer;
use watchfire_tests::forge::Forge;
use watchfire_tests::membership;
use watchfire_tests::verdict;

/// The protocol, the name, what it is, its bytes, and the rule if it is bad.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    Vec<u8>,
    Option<&'static str>,
);

fn cases() -> Vec<Case> {
    let federation = *Forge::default().roster.federation().as_bytes();
    let (envelope, nonce, store) = ([0xe0; 32], [0x0c; 16], [0x57; 16]);
    let stream = [[0x4e; 32].as_slice(), &[1], &[0; 15], &[1]].concat();
    let certificate = codec::encode(&membership::card(&Forge::default(), 0).certificate);
    let raw = |parts: &[&[u8]]| parts.concat();
    let bytes = |start: &[u8], bytes: &[u8], end: &[u8]| {
        Writer::new().raw(start).bytes(bytes).raw(end).into_vec()
    };
    let path = |count: usize| [vec![u8::try_from(count).unwrap()], vec![0xaa; 32 * count]].concat();
    vec![
        (
            "request",
            "hello",
            "the first words",
            raw(&[&[0], &federation, &[0], &nonce]),
            None,
        ),
        (
            "request",
            "frontier",
            "from the beginning",
            raw(&[&[1, 0, 0, 0, 0]]),
            None,
        ),
        (
            "request",
            "frontier-since",
            "since change 300 of a store, and ask me too",
            raw(&[&[1, 0, 1], &store, &[251, 44, 1, 0, 1]]),
            None,
        ),
        (
            "request",
            "frontier-full",
            "with full names",
            raw(&[&[1, 0, 1], &store, &[7, 1, 0]]),
            None,
        ),
        (
            "request",
            "frontier-other-scope",
            "of a scope that is not known: read, and answered so",
            raw(&[&[1, 9, 0, 0, 0]]),
            None,
        ),
        (
            "request",
            "range",
            "from 300 to 555",
            raw(&[&[2], &stream, &[251, 44, 1, 251, 43, 2]]),
            None,
        ),
        (
            "request",
            "chunk",
            "chunk 3",
            raw(&[&[3], &envelope, &[3]]),
            None,
        ),
        (
            "request",
            "key-block",
            "of an envelope",
            raw(&[&[4], &envelope]),
            None,
        ),
        (
            "request",
            "empty",
            "no byte at all",
            Vec::new(),
            Some("malformed"),
        ),
        (
            "request",
            "notices",
            "all but signs of life, never asked before",
            raw(&[&[5, 0, 0], &[0xb4; 16]]),
            None,
        ),
        (
            "request",
            "link",
            "of the chain, to epoch 3",
            raw(&[&[6, 3]]),
            None,
        ),
        (
            "request",
            "variant-7",
            "there are seven requests, from 0; a newer version may have more",
            raw(&[&[7], &envelope]),
            Some("unknown"),
        ),
        (
            "request",
            "variant-250",
            "the last number of one byte",
            raw(&[&[250]]),
            Some("unknown"),
        ),
        (
            "request",
            "variant-not-minimal",
            "frontier in three bytes",
            raw(&[&[251, 1, 0, 0, 0, 0, 0]]),
            Some("not-canonical"),
        ),
        (
            "request",
            "hello-epoch-not-minimal",
            "epoch 0 in three bytes",
            raw(&[&[0], &federation, &[251, 0, 0], &nonce]),
            Some("not-canonical"),
        ),
        (
            "request",
            "hello-cut",
            "a nonce of 15 bytes",
            raw(&[&[0], &federation, &[0], &nonce[..15]]),
            Some("malformed"),
        ),
        (
            "request",
            "chunk-trailing",
            "a byte follows",
            raw(&[&[3], &envelope, &[3, 0]]),
            Some("trailing"),
        ),
        (
            "request",
            "chunk-index-too-large",
            "an index of 2^32",
            raw(&[&[3], &envelope, &[253, 0, 0, 0, 0, 1, 0, 0, 0]]),
            Some("malformed"),
        ),
        (
            "request",
            "frontier-option-2",
            "neither none nor some",
            raw(&[&[1, 0, 2], &store, &[1, 0, 0]]),
            Some("malformed"),
        ),
        (
            "request",
            "frontier-bool-2",
            "news is neither yes nor no",
            raw(&[&[1, 0, 0, 0, 2]]),
            Some("malformed"),
        ),
        (
            "request",
            "over-the-limit",
            "16,385 bytes",
            vec![0; 16_385],
            Some("too-long"),
        ),
        (
            "answer",
            "hello",
            "the same back, with a nonce of its own",
            raw(&[&[0], &federation, &[0], &nonce]),
            None,
        ),
        (
            "answer",
            "frontier-of-none",
            "nothing changed",
            raw(&[&[1], &store, &[3, 0, 0]]),
            None,
        ),
        (
            "answer",
            "frontier-short",
            "one stream by its short name, held to 300",
            raw(&[
                &[1],
                &store,
                &[3, 1, 0],
                &[0x5a; 8],
                &[251, 44, 1, 1],
                &[0xbe; 8],
                &[0, 0],
            ]),
            None,
        ),
        (
            "answer",
            "frontier-full-with-runs",
            "one stream in full of which 1 is missing; 2, 3 and 5 are held",
            raw(&[&[1], &store, &[3, 1, 1], &stream, &[0, 0, 2, 1, 2, 1, 1, 1]]),
            None,
        ),
        (
            "answer",
            "range-of-none",
            "nobody answers so, and it can be read",
            vec![2, 0],
            None,
        ),
        (
            "answer",
            "range-of-remains",
            "a header, its signature, and no second one",
            raw(&[&[2, 1, 1, 3, 1, 2, 3], &[0x51; 64], &[0]]),
            None,
        ),
        (
            "answer",
            "chunk",
            "with a path of 8",
            bytes(&[3], &[0xcc; 100], &path(8)),
            None,
        ),
        (
            "answer",
            "key-block",
            "of 100 bytes",
            bytes(&[4], &[0x6b; 100], &[]),
            None,
        ),
        ("answer", "busy", "ask again later", vec![5, 1], None),
        (
            "answer",
            "unknown",
            "a request or scope that is not known",
            vec![5, 3],
            None,
        ),
        (
            "answer",
            "variant-8",
            "there are eight answers, from 0",
            vec![8],
            Some("malformed"),
        ),
        (
            "answer",
            "unavailable-4",
            "there are four reasons, from 0",
            vec![5, 4],
            Some("malformed"),
        ),
        (
            "answer",
            "frontier-bool-2",
            "more is neither yes nor no",
            raw(&[&[1], &store, &[3, 0, 2]]),
            Some("malformed"),
        ),
        (
            "answer",
            "frontier-name-2",
            "a name is short or full",
            raw(&[&[1], &store, &[3, 1, 2], &[0x5a; 8], &[1, 0, 0, 0]]),
            Some("malformed"),
        ),
        (
            "answer",
            "frontier-gap-too-large",
            "a gap of 2^16",
            raw(&[
                &[1],
                &store,
                &[3, 1, 0],
                &[0x5a; 8],
                &[0, 0, 1, 252, 0, 0, 1, 0, 1, 0],
            ]),
            Some("malformed"),
        ),
        (
            "answer",
            "frontier-runs-2049",
            "more runs than there can be",
            Writer::new()
                .raw(&raw(&[&[1], &store, &[3, 1, 0], &[0x5a; 8], &[0, 0]]))
                .integer(2_049)
                .raw(&[1; 4_099])
                .into_vec(),
            Some("malformed"),
        ),
        (
            "answer",
            "range-remains-second-signature-cut",
            "a second signature of three bytes with two",
            raw(&[&[2, 1, 1, 3, 1, 2, 3], &[0x51; 64], &[1, 3, 1, 2]]),
            Some("malformed"),
        ),
        (
            "answer",
            "chunk-path-of-9",
            "a path longer than any",
            bytes(&[3], &[0xcc; 100], &path(9)),
            Some("malformed"),
        ),
        (
            "answer",
            "chunk-too-long",
            "262,145 bytes",
            bytes(&[3], &vec![0xcc; 262_145], &path(0)),
            Some("malformed"),
        ),
        (
            "answer",
            "key-block-too-long",
            "81,921 bytes",
            bytes(&[4], &vec![0x6b; 81_921], &[]),
            Some("malformed"),
        ),
        (
            "answer",
            "range-of-257",
            "more items than fit",
            Writer::new()
                .raw(&[2])
                .integer(257)
                .raw(&[0; 514])
                .into_vec(),
            Some("malformed"),
        ),
        (
            "answer",
            "range-frame-too-long",
            "a frame of 49,153 bytes",
            bytes(&[2, 1, 0], &vec![1; 49_153], &[]),
            Some("malformed"),
        ),
        (
            "answer",
            "frontier-of-1025",
            "more entries than fit",
            Writer::new()
                .raw(&raw(&[&[1], &store, &[3]]))
                .integer(1_025)
                .into_vec(),
            Some("malformed"),
        ),
        (
            "answer",
            "over-the-limit",
            "278,529 bytes",
            vec![0; 278_529],
            Some("too-long"),
        ),
        (
            "door-request",
            "genesis",
            "a piece at 3,072",
            vec![0, 251, 0, 12],
            None,
        ),
        (
            "door-request",
            "offer",
            "a certificate",
            raw(&[&[1], &certificate]),
            None,
        ),
        (
            "door-request",
            "variant-7",
            "there are seven requests, from 0",
            vec![7],
            Some("malformed"),
        ),
        (
            "door-request",
            "knock",
            "a token and a signed card",
            bytes(&raw(&[&[4], &[0x70; 32]]), &[0xca; 300], &[0x51; 64]),
            None,
        ),
        (
            "door-request",
            "knock-token-cut",
            "a token of 31 bytes",
            raw(&[&[4], &[0x70; 31]]),
            Some("malformed"),
        ),
        (
            "door-request",
            "proposal",
            "the first one, from its beginning",
            vec![5, 0, 0],
            None,
        ),
        (
            "door-request",
            "proposal-after",
            "the one after another, at 3,072",
            raw(&[&[5, 1], &[0x05; 32], &[251, 0, 12]]),
            None,
        ),
        (
            "door-request",
            "consent",
            "a signed vote",
            bytes(&[6], &[0x0e; 111], &[0x51; 64]),
            None,
        ),
        (
            "door-request",
            "consent-vote-too-long",
            "a vote of 513 bytes",
            bytes(&[6], &[0x0e; 513], &[0x51; 64]),
            Some("malformed"),
        ),
        (
            "door-request",
            "offer-cut",
            "a byte of the certificate is missing",
            raw(&[&[1], &certificate[..certificate.len() - 1]]),
            Some("malformed"),
        ),
        (
            "door-request",
            "over-the-limit",
            "4,097 bytes",
            vec![0; 4_097],
            Some("too-long"),
        ),
        (
            "door-answer",
            "genesis",
            "a piece of 100 bytes",
            bytes(&[0, 251, 0, 35, 0], &[0x9e; 100], &[]),
            None,
        ),
        ("door-answer", "offer-accepted", "welcome", vec![1, 1], None),
        (
            "door-answer",
            "unavailable",
            "nothing to give",
            vec![2],
            None,
        ),
        (
            "door-answer",
            "genesis-piece-too-long",
            "3,073 bytes",
            bytes(&[0, 251, 0, 35, 0], &[0x9e; 3_073], &[]),
            Some("malformed"),
        ),
        (
            "door-answer",
            "knock-accepted",
            "it lies here",
            vec![5, 1],
            None,
        ),
        (
            "door-answer",
            "knock-refused",
            "for whatever reason",
            vec![5, 0],
            None,
        ),
        (
            "door-answer",
            "knock-2",
            "neither yes nor no",
            vec![5, 2],
            Some("malformed"),
        ),
        (
            "door-answer",
            "proposal",
            "a piece of 100 bytes",
            bytes(
                &raw(&[&[6], &[0x05; 32], &[251, 0, 35, 0]]),
                &[0x9e; 100],
                &[],
            ),
            None,
        ),
        (
            "door-answer",
            "consent-accepted",
            "it counts",
            vec![7, 1],
            None,
        ),
        (
            "door-answer",
            "variant-8",
            "there are eight answers, from 0",
            vec![8],
            Some("malformed"),
        ),
        (
            "door-answer",
            "offer-2",
            "neither yes nor no",
            vec![1, 2],
            Some("malformed"),
        ),
    ]
}

pub(crate) fn make() -> Vec<(String, Vector)> {
    cases()
        .into_iter()
        .map(|(test, name, what, bytes, rule)| {
            let expect = if rule.is_some() { "reject" } else { "accept" };
            let mut vector = Vector::new(what, test).with("expect", expect);
            if let Some(rule) = rule {
                vector = vector.with("rule", rule);
            }
            (
                format!("{test}-{expect}-{name}"),
                vector.with_bytes("bytes", &bytes),
            )
        })
        .collect()
}

pub(crate) fn judge(name: &str, vector: &Vector) {
    let bytes = vector.bytes("bytes");
    let found: Result<Vec<u8>, CodecError> = match vector.text("test") {
        "request" => match gate::request(&bytes) {
            Ok(message) => Ok(codec::encode(&message)),
            Err(NotARequest::Malformed(why)) => Err(why),
            Err(NotARequest::Unknown { .. }) => {
                assert_eq!(vector.text("rule"), "unknown", "{name}");
                return;
            }
        },
        "answer" => gate::answer(&bytes).map(|message| codec::encode(&message)),
        "door-request" => gate::door_request(&bytes).map(|message| codec::encode(&message)),
        _ => gate::door_answer(&bytes).map(|message| codec::encode(&message)),
    };
    match vector.text("expect") {
        "accept" => assert_eq!(found, Ok(bytes), "{name}"),
        _ => assert_eq!(
            verdict::codec(&found.unwrap_err()),
            vector.text("rule"),
            "{name}"
        ),
    }
}
