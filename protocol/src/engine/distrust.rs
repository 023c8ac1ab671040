//! Local distrust: this node's operator breaks with a member.
//!
//! The fastest of the three ways of removing somebody, and the only one that a
//! member decides alone. So it changes what this node sends and takes and nothing
//! else: nobody is told, and what the federation is stays as it is.
//!
//! | of a distrusted member | |
//! |---|---|
//! | connections to its nodes | closed at once, and not admitted |
//! | new envelopes, by whatever way | not taken, not passed on |
//! | what was taken before | stays, goes on to whoever asks, is shown marked |
//! | votes, signs of life, cards, suspensions, proofs | count as before |
//! | certificates, also at the door | as before |
//!
//! The last two rows are no oversight. Which roster holds, who is suspended and
//! how fresh this node is must come out alike at every honest node: one that
//! counted fewer votes or signs of life than the others would fall behind them,
//! or stop sealing, and gain nothing, since the quorums allow for liars already.
//!
//! What others pass on of it in good faith is charged to its own rate, and to them
//! only beyond that. When the distrust ends, every peer is read from the beginning,
//! since marks have moved over what was not asked for.

use super::messages::{ClientToken, Output};
use super::{Engine, NotTaken, Staged, Way, damaged, for_each};
use crate::ids::{MemberId, NodeId};
use crate::limits::DISTRUSTED_MAX;
use crate::store::{Store, StoreError};
use crate::table;
use crate::time::Now;
use crate::wire::exchange::StreamId;
use crate::wire::{Text, codec};
use bincode::{Decode, Encode};
use std::collections::BTreeMap;

/// Since when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Distrust {
    /// When it began, in milliseconds UTC by this node's clock.
    pub since_ms: u64,
    /// Why, in the words of this node's operator.
    pub reason: Text<256>,
}

impl Distrust {
    /// The most bytes of one as it is kept: a number, a length, the reason.
    pub const BYTES_MAX: usize = 9 + 3 + 256;
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistrustRefusal {
    /// It is this node's own.
    #[error("this is the node's own member; to end a node of one's own, see \"watchfire key\"")]
    OwnMember,
    /// No such member.
    #[error("it is no member of the present roster")]
    NotAMember,
    /// There is nothing to end.
    #[error("this node does not distrust it")]
    NotDistrusted,
    /// The reason is too long, or empty.
    #[error("the reason has 1 to 256 bytes and no control characters")]
    Reason,
    /// Too many.
    #[error("this node distrusts {DISTRUSTED_MAX} members already; end one of these first")]
    TooMany,
}

impl<S: Store> Engine<S> {
    /// Whom this node distrusts.
    pub const fn distrusted(&self) -> &BTreeMap<MemberId, Distrust> {
        &self.distrusted
    }

    /// Whether this node distrusts a member.
    pub fn distrusts(&self, member: &MemberId) -> bool {
        self.distrusted.contains_key(member)
    }

    /// Whether this node distrusts whose node that is.
    pub(super) fn distrusts_node(&self, node: &NodeId) -> bool {
        !self.distrusted.is_empty()
            && self
                .roster
                .owner(node)
                .is_some_and(|member| self.distrusts(&member))
    }

    /// Whether something new of an author is taken. What is not is charged to its
    /// own rate, so that who passes it on in good faith pays for none of it.
    pub(super) fn check_trust(
        &mut self,
        now: Now,
        (author, stream): (&MemberId, &StreamId),
        cost_bytes: u64,
        way: Way,
    ) -> Result<(), NotTaken> {
        if !self.distrusts(author) {
            return Ok(());
        }
        self.charge(now, stream, cost_bytes, way)?;
        Err(NotTaken::Distrusted)
    }

    /// A person begins to distrust a member, for a reason, or ends it.
    pub(super) fn on_distrust(
        &mut self,
        now: Now,
        client: ClientToken,
        member: MemberId,
        reason: Option<String>,
    ) -> Result<(), StoreError> {
        let outcome = match reason {
            Some(reason) => self.begin_distrust(now, member, reason)?,
            None => self.end_distrust(now, member),
        };
        self.claim(Output::Distrust { client, outcome });
        Ok(())
    }

    fn begin_distrust(
        &mut self,
        now: Now,
        member: MemberId,
        reason: String,
    ) -> Result<Result<(), DistrustRefusal>, StoreError> {
        if let Err(why) = self.may_distrust(&member, &reason) {
            return Ok(Err(why));
        }
        let Ok(reason) = Text::new(reason) else {
            return Ok(Err(DistrustRefusal::Reason));
        };
        // Another reason for what goes on already is no new beginning.
        let since_ms = self
            .distrusted
            .get(&member)
            .map_or(now.wall_ms, |distrust| distrust.since_ms);
        let distrust = Distrust { since_ms, reason };
        self.staged.put_as(table::distrusted(&member), &distrust);
        self.distrusted.insert(member, distrust);
        let connected: Vec<NodeId> = self
            .peers
            .nodes()
            .filter(|node| self.distrusts_node(node))
            .collect();
        for node in connected {
            self.on_disconnected(now, node)?;
        }
        self.let_go_of_distrusted(now);
        self.outputs.push_back(Output::Admission);
        Ok(Ok(()))
    }

    fn may_distrust(&self, member: &MemberId, reason: &str) -> Result<(), DistrustRefusal> {
        if *member == self.own_member() {
            return Err(DistrustRefusal::OwnMember);
        }
        if self.roster.member(member).is_none() {
            return Err(DistrustRefusal::NotAMember);
        }
        if reason.is_empty() || reason.chars().any(char::is_control) {
            return Err(DistrustRefusal::Reason);
        }
        if self.distrusted.len() >= DISTRUSTED_MAX && !self.distrusts(member) {
            return Err(DistrustRefusal::TooMany);
        }
        Ok(())
    }

    fn end_distrust(&mut self, now: Now, member: MemberId) -> Result<(), DistrustRefusal> {
        if self.distrusted.remove(&member).is_none() {
            return Err(DistrustRefusal::NotDistrusted);
        }
        self.staged.remove(table::distrusted(&member));
        self.read_all_again(now);
        self.outputs.push_back(Output::Admission);
        Ok(())
    }

    /// Every peer's frontier is read from the beginning, also after a crash and of
    /// those who are away: what was passed over did not change there.
    fn read_all_again(&mut self, now: Now) {
        let nodes: Vec<NodeId> = self.roster.nodes().map(|known| known.node).collect();
        for node in nodes {
            self.staged.remove(table::mark(&node));
        }
        self.peers.forget_marks(now);
        self.list_all_again(now);
    }
}

/// Whom a store says that its node distrusts.
pub(super) fn restore<S: Store>(
    staged: &Staged<S>,
) -> Result<BTreeMap<MemberId, Distrust>, StoreError> {
    let mut distrusted = BTreeMap::new();
    for_each(staged, table::DISTRUSTED, |key, value| {
        let member = table::distrusted_of(key).ok_or_else(|| damaged(key))?;
        let distrust = codec::decode(value, Distrust::BYTES_MAX).map_err(|_| damaged(key))?;
        distrusted.insert(member, distrust);
        Ok(())
    })?;
    Ok(distrusted)
}
