//! "The first five minutes" of README.md, run as they stand there: what a
//! person types on two terminals goes through one shell, in order.
//!
//! Changed are the two ports, so that runs do not meet, and the build, which
//! is the binary under test. Added is what a person does without being told:
//! to look until it is so, and to end the nodes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use watchfire_tests::walkthrough::{Script, blocks};

/// The ports that README.md names.
const PORTS: [&str; 2] = ["4747", "4748"];

/// What a person searches for.
const SEARCHED: &str = "panel-one[.]example";

/// Two ports that are free now.
fn free_ports() -> [String; 2] {
    let taken = PORTS.map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port().to_string())
}

/// The blocks as one script.
fn script(blocks: &[String]) -> Script {
    let mut script = Script::default();
    let free = free_ports();
    for block in blocks {
        // People look again until it is there; a script has to be told so.
        if block.contains("watchfire status") {
            for member in ["vienna", "tallinn"] {
                script.line(&format!(
                    "wait_until '1 of 1 connected' watchfire status --data-dir {member}"
                ));
            }
        }
        if block.contains("watchfire search") {
            script.line(&format!(
                "wait_until 'indicator--' watchfire search '{SEARCHED}' --data-dir tallinn"
            ));
        }
        let mut block = block.clone();
        for (named, free) in PORTS.iter().zip(&free) {
            block = block.replace(&format!("/tcp/{named}"), &format!("/tcp/{free}"));
        }
        script.block(&block);
    }
    script
}

#[test]
fn the_first_five_minutes_go_as_they_are_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut blocks = blocks(&readme, Some("The first five minutes"));
    blocks.retain(|block| !block.contains("cargo build"));
    let all = blocks.concat();
    for port in PORTS {
        assert!(all.contains(&format!("/tcp/{port} ")), "port {port}");
    }

    let walked = script(&blocks).run(env!("CARGO_BIN_EXE_watchfire-under-test"));
    // What was printed by the first block with this command.
    let said = |command: &str| {
        let number = blocks.iter().position(|block| block.contains(command));
        walked.said(number.unwrap_or_else(|| panic!("README.md never shows {command:?}")))
    };
    assert!(said("watchfire status").contains("1 of 1 connected"));
    let publishes = said("watchfire publish");
    assert!(publishes.contains("TLP:CLEAR"), "{publishes}");
    let finds = said("watchfire explain");
    assert!(finds.contains("panel-one"), "{finds}");
    assert!(finds.contains("at-cert"), "its author:\n{finds}");
    // Everybody may be shown what is CLEAR, and the answer names a rule.
    let answers = finds
        .lines()
        .any(|line| line.contains("allowed") && line.contains("clear"));
    assert!(answers, "{finds}");
}
