//! The rules, in the order in which they are asked.
//!
//! The marking comes first, because its answer lasts: who is told "stale
//! roster, wait" and afterwards "not for you" was told the wrong thing first.
//! The circumstances follow, the ones that cannot be mended before the others.

use super::decision::AllowRule;
use super::decision::Decision;
use super::decision::DenyRule;
use super::decision::Step;
use super::decision::Verdict;
use super::question::Action;
use super::question::AllowRelay;
use super::question::AuthorStanding;
use super::question::Exercise;
use super::question::Life;
use super::question::Membership;
use super::question::Operator;
use super::question::Peer;
use super::question::Question;
use super::question::Reader;
use super::question::Roster;
use super::question::Subject;
use crate::marking::Marking;

/// One rule. It can deny or let pass; it has no way to allow.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Stable name, in kebab case.
    pub name: &'static str,
    /// What it asks, as a question for people.
    pub asks: &'static str,
    check: fn(&Question) -> Result<(), DenyRule>,
}

impl Rule {
    /// Asks this rule alone.
    ///
    /// # Errors
    ///
    /// The denial, when the rule is against it.
    pub fn check(&self, question: &Question) -> Result<(), DenyRule> {
        (self.check)(question)
    }
}

/// Every rule, in order: the first that denies decides.
pub const RULES: [Rule; 8] = [
    Rule {
        name: "marking",
        asks: "Does the marking let this subject have this?",
        check: |question| cell(question).map(|_| ()),
    },
    Rule {
        name: "recall",
        asks: "Is it free of a recall?",
        check: recall,
    },
    Rule {
        name: "subject",
        asks: "Is the subject a current member, or a valid reader, whom this node trusts?",
        check: subject,
    },
    Rule {
        name: "author",
        asks: "Is its author trusted here and it out of quarantine, or is it only kept, or read as before?",
        check: author,
    },
    Rule {
        name: "expiry",
        asks: "Is it live, or is this history for those who hold it?",
        check: expiry,
    },
    Rule {
        name: "freshness",
        asks: "Is the roster fresh, or does this disclose nothing?",
        check: freshness,
    },
    Rule {
        name: "exercise",
        asks: "Is it real, or kept away from sensors?",
        check: exercise,
    },
    Rule {
        name: "operator",
        asks: "Do the operator's own rules leave it be?",
        check: operator,
    },
];

impl Question {
    /// Decides this question; see [`decide`](super::decide).
    pub fn decide(&self) -> Decision {
        match RULES.iter().find_map(|rule| rule.check(self).err()) {
            Some(denied) => Decision::Deny(denied),
            None => match cell(self) {
                Ok(rule) => Decision::Allow(rule),
                Err(rule) => Decision::Deny(rule),
            },
        }
    }

    /// The chain behind the decision; see [`explain`](super::explain).
    pub fn explain(&self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(RULES.len() + 1);
        for rule in RULES {
            let checked = rule.check(self);
            steps.push(Step {
                name: rule.name,
                asks: rule.asks,
                verdict: checked.map_or_else(Verdict::Denied, |()| Verdict::Passed),
            });
            if checked.is_err() {
                return steps;
            }
        }
        steps.push(Step {
            name: "outcome",
            asks: "Is there a rule for it?",
            verdict: cell(self).map_or_else(Verdict::Denied, Verdict::Allowed),
        });
        steps
    }
}

/// The marking table at best standing: one cell for every marking, action and
/// subject.
fn cell(question: &Question) -> Result<AllowRule, DenyRule> {
    let marking = question.marking;
    match (question.action, question.subject) {
        (Action::RelayCiphertext, Subject::Peer(peer)) => {
            relay(marking, peer, question.standing.relay)
        }
        (Action::StoreCiphertext, Subject::Peer(peer)) => {
            store(marking, peer, question.standing.relay)
        }
        (Action::GrantKey, Subject::Peer(peer)) => grant_key(marking, peer),
        (Action::Open, Subject::Peer(peer)) => open(marking, peer),
        (
            Action::RelayCiphertext | Action::StoreCiphertext | Action::GrantKey | Action::Open,
            Subject::Reader(_),
        ) => Err(DenyRule::NotANode),
        // A number, an export or a notice tells what a reading would tell, so
        // all four have one rule.
        (
            Action::Show | Action::Count | Action::Export | Action::Notify,
            Subject::Reader(reader),
        ) => disclose(marking, reader),
        (Action::Show | Action::Count | Action::Export | Action::Notify, Subject::Peer(_)) => {
            Err(DenyRule::NotAReader)
        }
    }
}

/// Sealed ciphertext is public inside the federation: relaying it blindly is
/// what makes the mesh work. RED is in no stream and travels by itself.
fn relay(marking: Marking, peer: Peer, allow: AllowRelay) -> Result<AllowRule, DenyRule> {
    match marking {
        Marking::Clear => Ok(AllowRule::ClearAnyone),
        Marking::Green | Marking::Amber | Marking::AmberStrict => {
            Ok(AllowRule::CiphertextToMembers)
        }
        Marking::Red => red_envelope(peer, allow),
    }
}

/// Whoever is neither in the audience nor a hub keeps the header, never the
/// body, of what is sealed.
fn store(marking: Marking, peer: Peer, allow: AllowRelay) -> Result<AllowRule, DenyRule> {
    match marking {
        Marking::Clear => Ok(AllowRule::ClearAnyone),
        Marking::Green | Marking::Amber | Marking::AmberStrict => match peer {
            Peer::InAudience => Ok(AllowRule::AudienceHolds),
            Peer::Hub => Ok(AllowRule::HubHolds),
            Peer::Outside => Err(DenyRule::NotAHolder),
        },
        Marking::Red => red_envelope(peer, allow),
    }
}

/// A RED envelope goes to its one destination, or waits at a hub where the
/// author said so; sending and keeping are one question there.
fn red_envelope(peer: Peer, allow: AllowRelay) -> Result<AllowRule, DenyRule> {
    match (peer, allow) {
        (Peer::InAudience, AllowRelay::Given | AllowRelay::Withheld) => Ok(AllowRule::RedDirect),
        (Peer::Hub, AllowRelay::Given) => Ok(AllowRule::RedByMailbox),
        (Peer::Hub, AllowRelay::Withheld) => Err(DenyRule::RedWithoutAllowRelay),
        (Peer::Outside, AllowRelay::Given | AllowRelay::Withheld) => Err(DenyRule::RedDirectOnly),
    }
}

/// Keys follow the signed audience and nothing else.
fn grant_key(marking: Marking, peer: Peer) -> Result<AllowRule, DenyRule> {
    if marking == Marking::Clear {
        return Err(DenyRule::NoKeyInClear);
    }
    match peer {
        Peer::InAudience => Ok(AllowRule::KeyToAudience),
        Peer::Hub | Peer::Outside => Err(DenyRule::NotInAudience),
    }
}

/// A node that got hold of a key without being in the audience does not open.
fn open(marking: Marking, peer: Peer) -> Result<AllowRule, DenyRule> {
    if marking == Marking::Clear {
        return Ok(AllowRule::ClearAnyone);
    }
    match peer {
        Peer::InAudience => Ok(AllowRule::AudienceOpens),
        Peer::Hub | Peer::Outside => Err(DenyRule::NotInAudience),
    }
}

/// The farthest reader a marking reaches, and what it says to whoever stands
/// farther. CLEAR has no such limit.
fn reach(marking: Marking) -> Option<(Reader, DenyRule)> {
    match marking {
        Marking::Clear => None,
        Marking::Green => Some((Reader::Partner, DenyRule::GreenCommunityOnly)),
        Marking::Amber => Some((Reader::ListedClient, DenyRule::AmberListedClientsOnly)),
        Marking::AmberStrict => Some((Reader::LocalPerson, DenyRule::StrictOwnPeopleOnly)),
        Marking::Red => Some((Reader::NamedPerson, DenyRule::RedNamedOnly)),
    }
}

fn disclose(marking: Marking, reader: Reader) -> Result<AllowRule, DenyRule> {
    let Some((farthest, beyond)) = reach(marking) else {
        return Ok(AllowRule::ClearAnyone);
    };
    if reader > farthest {
        return Err(beyond);
    }
    if marking == Marking::Red {
        return Ok(AllowRule::NamedPerson);
    }
    match reader {
        Reader::NamedPerson | Reader::LocalPerson => Ok(AllowRule::OwnPeople),
        Reader::ListedClient => Ok(AllowRule::ListedClient),
        Reader::UnlistedClient | Reader::Partner => Ok(AllowRule::Community),
        // No sealed marking reaches the public; should one ever, it is denied.
        Reader::Public => Err(beyond),
    }
}

/// What was recalled is a tombstone, for everyone and every purpose.
fn recall(question: &Question) -> Result<(), DenyRule> {
    match question.standing.life {
        Life::Live | Life::Expired => Ok(()),
        Life::Recalled => Err(DenyRule::Recalled),
    }
}

/// Whoever is out gets nothing, CLEAR included: there is no connection.
fn subject(question: &Question) -> Result<(), DenyRule> {
    match question.standing.subject {
        Membership::Current => Ok(()),
        Membership::Suspended => Err(DenyRule::Suspended),
        Membership::Removed => Err(DenyRule::NotInRoster),
        Membership::Distrusted => Err(DenyRule::LocallyDistrusted),
    }
}

/// Quarantine keeps the envelope and carries it on, as it came, so that a person
/// can accept it later, and everybody can judge: an honest node that stopped it
/// would also stop the proof. It finds no reader and no machine. What
/// was taken before its author was distrusted stays with this node's own people,
/// who took it, and goes to no reader and no machine beyond them. As an envelope
/// it is as before: others judge its author by themselves, and one member does
/// not decide what they can have.
fn author(question: &Question) -> Result<(), DenyRule> {
    let stays = match (question.action, question.subject) {
        (
            Action::RelayCiphertext | Action::StoreCiphertext | Action::GrantKey | Action::Open,
            Subject::Peer(_),
        ) => true,
        (Action::Show | Action::Count, Subject::Reader(reader)) => reader <= Reader::LocalPerson,
        (
            Action::RelayCiphertext | Action::StoreCiphertext | Action::GrantKey | Action::Open,
            Subject::Reader(_),
        )
        | (Action::Export | Action::Notify, Subject::Peer(_) | Subject::Reader(_))
        | (Action::Show | Action::Count, Subject::Peer(_)) => false,
    };
    let carries = matches!(
        question.action,
        Action::StoreCiphertext | Action::RelayCiphertext
    );
    match question.standing.author {
        AuthorStanding::Ok => Ok(()),
        AuthorStanding::Distrusted if stays => Ok(()),
        AuthorStanding::Distrusted => Err(DenyRule::AuthorDistrusted),
        AuthorStanding::Quarantined if carries => Ok(()),
        AuthorStanding::Quarantined => Err(DenyRule::AuthorQuarantined),
    }
}

/// After its not-after nothing new begins with an object. Who opened it in time
/// keeps it, and its own people read it as history.
fn expiry(question: &Question) -> Result<(), DenyRule> {
    let history = match (question.action, question.subject) {
        (Action::StoreCiphertext, Subject::Peer(peer)) => peer == Peer::InAudience,
        (Action::Show | Action::Count, Subject::Reader(reader)) => reader <= Reader::LocalPerson,
        (
            Action::RelayCiphertext
            | Action::GrantKey
            | Action::Open
            | Action::Export
            | Action::Notify,
            Subject::Peer(_) | Subject::Reader(_),
        )
        | (Action::StoreCiphertext, Subject::Reader(_))
        | (Action::Show | Action::Count, Subject::Peer(_)) => false,
    };
    match question.standing.life {
        Life::Live => Ok(()),
        Life::Expired if history => Ok(()),
        Life::Expired | Life::Recalled => Err(DenyRule::Expired),
    }
}

/// A stale node might not know of a removal, so it hands out no key, seals
/// nothing, and sends nothing that its receiver can open with what it has: a
/// RED envelope carries its own slot. All other ciphertext opens nothing by
/// itself, and a blind relay cannot see which limit would apply.
fn freshness(question: &Question) -> Result<(), DenyRule> {
    let discloses = match question.action {
        Action::GrantKey => true,
        Action::RelayCiphertext => question.marking == Marking::Red,
        Action::StoreCiphertext
        | Action::Open
        | Action::Show
        | Action::Count
        | Action::Export
        | Action::Notify => false,
    };
    match question.standing.roster {
        Roster::Stale if discloses => Err(DenyRule::RosterStale),
        Roster::Fresh | Roster::Stale => Ok(()),
    }
}

/// A node cannot see which machine reads an export in the end, so every export
/// counts as one for a sensor. People are told of a drill all the same.
fn exercise(question: &Question) -> Result<(), DenyRule> {
    match question.standing.exercise {
        Exercise::Drill if question.action == Action::Export => Err(DenyRule::DrillNotExported),
        Exercise::Real | Exercise::Drill => Ok(()),
    }
}

/// An operator may deny more than the author did, never less.
fn operator(question: &Question) -> Result<(), DenyRule> {
    match question.standing.operator {
        Operator::Silent => Ok(()),
        Operator::Refuses => Err(DenyRule::OperatorRule),
    }
}
