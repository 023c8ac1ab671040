//! A value as a STIX 2.1 object that others can read.
//!
//! Ids are UUIDs of version 5 over the author and the value, so that the same
//! author publishing the same value again makes a new version of one object
//! and not a second object.

use uuid::Uuid;

use super::{Kind, Value};
use crate::ids::MemberId;
use crate::marking::Marking;
use crate::stix::markings::definition::tlp2_id;
use crate::stix::time::Timestamp;

/// Our namespace for UUIDs of version 5 (RFC 9562, section 5.5), drawn once at
/// random. STIX reserves its own namespace for observables.
const NAMESPACE: Uuid = Uuid::from_u128(0x3f1c_9a52_6e0b_4d7e_9b46_c1f2_80a7_d5e3);

/// Everything about an indicator that is not its value.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// Whose indicator it is.
    pub author: &'a MemberId,
    /// How far it may go.
    pub marking: Marking,
    /// When the first version was made.
    pub created: Timestamp,
    /// When this version is made; it must grow when the value is published
    /// again, or receivers keep the older one.
    pub modified: Timestamp,
    /// From when on the value counts as bad.
    pub valid_from: Timestamp,
    /// Labels, as they came.
    pub labels: &'a [String],
    /// A name; without one, the value itself.
    pub name: Option<&'a str>,
    /// A sentence about it.
    pub description: Option<&'a str>,
    /// Where it was reported: a URL or a name.
    pub reference: Option<&'a str>,
}

/// The id of the indicator by which `author` publishes `value`.
pub fn indicator_id(author: &MemberId, value: &Value) -> String {
    let mut bytes = author.as_bytes().to_vec();
    bytes.extend(b"indicator\0");
    bytes.extend(value.index_key());
    format!("indicator--{}", Uuid::new_v5(&NAMESPACE, &bytes))
}

/// The id of the identity object of `author`.
pub fn identity_id(author: &MemberId) -> String {
    let mut bytes = author.as_bytes().to_vec();
    bytes.extend(b"identity\0");
    format!("identity--{}", Uuid::new_v5(&NAMESPACE, &bytes))
}

/// The id of a bundle of `author` that holds the objects `ids` as they were at
/// `modified`, in this order.
pub fn bundle_id<'a>(
    author: &MemberId,
    modified: Timestamp,
    ids: impl Iterator<Item = &'a str>,
) -> String {
    let mut bytes = author.as_bytes().to_vec();
    bytes.extend(b"bundle\0");
    bytes.extend(modified.to_string().bytes());
    for id in ids {
        bytes.push(0);
        bytes.extend(id.bytes());
    }
    format!("bundle--{}", Uuid::new_v5(&NAMESPACE, &bytes))
}

/// The identity object of `author`, called `name`.
pub fn identity_to_stix(
    author: &MemberId,
    name: &str,
    created: Timestamp,
    marking: Marking,
) -> String {
    let mut json = Writer::new("identity", &identity_id(author));
    json.text("created", &created.to_string());
    json.text("modified", &created.to_string());
    json.text("name", name);
    json.text("identity_class", "organization");
    json.texts("object_marking_refs", [tlp2_id(marking)].into_iter());
    json.end()
}

/// The indicator object for `value`.
pub fn to_stix(value: &Value, draft: &Draft<'_>) -> String {
    let mut json = Writer::new("indicator", &indicator_id(draft.author, value));
    json.text("created_by_ref", &identity_id(draft.author));
    json.text("created", &draft.created.to_string());
    json.text("modified", &draft.modified.to_string());
    let live = value.to_string();
    json.text("name", draft.name.unwrap_or(&live));
    if let Some(description) = draft.description {
        json.text("description", description);
    }
    json.texts("indicator_types", ["malicious-activity"].into_iter());
    json.text("pattern", &pattern_of(value));
    json.text("pattern_type", "stix");
    json.text("pattern_version", "2.1");
    json.text("valid_from", &draft.valid_from.to_string());
    if !draft.labels.is_empty() {
        json.texts("labels", draft.labels.iter().map(String::as_str));
    }
    if let Some(reference) = draft.reference {
        json.reference(reference);
    }
    json.texts("object_marking_refs", [tlp2_id(draft.marking)].into_iter());
    json.end()
}

/// The STIX pattern that matches `value` (STIX 2.1, section 9).
pub fn pattern_of(value: &Value) -> String {
    let text = quoted(&value.text);
    if let Some(port) = value.port {
        return format!(
            "[network-traffic:dst_ref.value = {text} AND network-traffic:dst_port = {port}]"
        );
    }
    match value.kind {
        Kind::Domain => format!("[domain-name:value = {text}]"),
        Kind::Ipv4 => format!("[ipv4-addr:value = {text}]"),
        Kind::Ipv6 => format!("[ipv6-addr:value = {text}]"),
        Kind::Cidr if value.text.contains(':') => format!("[ipv6-addr:value ISSUBSET {text}]"),
        Kind::Cidr => format!("[ipv4-addr:value ISSUBSET {text}]"),
        Kind::Url => format!("[url:value = {text}]"),
        Kind::Email => format!("[email-addr:value = {text}]"),
        Kind::Md5 => format!("[file:hashes.MD5 = {text}]"),
        Kind::Sha1 => format!("[file:hashes.'SHA-1' = {text}]"),
        Kind::Sha256 => format!("[file:hashes.'SHA-256' = {text}]"),
        Kind::Sha512 => format!("[file:hashes.'SHA-512' = {text}]"),
    }
}

/// A string literal of a pattern: the quote and the backslash are escaped.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Writes one STIX object, members in the order they are given.
struct Writer {
    out: String,
}

impl Writer {
    fn new(kind: &str, id: &str) -> Self {
        let mut writer = Self {
            out: String::from("{"),
        };
        writer.text("type", kind);
        writer.text("spec_version", "2.1");
        writer.text("id", id);
        writer
    }

    fn name(&mut self, name: &str) {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        self.string(name);
        self.out.push(':');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.string(value);
    }

    fn texts<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) {
        self.name(name);
        self.out.push('[');
        for (at, value) in values.enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.string(value);
        }
        self.out.push(']');
    }

    fn reference(&mut self, reference: &str) {
        self.name("external_references");
        self.out.push_str("[{\"source_name\":\"reported\",");
        let is_url = reference.contains("://");
        self.string(if is_url { "url" } else { "description" });
        self.out.push(':');
        self.string(reference);
        self.out.push_str("}]");
    }

    /// A JSON string (RFC 8259, section 7).
    fn string(&mut self, text: &str) {
        self.out.push('"');
        for char in text.chars() {
            match char {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\0'..='\u{1f}' => self.out.push_str(&format!("\\u{:04x}", u32::from(char))),
                _ => self.out.push(char),
            }
        }
        self.out.push('"');
    }

    fn end(mut self) -> String {
        self.out.push('}');
        self.out
    }
}
