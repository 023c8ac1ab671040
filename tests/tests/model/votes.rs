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
use super::vote::{ROUNDS_MAX, Successor, Vote, Votes};

/// As many honest members as any model has.
pub(crate) const HONEST_MAX: usize = 5;

pub(crate) const ONE_SUCCESSOR: &str = "no two successors are decided";
pub(crate) const LOCKED: &str = "after a quorum committed one, no quorum prepares another";
pub(crate) const CONSENT: &str = "nothing is decided without the consent of the new key";
pub(crate) const FAIR: &str = "nobody honest casts two in one round and step";
pub(crate) const AGREES: &str = "the ballot of everything says what its tables say";

/// As many as a ballot keeps of one voter.
const LAST_ROUNDS: std::ops::RangeInclusive<u32> = 993..=1_000;

/// What is explored.
#[derive(Clone, Debug)]
pub(crate) struct Voting {
    pub(crate) rules: Rules,
    /// Votes are cast in rounds 1 to this.
    pub(crate) rounds: u32,
    /// Cheats that have cast everything.
    pub(crate) cheats: usize,
    /// Whether there is one more, of which it matters what it has cast.
    pub(crate) teller: Option<Teller>,
    /// Whether B brings a new key.
    pub(crate) new_key: bool,
    /// How the teller keeps a member from being handed what it told others.
    pub(crate) drowns: Option<Drowns>,
    /// Whether A needs the commit of the last member, a cheat, as well: it
    /// touches a community that is this member's own.
    pub(crate) asked: bool,
    /// Whether restarts are tried: with durable votes they change nothing.
    pub(crate) restarts: bool,
    /// Whether every verdict is asked of the ballot of everything as well.
    pub(crate) checked: bool,
    /// By what members are named when two successors are decided.
    pub(crate) naming: Option<Naming>,
    pub(crate) quorums: Arc<Quorums>,
    pub(crate) verdicts: Verdicts,
}

/// A cheat that has cast only what it told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teller {
    /// It prepares whatever it likes, but never two in one round, and commits
    /// no more than it has to.
    Careful,
    /// It prepares whatever it likes and never commits.
    Silent,
}

/// What a teller sends one member first, so that this one's ballot has no room
/// for what it tells the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drowns {
    /// In a round, prepares of two rosters that nobody proposed.
    Rosters,
    /// Prepares in the last rounds there may be.
    Rounds,
}

impl Voting {
    pub(crate) fn new(rules: Rules, rounds: u32) -> Self {
        Self {
            rules,
            rounds,
            cheats: rules.thresholds.faults(),
            teller: None,
            drowns: None,
            asked: false,
            new_key: false,
            restarts: false,
            checked: false,
            naming: None,
            quorums: Arc::new(Quorums::of(&rules)),
            verdicts: Verdicts::default(),
        }
    }

    pub(crate) fn honest(&self) -> usize {
        self.rules.thresholds.members() - self.cheats - usize::from(self.teller.is_some())
    }

    /// The two bits of each member, by what it sent of one step in one round.
    fn column(&self, state: &State, step: Step, round: u32) -> u16 {
        let honest = self.honest();
        let seats = state.seats.iter().take(honest).enumerate();
        let column = seats.fold(0, |column, (member, seat)| {
            column | seat.sent.cell(step, round) << (2 * member)
        });
        let told = match (step, self.teller) {
            // What it has to commit for a decision, it will.
            (Step::Commit, Some(Teller::Careful)) => 0b11,
            (Step::Prepare | Step::Commit, _) => state.told.cell(step, round),
        };
        let open = honest + usize::from(self.teller.is_some());
        let all = (1 << (2 * self.cheats)) - 1;
        column | told << (2 * honest) | all << (2 * open)
    }

    /// Whether q committed it in a round, the teller not among them.
    pub(crate) fn is_committed_without(&self, state: &State, vote: Vote) -> bool {
        let column = self.column(state, vote.step, vote.round);
        let column = column & !(0b11 << (2 * self.honest()));
        self.quorums.has(vote.step, column, vote.roster)
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
            if seat.drowned & 1 << (round - 1) != 0 {
                column &= !(0b11 << (2 * self.honest()));
                column |= self.carried(state, round) << (2 * self.honest());
            }
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
        if self.teller.is_some() {
            self.told(state, member, &mut others);
        }
        for (voter, seat) in state.seats.iter().enumerate().take(honest) {
            if voter != member {
                cast(&mut others, voter, seat.sent);
            }
        }
        let everything = Votes::of(Vote::all(self.rounds));
        for cheat in self.rules.thresholds.members() - self.cheats..self.rules.thresholds.members()
        {
            cast(&mut others, cheat, everything);
        }
        others
    }

    /// What a commit of this round carries of the teller's prepares, where
    /// commits carry what they stand on.
    fn carried(&self, state: &State, round: u32) -> u16 {
        let committed = state.seats.iter().fold(0, |cells, seat| {
            cells | seat.sent.cell(Step::Commit, round)
        });
        if self.rules.commits_carry {
            committed & state.told.cell(Step::Prepare, round)
        } else {
            0
        }
    }

    /// Hands a member what the teller sent it: what others' commits carry, what
    /// it was drowned in, and what it told everybody.
    fn told(&self, state: &State, member: usize, ballot: &mut Held) {
        let teller = self.honest();
        for round in 1..=self.rounds {
            for roster in Successor::ALL {
                if self.carried(state, round) >> roster as u32 & 1 == 1 {
                    ballot.cast(Step::Prepare, teller, round, roster.id());
                }
            }
            if state.seats[member].drowned & 1 << (round - 1) == 0 {
                continue;
            }
            match self.drowns {
                Some(Drowns::Rosters) => {
                    for junk in ['y', 'z'] {
                        ballot.cast(Step::Prepare, teller, round, junk);
                    }
                }
                Some(Drowns::Rounds) => {
                    for round in LAST_ROUNDS {
                        ballot.cast(Step::Prepare, teller, round, 'y');
                    }
                }
                None => {}
            }
        }
        cast(ballot, teller, state.told);
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
    /// A bit for each round of which it has no room for the teller's prepares.
    drowned: u8,
}

/// What was sent, and whether the new key's owner has consented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) seats: [Seat; HONEST_MAX],
    /// What the teller told everybody.
    pub(crate) told: Votes,
    pub(crate) consented: bool,
}

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
        if self.teller == Some(Teller::Silent) {
            properties = self.dead_ends();
        }
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
    /// Whom the teller can drown: before it told anybody what it is to keep
    /// from that member, so that nobody ever acted on what it then has not.
    fn drowning(&self, state: &State, drowns: Drowns, actions: &mut Vec<Action>) {
        let rounds = match drowns {
            Drowns::Rosters => 1..=self.rounds,
            Drowns::Rounds => 1..=1,
        };
        for round in rounds {
            let told = (round..=self.rounds).any(|round| state.told.cell(Step::Prepare, round) != 0);
            for (member, seat) in state.seats.iter().enumerate().take(self.honest()) {
                if !told && seat.drowned & 1 << (round - 1) == 0 {
                    actions.push(Action::Drown(member, round));
                }
            }
        }
    }

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
        if state.seats[0].drowned != 0 {
            return same;
        }
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
