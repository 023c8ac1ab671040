//! Answers that the engine owes. Most come at once; those that claim something wait for the disk, and the transport does
//! not wait with them: it forgets a question after its time and takes the next. So they are counted here.

use watchfire_protocol::wire::exchange::{Answer, Request, Unavailable};

use crate::limits::{ANSWERS_OWED_MAX, DOOR_QUESTIONS_MAX};

/// What a member is told when too many answers are owed.
pub(super) const BUSY: Answer = Answer::Unavailable {
    reason: Unavailable::Busy,
};

/// How many answers are owed.
#[derive(Debug, Default)]
pub(super) struct Owed {
    members: usize,
    strangers: usize,
}

impl Owed {
    /// Whether a member's question may be put to the engine, which then owes an answer.
    pub(super) const fn ask(&mut self) -> bool {
        let room = self.members < ANSWERS_OWED_MAX;
        if room {
            self.members += 1;
        }
        room
    }

    /// The engine has answered a member.
    pub(super) const fn answered(&mut self) {
        self.members = self.members.saturating_sub(1);
    }

    /// As [`Owed::ask`], for strangers, who take no room of members.
    pub(super) const fn ask_at_door(&mut self) -> bool {
        let room = self.strangers < DOOR_QUESTIONS_MAX;
        if room {
            self.strangers += 1;
        }
        room
    }

    /// The engine has answered a stranger.
    pub(super) const fn answered_at_door(&mut self) {
        self.strangers = self.strangers.saturating_sub(1);
    }
}

/// Whether the answer to a request has to be kept, and so waits until the disk has room.
pub(super) const fn brings_data(request: &Request) -> bool {
    matches!(
        request,
        Request::Frontier { .. } | Request::Range { .. } | Request::Chunk { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_owed_are_bounded_and_strangers_take_no_room_of_members() {
        let mut owed = Owed::default();
        assert_eq!(
            (0..10_000).filter(|_| owed.ask_at_door()).count(),
            DOOR_QUESTIONS_MAX
        );
        assert_eq!((0..10_000).filter(|_| owed.ask()).count(), ANSWERS_OWED_MAX);
        owed.answered();
        assert!(owed.ask() && !owed.ask());
        owed.answered_at_door();
        assert!(owed.ask_at_door() && !owed.ask_at_door());
    }
}
