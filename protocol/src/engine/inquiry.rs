//! How far each peer's notices have been read, and whose turn it is to be asked for
//! signs of life.
//!
//! A mark moves over every page, whatever is on it: one notice that is never taken
//! here keeps nothing behind it out. What was refused for a reason that passes is
//! remembered as such, and the list is read from the beginning again when the reason
//! may have passed:
//!
//! | refused, because | read again |
//! |---|---|
//! | something is not known here | on another roster or certificate, or when the reading brought news |
//! | a proposal or votes are missing | likewise, and when another vote is held |
//! | of clocks, or of too much at a time | by time alone, at growing intervals of a day at most |

use crate::ids::NodeId;
use crate::limits::{
    ALIVE_EVERY_MS, ALIVE_MISSED_MS, ALIVES_PAUSE_FIRST_MS, ALIVES_PAUSE_LAST_MS, NOTICE_PAGES_MAX,
    NOTICES_AGAIN_FIRST_MS, NOTICES_AGAIN_LAST_MS, NOTICES_EVERY_MS,
};
use crate::membership::{NotNews, NoticeScope};
use crate::time::Instant;
use crate::wire::exchange::Mark;

/// How far the notices of one peer, of one scope, have been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    mark: Option<Mark>,
    /// Something was refused that may be taken later.
    refused: bool,
    /// What was refused may be taken once other votes are held.
    waits_for_votes: bool,
    /// Something was taken since the reading began.
    has_news: bool,
    /// When it begins anew, if something was refused, and after how long the next
    /// time.
    again_at: Option<Instant>,
    again_after_ms: u64,
}

impl Reading {
    /// From the beginning.
    fn begin_anew(&mut self) {
        *self = Self {
            again_after_ms: self.again_after_ms,
            ..Self::default()
        };
    }

    /// Something on a page may be taken later.
    fn refuses(&mut self, scope: NoticeScope, why: Passing, now: Instant) {
        self.refused = true;
        self.waits_for_votes |= why == Passing::Votes;
        // A sign of life is followed by another before it is worth asking for again.
        if self.again_at.is_none() && scope == NoticeScope::Lasting {
            let after_ms = self.again_after_ms.max(NOTICES_AGAIN_FIRST_MS);
            self.again_at = Some(now.plus_ms(after_ms));
            self.again_after_ms = (2 * after_ms).min(NOTICES_AGAIN_LAST_MS);
        }
    }

    /// Where the next question goes on.
    fn since(&mut self, now: Instant) -> Option<Mark> {
        if self.again_at.is_some_and(|at| at <= now) {
            self.begin_anew();
        }
        self.mark
    }
}

/// What must come before a notice is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    /// A roster, a certificate, or time.
    Knowledge,
    /// A proposal, or votes.
    Votes,
}

impl Passing {
    /// Of what was no news; nothing where it never will be.
    pub(super) const fn of(why: NotNews) -> Option<Self> {
        match why {
            NotNews::NoProposal | NotNews::TooMany | NotNews::TooFar => Some(Self::Votes),
            NotNews::Ahead | NotNews::TooSoon | NotNews::TooOften => Some(Self::Knowledge),
            NotNews::Held | NotNews::NotCurrent => None,
        }
    }
}

/// What came of a page.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageOutcome {
    /// Something was taken.
    pub(super) has_news: bool,
    /// Something was refused that may be taken later.
    pub(super) refused: Option<Passing>,
}

impl PageOutcome {
    pub(super) fn refuses(&mut self, why: Passing) {
        // What waits for votes is read again on knowledge, too.
        if self.refused != Some(Passing::Votes) {
            self.refused = Some(why);
        }
    }
}

/// A question that is under way.
#[derive(Clone, Copy, Debug)]
struct Question {
    scope: NoticeScope,
    since: Option<Mark>,
}

/// What is asked of one peer about membership.
#[derive(Debug)]
pub(super) struct Inquiry {
    lasting: Reading,
    alives: Reading,
    /// Which answer is awaited.
    asked: Option<Question>,
    /// Pages without a pause.
    pages: usize,
    pub(super) ask_at: Instant,
    /// When it may be asked for signs of life again.
    alives_at: Instant,
    /// The epoch it says it holds.
    pub(super) epoch: u64,
    pub(super) is_link_asked: bool,
    pub(super) link_at: Instant,
}

/// How far a peer's notices have been read, of either scope. Kept while the peer is
/// away: its store counts on, and what it listed is held.
pub(super) type NoticeMarks = (Reading, Reading);

impl Inquiry {
    pub(super) const fn new(now: Instant, (lasting, alives): NoticeMarks) -> Self {
        Self {
            lasting,
            alives,
            asked: None,
            pages: 0,
            ask_at: now,
            // At the meeting it is asked for what lasts.
            alives_at: now.plus_ms(NOTICES_EVERY_MS),
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

    pub(super) const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) const fn marks(&self) -> NoticeMarks {
        (self.lasting, self.alives)
    }

    /// Whether it may be asked for signs of life.
    pub(super) fn has_turn(&self, now: Instant) -> bool {
        self.alives_at <= now
    }

    /// Begins a question of a scope; gives where it goes on.
    pub(super) fn ask(&mut self, scope: NoticeScope, now: Instant) -> Option<Mark> {
        if scope == NoticeScope::Alives {
            self.alives_at = now.plus_ms(ALIVE_MISSED_MS);
        }
        let since = self.reading(scope).since(now);
        self.asked = Some(Question { scope, since });
        since
    }

    /// Whether an answer makes sense to what was asked: behind a page that is not the
    /// last, the next question goes on further than this one.
    pub(super) fn makes_sense(&self, at: Mark, more: bool) -> bool {
        let Some(Question { since, .. }) = self.asked else {
            return true;
        };
        let before = since
            .filter(|since| since.store == at.store)
            .map_or(0, |since| since.change);
        if more {
            at.change > before
        } else {
            at.change >= before
        }
    }

    /// The question is over and brought nothing. Gives which scope it was of.
    pub(super) fn no_answer(&mut self) -> Option<NoticeScope> {
        self.pages = 0;
        self.asked.take().map(|question| question.scope)
    }

    /// A page has been dealt with, as far as it can be now; the mark moves over it,
    /// unless the reading was begun anew meanwhile. Gives which scope it was of, and
    /// whether it was the last page.
    pub(super) fn read(
        &mut self,
        now: Instant,
        (at, more): (Mark, bool),
        outcome: PageOutcome,
    ) -> Option<(NoticeScope, bool)> {
        let Question { scope, since } = self.asked.take()?;
        let reading = self.reading(scope);
        if reading.mark == since {
            reading.mark = Some(at);
        }
        reading.has_news |= outcome.has_news;
        if let Some(why) = outcome.refused {
            reading.refuses(scope, why, now);
        }
        // What did not fit may fit now that something else is known; signs of life do
        // not wait for each other.
        let again = !more && reading.refused && reading.has_news && scope == NoticeScope::Lasting;
        if again {
            reading.begin_anew();
        }
        if !more && !reading.refused && !again {
            reading.has_news = false;
            reading.again_after_ms = 0;
        }
        if !more && !again {
            self.pages = 0;
        } else if self.pages + 1 >= NOTICE_PAGES_MAX {
            // The rest at its next turn.
            self.pages = 0;
        } else {
            self.pages += 1;
            self.ask_at = now;
        }
        Some((scope, !more))
    }

    fn reading(&mut self, scope: NoticeScope) -> &mut Reading {
        match scope {
            NoticeScope::Lasting => &mut self.lasting,
            NoticeScope::Alives => &mut self.alives,
        }
    }

    /// What was refused may be taken now. Gives whether there is such.
    pub(super) fn read_refused_again(&mut self, why: Passing) -> bool {
        let mut marks = self.marks();
        let is_any = read_refused_again(&mut marks, why);
        (self.lasting, self.alives) = marks;
        is_any
    }
}

/// As [`Inquiry::read_refused_again`], of a peer that may be away.
pub(super) fn read_refused_again(marks: &mut NoticeMarks, why: Passing) -> bool {
    let mut is_any = false;
    for reading in [&mut marks.0, &mut marks.1] {
        let may_pass = match why {
            Passing::Knowledge => reading.refused,
            Passing::Votes => reading.waits_for_votes,
        };
        if may_pass {
            reading.begin_anew();
            is_any = true;
        }
    }
    is_any
}

/// Whose turn it is to be asked for signs of life: one peer at a time, in a circle,
/// with a pause after each. Several would each list the same, since nearly all of them
/// change every quarter of an hour everywhere.
#[derive(Debug, Default)]
pub(super) struct AlivesTurn {
    asked: Option<NodeId>,
    /// Who was asked last.
    last: Option<NodeId>,
    /// How many members were silent when the question was put.
    silent: usize,
    /// Nobody is asked before.
    next_at: Instant,
    pause_ms: u64,
}

impl AlivesTurn {
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.asked.is_none() && self.next_at <= now
    }

    /// Whether a peer has been asked and not been read to the last page.
    pub(super) fn is_of(&self, node: &NodeId) -> bool {
        self.asked == Some(*node)
    }

    /// Whose turn it is of those who may be asked, ascending: who comes behind the one
    /// that was asked last, so that nobody is asked for ever who lists nothing.
    pub(super) fn next(&self, of: &[NodeId]) -> Option<NodeId> {
        let behind = of.iter().find(|node| Some(**node) > self.last);
        behind.or_else(|| of.first()).copied()
    }

    pub(super) const fn begin(&mut self, node: NodeId, silent: usize) {
        self.asked = Some(node);
        self.last = Some(node);
        self.silent = silent;
    }

    /// The last page came: so many are silent now.
    pub(super) fn end(&mut self, node: &NodeId, silent: usize, now: Instant) {
        if self.asked != Some(*node) {
            return;
        }
        self.asked = None;
        if silent < self.silent {
            // There is more once everybody has spoken again.
            self.pause_ms = 0;
            self.next_at = now.plus_ms(ALIVE_EVERY_MS);
            return;
        }
        // Another may know more.
        self.pause_ms = (2 * self.pause_ms).clamp(ALIVES_PAUSE_FIRST_MS, ALIVES_PAUSE_LAST_MS);
        self.next_at = now.plus_ms(self.pause_ms);
    }

    /// The peer whose turn it was is gone, or did not answer: the next.
    pub(super) fn give_up(&mut self, node: &NodeId) {
        if self.asked == Some(*node) {
            self.asked = None;
        }
    }
}
