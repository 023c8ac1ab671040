//! Key files, payloads, and what the command line says to its node.

use std::io::Read;
use std::sync::LazyLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use watchfire_crypto::{
    Bounds, Cost, KeyFile, KeyFileError, Passphrase, Purpose, SigningKey, sha256,
};
use watchfire_node::control::{ControlAnswer, ControlRequest};
use watchfire_protocol::limits::ZSTD_WINDOW_BYTES_MAX;
use watchfire_protocol::opening::{OpenRefusal, plain};
use watchfire_protocol::wire::List;
use watchfire_protocol::wire::bundle::{Bundle, Encoding, Media, Part};

use super::{FORGE, samples};
use crate::forge::{STIX, stored_stix};
use crate::zstd::{self as by_hand, Block, Head, WINDOW_8_MIB};

/// Lines of a key file.
pub const KEY_FILE_WORDS: &[&str] = &[
    "watchfire-key 1\n",
    "watchfire-key 2\n",
    "purpose root\n",
    "memory-kib 4294967295\n",
    "passes 0\n",
    "lanes 16777216\n",
    "+1",
    "01",
    "\r\n",
];

/// Words of the control socket.
pub const CONTROL_WORDS: &[&str] = &[
    "\"op\":\"status\"",
    "\"op\":{\"publish\":{}}",
    "\"body_bytes\":18446744073709551615",
    "\"id\":-1",
    "\"search\":{\"query\":\"a.example\",\"limit\":1}",
    "null",
    "1e3",
];

/// One seed for the two key files.
const KEY_SEED: [u8; 32] = [0x42; 32];

static KEY_FILES: LazyLock<Vec<KeyFile>> = LazyLock::new(|| {
    let key = SigningKey::from_seed(&KEY_SEED);
    [Purpose::Root, Purpose::Transport]
        .into_iter()
        .map(|purpose| {
            KeyFile::seal_key(purpose, &key, &passphrase(), Cost::for_tests(), &[0x17; 40]).unwrap()
        })
        .collect()
});

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse".to_owned()).unwrap()
}

/// A key file: one text for one file, and only what was sealed opens.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_key_file(bytes: &[u8]) {
    let Ok(file) = KeyFile::parse(bytes) else {
        return;
    };
    assert_eq!(file.to_string().as_bytes(), bytes);
    assert!(
        KeyFile::parse(bytes).as_ref() == Ok(&file),
        "read differently"
    );
    for purpose in [Purpose::Root, Purpose::Signing, Purpose::Transport] {
        let opened = file.open(purpose, &passphrase(), &Bounds::for_tests());
        if purpose != file.purpose() {
            assert!(matches!(opened, Err(KeyFileError::Purpose { .. })));
        } else if let Ok(secret) = opened {
            assert_eq!(secret.expose().as_slice(), KEY_SEED);
            assert!(KEY_FILES.contains(&file), "it was altered, and opened");
        }
    }
}

/// The files that open, and what they are like with other numbers.
pub fn key_files() -> Vec<Vec<u8>> {
    let good: Vec<String> = KEY_FILES.iter().map(ToString::to_string).collect();
    let mut all: Vec<Vec<u8>> = good.iter().map(|text| text.clone().into_bytes()).collect();
    for (line, other) in [
        ("memory-kib 8\n", "memory-kib 1024\n"),
        ("passes 1\n", "passes 4\n"),
        ("lanes 1\n", "lanes 4\n"),
        ("watchfire-key 1\n", "watchfire-key 2\n"),
        ("purpose root\n", "purpose signing\n"),
    ] {
        all.push(good[0].replace(line, other).into_bytes());
    }
    all
}

/// Longest output that is compared, in bytes. Frames that give more are for the
/// bound of `plain` to stop, at what was signed.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// A payload: it opens as exactly what was signed or not at all, and whatever
/// the reference encoder writes opens as what was given to it.
///
/// Of a damaged frame two decoders may read two things (RFC 8878 leaves
/// checking to them), so only one of the two can have been signed; the other
/// reading is refused.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_payload(bytes: &[u8]) {
    if let Some(ours) = streamed(bytes) {
        assert!(
            opens_as_signed(&ours, bytes) != Some(OpenRefusal::Digest),
            "one decoder read two things"
        );
    }
    if let Some(theirs) = reference(bytes) {
        opens_as_signed(&theirs, bytes);
    }
    // Signed shorter than it is, or of another digest.
    opens_as_signed(b"x", bytes);
    let mut identity = bundle_of(bytes);
    identity.encoding = Encoding::Identity;
    assert!(plain(&identity, bytes).is_ok_and(|plain| plain == bytes));
    if let Some((level, plain)) = bytes.split_first()
        && !plain.is_empty()
    {
        let frame = zstd::bulk::compress(plain, i32::from(level % 20)).unwrap();
        assert_eq!(opens_as_signed(plain, &frame), None, "level {level}");
        assert!(reference(&frame).is_some_and(|theirs| theirs == plain));
    }
}

/// Opens a payload whose author signed `output`. Whatever comes of it is that.
fn opens_as_signed(output: &[u8], payload: &[u8]) -> Option<OpenRefusal> {
    match plain(&bundle_of(output), payload) {
        Ok(opened) => {
            assert!(opened == output, "opened as something else than was signed");
            None
        }
        Err(refusal) => Some(refusal),
    }
}

/// A bundle of which the payload is `output` in a zstd frame.
fn bundle_of(output: &[u8]) -> Bundle {
    let mut bundle = FORGE.bundle(0, Encoding::Zstd, &[]);
    let part = Part {
        media: Media::Stix,
        length: u64::try_from(output.len()).unwrap(),
        digest: sha256(output),
    };
    bundle.parts = List::new(vec![part]).unwrap();
    bundle
}

/// What the reference decoder makes of exactly one frame.
fn reference(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)
        .ok()?
        .single_frame();
    decoder.window_log_max(ZSTD_WINDOW_BYTES_MAX.ilog2()).ok()?;
    let output = bounded(&mut decoder)?;
    decoder.finish().is_empty().then_some(output)
}

/// What the decoder of the product makes of the first frame, without the
/// product's own checks.
fn streamed(bytes: &[u8]) -> Option<Vec<u8>> {
    let decoder =
        ruzstd::decoding::StreamingDecoder::new_with_max_window_size(bytes, ZSTD_WINDOW_BYTES_MAX);
    bounded(decoder.ok()?)
}

fn bounded(reader: impl Read) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    let limit = u64::try_from(OUTPUT_BYTES_MAX + 1).unwrap();
    reader.take(limit).read_to_end(&mut output).ok()?;
    (output.len() <= OUTPUT_BYTES_MAX).then_some(output)
}

/// Frames by an encoder at several levels, by hand, and of the vectors.
///
/// # Panics
/// Never: small samples compress.
pub fn payloads() -> Vec<Vec<u8>> {
    let mut all = vec![stored_stix()];
    for level in [1, 3, 19] {
        all.push(zstd::bulk::compress(STIX.as_bytes(), level).unwrap());
        all.push(zstd::bulk::compress(STIX.repeat(9).as_bytes(), level).unwrap());
    }
    let window = Head {
        window: Some(WINDOW_8_MIB),
        ..Head::default()
    };
    all.push(by_hand::frame(
        window,
        &[Block::Run(b'a', 40), Block::Raw(b"xyz".to_vec())],
    ));
    all.push(by_hand::frame(
        Head {
            content_bytes: Some(1),
            ..Head::default()
        },
        &[Block::Raw(b"x".to_vec())],
    ));
    all.extend(samples::vectors(&["opening"], "payload"));
    all
}

/// A line between the command line and its node: what is read is written so
/// that it reads the same.
///
/// # Panics
/// When it does not.
pub fn fuzz_control(bytes: &[u8]) {
    reads_again::<ControlRequest>(bytes);
    reads_again::<ControlAnswer>(bytes);
}

fn reads_again<T: DeserializeOwned + Serialize + core::fmt::Debug>(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(bytes) else {
        return;
    };
    let line = serde_json::to_string(&message).unwrap();
    assert!(!line.contains('\n'), "a message is one line");
    let again: T = serde_json::from_str(&line).unwrap();
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}

/// Lines of both directions.
pub fn control_lines() -> Vec<Vec<u8>> {
    [
        r#"{"id":1,"op":"status"}"#,
        r#"{"id":2,"op":{"publish":{"tlp":"clear","valid_hours":24,"exercise":true,"pap":"green","supersedes":null}},"body_bytes":312}"#,
        r#"{"id":3,"op":{"search":{"query":"*.evil.example","subdomains":true,"limit":50}}}"#,
        r#"{"id":4,"op":{"show":{"id":"indicator--2f3a1b0c-5d6e-4f70-8a91-b2c3d4e5f601"}}}"#,
        r#"{"id":5,"op":{"explain":{"id":"indicator--2f3a1b0c-5d6e-4f70-8a91-b2c3d4e5f601","to":"de-cert"}}}"#,
        r#"{"id":1,"error":{"exit_code":13,"message":"no","hint":null}}"#,
        r#"{"id":3,"ok":{"found":{"hits":[],"truncated":false}}}"#,
        r#"{"id":2,"ok":{"published":{"bundle":"b","envelope":"e","sequence":1,"marking":"TLP:CLEAR","objects":1,"values":1,"not_indexed":0}}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
