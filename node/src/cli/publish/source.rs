//! Reading what is to be published, within bounds.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use watchfire_protocol::limits::STIX_DOCUMENT_BYTES_MAX;

use crate::cli::error::{CliError, Code};

/// The content of the file, or of standard input for `-`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    if path == Path::new("-") {
        return read_from(io::stdin().lock(), "standard input");
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|cause| failed(&name, &cause))?;
    if file
        .metadata()
        .map_err(|cause| failed(&name, &cause))?
        .is_dir()
    {
        return Err(
            CliError::new(Code::Failure, format!("{name} is a directory"))
                .hint("name the files in it"),
        );
    }
    read_from(file, &name)
}

/// The name that decides the format and stands in messages.
pub(super) fn name_of(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

fn read_from(source: impl Read, name: &str) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    // One byte more than may be, so that what is longer is seen and not cut.
    let limit = STIX_DOCUMENT_BYTES_MAX as u64 + 1;
    source
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|cause| failed(name, &cause))?;
    if bytes.len() > STIX_DOCUMENT_BYTES_MAX {
        return Err(CliError::new(
            Code::Failure,
            format!("{name} is longer than {STIX_DOCUMENT_BYTES_MAX} bytes, which is the most that is read"),
        )
        .hint("split it"));
    }
    Ok(bytes)
}

fn failed(name: &str, cause: &io::Error) -> CliError {
    let code = if cause.kind() == io::ErrorKind::NotFound {
        Code::NotFound
    } else {
        Code::Failure
    };
    CliError::new(code, format!("could not read {name}: {cause}"))
}
