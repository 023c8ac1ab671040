//! "The first five minutes" of README.md, run as they stand there: what a
//! person types on two terminals goes through one shell, in order.
//!
//! Changed are the two ports, so that runs do not meet, and the build, which
//! is the binary under test. Added is what a person does without being told:
//! to look until it is so, and to end the nodes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// The ports that README.md names.
const PORTS: [&str; 2] = ["4747", "4748"];

/// What a person searches for.
const SEARCHED: &str = "panel-one[.]example";

/// What stands before the blocks. `wait_until` runs a command until its
/// standard output has a text (what it says of errors repeats what was asked),
/// 600 times at most and with a pause of a tenth of a second; the nodes are
/// ended by their pids, however the shell ends, and killed if they are still
/// there after 20 seconds.
const PREAMBLE: &str = r#"
set -eu
nodes=''
end_nodes() {
    set +e
    test -n "$nodes" || return
    kill $nodes
    (sleep 20; kill -9 $nodes) >/dev/null 2>&1 &
    guard=$!
    wait $nodes
    kill $guard
}
trap end_nodes EXIT
wait_until() {
    text=$1
    shift
    tries=0
    while ! "$@" 2>/dev/null | grep -F -- "$text" >/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -ge 600 ]; then
            echo "never said '$text': $*" >&2
            "$@" >&2 || true
            exit 1
        fi
        sleep 0.1
    done
}
"#;

/// The `sh` blocks of a section of README.md, in order.
fn blocks(readme: &str, heading: &str) -> Vec<String> {
    let section = readme
        .split("\n## ")
        .find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("README.md has no section {heading:?}"));
    let mut blocks = Vec::new();
    let mut inside: Option<String> = None;
    for line in section.lines() {
        match (line, &mut inside) {
            ("```sh", None) => inside = Some(String::new()),
            ("```", Some(_)) => blocks.extend(inside.take()),
            (line, Some(block)) => {
                block.push_str(line);
                block.push('\n');
            }
            (_, None) => {}
        }
    }
    assert_eq!(inside, None, "a block is not closed");
    blocks
}

/// Two ports that are free now.
fn free_ports() -> [String; 2] {
    let taken = PORTS.map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port().to_string())
}

/// The blocks as one script. Each begins with a line that names it.
fn script(blocks: &[String]) -> String {
    let mut script = PREAMBLE.to_owned();
    let free = free_ports();
    for (number, block) in blocks.iter().enumerate() {
        if block.contains("cargo build") {
            continue;
        }
        // People look again until it is there; a script has to be told so.
        if block.contains("watchfire status") {
            for member in ["vienna", "tallinn"] {
                script.push_str(&format!(
                    "wait_until '1 of 1 connected' watchfire status --data-dir {member}\n"
                ));
            }
        }
        if block.contains("watchfire search") {
            script.push_str(&format!(
                "wait_until 'indicator--' watchfire search '{SEARCHED}' --data-dir tallinn\n"
            ));
        }
        script.push_str(&format!("echo '== {number}'\n"));
        for line in block.lines() {
            let mut line = line.to_owned();
            for (named, free) in PORTS.iter().zip(&free) {
                line = line.replace(&format!("/tcp/{named}"), &format!("/tcp/{free}"));
            }
            script.push_str(&line);
            script.push('\n');
            if line.ends_with('&') {
                script.push_str("nodes=\"$nodes $!\"\n");
            }
        }
    }
    script
}

/// What was printed between the line that names a block and the next.
fn said<'a>(out: &'a str, blocks: &[String], command: &str) -> &'a str {
    let number = blocks.iter().position(|block| block.contains(command));
    let number = number.unwrap_or_else(|| panic!("README.md never shows {command:?}"));
    let begin = format!("== {number}\n");
    let (_, after) = out
        .split_once(&begin)
        .unwrap_or_else(|| panic!("the block of {command:?} did not run:\n{out}"));
    after.split("== ").next().unwrap()
}

#[test]
fn the_first_five_minutes_go_as_they_are_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks = blocks(&readme, "The first five minutes");
    let all = blocks.concat();
    for port in PORTS {
        assert!(all.contains(&format!("/tcp/{port} ")), "port {port}");
    }

    let dir = tempfile::tempdir().unwrap();
    let [bin, start] = ["bin", "start"].map(|name| dir.path().join(name));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&start).unwrap();
    symlink(
        env!("CARGO_BIN_EXE_watchfire-under-test"),
        bin.join("watchfire"),
    )
    .unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
    // In files, because nodes that outlived the shell would hold a pipe open.
    let [out, err] = ["out", "err"].map(|name| dir.path().join(name));
    let status = Command::new("sh")
        .args(["-c", &script(&blocks)])
        .current_dir(&start)
        .env_clear()
        .env("HOME", dir.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(&err).unwrap())
        .status()
        .unwrap();
    let [out, err] = [out, err].map(|path| fs::read_to_string(path).unwrap());
    assert!(status.success(), "{status}\n{out}\n{err}");

    assert!(said(&out, &blocks, "watchfire status").contains("1 of 1 connected"));
    let publishes = said(&out, &blocks, "watchfire publish");
    assert!(publishes.contains("TLP:CLEAR"), "{publishes}");
    let finds = said(&out, &blocks, "watchfire explain");
    assert!(finds.contains("panel-one"), "{finds}");
    assert!(finds.contains("at-cert"), "its author:\n{finds}");
    // Everybody may be shown what is CLEAR, and the answer names a rule.
    let answers = finds
        .lines()
        .any(|line| line.contains("allowed") && line.contains("clear"));
    assert!(answers, "{finds}");
}

#[test]
fn blocks_are_those_of_one_section() {
    let readme = "# A\n```sh\nno\n```\n\n## B\n```text\nno\n```\n```sh\none\ntwo\n```\n## C\n```sh\nno\n```\n";
    assert_eq!(blocks(readme, "B"), ["one\ntwo\n"]);
}
