//! Seven members, two of whom may lie: the safety of votes alone.
//!
//! Bounds: one epoch, two proposals without a new key, two rounds, no restart.
//! Otherwise as `votes` has it, and as complete.

use super::naming::{NAMED, Naming};
use super::rules::{Rules, falls, holds};
use super::votes::ONE_SUCCESSOR;
use super::voting::{Teller, Voting};
use watchfire_protocol::roster::{Thresholds, VoteRefusal};

const ROUNDS: u32 = 2;

fn truth() -> Rules {
    Rules::of(Thresholds::of(7))
}

#[test]
fn two_cheats_of_seven_decide_nothing_twice() {
    holds("wide, N 7, f 2", Voting::new(truth(), ROUNDS), 60_000);
}

fn named(naming: Naming) -> Voting {
    Voting {
        teller: Some(Teller::Careful),
        naming: Some(naming),
        ..Voting::new(truth(), ROUNDS)
    }
}

/// In two rounds nobody honest turns, so it takes no more than having turned.
#[test]
fn three_cheats_of_seven_are_named() {
    holds("wide, 3 cheats", named(Naming::Turned), 85_000);
    falls("wide, 3 cheats, doubles", named(Naming::Doubles), NAMED);
}

#[test]
fn mutant_one_vote_fewer_decides_twice() {
    let commits = Rules {
        commits: truth().commits - 1,
        ..truth()
    };
    let prepares = truth().one_prepare_fewer();
    for (name, rules) in [("commits", commits), ("prepares", prepares)] {
        let model = Voting::new(rules, ROUNDS);
        let name = format!("wide, q - 1 {name}");
        falls(&name, model, ONE_SUCCESSOR);
    }
}

#[test]
fn mutant_no_lock_decides_twice() {
    let rules = Rules {
        unheeded: Some(VoteRefusal::Locked),
        ..truth()
    };
    falls("wide, no lock", Voting::new(rules, ROUNDS), ONE_SUCCESSOR);
}
