//! What the story comes to, computed from the stores and not from what the
//! nodes say.

mod traces;

use std::collections::BTreeSet;

use serde::Serialize;
use watchfire_protocol::ids::BundleId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::policy::{Action, Membership, Peer, Reader, Standing, Subject, decide};
use watchfire_protocol::query::{Asker, Query};
use watchfire_protocol::table::Outcome;

use super::DemoError;
use super::cast::{Cast, Player};
use super::outsider::Outsider;
use crate::clock::wall_ms;
pub(crate) use traces::{Expected, entries};
use traces::{Search, Traces};

/// The summary of a demonstration.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) members: Vec<MemberLine>,
    pub(crate) bundles: Vec<BundleLine>,
    pub(crate) latencies_ms: Latencies,
    pub(crate) leaks: u64,
    /// What the search for leaks did not see although it is there: then its
    /// count means nothing.
    #[serde(skip)]
    pub(crate) overlooked: Vec<String>,
}

/// Who played.
#[derive(Debug, Serialize)]
pub(crate) struct MemberLine {
    pub(crate) slug: String,
    pub(crate) role: &'static str,
}

/// What became of a bundle.
#[derive(Debug, Serialize)]
pub(crate) struct BundleLine {
    pub(crate) id: String,
    pub(crate) marking: String,
    pub(crate) author: String,
    pub(crate) holds: Vec<String>,
    pub(crate) opened: Vec<String>,
    pub(crate) refused: Vec<RefusedLine>,
}

/// Who did not get it, and why.
#[derive(Debug, Serialize)]
pub(crate) struct RefusedLine {
    pub(crate) member: String,
    pub(crate) rule: &'static str,
}

/// From handing STIX to the author's node until another node verified it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latencies {
    /// Of latencies in microseconds, by nearest rank.
    pub(crate) fn of(mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        let rank = |percent: usize| {
            let at = (micros.len() * percent).div_ceil(100).saturating_sub(1);
            // Microseconds of a demonstration are far below 2^52.
            micros.get(at).map_or(0.0, |micros| {
                u32::try_from(*micros).map_or(f64::MAX, f64::from) / 1_000.0
            })
        };
        Self {
            p50: rank(50),
            p99: rank(99),
            max: rank(100),
        }
    }
}

/// A bundle that was published, as the story knows it.
pub(crate) struct Told {
    pub(crate) bundle: BundleId,
    pub(crate) marking: Marking,
    pub(crate) author: String,
}

/// What one store holds of the story, and beyond it.
struct Held {
    holds: BTreeSet<BundleId>,
    opened: BTreeSet<BundleId>,
    leaks: u64,
    traces: Traces,
}

fn look_into(player: &Player, told: &[Told], search: &Search<'_>) -> Result<Held, DemoError> {
    let store = &**player.node.store();
    let roster = player.node.roster();
    let asker = Asker {
        reader: Reader::LocalPerson,
        roster: &roster,
        wall_ms: wall_ms(),
    };
    let query = Query::new(store, asker);
    let traces = search.through(store, &roster);
    let traces = traces.map_err(|error| DemoError::made("a look into a store", &error))?;
    let mut held = Held {
        holds: BTreeSet::new(),
        opened: BTreeSet::new(),
        leaks: traces.leaks,
        traces,
    };
    let mut from = 0;
    loop {
        let page = query
            .bundles(from, 1_000)
            .map_err(|error| DemoError::made("a look into a store", &error))?;
        let Some((last, _)) = page.last() else {
            return Ok(held);
        };
        from = last + 1;
        for (_, record) in page {
            let record = record.into_inner();
            let known = told.iter().find(|told| told.bundle == record.bundle);
            // Above CLEAR nothing may be anywhere. What was not published in
            // the story is counted in the log.
            if record.statement.marking != Marking::Clear && known.is_some() {
                held.leaks += 1;
            }
            held.holds.insert(record.bundle);
            if matches!(record.outcome, Some(Outcome::Opened { .. })) {
                held.opened.insert(record.bundle);
            }
        }
    }
}

/// What the search should have seen in a store and did not.
fn overlooked(slug: &str, traces: &Traces, expected: &[Expected]) -> Vec<String> {
    let sight = [("payload", &traces.read), ("index", &traces.indexed)];
    let missing = sight.iter().flat_map(|(what, seen)| {
        expected
            .iter()
            .filter(|known| !seen.contains(&known.bundle))
            .map(move |known| {
                format!(
                    "the search for leaks at {slug} does not see the {what} of {}",
                    known.bundle.short()
                )
            })
    });
    missing.collect()
}

impl Summary {
    /// Looks into every store.
    pub(crate) fn compute(
        cast: &Cast,
        outsider: &Outsider,
        told: &[Told],
        expected: &[Expected],
        forbidden: &[Vec<u8>],
        micros: Vec<u64>,
    ) -> Result<Self, DemoError> {
        let search = Search::new(expected, forbidden);
        let stores = cast
            .players
            .iter()
            .map(|player| look_into(player, told, &search).map(|held| (player.slug.clone(), held)))
            .collect::<Result<Vec<_>, _>>()?;
        let given_to_outsider = outsider.entries()?;
        let is_outside = given_to_outsider == 0
            && outsider.is_refused_at_door()
            && stores
                .iter()
                .all(|(slug, _)| outsider.refused_by().contains(slug));
        let overlooked = stores
            .iter()
            .flat_map(|(slug, held)| overlooked(slug, &held.traces, expected))
            .collect();
        let leaks = stores.iter().map(|(_, held)| held.leaks).sum::<u64>() + given_to_outsider;
        let removed = Standing {
            subject: Membership::Removed,
            ..Standing::BEST
        };
        let bundles = told
            .iter()
            .map(|told| {
                let with = |set: fn(&Held) -> &BTreeSet<BundleId>| {
                    let holders = stores
                        .iter()
                        .filter(|(_, held)| set(held).contains(&told.bundle));
                    holders.map(|(slug, _)| slug.clone()).collect()
                };
                let outside = Subject::Peer(Peer::Outside);
                let decision = decide(told.marking, Action::RelayCiphertext, outside, removed);
                let rule = RefusedLine {
                    member: "outsider".to_owned(),
                    rule: decision.rule(),
                };
                BundleLine {
                    id: told.bundle.to_string(),
                    marking: told.marking.to_string(),
                    author: told.author.clone(),
                    holds: with(|held| &held.holds),
                    opened: with(|held| &held.opened),
                    refused: is_outside.then_some(rule).into_iter().collect(),
                }
            })
            .collect();
        let members = cast.players.iter();
        let members = members.map(|player| MemberLine {
            slug: player.slug.clone(),
            role: player.role.name(),
        });
        Ok(Self {
            members: members.collect(),
            bundles,
            latencies_ms: Latencies::of(micros),
            leaks,
            overlooked,
        })
    }

    /// What did not happen as it must, in words; empty when all is well.
    pub(crate) fn disappointments(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.bundles.is_empty() {
            wrong.push("nothing was published".to_owned());
        }
        if self.leaks > 0 {
            wrong.push(format!("{} things are where they must not be", self.leaks));
        }
        wrong.extend(self.overlooked.iter().cloned());
        for bundle in &self.bundles {
            let short: String = bundle.id.chars().take(8).collect();
            if bundle.holds.len() != self.members.len() {
                wrong.push(format!(
                    "bundle {short} is held by {} of {}",
                    bundle.holds.len(),
                    self.members.len()
                ));
            }
            if bundle.opened.len() != self.members.len() {
                wrong.push(format!(
                    "bundle {short} is opened by {} of {}",
                    bundle.opened.len(),
                    self.members.len()
                ));
            }
            if bundle.refused.is_empty() {
                wrong.push(format!("bundle {short} was not refused to the outsider"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    /// A change to a summary that is all right.
    type Spoil = fn(&mut Summary);

    fn all_is_well() -> Summary {
        let slugs = ["north-cert", "south-cert", "hub"];
        let everybody: Vec<String> = slugs.map(str::to_owned).to_vec();
        let bundle = |id: &str| BundleLine {
            id: id.repeat(8),
            marking: Marking::Clear.to_string(),
            author: "north-cert".to_owned(),
            holds: everybody.clone(),
            opened: everybody.clone(),
            refused: vec![RefusedLine {
                member: "outsider".to_owned(),
                rule: "not-in-roster",
            }],
        };
        Summary {
            members: everybody
                .iter()
                .map(|slug| MemberLine {
                    slug: slug.clone(),
                    role: "agency",
                })
                .collect(),
            bundles: vec![bundle("01234567"), bundle("89abcdef")],
            latencies_ms: Latencies::of(vec![1_000]),
            leaks: 0,
            overlooked: Vec::new(),
        }
    }

    #[test]
    fn a_story_that_went_well_disappoints_nobody() {
        assert_eq!(all_is_well().disappointments(), [""; 0]);
    }

    #[test]
    fn each_thing_that_goes_wrong_is_named() {
        let spoiled: [(Spoil, &str); 6] = [
            (|summary| summary.bundles.clear(), "nothing was published"),
            (
                |summary| summary.leaks = 2,
                "2 things are where they must not be",
            ),
            (
                |summary| summary.bundles[1].holds.truncate(2),
                "bundle 89abcdef is held by 2 of 3",
            ),
            (
                |summary| summary.bundles[0].opened.clear(),
                "bundle 01234567 is opened by 0 of 3",
            ),
            (
                |summary| summary.bundles[1].refused.clear(),
                "bundle 89abcdef was not refused to the outsider",
            ),
            (
                |summary| summary.overlooked.push("it is blind".to_owned()),
                "it is blind",
            ),
        ];
        for (spoil, complaint) in spoiled {
            let mut summary = all_is_well();
            spoil(&mut summary);
            assert_eq!(summary.disappointments(), [complaint]);
        }
    }

    #[test]
    fn a_search_that_overlooks_what_is_there_is_named() {
        let bundle = BundleId::from_bytes([7; 32]);
        let expected = [Expected {
            bundle,
            in_payload: vec![1],
            in_key: vec![2],
        }];
        let mut traces = Traces::default();
        assert_eq!(overlooked("hub", &traces, &expected).len(), 2);
        traces.indexed.insert(bundle);
        let missing = overlooked("hub", &traces, &expected);
        assert_eq!(missing.len(), 1);
        assert!(missing[0].contains("payload"), "{missing:?}");
        traces.read.insert(bundle);
        assert_eq!(overlooked("hub", &traces, &expected), [""; 0]);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latencies = Latencies::of((1..=100).map(|at| at * 1_000).collect());
        assert_eq!(
            (latencies.p50, latencies.p99, latencies.max),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(Latencies::of(Vec::new()).max, 0.0);
        assert_eq!(Latencies::of(vec![1_500]).p50, 1.5);
    }
}
