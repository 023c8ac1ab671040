//! Several batches on their way to the disk at once: what is claimed waits for
//! the right one, what is read is the newest, and all of them count as memory.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::store::MemoryStore;

#[test]
fn a_claim_waits_for_the_last_of_the_batches_under_way() {
    let mut node = Node::start(0);
    let mut begun = Vec::new();
    for name in ["a", "b"] {
        node.publish(draft(name, 10, Marking::Clear));
        begun.push(node.engine.begin_commit().unwrap());
    }
    // Nothing more is written: what is claimed now rests on both.
    let client = ClientToken(3);
    let mut outputs = node.feed(Input::Barrier { client });
    let is_durable = |output: &Output| matches!(output, Output::Durable { .. });
    let mut shown = Vec::new();
    for (number, batch) in begun {
        node.engine.store().apply(&batch).unwrap();
        outputs.extend(node.feed(Input::Committed(number)));
        shown.push(outputs.iter().any(is_durable));
    }
    assert_eq!(shown, [false, true]);
}

#[test]
fn what_was_written_last_is_read_whatever_is_under_way() {
    let mut staged = Staged::new(MemoryStore::default());
    let key = b"k".to_vec();
    for turn in 0..3_u8 {
        staged.put(key.clone(), vec![turn]);
        assert_eq!(staged.get(&key).unwrap(), Some(vec![turn]));
        staged.begin().unwrap();
    }
    staged.remove(key.clone());
    assert_eq!(staged.get(&key).unwrap(), None, "in the open batch");
    staged.begin().unwrap();
    assert_eq!(staged.get(&key).unwrap(), None, "in the last under way");
    staged.put(key.clone(), vec![9]);
    assert_eq!(staged.get(&key).unwrap(), Some(vec![9]));
}

#[test]
fn what_was_handed_to_a_disk_that_stands_still_counts_too() {
    const BYTES_MAX: usize = 100_000;
    let mut author = Node::start(0);
    let mut node = Node::start(1);
    node.meet(0);
    node.commit();
    node.engine.staged.bytes_max = BYTES_MAX;
    let mut taken = 0;
    for number in 0..40 {
        let frame = author.frame_of(&format!("n{number}"), 8_192);
        if verdict(&node.gossip(0, &frame)) == Verdict::Accept {
            taken += frame.len();
        }
        // All that is written so far is on its way to the disk.
        if number % 10 == 5 {
            let _none_of_it_is_durable = node.engine.begin_commit();
        }
    }
    assert!(taken > BYTES_MAX / 2, "{taken}");
    assert!(taken < BYTES_MAX + 16_384, "{taken}");
}
