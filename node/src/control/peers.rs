//! Local distrust, and by which way envelopes came, over the control socket.

use serde::{Deserialize, Serialize};
use watchfire_protocol::engine::{
    Arrived, DistrustRefusal, First, Held, Listed, Route, Seen, Traced, Turned,
};
use watchfire_protocol::ids::{EnvelopeId, MemberId, NodeId};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::table::Outcome;

use super::governance::DistrustReport;
use super::governing::{gone, member_of, told, view};
use super::{Failure, Reply, failure};
use crate::clock::moment;
use crate::driver::membership::slug_of;
use crate::node::Node;

/// Whom this node distrusts now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DistrustReply {
    /// The member that was asked about.
    pub member: String,
    /// Since when and why; absent when it is trusted.
    pub distrusted: Option<DistrustReport>,
    /// Every member that is distrusted.
    pub all: Vec<String>,
}

/// What this node knows of an envelope's way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TraceReply {
    /// Envelope id.
    pub envelope: String,
    /// Id of the bundle in it; absent where it is not held, or not in clear.
    pub bundle: Option<String>,
    /// Slug of its author.
    pub author: String,
    /// The author's node.
    pub node: String,
    /// Its number in its stream.
    pub sequence: u64,
    /// `whole`, `header` or `nothing`.
    pub held: String,
    /// When it was taken, RFC 3339; kept in the store.
    pub received: Option<String>,
    /// What came of it, in words.
    pub verdict: String,
    /// Why it is not believed here, if it is not.
    pub quarantine: Option<String>,
    /// Whether anything of its way is remembered: since the node started, and of
    /// the newest envelopes.
    pub remembered: bool,
    /// How the copy that was taken came: `made here`, `gossip` or `asked for`.
    pub way: Option<String>,
    /// Who handed over the copy that was taken; absent for an own one.
    pub first: Option<HopView>,
    /// Who handed over another copy.
    pub again: Vec<HopView>,
    /// Who said that it holds it; `through` is up to where it holds the stream.
    pub listed: Vec<HopView>,
    /// Who asked this node for it.
    pub asked: Vec<HopView>,
    /// Who handed over the last copy that was not taken.
    pub not_taken: Option<HopView>,
    /// Why that was not taken.
    pub not_taken_why: Option<String>,
    /// Peers for which there was no place.
    pub not_noted: u32,
}

/// A peer on the way of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopView {
    /// Slug of its member.
    pub member: String,
    /// Its node.
    pub node: String,
    /// When, RFC 3339 by this node's clock: first, where it was more than once.
    pub at: String,
    /// How often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Up to where it holds the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
}

/// By its slug, or by its id where it is no member any more.
fn distrusted_by_name(roster: &Roster, name: &str) -> Result<MemberId, Failure> {
    match name.parse::<MemberId>() {
        Ok(id) => Ok(id),
        Err(_) => member_of(roster, name)
            .map(|member| member.id)
            .or_else(|none| {
                let former = roster
                    .former_members()
                    .find(|former| former.slug.as_str() == name);
                former.map(|former| former.id).ok_or(none)
            }),
    }
}

pub(super) async fn distrust(
    node: &Node,
    name: &str,
    reason: Option<String>,
) -> Result<Reply, Failure> {
    let roster = node.roster();
    let member = match reason {
        Some(_) => member_of(&roster, name)?.id,
        None => distrusted_by_name(&roster, name)?,
    };
    let outcome = node.distrust(member, reason).await.map_err(gone)?;
    outcome.map_err(|why| {
        let code = match why {
            DistrustRefusal::OwnMember | DistrustRefusal::Reason => 2,
            DistrustRefusal::NotAMember | DistrustRefusal::NotDistrusted => 14,
            DistrustRefusal::TooMany => 1,
        };
        told(code, &why)
    })?;
    let view = view(node).await?;
    let slug = slug_of(&roster, &member);
    Ok(Reply::Distrust(DistrustReply {
        distrusted: view
            .distrusted
            .iter()
            .find(|distrust| distrust.member == slug)
            .map(|distrust| DistrustReport {
                since: moment(distrust.since_ms),
                reason: distrust.reason.clone(),
            }),
        member: slug,
        all: view
            .distrusted
            .into_iter()
            .map(|distrust| distrust.member)
            .collect(),
    }))
}

pub(super) async fn trace(node: &Node, id: &str) -> Result<Reply, Failure> {
    let unknown = || {
        failure(
            14,
            format!("this node knows nothing of the envelope or bundle {id}"),
            Some(
                "it never came through the gate here, or it was refused and is forgotten; \
                 \"watchfire sync now\" asks the peers for what is missing",
            ),
        )
    };
    let parsed: EnvelopeId = id.parse().map_err(|_| {
        failure(
            2,
            format!("\"{id}\" is no id of an envelope or a bundle"),
            Some("it has 64 hexadecimal digits; \"watchfire show\" prints both"),
        )
    })?;
    let traced = node.trace(*parsed.as_bytes()).await.map_err(gone)?;
    let traced = traced.map_err(|why| failure(1, why.to_string(), None))?;
    node.barrier().await.map_err(gone)?;
    let traced = traced.ok_or_else(unknown)?;
    Ok(Reply::Traced(Box::new(reply_of(&node.roster(), traced))))
}

fn reply_of(roster: &Roster, traced: Traced) -> TraceReply {
    let verdict = verdict_of(&traced);
    let remembered = traced.route.is_some();
    let route = traced.route.unwrap_or_default();
    let way = route.first.map(|first| match first.way {
        Arrived::Own => "made here",
        Arrived::Gossip => "gossip",
        Arrived::Asked => "asked for",
    });
    let first = route.first.filter(|first| first.way != Arrived::Own);
    TraceReply {
        envelope: traced.envelope.to_string(),
        bundle: traced.bundle.map(|bundle| bundle.to_string()),
        author: slug_of(roster, &traced.author),
        node: traced.stream.node.to_string(),
        sequence: traced.sequence,
        held: match traced.held {
            Held::Whole => "whole",
            Held::Header => "header",
            Held::Nothing => "nothing",
        }
        .to_owned(),
        received: traced.received_ms.map(moment),
        verdict,
        quarantine: traced.held_back.map(|held_back| {
            let names: Vec<&str> = held_back.reasons.all().map(|why| why.name()).collect();
            names.join(", ")
        }),
        remembered,
        way: way.map(str::to_owned),
        first: first.map(|First { from, at_ms, .. }| hop(roster, &from, at_ms)),
        again: seen(roster, &route.again),
        listed: listed(roster, &route),
        asked: seen(roster, &route.asked),
        not_taken: route
            .turned
            .as_ref()
            .map(|Turned { from, at_ms, .. }| hop(roster, from, *at_ms)),
        not_taken_why: route.turned.map(|turned| turned.why.to_string()),
        not_noted: route.not_noted,
    }
}

/// What came of it: the gate let through whatever this node knows at all.
fn verdict_of(traced: &Traced) -> String {
    let turned = traced
        .route
        .as_ref()
        .and_then(|route| route.turned.as_ref());
    let is_own = traced
        .route
        .as_ref()
        .and_then(|route| route.first)
        .is_some_and(|first| first.way == Arrived::Own);
    let taken = if is_own { "made here" } else { "taken" };
    match (traced.held, &traced.outcome, turned) {
        (Held::Nothing, _, Some(turned)) => {
            format!("through the gate, and not taken: {}", turned.why)
        }
        (Held::Nothing, _, None) => "not held".to_owned(),
        (Held::Header, _, _) => {
            format!("{taken}; its time is over, and the header alone is kept")
        }
        (Held::Whole, Some(Outcome::Opened { objects, .. }), _) => {
            let plural = if *objects == 1 { "" } else { "s" };
            format!("{taken} and opened, {objects} object{plural}")
        }
        (Held::Whole, Some(Outcome::Refused { why }), _) => {
            format!("taken, and shown to nobody: {}", why.as_str())
        }
        (Held::Whole, Some(Outcome::NeedsUpgrade), _) => {
            "taken, and a later version may open it".to_owned()
        }
        (Held::Whole, None, _) => "taken, and waits to be opened".to_owned(),
    }
}

fn hop(roster: &Roster, node: &NodeId, at_ms: u64) -> HopView {
    HopView {
        member: roster
            .owner(node)
            .map_or_else(String::new, |member| slug_of(roster, &member)),
        node: node.to_string(),
        at: moment(at_ms),
        times: None,
        through: None,
    }
}

fn seen(roster: &Roster, peers: &[Seen]) -> Vec<HopView> {
    let views = peers.iter().map(|seen| HopView {
        times: Some(seen.times),
        ..hop(roster, &seen.peer, seen.first_ms)
    });
    sorted(views.collect())
}

fn listed(roster: &Roster, route: &Route) -> Vec<HopView> {
    let view = |listed: &Listed| HopView {
        through: Some(listed.through),
        ..hop(roster, &listed.peer, listed.at_ms)
    };
    sorted(route.listed.iter().map(view).collect())
}

/// As people look for them: by moment, then by name.
fn sorted(mut hops: Vec<HopView>) -> Vec<HopView> {
    hops.sort_by(|one, other| (&one.at, &one.member).cmp(&(&other.at, &other.member)));
    hops
}
