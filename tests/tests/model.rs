//! The roster protocol in a model checker: every order of events within bounds.
//!
//! A test tries the schedules somebody thought of, a simulation those that a
//! seed gave; the checker tries all of them, as far as the bounds reach, and
//! hands back a short way to whatever breaks a property. The bounds and
//! the number of states stand in each module and in tests/README.md; they are
//! small, because what goes wrong with votes goes wrong with four members.
//!
//! What counts votes here is what counts them in a node: `Ballot` and
//! `Thresholds` of the protocol. Everything a rule of the design decides is in
//! `Rules`, so that a mutant is a rule that is wrong by one, and each has a
//! test in which the checker finds what that rule prevents.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "model/dead_ends.rs"]
mod dead_ends;
#[path = "model/freshness.rs"]
mod freshness;
#[path = "model/knowledge.rs"]
mod knowledge;
#[path = "model/naming.rs"]
mod naming;
#[path = "model/rollback.rs"]
mod rollback;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/suspension.rs"]
mod suspension;
#[path = "model/vote.rs"]
mod vote;
#[path = "model/votes.rs"]
mod votes;
#[path = "model/votes_hold.rs"]
mod votes_hold;
#[path = "model/voting.rs"]
mod voting;
#[path = "model/wide.rs"]
mod wide;
