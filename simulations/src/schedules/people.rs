//! Who acts in a schedule: people who propose and vote, and the cheat.

use super::*;
use crate::host::WALL_START_MS;
use crate::people::{Task, commitment, preparation};
use crate::votes;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use watchfire_protocol::engine::Saying;
use watchfire_protocol::founding::Keys;
use watchfire_protocol::ids::RosterId;
use watchfire_protocol::roster::Successor;
use watchfire_protocol::wire::Text;
use watchfire_protocol::wire::card::Role;
use watchfire_protocol::wire::roster::{Change, CommunityRule, VoteBy, VoteLine};

impl Table {
    /// One seat begins a community; another would admit a member, or begin
    /// another community.
    pub(super) fn propose(&mut self, number: usize) -> Result<(), String> {
        let begins = |name: &str| {
            Text::new(name).ok().map(|name| Change::Community {
                name,
                rule: CommunityRule::Federation,
            })
        };
        let admits = self.chance.seed_for("admits", 0).first().copied();
        let change = if number == 0 {
            begins("alpha")
        } else if admits.is_some_and(|byte| byte % 2 == 0) {
            let keys = Keys::derived(&self.chance.seed_for("federation", 0), MEMBERS as u64);
            votes::admission(MEMBERS, Role::Agency, &keys, WALL_START_MS)
        } else {
            begins("beta")
        };
        self.say(
            number,
            Saying::Propose {
                reason: "at once".to_owned(),
                changes: change.into_iter().collect(),
            },
        )
    }

    /// The person at a seat does the first thing that it would.
    pub(super) fn person(&mut self, number: usize) -> Result<(), String> {
        let Some((engine, me)) = self
            .seats
            .get(number)
            .and_then(|seat| seat.engine.as_ref())
            .zip(self.members.get(number).copied())
        else {
            return Ok(());
        };
        let roster = engine.roster();
        let about = engine.membership().deliberation();
        let since_ms = |round| {
            let at = self.prepared.get(&(number, roster.epoch(), round))?;
            let rounds = self.fair_round.saturating_sub(*at);
            (rounds > PATIENCE_ROUNDS).then_some(u64::MAX)
        };
        let newcomer = Keys::derived(&self.chance.seed_for("federation", 0), MEMBERS as u64);
        let mut frames: Vec<Vec<u8>> = about
            .candidates()
            .filter(|candidate| candidate.consents() != *candidate.successor.new_roots())
            .filter_map(|candidate| votes::consent(&candidate.successor, &newcomer.root))
            .collect();
        let root = self.keys.get(number).map(|keys| &keys.root);
        let mut prepares = None;
        if self.fault == Fault::CommitsAtOnce {
            frames.extend(about.candidates().filter_map(|candidate| {
                root.and_then(|root| votes::commit(&candidate.successor, 1, root))
            }));
        } else if let Some(Task::Commit(id, round)) = commitment(about, &roster, &me) {
            frames.extend(
                about
                    .candidate(&id)
                    .zip(root)
                    .and_then(|(candidate, root)| votes::commit(&candidate.successor, round, root)),
            );
        } else if let Some(Task::Prepare(id, round)) = preparation(about, &roster, &me, since_ms) {
            prepares = Some((roster.epoch(), id, round));
        }
        for frame in frames {
            self.say(number, Saying::Bring { frame })?;
        }
        if let Some((epoch, roster, round)) = prepares {
            let at = self.fair_round;
            self.prepared.insert((number, epoch, round), at);
            let round = Some(round);
            self.say(number, Saying::Prepare { roster, round })?;
        }
        Ok(())
    }

    /// The cheat prepares and commits whatever anybody proposed, in any round up
    /// to the present one, and tells whom it likes.
    pub(super) fn cheat(&mut self) -> Result<(), String> {
        let mut successors: Vec<(Successor, usize)> = Vec::new();
        let mut rounds = 1;
        let mut certificate = None;
        let mut held: BTreeMap<(RosterId, u32), BTreeSet<VoteLine>> = BTreeMap::new();
        for seat in &self.seats {
            let Some(engine) = &seat.engine else { continue };
            let about = engine.membership().deliberation();
            rounds = rounds.max(about.ballot().round(engine.roster().thresholds()));
            for candidate in about.candidates() {
                let needed = engine.roster().thresholds().votes();
                successors.push((candidate.successor.clone(), needed));
                let id = candidate.successor.id();
                for round in 1..=rounds {
                    // Of others: its own it may still forget, and has not let out.
                    let own = engine.me().id;
                    let lines = about.prepares(&id, round);
                    let others = lines.into_iter().filter(|line| line.key != *own.as_bytes());
                    held.entry((id, round)).or_default().extend(others);
                }
            }
            certificate = self
                .members
                .get(HONEST)
                .and_then(|cheat| engine.roster().certificates_of(*cheat).next().cloned())
                .or(certificate);
        }
        let pick = self.pick("lie", successors.len());
        let round =
            u32::try_from(self.chance.between("round", 0, (1, u64::from(rounds)))).unwrap_or(1);
        let (Some((successor, needed)), Some(certificate)) = (successors.get(pick), certificate)
        else {
            return Ok(());
        };
        let (Some(keys), Some(from)) = (self.keys.get(HONEST), self.nodes.get(HONEST).copied())
        else {
            return Ok(());
        };
        let prepare = VoteBy::Prepare {
            certificate: certificate.id,
        };
        // A commit shows what it stands on, and nobody believes one that does not.
        let prepares = held.remove(&(successor.id(), round)).unwrap_or_default();
        let frames = [
            votes::vote(successor, round, prepare, &keys.signing),
            votes::commit_on(successor, round, &keys.root, prepares)
                .filter(|(_, lines)| lines >= needed)
                .map(|(bytes, _)| bytes),
        ];
        for bytes in frames.into_iter().flatten().map(Rc::new) {
            for to in 0..HONEST {
                if self.chance.happens("told", to as u64, 500_000) {
                    self.letters.push(Letter::Gossip {
                        from,
                        to,
                        bytes: Rc::clone(&bytes),
                    });
                }
            }
        }
        Ok(())
    }
}
