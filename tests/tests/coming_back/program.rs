//! The node under test as this test speaks to it, over its control socket.

use std::time::{Duration, Instant};

use serde_json::Value;
use watchfire_node::control::client::ControlClient;
use watchfire_node::control::{Op, PublishOp, Reply, StatusReply};
use watchfire_node::disk::SledStore;
use watchfire_tests::mesh::{Mesh, document};
use watchfire_tests::program::{self, PASSPHRASE, Process};

/// How long anything may take before a test counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A member's data directory, and how to run the program on it.
pub(crate) struct Program(program::Program);

/// What a command printed, and its exit code.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) data: Value,
}

impl Program {
    /// Makes the data directory of a member of the mesh. It listens where its
    /// card says.
    pub(crate) fn prepare(mesh: &Mesh, number: u64) -> Self {
        let binary = env!("CARGO_BIN_EXE_watchfire-under-test");
        let card = mesh.roster().member(&mesh.member(number)).unwrap();
        let listen: Vec<&str> = card.addresses.iter().map(|at| &**at).collect();
        Self(program::Program::prepare(
            binary, mesh, number, PASSPHRASE, &listen,
        ))
    }

    /// The store, opened beside no node.
    pub(crate) fn open_store(&self, at: &str) -> SledStore {
        self.0.open_store(at)
    }

    /// As if it had been away from the beginning.
    pub(crate) fn empty_store(&self) {
        std::fs::remove_dir_all(self.0.home().store()).unwrap();
        drop(SledStore::create(&self.0.home().store()).unwrap());
    }

    /// Runs a command beside the node, with `--json`.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let output = self.0.command().args(args).arg("--json").output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let document: Value = serde_json::from_str(&out).unwrap_or(Value::Null);
        Said {
            code: output.status.code().unwrap(),
            data: document["data"].clone(),
        }
    }

    /// Starts the node and waits until it serves.
    pub(crate) fn serve(&self, at: &str) -> Serving {
        let process = self.0.serve(at);
        let control = ControlClient::connect(&self.0.control_socket(), PATIENCE).unwrap();
        Serving { process, control }
    }
}

/// A running node.
pub(crate) struct Serving {
    process: Process,
    control: ControlClient,
}

impl Serving {
    /// How it is.
    pub(crate) fn status(&mut self) -> StatusReply {
        let Reply::Status(status) = self.control.request(Op::Status, &[]).unwrap() else {
            panic!("no status");
        };
        status
    }

    /// Asks it again and again until it is as expected.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&StatusReply) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.status()) {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
        }
    }

    /// Publishes these, several under way together, and waits until all are
    /// durable. Returns the sequence of the last.
    pub(crate) fn publish(&mut self, numbers: std::ops::Range<u64>) -> u64 {
        const TOGETHER: u64 = 32;
        let mut last = 0;
        let mut take = |control: &mut ControlClient| {
            let answer = control.receive().unwrap();
            let Some(Reply::Published(reply)) = answer.ok else {
                panic!("a publication was refused: {:?}", answer.error);
            };
            last = last.max(reply.sequence);
        };
        let mut under_way = 0;
        for number in numbers {
            let op = PublishOp {
                tlp: Some("clear".to_owned()),
                exercise: true,
                ..PublishOp::default()
            };
            let body = document(number, 0);
            self.control.send(Op::Publish(op), &body).unwrap();
            under_way += 1;
            if under_way == TOGETHER {
                take(&mut self.control);
                under_way -= 1;
            }
        }
        for _ in 0..under_way {
            take(&mut self.control);
        }
        last
    }

    /// SIGKILL.
    pub(crate) fn kill(self, at: &str) {
        self.process.kill(at);
    }

    /// Ends it as a service manager does.
    pub(crate) fn terminate(self, at: &str) {
        self.process.terminate(at);
    }
}
