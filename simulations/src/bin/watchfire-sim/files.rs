//! Scenario files on disk.

use crate::complaint::Complaint;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use watchfire_crypto::sha256;
use watchfire_simulations::file::ScenarioFile;

/// The largest scenario file that is read, in bytes: hundreds of times the
/// longest there is.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// A file that was read.
pub(crate) struct NamedFile {
    /// As the command line has it.
    pub(crate) path: String,
    /// The file's name without its ending.
    pub(crate) name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) scenario: ScenarioFile,
}

/// Reads every file and tells everything that is wrong with any.
pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Vec<NamedFile>, Complaint> {
    let mut files = Vec::new();
    let mut wrong = Vec::new();
    for path in paths {
        match read(path) {
            Ok(file) => files.push(file),
            Err(messages) => wrong.extend(messages),
        }
    }
    if wrong.is_empty() {
        Ok(files)
    } else {
        Err(Complaint::files(wrong))
    }
}

fn read(path: &Path) -> Result<NamedFile, Vec<String>> {
    let shown = path.display().to_string();
    let text = text_of(path).map_err(|why| vec![format!("{shown}: {why}")])?;
    let name = path
        .file_stem()
        .map_or_else(|| shown.clone(), |stem| stem.to_string_lossy().into_owned());
    let scenario = ScenarioFile::parse(&name, &text).map_err(|error| {
        let lines = error.complaints.iter();
        lines
            .map(|complaint| format!("{shown}:{}: {}", complaint.line, complaint.what))
            .collect::<Vec<_>>()
    })?;
    Ok(NamedFile {
        path: shown,
        name,
        sha256: hex(&sha256(text.as_bytes())),
        scenario,
    })
}

fn text_of(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .map_err(|error| format!("could not be opened: {error}"))?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("could not be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is no scenario: it is over {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
