//! Whom people of this node have invited, and who has knocked at the door since.
//!
//! An invitation is good for one card of one node. Of its token the node keeps
//! the hash alone, and every knock is decided here, in one place and one after
//! the other: what is accepted is on disk before the door says so, and the same
//! card with the same token is accepted again, because an answer may be lost.
//! Whoever knocks with a token that is unknown, over, withdrawn or used by
//! another gets one answer for all of them.
//!
//! It is a file beside the store, `store.invitations`, and no table of it: it is
//! nobody else's business and no part of the protocol, no rebuild from peers could
//! bring it back, and a token that was used must stay so when the database is
//! set aside.
//!
//! ```text
//! watchfire-invitations 1 <SHA-256 of what follows, 64 digits>
//! {"invitations":[…]}
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use watchfire_crypto::sha256;
use watchfire_protocol::limits::CARD_BYTES_MAX;
use watchfire_protocol::roster::{CheckedCard, check_card};
use watchfire_protocol::time::Now;
use watchfire_protocol::wire::SignedBytes;
use watchfire_protocol::wire::card::Card;
use watchfire_protocol::wire::genesis::card_to_file;
use watchfire_protocol::wire::invitation::Token;

use crate::keystore::{FileError, MODE_PRIVATE, beside, read_bounded, write_atomic};
use crate::limits::{
    INVITATION_LIFE_MS_MAX, INVITATION_NOTE_BYTES_MAX, INVITATIONS_FILE_BYTES_MAX, INVITATIONS_MAX,
    KNOCK_KEPT_MS, KNOCKS_ADDRESSES_MAX, KNOCKS_REFUSED_MAX, KNOCKS_REFUSED_WITHIN_MS,
};

/// What follows the store's name.
const SUFFIX: &str = ".invitations";

const TITLE: &str = "watchfire-invitations 1 ";

/// Digits of the id of an invitation: the first ones of its token's hash.
const ID_DIGITS: usize = 8;

/// An invitation that this node gave out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invited {
    /// What people call it by.
    pub id: String,
    /// Hash of its token, in hexadecimal.
    hash: String,
    /// For whom, as the inviting person wrote it.
    pub note: String,
    /// When it was made, in milliseconds UTC.
    pub made_ms: u64,
    /// Until when somebody may knock with it, in milliseconds UTC.
    pub expires_ms: u64,
    /// Who knocked with it.
    pub knock: Option<Knocked>,
}

/// The card that was left with an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knocked {
    /// The card file, in hexadecimal.
    pub card: String,
    /// When, in milliseconds UTC.
    pub at_ms: u64,
}

impl Knocked {
    /// The card, which was checked when it came and is checked again.
    pub fn checked(&self) -> Option<CheckedCard> {
        let bytes = hex::decode(&self.card).ok()?;
        let card = watchfire_protocol::wire::genesis::card_from_file(&bytes).ok()?;
        check_card(&card).ok()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    invitations: Vec<Invited>,
}

/// Why nothing was invited or withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum DeskRefusal {
    /// The file is not as it was written: which tokens were used is not known.
    #[error("{} is damaged: {why}; move it away, and invite anew those who have not knocked", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No room.
    #[error(
        "{INVITATIONS_MAX} invitations are kept; withdraw one that is not needed, see \"watchfire invite list\""
    )]
    TooMany,
    /// It would last too long.
    #[error("an invitation lasts an hour at least and 30 days at most; give another --expires")]
    Life,
    /// The note is too long.
    #[error("the note has more than {INVITATION_NOTE_BYTES_MAX} bytes; shorten --for")]
    Note,
    /// There is none of that id.
    #[error("there is no invitation {0}; see \"watchfire invite list\"")]
    Unknown(String),
}

/// Refused knocks from one address.
#[derive(Clone, Copy, Debug)]
struct Tries {
    since_ms: u64,
    refused: u32,
}

/// The invitations of a node. The driver alone has it.
#[derive(Debug)]
pub struct Desk {
    path: PathBuf,
    kept: Result<Vec<Invited>, String>,
    tries: BTreeMap<IpAddr, Tries>,
}

impl Desk {
    /// Where the invitations of the node with this store are.
    pub fn path_for(store: &Path) -> PathBuf {
        beside(store, SUFFIX)
    }

    /// Reads the invitations beside a store. Where they cannot be read the node
    /// runs, accepts no knock, and says why to whoever invites.
    pub fn open(store: &Path) -> Self {
        let path = Self::path_for(store);
        let kept = match read_bounded(&path, INVITATIONS_FILE_BYTES_MAX) {
            Ok(bytes) => read(&bytes),
            Err(FileError::Missing { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = &kept {
            tracing::error!(file = %path.display(), %why, "invitations not read: no knock is accepted");
        }
        Self {
            path,
            kept,
            tries: BTreeMap::new(),
        }
    }

    /// Every invitation that is kept, in the order they were made.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn invitations(&self) -> Result<&[Invited], DeskRefusal> {
        match &self.kept {
            Ok(kept) => Ok(kept),
            Err(why) => Err(DeskRefusal::Damaged {
                path: self.path.clone(),
                why: why.clone(),
            }),
        }
    }

    /// Invites somebody. Gives the id; it is durable.
    ///
    /// # Errors
    /// When nothing was invited.
    pub fn invite(
        &mut self,
        wall_ms: u64,
        token: &Token,
        life_ms: u64,
        note: String,
    ) -> Result<Invited, DeskRefusal> {
        if !(60 * 60 * 1_000..=INVITATION_LIFE_MS_MAX).contains(&life_ms) {
            return Err(DeskRefusal::Life);
        }
        if note.len() > INVITATION_NOTE_BYTES_MAX {
            return Err(DeskRefusal::Note);
        }
        let mut kept = self.invitations()?.to_vec();
        kept.retain(|invited| match &invited.knock {
            Some(knock) => knock.at_ms.saturating_add(KNOCK_KEPT_MS) > wall_ms,
            None => invited.expires_ms > wall_ms,
        });
        if kept.len() >= INVITATIONS_MAX {
            return Err(DeskRefusal::TooMany);
        }
        let hash = hex::encode(token.hash());
        let invited = Invited {
            id: hash.chars().take(ID_DIGITS).collect(),
            hash,
            note,
            made_ms: wall_ms,
            expires_ms: wall_ms.saturating_add(life_ms),
            knock: None,
        };
        kept.push(invited.clone());
        self.keep(kept)?;
        Ok(invited)
    }

    /// Takes an invitation back, with the card that was left with it.
    ///
    /// # Errors
    /// When there is none, or it could not be noted.
    pub fn withdraw(&mut self, id: &str) -> Result<Invited, DeskRefusal> {
        let mut kept = self.invitations()?.to_vec();
        let place = kept.iter().position(|invited| invited.id == id);
        let place = place.ok_or_else(|| DeskRefusal::Unknown(id.to_owned()))?;
        let withdrawn = kept.remove(place);
        self.keep(kept)?;
        Ok(withdrawn)
    }

    /// Whether a card is deposited here. `transport_key` is the connection's, and
    /// `from` where it comes from, which is counted.
    pub fn knock(
        &mut self,
        now: Now,
        from: Option<IpAddr>,
        transport_key: &[u8; 32],
        token: &Token,
        card: &SignedBytes<CARD_BYTES_MAX>,
    ) -> bool {
        if !self.may_try(now.mono.as_ms(), from) {
            return false;
        }
        let accepted = self.deposit(now.wall_ms, transport_key, token, card);
        if !accepted {
            self.count(now.mono.as_ms(), from);
        }
        accepted
    }

    fn deposit(
        &mut self,
        wall_ms: u64,
        transport_key: &[u8; 32],
        token: &Token,
        card: &SignedBytes<CARD_BYTES_MAX>,
    ) -> bool {
        let Ok(held) = &self.kept else { return false };
        let hash = hex::encode(token.hash());
        // All of them are compared, and each to its end: how long it takes says
        // nothing of which is nearest.
        let place = held
            .iter()
            .enumerate()
            .fold(None, |found, (place, invited)| {
                if is_same(invited.hash.as_bytes(), hash.as_bytes()) {
                    Some(place)
                } else {
                    found
                }
            });
        let Some(invited) = place.and_then(|place| held.get(place)) else {
            return false;
        };
        let of_connection = card
            .to_signed::<Card>()
            .claims()
            .ok()
            .and_then(|card| card.certificate.claims().ok())
            .is_some_and(|claimed| claimed.transport_key == *transport_key);
        if !of_connection {
            return false;
        }
        let file = hex::encode(card_to_file(card));
        if let Some(knock) = &invited.knock {
            return knock.card == file;
        }
        if invited.expires_ms <= wall_ms {
            return false;
        }
        let Ok(checked) = check_card(card) else {
            return false;
        };
        if !checked.certificate.is_current(wall_ms) {
            return false;
        }
        let id = invited.id.clone();
        let mut kept = held.clone();
        if let Some(invited) = kept.iter_mut().find(|invited| invited.id == id) {
            invited.knock = Some(Knocked {
                card: file,
                at_ms: wall_ms,
            });
        }
        match self.keep(kept) {
            Ok(()) => {
                tracing::info!(invitation = %id, slug = %checked.card.slug, card = %checked.id, "knocked; see \"watchfire invite list\"");
                true
            }
            Err(error) => {
                tracing::error!(%error, "a knock could not be noted and was refused");
                false
            }
        }
    }

    /// Whether this address has not been refused too often of late.
    fn may_try(&self, mono_ms: u64, from: Option<IpAddr>) -> bool {
        let tries = from.and_then(|from| self.tries.get(&from));
        tries.is_none_or(|tries| {
            tries.refused < KNOCKS_REFUSED_MAX
                || mono_ms.saturating_sub(tries.since_ms) >= KNOCKS_REFUSED_WITHIN_MS
        })
    }

    fn count(&mut self, mono_ms: u64, from: Option<IpAddr>) {
        let Some(from) = from else { return };
        let is_over =
            |tries: &Tries| mono_ms.saturating_sub(tries.since_ms) >= KNOCKS_REFUSED_WITHIN_MS;
        if !self.tries.contains_key(&from) && self.tries.len() >= KNOCKS_ADDRESSES_MAX {
            self.tries.retain(|_, tries| !is_over(tries));
            let oldest = self.tries.iter().min_by_key(|(_, tries)| tries.since_ms);
            if self.tries.len() >= KNOCKS_ADDRESSES_MAX
                && let Some((address, _)) = oldest
            {
                let address = *address;
                self.tries.remove(&address);
            }
        }
        let fresh = Tries {
            since_ms: mono_ms,
            refused: 0,
        };
        let tries = self.tries.entry(from).or_insert(fresh);
        if is_over(tries) {
            *tries = fresh;
        }
        tries.refused = tries.refused.saturating_add(1);
        if tries.refused == KNOCKS_REFUSED_MAX {
            tracing::warn!(%from, "knocked too often without an invitation; refused for an hour");
        }
    }

    /// On disk first, and only then so.
    fn keep(&mut self, kept: Vec<Invited>) -> Result<(), FileError> {
        let kept = Kept { invitations: kept };
        write_atomic(&self.path, text(&kept).as_bytes(), MODE_PRIVATE)?;
        self.kept = Ok(kept.invitations);
        Ok(())
    }
}

/// Compares to the end whatever it meets.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |found, (one, other)| {
        std::hint::black_box(found | (one ^ other))
    });
    one.len() == other.len() && differing == 0
}

fn text(kept: &Kept) -> String {
    // Strings and numbers alone: this cannot fail.
    let body = serde_json::to_string(kept).unwrap_or_default();
    format!("{TITLE}{}\n{body}\n", hex::encode(sha256(body.as_bytes())))
}

fn read(bytes: &[u8]) -> Result<Vec<Invited>, String> {
    let whole = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let (title, body) = whole
        .split_once('\n')
        .ok_or_else(|| "it is not whole".to_owned())?;
    let sum = title
        .strip_prefix(TITLE)
        .ok_or_else(|| "it does not begin as a list of invitations".to_owned())?;
    let body = body
        .strip_suffix('\n')
        .ok_or_else(|| "it is not whole".to_owned())?;
    if hex::encode(sha256(body.as_bytes())) != sum {
        return Err("its checksum does not hold".to_owned());
    }
    let kept: Kept = serde_json::from_str(body).map_err(|error| error.to_string())?;
    Ok(kept.invitations)
}

#[cfg(test)]
#[path = "invitations/tests.rs"]
mod tests;
