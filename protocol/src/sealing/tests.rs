//! What opens, for whom, and that nothing else does, over whole bodies and grants.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::body::{SALT_BYTES, open_head, open_payload, payload_step, seal};
use super::grant::{Grantee, Held, Marked, read_slots};
use super::keys::{Recipient, key_block, slots, wraps};
use crate::ids::{CertificateId, FederationId, GrantId, MemberId, PrekeyId};
use crate::limits::{CHUNK_BYTES, PAYLOAD_BYTES_MAX};
use crate::wire::bundle::Named;
use crate::wire::codec;
use crate::wire::envelope::Tag;
use crate::wire::sealing::{Grant, GrantNote, GrantSlots, KeyBlock};
use watchfire_crypto::Secret;
use watchfire_crypto::seal::{AudienceKey, ContentKey, PrefixDigest, PrekeySecret};

const PREFIX: PrefixDigest = PrefixDigest([7; 32]);

fn content(byte: u8) -> ContentKey {
    ContentKey::new(Secret::new([byte; 32]))
}

fn prekey(byte: u8) -> PrekeySecret {
    PrekeySecret::from_seed(Secret::new([byte; 32]))
}

fn salt() -> Secret<[u8; SALT_BYTES]> {
    Secret::new([3; SALT_BYTES])
}

#[test]
fn what_is_sealed_opens_as_it_was_and_is_of_a_step() {
    for length in [0, 1, 900, 5_000, 262_000, 262_144, 600_000] {
        let encoded: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
        let body = seal(&content(1), PREFIX, b"inner", Some((&salt(), &encoded))).unwrap();
        let payload = body.payload.unwrap();
        let (step, sealed) = payload_step(encoded.len()).unwrap();
        assert_eq!(payload.len() as u64, sealed, "{length}");
        assert!(step > 0);
        let head = open_head(&content(1), PREFIX, &body.commitments, &body.head).unwrap();
        assert_eq!(head, b"inner");
        assert_eq!(body.head.len(), 512 + 16);
        let opened = open_payload(&content(1), PREFIX, &body.commitments, &payload).unwrap();
        assert_eq!((opened.encoded, opened.salt), (encoded, [3; SALT_BYTES]));
    }
}

#[test]
fn steps_are_numbered_as_they_grow() {
    let mut last = (0, 0);
    let mut encoded = 0;
    while let Some((step, sealed)) = payload_step(encoded) {
        assert!(
            step > last.0 && sealed > last.1,
            "{encoded}: {step}, {last:?}"
        );
        last = (step, sealed);
        // The first that no longer fits.
        let mut more = usize::try_from(sealed).unwrap();
        while payload_step(more).is_some_and(|(other, _)| other > step) {
            more -= 1;
        }
        encoded = more + 1;
    }
    assert_eq!(last, (133, PAYLOAD_BYTES_MAX));
}

#[test]
fn attack_22_every_bit_of_a_sealed_body_counts() {
    let body = seal(&content(1), PREFIX, b"inner", Some((&salt(), b"payload"))).unwrap();
    let (head, payload) = (body.head, body.payload.unwrap());
    let commitments = body.commitments;
    for bit in 0..head.len() * 8 {
        let mut spoiled = head.clone();
        spoiled[bit / 8] ^= 1 << (bit % 8);
        assert!(open_head(&content(1), PREFIX, &commitments, &spoiled).is_err());
    }
    for bit in 0..payload.len() * 8 {
        let mut spoiled = payload.clone();
        spoiled[bit / 8] ^= 1 << (bit % 8);
        assert!(open_payload(&content(1), PREFIX, &commitments, &spoiled).is_err());
    }
    for bit in 0..256 {
        let mut other = commitments;
        other.header[bit / 8] ^= 1 << (bit % 8);
        other.payload.as_mut().unwrap()[bit / 8] ^= 1 << (bit % 8);
        assert!(open_head(&content(1), PREFIX, &other, &head).is_err());
        assert!(open_payload(&content(1), PREFIX, &other, &payload).is_err());
    }
    let other = PrefixDigest([8; 32]);
    assert!(open_head(&content(1), other, &commitments, &head).is_err());
    assert!(open_head(&content(2), PREFIX, &commitments, &head).is_err());
}

#[test]
fn attack_22_pieces_cannot_be_dropped_repeated_or_exchanged() {
    let encoded = vec![5; 700_000];
    let body = seal(&content(1), PREFIX, b"inner", Some((&salt(), &encoded))).unwrap();
    let payload = body.payload.unwrap();
    let pieces: Vec<&[u8]> = payload.chunks(CHUNK_BYTES).collect();
    assert!(pieces.len() >= 3);
    let fails = |pieces: &[&[u8]]| {
        open_payload(&content(1), PREFIX, &body.commitments, &pieces.concat()).is_err()
    };
    assert!(!fails(&pieces));
    assert!(fails(&pieces[..2]));
    assert!(fails(&pieces[1..]));
    assert!(fails(&[pieces[1], pieces[0], pieces[2]]));
    assert!(fails(&[pieces[0], pieces[0], pieces[2]]));
    assert!(fails(&[]));
}

#[test]
fn a_content_key_travels_in_wraps_to_whoever_holds_one_of_the_audience_keys() {
    let [one, other, third] = [1, 2, 3].map(|byte| AudienceKey::new(Secret::new([byte; 32])));
    let [first, second] = [9, 4].map(|byte| GrantId::from_bytes([byte; 32]));
    let block = wraps(&content(5), PREFIX, &[(first, &one), (second, &other)]).unwrap();
    let block = key_block(&codec::encode(&block)).unwrap();
    for (grant, key) in [(first, &one), (second, &other)] {
        let opened = block
            .unwrap(PREFIX, |asked| (*asked == grant).then_some(key))
            .unwrap();
        assert_eq!(opened.secret().expose(), &[5; 32]);
    }
    assert!(block.unwrap(PREFIX, |_| Some(&third)).is_err());
    assert!(block.unwrap(PREFIX, |_| None).is_err());
    assert!(key_block(&codec::encode(&KeyBlock::Wraps(Default::default()))).is_err());
    assert!(key_block(&codec::encode(&KeyBlock::Slots(Default::default()))).is_err());
}

#[test]
fn a_content_key_travels_in_slots_to_whom_it_was_sealed_to() {
    let secrets = [prekey(1), prekey(2)];
    let publics = [secrets[0].prekey(), secrets[1].prekey()];
    let recipients = (0..2)
        .map(|at: u8| Recipient {
            hint: [at; 4],
            prekey: &publics[usize::from(at)],
            entropy: Secret::new([at; 64]),
            place: u64::from(9 - at),
        })
        .collect();
    let block = slots(&content(5), PREFIX, recipients).unwrap();
    let KeyBlock::Slots(list) = &block else {
        unreachable!("they were made as slots")
    };
    // As drawn, and not as named.
    assert_eq!(list.as_slice()[0].hint, [1; 4]);
    for at in 0..2_u8 {
        let own = [&secrets[usize::from(at)]];
        let opened = block.open_slot(PREFIX, &[[at; 4]], &own).unwrap();
        assert_eq!(opened.secret().expose(), &[5; 32]);
        assert!(block.open_slot(PREFIX, &[[1 - at; 4]], &own).is_err());
        assert!(block.open_slot(PREFIX, &[[at; 4]], &[&prekey(3)]).is_err());
    }
}

fn grant_of(key: &AudienceKey, community: Option<&str>) -> (Grant, GrantNote) {
    let note = GrantNote {
        audience: Named::default(),
        tag: Tag::from_bytes([8; 16]),
        stream_secret: [2; 32],
    };
    let grant = Grant {
        federation: FederationId::from_bytes([1; 32]),
        author: MemberId::from_bytes([2; 32]),
        certificate: CertificateId::from_bytes([3; 32]),
        stream: (Tag::CONTROL, 4),
        not_before_ms: 1,
        not_after_ms: 2,
        nonce: [9; 16],
        commitment: key.commitment(),
        community: community.map(|name| crate::wire::Text::new(name).unwrap()),
        note: super::grant::seal_note(key, &[9; 16], &note).unwrap(),
    };
    (grant, note)
}

#[test]
fn a_grant_gives_its_audience_the_key_and_nobody_else() {
    let key = AudienceKey::new(Secret::new([6; 32]));
    let id = GrantId::from_bytes([7; 32]);
    let (grant, note) = grant_of(&key, Some("eu"));
    let secrets = [prekey(1), prekey(2), prekey(3)];
    let publics = [secrets[0].prekey(), secrets[1].prekey()];
    let prekey_id = |at: u8| PrekeyId::from_bytes([at; 32]);
    for is_named in [true, false] {
        let grantees = (0..2)
            .map(|at: u8| Grantee {
                marked: if is_named {
                    Marked::Prekey(prekey_id(at))
                } else {
                    Marked::Hint([at; 4], u64::from(at))
                },
                prekey: &publics[usize::from(at)],
                entropy: Secret::new([at; 64]),
            })
            .collect();
        let slots = super::grant::slots(id, &key, grantees).unwrap();
        let slots = read_slots(&codec::encode(&slots)).unwrap();
        let open = |at: u8, id: GrantId, grant: &Grant| {
            let held = Held {
                id: prekey_id(at),
                secret: &secrets[usize::from(at)],
                hint: Some([at; 4]),
            };
            super::grant::open(id, grant, &slots, &[held])
        };
        for at in 0..2 {
            let granted = open(at, id, &grant).unwrap();
            assert_eq!(granted.note, note);
            assert_eq!(granted.key.secret().expose(), &[6; 32]);
            assert!(open(at, GrantId::from_bytes([8; 32]), &grant).is_err());
        }
        assert!(open(2, id, &grant).is_err());
        // Attack 23 on a grant: what was committed to is another key.
        let other = AudienceKey::new(Secret::new([5; 32]));
        assert!(open(0, id, &grant_of(&other, None).0).is_err());
    }
}

#[test]
fn attack_24_slots_of_a_grant_are_bounded_and_none_is_none() {
    assert!(read_slots(&codec::encode(&GrantSlots::Named(Default::default()))).is_err());
    assert!(read_slots(&codec::encode(&GrantSlots::Hinted(Default::default()))).is_err());
    assert!(read_slots(&[]).is_err());
    // A list that claims 65,535 slots and has none.
    assert!(read_slots(&[0, 251, 0xff, 0xff]).is_err());
    assert!(key_block(&[1, 251, 0xff, 0xff]).is_err());
}
