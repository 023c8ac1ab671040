//! The node's answers about membership: slugs become members, what a member
//! leaves behind is filled in, and refusals become exit codes.

use watchfire_protocol::engine::{Said, Saying, SayingRefusal};
use watchfire_protocol::gate::NoticeRefusal;
use watchfire_protocol::ids::{MemberId, RosterId};
use watchfire_protocol::limits::CUTS_MAX;
use watchfire_protocol::membership::NotNews;
use watchfire_protocol::roster::{Certificate, Member, Roster, RosterError, VoteRefusal};
use watchfire_protocol::wire::card::Role;
use watchfire_protocol::wire::genesis::card_from_file;
use watchfire_protocol::wire::roster::{Change, Communities, CommunityRule, Cut};
use watchfire_protocol::wire::{List, Text};

use super::governance::{
    BroughtReply, ChangeOp, DistrustReport, DutyReport, MemberReport, MembersReply, NodeReport,
    PacketReply, ProposeOp, RuleOp, SaidReply,
};
use super::{Failure, Reply, WithheldView, failure};
use crate::clock::{moment, wall_ms};
use crate::driver::membership::MembershipView;
use crate::node::{Ended, Node};

const HOUR_MS: u64 = 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;

pub(super) fn gone(ended: Ended) -> Failure {
    failure(15, ended.to_string(), None)
}

/// What another part says, with its last clause as the hint.
pub(super) fn told(code: u8, error: &dyn std::error::Error) -> Failure {
    let text = error.to_string();
    match text.rsplit_once("; ") {
        Some((message, hint)) => failure(code, message, Some(hint)),
        None => failure(code, text, None),
    }
}

fn usage(message: String) -> Failure {
    failure(2, message, Some("see \"watchfire roster propose --help\""))
}

fn refused(why: &SayingRefusal) -> Failure {
    let code = match why {
        SayingRefusal::Vote(VoteRefusal::NotHeld) => 14,
        SayingRefusal::Vote(_)
        | SayingRefusal::OtherNode { .. }
        | SayingRefusal::Stale { .. }
        | SayingRefusal::Roster(RosterError::NotAMember)
        | SayingRefusal::Gate(NoticeRefusal::NotKnown) => 12,
        SayingRefusal::Roster(RosterError::Malformed { .. } | RosterError::Signature { .. })
        | SayingRefusal::Gate(NoticeRefusal::Signature) => 18,
        SayingRefusal::Form(_) => 2,
        SayingRefusal::NotNews(NotNews::NotCurrent) => 17,
        SayingRefusal::Roster(_) | SayingRefusal::Gate(_) | SayingRefusal::NotNews(_) => 1,
    };
    told(code, why)
}

async fn say(node: &Node, saying: Saying) -> Result<Said, Failure> {
    let outcome = node.say(saying).await.map_err(gone)?;
    outcome.map_err(|why| refused(&why))
}

fn said(said: Said, notes: Vec<String>) -> Reply {
    Reply::Said(SaidReply {
        roster: said.roster.map(|roster| roster.to_string()),
        epoch: said.epoch,
        notes,
    })
}

pub(super) async fn membership(node: &Node) -> Result<Reply, Failure> {
    view(node).await.map(Reply::Membership)
}

/// Shown once it is durable, so that a crash takes nothing back.
pub(super) async fn view(node: &Node) -> Result<MembershipView, Failure> {
    let view = node.membership().await.map_err(gone)?;
    node.barrier().await.map_err(gone)?;
    Ok(view)
}

pub(super) async fn packet(node: &Node) -> Result<Reply, Failure> {
    let packet = node.packet().await.map_err(gone)?;
    node.barrier().await.map_err(gone)?;
    let packet = packet.map_err(|why| failure(1, format!("no packet was made: {why}"), None))?;
    Ok(Reply::Packet(PacketReply {
        packet: hex::encode(packet.to_bytes()),
    }))
}

pub(super) async fn prepare(
    node: &Node,
    roster: &str,
    round: Option<u32>,
) -> Result<Reply, Failure> {
    let roster: RosterId = roster
        .parse()
        .map_err(|_| usage(format!("\"{roster}\" is no id of a roster")))?;
    // What it prepared since its copy was made, it may have forgotten.
    let recovering = node
        .recovering()
        .map_err(|failed| failure(1, failed.to_string(), None))?;
    if recovering.is_some_and(|recovering| recovering.life_over.is_some()) {
        return Err(failure(
            17,
            "this node was put back from a copy or has one, and may not know all that it prepared",
            Some("begin its new life first: \"watchfire key request --new-incarnation\""),
        ));
    }
    let outcome = say(node, Saying::Prepare { roster, round }).await?;
    Ok(said(outcome, Vec::new()))
}

pub(super) async fn suspend(
    node: &Node,
    member: &str,
    hours: u64,
    reason: String,
) -> Result<Reply, Failure> {
    let saying = Saying::Suspend {
        member: member_of(&node.roster(), member)?.id,
        life_ms: hours.saturating_mul(HOUR_MS),
        reason,
    };
    Ok(said(say(node, saying).await?, Vec::new()))
}

pub(super) async fn bring(node: &Node, frame: Vec<u8>) -> Result<Reply, Failure> {
    brought(node, Saying::Bring { frame }).await
}

pub(super) async fn follow(node: &Node, link: Vec<u8>) -> Result<Reply, Failure> {
    brought(node, Saying::Follow { link }).await
}

async fn brought(node: &Node, saying: Saying) -> Result<Reply, Failure> {
    let outcome = node.say(saying).await.map_err(gone)?;
    let epoch = node.roster().epoch();
    let (outcome, why, later) = match outcome {
        Ok(_) => ("accepted", None, false),
        Err(why) => {
            let (outcome, later) = judged(&why);
            (outcome, Some(why.to_string()), later)
        }
    };
    Ok(Reply::Brought(BroughtReply {
        outcome: outcome.to_owned(),
        why,
        later,
        epoch,
    }))
}

/// What a refusal is to whoever brought something, and whether it may be another
/// one later.
const fn judged(why: &SayingRefusal) -> (&'static str, bool) {
    match why {
        SayingRefusal::NotNews(NotNews::Held)
        | SayingRefusal::Gate(NoticeRefusal::NotHere(RosterError::Superseded)) => ("held", false),
        SayingRefusal::Gate(NoticeRefusal::NotHere(RosterError::NotNext { epoch, held }))
        | SayingRefusal::Roster(RosterError::NotNext { epoch, held }) => {
            if *epoch <= *held {
                ("past", false)
            } else {
                ("refused", true)
            }
        }
        SayingRefusal::NotNews(why) => ("refused", why.passes()),
        SayingRefusal::Gate(NoticeRefusal::NotKnown | NoticeRefusal::NotHere(_)) => {
            ("refused", true)
        }
        SayingRefusal::Gate(_)
        | SayingRefusal::Roster(_)
        | SayingRefusal::Vote(_)
        | SayingRefusal::OtherNode { .. }
        | SayingRefusal::Stale { .. }
        | SayingRefusal::Form(_) => ("refused", false),
    }
}

pub(super) fn member_of<'a>(roster: &'a Roster, slug: &str) -> Result<&'a Member, Failure> {
    roster.member_by_slug(slug).ok_or_else(|| {
        failure(
            14,
            format!("there is no member {slug} in epoch {}", roster.epoch()),
            Some("\"watchfire peer list\" names the members"),
        )
    })
}

pub(super) async fn propose(node: &Node, op: ProposeOp) -> Result<Reply, Failure> {
    let roster = node.roster();
    let mut notes = Vec::new();
    let mut changes = Vec::new();
    for change in op.changes {
        changes.push(change_of(node, &roster, change, &mut notes).await?);
    }
    let saying = Saying::Propose {
        reason: op.reason,
        changes,
    };
    Ok(said(say(node, saying).await?, notes))
}

async fn change_of(
    node: &Node,
    roster: &Roster,
    change: ChangeOp,
    notes: &mut Vec<String>,
) -> Result<Change, Failure> {
    Ok(match change {
        ChangeOp::Admit { card, communities } => {
            let bytes =
                hex::decode(&card).map_err(|_| usage("a card is not in hexadecimal".to_owned()))?;
            let card = card_from_file(&bytes)
                .map_err(|why| failure(18, format!("a card cannot be read: {why}"), None))?;
            Change::Admit {
                card,
                communities: communities_of(&communities)?,
            }
        }
        ChangeOp::Expel { member } => {
            let member = member_of(roster, &member)?;
            Change::Expel {
                member: member.id,
                cuts: cuts_of(node, member, notes).await?,
            }
        }
        ChangeOp::Rekey {
            member,
            root_public,
        } => {
            let member = member_of(roster, &member)?;
            let mut root_key = [0; 32];
            hex::decode_to_slice(&root_public, &mut root_key)
                .map_err(|_| usage("a root key has 64 hexadecimal digits".to_owned()))?;
            Change::Rekey {
                member: member.id,
                root_key,
                cuts: cuts_of(node, member, notes).await?,
            }
        }
        ChangeOp::Settle {
            member,
            role,
            communities,
        } => {
            let member = member_of(roster, &member)?;
            let role = match role {
                Some(role) => role.parse::<Role>().map_err(|why| usage(why.to_string()))?,
                None => member.role,
            };
            Change::Settle {
                member: member.id,
                role,
                communities: communities_of(communities.as_ref().unwrap_or(&member.communities))?,
            }
        }
        ChangeOp::Community { name, rule } => Change::Community {
            name: Text::new(name).map_err(|why| usage(format!("the community: {why}")))?,
            rule: rule_of(roster, rule)?,
        },
    })
}

fn communities_of(names: &[String]) -> Result<Communities, Failure> {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let texts: Result<Vec<_>, _> = sorted.into_iter().map(Text::new).collect();
    texts
        .and_then(List::new)
        .map_err(|why| usage(format!("the communities of a member: {why}")))
}

fn rule_of(roster: &Roster, rule: RuleOp) -> Result<CommunityRule, Failure> {
    Ok(match rule {
        RuleOp::Federation => CommunityRule::Federation,
        RuleOp::Own => CommunityRule::Own,
        RuleOp::Named { members, of } => {
            let mut ids: Vec<MemberId> = members
                .iter()
                .map(|slug| member_of(roster, slug).map(|member| member.id))
                .collect::<Result<_, _>>()?;
            ids.sort_unstable();
            ids.dedup();
            CommunityRule::Named {
                members: List::new(ids)
                    .map_err(|why| usage(format!("the members a rule names: {why}")))?,
                of,
            }
        }
    })
}

/// Up to where a member's streams count: as far as they are held here without
/// gaps. A member cannot keep itself from being expelled by having more streams
/// than fit.
async fn cuts_of(
    node: &Node,
    member: &Member,
    notes: &mut Vec<String>,
) -> Result<List<Cut, CUTS_MAX>, Failure> {
    let ends = node.ends_of_member(member.id).await.map_err(gone)?;
    let count = ends.len();
    let mut cuts: Vec<Cut> = ends.into_iter().take(CUTS_MAX).collect();
    cuts.sort_unstable();
    let envelopes: u64 = cuts.iter().map(|cut| cut.sequence).sum();
    notes.push(format!(
        "of {} what is held here without gaps stays: {envelopes} envelopes in {} streams",
        member.slug,
        cuts.len()
    ));
    if count > CUTS_MAX {
        notes.push(format!(
            "{} has {count} streams and a roster has room for the ends of {CUTS_MAX}: nothing new of the rest counts",
            member.slug
        ));
    }
    List::new(cuts).map_err(|why| failure(1, why.to_string(), None))
}

/// As much of it as a number has room for.
fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

pub(super) async fn members(node: &Node) -> Result<Reply, Failure> {
    let view = view(node).await?;
    let status = node.status().await.map_err(gone)?;
    let roster = node.roster();
    let now_ms = wall_ms();
    let me = node.certificate().node;
    let node_report = |certificate: &Certificate| {
        let id = certificate.node.to_string();
        let alive = view.alives.iter().find(|alive| alive.node == id);
        let trip = status
            .engine
            .peers
            .contains(&certificate.node)
            .then(|| status.round_trips.get(&certificate.node))
            .flatten();
        let left_ms = i128::from(certificate.not_after_ms) - i128::from(now_ms);
        let state = if certificate.node == me {
            "this node"
        } else if status.engine.peers.contains(&certificate.node) {
            "connected"
        } else {
            "away"
        };
        NodeReport {
            state: state.to_owned(),
            serial: certificate.serial,
            incarnation: certificate.incarnation,
            certificate_until: moment(certificate.not_after_ms),
            certificate_days: i64::try_from(left_ms.div_euclid(i128::from(DAY_MS)))
                .unwrap_or(i64::MAX),
            heard: alive.map(|alive| moment(alive.wall_ms)),
            heard_ms_ago: alive.map(|alive| now_ms.saturating_sub(alive.wall_ms)),
            epoch: alive.map(|alive| alive.epoch),
            roster: alive.map(|alive| alive.roster.clone()),
            round_trip_us: trip.map(|trip| whole(trip.took.as_micros())),
            probed_ms_ago: trip.map(|trip| whole(trip.at.elapsed().as_millis())),
            withholding: status
                .engine
                .withheld
                .iter()
                .filter(|withheld| withheld.stream.node == certificate.node)
                .map(|withheld| WithheldView::of(withheld, &roster))
                .collect(),
            node: id,
        }
    };
    let mut members: Vec<MemberReport> = roster
        .members()
        .map(|member| MemberReport {
            slug: member.slug.to_string(),
            member: member.id.to_string(),
            role: member.role.name().to_owned(),
            communities: member.communities.clone(),
            name: member.contact.name.as_str().to_owned(),
            mail: member.contact.mail.as_str().to_owned(),
            duty: DutyReport {
                phone: member.contact.duty.phone.as_str().to_owned(),
                mail: member.contact.duty.mail.as_str().to_owned(),
                hours: member.contact.duty.hours.as_str().to_owned(),
                zone: member.contact.duty.zone.as_str().to_owned(),
            },
            languages: member
                .contact
                .languages
                .iter()
                .map(|tag| tag.as_str().to_owned())
                .collect(),
            pgp: (!member.contact.pgp.is_empty())
                .then(|| hex::encode(member.contact.pgp.as_slice())),
            root_public: hex::encode(member.root_key.as_bytes()),
            addresses: member.addresses.clone(),
            door_addresses: member.door_addresses.clone(),
            card_created: (member.card_created_ms > 0).then(|| moment(member.card_created_ms)),
            suspended: view
                .suspended
                .iter()
                .any(|suspended| suspended == member.slug.as_str()),
            suspended_until: view
                .suspended_until_ms
                .get(member.slug.as_str())
                .map(|until_ms| moment(*until_ms)),
            distrusted: view
                .distrusted
                .iter()
                .find(|distrust| distrust.member == member.slug.as_str())
                .map(|distrust| DistrustReport {
                    since: moment(distrust.since_ms),
                    reason: distrust.reason.clone(),
                }),
            clock_offset_ms: view.clocks_ms.get(member.slug.as_str()).copied(),
            nodes: roster
                .nodes()
                .filter(|certificate| certificate.member == member.id)
                .map(node_report)
                .collect(),
        })
        .collect();
    members.sort_by(|one, other| one.slug.cmp(&other.slug));
    Ok(Reply::Members(MembersReply {
        epoch: roster.epoch(),
        me: roster
            .member(&node.member())
            .map_or_else(|| node.member().short(), |me| me.slug.to_string()),
        wall_ms: now_ms,
        clock_offset_ms: view.clock_offset_ms,
        members,
    }))
}
