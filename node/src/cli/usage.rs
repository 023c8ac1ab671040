//! From the arguments to a command, and wrong ones to an error in our words.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory, FromArgMatches};

use super::error::{CliError, Code};
use super::ui::Ui;
use super::{Cli, Global};

/// Reads the arguments. What asks for help or is wrong is answered here, and
/// the code to leave with comes back.
pub(super) fn parse(args: &[OsString]) -> Result<Cli, Code> {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let mut command = Cli::command();
    if has("--no-color") {
        command = command.color(ColorChoice::Never);
    }
    let parsed = command
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let kind = error.kind();
        if kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion {
            // Whoever asked for help and closed the pipe has seen enough.
            let _ = error.print();
            return Code::Ok;
        }
        if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let _ = error.print();
            return Code::Usage;
        }
        // The flags that shape the answer count even where the rest of the line
        // is wrong.
        let ui = Ui::new(&Global {
            data_dir: None,
            json: has("--json"),
            quiet: false,
            verbose: false,
            no_color: has("--no-color"),
            timeout: None,
            help: None,
        });
        ui.error(&in_our_words(&error.render().to_string()));
        Code::Usage
    })
}

/// The parser's text has an error, tips, a usage line and a pointer to the
/// help, parted by empty lines.
fn in_our_words(text: &str) -> CliError {
    let mut error = CliError::new(Code::Usage, "");
    for paragraph in text.split("\n\n") {
        let lines: Vec<&str> = paragraph
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let joined = lines.join(" ");
        if let Some(message) = joined.strip_prefix("error: ") {
            error.message = message.to_owned();
        } else if let Some(usage) = joined.strip_prefix("Usage: ") {
            error = error.hint(format!("usage: {usage}"));
        } else if joined.starts_with("For more information") {
            error = error.hint("add --help for every option and an example");
        } else {
            for line in lines {
                error = error.hint(line.strip_prefix("tip: ").unwrap_or(line));
            }
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_line_says_what_is_wrong_and_what_is_right() {
        let error = Cli::command()
            .try_get_matches_from(["watchfire", "join"])
            .expect_err("an argument is missing");
        let error = in_our_words(&error.render().to_string());
        assert_eq!(error.code, Code::Usage);
        assert!(
            error
                .message
                .starts_with("the following required arguments were not provided"),
            "{}",
            error.message
        );
        assert!(
            error.message.contains("<INVITATION|FILE>"),
            "{}",
            error.message
        );
        assert!(
            error
                .hints
                .iter()
                .any(|hint| hint.starts_with("usage: watchfire join")),
            "{:?}",
            error.hints
        );
    }
}
