//! Three members with the real program, the first of which comes to harm.

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
use watchfire_tests::program::{PASSPHRASE, Process, Said, seal};

const BINARY: &str = env!("CARGO_BIN_EXE_watchfire-under-test");

const SLUGS: [&str; 3] = ["at-cert", "be-cert", "cz-cert"];

/// Whom everything here happens to.
pub(crate) const AUTHOR: &str = "at-cert";

/// The others.
pub(crate) const OTHERS: [&str; 2] = ["be-cert", "cz-cert"];

/// Of whose keys a node is that takes another's place.
pub(crate) const REPLACEMENT: u64 = 7;

pub(crate) fn keys(number: u64) -> Keys {
    Keys::derived(&[43; 32], number)
}

pub(crate) fn node_of(number: u64) -> String {
    NodeId::of_transport(keys(number).transport.public().as_bytes()).to_string()
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) fingerprint: String,
    /// The first member's card and where it listens.
    pub(crate) card: Vec<u8>,
    pub(crate) address: String,
}

impl World {
    /// Three members as `init` and `join` leave them, under keys that cost little
    /// to open. The second has a door.
    pub(crate) fn new() -> Self {
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

    pub(crate) fn join(&self, data_dir: &str) {
        let join = ["join", "genesis", "--fingerprint", &self.fingerprint];
        self.at(data_dir, &join).ends(0);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program on a data directory.
    pub(crate) fn at(&self, data_dir: &str, args: &[&str]) -> Said {
        let output = self
            .command()
            .args(["--data-dir", data_dir])
            .args(args)
            .output()
            .unwrap();
        Said::of(output)
    }

    pub(crate) fn serve(&self, data_dir: &str) -> Process {
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
    pub(crate) fn until(
        &self,
        data_dir: &str,
        args: &[&str],
        is_so: impl Fn(&Said) -> bool,
    ) -> Said {
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
    pub(crate) fn holds(&self, data_dir: &str, envelopes: u64) {
        self.until(data_dir, &["status", "--json"], |said| {
            said.code == 0 && said.data()["envelopes"] == envelopes
        });
    }

    #[track_caller]
    pub(crate) fn connected(&self, data_dir: &str, count: usize) {
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
    pub(crate) fn publish(&self, data_dir: &str, number: u64) -> (String, u64) {
        let published = self.try_publish(data_dir, number).ends(0).data();
        let published = &published["files"][0]["published"];
        let bundle = published["bundle"].as_str().unwrap().to_owned();
        (bundle, published["sequence"].as_u64().unwrap())
    }

    pub(crate) fn try_publish(&self, data_dir: &str, number: u64) -> Said {
        fs::write(self.path("intel.json"), document(number, 16)).unwrap();
        let publish = ["publish", "intel.json", "--tlp", "clear", "--json"];
        self.at(data_dir, &publish)
    }

    /// Waits until these bundles are shown there, or until they are not.
    #[track_caller]
    pub(crate) fn shows(&self, data_dir: &str, bundle: &str, is_shown: bool) {
        let code = if is_shown { 0 } else { 14 };
        self.until(data_dir, &["show", bundle], |said| said.code == code);
    }

    /// Nodes of which a fork is proven there.
    pub(crate) fn forked(&self, data_dir: &str) -> Vec<String> {
        let status = self.at(data_dir, &["roster", "status", "--json"]).ends(0);
        let forked = &status.data()["forked"];
        let nodes = forked.as_array().unwrap().iter();
        nodes
            .map(|node| node.as_str().unwrap().to_owned())
            .collect()
    }

    /// What contradicts what is held in a store whose node has ended.
    pub(crate) fn evidence(&self, data_dir: &str) -> u64 {
        let stats = self.at(data_dir, &["store", "stats", "--json"]).ends(0);
        stats.data()["evidence"].as_u64().unwrap()
    }

    pub(crate) fn request(&self, data_dir: &str, args: &[&str]) -> Said {
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
    pub(crate) fn issue(&self, request: &str, fingerprint: &str, to: &str) {
        let args = ["key", "issue", request, "--root-key", "root.key"];
        let with = ["--root-passphrase-file", "passphrase", "--output", to];
        let compared = ["--fingerprint", fingerprint];
        self.at("nowhere", &[&args[..], &with[..], &compared[..]].concat())
            .ends(0);
    }

    /// The node that runs there ends its life and begins another: where the old
    /// one ends.
    #[track_caller]
    pub(crate) fn begins_a_life(&self, data_dir: &str, incarnation: u64) -> Value {
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
    pub(crate) fn publishes_again(&self, data_dir: &str, number: u64) -> (String, u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.try_publish(data_dir, number).code == 17 {
            assert!(Instant::now() < deadline, "it never may again");
        }
        self.publish(data_dir, number + 1)
    }

    /// How others see the nodes of the first member.
    #[track_caller]
    pub(crate) fn nodes_are(&self, data_dir: &str, wanted: &[(&str, u64, u64)]) {
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
pub(crate) fn make_home(path: &Path, keys: &Keys, card: &[u8], listen: &str, door: Option<&str>) {
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
pub(crate) fn copy_dir(from: &Path, to: &Path) {
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
