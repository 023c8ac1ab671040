//! The Watchfire mesh, sans IO.
//!
//! Bytes from outside come in through `gate`, decisions are made by `policy`,
//! and everything that happens is one step of the engine. There is no socket,
//! clock, thread or ambient randomness here, so a simulation runs the very
//! code that a node ships.

pub mod certify;
pub mod chance;
pub mod ending;
pub mod engine;
pub mod founding;
pub mod gate;
pub mod ids;
pub mod indicator;
pub mod limits;
pub mod marking;
pub mod membership;
pub mod opening;
pub mod policy;
pub mod query;
pub mod roster;
pub mod sealing;
pub mod stix;
pub mod store;
pub mod table;
pub mod time;
pub mod wire;
