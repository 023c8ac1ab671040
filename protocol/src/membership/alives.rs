//! Signs of life: how fresh this node's roster is, what time it is in the
//! federation, and where streams end.

use super::Suspensions;
use crate::ids::{EnvelopeId, MemberId, NodeId};
use crate::limits::{
    CLOCK_SKEW_MS_MAX, FRESH_AMBER_MS, FRESH_GREEN_MS, FRESH_RED_MS, OFFSET_AGE_MS_MAX,
    STREAMS_PER_NODE_MAX,
};
use crate::marking::Marking;
use crate::roster::{Certificate, Roster};
use crate::time::{Instant, Now};
use crate::wire::Tag;
use crate::wire::notice::Alive;
use std::collections::{BTreeMap, BTreeSet};

/// The newest sign of life of each node.
#[derive(Clone, Debug, Default)]
pub struct Alives {
    nodes: BTreeMap<NodeId, Known>,
    /// How far each member's clock was from this one when gossip last brought a
    /// sign of life of it.
    offsets: BTreeMap<MemberId, (Instant, i64)>,
    /// Of which node what was heard so, by certificate and its clock then: what
    /// is gossiped again says nothing of what time it is now.
    last_heard: BTreeMap<NodeId, (MemberId, u64, u64)>,
    /// When this clock last jumped: what was taken before says nothing of how long
    /// ago that is.
    taken_from: Instant,
}

#[derive(Clone, Debug)]
struct Known {
    member: MemberId,
    incarnation: u64,
    serial: u64,
    /// Where its streams end, by the most that it said.
    heads: BTreeMap<Tag, (u64, EnvelopeId)>,
    said: Alive,
    taken_at: Instant,
}

/// Where the streams of a node end by its own word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends<'a> {
    /// In which life.
    pub(crate) incarnation: u64,
    /// The last sequence of each, and the envelope there.
    pub(crate) heads: &'a BTreeMap<Tag, (u64, EnvelopeId)>,
    /// When the newest of what it said was taken here.
    pub(crate) taken_at: Instant,
}

/// How fresh this node's view of the roster is, for a marking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Members lately heard of that hold the same roster, this one included.
    pub heard: usize,
    /// How many it takes.
    pub needed: usize,
}

impl Freshness {
    /// Whether it is fresh.
    pub const fn is_fresh(self) -> bool {
        self.heard >= self.needed
    }
}

/// How far this node's clock is from the federation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// What must be added to this clock, in milliseconds.
    pub ms: i64,
    /// Of how many members it is the median, this one included.
    pub members: usize,
}

impl ClockOffset {
    /// Whether this clock is too far off to be believed.
    pub const fn is_off(self) -> bool {
        self.ms.unsigned_abs() > CLOCK_SKEW_MS_MAX
    }
}

impl Alives {
    /// What one says of its sender's clock, when gossip brought it a moment ago.
    pub(super) fn hear(&mut self, now: Now, certificate: &Certificate, said: &Alive) {
        let order = (certificate.serial, said.wall_ms);
        let is_old = |before: (u64, u64)| before >= order;
        let held = self.nodes.get(&certificate.node);
        let heard = self.last_heard.get(&certificate.node);
        if held.is_some_and(|held| is_old((held.serial, held.said.wall_ms)))
            || heard.is_some_and(|(_, serial, wall_ms)| is_old((*serial, *wall_ms)))
        {
            return;
        }
        let member = certificate.member;
        self.last_heard
            .insert(certificate.node, (member, order.0, order.1));
        let theirs = i64::try_from(said.wall_ms).unwrap_or(i64::MAX);
        let ours = i64::try_from(now.wall_ms).unwrap_or(i64::MAX);
        self.offsets
            .insert(member, (now.mono, theirs.saturating_sub(ours)));
    }

    /// This clock jumped: what was heard before tells neither how old it is nor how
    /// far other clocks are from this one.
    pub(super) fn clock_jumped(&mut self, now: Instant) {
        self.taken_from = now;
        self.offsets.clear();
    }

    pub(super) fn take(&mut self, now: Now, certificate: &Certificate, said: &Alive) {
        // Of each stream what was said last of its end, whatever came in between:
        // cuts must not depend on the order.
        let mut heads = match self.nodes.remove(&certificate.node) {
            Some(known) if known.incarnation == certificate.incarnation => known.heads,
            Some(_) | None => BTreeMap::new(),
        };
        for head in said.heads.iter() {
            let end = (head.sequence, head.head);
            let held = heads.entry(head.tag).or_insert(end);
            *held = (*held).max(end);
        }
        while heads.len() > STREAMS_PER_NODE_MAX {
            heads.pop_last();
        }
        self.nodes.insert(
            certificate.node,
            Known {
                member: certificate.member,
                incarnation: certificate.incarnation,
                serial: certificate.serial,
                heads,
                said: said.clone(),
                taken_at: now.mono,
            },
        );
    }

    pub(super) fn retain(&mut self, is_member: impl Fn(&MemberId) -> bool) {
        self.nodes.retain(|_, known| is_member(&known.member));
        self.offsets.retain(|member, _| is_member(member));
        self.last_heard
            .retain(|_, (member, _, _)| is_member(member));
    }

    /// The members of whom every node that may speak for them was heard, no longer
    /// ago than `age_ms_max`, to hold this very roster. Not of those who are
    /// suspended at the moment.
    ///
    /// Every node, and not any: of a member that has gone on, a node that was left
    /// behind would otherwise keep others who were left behind fresh for ever. So a
    /// node that is not used any more silences its member until its certificate
    /// ends.
    pub fn heard(
        &self,
        roster: &Roster,
        suspensions: &Suspensions,
        now: Now,
        age_ms_max: u64,
    ) -> BTreeSet<MemberId> {
        let mut heard = BTreeSet::new();
        let mut silent = BTreeSet::new();
        for certificate in roster.nodes() {
            if !certificate.is_current(now.wall_ms) {
                continue;
            }
            if self.holds(&certificate.node, roster, now, age_ms_max) {
                heard.insert(certificate.member);
            } else {
                silent.insert(certificate.member);
            }
        }
        heard
            .difference(&silent)
            .filter(|member| !suspensions.is_suspended(roster, member, now.wall_ms))
            .copied()
            .collect()
    }

    /// Whether a node was lately heard to hold this very roster: by what it said of
    /// the time, and by how long ago it was taken here, since a wall clock can be set
    /// back.
    fn holds(&self, node: &NodeId, roster: &Roster, now: Now, age_ms_max: u64) -> bool {
        self.nodes.get(node).is_some_and(|known| {
            let said = &known.said;
            said.epoch == roster.epoch()
                && said.roster == roster.id()
                // A clock that was set back makes nobody younger.
                && said.wall_ms <= now.wall_ms.saturating_add(CLOCK_SKEW_MS_MAX)
                && now.wall_ms.saturating_sub(said.wall_ms) < age_ms_max
                && known.taken_at >= self.taken_from
                && now.mono.since_ms(known.taken_at) < age_ms_max
        })
    }

    /// How fresh this node is for a marking: nothing above CLEAR is sealed under a
    /// roster that enough members may have left.
    pub fn freshness(
        &self,
        roster: &Roster,
        suspensions: &Suspensions,
        me: &Certificate,
        now: Now,
        marking: Marking,
    ) -> Freshness {
        let age_ms_max = match marking {
            Marking::Clear => {
                return Freshness {
                    heard: 1,
                    needed: 0,
                };
            }
            Marking::Green => FRESH_GREEN_MS,
            Marking::Amber | Marking::AmberStrict => FRESH_AMBER_MS,
            Marking::Red => FRESH_RED_MS,
        };
        let mut heard = self.heard(roster, suspensions, now, age_ms_max);
        // This node knows what it holds; its member's other nodes are heard like
        // everybody else's.
        let others_hold_it = roster
            .nodes()
            .filter(|other| {
                other.member == me.member && other.node != me.node && other.is_current(now.wall_ms)
            })
            .all(|other| self.holds(&other.node, roster, now, age_ms_max));
        let is_suspended = suspensions.is_suspended(roster, &me.member, now.wall_ms);
        if others_hold_it && !is_suspended && roster.member(&me.member).is_some() {
            heard.insert(me.member);
        }
        Freshness {
            heard: heard.len(),
            needed: roster.thresholds().heard(),
        }
    }

    /// How far this clock is from the federation's: the median over those of whom
    /// gossip lately brought a sign of life, this one among them. Nothing where so
    /// few were heard that cheats could be most of them.
    pub fn clock_offset(&self, roster: &Roster, now: Now, me: &MemberId) -> Option<ClockOffset> {
        let mut offsets: Vec<i64> = self
            .offsets
            .iter()
            .filter(|(member, (at, _))| {
                *member != me
                    && roster.member(member).is_some()
                    && now.mono.since_ms(*at) < OFFSET_AGE_MS_MAX
            })
            .map(|(_, (_, offset))| *offset)
            .collect();
        offsets.push(0);
        offsets.sort_unstable();
        if offsets.len() < 2 * roster.thresholds().faults() + 1 || offsets.len() < 2 {
            return None;
        }
        // Of an even number there are two in the middle: the one that is further
        // off, since a clock in doubt is not believed.
        let middle = [(offsets.len() - 1) / 2, offsets.len() / 2];
        let ms = middle
            .into_iter()
            .filter_map(|at| offsets.get(at).copied())
            .max_by_key(|offset| offset.unsigned_abs())?;
        Some(ClockOffset {
            ms,
            members: offsets.len(),
        })
    }

    /// How far a member's clock was from this one, in milliseconds, when gossip last
    /// brought a sign of life of it; the way here is in it. Nothing where that is
    /// long ago.
    pub fn offset_of(&self, now: Now, member: &MemberId) -> Option<i64> {
        let (at, offset) = self.offsets.get(member)?;
        (now.mono.since_ms(*at) < OFFSET_AGE_MS_MAX).then_some(*offset)
    }

    /// Where a stream ended, by its author's newest sign of life.
    pub fn head(&self, node: &NodeId, incarnation: u64, tag: &Tag) -> Option<(u64, EnvelopeId)> {
        let known = self
            .nodes
            .get(node)
            .filter(|known| known.incarnation == incarnation)?;
        known.heads.get(tag).copied()
    }

    /// Where the streams of the present life of a node end by its own word, and when
    /// it was taken here.
    pub(crate) fn ends(&self, node: &NodeId) -> Option<Ends<'_>> {
        self.nodes.get(node).map(|known| Ends {
            incarnation: known.incarnation,
            heads: &known.heads,
            taken_at: known.taken_at,
        })
    }

    /// The newest sign of life of a node.
    pub fn of(&self, node: &NodeId) -> Option<&Alive> {
        self.nodes.get(node).map(|known| &known.said)
    }

    /// Every node's, with its member.
    pub fn all(&self) -> impl Iterator<Item = (&NodeId, &MemberId, &Alive)> {
        self.nodes
            .iter()
            .map(|(node, known)| (node, &known.member, &known.said))
    }
}
