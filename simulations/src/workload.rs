//! Bundles that people publish, and what was planted in them.

use crate::chance::Chance;
use crate::checks::PLANTED;
use crate::scenario::Scenario;
use watchfire_protocol::ids::MemberId;
use watchfire_protocol::indicator::{self, Kind, normalise};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::Wish;
use watchfire_protocol::stix::markings::definition::tlp2_definition;
use watchfire_protocol::stix::time::Timestamp;

/// A publication that somebody will make.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) at_ms: u64,
    pub(crate) host: usize,
    pub(crate) marking: Marking,
    /// Bytes of description, to make it large.
    pub(crate) padding: usize,
    /// Its own value: a domain that no other publication has.
    pub(crate) domain: String,
}

/// Draws who publishes what, and when. Ordered by number, not by time.
pub(crate) fn plan(scenario: &Scenario, honest: &[usize], chance: &mut Chance) -> Vec<Planned> {
    let workload = scenario.workload;
    (0..workload.bundles + workload.secrets)
        .map(|number| {
            let secret = number >= workload.bundles;
            let large = !secret && workload.large_every > 0 && number % workload.large_every == workload.large_every - 1;
            let padding = match (large, chance.below("padding", 0, 3)) {
                (false, some) => usize::try_from(some).unwrap_or(0) * 400,
                // Over one chunk of 256 KiB.
                (true, 0) => 300_000,
                (true, some) => 33_000 + usize::try_from(some).unwrap_or(0) * 10_000,
            };
            let above = [Marking::Green, Marking::Amber, Marking::AmberStrict, Marking::Red];
            let marking = match above.get(usize::try_from(number % 4).unwrap_or(0)) {
                Some(marking) if secret => *marking,
                Some(_) | None => Marking::Clear,
            };
            let who = usize::try_from(chance.below("author", 0, honest.len() as u64)).unwrap_or(0);
            let plant = if secret || workload.plant_in_clear { PLANTED } else { "seen" };
            Planned {
                at_ms: chance.between("publish", 0, (2_000, scenario.faults_ms.max(2_001))),
                host: honest.get(who).copied().unwrap_or(0),
                marking,
                padding,
                domain: format!("{plant}-{number}.s{}.example", scenario.seed),
            }
        })
        .collect()
}

/// The keys under which a planned value must be found.
pub(crate) fn index_key(domain: &str) -> Option<Vec<u8>> {
    normalise(Kind::Domain, domain).ok().map(|value| value.index_key())
}

/// A minimal STIX bundle: marking, identity, one indicator.
pub(crate) fn stix(author: &MemberId, domain: &str, marking: Marking, padding: usize, wall_ms: u64) -> Option<Vec<u8>> {
    let value = normalise(Kind::Domain, domain).ok()?;
    let made = Timestamp::from_unix_ms(wall_ms);
    let name = format!("indicator {domain}");
    let description = format!("about {domain} {}", "lorem ".repeat(padding / 6));
    let draft = indicator::Draft {
        author,
        marking,
        created: made,
        modified: made,
        valid_from: made,
        labels: &[],
        name: Some(&name),
        description: Some(&description),
        reference: None,
    };
    let objects = [
        tlp2_definition(marking),
        indicator::identity_to_stix(author, "a member", made, marking),
        indicator::to_stix(&value, &draft),
    ];
    let id = indicator::bundle_id(author, made, [domain].into_iter());
    Some(format!("{{\"type\":\"bundle\",\"id\":\"{id}\",\"objects\":[{}]}}", objects.join(",")).into_bytes())
}

/// What a person wants of it.
pub(crate) const fn wish() -> Wish {
    Wish { flag: None, valid_ms: 30 * 24 * 3_600_000, exercise: true, permissible_actions: None, supersedes: None }
}
