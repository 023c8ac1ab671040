//! Holds `docs/policy.md` and the decision together: every table in the
//! document is printed from the code and compared byte for byte.
//!
//! After a wanted change, `WATCHFIRE_BLESS=1 cargo test -p watchfire-tests
//! --test policy_table` writes the tables anew; the difference is then read in
//! review like any other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use watchfire_protocol::marking::Marking;
use watchfire_protocol::policy::Action;
use watchfire_protocol::policy::AllowRelay;
use watchfire_protocol::policy::AllowRule;
use watchfire_protocol::policy::AuthorStanding;
use watchfire_protocol::policy::Decision;
use watchfire_protocol::policy::DenyRule;
use watchfire_protocol::policy::Exercise;
use watchfire_protocol::policy::Life;
use watchfire_protocol::policy::Membership;
use watchfire_protocol::policy::Operator;
use watchfire_protocol::policy::Peer;
use watchfire_protocol::policy::Question;
use watchfire_protocol::policy::RULES;
use watchfire_protocol::policy::Reader;
use watchfire_protocol::policy::Roster;
use watchfire_protocol::policy::Standing;
use watchfire_protocol::policy::Subject;
use watchfire_protocol::policy::decide;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy.md");

/// Prints what stands in one marked region of the document.
type Print = fn() -> String;

const REGIONS: [(&str, Print); 6] = [
    ("size", size),
    ("words", words),
    ("marking", marking),
    ("order", order),
    ("standing", standing),
    ("rules", rules),
];

#[test]
fn the_document_prints_what_the_code_decides() {
    let written = fs::read_to_string(PATH).unwrap();
    let mut printed = written.clone();
    for (name, print) in REGIONS {
        printed = with_region(&printed, name, &print());
    }
    if std::env::var_os("WATCHFIRE_BLESS").is_some_and(|value| value == "1") {
        fs::write(PATH, &printed).unwrap();
        return;
    }
    let differs = written.lines().zip(printed.lines()).find(|(w, p)| w != p);
    assert!(
        written == printed,
        "docs/policy.md differs from the code, first here (written, then decided):\n{differs:#?}\n\
         if the code is right, run the test again with WATCHFIRE_BLESS=1 and read the difference"
    );
}

/// The document with the text between the two comments of a region replaced.
fn with_region(document: &str, name: &str, text: &str) -> String {
    let begin = format!("<!-- printed: {name} -->\n");
    let end = format!("<!-- end: {name} -->\n");
    let (before, rest) = document
        .split_once(&begin)
        .unwrap_or_else(|| panic!("docs/policy.md lacks the line {begin}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("docs/policy.md lacks the line {end}"));
    format!("{before}{begin}\n{text}\n{end}{after}")
}

/// `138240` as `138,240`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

fn head(titles: impl IntoIterator<Item = String>) -> String {
    let titles: Vec<String> = titles.into_iter().collect();
    let rule = titles.iter().map(|_| "---".to_owned());
    format!("{}{}", row(titles.clone()), row(rule))
}

fn size() -> String {
    let all = Question::all().count();
    let allowed = Question::all().filter(|q| q.decide().is_allowed()).count();
    let best = Question::all_at(Standing::BEST).count();
    let best_allowed = Question::all_at(Standing::BEST)
        .filter(|q| q.decide().is_allowed())
        .count();
    format!(
        "{} markings × {} actions × {} subjects = {} cells at best standing, {} of them allowed.\n\
         With {} standings: **{} questions, {} allowed, {} denied.**\n",
        Marking::ALL.len(),
        Action::ALL.len(),
        Subject::all().count(),
        best,
        best_allowed,
        Standing::all().count(),
        grouped(all),
        grouped(allowed),
        grouped(all - allowed),
    )
}

fn words() -> String {
    let mut text = head(["action", "this node is about to"].map(str::to_owned));
    for action in Action::ALL {
        text += &row([format!("`{action}`"), action.about().to_owned()]);
    }
    text += "\n";
    text += &head(["subject", "who that is"].map(str::to_owned));
    for subject in Subject::all() {
        text += &row([format!("`{subject}`"), subject.about().to_owned()]);
    }
    text
}

fn subjects_of(action: Action) -> Vec<Subject> {
    match action {
        Action::RelayCiphertext | Action::StoreCiphertext | Action::GrantKey | Action::Open => {
            Peer::ALL.into_iter().map(Subject::Peer).collect()
        }
        Action::Show | Action::Count | Action::Export | Action::Notify => {
            Reader::ALL.into_iter().map(Subject::Reader).collect()
        }
    }
}

fn marking_table(action: Action) -> String {
    let subjects = subjects_of(action);
    let titles = subjects.iter().map(|subject| format!("`{subject}`"));
    let mut text = head(std::iter::once(String::new()).chain(titles));
    for marking in Marking::ALL {
        let cells = subjects.iter().map(|subject| {
            let decision = decide(marking, action, *subject, Standing::BEST);
            let word = if decision.is_allowed() { "yes" } else { "no" };
            format!("{word}, `{}`", decision.rule())
        });
        text += &row(std::iter::once(marking.label().to_owned()).chain(cells));
    }
    text
}

fn marking() -> String {
    // Actions whose tables are the same are printed once.
    let mut tables: Vec<(Vec<Action>, String)> = Vec::new();
    for action in Action::ALL {
        let table = marking_table(action);
        match tables.iter_mut().find(|(_, other)| *other == table) {
            Some((actions, _)) => actions.push(action),
            None => tables.push((vec![action], table)),
        }
    }
    let mut text = String::new();
    for (actions, table) in tables {
        let names: Vec<&str> = actions.iter().map(|action| action.name()).collect();
        write!(text, "### {}\n\n{table}\n", names.join(", ")).unwrap();
    }
    text += "Without `allow-relay`, these cells change and no others:\n\n";
    let withheld = Standing {
        relay: AllowRelay::Withheld,
        ..Standing::BEST
    };
    for question in Question::all_at(withheld) {
        let decision = question.decide();
        let best = Question {
            standing: Standing::BEST,
            ..question
        };
        if decision != best.decide() {
            let (action, subject) = (question.action, question.subject);
            let (label, rule) = (question.marking.label(), decision.rule());
            writeln!(
                text,
                "- `{action}` at {label} for `{subject}`: no, `{rule}`"
            )
            .unwrap();
        }
    }
    text += "\nThe cells that are not printed pair an action with the other kind of subject, \
             and all say no:\n\n";
    for (actions, rule) in unprinted() {
        let names: Vec<String> = actions.iter().map(|action| format!("`{action}`")).collect();
        writeln!(text, "- {}: `{rule}`", names.join(", ")).unwrap();
    }
    text
}

/// The actions by the one rule that denies them to the other kind of subject.
fn unprinted() -> Vec<(Vec<Action>, &'static str)> {
    let mut found: Vec<(Vec<Action>, &'static str)> = Vec::new();
    for action in Action::ALL {
        let printed = subjects_of(action);
        let others = Subject::all().filter(|subject| !printed.contains(subject));
        let decisions: BTreeSet<Decision> = others
            .flat_map(|subject| {
                Marking::ALL.map(|marking| decide(marking, action, subject, Standing::BEST))
            })
            .collect();
        assert_eq!(
            decisions.len(),
            1,
            "{action} has cells that must be printed"
        );
        let decision = decisions.first().unwrap();
        assert!(
            !decision.is_allowed(),
            "{action} is allowed where none is printed"
        );
        match found.iter_mut().find(|(_, rule)| *rule == decision.rule()) {
            Some((actions, _)) => actions.push(action),
            None => found.push((vec![action], decision.rule())),
        }
    }
    found
}

fn order() -> String {
    let mut text = String::new();
    for (at, rule) in RULES.iter().enumerate() {
        writeln!(text, "{}. `{}`: {}", at + 1, rule.name, rule.asks).unwrap();
    }
    text
}

/// Every circumstance that is worse than the best, in the order of the rules.
fn circumstances() -> Vec<(&'static str, &'static str, Standing)> {
    let best = Standing::BEST;
    let mut found = Vec::new();
    for life in Life::ALL.into_iter().rev() {
        found.push((life.name(), life.about(), Standing { life, ..best }));
    }
    for subject in Membership::ALL {
        found.push((
            subject.name(),
            subject.about(),
            Standing { subject, ..best },
        ));
    }
    for author in AuthorStanding::ALL {
        found.push((author.name(), author.about(), Standing { author, ..best }));
    }
    for roster in Roster::ALL {
        found.push((roster.name(), roster.about(), Standing { roster, ..best }));
    }
    for exercise in Exercise::ALL {
        let standing = Standing { exercise, ..best };
        found.push((exercise.name(), exercise.about(), standing));
    }
    for operator in Operator::ALL {
        let standing = Standing { operator, ..best };
        found.push((operator.name(), operator.about(), standing));
    }
    found.retain(|(_, _, standing)| *standing != best);
    found
}

/// What a circumstance leaves of an action, and the rule that took the rest.
fn left_of(action: Action, standing: Standing) -> (String, BTreeSet<&'static str>) {
    type Cell = (Marking, Subject);
    let mut before: BTreeSet<Cell> = BTreeSet::new();
    let mut after: BTreeSet<Cell> = BTreeSet::new();
    let mut rules = BTreeSet::new();
    for question in Question::all_at(standing).filter(|q| q.action == action) {
        let cell = (question.marking, question.subject);
        let best = Question {
            standing: Standing::BEST,
            ..question
        };
        let decision = question.decide();
        if decision.is_allowed() {
            after.insert(cell);
        }
        if best.decide().is_allowed() {
            before.insert(cell);
            if !decision.is_allowed() {
                rules.insert(decision.rule());
            }
        }
    }
    assert!(after.is_subset(&before), "{standing:?} allows more");
    let lost: BTreeSet<Cell> = before.difference(&after).copied().collect();
    let lost_markings: BTreeSet<Marking> = lost.iter().map(|(marking, _)| *marking).collect();
    let left_subjects: BTreeSet<Subject> = after.iter().map(|(_, subject)| *subject).collect();
    let text = if lost.is_empty() {
        "unchanged".to_owned()
    } else if after.is_empty() {
        "no".to_owned()
    } else if after
        .iter()
        .all(|(marking, _)| !lost_markings.contains(marking))
    {
        let labels: Vec<&str> = lost_markings
            .iter()
            .map(|marking| marking.label())
            .collect();
        format!("no at {}", labels.join(", "))
    } else if lost
        .iter()
        .all(|(_, subject)| !left_subjects.contains(subject))
    {
        let names: Vec<String> = left_subjects.iter().map(|s| format!("`{s}`")).collect();
        format!("only {}", names.join(", "))
    } else {
        panic!("the table has no words for what {standing:?} leaves of {action}")
    };
    (text, rules)
}

fn standing() -> String {
    let actions = Action::ALL.map(|action| format!("`{action}`"));
    let titles = ["circumstance", "denies by"].map(str::to_owned);
    let mut text = head(titles.into_iter().chain(actions));
    for (name, _, standing) in circumstances() {
        let left = Action::ALL.map(|action| left_of(action, standing));
        let rules: BTreeSet<&str> = left.iter().flat_map(|(_, rules)| rules.clone()).collect();
        assert_eq!(rules.len(), 1, "{name} denies by {rules:?}");
        let rule = rules.first().unwrap();
        let cells = left.into_iter().map(|(cell, _)| cell);
        let names = [format!("`{name}`"), format!("`{rule}`")];
        text += &row(names.into_iter().chain(cells));
    }
    text += "\n";
    text += &head(["circumstance", "what it means"].map(str::to_owned));
    for (name, about, _) in circumstances() {
        text += &row([format!("`{name}`"), about.to_owned()]);
    }
    text
}

fn rules() -> String {
    let mut text = head(["denied by", "what a person is told"].map(str::to_owned));
    for rule in DenyRule::ALL {
        text += &row([format!("`{rule}`"), rule.about().to_owned()]);
    }
    text += "\n";
    text += &head(["allowed by", "because"].map(str::to_owned));
    for rule in AllowRule::ALL {
        text += &row([format!("`{rule}`"), rule.about().to_owned()]);
    }
    text
}
