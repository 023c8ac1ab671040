//! A root key in a PKCS#11 token: a smart card, a USB key, an HSM.
//!
//! The token's maker provides a module, a shared library, which is loaded when
//! it is named and never otherwise. Keys are Ed25519 (`CKK_EC_EDWARDS`, signed
//! with `CKM_EDDSA` without parameters: PKCS#11 3.0, section 2.3), found by the
//! label of the token and the label of the key. The private half never leaves
//! the token; one that we make there cannot be extracted.
//!
//! A module runs inside this process and can do whatever it likes there: name
//! only one from the token's maker or the system's packages.

use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Pkcs11Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use watchfire_crypto::{Domain, PublicKey, Signature};
use zeroize::Zeroizing;

use super::root::RootSigner;
use super::{PassphraseError, PassphraseSource};

/// The curve in DER, as an object identifier: 1.3.101.112, RFC 8410.
const ED25519_OID: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];

/// What stands before a public key in DER: an octet string of 32 bytes.
const OCTET_STRING_32: [u8; 2] = [0x04, 0x20];

/// Which key of which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The module: a shared library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The key's label.
    pub key: String,
}

/// Why a token does not serve.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The module does not load.
    #[error("the PKCS#11 module {} does not load: {why}; install it, or check --pkcs11-module", path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        why: String,
    },
    /// No token of that label, or more than one.
    #[error(
        "{found} tokens are labelled {label:?}, and it must be one; plug it in, or check --pkcs11-token against {seen}"
    )]
    Token {
        /// The label.
        label: String,
        /// How many have it.
        found: usize,
        /// The labels that there are.
        seen: String,
    },
    /// No key of that label.
    #[error(
        "the token holds no Ed25519 key labelled {label:?}; make it with \"watchfire key ceremony\", or check --pkcs11-key"
    )]
    NoKey {
        /// The label.
        label: String,
    },
    /// More than one key of that label.
    #[error("the token holds {found} Ed25519 keys labelled {label:?}; give each its own label")]
    Ambiguous {
        /// The label.
        label: String,
        /// How many.
        found: usize,
    },
    /// A key of that label is there already.
    #[error("the token holds a key labelled {label:?} already; it is not replaced")]
    KeyExists {
        /// The label.
        label: String,
    },
    /// What the token shows as public key is none.
    #[error(
        "the public key labelled {label:?} is not one of Ed25519; use a token that has that curve"
    )]
    PublicKey {
        /// The label.
        label: String,
    },
    /// The PIN is wrong.
    #[error("the PIN is not right; tokens lock themselves after a few wrong ones")]
    Pin,
    /// The token is locked.
    #[error("the token is locked after too many wrong PINs; its security officer can unlock it")]
    Locked,
    /// No PIN to be had.
    #[error(transparent)]
    NoPin(#[from] PassphraseError),
    /// The token refused.
    #[error("the token did not {operation}: {why}")]
    Refused {
        /// What it was asked to do.
        operation: &'static str,
        /// What it said.
        why: String,
    },
}

/// A key in a token that is logged in to.
pub struct TokenRoot {
    session: Session,
    private: ObjectHandle,
    public: PublicKey,
    // Last, so that the session ends before the module goes.
    _module: Pkcs11,
}

impl TokenRoot {
    /// Opens the key that `named` names.
    ///
    /// # Errors
    /// [`TokenError`]; [`TokenError::NoKey`] where a new one could be made.
    pub fn open(named: &TokenKey, pin: &PassphraseSource) -> Result<Self, TokenError> {
        Token::log_in(named, pin)?.open()
    }
}

/// A token that is logged in to, and the label of a key that may be in it.
pub struct Token {
    session: Session,
    label: String,
    // Last, so that the session ends before the module goes.
    module: Pkcs11,
}

impl Token {
    /// Loads the module, finds the token, and logs in.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn log_in(named: &TokenKey, pin: &PassphraseSource) -> Result<Self, TokenError> {
        let module = load(&named.module)?;
        let slot = slot_of(&module, &named.token)?;
        // A key is made in a session that may write; one that signs needs no
        // more than to read, but some tokens log in to both or neither.
        let session = module
            .open_rw_session(slot)
            .map_err(refused("open a session"))?;
        let mut pin = pin.obtain_pin(&format!("the token {:?}", named.token))?;
        let pin = AuthPin::from(std::mem::take(&mut *pin));
        session
            .login(UserType::User, Some(&pin))
            .map_err(refused("log in"))?;
        Ok(Self {
            session,
            label: named.key.clone(),
            module,
        })
    }

    /// Whether any key of the label is there, of whatever kind.
    ///
    /// # Errors
    /// What the token says.
    pub fn holds_key(&self) -> Result<bool, TokenError> {
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            let there = self
                .session
                .find_objects(&[
                    Attribute::Class(class),
                    Attribute::Label(self.label.clone().into_bytes()),
                ])
                .map_err(refused("search its keys"))?;
            if !there.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a new key, which the token refuses to give out, and opens it.
    ///
    /// # Errors
    /// [`TokenError::KeyExists`], and what the token says.
    pub fn create(self) -> Result<TokenRoot, TokenError> {
        if self.holds_key()? {
            return Err(TokenError::KeyExists { label: self.label });
        }
        let label = Attribute::Label(self.label.clone().into_bytes());
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(ED25519_OID.to_vec()),
            label.clone(),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            label,
        ];
        self.session
            .generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)
            .map_err(refused("make an Ed25519 key"))?;
        self.open()
    }

    /// Opens the key of the label.
    ///
    /// # Errors
    /// [`TokenError::NoKey`], [`TokenError::Ambiguous`], and what the token says.
    pub fn open(self) -> Result<TokenRoot, TokenError> {
        let private = only(&self.session, ObjectClass::PRIVATE_KEY, &self.label)?;
        let shown = only(&self.session, ObjectClass::PUBLIC_KEY, &self.label)?;
        let attributes = self
            .session
            .get_attributes(shown, &[AttributeType::EcPoint])
            .map_err(refused("show its public key"))?;
        let point = attributes.into_iter().find_map(|attribute| {
            if let Attribute::EcPoint(point) = attribute {
                Some(point)
            } else {
                None
            }
        });
        let Some(public) = point.and_then(|point| public_of(&point)) else {
            return Err(TokenError::PublicKey { label: self.label });
        };
        Ok(TokenRoot {
            session: self.session,
            private,
            public,
            _module: self.module,
        })
    }
}

impl RootSigner for TokenRoot {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, domain: Domain, message: &[u8]) -> Result<Signature, TokenError> {
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let signature = self
            .session
            .sign(&mechanism, self.private, &domain.preimage(message))
            .map_err(refused("sign"))?;
        let signature: [u8; 64] =
            signature
                .try_into()
                .map_err(|other: Vec<u8>| TokenError::Refused {
                    operation: "sign",
                    why: format!("a signature of {} bytes instead of 64", other.len()),
                })?;
        Ok(Signature::from_bytes(signature))
    }
}

fn refused(operation: &'static str) -> impl FnOnce(Pkcs11Error) -> TokenError {
    move |error| {
        if let Pkcs11Error::Pkcs11(said, _) = &error {
            if matches!(said, RvError::PinIncorrect | RvError::PinLenRange) {
                return TokenError::Pin;
            }
            if matches!(said, RvError::PinLocked) {
                return TokenError::Locked;
            }
        }
        TokenError::Refused {
            operation,
            why: error.to_string(),
        }
    }
}

fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    let module = Pkcs11::new(path).map_err(|error| TokenError::Module {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    module
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(refused("start"))?;
    Ok(module)
}

fn slot_of(module: &Pkcs11, label: &str) -> Result<Slot, TokenError> {
    let slots = module
        .get_slots_with_initialized_token()
        .map_err(refused("list its slots"))?;
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for slot in slots {
        let info = module
            .get_token_info(slot)
            .map_err(refused("show its label"))?;
        if info.label() == label {
            found.push(slot);
        }
        seen.push(format!("{:?}", info.label()));
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        other => Err(TokenError::Token {
            label: label.to_owned(),
            found: other.len(),
            seen: if seen.is_empty() {
                "no token at all".to_owned()
            } else {
                seen.join(", ")
            },
        }),
    }
}

/// The one key of a label.
fn only(session: &Session, class: ObjectClass, label: &str) -> Result<ObjectHandle, TokenError> {
    let found = session
        .find_objects(&[
            Attribute::Class(class),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Label(label.as_bytes().to_vec()),
        ])
        .map_err(refused("search its keys"))?;
    match found.as_slice() {
        [key] => Ok(*key),
        [] => Err(TokenError::NoKey {
            label: label.to_owned(),
        }),
        several => Err(TokenError::Ambiguous {
            label: label.to_owned(),
            found: several.len(),
        }),
    }
}

/// The key in `CKA_EC_POINT`: an octet string in DER, as the standard has it, or
/// the bare 32 bytes, as some tokens give them.
fn public_of(point: &[u8]) -> Option<PublicKey> {
    let bare = point.strip_prefix(&OCTET_STRING_32).unwrap_or(point);
    PublicKey::enrol(bare.try_into().ok()?).ok()
}

impl PassphraseSource {
    /// The PIN of a token, which the prompt names; from the same places as a
    /// passphrase.
    ///
    /// # Errors
    /// Those of [`obtain`](Self::obtain).
    pub fn obtain_pin(&self, token: &str) -> Result<Zeroizing<String>, PassphraseError> {
        self.obtain_text_for(token)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use watchfire_crypto::SigningKey;

    use super::*;

    #[test]
    fn a_public_key_is_read_with_and_without_its_wrapping() {
        let key = SigningKey::from_seed(&[1; 32]).public();
        assert_eq!(public_of(key.as_bytes()), Some(key));
        let wrapped = [&OCTET_STRING_32[..], key.as_bytes()].concat();
        assert_eq!(public_of(&wrapped), Some(key));
        for other in [&[][..], &[4, 32], &[0; 32], &[7; 57]] {
            assert_eq!(public_of(other), None);
        }
    }

    #[test]
    fn a_module_that_is_none_says_so() {
        let named = TokenKey {
            module: PathBuf::from("no-such-module.so"),
            token: "root".to_owned(),
            key: "root".to_owned(),
        };
        let text = TokenRoot::open(&named, &PassphraseSource::Prompt)
            .err()
            .unwrap()
            .to_string();
        assert!(
            text.contains("no-such-module.so does not load") && text.contains("; install it"),
            "{text}"
        );
    }
}
