//! Who suspends whom, and until when.

use super::NotNews;
use crate::gate::{Order, Slot};
use crate::ids::MemberId;
use crate::limits::SUSPENSIONS_PER_MEMBER_MAX;
use crate::roster::Roster;
use crate::wire::notice::Suspension;
use std::collections::{BTreeMap, BTreeSet};

/// The newest suspension of each member by each other.
#[derive(Clone, Debug, Default)]
pub struct Suspensions {
    by_pair: BTreeMap<(MemberId, MemberId), (Order, Suspension)>,
}

impl Suspensions {
    /// Takes one. Of one signer the greatest few stay, whichever came first.
    pub(super) fn take(
        &mut self,
        by: MemberId,
        said: &Suspension,
        order: Order,
    ) -> Result<Vec<Slot>, NotNews> {
        let pair = (by, said.member);
        let mut of_signer: Vec<(Order, MemberId)> = self
            .by_pair
            .iter()
            .filter(|((signer, of), _)| *signer == by && *of != said.member)
            .map(|((_, of), (order, _))| (*order, *of))
            .collect();
        of_signer.sort_unstable();
        let mut dropped = Vec::new();
        if of_signer.len() >= SUSPENSIONS_PER_MEMBER_MAX {
            match of_signer.first() {
                Some((least, of)) if *least < order => {
                    self.by_pair.remove(&(by, *of));
                    dropped.push(Slot::Suspension(by, *of));
                }
                Some(_) | None => return Err(NotNews::TooMany),
            }
        }
        self.by_pair.insert(pair, (order, said.clone()));
        Ok(dropped)
    }

    pub(super) fn retain(&mut self, is_member: impl Fn(&MemberId) -> bool) {
        self.by_pair
            .retain(|(by, of), _| is_member(by) && is_member(of));
    }

    /// Whose suspensions of a member count at a moment.
    pub fn suspenders(
        &self,
        roster: &Roster,
        member: &MemberId,
        wall_ms: u64,
    ) -> BTreeSet<MemberId> {
        self.by_pair
            .iter()
            .filter(|((_, of), (_, said))| {
                of == member
                    && said.counts_at(wall_ms)
                    && roster
                        .certificate(&said.certificate)
                        .is_some_and(|certificate| roster.stands(certificate))
            })
            .map(|((by, _), _)| *by)
            .collect()
    }

    /// Whether a member is suspended at a moment: f + 1 others say so, of whom
    /// one is honest.
    pub fn is_suspended(&self, roster: &Roster, member: &MemberId, wall_ms: u64) -> bool {
        self.suspenders(roster, member, wall_ms).len() >= roster.thresholds().suspenders()
    }

    /// Until when a member is suspended, in milliseconds UTC, if nobody says so anew
    /// or takes it back; nothing for one that is not suspended.
    pub fn until(&self, roster: &Roster, member: &MemberId, wall_ms: u64) -> Option<u64> {
        let mut ends: Vec<u64> = self
            .suspenders(roster, member, wall_ms)
            .iter()
            .filter_map(|by| self.by_pair.get(&(*by, *member)))
            .map(|(_, said)| said.until_ms)
            .collect();
        ends.sort_unstable_by(|one, other| other.cmp(one));
        // With the last of those whom it takes it is over.
        let last = roster.thresholds().suspenders().checked_sub(1)?;
        ends.get(last).copied()
    }

    /// Everything that is held: by whom, and what.
    pub fn all(&self) -> impl Iterator<Item = (&MemberId, &Suspension)> {
        self.by_pair.iter().map(|((by, _), (_, said))| (by, said))
    }
}
