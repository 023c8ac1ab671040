//! Two or three real nodes on loopback: what gossip, announce-and-pull,
//! catch-up, restarts and the door do together.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

use tokio::runtime::Runtime;
use watchfire_node::disk::SledStore;
use watchfire_node::transport::{door, keypair_of};
use watchfire_protocol::founding::Keys;
use watchfire_protocol::gate;
use watchfire_protocol::ids::{BundleId, CertificateId};
use watchfire_protocol::limits::{CERTIFICATE_LIFE_MS_MAX, CHUNK_BYTES};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::store::Store;
use watchfire_protocol::table;
use watchfire_protocol::wire::card::{CertificateBytes, NodeCert, Role};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::{DoorAnswer, DoorRequest};

use watchfire_tests::mesh::{Listen, Mesh, Running, document, wall_ms};

fn ids(published: &[watchfire_node::driver::PublishedBundle]) -> Vec<BundleId> {
    published
        .iter()
        .map(|bundle| bundle.published.bundle)
        .collect()
}

fn chunks_of(store: &SledStore, bundle: &watchfire_node::driver::PublishedBundle) -> usize {
    let prefix = table::chunks(&bundle.published.envelope);
    store.scan(&prefix, &prefix, usize::MAX).unwrap().len()
}

#[test]
fn a_bundle_over_32_kib_is_announced_and_pulled() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Quic]);
    let mut north = mesh.start(0);
    let mut south = mesh.start(1);
    north.meets(mesh.node(1));
    south.meets(mesh.node(0));

    // One that travels inline, for comparison; one of a single chunk; one of
    // several, the last of them short.
    let sources = [
        document(1, 1_000),
        document(2, 60_000),
        document(3, 3 * CHUNK_BYTES),
    ];
    let published = north.publish_all(sources.to_vec());
    south.finds(&ids(&published));

    for (bundle, (source, chunks)) in published.iter().zip(sources.iter().zip([0, 1, 3])) {
        for node in [&north, &south] {
            assert_eq!(
                chunks_of(node.node().store(), bundle),
                chunks,
                "{} bytes",
                source.len()
            );
            let held = node
                .query(|query| query.payload(&bundle.published.bundle))
                .unwrap()
                .unwrap();
            assert!(
                held.value().stix == *source,
                "the payload of {} bytes came back altered",
                source.len()
            );
        }
    }
    let open = south
        .node()
        .store()
        .scan(table::PULLS, table::PULLS, usize::MAX)
        .unwrap();
    assert_eq!(open, [], "nothing is left to pull");
    assert_eq!(south.catch_up().not_opened, [""; 0]);
    north.stop();
    south.stop();
}

#[test]
fn who_starts_late_gets_everything() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Nowhere]);
    let north = mesh.start(0);
    // Every tenth is larger than a frame, so that catch-up leads to pulls.
    let sources =
        (0..200).map(|number| document(number, if number % 10 == 9 { 50_000 } else { 300 }));
    let published = north.publish_all(sources.collect());
    assert_eq!(north.bundles().len(), 200);

    let mut south = mesh.start(1);
    assert!(south.bundles().is_empty());
    south.finds(&ids(&published));
    assert_eq!(south.bundles(), north.bundles());
    assert_eq!(
        (south.heard().conflicts, south.heard().not_opened.len()),
        (0, 0)
    );
    north.stop();
    south.stop();
}

/// The sequence numbers of one author as a node holds them.
fn sequences(node: &Running, mesh: &Mesh, author: u64) -> Vec<u64> {
    let author = mesh.member(author);
    let records = node
        .records()
        .into_iter()
        .filter(|record| record.author == author);
    let mut sequences: Vec<u64> = records
        .filter_map(|record| record.statement.stream)
        .map(|(_, at)| at)
        .collect();
    sequences.sort_unstable();
    sequences
}

#[test]
fn a_restarted_node_goes_on_with_its_stream() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let mut south = mesh.start(1);
    let mut all = Vec::new();
    for life in 0..3 {
        let mut north = mesh.start(0);
        north.meets(mesh.node(1));
        let published = north.publish_all(
            (life * 10..life * 10 + 10)
                .map(|number| document(number, 200))
                .collect(),
        );
        let numbers: BTreeSet<u64> = published
            .iter()
            .map(|bundle| bundle.published.sequence)
            .collect();
        assert_eq!(
            numbers,
            (life * 10 + 1..=life * 10 + 10).collect(),
            "life {life}"
        );
        all.extend(ids(&published));
        south.finds(&all);
        assert_eq!(north.catch_up().conflicts, 0);
        if life == 1 {
            north.kill();
        } else {
            north.stop();
        }
    }
    assert_eq!(sequences(&south, &mesh, 0), (1..=30).collect::<Vec<_>>());
    assert_eq!(south.catch_up().conflicts, 0);
    south.stop();
}

#[test]
fn a_peer_killed_in_the_middle_converges_after_its_return() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let mut north = mesh.start(0);
    let mut south = mesh.start(1);
    north.meets(mesh.node(1));
    south.meets(mesh.node(0));
    let own = ids(&south.publish_all((1_000..1_050).map(|number| document(number, 400)).collect()));
    // Every third is larger than a frame, so that it dies with pulls under way
    // as well.
    let documents: Vec<Vec<u8>> = (0..300)
        .map(|number| document(number, if number % 3 == 0 { 60_000 } else { 4_000 }))
        .collect();
    let mut all = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| ids(&north.publish_all(documents)));
        south.until("fifty of them", |heard| {
            heard.searchable.len() >= own.len() + 50
        });
        south.kill();
        publishing.join().unwrap()
    });
    all.extend(ids(&north.publish_all(
        (300..400).map(|number| document(number, 4_000)).collect(),
    )));
    let mut south = mesh.start(1);
    let at_return = south.heard().searchable.len();
    assert!(
        (own.len() + 50..own.len() + 300).contains(&at_return),
        "it held {at_return} at its return"
    );
    all.extend(&own);
    south.finds(&all);
    north.finds(&all);
    assert_eq!(south.bundles(), all.iter().copied().collect());
    assert_eq!(north.bundles(), south.bundles());
    // And it can still speak for itself, on the stream it had.
    let more = ids(&south.publish_all(vec![document(2_000, 100)]));
    north.finds(&more);
    assert_eq!(sequences(&north, &mesh, 1), (1..=51).collect::<Vec<_>>());
    assert_eq!(
        (north.catch_up().conflicts, south.catch_up().conflicts),
        (0, 0)
    );
    north.stop();
    south.stop();
}

#[test]
fn a_pull_cut_off_by_a_kill_is_finished_after_the_return() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let mut north = mesh.start(0);
    let mut south = mesh.start(1);
    north.meets(mesh.node(1));
    south.meets(mesh.node(0));
    // Forty objects of nearly 400 kB: some 45 chunks, asked for three at a time.
    let objects: Vec<Vec<u8>> = (0..40).map(|number| document(number, 400_000)).collect();
    let inner: Vec<&[u8]> = objects
        .iter()
        .map(|array| &array[1..array.len() - 1])
        .collect();
    let source = [b"[".as_slice(), &inner.join(b",".as_slice()), b"]"].concat();
    let published = north.publish(source.clone(), Some(Marking::Clear)).unwrap();
    let bundle = published.published.bundle;
    south.until("its announcement to be durable", |heard| {
        heard.stored.contains(&bundle)
    });
    south.kill();

    let all = chunks_of(north.node().store(), &published);
    let store = SledStore::open(&mesh.store(1)).unwrap();
    assert_eq!(
        store
            .scan(table::PULLS, table::PULLS, usize::MAX)
            .unwrap()
            .len(),
        1,
        "the pull is noted on disk"
    );
    let held = chunks_of(&store, &published);
    assert!(held < all, "all of {all} chunks were there before the kill");
    drop(store);

    let mut south = mesh.start(1);
    assert!(!south.heard().searchable.contains_key(&bundle));
    south.finds(&[bundle]);
    assert_eq!(chunks_of(south.node().store(), &published), all);
    let back = south
        .query(|query| query.payload(&bundle))
        .unwrap()
        .unwrap();
    assert!(back.value().stix == source, "the payload came back altered");
    north.stop();
    south.stop();
}

#[test]
fn a_burst_of_large_frames_from_two_authors_arrives() {
    const EACH: u64 = 250;
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Quic, Listen::Tcp]);
    let mut nodes: Vec<Running> = (0..3).map(|number| mesh.start(number)).collect();
    for (at, node) in nodes.iter_mut().enumerate() {
        for other in (0..3).filter(|other| *other != at as u64) {
            node.meets(mesh.node(other));
        }
    }
    // Nearly 30 KiB each after compression, so that all travel inline.
    let documents = |first: u64| {
        (first..first + EACH)
            .map(|number| document(number, 40_000))
            .collect::<Vec<_>>()
    };
    let mut published = Vec::new();
    let [north, south, _] = nodes.as_slice() else {
        panic!("three nodes")
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| south.publish_all(documents(EACH)));
        published.extend(north.publish_all(documents(0)));
        published.extend(other.join().unwrap());
    });
    let all = ids(&published);
    for node in &mut nodes {
        node.finds(&all);
        assert_eq!(node.bundles().len(), all.len());
        assert_eq!(
            (node.heard().conflicts, node.heard().not_opened.len()),
            (0, 0)
        );
    }
    for bundle in published.iter().take(5) {
        let store = nodes[2].node().store();
        let arrival = store
            .get(&table::bundle(&bundle.published.bundle))
            .unwrap()
            .unwrap();
        let entry = store
            .get(&table::log(codec::decode(&arrival, 9).unwrap()))
            .unwrap()
            .unwrap();
        assert!(
            (28_000..33_000).contains(&entry.len()),
            "{} bytes are not a large frame",
            entry.len()
        );
    }
    nodes.into_iter().for_each(Running::stop);
}

/// A certificate with these three keys.
fn certificate(root: &Keys, node: &Keys, serial: u64) -> (CertificateId, CertificateBytes) {
    let cert = NodeCert {
        root_key: root.root.public().to_bytes(),
        signing_key: node.signing.public().to_bytes(),
        transport_key: node.transport.public().to_bytes(),
        serial,
        incarnation: 1,
        role: Role::Agency,
        not_before_ms: wall_ms() - 1_000,
        not_after_ms: wall_ms() - 1_000 + CERTIFICATE_LIFE_MS_MAX,
    };
    let signed = CertificateBytes::sign(&cert, &root.root, &node.signing, &node.transport).unwrap();
    let (id, _) = signed.verify(&root.root.public()).unwrap();
    (id, signed)
}

/// What a door says to a certificate, offered over a connection with the
/// transport key of `connection`.
fn offer(runtime: &Runtime, mesh: &Mesh, connection: &Keys, certificate: CertificateBytes) -> bool {
    let keypair = keypair_of(&mut connection.transport.expose_seed().expose().clone()).unwrap();
    let federation = *mesh.roster().federation().as_bytes();
    let question = codec::encode(&DoorRequest::Offer { certificate });
    let address = mesh.door().parse().unwrap();
    let answer = runtime
        .block_on(door::ask(&keypair, &federation, address, None, question))
        .unwrap();
    match gate::door_answer(&answer).unwrap() {
        DoorAnswer::Offer { accepted } => accepted,
        other @ (DoorAnswer::Genesis { .. }
        | DoorAnswer::Link { .. }
        | DoorAnswer::Certificates { .. }
        | DoorAnswer::Knock { .. }
        | DoorAnswer::Proposal { .. }
        | DoorAnswer::Consent { .. }
        | DoorAnswer::Unavailable) => {
            panic!("no answer to an offer: {other:?}")
        }
    }
}

#[test]
fn attack_05_the_door_takes_a_members_second_node_and_no_other() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let mut north = mesh.start(0);
    let before = north.publish_all(vec![document(1, 100)]);
    let (member, second, stranger) = (Mesh::keys(1), Mesh::keys(11), Mesh::keys(99));
    let nodes = north.node().roster().nodes().count();

    // Signed by nobody's root.
    assert!(!offer(
        &runtime,
        &mesh,
        &second,
        certificate(&stranger, &second, 2).1
    ));
    // A good one in the hands of somebody else: a stranger, and the member's
    // own first node.
    let (id, good) = certificate(&member, &second, 2);
    assert!(!offer(&runtime, &mesh, &stranger, good.clone()));
    assert!(!offer(&runtime, &mesh, &member, good.clone()));
    // The member's root, but for a key that did not agree: the transport
    // signature is the stranger's.
    let claimed = good.claims().unwrap();
    let unwilling =
        CertificateBytes::sign(&claimed, &member.root, &second.signing, &stranger.transport)
            .unwrap();
    assert!(!offer(&runtime, &mesh, &second, unwilling));
    assert!(north.catch_up().admitted.is_empty());
    assert_eq!(
        north.node().roster().nodes().count(),
        nodes,
        "nothing of it is in the roster"
    );
    assert_eq!(
        north
            .node()
            .store()
            .scan(table::CERTIFICATES, table::CERTIFICATES, usize::MAX)
            .unwrap(),
        []
    );

    // The node it is for.
    assert!(offer(&runtime, &mesh, &second, good.clone()));
    north.until("the certificate to be admitted", |heard| {
        heard.admitted.contains(&id)
    });
    assert_eq!(north.node().roster().nodes().count(), nodes + 1);

    // And that node connects, gets what was there, and what comes.
    let mut newcomer = mesh.start_certified(11, &second, &id, &good);
    newcomer.meets(mesh.node(0));
    newcomer.finds(&ids(&before));
    let after = north.publish_all(vec![document(2, 100), document(3, 50_000)]);
    newcomer.finds(&ids(&after));
    // What it publishes is of its member.
    let own = newcomer.publish_all(vec![document(4, 100)]);
    north.finds(&ids(&own));
    assert_eq!(
        north.heard().searchable[&own[0].published.bundle].0,
        mesh.member(1)
    );

    // Admission outlives a restart.
    newcomer.stop();
    north.stop();
    let mut north = mesh.start(0);
    assert!(north.node().roster().certificate(&id).is_some());
    let mut newcomer = mesh.start_again(11, &second);
    newcomer.meets(mesh.node(0));
    north.meets(watchfire_protocol::ids::NodeId::of_transport(
        &second.transport.public().to_bytes(),
    ));
    newcomer.stop();
    north.stop();
}
