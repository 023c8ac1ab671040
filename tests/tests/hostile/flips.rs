//! Signed bytes, cut at every length and with every single bit turned: nothing
//! of it is believed, whichever bit it is.

use watchfire_protocol::gate;
use watchfire_protocol::gate::envelope_id;
use watchfire_protocol::roster::{Roster, check_card};
use watchfire_protocol::wire::bundle::{Encoding, Media};
use watchfire_protocol::wire::envelope::Tag;
use watchfire_protocol::wire::genesis::{GenesisFile, card_from_file};
use watchfire_protocol::wire::Kind;
use watchfire_tests::forge::{Forge, STIX, large_stix, stored_stix};
use watchfire_tests::membership;

/// One frame of every form, small enough to turn each of its bits.
fn frames(forge: &Forge) -> Vec<(&'static str, Vec<u8>)> {
    let zstd = forge.bundle(0, Encoding::Zstd, &[(Media::Stix, STIX.as_bytes())]);
    let large = large_stix(40_000);
    let announced = forge.bundle(0, Encoding::Identity, &[(Media::Stix, &large)]);
    let recall = Kind::Recall.domain();
    let other = |kind, tag| forge.sign(0, &forge.open_other(0, kind, b"statement", recall, tag));
    vec![
        ("open", forge.sign(0, &forge.plain(0))),
        ("zstd", forge.sign(0, &forge.open_bundle(0, &zstd, &stored_stix()))),
        ("announced", forge.sign(0, &forge.open_bundle(0, &announced, &large))),
        ("recall", other(16, Tag::CONTROL)),
        ("unknown kind", other(999, Tag::PUBLIC)),
        ("sealed", forge.sign(1, &forge.sealed(1, Some(&[0x6b; 64]), Some(&[0x70; 64])))),
        ("sealed, announced", forge.sign(1, &forge.sealed(1, Some(&[0x6b; 769]), Some(&[0x70; 32_000])))),
    ]
}

#[test]
fn attack_22_no_flipped_frame_is_accepted() {
    let forge = Forge::default();
    for (name, frame) in frames(&forge) {
        let id = envelope_id(&gate::check(&frame, &forge.roster).unwrap());
        let mut flipped = frame.clone();
        for bit in 0..frame.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = gate::check(&flipped, &forge.roster) {
                // Above all never the same id over different bytes.
                panic!("{name}: bit {bit} turned, and accepted as {} ({id})", envelope_id(&other));
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn no_frame_that_is_cut_or_continued_is_accepted() {
    let forge = Forge::default();
    for (name, frame) in frames(&forge) {
        for length in 0..frame.len() {
            assert!(gate::check(&frame[..length], &forge.roster).is_err(), "{name}, cut at {length}");
        }
        for byte in [0, 1, 15, 255] {
            let longer = [frame.as_slice(), &[byte]].concat();
            assert!(gate::check(&longer, &forge.roster).is_err(), "{name}, and {byte}");
        }
    }
}

fn found(bytes: &[u8]) -> bool {
    GenesisFile::from_bytes(bytes).is_ok_and(|file| Roster::found(&file).is_ok())
}

fn is_card(bytes: &[u8]) -> bool {
    card_from_file(bytes).is_ok_and(|card| check_card(&card).is_ok())
}

/// Turns every bit whose number leaves this rest, so that the work is shared.
fn no_flip(bytes: &[u8], rest: usize, of: usize, holds: fn(&[u8]) -> bool) {
    let mut flipped = bytes.to_vec();
    for bit in (rest..bytes.len() * 8).step_by(of) {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!holds(&flipped), "bit {bit} turned, and accepted");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn no_flipped_or_cut_card_holds() {
    let card = membership::card_file(&Forge::default(), 0);
    assert!(is_card(&card));
    no_flip(&card, 0, 1, is_card);
    for length in 0..card.len() {
        assert!(!is_card(&card[..length]), "cut at {length}");
    }
    assert!(!is_card(&[card.as_slice(), &[0]].concat()));
}

/// The genesis of two, for the sake of time.
fn genesis() -> Vec<u8> {
    membership::genesis_of_two()
}

#[test]
fn no_flipped_genesis_founds_anything_even_bits() {
    no_flip(&genesis(), 0, 2, found);
}

#[test]
fn no_flipped_genesis_founds_anything_odd_bits() {
    no_flip(&genesis(), 1, 2, found);
}

#[test]
fn no_cut_genesis_founds_anything() {
    let file = genesis();
    assert!(found(&file));
    for length in 0..file.len() {
        assert!(!found(&file[..length]), "cut at {length}");
    }
    assert!(!found(&[file.as_slice(), &[0]].concat()));
}
