//! One key for one recipient.

use core::convert::Infallible;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use super::prekey::{is_small_order, last_32};
use super::{NotOpened, Prekey, PrekeySecret};
use crate::{Domain, Secret};

/// An encapsulation (1,088 of ML-KEM-768 and 32 of X25519) and 32 bytes of a key with their tag.
pub const SLOT_BYTES: usize = ENCAPSULATION_BYTES + KEY_BYTES + 16;

/// What [`Slot::seal`] takes from the operating system's randomness.
pub const SLOT_ENTROPY_BYTES: usize = 64;

const ENCAPSULATION_BYTES: usize = 1_088 + 32;
const KEY_BYTES: usize = 32;

/// What a slot is sealed for, before the context of its caller.
const SLOT: Domain = Domain::new("slot");

/// A key, sealed to one prekey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot([u8; SLOT_BYTES]);

impl Slot {
    /// Seals a key to a prekey. `context` says for what, such as the digest of an envelope's prefix or of a grant; it is
    /// not sent, and a slot opens only where it is the same.
    pub fn seal(
        to: &Prekey,
        context: &[u8],
        key: &Secret<[u8; 32]>,
        entropy: &Secret<[u8; SLOT_ENTROPY_BYTES]>,
    ) -> Self {
        let mut drawn = Drawn(Zeroizing::new(*entropy.expose()), 0);
        let (encapsulation, sealed) =
            hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
                &OpModeS::Base,
                to.inner(),
                &SLOT.preimage(context),
                key.expose(),
                &[],
                &mut drawn,
            )
            .expect("a prekey that was enrolled can be encapsulated to, and 32 bytes be sealed");
        let mut slot = [0; SLOT_BYTES];
        let (first, rest) = slot.split_at_mut(ENCAPSULATION_BYTES);
        encapsulation.write_exact(first);
        rest.copy_from_slice(&sealed);
        Self(slot)
    }

    /// Takes a slot that arrived.
    ///
    /// # Errors
    ///
    /// When it has not [`SLOT_BYTES`], or its X25519 half is of small order: nobody seals so, and whoever opened it would
    /// use a key that everybody can compute half of. Nothing of a KEM was computed then.
    pub fn enrol(bytes: &[u8]) -> Result<Self, NotOpened> {
        let slot: [u8; SLOT_BYTES] = bytes.try_into().map_err(|_| NotOpened)?;
        let (encapsulation, _) = slot.split_at(ENCAPSULATION_BYTES);
        if last_32(encapsulation).is_none_or(is_small_order) {
            return Err(NotOpened);
        }
        Ok(Self(slot))
    }

    /// As it is sent.
    pub const fn as_bytes(&self) -> &[u8; SLOT_BYTES] {
        &self.0
    }

    /// Opens it with the private half of the prekey it was sealed to.
    ///
    /// # Errors
    ///
    /// [`NotOpened`] for every other key and context, and for every changed bit.
    pub fn open(&self, with: &PrekeySecret, context: &[u8]) -> Result<Secret<[u8; 32]>, NotOpened> {
        let (encapsulation, sealed) = self.0.split_at(ENCAPSULATION_BYTES);
        let encapsulation =
            <XWing as hpke::Kem>::EncappedKey::from_bytes(encapsulation).map_err(|_| NotOpened)?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &with.private(),
            &encapsulation,
            &SLOT.preimage(context),
            sealed,
            &[],
        )
        .map_err(|_| NotOpened)?;
        let opened = Zeroizing::new(opened);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(opened.get(..KEY_BYTES).ok_or(NotOpened)?);
        Ok(key.into())
    }
}

/// Randomness that the caller drew, given out once.
struct Drawn(Zeroizing<[u8; SLOT_ENTROPY_BYTES]>, usize);

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let end = self.1.saturating_add(out.len());
        let drawn = self.0.get(self.1..end).expect(
            "an encapsulation takes 64 bytes, which an exact pin of the library keeps true",
        );
        out.copy_from_slice(drawn);
        self.1 = end;
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}
