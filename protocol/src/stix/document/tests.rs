//! Shapes, refusals and bounds of documents.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;

use super::*;

const A: &str = "5a0d2cb4-1b5e-4b0c-9d56-0f9f5d5d0001";

fn tool(suffix: u32, name: &str) -> String {
    format!(
        r#"{{"type":"tool","id":"tool--5a0d2cb4-1b5e-4b0c-9d56-{suffix:012}","modified":"2026-01-01T00:00:00Z","name":"{name}"}}"#
    )
}

fn read(text: &str) -> Result<Document<'_>, DocumentError> {
    Document::read(text.as_bytes())
}

#[test]
fn four_shapes_give_the_same_object_byte_for_byte() {
    let object = tool(1, "x");
    for (text, shape) in [
        (format!(" {object}\n"), Shape::Single),
        (format!("[ {object} ]"), Shape::Array),
        (
            format!(r#"{{"more":false,"objects":[{object}]}}"#),
            Shape::Envelope,
        ),
        (
            format!(r#"{{"objects":[{object}],"id":"bundle--{A}","type":"bundle"}}"#),
            Shape::Bundle,
        ),
    ] {
        let document = read(&text).unwrap();
        assert_eq!(document.shape(), shape);
        let found: Vec<&Object> = document.accepted().collect();
        assert_eq!(found.len(), 1);
        assert_eq!(document.bytes_of(found[0]), object.as_bytes());
        assert_eq!(document.json_of(found[0]).unwrap().text("name"), Some("x"));
    }
}

#[test]
fn what_is_no_stix_is_named() {
    for text in [
        "1",
        "null",
        "\"x\"",
        "{}",
        r#"{"pages":[1],"schema":2}"#,
        r#"{"type":"tool"}"#,
    ] {
        assert!(
            matches!(read(text), Err(DocumentError::NotStix { .. })),
            "{text}"
        );
    }
    let error = read(r#"{"collection":"x","pages":[]}"#).unwrap_err();
    assert!(
        error.to_string().contains(r#""collection", "pages""#),
        "{error}"
    );
    // `objects` of STIX 2.0 observed data is no list of objects.
    assert!(matches!(
        read(r#"{"objects":{"0":{"type":"file"}}}"#),
        Err(DocumentError::NotStix { .. })
    ));
    assert!(matches!(
        read(r#"{"type":7,"objects":[1]}"#),
        Err(DocumentError::NotStix { .. })
    ));
    for text in [
        "[]",
        r#"{"type":"bundle"}"#,
        r#"{"type":"bundle","objects":[]}"#,
        r#"{"objects":[]}"#,
    ] {
        assert_eq!(read(text).unwrap_err(), DocumentError::Empty, "{text}");
    }
    assert!(matches!(read(""), Err(DocumentError::Json(_))));
}

#[test]
fn every_element_ends_somewhere() {
    let first = tool(1, "a");
    let other_body = tool(1, "b");
    let text = format!(
        r#"[{first},7,{first},{other_body},{{"type":"tool"}},{}]"#,
        tool(2, "c")
    );
    let document = read(&text).unwrap();
    assert_eq!(document.verdicts().len(), 6);
    assert_eq!(document.accepted().count(), 2);
    assert_eq!(document.duplicates().count(), 1);
    let reasons: Vec<ObjectRefusal> = document.refused().map(|r| r.reason.clone()).collect();
    assert_eq!(
        reasons,
        [
            ObjectRefusal::NotAnObject("a number"),
            ObjectRefusal::SecondBody,
            ObjectRefusal::Missing("id"),
        ]
    );
}

#[test]
fn one_instant_written_twice_is_one_version() {
    let first = tool(1, "a");
    let second = first.replace("00Z", "00.000Z");
    let text = format!("[{first},{second}]");
    let document = read(&text).unwrap();
    assert_eq!(
        document.refused().next().unwrap().reason,
        ObjectRefusal::SecondBody
    );
    let newer = first.replace("00Z", "00.0001Z");
    let text = format!("[{first},{newer}]");
    assert_eq!(read(&text).unwrap().accepted().count(), 2);
}

#[test]
fn attack_32_hostile_json_in_a_document_is_refused() {
    for text in [
        format!(
            r#"{{"type":"bundle","type":"bundle","objects":[{}]}}"#,
            tool(1, "x")
        ),
        format!(r#"{{"objects":[{0}],"objects":[{0}]}}"#, tool(1, "x")),
        format!(r#"[{}"#, tool(1, "x")),
        format!(r#"[{}] x"#, tool(1, "x")),
        format!(r#"[{} {}]"#, tool(1, "x"), tool(2, "x")),
        format!(r#"[{}]"#, tool(1, "x").replace("\"x\"", "9007199254740993")),
        format!(r#"[{}]"#, tool(1, "x").replace("\"x\"", "1e400")),
        format!(r#"[{}]"#, tool(1, "\\ud800")),
        "[".repeat(100_000),
        "{\"objects\":".repeat(100_000),
        "{\"objects\":[".repeat(100_000),
    ] {
        let cut: String = text.chars().take(60).collect();
        assert!(matches!(read(&text), Err(DocumentError::Json(_))), "{cut}");
    }
    // The depth of a document counts from its outermost bracket.
    let deep = |levels| {
        let inner = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"objects":[{{"type":"tool","x":{inner}}}]}}"#)
    };
    assert!(read(&deep(61)).is_ok());
    assert!(matches!(read(&deep(62)), Err(DocumentError::Json(_))));
}

#[test]
fn bounds_are_errors_and_nothing_is_cut() {
    let large = tool(1, &"x".repeat(STIX_OBJECT_BYTES_MAX));
    assert!(matches!(
        read(&format!("[{large}]")),
        Err(DocumentError::ObjectTooLarge { .. })
    ));
    assert!(matches!(
        read(&large),
        Err(DocumentError::ObjectTooLarge { .. })
    ));
    let many = format!("[{}1]", "1,".repeat(STIX_OBJECTS_MAX));
    assert_eq!(read(&many).unwrap_err(), DocumentError::TooManyObjects);
    let most = format!("[{}1]", "1,".repeat(STIX_OBJECTS_MAX - 1));
    assert_eq!(read(&most).unwrap().refused().count(), STIX_OBJECTS_MAX);
    let members: String = (0..=STIX_DOCUMENT_MEMBERS_MAX)
        .map(|at| format!("\"{at}\":1,"))
        .collect();
    assert_eq!(
        read(&format!("{{{members}\"type\":\"tool\"}}")).unwrap_err(),
        DocumentError::TooManyMembers
    );
    let huge = vec![b' '; STIX_DOCUMENT_BYTES_MAX + 1];
    assert!(matches!(
        Document::read(&huge),
        Err(DocumentError::TooLarge { .. })
    ));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = Document::read(&bytes);
    }

    #[test]
    fn documents_of_odd_pieces_never_panic(
        pieces in prop::collection::vec(prop_oneof![
            Just(r#"{"type":"#), Just(r#""bundle""#), Just(r#","objects":["#), Just("]"), Just("}"),
            Just(r#","id":"#), Just(r#""tool--5a0d2cb4-1b5e-4b0c-9d56-000000000001""#),
            Just(r#""tool""#), Just(","), Just("["), Just(r#"{"id":"#), Just("1"),
            Just(r#"{"object_marking_refs":["#), Just(r#""x"]}"#), Just("é"),
        ], 0..24)
    ) {
        let text = pieces.concat();
        if let Ok(document) = read(&text) {
            let survey = crate::stix::markings::survey(&document);
            prop_assert_eq!(survey.markings().len(), document.verdicts().len());
            prop_assert_eq!(document.entries(&survey).unwrap().len(), document.accepted().count());
        }
    }
}

#[test]
fn values_are_bounded_over_all_objects_together() {
    // Each pattern is within its own bound; together they are a bomb that
    // compresses to almost nothing.
    let literals: Vec<String> = (0..3_000).map(|at| format!("'h{at:04}.example'")).collect();
    let pattern = format!("[domain-name:value IN ({})]", literals.join(","));
    let indicator = |at: usize| {
        format!(
            r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{at:08x}-0000-4000-8000-000000000000","created":"2026-11-01T08:00:00Z","modified":"2026-11-01T08:00:00Z","pattern":"{pattern}","pattern_type":"stix","valid_from":"2026-11-01T08:00:00Z"}}"#
        )
    };
    let document = |count: usize| {
        format!(
            "[{}]",
            (0..count).map(indicator).collect::<Vec<_>>().join(",")
        )
    };
    let fits = crate::limits::VALUES_PER_BUNDLE_MAX / 3_000;
    for (count, is_ok) in [(fits, true), (fits + 1, false)] {
        let text = document(count);
        let document = Document::read(text.as_bytes()).unwrap();
        let entries = document.entries(&crate::stix::markings::survey(&document));
        assert_eq!(entries.is_ok(), is_ok, "{count} objects");
    }
}
