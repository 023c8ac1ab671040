//! `watchfire completions`: the script with which a shell completes commands
//! and options.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;
use serde::Serialize;

use super::error::CliError;
use super::{Cli, Context};

/// Print the script that completes commands and options in a shell
///
/// The script knows the commands of this version: make it again after an
/// update.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire completions bash > ~/.local/share/bash-completion/completions/watchfire
  watchfire completions zsh > ~/.zfunc/_watchfire
  watchfire completions fish > ~/.config/fish/completions/watchfire.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell it is for
    #[arg(value_enum, value_name = "SHELL")]
    shell: ShellName,
}

/// The shells that scripts are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
    Elvish,
    // Not "power-shell", which nobody types.
    #[value(name = "powershell")]
    PowerShell,
}

impl ShellName {
    const fn shell(self) -> Shell {
        match self {
            Self::Bash => Shell::Bash,
            Self::Zsh => Shell::Zsh,
            Self::Fish => Shell::Fish,
            Self::Elvish => Shell::Elvish,
            Self::PowerShell => Shell::PowerShell,
        }
    }
}

/// The script, as `--json` prints it.
#[derive(Serialize)]
struct CompletionsView {
    shell: String,
    script: String,
}

pub(crate) fn run(context: &Context, args: &CompletionsArgs) -> Result<(), CliError> {
    let script = script(args.shell);
    if context.ui.json() {
        let shell = args.shell.shell().to_string();
        return context
            .ui
            .document("completions", &CompletionsView { shell, script });
    }
    context.ui.bytes(script.as_bytes())
}

fn script(shell: ShellName) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell.shell(), &mut Cli::command(), "watchfire", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in ShellName::value_variants() {
            let script = script(*shell);
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell:?} does not know {name}");
            }
            assert!(script.contains("--data-dir") || script.contains("data-dir"));
        }
    }
}
