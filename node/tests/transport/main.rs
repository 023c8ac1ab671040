//! The transport over real sockets, on loopback alone.
//!
//! A test waits for what must happen, with a generous limit, and never for a fixed time. Where something must *not*
//! happen, the test waits for a later thing on the same path and looks at what came before it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
// A test picks the one event it waits for.
#![allow(clippy::wildcard_enum_match_arm)]

mod byhand;
mod door;
mod exchange;
mod flood;
mod gossip;
mod hostile;
mod links;
mod meddler;
mod raw;
mod scribe;
mod victim;
#[path = "../support/watched.rs"]
mod watched;
mod world;
