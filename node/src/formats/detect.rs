//! What a file is, by its name and its content.

use watchfire_protocol::indicator;

use super::{Format, list};

/// How many lines are looked at to tell a list from prose.
const LINES_MAX: usize = 5_000;

/// Guesses the format of the file `name`. A wrong guess costs a refusal and
/// never a wrong import: `--format` overrides it.
pub(super) fn format_of(name: &str, bytes: &[u8]) -> Format {
    let extension = name
        .rsplit(['/', '\\'])
        .next()
        .and_then(|file| file.rsplit_once('.'))
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("json" | "stix" | "stix2") => return Format::Stix,
        Some("csv") => return Format::Csv,
        _ => {}
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if is_json(text) {
        return Format::Stix;
    }
    let (mut lines, mut values) = (0_usize, 0_usize);
    for line in text.lines().filter_map(list::value_of).take(LINES_MAX) {
        lines += 1;
        values += usize::from(indicator::detect(line).is_ok());
    }
    // Four of five.
    if lines > 0 && values * 5 >= lines * 4 {
        Format::List
    } else {
        Format::Text
    }
}

/// Whether the text opens like a JSON object or an array of objects. A list
/// may open with the bracket of an IPv6 address.
fn is_json(text: &str) -> bool {
    let start = text.trim_start();
    start.starts_with('{')
        || start
            .strip_prefix('[')
            .is_some_and(|rest| rest.trim_start().starts_with(['{', ']']))
}
