//! Content keys: one for each envelope.

use alloc::vec::Vec;

use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{NotOpened, PrefixDigest};
use crate::{Domain, Secret};

/// A content key under an audience key, with its tag.
pub const WRAP_BYTES: usize = 32 + 16;

const CONTENT: Domain = Domain::new("content-key");
const WRAP: Domain = Domain::new("content-key-wrap");
const COMMITMENT: Domain = Domain::new("audience-key-commitment");
const NOTE: Domain = Domain::new("grant-note");

/// A content key, sealed under an audience key for one envelope.
pub type Wrap = [u8; WRAP_BYTES];

/// What an author and its audience share for a day; granted once, by slots.
pub struct AudienceKey(Secret<[u8; 32]>);

impl AudienceKey {
    /// From 32 bytes of the operating system's randomness, or as a slot held it.
    pub const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    /// The key itself, for the slots of its grant and to be kept sealed.
    pub const fn secret(&self) -> &Secret<[u8; 32]> {
        &self.0
    }

    /// What a grant says in clear of the key that its slots hold: nobody finds two keys with one.
    pub fn commitment(&self) -> [u8; 32] {
        *derive(&self.0, PrefixDigest([0; 32]), COMMITMENT).expose()
    }

    /// Seals what a grant with this nonce tells its audience. Each nonce is used once.
    pub fn seal_note(&self, nonce: &[u8; 16], note: &[u8]) -> Vec<u8> {
        self.noting(nonce)
            .encrypt(&XNonce::default(), note)
            .expect("a note is far shorter than 256 GiB")
    }

    /// Opens what [`AudienceKey::seal_note`] made.
    ///
    /// # Errors
    ///
    /// [`NotOpened`] for another audience key, another nonce and every changed bit.
    pub fn open_note(&self, nonce: &[u8; 16], sealed: &[u8]) -> Result<Vec<u8>, NotOpened> {
        self.noting(nonce)
            .decrypt(&XNonce::default(), sealed)
            .map_err(|_| NotOpened)
    }

    /// The key is for one nonce, which several grants of one audience key do not share.
    fn noting(&self, nonce: &[u8; 16]) -> XChaCha20Poly1305 {
        let salt = PrefixDigest(NOTE.digest(nonce));
        XChaCha20Poly1305::new(derive(&self.0, salt, NOTE).expose().into())
    }

    /// The content key of the envelope with this prefix: nothing is sent for it.
    pub fn content_key(&self, prefix: PrefixDigest) -> ContentKey {
        ContentKey(derive(&self.0, prefix, CONTENT))
    }

    /// Seals the content key of an envelope to several audiences.
    pub fn wrap(&self, content: &ContentKey, prefix: PrefixDigest) -> Wrap {
        let sealed = self
            .wrapping(prefix)
            .encrypt(&XNonce::default(), content.0.expose().as_slice())
            .expect("32 bytes can be sealed");
        let mut wrap = [0; WRAP_BYTES];
        wrap.copy_from_slice(&sealed);
        wrap
    }

    /// Opens what [`AudienceKey::wrap`] made.
    ///
    /// # Errors
    ///
    /// [`NotOpened`] for another audience key, another envelope, and every changed bit.
    pub fn unwrap(&self, wrap: &Wrap, prefix: PrefixDigest) -> Result<ContentKey, NotOpened> {
        let opened: Vec<u8> = self
            .wrapping(prefix)
            .decrypt(&XNonce::default(), wrap.as_slice())
            .map_err(|_| NotOpened)?;
        let opened = Zeroizing::new(opened);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(opened.get(..32).ok_or(NotOpened)?);
        Ok(ContentKey(key.into()))
    }

    /// The key is for one envelope, in which one thing is sealed with it: the nonce may be nought.
    fn wrapping(&self, prefix: PrefixDigest) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(derive(&self.0, prefix, WRAP).expose().into())
    }
}

/// What an envelope's segments are sealed under.
pub struct ContentKey(Secret<[u8; 32]>);

impl ContentKey {
    /// Of an envelope whose key travels in slots or wraps: from 32 bytes of the operating system's randomness, or as a
    /// slot held it.
    pub const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    /// The key itself, for slots.
    pub const fn secret(&self) -> &Secret<[u8; 32]> {
        &self.0
    }
}

/// HKDF-SHA256 of a key, for one purpose in the envelope with this prefix.
fn derive(key: &Secret<[u8; 32]>, prefix: PrefixDigest, purpose: Domain) -> Secret<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(&prefix.0), key.expose())
        .expand(&purpose.preimage(&[]), out.as_mut_slice())
        .expect("HKDF gives 32 bytes");
    out.into()
}
