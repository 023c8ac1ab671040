//! What a running node knows of the lives of its member's nodes, over the control
//! socket.

use serde::{Deserialize, Serialize};
use watchfire_protocol::ids::{MemberId, NodeId};
use watchfire_protocol::limits::{CUTS_MAX, REVOCATION_BYTES_MAX};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::exchange::StreamId;
use watchfire_protocol::wire::notice::StreamCut;
use watchfire_protocol::wire::{List, Tag, codec};

use super::{Failure, Reply, failure};
use crate::lives::{Lives, lives_of};
use crate::node::Node;

/// What is known of the lives of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LivesReply {
    /// Of which federation.
    pub federation: String,
    /// Whose node: the member's id.
    pub member: String,
    /// What people call that member.
    pub slug: String,
    /// The root key that signs for it, in hexadecimal.
    pub root_public: String,
    /// Which node.
    pub node: String,
    /// Its highest serial.
    pub serial: u64,
    /// Its latest life.
    pub incarnation: u64,
    /// The highest serial of the member.
    pub serial_of_member: u64,
    /// Up to where its streams count, as a revocation says it, in hexadecimal.
    pub cuts: String,
    /// Streams that there was no room for.
    pub left_out: usize,
    /// Streams that forked.
    pub forks: Vec<ForkView>,
}

/// A stream in which two envelopes stand at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkView {
    /// In which life of the node.
    pub incarnation: u64,
    /// Which stream, in hexadecimal.
    pub tag: String,
    /// The first such place.
    pub sequence: u64,
}

impl LivesReply {
    /// As the socket carries it.
    pub(crate) fn new(lives: &Lives) -> Self {
        let cuts: List<StreamCut, CUTS_MAX> = List::new(lives.cuts.clone()).unwrap_or_default();
        Self {
            federation: lives.federation.to_string(),
            member: lives.member.to_string(),
            slug: lives.slug.clone(),
            root_public: lives.root_key.to_string(),
            node: lives.node.to_string(),
            serial: lives.serial,
            incarnation: lives.incarnation,
            serial_of_member: lives.serial_of_member,
            cuts: hex::encode(codec::encode(&cuts)),
            left_out: lives.left_out,
            forks: lives
                .forks
                .iter()
                .map(|(stream, sequence)| ForkView {
                    incarnation: stream.incarnation,
                    tag: hex::encode(stream.tag.as_bytes()),
                    sequence: *sequence,
                })
                .collect(),
        }
    }

    /// As the command line reads it; nothing where it is malformed.
    pub(crate) fn read(&self) -> Option<Lives> {
        let node: NodeId = self.node.parse().ok()?;
        let cuts = hex::decode(&self.cuts).ok()?;
        let cuts: List<StreamCut, CUTS_MAX> = codec::decode(&cuts, REVOCATION_BYTES_MAX).ok()?;
        let forks = self.forks.iter().map(|fork| {
            let mut tag = [0; 16];
            hex::decode_to_slice(&fork.tag, &mut tag).ok()?;
            let stream = StreamId {
                node,
                incarnation: fork.incarnation,
                tag: Tag::from_bytes(tag),
            };
            Some((stream, fork.sequence))
        });
        Some(Lives {
            federation: self.federation.parse().ok()?,
            member: self.member.parse().ok()?,
            slug: self.slug.clone(),
            root_key: self.root_public.parse().ok()?,
            node,
            serial: self.serial,
            incarnation: self.incarnation,
            serial_of_member: self.serial_of_member,
            cuts: cuts.into_vec(),
            left_out: self.left_out,
            forks: forks.collect::<Option<_>>()?,
        })
    }
}

/// The node of a member whose id begins so.
pub(crate) fn named(roster: &Roster, member: &MemberId, digits: &str) -> Result<NodeId, Failure> {
    let digits: String = digits
        .chars()
        .filter(|char| !char.is_whitespace())
        .map(|char| char.to_ascii_lowercase())
        .collect();
    let mut nodes: Vec<NodeId> = roster
        .certificates_of(*member)
        .map(|held| held.node)
        .filter(|node| node.to_string().starts_with(&digits))
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    match nodes.as_slice() {
        [one] if digits.len() >= DIGITS_MIN => Ok(*one),
        [_, ..] => Err(failure(
            2,
            format!("\"{digits}\" names no single node: give more digits of its id"),
            Some("\"watchfire peer show\" with this member's slug names its nodes"),
        )),
        [] => Err(failure(
            14,
            format!("no certificate of a node {digits} of this member is known here"),
            Some(
                "\"watchfire peer show\" with this member's slug names its nodes; a root ends those of its own member alone",
            ),
        )),
    }
}

/// Digits of a node's id that tell it from others beyond doubt of a typing
/// mistake.
const DIGITS_MIN: usize = 8;

/// Answers for the node whose id begins so; without one, for this node.
pub(super) async fn lives(node: &Node, which: Option<&str>) -> Result<Reply, Failure> {
    // What is durable is what counts.
    node.barrier()
        .await
        .map_err(|ended| failure(15, ended.to_string(), None))?;
    let (roster, member) = (node.roster(), node.member());
    let which = match which {
        Some(digits) => named(&roster, &member, digits)?,
        None => node.certificate().node,
    };
    let store = std::sync::Arc::clone(node.store());
    let found =
        tokio::task::spawn_blocking(move || lives_of(&roster, &*store, &member, &which)).await;
    match found {
        Ok(Ok(Some(lives))) => Ok(Reply::Lives(LivesReply::new(&lives))),
        Ok(Ok(None)) => Err(failure(
            12,
            "this node's member is not in the roster any more",
            Some("\"watchfire roster history\" says what happened"),
        )),
        Ok(Err(failed)) => Err(failure(1, failed.to_string(), None)),
        Err(_) => Err(failure(
            1,
            "the question could not be answered",
            Some("see the node's log"),
        )),
    }
}
