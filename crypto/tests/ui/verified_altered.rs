//! A value cannot be changed under its proof.

use watchfire_crypto::Verified;

fn altered(mut verified: Verified<u8>) -> Verified<u8> {
    verified.value = 8;
    verified
}

fn main() {}
