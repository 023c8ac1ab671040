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
use watchfire_protocol::roster::Thresholds;

use super::rules::{Held, Rules, Successor, falls, holds};

const MEMBERS: usize = 4;

const ONE_SUCCESSOR: &str = "no two successors are decided";
const NAMED: &str = "two decided name more double signers than may lie";
const FAIR: &str = "nobody is named who voted once";
const CONSENT: &str = "no key is brought in that did not sign";
const SHOWN: &str = "what one has taken, everybody who sees all votes would";

/// What is explored: the rules, and how many of the last members lie.
#[derive(Clone, Debug)]
struct Votes {
    rules: Rules,
    cheats: usize,
}

impl Votes {
    fn new() -> Self {
        let rules = Rules::of(Thresholds::of(MEMBERS));
        let cheats = rules.thresholds.faults();
        Self { rules, cheats }
    }

    fn honest(&self) -> usize {
        MEMBERS - self.cheats
    }

    fn is_cheat(&self, member: usize) -> bool {
        member >= self.honest()
    }
}

/// An honest member: its root, and its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Seat {
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
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State {
    seats: Vec<Seat>,
    cosigned: bool,
}

/// What can happen next; members are meant by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Vote(usize, Successor),
    Persist(usize),
    Send(usize),
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

    fn is_sent(&self, model: &Votes, member: usize, successor: Successor) -> bool {
        model.is_cheat(member) || self.seats[member].sent[successor as usize]
    }

    fn taken(&self) -> impl Iterator<Item = (Successor, Held)> {
        self.seats.iter().filter_map(|seat| seat.taken)
    }

    /// The votes that show two different successors, when two were taken.
    fn two(&self) -> impl Iterator<Item = Held> {
        self.taken().flat_map(move |(one, votes)| {
            self.taken()
                .filter(move |(two, _)| *two != one)
                .map(move |(_, others)| votes.and(others))
        })
    }

    /// The least of the states that differ in the honest members' names alone.
    fn canonical(self) -> Self {
        let honest = self.seats.len();
        let orders: &[&[usize]] = match honest {
            3 => &[
                &[0, 1, 2],
                &[0, 2, 1],
                &[1, 0, 2],
                &[1, 2, 0],
                &[2, 0, 1],
                &[2, 1, 0],
            ],
            2 => &[&[0, 1], &[1, 0]],
            _ => return self,
        };
        orders
            .iter()
            .map(|names| self.renamed(names))
            .min()
            .unwrap_or(self)
    }

    fn renamed(&self, names: &[usize]) -> Self {
        let mut seats = vec![Seat::default(); names.len()];
        for (seat, name) in self.seats.iter().zip(names) {
            seats[*name] = Seat {
                held: seat.held.renamed(names),
                taken: seat.taken.map(|(taken, votes)| (taken, votes.renamed(names))),
                ..seat.clone()
            };
        }
        Self {
            seats,
            cosigned: self.cosigned,
        }
    }
}

impl Seat {
    /// Takes the first successor that what it holds decides.
    fn count(&mut self, rules: &Rules) {
        if self.taken.is_some() {
            return;
        }
        let decided = Successor::ALL.into_iter().find(|successor| {
            let consent = *successor == Successor::A || self.cosigned || !rules.cosign;
            consent && rules.is_decided(self.held, *successor)
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
        vec![State {
            seats: vec![Seat::default(); self.honest()],
            cosigned: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.cosigned {
            actions.push(Action::Cosign);
        }
        for (member, seat) in state.seats.iter().enumerate() {
            match seat.voted {
                None => {
                    actions.extend(Successor::ALL.map(|choice| Action::Vote(member, choice)));
                }
                Some(voted) => {
                    if seat.durable != seat.voted {
                        actions.push(Action::Persist(member));
                    }
                    if !seat.sent[voted as usize] {
                        actions.push(Action::Send(member));
                    }
                    let everybody = (0..MEMBERS).all(|voter| seat.held.heard(voter));
                    if self.rules.changed_vote && !seat.changed && everybody {
                        actions.push(Action::Change(member));
                    }
                }
            }
            if !seat.restarted {
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
        let mut state = last.clone();
        match action {
            Action::Vote(member, choice) => {
                let seat = &mut state.seats[member];
                seat.voted = Some(choice);
                if self.rules.durable_vote {
                    seat.durable = seat.voted;
                } else {
                    seat.sent[choice as usize] = true;
                }
                seat.hold(member, choice);
                seat.count(&self.rules);
            }
            Action::Persist(member) => state.seats[member].durable = state.seats[member].voted,
            Action::Send(member) => {
                let seat = &mut state.seats[member];
                seat.sent[seat.voted? as usize] = true;
            }
            Action::Change(member) => {
                let seat = &mut state.seats[member];
                let other = seat.voted?.other();
                seat.voted = Some(other);
                seat.durable = seat.voted;
                seat.sent[other as usize] = true;
                seat.changed = true;
                seat.hold(member, other);
                seat.count(&self.rules);
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
                seat.count(&self.rules);
            }
            Action::DeliverCosigned(member) => {
                state.seats[member].cosigned = true;
                state.seats[member].count(&self.rules);
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
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_SUCCESSOR, |_, state: &State| state.two().next().is_none()),
            Property::always(NAMED, |model: &Self, state: &State| {
                let faults = model.rules.thresholds.faults();
                state.two().all(|votes| votes.ballot().double_voters().count() > faults)
            }),
            Property::always(FAIR, |model: &Self, state: &State| {
                state
                    .sent(model)
                    .ballot()
                    .double_voters()
                    .all(|voter| model.is_cheat(*voter))
            }),
            Property::always(CONSENT, |_, state: &State| {
                state.cosigned || state.taken().all(|(taken, _)| taken == Successor::A)
            }),
            Property::always(SHOWN, |model: &Self, state: &State| {
                let all = state.sent(model);
                state.taken().all(|(taken, _)| model.rules.is_decided(all, taken))
            }),
            Property::sometimes("A is decided everywhere", |_, state: &State| {
                state.seats.iter().all(|seat| matches!(seat.taken, Some((Successor::A, _))))
            }),
            Property::sometimes("B is decided everywhere", |_, state: &State| {
                state.seats.iter().all(|seat| matches!(seat.taken, Some((Successor::B, _))))
            }),
            Property::sometimes("a double signer is seen", |_, state: &State| {
                let mut seats = state.seats.iter();
                seats.any(|seat| seat.held.ballot().double_voters().next().is_some())
            }),
            Property::sometimes("all have voted and restarted", |_, state: &State| {
                let mut seats = state.seats.iter();
                seats.all(|seat| seat.restarted && seat.durable.is_some() && seat.taken.is_none())
            }),
        ]
    }
}

#[test]
fn one_cheat_of_four_decides_nothing_twice() {
    holds("votes, N 4, f 1", Votes::new(), 100_000);
}

/// The shortest way for each property there is with one liar too many: two
/// successors, and everybody who signed both in the votes that show them.
#[test]
fn two_cheats_of_four_are_named() {
    let model = Votes { cheats: 2, ..Votes::new() };
    let way = falls("votes, 2 cheats", model.clone(), ONE_SUCCESSOR);
    let mut state = model.init_states().remove(0);
    for action in way {
        state = model.next_state(&state, action).unwrap();
    }
    let votes = state.two().next().unwrap();
    assert_eq!(votes.ballot().double_voters().collect::<Vec<_>>(), [&2, &3]);
}

#[test]
fn mutant_one_vote_fewer_decides_twice() {
    let mut model = Votes::new();
    model.rules.votes -= 1;
    falls("votes, q - 1", model.clone(), ONE_SUCCESSOR);
    falls("votes, q - 1", model, NAMED);
}

#[test]
fn mutant_key_without_cosignature_is_brought_in() {
    let mut model = Votes::new();
    model.rules.cosign = false;
    falls("votes, no co-signature", model, CONSENT);
}

#[test]
fn mutant_vote_sent_before_it_is_durable_is_given_twice() {
    let mut model = Votes::new();
    model.rules.durable_vote = false;
    falls("votes, sent first", model.clone(), FAIR);
    falls("votes, sent first", model, ONE_SUCCESSOR);
}

/// Why nobody may change a vote, not even openly, not even when everybody's is
/// known and nothing is decided: one who changed and one who lies are two who
/// signed both, and some node has only seen one of them.
#[test]
fn mutant_changed_vote_decides_twice() {
    let mut model = Votes::new();
    model.rules.changed_vote = true;
    falls("votes, changed", model.clone(), ONE_SUCCESSOR);
    falls("votes, changed", model, SHOWN);
}
