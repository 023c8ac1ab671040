//! The program under test: its data directory, its process, its control socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use watchfire_crypto::keyfile::ENTROPY_BYTES;
use watchfire_crypto::{Cost, KeyFile, Passphrase, Purpose};
use watchfire_node::cli::NodeSettings;
use watchfire_node::control::{ControlAnswer, ControlRequest, Op, PublishOp, Reply};
use watchfire_node::disk::SledStore;
use watchfire_node::home::Home;
use watchfire_node::keystore::{MODE_PUBLIC, Overwrite, write_key, write_new};
use watchfire_protocol::ids::{BundleId, EnvelopeId, NodeId};
use watchfire_protocol::wire::Tag;
use watchfire_protocol::wire::exchange::StreamId;
use watchfire_tests::mesh::{Listen, Mesh, document};

use super::held::Author;

const PASSPHRASE: &str = "only for this test";

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
    home: Home,
    passphrase_file: PathBuf,
}

impl Program {
    /// Makes the data directory of the first of two members, as `init` and
    /// `join` leave it. The other member is away.
    pub(crate) fn prepare() -> Self {
        let mesh = Mesh::of(&[Listen::Nowhere, Listen::Nowhere]);
        let home = Home::create(&mesh.directory().join("home")).unwrap();
        let keys = Mesh::keys(0);
        let passphrase = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
        let sealed = [
            (home.signing_key(), Purpose::Signing, &keys.signing, 1),
            (home.transport_key(), Purpose::Transport, &keys.transport, 2),
        ];
        for (place, purpose, key, entropy) in sealed {
            let file = KeyFile::seal_key(
                purpose,
                key,
                &passphrase,
                Cost::INTERACTIVE,
                &[entropy; ENTROPY_BYTES],
            )
            .unwrap();
            write_key(&place, file.to_string().as_bytes(), Overwrite::Never).unwrap();
        }
        write_new(&home.genesis(), &mesh.genesis_file(), MODE_PUBLIC).unwrap();
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        NodeSettings {
            listen,
            door_listen: Vec::new(),
        }
        .save(&home)
        .unwrap();
        drop(SledStore::create(&home.store()).unwrap());
        let passphrase_file = mesh.directory().join("passphrase");
        std::fs::write(&passphrase_file, PASSPHRASE).unwrap();
        std::fs::set_permissions(&passphrase_file, PermissionsExt::from_mode(0o600)).unwrap();
        Self {
            mesh,
            home,
            passphrase_file,
        }
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
        SledStore::open(&self.home.store())
            .unwrap_or_else(|error| panic!("{at}: the store does not open: {error}"))
    }

    /// Starts the program and waits until it serves.
    pub(crate) fn serve(&self, at: &str) -> Serving {
        let mut child = Command::new(env!("CARGO_BIN_EXE_watchfire-under-test"))
            .arg("serve")
            .arg("--data-dir")
            .arg(self.home.path())
            .arg("--passphrase-file")
            .arg(&self.passphrase_file)
            .env("WATCHFIRE_LOG", "warn,watchfire_node::serve=info")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        while !log.contains("serving") {
            if said.read_line(&mut log).unwrap() == 0 {
                let status = child.wait().unwrap();
                panic!("{at}: the node did not start, {status}: {log}");
            }
        }
        let log = Arc::new(Mutex::new(log));
        let further = Arc::clone(&log);
        let listener = std::thread::spawn(move || {
            let mut rest = String::new();
            // What a killed process leaves may end anywhere.
            let _ = said.read_to_string(&mut rest);
            further.lock().unwrap().push_str(&rest);
        });
        let socket = self
            .home
            .control_socket(|name| std::env::var_os(name))
            .unwrap();
        let control = UnixStream::connect(socket)
            .unwrap_or_else(|error| panic!("{at}: no control socket: {error}"));
        Serving {
            child,
            control,
            log,
            listener: Some(listener),
        }
    }
}

/// A running program.
pub(crate) struct Serving {
    child: Child,
    control: UnixStream,
    log: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
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
                self.child.kill().unwrap();
            }
        }
        let status = self.child.wait().unwrap();
        writer.join().unwrap();
        self.listener.take().unwrap().join().unwrap();
        assert_eq!(
            status.signal(),
            Some(9),
            "{at}: it ended by itself: {}",
            self.log.lock().unwrap()
        );
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
    pub(crate) fn terminate(mut self, at: &str) {
        let kill = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -TERM {}", self.child.id()))
            .status()
            .unwrap();
        assert!(kill.success());
        let status = self.child.wait().unwrap();
        self.listener.take().unwrap().join().unwrap();
        assert!(
            status.success(),
            "{at}: it ended with {status}: {}",
            self.log.lock().unwrap()
        );
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // After a failed expectation: no process is left behind. One that has
        // been waited for is not touched.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
