//! No secret implements `Clone`.

use watchfire_crypto::{Passphrase, Secret, SigningKey};

fn needs<T: Clone>() {}

fn main() {
    needs::<SigningKey>();
    needs::<Passphrase>();
    needs::<Secret<[u8; 32]>>();
    needs::<Secret<Vec<u8>>>();
    needs::<Secret<String>>();
}
