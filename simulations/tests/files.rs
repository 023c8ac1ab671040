//! Scenario files: what is taken, what is refused and with which words; and
//! that the published JSON Schema says the same as the parser.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use watchfire_simulations::file::{Complaint, ScenarioFile, schema};

const SMALLEST: &str = "why = \"x\"\nmembers = 3\nseeds = [1]\nduration = \"5s\"\n";

/// The one complaint about a file.
fn one(text: &str) -> Complaint {
    let complaints = ScenarioFile::parse("x", text).unwrap_err().complaints;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints[0].clone()
}

/// The one complaint about the smallest file with this added.
fn added(text: &str) -> (usize, String) {
    let complaint = one(&format!("{SMALLEST}{text}"));
    (complaint.line, complaint.what)
}

#[test]
fn the_smallest_file_is_a_calm_federation() {
    let file = ScenarioFile::parse("x", SMALLEST).unwrap();
    assert_eq!((file.why.as_str(), file.seeds.as_slice()), ("x", &[1][..]));
    let scenario = file.scenario(9);
    assert_eq!(
        (scenario.seed, scenario.members, scenario.faults_ms),
        (9, 3, 5_000)
    );
    assert!(scenario.outsider.is_none() && scenario.hostile.is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
    let (line, what) = added("[network]\nlatencies = [\"1ms\", \"2ms\"]\n");
    assert_eq!(line, 6);
    assert_eq!(
        what,
        "[network] has no key \"latencies\"; did you mean \"latency\"?"
    );
    let (line, what) = added("[adversry]\n");
    assert_eq!(
        (line, what.as_str()),
        (
            5,
            "the file has no key \"adversry\"; did you mean \"adversary\"?"
        )
    );
    let (_, what) = added("loss = \"5%\"\n");
    assert!(what.ends_with("it belongs into [network]"), "{what}");
    let (_, what) = added("[swarm]\ncolour = 1\n");
    assert!(
        what.ends_with("it has partitions, partition, crashes, crashes_publishing, down, loss_max"),
        "{what}"
    );
}

#[test]
fn every_complaint_is_told_at_once() {
    let text = "members = 3\nseeds = []\nduration = \"5 s\"\nfoo = 1\n[network]\nloss = 5\n";
    let complaints = ScenarioFile::parse("x", text).unwrap_err().complaints;
    let lines: Vec<usize> = complaints.iter().map(|complaint| complaint.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 6], "{complaints:?}");
    assert!(
        complaints[0].what.starts_with("why is missing"),
        "{complaints:?}"
    );
    assert!(complaints[2].what.contains("\"15s\""), "{complaints:?}");
}

#[test]
fn a_reason_is_required_and_a_blank_one_is_none() {
    let text = SMALLEST.replace("\"x\"", "\"  \"");
    let complaint = one(&text);
    assert_eq!(complaint.line, 1);
    assert!(
        complaint.what.contains("a text that is not blank"),
        "{complaint:?}"
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (text, words) in [
        (
            "[[partition]]\nfrom = \"9s\"\nuntil = \"9s\"\nside = [0]\n",
            "until is not after from",
        ),
        (
            "[[partition]]\nfrom = \"1s\"\nuntil = \"9s\"\nside = [3]\n",
            "there is no host 3",
        ),
        (
            "[[crash]]\nat = \"1s\"\ndown = \"1s\"\nhost = 7\n",
            "there is no host 7",
        ),
        ("[swarm]\ncrashes = [1, 2]\n", "crashes needs down"),
        ("[network]\nup_every = \"1h\"\n", "need each other"),
        ("[network]\nup_every = \"1h\"\nup_for = \"1h\"\n", "shorter"),
        (
            "[network]\nlatency = [\"9ms\", \"5ms\"]\n",
            "the shorter first",
        ),
        (
            "[[adversary]]\nhabit = \"flood\"\n",
            "either hosts or count",
        ),
        (
            "[[adversary]]\nhabit = \"flood\"\nhosts = [0]\ncount = 1\n",
            "either hosts or count",
        ),
        (
            "[[adversary]]\nhabit = \"flood\"\ncount = 2\n",
            "two members at least",
        ),
        (
            "[[adversary]]\nhabit = \"outsider\"\nhosts = [0]\n",
            "no host",
        ),
        (
            "[[adversary]]\nhabit = \"rude\"\nhosts = [0]\n",
            "one of \"flood\"",
        ),
        (
            "[[adversary]]\nhabit = \"flood\"\nhosts = [0]\nevery = \"1s\"\n",
            "need each other",
        ),
        ("[[network]]\n", "must be written [network]"),
        ("[crash]\n", "must be written [[crash]]"),
        ("why = \"again\"\n", "not TOML"),
    ] {
        let error = ScenarioFile::parse("x", &format!("{SMALLEST}{text}")).unwrap_err();
        let told = error
            .complaints
            .iter()
            .any(|told| told.what.contains(words));
        assert!(told, "{text}: {error}");
    }
}

#[test]
fn counted_adversaries_take_the_highest_free_hosts() {
    let text = SMALLEST.replace("members = 3", "members = 8")
        + "[[adversary]]\nhabit = \"flood\"\nhosts = [6]\n[[adversary]]\nhabit = \"replay\"\ncount = 2\n";
    let scenario = ScenarioFile::parse("x", &text).unwrap().scenario(1);
    let hosts: Vec<usize> = scenario
        .hostile
        .iter()
        .map(|hostile| hostile.host)
        .collect();
    assert_eq!(hosts, [6, 7, 5]);
}

#[test]
fn the_published_schema_is_the_one_the_parser_is_made_of() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenario.schema.json");
    let published: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(
        published,
        schema(),
        "to write it anew: watchfire-sim schema > simulations/scenario.schema.json"
    );
}

/// Keys that are refused without another one, and what that is.
const COMPANY: [(&str, &str); 12] = [
    ("propose.at", "expel = [5]"),
    ("propose.by", "expel = [5]"),
    ("network.up_every", "up_for = \"3m\""),
    ("network.up_for", "up_every = \"1h\""),
    ("swarm.partitions", "partition = [\"1s\", \"2s\"]"),
    ("swarm.crashes", "down = [\"1s\", \"2s\"]"),
    ("swarm.crashes_publishing", "down = [\"1s\", \"2s\"]"),
    ("adversary.habit", "hosts = [1]"),
    ("adversary.from", "hosts = [1]"),
    ("adversary.until", "hosts = [1]"),
    ("adversary.every", "lasts = \"2m\"\nhosts = [1]"),
    ("adversary.lasts", "every = \"1d\"\nhosts = [1]"),
];

/// A file of this section with its required keys and, in addition, this line.
fn document(section: &str, repeated: bool, schema: &Value, key: &str, line: &str) -> String {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    let of = |schema: &Value| -> BTreeMap<String, String> {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        required
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .map(|name| {
                let example = &schema["properties"][&name]["examples"][0];
                (name.clone(), format!("{name} = {example}"))
            })
            .collect()
    };
    let mut root: BTreeMap<String, String> = of(&watchfire_simulations::file::schema());
    if key == "admit" {
        // Who enters is no founder.
        root.insert("founders".to_owned(), "founders = 6".to_owned());
    }
    if section.is_empty() {
        root.insert(key.to_owned(), line.to_owned());
    } else {
        lines.extend(of(schema));
        lines.insert(key.to_owned(), line.to_owned());
        let company = COMPANY
            .iter()
            .find(|(name, _)| *name == format!("{section}.{key}"));
        lines.insert(
            "~".to_owned(),
            company.map_or("", |(_, line)| line).to_owned(),
        );
    }
    let join = |lines: BTreeMap<String, String>| lines.into_values().collect::<Vec<_>>().join("\n");
    let head = match (section, repeated) {
        ("", _) => String::new(),
        (_, true) => format!("[[{section}]]"),
        (_, false) => format!("[{section}]"),
    };
    format!("{}\n{head}\n{}\n", join(root), join(lines))
}

/// For each key of the published schema: its example is taken; misspelled, or
/// with a value of a wrong type or beyond its bounds, it is refused; and a
/// file without a required one is.
#[test]
fn the_schema_and_the_parser_agree_on_every_key() {
    let schema = schema();
    let mut tables = vec![(String::new(), false, schema.clone())];
    for (name, value) in schema["properties"].as_object().unwrap() {
        if value["type"] == "array" && value["items"]["type"] == "object" {
            tables.push((name.clone(), true, value["items"].clone()));
        } else if value["type"] == "object" {
            tables.push((name.clone(), false, value.clone()));
        }
    }
    assert_eq!(tables.len(), 15);
    let mut keys = 0;
    for (section, repeated, table) in &tables {
        assert_eq!(table["additionalProperties"], false, "{section}");
        for (key, property) in table["properties"].as_object().unwrap() {
            let inner = tables.iter().any(|(name, ..)| name == key);
            if section.is_empty() && inner {
                continue;
            }
            keys += 1;
            let parse = |line: String| {
                ScenarioFile::parse("x", &document(section, *repeated, table, key, &line))
            };
            let example = &property["examples"][0];
            assert!(!example.is_null(), "{section}.{key} has no example");
            parse(format!("{key} = {example}"))
                .unwrap_or_else(|why| panic!("{section}.{key}: {why}"));
            parse(format!("{key}{key} = {example}")).unwrap_err();
            for wrong in ["[[]]", "{}", "\"\"", "1979-05-27", "-1"] {
                parse(format!("{key} = {wrong}")).unwrap_err();
            }
            if let Some(most) = property["maximum"]
                .as_u64()
                .filter(|most| *most < i64::MAX as u64)
            {
                parse(format!("{key} = {}", most + 1)).unwrap_err();
            }
        }
        for key in table["required"].as_array().into_iter().flatten() {
            let key = key.as_str().unwrap();
            let error = ScenarioFile::parse("x", &document(section, *repeated, table, key, ""))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(&format!("{key} is missing")),
                "{section}.{key}: {error}"
            );
        }
    }
    assert!(keys > 50, "{keys}");
}
