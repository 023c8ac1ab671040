//! What goes into an engine and what comes out of it.

use super::Way;
use super::sayings::{Said, Saying, SayingRefusal};
use crate::gate::{Blame, CheckedRemains, Frame, NotARequest, Notice, NoticeRefusal, Refusal};
use crate::ids::{BundleId, CertificateId, EnvelopeId, MemberId, NodeId};
use crate::limits::REMAINS_BYTES_MAX;
use crate::marking::Marking;
use crate::membership::NotNews;
use crate::opening::{Draft, OpenRefusal, Opened};
use crate::policy::{Marked, Release};
use crate::roster::Roster;
use crate::table::Arrival;
use crate::table::rows::Filed;
use crate::wire::exchange::{Answer, DoorAnswer, DoorRequest, Mark, RangeItem, Remains, Request};
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
    /// A person has this node say something about membership.
    Say {
        /// To tell the outcome to.
        client: ClientToken,
        /// What.
        saying: Box<Saying>,
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
            Self::GossipNotice {
                from,
                token,
                length,
                checked: crate::gate::check_notice(bytes, roster).map(Box::new),
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
    #[error(
        "publish refused: this node is fetching back envelopes that it published before; \
         see \"watchfire sync status\", and try again when nothing is missing"
    )]
    Behind,
    /// The certificate is not valid now.
    #[error(
        "publish refused: this node's certificate is not valid now; check the clock, or renew it"
    )]
    Certificate,
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

/// Why a frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The gate refused it.
    #[error("{0}")]
    Gate(#[from] Refusal),
    /// It is here already.
    #[error("already held")]
    Held,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Remains of an envelope that has not expired here.
    #[error("what remains of an envelope came, and it has not expired here")]
    NotExpired,
    /// What remains of an envelope that had expired before its author's
    /// certificate began.
    #[error("it had expired before its author's certificate began")]
    NeverAlive,
    /// It would be kept longer than anything may be.
    #[error("expires more than 1,830 days ahead")]
    ExpiresTooLate,
    /// Made in the future.
    #[error("created more than 10 minutes ahead of this node's clock")]
    Ahead,
    /// The policy says no.
    #[error("policy: {rule}")]
    Policy {
        /// The rule.
        rule: &'static str,
    },
    /// A quota is used up; it will be asked for again.
    #[error("quota of the {whose} used up")]
    Quota {
        /// Author or peer.
        whose: &'static str,
    },
    /// It contradicts what is held.
    #[error("another envelope is held there, or the chain does not fit")]
    Conflict,
    /// Whether it is held, or contradicts what is, this store cannot read.
    #[error("what is held at its place cannot be read here")]
    Unreadable,
    /// Too far ahead, or too many streams; it will be asked for again.
    #[error("too far ahead of what is held")]
    TooFar,
    /// A notice that is no news.
    #[error(transparent)]
    Notice(#[from] NotNews),
    /// Its author left since the gate let it in.
    #[error("its author is no longer known")]
    AuthorGone,
    /// Too much waits for the disk; it will be asked for again.
    #[error("the disk is behind")]
    DiskBehind,
}

impl NotTaken {
    /// Whether whoever brought it pays for its bytes, since they were worth
    /// nothing here. What comes by itself is always paid for, but that the disk
    /// is slow or damaged is nobody's doing. What was asked for is not where only this node
    /// could know that it would not take it: it came meanwhile, it contradicts
    /// what is held, its author's quota is used up, its time is over here.
    pub(crate) const fn is_charged(&self, way: Way) -> bool {
        match self {
            Self::DiskBehind | Self::Unreadable => false,
            Self::Held | Self::Conflict | Self::Quota { .. } | Self::Expired => match way {
                Way::Gossip => true,
                Way::Asked => false,
            },
            Self::Gate(_)
            | Self::Notice(_)
            | Self::NotExpired
            | Self::NeverAlive
            | Self::ExpiresTooLate
            | Self::Ahead
            | Self::Policy { .. }
            | Self::TooFar
            | Self::AuthorGone => true,
        }
    }

    /// Whether the same would be said tomorrow: it is here, contradicts what
    /// is here, or is spoiled.
    pub(crate) fn is_for_good(&self) -> bool {
        match self {
            Self::Held | Self::Conflict | Self::NeverAlive => true,
            Self::Gate(refusal) => refusal.blame() == Blame::Forwarder,
            Self::Expired
            | Self::Notice(_)
            | Self::NotExpired
            | Self::ExpiresTooLate
            | Self::Ahead
            | Self::Policy { .. }
            | Self::Quota { .. }
            | Self::Unreadable
            | Self::TooFar
            | Self::AuthorGone
            | Self::DiskBehind => false,
        }
    }
}

/// Something to do off the engine's thread. Pure: the same work gives the same.
#[derive(Debug)]
pub enum Work {
    /// Take frames of a range through the gate.
    Check {
        /// Which request they answer.
        id: RequestId,
        /// Who served them.
        from: NodeId,
        /// What it served.
        items: Vec<RangeItem>,
        /// Against which roster.
        roster: Arc<Roster>,
    },
    /// Take a page of notices through the gate.
    Notices {
        /// Who served them.
        from: NodeId,
        /// Up to which change of its store.
        at: Mark,
        /// Whether there are more.
        more: bool,
        /// What it served.
        frames: Vec<Vec<u8>>,
        /// Against which roster.
        roster: Arc<Roster>,
    },
    /// Open a bundle.
    Open {
        /// Where it is in the log.
        arrival: Arrival,
        /// When it was taken, in milliseconds UTC.
        received_ms: u64,
        /// The frame, as the log has it.
        frame: OpenFrame,
        /// Its payload, if that was pulled.
        payload: Option<Vec<u8>>,
        /// Against which roster.
        roster: Arc<Roster>,
    },
}

/// A frame to open.
#[derive(Debug)]
pub enum OpenFrame {
    /// As it came through the gate.
    Verified(Box<Verified<Frame>>),
    /// From the log: it comes through the gate again.
    Logged(Vec<u8>),
}

/// An item of a range that came through the gate.
#[derive(Debug)]
pub enum CheckedItem {
    /// A whole envelope.
    Frame(Box<Verified<Frame>>),
    /// What remains of one, with the bytes to keep.
    Remains(Box<Verified<CheckedRemains>>, Remains),
}

/// What work gave.
#[derive(Debug)]
pub enum Done {
    /// Of a range.
    Checked {
        /// Which request it answered.
        id: RequestId,
        /// Who served it.
        from: NodeId,
        /// What the gate said of each; with why one was refused, its length.
        items: Vec<Result<CheckedItem, (Refusal, u64)>>,
    },
    /// Of a page of notices.
    Notices {
        /// Who served them.
        from: NodeId,
        /// Up to which change of its store.
        at: Mark,
        /// Whether there are more.
        more: bool,
        /// What the gate said of each, and how long it was.
        items: Vec<(u64, Result<Box<Notice>, NoticeRefusal>)>,
    },
    /// Of a bundle.
    Opened {
        /// Where it is in the log.
        arrival: Arrival,
        /// What is filed of the bundle, if it still comes through the gate.
        bundle: Option<Filed>,
        /// What was found.
        outcome: Result<Opened, OpenRefusal>,
    },
}

impl Work {
    /// Does it.
    pub fn run(self) -> Done {
        match self {
            Self::Check {
                id,
                from,
                items,
                roster,
            } => Done::Checked {
                id,
                from,
                items: items
                    .into_iter()
                    .map(|item| check_item(item, &roster))
                    .collect(),
            },
            Self::Notices {
                from,
                at,
                more,
                frames,
                roster,
            } => super::notices::check_page(from, (at, more), frames, &roster),
            Self::Open {
                arrival,
                received_ms,
                frame,
                payload,
                roster,
            } => {
                let frame = match frame {
                    OpenFrame::Verified(frame) => Ok(frame),
                    OpenFrame::Logged(bytes) => crate::gate::check(&bytes, &roster).map(Box::new),
                };
                match frame {
                    Ok(frame) => Done::Opened {
                        arrival,
                        bundle: Filed::of(frame.value(), received_ms),
                        outcome: crate::opening::open(frame.value(), payload.as_deref()),
                    },
                    Err(why) => Done::Opened {
                        arrival,
                        bundle: None,
                        outcome: Err(OpenRefusal::Gate(why)),
                    },
                }
            }
        }
    }
}

fn check_item(item: RangeItem, roster: &Roster) -> Result<CheckedItem, (Refusal, u64)> {
    match item {
        RangeItem::Frame(frame) => crate::gate::check(frame.as_slice(), roster)
            .map(|frame| CheckedItem::Frame(Box::new(frame)))
            .map_err(|why| (why, frame.as_slice().len() as u64)),
        RangeItem::Remains(remains) => crate::gate::check_remains(&remains, roster)
            .map(|checked| CheckedItem::Remains(Box::new(checked), remains))
            .map_err(|why| (why, REMAINS_BYTES_MAX as u64)),
    }
}
