//! Step 10: the inner statement of class open.

use super::Book;
use crate::bytes::Writer;
use crate::forge::{CREATED_MS, FOUNDED_MS, STIX, head};
use watchfire_crypto::Statement as _;
use watchfire_protocol::ids::{BundleId, FederationId, MemberId};
use watchfire_protocol::limits::{BUNDLE_LIFE_MS_MAX, CERTIFICATE_LIFE_MS_MAX, PLAIN_BYTES_MAX};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::wire::bundle::{Audience, Bundle, Media, Named, Part};
use watchfire_protocol::wire::envelope::{Header, Tag};
use watchfire_protocol::wire::{Kind, List, Text, codec};

pub(super) fn write(book: &mut Book<'_>) {
    form(book);
    places(book);
    signatures(book);
    agreement(book);
    contradictions(book);
    markings(book);
}

fn form(book: &mut Book<'_>) {
    let forge = book.forge;
    let key = &forge.keys[0].signing;
    let cast = forge.plain(0);
    let statement = codec::encode(&forge.plain_bundle(0));
    let inner = |head: Vec<u8>| forge.sign(0, &cast.clone().with_head(head));
    let bundle = |statement: &[u8]| inner(head(14, statement, Bundle::DOMAIN, key));
    let good = &cast.head;

    let frames = [
        ("inner-malformed", "inner-empty", "a head of no bytes", inner(Vec::new())),
        ("inner-malformed", "inner-cut-off", "its last byte is missing", inner(good[..good.len() - 1].to_vec())),
        ("inner-trailing", "inner-trailing-byte", "a byte follows it", inner([good.as_slice(), &[0]].concat())),
        ("inner-not-canonical", "inner-kind-not-minimal", "kind 14 in three bytes", inner(
            [&[251, 14, 0], &good[1..]].concat(),
        )),
        ("inner-malformed", "inner-length-bomb", "a statement of 2^63 bytes", inner(
            Writer::new().integer(14).integer(1 << 63).into_vec(),
        )),
        ("bundle-trailing", "bundle-trailing-byte", "a byte follows the bundle, under a good signature", bundle(
            &[statement.as_slice(), &[0]].concat(),
        )),
        ("bundle-malformed", "bundle-empty", "a bundle of no bytes, under a good signature", bundle(&[])),
        ("bundle-malformed", "bundle-cut-off", "its last byte is missing, under a good signature", bundle(
            &statement[..statement.len() - 1],
        )),
        ("bundle-not-canonical", "bundle-sequence-not-minimal", "sequence 1 in three bytes, under a good signature", bundle(
            &[&statement[..113], &[251, 1, 0], &statement[114..]].concat(),
        )),
        ("bundle-malformed", "bundle-marking-5", "there are five markings, from 0", bundle(
            &[&statement[..132], &[5], &statement[133..]].concat(),
        )),
    ];
    for (rule, name, what, frame) in frames {
        book.reject(10, rule, name, what, frame);
    }
    let long = forge.open_other(0, 999, &[0x2a; 8_129], Kind::Recall.domain(), Tag::CONTROL);
    let frame = forge.sign(0, &long);
    book.reject(10, "inner-malformed", "inner-statement-too-long", "8,129 bytes, of a kind of a later version", frame);
}

fn places(book: &mut Book<'_>) {
    let forge = book.forge;
    let domain = Kind::Recall.domain();
    for (name, what, kind, tag) in [
        ("inner-recall-on-public", "it belongs to the control stream", Kind::Recall, Tag::PUBLIC),
        ("inner-sighting-on-control", "it belongs to the public stream", Kind::Sighting, Tag::CONTROL),
        ("inner-card", "it is never an inner statement", Kind::Card, Tag::CONTROL),
        ("inner-roster", "it has its own frame", Kind::Roster, Tag::CONTROL),
        ("inner-envelope", "an envelope in an envelope", Kind::Envelope, Tag::PUBLIC),
        ("inner-receipt", "it goes to one node", Kind::Receipt, Tag::CONTROL),
    ] {
        let frame = forge.sign(0, &forge.open_other(0, kind.number(), b"statement", domain, tag));
        book.reject(10, "inner-kind-misplaced", name, what, frame);
    }
    let bundle = Bundle { stream: Some((Tag::CONTROL, 1)), ..forge.plain_bundle(0) };
    let frame = forge.sign(0, &forge.open_bundle(0, &bundle, STIX.as_bytes()));
    book.reject(10, "inner-kind-misplaced", "inner-bundle-on-control", "it belongs to the public stream", frame);
}

fn signatures(book: &mut Book<'_>) {
    let forge = book.forge;
    let cast = forge.plain(0);
    let statement = codec::encode(&forge.plain_bundle(0));
    let (keys, other) = (&forge.keys[0], &forge.keys[1]);
    let mut spoiled = cast.head.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let heads = [
        ("inner-signature-altered", "a bit of it", spoiled),
        ("inner-signature-of-another-member", "the envelope of one around the bundle of another", head(
            14,
            &statement,
            Bundle::DOMAIN,
            &other.signing,
        )),
        ("inner-signature-of-the-root", "by the root of the same member", head(14, &statement, Bundle::DOMAIN, &keys.root)),
        ("inner-signature-for-an-envelope", "over the same bytes, for another kind", head(
            14,
            &statement,
            Header::DOMAIN,
            &keys.signing,
        )),
    ];
    for (name, what, head) in heads {
        let frame = forge.sign(0, &cast.clone().with_head(head));
        book.reject(10, "inner-signature", name, what, frame);
    }
    // A relay that wraps what another wrote.
    let frame = forge.sign(1, &forge.plain(1).with_head(cast.head));
    book.reject(10, "inner-signature", "inner-rewrapped-by-another-member", "another member's bundle in an own envelope", frame);
}

fn agreement(book: &mut Book<'_>) {
    let forge = book.forge;
    let plain = forge.plain_bundle(0);
    let other = forge.certificate(1);
    let later = forge.open_bundle(0, &Bundle { stream: Some((Tag::PUBLIC, 2)), ..plain.clone() }, STIX.as_bytes());
    let cast = forge.plain(0);
    let about = |bundle: &Bundle| {
        let head = forge.open_bundle(0, bundle, STIX.as_bytes()).head;
        forge.sign(0, &cast.clone().with_head(head))
    };
    let frames = [
        ("federation", "inner-of-another-federation", "signed for another one", about(&Bundle {
            federation: FederationId::from_bytes([0xfe; 32]),
            ..plain.clone()
        })),
        ("author", "inner-of-another-author", "it names another member", about(&Bundle {
            author: other.member,
            ..plain.clone()
        })),
        ("certificate", "inner-of-another-certificate", "it cites another certificate", about(&Bundle {
            certificate: other.id,
            ..plain.clone()
        })),
        ("stream", "inner-of-another-sequence", "moved to another place of its stream", forge.sign(
            0,
            &later.clone().with_head(cast.head.clone()),
        )),
        ("stream", "inner-of-another-stream", "it names another tag", about(&Bundle {
            stream: Some((Tag::CONTROL, 1)),
            ..plain.clone()
        })),
        ("stream", "inner-of-no-stream", "made for class direct", about(&Bundle { stream: None, ..plain.clone() })),
        ("expiry", "inner-expires-later", "an hour after its envelope", about(&Bundle {
            not_after_ms: plain.not_after_ms + 3_600_000,
            ..plain.clone()
        })),
        ("expiry", "inner-expires-in-the-next-hour", "a millisecond into the next hour is the next hour", about(&Bundle {
            not_after_ms: plain.not_after_ms + 1,
            ..plain.clone()
        })),
    ];
    for (field, name, what, frame) in frames {
        book.reject(10, &format!("inner-disagrees-{field}"), name, what, frame);
    }
    let mut bare = cast.clone();
    bare.payload = None;
    bare.bind();
    let frame = forge.sign(0, &bare);
    book.reject(10, "inner-disagrees-payload", "inner-without-payload", "a bundle has a payload", frame);
}

fn contradictions(book: &mut Book<'_>) {
    let forge = book.forge;
    let plain = forge.plain_bundle(0);
    let part = |media, length| Part { media, length, digest: [0; 32] };
    let parts = |parts: &[Part]| Bundle { parts: List::new(parts.to_vec()).unwrap(), ..plain.clone() };
    let stix = part(Media::Stix, 10);
    let times = |created_ms, not_after_ms| Bundle { created_ms, not_after_ms, ..plain.clone() };
    let cases = [
        ("bundle-times", "bundle-of-no-life", "it ends as it begins", times(CREATED_MS, CREATED_MS)),
        ("bundle-times", "bundle-ends-before-it-begins", "by a millisecond", times(CREATED_MS, CREATED_MS - 1)),
        ("bundle-times", "bundle-lives-too-long", "1,830 days and a millisecond", times(
            CREATED_MS,
            CREATED_MS + BUNDLE_LIFE_MS_MAX + 1,
        )),
        ("bundle-parts", "bundle-without-parts", "no part at all", parts(&[])),
        ("bundle-parts", "bundle-first-part-not-stix", "the first is STIX", parts(&[part(Media::Csv, 10), stix])),
        ("bundle-parts", "bundle-with-two-stix", "and only the first", parts(&[stix, stix])),
        ("bundle-parts", "bundle-with-empty-part", "a part of no bytes", parts(&[stix, part(Media::Csv, 0)])),
        ("bundle-parts", "bundle-too-long", "a byte over 192 MiB", parts(&[stix, part(Media::Csv, PLAIN_BYTES_MAX - 9)])),
        ("bundle-parts", "bundle-length-overflows", "lengths that add up to 9 in 64 bits", parts(&[stix, part(
            Media::Csv,
            u64::MAX,
        )])),
        ("bundle-relay-allowed", "bundle-clear-by-mailbox", "only RED lies in mailboxes", Bundle {
            relay_allowed: true,
            ..plain.clone()
        }),
        ("outside-certificate", "bundle-before-its-certificate", "by a millisecond", Bundle {
            created_ms: FOUNDED_MS - 1,
            ..plain.clone()
        }),
        ("outside-certificate", "bundle-after-its-certificate", "by a millisecond", Bundle {
            created_ms: FOUNDED_MS + CERTIFICATE_LIFE_MS_MAX + 1,
            not_after_ms: FOUNDED_MS + CERTIFICATE_LIFE_MS_MAX + 2,
            ..plain.clone()
        }),
    ];
    for (rule, name, what, bundle) in cases {
        let frame = forge.sign(0, &forge.open_bundle(0, &bundle, STIX.as_bytes()));
        book.reject(10, rule, name, what, frame);
    }
}

fn markings(book: &mut Book<'_>) {
    let forge = book.forge;
    let plain = forge.plain_bundle(0);
    let member = |byte| MemberId::from_bytes([byte; 32]);
    let named = |members: &[MemberId]| {
        Audience::Named(Named { members: List::new(members.to_vec()).unwrap(), ..Named::default() })
    };
    let communities = |names: &[&str]| {
        let names = names.iter().map(|name| Text::new(*name).unwrap()).collect();
        Audience::Named(Named { communities: List::new(names).unwrap(), ..Named::default() })
    };
    let marked = |marking, audience| Bundle { marking, audience, ..plain.clone() };
    let some = named(&[member(1)]);
    let cases = [
        ("bundle-audience", "bundle-clear-for-some", "CLEAR is for everyone", marked(Marking::Clear, some.clone())),
        ("bundle-audience", "bundle-green-for-everyone", "only CLEAR is", marked(Marking::Green, Audience::Everyone)),
        ("bundle-audience", "bundle-red-for-everyone", "only CLEAR is", marked(Marking::Red, Audience::Everyone)),
        ("bundle-audience", "bundle-for-nobody", "an audience of nobody", marked(Marking::Amber, named(&[]))),
        ("bundle-not-a-set", "bundle-members-twice", "one member twice", marked(Marking::Amber, named(&[member(1), member(1)]))),
        ("bundle-not-a-set", "bundle-members-out-of-order", "a set ascends", marked(
            Marking::Amber,
            named(&[member(2), member(1)]),
        )),
        ("bundle-not-a-set", "bundle-communities-out-of-order", "a set ascends", marked(
            Marking::Green,
            communities(&["energy", "demo"]),
        )),
        ("marking-in-clear", "bundle-green-in-clear", "for a community, in clear", marked(Marking::Green, communities(&["demo"]))),
        ("marking-in-clear", "bundle-amber-in-clear", "for a member, in clear", marked(Marking::Amber, some.clone())),
        ("marking-in-clear", "bundle-amber-strict-in-clear", "for a member, in clear", marked(Marking::AmberStrict, some.clone())),
        ("marking-in-clear", "bundle-red-in-clear", "for a member, by mailbox, in clear", Bundle {
            relay_allowed: true,
            supersedes: Some(BundleId::from_bytes([3; 32])),
            ..marked(Marking::Red, some)
        }),
    ];
    for (rule, name, what, bundle) in cases {
        let frame = forge.sign(0, &forge.open_bundle(0, &bundle, STIX.as_bytes()));
        book.reject(10, rule, name, what, frame);
    }
}
