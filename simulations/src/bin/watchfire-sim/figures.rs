//! The figures of one run, as tools get them.

use crate::files::hex;
use serde::Serialize;
use watchfire_simulations::{Failure, Freight, Report, Scenario};

/// A row of the CSV file, and an object of the JSON document. All times are
/// virtual but the last. Columns are added and never taken away.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    /// `ok` or `failed`.
    pub(crate) outcome: &'static str,
    pub(crate) members: u64,
    pub(crate) virtual_ms: u64,
    pub(crate) converged_ms: u64,
    pub(crate) published: u64,
    pub(crate) refused: u64,
    pub(crate) delay_p50_us: u64,
    pub(crate) delay_p99_us: u64,
    pub(crate) crashes: u64,
    pub(crate) crashes_with_loss: u64,
    pub(crate) reconnects: u64,
    pub(crate) not_taken: u64,
    pub(crate) conflicts: u64,
    pub(crate) events: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_per_node: u64,
    /// Of `bytes`, by kind: see [`Freight`].
    pub(crate) gossip_bytes: u64,
    pub(crate) gossip_hostile_bytes: u64,
    pub(crate) request_bytes: u64,
    pub(crate) frontier_bytes: u64,
    pub(crate) range_bytes: u64,
    pub(crate) range_hostile_bytes: u64,
    pub(crate) chunk_bytes: u64,
    pub(crate) other_bytes: u64,
    pub(crate) gossip_notice_bytes: u64,
    pub(crate) notices_bytes: u64,
    pub(crate) store_bytes_max: u64,
    pub(crate) idle_requests_milli: u64,
    pub(crate) queue_max: u64,
    pub(crate) outputs_max: u64,
    /// What came of the membership: see [`watchfire_simulations::Census`].
    pub(crate) epoch: u64,
    pub(crate) admission_first_ms: u64,
    pub(crate) admission_last_ms: u64,
    pub(crate) expulsion_first_ms: u64,
    pub(crate) expulsion_last_ms: u64,
    pub(crate) fresh_minutes: u64,
    pub(crate) stale_minutes: u64,
    pub(crate) parts_stopped: u64,
    pub(crate) part_stop_ms_max: u64,
    pub(crate) part_resume_ms_max: u64,
    pub(crate) forks_seen: u64,
    pub(crate) forks_proven: u64,
    pub(crate) refused_behind: u64,
    pub(crate) suspensions_agreed: u64,
    pub(crate) suspension_ms_max: u64,
    pub(crate) trace_hash: String,
    pub(crate) stores_hash: String,
    /// What failed; empty if nothing did.
    pub(crate) what: String,
    /// The command that plays this run again.
    pub(crate) again: String,
    /// What the run took on the machine that played it.
    pub(crate) wall_ms: u64,
}

impl Figures {
    pub(crate) fn ok(&self) -> bool {
        self.what.is_empty()
    }

    /// A run that ended without anything to tell.
    pub(crate) fn failed(scenario: &Scenario, what: String) -> Self {
        Self {
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            outcome: "failed",
            members: scenario.members as u64,
            what,
            ..Self::default()
        }
    }

    /// A run that did not hold what must always hold.
    pub(crate) fn of_failure(scenario: &Scenario, failure: &Failure) -> Self {
        Self {
            virtual_ms: failure.at_ms,
            trace_hash: failure.trace.to_string(),
            ..Self::failed(scenario, failure.to_string())
        }
    }

    /// A run that came to its end, held against what its scenario expects.
    pub(crate) fn of_report(scenario: &Scenario, report: &Report) -> Self {
        let unmet: Vec<String> = scenario
            .expect
            .unmet(report)
            .iter()
            .map(ToString::to_string)
            .collect();
        let what = if unmet.is_empty() {
            String::new()
        } else {
            format!(
                "{}, seed {}: {}",
                scenario.name,
                scenario.seed,
                unmet.join("; ")
            )
        };
        Self {
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            outcome: if what.is_empty() { "ok" } else { "failed" },
            members: scenario.members as u64,
            virtual_ms: report.virtual_ms,
            converged_ms: report.converged_ms,
            published: report.published as u64,
            refused: report.refused,
            delay_p50_us: report.delay_p50_us,
            delay_p99_us: report.delay_p99_us,
            crashes: report.crashes,
            crashes_with_loss: report.crashes_with_loss,
            reconnects: report.reconnects,
            not_taken: report.not_taken,
            conflicts: report.conflicts as u64,
            events: report.events,
            messages: report.messages,
            bytes: report.bytes,
            bytes_per_node: report.bytes_per_node,
            gossip_bytes: report.account.bytes(Freight::Gossip),
            gossip_hostile_bytes: report.account.bytes(Freight::GossipHostile),
            request_bytes: report.account.bytes(Freight::Request),
            frontier_bytes: report.account.bytes(Freight::Frontier),
            range_bytes: report.account.bytes(Freight::Range),
            range_hostile_bytes: report.account.bytes(Freight::RangeHostile),
            chunk_bytes: report.account.bytes(Freight::Chunk),
            other_bytes: report.account.bytes(Freight::Other),
            gossip_notice_bytes: report.account.bytes(Freight::GossipNotice),
            notices_bytes: report.account.bytes(Freight::Notices),
            store_bytes_max: report.store_bytes_max,
            idle_requests_milli: report.idle_requests_milli,
            queue_max: report.queue_max as u64,
            outputs_max: report.outputs_max as u64,
            epoch: report.census.epoch,
            admission_first_ms: report.census.admission_first_ms,
            admission_last_ms: report.census.admission_last_ms,
            expulsion_first_ms: report.census.expulsion_first_ms,
            expulsion_last_ms: report.census.expulsion_last_ms,
            fresh_minutes: report.census.fresh_minutes,
            stale_minutes: report.census.stale_minutes,
            parts_stopped: report.census.parts_stopped,
            part_stop_ms_max: report.census.part_stop_ms_max,
            part_resume_ms_max: report.census.part_resume_ms_max,
            forks_seen: report.census.forks_seen,
            forks_proven: report.census.forks_proven,
            refused_behind: report.census.refused_behind,
            suspensions_agreed: report.census.suspensions_agreed,
            suspension_ms_max: report.census.suspension_ms_max,
            trace_hash: report.trace.to_string(),
            stores_hash: hex(&report.stores),
            what,
            again: String::new(),
            wall_ms: 0,
        }
    }
}
