//! What a marking definition means for TLP.
//!
//! A TLP marking is known by its exact id. A body under another id proves
//! nothing: anyone can write one, and several public tools write wrong ids. So
//! an unknown id whose body looks like TLP closes, and so does a known id whose
//! body says something else.

use crate::marking::Marking;
use crate::stix::strict::Json;

/// The extension that carries TLP 2.0 in STIX 2.1 (OASIS, TLP 2.0 extension).
pub const TLP2_EXTENSION: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

/// The ids of TLP 1.0 (STIX 2.1, section 7.2.1.4).
const TLP1_IDS: [(&str, Marking); 4] = [
    (
        "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
        Marking::Clear,
    ),
    (
        "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
        Marking::Green,
    ),
    (
        "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
        Marking::Amber,
    ),
    (
        "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
        Marking::Red,
    ),
];

/// Statements that many documents cite without carrying them. The first is the
/// copyright notice of MITRE ATT&CK, on every technique a report links to.
const KNOWN_STATEMENTS: [&str; 1] = ["marking-definition--fa42a846-8d90-4e51-bc29-71d5b4802168"];

/// What a marking definition says about TLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is this label.
    Tlp(Marking),
    /// It is of another kind and leaves TLP alone.
    Other,
    /// It looks like TLP and is not, or contradicts itself.
    Closed(&'static str),
}

/// The id of the TLP 2.0 definition of `marking`.
pub const fn tlp2_id(marking: Marking) -> &'static str {
    match marking {
        Marking::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
        Marking::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
        Marking::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
        Marking::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
        Marking::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
    }
}

/// The whole TLP 2.0 definition of `marking`, as OASIS publishes it.
pub fn tlp2_definition(marking: Marking) -> String {
    let label = marking.label();
    let value = label
        .strip_prefix("TLP:")
        .unwrap_or(label)
        .to_ascii_lowercase();
    format!(
        "{{\"type\":\"marking-definition\",\"spec_version\":\"2.1\",\"id\":\"{}\",\
         \"created\":\"2022-10-01T00:00:00.000Z\",\"name\":\"{label}\",\
         \"extensions\":{{\"{TLP2_EXTENSION}\":{{\"extension_type\":\"property-extension\",\
         \"tlp_2_0\":\"{value}\"}}}}}}",
        tlp2_id(marking)
    )
}

/// The label a marking-definition id stands for, in either version of TLP.
pub fn label_of_id(id: &str) -> Option<Marking> {
    TLP1_IDS
        .iter()
        .find(|(known, _)| *known == id)
        .map(|(_, marking)| *marking)
        .or_else(|| {
            Marking::ALL
                .into_iter()
                .find(|marking| tlp2_id(*marking) == id)
        })
}

/// What an id means without a definition in the document, if it is known.
pub(crate) fn known(id: &str) -> Option<Judgement> {
    label_of_id(id)
        .map(Judgement::Tlp)
        .or_else(|| KNOWN_STATEMENTS.contains(&id).then_some(Judgement::Other))
}

/// Whether a plain label is a TLP tag or was meant as one: `tlp:amber` in any
/// case, and whatever else speaks of TLP.
pub(crate) fn is_tlp_tag(label: &str) -> bool {
    speaks_of_tlp(label)
}

/// Whether a text names TLP: the three letters as a word of their own, or
/// written out. What stands beside a word is anything but a letter, so that
/// `TLP-RED`, `x_tlp` and `tlp2` are found and `http` in a link is not.
fn speaks_of_tlp(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let word = lower.match_indices("tlp").any(|(at, tlp)| {
        let before = lower.get(..at).and_then(|text| text.chars().next_back());
        let after = lower
            .get(at + tlp.len()..)
            .and_then(|text| text.chars().next());
        !letter(before) && !letter(after)
    });
    word || lower.trim_start().starts_with("tlp")
        || lower.contains("tlp:")
        || lower.contains("traffic light protocol")
}

/// Whether the name of a definition is that of a TLP label, or speaks of TLP.
fn names_tlp(text: &str) -> bool {
    Marking::parse(text).is_some() || speaks_of_tlp(text)
}

/// Judges the definition `json` that stands under `id`.
pub(crate) fn judge(id: &str, json: &Json) -> Judgement {
    let evidence = Evidence::of(json);
    match label_of_id(id) {
        Some(label) => evidence.under_known_id(label),
        None => evidence.under_unknown_id(),
    }
}

/// What the body of a definition says.
#[derive(Default)]
struct Evidence<'a> {
    /// Texts that should be labels: `definition.tlp`, `tlp_2_0`, and the names
    /// that look like TLP.
    labels: Vec<&'a str>,
    /// A place of TLP that holds no string.
    malformed: bool,
    /// `definition_type` or OpenCTI's type is `tlp`.
    typed_tlp: bool,
    /// OpenCTI's own field.
    opencti: Option<&'a str>,
    /// `definition_type` is `statement`.
    typed_statement: bool,
    /// A statement's text speaks of TLP.
    statement_tlp: bool,
    /// It says anything at all.
    any: bool,
}

impl<'a> Evidence<'a> {
    fn of(json: &'a Json) -> Self {
        let mut found = Self::default();
        if let Some(kind) = json.get("definition_type") {
            found.any = true;
            match kind.as_text() {
                Some(kind) => {
                    found.typed_tlp = speaks_of_tlp(kind);
                    found.typed_statement = kind == "statement";
                    // As a label it has to agree with the rest.
                    found.labels.extend(Marking::parse(kind).map(|_| kind));
                }
                None => found.malformed = true,
            }
        }
        if let Some(definition) = json.get("definition") {
            found.any = true;
            found.definition(definition);
        }
        if let Some(extensions) = json.get("extensions").and_then(Json::as_object) {
            for (key, extension) in extensions.iter() {
                found.any = true;
                found.places(extension);
                if key == TLP2_EXTENSION && extension.get("tlp_2_0").is_none() {
                    found.malformed = true;
                }
            }
        }
        // TLP as a top-level property, as some tools write it.
        found.places(json);
        found.opencti = json.text("x_opencti_definition");
        found.any |= found.opencti.is_some();
        if let Some(kind) = json.text("x_opencti_definition_type") {
            found.any = true;
            found.typed_tlp |= speaks_of_tlp(kind);
        }
        for text in [found.opencti, json.text("name")].into_iter().flatten() {
            found.any = true;
            if names_tlp(text) {
                found.labels.push(text);
            }
        }
        found
    }

    /// `definition`: its members named after TLP are labels, and any other text
    /// that speaks of TLP is a statement about it.
    fn definition(&mut self, definition: &'a Json) {
        self.places(definition);
        let members = definition.as_object();
        let others = members
            .iter()
            .flat_map(|members| members.iter())
            .filter(|(name, _)| !speaks_of_tlp(name))
            .filter_map(|(_, value)| value.as_text());
        for text in others.chain(definition.as_text()) {
            if speaks_of_tlp(text) {
                self.statement_tlp = true;
                self.labels.push(text);
            }
        }
    }

    /// The members of `json` that are named after TLP, in whatever case.
    fn places(&mut self, json: &'a Json) {
        for (name, value) in json.as_object().iter().flat_map(|members| members.iter()) {
            if speaks_of_tlp(name) {
                self.place(value);
            }
        }
    }

    fn place(&mut self, value: &'a Json) {
        self.any = true;
        match value.as_text() {
            Some(text) => self.labels.push(text),
            None => self.malformed = true,
        }
    }

    /// Under an id of TLP the body may only repeat what the id says.
    fn under_known_id(&self, label: Marking) -> Judgement {
        if self.malformed || self.statement_tlp {
            return Judgement::Closed("its body is malformed");
        }
        if self
            .labels
            .iter()
            .any(|text| Marking::parse(text) != Some(label))
        {
            return Judgement::Closed("its id and its body name different labels");
        }
        Judgement::Tlp(label)
    }

    /// Under another id nothing is TLP, with one exception that a widespread
    /// platform relies on: AMBER+STRICT as a statement.
    fn under_unknown_id(&self) -> Judgement {
        let strict = Some(Marking::AmberStrict);
        if self.typed_statement
            && !self.malformed
            && self.opencti.and_then(Marking::parse) == strict
            && self
                .labels
                .iter()
                .all(|text| Marking::parse(text) == strict)
        {
            return Judgement::Tlp(Marking::AmberStrict);
        }
        if self.malformed || self.typed_tlp || self.statement_tlp || !self.labels.is_empty() {
            return Judgement::Closed("it looks like TLP but its id is not a TLP id");
        }
        if !self.any {
            return Judgement::Closed("it defines nothing");
        }
        Judgement::Other
    }
}
