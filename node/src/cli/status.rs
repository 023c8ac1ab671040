//! `watchfire status`: how the node is.

use clap::Args;

use super::error::CliError;
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::{Op, Reply};

/// Show how the node is: peers, store, certificate, and what it refused
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire status
  watchfire status --json")]
pub(crate) struct StatusArgs {}

pub(crate) fn run(context: &Context, _args: &StatusArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let Reply::Status(status) = context.connect(TIMEOUT_DEFAULT)?.request(Op::Status, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        return ui.document("status", &status);
    }
    let connected = status
        .peers
        .iter()
        .filter(|peer| peer.state == "connected")
        .count();
    ui.fields(&[
        ("member", format!("{} ({})", status.slug, status.role)),
        ("federation", status.federation),
        ("federation id", status.federation_id),
        ("up for", duration(status.uptime_ms)),
        (
            "peers",
            format!("{connected} of {} connected", status.peers.len()),
        ),
        ("envelopes", status.envelopes.to_string()),
        ("waiting", status.waiting.to_string()),
        ("being fetched", status.pulls.to_string()),
        ("missing here", super::sync::missing(&status.sync)),
        ("certified until", status.certificate_until),
    ])?;
    if !status.listening.is_empty() {
        // Own addresses, which a person may want to copy.
        let text = status.listening.join(" ");
        ui.line(&if ui.for_people() {
            format!("listens on       {text}")
        } else {
            format!("listens on\t{text}")
        })?;
    }
    if ui.for_people() && !status.peers.is_empty() {
        ui.line("")?;
    }
    let peers: Vec<Vec<String>> = status
        .peers
        .iter()
        .map(|peer| vec![peer.slug.clone(), peer.role.clone(), peer.state.clone()])
        .collect();
    ui.rows(Some("peer"), &["PEER", "ROLE", "STATE"], &peers)?;
    let counters: Vec<Vec<String>> = status
        .counters
        .iter()
        .filter(|(_, count)| **count > 0 || ui.verbose())
        .map(|(name, count)| vec![name.clone(), count.to_string()])
        .collect();
    if ui.for_people() && !counters.is_empty() {
        ui.line("")?;
    }
    ui.rows(Some("counter"), &["REFUSED OR DROPPED", "COUNT"], &counters)
}

/// The two largest units: `3 d 4 h`.
fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days} d {hours} h")
    } else if hours > 0 {
        format!("{hours} h {minutes} min")
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(999), "0 s");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(duration(3 * 86_400_000 + 4 * 3_600_000 + 5), "3 d 4 h");
    }
}
