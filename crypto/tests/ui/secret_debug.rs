//! No secret implements `Debug`.

use watchfire_crypto::{Passphrase, Secret, SigningKey};

fn needs<T: core::fmt::Debug>() {}

fn main() {
    needs::<SigningKey>();
    needs::<Passphrase>();
    needs::<Secret<[u8; 32]>>();
    needs::<Secret<Vec<u8>>>();
    needs::<Secret<String>>();
}
