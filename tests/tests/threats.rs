//! Holds `docs/threats.md` and the tests together: every attack that is a test
//! is on the page, every test on the page is in the tree, and each number from
//! 1 to 52 has one row whose state agrees with what is there.
//!
//! The column of tests is printed. `WATCHFIRE_BLESS=1 cargo test -p
//! watchfire-tests --test threats` writes it anew; what a person wrote in the
//! other columns stays, and is judged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[allow(
    dead_code,
    reason = "it is shared with the tidy tests, which use all of it"
)]
#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const PAGE: &str = "docs/threats.md";

/// The numbers of the list.
const LAST: u8 = 52;

/// One attack on the page.
#[derive(Debug)]
struct Row {
    number: u8,
    /// Everything up to the last column.
    written: Vec<String>,
    /// `path::name` of each test.
    tests: BTreeSet<String>,
}

impl Row {
    fn state(&self) -> &str {
        self.written.last().map_or("", |state| state.as_str())
    }
}

/// How much of a row there is.
enum State {
    Stands,
    /// With what is missing.
    InPart,
    /// With what it waits for.
    Waits,
}

impl State {
    fn of(text: &str) -> Option<Self> {
        match text.split_once(": ") {
            None if text == "stands" => Some(Self::Stands),
            Some(("in part", _)) => Some(Self::InPart),
            Some(("waits", _)) => Some(Self::Waits),
            None | Some(_) => None,
        }
    }
}

/// The rows that begin with a number, of whatever table.
fn rows(page: &str) -> Vec<Row> {
    let mut found = Vec::new();
    for line in page.lines() {
        let Some(inside) = line
            .strip_prefix('|')
            .and_then(|line| line.trim_end().strip_suffix('|'))
        else {
            continue;
        };
        let cells: Vec<String> = inside
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect();
        let Ok(number) = cells[0].parse() else {
            continue;
        };
        let (tests, written) = cells.split_last().unwrap();
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned);
        found.push(Row {
            number,
            written: written.to_vec(),
            tests: tests.collect(),
        });
    }
    found
}

/// A row as it should be written.
fn written(row: &Row, tests: &BTreeSet<String>) -> String {
    let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
    let tests = match tests.is_empty() {
        true => "–".to_owned(),
        false => tests.join("<br>"),
    };
    format!("| {} | {tests} |", row.written.join(" | "))
}

/// The functions of a file that are named after an attack: number, name, and
/// whether each is a test.
fn attacks_of(code: &str) -> Vec<(u8, String, bool)> {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((before, after)) = line.split_once("fn attack_") else {
            continue;
        };
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let end = after.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &after[..end.unwrap_or(after.len())];
        let number = name.get(..2).and_then(|digits| digits.parse().ok());
        // Attributes stand directly above, with lines left empty by comments.
        let tested = lines[..at]
            .iter()
            .rev()
            .take_while(|line| line.is_empty() || line.starts_with("#["))
            .any(|line| line.contains("test]") || line.contains("test("));
        found.push((number.unwrap_or(0), format!("attack_{name}"), tested));
    }
    found
}

/// Every test named after an attack, by number, as `path::name`.
fn in_the_tree(files: &[(String, String)], complaints: &mut Vec<String>) -> Tests {
    let mut found = Tests::new();
    for (path, text) in files {
        // This file writes bad examples for itself, in literals, which are not code.
        for (number, name, tested) in attacks_of(&source::code_only(text)) {
            if !tested {
                complaints.push(format!(
                    "{path}: {name} is named as an attack and is no test"
                ));
            }
            if !(1..=LAST).contains(&number) {
                complaints.push(format!(
                    "{path}: {name} has a number that is not in the list"
                ));
            }
            found
                .entry(number)
                .or_default()
                .insert(format!("{path}::{name}"));
        }
    }
    found
}

type Tests = BTreeMap<u8, BTreeSet<String>>;

/// What is wrong with the page, given the tests of the tree.
fn complaints(page: &str, tree: &Tests) -> Vec<String> {
    let rows = rows(page);
    let mut found = Vec::new();
    for number in 1..=LAST {
        let count = rows.iter().filter(|row| row.number == number).count();
        if count != 1 {
            found.push(format!("number {number} has {count} rows instead of one"));
        }
    }
    let none = BTreeSet::new();
    for row in &rows {
        let (number, state) = (row.number, row.state());
        if !(1..=LAST).contains(&number) {
            found.push(format!("number {number} is not in the list"));
        }
        if row.written.len() != 4 || row.written.iter().any(String::is_empty) {
            found.push(format!("number {number} lacks a cell, or has one too many"));
        }
        let tests = tree.get(&number).unwrap_or(&none);
        for test in tests.difference(&row.tests) {
            found.push(format!("number {number} does not name {test}"));
        }
        for test in row.tests.difference(tests) {
            found.push(format!(
                "number {number} names {test}, which is not in the tree"
            ));
        }
        let complaint = match (State::of(state), tests.is_empty()) {
            (Some(State::Stands | State::InPart), false) | (Some(State::Waits), true) => continue,
            (Some(State::Stands | State::InPart), true) => "has no test",
            (Some(State::Waits), false) => "waits, and there are tests: say what stands",
            (None, _) => "has no state",
        };
        found.push(format!("number {number} {complaint}: {state:?}"));
    }
    found
}

#[test]
fn the_page_names_every_attack_and_the_tree_has_every_test() {
    let mut wrong = Vec::new();
    let tree = in_the_tree(&source::rust_files(), &mut wrong);
    assert!(
        tree.len() > 20,
        "the walk found only {} numbers",
        tree.len()
    );
    let page = source::read(PAGE);
    if std::env::var_os("WATCHFIRE_BLESS").is_some_and(|value| value == "1") {
        let none = BTreeSet::new();
        let lines = page.lines().map(|line| match rows(line).first() {
            Some(row) => written(row, tree.get(&row.number).unwrap_or(&none)),
            None => line.to_owned(),
        });
        let lines: Vec<String> = lines.collect();
        fs::write(source::root().join(PAGE), lines.join("\n") + "\n").unwrap();
        return;
    }
    wrong.extend(complaints(&page, &tree));
    assert!(
        wrong.is_empty(),
        "\n{}\n{PAGE} says in its third section how its last column is printed anew\n",
        wrong.join("\n")
    );
}

/// The rules above can fail: each of these is wrong in one way.
#[test]
fn the_rules_complain() {
    let row =
        |number: u8, state: &str, tests: &str| format!("| {number} | a | b | {state} | {tests} |");
    let tree = Tests::from([(1, BTreeSet::from(["a.rs::attack_01_x".to_owned()]))]);
    let page = |first: &str| {
        let others = (2..=LAST).map(|number| row(number, "waits: sealing", "–"));
        let lines: Vec<String> = std::iter::once(first.to_owned()).chain(others).collect();
        lines.join("\n")
    };
    let good = row(1, "stands", "`a.rs::attack_01_x`");
    assert_eq!(complaints(&page(&good), &tree), [""; 0]);
    for (bad, about) in [
        (row(1, "stands", "–"), "does not name a.rs::attack_01_x"),
        (
            row(1, "stands", "`a.rs::attack_01_x`<br>`a.rs::attack_01_y`"),
            "names a.rs::attack_01_y, which is not",
        ),
        (
            row(1, "waits: sealing", "`a.rs::attack_01_x`"),
            "there are tests",
        ),
        (row(1, "done", "`a.rs::attack_01_x`"), "no state"),
        (row(1, "in part: ", "`a.rs::attack_01_x`"), "no state"),
        (row(1, "stands mostly", "`a.rs::attack_01_x`"), "no state"),
        (format!("{good}\n{good}"), "number 1 has 2 rows"),
        (String::new(), "number 1 has 0 rows"),
        (
            format!("{good}\n{}", row(53, "waits: x", "–")),
            "53 is not in the list",
        ),
        (
            "| 1 | a | stands | `a.rs::attack_01_x` |".to_owned(),
            "lacks a cell",
        ),
    ] {
        let found = complaints(&page(&bad), &tree);
        assert!(
            found.iter().any(|one| one.contains(about)),
            "{bad}: {found:?}"
        );
    }
    let waiting = page(&good).replace("| 2 | a | b | waits: sealing |", "| 2 | a | b | stands |");
    assert_eq!(
        complaints(&waiting, &tree),
        ["number 2 has no test: \"stands\""]
    );
}

#[test]
fn the_walk_finds_tests_and_what_only_looks_like_one() {
    let text = "#[test]\nfn attack_01_a() {}\n\
                #[cfg(unix)]\n#[tokio::test]\nasync fn attack_02_b() {}\n\
                    /// Says something.\n    #[test]\n    fn attack_03_c(x in any::<u8>()) {}\n\
                fn attack_04_helper() {}\n\
                #[test]\nfn attack_99_d() {}\n\
                #[test]\nfn attack_zz() {}\n\
                // fn attack_05_in_a_comment() {}\nlet x = \"fn attack_06_in_a_text() {}\";\n";
    let mut complaints = Vec::new();
    let tree = in_the_tree(&[("a.rs".to_owned(), text.to_owned())], &mut complaints);
    let numbers: Vec<u8> = tree.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 99]);
    assert_eq!(
        complaints,
        [
            "a.rs: attack_04_helper is named as an attack and is no test",
            "a.rs: attack_99_d has a number that is not in the list",
            "a.rs: attack_zz has a number that is not in the list",
        ]
    );
}
