//! Notices and links of the chain by request: what a node that was away missed.

use super::members::{link_bytes, notice_bytes};
use super::messages::Output;
use super::requests::Asked;
use super::{Done, Work};
use super::{Engine, NotTaken};
use crate::gate::{Matter, Notice, NoticeRefusal, Refusal};
use crate::ids::{MemberId, NodeId};
use crate::limits::{
    ALIVE_MISSED_MS, FRAME_BYTES_MAX, LINK_AGAIN_MS, NOTICES_EVERY_MS, NOTICES_MAX, PROBE_AGAIN_MS,
    RANGE_BYTES_MAX,
};
use crate::membership::{Arrival, NotNews, NoticeScope};
use crate::roster::RosterError;
use crate::store::{Store, StoreError};
use crate::time::{Instant, Now};
use crate::wire::exchange::{Answer, Mark, NoticeScopeNumber, Request, Unavailable};
use crate::wire::roster::Link;
use crate::wire::{Bytes, List};
use std::collections::BTreeSet;

/// What is asked of one peer about membership.
#[derive(Debug)]
pub(super) struct Inquiry {
    lasting: Option<Mark>,
    alives: Option<Mark>,
    /// Which answer is awaited.
    asked: Option<NoticeScope>,
    pub(super) ask_at: Instant,
    alives_at: Instant,
    /// The epoch it says it holds.
    epoch: u64,
    is_link_asked: bool,
    link_at: Instant,
}

/// Up to where a peer's notices have been read, of either scope. Kept while the
/// peer is away: its store counts on, and what it listed is held.
pub(super) type NoticeMarks = (Option<Mark>, Option<Mark>);

impl Inquiry {
    pub(super) const fn new(now: Instant, (lasting, alives): NoticeMarks) -> Self {
        Self {
            lasting,
            alives,
            asked: None,
            ask_at: now,
            alives_at: now,
            epoch: 0,
            is_link_asked: false,
            link_at: now,
        }
    }

    /// When the peer is to be asked again: not while its answer is awaited, or
    /// the engine would want to be woken at once, again and again, until it comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.is_none().then_some(self.ask_at)
    }
}

impl Inquiry {
    pub(super) const fn marks(&self) -> NoticeMarks {
        (self.lasting, self.alives)
    }
}

impl<S: Store> Engine<S> {
    /// A peer said which epoch it holds.
    pub(super) fn heard_epoch(&mut self, now: Now, node: NodeId, epoch: u64) {
        if let Some(inquiry) = self.peers.inquiry(&node) {
            inquiry.epoch = inquiry.epoch.max(epoch);
        }
        self.ask_for_link(now, node);
    }

    /// A sign of life says which epoch its node holds. Where votes were lost on an
    /// open link nothing else would: no hello is said again, and whoever has gone
    /// on has dropped them.
    pub(super) fn heard_alive(&mut self, now: Now, from: NodeId, notice: &Notice) {
        if let Matter::Alive(said, certificate) = notice.matter()
            && said.value().epoch > self.roster.epoch()
        {
            let epoch = said.value().epoch;
            let holder = if self.peers.is_connected(&certificate.node) {
                certificate.node
            } else {
                from
            };
            self.heard_epoch(now, holder, epoch);
        }
    }

    /// Asks a peer that is ahead for the roster after this one.
    fn ask_for_link(&mut self, now: Now, node: NodeId) {
        let next = self.roster.epoch().saturating_add(1);
        let Some(inquiry) = self.peers.inquiry(&node) else {
            return;
        };
        if inquiry.epoch < next || inquiry.is_link_asked || inquiry.link_at > now.mono {
            return;
        }
        inquiry.is_link_asked = true;
        self.ask(node, Request::Link { epoch: next }, Asked::Link);
    }

    pub(super) fn on_link(
        &mut self,
        now: Now,
        from: NodeId,
        bytes: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        if let Some(inquiry) = self.peers.inquiry(&from) {
            inquiry.is_link_asked = false;
        }
        let followed = match bytes.map(Link::from_bytes) {
            Some(Ok(link)) => self.follow(now, &link)?.is_ok(),
            Some(Err(_)) | None => false,
        };
        // It may have come by votes meanwhile, or from somebody else.
        let next = self.roster.epoch();
        if !followed && let Some(inquiry) = self.peers.inquiry(&from) {
            // Whoever says it is ahead and cannot show it is asked seldom.
            inquiry.link_at = now.mono.plus_ms(LINK_AGAIN_MS);
            inquiry.epoch = next;
        }
        self.ask_for_link(now, from);
        Ok(())
    }

    /// Asks peers whose time has come.
    pub(super) fn inquire(&mut self, now: Now) {
        let due: Vec<NodeId> = self
            .peers
            .inquiries()
            .filter(|(_, inquiry)| inquiry.asked.is_none() && inquiry.ask_at <= now.mono)
            .map(|(node, _)| node)
            .collect();
        for node in due {
            self.ask_for_notices(now, node);
        }
    }

    pub(super) fn ask_for_notices(&mut self, now: Now, node: NodeId) {
        let some_are_silent = self.is_anybody_silent(now.wall_ms);
        let Some(inquiry) = self.peers.inquiry(&node) else {
            return;
        };
        if inquiry.asked.is_some() {
            return;
        }
        let scope = if some_are_silent && inquiry.alives_at <= now.mono {
            inquiry.alives_at = now.mono.plus_ms(ALIVE_MISSED_MS);
            NoticeScope::Alives
        } else {
            NoticeScope::Lasting
        };
        let since = match scope {
            NoticeScope::Lasting => inquiry.lasting,
            NoticeScope::Alives => inquiry.alives,
        };
        inquiry.asked = Some(scope);
        inquiry.ask_at = now.mono.plus_ms(NOTICES_EVERY_MS);
        let request = Request::Notices {
            scope: NoticeScopeNumber::of(scope),
            since,
            have: self.membership.digest(scope),
        };
        self.ask(node, request, Asked::Notices);
        self.ask_for_link(now, node);
    }

    /// Whether there is a member of whom no sign of life is as young as it ought
    /// to be.
    fn is_anybody_silent(&self, wall_ms: u64) -> bool {
        let heard: BTreeSet<MemberId> = self
            .membership
            .alives()
            .all()
            .filter(|(_, _, alive)| wall_ms.saturating_sub(alive.wall_ms) < ALIVE_MISSED_MS)
            .map(|(_, member, _)| *member)
            .collect();
        self.roster
            .members()
            .any(|member| member.id != self.me.member && !heard.contains(&member.id))
    }

    /// Something came that only a notice which is not here explains.
    pub(super) fn notices_may_be_missing(&mut self, now: Now, node: &NodeId) {
        if let Some(inquiry) = self.peers.inquiry(node) {
            let soon = now.mono.plus_ms(PROBE_AGAIN_MS);
            inquiry.ask_at = inquiry.ask_at.min(soon);
        }
    }

    /// What peers hold is asked for from the beginning: what was of no use here
    /// before may be now.
    pub(super) fn ask_for_notices_again(&mut self, now: Now) {
        self.peers.forget_notice_marks();
        for inquiry in self.peers.inquiries_mut() {
            inquiry.lasting = None;
            inquiry.alives = None;
            inquiry.ask_at = now.mono;
        }
    }

    pub(super) fn no_notices(&mut self, node: &NodeId) {
        if let Some(inquiry) = self.peers.inquiry(node) {
            inquiry.asked = None;
        }
    }

    /// A page of notices came: it is checked off this thread.
    pub(super) fn on_notices(
        &mut self,
        now: Now,
        from: NodeId,
        at: Mark,
        frames: Vec<Bytes<FRAME_BYTES_MAX>>,
        more: bool,
    ) -> Result<(), StoreError> {
        if frames.is_empty() {
            return self.on_checked_notices(now, from, (at, more), Vec::new());
        }
        self.outputs.push_back(Output::Work(Work::Notices {
            from,
            at,
            more,
            frames: frames.into_iter().map(Bytes::into_vec).collect(),
            roster: self.roster(),
        }));
        Ok(())
    }

    /// What the gate said of a page.
    pub(super) fn on_checked_notices(
        &mut self,
        now: Now,
        from: NodeId,
        (at, more): (Mark, bool),
        items: Vec<(u64, Result<Box<Notice>, NoticeRefusal>)>,
    ) -> Result<(), StoreError> {
        let mut is_dealt_with = true;
        let mut news = false;
        for (length, item) in items {
            let taken = match item {
                Ok(notice) => {
                    self.heard_alive(now, from, &notice);
                    self.take_notice(now, &notice, Arrival::Later)?
                        .map_err(|why| (why.passes(), NotTaken::Notice(why)))
                }
                // What the chain holds already is no news, and never will be.
                Err(NoticeRefusal::NotHere(RosterError::Superseded)) => {
                    Err((false, NotTaken::Notice(NotNews::Held)))
                }
                Err(refusal) => {
                    let passes =
                        matches!(refusal, NoticeRefusal::NotKnown | NoticeRefusal::NotHere(_));
                    Err((passes, NotTaken::Gate(Refusal::Notice(refusal))))
                }
            };
            match taken {
                Ok(()) => news = true,
                Err((passes, why)) => {
                    is_dealt_with &= !passes;
                    if why != NotTaken::Notice(NotNews::Held) {
                        self.charge_peer(now, from, length);
                        self.note_not_taken(from, Err(why));
                    }
                }
            }
        }
        let Some(inquiry) = self.peers.inquiry(&from) else {
            return Ok(());
        };
        let scope = inquiry.asked.take();
        if is_dealt_with {
            match scope {
                Some(NoticeScope::Lasting) => inquiry.lasting = Some(at),
                Some(NoticeScope::Alives) => inquiry.alives = Some(at),
                None => {}
            }
        }
        // What did not fit may fit now that something else is known.
        if (more && is_dealt_with) || (news && !is_dealt_with) {
            inquiry.ask_at = now.mono;
        }
        self.inquire(now);
        Ok(())
    }

    /// Answers what changed since a mark, if it is one of this life of the store.
    pub(super) fn notices(
        &self,
        scope: NoticeScope,
        since: Option<Mark>,
        have: [u8; 16],
    ) -> Result<Answer, StoreError> {
        if have == self.membership.digest(scope) {
            let change = self.membership.page(scope, u64::MAX, 0).newest;
            return Ok(Answer::Notices {
                at: Mark {
                    store: self.names.now,
                    change,
                },
                frames: List::default(),
                more: false,
            });
        }
        let since = since
            .filter(|mark| mark.store == self.names.now)
            .map_or(0, |mark| mark.change);
        let page = self.membership.page(scope, since, NOTICES_MAX);
        let mut frames = Vec::new();
        let mut room = RANGE_BYTES_MAX;
        let mut at = None;
        let mut more = page.more;
        for (number, slot) in &page.slots {
            // One that cannot be read is left out: others hold it too.
            let Some(frame) = notice_bytes(&self.staged, slot)? else {
                at = Some(*number);
                continue;
            };
            let cost = frame.len() + 3;
            if cost > room {
                more = true;
                break;
            }
            room -= cost;
            frames.push(frame);
            at = Some(*number);
        }
        let change = match at {
            Some(number) if more => number,
            Some(_) | None => page.newest.max(since),
        };
        let at = Mark {
            store: self.names.now,
            change,
        };
        Ok(match List::new(frames) {
            Ok(frames) => Answer::Notices { at, frames, more },
            Err(_) => Answer::Unavailable {
                reason: Unavailable::Refused,
            },
        })
    }

    /// Answers a link of the chain.
    pub(super) fn link(&self, epoch: u64) -> Result<Answer, StoreError> {
        Ok(match link_bytes(&self.staged, epoch)? {
            Some(bytes) => Answer::Link { bytes },
            None => Answer::Unavailable {
                reason: Unavailable::NotHeld,
            },
        })
    }
}

/// Checks a page of notices, off the engine's thread.
pub(super) fn check_page(
    from: NodeId,
    page: (Mark, bool),
    frames: Vec<Vec<u8>>,
    roster: &crate::roster::Roster,
) -> Done {
    Done::Notices {
        from,
        at: page.0,
        more: page.1,
        items: frames
            .into_iter()
            .map(|bytes| {
                let length = bytes.len() as u64;
                let checked = crate::gate::check_notice(&bytes, roster).map(Box::new);
                (length, checked)
            })
            .collect(),
    }
}
