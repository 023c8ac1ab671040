//! Each rule of the house, shown something bad.

use super::*;

/// Exactly one complaint, and it has these words.
fn one(complaints: &[String], words: &str) {
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains(words), "{complaints:?}");
}

fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn arrows_of_the_drawing() {
    let good = "[package]\nname = \"x\"\n[dependencies]\nwatchfire-crypto.workspace = true\n\
                watchfire-protocol = { path = \"y\" }\n";
    none(&edges("simulations", good));
    let dev = format!("{good}[dev-dependencies]\nwatchfire-node.workspace = true\n");
    one(&edges("simulations", &dev), "depends on node");
    let table = format!("{good}[target.'cfg(unix)'.dependencies.watchfire-node]\npath = \"z\"\n");
    one(&edges("simulations", &table), "depends on node");
    let lost = "[dependencies]\nwatchfire-crypto = \"1\"\n";
    one(&edges("simulations", lost), "no longer depends on protocol");
    one(
        &edges("crypto", "[dependencies]\nwatchfire-protocol = \"1\""),
        "depends on protocol",
    );
}

#[test]
fn dependencies_that_are_forbidden() {
    one(
        &forbidden_dependencies("protocol", "[dev-dependencies]\ntokio = \"1\"\n"),
        "names tokio",
    );
    one(
        &forbidden_dependencies("simulations", "[dependencies]\ntokio.workspace = true\n"),
        "names tokio",
    );
    none(&forbidden_dependencies(
        "node",
        "[dependencies]\ntokio = \"1\"\n",
    ));
    one(&unlinted("node", "[package]\nname = \"x\"\n"), "lints");
}

#[test]
fn impure_trees() {
    let tree = "watchfire-protocol v0.1.0 (here)\nbincode v2.0.1\nsocket2 v0.6.0 (*)\n";
    one(&impure("watchfire-protocol", tree), "reaches socket2");
}

#[test]
fn codec_and_database() {
    let call = "fn f() { bincode::encode_to_vec(1, c); }";
    one(
        &codec_calls("protocol/src/stix/mod.rs", call),
        "calls encode_to_vec",
    );
    one(
        &codec_calls("node/src/disk.rs", "use bincode::config;"),
        "calls bincode::config",
    );
    none(&codec_calls(CODEC_FILE, call));
    none(&codec_calls(
        "protocol/src/ids.rs",
        "#[derive(bincode::Encode)] struct S;",
    ));
    one(
        &sled_named("node/src/driver.rs", "use sled::Db;"),
        "names sled",
    );
    none(&sled_named("node/src/disk/tree.rs", "use sled::Db;"));
    none(&sled_named(
        "node/src/driver.rs",
        "// sled\nlet x = \"sled\"; fn misled() {}",
    ));
}

#[test]
fn clippy_files_that_drift() {
    let (root, protocol) = (read("clippy.toml"), read("protocol/clippy.toml"));
    one(
        &shared_parts(&root.replacen("verify_batch", "verify_bath", 1), &protocol),
        "differ",
    );
    one(
        &shared_parts("", &protocol.replace("# shared: begin", "")),
        "differ",
    );
    one(
        &shared_parts(&root, &protocol.replace("\"f64\"", "\"f16\"")),
        "no longer bans f64",
    );
}

#[test]
fn files_without_purpose_or_end() {
    one(
        &purpose_and_length("a.rs", "use x;\n//! late\n"),
        "what it is for",
    );
    one(
        &purpose_and_length("a.rs", &format!("//! x\n{}", "\n".repeat(LINES_MAX))),
        "601 lines",
    );
}

#[test]
fn tests_that_shirk() {
    one(
        &lazy_tests("node/src/a.rs", "#[ignore = \"slow\"] fn f() {}"),
        "#[ignore",
    );
    one(
        &lazy_tests("node/src/a.rs", "#[cfg_attr(miri, ignore)] fn f() {}"),
        "ignore)",
    );
    one(
        &lazy_tests("node/src/a.rs", "#[should_panic] fn f() {}"),
        "should_panic",
    );
    one(
        &lazy_tests("tests/tests/a.rs", "use std::thread::sleep;"),
        "sleeps",
    );
    let shell = "fn f() { tokio::time::sleep(d) }";
    none(&lazy_tests("node/src/a.rs", shell));
    one(
        &lazy_tests(
            "node/src/a.rs",
            &format!("#[cfg(test)]\nmod tests {{ {shell} }}"),
        ),
        "sleeps",
    );
}

#[test]
fn words_that_do_not_belong() {
    for word in UNFINISHED {
        one(
            &strange_words("a.md", &format!("x\n{word}: later")),
            "a.md:2",
        );
    }
    for path in MACHINE_PATHS {
        one(
            &strange_words("a.md", &format!("see {path}notes")),
            "a.md:1",
        );
        none(&strange_words("a.md", &format!("see docs{path}notes")));
    }
    for host in REGISTRY_HOSTS {
        one(
            &strange_words("a.toml", &format!("url = \"https://{host}/x\"")),
            "a.toml:1",
        );
    }
    let lock = |host: &str| format!("source = \"{}{host}\"", "registry+");
    one(
        &strange_words("Cargo.lock", &lock("https://mirror.example/")),
        "registry",
    );
    none(&strange_words(
        "Cargo.lock",
        &lock("https://github.com/rust-lang/crates.io-index"),
    ));
}

#[test]
fn links_to_nowhere() {
    let there = |path: &str| path == "docs/../a.md" || path == "docs/b.md";
    none(&dead_links(
        "docs/x.md",
        "[a](../a.md#part) [b](b.md) [c](https://c.example/)",
        &there,
    ));
    one(
        &dead_links("docs/x.md", "see [the map](map.md)", &there),
        "map.md",
    );
    one(&dead_links("README.md", "see [a](a.md)", &there), "a.md");
}

#[test]
fn files_that_moved_away() {
    let files = ["node/src/driver.rs".to_owned(), "lone.rs".to_owned()];
    let lost = |text: &str| lost_files("ARCHITECTURE.md", text, &files);
    none(&lost(
        "`driver.rs`, `src/driver.rs`, `lone.rs`, `Node::run`, a `b` and driven.rs",
    ));
    one(&lost("see `roster.rs` there"), "`roster.rs`");
    one(&lost("`river.rs` is a part of a name"), "`river.rs`");
    one(&lost("`formats/driver.rs`"), "no such file");
}

#[test]
fn decisions_without_form() {
    let index = "[x](0001-a-choice.md)";
    let good = "# A choice\n\nStatus: accepted, 2026-11-23\n";
    none(&decision("0001-a-choice.md", good, index));
    one(
        &decision("0001-a-choice.md", "A choice\nStatus: accepted\n", index),
        "title",
    );
    one(
        &decision("0001-a-choice.md", "# A choice\nStatus: maybe\n", index),
        "Status",
    );
    one(&decision("0001-a-choice.md", good, ""), "link");
    one(&decision("1-a-choice.md", good, "(1-a-choice.md)"), "NNNN");
}

#[test]
fn writes_without_a_point() {
    none(&unpointed(
        "a.rs",
        "point::before(\"write it\");\nfile.write_all(b)?;\n#[cfg(test)]\nfs::write(a, b);",
    ));
    one(&unpointed("a.rs", "\nfile.sync_all()?;"), "a.rs:2");
    let far = format!("point::before(\"it\");{}fs::rename(a, b)?;", "\n".repeat(5));
    one(&unpointed("a.rs", &far), "without a point");
    one(
        &unpointed("a.rs", "// point::before(\"it\");\nFile::create(a)?;"),
        "a.rs:2",
    );
}

#[test]
fn lints_without_reason() {
    let manifest = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n[profile.dev]\ndebug = 1\n";
    one(
        &unreasoned_lints(manifest, "we like `panic`"),
        "`unsafe_code`",
    );
}
