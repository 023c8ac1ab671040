//! A node that is put back from a copy, one that runs twice, and one whose disk is
//! lost, with the real program: nobody ever sees it say two things under one
//! number for longer than its member takes to end that, and what counted counts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use watchfire_crypto::{Passphrase, Purpose};
use watchfire_node::cli::NodeSettings;
use watchfire_node::disk::SledStore;
use watchfire_node::home::Home;
use watchfire_node::keystore::{MODE_PUBLIC, write_new};
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::roster::{draft_genesis, inspect_genesis, sign_genesis};
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::genesis::card_to_file;
use watchfire_tests::mesh::{PATIENCE, document, free_port, wall_ms};
use watchfire_tests::program::{PASSPHRASE, Process, seal};

const BINARY: &str = env!("CARGO_BIN_EXE_watchfire-under-test");

const SLUGS: [&str; 3] = ["at-cert", "be-cert", "cz-cert"];

/// Whom everything here happens to.
const AUTHOR: &str = "at-cert";

/// The others.
const OTHERS: [&str; 2] = ["be-cert", "cz-cert"];

/// Of whose keys a node is that takes another's place.
const REPLACEMENT: u64 = 7;

fn keys(number: u64) -> Keys {
    Keys::derived(&[43; 32], number)
}

fn node_of(number: u64) -> String {
    NodeId::of_transport(keys(number).transport.public().as_bytes()).to_string()
}

/// What a command printed and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn err_has(self, part: &str) -> Self {
        assert!(self.err.contains(part), "no {part:?} in\n{}", self.err);
        self
    }

    #[track_caller]
    fn data(&self) -> Value {
        let document: Value = serde_json::from_str(&self.out).unwrap();
        document["data"].clone()
    }
}

struct World {
    dir: tempfile::TempDir,
    fingerprint: String,
    /// The first member's card and where it listens.
    card: Vec<u8>,
    address: String,
}

impl World {
    /// Three members as `init` and `join` leave them, under keys that cost little
    /// to open. The second has a door.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = dir.path().join("passphrase");
        fs::write(&passphrase, PASSPHRASE).unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        let mut cards = Vec::new();
        let mut addresses = Vec::new();
        for (number, slug) in (0..).zip(SLUGS) {
            let listen = address();
            let door = (number == 1).then(address);
            let profile = Profile {
                slug: slug.parse().unwrap(),
                role: Role::Agency,
                contact: Contact::default(),
                addresses: vec![listen.clone()],
                door_addresses: door.clone().into_iter().collect(),
            };
            let card = make_card(&profile, &keys(number), wall_ms()).unwrap();
            make_home(
                &dir.path().join(slug),
                &keys(number),
                &card_to_file(&card),
                &listen,
                door.as_deref(),
            );
            cards.push((card, vec!["eu".to_owned()]));
            addresses.push(listen);
        }
        let words = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
        seal(
            &dir.path().join("root.key"),
            Purpose::Root,
            &keys(0).root,
            &words,
            3,
        );
        let mut genesis = draft_genesis("coming back", wall_ms(), &cards).unwrap();
        for number in 0..SLUGS.len() as u64 {
            genesis = sign_genesis(&genesis, &keys(number).root).unwrap();
        }
        fs::write(dir.path().join("genesis"), genesis.to_bytes()).unwrap();
        let world = Self {
            fingerprint: inspect_genesis(&genesis).unwrap().federation.to_string(),
            card: card_to_file(&cards[0].0),
            address: addresses.remove(0),
            dir,
        };
        for slug in SLUGS {
            world.join(slug);
        }
        world
    }

    fn join(&self, data_dir: &str) {
        let join = ["join", "genesis", "--fingerprint", &self.fingerprint];
        self.at(data_dir, &join).ends(0);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program on a data directory.
    fn at(&self, data_dir: &str, args: &[&str]) -> Said {
        let output = self
            .command()
            .args(["--data-dir", data_dir])
            .args(args)
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn serve(&self, data_dir: &str) -> Process {
        let mut command = self.command();
        command
            .args(["--data-dir", data_dir, "serve", "--passphrase-file"])
            .arg("passphrase")
            .env("WATCHFIRE_LOG", "warn,watchfire_node::serve=info");
        let mut process = Process::start(command);
        process.until("serving", 1, data_dir);
        process
    }

    /// Looks until it is so. Each look is a process of its own, which is pause
    /// enough.
    #[track_caller]
    fn until(&self, data_dir: &str, args: &[&str], is_so: impl Fn(&Said) -> bool) -> Said {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.at(data_dir, args);
            if is_so(&said) {
                return said;
            }
            assert!(
                Instant::now() < deadline,
                "{data_dir} {args:?}: {} {}\n{}",
                said.code,
                said.out,
                said.err
            );
        }
    }

    #[track_caller]
    fn holds(&self, data_dir: &str, envelopes: u64) {
        self.until(data_dir, &["status", "--json"], |said| {
            said.code == 0 && said.data()["envelopes"] == envelopes
        });
    }

    #[track_caller]
    fn connected(&self, data_dir: &str, count: usize) {
        self.until(data_dir, &["status", "--json"], |said| {
            said.code == 0
                && said.data()["peers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|peer| peer["state"] == "connected")
                    .count()
                    == count
        });
    }

    /// Publishes, and returns the bundle's id and its number in the stream.
    #[track_caller]
    fn publish(&self, data_dir: &str, number: u64) -> (String, u64) {
        let published = self.try_publish(data_dir, number).ends(0).data();
        let published = &published["files"][0]["published"];
        let bundle = published["bundle"].as_str().unwrap().to_owned();
        (bundle, published["sequence"].as_u64().unwrap())
    }

    fn try_publish(&self, data_dir: &str, number: u64) -> Said {
        fs::write(self.path("intel.json"), document(number, 16)).unwrap();
        let publish = ["publish", "intel.json", "--tlp", "clear", "--json"];
        self.at(data_dir, &publish)
    }

    /// Waits until these bundles are shown there, or until they are not.
    #[track_caller]
    fn shows(&self, data_dir: &str, bundle: &str, is_shown: bool) {
        let code = if is_shown { 0 } else { 14 };
        self.until(data_dir, &["show", bundle], |said| said.code == code);
    }

    /// Nodes of which a fork is proven there.
    fn forked(&self, data_dir: &str) -> Vec<String> {
        let status = self.at(data_dir, &["roster", "status", "--json"]).ends(0);
        let forked = &status.data()["forked"];
        let nodes = forked.as_array().unwrap().iter();
        nodes
            .map(|node| node.as_str().unwrap().to_owned())
            .collect()
    }

    /// What contradicts what is held in a store whose node has ended.
    fn evidence(&self, data_dir: &str) -> u64 {
        let stats = self.at(data_dir, &["store", "stats", "--json"]).ends(0);
        stats.data()["evidence"].as_u64().unwrap()
    }

    fn request(&self, data_dir: &str, args: &[&str]) -> Said {
        let request = [
            "key",
            "request",
            "--passphrase-file",
            "passphrase",
            "--json",
        ];
        self.at(data_dir, &[&request[..], args].concat())
    }

    /// The root signs what a file asks for, after somebody compared.
    #[track_caller]
    fn issue(&self, request: &str, fingerprint: &str, to: &str) {
        let args = ["key", "issue", request, "--root-key", "root.key"];
        let with = ["--root-passphrase-file", "passphrase", "--output", to];
        let compared = ["--fingerprint", fingerprint];
        self.at("nowhere", &[&args[..], &with[..], &compared[..]].concat())
            .ends(0);
    }

    /// The node that runs there ends its life and begins another: where the old
    /// one ends.
    #[track_caller]
    fn begins_a_life(&self, data_dir: &str, incarnation: u64) -> Value {
        let file = format!("{incarnation}.request");
        let args = ["--new-incarnation", "-o", file.as_str()];
        let deadline = Instant::now() + PATIENCE;
        // It refuses while somebody has not been asked for all of it.
        let asked = loop {
            let asked = self.request(data_dir, &args);
            if asked.code != 17 {
                break asked.ends(0).data();
            }
            assert!(Instant::now() < deadline, "{}", asked.err);
        };
        assert_eq!(asked["reason"], "restored");
        assert_eq!(asked["next"]["incarnation"], incarnation);
        let life = format!("{incarnation}.life");
        self.issue(&file, asked["fingerprint"].as_str().unwrap(), &life);
        let installed = self.at(data_dir, &["key", "install", &life, "--json"]);
        let installed = installed.ends(0).data();
        assert_eq!(installed["kind"], "new life");
        asked
    }

    /// Publishes as soon as the node may.
    #[track_caller]
    fn publishes_again(&self, data_dir: &str, number: u64) -> (String, u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.try_publish(data_dir, number).code == 17 {
            assert!(Instant::now() < deadline, "it never may again");
        }
        self.publish(data_dir, number + 1)
    }

    /// How others see the nodes of the first member.
    #[track_caller]
    fn nodes_are(&self, data_dir: &str, wanted: &[(&str, u64, u64)]) {
        let show = ["peer", "show", AUTHOR, "--json"];
        self.until(data_dir, &show, |said| {
            let data = said.data();
            let nodes = data["nodes"].as_array().unwrap();
            let mut seen: Vec<(&str, u64, u64)> = nodes
                .iter()
                .map(|node| {
                    (
                        node["node"].as_str().unwrap(),
                        node["serial"].as_u64().unwrap(),
                        node["incarnation"].as_u64().unwrap(),
                    )
                })
                .collect();
            seen.sort_unstable();
            seen == wanted
        });
    }
}

fn address() -> String {
    format!("/ip4/127.0.0.1/tcp/{}", free_port())
}

/// A data directory as `init` leaves it.
fn make_home(path: &Path, keys: &Keys, card: &[u8], listen: &str, door: Option<&str>) {
    let words = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
    let home = Home::create(path).unwrap();
    let sealed = [
        (home.signing_key(), Purpose::Signing, &keys.signing, 1),
        (home.transport_key(), Purpose::Transport, &keys.transport, 2),
    ];
    for (place, purpose, key, entropy) in sealed {
        seal(&place, purpose, key, &words, entropy);
    }
    write_new(&home.own_card(), card, MODE_PUBLIC).unwrap();
    NodeSettings {
        listen: vec![listen.parse().unwrap()],
        door_listen: door.iter().map(|door| door.parse().unwrap()).collect(),
    }
    .save(&home)
    .unwrap();
    drop(SledStore::create(&home.store()).unwrap());
}

/// As an operator copies a data directory of a node that does not run.
fn copy_dir(from: &Path, to: &Path) {
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn attack_13_a_node_put_back_from_a_copy_forks_nothing_and_publishes_in_a_new_life() {
    let world = World::new();
    let others: Vec<Process> = OTHERS.iter().map(|slug| world.serve(slug)).collect();
    let author = world.serve(AUTHOR);
    world.connected(AUTHOR, 2);
    let mut bundles = vec![world.publish(AUTHOR, 1).0, world.publish(AUTHOR, 2).0];
    for slug in OTHERS {
        world.holds(slug, 2);
    }
    author.terminate(AUTHOR);
    copy_dir(&world.path(AUTHOR), &world.path("copy"));
    let mut author = world.serve(AUTHOR);
    bundles.push(world.publish(AUTHOR, 3).0);
    bundles.push(world.publish(AUTHOR, 4).0);
    for slug in OTHERS {
        world.holds(slug, 4);
    }
    // Nothing is put back under a node that runs, nor from one.
    world.at(AUTHOR, &["restore", "copy"]).ends(11);
    world.at("copy", &["restore", AUTHOR]).ends(11);
    author.strike();
    author.struck(AUTHOR);
    // Nor in the place of another node.
    world.at("be-cert", &["restore", "copy"]).ends(11);
    // The disk is gone, and with it what said how far its streams went.
    fs::remove_dir_all(world.path(AUTHOR)).unwrap();
    let restored = world
        .at(AUTHOR, &["restore", "copy", "--json"])
        .ends(0)
        .data();
    assert_eq!(restored["life_ended"], 1);
    assert_eq!(restored["node"], node_of(0));
    world.at(AUTHOR, &["restore", "copy"]).ends(0);

    let author = world.serve(AUTHOR);
    world
        .try_publish(AUTHOR, 5)
        .ends(17)
        .err_has("put back from a copy");
    let status = world.at(AUTHOR, &["status", "--json"]).ends(0).data();
    assert_eq!(status["store"]["recovering"]["life_over"], "restored");
    world.holds(AUTHOR, 4);
    // Though it holds all of its own stream again.
    world.try_publish(AUTHOR, 5).ends(17);

    let ended = world.begins_a_life(AUTHOR, 2);
    assert_eq!(
        (&ended["serial"], &ended["next"]["serial"]),
        (&1.into(), &2.into())
    );
    assert_eq!(ended["cuts"].as_array().unwrap().len(), 1);
    assert_eq!(ended["cuts"][0]["sequence"], 4);
    let (bundle, sequence) = world.publishes_again(AUTHOR, 10);
    assert_eq!(sequence, 2, "the second of a stream that began anew");
    bundles.push(bundle);
    for slug in OTHERS {
        world.nodes_are(slug, &[(&node_of(0), 2, 2)]);
        for bundle in &bundles {
            world.shows(slug, bundle, true);
        }
        assert_eq!(world.forked(slug), [""; 0]);
    }
    // It stays so after a restart, in the life it is in.
    author.terminate(AUTHOR);
    let author = world.serve(AUTHOR);
    assert_eq!(world.publish(AUTHOR, 20).1, 3);
    for slug in OTHERS {
        world.holds(slug, 7);
    }
    author.terminate(AUTHOR);
    for (slug, node) in OTHERS.iter().zip(others) {
        node.terminate(slug);
        assert_eq!(world.evidence(slug), 0, "nobody ever saw a contradiction");
    }
}

#[test]
fn attack_13_a_node_that_ran_twice_is_quarantined_until_its_root_begins_a_new_life() {
    let world = World::new();
    let mut others: Vec<Process> = OTHERS.iter().map(|slug| world.serve(slug)).collect();
    let author = world.serve(AUTHOR);
    let (before, _) = world.publish(AUTHOR, 1);
    for slug in OTHERS {
        world.holds(slug, 1);
    }
    author.terminate(AUTHOR);
    copy_dir(&world.path(AUTHOR), &world.path("clone"));
    let author = world.serve(AUTHOR);
    let (one, sequence) = world.publish(AUTHOR, 2);
    assert_eq!(sequence, 2);
    for slug in OTHERS {
        world.holds(slug, 2);
    }
    author.kill(AUTHOR);
    for (slug, node) in OTHERS.iter().zip(others) {
        node.terminate(slug);
    }
    // The clone hears nobody, and says something else under the same number.
    let clone = world.serve("clone");
    let (other, sequence) = world.publish("clone", 3);
    assert_eq!(sequence, 2);
    others = OTHERS.iter().map(|slug| world.serve(slug)).collect();
    for slug in OTHERS {
        world.until(slug, &["roster", "status", "--json"], |said| {
            said.code == 0 && said.data()["forked"] == Value::from(vec![node_of(0)])
        });
        world.shows(slug, &before, true);
        world.shows(slug, &one, false);
        world.shows(slug, &other, false);
    }

    // It learns that, too, and adds nothing that nobody would see.
    let told = ["status", "--json"];
    world.until("clone", &told, |said| {
        said.code == 0 && said.data()["store"]["recovering"]["life_over"] == "forked"
    });
    world
        .try_publish("clone", 5)
        .ends(17)
        .err_has("two envelopes for one place");

    // What lies below the fork counts, and the node goes on in a new life.
    let ended = world.begins_a_life("clone", 2);
    assert_eq!(ended["cuts"][0]["sequence"], 1);
    let (after, _) = world.publishes_again("clone", 10);
    for slug in OTHERS {
        world.shows(slug, &after, true);
        world.shows(slug, &before, true);
        world.shows(slug, &one, false);
        world.shows(slug, &other, false);
        world.nodes_are(slug, &[(&node_of(0), 2, 2)]);
        assert_eq!(world.forked(slug), [node_of(0)], "the proof stays");
    }
    clone.terminate("clone");
    for (slug, node) in OTHERS.iter().zip(others) {
        node.terminate(slug);
    }
}

#[test]
fn attack_17_a_node_that_was_replaced_counts_up_to_its_cut_and_connects_no_more() {
    let world = World::new();
    let others: Vec<Process> = OTHERS.iter().map(|slug| world.serve(slug)).collect();
    let author = world.serve(AUTHOR);
    world.connected(AUTHOR, 2);
    let (old, _) = world.publish(AUTHOR, 1);
    for slug in OTHERS {
        world.holds(slug, 1);
    }
    author.kill(AUTHOR);
    // Its disk is lost to the member; somebody may find it.
    fs::rename(world.path(AUTHOR), world.path("found")).unwrap();

    // A new node of the member, with keys of its own.
    let node = keys(REPLACEMENT);
    make_home(&world.path("new"), &node, &world.card, &world.address, None);
    world.join("new");
    let asked = world.request("new", &["-o", "new.request"]).ends(0).data();
    assert_eq!(asked["serial"], 2, "the card says what was used");
    world.issue(
        "new.request",
        asked["fingerprint"].as_str().unwrap(),
        "new.cert",
    );
    world.at("new", &["key", "install", "new.cert"]).ends(0);
    let new = world.serve("new");
    world.connected("new", 2);
    world.holds("new", 1);

    // Then the old one ends, up to what the new one holds of it.
    let (old_node, new_node) = (node_of(0), node_of(REPLACEMENT));
    world
        .request("new", &["--revoke", &new_node[..4], "--reason", "replaced"])
        .ends(2);
    world
        .request(
            "new",
            &["--revoke", "0123456789abcdef", "--reason", "replaced"],
        )
        .ends(14);
    world
        .request("new", &["--revoke", &old_node[..12]])
        .ends(2)
        .err_has("reason");
    let revoke = [
        "--revoke",
        &old_node[..12],
        "--reason",
        "replaced",
        "-o",
        "end.request",
    ];
    let asked = world.request("new", &revoke).ends(0).data();
    assert_eq!(asked["node"], old_node.as_str());
    assert_eq!(asked["serial"], Value::Null, "every certificate of it");
    assert_eq!(asked["cuts"][0]["sequence"], 1);
    let wrong = "0".repeat(64);
    let issue = ["key", "issue", "end.request", "--root-key", "root.key"];
    let with = [
        "--root-passphrase-file",
        "passphrase",
        "--fingerprint",
        &wrong,
    ];
    world
        .at("nowhere", &[&issue[..], &with[..]].concat())
        .ends(18);
    world.issue(
        "end.request",
        asked["fingerprint"].as_str().unwrap(),
        "old.revocation",
    );
    let shown = world.at("nowhere", &["key", "show", "old.revocation", "--json"]);
    assert_eq!(shown.ends(0).data()["reason"], "replaced");
    let installed = world.at("new", &["key", "install", "old.revocation", "--json"]);
    assert_eq!(installed.ends(0).data()["outcome"], "accepted");
    let again = world.at("new", &["key", "install", "old.revocation", "--json"]);
    assert_eq!(again.ends(0).data()["outcome"], "held");
    for slug in OTHERS {
        world.nodes_are(slug, &[(&new_node, 2, 1)]);
        world.shows(slug, &old, true);
    }
    let (next, _) = world.publish("new", 2);
    for slug in OTHERS {
        world.shows(slug, &next, true);
    }
    // The next request counts on from what the new node knows.
    let asked = world
        .request("new", &["-o", "renewal.request"])
        .ends(0)
        .data();
    assert_eq!(asked["serial"], 3);

    // Whoever found the old disk is heard by nobody.
    let finder = world.serve("found");
    let (stolen, _) = world.publish("found", 3);
    for slug in OTHERS {
        world.holds(slug, 2);
        world.shows(slug, &stolen, false);
    }
    world.connected("found", 0);
    finder.terminate("found");
    new.terminate("new");
    for (slug, node) in OTHERS.iter().zip(others) {
        node.terminate(slug);
    }
}
