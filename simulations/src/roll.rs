//! What is known of the membership of a world: who followed which roster when,
//! who is fresh, what was suspended, forked or refused; and what must hold of
//! it. All of it is looked at from outside, every ten minutes and at every
//! change of a roster.

use crate::host::Brain;
use crate::world::{Happening, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watchfire_protocol::ids::{MemberId, RosterId};
use watchfire_protocol::limits::{ALIVE_EVERY_MS, FRESH_AMBER_MS};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::membership::NoticeScope;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::StoreError;

/// How often everybody is looked at.
const LOOK_MS: u64 = 10 * 60_000;

/// What came of the membership of a run; all times are virtual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The number of the last roster.
    pub epoch: u64,
    /// From proposal to decided at the first node, the slowest admission, in
    /// milliseconds.
    pub admission_first_ms: u64,
    /// The same at the last node.
    pub admission_last_ms: u64,
    /// From proposal to decided at the first node, the slowest expulsion.
    pub expulsion_first_ms: u64,
    /// The same at the last node.
    pub expulsion_last_ms: u64,
    /// Minutes in which a node was fresh for AMBER, over all nodes.
    pub fresh_minutes: u64,
    /// Minutes in which one was not.
    pub stale_minutes: u64,
    /// Parts of the federation with too few members that stopped being fresh
    /// for AMBER.
    pub parts_stopped: u64,
    /// How long after the cut the last of them did, in milliseconds.
    pub part_stop_ms_max: u64,
    /// How long after the cut healed the last of them was fresh again.
    pub part_resume_ms_max: u64,
    /// Members that contradicted themselves and of whom somebody holds it.
    pub forks_seen: u64,
    /// Of those, members of whom a proof was told to others.
    pub forks_proven: u64,
    /// Publications that a host refused because it knew that it was behind.
    pub refused_behind: u64,
    /// Suspensions that every node counted at once.
    pub suspensions_agreed: u64,
    /// How long after the first of its statements the slowest took.
    pub suspension_ms_max: u64,
}

#[derive(Clone, Copy, Default)]
struct Proposed {
    at_ms: Option<u64>,
    first_ms: Option<u64>,
    last_ms: Option<u64>,
}

/// One side of a partition.
#[derive(Clone, Copy, Default)]
struct Part {
    stopped_ms: Option<u64>,
    resumed_ms: Option<u64>,
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Roll {
    rosters: BTreeMap<u64, RosterId>,
    agreed: Option<Arc<Roster>>,
    motions: BTreeMap<usize, Proposed>,
    parts: BTreeMap<(usize, bool), Part>,
    suspended_ms: BTreeMap<usize, u64>,
    /// Since when nobody's roster holds a host that was expelled.
    gone_ms: BTreeMap<usize, u64>,
    pub(crate) proven: BTreeSet<MemberId>,
    pub(crate) behind: BTreeMap<usize, u64>,
    census: Census,
}

impl Roll {
    pub(crate) fn proposed(&mut self, index: usize, at_ms: u64) {
        let motion = self.motions.entry(index).or_default();
        motion.at_ms.get_or_insert(at_ms);
    }
}

impl World {
    pub(crate) fn member_of(&self, host: usize) -> Option<MemberId> {
        self.hosts.get(host)?.member
    }

    /// The roster of the highest epoch that anybody holds.
    pub(crate) fn agreed(&self) -> &Arc<Roster> {
        self.roll.agreed.as_ref().unwrap_or(&self.roster)
    }

    /// Members of the last roster that run our engine, up or down.
    pub(crate) fn standing(&self) -> impl Iterator<Item = usize> {
        self.honest().filter(|host| {
            self.member_of(*host)
                .is_some_and(|member| self.agreed().member(&member).is_some())
        })
    }

    /// Whether a motion had effect anywhere.
    pub(crate) fn is_decided(&self, index: usize) -> bool {
        self.roll
            .motions
            .get(&index)
            .is_some_and(|motion| motion.first_ms.is_some())
    }

    fn roster_of(&self, host: usize) -> Option<Arc<Roster>> {
        match &self.hosts.get(host)?.brain {
            Brain::Engine(engine) => Some(engine.roster()),
            Brain::Down | Brain::Puppet(_) => None,
        }
    }

    /// Whether a node may send what is AMBER; nothing if it is down.
    fn is_fresh(&self, number: usize) -> Option<bool> {
        let host = self.hosts.get(number)?;
        let Brain::Engine(engine) = &host.brain else {
            return None;
        };
        let now = host.now(self.now_us);
        let roster = engine.roster();
        let membership = engine.membership();
        let freshness = membership.alives().freshness(
            &roster,
            membership.suspensions(),
            engine.me(),
            now,
            Marking::Amber,
        );
        Some(freshness.is_fresh())
    }

    /// A host holds this roster from now on.
    pub(crate) fn on_roster(&mut self, number: usize, roster: &Arc<Roster>) {
        let (epoch, id) = (roster.epoch(), roster.id());
        let known = *self.roll.rosters.entry(epoch).or_insert(id);
        if known != id {
            self.wrong.get_or_insert_with(|| {
                format!(
                    "two rosters of epoch {epoch}: host {number} holds {id}, and another {known}"
                )
            });
        }
        if let Some(host) = self.hosts.get(number)
            && epoch < host.known.roster.epoch()
        {
            self.wrong
                .get_or_insert_with(|| format!("rollback: host {number} goes to epoch {epoch}"));
        }
        if self.agreed().epoch() < epoch {
            self.roll.agreed = Some(Arc::clone(roster));
            self.roll.census.epoch = epoch;
            self.newcomers_join();
        }
        self.note_motions();
    }

    /// Who stands in the roster and has never run begins to, when its people
    /// have heard of it.
    fn newcomers_join(&mut self) {
        let joining: Vec<usize> = self
            .standing()
            .filter(|host| *host >= self.scenario.founders)
            .collect();
        for host in joining {
            let Some(known) = self.hosts.get_mut(host) else {
                continue;
            };
            if known.is_down() && !core::mem::replace(&mut known.is_joining, true) {
                let person_ms = self.scenario.agenda.person_ms;
                let after_ms = self.chance.between("join", host as u64, person_ms);
                self.after_ms(after_ms, Happening::Join { host });
            }
        }
    }

    /// Which motions have effect, and where.
    fn note_motions(&mut self) {
        let now_ms = self.now_us / 1_000;
        let rosters: Vec<(usize, Option<Arc<Roster>>)> = self
            .standing()
            .filter(|host| self.hosts.get(*host).is_some_and(|host| host.has_run))
            .map(|host| (host, self.roster_of(host)))
            .collect();
        for (index, motion) in self.scenario.agenda.motions.iter().enumerate() {
            let holds = |roster: &Roster| motion.holds(roster, |host| self.member_of(host));
            let Some(proposed) = self.roll.motions.get(&index).copied() else {
                continue;
            };
            let mut now = proposed;
            if holds(self.agreed()) {
                now.first_ms.get_or_insert(now_ms);
            }
            let everywhere = rosters
                .iter()
                .filter(|(host, _)| !motion.admit.contains(host))
                .all(|(_, roster)| roster.as_ref().is_some_and(|roster| holds(roster)));
            if now.first_ms.is_some() && everywhere {
                now.last_ms.get_or_insert(now_ms);
            }
            self.roll.motions.insert(index, now);
        }
    }

    /// Everybody is looked at.
    pub(crate) fn on_survey(&mut self) -> Result<(), StoreError> {
        self.after_ms(LOOK_MS, Happening::Survey);
        self.note_motions();
        self.look_at_freshness();
        self.look_at_parts();
        self.look_at_suspensions();
        self.look_at_the_expelled();
        self.people_look()
    }

    fn look_at_freshness(&mut self) {
        let standing: Vec<usize> = self.standing().collect();
        for host in standing {
            match self.is_fresh(host) {
                Some(true) => self.roll.census.fresh_minutes += LOOK_MS / 60_000,
                Some(false) => self.roll.census.stale_minutes += LOOK_MS / 60_000,
                None => {}
            }
        }
    }

    /// A part of the federation with fewer than r members stops being fresh for
    /// AMBER, and is again once it is whole.
    fn look_at_parts(&mut self) {
        let now_ms = self.now_us / 1_000;
        let standing: Vec<usize> = self.standing().collect();
        let members: Vec<usize> = (0..self.scenario.members)
            .filter(|host| {
                self.member_of(*host)
                    .is_some_and(|member| self.agreed().member(&member).is_some())
            })
            .collect();
        let heard = self.agreed().thresholds().heard();
        let slack_ms = ALIVE_EVERY_MS + self.scenario.network.skew_ms;
        for (index, partition) in self.scenario.partitions.iter().enumerate() {
            if now_ms <= partition.from_ms {
                continue;
            }
            let until_ms = partition.until_ms.min(self.scenario.ends_ms());
            for is_side in [true, false] {
                let inside = |host: &&usize| partition.side.contains(host) == is_side;
                let mut part = self
                    .roll
                    .parts
                    .get(&(index, is_side))
                    .copied()
                    .unwrap_or_default();
                let fresh: Vec<usize> = standing
                    .iter()
                    .filter(inside)
                    .filter(|host| self.is_fresh(**host) == Some(true))
                    .copied()
                    .collect();
                let up = standing
                    .iter()
                    .filter(inside)
                    .filter(|host| self.is_fresh(**host).is_some())
                    .count();
                if now_ms <= until_ms {
                    if members.iter().filter(inside).count() >= heard || up == 0 {
                        continue;
                    }
                    if fresh.is_empty() {
                        part.stopped_ms.get_or_insert(now_ms);
                    } else if now_ms > partition.from_ms + FRESH_AMBER_MS + slack_ms {
                        let host = fresh.first().copied().unwrap_or(0);
                        self.wrong.get_or_insert_with(|| {
                            format!(
                                "host {host} is cut off with fewer than {heard} members since {} ms and is fresh for AMBER",
                                partition.from_ms
                            )
                        });
                    }
                } else if part.stopped_ms.is_some() && fresh.len() == up {
                    part.resumed_ms.get_or_insert(now_ms);
                }
                self.roll.parts.insert((index, is_side), part);
            }
        }
    }

    fn look_at_suspensions(&mut self) {
        let now_ms = self.now_us / 1_000;
        for (index, suspending) in self.scenario.agenda.suspensions.iter().enumerate() {
            let Some(member) = self.member_of(suspending.host) else {
                continue;
            };
            let mut all = true;
            let mut any = false;
            for number in self.standing() {
                let Some(host) = self.hosts.get(number) else {
                    continue;
                };
                if let Brain::Engine(engine) = &host.brain {
                    any = true;
                    let wall_ms = host.now(self.now_us).wall_ms;
                    let of = engine.membership().suspensions();
                    all &= of.is_suspended(&engine.roster(), &member, wall_ms);
                }
            }
            if any && all {
                self.roll.suspended_ms.entry(index).or_insert(now_ms);
            }
        }
    }

    /// Who was expelled is connected to nobody once everybody has followed, and
    /// is not fresh for longer than AMBER may be.
    fn look_at_the_expelled(&mut self) {
        let now_ms = self.now_us / 1_000;
        let standing: Vec<usize> = self.standing().collect();
        let expelled: Vec<(usize, MemberId)> = self
            .honest()
            .filter_map(|host| Some((host, self.member_of(host)?)))
            .filter(|(host, member)| {
                self.hosts.get(*host).is_some_and(|host| host.has_run)
                    && self.agreed().member(member).is_none()
            })
            .collect();
        for (host, member) in expelled {
            let is_gone = standing.iter().all(|other| {
                self.roster_of(*other)
                    .is_none_or(|roster| roster.member(&member).is_none())
            });
            if !is_gone {
                continue;
            }
            let since_ms = *self.roll.gone_ms.entry(host).or_insert(now_ms);
            if now_ms == since_ms {
                continue;
            }
            let peer = self
                .connected_to(host)
                .into_iter()
                .find(|peer| standing.contains(peer));
            if let Some(peer) = peer {
                self.wrong.get_or_insert_with(|| {
                    format!("host {host} was expelled and is connected to host {peer}")
                });
            }
            if now_ms > since_ms + FRESH_AMBER_MS + ALIVE_EVERY_MS + self.scenario.network.skew_ms
                && self.is_fresh(host) == Some(true)
            {
                self.wrong.get_or_insert_with(|| {
                    format!("host {host} was expelled at {since_ms} ms and is fresh for AMBER")
                });
            }
        }
    }

    /// A link comes up: not to somebody who was expelled and whom everybody has
    /// left.
    pub(crate) fn look_at_link(&mut self, a: usize, b: usize) {
        for (host, peer) in [(a, b), (b, a)] {
            if self.roll.gone_ms.contains_key(&host) && self.standing().any(|one| one == peer) {
                self.wrong.get_or_insert_with(|| {
                    format!("host {host} was expelled and connects to host {peer}")
                });
            }
        }
    }

    /// What is not yet as it must be in the end, if anything is not.
    pub(crate) fn unsettled(&self) -> Option<String> {
        if !self.scenario.agenda.is_on() {
            return None;
        }
        let agreed = self.agreed();
        for (index, motion) in self.scenario.agenda.motions.iter().enumerate() {
            if motion.at_ms < self.scenario.ends_ms() && !self.is_decided(index) {
                let (refused, last) = (self.people.refused, &self.people.last_refusal);
                return Some(format!(
                    "number {index} on the agenda is not decided; {refused} sayings were refused, last: {last}"
                ));
            }
        }
        let mut digest = None;
        for number in self.standing() {
            let host = self.hosts.get(number)?;
            let Brain::Engine(engine) = &host.brain else {
                return Some(format!("host {number} does not run"));
            };
            let roster = engine.roster();
            if roster.id() != agreed.id() {
                return Some(format!(
                    "host {number} holds epoch {} and not {}",
                    roster.epoch(),
                    agreed.epoch()
                ));
            }
            let held = engine.membership().digest(NoticeScope::Lasting);
            let (first, digest) = *digest.get_or_insert((number, held));
            if held != digest {
                return Some(format!(
                    "host {number} holds other notices than host {first}"
                ));
            }
            if self.is_fresh(number) == Some(false) {
                return Some(format!("host {number} is not fresh for AMBER"));
            }
        }
        self.roll
            .parts
            .iter()
            .find(|(_, part)| part.stopped_ms.is_some() && part.resumed_ms.is_none())
            .map(|((index, _), _)| format!("a side of partition {index} is not fresh again"))
    }

    /// What does not hold at the end, if anything does not: a suspension that
    /// two nodes see differently, a member that was run twice and not found out.
    pub(crate) fn misjudged(&self) -> Option<String> {
        let agenda = &self.scenario.agenda;
        for suspending in &agenda.suspensions {
            let member = self.member_of(suspending.host)?;
            for hours in 0..=80 {
                let wall_ms = crate::host::WALL_START_MS + suspending.at_ms + hours * 3_600_000;
                let mut first: Option<BTreeSet<MemberId>> = None;
                for number in self.standing() {
                    if let Some(Brain::Engine(engine)) =
                        self.hosts.get(number).map(|host| &host.brain)
                    {
                        let roster = engine.roster();
                        let of = engine.membership().suspensions();
                        let seen = of.suspenders(&roster, &member, wall_ms);
                        if *first.get_or_insert_with(|| seen.clone()) != seen {
                            return Some(format!(
                                "host {number} counts other suspensions of host {}",
                                suspending.host
                            ));
                        }
                    }
                }
            }
        }
        (0..self.scenario.members)
            .filter(|host| agenda.is_twofold(*host))
            .find(|host| !self.is_found_out(*host))
            .map(|host| format!("host {host} went on from a copy, and nobody found out"))
    }

    fn has_conflict(&self, member: &MemberId) -> bool {
        self.conflicts.iter().any(|(_, author, _)| author == member)
    }

    /// Whether a host refused to publish, or somebody holds what proves that it
    /// contradicted itself.
    fn is_found_out(&self, host: usize) -> bool {
        self.roll.behind.contains_key(&host)
            || self.member_of(host).is_some_and(|member| {
                self.has_conflict(&member) || self.roll.proven.contains(&member)
            })
    }

    /// The figures.
    pub(crate) fn census(&self) -> Census {
        let mut census = self.roll.census.clone();
        for (index, proposed) in &self.roll.motions {
            let (Some(at_ms), Some(motion)) =
                (proposed.at_ms, self.scenario.agenda.motions.get(*index))
            else {
                continue;
            };
            let took =
                |moment: Option<u64>| moment.map_or(0, |moment| moment.saturating_sub(at_ms));
            let (first, last) = (took(proposed.first_ms), took(proposed.last_ms));
            if !motion.admit.is_empty() {
                census.admission_first_ms = census.admission_first_ms.max(first);
                census.admission_last_ms = census.admission_last_ms.max(last);
            }
            if !motion.expel.is_empty() {
                census.expulsion_first_ms = census.expulsion_first_ms.max(first);
                census.expulsion_last_ms = census.expulsion_last_ms.max(last);
            }
        }
        for ((index, _), part) in &self.roll.parts {
            let (Some(stopped_ms), Some(partition)) =
                (part.stopped_ms, self.scenario.partitions.get(*index))
            else {
                continue;
            };
            census.parts_stopped += 1;
            let stop_ms = stopped_ms.saturating_sub(partition.from_ms);
            census.part_stop_ms_max = census.part_stop_ms_max.max(stop_ms);
            if let Some(resumed_ms) = part.resumed_ms {
                let healed_ms = partition.until_ms.min(self.scenario.ends_ms());
                let resume_ms = resumed_ms.saturating_sub(healed_ms);
                census.part_resume_ms_max = census.part_resume_ms_max.max(resume_ms);
            }
        }
        let contradicted: BTreeSet<MemberId> = self
            .conflicts
            .iter()
            .map(|(_, author, _)| *author)
            .chain(self.roll.proven.iter().copied())
            .collect();
        census.forks_seen = contradicted.len() as u64;
        census.forks_proven = self.roll.proven.len() as u64;
        census.refused_behind = self.roll.behind.values().sum();
        census.suspensions_agreed = self.roll.suspended_ms.len() as u64;
        for (index, at_ms) in &self.roll.suspended_ms {
            if let Some(suspending) = self.scenario.agenda.suspensions.get(*index) {
                let took_ms = at_ms.saturating_sub(suspending.at_ms);
                census.suspension_ms_max = census.suspension_ms_max.max(took_ms);
            }
        }
        census
    }
}
