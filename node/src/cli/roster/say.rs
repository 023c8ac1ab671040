//! `watchfire roster prepare` and `suspend`: what this member's node signs.

use clap::Args;

use super::{named, next_of, not_proposed};
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, TIMEOUT_DEFAULT};
use crate::control::client::{ControlClient, ControlError};
use crate::control::governance::SaidReply;
use crate::control::{Op, Reply};
use crate::driver::membership::MembershipView;

/// Say that this member would sign a proposed roster if enough others would
///
/// Look at it with "roster show" first. A node prepares one roster in a round;
/// where a round is split, members agree on the next one.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire roster prepare 4f1c90ab77d20e35
  watchfire roster prepare 4f1c90ab77d20e35 --round 2")]
pub(crate) struct PrepareArgs {
    /// Id of the proposal, or its first digits [default: the only one]
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Round [default: the present one]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    round: Option<u32>,
}

/// Say that a member should be suspended, for at most 72 hours
///
/// It is suspended while more members say so than may cheat together. It ends
/// by itself; meanwhile propose to expel, or say it again.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire roster suspend xk-cert --reason \"their node publishes what it did not sign\"
  watchfire roster suspend xk-cert --withdraw")]
pub(crate) struct SuspendArgs {
    /// Slug of the member
    member: String,
    /// Why, for the people of the others
    #[arg(
        long,
        value_name = "TEXT",
        required_unless_present = "withdraw",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// For how many hours
    #[arg(long, default_value_t = 72, value_parser = clap::value_parser!(u64).range(1..=72))]
    hours: u64,
    /// Take it back
    #[arg(long, conflicts_with = "hours")]
    withdraw: bool,
}

pub(super) fn prepare(context: &Context, args: &PrepareArgs) -> Result<(), CliError> {
    let mut node = context.connect(TIMEOUT_DEFAULT)?;
    let view = membership(&mut node)?;
    let ids = view.proposals.iter().map(|proposal| proposal.id.as_str());
    let id = named(ids, args.id.as_deref())?
        .ok_or_else(|| not_proposed(args.id.as_deref()))?
        .to_owned();
    let op = Op::Prepare {
        roster: id.clone(),
        round: args.round,
    };
    said(context, &mut node, op, "roster-prepare")?;
    let after = membership(&mut node)?;
    if let Some(proposal) = after.proposals.iter().find(|proposal| proposal.id == id) {
        for line in next_of(proposal) {
            context.ui.note(&line);
        }
    }
    Ok(())
}

pub(super) fn suspend(context: &Context, args: &SuspendArgs) -> Result<(), CliError> {
    let mut node = context.connect(TIMEOUT_DEFAULT)?;
    let op = Op::Suspend {
        member: args.member.clone(),
        hours: if args.withdraw { 0 } else { args.hours },
        reason: args.reason.clone(),
    };
    said(context, &mut node, op, "roster-suspend")?;
    let view = membership(&mut node)?;
    let who: Vec<&str> = view
        .suspensions
        .iter()
        .filter(|one| one.of == args.member)
        .map(|one| one.by.as_str())
        .collect();
    let is_suspended = view.suspended.contains(&args.member);
    context.ui.note(&format!(
        "note: {} member(s) of the {} it takes say so; {} is {}",
        who.len(),
        view.faults + 1,
        args.member,
        if is_suspended {
            "suspended"
        } else {
            "not suspended"
        }
    ));
    Ok(())
}

/// What the node holds about membership.
pub(super) fn membership(node: &mut ControlClient) -> Result<MembershipView, CliError> {
    let Reply::Membership(view) = node.request(Op::Membership, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    Ok(view)
}

/// Has the node say something, and prints what it said.
pub(super) fn said(
    context: &Context,
    node: &mut ControlClient,
    op: Op,
    command: &str,
) -> Result<SaidReply, CliError> {
    let ui = &context.ui;
    let Reply::Said(reply) = node.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        ui.document(command, &reply)?;
        return Ok(reply);
    }
    let mut fields = Vec::new();
    if let Some(roster) = &reply.roster {
        fields.push(("roster", roster.clone()));
    }
    fields.push(("epoch here", reply.epoch.to_string()));
    ui.fields(&fields)?;
    for note in &reply.notes {
        ui.note(&format!("note: {note}"));
    }
    Ok(reply)
}

impl From<crate::votes::VotesError> for CliError {
    fn from(error: crate::votes::VotesError) -> Self {
        use crate::votes::VotesError;
        match error {
            VotesError::File(error) => error.into(),
            VotesError::Damaged { .. } => Self::of(Code::Verification, &error),
            VotesError::Busy => Self::of(Code::InUse, &error),
            VotesError::Lock { .. } => Self::of(Code::Failure, &error),
            VotesError::OtherRoot { .. }
            | VotesError::Second { .. }
            | VotesError::Earlier { .. }
            | VotesError::Another { .. } => Self::of(Code::NotAllowed, &error),
        }
    }
}
