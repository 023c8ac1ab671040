//! Notices and links of the chain by request: what a node that was away missed.

use super::inquiry::{PageOutcome, Passing, read_refused_again};
use super::members::{link_bytes, notice_bytes};
use super::messages::Output;
use super::requests::Asked;
use super::{Done, Work};
use super::{Engine, NotTaken};
use crate::gate::{Matter, Notice, NoticeRefusal, Refusal, Slot, commit_claimed};
use crate::ids::{MemberId, NodeId};
use crate::limits::{
    ALIVE_MISSED_MS, FRAME_BYTES_MAX, LINK_AGAIN_MS, NOTICES_EVERY_MS, NOTICES_MAX, PROBE_AGAIN_MS,
    RANGE_BYTES_MAX,
};
use crate::membership::{Arrival, NotNews, NoticeScope};
use crate::roster::RosterError;
use crate::store::{Store, StoreError};
use crate::time::Now;
use crate::wire::exchange::{Answer, Mark, NoticeScopeNumber, Request, Unavailable};
use crate::wire::roster::{Link, VoteBy};
use crate::wire::{Bytes, List};
use std::collections::BTreeSet;

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
            .filter(|(_, inquiry)| !inquiry.is_asked() && inquiry.ask_at <= now.mono)
            .map(|(node, _)| node)
            .collect();
        for node in due {
            self.ask_for_notices(now, node);
        }
    }

    pub(super) fn ask_for_notices(&mut self, now: Now, node: NodeId) {
        let goes_on = self.peers.alives_turn.is_of(&node);
        let turn = self.alives_turn_of(now, &node);
        let Some(inquiry) = self.peers.inquiry(&node) else {
            return;
        };
        if inquiry.is_asked() {
            return;
        }
        let scope = if goes_on || turn.is_some() {
            NoticeScope::Alives
        } else {
            NoticeScope::Lasting
        };
        let since = inquiry.ask(scope, now.mono);
        inquiry.ask_at = now.mono.plus_ms(NOTICES_EVERY_MS);
        if let Some(silent) = turn {
            self.peers.alives_turn.begin(node, silent);
        }
        let request = Request::Notices {
            scope: NoticeScopeNumber::of(scope),
            since,
            have: self.membership.digest(scope),
        };
        self.ask(node, request, Asked::Notices);
        self.ask_for_link(now, node);
    }

    /// Whether it is this peer's turn to be asked for signs of life: then, of how many
    /// members they are missing.
    fn alives_turn_of(&self, now: Now, node: &NodeId) -> Option<usize> {
        if !self.peers.alives_turn.is_free(now.mono) {
            return None;
        }
        let able: Vec<NodeId> = self
            .peers
            .inquiries()
            .filter(|(_, inquiry)| inquiry.has_turn(now.mono))
            .map(|(able, _)| able)
            .collect();
        if self.peers.alives_turn.next(&able) != Some(*node) {
            return None;
        }
        Some(self.silent_members(now)).filter(|silent| *silent > 0)
    }

    /// Of how many members no sign of life is as young as it ought to be.
    fn silent_members(&self, now: Now) -> usize {
        let heard: BTreeSet<MemberId> = self
            .membership
            .alives()
            .all()
            .filter(|(_, _, alive)| now.wall_ms.saturating_sub(alive.wall_ms) < ALIVE_MISSED_MS)
            .map(|(_, member, _)| *member)
            .collect();
        self.roster
            .members()
            .filter(|member| member.id != self.me.member && !heard.contains(&member.id))
            .count()
    }

    /// Something came that only a notice which is not here explains.
    pub(super) fn notices_may_be_missing(&mut self, now: Now, node: &NodeId) {
        if let Some(inquiry) = self.peers.inquiry(node) {
            let soon = now.mono.plus_ms(PROBE_AGAIN_MS);
            inquiry.ask_at = inquiry.ask_at.min(soon);
        }
    }

    /// A roster or a certificate is known that was not: what was refused for want of
    /// it is asked for again, soon.
    pub(super) fn read_refused_again(&mut self, now: Now) {
        let soon = now.mono.plus_ms(PROBE_AGAIN_MS);
        self.read_again(Passing::Knowledge, |inquiry| {
            inquiry.ask_at = inquiry.ask_at.min(soon);
        });
    }

    /// A vote or proposal is held that was not: what was refused for want of it comes
    /// when its peer is asked again anyway, since there may be many.
    pub(super) fn votes_changed(&mut self) {
        self.read_again(Passing::Votes, |_| {});
    }

    fn read_again(&mut self, why: Passing, hasten: impl Fn(&mut super::inquiry::Inquiry)) {
        for marks in self.peers.notice_marks.values_mut() {
            read_refused_again(marks, why);
        }
        for inquiry in self.peers.inquiries_mut() {
            if inquiry.read_refused_again(why) {
                hasten(inquiry);
            }
        }
    }

    pub(super) fn no_notices(&mut self, node: &NodeId) {
        if let Some(inquiry) = self.peers.inquiry(node) {
            inquiry.no_answer();
        }
        self.peers.alives_turn.give_up(node);
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
        let makes_sense = self
            .peers
            .inquiry(&from)
            .is_none_or(|inquiry| inquiry.makes_sense(at, more));
        if !makes_sense {
            // A list that does not go on: nobody who keeps to the protocol says so.
            self.no_notices(&from);
            self.outputs.push_back(Output::Reconnect { node: from });
            return Ok(());
        }
        // Where nothing of a page could be read there is no more worth asking for.
        let more = more && !frames.is_empty();
        let mut unknown = Vec::with_capacity(frames.len());
        for frame in frames {
            if self.is_held_commit(frame.as_slice()) {
                self.charge_peer(now, from, frame.as_slice().len() as u64);
            } else {
                unknown.push(frame.into_vec());
            }
        }
        if unknown.is_empty() {
            return self.on_checked_notices(now, from, (at, more), Vec::new());
        }
        self.outputs.push_back(Output::Work(Work::Notices {
            from,
            at,
            more,
            frames: unknown,
            roster: self.roster(),
        }));
        Ok(())
    }

    /// Whether a frame says it is a commit that is held, whatever else it carries.
    fn is_held_commit(&self, frame: &[u8]) -> bool {
        commit_claimed(frame).is_some_and(|(key, round, id)| {
            let slot = Slot::Vote(VoteBy::Commit { key }, round, id);
            self.membership.is_held(&slot, (0, 0, [0; 32]))
        })
    }

    /// What the gate said of a page.
    pub(super) fn on_checked_notices(
        &mut self,
        now: Now,
        from: NodeId,
        (at, more): (Mark, bool),
        items: Vec<(u64, Result<Box<Notice>, NoticeRefusal>)>,
    ) -> Result<(), StoreError> {
        let mut outcome = PageOutcome::default();
        for (length, item) in items {
            let taken = match item {
                Ok(notice) => {
                    self.heard_alive(now, from, &notice);
                    self.take_notice(now, &notice, Arrival::Later)?
                        .map_err(|why| (Passing::of(why), NotTaken::Notice(why)))
                }
                // What the chain holds already is no news, and never will be.
                Err(NoticeRefusal::NotHere(RosterError::Superseded) | NoticeRefusal::Held) => {
                    Err((None, NotTaken::Notice(NotNews::Held)))
                }
                Err(refusal) => {
                    let passes =
                        matches!(refusal, NoticeRefusal::NotKnown | NoticeRefusal::NotHere(_));
                    let refusal = NotTaken::Gate(Refusal::Notice(refusal));
                    Err((passes.then_some(Passing::Knowledge), refusal))
                }
            };
            match taken {
                Ok(()) => outcome.has_news = true,
                Err((passes, why)) => {
                    if let Some(passing) = passes {
                        outcome.refuses(passing);
                    }
                    // Repeats too: a list that is read on end could consist of them.
                    self.charge_peer(now, from, length);
                    if why != NotTaken::Notice(NotNews::Held) {
                        self.note_not_taken(from, Err(why));
                    }
                }
            }
        }
        let Some(inquiry) = self.peers.inquiry(&from) else {
            return Ok(());
        };
        let read = inquiry.read(now.mono, (at, more), outcome);
        if let Some((NoticeScope::Alives, true)) = read {
            self.alives_came(now, &from);
        }
        self.inquire(now);
        Ok(())
    }

    /// A peer's signs of life have been read: what lasts is asked of it now.
    fn alives_came(&mut self, now: Now, from: &NodeId) {
        if let Some(inquiry) = self.peers.inquiry(from) {
            inquiry.ask_at = now.mono;
        }
        let silent = self.silent_members(now);
        self.peers.alives_turn.end(from, silent, now.mono);
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
