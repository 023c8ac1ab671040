//! What one object says about markings and about other objects.
//!
//! Collected while the object's tree is at hand, so that the effective marking
//! is later computed from a few strings and not from the whole document.

use crate::stix::markings::definition::{self, Judgement};
use crate::stix::strict::Json;

/// What an object says that bears on how far it may go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    /// Markings it claims, its granular ones among them.
    pub(crate) claims: Vec<Claim>,
    /// Ids of objects it refers to, each once.
    pub(crate) refs: Vec<String>,
    /// Whether it speaks about what it refers to, as a translation or a
    /// sighting does, and so reveals some of it.
    pub(crate) speaks_about: bool,
    /// Who made it (`created_by_ref`).
    pub(crate) author: Option<String>,
    /// What it defines, if it is a marking definition.
    pub(crate) defines: Option<(String, Judgement)>,
}

/// One claim to a marking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// A reference to a marking definition.
    Definition(String),
    /// A label that is a TLP tag, as converters from MISP leave them.
    Label(String),
    /// Something in the place of a marking that cannot be read.
    Malformed(&'static str),
}

/// Whether what stands under a name refers to other objects: one under `_ref`,
/// a list under `_refs` (the embedded relationships of STIX 2.1), and whatever
/// is `within` one of them. Both names are read alike, as a string, a list or an
/// object however nested: a marking is not lost to the wrong form.
fn is_reference(within: bool, name: &str) -> bool {
    match name {
        // Markings are claims, and who made it is not what it is about.
        "object_marking_refs" | "object_marking_ref" | "marking_ref" | "created_by_ref" => false,
        _ => within || name.ends_with("_ref") || name.ends_with("_refs"),
    }
}

/// Types that reveal something of what they refer to.
const SPEAKING: [&str; 5] = [
    "language-content",
    "note",
    "opinion",
    "relationship",
    "sighting",
];

impl Links {
    /// Collects what `json` says, at every depth: a marking inside an extension
    /// or inside an embedded object still marks what carries it.
    pub(crate) fn of(json: &Json) -> Self {
        let mut links = Self::default();
        let kind = json.text("type").unwrap_or_default();
        links.speaks_about = SPEAKING.contains(&kind);
        links.author = json.text("created_by_ref").map(str::to_owned);
        if kind == "marking-definition" {
            let id = json.text("id").unwrap_or_default();
            links.defines = Some((id.to_owned(), definition::judge(id, json)));
        }
        let labels = json.get("labels");
        let single = labels.into_iter();
        let listed = labels.and_then(Json::as_array).unwrap_or_default();
        for label in single.chain(listed).filter_map(Json::as_text) {
            if definition::is_tlp_tag(label) {
                links.claims.push(Claim::Label(label.to_owned()));
            }
        }
        // A stack of our own; the tree is at most as deep as strict JSON allows.
        // With each value: whether a reference is expected there.
        let mut open = vec![(json, false)];
        while let Some((value, within)) = open.pop() {
            match value {
                Json::Array(items) => open.extend(items.iter().map(|item| (item, within))),
                Json::Object(members) => {
                    for (name, value) in members.iter() {
                        links.member(name, value);
                        open.push((value, is_reference(within, name)));
                    }
                }
                Json::Text(id) if within => links.refs.push(id.clone()),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
            }
        }
        links.refs.sort_unstable();
        links.refs.dedup();
        links.refs.shrink_to_fit();
        links.claims.shrink_to_fit();
        links
    }

    fn member(&mut self, name: &str, value: &Json) {
        match name {
            "object_marking_refs" => self.marking_refs(value),
            "granular_markings" => self.granular(value),
            // No member of STIX, and easily meant for the one above.
            "object_marking_ref" => self.claims.push(match value.as_text() {
                Some(id) => Claim::Definition(id.to_owned()),
                None => Claim::Malformed("its \"object_marking_ref\" is not a string"),
            }),
            _ => {}
        }
    }

    fn marking_refs(&mut self, value: &Json) {
        let Some(items) = value.as_array() else {
            self.claims.push(Claim::Malformed(
                "its \"object_marking_refs\" is not an array",
            ));
            return;
        };
        for item in items {
            self.claims.push(match item.as_text() {
                Some(id) => Claim::Definition(id.to_owned()),
                None => {
                    Claim::Malformed("its \"object_marking_refs\" holds something not a string")
                }
            });
        }
    }

    fn granular(&mut self, value: &Json) {
        let Some(items) = value.as_array() else {
            self.claims.push(Claim::Malformed(
                "its \"granular_markings\" is not an array",
            ));
            return;
        };
        for item in items {
            match (item.get("marking_ref"), item.text("lang")) {
                (Some(Json::Text(id)), _) => self.claims.push(Claim::Definition(id.clone())),
                (None, Some(_)) => {}
                _ => self.claims.push(Claim::Malformed(
                    "one of its \"granular_markings\" names no marking",
                )),
            }
        }
    }
}

impl Links {
    /// Notes a member of the shell around the objects, where a marking has no
    /// place but may stand.
    pub(crate) fn shell_member(&mut self, name: &str, value: &Json) {
        if matches!(
            name,
            "object_marking_refs" | "object_marking_ref" | "granular_markings"
        ) {
            self.member(name, value);
        }
    }
}
