//! What a scenario expects of its report, beside what always must hold.

use crate::world::Report;
use core::fmt;

/// Bounds of a report; none where nothing is expected. No leak, convergence,
/// nothing lost and no blame among the honest are not here: they are checked
/// in every run and cannot be switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// Publications that are acknowledged, at least.
    pub published_min: Option<u64>,
    /// Publications above CLEAR that are refused, exactly.
    pub refused: Option<u64>,
    /// Power cuts that happen, at least.
    pub crashes_min: Option<u64>,
    /// Power cuts that took writes with them which were not flushed, at least.
    pub crashes_with_loss_min: Option<u64>,
    /// Envelopes kept as evidence, over all hosts, at least.
    pub conflicts_min: Option<u64>,
    /// The same, at most.
    pub conflicts_max: Option<u64>,
    /// Frames that are not taken, second copies aside, at least: that what is
    /// bad was seen at all.
    pub not_taken_min: Option<u64>,
    /// Links that an engine wants dialled again, at least.
    pub reconnects_min: Option<u64>,
    /// Median from acknowledgement to searchable elsewhere, in milliseconds.
    pub delay_p50_ms_max: Option<u64>,
    /// The same, one in a hundred is slower.
    pub delay_p99_ms_max: Option<u64>,
    /// Requests of each honest host to each other in the quiet at the end, in
    /// thousandths a second.
    pub idle_requests_milli_max: Option<u64>,
    /// Bytes put on links for each member.
    pub bytes_per_node_max: Option<u64>,
    /// The largest store of an honest member, in bytes of keys and values.
    pub store_bytes_max: Option<u64>,
    /// Outputs of one step of an engine.
    pub outputs_max: Option<u64>,
    /// The number of the last roster, exactly.
    pub epochs: Option<u64>,
    /// From the proposal of an admission to decided at the last node, in
    /// milliseconds.
    pub admission_ms_max: Option<u64>,
    /// The same of an expulsion.
    pub expulsion_ms_max: Option<u64>,
    /// Parts with too few members that stop being fresh for AMBER, at least.
    pub parts_stopped_min: Option<u64>,
    /// How long after the cut healed the last of them is fresh again, in
    /// milliseconds.
    pub resume_ms_max: Option<u64>,
    /// Members that contradicted themselves and of whom somebody holds it,
    /// exactly.
    pub forks_seen: Option<u64>,
    /// Members of whom a proof of that was told, at least.
    pub forks_proven_min: Option<u64>,
    /// Suspensions that every node counts at once, at least.
    pub suspensions_agreed_min: Option<u64>,
}

/// A bound that a report does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The key of the bound, as a scenario file names it.
    pub key: &'static str,
    /// The bound.
    pub bound: u64,
    /// What came.
    pub found: u64,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, bound, found } = self;
        write!(f, "expected {key} = {bound}, found {found}")
    }
}

/// Which way a bound holds.
#[derive(Clone, Copy)]
enum Side {
    Least,
    Most,
    Exactly,
}

impl Expect {
    /// The bounds that the first piece of a run must keep as well: what may
    /// come at most. What must come at least comes only in a whole run.
    #[must_use]
    pub const fn of_a_piece(self) -> Self {
        Self {
            published_min: None,
            refused: None,
            crashes_min: None,
            crashes_with_loss_min: None,
            conflicts_min: None,
            not_taken_min: None,
            reconnects_min: None,
            epochs: None,
            parts_stopped_min: None,
            forks_seen: None,
            forks_proven_min: None,
            suspensions_agreed_min: None,
            ..self
        }
    }

    /// Every bound that the report does not keep.
    pub fn unmet(&self, report: &Report) -> Vec<Unmet> {
        use Side::{Exactly, Least, Most};
        let published = report.published as u64;
        let conflicts = report.conflicts as u64;
        let (p50_ms, p99_ms) = (
            report.delay_p50_us.div_ceil(1_000),
            report.delay_p99_us.div_ceil(1_000),
        );
        let rows = [
            ("published_min", Least, self.published_min, published),
            ("refused", Exactly, self.refused, report.refused),
            ("crashes_min", Least, self.crashes_min, report.crashes),
            (
                "crashes_with_loss_min",
                Least,
                self.crashes_with_loss_min,
                report.crashes_with_loss,
            ),
            ("conflicts_min", Least, self.conflicts_min, conflicts),
            ("conflicts_max", Most, self.conflicts_max, conflicts),
            ("not_taken_min", Least, self.not_taken_min, report.not_taken),
            (
                "reconnects_min",
                Least,
                self.reconnects_min,
                report.reconnects,
            ),
            ("delay_p50_max", Most, self.delay_p50_ms_max, p50_ms),
            ("delay_p99_max", Most, self.delay_p99_ms_max, p99_ms),
            (
                "idle_requests_milli_max",
                Most,
                self.idle_requests_milli_max,
                report.idle_requests_milli,
            ),
            (
                "bytes_per_node_max",
                Most,
                self.bytes_per_node_max,
                report.bytes_per_node,
            ),
            (
                "store_bytes_max",
                Most,
                self.store_bytes_max,
                report.store_bytes_max,
            ),
            (
                "outputs_max",
                Most,
                self.outputs_max,
                report.outputs_max as u64,
            ),
        ];
        let census = &report.census;
        let of_members = [
            ("epochs", Exactly, self.epochs, census.epoch),
            (
                "admission_max",
                Most,
                self.admission_ms_max,
                census.admission_last_ms,
            ),
            (
                "expulsion_max",
                Most,
                self.expulsion_ms_max,
                census.expulsion_last_ms,
            ),
            (
                "parts_stopped_min",
                Least,
                self.parts_stopped_min,
                census.parts_stopped,
            ),
            (
                "resume_max",
                Most,
                self.resume_ms_max,
                census.part_resume_ms_max,
            ),
            ("forks_seen", Exactly, self.forks_seen, census.forks_seen),
            (
                "forks_proven_min",
                Least,
                self.forks_proven_min,
                census.forks_proven,
            ),
            (
                "suspensions_agreed_min",
                Least,
                self.suspensions_agreed_min,
                census.suspensions_agreed,
            ),
        ];
        rows.into_iter()
            .chain(of_members)
            .filter_map(|(key, side, bound, found)| {
                let bound = bound?;
                let holds = match side {
                    Least => found >= bound,
                    Most => found <= bound,
                    Exactly => found == bound,
                };
                (!holds).then_some(Unmet { key, bound, found })
            })
            .collect()
    }
}
