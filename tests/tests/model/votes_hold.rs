//! What the checker finds of votes: with the true rules nothing, and for each
//! rule that is broken what it was there to prevent.

use super::rules::{Rules, Successor, falls, holds, survives};
use super::votes::{CONSENT, FAIR, MEMBERS, NAMED, ONE_SUCCESSOR, SHOWN, State, Votes};
use stateright::Model as _;
use watchfire_protocol::roster::Thresholds;

fn truth() -> Rules {
    Rules::of(Thresholds::of(MEMBERS))
}

#[test]
fn one_cheat_of_four_decides_nothing_twice() {
    let model = Votes {
        new_key: true,
        ..Votes::new(truth())
    };
    holds("votes, N 4, f 1", model, 400_000);
}

/// Where one too many lies there is a way to two successors, and on no way are
/// there two whose votes do not name more than may lie.
#[test]
fn two_cheats_of_four_are_named() {
    let model = Votes {
        cheats: 2,
        ..Votes::new(truth())
    };
    let way = falls("votes, 2 cheats", model.clone(), ONE_SUCCESSOR);
    let mut state = State::default();
    for action in way {
        state = model.next_state(&state, action).unwrap();
    }
    let votes = state.two().next().unwrap();
    assert_eq!(votes.ballot().double_voters().collect::<Vec<_>>(), [&2, &3]);
    survives("votes, 2 cheats", model, NAMED, 16_000);
}

#[test]
fn mutant_one_vote_fewer_decides_twice() {
    let model = Votes::new(Rules {
        votes: truth().votes - 1,
        ..truth()
    });
    falls("votes, q - 1", model.clone(), ONE_SUCCESSOR);
    falls("votes, q - 1", model, NAMED);
}

#[test]
fn mutant_key_without_cosignature_is_brought_in() {
    let model = Votes {
        new_key: true,
        ..Votes::new(Rules {
            cosign: false,
            ..truth()
        })
    };
    falls("votes, no co-signature", model, CONSENT);
}

#[test]
fn mutant_vote_sent_before_it_is_durable_is_given_twice() {
    let model = Votes::new(Rules {
        durable_vote: false,
        ..truth()
    });
    falls("votes, sent first", model.clone(), FAIR);
    falls("votes, sent first", model, ONE_SUCCESSOR);
}

/// The rule that is not there: a member that holds a vote of everybody, and
/// sees nothing decided, may change its own, saying which it is instead of.
fn changing() -> Votes {
    Votes {
        restarts: false,
        ..Votes::new(Rules {
            changed_vote: true,
            ..truth()
        })
    }
}

/// Why nobody may change a vote, not even openly, not even when everybody's is
/// known and nothing is decided: one who changed and one who lies are two who
/// signed both, and some node has only seen one of them.
#[test]
fn mutant_changed_vote_decides_twice() {
    falls("votes, changed", changing(), ONE_SUCCESSOR);
    falls("votes, changed", changing(), SHOWN);
}

/// Nor does it take a liar: of four honest members who voted two and two, one
/// on each side gives in at the same time, and each sees its new side decided.
#[test]
fn mutant_changed_votes_cross_without_any_cheat() {
    let model = Votes {
        cheats: 0,
        begun: vec![Successor::A, Successor::A, Successor::B, Successor::B],
        ..changing()
    };
    falls("votes, changed by two", model, ONE_SUCCESSOR);
}
