//! What is searched for at every node afterwards, and who finds it.

use watchfire_protocol::ids::{BundleId, MemberId};
use watchfire_protocol::indicator::{self, Value};
use watchfire_protocol::policy::Reader;
use watchfire_protocol::query::{Asker, Query};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::stix::document::Document;
use watchfire_protocol::stix::index::values_of;
use watchfire_protocol::table;

use crate::clock::wall_ms;
use crate::demo::cast::{Cast, Player};
use crate::demo::sample::REFUSED;
use crate::demo::summary::Expected;
use crate::demo::{DemoError, say};
use crate::disk::SledStore;

/// Hits looked through for the one that is expected. Foreign files may repeat a
/// value some times, in many objects.
const HITS_MAX: usize = 1_000;

/// As much of an object as tells it from every other, in bytes.
const OBJECT_BYTES_MAX: usize = 4_096;

/// What a person would search for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// A value.
    Value(Value),
    /// An object by its id, where a document has no value that is indexed.
    Object(String),
}

impl Sought {
    /// A value as somebody types it.
    pub(super) fn typed(value: &str) -> Result<Self, DemoError> {
        indicator::detect(value)
            .map(Self::Value)
            .map_err(|error| DemoError::made("a search", &error))
    }

    /// The first value of a document, else its first object.
    pub(super) fn first_of(document: &Document<'_>) -> Option<Self> {
        let value = document.accepted().find_map(|object| {
            let json = document.json_of(object).ok()?;
            values_of(&object.kind, &json).0.into_iter().next()
        });
        let object = || document.accepted().next();
        value
            .map(Self::Value)
            .or_else(|| object().map(|object| Self::Object(object.id.clone())))
    }

    /// For people's eyes.
    fn shown(&self) -> String {
        match self {
            Self::Value(value) => value.defanged(),
            Self::Object(id) => id.clone(),
        }
    }
}

/// What must be seen of a bundle of this document wherever it is.
pub(super) fn expected(bundle: BundleId, document: &Document<'_>) -> Option<Expected> {
    let object = document.accepted().next()?;
    let bytes = document.bytes_of(object);
    Some(Expected {
        bundle,
        in_payload: bytes.iter().copied().take(OBJECT_BYTES_MAX).collect(),
        in_key: table::objects(&object.id),
    })
}

/// What no store may hold: what the refused samples say, as it is written and
/// as it would be indexed.
pub(super) fn forbidden() -> Result<Vec<Vec<u8>>, DemoError> {
    let mut texts = Vec::new();
    for sample in &REFUSED {
        texts.push(sample.value.as_bytes().to_vec());
        if let Sought::Value(value) = Sought::typed(sample.value)? {
            texts.extend(value.search_prefixes());
        }
    }
    Ok(texts)
}

/// A bundle that everybody must find.
pub(super) struct Wanted<'a> {
    pub(super) bundle: BundleId,
    pub(super) author: &'a str,
    pub(super) sought: &'a Sought,
}

/// Everybody finds what the others published, from whom it is, and nothing that
/// was refused.
pub(super) fn search(cast: &Cast, wanted: &[Wanted<'_>], quiet: bool) -> Result<(), DemoError> {
    say(quiet, "");
    for player in &cast.players {
        let mut line = format!("  {:<11} searches:", player.slug);
        for wanted in wanted {
            let shown = wanted.sought.shown();
            let found = find(player, wanted.sought)?;
            let author = found
                .iter()
                .find(|(bundle, _)| *bundle == wanted.bundle)
                .map(|(_, author)| cast.slug(author));
            if author.as_deref() != Some(wanted.author) {
                return Err(DemoError::Disappointed(format!(
                    "{} searches {shown} and does not find it from {}, but from {}",
                    player.slug,
                    wanted.author,
                    author.as_deref().unwrap_or("nobody")
                )));
            }
            line.push_str(&format!("  {shown} from {}", wanted.author));
        }
        for sample in &REFUSED {
            if !find(player, &Sought::typed(sample.value)?)?.is_empty() {
                return Err(DemoError::Disappointed(format!(
                    "{} finds {}",
                    player.slug, sample.name
                )));
            }
        }
        say(quiet, &line);
    }
    Ok(())
}

/// Bundle and author of every hit.
fn find(player: &Player, sought: &Sought) -> Result<Vec<(BundleId, MemberId)>, DemoError> {
    let roster: &Roster = &player.node.roster();
    let store: &SledStore = player.node.store();
    let asker = Asker {
        reader: Reader::LocalPerson,
        roster,
        wall_ms: wall_ms(),
    };
    let query = Query::new(store, asker);
    let hits = match sought {
        Sought::Value(value) => query.by_values(&value.search_prefixes(), HITS_MAX),
        Sought::Object(id) => query.by_object(id, HITS_MAX),
    };
    let hits = hits.map_err(|error| DemoError::made("a search", &error))?;
    Ok(hits
        .hits
        .iter()
        .map(|hit| (hit.value().bundle, hit.value().author))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_document_is_searched_by_its_first_value() {
        let stix = br#"[{"type":"identity","spec_version":"2.1","id":"identity--00000000-0000-4000-8000-000000000001","created":"2026-11-01T00:00:00Z","modified":"2026-11-01T00:00:00Z","name":"a"},
            {"type":"domain-name","spec_version":"2.1","id":"domain-name--00000000-0000-4000-8000-000000000002","value":"panel.example"}]"#;
        let document = Document::read(stix).unwrap();
        assert_eq!(
            Sought::first_of(&document),
            Some(Sought::typed("panel.example").unwrap())
        );
    }

    #[test]
    fn a_document_without_values_is_searched_by_its_first_object() {
        let stix = br#"[{"type":"identity","spec_version":"2.1","id":"identity--00000000-0000-4000-8000-000000000001","created":"2026-11-01T00:00:00Z","modified":"2026-11-01T00:00:00Z","name":"a"}]"#;
        let id = "identity--00000000-0000-4000-8000-000000000001";
        let document = Document::read(stix).unwrap();
        assert_eq!(
            Sought::first_of(&document),
            Some(Sought::Object(id.to_owned()))
        );
        let expected = expected(BundleId::from_bytes([1; 32]), &document).unwrap();
        assert_eq!(expected.in_key, table::objects(id));
        assert!(expected.in_payload.starts_with(b"{\"type\":\"identity\""));
    }

    #[test]
    fn what_is_refused_is_forbidden_as_text_and_as_key() {
        let forbidden = forbidden().unwrap();
        assert!(forbidden.contains(&b"amber-case.example".to_vec()));
        assert!(
            forbidden
                .iter()
                .any(|text| text.starts_with(b"\x01example.amber-case."))
        );
    }
}
