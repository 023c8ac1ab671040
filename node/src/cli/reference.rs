//! The reference of the command line, as `docs/cli.md` has it: made from the
//! help that a person sees, so the two cannot differ.

use clap::CommandFactory;

use super::{Cli, Code, GLOBAL};

/// How wide the help is set, whatever terminal this runs in.
const WIDTH: usize = 100;

/// The text of `docs/cli.md`.
pub fn reference() -> String {
    let mut root = Cli::command()
        .term_width(WIDTH)
        .color(clap::ColorChoice::Never);
    root.build();
    let mut text = String::from(
        "# Command line

This file is made from the program's own help; a test keeps the two the same. To change it, change the program, then run
`WATCHFIRE_BLESS=1 cargo test -p watchfire-tests --test cli`.

Data goes to standard output, everything else to standard error. On a terminal values are defanged
(`hxxp://evil[.]example`); in pipes and with `--json` they are as they are. Tables in pipes are lines of cells parted by tabs,
without a header. A control character in what others wrote is shown as `\\u{1b}` and never obeyed.

With `--json` a command prints one document, `{\"schema\":\"watchfire.NAME/1\",\"data\":{…}}`. A command that fails ends with
`{\"schema\":\"watchfire.error/1\",\"data\":{\"code\":13,\"message\":\"…\",\"hints\":[\"…\"]}}` on standard error. Fields are added and
never taken away.

## Exit codes

| Code | Meaning |
|---|---|
",
    );
    for code in Code::ALL {
        text.push_str(&format!("| {} | {} |\n", code.number(), code.about()));
    }
    text.push_str("\nA code that is not in this table means failure.\n");
    describe(&mut root, &mut text, true);
    text
}

fn describe(command: &mut clap::Command, text: &mut String, with_global: bool) {
    let help = command.render_long_help().to_string();
    let help = if with_global {
        help
    } else {
        without_global(&help)
    };
    let title = command
        .get_bin_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    text.push_str(&format!(
        "\n## {title}\n\n```text\n{}\n```\n",
        without_trailing_blanks(help.trim_end())
    ));
    for sub in command.get_subcommands_mut() {
        describe(sub, text, false);
    }
}

/// The global options are the same everywhere and stand once.
fn without_global(help: &str) -> String {
    let heading = format!("{GLOBAL}:");
    let mut kept = String::new();
    let mut inside = false;
    for line in help.lines() {
        if line == heading {
            inside = true;
        } else if inside && !line.is_empty() && !line.starts_with(' ') {
            inside = false;
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn without_trailing_blanks(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
        let mut has_sub = false;
        for sub in command.get_subcommands() {
            has_sub = true;
            leaves(sub, found);
        }
        if !has_sub {
            found.push(command.clone());
        }
    }

    #[test]
    fn every_command_shows_an_example_and_every_option_is_explained() {
        let mut found = Vec::new();
        leaves(&Cli::command(), &mut found);
        assert!(found.len() > 10);
        for command in found {
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                after.contains("Example"),
                "{} has no example",
                command.get_name()
            );
            assert!(
                after.contains("watchfire "),
                "{}: its example runs nothing",
                command.get_name()
            );
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{} {}", command.get_name(), arg.get_id());
                assert!(
                    !help.ends_with('.'),
                    "{} {}: {help}",
                    command.get_name(),
                    arg.get_id()
                );
            }
        }
    }

    #[test]
    fn the_global_options_stand_once() {
        assert_eq!(reference().matches("--data-dir <DIR>").count(), 1);
    }
}
