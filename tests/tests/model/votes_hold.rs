//! What the checker finds of votes: with the true rules nothing, and for each
//! rule that is broken what it was there to prevent.

use super::naming::{JUST, NAMED, Naming};
use super::rules::{Rules, falls, holds};
use super::votes::{CONSENT, FAIR, LOCKED, ONE_SUCCESSOR};
use super::voting::{Teller, Voting};
use watchfire_protocol::roster::{Thresholds, VoteRefusal};

fn truth() -> Rules {
    Rules::of(Thresholds::of(4))
}

#[test]
fn one_cheat_of_four_decides_nothing_twice() {
    let model = Voting {
        new_key: true,
        ..Voting::new(truth(), 3)
    };
    holds("votes, N 4, f 1, 3 rounds", model, 99_000);
}

/// Restarts too, one a member: what is durable is all that a member sent, so
/// nothing comes of them.
#[test]
fn tables_say_what_the_ballot_of_everything_says() {
    let model = Voting {
        new_key: true,
        checked: true,
        restarts: true,
        ..Voting::new(truth(), 2)
    };
    holds("votes, N 4, f 1, 2 rounds, restarts", model, 14_800);
}

/// With two cheats, of whom one is careful.
fn named(rules: Rules, naming: Naming) -> Voting {
    Voting {
        teller: Some(Teller::Careful),
        naming: Some(naming),
        ..Voting::new(rules, 3)
    }
}

#[test]
fn two_in_one_round_and_step_do_not_name_every_cheat() {
    let model = named(truth(), Naming::Doubles);
    falls("named, doubles", model, NAMED);
}

#[test]
fn one_committed_and_another_prepared_later_names_the_honest_too() {
    falls("named, turned", named(truth(), Naming::Turned), JUST);
}

/// Who committed one, saw a quorum prepare the other in a later round,
/// committed that, and prepares it in that very round after all, looks as if it
/// had made the quorum.
#[test]
fn mutant_who_prepares_what_it_committed_is_named_without_guilt() {
    let rules = Rules {
        prepares_first: false,
        ..truth()
    };
    let model = named(rules, Naming::TurnedUnasked);
    falls("named, prepares after", model, JUST);
}

#[test]
fn two_cheats_of_four_are_named_and_nobody_else() {
    let model = named(truth(), Naming::TurnedUnasked);
    holds("named, turned unasked", model, 74_000);
}

#[test]
fn mutant_one_commit_fewer_decides_twice() {
    let model = Voting::new(
        Rules {
            commits: truth().commits - 1,
            ..truth()
        },
        2,
    );
    falls("votes, q - 1 commits", model.clone(), ONE_SUCCESSOR);
    falls("votes, q - 1 commits", model, LOCKED);
}

#[test]
fn mutant_one_prepare_fewer_decides_twice() {
    let model = Voting::new(truth().one_prepare_fewer(), 2);
    falls("votes, q - 1 prepares", model.clone(), ONE_SUCCESSOR);
    falls("votes, q - 1 prepares", model, LOCKED);
}

fn unheeded(refusal: VoteRefusal, rounds: u32) -> Voting {
    let rules = Rules {
        unheeded: Some(refusal),
        ..truth()
    };
    Voting::new(rules, rounds)
}

#[test]
fn mutant_commit_without_a_prepared_quorum_decides_twice() {
    let model = unheeded(VoteRefusal::NotPrepared, 2);
    falls("votes, not prepared", model, ONE_SUCCESSOR);
}

#[test]
fn mutant_no_lock_decides_twice() {
    falls(
        "votes, no lock",
        unheeded(VoteRefusal::Locked, 2),
        ONE_SUCCESSOR,
    );
}

/// A node, and a root of whose commits it is never told.
fn apart(rules: Rules, rounds: u32) -> Voting {
    Voting {
        apart: true,
        ..Voting::new(rules, rounds)
    }
}

#[test]
fn what_a_node_saw_binds_it_whatever_its_root_committed() {
    let model = apart(truth(), 3);
    holds("apart, N 4, f 1, 3 rounds", model, 90_900);
}

/// The lock by what the own root committed, and not by what the node saw.
#[test]
fn mutant_lock_by_the_own_commit_decides_twice_while_the_node_is_not_told() {
    let rules = Rules {
        seen_locks: false,
        ..truth()
    };
    falls("apart, own commit", apart(rules, 2), ONE_SUCCESSOR);
}

#[test]
fn mutant_root_that_signs_the_packets_of_others_decides_twice() {
    let rules = Rules {
        own_packets: false,
        ..truth()
    };
    falls("apart, packets of others", apart(rules, 2), ONE_SUCCESSOR);
}

/// What is refused where a vote is brought in: the root's packet is older than
/// what its node prepared.
#[test]
fn mutant_commit_on_an_old_packet_decides_twice() {
    let rules = Rules {
        unheeded: Some(VoteRefusal::RoundPast),
        ..truth()
    };
    falls("apart, old packet", apart(rules, 2), ONE_SUCCESSOR);
}

#[test]
fn mutant_commit_in_a_round_past_decides_twice() {
    falls(
        "votes, round past",
        unheeded(VoteRefusal::RoundPast, 2),
        ONE_SUCCESSOR,
    );
}

#[test]
fn mutant_two_in_a_round_decide_twice() {
    falls(
        "votes, other in round",
        unheeded(VoteRefusal::OtherInRound, 2),
        ONE_SUCCESSOR,
    );
}

#[test]
fn mutant_prepared_without_consent_is_decided_without() {
    let model = Voting {
        new_key: true,
        ..unheeded(VoteRefusal::NoConsent, 2)
    };
    falls("votes, no consent", model, CONSENT);
}

/// A second node of a member that votes before it heard of the first's vote is
/// the same: of what this one cast it knows nothing.
#[test]
fn mutant_vote_sent_before_it_is_durable_is_given_twice() {
    let model = Voting {
        restarts: true,
        ..Voting::new(
            Rules {
                durable_first: false,
                ..truth()
            },
            1,
        )
    };
    falls("votes, sent first", model.clone(), FAIR);
    falls("votes, sent first", model, ONE_SUCCESSOR);
}
