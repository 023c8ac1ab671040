//! `watchfire sync`: fetching what was missed, and how far that is.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::error::{CliError, Code};
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::{Op, Reply, SyncView};

/// Fetch what this node missed, or show how far that is
#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    Now(NowArgs),
    Status(SyncStatusArgs),
}

/// Look at every connected peer now, and wait until nothing is missing
///
/// A node does this by itself, every 15 seconds and whenever it meets a peer.
/// This does it at once and says when it is done. It ends with code 3 when
/// something is still missing: because its author has published more than one
/// node may at a time, which goes on by itself, or because whoever holds it does
/// not give it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire sync now
  watchfire sync now --timeout 600 --json")]
pub(crate) struct NowArgs {}

/// Show what peers hold and is missing here
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire sync status
  watchfire sync status --json")]
pub(crate) struct SyncStatusArgs {}

/// How often a person is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(250);

pub(crate) fn run(context: &Context, command: &SyncCommand) -> Result<(), CliError> {
    match command {
        SyncCommand::Now(_) => now(context),
        SyncCommand::Status(_) => status(context),
    }
}

fn now(context: &Context) -> Result<(), CliError> {
    let ui = &context.ui;
    let mut node = context.connect(PATIENCE)?;
    let progress = ui.progress("asking peers");
    let sync = node.send(Op::Sync, &[])?;
    let view = loop {
        node.send(Op::Status, &[])?;
        let answer = node.receive()?;
        match (answer.id == sync, answer.ok, answer.error) {
            (true, Some(Reply::Synced(view)), _) => break view,
            (false, Some(Reply::Status(status)), _) => progress.now(&missing(&status.sync)),
            (_, _, Some(failure)) => return Err(ControlError::Failed(failure).into()),
            (_, _, None) => return Err(ControlError::Unexpected.into()),
        }
        std::thread::sleep(TELL_EVERY);
    };
    drop(progress);
    show(context, "sync", &view)?;
    if view.connected == 0 {
        return Err(CliError::new(
            Code::Unreachable,
            "no peer is connected, so nobody was asked",
        )
        .hint("see \"watchfire status\" and the addresses in the members' cards"));
    }
    if view.missing == 0 && view.ahead == 0 {
        return Ok(());
    }
    Err(CliError::new(
        Code::Partial,
        format!("not all of it is here: {}", missing(&view)),
    )
    .hint("it goes on by itself; see \"watchfire sync status\""))
}

/// How long a sync may go without an answer when `--timeout` does not say.
const PATIENCE: Duration = Duration::from_secs(600);

fn status(context: &Context) -> Result<(), CliError> {
    let Reply::Status(status) = context.connect(TIMEOUT_DEFAULT)?.request(Op::Status, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    show(context, "sync", &status.sync)
}

fn show(context: &Context, name: &str, view: &SyncView) -> Result<(), CliError> {
    let ui = &context.ui;
    if ui.json() {
        return ui.document(name, view);
    }
    ui.fields(&[
        ("peers connected", view.connected.to_string()),
        ("ahead of us", view.ahead.to_string()),
        ("missing here", missing(view)),
        ("under way", view.under_way.to_string()),
        ("damaged here", view.lost.to_string()),
    ])
}

/// One line for people.
pub(super) fn missing(view: &SyncView) -> String {
    if view.missing == 0 {
        return "nothing".to_owned();
    }
    let mut text = format!("{} envelopes in {} streams", view.missing, view.streams);
    if view.deferred > 0 {
        text.push_str(&format!(
            ", {} of the streams waiting for a quota or a free holder",
            view.deferred
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_missing_and_why() {
        let mut view = SyncView::default();
        assert_eq!(missing(&view), "nothing");
        view.missing = 12;
        view.streams = 2;
        assert_eq!(missing(&view), "12 envelopes in 2 streams");
        view.deferred = 1;
        assert_eq!(
            missing(&view),
            "12 envelopes in 2 streams, 1 of the streams waiting for a quota or a free holder"
        );
    }
}
