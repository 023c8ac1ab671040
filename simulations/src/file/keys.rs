//! Every key of a scenario file: where it stands, its form, whether it must
//! be there, what it means. The parser and the JSON Schema are made of this
//! one table.

use super::agenda;
use crate::puppet::Habit;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A text that is not blank.
    Text,
    /// A whole number, from the first to the second.
    Count(u64, u64),
    /// Two of them, the lower first.
    Counts(u64),
    /// `true` or `false`.
    Flag,
    /// A whole number with a unit.
    Duration,
    /// Two of them, the shorter first.
    Durations,
    /// A percentage.
    Share,
    /// Numbers and ranges.
    Seeds,
    /// Numbers of hosts.
    Hosts,
    /// One of these words.
    Topology,
    /// One of the habits.
    Habit,
}

/// The words that name a topology.
pub(crate) const TOPOLOGIES: [&str; 3] = ["full", "hubs", "ring"];

impl Form {
    /// The words it allows, if it allows only words.
    pub(crate) fn words(self) -> Vec<&'static str> {
        match self {
            Self::Topology => TOPOLOGIES.to_vec(),
            Self::Habit => Habit::ALL.iter().map(|(name, _)| *name).collect(),
            Self::Text
            | Self::Count(..)
            | Self::Counts(_)
            | Self::Flag
            | Self::Duration
            | Self::Durations
            | Self::Share
            | Self::Seeds
            | Self::Hosts => Vec::new(),
        }
    }

    /// What to write instead, in words.
    pub(crate) fn wanted(self) -> String {
        match self {
            Self::Text => "a text that is not blank".to_owned(),
            Self::Count(low, high) => format!("a whole number from {low} to {high}"),
            Self::Counts(high) => {
                format!("two whole numbers up to {high}, the lower first, as in [0, 4]")
            }
            Self::Flag => "true or false".to_owned(),
            Self::Duration => {
                "a duration such as \"250ms\", \"15s\", \"3m\", \"12h\" or \"20d\"".to_owned()
            }
            Self::Durations => {
                "two durations, the shorter first, as in [\"5ms\", \"60ms\"]".to_owned()
            }
            Self::Share => "a percentage such as \"5%\" or \"0.25%\"".to_owned(),
            Self::Seeds => "a list of numbers and ranges, as in [\"1..4\", 1062]".to_owned(),
            Self::Hosts => "a list of hosts, counted from 0, as in [0, 3]".to_owned(),
            Self::Topology | Self::Habit => {
                let words: Vec<String> = self
                    .words()
                    .iter()
                    .map(|word| format!("{word:?}"))
                    .collect();
                format!("one of {}", words.join(", "))
            }
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) required: bool,
    /// A value as it is written, which the parser takes.
    pub(crate) example: &'static str,
    pub(crate) what: &'static str,
}

/// A table of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// Its name; empty for the document itself.
    pub(crate) name: &'static str,
    /// Whether it may stand there more than once: `[[name]]`.
    pub(crate) repeated: bool,
    pub(crate) what: &'static str,
    pub(crate) keys: &'static [Key],
}

pub(crate) const fn must(
    name: &'static str,
    form: Form,
    example: &'static str,
    what: &'static str,
) -> Key {
    Key {
        name,
        form,
        required: true,
        example,
        what,
    }
}

pub(crate) const fn may(
    name: &'static str,
    form: Form,
    example: &'static str,
    what: &'static str,
) -> Key {
    Key {
        name,
        form,
        required: false,
        example,
        what,
    }
}

/// Members of a federation here: as many as the protocol allows.
const MEMBERS: Form = Form::Count(2, watchfire_protocol::limits::MEMBERS_MAX as u64);
/// The number of a host.
pub(crate) const HOST: Form = Form::Count(0, watchfire_protocol::limits::MEMBERS_MAX as u64 - 1);
/// What is published or drawn in one run, at most.
const MANY: u64 = 1_000_000;
/// Any number that TOML can write.
pub(crate) const ANY: Form = Form::Count(0, i64::MAX as u64);

/// The whole file.
pub(crate) const SECTIONS: [Section; 15] = [
    Section {
        name: "",
        repeated: false,
        what: "A world of Watchfire engines, what is to happen in it, and what is expected of it.",
        keys: &[
            must(
                "why",
                Form::Text,
                r#""one author crashes while it publishes""#,
                "What the scenario is to show. A scenario without a reason is not kept.",
            ),
            must(
                "members",
                MEMBERS,
                "8",
                "Members of the federation, hostile ones included, one node each. They are numbered from 0; 5, 11, 17 and so on are hubs.",
            ),
            must(
                "seeds",
                Form::Seeds,
                r#"["1..4", 1062]"#,
                "The seeds to play. The seed of a failure that led to a change is added and never removed.",
            ),
            must(
                "duration",
                Form::Duration,
                r#""60s""#,
                "How long faults and publications go on. Then it is calm until everybody has everything, and a quiet minute follows.",
            ),
            may(
                "founders",
                MEMBERS,
                "6",
                "Of the members so many found the federation. The others, of the highest numbers, enter when they are admitted. Default: all.",
            ),
            may(
                "memo",
                Form::Flag,
                "true",
                "Whether equal checks are paid for once. Changes nothing but the time a run takes. Default: true.",
            ),
        ],
    },
    Section {
        name: "network",
        repeated: false,
        what: "How links and disks behave. Loss and doubles end with the faults; the rest stays.",
        keys: &[
            may(
                "topology",
                Form::Topology,
                r#""full""#,
                "Who has a link to whom: everybody to everybody, hubs to everybody and agencies to hubs alone, or each to two neighbours. Default: full.",
            ),
            may(
                "latency",
                Form::Durations,
                r#"["5ms", "60ms"]"#,
                "Delay of a link one way, drawn once for each link. Default: 5ms to 60ms.",
            ),
            may(
                "jitter",
                Form::Duration,
                r#""10ms""#,
                "At most so much more, drawn for each message, so that one overtakes another. Default: 10ms.",
            ),
            may(
                "loss",
                Form::Share,
                r#""1%""#,
                "Messages lost. Default: 1%.",
            ),
            may(
                "duplicates",
                Form::Share,
                r#""1%""#,
                "Gossip messages that arrive twice. Default: 1%.",
            ),
            may(
                "flush",
                Form::Durations,
                r#"["2ms", "15ms"]"#,
                "What a flush of a disk takes. A crash loses what is not flushed. Default: 2ms to 15ms.",
            ),
            may(
                "mesh_degree",
                Form::Count(0, 256),
                "4",
                "How many members a frame of others is forwarded to. Default: 4.",
            ),
            may(
                "clock_skew",
                Form::Duration,
                r#""2s""#,
                "How far a host's wall clock is ahead of the slowest at most. Default: 2s.",
            ),
            may(
                "up_every",
                Form::Duration,
                r#""1h""#,
                "Where links are up only a part of the time: the period of each. When in it a link comes up is drawn for each link. Needs up_for.",
            ),
            may(
                "up_for",
                Form::Duration,
                r#""3m""#,
                "How much of the period a link is up. Needs up_every.",
            ),
        ],
    },
    Section {
        name: "host",
        repeated: true,
        what: "An honest host that differs from the rest: far away, or on a bad disk.",
        keys: &[
            must("number", HOST, "3", "Which host."),
            may(
                "latency",
                Form::Durations,
                r#"["2s", "4s"]"#,
                "Delay of its links one way, instead of the network's.",
            ),
            may(
                "flush",
                Form::Durations,
                r#"["300ms", "3s"]"#,
                "What its flushes take, instead of the network's.",
            ),
        ],
    },
    Section {
        name: "partition",
        repeated: true,
        what: "Hosts on one side of it do not reach those on the other.",
        keys: &[
            must("from", Form::Duration, r#""15s""#, "When it begins."),
            must(
                "until",
                Form::Duration,
                r#""50s""#,
                "When it ends. It ends with the faults at the latest.",
            ),
            must("side", Form::Hosts, "[0, 1]", "The hosts of one side."),
        ],
    },
    Section {
        name: "crash",
        repeated: true,
        what: "A host loses power, and of what it had not flushed all but a drawn first part.",
        keys: &[
            must("at", Form::Duration, r#""10s""#, "When."),
            must("host", HOST, "3", "Which host."),
            must(
                "down",
                Form::Duration,
                r#""5s""#,
                "For how long. It is up again with the end of the faults at the latest.",
            ),
        ],
    },
    Section {
        name: "swarm",
        repeated: false,
        what: "Faults drawn from the seed, on top of those that are named. Both ends are included.",
        keys: &[
            may(
                "partitions",
                Form::Counts(MANY),
                "[0, 4]",
                "How many partitions. Each host is on either side with equal chance. Default: none.",
            ),
            may(
                "partition",
                Form::Durations,
                r#"["1s", "60s"]"#,
                "How long each lasts. Needed where there are partitions.",
            ),
            may(
                "crashes",
                Form::Counts(MANY),
                "[0, 20]",
                "How many crashes. Default: none.",
            ),
            may(
                "crashes_publishing",
                Form::Counts(MANY),
                "[0, 20]",
                "How many crashes more, each of an author shortly after it was asked to publish, while that is not flushed. Default: none.",
            ),
            may(
                "down",
                Form::Durations,
                r#"["100ms", "20s"]"#,
                "How long a host is down after one. Needed where there are crashes.",
            ),
            may(
                "loss_max",
                Form::Share,
                r#""30%""#,
                "Loss is drawn up to this, and replaces that of the network.",
            ),
        ],
    },
    Section {
        name: "workload",
        repeated: false,
        what: "What people publish, at drawn times, by drawn honest members.",
        keys: &[
            may(
                "bundles",
                Form::Count(0, MANY),
                "40",
                "TLP:CLEAR bundles of one indicator. Default: 40.",
            ),
            may(
                "large_every",
                Form::Count(0, MANY),
                "8",
                "Every so many of them is larger than a frame may be, 33 to 300 KB, and is announced and pulled; 0 for none. Default: 8.",
            ),
            may(
                "secrets",
                Form::Count(0, MANY),
                "5",
                "Bundles above CLEAR, in turn GREEN, AMBER, AMBER+STRICT and RED, each with something planted in it that must be nowhere. Engines refuse them as long as they cannot seal. Default: 5.",
            ),
        ],
    },
    agenda::PEOPLE,
    agenda::PROPOSE,
    agenda::SUSPEND,
    agenda::RESTORE,
    agenda::CLONE,
    agenda::STALE,
    Section {
        name: "adversary",
        repeated: true,
        what: "Members that do not run our engine but hold true keys; or an outsider, who holds none.",
        keys: &[
            must(
                "habit",
                Form::Habit,
                r#""flood""#,
                "What it does. README.md of the simulations says what each habit means.",
            ),
            may(
                "hosts",
                Form::Hosts,
                "[1, 3]",
                "Which members. Not for an outsider, who is none.",
            ),
            may(
                "count",
                Form::Count(1, 256),
                "2",
                "Instead of hosts: so many, from the highest number down, of those that no other adversary takes.",
            ),
            may(
                "from",
                Form::Duration,
                r#""10s""#,
                "When it begins to act of its own accord. What it is asked, it answers in its way at all times. Default: at once.",
            ),
            may(
                "until",
                Form::Duration,
                r#""2m""#,
                "When it stops. Default: never, so that the calm and the quiet have it too.",
            ),
            may(
                "every",
                Form::Duration,
                r#""1d""#,
                "Where it acts only a part of the time: the period. Needs lasts.",
            ),
            may(
                "lasts",
                Form::Duration,
                r#""2m""#,
                "How long it acts in each period. Needs every.",
            ),
        ],
    },
    Section {
        name: "expect",
        repeated: false,
        what: "What the report must say. That nothing leaks, all converges, nothing acknowledged is lost and nobody honest is blamed is checked in every run and cannot be switched off.",
        keys: &[
            may(
                "converges_within",
                Form::Duration,
                r#""60s""#,
                "How long after the faults everybody must have everything. Default: 60s.",
            ),
            may(
                "queue_max",
                ANY,
                "50000",
                "Most events that may wait at one time. Default: 50000.",
            ),
            may(
                "published_min",
                ANY,
                "40",
                "Publications that are acknowledged, at least.",
            ),
            may(
                "refused",
                ANY,
                "5",
                "Publications above CLEAR that are refused, exactly.",
            ),
            may("crashes_min", ANY, "6", "Power cuts, at least."),
            may(
                "crashes_with_loss_min",
                ANY,
                "1",
                "Power cuts that took writes with them which were not flushed, at least.",
            ),
            may(
                "conflicts_min",
                ANY,
                "1",
                "Envelopes kept as evidence, over all hosts, at least.",
            ),
            may("conflicts_max", ANY, "0", "The same, at most."),
            may(
                "not_taken_min",
                ANY,
                "1",
                "Frames that are not taken, second copies aside, at least.",
            ),
            may(
                "reconnects_min",
                ANY,
                "1",
                "Links that an engine wants dialled again, at least.",
            ),
            may(
                "delay_p50_max",
                Form::Duration,
                r#""100ms""#,
                "Median from acknowledgement to searchable at another member, faults included.",
            ),
            may(
                "delay_p99_max",
                Form::Duration,
                r#""1s""#,
                "The same, one in a hundred is slower.",
            ),
            may(
                "idle_requests_milli_max",
                ANY,
                "70",
                "Requests of each honest host to each other in the quiet minute, in thousandths a second.",
            ),
            may(
                "bytes_per_node_max",
                ANY,
                "2000000",
                "Bytes put on links, for each member.",
            ),
            may(
                "store_bytes_max",
                ANY,
                "4000000",
                "The largest store of an honest member, in bytes of keys and values.",
            ),
            may(
                "outputs_max",
                ANY,
                "64",
                "Outputs of one step of an engine.",
            ),
            agenda::EPOCHS,
            agenda::ADMISSION,
            agenda::EXPULSION,
            agenda::PARTS_STOPPED,
            agenda::RESUME,
            agenda::FORKS_SEEN,
            agenda::FORKS_PROVEN,
            agenda::SUSPENSIONS,
        ],
    },
];
