//! Real nodes on loopback, one of which starts without what it had.

use std::fs;
use std::path::PathBuf;

use watchfire_node::disk::published::Recovering;
use watchfire_node::disk::recovery::{Happened, asides};
use watchfire_node::disk::{SledStore, published};
use watchfire_node::driver::PublishFailure;
use watchfire_protocol::ids::BundleId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::store::Store;
use watchfire_protocol::table;
use watchfire_tests::mesh::{Listen, Mesh, document};

const BEFORE: u64 = 3;

/// Two nodes that hold what the first published, both ended.
fn published_and_ended() -> (Mesh, Vec<BundleId>) {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let mut author = mesh.start(0);
    let mut other = mesh.start(1);
    author.meets(mesh.node(1));
    other.meets(mesh.node(0));
    let documents = (1..=BEFORE).map(|number| document(number, 500)).collect();
    let bundles: Vec<BundleId> = author
        .publish_all(documents)
        .iter()
        .map(|bundle| bundle.published.bundle)
        .collect();
    other.finds(&bundles);
    author.stop();
    other.stop();
    (mesh, bundles)
}

fn tear(mesh: &Mesh, number: u64) {
    let conf = mesh.store(number).join("sled/conf");
    fs::write(conf, "").unwrap();
}

fn evidence(store: &SledStore) -> usize {
    store.scan(b"X", b"X", usize::MAX).unwrap().len()
}

#[test]
fn attack_37_an_author_that_lost_its_store_signs_no_number_twice() {
    let (mesh, bundles) = published_and_ended();
    tear(&mesh, 0);
    let mut author = mesh.start(0);
    let aside: PathBuf = match author.node().happened() {
        [Happened::SetAside { to, .. }] => to.clone(),
        other => panic!("{other:?}"),
    };
    assert!(aside.join("sled/db").exists(), "it is kept");
    assert_eq!(asides(&mesh.store(0)).unwrap().len(), 1);
    assert_eq!(author.bundles().len(), 0);

    // Alone it does not know its own stream, and does not begin another.
    let refused = author
        .publish(document(10, 500), Some(Marking::Clear))
        .unwrap_err();
    let recovering = Recovering {
        held: 0,
        published: Some(BEFORE),
        life_over: None,
    };
    assert_eq!(refused, PublishFailure::Recovering(recovering));
    let text = refused.to_string();
    assert!(
        text.starts_with("recovering: this node's own stream is being fetched back"),
        "{text}"
    );
    // Nor does the next start forget it.
    author.stop();
    author = mesh.start(0);
    assert_eq!(author.node().happened(), []);
    assert_eq!(author.node().recovering().unwrap(), Some(recovering));

    // A peer brings it back, and it goes on where it had been.
    let mut other = mesh.start(1);
    author.finds(&bundles);
    assert_eq!(author.node().recovering().unwrap(), None);
    let next = author
        .publish(document(11, 500), Some(Marking::Clear))
        .unwrap();
    assert_eq!(next.published.sequence, BEFORE + 1);
    other.finds(&[next.published.bundle]);
    assert_eq!(other.catch_up().conflicts, 0);
    assert_eq!(evidence(other.node().store()), 0);
    assert_eq!(evidence(author.node().store()), 0);
    author.stop();
    other.stop();
}

#[test]
fn attack_37_an_author_whose_note_is_lost_as_well_waits_for_a_person() {
    let (mesh, bundles) = published_and_ended();
    tear(&mesh, 0);
    fs::remove_file(published::path_for(&mesh.store(0))).unwrap();
    let mut author = mesh.start(0);
    let other = mesh.start(1);
    author.finds(&bundles);
    let recovering = author.node().recovering().unwrap().unwrap();
    assert_eq!((recovering.held, recovering.published), (BEFORE, None));
    author
        .publish(document(10, 500), Some(Marking::Clear))
        .unwrap_err();
    author.stop();
    let store = SledStore::open(&mesh.store(0)).unwrap();
    published::accept(&store, &mesh.store(0)).unwrap();
    drop(store);
    let author = mesh.start(0);
    let next = author
        .publish(document(11, 500), Some(Marking::Clear))
        .unwrap();
    assert_eq!(next.published.sequence, BEFORE + 1);
    author.stop();
    other.stop();
}

#[test]
fn attack_37_a_store_put_back_from_an_old_copy_publishes_nothing_it_has_published() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let author = mesh.start(0);
    author.publish_all(vec![document(1, 500)]);
    author.stop();
    let copy = mesh.directory().join("copy");
    copy_dir(&mesh.store(0), &copy);
    let author = mesh.start(0);
    author.publish_all(vec![document(2, 500)]);
    author.stop();
    fs::remove_dir_all(mesh.store(0)).unwrap();
    fs::rename(&copy, mesh.store(0)).unwrap();
    let author = mesh.start(0);
    assert_eq!(author.node().happened(), [], "the copy is whole");
    let refused = author.publish(document(3, 500), Some(Marking::Clear));
    assert_eq!(
        refused.unwrap_err(),
        PublishFailure::Recovering(Recovering {
            held: 1,
            published: Some(2),
            life_over: None,
        })
    );
    author.stop();
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn attack_37_a_value_damaged_in_another_members_envelope_comes_back_from_it() {
    let (mesh, bundles) = published_and_ended();
    let store = SledStore::open(&mesh.store(1)).unwrap();
    // As a damaged value is removed before the indexes are made again: the
    // first of the log, so that everything after it stands beyond a gap.
    let (key, mut value) = store.scan(b"L", b"L", 1).unwrap().remove(0);
    let last = value.len() - 1;
    value[last] ^= 1;
    let mut batch = watchfire_protocol::store::Batch::default();
    batch.put(key, value);
    store.apply(&batch).unwrap();
    store.flush().unwrap();
    drop(store);
    watchfire_node::disk::recovery::suspect(&mesh.store(1)).unwrap();

    let author = mesh.start(0);
    let mut other = mesh.start(1);
    let [Happened::Repaired(repaired)] = other.node().happened() else {
        panic!("{:?}", other.node().happened());
    };
    assert_eq!(repaired.removed_truth, 1);
    assert_eq!(repaired.removed[0].table, "log");
    other.finds(&bundles);
    let store = other.node().store();
    let ends = store.scan(table::STREAMS, table::STREAMS, 10).unwrap();
    assert_eq!(ends.len(), 1, "one stream, and it ends where it did");
    author.stop();
    other.stop();
    let store = SledStore::open(&mesh.store(1)).unwrap();
    let report =
        watchfire_node::disk::audit::audit(&store, Some(mesh.roster()), 10, |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.verified, BEFORE);
}
