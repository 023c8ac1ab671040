//! Who may do what: one pure function over a domain that can be counted.
//!
//! [`decide`] answers for a [`Marking`], an [`Action`], a [`Subject`] and a
//! [`Standing`]. It has no clock, no store and no log: whether something has
//! expired or a roster is fresh is worked out by the caller and handed in. The
//! whole domain is [`Question::all`], so a test walks every combination and
//! `docs/policy.md` prints the same table.
//!
//! Three things make a wrong *allow* hard to write:
//!
//! - **Missing, empty, unknown and contradictory facts have no value here.**
//!   No type has a default or an `Option`; an empty audience leaves every node
//!   [`Peer::Outside`], a contradictory client is [`Reader::Public`], and what
//!   a caller does not know it takes from [`Standing::WORST`].
//! - **Subjects are ordered by how near they stand.** A marking names the
//!   farthest one it reaches, so a stricter marking cannot reach someone whom a
//!   milder one does not.
//! - **The rules are one ordered array of refusals.** [`decide`] and
//!   [`explain`] walk the same array, and no rule in it is able to allow: what
//!   is allowed is what every rule let pass.
//!
//! [`release`] is the only way to a [`Release`], and a `Release` is the only
//! thing that responses, exports and notices are made of.
//!
//! A decision for the node that asks is also an answer for its people and its
//! ledger. It is never the answer to the subject: for whom something is hidden,
//! it does not exist, in status, body, headers, counts and pages alike.

/// Declares an enumeration whose list, names and sentences cannot fall out of
/// step with its variants: each variant is written once.
macro_rules! enumerable {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $kebab:literal, $about:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $about] $variant,)+
        }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: [Self; [$($kebab),+].len()] = [$(Self::$variant),+];

            /// The stable name, in kebab case: for ledgers, receipts and JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $kebab,)+ }
            }

            /// What it means, for people: lower case, no full stop.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)+ }
            }

            /// The value of that stable name; any other text is none.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == name)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

mod decision;
mod question;
mod release;
mod rules;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod properties;

pub use decision::AllowRule;
pub use decision::Decision;
pub use decision::DenyRule;
pub use decision::Step;
pub use decision::Verdict;
pub use question::Action;
pub use question::AllowRelay;
pub use question::AuthorStanding;
pub use question::Exercise;
pub use question::Life;
pub use question::Membership;
pub use question::Operator;
pub use question::Peer;
pub use question::Question;
pub use question::Reader;
pub use question::Roster;
pub use question::Standing;
pub use question::Subject;
pub use release::Denied;
pub use release::Marked;
pub use release::Release;
pub use release::release;
pub use rules::RULES;
pub use rules::Rule;

use crate::marking::Marking;

/// The marking by which a holder judges a sealed envelope that it cannot open.
///
/// The label is inside the seal. For ciphertext the cells of GREEN, AMBER and
/// AMBER+STRICT are the same (a test holds them together), so the strictest of
/// the three is right for all. An open envelope is CLEAR and a direct one RED
/// by their class, which is in the clear.
pub const SEALED_UNREAD: Marking = Marking::AmberStrict;

/// Decides one question. Total: every combination has an answer, and every
/// answer has the rule that made it.
///
/// ```
/// use watchfire_protocol::marking::Marking;
/// use watchfire_protocol::policy::{self, Action, DenyRule, Reader, Standing, Subject};
///
/// let decision = policy::decide(
///     Marking::AmberStrict,
///     Action::Export,
///     Subject::Reader(Reader::ListedClient),
///     Standing::BEST,
/// );
/// assert_eq!(decision, policy::Decision::Deny(DenyRule::StrictOwnPeopleOnly));
/// ```
pub fn decide(marking: Marking, action: Action, subject: Subject, standing: Standing) -> Decision {
    Question {
        marking,
        action,
        subject,
        standing,
    }
    .decide()
}

/// The chain of rules behind [`decide`], in their order: those that let it
/// pass, and last either the one that denied or the one that allows.
pub fn explain(
    marking: Marking,
    action: Action,
    subject: Subject,
    standing: Standing,
) -> Vec<Step> {
    Question {
        marking,
        action,
        subject,
        standing,
    }
    .explain()
}
