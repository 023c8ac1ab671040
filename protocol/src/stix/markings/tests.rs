//! Every trap of markings that touches STIX.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;

use super::definition::{TLP2_EXTENSION, tlp2_definition, tlp2_id};
use super::*;

mod exhaustive;
mod handing_down;
mod reasons;

const GREEN1: &str = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da";
const AMBER1: &str = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82";
const WHITE1: &str = "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9";
const RED1: &str = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed";
const OTHER: &str = "marking-definition--11111111-2222-4333-8444-555555555555";

fn id(kind: &str, number: u32) -> String {
    format!("{kind}--5a0d2cb4-1b5e-4b0c-9d56-{number:012}")
}

/// An object of `kind` with the members `more`.
fn object(kind: &str, number: u32, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(
        r#"{{"type":"{kind}","id":"{}"{comma}{more}}}"#,
        id(kind, number)
    )
}

fn marked(kind: &str, number: u32, marking: &str, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    object(
        kind,
        number,
        &format!(r#""object_marking_refs":["{marking}"]{comma}{more}"#),
    )
}

fn definition(id: &str, body: &str) -> String {
    format!(r#"{{"type":"marking-definition","id":"{id}","spec_version":"2.1",{body}}}"#)
}

fn bundle(objects: &[String]) -> String {
    format!(
        r#"{{"type":"bundle","id":"{}","objects":[{}]}}"#,
        id("bundle", 0),
        objects.join(",")
    )
}

fn survey_of(objects: &[String]) -> Vec<ObjectMarking> {
    let text = bundle(objects);
    let document = Document::read(text.as_bytes()).unwrap();
    survey(&document).markings().to_vec()
}

fn effective_of(objects: &[String], flag: Option<Marking>) -> Result<Marking, MarkingRefusal> {
    let text = bundle(objects);
    effective(&Document::read(text.as_bytes()).unwrap(), flag)
}

fn is_closed(marking: &ObjectMarking) -> bool {
    matches!(marking, ObjectMarking::Closed(_))
}

/// What an indicator that refers to `marking` comes out as, with `defined`
/// beside it.
fn judged(marking: &str, defined: &[String]) -> ObjectMarking {
    let mut objects = vec![marked("indicator", 1, marking, "")];
    objects.extend_from_slice(defined);
    survey_of(&objects)[0].clone()
}

#[test]
fn both_families_of_tlp_ids_count_without_a_definition() {
    for (id, marking) in [
        (WHITE1, Marking::Clear),
        (GREEN1, Marking::Green),
        (AMBER1, Marking::Amber),
        (RED1, Marking::Red),
    ] {
        assert_eq!(judged(id, &[]), ObjectMarking::Marked(marking));
    }
    for marking in Marking::ALL {
        assert_eq!(
            judged(tlp2_id(marking), &[]),
            ObjectMarking::Marked(marking)
        );
        let defined = [tlp2_definition(marking)];
        assert_eq!(
            judged(tlp2_id(marking), &defined),
            ObjectMarking::Marked(marking)
        );
    }
}

#[test]
fn published_definition_is_exact() {
    assert_eq!(
        tlp2_definition(Marking::AmberStrict),
        concat!(
            r#"{"type":"marking-definition","spec_version":"2.1","#,
            r#""id":"marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003","#,
            r#""created":"2022-10-01T00:00:00.000Z","name":"TLP:AMBER+STRICT","#,
            r#""extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":"#,
            r#"{"extension_type":"property-extension","tlp_2_0":"amber+strict"}}}"#
        )
    );
}

#[test]
fn clear_under_the_white_id_is_clear() {
    for body in [
        r#""definition_type":"tlp","name":"TLP:CLEAR","definition":{"tlp":"clear"}"#,
        r#""definition_type":"tlp","name":"TLP:WHITE","definition":{"tlp":"white"}"#,
        r#""definition_type":"TLP","definition":{"TLP":"white"},"x_opencti_definition":"TLP:CLEAR""#,
    ] {
        assert_eq!(
            judged(WHITE1, &[definition(WHITE1, body)]),
            ObjectMarking::Marked(Marking::Clear),
            "{body}"
        );
    }
}

#[test]
fn amber_strict_as_a_statement_of_opencti_is_strict() {
    let body = r#""definition_type":"statement","definition":{"statement":"custom"},"name":"TLP:AMBER+STRICT","x_opencti_definition_type":"TLP","x_opencti_definition":"TLP:AMBER+STRICT""#;
    assert_eq!(
        judged(OTHER, &[definition(OTHER, body)]),
        ObjectMarking::Marked(Marking::AmberStrict)
    );
    // The exception is for that label alone, and for a body that says nothing else.
    for body in [
        body.replace("TLP:AMBER+STRICT", "TLP:CLEAR"),
        body.replace(r#""name":"TLP:AMBER+STRICT""#, r#""name":"TLP:CLEAR""#),
        body.replace("statement\",", "other\","),
    ] {
        assert!(
            is_closed(&judged(OTHER, &[definition(OTHER, &body)])),
            "{body}"
        );
    }
}

#[test]
fn attack_41_what_looks_like_tlp_under_another_id_closes() {
    let wrong = [
        "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b03e",
        "marking-definition--94868c89-4f24-ae4d-8e50-79f2bf239a72",
        "marking-definition--f88d31f6-1f26-44da-b317-01333bde0b82",
        &GREEN1
            .to_uppercase()
            .replace("MARKING-DEFINITION", "marking-definition"),
    ];
    for id in wrong {
        assert!(is_closed(&judged(id, &[])), "{id}");
        let clear = r#""definition_type":"tlp","definition":{"tlp":"clear"}"#;
        assert!(is_closed(&judged(id, &[definition(id, clear)])), "{id}");
    }
    for body in [
        r#""name":"TLP:CLEAR""#.to_owned(),
        r#""name":"tlp: white""#.to_owned(),
        r#""definition_type":"tlp""#.to_owned(),
        r#""definition_type":"TLP 2.0","definition":{}"#.to_owned(),
        r#""definition":{"tlp":"green"}"#.to_owned(),
        r#""definition":{"tlp":7}"#.to_owned(),
        r#""definition_type":7"#.to_owned(),
        r#""definition_type":"statement","definition":{"statement":"Handle as TLP:AMBER"}"#
            .to_owned(),
        r#""x_opencti_definition":"TLP:RED""#.to_owned(),
        format!(r#""extensions":{{"{TLP2_EXTENSION}":{{"tlp_2_0":"clear"}}}}"#),
        format!(r#""extensions":{{"{TLP2_EXTENSION}":{{}}}}"#),
        r#""tlp_2_0":"clear""#.to_owned(),
        r#""spec":"says nothing""#.to_owned(),
    ] {
        assert!(
            is_closed(&judged(OTHER, &[definition(OTHER, &body)])),
            "{body}"
        );
    }
}

#[test]
fn attack_41_a_known_id_with_another_body_closes() {
    for (id, body) in [
        (
            GREEN1,
            r#""definition_type":"tlp","definition":{"tlp":"amber"}"#,
        ),
        (
            RED1,
            r#""definition_type":"tlp","definition":{"tlp":"clear"}"#,
        ),
        (
            RED1,
            r#""definition_type":"tlp","definition":{"tlp":"crimson"}"#,
        ),
        (RED1, r#""definition_type":"tlp","definition":{"tlp":null}"#),
        (AMBER1, r#""name":"TLP:AMBER+STRICT""#),
        (tlp2_id(Marking::Clear), r#""name":"TLP:RED""#),
    ] {
        assert!(
            is_closed(&judged(id, &[definition(id, body)])),
            "{id} {body}"
        );
    }
    // Two definitions of one id that differ.
    let twice = [
        definition(
            OTHER,
            r#""definition_type":"statement","definition":{"statement":"(c) A"}"#,
        ),
        definition(
            OTHER,
            r#""definition_type":"tlp","definition":{"tlp":"clear"}"#,
        ),
    ];
    assert!(is_closed(&judged(OTHER, &twice)));
}

#[test]
fn a_contradicting_definition_closes_even_where_nothing_refers_to_it() {
    let objects = [
        marked("indicator", 1, GREEN1, ""),
        definition(
            OTHER,
            r#""definition_type":"tlp","definition":{"tlp":"clear"}"#,
        ),
    ];
    let found = survey_of(&objects);
    assert_eq!(found[0], ObjectMarking::Marked(Marking::Green));
    assert!(is_closed(&found[1]));
    assert!(matches!(
        effective_of(&objects, None),
        Err(MarkingRefusal::Closed { count: 1, .. })
    ));
}

#[test]
fn a_statement_everybody_cites_needs_no_definition() {
    let attack = "marking-definition--fa42a846-8d90-4e51-bc29-71d5b4802168";
    assert_eq!(judged(attack, &[]), ObjectMarking::Unmarked);
    // It is no way to smuggle a body past the rules.
    let body = r#""definition_type":"tlp","definition":{"tlp":"clear"}"#;
    assert!(is_closed(&judged(attack, &[definition(attack, body)])));
}

#[test]
fn an_author_needs_no_marking_and_any_other_identity_does() {
    let author = object("identity", 1, "");
    let made = format!(r#""created_by_ref":"{}""#, id("identity", 1));
    let objects = [author.clone(), marked("indicator", 2, GREEN1, &made)];
    assert_eq!(effective_of(&objects, None), Ok(Marking::Green));
    assert!(effective_of(&[author, marked("indicator", 2, GREEN1, "")], None).is_err());
    // Naming another kind of object as the author exempts nothing.
    let tool = format!(r#""created_by_ref":"{}""#, id("tool", 1));
    let objects = [object("tool", 1, ""), marked("indicator", 2, GREEN1, &tool)];
    assert!(effective_of(&objects, None).is_err());
}

#[test]
fn misspelled_markings_are_not_overlooked() {
    let red = ObjectMarking::Marked(Marking::Red);
    let singular = format!(r#""object_marking_ref":"{RED1}""#);
    assert_eq!(survey_of(&[object("tool", 1, &singular)])[0], red);
    let label = r#""labels":"TLP:RED""#;
    assert_eq!(survey_of(&[object("tool", 1, label)])[0], red);
    let number = r#""object_marking_ref":7"#;
    assert!(is_closed(&survey_of(&[object("tool", 1, number)])[0]));
}

#[test]
fn statements_pap_and_acs_leave_tlp_alone() {
    for body in [
        r#""definition_type":"statement","definition":{"statement":"Copyright 2026 Example"}"#,
        r#""definition_type":"PAP","definition":{"pap":"red"},"x_opencti_definition":"PAP:RED""#,
        r#""name":"PAP:AMBER""#,
        r#""extensions":{"extension-definition--3a65884d-005a-4290-8335-cb2d778a83ce":{"extension_type":"property-extension","identifier":"x"}}"#,
    ] {
        assert_eq!(
            judged(OTHER, &[definition(OTHER, body)]),
            ObjectMarking::Unmarked,
            "{body}"
        );
    }
}

#[test]
fn an_undefined_marking_closes_and_is_named() {
    let ObjectMarking::Closed(reason) = judged(OTHER, &[]) else {
        panic!("it must close");
    };
    assert!(reason.contains(OTHER), "{reason}");
    assert!(reason.contains("neither a TLP id nor defined"), "{reason}");
    assert!(is_closed(&judged("TLP:GREEN", &[])));
    for more in [
        r#""object_marking_refs":"x""#,
        r#""object_marking_refs":[1]"#,
        r#""object_marking_refs":{}"#,
        r#""granular_markings":{}"#,
        r#""granular_markings":[{}]"#,
        r#""granular_markings":[7]"#,
        r#""granular_markings":[{"marking_ref":7,"lang":"en"}]"#,
    ] {
        assert!(
            is_closed(&survey_of(&[object("indicator", 1, more)])[0]),
            "{more}"
        );
    }
}

#[test]
fn attack_41_several_colours_give_the_strictest() {
    let both = object(
        "indicator",
        1,
        &format!(r#""object_marking_refs":["{WHITE1}","{AMBER1}"]"#),
    );
    assert_eq!(survey_of(&[both])[0], ObjectMarking::Marked(Marking::Amber));
    let granular = marked(
        "indicator",
        1,
        GREEN1,
        &format!(
            r#""granular_markings":[{{"lang":"fr","selectors":["name"]}},{{"marking_ref":"{RED1}","selectors":["name"]}}]"#
        ),
    );
    assert_eq!(
        survey_of(&[granular])[0],
        ObjectMarking::Marked(Marking::Red)
    );
    let nested = object(
        "file",
        1,
        &format!(r#""extensions":{{"x":{{"object_marking_refs":["{RED1}"]}}}}"#),
    );
    assert_eq!(survey_of(&[nested])[0], ObjectMarking::Marked(Marking::Red));
}

#[test]
fn tlp_labels_mark_and_unknown_ones_close() {
    let label = |text: &str| {
        survey_of(&[object("indicator", 1, &format!(r#""labels":["{text}"]"#))])[0].clone()
    };
    assert_eq!(label("TLP:GREEN"), ObjectMarking::Marked(Marking::Green));
    assert_eq!(
        label(" tlp:amber+strict "),
        ObjectMarking::Marked(Marking::AmberStrict)
    );
    assert_eq!(label("PAP:RED"), ObjectMarking::Unmarked);
    for odd in ["tlp:ex:chr", "tlp:unclear", "TLP:", "tlp"] {
        assert!(is_closed(&label(odd)), "{odd}");
    }
}

#[test]
fn effective_marking_of_flag_and_objects() {
    let green = marked("indicator", 1, GREEN1, "");
    let plain = object("indicator", 2, "");
    let red = marked("indicator", 3, RED1, "");
    let flag = |marking| Some(marking);
    assert_eq!(
        effective_of(std::slice::from_ref(&green), None),
        Ok(Marking::Green)
    );
    assert_eq!(
        effective_of(&[green.clone(), plain.clone()], flag(Marking::Amber)),
        Ok(Marking::Amber)
    );
    assert_eq!(
        effective_of(&[green.clone(), plain.clone()], None).unwrap_err(),
        MarkingRefusal::Missing {
            count: 1,
            objects: vec![id("indicator", 2)]
        }
    );
    assert!(matches!(
        effective_of(std::slice::from_ref(&plain), None),
        Err(MarkingRefusal::Missing { .. })
    ));
    assert_eq!(
        effective_of(&[plain], flag(Marking::Clear)),
        Ok(Marking::Clear)
    );
    assert_eq!(
        effective_of(&[green.clone(), red.clone()], None),
        Ok(Marking::Red)
    );
    // Definitions need no marking; alone they are nothing to publish.
    assert_eq!(
        effective_of(&[green.clone(), tlp2_definition(Marking::Clear)], None),
        Ok(Marking::Green)
    );
    assert_eq!(
        effective_of(&[tlp2_definition(Marking::Clear)], None),
        Err(MarkingRefusal::DefinitionsOnly)
    );
    let refusal = effective_of(&[green, red], flag(Marking::Green)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!(
            "objects marked stricter than TLP:GREEN: 1, up to TLP:RED, first {}; publish with --tlp TLP:RED or leave them out",
            id("indicator", 3)
        )
    );
}

#[test]
fn attack_40_markings_of_refused_objects_count() {
    let hidden = format!(r#"{{"type":"indicator","object_marking_refs":["{RED1}"]}}"#);
    let objects = [marked("indicator", 1, GREEN1, ""), hidden];
    assert!(matches!(
        effective_of(&objects, Some(Marking::Green)),
        Err(MarkingRefusal::Stricter { .. })
    ));
    // And those of the bundle itself, which should have none.
    let text = format!(
        r#"{{"type":"bundle","object_marking_refs":["{RED1}"],"objects":[{}]}}"#,
        objects[0]
    );
    let document = Document::read(text.as_bytes()).unwrap();
    assert_eq!(effective(&document, None), Ok(Marking::Red));
    // And those inside a bundle inside the bundle.
    let nested = bundle(std::slice::from_ref(&objects[1]));
    assert_eq!(
        effective_of(&[objects[0].clone(), nested], None),
        Ok(Marking::Red)
    );
}

proptest! {
    /// One more object, one more marking or one more reference never loosens.
    #[test]
    fn markings_only_tighten(
        levels in prop::collection::vec(0_usize..6, 1..8),
        edges in prop::collection::vec((0_usize..8, 0_usize..8), 0..16),
        added in (0_usize..8, 0_usize..8),
    ) {
        let build = |edges: &[(usize, usize)]| {
            let objects: Vec<String> = levels.iter().enumerate().map(|(at, level)| {
                let targets: Vec<String> = edges.iter().filter(|edge| edge.0 == at)
                    .map(|edge| format!("\"{}\"", id("grouping", u32::try_from(edge.1).unwrap())))
                    .collect();
                let refs = format!(r#""object_refs":[{}]"#, targets.join(","));
                let number = u32::try_from(at).unwrap();
                match level.checked_sub(1).map(|level| Marking::ALL[level]) {
                    None => object("grouping", number, &refs),
                    Some(marking) => marked("grouping", number, tlp2_id(marking), &refs),
                }
            }).collect();
            survey_of(&objects)
        };
        let rank = |marking: &ObjectMarking| match marking {
            ObjectMarking::Unmarked => 0,
            ObjectMarking::Marked(marking) => level_of(*marking),
            ObjectMarking::Closed(_) => CLOSED,
        };
        let before = build(&edges);
        let mut more = edges.clone();
        more.push(added);
        for (before, after) in before.iter().zip(build(&more).iter()) {
            prop_assert!(rank(after) >= rank(before));
        }
        for (from, to) in &edges {
            if let (Some(from), Some(to)) = (before.get(*from), before.get(*to)) {
                prop_assert!(rank(to) >= rank(from));
            }
        }
    }
}
