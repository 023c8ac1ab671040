//! What running a node fails with, as a person reads it.

use super::error::{CliError, Code};
use crate::demo::DemoError;
use crate::disk::OpenError as DiskError;
use crate::driver::DriverError;
use crate::node::StartError;
use crate::serve::ServeError;
use crate::transport::TransportError;

impl From<ServeError> for CliError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Home(error) => error.into(),
            ServeError::File(error) => error.into(),
            ServeError::Passphrase(error) => error.into(),
            ServeError::NotJoined => Self::of(Code::NotInitialised, &error)
                .hint("join one with \"watchfire join\", by an invitation, a genesis or a packet"),
            ServeError::Key { ref path, ref why } => {
                let mut mapped = Self::from(why.clone());
                mapped.message = format!("{path}: {}", mapped.message);
                mapped
            }
            ServeError::Start(error) => error.into(),
            ServeError::Driver(DriverError::Store(_) | DriverError::Transport)
            | ServeError::System { .. }
            | ServeError::Task => Self::of(Code::Failure, &error),
        }
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        let code = match &error {
            StartError::Disk(DiskError::InUse { .. }) => Code::InUse,
            StartError::Genesis(_)
            | StartError::Roster(_)
            | StartError::Chain(_)
            | StartError::Prepared(_) => Code::Verification,
            StartError::Disk(_)
            | StartError::Store(_)
            | StartError::Engine(_)
            | StartError::Transport(
                TransportError::NoRuntime
                | TransportError::Seed
                | TransportError::Config(_)
                | TransportError::Gossip(_)
                | TransportError::Dns(_)
                | TransportError::Listen { .. },
            )
            | StartError::Thread(_)
            | StartError::Entropy => Code::Failure,
        };
        Self::of(code, &error)
    }
}

impl From<DemoError> for CliError {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Start(error) => error.into(),
            DemoError::Disappointed(_) => Self::of(Code::Verification, &error),
            DemoError::Made { .. }
            | DemoError::Intel { .. }
            | DemoError::Waited { .. }
            | DemoError::Ended(_) => Self::of(Code::Failure, &error),
        }
    }
}
