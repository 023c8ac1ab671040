//! From TOML to values of the right form, with a line for every complaint.

use super::forms::{SEEDS_MAX, duration_ms, nearest, seeds, share_ppm};
use super::keys::{Form, Key, SECTIONS, Section};
use super::{Complaint, FileError};
use core::ops::Range;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of the form its key demands.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(u64),
    Pair(u64, u64),
    Numbers(Vec<u64>),
    Flag(bool),
}

/// One table as it was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filled {
    pub(crate) line: usize,
    values: BTreeMap<&'static str, (usize, Value)>,
}

impl Filled {
    /// The line of a key, or of its table.
    pub(crate) fn line_of(&self, key: &str) -> usize {
        self.values.get(key).map_or(self.line, |(line, _)| *line)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// A text or word.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Pair(..) | Value::Numbers(_) | Value::Flag(_) => None,
        }
    }

    /// A count, the milliseconds of a duration, or the millionths of a share.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) | Value::Pair(..) | Value::Numbers(_) | Value::Flag(_) => None,
        }
    }

    /// Two of them.
    pub(crate) fn pair(&self, key: &str) -> Option<(u64, u64)> {
        match self.value(key)? {
            Value::Pair(low, high) => Some((*low, *high)),
            Value::Text(_) | Value::Number(_) | Value::Numbers(_) | Value::Flag(_) => None,
        }
    }

    /// Seeds or hosts.
    pub(crate) fn numbers(&self, key: &str) -> Option<&[u64]> {
        match self.value(key)? {
            Value::Numbers(numbers) => Some(numbers),
            Value::Text(_) | Value::Number(_) | Value::Pair(..) | Value::Flag(_) => None,
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Flag(flag) => Some(*flag),
            Value::Text(_) | Value::Number(_) | Value::Pair(..) | Value::Numbers(_) => None,
        }
    }
}

/// Every table of a file, by the name of its section.
#[derive(Debug, Default)]
pub(crate) struct Document {
    sections: BTreeMap<&'static str, Vec<Filled>>,
}

impl Document {
    /// Each table of a section that may stand there more than once.
    pub(crate) fn all(&self, section: &str) -> &[Filled] {
        self.sections.get(section).map_or(&[], Vec::as_slice)
    }

    /// The table of a section that stands there once or not at all.
    pub(crate) fn one(&self, section: &str) -> Filled {
        self.all(section).first().cloned().unwrap_or_default()
    }
}

/// Reads a file and collects every complaint about keys and forms.
pub(crate) fn document(text: &str) -> Result<Document, FileError> {
    let mut reader = Reader {
        text,
        complaints: Vec::new(),
        document: Document::default(),
    };
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| reader.line(&span));
        let message = error.message().trim_end().to_owned();
        FileError::new(vec![Complaint::new(line, format!("not TOML: {message}"))])
    })?;
    for section in SECTIONS.iter().filter(|section| section.name.is_empty()) {
        reader.table(section, 1, table.get_ref());
    }
    if reader.complaints.is_empty() {
        Ok(reader.document)
    } else {
        Err(FileError::new(reader.complaints))
    }
}

struct Reader<'t> {
    text: &'t str,
    complaints: Vec<Complaint>,
    document: Document,
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    fn complain(&mut self, line: usize, what: String) {
        self.complaints.push(Complaint::new(line, what));
    }

    fn table(&mut self, section: &'static Section, line: usize, table: &DeTable<'_>) {
        let mut filled = Filled {
            line,
            values: BTreeMap::new(),
        };
        for (name, value) in table.iter() {
            let line = self.line(&name.span());
            let name: &str = name.get_ref();
            if let Some(key) = section.keys.iter().find(|key| key.name == name) {
                match checked(key.form, value.get_ref()) {
                    Some(value) => {
                        filled.values.insert(key.name, (line, value));
                    }
                    None => self.complain(
                        line,
                        format!("{name} is {}; write {}", kind(value), key.form.wanted()),
                    ),
                }
            } else if section.name.is_empty()
                && let Some(inner) = SECTIONS
                    .iter()
                    .find(|inner| !inner.name.is_empty() && inner.name == name)
            {
                self.inner(inner, line, value.get_ref());
            } else {
                self.unknown(section, line, name);
            }
        }
        self.absent(section, line, &filled);
        self.document
            .sections
            .entry(section.name)
            .or_default()
            .push(filled);
    }

    fn inner(&mut self, section: &'static Section, line: usize, value: &DeValue<'_>) {
        let name = section.name;
        match (section.repeated, value.as_table(), value.as_array()) {
            (false, Some(table), _) => self.table(section, line, table),
            (true, _, Some(array)) => {
                for element in array.iter() {
                    let line = self.line(&element.span());
                    match element.get_ref().as_table() {
                        Some(table) => self.table(section, line, table),
                        None => self.complain(line, format!("{name} must be written [[{name}]]")),
                    }
                }
            }
            (true, ..) => self.complain(line, format!("{name} must be written [[{name}]]")),
            (false, ..) => self.complain(line, format!("{name} must be written [{name}]")),
        }
    }

    fn unknown(&mut self, section: &Section, line: usize, name: &str) {
        let here = section.keys.iter().map(|key| key.name);
        let inner = SECTIONS
            .iter()
            .map(|inner| inner.name)
            .filter(|inner| section.name.is_empty() && !inner.is_empty());
        let place = if section.name.is_empty() {
            "the file".to_owned()
        } else {
            format!("[{}]", section.name)
        };
        let mut what = format!("{place} has no key {name:?}");
        let elsewhere = SECTIONS
            .iter()
            .filter(|other| !other.name.is_empty())
            .find(|other| other.keys.iter().any(|key| key.name == name));
        if let Some(other) = elsewhere {
            what.push_str(&format!("; it belongs into [{}]", other.name));
        } else if let Some(near) = nearest(name, here.clone().chain(inner)) {
            what.push_str(&format!("; did you mean {near:?}?"));
        } else {
            let keys: Vec<&str> = here.collect();
            what.push_str(&format!("; it has {}", keys.join(", ")));
        }
        self.complain(line, what);
    }

    fn absent(&mut self, section: &Section, line: usize, filled: &Filled) {
        for Key {
            name, form, what, ..
        } in section
            .keys
            .iter()
            .filter(|key| key.required && !filled.values.contains_key(key.name))
        {
            // A value of the wrong form has its complaint already.
            if !self.complaints.iter().any(|complaint| {
                complaint.line >= line && complaint.what.starts_with(&format!("{name} is "))
            }) {
                let wanted = form.wanted();
                self.complain(line, format!("{name} is missing; write {wanted}. {what}"));
            }
        }
    }
}

/// What a value is, for a complaint.
fn kind(value: &Spanned<DeValue<'_>>) -> String {
    let value = value.get_ref();
    match (value.as_str(), value.as_integer()) {
        (Some(text), _) => format!("{text:?}"),
        (_, Some(number)) => number.as_str().to_owned(),
        (None, None) => format!("of type {}", value.type_str()),
    }
}

fn checked(form: Form, value: &DeValue<'_>) -> Option<Value> {
    match form {
        Form::Text => {
            let text = value.as_str()?.trim();
            (!text.is_empty()).then(|| Value::Text(text.to_owned()))
        }
        Form::Count(low, high) => whole(value)
            .filter(|number| (low..=high).contains(number))
            .map(Value::Number),
        Form::Counts(high) => pair(value, |one| whole(one).filter(|number| *number <= high)),
        Form::Flag => value.as_bool().map(Value::Flag),
        Form::Duration => duration_ms(value.as_str()?).map(Value::Number),
        Form::Durations => pair(value, |one| duration_ms(one.as_str()?)),
        Form::Share => share_ppm(value.as_str()?).map(Value::Number),
        Form::Seeds => {
            let mut all = Vec::new();
            for one in value.as_array()?.iter() {
                match one.get_ref().as_str() {
                    Some(text) => all.extend(seeds(text)?),
                    None => all.push(whole(one.get_ref())?),
                }
                if all.len() > SEEDS_MAX {
                    return None;
                }
            }
            (!all.is_empty()).then_some(Value::Numbers(all))
        }
        Form::Hosts => value
            .as_array()?
            .iter()
            .map(|one| whole(one.get_ref()))
            .collect::<Option<Vec<u64>>>()
            .map(Value::Numbers),
        Form::Topology | Form::Habit => {
            let word = value.as_str()?;
            form.words()
                .contains(&word)
                .then(|| Value::Text(word.to_owned()))
        }
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

fn pair(value: &DeValue<'_>, one: impl Fn(&DeValue<'_>) -> Option<u64>) -> Option<Value> {
    let array = value.as_array()?;
    let (low, high) = (array.first()?, array.get(1)?);
    let (low, high) = (one(low.get_ref())?, one(high.get_ref())?);
    (array.len() == 2 && low <= high).then_some(Value::Pair(low, high))
}
