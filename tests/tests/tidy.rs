//! The house rules that a compiler does not know, as tests over the source
//! tree.
//!
//! Every rule is a function from text to complaints, so that `tidy/bite.rs` can
//! hand it something bad and see it complain: a rule that cannot fail is no
//! rule.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "tidy/bite.rs"]
mod bite;
#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use source::{code_only, has_word, read, root, rust_files, text_files};

/// At this length a file is two files; ask which two.
const LINES_MAX: usize = 600;

/// Who must and who may depend on whom, as ARCHITECTURE.md draws it:
/// `crypto ← protocol ← simulations`, `protocol ← node`, `tests → everything`.
const DRAWING: [(&str, &[&str], &[&str]); 5] = [
    ("crypto", &[], &[]),
    ("protocol", &["crypto"], &["crypto"]),
    ("simulations", &["protocol"], &["crypto", "protocol"]),
    ("node", &["protocol"], &["crypto", "protocol"]),
    (
        "tests",
        &["crypto", "protocol", "simulations", "node"],
        &["crypto", "protocol", "simulations", "node"],
    ),
];

/// What would bring IO, a runtime or chance into a crate that must have none.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("crypto", &["libp2p", "tokio", "sled", "bincode"]),
    (
        "protocol",
        &[
            "libp2p",
            "tokio",
            "sled",
            "getrandom",
            "rand",
            "ed25519-dalek",
        ],
    ),
    ("simulations", &["tokio", "sled"]),
];

/// What may not even be reached from the pure crates, through anything.
const IMPURE: [&str; 8] = [
    "tokio",
    "libp2p",
    "sled",
    "mio",
    "socket2",
    "async-io",
    "rustix",
    "getrandom",
];

/// The functions of the codec. Derives stand beside their types; who calls
/// these decides limits and canonical form, and that is one file's work.
const CODEC_FUNCTIONS: [&str; 7] = [
    "encode_to_vec",
    "encode_into_slice",
    "encode_into_std_write",
    "decode_from_slice",
    "borrow_decode_from_slice",
    "decode_from_std_read",
    "bincode::config",
];
const CODEC_FILE: &str = "protocol/src/wire/codec.rs";

/// Written in two halves, so that this file does not complain of itself.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const MACHINE_PATHS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/fa", "rm/"),
    concat!("/t", "mp/"),
];
const REGISTRY_HOSTS: [&str; 3] = [
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("arti", "factory"),
];

#[test]
fn the_crates_depend_on_each_other_as_drawn() {
    let manifests: BTreeMap<&str, String> = DRAWING
        .iter()
        .map(|(name, _, _)| (*name, read(&format!("{name}/Cargo.toml"))))
        .collect();
    hold(manifests.iter().flat_map(|(name, text)| edges(name, text)));
    hold(
        manifests
            .iter()
            .flat_map(|(name, text)| forbidden_dependencies(name, text)),
    );
    hold(
        manifests
            .iter()
            .flat_map(|(name, text)| unlinted(name, text)),
    );
}

/// Stands in for the wasm check where that target cannot be had.
#[test]
fn nothing_impure_is_reached_from_crypto_and_protocol() {
    for package in ["watchfire-crypto", "watchfire-protocol"] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "-e", "normal"])
            .args(["--prefix", "none", "-p", package])
            .current_dir(root())
            .output()
            .unwrap();
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            tree.starts_with(package),
            "cargo tree printed no tree of {package}: {tree}"
        );
        hold(impure(package, &tree).into_iter());
    }
}

#[test]
fn the_codec_is_called_in_one_file_and_sled_named_in_one_place() {
    hold(
        rust_files()
            .iter()
            .flat_map(|(path, text)| codec_calls(path, text)),
    );
    hold(
        rust_files()
            .iter()
            .flat_map(|(path, text)| sled_named(path, text)),
    );
}

#[test]
fn the_two_clippy_files_share_what_they_say_they_share() {
    hold(shared_parts(&read("clippy.toml"), &read("protocol/clippy.toml")).into_iter());
}

#[test]
fn every_rust_file_opens_with_its_purpose_and_ends_in_time() {
    let files = rust_files();
    assert!(
        files.len() >= 10,
        "the walk found only {} files",
        files.len()
    );
    hold(
        files
            .iter()
            .flat_map(|(path, text)| purpose_and_length(path, text)),
    );
}

#[test]
fn tests_are_neither_skipped_nor_asleep() {
    hold(
        rust_files()
            .iter()
            .flat_map(|(path, text)| lazy_tests(path, text)),
    );
}

#[test]
fn the_tree_names_no_machine_and_leaves_no_note_to_self() {
    hold(
        text_files()
            .iter()
            .flat_map(|(path, text)| strange_words(path, text)),
    );
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let there = |path: &str| root().join(path).exists();
    hold(
        text_files()
            .iter()
            .flat_map(|(path, text)| dead_links(path, text, &there)),
    );
}

#[test]
fn every_rust_file_that_the_map_names_is_there() {
    let files: Vec<String> = rust_files().into_iter().map(|(path, _)| path).collect();
    hold(lost_files("ARCHITECTURE.md", &read("ARCHITECTURE.md"), &files).into_iter());
}

/// What changes a file or a directory, as it is written in the store's code.
const WRITES: [&str; 12] = [
    ".write_all(",
    ".write_all_at(",
    ".sync_all(",
    ".sync_data(",
    ".create(true)",
    ".create_new(true)",
    "DirBuilder::new()",
    "File::create(",
    "fs::write(",
    "fs::rename(",
    "fs::remove_file(",
    "fs::remove_dir_all(",
];

/// How far above a write its point stands: what is between opens the file.
const POINT_LINES_MAX: usize = 4;

#[test]
fn before_each_write_of_the_store_is_a_point_at_which_a_test_ends_it() {
    let files = rust_files();
    let of_store = |path: &str| {
        path == "node/src/disk.rs"
            || path.starts_with("node/src/disk/") && !path.ends_with("tests.rs")
    };
    let found: Vec<_> = files.iter().filter(|(path, _)| of_store(path)).collect();
    assert!(found.len() > 15, "the store's files are elsewhere");
    hold(found.iter().flat_map(|(path, text)| unpointed(path, text)));
}

#[test]
fn every_decision_has_a_title_a_status_and_a_place_in_the_index() {
    let index = read("docs/decisions/README.md");
    hold(
        text_files()
            .iter()
            .filter_map(|(path, text)| Some((path.strip_prefix("docs/decisions/")?, text)))
            .filter(|(name, _)| *name != "README.md")
            .flat_map(|(name, text)| decision(name, text, &index)),
    );
}

#[test]
fn every_lint_has_its_reason() {
    hold(unreasoned_lints(&read("Cargo.toml"), &read("CONTRIBUTING.md")).into_iter());
}

/// The edges of one manifest, development dependencies included, against the
/// drawing.
fn edges(name: &str, manifest: &str) -> Vec<String> {
    let (_, must, may) = DRAWING.iter().find(|row| row.0 == name).unwrap();
    let found: BTreeSet<String> = dependencies(manifest)
        .iter()
        .filter_map(|key| key.strip_prefix("watchfire-").map(str::to_owned))
        .collect();
    let extra = found.iter().filter(|edge| !may.contains(&edge.as_str()));
    let missing = must.iter().filter(|edge| !found.contains(**edge));
    extra
        .map(|edge| format!("{name} depends on {edge}: the drawing has no such arrow"))
        .chain(missing.map(|edge| format!("{name} no longer depends on {edge}: mend the drawing")))
        .collect()
}

fn forbidden_dependencies(name: &str, manifest: &str) -> Vec<String> {
    let keys = dependencies(manifest);
    FORBIDDEN
        .iter()
        .filter(|(crate_name, _)| *crate_name == name)
        .flat_map(|(_, names)| names.iter())
        .filter(|forbidden| keys.contains(**forbidden))
        .map(|forbidden| format!("{name}/Cargo.toml names {forbidden}"))
        .collect()
}

fn unlinted(name: &str, manifest: &str) -> Vec<String> {
    if manifest.contains("[lints]\nworkspace = true") {
        return Vec::new();
    }
    vec![format!(
        "{name}/Cargo.toml does not take the workspace's lints"
    )]
}

/// The keys of every table of dependencies: plain, development, build, and
/// those of one target.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            if let Some((_, key)) = table.split_once("dependencies.") {
                keys.insert(key.to_owned());
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let key = line.split(['.', '=', ' ']).next().unwrap();
            keys.insert(key.trim_matches('"').to_owned());
        }
    }
    keys
}

/// Lines of `cargo tree --prefix none`: a name, a version, remarks.
fn impure(package: &str, tree: &str) -> Vec<String> {
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    IMPURE
        .iter()
        .filter(|name| names.contains(**name))
        .map(|name| format!("{package} reaches {name}: see cargo tree -p {package} -i {name}"))
        .collect()
}

fn codec_calls(path: &str, text: &str) -> Vec<String> {
    // The hostile bytes of `tests` are made with the codec, and wrongly on purpose.
    if path == CODEC_FILE || path.starts_with("tests/") {
        return Vec::new();
    }
    let code = code_only(text);
    CODEC_FUNCTIONS
        .iter()
        .filter(|name| has_word(&code, name))
        .map(|name| format!("{path} calls {name}: only {CODEC_FILE} may"))
        .collect()
}

fn sled_named(path: &str, text: &str) -> Vec<String> {
    // Its own tests break it on purpose, and must open what they broke.
    let home = path == "node/src/disk.rs"
        || path.starts_with("node/src/disk/")
        || path.starts_with("node/tests/disk")
        // What the benchmarks hold it against: the database alone.
        || path == "node/benches/corpus/bare.rs";
    if home || !has_word(&code_only(text), "sled") {
        return Vec::new();
    }
    vec![format!("{path} names sled: only node/src/disk may")]
}

/// Clippy reads the nearest file and merges nothing, so the shared part is
/// repeated, and could drift.
fn shared_parts(root: &str, protocol: &str) -> Vec<String> {
    let part = |text: &str| -> Vec<String> {
        let mut inside = false;
        let mut lines = Vec::new();
        for line in text.lines().map(str::trim) {
            match line {
                "# shared: begin" => inside = true,
                "# shared: end" => inside = false,
                line if inside => lines.push(line.to_owned()),
                _ => {}
            }
        }
        lines
    };
    let mut complaints = Vec::new();
    if part(root).is_empty() || part(root) != part(protocol) {
        complaints
            .push("the shared parts of clippy.toml and protocol/clippy.toml differ".to_owned());
    }
    for name in [
        "std::time::Instant",
        "std::thread::spawn",
        "std::collections::HashMap",
        "std::env::var",
        "f64",
    ] {
        if !protocol.contains(&format!("path = \"{name}\"")) {
            complaints.push(format!("protocol/clippy.toml no longer bans {name}"));
        }
    }
    complaints
}

fn purpose_and_length(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !text.starts_with("//! ") {
        complaints.push(format!("{path} does not begin with what it is for (//!)"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        complaints.push(format!(
            "{path} has {lines} lines, {LINES_MAX} is the end: which two files is it?"
        ));
    }
    complaints
}

fn lazy_tests(path: &str, text: &str) -> Vec<String> {
    let code = code_only(text);
    let tests_only = if path.starts_with("tests/") || path.contains("/tests") {
        code.as_str()
    } else {
        code.find("#[cfg(test)]").map_or("", |at| &code[at..])
    };
    let mut complaints = Vec::new();
    for attribute in ["#[ignore", ", ignore)", "#[should_panic"] {
        if code.contains(attribute) {
            complaints.push(format!(
                "{path} has {attribute}: a test runs, and says what it expects"
            ));
        }
    }
    if has_word(tests_only, "sleep") {
        complaints.push(format!(
            "{path} sleeps in a test: take virtual time, or wait for the event itself"
        ));
    }
    complaints
}

fn strange_words(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut say = |what: &str| complaints.push(format!("{path}:{number} has {what}"));
        for word in UNFINISHED.iter().filter(|word| has_word(line, word)) {
            say(word);
        }
        for machine in MACHINE_PATHS {
            // In the middle of a longer path these are ordinary folder names.
            let inner = |c: char| c.is_alphanumeric() || "._-~}".contains(c);
            if line
                .match_indices(machine)
                .any(|(at, _)| !line[..at].ends_with(inner))
            {
                say(machine);
            }
        }
        for host in REGISTRY_HOSTS.iter().filter(|host| line.contains(**host)) {
            say(host);
        }
        for scheme in [concat!("registry", "+http"), concat!("sparse", "+http")] {
            let public = "s://github.com/rust-lang/crates.io-index";
            if line
                .match_indices(scheme)
                .any(|(at, _)| !line[at + scheme.len()..].starts_with(public))
            {
                say("a registry that is not the public one");
            }
        }
    }
    complaints
}

/// Links of Markdown files to files; those to the world are not followed.
fn dead_links(path: &str, text: &str, there: &dyn Fn(&str) -> bool) -> Vec<String> {
    if !path.ends_with(".md") {
        return Vec::new();
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .filter(|target| !there(format!("{folder}/{target}").trim_start_matches("/")))
        .map(|target| format!("{path} links to {target}, which is not there"))
        .collect()
}

/// Names of Rust files between backticks that no file of the tree ends with. A
/// map may leave out the folders above, as its tables do, but not be wrong.
fn lost_files(path: &str, text: &str, files: &[String]) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.ends_with(".rs") && !name.contains(char::is_whitespace))
        .filter(|name| {
            let below = format!("/{name}");
            !files
                .iter()
                .any(|file| file == name || file.ends_with(&below))
        })
        .map(|name| format!("{path} names `{name}`, and there is no such file"))
        .collect()
}

/// `0007-short-name.md`, a title, and a line such as `Status: accepted`.
/// Writes of the code before the tests of a file that have no point above them.
fn unpointed(path: &str, text: &str) -> Vec<String> {
    let code = code_only(text.split("#[cfg(test)]").next().unwrap_or_default());
    let lines: Vec<&str> = code.lines().collect();
    let is_write = |line: &str| WRITES.iter().any(|write| line.contains(write));
    let has_point = |at: usize| {
        let above = &lines[at.saturating_sub(POINT_LINES_MAX)..at];
        above.iter().any(|line| line.contains("point::before("))
    };
    (0..lines.len())
        .filter(|at| is_write(lines[*at]) && !has_point(*at))
        .map(|at| {
            format!(
                "{path}:{}: a write without a point::before above it",
                at + 1
            )
        })
        .collect()
}

fn decision(name: &str, text: &str, index: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let numbered = name.len() > 8
        && name.ends_with(".md")
        && name.bytes().take(4).all(|byte| byte.is_ascii_digit())
        && name.as_bytes()[4] == b'-';
    if !numbered {
        complaints.push(format!(
            "docs/decisions/{name} is not called NNNN-short-name.md"
        ));
    }
    if !text.starts_with("# ") {
        complaints.push(format!("docs/decisions/{name} does not begin with a title"));
    }
    let status = text.lines().find_map(|line| {
        line.trim_start_matches(['*', '-', ' '])
            .strip_prefix("Status:")
    });
    let known = ["proposed", "accepted", "superseded", "rejected"];
    if !status.is_some_and(|status| {
        known
            .iter()
            .any(|word| status.to_lowercase().contains(word))
    }) {
        complaints.push(format!(
            "docs/decisions/{name} has no line \"Status: {}\"",
            known.join(" | ")
        ));
    }
    if !index.contains(&format!("({name})")) {
        complaints.push(format!("docs/decisions/README.md does not link to {name}"));
    }
    complaints
}

fn unreasoned_lints(manifest: &str, contributing: &str) -> Vec<String> {
    let mut inside = false;
    let mut complaints = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.starts_with("[workspace.lints.");
        } else if let Some((lint, _)) = line.split_once(" = ").filter(|_| inside)
            && !contributing.contains(&format!("`{lint}`"))
        {
            complaints.push(format!(
                "CONTRIBUTING.md gives no reason for the lint `{lint}`"
            ));
        }
    }
    complaints
}

/// Fails with all complaints at once, one a line.
fn hold(complaints: impl Iterator<Item = String>) {
    let complaints: Vec<String> = complaints.collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
