//! The reader behind strict JSON: one cursor, one stack of its own.

use super::{Fault, Json, Members, StrictError};
use crate::limits::JSON_DEPTH_MAX;

/// A cursor over the bytes of one document.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A container whose end is still ahead.
enum Open {
    Array(Vec<Json>),
    Object {
        members: Vec<(String, usize, Json)>,
        name: String,
        name_at: usize,
    },
}

impl<'a> Reader<'a> {
    /// A cursor at the start.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, StrictError> {
        let text = match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                return Err(StrictError {
                    offset: error.valid_up_to(),
                    line: line_of(bytes, error.valid_up_to()),
                    fault: Fault::NotUtf8,
                });
            }
        };
        let reader = Self { text, at: 0 };
        if text.starts_with('\u{feff}') {
            return Err(reader.error_at(0, Fault::ByteOrderMark));
        }
        Ok(reader)
    }

    /// Bytes read so far.
    pub(crate) const fn offset(&self) -> usize {
        self.at
    }

    /// The next byte, not consumed.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Consumes `byte` if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// Skips white space.
    pub(crate) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The error `fault` at `offset`.
    pub(crate) fn error_at(&self, offset: usize, fault: Fault) -> StrictError {
        StrictError {
            offset,
            line: line_of(self.text.as_bytes(), offset),
            fault,
        }
    }

    /// "Expected this", or that the document ended.
    pub(crate) fn expected(&self, what: &'static str) -> StrictError {
        let fault = if self.peek().is_none() {
            Fault::Ended
        } else {
            Fault::Expected(what)
        };
        self.error_at(self.at, fault)
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), StrictError> {
        self.space();
        if self.peek().is_some() {
            return Err(self.error_at(self.at, Fault::Trailing));
        }
        Ok(())
    }

    /// Reads one value that stands `depth` containers deep and takes at most
    /// `bytes_max` bytes.
    pub(crate) fn value(&mut self, depth: usize, bytes_max: usize) -> Result<Json, StrictError> {
        let start = self.at;
        let mut open: Vec<Open> = Vec::new();
        loop {
            if self.at - start > bytes_max {
                return Err(self.error_at(start, Fault::TooLarge(bytes_max)));
            }
            self.space();
            let mut done = match self.peek() {
                Some(byte @ (b'{' | b'[')) => {
                    if depth + open.len() >= JSON_DEPTH_MAX {
                        return Err(self.error_at(self.at, Fault::TooDeep));
                    }
                    self.at += 1;
                    self.space();
                    if byte == b'[' {
                        if !self.take(b']') {
                            open.push(Open::Array(Vec::new()));
                            continue;
                        }
                        Json::Array(Vec::new())
                    } else {
                        if !self.take(b'}') {
                            let (name_at, name) = self.member_name()?;
                            open.push(Open::Object {
                                members: Vec::new(),
                                name,
                                name_at,
                            });
                            continue;
                        }
                        Json::Object(Members::default())
                    }
                }
                _ => self.scalar()?,
            };
            // The value is complete; so may be the containers around it.
            loop {
                let Some(inner) = open.pop() else {
                    if self.at - start > bytes_max {
                        return Err(self.error_at(start, Fault::TooLarge(bytes_max)));
                    }
                    return Ok(done);
                };
                self.space();
                match inner {
                    Open::Array(mut items) => {
                        items.push(done);
                        if self.take(b',') {
                            open.push(Open::Array(items));
                            break;
                        }
                        if !self.take(b']') {
                            return Err(self.expected("\",\" or \"]\""));
                        }
                        items.shrink_to_fit();
                        done = Json::Array(items);
                    }
                    Open::Object {
                        mut members,
                        name,
                        name_at,
                    } => {
                        members.push((name, name_at, done));
                        if self.take(b',') {
                            let (name_at, name) = self.member_name()?;
                            open.push(Open::Object {
                                members,
                                name,
                                name_at,
                            });
                            break;
                        }
                        if !self.take(b'}') {
                            return Err(self.expected("\",\" or \"}\""));
                        }
                        done = Json::Object(self.members(members)?);
                    }
                }
            }
        }
    }

    /// Orders members by name and refuses a name that appears twice.
    fn members(&self, mut found: Vec<(String, usize, Json)>) -> Result<Members, StrictError> {
        found.sort_by(|left, right| left.0.cmp(&right.0));
        let twice = found
            .iter()
            .zip(found.iter().skip(1))
            .find(|(left, right)| left.0 == right.0);
        if let Some((_, second)) = twice {
            return Err(self.error_at(second.1, Fault::DuplicateMember(shown(&second.0))));
        }
        Ok(Members(
            found
                .into_iter()
                .map(|(name, _, value)| (name, value))
                .collect(),
        ))
    }

    /// Reads `"name":`; returns where it stood, and the name.
    pub(crate) fn member_name(&mut self) -> Result<(usize, String), StrictError> {
        self.space();
        let at = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.expected("the name of a member, in double quotes"));
        }
        let name = self.string()?;
        self.space();
        if !self.take(b':') {
            return Err(self.expected("\":\""));
        }
        Ok((at, name))
    }

    fn scalar(&mut self) -> Result<Json, StrictError> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str, value: Json) -> Result<Json, StrictError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// Reads a string; the cursor stands on its opening quote.
    fn string(&mut self) -> Result<String, StrictError> {
        self.at += 1;
        let mut out = String::new();
        let mut plain_from = self.at;
        loop {
            let Some(byte) = self.peek() else {
                return Err(self.error_at(self.at, Fault::Ended));
            };
            match byte {
                b'"' => {
                    out.push_str(self.text.get(plain_from..self.at).unwrap_or_default());
                    self.at += 1;
                    out.shrink_to_fit();
                    return Ok(out);
                }
                b'\\' => {
                    out.push_str(self.text.get(plain_from..self.at).unwrap_or_default());
                    out.push(self.escape()?);
                    plain_from = self.at;
                }
                0..=0x1f => return Err(self.error_at(self.at, Fault::ControlCharacter)),
                _ => self.at += 1,
            }
        }
    }

    /// Reads an escape; the cursor stands on its backslash.
    fn escape(&mut self) -> Result<char, StrictError> {
        let start = self.at;
        self.at += 1;
        let Some(byte) = self.peek() else {
            return Err(self.error_at(self.at, Fault::Ended));
        };
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(start),
            _ => return Err(self.error_at(start, Fault::Expected("an escape that JSON knows"))),
        })
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, StrictError> {
        let lone = |reader: &Self| reader.error_at(start, Fault::LoneSurrogate);
        let first = self.hex4()?;
        if !(0xd800..=0xdfff).contains(&first) {
            return char::from_u32(first).ok_or_else(|| lone(self));
        }
        if first > 0xdbff || !(self.take(b'\\') && self.take(b'u')) {
            return Err(lone(self));
        }
        let second = self.hex4()?;
        if !(0xdc00..=0xdfff).contains(&second) {
            return Err(lone(self));
        }
        let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(joined).ok_or_else(|| lone(self))
    }

    fn hex4(&mut self) -> Result<u32, StrictError> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self
                .peek()
                .and_then(|byte| char::from(byte).to_digit(16))
                .ok_or_else(|| self.expected("four hexadecimal digits"))?;
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    fn digits(&mut self) -> Result<&'a str, StrictError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if start == self.at {
            return Err(self.expected("a digit"));
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn number(&mut self) -> Result<String, StrictError> {
        let start = self.at;
        self.take(b'-');
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(self.error_at(start, Fault::Expected("a number without leading zeros")));
        }
        let mut fraction = "";
        let mut exponent: Option<i64> = None;
        if self.take(b'.') {
            fraction = self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let negative = self.take(b'-');
            if !negative {
                self.take(b'+');
            }
            // An exponent too long for 64 bits is far beyond any double.
            let size = self.digits()?.parse::<i64>().unwrap_or(i64::MAX / 4);
            let size = size.min(i64::MAX / 4);
            exponent = Some(if negative { -size } else { size });
        }
        if exponent.is_none() && fraction.is_empty() {
            // RFC 7493, section 2.2; STIX 2.1, section 2.8.
            const EXACT_MAX: u64 = (1 << 53) - 1;
            if !whole.parse::<u64>().is_ok_and(|value| value <= EXACT_MAX) {
                return Err(self.error_at(start, Fault::InexactInteger));
            }
        } else if !is_finite(whole, fraction, exponent.unwrap_or(0)) {
            return Err(self.error_at(start, Fault::NotFinite));
        }
        Ok(self.text.get(start..self.at).unwrap_or_default().to_owned())
    }
}

/// Whether the decimal number is at most the largest double, compared as
/// digits so that no rounding decides.
fn is_finite(whole: &str, fraction: &str, exponent: i64) -> bool {
    const LARGEST: &str = "17976931348623157";
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return true;
    }
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX / 4);
    let zeros = length(&digits) - length(significant);
    // Power of ten of the first significant digit.
    let power = length(whole) - 1 - zeros + exponent;
    if power != 308 {
        return power < 308;
    }
    significant.trim_end_matches('0') <= LARGEST
}

/// Line of a byte, counted from one.
fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
}

/// A name as an error shows it: quoted, control characters escaped, cut at a
/// length that fits a line.
fn shown(name: &str) -> String {
    let cut: String = name.chars().take(64).collect();
    format!("{cut:?}")
}
