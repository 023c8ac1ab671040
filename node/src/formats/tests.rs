//! Lists, feeds and reports, with an account of every line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use watchfire_protocol::indicator::detect;
use watchfire_protocol::stix::index::Entry;
use watchfire_protocol::stix::markings::{effective, survey};

use super::*;

fn options() -> Options {
    Options {
        format: None,
        columns: None,
        author: MemberId::from_bytes([7; 32]),
        author_name: "Example Agency".to_owned(),
        marking: Some(Marking::Green),
        created: Timestamp::from_unix_ms(1_795_399_200_000),
        modified: Timestamp::from_unix_ms(1_795_399_200_000),
        labels: vec![],
    }
}

fn import_text(name: &str, text: &str) -> Result<Import, ImportError> {
    import(name, text.as_bytes(), &options())
}

fn entries(import: &Import) -> Vec<Entry> {
    let document = Document::read(&import.stix).unwrap();
    assert_eq!(document.refused().count(), 0);
    document.entries(&survey(&document)).unwrap()
}

/// The names of the indicators, in order: their values.
fn values(import: &Import) -> Vec<String> {
    entries(import)
        .into_iter()
        .filter(|entry| entry.kind == "indicator")
        .map(|entry| entry.name)
        .collect()
}

fn sums(account: &Account) -> (u64, u64, usize) {
    let refused = account.refused().len();
    let sum = account.accepted() + account.duplicate() + u64::try_from(refused).unwrap();
    assert_eq!(account.input(), sum);
    (account.accepted(), account.duplicate(), refused)
}

#[test]
fn a_list_becomes_a_bundle_that_reads_back() {
    let text = "\u{feff}# comment\n\nevil.example\nhxxp://evil[.]example/a#b # why\r\n192.0.2.1:8080\n\
                evil.example\n10.0.0.5\nnonsense\n#x\n";
    let import = import_text("list.txt", text).unwrap();
    assert_eq!(import.format, Format::List);
    assert_eq!(
        values(&import),
        ["evil.example", "http://evil.example/a#b", "192.0.2.1:8080"]
    );
    assert_eq!(sums(&import.account), (3, 1, 2));
    let refused = import.account.refused();
    assert_eq!((refused[0].line, refused[1].line), (7, 8));
    assert_eq!(refused[0].reason, "10[.]0[.]0[.]5: private address");
    let document = Document::read(&import.stix).unwrap();
    assert_eq!(effective(&document, None), Ok(Marking::Green));
    for (entry, raw) in entries(&import).iter().skip(2).zip(values(&import)) {
        let mut keys = detect(&raw).unwrap().index_keys();
        keys.sort();
        assert_eq!(entry.keys, keys);
        assert_eq!(entry.not_indexed, None);
    }
}

#[test]
fn the_same_import_gives_the_same_bytes_and_a_later_one_a_new_version() {
    let first = import_text("l.txt", "evil.example\n").unwrap();
    assert_eq!(
        first.stix,
        import_text("l.txt", "evil.example\n").unwrap().stix
    );
    let mut later = options();
    later.modified = Timestamp::from_unix_ms(1_795_399_200_001);
    let second = import("l.txt", b"evil.example\n", &later).unwrap();
    // No version may change when its object was created: STIX 2.1, section 3.6.
    let created = |import: &Import| -> Vec<String> {
        let text = String::from_utf8(import.stix.clone()).unwrap();
        let times = text.split("\"created\":\"").skip(1);
        times.map(|rest| rest[..24].to_owned()).collect()
    };
    assert_eq!(created(&first)[1..], ["2026-11-23T02:00:00.000Z"; 2]);
    assert_eq!(created(&first), created(&second));
    let (first, second) = (entries(&first), entries(&second));
    assert_eq!(first[2].id, second[2].id);
    assert!(first[2].modified < second[2].modified);
}

#[test]
fn csv_with_a_header_is_read_by_its_names() {
    let text = "\u{feff}Indicator_type,Data,Note\n\
                url,hxxps[://]evil[.]example/x[.]txt ,\"Hosts, scripts\"\n\
                ip,192.0.2[.]7,\u{200e}\n\
                sha1,SHA1:  da39a3ee5e6b4b0d3255bfef95601890afd80709,x\n\
                filename,autoit.exe,x\n\
                ,evil[.]example,no type\n\
                domain,192.0.2.9,wrong type\n\
                url\n";
    let import = import_text("x.csv", text).unwrap();
    assert_eq!(import.format, Format::Csv);
    assert_eq!(
        values(&import),
        [
            "https://evil.example/x.txt",
            "192.0.2.7",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "evil.example"
        ]
    );
    assert_eq!(sums(&import.account), (4, 0, 3));
    let lines: Vec<u64> = import.account.refused().iter().map(|r| r.line).collect();
    assert_eq!(lines, [5, 7, 8]);
    let text = String::from_utf8(import.stix).unwrap();
    assert!(text.contains("Hosts, scripts"));
    let single = import_text("x.csv", "domain\nevil.example\n").unwrap();
    assert_eq!(values(&single), ["evil.example"]);
}

#[test]
fn csv_without_a_header_needs_columns_and_says_which() {
    let text = "2026-07-23 01:31:00,someone,url,https://evil.example/a,#phishing #kit,https://report.example/1\n";
    let error = import_text("x.csv", text).unwrap_err().to_string();
    assert!(
        error.contains("--columns date,-,type,value,tags,ref"),
        "{error}"
    );
    assert!(error.contains("hxxps://evil[.]example/a"), "{error}");
    let mut with = options();
    with.columns = Some(Columns::parse("date,user,type,value,tags,ref").unwrap());
    let import = import("x.csv", text.as_bytes(), &with).unwrap();
    assert_eq!(values(&import), ["https://evil.example/a"]);
    let text = String::from_utf8(import.stix).unwrap();
    for part in [
        r#""valid_from":"2026-07-23T01:31:00.000Z""#,
        r#""labels":["phishing","kit"]"#,
        r#""url":"https://report.example/1""#,
        r#""description":"reported by someone""#,
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(matches!(
        Columns::parse("date,valu"),
        Err(CsvError::UnknownColumn { .. })
    ));
    assert!(matches!(
        Columns::parse("date,type"),
        Err(CsvError::ValueColumns { found: 0, .. })
    ));
    assert!(matches!(
        import_text("x.csv", "domain,ip\nevil.example,192.0.2.1\n"),
        Err(ImportError::Csv(CsvError::ValueColumns { found: 2, .. }))
    ));
    assert!(matches!(
        import_text("x.csv", ""),
        Err(ImportError::Csv(CsvError::Empty))
    ));
}

#[test]
fn a_row_of_a_million_cells_is_refused() {
    let commas = ",".repeat(3 << 20);
    // As a header, as a row, and over many lines in a quote that never closes.
    for text in [
        commas.clone(),
        format!("value,tags\nevil.example,{commas}\n"),
        format!("value\nevil.example,\"{}", "a,\n".repeat(1 << 20)),
    ] {
        let line = 1 + u64::from(text.starts_with("value"));
        assert_eq!(
            import_text("x.csv", &text).unwrap_err(),
            ImportError::Csv(CsvError::RowTooLong { line })
        );
    }
    // The longest row is taken, one byte more is not.
    for (note, taken) in [(1_048_576 - 14, true), (1_048_576 - 13, false)] {
        let text = format!(
            "value,note\nevil.example,{}\nother.example,\n",
            "x".repeat(note)
        );
        assert_eq!(import_text("x.csv", &text).is_ok(), taken);
    }
}

#[test]
fn a_row_of_too_many_cells_stands_in_the_account() {
    let wide = ",".repeat(1_000);
    assert_eq!(
        import_text("x.csv", &wide).unwrap_err(),
        ImportError::Csv(CsvError::TooManyColumns)
    );
    let text = format!("value\nevil.example{wide}\nother.example{}\n", &wide[1..]);
    let import = import_text("x.csv", &text).unwrap();
    assert_eq!(values(&import), ["other.example"]);
    assert_eq!(sums(&import.account), (1, 0, 1));
    let refused = &import.account.refused()[0];
    assert_eq!(refused.line, 2);
    assert_eq!(refused.reason, "the row has more than 1000 cells");
}

#[test]
fn a_value_of_too_many_labels_stands_in_the_account() {
    let tags = |count: usize| {
        let tags: Vec<String> = (0..count).map(|number| format!("t{number}")).collect();
        tags.join(" ")
    };
    let text = format!(
        "value,tags\nevil.example,{}\nother.example,{}\n",
        tags(65),
        tags(64)
    );
    let import = import_text("x.csv", &text).unwrap();
    assert_eq!(values(&import), ["other.example"]);
    assert_eq!(sums(&import.account), (1, 0, 1));
    assert_eq!(import.account.refused()[0].reason, "more than 64 labels");
}

#[test]
fn a_report_gives_what_its_author_defanged() {
    let text = "Report of the day: see https://report.example/post and file dropper.exe, readme.md.\n\
                - hxxps[:]//evil[.]example/x.zip  <-- loader (evil2[.]example).\n\
                - SHA256 hash: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\
                - \\\\192.0.2[.]171@80\\share\\x.msi and C:\\Users\\.x\\[name]\\a.dll\n\
                - hxxp://evil[.]example/g?a=[base64 text]\n\
                - C2 at 198.51.100.4, forgotten.example and 10.0.0.1\n";
    let import = import_text("report.txt", text).unwrap();
    assert_eq!(import.format, Format::Text);
    assert_eq!(
        values(&import),
        [
            "https://evil.example/x.zip",
            "evil2.example",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "192.0.2.171:80",
            "198.51.100.4"
        ]
    );
    let refused: Vec<&str> = import
        .account
        .refused()
        .iter()
        .map(|r| r.value.as_str())
        .collect();
    assert_eq!(
        refused,
        [
            "https://report.example/post",
            "readme.md",
            "hxxp://evil[.]example/g?a=[base64",
            "forgotten.example",
            "10.0.0.1"
        ]
    );
    // Without a single defanged value a live link is what the author meant.
    let live = import_text("mail.txt", "please block https://evil.example/x today").unwrap();
    assert_eq!(values(&live), ["https://evil.example/x"]);
}

#[test]
fn stix_stays_byte_for_byte() {
    let id = "tool--5a0d2cb4-1b5e-4b0c-9d56-000000000001";
    let object = format!(r#"{{"type":"tool","id":"{id}"}}"#);
    let text = format!("[ {object},\n{object},\n{{}}]\n");
    let mut unmarked = options();
    unmarked.marking = None;
    let import = import("x.json", text.as_bytes(), &unmarked).unwrap();
    assert_eq!(import.stix, text.as_bytes());
    assert_eq!(sums(&import.account), (1, 1, 1));
    assert_eq!(import.account.refused()[0].line, 3);
    assert!(matches!(
        import_text("x.json", "{\"a\":1}"),
        Err(ImportError::Stix(_))
    ));
    assert!(matches!(
        import_text("x.json", "[{}]"),
        Err(ImportError::Nothing(_))
    ));
}

#[test]
fn formats_are_told_apart() {
    for (name, text, format) in [
        ("a.json", "", Format::Stix),
        ("dir.csv/a", "{\"type\":\"bundle\"}", Format::Stix),
        ("a", " [ {\"type\":1}]", Format::Stix),
        ("a.CSV", "x", Format::Csv),
        ("a.txt", "[2001:db8::1]:80\n192.0.2.1\n", Format::List),
        (
            "a.txt",
            "a.example\nb.example\nc.example\nd.example\nwords in a row\n",
            Format::List,
        ),
        (
            "a.txt",
            "a.example\nb.example\nc.example\nwords in a row\n",
            Format::Text,
        ),
        ("a.txt", "", Format::Text),
        ("a.md", "A report.", Format::Text),
    ] {
        assert_eq!(
            detect::format_of(name, text.as_bytes()),
            format,
            "{name} {text}"
        );
    }
    let mut forced = options();
    forced.format = Format::parse("TEXT");
    assert_eq!(
        import("a.csv", b"192.0.2.1", &forced).unwrap().format,
        Format::Text
    );
    assert_eq!(Format::parse("misp"), None);
}

#[test]
fn files_that_cannot_be_taken_say_why() {
    let mut unmarked = options();
    unmarked.marking = None;
    assert_eq!(
        import("a.txt", b"evil.example", &unmarked)
            .unwrap_err()
            .to_string(),
        "no marking: a list file carries none; pass --tlp with the label it shall have"
    );
    assert_eq!(
        import("a.txt", b"evil.example\n\xff\n", &options()).unwrap_err(),
        ImportError::NotUtf8 { line: 2 }
    );
    let error = import_text("a.txt", "10.0.0.1\n").unwrap_err().to_string();
    assert!(
        error.contains("line 1: 10[.]0[.]0[.]1: private address"),
        "{error}"
    );
    assert!(
        import_text("a.txt", "")
            .unwrap_err()
            .to_string()
            .contains("the file is empty")
    );
    assert!(matches!(
        import(
            "a.txt",
            &vec![b'a'; STIX_DOCUMENT_BYTES_MAX + 1],
            &options()
        ),
        Err(ImportError::TooLarge { .. })
    ));
}

#[test]
fn a_tag_stricter_than_the_flag_is_found_before_publishing() {
    let text = "value,tags\nevil.example,tlp:red\n";
    let import = import_text("a.csv", text).unwrap();
    let document = Document::read(&import.stix).unwrap();
    assert!(effective(&document, Some(Marking::Green)).is_err());
}

/// The folder of real data, or nothing and one loud line.
fn data(unchecked: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WATCHFIRE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if folder.join("iocs").is_dir() {
        return Some(folder);
    }
    eprintln!("WATCHFIRE_DATA ABSENT: {unchecked}");
    None
}

fn import_file(path: &Path, options: &Options) -> Import {
    import(
        &path.to_string_lossy(),
        &std::fs::read(path).unwrap(),
        options,
    )
    .unwrap()
}

/// Texts that differ and still are one value: what normalising merges.
fn merged<'a>(raws: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    let mut merged = Vec::new();
    let texts: BTreeSet<&str> = raws.collect();
    for raw in texts {
        if let Ok(value) = detect(raw) {
            match first.get(&value.to_string()) {
                Some(other) => merged.push(((*other).to_owned(), raw.to_owned())),
                None => {
                    first.insert(value.to_string(), raw);
                }
            }
        }
    }
    merged
}

#[test]
fn the_public_lumma_list_adds_up() {
    let Some(data) = data("counts over the Lumma list") else {
        return;
    };
    let path = data.join("iocs/maltrail/lummac2.txt");
    let import = import_file(&path, &options());
    assert_eq!(import.format, Format::List);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().filter_map(list::value_of).collect();
    let unique: BTreeSet<&str> = lines.iter().copied().collect();
    assert_eq!((lines.len(), unique.len()), (16_891, 16_628));
    // One name stands there in two spellings that differ in case.
    assert_eq!(merged(lines.iter().copied()).len(), 1);
    // 16,628 unique lines = 16,605 + 22 + 1. Every refusal is a path without a
    // host.
    assert_eq!(sums(&import.account), (16_605, 264, 22));
    for refused in import.account.refused() {
        assert!(refused.value.starts_with('/'), "{refused:?}");
    }
}

#[test]
fn the_public_feed_adds_up() {
    let Some(data) = data("counts over the monthly feed") else {
        return;
    };
    let path = data.join("iocs/tweetfeed/month.csv");
    assert!(matches!(
        import("month.csv", &std::fs::read(&path).unwrap(), &options()),
        Err(ImportError::Csv(CsvError::NoHeader { .. }))
    ));
    let mut with = options();
    with.columns = Some(Columns::parse("date,user,type,value,tags,ref").unwrap());
    let import = import_file(&path, &with);
    let text = std::fs::read_to_string(&path).unwrap();
    let column: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(',').nth(3))
        .collect();
    let unique: BTreeSet<&str> = column.iter().copied().collect();
    assert_eq!((column.len(), unique.len()), (12_092, 11_784));
    // One URL stands there with and without its default port.
    assert_eq!(merged(column.iter().copied()).len(), 1);
    assert_eq!(import.account.input(), 12_092);
    // 11,784 unique values = 11,777 + 6 + 1. Refused: two URLs on a private
    // address, and two names of several hundred characters with their URLs.
    assert_eq!(sums(&import.account), (11_777, 309, 6));
}

#[test]
fn public_reports_give_sensible_lists() {
    let Some(data) = data("values found in public reports") else {
        return;
    };
    let folder = data.join("iocs/unit42_lumma");
    // Accepted, repeated, refused: each read by a person once.
    for (start, expected) in [
        ("2024-03-07", (23, 50, 4)),
        ("2024-06-24", (11, 2, 3)),
        ("2024-08-28", (19, 11, 6)),
        ("2024-09-19", (54, 2, 13)),
        ("2024-10-03", (48, 4, 4)),
        ("2024-10-09", (35, 3, 3)),
        ("2025-03-05", (32, 6, 2)),
    ] {
        let path = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with(start)
            })
            .unwrap();
        let import = import_file(&path, &options());
        assert_eq!(import.format, Format::Text, "{start}");
        assert_eq!(sums(&import.account), expected, "{start}");
        for value in values(&import) {
            assert!(
                !value.contains("linkedin.com") && !value.contains("//x.com"),
                "{value}"
            );
        }
    }
    let import = import_file(&data.join("iocs/2025_Lumma_Stealer.csv"), &options());
    assert_eq!(import.format, Format::Csv);
    assert_eq!(sums(&import.account), (27, 2, 4));
}

#[test]
fn public_stix_is_taken_byte_for_byte() {
    let Some(data) = data("STIX imports of public documents") else {
        return;
    };
    let path = data.join("stix21/tweetfeed/week.json");
    let import = import_file(&path, &options());
    assert_eq!(import.stix, std::fs::read(&path).unwrap());
    assert_eq!(sums(&import.account), (1_538, 0, 0));
    let index = std::fs::read(data.join("stix21/tweetfeed/taxii/index.json")).unwrap();
    let error = super::import("index.json", &index, &options()).unwrap_err();
    assert!(
        error.to_string().starts_with("it is JSON but not STIX"),
        "{error}"
    );
}

#[test]
fn thousands_of_values_arrive_whole_or_not_at_all() {
    let text: String = (0..20_000).map(|at| format!("h{at}.example\n")).collect();
    let import = import_text("l.txt", &text).unwrap();
    assert_eq!(sums(&import.account), (20_000, 0, 0));
    assert_eq!(entries(&import).len(), 20_002);
    let options = options();
    let mut collector = Collector::new(&options, Marking::Green);
    collector.values_max = 2;
    let text = "a.example\na.example\nb.example\nc.example\n";
    assert_eq!(
        list::read(text, &mut collector),
        Err(ImportError::TooManyValues)
    );
    let mut collector = Collector::new(&options, Marking::Green);
    collector.entries_max = 2;
    for text in [
        "a.example\n".repeat(3),
        "10.0.0.1\n".repeat(3),
        "x\n".repeat(3),
    ] {
        assert_eq!(
            list::read(&text, &mut collector),
            Err(ImportError::TooManyEntries)
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..512),
        name in prop_oneof![Just("a.json"), Just("a.csv"), Just("a.txt"), Just("a")],
        format in prop_oneof![
            Just(None), Just(Some(Format::Csv)), Just(Some(Format::List)), Just(Some(Format::Text)),
        ],
        mapped in any::<bool>(),
    ) {
        let mut options = options();
        options.format = format;
        options.columns = mapped.then(|| Columns::parse("type,value,tags,ref").unwrap());
        if let Ok(import) = import(name, &bytes, &options) {
            sums(&import.account);
        }
    }

    /// Every line of a list is accounted for, and what is accepted is there.
    #[test]
    fn lists_add_up(lines in prop::collection::vec(prop_oneof![
        "[a-c]{1,2}\\.example", "192\\.0\\.2\\.[0-9]{1,2}", "10\\.0\\.0\\.[0-9]", "[ -~]{0,20}", "#.{0,8}", "\\PC{0,8}",
    ], 0..24)) {
        let text = lines.join("\n");
        let expected = text.lines().filter(|line| list::value_of(line).is_some()).count();
        let mut options = options();
        options.format = Some(Format::List);
        let account = match import("l", text.as_bytes(), &options) {
            Ok(import) => {
                let document = Document::read(&import.stix).unwrap();
                let accepted = document.accepted().count() - 2;
                prop_assert_eq!(u64::try_from(accepted).unwrap(), import.account.accepted());
                prop_assert_eq!(document.refused().count(), 0);
                import.account
            }
            Err(ImportError::Nothing(account)) => *account,
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        sums(&account);
        prop_assert_eq!(usize::try_from(account.input()).unwrap(), expected);
    }
}
