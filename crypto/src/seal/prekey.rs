//! The keys that slots are sealed to.

use alloc::boxed::Box;

use hpke::kem::XWing;
use hpke::{Deserializable as _, Kem as _, Serializable as _};
use zeroize::Zeroizing;

use crate::Secret;

/// A prekey as it is published: an ML-KEM-768 encapsulation key and an X25519 public key.
pub const PREKEY_BYTES: usize = 1_184 + X25519_BYTES;

pub(super) const X25519_BYTES: usize = 32;

type Public = <XWing as hpke::Kem>::PublicKey;
type Private = <XWing as hpke::Kem>::PrivateKey;

/// Why bytes are no prekey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrekeyRefused {
    /// Not [`PREKEY_BYTES`] long.
    #[error("prekey refused: it has not {PREKEY_BYTES} bytes")]
    Length,
    /// Its X25519 half gives everybody the same secret.
    #[error("prekey refused: its X25519 half is of small order")]
    SmallOrder,
    /// Its ML-KEM half is not reduced (FIPS 203, section 7.2).
    #[error("prekey refused: its ML-KEM half is not an encoding of a key")]
    Malformed,
}

/// The public half. What arrived is one only after [`Prekey::enrol`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prekey(Box<Public>);

impl Prekey {
    /// Takes a prekey that arrived, before anything is encapsulated to it.
    ///
    /// # Errors
    ///
    /// Length, small order, an ML-KEM half that is not reduced; in this order, the cheap first.
    pub fn enrol(bytes: &[u8]) -> Result<Self, PrekeyRefused> {
        if bytes.len() != PREKEY_BYTES {
            return Err(PrekeyRefused::Length);
        }
        if is_small_order(last_32(bytes).ok_or(PrekeyRefused::Length)?) {
            return Err(PrekeyRefused::SmallOrder);
        }
        let key = Public::from_bytes(bytes).map_err(|_| PrekeyRefused::Malformed)?;
        Ok(Self(Box::new(key)))
    }

    /// As it is published.
    pub fn to_bytes(&self) -> [u8; PREKEY_BYTES] {
        let mut bytes = [0; PREKEY_BYTES];
        self.0.write_exact(&mut bytes);
        bytes
    }

    pub(super) const fn inner(&self) -> &Public {
        &self.0
    }
}

/// The private half: a seed, from which the rest is computed when it is used.
pub struct PrekeySecret(Secret<[u8; 32]>);

impl PrekeySecret {
    /// From 32 bytes of the operating system's randomness.
    pub const fn from_seed(seed: Secret<[u8; 32]>) -> Self {
        Self(seed)
    }

    /// The seed, to be kept sealed.
    pub const fn seed(&self) -> &Secret<[u8; 32]> {
        &self.0
    }

    /// What is published.
    pub fn prekey(&self) -> Prekey {
        Prekey(Box::new(XWing::sk_to_pk(&self.private())))
    }

    pub(super) fn private(&self) -> Private {
        let seed = Zeroizing::new(*self.0.expose());
        Private::from_bytes(seed.as_slice()).expect("every 32 bytes are a seed of X-Wing")
    }
}

pub(super) fn last_32(bytes: &[u8]) -> Option<&[u8; 32]> {
    bytes.last_chunk()
}

/// The u-coordinates of points of small order on curve25519 and its twist, little-endian, with which every X25519 gives
/// zero (RFC 7748, section 6.1): 0, 1, two of order 8, and p − 1; p and p + 1 are 0 and 1 not reduced.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00,
    ],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    [
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    [
        0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
];

/// Whether X25519 with this gives zero whatever the other half is. The highest bit does not count (RFC 7748, section 5).
pub(super) fn is_small_order(bytes: &[u8; 32]) -> bool {
    let mut point = *bytes;
    if let Some(last) = point.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&point)
}

#[cfg(test)]
mod tests {
    use super::SMALL_ORDER;

    /// The table is what the curve says of it, and every other small multiple is not in it.
    #[test]
    fn attack_24_points_of_small_order_are_those_with_which_everything_gives_zero() {
        let scalar = [7; 32];
        for point in SMALL_ORDER {
            assert_eq!(x25519_dalek::x25519(scalar, point), [0; 32], "{point:02x?}");
        }
        for first in 2..=255 {
            let mut point = [0; 32];
            point[0] = first;
            assert_ne!(x25519_dalek::x25519(scalar, point), [0; 32], "{first}");
        }
    }
}
