//! The decision over its whole domain: the table once more by hand, and the
//! properties that no table shows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

use super::*;

/// The marking table as a person wrote it, independent of the rules: one row
/// for each marking, `+` allowed, `-` denied, `r` allowed only with
/// `allow-relay`. Columns are the subjects of the action, nearest first.
const BY_HAND: [(Action, [&str; 5]); 8] = [
    //                          CLEAR  GREEN  AMBER  STRICT  RED
    (Action::RelayCiphertext, ["+++", "+++", "+++", "+++", "+r-"]),
    (Action::StoreCiphertext, ["+++", "++-", "++-", "++-", "+r-"]),
    (Action::GrantKey, ["---", "+--", "+--", "+--", "+--"]),
    (Action::Open, ["+++", "+--", "+--", "+--", "+--"]),
    (
        Action::Show,
        ["++++++", "+++++-", "+++---", "++----", "+-----"],
    ),
    (
        Action::Count,
        ["++++++", "+++++-", "+++---", "++----", "+-----"],
    ),
    (
        Action::Export,
        ["++++++", "+++++-", "+++---", "++----", "+-----"],
    ),
    (
        Action::Notify,
        ["++++++", "+++++-", "+++---", "++----", "+-----"],
    ),
];

pub(crate) fn allowed(
    marking: Marking,
    action: Action,
    subject: Subject,
    standing: Standing,
) -> bool {
    decide(marking, action, subject, standing).is_allowed()
}

/// Whether the first membership is as good as the second: the three ways of
/// being out have one effect.
fn membership_as_good(a: Membership, b: Membership) -> bool {
    a == Membership::Current || b != Membership::Current
}

fn as_good(a: Standing, b: Standing) -> bool {
    a.life <= b.life
        && a.roster <= b.roster
        && membership_as_good(a.subject, b.subject)
        && a.author <= b.author
        && a.relay <= b.relay
        && a.exercise <= b.exercise
        && a.operator <= b.operator
}

#[test]
fn the_domain_is_what_its_comment_says() {
    let all: BTreeSet<Question> = Question::all().collect();
    assert_eq!(all.len(), 207_360);
    assert_eq!(
        Question::all().count(),
        all.len(),
        "a question appears twice"
    );
    // markings × actions × subjects × (life × roster × subject × author ×
    // relay × exercise × operator)
    assert_eq!(5 * 8 * 9 * (3 * 2 * 4 * 3 * 2 * 2 * 2), all.len());
    assert_eq!(Standing::all().next(), Some(Standing::BEST));
    assert_eq!(Standing::all().filter(|s| *s == Standing::WORST).count(), 1);
}

#[test]
fn the_table_says_what_a_person_wrote() {
    let withheld = Standing {
        relay: AllowRelay::Withheld,
        ..Standing::BEST
    };
    for (action, rows) in BY_HAND {
        let subjects: Vec<Subject> = match rows[0].len() {
            3 => Peer::ALL.into_iter().map(Subject::Peer).collect(),
            _ => Reader::ALL.into_iter().map(Subject::Reader).collect(),
        };
        for (marking, row) in Marking::ALL.into_iter().zip(rows) {
            assert_eq!(row.len(), subjects.len());
            for (subject, cell) in subjects.iter().zip(row.chars()) {
                let with = allowed(marking, action, *subject, Standing::BEST);
                let without = allowed(marking, action, *subject, withheld);
                let wanted = match cell {
                    '+' => (true, true),
                    'r' => (true, false),
                    '-' => (false, false),
                    other => panic!("no such cell: {other}"),
                };
                assert_eq!((with, without), wanted, "{marking} {action} {subject}");
            }
        }
        for subject in Subject::all().filter(|subject| !subjects.contains(subject)) {
            for marking in Marking::ALL {
                assert!(!allowed(marking, action, subject, Standing::BEST));
            }
        }
    }
}

#[test]
fn every_denial_has_a_reason_and_the_chain_ends_with_it() {
    for question in Question::all() {
        let decision = question.decide();
        let steps = question.explain();
        let (last, before) = steps.split_last().unwrap();
        let ends_with = match last.verdict {
            Verdict::Allowed(rule) => Decision::Allow(rule),
            Verdict::Denied(rule) => Decision::Deny(rule),
            Verdict::Passed => panic!("the chain has no end: {question:?}"),
        };
        assert_eq!(ends_with, decision, "{question:?}");
        assert!(before.iter().all(|step| step.verdict == Verdict::Passed));
        for (step, rule) in steps.iter().zip(RULES) {
            assert_eq!(step.name, rule.name, "the order of the rules");
        }
    }
}

#[test]
fn every_rule_decides_somewhere_and_no_name_means_two_things() {
    let reached: BTreeSet<Decision> = Question::all().map(|q| q.decide()).collect();
    let allows = AllowRule::ALL.into_iter().map(Decision::Allow);
    let denies = DenyRule::ALL.into_iter().map(Decision::Deny);
    let all: BTreeSet<Decision> = allows.chain(denies).collect();
    assert_eq!(reached, all);
    let names: BTreeSet<&str> = all.iter().map(|decision| decision.rule()).collect();
    assert_eq!(names.len(), all.len());
    for decision in all {
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(decision.rule().chars().all(plain), "{decision}");
        assert!(!decision.about().ends_with('.'), "{decision}");
        match decision {
            Decision::Allow(rule) => assert_eq!(AllowRule::from_name(rule.name()), Some(rule)),
            Decision::Deny(rule) => {
                assert_eq!(DenyRule::from_name(rule.name()), Some(rule));
                let says_what_to_do = rule.about().contains(';') || rule.about().contains(',');
                assert!(says_what_to_do, "{decision}");
            }
        }
    }
    assert_eq!(DenyRule::from_name("clear-anyone"), None);
}

/// The one exception is no leak: at CLEAR there is nothing to open.
#[test]
fn what_is_denied_is_denied_at_every_stricter_marking() {
    let mut exceptions = BTreeSet::new();
    for question in Question::all().filter(|question| !question.decide().is_allowed()) {
        for marking in Marking::ALL.into_iter().filter(|m| *m > question.marking) {
            let stricter = Question {
                marking,
                ..question
            };
            if stricter.decide().is_allowed() {
                exceptions.insert((question.marking, question.action, question.subject));
            }
        }
    }
    let key_in_clear = (
        Marking::Clear,
        Action::GrantKey,
        Subject::Peer(Peer::InAudience),
    );
    assert_eq!(exceptions, BTreeSet::from([key_in_clear]));
}

#[test]
fn whoever_stands_nearer_never_gets_less() {
    for question in Question::all().filter(|question| question.decide().is_allowed()) {
        let nearer: Vec<Subject> = match question.subject {
            Subject::Peer(far) => {
                let peers = Peer::ALL.into_iter().filter(|peer| *peer < far);
                peers.map(Subject::Peer).collect()
            }
            Subject::Reader(far) => {
                let readers = Reader::ALL.into_iter().filter(|reader| *reader < far);
                readers.map(Subject::Reader).collect()
            }
        };
        for subject in nearer {
            let nearer = Question {
                subject,
                ..question
            };
            assert!(nearer.decide().is_allowed(), "{nearer:?}");
        }
    }
}

#[test]
fn a_worse_standing_never_allows_more() {
    let standings: Vec<Standing> = Standing::all().collect();
    let tables: Vec<Vec<bool>> = standings
        .iter()
        .map(|s| {
            Question::all_at(*s)
                .map(|q| q.decide().is_allowed())
                .collect()
        })
        .collect();
    for (better, more) in standings.iter().zip(&tables) {
        for (worse, less) in standings.iter().zip(&tables) {
            if as_good(*better, *worse) {
                let grows = less.iter().zip(more).any(|(less, more)| *less && !*more);
                assert!(!grows, "{worse:?} allows more than {better:?}");
            }
        }
    }
    assert!(Question::all_at(Standing::WORST).all(|q| !q.decide().is_allowed()));
}

#[test]
fn suspended_and_distrusted_are_removed_for_as_long_as_it_lasts() {
    for question in Question::all() {
        if question.standing.subject != Membership::Current {
            assert!(!question.decide().is_allowed(), "{question:?}");
        }
    }
}

#[test]
fn the_public_never_gets_above_clear() {
    for question in Question::all() {
        if question.subject == Subject::Reader(Reader::Public) && question.marking > Marking::Clear
        {
            assert!(!question.decide().is_allowed(), "{question:?}");
        }
    }
}

#[test]
fn no_marking_above_clear_lets_everybody_do_anything_but_carry() {
    for marking in Marking::ALL.into_iter().filter(|m| *m > Marking::Clear) {
        for action in Action::ALL {
            let everybody = Peer::ALL
                .into_iter()
                .all(|p| allowed(marking, action, Subject::Peer(p), Standing::BEST))
                || Reader::ALL
                    .into_iter()
                    .all(|r| allowed(marking, action, Subject::Reader(r), Standing::BEST));
            let carry = action == Action::RelayCiphertext && marking < Marking::Red;
            assert_eq!(everybody, carry, "{marking} {action}");
        }
    }
}

#[test]
fn allow_relay_changes_red_at_hubs_and_nothing_else() {
    let mut changed = BTreeSet::new();
    for question in Question::all() {
        let with = |relay| {
            let standing = Standing {
                relay,
                ..question.standing
            };
            Question {
                standing,
                ..question
            }
            .decide()
        };
        if with(AllowRelay::Given) != with(AllowRelay::Withheld) {
            changed.insert((question.marking, question.action, question.subject));
        }
    }
    let hub = Subject::Peer(Peer::Hub);
    let relay = (Marking::Red, Action::RelayCiphertext, hub);
    let store = (Marking::Red, Action::StoreCiphertext, hub);
    assert_eq!(changed, BTreeSet::from([relay, store]));
}

#[test]
fn a_blind_holder_decides_as_one_who_reads_the_label() {
    for question in Question::all() {
        let carried = [Action::RelayCiphertext, Action::StoreCiphertext];
        let sealed = [Marking::Green, Marking::Amber, Marking::AmberStrict];
        if carried.contains(&question.action) && sealed.contains(&question.marking) {
            let blind = Question {
                marking: SEALED_UNREAD,
                ..question
            };
            assert_eq!(blind.decide(), question.decide());
        }
    }
}

#[test]
fn keys_imply_opening_and_every_disclosure_implies_showing() {
    for question in Question::all().filter(|question| question.decide().is_allowed()) {
        let implied: &[Action] = match question.action {
            Action::GrantKey => &[Action::Open, Action::RelayCiphertext],
            Action::Open => &[Action::StoreCiphertext],
            Action::Count | Action::Export | Action::Notify => &[Action::Show],
            Action::Show => &[Action::Count],
            Action::RelayCiphertext | Action::StoreCiphertext => &[],
        };
        for action in implied {
            let implied = Question {
                action: *action,
                ..question
            };
            assert!(
                implied.decide().is_allowed(),
                "{question:?} without {action}"
            );
        }
    }
}

#[test]
fn contradictory_facts_place_the_subject_farthest() {
    assert_eq!(Reader::client(false, true), Reader::Public);
    assert_eq!(Reader::client(false, false), Reader::Public);
    assert_eq!(Reader::client(true, false), Reader::UnlistedClient);
    assert_eq!(Reader::client(true, true), Reader::ListedClient);
    for reader in Reader::ALL {
        assert_eq!(reader.at(Peer::InAudience), reader);
        assert_eq!(reader.at(Peer::Outside), Reader::Public);
        assert_eq!(reader.at(Peer::Hub), Reader::Public);
    }
    assert_eq!(Peer::of(false, false), Peer::Outside);
    assert_eq!(Peer::of(false, true), Peer::Hub);
    assert_eq!(Peer::of(true, true), Peer::InAudience);
    assert_eq!(Peer::of(true, false), Peer::InAudience);
}

#[test]
fn expired_is_history_for_those_who_hold_it() {
    for question in Question::all().filter(|q| q.standing.life == Life::Expired) {
        if question.decide().is_allowed() {
            let kept = question.action == Action::StoreCiphertext
                && question.subject == Subject::Peer(Peer::InAudience);
            let own = [Reader::NamedPerson, Reader::LocalPerson].map(Subject::Reader);
            let read = [Action::Show, Action::Count].contains(&question.action)
                && own.contains(&question.subject);
            assert!(kept || read, "{question:?}");
        }
    }
    let expired = Standing {
        life: Life::Expired,
        ..Standing::BEST
    };
    let own = Subject::Reader(Reader::LocalPerson);
    assert!(allowed(Marking::Amber, Action::Show, own, expired));
    let node = Subject::Peer(Peer::InAudience);
    assert!(allowed(
        Marking::Amber,
        Action::StoreCiphertext,
        node,
        expired
    ));
}

#[test]
fn what_was_taken_of_a_distrusted_author_stays_with_own_people() {
    let distrusted = |question: &Question| question.standing.author == AuthorStanding::Distrusted;
    for question in Question::all().filter(distrusted) {
        let trusted = Question {
            standing: Standing {
                author: AuthorStanding::Ok,
                ..question.standing
            },
            ..question
        };
        let own = [Reader::NamedPerson, Reader::LocalPerson].map(Subject::Reader);
        let read = [Action::Show, Action::Count].contains(&question.action)
            && own.contains(&question.subject);
        let envelope = matches!(question.subject, Subject::Peer(_));
        if read || envelope {
            assert_eq!(
                question.decide().is_allowed(),
                trusted.decide().is_allowed(),
                "{question:?}"
            );
        } else {
            assert!(!question.decide().is_allowed(), "{question:?}");
        }
    }
}

#[test]
fn drill_data_reaches_no_export_and_everything_else() {
    for question in Question::all().filter(|q| q.action == Action::Export) {
        if question.standing.exercise == Exercise::Drill {
            assert!(!question.decide().is_allowed(), "{question:?}");
        }
    }
    // And nothing else: people are told of a drill all the same.
    for question in Question::all().filter(|q| q.action != Action::Export) {
        let standing = Standing {
            exercise: Exercise::Real,
            ..question.standing
        };
        let real = Question {
            standing,
            ..question
        };
        assert_eq!(question.decide(), real.decide(), "{question:?}");
    }
}

#[test]
fn an_explanation_reads_like_this() {
    let stale = Standing {
        roster: Roster::Stale,
        ..Standing::BEST
    };
    let node = Subject::Peer(Peer::InAudience);
    let lines: Vec<String> = explain(Marking::Amber, Action::GrantKey, node, stale)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        lines.join("\n"),
        "marking: Does the marking let this subject have this? Passed.\n\
         recall: Is it free of a recall? Passed.\n\
         subject: Is the subject a current member, or a valid reader, whom this node trusts? Passed.\n\
         author: Is its author trusted here and it out of quarantine, or is it only kept, or read as before? Passed.\n\
         expiry: Is it live, or is this history for those who hold it? Passed.\n\
         freshness: Is the roster fresh, or does this disclose nothing? deny (roster-stale): \
         this node has not heard from enough members lately to seal or send this; \
         it waits in the queue, check the connections"
    );
    let ok = explain(
        Marking::Clear,
        Action::Show,
        Subject::Reader(Reader::Public),
        Standing::BEST,
    );
    let last = ok.last().map(ToString::to_string).unwrap();
    assert_eq!(
        last,
        "outcome: Is there a rule for it? allow (clear-anyone): TLP:CLEAR may go to anyone"
    );
}

#[test]
fn a_subject_is_named_and_described_as_the_one_it_is() {
    for peer in Peer::ALL {
        let subject = Subject::Peer(peer);
        assert_eq!(
            (subject.name(), subject.about()),
            (peer.name(), peer.about())
        );
    }
    for reader in Reader::ALL {
        let subject = Subject::Reader(reader);
        assert_eq!(
            (subject.name(), subject.about()),
            (reader.name(), reader.about())
        );
    }
    let names: BTreeSet<String> = Subject::all().map(|it| it.to_string()).collect();
    assert_eq!(names.len(), 9);
}
