//! A STIX document: bytes in one of three shapes, and the objects in them.
//!
//! The bytes are the payload and stay as they are. Reading goes through them
//! once, object by object; of each object its place and its header remain.
//! Every element ends as accepted, duplicate or refused, none in silence.

use core::ops::Range;
use std::collections::BTreeMap;

use crate::limits::{
    STIX_DOCUMENT_BYTES_MAX, STIX_DOCUMENT_MEMBERS_MAX, STIX_OBJECT_BYTES_MAX, STIX_OBJECTS_MAX,
};
use crate::stix::links::Links;
use crate::stix::object::{Object, ObjectRefusal};
use crate::stix::strict::{Fault, Json, Reader, StrictError};
use crate::stix::time::Timestamp;

/// A document that was read.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    bytes: &'a [u8],
    shape: Shape,
    verdicts: Vec<Verdict>,
    /// What the shell around the objects says about markings. A bundle has
    /// none by the specification; where one stands there anyway, it counts
    /// for every object.
    pub(crate) shell: Links,
}

/// The shape the objects came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"type":"bundle","objects":[…]}` (STIX 2.1, section 8).
    Bundle,
    /// `{"objects":[…]}` (TAXII 2.1, section 3.7).
    Envelope,
    /// `[…]`.
    Array,
    /// One object on its own.
    Single,
}

/// What became of one element of the document.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It counts.
    Accepted(Object),
    /// The same version with the same bytes stands earlier.
    Duplicate {
        /// Its place in the document, in bytes.
        range: Range<usize>,
        /// Its id.
        id: String,
    },
    /// It does not count.
    Refused(RefusedObject),
}

/// An element that does not count, and why.
#[derive(Clone, Debug)]
pub struct RefusedObject {
    /// Its place in the document, in bytes.
    pub range: Range<usize>,
    /// Its id, as far as it has one.
    pub id: Option<String>,
    /// Why it was refused.
    pub reason: ObjectRefusal,
    /// It still travels inside the payload, so what it says of markings counts.
    pub(crate) links: Links,
}

/// Why bytes are not a STIX document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// More bytes than the bound.
    #[error(
        "the document has {bytes} bytes and at most {STIX_DOCUMENT_BYTES_MAX} are read; split it"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// More objects than the bound.
    #[error("the document holds more than {STIX_OBJECTS_MAX} objects; split it")]
    TooManyObjects,
    /// An object larger than the bound.
    #[error(
        "line {line}, byte {offset}: an object larger than {STIX_OBJECT_BYTES_MAX} bytes; move its artifact out of it"
    )]
    ObjectTooLarge {
        /// Line, counted from one.
        line: usize,
        /// Bytes from the start.
        offset: usize,
    },
    /// Too many members in the outermost object.
    #[error(
        "the outermost object has more than {STIX_DOCUMENT_MEMBERS_MAX} members; it is no STIX"
    )]
    TooManyMembers,
    /// Not strict JSON.
    #[error(transparent)]
    Json(StrictError),
    /// JSON, but no STIX.
    #[error(
        "it is JSON but not STIX: {found}; expected a bundle, a TAXII envelope, an array of objects or one object with \"type\" and \"id\""
    )]
    NotStix {
        /// What stands there instead.
        found: String,
    },
    /// STIX without a single object.
    #[error("the document holds no objects; there is nothing to take from it")]
    Empty,
}

impl From<StrictError> for DocumentError {
    fn from(error: StrictError) -> Self {
        if matches!(error.fault, Fault::TooLarge(_)) {
            Self::ObjectTooLarge {
                line: error.line,
                offset: error.offset,
            }
        } else {
            Self::Json(error)
        }
    }
}

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// What is no strict JSON, no STIX, or beyond a bound. An object that is
    /// wrong by itself is no error here: it is among [`Document::refused`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, DocumentError> {
        if bytes.len() > STIX_DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes: bytes.len() });
        }
        let mut reader = Reader::new(bytes)?;
        let mut filing = Filing::new(bytes);
        reader.space();
        let (shape, shell) = if reader.peek() == Some(b'[') {
            filing.array(&mut reader, 1)?;
            (Shape::Array, Links::default())
        } else if reader.peek() == Some(b'{') {
            filing.outermost(&mut reader)?
        } else {
            let value = reader.value(0, STIX_OBJECT_BYTES_MAX)?;
            return Err(DocumentError::NotStix {
                found: value.kind().to_owned(),
            });
        };
        reader.end()?;
        if filing.verdicts.is_empty() {
            return Err(DocumentError::Empty);
        }
        Ok(Self {
            bytes,
            shape,
            verdicts: filing.verdicts,
            shell,
        })
    }

    /// The document's bytes, as they came.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The shape the objects came in.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// What became of every element, in document order.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The objects that count, in document order.
    pub fn accepted(&self) -> impl Iterator<Item = &Object> {
        self.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Accepted(object) => Some(object),
            Verdict::Duplicate { .. } | Verdict::Refused(_) => None,
        })
    }

    /// The ids of elements that repeat an earlier one byte for byte.
    pub fn duplicates(&self) -> impl Iterator<Item = &str> {
        self.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Duplicate { id, .. } => Some(id.as_str()),
            Verdict::Accepted(_) | Verdict::Refused(_) => None,
        })
    }

    /// The elements that do not count.
    pub fn refused(&self) -> impl Iterator<Item = &RefusedObject> {
        self.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Refused(refused) => Some(refused),
            Verdict::Accepted(_) | Verdict::Duplicate { .. } => None,
        })
    }

    /// The exact bytes of an object of this document.
    pub fn bytes_of(&self, object: &Object) -> &'a [u8] {
        self.bytes.get(object.range.clone()).unwrap_or_default()
    }

    /// The tree of an object of this document, parsed now.
    ///
    /// # Errors
    /// Only for an object of another document: this one's were parsed before.
    pub fn json_of(&self, object: &Object) -> Result<Json, StrictError> {
        Json::parse(self.bytes_of(object))
    }

    /// The line an element starts on, counted from one, for messages.
    pub fn line_of(&self, range: &Range<usize>) -> usize {
        let before = self.bytes.get(..range.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// Sorts elements into verdicts while the reader goes through the document.
struct Filing<'a> {
    bytes: &'a [u8],
    verdicts: Vec<Verdict>,
    /// The first bytes seen of each version.
    seen: BTreeMap<(String, Option<Timestamp>), Range<usize>>,
}

impl<'a> Filing<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            verdicts: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Files every element of the array under the cursor, which stands inside
    /// `depth - 1` containers.
    fn array(&mut self, reader: &mut Reader<'a>, depth: usize) -> Result<(), DocumentError> {
        reader.take(b'[');
        reader.space();
        if reader.take(b']') {
            return Ok(());
        }
        loop {
            if self.verdicts.len() >= STIX_OBJECTS_MAX {
                return Err(DocumentError::TooManyObjects);
            }
            reader.space();
            let start = reader.offset();
            let json = reader.value(depth, STIX_OBJECT_BYTES_MAX)?;
            self.file(&json, start..reader.offset());
            reader.space();
            if reader.take(b']') {
                return Ok(());
            }
            if !reader.take(b',') {
                return Err(reader.expected("\",\" or \"]\"").into());
            }
        }
    }

    /// Reads an object that is a bundle, an envelope, or the one object.
    fn outermost(&mut self, reader: &mut Reader<'a>) -> Result<(Shape, Links), DocumentError> {
        let start = reader.offset();
        reader.take(b'{');
        reader.space();
        let mut members: BTreeMap<String, Option<Json>> = BTreeMap::new();
        let mut shell = Links::default();
        let mut ended = reader.take(b'}');
        while !ended {
            if members.len() >= STIX_DOCUMENT_MEMBERS_MAX {
                return Err(DocumentError::TooManyMembers);
            }
            let (name_at, name) = reader.member_name()?;
            if members.contains_key(&name) {
                let fault = Fault::DuplicateMember(format!("{name:?}"));
                return Err(reader.error_at(name_at, fault).into());
            }
            reader.space();
            let value = if name == "objects" && reader.peek() == Some(b'[') {
                self.array(reader, 2)?;
                None
            } else {
                let value = reader.value(1, STIX_OBJECT_BYTES_MAX)?;
                shell.shell_member(&name, &value);
                // Only small members are looked at again.
                Some(if matches!(value, Json::Text(_)) {
                    value
                } else {
                    Json::Null
                })
            };
            members.insert(name, value);
            reader.space();
            ended = reader.take(b'}');
            if !ended && !reader.take(b',') {
                return Err(reader.expected("\",\" or \"}\"").into());
            }
        }
        let kind = members
            .get("type")
            .and_then(|value| value.as_ref().and_then(Json::as_text));
        let has_objects = matches!(members.get("objects"), Some(None));
        match (kind, has_objects) {
            (Some("bundle"), true) => Ok((Shape::Bundle, shell)),
            (Some("bundle"), false) => Err(DocumentError::Empty),
            (None, true) if !members.contains_key("type") => Ok((Shape::Envelope, shell)),
            (Some(_), false) if members.contains_key("id") => {
                let range = start..reader.offset();
                if range.len() > STIX_OBJECT_BYTES_MAX {
                    let fault = Fault::TooLarge(STIX_OBJECT_BYTES_MAX);
                    return Err(reader.error_at(start, fault).into());
                }
                let json = Json::parse(self.bytes.get(range.clone()).unwrap_or_default())?;
                self.file(&json, range);
                Ok((Shape::Single, Links::default()))
            }
            _ => {
                let names: Vec<String> = members
                    .keys()
                    .take(8)
                    .map(|name| format!("{:?}", name.chars().take(40).collect::<String>()))
                    .collect();
                Err(DocumentError::NotStix {
                    found: format!("an object with the members {}", names.join(", ")),
                })
            }
        }
    }

    fn file(&mut self, json: &Json, range: Range<usize>) {
        let verdict = match Object::read(json, range.clone()) {
            Err(reason) => refused(json, range, reason),
            Ok(object) => {
                let version = (object.id.clone(), object.modified);
                match self.seen.get(&version) {
                    None => {
                        self.seen.insert(version, range);
                        Verdict::Accepted(object)
                    }
                    Some(first)
                        if self.bytes.get(first.clone()) == self.bytes.get(range.clone()) =>
                    {
                        Verdict::Duplicate {
                            range,
                            id: object.id,
                        }
                    }
                    Some(_) => refused(json, range, ObjectRefusal::SecondBody),
                }
            }
        };
        self.verdicts.push(verdict);
    }
}

fn refused(json: &Json, range: Range<usize>, reason: ObjectRefusal) -> Verdict {
    let id = json
        .text("id")
        .map(|id| id.chars().take(100).collect::<String>());
    Verdict::Refused(RefusedObject {
        range,
        id,
        reason,
        links: Links::of(json),
    })
}

#[cfg(test)]
mod tests;
