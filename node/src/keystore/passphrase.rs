//! Where a passphrase comes from: a person, a file, or the service manager.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use watchfire_crypto::{Passphrase, PassphraseRefused};
use zeroize::Zeroizing;

use super::{FileError, not_open_to, own_uid, read_guarded, read_secret};

/// The file a service manager provides under `$CREDENTIALS_DIRECTORY`.
pub const PASSPHRASE_CREDENTIAL: &str = "watchfire-passphrase";

/// As [`PASSPHRASE_CREDENTIAL`], for a root key or the PIN of its token.
pub const ROOT_PASSPHRASE_CREDENTIAL: &str = "watchfire-root-passphrase";

/// Where a passphrase comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassphraseSource {
    /// A person at the terminal, asked twice when a key is made.
    Prompt,
    /// A file that only this process's user may read (`--passphrase-file`).
    File(PathBuf),
    /// A file that the service manager provides: see systemd.exec(5),
    /// `LoadCredential=`.
    Credential(PathBuf),
}

/// What a passphrase is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassphraseUse {
    /// For a new key: a typing error would lock it for ever, so ask twice.
    Create,
    /// For an existing key, which says itself whether it was right.
    Open,
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Its file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The terminal cannot be used, most often because there is none.
    #[error(
        "could not ask for the passphrase: {cause}; give it with --passphrase-file, or run this in a terminal"
    )]
    Terminal {
        /// What the terminal said.
        cause: io::Error,
    },
    /// The two answers differ.
    #[error("the two passphrases differ; run the command again")]
    Differ,
    /// It is empty, too long, or more than one line.
    #[error(transparent)]
    Refused(#[from] PassphraseRefused),
    /// A file holds something that is not text.
    #[error("the passphrase is not text in UTF-8; write it again with a text editor")]
    NotText,
}

impl PassphraseSource {
    /// The source to use: the file given on the command line; else the
    /// credential of the service manager, when it provides one; else a person.
    pub fn choose(file: Option<PathBuf>, env: impl Fn(&str) -> Option<OsString>) -> Self {
        Self::choose_named(file, PASSPHRASE_CREDENTIAL, env)
    }

    /// As [`choose`](Self::choose), for a root key or its token: its passphrase
    /// is another than that of the node's keys, so it has another credential.
    pub fn choose_root(file: Option<PathBuf>, env: impl Fn(&str) -> Option<OsString>) -> Self {
        Self::choose_named(file, ROOT_PASSPHRASE_CREDENTIAL, env)
    }

    fn choose_named(
        file: Option<PathBuf>,
        credential: &str,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        if let Some(path) = file {
            return Self::File(path);
        }
        env("CREDENTIALS_DIRECTORY")
            .map(|dir| Path::new(&dir).join(credential))
            .filter(|path| path.exists())
            .map_or(Self::Prompt, Self::Credential)
    }

    /// The passphrase for `key`, which the prompt names. One line end at the
    /// end of a file is not part of it.
    ///
    /// # Errors
    /// [`PassphraseError`]; an empty passphrase is one from every source.
    pub fn obtain(&self, key: &str, purpose: PassphraseUse) -> Result<Passphrase, PassphraseError> {
        let mut text = self.obtain_text(key, purpose, rpassword::prompt_password)?;
        Ok(Passphrase::new(std::mem::take(&mut *text))?)
    }

    /// As [`obtain`](Self::obtain) for an existing secret, as text: the PIN of a
    /// token goes to its module as such.
    pub(super) fn obtain_text_for(&self, what: &str) -> Result<Zeroizing<String>, PassphraseError> {
        self.obtain_text(what, PassphraseUse::Open, rpassword::prompt_password)
    }

    /// As [`obtain`](Self::obtain), with the terminal as an argument and the
    /// result to look at.
    fn obtain_text(
        &self,
        key: &str,
        purpose: PassphraseUse,
        mut ask: impl FnMut(String) -> io::Result<String>,
    ) -> Result<Zeroizing<String>, PassphraseError> {
        let mut ask = |prompt: String| {
            ask(prompt)
                .map(Zeroizing::new)
                .map_err(|cause| PassphraseError::Terminal { cause })
        };
        let text = match (self, purpose) {
            (Self::Prompt, PassphraseUse::Open) => ask(format!("Passphrase for {key}: "))?,
            (Self::Prompt, PassphraseUse::Create) => {
                let first = ask(format!("New passphrase for {key}: "))?;
                // Refused before a person types it a second time.
                check(&first)?;
                let second = ask("The same again: ".to_owned())?;
                if *first != *second {
                    return Err(PassphraseError::Differ);
                }
                first
            }
            (Self::File(path), _) => without_line_end(&read_secret(path)?)?,
            (Self::Credential(path), _) => without_line_end(&read_credential(path)?)?,
        };
        check(&text)?;
        Ok(text)
    }
}

/// Reads a file of the service manager. It is owned by root and readable for
/// us by an access control list, which shows in the group's permission bits;
/// the directory around it is what keeps others out. So: no access for the
/// world, and the owner is root or us.
fn read_credential(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_guarded(path, |found| {
        let expected =
            own_uid().map_err(FileError::io("find out this process's user to read", path))?;
        if found.uid() != expected && found.uid() != 0 {
            return Err(FileError::WrongOwner {
                path: path.to_owned(),
                owner: found.uid(),
                expected,
            });
        }
        not_open_to(found, 0o007, path)
    })
}

/// The text without one line end, of either kind.
fn without_line_end(bytes: &[u8]) -> Result<Zeroizing<String>, PassphraseError> {
    let text = std::str::from_utf8(bytes).map_err(|_| PassphraseError::NotText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(
        text.strip_suffix('\r').unwrap_or(text).to_owned(),
    ))
}

fn check(text: &str) -> Result<(), PassphraseRefused> {
    Passphrase::new(text.to_owned()).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn put(path: &Path, bytes: &[u8], mode: u32) {
        // One that may not be written must not stand in the way.
        let _ = fs::remove_file(path);
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn passphrase_files_lose_one_newline_and_must_not_be_empty() {
        let dir = dir();
        let path = dir.path().join("passphrase");
        let source = PassphraseSource::File(path.clone());
        let obtain = |bytes: &[u8]| {
            put(&path, bytes, 0o600);
            source.obtain("root.key", PassphraseUse::Create)?;
            let no_terminal = |_| Err(io::ErrorKind::NotFound.into());
            source
                .obtain_text("root.key", PassphraseUse::Create, no_terminal)
                .map(|text| text.to_string())
        };
        for line_end in ["", "\n", "\r\n"] {
            let text = obtain(format!(" correct horse {line_end}").as_bytes()).unwrap();
            assert_eq!(text, " correct horse ", "nothing but one line end goes");
        }
        for refused in [
            &b""[..],
            b"\n",
            b"two\nlines\n",
            b"one line\n\n",
            &[b'a'; 1_025],
        ] {
            assert!(matches!(obtain(refused), Err(PassphraseError::Refused(_))));
        }
        assert!(matches!(obtain(b"\xff\n"), Err(PassphraseError::NotText)));
        put(&path, b"correct horse", 0o644);
        assert!(matches!(
            source.obtain("root.key", PassphraseUse::Open),
            Err(PassphraseError::File(FileError::Exposed { .. }))
        ));
    }

    #[test]
    fn a_person_is_asked_twice_for_a_new_key_and_once_for_an_old_one() {
        let ask = |purpose, answers: &[&str]| {
            let mut answers = answers.iter();
            let mut prompts = Vec::new();
            let answer = PassphraseSource::Prompt.obtain_text("root.key", purpose, |prompt| {
                prompts.push(prompt);
                answers
                    .next()
                    .map(ToString::to_string)
                    .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            });
            (
                answer.map(|passphrase| passphrase.to_string()),
                prompts.len(),
            )
        };
        assert!(matches!(ask(PassphraseUse::Open, &["a"]), (Ok(answer), 1) if answer == "a"));
        assert!(
            matches!(ask(PassphraseUse::Create, &["a", "a"]), (Ok(answer), 2) if answer == "a")
        );
        assert!(matches!(
            ask(PassphraseUse::Create, &["a", "b"]),
            (Err(PassphraseError::Differ), 2)
        ));
        assert!(matches!(
            ask(PassphraseUse::Create, &["", ""]),
            (Err(PassphraseError::Refused(PassphraseRefused::Empty)), 1)
        ));
        assert!(matches!(
            ask(PassphraseUse::Open, &[]),
            (Err(PassphraseError::Terminal { .. }), 1)
        ));
    }

    #[test]
    fn the_command_line_goes_before_the_service_manager_before_a_person() {
        let dir = dir();
        let env = |name: &str| {
            (name == "CREDENTIALS_DIRECTORY").then(|| dir.path().as_os_str().to_owned())
        };
        assert_eq!(
            PassphraseSource::choose(None, env),
            PassphraseSource::Prompt,
            "a directory without ours"
        );
        let credential = dir.path().join(PASSPHRASE_CREDENTIAL);
        put(&credential, b"from the manager", 0o440);
        let source = PassphraseSource::choose(None, env);
        assert_eq!(source, PassphraseSource::Credential(credential.clone()));
        source
            .obtain("signing.key", PassphraseUse::Open)
            .expect("an access control list shows as group bits");
        put(&credential, b"from the manager", 0o444);
        assert!(
            source.obtain("signing.key", PassphraseUse::Open).is_err(),
            "the world may read it"
        );
        assert_eq!(
            PassphraseSource::choose_root(None, env),
            PassphraseSource::Prompt,
            "the root's is another"
        );
        let root = dir.path().join(ROOT_PASSPHRASE_CREDENTIAL);
        put(&root, b"from the manager", 0o440);
        assert_eq!(
            PassphraseSource::choose_root(None, env),
            PassphraseSource::Credential(root)
        );
        let file = PathBuf::from("given");
        assert_eq!(
            PassphraseSource::choose(Some(file.clone()), env),
            PassphraseSource::File(file)
        );
        assert_eq!(
            PassphraseSource::choose(None, |_| None),
            PassphraseSource::Prompt
        );
    }
}
