//! No way of panicking takes a secret along: what prints a value on its way down needs one that can be printed.

use watchfire_crypto::{Passphrase, Secret, SigningKey};

fn an_error_that_is_a_secret(key: Result<(), SigningKey>, words: Result<(), Passphrase>) {
    key.unwrap();
    words.expect("words");
}

fn a_value_that_should_not_be_there(seed: Result<Secret<[u8; 32]>, ()>) {
    seed.unwrap_err();
}

fn a_message(key: &SigningKey, seed: &Secret<[u8; 32]>) {
    panic!("{key:?} {seed:?}");
}

fn a_comparison(one: &Secret<[u8; 32]>, other: &Secret<[u8; 32]>) {
    assert!(one == other);
}

fn main() {}
