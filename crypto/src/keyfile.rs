//! Key files: one secret under one passphrase, as nine lines of ASCII.
//!
//! ```text
//! watchfire-key 1
//! purpose root
//! public 9b5c…      64 hex digits: the public key, readable without the passphrase
//! memory-kib 65536  Argon2id (RFC 9106): memory in KiB, passes, lanes
//! passes 3
//! lanes 1
//! salt 51d2…        32 hex digits
//! nonce 07aa…       48 hex digits
//! sealed e4f1…      XChaCha20-Poly1305 of the secret, with its tag
//! ```
//!
//! The eight lines above `sealed` are the associated data, so changing any of them is found. Exactly one text stands for
//! one file: lower-case digits, this order, one line feed after each line. The cost a file asks for is judged before
//! anything is allocated, because the file may come from somebody else: too little would betray the passphrase of whoever
//! reuses it, too much would stop the machine.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use argon2::{Algorithm, Argon2, Block, Version};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::{Passphrase, PublicKey, Secret, SigningKey};

mod cost;

pub use cost::{Bounds, Cost, CostRefused};

/// The longest secret in bytes. A seed has 32; the rest is room for a transport key in its own encoding.
pub const SECRET_BYTES_MAX: usize = 4096;

/// The longest key file in bytes: the sealed secret as hex (2 × (4096 + 16)) and 512 for the eight lines above it, which
/// need at most 321.
pub const KEY_FILE_BYTES_MAX: usize = 2 * (SECRET_BYTES_MAX + TAG_BYTES) + 512;

/// What [`KeyFile::seal`] takes from the operating system's randomness: salt and nonce.
pub const ENTROPY_BYTES: usize = SALT_BYTES + NONCE_BYTES;

const FIRST_LINE: &str = "watchfire-key 1";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// What a key is for. A key file made for one purpose is not opened for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A member's root: signs certificates, is kept offline.
    Root,
    /// A node's statements.
    Signing,
    /// A node's connections; its public half is the node's identity.
    Transport,
}

impl Purpose {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Signing => "signing",
            Self::Transport => "transport",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = KeyFileError;

    fn from_str(text: &str) -> Result<Self, KeyFileError> {
        [Self::Root, Self::Signing, Self::Transport]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
            .ok_or(KeyFileError::Format {
                line: "purpose root, signing or transport",
            })
    }
}

/// A key file as read or to be written. It holds no secret in clear, and can be shown: [`fmt::Display`] is the file.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    purpose: Purpose,
    public: PublicKey,
    cost: Cost,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    sealed: Vec<u8>,
}

impl KeyFile {
    /// Seals a secret. `entropy` is fresh from the operating system for every file and never used again.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::SecretLength`] for an empty secret or one above [`SECRET_BYTES_MAX`];
    /// [`KeyFileError::OutOfMemory`] when the machine lacks the memory that `cost` asks for.
    pub fn seal(
        purpose: Purpose,
        public: PublicKey,
        secret: &[u8],
        passphrase: &Passphrase,
        cost: Cost,
        entropy: &[u8; ENTROPY_BYTES],
    ) -> Result<Self, KeyFileError> {
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err(KeyFileError::SecretLength {
                bytes: secret.len(),
            });
        }
        let mut file = Self {
            purpose,
            public,
            cost,
            salt: [0; SALT_BYTES],
            nonce: [0; NONCE_BYTES],
            sealed: Vec::new(),
        };
        let (salt, nonce) = entropy.split_at(SALT_BYTES);
        file.salt.copy_from_slice(salt);
        file.nonce.copy_from_slice(nonce);

        // With room for the tag from the start: a buffer that grew would leave the secret behind in the old one.
        let mut buffer = Zeroizing::new(Vec::with_capacity(secret.len() + TAG_BYTES));
        buffer.extend_from_slice(secret);
        file.cipher(cost.params()?, passphrase)?
            .encrypt_in_place(&file.nonce.into(), file.header().as_bytes(), &mut *buffer)
            .map_err(|_| KeyFileError::SecretLength {
                bytes: secret.len(),
            })?;
        file.sealed.extend_from_slice(&buffer);
        Ok(file)
    }

    /// [`KeyFile::seal`] for an Ed25519 key: its seed, under its own public key.
    ///
    /// # Errors
    ///
    /// Those of [`KeyFile::seal`].
    pub fn seal_key(
        purpose: Purpose,
        key: &SigningKey,
        passphrase: &Passphrase,
        cost: Cost,
        entropy: &[u8; ENTROPY_BYTES],
    ) -> Result<Self, KeyFileError> {
        let seed = key.expose_seed();
        Self::seal(
            purpose,
            key.public(),
            seed.expose(),
            passphrase,
            cost,
            entropy,
        )
    }

    /// Reads a key file; the passphrase is not needed yet.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::TooLong`] above [`KEY_FILE_BYTES_MAX`], [`KeyFileError::Version`] for another version,
    /// [`KeyFileError::Format`] for everything that is not exactly a key file. Costs are judged when it is opened.
    pub fn parse(file: &[u8]) -> Result<Self, KeyFileError> {
        if file.len() > KEY_FILE_BYTES_MAX {
            return Err(KeyFileError::TooLong { bytes: file.len() });
        }
        let text =
            core::str::from_utf8(file).map_err(|_| KeyFileError::Format { line: FIRST_LINE })?;
        let mut lines = Lines { rest: text };
        match lines.next("watchfire-key", FIRST_LINE)?.parse::<u32>() {
            Ok(1) => {}
            Ok(_) => return Err(KeyFileError::Version),
            Err(_) => return Err(KeyFileError::Format { line: FIRST_LINE }),
        }
        let parsed = Self {
            purpose: lines.next("purpose", "purpose")?.parse()?,
            public: lines
                .next("public", "public")?
                .parse()
                .map_err(|_| KeyFileError::Format { line: "public" })?,
            cost: Cost {
                memory_kib: lines.number("memory-kib")?,
                passes: lines.number("passes")?,
                lanes: lines.number("lanes")?,
            },
            salt: lines.array("salt")?,
            nonce: lines.array("nonce")?,
            sealed: hex::decode(lines.next("sealed", "sealed")?)
                .map_err(|_| KeyFileError::Format { line: "sealed" })?,
        };
        let secret_bytes = parsed.sealed.len().saturating_sub(TAG_BYTES);
        if secret_bytes == 0 || secret_bytes > SECRET_BYTES_MAX {
            return Err(KeyFileError::Format { line: "sealed" });
        }
        // One text for one file: refuses what numbers and hex read more than one way, and whatever comes after.
        if parsed.to_string() != text {
            return Err(KeyFileError::Format {
                line: "exactly nine lines, lower case, numbers without leading zeros",
            });
        }
        Ok(parsed)
    }

    /// What the file says the key is for. Only [`KeyFile::open`] proves it.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// What the file says the public key is. Only [`KeyFile::open`] proves it.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Opens the secret for the purpose it was sealed for. `bounds` is [`Bounds::PRODUCTION`].
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Purpose`] and [`KeyFileError::Cost`] before any work is done, [`KeyFileError::OutOfMemory`] when
    /// the machine is too small, and for everything else the one error [`KeyFileError::NotOpened`]: a wrong passphrase
    /// and an altered file look the same.
    pub fn open(
        &self,
        purpose: Purpose,
        passphrase: &Passphrase,
        bounds: &Bounds,
    ) -> Result<Secret<Vec<u8>>, KeyFileError> {
        if self.purpose != purpose {
            return Err(KeyFileError::Purpose {
                expected: purpose,
                found: self.purpose,
            });
        }
        let cipher = self.cipher(bounds.admit(self.cost)?, passphrase)?;
        let mut buffer = Zeroizing::new(self.sealed.clone());
        cipher
            .decrypt_in_place(&self.nonce.into(), self.header().as_bytes(), &mut *buffer)
            .map_err(|_| KeyFileError::NotOpened)?;
        Ok(buffer.into())
    }

    /// [`KeyFile::open`] for an Ed25519 key, which must be the one the file names.
    ///
    /// # Errors
    ///
    /// Those of [`KeyFile::open`], and [`KeyFileError::OtherKey`] when the secret is not the seed of the public key.
    pub fn open_key(
        &self,
        purpose: Purpose,
        passphrase: &Passphrase,
        bounds: &Bounds,
    ) -> Result<SigningKey, KeyFileError> {
        let secret = self.open(purpose, passphrase, bounds)?;
        let seed = secret.expose().first_chunk::<32>();
        let key = match seed {
            Some(seed) if secret.expose().len() == seed.len() => SigningKey::from_seed(seed),
            Some(_) | None => return Err(KeyFileError::OtherKey),
        };
        if key.public() != self.public {
            return Err(KeyFileError::OtherKey);
        }
        Ok(key)
    }

    /// The lines above `sealed`: the associated data.
    fn header(&self) -> String {
        let Self {
            purpose,
            public,
            cost:
                Cost {
                    memory_kib,
                    passes,
                    lanes,
                },
            salt,
            nonce,
            sealed: _,
        } = self;
        let (salt, nonce) = (hex::encode(salt), hex::encode(nonce));
        alloc::format!(
            "{FIRST_LINE}\npurpose {purpose}\npublic {public}\nmemory-kib {memory_kib}\npasses {passes}\n\
             lanes {lanes}\nsalt {salt}\nnonce {nonce}\n"
        )
    }

    /// The cipher under the passphrase. It asks for parameters instead of a [`Cost`], so that none is used unjudged.
    fn cipher(
        &self,
        params: argon2::Params,
        passphrase: &Passphrase,
    ) -> Result<XChaCha20Poly1305, KeyFileError> {
        // The library wipes its results and not its working memory, which a passphrase could be tested against more
        // cheaply than against the file; so the memory is ours. A machine too small for it gets an error, not an abort.
        let out_of_memory = KeyFileError::OutOfMemory {
            memory_kib: params.m_cost(),
        };
        let mut memory: Zeroizing<Vec<Block>> = Zeroizing::new(Vec::new());
        if memory.try_reserve_exact(params.block_count()).is_err() {
            return Err(out_of_memory);
        }
        memory.resize(params.block_count(), Block::new());

        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                passphrase.expose(),
                &self.salt,
                key.as_mut_slice(),
                memory.as_mut_slice(),
            )
            .map_err(|_| out_of_memory)?;
        Ok(XChaCha20Poly1305::new((&*key).into()))
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}sealed {}", self.header(), hex::encode(&self.sealed))
    }
}

/// Without the ciphertext: a file that ends up in a log can be guessed at.
impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("purpose", &self.purpose)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// The lines of a file, each asked for by name.
struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    /// The value of the next line, which must be called `name`.
    fn next(&mut self, name: &str, expected: &'static str) -> Result<&'a str, KeyFileError> {
        let wrong = KeyFileError::Format { line: expected };
        let (line, rest) = self.rest.split_once('\n').ok_or(wrong.clone())?;
        self.rest = rest;
        line.strip_prefix(name)
            .and_then(|value| value.strip_prefix(' '))
            .ok_or(wrong)
    }

    fn number(&mut self, name: &'static str) -> Result<u32, KeyFileError> {
        self.next(name, name)?
            .parse()
            .map_err(|_| KeyFileError::Format { line: name })
    }

    fn array<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], KeyFileError> {
        let mut bytes = [0; N];
        hex::decode_to_slice(self.next(name, name)?, &mut bytes)
            .map_err(|_| KeyFileError::Format { line: name })?;
        Ok(bytes)
    }
}

/// Why a key file is not made, not read or not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Longer than [`KEY_FILE_BYTES_MAX`].
    #[error(
        "key file refused: {bytes} bytes are more than the {KEY_FILE_BYTES_MAX} a key file has; give the right file"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Not written as key files are.
    #[error(
        "key file refused: it does not read as expected at `{line}`; give the right file, or its backup"
    )]
    Format {
        /// The line, or the rule, where reading ended.
        line: &'static str,
    },
    /// Another version of the format.
    #[error("key file refused: it has a version this program does not know; use a newer program")]
    Version,
    /// The cost is out of bounds.
    #[error(transparent)]
    Cost(#[from] CostRefused),
    /// A key for something else.
    #[error(
        "key file refused: it holds a {found} key and a {expected} key is needed; give the right file"
    )]
    Purpose {
        /// What is needed.
        expected: Purpose,
        /// What the file says.
        found: Purpose,
    },
    /// Nothing to seal, or too much.
    #[error("secret refused: {bytes} bytes; a key file holds 1 to {SECRET_BYTES_MAX}")]
    SecretLength {
        /// How long it is.
        bytes: usize,
    },
    /// The memory of the key derivation cannot be had.
    #[error(
        "key file not opened: {memory_kib} KiB of memory are needed and not free; free them and try again"
    )]
    OutOfMemory {
        /// What the file asks for.
        memory_kib: u32,
    },
    /// A wrong passphrase or an altered file; it cannot be told which.
    #[error(
        "key file not opened: the passphrase is wrong or the file was altered; try again, then restore its backup"
    )]
    NotOpened,
    /// The file opens and holds another key than it says.
    #[error(
        "key file refused: the secret inside is not that of the public key it names; restore its backup"
    )]
    OtherKey,
}

#[cfg(test)]
mod tests;
