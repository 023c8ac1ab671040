//! Files that several commands read: the own card, the genesis, the root key;
//! and how fingerprints are written.

use std::ffi::OsString;
use std::path::Path;

use watchfire_crypto::{Bounds, KeyFile, PublicKey, Purpose, SigningKey};
use watchfire_protocol::engine::admit_held;
use watchfire_protocol::limits::{CARD_BYTES_MAX, GENESIS_FILE_BYTES_MAX};
use watchfire_protocol::roster::{CheckedCard, GenesisState, Roster, check_card, inspect_genesis};
use watchfire_protocol::wire::envelope::SignedBytes;
use watchfire_protocol::wire::genesis::{GenesisFile, card_from_file};

use super::Ui;
use super::error::{CliError, Code};
use crate::certificates;
use crate::disk::chain;
use crate::home::Home;
use crate::keystore::{FileError, PassphraseSource, PassphraseUse, read_bounded, read_secret};

/// What frames a card or genesis in a file, in bytes, with room.
const FRAMING_BYTES: usize = 1_024;

/// The environment, as the parts that choose paths want it.
pub(crate) fn env(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// How two people compare what [`grouped`] writes, the one form in which
/// fingerprints of cards, keys, requests and federations are shown on both sides.
pub(crate) const READ_ALOUD: &str = "compare by telephone: one reads a group of four, the other the next, through all 16; a to f as Alfa, Bravo, Charlie, Delta, Echo, Foxtrot";

/// 64 digits in groups of four, as people read them to each other.
pub(crate) fn grouped(id: &impl ToString) -> String {
    let digits: Vec<char> = id.to_string().chars().collect();
    let groups: Vec<String> = digits
        .chunks(4)
        .map(|group| group.iter().collect())
        .collect();
    groups.join(" ")
}

/// Reads and checks a card file.
pub(crate) fn card(path: &Path) -> Result<(SignedBytes<CARD_BYTES_MAX>, CheckedCard), CliError> {
    let bytes = read_bounded(path, CARD_BYTES_MAX + FRAMING_BYTES).map_err(absent)?;
    card_of(&bytes, &path.display().to_string())
}

/// Checks the bytes of a card file, which is called so.
pub(crate) fn card_of(
    bytes: &[u8],
    called: &str,
) -> Result<(SignedBytes<CARD_BYTES_MAX>, CheckedCard), CliError> {
    let signed = card_from_file(bytes).map_err(|error| {
        CliError::new(
            Code::Verification,
            format!("{called} is not a card: {error}"),
        )
        .hint(
            "a card is the file own.card that \"watchfire init\" makes; ask its maker for it again",
        )
    })?;
    let checked = check_card(&signed).map_err(|error| {
        let mut error = CliError::from(error);
        error.message = format!("{called}: {}", error.message);
        error
    })?;
    Ok((signed, checked))
}

/// This member's own card.
pub(crate) fn own_card(home: &Home) -> Result<CheckedCard, CliError> {
    let path = home.own_card();
    if !path.exists() {
        return Err(CliError::new(
            Code::NotInitialised,
            format!(
                "{} is missing: this directory is not completely initialised",
                path.display()
            ),
        )
        .hint("restore it from a backup, or run \"watchfire init\" in another directory"));
    }
    card(&path).map(|(_, checked)| checked)
}

/// Reads a genesis file, in which every signature that is there holds.
pub(crate) fn genesis(path: &Path) -> Result<(GenesisFile, GenesisState), CliError> {
    let bytes = read_bounded(path, GENESIS_FILE_BYTES_MAX + FRAMING_BYTES).map_err(absent)?;
    let file = GenesisFile::from_bytes(&bytes).map_err(|error| {
        CliError::new(Code::Verification, format!("{} is not a genesis: {error}", path.display()))
            .hint("a genesis is the file that \"watchfire federation create\" makes; ask whoever sent it to send it again")
    })?;
    let state = inspect_genesis(&file)?;
    Ok((file, state))
}

/// The roster of the federation this node joined, if it joined one.
pub(crate) fn roster(home: &Home) -> Result<Option<Roster>, CliError> {
    let path = home.genesis();
    if !path.exists() {
        return Ok(None);
    }
    let (file, _) = genesis(&path)?;
    let mut roster = Roster::found(&file)?;
    for link in chain::read(&home.store())? {
        roster = roster.follow(&link)?;
    }
    admit_held(&mut roster, certificates::installed(home));
    Ok(Some(roster))
}

/// Reads 64 digits as people write them down: spaces, colons, hyphens and
/// capitals do not matter, and all of the digits count.
pub(crate) fn digits(text: &str) -> Result<String, String> {
    let digits: String = text
        .chars()
        .filter(|char| !char.is_whitespace() && !matches!(char, ':' | '-'))
        .map(|char| char.to_ascii_lowercase())
        .collect();
    if let Some(strange) = digits.chars().find(|char| !char.is_ascii_hexdigit()) {
        return Err(format!(
            "{strange:?} is no digit of a fingerprint, which has 0 to 9 and a to f"
        ));
    }
    if digits.len() != 64 {
        return Err(format!(
            "a fingerprint has 64 digits and this has {}; all of them count",
            digits.len()
        ));
    }
    Ok(digits)
}

/// A root key as a person names it: its 64 digits, or the file `root.public`
/// that holds them.
pub(crate) fn root_named(text: &str) -> Result<PublicKey, CliError> {
    let path = Path::new(text);
    if path.exists() {
        return root_public(path);
    }
    let refused = |why: String| {
        CliError::new(
            Code::Usage,
            format!("{text:?} names no root key: no such file, and {why}"),
        )
        .hint(
            "name the file root.public that \"watchfire key ceremony\" made, or give its 64 digits",
        )
    };
    digits(text)
        .map_err(refused)?
        .parse()
        .map_err(|error| CliError::of(Code::Verification, &error))
}

/// Reads a file `root.public`: 64 digits in one line.
pub(crate) fn root_public(path: &Path) -> Result<PublicKey, CliError> {
    let bytes = read_bounded(path, FRAMING_BYTES).map_err(absent)?;
    let refused = |why: String| {
        CliError::new(
            Code::Verification,
            format!("{} names no root key: {why}", path.display()),
        )
        .hint("carry the file root.public here again")
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| refused(error.to_string()))?;
    digits(text)
        .map_err(refused)?
        .parse()
        .map_err(|error| CliError::of(Code::Verification, &error))
}

/// The public half of one of the node's keys, for which no passphrase is
/// needed. Only opening the file proves it.
pub(crate) fn public_half(path: &Path) -> Result<PublicKey, CliError> {
    Ok(*KeyFile::parse(&read_secret(path)?)?.public())
}

/// Opens the node's own two keys: signing, then transport.
pub(crate) fn node_keys(
    home: &Home,
    source: &PassphraseSource,
    ui: &Ui,
) -> Result<(SigningKey, SigningKey), CliError> {
    let signing = KeyFile::parse(&read_secret(&home.signing_key())?)?;
    let transport = KeyFile::parse(&read_secret(&home.transport_key())?)?;
    let passphrase = source.obtain("the node's keys", PassphraseUse::Open)?;
    let _progress = ui.progress("opening the node's keys");
    Ok((
        signing.open_key(Purpose::Signing, &passphrase, &Bounds::PRODUCTION)?,
        transport.open_key(Purpose::Transport, &passphrase, &Bounds::PRODUCTION)?,
    ))
}

/// Opens the root key, which takes a second or two by design.
pub(crate) fn root_key(
    path: &Path,
    source: &PassphraseSource,
    ui: &Ui,
) -> Result<SigningKey, CliError> {
    let bytes = read_secret(path).map_err(|error| match error {
        FileError::Missing { path } => CliError::new(
            Code::NotFound,
            format!("the root key is not at {}", path.display()),
        )
        .hint("if it is kept elsewhere, as it should be, name it with --root-key"),
        FileError::Exists { .. }
        | FileError::NotAFile { .. }
        | FileError::Exposed { .. }
        | FileError::WrongOwner { .. }
        | FileError::TooLong { .. }
        | FileError::Io { .. } => error.into(),
    })?;
    let file = KeyFile::parse(&bytes)?;
    let passphrase = source.obtain(&path.display().to_string(), PassphraseUse::Open)?;
    let _progress = ui.progress("opening the root key");
    Ok(file.open_key(Purpose::Root, &passphrase, &Bounds::PRODUCTION)?)
}

/// A file somebody named is not there: that has nothing to do with `init`.
pub(crate) fn absent(error: FileError) -> CliError {
    match error {
        FileError::Missing { path } => {
            CliError::new(Code::NotFound, format!("{} does not exist", path.display()))
                .hint("check the path")
        }
        FileError::Exists { .. }
        | FileError::NotAFile { .. }
        | FileError::Exposed { .. }
        | FileError::WrongOwner { .. }
        | FileError::TooLong { .. }
        | FileError::Io { .. } => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_aloud_in_groups() {
        let text = grouped(&"0123456789abcdef".repeat(4));
        assert_eq!(text.split(' ').count(), 16);
        assert!(text.starts_with("0123 4567 89ab cdef 0123"));
    }
}
