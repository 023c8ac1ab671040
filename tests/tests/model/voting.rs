//! The rules of a vote, who may lie in it, and what an honest member may cast
//! by what it knows.

use std::ops::RangeInclusive;
use std::sync::Arc;

use watchfire_protocol::limits;
use watchfire_protocol::roster::{Step, VoteRefusal};

use super::knowledge::{Held, Quorums, Verdicts, bit, cast};
use super::naming::Naming;
use super::rules::Rules;
use super::vote::{Successor, Vote, Votes};

/// As many honest members as any model has.
pub(crate) const HONEST_MAX: usize = 5;

/// Those after a round in which a vote is still taken, when votes are in that
/// one: as many as a ballot keeps of one voter.
pub(crate) fn rounds_ahead(round: u32) -> RangeInclusive<u32> {
    round + 1..=round + limits::ROUNDS_AHEAD_MAX
}

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
    /// Whether a node is never told what its root committed.
    pub(crate) apart: bool,
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
    /// In a round, prepares of two rosters that nobody proposed: first, and with
    /// the least ids, so whichever two a ballot keeps it is these.
    Rosters,
    /// Prepares in as many rounds ahead of the others as are taken.
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
            apart: false,
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
    pub(crate) fn prepared(&self, state: &State, member: usize) -> u8 {
        let seat = &state.seats[member];
        let mut bits = 0;
        for round in 1..=self.rounds {
            let mut column = self.column(state, Step::Prepare, round);
            column &= !(0b11 << (2 * member));
            column |= seat.own.cell(Step::Prepare, round) << (2 * member);
            if seat.drowned & 1 << (round - 1) != 0 {
                column &= !(0b11 << (2 * self.honest()));
            }
            for roster in Successor::ALL {
                let is = self.quorums.has(Step::Prepare, column, roster)
                    || self.is_shown(state, member, Vote::commit(round, roster));
                bits |= if is { bit(round, roster) } else { 0 };
            }
        }
        bits
    }

    /// What everybody but one member sent.
    pub(crate) fn others(&self, state: &State, member: usize) -> Held {
        let mut others = Held::default();
        let honest = self.honest();
        if self.teller.is_some() {
            self.told(state, member, &mut others);
        }
        for (voter, seat) in state.seats.iter().enumerate().take(honest) {
            if voter != member {
                cast(&mut others, voter, self.taken(state, seat.sent));
            }
        }
        let everything = self.taken(state, Votes::of(Vote::all(self.rounds)));
        for cheat in self.rules.thresholds.members() - self.cheats..self.rules.thresholds.members()
        {
            cast(&mut others, cheat, everything);
        }
        others
    }

    /// Whether a commit is handed on: with the prepares it stands on, if there
    /// are enough. Where it came without, it said nothing of what is prepared,
    /// and nobody acted on it.
    fn is_taken(&self, state: &State, commit: Vote) -> bool {
        self.rules.commits_carry
            && self.is_quorum(state, Vote::prepare(commit.round, commit.roster))
    }

    /// Of votes those that others are handed.
    fn taken(&self, state: &State, votes: Votes) -> Votes {
        let is_taken = |vote: &Vote| match vote.step {
            Step::Prepare => true,
            Step::Commit => self.is_taken(state, *vote),
        };
        Votes::of(votes.iter().filter(is_taken))
    }

    /// Whether somebody else's commit shows a member that enough have prepared.
    fn is_shown(&self, state: &State, member: usize, commit: Vote) -> bool {
        let mut others = (0..self.honest()).filter(|other| *other != member);
        let is_cast = self.cheats > 0 || others.any(|other| state.seats[other].sent.has(commit));
        is_cast && self.is_taken(state, commit)
    }

    /// Hands a member what the teller sent it: what it was drowned in, and what
    /// it told everybody.
    fn told(&self, state: &State, member: usize, ballot: &mut Held) {
        let teller = self.honest();
        let drowned = state.seats[member].drowned;
        let is_drowned = |round: &u32| drowned & 1 << (round - 1) != 0;
        match self.drowns {
            Some(Drowns::Rosters) => {
                for round in (1..=self.rounds).filter(is_drowned) {
                    for junk in ['0', '1'] {
                        ballot.cast(Step::Prepare, teller, round, junk);
                    }
                }
            }
            Some(Drowns::Rounds) if drowned != 0 => {
                for round in rounds_ahead(self.rounds) {
                    ballot.cast(Step::Prepare, teller, round, '0');
                }
            }
            Some(Drowns::Rounds) | None => {}
        }
        cast(ballot, teller, state.told);
    }

    /// What an honest member may cast next, by any part of what was sent.
    pub(crate) fn may(&self, state: &State, member: usize) -> Votes {
        let own = state.seats[member].own;
        let may = if self.apart {
            let new = Vote::all(self.rounds).filter(|vote| !own.has(*vote));
            Votes::of(new.filter(|vote| self.sees(state, member, *vote).is_some()))
        } else {
            let known = (own, self.prepared(state, member));
            self.verdicts.by_any_part(&self.rules, known)
        };
        self.consented(state, may)
    }

    /// What it may cast next, if it knows all that was sent.
    pub(crate) fn may_by_all(&self, state: &State, member: usize) -> Votes {
        let own = state.seats[member].own;
        let known = (own, self.prepared(state, member));
        self.consented(state, self.verdicts.by_all(&self.rules, known))
    }

    /// What a node has seen prepared once its member casts a vote; none, where it
    /// may not. It sees what the vote needs and no more, and of that the earliest:
    /// whatever else it saw would bind it more, and let it do nothing that it
    /// cannot see when it does it. With the packet that its root commits on, it
    /// has seen what that shows.
    pub(crate) fn sees(&self, state: &State, member: usize, vote: Vote) -> Option<u8> {
        let seat = &state.seats[member];
        let of_node = |commits_in: Option<u32>| {
            Votes::of(seat.own.iter().filter(|own| match own.step {
                Step::Prepare => true,
                Step::Commit => Some(own.round) == commits_in,
            }))
        };
        let prepared = self.prepared(state, member);
        let needed = bit(vote.round, vote.roster);
        match vote.step {
            Step::Commit => {
                let known = (of_node(Some(vote.round)), prepared);
                let after = if self.rules.own_packets { needed } else { 0 };
                self.verdicts
                    .by_all(&self.rules, known)
                    .has(vote)
                    .then_some(seat.seen | after)
            }
            Step::Prepare => {
                let later = (1..vote.round).map(|round| bit(round, vote.roster));
                let more = later.filter(|one| prepared & one != 0);
                [0].into_iter()
                    .chain(more)
                    .map(|more| seat.seen | more)
                    .find(|seen| {
                        let binds = if self.rules.seen_locks { *seen } else { 0 };
                        let may = self.verdicts.by_all(&self.rules, (of_node(None), binds));
                        may.has(vote)
                    })
            }
        }
    }

    /// Of votes those that wait for no consent.
    fn consented(&self, state: &State, may: Votes) -> Votes {
        let consent =
            !self.new_key || state.consented || self.rules.unheeded == Some(VoteRefusal::NoConsent);
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
    pub(crate) durable: Votes,
    pub(crate) restarted: bool,
    /// A bit for each round of which it has no room for the teller's prepares.
    pub(crate) drowned: u8,
    /// What its node has seen prepared, a bit each; only where it is told apart
    /// from its root.
    pub(crate) seen: u8,
}

/// What was sent, and whether the new key's owner has consented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) seats: [Seat; HONEST_MAX],
    /// What the teller told everybody.
    pub(crate) told: Votes,
    pub(crate) consented: bool,
}
