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

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod domain;
pub mod sig;
pub mod signed;

pub use domain::{Domain, Sha256Stream, sha256};
pub use sig::{BadSignature, KeyRefused, PublicKey, Signature, SigningKey, check};
pub use signed::{Signed, Statement, Verified, VerifyError};
