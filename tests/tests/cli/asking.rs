//! What is asked of a node and how its answers are shown. The node here is
//! invented: it hears one request and gives the answer of the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::world::{Said, World};

/// What the node heard: the request, and the payload after it.
type Heard = (Value, Vec<u8>);

/// A node of member `at` that gives each connection one answer, `null` for
/// none, and keeps what it heard.
fn node(world: &World, answers: Vec<Value>) -> JoinHandle<Vec<Heard>> {
    let listener = UnixListener::bind(world.path("at/control.sock")).unwrap();
    thread::spawn(move || {
        let mut heard = Vec::new();
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        for answer in answers {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let request: Value = serde_json::from_str(&line).unwrap();
            let length = request["body_bytes"].as_u64().unwrap();
            let mut body = vec![0; usize::try_from(length).unwrap()];
            reader.read_exact(&mut body).unwrap();
            if let Value::Object(mut answer) = answer {
                answer.insert("id".to_owned(), request["id"].clone());
                writeln!(writer, "{}", Value::Object(answer)).unwrap();
            }
            heard.push((request, body));
        }
        // Until the other side is done.
        let _ = reader.read(&mut [0; 1]);
        heard
    })
}

fn ask(answer: Value, args: &[&str]) -> (Said, Heard) {
    let world = World::new();
    let node = node(&world, vec![answer]);
    let said = world.at(args);
    (said, node.join().unwrap().remove(0))
}

fn hit() -> Value {
    json!({
        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "type": "indicator",
        "name": "evil.example\tand \u{1b}[2Jmore",
        "marking": "TLP:CLEAR",
        "author": "de-cert",
        "bundle": "ab",
        "modified": null,
        "received": "2026-11-23T02:00:00.000Z",
        "valid_until": "2027-11-23T02:00:00.000Z",
        "superseded": false,
        "exercise": true,
    })
}

fn failure(code: u8) -> Value {
    json!({"error": {"exit_code": code, "message": "it is so", "hint": "do that"}})
}

#[test]
fn hits_are_lines_for_programs_raw_and_harmless() {
    let found = json!({"ok": {"found": {"hits": [hit()], "truncated": true}}});
    let (said, (request, _)) = ask(
        found.clone(),
        &["search", "evil[.]example", "--subdomains", "--limit", "1"],
    );
    assert_eq!(
        request["op"],
        json!({"search": {"query": "evil[.]example", "subdomains": true, "limit": 1}})
    );
    let said = said.ends(0);
    assert_eq!(
        said.out,
        "evil.example\\u{9}and \\u{1b}[2Jmore\tindicator\tTLP:CLEAR\tde-cert\t2026-11-23T02:00:00.000Z\t\
         2027-11-23T02:00:00.000Z\tindicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f\tab\texercise\n"
    );
    said.err_has("note: the first 1 hits; there may be more, raise --limit");
    let (said, _) = ask(found, &["search", "evil.example", "--json"]);
    assert_eq!(
        said.ends(0).data("watchfire.search/1")["hits"][0]["name"],
        hit()["name"]
    );
}

#[test]
fn what_is_not_found_ends_with_14() {
    let empty = json!({"ok": {"found": {"hits": [], "truncated": false}}});
    let (said, _) = ask(empty.clone(), &["search", "evil.example"]);
    let said = said.ends(14);
    said.err_has("nothing found for evil.example");
    assert_eq!(said.out, "");
    let (said, _) = ask(empty, &["search", "evil.example", "--json"]);
    let said = said.ends(14);
    assert_eq!(said.data("watchfire.search/1")["hits"], json!([]));
    said.error();
    let damaged = json!({"ok": {"found": {"hits": [], "truncated": false, "incomplete": 2}}});
    let (said, _) = ask(damaged, &["search", "evil.example"]);
    said.ends(14)
        .err_has("note: incomplete: of 2 bundles a part cannot be found");
    let (said, (request, _)) = ask(failure(14), &["show", "x"]);
    assert_eq!(request["op"], json!({"show": {"id": "x"}}));
    assert_eq!(
        said.ends(14).err,
        "watchfire: error: it is so\nwatchfire: hint: do that\n"
    );
}

#[test]
fn an_object_is_shown_and_its_bytes_are_exact() {
    let stix = "{ \"type\":\"indicator\",\r\n \"name\":\"evil.example\" }";
    let shown = json!({"ok": {"shown": {
        "bundle": {
            "id": "ab", "envelope": "cd", "author": "de-cert", "marking": "TLP:CLEAR", "sequence": 7,
            "created": "c", "valid_until": "v", "received": "r", "state": "searchable",
            "objects": 3, "values": 2, "not_indexed": 0, "exercise": false,
        },
        "hit": hit(),
        "stix": stix,
    }}});
    let (said, _) = ask(shown.clone(), &["show", "x", "--stix"]);
    assert_eq!(
        said.ends(0).out,
        stix,
        "byte for byte, without a line end of ours"
    );
    let (said, _) = ask(shown.clone(), &["show", "x"]);
    let said = said.ends(0);
    assert_eq!(
        (said.field("author"), said.field("sequence")),
        ("de-cert", "7")
    );
    let (said, _) = ask(shown, &["show", "x", "--json"]);
    assert_eq!(said.ends(0).data("watchfire.show/1")["stix"], stix);
}

#[test]
fn every_rule_that_was_asked_is_a_line() {
    let explained = json!({"ok": {"explained": {
        "id": "x", "marking": "TLP:CLEAR", "author": "de-cert", "to": "public", "subject": "anyone",
        "actions": [{
            "action": "read", "allowed": false, "rule": "expired", "about": "it is past its time",
            "steps": [
                {"rule": "known", "asks": "is it known", "verdict": "passed"},
                {"rule": "expired", "asks": "is it past its time", "verdict": "denied"},
            ],
        }],
    }}});
    let (said, (request, _)) = ask(explained, &["explain", "x", "--to", "public"]);
    assert_eq!(
        request["op"],
        json!({"explain": {"id": "x", "to": "public"}})
    );
    assert_eq!(
        said.ends(0).out,
        "read\tdenied\texpired\tknown\tpassed\tis it known\n\
         read\tdenied\texpired\texpired\tdenied\tis it past its time\n"
    );
}

#[test]
fn what_is_held_back_is_a_line_each_and_accepted_with_a_reason() {
    let held = json!({
        "envelope": "e0".repeat(32),
        "author": "xk-cert",
        "node": "ab".repeat(32),
        "incarnation": 1,
        "stream": "00".repeat(16),
        "sequence": 7,
        "reasons": ["revoked", "suspended"],
        "since": "2026-11-23T02:00:00.000Z",
    });
    let list = json!({"ok": {"quarantined": {"held": [held], "truncated": true}}});
    let args = ["quarantine", "list", "--of", "xk-cert", "--limit", "1"];
    let (said, (request, _)) = ask(list.clone(), &args);
    assert_eq!(
        request["op"],
        json!({"quarantined": {"of": "xk-cert", "limit": 1}})
    );
    let said = said.ends(0);
    let line = [
        "xk-cert",
        &"ab".repeat(32),
        "1",
        &"00".repeat(16),
        "7",
        "revoked,suspended",
        "2026-11-23T02:00:00.000Z",
        &"e0".repeat(32),
    ];
    assert_eq!(said.out, format!("{}\n", line.join("\t")));
    said.err_has("note: the first 1; there are more");
    let (said, _) = ask(list, &["quarantine", "list", "--json"]);
    let data = said.ends(0).data("watchfire.quarantine-list/1");
    assert_eq!(data["held"], json!([held]));

    let accepted = json!({"ok": {"accepted": {"envelopes": 2, "more": true}}});
    let args = [
        "quarantine",
        "accept",
        "--of",
        "xk-cert",
        "--up-to",
        "9",
        "--reason",
        "by telephone",
    ];
    let (said, (request, _)) = ask(accepted, &args);
    let wanted = json!({"envelope": null, "of": "xk-cert", "up_to": 9, "reason": "by telephone"});
    assert_eq!(request["op"], json!({ "accept": wanted }));
    let said = said.ends(0);
    assert_eq!(said.out, "accepted 2 envelopes\n");
    said.err_has("accept again");
    // What nobody asked a node.
    for args in [
        &["quarantine", "accept", "--reason", "so"][..],
        &["quarantine", "accept", "--of", "xk-cert"],
        &[
            "quarantine",
            "accept",
            "ab",
            "--of",
            "xk-cert",
            "--reason",
            "so",
        ],
        &[
            "quarantine",
            "accept",
            "ab",
            "--up-to",
            "9",
            "--reason",
            "so",
        ],
    ] {
        World::new().at(args).ends(2);
    }
}

#[test]
fn status_names_peers_and_what_was_refused() {
    let status = json!({"ok": {"status": {
        "slug": "at-cert", "role": "agency", "federation": "EU exercise", "federation_id": "ab",
        "uptime_ms": 3_661_000, "envelopes": 5, "waiting": 1, "pulls": 0,
        "peers": [
            {"slug": "de-cert", "role": "hub", "state": "connected"},
            {"slug": "fr-cert", "role": "agency", "state": "away"},
        ],
        "certificate_until": "c", "listening": ["/ip4/127.0.0.1/tcp/1"],
        "counters": {"bad_signature": 2, "late": 0},
    }}});
    let (said, (request, _)) = ask(status, &["status"]);
    assert_eq!(request["op"], "status");
    let said = said.ends(0);
    assert_eq!(said.field("up for"), "1 h 1 min");
    assert_eq!(said.field("peers"), "1 of 2 connected");
    said.out_has("peer\tfr-cert\tagency\taway\n")
        .out_has("counter\tbad_signature\t2\n");
    assert!(
        !said.out.contains("late"),
        "what did not happen needs no line"
    );
}

#[test]
fn status_says_that_the_clock_jumped_and_who_withholds() {
    let status = json!({"ok": {"status": {
        "slug": "at-cert", "role": "agency", "federation": "EU exercise", "federation_id": "ab",
        "uptime_ms": 1, "envelopes": 5, "waiting": 1, "pulls": 0, "peers": [],
        "certificate_until": "c", "listening": [], "counters": {},
        "clock_jump_ms": -7_200_000,
        "withholding": [{
            "member": "fr-cert", "node": "cd", "stream": "public", "sequence": 12, "served": 7,
        }],
    }}});
    let (said, _) = ask(status, &["status"]);
    let said = said.ends(0);
    assert!(
        said.field("clock")
            .starts_with("the clock jumped by 2 h 0 min back: ")
    );
    assert_eq!(
        said.field("withholding"),
        "fr-cert: its public stream goes to 12 by its own word, and it serves 7"
    );
}

#[test]
fn publishing_sends_the_bytes_and_the_wish() {
    let world = World::new();
    let published = json!({"ok": {"published": {
        "bundle": "ab", "envelope": "cd", "sequence": 9, "marking": "TLP:CLEAR",
        "objects": 4, "values": 3, "not_indexed": 1,
    }}});
    let stix = "{\"type\":\"bundle\",\"id\":\"bundle--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f\",\"objects\":[ \
        {\"type\":\"domain-name\",\"spec_version\":\"2.1\",\"id\":\"domain-name--8e2e2d2b-17d4-5cbf-938f-98ee46b3cd3f\",\"value\":\"evil.example\"}]}";
    world.write("a.json", stix);
    world.write("b.txt", "evil.example\n10.0.0.5\n");
    let node = node(&world, vec![published, failure(13)]);
    let said = world.at(&[
        "publish",
        "a.json",
        "b.txt",
        "--tlp",
        "clear",
        "--valid",
        "2",
        "--exercise",
        "--pap",
        "amber",
        "--label",
        "phishing",
        "--name",
        "CERT Example",
    ]);
    let said = said.ends(3);
    said.out_has("published\ta.json\tab\tcd\t9\tTLP:CLEAR\t4\t3\t1\n")
        .err_has("note: b.txt: it is so")
        .err_has("of 2 files, 1 file was not published")
        .err_has("hint: do that");
    let heard = node.join().unwrap();
    let (request, body) = &heard[0];
    assert_eq!(
        request["op"]["publish"],
        json!({"tlp": "TLP:CLEAR", "valid_hours": 48, "exercise": true, "pap": "amber", "supersedes": null})
    );
    assert_eq!(body, stix.as_bytes(), "STIX travels byte for byte");
    let made: Value = serde_json::from_slice(&heard[1].1).unwrap();
    let indicators: Vec<&Value> = made["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| object["type"] == "indicator")
        .collect();
    assert_eq!(indicators.len(), 1);
    assert_eq!(indicators[0]["labels"], json!(["phishing"]));
}

/// STIX 2.1, section 3.6: `created` is that of the first version, for ever.
#[test]
fn what_is_published_again_is_a_later_version_of_the_same() {
    let world = World::new();
    world.write("b.txt", "evil.example\n");
    let versions = [(), ()].map(|()| {
        let node = node(&world, vec![failure(13)]);
        world
            .at(&["publish", "b.txt", "--tlp", "clear"])
            .ends(13)
            .err_has("it is so");
        std::fs::remove_file(world.path("at/control.sock")).unwrap();
        let body = node.join().unwrap().remove(0).1;
        let made: Value = serde_json::from_slice(&body).unwrap();
        let objects = made["objects"].as_array().unwrap().clone();
        let kinds: Vec<&str> = objects
            .iter()
            .map(|object| object["type"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["marking-definition", "identity", "indicator"]);
        objects
    });
    let [first, second] = &versions;
    for (first, second) in first.iter().zip(second) {
        assert_eq!(first["id"], second["id"]);
        assert_eq!(first["created"], second["created"]);
    }
    let modified = |objects: &[Value]| objects[2]["modified"].as_str().unwrap().to_owned();
    assert!(modified(first) < modified(second));
}

#[test]
fn a_node_that_refuses_fails_or_is_silent_decides_the_code() {
    for code in [1, 11, 12, 13, 16] {
        let (said, _) = ask(failure(code), &["status"]);
        said.ends(i32::from(code)).err_has("hint: do that");
    }
    let (said, _) = ask(failure(0), &["status"]);
    said.ends(1);
    let (said, _) = ask(
        json!({"ok": {"found": {"hits": [], "truncated": false}}}),
        &["status"],
    );
    said.ends(1).err_has("answered another question");
    let (said, _) = ask(Value::Null, &["status", "--timeout", "1"]);
    said.ends(16)
        .err_has("did not answer within 1 s")
        .err_has("--timeout");
}
