//! The dear and pure parts, paid for once per distinct input: the same bytes
//! against the same roster have one answer at every host. Their time is
//! charged to each host virtually.

use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_crypto::{Sha256Stream, Verified, sha256};
use watchfire_protocol::engine::{CheckedItem, Done, OpenFrame, Work};
use watchfire_protocol::gate::{self, Frame, Notice, NoticeRefusal, Refusal, check_remains};
use watchfire_protocol::limits::REMAINS_BYTES_MAX;
use watchfire_protocol::opening::{self, OpenRefusal, Opened};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::table::rows::Filed;
use watchfire_protocol::wire::exchange::RangeItem;

/// A roster and what identifies it, for whoever checks against it: federation,
/// epoch, chain, every certificate that is known and every node that ended.
#[derive(Clone)]
pub(crate) struct KnownRoster {
    pub(crate) roster: Arc<Roster>,
    identity: [u8; 32],
}

impl KnownRoster {
    pub(crate) fn new(roster: Arc<Roster>) -> Self {
        let mut hash = Sha256Stream::new();
        hash.update(roster.federation().as_bytes());
        hash.update(&roster.epoch().to_be_bytes());
        hash.update(roster.id().as_bytes());
        for certificate in roster.known_certificates() {
            hash.update(certificate.id.as_bytes());
            if let Some(ended) = roster.revocation(certificate.member, &certificate.node) {
                hash.update(&ended.serial.to_be_bytes());
                hash.update(&ended.created_ms.to_be_bytes());
            }
        }
        Self {
            roster,
            identity: hash.finish(),
        }
    }
}

type Checked = Result<Verified<Frame>, Refusal>;
type NoticeChecked = Result<Notice, NoticeRefusal>;
type OpenKey = ([u8; 32], Option<[u8; 32]>);

/// What was checked and opened before.
pub(crate) struct Memo {
    on: bool,
    checked: BTreeMap<([u8; 32], [u8; 32]), Checked>,
    notices: BTreeMap<([u8; 32], [u8; 32]), NoticeChecked>,
    opened: BTreeMap<OpenKey, Result<Opened, OpenRefusal>>,
}

/// Answers kept; a flood of garbage must not fill the memory of the simulator.
const KEPT_MAX: usize = 20_000;

impl Memo {
    pub(crate) const fn new(on: bool) -> Self {
        Self {
            on,
            checked: BTreeMap::new(),
            notices: BTreeMap::new(),
            opened: BTreeMap::new(),
        }
    }

    /// The gate. `id` is SHA-256 of `bytes`.
    pub(crate) fn check(
        &mut self,
        id: [u8; 32],
        bytes: &[u8],
        against: &KnownRoster,
    ) -> Result<Box<Verified<Frame>>, Refusal> {
        if !self.on {
            return gate::check(bytes, &against.roster).map(Box::new);
        }
        if self.checked.len() >= KEPT_MAX {
            self.checked.clear();
        }
        let checked = self
            .checked
            .entry((id, against.identity))
            .or_insert_with(|| gate::check(bytes, &against.roster));
        checked.clone().map(Box::new)
    }

    /// The gate for notices. `id` is SHA-256 of `bytes`.
    pub(crate) fn notice(
        &mut self,
        id: [u8; 32],
        bytes: &[u8],
        against: &KnownRoster,
    ) -> Result<Box<Notice>, NoticeRefusal> {
        if !self.on {
            return gate::check_notice(bytes, &against.roster).map(Box::new);
        }
        if self.notices.len() >= KEPT_MAX {
            self.notices.clear();
        }
        let checked = self
            .notices
            .entry((id, against.identity))
            .or_insert_with(|| gate::check_notice(bytes, &against.roster));
        checked.clone().map(Box::new)
    }

    fn open(&mut self, frame: &Frame, payload: Option<&[u8]>) -> Result<Opened, OpenRefusal> {
        if !self.on {
            return opening::open(frame, payload);
        }
        if self.opened.len() >= KEPT_MAX {
            self.opened.clear();
        }
        let key = (sha256(frame.bytes()), payload.map(sha256));
        self.opened
            .entry(key)
            .or_insert_with(|| opening::open(frame, payload))
            .clone()
    }

    /// Does a piece of work as [`Work::run`] does it.
    pub(crate) fn run(&mut self, work: Work, known: &KnownRoster) -> Done {
        let against = |roster: Arc<Roster>| {
            if Arc::ptr_eq(&roster, &known.roster) {
                known.clone()
            } else {
                KnownRoster::new(roster)
            }
        };
        match work {
            Work::Check {
                id,
                from,
                items,
                roster,
            } => {
                let against = against(roster);
                let items = items
                    .into_iter()
                    .map(|item| match item {
                        RangeItem::Frame(frame) => self
                            .check(sha256(frame.as_slice()), frame.as_slice(), &against)
                            .map(CheckedItem::Frame)
                            .map_err(|why| (why, frame.as_slice().len() as u64)),
                        RangeItem::Remains(remains) => check_remains(&remains, &against.roster)
                            .map(|checked| CheckedItem::Remains(Box::new(checked), remains))
                            .map_err(|why| (why, REMAINS_BYTES_MAX as u64)),
                    })
                    .collect();
                Done::Checked { id, from, items }
            }
            Work::Notices {
                from,
                at,
                more,
                frames,
                roster,
            } => {
                let against = against(roster);
                let items = frames
                    .into_iter()
                    .map(|bytes| {
                        let length = bytes.len() as u64;
                        (length, self.notice(sha256(&bytes), &bytes, &against))
                    })
                    .collect();
                Done::Notices {
                    from,
                    at,
                    more,
                    items,
                }
            }
            Work::Open {
                arrival,
                received_ms,
                frame,
                payload,
                roster,
            } => {
                let frame = match frame {
                    OpenFrame::Verified(frame) => Ok(frame),
                    OpenFrame::Logged(bytes) => {
                        self.check(sha256(&bytes), &bytes, &against(roster))
                    }
                };
                match frame {
                    Ok(frame) => Done::Opened {
                        arrival,
                        bundle: Filed::of(frame.value(), received_ms),
                        outcome: self.open(frame.value(), payload.as_deref()),
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
