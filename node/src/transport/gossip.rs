//! gossipsub, set up for a small federation of authenticated members.
//!
//! Frames carry no author, number or signature of libp2p: the protocol's own signature is inside, and the publisher's
//! peer id stays private. Every frame waits for a verdict. Few members hold connections to all others, so an author
//! sends to everybody at once (`flood_publish`), and a small mesh and lazy gossip repair what that misses.
//!
//! There is one topic. A frame's id covers the frame and not the topic, so a frame that came first on another topic
//! would be taken for seen when it comes on ours, and gossipsub marks frames as seen, and keeps them, whether or not
//! the node follows their topic. So what is not on our topic is dropped before gossipsub looks at it ([`OurFrames`]).
//!
//! The protocol's names are gossipsub's own and not ours: with names of our own this version of gossipsub speaks only
//! versions 1.0 and 1.1, silently, and nobody is ever told which frames are unwanted (IDONTWANT, version 1.2). Two
//! federations are kept apart by admission and by the name of the topic.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, DataTransform, IdentTopic, MaxCountSubscriptionFilter,
    Message, MessageAuthenticity, MessageId as GossipId, PeerScoreParams, PeerScoreThresholds,
    RawMessage, TopicHash, TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter,
};
use watchfire_crypto::sha256;

use super::counters::Tally;
use super::{MessageId, TransportError};
use crate::limits::{
    FRAME_BYTES_MAX, GOSSIP_CONTROL_BYTES_MAX, GOSSIP_ENVELOPE_BYTES, GOSSIP_FORWARD_WITHIN,
    GOSSIP_FRAMES_PER_MESSAGE_MAX, GOSSIP_IDS_MAX, GOSSIP_PUBLISH_WITHIN, GOSSIP_QUEUE_FRAMES_MAX,
    GOSSIP_READ_AHEAD_BYTES, GOSSIP_SEEN_FOR,
};

/// The behaviour as this node uses it.
pub(crate) type Gossip =
    Behaviour<OurFrames, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// What may be tuned about gossip. The defaults are for 3 to 250 members.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// How often the mesh is tended and ids are offered.
    pub heartbeat: Duration,
    /// Peers in the mesh of a topic: wanted.
    pub mesh: usize,
    /// Peers in the mesh of a topic: below this, more are asked in.
    pub mesh_low: usize,
    /// Peers in the mesh of a topic: above this, some are let go.
    pub mesh_high: usize,
    /// Peers in the mesh of a topic that we dialled ourselves, so that callers alone cannot surround us.
    pub mesh_outbound_min: usize,
    /// Peers outside the mesh that are offered ids at each heartbeat.
    pub lazy: usize,
    /// Heartbeats for which a frame is kept; a verdict must come one heartbeat earlier.
    pub history: usize,
    /// Heartbeats for which a frame's id is offered.
    pub history_offered: usize,
    /// Frames larger than this are announced as unwanted to the mesh once they arrived, in bytes. For smaller ones the
    /// announcement costs more than the copy it saves.
    pub unwanted_bytes_min: usize,
    /// Room for the codec's reading ahead, in bytes. Less than 8 KiB breaks links; see
    /// [`GOSSIP_READ_AHEAD_BYTES`].
    pub read_ahead_bytes: usize,
    /// Frames waiting for one peer.
    pub queue_frames_max: usize,
}

impl Default for GossipConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            mesh: 4,
            mesh_low: 3,
            mesh_high: 6,
            mesh_outbound_min: 1,
            lazy: 4,
            history: 12,
            history_offered: 4,
            unwanted_bytes_min: 4_096,
            read_ahead_bytes: GOSSIP_READ_AHEAD_BYTES,
            queue_frames_max: GOSSIP_QUEUE_FRAMES_MAX,
        }
    }
}

impl GossipConfig {
    /// How long a verdict may take: all of the history but one heartbeat.
    pub fn verdict_within(&self) -> Duration {
        let heartbeats = u32::try_from(self.history.saturating_sub(1)).unwrap_or(u32::MAX);
        self.heartbeat.saturating_mul(heartbeats)
    }

    /// The largest message of gossipsub on the wire, in bytes.
    fn transmit_bytes_max(&self) -> usize {
        FRAME_BYTES_MAX
            .saturating_add(GOSSIP_ENVELOPE_BYTES)
            .saturating_add(self.read_ahead_bytes)
    }

    /// gossipsub checks its mesh only for topics that are set up one by one, so it is checked here.
    fn check(&self) -> Result<(), TransportError> {
        let ordered = self.mesh_outbound_min <= self.mesh_low
            && self.mesh_low <= self.mesh
            && self.mesh <= self.mesh_high
            && self.mesh_outbound_min.saturating_mul(2) <= self.mesh;
        let refusal = if !ordered {
            "the mesh needs outbound <= low <= wanted <= high, and outbound at most half of wanted"
        } else if self.heartbeat.is_zero() {
            "the heartbeat is zero"
        } else if self.history < 2 {
            "a history below two heartbeats leaves no time for a verdict"
        } else {
            return Ok(());
        };
        Err(TransportError::Gossip(refusal.to_owned()))
    }

    fn build(&self) -> Result<Config, TransportError> {
        self.check()?;
        ConfigBuilder::default()
            .validation_mode(ValidationMode::Anonymous)
            .validate_messages()
            .message_id_fn(|message| GossipId::new(&message_id(&message.data).0))
            .max_transmit_size(self.transmit_bytes_max())
            .max_publish_messages(GOSSIP_FRAMES_PER_MESSAGE_MAX)
            .max_control_messages_sent(GOSSIP_IDS_MAX)
            .max_control_message_size(GOSSIP_CONTROL_BYTES_MAX)
            .flood_publish(true)
            .heartbeat_interval(self.heartbeat)
            .heartbeat_initial_delay(self.heartbeat)
            .mesh_n(self.mesh)
            .mesh_n_low(self.mesh_low)
            .mesh_n_high(self.mesh_high)
            .mesh_outbound_min(self.mesh_outbound_min)
            .gossip_lazy(self.lazy)
            .history_length(self.history)
            .history_gossip(self.history_offered)
            .duplicate_cache_time(GOSSIP_SEEN_FOR)
            .idontwant_message_size_threshold(self.unwanted_bytes_min)
            .connection_handler_queue_len(self.queue_frames_max)
            .publish_queue_duration(GOSSIP_PUBLISH_WITHIN)
            .forward_queue_duration(GOSSIP_FORWARD_WITHIN)
            .build()
            .map_err(|error| TransportError::Gossip(error.to_string()))
    }
}

/// The id of a frame: SHA-256 over all of it.
pub(crate) fn message_id(frame: &[u8]) -> MessageId {
    MessageId(sha256(frame))
}

/// The name of a federation's topic.
pub(crate) fn topic(federation: &str) -> IdentTopic {
    IdentTopic::new(format!("/watchfire/1/{federation}"))
}

/// Lets frames through as they are, if they are on our topic and within their limit. What is not is dropped before it
/// gets an id, and what is too large costs its sender what a rejected frame costs.
#[derive(Debug)]
pub(crate) struct OurFrames {
    topic: TopicHash,
    tally: Arc<Tally>,
}

impl DataTransform for OurFrames {
    fn inbound_transform(&self, raw: RawMessage) -> io::Result<Message> {
        if raw.topic != self.topic {
            self.tally.frames_foreign.one();
            return Err(io::Error::other("not on our topic"));
        }
        if raw.data.len() > FRAME_BYTES_MAX {
            self.tally.frames_oversized.one();
            return Err(io::Error::other("frame above the limit"));
        }
        Ok(Message {
            source: raw.source,
            data: raw.data,
            sequence_number: raw.sequence_number,
            topic: raw.topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(data)
    }
}

/// Builds the behaviour and subscribes to the topic.
pub(crate) fn gossip(
    config: &GossipConfig,
    topic: &IdentTopic,
    tally: Arc<Tally>,
) -> Result<Gossip, TransportError> {
    let refused = |error: &str| TransportError::Gossip(error.to_owned());
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter([topic.hash()].into()),
        max_subscribed_topics: 1,
        // One message may take the topic back and renew it.
        max_subscriptions_per_request: 2,
    };
    let ours = OurFrames {
        topic: topic.hash(),
        tally,
    };
    let mut behaviour = Gossip::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config.build()?,
        filter,
        ours,
    )
    .map_err(refused)?;
    behaviour
        .with_peer_score(score(topic), thresholds())
        .map_err(|error| refused(&error))?;
    behaviour
        .subscribe(topic)
        .map_err(|error| refused(&error.to_string()))?;
    Ok(behaviour)
}

/// What a peer pays for. Nobody can earn credit, so that a well-behaved year does not buy a bad minute; every score is
/// zero or below.
///
/// - A rejected frame (P4): the count squared, times ten. One: −10, two: −40, three: −90. Only what every honest node
///   rejects alike is rejected, so an honest forwarder never sends one. Half is forgotten after ten minutes.
/// - Broken rules of the mesh (P7), above six: the excess squared; a lost packet breaks a promise now and then.
/// - Nothing for slowness (a thin line is no offence), for many members behind one address, or for a quiet mesh
///   (with few members most are quiet most of the time).
fn score(topic: &IdentTopic) -> PeerScoreParams {
    let frames = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -10.0,
        // 0.5 to the power of 1/600, once a second.
        invalid_message_deliveries_decay: 0.998_845,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: HashMap::from([(topic.hash(), frames)]),
        topic_score_cap: 0.0,
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: 0.9,
        slow_peer_weight: 0.0,
        decay_interval: Duration::from_secs(1),
        retain_score: Duration::from_secs(3_600),
        ..PeerScoreParams::default()
    }
}

/// What a score costs. Below −20 (two rejected frames) ids are neither offered nor asked for; below −50 the peer is
/// not sent own frames; below −80 (three rejected frames) nothing it sends is read, until half is forgotten.
fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -20.0,
        publish_threshold: -50.0,
        graylist_threshold: -80.0,
        accept_px_threshold: 0.0,
        opportunistic_graft_threshold: 0.0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_defaults_hold_together() {
        let topic = topic("00");
        gossip(&GossipConfig::default(), &topic, Arc::default()).unwrap();
        score(&topic).validate().unwrap();
        thresholds().validate().unwrap();
    }

    #[test]
    fn a_list_of_ids_fits_its_limit() {
        const ID_BYTES: usize = 2 + 32;
        const { assert!(GOSSIP_IDS_MAX * ID_BYTES + GOSSIP_ENVELOPE_BYTES <= GOSSIP_CONTROL_BYTES_MAX) };
        assert!(GOSSIP_CONTROL_BYTES_MAX + 8_192 <= GossipConfig::default().transmit_bytes_max());
    }

    #[test]
    fn the_id_covers_every_byte() {
        assert_ne!(message_id(b"frame"), message_id(b"frame\0"));
        assert_eq!(message_id(b"").to_string(), "e3b0c442");
    }
}
