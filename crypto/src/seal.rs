//! Sealing, suite 1: how a content key reaches its recipients, and what is sealed under it.
//!
//! ```text
//! prekey (X-Wing) ◄── slot: HPKE base mode, single shot ──  audience key, or content key
//! audience key, SHA-256(prefix) ── HKDF ──► content key      nothing per recipient in a bundle
//! content key, SHA-256(prefix), segment ── HKDF ──► key of the segment, its commitment
//! key of the segment, index, last ── XChaCha20-Poly1305 ──► a piece of ciphertext
//! ```
//!
//! X-Wing is ML-KEM-768 with X25519 (draft-connolly-cfrg-xwing-kem), HPKE is RFC 9180 with the KEM number 0x647a,
//! HKDF-SHA256 and ChaCha20-Poly1305. What is wrong with something sealed is never said: a wrong key, a changed byte and
//! a foreign slot are one and the same [`NotOpened`].
//!
//! A key is for one envelope and one segment, so nonces are counters. AEADs of this family do not commit to their key: the
//! commitment of each segment's key stands in the signed binding, and is compared before anything is decrypted. Two
//! recipients can therefore not be shown two texts in one envelope.

mod content;
mod hint;
mod padding;
mod prekey;
mod segment;
mod slot;

pub use content::{AudienceKey, ContentKey, WRAP_BYTES, Wrap};
pub use hint::{HINT_KEY_BYTES, Hint, HintKey, HintSecret};
pub use padding::{HEADER_SIZES, header_size, payload_size};
pub use prekey::{PREKEY_BYTES, Prekey, PrekeyRefused, PrekeySecret};
pub use segment::{COMMITMENT_BYTES, PIECE_TAG_BYTES, Segment, SegmentKey};
pub use slot::{SLOT_BYTES, SLOT_ENTROPY_BYTES, Slot};

/// It does not open. Which of the many reasons it was is nobody's to know, the caller's neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not open with the keys that are held here")]
pub struct NotOpened;

/// SHA-256 of an envelope's prefix: what every key and every piece of it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixDigest(pub [u8; 32]);

#[cfg(test)]
mod tests;
