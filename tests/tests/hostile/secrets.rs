//! What a node says of itself, and what it leaves on its disk, holds no secret:
//! its log at the loudest, its panics, its errors, the `Debug` of its types.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use watchfire_crypto::keyfile::ENTROPY_BYTES;
use watchfire_crypto::{Bounds, Cost, KeyFile, Passphrase, Purpose, Secret, SigningKey};
use watchfire_node::control::{ControlAnswer, ControlRequest, Op, PublishOp, SearchOp};
use watchfire_node::node::NodeConfig;
use watchfire_protocol::chance::Chance;
use watchfire_protocol::engine;
use watchfire_protocol::founding::Keys;
use watchfire_tests::mesh::{Listen, Mesh};
use watchfire_tests::program::{self, Process, Program};

/// Nothing else in this repository says it.
const PASSPHRASE: &str = "nine quiet lanterns above the quay";

/// Is in every object that is published here, in its name and in its value.
const CONTENT: &str = "quartermaster";

/// Everything, and by name, as somebody asks who looks for a fault, what prints
/// keys, values and frames.
const LOUDEST: &str = "trace,sled::tree=trace,sled::pagecache=trace,libp2p_gossipsub::behaviour=trace,\
     libp2p_gossipsub::handler=trace,libp2p_gossipsub::protocol=trace,yamux=trace,\
     libp2p_request_response=trace";

/// Set in the process that panics.
const PANICS: &str = "WATCHFIRE_TESTS_PANICS";

/// How bytes get into a text: as they are, in hex of either case, as the list
/// that `Debug` makes of them, escaped, and in base64.
fn renderings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let list = format!("{bytes:?}");
    let spread = format!("{bytes:02x?}");
    let mut found = vec![
        bytes.to_vec(),
        hex::encode(bytes).into_bytes(),
        hex::encode_upper(bytes).into_bytes(),
        list.trim_matches(['[', ']']).as_bytes().to_vec(),
        spread.trim_matches(['[', ']']).as_bytes().to_vec(),
        bytes.escape_ascii().to_string().into_bytes(),
    ];
    // Where the bytes stand in the middle of others, whole groups of three
    // begin at one of three places.
    found.extend((0..3).map(|skip| {
        let whole = (bytes.len() - skip) / 3 * 3;
        base64(&bytes[skip..skip + whole])
    }));
    found
}

/// RFC 4648, section 4, of whole groups of three.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.as_chunks::<3>().0.iter();
    groups
        .flat_map(|[a, b, c]| {
            let bits = u32::from_be_bytes([0, *a, *b, *c]);
            [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize])
        })
        .collect()
}

/// Bytes as a text of as many letters, whatever they are, so that the search of
/// the library, which is quick in megabytes, finds them.
fn letters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// What must not be said: of each secret its name and some of its bytes, 12 at
/// least, so that a part of it is found as well.
struct Silence(Vec<(String, String)>);

impl Silence {
    /// The keys of a member, their passphrase.
    fn of_keys(keys: &Keys) -> Self {
        let mut found = Self(Vec::new());
        for (name, key) in [
            ("root", &keys.root),
            ("signing", &keys.signing),
            ("transport", &keys.transport),
        ] {
            found.part(name, key.expose_seed().expose());
        }
        found.part("passphrase", PASSPHRASE.as_bytes());
        found
    }

    /// The first and the last 12 bytes: whatever prints half of it prints one.
    fn part(&mut self, name: &str, bytes: &[u8]) {
        for part in [&bytes[..12], &bytes[bytes.len() - 12..]] {
            let parts = renderings(part).into_iter();
            self.0
                .extend(parts.map(|part| (name.to_owned(), letters(&part))));
        }
    }

    #[track_caller]
    fn holds_in(&self, what: &str, said: &[u8]) {
        let said = letters(said);
        for (name, needle) in &self.0 {
            if let Some(at) = said.find(needle) {
                let before = said[..at].rfind('\n').map_or(0, |end| end + 1);
                let around: String = said[before..].chars().take(300).collect();
                panic!("{what} holds the {name} as {needle:?}: {around}");
            }
        }
    }
}

/// A member's data directory, with the root key in it as `init` leaves it.
fn prepare(mesh: &Mesh, number: u64, keys: &Keys) -> Program {
    let binary = env!("CARGO_BIN_EXE_watchfire-under-test");
    let listen = ["/ip4/127.0.0.1/tcp/0"];
    let program = Program::prepare(binary, mesh, number, PASSPHRASE, &listen);
    let words = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
    let place = program.home().root_key();
    program::seal(&place, Purpose::Root, &keys.root, &words, 3);
    program
}

/// The program at its loudest.
fn loudest(prepared: &Program) -> Command {
    let mut command = prepared.serve_command(LOUDEST);
    command.env("RUST_BACKTRACE", "full");
    command
}

fn write_private(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// An indicator that says [`CONTENT`] in its name, its description and its
/// pattern, and so much filler.
fn document(number: u64, filler_bytes: usize) -> Vec<u8> {
    let filler = String::from_utf8(watchfire_tests::mesh::document(number, filler_bytes)).unwrap();
    let filler = filler.split('"').max_by_key(|part| part.len()).unwrap();
    format!(
        r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-{number:012x}","objects":[{{"type":"indicator","spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-{number:012x}","created":"2026-11-01T00:00:00Z","modified":"2026-11-01T00:00:00Z","name":"the {CONTENT} of {number}","description":"{filler}","pattern":"[domain-name:value = '{CONTENT}-{number}.example']","pattern_type":"stix","valid_from":"2026-11-01T00:00:00Z"}}]}}"#
    )
    .into_bytes()
}

fn ask(control: &UnixStream, op: Op, body: &[u8]) -> ControlAnswer {
    let request = ControlRequest {
        id: 1,
        op,
        body_bytes: body.len() as u64,
    };
    let mut bytes = serde_json::to_vec(&request).unwrap();
    bytes.push(b'\n');
    bytes.extend(body);
    let mut writing = control;
    writing.write_all(&bytes).unwrap();
    let mut line = String::new();
    BufReader::new(control).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// A node that receives, publishes, searches and refuses, with its log at
/// `trace`: ids and sizes are in it, and neither keys nor anything it carried.
#[test]
fn attack_49_the_log_and_the_disk_hold_no_secret() {
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Tcp]);
    let mut north = mesh.start(0);
    let keys = Mesh::keys(1);
    let prepared = prepare(&mesh, 1, &keys);
    let mut south = Process::start(loudest(&prepared));
    south.until("serving", 1, "at its loudest");
    north.meets(mesh.node(1));

    // One that travels inside the gossip, and one that is pulled in pieces.
    let documents = [document(1, 600), document(2, 300_000)];
    let published = north.publish_all(documents.to_vec());
    south.until("searchable", 2, "what the north published");
    let socket = prepared.control_socket();
    let control = UnixStream::connect(&socket).unwrap();
    let own = document(3, 600);
    let publish = PublishOp {
        tlp: Some("clear".to_owned()),
        ..PublishOp::default()
    };
    assert!(ask(&control, Op::Publish(publish), &own).ok.is_some());
    // What is refused says why to whom it is refused, and to nobody else.
    let unmarked = ask(
        &control,
        Op::Publish(PublishOp::default()),
        &document(4, 600),
    );
    assert!(unmarked.error.is_some(), "{unmarked:?}");
    let search = SearchOp {
        query: format!("{CONTENT}-1.example"),
        subdomains: false,
        limit: 10,
    };
    let found = ask(&control, Op::Search(search), &[]);
    assert!(
        serde_json::to_string(&found).unwrap().contains(CONTENT),
        "{found:?}"
    );
    for id in [
        format!("indicator--{CONTENT}"),
        "indicator--00000000-0000-4000-8000-000000000001".to_owned(),
        published[1].published.bundle.to_string(),
    ] {
        ask(&control, Op::Show { id: id.clone() }, &[]);
        let to = Some(CONTENT.to_owned());
        ask(&control, Op::Explain { id, to }, &[]);
    }
    // And a line that is no request.
    let broken = UnixStream::connect(&socket).unwrap();
    (&broken)
        .write_all(format!("{{\"{CONTENT}\"\n").as_bytes())
        .unwrap();
    BufReader::new(&broken)
        .read_line(&mut String::new())
        .unwrap();
    north.finds(&[published[0].published.bundle]);
    let log = south.terminate("at its loudest");
    north.stop();

    // It was loud, or nothing would be shown by its silence.
    for (part, of) in [("TRACE", "the transport"), ("searchable", "us")] {
        assert!(log.contains(part), "the log says nothing of {of}: {log}");
    }
    assert!(log.lines().count() > 100, "{log}");
    let mut silence = Silence::of_keys(&keys);
    silence.holds_in("the log", log.as_bytes());
    for (_, path) in files(prepared.home().path()) {
        silence.holds_in(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    // The disk holds content, as it must; the log does not.
    silence.part(CONTENT, CONTENT.as_bytes());
    for document in documents.iter().chain([&own]) {
        for part in document.chunks_exact(24).step_by(document.len() / 24 / 8) {
            silence.part("payload", part);
        }
    }
    silence.holds_in("the log", log.as_bytes());
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<(usize, PathBuf)> {
    let mut open = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() {
                found.push((found.len(), path));
            }
        }
    }
    assert!(found.len() > 4, "{found:?}");
    found
}

/// Does nothing but in the process that the next test starts.
#[test]
fn panics_with_secrets_in_hand() {
    if std::env::var_os(PANICS).is_none() {
        return;
    }
    let keys = Mesh::keys(1);
    let words = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
    let entropy = [9; ENTROPY_BYTES];
    let cost = Cost::INTERACTIVE;
    let file = KeyFile::seal_key(Purpose::Signing, &keys.signing, &words, cost, &entropy).unwrap();
    let config = NodeConfig {
        genesis_file: vec![1],
        signing_key: SigningKey::from_seed(keys.signing.expose_seed().expose()),
        transport_seed: keys.transport.expose_seed(),
        store: PathBuf::from("nowhere"),
        listen: Vec::new(),
        door: Vec::new(),
    };
    let other = Passphrase::new(PASSPHRASE.to_uppercase()).unwrap();
    let opened = file.open_key(Purpose::Signing, &words, &Bounds::PRODUCTION);
    assert!(opened.is_ok(), "{file:?}");
    let refused = file.open_key(Purpose::Signing, &other, &Bounds::PRODUCTION);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let started = watchfire_node::node::Node::start(config);
    // Three panics, two of them in threads of their own, with everything alive.
    std::thread::scope(|scope| {
        let refused = scope.spawn(|| refused.map(|_| ()).expect("the key file opens"));
        let started = scope.spawn(|| started.map(|_| ()).expect("the node starts"));
        let (one, two) = (refused.join(), started.join());
        assert!(one.is_err() && two.is_err());
    });
    panic!(
        "{file:?} {file} {:?}",
        (keys.root.public(), words_of(&words))
    );
}

/// What there is to see of a passphrase.
fn words_of(_: &Passphrase) -> &'static str {
    "a passphrase"
}

#[test]
fn attack_49_a_panic_prints_no_secret() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "secrets::panics_with_secrets_in_hand"])
        .args(["--test-threads=1", "--nocapture"])
        .env(PANICS, "1")
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&said);
    assert!(!output.status.success(), "{text}");
    assert_eq!(text.matches("panicked at").count(), 3, "{text}");
    Silence::of_keys(&Mesh::keys(1)).holds_in("a panic", &said);
}

/// What a person does wrong with keys and passphrases: the refusal repeats none
/// of what they gave, though each time a secret stood where it should not.
#[test]
fn attack_49_refusals_repeat_no_secret() {
    let mesh = Mesh::of(&[Listen::Nowhere, Listen::Nowhere]);
    let keys = Mesh::keys(1);
    let prepared = prepare(&mesh, 1, &keys);
    let silence = Silence::of_keys(&keys);
    let refused = |what: &str, output: Output| {
        let said = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&said).into_owned();
        assert!(!output.status.success(), "{what}: {text}");
        assert!(text.len() > 20, "{what} is refused without a word: {text}");
        silence.holds_in(what, &said);
    };
    let mut passphrases = vec![
        (
            "a passphrase that is not the one",
            format!("{PASSPHRASE} or not"),
        ),
        (
            "a passphrase of two lines",
            format!("{PASSPHRASE}\n{PASSPHRASE}\n"),
        ),
        ("a passphrase too long", PASSPHRASE.repeat(40)),
    ];
    passphrases.push(("a passphrase not of text", format!("{PASSPHRASE}\u{0}")));
    for (what, text) in passphrases {
        write_private(prepared.passphrase_file(), text.as_bytes());
        refused(what, loudest(&prepared).output().unwrap());
        let mut json = loudest(&prepared);
        refused(what, json.arg("--json").output().unwrap());
    }
    write_private(
        prepared.passphrase_file(),
        &[PASSPHRASE.as_bytes(), &[0xff]].concat(),
    );
    refused("bytes", loudest(&prepared).output().unwrap());

    // The seed itself in the place of the sealed file, whole and in part.
    write_private(prepared.passphrase_file(), PASSPHRASE.as_bytes());
    let place = prepared.home().signing_key();
    let sealed = std::fs::read_to_string(&place).unwrap();
    let seed = hex::encode(keys.signing.expose_seed().expose());
    let mut with_seed = String::new();
    for line in sealed.lines() {
        let line = match line.split_once(' ') {
            Some(("sealed", _)) => format!("sealed {seed}"),
            _ => line.to_owned(),
        };
        writeln!(with_seed, "{line}").unwrap();
    }
    let with_first = sealed.replace("watchfire-key 1", &seed);
    let with_purpose = sealed.replace("purpose signing", &format!("purpose {seed}"));
    for text in [seed, with_seed, with_first, with_purpose] {
        std::fs::remove_file(&place).unwrap();
        write_private(&place, text.as_bytes());
        refused("a seed in clear", loudest(&prepared).output().unwrap());
    }

    // A passphrase where an argument is expected.
    refused(
        "an argument",
        Command::new(env!("CARGO_BIN_EXE_watchfire-under-test"))
            .arg("search")
            .env("RUST_BACKTRACE", "full")
            .stdin(Stdio::null())
            .arg("--data-dir")
            .arg(mesh.directory().join("nothing"))
            .arg("x")
            .output()
            .unwrap(),
    );
}

/// Declares a probe for one trait. Its own method is there only where the trait
/// is, and then hides the one behind it.
macro_rules! probe {
    ($name:ident, $bound:path) => {
        struct $name<T>(Unfound<T>);

        impl<T: $bound> $name<T> {
            const fn found(&self) -> bool {
                true
            }
        }

        impl<T> Deref for $name<T> {
            type Target = Unfound<T>;

            fn deref(&self) -> &Unfound<T> {
                &self.0
            }
        }
    };
}

/// What answers for a type without the trait.
struct Unfound<T>(PhantomData<T>);

impl<T> Unfound<T> {
    const fn found(&self) -> bool {
        false
    }
}

probe!(DebugProbe, std::fmt::Debug);
probe!(DisplayProbe, std::fmt::Display);

/// The name of each type, and whether it has `Debug` and `Display`.
macro_rules! printable {
    ($($type:ty),+ $(,)?) => {
        [$((
            stringify!($type),
            DebugProbe::<$type>(Unfound(PhantomData)).found(),
            DisplayProbe::<$type>(Unfound(PhantomData)).found(),
        )),+]
    };
}

/// Every type of the product that has a secret in it.
#[test]
fn attack_49_no_type_with_a_secret_can_be_printed() {
    let secret = printable![
        SigningKey,
        Passphrase,
        Secret<[u8; 32]>,
        Secret<Vec<u8>>,
        Secret<String>,
        Keys,
        Chance,
        engine::Config,
        NodeConfig,
    ];
    for (name, debug, display) in secret {
        assert!(!debug && !display, "{name} can be printed");
    }
    // The probe sees what can be.
    let printed = printable![KeyFile, watchfire_crypto::PublicKey];
    for (name, debug, display) in printed {
        assert!(debug && display, "{name}");
    }
}
