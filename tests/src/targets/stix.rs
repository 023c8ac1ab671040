//! STIX documents, the patterns in them, and the values in those.

use serde_json::Value as Serde;
use watchfire_protocol::gate;
use watchfire_protocol::indicator::{self, Kind, Value, detect, normalise, pattern_of};
use watchfire_protocol::limits::{BODY_INLINE_BYTES_MAX, STIX_NAME_CHARS_MAX};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{Draft, Wish, open};
use watchfire_protocol::stix::document::{Document, Verdict};
use watchfire_protocol::stix::markings::{ObjectMarking, effective, survey};
use watchfire_protocol::stix::pattern::extract;
use watchfire_protocol::stix::strict::Json;
use watchfire_protocol::wire::bundle::{Encoding, Media};

use super::{FORGE, samples};
use crate::forge::STIX;

/// Words of JSON that a strict reader treats with care.
pub const JSON_WORDS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "{\"a\":1}",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\u0000",
    "\\/",
    "1e308",
    "1e400",
    "-0",
    "9007199254740991",
    "9007199254740993",
    "0.1e-5",
    "\u{feff}",
];

/// Words of STIX documents.
pub const STIX_WORDS: &[&str] = &[
    "\"object_marking_refs\":[\"marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1\"],",
    "\"object_marking_refs\":[\"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da\"],",
    "\"object_marking_ref\":\"marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb\",",
    "\"granular_markings\":[{\"marking_ref\":\"marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003\",\"selectors\":[\"name\"]}],",
    "\"labels\":[\"tlp:amber\"],",
    "\"object_refs\":[\"indicator--2f3a1b0c-5d6e-4f70-8a91-b2c3d4e5f601\"],",
    "\"source_ref\":\"indicator--2f3a1b0c-5d6e-4f70-8a91-b2c3d4e5f601\",",
    "\"type\":\"relationship\",",
    "\"type\":\"report\",",
    "\"type\":\"marking-definition\",",
    "\"definition_type\":\"tlp\",\"definition\":{\"tlp\":\"red\"},",
    "\"extensions\":{\"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d\":{\"tlp_2_0\":\"red\"}},",
    "\"revoked\":true,",
    "\"hashes\":{\"SHA-256\":\"aa\"},",
    "\"value\":\"c2.watch.example\",",
    "\"created_by_ref\":\"identity--2f3a1b0c-5d6e-4f70-8a91-b2c3d4e5f602\",",
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
];

/// Words of patterns (STIX 2.1, section 9).
pub const PATTERN_WORDS: &[&str] = &[
    "[domain-name:value = 'a.example']",
    "[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:dst_port = 80]",
    "file:hashes.'SHA-256'",
    " AND ",
    " OR ",
    " FOLLOWEDBY ",
    " NOT ",
    " IN ",
    " LIKE ",
    " MATCHES ",
    " ISSUBSET ",
    " ISSUPERSET ",
    " EXISTS ",
    "ipv4-addr:value",
    "ipv6-addr:value",
    "url:value = '",
    "h'00ff'",
    "b'AA=='",
    "t'2026-01-01T00:00:00Z'",
    "REPEATS 5 TIMES",
    "WITHIN 10 SECONDS",
    "START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
    "/* remark */",
    "// remark\n",
    "\\'",
    "('",
    "')",
    "[*]",
    "[0]",
    "!=",
];

/// What values are written with, live and defanged.
pub const VALUE_WORDS: &[&str] = &[
    "hxxp://",
    "hxxps[:]//",
    "https://",
    "ftp://",
    "wss://",
    "[.]",
    "(dot)",
    "[at]",
    "{.}",
    "[:]",
    "[.example",
    ".example",
    "xn--",
    "192.0.2.1",
    "2001:db8::1",
    "::ffff:192.0.2.1",
    "/24",
    ":8080",
    ":65536",
    "%2e",
    "%00",
    "\u{3002}",
    "\u{200b}",
    "\u{ad}",
    "é",
    "ß",
    "0x7f.1",
    "0177.0.0.1",
    "user:pass@",
    "\\\\host@80\\share",
    "SHA1: ",
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
];

/// JSON for the strict reader: what it takes, an ordinary reader takes too, and
/// both see the same.
///
/// # Panics
/// When they do not.
pub fn fuzz_json(bytes: &[u8]) {
    let Ok(json) = Json::parse(bytes) else {
        return;
    };
    let other: Serde = serde_json::from_slice(bytes).expect("strict JSON is JSON");
    let mut pairs = vec![(&json, &other)];
    while let Some((own, other)) = pairs.pop() {
        match (own, other) {
            (Json::Null, Serde::Null) | (Json::Number(_), Serde::Number(_)) => {}
            (Json::Bool(own), Serde::Bool(other)) => assert_eq!(own, other),
            (Json::Text(own), Serde::String(other)) => assert_eq!(own, other),
            (Json::Array(own), Serde::Array(other)) => {
                assert_eq!(own.len(), other.len());
                pairs.extend(own.iter().zip(other));
            }
            (Json::Object(own), Serde::Object(other)) => {
                assert_eq!(own.len(), other.len());
                for (name, value) in own.iter() {
                    pairs.push((value, &other[name]));
                }
            }
            (own, other) => panic!("{own} here and {other} there"),
        }
    }
}

/// A document: its markings are never looser than an independent reading of the
/// object alone and of what refers to it, its entries stand where they say, and
/// what can be published opens again as the same.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_stix(bytes: &[u8]) {
    let Ok(document) = Document::read(bytes) else {
        return;
    };
    let survey = survey(&document);
    assert_eq!(survey.markings().len(), document.verdicts().len());
    let mut seen = Vec::new();
    for (verdict, marking) in document.verdicts().iter().zip(survey.markings()) {
        let Verdict::Accepted(object) = verdict else {
            continue;
        };
        let json = document.json_of(object).unwrap();
        assert_eq!(json.text("id"), Some(object.id.as_str()));
        assert_eq!(json.text("type"), Some(object.kind.as_str()));
        let alone = Document::read(document.bytes_of(object));
        // Outermost, such a list would be a container's.
        if json.get("objects").and_then(Json::as_array).is_some() {
            assert!(alone.is_err(), "{json} is one object and a container");
        } else {
            assert_eq!(alone.unwrap().accepted().count(), 1);
        }
        let other: Serde = serde_json::from_slice(document.bytes_of(object)).unwrap();
        seen.push((object.id.as_str(), Reading::of(&other), level(marking)));
    }
    for (id, reading, found) in &seen {
        assert!(
            *found >= reading.level,
            "{id} is marked {found}, and says {} of itself",
            reading.level
        );
        for (other, about, level) in &seen {
            if !reading.refs.iter().any(|reference| reference == other) {
                continue;
            }
            assert!(
                *level >= reading.level,
                "{id} says {} and refers to {other}, marked {level}",
                reading.level
            );
            assert!(
                !reading.speaks_about || *found >= about.level,
                "{id} speaks about {other}, which says {}, and is marked {found}",
                about.level
            );
        }
    }
    let strictest = seen.iter().map(|(_, _, level)| *level).max().unwrap_or(0);
    effective_holds(&document, strictest);
    if let Ok(entries) = document.entries(&survey) {
        assert_eq!(entries.len(), document.accepted().count());
        for (entry, object) in entries.iter().zip(document.accepted()) {
            assert_eq!(entry.id, object.id);
            assert_eq!(
                (entry.offset, u64::from(entry.len)),
                (
                    u64::try_from(object.range.start).unwrap(),
                    u64::try_from(object.range.len()).unwrap()
                )
            );
            assert!(entry.keys.is_sorted_by(|before, after| before < after));
            assert!(entry.name.chars().count() <= STIX_NAME_CHARS_MAX);
            assert!(!entry.name.chars().any(char::is_control));
        }
    }
    if bytes.len() <= BODY_INLINE_BYTES_MAX {
        published_opens(bytes);
    }
}

/// Strictness of a marking: 0 for none, above every label for what closes.
fn level(marking: &ObjectMarking) -> usize {
    match marking {
        ObjectMarking::Unmarked => 0,
        ObjectMarking::Marked(marking) => level_of(*marking),
        ObjectMarking::Closed(_) => Marking::ALL.len() + 1,
    }
}

fn level_of(marking: Marking) -> usize {
    1 + Marking::ALL
        .iter()
        .position(|label| *label == marking)
        .unwrap()
}

fn effective_holds(document: &Document<'_>, strictest: usize) {
    let plain = effective(document, None);
    if let Ok(marking) = plain {
        assert!(level_of(marking) >= strictest);
        assert_eq!(effective(document, Some(marking)), Ok(marking));
    }
    for flag in Marking::ALL {
        if let Ok(marking) = effective(document, Some(flag)) {
            assert_eq!(marking, flag);
            assert!(level_of(flag) >= strictest, "{flag} for level {strictest}");
        }
    }
}

/// What one object says, read a second way.
struct Reading {
    level: usize,
    refs: Vec<String>,
    speaks_about: bool,
}

/// Ids of TLP 1.0 and 2.0 (STIX 2.1, section 7.2.1.4, and the TLP 2.0
/// extension), by their first digits, with their level.
const TLP: [(&str, usize); 9] = [
    ("94868c89-", 1),
    ("613f2e26-", 1),
    ("bab4a63c-", 2),
    ("34098fce-", 2),
    ("55d920b0-", 3),
    ("f88d31f6-", 3),
    ("939a9414-", 4),
    ("e828b379-", 5),
    ("5e57c739-", 5),
];

impl Reading {
    fn of(object: &Serde) -> Self {
        let kind = object["type"].as_str().unwrap_or_default();
        let speaking = [
            "language-content",
            "note",
            "opinion",
            "relationship",
            "sighting",
        ];
        let mut reading = Self {
            level: 0,
            refs: Vec::new(),
            speaks_about: speaking.contains(&kind),
        };
        reading.walk(object);
        reading
    }

    fn walk(&mut self, value: &Serde) {
        match value {
            Serde::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Serde::Object(members) => {
                for (name, value) in members {
                    match name.as_str() {
                        "object_marking_refs" => self.marked(value.as_array()),
                        "granular_markings" => {
                            for item in value.as_array().into_iter().flatten() {
                                self.mark(&item["marking_ref"]);
                            }
                        }
                        "object_marking_ref" => self.mark(value),
                        "created_by_ref" | "marking_ref" => {}
                        _ if name.ends_with("_ref") => {
                            self.refs.extend(value.as_str().map(str::to_owned));
                        }
                        _ if name.ends_with("_refs") => {
                            let items = value.as_array().into_iter().flatten();
                            self.refs
                                .extend(items.filter_map(Serde::as_str).map(str::to_owned));
                        }
                        _ => {}
                    }
                    self.walk(value);
                }
            }
            Serde::Null | Serde::Bool(_) | Serde::Number(_) | Serde::String(_) => {}
        }
    }

    fn marked(&mut self, items: Option<&Vec<Serde>>) {
        items.into_iter().flatten().for_each(|item| self.mark(item));
    }

    fn mark(&mut self, id: &Serde) {
        let digits = id
            .as_str()
            .and_then(|id| id.strip_prefix("marking-definition--"))
            .unwrap_or_default();
        if digits.len() == 36
            && let Some((_, level)) = TLP.iter().find(|(start, _)| digits.starts_with(start))
        {
            self.level = self.level.max(*level);
        }
    }
}

/// What may be published in clear comes through the gate, and opens as the
/// objects and values that its author saw.
fn published_opens(stix: &[u8]) {
    let wish = Wish {
        flag: None,
        valid_ms: 3_600_000,
        exercise: false,
        permissible_actions: None,
        supersedes: None,
    };
    let Ok(draft) = Draft::prepare(stix.to_vec(), None, wish) else {
        return;
    };
    if draft.marking() != Marking::Clear {
        return;
    }
    let bundle = FORGE.bundle(0, Encoding::Identity, &[(Media::Stix, stix)]);
    let frame = FORGE.sign(0, &FORGE.open_bundle(0, &bundle, stix));
    let frame = gate::check(&frame, &FORGE.roster).expect("it was made as it should be");
    let opened = open(frame.value(), None).expect("what its author could read, others can");
    assert!(opened == *draft.opened());
}

/// Documents: those of the vectors, and graphs with markings.
pub fn documents() -> Vec<Vec<u8>> {
    let id = "2f3a1b0c-5d6e-4f70-8a91-b2c3d4e5f6";
    let red = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1";
    let green = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da";
    let when = r#""created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z""#;
    let graph = format!(
        r#"{{"type":"bundle","id":"bundle--{id}00","objects":[
{{"type":"report","spec_version":"2.1","id":"report--{id}02",{when},"name":"r","object_refs":["indicator--{id}01","malware--{id}03"],"object_marking_refs":["{green}"]}},
{{"type":"indicator","spec_version":"2.1","id":"indicator--{id}01",{when},"pattern":"[file:hashes.'SHA-256' = '{digest}' OR url:value = 'http://a.example/']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"}},
{{"type":"malware","spec_version":"2.1","id":"malware--{id}03",{when},"name":"m","is_family":false,"created_by_ref":"identity--{id}04","granular_markings":[{{"marking_ref":"{red}","selectors":["name"]}}]}},
{{"type":"relationship","spec_version":"2.1","id":"relationship--{id}05",{when},"relationship_type":"indicates","source_ref":"indicator--{id}01","target_ref":"malware--{id}03"}},
{{"type":"identity","spec_version":"2.1","id":"identity--{id}04",{when},"name":"Example Agency"}},
{{"type":"domain-name","id":"domain-name--{id}06","value":"b.example"}},
{{"type":"marking-definition","spec_version":"2.1","id":"{red}","created":"2022-10-01T00:00:00.000Z","name":"TLP:RED","extensions":{{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{{"extension_type":"property-extension","tlp_2_0":"red"}}}}}}
]}}"#,
        digest = "ab".repeat(32),
    );
    let single = format!(
        r#"{{"type":"note","id":"note--{id}07",{when},"content":"\ud83d\ude00","x":[1,-0.5e3,9007199254740991,null,true],"object_marking_refs":["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"],"object_refs":["note--{id}07"]}}"#
    );
    let envelope = format!(r#"{{"more":false,"objects":[{single}]}}"#);
    let array = format!("[{single},{single}]");
    let both = array.replace(r#""x":"#, r#""objects":"#);
    let mut all: Vec<Vec<u8>> = [STIX, &graph, &single, &envelope, &array, &both]
        .map(|text| text.as_bytes().to_vec())
        .into();
    all.extend(samples::vectors(&["opening"], "payload"));
    all
}

/// A pattern: what is taken of it can be written as a pattern of its own, from
/// which the same is taken.
///
/// # Panics
/// When it is not.
pub fn fuzz_pattern(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(found) = extract(&text) else {
        return;
    };
    assert_eq!(extract(&text).as_ref(), Ok(&found));
    assert!(!found.is_single_equality() || found.comparisons == 1);
    for value in &found.values {
        of_its_own_pattern(value);
    }
}

/// The pattern that is written for a value gives that value and nothing else.
pub(super) fn of_its_own_pattern(value: &Value) {
    let pattern = pattern_of(value);
    let again = extract(&pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    assert_eq!(again.values, std::slice::from_ref(value), "{pattern}");
    assert_eq!(again.not_indexed, [], "{pattern}");
}

/// Patterns with something of everything.
pub fn patterns() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "[domain-name:value = 'c2.watch.example']",
        "[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e' OR file:hashes.'SHA-1' = 'da39a3ee5e6b4b0d3255bfef95601890afd80709']",
        "[ipv4-addr:value ISSUBSET '192.0.2.0/24' AND ipv4-addr:value != '192.0.2.1']",
        "[network-traffic:dst_ref.value = 'a.example' AND network-traffic:dst_port = 443]",
        "([url:value LIKE 'http://%.example/\\'x'] FOLLOWEDBY [email-addr:value IN ('a@b.example', 'c@d.example')]) WITHIN 600 SECONDS",
        "[ipv6-addr:value = '2001:db8::1'] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
        "[NOT (process:command_line MATCHES '^a\\\\.exe$' AND EXISTS process:pid) OR file:name = h'00ff' OR x:y[*].z = b'AA==']",
        "[file:size > 12.5e3 AND file:extensions.'windows-pebinary-ext'.sections[0].entropy <= -1 AND a:b = true] REPEATS 5 TIMES",
        "[domain-name:value = 'a.example' /* remark */ AND // another\n email-addr:value = 'x@y.example']",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    all.extend(
        PATTERN_WORDS
            .iter()
            .map(|word| format!("[{word}]").into_bytes()),
    );
    all
}

/// A value as somebody wrote it: normalising it again changes nothing, in its
/// own form and defanged, and it is found by the keys it is filed under.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_value(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (indicator::refang(&text), indicator::is_defanged(&text));
    if let Ok(value) = detect(&text) {
        reads_back(&value);
        assert_eq!(detect(&value.to_string()).as_ref(), Ok(&value));
        assert_eq!(detect(&value.defanged()).as_ref(), Ok(&value));
    }
    for kind in Kind::ALL {
        if let Ok(value) = normalise(kind, &text) {
            reads_back(&value);
        }
    }
}

fn reads_back(value: &Value) {
    let again = normalise(value.kind(), &value.to_string());
    assert_eq!(again.as_ref(), Ok(value), "{value}");
    let shown = value.defanged();
    assert_eq!(
        normalise(value.kind(), &shown).as_ref(),
        Ok(value),
        "{shown}"
    );
    let key = value.index_key();
    assert!(!key.is_empty());
    assert!(value.index_keys().contains(&key));
    assert!(
        value
            .search_prefixes()
            .iter()
            .any(|prefix| key.starts_with(prefix)),
        "{value} is not found by itself"
    );
    let _ = (value.is_private(), value.has_known_suffix(), value.host());
    of_its_own_pattern(value);
}

/// Values of every kind, live and defanged.
pub fn values() -> Vec<Vec<u8>> {
    [
        "c2.watch.example",
        "hxxps[:]//user:pw@evil[.]example:8443/a/b?c=d#e",
        "192.0.2.17:8080",
        "198.51.100.0/24",
        "2001:db8::/32",
        "[2001:db8::1]:443",
        "::ffff:192.0.2.1",
        "someone[at]mail[.]example",
        "d41d8cd98f00b204e9800998ecf8427e",
        "SHA1: da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "bücher.example",
        "xn--bcher-kva.example",
        "evil.example/path",
        "http://0x7f.1/",
        "http://[2001:db8::1]/%2e%2e/x",
        "wss://evil。example/",
        "_dmarc.evil.example.",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
