//! The only way out: a value that the decision let go.

use core::fmt;

use super::decision::AllowRule;
use super::decision::Decision;
use super::decision::DenyRule;
use super::question::Action;
use super::question::Question;
use super::question::Standing;
use super::question::Subject;
use crate::marking::Marking;

/// Something whose effective marking is part of it.
///
/// [`release`] asks the value itself, so that a decision about one object
/// cannot let go of another. Implement it for the canonical object and for what
/// is derived from exactly one (a match, a name, a key); never for a value that
/// is handed its marking by a caller, and never for a collection, whose members
/// are released one by one. A sealed envelope that cannot be read answers with
/// [`SEALED_UNREAD`](super::SEALED_UNREAD).
pub trait Marked {
    /// The effective marking: the strictest that applies to any part.
    fn marking(&self) -> Marking;
}

impl<T: Marked + ?Sized> Marked for &T {
    fn marking(&self) -> Marking {
        T::marking(self)
    }
}

/// A value that may go out, for one action and one subject, with the rule that
/// allows it. Only [`release`] makes one.
///
/// It cannot be written down:
///
/// ```compile_fail
/// use watchfire_protocol::marking::Marking;
/// use watchfire_protocol::policy::{Action, AllowRule, Reader, Release, Subject};
///
/// let forged = Release {
///     value: "secret",
///     rule: AllowRule::ClearAnyone,
///     marking: Marking::Clear,
///     action: Action::Show,
///     subject: Subject::Reader(Reader::Public),
/// };
/// ```
///
/// a value without a marking of its own has none:
///
/// ```compile_fail
/// use watchfire_protocol::policy::{Action, Reader, Standing, Subject, release};
///
/// let public = Subject::Reader(Reader::Public);
/// let unmarked = release(Action::Show, public, Standing::BEST, "secret");
/// ```
///
/// and what it holds cannot be exchanged for something else, since there is no
/// `map` and no mutable access; nor can it be copied, so that one entry in the
/// ledger is one thing that left:
///
/// ```compile_fail
/// # use watchfire_protocol::marking::Marking;
/// # use watchfire_protocol::policy::{Action, Marked, Reader, Standing, Subject, release};
/// # #[derive(Clone)]
/// # struct Advisory;
/// # impl Marked for Advisory {
/// #     fn marking(&self) -> Marking {
/// #         Marking::Clear
/// #     }
/// # }
/// # let public = Subject::Reader(Reader::Public);
/// let released = release(Action::Show, public, Standing::BEST, Advisory).unwrap();
/// let twice = (released.clone(), released);
/// ```
///
/// The same lines without the copy compile:
///
/// ```
/// # use watchfire_protocol::marking::Marking;
/// # use watchfire_protocol::policy::{Action, Marked, Reader, Standing, Subject, release};
/// # #[derive(Clone)]
/// # struct Advisory;
/// # impl Marked for Advisory {
/// #     fn marking(&self) -> Marking {
/// #         Marking::Clear
/// #     }
/// # }
/// # let public = Subject::Reader(Reader::Public);
/// let released = release(Action::Show, public, Standing::BEST, Advisory).unwrap();
/// assert_eq!(released.rule().name(), "clear-anyone");
/// ```
#[must_use]
pub struct Release<T> {
    value: T,
    rule: AllowRule,
    marking: Marking,
    action: Action,
    subject: Subject,
}

/// Lets the value go to this subject for this action, if the decision about the
/// value's own marking allows it. The standing is that of this very value.
///
/// # Errors
///
/// [`Denied`] with the rule; the value is dropped.
pub fn release<T: Marked>(
    action: Action,
    subject: Subject,
    standing: Standing,
    value: T,
) -> Result<Release<T>, Denied> {
    let marking = value.marking();
    let question = Question {
        marking,
        action,
        subject,
        standing,
    };
    match question.decide() {
        Decision::Allow(rule) => Ok(Release {
            value,
            rule,
            marking,
            action,
            subject,
        }),
        Decision::Deny(rule) => Err(Denied {
            rule,
            marking,
            action,
            subject,
        }),
    }
}

impl<T> Release<T> {
    /// The value, to be read.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The value, to be written out. It is the end of the release: whoever takes
    /// it stands at the door.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The same release of the same value, borrowed.
    pub const fn as_ref(&self) -> Release<&T> {
        Release {
            value: &self.value,
            rule: self.rule,
            marking: self.marking,
            action: self.action,
            subject: self.subject,
        }
    }

    /// The rule that allowed it, for the ledger.
    pub const fn rule(&self) -> AllowRule {
        self.rule
    }

    /// The marking it leaves under.
    pub const fn marking(&self) -> Marking {
        self.marking
    }

    /// What it was released for. An exporter takes nothing that was released to
    /// be shown.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// To whom it was released.
    pub const fn subject(&self) -> Subject {
        self.subject
    }
}

/// Says what was released and never what it holds, so that it may be logged.
impl<T> fmt::Debug for Release<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Release")
            .field("rule", &self.rule)
            .field("marking", &self.marking)
            .field("action", &self.action)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// A release that was denied. For this node's people and ledger; the subject
/// is told what it would be told if there were no such object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action} to {subject} refused at {marking} ({rule}): {}", .rule.about())]
pub struct Denied {
    /// The rule that denied.
    pub rule: DenyRule,
    /// The marking of the value.
    pub marking: Marking,
    /// What was to be done.
    pub action: Action,
    /// For whom.
    pub subject: Subject,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::question::Reader;
    use super::*;

    struct Advisory(Marking, &'static str);

    impl Marked for Advisory {
        fn marking(&self) -> Marking {
            self.0
        }
    }

    #[test]
    fn every_release_and_denial_is_the_decision() {
        for question in Question::all() {
            let value = Advisory(question.marking, "text");
            let released = release(question.action, question.subject, question.standing, &value);
            let decision = match released {
                Ok(released) => Decision::Allow(released.rule()),
                Err(denied) => Decision::Deny(denied.rule),
            };
            assert_eq!(decision, question.decide());
        }
    }

    #[test]
    fn a_release_keeps_what_it_was_asked() {
        let subject = Subject::Reader(Reader::ListedClient);
        let value = Advisory(Marking::Amber, "text");
        let released = release(Action::Export, subject, Standing::BEST, value).unwrap();
        let borrowed = released.as_ref();
        assert_eq!(borrowed.rule(), AllowRule::ListedClient);
        assert_eq!(borrowed.marking(), Marking::Amber);
        assert_eq!(borrowed.action(), Action::Export);
        assert_eq!(borrowed.subject(), subject);
        assert_eq!(borrowed.value().1, "text");
        assert_eq!(released.into_inner().1, "text");
    }

    #[test]
    fn attack_43_the_decision_is_about_the_object_that_leaves() {
        // A request that names a CLEAR object has no place to say so: the
        // marking is asked of what would leave.
        let public = Subject::Reader(Reader::Public);
        let child = Advisory(Marking::Red, "child");
        let denied = release(Action::Show, public, Standing::BEST, &child).unwrap_err();
        assert_eq!(denied.rule, DenyRule::RedNamedOnly);
        assert_eq!(denied.marking, Marking::Red);
    }

    #[test]
    fn attack_49_printing_a_release_prints_no_content() {
        let subject = Subject::Reader(Reader::NamedPerson);
        let value = Advisory(Marking::Red, "lamp oil");
        let released = release(Action::Show, subject, Standing::BEST, value).unwrap();
        assert_eq!(
            format!("{released:?}"),
            "Release { rule: NamedPerson, marking: Red, action: Show, \
             subject: Reader(NamedPerson), .. }"
        );
    }

    #[test]
    fn a_denial_reads_as_one_sentence_for_people() {
        let client = Subject::Reader(Reader::ListedClient);
        let value = Advisory(Marking::AmberStrict, "text");
        let denied = release(Action::Export, client, Standing::BEST, value).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "export to listed-client refused at TLP:AMBER+STRICT \
             (marking-strict-own-people-only): TLP:AMBER+STRICT may not leave this \
             organisation; ask the author to declassify"
        );
    }
}
