//! What opens, for whom, and that nothing else does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::vec::Vec;

use super::*;
use crate::Secret;

fn secret(byte: u8) -> Secret<[u8; 32]> {
    Secret::new([byte; 32])
}

fn entropy(byte: u8) -> Secret<[u8; SLOT_ENTROPY_BYTES]> {
    Secret::new([byte; SLOT_ENTROPY_BYTES])
}

const PREFIX: PrefixDigest = PrefixDigest([7; 32]);

#[test]
fn a_slot_opens_for_its_recipient_in_its_context_alone() {
    let (own, other) = (
        PrekeySecret::from_seed(secret(1)),
        PrekeySecret::from_seed(secret(2)),
    );
    let slot = Slot::seal(&own.prekey(), b"grant", &secret(9), &entropy(3));
    let slot = Slot::enrol(slot.as_bytes()).unwrap();
    assert_eq!(slot.open(&own, b"grant").unwrap().expose(), &[9; 32]);
    assert!(slot.open(&other, b"grant").is_err());
    assert!(slot.open(&own, b"another").is_err());
}

#[test]
fn attack_22_a_slot_with_one_bit_changed_opens_for_nobody() {
    let own = PrekeySecret::from_seed(secret(1));
    let slot = Slot::seal(&own.prekey(), b"grant", &secret(9), &entropy(3));
    for bit in 0..SLOT_BYTES * 8 {
        // One bit of X25519's encoding is not read; X-Wing hashes it into the key, so it counts all the same.
        let mut bytes = *slot.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Every tenth: a decapsulation is slow in a build that is not optimised.
        if bit % 10 == 0 || bit / 8 >= SLOT_BYTES - 49 {
            let opened = Slot::enrol(&bytes).and_then(|slot| slot.open(&own, b"grant"));
            assert!(opened.is_err(), "bit {bit}");
        }
    }
}

#[test]
fn attack_24_slots_and_prekeys_that_are_none_are_refused_before_a_kem() {
    let own = PrekeySecret::from_seed(secret(1));
    let slot = *Slot::seal(&own.prekey(), b"", &secret(9), &entropy(3)).as_bytes();
    for bytes in [&slot[..SLOT_BYTES - 1], &[]] {
        assert_eq!(Slot::enrol(bytes), Err(NotOpened));
    }
    let mut zero = slot;
    zero[1_088..1_120].fill(0);
    assert_eq!(Slot::enrol(&zero), Err(NotOpened));
    zero[1_119] = 0x80;
    assert_eq!(
        Slot::enrol(&zero),
        Err(NotOpened),
        "the highest bit is not read"
    );

    let prekey = own.prekey().to_bytes();
    assert_eq!(Prekey::enrol(&prekey).unwrap(), own.prekey());
    assert_eq!(Prekey::enrol(&prekey[1..]), Err(PrekeyRefused::Length));
    let mut small = prekey;
    small[1_184..].fill(0);
    assert_eq!(Prekey::enrol(&small), Err(PrekeyRefused::SmallOrder));
    let mut not_reduced = prekey;
    // The first coefficient becomes 4,095, which is above q − 1 = 3,328.
    not_reduced[0] = 0xff;
    not_reduced[1] |= 0x0f;
    assert_eq!(Prekey::enrol(&not_reduced), Err(PrekeyRefused::Malformed));
}

#[test]
fn an_audience_key_gives_each_envelope_its_own_content_key() {
    let audience = AudienceKey::new(secret(4));
    let one = audience.content_key(PREFIX);
    let other = audience.content_key(PrefixDigest([8; 32]));
    assert_ne!(one.secret().expose(), other.secret().expose());
    assert_ne!(one.secret().expose(), &[4; 32]);
    let wrap = audience.wrap(&one, PREFIX);
    let opened = audience.unwrap(&wrap, PREFIX).unwrap();
    assert_eq!(opened.secret().expose(), one.secret().expose());
    assert!(audience.unwrap(&wrap, PrefixDigest([8; 32])).is_err());
    assert!(AudienceKey::new(secret(5)).unwrap(&wrap, PREFIX).is_err());
    for bit in 0..WRAP_BYTES * 8 {
        let mut spoiled = wrap;
        spoiled[bit / 8] ^= 1 << (bit % 8);
        assert!(audience.unwrap(&spoiled, PREFIX).is_err(), "bit {bit}");
    }
}

#[test]
fn attack_23_what_another_key_was_committed_to_is_not_decrypted() {
    let [one, other] = [1, 2].map(|byte| ContentKey::new(secret(byte)));
    let key = SegmentKey::derive(&one, PREFIX, Segment::Header);
    let same = SegmentKey::committed(&one, PREFIX, Segment::Header, key.commitment());
    assert!(same.is_ok());
    for (content, prefix, segment) in [
        (&other, PREFIX, Segment::Header),
        (&one, PrefixDigest([8; 32]), Segment::Header),
        (&one, PREFIX, Segment::Payload),
        (&one, PREFIX, Segment::Delivery),
    ] {
        let found = SegmentKey::committed(content, prefix, segment, key.commitment());
        assert!(found.is_err(), "{segment:?}");
    }
}

#[test]
fn pieces_open_where_they_were_sealed_and_nowhere_else() {
    let content = ContentKey::new(secret(1));
    let key = SegmentKey::derive(&content, PREFIX, Segment::Payload);
    let header = SegmentKey::derive(&content, PREFIX, Segment::Header);
    let pieces: Vec<Vec<u8>> = (0..3)
        .map(|index| key.seal(index, index == 2, &[9; 100]))
        .collect();
    for (index, piece) in (0..).zip(&pieces) {
        assert_eq!(piece.len(), 100 + PIECE_TAG_BYTES);
        for at in 0..4 {
            for is_last in [false, true] {
                let opened = key.open(at, is_last, piece).is_ok();
                assert_eq!(opened, at == index && is_last == (index == 2));
            }
        }
        assert!(header.open(index, index == 2, piece).is_err());
        for bit in 0..piece.len() * 8 {
            let mut spoiled = piece.clone();
            spoiled[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(index, index == 2, &spoiled).is_err());
        }
    }
}

#[test]
fn sizes_are_few_and_grow_by_little() {
    assert_eq!(header_size(0), Some(512));
    assert_eq!(header_size(513), Some(1_024));
    assert_eq!(header_size(8_192), Some(8_192));
    assert_eq!(header_size(8_193), None);
    assert_eq!(payload_size(0), 1_024);
    assert_eq!(payload_size(1_025), 4_096);
    assert_eq!(payload_size(256 << 10), 256 << 10);
    let mut bytes: u64 = 256 << 10;
    while bytes < 200 << 20 {
        let padded = payload_size(bytes + 1);
        assert!(padded > bytes, "{bytes}");
        assert!((padded - bytes) * 100 <= bytes * 12, "{bytes} to {padded}");
        assert_eq!(payload_size(padded), padded);
        bytes = padded;
    }
}

#[test]
fn two_nodes_share_a_hint_and_a_third_has_another() {
    let keys = [1, 2, 3].map(|byte| HintKey::of_seed(&secret(byte)));
    let [a, b, c] = &keys;
    let there = a.with(&b.public()).unwrap();
    let back = b.with(&a.public()).unwrap();
    let other = c.with(&a.public()).unwrap();
    let (node, nonce) = ([5; 32], [6; 16]);
    assert_eq!(there.hint(&node, &nonce), back.hint(&node, &nonce));
    assert_ne!(there.hint(&node, &nonce), other.hint(&node, &nonce));
    assert_ne!(there.hint(&node, &nonce), there.hint(&[4; 32], &nonce));
    assert_ne!(there.hint(&node, &nonce), there.hint(&node, &[7; 16]));
    assert_eq!(a.with(&[0; 32]).err(), Some(PrekeyRefused::SmallOrder));
    // Not the X25519 half of the prekey of the same seed.
    let prekey = PrekeySecret::from_seed(secret(1)).prekey().to_bytes();
    assert_ne!(prekey[1_184..], a.public());
}

#[test]
fn a_grant_commits_to_its_audience_key_and_notes_open_under_it_alone() {
    let [one, other] = [4, 5].map(|byte| AudienceKey::new(secret(byte)));
    assert_ne!(one.commitment(), other.commitment());
    assert_ne!(&one.commitment(), one.secret().expose());
    let note = one.seal_note(&[1; 16], b"dach");
    assert_eq!(one.open_note(&[1; 16], &note).unwrap(), b"dach");
    assert!(other.open_note(&[1; 16], &note).is_err());
    assert!(one.open_note(&[2; 16], &note).is_err());
    assert_ne!(one.seal_note(&[2; 16], b"dach"), note);
    for bit in 0..note.len() * 8 {
        let mut spoiled = note.clone();
        spoiled[bit / 8] ^= 1 << (bit % 8);
        assert!(one.open_note(&[1; 16], &spoiled).is_err());
    }
}
