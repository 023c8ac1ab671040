//! docs/by-hand.md as it stands: a federation of five from five empty
//! directories, run through one shell. Changed are the ports and the build.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use watchfire_tests::walkthrough::{Script, blocks};

/// The first port that the page names, and how many after it are used.
const PORT: &str = "4750";
const PORTS: u16 = 26;

/// Where all these ports are free now.
fn free_port() -> u16 {
    let mut base = 20_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 30;
    loop {
        let ports = base..base + PORTS;
        let taken: Result<Vec<TcpListener>, _> = ports
            .map(|port| TcpListener::bind(("127.0.0.1", port)))
            .collect();
        if taken.is_ok() {
            return base;
        }
        base = if base > 50_000 { 20_000 } else { base + PORTS };
    }
}

#[test]
fn a_federation_of_five_goes_as_it_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/by-hand.md")).unwrap();
    let mut blocks = blocks(&page, None);
    blocks.retain(|block| !block.contains("cargo build"));
    let base = free_port();
    let first: u16 = PORT.parse().unwrap();
    let mut script = Script::default();
    for block in &blocks {
        let mut block = block.replace(&format!("port={PORT}"), &format!("port={base}"));
        // The port of a node that takes another's place.
        for offset in 0..PORTS {
            let named = format!("/tcp/{}", first + offset);
            block = block.replace(&named, &format!("/tcp/{}", base + offset));
        }
        script.block(&block);
    }
    let walked = script.run(env!("CARGO_BIN_EXE_watchfire-under-test"));
    let number = blocks
        .iter()
        .position(|block| block.contains("roster history"));
    let history = walked.said(number.unwrap());
    for part in ["admit fi-cert", "expel de-cert"] {
        assert!(history.contains(part), "{history}");
    }
    // What the old node of a member published counts after its end.
    let number = blocks.iter().position(|block| block.contains("key revoke"));
    let found = walked.said(number.unwrap());
    assert!(found.contains("indicator--"), "{found}");
    // The last thing that the expelled is told is that it is.
    let last = walked.said(blocks.len() - 1);
    assert!(last.contains("epoch here\t2"), "{last}");
}
