//! A node that loses its store, and the commands that look after one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "store/commands.rs"]
mod commands;
#[path = "store/loss.rs"]
mod loss;
