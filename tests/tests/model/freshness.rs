//! Freshness: how long a member that was removed can still be sent anything.
//!
//! Bounds: one member, f = 1 of four or two of seven, is removed by epoch n + 1
//! and its fellow cheats help it. They tell a node what suits them, always in
//! time: to one that is on n that they are, and to others that they are on
//! n + 1, which is the worst they can do, since hearing more members cite n
//! never makes a node less fresh on n. Time is in ticks of one alive; every node
//! sends one at each tick, and each is delivered at once, late, in any order, or
//! never. An alive is young for three ticks. Nodes go on to n + 1 one by one,
//! whenever they like, and the one looked at restarts whenever it likes, with no
//! alives held. What a node heard changes neither what others send nor when it
//! goes on itself, so it is enough to look at one, which may be any. The clocks
//! of honest nodes agree: what they differ by is added to the bound. Ages over
//! the limit are one, so the search is complete.
//!
//! A member may have several nodes. What one of them knows another may not, so
//! a member counts for a roster when every one of its nodes whose certificate
//! stands and is current was heard to hold it within the limit. The nodes here
//! are those; what ends one, or hides one, is not explored.

use stateright::{Model, Property};
use watchfire_protocol::roster::Thresholds;

use super::rules::{Rules, falls, holds};

/// How many ticks an alive is young, and so the bound of exposure too.
const LIMIT: u8 = 3;

const NODES_MAX: usize = 6;

/// The node that is looked at.
const LOOKED_AT: usize = 0;

const BOUNDED: &str = "the limit after q members cite n + 1 nobody is fresh on n";

/// When a member counts for an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// When every node of it that is known was heard citing that epoch lately.
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
    /// The node of which the one looked at does not know that it is there.
    unknown: Option<usize>,
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

/// The honest nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State {
    /// Of each, ticks since it went on to n + 1, up to the limit.
    gone_on: [Option<u8>; NODES_MAX],
    /// What the one looked at holds of each; of itself, nothing.
    heard: [Heard; NODES_MAX],
}

impl State {
    /// The alive a node sent so many ticks ago, at the start of that tick: what
    /// it went on to within a tick, it cites from the next.
    fn sent(&self, node: usize, age: u8) -> Heard {
        match self.gone_on[node] {
            Some(ago) if ago > age => Heard::Next(age),
            Some(_) | None => Heard::Old(age),
        }
    }

    fn is_left_behind(&self) -> bool {
        self.gone_on[LOOKED_AT].is_none()
    }
}

/// What can happen next; nodes are meant by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    GoOn(usize),
    /// To the one looked at: the alive of another, sent so many ticks ago.
    Deliver {
        from: usize,
        age: u8,
    },
    Restart,
}

impl Freshness {
    fn new(members: usize, counts: Counts, nodes: &[usize]) -> Self {
        Self {
            rules: Rules::of(Thresholds::of(members)),
            counts,
            nodes: nodes.to_vec(),
            unknown: None,
        }
    }

    fn cheats(&self) -> usize {
        self.rules.thresholds.faults()
    }

    fn nodes_of(&self, member: usize) -> impl Iterator<Item = usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(move |(_, of)| **of == member)
            .map(|(node, _)| node)
    }

    fn known_of(&self, member: usize) -> impl Iterator<Item = usize> {
        self.nodes_of(member)
            .filter(|node| self.unknown != Some(*node))
    }

    fn members(&self) -> impl Iterator<Item = usize> {
        0..=self.nodes.last().copied().unwrap_or_default()
    }

    /// Whether enough members count for the epoch the node is on: the cheats,
    /// itself as far as it knows, and who was heard of.
    fn is_fresh(&self, state: &State) -> bool {
        let on_next = !state.is_left_behind();
        let says = |node: usize| node == LOOKED_AT || state.heard[node].cites(on_next);
        let honest = self.members().filter(|member| match self.counts {
            Counts::Every => self.known_of(*member).all(says),
            Counts::Any => self.known_of(*member).any(says),
        });
        self.cheats() + honest.count() >= self.rules.heard
    }

    /// Ticks since the last of q members, the cheats among them, had a node that
    /// went on; none while they are fewer. The clock starts when it goes on,
    /// within a tick after its last alive for n.
    fn removed(&self, state: &State) -> Option<u8> {
        let gone_on = |member| {
            self.nodes_of(member)
                .filter_map(|node| state.gone_on[node])
                .max()
        };
        let mut since: Vec<u8> = self.members().filter_map(gone_on).collect();
        since.sort_unstable_by(|one, two| two.cmp(one));
        since.get(self.rules.commits - self.cheats() - 1).copied()
    }
}

impl Freshness {
    /// Members with one node each are interchangeable, but for the one looked
    /// at: they stand in order.
    fn canonical(&self, mut state: State) -> State {
        let nodes = self.nodes.len();
        if self.members().count() == nodes {
            let mut others: Vec<_> = (1..nodes)
                .map(|node| (state.gone_on[node], state.heard[node]))
                .collect();
            others.sort_unstable();
            for (node, (gone_on, heard)) in (1..nodes).zip(others) {
                state.gone_on[node] = gone_on;
                state.heard[node] = heard;
            }
        }
        state
    }
}

impl Model for Freshness {
    type State = State;
    type Action = Action;

    /// Nobody was heard of, and everybody is on n.
    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        if state.heard.iter().any(|heard| *heard != Heard::Nothing) {
            actions.push(Action::Restart);
        }
        for node in 0..self.nodes.len() {
            if state.gone_on[node].is_none() {
                actions.push(Action::GoOn(node));
            }
            if node != LOOKED_AT {
                // An alive that is no newer than what is held changes nothing.
                let newer = 0..state.heard[node].age();
                actions.extend(newer.map(|age| Action::Deliver { from: node, age }));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Tick => {
                state.gone_on = last.gone_on.map(|ago| ago.map(|ago| LIMIT.min(ago + 1)));
                state.heard = last.heard.map(Heard::later);
            }
            Action::GoOn(node) => state.gone_on[node] = Some(0),
            Action::Deliver { from, age } => state.heard[from] = last.sent(from, age),
            Action::Restart => state.heard = [Heard::Nothing; NODES_MAX],
        }
        Some(self.canonical(state))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(BOUNDED, |model: &Self, state: &State| {
                let over = model.removed(state) == Some(LIMIT);
                !(over && state.is_left_behind() && model.is_fresh(state))
            }),
            Property::sometimes(
                "fresh on n until just before",
                |model: &Self, state: &State| {
                    let just_before = model.removed(state) == Some(LIMIT - 1);
                    just_before && state.is_left_behind() && model.is_fresh(state)
                },
            ),
            Property::sometimes("left behind and stale", |model: &Self, state: &State| {
                model.removed(state) == Some(LIMIT) && state.is_left_behind()
            }),
            Property::sometimes("fresh on n + 1", |model: &Self, state: &State| {
                !state.is_left_behind() && model.is_fresh(state)
            }),
        ]
    }
}

#[test]
fn a_removed_member_is_exposed_no_longer_than_the_limit() {
    let four = Freshness::new(4, Counts::Every, &[0, 1, 2]);
    holds("freshness, N 4, f 1", four, 1_000);
    let seven = Freshness::new(7, Counts::Every, &[0, 1, 2, 3, 4]);
    holds("freshness, N 7, f 2", seven, 44_000);
}

#[test]
fn a_removed_member_is_exposed_no_longer_where_others_have_two_nodes() {
    let model = Freshness::new(4, Counts::Every, &[0, 0, 1, 1]);
    holds("freshness, two nodes each", model, 40_000);
}

#[test]
fn mutant_f_plus_one_heard_stay_fresh_for_ever() {
    let mut model = Freshness::new(4, Counts::Every, &[0, 1, 2]);
    model.rules.heard = model.cheats() + 1;
    falls("freshness, f + 1, N 4", model, BOUNDED);
    let mut model = Freshness::new(7, Counts::Every, &[0, 1, 2, 3, 4]);
    model.rules.heard = model.cheats() + 1;
    falls("freshness, f + 1, N 7", model, BOUNDED);
}

#[test]
fn mutant_one_heard_fewer_stay_fresh_for_ever() {
    let mut model = Freshness::new(4, Counts::Every, &[0, 1, 2]);
    model.rules.heard -= 1;
    falls("freshness, r - 1", model, BOUNDED);
}

/// Two members with two nodes each, of which one went on and one did not: those
/// left behind would keep each other fresh if one node spoke for its member.
#[test]
fn mutant_any_node_speaks_for_its_member_and_stays_fresh_for_ever() {
    let model = Freshness::new(4, Counts::Any, &[0, 0, 1, 1]);
    falls("freshness, any node", model, BOUNDED);
}

/// Every node is every node that is known: of a member whose second node one
/// was never told of, the first speaks for it. The bound holds where the
/// certificates of an honest member reach everybody.
#[test]
fn open_node_that_is_not_known_is_not_waited_for() {
    let mut model = Freshness::new(4, Counts::Every, &[0, 1, 1, 2]);
    model.unknown = Some(2);
    falls("freshness, unknown node", model, BOUNDED);
}
