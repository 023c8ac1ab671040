//! Strict JSON (RFC 8259, with the restrictions of RFC 7493 that matter).
//!
//! Two readers that disagree about a document are a way past a marking: one
//! sees the first of two `object_marking_refs`, the other the second. So what
//! is ambiguous is refused: two members of one name, a lone surrogate, a
//! number no double can hold, an integer that a double would round, a byte
//! order mark, bytes after the end. The reader keeps its own stack, so that
//! depth costs an error and never the stack of the process.

use core::fmt;

use crate::limits::JSON_DEPTH_MAX;

mod reader;

pub(crate) use reader::Reader;

/// A JSON value. Numbers stay the text they were written as: nothing is
/// rounded on the way through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as its source text.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Members),
}

impl Json {
    /// Reads exactly one value and nothing after it but white space.
    ///
    /// # Errors
    /// What is not strict JSON, with the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, StrictError> {
        let mut reader = Reader::new(bytes)?;
        let value = reader.value(0, usize::MAX)?;
        reader.end()?;
        Ok(value)
    }

    /// The text, if it is a string.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&Members> {
        if let Self::Object(members) = self {
            Some(members)
        } else {
            None
        }
    }

    /// The member `name`, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object().and_then(|members| members.get(name))
    }

    /// The member `name`, if it is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Self::as_text)
    }

    /// What kind of value it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// The members of an object, ordered by name, no name twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Vec<(String, Json)>);

impl Members {
    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let at = self
            .0
            .binary_search_by(|(key, _)| key.as_str().cmp(name))
            .ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Every member in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where and why bytes are not strict JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not strict JSON: line {line}, byte {offset}: {fault}")]
pub struct StrictError {
    /// Bytes from the start of the document.
    pub offset: usize,
    /// Line, counted from one.
    pub line: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What strict JSON refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A sequence that is not UTF-8.
    #[error("the bytes are not UTF-8; save the file as UTF-8")]
    NotUtf8,
    /// The document starts with U+FEFF.
    #[error("a byte order mark stands before the JSON; save the file as UTF-8 without one")]
    ByteOrderMark,
    /// The document ends inside a value.
    #[error("the document ends here, in the middle of a value; it may have been cut off")]
    Ended,
    /// Something else was due.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Nested deeper than the bound.
    #[error("nested deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// Two members of one object have one name.
    #[error("the member {0} appears twice in one object; readers would disagree which one counts")]
    DuplicateMember(String),
    /// Half of a surrogate pair.
    #[error("half a surrogate pair in a string; it stands for no character")]
    LoneSurrogate,
    /// An unescaped control character in a string.
    #[error("a control character stands unescaped in a string")]
    ControlCharacter,
    /// A magnitude above the largest double.
    #[error("the number is too large for any reader")]
    NotFinite,
    /// An integer outside the range every reader keeps exactly.
    #[error(
        "the integer is beyond 2^53 - 1, which readers round differently; write it as a string"
    )]
    InexactInteger,
    /// The value is larger than the caller allows.
    #[error("the value is larger than {0} bytes")]
    TooLarge(usize),
    /// Something follows the value.
    #[error("something follows the end of the document")]
    Trailing,
}

impl fmt::Display for Json {
    /// What kind of value it is; contents do not belong into messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests;
