//! The one codec: bincode 2, standard configuration, bounded and canonical.
//!
//! bincode by itself reads one value from several encodings and does not mind
//! trailing bytes. Signatures and ids are over bytes, so that would let one
//! statement have many ids. Here a value counts only if encoding it again
//! gives the bytes it was read from.

use bincode::Decode;
use bincode::Encode;
use bincode::config;

/// What a decoder may claim in total: above any single message that is read,
/// so that the bounds of the types decide and this one only catches a type
/// that forgot its own.
const CLAIM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Encodes a value that this node made.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, config::standard())
        .expect("encoding into memory fails only for types this wire does not have")
}

/// Decodes bytes from outside: at most `bytes_max` of them, nothing trailing,
/// canonical.
///
/// # Errors
/// Says which of these does not hold.
pub fn decode<T: Decode<()> + Encode>(bytes: &[u8], bytes_max: usize) -> Result<T, CodecError> {
    if bytes.len() > bytes_max {
        return Err(CodecError::TooLong {
            bytes: bytes.len(),
            bytes_max,
        });
    }
    let (value, read) = bincode::decode_from_slice::<T, _>(
        bytes,
        config::standard().with_limit::<CLAIM_BYTES_MAX>(),
    )
    .map_err(|error| CodecError::Malformed {
        why: error.to_string(),
    })?;
    if read != bytes.len() {
        return Err(CodecError::Trailing {
            bytes: bytes.len() - read,
        });
    }
    if encode(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// The number with which bytes begin, if it is a canonical one: a variant, or
/// a length.
pub fn leading_number(bytes: &[u8]) -> Option<u32> {
    let (number, read) = bincode::decode_from_slice::<u32, _>(bytes, config::standard()).ok()?;
    (bytes.get(..read)? == encode(&number)).then_some(number)
}

/// Why bytes are not a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than this kind may be.
    #[error("{bytes} bytes where at most {bytes_max} are allowed")]
    TooLong {
        /// How many arrived.
        bytes: usize,
        /// How many are allowed.
        bytes_max: usize,
    },
    /// Not an encoding of the type, or a field over its bound.
    #[error("malformed: {why}")]
    Malformed {
        /// What the decoder said.
        why: String,
    },
    /// Something follows the value.
    #[error("{bytes} bytes follow the value")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A longer encoding of a value that has a shorter one.
    #[error("not the canonical encoding")]
    NotCanonical,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bounded::{Bytes, List};

    #[test]
    fn attack_30_non_minimal_integer_refused() {
        assert_eq!(decode::<u64>(&[5], 16), Ok(5));
        assert_eq!(
            decode::<u64>(&[251, 5, 0], 16),
            Err(CodecError::NotCanonical)
        );
    }

    #[test]
    fn attack_30_trailing_bytes_refused() {
        assert_eq!(
            decode::<u64>(&[5, 0], 16),
            Err(CodecError::Trailing { bytes: 1 })
        );
    }

    #[test]
    fn attack_31_length_bomb_allocates_nothing() {
        let mut bomb = vec![253];
        bomb.extend_from_slice(&(1u64 << 63).to_le_bytes());
        assert!(decode::<Bytes<64>>(&bomb, 1024).is_err());
        assert!(decode::<List<u64, 64>>(&bomb, 1024).is_err());
    }

    /// A type without a bound of its own, up to the bound of the decoder.
    #[test]
    fn attack_31_a_claim_is_bounded_where_a_type_forgot_to() {
        let fits = encode(&vec![0_u8; CLAIM_BYTES_MAX - 16]);
        assert!(decode::<Vec<u8>>(&fits, usize::MAX).is_ok());
        let over = encode(&vec![0_u8; CLAIM_BYTES_MAX + 1]);
        let refused = decode::<Vec<u8>>(&over, usize::MAX);
        assert!(matches!(refused, Err(CodecError::Malformed { .. })));
        // Above every message that is read, whatever its arithmetic becomes.
        assert_eq!(CLAIM_BYTES_MAX, 4_194_304);
    }

    #[test]
    fn bytes_begin_with_a_number_or_they_do_not() {
        for number in [0, 1, 5, 250, 251, 70_000] {
            let mut bytes = encode(&number);
            assert_eq!(leading_number(&bytes), Some(number));
            bytes.push(0);
            assert_eq!(leading_number(&bytes), Some(number), "and more behind it");
        }
        assert_eq!(leading_number(&[251, 5, 0]), None, "longer than it needs");
        assert_eq!(leading_number(&[251, 5]), None, "cut short");
        assert_eq!(leading_number(&[]), None);
    }

    #[test]
    fn over_the_limit_is_refused_before_reading() {
        assert_eq!(decode::<u8>(&[1], 1), Ok(1), "as long as it may be");
        assert_eq!(
            decode::<u8>(&[1, 1], 1),
            Err(CodecError::TooLong {
                bytes: 2,
                bytes_max: 1
            })
        );
    }
}
