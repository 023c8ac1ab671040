//! The command line: one file for each command, with its arguments and what
//! it does. Nothing here decides about intelligence; that is the node's.
//!
//! Data goes to standard output and everything else to standard error. With
//! `--json` a command prints one document, `{"schema":"watchfire.NAME/1",
//! "data":…}`, and one that fails ends with `watchfire.error/1` on standard
//! error. New fields may come; none is taken away or given another meaning.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::control::client::ControlClient;
use crate::home::Home;

mod completions;
mod demo;
mod error;
mod explain;
mod federation;
mod files;
mod init;
mod invite;
mod join;
mod key;
mod man;
mod peer;
mod publish;
mod quarantine;
mod reference;
mod restore;
mod roster;
mod running;
mod search;
mod serve;
mod settings;
mod show;
mod status;
mod store;
mod sync;
mod ui;
mod usage;

pub use error::{CliError, Code};

pub use reference::reference;
pub use settings::{NodeSettings, PORT_DEFAULT, dial_address, listen_address, listen_for};

use ui::Ui;

/// How long a command waits for the node when `--timeout` does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Exchange cyber-threat intelligence without a central server
///
/// A node belongs to one organisation. Nodes that founded a federation together
/// give each other what they publish, directly or through members that carry it
/// on; every node decides by the same rules who may have what.
#[derive(Debug, Parser)]
#[command(
    name = "watchfire",
    bin_name = "watchfire",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    after_help = "Examples:
  watchfire demo
  watchfire init --slug at-cert --address /ip4/192.0.2.1/tcp/4747
  watchfire publish indicators.csv --tlp clear

Exit codes and every command: docs/cli.md"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Data directory of the node [default: watchfire in the user's data directory]
    #[arg(long, global = true, value_name = "DIR", env = "WATCHFIRE_DATA_DIR", hide_env_values = true, help_heading = GLOBAL)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Say nothing but data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
    /// Print without colours; NO_COLOR does the same
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) no_color: bool,
    /// How long to wait for the node [default: 30, for publish 600]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400), help_heading = GLOBAL)]
    pub(crate) timeout: Option<u64>,
    /// Print help
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = GLOBAL)]
    help: Option<bool>,
}

const GLOBAL: &str = "Global options";

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    #[command(subcommand)]
    Federation(federation::FederationCommand),
    Invite(invite::InviteArgs),
    Join(join::JoinArgs),
    #[command(subcommand)]
    Key(key::KeyCommand),
    Serve(serve::ServeCommand),
    Demo(demo::DemoCommand),
    Publish(publish::PublishArgs),
    Search(search::SearchArgs),
    Show(show::ShowArgs),
    Explain(explain::ExplainArgs),
    Status(status::StatusArgs),
    #[command(subcommand)]
    Store(store::StoreCommand),
    Restore(restore::RestoreArgs),
    #[command(subcommand)]
    Sync(sync::SyncCommand),
    #[command(subcommand)]
    Roster(roster::RosterCommand),
    #[command(subcommand)]
    Peer(peer::PeerCommand),
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// What a command has at hand.
pub(crate) struct Context {
    pub(crate) ui: Ui,
    global: Global,
}

impl Context {
    /// Where the data directory is, whether or not it exists.
    pub(crate) fn home_path(&self) -> Result<PathBuf, CliError> {
        match &self.global.data_dir {
            Some(path) => Ok(path.clone()),
            None => Ok(Home::default_path(|name| std::env::var_os(name))?),
        }
    }

    /// The data directory, which exists and is ours alone.
    pub(crate) fn home(&self) -> Result<Home, CliError> {
        Ok(Home::open(&self.home_path()?)?)
    }

    /// A connection to the node that runs in the data directory.
    pub(crate) fn connect(&self, patience: Duration) -> Result<ControlClient, CliError> {
        let socket = self.home()?.control_socket(|name| std::env::var_os(name))?;
        let within = self.global.timeout.map_or(patience, Duration::from_secs);
        Ok(ControlClient::connect(&socket, within)?)
    }
}

/// The whole program, from the arguments of this process to its exit code.
pub fn main_entry() -> std::process::ExitCode {
    main_of(std::env::args_os().collect()).into()
}

fn main_of(args: Vec<OsString>) -> Code {
    let cli = match usage::parse(&args) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let context = Context {
        ui: Ui::new(&cli.global),
        global: cli.global,
    };
    match run(&context, cli.command) {
        Ok(()) => Code::Ok,
        Err(error) => {
            context.ui.error(&error);
            error.code
        }
    }
}

fn run(context: &Context, command: Command) -> Result<(), CliError> {
    match command {
        Command::Init(args) => init::run(context, args),
        Command::Federation(command) => federation::run(context, command),
        Command::Invite(args) => invite::run(context, args),
        Command::Join(args) => join::run(context, &args),
        Command::Key(command) => key::run(context, command),
        Command::Serve(args) => serve::run(context, args),
        Command::Demo(args) => demo::run(context, args),
        Command::Publish(args) => publish::run(context, &args),
        Command::Search(args) => search::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::Explain(args) => explain::run(context, &args),
        Command::Status(args) => status::run(context, &args),
        Command::Store(command) => store::run(context, command),
        Command::Restore(args) => restore::run(context, &args),
        Command::Sync(command) => sync::run(context, &command),
        Command::Roster(command) => roster::run(context, command),
        Command::Peer(command) => peer::run(context, &command),
        Command::Quarantine(command) => quarantine::run(context, &command),
        Command::Completions(args) => completions::run(context, &args),
        Command::Man(args) => man::run(context, &args),
    }
}
