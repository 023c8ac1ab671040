//! `watchfire roster show` and `history`: the chain, in words.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use watchfire_protocol::roster::Roster;

use super::chain::EpochView;
use super::{Chain, chain_of, fields_of, named, next_of};
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, Ui, files};
use crate::driver::membership::{ProposalView, describe_rule};

/// Show the present roster, an earlier epoch, or a proposal
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire roster show
  watchfire roster show 2
  watchfire roster show 4f1c90ab77d20e35 --packet epoch-2.packet")]
pub(crate) struct ShowArgs {
    /// Number of an epoch, or the first digits of a roster's or proposal's id [default: the present roster]
    #[arg(value_name = "EPOCH|ID")]
    which: Option<String>,
    /// Look into this packet instead of asking the node
    #[arg(long, value_name = "FILE")]
    packet: Option<PathBuf>,
}

/// Show every epoch: what changed, why, and whose roots signed it
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire roster history
  watchfire roster history --packet epoch-2.packet --json")]
pub(crate) struct HistoryArgs {
    /// Look into this packet instead of asking the node
    #[arg(long, value_name = "FILE")]
    packet: Option<PathBuf>,
}

#[derive(Serialize)]
struct RosterDocument {
    federation: String,
    fingerprint: String,
    epoch: u64,
    id: String,
    members: Vec<MemberLine>,
    communities: Vec<CommunityLine>,
    former: Vec<String>,
}

#[derive(Serialize)]
struct MemberLine {
    slug: String,
    role: &'static str,
    communities: Vec<String>,
    certified_until: Option<String>,
    name: String,
    root_public: String,
}

#[derive(Serialize)]
struct CommunityLine {
    name: String,
    rule: String,
}

pub(super) fn show(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    let chain = chain_of(context, args.packet.as_ref())?;
    let Some(which) = &args.which else {
        return present(&context.ui, &chain.rebuilt.roster);
    };
    if let Ok(epoch) = which.parse::<u64>()
        && which.len() < 8
    {
        return match chain.epochs.iter().find(|view| view.epoch == epoch) {
            Some(view) => of_epoch(&context.ui, view),
            None => Err(not_found(which, &chain)),
        };
    }
    let ids = chain.epochs.iter().map(|view| view.id.as_str());
    if let Some(id) = named(ids, Some(which))? {
        let view = chain.epochs.iter().find(|view| view.id == id);
        return view.map_or_else(
            || Err(not_found(which, &chain)),
            |view| of_epoch(&context.ui, view),
        );
    }
    let candidate = super::candidate(&chain, Some(which)).map_err(|error| {
        if error.code == Code::NotFound {
            not_found(which, &chain)
        } else {
            error
        }
    })?;
    let roster = &chain.rebuilt.roster;
    let view = ProposalView::of(candidate, chain.rebuilt.membership.deliberation(), roster);
    if context.ui.json() {
        return context.ui.document("roster-proposal", &view);
    }
    context
        .ui
        .fields(&fields_of(&view, roster.thresholds().votes()))?;
    for line in next_of(&view) {
        context.ui.note(&line);
    }
    Ok(())
}

fn not_found(which: &str, chain: &Chain) -> CliError {
    CliError::new(
        Code::NotFound,
        format!(
            "there is no epoch, roster or proposal {which}; the chain ends at epoch {}",
            chain.rebuilt.roster.epoch()
        ),
    )
    .hint("see \"watchfire roster history\" and \"watchfire roster status\"")
}

pub(super) fn history(context: &Context, args: &HistoryArgs) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct History<'a> {
        federation: String,
        epochs: &'a [EpochView],
        /// Members who voted twice where one vote may be, as far as it is proven.
        double_voters: Vec<String>,
    }
    let ui = &context.ui;
    let chain = chain_of(context, args.packet.as_ref())?;
    if ui.json() {
        let history = History {
            federation: chain.rebuilt.roster.federation().to_string(),
            epochs: &chain.epochs,
            double_voters: chain.double_voters(),
        };
        return ui.document("roster-history", &history);
    }
    let rows: Vec<Vec<String>> = chain
        .epochs
        .iter()
        .map(|view| {
            vec![
                view.epoch.to_string(),
                view.id.clone(),
                view.created.clone(),
                view.changes.join("; "),
                view.reason.clone(),
                view.signed.join(","),
            ]
        })
        .collect();
    ui.rows(
        Some("epoch"),
        &["EPOCH", "ID", "PROPOSED", "CHANGES", "REASON", "SIGNED BY"],
        &rows,
    )?;
    let named = chain.double_voters();
    if !named.is_empty() {
        ui.note(&format!(
            "note: voted twice where one vote may be, which is proven: {}",
            named.join(", ")
        ));
    }
    Ok(())
}

fn of_epoch(ui: &Ui, view: &EpochView) -> Result<(), CliError> {
    if ui.json() {
        return ui.document("roster-epoch", view);
    }
    let mut fields = vec![
        ("epoch", view.epoch.to_string()),
        ("id", files::grouped(&view.id)),
        ("proposed", view.created.clone()),
    ];
    if let Some(proposer) = &view.proposer {
        fields.push(("proposed by", proposer.clone()));
    }
    fields.push(("reason", view.reason.clone()));
    fields.extend(view.changes.iter().map(|change| ("change", change.clone())));
    if view.round > 0 {
        fields.push(("decided in round", view.round.to_string()));
    }
    fields.push(("signed by", view.signed.join(", ")));
    fields.push(("members then", view.members.join(", ")));
    ui.fields(&fields)
}

fn present(ui: &Ui, roster: &Roster) -> Result<(), CliError> {
    let mut members: Vec<MemberLine> = roster
        .members()
        .map(|member| MemberLine {
            slug: member.slug.to_string(),
            role: member.role.name(),
            communities: member.communities.clone(),
            certified_until: roster
                .nodes()
                .filter(|certificate| certificate.member == member.id)
                .map(|certificate| certificate.not_after_ms)
                .max()
                .map(crate::clock::moment),
            name: member.contact.name.as_str().to_owned(),
            root_public: hex::encode(member.root_key.as_bytes()),
        })
        .collect();
    members.sort_by(|one, other| one.slug.cmp(&other.slug));
    let document = RosterDocument {
        federation: roster.name().to_owned(),
        fingerprint: roster.federation().to_string(),
        epoch: roster.epoch(),
        id: roster.id().to_string(),
        members,
        communities: roster
            .communities()
            .map(|(name, rule)| CommunityLine {
                name: name.to_owned(),
                rule: describe_rule(rule, roster),
            })
            .collect(),
        former: roster
            .former_members()
            .map(|member| member.slug.to_string())
            .collect(),
    };
    if ui.json() {
        return ui.document("roster", &document);
    }
    let thresholds = roster.thresholds();
    ui.fields(&[
        ("federation", document.federation.clone()),
        ("fingerprint", files::grouped(&document.fingerprint)),
        ("epoch", document.epoch.to_string()),
        ("id", files::grouped(&document.id)),
        (
            "members",
            format!(
                "{}, of whom {} may cheat together; {} votes decide",
                thresholds.members(),
                thresholds.faults(),
                thresholds.votes()
            ),
        ),
        ("former members", document.former.join(", ")),
    ])?;
    if ui.for_people() {
        ui.line("")?;
    }
    let rows: Vec<Vec<String>> = document
        .members
        .iter()
        .map(|member| {
            vec![
                member.slug.clone(),
                member.role.to_owned(),
                member.communities.join(","),
                member.certified_until.clone().unwrap_or_default(),
                member.name.clone(),
            ]
        })
        .collect();
    ui.rows(
        Some("member"),
        &["MEMBER", "ROLE", "COMMUNITIES", "CERTIFIED UNTIL", "NAME"],
        &rows,
    )?;
    if ui.for_people() {
        ui.line("")?;
    }
    let rows: Vec<Vec<String>> = document
        .communities
        .iter()
        .map(|community| vec![community.name.clone(), community.rule.clone()])
        .collect();
    ui.rows(Some("community"), &["COMMUNITY", "RULE"], &rows)
}
