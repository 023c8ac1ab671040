//! How many bundles a second travel between three nodes on loopback, each with
//! signatures, store and index, beside what gossipsub alone carries.
//!
//! `cargo bench -p watchfire-node --bench three_nodes`

// A benchmark may end with a panic: it then has nothing to say.
#![allow(clippy::unwrap_used, clippy::panic)]

mod mesh;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh::{Federation, meet, small_bundle, stop, wish};
use tokio::sync::Semaphore;
use watchfire_node::node::Node;
use watchfire_protocol::engine::Event;

/// Bundles published, each of one indicator and a frame of about 1 KB.
const BUNDLES: u64 = 10_000;

/// Publications under way at a time: few enough that gossip's queues hold them.
const UNDER_WAY: usize = 256;

/// Messages of 1 KB a second between three nodes over TCP, measured with
/// gossipsub alone, anonymous, without checks or disk, on two such cores.
const GOSSIPSUB_ALONE: f64 = 11_800.0;

fn main() {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("there is a runtime");
    runtime.block_on(async {
        let federation = Federation::found(directory.path(), 3);
        let nodes = [0, 1, 2].map(|number| federation.start(number));
        meet(&nodes).await;
        let [author, near, far] = &nodes;
        let begun = Instant::now();
        let arrivals = [near, far].map(|(node, _)| tokio::spawn(arrival(node.events())));
        publish(&author.0).await;
        let acknowledged = begun.elapsed();
        let mut verified = Duration::ZERO;
        let mut searchable = Duration::ZERO;
        for arrival in arrivals {
            let (last_verified, last_searchable) = arrival.await.unwrap();
            verified = verified.max(last_verified.duration_since(begun));
            searchable = searchable.max(last_searchable.duration_since(begun));
        }
        println!("{BUNDLES} bundles of one node, two others, {UNDER_WAY} under way at a time");
        for (what, time) in [
            ("acknowledged", acknowledged),
            ("verified at both", verified),
            ("searchable at both", searchable),
        ] {
            let rate = BUNDLES as f64 / time.as_secs_f64();
            println!(
                "  {what:<20} {rate:>7.0} bundles/s, {:>4.0} % of gossipsub alone",
                100.0 * rate / GOSSIPSUB_ALONE
            );
        }
        for node in nodes {
            stop(node).await;
        }
    });
}

async fn publish(author: &Node) {
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut answers = Vec::new();
    for number in 0..BUNDLES {
        let permit = Arc::clone(&room).acquire_owned().await.unwrap();
        let author = author.clone();
        answers.push(tokio::spawn(async move {
            let outcome = author.publish(small_bundle(number), wish()).await;
            drop(permit);
            outcome
        }));
    }
    for answer in answers {
        answer.await.unwrap().unwrap().unwrap();
    }
}

/// When the last bundle was verified, and when the last could be searched.
async fn arrival(
    mut events: tokio::sync::broadcast::Receiver<watchfire_node::driver::NodeEvent>,
) -> (Instant, Instant) {
    let (mut verified, mut searchable) = (0, 0);
    let mut last_verified = None;
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(120), events.recv())
            .await
            .expect("they all arrive")
            .expect("the listener keeps up");
        match heard.event {
            Event::Verified { .. } => {
                verified += 1;
                if verified == BUNDLES {
                    last_verified = Some(heard.at);
                }
            }
            Event::Searchable { .. } => {
                searchable += 1;
                if let (BUNDLES, Some(last_verified)) = (searchable, last_verified) {
                    return (last_verified, heard.at);
                }
            }
            Event::Stored { .. }
            | Event::NotOpened { .. }
            | Event::NotTaken { .. }
            | Event::Conflict { .. }
            | Event::PeerReady { .. }
            | Event::Epoch { .. }
            | Event::CardChanged { .. }
            | Event::Revoked { .. }
            | Event::Suspension { .. }
            | Event::ForkProven { .. }
            | Event::DoubleVote { .. }
            | Event::Admitted { .. } => {}
        }
    }
}
