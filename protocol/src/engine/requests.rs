//! What this node asks of peers, and whose matter each answer is.

use super::Engine;
use super::catch_up::Dealt;
use super::messages::{Output, RequestId};
use crate::ids::{EnvelopeId, NodeId};
use crate::store::{Store, StoreError};
use crate::time::Now;
use crate::wire::exchange::{Answer, Request, Unavailable};

/// What a request of ours was about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Hello,
    Frontier,
    Range,
    Chunk { envelope: EnvelopeId, index: u32 },
    Notices,
    Link,
}

impl<S: Store> Engine<S> {
    /// Asks a peer. The answer, or that there is none, comes back under the id.
    pub(super) fn ask(&mut self, to: NodeId, request: Request, asked: Asked) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(id, (to, asked));
        self.outputs.push_back(Output::Request { to, id, request });
        id
    }

    /// A peer answered, or did not in time.
    pub(super) fn on_answered(
        &mut self,
        now: Now,
        id: RequestId,
        answer: Option<Answer>,
    ) -> Result<(), StoreError> {
        let Some((from, asked)) = self.requests.remove(&id) else {
            return Ok(());
        };
        let Some(answer) = answer else {
            self.unanswered(now, from);
            match asked {
                Asked::Chunk { envelope, index } => {
                    return self.on_chunk(now, from, envelope, index, None);
                }
                Asked::Range => self.on_no_range(now, id, Dealt::Later),
                Asked::Hello => {}
                Asked::Frontier => self.on_no_frontier(now, from),
                Asked::Notices => self.no_notices(&from),
                Asked::Link => return self.on_link(now, from, None),
            }
            return Ok(());
        };
        self.answered(&from);
        match (asked, answer) {
            (
                Asked::Hello,
                Answer::Hello {
                    federation, epoch, ..
                },
            ) if federation == self.roster.federation() => {
                self.hello_taken(now, from)?;
                self.heard_epoch(now, from, epoch);
            }
            (Asked::Notices, Answer::Notices { at, frames, more }) => {
                self.on_notices(from, at, frames.into_vec(), more);
            }
            (Asked::Notices, _) => self.no_notices(&from),
            (Asked::Link, Answer::Link { bytes }) => {
                return self.on_link(now, from, Some(bytes.as_slice()));
            }
            (Asked::Link, _) => return self.on_link(now, from, None),
            (Asked::Frontier, Answer::Frontier { at, entries, more }) => {
                self.on_frontier(now, from, at, entries.into_vec(), more)?;
            }
            (Asked::Range, Answer::Range { items }) => self.on_range(now, id, items.into_vec()),
            (Asked::Chunk { envelope, index }, Answer::Chunk { bytes, path }) => {
                return self.on_chunk(now, from, envelope, index, Some((bytes.as_slice(), &path)));
            }
            (Asked::Chunk { envelope, index }, _) => {
                return self.on_chunk(now, from, envelope, index, None);
            }
            // Unavailable, or an answer to another question.
            (Asked::Range, answer) => {
                let not_held = Answer::Unavailable {
                    reason: Unavailable::NotHeld,
                };
                let dealt = if answer == not_held {
                    Dealt::ForGood
                } else {
                    Dealt::Later
                };
                self.on_no_range(now, id, dealt);
            }
            (asked @ (Asked::Hello | Asked::Frontier), answer) => {
                let refused = Answer::Unavailable {
                    reason: Unavailable::Refused,
                };
                if answer == refused {
                    self.hello_refused(&from);
                }
                if matches!(asked, Asked::Frontier) {
                    self.on_no_frontier(now, from);
                }
            }
        }
        Ok(())
    }

    /// A request could not be sent from here: nothing is learned about the
    /// peer, and it is tried again.
    pub(super) fn on_not_asked(&mut self, now: Now, id: RequestId) -> Result<(), StoreError> {
        let Some((from, asked)) = self.requests.remove(&id) else {
            return Ok(());
        };
        self.probe_again(now, &from);
        match asked {
            Asked::Chunk { envelope, index } => {
                return self.on_chunk(now, from, envelope, index, None);
            }
            Asked::Range => self.on_range_not_asked(now, id),
            Asked::Hello => {}
            // Whoever waits for this look goes on waiting.
            Asked::Frontier => self.frontier_not_asked(&from),
            Asked::Notices => self.no_notices(&from),
            Asked::Link => return self.on_link(now, from, None),
        }
        Ok(())
    }
}
