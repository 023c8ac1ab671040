//! Why something that arrived was not taken, and what follows: who pays, and
//! whether it is worth asking for again.

use super::Way;
use crate::gate::{Blame, Refusal};
use crate::membership::NotNews;

/// Why a frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The gate refused it.
    #[error("{0}")]
    Gate(#[from] Refusal),
    /// It is here already.
    #[error("already held")]
    Held,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Remains of an envelope that has not expired here.
    #[error("what remains of an envelope came, and it has not expired here")]
    NotExpired,
    /// What remains of an envelope that had expired before its author's
    /// certificate began.
    #[error("it had expired before its author's certificate began")]
    NeverAlive,
    /// It would be kept longer than anything may be.
    #[error("expires more than 1,830 days ahead")]
    ExpiresTooLate,
    /// Made in the future.
    #[error("created more than 10 minutes ahead of this node's clock")]
    Ahead,
    /// The policy says no.
    #[error("policy: {rule}")]
    Policy {
        /// The rule.
        rule: &'static str,
    },
    /// A quota is used up; it will be asked for again.
    #[error("quota of the {whose} used up")]
    Quota {
        /// Author or peer.
        whose: &'static str,
    },
    /// It contradicts what is held.
    #[error("another envelope is held there, or the chain does not fit")]
    Conflict,
    /// Whether it is held, or contradicts what is, this store cannot read.
    #[error("what is held at its place cannot be read here")]
    Unreadable,
    /// Too far ahead, or too many streams; it will be asked for again.
    #[error("too far ahead of what is held")]
    TooFar,
    /// A notice that is no news.
    #[error(transparent)]
    Notice(#[from] NotNews),
    /// Its author left since the gate let it in.
    #[error("its author is no longer known")]
    AuthorGone,
    /// This node's operator broke with its author. It is asked for when that ends.
    #[error("its author is distrusted here")]
    Distrusted,
    /// Too much waits for the disk; it will be asked for again.
    #[error("the disk is behind")]
    DiskBehind,
}

impl NotTaken {
    /// Whether whoever brought it pays for its bytes, since they were worth
    /// nothing here. What comes by itself is always paid for, but that the disk
    /// is slow or damaged is nobody's doing, and whom this node distrusts is its own
    /// matter. What was asked for is not where only this node
    /// could know that it would not take it: it came meanwhile, it contradicts
    /// what is held, its author's quota is used up, its time is over here.
    pub(crate) const fn is_charged(&self, way: Way) -> bool {
        match self {
            Self::DiskBehind | Self::Unreadable | Self::Distrusted => false,
            Self::Held | Self::Conflict | Self::Quota { .. } | Self::Expired => match way {
                Way::Gossip => true,
                Way::Asked => false,
            },
            Self::Gate(_)
            | Self::Notice(_)
            | Self::NotExpired
            | Self::NeverAlive
            | Self::ExpiresTooLate
            | Self::Ahead
            | Self::Policy { .. }
            | Self::TooFar
            | Self::AuthorGone => true,
        }
    }

    /// Whether the same would be said tomorrow: it is here, contradicts what
    /// is here, is spoiled, or is of an author whom this node distrusts: when that
    /// ends, everything is listed anew.
    pub(crate) fn is_for_good(&self) -> bool {
        match self {
            Self::Held | Self::Conflict | Self::NeverAlive | Self::Distrusted => true,
            Self::Gate(refusal) => refusal.blame() == Blame::Forwarder,
            Self::Expired
            | Self::Notice(_)
            | Self::NotExpired
            | Self::ExpiresTooLate
            | Self::Ahead
            | Self::Policy { .. }
            | Self::Quota { .. }
            | Self::Unreadable
            | Self::TooFar
            | Self::AuthorGone
            | Self::DiskBehind => false,
        }
    }
}
