//! Rows of comma-separated values, with a header we know or a mapping.

use std::cell::Cell;
use std::io::{self, Read};

use watchfire_protocol::indicator::{self, Kind, Value, ValueError};
use watchfire_protocol::stix::time::Timestamp;

use super::ImportError;
use super::collect::{Collector, Context, LABELS_MAX};

/// Most cells of a row. The widest table of indicators we know has some
/// thirty; a cell costs some 24 bytes besides its text, so a row 24 KB.
const CELLS_MAX: usize = 1_000;

/// Longest row, in bytes, quotes and line ends in it included: as much as the
/// largest STIX object. While it is read its cells cost eight bytes each, so a
/// row of nothing but commas 8 MiB.
const ROW_BYTES_MAX: usize = 1_024 * 1_024;

/// What the CSV reader reads at a time, in bytes.
const BUFFER_BYTES: usize = 64 * 1_024;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Value,
    /// A value of the kind the header names.
    Typed(Type),
    Type,
    Date,
    Tags,
    Reference,
    Note,
    User,
    Ignored,
}

/// What a type column may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Exactly(Kind),
    Address,
    Digest,
}

/// What the columns of a file hold, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<Column>);

/// Why the rows of a file cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// The first row is no header we know.
    #[error(
        "the columns are not known: the first row is no header with a column \"value\": {first_row}; say what the columns hold, for example --columns {example}"
    )]
    NoHeader {
        /// The first row, defanged and cut.
        first_row: String,
        /// A mapping that may fit.
        example: String,
    },
    /// A name in `--columns` that means nothing.
    #[error(
        "the column {name:?} is not known; use value, type, date, tags, ref, note, user, or - for one to leave out"
    )]
    UnknownColumn {
        /// The name.
        name: String,
    },
    /// Not exactly one column holds the values.
    #[error(
        "{found} columns hold values and exactly one must; name the others - in --columns, as in --columns {example}"
    )]
    ValueColumns {
        /// How many do.
        found: usize,
        /// A mapping that may fit.
        example: String,
    },
    /// A row is longer than any row of indicators.
    #[error(
        "line {line}: the row that begins here is longer than {ROW_BYTES_MAX} bytes; is a quote not closed, or is the file no table?"
    )]
    RowTooLong {
        /// Where it begins.
        line: u64,
    },
    /// The first row has more cells than any table of indicators.
    #[error("the first row has more than {CELLS_MAX} cells; is the file no table?")]
    TooManyColumns,
    /// The file is empty.
    #[error("the file has no rows")]
    Empty,
}

/// The bytes of a file, of which the CSV reader gets no more than one row may
/// have: it alone knows where a row ends, and collects cells until then.
struct Rationed<'a> {
    bytes: &'a [u8],
    ration: &'a Cell<usize>,
}

impl Read for Rationed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(self.ration.get());
        if wanted == 0 && !buffer.is_empty() && !self.bytes.is_empty() {
            return Err(io::Error::other("the row is too long"));
        }
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        let count = self.bytes.read(buffer)?;
        self.ration.set(self.ration.get().saturating_sub(count));
        Ok(count)
    }
}

impl Columns {
    /// Reads `--columns date,user,type,value,tags,ref`.
    ///
    /// # Errors
    /// A name that is not known, or no or several value columns.
    pub fn parse(text: &str) -> Result<Self, CsvError> {
        let columns: Vec<Column> = text
            .split(',')
            .map(|name| {
                column_named(name).ok_or_else(|| CsvError::UnknownColumn {
                    name: name.trim().chars().take(40).collect(),
                })
            })
            .collect::<Result<_, _>>()?;
        Self(columns).checked("type,value")
    }

    /// Reads a header, if the row is one: a name for the values in it, and not
    /// a single value.
    fn from_header(row: &[String]) -> Result<Option<Self>, CsvError> {
        if row.iter().any(|cell| indicator::detect(cell).is_ok()) {
            return Ok(None);
        }
        let mut columns: Vec<Column> = row
            .iter()
            .map(|cell| column_named(cell).unwrap_or(Column::Ignored))
            .collect();
        if columns.contains(&Column::Value) {
            // "value" beside "url": the second is where it was reported.
            for column in &mut columns {
                if matches!(column, Column::Typed(_)) {
                    *column = Column::Ignored;
                }
            }
        }
        let named = Self(columns);
        if named.values() == 0 {
            return Ok(None);
        }
        let example: Vec<&str> = named.0.iter().map(|column| column.name()).collect();
        let example = example.join(",");
        named.checked(&example).map(Some)
    }

    fn values(&self) -> usize {
        self.0
            .iter()
            .filter(|column| matches!(column, Column::Value | Column::Typed(_)))
            .count()
    }

    fn checked(self, example: &str) -> Result<Self, CsvError> {
        match self.values() {
            1 => Ok(self),
            found => Err(CsvError::ValueColumns {
                found,
                example: example.to_owned(),
            }),
        }
    }
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Value | Self::Typed(_) => "value",
            Self::Type => "type",
            Self::Date => "date",
            Self::Tags => "tags",
            Self::Reference => "ref",
            Self::Note => "note",
            Self::User => "user",
            Self::Ignored => "-",
        }
    }
}

/// Takes the value of every row.
pub(super) fn read(
    bytes: &[u8],
    columns: Option<&Columns>,
    collector: &mut Collector<'_>,
) -> Result<(), ImportError> {
    let ration = Cell::new(0);
    let bytes = Rationed {
        bytes,
        ration: &ration,
    };
    // The reader skips a byte order mark.
    let mut rows = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(bytes);
    let mut known = columns.cloned();
    let mut first = true;
    let mut row = ::csv::ByteRecord::new();
    loop {
        let start = rows.position().clone();
        // One byte more than a row may have: what is buffered comes on top, and
        // the length is compared below.
        ration.set(ROW_BYTES_MAX + 1);
        let too_long = || CsvError::RowTooLong { line: start.line() };
        // A flexible reader takes any row: reading fails only for want of bytes.
        let is_read = rows.read_byte_record(&mut row).map_err(|_| too_long())?;
        let length = rows.position().byte().saturating_sub(start.byte());
        if length > ROW_BYTES_MAX as u64 {
            return Err(too_long().into());
        }
        if !is_read {
            break;
        }
        let line = row.position().map_or(0, ::csv::Position::line);
        if row.len() > CELLS_MAX {
            if first {
                return Err(CsvError::TooManyColumns.into());
            }
            let start = row.get(0).map(String::from_utf8_lossy).unwrap_or_default();
            let reason = format!("the row has more than {CELLS_MAX} cells");
            collector.refuse(line, &start, reason)?;
            continue;
        }
        let cells: Vec<String> = row
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).trim().to_owned())
            .collect();
        if core::mem::take(&mut first) {
            let header = Columns::from_header(&cells);
            match (&known, header) {
                // A header above an explicit mapping is still a header.
                (Some(_), Ok(Some(_))) => continue,
                (Some(_), Ok(None) | Err(_)) => {}
                (None, Ok(Some(header))) => {
                    known = Some(header);
                    continue;
                }
                (None, Ok(None)) => return Err(no_header(&cells).into()),
                (None, Err(error)) => return Err(error.into()),
            }
        }
        let Some(Columns(columns)) = &known else {
            break;
        };
        if cells.iter().all(String::is_empty) {
            continue;
        }
        take(line, &cells, columns, collector)?;
    }
    if first {
        return Err(CsvError::Empty.into());
    }
    Ok(())
}

fn take(
    line: u64,
    cells: &[String],
    columns: &[Column],
    collector: &mut Collector<'_>,
) -> Result<(), ImportError> {
    let mut raw = None;
    let mut said = None;
    let mut context = Context::default();
    let mut user = None;
    for (cell, column) in cells.iter().zip(columns) {
        if cell.is_empty() {
            continue;
        }
        match column {
            Column::Value => raw = Some(cell),
            Column::Typed(kind) => {
                raw = Some(cell);
                said = Some(Ok(*kind));
            }
            Column::Type => said = Some(type_named(cell).ok_or(cell)),
            Column::Date => context.valid_from = date(cell),
            Column::Tags => context.labels = tags(cell),
            Column::Reference => context.reference = Some(cell.clone()),
            Column::Note => context.description = Some(cell.clone()),
            Column::User => user = Some(cell),
            Column::Ignored => {}
        }
    }
    if let (None, Some(user)) = (&context.description, user) {
        context.description = Some(format!("reported by {user}"));
    }
    let Some(raw) = raw else {
        return collector.refuse(line, &cells.join(","), "the row has no value".to_owned());
    };
    let value = match said {
        Some(Err(name)) => {
            let name: String = name.chars().take(40).collect();
            let reason = format!("values of type {name:?} are not published as indicators");
            return collector.refuse(line, raw, reason);
        }
        Some(Ok(said)) => read_as(said, raw),
        None => indicator::detect(raw),
    };
    match value {
        Ok(value) => collector.value(line, raw, value, &context),
        Err(error) => collector.refuse(line, raw, error.to_string()),
    }
}

fn read_as(said: Type, raw: &str) -> Result<Value, ValueError> {
    let fits = |kind: Kind| match said {
        Type::Exactly(said) => said == kind,
        Type::Address => matches!(kind, Kind::Ipv4 | Kind::Ipv6 | Kind::Cidr),
        Type::Digest => matches!(kind, Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512),
    };
    match (said, indicator::detect(raw)) {
        (_, Ok(value)) if fits(value.kind()) => Ok(value),
        (Type::Exactly(kind), _) => indicator::normalise(kind, raw),
        (Type::Address, _) => Err(ValueError::Invalid {
            kind: Kind::Ipv4,
            why: "the row says it is an address",
        }),
        (Type::Digest, _) => Err(ValueError::Invalid {
            kind: Kind::Sha256,
            why: "the row says it is a digest",
        }),
    }
}

fn column_named(name: &str) -> Option<Column> {
    let name = name.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    Some(match name.as_str() {
        "value" | "indicator" | "ioc" | "data" | "observable" | "indicator_value" | "ioc_value" => {
            Column::Value
        }
        "type" | "kind" | "indicator_type" | "ioc_type" | "value_type" => Column::Type,
        "date" | "first_seen" | "timestamp" | "valid_from" | "first_seen_utc" => Column::Date,
        "tags" | "tag" | "labels" | "label" => Column::Tags,
        "ref" | "reference" | "references" | "tweet" | "source" | "link" => Column::Reference,
        "note" | "notes" | "description" | "comment" | "comments" => Column::Note,
        "user" | "reporter" | "author" => Column::User,
        "" | "_" => Column::Ignored,
        other => Column::Typed(type_named(other)?),
    })
}

fn type_named(name: &str) -> Option<Type> {
    let name = name
        .trim()
        .to_ascii_lowercase()
        .replace(['-', '_', ' '], "");
    Some(match name.as_str() {
        "domain" | "domainname" | "hostname" | "host" | "fqdn" => Type::Exactly(Kind::Domain),
        "ip" | "ipaddress" | "ipaddr" | "ipdst" | "ipsrc" | "ipv4addr" | "ipv6addr" | "address" => {
            Type::Address
        }
        "ipv4" | "ipv6" => Type::Address,
        "cidr" | "network" | "subnet" => Type::Address,
        "url" | "uri" => Type::Exactly(Kind::Url),
        "email" | "emailaddr" | "emailaddress" | "emailsrc" | "emaildst" => {
            Type::Exactly(Kind::Email)
        }
        "md5" => Type::Exactly(Kind::Md5),
        "sha1" => Type::Exactly(Kind::Sha1),
        "sha256" => Type::Exactly(Kind::Sha256),
        "sha512" => Type::Exactly(Kind::Sha512),
        "hash" | "filehash" | "digest" => Type::Digest,
        _ => return None,
    })
}

/// A date as tables write it; one that cannot be read is left out, and the
/// value counts from the day it is published.
fn date(cell: &str) -> Option<Timestamp> {
    let text = cell.trim_end_matches(" UTC").replacen(' ', "T", 1);
    [
        text.clone(),
        format!("{text}Z"),
        format!("{text}T00:00:00Z"),
    ]
    .iter()
    .find_map(|text| Timestamp::parse(text).ok())
}

/// The tags of a cell: one more than a value may have says that there are too
/// many, and the others need not be read.
fn tags(cell: &str) -> Vec<String> {
    cell.split(|char: char| char.is_whitespace() || matches!(char, ',' | ';' | '|'))
        .map(|tag| tag.trim_start_matches('#'))
        .filter(|tag| !tag.is_empty())
        .take(LABELS_MAX + 1)
        .map(str::to_owned)
        .collect()
}

/// The error for a first row that is no header, with a mapping guessed from it.
fn no_header(cells: &[String]) -> CsvError {
    let mut taken: Vec<Column> = Vec::new();
    let mut guess = |cell: &String| {
        let value = indicator::detect(cell).ok();
        let guess = if type_named(cell).is_some() {
            Column::Type
        } else if date(cell).is_some() {
            Column::Date
        } else if cell.starts_with('#') {
            Column::Tags
        } else if value.is_some() && !taken.contains(&Column::Value) {
            Column::Value
        } else if value.is_some() {
            Column::Reference
        } else {
            Column::Ignored
        };
        let free = !taken.contains(&guess);
        taken.push(guess);
        if free { guess.name() } else { "-" }
    };
    let mut example: Vec<&str> = cells.iter().map(&mut guess).collect();
    if !example.contains(&"value") {
        example = vec!["type", "value"];
    }
    let shown: Vec<String> = cells
        .iter()
        .map(|cell| {
            let cell =
                indicator::detect(cell).map_or_else(|_| cell.clone(), |value| value.defanged());
            cell.chars().take(60).collect()
        })
        .collect();
    CsvError::NoHeader {
        first_row: shown.join(",").chars().take(300).collect(),
        example: example.join(","),
    }
}
