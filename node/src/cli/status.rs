//! `watchfire status`: how the node is.

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::store::bytes_text;
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::{Op, RecoveringView, Reply, StatusReply, StoreView};
use crate::disk;

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
    let free = context
        .home()
        .ok()
        .and_then(|home| disk::space::free_bytes(home.path()));
    if ui.json() {
        let document = Document {
            status: &status,
            free_bytes: free,
        };
        return ui.document("status", &document);
    }
    let doubts = doubts(&status);
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
        ("store", space(&status.store, free)),
    ])?;
    ui.fields(&troubles(&status.store))?;
    ui.fields(&doubts)?;
    if !status.distrusted.is_empty() {
        ui.fields(&[("distrusted", status.distrusted.join(", "))])?;
    }
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

/// What the node says, and what is seen from here.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    status: &'a StatusReply,
    /// Bytes that may still be written where the data directory is.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
}

/// `12.0 MiB, 3.1 GiB free`.
fn space(store: &StoreView, free: Option<u64>) -> String {
    let free = free.map_or_else(|| "unknown".to_owned(), bytes_text);
    format!("{}, {free} free", bytes_text(store.used_bytes))
}

/// What a person should do something about, or at least know.
fn troubles(store: &StoreView) -> Vec<(&'static str, String)> {
    let mut troubles = Vec::new();
    if let Some(RecoveringView {
        held,
        published,
        why,
        life_over: _,
    }) = &store.recovering
    {
        let of = published.map_or_else(
            || "an unknown number of".to_owned(),
            |published| published.to_string(),
        );
        let text = if let Some(why) = why {
            format!(
                "publishing is refused: {why}; it needs a new life, see \"watchfire key request --new-incarnation\"; {held} of its own envelopes are here"
            )
        } else {
            format!(
                "publishing is refused: this node's own stream is being fetched back, {held} of {of} envelopes are here"
            )
        };
        troubles.push(("recovering", text));
    }
    troubles.extend(store.happened.iter().map(|one| ("warning", one.clone())));
    troubles.extend(
        store
            .set_aside
            .iter()
            .map(|aside| ("set aside", format!("{}: {}", aside.path, aside.why))),
    );
    troubles
}

/// What makes this node, or another, less believable than it ought to be.
fn doubts(status: &StatusReply) -> Vec<(&'static str, String)> {
    let jump = status.clock_jump_ms.map(|ms| {
        let side = if ms < 0 { "back" } else { "ahead" };
        let text = format!(
            "the clock jumped by {} {side}: nobody counts as fresh until heard of again, and nothing is destroyed for an hour; check that it is right",
            duration(ms.unsigned_abs())
        );
        ("clock", text)
    });
    let withheld = status.withholding.iter().map(|withheld| {
        let text = format!("{}: {}", withheld.member, withheld.told());
        ("withholding", text)
    });
    jump.into_iter().chain(withheld).collect()
}

/// The two largest units: `3 d 4 h`.
pub(super) fn duration(ms: u64) -> String {
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
