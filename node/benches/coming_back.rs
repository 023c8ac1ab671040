//! How long a node that was away needs until it has what it missed, against
//! what checking the signatures and writing the bytes alone would take.
//!
//! `cargo bench -p watchfire-node --bench coming_back`, smaller with
//! `WATCHFIRE_BENCH_BUNDLES=1000`.

// A benchmark may end with a panic: it then has nothing to say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod mesh;
// What the test counts with a hundred envelopes is counted here with many.
#[path = "../../tests/tests/coming_back/quiet.rs"]
mod quiet;
#[path = "coming_back/raw.rs"]
mod raw;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use mesh::{Federation, meet, small_bundle, stop, wish};
use quiet::looks_with_nothing_to_fetch;
use raw::Raw;
use tokio::sync::broadcast;
use watchfire_node::driver::NodeEvent;
use watchfire_node::node::{Node, NodeEnd};
use watchfire_protocol::engine::Event;
use watchfire_protocol::roster::Roster;

/// Bundles that are missed, unless `WATCHFIRE_BENCH_BUNDLES` says otherwise.
const BUNDLES: usize = 10_000;

/// Envelopes held where nothing is missed, for each bundle that is missed
/// elsewhere: 100,000.
const ENVELOPES_FOR_EACH_BUNDLE: usize = 10;

/// Publications under way at a time.
const TOGETHER: usize = 64;

/// How long anything may take before the run counts as stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// The author, who holds all; two more who then do; and whoever comes back.
const AUTHOR: u64 = 0;
const HOLDERS: [u64; 2] = [1, 2];
const RETURNING: [u64; 3] = [3, 4, 5];

/// Bundles published while somebody catches up, one every so often.
const LIVE: usize = 100;
const LIVE_EVERY: Duration = Duration::from_millis(10);

fn main() {
    let bundles = std::env::var("WATCHFIRE_BENCH_BUNDLES")
        .map_or(BUNDLES, |text| text.parse().expect("it is a number"));
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let federation = Federation::found(directory.path(), 6);
    let runtime = tokio::runtime::Runtime::new().expect("there is a runtime");
    let (alone, three, live, roster) = runtime.block_on(all_runs(&federation, bundles));
    drop(runtime);
    let raw = Raw::of(
        &federation.store(RETURNING[1]),
        &roster,
        &directory.path().join("raw"),
    );
    assert_eq!(raw.frames, bundles, "the store holds each once");
    println!("{bundles} bundles of one indicator each were missed");
    alone.print("from one holder", &raw);
    three.print("from three holders", &raw);
    raw.print();
    print_live(live);
    println!("\nnothing missed: bytes of request and answer, when it comes back and from then on");
    for envelopes in [100, ENVELOPES_FOR_EACH_BUNDLE * bundles] {
        let looks = looks_with_nothing_to_fetch(envelopes);
        for cost in looks {
            assert_eq!(cost.round_trips, 1);
        }
        let [back, again] = looks.map(|cost| cost.bytes);
        println!("  {envelopes:>7} envelopes held: {back:>4} and {again:>4}");
    }
}

async fn all_runs(federation: &Federation, bundles: usize) -> (Run, Run, Vec<Duration>, Roster) {
    // Whoever comes back was there before, and has met the others.
    let mut first = Vec::new();
    for number in [AUTHOR].into_iter().chain(HOLDERS).chain(RETURNING) {
        first.push(federation.start(number));
    }
    meet(&first).await;
    let mut nodes = first.into_iter();
    let author = nodes.next().expect("it was started");
    for node in nodes {
        stop(node).await;
    }
    publish(&author.0, bundles).await;
    let (alone, back) = come_back(federation, RETURNING[0], bundles).await;
    stop(back).await;
    let mut holders = vec![author];
    for number in HOLDERS {
        holders.push(come_back(federation, number, bundles).await.1);
    }
    meet(&holders).await;
    let (three, back) = come_back(federation, RETURNING[1], bundles).await;
    let roster = (*back.0.roster()).clone();
    stop(back).await;
    let author = holders.swap_remove(0);
    for holder in holders {
        stop(holder).await;
    }
    let live = meanwhile(federation, RETURNING[2], &author.0, bundles).await;
    stop(author).await;
    (alone, three, live, roster)
}

async fn publish(author: &Node, bundles: usize) {
    let all = (0..bundles as u64).map(|number| author.publish(small_bundle(number), wish()));
    let mut published = futures::stream::iter(all).buffer_unordered(TOGETHER);
    while let Some(outcome) = published.next().await {
        outcome.expect("the node runs").expect("it is published");
    }
}

/// When things happened, counted from the start of the node.
#[derive(Default)]
struct Run {
    met: Duration,
    verified: Duration,
    durable: Duration,
    searchable: Duration,
}

/// Starts a node and watches until all can be searched there.
async fn come_back(federation: &Federation, number: u64, bundles: usize) -> (Run, (Node, NodeEnd)) {
    let begun = Instant::now();
    let back = federation.start(number);
    let events = back.0.events();
    let run = tokio::time::timeout(PATIENCE, watch(events, begun, bundles))
        .await
        .expect("all of them come");
    (run, back)
}

async fn watch(mut events: broadcast::Receiver<NodeEvent>, begun: Instant, bundles: usize) -> Run {
    let mut run = Run::default();
    let (mut verified, mut stored, mut searchable) = (0, 0, 0);
    while searchable < bundles {
        let heard = events.recv().await.expect("the listener keeps up");
        let at = heard.at.duration_since(begun);
        match heard.event {
            Event::PeerReady { .. } => {
                if run.met.is_zero() {
                    run.met = at;
                }
            }
            Event::Verified { .. } => {
                verified += 1;
                run.verified = at;
            }
            Event::Stored { .. } => {
                stored += 1;
                run.durable = at;
            }
            Event::Searchable { .. } => {
                searchable += 1;
                run.searchable = at;
            }
            Event::NotOpened { why, .. } => panic!("not opened: {why}"),
            // It comes again; that each comes once is counted below.
            Event::NotTaken { why, .. } => println!("not taken for now: {why}"),
            Event::Conflict { .. } => panic!("a conflict"),
            Event::Admitted { .. } => {}
        }
    }
    assert_eq!((verified, stored), (bundles, bundles), "each came once");
    run
}

/// Starts a node, and once it has met the author, who alone is there, lets it
/// publish. Returns how long each took from there to here that came while older
/// ones were still missing.
async fn meanwhile(
    federation: &Federation,
    number: u64,
    author: &Node,
    bundles: usize,
) -> Vec<Duration> {
    let back = federation.start(number);
    let mut events = back.0.events();
    let mut publishing = None;
    let mut came = BTreeMap::new();
    while came.len() < bundles + LIVE {
        let heard = tokio::time::timeout(PATIENCE, events.recv()).await;
        let heard = heard.expect("all come").expect("the listener keeps up");
        match heard.event {
            Event::PeerReady { .. } if publishing.is_none() => {
                let author = author.clone();
                publishing = Some(tokio::spawn(async move {
                    let mut sent = BTreeMap::new();
                    for number in 0..LIVE {
                        let begun = Instant::now();
                        let stix = small_bundle((bundles + number) as u64);
                        let done = author.publish(stix, wish()).await.unwrap().unwrap();
                        sent.insert(done.published.bundle, begun);
                        tokio::time::sleep(LIVE_EVERY).await;
                    }
                    sent
                }));
            }
            Event::Verified {
                bundle: Some(bundle),
                ..
            } => {
                came.insert(bundle, heard.at);
            }
            Event::Verified { .. }
            | Event::PeerReady { .. }
            | Event::Stored { .. }
            | Event::Searchable { .. }
            | Event::NotOpened { .. }
            | Event::NotTaken { .. }
            | Event::Conflict { .. }
            | Event::Epoch { .. }
            | Event::CardChanged { .. }
            | Event::Revoked { .. }
            | Event::Suspension { .. }
            | Event::ForkProven { .. }
            | Event::DoubleVote { .. }
            | Event::Admitted { .. } => {}
        }
    }
    stop(back).await;
    let sent = publishing.expect("it met somebody").await.unwrap();
    let missed = came
        .iter()
        .filter(|(bundle, _)| !sent.contains_key(*bundle));
    let last = missed.map(|(_, at)| *at).max().expect("some were missed");
    let in_time = sent.iter().filter(|(bundle, _)| came[*bundle] < last);
    in_time
        .map(|(bundle, begun)| came[bundle].duration_since(*begun))
        .collect()
}

fn print_live(mut took: Vec<Duration>) {
    took.sort_unstable();
    println!(
        "\npublished meanwhile: {} of {LIVE} came before the last that was missed",
        took.len()
    );
    if let (Some(middle), Some(longest)) = (took.get(took.len() / 2), took.last()) {
        println!(
            "  from handing in to verified: median {:.1} ms, longest {:.1} ms",
            ms(*middle),
            ms(*longest)
        );
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Run {
    fn print(&self, from: &str, raw: &Raw) {
        let rate = |time: Duration| raw.frames as f64 / time.as_secs_f64();
        println!("\n{from}");
        println!("  first holder met after {:>8.0} ms", ms(self.met));
        for (what, at) in [
            ("all verified after", self.verified),
            ("all durable after", self.durable),
            ("all searchable after", self.searchable),
        ] {
            println!(
                "  {what:<22} {:>8.0} ms, {:>5.0} ms after that: {:>6.0} bundles/s, {:.2} of the raw rate on one core, {:.2} on all",
                ms(at),
                ms(at - self.met),
                rate(at - self.met),
                (raw.one_core + raw.write).as_secs_f64() / (at - self.met).as_secs_f64(),
                (raw.all_cores + raw.write).as_secs_f64() / (at - self.met).as_secs_f64(),
            );
        }
    }
}

impl Raw {
    fn print(&self) {
        println!(
            "\nraw: {} signatures, {} bytes",
            2 * self.frames,
            self.bytes
        );
        println!("  checked on one core    {:>8.0} ms", ms(self.one_core));
        println!("  checked on all cores   {:>8.0} ms", ms(self.all_cores));
        println!("  one batch and a flush  {:>8.0} ms", ms(self.write));
    }
}
