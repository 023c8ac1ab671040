//! The attacks that end at the decision, each with its number in the list of
//! threats. Those that end at the release are beside it.

use super::properties::allowed;
use super::*;

#[test]
fn attack_16_a_stale_node_queues_what_discloses_and_carries_the_rest() {
    let stale = Standing {
        roster: Roster::Stale,
        ..Standing::BEST
    };
    for marking in Marking::ALL {
        let key = decide(
            marking,
            Action::GrantKey,
            Subject::Peer(Peer::InAudience),
            stale,
        );
        assert!(!key.is_allowed(), "{marking}");
        let keep = Subject::Peer(Peer::InAudience);
        assert!(
            allowed(marking, Action::StoreCiphertext, keep, stale),
            "{marking}"
        );
        assert!(allowed(marking, Action::Open, keep, stale), "{marking}");
    }
    let node = Subject::Peer(Peer::InAudience);
    let carry = decide(Marking::AmberStrict, Action::RelayCiphertext, node, stale);
    assert!(carry.is_allowed());
    let red = decide(Marking::Red, Action::RelayCiphertext, node, stale);
    assert_eq!(red, Decision::Deny(DenyRule::RosterStale));
}

#[test]
fn attack_17_above_the_cut_is_kept_and_carried_and_nothing_else() {
    for question in Question::all() {
        if question.standing.author == AuthorStanding::Quarantined
            && !matches!(
                question.action,
                Action::StoreCiphertext | Action::RelayCiphertext
            )
        {
            assert!(!question.decide().is_allowed(), "{question:?}");
        }
    }
    let cut = Standing {
        author: AuthorStanding::Quarantined,
        ..Standing::BEST
    };
    for marking in Marking::ALL {
        let node = Subject::Peer(Peer::InAudience);
        assert!(allowed(marking, Action::StoreCiphertext, node, cut));
        // RED goes straight to its recipients in any case.
        let relayed = allowed(marking, Action::RelayCiphertext, node, cut);
        assert_eq!(
            relayed,
            allowed(marking, Action::RelayCiphertext, node, Standing::BEST)
        );
    }
}

#[test]
fn attack_25_a_node_outside_the_audience_opens_nothing_it_was_given() {
    for question in Question::all().filter(|q| q.action == Action::Open) {
        if question.marking > Marking::Clear && question.subject != Subject::Peer(Peer::InAudience)
        {
            assert!(!question.decide().is_allowed(), "{question:?}");
        }
    }
}

#[test]
fn attack_38_red_is_for_nodes_of_named_people_and_those_people() {
    for question in Question::all().filter(|q| q.marking == Marking::Red) {
        if question.decide().is_allowed() {
            let mailbox = question.subject == Subject::Peer(Peer::Hub)
                && question.standing.relay == AllowRelay::Given
                && question.action <= Action::StoreCiphertext;
            let node = question.subject == Subject::Peer(Peer::InAudience);
            let person = question.subject == Subject::Reader(Reader::NamedPerson);
            assert!(mailbox || node || person, "{question:?}");
        }
    }
}

#[test]
fn attack_45_clients_get_no_strict_and_no_amber_without_a_listing() {
    let export = |marking, reader| {
        decide(
            marking,
            Action::Export,
            Subject::Reader(reader),
            Standing::BEST,
        )
    };
    assert_eq!(
        export(Marking::AmberStrict, Reader::ListedClient),
        Decision::Deny(DenyRule::StrictOwnPeopleOnly)
    );
    assert_eq!(
        export(Marking::Amber, Reader::UnlistedClient),
        Decision::Deny(DenyRule::AmberListedClientsOnly)
    );
    assert_eq!(
        export(Marking::Amber, Reader::client(false, true)),
        Decision::Deny(DenyRule::AmberListedClientsOnly)
    );
    assert_eq!(
        export(Marking::Amber, Reader::ListedClient),
        Decision::Allow(AllowRule::ListedClient)
    );
}

#[test]
fn attack_47_a_count_tells_exactly_what_a_reading_tells() {
    for question in Question::all().filter(|q| q.action == Action::Count) {
        let shown = Question {
            action: Action::Show,
            ..question
        };
        assert_eq!(question.decide(), shown.decide());
    }
}

#[test]
fn attack_48_a_recalled_object_is_a_tombstone_for_everyone() {
    for question in Question::all().filter(|q| q.standing.life == Life::Live) {
        let standing = Standing {
            life: Life::Recalled,
            ..question.standing
        };
        let recalled = Question {
            standing,
            ..question
        };
        assert!(!recalled.decide().is_allowed(), "{recalled:?}");
        if question.decide().is_allowed() {
            assert_eq!(recalled.decide(), Decision::Deny(DenyRule::Recalled));
        }
    }
}
