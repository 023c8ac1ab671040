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

#[test]
fn completions_are_a_script_that_the_shell_reads() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = world.at(&["completions", shell]).ends(0);
        said.out_has("federation").out_has("publish");
        let data = world.at(&["completions", shell, "--json"]).ends(0);
        let data = data.data("watchfire.completions/1");
        assert_eq!(data["shell"], shell);
        assert_eq!(data["script"], said.out);
    }
    world
        .at(&["completions", "tcsh"])
        .ends(2)
        .err_has("powershell");
    let script = world.path("watchfire.bash");
    fs::write(&script, world.at(&["completions", "bash"]).out).unwrap();
    // Without bash on this machine there is nothing that could read it.
    if let Ok(output) = std::process::Command::new("bash")
        .arg("-n")
        .arg(&script)
        .output()
    {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let completed = std::process::Command::new("bash")
            .args(["-c", r#"source "$1"; COMP_WORDS=(watchfire pub); COMP_CWORD=1; _watchfire watchfire pub watchfire; echo "${COMPREPLY[@]}""#, "bash"])
            .arg(&script)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(completed.stdout).unwrap(), "publish\n");
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let world = World::new();
    let first = world.at(&["man"]).ends(0);
    first.out_has(".TH watchfire 1").out_has(".SH NAME");
    let out = world.path("pages/man1");
    let said = world.at(&["man", "--out", out.to_str().unwrap()]).ends(0);
    let reference = watchfire_node::cli::reference();
    let commands: Vec<String> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## watchfire"))
        .map(|rest| format!("watchfire{}", rest.replace(' ', "-")))
        .collect();
    assert!(commands.len() > 10);
    assert_eq!(said.out.lines().count(), commands.len());
    for command in &commands {
        let page = fs::read_to_string(out.join(format!("{command}.1"))).unwrap();
        let (_, name) = page.split_once(".SH NAME\n").unwrap();
        let name = name.lines().next().unwrap().replace('\\', "");
        assert!(name.starts_with(&format!("{command} - ")), "{name}");
        let (_, synopsis) = page.split_once(".SH SYNOPSIS\n").unwrap();
        let words = command.replace('-', " ").replace("watchfire ", "");
        assert!(
            synopsis.replace(['\\', '-'], " ").contains(&words),
            "{command}: {synopsis}"
        );
    }
    let pages = world.at(&["man", "--json"]).ends(0).data("watchfire.man/1");
    assert_eq!(pages["pages"].as_array().unwrap().len(), commands.len());
    assert_eq!(pages["pages"][0]["text"], first.out);
    let written = world
        .at(&["man", "--json", "--out", out.to_str().unwrap()])
        .ends(0)
        .data("watchfire.man/1");
    assert_eq!(written["files"].as_array().unwrap().len(), commands.len());
    fs::write(world.path("file"), "").unwrap();
    world
        .at(&["man", "--out", "file/man1"])
        .ends(1)
        .err_has("hint: name a directory");
}
