//! Secrets: wiped when dropped, and silent. Nothing in this file can be printed, compared, copied or serialized; a
//! compile test says so.

use alloc::string::String;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The longest passphrase in bytes of UTF-8. Ten times the longest anybody types; a bound for what is read from a file.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// A secret value, such as a seed. It is wiped when dropped, and every look at it is spelled out in the code.
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes over a secret. Copies that the caller made before are the caller's to wipe.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The secret itself. Do not keep a copy of it that is not wiped.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> From<Zeroizing<T>> for Secret<T> {
    fn from(value: Zeroizing<T>) -> Self {
        Self(value)
    }
}

impl<T: Zeroize> ZeroizeOnDrop for Secret<T> {}

/// What a person types to open a key file.
pub struct Passphrase(Secret<String>);

impl Passphrase {
    /// Takes a passphrase as it was typed or read. Its bytes count: no trimming, no Unicode normalisation.
    ///
    /// # Errors
    ///
    /// [`PassphraseRefused`] when it is empty, longer than [`PASSPHRASE_BYTES_MAX`] bytes, or holds a line break: one
    /// read from a file with its line end would differ from the same one typed at a prompt. It is wiped then, too.
    pub fn new(text: String) -> Result<Self, PassphraseRefused> {
        let text = Secret::new(text);
        if text.expose().is_empty() {
            return Err(PassphraseRefused::Empty);
        }
        if text.expose().len() > PASSPHRASE_BYTES_MAX {
            return Err(PassphraseRefused::TooLong);
        }
        if text.expose().contains(['\n', '\r']) {
            return Err(PassphraseRefused::LineBreak);
        }
        Ok(Self(text))
    }

    /// The bytes, for the key derivation.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

impl ZeroizeOnDrop for Passphrase {}

/// Why a text is not a passphrase. It never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseRefused {
    /// Nothing was typed.
    #[error("passphrase refused: it is empty; choose one of several words")]
    Empty,
    /// More than [`PASSPHRASE_BYTES_MAX`] bytes.
    #[error(
        "passphrase refused: it is longer than {PASSPHRASE_BYTES_MAX} bytes; choose a shorter one"
    )]
    TooLong,
    /// It holds a line break.
    #[error("passphrase refused: it holds a line break; give one line without its end")]
    LineBreak,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::string::ToString;

    use super::*;

    #[test]
    fn passphrases_are_one_bounded_line() {
        let refused = |text: &str| Passphrase::new(text.to_string()).err();
        assert_eq!(refused(""), Some(PassphraseRefused::Empty));
        assert_eq!(refused("words\n"), Some(PassphraseRefused::LineBreak));
        assert_eq!(refused("words\r"), Some(PassphraseRefused::LineBreak));
        assert_eq!(refused(&"x".repeat(1025)), Some(PassphraseRefused::TooLong));
        assert_eq!(refused(&"x".repeat(1024)), None);
        assert_eq!(Passphrase::new(" ".to_string()).unwrap().expose(), b" ");
    }

    /// The markers on our own types are promises made by hand; these are the library types that keep them.
    #[test]
    fn attack_49_what_holds_secrets_is_wiped_on_drop() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<Zeroizing<[u8; 32]>>();
        wiped::<ed25519_dalek::SigningKey>();
        wiped::<chacha20poly1305::XChaCha20Poly1305>();
    }
}
