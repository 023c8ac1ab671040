//! Frames that come through: every form there is, and the bounds from inside.

use super::Book;
use crate::forge::{CREATED_MS, FOUNDED_MS, STIX, large_stix, previous, stored_stix};
use watchfire_protocol::ids::BundleId;
use watchfire_protocol::limits::{BODY_INLINE_BYTES_MAX, BUNDLE_LIFE_MS_MAX, CERTIFICATE_LIFE_MS_MAX, SEQUENCE_MAX};
use watchfire_protocol::wire::bundle::{Bundle, Encoding, Media, PermissibleActions};
use watchfire_protocol::wire::envelope::{Class, Tag};
use watchfire_protocol::wire::{Bytes, Kind, Text};

pub(super) fn write(book: &mut Book<'_>) {
    open(book);
    carried(book);
    sealed(book);
}

fn open(book: &mut Book<'_>) {
    let forge = book.forge;
    let plain = forge.plain_bundle(0);
    let cast = forge.plain(0);
    book.accept("open-bundle-inline", "the smallest ordinary bundle", "bundle", 0, &cast, Some(&plain));

    let of_hub = forge.plain_bundle(2);
    book.accept("open-bundle-of-a-hub", "a hub may publish too", "bundle", 2, &forge.plain(2), Some(&of_hub));

    let stored = stored_stix();
    let bundle = forge.bundle(0, Encoding::Zstd, &[(Media::Stix, STIX.as_bytes())]);
    let cast = forge.open_bundle(0, &bundle, &stored);
    book.accept("open-bundle-zstd", "the payload is a zstd frame", "bundle", 0, &cast, Some(&bundle));

    let (csv, text) = (b"domain,c2.watch.example\n".as_slice(), b"seen on Tuesday\n".as_slice());
    let parts = [(Media::Stix, STIX.as_bytes()), (Media::Csv, csv), (Media::Text, text), (Media::Misp, b"{}")];
    let bundle = forge.bundle(0, Encoding::Identity, &parts);
    let cast = forge.open_bundle(0, &bundle, &[STIX.as_bytes(), csv, text, b"{}"].concat());
    book.accept("open-bundle-four-parts", "STIX and three originals", "bundle", 0, &cast, Some(&bundle));

    for (name, what, bytes) in [
        ("open-bundle-largest-inline", "32,768 bytes of payload travel in the frame", BODY_INLINE_BYTES_MAX),
        ("open-bundle-announced", "32,769 bytes of payload are announced and pulled", BODY_INLINE_BYTES_MAX + 1),
        ("open-bundle-two-chunks", "a payload of one chunk and one byte", 262_145),
    ] {
        let payload = large_stix(bytes);
        let bundle = forge.bundle(0, Encoding::Identity, &[(Media::Stix, &payload)]);
        book.accept(name, what, "bundle", 0, &forge.open_bundle(0, &bundle, &payload), Some(&bundle));
    }

    let variants = [
        ("open-bundle-later-in-stream", "sequence 3, with the id of the one before", Bundle {
            stream: Some((Tag::PUBLIC, 3)),
            ..plain.clone()
        }),
        ("open-bundle-last-sequence", "the largest sequence there is", Bundle {
            stream: Some((Tag::PUBLIC, SEQUENCE_MAX)),
            ..plain.clone()
        }),
        ("open-bundle-every-field", "every optional field is there", Bundle {
            permissible_actions: Some(PermissibleActions::Amber),
            exercise: true,
            supersedes: Some(BundleId::from_bytes([0x88; 32])),
            declassify: Some(Text::new("published by the vendor").unwrap()),
            ..plain.clone()
        }),
        ("open-bundle-longest-life", "valid for 1,830 days to the millisecond", Bundle {
            not_after_ms: CREATED_MS + BUNDLE_LIFE_MS_MAX,
            ..plain.clone()
        }),
        ("open-bundle-shortest-life", "valid for one millisecond; the gate has no clock", Bundle {
            not_after_ms: CREATED_MS + 1,
            ..plain.clone()
        }),
        ("open-bundle-first-moment", "made in the first moment of its certificate", Bundle {
            created_ms: FOUNDED_MS,
            ..plain.clone()
        }),
        ("open-bundle-last-moment", "made in the last moment of its certificate", Bundle {
            created_ms: FOUNDED_MS + CERTIFICATE_LIFE_MS_MAX,
            not_after_ms: FOUNDED_MS + CERTIFICATE_LIFE_MS_MAX + 1,
            ..plain
        }),
    ];
    for (name, what, bundle) in variants {
        let cast = forge.open_bundle(0, &bundle, STIX.as_bytes());
        book.accept(name, what, "bundle", 0, &cast, Some(&bundle));
    }
}

fn carried(book: &mut Book<'_>) {
    let forge = book.forge;
    let recall = Kind::Recall.domain();
    for (name, what, kind, tag) in [
        ("open-recall-on-control", "a kind that is carried and not opened", 16, Tag::CONTROL),
        ("open-sighting-on-public", "a kind that is carried and not opened", 18, Tag::PUBLIC),
        ("open-unknown-kind-on-control", "an inner kind of a later version", 999, Tag::CONTROL),
        ("open-unknown-kind-on-public", "an inner kind of a later version", 999, Tag::PUBLIC),
    ] {
        let cast = forge.open_other(0, kind, b"a statement of that kind", recall, tag);
        book.accept(name, what, &format!("carried {kind}"), 0, &cast, None);
    }
    let mut cast = forge.open_other(0, 999, &[0x2a; 8_128], recall, Tag::CONTROL);
    book.accept(
        "open-largest-inner",
        "an inner statement of 8,128 bytes, of a kind of a later version",
        "carried 999",
        0,
        &cast,
        None,
    );
    // Nobody but a node that knows the kind can judge its signature.
    cast = forge.open_other(0, 999, b"a statement of that kind", recall, Tag::CONTROL);
    let at = cast.head.len() - 1;
    cast.head[at] ^= 1;
    cast.bind();
    book.accept(
        "open-unknown-kind-badly-signed",
        "the inner signature of a kind of a later version is not judged",
        "carried 999",
        0,
        &cast,
        None,
    );
}

fn sealed(book: &mut Book<'_>) {
    let forge = book.forge;
    let block = [0x6b; 1_168];
    let cases = [
        ("sealed-inline", "key block and payload in the frame", forge.sealed(1, Some(&block), Some(&[0x70; 1_024]))),
        ("sealed-without-key-block", "a standing audience needs none", forge.sealed(1, None, Some(&[0x70; 1_024]))),
        ("sealed-without-payload", "all of it fits the head", forge.sealed(1, None, None)),
        (
            "sealed-largest-inline",
            "key block and payload are 32,768 bytes together",
            forge.sealed(1, Some(&[0x6b; 768]), Some(&[0x70; 32_000])),
        ),
        (
            "sealed-announced",
            "key block and payload are 32,769 bytes together, so both are pulled",
            forge.sealed(1, Some(&[0x6b; 769]), Some(&[0x70; 32_000])),
        ),
    ];
    for (name, what, cast) in cases {
        book.accept(name, what, "sealed 7", 1, &cast, None);
    }
    let mut cast = forge.sealed(1, None, Some(&[0x70; 16]));
    if let Class::Sealed { suite, sequence, previous: before, size_bucket, sealing, .. } = cast.class() {
        (*suite, *sequence, *size_bucket) = (u16::MAX, SEQUENCE_MAX, u8::MAX);
        *before = previous(SEQUENCE_MAX);
        *sealing = Bytes::new(vec![0x5e; 256]).unwrap();
    }
    if let Some(sealing) = &mut cast.header.binding.sealing {
        sealing.commitments = Bytes::new(vec![0xc0; 256]).unwrap();
    }
    book.accept("sealed-largest-header", "every field at its bound", "sealed 65535", 1, &cast, None);
}
