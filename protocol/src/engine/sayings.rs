//! What this node says about membership in its own name: that it is alive, that
//! it proposes or prepares a roster, that it suspends somebody.

use super::members::notice_bytes;
use super::messages::{ClientToken, Output};
use super::receive::release_frame;
use super::{Engine, Instant};
use crate::gate::{NoticeRefusal, Slot, check_notice};
use crate::ids::{MemberId, RosterId};
use crate::limits::{
    ALIVE_EVERY_MS, ALIVE_SOON_MS, FRAME_BYTES_MAX, MEMBERS_MAX, SUSPENSION_LIFE_MS_MAX,
};
use crate::marking::Marking;
use crate::membership::{Arrival, NotNews};
use crate::policy::Peer;
use crate::roster::{Proposal, RosterError, Step, VoteRefusal};
use crate::store::{Store, StoreError};
use crate::time::Now;
use crate::wire::envelope::{body_of, frame};
use crate::wire::notice::{Alive, StreamHead, Suspension};
use crate::wire::roster::{Change, RosterStatement, Vote, VoteBy, VoteFrame, VoteLine};
use crate::wire::{Kind, List, SignedBytes, Text, codec};
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
        let made = match saying {
            Saying::Propose { reason, changes } => self.proposal(now, reason, changes),
            Saying::Prepare { roster, round } => self.prepare(&roster, round),
            Saying::Suspend {
                member,
                life_ms,
                reason,
            } => self.suspension(now, member, life_ms, reason),
            Saying::Bring { frame } => Ok((self.with_prepares(frame)?, None)),
            Saying::Follow { link } => return self.bring_link(now, &link),
        };
        let (bytes, roster) = match made {
            Ok(made) => made,
            Err(why) => return Ok(Err(why)),
        };
        if let Err(why) = self.utter(now, bytes)? {
            return Ok(Err(why));
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
        roster: &RosterId,
        round: Option<u32>,
    ) -> Result<(Vec<u8>, Option<RosterId>), SayingRefusal> {
        let deliberation = self.membership.deliberation();
        let thresholds = self.roster.thresholds();
        let round = round.unwrap_or_else(|| deliberation.ballot().round(thresholds));
        deliberation.may_prepare(&self.roster, &self.own_member(), round, roster)?;
        let vote = Vote {
            federation: self.roster.federation(),
            epoch: self.roster.epoch().saturating_add(1),
            roster: *roster,
            round,
            by: VoteBy::Prepare {
                certificate: self.me.id,
            },
        };
        let signed = Signed::seal(codec::encode(&vote), &self.signing_key);
        let bytes = VoteFrame::bare(signed).map_err(|why| SayingRefusal::Form(why.to_string()))?;
        Ok((bytes, Some(*roster)))
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

    /// Something changed that others should hear of soon.
    pub(super) fn say_alive_soon(&mut self, now: Now) {
        self.alive_at = self.alive_at.min(now.mono.plus_ms(ALIVE_SOON_MS));
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

fn vote_of(bytes: &[u8]) -> Option<VoteFrame> {
    codec::decode(body_of(Kind::Vote, bytes)?, FRAME_BYTES_MAX).ok()
}
