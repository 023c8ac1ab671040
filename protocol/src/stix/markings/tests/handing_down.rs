//! What containers and referrers hand down to what they name.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;

#[test]
fn containers_hand_down_to_their_members() {
    for (kind, member) in [
        ("report", "object_refs"),
        ("grouping", "object_refs"),
        ("note", "object_refs"),
        ("opinion", "object_refs"),
        ("observed-data", "object_refs"),
        ("malware-analysis", "analysis_sco_refs"),
        ("x-custom", "x_things_refs"),
    ] {
        let container = marked(
            kind,
            1,
            RED1,
            &format!(r#""{member}":["{}"]"#, id("url", 2)),
        );
        let found = survey_of(&[object("url", 2, ""), container, object("url", 3, "")]);
        assert_eq!(found[0], ObjectMarking::Marked(Marking::Red), "{kind}");
        assert_eq!(found[2], ObjectMarking::Unmarked);
    }
}

/// `_ref` is for one and `_refs` for a list; whoever takes the other form, by
/// mistake or to get rid of a marking, hands it down all the same.
#[test]
fn attack_40_a_reference_in_the_wrong_form_hands_its_marking_down() {
    let (first, second) = (id("url", 2), id("url", 3));
    for more in [
        format!(r#""object_refs":"{first}","sample_ref":"{second}""#),
        format!(r#""x_thing_ref":["{first}","{second}"]"#),
        format!(r#""x_thing_ref":[["{first}"],[[["{second}"]]]]"#),
        format!(r#""object_refs":[["{first}"],7,null,["{second}"]]"#),
        format!(r#""extensions":{{"x":{{"a_ref":["{first}"],"b_refs":"{second}"}}}}"#),
        format!(r#""object_refs":[{{"a_ref":["{first}"]}},"{second}"]"#),
        format!(r#""object_refs":{{"0":"{first}","1":["{second}"]}}"#),
        format!(r#""object_refs":[{{"id":"{first}","more":{{"x":"{second}"}}}}]"#),
    ] {
        let container = marked("report", 1, RED1, &more);
        let objects = [container, object("url", 2, ""), object("url", 3, "")];
        let red = ObjectMarking::Marked(Marking::Red);
        let found = survey_of(&objects);
        assert_eq!(found[1..], [red.clone(), red], "{more}");
        // And what speaks about an object takes its marking for itself.
        let objects = [
            object("note", 1, &more),
            marked("url", 2, RED1, ""),
            marked("url", 3, GREEN1, ""),
        ];
        assert_eq!(
            survey_of(&objects)[0],
            ObjectMarking::Marked(Marking::Red),
            "{more}"
        );
    }
    // Who made it refers to nothing, in whatever form, and is no reference name.
    for more in [
        format!(r#""created_by_ref":["{first}"]"#),
        format!(r#""object_refs":{{"created_by_ref":"{first}"}}"#),
        format!(r#""x_things":["{first}"]"#),
    ] {
        let objects = [marked("report", 1, RED1, &more), object("url", 2, "")];
        assert_eq!(survey_of(&objects)[1], ObjectMarking::Unmarked, "{more}");
    }
}

#[test]
fn referrers_hand_down_the_strictest_over_several_steps() {
    let objects = [
        object("domain-name", 1, ""),
        object(
            "observed-data",
            2,
            &format!(r#""object_refs":["{}"]"#, id("domain-name", 1)),
        ),
        marked(
            "sighting",
            3,
            AMBER1,
            &format!(
                r#""sighting_of_ref":"{}","observed_data_refs":["{}"]"#,
                id("indicator", 4),
                id("observed-data", 2)
            ),
        ),
        marked("indicator", 4, GREEN1, ""),
        marked(
            "report",
            5,
            GREEN1,
            &format!(r#""object_refs":["{}"]"#, id("domain-name", 1)),
        ),
    ];
    let found = survey_of(&objects);
    let amber = ObjectMarking::Marked(Marking::Amber);
    assert_eq!(
        found[..4],
        [amber.clone(), amber.clone(), amber.clone(), amber]
    );
    assert_eq!(found[4], ObjectMarking::Marked(Marking::Green));
}

#[test]
fn what_speaks_about_an_object_takes_its_marking_and_hands_it_no_further() {
    let objects = [
        marked("indicator", 1, RED1, ""),
        object(
            "relationship",
            2,
            &format!(
                r#""source_ref":"{}","target_ref":"{}""#,
                id("indicator", 1),
                id("malware", 3)
            ),
        ),
        marked("malware", 3, WHITE1, ""),
        object(
            "language-content",
            4,
            &format!(r#""object_ref":"{}""#, id("indicator", 1)),
        ),
    ];
    let found = survey_of(&objects);
    let red = ObjectMarking::Marked(Marking::Red);
    assert_eq!(found[1], red);
    assert_eq!(found[2], ObjectMarking::Marked(Marking::Clear));
    assert_eq!(found[3], red);
}

#[test]
fn cycles_and_many_versions_end() {
    let mut objects: Vec<String> = (0..2_000)
        .map(|at| {
            object(
                "grouping",
                at,
                &format!(r#""object_refs":["{}"]"#, id("grouping", (at + 1) % 2_000)),
            )
        })
        .collect();
    objects[1_000] = marked(
        "grouping",
        1_000,
        RED1,
        &format!(r#""object_refs":["{}"]"#, id("grouping", 1_001)),
    );
    assert!(
        survey_of(&objects)
            .iter()
            .all(|found| *found == ObjectMarking::Marked(Marking::Red))
    );
    // Every version refers to the one id that all versions have.
    let own = id("tool", 1);
    let versions: Vec<String> = (0..2_000)
        .map(|at| {
            object(
                "tool",
                1,
                &format!(r#""modified":"2026-01-01T00:00:00.{at:04}Z","x_ref":"{own}""#),
            )
        })
        .collect();
    assert_eq!(survey_of(&versions).len(), 2_000);
}

#[test]
fn closed_is_handed_down_and_refuses() {
    let objects = [
        marked(
            "report",
            1,
            OTHER,
            &format!(r#""object_refs":["{}"]"#, id("url", 2)),
        ),
        object("url", 2, ""),
    ];
    assert!(survey_of(&objects).iter().all(is_closed));
    let refusal = effective_of(&objects, Some(Marking::Red)).unwrap_err();
    assert!(matches!(refusal, MarkingRefusal::Closed { count: 2, .. }));
    assert!(refusal.to_string().contains(OTHER), "{refusal}");
}

/// The shape a converter from MISP leaves: the event's TLP on the report alone,
/// nothing on the indicator, the observed data, its observables and theirs.
#[test]
fn attack_40_a_report_that_alone_is_marked_marks_everything_below_it() {
    let refs = |name: &str, ids: &[String]| {
        let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
        format!(r#""{name}":[{}]"#, ids.join(","))
    };
    let below = [
        object("indicator", 2, ""),
        object(
            "observed-data",
            3,
            &refs("object_refs", &[id("domain-name", 4), id("file", 6)]),
        ),
        object(
            "domain-name",
            4,
            &refs("resolves_to_refs", &[id("ipv4-addr", 5)]),
        ),
        object("ipv4-addr", 5, ""),
        object(
            "file",
            6,
            &format!(
                r#""parent_directory_ref":"{}","extensions":{{"archive-ext":{{{}}}}}"#,
                id("directory", 7),
                refs("contains_refs", &[id("file", 8)])
            ),
        ),
        object("directory", 7, ""),
        object("file", 8, ""),
        object(
            "relationship",
            9,
            &format!(
                r#""source_ref":"{}","target_ref":"{}""#,
                id("indicator", 2),
                id("observed-data", 3)
            ),
        ),
        object(
            "language-content",
            10,
            &format!(r#""object_ref":"{}""#, id("indicator", 2)),
        ),
    ];
    for (family, marking) in [
        (RED1, Marking::Red),
        (tlp2_id(Marking::AmberStrict), Marking::AmberStrict),
    ] {
        let report = marked(
            "report",
            1,
            family,
            &refs("object_refs", &[id("indicator", 2), id("observed-data", 3)]),
        );
        let objects: Vec<String> = below.iter().cloned().chain([report]).collect();
        let found = survey_of(&objects);
        assert!(
            found
                .iter()
                .all(|found| *found == ObjectMarking::Marked(marking)),
            "{found:?}"
        );
        assert_eq!(effective_of(&objects, None), Ok(marking));
        // Without the report nothing is marked, and nothing stands in for it.
        assert!(matches!(
            effective_of(&below, None),
            Err(MarkingRefusal::Missing { count: 9, .. })
        ));
    }
}

/// An observable of two containers has the marking of the stricter.
#[test]
fn an_observable_takes_the_strictest_of_all_that_refer_to_it() {
    let container = |number, marking| {
        marked(
            "observed-data",
            number,
            tlp2_id(marking),
            &format!(r#""object_refs":["{}"]"#, id("url", 9)),
        )
    };
    for one in Marking::ALL {
        for other in Marking::ALL {
            let objects = [container(1, one), object("url", 9, ""), container(2, other)];
            let wanted = ObjectMarking::Marked(one.max(other));
            assert_eq!(survey_of(&objects)[1], wanted);
        }
    }
}

/// A marking definition may be marked like any object, and then counts.
#[test]
fn a_marking_on_a_marking_definition_counts() {
    let body = format!(
        r#""definition_type":"statement","definition":{{"statement":"(c) A"}},"object_marking_refs":["{RED1}"]"#
    );
    let objects = [marked("indicator", 1, GREEN1, ""), definition(OTHER, &body)];
    assert_eq!(survey_of(&objects)[1], ObjectMarking::Marked(Marking::Red));
    assert_eq!(effective_of(&objects, None), Ok(Marking::Red));
}
