//! What strict JSON takes and refuses, hostile text first.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn fault(text: &str) -> Fault {
    Json::parse(text.as_bytes()).unwrap_err().fault
}

#[test]
fn values_read_as_written() {
    let json = Json::parse(br#" {"b":[1,-0.5e3,true,null],"a":"\u00e9\ud83d\ude00\n"} "#).unwrap();
    assert_eq!(json.text("a"), Some("é😀\n"));
    let items = json.get("b").unwrap().as_array().unwrap();
    assert_eq!(items[1], Json::Number("-0.5e3".to_owned()));
    assert_eq!(json.as_object().unwrap().len(), 2);
    assert_eq!(Json::parse(b"[]").unwrap(), Json::Array(vec![]));
    assert_eq!(
        Json::parse(b"{ }").unwrap(),
        Json::Object(Members::default())
    );
}

#[test]
fn attack_32_duplicate_members_refused_after_unescaping() {
    let error = Json::parse(b"{\"a\":1,\n \"\\u0061\":2}").unwrap_err();
    assert_eq!(error.fault, Fault::DuplicateMember("\"a\"".to_owned()));
    assert_eq!((error.line, error.offset), (2, 9));
    assert!(matches!(
        fault(r#"[{"x":{"k":1,"l":2,"k":1}}]"#),
        Fault::DuplicateMember(_)
    ));
    assert!(Json::parse(br#"[{"k":1},{"k":1}]"#).is_ok());
}

#[test]
fn attack_32_depth_is_an_error_and_not_the_stack() {
    for depth in [65, 10_000, 100_000] {
        assert_eq!(fault(&"[".repeat(depth)), Fault::TooDeep);
        assert_eq!(fault(&"{\"a\":".repeat(depth)), Fault::TooDeep);
        let closed = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(fault(&closed), Fault::TooDeep);
    }
    let deepest = format!("{}{}", "[".repeat(64), "]".repeat(64));
    assert!(Json::parse(deepest.as_bytes()).is_ok());
}

#[test]
fn attack_32_numbers_that_readers_disagree_about() {
    assert_eq!(fault("1e400"), Fault::NotFinite);
    assert_eq!(fault("-1e99999999999999999999999"), Fault::NotFinite);
    assert_eq!(fault("1.8e308"), Fault::NotFinite);
    assert_eq!(fault("1797693134862315800000e288"), Fault::NotFinite);
    assert_eq!(fault("9007199254740993"), Fault::InexactInteger);
    assert_eq!(fault("-9007199254740992"), Fault::InexactInteger);
    assert_eq!(fault(&"9".repeat(400)), Fault::InexactInteger);
    for fine in [
        "9007199254740991",
        "-9007199254740991",
        "1.7976931348623157e308",
        "1797693134862315700e290",
        "0e999999999999999999999",
        "1e-400",
        "-0",
        "0.0",
    ] {
        assert!(Json::parse(fine.as_bytes()).is_ok(), "{fine}");
    }
}

#[test]
fn attack_32_surrogates_controls_and_marks() {
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
    ] {
        assert_eq!(fault(text), Fault::LoneSurrogate, "{text}");
    }
    assert_eq!(fault("\"a\nb\""), Fault::ControlCharacter);
    assert_eq!(fault("\u{feff}{}"), Fault::ByteOrderMark);
    assert_eq!(Json::parse(b"\"\xff\"").unwrap_err().fault, Fault::NotUtf8);
    assert_eq!(
        Json::parse(b"\"\xed\xa0\x80\"").unwrap_err().fault,
        Fault::NotUtf8
    );
}

#[test]
fn syntax_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[1",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "tru",
        "nul",
        "NaN",
        "Infinity",
        "[1 2]",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"abc",
        "'a'",
        "// c\n1",
        "{\"a\":1 \"b\":2}",
        "[,1]",
        "\u{a0}1",
    ] {
        assert!(Json::parse(text.as_bytes()).is_err(), "{text:?}");
    }
    assert_eq!(fault("{} {}"), Fault::Trailing);
    assert_eq!(fault("1\0"), Fault::Trailing);
    assert_eq!(fault("[1,"), Fault::Ended);
}

#[test]
fn errors_say_the_place() {
    let error = Json::parse(b"{\n\"a\": tru\n}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "not strict JSON: line 2, byte 7: expected a value"
    );
}

#[test]
fn size_bound_holds() {
    let mut reader = Reader::new(b"[1,2,3,4,5,6,7,8,9]").unwrap();
    assert_eq!(reader.value(0, 10).unwrap_err().fault, Fault::TooLarge(10));
}

/// What serde_json makes of it, in our type.
fn from_serde(value: &serde_json::Value) -> Json {
    match value {
        serde_json::Value::Null => Json::Null,
        serde_json::Value::Bool(value) => Json::Bool(*value),
        serde_json::Value::Number(value) => Json::Number(value.to_string()),
        serde_json::Value::String(value) => Json::Text(value.clone()),
        serde_json::Value::Array(items) => Json::Array(items.iter().map(from_serde).collect()),
        serde_json::Value::Object(members) => {
            let mut members: Vec<(String, Json)> = members
                .iter()
                .map(|(name, value)| (name.clone(), from_serde(value)))
                .collect();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            Json::Object(Members(members))
        }
    }
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = Json::parse(&bytes);
    }

    #[test]
    fn json_shaped_text_never_panics_and_accepts_no_more_than_serde(
        text in r#"[\[\]{}:,"\\ue0-9.+\-a-f truefalsn]{0,64}"#
    ) {
        if Json::parse(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn agrees_with_serde_json_on_what_it_writes(value in tree()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(Json::parse(text.as_bytes()).unwrap(), from_serde(&value));
    }
}
