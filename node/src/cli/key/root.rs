//! Where a root key is: a file, or a token.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::error::{CliError, Code};
use crate::cli::{Ui, files};
use crate::keystore::{PassphraseSource, RootSigner, TokenKey, TokenRoot};

/// Where a root key is that signs certificates.
#[derive(Args, Clone, Debug)]
pub(crate) struct RootArgs {
    /// Root key: a key file
    #[arg(long, value_name = "FILE", conflicts_with = "pkcs11_module")]
    pub(crate) root_key: Option<PathBuf>,
    /// Read the passphrase of the root key, or the PIN of its token, from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    pub(crate) root_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
}

/// Which key of which token.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TokenArgs {
    /// PKCS#11 module of the token that holds the root key
    #[arg(long, value_name = "FILE", requires_all = ["pkcs11_token", "pkcs11_key"])]
    pub(crate) pkcs11_module: Option<PathBuf>,
    /// Label of the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub(crate) pkcs11_token: Option<String>,
    /// Label of the root key in the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub(crate) pkcs11_key: Option<String>,
}

impl TokenArgs {
    /// The key, if a token was named.
    pub(crate) fn key(&self) -> Option<TokenKey> {
        Some(TokenKey {
            module: self.pkcs11_module.clone()?,
            token: self.pkcs11_token.clone()?,
            key: self.pkcs11_key.clone()?,
        })
    }
}

impl RootArgs {
    /// Where the passphrase or the PIN comes from.
    pub(crate) fn source(&self) -> PassphraseSource {
        PassphraseSource::choose_root(self.root_passphrase_file.clone(), files::env)
    }

    /// Opens the root, which must exist; `default` where none was named.
    pub(crate) fn open(
        &self,
        ui: &Ui,
        default: Option<&Path>,
    ) -> Result<Box<dyn RootSigner>, CliError> {
        open(
            self.token.key(),
            self.root_key.as_deref().or(default),
            &self.source(),
            ui,
        )
    }
}

/// Opens the root in a token or, without one, in a file.
pub(crate) fn open(
    token: Option<TokenKey>,
    file: Option<&Path>,
    source: &PassphraseSource,
    ui: &Ui,
) -> Result<Box<dyn RootSigner>, CliError> {
    match (token, file) {
        (Some(named), _) => Ok(Box::new(TokenRoot::open(&named, source)?)),
        (None, Some(path)) => Ok(Box::new(files::root_key(path, source, ui)?)),
        (None, None) => Err(CliError::new(Code::Usage, "no root key was named")
            .hint("name its file with --root-key, or its token with --pkcs11-module")),
    }
}
