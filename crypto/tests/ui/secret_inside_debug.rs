//! What holds a secret cannot derive what the secret refuses.

use watchfire_crypto::{Passphrase, Secret, SigningKey};

#[derive(Debug)]
struct Keys {
    key: SigningKey,
    words: Passphrase,
    seed: Secret<[u8; 32]>,
}

fn main() {}
