//! What a command that fails says, and the code it leaves with.

use std::io;

use serde::Serialize;
use watchfire_crypto::KeyFileError;
use watchfire_protocol::certify::{GrantRefused, RequestRefused};
use watchfire_protocol::opening::PrepareError;
use watchfire_protocol::roster::RosterError;
use watchfire_protocol::stix::markings::MarkingRefusal;
use watchfire_protocol::store::StoreError;

use super::ui::counted;
use crate::certificates::InstallError;
use crate::control::Failure;
use crate::control::client::ControlError;
use crate::disk::chain::ChainError;
use crate::formats::{CsvError, ImportError};
use crate::home::HomeError;
use crate::keystore::{FileError, PassphraseError, TokenError};

/// The exit codes of every command. Scripts rely on them: a code is never
/// given another meaning, and one that is not known means failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// Everything was done.
    Ok,
    /// It failed, for a reason without a code of its own.
    Failure,
    /// The command line is wrong.
    Usage,
    /// Some of it was done and some refused.
    Partial,
    /// `init` or `join` has not run.
    NotInitialised,
    /// Another process uses the data directory.
    InUse,
    /// This user, key or passphrase may not.
    NotAllowed,
    /// The rules of dissemination refuse it.
    Refused,
    /// There is no such thing here.
    NotFound,
    /// The node does not run.
    Unreachable,
    /// The node or a peer did not answer in time.
    Timeout,
    /// It works, but less well than it should.
    Degraded,
    /// A signature, fingerprint or checksum does not hold.
    Verification,
    /// A person interrupted it.
    Interrupted,
}

impl Code {
    /// Every code, ascending.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Partial,
        Self::NotInitialised,
        Self::InUse,
        Self::NotAllowed,
        Self::Refused,
        Self::NotFound,
        Self::Unreachable,
        Self::Timeout,
        Self::Degraded,
        Self::Verification,
        Self::Interrupted,
    ];

    /// The number the process leaves with.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::NotInitialised => 10,
            Self::InUse => 11,
            Self::NotAllowed => 12,
            Self::Refused => 13,
            Self::NotFound => 14,
            Self::Unreachable => 15,
            Self::Timeout => 16,
            Self::Degraded => 17,
            Self::Verification => 18,
            Self::Interrupted => 130,
        }
    }

    /// What it means, for the reference.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Ok => "everything was done",
            Self::Failure => "it failed, for a reason without a code of its own",
            Self::Usage => "the command line is wrong",
            Self::Partial => "some of it was done and some refused",
            Self::NotInitialised => "\"watchfire init\" or \"watchfire join\" has not run",
            Self::InUse => "another process uses the data directory",
            Self::NotAllowed => "this user, key or passphrase may not",
            Self::Refused => "the rules of dissemination refuse it",
            Self::NotFound => "there is no such thing here",
            Self::Unreachable => "the node does not run",
            Self::Timeout => "the node or a peer did not answer in time",
            Self::Degraded => "it works, but less well than it should",
            Self::Verification => "a signature, fingerprint or checksum does not hold",
            Self::Interrupted => "a person interrupted it",
        }
    }

    /// The code of that number; a number that is not known is a failure, and
    /// so is 0, because it came with an error.
    pub fn of_failure(number: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| code.number() == number && *code != Self::Ok)
            .unwrap_or(Self::Failure)
    }
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        code.number().into()
    }
}

/// Why a command failed, as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// The exit code.
    pub code: Code,
    /// What failed and why: lower case, no full stop.
    pub message: String,
    /// What to do next, one sentence each.
    pub hints: Vec<String>,
}

/// As it stands in `watchfire.error/1`.
#[derive(Serialize)]
pub(crate) struct ErrorView<'a> {
    code: u8,
    message: &'a str,
    hints: &'a [String],
}

impl CliError {
    /// An error without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// With one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What another part of the program says. Its sentences end with what to
    /// do next, after a semicolon: that becomes the hint.
    pub fn of(code: Code, error: &dyn std::error::Error) -> Self {
        let text = error.to_string();
        match text.rsplit_once("; ") {
            Some((message, hint)) => Self::new(code, message).hint(hint),
            None => Self::new(code, text),
        }
    }

    /// Whoever read our output has stopped reading, which is their right: the
    /// command ends without a word.
    pub(crate) fn reader_gone() -> Self {
        Self::new(Code::Ok, "")
    }

    /// Whether there is something to say.
    pub(crate) const fn is_silent(&self) -> bool {
        matches!(self.code, Code::Ok)
    }

    /// As JSON has it.
    pub(crate) fn view(&self) -> ErrorView<'_> {
        ErrorView {
            code: self.code.number(),
            message: &self.message,
            hints: &self.hints,
        }
    }

    /// Writing to standard output or error went wrong.
    pub(crate) fn output(cause: &io::Error) -> Self {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            Self::reader_gone()
        } else {
            Self::new(
                Code::Failure,
                format!("could not write the output: {cause}"),
            )
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Damaged { .. } => Code::Verification,
            StoreError::Failed { .. } => Code::Failure,
        };
        Self::of(code, &error)
    }
}

impl From<HomeError> for CliError {
    fn from(error: HomeError) -> Self {
        let code = match &error {
            HomeError::NotInitialised { .. } => Code::NotInitialised,
            HomeError::InUse { .. } => Code::InUse,
            HomeError::Exposed { .. } | HomeError::WrongOwner { .. } => Code::NotAllowed,
            HomeError::NotEmpty { .. }
            | HomeError::NotADirectory { .. }
            | HomeError::NoDefault
            | HomeError::SocketPathTooLong { .. }
            | HomeError::Io { .. } => Code::Failure,
        };
        Self::of(code, &error)
    }
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        let code = match &error {
            FileError::Missing { .. } => Code::NotFound,
            FileError::Exposed { .. }
            | FileError::WrongOwner { .. }
            | FileError::NotAFile { .. } => Code::NotAllowed,
            FileError::Exists { .. } | FileError::TooLong { .. } | FileError::Io { .. } => {
                Code::Failure
            }
        };
        Self::of(code, &error)
    }
}

impl From<PassphraseError> for CliError {
    fn from(error: PassphraseError) -> Self {
        match error {
            PassphraseError::File(error) => error.into(),
            PassphraseError::Terminal { .. }
            | PassphraseError::Differ
            | PassphraseError::Refused(_)
            | PassphraseError::NotText => Self::of(Code::Failure, &error),
        }
    }
}

impl From<KeyFileError> for CliError {
    fn from(error: KeyFileError) -> Self {
        let code = if error == KeyFileError::NotOpened {
            Code::NotAllowed
        } else {
            Code::Failure
        };
        Self::of(code, &error)
    }
}

impl From<TokenError> for CliError {
    fn from(error: TokenError) -> Self {
        let code = match &error {
            TokenError::Module { .. } | TokenError::Token { .. } | TokenError::NoKey { .. } => {
                Code::NotFound
            }
            TokenError::Pin | TokenError::Locked => Code::NotAllowed,
            TokenError::Ambiguous { .. }
            | TokenError::KeyExists { .. }
            | TokenError::PublicKey { .. }
            | TokenError::NoPin(_)
            | TokenError::Refused { .. } => Code::Failure,
        };
        Self::of(code, &error)
    }
}

impl From<RequestRefused> for CliError {
    fn from(error: RequestRefused) -> Self {
        let code = match &error {
            RequestRefused::Malformed { .. } | RequestRefused::Signature { .. } => {
                Code::Verification
            }
            RequestRefused::Defect(_) | RequestRefused::TooLong(_) => Code::NotAllowed,
        };
        Self::of(code, &error)
    }
}

impl From<GrantRefused<TokenError>> for CliError {
    fn from(error: GrantRefused<TokenError>) -> Self {
        match error {
            GrantRefused::Root(error) => error.into(),
            GrantRefused::OtherRoot => Self::of(Code::NotAllowed, &error)
                .hint("use the root key of the member that asks, or send the request back"),
            GrantRefused::Certificate(_) | GrantRefused::Card(_) => {
                Self::of(Code::Verification, &error)
            }
        }
    }
}

impl From<InstallError> for CliError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Home(error) => error.into(),
            InstallError::File(error) => error.into(),
        }
    }
}

impl From<ChainError> for CliError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::File(error) => error.into(),
            ChainError::Malformed { .. } | ChainError::Gap { .. } => {
                Self::of(Code::Verification, &error)
            }
        }
    }
}

impl From<RosterError> for CliError {
    fn from(error: RosterError) -> Self {
        let code = match &error {
            RosterError::Malformed { .. }
            | RosterError::Signature { .. }
            | RosterError::Contradiction { .. }
            | RosterError::Unsigned { .. } => Code::Verification,
            RosterError::Shared { .. }
            | RosterError::Size { .. }
            | RosterError::Superseded
            | RosterError::NotNext { .. }
            | RosterError::Undecided { .. } => Code::Failure,
            RosterError::UnknownNode => Code::NotFound,
            RosterError::NotAMember => Code::NotAllowed,
        };
        Self::of(code, &error)
    }
}

impl From<ImportError> for CliError {
    fn from(error: ImportError) -> Self {
        let code = match &error {
            ImportError::NoMarking(_) => Code::Refused,
            ImportError::Stix(_)
            | ImportError::Csv(_)
            | ImportError::TooLarge { .. }
            | ImportError::NotUtf8 { .. }
            | ImportError::TooManyValues
            | ImportError::TooManyEntries
            | ImportError::Nothing(_) => Code::Failure,
        };
        Self::of(code, &error)
    }
}

impl From<CsvError> for CliError {
    fn from(error: CsvError) -> Self {
        Self::of(Code::Usage, &error)
    }
}

impl From<PrepareError> for CliError {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Marking(refusal) => refusal.into(),
            PrepareError::Stix { .. } | PrepareError::TooLarge { .. } | PrepareError::Empty => {
                Self::of(Code::Failure, &error)
            }
        }
    }
}

impl From<MarkingRefusal> for CliError {
    fn from(refusal: MarkingRefusal) -> Self {
        // The library's own remedy for stricter objects, a stricter flag, leads
        // to the next refusal as long as nothing above CLEAR can be sealed.
        if let MarkingRefusal::Stricter {
            flag,
            strictest,
            count,
            objects,
        } = &refusal
        {
            let named = some_of(objects, *count);
            return Self::new(
                Code::Refused,
                format!(
                    "publish refused: {} marked stricter than {flag}, up to {strictest}: {named}",
                    counted(*count, "object is", "objects are")
                ),
            )
            .hint("leave these objects out of the file, or ask their author to mark them again");
        }
        let mut error = Self::of(Code::Refused, &refusal);
        error.message = format!("publish refused: {}", error.message);
        error
    }
}

impl From<ControlError> for CliError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Failed(failure) => failure.into(),
            ControlError::NotRunning { .. } => Self::of(Code::Unreachable, &error)
                .hint("start it with \"watchfire serve\", or name its directory with --data-dir"),
            ControlError::Timeout { .. } => Self::of(Code::Timeout, &error),
            ControlError::Io { .. } | ControlError::Closed => Self::of(Code::Unreachable, &error),
            ControlError::Malformed { .. } | ControlError::TooLong | ControlError::Unexpected => {
                Self::of(Code::Failure, &error)
            }
        }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        Self {
            code: Code::of_failure(failure.exit_code),
            message: failure.message,
            hints: failure.hint.into_iter().collect(),
        }
    }
}

/// Names joined, and how many more there are.
pub(crate) fn some_of(names: &[String], count: usize) -> String {
    let named = names.join(", ");
    match count.saturating_sub(names.len()) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_read_back() {
        for code in Code::ALL {
            if code != Code::Ok {
                assert_eq!(Code::of_failure(code.number()), code);
            }
        }
        assert_eq!(
            Code::of_failure(0),
            Code::Failure,
            "an error is never success"
        );
        assert_eq!(Code::of_failure(99), Code::Failure);
        assert!(
            Code::ALL.is_sorted_by_key(|code| code.number()),
            "ascending, so none is there twice"
        );
    }

    #[test]
    fn what_to_do_next_becomes_the_hint() {
        let error = CliError::from(HomeError::NoDefault);
        assert!(
            error
                .message
                .ends_with("neither XDG_DATA_HOME nor HOME is set")
        );
        assert_eq!(error.hints, ["name one with --data-dir"]);
    }
}
