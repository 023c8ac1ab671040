//! How long it takes from handing a bundle to one node until another, on
//! loopback, has verified it, and until it can be searched there.
//!
//! `cargo bench -p watchfire-node --bench two_nodes`

// A benchmark may end with a panic: it then has nothing to say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod mesh;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh::{Federation, meet, small_bundle, stop, wish};
use watchfire_protocol::engine::Event;

/// Bundles one after the other, each waited for.
const ALONE: u64 = 300;
/// Bundles all at once.
const TOGETHER: u64 = 5_000;

fn main() {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("there is a runtime");
    runtime.block_on(async {
        let federation = Federation::found(directory.path(), 2);
        let nodes = [federation.start(0), federation.start(1)];
        meet(&nodes).await;
        alone(&nodes).await;
        together(&nodes).await;
        for node in nodes {
            stop(node).await;
        }
    });
}

type Nodes = [(watchfire_node::node::Node, watchfire_node::node::NodeEnd)];

async fn alone(nodes: &Nodes) {
    let mut events = nodes[1].0.events();
    let (mut acknowledged, mut verified, mut searchable) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ALONE {
        let begun = Instant::now();
        let published = nodes[0]
            .0
            .publish(small_bundle(number), wish())
            .await
            .unwrap()
            .unwrap();
        acknowledged.push(begun.elapsed());
        loop {
            let heard = events.recv().await.unwrap();
            match heard.event {
                Event::Verified {
                    bundle: Some(bundle),
                    ..
                } if bundle == published.published.bundle => {
                    verified.push(heard.at.duration_since(begun));
                }
                Event::Searchable { bundle, .. } if bundle == published.published.bundle => {
                    searchable.push(heard.at.duration_since(begun));
                    break;
                }
                Event::Verified { .. }
                | Event::Searchable { .. }
                | Event::Stored { .. }
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
    println!("one bundle at a time, {ALONE} of them, one indicator each");
    print(
        "publish to acknowledged (durable at the author)",
        acknowledged,
    );
    print("publish to verified at the other node", verified);
    print(
        "publish to durable and searchable at the other node",
        searchable,
    );
}

async fn together(nodes: &Nodes) {
    let mut events = nodes[1].0.events();
    let begun = Instant::now();
    let author = nodes[0].0.clone();
    let publishing = tokio::spawn(async move {
        let mut answers = Vec::new();
        for number in 0..TOGETHER {
            let author = author.clone();
            answers.push(tokio::spawn(async move {
                author.publish(small_bundle(ALONE + number), wish()).await
            }));
        }
        for answer in answers {
            answer.await.unwrap().unwrap().unwrap();
        }
        begun.elapsed()
    });
    let mut searchable = BTreeMap::new();
    while searchable.len() < usize::try_from(TOGETHER).unwrap() {
        match tokio::time::timeout(Duration::from_secs(120), events.recv())
            .await
            .expect("they all arrive")
        {
            Ok(heard) => {
                if let Event::Searchable { bundle, .. } = heard.event {
                    searchable.insert(bundle, heard.at.duration_since(begun));
                }
            }
            Err(lagged) => panic!("the listener was too slow: {lagged}"),
        }
    }
    let acknowledged = publishing.await.unwrap();
    let last = searchable.values().max().copied().unwrap();
    let rate = |time: Duration| (TOGETHER as f64) / time.as_secs_f64();
    println!("\n{TOGETHER} bundles at once, one indicator each");
    println!(
        "  all acknowledged after {:>8.0} ms: {:>6.0} bundles/s",
        acknowledged.as_secs_f64() * 1e3,
        rate(acknowledged)
    );
    println!(
        "  all searchable after   {:>8.0} ms: {:>6.0} bundles/s",
        last.as_secs_f64() * 1e3,
        rate(last)
    );
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| {
        times[(times.len() * percent).div_ceil(100).saturating_sub(1)].as_secs_f64() * 1e3
    };
    println!(
        "  {what:<54} p50 {:>6.2} ms  p99 {:>6.2} ms  max {:>6.2} ms",
        at(50),
        at(99),
        at(100)
    );
}
