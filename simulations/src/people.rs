//! What people at honest members do about membership: they propose what is on
//! the agenda, agree to every proposal but their own expulsion, and take their
//! time.

use crate::agenda::Motion;
use crate::host::Brain;
use crate::votes;
use crate::world::{Happening, World};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_protocol::engine::{ClientToken, Input, Said, Saying, SayingRefusal};
use watchfire_protocol::founding::Keys;
use watchfire_protocol::ids::{MemberId, RosterId};
use watchfire_protocol::limits::ROUNDS_AHEAD_MAX;
use watchfire_protocol::membership::{Candidate, Deliberation};
use watchfire_protocol::roster::{Roster, Step};
use watchfire_protocol::store::StoreError;
use watchfire_protocol::wire::List;
use watchfire_protocol::wire::roster::{Change, Cut};

/// Something that a person has decided to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Bring what the new roots of an own proposal signed.
    Consent(RosterId),
    /// Prepare a roster in a round.
    Prepare(RosterId, u32),
    /// Commit a roster in a round.
    Commit(RosterId, u32),
}

/// People's plans.
#[derive(Default)]
pub(crate) struct People {
    planned: BTreeSet<(usize, Task)>,
    /// When each host prepared, by epoch and round.
    prepared_ms: BTreeMap<(usize, u64, u32), u64>,
    /// What those who would enter offer, made once.
    cards: BTreeMap<usize, Change>,
    said: u64,
    /// Sayings that an engine refused, and the last of them.
    pub(crate) refused: u64,
    pub(crate) last_refusal: String,
}

/// After so long a person no longer waits for a round that others do not
/// finish.
const PATIENCE_MS: u64 = 24 * 3_600_000;

/// Tokens of sayings begin here; those below are of publications.
const SAYINGS: u64 = 1 << 40;

impl Motion {
    /// Whether a roster is as the motion would have it.
    pub(crate) fn holds(
        &self,
        roster: &Roster,
        member: impl Fn(usize) -> Option<MemberId>,
    ) -> bool {
        let stands = |host: &usize| member(*host).is_some_and(|id| roster.member(&id).is_some());
        self.admit.iter().all(stands) && !self.expel.iter().any(stands)
    }
}

impl World {
    /// The keys of a host; of a second one of the same state, those of the first.
    pub(crate) fn keys_of(&self, number: usize) -> Keys {
        let seed = self.chance.seed_for("federation", 0);
        Keys::derived(&seed, self.original_of(number) as u64)
    }

    fn say(&mut self, number: usize, saying: Saying) -> Result<(), StoreError> {
        self.people.said += 1;
        let client = ClientToken(SAYINGS + self.people.said);
        let saying = Box::new(saying);
        self.feed(number, Input::Say { client, saying })
    }

    pub(crate) fn on_said(&mut self, outcome: Result<Said, SayingRefusal>) {
        if let Err(why) = outcome {
            self.people.refused += 1;
            self.people.last_refusal = why.to_string();
        }
    }

    /// A person proposes what is on the agenda.
    pub(crate) fn on_motion(&mut self, index: usize) -> Result<(), StoreError> {
        let Some(motion) = self.scenario.agenda.motions.get(index).cloned() else {
            return Ok(());
        };
        if self.is_decided(index) {
            return Ok(());
        }
        let Some((roster, changes)) = self.changes_of(&motion) else {
            // It is tried again when people look next.
            return Ok(());
        };
        if motion.holds(&roster, |host| self.member_of(host)) || changes.is_empty() {
            return Ok(());
        }
        self.note(motion.by, "propose", &[&(index as u64).to_be_bytes()]);
        self.roll.proposed(index, self.now_us / 1_000);
        self.say(
            motion.by,
            Saying::Propose {
                reason: format!("number {index} on the agenda"),
                changes,
            },
        )
    }

    /// What a motion changes of the roster that its proposer holds; nothing if
    /// it cannot propose now.
    fn changes_of(&mut self, motion: &Motion) -> Option<(std::sync::Arc<Roster>, Vec<Change>)> {
        let wall_ms = self.hosts.get(motion.by)?.now(self.now_us).wall_ms;
        for host in &motion.admit {
            if !self.people.cards.contains_key(host) {
                let keys = self.keys_of(*host);
                let role = crate::founding::role_of(*host);
                let card = votes::admission(*host, role, &keys, wall_ms)?;
                self.people.cards.insert(*host, card);
            }
        }
        let host = self.hosts.get(motion.by)?;
        let Brain::Engine(engine) = &host.brain else {
            return None;
        };
        let roster = engine.roster();
        roster.member(&host.member?)?;
        let mut changes = Vec::new();
        for admitted in &motion.admit {
            if roster.member(&self.member_of(*admitted)?).is_none() {
                changes.push(self.people.cards.get(admitted)?.clone());
            }
        }
        for expelled in &motion.expel {
            let member = self.member_of(*expelled)?;
            if roster.member(&member).is_none() {
                continue;
            }
            // Everything that its last sign of life named.
            let mut cuts: Vec<Cut> = engine
                .membership()
                .alives()
                .all()
                .filter(|(_, of, _)| **of == member)
                .flat_map(|(node, _, said)| {
                    let incarnation = roster
                        .certificate(&said.certificate)
                        .map_or(1, |certificate| certificate.incarnation);
                    said.heads.iter().map(move |head| Cut {
                        node: *node,
                        incarnation,
                        tag: head.tag,
                        sequence: head.sequence,
                        head: head.head,
                    })
                })
                .collect();
            cuts.sort_unstable();
            let cuts = List::new(cuts).ok()?;
            changes.push(Change::Expel { member, cuts });
        }
        Some((roster, changes))
    }

    /// One of those who suspend a member says so.
    pub(crate) fn on_suspend(&mut self, index: usize, by: usize) -> Result<(), StoreError> {
        let Some(suspending) = self.scenario.agenda.suspensions.get(index).cloned() else {
            return Ok(());
        };
        if self.hosts.get(by).is_some_and(|host| host.is_down()) {
            self.after_ms(60_000, Happening::Suspend { index, by });
            return Ok(());
        }
        let Some(member) = self.member_of(suspending.host) else {
            return Ok(());
        };
        self.say(
            by,
            Saying::Suspend {
                member,
                life_ms: suspending.life_ms,
                reason: "it does what it should not".to_owned(),
            },
        )
    }

    /// Every person looks at what is proposed, and plans what it will do.
    pub(crate) fn people_look(&mut self) -> Result<(), StoreError> {
        for index in 0..self.scenario.agenda.motions.len() {
            if self.is_to_be_proposed_again(index) {
                self.on_motion(index)?;
            }
        }
        let honest: Vec<usize> = self.honest().collect();
        for number in honest {
            for task in self.intentions(number) {
                if self.people.planned.insert((number, task)) {
                    let person_ms = self.scenario.agenda.person_ms;
                    let after_ms = self.chance.between("person", number as u64, person_ms);
                    self.after_ms(after_ms, Happening::Person { host: number, task });
                }
            }
        }
        Ok(())
    }

    /// Whether a motion was made, has no effect where its proposer is, and is
    /// not on the table there.
    fn is_to_be_proposed_again(&self, index: usize) -> bool {
        let Some(motion) = self.scenario.agenda.motions.get(index) else {
            return false;
        };
        let (Some(host), true) = (
            self.hosts.get(motion.by),
            motion.at_ms < self.now_us / 1_000,
        ) else {
            return false;
        };
        let Brain::Engine(engine) = &host.brain else {
            return false;
        };
        let is_on_the_table = engine
            .membership()
            .deliberation()
            .candidates()
            .any(|candidate| Some(candidate.successor.statement().proposer) == host.member);
        !is_on_the_table && !self.is_decided(index)
    }

    /// What a person at a host would do now, of its own accord.
    fn intentions(&self, number: usize) -> Vec<Task> {
        let Some(host) = self.hosts.get(number) else {
            return Vec::new();
        };
        let (Brain::Engine(engine), Some(me)) = (&host.brain, host.member) else {
            return Vec::new();
        };
        let roster = engine.roster();
        if roster.member(&me).is_none() {
            return Vec::new();
        }
        let about = engine.membership().deliberation();
        let mut tasks: Vec<Task> = about
            .candidates()
            .filter(|candidate| candidate.successor.statement().proposer == me)
            .filter(|candidate| candidate.consents() != *candidate.successor.new_roots())
            .map(|candidate| Task::Consent(candidate.successor.id()))
            .collect();
        let since_ms = |round| {
            self.people
                .prepared_ms
                .get(&(number, roster.epoch(), round))
                .map(|at_ms| (self.now_us / 1_000).saturating_sub(*at_ms))
        };
        tasks.extend(commitment(about, &roster, &me));
        tasks.extend(preparation(about, &roster, &me, since_ms));
        tasks
    }

    /// A person does what it planned, if it still would.
    pub(crate) fn on_person(&mut self, number: usize, task: Task) -> Result<(), StoreError> {
        self.people.planned.remove(&(number, task));
        if !self.intentions(number).contains(&task) {
            return Ok(());
        }
        let keys = self.keys_of(number);
        let Some(Brain::Engine(engine)) = self.hosts.get(number).map(|host| &host.brain) else {
            return Ok(());
        };
        let epoch = engine.roster().epoch();
        let about = engine.membership().deliberation();
        let frames: Vec<Vec<u8>> = match task {
            Task::Prepare(roster, round) => {
                let at_ms = self.now_us / 1_000;
                self.people
                    .prepared_ms
                    .insert((number, epoch, round), at_ms);
                let round = Some(round);
                return self.say(number, Saying::Prepare { roster, round });
            }
            Task::Commit(roster, round) => about
                .candidate(&roster)
                .and_then(|candidate| votes::commit(&candidate.successor, round, &keys.root))
                .into_iter()
                .collect(),
            Task::Consent(roster) => {
                let Some(candidate) = about.candidate(&roster) else {
                    return Ok(());
                };
                let roots = candidate.successor.new_roots();
                (0..self.scenario.members)
                    .map(|host| self.keys_of(host).root)
                    .filter(|root| roots.contains(root.public().as_bytes()))
                    .filter_map(|root| votes::consent(&candidate.successor, &root))
                    .collect()
            }
        };
        frames
            .into_iter()
            .try_for_each(|frame| self.say(number, Saying::Bring { frame }))
    }
}

/// Whom a person would not vote out: itself.
fn agrees(candidate: &Candidate, me: &MemberId) -> bool {
    candidate.successor.would_be().member(me).is_some()
}

/// What a member would commit now: what a quorum has prepared.
pub(crate) fn commitment(about: &Deliberation, roster: &Roster, me: &MemberId) -> Option<Task> {
    let ballot = about.ballot();
    let last = ballot
        .round(roster.thresholds())
        .saturating_add(ROUNDS_AHEAD_MAX);
    (1..=last).rev().find_map(|round| {
        about
            .candidates()
            .filter(|candidate| agrees(candidate, me))
            .map(|candidate| candidate.successor.id())
            .filter(|id| about.may_commit(roster, me, round, id).is_ok())
            .find(|id| !ballot.voters(Step::Commit, round, id).any(|by| by == me))
            .map(|id| Task::Commit(id, round))
    })
}

/// What a member would prepare now, of what it may: in the present round what most
/// have; and in the next one, where this one can decide nothing or has taken too
/// long. That it is what a quorum prepared last is the ballot's rule.
pub(crate) fn preparation(
    about: &Deliberation,
    roster: &Roster,
    me: &MemberId,
    since_ms: impl Fn(u32) -> Option<u64>,
) -> Option<Task> {
    let ballot = about.ballot();
    let round = ballot.round(roster.thresholds());
    let support = |id: &RosterId| ballot.voters(Step::Prepare, round, id).count();
    let has_voted = |member: &MemberId| {
        about.candidates().any(|candidate| {
            let id = candidate.successor.id();
            ballot
                .voters(Step::Prepare, round, &id)
                .any(|by| by == member)
        })
    };
    let favourite = |round: u32| {
        about
            .candidates()
            .filter(|candidate| agrees(candidate, me))
            .map(|candidate| candidate.successor.id())
            .filter(|id| about.may_prepare(roster, me, round, id).is_ok())
            .max_by_key(|id| (support(id), core::cmp::Reverse(*id)))
    };
    if !has_voted(me) {
        return favourite(round).map(|id| Task::Prepare(id, round));
    }
    let open = roster
        .members()
        .filter(|member| !has_voted(&member.id))
        .count();
    let votes = roster.thresholds().votes();
    let is_split = about
        .candidates()
        .all(|candidate| support(&candidate.successor.id()) + open < votes);
    let is_late = since_ms(round).is_some_and(|since_ms| since_ms > PATIENCE_MS);
    if is_split || is_late {
        favourite(round + 1).map(|id| Task::Prepare(id, round + 1))
    } else {
        None
    }
}
