//! A proof cannot be made up.

use watchfire_crypto::{PublicKey, Signature, Verified};

fn forged(signer: PublicKey, signature: Signature) -> Verified<u8> {
    Verified {
        value: 7,
        id: [0; 32],
        signer,
        bytes: vec![7],
        signature,
    }
}

fn main() {}
