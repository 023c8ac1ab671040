//! The program under test: the data directories of a mesh, and processes on
//! them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use watchfire_crypto::keyfile::ENTROPY_BYTES;
use watchfire_crypto::{Cost, KeyFile, Passphrase, Purpose};
use watchfire_node::cli::NodeSettings;
use watchfire_node::control::client::ControlClient;
use watchfire_node::control::{Op, PublishOp, Reply, StatusReply};
use watchfire_node::disk::SledStore;
use watchfire_node::home::Home;
use watchfire_node::keystore::{MODE_PUBLIC, Overwrite, write_key, write_new};
use watchfire_tests::mesh::{Mesh, document};

const PASSPHRASE: &str = "only for this test";

/// How long anything may take before a test counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A member's data directory, and how to run the program on it.
pub(crate) struct Program {
    home: Home,
    passphrase_file: PathBuf,
}

/// What a command printed, and its exit code.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) data: Value,
}

impl Program {
    /// Makes the data directory of a member of the mesh, as `init` and `join`
    /// leave it. It listens where its card says.
    pub(crate) fn prepare(mesh: &Mesh, number: u64) -> Self {
        let home = Home::create(&mesh.directory().join(format!("home-{number}"))).unwrap();
        let keys = Mesh::keys(number);
        let passphrase = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
        let sealed = [
            (home.signing_key(), Purpose::Signing, &keys.signing, 1),
            (home.transport_key(), Purpose::Transport, &keys.transport, 2),
        ];
        for (place, purpose, key, entropy) in sealed {
            let entropy = [entropy; ENTROPY_BYTES];
            let file =
                KeyFile::seal_key(purpose, key, &passphrase, Cost::INTERACTIVE, &entropy).unwrap();
            write_key(&place, file.to_string().as_bytes(), Overwrite::Never).unwrap();
        }
        write_new(&home.genesis(), &mesh.genesis_file(), MODE_PUBLIC).unwrap();
        let card = mesh.roster().member(&mesh.member(number)).unwrap();
        let listen = card.addresses.iter().map(|at| at.parse().unwrap());
        NodeSettings {
            listen: listen.collect(),
            door_listen: Vec::new(),
        }
        .save(&home)
        .unwrap();
        drop(SledStore::create(&home.store()).unwrap());
        let passphrase_file = mesh.directory().join(format!("passphrase-{number}"));
        std::fs::write(&passphrase_file, PASSPHRASE).unwrap();
        std::fs::set_permissions(&passphrase_file, PermissionsExt::from_mode(0o600)).unwrap();
        Self {
            home,
            passphrase_file,
        }
    }

    /// The store, opened beside no node.
    pub(crate) fn open_store(&self, at: &str) -> SledStore {
        SledStore::open(&self.home.store())
            .unwrap_or_else(|error| panic!("{at}: the store does not open: {error}"))
    }

    /// As if it had been away from the beginning.
    pub(crate) fn empty_store(&self) {
        std::fs::remove_dir_all(self.home.store()).unwrap();
        drop(SledStore::create(&self.home.store()).unwrap());
    }

    /// Runs a command beside the node, with `--json`.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let output = self.command().args(args).arg("--json").output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let document: Value = serde_json::from_str(&out).unwrap_or(Value::Null);
        Said {
            code: output.status.code().unwrap(),
            data: document["data"].clone(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchfire-under-test"));
        command.arg("--data-dir").arg(self.home.path());
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        command
    }

    /// Starts the node and waits until it serves.
    pub(crate) fn serve(&self, at: &str) -> Serving {
        let mut child = self
            .command()
            .arg("serve")
            .arg("--passphrase-file")
            .arg(&self.passphrase_file)
            .env("WATCHFIRE_LOG", "warn,watchfire_node::serve=info")
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
        Serving {
            child,
            control: ControlClient::connect(&socket, PATIENCE).unwrap(),
            log,
            listener: Some(listener),
        }
    }
}

/// A running node.
pub(crate) struct Serving {
    child: Child,
    control: ControlClient,
    log: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
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
    pub(crate) fn kill(mut self, at: &str) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        self.listener.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap();
        assert_eq!(status.signal(), Some(9), "{at}: it ended by itself: {log}");
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
        let log = self.log.lock().unwrap();
        assert!(status.success(), "{at}: it ended with {status}: {log}");
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
