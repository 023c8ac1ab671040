//! What the command line and a running node say to each other, over a Unix
//! socket in the node's data directory.
//!
//! A message is one line of JSON; a request that carries a payload names its
//! length and the bytes follow the line. Requests of one connection carry
//! numbers, so many may be under way; answers come as they are ready.
//!
//! ```text
//! → {"id":1,"op":{"publish":{…}},"body_bytes":312}⏎ and 312 bytes
//! ← {"id":1,"ok":{"published":{…}}}⏎
//! ```

mod answers;
pub mod client;
mod connection;
pub mod governance;
mod governing;
pub mod inviting;
pub mod lives;
pub mod peers;
pub mod quarantined;
pub mod server;

use serde::{Deserialize, Serialize};
use watchfire_protocol::engine::Withheld;
use watchfire_protocol::policy::{Action, Decision, Step, Verdict};
use watchfire_protocol::roster::Roster;

use crate::driver::membership::MembershipView;
use governance::{BroughtReply, MembersReply, PacketReply, ProposeOp, SaidReply};
use inviting::{InvitationsReply, InviteOp};
use lives::LivesReply;
use peers::{DistrustReply, TraceReply};
use quarantined::{AcceptOp, AcceptedReply, AcceptedView, QuarantinedOp, QuarantinedReply};

/// A request, and how many bytes of payload follow it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRequest {
    /// Chosen by the asker; the answer repeats it.
    pub id: u64,
    /// What is asked.
    pub op: Op,
    /// Length of the payload that follows the line; 0 for none.
    #[serde(default)]
    pub body_bytes: u64,
}

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Publish the STIX that follows.
    Publish(PublishOp),
    /// Search.
    Search(SearchOp),
    /// Show an object or a bundle.
    Show {
        /// A STIX id, or a bundle id in hexadecimal.
        id: String,
    },
    /// Explain who may have an object or a bundle.
    Explain {
        /// A STIX id, or a bundle id in hexadecimal.
        id: String,
        /// The member's slug, `public`, or absent for this node's own people.
        to: Option<String>,
    },
    /// How the node is.
    Status,
    /// Look at every peer now; answered when that is done.
    Sync,
    /// What is held about membership.
    Membership,
    /// Every member: its card, its certificates, when it was last heard of.
    Members,
    /// Genesis, chain and notices, as a packet.
    Packet,
    /// Propose a roster.
    Propose(ProposeOp),
    /// Prepare a roster that is proposed.
    Prepare {
        /// Its id.
        roster: String,
        /// In which round; absent for the present one.
        #[serde(default)]
        round: Option<u32>,
    },
    /// Suspend a member, as far as it is this one's to say.
    Suspend {
        /// Its slug.
        member: String,
        /// For how many hours; 0 takes it back.
        hours: u64,
        /// Why.
        reason: String,
    },
    /// Distrust a member, here and nowhere else.
    Distrust {
        /// Its slug; its id where it is no member any more.
        member: String,
        /// Why; absent to end it.
        reason: Option<String>,
    },
    /// By which way an envelope came here.
    Trace {
        /// Its id, or that of the bundle in it, in hexadecimal.
        id: String,
    },
    /// Take the notice whose frame follows, and gossip it.
    Bring,
    /// Go on along the link of the chain that follows.
    Follow,
    /// Invite somebody to knock at the door.
    Invite(InviteOp),
    /// The invitations, and who has knocked.
    Invitations,
    /// Take an invitation back.
    WithdrawInvitation {
        /// Its id.
        id: String,
    },
    /// What is known of the lives of a node of this member.
    Lives {
        /// The first digits of its id; absent for this node.
        #[serde(default)]
        node: Option<String>,
    },
    /// What is held back.
    Quarantined(QuarantinedOp),
    /// Accept what is held back.
    Accept(AcceptOp),
}

/// How to publish.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishOp {
    /// Marks what carries no marking: a TLP label.
    pub tlp: Option<String>,
    /// For how long it is valid, in hours; absent for the default.
    pub valid_hours: Option<u64>,
    /// Drill data.
    #[serde(default)]
    pub exercise: bool,
    /// PAP, `clear` to `red`.
    pub pap: Option<String>,
    /// Bundle id of the version it replaces.
    pub supersedes: Option<String>,
}

/// What to search for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchOp {
    /// A value, defanged or not, `*.domain` for sub-domains, or a STIX id.
    pub query: String,
    /// Sub-domains as well as the domain itself.
    #[serde(default)]
    pub subdomains: bool,
    /// How many hits at most.
    pub limit: usize,
}

/// An answer to the request of that number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ControlAnswer {
    /// The request's number.
    pub id: u64,
    /// Exactly one of the two is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<Reply>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// What went wrong, as the command line tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code of the command.
    pub exit_code: u8,
    /// What failed and why.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What came of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is durable and on its way.
    Published(PublishReply),
    /// What was found.
    Found(SearchReply),
    /// The object or bundle.
    Shown(ShowReply),
    /// The rules, in order.
    Explained(ExplainReply),
    /// How the node is.
    Status(StatusReply),
    /// How catching up stands after every peer was looked at.
    Synced(SyncView),
    /// What is held about membership.
    Membership(MembershipView),
    /// Every member.
    Members(MembersReply),
    /// A packet.
    Packet(PacketReply),
    /// It was said, and is on its way.
    Said(SaidReply),
    /// What came of what was brought.
    Brought(BroughtReply),
    /// The invitations.
    Invitations(InvitationsReply),
    /// What is known of the lives of a node.
    Lives(LivesReply),
    /// What is held back.
    Quarantined(QuarantinedReply),
    /// It was accepted.
    Accepted(AcceptedReply),
    /// Whom this node distrusts now.
    Distrust(DistrustReply),
    /// What is known of an envelope's way.
    Traced(Box<TraceReply>),
}

/// A publication.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishReply {
    /// Bundle id.
    pub bundle: String,
    /// Envelope id.
    pub envelope: String,
    /// Its number in this node's public stream.
    pub sequence: u64,
    /// Effective marking.
    pub marking: String,
    /// STIX objects in it.
    pub objects: u64,
    /// Values by which it can be found.
    pub values: u64,
    /// Objects of which something is kept whole and not indexed.
    pub not_indexed: u64,
}

/// What a search found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SearchReply {
    /// The hits, in the order of the values they were found by.
    pub hits: Vec<HitView>,
    /// Whether the search stopped before the end: at the limit, or because it
    /// had read as much as one search may.
    pub truncated: bool,
    /// Bundles of which a part cannot be found before the next start, since a
    /// block of an index is damaged; 0 as a rule.
    #[serde(default)]
    pub incomplete: u64,
}

/// One hit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HitView {
    /// STIX id.
    pub id: String,
    /// STIX type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name or value, live: the terminal defangs it.
    pub name: String,
    /// TLP label.
    pub marking: String,
    /// Slug of the author, or its member id if it left.
    pub author: String,
    /// Bundle id.
    pub bundle: String,
    /// RFC 3339; absent where the type has no versions.
    pub modified: Option<String>,
    /// When this node took it, RFC 3339.
    pub received: String,
    /// When it ceases to be valid, RFC 3339.
    pub valid_until: String,
    /// A newer version of the object, by the same author, is here.
    pub superseded: bool,
    /// This node distrusts its author.
    #[serde(default)]
    pub distrusted: bool,
    /// Drill data.
    pub exercise: bool,
}

/// An object or a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShowReply {
    /// The bundle.
    pub bundle: BundleView,
    /// The object, if one was asked for.
    pub hit: Option<HitView>,
    /// Slugs of the other members who published an object of that id. The one
    /// shown is of the member whose object arrived first.
    #[serde(default)]
    pub also_from: Vec<String>,
    /// STIX, byte for byte: the object's, or the bundle's.
    pub stix: String,
}

/// A bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BundleView {
    /// Bundle id.
    pub id: String,
    /// Envelope id.
    pub envelope: String,
    /// Slug of the author.
    pub author: String,
    /// This node distrusts the author.
    #[serde(default)]
    pub distrusted: bool,
    /// TLP label.
    pub marking: String,
    /// Number in its stream.
    pub sequence: u64,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it ceases to be valid, RFC 3339.
    pub valid_until: String,
    /// When this node took it, RFC 3339.
    pub received: String,
    /// `searchable` or `waiting`.
    pub state: String,
    /// Objects in it; 0 while it waits.
    pub objects: u64,
    /// Values by which it can be found.
    pub values: u64,
    /// Objects of which something is not indexed.
    pub not_indexed: u64,
    /// Drill data.
    pub exercise: bool,
}

/// The rules, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainReply {
    /// What was asked about.
    pub id: String,
    /// Its marking.
    pub marking: String,
    /// Its author.
    pub author: String,
    /// This node distrusts the author.
    #[serde(default)]
    pub distrusted: bool,
    /// Slugs of the other members who published an object of that id. The one
    /// explained is of the member whose object arrived first.
    #[serde(default)]
    pub also_from: Vec<String>,
    /// That it was held back and somebody here accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedView>,
    /// Whom it is about.
    pub to: String,
    /// As what the policy sees them.
    pub subject: String,
    /// One chain for each action that concerns them.
    pub actions: Vec<ActionView>,
}

/// The decision about one action.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionView {
    /// The action.
    pub action: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The rule that decided.
    pub rule: String,
    /// Its sentence.
    pub about: String,
    /// Every rule that was asked, in order.
    pub steps: Vec<StepView>,
}

/// One rule that was asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepView {
    /// Its name.
    pub rule: String,
    /// What it asks.
    pub asks: String,
    /// `passed`, `allowed` or `denied`.
    pub verdict: String,
}

impl ActionView {
    /// How a decision is shown, with the chain of rules behind it.
    pub(crate) fn of(action: Action, decision: Decision, steps: &[Step]) -> Self {
        Self {
            action: action.name().to_owned(),
            allowed: decision.is_allowed(),
            rule: decision.rule().to_owned(),
            about: decision.about().to_owned(),
            steps: steps.iter().map(StepView::of).collect(),
        }
    }
}

impl StepView {
    fn of(step: &Step) -> Self {
        let verdict = match step.verdict {
            Verdict::Passed => "passed",
            Verdict::Allowed(_) => "allowed",
            Verdict::Denied(_) => "denied",
        };
        Self {
            rule: step.name.to_owned(),
            asks: step.asks.to_owned(),
            verdict: verdict.to_owned(),
        }
    }
}

/// How the node is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusReply {
    /// This member.
    pub slug: String,
    /// Agency, hub or observer.
    pub role: String,
    /// The federation's name.
    pub federation: String,
    /// Its id.
    pub federation_id: String,
    /// Milliseconds since the node started.
    pub uptime_ms: u64,
    /// Envelopes in the log.
    pub envelopes: u64,
    /// Bundles that wait to be opened.
    pub waiting: u64,
    /// Bodies still being fetched.
    pub pulls: u64,
    /// How catching up stands.
    #[serde(default)]
    pub sync: SyncView,
    /// Each other member.
    pub peers: Vec<PeerView>,
    /// When this node's certificate ends, RFC 3339.
    pub certificate_until: String,
    /// Where it listens.
    pub listening: Vec<String>,
    /// Counters of what was refused or dropped, by name.
    pub counters: std::collections::BTreeMap<String, u64>,
    /// Members whom this node distrusts.
    #[serde(default)]
    pub distrusted: Vec<String>,
    /// Its store.
    #[serde(default)]
    pub store: StoreView,
    /// By how much this node's clock jumped within the last hour, in milliseconds;
    /// negative where it was set back.
    #[serde(default)]
    pub clock_jump_ms: Option<i64>,
    /// Streams of which their own authors serve less than they say there is.
    #[serde(default)]
    pub withholding: Vec<WithheldView>,
}

/// A stream of which its own author serves less than it says there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithheldView {
    /// Slug of its author.
    pub member: String,
    /// Which node of it.
    pub node: String,
    /// `control`, `public`, or another stream's tag.
    pub stream: String,
    /// Where it ends, by a sign of life of that node.
    pub sequence: u64,
    /// Up to where the node serves it.
    pub served: u64,
}

impl WithheldView {
    /// As an engine sees it.
    pub(super) fn of(withheld: &Withheld, roster: &Roster) -> Self {
        let node = withheld.stream.node;
        let member = roster.owner(&node).and_then(|id| roster.member(&id));
        Self {
            member: member.map_or_else(|| node.to_string(), |member| member.slug.to_string()),
            node: node.to_string(),
            stream: format!("{:?}", withheld.stream.tag),
            sequence: withheld.said,
            served: withheld.served,
        }
    }

    /// For a person: which stream, and how much of it.
    pub(crate) fn told(&self) -> String {
        format!(
            "its {} stream goes to {} by its own word, and it serves {}",
            self.stream, self.sequence, self.served
        )
    }
}

/// What a person should know of the store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreView {
    /// Bytes that it takes on the disk.
    pub used_bytes: u64,
    /// There while this node's own stream is being fetched back; nothing is
    /// published then.
    pub recovering: Option<RecoveringView>,
    /// What happened to it when the node started, and what of it was damaged
    /// when it was read since, in words.
    pub happened: Vec<String>,
    /// Stores that did not open and are kept.
    pub set_aside: Vec<AsideView>,
}

/// How far fetching back this node's own stream is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecoveringView {
    /// Envelopes that are here.
    pub held: u64,
    /// Envelopes that were published; absent where that is not known.
    pub published: Option<u64>,
    /// `restored` or `forked`, where the node publishes again in a new life alone.
    #[serde(default)]
    pub life_over: Option<String>,
    /// The same in a sentence.
    #[serde(default)]
    pub why: Option<String>,
}

/// A store that was set aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AsideView {
    /// Where it is.
    pub path: String,
    /// Why it did not open.
    pub why: String,
}

/// Another member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerView {
    /// Its slug.
    pub slug: String,
    /// Agency, hub or observer.
    pub role: String,
    /// `connected` or `away`.
    pub state: String,
    /// Whether it holds something that is still missing here, or has not been
    /// looked at since it connected.
    #[serde(default)]
    pub ahead: bool,
}

/// How catching up stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncView {
    /// Peers that are connected.
    pub connected: u64,
    /// Of those, how many hold something that is still missing here.
    pub ahead: u64,
    /// Envelopes that peers hold and are missing here.
    pub missing: u64,
    /// Streams they belong to.
    pub streams: u64,
    /// Of the streams, those that wait: for their author's quota to refill, or
    /// for somebody who is free to give them. They go on by themselves.
    pub deferred: u64,
    /// Ranges that were asked for and have not been checked yet.
    pub under_way: u64,
    /// Envelopes that were here and are damaged on the disk: they are asked of
    /// peers again. Where one is this node's own, it publishes nothing.
    #[serde(default)]
    pub lost: u64,
}

fn failure(exit_code: u8, message: impl Into<String>, hint: Option<&str>) -> Failure {
    Failure {
        exit_code,
        message: message.into(),
        hint: hint.map(str::to_owned),
    }
}
