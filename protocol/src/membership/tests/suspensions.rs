//! Who is suspended, and for how long.

use super::federation::{Desk, FOUNDED_MS, Federation, HOUR_MS, NOW_MS, Turned, at};
use crate::limits::CERTIFICATE_LIFE_MS_MAX;
use crate::membership::{Arrival, NotNews};
use crate::wire::List;
use crate::wire::roster::Change;

fn suspended(desk: &Desk, of: &Federation, member: usize, wall_ms: u64) -> bool {
    desk.membership
        .suspensions()
        .is_suspended(&desk.roster, &of.id(member), wall_ms)
}

fn suspend(
    desk: &mut Desk,
    of: &Federation,
    by: usize,
    member: usize,
    created_ms: u64,
    life_ms: u64,
) {
    let frame = of.suspension(by, of.id(member), created_ms, life_ms, "");
    desk.later(&frame).unwrap();
}

#[test]
fn one_more_than_may_lie_suspend_and_it_ends_by_itself() {
    for members in [4, 5, 7, 10] {
        let federation = Federation::of(members);
        let mut desk = Desk::of(&federation);
        let faults = federation.roster.thresholds().faults();
        for by in 1..=faults {
            suspend(&mut desk, &federation, by, 0, NOW_MS, HOUR_MS);
        }
        // The same again is not another.
        suspend(&mut desk, &federation, 1, 0, NOW_MS + 1, HOUR_MS);
        assert!(!suspended(&desk, &federation, 0, NOW_MS + 2), "{members}");
        suspend(&mut desk, &federation, faults + 1, 0, NOW_MS, HOUR_MS);
        assert!(suspended(&desk, &federation, 0, NOW_MS + 2));
        assert!(!suspended(&desk, &federation, 0, NOW_MS - 1), "not before");
        assert!(suspended(&desk, &federation, 0, NOW_MS + HOUR_MS - 1));
        assert!(!suspended(&desk, &federation, 0, NOW_MS + HOUR_MS));
        assert!(!suspended(&desk, &federation, 1, NOW_MS + 2), "nobody else");
    }
}

#[test]
fn who_takes_it_back_does_so_for_good() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    suspend(&mut desk, &four, 1, 0, NOW_MS, HOUR_MS);
    suspend(&mut desk, &four, 2, 0, NOW_MS, HOUR_MS);
    assert!(suspended(&desk, &four, 0, NOW_MS + 1));
    let first = four.suspension(2, four.id(0), NOW_MS, HOUR_MS, "");
    suspend(&mut desk, &four, 2, 0, NOW_MS + 1, 0);
    assert!(!suspended(&desk, &four, 0, NOW_MS + 1));
    assert_eq!(desk.later(&first).unwrap_err(), Turned::Back(NotNews::Held));
    assert!(!suspended(&desk, &four, 0, NOW_MS + 1));
    suspend(&mut desk, &four, 2, 0, NOW_MS + 2, HOUR_MS);
    assert!(suspended(&desk, &four, 0, NOW_MS + 2));
}

#[test]
fn who_is_suspended_suspends_others_all_the_same() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for by in [0, 1] {
        suspend(&mut desk, &four, by, 3, NOW_MS, HOUR_MS);
    }
    assert!(suspended(&desk, &four, 3, NOW_MS));
    for by in [2, 3] {
        suspend(&mut desk, &four, by, 0, NOW_MS, HOUR_MS);
    }
    assert!(suspended(&desk, &four, 0, NOW_MS));
}

#[test]
fn attack_17_a_node_that_was_ended_suspends_nobody() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for by in [1, 2] {
        suspend(&mut desk, &four, by, 0, NOW_MS, HOUR_MS);
    }
    assert!(suspended(&desk, &four, 0, NOW_MS));
    desk.later(&four.revocation(2, 1, NOW_MS)).unwrap();
    assert!(!suspended(&desk, &four, 0, NOW_MS));
    suspend(&mut desk, &four, 3, 0, NOW_MS, HOUR_MS);
    assert!(
        suspended(&desk, &four, 0, NOW_MS),
        "the first one's still counts"
    );
}

#[test]
fn attack_17_what_a_replaced_root_certified_suspends_nobody() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for by in [1, 2] {
        suspend(&mut desk, &four, by, 0, NOW_MS, HOUR_MS);
    }
    let rekey = Change::Rekey {
        member: four.id(2),
        root_key: Federation::stranger(1).root.public().to_bytes(),
        cuts: List::default(),
    };
    desk.roster = four.propose(1, NOW_MS, vec![rekey]).would_be().clone();
    desk.membership.roster_changed(&desk.roster);
    assert!(!suspended(&desk, &four, 0, NOW_MS));
    // As at a node that hears of it only now.
    let mut late = Desk::of(&four.under(desk.roster.clone()));
    let frames = [1, 2].map(|by| four.suspension(by, four.id(0), NOW_MS, HOUR_MS, ""));
    late.settle(&frames);
    assert!(!suspended(&late, &four, 0, NOW_MS));
}

#[test]
fn with_who_leaves_goes_what_it_said_and_what_was_said_of_it() {
    let five = Federation::of(5);
    let mut desk = Desk::of(&five);
    for (by, of) in [(1, 0), (2, 0), (0, 1), (3, 1), (2, 3)] {
        suspend(&mut desk, &five, by, of, NOW_MS, HOUR_MS);
    }
    desk.roster = five
        .propose(1, NOW_MS, vec![five.expel(2)])
        .would_be()
        .clone();
    assert!(!suspended(&desk, &five, 0, NOW_MS), "at once");
    desk.later(&five.double_vote(1)).unwrap();
    desk.later(&five.double_vote(2)).unwrap();
    let dropped = desk.membership.roster_changed(&desk.roster);
    assert_eq!(dropped.len(), 3);
    let cheats: Vec<_> = desk.membership.double_voters().iter().collect();
    assert_eq!(cheats, [&five.id(1)]);
    assert_eq!(desk.membership.suspensions().all().count(), 3);
    assert!(!suspended(&desk, &five, 0, NOW_MS));
    assert!(suspended(&desk, &five, 1, NOW_MS));
}

#[test]
fn what_was_made_under_a_certificate_that_was_over_counts_nothing() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let last_ms = FOUNDED_MS + CERTIFICATE_LIFE_MS_MAX;
    let now = at(last_ms + HOUR_MS);
    for created_ms in [FOUNDED_MS - 1, last_ms + 1] {
        let frame = four.suspension(1, four.id(0), created_ms, HOUR_MS, "");
        let refused = desk.take(now, &frame, Arrival::Live).unwrap_err();
        assert_eq!(refused, Turned::Back(NotNews::NotCurrent));
    }
    // Made in time, it may come later.
    let frame = four.suspension(1, four.id(0), last_ms, HOUR_MS, "");
    assert!(desk.take(now, &frame, Arrival::Live).is_ok());
}
