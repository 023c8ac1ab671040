//! A public key is enrolled or none.

use watchfire_crypto::PublicKey;

fn main() {
    let _ = PublicKey([0; 32]);
}
