//! The Watchfire node: the shell around `watchfire-protocol`.

pub mod cli;
pub mod committer;
pub mod control;
pub mod disk;
pub mod formats;
pub mod home;
pub mod keystore;
pub mod limits;
pub mod transport;

pub use cli::main_entry;
