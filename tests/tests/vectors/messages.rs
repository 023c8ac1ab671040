//! Messages of the exchange and of the door.

use crate::file::Vector;
use watchfire_protocol::gate;
use watchfire_protocol::wire::codec::{self, CodecError};
use watchfire_tests::bytes::Writer;
use watchfire_tests::forge::Forge;
use watchfire_tests::membership;
use watchfire_tests::verdict;

/// The protocol, the name, what it is, its bytes, and the rule if it is bad.
type Case = (&'static str, &'static str, &'static str, Vec<u8>, Option<&'static str>);

fn cases() -> Vec<Case> {
    let federation = *Forge::default().roster.federation().as_bytes();
    let (envelope, digest) = ([0xe0; 32], [0xd1; 32]);
    let stream = [[0x4e; 32].as_slice(), &[1], &[0; 15], &[1]].concat();
    let certificate = codec::encode(&membership::card(&Forge::default(), 0).certificate);
    let raw = |parts: &[&[u8]]| parts.concat();
    let bytes = |start: &[u8], bytes: &[u8], end: &[u8]| Writer::new().raw(start).bytes(bytes).raw(end).into_vec();
    let path = |count: usize| [vec![u8::try_from(count).unwrap()], vec![0xaa; 32 * count]].concat();
    vec![
        ("request", "hello", "the first words", raw(&[&[0], &federation, &[0]]), None),
        ("request", "probe", "is your frontier mine", raw(&[&[1], &digest]), None),
        ("request", "frontier", "from the beginning", raw(&[&[2, 0]]), None),
        ("request", "frontier-after", "after a stream", raw(&[&[2, 1], &stream]), None),
        ("request", "range", "after sequence 300", raw(&[&[3], &stream, &[251, 44, 1]]), None),
        ("request", "chunk", "chunk 3", raw(&[&[4], &envelope, &[3]]), None),
        ("request", "key-block", "of an envelope", raw(&[&[5], &envelope]), None),
        ("request", "empty", "no byte at all", Vec::new(), Some("malformed")),
        ("request", "variant-6", "there are six requests, from 0", raw(&[&[6], &envelope]), Some("malformed")),
        ("request", "variant-not-minimal", "probe in three bytes", raw(&[&[251, 1, 0], &digest]), Some("not-canonical")),
        ("request", "hello-epoch-not-minimal", "epoch 0 in three bytes", raw(&[&[0], &federation, &[251, 0, 0]]), Some("not-canonical")),
        ("request", "hello-cut", "a federation id of 31 bytes", raw(&[&[0], &federation[..31]]), Some("malformed")),
        ("request", "chunk-trailing", "a byte follows", raw(&[&[4], &envelope, &[3, 0]]), Some("trailing")),
        ("request", "chunk-index-too-large", "an index of 2^32", raw(&[&[4], &envelope, &[253, 0, 0, 0, 0, 1, 0, 0, 0]]), Some("malformed")),
        ("request", "frontier-option-2", "neither none nor some", raw(&[&[2, 2], &stream]), Some("malformed")),
        ("request", "over-the-limit", "16,385 bytes", vec![0; 16_385], Some("too-long")),
        ("answer", "hello", "the same back", raw(&[&[0], &federation, &[0]]), None),
        ("answer", "frontier-of-none", "nothing is held", vec![2, 0, 0], None),
        ("answer", "range-of-none", "nothing after that", vec![3, 0, 0], None),
        ("answer", "chunk", "with a path of 8", bytes(&[4], &[0xcc; 100], &path(8)), None),
        ("answer", "key-block", "of 100 bytes", bytes(&[5], &[0x6b; 100], &[]), None),
        ("answer", "busy", "ask again later", vec![6, 1], None),
        ("answer", "variant-7", "there are seven answers, from 0", vec![7], Some("malformed")),
        ("answer", "unavailable-3", "there are three reasons, from 0", vec![6, 3], Some("malformed")),
        ("answer", "frontier-bool-2", "more is neither yes nor no", vec![2, 0, 2], Some("malformed")),
        ("answer", "chunk-path-of-9", "a path longer than any", bytes(&[4], &[0xcc; 100], &path(9)), Some("malformed")),
        ("answer", "chunk-too-long", "262,145 bytes", bytes(&[4], &vec![0xcc; 262_145], &path(0)), Some("malformed")),
        ("answer", "key-block-too-long", "81,921 bytes", bytes(&[5], &vec![0x6b; 81_921], &[]), Some("malformed")),
        ("answer", "range-of-1025", "more items than fit", Writer::new().raw(&[3]).integer(1_025).raw(&[0; 2_051]).into_vec(), Some("malformed")),
        ("answer", "range-frame-too-long", "a frame of 49,153 bytes", bytes(&[3, 1, 0], &vec![1; 49_153], &[0]), Some("malformed")),
        ("answer", "frontier-of-4097", "more entries than fit", Writer::new().raw(&[2]).integer(4_097).into_vec(), Some("malformed")),
        ("door-request", "genesis", "a piece at 3,072", vec![0, 251, 0, 12], None),
        ("door-request", "offer", "a certificate", raw(&[&[1], &certificate]), None),
        ("door-request", "variant-2", "there are two requests, from 0", vec![2], Some("malformed")),
        ("door-request", "offer-cut", "a byte of the certificate is missing", raw(&[&[1], &certificate[..certificate.len() - 1]]), Some("malformed")),
        ("door-request", "over-the-limit", "4,097 bytes", vec![0; 4_097], Some("too-long")),
        ("door-answer", "genesis", "a piece of 100 bytes", bytes(&[0, 251, 0, 35, 0], &[0x9e; 100], &[]), None),
        ("door-answer", "offer-accepted", "welcome", vec![1, 1], None),
        ("door-answer", "unavailable", "nothing to give", vec![2], None),
        ("door-answer", "genesis-piece-too-long", "3,073 bytes", bytes(&[0, 251, 0, 35, 0], &[0x9e; 3_073], &[]), Some("malformed")),
        ("door-answer", "offer-2", "neither yes nor no", vec![1, 2], Some("malformed")),
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
            (format!("{test}-{expect}-{name}"), vector.with_bytes("bytes", &bytes))
        })
        .collect()
}

pub(crate) fn judge(name: &str, vector: &Vector) {
    let bytes = vector.bytes("bytes");
    let found: Result<Vec<u8>, CodecError> = match vector.text("test") {
        "request" => gate::request(&bytes).map(|message| codec::encode(&message)),
        "answer" => gate::answer(&bytes).map(|message| codec::encode(&message)),
        "door-request" => gate::door_request(&bytes).map(|message| codec::encode(&message)),
        _ => gate::door_answer(&bytes).map(|message| codec::encode(&message)),
    };
    match vector.text("expect") {
        "accept" => assert_eq!(found, Ok(bytes), "{name}"),
        _ => assert_eq!(verdict::codec(&found.unwrap_err()), vector.text("rule"), "{name}"),
    }
}
