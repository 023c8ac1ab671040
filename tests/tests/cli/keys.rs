//! Certificates by files: asked for by a node, granted by a root that is
//! elsewhere, installed; and every wrong file on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use watchfire_crypto::{Domain, Signature, SigningKey};
use watchfire_protocol::certify::{
    Wish, certificate_from_file, certificate_to_file, make_request, read_request,
};
use watchfire_protocol::founding::Keys;
use watchfire_protocol::wire::NodeCert;
use watchfire_protocol::wire::card::{CertificateBytes, Role};

use super::world::{Said, World};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.insert(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Runs the program for a data directory by that name.
pub(super) fn of(world: &World, home: &str, args: &[&str]) -> Said {
    Said::of(
        world
            .command()
            .args(["--data-dir", home])
            .args(args)
            .output()
            .unwrap(),
    )
}

/// Runs the program where there is no data directory: on the root's machine.
pub(super) fn apart(world: &World, args: &[&str]) -> Said {
    of(world, "no-home-here", args)
}

fn request(world: &World) -> Said {
    world
        .at(&[
            "key",
            "request",
            "-o",
            "at.request",
            "--passphrase-file",
            "passphrase",
        ])
        .ends(0)
}

const ISSUE: [&str; 8] = [
    "key",
    "issue",
    "at.request",
    "--root-key",
    "root.key",
    "--root-passphrase-file",
    "passphrase",
    "--fingerprint",
];

/// The node asks and the root, which was taken away, grants.
fn issued() -> World {
    let world = World::joined();
    fs::rename(world.path("at/keys/root.key"), world.path("root.key")).unwrap();
    let asked = request(&world);
    let fingerprint = asked.field("fingerprint");
    apart(
        &world,
        &[&ISSUE[..], &[fingerprint, "-o", "at.cert"]].concat(),
    )
    .ends(0);
    world
}

#[test]
fn a_node_is_renewed_by_files_and_the_root_key_stays_away() {
    let world = World::joined();
    fs::rename(world.path("at/keys/root.key"), world.path("root.key")).unwrap();
    let before = world.at(&["key", "show"]).ends(0);
    assert_eq!(before.field("serial"), "1");
    before.out_has("days left)");

    let asked = request(&world);
    assert_eq!(asked.field("serial"), "2");
    assert_eq!(asked.field("member"), "at-cert (agency)");
    assert_eq!(asked.field("root key"), before.field("root key"));
    assert_eq!(asked.field("node"), before.field("node"));
    let seen = apart(&world, &["key", "show", "at.request"]).ends(0);
    assert_eq!(seen.field("fingerprint"), asked.field("fingerprint"));

    let issue = [&ISSUE[..], &[asked.field("fingerprint"), "-o", "at.cert"]].concat();
    let granted = apart(&world, &issue).ends(0);
    assert_eq!(granted.field("fingerprint"), asked.field("fingerprint"));
    granted.out_has("issued\tcertificate");
    apart(&world, &issue)
        .ends(1)
        .err_has("at.cert exists and is not overwritten");

    let installed = world.at(&["key", "install", "at.cert"]).ends(0);
    assert_eq!(installed.field("installed for"), "at-cert, this node");
    installed.err_has("de-cert have no door: send them this file");
    let after = world.at(&["key", "show", "--json"]).ends(0);
    let after = after.data("watchfire.key-show/1");
    assert_eq!(after["certificate"]["serial"], 2);
    assert_eq!(after["certificate"]["incarnation"], 1);
    assert_eq!(after["certificate"]["current"], true);
    let again = world
        .at(&["key", "install", "at.cert", "--json"])
        .ends(0)
        .data("watchfire.key-install/1");
    assert_eq!(again["already_installed"], true);

    // Another member takes it by the same file.
    let fingerprint = world.fingerprint();
    world
        .de(&["join", "genesis", "--fingerprint", fingerprint])
        .ends(0);
    let there = world.de(&["key", "install", "at.cert"]).ends(0);
    assert_eq!(there.field("installed for"), "at-cert, another node");
    assert_eq!(there.field("serial"), "2");
    world
        .de(&["key", "install", "at.cert"])
        .ends(0)
        .err_has("it was installed before");
    assert_eq!(
        world.de(&["key", "show"]).field("serial"),
        "1",
        "its own stays"
    );

    // Where the root key is at hand, one command does it.
    let renew = |extra: &[&str]| {
        world.at(&[&["key", "renew", "--passphrase-file", "passphrase"], extra].concat())
    };
    renew(&[])
        .ends(14)
        .err_has("the root key is not here, as it should be");
    let renewed = renew(&["--root-key", "root.key", "--days", "30"]).ends(0);
    assert_eq!(renewed.field("serial"), "3");
    world
        .at(&["key", "show"])
        .ends(0)
        .out_has("serial\t3")
        .out_has("(29 days left)");
}

#[test]
fn what_does_not_hold_is_neither_signed_nor_installed() {
    let world = issued();
    let before = files(&world.path("at"));
    let good = fs::read(world.path("at.request")).unwrap();
    let issue = |name: &str, bytes: &[u8], extra: &[&str]| {
        fs::write(world.path(name), bytes).unwrap();
        let mut args = vec!["key", "issue", name, "--yes", "-o", "new.cert"];
        args.extend([
            "--root-key",
            "root.key",
            "--root-passphrase-file",
            "passphrase",
        ]);
        args.extend(extra);
        let said = apart(&world, &args);
        assert!(!world.path("new.cert").exists());
        said
    };

    // A request that was altered on the way, in any part of it.
    for at in (0..good.len()).step_by(23) {
        let mut altered = good.clone();
        altered[at] ^= 1;
        let said = issue("altered", &altered, &[]);
        assert!(matches!(said.code, 12 | 18), "byte {at}: {}", said.err);
        said.err_has("altered: ").err_has("do not sign it");
    }
    issue("altered", b"not a request", &[])
        .ends(18)
        .err_has("this is not a certificate request");

    // One that somebody else made, whose fingerprint is another.
    let other = "0".repeat(64);
    let said = apart(&world, &[&ISSUE[..], &[&other, "-o", "new.cert"]].concat());
    said.ends(18)
        .err_has("this is another request than the one you compared");
    apart(
        &world,
        &[
            "key",
            "issue",
            "at.request",
            "--root-key",
            "root.key",
            "-o",
            "new.cert",
        ],
    )
    .ends(2)
    .err_has("nobody compared the fingerprint");

    // Its keys are ours, so that only one thing at a time is wrong with them.
    let asked = read_request(&good).unwrap();
    let (root, signing, transport) = (key(1), key(2), key(3));
    let cert = NodeCert {
        root_key: root.public().to_bytes(),
        signing_key: signing.public().to_bytes(),
        transport_key: transport.public().to_bytes(),
        ..asked.cert.clone()
    };
    let wish = |root_key, not_before_ms, not_after_ms| Wish {
        slug: "at-cert".parse().unwrap(),
        root_key,
        role: Role::Agency,
        serial: 2,
        incarnation: 1,
        not_before_ms,
        not_after_ms,
        card: None,
    };
    let at_root = watchfire_crypto::PublicKey::enrol(&asked.cert.root_key).unwrap();
    let (from, until) = (cert.not_before_ms, cert.not_after_ms);

    // For another root.
    let file = make_request(&wish(root.public(), from, until), &signing, &transport).unwrap();
    issue("other", &file, &[])
        .ends(12)
        .err_has("the request is for another root key");
    // For a time that is over.
    let file = make_request(&wish(at_root, 1, DAY_MS), &signing, &transport).unwrap();
    issue("over", &file, &[])
        .ends(12)
        .err_has("the request is for a time that is over")
        .err_has("check the clock");
    // For a time that nobody should have in stock.
    let (late, later) = (from + 10 * DAY_MS, until + 10 * DAY_MS);
    let file = make_request(&wish(at_root, late, later), &signing, &transport).unwrap();
    issue("later", &file, &[])
        .ends(12)
        .err_has("a time that is too far ahead");
    // For more days than are allowed here, and than can be asked for.
    issue("long", &good, &["--days", "30"])
        .ends(12)
        .err_has("the request is for 90 days, and 30 are allowed here");
    assert!(
        make_request(
            &wish(at_root, from, from + 91 * DAY_MS),
            &signing,
            &transport
        )
        .is_err()
    );
    for command in ["request", "renew"] {
        world
            .at(&["key", command, "--days", "91"])
            .ends(2)
            .err_has("91 is not in 1..=90");
    }
    // With the transport key of a node whose private half its maker lacks: the
    // signature is there and is not of that key.
    let file = make_request(&wish(at_root, from, until), &signing, &transport).unwrap();
    issue("false", &with_transport_of(&file, &transport, &key(4)), &[])
        .ends(18)
        .err_has("the signature of its transport key does not hold");

    // Certificates: of another root, over, for 91 days, altered.
    let install = |bytes: &[u8]| {
        fs::write(world.path("bad.cert"), bytes).unwrap();
        world.at(&["key", "install", "bad.cert"])
    };
    let sealed = |cert: &NodeCert| {
        certificate_to_file(&CertificateBytes::sign(cert, &root, &signing, &transport).unwrap())
    };
    install(&sealed(&cert))
        .ends(12)
        .err_has("this key belongs to no member of the federation");
    let as_at = NodeCert {
        root_key: asked.cert.root_key,
        ..cert.clone()
    };
    install(&sealed(&as_at))
        .ends(18)
        .err_has("the signature on the certificate does not hold");
    let long = NodeCert {
        not_after_ms: from + 91 * DAY_MS,
        ..cert
    };
    apart(&world, &["key", "show", "bad.cert"]).ends(18);
    fs::write(world.path("bad.cert"), sealed(&long)).unwrap();
    apart(&world, &["key", "show", "bad.cert"])
        .ends(18)
        .err_has("at most 90 days");
    let good = fs::read(world.path("at.cert")).unwrap();
    for at in (2..good.len()).step_by(29) {
        let mut altered = good.clone();
        altered[at] ^= 1;
        let said = install(&altered);
        assert!(matches!(said.code, 12 | 18), "byte {at}: {}", said.err);
    }
    install(b"nothing")
        .ends(18)
        .err_has("is neither a certificate nor a card");
    assert_eq!(files(&world.path("at")), before, "nothing changed on disk");

    // The good one is still good.
    assert!(certificate_from_file(&good).is_ok());
    world.at(&["key", "install", "at.cert"]).ends(0);
}

#[test]
fn a_certificate_that_is_over_or_for_too_long_is_not_installed() {
    let world = World::joined();
    let (file, roster, keys) = watchfire_protocol::founding::derived_federation(
        &[3; 32],
        &[Role::Agency, Role::Agency],
        watchfire_node::clock::wall_ms() - 200 * DAY_MS,
    )
    .unwrap();
    fs::write(world.path("at/genesis"), file.to_bytes()).unwrap();
    let first = roster.nodes().next().unwrap();
    let keys = keys
        .iter()
        .find(|keys| keys.transport.public().to_bytes() == first.transport_key)
        .unwrap();
    let over = NodeCert {
        root_key: keys.root.public().to_bytes(),
        signing_key: keys.signing.public().to_bytes(),
        transport_key: keys.transport.public().to_bytes(),
        serial: 2,
        incarnation: 1,
        role: Role::Agency,
        not_before_ms: first.not_before_ms + DAY_MS,
        not_after_ms: first.not_after_ms + DAY_MS,
    };
    let before = files(&world.path("at"));
    let install = |cert: &NodeCert, code| {
        let Keys {
            root,
            signing,
            transport,
        } = keys;
        let bytes = CertificateBytes::sign(cert, root, signing, transport).unwrap();
        fs::write(world.path("bad.cert"), certificate_to_file(&bytes)).unwrap();
        world.at(&["key", "install", "bad.cert"]).ends(code)
    };
    install(&over, 18).err_has("it is not valid now");
    let from = watchfire_node::clock::wall_ms() - DAY_MS;
    let for_days = |days: u64| NodeCert {
        not_before_ms: from,
        not_after_ms: from + days * DAY_MS,
        ..over.clone()
    };
    install(&for_days(91), 18).err_has("at most 90 days");
    let hub = NodeCert {
        role: Role::Hub,
        ..for_days(90)
    };
    install(&hub, 18).err_has("its role is not the member's");
    let old = NodeCert {
        serial: 1,
        ..for_days(90)
    };
    install(&old, 1).err_has("as new or newer is held");
    assert_eq!(files(&world.path("at")), before, "nothing changed on disk");
    install(&for_days(90), 0);
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// The request with the transport key's signature made by another key. The
/// signature that covers the whole is made again, so that this one is what is
/// wrong.
fn with_transport_of(file: &[u8], transport: &SigningKey, liar: &SigningKey) -> Vec<u8> {
    let request = read_request(file).unwrap();
    let statement = watchfire_protocol::wire::codec::encode(&request.cert);
    let domain = Domain::new("node-cert");
    let right: Signature = transport.sign(domain, &statement);
    let wrong: Signature = liar.sign(domain, &statement);
    let at = file
        .windows(64)
        .position(|part| part == right.as_bytes())
        .unwrap();
    let mut body = file.to_vec();
    body[at..at + 64].copy_from_slice(wrong.as_bytes());
    // What is signed stands between the length after the first line and the
    // last 64 bytes.
    let start = body.iter().position(|byte| *byte == b'\n').unwrap() + 1 + 3;
    let end = body.len() - 64;
    let again = key(2).sign(Domain::new("certificate-request"), &body[start..end]);
    body[end..].copy_from_slice(again.as_bytes());
    assert!(transport.public() == key(3).public());
    body
}
