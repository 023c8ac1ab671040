//! The membership of four engines over random schedules; 10,000 of them by
//! command, as README.md says.

#![allow(clippy::unwrap_used, clippy::panic)]

use watchfire_simulations::{Fault, play_schedule};

#[test]
fn attack_15_no_order_of_notices_gives_two_rosters_of_one_epoch() {
    let (mut named, mut with_loss) = (0, 0);
    for seed in 1..=200 {
        let played = play_schedule(seed, Fault::Nothing).unwrap_or_else(|why| panic!("{why}"));
        named += u64::from(played.is_cheat_named);
        with_loss += played.crashes_with_loss;
    }
    // What the checks are for did come about.
    assert!(named > 20, "the cheat was named in {named} of 200");
    assert!(with_loss > 50, "{with_loss} power cuts with loss");
}

#[test]
fn the_same_seed_is_the_same_schedule() {
    assert_eq!(
        play_schedule(7, Fault::Nothing),
        play_schedule(7, Fault::Nothing)
    );
}

/// A commit shows the prepares it stands on: where people do not wait for them,
/// nobody believes their commits, and nothing comes of it.
#[test]
fn people_who_commit_at_once_decide_nothing() {
    for seed in 1..=60 {
        match play_schedule(seed, Fault::CommitsAtOnce) {
            Err(why) => assert!(why.contains("stuck"), "{why}"),
            Ok(played) => panic!("seed {seed} decided: {played:?}"),
        }
    }
}

/// A check that cannot fail is none.
#[test]
fn hosts_that_forget_what_they_claimed_are_noticed() {
    let found = (1..=60)
        .filter_map(|seed| play_schedule(seed, Fault::ForgetsAll).err())
        .find(|why| why.contains("rollback") || why.contains("two votes of somebody honest"));
    assert!(found.is_some());
}

/// What was played by command: 10,000 schedules, from the first seed on.
#[test]
fn the_committed_count_is_of_ten_thousand() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/results/schedules.json");
    let text = std::fs::read_to_string(path).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], "watchfire.schedules/1");
    let data = &document["data"];
    assert_eq!(
        (&data["schedules"], &data["failed"]),
        (&10_000.into(), &0.into())
    );
    assert_eq!(
        (&data["first_seed"], &data["last_seed"]),
        (&1.into(), &10_000.into())
    );
}
