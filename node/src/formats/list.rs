//! Plain lists: one value a line, `#` for comments.

use watchfire_protocol::indicator;

use super::ImportError;
use super::collect::{Collector, Context};

/// Takes every line of `text` that is not empty and not a comment.
pub(super) fn read(text: &str, collector: &mut Collector<'_>) -> Result<(), ImportError> {
    for (line, raw) in (1..).zip(text.lines()) {
        let Some(raw) = value_of(raw) else {
            continue;
        };
        match indicator::detect(raw) {
            Ok(value) => collector.value(line, raw, value, &Context::default())?,
            Err(error) => collector.refuse(line, raw, error.to_string())?,
        }
    }
    Ok(())
}

/// What a line holds besides a comment. A `#` inside a value, as in the
/// fragment of a URL, starts no comment; one after white space does.
pub(super) fn value_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line
        .char_indices()
        .zip(line.chars().skip(1))
        .find(|((_, before), char)| before.is_whitespace() && *char == '#')
        .map_or(line.len(), |((at, _), _)| at);
    let value = line.get(..end).unwrap_or(line).trim();
    (!value.is_empty()).then_some(value)
}
