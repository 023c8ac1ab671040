//! `publish`: the account of every line, and what refuses a file.

use serde_json::json;

use super::world::World;

const LIST: &str =
    "# observed\nevil.example\n10.0.0.5\nhxxps://bad[.]example/x\nevil[.]example\nnot a value\n";

fn indicator(number: u8, marking: Option<&str>) -> String {
    let mut object = json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": format!("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd{number:02x}"),
        "created": "2026-11-01T00:00:00.000Z",
        "modified": "2026-11-01T00:00:00.000Z",
        "pattern": format!("[domain-name:value = 'evil{number}.example']"),
        "pattern_type": "stix",
        "valid_from": "2026-11-01T00:00:00Z",
    });
    if let Some(marking) = marking {
        object["object_marking_refs"] = json!([marking]);
    }
    object.to_string()
}

/// The identifiers FIRST and OASIS gave the TLP 2.0 markings.
const CLEAR: &str = "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487";
const AMBER: &str = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421";

/// What the node says of it, word for word.
const SEALING: &str = "must be sealed to its audience, which this version cannot do yet";

fn bundle(objects: &[String]) -> String {
    format!(
        "{{\"type\":\"bundle\",\"id\":\"bundle--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f\",\"objects\":[\n{}\n]}}",
        objects.join(",\n")
    )
}

#[test]
fn every_line_is_accounted_for_without_a_node() {
    let world = World::joined();
    world.write("list.txt", LIST);
    let dry = [
        "publish",
        "list.txt",
        "--tlp",
        "clear",
        "--format",
        "list",
        "--dry-run",
    ];
    let said = world.at(&dry).ends(3);
    assert_eq!(
        said.out,
        "account\tlist.txt\tlist\t5\t2\t1\t2\n\
         refused\tlist.txt\t3\t10.0.0.5\t10[.]0[.]0[.]5: private address\n\
         refused\tlist.txt\t6\tnot a value\tit holds white space or a control character; one value is expected\n\
         would-publish\tlist.txt\t-\t-\t-\tTLP:CLEAR\t4\t3\t0\n\
         recipient\tde-cert\n"
    );
    assert_eq!(
        said.err,
        "watchfire: error: 2 entries were refused, the rest would be published\n\
         watchfire: hint: standard output names each refused line and the reason\n"
    );

    let said = world.at(&[&dry[..], &["--json"]].concat()).ends(3);
    let data = said.data("watchfire.publish/1");
    let file = &data["files"][0];
    assert_eq!(data["recipients"], json!(["de-cert"]));
    assert_eq!(
        file["entries"].as_u64().unwrap(),
        file["accepted"].as_u64().unwrap()
            + file["duplicate"].as_u64().unwrap()
            + file["refused"].as_array().unwrap().len() as u64
    );
    assert_eq!(file["refused"][0]["value"], "10.0.0.5", "raw in JSON");
    assert_eq!(file["published"]["marking"], "TLP:CLEAR");
    assert!(
        file["published"].get("bundle").is_none(),
        "nothing was published"
    );
    assert_eq!(
        said.error()["message"],
        "2 entries were refused, the rest would be published"
    );

    let without: String = LIST.lines().take(2).collect::<Vec<_>>().join("\n");
    world.write("good.txt", &without);
    let said = world
        .at(&["publish", "good.txt", "--tlp", "clear", "--dry-run"])
        .ends(0);
    assert_eq!(said.err, "");
}

/// STIX is published byte for byte, so nothing of it stays here.
#[test]
fn refused_stix_is_said_to_travel() {
    let world = World::joined();
    let no_id = "{\"type\":\"indicator\",\"spec_version\":\"2.1\"}".to_owned();
    world.write("some.json", &bundle(&[indicator(1, Some(CLEAR)), no_id]));
    world.write("list.txt", LIST);
    let dry = ["publish", "some.json", "--tlp", "clear", "--dry-run"];
    let said = world.at(&dry).ends(3);
    said.out_has("account\tsome.json\tstix\t2\t1\t0\t1\n")
        .out_has("refused\tsome.json\t3\t");
    assert_eq!(
        said.err,
        "watchfire: error: 1 STIX element was not indexed but would be sent with the document, the rest would be published\n\
         watchfire: hint: standard output names each refused line and the reason\n\
         watchfire: hint: to keep a STIX element here, take it out of the file\n"
    );
    let said = world
        .at(&[&dry[..], &["list.txt", "--json"]].concat())
        .ends(3);
    let data = said.data("watchfire.publish/1");
    assert_eq!(data["files"][0]["refused_travels"], true);
    assert_eq!(data["files"][1]["refused_travels"], false);
    assert_eq!(
        said.error()["message"],
        "2 entries were refused, 1 STIX element was not indexed but would be sent with the document, \
         the rest would be published"
    );
}

#[test]
fn before_joining_a_dry_run_says_that_nobody_would_receive_it() {
    let world = World::new();
    world.write("list.txt", "evil.example\n");
    world
        .at(&["publish", "list.txt", "--tlp", "clear", "--dry-run"])
        .ends(0)
        .err_has("nobody would receive it");
}

#[test]
fn what_is_stricter_than_clear_is_refused_by_name_in_a_dry_run_too() {
    let world = World::joined();
    let ids = [1, 2, 3]
        .map(|number| format!("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd{number:02x}"));
    let mixed = [
        indicator(1, Some(CLEAR)),
        indicator(2, Some(AMBER)),
        indicator(3, None),
    ];
    world.write("mixed.json", &bundle(&mixed));

    // Stricter than the flag.
    let said = world
        .at(&["publish", "mixed.json", "--tlp", "clear", "--dry-run"])
        .ends(13);
    said.err_has("publish of mixed.json refused: 1 object is marked stricter than TLP:CLEAR, up to TLP:AMBER")
        .err_has(&ids[1]);
    assert!(!said.err.contains(&ids[0]) && !said.err.contains("--tlp TLP:AMBER"));
    assert!(!said.out.contains("would-publish"));

    // No flag, and something without a marking.
    world
        .at(&["publish", "mixed.json", "--dry-run"])
        .ends(13)
        .err_has(&ids[2])
        .err_has("pass --tlp");

    // Marked throughout, and nothing that could seal it.
    world.write("amber.json", &bundle(&mixed[..2]));
    world
        .at(&["publish", "amber.json", "--dry-run"])
        .ends(13)
        .err_has(SEALING)
        .err_has("1 object is marked above TLP:CLEAR")
        .err_has(&ids[1]);

    // Nor does it get as far as the node, of which there is none.
    world
        .at(&["publish", "amber.json"])
        .ends(13)
        .err_has(SEALING)
        .err_has("1 object is marked above TLP:CLEAR")
        .err_has(&ids[1]);

    // A flag above CLEAR is refused before a node is asked, and there is none.
    world.write("list.txt", "evil.example\n");
    for label in ["green", "amber", "TLP:AMBER+STRICT", "red"] {
        for dry in [&["--dry-run"][..], &[]] {
            let args = [&["publish", "list.txt", "--tlp", label, "--json"], dry].concat();
            let error = world.at(&args).ends(13).error();
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(SEALING), "{message}");
        }
    }
    world
        .at(&["publish", "list.txt", "--dry-run"])
        .ends(13)
        .err_has("no marking: a list file carries none")
        .err_has("hint: pass --tlp");
}

#[test]
fn files_that_cannot_be_taken_say_why() {
    let world = World::joined();
    let dry =
        |args: &[&str]| world.at(&[&["publish", "--tlp", "clear", "--dry-run"], args].concat());
    world.write("empty.txt", "");
    dry(&["empty.txt"])
        .ends(1)
        .err_has("nothing to publish")
        .err_has("the file is empty");
    world.write("bad.txt", "10.0.0.5\n");
    let said = dry(&["bad.txt", "--format", "list"]).ends(1);
    said.err_has("bad.txt: nothing to publish")
        .out_has("refused\tbad.txt\t1\t10.0.0.5\t");
    world.write("broken.json", "{\"type\":\"bundle\"");
    dry(&["broken.json"]).ends(1).err_has("broken.json: ");
    world.write("table.csv", "evil.example,x\n");
    dry(&["table.csv"])
        .ends(1)
        .err_has("the columns are not known")
        .err_has("--columns");
    dry(&["table.csv", "--columns", "value,colour"])
        .ends(2)
        .err_has("\"colour\" is not known");
    dry(&["table.csv", "--columns", "value,-"]).ends(0);
    dry(&["nowhere.txt"])
        .ends(14)
        .err_has("could not read nowhere.txt");
    dry(&["at"]).ends(1).err_has("at is a directory");
    dry(&["-"])
        .ends(1)
        .err_has("standard input: nothing to publish");

    // One of two: the good one goes on, the code says that not all did.
    world.write("good.txt", "evil.example\n");
    let said = dry(&["nowhere.txt", "good.txt"]).ends(3);
    said.out_has("would-publish\tgood.txt")
        .err_has("note: could not read nowhere.txt")
        .err_has("error: of 2 files, 1 file was not published");
}

#[test]
fn without_a_node_nothing_is_published() {
    let world = World::joined();
    world.write("list.txt", "evil.example\n");
    world
        .at(&["publish", "list.txt", "--tlp", "clear"])
        .ends(15)
        .err_has("the node does not run");
}
