//! Segments: what is sealed under a content key, in pieces that open one by one.

use alloc::vec::Vec;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{ContentKey, NotOpened, PrefixDigest};
use crate::{Domain, Secret};

/// By how much a piece of ciphertext is longer than what is in it.
pub const PIECE_TAG_BYTES: usize = 16;

/// The commitment of a segment's key, as the signed binding holds it.
pub const COMMITMENT_BYTES: usize = 32;

const SEGMENT: Domain = Domain::new("segment-key");

/// The parts of an envelope that are sealed apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// The inner statement.
    Header,
    /// The payload, in pieces.
    Payload,
    /// What a direct envelope tells one recipient alone.
    Delivery,
}

impl Segment {
    const fn number(self) -> u8 {
        match self {
            Self::Header => 0,
            Self::Payload => 1,
            Self::Delivery => 2,
        }
    }
}

/// The key of one segment of one envelope.
pub struct SegmentKey {
    key: Secret<[u8; 32]>,
    commitment: [u8; COMMITMENT_BYTES],
    segment: Segment,
    prefix: PrefixDigest,
}

impl SegmentKey {
    /// Derives it. The commitment comes out of the same derivation, so nobody finds two keys with one.
    pub fn derive(content: &ContentKey, prefix: PrefixDigest, segment: Segment) -> Self {
        let mut out = Zeroizing::new([0; 32 + COMMITMENT_BYTES]);
        Hkdf::<Sha256>::new(Some(&prefix.0), content.secret().expose())
            .expand(&SEGMENT.preimage(&[segment.number()]), out.as_mut_slice())
            .expect("HKDF gives 64 bytes");
        let mut key = Zeroizing::new([0; 32]);
        let mut commitment = [0; COMMITMENT_BYTES];
        let (first, rest) = out.split_at(32);
        key.copy_from_slice(first);
        commitment.copy_from_slice(rest);
        Self {
            key: key.into(),
            commitment,
            segment,
            prefix,
        }
    }

    /// As [`SegmentKey::derive`], for an envelope that arrived.
    ///
    /// # Errors
    ///
    /// [`NotOpened`] when the author committed to another key. Nothing was decrypted then.
    pub fn committed(
        content: &ContentKey,
        prefix: PrefixDigest,
        segment: Segment,
        commitment: &[u8; COMMITMENT_BYTES],
    ) -> Result<Self, NotOpened> {
        let derived = Self::derive(content, prefix, segment);
        // Both are public: the binding shows one, and whoever holds the key computes the other.
        if derived.commitment == *commitment {
            Ok(derived)
        } else {
            Err(NotOpened)
        }
    }

    /// What the binding holds of it.
    pub const fn commitment(&self) -> &[u8; COMMITMENT_BYTES] {
        &self.commitment
    }

    /// Seals the piece of this index. Each index is sealed once, and the last piece says that it is the last.
    pub fn seal(&self, index: u32, is_last: bool, plain: &[u8]) -> Vec<u8> {
        self.cipher()
            .encrypt(
                &nonce(index, is_last),
                Payload {
                    msg: plain,
                    aad: &self.associated(index, is_last),
                },
            )
            .expect("a piece is far shorter than 256 GiB")
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`NotOpened`] for another place, segment, envelope or key, and for every changed bit.
    pub fn open(&self, index: u32, is_last: bool, sealed: &[u8]) -> Result<Vec<u8>, NotOpened> {
        self.cipher()
            .decrypt(
                &nonce(index, is_last),
                Payload {
                    msg: sealed,
                    aad: &self.associated(index, is_last),
                },
            )
            .map_err(|_| NotOpened)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.expose().into())
    }

    /// SHA-256 of the prefix, segment, index, last: what the key is bound to already, and the nonce for the rest, said
    /// once more where a reader looks for it.
    fn associated(&self, index: u32, is_last: bool) -> Vec<u8> {
        let mut bytes = self.prefix.0.to_vec();
        bytes.push(self.segment.number());
        bytes.extend(index.to_be_bytes());
        bytes.push(u8::from(is_last));
        bytes
    }
}

/// STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015): a prefix, here nought because the key is for one envelope, the
/// index, and whether it is the last.
fn nonce(index: u32, is_last: bool) -> XNonce {
    let mut nonce = [0; 24];
    let (_, rest) = nonce.split_at_mut(19);
    let (counter, last) = rest.split_at_mut(4);
    counter.copy_from_slice(&index.to_be_bytes());
    last.fill(u8::from(is_last));
    nonce.into()
}
