//! A federation governs itself with the real program: a fifth member is
//! admitted, one is suspended and then expelled. The roots sign files on a
//! machine without a data directory, as an offline root does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use watchfire_crypto::{Passphrase, Purpose};
use watchfire_node::cli::NodeSettings;
use watchfire_node::disk::SledStore;
use watchfire_node::home::Home;
use watchfire_node::keystore::{MODE_PUBLIC, write_new};
use watchfire_node::votes::VoteRecord;
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::roster::{check_card, draft_genesis, inspect_genesis, sign_genesis};
use watchfire_protocol::wire::Text;
use watchfire_protocol::wire::card::{Contact, DutyDesk, Role};
use watchfire_protocol::wire::genesis::{card_from_file, card_to_file};
use watchfire_tests::mesh::{PATIENCE, document, free_port, wall_ms};
use watchfire_tests::program::{PASSPHRASE, Process, Said, seal};

const BINARY: &str = env!("CARGO_BIN_EXE_watchfire-under-test");

/// The last of them is no founder.
const SLUGS: [&str; 5] = ["at-cert", "be-cert", "cz-cert", "de-cert", "ee-cert"];
const FOUNDERS: usize = 4;

struct World {
    dir: tempfile::TempDir,
    fingerprint: String,
}

impl World {
    /// Five data directories as `init` leaves them, and a genesis that four of
    /// them signed. Made by hand, because the keys of `init` are dear on purpose.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = dir.path().join("passphrase");
        fs::write(&passphrase, PASSPHRASE).unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        let words = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
        let mut cards = Vec::new();
        for (number, slug) in (0..).zip(SLUGS) {
            let keys = Keys::derived(&[41; 32], number);
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
                contact: Contact {
                    duty: DutyDesk {
                        phone: Text::new("+00 000 0000").unwrap(),
                        hours: Text::new("at all hours").unwrap(),
                        zone: Text::new("UTC").unwrap(),
                        ..DutyDesk::default()
                    },
                    ..Contact::default()
                },
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
        cards.truncate(FOUNDERS);
        let mut genesis = draft_genesis("governed", wall_ms(), &cards).unwrap();
        for number in 0..FOUNDERS as u64 {
            genesis = sign_genesis(&genesis, &Keys::derived(&[41; 32], number).root).unwrap();
        }
        fs::write(dir.path().join("genesis"), genesis.to_bytes()).unwrap();
        let fingerprint = inspect_genesis(&genesis).unwrap().federation.to_string();
        Self { dir, fingerprint }
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

    /// Runs the program for a member.
    fn at(&self, member: &str, args: &[&str]) -> Said {
        self.run(member, args)
    }

    /// Runs it where no member is: the machine of a root.
    fn offline(&self, args: &[&str]) -> Said {
        self.run("no-such-directory", args)
    }

    fn run(&self, data_dir: &str, args: &[&str]) -> Said {
        let output = self
            .command()
            .args(["--data-dir", data_dir])
            .args(args)
            .output()
            .unwrap();
        Said::of(output)
    }

    /// A root signs a packet in place, with nothing but the file and its key.
    fn root_signs(&self, member: &str, packet: &str) -> Value {
        let key = format!("{member}/keys/root.key");
        let args = [
            "roster",
            "sign",
            "--packet",
            packet,
            "--root-key",
            &key,
            "--passphrase-file",
            "passphrase",
            "--json",
        ];
        self.offline(&args).ends(0).data()
    }

    fn serve(&self, member: &str) -> Process {
        let mut command = self.command();
        command
            .args(["--data-dir", member, "serve", "--passphrase-file"])
            .arg("passphrase")
            .env("WATCHFIRE_LOG", "warn,watchfire_node::serve=info");
        let mut process = Process::start(command);
        process.until("serving", 1, member);
        process
    }

    /// Looks until it is so. Each look is a process of its own, which is pause
    /// enough.
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

    /// Asks until it ends with this code.
    fn until_code(&self, member: &str, args: &[&str], code: i32) -> Said {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.at(member, args);
            if said.code == code || Instant::now() >= deadline {
                return said.ends(code);
            }
        }
    }

    fn status_until(&self, member: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.until(member, &["roster", "status", "--json"], is_so)
    }

    fn connected(&self, member: &str, count: usize) {
        self.until(member, &["status", "--json"], |status| {
            let peers = status["peers"].as_array().unwrap();
            peers
                .iter()
                .filter(|peer| peer["state"] == "connected")
                .count()
                == count
        });
    }
}

fn names(of: &[&str]) -> Value {
    Value::from(of.to_vec())
}

/// Its only proposal, which is at this step.
fn at_step(step: &str) -> impl Fn(&Value) -> bool {
    move |status| status["proposals"][0]["next"] == step
}

fn outcomes(imported: &Value, outcome: &str) -> u64 {
    imported[outcome].as_u64().unwrap()
}

#[test]
fn a_federation_admits_suspends_and_expels() {
    let world = World::new();
    for member in &SLUGS[..FOUNDERS] {
        let join = ["join", "genesis", "--fingerprint", &world.fingerprint];
        world.at(member, &join).ends(0);
    }
    let mut nodes: Vec<Process> = SLUGS[..FOUNDERS]
        .iter()
        .map(|member| world.serve(member))
        .collect();
    for member in &SLUGS[..FOUNDERS] {
        world.connected(member, FOUNDERS - 1);
    }

    // A fifth is proposed. Before its root consents nobody may prepare.
    let propose = [
        "roster",
        "propose",
        "--reason",
        "ee joins",
        "--admit",
        "ee-cert/own.card=eu",
        "--json",
    ];
    let proposed = world.at("at-cert", &propose).ends(0).data();
    let id = proposed["roster"].as_str().unwrap().to_owned();
    let status = world.status_until("be-cert", at_step("consent"));
    assert_eq!(status["proposals"][0]["to_consent"], names(&["ee-cert"]));
    assert_eq!(status["votes_needed"], 3);
    world
        .at("at-cert", &["roster", "prepare", &id])
        .ends(12)
        .err_has("has not consented yet");
    world
        .at("at-cert", &["roster", "prepare", "0000000000000000"])
        .ends(14);

    // By file to the newcomer's root and back.
    let export = ["roster", "export", "--output", "consent.packet"];
    world.at("at-cert", &export).ends(0);
    let signed = world.root_signs("ee-cert", "consent.packet");
    assert_eq!(
        (&signed["step"], &signed["by"]),
        (&"consent".into(), &"ee-cert".into())
    );
    let import = ["roster", "import", "consent.packet", "--json"];
    let imported = world.at("be-cert", &import).ends(0).data();
    assert_eq!(
        (
            outcomes(&imported, "accepted"),
            outcomes(&imported, "refused")
        ),
        (1, 0)
    );
    let again = world.at("be-cert", &import).ends(0).data();
    assert_eq!(outcomes(&again, "accepted"), 0, "held already");

    // A root commits nothing that too few have prepared.
    let status = world.status_until("at-cert", at_step("prepare"));
    assert_eq!(status["proposals"][0]["to_prepare"], names(&SLUGS[..4]));
    world
        .at("at-cert", &["roster", "export", "-o", "early.packet"])
        .ends(0);
    let early = [
        "roster",
        "sign",
        "--packet",
        "early.packet",
        "--root-key",
        "at-cert/keys/root.key",
        "--passphrase-file",
        "passphrase",
    ];
    world
        .offline(&early)
        .ends(12)
        .err_has("too few members have prepared it");
    assert!(!VoteRecord::place(&world.path("at-cert/keys/root.key")).exists());

    for member in ["at-cert", "be-cert", "cz-cert"] {
        world.status_until(member, at_step("prepare"));
        world.at(member, &["roster", "prepare", &id[..16]]).ends(0);
    }
    let status = world.status_until("de-cert", at_step("commit"));
    assert_eq!(status["proposals"][0]["to_prepare"], names(&["de-cert"]));
    assert_eq!(status["proposals"][0]["to_commit"], names(&SLUGS[..4]));

    // One file goes from root to root; the third signs at its node.
    world
        .at("de-cert", &["roster", "export", "-o", "epoch-1.packet"])
        .ends(0);
    let shown = [
        "roster",
        "show",
        &id[..12],
        "--packet",
        "epoch-1.packet",
        "--json",
    ];
    let shown = world.offline(&shown).ends(0).data();
    assert_eq!(shown["prepared"].as_array().unwrap().len(), 3);
    for member in ["at-cert", "be-cert"] {
        let signed = world.root_signs(member, "epoch-1.packet");
        assert_eq!(
            (&signed["step"], &signed["round"]),
            (&"commit".into(), &1.into())
        );
        assert!(VoteRecord::place(&world.path(&format!("{member}/keys/root.key"))).exists());
    }
    world
        .at("de-cert", &["roster", "import", "epoch-1.packet"])
        .ends(0);
    let status = world.status_until("cz-cert", |status| {
        status["proposals"][0]["to_commit"] == names(&["cz-cert", "de-cert"])
    });
    assert_eq!(status["proposals"][0]["lacks"], names(&["2 of 3 votes"]));
    let online = ["roster", "sign", &id, "--passphrase-file", "passphrase"];
    world.at("cz-cert", &online).ends(0);
    for member in &SLUGS[..FOUNDERS] {
        world.status_until(member, |status| status["epoch"] == 1);
    }

    // The fifth joins with the chain, and is met.
    let card = card_from_file(&fs::read(world.path("ee-cert/own.card")).unwrap()).unwrap();
    let own = check_card(&card).unwrap().certificate.node.to_string();
    let join = [
        "join",
        "epoch-1.packet",
        "--fingerprint",
        &world.fingerprint,
    ];
    world
        .at("cz-cert", &["roster", "export", "-o", "joined.packet"])
        .ends(0);
    let genesis = ["join", "genesis", "--fingerprint", &world.fingerprint];
    world.at("ee-cert", &genesis).ends(12).err_has("no member");
    // What the first file holds is not decided yet.
    world.at("ee-cert", &join).ends(12).err_has("no member");
    let join = ["join", "joined.packet", "--fingerprint", &world.fingerprint];
    world.at("ee-cert", &join).ends(0);
    nodes.push(world.serve("ee-cert"));
    for member in SLUGS {
        world.connected(member, SLUGS.len() - 1);
    }
    let peer = world
        .at("at-cert", &["peer", "show", "ee-cert", "--json"])
        .ends(0)
        .data();
    assert_eq!(peer["nodes"][0]["node"], own.as_str());
    assert_eq!(peer["nodes"][0]["state"], "connected");
    assert_eq!(peer["duty"]["phone"], "+00 000 0000");
    assert_eq!(peer["duty"]["zone"], "UTC");
    let ping = ["peer", "ping", "ee-cert", "--json"];
    let pinged = world.until_code("at-cert", &ping, 0).data();
    assert_eq!(pinged["probes"][0]["node"], own.as_str());
    world.at("at-cert", &["peer", "show", "xx-cert"]).ends(14);

    // One publishes, is suspended by two, and is proposed to be expelled.
    fs::write(world.path("intel.json"), document(1, 16)).unwrap();
    let publish = ["publish", "intel.json", "--tlp", "clear"];
    world.at("be-cert", &publish).ends(0);
    world.until("de-cert", &["status", "--json"], |status| {
        status["envelopes"] == 1
    });
    let suspend = [
        "roster",
        "suspend",
        "be-cert",
        "--reason",
        "not its own words",
    ];
    for member in ["cz-cert", "de-cert"] {
        world.at(member, &suspend).ends(0);
    }
    let status = world.status_until("ee-cert", |status| {
        status["suspended"] == names(&["be-cert"])
    });
    assert_eq!(status["suspensions"].as_array().unwrap().len(), 2);
    world.accepts_what_is_held_back();
    let expel = [
        "roster",
        "propose",
        "--reason",
        "its keys were stolen",
        "--expel",
        "be-cert",
        "--json",
    ];
    let proposed = world.at("de-cert", &expel).ends(0).data();
    let id = proposed["roster"].as_str().unwrap().to_owned();
    assert!(
        proposed["notes"][0]
            .as_str()
            .unwrap()
            .contains("1 envelopes in 1 streams")
    );
    for member in ["at-cert", "cz-cert", "de-cert", "ee-cert"] {
        let status = world.status_until(member, at_step("prepare"));
        assert_eq!(status["votes_needed"], 4);
        world.at(member, &["roster", "prepare"]).ends(0);
    }
    let status = world.status_until("at-cert", at_step("commit"));
    assert_eq!(status["proposals"][0]["to_prepare"], names(&["be-cert"]));
    world
        .at("at-cert", &["roster", "export", "-o", "epoch-2.packet"])
        .ends(0);
    for member in ["at-cert", "cz-cert", "de-cert"] {
        world.root_signs(member, "epoch-2.packet");
    }
    world
        .at("at-cert", &["roster", "import", "epoch-2.packet"])
        .ends(0);
    world.status_until("ee-cert", |status| {
        status["proposals"][0]["to_commit"] == names(&["be-cert", "ee-cert"])
    });
    let online = ["roster", "sign", &id, "--passphrase-file", "passphrase"];
    world.at("ee-cert", &online).ends(0);
    for member in ["at-cert", "cz-cert", "de-cert", "ee-cert"] {
        world.status_until(member, |status| status["epoch"] == 2);
        world.connected(member, 3);
    }
    // Nobody speaks with it any more.
    world.connected("be-cert", 0);
    let history = world
        .at("ee-cert", &["roster", "history", "--json"])
        .ends(0)
        .data();
    let epochs = history["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 3);
    assert_eq!(
        epochs[1]["signed"],
        names(&["at-cert", "be-cert", "cz-cert"])
    );
    assert_eq!(
        epochs[2]["members"],
        names(&["at-cert", "cz-cert", "de-cert", "ee-cert"])
    );
    assert_eq!(epochs[2]["id"], id.as_str());

    world.at("at-cert", &["peer", "ping", "be-cert"]).ends(14);
    // A file tells the expelled what the network does not any more.
    world
        .at("ee-cert", &["roster", "export", "-o", "last.packet"])
        .ends(0);
    let told = world.at("be-cert", &["roster", "import", "last.packet", "--json"]);
    assert_eq!(told.data()["epoch"], 2);

    // What is over is over: the old file changes nothing, and says so.
    let old = world.at("at-cert", &["roster", "import", "epoch-1.packet", "--json"]);
    let old = old.ends(0).data();
    assert!(outcomes(&old, "past") > 0, "{old:#}");
    assert_eq!(outcomes(&old, "refused"), 0, "{old:#}");
    world.root_refuses_the_past("at-cert", "epoch-1.packet");
    for (member, node) in SLUGS.iter().zip(nodes) {
        node.terminate(member);
    }
}

impl World {
    /// What a suspended member publishes is held back, until a person accepts it at
    /// a node: and there alone.
    fn accepts_what_is_held_back(&self) {
        let none = self.at("ee-cert", &["quarantine", "list", "--json"]);
        assert_eq!(none.ends(0).data()["held"], names(&[]));
        fs::write(self.path("more.json"), document(2, 16)).unwrap();
        let publish = ["publish", "more.json", "--tlp", "clear"];
        self.at("be-cert", &publish).ends(0);
        let list = ["quarantine", "list", "--of", "be-cert", "--json"];
        for member in ["de-cert", "ee-cert"] {
            self.until(member, &list, |list| {
                list["held"].as_array().is_some_and(|held| held.len() == 1)
            });
        }
        let held = self.at("ee-cert", &list).ends(0).data()["held"][0].clone();
        assert_eq!(
            (&held["author"], &held["sequence"], &held["reasons"]),
            (&"be-cert".into(), &2.into(), &names(&["suspended"]))
        );
        let search = ["search", "h2.example", "--json"];
        self.at("ee-cert", &search).ends(14);
        let envelope = held["envelope"].as_str().unwrap();
        let accept = [
            "quarantine",
            "accept",
            envelope,
            "--reason",
            "read to us by their duty desk",
        ];
        self.at("ee-cert", &accept).ends(0);
        self.at("ee-cert", &accept).ends(14);
        let found = self.at("ee-cert", &search).ends(0).data();
        let id = found["hits"][0]["id"].as_str().unwrap();
        let explained = self.at("ee-cert", &["explain", id, "--json"]);
        let accepted = explained.ends(0).data()["accepted"].clone();
        assert_eq!(accepted["because"], "read to us by their duty desk");
        assert_eq!(accepted["reasons"], names(&["suspended"]));
        self.at("de-cert", &search).ends(14);
        let unknown = ["quarantine", "accept", "--of", "xx-cert", "--reason", "so"];
        self.at("ee-cert", &unknown).ends(14);
        let unnamed = ["quarantine", "accept", "--reason", "so"];
        self.at("ee-cert", &unnamed).ends(2);
    }

    /// A root that has gone on signs nothing of an earlier epoch, even where a
    /// file hides what was decided since.
    fn root_refuses_the_past(&self, member: &str, packet: &str) {
        let key: &Path = &self.path(&format!("{member}/keys/root.key"));
        let args = ["roster", "sign", "--packet", packet, "--root-key"];
        let passphrase = ["--passphrase-file", "passphrase"];
        let all = [&args[..], &[key.to_str().unwrap()], &passphrase].concat();
        self.offline(&all).ends(12).err_has("which is later");
    }
}
