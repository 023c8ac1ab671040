//! `docs/cli.md` is the program's own help, and the program keeps to it.

use std::fs;
use std::path::Path;

use super::world::{World, program};

#[test]
fn the_reference_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let now = watchfire_node::cli::reference();
    if std::env::var_os("WATCHFIRE_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &now).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "docs/cli.md differs from the program; run WATCHFIRE_BLESS=1 cargo test -p watchfire-tests --test cli"
    );
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_right() {
    let world = World::new();
    for args in [
        &["publish"][..],
        &["publish", "x", "--tlp", "purple"],
        &["search", "x", "--limit", "0"],
        &["serve", "--timeout", "0"],
        &["conjure"],
        &["join", "genesis"],
        &["--quiet", "--verbose", "status"],
    ] {
        let said = world.at(args).ends(2);
        assert!(said.err.starts_with("watchfire: error: "), "{}", said.err);
        assert!(said.err.contains("\nwatchfire: hint: "), "{}", said.err);
        assert_eq!(said.out, "");
    }
    let error = world.at(&["publish", "--json"]).ends(2).error();
    assert!(error["message"].as_str().unwrap().contains("<FILE>"));
    let nothing = world.command().output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    assert!(
        nothing.stdout.is_empty(),
        "help that nobody asked for is no data"
    );
}

#[test]
fn help_and_version_are_data() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["--help"][..], &["publish", "-h"], &["--version"]] {
        let output = program(dir.path()).args(args).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .contains("watchfire")
        );
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let world = World::new();
    for args in [&["federation", "show", "genesis", "-q"][..], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = world.command().args(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}

#[test]
fn without_a_node_each_command_says_what_is_missing() {
    let world = World::new();
    for args in [
        &["search", "evil.example"][..],
        &["show", "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"],
        &["explain", "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"],
        &["status"],
    ] {
        world
            .at(args)
            .ends(15)
            .err_has("watchfire: error: the node does not run")
            .err_has("watchfire: hint: start it with \"watchfire serve\"");
        let nowhere = [&["--data-dir", "nowhere"], args].concat();
        let output = world.command().args(nowhere).output().unwrap();
        assert_eq!(output.status.code(), Some(10));
        let by_environment = world
            .command()
            .env("WATCHFIRE_DATA_DIR", "nowhere")
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output, by_environment);
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains("hint: run \"watchfire init\""), "{err}");
        assert!(!world.path("nowhere").exists());
    }
    let error = world.at(&["status", "--json"]).ends(15).error();
    assert_eq!(error["hints"].as_array().unwrap().len(), 1);
}
