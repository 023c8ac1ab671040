//! What a person accepts of what is held back.

use super::members::{is_shown, tell};
use super::quarantine::{chains, end, hear, lasting, proof, shown};
use super::room::*;
use super::*;
use crate::engine::{
    Accept, AcceptRefusal, Accepted, AcceptedCount, Quarantine, WhatToAccept, rebuild,
};
use crate::limits::CERTIFICATE_LIFE_MS_MAX;
use crate::policy::Reader;
use crate::query::{Asker, Query};

pub(super) fn one() -> Result<AcceptedCount, AcceptRefusal> {
    Ok(AcceptedCount {
        envelopes: 1,
        more: false,
    })
}

pub(super) fn accept(node: &mut Node, what: WhatToAccept) -> Result<AcceptedCount, AcceptRefusal> {
    accept_because(node, what, "called their duty desk")
}

pub(super) fn accept_because(
    node: &mut Node,
    what: WhatToAccept,
    because: &str,
) -> Result<AcceptedCount, AcceptRefusal> {
    let mut outputs = node.feed(Input::Accept {
        client: ClientToken(5),
        accept: Box::new(Accept {
            what,
            because: because.to_owned(),
        }),
    });
    outputs.extend(node.commit());
    let gossips =
        |output: &Output| matches!(output, Output::Gossip { .. } | Output::Request { .. });
    assert!(!outputs.iter().any(gossips), "nobody else is told");
    outputs
        .into_iter()
        .find_map(|output| match output {
            Output::Accepted { outcome, .. } => Some(outcome),
            _ => None,
        })
        .unwrap()
}

pub(super) fn listed(node: &Node) -> Vec<(u64, Vec<Quarantine>)> {
    let roster = node.engine.roster();
    let asker = Asker {
        reader: Reader::LocalPerson,
        roster: &roster,
        wall_ms: node.now().wall_ms,
    };
    let list = Query::new(node.engine.store(), asker).held_back(|_, _| true, 100);
    let records = list.unwrap().records;
    let line = |record: &crate::query::HeldBackRecord| {
        assert_eq!(record.node, Some((node_id(0), 1)));
        assert_eq!(record.since_ms, node.now().wall_ms);
        (record.place.unwrap().1, record.reasons.all().collect())
    };
    records.iter().map(line).collect()
}

pub(super) fn accepted(node: &Node, frame: &[u8]) -> Option<Accepted> {
    let roster = node.engine.roster();
    let asker = Asker {
        reader: Reader::LocalPerson,
        roster: &roster,
        wall_ms: node.now().wall_ms,
    };
    let bundle = check(frame, &config_of(0).roster)
        .unwrap()
        .value()
        .bundle_id();
    let record = Query::new(node.engine.store(), asker).bundle(&bundle.unwrap());
    record.unwrap().unwrap().value().accepted.clone()
}

#[test]
fn a_person_accepts_what_is_held_back_and_it_stays_so() {
    let (world, _) = chains();
    let world: Vec<&Vec<u8>> = world.iter().collect();
    let mut node = Node::start(1);
    hear(&mut node, &world);
    end(&mut node, false, Some((1, world[0])));
    let revoked = |sequence| (sequence, vec![Quarantine::Revoked]);
    assert_eq!(listed(&node), [revoked(2), revoked(3), revoked(4)]);
    let id = |at: usize| id_of(world[at], &config_of(1).roster);
    let traced = node.engine.trace(*id(1).as_bytes()).unwrap().unwrap();
    assert!(traced.held_back.unwrap().reasons.has(Quarantine::Revoked));
    let of = |up_to| WhatToAccept::Of {
        nodes: [node_id(0)].into(),
        up_to,
    };
    let nothing = Err(AcceptRefusal::NothingHeldBack);
    // What is believed needs nobody, and without a reason nothing is accepted.
    assert_eq!(accept(&mut node, WhatToAccept::Envelope(id(0))), nothing);
    let elsewhere = WhatToAccept::Of {
        nodes: [node_id(2)].into(),
        up_to: None,
    };
    assert_eq!(accept(&mut node, elsewhere), nothing);
    for because in [String::new(), "x".repeat(257)] {
        let outcome = accept_because(&mut node, of(None), &because);
        assert_eq!(outcome, Err(AcceptRefusal::Reason));
    }
    assert_eq!(shown(&node, &world), [true, false, false, false]);
    assert_eq!(accept(&mut node, WhatToAccept::Envelope(id(2))), one());
    assert_eq!(accept(&mut node, WhatToAccept::Envelope(id(2))), nothing);
    assert_eq!(shown(&node, &world), [true, false, true, false]);
    assert_eq!(accept(&mut node, of(Some(2))), one());
    assert_eq!(shown(&node, &world), [true, true, true, false]);
    assert_eq!(listed(&node), [revoked(4)]);
    let said = accepted(&node, world[2]).unwrap();
    assert_eq!(said.because.as_str(), "called their duty desk");
    assert!(said.reasons.has(Quarantine::Revoked));
    assert_eq!(accepted(&node, world[0]), None);
    // A restart and a rebuild, after which all is judged again, forget nothing.
    let node = node.restart_with(config_of(1));
    let store = store_of(node.engine.store().snapshot());
    rebuild(&store, &config_of(1).roster).unwrap();
    assert_eq!(store.scan(table::JUDGED, table::JUDGED, 10).unwrap(), []);
    let mut node = Node::on(store, 1);
    let outputs = std::iter::from_fn(|| node.engine.poll()).collect();
    node.work(outputs);
    node.commit();
    assert_eq!(shown(&node, &world), [true, true, true, false]);
    // What comes later of the same key is held back as before.
    let mut author = Node::start(0);
    for frame in &world {
        author.gossip(0, frame);
    }
    author.commit();
    let fifth = lasting(&mut author, "fifth");
    hear(&mut node, &[&fifth]);
    assert!(!is_shown(&node, &fifth));
}

#[test]
fn what_was_accepted_is_held_back_anew_for_a_reason_that_was_not_known() {
    let (world, forged) = chains();
    let world: Vec<&Vec<u8>> = world.iter().collect();
    let mut node = Node::start(1);
    node.pass(CERTIFICATE_LIFE_MS_MAX);
    hear(&mut node, &world);
    assert_eq!(shown(&node, &world), [false; 4]);
    let all = WhatToAccept::Of {
        nodes: [node_id(0)].into(),
        up_to: None,
    };
    accept(&mut node, all).unwrap();
    assert_eq!(shown(&node, &world), [true; 4]);
    tell(&mut node, 2, &proof(&world, &forged[2]));
    assert_eq!(shown(&node, &world), [true, true, false, false]);
    let why = vec![Quarantine::Forked];
    assert_eq!(listed(&node), [(3, why.clone()), (4, why)]);
}
