//! What a node tells of itself: that it is alive, and its certificates.

use super::members::{decide, federation, notices, observer, tell};
use super::room::*;
use crate::gate::Slot;
use crate::limits::{ALIVE_SOON_MS, NOTICE_AGAIN_MS};
use crate::membership::NoticeScope;
use crate::store::{MemoryStore, Store as _};
use crate::table;

fn epoch_heard(node: &Node, of: u64) -> Option<u64> {
    let alive = node.engine.membership().alives().of(&node_id(of));
    alive.map(|alive| alive.epoch)
}

/// What it says when this much time has passed.
fn says_after(node: &mut Node, ms: u64) -> Vec<Vec<u8>> {
    let mut outputs = node.later(ms);
    outputs.extend(node.commit());
    notices(outputs)
}

#[test]
fn a_roster_taken_soon_after_a_sign_of_life_is_cited_in_one_that_others_take() {
    let mut nodes = federation();
    let said = says_after(&mut nodes[0], ALIVE_SOON_MS);
    for notice in &said {
        tell(&mut nodes[1], 0, notice);
    }
    assert_eq!(epoch_heard(&nodes[1], 0), Some(0));
    decide(&mut nodes, observer(2));
    // Whatever it says within the minute would be refused.
    for _ in 0..=(NOTICE_AGAIN_MS / ALIVE_SOON_MS + 1) {
        let said = says_after(&mut nodes[0], ALIVE_SOON_MS);
        nodes[1].pass(ALIVE_SOON_MS);
        for notice in &said {
            tell(&mut nodes[1], 0, notice);
        }
    }
    assert_eq!(epoch_heard(&nodes[1], 0), Some(1));
}

#[test]
fn a_certificate_installed_while_a_node_did_not_run_is_told_to_others() {
    let certificate = newcomer_certificate(&keys(0), &keys(9));
    let mut config = config_of(0);
    let id = config.roster.check_record(&certificate).unwrap().id;
    config.installed = vec![certificate];
    let told = |node: &Node| {
        let page = node
            .engine
            .membership()
            .page(NoticeScope::Lasting, 0, usize::MAX);
        page.slots
            .iter()
            .any(|(_, slot)| *slot == Slot::Certificate(id))
    };
    let node = Node::with(MemoryStore::default(), config);
    assert!(told(&node));
    // Whom it told it is asked for the certificate itself, also after a restart
    // without the file.
    assert!(
        node.engine
            .store()
            .get(&table::certificate(&id))
            .unwrap()
            .is_some()
    );
    assert!(told(&node.restart(0)));
    // Those of the genesis everybody has.
    assert!(!told(&Node::start(0)));
}
