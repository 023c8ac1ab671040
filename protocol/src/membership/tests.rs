//! What a node makes of notices, whatever a few members sign and in whatever
//! order it comes.

pub(crate) mod federation;

mod bounds;
mod bringing;
mod certificates;
mod deliberation;
mod freshness;
mod order;
mod suspensions;
mod time;
