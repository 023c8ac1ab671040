//! How an audience gets its key: one statement on the control stream of the
//! author, and a slot for each recipient node in its payload.

use crate::ids::{GrantId, PrekeyId};
use crate::limits::{GRANT_BYTES_MAX, GRANT_NOTE_BYTES_MAX, OWN_SLOTS_TRIED_MAX};
use crate::wire::sealing::{Grant, GrantNote, GrantSlots, HintedSlot, SlotBytes};
use crate::wire::{Bytes, List, TooLong, codec};
use watchfire_crypto::Secret;
use watchfire_crypto::seal::{
    AudienceKey, Hint, NotOpened, Prekey, PrekeySecret, SLOT_ENTROPY_BYTES, Slot,
};

/// One who is granted an audience key.
pub struct Grantee<'a> {
    /// How its slot is marked, so that it finds it.
    pub marked: Marked,
    /// What is sealed to.
    pub prekey: &'a Prekey,
    /// What its slot is sealed with.
    pub entropy: Secret<[u8; SLOT_ENTROPY_BYTES]>,
}

/// How a recipient finds its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// By the prekey it was sealed to: the audience hides nothing.
    Prekey(PrekeyId),
    /// By a hint, at a place that was drawn.
    Hint(Hint, u64),
}

/// Seals what the audience alone learns of a grant.
///
/// # Errors
/// When it is longer than a grant holds.
pub fn seal_note(
    key: &AudienceKey,
    nonce: &[u8; 16],
    note: &GrantNote,
) -> Result<Bytes<GRANT_NOTE_BYTES_MAX>, TooLong> {
    Bytes::new(key.seal_note(nonce, &codec::encode(note)))
}

/// Seals an audience key to each recipient: the payload of its grant. All are
/// found by prekey, or all by hint.
///
/// # Errors
/// When they are more than a grant holds.
pub fn slots(
    grant: GrantId,
    key: &AudienceKey,
    grantees: Vec<Grantee<'_>>,
) -> Result<GrantSlots, TooLong> {
    let mut named = Vec::new();
    let mut hinted = Vec::new();
    for grantee in grantees {
        let slot = Slot::seal(
            grantee.prekey,
            grant.as_bytes(),
            key.secret(),
            &grantee.entropy,
        );
        let slot = SlotBytes::new(slot.as_bytes().to_vec())?;
        match grantee.marked {
            Marked::Prekey(prekey) => named.push((prekey, slot)),
            Marked::Hint(hint, place) => hinted.push((place, HintedSlot { hint, slot })),
        }
    }
    if hinted.is_empty() {
        named.sort_unstable_by_key(|(prekey, _)| *prekey);
        return Ok(GrantSlots::Named(List::new(named)?));
    }
    hinted.sort_by_key(|(place, _)| *place);
    let hinted = hinted.into_iter().map(|(_, slot)| slot).collect();
    Ok(GrantSlots::Hinted(List::new(hinted)?))
}

/// Reads the payload of a grant that arrived.
///
/// # Errors
/// When it is none, is empty, or names a prekey twice.
pub fn read_slots(payload: &[u8]) -> Result<GrantSlots, NotOpened> {
    let slots: GrantSlots = codec::decode(payload, GRANT_BYTES_MAX).map_err(|_| NotOpened)?;
    let is_one = match &slots {
        GrantSlots::Named(named) => {
            !named.is_empty()
                && named
                    .iter()
                    .map(|(prekey, _)| prekey)
                    .is_sorted_by(|a, b| a < b)
        }
        GrantSlots::Hinted(hinted) => !hinted.is_empty(),
    };
    if is_one { Ok(slots) } else { Err(NotOpened) }
}

/// A prekey of this node: what it is called, its private half, and the hint
/// that the author of the grant gives it.
pub struct Held<'a> {
    /// As slots name it.
    pub id: PrekeyId,
    /// Its private half.
    pub secret: &'a PrekeySecret,
    /// As slots hint at it; none where the author has published no hint key.
    pub hint: Option<Hint>,
}

/// What a grant gave this node.
pub struct Granted {
    /// The audience key.
    pub key: AudienceKey,
    /// What the audience alone learns.
    pub note: GrantNote,
}

/// Opens the slot of this node in a grant.
///
/// # Errors
/// When there is none, it does not open, or the key in it is not the one that
/// the grant commits to: somebody was granted another.
pub fn open(
    id: GrantId,
    grant: &Grant,
    slots: &GrantSlots,
    held: &[Held<'_>],
) -> Result<Granted, NotOpened> {
    let opened = match slots {
        GrantSlots::Named(named) => held.iter().find_map(|prekey| {
            let at = named
                .as_slice()
                .binary_search_by_key(&prekey.id, |(id, _)| *id)
                .ok()?;
            open_slot(id, &named.as_slice().get(at)?.1, prekey)
        }),
        GrantSlots::Hinted(hinted) => hinted
            .iter()
            .flat_map(|slot| held.iter().map(move |prekey| (slot, prekey)))
            .filter(|(slot, prekey)| prekey.hint == Some(slot.hint))
            .take(OWN_SLOTS_TRIED_MAX)
            .find_map(|(slot, prekey)| open_slot(id, &slot.slot, prekey)),
    };
    let key = opened.ok_or(NotOpened)?;
    if key.commitment() != grant.commitment {
        return Err(NotOpened);
    }
    let note = key.open_note(&grant.nonce, grant.note.as_slice())?;
    let note = codec::decode(&note, GRANT_NOTE_BYTES_MAX).map_err(|_| NotOpened)?;
    Ok(Granted { key, note })
}

fn open_slot(grant: GrantId, slot: &SlotBytes, held: &Held<'_>) -> Option<AudienceKey> {
    let slot = Slot::enrol(slot.as_slice()).ok()?;
    let key = slot.open(held.secret, grant.as_bytes()).ok()?;
    Some(AudienceKey::new(key))
}
