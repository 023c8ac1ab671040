//! What is above TLP:CLEAR, closed to everybody outside its audience.
//!
//! Pure and dear, as opening is: it runs off the engine's thread. Nothing here
//! decides who is in an audience.
//!
//! | file | question it answers |
//! |---|---|
//! | [`body`] | how are statement and payload sealed under a content key, and opened? |
//! | [`grant`] | how does an audience get its key? |
//! | [`keys`] | how does a content key travel in an envelope? |

pub mod body;
pub mod grant;
pub mod keys;

use crate::wire::codec;
use crate::wire::envelope::Prefix;
use watchfire_crypto::seal::PrefixDigest;
use watchfire_crypto::sha256;

/// SHA-256 of a prefix, from which every key of its envelope derives.
pub fn digest_of(prefix: &Prefix) -> PrefixDigest {
    PrefixDigest(sha256(&codec::encode(prefix)))
}

#[cfg(test)]
mod tests;
