//! The Watchfire node: the shell around `watchfire-protocol`.

pub mod certificates;
pub mod cli;
pub mod clock;
pub mod committer;
pub mod control;
pub mod demo;
pub mod disk;
pub mod driver;
pub mod encode;
pub mod formats;
pub mod home;
pub mod invitations;
pub mod keystore;
pub mod limits;
pub mod lives;
pub mod node;
pub mod pool;
pub mod revocations;
pub mod serve;
pub mod transport;
pub mod votes;

pub use cli::main_entry;
