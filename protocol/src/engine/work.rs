//! Work for other threads: what is dear and pure.

use super::messages::RequestId;
use crate::gate::{CheckedRemains, Frame, Notice, NoticeRefusal, Refusal};
use crate::ids::NodeId;
use crate::limits::REMAINS_BYTES_MAX;
use crate::opening::{OpenRefusal, Opened};
use crate::roster::Roster;
use crate::table::Arrival;
use crate::table::rows::Filed;
use crate::wire::exchange::{Mark, RangeItem, Remains};
use std::sync::Arc;
use watchfire_crypto::Verified;

/// Something to do off the engine's thread. Pure: the same work gives the same.
#[derive(Debug)]
pub enum Work {
    /// Take frames of a range through the gate.
    Check {
        /// Which request they answer.
        id: RequestId,
        /// Who served them.
        from: NodeId,
        /// What it served.
        items: Vec<RangeItem>,
        /// Against which roster.
        roster: Arc<Roster>,
    },
    /// Take a page of notices through the gate.
    Notices {
        /// Who served them.
        from: NodeId,
        /// Up to which change of its store.
        at: Mark,
        /// Whether there are more.
        more: bool,
        /// What it served.
        frames: Vec<Vec<u8>>,
        /// Against which roster.
        roster: Arc<Roster>,
    },
    /// Open a bundle.
    Open {
        /// Where it is in the log.
        arrival: Arrival,
        /// When it was taken, in milliseconds UTC.
        received_ms: u64,
        /// The frame, as the log has it.
        frame: OpenFrame,
        /// Its payload, if that was pulled.
        payload: Option<Vec<u8>>,
        /// Against which roster.
        roster: Arc<Roster>,
    },
}

/// A frame to open.
#[derive(Debug)]
pub enum OpenFrame {
    /// As it came through the gate.
    Verified(Box<Verified<Frame>>),
    /// From the log: it comes through the gate again.
    Logged(Vec<u8>),
}

/// An item of a range that came through the gate.
#[derive(Debug)]
pub enum CheckedItem {
    /// A whole envelope.
    Frame(Box<Verified<Frame>>),
    /// What remains of one, with the bytes to keep.
    Remains(Box<Verified<CheckedRemains>>, Remains),
}

/// What work gave.
#[derive(Debug)]
pub enum Done {
    /// Of a range.
    Checked {
        /// Which request it answered.
        id: RequestId,
        /// Who served it.
        from: NodeId,
        /// What the gate said of each; with why one was refused, its length.
        items: Vec<Result<CheckedItem, (Refusal, u64)>>,
    },
    /// Of a page of notices.
    Notices {
        /// Who served them.
        from: NodeId,
        /// Up to which change of its store.
        at: Mark,
        /// Whether there are more.
        more: bool,
        /// What the gate said of each, and how long it was.
        items: Vec<(u64, Result<Box<Notice>, NoticeRefusal>)>,
    },
    /// Of a bundle.
    Opened {
        /// Where it is in the log.
        arrival: Arrival,
        /// What is filed of the bundle, if it still comes through the gate.
        bundle: Option<Filed>,
        /// What was found.
        outcome: Result<Opened, OpenRefusal>,
    },
}

impl Work {
    /// Does it.
    pub fn run(self) -> Done {
        match self {
            Self::Check {
                id,
                from,
                items,
                roster,
            } => Done::Checked {
                id,
                from,
                items: items
                    .into_iter()
                    .map(|item| check_item(item, &roster))
                    .collect(),
            },
            Self::Notices {
                from,
                at,
                more,
                frames,
                roster,
            } => super::notices::check_page(from, (at, more), frames, &roster),
            Self::Open {
                arrival,
                received_ms,
                frame,
                payload,
                roster,
            } => {
                let frame = match frame {
                    OpenFrame::Verified(frame) => Ok(frame),
                    OpenFrame::Logged(bytes) => crate::gate::check(&bytes, &roster).map(Box::new),
                };
                match frame {
                    Ok(frame) => Done::Opened {
                        arrival,
                        bundle: Filed::of(frame.value(), received_ms),
                        outcome: crate::opening::open(frame.value(), payload.as_deref()),
                    },
                    Err(why) => Done::Opened {
                        arrival,
                        bundle: None,
                        outcome: Err(OpenRefusal::Gate(why)),
                    },
                }
            }
        }
    }
}

fn check_item(item: RangeItem, roster: &Roster) -> Result<CheckedItem, (Refusal, u64)> {
    match item {
        RangeItem::Frame(frame) => crate::gate::check(frame.as_slice(), roster)
            .map(|frame| CheckedItem::Frame(Box::new(frame)))
            .map_err(|why| (why, frame.as_slice().len() as u64)),
        RangeItem::Remains(remains) => crate::gate::check_remains(&remains, roster)
            .map(|checked| CheckedItem::Remains(Box::new(checked), remains))
            .map_err(|why| (why, REMAINS_BYTES_MAX as u64)),
    }
}
