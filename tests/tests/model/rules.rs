//! The rules under test, and how a model is run.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker as _, HasDiscoveries, Model};
use watchfire_protocol::roster::{Thresholds, VoteRefusal};

/// What the design demands, each rule by itself, so that one can be broken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Of how many members; everything below follows from it in `of`.
    pub(crate) thresholds: Thresholds,
    /// Whose q those count by who ask whether enough have prepared.
    pub(crate) prepares: Thresholds,
    /// q: the commits of one round that decide.
    pub(crate) commits: usize,
    /// r: the members heard of lately without whom nobody is fresh.
    pub(crate) heard: usize,
    /// f + 1: the members who suspend another.
    pub(crate) suspenders: usize,
    /// A refusal of the protocol that honest members do not heed; none. That a
    /// round is past is heeded by who prepares in any case.
    pub(crate) unheeded: Option<VoteRefusal>,
    /// Whether a commit is taken only with the prepares it stands on, which
    /// then count whatever else their signers signed.
    pub(crate) commits_carry: bool,
    /// Whether nobody prepares in the round of its last commit, nor below.
    pub(crate) prepares_first: bool,
    /// Whether a vote is durable before anybody else can see it.
    pub(crate) durable_first: bool,
    /// Whether what enough prepared binds a node that saw it, and not only what
    /// it was told that its root committed.
    pub(crate) seen_locks: bool,
    /// Whether a root signs what its own member's node saw prepared, and not
    /// what a packet of somebody else's shows.
    pub(crate) own_packets: bool,
}

impl Rules {
    /// The true ones.
    pub(crate) fn of(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            prepares: thresholds,
            commits: thresholds.votes(),
            heard: thresholds.heard(),
            suspenders: thresholds.suspenders(),
            unheeded: None,
            commits_carry: true,
            prepares_first: true,
            durable_first: true,
            seen_locks: true,
            own_packets: true,
        }
    }

    /// With a q for prepares that is one less: that of a smaller federation.
    pub(crate) fn one_prepare_fewer(mut self) -> Self {
        let fewer = self.thresholds.votes() - 1;
        let mut smaller = (1..self.thresholds.members()).map(Thresholds::of);
        self.prepares = smaller.find(|of| of.votes() == fewer).unwrap();
        self
    }
}

/// Explores everything, says how much that was, and asserts every property.
/// Fewer states than `states_min` mean that the model lost what it was about.
pub(crate) fn holds<M>(name: &str, model: M, states_min: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Clone + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Debug + Clone + PartialEq,
{
    // With one thread the search is breadth first and the same every time.
    let checker = model.checker().spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{name}: {states} states, depth {}", checker.max_depth());
    checker.assert_properties();
    assert!(
        states >= states_min,
        "{name}: {states} states, {states_min} expected"
    );
}

/// Explores until the property falls, and gives a short way there: the search
/// ends with the block of states in which it fell.
pub(crate) fn falls<M>(name: &str, model: M, property: &'static str) -> Vec<M::Action>
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Clone + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Debug + Clone + PartialEq,
{
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyOf([property].into()))
        .spawn_bfs()
        .join();
    let way = checker.assert_any_discovery(property).into_actions();
    println!("{name}: \"{property}\" falls by {way:?}");
    way
}
