//! Bytes that wish us ill, through every door there is.
//!
//! Nothing may panic, nothing may be believed, and each defect has the verdict
//! that `docs/wire.md` gives it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "hostile/bombs.rs"]
mod bombs;
#[path = "hostile/doors.rs"]
mod doors;
#[path = "hostile/encodings.rs"]
mod encodings;
#[path = "hostile/flips.rs"]
mod flips;
#[path = "hostile/payloads.rs"]
mod payloads;
#[path = "hostile/random.rs"]
mod random;
#[path = "hostile/secrets.rs"]
mod secrets;
#[path = "hostile/verdicts.rs"]
mod verdicts;
