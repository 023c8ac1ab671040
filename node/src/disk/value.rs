//! How a value stands on disk: a schema byte, a checksum, then the value.
//!
//! ```text
//! byte 0      schema of this layout, 1
//! bytes 1..9  first 8 bytes of SHA-256 over: label ‖ key length (8 bytes, big end first) ‖ key ‖ value
//! bytes 9..   the value
//! ```
//!
//! The checksum binds the key, so that a sound value which turns up under the
//! wrong key is damaged too. It finds accidents, not forgery: whoever can
//! write the database can compute it. Eight bytes let one accident in 2⁶⁴
//! pass; what the values hold is signed besides.

use watchfire_crypto::Sha256Stream;

/// The layout above. Another number means another layout, and a value that
/// carries one is damaged as far as this program can tell.
const SCHEMA: u8 = 1;

const CHECKSUM_BYTES: usize = 8;

/// What hashes for other purposes do not begin with.
const LABEL: &[u8] = b"watchfire store value 1\0";

/// The bytes to store for `value` at `key`.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + CHECKSUM_BYTES + value.len());
    stored.push(SCHEMA);
    stored.extend_from_slice(&checksum(key, value));
    stored.extend_from_slice(value);
    stored
}

/// The value inside `stored`, or nothing when it is not what [`seal`] made
/// for this key.
pub(crate) fn open<'a>(key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (&schema, rest) = stored.split_first()?;
    let (claimed, value) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    (schema == SCHEMA && *claimed == checksum(key, value)).then_some(value)
}

/// The checksum that `stored` claims to have, as a number to add up; zero when
/// there is none. Unlike [`open`] this looks at nine bytes only.
pub(crate) fn claimed_checksum(stored: &[u8]) -> u64 {
    stored
        .get(1..)
        .and_then(<[u8]>::first_chunk::<CHECKSUM_BYTES>)
        .map_or(0, |claimed| u64::from_be_bytes(*claimed))
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Sha256Stream::new();
    hash.update(LABEL);
    // `usize` has at most 64 bits wherever Rust runs.
    hash.update(&u64::try_from(key.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(key);
    hash.update(value);
    let [a, b, c, d, e, f, g, h, ..] = hash.finish();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use super::*;

    #[test]
    fn opens_what_it_sealed() {
        for value in [&b""[..], b"v", &[0; 5_000]] {
            assert_eq!(open(b"key", &seal(b"key", value)), Some(value));
        }
    }

    #[test]
    fn the_layout_stays_as_it_is() {
        // Written once and compared for ever: stores made today must open tomorrow.
        let stored = seal(b"key", b"value");
        assert_eq!(hex::encode(&stored), "01769970e756ae91f376616c7565");
    }

    #[test]
    fn attack_37_every_bit_flip_is_damage() {
        let stored = seal(b"key", b"a value");
        for byte in 0..stored.len() {
            for bit in 0..8 {
                let mut flipped = stored.clone();
                flipped[byte] ^= 1 << bit;
                assert_eq!(open(b"key", &flipped), None, "byte {byte}, bit {bit}");
            }
        }
    }

    #[test]
    fn attack_37_every_cut_and_every_other_key_is_damage() {
        let stored = seal(b"key", b"a value");
        for length in 0..stored.len() {
            assert_eq!(open(b"key", &stored[..length]), None, "cut to {length}");
        }
        let mut longer = stored.clone();
        longer.push(0);
        assert_eq!(open(b"key", &longer), None);
        assert_eq!(
            open(b"kex", &stored),
            None,
            "a sound value at the wrong key"
        );
        assert_eq!(
            open(b"keya", &seal(b"key", b"a value")),
            None,
            "key and value do not run together"
        );
    }
}
