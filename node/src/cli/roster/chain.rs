//! The chain of rosters as a person reads it, made again from a packet: whether
//! it came from a file or from this node, every signature in it is checked here.

use std::path::Path;

use serde::Serialize;
use watchfire_crypto::Statement as _;
use watchfire_protocol::limits::PACKET_BYTES_MAX;
use watchfire_protocol::membership::Rebuilt;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::time::{Instant, Now};
use watchfire_protocol::wire::Packet;
use watchfire_protocol::wire::genesis::GenesisFile;
use watchfire_protocol::wire::roster::{Link, RosterStatement};

use crate::cli::error::{CliError, Code};
use crate::cli::files;
use crate::clock::{moment, wall_ms};
use crate::control::client::{ControlClient, ControlError};
use crate::control::{Op, Reply};
use crate::driver::membership::{describe, slug_of};
use crate::keystore::read_bounded;

/// A chain, and what is deliberated at its end.
pub(crate) struct Chain {
    pub(crate) packet: Packet,
    pub(crate) rebuilt: Rebuilt,
    pub(crate) epochs: Vec<EpochView>,
}

/// One roster of the chain.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EpochView {
    /// Its number.
    pub(crate) epoch: u64,
    /// Its id.
    pub(crate) id: String,
    /// When it was proposed, RFC 3339.
    pub(crate) created: String,
    /// Who proposed it; absent for the genesis.
    pub(crate) proposer: Option<String>,
    /// Why.
    pub(crate) reason: String,
    /// What it changed, in words.
    pub(crate) changes: Vec<String>,
    /// The round in which it was decided; 0 for the genesis.
    pub(crate) round: u32,
    /// Whose roots signed it.
    pub(crate) signed: Vec<String>,
    /// Who belonged from then on.
    pub(crate) members: Vec<String>,
}

fn slugs(roster: &Roster) -> Vec<String> {
    let mut slugs: Vec<String> = roster
        .members()
        .map(|member| member.slug.to_string())
        .collect();
    slugs.sort_unstable();
    slugs
}

impl EpochView {
    fn of_genesis(roster: &Roster) -> Self {
        let members = slugs(roster);
        Self {
            epoch: roster.epoch(),
            id: roster.id().to_string(),
            created: moment(roster.created_ms()),
            proposer: None,
            reason: "the founding".to_owned(),
            changes: vec![format!("found the federation {}", roster.name())],
            round: 0,
            signed: members.clone(),
            members,
        }
    }

    fn of_link(before: &Roster, link: &Link, after: &Roster) -> Self {
        let said = RosterStatement::parse(link.roster.as_slice()).ok();
        let mut signed: Vec<String> = link
            .commits
            .iter()
            .filter_map(|line| before.member_of_root(&line.key))
            .map(|member| member.slug.to_string())
            .collect();
        signed.sort_unstable();
        Self {
            epoch: after.epoch(),
            id: after.id().to_string(),
            created: moment(after.created_ms()),
            proposer: said.as_ref().map(|said| slug_of(before, &said.proposer)),
            reason: said
                .as_ref()
                .map_or_else(String::new, |said| said.reason.as_str().to_owned()),
            changes: said.map_or_else(Vec::new, |said| {
                said.changes
                    .iter()
                    .map(|change| describe(change, before))
                    .collect()
            }),
            round: link.round,
            signed,
            members: slugs(after),
        }
    }
}

impl Chain {
    /// Checks a packet from its genesis on.
    pub(crate) fn of(packet: Packet) -> Result<Self, CliError> {
        let genesis = GenesisFile::from_bytes(packet.genesis()).map_err(|why| {
            CliError::new(
                Code::Verification,
                format!("the genesis of the packet cannot be read: {why}"),
            )
            .hint("ask for the packet again")
        })?;
        let mut epochs = vec![EpochView::of_genesis(&Roster::found(&genesis)?)];
        let now = Now {
            mono: Instant::ZERO,
            wall_ms: wall_ms(),
        };
        let rebuilt = Rebuilt::of(&packet, now, |before, link, after| {
            epochs.push(EpochView::of_link(before, link, after));
        })?;
        Ok(Self {
            packet,
            rebuilt,
            epochs,
        })
    }

    /// Members who voted twice where one vote may be: those of whom the packet
    /// holds a proof, and those whose votes in it are one.
    pub(crate) fn double_voters(&self) -> Vec<String> {
        let membership = &self.rebuilt.membership;
        let mut named = membership.double_voters().clone();
        named.extend(membership.deliberation().ballot().double_voters());
        let mut slugs: Vec<String> = named
            .iter()
            .map(|member| slug_of(&self.rebuilt.roster, member))
            .collect();
        slugs.sort_unstable();
        slugs
    }

    /// Of a file.
    pub(crate) fn of_file(path: &Path) -> Result<Self, CliError> {
        Self::of(packet_file(path)?)
    }

    /// Of the node that runs.
    pub(crate) fn of_node(node: &mut ControlClient) -> Result<Self, CliError> {
        Self::of(packet_of(node)?)
    }
}

/// Reads a packet file.
pub(crate) fn packet_file(path: &Path) -> Result<Packet, CliError> {
    let bytes = read_bounded(path, PACKET_BYTES_MAX).map_err(files::absent)?;
    Packet::from_bytes(&bytes).map_err(|why| {
        CliError::new(
            Code::Verification,
            format!("{} is no packet: {why}", path.display()),
        )
        .hint("a packet is what \"watchfire roster export --output FILE\" makes; ask for it again")
    })
}

/// The packet of the node that runs.
pub(crate) fn packet_of(node: &mut ControlClient) -> Result<Packet, CliError> {
    let Reply::Packet(reply) = node.request(Op::Packet, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    let malformed = |why: String| CliError::from(ControlError::Malformed { why });
    let bytes = hex::decode(&reply.packet).map_err(|why| malformed(why.to_string()))?;
    Packet::from_bytes(&bytes).map_err(|why| malformed(why.to_string()))
}
