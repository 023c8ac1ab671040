//! What the tests of this package share: a forge of frames, good and spoiled,
//! names for every verdict, a mesh of real nodes on loopback, and processes of
//! the program on data directories of that mesh.
//!
//! The encodings here are written from `docs/wire.md` and not with the
//! product's own codec where that would let both be wrong alike.

// Only tests use this library: a forge that cannot forge is a failed test, and
// says where.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

pub mod bytes;
pub mod catalogue;
pub mod forge;
pub mod membership;
pub mod mesh;
pub mod program;
pub mod targets;
pub mod verdict;
pub mod walkthrough;
pub mod zstd;
