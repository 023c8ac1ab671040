//! Seven members, two of whom may lie: the safety of votes alone.
//!
//! Bounds: one epoch, two proposals, no restart. Honest members vote once or
//! not at all. Votes do not depend on what a node has seen, so it is enough to
//! look at any two nodes: each is handed any of the votes there are, in any
//! order, and takes what they decide. If no two can differ, no seven can. The
//! members are interchangeable within the honest and within the cheats, so a
//! state is a sorted list of what each has done; within that the search is
//! complete.

use stateright::{Model, Property};
use watchfire_protocol::roster::Thresholds;

use super::rules::{Held, Rules, Successor, falls, holds, survives};

const MEMBERS: usize = 7;

const ONE_SUCCESSOR: &str = "no two successors are decided";
const NAMED: &str = "two decided name more double signers than may lie";
const WITHIN: &str = "votes that are shown leave a decision standing";

/// What is explored: the rules, and how many of the last members lie.
#[derive(Clone, Debug)]
struct Wide {
    rules: Rules,
    cheats: usize,
}

impl Wide {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            cheats: rules.thresholds.faults(),
        }
    }

    fn is_cheat(&self, member: usize) -> bool {
        member >= MEMBERS - self.cheats
    }
}

/// One member: what it signed, and which of the two nodes have that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Row {
    voted: Option<Successor>,
    /// By node, by successor.
    shown: [[bool; 2]; 2],
}

/// Every member, and what each of the two nodes has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State {
    rows: [Row; MEMBERS],
    taken: [Option<Successor>; 2],
}

/// What can happen next: a node is handed a vote, and with its first an honest
/// member has voted, since a vote that nobody is handed changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deliver {
    voter: usize,
    successor: Successor,
    node: usize,
}

impl State {
    fn held(&self, node: usize) -> Held {
        let mut held = Held::default();
        for (voter, row) in self.rows.iter().enumerate() {
            for successor in Successor::ALL {
                if row.shown[node][successor as usize] {
                    held = held.with(voter, successor);
                }
            }
        }
        held
    }

    fn is_split(&self) -> bool {
        matches!(self.taken, [Some(one), Some(two)] if one != two)
    }

    /// The members sorted, and the two nodes too: neither has a name.
    fn canonical(self, model: &Wide) -> Self {
        let mut swapped = self;
        swapped.taken.swap(0, 1);
        for row in &mut swapped.rows {
            row.shown.swap(0, 1);
        }
        let sorted = |mut state: Self| {
            let (honest, cheats) = state.rows.split_at_mut(MEMBERS - model.cheats);
            honest.sort_unstable();
            cheats.sort_unstable();
            state
        };
        sorted(self).min(sorted(swapped))
    }
}

impl Model for Wide {
    type State = State;
    type Action = Deliver;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Deliver>) {
        for (voter, row) in state.rows.iter().enumerate() {
            // Of members who did the same, one stands for all; a cheat has
            // voted for nothing in particular and is not mistaken for one.
            let before = voter.checked_sub(1);
            if before.is_some_and(|before| {
                state.rows[before] == *row && self.is_cheat(before) == self.is_cheat(voter)
            }) {
                continue;
            }
            for successor in Successor::ALL {
                if row.voted.is_some_and(|voted| voted != successor) {
                    continue;
                }
                for node in 0..2 {
                    let new = !row.shown[node][successor as usize];
                    if new && state.taken[node].is_none() {
                        actions.push(Deliver {
                            voter,
                            successor,
                            node,
                        });
                    }
                }
            }
        }
    }

    fn next_state(&self, last: &State, action: Deliver) -> Option<State> {
        let Deliver {
            voter,
            successor,
            node,
        } = action;
        let mut state = *last;
        if !self.is_cheat(voter) {
            state.rows[voter].voted = Some(successor);
        }
        state.rows[voter].shown[node][successor as usize] = true;
        let held = state.held(node);
        state.taken[node] = Successor::ALL
            .into_iter()
            .find(|successor| self.rules.is_decided(held, *successor));
        Some(state.canonical(self))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_SUCCESSOR, |_, state: &State| !state.is_split()),
            Property::always(NAMED, |model: &Self, state: &State| {
                let both = || state.held(0).and(state.held(1)).ballot();
                !state.is_split()
                    || both().double_voters().count() > model.rules.thresholds.faults()
            }),
            Property::always(WITHIN, |model: &Self, state: &State| {
                let both = || state.held(0).and(state.held(1));
                let mut taken = state.taken.into_iter().flatten();
                taken.all(|taken| model.rules.is_decided(both(), taken))
            }),
            Property::sometimes(
                "one decides A where the other sees B ahead",
                |_, state: &State| {
                    (0..2)
                        .filter(|node| state.taken[*node].is_some())
                        .any(|node| {
                            let other = state.held(1 - node).ballot();
                            let count = |successor| other.voters_for(&successor).count();
                            state.taken[node] == Some(Successor::A)
                                && count(Successor::B) > count(Successor::A)
                        })
                },
            ),
            Property::sometimes("both decide", |_, state: &State| {
                state.taken.iter().all(Option::is_some)
            }),
        ]
    }
}

fn truth() -> Rules {
    Rules::of(Thresholds::of(MEMBERS))
}

#[test]
fn two_cheats_of_seven_decide_nothing_twice() {
    holds("wide, N 7, f 2", Wide::new(truth()), 28_000);
}

#[test]
fn three_cheats_of_seven_are_named() {
    let model = Wide {
        cheats: 3,
        ..Wide::new(truth())
    };
    let mut state = State::default();
    for action in falls("wide, 3 cheats", model.clone(), ONE_SUCCESSOR) {
        state = model.next_state(&state, action).unwrap();
    }
    let both = state.held(0).and(state.held(1)).ballot();
    assert_eq!(both.double_voters().collect::<Vec<_>>(), [&4, &5, &6]);
    survives("wide, 3 cheats", model, NAMED, 78_000);
}

#[test]
fn mutant_one_vote_fewer_decides_twice() {
    let model = Wide::new(Rules {
        votes: truth().votes - 1,
        ..truth()
    });
    falls("wide, q - 1", model.clone(), ONE_SUCCESSOR);
    falls("wide, q - 1", model, NAMED);
}
