//! STIX 2.1 as it arrives: bytes that nobody has checked yet.
//!
//! Nothing here is trusted and nothing is rewritten. [`strict`] decides what is
//! JSON at all, [`document`] finds the objects in it and keeps their exact
//! bytes, [`markings`] computes how far they may go, [`pattern`] takes from an
//! indicator's pattern what can be searched for, and [`index`] puts the three
//! together into what the engine files away.

pub mod document;
pub mod index;
pub mod markings;
pub mod object;
pub mod pattern;
pub mod strict;
pub mod time;

mod links;
