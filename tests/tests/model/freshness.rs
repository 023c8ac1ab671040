//! Freshness: how long a member that was removed can still be sent anything.
//!
//! Bounds: four members, f = 1, of whom member 3 is the cheat that epoch n + 1
//! removes. It tells every node what suits it, always in time: that it is on n
//! to those who are, and that it is on n + 1 to those who are not, which is the
//! worst it can do, since hearing more members cite n never makes a node less
//! fresh on n. Time is in ticks of one alive; every node sends one at each
//! tick, and each is delivered to each other node by itself, at once, late, in
//! any order, or never. An alive is young for two ticks. Nodes go on to n + 1
//! one by one, whenever they like, and restart whenever they like, with no
//! alives held. The clocks of honest nodes agree: what they differ by is added
//! to the bound. Ages over the limit are one, so the search is complete.
//!
//! A member may have several nodes. What one of them knows another may not, so
//! a member counts for an epoch when every one of its nodes says so.

use stateright::{Model, Property};
use watchfire_protocol::roster::Thresholds;

use super::rules::{Rules, falls, holds};

/// How many ticks an alive is young, and so the bound of exposure too.
const LIMIT: u8 = 2;

const NODES_MAX: usize = 4;

const BOUNDED: &str = "the limit after q members cite n + 1 nobody is fresh on n";

/// When a member counts for an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// When every node of it was heard citing that epoch lately.
    Every,
    /// When any was.
    Any,
}

/// What is explored: the rules, and whose each honest node is.
#[derive(Clone, Debug)]
struct Freshness {
    rules: Rules,
    counts: Counts,
    /// The member of each node, ascending; the cheat has none here.
    nodes: Vec<usize>,
}

/// The newest alive that is held of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Heard {
    /// None, or one that is no longer young.
    #[default]
    Nothing,
    /// It cited n, so many ticks ago.
    Old(u8),
    /// It cited n + 1, so many ticks ago.
    Next(u8),
}

impl Heard {
    fn later(self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Old(age) if age + 1 < LIMIT => Self::Old(age + 1),
            Self::Next(age) if age + 1 < LIMIT => Self::Next(age + 1),
            Self::Old(_) | Self::Next(_) => Self::Nothing,
        }
    }

    fn age(self) -> u8 {
        match self {
            Self::Nothing => LIMIT,
            Self::Old(age) | Self::Next(age) => age,
        }
    }

    fn cites(self, next: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Old(_) => !next,
            Self::Next(_) => next,
        }
    }
}

/// An honest node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Node {
    /// Ticks since it went on to n + 1, up to the limit.
    gone_on: Option<u8>,
    /// What it holds of each node; of itself, nothing.
    heard: [Heard; NODES_MAX],
}

impl Node {
    /// The alive it sent so many ticks ago, at the start of that tick: what it
    /// went on to within a tick, it cites from the next.
    fn sent(&self, age: u8) -> Heard {
        match self.gone_on {
            Some(ago) if ago > age => Heard::Next(age),
            Some(_) | None => Heard::Old(age),
        }
    }
}

/// Every honest node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State {
    nodes: [Node; NODES_MAX],
}

/// What can happen next; nodes are meant by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    GoOn(usize),
    Deliver { from: usize, age: u8, to: usize },
    Restart(usize),
}

impl Freshness {
    fn new(counts: Counts, nodes: &[usize]) -> Self {
        Self {
            rules: Rules::of(Thresholds::of(4)),
            counts,
            nodes: nodes.to_vec(),
        }
    }

    fn nodes_of(&self, member: usize) -> impl Iterator<Item = usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(move |(_, of)| **of == member)
            .map(|(node, _)| node)
    }

    fn members(&self) -> impl Iterator<Item = usize> {
        let last = self.nodes.last().copied().unwrap_or_default();
        0..=last
    }

    /// How many members count for the epoch this node is on, the cheat among
    /// them, and itself as far as the node knows.
    fn heard(&self, state: &State, node: usize) -> usize {
        let on_next = state.nodes[node].gone_on.is_some();
        let says = |other: usize| other == node || state.nodes[node].heard[other].cites(on_next);
        let honest = self.members().filter(|member| match self.counts {
            Counts::Every => self.nodes_of(*member).all(says),
            Counts::Any => self.nodes_of(*member).any(says),
        });
        1 + honest.count()
    }

    fn is_fresh(&self, state: &State, node: usize) -> bool {
        self.heard(state, node) >= self.rules.heard
    }

    /// Ticks since the last of q members, the cheat among them, had a node that
    /// went on; none while they are fewer. The clock starts when it goes on,
    /// within a tick after its last alive for n.
    fn removed(&self, state: &State) -> Option<u8> {
        let gone_on = |member| {
            self.nodes_of(member)
                .filter_map(|node| state.nodes[node].gone_on)
                .max()
        };
        let mut since: Vec<u8> = self.members().filter_map(gone_on).collect();
        since.sort_unstable_by(|one, two| two.cmp(one));
        since.get(self.rules.votes - 2).copied()
    }

    fn stale_fresh(&self, state: &State) -> bool {
        let all = 0..self.nodes.len();
        let mut behind = all.filter(|node| state.nodes[*node].gone_on.is_none());
        behind.any(|node| self.is_fresh(state, node))
    }

    /// The least of the states that differ in names alone, where each member
    /// has one node.
    fn canonical(&self, state: State) -> State {
        const NAMES: [[usize; 3]; 6] = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        if self.nodes != [0, 1, 2] {
            return state;
        }
        let renamed = NAMES.iter().map(|names| {
            let mut other = state;
            for (from, to) in names.iter().enumerate() {
                other.nodes[*to].gone_on = state.nodes[from].gone_on;
                for (of, name) in names.iter().enumerate() {
                    other.nodes[*to].heard[*name] = state.nodes[from].heard[of];
                }
            }
            other
        });
        renamed.min().unwrap_or(state)
    }
}

impl Model for Freshness {
    type State = State;
    type Action = Action;

    /// Nobody has heard of anybody, and everybody is on n.
    fn init_states(&self) -> Vec<State> {
        vec![State {
            nodes: [Node::default(); NODES_MAX],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        for to in 0..self.nodes.len() {
            let node = &state.nodes[to];
            if node.gone_on.is_none() {
                actions.push(Action::GoOn(to));
            }
            if node.heard.iter().any(|heard| *heard != Heard::Nothing) {
                actions.push(Action::Restart(to));
            }
            for from in (0..self.nodes.len()).filter(|from| *from != to) {
                // An alive that is no newer than what is held changes nothing.
                let newer = 0..node.heard[from].age();
                actions.extend(newer.map(|age| Action::Deliver { from, age, to }));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Tick => {
                for node in &mut state.nodes {
                    node.gone_on = node.gone_on.map(|ago| LIMIT.min(ago + 1));
                    node.heard = node.heard.map(Heard::later);
                }
            }
            Action::GoOn(node) => state.nodes[node].gone_on = Some(0),
            Action::Deliver { from, age, to } => {
                state.nodes[to].heard[from] = last.nodes[from].sent(age);
            }
            Action::Restart(node) => state.nodes[node].heard = [Heard::Nothing; NODES_MAX],
        }
        Some(self.canonical(state))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(BOUNDED, |model: &Self, state: &State| {
                model.removed(state).is_none_or(|ago| ago < LIMIT) || !model.stale_fresh(state)
            }),
            Property::sometimes(
                "fresh on n until just before",
                |model: &Self, state: &State| {
                    model.removed(state) == Some(LIMIT - 1) && model.stale_fresh(state)
                },
            ),
            Property::sometimes(
                "a node that was left behind is stale",
                |model: &Self, state: &State| {
                    model.removed(state) == Some(LIMIT)
                        && (0..model.nodes.len()).any(|node| state.nodes[node].gone_on.is_none())
                },
            ),
            Property::sometimes("everybody is fresh on n", |model: &Self, state: &State| {
                (0..model.nodes.len())
                    .all(|node| state.nodes[node].gone_on.is_none() && model.is_fresh(state, node))
            }),
            Property::sometimes(
                "everybody is fresh on n + 1",
                |model: &Self, state: &State| {
                    (0..model.nodes.len()).all(|node| {
                        state.nodes[node].gone_on.is_some() && model.is_fresh(state, node)
                    })
                },
            ),
        ]
    }
}

#[test]
fn a_removed_member_is_exposed_no_longer_than_the_limit() {
    let model = Freshness::new(Counts::Every, &[0, 1, 2]);
    holds("freshness, a node each", model, 10_000);
}

#[test]
fn mutant_f_plus_one_heard_stay_fresh_for_ever() {
    let mut model = Freshness::new(Counts::Every, &[0, 1, 2]);
    model.rules.heard = model.rules.thresholds.faults() + 1;
    falls("freshness, f + 1", model, BOUNDED);
}

#[test]
fn mutant_one_heard_fewer_stay_fresh_for_ever() {
    let mut model = Freshness::new(Counts::Every, &[0, 1, 2]);
    model.rules.heard -= 1;
    falls("freshness, r - 1", model, BOUNDED);
}

/// Two members with two nodes each, of which one went on and one did not: those
/// left behind would keep each other fresh if one node spoke for its member.
#[test]
fn mutant_any_node_speaks_for_its_member_and_stays_fresh_for_ever() {
    let model = Freshness::new(Counts::Any, &[0, 0, 1, 1]);
    falls("freshness, any node", model, BOUNDED);
}
