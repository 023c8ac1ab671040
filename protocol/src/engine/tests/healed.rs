//! What a store lost while the node ran, and has again: whoever asked for it
//! meanwhile gets it, and a disk that was behind keeps it out no longer than it
//! is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use super::room::*;
use super::*;
use crate::limits::REDO_FIRST_MS;

/// A node that cannot read the second of three envelopes any more, and knows;
/// what it asks for it.
fn with_a_loss(number: u64, author: &mut Node, frames: &[Vec<u8>]) -> (Node, Vec<Output>) {
    let mut node = Node::start(number);
    let outputs = node.meet(0);
    node.carry(number, outputs, &mut [(0, author)]);
    node.commit();
    let id = id_of(&frames[1], &node.engine.roster());
    let arrival = node.engine.staged.get_as(&table::envelope(&id), 9);
    let arrival: Arrival = arrival.unwrap().unwrap();
    let mut batch = Batch::default();
    batch.remove(table::log(arrival));
    node.engine.store().apply(&batch).unwrap();
    let outputs = node.feed(Input::Damaged(vec![Damage::Envelope {
        arrival,
        stream: public_of(0, 1),
        sequence: 2,
    }]));
    assert_eq!(node.engine.status().lost, 1);
    (node, outputs)
}

#[test]
fn who_asked_a_holder_while_it_lacked_something_gets_it_once_that_is_healed() {
    let (mut author, frames) = author_of(3);
    let (mut holder, _) = with_a_loss(2, &mut author, &frames);
    holder.meet(1);
    holder.commit();
    let mut node = Node::start(1);
    let outputs = node.meet(2);
    node.carry(1, outputs, &mut [(2, &mut holder)]);
    node.commit();
    assert!(!node.holds(&frames[1]) && node.holds(&frames[2]));
    // It says that it has it not, and the mark moves over it.
    let outputs = node.later(2 * PROBE_EVERY_MS);
    node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert_eq!(node.engine.status().behind, []);

    let outputs = holder.later(2 * PROBE_EVERY_MS);
    holder.carry(2, outputs, &mut [(0, &mut author)]);
    holder.commit();
    assert_eq!(holder.engine.status().lost, 0);
    let outputs = node.later(2 * PROBE_EVERY_MS);
    node.carry(1, outputs, &mut [(2, &mut holder)]);
    assert!(node.holds(&frames[1]));
    // The row says so too, or a restart would give the number out again.
    let row: Option<StreamRow> = holder
        .engine
        .staged
        .get_as(&table::stream(&public_of(0, 1)), 80)
        .unwrap();
    assert_eq!(row, holder.engine.streams.row(&public_of(0, 1)));
}

#[test]
fn a_loss_is_healed_although_the_disk_was_behind_when_it_came() {
    let (mut author, frames) = author_of(3);
    let (mut node, _) = with_a_loss(1, &mut author, &frames);
    node.engine.staged.bytes_max = 0;
    let outputs = node.later(PROBE_EVERY_MS);
    let carried = node.carry(1, outputs, &mut [(0, &mut author)]);
    assert_eq!(carried.ranges(), [(0, 2, 2)]);
    assert_eq!(not_taken(&carried.outputs), Some(&NotTaken::DiskBehind));
    // It has caught up.
    node.engine.staged.bytes_max = usize::MAX;
    node.commit();
    let outputs = node.later(REDO_FIRST_MS + 2 * PROBE_EVERY_MS);
    node.carry(1, outputs, &mut [(0, &mut author)]);
    assert_eq!(node.engine.status().lost, 0);
}

#[test]
fn what_came_after_its_time_is_held_as_far_as_it_can_be() {
    // Only where remains are held may the whole frame take their place, and a
    // second copy after its time is nobody's news, however behind the disk is.
    let frame = frame_with(&mut Node::start(0), short_lived("short", 1));
    let mut node = Node::start(1);
    node.meet(0);
    node.pass(2 * HOUR_MS);
    let outputs = node.gossip(0, &frame);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Expired));
    node.engine.staged.bytes_max = 0;
    assert_eq!(not_taken(&node.gossip(0, &frame)), None);
}
