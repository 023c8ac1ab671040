//! The Watchfire node: the shell around `watchfire-protocol`.

pub mod disk;
pub mod formats;
pub mod keystore;
pub mod limits;
pub mod transport;
