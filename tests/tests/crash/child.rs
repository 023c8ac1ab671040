//! What a process does that is to be killed: this test binary, started again.
//!
//! It works in a directory with a genesis and the stores of two members, and
//! says in its standard output what it claims: one line for each claim.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::runtime::Runtime;
use watchfire_crypto::{Signed, SigningKey};
use watchfire_node::disk::{SledStore, chain, published, recovery};
use watchfire_node::node::{Node, NodeConfig, NodeEnd};
use watchfire_protocol::engine::{Event, Saying};
use watchfire_protocol::ids::{BundleId, MemberId, NodeId};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::card::Role as MemberRole;
use watchfire_protocol::wire::genesis::GenesisFile;
use watchfire_protocol::wire::roster::{Change, Vote, VoteBy, VoteFrame};
use watchfire_protocol::wire::{List, codec};
use watchfire_tests::mesh::{Mesh, PATIENCE, document, wall_ms, wish};

use super::program::Acknowledged;

const ROLE: &str = "WATCHFIRE_CRASH_ROLE";
const PLACE: &str = "WATCHFIRE_CRASH_PLACE";
const END_BEFORE: &str = "WATCHFIRE_END_BEFORE";

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Makes a store.
    Make,
    /// Opens a store as a node does, and mends it or sets it aside.
    Open,
    /// Publishes: small, with a body outside the frame, small.
    Publish,
    /// Publishes small ones alone.
    PublishSmall,
    /// Two nodes: what the first publishes, the second takes.
    Exchange,
    /// Publishes one, and goes on to another roster.
    Govern,
    /// Puts a store back from a copy, as `restore` does.
    Restore,
}

const ROLES: [Role; 7] = [
    Role::Make,
    Role::Open,
    Role::Publish,
    Role::PublishSmall,
    Role::Exchange,
    Role::Govern,
    Role::Restore,
];

/// How it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until<'a> {
    Done,
    /// Before its own write of this number.
    Write(u64),
    /// Before its first write of this name.
    Named(&'a str),
    /// When it writes behind this byte of any file: what was to be written
    /// across it is cut there.
    Byte(u64),
    /// The same, once the node has started: opening fills the log's segment
    /// with zeros to its end.
    ByteOnceReady(u64),
}

/// What it said until it ended.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Before what it was ended, as the code names it.
    pub(crate) before: Option<String>,
    pub(crate) is_done: bool,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// What the second node said is durable there.
    pub(crate) stored: Vec<BundleId>,
    /// The round in which the first node said it prepared a roster; 0 for none.
    pub(crate) prepared: u32,
    /// The epoch that the first node said it holds.
    pub(crate) epoch: u64,
}

/// SIGABRT and SIGXFSZ, as Linux counts them on every machine it runs on but
/// MIPS.
const ABORTED: i32 = 6;
const FILE_TOO_LARGE: i32 = 25;

/// Runs a child to its end.
pub(crate) fn run(role: Role, place: &Path, until: Until<'_>) -> Said {
    let exe = std::env::current_exe().unwrap();
    let mut command = match until {
        Until::Done | Until::Write(_) | Until::Named(_) | Until::ByteOnceReady(_) => {
            Command::new(exe)
        }
        Until::Byte(limit) => {
            let mut command = limits(limit);
            command.arg(exe);
            command
        }
    };
    match until {
        Until::Write(number) => {
            command.env(END_BEFORE, number.to_string());
        }
        Until::Named(write) => {
            command.env(END_BEFORE, write);
        }
        Until::Done | Until::Byte(_) | Until::ByteOnceReady(_) => {}
    }
    let mut child = command
        .args(["--exact", "child", "--nocapture"])
        .env(ROLE, format!("{role:?}"))
        .env(PLACE, place)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = String::new();
    if let Until::ByteOnceReady(limit) = until {
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        while !out.ends_with("\nready\n") {
            assert_ne!(lines.read_line(&mut out).unwrap(), 0, "{role:?}: {out}");
        }
        let pid = child.id().to_string();
        let limited = limits(limit).args(["--pid", &pid]).status().unwrap();
        assert!(limited.success());
    }
    // The end of its input is the sign to go on.
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    out.push_str(&String::from_utf8(output.stdout).unwrap());
    let err = String::from_utf8(output.stderr).unwrap();
    let mut said = Said::default();
    for line in out.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["acknowledged", sequence, bundle, envelope] => {
                said.acknowledged.push(Acknowledged {
                    bundle: bundle.parse().unwrap(),
                    envelope: envelope.parse().unwrap(),
                    sequence: sequence.parse().unwrap(),
                });
            }
            ["epoch", epoch] => said.epoch = epoch.parse().unwrap(),
            ["prepared", round] => said.prepared = round.parse().unwrap(),
            ["stored", bundle] => said.stored.push(bundle.parse().unwrap()),
            ["done"] => said.is_done = true,
            _ => {}
        }
    }
    let before = err
        .lines()
        .find_map(|line| line.strip_prefix("ended before: "));
    said.before = before.map(ToOwned::to_owned);
    let signal = output.status.signal();
    let is_killed = match until {
        Until::Done => false,
        Until::Write(_) | Until::Named(_) => signal == Some(ABORTED) && before.is_some(),
        Until::Byte(_) | Until::ByteOnceReady(_) => signal == Some(FILE_TOO_LARGE),
    };
    assert!(
        is_killed || (said.is_done && output.status.success()),
        "{role:?} {until:?}: {}\n{out}\n{err}",
        output.status
    );
    said
}

/// What limits how long files may become. Part of util-linux, without which no
/// Debian is.
fn limits(bytes: u64) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--fsize={bytes}")).arg("--core=0");
    command
}

/// Where a member's store is.
pub(crate) fn store_of(place: &Path, number: u64) -> PathBuf {
    place.join(format!("store-{number}"))
}

pub(crate) fn genesis_of(place: &Path) -> PathBuf {
    place.join("genesis")
}

pub(crate) fn roster_of(place: &Path) -> Roster {
    let bytes = fs::read(genesis_of(place)).unwrap();
    let mut roster = Roster::found(&GenesisFile::from_bytes(&bytes).unwrap()).unwrap();
    for link in chain::read(&store_of(place, 0)).unwrap() {
        roster = roster.follow(&link).unwrap();
    }
    roster
}

/// A node of a member, and the runtime that it lives in.
pub(crate) struct Alive {
    runtime: Runtime,
    node: Node,
    end: NodeEnd,
}

impl Alive {
    pub(crate) fn start(place: &Path, number: u64) -> Self {
        let keys = Mesh::keys(number);
        let me = NodeId::of_transport(&keys.transport.public().to_bytes());
        let roster = roster_of(place);
        let member = roster.node(&me).unwrap().member;
        let addresses = &roster.member(&member).unwrap().addresses;
        let config = NodeConfig {
            genesis_file: fs::read(genesis_of(place)).unwrap(),
            signing_key: keys.signing,
            transport_seed: watchfire_crypto::Secret::new(*keys.transport.expose_seed().expose()),
            store: store_of(place, number),
            listen: addresses
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
            door: Vec::new(),
        };
        let runtime = Runtime::new().unwrap();
        let (node, end) = {
            let _inside = runtime.enter();
            Node::start(config).unwrap_or_else(|why| panic!("it does not start: {why}"))
        };
        Self { runtime, node, end }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.node.roster().epoch()
    }

    /// Publishes one and waits until it is acknowledged.
    pub(crate) fn publish(&self, number: u64, filler_bytes: usize) -> Acknowledged {
        let stix = document(number, filler_bytes);
        let published = self
            .runtime
            .block_on(self.node.publish(stix, wish(Some(Marking::Clear))))
            .unwrap()
            .unwrap()
            .published;
        Acknowledged {
            bundle: published.bundle,
            envelope: published.envelope,
            sequence: published.sequence,
        }
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(async {
            self.node.shutdown().await;
            self.end.await.unwrap().unwrap();
        });
    }
}

/// Where a copy of the first store is.
pub(crate) fn copy_of(place: &Path) -> PathBuf {
    place.join("copy/store-0")
}

/// Puts the first store back from its copy.
fn restore(place: &Path) {
    let store = store_of(place, 0);
    let copied = recovery::place_for_copy(&store).unwrap();
    copy_dir(&copy_of(place), &copied);
    let node = NodeId::of_transport(&Mesh::keys(0).transport.public().to_bytes());
    published::before_restore(&store, &copy_of(place), &node, 1).unwrap();
    recovery::put_in_place(&store, wall_ms()).unwrap();
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn say_acknowledged(one: &Acknowledged) {
    let Acknowledged {
        bundle,
        envelope,
        sequence,
    } = one;
    println!("\nacknowledged {sequence} {bundle} {envelope}");
}

/// Plays the role that the environment gives, if it gives one.
pub(crate) fn play() {
    let Ok(name) = std::env::var(ROLE) else {
        return;
    };
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let role = ROLES
        .into_iter()
        .find(|role| format!("{role:?}") == name)
        .unwrap();
    match role {
        Role::Make => drop(SledStore::create(&store_of(&place, 0)).unwrap()),
        Role::Open => {
            let roster = roster_of(&place);
            drop(recovery::start(&store_of(&place, 0), &roster, wall_ms()).unwrap());
        }
        Role::Restore => restore(&place),
        Role::Publish => publish(&place, &[0, 300_000, 0]),
        Role::PublishSmall => publish(&place, &[0, 0, 0, 0]),
        Role::Exchange => exchange(&place),
        Role::Govern => govern(&place),
    }
    println!("\ndone");
}

fn publish(place: &Path, filler_bytes: &[usize]) {
    let author = Alive::start(place, 0);
    println!("\nready");
    // Whoever started this one may limit it first.
    let _ = std::io::stdin().read_to_string(&mut String::new());
    for (number, filler_bytes) in (1..).zip(filler_bytes) {
        say_acknowledged(&author.publish(number, *filler_bytes));
    }
    author.stop();
}

/// Both members settle the second as an observer. The test has all keys, so one
/// node is enough.
fn govern(place: &Path) {
    let author = Alive::start(place, 0);
    say_acknowledged(&author.publish(1, 0));
    let say = |saying| {
        let said = author.runtime.block_on(author.node.say(saying));
        said.unwrap().unwrap()
    };
    let roster = author.node.roster();
    let other = Mesh::keys(1);
    let settled = MemberId::of_root(&other.root.public());
    let proposed = say(Saying::Propose {
        reason: "it only reads".to_owned(),
        changes: vec![Change::Settle {
            member: settled,
            role: MemberRole::Observer,
            communities: List::default(),
        }],
    });
    let id = proposed.roster.unwrap();
    say(Saying::Prepare {
        roster: id,
        round: Some(1),
    });
    println!("\nprepared 1");
    let vote = |by, key: &SigningKey| {
        let vote = Vote {
            federation: roster.federation(),
            epoch: 1,
            roster: id,
            round: 1,
            by,
        };
        let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), key);
        Saying::Bring {
            frame: VoteFrame::bare(signed).unwrap(),
        }
    };
    let certificate = roster.certificates_of(settled).next().unwrap().id;
    say(vote(VoteBy::Prepare { certificate }, &other.signing));
    let mut epoch = 0;
    for number in 0..2 {
        let root = Mesh::keys(number).root;
        let key = root.public().to_bytes();
        epoch = say(vote(VoteBy::Commit { key }, &root)).epoch;
    }
    println!("\nepoch {epoch}");
    author.stop();
}

/// The author publishes one before and one after the other is there.
fn exchange(place: &Path) {
    let author = Alive::start(place, 0);
    say_acknowledged(&author.publish(1, 0));
    let other = Alive::start(place, 1);
    let mut events = other.node.events();
    let mut next = |until: &dyn Fn(&Event) -> bool| {
        other.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                loop {
                    let event = events.recv().await.unwrap().event;
                    if let Event::Stored {
                        bundle: Some(bundle),
                        ..
                    } = &event
                    {
                        println!("\nstored {bundle}");
                    }
                    if until(&event) {
                        break;
                    }
                }
            })
            .await
            .unwrap();
        });
    };
    let is_stored = |event: &Event| matches!(event, Event::Stored { .. });
    next(&is_stored);
    say_acknowledged(&author.publish(2, 0));
    next(&is_stored);
    other.stop();
    author.stop();
}
