//! Ed25519: one way to enrol a key, one way to sign, one way to check.
//!
//! Nodes must agree about every signature, also about those that an attacker shaped at the edges of the standard.
//! Therefore a key enters through [`PublicKey::enrol`] alone, a check is strict (no cofactor, no key or nonce point of
//! small order, canonical scalars: RFC 8032 section 5.1.7 read narrowly) and never a batch: in a batch the verdict about
//! one signature would depend on its company.

use core::fmt;
use core::str::FromStr;

use ed25519_dalek::{Signer as _, VerifyingKey};
use zeroize::Zeroizing;

use crate::Domain;

/// An Ed25519 public key that passed [`PublicKey::enrol`]: canonical, and not of small order.
///
/// The order of keys is the order of their bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Admits the 32 bytes of RFC 8032 section 5.1.2, the only way to a [`PublicKey`].
    ///
    /// # Errors
    ///
    /// [`KeyRefused`] when the bytes are no point, are not the canonical encoding of their point (two encodings would
    /// be two identities with one secret), or name a point of small order, under which one signature fits many messages.
    pub fn enrol(bytes: &[u8; 32]) -> Result<Self, KeyRefused> {
        point(bytes).map(|_| Self(*bytes))
    }

    /// The canonical encoding.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A copy of the canonical encoding.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

/// The first eight hex digits: enough to tell keys apart in a failed test, too few to serve as an id.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

/// All 64 hex digits, lower case.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PublicKey {
    type Err = KeyRefused;

    /// Reads 64 hex digits of either case, as a person types them, and enrols the key.
    fn from_str(text: &str) -> Result<Self, KeyRefused> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyRefused::NotHex)?;
        Self::enrol(&bytes)
    }
}

/// Why 32 bytes, or the text that stands for them, are not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// The text is not 64 hex digits.
    #[error("public key refused: it is not 64 hexadecimal digits; copy it again from its owner")]
    NotHex,
    /// No point of the curve has this encoding.
    #[error("public key refused: the bytes are not a point of the curve; copy it again from its owner")]
    NotAPoint,
    /// The point has another, canonical encoding.
    #[error("public key refused: the encoding is not canonical; its owner must make a new key")]
    NotCanonical,
    /// The point has small order: the key is weak, and was made so on purpose.
    #[error("public key refused: the key is weak (small order); its owner must make a new key")]
    Weak,
}

/// A signature as it came, 64 bytes that prove nothing until [`check`] holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes 64 bytes. Any bytes will do: defects are found by [`check`], with the one error it has.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// A copy of the 64 bytes.
    pub const fn to_bytes(self) -> [u8; 64] {
        self.0
    }
}

/// The first eight hex digits.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

/// An Ed25519 secret key. It is wiped when dropped and can be neither printed nor copied.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes the key of a seed. The caller brings the randomness: 32 bytes of the operating system, used once.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        // A clamped scalar is never zero modulo the group order, so the point has large order; and the
        // library compresses it, so the encoding is canonical. The tests enrol what this returns.
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` for one purpose. Deterministic (RFC 8032 section 5.1.6): no randomness is needed.
    pub fn sign(&self, domain: Domain, message: &[u8]) -> Signature {
        Signature(self.0.sign(&domain.preimage(message)).to_bytes())
    }

    /// The seed, for writing a key file and for nothing else.
    pub fn expose_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

/// The signature does not hold. There is one reason only, so that a refusal tells a forger nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature refused: it is not of this key over these bytes for this purpose; ask the author to send again")]
pub struct BadSignature;

/// Whether `key` signed `message` for the purpose `domain`. The only check in the product; it is never a batch.
///
/// # Errors
///
/// [`BadSignature`] for whatever is wrong.
pub fn check(
    key: &PublicKey,
    domain: Domain,
    message: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    check_raw(&key.0, &domain.preimage(message), signature)
}

/// [`check`] below the domain: where the published test vectors enter, which know no domains.
pub(crate) fn check_raw(
    key: &[u8; 32],
    preimage: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    point(key)
        .map_err(|_| BadSignature)?
        .verify_strict(preimage, &signature)
        .map_err(|_| BadSignature)
}

/// The point behind 32 bytes, if it may be anybody's public key.
fn point(bytes: &[u8; 32]) -> Result<VerifyingKey, KeyRefused> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyRefused::NotAPoint)?;
    // The library keeps the bytes it was given; only a trip through the point shows whether they are canonical.
    if VerifyingKey::from(key.to_edwards()).to_bytes() != *bytes {
        return Err(KeyRefused::NotCanonical);
    }
    if key.is_weak() {
        return Err(KeyRefused::Weak);
    }
    Ok(key)
}
