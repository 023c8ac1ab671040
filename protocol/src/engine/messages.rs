//! What goes into an engine and what comes out of it.

use super::distrust::DistrustRefusal;
use super::quarantine::{Accept, AcceptRefusal, AcceptedCount};
use super::sayings::{Said, Saying, SayingRefusal};
use super::{Done, NotTaken, Work};
use crate::gate::{Frame, NotARequest, Notice, NoticeRefusal, Refusal};
use crate::ids::{BundleId, CertificateId, EnvelopeId, MemberId, NodeId};
use crate::marking::Marking;
use crate::opening::{Draft, OpenRefusal};
use crate::policy::{Marked, Release};
use crate::roster::Roster;
use crate::wire::card::CertificateBytes;
use crate::wire::exchange::{Answer, DoorAnswer, DoorRequest, Request};
use std::sync::Arc;
use watchfire_crypto::Verified;

/// Names a gossip message until its verdict is given; the transport's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GossipToken(pub u64);

/// Names a request that waits for our answer; the transport's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerToken(pub u64);

/// Names a request of ours that waits for an answer; the engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Names a person's command that waits for its outcome; the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientToken(pub u64);

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// A member's node is connected.
    PeerConnected {
        /// Which.
        node: NodeId,
    },
    /// It no longer is.
    PeerDisconnected {
        /// Which.
        node: NodeId,
    },
    /// A gossip message came through the gate, or did not.
    Gossip {
        /// Who delivered it.
        from: NodeId,
        /// To give the verdict with.
        token: GossipToken,
        /// How many bytes it had: charged to who delivered it, whatever the
        /// gate said.
        length: u64,
        /// What the gate said.
        checked: Result<Box<Verified<Frame>>, Refusal>,
    },
    /// A notice came by gossip, through the gate or not.
    GossipNotice {
        /// Who delivered it.
        from: NodeId,
        /// To give the verdict with.
        token: GossipToken,
        /// How many bytes it had.
        length: u64,
        /// What the gate said.
        checked: Result<Box<Notice>, NoticeRefusal>,
    },
    /// A person accepts what is held back. It is told to nobody.
    Accept {
        /// Whose command.
        client: ClientToken,
        /// What, and why.
        accept: Box<Accept>,
    },
    /// A person has this node say something about membership.
    Say {
        /// To tell the outcome to.
        client: ClientToken,
        /// What.
        saying: Box<Saying>,
    },
    /// A person has this node distrust a member, or ends it. Nobody else is told.
    Distrust {
        /// To tell the outcome to.
        client: ClientToken,
        /// Whom.
        member: MemberId,
        /// Why; `None` ends it.
        reason: Option<String>,
    },
    /// A peer asks.
    Request {
        /// Who.
        from: NodeId,
        /// To answer with.
        token: AnswerToken,
        /// What; or why it is no request.
        request: Result<Request, NotARequest>,
    },
    /// A peer answered, or did not.
    Answered {
        /// Which request.
        id: RequestId,
        /// The answer; `None` if it failed, timed out or did not decode.
        answer: Option<Box<Answer>>,
    },
    /// A request of ours could not be sent from here: too many under way, or
    /// the link just went. It says nothing about the peer.
    NotAsked {
        /// Which request.
        id: RequestId,
    },
    /// Work that was given out is done.
    Done(Done),
    /// A person publishes.
    Publish {
        /// To tell the outcome to.
        client: ClientToken,
        /// What.
        draft: Box<Draft>,
    },
    /// A stranger asks at the door.
    Door {
        /// To answer with.
        token: AnswerToken,
        /// The transport key of the connection.
        transport_key: [u8; 32],
        /// What; `None` if it did not decode.
        request: Option<DoorRequest>,
    },
    /// A person installed a certificate, of whatever node of a member.
    Certificate {
        /// Which, not checked yet.
        certificate: Box<CertificateBytes>,
    },
    /// A person's answer was read from the store: tell when all of that is
    /// durable.
    Barrier {
        /// To tell.
        client: ClientToken,
    },
    /// A commit is durable.
    Committed(crate::store::CommitNo),
    /// A person wants every peer's frontier looked at now.
    Sync {
        /// To tell when that is done.
        client: ClientToken,
    },
    /// Frames of ours may not have reached a peer, or any: the way was full.
    Congested {
        /// Whom; `None` for everybody.
        node: Option<NodeId>,
    },
    /// Values of the store were found damaged; [`examine`](super::examine)
    /// said what they were.
    Damaged(Vec<super::Damage>),
    /// The deadline has come.
    Wake,
}

impl Input {
    /// A gossip message, taken through the gate: an envelope or a notice.
    pub fn gossip(from: NodeId, token: GossipToken, bytes: &[u8], roster: &Roster) -> Self {
        let length = bytes.len() as u64;
        if crate::gate::is_notice(bytes) {
            let is_held = crate::gate::commit_claimed(bytes)
                .is_some_and(|commit| roster.holds_commit(&commit));
            let checked = if is_held {
                Err(NoticeRefusal::Held)
            } else {
                crate::gate::check_notice(bytes, roster)
            };
            Self::GossipNotice {
                from,
                token,
                length,
                checked: checked.map(Box::new),
            }
        } else {
            Self::Gossip {
                from,
                token,
                length,
                checked: crate::gate::check(bytes, roster).map(Box::new),
            }
        }
    }
}

/// Something that must happen outside.
#[derive(Debug)]
pub enum Output {
    /// Relay: what to do with a gossip message.
    Verdict {
        /// Which.
        token: GossipToken,
        /// Forward it, or not, and who pays.
        verdict: Verdict,
    },
    /// Claim: gossip a frame of our own.
    Gossip {
        /// The frame, free to go.
        frame: Release<Outgoing>,
    },
    /// Ask a peer.
    Request {
        /// Whom.
        to: NodeId,
        /// To tell the answer by.
        id: RequestId,
        /// What.
        request: Request,
    },
    /// Answer a peer.
    Answer {
        /// Which request.
        token: AnswerToken,
        /// The answer, its contents free to go.
        answer: Answer,
    },
    /// Answer at the door.
    Door {
        /// Which request.
        token: AnswerToken,
        /// The answer.
        answer: DoorAnswer,
    },
    /// Do this off this thread and bring back what it gives.
    Work(Work),
    /// Claim: what became of a person's command.
    Published {
        /// Whose.
        client: ClientToken,
        /// What became of it.
        outcome: Result<Published, PublishRefusal>,
    },
    /// Claim: what became of what a person had this node say.
    Said {
        /// Whose.
        client: ClientToken,
        /// What became of it.
        outcome: Result<Said, SayingRefusal>,
    },
    /// Claim: what became of a person's acceptance.
    Accepted {
        /// Whose.
        client: ClientToken,
        /// What became of it.
        outcome: Result<AcceptedCount, AcceptRefusal>,
    },
    /// Claim: what became of a person's distrust.
    Distrust {
        /// Whose.
        client: ClientToken,
        /// What became of it.
        outcome: Result<(), DistrustRefusal>,
    },
    /// Claim: everything written before the barrier is durable.
    Durable {
        /// Whose barrier.
        client: ClientToken,
    },
    /// Claim: every peer that was connected has been looked at, and what they
    /// are ahead in has been dealt with, as far as it can be now.
    Synced {
        /// Who asked.
        client: ClientToken,
    },
    /// The link looks dead although it is open: close it and dial again.
    Reconnect {
        /// To whom.
        node: NodeId,
    },
    /// Whom this node [distrusts](super::Engine::distrusts) changed: links to their
    /// nodes end now, and they are not admitted.
    Admission,
    /// The roster or its certificates changed: check frames against this one.
    Roster(Arc<Roster>),
    /// Something people may want to see. Claims, but for `Event::Verified`.
    Event(Event),
}

/// A frame on its way out, with the marking the decision was made about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Of what it carries; of sealed contents the strictest that travels so.
    pub marking: Marking,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Marked for Outgoing {
    fn marking(&self) -> Marking {
        self.marking
    }
}

/// What to do with a gossip message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Accept,
    /// Do not, and whoever delivered it pays.
    Reject,
    /// Do not; nobody pays.
    Ignore,
}

/// A person's bundle is durable and on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The statement.
    pub bundle: BundleId,
    /// What travels.
    pub envelope: EnvelopeId,
    /// Its number in its stream.
    pub sequence: u64,
}

/// Why a bundle was not published. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefusal {
    /// Above CLEAR must be sealed, which this version cannot do yet.
    #[error(
        "publish refused: {marking} must be sealed to its audience, which this version cannot do yet"
    )]
    SealingAbsent {
        /// How it is marked.
        marking: Marking,
    },
    /// The policy says no.
    #[error("publish refused by rule {rule}: {about}")]
    Policy {
        /// The rule's name.
        rule: &'static str,
        /// Its sentence.
        about: &'static str,
    },
    /// Over the published rate.
    #[error(
        "publish refused: this node's published rate is used up; publish fewer, larger bundles, or try again in a minute"
    )]
    Quota,
    /// Over a bound, or contradicting itself.
    #[error("publish refused: {why}")]
    Form {
        /// What.
        why: String,
    },
    /// Peers hold envelopes of this node that it does not hold itself: its next
    /// one would stand at a place that is taken.
    ///
    /// This is for the node that does not know by itself what is missing, when
    /// its whole directory was put back from an old copy or made anew: a gap in
    /// its own stream shows it, or more members who list a longer one than may
    /// lie. It is blind until they are connected, and that case is the host's,
    /// which notes beside its store how far it published.
    ///
    /// It is said as well while an own envelope is damaged on the disk
    /// ([`Status::lost`](super::Status::lost)), which this node knows by itself:
    /// the next one cites it, and peers are asked for it.
    #[error(
        "publish refused: this node is fetching back envelopes that it published before, \
         since they are missing here or damaged on its disk; \
         see \"watchfire sync status\", and try again when nothing is missing"
    )]
    Behind,
    /// The certificate is not valid now, or was revoked, or its member is none any
    /// more.
    #[error(
        "publish refused: this node's certificate is not valid now; check the clock, renew it, \
         or see \"watchfire roster status\" for whether this member still is one"
    )]
    Certificate,
    /// This clock differs from those of most members.
    #[error(
        "publish refused: this node's clock is {seconds} seconds from the other members'; \
         set it right, and nothing has to be restarted"
    )]
    Clock {
        /// What must be added to it.
        seconds: i64,
    },
}

/// Something people may want to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An envelope of another author was verified and taken. Not a claim: it
    /// is durable only when `Stored` says so.
    Verified {
        /// Which.
        envelope: EnvelopeId,
        /// The bundle in it, if it is one in clear.
        bundle: Option<BundleId>,
        /// Its author.
        author: MemberId,
    },
    /// An envelope of another author is durable here.
    Stored {
        /// Which.
        envelope: EnvelopeId,
        /// The bundle in it, if it is one in clear.
        bundle: Option<BundleId>,
        /// Its author.
        author: MemberId,
    },
    /// A bundle can be searched here.
    Searchable {
        /// Which.
        bundle: BundleId,
        /// Its author.
        author: MemberId,
        /// How many objects it holds.
        objects: u64,
    },
    /// A bundle is kept as evidence and shown to nobody.
    NotOpened {
        /// Which.
        bundle: BundleId,
        /// Its author.
        author: MemberId,
        /// Why.
        why: OpenRefusal,
    },
    /// Something was not taken.
    NotTaken {
        /// Who delivered it.
        from: NodeId,
        /// Why.
        why: NotTaken,
    },
    /// Two envelopes claim one place, or a chain does not fit: kept as evidence.
    Conflict {
        /// Whose stream.
        author: MemberId,
        /// The envelope that was not taken.
        envelope: EnvelopeId,
    },
    /// A peer is a member of this federation and speaks.
    PeerReady {
        /// Which.
        node: NodeId,
    },
    /// There is another roster.
    Epoch {
        /// Its number.
        epoch: u64,
    },
    /// A member says something else of itself.
    CardChanged {
        /// Which.
        member: MemberId,
    },
    /// A member ended a node of its own.
    Revoked {
        /// Which member.
        member: MemberId,
        /// Which node.
        node: NodeId,
    },
    /// Somebody suspends a member, or takes it back.
    Suspension {
        /// Whom.
        member: MemberId,
    },
    /// A node signed two envelopes for one place, provably.
    ForkProven {
        /// Whose node.
        member: MemberId,
        /// Which node.
        node: NodeId,
    },
    /// A member cast two votes where one may be, provably.
    DoubleVote {
        /// Which.
        member: MemberId,
    },
    /// A certificate was admitted at the door.
    Admitted {
        /// Which.
        certificate: CertificateId,
        /// Whose.
        member: MemberId,
    },
}
