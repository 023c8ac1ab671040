//! The program as people run it: a member's data directory, and processes on
//! it.
//!
//! Cargo names the binary under test to integration tests alone, so whoever
//! calls says where it is: `env!("CARGO_BIN_EXE_watchfire-under-test")`.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;
use watchfire_crypto::keyfile::ENTROPY_BYTES;
use watchfire_crypto::{Cost, KeyFile, Passphrase, Purpose, SigningKey};
use watchfire_node::cli::NodeSettings;
use watchfire_node::disk::SledStore;
use watchfire_node::home::Home;
use watchfire_node::keystore::{MODE_PUBLIC, Overwrite, write_key, write_new};

use crate::mesh::{Mesh, PATIENCE};

/// What opens the key files of every data directory here.
pub const PASSPHRASE: &str = "only for this test";

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Of a process that has ended.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless this is in its standard error.
    #[track_caller]
    pub fn err_has(self, part: &str) -> Self {
        assert!(self.err.contains(part), "no {part:?} in\n{}", self.err);
        self
    }

    /// What its one JSON document holds.
    #[track_caller]
    pub fn data(&self) -> Value {
        let document: Value = serde_json::from_str(&self.out).unwrap();
        document["data"].clone()
    }
}

/// A member's data directory, and how to run the program on it.
#[derive(Debug)]
pub struct Program {
    binary: PathBuf,
    home: Home,
    passphrase_file: PathBuf,
}

impl Program {
    /// Makes the data directory of a member of the mesh as `init` and `join`
    /// leave it, under a passphrase, with an empty store. Its node listens at
    /// these multiaddresses.
    pub fn prepare(
        binary: &str,
        mesh: &Mesh,
        number: u64,
        passphrase: &str,
        listen: &[&str],
    ) -> Self {
        let passphrase_file = mesh.directory().join(format!("passphrase-{number}"));
        fs::write(&passphrase_file, passphrase).unwrap();
        fs::set_permissions(&passphrase_file, fs::Permissions::from_mode(0o600)).unwrap();
        let program = Self {
            binary: binary.into(),
            home: Home::create(&mesh.directory().join(format!("home-{number}"))).unwrap(),
            passphrase_file,
        };
        let keys = Mesh::keys(number);
        let words = Passphrase::new(passphrase.to_owned()).unwrap();
        let sealed = [
            (
                program.home.signing_key(),
                Purpose::Signing,
                &keys.signing,
                1,
            ),
            (
                program.home.transport_key(),
                Purpose::Transport,
                &keys.transport,
                2,
            ),
        ];
        for (place, purpose, key, entropy) in sealed {
            seal(&place, purpose, key, &words, entropy);
        }
        write_new(&program.home.genesis(), &mesh.genesis_file(), MODE_PUBLIC).unwrap();
        NodeSettings {
            listen: listen.iter().map(|at| at.parse().unwrap()).collect(),
            door_listen: Vec::new(),
        }
        .save(&program.home)
        .unwrap();
        drop(SledStore::create(&program.home.store()).unwrap());
        program
    }

    /// The data directory.
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// The file with the passphrase, readable to its owner alone.
    pub fn passphrase_file(&self) -> &Path {
        &self.passphrase_file
    }

    /// The store, opened beside no node. `at` is said where it does not open.
    pub fn open_store(&self, at: &str) -> SledStore {
        SledStore::open(&self.home.store())
            .unwrap_or_else(|error| panic!("{at}: the store does not open: {error}"))
    }

    /// Where the control socket of its node is.
    pub fn control_socket(&self) -> PathBuf {
        self.home
            .control_socket(|name| std::env::var_os(name))
            .unwrap()
    }

    /// A command on this data directory, without its arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--data-dir").arg(self.home.path());
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        command
    }

    /// The command that serves, with this for `WATCHFIRE_LOG`.
    pub fn serve_command(&self, log: &str) -> Command {
        let mut command = self.command();
        command
            .arg("serve")
            .arg("--passphrase-file")
            .arg(&self.passphrase_file)
            .env("WATCHFIRE_LOG", log);
        command
    }

    /// Starts the node and waits until it serves.
    pub fn serve(&self, at: &str) -> Process {
        let mut process = Process::start(self.serve_command("warn,watchfire_node::serve=info"));
        process.until("serving", 1, at);
        process
    }
}

/// Writes a key file under a passphrase. `entropy` differs for each file.
pub fn seal(
    place: &Path,
    purpose: Purpose,
    key: &SigningKey,
    passphrase: &Passphrase,
    entropy: u8,
) {
    let entropy = [entropy; ENTROPY_BYTES];
    let file = KeyFile::seal_key(purpose, key, passphrase, Cost::INTERACTIVE, &entropy).unwrap();
    write_key(place, file.to_string().as_bytes(), Overwrite::Never).unwrap();
}

/// A running node. It does not outlive its test.
///
/// What is given as `at` is said with every failure.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Its lines, read as they come: a program that nobody listens to stops
    /// when the pipe is full.
    lines: Receiver<String>,
    log: String,
}

impl Process {
    /// Starts it, and listens to its standard error.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            // What a killed process leaves may end anywhere.
            said.split(b'\n')
                .map_while(Result::ok)
                .map(|line| String::from_utf8_lossy(&line).into_owned())
                .try_for_each(|line| send.send(line))
        });
        Self {
            child,
            lines,
            log: String::new(),
        }
    }

    /// Listens until so many lines more have this text.
    pub fn until(&mut self, text: &str, count: usize, at: &str) {
        let mut seen = 0;
        while seen < count {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|why| panic!("{at}: no {text:?}, {why}: {}", self.log));
            seen += usize::from(line.contains(text));
            writeln!(self.log, "{line}").unwrap();
        }
    }

    /// Reads on until it has said this text, which may have been before.
    pub fn ever(&mut self, text: &str, at: &str) {
        if !self.log.contains(text) {
            self.until(text, 1, at);
        }
    }

    /// SIGKILL, and its end is not waited for.
    pub fn strike(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for the end of a process that was [struck](Self::strike), and
    /// fails if it ended by itself.
    pub fn struck(mut self, at: &str) {
        let status = self.ended();
        let log = &self.log;
        assert_eq!(status.signal(), Some(9), "{at}: it ended by itself: {log}");
    }

    /// SIGKILL.
    pub fn kill(mut self, at: &str) {
        self.strike();
        self.struck(at);
    }

    /// Ends it as a service manager does, and returns all it said.
    pub fn terminate(mut self, at: &str) -> String {
        let kill = format!("kill -TERM {}", self.child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success(), "{at}");
        let status = self.ended();
        let log = std::mem::take(&mut self.log);
        assert!(status.success(), "{at}: it ended with {status}: {log}");
        log
    }

    /// Waits for its end and its last line.
    fn ended(&mut self) -> ExitStatus {
        for line in &self.lines {
            writeln!(self.log, "{line}").unwrap();
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After a failed expectation: no process is left behind. One that has
        // been waited for is not touched.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
