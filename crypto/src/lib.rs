//! Keys, signatures and key files of Watchfire.
//!
//! This crate does no input or output, knows no clock and no protocol, and takes its randomness as an argument; it is
//! `no_std`, so the compiler holds it to that.
//!
//! | file | question it answers |
//! |---|---|
//! | [`domain`] | what is this signature or id for? |
//! | [`sig`] | did this key sign these bytes for that purpose? |
//! | [`signed`] | how does "the signature holds" become a type? |
//! | [`multi`] | did all of these keys sign, each once? |
//! | [`secret`] | how is a secret held, so that it is wiped and never printed? |
//! | [`seal`] | how does something reach its audience, closed to everybody else? |
//! | [`keyfile`] | how does a secret rest in a file, under a passphrase? |
//!
//! # Rules the rest of the product relies on
//!
//! - A [`PublicKey`] is canonical and not weak, because [`PublicKey::enrol`] is the only way to make one.
//! - A [`Verified`] holds, because [`Signed::verify`] is the only way to make one from what arrived. The signature is
//!   checked first, over the bytes as they came; the parser sees nothing that is not signed.
//! - A signature is for one purpose ([`Domain`]), and checks are strict and single, so every node comes to one verdict.
//! - A secret can be neither printed, copied nor serialized, and is wiped when dropped.
//! - Nothing here panics on what a peer or a file says, and work and memory are bounded by its length and by the
//!   constants beside each parser.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod domain;
pub mod keyfile;
pub mod multi;
pub mod seal;
pub mod secret;
pub mod sig;
pub mod signed;

pub use domain::{Domain, Sha256Stream, sha256};
pub use keyfile::{Bounds, Cost, CostRefused, KeyFile, KeyFileError, Purpose};
pub use multi::{MultiRefused, check_all};
pub use secret::{Passphrase, PassphraseRefused, Secret};
pub use sig::{BadSignature, KeyRefused, PublicKey, Signature, SigningKey, check};
pub use signed::{Signed, Statement, Verified, VerifyError};

#[cfg(test)]
mod vectors;
