//! No rollback: what one node cites, over crashes, old backups and rebuilds.
//!
//! Bounds: one node, two epochs to come, two successors of each (the second of
//! which only more than f cheats could make); a crash between any two writes;
//! while the node is down its database may be replaced by an older state of
//! itself, by nothing, or by that of a node that went another way, any number
//! of times. The files beside the database are not replaced: whoever puts back
//! both has taken away everything this node knew. The search is complete.

use stateright::{Model, Property};

use super::rules::{falls, holds};
use super::vote::Successor;

const EPOCHS: usize = 2;

const FORWARD: &str = "what is cited continues what was cited before";

/// Which successor was taken at each epoch from the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Chain([Option<Successor>; EPOCHS]);

impl Chain {
    fn epoch(self) -> usize {
        self.0.iter().flatten().count()
    }

    fn next(mut self, successor: Successor) -> Option<Self> {
        let epoch = self.epoch();
        *self.0.get_mut(epoch)? = Some(successor);
        Some(self)
    }

    fn continues(self, earlier: Self) -> bool {
        self.0
            .iter()
            .zip(earlier.0)
            .all(|(now, then)| then.is_none() || *now == then)
    }

    fn all() -> Vec<Self> {
        let mut all = vec![Self::default()];
        for known in 0.. {
            let Some(chain) = all.get(known).copied() else {
                return all;
            };
            all.extend(
                Successor::ALL
                    .iter()
                    .filter_map(|successor| chain.next(*successor)),
            );
        }
        all
    }
}

/// What is explored: in which order a node writes, and whether it reads.
#[derive(Clone, Debug)]
struct Rollback {
    /// Files, then database, then cited; else cited first.
    durable_first: bool,
    /// A store that knows less is topped up from the files.
    files_read: bool,
}

/// How far the node is with an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Run {
    Down,
    /// The files contradict the database; it does not start.
    Stopped,
    /// It cites this.
    Up(Chain),
    /// It cites the first and is writing the second.
    Writing(Chain, Chain),
}

/// The node, its disk, and the furthest it ever cited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    files: Chain,
    database: Chain,
    run: Run,
    cited: Chain,
    topped_up: bool,
}

/// What can happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// A decided successor arrives.
    Decided(Successor),
    /// The next write, or the end of them.
    Write,
    Crash,
    /// Somebody puts this database in the place of ours.
    Replace(Chain),
    Start,
}

impl State {
    fn cites(&self) -> Option<Chain> {
        match self.run {
            Run::Down | Run::Stopped => None,
            Run::Up(chain) | Run::Writing(chain, _) => Some(chain),
        }
    }

    fn start(&mut self, model: &Rollback) {
        if !model.files_read {
            self.run = Run::Up(self.database);
            return;
        }
        if self.files.continues(self.database) {
            self.topped_up |= self.files != self.database;
            self.database = self.files;
        } else if self.database.continues(self.files) {
            self.files = self.database;
        } else {
            self.run = Run::Stopped;
            return;
        }
        self.run = Run::Up(self.files);
    }
}

impl Model for Rollback {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            files: Chain::default(),
            database: Chain::default(),
            run: Run::Up(Chain::default()),
            cited: Chain::default(),
            topped_up: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        match state.run {
            Run::Down | Run::Stopped => {
                actions.extend(Chain::all().into_iter().map(Action::Replace));
                actions.push(Action::Start);
            }
            Run::Up(_) => {
                actions.extend(Successor::ALL.map(Action::Decided));
                actions.push(Action::Crash);
            }
            Run::Writing(..) => actions.extend([Action::Write, Action::Crash]),
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match (action, state.run) {
            (Action::Decided(successor), Run::Up(now)) => {
                let next = now.next(successor)?;
                let cited = if self.durable_first { now } else { next };
                state.run = Run::Writing(cited, next);
            }
            (Action::Write, Run::Writing(_, next)) => {
                if state.files != next {
                    state.files = next;
                } else if state.database != next {
                    state.database = next;
                } else {
                    state.run = Run::Up(next);
                }
            }
            (Action::Crash, _) => state.run = Run::Down,
            (Action::Replace(chain), _) => state.database = chain,
            (Action::Start, _) => state.start(self),
            (Action::Decided(_) | Action::Write, _) => return None,
        }
        // What was cited is only forgotten here when it was not gone back on.
        if let Some(cites) = state.cites().filter(|cites| cites.continues(state.cited)) {
            state.cited = cites;
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FORWARD, |_, state: &State| {
                state
                    .cites()
                    .is_none_or(|cites| cites.continues(state.cited))
            }),
            Property::sometimes("at the last epoch", |_, state: &State| {
                state.cites().is_some_and(|cites| cites.epoch() == EPOCHS)
            }),
            Property::sometimes("topped up", |_, state: &State| state.topped_up),
            Property::sometimes("stopped", |_, state: &State| state.run == Run::Stopped),
        ]
    }
}

#[test]
fn no_node_cites_less_than_it_cited() {
    let model = Rollback {
        durable_first: true,
        files_read: true,
    };
    holds("rollback", model, 350);
}

#[test]
fn mutant_cited_before_it_is_durable_goes_back() {
    let model = Rollback {
        durable_first: false,
        files_read: true,
    };
    falls("rollback, cited first", model, FORWARD);
}

#[test]
fn mutant_files_unread_go_back_with_the_database() {
    let model = Rollback {
        durable_first: true,
        files_read: false,
    };
    falls("rollback, files unread", model, FORWARD);
}
