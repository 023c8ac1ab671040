//! What a node holds about membership, as people and tools read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchfire_protocol::engine::Engine;
use watchfire_protocol::ids::MemberId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::membership::{Candidate, Deliberation};
use watchfire_protocol::roster::{Roster, Step};
use watchfire_protocol::store::Store;
use watchfire_protocol::time::Now;
use watchfire_protocol::wire::card::Card;
use watchfire_protocol::wire::roster::{Change, CommunityRule};

/// Membership as it stands here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembershipView {
    /// The roster's number.
    pub epoch: u64,
    /// Its id; of epoch 0 the federation's.
    pub roster: String,
    /// How many members it has.
    pub members: usize,
    /// How many of them may lie or fail together.
    pub faults: usize,
    /// How many votes decide.
    pub votes_needed: usize,
    /// How many members must have been heard of lately.
    pub heard_needed: usize,
    /// How fresh this node's roster is, by marking.
    pub freshness: Vec<FreshnessView>,
    /// How far this node's clock is from the federation's, in milliseconds;
    /// absent where too few were heard.
    pub clock_offset_ms: Option<i64>,
    /// Rosters that are proposed.
    pub proposals: Vec<ProposalView>,
    /// Who suspends whom.
    pub suspensions: Vec<SuspensionView>,
    /// Members who are suspended now.
    pub suspended: Vec<String>,
    /// Until when they are, in milliseconds UTC.
    #[serde(default)]
    pub suspended_until_ms: BTreeMap<String, u64>,
    /// Members whom this node distrusts. No other node knows.
    #[serde(default)]
    pub distrusted: Vec<DistrustView>,
    /// How far each member's clock was from this node's when it was last heard, in
    /// milliseconds.
    #[serde(default)]
    pub clocks_ms: BTreeMap<String, i64>,
    /// Members who voted twice where one vote may be.
    pub double_voters: Vec<String>,
    /// Nodes that signed two envelopes for one place.
    pub forked: Vec<String>,
    /// The newest sign of life of each node.
    #[serde(default)]
    pub alives: Vec<AliveView>,
}

/// A member whom this node distrusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistrustView {
    /// Whom.
    pub member: String,
    /// Since when, in milliseconds UTC.
    pub since_ms: u64,
    /// Why.
    pub reason: String,
}

/// A sign of life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AliveView {
    /// Whose.
    pub member: String,
    /// Of which node.
    pub node: String,
    /// The number of the roster it holds.
    pub epoch: u64,
    /// The id of that roster.
    pub roster: String,
    /// When it was made, by its maker's clock, in milliseconds UTC.
    pub wall_ms: u64,
}

/// How fresh the roster is for one marking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FreshnessView {
    /// TLP label.
    pub marking: String,
    /// Members heard of, this one included.
    pub heard: usize,
    /// Whether they are enough.
    pub is_fresh: bool,
}

/// A roster that is proposed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProposalView {
    /// Its id.
    pub id: String,
    /// Its number.
    pub epoch: u64,
    /// Who proposed it.
    pub proposer: String,
    /// When, in milliseconds UTC.
    pub created_ms: u64,
    /// Why.
    pub reason: String,
    /// What changes, a line each.
    pub changes: Vec<String>,
    /// Members it would have.
    pub members: usize,
    /// The round that votes are in.
    pub round: u32,
    /// Who prepared it in that round.
    pub prepared: Vec<String>,
    /// Who committed it in that round.
    pub committed: Vec<String>,
    /// Members who have done neither in that round.
    pub missing: Vec<String>,
    /// What it lacks to be decided.
    pub lacks: Vec<String>,
    /// Whose new root has not signed it: nobody may prepare it before.
    #[serde(default)]
    pub to_consent: Vec<String>,
    /// Members who have not prepared it in that round.
    #[serde(default)]
    pub to_prepare: Vec<String>,
    /// Members whose root has not committed it in that round.
    #[serde(default)]
    pub to_commit: Vec<String>,
    /// What happens next: `consent`, `prepare`, `commit` or `nothing`.
    #[serde(default)]
    pub next: String,
}

/// One member's part in suspending another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SuspensionView {
    /// Whose.
    pub by: String,
    /// Whom.
    pub of: String,
    /// Until when, in milliseconds UTC.
    pub until_ms: u64,
    /// Why.
    pub reason: String,
}

impl MembershipView {
    /// As an engine holds it.
    pub(crate) fn of<S: Store>(engine: &Engine<S>, now: Now) -> Self {
        let roster = engine.roster();
        let membership = engine.membership();
        let me = engine.me().member;
        let thresholds = roster.thresholds();
        let freshness = [Marking::Green, Marking::Amber, Marking::Red]
            .into_iter()
            .map(|marking| {
                let fresh = membership.alives().freshness(
                    &roster,
                    membership.suspensions(),
                    engine.me(),
                    now,
                    marking,
                );
                FreshnessView {
                    marking: marking.to_string(),
                    heard: fresh.heard,
                    is_fresh: fresh.is_fresh(),
                }
            })
            .collect();
        let slug = |member: &MemberId| slug_of(&roster, member);
        let deliberation = membership.deliberation();
        Self {
            epoch: roster.epoch(),
            roster: roster.id().to_string(),
            members: thresholds.members(),
            faults: thresholds.faults(),
            votes_needed: thresholds.votes(),
            heard_needed: thresholds.heard(),
            freshness,
            clock_offset_ms: membership
                .alives()
                .clock_offset(&roster, now, &me)
                .map(|offset| offset.ms),
            proposals: deliberation
                .candidates()
                .map(|candidate| ProposalView::of(candidate, deliberation, &roster))
                .collect(),
            suspensions: membership
                .suspensions()
                .all()
                .filter(|(_, said)| said.counts_at(now.wall_ms))
                .map(|(by, said)| SuspensionView {
                    by: slug(by),
                    of: slug(&said.member),
                    until_ms: said.until_ms,
                    reason: said.reason.as_str().to_owned(),
                })
                .collect(),
            suspended: sorted(
                roster
                    .members()
                    .filter(|member| {
                        membership
                            .suspensions()
                            .is_suspended(&roster, &member.id, now.wall_ms)
                    })
                    .map(|member| member.slug.to_string())
                    .collect(),
            ),
            suspended_until_ms: roster
                .members()
                .filter_map(|member| {
                    let suspensions = membership.suspensions();
                    let until_ms = suspensions.until(&roster, &member.id, now.wall_ms)?;
                    Some((member.slug.to_string(), until_ms))
                })
                .collect(),
            distrusted: engine
                .distrusted()
                .iter()
                .map(|(member, distrust)| DistrustView {
                    member: slug(member),
                    since_ms: distrust.since_ms,
                    reason: distrust.reason.as_str().to_owned(),
                })
                .collect(),
            clocks_ms: roster
                .members()
                .filter_map(|member| {
                    let offset_ms = membership.alives().offset_of(now, &member.id)?;
                    Some((member.slug.to_string(), offset_ms))
                })
                .collect(),
            double_voters: sorted(membership.double_voters().iter().map(slug).collect()),
            forked: membership
                .forks()
                .iter()
                .map(|((node, _), _)| node.to_string())
                .collect(),
            alives: membership
                .alives()
                .all()
                .map(|(node, member, said)| AliveView {
                    member: slug(member),
                    node: node.to_string(),
                    epoch: said.epoch,
                    roster: said.roster.to_string(),
                    wall_ms: said.wall_ms,
                })
                .collect(),
        }
    }
}

impl ProposalView {
    /// As a deliberation has it.
    pub(crate) fn of(candidate: &Candidate, about: &Deliberation, roster: &Roster) -> Self {
        let said = candidate.successor.statement();
        let id = candidate.successor.id();
        let round = about.ballot().round(roster.thresholds());
        let voters =
            |step| -> Vec<MemberId> { about.ballot().voters(step, round, &id).copied().collect() };
        let (prepared, committed) = (voters(Step::Prepare), voters(Step::Commit));
        let slugs =
            |members: &[MemberId]| sorted(members.iter().map(|id| slug_of(roster, id)).collect());
        let all_but = |members: &[MemberId]| {
            let others = roster
                .members()
                .filter(|member| !members.contains(&member.id));
            sorted(others.map(|member| member.slug.to_string()).collect())
        };
        let consents = candidate.consents();
        let to_consent: Vec<String> = candidate
            .successor
            .new_roots()
            .difference(&consents)
            .map(|key| {
                candidate
                    .successor
                    .would_be()
                    .member_of_root(key)
                    .map_or_else(String::new, |member| member.slug.to_string())
            })
            .collect();
        let lacks = about.lacks(candidate, round);
        let votes = roster.thresholds().votes();
        let next = if !to_consent.is_empty() {
            "consent"
        } else if prepared.len() < votes {
            "prepare"
        } else if lacks.is_empty() {
            "nothing"
        } else {
            "commit"
        };
        Self {
            to_consent,
            to_prepare: all_but(&prepared),
            to_commit: all_but(&committed),
            next: next.to_owned(),
            id: id.to_string(),
            epoch: said.epoch,
            proposer: slug_of(roster, &said.proposer),
            created_ms: said.created_ms,
            reason: said.reason.as_str().to_owned(),
            changes: said
                .changes
                .iter()
                .map(|change| describe(change, roster))
                .collect(),
            members: candidate.successor.would_be().members().count(),
            round,
            missing: all_but(&[prepared.as_slice(), committed.as_slice()].concat()),
            prepared: slugs(&prepared),
            committed: slugs(&committed),
            lacks: lacks.iter().map(ToString::to_string).collect(),
        }
    }
}

/// As people look for them.
fn sorted(mut slugs: Vec<String>) -> Vec<String> {
    slugs.sort_unstable();
    slugs
}

pub(crate) fn slug_of(roster: &Roster, member: &MemberId) -> String {
    roster
        .present_or_former(member)
        .map_or_else(|| member.short(), |member| member.slug.to_string())
}

/// A change, as a person would say it.
pub fn describe(change: &Change, roster: &Roster) -> String {
    let slug = |member: &MemberId| slug_of(roster, member);
    match change {
        Change::Admit { card, communities } => {
            let card = card.to_signed::<Card>();
            match card.claims() {
                Ok(card) => {
                    let name = card.contact.name.as_str();
                    format!(
                        "admit {} ({}{}), communities: {}",
                        card.slug,
                        if name.is_empty() {
                            String::new()
                        } else {
                            format!("{name}, ")
                        },
                        card.role.name(),
                        names(communities.iter().map(|name| name.as_str())),
                    )
                }
                Err(_) => "admit somebody whose card cannot be read".to_owned(),
            }
        }
        Change::Expel { member, cuts } => {
            format!("expel {}, {} streams are cut", slug(member), cuts.len())
        }
        Change::Rekey { member, .. } => format!("give {} a new root key", slug(member)),
        Change::Settle {
            member,
            role,
            communities,
        } => format!(
            "settle {} as {}, communities: {}",
            slug(member),
            role.name(),
            names(communities.iter().map(|name| name.as_str())),
        ),
        Change::Community { name, rule } => {
            let name = name.as_str();
            let verb = if roster.communities().any(|(known, _)| known == name) {
                "change the rule of the community"
            } else {
                "begin the community"
            };
            format!("{verb} {name}: {}", describe_rule(rule, roster))
        }
    }
}

/// Who may change a community, as a person would say it.
pub fn describe_rule(rule: &CommunityRule, roster: &Roster) -> String {
    match rule {
        CommunityRule::Federation => "the federation decides who belongs to it".to_owned(),
        CommunityRule::Own => "its own members decide, too, who belongs to it".to_owned(),
        CommunityRule::Named { members, of } => format!(
            "{of} of {} decide, too, who belongs to it",
            names(
                members
                    .iter()
                    .map(|member| slug_of(roster, member))
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str)
            )
        ),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
