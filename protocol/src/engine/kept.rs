//! What the store has of an envelope: all of it, its remains, or nothing.

use super::opening::{LoggedFrame, header_of_frame};
use super::{Engine, Staged};
use crate::ids::EnvelopeId;
use crate::limits::{FRAME_BYTES_MAX, REMAINS_BYTES_MAX};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, LogEntry};
use crate::wire::envelope::Header;
use crate::wire::exchange::Remains;

/// What there is of an envelope. A damaged value is nothing: the store reports
/// it, and nothing else ends for its sake.
pub(super) enum Kept {
    Whole(Box<LoggedFrame>),
    Remains(Box<Remains>, Box<Header>),
    Absent,
}

/// Looks for an envelope by its id.
pub(super) fn kept<S: Store>(staged: &Staged<S>, id: &EnvelopeId) -> Result<Kept, StoreError> {
    match staged.sound_as::<Arrival>(&table::envelope(id), 9)? {
        Some(arrival) => kept_at(staged, arrival),
        None => Ok(Kept::Absent),
    }
}

/// As [`kept`], by its arrival.
pub(super) fn kept_at<S: Store>(staged: &Staged<S>, arrival: Arrival) -> Result<Kept, StoreError> {
    let entry: Option<LogEntry> = staged.sound_as(&table::log(arrival), FRAME_BYTES_MAX + 64)?;
    if let Some(logged) = entry.and_then(|entry| header_of_frame(entry.frame.as_slice())) {
        return Ok(Kept::Whole(Box::new(logged)));
    }
    let remains: Option<Remains> = staged.sound_as(&table::remains(arrival), REMAINS_BYTES_MAX)?;
    Ok(match remains {
        Some(remains) => match remains.header.to_signed::<Header>().claims() {
            Ok(header) => Kept::Remains(Box::new(remains), Box::new(header)),
            Err(_) => Kept::Absent,
        },
        None => Kept::Absent,
    })
}

impl<S: Store> Engine<S> {
    pub(super) fn kept(&self, id: &EnvelopeId) -> Result<Kept, StoreError> {
        kept(&self.staged, id)
    }
}
