//! Domain separation: what a signature or an id is *for* is part of what is signed.
//!
//! Every kind of statement prefixes its bytes with `watchfire/v1/<kind>` and one zero byte. A kind holds no zero
//! byte, so no two kinds share a preimage whatever the message: a vote can never be replayed as a certificate.

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};

/// What every preimage begins with; `v1` changes only together with the meaning of the signed bytes.
const PREFIX: &[u8] = b"watchfire/v1/";

/// The zero byte that ends the kind.
const END: &[u8] = &[0];

/// The purpose of a signature or an id, such as `vote` or `node-cert`.
///
/// It is made in a constant, one for each kind of statement, and never from what arrived.
///
/// ```
/// use watchfire_crypto::Domain;
///
/// const VOTE: Domain = Domain::new("vote");
/// assert_eq!(VOTE.preimage(b"yes"), b"watchfire/v1/vote\0yes");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(&'static str);

impl Domain {
    /// Names a domain.
    ///
    /// # Panics
    ///
    /// When `kind` is empty or holds anything but lower-case ASCII letters, digits and hyphens. In a constant, where
    /// domains belong, that is a compile error.
    pub const fn new(kind: &'static str) -> Self {
        let mut rest = kind.as_bytes();
        assert!(!rest.is_empty(), "a domain needs a kind");
        while let [first, tail @ ..] = rest {
            assert!(
                first.is_ascii_lowercase() || first.is_ascii_digit() || *first == b'-',
                "a kind is lower-case letters, digits and hyphens"
            );
            rest = tail;
        }
        Self(kind)
    }

    /// The kind alone, without prefix and zero byte.
    pub const fn kind(&self) -> &'static str {
        self.0
    }

    /// The bytes that are signed and hashed for `message`: `watchfire/v1/<kind>`, a zero byte, the message.
    pub fn preimage(&self, message: &[u8]) -> Vec<u8> {
        [PREFIX, self.0.as_bytes(), END, message].concat()
    }

    /// SHA-256 of [`Domain::preimage`], without building it. Ids of statements are made this way.
    pub fn digest(&self, message: &[u8]) -> [u8; 32] {
        let mut stream = self.stream();
        stream.update(message);
        stream.finish()
    }

    /// As [`Domain::digest`], for a message that comes in pieces.
    pub fn stream(&self) -> Sha256Stream {
        let mut stream = Sha256Stream::new();
        stream.update(PREFIX);
        stream.update(self.0.as_bytes());
        stream.update(END);
        stream
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({})", self.0)
    }
}

/// SHA-256 (FIPS 180-4) of plain bytes, for what no domain applies to, such as a node id from its transport key.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 over bytes that come in pieces, such as the chunks of a payload.
#[derive(Clone, Default)]
pub struct Sha256Stream(Sha256);

impl Sha256Stream {
    /// An empty stream, without a domain; [`Domain::stream`] starts one with a domain.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes. The cuts between calls do not change the result.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything appended.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

impl fmt::Debug for Sha256Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The inner state would reveal what was hashed when that was short.
        f.write_str("Sha256Stream(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_message_has_the_digest_of_the_standard() {
        assert_eq!(
            hex::encode(sha256(b"")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn a_digest_is_the_hash_of_the_preimage_however_it_is_cut() {
        let domain = Domain::new("bundle");
        let mut stream = domain.stream();
        stream.update(b"ab");
        stream.update(b"");
        stream.update(b"c");
        assert_eq!(domain.digest(b"abc"), sha256(b"watchfire/v1/bundle\0abc"));
        assert_eq!(stream.finish(), domain.digest(b"abc"));
    }

    #[test]
    fn a_kind_that_begins_another_shares_no_preimage_with_it() {
        let short = Domain::new("node");
        let long = Domain::new("node-cert");
        assert_ne!(short.preimage(b"-cert\0x"), long.preimage(b"x"));
    }

    /// A refused statement is named by its kind, and what was hashed is not shown on the way.
    #[test]
    fn attack_49_domains_show_their_kind_and_streams_nothing() {
        let domain = Domain::new("bundle");
        assert_eq!(domain.kind(), "bundle");
        assert_eq!(std::format!("{domain:?}"), "Domain(bundle)");
        let mut stream = domain.stream();
        stream.update(b"7");
        assert_eq!(std::format!("{stream:?}"), "Sha256Stream(..)");
    }
}
