//! Hints: four bytes by which a recipient knows its own slot among many, and nobody else learns whose it is.
//!
//! Without them a node would decapsulate every slot of every bundle; with the name of the recipient in their place,
//! everybody would read who a bundle is for. Two nodes share a secret, X25519 of keys that each publishes with its prekey
//! and that serve nothing else. A hint of another is met by chance once in 2^32 slots, and costs one decapsulation.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::PrekeyRefused;
use super::prekey::is_small_order;
use crate::{Domain, Secret};

/// A published hint key.
pub const HINT_KEY_BYTES: usize = 32;

/// The first bytes of a MAC.
pub type Hint = [u8; 4];

const OWN: Domain = Domain::new("hint-key");
const SHARED: Domain = Domain::new("hint-secret");

/// The private half of a node's hint key.
pub struct HintKey(StaticSecret);

impl HintKey {
    /// Derives it from the seed of the prekey that it is published with, so that both live and end together.
    pub fn of_seed(seed: &Secret<[u8; 32]>) -> Self {
        let mut out = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, seed.expose())
            .expand(&OWN.preimage(&[]), out.as_mut_slice())
            .expect("HKDF gives 32 bytes");
        Self(StaticSecret::from(*out))
    }

    /// What is published.
    pub fn public(&self) -> [u8; HINT_KEY_BYTES] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// What two nodes share; each computes it of its own private half and the other's public one.
    ///
    /// # Errors
    ///
    /// When the other's key is of small order: everybody would share it.
    pub fn with(&self, other: &[u8; HINT_KEY_BYTES]) -> Result<HintSecret, PrekeyRefused> {
        if is_small_order(other) {
            return Err(PrekeyRefused::SmallOrder);
        }
        let shared = self.0.diffie_hellman(&PublicKey::from(*other));
        let own = self.public();
        let (first, second) = if own < *other {
            (&own, other)
        } else {
            (other, &own)
        };
        let mut out = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, shared.as_bytes())
            .expand(
                &SHARED.preimage(&[*first, *second].concat()),
                out.as_mut_slice(),
            )
            .expect("HKDF gives 32 bytes");
        Ok(HintSecret(out.into()))
    }
}

/// What two nodes share to hint at slots.
pub struct HintSecret(Secret<[u8; 32]>);

impl HintSecret {
    /// The hint at the slot of this recipient in the envelope or grant with this nonce.
    pub fn hint(&self, recipient: &[u8; 32], nonce: &[u8; 16]) -> Hint {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose())
            .expect("HMAC takes a key of any length");
        mac.update(recipient);
        mac.update(nonce);
        let [a, b, c, d, ..] = mac.finalize().into_bytes().0;
        [a, b, c, d]
    }
}
