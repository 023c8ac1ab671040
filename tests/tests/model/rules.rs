//! The rules under test, what is voted on, and how a model is run.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker as _, HasDiscoveries, Model};
use watchfire_protocol::roster::{Ballot, Thresholds};

/// What the design demands, each rule by itself, so that one can be broken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Of how many members; everything below follows from it in `of`.
    pub(crate) thresholds: Thresholds,
    /// q: the votes that decide.
    pub(crate) votes: usize,
    /// r: the members heard of lately without whom nobody is fresh.
    pub(crate) heard: usize,
    /// f + 1: the members who suspend another.
    pub(crate) suspenders: usize,
    /// Whether a key that is new has to sign the roster that brings it.
    pub(crate) cosign: bool,
    /// Whether a vote is durable before anybody else can see it.
    pub(crate) durable_vote: bool,
    /// Whether a member may change its vote openly once it sees everybody's and
    /// nothing decided. Not allowed: `votes` has the test that says why.
    pub(crate) changed_vote: bool,
}

impl Rules {
    /// The true ones.
    pub(crate) fn of(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            votes: thresholds.votes(),
            heard: thresholds.heard(),
            suspenders: thresholds.suspenders(),
            cosign: true,
            durable_vote: true,
            changed_vote: false,
        }
    }

    /// Whether a node that holds these votes takes the successor for decided:
    /// asked of the protocol, unless q itself is what was broken.
    pub(crate) fn is_decided(&self, held: Held, successor: Successor) -> bool {
        let ballot = held.ballot();
        if self.votes == self.thresholds.votes() {
            return ballot.is_decided(&successor, self.thresholds);
        }
        ballot.voters_for(&successor).count() >= self.votes
            && ballot.double_voters().count() <= self.thresholds.faults()
    }
}

/// One of the two rosters proposed to follow epoch n. B brings a new root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Successor {
    A,
    B,
}

impl Successor {
    pub(crate) const ALL: [Self; 2] = [Self::A, Self::B];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    const fn bit(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// A set of votes of up to seven members, two bits each: a state is kept a
/// million times, a ballot is made of it when there is something to count. That
/// this loses nothing is what `casting_commutes` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Held(pub(crate) u16);

impl Held {
    const fn mask(voter: usize, successor: Successor) -> u16 {
        1 << (2 * voter + successor.bit())
    }

    pub(crate) const fn has(self, voter: usize, successor: Successor) -> bool {
        self.0 & Self::mask(voter, successor) != 0
    }

    pub(crate) const fn with(self, voter: usize, successor: Successor) -> Self {
        Self(self.0 | Self::mask(voter, successor))
    }

    /// Whether any vote of this member is among them.
    pub(crate) const fn heard(self, voter: usize) -> bool {
        self.has(voter, Successor::A) || self.has(voter, Successor::B)
    }

    /// The votes, in the order in which a member comes in the roster.
    fn votes(self) -> impl Iterator<Item = (usize, Successor)> {
        (0..8)
            .flat_map(|voter| Successor::ALL.map(|successor| (voter, successor)))
            .filter(move |(voter, successor)| self.has(*voter, *successor))
    }

    /// What a node holds that was handed these votes.
    pub(crate) fn ballot(self) -> Ballot<usize, Successor> {
        let mut ballot = Ballot::default();
        for (voter, successor) in self.votes() {
            ballot.cast(voter, successor);
        }
        ballot
    }

    /// Both sets of votes together: what two people see who compare them.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Only the votes for one successor: what its epoch carries.
    pub(crate) fn of(self, successor: Successor) -> Self {
        self.votes()
            .filter(|(_, voted)| *voted == successor)
            .fold(Self::default(), |votes, (voter, voted)| {
                votes.with(voter, voted)
            })
    }

    /// With the members renamed: `names[old]` is the new name.
    pub(crate) fn renamed(self, names: &[usize]) -> Self {
        self.votes()
            .fold(Self::default(), |votes, (voter, successor)| {
                votes.with(*names.get(voter).unwrap_or(&voter), successor)
            })
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

/// Explores everything and asserts one property, where others may fall.
pub(crate) fn survives<M>(name: &str, model: M, property: &'static str, states_min: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Clone + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Debug + Clone + PartialEq,
{
    // The search ends early only with this property, or with its last state.
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyOf([property].into()))
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    println!("{name}: {states} states, depth {}", checker.max_depth());
    checker.assert_no_discovery(property);
    assert!(
        states >= states_min,
        "{name}: {states} states, {states_min} expected"
    );
}

/// From every set of votes, two more in either order give the same ballot; so,
/// step by step, does every order of all of them.
#[test]
fn casting_commutes() {
    for bits in 0..=0xFF {
        let held = Held(bits);
        for (one, first) in Held(0xFF).votes() {
            for (two, second) in Held(0xFF).votes() {
                let (mut forth, mut back) = (held.ballot(), held.ballot());
                forth.cast(one, first);
                forth.cast(two, second);
                back.cast(two, second);
                back.cast(one, first);
                assert_eq!(forth, back);
                assert_eq!(forth, held.with(one, first).with(two, second).ballot());
            }
        }
    }
}

#[test]
fn a_mutant_differs_in_q_alone() {
    let truth = Rules::of(Thresholds::of(4));
    // Asking for a vote more than there are members is counted here, not there.
    let strict = Rules { votes: 5, ..truth };
    for bits in 0..=0xFF {
        let held = Held(bits);
        for successor in Successor::ALL {
            let ballot = held.ballot();
            let counted = ballot.voters_for(&successor).count() >= truth.votes
                && ballot.double_voters().count() <= truth.thresholds.faults();
            assert_eq!(truth.is_decided(held, successor), counted);
            assert!(!strict.is_decided(held, successor));
        }
    }
}

/// With two proposals a ballot forgets nothing; with three it does. Of a member
/// that signed all three it keeps the two that came first, so whether loose
/// votes decide the third depends on their order. An epoch therefore has to be
/// counted by the votes it carries, or one cheat could keep a node behind.
#[test]
fn third_vote_is_not_kept_so_an_epoch_is_counted_by_itself() {
    let thresholds = Thresholds::of(4);
    let cheat = 3;
    let mut loose = Ballot::default();
    let mut carried = Ballot::default();
    for (voter, roster) in [(cheat, 'a'), (cheat, 'b'), (0, 'c'), (1, 'c'), (cheat, 'c')] {
        loose.cast(voter, roster);
        if roster == 'c' {
            carried.cast(voter, roster);
        }
    }
    assert!(carried.is_decided(&'c', thresholds));
    assert!(!loose.is_decided(&'c', thresholds));
    loose.cast(2, 'c');
    assert!(loose.is_decided(&'c', thresholds));
}
