//! What `roster` and `peer` say where no node runs, of files that are none, and
//! of command lines that cannot be meant.

use super::world::World;

#[test]
fn without_a_node_governing_says_what_is_missing() {
    let world = World::joined();
    for args in [
        &["roster", "status"][..],
        &["roster", "show"],
        &["roster", "history"],
        &["roster", "export", "-o", "x.packet"],
        &["roster", "prepare", "0123456789abcdef"],
        &["roster", "propose", "--reason", "r", "--expel", "de-cert"],
        &["roster", "suspend", "de-cert", "--reason", "r"],
        &["roster", "sign", "0123456789abcdef"],
        &["peer", "list"],
        &["peer", "show", "de-cert"],
    ] {
        world
            .at(args)
            .ends(15)
            .err_has("watchfire: error: the node does not run")
            .err_has("watchfire: hint: start it with \"watchfire serve\"");
    }
    assert!(!world.path("x.packet").exists());
}

#[test]
fn what_cannot_be_meant_is_refused_before_anybody_is_asked() {
    let world = World::joined();
    for args in [
        &["roster", "propose", "--reason", "nothing changes"][..],
        &["roster", "propose", "--expel", "de-cert"],
        &["roster", "propose", "--reason", "r", "--settle", "de-cert"],
        &[
            "roster",
            "propose",
            "--reason",
            "r",
            "--rekey",
            "de-cert=12",
        ],
        &[
            "roster",
            "propose",
            "--reason",
            "r",
            "--community",
            "eu=mine",
        ],
        &["roster", "suspend", "de-cert"],
        &[
            "roster", "suspend", "de-cert", "--reason", "r", "--hours", "73",
        ],
        &["roster", "sign", "--output", "x.packet"],
        &["roster", "prepare", "--round", "0"],
    ] {
        let said = world.at(args).ends(2);
        assert!(said.err.starts_with("watchfire: error: "), "{}", said.err);
        assert!(said.err.contains("\nwatchfire: hint: "), "{}", said.err);
    }
}

#[test]
fn files_that_are_no_packet_are_said_to_be_none() {
    let world = World::joined();
    world.write("noise.packet", "watchfire-packet 1\nand then noise");
    for file in ["noise.packet", "genesis", "at/own.card"] {
        for args in [
            &["roster", "import"][..],
            &["roster", "show", "--packet"],
            &["roster", "history", "--packet"],
            &[
                "roster",
                "sign",
                "--root-key",
                "at/keys/root.key",
                "--packet",
            ],
        ] {
            world
                .at(&[args, &[file]].concat())
                .ends(18)
                .err_has("is no packet")
                .err_has("watchfire: hint: ");
        }
    }
    world
        .at(&["roster", "show", "--packet", "absent.packet"])
        .ends(14)
        .err_has("does not exist");
    world
        .at(&["join", "noise.packet", "--fingerprint", world.fingerprint()])
        .ends(18);
    world
        .at(&[
            "roster",
            "propose",
            "--reason",
            "r",
            "--admit",
            "genesis=eu",
        ])
        .ends(18)
        .err_has("is not a card");
}
