//! What time it is in the federation.

use super::federation::{Desk, Federation, HOUR_MS, MINUTE_MS, NOW_MS, Turned, at};
use crate::limits::OFFSET_AGE_MS_MAX;
use crate::membership::{Arrival, ClockOffset, NotNews};
use crate::time::Now;

fn offset(desk: &Desk, of: &Federation, now: Now) -> Option<ClockOffset> {
    desk.membership
        .alives()
        .clock_offset(&desk.roster, now, &of.id(0))
}

/// A sign of life whose clock is so far from this one's, brought by gossip.
fn hear(desk: &mut Desk, of: &Federation, by: usize, off_ms: i64) -> Result<(), Turned> {
    let alive = of.alive(by, NOW_MS.checked_add_signed(off_ms).unwrap(), |_| {});
    desk.take(at(NOW_MS), &alive, Arrival::Live).map(|_| ())
}

#[test]
fn as_many_cheats_as_may_be_do_not_move_it_beyond_what_honest_clocks_say() {
    let far = i64::try_from(1_000 * HOUR_MS).unwrap();
    for members in [4, 5, 7, 10] {
        let federation = Federation::of(members);
        let faults = federation.roster.thresholds().faults();
        for lie in [-far, far] {
            // Just enough are heard, then all.
            for others in 2 * faults..members {
                let mut desk = Desk::of(&federation);
                for by in 1..=others {
                    let off_ms = if by <= faults {
                        lie
                    } else {
                        i64::try_from(by).unwrap()
                    };
                    let _ = hear(&mut desk, &federation, by, off_ms);
                }
                let offset = offset(&desk, &federation, at(NOW_MS)).unwrap();
                let honest = 0..=i64::try_from(members).unwrap();
                assert!(honest.contains(&offset.ms), "{members} {lie}: {offset:?}");
                assert_eq!(offset.members, others + 1);
                assert!(!offset.is_off());
            }
        }
    }
}

#[test]
fn it_is_not_known_where_cheats_could_be_most_of_those_heard() {
    let seven = Federation::of(7);
    let mut desk = Desk::of(&seven);
    for by in 1..=3 {
        hear(&mut desk, &seven, by, 0).unwrap();
        assert_eq!(offset(&desk, &seven, at(NOW_MS)), None, "{by} others");
    }
    hear(&mut desk, &seven, 4, 0).unwrap();
    assert!(offset(&desk, &seven, at(NOW_MS)).is_some());
    // And not any more when they fell silent.
    let until = |ms| at(NOW_MS + ms);
    assert!(offset(&desk, &seven, until(OFFSET_AGE_MS_MAX - 1)).is_some());
    assert_eq!(offset(&desk, &seven, until(OFFSET_AGE_MS_MAX)), None);
}

#[test]
fn a_member_alone_has_no_time_but_its_own() {
    let two = Federation::of(2);
    let desk = Desk::of(&two);
    assert_eq!(offset(&desk, &two, at(NOW_MS)), None);
}

#[test]
fn a_slow_clock_finds_itself_off_though_it_holds_nothing_from_ahead() {
    let four = Federation::of(4);
    let mut slow = Desk::of(&four);
    let hour = i64::try_from(HOUR_MS).unwrap();
    for by in 1..=3 {
        let refused = hear(&mut slow, &four, by, hour + i64::try_from(by).unwrap());
        assert_eq!(refused.unwrap_err(), Turned::Back(NotNews::Ahead));
    }
    assert_eq!(slow.membership.alives().all().count(), 0);
    let offset = offset(&slow, &four, at(NOW_MS)).unwrap();
    assert!((hour..=hour + 3).contains(&offset.ms), "{offset:?}");
    assert!(offset.is_off());
}

#[test]
fn what_was_asked_for_says_nothing_of_clocks() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    for by in 1..=3 {
        let alive = four.alive(by, NOW_MS - HOUR_MS, |_| {});
        desk.later(&alive).unwrap();
    }
    assert_eq!(offset(&desk, &four, at(NOW_MS)), None);
}

#[test]
fn attack_16_old_signs_of_life_gossiped_again_turn_no_clock_back() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let hour = i64::try_from(HOUR_MS).unwrap();
    // As ahead as a slow clock finds them, and as they are where clocks agree.
    for ahead_ms in [0, 12 * hour] {
        let before: Vec<Vec<u8>> = (1..=3)
            .map(|by| {
                let made_ms = (NOW_MS - 6 * HOUR_MS).checked_add_signed(ahead_ms).unwrap();
                four.alive(by, made_ms, |_| {})
            })
            .collect();
        for by in 1..=3 {
            let _ = hear(&mut desk, &four, by, ahead_ms);
        }
        let told = offset(&desk, &four, at(NOW_MS + MINUTE_MS)).unwrap();
        for alive in &before {
            let _ = desk.take(at(NOW_MS + MINUTE_MS), alive, Arrival::Live);
        }
        assert_eq!(offset(&desk, &four, at(NOW_MS + MINUTE_MS)), Some(told));
    }
}

#[test]
fn a_live_sign_of_life_is_taken_once_a_minute() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let mut live = |ms| {
        let alive = four.alive(1, NOW_MS + ms, |_| {});
        desk.take(at(NOW_MS + ms), &alive, Arrival::Live)
            .map(|_| ())
    };
    live(0).unwrap();
    assert_eq!(live(MINUTE_MS - 1), Err(Turned::Back(NotNews::TooSoon)));
    live(MINUTE_MS).unwrap();
}

#[test]
fn what_ends_a_life_is_taken_once_a_minute_also_where_it_was_asked_for() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    // Each of a lesser place, after which all of the life is judged anew.
    let mut fork = |sequence, ms| {
        let proof = four.fork_at(1, sequence);
        desk.take(at(NOW_MS + ms), &proof, Arrival::Later)
            .map(|_| ())
    };
    fork(9, 0).unwrap();
    assert_eq!(fork(8, MINUTE_MS - 1), Err(Turned::Back(NotNews::TooSoon)));
    fork(8, MINUTE_MS).unwrap();
}
