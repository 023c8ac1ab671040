//! A claim is no proof.

use watchfire_crypto::{Signed, Statement, Verified};

fn believed<T: Statement>(arrived: Signed<T>) -> Result<Verified<T>, T::Malformed> {
    arrived.claims()
}

fn main() {}
