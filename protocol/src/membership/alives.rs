//! Signs of life: how fresh this node's roster is, what time it is in the
//! federation, and where streams end.

use super::NotNews;
use crate::ids::{EnvelopeId, MemberId, NodeId};
use crate::limits::{
    CLOCK_SKEW_MS_MAX, FRESH_AMBER_MS, FRESH_GREEN_MS, FRESH_RED_MS, OFFSET_AGE_MS_MAX,
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
}

#[derive(Clone, Debug)]
struct Known {
    member: MemberId,
    incarnation: u64,
    serial: u64,
    said: Alive,
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
    pub(super) fn hear(&mut self, now: Now, member: MemberId, said: &Alive) {
        let theirs = i64::try_from(said.wall_ms).unwrap_or(i64::MAX);
        let ours = i64::try_from(now.wall_ms).unwrap_or(i64::MAX);
        self.offsets
            .insert(member, (now.mono, theirs.saturating_sub(ours)));
    }

    pub(super) fn take(
        &mut self,
        _now: Now,
        certificate: &Certificate,
        said: &Alive,
    ) -> Result<(), NotNews> {
        if let Some(known) = self.nodes.get(&certificate.node)
            && known.serial == certificate.serial
            && goes_back(&known.said, said)
        {
            return Err(NotNews::GoesBack);
        }
        self.nodes.insert(
            certificate.node,
            Known {
                member: certificate.member,
                incarnation: certificate.incarnation,
                serial: certificate.serial,
                said: said.clone(),
            },
        );
        Ok(())
    }

    pub(super) fn retain(&mut self, is_member: impl Fn(&MemberId) -> bool) {
        self.nodes.retain(|_, known| is_member(&known.member));
        self.offsets.retain(|member, _| is_member(member));
    }

    /// Of each member the sign of life that counts: that of the highest epoch, and
    /// of those the newest, so that a node that was left behind does not speak for
    /// a member that has gone on.
    fn of_members(&self) -> BTreeMap<MemberId, &Known> {
        let mut of_members: BTreeMap<MemberId, &Known> = BTreeMap::new();
        for known in self.nodes.values() {
            let order = |known: &Known| (known.said.epoch, known.said.wall_ms);
            let newest = of_members.entry(known.member).or_insert(known);
            if order(newest) < order(known) {
                *newest = known;
            }
        }
        of_members
    }

    /// The members of whom a sign of life younger than `age_ms_max` says that they
    /// hold this very roster.
    pub fn heard(&self, roster: &Roster, wall_ms: u64, age_ms_max: u64) -> BTreeSet<MemberId> {
        self.of_members()
            .into_iter()
            .filter(|(member, known)| {
                let said = &known.said;
                roster.member(member).is_some()
                    && said.epoch == roster.epoch()
                    && said.roster == roster.id()
                    && wall_ms.saturating_sub(said.wall_ms) < age_ms_max
                    && roster
                        .certificate(&said.certificate)
                        .is_some_and(|certificate| roster.stands(certificate))
            })
            .map(|(member, _)| member)
            .collect()
    }

    /// How fresh this node is for a marking: nothing above CLEAR is sealed under a
    /// roster that enough members may have left.
    pub fn freshness(
        &self,
        roster: &Roster,
        me: &MemberId,
        wall_ms: u64,
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
        let mut heard = self.heard(roster, wall_ms, age_ms_max);
        // Of its own member's other nodes one may have gone on.
        let left_behind = self
            .of_members()
            .get(me)
            .is_some_and(|known| known.said.epoch > roster.epoch());
        if !left_behind {
            heard.insert(*me);
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
        let middle = (offsets.len() - 1) / 2;
        Some(ClockOffset {
            ms: *offsets.get(middle)?,
            members: offsets.len(),
        })
    }

    /// Where a stream ended, by its author's newest sign of life.
    pub fn head(&self, node: &NodeId, incarnation: u64, tag: &Tag) -> Option<(u64, EnvelopeId)> {
        let known = self
            .nodes
            .get(node)
            .filter(|known| known.incarnation == incarnation)?;
        known
            .said
            .heads
            .iter()
            .find(|head| head.tag == *tag)
            .map(|head| (head.sequence, head.head))
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

/// Whether a sign of life takes back what an earlier one said of a stream.
fn goes_back(before: &Alive, after: &Alive) -> bool {
    after.epoch < before.epoch
        || before.heads.iter().any(|held| {
            after
                .heads
                .iter()
                .find(|head| head.tag == held.tag)
                .is_none_or(|head| head.sequence < held.sequence)
        })
}
