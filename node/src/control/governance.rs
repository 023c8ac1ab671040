//! What people say about membership over the control socket, and what they hear.

use serde::{Deserialize, Serialize};

/// What a roster would change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposeOp {
    /// Why, for the people who vote.
    pub reason: String,
    /// What changes, in this order.
    pub changes: Vec<ChangeOp>,
}

/// One change; members are named by their slugs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangeOp {
    /// An organisation becomes a member.
    Admit {
        /// Its card file, in hexadecimal.
        card: String,
        /// The communities it belongs to.
        communities: Vec<String>,
    },
    /// A member is one no longer. The node adds where its streams end.
    Expel {
        /// Which.
        member: String,
    },
    /// A member's root is replaced. The node adds where its streams end.
    Rekey {
        /// Whose.
        member: String,
        /// The new root key, 64 hexadecimal digits.
        root_public: String,
    },
    /// What a member may do and where it belongs; what is absent stays.
    Settle {
        /// Which.
        member: String,
        /// Agency, hub or observer.
        role: Option<String>,
        /// The communities it belongs to.
        communities: Option<Vec<String>>,
    },
    /// A community begins, or has another rule.
    Community {
        /// Its name.
        name: String,
        /// Who may change it, beside the federation's quorum.
        rule: RuleOp,
    },
}

/// Who may change a community, beside the federation's quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleOp {
    /// Nobody else.
    Federation,
    /// A quorum of its own members.
    Own,
    /// So many of those named.
    Named {
        /// Who, by slug.
        members: Vec<String>,
        /// How many of them.
        of: u8,
    },
}

/// It was said, and is on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SaidReply {
    /// Of a proposal or a vote: the roster it is about.
    pub roster: Option<String>,
    /// The roster's number that is held now.
    pub epoch: u64,
    /// What a person should know of it.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What came of a notice or link that was brought.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BroughtReply {
    /// `accepted`, `held` already, `past` because the roster has gone on, or
    /// `refused`.
    pub outcome: String,
    /// Why it was refused.
    pub why: Option<String>,
    /// Whether it may be taken once something else is known.
    pub later: bool,
    /// The roster's number that is held now.
    pub epoch: u64,
}

/// Genesis, chain and notices, for a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PacketReply {
    /// The packet, in hexadecimal.
    pub packet: String,
}

/// Every member of the roster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembersReply {
    /// The roster's number here.
    pub epoch: u64,
    /// This node's member.
    pub me: String,
    /// The node's clock, in milliseconds UTC.
    pub wall_ms: u64,
    /// What must be added to it to have the federation's, in milliseconds; absent
    /// where too few were heard.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// Members, ascending by slug.
    pub members: Vec<MemberReport>,
}

/// Who answers at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DutyReport {
    /// Its telephone number; empty for none, as everything here.
    pub phone: String,
    /// Its mail address.
    pub mail: String,
    /// When it answers, in its own words.
    pub hours: String,
    /// The time zone of those hours.
    pub zone: String,
}

/// Since when and why this node distrusts a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistrustReport {
    /// Since when, RFC 3339.
    pub since: String,
    /// Why.
    pub reason: String,
}

/// A member, and what is known of its nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberReport {
    /// What people call it.
    pub slug: String,
    /// Its id.
    pub member: String,
    /// Agency, hub or observer.
    pub role: String,
    /// The communities it belongs to.
    pub communities: Vec<String>,
    /// Name of the organisation.
    pub name: String,
    /// Its mail address.
    pub mail: String,
    /// Its duty desk.
    pub duty: DutyReport,
    /// Languages spoken there, the preferred one first, as tags of BCP 47.
    pub languages: Vec<String>,
    /// Fingerprint of its OpenPGP key, in hexadecimal; absent for none.
    pub pgp: Option<String>,
    /// Its root key, in hexadecimal.
    pub root_public: String,
    /// Where its node is dialled.
    pub addresses: Vec<String>,
    /// Where its door is.
    pub door_addresses: Vec<String>,
    /// When its card was made, RFC 3339; absent where none is known.
    pub card_created: Option<String>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Until when it is, RFC 3339, if nobody says so anew.
    #[serde(default)]
    pub suspended_until: Option<String>,
    /// Since when and why this node distrusts it, if it does.
    #[serde(default)]
    pub distrusted: Option<DistrustReport>,
    /// How far its clock was from this node's when it was last heard by gossip, in
    /// milliseconds; absent where that is long ago.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// Its nodes, by id.
    pub nodes: Vec<NodeReport>,
}

/// A node of a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its id.
    pub node: String,
    /// `this node`, `connected` or `away`.
    pub state: String,
    /// Serial of its certificate.
    pub serial: u64,
    /// Which life it is in.
    pub incarnation: u64,
    /// When its certificate ends, RFC 3339.
    pub certificate_until: String,
    /// Whole days until then; negative when it has ended.
    pub certificate_days: i64,
    /// When its newest sign of life was made, RFC 3339 by its own clock.
    pub heard: Option<String>,
    /// How long ago that is, in milliseconds.
    pub heard_ms_ago: Option<u64>,
    /// The roster's number that it holds.
    pub epoch: Option<u64>,
    /// The id of that roster.
    pub roster: Option<String>,
    /// How long the last probe of the link took, in microseconds.
    #[serde(default)]
    pub round_trip_us: Option<u64>,
    /// How long ago its answer came, in milliseconds.
    #[serde(default)]
    pub probed_ms_ago: Option<u64>,
    /// Streams of its own of which it serves less than it says there is.
    #[serde(default)]
    pub withholding: Vec<super::WithheldView>,
}
