//! Steps 5 to 9: header, body, author, signature, second signature.

use super::Book;
use crate::forge::{Cast, SEALED_TAG, previous};
use watchfire_crypto::{Domain, Signature, Statement as _};
use watchfire_protocol::ids::{CertificateId, EnvelopeId, MemberId};
use watchfire_protocol::wire::envelope::{
    Class, Header, KeyBlockBinding, PayloadBinding, SealingBinding, Tag,
};
use watchfire_protocol::wire::{Kind, Root, codec};

pub(super) fn write(book: &mut Book<'_>) {
    header_class(book);
    header_numbers(book);
    body(book);
    author(book);
    signature(book);
}

/// The frame of a valid cast after one change, bound as before.
fn changed(book: &Book<'_>, cast: Cast, change: impl FnOnce(&mut Cast)) -> Vec<u8> {
    let mut cast = cast;
    change(&mut cast);
    let member = book.forge.roster.certificate(&cast.header.prefix.certificate);
    let member = (0..book.forge.keys.len())
        .find(|at| Some(book.forge.certificate(*at)) == member)
        .unwrap_or(0);
    book.forge.sign(member, &cast)
}

fn header_class(book: &mut Book<'_>) {
    let forge = book.forge;
    let (plain, sealed) = (forge.plain(0), forge.sealed(1, None, Some(&[0x70; 64])));
    let tagged = |cast: &Cast, new: Tag| {
        changed(book, cast.clone(), |cast| {
            if let Class::Open { tag, .. } | Class::Sealed { tag, .. } = cast.class() {
                *tag = new;
            }
        })
    };
    let (open, control, public) = (tagged(&plain, SEALED_TAG), tagged(&sealed, Tag::CONTROL), tagged(&sealed, Tag::PUBLIC));
    let rule = "header-tag-of-other-class";
    book.reject(5, rule, "header-open-with-random-tag", "class open has two tags", open);
    book.reject(5, rule, "header-sealed-on-control", "class sealed never has a reserved tag", control);
    book.reject(5, rule, "header-sealed-on-public", "class sealed never has a reserved tag", public);

    let rule = "header-sealing-fields";
    let frame = changed(book, plain.clone(), |cast| {
        cast.header.binding.sealing = sealed.header.binding.sealing.clone();
    });
    book.reject(5, rule, "header-open-with-sealing", "what belongs to sealing is absent in class open", frame);
    let frame = changed(book, sealed.clone(), |cast| cast.header.binding.sealing = None);
    book.reject(5, rule, "header-sealed-without-sealing", "and present in class sealed", frame);
    for (name, what, length) in [
        ("header-key-block-empty", "a key block of no bytes", 0),
        ("header-key-block-too-long", "a key block of 81,921 bytes", 81_921),
    ] {
        let frame = changed(book, sealed.clone(), |cast| {
            let sealing: &mut SealingBinding = cast.header.binding.sealing.as_mut().unwrap();
            sealing.key_block = Some(KeyBlockBinding { length, digest: [0; 32] });
        });
        book.reject(5, rule, name, what, frame);
    }

    let frame = forge.sign(0, &forge.direct(0));
    book.reject(5, "direct-in-gossip", "header-class-direct", "it travels by the direct protocol alone", frame);
    let rule = "second-signature-disagrees";
    let frame = changed(book, plain.clone(), |cast| cast.second_signature = Some(vec![0; 64]));
    book.reject(5, rule, "header-second-signature-added", "the header binds none", frame);
    let frame = changed(book, plain, |cast| cast.header.binding.second_signature = Some(1));
    book.reject(5, rule, "header-second-signature-stripped", "the header binds one", frame);
}

fn header_numbers(book: &mut Book<'_>) {
    let plain = book.forge.plain(0);
    for (name, what, at, before) in [
        ("header-sequence-0", "sequences count from 1", 0, None),
        ("header-sequence-0-with-previous", "sequences count from 1", 0, previous(2)),
        ("header-sequence-too-large", "2^48", 1 << 48, previous(2)),
        ("header-sequence-largest-number", "2^64 - 1", u64::MAX, previous(2)),
        ("header-first-with-previous", "nothing is before the first", 1, previous(2)),
        ("header-later-without-previous", "something is before the second", 2, None),
    ] {
        let frame = changed(book, plain.clone(), |cast| {
            *cast.class() = Class::Open { tag: Tag::PUBLIC, sequence: at, previous: before };
        });
        book.reject(5, "header-sequence-and-previous", name, what, frame);
    }
    for (name, cast) in [
        ("header-never-expires-on-public", plain.clone()),
        ("header-never-expires-sealed", book.forge.sealed(1, None, None)),
    ] {
        let frame = changed(book, cast, |cast| cast.header.prefix.expiry_hour = u32::MAX);
        book.reject(5, "header-never-expires", name, "never is for the control stream", frame);
    }
    for (name, what, chunks, length) in [
        ("header-payload-of-0-bytes", "no chunk is empty", 0, 0),
        ("header-payload-of-0-bytes-in-a-chunk", "no chunk is empty", 1, 0),
        ("header-no-chunk", "some bytes in no chunk", 0, 100),
        ("header-chunk-too-many", "100 bytes in two chunks", 2, 100),
        ("header-chunk-too-few", "a chunk and a byte in one chunk", 1, 262_145),
        ("header-payload-too-long", "a byte over 64 MiB", 257, 67_108_865),
        ("header-payload-of-2-64-bytes", "2^64 - 1 bytes", u32::MAX, u64::MAX),
    ] {
        let frame = changed(book, plain.clone(), |cast| {
            let root = Root::of(b"x").unwrap();
            cast.header.binding.payload = Some(PayloadBinding { chunks, length, root });
        });
        book.reject(5, "header-chunk-count", name, what, frame);
    }
}

fn body(book: &mut Book<'_>) {
    let forge = book.forge;
    let plain = forge.plain(0);
    let sealed = forge.sealed(1, Some(&[0x6b; 64]), Some(&[0x70; 300]));
    let announced = forge.sealed(1, Some(&[0x6b; 1]), Some(&[0x70; 32_768]));
    type Change = fn(&mut Cast);
    let cases: [(&str, &'static str, &'static str, &Cast, Change); 16] = [
        ("body-head", "body-head-altered", "a bit of the head", &plain, |cast| cast.head[5] ^= 1),
        ("body-head", "body-head-emptied", "the head is gone", &plain, |cast| cast.head.clear()),
        ("body-payload", "body-payload-altered", "a bit of the payload", &plain, |cast| {
            cast.payload.as_mut().unwrap()[0] ^= 1;
        }),
        ("body-payload", "body-payload-shorter", "a byte less than bound", &plain, |cast| {
            cast.payload.as_mut().unwrap().pop();
        }),
        ("body-payload", "body-payload-longer", "a byte more than bound", &plain, |cast| {
            cast.payload.as_mut().unwrap().push(b' ');
        }),
        ("body-payload", "body-payload-emptied", "there, and empty", &plain, |cast| cast.payload = Some(Vec::new())),
        ("body-payload", "body-payload-missing", "what ought to travel in the frame does not", &plain, |cast| {
            cast.payload = None;
        }),
        ("body-payload", "body-payload-unbound", "the header binds none", &plain, |cast| {
            cast.header.binding.payload = None;
        }),
        ("body-payload", "body-root-of-another", "length agrees, root does not", &plain, |cast| {
            cast.header.binding.payload.as_mut().unwrap().root = Root::of(b"another").unwrap();
        }),
        ("body-payload", "body-length-of-another", "root agrees, length does not", &plain, |cast| {
            cast.header.binding.payload.as_mut().unwrap().length += 1;
        }),
        ("body-key-block", "body-open-with-key-block", "class open has none", &plain, |cast| {
            cast.key_block = Some(vec![0x6b; 64]);
        }),
        ("body-key-block", "body-key-block-altered", "a bit of the key block", &sealed, |cast| {
            cast.key_block.as_mut().unwrap()[0] ^= 1;
        }),
        ("body-key-block", "body-key-block-missing", "what ought to travel in the frame does not", &sealed, |cast| {
            cast.key_block = None;
        }),
        ("body-key-block", "body-key-block-that-is-pulled", "what ought to be pulled travels in the frame", &announced, |cast| {
            cast.key_block = Some(vec![0x6b; 1]);
        }),
        ("body-payload", "body-payload-that-is-pulled", "what ought to be pulled travels in the frame", &announced, |cast| {
            cast.payload = Some(vec![0x70; 32_768]);
        }),
        ("body-payload", "body-sealed-payload-altered", "a bit of the payload", &sealed, |cast| {
            cast.payload.as_mut().unwrap()[299] ^= 1;
        }),
    ];
    for (rule, name, what, cast, change) in cases {
        let frame = changed(book, cast.clone(), change);
        book.reject(6, rule, name, what, frame);
    }
    let frame = changed(book, plain, |cast| {
        cast.head[5] ^= 1;
        cast.header.prefix.certificate = CertificateId::from_bytes([0; 32]);
    });
    book.reject(6, "body-head", "body-before-author", "a spoiled body has one verdict, whoever the author is", frame);
}

fn author(book: &mut Book<'_>) {
    let forge = book.forge;
    let plain = forge.plain(0);
    let rule = "author-unknown";
    let frame = changed(book, plain.clone(), |cast| cast.header.prefix.epoch = 1);
    book.ignore(7, rule, "author-epoch-above-ours", "we may be behind", frame);
    let frame = changed(book, plain.clone(), |cast| cast.header.prefix.epoch = u64::MAX);
    book.ignore(7, rule, "author-epoch-largest-number", "or somebody is joking", frame);
    let other = forge.certificate(1);
    let frame = changed(book, plain.clone(), |cast| cast.header.prefix.author = other.member);
    book.ignore(7, rule, "author-of-another-certificate", "the certificate is not that author's", frame);
    let frame = changed(book, plain.clone(), |cast| cast.header.prefix.certificate = other.id);
    book.ignore(7, rule, "author-with-anothers-certificate", "the certificate is not that author's", frame);
    let mut near = *plain.header.prefix.certificate.as_bytes();
    near[31] ^= 1;
    let near = CertificateId::from_bytes(near);
    let frame = changed(book, plain.clone(), |cast| cast.header.prefix.certificate = near);
    book.ignore(7, rule, "author-certificate-31-bytes-alike", "ids count in full length", frame);
    let mut near = *plain.header.prefix.author.as_bytes();
    near[31] ^= 1;
    let near = MemberId::from_bytes(near);
    let frame = changed(book, plain.clone(), |cast| cast.header.prefix.author = near);
    book.ignore(7, rule, "author-31-bytes-alike", "ids count in full length", frame);
    let mut cast = plain;
    cast.header.prefix.epoch = 1;
    let frame = cast.frame(&codec::encode(&cast.header), &Signature::from_bytes([0; 64]));
    book.ignore(7, rule, "author-before-signature", "whose signature it would be is not known", frame);
}

fn signature(book: &mut Book<'_>) {
    let forge = book.forge;
    let plain = forge.plain(0);
    let header = codec::encode(&plain.header);
    let keys = &forge.keys[0];
    let good = keys.signing.sign(Header::DOMAIN, &header);
    let with = |bytes: [u8; 64]| plain.frame(&header, &Signature::from_bytes(bytes));
    let by = |signature: Signature| plain.frame(&header, &signature);
    let mut spoiled = good.to_bytes();
    spoiled[0] ^= 1;
    let mut scalar = good.to_bytes();
    scalar[32] ^= 1;
    let bundle: Domain = Kind::Bundle.domain();
    // A good signature of another statement of the same author.
    let mut other = plain.clone();
    *other.class() = Class::Open { tag: Tag::PUBLIC, sequence: 2, previous: Some(EnvelopeId::from_bytes([1; 32])) };
    let other = keys.signing.sign(Header::DOMAIN, &codec::encode(&other.header));
    let cases = [
        ("signature-of-zeros", "64 zero bytes", with([0; 64])),
        ("signature-of-noise", "64 bytes of nothing", with([0xb5; 64])),
        ("signature-r-altered", "a bit of R", with(spoiled)),
        ("signature-s-altered", "a bit of S", with(scalar)),
        ("signature-s-not-canonical", "S and the group order added: the same to a lax check", with(plus_order(good))),
        ("signature-of-another-member", "by a node of another member", by(forge.keys[1].signing.sign(Header::DOMAIN, &header))),
        ("signature-of-the-root", "by the root of the same member", by(keys.root.sign(Header::DOMAIN, &header))),
        ("signature-of-the-transport-key", "by the transport key of the same node", by(keys.transport.sign(Header::DOMAIN, &header))),
        ("signature-for-a-bundle", "over the same bytes, for another kind", by(keys.signing.sign(bundle, &header))),
        ("signature-of-another-envelope", "of the same author, over another header", by(other)),
    ];
    for (name, what, frame) in cases {
        book.reject(8, "signature", name, what, frame);
    }

    let mut second = plain;
    second.header.binding.second_signature = Some(1);
    second.second_signature = Some(vec![0x65; 3_309]);
    let frame = forge.sign(0, &second);
    book.ignore(9, "second-signature-unknown", "second-signature-unknown", "an algorithm that a later version may verify", frame);
    second.second_signature = Some(Vec::new());
    let frame = forge.sign(0, &second);
    book.ignore(9, "second-signature-unknown", "second-signature-empty", "there, and of no bytes: nobody here can tell", frame);
    let frame = forge.sign(1, &second);
    book.reject(8, "signature", "signature-before-second-signature", "the first one does not hold", frame);
}

/// The same signature with the order of the group added to its scalar.
fn plus_order(signature: Signature) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, //
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut bytes = signature.to_bytes();
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "twice the order fits 32 bytes");
    bytes
}
