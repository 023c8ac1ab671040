//! From nothing to a federation, and every wrong turn on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use watchfire_protocol::founding::derived_federation;
use watchfire_protocol::wire::card::Role;

use super::world::{World, mode, program, secret};

#[test]
fn two_members_found_a_federation() {
    let world = World::new();
    let init = &world.made.init;
    assert_eq!(init.field("member"), "at-cert (agency)");
    assert_eq!(init.field("reached at"), "/ip4/192.0.2.1/tcp/4747");
    assert_eq!(init.field("listens on"), "/ip4/0.0.0.0/tcp/4747");
    assert_eq!(init.field("fingerprint").len(), 16 * 5 - 1);
    init.err_has("next: send the card to whoever creates the federation");
    for key in ["root", "signing", "transport"] {
        let path = world.path(&format!("at/keys/{key}.key"));
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    let create = &world.made.create;
    assert_eq!(create.field("signed"), "1 of 2, still to sign: de-cert");
    create
        .out_has("member\tat-cert\tagency\tyes\tdach,eu\t")
        .out_has("member\tde-cert\thub\tno\teu\t")
        .err_has("next: send this file to de-cert, to run\n  watchfire federation sign FILE");

    let sign = &world.made.sign;
    assert_eq!(sign.field("signed"), "2 of 2");
    assert_eq!(
        sign.field("fingerprint"),
        create.field("fingerprint"),
        "signing changes nothing"
    );

    let show = world
        .at(&["federation", "show", "genesis", "--json"])
        .ends(0);
    let data = show.data("watchfire.federation-show/1");
    assert_eq!(data["complete"], true);
    assert_eq!(data["members"][0]["slug"], "at-cert");
    assert_eq!(data["members"][0]["name"], "CERT Example");
    let digits: String = sign.field("fingerprint").split(' ').collect();
    assert_eq!(data["federation"], digits.as_str());
    assert_eq!(show.err, "", "JSON speaks alone");

    let joined = world
        .at(&["join", "genesis", "--fingerprint", world.fingerprint()])
        .ends(0);
    assert_eq!(joined.field("joined as"), "at-cert");
    joined.err_has("next: watchfire serve");
    assert_eq!(
        fs::read(world.path("at/genesis")).unwrap(),
        fs::read(world.path("genesis")).unwrap()
    );
    let colons = digits
        .to_uppercase()
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair))
        .collect::<Vec<_>>()
        .join(":");
    let again = world
        .at(&["join", "genesis", "--fingerprint", &colons, "--json"])
        .ends(0);
    assert_eq!(again.data("watchfire.join/1")["already_joined"], true);
}

#[test]
fn a_wrong_fingerprint_joins_nothing() {
    let world = World::new();
    let mut wrong = world.fingerprint().to_owned();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    world
        .at(&["join", "genesis", "--fingerprint", &wrong])
        .ends(18)
        .err_has("this is another federation than the one you compared")
        .err_has("hint: do not use this file");
    let (short, _) = wrong.rsplit_once(' ').unwrap();
    world
        .at(&["join", "genesis", "--fingerprint", short])
        .ends(2)
        .err_has("a fingerprint has 64 digits and this has 60; all of them count");
    assert!(!world.path("at/genesis").exists());
}

#[test]
fn a_genesis_that_somebody_has_not_signed_is_not_joined() {
    let world = World::new();
    world
        .at(&[
            "join",
            "genesis.draft",
            "--fingerprint",
            world.fingerprint(),
        ])
        .ends(18)
        .err_has("the genesis is not complete: de-cert still to sign");
    assert!(!world.path("at/genesis").exists());
}

#[test]
fn a_genesis_that_was_altered_is_refused_everywhere() {
    let world = World::new();
    let whole = fs::read(world.path("genesis")).unwrap();
    // One bit in every part of the file, and its end cut off.
    for at in (2..whole.len()).step_by(97) {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(world.path("altered"), altered).unwrap();
        let said = world.at(&["join", "altered", "--fingerprint", world.fingerprint()]);
        assert_eq!(said.code, 18, "byte {at}: {}", said.err);
    }
    fs::write(world.path("altered"), &whole[..whole.len() - 1]).unwrap();
    for command in ["show", "sign"] {
        world.at(&["federation", command, "altered"]).ends(18);
    }
    world
        .at(&["federation", "show", "at/own.card"])
        .ends(18)
        .err_has("is not a genesis")
        .err_has("hint: a genesis is the file");
    assert!(!world.path("at/genesis").exists());
}

#[test]
fn another_federation_is_refused() {
    let world = World::new();
    let (file, roster, _) =
        derived_federation(&[1; 32], &[Role::Agency, Role::Hub], 1_700_000_000_000).unwrap();
    fs::write(world.path("other"), file.to_bytes()).unwrap();
    let fingerprint = roster.federation().to_string();
    world
        .at(&["join", "other", "--fingerprint", &fingerprint])
        .ends(12)
        .err_has("at-cert is no member of the federation simulated");
    world
        .at(&[
            "federation",
            "sign",
            "other",
            "--passphrase-file",
            "passphrase",
        ])
        .ends(12)
        .err_has("at-cert is no member of this federation");

    // A node that belongs somewhere stays there.
    fs::copy(world.path("other"), world.path("at/genesis")).unwrap();
    world
        .at(&["join", "genesis", "--fingerprint", world.fingerprint()])
        .ends(12)
        .err_has("this node belongs to the federation simulated already");
    assert_eq!(fs::read(world.path("at/genesis")).unwrap(), file.to_bytes());
}

#[test]
fn keys_that_others_could_read_are_refused() {
    let world = World::new();
    let root = world.path("de/keys/root.key");
    mode(&root, 0o644);
    let sign = [
        "federation",
        "sign",
        "genesis.draft",
        "--passphrase-file",
        "passphrase",
    ];
    let said = world.de(&sign).ends(12);
    said.err_has("is open to others (mode 0644)")
        .err_has("chmod 600");
    mode(&root, 0o600);
    mode(&world.path("passphrase"), 0o640);
    world
        .de(&sign)
        .ends(12)
        .err_has("passphrase is open to others");
    mode(&world.path("de"), 0o755);
    world.de(&sign).ends(12).err_has("chmod 700");
    mode(&world.path("de"), 0o700);

    secret(&world.path("passphrase"), "another\n");
    world.de(&sign).ends(12);
    assert_eq!(
        world
            .at(&["federation", "show", "genesis.draft"])
            .field("signed"),
        "1 of 2, still to sign: de-cert"
    );
    fs::rename(&root, world.path("root.key")).unwrap();
    world
        .de(&sign)
        .ends(14)
        .err_has("hint: if it is kept elsewhere, as it should be, name it with --root-key");
}

#[test]
fn init_refuses_what_would_not_work() {
    let world = World::new();
    let init = |args: &[&str]| {
        world.at(&[
            &[
                "init",
                "--slug",
                "fr-cert",
                "--passphrase-file",
                "passphrase",
            ],
            args,
        ]
        .concat())
    };
    init(&[])
        .ends(1)
        .err_has("will not initialise at: it is not empty");
    for (args, why) in [
        (["--slug", "FR"], "not a slug"),
        (["--role", "king"], "use agency, hub or observer"),
        (["--address", "192.0.2.1:4747"], "is no address of a node"),
        (["--address", "/ip4/0.0.0.0/tcp/4747"], "nobody can dial"),
        (
            ["--listen", "/dns4/a.example/tcp/1"],
            "cannot listen on the name",
        ),
    ] {
        let said = program(&world.path(""))
            .args([
                "--data-dir",
                "new",
                "init",
                "--passphrase-file",
                "passphrase",
            ])
            .args(if args[0] == "--slug" {
                &[][..]
            } else {
                &["--slug", "fr-cert"]
            })
            .args(args)
            .output()
            .unwrap();
        let err = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(2), "{err}");
        assert!(err.contains(why), "{err}");
        assert!(!world.path("new").exists());
    }
    // An empty passphrase: nothing is left behind that would stop the next try.
    secret(&world.path("empty"), "");
    let said = program(&world.path(""))
        .args(["--data-dir", "new", "init", "--slug", "fr-cert"])
        .args(["--passphrase-file", "empty"])
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert_eq!(fs::read_dir(world.path("new/keys")).unwrap().count(), 0);
}

#[test]
fn cards_that_do_not_fit_together_make_no_federation() {
    let world = World::new();
    let create = |args: &[&str]| {
        world.at(&[&["federation", "create", "--name", "X", "-o", "new"], args].concat())
    };
    create(&["at/own.card"])
        .ends(1)
        .err_has("at least two members");
    create(&["at/own.card", "at/own.card"]).ends(18);
    create(&["at/own.card", "genesis"])
        .ends(18)
        .err_has("genesis is not a card");
    create(&["at/own.card", "nowhere"])
        .ends(14)
        .err_has("nowhere does not exist");
    create(&["at/own.card", "de/own.card", "--community", "x=fr-cert"])
        .ends(2)
        .err_has("names fr-cert, and no card is of fr-cert");
    assert!(!world.path("new").exists());
    // Without a member on this machine, and without the root key: a draft.
    let draft = [
        "federation",
        "create",
        "at/own.card",
        "de/own.card",
        "--name",
        "X",
    ];
    let nobody = world
        .command()
        .args(draft)
        .args(["-o", "draft"])
        .output()
        .unwrap();
    assert!(nobody.status.success());
    let err = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        err.contains("not signed by you: this machine has no member"),
        "{err}"
    );
    world
        .at(&[&draft[..], &["-o", "draft"]].concat())
        .ends(1)
        .err_has("draft exists and is not overwritten");
}
