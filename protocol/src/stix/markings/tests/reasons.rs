//! What a refusal names, and by which words a text speaks of TLP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::definition::is_tlp_tag;
use super::*;

fn reason(marking: &ObjectMarking) -> &str {
    let ObjectMarking::Closed(reason) = marking else {
        panic!("it must close: {marking:?}");
    };
    reason
}

#[test]
fn the_first_ten_are_named_and_all_are_counted() {
    for number in [1, 9, 10, 11, 12] {
        let objects: Vec<String> = (0..number).map(|at| object("tool", at, "")).collect();
        let MarkingRefusal::Missing { count, objects } = effective_of(&objects, None).unwrap_err()
        else {
            panic!("nothing else is the matter");
        };
        let first: Vec<String> = (0..number.min(10)).map(|at| id("tool", at)).collect();
        assert_eq!((count, objects), (number as usize, first));
    }
}

#[test]
fn an_object_without_an_id_is_named_by_its_place() {
    let nameless = r#"{"type":"indicator","name":"x"}"#.to_owned();
    let objects = [marked("tool", 1, GREEN1, ""), nameless];
    let MarkingRefusal::Missing { objects, .. } = effective_of(&objects, None).unwrap_err() else {
        panic!("nothing else is the matter");
    };
    assert_eq!(objects, ["element 2 of the document"]);
}

#[test]
fn each_reason_repeats_what_could_not_be_read() {
    let label = survey_of(&[object("tool", 1, r#""labels":["tlp:unclear"]"#)]);
    assert_eq!(
        reason(&label[0]),
        r#"its label "tlp:unclear" is no TLP label"#
    );
    assert_eq!(
        reason(&judged("TLP:GREEN", &[])),
        r#"its marking "TLP:GREEN" is not the id of a marking definition"#
    );
    assert_eq!(
        reason(&judged(OTHER, &[])),
        format!("its marking {OTHER} is neither a TLP id nor defined in the document")
    );
    let odd = definition(OTHER, r#""definition_type":"tlp""#);
    assert_eq!(
        reason(&judged(OTHER, &[odd])),
        format!("its marking {OTHER} closes: it looks like TLP but its id is not a TLP id")
    );
    // As much of a text as helps, however long a stranger made it.
    let long = format!("tlp:{}", "x".repeat(1_000));
    let label = survey_of(&[object("tool", 1, &format!(r#""labels":["{long}"]"#))]);
    assert!(reason(&label[0]).contains(&long[..100]));
    assert!(!reason(&label[0]).contains(&long[..101]));
}

#[test]
fn an_object_that_closes_by_itself_says_its_own_reason() {
    let object = object("tool", 1, r#""labels":["tlp:unclear"]"#);
    let text = format!(
        r#"{{"type":"bundle","object_marking_refs":["{OTHER}"],"objects":[{object},{}]}}"#,
        marked("tool", 2, RED1, "")
    );
    let document = Document::read(text.as_bytes()).unwrap();
    let found = survey(&document);
    assert!(reason(&found.markings()[0]).contains("tlp:unclear"));
    // The shell closes, and with it whatever had a label.
    assert!(reason(&found.markings()[1]).contains(OTHER));
}

#[test]
fn what_was_closed_from_above_names_what_is_above() {
    let report = marked(
        "report",
        1,
        OTHER,
        &format!(r#""object_refs":["{}"]"#, id("language-content", 2)),
    );
    let objects = [
        report,
        object(
            "language-content",
            2,
            &format!(r#""object_ref":"{}""#, id("indicator", 3)),
        ),
        object("indicator", 3, r#""labels":["tlp:unclear"]"#),
    ];
    let found = survey_of(&objects);
    assert_eq!(
        reason(&found[1]),
        format!("{} closes and hands it down", id("report", 1))
    );
}

/// An id may stand for several versions; whoever speaks about it takes the
/// strictest, wherever in the document that one is.
#[test]
fn what_speaks_about_several_versions_takes_the_strictest() {
    let version = |day: u32, marking: Marking| {
        let modified = format!(r#""modified":"2026-01-{day:02}T00:00:00.000Z""#);
        marked("indicator", 1, tlp2_id(marking), &modified)
    };
    let about = object(
        "language-content",
        2,
        &format!(r#""object_ref":"{}""#, id("indicator", 1)),
    );
    for levels in [
        [Marking::Green, Marking::Red, Marking::Amber],
        [Marking::Red, Marking::Green, Marking::Amber],
        [Marking::Green, Marking::Amber, Marking::Red],
    ] {
        let mut objects: Vec<String> = (1..).zip(levels).map(|(d, m)| version(d, m)).collect();
        objects.push(about.clone());
        let found = survey_of(&objects);
        assert_eq!(found[3], ObjectMarking::Marked(Marking::Red), "{levels:?}");
        for (found, level) in found.iter().zip(levels) {
            assert_eq!(*found, ObjectMarking::Marked(level));
        }
    }
}

#[test]
fn tlp_is_a_word_a_beginning_a_prefix_or_written_out() {
    for text in [
        "a tlp-red",
        "two words tlp",
        "x_tlp_x",
        "tlpx",
        "  TLPx",
        "xtlp:red",
        "the Traffic Light Protocol",
        "no tlps, yet tlp",
    ] {
        assert!(is_tlp_tag(text), "{text:?}");
    }
    for text in [
        "",
        "a tlps",
        "of httlp",
        "outlplay",
        "traffic light",
        "tl p",
    ] {
        assert!(!is_tlp_tag(text), "{text:?}");
    }
}

#[test]
fn the_type_that_a_platform_writes_is_enough_to_close() {
    for body in [
        r#""x_opencti_definition_type":"TLP""#,
        r#""definition_type":"statement","x_opencti_definition_type":"TLP""#,
        r#""definition_type":"tlp","x_opencti_definition_type":"statement""#,
    ] {
        assert!(
            is_closed(&judged(OTHER, &[definition(OTHER, body)])),
            "{body}"
        );
    }
}
