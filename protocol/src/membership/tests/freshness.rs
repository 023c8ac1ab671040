//! When a node may believe that its roster is still the newest.

use super::federation::{
    Desk, FOUNDED_MS, Federation, HOUR_MS, MINUTE_MS, NOW_MS, Turned, at, list,
};
use crate::ids::RosterId;
use crate::limits::{CERTIFICATE_LIFE_MS_MAX, FRESH_AMBER_MS, FRESH_GREEN_MS, FRESH_RED_MS};
use crate::marking::Marking;
use crate::membership::{Arrival, Freshness, NotNews};
use crate::time::Now;
use crate::wire::Kind;
use crate::wire::card::Role;
use crate::wire::envelope::frame;
use crate::wire::notice::Alive;

fn freshness(desk: &Desk, of: &Federation, wall_ms: u64, marking: Marking) -> Freshness {
    let membership = &desk.membership;
    let (alives, suspensions) = (membership.alives(), membership.suspensions());
    // By what the federation knew of it, also where it has been expelled since.
    let me = of.roster.certificates_of(of.id(0)).next().unwrap();
    alives.freshness(&desk.roster, suspensions, me, at(wall_ms), marking)
}

fn heard(desk: &Desk, of: &Federation) -> usize {
    freshness(desk, of, NOW_MS, Marking::Red).heard
}

/// The alive of a second node of a member, which its root certified.
fn of_second_node(of: &Federation, by: usize, desk: &mut Desk, spoil: impl FnOnce(&mut Alive)) {
    let keys = Federation::stranger(50 + u64::try_from(by).unwrap());
    let certificate = of.certify(by, &keys, |_| {});
    let record = frame(Kind::NodeCert, &certificate);
    let _ = desk.later(&record);
    let node = crate::ids::NodeId::of_transport(keys.transport.public().as_bytes());
    let held = desk.roster.node(&node).unwrap().id;
    let mut said = Alive {
        federation: of.roster.federation(),
        certificate: held,
        epoch: of.roster.epoch(),
        roster: of.roster.id(),
        wall_ms: NOW_MS - 1,
        heads: list(Vec::new()),
        groups: list(Vec::new()),
        more: list(Vec::new()),
    };
    spoil(&mut said);
    let frame = super::federation::sign::<_, { crate::limits::ALIVE_BYTES_MAX }>(
        Kind::Alive,
        &said,
        &keys.signing,
    );
    desk.later(&frame).unwrap();
}

#[test]
fn it_takes_exactly_so_many_members_itself_among_them() {
    for members in 2..=8 {
        let federation = Federation::of(members);
        let mut desk = Desk::of(&federation);
        let needed = federation.roster.thresholds().heard();
        for by in 1..members {
            let before = freshness(&desk, &federation, NOW_MS, Marking::Amber);
            assert_eq!((before.heard, before.needed), (by, needed));
            assert_eq!(before.is_fresh(), by >= needed);
            desk.later(&federation.alive(by, NOW_MS, |_| {})).unwrap();
        }
        // Its own sign of life counts no second time.
        desk.later(&federation.alive(0, NOW_MS, |_| {})).unwrap();
        assert_eq!(heard(&desk, &federation), members);
    }
}

#[test]
fn each_marking_has_its_limit() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for by in 1..=2 {
        desk.later(&four.alive(by, NOW_MS, |_| {})).unwrap();
    }
    for (marking, limit_ms) in [
        (Marking::Green, FRESH_GREEN_MS),
        (Marking::Amber, FRESH_AMBER_MS),
        (Marking::AmberStrict, FRESH_AMBER_MS),
        (Marking::Red, FRESH_RED_MS),
    ] {
        let fresh_at = |wall_ms| freshness(&desk, &four, wall_ms, marking).is_fresh();
        assert!(fresh_at(NOW_MS + limit_ms - 1), "{marking:?}");
        assert!(!fresh_at(NOW_MS + limit_ms), "{marking:?}");
    }
    assert_eq!(FRESH_GREEN_MS, 7 * 24 * HOUR_MS);
    assert_eq!(FRESH_AMBER_MS, 24 * HOUR_MS);
    assert_eq!(FRESH_RED_MS, HOUR_MS);
    assert!(freshness(&desk, &four, u64::MAX, Marking::Clear).is_fresh());
}

#[test]
fn who_holds_another_roster_does_not_count() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let other = RosterId::from_bytes([7; 32]);
    desk.later(&four.alive(1, NOW_MS, |said| said.roster = other))
        .unwrap();
    desk.later(&four.alive(2, NOW_MS, |said| said.epoch = 1))
        .unwrap();
    assert_eq!(heard(&desk, &four), 1);
}

#[test]
fn a_member_that_went_on_with_one_node_is_not_spoken_for_by_another() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    desk.later(&four.alive(1, NOW_MS, |_| {})).unwrap();
    assert_eq!(heard(&desk, &four), 2);
    // Also by an older sign of life.
    of_second_node(&four, 1, &mut desk, |said| said.epoch = 1);
    assert_eq!(heard(&desk, &four), 1);
    // And of this node's own member, too.
    of_second_node(&four, 0, &mut desk, |said| said.epoch = 1);
    assert_eq!(heard(&desk, &four), 0);
}

#[test]
fn two_nodes_of_one_member_count_once() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    desk.later(&four.alive(1, NOW_MS, |_| {})).unwrap();
    of_second_node(&four, 1, &mut desk, |_| {});
    assert_eq!(heard(&desk, &four), 2);
}

#[test]
fn attack_17_a_revoked_node_does_not_count_and_does_not_speak_for_its_member() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    // Whoever has its key says that it went on, and then its root ends it.
    desk.later(&four.alive(1, NOW_MS, |said| said.epoch = u64::MAX))
        .unwrap();
    of_second_node(&four, 1, &mut desk, |_| {});
    assert_eq!(heard(&desk, &four), 1);
    desk.later(&four.revocation(1, 1, NOW_MS)).unwrap();
    assert_eq!(heard(&desk, &four), 2, "of its other node");
    desk.later(&four.alive(2, NOW_MS, |_| {})).unwrap();
    assert_eq!(heard(&desk, &four), 3);
    desk.later(&four.revocation(2, 1, NOW_MS)).unwrap();
    assert_eq!(heard(&desk, &four), 2, "it has no other");
}

#[test]
fn attack_17_who_speaks_under_a_certificate_that_is_over_does_not_count() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let last_ms = FOUNDED_MS + CERTIFICATE_LIFE_MS_MAX;
    let alive = four.alive(1, last_ms, |_| {});
    desk.take(at(last_ms), &alive, Arrival::Later).unwrap();
    let heard = |wall_ms| freshness(&desk, &four, wall_ms, Marking::Red).heard;
    assert_eq!(heard(last_ms), 2);
    assert_eq!(heard(last_ms + 1), 1);
    let late = four.alive(2, last_ms + 1, |_| {});
    let refused = desk.take(at(last_ms + 1), &late, Arrival::Later);
    assert_eq!(refused.unwrap_err(), Turned::Back(NotNews::NotCurrent));
}

#[test]
fn attack_17_who_is_suspended_does_not_count_for_as_long_as_it_lasts() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for by in 1..4 {
        desk.later(&four.alive(by, NOW_MS, |_| {})).unwrap();
    }
    for of in [3, 0] {
        for by in [1, 2] {
            let frame = four.suspension(by, four.id(of), NOW_MS, HOUR_MS, "");
            desk.later(&frame).unwrap();
        }
    }
    let heard = |wall_ms| freshness(&desk, &four, wall_ms, Marking::Green).heard;
    assert_eq!(heard(NOW_MS - 1), 4);
    assert_eq!(heard(NOW_MS), 2);
    assert_eq!(heard(NOW_MS + HOUR_MS), 4);
}

#[test]
fn an_expelled_member_counts_no_more_not_even_for_itself() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let expelled = four.propose(1, NOW_MS, vec![four.expel(0)]);
    for by in [1, 2] {
        desk.later(&four.alive(by, NOW_MS, |_| {})).unwrap();
    }
    desk.roster = expelled.would_be().clone();
    desk.membership.roster_changed(&desk.roster);
    let next = four.under(desk.roster.clone());
    assert_eq!(heard(&desk, &next), 0);
    desk.later(&next.alive(1, NOW_MS + 1, |_| {})).unwrap();
    desk.later(&next.alive(2, NOW_MS + 1, |_| {})).unwrap();
    assert_eq!(heard(&desk, &next), 2);
}

#[test]
fn attack_16_a_frozen_view_grows_stale_and_a_cheat_cannot_refresh_it() {
    let four = Federation::of(4);
    let mut frozen = Desk::of(&four);
    let old: Vec<Vec<u8>> = (1..4).map(|by| four.alive(by, NOW_MS, |_| {})).collect();
    for alive in &old {
        frozen.later(alive).unwrap();
    }
    assert!(freshness(&frozen, &four, NOW_MS, Marking::Red).is_fresh());
    // The others settled something and went on; one of them, or its key, plays on
    // as if nothing had happened, and replays what it has.
    let mut wall_ms = NOW_MS;
    while wall_ms < NOW_MS + FRESH_GREEN_MS {
        wall_ms += 12 * HOUR_MS;
        let cheat = four.alive(3, wall_ms, |_| {});
        frozen.take(at(wall_ms), &cheat, Arrival::Live).unwrap();
        for alive in &old {
            let replayed = frozen.take(at(wall_ms), alive, Arrival::Live);
            assert_eq!(replayed.unwrap_err(), Turned::Back(NotNews::Held));
        }
        for (marking, limit_ms) in [
            (Marking::Green, FRESH_GREEN_MS),
            (Marking::Amber, FRESH_AMBER_MS),
        ] {
            let freshness = freshness(&frozen, &four, wall_ms, marking);
            assert_eq!(freshness.is_fresh(), wall_ms - NOW_MS < limit_ms);
        }
    }
    // What an honest member says of the next epoch makes it stale at once.
    let mut told = Desk::of(&four);
    for alive in &old {
        told.later(alive).unwrap();
    }
    let next = four.propose(1, NOW_MS, vec![four.settle(2, Role::Observer)]);
    for by in [1, 2] {
        let gone_on = four.alive(by, NOW_MS + MINUTE_MS, |said| {
            (said.epoch, said.roster) = (1, next.id());
        });
        told.later(&gone_on).unwrap();
    }
    assert!(!freshness(&told, &four, NOW_MS, Marking::Green).is_fresh());
}

#[test]
fn a_clock_that_was_set_back_makes_nobody_younger() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for member in 1..4 {
        desk.later(&four.alive(member, NOW_MS, |_| {})).unwrap();
    }
    let heard_at = |wall_ms| freshness(&desk, &four, wall_ms, Marking::Red).heard;
    assert_eq!(heard_at(NOW_MS), 4);
    assert_eq!(heard_at(NOW_MS - 48 * HOUR_MS), 1);
}

#[test]
fn attack_16_a_clock_set_back_after_they_were_heard_makes_nobody_younger() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for member in 1..4 {
        desk.later(&four.alive(member, NOW_MS, |_| {})).unwrap();
    }
    // Two hours have passed, and the wall clock says it were a minute.
    let set_back = Now {
        mono: at(NOW_MS + 2 * HOUR_MS).mono,
        wall_ms: NOW_MS + MINUTE_MS,
    };
    let heard = |now, marking| {
        let membership = &desk.membership;
        let (alives, suspensions) = (membership.alives(), membership.suspensions());
        let me = four.certificate(0);
        let fresh = alives.freshness(&desk.roster, suspensions, &me, now, marking);
        fresh.heard
    };
    assert_eq!(heard(at(NOW_MS + MINUTE_MS), Marking::Red), 4);
    assert_eq!(heard(set_back, Marking::Red), 1);
    assert_eq!(heard(set_back, Marking::Amber), 4);
}

#[test]
fn attack_16_after_a_jump_of_the_clock_nobody_counts_before_being_heard_anew() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let said = four.alive(1, NOW_MS, |_| {});
    desk.later(&said).unwrap();
    desk.later(&four.alive(2, NOW_MS, |_| {})).unwrap();
    let later_ms = NOW_MS + MINUTE_MS;
    let heard = |desk: &Desk| freshness(desk, &four, later_ms, Marking::Green).heard;
    assert_eq!(heard(&desk), 3);
    desk.membership.clock_jumped(at(later_ms));
    assert_eq!(heard(&desk), 1);
    // The same again says nothing new.
    let again = desk.take(at(later_ms), &said, Arrival::Live);
    assert_eq!(again.unwrap_err(), Turned::Back(NotNews::Held));
    assert_eq!(heard(&desk), 1);
    let anew = four.alive(1, later_ms, |_| {});
    desk.take(at(later_ms), &anew, Arrival::Live).unwrap();
    assert_eq!(heard(&desk), 2);
}
