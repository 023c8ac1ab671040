//! No secret implements `Display`.

use watchfire_crypto::{Passphrase, Secret, SigningKey};

fn needs<T: core::fmt::Display>() {}

fn main() {
    needs::<SigningKey>();
    needs::<Passphrase>();
    needs::<Secret<[u8; 32]>>();
    needs::<Secret<Vec<u8>>>();
    needs::<Secret<String>>();
}
