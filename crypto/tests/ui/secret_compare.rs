//! No secret is compared, ordered or hashed: each would look at its bytes until the first that differs.

use watchfire_crypto::{Passphrase, Secret, SigningKey};

fn equal<T: PartialEq>() {}
fn ordered<T: PartialOrd>() {}
fn hashed<T: core::hash::Hash>() {}

fn main() {
    equal::<SigningKey>();
    equal::<Passphrase>();
    equal::<Secret<[u8; 32]>>();
    ordered::<SigningKey>();
    ordered::<Passphrase>();
    ordered::<Secret<[u8; 32]>>();
    hashed::<SigningKey>();
    hashed::<Passphrase>();
    hashed::<Secret<[u8; 32]>>();
}
