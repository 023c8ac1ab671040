//! What the rest of the program asks of a running node, and what it hears.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::oneshot;
use watchfire_protocol::engine::{
    Accept, AcceptRefusal, AcceptedCount, ClockJump, DistrustRefusal, Event, PublishRefusal,
    Published, Said, Saying, SayingRefusal, Status, Traced,
};
use watchfire_protocol::ids::{MemberId, NodeId};
use watchfire_protocol::opening::{PrepareError, Wish};
use watchfire_protocol::store::StoreError;
use watchfire_protocol::wire::Packet;
use watchfire_protocol::wire::card::CertificateBytes;
use watchfire_protocol::wire::invitation::Token;
use watchfire_protocol::wire::roster::Cut;

use super::membership::MembershipView;
use crate::disk::published::Recovering;
use crate::invitations::{DeskRefusal, Invited};
use crate::transport;

/// What the rest of the program asks of a running node.
#[derive(Debug)]
pub enum NodeCommand {
    /// Tell when everything written so far is durable.
    Barrier {
        /// Told then.
        reply: oneshot::Sender<()>,
    },
    /// Look at every peer's frontier now, and tell when what they are ahead in
    /// has been dealt with.
    Sync {
        /// Told then.
        reply: oneshot::Sender<()>,
    },
    /// Accept what is held back.
    Accept {
        /// What, and why.
        accept: Box<Accept>,
        /// What came of it.
        reply: oneshot::Sender<Result<AcceptedCount, AcceptRefusal>>,
    },
    /// Say something about membership.
    Say {
        /// What.
        saying: Box<Saying>,
        /// What came of it.
        reply: oneshot::Sender<Result<Said, SayingRefusal>>,
    },
    /// Distrust a member, or end that.
    Distrust {
        /// Whom.
        member: MemberId,
        /// Why; `None` ends it.
        reason: Option<String>,
        /// What came of it.
        reply: oneshot::Sender<Result<(), DistrustRefusal>>,
    },
    /// By which way an envelope came.
    Trace {
        /// Its id, or that of the bundle in it.
        id: [u8; 32],
        /// The answer; none if nothing is known.
        reply: oneshot::Sender<Result<Option<Traced>, StoreError>>,
    },
    /// What is held about membership.
    Membership {
        /// The answer.
        reply: oneshot::Sender<MembershipView>,
    },
    /// What of membership goes by file.
    Packet {
        /// The answer; the text of what prevents one.
        reply: oneshot::Sender<Result<Packet, String>>,
    },
    /// Where the streams of a member end here.
    Ends {
        /// Whose.
        member: MemberId,
        /// The answer.
        reply: oneshot::Sender<Vec<Cut>>,
    },
    /// How the node is.
    Status {
        /// The answer.
        reply: oneshot::Sender<NodeStatus>,
    },
    /// Take a certificate that a person installed, if it holds.
    Certificate {
        /// Which.
        certificate: Box<CertificateBytes>,
    },
    /// Invite somebody, withdraw an invitation, or see who has knocked.
    Invitations {
        /// What.
        wish: DeskWish,
        /// What came of it.
        reply: oneshot::Sender<Result<DeskView, DeskRefusal>>,
    },
    /// End, with everything durable.
    Shutdown,
}

/// What people want of the invitations of their node.
#[derive(Debug)]
pub enum DeskWish {
    /// See them.
    See,
    /// Make one.
    Invite {
        /// Its token.
        token: Token,
        /// For how long, in milliseconds.
        life_ms: u64,
        /// For whom.
        note: String,
    },
    /// Take one back.
    Withdraw {
        /// Which.
        id: String,
    },
}

/// The invitations of a node.
#[derive(Clone, Debug)]
pub struct DeskView {
    /// Whether the node has a door at all.
    pub has_door: bool,
    /// The one that was made or withdrawn.
    pub about: Option<Invited>,
    /// All that are kept now.
    pub invitations: Vec<Invited>,
}

/// Publish STIX.
#[derive(Debug)]
pub struct Publication {
    /// The STIX.
    pub stix: Vec<u8>,
    /// How.
    pub wish: Wish,
    /// What came of it.
    pub reply: oneshot::Sender<Result<PublishedBundle, PublishFailure>>,
}

/// A publication that is durable and on its way.
#[derive(Clone, Copy, Debug)]
pub struct PublishedBundle {
    /// Its ids.
    pub published: Published,
    /// What is in it.
    pub summary: Summary,
}

/// What is in a publication.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Its effective marking.
    pub marking: watchfire_protocol::marking::Marking,
    /// Objects in it.
    pub objects: u64,
    /// Values by which it can be found.
    pub values: u64,
    /// Objects of which something is not indexed.
    pub not_indexed: u64,
}

/// Why nothing was published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishFailure {
    /// The input does not make a bundle.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The engine refused it.
    #[error(transparent)]
    Refused(#[from] PublishRefusal),
    /// Its own stream is not whole.
    #[error(transparent)]
    Recovering(#[from] Recovering),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too much is under way.
    #[error("the node is busy; try again")]
    Busy,
}

/// How a node is.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The engine's view.
    pub engine: Status,
    /// Whether its clock jumped within the last hour.
    pub clock_jump: Option<ClockJump>,
    /// How long it has run.
    pub uptime_ms: u64,
    /// What the transport dropped or refused.
    pub counters: transport::Counters,
    /// Refusals of what arrived, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Where it listens.
    pub listening: Vec<String>,
    /// How long the last probe of each connected node took.
    pub round_trips: BTreeMap<NodeId, transport::RoundTrip>,
}

/// Something that happened, and when.
#[derive(Clone, Debug)]
pub struct NodeEvent {
    /// When, on this process's clock.
    pub at: Instant,
    /// What.
    pub event: Event,
}
