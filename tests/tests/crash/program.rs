//! The node under test as this test speaks to it: lines on its control socket,
//! without waiting for answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Range;
use std::os::unix::net::UnixStream;

use watchfire_node::control::{ControlAnswer, ControlRequest, Op, PublishOp, Reply};
use watchfire_node::disk::SledStore;
use watchfire_protocol::ids::{BundleId, EnvelopeId, NodeId};
use watchfire_protocol::wire::Tag;
use watchfire_protocol::wire::exchange::StreamId;
use watchfire_tests::mesh::{Listen, Mesh, document};
use watchfire_tests::program::{self, PASSPHRASE, Process};

use super::held::Author;

/// What the node said is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) bundle: BundleId,
    pub(crate) envelope: EnvelopeId,
    pub(crate) sequence: u64,
}

/// The stream in which a node of a mesh publishes.
pub(crate) const fn public_stream(node: NodeId) -> StreamId {
    StreamId {
        node,
        incarnation: 1,
        tag: Tag::PUBLIC,
    }
}

/// A data directory, and how to run the program on it.
pub(crate) struct Program {
    mesh: Mesh,
    program: program::Program,
}

impl Program {
    /// Makes the data directory of the first of two members. The other member
    /// is away.
    pub(crate) fn prepare() -> Self {
        let binary = env!("CARGO_BIN_EXE_watchfire-under-test");
        let mesh = Mesh::of(&[Listen::Nowhere, Listen::Nowhere]);
        let listen = ["/ip4/127.0.0.1/tcp/0"];
        let program = program::Program::prepare(binary, &mesh, 0, PASSPHRASE, &listen);
        Self { mesh, program }
    }

    /// Who publishes, and where.
    pub(crate) fn author(&self) -> Author<'_> {
        Author {
            roster: self.mesh.roster(),
            stream: public_stream(self.mesh.node(0)),
        }
    }

    /// The store, opened beside no node.
    pub(crate) fn open_store(&self, at: &str) -> SledStore {
        self.program.open_store(at)
    }

    /// Starts the program and waits until it serves.
    pub(crate) fn serve(&self, at: &str) -> Serving {
        let process = self.program.serve(at);
        let control = UnixStream::connect(self.program.control_socket())
            .unwrap_or_else(|error| panic!("{at}: no control socket: {error}"));
        Serving { process, control }
    }
}

/// A running program.
pub(crate) struct Serving {
    process: Process,
    control: UnixStream,
}

/// A request as it travels, with its payload behind it.
fn request(id: u64, op: Op, body: &[u8]) -> Vec<u8> {
    let request = ControlRequest {
        id,
        op,
        body_bytes: body.len() as u64,
    };
    let mut bytes = serde_json::to_vec(&request).unwrap();
    bytes.push(b'\n');
    bytes.extend(body);
    bytes
}

fn publish(number: u64) -> Vec<u8> {
    let op = PublishOp {
        tlp: Some("clear".to_owned()),
        exercise: true,
        ..PublishOp::default()
    };
    request(number, Op::Publish(op), &document(number, 0))
}

/// An acknowledgement, if the line is whole.
fn acknowledgement(line: &str, at: &str) -> Option<Acknowledged> {
    let line = line.strip_suffix('\n')?;
    let answer: ControlAnswer = serde_json::from_str(line).unwrap();
    let Some(Reply::Published(reply)) = answer.ok else {
        panic!("{at}: a publication was refused: {:?}", answer.error);
    };
    Some(Acknowledged {
        bundle: reply.bundle.parse().unwrap(),
        envelope: reply.envelope.parse().unwrap(),
        sequence: reply.sequence,
    })
}

impl Serving {
    /// Asks the node for bundles it acknowledged in earlier lives.
    pub(crate) fn ask_for(&self, bundles: &[Acknowledged], at: &str) {
        let mut control = &self.control;
        let mut answers = BufReader::new(control);
        for (id, one) in (0..).zip(bundles) {
            let show = Op::Show {
                id: one.bundle.to_string(),
            };
            control.write_all(&request(id, show, &[])).unwrap();
            let mut line = String::new();
            answers.read_line(&mut line).unwrap();
            let answer: ControlAnswer = serde_json::from_str(&line).unwrap();
            let Some(Reply::Shown(shown)) = answer.ok else {
                panic!(
                    "{at}: the node does not know number {}: {:?}",
                    one.sequence, answer.error
                );
            };
            assert_eq!(
                (shown.bundle.sequence, shown.bundle.state.as_str()),
                (one.sequence, "searchable"),
                "{at}"
            );
        }
    }

    /// Publishes one after the other without waiting, kills the process after
    /// so many acknowledgements, and returns all that came, those that were
    /// still in the socket included.
    pub(crate) fn publish_and_kill(
        mut self,
        numbers: Range<u64>,
        count: u64,
        at: &str,
    ) -> Vec<Acknowledged> {
        let mut control = self.control.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            // The process dies while this writes; that is what is tested.
            let _ = numbers
                .into_iter()
                .try_for_each(|number| control.write_all(&publish(number)));
        });
        let mut answers = BufReader::new(self.control.try_clone().unwrap());
        let mut acknowledged = Vec::new();
        loop {
            let mut line = String::new();
            // A killed process may reset the connection.
            let read = answers.read_line(&mut line).unwrap_or(0);
            let Some(one) = acknowledgement(&line, at).filter(|_| read > 0) else {
                break;
            };
            acknowledged.push(one);
            if acknowledged.len() as u64 == count {
                self.process.strike();
            }
        }
        self.process.struck(at);
        writer.join().unwrap();
        acknowledged
    }

    /// Publishes one and waits for it.
    pub(crate) fn publish_one(&self, number: u64, at: &str) -> Acknowledged {
        let mut control = &self.control;
        control.write_all(&publish(number)).unwrap();
        let mut line = String::new();
        BufReader::new(control).read_line(&mut line).unwrap();
        acknowledgement(&line, at).unwrap()
    }

    /// Ends it as a service manager does.
    pub(crate) fn terminate(self, at: &str) {
        self.process.terminate(at);
    }
}
