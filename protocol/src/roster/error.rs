//! Why membership statements do not count.

use crate::wire::{TooLong, codec};

/// Why a card, certificate or genesis does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// A file or statement does not decode.
    #[error("{what} is malformed: {why}; ask its maker to send it again")]
    Malformed {
        /// Which.
        what: String,
        /// What the codec said.
        why: String,
    },
    /// A signature does not hold.
    #[error(
        "the signature on {what} does not hold; do not use this file, ask its maker to send it again"
    )]
    Signature {
        /// Which.
        what: String,
    },
    /// Fields contradict each other.
    #[error("{what} contradicts itself: {why}")]
    Contradiction {
        /// Which.
        what: String,
        /// How.
        why: String,
    },
    /// Two members share what must be theirs alone.
    #[error("{first} and {second} share the same {what}; each needs its own")]
    Shared {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// Slug or key.
        what: &'static str,
    },
    /// Not everybody has signed yet.
    #[error(
        "the genesis is not complete: {missing} still to sign, with \"watchfire federation sign\""
    )]
    Unsigned {
        /// Slugs of those missing.
        missing: String,
    },
    /// A federation needs at least this.
    #[error("a federation needs at least two members and at most {members_max}")]
    Size {
        /// The bound.
        members_max: usize,
    },
    /// The key belongs to nobody here.
    #[error("this key belongs to no member of the federation")]
    NotAMember,
    /// What is held is as new.
    #[error("one that is as new or newer is held already")]
    Superseded,
    /// It is about a node of which nothing is known here.
    #[error("it is about a node whose certificate is not known here, or is another member's")]
    UnknownNode,
    /// It does not continue the roster held here.
    #[error(
        "it is about epoch {epoch}, and epoch {held} is held here; fetch or import what lies between, or leave it"
    )]
    NotNext {
        /// Its number.
        epoch: u64,
        /// What is held.
        held: u64,
    },
    /// Too few have signed it.
    #[error("the roster is not decided: it has {lack}")]
    Undecided {
        /// What it lacks first.
        lack: String,
    },
}

pub(super) fn malformed(what: &str) -> impl Fn(codec::CodecError) -> RosterError + '_ {
    move |error| RosterError::Malformed {
        what: what.to_owned(),
        why: error.to_string(),
    }
}

pub(super) fn contradiction(what: &str, why: impl Into<String>) -> RosterError {
    RosterError::Contradiction {
        what: what.to_owned(),
        why: why.into(),
    }
}

pub(super) fn too_long(what: &str) -> impl Fn(TooLong) -> RosterError + '_ {
    move |error| contradiction(what, format!("too long, {error}"))
}
