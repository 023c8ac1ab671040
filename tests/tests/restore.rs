//! A node that is put back from a copy, one that runs twice, and one whose disk is
//! lost, with the real program: nobody ever sees it say two things under one
//! number for longer than its member takes to end that, and what counted counts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "restore/world.rs"]
mod world;

use std::fs;

use serde_json::Value;
use watchfire_tests::program::Process;

use world::{AUTHOR, OTHERS, REPLACEMENT, World, copy_dir, keys, make_home, node_of};

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

    // Out of the store of a node that does not run: what was said of the old one
    // stays. The root at hand ends the new one, and another member tells it.
    let again = [
        "--revoke",
        &old_node[..12],
        "--reason",
        "retired",
        "-o",
        "again.request",
    ];
    let asked = world.request("new", &again).ends(0).data();
    assert_eq!(asked["cuts"][0]["sequence"], 1);
    let revoke = [
        "key",
        "revoke",
        &new_node[..12],
        "--reason",
        "retired",
        "--root-key",
        "root.key",
    ];
    let with = [
        "--root-passphrase-file",
        "passphrase",
        "-o",
        "new.revocation",
        "--json",
    ];
    let revoke = [&revoke[..], &with[..]].concat();
    world.at("new", &revoke).ends(2).err_has("nobody agreed");
    let revoked = world
        .at("new", &[&revoke[..], &["--yes"]].concat())
        .ends(0)
        .data();
    assert_eq!(revoked["installed"], false);
    assert_eq!(revoked["revocation"]["cuts"][0]["sequence"], 1);
    world
        .at("be-cert", &["key", "install", "new.revocation"])
        .ends(0)
        .err_has("tells everybody");
    for slug in OTHERS {
        world.nodes_are(slug, &[]);
        world.shows(slug, &old, true);
        world.shows(slug, &next, true);
    }
    for (slug, node) in OTHERS.iter().zip(others) {
        node.terminate(slug);
    }
}
