//! What a person and a script see of the command line: text, JSON and exit
//! codes of the real program, against real files and an invented node.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "cli/asking.rs"]
mod asking;
#[path = "cli/ceremony.rs"]
mod ceremony;
#[path = "cli/founding.rs"]
mod founding;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/publishing.rs"]
mod publishing;
#[path = "cli/reference.rs"]
mod reference;
#[path = "cli/renewal.rs"]
mod renewal;
#[path = "cli/roster.rs"]
mod roster;
#[path = "cli/world.rs"]
mod world;
