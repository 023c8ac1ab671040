//! When a node says that it is alive.

use super::members::{decide, federation, notices, observer, tell};
use super::room::*;
use crate::limits::{ALIVE_SOON_MS, NOTICE_AGAIN_MS};

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
