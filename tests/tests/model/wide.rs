//! Seven members, two of whom may lie: the safety of votes alone.

use super::rules::{Rules, falls, holds};
use super::votes::{LOCKED, ONE_SUCCESSOR, Voting};
use watchfire_protocol::roster::{Thresholds, VoteRefusal};

fn truth() -> Rules {
    Rules::of(Thresholds::of(7))
}

#[test]
fn two_cheats_of_seven_decide_nothing_twice() {
    holds("wide, N 7, f 2", Voting::new(truth(), 2), 1);
}
