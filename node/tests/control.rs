//! The control socket of a whole node under clients that make mistakes: too many, silent, deaf, and endless ones. The
//! node lives in a process of its own, whose memory is watched.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/watched.rs"]
mod watched;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use watched::Watched;
use watchfire_node::clock::wall_ms;
use watchfire_node::control::client::{ControlClient, ControlError};
use watchfire_node::control::server::ControlServer;
use watchfire_node::control::{Op, Reply};
use watchfire_node::disk::SledStore;
use watchfire_node::limits::CONTROL_CONNECTIONS_MAX;
use watchfire_node::node::{Node, NodeConfig};
use watchfire_protocol::founding::derived_federation;
use watchfire_protocol::wire::card::Role;

/// Present in the process that is the node, with the folder it lives in.
const FOLDER: &str = "WATCHFIRE_TEST_CONTROL";

/// The limit of every wait. It is only reached when something is broken.
const LONG: Duration = Duration::from_secs(30);

/// The node, seen from its clients.
struct Victim {
    process: Watched,
    folder: tempfile::TempDir,
}

impl Victim {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Watched::start(
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "victim", "--nocapture"])
                .env(FOLDER, folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        );
        let output = BufReader::new(process.child().stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("ready")), "the node starts");
        let mut victim = Self { process, folder };
        victim.answers();
        victim.process.watch();
        victim
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn client(&self) -> ControlClient {
        ControlClient::connect(&self.socket(), LONG).unwrap()
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Somebody else is answered.
    fn answers(&self) {
        let reply = self.client().request(Op::Status, &[]).unwrap();
        assert!(matches!(reply, Reply::Status(_)));
    }

    fn grew_at_most(&mut self, mib: u64) {
        self.process.grew_at_most(mib);
    }
}

/// Not a test unless [`FOLDER`] is set: what the second process does.
#[test]
fn victim() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = Path::new(&folder);
        let store = folder.join("store");
        drop(SledStore::create(&store).unwrap());
        // Sixty members, so that a status has some kilobytes.
        let roles = [Role::Agency; 60];
        let (file, _, keys) = derived_federation(&[5; 32], &roles, wall_ms() - 1_000).unwrap();
        let keys = keys.into_iter().next().unwrap();
        let (node, end) = Node::start(NodeConfig {
            genesis_file: file.to_bytes(),
            signing_key: keys.signing,
            transport_seed: keys.transport.expose_seed(),
            store,
            listen: Vec::new(),
            door: Vec::new(),
        })
        .unwrap();
        let _server = ControlServer::start(&folder.join("control.sock"), node).unwrap();
        println!("ready");
        end.await.unwrap().unwrap();
    });
}

#[test]
fn one_client_too_many_is_told_so_and_the_others_are_answered() {
    let mut victim = Victim::start();
    // Who has just gone may still count for a moment.
    let mut idle = Vec::new();
    while idle.len() < CONTROL_CONNECTIONS_MAX {
        let mut client = victim.client();
        if client.request(Op::Status, &[]).is_ok() {
            idle.push(client);
        }
    }
    for _ in 0..1_000 {
        let mut told = String::new();
        victim.connect().read_to_string(&mut told).unwrap();
        assert!(told.contains("other clients are connected"), "{told}");
    }
    let refused = victim.client().request(Op::Status, &[]).unwrap_err();
    assert!(matches!(refused, ControlError::Failed(_)), "{refused}");
    for client in &mut idle {
        assert!(client.request(Op::Status, &[]).is_ok());
    }
    victim.grew_at_most(16);
}

#[test]
fn a_client_that_never_reads_stops_itself_and_nobody_else() {
    let mut victim = Victim::start();
    // Each would ask a million times for some kilobytes, and reads none of it.
    let mut deaf = Vec::new();
    for _ in 0..16 {
        let mut stream = victim.connect();
        stream.set_nonblocking(true).unwrap();
        let question = b"{\"id\":1,\"op\":\"status\"}\n".repeat(1_000);
        let (mut sent, mut full) = (0, 0);
        while full < 20 && sent < 1_000_000 * (question.len() / 1_000) {
            match stream.write(&question[sent % question.len()..]) {
                Ok(taken) => (sent, full) = (sent + taken, 0),
                // The socket is full; somebody else is answered all the same.
                Err(_) => {
                    full += 1;
                    victim.answers();
                }
            }
        }
        let asked = sent / (question.len() / 1_000);
        assert!(
            asked < 1_000_000,
            "the node reads on for a client that does not"
        );
        deaf.push(stream);
    }
    victim.grew_at_most(24);
}

#[test]
fn a_line_of_a_gibibyte_is_not_read() {
    let mut victim = Victim::start();
    let mut stream = victim.connect();
    let mut written = 0_usize;
    while written < 1 << 30 && stream.write_all(&[b'{'; 65_536]).is_ok() {
        written += 65_536;
    }
    assert!(written < 16 << 20, "{written} bytes of one line were taken");
    victim.answers();
    victim.grew_at_most(16);
}
