//! Payloads that lie, inside frames that are as they should be: opening
//! refuses them, and nothing panics or grows.

use watchfire_protocol::gate;
use watchfire_protocol::opening::{Opened, open};
use watchfire_protocol::wire::bundle::{Encoding, Media, Part};
use watchfire_protocol::wire::List;
use watchfire_crypto::sha256;
use watchfire_tests::forge::{Forge, STIX, stored_stix};
use watchfire_tests::verdict::open_rule;
use watchfire_tests::zstd::{self, Block, Head, WINDOW_8_MIB};

/// Opens a bundle of this payload, whose author signs these parts; the rule
/// and the explanation, if it is refused.
fn outcome(encoding: Encoding, parts: &[Part], payload: &[u8]) -> Result<Opened, (&'static str, String)> {
    let forge = Forge::default();
    let mut bundle = forge.bundle(0, encoding, &[]);
    bundle.parts = List::new(parts.to_vec()).unwrap();
    let frame = forge.sign(0, &forge.open_bundle(0, &bundle, payload));
    let frame = gate::check(&frame, &forge.roster).expect("nothing of this is the gate's business");
    let pulled = frame.value().payload().is_none().then_some(payload);
    open(frame.value(), pulled).map_err(|refusal| (open_rule(&refusal), refusal.to_string()))
}

fn stix_part(plain: &[u8]) -> Part {
    Part { media: Media::Stix, length: plain.len() as u64, digest: sha256(plain) }
}

fn of_length(length: u64) -> Part {
    Part { length, ..stix_part(STIX.as_bytes()) }
}

fn refused(rule: &str, about: &str, encoding: Encoding, parts: &[Part], payload: &[u8]) {
    let (found, why) = outcome(encoding, parts, payload).expect_err(about);
    assert!(found == rule && why.contains(about), "{found}: {why}, and not {rule}: {about}");
}

/// STIX that is signed as it is, and refused for what it says.
fn bad_stix(about: &str, stix: &[u8]) {
    refused("stix", about, Encoding::Identity, &[stix_part(stix)], stix);
}

#[test]
fn what_was_signed_opens() {
    let part = stix_part(STIX.as_bytes());
    assert_eq!(outcome(Encoding::Identity, &[part], STIX.as_bytes()).unwrap().rows().len(), 1);
    assert_eq!(outcome(Encoding::Zstd, &[part], &stored_stix()).unwrap().rows().len(), 1);
}

#[test]
fn attack_32_deep_json() {
    let with = |inner: String| STIX.replacen(r#""pattern_type""#, &format!(r#""x_deep":{inner},"pattern_type""#), 1);
    bad_stix("nested deeper", with("[".repeat(10_000) + &"]".repeat(10_000)).as_bytes());
    bad_stix("nested deeper", with(r#"{"a":"#.repeat(3_000) + "1" + &"}".repeat(3_000)).as_bytes());
    bad_stix("nested deeper", "[".repeat(30_000).as_bytes());
    bad_stix("nested deeper", with("[".repeat(10_000)).as_bytes());
}

#[test]
fn attack_32_numbers_names_and_strings_that_readers_read_differently() {
    let with = |member: &str| STIX.replacen(r#""pattern_type""#, &format!(r#"{member},"pattern_type""#), 1);
    bad_stix("too large for any reader", with(r#""x_score":1e400"#).as_bytes());
    bad_stix("too large for any reader", with(r#""x_score":-1e400"#).as_bytes());
    bad_stix("2^53", with(r#""x_score":9007199254740993"#).as_bytes());
    bad_stix("appears twice", with(r#""pattern":"[a:b = 'c']""#).as_bytes());
    bad_stix("appears twice", with(r#""patt\u0065rn":"[a:b = 'c']""#).as_bytes());
    bad_stix("appears twice", with(r#""x_in":{"a":1,"a":2}"#).as_bytes());
    bad_stix("surrogate", with(r#""x_text":"\ud800""#).as_bytes());
    bad_stix("surrogate", with(r#""x_text":"\udc00\ud800""#).as_bytes());
    bad_stix("not UTF-8", &[STIX.as_bytes(), &[0xff]].concat());
    bad_stix("control character", with("\"x_text\":\"a\u{1}b\"").as_bytes());
    bad_stix("follows the end", format!("{STIX}{STIX}").as_bytes());
    bad_stix("no objects", br#"{"type":"bundle"}"#);
    bad_stix("no objects", br#"{"type":"bundle","objects":[]}"#);
    bad_stix("not STIX", b"1");
}

#[test]
fn attack_40_stix_that_is_stricter_than_the_signed_marking() {
    // TLP:RED, in both versions; a label that only looks like one; none at all.
    let marked = |id: &str| STIX.replace("94868c89-83c2-464b-929b-a1a8aa3c8487", id);
    for (what, stix) in [
        ("TLP 2.0 RED", marked("e828b379-4e03-4974-9ac4-e53a884c97c1")),
        ("TLP 1.0 RED", marked("5e57c739-391a-4eb3-b6be-7d15ca92d5ed")),
        ("TLP 2.0 GREEN", marked("bab4a63c-aed9-4cf5-a766-dfca5abac2bb")),
    ] {
        let (rule, why) =
            outcome(Encoding::Identity, &[stix_part(stix.as_bytes())], stix.as_bytes()).expect_err(what);
        assert_eq!(rule, "marking", "{what}: {why}");
    }
}

#[test]
fn attack_33_a_gibibyte_announced_as_a_kibibyte() {
    // 8,192 blocks of 128 KiB in 32 KiB.
    let bomb = zstd::bomb(8_192);
    assert!(bomb.len() < 33_000);
    refused("encoding", "length is not the one", Encoding::Zstd, &[of_length(1_024)], &bomb);
    // The largest that may be signed stops there too, 832 MiB before the end.
    refused("encoding", "length is not the one", Encoding::Zstd, &[of_length(201_326_592)], &bomb);
}

#[test]
fn a_payload_is_as_long_as_was_signed_and_no_longer() {
    let good = stix_part(STIX.as_bytes());
    let (longer, shorter) = (format!("{STIX} "), &STIX[..STIX.len() - 1]);
    for payload in [longer.as_bytes(), shorter.as_bytes()] {
        refused("digest", "not what its author signed", Encoding::Identity, &[good], payload);
        refused("encoding", "length is not the one", Encoding::Zstd, &[good], &zstd::stored(payload));
    }
    let altered = STIX.replace("c2.watch", "c3.watch");
    refused("digest", "not what its author signed", Encoding::Identity, &[good], altered.as_bytes());
    refused("digest", "not what its author signed", Encoding::Zstd, &[good], &zstd::stored(altered.as_bytes()));
    // Two parts whose lengths are exchanged have the same sum.
    let (one, two) = (b"ab".as_slice(), b"c".as_slice());
    let csv = |bytes: &[u8], length| Part { media: Media::Csv, length, digest: sha256(bytes) };
    let payload = [STIX.as_bytes(), one, two].concat();
    assert!(outcome(Encoding::Identity, &[good, csv(one, 2), csv(two, 1)], &payload).is_ok());
    refused("digest", "not what", Encoding::Identity, &[good, csv(one, 1), csv(two, 2)], &payload);
    refused("digest", "not what", Encoding::Identity, &[good, csv(one, 2)], &payload);
    refused("digest", "not what", Encoding::Identity, &[good, csv(one, 2), csv(two, 2)], &payload);
    // The plain payload is not read as zstd, nor the reverse.
    refused("encoding", "does not decode", Encoding::Zstd, &[good], STIX.as_bytes());
    refused("digest", "not what", Encoding::Identity, &[good], &stored_stix());
}

#[test]
fn one_zstd_frame_is_the_whole_payload() {
    let part = [stix_part(STIX.as_bytes())];
    let zstd = |about: &str, payload: &[u8]| refused("encoding", about, Encoding::Zstd, &part, payload);
    let (stored, raw) = (stored_stix(), Block::Raw(STIX.as_bytes().to_vec()));
    zstd("something follows", &[stored.as_slice(), &[0]].concat());
    // A second frame of no content, and a skippable one, behind and before.
    let empty = zstd::frame(Head { window: Some(WINDOW_8_MIB), ..Head::default() }, &[Block::Raw(Vec::new())]);
    zstd("something follows", &[stored.as_slice(), &empty].concat());
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    zstd("something follows", &[stored.as_slice(), &skippable].concat());
    zstd("does not decode", &[&skippable, stored.as_slice()].concat());
    for length in 1..stored.len() {
        zstd("does not decode", &stored[..length]);
    }
    // A window of 8 MiB is the largest; the next one is 9.
    let window = |window| zstd::frame(Head { window: Some(window), ..Head::default() }, std::slice::from_ref(&raw));
    assert!(outcome(Encoding::Zstd, &part, &window(WINDOW_8_MIB)).is_ok());
    zstd("indow", &window(WINDOW_8_MIB + 1));
    zstd("indow", &window(0xff));
    // A frame of a single segment needs its whole content as window.
    let single = |bytes| {
        zstd::frame(Head { content_bytes: Some(bytes), ..Head::default() }, std::slice::from_ref(&raw))
    };
    assert!(outcome(Encoding::Zstd, &part, &single(STIX.len() as u64)).is_ok());
    zstd("indow", &single(8 * 1024 * 1024 + 1));
    zstd("indow", &single(u64::MAX));
    let dictionary = Head { window: Some(WINDOW_8_MIB), dictionary: Some(7), content_bytes: None };
    zstd("ictionary", &zstd::frame(dictionary, std::slice::from_ref(&raw)));
    // A segment that is longer than its head says; a checksum that is not there.
    zstd("does not decode", &single(5));
    let mut checksum = window(WINDOW_8_MIB);
    checksum[4] |= 4;
    zstd("does not decode", &checksum);
}

/// Whatever the bits, decoding ends, and what it gives is what was signed.
#[test]
fn attack_36_turned_bits_of_a_zstd_payload() {
    let part = [stix_part(STIX.as_bytes())];
    let runs = [Block::Raw(STIX.as_bytes().to_vec()), Block::Run(b' ', 40)];
    let good = zstd::frame(Head { window: Some(WINDOW_8_MIB), ..Head::default() }, &runs);
    let plain = format!("{STIX}{}", " ".repeat(40));
    assert!(outcome(Encoding::Zstd, &[stix_part(plain.as_bytes())], &good).is_ok());
    assert!(outcome(Encoding::Zstd, &part, &good).is_err());
    let forge = Forge::default();
    let bundle = forge.bundle(0, Encoding::Zstd, &[(Media::Stix, plain.as_bytes())]);
    let mut flipped = good.clone();
    for bit in 0..good.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(found) = watchfire_protocol::opening::plain(&bundle, &flipped) {
            assert_eq!(found, plain.as_bytes(), "bit {bit}");
        }
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}
