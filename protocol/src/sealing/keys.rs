//! The content key of an envelope: derived, wrapped, or in slots.

use crate::ids::GrantId;
use crate::limits::{KEY_BLOCK_BYTES_MAX, OWN_SLOTS_TRIED_MAX};
use crate::wire::sealing::{HintedSlot, KeyBlock, SlotBytes};
use crate::wire::{List, TooLong, codec};
use watchfire_crypto::Secret;
use watchfire_crypto::seal::{
    AudienceKey, ContentKey, Hint, NotOpened, PrefixDigest, Prekey, PrekeySecret,
    SLOT_ENTROPY_BYTES, Slot,
};

/// One who shall open an envelope.
pub struct Recipient<'a> {
    /// By which it knows its slot.
    pub hint: Hint,
    /// What is sealed to.
    pub prekey: &'a Prekey,
    /// What its slot is sealed with.
    pub entropy: Secret<[u8; SLOT_ENTROPY_BYTES]>,
    /// Where its slot goes: slots are sorted by it, so it is drawn for each.
    pub place: u64,
}

/// Wraps a content key for several standing audiences.
///
/// # Errors
/// When they are more than a key block holds.
pub fn wraps(
    content: &ContentKey,
    prefix: PrefixDigest,
    audiences: &[(GrantId, &AudienceKey)],
) -> Result<KeyBlock, TooLong> {
    let mut wraps: Vec<(GrantId, _)> = audiences
        .iter()
        .map(|(grant, key)| (*grant, key.wrap(content, prefix)))
        .collect();
    wraps.sort_unstable_by_key(|(grant, _)| *grant);
    Ok(KeyBlock::Wraps(List::new(wraps)?))
}

/// Seals a content key to each recipient.
///
/// # Errors
/// When they are more than a key block holds.
pub fn slots(
    content: &ContentKey,
    prefix: PrefixDigest,
    recipients: Vec<Recipient<'_>>,
) -> Result<KeyBlock, TooLong> {
    let mut placed: Vec<(u64, HintedSlot)> = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let slot = Slot::seal(
            recipient.prekey,
            &prefix.0,
            content.secret(),
            &recipient.entropy,
        );
        placed.push((
            recipient.place,
            HintedSlot {
                hint: recipient.hint,
                slot: SlotBytes::new(slot.as_bytes().to_vec())?,
            },
        ));
    }
    placed.sort_by_key(|(place, _)| *place);
    let slots = placed.into_iter().map(|(_, slot)| slot).collect();
    Ok(KeyBlock::Slots(List::new(slots)?))
}

/// Reads a key block that arrived: bounded, and no set twice.
///
/// # Errors
/// When it is none.
pub fn key_block(bytes: &[u8]) -> Result<KeyBlock, NotOpened> {
    let block: KeyBlock = codec::decode(bytes, KEY_BLOCK_BYTES_MAX).map_err(|_| NotOpened)?;
    let is_one = match &block {
        KeyBlock::Wraps(wraps) => {
            !wraps.is_empty()
                && wraps
                    .iter()
                    .map(|(grant, _)| grant)
                    .is_sorted_by(|a, b| a < b)
        }
        KeyBlock::Slots(slots) => !slots.is_empty(),
    };
    if is_one { Ok(block) } else { Err(NotOpened) }
}

impl KeyBlock {
    /// The content key for whoever holds the audience key of one of the grants.
    ///
    /// # Errors
    /// When none of them is held, or what is there does not open.
    pub fn unwrap<'a>(
        &self,
        prefix: PrefixDigest,
        mut held: impl FnMut(&GrantId) -> Option<&'a AudienceKey>,
    ) -> Result<ContentKey, NotOpened> {
        let Self::Wraps(wraps) = self else {
            return Err(NotOpened);
        };
        wraps
            .iter()
            .filter_map(|(grant, wrap)| held(grant)?.unwrap(wrap, prefix).ok())
            .next()
            .ok_or(NotOpened)
    }

    /// The content key for a node that one of the slots is for. Slots with
    /// another hint than its own with this author are not tried.
    ///
    /// # Errors
    /// When there is none, or it does not open.
    pub fn open_slot(
        &self,
        prefix: PrefixDigest,
        own: &[Hint],
        prekeys: &[&PrekeySecret],
    ) -> Result<ContentKey, NotOpened> {
        let Self::Slots(slots) = self else {
            return Err(NotOpened);
        };
        slots
            .iter()
            .filter(|slot| own.contains(&slot.hint))
            .take(OWN_SLOTS_TRIED_MAX)
            .filter_map(|slot| Slot::enrol(slot.slot.as_slice()).ok())
            .find_map(|slot| {
                prekeys
                    .iter()
                    .find_map(|prekey| slot.open(prekey, &prefix.0).ok())
            })
            .map(ContentKey::new)
            .ok_or(NotOpened)
    }
}
