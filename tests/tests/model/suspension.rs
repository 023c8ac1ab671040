//! Suspensions: what two nodes believe who were handed the same statements.
//!
//! Bounds: four members, f = 1; two nodes, each handed any of the statements
//! below in any order, again, or never; each may restart at any time and hold
//! none of them, and each may at any time take the next epoch, which expels
//! the cheat, member 3. Honest members sign one suspension each and one of
//! them takes it back; the cheat signs four, two of them with one time. A
//! node keeps a statement of each signer about each member, the one made last
//! and of two with one time the one of the greater id; and of each signer it
//! keeps the greatest eight by that order, here one: it is the bound that is
//! of interest, not its size. The search is complete.

use std::collections::BTreeSet;

use stateright::{Model, Property};
use watchfire_protocol::roster::Thresholds;

use super::rules::{Rules, falls, holds};

const CHEAT: usize = 3;
const SUBJECTS: [usize; 2] = [0, 1];
const TICKS: u8 = 5;
const PER_SIGNER: usize = 1;

const SAME_KEPT: &str = "who was handed the same keeps the same";
const SAME_BELIEVED: &str = "who was handed the same believes the same at every time";
const HONEST: &str = "nobody is suspended without an honest member's word for that time";

/// That `signer` wants `subject` suspended from `created` until `until`.
struct Statement {
    signer: usize,
    subject: usize,
    created: u8,
    until: u8,
}

const fn says(signer: usize, subject: usize, created: u8, until: u8) -> Statement {
    Statement {
        signer,
        subject,
        created,
        until,
    }
}

/// All that is ever signed; the place in this list stands for the statement id.
const SIGNED: [Statement; 7] = [
    says(1, 0, 1, 4),
    // Taken back.
    says(1, 0, 2, 2),
    says(2, 0, 1, 3),
    // Two with one time, of which one takes back the other.
    says(CHEAT, 0, 1, 4),
    says(CHEAT, 0, 1, 1),
    // About somebody else, so that the cheat is over its bound.
    says(CHEAT, 1, 2, 4),
    says(CHEAT, 0, 3, 4),
];

/// What is explored: the rules, and two more ways to get them wrong.
#[derive(Clone, Debug)]
struct Suspension {
    rules: Rules,
    /// Of two with one time the greater statement id is kept; else the first.
    ties_by_id: bool,
    /// Over the bound the newest are kept; else those that came first.
    newest_kept: bool,
}

impl Suspension {
    fn new() -> Self {
        Self {
            rules: Rules::of(Thresholds::of(4)),
            ties_by_id: true,
            newest_kept: true,
        }
    }

    fn is_newer(&self, one: usize, two: usize) -> bool {
        let created = |id: usize| SIGNED[id].created;
        created(one) > created(two) || created(one) == created(two) && self.ties_by_id && one > two
    }
}

/// Statements, by their place in the list.
type Set = BTreeSet<usize>;

/// One of the two nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Node {
    /// What it was handed since it last started.
    handed: Set,
    /// What it keeps of that.
    kept: Set,
    /// It has taken the epoch in which the cheat is gone.
    next_epoch: bool,
}

impl Node {
    fn take(&mut self, model: &Suspension, id: usize) {
        self.handed.insert(id);
        let new = &SIGNED[id];
        let of_signer = |kept: &Set| -> Vec<usize> {
            let mine = kept
                .iter()
                .filter(|kept| SIGNED[**kept].signer == new.signer);
            mine.copied().collect()
        };
        let about = |id: &usize| SIGNED[*id].subject == new.subject;
        if let Some(held) = of_signer(&self.kept).into_iter().find(about) {
            if model.is_newer(id, held) {
                self.kept.remove(&held);
                self.kept.insert(id);
            }
            return;
        }
        let full = of_signer(&self.kept).len() >= PER_SIGNER;
        if full && !model.newest_kept {
            return;
        }
        self.kept.insert(id);
        if full {
            let key = |id: &usize| (SIGNED[*id].created, *id);
            let oldest = of_signer(&self.kept).into_iter().min_by_key(key).unwrap();
            self.kept.remove(&oldest);
        }
    }

    /// f + 1 others, none of them expelled, each with its newest word for it.
    fn is_suspended(&self, model: &Suspension, subject: usize, at: u8) -> bool {
        let for_it = |id: &&usize| {
            let said = &SIGNED[**id];
            let counts = said.signer != subject && !(self.next_epoch && said.signer == CHEAT);
            counts && said.subject == subject && (said.created..said.until).contains(&at)
        };
        let signers: BTreeSet<_> = self
            .kept
            .iter()
            .filter(for_it)
            .map(|id| SIGNED[*id].signer)
            .collect();
        signers.len() >= model.rules.suspenders
    }

    /// Who is suspended when.
    fn believed(&self, model: &Suspension) -> Vec<(usize, u8)> {
        let all = SUBJECTS
            .into_iter()
            .flat_map(|subject| (0..TICKS).map(move |at| (subject, at)));
        all.filter(|(subject, at)| self.is_suspended(model, *subject, *at))
            .collect()
    }
}

/// Neither node has a name, so they stand in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    nodes: [Node; 2],
}

/// What can happen next, to which of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Deliver(usize, usize),
    NextEpoch(usize),
    Restart(usize),
}

impl Model for Suspension {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (node, holder) in state.nodes.iter().enumerate() {
            // Known ones too: gossip brings everything again.
            actions.extend((0..SIGNED.len()).map(|id| Action::Deliver(node, id)));
            if !holder.next_epoch {
                actions.push(Action::NextEpoch(node));
            }
            if !holder.handed.is_empty() {
                actions.push(Action::Restart(node));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Deliver(node, id) => state.nodes[node].take(self, id),
            Action::NextEpoch(node) => state.nodes[node].next_epoch = true,
            Action::Restart(node) => {
                state.nodes[node].handed.clear();
                state.nodes[node].kept.clear();
            }
        }
        state.nodes.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAME_KEPT, |_, state: &State| {
                let [one, two] = &state.nodes;
                one.handed != two.handed || one.kept == two.kept
            }),
            Property::always(SAME_BELIEVED, |model: &Self, state: &State| {
                let [one, two] = &state.nodes;
                let comparable = one.handed == two.handed && one.next_epoch == two.next_epoch;
                !comparable || one.believed(model) == two.believed(model)
            }),
            Property::always(HONEST, |model: &Self, state: &State| {
                state.nodes.iter().all(|node| {
                    node.believed(model).into_iter().all(|(subject, at)| {
                        node.handed.iter().map(|id| &SIGNED[*id]).any(|said| {
                            said.signer != CHEAT
                                && said.subject == subject
                                && (said.created..said.until).contains(&at)
                        })
                    })
                })
            }),
            Property::sometimes("suspended", |model: &Self, state: &State| {
                state
                    .nodes
                    .iter()
                    .any(|node| node.is_suspended(model, 0, 2))
            }),
            Property::sometimes(
                "suspended by the honest alone",
                |model: &Self, state: &State| {
                    let mut nodes = state.nodes.iter();
                    nodes.any(|node| node.next_epoch && node.is_suspended(model, 0, 1))
                },
            ),
            Property::sometimes(
                "one believes what the other does not yet",
                |model: &Self, state: &State| {
                    let [one, two] = &state.nodes;
                    one.is_suspended(model, 0, 1) != two.is_suspended(model, 0, 1)
                },
            ),
            Property::sometimes(
                "taken back before its end",
                |model: &Self, state: &State| {
                    let kept = |node: &Node| node.kept.contains(&1) && node.kept.contains(&2);
                    let mut nodes = state.nodes.iter();
                    nodes.any(|node| kept(node) && !node.is_suspended(model, 0, 2))
                },
            ),
        ]
    }
}

#[test]
fn suspensions_converge_under_every_order() {
    holds("suspension", Suspension::new(), 32_000);
}

#[test]
fn mutant_f_members_suspend_and_a_cheat_does_alone() {
    let mut model = Suspension::new();
    model.rules.suspenders -= 1;
    falls("suspension, f", model, HONEST);
}

/// Of two statements with one time the first to come would be kept: then one
/// member that signs two has two halves of a federation believe two things.
#[test]
fn mutant_ties_keep_what_is_held_and_never_converge() {
    let model = Suspension {
        ties_by_id: false,
        ..Suspension::new()
    };
    falls("suspension, ties", model.clone(), SAME_KEPT);
    falls("suspension, ties", model, SAME_BELIEVED);
}

/// Over the bound the first to come would be kept: the same, by signing about
/// more members than are kept.
#[test]
fn mutant_bound_keeps_what_came_first_and_never_converges() {
    let model = Suspension {
        newest_kept: false,
        ..Suspension::new()
    };
    falls("suspension, bound", model.clone(), SAME_KEPT);
    falls("suspension, bound", model, SAME_BELIEVED);
}
