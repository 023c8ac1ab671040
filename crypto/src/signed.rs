//! Statements: sign the exact bytes that are sent, parse after the signature holds.
//!
//! [`Signed`] is what arrived, [`Verified`] is what holds. The second is made from the first by a check of the signature
//! and by nothing else, so a function that asks for a `Verified<Vote>` cannot be called with bytes somebody made up.
//!
//! ```
//! use watchfire_crypto::{Domain, Signed, SigningKey, Statement};
//!
//! #[derive(Debug)]
//! struct Greeting(String);
//!
//! impl Statement for Greeting {
//!     const DOMAIN: Domain = Domain::new("greeting");
//!     type Malformed = std::string::FromUtf8Error;
//!     fn parse(bytes: &[u8]) -> Result<Self, Self::Malformed> {
//!         String::from_utf8(bytes.to_vec()).map(Self)
//!     }
//! }
//!
//! let key = SigningKey::from_seed(&[7; 32]);
//! let sent: Signed<Greeting> = Signed::seal(b"good morning".to_vec(), &key);
//!
//! let arrived: Signed<Greeting> = Signed::new(sent.bytes().to_vec(), *sent.signature());
//! let greeting = arrived.verify(&key.public())?;
//! assert_eq!(greeting.value().0, "good morning");
//! assert_eq!(greeting.id(), Greeting::DOMAIN.digest(b"good morning"));
//! # Ok::<(), watchfire_crypto::VerifyError<std::string::FromUtf8Error>>(())
//! ```

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use crate::sig::check;
use crate::{BadSignature, Domain, PublicKey, Signature, SigningKey};

/// A kind of statement: the purpose it is signed for and how its bytes read.
pub trait Statement: Sized {
    /// The purpose. No two kinds share one.
    const DOMAIN: Domain;

    /// Why bytes do not read as this kind.
    type Malformed;

    /// Reads the signed bytes. The bytes may be anything, so this never panics and bounds what it allocates; it refuses
    /// every encoding but one, so that equal statements have equal ids.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the bytes.
    fn parse(bytes: &[u8]) -> Result<Self, Self::Malformed>;
}

/// A statement as it arrived: bytes and a signature that nobody has checked.
pub struct Signed<T> {
    bytes: Vec<u8>,
    signature: Signature,
    /// Not owned: a `Signed<T>` holds bytes, whatever `T` is.
    kind: PhantomData<fn() -> T>,
}

impl<T> Signed<T> {
    /// Keeps bytes and signature together, unchecked.
    pub const fn new(bytes: Vec<u8>, signature: Signature) -> Self {
        Self {
            bytes,
            signature,
            kind: PhantomData,
        }
    }

    /// The bytes as they arrived.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature as it arrived.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Bytes and signature, for sending or storing.
    pub fn into_parts(self) -> (Vec<u8>, Signature) {
        (self.bytes, self.signature)
    }
}

impl<T: Statement> Signed<T> {
    /// Signs bytes that are to be sent as they are.
    pub fn seal(bytes: Vec<u8>, key: &SigningKey) -> Self {
        let signature = key.sign(T::DOMAIN, &bytes);
        Self::new(bytes, signature)
    }

    /// Signs one's own bytes and reads them as everybody else will, so that an author never sends what it cannot read.
    ///
    /// # Errors
    ///
    /// What [`Statement::parse`] says about the bytes.
    pub fn seal_verified(bytes: Vec<u8>, key: &SigningKey) -> Result<Verified<T>, T::Malformed> {
        let value = T::parse(&bytes)?;
        Ok(Self::seal(bytes, key).proven(value, key.public()))
    }

    /// What the bytes claim, before any check. It proves nothing: use it to find out which key to check with, then call
    /// [`Signed::verify`] and use its value instead of this one.
    ///
    /// # Errors
    ///
    /// What [`Statement::parse`] says about the bytes.
    pub fn claims(&self) -> Result<T, T::Malformed> {
        T::parse(&self.bytes)
    }

    /// The id these bytes have, also when the signature does not hold. An id says which bytes, not whose.
    pub fn id(&self) -> [u8; 32] {
        T::DOMAIN.digest(&self.bytes)
    }

    /// Checks the signature, and reads the bytes only when it holds.
    ///
    /// # Errors
    ///
    /// [`VerifyError::BadSignature`] when `key` did not sign these bytes for this kind; [`VerifyError::Malformed`] when
    /// it did, and they do not read as this kind: then the signer is at fault, provably.
    pub fn verify(self, key: &PublicKey) -> Result<Verified<T>, VerifyError<T::Malformed>> {
        check(key, T::DOMAIN, &self.bytes, &self.signature)?;
        let value = T::parse(&self.bytes).map_err(VerifyError::Malformed)?;
        Ok(self.proven(value, *key))
    }

    fn proven(self, value: T, signer: PublicKey) -> Verified<T> {
        Verified {
            id: self.id(),
            value,
            signer,
            bytes: self.bytes,
            signature: self.signature,
        }
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self::new(self.bytes.clone(), self.signature)
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.signature == other.signature
    }
}

impl<T> Eq for Signed<T> {}

/// The length and the beginning of the signature; never the bytes, which may be confidential.
impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("bytes_len", &self.bytes.len())
            .field("signature", &self.signature)
            .finish()
    }
}

/// A statement whose signature holds, with the key that signed it and the exact bytes.
///
/// It can only come from [`Signed::verify`], or from the author's own [`Signed::seal_verified`].
#[derive(Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    id: [u8; 32],
    signer: PublicKey,
    bytes: Vec<u8>,
    signature: Signature,
}

impl<T> Verified<T> {
    /// What the bytes say.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// What the bytes say; the proof is given up.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The signed bytes, as they arrived.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature that holds.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The key that signed.
    pub const fn signer(&self) -> &PublicKey {
        &self.signer
    }

    /// SHA-256 of the domain-separated bytes; the signature has no part in it.
    pub const fn id(&self) -> [u8; 32] {
        self.id
    }

    /// Bytes and signature, for sending or storing.
    pub fn into_parts(self) -> (Vec<u8>, Signature) {
        (self.bytes, self.signature)
    }

    /// Continues the proof to a richer reading of the same signed bytes: for example from a roster to a roster whose
    /// numbers add up. Id, signer, bytes and signature stay.
    ///
    /// # Errors
    ///
    /// Whatever `reading` finds wrong.
    pub fn refine<U, E>(
        self,
        reading: impl FnOnce(T, &[u8]) -> Result<U, E>,
    ) -> Result<Verified<U>, E> {
        Ok(Verified {
            value: reading(self.value, &self.bytes)?,
            id: self.id,
            signer: self.signer,
            bytes: self.bytes,
            signature: self.signature,
        })
    }
}

/// Without the bytes: the value decides what may be printed of it.
impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("value", &self.value)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

/// Why a statement is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError<M> {
    /// The signature does not hold; nothing was parsed. Whoever passed the bytes on is to blame.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// The signature holds, the bytes do not read as this kind. The signer is to blame.
    #[error(
        "statement refused: it is signed, but does not read as its kind: {0}; ask the signer to upgrade or repair"
    )]
    Malformed(M),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::format;
    use std::string::String;

    use super::*;

    /// A statement that shows how it was read: it panics when bytes nobody signed reach its parser.
    #[derive(Debug, Clone, PartialEq)]
    struct Order(u8);

    #[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
    #[error("an order is one byte")]
    struct NotAnOrder;

    impl Statement for Order {
        const DOMAIN: Domain = Domain::new("order");
        type Malformed = NotAnOrder;
        fn parse(bytes: &[u8]) -> Result<Self, NotAnOrder> {
            assert_ne!(bytes, b"unsigned", "parsed before the signature held");
            match bytes {
                [order] => Ok(Self(*order)),
                _ => Err(NotAnOrder),
            }
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_seed(&[9; 32])
    }

    #[test]
    fn nothing_is_parsed_before_the_signature_holds() {
        let arrived = Signed::<Order>::new(b"unsigned".to_vec(), Signature::from_bytes([0; 64]));
        let refused = arrived.verify(&key().public()).unwrap_err();
        assert_eq!(refused, VerifyError::BadSignature(BadSignature));
    }

    #[test]
    fn signed_nonsense_is_the_signers_fault() {
        let arrived = Signed::<Order>::seal(b"two bytes".to_vec(), &key());
        assert_eq!(arrived.claims(), Err(NotAnOrder));
        let refused = arrived.verify(&key().public()).unwrap_err();
        assert_eq!(refused, VerifyError::Malformed(NotAnOrder));
        assert!(Signed::<Order>::seal_verified(b"two bytes".to_vec(), &key()).is_err());
    }

    #[test]
    fn the_proof_keeps_bytes_id_and_signer() {
        let own = Signed::<Order>::seal_verified(b"7".to_vec(), &key()).unwrap();
        let arrived = Signed::<Order>::new(own.bytes().to_vec(), *own.signature());
        assert_eq!(arrived.claims(), Ok(Order(b'7')));
        assert_eq!(arrived.id(), own.id());
        let verified = arrived.verify(&key().public()).unwrap();
        assert_eq!(verified, own);
        assert_eq!(verified.signer(), &key().public());
        assert_eq!(verified.id(), crate::sha256(b"watchfire/v1/order\x007"));
        assert_eq!(verified.into_parts(), (b"7".to_vec(), *own.signature()));
    }

    #[test]
    fn a_richer_reading_keeps_the_proof_or_ends_it() {
        let own = Signed::<Order>::seal_verified(b"7".to_vec(), &key()).unwrap();
        let digit = |order: Order, bytes: &[u8]| {
            assert_eq!(bytes, b"7");
            char::from(order.0).to_digit(10).ok_or(NotAnOrder)
        };
        let richer: Verified<u32> = own.clone().refine(digit).unwrap();
        assert_eq!(
            (richer.id(), richer.bytes(), *richer.value()),
            (own.id(), own.bytes(), 7)
        );
        assert_eq!(
            own.refine(|_, _| Err::<u32, _>(NotAnOrder)),
            Err(NotAnOrder)
        );
    }

    #[test]
    fn attack_06_a_statement_of_one_kind_is_none_of_another() {
        #[derive(Debug)]
        struct Wish;
        impl Statement for Wish {
            const DOMAIN: Domain = Domain::new("wish");
            type Malformed = NotAnOrder;
            fn parse(_: &[u8]) -> Result<Self, NotAnOrder> {
                Ok(Self)
            }
        }
        let (bytes, signature) = Signed::<Order>::seal(b"7".to_vec(), &key()).into_parts();
        let replayed = Signed::<Wish>::new(bytes, signature);
        assert_ne!(replayed.id(), Order::DOMAIN.digest(b"7"));
        let refused = replayed.verify(&key().public()).unwrap_err();
        assert_eq!(refused, VerifyError::BadSignature(BadSignature));
    }

    /// The two deliveries have one id, since an id says nothing about a signature; so whoever remembers by id must
    /// remember only what was verified. Here nothing is remembered at all.
    #[test]
    fn attack_08_a_bad_first_delivery_decides_nothing() {
        let good = Signed::<Order>::seal(b"7".to_vec(), &key());
        let mut bytes = good.signature().to_bytes();
        bytes[0] ^= 1;
        let bad = Signed::<Order>::new(good.bytes().to_vec(), Signature::from_bytes(bytes));
        assert_eq!(bad.id(), good.id());
        for _ in 0..3 {
            assert!(bad.clone().verify(&key().public()).is_err());
            assert!(good.clone().verify(&key().public()).is_ok());
        }
        // Under somebody else's key, the good one is no better.
        let other = SigningKey::from_seed(&[10; 32]).public();
        assert!(good.verify(&other).is_err());
    }

    /// Two deliveries are one only if both bytes and signature are: a set of them must not take a spoiled one for the
    /// good one.
    #[test]
    fn attack_08_deliveries_that_differ_in_anything_are_not_equal() {
        let good = Signed::<Order>::seal(b"7".to_vec(), &key());
        let other_bytes = Signed::<Order>::new(b"8".to_vec(), *good.signature());
        let other_signature = Signed::<Order>::new(b"7".to_vec(), Signature::from_bytes([0; 64]));
        let both = Signed::<Order>::new(b"8".to_vec(), Signature::from_bytes([0; 64]));
        assert_eq!(good, good.clone());
        for other in [other_bytes, other_signature, both] {
            assert_ne!(good, other);
        }
    }

    #[test]
    fn attack_49_debug_shows_no_statement_bytes() {
        let signed = Signed::<Order>::seal(b"confidential".to_vec(), &key());
        let own = Signed::<Order>::seal_verified(b"7".to_vec(), &key()).unwrap();
        for shown in [format!("{signed:?}"), format!("{own:?}")] {
            let bytes: String = format!("{:?}", b"confidential");
            assert!(
                !shown.contains("confidential") && !shown.contains(&bytes),
                "{shown}"
            );
            assert!(!shown.contains("bytes: ["), "{shown}");
        }
        // What is shown is enough for a failed test.
        assert!(format!("{signed:?}").starts_with("Signed { bytes_len: 12, signature: Signature("));
        assert!(format!("{own:?}").starts_with("Verified { value: Order(55), signer: PublicKey("));
    }
}
