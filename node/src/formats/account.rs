//! What became of every entry of an import.

/// How many characters of a refused value are kept.
const VALUE_CHARS_MAX: usize = 200;

/// An account of an import. It grows only by [`Account::settle`], one outcome
/// for one entry, so that what went in is what came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    input: u64,
    accepted: u64,
    duplicate: u64,
    refused: Vec<Refused>,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the document, and will be indexed.
    Accepted,
    /// The same value was accepted before.
    Duplicate,
    /// It was not taken. An element of STIX input is in the document all the
    /// same, and will not be indexed.
    Refused(Refused),
}

/// An entry that was not taken; see [`Outcome::Refused`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Line in the file, counted from one.
    pub line: u64,
    /// The entry, as it stands in the file, cut at a length that fits a list.
    /// It may be live: defang it before people see it.
    pub value: String,
    /// Why, in words.
    pub reason: String,
}

impl Refused {
    /// An entry at `line`.
    pub fn new(line: u64, value: &str, reason: String) -> Self {
        Self {
            line,
            value: value.chars().take(VALUE_CHARS_MAX).collect(),
            reason,
        }
    }
}

impl Account {
    /// Notes one entry and what became of it.
    pub fn settle(&mut self, outcome: Outcome) {
        self.input += 1;
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Duplicate => self.duplicate += 1,
            Outcome::Refused(refused) => self.refused.push(refused),
        }
    }

    /// Entries that were read: accepted, duplicate and refused together.
    pub const fn input(&self) -> u64 {
        self.input
    }

    /// Entries that are in the document and will be indexed.
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Entries that repeat an accepted one.
    pub const fn duplicate(&self) -> u64 {
        self.duplicate
    }

    /// Entries that were not taken, in the order of the file.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }
}
