//! The root key of a member, wherever it is: in a key file or in a token.
//!
//! Who uses a root asks it to sign and never sees it. What it signed is checked
//! by whoever asked, because a token is a program of somebody else.

use watchfire_crypto::{Domain, PublicKey, Signature, SigningKey};

use super::token::TokenError;

/// Signs as a member's root.
pub trait RootSigner {
    /// The public half, as the root itself says.
    fn public(&self) -> PublicKey;

    /// Signs `message` for one purpose.
    ///
    /// # Errors
    /// [`TokenError`], when a token does not do it; a key in memory always can.
    fn sign(&self, domain: Domain, message: &[u8]) -> Result<Signature, TokenError>;
}

/// A root whose key file has been opened.
impl RootSigner for SigningKey {
    fn public(&self) -> PublicKey {
        Self::public(self)
    }

    fn sign(&self, domain: Domain, message: &[u8]) -> Result<Signature, TokenError> {
        Ok(Self::sign(self, domain, message))
    }
}
