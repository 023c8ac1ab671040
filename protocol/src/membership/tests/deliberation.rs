//! From a proposal to a link of the chain.

use super::federation::{Desk, Federation, NOW_MS, Turned, list, sign_vote};
use crate::gate::{NoticeRefusal, Slot};
use crate::membership::NotNews;
use crate::roster::{Lack, Step, Successor, VoteRefusal};
use crate::wire::Text;
use crate::wire::card::Role;
use crate::wire::roster::{Change, CommunityRule, VoteBy};

fn proposed(of: &Federation, by: usize, changes: Vec<Change>, desk: &mut Desk) -> Successor {
    let successor = of.propose(by, NOW_MS, changes);
    desk.later(&of.proposal(by, &successor)).unwrap();
    successor
}

fn observer(of: &Federation, member: usize) -> Vec<Change> {
    vec![of.settle(member, Role::Observer)]
}

fn prepare(desk: &mut Desk, of: &Federation, who: &[usize], what: &Successor, round: u32) {
    for by in who {
        let may = desk.membership.deliberation().may_prepare(
            &desk.roster,
            &of.id(*by),
            round,
            &what.id(),
        );
        assert_eq!(may, Ok(()), "{by}");
        desk.later(&of.prepare(*by, what.id(), round)).unwrap();
    }
}

fn commit(desk: &mut Desk, of: &Federation, who: &[usize], what: &Successor, round: u32) {
    for by in who {
        assert_eq!(may_commit(desk, of, *by, what, round), Ok(()), "{by}");
        let commit = of.commit_on(*by, what.id(), round, prepared(desk, of, what, round));
        desk.later(&commit).unwrap();
    }
}

/// Whose prepares are held.
fn prepared(desk: &Desk, of: &Federation, what: &Successor, round: u32) -> Vec<usize> {
    let ballot = desk.membership.deliberation().ballot();
    let is_cast = |by: &usize| ballot.is_cast(Step::Prepare, &of.id(*by), round, &what.id());
    (0..of.len()).filter(is_cast).collect()
}

fn may_prepare(
    desk: &Desk,
    of: &Federation,
    by: usize,
    what: &Successor,
    round: u32,
) -> Result<(), VoteRefusal> {
    let deliberation = desk.membership.deliberation();
    deliberation.may_prepare(&desk.roster, &of.id(by), round, &what.id())
}

fn may_commit(
    desk: &Desk,
    of: &Federation,
    by: usize,
    what: &Successor,
    round: u32,
) -> Result<(), VoteRefusal> {
    let deliberation = desk.membership.deliberation();
    deliberation.may_commit(&desk.roster, &of.id(by), round, &what.id())
}

fn decided(desk: &Desk) -> Option<crate::wire::roster::Link> {
    desk.membership.deliberation().decided(&desk.roster)
}

#[test]
fn prepared_committed_and_consented_to_it_is_a_link_that_everybody_follows() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let (newcomer, admit) = Federation::newcomer(1);
    let successor = proposed(&four, 0, vec![admit], &mut desk);
    assert_eq!(
        may_prepare(&desk, &four, 1, &successor, 1),
        Err(VoteRefusal::NoConsent)
    );
    desk.later(&four.consent(&newcomer, successor.id()))
        .unwrap();
    prepare(&mut desk, &four, &[0, 1], &successor, 1);
    assert_eq!(
        may_commit(&desk, &four, 0, &successor, 1),
        Err(VoteRefusal::NotPrepared)
    );
    prepare(&mut desk, &four, &[2], &successor, 1);
    commit(&mut desk, &four, &[0, 1], &successor, 1);
    let candidate = desk
        .membership
        .deliberation()
        .candidate(&successor.id())
        .unwrap();
    assert_eq!(
        desk.membership.deliberation().lacks(candidate, 1),
        [Lack::Votes { have: 2, need: 3 }]
    );
    assert_eq!(decided(&desk), None);
    commit(&mut desk, &four, &[3], &successor, 1);
    let link = decided(&desk).unwrap();
    let next = four.roster.follow(&link).unwrap();
    assert_eq!((next.epoch(), next.id()), (1, successor.id()));
    assert_eq!(next.members().count(), 5);
    // What was about the roster before is over, and what is said of it comes to
    // nothing.
    let dropped = desk.membership.roster_changed(&next);
    assert_eq!(dropped.len(), 1 + 1 + 3 + 3);
    assert!(desk.membership.held.is_empty());
    desk.roster = next;
    for frame in [
        four.commit(0, successor.id(), 1),
        four.prepare(0, successor.id(), 1),
        four.proposal(0, &successor),
        four.consent(&newcomer, successor.id()),
    ] {
        assert!(
            matches!(desk.later(&frame), Err(Turned::Away(_))),
            "attack 14"
        );
    }
}

#[test]
fn without_the_consent_of_every_new_root_there_is_no_link() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let (one, admit) = Federation::newcomer(1);
    let (two, admit_two) = Federation::newcomer(2);
    let successor = proposed(&four, 0, vec![admit, admit_two], &mut desk);
    let id = successor.id();
    for by in 0..4 {
        desk.later(&four.prepare(by, id, 1)).unwrap();
        desk.later(&four.commit(by, id, 1)).unwrap();
    }
    assert_eq!(decided(&desk), None);
    desk.later(&four.consent(&one, id)).unwrap();
    assert_eq!(decided(&desk), None);
    assert_eq!(
        may_prepare(&desk, &four, 0, &successor, 1),
        Err(VoteRefusal::NoConsent)
    );
    // Somebody else's consent, and one to what is not held, are nothing.
    let stranger = Federation::stranger(3);
    let unasked = desk.later(&four.consent(&stranger, id)).unwrap_err();
    assert_eq!(unasked, Turned::Back(NotNews::NoProposal));
    let unknown = crate::ids::RosterId::from_bytes([1; 32]);
    let unheld = desk.later(&four.consent(&two, unknown)).unwrap_err();
    assert_eq!(unheld, Turned::Back(NotNews::NoProposal));
    desk.later(&four.consent(&two, id)).unwrap();
    assert!(four.roster.follow(&decided(&desk).unwrap()).is_ok());
}

#[test]
fn attack_15_whoever_votes_often_counts_once() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let changes = observer(&four, 3);
    let successor = proposed(&four, 0, changes, &mut desk);
    let id = successor.id();
    for serial in 2..=5 {
        let (node, frame) = four.renewal(3, serial, NOW_MS);
        let Slot::Certificate(certificate) = desk.later(&frame).unwrap().slot else {
            panic!("it is a certificate");
        };
        let mut vote = four.prepare_said(3, id, 1);
        vote.by = VoteBy::Prepare { certificate };
        let _ = desk.later(&sign_vote(&vote, &node.signing));
    }
    desk.later(&four.prepare(2, id, 1)).unwrap();
    assert_eq!(
        may_commit(&desk, &four, 0, &successor, 1),
        Err(VoteRefusal::NotPrepared)
    );
    for round in 1..=8 {
        desk.later(&four.commit(3, id, round)).unwrap();
        let again = desk.later(&four.commit(3, id, round)).unwrap_err();
        assert_eq!(again, Turned::Back(NotNews::Held));
    }
    desk.later(&four.commit(2, id, 1)).unwrap();
    assert_eq!(decided(&desk), None);
    // A vote of another round is none of this one.
    desk.later(&four.commit(1, id, 2)).unwrap();
    assert_eq!(decided(&desk), None);
    desk.later(&four.commit(1, id, 1)).unwrap();
    assert_eq!(decided(&desk).unwrap().commits.len(), 3);
}

#[test]
fn a_split_round_is_resolved_in_the_next() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let (one, other) = (observer(&four, 2), observer(&four, 3));
    let one = proposed(&four, 0, one, &mut desk);
    let other = proposed(&four, 1, other, &mut desk);
    prepare(&mut desk, &four, &[0, 2], &one, 1);
    prepare(&mut desk, &four, &[1, 3], &other, 1);
    for by in 0..4 {
        assert_eq!(
            may_commit(&desk, &four, by, &one, 1),
            Err(VoteRefusal::NotPrepared)
        );
        assert_eq!(
            may_commit(&desk, &four, by, &other, 1),
            Err(VoteRefusal::NotPrepared)
        );
    }
    assert_eq!(
        may_prepare(&desk, &four, 1, &one, 1),
        Err(VoteRefusal::OtherInRound)
    );
    prepare(&mut desk, &four, &[0, 1, 2], &one, 2);
    commit(&mut desk, &four, &[0, 1, 2], &one, 2);
    let link = decided(&desk).unwrap();
    assert_eq!((link.id(), link.round), (one.id(), 2));
    assert!(four.roster.follow(&link).is_ok());
    // Who committed it prepares nothing else, however many rounds go by.
    for round in 3..6 {
        assert_eq!(
            may_prepare(&desk, &four, 0, &other, round),
            Err(VoteRefusal::Locked)
        );
    }
    // Nor does who did not, and a cheat that does decides nothing.
    assert_eq!(
        may_prepare(&desk, &four, 3, &other, 5),
        Err(VoteRefusal::Locked)
    );
    desk.later(&four.prepare(3, other.id(), 5)).unwrap();
    assert_eq!(
        may_commit(&desk, &four, 3, &other, 5),
        Err(VoteRefusal::NotPrepared)
    );
}

#[test]
fn a_cheat_that_votes_for_both_decides_neither() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let (one, other) = (observer(&four, 2), observer(&four, 3));
    let one = proposed(&four, 0, one, &mut desk);
    let other = proposed(&four, 1, other, &mut desk);
    prepare(&mut desk, &four, &[0], &one, 1);
    prepare(&mut desk, &four, &[1, 2], &other, 1);
    for successor in [&one, &other] {
        desk.later(&four.prepare(3, successor.id(), 1)).unwrap();
    }
    // It cannot show that a quorum prepared both.
    let both = [&one, &other].map(|successor| {
        let prepared = prepared(&desk, &four, successor, 1);
        desk.later(&four.commit_on(3, successor.id(), 1, prepared))
    });
    let not_prepared = Turned::Away(NoticeRefusal::NotPrepared);
    assert!(matches!(&both, [Err(why), Ok(_)] if *why == not_prepared));
    assert_eq!(
        may_commit(&desk, &four, 0, &one, 1),
        Err(VoteRefusal::NotPrepared)
    );
    commit(&mut desk, &four, &[1, 2], &other, 1);
    assert_eq!(decided(&desk).unwrap().id(), other.id());
    let deliberation = desk.membership.deliberation();
    let cheats: Vec<_> = deliberation.ballot().double_voters().into_iter().collect();
    assert_eq!(cheats, [&four.id(3)]);
}

#[test]
fn votes_count_that_came_before_their_proposal() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let successor = four.propose(0, NOW_MS, observer(&four, 3));
    for by in 0..3 {
        desk.later(&four.prepare(by, successor.id(), 1)).unwrap();
        desk.later(&four.commit(by, successor.id(), 1)).unwrap();
    }
    assert_eq!(decided(&desk), None);
    assert_eq!(
        may_prepare(&desk, &four, 3, &successor, 1),
        Err(VoteRefusal::NotHeld)
    );
    assert_eq!(
        may_commit(&desk, &four, 3, &successor, 1),
        Err(VoteRefusal::NotHeld)
    );
    desk.later(&four.proposal(0, &successor)).unwrap();
    assert_eq!(decided(&desk).unwrap().id(), successor.id());
}

#[test]
fn a_proposal_that_has_votes_stays_beside_a_newer_one_of_its_proposer() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let older = four.propose(0, NOW_MS - 2, observer(&four, 2));
    let newer = four.propose(0, NOW_MS - 1, observer(&four, 3));
    desk.later(&four.proposal(0, &newer)).unwrap();
    let refused = desk.later(&four.proposal(0, &older)).unwrap_err();
    assert_eq!(refused, Turned::Back(NotNews::TooMany));
    desk.later(&four.prepare(1, older.id(), 1)).unwrap();
    let taken = desk.later(&four.proposal(0, &older)).unwrap();
    assert_eq!(taken.dropped, [], "the newer one is not worse for it");
    let deliberation = desk.membership.deliberation();
    assert!(deliberation.candidate(&older.id()).is_some());
    assert!(deliberation.candidate(&newer.id()).is_some());
}

#[test]
fn a_consent_counts_again_when_its_proposal_comes_back() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let (newcomer, admit) = Federation::newcomer(1);
    let first = four.propose(0, NOW_MS - 2, vec![admit]);
    let consent = four.consent(&newcomer, first.id());
    desk.later(&four.proposal(0, &first)).unwrap();
    let slot = desk.later(&consent).unwrap().slot;
    // Its proposer thinks better of it, and a member votes for it all the same.
    let second = four.propose(0, NOW_MS - 1, observer(&four, 3));
    let dropped = desk.later(&four.proposal(0, &second)).unwrap().dropped;
    assert!(dropped.contains(&Slot::Proposal(first.id())) && dropped.contains(&slot));
    desk.later(&four.prepare(1, first.id(), 1)).unwrap();
    desk.later(&four.proposal(0, &first)).unwrap();
    desk.later(&consent).unwrap();
    assert_eq!(may_prepare(&desk, &four, 2, &first, 1), Ok(()));
}

#[test]
fn nobody_votes_before_the_community_that_is_asked_has_consented() {
    let four = Federation::of(4);
    let rule = CommunityRule::Named {
        members: list(vec![four.id(3)]),
        of: 1,
    };
    let name = Text::new("eu").unwrap();
    let change = |rule| Change::Community {
        name: name.clone(),
        rule,
    };
    let begun = four.propose(0, NOW_MS, vec![change(rule)]);
    let four = four.under(begun.would_be().clone());
    let mut desk = Desk::of(&four);
    let successor = proposed(&four, 0, vec![change(CommunityRule::Own)], &mut desk);
    // If they could, and it then did not consent, they could never do anything
    // else.
    let early = may_prepare(&desk, &four, 0, &successor, 1);
    assert_eq!(early, Err(VoteRefusal::NoConsent));
    let of_another = four.consent(&four.keys(2), successor.id());
    assert!(desk.later(&of_another).is_err());
    desk.later(&four.consent(&four.keys(3), successor.id()))
        .unwrap();
    prepare(&mut desk, &four, &[0, 1, 2], &successor, 1);
    commit(&mut desk, &four, &[0, 1, 2], &successor, 1);
    let link = decided(&desk).unwrap();
    assert_eq!(link.round, 1);
    assert!(four.roster.follow(&link).is_ok());
}

/// Member 0 has committed one, and a cheat fills its ballot with votes for rosters
/// of lesser ids, so that the prepare with which the others turned finds no room.
#[test]
fn who_committed_learns_from_a_later_commit_that_others_turned() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let (one, other) = (observer(&four, 2), observer(&four, 3));
    let one = proposed(&four, 0, one, &mut desk);
    let other = proposed(&four, 1, other, &mut desk);
    prepare(&mut desk, &four, &[0, 1, 3], &one, 1);
    commit(&mut desk, &four, &[0], &one, 1);
    for least in [0, 1] {
        let junk = crate::ids::RosterId::from_bytes([least; 32]);
        desk.later(&four.prepare(3, junk, 2)).unwrap();
    }
    // Members 1 and 2 had not seen that enough prepared the first.
    for by in [1, 2] {
        desk.later(&four.prepare(by, other.id(), 2)).unwrap();
    }
    let no_room = desk.later(&four.prepare(3, other.id(), 2)).unwrap_err();
    assert_eq!(no_room, Turned::Back(NotNews::TooMany));
    assert_eq!(
        may_prepare(&desk, &four, 0, &other, 3),
        Err(VoteRefusal::Locked)
    );
    // Members 1 and 2 hold the cheat's prepare, and what they commit shows it.
    desk.later(&four.commit_on(1, other.id(), 2, [1, 2, 3]))
        .unwrap();
    assert_eq!(may_prepare(&desk, &four, 0, &other, 3), Ok(()));
    prepare(&mut desk, &four, &[0, 1, 2], &other, 3);
    commit(&mut desk, &four, &[0, 1, 2], &other, 3);
    let link = decided(&desk).unwrap();
    assert_eq!((link.id(), link.round), (other.id(), 3));
    assert!(four.roster.follow(&link).is_ok());
}
