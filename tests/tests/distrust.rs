//! One member breaks with another, with the real program: its links end at once,
//! nothing new of it comes by any way, what is held is marked, the others notice
//! nothing, and the end brings back what was missed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use watchfire_crypto::{Passphrase, Purpose};
use watchfire_node::cli::NodeSettings;
use watchfire_node::disk::SledStore;
use watchfire_node::home::Home;
use watchfire_node::keystore::{MODE_PUBLIC, write_new};
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::roster::{draft_genesis, inspect_genesis, sign_genesis};
use watchfire_protocol::wire::card::{Contact, DutyDesk, Role};
use watchfire_protocol::wire::genesis::card_to_file;
use watchfire_protocol::wire::{Bytes, List, Text};
use watchfire_tests::mesh::{PATIENCE, document, free_port, wall_ms};
use watchfire_tests::program::{PASSPHRASE, Process, Said, seal};

const BINARY: &str = env!("CARGO_BIN_EXE_watchfire-under-test");

/// The one who distrusts, the one who is distrusted, and a third.
const SLUGS: [&str; 3] = [AT, BE, CZ];
const AT: &str = "at-cert";
const BE: &str = "be-cert";
const CZ: &str = "cz-cert";

struct World {
    dir: tempfile::TempDir,
    fingerprint: String,
}

fn contact() -> Contact {
    Contact {
        mail: Text::new("info@cert.example").unwrap(),
        duty: DutyDesk {
            phone: Text::new("+00 000 0000").unwrap(),
            mail: Text::new("soc@cert.example").unwrap(),
            hours: Text::new("Mon-Fri 08:00-18:00").unwrap(),
            zone: Text::new("Europe/Vienna").unwrap(),
        },
        languages: List::new(vec![Text::new("de-AT").unwrap(), Text::new("en").unwrap()]).unwrap(),
        pgp: Bytes::new(vec![0xab; 20]).unwrap(),
        ..Contact::default()
    }
}

impl World {
    /// Three data directories as `init` and `join` leave them. The keys are made by
    /// hand, because those of `init` are dear on purpose.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = dir.path().join("passphrase");
        fs::write(&passphrase, PASSPHRASE).unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        let words = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
        let mut cards = Vec::new();
        for (number, slug) in (0..).zip(SLUGS) {
            let keys = Keys::derived(&[43; 32], number);
            let home = Home::create(&dir.path().join(slug)).unwrap();
            let sealed = [
                (home.root_key(), Purpose::Root, &keys.root, 1),
                (home.signing_key(), Purpose::Signing, &keys.signing, 2),
                (home.transport_key(), Purpose::Transport, &keys.transport, 3),
            ];
            for (place, purpose, key, entropy) in sealed {
                seal(&place, purpose, key, &words, entropy);
            }
            let address = format!("/ip4/127.0.0.1/tcp/{}", free_port());
            let profile = Profile {
                slug: slug.parse().unwrap(),
                role: Role::Agency,
                contact: contact(),
                addresses: vec![address.clone()],
                door_addresses: Vec::new(),
            };
            let card = make_card(&profile, &keys, wall_ms()).unwrap();
            write_new(&home.own_card(), &card_to_file(&card), MODE_PUBLIC).unwrap();
            let settings = NodeSettings {
                listen: vec![address.parse().unwrap()],
                door_listen: Vec::new(),
            };
            settings.save(&home).unwrap();
            drop(SledStore::create(&home.store()).unwrap());
            cards.push((card, vec!["eu".to_owned()]));
        }
        let mut genesis = draft_genesis("distrusting", wall_ms(), &cards).unwrap();
        for number in 0..SLUGS.len() as u64 {
            genesis = sign_genesis(&genesis, &Keys::derived(&[43; 32], number).root).unwrap();
        }
        fs::write(dir.path().join("genesis"), genesis.to_bytes()).unwrap();
        let fingerprint = inspect_genesis(&genesis).unwrap().federation.to_string();
        let world = Self { dir, fingerprint };
        for member in SLUGS {
            let join = ["join", "genesis", "--fingerprint", &world.fingerprint];
            world.at(member, &join).ends(0);
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, member: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.dir.path()).stdin(Stdio::null());
        command.args(["--data-dir", member]);
        command
    }

    fn at(&self, member: &str, args: &[&str]) -> Said {
        let output = self.command(member).args(args).output().unwrap();
        Said::of(output)
    }

    fn serve(&self, member: &str) -> Process {
        let mut command = self.command(member);
        command
            .args(["serve", "--passphrase-file", "passphrase"])
            .env("WATCHFIRE_LOG", "warn,watchfire_node::serve=info");
        let mut process = Process::start(command);
        process.until("serving", 1, member);
        process
    }

    /// Looks until it is so. Each look is a process of its own, which is pause
    /// enough.
    #[track_caller]
    fn until(&self, member: &str, args: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let data = self.at(member, args).ends(0).data();
            if is_so(&data) {
                return data;
            }
            assert!(Instant::now() < deadline, "{member} {args:?}: {data:#}");
        }
    }

    /// Until these are whom a member is connected to, and nobody else.
    #[track_caller]
    fn connected(&self, member: &str, others: &[&str]) {
        self.until(member, &["status", "--json"], |status| {
            let peers = status["peers"].as_array().unwrap();
            let mut connected: Vec<&str> = peers
                .iter()
                .filter(|peer| peer["state"] == "connected")
                .map(|peer| peer["slug"].as_str().unwrap())
                .collect();
            connected.sort_unstable();
            connected == others
        });
    }

    /// Until it has turned somebody away at the handshake: there is no link that
    /// is open and ignored.
    #[track_caller]
    fn refuses(&self, member: &str) {
        self.until(member, &["status", "--json"], |status| {
            status["counters"]["strangers_refused"]
                .as_u64()
                .is_some_and(|count| count > 0)
        });
    }

    #[track_caller]
    fn holds(&self, member: &str, envelopes: u64) {
        self.until(member, &["status", "--json"], |status| {
            status["envelopes"] == envelopes && status["waiting"] == 0
        });
    }

    /// Publishes a document of its own and gives the ids of bundle and envelope.
    fn publish(&self, member: &str, number: u64) -> (String, String) {
        let file = format!("{member}-{number}.json");
        fs::write(self.path(&file), document(number, 16)).unwrap();
        let args = ["publish", &file, "--tlp", "clear", "--json"];
        let published = self.at(member, &args).ends(0).data();
        let view = &published["files"][0]["published"];
        let id = |name: &str| view[name].as_str().unwrap().to_owned();
        (id("bundle"), id("envelope"))
    }

    fn peer(&self, member: &str, of: &str) -> Value {
        self.at(member, &["peer", "show", of, "--json"])
            .ends(0)
            .data()
    }
}

#[test]
fn a_member_is_distrusted_here_and_nowhere_else_and_trusted_again() {
    let world = World::new();
    let mut nodes: Vec<Process> = SLUGS.iter().map(|member| world.serve(member)).collect();
    world.connected(AT, &[BE, CZ]);
    world.connected(CZ, &[AT, BE]);

    let (before, envelope) = world.publish(BE, 1);
    world.holds(AT, 1);
    world.holds(CZ, 1);
    let trace = ["peer", "trace", &envelope, "--json"];
    let traced = world.at(AT, &trace).ends(0).data();
    assert_eq!(
        (&traced["author"], &traced["held"]),
        (&BE.into(), &"whole".into())
    );
    assert_eq!(traced["remembered"], true);
    assert_eq!(traced["bundle"], before.as_str());
    let first = traced["first"]["member"].as_str().unwrap();
    assert!([BE, CZ].contains(&first), "{traced:#}");
    let made = world.at(BE, &trace).ends(0).data();
    assert_eq!(
        (&made["way"], &made["first"]),
        (&"made here".into(), &Value::Null)
    );

    // Whom to call is in the card; for programs as it is, for a pipe in lines.
    let contact = world.peer(AT, BE);
    assert_eq!(contact["duty"]["phone"], "+00 000 0000");
    assert_eq!(contact["languages"], Value::from(vec!["de-AT", "en"]));
    assert_eq!(contact["pgp"], "ab".repeat(20));
    let lines = world.at(AT, &["peer", "show", BE]).ends(0).out;
    for line in [
        "duty hours\tMon-Fri 08:00-18:00 (Europe/Vienna)\n",
        "duty mail\tsoc@cert.example\n",
        "languages\tde-AT, en\n",
        "OpenPGP\tABAB ABAB ",
        "standing\tcurrent\n",
    ] {
        assert!(lines.contains(line), "no {line:?} in\n{lines}");
    }

    // A distrusts B. The link ends on both sides, at once.
    let distrust = [
        "peer",
        "distrust",
        BE,
        "--reason",
        "not its own words",
        "--json",
    ];
    let said = world.at(AT, &distrust).ends(0).data();
    assert_eq!(said["all"], Value::from(vec![BE]));
    world.connected(AT, &[CZ]);
    world.connected(BE, &[CZ]);
    world.refuses(AT);
    let (after, missed) = world.publish(BE, 2);
    let (own, _) = world.publish(AT, 3);
    world.holds(CZ, 3);
    // What C published afterwards is there: gossip has come, and without B's.
    world.publish(CZ, 4);
    world.holds(AT, 3);
    // What A publishes for everybody reaches B through C all the same.
    world.holds(BE, 4);
    world.at(BE, &["show", &own]).ends(0);
    world.at(AT, &["sync", "now"]).ends(0);
    world.at(AT, &["show", &after]).ends(14);
    let status = world.at(AT, &["status", "--json"]).ends(0).data();
    assert_eq!(status["distrusted"], Value::from(vec![BE]));
    assert_eq!(status["envelopes"], 3);
    assert_eq!(status["sync"]["missing"], 0);

    // What is held stays, marked, for own people alone.
    let shown = world.at(AT, &["show", &before, "--json"]).ends(0).data();
    assert_eq!(shown["bundle"]["distrusted"], true);
    let explained = world.at(AT, &["explain", &before, "--json"]).ends(0).data();
    let rule = |explained: &Value, action: &str| {
        let actions = explained["actions"].as_array().unwrap();
        let found = actions.iter().find(|one| one["action"] == action).unwrap();
        found["rule"].as_str().unwrap().to_owned()
    };
    assert_eq!(explained["distrusted"], true);
    assert_eq!(rule(&explained, "show"), "clear-anyone");
    assert_eq!(rule(&explained, "export"), "author-distrusted");
    let to = world
        .at(AT, &["explain", &own, "--to", BE, "--json"])
        .ends(0)
        .data();
    assert_eq!(rule(&to, "relay"), "locally-distrusted");
    let peer = world.peer(AT, BE);
    assert_eq!(peer["distrusted"]["reason"], "not its own words");
    world
        .at(AT, &["peer", "ping", BE])
        .ends(17)
        .err_has("distrusts be-cert");

    // Nobody else is told.
    for other in [BE, CZ] {
        assert_eq!(world.peer(other, BE)["distrusted"], Value::Null);
        let status = world.at(other, &["status", "--json"]).ends(0).data();
        assert_eq!(status["distrusted"], Value::from(Vec::<String>::new()));
    }

    // It outlives a restart, before the first link is made.
    let node = nodes.remove(0);
    node.terminate(AT);
    nodes.insert(0, world.serve(AT));
    world.connected(AT, &[CZ]);
    world.refuses(AT);
    let forgotten = world.at(AT, &trace).ends(0).data();
    assert_eq!(forgotten["remembered"], false);
    assert_eq!(forgotten["received"], traced["received"]);

    // The end brings the link back, and what was missed.
    let end = ["peer", "distrust", BE, "--end"];
    world.at(AT, &end).ends(0);
    world.at(AT, &end).ends(14).err_has("does not distrust it");
    world.connected(AT, &[BE, CZ]);
    world.holds(AT, 4);
    world.at(AT, &["show", &after]).ends(0);
    let traced = world
        .at(AT, &["peer", "trace", &missed, "--json"])
        .ends(0)
        .data();
    assert_eq!(traced["way"], "asked for", "{traced:#}");
    let list = world.at(AT, &["peer", "list"]).ends(0);
    assert_eq!(list.out.lines().count(), 3, "{}", list.out);

    world
        .at(AT, &["peer", "distrust", AT, "--reason", "me"])
        .ends(2);
    world
        .at(AT, &["peer", "distrust", "xx-cert", "--reason", "who"])
        .ends(14);
    world.at(AT, &["peer", "distrust", BE]).ends(2);
    world.at(AT, &["peer", "trace", "0123"]).ends(2);
    world.at(AT, &["peer", "trace", &"0f".repeat(32)]).ends(14);
    for (member, node) in SLUGS.iter().zip(nodes) {
        node.terminate(member);
    }
}
