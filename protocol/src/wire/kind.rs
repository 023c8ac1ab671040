//! The table of statement kinds: number, name, signing domain.

use super::envelope::Tag;
use watchfire_crypto::Domain;

/// Declares the kinds once, so that number, name and domain cannot drift.
macro_rules! kinds {
    ($($number:literal $variant:ident $name:literal)*) => {
        /// A kind of signed statement. Numbers are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(
                #[doc = concat!("`", $name, "`, number ", stringify!($number), ".")]
                $variant,
            )*
        }

        impl Kind {
            /// Every kind, by number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number that stands for it on the wire.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The kind of a number, if this version knows it.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The name, as in its domain.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What keeps its signatures from being good for another kind.
            pub const fn domain(self) -> Domain {
                match self { $(Self::$variant => Domain::new($name),)* }
            }
        }
    };
}

kinds! {
    1 Card "card"
    2 Genesis "genesis"
    3 Roster "roster"
    4 Vote "vote"
    5 NodeCert "node-cert"
    6 Revocation "revocation"
    7 Suspension "suspension"
    8 Person "person"
    9 Prekey "prekey"
    10 Alive "alive"
    11 Group "group"
    12 Grant "grant"
    13 GrantRequest "grant-request"
    14 Bundle "bundle"
    15 Envelope "envelope"
    16 Recall "recall"
    17 Receipt "receipt"
    18 Sighting "sighting"
    19 Mailbox "mailbox"
    20 LedgerHead "ledger-head"
    21 Proof "proof"
}

impl Kind {
    /// The one open stream on which it may be an inner statement; none for a
    /// kind that never is one.
    pub const fn inner_tag(self) -> Option<Tag> {
        match self {
            Self::Bundle | Self::Sighting => Some(Tag::PUBLIC),
            Self::Revocation
            | Self::Person
            | Self::Prekey
            | Self::Group
            | Self::Grant
            | Self::Recall
            | Self::LedgerHead => Some(Tag::CONTROL),
            Self::Card
            | Self::Genesis
            | Self::Roster
            | Self::Vote
            | Self::NodeCert
            | Self::Suspension
            | Self::Alive
            | Self::GrantRequest
            | Self::Envelope
            | Self::Receipt
            | Self::Mailbox
            | Self::Proof => None,
        }
    }
}

/// Domain of the hash that makes a member id of a root key.
pub(crate) const MEMBER: Domain = Domain::new("member");
/// Domain of the hash that makes a node id of a transport key.
pub(crate) const NODE: Domain = Domain::new("node");
/// Domain of the hash that makes a stream's short name.
pub(crate) const STREAM: Domain = Domain::new("stream");
/// Domain of the hash that stands for all notices a node holds.
pub(crate) const NOTICES: Domain = Domain::new("notices");
/// Domain of the hash of what a roster's changes result in.
pub(crate) const MEMBERS: Domain = Domain::new("members");
/// Domain of the hash that stands for the envelope at the end of a stream.
pub(crate) const HEAD: Domain = Domain::new("head");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        for (at, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.number()), at + 1);
            assert_eq!(Kind::from_number(kind.number()), Some(*kind));
            assert!(
                Kind::ALL
                    .iter()
                    .filter(|other| other.name() == kind.name())
                    .count()
                    == 1
            );
        }
        assert_eq!(Kind::from_number(0), None);
        assert_eq!(Kind::from_number(22), None);
    }
}
