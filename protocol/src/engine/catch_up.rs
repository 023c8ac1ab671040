//! Fetching what was missed: which ranges of which streams, from whom.
//!
//! Peers offer streams by their frontiers. What is missing here is known by
//! counting, so it is cut into ranges, and each is asked of one who offers it;
//! several holders serve different ranges of one stream at a time.
//!
//! | an offer | because |
//! |---|---|
//! | comes | [a look](super::frontier) at a peer's frontier lists what is missing |
//! | shrinks by a range | its holder was asked for it and did not bring it |
//! | waits | the author's quota here is used up, or nobody could be asked |
//! | leaves out places | its holder was seen to hold another chain there |
//! | is dealt with | nothing in it is missing any more, or nothing is left of it |
//!
//! What did not come for a reason that passes (a timeout, a quota, a clock) is
//! looked at again from the peer's mark on: [`Dealt::Later`].

mod offer;
mod refused;
mod wants;

pub(crate) use offer::Offer;
pub(crate) use wants::CatchUp;
pub use wants::Progress;

use super::messages::{Output, RequestId};
use super::{Asked, Engine};
use super::{CheckedItem, NotTaken, Work};
use crate::gate::{Blame, Refusal};
use crate::ids::NodeId;
use crate::limits::{DEFERRED_MS, RANGES_MAX, REMAINS_BYTES_MAX, RETRY_MS, SEQUENCE_AHEAD_MAX};
use crate::store::{Store, StoreError};
use crate::time::{Instant, Now};
use crate::wire::exchange::{RangeItem, Request, StreamId};
use wants::{Left, Next};

/// Whether a mark may move over something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dealt {
    /// It is held, contradicts what is held, or is not to be had there.
    ForGood,
    /// It did not come for a reason that passes.
    Later,
}

/// How an envelope came, and so which of its author's buckets it is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By itself.
    Gossip,
    /// Because it was asked for.
    Asked,
}

/// A range that was asked for.
#[derive(Clone, Copy, Debug)]
struct Asking {
    stream: StreamId,
    from: u64,
    to: u64,
    holder: NodeId,
    at: Instant,
}

impl Asking {
    /// The sequence of an item, if it belongs to the answer.
    fn place_of(&self, item: &CheckedItem) -> Option<u64> {
        let (stream, header) = match item {
            CheckedItem::Frame(frame) => (frame.value().stream(), frame.value().header()),
            CheckedItem::Remains(checked, _) => {
                (checked.value().stream(), checked.value().header())
            }
        };
        let sequence = header.prefix.class.position()?.sequence;
        (stream == Some(self.stream) && (self.from..=self.to).contains(&sequence))
            .then_some(sequence)
    }
}

impl<S: Store> Engine<S> {
    /// Asks for as much as may be under way.
    pub(super) fn fetch(&mut self, now: Now) {
        self.catch_up.resume(now.mono);
        let mut busy = Vec::new();
        while self.catch_up.under_way.len() < RANGES_MAX
            && let Some(stream) = self.catch_up.next_in_line()
        {
            match self.catch_up.next(&self.streams, &stream, now.mono) {
                Next::Ask(asking) => {
                    self.catch_up.queue(stream);
                    self.ask_range(asking);
                }
                Next::Busy => busy.push(stream),
                Next::Nothing => self.settle(now, &stream),
            }
        }
        for stream in busy {
            self.catch_up.queue(stream);
        }
    }

    fn ask_range(&mut self, asking: Asking) {
        let Asking {
            stream,
            from,
            to,
            holder,
            ..
        } = asking;
        let id = self.ask(holder, Request::Range { stream, from, to }, Asked::Range);
        self.catch_up.under_way.insert(id, asking);
        if let Some(holder) = self.catch_up.holders.get_mut(&holder) {
            holder.asked += 1;
        }
    }

    /// A range came: to the gate with it.
    pub(super) fn on_range(&mut self, now: Now, id: RequestId, items: Vec<RangeItem>) {
        let Some(asking) = self.catch_up.under_way.get(&id).copied() else {
            return;
        };
        if items.is_empty() {
            return self.on_no_range(now, id, Dealt::ForGood);
        }
        if items.len() as u64 > asking.to - asking.from + 1 {
            // More than was asked for: nobody who keeps to the protocol does.
            self.outputs.push_back(Output::Reconnect {
                node: asking.holder,
            });
            return self.on_no_range(now, id, Dealt::Later);
        }
        let roster = self.roster();
        self.outputs.push_back(Output::Work(Work::Check {
            id,
            from: asking.holder,
            items,
            roster,
        }));
    }

    /// The holder says that it has nothing of it; or says nothing, and is asked
    /// again later.
    pub(super) fn on_no_range(&mut self, now: Now, id: RequestId, dealt: Dealt) {
        if let Some(asking) = self.catch_up.ended(&id) {
            self.catch_up.note_pace(&asking, now.mono, 0);
            self.was_asked(now, &asking, dealt, true);
            self.fetch(now);
        }
    }

    /// The question could not be sent from here: later.
    pub(super) fn on_range_not_asked(&mut self, now: Now, id: RequestId) {
        if let Some(asking) = self.catch_up.ended(&id) {
            self.catch_up
                .defer(asking.stream, now.mono.plus_ms(RETRY_MS));
        }
    }

    /// The items of a range have been through the gate.
    pub(super) fn on_checked(
        &mut self,
        now: Now,
        id: RequestId,
        from: NodeId,
        items: Vec<Result<CheckedItem, (Refusal, u64)>>,
    ) -> Result<(), StoreError> {
        // A peer that left meanwhile has nothing under way any more; what it
        // brought is taken all the same.
        let asking = self.catch_up.ended(&id);
        let mut brought = Brought::default();
        let mut last = None;
        let mut refused = Vec::new();
        for checked in items {
            let mut place = None;
            if let (Some(asking), Ok(item)) = (&asking, &checked) {
                place = asking.place_of(item);
                brought.spoiled |= place.is_none() || place <= last;
                last = place;
            }
            if self.take_item(now, from, checked, &mut brought)? {
                refused.extend(place);
            }
        }
        if let Some(asking) = asking {
            self.catch_up.note_pace(&asking, now.mono, brought.taken);
            self.catch_up
                .note_refused(&self.streams, &asking, &refused, now.mono);
            // Behind the last item the answer had no room; nothing is said of it.
            let to = last.unwrap_or(asking.to);
            self.after_range(now, &Asking { to, ..asking }, &brought);
        }
        if brought.spoiled {
            // It serves what the gate rejects: the link is closed, and the same
            // is asked elsewhere. The transport calls it again ever later.
            self.outputs.push_back(Output::Reconnect { node: from });
        }
        self.fetch(now);
        self.start_pulls(now)?;
        self.start_opening()
    }

    /// Takes an item of a range. Returns whether it contradicts what is held.
    fn take_item(
        &mut self,
        now: Now,
        from: NodeId,
        checked: Result<CheckedItem, (Refusal, u64)>,
        brought: &mut Brought,
    ) -> Result<bool, StoreError> {
        let bytes;
        let taken = match checked {
            Err((refusal, length)) => {
                bytes = length;
                brought.spoiled |= refusal.blame() == Blame::Forwarder;
                Err(refusal.into())
            }
            Ok(CheckedItem::Frame(frame)) => {
                bytes = frame.value().bytes().len() as u64;
                let author = self.missed_by_gossip(frame.value());
                let taken = self.take(now, from, *frame, Way::Asked)?;
                if let (Some(author), Ok(())) = (author, &taken) {
                    self.peers.missed_gossip(&author);
                }
                taken
            }
            Ok(CheckedItem::Remains(checked, remains)) => {
                bytes = REMAINS_BYTES_MAX as u64;
                self.take_remains(now, &checked, &remains)?
            }
        };
        match &taken {
            Ok(()) => brought.taken += 1,
            // It was asked for, and came by gossip meanwhile.
            Err(NotTaken::Held) => brought.held += 1,
            Err(why) => {
                brought.over_quota |= matches!(why, NotTaken::Quota { .. });
                brought.passes |= !why.is_for_good();
                if why.is_charged(Way::Asked) {
                    self.charge_peer(now, from, bytes);
                }
            }
        }
        let contradicts = taken == Err(NotTaken::Conflict);
        self.note_not_taken(from, taken);
        Ok(contradicts)
    }

    fn after_range(&mut self, now: Now, asking: &Asking, brought: &Brought) {
        if brought.over_quota {
            // The offers wait; the looks do not wait with them.
            let stream = asking.stream;
            self.catch_up.defer(stream, now.mono.plus_ms(DEFERRED_MS));
            self.look_later(now, &stream);
            return;
        }
        let dealt = if brought.passes {
            Dealt::Later
        } else {
            Dealt::ForGood
        };
        let in_vain = brought.taken == 0 && brought.held == 0;
        self.was_asked(now, asking, dealt, in_vain);
    }

    /// Somebody was asked for a range: what of it did not come is not to be had
    /// there.
    fn was_asked(&mut self, now: Now, asking: &Asking, dealt: Dealt, in_vain: bool) {
        if dealt == Dealt::Later {
            self.try_again(now, &asking.holder);
        }
        match self.catch_up.without(asking, in_vain) {
            Some(Left::Nothing) => self.let_go(now, &asking.stream, &asking.holder),
            Some(Left::NotWorthAsking) => {
                self.try_again(now, &asking.holder);
                self.let_go(now, &asking.stream, &asking.holder);
            }
            Some(Left::Something) | None => {}
        }
        self.catch_up.queue(asking.stream);
    }

    /// Nothing is left of what a holder offered of a stream.
    fn let_go(&mut self, now: Now, stream: &StreamId, holder: &NodeId) {
        self.catch_up.withdraw(stream, holder);
        self.dealt_with(now, holder, stream);
    }

    /// Of members that are distrusted nothing is wanted any more.
    pub(super) fn let_go_of_distrusted(&mut self, now: Now) {
        let wanted: Vec<(StreamId, NodeId)> = self
            .catch_up
            .wants
            .iter()
            .filter(|(stream, _)| self.distrusts_node(&stream.node))
            .flat_map(|(stream, want)| want.offers.keys().map(|holder| (*stream, *holder)))
            .collect();
        for (stream, holder) in wanted {
            self.let_go(now, &stream, &holder);
        }
    }

    /// A stream waits for its author's quota: whoever listed it is looked at
    /// again, and until then its mark stays.
    fn look_later(&mut self, now: Now, stream: &StreamId) {
        let Some(want) = self.catch_up.wants.get(stream) else {
            return;
        };
        let holders: Vec<NodeId> = want.offers.keys().copied().collect();
        for holder in holders {
            self.try_again(now, &holder);
            self.dealt_with(now, &holder, stream);
        }
    }

    /// Lets go of every offer of a stream that has nothing more to give.
    fn settle(&mut self, now: Now, stream: &StreamId) {
        let Some(want) = self.catch_up.wants.get(stream) else {
            return;
        };
        let reach = self.streams.sequence(stream) + SEQUENCE_AHEAD_MAX;
        let done: Vec<(NodeId, bool)> = want
            .offers
            .iter()
            .filter(|(_, offer)| !offer.has_missing(&self.streams, stream))
            .map(|(holder, offer)| (*holder, offer.last() > reach))
            .collect();
        for (holder, has_more) in done {
            if has_more {
                // Beyond what may be taken now: another gap comes first.
                self.try_again(now, &holder);
            }
            self.let_go(now, stream, &holder);
        }
    }
}

/// What a range brought.
#[derive(Debug, Default)]
struct Brought {
    taken: u64,
    /// What gossip had brought meanwhile.
    held: u64,
    /// Something in it no honest node serves.
    spoiled: bool,
    /// An author's quota is used up.
    over_quota: bool,
    /// Something was not taken for a reason that passes.
    passes: bool,
}
