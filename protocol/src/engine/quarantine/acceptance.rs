//! A person here accepts what is held back: durable, and told to nobody. Other
//! nodes decide for themselves.

use super::reasons::{ACCEPTED_BYTES_MAX, Accepted, HELD_BACK_BYTES_MAX, HeldBack};
use crate::engine::{ClientToken, Engine, Output, for_each, rebuild};
use crate::ids::{EnvelopeId, NodeId};
use crate::limits::{ACCEPT_REASON_BYTES_MAX, ACCEPTED_AT_ONCE_MAX};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival};
use crate::time::Now;
use crate::wire::Text;
use crate::wire::codec::decode;
use std::collections::BTreeSet;

/// What a person accepts, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// What.
    pub what: WhatToAccept,
    /// Why, in that person's words; at most [`ACCEPT_REASON_BYTES_MAX`] bytes.
    pub because: String,
}

/// What a person accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhatToAccept {
    /// One envelope.
    Envelope(EnvelopeId),
    /// What is held back of these nodes now. What comes later is not accepted by
    /// it.
    Of {
        /// Of which.
        nodes: BTreeSet<NodeId>,
        /// Up to which sequence of each of their streams.
        up_to: Option<u64>,
    },
}

/// What was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptedCount {
    /// How many envelopes.
    pub envelopes: u64,
    /// There are more: [`ACCEPTED_AT_ONCE_MAX`] are accepted at once.
    pub more: bool,
}

/// Why nothing was accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptRefusal {
    /// There is nothing to accept.
    #[error("nothing of that is held back here")]
    NothingHeldBack,
    /// No reason, or one that is too long.
    #[error("the reason must have 1 to {ACCEPT_REASON_BYTES_MAX} bytes")]
    Reason,
}

impl<S: Store> Engine<S> {
    pub(in crate::engine) fn on_accept(
        &mut self,
        now: Now,
        client: ClientToken,
        accept: Accept,
    ) -> Result<(), StoreError> {
        let outcome = self.accept(now, accept)?;
        self.claim(Output::Accepted { client, outcome });
        Ok(())
    }

    fn accept(
        &mut self,
        now: Now,
        accept: Accept,
    ) -> Result<Result<AcceptedCount, AcceptRefusal>, StoreError> {
        let because = Text::new(accept.because).unwrap_or_default();
        if because.as_str().is_empty() {
            return Ok(Err(AcceptRefusal::Reason));
        }
        let found = self.held_back(&accept.what)?;
        let mut count = AcceptedCount::default();
        for (arrival, id) in found {
            if count.envelopes >= ACCEPTED_AT_ONCE_MAX as u64 {
                count.more = true;
                break;
            }
            count.envelopes += u64::from(self.accept_one(now, arrival, &id, &because)?);
        }
        if count.envelopes == 0 {
            return Ok(Err(AcceptRefusal::NothingHeldBack));
        }
        Ok(Ok(count))
    }

    /// What is held back of what is named, as far as that is durable; one more than
    /// is accepted at once.
    fn held_back(&self, what: &WhatToAccept) -> Result<Vec<(Arrival, EnvelopeId)>, StoreError> {
        let mut found = Vec::new();
        if let WhatToAccept::Envelope(id) = what {
            let there: Option<Arrival> = self.staged.sound_as(&table::envelope(id), 9)?;
            if let Some(arrival) = there {
                return Ok(vec![(arrival, *id)]);
            }
            // It may have lost its place, and stands in no index.
        }
        for_each(&self.staged, table::QUARANTINED, |key, _| {
            let Some(arrival) = table::arrival_of(key) else {
                return Ok(());
            };
            if found.len() > ACCEPTED_AT_ONCE_MAX {
                return Ok(());
            }
            let Some((header, id, _)) = self.header_at(arrival)? else {
                return Ok(());
            };
            let is_meant = match what {
                WhatToAccept::Envelope(wanted) => id == *wanted,
                WhatToAccept::Of { nodes, up_to } => {
                    let place = rebuild::place_in(&self.roster, &header);
                    place.is_some_and(|(stream, position)| {
                        nodes.contains(&stream.node)
                            && up_to.is_none_or(|last| position.sequence <= last)
                    })
                }
            };
            if is_meant {
                found.push((arrival, id));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Accepts one, if it is held back.
    fn accept_one(
        &mut self,
        now: Now,
        arrival: Arrival,
        id: &EnvelopeId,
        because: &Text<ACCEPT_REASON_BYTES_MAX>,
    ) -> Result<bool, StoreError> {
        let key = table::quarantine(arrival);
        let Some(bytes) = self.staged.sound(&key)? else {
            return Ok(false);
        };
        let Ok(held) = decode::<HeldBack>(&bytes, HELD_BACK_BYTES_MAX) else {
            return Ok(false);
        };
        let before = self.accepted(id)?.map(|before| before.reasons);
        let accepted = Accepted {
            reasons: held.reasons.and(before.unwrap_or_default()),
            at_ms: now.wall_ms,
            because: because.clone(),
        };
        self.staged.put_as(table::accepted(id), &accepted);
        self.staged.remove(key);
        Ok(true)
    }

    /// What a person accepted of an envelope.
    pub(super) fn accepted(&self, id: &EnvelopeId) -> Result<Option<Accepted>, StoreError> {
        self.staged
            .sound_as(&table::accepted(id), ACCEPTED_BYTES_MAX)
    }
}
