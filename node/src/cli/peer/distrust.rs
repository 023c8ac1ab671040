//! `watchfire peer distrust`: break with a member, here and alone.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::{Op, Reply};

/// Break with a member at once, at this node alone, or end that
///
/// Links to its nodes are closed and none is made; nothing new of it is taken,
/// from it or through others, and nothing is sent to it. What is held of it
/// stays and is marked "distrusted": your own people read it, and no client,
/// export or notice gets it. No other node is told. Its votes and signs of life
/// count as before: who belongs is for all members to decide, see "watchfire
/// roster suspend" and "roster propose --expel". What you publish for everybody
/// can reach it through others. When the distrust ends, the node fetches what
/// it missed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire peer distrust de-cert --reason \"its panel lists are not its own, says their duty desk\"
  watchfire peer distrust de-cert --end")]
pub(crate) struct DistrustArgs {
    /// Slug of the member
    member: String,
    /// Why, for whoever asks at this node, in up to 256 bytes
    #[arg(long, value_name = "TEXT", required_unless_present = "end")]
    reason: Option<String>,
    /// End it, and fetch what was missed
    #[arg(long, conflicts_with = "reason")]
    end: bool,
}

pub(super) fn run(context: &Context, args: &DistrustArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let op = Op::Distrust {
        member: args.member.clone(),
        reason: args.reason.clone(),
    };
    let Reply::Distrust(reply) = context.connect(TIMEOUT_DEFAULT)?.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        return ui.document("peer-distrust", &reply);
    }
    let standing = match &reply.distrusted {
        Some(distrust) => format!("distrusted since {}: {}", distrust.since, distrust.reason),
        None => "trusted".to_owned(),
    };
    ui.fields(&[("member", reply.member.clone()), ("standing", standing)])?;
    if reply.distrusted.is_some() {
        ui.note("note: this node alone does so, and no other is told; see \"watchfire roster suspend\" for the federation");
        ui.note("note: what you publish for everybody can reach it through others");
    } else {
        ui.note("note: what was missed is being fetched; \"watchfire sync status\" shows how far");
    }
    Ok(())
}
