//! Two members and their genesis, made once by the program itself and copied
//! for each test, because making keys is dear on purpose.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// What the commands printed while the world was made.
pub(crate) struct Made {
    dir: TempDir,
    pub(crate) init: Said,
    pub(crate) create: Said,
    pub(crate) sign: Said,
}

static MADE: LazyLock<Made> = LazyLock::new(make);

/// A copy of the world, for one test alone.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) made: &'static Made,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Standard output, which is one JSON document of this schema.
    #[track_caller]
    pub(crate) fn data(&self, schema: &str) -> Value {
        let document: Value = serde_json::from_str(&self.out).unwrap();
        assert_eq!(document["schema"], schema);
        assert_eq!(document.as_object().unwrap().len(), 2);
        document["data"].clone()
    }

    /// The last line of standard error, which is an error as JSON.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let document: Value = serde_json::from_str(self.err.lines().last().unwrap()).unwrap();
        assert_eq!(document["schema"], "watchfire.error/1");
        assert_eq!(document["data"]["code"], self.code);
        document["data"].clone()
    }

    #[track_caller]
    pub(crate) fn err_has(&self, part: &str) -> &Self {
        assert!(self.err.contains(part), "no {part:?} in\n{}", self.err);
        self
    }

    #[track_caller]
    pub(crate) fn out_has(&self, part: &str) -> &Self {
        assert!(self.out.contains(part), "no {part:?} in\n{}", self.out);
        self
    }

    /// The value of a field that was printed as `name<TAB>value`.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        let prefix = format!("{name}\t");
        self.out
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .unwrap()
    }
}

/// The program, without anything of the environment that would steer it.
pub(crate) fn program(dir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("watchfire-under-test"));
    command.current_dir(dir).env_clear().env("HOME", dir);
    command.stdin(Stdio::null());
    command
}

impl World {
    pub(crate) fn new() -> Self {
        let made = &*MADE;
        let dir = tempfile::tempdir().unwrap();
        copy(made.dir.path(), dir.path());
        Self { dir, made }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        program(self.dir.path())
    }

    /// Runs the program for the member `at`.
    pub(crate) fn at(&self, args: &[&str]) -> Said {
        run(self.dir.path(), "at", args)
    }

    /// Runs the program for the member `de`.
    pub(crate) fn de(&self, args: &[&str]) -> Said {
        run(self.dir.path(), "de", args)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The fingerprint of the complete genesis.
    pub(crate) fn fingerprint(&self) -> &'static str {
        self.made.sign.field("fingerprint")
    }

    /// Member `at` in the federation.
    pub(crate) fn joined() -> Self {
        let world = Self::new();
        world
            .at(&["join", "genesis", "--fingerprint", world.fingerprint()])
            .ends(0);
        world
    }
}

fn run(dir: &Path, member: &str, args: &[&str]) -> Said {
    let output = program(dir)
        .args(["--data-dir", member])
        .args(args)
        .output()
        .unwrap();
    Said::of(output)
}

fn make() -> Made {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    secret(&path.join("passphrase"), "correct horse battery\n");
    let init = |member: &str, args: &[&str]| {
        let all = [
            &["init", "--slug", member, "--passphrase-file", "passphrase"],
            args,
        ]
        .concat();
        run(path, member.split('-').next().unwrap(), &all).ends(0)
    };
    let (at, _) = std::thread::scope(|scope| {
        let at = scope.spawn(|| {
            init(
                "at-cert",
                &[
                    "--name",
                    "CERT Example",
                    "--address",
                    "/ip4/192.0.2.1/tcp/4747",
                ],
            )
        });
        let de = scope.spawn(|| init("de-cert", &["--role", "hub"]));
        (at.join().unwrap(), de.join().unwrap())
    });
    let create = [
        "federation",
        "create",
        "de/own.card",
        "at/own.card",
        "--name",
        "EU exercise",
        "--community",
        "eu",
        "--community",
        "dach=at-cert",
        "-o",
        "genesis.draft",
        "--passphrase-file",
        "passphrase",
    ];
    let create = run(path, "at", &create).ends(0);
    let sign = [
        "federation",
        "sign",
        "genesis.draft",
        "-o",
        "genesis",
        "--passphrase-file",
        "passphrase",
    ];
    let sign = run(path, "de", &sign).ends(0);
    Made {
        init: at,
        create,
        sign,
        dir,
    }
}

pub(crate) fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    mode(path, 0o600);
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let permissions = entry.metadata().unwrap().permissions();
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
            fs::set_permissions(&target, permissions).unwrap();
        } else {
            // With its permissions, which the program judges.
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
