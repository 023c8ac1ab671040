//! Ed25519: one way to enrol a key, one way to sign, one way to check.
//!
//! Nodes must agree about every signature, also about those that an attacker shaped at the edges of the standard.
//! Therefore a key enters through [`PublicKey::enrol`] alone, a check is strict (no cofactor, no key or nonce point of
//! small order, canonical scalars: RFC 8032 section 5.1.7 read narrowly) and never a batch: in a batch the verdict about
//! one signature would depend on its company.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use ed25519_dalek::{Signer as _, VerifyingKey};
use zeroize::ZeroizeOnDrop;

use crate::{Domain, Secret};

/// An Ed25519 public key that passed [`PublicKey::enrol`]: canonical, and not of small order.
///
/// It keeps the point it found then, so that no check has to find it again. The order of keys is the order of their
/// bytes.
#[derive(Clone, Copy)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Admits the 32 bytes of RFC 8032 section 5.1.2, the only way to a [`PublicKey`].
    ///
    /// # Errors
    ///
    /// [`KeyRefused`] when the bytes are no point, are not the canonical encoding of their point (two encodings would
    /// be two identities with one secret), or name a point of small order, under which one signature fits many messages.
    pub fn enrol(bytes: &[u8; 32]) -> Result<Self, KeyRefused> {
        point(bytes).map(Self)
    }

    /// The canonical encoding.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// A copy of the canonical encoding.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// The first eight hex digits: enough to tell keys apart in a failed test, too few to serve as an id.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        for byte in self.as_bytes().iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

/// All 64 hex digits, lower case.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
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
    #[error(
        "public key refused: the bytes are not a point of the curve; copy it again from its owner"
    )]
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
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message` for one purpose. Deterministic (RFC 8032 section 5.1.6): no randomness is needed.
    pub fn sign(&self, domain: Domain, message: &[u8]) -> Signature {
        Signature(self.0.sign(&domain.preimage(message)).to_bytes())
    }

    /// The seed, for writing a key file and for nothing else.
    pub fn expose_seed(&self) -> Secret<[u8; 32]> {
        Secret::new(self.0.to_bytes())
    }
}

impl ZeroizeOnDrop for SigningKey {}

/// The signature does not hold. There is one reason only, so that a refusal tells a forger nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "signature refused: it is not of this key over these bytes for this purpose; ask the author to send again"
)]
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
    holds(&key.0, &domain.preimage(message), signature)
}

/// [`check`] below the domain.
fn holds(key: &VerifyingKey, preimage: &[u8], signature: &Signature) -> Result<(), BadSignature> {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(preimage, &signature)
        .map_err(|_| BadSignature)
}

/// [`check`] of a key as bytes and below the domain: where the published test vectors enter, which know no domains.
#[cfg(test)]
pub(crate) fn check_raw(
    key: &[u8; 32],
    preimage: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    let key = point(key).map_err(|_| BadSignature)?;
    holds(&key, preimage, signature)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const BUNDLE: Domain = Domain::new("bundle");

    /// The encodings of the eight points of small order, canonical ones first, then those that reduce to them.
    const SMALL_ORDER: [&str; 14] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];

    fn bytes(text: &str) -> [u8; 32] {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_first_key_of_the_standard_signs_as_the_standard_says() {
        // RFC 8032 section 7.1, test 1: the public key of the seed.
        let seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = SigningKey::from_seed(&seed);
        assert_eq!(key.public().to_string(), public);
        assert_eq!(key.expose_seed().expose(), &seed);
        assert_eq!(public.parse(), Ok(key.public()));
        assert_eq!(public.to_uppercase().parse(), Ok(key.public()));
        assert_eq!(format!("{:?}", key.public()), "PublicKey(d75a9801..)");
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        for text in ["", "d7", &"0g".repeat(32), &"ab".repeat(33), " d75a"] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyRefused::NotHex));
        }
        let no_point = bytes("0200000000000000000000000000000000000000000000000000000000000000");
        assert_eq!(PublicKey::enrol(&no_point), Err(KeyRefused::NotAPoint));
    }

    proptest! {
        #[test]
        fn attack_01_random_signatures_are_refused(low in any::<[u8; 32]>(), high in any::<[u8; 32]>()) {
            let key = SigningKey::from_seed(&[1; 32]).public();
            let mut random = [0; 64];
            random[..32].copy_from_slice(&low);
            random[32..].copy_from_slice(&high);
            prop_assert_eq!(check(&key, BUNDLE, b"bundle", &Signature::from_bytes(random)), Err(BadSignature));
            // Also with a scalar in range, so that the refusal is not only one of form.
            random[63] &= 0x0f;
            prop_assert_eq!(check(&key, BUNDLE, b"bundle", &Signature::from_bytes(random)), Err(BadSignature));
        }

        #[test]
        fn every_key_we_make_is_one_we_enrol(seed in any::<[u8; 32]>()) {
            let public = SigningKey::from_seed(&seed).public();
            prop_assert_eq!(PublicKey::enrol(public.as_bytes()), Ok(public));
        }
    }

    #[test]
    fn attack_01_any_changed_bit_is_refused() {
        let key = SigningKey::from_seed(&[1; 32]);
        let signature = key.sign(BUNDLE, b"bundle");
        assert_eq!(check(&key.public(), BUNDLE, b"bundle", &signature), Ok(()));
        for bit in 0..512 {
            let mut changed = signature.to_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = Signature::from_bytes(changed);
            assert_eq!(
                check(&key.public(), BUNDLE, b"bundle", &changed),
                Err(BadSignature),
                "bit {bit}"
            );
        }
        for message in [&b""[..], b"bundl", b"bundle ", b"bundle\0", b"Bundle"] {
            assert_eq!(
                check(&key.public(), BUNDLE, message, &signature),
                Err(BadSignature)
            );
        }
    }

    #[test]
    fn attack_04_weak_key_refused() {
        for (index, text) in SMALL_ORDER.iter().enumerate() {
            let refused = PublicKey::enrol(&bytes(text)).unwrap_err();
            if index < 8 {
                assert_eq!(refused, KeyRefused::Weak, "{text}");
            } else {
                assert_eq!(refused, KeyRefused::NotCanonical, "{text}");
            }
        }
    }

    #[test]
    fn attack_04_non_canonical_key_refused() {
        // p + y for each y below 19, with both signs: every second name that the field allows.
        let mut second_names_of_good_keys = 0;
        for y in 0..19_u8 {
            for sign in [0x00, 0x80] {
                let mut first = [0; 32];
                first[0] = y;
                first[31] = sign;
                let mut second = [0xff; 32];
                second[0] = 0xed + y;
                second[31] = 0x7f | sign;
                let refused = PublicKey::enrol(&second).unwrap_err();
                assert_ne!(
                    refused,
                    KeyRefused::Weak,
                    "the canonical form is judged first"
                );
                if PublicKey::enrol(&first).is_ok() {
                    assert_eq!(refused, KeyRefused::NotCanonical);
                    second_names_of_good_keys += 1;
                }
            }
        }
        // Without these, a refusal could be for another reason alone.
        assert!(second_names_of_good_keys > 0);
    }

    #[test]
    fn attack_04_a_weak_key_signs_nothing() {
        // Under the neutral point, the signature (R = neutral, s = 0) fits every message of a lenient check.
        let neutral = bytes(SMALL_ORDER[0]);
        let mut forged = [0; 64];
        forged[..32].copy_from_slice(&neutral);
        let forged = Signature::from_bytes(forged);
        assert_eq!(check_raw(&neutral, b"anything", &forged), Err(BadSignature));
    }

    /// Every kind of statement of the exchange, and one kind for each trick with names.
    const KINDS: [Domain; 23] = [
        Domain::new("card"),
        Domain::new("genesis"),
        Domain::new("roster"),
        Domain::new("vote"),
        Domain::new("node-cert"),
        Domain::new("node"),
        Domain::new("revocation"),
        Domain::new("suspension"),
        Domain::new("person"),
        Domain::new("prekey"),
        Domain::new("alive"),
        Domain::new("group"),
        Domain::new("grant"),
        Domain::new("grant-request"),
        Domain::new("bundle"),
        Domain::new("envelope"),
        Domain::new("recall"),
        Domain::new("receipt"),
        Domain::new("sighting"),
        Domain::new("mailbox"),
        Domain::new("ledger-head"),
        Domain::new("proof"),
        Domain::new("proof-1"),
    ];

    #[test]
    fn attack_06_a_signature_serves_one_purpose() {
        let key = SigningKey::from_seed(&[6; 32]);
        let signatures: Vec<Signature> = KINDS
            .iter()
            .map(|kind| key.sign(*kind, b"same bytes"))
            .collect();
        for (signed, signature) in KINDS.iter().zip(&signatures) {
            for claimed in KINDS {
                let holds = check(&key.public(), claimed, b"same bytes", signature).is_ok();
                assert_eq!(holds, *signed == claimed, "{signed:?} as {claimed:?}");
            }
        }
    }

    #[test]
    fn attack_06_bytes_that_carry_a_domain_do_not_cross() {
        // Moving the boundary between purpose and message moves the zero byte, and so the signed bytes.
        let key = SigningKey::from_seed(&[6; 32]);
        let signature = key.sign(Domain::new("grant"), b"-request\0x");
        for message in [&b"x"[..], b"\0x", b"-request\0x"] {
            assert!(
                check(
                    &key.public(),
                    Domain::new("grant-request"),
                    message,
                    &signature
                )
                .is_err()
            );
        }
    }

    #[test]
    fn copies_are_the_bytes() {
        let key = SigningKey::from_seed(&[5; 32]).public();
        assert_eq!(&key.to_bytes(), key.as_bytes());
        assert_eq!(PublicKey::enrol(&key.to_bytes()), Ok(key));
        let bytes: [u8; 64] = core::array::from_fn(|at| u8::try_from(at).unwrap());
        let signature = Signature::from_bytes(bytes);
        assert_eq!(
            (signature.to_bytes(), signature.as_bytes()),
            (bytes, &bytes)
        );
    }

    #[test]
    fn attack_49_debug_of_a_signature_is_short() {
        let shown = format!("{:?}", Signature::from_bytes([0xab; 64]));
        assert_eq!(shown, "Signature(abababab..)");
    }
}
