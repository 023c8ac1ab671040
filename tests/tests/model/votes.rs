//! Four members, one of whom may lie: votes on what follows an epoch.
//!
//! Bounds: one epoch, two proposals A and B, of which B brings a new root key;
//! each honest member votes at most once and its node restarts at most once,
//! at any moment; votes are delivered in any order, again, or never, each to
//! each node by itself. The cheat, member 3, votes for both and shows either
//! to whom it likes, whenever it likes; the new key's owner signs B or does
//! not. A node that has taken a successor keeps it, and the votes it took it
//! by, on disk. Within that the search is complete; states that differ only
//! in which honest member is which count once.
//!
//! A suspension is not in here: it changes neither who votes nor what a vote
//! counts, so the two have no variable in common; `suspension` has it.

use stateright::{Model, Property};

use super::rules::{Held, Rules, Successor};

pub(crate) const MEMBERS: usize = 4;

pub(crate) const ONE_SUCCESSOR: &str = "no two successors are decided";
pub(crate) const NAMED: &str = "two decided name more double signers than may lie";
pub(crate) const FAIR: &str = "nobody is named who voted once";
pub(crate) const CONSENT: &str = "no key is brought in that did not sign";
pub(crate) const SHOWN: &str = "what one has taken, everybody who sees all votes would";

/// The ways to name three honest members, and the fourth who stays the cheat.
const NAMES: [[usize; MEMBERS]; 6] = [
    [0, 1, 2, 3],
    [0, 2, 1, 3],
    [1, 0, 2, 3],
    [1, 2, 0, 3],
    [2, 0, 1, 3],
    [2, 1, 0, 3],
];

/// What is explored: the rules, how many of the last members lie, and whether
/// B brings a new key.
#[derive(Clone, Debug)]
pub(crate) struct Votes {
    pub(crate) rules: Rules,
    pub(crate) cheats: usize,
    pub(crate) new_key: bool,
    pub(crate) restarts: bool,
    /// What was voted, and sent, before the search begins.
    pub(crate) begun: Vec<Successor>,
    /// For each set of votes, whether it decides A, and B.
    pub(crate) decided: Vec<[bool; 2]>,
    /// For each of `NAMES` and each set of votes, those votes under new names.
    pub(crate) renamed: Vec<Vec<Held>>,
}

impl Votes {
    pub(crate) fn new(rules: Rules) -> Self {
        let sets = || (0..1 << (2 * MEMBERS)).map(Held);
        let decided = |held| Successor::ALL.map(|successor| rules.is_decided(held, successor));
        Self {
            rules,
            cheats: rules.thresholds.faults(),
            new_key: false,
            restarts: true,
            begun: Vec::new(),
            decided: sets().map(decided).collect(),
            renamed: NAMES
                .iter()
                .map(|names| sets().map(|held| held.renamed(names)).collect())
                .collect(),
        }
    }

    fn honest(&self) -> usize {
        MEMBERS - self.cheats
    }

    fn is_decided(&self, held: Held, successor: Successor) -> bool {
        self.decided[usize::from(held.0)][successor as usize]
    }

    fn is_cheat(&self, member: usize) -> bool {
        member >= self.honest()
    }
}

/// An honest member: its root, and its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seat {
    /// What its root remembers to have signed.
    voted: Option<Successor>,
    /// What of that a restart leaves.
    durable: Option<Successor>,
    /// Which of its votes others can have.
    sent: [bool; 2],
    /// It changed its vote, openly.
    changed: bool,
    /// The votes its node holds; none are needed once it has taken a successor.
    held: Held,
    /// Its node holds the new key's signature on B.
    cosigned: bool,
    /// What its node has taken, with the votes that showed it.
    taken: Option<(Successor, Held)>,
    restarted: bool,
}

/// The honest members, and whether the new key has signed B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    /// Those of the cheats stay as they began.
    seats: [Seat; MEMBERS],
    cosigned: bool,
}

/// What can happen next; members are meant by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Vote(usize, Successor),
    Persist(usize),
    Change(usize),
    Cosign,
    Deliver {
        voter: usize,
        successor: Successor,
        to: usize,
    },
    DeliverCosigned(usize),
    Restart(usize),
}

impl State {
    /// Every vote that somebody could have been handed.
    fn sent(&self, model: &Votes) -> Held {
        let mut all = Held::default();
        for member in 0..MEMBERS {
            for successor in Successor::ALL {
                if self.is_sent(model, member, successor) {
                    all = all.with(member, successor);
                }
            }
        }
        all
    }

    fn honest<'a>(&'a self, model: &Votes) -> impl Iterator<Item = &'a Seat> {
        self.seats.iter().take(model.honest())
    }

    fn is_sent(&self, model: &Votes, member: usize, successor: Successor) -> bool {
        model.is_cheat(member) || self.seats[member].sent[successor as usize]
    }

    fn taken(&self) -> impl Iterator<Item = (Successor, Held)> {
        self.seats.iter().filter_map(|seat| seat.taken)
    }

    /// The votes that show two different successors, when two were taken.
    pub(crate) fn two(&self) -> impl Iterator<Item = Held> {
        self.taken().flat_map(move |(one, votes)| {
            self.taken()
                .filter(move |(two, _)| *two != one)
                .map(move |(_, others)| votes.and(others))
        })
    }

    /// The least of the states that differ in the honest members' names alone.
    fn canonical(&self, model: &Votes) -> Self {
        if model.cheats != 1 {
            return *self;
        }
        let mut least = *self;
        for (names, renamed) in NAMES.iter().zip(&model.renamed) {
            let rename = |held: Held| renamed[usize::from(held.0)];
            let mut other = *self;
            for (seat, name) in self.seats.iter().zip(names).take(model.honest()) {
                other.seats[*name] = Seat {
                    held: rename(seat.held),
                    taken: seat.taken.map(|(taken, votes)| (taken, rename(votes))),
                    ..*seat
                };
            }
            least = least.min(other);
        }
        least
    }
}

impl Seat {
    /// Takes the first successor that what it holds decides.
    fn count(&mut self, model: &Votes) {
        if self.taken.is_some() {
            return;
        }
        let decided = Successor::ALL.into_iter().find(|successor| {
            let free = *successor == Successor::A || !model.new_key || !model.rules.cosign;
            (free || self.cosigned) && model.is_decided(self.held, *successor)
        });
        if let Some(decided) = decided {
            self.taken = Some((decided, self.held.of(decided)));
            // Votes on an epoch that is decided are asked for by nobody.
            self.held = Held::default();
            self.cosigned = false;
        }
    }

    fn hold(&mut self, voter: usize, successor: Successor) {
        if self.taken.is_none() {
            self.held = self.held.with(voter, successor);
        }
    }
}

impl Model for Votes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let begun = self.begun.iter().enumerate();
        vec![begun.fold(State::default(), |state, (member, choice)| {
            self.next_state(&state, Action::Vote(member, *choice))
                .unwrap_or(state)
        })]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.new_key && !state.cosigned {
            actions.push(Action::Cosign);
        }
        for (member, seat) in state.seats.iter().take(self.honest()).enumerate() {
            match seat.voted {
                None => {
                    actions.extend(Successor::ALL.map(|choice| Action::Vote(member, choice)));
                }
                Some(_) => {
                    if seat.durable != seat.voted {
                        actions.push(Action::Persist(member));
                    }
                    let everybody = (0..MEMBERS).all(|voter| seat.held.heard(voter));
                    if self.rules.changed_vote && !seat.changed && everybody {
                        actions.push(Action::Change(member));
                    }
                }
            }
            if self.restarts && !seat.restarted {
                actions.push(Action::Restart(member));
            }
            if seat.taken.is_some() {
                continue;
            }
            if state.cosigned && !seat.cosigned {
                actions.push(Action::DeliverCosigned(member));
            }
            for voter in 0..MEMBERS {
                for successor in Successor::ALL {
                    let new = !seat.held.has(voter, successor);
                    if new && state.is_sent(self, voter, successor) {
                        actions.push(Action::Deliver {
                            voter,
                            successor,
                            to: member,
                        });
                    }
                }
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Vote(member, choice) => {
                let seat = &mut state.seats[member];
                seat.voted = Some(choice);
                // One step: a crash between disk and network is a vote that is
                // never delivered, which is among what is explored anyway.
                seat.sent[choice as usize] = true;
                if self.rules.durable_vote {
                    seat.durable = seat.voted;
                }
                seat.hold(member, choice);
                seat.count(self);
            }
            Action::Persist(member) => state.seats[member].durable = state.seats[member].voted,
            Action::Change(member) => {
                let seat = &mut state.seats[member];
                let other = seat.voted?.other();
                seat.voted = Some(other);
                seat.durable = seat.voted;
                seat.sent[other as usize] = true;
                seat.changed = true;
                seat.hold(member, other);
                seat.count(self);
            }
            Action::Cosign => state.cosigned = true,
            Action::Deliver {
                voter,
                successor,
                to,
            } => {
                let instead = state
                    .seats
                    .get(voter)
                    .is_some_and(|seat| seat.changed && seat.voted == Some(successor));
                let seat = &mut state.seats[to];
                seat.hold(voter, successor);
                if instead {
                    // A changed vote says what it is instead of.
                    seat.hold(voter, successor.other());
                }
                seat.count(self);
            }
            Action::DeliverCosigned(member) => {
                state.seats[member].cosigned = true;
                state.seats[member].count(self);
            }
            Action::Restart(member) => {
                let seat = &mut state.seats[member];
                seat.restarted = true;
                seat.voted = seat.durable;
                seat.held = Held::default();
                seat.cosigned = false;
                if let Some(voted) = seat.durable {
                    seat.hold(member, voted);
                }
            }
        }
        Some(state.canonical(self))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_SUCCESSOR, |_, state: &State| {
                state.two().next().is_none()
            }),
            Property::always(NAMED, |model: &Self, state: &State| {
                let faults = model.rules.thresholds.faults();
                state
                    .two()
                    .all(|votes| votes.ballot().double_voters().count() > faults)
            }),
            Property::always(FAIR, |model: &Self, state: &State| {
                state.honest(model).all(|seat| seat.sent != [true; 2])
            }),
            Property::always(CONSENT, |model: &Self, state: &State| {
                !model.new_key
                    || state.cosigned
                    || state.taken().all(|(taken, _)| taken == Successor::A)
            }),
            Property::always(SHOWN, |model: &Self, state: &State| {
                // Nearly every state has taken nothing, and is asked nothing.
                let mut taken = state.taken().peekable();
                taken.peek().is_none() || {
                    let all = state.sent(model);
                    taken.all(|(taken, _)| model.is_decided(all, taken))
                }
            }),
            Property::sometimes("A is decided everywhere", |model: &Self, state: &State| {
                state
                    .honest(model)
                    .all(|seat| matches!(seat.taken, Some((Successor::A, _))))
            }),
            Property::sometimes("B is decided everywhere", |model: &Self, state: &State| {
                state
                    .honest(model)
                    .all(|seat| matches!(seat.taken, Some((Successor::B, _))))
            }),
            Property::sometimes("a double signer is seen", |model: &Self, state: &State| {
                let cheat = |seat: &&Seat| {
                    Successor::ALL
                        .iter()
                        .all(|vote| seat.held.has(MEMBERS - 1, *vote))
                };
                let mut seats = state.honest(model).filter(cheat);
                seats.any(|seat| seat.held.ballot().double_voters().eq([&(MEMBERS - 1)]))
            }),
            Property::sometimes(
                "all have voted and nothing is decided",
                |model: &Self, state: &State| {
                    state
                        .honest(model)
                        .all(|seat| seat.durable.is_some() && seat.taken.is_none())
                },
            ),
        ]
    }
}
