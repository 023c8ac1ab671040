//! `watchfire store`: looking after the database of a node that does not run.

use clap::Subcommand;

use super::Context;
use super::error::{CliError, Code};
use crate::disk::lock::PidLock;
use crate::disk::{Loss, OpenError, SledStore};
use crate::home::{Home, HomeError};

mod check;
mod stats;

/// Look after the store of a node that does not run
///
/// A store belongs to one process at a time: end the node first.
#[derive(Debug, Subcommand)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) enum StoreCommand {
    Check(check::CheckArgs),
    Stats(stats::StatsArgs),
}

pub(crate) fn run(context: &Context, command: StoreCommand) -> Result<(), CliError> {
    match command {
        StoreCommand::Check(args) => check::run(context, &args),
        StoreCommand::Stats(args) => stats::run(context, &args),
    }
}

/// A store that is ours for the length of a command.
struct Offline {
    home: Home,
    store: SledStore,
    /// What it has lost from its end.
    loss: Option<Loss>,
    _lock: PidLock,
}

/// Takes data directory and store, where no node has them.
fn offline(context: &Context) -> Result<Offline, CliError> {
    let home = context.home()?;
    let lock = home.lock().map_err(|refused| match refused {
        in_use @ HomeError::InUse { .. } => in_use_hint(in_use.into()),
        other @ (HomeError::NotInitialised { .. }
        | HomeError::NotEmpty { .. }
        | HomeError::Exposed { .. }
        | HomeError::WrongOwner { .. }
        | HomeError::NotADirectory { .. }
        | HomeError::NoDefault
        | HomeError::SocketPathTooLong { .. }
        | HomeError::Io { .. }) => other.into(),
    })?;
    let (store, loss) = SledStore::open_with_loss(&home.store())?;
    Ok(Offline {
        home,
        store,
        loss,
        _lock: lock,
    })
}

fn in_use_hint(error: CliError) -> CliError {
    error.hint("\"watchfire status\" says how a running node and its store are")
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::InUse { .. } => in_use_hint(Self::of(Code::InUse, &error)),
            OpenError::NotAStore { .. } => Self::of(Code::NotFound, &error),
            OpenError::Damaged { path, why } => Self::new(
                Code::Verification,
                format!("store {} does not open: {why}", path.display()),
            )
            .hint("start the node: it sets the store aside, keeps it, and fills a fresh one from its peers")
            .hint("or stop here, move it away, and restore it from a backup"),
            OpenError::Io { cause, .. }
                if cause.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Self::of(Code::NotAllowed, &error)
            }
            OpenError::NotEmpty { .. }
            | OpenError::Newer { .. }
            | OpenError::Unfinished { .. }
            | OpenError::Io { .. } => Self::of(Code::Failure, &error),
        }
    }
}

/// Bytes as people read them: `12.5 MiB`. Below a kibibyte exact, above cut
/// off after one digit.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut unit_bytes: u64 = 1_024;
    let mut name = "KiB";
    for next in UNITS.iter().skip(1) {
        let Some(larger) = unit_bytes.checked_mul(1_024) else {
            break;
        };
        if bytes < larger {
            break;
        }
        unit_bytes = larger;
        name = next;
    }
    let tenths = u128::from(bytes) * 10 / u128::from(unit_bytes);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short() {
        assert_eq!(bytes_text(0), "0 B");
        assert_eq!(bytes_text(1_023), "1023 B");
        assert_eq!(bytes_text(1_536), "1.5 KiB");
        assert_eq!(bytes_text(1_048_576), "1.0 MiB");
        assert_eq!(bytes_text(u64::MAX), "16383.9 PiB");
    }
}
