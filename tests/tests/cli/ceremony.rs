//! The root key of a member away from its nodes: made in a ceremony, under a
//! passphrase of its own, for a first node and for a further one.

use std::fs;

use super::keys::{apart, of};
use super::world::{Said, World, secret};

#[test]
fn a_member_is_made_whose_root_never_met_its_node() {
    let world = World::new();
    secret(&world.path("root.secret"), "far from any node\n");
    let ceremony = |args: &[&str]| {
        let first = [
            "key",
            "ceremony",
            "--yes",
            "--root-key",
            "root.key",
            "--root-passphrase-file",
            "root.secret",
        ];
        apart(&world, &[&first, args].concat())
    };
    let made = ceremony(&["--json"])
        .ends(0)
        .data("watchfire.key-ceremony/1");
    assert_eq!(made["made"], true);
    assert_eq!(made["issued"].as_array().unwrap().len(), 0);

    let init = of(
        &world,
        "fr",
        &[
            "init",
            "--slug",
            "fr-cert",
            "--name",
            "CERT Example",
            "--address",
            "/ip4/192.0.2.9/tcp/4747",
            "--root",
            "root.public",
            "--passphrase-file",
            "passphrase",
        ],
    )
    .ends(0);
    let digits: String = init.field("root key").split(' ').collect();
    assert_eq!(made["root_key"], digits.as_str());
    assert!(!world.path("fr/keys/root.key").exists());
    assert!(!world.path("fr/own.card").exists());
    of(&world, "fr", &["key", "show"])
        .ends(0)
        .out_has("certificate\tnone yet");

    let signed = ceremony(&["fr/own.request", "--out", "."]).ends(0);
    signed
        .out_has("issued\tcard\t")
        .err_has(init.field("fingerprint"));
    let card = of(&world, "fr", &["key", "install", "fr-cert.card"]).ends(0);
    assert_eq!(card.field("installed for"), "fr-cert, this node");

    // It founds a federation, and its root signs where it is.
    let create = [
        "federation",
        "create",
        "fr/own.card",
        "de/own.card",
        "--name",
        "Pilot",
        "-o",
        "pilot",
    ];
    apart(&world, &create).ends(0);
    apart(
        &world,
        &[
            "federation",
            "sign",
            "pilot",
            "--root-key",
            "root.key",
            "--passphrase-file",
            "root.secret",
        ],
    )
    .ends(0);
    let sign = world.de(&[
        "federation",
        "sign",
        "pilot",
        "--passphrase-file",
        "passphrase",
    ]);
    let fingerprint = sign.ends(0);
    let fingerprint = fingerprint.field("fingerprint");
    of(
        &world,
        "fr",
        &["join", "pilot", "--fingerprint", fingerprint],
    )
    .ends(0);
    assert_eq!(of(&world, "fr", &["key", "show"]).field("serial"), "1");

    // A further node of the same member, in a directory of its own.
    let second = of(
        &world,
        "fr-2",
        &[
            "init",
            "--node-of",
            "fr/own.card",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--passphrase-file",
            "passphrase",
        ],
    )
    .ends(0);
    assert_eq!(second.field("serial"), "2");
    assert_ne!(second.field("node"), init.field("node"));
    of(
        &world,
        "fr-2",
        &["join", "pilot", "--fingerprint", fingerprint],
    )
    .ends(0)
    .err_has("this node has no certificate yet");
    ceremony(&["fr-2/own.request"]).ends(0);
    of(&world, "fr", &["key", "install", "fr-cert-2.cert"])
        .ends(0)
        .out_has("installed for\tfr-cert, another node");
    of(&world, "fr-2", &["key", "install", "fr-cert-2.cert"])
        .ends(0)
        .out_has("installed for\tfr-cert, this node");
}

#[test]
fn root_and_node_may_have_two_passphrases() {
    let world = World::new();
    secret(&world.path("root.secret"), "far from any node\n");
    of(
        &world,
        "fr",
        &[
            "init",
            "--slug",
            "fr-cert",
            "--passphrase-file",
            "passphrase",
            "--root-passphrase-file",
            "root.secret",
        ],
    )
    .ends(0);
    let renew = |extra: &[&str]| {
        let first = ["key", "renew", "--passphrase-file", "passphrase"];
        of(&world, "fr", &[&first, extra].concat())
    };
    renew(&[]).ends(12);
    assert!(!world.path("fr/certificates").exists());
    renew(&["--root-passphrase-file", "root.secret"]).ends(0);
    // The service manager provides either as well.
    fs::create_dir(world.path("credentials")).unwrap();
    secret(
        &world.path("credentials/watchfire-passphrase"),
        "correct horse battery\n",
    );
    secret(
        &world.path("credentials/watchfire-root-passphrase"),
        "far from any node\n",
    );
    let said = world
        .command()
        .env("CREDENTIALS_DIRECTORY", world.path("credentials"))
        .args(["--data-dir", "fr", "key", "renew"])
        .output()
        .unwrap();
    assert_eq!(Said::of(said).ends(0).field("serial"), "3");
}

#[test]
fn a_ceremony_asks_step_by_step_and_ends_when_told_no() {
    let world = World::new();
    let ceremony = |answers: &str| {
        let answers_file = world.path("answers");
        fs::write(&answers_file, answers).unwrap();
        let output = world
            .command()
            .args(["key", "ceremony", "--root-passphrase-file", "passphrase"])
            .stdin(fs::File::open(answers_file).unwrap())
            .output()
            .unwrap();
        Said::of(output)
    };
    world
        .at(&["key", "ceremony", "--quiet"])
        .ends(2)
        .err_has("shows nothing cannot ask");
    ceremony("no\n").ends(12).err_has("nothing was made");
    ceremony("").ends(2).err_has("an answer is needed");
    assert!(!world.path("root.key").exists());
    let said = ceremony("yes\nyes\nnowhere.request\n\n").ends(0);
    for step in 1..=4 {
        said.err_has(&format!("Step {step} of 4"));
    }
    said.err_has("nowhere.request does not exist")
        .err_has("watchfire init --slug SLUG --root root.public");
    assert!(world.path("root.key").exists() && world.path("root.public").exists());
}
