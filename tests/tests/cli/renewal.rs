//! A certificate that ended is renewed while the node runs: the node takes the
//! new one without a restart, the other member's door takes it, and what is
//! published under it arrives.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use watchfire_crypto::{Passphrase, Purpose};
use watchfire_node::cli::NodeSettings;
use watchfire_node::clock::wall_ms;
use watchfire_node::disk::SledStore;
use watchfire_node::home::Home;
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::roster::{Roster, draft_genesis, sign_genesis};
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::genesis::card_to_file;
use watchfire_tests::program::{Process, seal};

use super::world::{Said, program, secret};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const SEED: [u8; 32] = [21; 32];
const SLUGS: [&str; 2] = ["at-cert", "de-cert"];
const PASSPHRASE: &str = "correct horse battery";

/// A loopback address with a port that is free now.
fn address() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}")
}

/// Two members as `init` and `join` leave them. The certificate of the first
/// ended ten days ago; the second has a door.
fn founded() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    secret(&path.join("passphrase"), PASSPHRASE);
    let words = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
    let now_ms = wall_ms();
    let doors = [None, Some(address())];
    let mut cards = Vec::new();
    for (number, (slug, door)) in (0..).zip(SLUGS.iter().zip(doors)) {
        let keys = Keys::derived(&SEED, number);
        let listen = address();
        let profile = Profile {
            slug: slug.parse().unwrap(),
            role: Role::Agency,
            contact: Contact::default(),
            addresses: vec![listen.clone()],
            door_addresses: door.clone().into_iter().collect(),
        };
        let made_ms = now_ms - if number == 0 { 100 * DAY_MS } else { DAY_MS };
        let card = make_card(&profile, &keys, made_ms).unwrap();
        let home = Home::create(&path.join(slug)).unwrap();
        fs::write(home.own_card(), card_to_file(&card)).unwrap();
        for (place, purpose, key, entropy) in [
            (home.signing_key(), Purpose::Signing, &keys.signing, 1),
            (home.transport_key(), Purpose::Transport, &keys.transport, 2),
        ] {
            seal(&place, purpose, key, &words, entropy);
        }
        if number == 0 {
            seal(&path.join("root.key"), Purpose::Root, &keys.root, &words, 3);
        }
        NodeSettings {
            listen: vec![listen.parse().unwrap()],
            door_listen: door.iter().map(|door| door.parse().unwrap()).collect(),
        }
        .save(&home)
        .unwrap();
        drop(SledStore::create(&home.store()).unwrap());
        cards.push((card, Vec::new()));
    }
    let mut genesis = draft_genesis("Renewal", now_ms - 100 * DAY_MS, &cards).unwrap();
    for number in 0..2 {
        genesis = sign_genesis(&genesis, &Keys::derived(&SEED, number).root).unwrap();
    }
    Roster::found(&genesis).unwrap();
    for slug in SLUGS {
        fs::write(path.join(slug).join("genesis"), genesis.to_bytes()).unwrap();
    }
    dir
}

fn command(dir: &Path, slug: &str, args: &[&str]) -> Command {
    let mut command = program(dir);
    command.args(["--data-dir", slug]).args(args);
    command
}

fn run(dir: &Path, slug: &str, args: &[&str]) -> Said {
    Said::of(command(dir, slug, args).output().unwrap())
}

fn serve(dir: &Path, slug: &str) -> Process {
    let args = ["serve", "--passphrase-file", "passphrase"];
    let mut process = Process::start(command(dir, slug, &args));
    process.until("serving", 1, slug);
    process
}

#[test]
fn a_running_node_is_renewed_and_the_others_learn_it_at_their_door() {
    let dir = founded();
    let path = dir.path();
    let mut de = serve(path, "de-cert");
    let mut at = serve(path, "at-cert");
    // Before it serves or after.
    at.ever("certificate ends soon or has ended", "at is told");
    fs::write(path.join("list.txt"), "panel.example\n").unwrap();
    let publish = ["publish", "list.txt", "--tlp", "clear"];
    run(path, "at-cert", &["key", "show"])
        .ends(0)
        .out_has("(ended 10 days ago)")
        .err_has("next: \"watchfire key request\"");
    let refused = run(path, "at-cert", &publish);
    assert_ne!(refused.code, 0);
    refused.err_has("certificate is not valid now");

    let renew = [
        "key",
        "renew",
        "--root-key",
        "root.key",
        "--passphrase-file",
        "passphrase",
    ];
    let renewed = run(path, "at-cert", &renew).ends(0);
    let until = renewed.field("until");
    at.until("certificate admitted", 1, "at takes its own");
    de.until("certificate admitted", 1, "de learns it at its door");
    at.until("certificate taken at the door", 1, "at is told so");
    run(path, "at-cert", &["status"])
        .ends(0)
        .out_has(&format!("certified until\t{until}"));

    // Who was out is let in again, and what it signs is believed.
    de.until("peer ready", 1, "they connect");
    run(path, "at-cert", &publish).ends(0);
    de.until("searchable", 1, "de opened it");
    run(path, "de-cert", &["search", "panel.example"])
        .ends(0)
        .out_has("at-cert");

    // After a restart it is the same.
    at.terminate("at ends");
    let at = serve(path, "at-cert");
    run(path, "at-cert", &["status"])
        .ends(0)
        .out_has(&format!("certified until\t{until}"));
    at.terminate("at ends again");
    let said = run(path, "at-cert", &["store", "check"]).ends(0);
    assert!(!said.out.contains("unknown"), "{}", said.out);
    de.terminate("de ends");
}
