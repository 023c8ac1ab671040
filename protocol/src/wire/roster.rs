//! Rosters after the genesis: what changes, the votes for it, and the two
//! together as a link of the chain.

use super::bounded::{Bytes, List, Text};
use super::card::{Card, Role, Slug};
use super::codec;
use super::codec::CodecError;
use super::envelope::{SignedBytes, Tag};
use super::kind::{Kind, MEMBERS};
use crate::ids::{CertificateId, EnvelopeId, FederationId, MemberId, NodeId, RosterId};
use crate::limits::{
    CARD_BYTES_MAX, CHANGES_MAX, COMMUNITIES_MAX, CUTS_MAX, LINK_BYTES_MAX, MEMBERS_MAX,
    ROSTER_BYTES_MAX, VOTE_BYTES_MAX,
};
use bincode::{Decode, Encode};
use watchfire_crypto::{Domain, PublicKey, Signature, Signed, Statement, Verified, VerifyError};

/// The name of a community.
pub type CommunityName = Text<32>;

/// The communities of a member; a set.
pub type Communities = List<CommunityName, COMMUNITIES_MAX>;

/// Up to where a stream of a key that has ended counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Cut {
    /// Whose stream.
    pub node: NodeId,
    /// Of which life.
    pub incarnation: u64,
    /// Which stream.
    pub tag: Tag,
    /// The last sequence that counts.
    pub sequence: u64,
    /// The envelope there.
    pub head: EnvelopeId,
}

/// Who may change a community, beside the federation's quorum.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum CommunityRule {
    /// The federation's quorum is enough.
    Federation,
    /// A quorum of the community's own members, too.
    Own,
    /// So many of those named, too.
    Named {
        /// Who; a set, not empty.
        members: List<MemberId, 16>,
        /// How many of them; at least one, at most all.
        of: u8,
    },
}

/// One change of a roster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// An organisation becomes a member.
    Admit {
        /// What it offered.
        card: SignedBytes<CARD_BYTES_MAX>,
        /// The communities it belongs to; a set.
        communities: Communities,
    },
    /// A member is one no longer.
    Expel {
        /// Which.
        member: MemberId,
        /// Up to where its nodes' streams count; a set.
        cuts: List<Cut, CUTS_MAX>,
    },
    /// A member's root is replaced, because it was lost, stolen or grew old.
    Rekey {
        /// Whose.
        member: MemberId,
        /// By which key.
        root_key: [u8; 32],
        /// Up to where what the former root certified counts; a set.
        cuts: List<Cut, CUTS_MAX>,
    },
    /// What a member may do, and where it belongs.
    Settle {
        /// Which.
        member: MemberId,
        /// What its nodes may do.
        role: Role,
        /// The communities it belongs to; a set.
        communities: Communities,
    },
    /// A community begins, or has another rule from now on.
    Community {
        /// Which.
        name: CommunityName,
        /// Who may change it.
        rule: CommunityRule,
    },
}

/// A roster that follows another: what changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RosterStatement {
    /// Which federation.
    pub federation: FederationId,
    /// Its number; the genesis is 0.
    pub epoch: u64,
    /// The roster before.
    pub previous: RosterId,
    /// Who proposes it.
    pub proposer: MemberId,
    /// The certificate of the proposer's node that signs the proposal.
    pub certificate: CertificateId,
    /// When, in milliseconds UTC.
    pub created_ms: u64,
    /// Why, for the people who vote.
    pub reason: Text<512>,
    /// What changes, in this order; at least one.
    pub changes: List<Change, CHANGES_MAX>,
    /// Hash of the members and communities that result.
    pub result: [u8; 32],
}

impl RosterStatement {
    /// The id of these bytes.
    pub fn id_of(bytes: &[u8]) -> RosterId {
        RosterId::from_bytes(Self::DOMAIN.digest(bytes))
    }
}

impl Statement for RosterStatement {
    const DOMAIN: Domain = Kind::Roster.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, ROSTER_BYTES_MAX)
    }
}

/// All that a roster says, as its hash is made.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct RosterState {
    /// Its number.
    pub epoch: u64,
    /// Its members, ascending by id.
    pub members: Vec<MemberLine>,
    /// Its communities and their rules, ascending by name.
    pub communities: Vec<(String, CommunityRule)>,
    /// Members of earlier rosters, ascending.
    pub former: Vec<MemberId>,
}

/// One member in the hash of a roster.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct MemberLine {
    /// Its id.
    pub member: MemberId,
    /// What people call it.
    pub slug: Slug,
    /// Its root key.
    pub root_key: [u8; 32],
    /// What its nodes may do.
    pub role: Role,
    /// The communities it belongs to, ascending.
    pub communities: Vec<String>,
}

impl RosterState {
    /// Its hash.
    pub fn digest(&self) -> [u8; 32] {
        MEMBERS.digest(&codec::encode(self))
    }
}

/// In which step, and by whose key, a vote is cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum VoteBy {
    /// A member would commit it if enough others would: signed by its node.
    Prepare {
        /// The certificate of the node.
        certificate: CertificateId,
    },
    /// A member decides for it: signed by its root.
    Commit {
        /// The root key.
        key: [u8; 32],
    },
    /// Whose key enters the roster agrees to that: signed by the new root. Its
    /// round is 0.
    Consent {
        /// The new root key.
        key: [u8; 32],
    },
}

/// A vote for a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Vote {
    /// Which federation.
    pub federation: FederationId,
    /// The number of the roster voted for.
    pub epoch: u64,
    /// The roster voted for.
    pub roster: RosterId,
    /// In which round, from 1.
    pub round: u32,
    /// In which step, and whose.
    pub by: VoteBy,
}

impl Statement for Vote {
    const DOMAIN: Domain = Kind::Vote.domain();
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, VOTE_BYTES_MAX)
    }
}

/// A root's signature inside a link: of a vote that follows from where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct VoteLine {
    /// The root key that signed.
    pub key: [u8; 32],
    /// Over the vote.
    pub signature: [u8; 64],
}

impl VoteLine {
    /// Checks the signature over the vote that this line stands for.
    ///
    /// # Errors
    /// When the key is not good or the signature does not hold.
    pub fn verify(&self, vote: &Vote) -> Result<Verified<Vote>, VerifyError<CodecError>> {
        let key = PublicKey::enrol(&self.key).map_err(|why| {
            VerifyError::Malformed(CodecError::Malformed {
                why: why.to_string(),
            })
        })?;
        let signature = Signature::from_bytes(self.signature);
        Signed::<Vote>::new(codec::encode(vote), signature).verify(&key)
    }
}

/// A link of the chain: a roster and what decided it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Link {
    /// The statement.
    pub roster: Bytes<ROSTER_BYTES_MAX>,
    /// The round in which it was committed.
    pub round: u32,
    /// Who committed it then, ascending by key.
    pub commits: List<VoteLine, MEMBERS_MAX>,
    /// The consent of every new root, ascending by key.
    pub consents: List<VoteLine, CHANGES_MAX>,
}

impl Link {
    /// As the store and files hold it.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is not a link.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, LINK_BYTES_MAX)
    }

    /// The id of its roster.
    pub fn id(&self) -> RosterId {
        RosterStatement::id_of(self.roster.as_slice())
    }
}

/// What is signed of a card inside a change.
pub type SignedCard = SignedBytes<CARD_BYTES_MAX>;

impl Change {
    /// The card of an admission.
    pub fn card(&self) -> Option<Signed<Card>> {
        match self {
            Self::Admit { card, .. } => Some(card.to_signed()),
            Self::Expel { .. }
            | Self::Rekey { .. }
            | Self::Settle { .. }
            | Self::Community { .. } => None,
        }
    }
}
