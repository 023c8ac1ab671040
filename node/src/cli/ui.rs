//! Everything a command prints goes through here: data on standard output,
//! all else on standard error; for people on a terminal, for programs
//! elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use watchfire_protocol::indicator::{self, Kind};

use super::Global;
use super::error::CliError;

/// The narrowest terminal tables are fitted to, in columns.
const WIDTH_MIN: u16 = 60;

/// From this width on a table has room for whole STIX ids, in columns.
const WIDTH_OF_IDS: u16 = 110;

/// How a command talks.
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
    verbose: bool,
    colour: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

/// The envelope of every document: new fields may come, none goes.
#[derive(Serialize)]
struct Envelope<'a, T> {
    schema: &'a str,
    data: &'a T,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        // NO_COLOR counts when it is set and not empty, see no-color.org.
        let unwanted =
            global.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            colour: !unwanted,
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }

    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    pub(crate) const fn quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) const fn verbose(&self) -> bool {
        self.verbose
    }

    /// Whether a person reads standard output.
    pub(crate) const fn for_people(&self) -> bool {
        self.stdout_is_terminal && !self.json
    }

    /// The data of a command, as its one JSON document.
    pub(crate) fn document(&self, command: &str, data: &impl Serialize) -> Result<(), CliError> {
        let schema = format!("watchfire.{command}/1");
        let text = serde_json::to_string(&Envelope {
            schema: &schema,
            data,
        })
        .map_err(|error| {
            CliError::new(
                super::Code::Failure,
                format!("could not write JSON: {error}"),
            )
        })?;
        self.line(&text)
    }

    /// A line of data, exactly as it is.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Data, exactly as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|cause| CliError::output(&cause))
    }

    /// Names and values: aligned for people, `name<TAB>value` for programs.
    pub(crate) fn fields(&self, fields: &[(&str, String)]) -> Result<(), CliError> {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in fields {
            let value = self.cell(value);
            if self.for_people() {
                text.push_str(&format!("{name:width$}  {value}\n"));
            } else {
                text.push_str(&format!("{name}\t{value}\n"));
            }
        }
        self.bytes(text.as_bytes())
    }

    /// Rows: a table for people; for programs one line each, its cells parted
    /// by tabs, without the header, and `record` in front where a command
    /// prints more than one kind of row.
    pub(crate) fn rows(
        &self,
        record: Option<&str>,
        header: &[&str],
        rows: &[Vec<String>],
    ) -> Result<(), CliError> {
        if self.for_people() {
            if rows.is_empty() {
                return Ok(());
            }
            let mut table = Table::new();
            table
                .load_style(presets::NOTHING)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_header(header.iter().copied());
            // A terminal that does not say how wide it is, or is narrower than
            // any table, would get one letter a line.
            if table.width().is_none_or(|width| width < WIDTH_MIN) {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
            for row in rows {
                table.add_row(row.iter().map(|cell| self.cell(cell)));
            }
            // Ids are copied, so they stay in one piece where there is room.
            if table.width().is_some_and(|width| width >= WIDTH_OF_IDS) {
                let id = header.iter().position(|name| *name == "ID");
                if let Some(column) = id.and_then(|at| table.column_mut(at)) {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
            }
            return self.line(&table.trim_fmt());
        }
        let mut text = String::new();
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| self.cell(cell)).collect();
            if let Some(record) = record {
                text.push_str(record);
                text.push('\t');
            }
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        self.bytes(text.as_bytes())
    }

    /// One value as it may be shown: never a control character, and defanged
    /// where a person could click it.
    pub(crate) fn cell(&self, text: &str) -> String {
        if self.for_people() {
            shown(text)
        } else {
            visible(text)
        }
    }

    /// Something a person may want to know. Not data, not an error.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            // Nobody can be told that telling failed.
            let _ = writeln!(io::stderr(), "{}", visible(text));
        }
    }

    /// The last word of a command that failed.
    pub(crate) fn error(&self, error: &CliError) {
        if error.is_silent() {
            return;
        }
        let mut text = String::new();
        if self.json {
            let data = error.view();
            let envelope = Envelope {
                schema: "watchfire.error/1",
                data: &data,
            };
            text = serde_json::to_string(&envelope).unwrap_or_default();
            text.push('\n');
        } else {
            let (bold, plain) = if self.colour && self.stderr_is_terminal {
                ("\u{1b}[1;31m", "\u{1b}[0m")
            } else {
                ("", "")
            };
            text.push_str(&format!(
                "watchfire: {bold}error{plain}: {}\n",
                visible(&error.message)
            ));
            for hint in &error.hints {
                text.push_str(&format!("watchfire: hint: {}\n", visible(hint)));
            }
        }
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Shows that something takes time, to a person.
    pub(crate) fn progress(&self, what: &str) -> Progress {
        if self.quiet || self.json || !self.stderr_is_terminal {
            return Progress(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress(Some(bar))
    }
}

/// A number with its noun: `1 entry`, `2 entries`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Work that takes time; gone from the screen when dropped.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// What is being done now.
    pub(crate) fn now(&self, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// The text without anything that steers a terminal or hides: what others
/// wrote must not move the cursor, clear the screen or turn the reading
/// direction.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if steers(char) {
            out.extend(char.escape_unicode());
        } else {
            out.push(char);
        }
    }
    out
}

fn steers(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What a person may see of what others wrote: defanged, then made harmless.
/// In this order, because a value is read as it is and not with our escapes.
fn shown(text: &str) -> String {
    visible(&defanged(text))
}

/// The text with every value in it defanged, and all else as it was.
fn defanged(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(parts_words).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.push_str(&defanged_word(word));
        let mut chars = after.chars();
        out.extend(chars.next());
        rest = chars.as_str();
    }
    out
}

fn parts_words(char: char) -> bool {
    char.is_whitespace()
        || steers(char)
        || matches!(
            char,
            '\'' | '"' | '`' | '<' | '>' | '(' | ')' | '{' | '}' | ',' | ';' | '|' | '='
        )
}

fn defanged_word(word: &str) -> String {
    let value = word.trim_end_matches(['.', ':', '!', '?']);
    let tail = word.get(value.len()..).unwrap_or_default();
    match indicator::detect(value) {
        Ok(found) if !is_digest(found.kind()) => format!("{}{tail}", found.defanged()),
        Ok(_) => word.to_owned(),
        // A link of a kind that is no indicator can be clicked all the same.
        Err(_) if value.contains("://") => word.replace("://", "[:]//").replace('.', "[.]"),
        Err(_) => word.to_owned(),
    }
}

const fn is_digest(kind: Kind) -> bool {
    matches!(kind, Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_a_sentence_are_defanged_and_the_sentence_stays() {
        for (live, shown) in [
            ("evil.example", "evil[.]example"),
            (
                "seen at https://evil.example/a?b=1, then 192.0.2.7.",
                "seen at hxxps://evil[.]example/a?b=1, then 192[.]0[.]2[.]7.",
            ),
            (
                "[domain-name:value = 'evil.example']",
                "[domain-name:value = 'evil[.]example']",
            ),
            (
                "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
                "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
            ),
            ("2026-11-23T02:00:00.000Z", "2026-11-23T02:00:00.000Z"),
            (
                "d41d8cd98f00b204e9800998ecf8427e",
                "d41d8cd98f00b204e9800998ecf8427e",
            ),
            ("", ""),
        ] {
            assert_eq!(defanged(live), shown);
        }
    }

    #[test]
    fn people_see_values_defanged_and_programs_see_them_as_they_are() {
        let ui = |stdout_is_terminal, json| Ui {
            json,
            quiet: true,
            verbose: false,
            colour: false,
            stdout_is_terminal,
            stderr_is_terminal: false,
        };
        let live = "http://evil.example/\u{1b}";
        assert_eq!(ui(true, false).cell(live), "hxxp://evil[.]example/\\u{1b}");
        assert_eq!(ui(false, false).cell(live), "http://evil.example/\\u{1b}");
        assert_eq!(ui(true, true).cell("evil.example"), "evil.example");
        assert_eq!(
            ui(true, false).cell("evil.example\u{1b}[2J"),
            "evil[.]example\\u{1b}[2J",
            "a control character beside a value hides it from nobody"
        );
    }

    #[test]
    fn what_others_wrote_does_not_steer_the_terminal() {
        let hostile = "a\u{1b}[2Jb\u{9b}c\td\ne\u{202e}f\u{200b}g";
        let shown = visible(hostile);
        assert!(!shown.chars().any(steers), "{shown}");
        assert!(shown.starts_with("a\\u{1b}[2Jb"));
        assert_eq!(visible("Zürich, Ελλάδα"), "Zürich, Ελλάδα");
    }
}
