//! What the engine files away of a document: one entry an object.

use crate::indicator::{Kind, Value, normalise};
use crate::limits::{STIX_NAME_CHARS_MAX, VALUES_PER_BUNDLE_MAX};
use crate::stix::document::{Document, Verdict};
use crate::stix::markings::{ObjectMarking, Survey};
use crate::stix::object::Object;
use crate::stix::pattern::{extract, hash_kind};
use crate::stix::strict::Json;
use crate::stix::time::Timestamp;

/// An accepted object of a document, as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Entry {
    /// `type--uuid`.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its version; observables and marking definitions have none.
    pub modified: Option<Timestamp>,
    /// Where its bytes start in the document.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u32,
    /// The keys it is found by (`Value::index_keys`), each once, in order.
    pub keys: Vec<Vec<u8>>,
    /// Why something of it cannot be searched for, if so.
    pub not_indexed: Option<String>,
    /// How far it may go.
    pub marking: ObjectMarking,
    /// A short name for lists: live text of the author, at most 200
    /// characters, without line breaks.
    pub name: String,
    /// Whether the author withdrew it (`revoked`).
    pub revoked: bool,
}

/// A document stands for more values than a bundle may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it holds more than {VALUES_PER_BUNDLE_MAX} values to be found by; split it")]
pub struct TooManyValues;

impl Document<'_> {
    /// One entry for each accepted object, in document order, with the marking
    /// `survey` found for it.
    ///
    /// # Errors
    /// [`TooManyValues`] past [`VALUES_PER_BUNDLE_MAX`]. Counted while reading,
    /// so that no more than those are ever held.
    pub fn entries(&self, survey: &Survey) -> Result<Vec<Entry>, TooManyValues> {
        let mut values = 0;
        let mut entries = Vec::new();
        for (verdict, marking) in self.verdicts().iter().zip(survey.markings()) {
            match verdict {
                Verdict::Accepted(object) => {
                    let entry = self.entry(object, marking.clone());
                    values += entry.keys.len();
                    if values > VALUES_PER_BUNDLE_MAX {
                        return Err(TooManyValues);
                    }
                    entries.push(entry);
                }
                Verdict::Duplicate { .. } | Verdict::Refused(_) => {}
            }
        }
        Ok(entries)
    }

    fn entry(&self, object: &Object, marking: ObjectMarking) -> Entry {
        // It was parsed while the document was read, so it parses now.
        let json = self.json_of(object).unwrap_or(Json::Null);
        let (values, not_indexed) = values_of(&object.kind, &json);
        let mut keys: Vec<Vec<u8>> = values.iter().flat_map(Value::index_keys).collect();
        keys.sort_unstable();
        keys.dedup();
        Entry {
            id: object.id.clone(),
            kind: object.kind.clone(),
            modified: object.modified,
            offset: u64::try_from(object.range.start).unwrap_or(u64::MAX),
            len: u32::try_from(object.range.len()).unwrap_or(u32::MAX),
            keys,
            not_indexed,
            marking,
            name: name_of(object, &json, &values),
            revoked: json.get("revoked") == Some(&Json::Bool(true)),
        }
    }
}

/// The values an object stands for: those of an indicator's pattern, or an
/// observable's own; and why something of it is not searchable.
pub fn values_of(kind: &str, json: &Json) -> (Vec<Value>, Option<String>) {
    match kind {
        "indicator" => of_indicator(json),
        "domain-name" => own(json, &[Kind::Domain]),
        "ipv4-addr" => own(json, &[Kind::Ipv4]),
        "ipv6-addr" => own(json, &[Kind::Ipv6]),
        "url" => own(json, &[Kind::Url]),
        "email-addr" => own(json, &[Kind::Email]),
        "file" | "artifact" | "x509-certificate" => of_hashes(json),
        _ => (Vec::new(), None),
    }
}

fn of_indicator(json: &Json) -> (Vec<Value>, Option<String>) {
    let language = json.text("pattern_type").unwrap_or("stix");
    if language != "stix" {
        let language: String = language.chars().take(40).collect();
        return (
            Vec::new(),
            Some(format!(
                "patterns of type {language} are stored and not indexed"
            )),
        );
    }
    let Some(pattern) = json.text("pattern") else {
        return (Vec::new(), Some("it has no pattern".to_owned()));
    };
    match extract(pattern) {
        Ok(found) => {
            let reason = found.not_indexed.first().map(|first| {
                let more = found.not_indexed.len() - 1;
                if more == 0 {
                    first.to_string()
                } else {
                    format!("{first}; and {more} more")
                }
            });
            (found.values, reason)
        }
        Err(error) => (Vec::new(), Some(error.to_string())),
    }
}

fn own(json: &Json, kinds: &[Kind]) -> (Vec<Value>, Option<String>) {
    let Some(text) = json.text("value") else {
        return (Vec::new(), Some("it has no value".to_owned()));
    };
    let mut reason = None;
    for kind in kinds {
        match normalise(*kind, text) {
            Ok(value) => return (vec![value], None),
            Err(error) => reason = Some(error.to_string()),
        }
    }
    (Vec::new(), reason)
}

fn of_hashes(json: &Json) -> (Vec<Value>, Option<String>) {
    let mut values = Vec::new();
    let mut reason = None;
    let Some(hashes) = json.get("hashes").and_then(Json::as_object) else {
        return (values, None);
    };
    for (name, digest) in hashes.iter() {
        let Some(kind) = hash_kind(name) else {
            let name: String = name.chars().take(40).collect();
            reason = Some(format!("digests of type {name} are not indexed"));
            continue;
        };
        match normalise(kind, digest.as_text().unwrap_or_default()) {
            Ok(value) => values.push(value),
            Err(error) => reason = Some(error.to_string()),
        }
    }
    (values, reason)
}

/// The object's name, or what stands for it: its value, or its type.
fn name_of(object: &Object, json: &Json, values: &[Value]) -> String {
    let own = [
        "name",
        "value",
        "path",
        "key",
        "abstract",
        "subject",
        "relationship_type",
    ]
    .iter()
    .find_map(|member| json.text(member).filter(|text| !text.trim().is_empty()));
    let name = match (own, values.first()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(value)) => value.to_string(),
        (None, None) => object.kind.clone(),
    };
    name.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(STIX_NAME_CHARS_MAX)
        .collect()
}
