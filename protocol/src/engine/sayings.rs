//! What this node says about membership in its own name: that it is alive, that
//! it proposes or prepares a roster, that it suspends somebody.

use super::members::notice_bytes;
use super::messages::{ClientToken, Output};
use super::receive::release_frame;
use super::{Engine, Instant};
use crate::gate::{NoticeRefusal, Slot, check_notice};
use crate::ids::{MemberId, NodeId, RosterId};
use crate::limits::{
    ALIVE_EVERY_MS, ALIVE_SOON_MS, FRAME_BYTES_MAX, MEMBERS_MAX, NOTICE_AGAIN_MS,
    SUSPENSION_LIFE_MS_MAX,
};
use crate::marking::Marking;
use crate::membership::{Arrival, NotNews};
use crate::policy::Peer;
use crate::roster::{Proposal, RosterError, Step, VoteRefusal};
use crate::store::{Store, StoreError};
use crate::table::{self, Prepared};
use crate::time::Now;
use crate::wire::envelope::{body_of, frame};
use crate::wire::notice::{Alive, StreamHead, Suspension};
use crate::wire::roster::{Change, RosterStatement, Vote, VoteBy, VoteFrame, VoteLine};
use crate::wire::{Kind, List, SignedBytes, Text, TooLong, codec};
use watchfire_crypto::{Signed, Statement};

/// What a person has this node say.
#[derive(Clone, Debug)]
pub enum Saying {
    /// Propose a roster.
    Propose {
        /// Why.
        reason: String,
        /// What changes.
        changes: Vec<Change>,
    },
    /// Prepare a roster that is proposed.
    Prepare {
        /// Which.
        roster: RosterId,
        /// In which round; none for the present one.
        round: Option<u32>,
    },
    /// Suspend a member, as far as it is this one's to say.
    Suspend {
        /// Whom.
        member: MemberId,
        /// For how long, in milliseconds; 0 takes it back.
        life_ms: u64,
        /// Why.
        reason: String,
    },
    /// Say what somebody signed elsewhere, an offline root above all: a frame.
    Bring {
        /// The frame.
        frame: Vec<u8>,
    },
    /// Go on along a link of the chain that came by another way.
    Follow {
        /// The link.
        link: Vec<u8>,
    },
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Of a proposal or a vote: which roster it is about.
    pub roster: Option<RosterId>,
    /// The roster's number that is held now.
    pub epoch: u64,
}

/// Why nothing was said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SayingRefusal {
    /// The roster does not allow it.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// A vote against what was voted before.
    #[error(transparent)]
    Vote(#[from] VoteRefusal),
    /// A prepare where another node of this member has prepared.
    #[error(
        "node {node} of this member prepared in round {round} already, and a member that prepares at two nodes may sign two rosters in one round; prepare there, or revoke that node first"
    )]
    OtherNode {
        /// Which node.
        node: NodeId,
        /// The last round in which it did.
        round: u32,
    },
    /// A commit of the own root, made when its node had not yet voted on.
    #[error(
        "this root signed in round {signed}, and its node has prepared in round {prepared} since: the packet it signed was older than that; destroy the vote, export a packet here, and sign that"
    )]
    Stale {
        /// The round of the commit.
        signed: u32,
        /// The last round in which the node prepared.
        prepared: u32,
    },
    /// What was brought does not come through the gate.
    #[error(transparent)]
    Gate(#[from] NoticeRefusal),
    /// It is no news here.
    #[error(transparent)]
    NotNews(#[from] NotNews),
    /// Too long, or out of bounds.
    #[error("{0}")]
    Form(String),
}

impl<S: Store> Engine<S> {
    pub(super) fn on_say(
        &mut self,
        now: Now,
        client: ClientToken,
        saying: Saying,
    ) -> Result<(), StoreError> {
        let outcome = self.say(now, saying)?;
        self.claim(Output::Said { client, outcome });
        Ok(())
    }

    fn say(&mut self, now: Now, saying: Saying) -> Result<Result<Said, SayingRefusal>, StoreError> {
        let mut prepared = None;
        let made = match saying {
            Saying::Propose { reason, changes } => self.proposal(now, reason, changes),
            Saying::Prepare { roster, round } => {
                self.prepare(now, &roster, round).map(|(bytes, vote)| {
                    prepared = Some(vote);
                    (bytes, Some(roster))
                })
            }
            Saying::Suspend {
                member,
                life_ms,
                reason,
            } => self.suspension(now, member, life_ms, reason),
            Saying::Bring { frame } => match self.stale_commit(&frame) {
                Some(why) => Err(why),
                None => Ok((self.with_prepares(frame)?, None)),
            },
            Saying::Follow { link } => return self.bring_link(now, &link),
        };
        let (bytes, roster) = match made {
            Ok(made) => made,
            Err(why) => return Ok(Err(why)),
        };
        if let Err(why) = self.utter(now, bytes)? {
            return Ok(Err(why));
        }
        if let Some(prepared) = prepared {
            // In the batch that holds the vote, which is let out after it.
            self.staged.put_as(table::prepared(), &prepared);
            self.prepared = Some(prepared);
        }
        Ok(Ok(Said {
            roster,
            epoch: self.roster.epoch(),
        }))
    }

    /// Takes a notice as if it had come from outside, and gossips it.
    pub(super) fn utter(
        &mut self,
        now: Now,
        bytes: Vec<u8>,
    ) -> Result<Result<(), SayingRefusal>, StoreError> {
        let notice = match check_notice(&bytes, &self.roster) {
            Ok(notice) => notice,
            Err(why) => return Ok(Err(why.into())),
        };
        if let Err(why) = self.take_notice(now, &notice, Arrival::Later)? {
            return Ok(Err(why.into()));
        }
        if let Some(frame) = release_frame(bytes, Marking::Clear, Peer::Outside) {
            self.claim(Output::Gossip { frame });
        }
        Ok(Ok(()))
    }

    fn sign<T: Statement, const MAX: usize>(
        &self,
        kind: Kind,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, SayingRefusal> {
        let signed: Signed<T> = Signed::seal(bytes, &self.signing_key);
        let signed: SignedBytes<MAX> =
            SignedBytes::new(signed).map_err(|why| SayingRefusal::Form(why.to_string()))?;
        Ok(frame(kind, &signed))
    }

    fn proposal(
        &self,
        now: Now,
        reason: String,
        changes: Vec<Change>,
    ) -> Result<(Vec<u8>, Option<RosterId>), SayingRefusal> {
        let successor = self.roster.propose(Proposal {
            proposer: self.own_member(),
            certificate: self.me.id,
            created_ms: now.wall_ms,
            reason,
            changes,
        })?;
        let bytes = self.sign::<RosterStatement, { crate::limits::ROSTER_BYTES_MAX }>(
            Kind::Roster,
            successor.bytes().to_vec(),
        )?;
        Ok((bytes, Some(successor.id())))
    }

    fn prepare(
        &self,
        now: Now,
        roster: &RosterId,
        round: Option<u32>,
    ) -> Result<(Vec<u8>, Prepared), SayingRefusal> {
        let deliberation = self.membership.deliberation();
        let thresholds = self.roster.thresholds();
        let last = self.last_prepared();
        let round = round.unwrap_or_else(|| {
            let present = deliberation.ballot().round(thresholds);
            present.max(last.map_or(0, |last| last.round))
        });
        if let Some((node, round)) = self.other_preparer(now) {
            return Err(SayingRefusal::OtherNode { node, round });
        }
        deliberation.may_prepare(&self.roster, &self.own_member(), round, roster)?;
        // What the store may have forgotten.
        if let Some(last) = last {
            if last.round > round {
                return Err(VoteRefusal::RoundPast.into());
            }
            if last.round == round && last.roster != *roster {
                return Err(VoteRefusal::OtherInRound.into());
            }
        }
        let prepared = Prepared {
            epoch: self.roster.epoch().saturating_add(1),
            round,
            roster: *roster,
        };
        let bytes = self
            .prepare_frame(&prepared)
            .map_err(|why| SayingRefusal::Form(why.to_string()))?;
        Ok((bytes, prepared))
    }

    /// What this node prepared last, if that is for the next epoch.
    fn last_prepared(&self) -> Option<Prepared> {
        self.prepared
            .filter(|last| Some(last.epoch) == self.roster.epoch().checked_add(1))
    }

    /// Another node of this member, still in use, that prepared in this epoch, and
    /// the last round in which it did.
    fn other_preparer(&self, now: Now) -> Option<(NodeId, u32)> {
        self.membership
            .deliberation()
            .prepared_by(&self.own_member())
            .filter_map(|(round, certificate)| {
                let node = self.roster.certificate(&certificate)?.node;
                let is_used = node != self.me.node
                    && self
                        .roster
                        .node(&node)
                        .is_some_and(|newest| newest.is_current(now.wall_ms));
                is_used.then_some((node, round))
            })
            .max_by_key(|(_, round)| *round)
    }

    fn prepare_frame(&self, prepared: &Prepared) -> Result<Vec<u8>, TooLong> {
        let vote = Vote {
            federation: self.roster.federation(),
            epoch: prepared.epoch,
            roster: prepared.roster,
            round: prepared.round,
            by: VoteBy::Prepare {
                certificate: self.me.id,
            },
        };
        VoteFrame::bare(Signed::seal(codec::encode(&vote), &self.signing_key))
    }

    /// The frame of what this node prepared last for the next epoch: a packet shows
    /// it to the root, also where the store has lost it.
    pub(super) fn own_prepare(&self) -> Option<Vec<u8>> {
        self.prepare_frame(&self.last_prepared()?).ok()
    }

    /// Why a commit of the own root is not brought in: by its node's later prepare,
    /// which the root was not shown, this member would say two things.
    fn stale_commit(&self, bytes: &[u8]) -> Option<SayingRefusal> {
        let frame = vote_of(bytes)?;
        let said = frame.vote.to_signed::<Vote>().claims().ok()?;
        let VoteBy::Commit { key } = said.by else {
            return None;
        };
        let me = self.own_member();
        let is_own = self
            .roster
            .member_of_root(&key)
            .is_some_and(|member| member.id == me);
        let ballot = self.membership.deliberation().ballot();
        // What everybody knows is no news, and is not taken back.
        let is_known = ballot.is_cast(Step::Commit, &me, said.round, &said.roster);
        let is_next = Some(said.epoch) == self.roster.epoch().checked_add(1);
        if !is_own || is_known || !is_next {
            return None;
        }
        let prepared = ballot
            .last_round(Step::Prepare, &me)
            .max(self.last_prepared().map(|last| last.round))?;
        (prepared > said.round).then_some(SayingRefusal::Stale {
            signed: said.round,
            prepared,
        })
    }

    /// A commit that comes from a root's machine, with the prepares it stands on.
    fn with_prepares(&self, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let complete = self.membership.deliberation().complete(bytes);
        let Some(vote) = vote_of(&complete) else {
            return Ok(complete);
        };
        let Ok(said) = vote.vote.to_signed::<Vote>().claims() else {
            return Ok(complete);
        };
        if matches!(said.by, VoteBy::Commit { .. })
            && vote.prepares.len() < self.roster.thresholds().votes()
            && let Some(prepares) = self.shown_prepares(&said)?
        {
            return Ok(VoteFrame { prepares, ..vote }.to_frame());
        }
        Ok(complete)
    }

    /// The prepares that somebody's commit of the same carries: a cheat can keep its
    /// own from being held by itself.
    fn shown_prepares(
        &self,
        said: &Vote,
    ) -> Result<Option<List<VoteLine, MEMBERS_MAX>>, StoreError> {
        let ballot = self.membership.deliberation().ballot();
        let by = ballot.voters(Step::Commit, said.round, &said.roster).next();
        let Some(by) = by.and_then(|member| self.roster.member(member)) else {
            return Ok(None);
        };
        let key = *by.root_key.as_bytes();
        let slot = Slot::Vote(VoteBy::Commit { key }, said.round, said.roster);
        let frame = notice_bytes(&self.staged, &slot)?;
        Ok(frame
            .and_then(|frame| vote_of(frame.as_slice()))
            .map(|held| held.prepares))
    }

    fn suspension(
        &self,
        now: Now,
        member: MemberId,
        life_ms: u64,
        reason: String,
    ) -> Result<(Vec<u8>, Option<RosterId>), SayingRefusal> {
        let form = |why: &dyn core::fmt::Display| SayingRefusal::Form(format!("the reason: {why}"));
        if life_ms > SUSPENSION_LIFE_MS_MAX {
            return Err(SayingRefusal::Form(
                "a suspension lasts at most 72 hours; suspend again when it ends, or propose to expel"
                    .to_owned(),
            ));
        }
        let said = Suspension {
            federation: self.roster.federation(),
            certificate: self.me.id,
            member,
            created_ms: now.wall_ms,
            until_ms: now.wall_ms.saturating_add(life_ms),
            reason: Text::new(reason).map_err(|why| form(&why))?,
        };
        let bytes = self.sign::<Suspension, { crate::limits::SUSPENSION_BYTES_MAX }>(
            Kind::Suspension,
            codec::encode(&said),
        )?;
        Ok((bytes, None))
    }

    /// When this node last said that it is alive, by its clock then; 0 where it never
    /// did.
    pub(super) fn last_alive(&self) -> Result<u64, StoreError> {
        let said = notice_bytes(&self.staged, &Slot::Alive(self.me.node))?;
        Ok(said
            .and_then(|said| check_notice(said.as_slice(), &self.roster).ok())
            .and_then(|said| said.made_ms())
            .unwrap_or(0))
    }

    /// When to say next that this node is alive.
    pub(super) const fn alive_deadline(&self) -> Instant {
        self.alive_at
    }

    /// Something changed that others should hear of soon: as soon as they take
    /// another sign of life of this node, for one that they refuse is not heard
    /// of for a quarter of an hour.
    pub(super) fn say_alive_soon(&mut self, now: Now) {
        let soon = now.mono.plus_ms(ALIVE_SOON_MS);
        let taken = self
            .alive_said_at
            .map_or(soon, |said| said.plus_ms(NOTICE_AGAIN_MS + ALIVE_SOON_MS));
        self.alive_at = self.alive_at.min(soon.max(taken));
    }

    /// A peer is there. Where the last sign of life was said to nobody, it comes anew:
    /// everybody hears of it by gossip, instead of asking for all of them.
    pub(super) fn say_alive_if_untold(&mut self, now: Now) {
        if !self.alive_was_told {
            self.say_alive_soon(now);
        }
    }

    /// Says that this node is alive, if it is time.
    pub(super) fn say_alive(&mut self, now: Now) -> Result<(), StoreError> {
        if self.alive_at > now.mono {
            return Ok(());
        }
        self.alives_said += 1;
        self.alive_was_told = self.peers.ready().next().is_some();
        // Spread, so that a federation does not speak in step.
        let jitter_ms = self.chance.below(
            "alive",
            self.me.node.as_bytes(),
            self.alives_said,
            ALIVE_EVERY_MS / 8,
        );
        self.alive_said_at = Some(now.mono);
        self.alive_at = now.mono.plus_ms(ALIVE_EVERY_MS - jitter_ms);
        let heads = self
            .streams
            .ends_of(&self.me.node, self.me.incarnation)
            .map(|(tag, through)| StreamHead {
                tag,
                sequence: through.sequence,
                head: through.head,
            })
            .collect();
        let alive = Alive {
            federation: self.roster.federation(),
            certificate: self.me.id,
            epoch: self.roster.epoch(),
            roster: self.roster.id(),
            wall_ms: now.wall_ms,
            heads: List::new(heads).unwrap_or_default(),
            groups: List::default(),
            more: List::default(),
        };
        let bytes = self
            .sign::<Alive, { crate::limits::ALIVE_BYTES_MAX }>(Kind::Alive, codec::encode(&alive));
        if let Ok(bytes) = bytes {
            // Who is expelled, or has no certificate now, has nothing to say.
            let _ = self.utter(now, bytes)?;
        }
        Ok(())
    }
}

/// A vote as its frame has it, none of it checked.
pub(super) fn vote_of(bytes: &[u8]) -> Option<VoteFrame> {
    codec::decode(body_of(Kind::Vote, bytes)?, FRAME_BYTES_MAX).ok()
}
