//! What every STIX object must say of itself before it counts.

use core::ops::Range;

use crate::limits::STIX_ID_BYTES_MAX;
use crate::stix::links::Links;
use crate::stix::strict::Json;
use crate::stix::time::Timestamp;

/// An object of a document: where it stands and what it says it is.
///
/// Its bytes stay in the document, exactly as they came; its tree is parsed
/// when somebody asks, so that a large document never becomes one large tree.
#[derive(Clone, Debug)]
pub struct Object {
    /// Where it stands in the document, in bytes.
    pub range: Range<usize>,
    /// `type--uuid`.
    pub id: String,
    /// Its type, `indicator`.
    pub kind: String,
    /// `2.1`; absent in STIX 2.0.
    pub spec_version: Option<String>,
    /// When the author made the first version.
    pub created: Option<Timestamp>,
    /// When the author made this version; observables and marking definitions
    /// have no versions.
    pub modified: Option<Timestamp>,
    pub(crate) links: Links,
}

/// What an object fails with. It stays in the payload, byte for byte, but it is
/// neither indexed nor shown, and the account names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectRefusal {
    /// An element that is no object.
    #[error("it is {0}, not an object")]
    NotAnObject(&'static str),
    /// A member every object has is absent.
    #[error("it has no \"{0}\"")]
    Missing(&'static str),
    /// A member that must be a string is none.
    #[error("its \"{0}\" is not a string")]
    NotText(&'static str),
    /// The type is not made of lower-case letters, digits and hyphens.
    #[error("its \"type\" is not a STIX type name")]
    BadType,
    /// The id is longer than the bound.
    #[error("its \"id\" is longer than {STIX_ID_BYTES_MAX} bytes")]
    IdTooLong,
    /// The id has not the form `type--uuid`.
    #[error("its \"id\" is not of the form type--uuid")]
    BadId,
    /// The type in the id is another.
    #[error("its \"id\" names another type than its \"type\"")]
    TypeMismatch,
    /// `created` or `modified` cannot be read.
    #[error("its \"{0}\" is not a STIX timestamp")]
    BadTimestamp(&'static str),
    /// A bundle inside the document.
    #[error("it is a bundle inside a document; import it on its own")]
    NestedBundle,
    /// Two bodies under one id and version.
    #[error(
        "the same id and version stand earlier in the document with other contents; two bodies for one id"
    )]
    SecondBody,
}

impl Object {
    /// Reads the header of an object that stands at `range`.
    pub(crate) fn read(json: &Json, range: Range<usize>) -> Result<Self, ObjectRefusal> {
        if json.as_object().is_none() {
            return Err(ObjectRefusal::NotAnObject(json.kind()));
        }
        let kind = required(json, "type")?;
        if !is_type_name(kind) {
            return Err(ObjectRefusal::BadType);
        }
        if kind == "bundle" {
            return Err(ObjectRefusal::NestedBundle);
        }
        let id = required(json, "id")?;
        if id.len() > STIX_ID_BYTES_MAX {
            return Err(ObjectRefusal::IdTooLong);
        }
        match split_id(id) {
            None => return Err(ObjectRefusal::BadId),
            Some(named) if named != kind => return Err(ObjectRefusal::TypeMismatch),
            Some(_) => {}
        }
        Ok(Self {
            range,
            id: id.to_owned(),
            kind: kind.to_owned(),
            spec_version: optional(json, "spec_version")?.map(str::to_owned),
            created: timestamp(json, "created")?,
            modified: timestamp(json, "modified")?,
            links: Links::of(json),
        })
    }
}

/// The type an id names, if the id has the form `type--uuid`.
pub fn split_id(id: &str) -> Option<&str> {
    // A type may hold hyphens, the UUID never two in a row: split at the last.
    let (kind, uuid) = id.rsplit_once("--")?;
    (is_type_name(kind) && is_uuid(uuid)).then_some(kind)
}

fn is_type_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn optional<'a>(json: &'a Json, name: &'static str) -> Result<Option<&'a str>, ObjectRefusal> {
    match json.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_text()
            .map(Some)
            .ok_or(ObjectRefusal::NotText(name)),
    }
}

fn required<'a>(json: &'a Json, name: &'static str) -> Result<&'a str, ObjectRefusal> {
    optional(json, name)?.ok_or(ObjectRefusal::Missing(name))
}

fn timestamp(json: &Json, name: &'static str) -> Result<Option<Timestamp>, ObjectRefusal> {
    optional(json, name)?
        .map(|text| Timestamp::parse(text).map_err(|_| ObjectRefusal::BadTimestamp(name)))
        .transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> Result<Object, ObjectRefusal> {
        Object::read(&Json::parse(text.as_bytes()).unwrap(), 0..text.len())
    }

    const ID: &str = "5a0d2cb4-1b5e-4b0c-9d56-0f9f5d5d0001";

    #[test]
    fn a_header_reads() {
        let object = read(&format!(
            r#"{{"type":"x-odd--one","id":"x-odd--one--{ID}","spec_version":"2.1","modified":"2026-01-01T00:00:00Z"}}"#
        ))
        .unwrap();
        assert_eq!(object.kind, "x-odd--one");
        assert!(object.created.is_none());
        assert!(object.modified.is_some());
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let long = "x".repeat(STIX_ID_BYTES_MAX);
        for (text, refusal) in [
            ("[]".to_owned(), ObjectRefusal::NotAnObject("an array")),
            ("{}".to_owned(), ObjectRefusal::Missing("type")),
            (
                r#"{"type":"tool"}"#.to_owned(),
                ObjectRefusal::Missing("id"),
            ),
            (r#"{"type":1}"#.to_owned(), ObjectRefusal::NotText("type")),
            (
                r#"{"type":"Tool","id":""}"#.to_owned(),
                ObjectRefusal::BadType,
            ),
            (
                r#"{"type":"tool","id":"tool"}"#.to_owned(),
                ObjectRefusal::BadId,
            ),
            (
                format!(r#"{{"type":"tool","id":"tool--{long}"}}"#),
                ObjectRefusal::IdTooLong,
            ),
            (
                format!(r#"{{"type":"tool","id":"malware--{ID}"}}"#),
                ObjectRefusal::TypeMismatch,
            ),
            (
                format!(r#"{{"type":"tool","id":"tool--{ID}","modified":"yesterday"}}"#),
                ObjectRefusal::BadTimestamp("modified"),
            ),
            (
                format!(r#"{{"type":"bundle","id":"bundle--{ID}"}}"#),
                ObjectRefusal::NestedBundle,
            ),
            (
                format!(r#"{{"type":"tool","id":"tool--{ID}","spec_version":2.1}}"#),
                ObjectRefusal::NotText("spec_version"),
            ),
        ] {
            assert_eq!(read(&text).unwrap_err(), refusal, "{text}");
        }
    }
}
