//! Hostile key files: every one is refused, and none costs more than its bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::Passphrase;

const SEED: [u8; 32] = [0x42; 32];
const ENTROPY: [u8; ENTROPY_BYTES] = [0x17; ENTROPY_BYTES];

fn words() -> Passphrase {
    Passphrase::new("correct horse".to_string()).unwrap()
}

fn sealed() -> KeyFile {
    let key = SigningKey::from_seed(&SEED);
    KeyFile::seal_key(Purpose::Root, &key, &words(), Cost::for_tests(), &ENTROPY).unwrap()
}

/// What a reader makes of a text: the secret, or the error of parsing or of opening.
fn read(text: &str) -> Result<Vec<u8>, KeyFileError> {
    KeyFile::parse(text.as_bytes())?
        .open(Purpose::Root, &words(), &Bounds::for_tests())
        .map(|secret| secret.expose().clone())
}

/// The text of a good file with one line replaced.
fn with_line(name: &str, value: &str) -> String {
    let text = sealed().to_string();
    let old = text.lines().find(|line| line.starts_with(name)).unwrap();
    text.replace(&format!("{old}\n"), &format!("{name} {value}\n"))
}

fn error_of(text: &str) -> KeyFileError {
    read(text).unwrap_err()
}

#[test]
fn a_sealed_key_opens_again() {
    let text = sealed().to_string();
    assert_eq!(text.lines().count(), 9);
    assert_eq!(read(&text).unwrap(), SEED);
    let file = KeyFile::parse(text.as_bytes()).unwrap();
    assert_eq!(file, sealed());
    assert_eq!(file.purpose(), Purpose::Root);
    let key = file
        .open_key(Purpose::Root, &words(), &Bounds::for_tests())
        .unwrap();
    assert_eq!(&key.public(), file.public());
}

#[test]
fn the_costs_of_production_open_under_the_bounds_of_production() {
    let key = SigningKey::from_seed(&SEED);
    let file = KeyFile::seal_key(
        Purpose::Signing,
        &key,
        &words(),
        Cost::INTERACTIVE,
        &ENTROPY,
    )
    .unwrap();
    let opened = file
        .open_key(Purpose::Signing, &words(), &Bounds::PRODUCTION)
        .unwrap();
    assert_eq!(opened.public(), key.public());
    assert!(Bounds::PRODUCTION.admit(Cost::SENSITIVE).is_ok());
    // And a key of the product is none of the tests'.
    let refused = file
        .open(Purpose::Signing, &words(), &Bounds::for_tests())
        .err()
        .unwrap();
    assert!(matches!(
        refused,
        KeyFileError::Cost(CostRefused::TooHigh {
            what: "memory-kib",
            ..
        })
    ));
}

#[test]
fn secrets_have_bounds() {
    let public = SigningKey::from_seed(&SEED).public();
    let seal = |secret: &[u8]| {
        KeyFile::seal(
            Purpose::Transport,
            public,
            secret,
            &words(),
            Cost::for_tests(),
            &ENTROPY,
        )
    };
    for (bytes, fits) in [
        (0, false),
        (1, true),
        (SECRET_BYTES_MAX, true),
        (SECRET_BYTES_MAX + 1, false),
    ] {
        let secret = std::vec![7; bytes];
        match seal(&secret) {
            Ok(file) => {
                assert!(fits);
                let text = file.to_string();
                assert!(text.len() <= KEY_FILE_BYTES_MAX);
                let file = KeyFile::parse(text.as_bytes()).unwrap();
                let opened = file
                    .open(Purpose::Transport, &words(), &Bounds::for_tests())
                    .unwrap();
                assert_eq!(opened.expose(), &secret);
                // None of these is the seed of the key that the file names.
                let key = file.open_key(Purpose::Transport, &words(), &Bounds::for_tests());
                assert_eq!(key.err(), Some(KeyFileError::OtherKey));
            }
            Err(refused) => assert_eq!(
                (fits, refused),
                (false, KeyFileError::SecretLength { bytes })
            ),
        }
    }
    // A seed, but of another key than the file names.
    let file = seal(&[0x43; 32]).unwrap();
    let key = file.open_key(Purpose::Transport, &words(), &Bounds::for_tests());
    assert_eq!(key.err(), Some(KeyFileError::OtherKey));
    // A seed with bytes after it is not the seed either.
    let file = seal(&[&SEED[..], &[0]].concat()).unwrap();
    let key = file.open_key(Purpose::Transport, &words(), &Bounds::for_tests());
    assert_eq!(key.err(), Some(KeyFileError::OtherKey));
}

#[test]
fn wrong_passphrase_and_tampering_look_the_same() {
    let other = Passphrase::new("correct horse ".to_string()).unwrap();
    let opened = sealed().open(Purpose::Root, &other, &Bounds::for_tests());
    assert_eq!(opened.err(), Some(KeyFileError::NotOpened));

    let digits = "00".repeat(48);
    let stranger = SigningKey::from_seed(&[1; 32]).public().to_string();
    for (name, value) in [
        ("public", stranger.as_str()),
        ("memory-kib", "16"),
        ("passes", "2"),
        ("salt", &digits[..32]),
        ("nonce", &digits[..48]),
        ("sealed", &digits[..96]),
    ] {
        assert_eq!(
            error_of(&with_line(name, value)),
            KeyFileError::NotOpened,
            "{name}"
        );
    }
    // The purpose is checked before and bound besides.
    let relabelled = KeyFile::parse(with_line("purpose", "signing").as_bytes()).unwrap();
    let opened = relabelled.open(Purpose::Signing, &words(), &Bounds::for_tests());
    assert_eq!(opened.err(), Some(KeyFileError::NotOpened));
}

#[test]
fn a_key_for_another_purpose_is_refused_by_name() {
    let refused = sealed()
        .open(Purpose::Transport, &words(), &Bounds::for_tests())
        .err();
    assert_eq!(
        refused,
        Some(KeyFileError::Purpose {
            expected: Purpose::Transport,
            found: Purpose::Root
        })
    );
}

#[test]
fn every_truncation_is_refused() {
    let text = sealed().to_string();
    for end in 0..text.len() {
        let refused = error_of(&text[..end]);
        assert!(
            matches!(refused, KeyFileError::Format { .. }),
            "{end}: {refused}"
        );
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let text = sealed().to_string().into_bytes();
    let mut refused_by_cipher = 0;
    for bit in 0..text.len() * 8 {
        let mut changed = text.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let opened = KeyFile::parse(&changed)
            .and_then(|file| file.open(Purpose::Root, &words(), &Bounds::for_tests()));
        match opened.err() {
            Some(KeyFileError::NotOpened) => refused_by_cipher += 1,
            Some(KeyFileError::Format { .. } | KeyFileError::Version | KeyFileError::Cost(_)) => {}
            other => panic!("bit {bit}: {other:?}"),
        }
    }
    // Otherwise the strict reading alone would have been tested.
    assert!(refused_by_cipher > 200, "{refused_by_cipher}");
}

#[test]
fn other_spellings_of_a_good_file_are_refused() {
    let text = sealed().to_string();
    let duplicate = text.replace("passes 1\n", "passes 1\npasses 1\n");
    let missing = text.replace("passes 1\n", "");
    let unknown = text.replace("passes 1\n", "passes 1\ncomment x\n");
    let swapped = text.replace("passes 1\nlanes 1\n", "lanes 1\npasses 1\n");
    let windows = text.replace('\n', "\r\n");
    for changed in [
        &duplicate,
        &missing,
        &unknown,
        &swapped,
        &windows,
        &format!("{text}\n"),
        &format!("{text} "),
        &format!("{text}{text}"),
        &format!("\u{feff}{text}"),
        &text.to_uppercase(),
        &with_line("passes", "01"),
        &with_line("passes", "+1"),
        &with_line("passes", " 1"),
        &with_line("passes", "1 "),
        &with_line("passes", ""),
        &with_line("passes", "4294967297"),
        &with_line("public", &"0".repeat(64)),
        &with_line("public", &sealed().public().to_string().to_uppercase()),
        &with_line("sealed", &"00".repeat(TAG_BYTES)),
        &with_line("sealed", ""),
        &with_line("purpose", "Root"),
    ] {
        assert!(
            matches!(error_of(changed), KeyFileError::Format { .. }),
            "{changed}"
        );
    }
    assert_eq!(
        error_of(&text.replace("key 1", "key 2")),
        KeyFileError::Version
    );
    assert!(KeyFile::parse(&[0xff; 64]).is_err());
}

#[test]
fn a_file_beyond_the_bound_is_not_read() {
    let bytes = KEY_FILE_BYTES_MAX + 1;
    let refused = KeyFile::parse(&std::vec![b'0'; bytes]).err();
    assert_eq!(refused, Some(KeyFileError::TooLong { bytes }));
}

/// 4 TiB would be asked for. That the error is one of cost and not of memory shows that nothing was.
#[test]
fn a_cost_out_of_bounds_is_refused_before_it_is_paid() {
    let production = |text: &str| {
        let file = KeyFile::parse(text.as_bytes()).unwrap();
        file.open(Purpose::Root, &words(), &Bounds::PRODUCTION)
            .err()
            .unwrap()
    };
    let high = |what, found, max| KeyFileError::Cost(CostRefused::TooHigh { what, found, max });
    let low = |what, found, min| KeyFileError::Cost(CostRefused::TooLow { what, found, min });

    assert_eq!(
        production(&with_line("memory-kib", "4294967295")),
        high("memory-kib", u32::MAX, 1 << 20)
    );
    assert_eq!(
        production(&with_line("memory-kib", "1048577")),
        high("memory-kib", 1_048_577, 1 << 20)
    );
    assert_eq!(
        production(&with_line("memory-kib", "65535")),
        low("memory-kib", 65_535, 65_536)
    );
    assert_eq!(
        production(&with_line("memory-kib", "0")),
        low("memory-kib", 0, 65_536)
    );

    let enough = with_line("memory-kib", "65536");
    assert_eq!(production(&enough), low("passes", 1, 3));
    assert_eq!(
        production(&enough.replace("passes 1", "passes 4294967295")),
        high("passes", u32::MAX, 16)
    );
    assert_eq!(
        production(&enough.replace("passes 1", "passes 17")),
        high("passes", 17, 16)
    );
    let enough = enough.replace("passes 1", "passes 3");
    assert_eq!(
        production(&enough.replace("lanes 1", "lanes 0")),
        low("lanes", 0, 1)
    );
    assert_eq!(
        production(&enough.replace("lanes 1", "lanes 5")),
        high("lanes", 5, 4)
    );

    // Within the bounds of the tests, but less than eight KiB a lane.
    assert_eq!(error_of(&with_line("lanes", "2")), low("memory-kib", 8, 16));
}

#[test]
fn the_product_opens_no_file_of_the_tests() {
    let refused = sealed()
        .open(Purpose::Root, &words(), &Bounds::PRODUCTION)
        .err();
    assert!(matches!(
        refused,
        Some(KeyFileError::Cost(CostRefused::TooLow { .. }))
    ));
}

#[test]
fn salt_and_nonce_are_the_entropy() {
    let key = SigningKey::from_seed(&SEED);
    let mut entropy = ENTROPY;
    entropy[ENTROPY_BYTES - 1] ^= 1;
    let other =
        KeyFile::seal_key(Purpose::Root, &key, &words(), Cost::for_tests(), &entropy).unwrap();
    assert_ne!(other.sealed, sealed().sealed);
    let text = other.to_string();
    assert!(text.contains(&format!("salt {}\n", "17".repeat(16))));
    assert!(text.contains(&format!("nonce {}16\n", "17".repeat(23))));
}

/// The bound is what its comment says, and the file of the largest secret lies below it.
#[test]
fn the_longest_file_is_read_and_one_byte_more_is_not() {
    assert_eq!(KEY_FILE_BYTES_MAX, 8_736);
    let too_long = |bytes: usize| {
        matches!(
            KeyFile::parse(&std::vec![b'x'; bytes]),
            Err(KeyFileError::TooLong { .. })
        )
    };
    assert!(!too_long(KEY_FILE_BYTES_MAX));
    assert!(too_long(KEY_FILE_BYTES_MAX + 1));
}

#[test]
fn attack_49_neither_file_nor_debug_shows_the_secret() {
    let file = sealed();
    let seed = hex::encode(SEED);
    assert!(!file.to_string().contains(&seed));
    let shown = format!("{file:?}");
    assert!(shown.starts_with("KeyFile { purpose: "), "{shown}");
    assert!(
        !shown.contains(&hex::encode(&file.sealed)) && !shown.contains("sealed"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(KeyFile::parse(&bytes).is_err());
    }

    #[test]
    fn what_parses_is_written_the_same(line in 0..9_usize, noise in "[0-9a-f ]{0,80}") {
        let text = sealed().to_string();
        let name = text.lines().nth(line).unwrap().split(' ').next().unwrap().to_string();
        let changed = with_line(&name, &noise);
        if let Ok(file) = KeyFile::parse(changed.as_bytes()) {
            prop_assert_eq!(file.to_string(), changed);
        }
    }
}
