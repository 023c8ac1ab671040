//! A node in a process of its own, so that its memory can be watched while others flood it from here.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command as Process, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libp2p::Multiaddr;
use tokio::sync::mpsc;
use watchfire_node::transport::{self, Command, Event, Handle};
use watchfire_protocol::engine::Verdict;

use crate::watched::Watched;
use crate::world::{Node, config, flooders, keypair, peer, soon, tcp};

/// Present in the process that is the victim, with what it is to do.
const ROLE: &str = "WATCHFIRE_TEST_VICTIM";

/// What a frame has to begin with for the victim to repeat it.
const ECHO: &[u8] = b"echo ";

/// The victim, seen from the attacker. Its seed is 1; seeds 2 to 19 are admitted.
pub(crate) struct Victim {
    process: Watched,
    orders: ChildStdin,
    lines: mpsc::UnboundedReceiver<String>,
    pub(crate) address: Multiaddr,
    pub(crate) door: Multiaddr,
}

impl Victim {
    /// Starts one. `role` is `fair`, `undecided` for one that gives no verdicts, `forgetful` for one that soon forgets
    /// what it sent, or `steady` for one with the heartbeat of production, by which libp2p counts ids.
    pub(crate) async fn start(role: &str) -> Self {
        let mut process = Watched::start(
            Process::new(std::env::current_exe().unwrap())
                .args(["--exact", "victim::victim", "--nocapture"])
                .env(ROLE, role)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit()),
        );
        let child = process.child();
        let (orders, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (told, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The first line may follow the name of the test.
                if let Some((_, line)) = line.split_once("victim: ")
                    && told.send(line.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let mut victim = Self {
            process,
            orders,
            lines,
            address: Multiaddr::empty(),
            door: Multiaddr::empty(),
        };
        while victim.address.is_empty() || victim.door.is_empty() {
            let line = victim.line("listens ").await;
            let (place, address) = line.split_once(' ').unwrap();
            let address = address.parse().unwrap();
            if place == "door" {
                victim.door = address;
            } else {
                victim.address = address;
            }
        }
        victim
    }

    /// The rest of the next line that begins so.
    async fn line(&mut self, beginning: &str) -> String {
        soon(beginning, async {
            loop {
                let line = self.lines.recv().await.expect("the victim lives");
                if let Some(rest) = line.strip_prefix(beginning) {
                    return rest.to_owned();
                }
            }
        })
        .await
    }

    /// Gives an order; the victim reads them in turn.
    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// One of its counters.
    pub(crate) async fn counter(&mut self, name: &str) -> u64 {
        self.order(&format!("counter {name}"));
        self.line("counter ").await.parse().unwrap()
    }

    /// Begins to watch its memory.
    pub(crate) fn watch(&mut self) {
        self.process.watch();
    }

    /// It must not have grown by more since then, and still live.
    pub(crate) fn grew_at_most(&mut self, mib: u64) {
        self.process.grew_at_most(mib);
    }
}

/// An honest member, seed 2, with a link to the victim.
pub(crate) async fn bystander(victim: &Victim) -> Node {
    let mut node = Node::start(2, config());
    node.admit([(peer(1), vec![victim.address.clone()])]).await;
    node.up(peer(1)).await;
    unharmed(&mut node).await;
    node
}

/// A number that no other call gave.
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1_000_000);
    NEXT.fetch_add(1, Ordering::SeqCst)
}

/// The bystander's link carries gossip and questions, and never ended.
pub(crate) async fn unharmed(bystander: &mut Node) {
    soon("gossip goes there and back", async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            // Never the same twice: what was seen is not repeated.
            bystander
                .publish([ECHO, &number().to_be_bytes()].concat())
                .await;
            let heard = async {
                loop {
                    let frame = bystander.message().await;
                    if frame.bytes.starts_with(b"heard") {
                        return frame.message;
                    }
                }
            };
            let heard = tokio::select! {
                message = heard => Some(message),
                _ = async { tick.tick().await; tick.tick().await } => None,
            };
            if let Some(message) = heard {
                return bystander.decide(message, Verdict::Ignore).await;
            }
        }
    })
    .await;
    let number = number();
    bystander.request(peer(1), number, b"are you there?").await;
    assert_eq!(bystander.response(number).await.unwrap(), b"are you there?");
    assert!(!bystander.told(|event| matches!(event, Event::PeerDown { .. })));
}

/// Not a test unless [`ROLE`] is set: what the second process does.
#[test]
fn victim() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(be(&role));
}

async fn be(role: &str) {
    let mut config = config();
    config.door = vec![tcp()];
    config.timing.exchange_within = Duration::from_secs(2);
    config.gossip.history = 10;
    match role {
        "fair" => {}
        "undecided" => config.gossip.history = 50,
        "forgetful" => config.gossip.heartbeat = Duration::from_millis(20),
        "steady" => config.gossip.heartbeat = Duration::from_secs(1),
        _ => panic!("no such role: {role}"),
    }
    config.gossip.queue_frames_max = 128;
    let (handle, mut events) = transport::start(config, keypair(1)).unwrap();
    let admitted = flooders().collect();
    handle.send(Command::SetAdmitted(admitted)).await.unwrap();
    let mut orders = orders();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => on_event(role, &handle, event).await,
                None => return,
            },
            order = orders.recv() => match order {
                Some(order) => obey(&handle, &order).await,
                None => return,
            },
        }
    }
}

/// Lines of standard input, on a thread of their own.
fn orders() -> mpsc::Receiver<String> {
    let (given, orders) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if given.blocking_send(line).is_err() {
                return;
            }
        }
    });
    orders
}

async fn on_event(role: &str, handle: &Handle, event: Event) {
    match event {
        Event::Listening { address } => println!("victim: listens main {address}"),
        Event::DoorListening { address } => println!("victim: listens door {address}"),
        Event::Message { bytes, message, .. } => {
            if let Some(heard) = bytes.strip_prefix(ECHO) {
                let bytes = [b"heard", heard].concat();
                handle.send(Command::Publish { bytes }).await.unwrap();
            } else if role == "undecided" {
                return;
            }
            let verdict = Verdict::Ignore;
            let decided = Command::Verdict { message, verdict };
            handle.send(decided).await.unwrap();
        }
        Event::Request { token, bytes, .. } => {
            let bytes = if bytes == b"large" {
                vec![1; 1_000_000]
            } else {
                bytes
            };
            handle
                .send(Command::Respond { token, bytes })
                .await
                .unwrap();
        }
        Event::DoorRequest { token, bytes, .. } => {
            let answer = Command::DoorRespond { token, bytes };
            handle.send(answer).await.unwrap();
        }
        _ => {}
    }
}

async fn obey(handle: &Handle, order: &str) {
    let words: Vec<&str> = order.split(' ').collect();
    match words[..] {
        ["counter", name] => {
            let counters = handle.counters();
            let value = counters.named().find(|(known, _)| *known == name);
            println!("victim: counter {}", value.unwrap().1);
        }
        // So many frames of the largest size, each different, from this number on.
        ["publish", from, count] => {
            let (from, count): (u64, u64) = (from.parse().unwrap(), count.parse().unwrap());
            for number in from..from + count {
                let mut bytes = vec![7; 49_152];
                bytes[..8].copy_from_slice(&number.to_be_bytes());
                handle.send(Command::Publish { bytes }).await.unwrap();
            }
        }
        // So many questions of the largest size to the peer of this seed.
        ["ask", seed, count] => {
            for request in 0..count.parse().unwrap() {
                let question = Command::Request {
                    peer: peer(seed.parse().unwrap()),
                    request,
                    bytes: vec![0; 16_384],
                    response_bytes_max: 1_024,
                };
                handle.send(question).await.unwrap();
            }
        }
        _ => panic!("no such order: {order}"),
    }
}
