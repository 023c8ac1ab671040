//! What is held back, and what a person accepts of it, over the control socket.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use watchfire_protocol::engine::{Accept, AcceptRefusal, Accepted, WhatToAccept};
use watchfire_protocol::ids::{MemberId, NodeId};
use watchfire_protocol::query::{HeldBackList, HeldBackRecord};
use watchfire_protocol::roster::Roster;

use super::{Failure, failure};
use crate::clock::moment;
use crate::limits::HELD_BACK_SHOWN_MAX;
use crate::node::Node;

/// What to list of what is held back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantinedOp {
    /// Of which node, by its id, or of all nodes of which member, by its slug;
    /// absent for everything.
    #[serde(default)]
    pub of: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// What to accept of what is held back; exactly one of `envelope` and `of`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptOp {
    /// Id of an envelope.
    #[serde(default)]
    pub envelope: Option<String>,
    /// Of which node or member, as in [`QuarantinedOp`].
    #[serde(default)]
    pub of: Option<String>,
    /// Up to which sequence of each stream.
    #[serde(default)]
    pub up_to: Option<u64>,
    /// Why.
    pub reason: String,
}

/// What is held back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuarantinedReply {
    /// In the order in which it came.
    pub held: Vec<HeldBackView>,
    /// There is more.
    pub truncated: bool,
}

/// An envelope that is held back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldBackView {
    /// Envelope id.
    pub envelope: String,
    /// Slug of its author.
    pub author: String,
    /// Its node; absent where its certificate is not known any more.
    pub node: Option<String>,
    /// Which life of the node.
    pub incarnation: Option<u64>,
    /// Tag of its stream, in hexadecimal.
    pub stream: Option<String>,
    /// Its number there.
    pub sequence: Option<u64>,
    /// Why: `expelled`, `revoked`, `forked`, `expired`, `suspended`.
    pub reasons: Vec<String>,
    /// Since when, RFC 3339.
    pub since: String,
}

/// What was accepted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AcceptedReply {
    /// How many envelopes.
    pub envelopes: u64,
    /// There is more that is meant; accept again.
    pub more: bool,
}

/// That somebody here accepted a bundle that was held back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AcceptedView {
    /// Why it was held back.
    pub reasons: Vec<String>,
    /// When, RFC 3339.
    pub at: String,
    /// Why it was accepted.
    pub because: String,
}

impl AcceptedView {
    pub(super) fn of(accepted: &Accepted) -> Self {
        Self {
            reasons: accepted
                .reasons
                .all()
                .map(|why| why.name().to_owned())
                .collect(),
            at: moment(accepted.at_ms),
            because: accepted.because.as_str().to_owned(),
        }
    }
}

impl HeldBackView {
    fn of(record: &HeldBackRecord, roster: &Roster) -> Self {
        let author = roster.present_or_former(&record.author).map_or_else(
            || record.author.to_string(),
            |member| member.slug.to_string(),
        );
        Self {
            envelope: record.envelope.to_string(),
            author,
            node: record.node.map(|(node, _)| node.to_string()),
            incarnation: record.node.map(|(_, incarnation)| incarnation),
            stream: record.place.map(|(tag, _)| hex::encode(tag.as_bytes())),
            sequence: record.place.map(|(_, sequence)| sequence),
            reasons: record
                .reasons
                .all()
                .map(|why| why.name().to_owned())
                .collect(),
            since: moment(record.since_ms),
        }
    }
}

/// Whose envelopes are meant.
pub(super) enum Whose {
    All,
    Node(NodeId),
    Member(MemberId),
}

impl Whose {
    /// By a node's id or a member's slug, also of one that was expelled.
    pub(super) fn named(roster: &Roster, name: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = name else {
            return Ok(Self::All);
        };
        if let Ok(node) = name.parse() {
            return Ok(Self::Node(node));
        }
        roster
            .known_certificates()
            .map(|certificate| certificate.member)
            .find(|member| {
                roster
                    .present_or_former(member)
                    .is_some_and(|member| member.slug.as_str() == name)
            })
            .map(Self::Member)
            .ok_or_else(|| {
                let hint = "see \"watchfire quarantine list\" for whom there is something";
                failure(
                    14,
                    format!("{name} is no node and no member, present or former"),
                    Some(hint),
                )
            })
    }

    pub(super) fn is(&self, author: &MemberId, node: Option<&NodeId>) -> bool {
        match self {
            Self::All => true,
            Self::Node(meant) => node == Some(meant),
            Self::Member(meant) => author == meant,
        }
    }

    /// The nodes that are meant, as far as they are known.
    fn nodes(&self, roster: &Roster) -> BTreeSet<NodeId> {
        match self {
            Self::All => BTreeSet::new(),
            Self::Node(node) => BTreeSet::from([*node]),
            Self::Member(member) => roster
                .certificates_of(*member)
                .map(|certificate| certificate.node)
                .collect(),
        }
    }
}

pub(super) fn limit_of(op: &QuarantinedOp) -> usize {
    op.limit.clamp(1, HELD_BACK_SHOWN_MAX)
}

pub(super) fn reply(list: &HeldBackList, roster: &Roster) -> QuarantinedReply {
    QuarantinedReply {
        held: list
            .records
            .iter()
            .map(|record| HeldBackView::of(record, roster))
            .collect(),
        truncated: list.more,
    }
}

pub(super) async fn accept(node: &Node, op: AcceptOp) -> Result<AcceptedReply, Failure> {
    let usage = |message: String| {
        failure(
            2,
            message,
            Some("see \"watchfire quarantine accept --help\""),
        )
    };
    let what = match (&op.envelope, &op.of) {
        (Some(envelope), None) => WhatToAccept::Envelope(
            envelope
                .parse()
                .map_err(|_| usage(format!("\"{envelope}\" is no id of an envelope")))?,
        ),
        (None, Some(of)) => {
            let roster = node.roster();
            WhatToAccept::Of {
                nodes: Whose::named(&roster, Some(of))?.nodes(&roster),
                up_to: op.up_to,
            }
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(usage("name an envelope, or whose it is".to_owned()));
        }
    };
    let accept = Accept {
        what,
        because: op.reason,
    };
    let outcome = node
        .accept(accept)
        .await
        .map_err(|ended| failure(15, ended.to_string(), None))?;
    let count = outcome.map_err(|why| match why {
        AcceptRefusal::NothingHeldBack => failure(
            14,
            why.to_string(),
            Some("see \"watchfire quarantine list\""),
        ),
        AcceptRefusal::Reason => usage(why.to_string()),
    })?;
    Ok(AcceptedReply {
        envelopes: count.envelopes,
        more: count.more,
    })
}
