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
//! A suspension is not in here: it changes neither who votes nor what a vote
//! counts, so the two have no variable in common; `suspension` has it.

use std::sync::Arc;

use stateright::{Model, Property};
use watchfire_protocol::roster::{Step, VoteRefusal};

use super::knowledge::{Held, Quorums, Verdicts, allowed, cast};
use super::naming::Naming;
use super::rules::Rules;
use super::vote::{Successor, Vote, Votes};

/// As many honest members as any model has.
pub(crate) const HONEST_MAX: usize = 5;

pub(crate) const ONE_SUCCESSOR: &str = "no two successors are decided";
pub(crate) const LOCKED: &str = "after a quorum committed one, no quorum prepares another";
pub(crate) const CONSENT: &str = "nothing is decided without the consent of the new key";
pub(crate) const FAIR: &str = "nobody honest casts two in one round and step";
pub(crate) const AGREES: &str = "the ballot of everything says what its tables say";

/// What is explored.
#[derive(Clone, Debug)]
pub(crate) struct Voting {
    pub(crate) rules: Rules,
    /// Votes are cast in rounds 1 to this.
    pub(crate) rounds: u32,
    /// Cheats that have cast everything.
    pub(crate) cheats: usize,
    /// Whether one more cheat casts anything but two in one round and step.
    pub(crate) careful: bool,
    /// Whether B brings a new key.
    pub(crate) new_key: bool,
    /// Whether restarts are tried: with durable votes they change nothing.
    pub(crate) restarts: bool,
    /// Whether every verdict is asked of the ballot of everything as well.
    pub(crate) checked: bool,
    /// By what members are named when two successors are decided.
    pub(crate) naming: Option<Naming>,
    pub(crate) quorums: Arc<Quorums>,
    pub(crate) verdicts: Verdicts,
}

impl Voting {
    pub(crate) fn new(rules: Rules, rounds: u32) -> Self {
        Self {
            rules,
            rounds,
            cheats: rules.thresholds.faults(),
            careful: false,
            new_key: false,
            restarts: false,
            checked: false,
            naming: None,
            quorums: Arc::new(Quorums::of(&rules)),
            verdicts: Verdicts::default(),
        }
    }

    pub(crate) fn honest(&self) -> usize {
        self.rules.thresholds.members() - self.cheats - usize::from(self.careful)
    }

    /// The two bits of each member, by what it sent of one step in one round.
    fn column(&self, state: &State, step: Step, round: u32) -> u16 {
        let honest = self.honest();
        let seats = state.seats.iter().take(honest).enumerate();
        let column = seats.fold(0, |column, (member, seat)| {
            column | seat.sent.cell(step, round) << (2 * member)
        });
        let careful = state.careful.cell(step, round) << (2 * honest);
        let open = honest + usize::from(self.careful);
        let all = (1 << (2 * self.cheats)) - 1;
        column | careful | all << (2 * open)
    }

    /// Whether q prepared, or committed, by all that was sent.
    pub(crate) fn is_quorum(&self, state: &State, vote: Vote) -> bool {
        let column = self.column(state, vote.step, vote.round);
        self.quorums.has(vote.step, column, vote.roster)
    }

    pub(crate) fn is_decided(&self, state: &State, roster: Successor) -> bool {
        (1..=self.rounds).any(|round| self.is_quorum(state, Vote::commit(round, roster)))
    }

    /// What enough have prepared as a member knows it, a bit each.
    fn prepared(&self, state: &State, member: usize) -> u8 {
        let seat = &state.seats[member];
        let mut bits = 0;
        for round in 1..=self.rounds {
            let mut column = self.column(state, Step::Prepare, round);
            column &= !(0b11 << (2 * member));
            column |= seat.own.cell(Step::Prepare, round) << (2 * member);
            for roster in Successor::ALL {
                let is = self.quorums.has(Step::Prepare, column, roster);
                bits |= u8::from(is) << ((round - 1) * 2 + roster as u32);
            }
        }
        bits
    }

    /// What everybody but one member sent.
    fn others(&self, state: &State, member: usize) -> Held {
        let mut others = Held::default();
        let honest = self.honest();
        for (voter, seat) in state.seats.iter().enumerate().take(honest) {
            if voter != member {
                cast(&mut others, voter, seat.sent);
            }
        }
        cast(&mut others, honest, state.careful);
        let everything = Votes::of(Vote::all(self.rounds));
        for cheat in self.rules.thresholds.members() - self.cheats..self.rules.thresholds.members()
        {
            cast(&mut others, cheat, everything);
        }
        others
    }

    /// What an honest member may cast next, if it knows all that was sent.
    pub(crate) fn may(&self, state: &State, member: usize) -> Votes {
        let own = state.seats[member].own;
        let known = (own, self.prepared(state, member));
        let may = self.verdicts.of(&self.rules, member, known, || {
            self.others(state, member)
        });
        let consent = !self.new_key
            || state.consented
            || self.rules.unheeded == Some(VoteRefusal::NoConsent);
        let may = may.iter().filter(|vote| {
            let waits = vote.step == Step::Prepare && vote.roster == Successor::B && !consent;
            vote.round <= self.rounds && !waits
        });
        Votes::of(may)
    }
}

/// An honest member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seat {
    /// What it sent, ever.
    pub(crate) sent: Votes,
    /// What of that it remembers.
    pub(crate) own: Votes,
    /// What of that a restart leaves.
    durable: Votes,
    restarted: bool,
}

/// What was sent, and whether the new key's owner has consented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) seats: [Seat; HONEST_MAX],
    pub(crate) careful: Votes,
    pub(crate) consented: bool,
}

/// What can happen next; members are meant by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Cast(usize, Vote),
    Lie(Vote),
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
        if self.careful {
            let single = Vote::all(self.rounds)
                .filter(|vote| state.careful.cell(vote.step, vote.round) == 0);
            actions.extend(single.map(Action::Lie));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Cast(member, vote) => {
                let seat = &mut state.seats[member];
                seat.own = seat.own.with(vote);
                // One step: a crash between disk and network is a vote that
                // nobody is handed, which is among what is explored anyway.
                seat.sent = seat.sent.with(vote);
                if self.rules.durable_first {
                    seat.durable = seat.own;
                }
            }
            Action::Lie(vote) => state.careful = state.careful.with(vote),
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
        let mut properties = vec![
            Property::always(ONE_SUCCESSOR, |model: &Self, state: &State| {
                !Successor::ALL.iter().all(|roster| model.is_decided(state, *roster))
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
                    let quorum = |round, roster| model.is_quorum(state, Vote::prepare(round, roster));
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
                            Successor::ALL.iter().any(|roster| turned(seat.sent, *roster))
                        })
                },
            ),
        ];
        if self.checked {
            properties.push(Property::always(AGREES, |model: &Self, state: &State| {
                model.agrees(state)
            }));
        }
        if let Some(naming) = self.naming {
            properties.extend(naming.properties());
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
            same && asked == self.verdicts.of(&self.rules, member, known, || others)
        });
        let mut all = self.others(state, 0);
        cast(&mut all, 0, state.seats[0].sent);
        let votes = self.rules.thresholds.votes();
        same && Vote::all(self.rounds).all(|vote| {
            let id = vote.roster.id();
            let asked = match vote.step {
                Step::Prepare => all.is_prepared(vote.round, &id, votes),
                // Of the first round; in which others there are q more is the
                // same question.
                Step::Commit => match all.decided_in(&id, votes) {
                    Some(first) if first == vote.round => true,
                    Some(first) if first < vote.round => return true,
                    Some(_) | None => false,
                },
            };
            asked == self.is_quorum(state, vote)
        })
    }
}
