//! Frames that wait for a verdict: how many, whose, and until when.
//!
//! gossipsub holds them too, in a cache without a bound of its own. What finds no room here is ignored at once, which
//! takes it out of that cache; what outlives its time is ignored as well, because the cache forgets it then.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use libp2p::PeerId;

use super::MessageId;
use crate::limits::UNDECIDED_BYTES_MIN;

/// The frames without a verdict.
#[derive(Debug)]
pub(crate) struct Undecided {
    per_peer_bytes_max: usize,
    total_bytes_max: usize,
    frames: HashMap<MessageId, Frame>,
    /// In order of arrival; may name frames that were decided since.
    order: VecDeque<(Instant, MessageId)>,
    per_peer_bytes: HashMap<PeerId, usize>,
    total_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    source: PeerId,
    charge_bytes: usize,
    until: Instant,
}

impl Undecided {
    pub(crate) fn new(per_peer_bytes_max: usize, total_bytes_max: usize) -> Self {
        Self {
            per_peer_bytes_max,
            total_bytes_max,
            frames: HashMap::new(),
            order: VecDeque::new(),
            per_peer_bytes: HashMap::new(),
            total_bytes: 0,
        }
    }

    /// Takes a frame in, or says that there is no room for it. Every frame of a caller has the same time to live, so
    /// `until` never decreases.
    #[must_use]
    pub(crate) fn admit(
        &mut self,
        message: MessageId,
        source: PeerId,
        bytes: usize,
        until: Instant,
    ) -> bool {
        let charge_bytes = bytes.max(UNDECIDED_BYTES_MIN);
        let of_peer = self
            .per_peer_bytes
            .get(&source)
            .copied()
            .unwrap_or(0)
            .saturating_add(charge_bytes);
        let of_all = self.total_bytes.saturating_add(charge_bytes);
        if of_peer > self.per_peer_bytes_max || of_all > self.total_bytes_max {
            return false;
        }
        if self.frames.contains_key(&message) {
            return false;
        }
        self.per_peer_bytes.insert(source, of_peer);
        self.total_bytes = of_all;
        self.frames.insert(
            message,
            Frame {
                source,
                charge_bytes,
                until,
            },
        );
        // Decided frames leave their entry in the order behind; it is swept when they are the greater part.
        if self.order.len() > self.frames.len().saturating_mul(2).saturating_add(1_024) {
            let frames = &self.frames;
            self.order.retain(|(until, message)| {
                frames
                    .get(message)
                    .is_some_and(|frame| frame.until == *until)
            });
        }
        self.order.push_back((until, message));
        true
    }

    /// Lets a frame go and says who sent it; `None` if it is not, or no longer, waiting.
    pub(crate) fn decide(&mut self, message: &MessageId) -> Option<PeerId> {
        let frame = self.frames.remove(message)?;
        self.total_bytes = self.total_bytes.saturating_sub(frame.charge_bytes);
        if let Some(bytes) = self.per_peer_bytes.get_mut(&frame.source) {
            *bytes = bytes.saturating_sub(frame.charge_bytes);
            if *bytes == 0 {
                self.per_peer_bytes.remove(&frame.source);
            }
        }
        Some(frame.source)
    }

    /// When the oldest frame's time ends. May name a moment at which nothing happens.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }

    /// Lets go one frame whose time has ended.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(MessageId, PeerId)> {
        while let Some((until, message)) = self.order.front().copied() {
            if until > now {
                return None;
            }
            self.order.pop_front();
            if self
                .frames
                .get(&message)
                .is_some_and(|frame| frame.until == until)
            {
                return self.decide(&message).map(|source| (message, source));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    fn id(number: u8) -> MessageId {
        MessageId([number; 32])
    }

    #[test]
    fn a_flood_of_one_peer_leaves_room_for_another() {
        let now = Instant::now();
        let (loud, quiet) = (PeerId::random(), PeerId::random());
        let mut undecided = Undecided::new(2_048, 4_096);
        assert!(undecided.admit(id(1), loud, 0, now));
        assert!(undecided.admit(id(2), loud, 1_024, now));
        assert!(
            !undecided.admit(id(3), loud, 1, now),
            "empty frames are charged too"
        );
        assert!(undecided.admit(id(4), quiet, 1, now));
        assert_eq!(undecided.decide(&id(1)), Some(loud));
        assert_eq!(undecided.decide(&id(1)), None);
        assert!(undecided.admit(id(3), loud, 1, now));
    }

    #[test]
    fn the_total_holds_for_many_peers() {
        let now = Instant::now();
        let mut undecided = Undecided::new(2_048, 4_096);
        let taken = (0..10)
            .filter(|number| undecided.admit(id(*number), PeerId::random(), 1, now))
            .count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn what_is_never_decided_ends_and_nothing_is_kept() {
        let start = Instant::now();
        let peer = PeerId::random();
        let mut undecided = Undecided::new(usize::MAX, usize::MAX);
        for number in 0..10 {
            let until = start + Duration::from_secs(u64::from(number));
            assert!(undecided.admit(id(number), peer, 1, until));
        }
        undecided.decide(&id(2)).unwrap();
        let ended: Vec<_> = std::iter::from_fn(|| undecided.expire(start + Duration::from_secs(4)))
            .map(|(message, _)| message)
            .collect();
        assert_eq!(ended, [id(0), id(1), id(3), id(4)]);
        while undecided.expire(start + Duration::from_secs(60)).is_some() {}
        assert!(
            undecided.frames.is_empty()
                && undecided.per_peer_bytes.is_empty()
                && undecided.order.is_empty()
        );
        assert_eq!(undecided.total_bytes, 0);
    }

    #[test]
    fn decided_frames_do_not_pile_up_in_the_order() {
        let now = Instant::now();
        let peer = PeerId::random();
        let mut undecided = Undecided::new(usize::MAX, usize::MAX);
        for number in 0..10_000_u32 {
            let mut bytes = [0; 32];
            bytes
                .iter_mut()
                .zip(number.to_be_bytes())
                .for_each(|(to, from)| *to = from);
            assert!(undecided.admit(MessageId(bytes), peer, 1, now + Duration::from_secs(9)));
            undecided.decide(&MessageId(bytes)).unwrap();
        }
        assert!(undecided.order.len() <= 1_026);
    }
}
