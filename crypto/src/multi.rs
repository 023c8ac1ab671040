//! One statement, several keys: a genesis signed by every founder, a vote collected from a quorum.
//!
//! Whether the keys are *enough*, and whether they may sign at all, is for the protocol to decide. Here is decided only
//! what cannot depend on that: nobody counts twice, and every signature holds on its own.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use crate::sig::check;
use crate::{Domain, PublicKey, Signature};

/// Whether each of `keys` signed `message` for `domain`, with the signature at the same place in `signatures`.
///
/// The work is one check for each key, so the caller bounds the lists. All lists are compared before the first check.
///
/// # Errors
///
/// [`MultiRefused`] when there is no key, when the lists differ in length, when one key appears twice, or when a
/// signature does not hold.
pub fn check_all(
    keys: &[PublicKey],
    domain: Domain,
    message: &[u8],
    signatures: &[Signature],
) -> Result<(), MultiRefused> {
    if keys.is_empty() {
        return Err(MultiRefused::NoKeys);
    }
    if keys.len() != signatures.len() {
        return Err(MultiRefused::CountsDiffer {
            keys: keys.len(),
            signatures: signatures.len(),
        });
    }
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(MultiRefused::KeyTwice {
                key: Box::new(*key),
            });
        }
    }
    for (key, signature) in keys.iter().zip(signatures) {
        check(key, domain, message, signature).map_err(|_| MultiRefused::BadSignature {
            key: Box::new(*key),
        })?;
    }
    Ok(())
}

/// Why a statement is not signed by all of the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MultiRefused {
    /// No key at all: a threshold of nothing would hold for everybody.
    #[error("signatures refused: no key is named; name every key that has to sign")]
    NoKeys,
    /// The two lists do not fit.
    #[error(
        "signatures refused: {keys} keys and {signatures} signatures; collect one signature for each key"
    )]
    CountsDiffer {
        /// How many keys there are.
        keys: usize,
        /// How many signatures there are.
        signatures: usize,
    },
    /// One key would count twice.
    #[error("signatures refused: key {key} is listed twice; list every key once")]
    KeyTwice {
        /// The key.
        key: Box<PublicKey>,
    },
    /// One signature does not hold.
    #[error("signatures refused: that of key {key} does not hold; ask its owner to sign again")]
    BadSignature {
        /// The key.
        key: Box<PublicKey>,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use std::vec::Vec;

    use super::*;
    use crate::SigningKey;

    const GENESIS: Domain = Domain::new("genesis");

    fn signers(count: u8) -> Vec<SigningKey> {
        (1..=count)
            .map(|i| SigningKey::from_seed(&[i; 32]))
            .collect()
    }

    fn lists(signers: &[SigningKey], message: &[u8]) -> (Vec<PublicKey>, Vec<Signature>) {
        let keys = signers.iter().map(SigningKey::public).collect();
        let signatures = signers
            .iter()
            .map(|key| key.sign(GENESIS, message))
            .collect();
        (keys, signatures)
    }

    #[test]
    fn every_signature_must_hold_in_its_place() {
        let (keys, mut signatures) = lists(&signers(4), b"founding");
        assert_eq!(check_all(&keys, GENESIS, b"founding", &signatures), Ok(()));
        signatures.swap(1, 2);
        assert_eq!(
            check_all(&keys, GENESIS, b"founding", &signatures),
            Err(MultiRefused::BadSignature {
                key: Box::new(keys[1])
            })
        );
    }

    #[test]
    fn attack_06_all_signatures_are_for_the_one_purpose() {
        let (keys, signatures) = lists(&signers(2), b"founding");
        let refused = check_all(&keys, Domain::new("roster"), b"founding", &signatures);
        assert_eq!(
            refused,
            Err(MultiRefused::BadSignature {
                key: Box::new(keys[0])
            })
        );
    }

    #[test]
    fn attack_15_nobody_signs_for_two() {
        let (keys, signatures) = lists(&signers(3), b"founding");

        // One key at two places, with a signature that holds at both.
        let twice = [keys[0], keys[1], keys[0]];
        let signed = [signatures[0], signatures[1], signatures[0]];
        assert_eq!(
            check_all(&twice, GENESIS, b"founding", &signed),
            Err(MultiRefused::KeyTwice {
                key: Box::new(keys[0])
            })
        );
        // One key with several signatures, one signature too few, and no threshold at all.
        assert_eq!(
            check_all(&keys[..1], GENESIS, b"founding", &signatures),
            Err(MultiRefused::CountsDiffer {
                keys: 1,
                signatures: 3
            })
        );
        assert_eq!(
            check_all(&keys, GENESIS, b"founding", &signatures[..2]),
            Err(MultiRefused::CountsDiffer {
                keys: 3,
                signatures: 2
            })
        );
        assert_eq!(
            check_all(&[], GENESIS, b"founding", &[]),
            Err(MultiRefused::NoKeys)
        );
    }
}
