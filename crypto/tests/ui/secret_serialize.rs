//! No secret implements `Serialize`.

use watchfire_crypto::{Passphrase, Secret, SigningKey};

fn written(key: &SigningKey, words: &Passphrase, seed: &Secret<[u8; 32]>, bytes: &Secret<Vec<u8>>, text: &Secret<String>) {
    let _ = serde_json::to_string(key);
    let _ = serde_json::to_string(words);
    let _ = serde_json::to_string(seed);
    let _ = serde_json::to_string(bytes);
    let _ = serde_json::to_string(text);
}

fn main() {}
