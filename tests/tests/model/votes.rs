//! Votes on what follows an epoch: what members sign, who may lie.
//!
//! Bounds: one epoch, two proposals A and B, of which B may bring a new root
//! key; rounds up to a bound. An honest member casts what the protocol's
//! ballot lets it cast by what it knows, which is any part of what was sent
//! (`knowledge`), so late, repeated and lost messages and the forgetting of
//! others' votes in a restart are all in here. A cheat casts anything in any
//! round; for the safety of votes it has cast everything there is to cast and
//! shown it to everybody, which lets the honest do all that any of its lies
//! would. Decided is what q committed in one round, over all that was ever
//! sent: whatever link of the chain can be made of it. Within that the search
//! is complete; states that differ only in which honest member is which count
//! once.
//!
//! A member is one here that knows all its votes. `apart` has a node that is
//! never told what its root committed: its root signs, at once or never, what
//! the node saw prepared when it made the packet, whatever the node prepared
//! meanwhile; that is as much as a root can do that signs later.
//!
//! A suspension is not in here: it changes neither who votes nor what a vote
//! counts, so the two have no variable in common; `suspension` has it.

use stateright::{Model, Property};
use watchfire_protocol::roster::Step;

use super::knowledge::{allowed, cast};
use super::vote::{ROUNDS_MAX, Successor, Vote, Votes};
use super::voting::{Drowns, State, Teller, Voting};

pub(crate) const ONE_SUCCESSOR: &str = "no two successors are decided";
pub(crate) const LOCKED: &str = "after a quorum committed one, no quorum prepares another";
pub(crate) const CONSENT: &str = "nothing is decided without the consent of the new key";
pub(crate) const FAIR: &str = "nobody honest casts two in one round and step";
pub(crate) const AGREES: &str = "the ballot of everything says what its tables say";

/// What can happen next; members are meant by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Cast(usize, Vote),
    Tell(Vote),
    /// In one round, or in all.
    Drown(usize, u32),
    Persist(usize),
    Restart(usize),
    Consent,
}

impl Model for Voting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.is_over(state) {
            return;
        }
        if self.new_key && !state.consented {
            actions.push(Action::Consent);
        }
        for (member, seat) in state.seats.iter().enumerate().take(self.honest()) {
            // Of members who did the same, one stands for all.
            if member > 0 && state.seats[member - 1] == *seat {
                continue;
            }
            let may = self.may(state, member);
            actions.extend(may.iter().map(|vote| Action::Cast(member, vote)));
            if seat.durable != seat.own {
                actions.push(Action::Persist(member));
            }
            if self.restarts && !seat.restarted {
                actions.push(Action::Restart(member));
            }
        }
        let prepares = Vote::all(self.rounds).filter(|vote| vote.step == Step::Prepare);
        let tells = prepares.filter(|vote| match self.teller {
            None => false,
            Some(Teller::Careful) => state.told.cell(vote.step, vote.round) == 0,
            Some(Teller::Silent) => !state.told.has(*vote),
        });
        actions.extend(tells.map(Action::Tell));
        if let Some(drowns) = self.drowns {
            self.drowning(state, drowns, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Cast(member, vote) => {
                if self.apart {
                    state.seats[member].seen = self.sees(last, member, vote)?;
                }
                let seat = &mut state.seats[member];
                seat.own = seat.own.with(vote);
                // One step: a crash between disk and network is a vote that
                // nobody is handed, which is among what is explored anyway.
                seat.sent = seat.sent.with(vote);
                if self.rules.durable_first {
                    seat.durable = seat.own;
                }
            }
            Action::Tell(vote) => state.told = state.told.with(vote),
            Action::Drown(member, round) => {
                state.seats[member].drowned |= match self.drowns? {
                    Drowns::Rosters => 1 << (round - 1),
                    Drowns::Rounds => (1 << ROUNDS_MAX) - 1,
                };
            }
            Action::Persist(member) => state.seats[member].durable = state.seats[member].own,
            Action::Restart(member) => {
                let seat = &mut state.seats[member];
                seat.own = seat.durable;
                seat.restarted = true;
            }
            Action::Consent => state.consented = true,
        }
        state.seats[..self.honest()].sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        if let Some(naming) = self.naming {
            return naming.properties();
        }
        let mut properties = vec![
            Property::always(ONE_SUCCESSOR, |model: &Self, state: &State| {
                !Successor::ALL
                    .iter()
                    .all(|roster| model.is_decided(state, *roster))
            }),
            Property::always(LOCKED, |model: &Self, state: &State| {
                let quorum = |vote| model.is_quorum(state, vote);
                Successor::ALL.iter().all(|roster| {
                    let first = (1..=model.rounds).find(|k| quorum(Vote::commit(*k, *roster)));
                    let mut later = first.unwrap_or(model.rounds) + 1..=model.rounds;
                    !later.any(|round| quorum(Vote::prepare(round, roster.other())))
                })
            }),
            Property::always(CONSENT, |model: &Self, state: &State| {
                !model.new_key || state.consented || !model.is_decided(state, Successor::B)
            }),
            Property::always(FAIR, |_, state: &State| {
                state.seats.iter().all(|seat| !seat.sent.doubles())
            }),
            Property::sometimes("A is decided", |model: &Self, state: &State| {
                model.is_decided(state, Successor::A)
            }),
            Property::sometimes("B is decided", |model: &Self, state: &State| {
                model.is_decided(state, Successor::B)
            }),
            Property::sometimes(
                "round 1 is split and round 2 decides",
                |model: &Self, state: &State| {
                    let split = Successor::ALL.iter().all(|roster| {
                        let mut seats = state.seats.iter().take(model.honest());
                        seats.any(|seat| seat.sent.has(Vote::prepare(1, *roster)))
                    });
                    let commits = Successor::ALL.map(|roster| Vote::commit(2, roster));
                    split && commits.iter().any(|vote| model.is_quorum(state, *vote))
                },
            ),
            Property::sometimes(
                "one is prepared by a quorum, and in a later round the other",
                |model: &Self, state: &State| {
                    let quorum =
                        |round, roster| model.is_quorum(state, Vote::prepare(round, roster));
                    Successor::ALL
                        .iter()
                        .any(|roster| quorum(1, *roster) && quorum(2, roster.other()))
                },
            ),
            Property::sometimes(
                "who committed one prepares the other",
                |model: &Self, state: &State| {
                    let turned = |votes: Votes, roster: Successor| {
                        votes.has(Vote::commit(1, roster))
                            && votes.has(Vote::prepare(model.rounds, roster.other()))
                    };
                    model.rounds < 3
                        || state.seats.iter().any(|seat| {
                            Successor::ALL
                                .iter()
                                .any(|roster| turned(seat.sent, *roster))
                        })
                },
            ),
        ];
        if self.teller == Some(Teller::Silent) {
            properties = self.dead_ends();
        }
        if self.checked {
            properties.push(Property::always(AGREES, |model: &Self, state: &State| {
                model.agrees(state)
            }));
        }
        properties
    }
}

impl Voting {
    /// Whether the ballot of all that was sent says what the tables do.
    fn agrees(&self, state: &State) -> bool {
        let seats = state.seats.iter().enumerate().take(self.honest());
        let same = seats.fold(true, |same, (member, seat)| {
            let others = self.others(state, member);
            let asked = allowed(&self.rules, &others, member, seat.own);
            let known = (seat.own, self.prepared(state, member));
            same && asked == self.verdicts.by_all(&self.rules, known)
        });
        let mut all = self.others(state, 0);
        cast(&mut all, 0, state.seats[0].sent);
        let votes = self.rules.thresholds.votes();
        if state.seats[0].drowned != 0 {
            return same;
        }
        // Commits that came without prepares decide as well, and say nothing of
        // what is prepared.
        let mut decisive = all.clone();
        for (voter, seat) in state.seats.iter().enumerate().take(self.honest()) {
            cast(&mut decisive, voter, seat.sent);
        }
        same && Vote::all(self.rounds).all(|vote| {
            let id = vote.roster.id();
            let asked = match vote.step {
                Step::Prepare => all.is_prepared(vote.round, &id, votes),
                // Of the first round; in which others there are q more is the
                // same question.
                Step::Commit => match decisive.decided_in(&id, votes) {
                    Some(first) if first == vote.round => true,
                    Some(first) if first < vote.round => return true,
                    Some(_) | None => false,
                },
            };
            asked == self.is_quorum(state, vote)
        })
    }
}
