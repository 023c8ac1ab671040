//! The small domains, walked whole: ids, bodies, spellings, pairs of markings.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;

/// Every id of both families with its label.
fn ids() -> Vec<(&'static str, Marking)> {
    [
        (WHITE1, Marking::Clear),
        (GREEN1, Marking::Green),
        (AMBER1, Marking::Amber),
        (RED1, Marking::Red),
    ]
    .into_iter()
    .chain(Marking::ALL.map(|marking| (tlp2_id(marking), marking)))
    .collect()
}

/// Spellings of a label that are the label; `WHITE` is the old name of CLEAR.
fn spellings(marking: Marking) -> Vec<String> {
    let bare = marking.label().strip_prefix("TLP:").unwrap();
    let mut names = vec![bare.to_owned()];
    if marking == Marking::Clear {
        names.push("WHITE".to_owned());
    }
    let mut found = Vec::new();
    for name in names {
        for text in [name.clone(), format!("TLP:{name}"), format!(" TLP:{name} ")] {
            found.extend([text.to_lowercase(), text]);
        }
    }
    found
}

/// Every place of a definition in which somebody's tool has put a label.
fn bodies(label: &str) -> Vec<String> {
    vec![
        format!(r#""definition_type":"tlp","definition":{{"tlp":"{label}"}}"#),
        format!(r#""definition_type":"TLP","definition":{{"TLP":"{label}"}}"#),
        format!(r#""definition":{{"Tlp":"{label}"}}"#),
        format!(r#""name":"{label}""#),
        format!(r#""x_opencti_definition_type":"TLP","x_opencti_definition":"{label}""#),
        format!(r#""x_opencti_definition":"{label}""#),
        format!(
            r#""extensions":{{"{TLP2_EXTENSION}":{{"extension_type":"property-extension","tlp_2_0":"{label}"}}}}"#
        ),
        format!(r#""tlp_2_0":"{label}""#),
        format!(r#""x_tlp":"{label}""#),
    ]
}

#[test]
fn attack_41_every_body_under_every_id() {
    let (mut agree, mut closed) = (0, 0);
    for (id, of_id) in ids() {
        for of_body in Marking::ALL {
            for spelling in spellings(of_body) {
                for body in bodies(&spelling) {
                    let found = judged(id, &[definition(id, &body)]);
                    if of_id == of_body {
                        assert_eq!(found, ObjectMarking::Marked(of_id), "{id} {body}");
                        agree += 1;
                    } else {
                        assert!(is_closed(&found), "{id} {body}");
                        closed += 1;
                    }
                }
            }
        }
    }
    // Nine ids, nine places, six spellings of each of five labels, twelve of CLEAR.
    assert_eq!(agree + closed, 9 * 9 * 36);
    assert_eq!(agree, 9 * (2 * 12 + 7 * 6));
}

#[test]
fn attack_41_no_body_makes_another_id_a_label() {
    for label in Marking::ALL {
        for spelling in spellings(label) {
            for body in bodies(&spelling) {
                let found = judged(OTHER, &[definition(OTHER, &body)]);
                assert!(is_closed(&found), "{body}");
            }
        }
    }
}

/// The one exception, a statement of OpenCTI, holds only if nothing in it says
/// otherwise, in any of the places.
#[test]
fn attack_41_the_exception_for_strict_tolerates_no_second_voice() {
    let strict = r#""definition_type":"statement","x_opencti_definition":"TLP:AMBER+STRICT""#;
    assert_eq!(
        judged(OTHER, &[definition(OTHER, strict)]),
        ObjectMarking::Marked(Marking::AmberStrict)
    );
    for other in [
        r#""definition":{"statement":"TLP:RED"}"#,
        r#""definition":{"statement":"Traffic Light Protocol: red"}"#,
        r#""definition":{"TLP":"red"}"#,
        r#""definition":{"tlp":null}"#,
        r#""definition":"TLP:RED""#,
        r#""name":"TLP:RED""#,
        r#""name":"Red""#,
        r#""x_tlp":"red""#,
        r#""tlp_2_0":"clear""#,
    ] {
        let body = format!("{strict},{other}");
        let found = judged(OTHER, &[definition(OTHER, &body)]);
        assert!(is_closed(&found), "{body}");
    }
}

#[test]
fn attack_41_what_was_meant_as_tlp_closes_and_what_was_not_does_not() {
    let body = |text: &str| judged(OTHER, &[definition(OTHER, text)]);
    for text in [
        r#""name":"TLP-RED""#,
        r#""name":"Marking: TLP RED""#,
        r#""name":"TLP2 amber""#,
        r#""name":"TLP:AMBER STRICT""#,
        r#""name":"TLP:ORANGE""#,
        r#""name":"The Traffic Light Protocol""#,
        r#""definition_type":"tlp-2.0""#,
        r#""definition_type":"red""#,
        r#""x_opencti_definition_type":"TLP","x_opencti_definition":"INTERNAL""#,
        r#""definition":{"marking":"tlp:green"}"#,
        r#""definition":"tlp:green""#,
    ] {
        assert!(is_closed(&body(text)), "{text}");
    }
    for text in [
        r#""definition_type":"statement","definition":{"statement":"see http://example.org/red"}"#,
        r#""definition_type":"PAP","definition":{"PAP":"red"},"name":"PAP:RED","x_opencti_definition_type":"PAP","x_opencti_definition":"PAP:RED""#,
        r#""definition_type":"statement","definition":{"statement":"outlplines, redistribution"}"#,
    ] {
        assert_eq!(body(text), ObjectMarking::Unmarked, "{text}");
    }
}

/// Ids are exact: neither case, nor space, nor a digit less is the same id.
#[test]
fn attack_41_an_id_is_itself_or_unknown() {
    for (id, _) in ids() {
        let uuid = id.strip_prefix("marking-definition--").unwrap();
        for wrong in [
            format!("marking-definition--{}", uuid.to_uppercase()),
            id.to_uppercase(),
            format!(" {id}"),
            format!("{id} "),
            id[..id.len() - 1].to_owned(),
            format!("{id}0"),
            format!("marking-definition--{{{uuid}}}"),
            format!("marking-definition-{uuid}"),
            uuid.to_owned(),
            String::new(),
        ] {
            assert!(is_closed(&judged(&wrong, &[])), "{wrong:?}");
        }
    }
    // Wrong in public tools: the TLP 2.0 CLEAR of one ends like this.
    let clear = "marking-definition--94868c89-83c2-4f24-ae4d-79f2bf239a72";
    assert!(is_closed(&judged(clear, &[])));
}

/// Two markings on one object, in either order and of either family, as two
/// references or as a reference and a granular marking: the stricter.
#[test]
fn attack_41_every_pair_of_colours_gives_the_stricter() {
    for (one, of_one) in ids() {
        for (other, of_other) in ids() {
            let wanted = ObjectMarking::Marked(of_one.max(of_other));
            let refs = format!(r#""object_marking_refs":["{one}","{other}"]"#);
            assert_eq!(survey_of(&[object("tool", 1, &refs)])[0], wanted);
            let granular = format!(
                r#""granular_markings":[{{"selectors":["name"],"marking_ref":"{other}"}}]"#
            );
            let found = survey_of(&[marked("tool", 1, one, &granular)]);
            assert_eq!(found[0], wanted, "{one} with {other} granular");
            let label = format!(r#""labels":["{}"]"#, of_other.label());
            let found = survey_of(&[marked("tool", 1, one, &label)]);
            assert_eq!(found[0], wanted, "{one} with the label {of_other}");
        }
        // And one that cannot be read beside it closes, however strict the other.
        let odd = format!(r#""object_marking_refs":["{one}","{OTHER}"]"#);
        assert!(is_closed(&survey_of(&[object("tool", 1, &odd)])[0]));
    }
}

#[test]
fn attack_41_labels_in_every_spelling() {
    let label =
        |text: &str| survey_of(&[object("tool", 1, &format!(r#""labels":["{text}"]"#))])[0].clone();
    for marking in Marking::ALL {
        for text in spellings(marking) {
            // A bare colour is a word like any other where no definition names it.
            let wanted = match text.to_lowercase().contains("tlp:") {
                true => ObjectMarking::Marked(marking),
                false => ObjectMarking::Unmarked,
            };
            assert_eq!(label(&text), wanted, "{text:?}");
        }
    }
    for odd in [
        "TLP: RED",
        "TLP :RED",
        "TLP-RED",
        "tlp_red",
        "TLP RED",
        "tlp2:red",
        "misp:tlp=\\\"red\\\"",
        "TLP:AMBER STRICT",
        "TLP:AMBER+ STRICT",
        "TLP:RED,TLP:GREEN",
        "x tlp:red",
    ] {
        assert!(is_closed(&label(odd)), "{odd}");
    }
    for plain in ["https://example.org", "outlplay", "PAP:RED", "red"] {
        assert_eq!(label(plain), ObjectMarking::Unmarked, "{plain}");
    }
}

/// A statement or PAP beside a TLP marking takes nothing from it, and alone is
/// no marking.
#[test]
fn statements_beside_tlp_change_nothing() {
    let pap = definition(OTHER, r#""definition_type":"PAP","name":"PAP:RED""#);
    for (id, marking) in ids() {
        let refs = format!(r#""object_marking_refs":["{OTHER}","{id}"]"#);
        let objects = [object("tool", 1, &refs), pap.clone()];
        assert_eq!(survey_of(&objects)[0], ObjectMarking::Marked(marking));
        assert_eq!(effective_of(&objects, None), Ok(marking));
    }
    let alone = [marked("tool", 1, OTHER, ""), pap];
    assert!(matches!(
        effective_of(&alone, None),
        Err(MarkingRefusal::Missing { count: 1, .. })
    ));
}

/// The flag may raise, and never lowers; nothing else stands in for a marking.
#[test]
fn attack_40_no_flag_lowers_what_is_inside() {
    for (id, inside) in ids() {
        let objects = [marked("tool", 1, id, "")];
        assert_eq!(effective_of(&objects, None), Ok(inside));
        for flag in Marking::ALL {
            let outcome = effective_of(&objects, Some(flag));
            if flag >= inside {
                assert_eq!(outcome, Ok(flag), "{id} as {flag}");
            } else {
                assert!(
                    matches!(outcome, Err(MarkingRefusal::Stricter { strictest, .. }) if strictest == inside),
                    "{id} as {flag}"
                );
            }
        }
    }
}

/// Each object answers for itself: one that cannot be read closes what it
/// hands its marking to and leaves its neighbours readable.
#[test]
fn one_bad_object_closes_itself_and_not_its_neighbours() {
    let objects = [
        marked("indicator", 1, GREEN1, ""),
        marked("indicator", 2, OTHER, ""),
        marked("indicator", 3, tlp2_id(Marking::Amber), ""),
        r#"{"type":"indicator","id":7}"#.to_owned(),
    ];
    let found = survey_of(&objects);
    assert_eq!(found[0], ObjectMarking::Marked(Marking::Green));
    assert!(is_closed(&found[1]));
    assert_eq!(found[2], ObjectMarking::Marked(Marking::Amber));
    // The document as a whole has no marking under which it could be published.
    for flag in Marking::ALL {
        assert!(matches!(
            effective_of(&objects, Some(flag)),
            Err(MarkingRefusal::Closed { count: 1, .. })
        ));
    }
}

proptest! {
    /// The order of the objects is the publisher's whim: every node that reads
    /// them in any order comes to the same marking for each.
    #[test]
    fn attack_41_the_order_of_objects_decides_nothing(
        levels in prop::collection::vec(0_usize..6, 2..7),
        kinds in prop::collection::vec(0_usize..4, 7),
        edges in prop::collection::vec((0_usize..7, 0_usize..7), 0..14),
        keys in prop::collection::vec(any::<u32>(), 7),
    ) {
        const KINDS: [&str; 4] = ["grouping", "note", "relationship", "indicator"];
        let name = |at: usize| id(KINDS[kinds[at]], u32::try_from(at).unwrap());
        let objects: Vec<String> = levels.iter().enumerate().map(|(at, level)| {
            let targets: Vec<String> = edges.iter()
                .filter(|edge| edge.0 == at && edge.1 < levels.len())
                .map(|edge| format!("\"{}\"", name(edge.1)))
                .collect();
            let refs = format!(r#""object_refs":[{}]"#, targets.join(","));
            let (kind, number) = (KINDS[kinds[at]], u32::try_from(at).unwrap());
            match level.checked_sub(1).map(|level| Marking::ALL[level]) {
                None => object(kind, number, &refs),
                Some(marking) => marked(kind, number, tlp2_id(marking), &refs),
            }
        }).collect();
        let mut order: Vec<usize> = (0..objects.len()).collect();
        order.sort_by_key(|at| keys[*at]);
        let shuffled: Vec<String> = order.iter().map(|at| objects[*at].clone()).collect();
        let (straight, shuffled) = (survey_of(&objects), survey_of(&shuffled));
        for (place, at) in order.iter().enumerate() {
            prop_assert_eq!(&shuffled[place], &straight[*at]);
        }
    }
}
