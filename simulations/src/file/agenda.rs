//! The keys of what happens to the membership, and how they are read.

use super::keys::{ANY, Form, HOST, Key, Section, may, must};
use super::read::{Document, Filled};
use super::{Building, size};
use crate::agenda::{Agenda, Cloning, Motion, Restoring, Suspending};
use crate::scenario::Partition;
use watchfire_protocol::limits::SUSPENSION_LIFE_MS_MAX;

/// What a person takes, where nothing is said.
const PERSON_MS: (u64, u64) = (10 * 60_000, 6 * 3_600_000);

const AT: Key = must("at", Form::Duration, r#""2h""#, "When.");

pub(crate) const PEOPLE: Section = Section {
    name: "people",
    repeated: false,
    what: "People who vote on rosters. They agree to every proposal but their own expulsion.",
    keys: &[may(
        "delay",
        Form::Durations,
        r#"["10m", "6h"]"#,
        "What a person takes until it acts, drawn each time. Default: 10m to 6h.",
    )],
};

pub(crate) const PROPOSE: Section = Section {
    name: "propose",
    repeated: true,
    what: "A roster that somebody proposes, and proposes again where another is decided first.",
    keys: &[
        AT,
        must("by", HOST, "2", "At which host."),
        may(
            "admit",
            Form::Hosts,
            "[7]",
            "Who is to enter: hosts that are no founders.",
        ),
        may("expel", Form::Hosts, "[5]", "Who is to leave."),
    ],
};

pub(crate) const SUSPEND: Section = Section {
    name: "suspend",
    repeated: true,
    what: "A member that others suspend. It counts once more of them do than may lie.",
    keys: &[
        must(
            "at",
            Form::Duration,
            r#""2h""#,
            "When; each of them acts when its person does.",
        ),
        must("host", HOST, "5", "Whom."),
        must("by", Form::Hosts, "[1, 2, 3]", "At which hosts."),
        may(
            "for",
            Form::Duration,
            r#""72h""#,
            "For how long; at most 72h. Default: 72h.",
        ),
    ],
};

pub(crate) const RESTORE: Section = Section {
    name: "restore",
    repeated: true,
    what: "A host that loses its disk and goes on from an old copy of it. It publishes once after the copy, and three times after it was put back, at first before anybody has told it anything.",
    keys: &[
        must("host", HOST, "3", "Which."),
        must(
            "copied",
            Form::Duration,
            r#""1d""#,
            "When the copy is made.",
        ),
        must(
            "at",
            Form::Duration,
            r#""2d""#,
            "When the host goes on from it.",
        ),
    ],
};

pub(crate) const CLONE: Section = Section {
    name: "clone",
    repeated: true,
    what: "A host that runs twice from one state. Half of the members reach the second alone, and both publish.",
    keys: &[
        must("host", HOST, "3", "Which."),
        must("at", Form::Duration, r#""1d""#, "When the second begins."),
        must(
            "until",
            Form::Duration,
            r#""2d""#,
            "When it is found and switched off.",
        ),
    ],
};

pub(crate) const STALE: Section = Section {
    name: "stale",
    repeated: true,
    what: "A host that runs and reaches nobody.",
    keys: &[
        must("host", HOST, "3", "Which."),
        must("from", Form::Duration, r#""1d""#, "From when on."),
        must(
            "until",
            Form::Duration,
            r#""5d""#,
            "Until when. It ends with the faults at the latest.",
        ),
    ],
};

// What is expected of the membership: keys of `[expect]`.

pub(crate) const EPOCHS: Key = may(
    "epochs",
    ANY,
    "2",
    "The number of the last roster, exactly.",
);

pub(crate) const ADMISSION: Key = may(
    "admission_max",
    Form::Duration,
    r#""20h""#,
    "From the proposal of an admission to decided at the last node.",
);

pub(crate) const EXPULSION: Key = may(
    "expulsion_max",
    Form::Duration,
    r#""20h""#,
    "The same of an expulsion.",
);

pub(crate) const PARTS_STOPPED: Key = may(
    "parts_stopped_min",
    ANY,
    "1",
    "Parts of the federation, cut off with too few members, that stop being fresh for AMBER, at least. That none is fresh for longer than a day, and each is again, is checked in every run with an agenda.",
);

pub(crate) const RESUME: Key = may(
    "resume_max",
    Form::Duration,
    r#""2h""#,
    "How long after the cut heals such a part is fresh again.",
);

pub(crate) const FORKS_SEEN: Key = may(
    "forks_seen",
    ANY,
    "1",
    "Members that contradict themselves and of whom somebody holds it, exactly.",
);

pub(crate) const FORKS_PROVEN: Key = may(
    "forks_proven_min",
    ANY,
    "1",
    "Members of whom a proof of that is told to others, at least.",
);

pub(crate) const SUSPENSIONS: Key = may(
    "suspensions_agreed_min",
    ANY,
    "1",
    "Suspensions that every node counts at one moment, at least.",
);

impl Building {
    /// The agenda, and the partitions that stale hosts are.
    pub(super) fn agenda(&mut self, document: &Document, members: usize) -> Agenda {
        let mut agenda = Agenda {
            motions: self.motions(document.all("propose"), members),
            suspensions: self.suspensions(document.all("suspend"), members),
            restores: self.restores(document.all("restore"), members),
            clones: self.clones(document.all("clone"), members),
            person_ms: (0, 0),
        };
        let people = document.one("people");
        let stale = document.all("stale");
        if agenda.is_on() || !document.all("people").is_empty() || !stale.is_empty() {
            agenda.person_ms = people.pair("delay").unwrap_or(PERSON_MS);
        }
        agenda
    }

    pub(super) fn stale(&mut self, tables: &[Filled], members: usize) -> Vec<Partition> {
        tables
            .iter()
            .map(|table| {
                let (from_ms, until_ms) = self.span(table, "from", "until");
                Partition {
                    from_ms,
                    until_ms,
                    side: vec![self.host(table, "host", members)],
                }
            })
            .collect()
    }

    /// Two moments of which the second must be later.
    fn span(&mut self, table: &Filled, first: &str, second: &str) -> (u64, u64) {
        let from_ms = table.number(first).unwrap_or(0);
        let until_ms = table.number(second).unwrap_or(0);
        if until_ms <= from_ms {
            self.complain(
                table.line_of(second),
                format!("{second} is not after {first}"),
            );
        }
        (from_ms, until_ms)
    }

    fn motions(&mut self, tables: &[Filled], members: usize) -> Vec<Motion> {
        tables
            .iter()
            .map(|table| {
                let motion = Motion {
                    at_ms: table.number("at").unwrap_or(0),
                    by: self.host(table, "by", members),
                    admit: self.hosts(table, "admit", members),
                    expel: self.hosts(table, "expel", members),
                };
                if motion.admit.is_empty() && motion.expel.is_empty() {
                    self.complain(table.line, "a proposal needs admit, expel or both");
                }
                motion
            })
            .collect()
    }

    fn suspensions(&mut self, tables: &[Filled], members: usize) -> Vec<Suspending> {
        tables
            .iter()
            .map(|table| {
                let life_ms = table.number("for").unwrap_or(SUSPENSION_LIFE_MS_MAX);
                if life_ms > SUSPENSION_LIFE_MS_MAX {
                    self.complain(table.line_of("for"), "a suspension lasts at most 72h");
                }
                Suspending {
                    at_ms: table.number("at").unwrap_or(0),
                    host: self.host(table, "host", members),
                    by: self.hosts(table, "by", members),
                    life_ms,
                }
            })
            .collect()
    }

    fn restores(&mut self, tables: &[Filled], members: usize) -> Vec<Restoring> {
        tables
            .iter()
            .map(|table| {
                let (copied_ms, at_ms) = self.span(table, "copied", "at");
                Restoring {
                    host: self.host(table, "host", members),
                    copied_ms,
                    at_ms,
                }
            })
            .collect()
    }

    fn clones(&mut self, tables: &[Filled], members: usize) -> Vec<Cloning> {
        tables
            .iter()
            .map(|table| {
                let (at_ms, until_ms) = self.span(table, "at", "until");
                Cloning {
                    host: self.host(table, "host", members),
                    at_ms,
                    until_ms,
                }
            })
            .collect()
    }

    /// How many members found the federation, and that who enters does not.
    pub(super) fn founders(&mut self, root: &Filled, agenda: &Agenda, members: usize) -> usize {
        let founders = root.number("founders").map_or(members, size);
        let line = root.line_of("founders");
        if founders > members {
            self.complain(line, format!("there are {members} members"));
        }
        for motion in &agenda.motions {
            for host in motion.admit.iter().filter(|host| **host < founders) {
                self.complain(line, format!("host {host} is a founder and cannot enter"));
            }
        }
        founders
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::file::ScenarioFile;

    #[test]
    fn what_contradicts_itself_is_refused_with_its_line() {
        let text = "why = \"x\"\nmembers = 5\nfounders = 4\nseeds = [1]\nduration = \"2d\"\n\
            [[propose]]\nat = \"1h\"\nby = 1\nadmit = [3]\n\
            [[propose]]\nat = \"1h\"\nby = 1\n\
            [[suspend]]\nat = \"1h\"\nhost = 1\nby = [2]\nfor = \"73h\"\n\
            [[restore]]\nhost = 1\ncopied = \"2h\"\nat = \"1h\"\n\
            [[clone]]\nhost = 9\nat = \"1h\"\nuntil = \"2h\"\n\
            [[stale]]\nhost = 1\nform = \"1h\"\nuntil = \"2h\"\n";
        let error = ScenarioFile::parse("x", text).unwrap_err().to_string();
        assert!(
            error.contains("line 28: [stale] has no key \"form\"; did you mean \"from\"?"),
            "{error}"
        );
        let error = ScenarioFile::parse("x", &text.replace("form", "from"))
            .unwrap_err()
            .to_string();
        for part in [
            "line 3: host 3 is a founder and cannot enter",
            "line 10: a proposal needs admit, expel or both",
            "line 17: a suspension lasts at most 72h",
            "line 21: at is not after copied",
            "line 23: there is no host 9",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
