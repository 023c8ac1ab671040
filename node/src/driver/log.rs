//! What a node writes to its log of what happens: ids and counts.

use watchfire_protocol::engine::Event;

/// Ids and counts, never contents.
pub(super) fn log(event: &Event) {
    match event {
        Event::Verified { envelope, .. } => {
            tracing::debug!(envelope = %envelope.short(), "verified")
        }
        Event::Stored { envelope, .. } => tracing::debug!(envelope = %envelope.short(), "stored"),
        Event::Searchable {
            bundle, objects, ..
        } => {
            tracing::info!(bundle = %bundle.short(), objects, "searchable");
        }
        // The reason may quote what is inside; only its kind is for a log.
        Event::NotOpened { bundle, why, .. } => {
            tracing::warn!(bundle = %bundle.short(), why = why.name(), "not opened");
        }
        Event::NotTaken { from, why } => tracing::debug!(from = %from.short(), %why, "not taken"),
        Event::Conflict { envelope, .. } => {
            tracing::warn!(envelope = %envelope.short(), "conflict, kept as evidence")
        }
        Event::Epoch { epoch } => tracing::info!(epoch, "roster"),
        Event::CardChanged { member } => tracing::info!(member = %member.short(), "card changed"),
        Event::Revoked { node, .. } => tracing::warn!(node = %node.short(), "node revoked"),
        Event::Suspension { member } => {
            tracing::warn!(member = %member.short(), "suspension changed")
        }
        Event::ForkProven { node, .. } => {
            tracing::error!(node = %node.short(), "two envelopes for one place, proven")
        }
        Event::DoubleVote { member } => {
            tracing::error!(member = %member.short(), "two votes where one may be, proven")
        }
        Event::PeerReady { node } => tracing::info!(node = %node.short(), "peer ready"),
        Event::Admitted { certificate, .. } => {
            tracing::info!(certificate = %certificate.short(), "certificate admitted");
        }
    }
}
