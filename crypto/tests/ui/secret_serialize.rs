//! No secret implements `Serialize`.

use watchfire_crypto::{Passphrase, Secret, SigningKey};

fn written(key: &SigningKey, words: &Passphrase, seed: &Secret<[u8; 32]>) {
    let _ = serde_json::to_string(key);
    let _ = serde_json::to_string(words);
    let _ = serde_json::to_string(seed);
}

fn main() {}
