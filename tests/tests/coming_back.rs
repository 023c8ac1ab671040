//! A node that was away gets what it missed: whole, once, also when it is
//! killed over it, while what is new arrives, and for next to nothing when
//! nothing was missed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "coming_back/held.rs"]
mod held;
#[path = "coming_back/program.rs"]
mod program;
#[path = "coming_back/quiet.rs"]
mod quiet;
#[path = "coming_back/wire.rs"]
mod wire;

use std::sync::atomic::Ordering;

use held::Held;
use program::{Program, Serving};
use quiet::looks_with_nothing_to_fetch;
use tokio::runtime::Runtime;
use watchfire_protocol::limits::RANGE_FRAMES_MAX;
use watchfire_protocol::wire::Tag;
use watchfire_protocol::wire::exchange::StreamId;
use watchfire_tests::mesh::{Listen, Mesh, document};
use wire::{Played, Served};

/// What a look may cost that finds nothing, in bytes of requests and answers.
const NOTHING_BYTES_MAX: usize = 200;

/// And over the wire, lengths included, by `docs/wire.md`: some 80. Listing one
/// stream would cost more.
const LOOK_BYTES_MAX: usize = 80;

/// Envelopes that both sides hold. The benchmark `coming_back` does the same
/// with 100,000, which takes a release build.
const HELD: usize = 100;

#[test]
fn nothing_to_fetch_costs_one_round_trip_of_at_most_200_bytes() {
    for cost in looks_with_nothing_to_fetch(HELD) {
        println!("{HELD} envelopes: {cost:?}");
        assert_eq!(cost.round_trips, 1);
        assert!(cost.bytes <= NOTHING_BYTES_MAX, "{cost:?}");
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn nothing_to_fetch_costs_as_little_over_the_real_transport() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Nowhere]);
    let holder = mesh.start(0);
    holder.publish_all((0..HELD as u64).map(|number| document(number, 0)).collect());
    runtime().block_on(async {
        let mut played = Played::start(&mesh, 1);
        while played.status().envelopes < HELD as u64 || !played.status().behind.is_empty() {
            played.step().await;
        }
        let fetched = played.carried();
        assert!(fetched.ranges > 0, "it came by asking: {fetched:?}");
        played.sync().await;
        let (after, bytes) = (played.carried(), played.carried().bytes - fetched.bytes);
        println!("over TCP, lengths included: {bytes} bytes");
        assert_eq!(after.requests - fetched.requests, 1, "one round trip");
        assert!((1..=LOOK_BYTES_MAX).contains(&bytes), "{bytes} bytes");
    });
    holder.stop();
}

/// What the first member publishes.
fn stream_of(mesh: &Mesh) -> StreamId {
    StreamId {
        node: mesh.node(0),
        incarnation: 1,
        tag: Tag::PUBLIC,
    }
}

/// Bundles that are missed. Four ranges, so that there is something between
/// the first and the last.
const MISSED: u64 = 1_000;

/// How often it is killed with part of it.
const KILLS: usize = 3;

/// Lives in which that must have happened: on a machine that does other things
/// a life may get all of it before anybody looks.
const LIVES_MAX: u64 = 24;

/// From what the points of the kills follow, unless `WATCHFIRE_CRASH_SEED`
/// says otherwise.
const SEED: u64 = 0x636f_6d65_6261_636b;

/// What is done to whoever comes back.
struct Lives {
    author: Serving,
    next: u64,
    stream: StreamId,
    seed: u64,
}

impl Lives {
    /// Marsaglia's xorshift; the low bits are the poor ones.
    fn draw(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 16) % below
    }

    /// One more on top, and returns how many there are.
    fn publish(&mut self, count: u64) -> u64 {
        let last = self.author.publish(self.next..self.next + count);
        self.next += count;
        assert_eq!(last, self.next, "the author's stream has no gap");
        last
    }
}

#[test]
fn killed_while_it_catches_up_a_node_goes_on_and_ends_with_all_of_it_once() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let (north, south) = (Program::prepare(&mesh, 0), Program::prepare(&mesh, 1));
    let seed = std::env::var("WATCHFIRE_CRASH_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let mut lives = Lives {
        author: north.serve("the author"),
        next: 0,
        stream: stream_of(&mesh),
        seed: seed | 1,
    };
    lives.publish(MISSED);

    let mut held = Held::default();
    let (mut kills, mut live_ones) = (0, 0);
    for life in 0..LIVES_MAX {
        if kills == KILLS && live_ones > 0 {
            break;
        }
        let missed = lives.next;
        // Somewhere in the first half of what is missing now.
        let point = held.count() + 1 + lives.draw(((missed - held.count()) / 2).max(1));
        let at = format!("WATCHFIRE_CRASH_SEED={seed}, life {life}, killed at {point} of {missed}");
        println!("{at}");
        let asked_at_most = catch_up_until(&south, &mut lives, point, &at);
        assert!(
            asked_at_most <= lives.next - held.through(),
            "{at}: {asked_at_most} are said to be missing, and {} were held",
            held.through()
        );
        let after = Held::of(&south.open_store(&at), &lives.stream, mesh.roster(), &at);
        assert!(
            held.is_kept_in(&after),
            "{at}: something was lost, or taken again"
        );
        println!("  held {}, without gaps {}", after.count(), after.through());
        if after.count() < missed {
            kills += usize::from(after.count() > held.count());
            // What was published while it ran, and came although older ones
            // were still missing.
            live_ones += usize::from(after.through() < missed) * after.above(missed);
            held = after;
        } else {
            // It was too fast for us: away from the beginning once more.
            south.empty_store();
            held = Held::default();
        }
    }
    assert_eq!(kills, KILLS, "it was never killed half way");
    assert!(
        live_ones > 0,
        "nothing new arrived while old ones were missing"
    );

    let at = format!("WATCHFIRE_CRASH_SEED={seed}, the last life");
    let mut serving = south.serve(&at);
    serving.until("its author to be there", |status| {
        status.sync.connected == 1
    });
    let synced = south.run(&["sync", "now"]);
    assert_eq!(
        (synced.code, &synced.data["missing"]),
        (0, &0.into()),
        "{at}"
    );
    assert_eq!(serving.status().envelopes, lives.next, "{at}");
    serving.terminate(&at);
    let all = Held::of(&south.open_store(&at), &lives.stream, mesh.roster(), &at);
    assert!(
        held.is_kept_in(&all),
        "{at}: something was lost, or taken again"
    );
    assert_eq!(
        (all.count(), all.through()),
        (lives.next, lives.next),
        "{at}"
    );
    lives.author.terminate("the author");
}

/// Starts the node and kills it when it has so many, while its author goes on
/// publishing. Returns the largest number it said to be missing.
fn catch_up_until(south: &Program, lives: &mut Lives, point: u64, at: &str) -> u64 {
    let mut serving = south.serve(at);
    let mut missing = 0;
    loop {
        let status = serving.status();
        missing = missing.max(status.sync.missing);
        if status.envelopes >= point {
            break;
        }
        if status.sync.connected > 0 {
            lives.publish(1);
        }
    }
    serving.kill(at);
    missing
}

#[test]
fn sync_now_says_by_its_code_what_came_of_it() {
    const PUBLISHED: u64 = 5;
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let south = Program::prepare(&mesh, 1);
    assert_eq!(south.run(&["sync", "now"]).code, 15, "no node runs");
    let mut serving = south.serve("alone");
    let alone = south.run(&["sync", "now"]);
    assert_eq!(
        (alone.code, &alone.data["connected"]),
        (15, &0.into()),
        "nobody is there"
    );

    play_author(&mesh, PUBLISHED, 0, |_| {
        serving.until("the other to be there", |status| status.sync.connected == 1);
        let refused = south.run(&["sync", "now"]);
        assert_eq!(
            (refused.code, &refused.data["ahead"]),
            (3, &1.into()),
            "somebody holds more and does not give it"
        );
        assert_eq!(serving.status().envelopes, 0);
    });
    serving.terminate("alone");
}

/// Plays the first member, who has published so many and answers so many
/// ranges, while `test` runs.
fn play_author(mesh: &Mesh, count: u64, willing: usize, test: impl FnOnce(&Served)) {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            runtime().block_on(async {
                let mut north = Played::start(mesh, 0);
                north.served().willing.store(willing, Ordering::SeqCst);
                north.publish(count).await;
                tell.send(north.served()).unwrap();
                north.play_until(stopped).await;
            });
        });
        test(&told.recv().unwrap());
        // Dropped by a failed expectation, it ends the play as well.
        drop(stop);
    });
}

#[test]
fn what_was_durable_at_the_kill_is_not_asked_for_again() {
    const COUNT: u64 = 3 * RANGE_FRAMES_MAX as u64;
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let south = Program::prepare(&mesh, 1);
    let stream = stream_of(&mesh);
    play_author(&mesh, COUNT, 1, |served| {
        let mut serving = south.serve("before");
        serving.until("a range", |status| status.envelopes > 0);
        serving.kill("before");
        let held = Held::of(
            &south.open_store("before"),
            &stream,
            mesh.roster(),
            "before",
        );
        let first = core::mem::take(&mut *served.ranges.lock().unwrap());
        // Two are asked for at once, and either may come first.
        assert_eq!(first.len(), 1, "it gave no more: {first:?}");

        served.willing.store(usize::MAX, Ordering::SeqCst);
        let mut serving = south.serve("after");
        serving.until("all of it", |status| status.envelopes == COUNT);
        serving.terminate("after");
        let mut asked: Vec<u64> = served
            .ranges
            .lock()
            .unwrap()
            .iter()
            .flat_map(|(from, to)| *from..=*to)
            .collect();
        asked.sort_unstable();
        let missing: Vec<u64> = (1..=COUNT)
            .filter(|sequence| !held.has(*sequence))
            .collect();
        assert_eq!(asked, missing, "each that is missing once, and no other");
        let all = Held::of(&south.open_store("after"), &stream, mesh.roster(), "after");
        assert!(held.is_kept_in(&all));
        assert_eq!((all.count(), all.through()), (COUNT, COUNT));
    });
}
