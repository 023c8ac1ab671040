//! Attack 49, and the promise of `Verified`: what must not be written does not compile.

#[test]
fn attack_49_secrets_are_silent_and_proofs_are_not_made_up() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
