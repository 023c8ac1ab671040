//! A world of Watchfire engines in virtual time on a hostile network.
//!
//! The engines are the ones a node ships; what is modelled is everything
//! around them: links, gossip, disks, crashes, people who publish, and members
//! who lie. One thread, no clock: the same [`Scenario`] and seed give the same
//! events, the same trace and the same stores, on every machine.
//!
//! | file | models |
//! |---|---|
//! | `scenario` | what is to happen, and within which bounds it must end well |
//! | `world` | virtual time: the queue of events, and one step of it |
//! | `founding` | how a world begins |
//! | `network` | links: latency, loss, partitions, dialling |
//! | `traffic` | what engines ask to be carried: gossip, requests, answers |
//! | `host` | one machine: engine, disk, seen-cache, scores |
//! | `disk` | a store that can lose what was not flushed |
//! | `memo` | signature checks and openings, paid for once per distinct input |
//! | `workload` | bundles that people publish, and what was planted in them |
//! | `puppet`, `habits` | members who do not run our engine, and an outsider |
//! | `checks` | no leak, converges, nothing lost, bounded |
//! | `agenda` | what happens to the membership: who is proposed, suspended, put back, run twice |
//! | `people`, `votes` | what people do about membership, and what offline roots sign |
//! | `roll` | what came of the membership, and what must hold of it |
//! | `copies` | hosts that begin late, go on from an old copy, or run twice |
//! | `schedules` | the membership of four engines alone, in every order |
//! | `account` | what was put on links, by kind |
//! | `expect` | what a scenario expects of its report |
//! | `trace` | the hash over everything that happened |
//! | `file` | scenarios as TOML: keys, forms, complaints, the JSON Schema |

mod account;
mod agenda;
mod chance;
mod checks;
mod copies;
mod disk;
mod expect;
pub mod file;
mod founding;
mod habits;
mod host;
mod memo;
mod network;
mod people;
mod puppet;
mod roll;
mod scenario;
mod schedules;
mod steps;
mod trace;
mod traffic;
mod votes;
mod who;
mod workload;
mod world;

pub use account::{Account, Freight};
pub use agenda::{Agenda, Cloning, Motion, Restoring, Suspending};
pub use checks::{Failure, LeakWatch};
pub use disk::Disk;
pub use expect::{Expect, Unmet};
pub use puppet::Habit;
pub use roll::Census;
pub use scenario::{
    Crash, Hostile, Network, OddHost, Partition, Scenario, Sessions, Swarm, Topology, When,
    Workload,
};
pub use schedules::{Fault, Played, play_schedule};
pub use trace::TraceHash;
pub use world::{Report, World};
