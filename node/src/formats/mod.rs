//! Foreign files in, STIX out, and an account of every line.
//!
//! Whatever an analyst has at hand (STIX, a spreadsheet, a list, a report) ends
//! as STIX bytes that are published as they are. What cannot be taken is kept
//! in the account with its line and the reason, so that what went in is always
//! the sum of what was accepted, repeated and refused.
//!
//! Refused means two things. A line of a list, a table or a text that is
//! refused stays here. STIX is published byte for byte, so a refused element of
//! it travels with the document: it is not indexed and shown to nobody.

use watchfire_protocol::ids::MemberId;
use watchfire_protocol::limits::{IMPORT_ENTRIES_MAX, STIX_DOCUMENT_BYTES_MAX};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::stix::document::{Document, DocumentError, Verdict};
use watchfire_protocol::stix::time::Timestamp;

mod account;
mod collect;
mod csv;
mod detect;
mod list;
mod text;

use collect::Collector;

pub use account::{Account, Outcome, Refused};
pub use csv::{Columns, CsvError};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// STIX 2.1 JSON: taken byte for byte.
    Stix,
    /// Rows of comma-separated values.
    Csv,
    /// One value a line.
    List,
    /// Prose with values in it.
    Text,
}

impl Format {
    /// The format's name for `--format` and for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stix => "stix",
            Self::Csv => "csv",
            Self::List => "list",
            Self::Text => "text",
        }
    }

    /// Reads a name a person typed.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Stix, Self::Csv, Self::List, Self::Text]
            .into_iter()
            .find(|format| format.name().eq_ignore_ascii_case(name.trim()))
    }
}

/// What the publisher says about an import.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the file is; without it, its name and content decide.
    pub format: Option<Format>,
    /// What the columns of a CSV file hold; without it, its header decides.
    pub columns: Option<Columns>,
    /// Whose indicators these become.
    pub author: MemberId,
    /// The author's name in the identity object.
    pub author_name: String,
    /// How far they may go. STIX carries its own markings; everything else
    /// needs this.
    pub marking: Option<Marking>,
    /// When the values were first published. It is the same in each import of
    /// one author, since no version of an object may change it (STIX 2.1,
    /// section 3.6).
    pub created: Timestamp,
    /// When this version is made. It must be later than that of an earlier
    /// import of the same values.
    pub modified: Timestamp,
    /// Labels for every indicator.
    pub labels: Vec<String>,
}

/// An import that can be published.
#[derive(Clone, Debug)]
pub struct Import {
    /// The document: for STIX input the very bytes that were given.
    pub stix: Vec<u8>,
    /// What the file was taken for.
    pub format: Format,
    /// What became of every line, row, candidate or object.
    pub account: Account,
}

/// Why nothing can be published from a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file is no STIX document.
    #[error(transparent)]
    Stix(#[from] DocumentError),
    /// The file's columns are not known.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// The file is larger than a document may be.
    #[error("the file has {bytes} bytes and at most {STIX_DOCUMENT_BYTES_MAX} are read; split it")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The file is not text.
    #[error("line {line}: the bytes are not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// The first line that is not.
        line: u64,
    },
    /// More values than one document holds.
    #[error(
        "the file holds more than {} different values; split it",
        collect::VALUES_MAX
    )]
    TooManyValues,
    /// More lines, rows or words than are settled.
    #[error("the file holds more than {IMPORT_ENTRIES_MAX} entries; split it")]
    TooManyEntries,
    /// Values need a marking and nobody gave one.
    #[error("no marking: a {} file carries none; pass --tlp with the label it shall have", .0.name())]
    NoMarking(Format),
    /// Nothing in the file could be taken.
    #[error(
        "nothing to publish: of {} entries {} were refused, the first at line {}: {}",
        .0.input(),
        .0.refused().len(),
        .0.refused().first().map_or(0, |first| first.line),
        .0.refused().first().map_or("the file is empty", |first| first.reason.as_str())
    )]
    Nothing(Box<Account>),
}

/// Turns the file `name` with the content `bytes` into STIX.
///
/// # Errors
/// When the file as a whole cannot be read, or nothing in it can be taken. A
/// line that is wrong by itself is in the account.
pub fn import(name: &str, bytes: &[u8], options: &Options) -> Result<Import, ImportError> {
    if bytes.len() > STIX_DOCUMENT_BYTES_MAX {
        return Err(ImportError::TooLarge { bytes: bytes.len() });
    }
    let format = options
        .format
        .unwrap_or_else(|| detect::format_of(name, bytes));
    match format {
        Format::Stix => stix(bytes),
        Format::Csv => values(format, options, |collector| {
            csv::read(bytes, options.columns.as_ref(), collector)
        }),
        Format::List => values(format, options, |collector| {
            list::read(as_text(bytes)?, collector)
        }),
        Format::Text => values(format, options, |collector| {
            text::read(as_text(bytes)?, collector)
        }),
    }
}

/// A bundle of the values that `read` finds.
fn values(
    format: Format,
    options: &Options,
    read: impl FnOnce(&mut Collector<'_>) -> Result<(), ImportError>,
) -> Result<Import, ImportError> {
    let marking = options.marking.ok_or(ImportError::NoMarking(format))?;
    let mut collector = Collector::new(options, marking);
    read(&mut collector)?;
    let (stix, account) = collector.finish();
    if account.accepted() == 0 {
        return Err(ImportError::Nothing(Box::new(account)));
    }
    Ok(Import {
        stix,
        format,
        account,
    })
}

/// STIX stays as it is; the account says what the index will hold of it.
fn stix(bytes: &[u8]) -> Result<Import, ImportError> {
    let document = Document::read(bytes)?;
    let mut account = Account::default();
    let (mut line, mut counted) = (1, 0);
    for verdict in document.verdicts() {
        match verdict {
            Verdict::Accepted(_) => account.settle(Outcome::Accepted),
            Verdict::Duplicate { .. } => account.settle(Outcome::Duplicate),
            Verdict::Refused(refused) => {
                // Elements come in order, so each line is counted once.
                let between = bytes.get(counted..refused.range.start).unwrap_or_default();
                line += lines_in(between);
                counted = refused.range.start;
                let value = refused.id.clone().unwrap_or_else(|| "(no id)".to_owned());
                account.settle(Outcome::Refused(Refused::new(
                    line,
                    &value,
                    refused.reason.to_string(),
                )));
            }
        }
    }
    if account.accepted() == 0 {
        return Err(ImportError::Nothing(Box::new(account)));
    }
    Ok(Import {
        stix: bytes.to_vec(),
        format: Format::Stix,
        account,
    })
}

fn lines_in(bytes: &[u8]) -> u64 {
    let count = bytes.iter().filter(|byte| **byte == b'\n').count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The file as text, without the byte order mark some editors write.
fn as_text(bytes: &[u8]) -> Result<&str, ImportError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        ImportError::NotUtf8 {
            line: 1 + lines_in(before),
        }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests;
