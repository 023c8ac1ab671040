//! Files that people bring: tables, reports, lists.

use watchfire_node::formats::{Account, Columns, Format, Import, Options, import};
use watchfire_protocol::ids::MemberId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::stix::document::Document;
use watchfire_protocol::stix::markings::{effective, survey};
use watchfire_protocol::stix::pattern::extract;
use watchfire_protocol::stix::time::Timestamp;

use super::stix;

/// What tables are made of.
pub const CSV_WORDS: &[&str] = &[
    "value,type,date,tags\n",
    "\"\"",
    "\",\"",
    "\r\n",
    ",,,,",
    "hxxp://a[.]example/",
    "2026-01-01T00:00:00Z",
    "2026-01-01 00:00:00 UTC",
    "#tag",
    "sha256",
    "domain",
    "ip",
    "url",
    "\u{feff}",
];

/// A table, with a header of its own and under a mapping.
///
/// # Panics
/// When what is imported is not as the account says.
pub fn fuzz_csv(bytes: &[u8]) {
    taken("a.csv", bytes, &options(Format::Csv, None));
    let mapping = Columns::parse("date,user,type,value,tags,ref").unwrap();
    taken("a.csv", bytes, &options(Format::Csv, Some(mapping)));
    if let Ok(text) = core::str::from_utf8(bytes) {
        let first = text.lines().next().unwrap_or_default();
        let _ = Columns::parse(first);
    }
}

/// A report.
///
/// # Panics
/// When what is imported is not as the account says.
pub fn fuzz_text(bytes: &[u8]) {
    let options = options(Format::Text, None);
    if taken("a.txt", bytes, &options).is_some() {
        let again = || import("a.txt", bytes, &options).unwrap();
        assert_eq!(again().stix, again().stix);
        assert_eq!(again().account, again().account);
    }
    // Whatever its content makes of it.
    let guessed = Options {
        format: None,
        ..options
    };
    let _ = import("a", bytes, &guessed);
}

/// A list. What was taken of it, as a list, is taken again.
///
/// # Panics
/// When it is not, or what is imported is not as the account says.
pub fn fuzz_list(bytes: &[u8]) {
    let options = options(Format::List, None);
    let Some(values) = taken("a.txt", bytes, &options) else {
        return;
    };
    let list = values.join("\n");
    let again = taken("a.txt", list.as_bytes(), &options);
    assert_eq!(again.as_ref(), Some(&values), "{list}");
}

fn options(format: Format, columns: Option<Columns>) -> Options {
    Options {
        format: Some(format),
        columns,
        author: MemberId::from_bytes([7; 32]),
        author_name: "Example Agency".to_owned(),
        marking: Some(Marking::Green),
        created: Timestamp::from_unix_ms(1_795_399_200_000),
        modified: Timestamp::from_unix_ms(1_795_399_200_000),
        labels: vec!["drill".to_owned()],
    }
}

/// Imports, checks, and gives the values that were taken, in order.
fn taken(name: &str, bytes: &[u8], options: &Options) -> Option<Vec<String>> {
    let first = import(name, bytes, options).ok()?;
    adds_up(&first.account, bytes);
    Some(values(&first))
}

/// What went in is what came out, and each refusal stands on a line of the file.
fn adds_up(account: &Account, bytes: &[u8]) {
    let refused = u64::try_from(account.refused().len()).unwrap();
    assert!(account.accepted() > 0);
    assert_eq!(
        account.input(),
        account.accepted() + account.duplicate() + refused
    );
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
    let lines = 1 + u64::try_from(ends).unwrap();
    for entry in account.refused() {
        assert!((1..=lines).contains(&entry.line), "line {}", entry.line);
        assert!(!entry.reason.is_empty());
    }
    assert!(account.refused().is_sorted_by_key(|entry| entry.line));
}

/// The values of a bundle that was made: it is whole, marked as asked, and each
/// indicator is found by the one value that its pattern gives.
fn values(import: &Import) -> Vec<String> {
    let document = Document::read(&import.stix).unwrap();
    assert_eq!(
        document.refused().count() + document.duplicates().count(),
        0
    );
    assert_eq!(effective(&document, None), Ok(Marking::Green));
    let entries = document.entries(&survey(&document)).unwrap();
    let mut values = Vec::new();
    for (entry, object) in entries.iter().zip(document.accepted()) {
        if entry.kind != "indicator" {
            continue;
        }
        assert_eq!(entry.not_indexed, None);
        let json = document.json_of(object).unwrap();
        let found = extract(json.text("pattern").unwrap()).unwrap();
        let [value] = found.values.as_slice() else {
            panic!("{} values in one pattern", found.values.len());
        };
        stix::of_its_own_pattern(value);
        let mut keys = value.index_keys();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(entry.keys, keys);
        values.push(value.to_string());
    }
    assert_eq!(
        u64::try_from(values.len()).unwrap(),
        import.account.accepted()
    );
    values
}

/// Tables.
pub fn tables() -> Vec<Vec<u8>> {
    [
        "value,type,date,tags,ref,note\nc2.watch.example,domain,2026-01-01,#a #b,https://report.example/1,seen\n192.0.2.1,ip,2026-01-02 03:04:05 UTC,,,\n",
        "2026-01-01 00:00:00,someone,url,hxxp://evil[.]example/a,#phishing,https://report.example/2\n2026-01-01 00:00:00,someone,sha256,zz,#x,\n",
        "url,first_seen\n\"http://a.example/?q=\"\"x\"\",y\",2026-01-01\n\"http://b.example/\nc\",\n",
        "\u{feff}ioc,kind\r\na.example,hostname\r\na.example,hostname\r\n,\r\n10.0.0.1,ip\r\n",
        "md5\nd41d8cd98f00b204e9800998ecf8427e\nnot one\n",
        "no header here\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Reports.
pub fn texts() -> Vec<Vec<u8>> {
    [
        "The panel at hxxp://evil[.]example/gate (192.0.2.17) sent mail from billing[@]fee[.]example.\nSee https://report.example/1, and setup.exe: d41d8cd98f00b204e9800998ecf8427e.\n",
        "Live: http://evil.example/a and evil.example; \\\\192.0.2.9@80\\dav\\x.lnk | `2001:db8::1`\n",
        "hxxps[://]a[.]example/?a=[base64 text] and evil\\.example, ::, 1.2.3\n",
        "Nothing to see.",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Lists.
pub fn lists() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "# remark\npanel-one.example\nhxxp://panel-two[.]example/gate # why\n192.0.2.17\n192.0.2.17\n10.0.0.1\n\nnonsense\n",
        "\u{feff}a.example\r\n2001:db8::/32\r\nhttp://b.example/#x\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    let every: Vec<String> = stix::values()
        .iter()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    all.push(every.join("\n").into_bytes());
    all
}
