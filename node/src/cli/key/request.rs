//! `watchfire key request`: the file that goes to the root key.

use std::path::PathBuf;

use clap::Args;
use watchfire_protocol::certify::read_request;

use super::{Own, RequestView, Validity, make_request};
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, files};
use crate::keystore::{MODE_PUBLIC, PassphraseSource, write_new};

/// Ask the root key for a certificate of this node, by a file
///
/// The file is signed by the node's own keys and holds no secret. Carry it to
/// where the root key is, sign it there with "watchfire key issue", carry what
/// comes of it back, and install it with "watchfire key install".
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key request
  watchfire key request --days 30 -o /media/stick/at-cert.request --passphrase-file secret")]
pub(crate) struct RequestArgs {
    /// For how many days from now
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
    /// Serial of the certificate [default: one more than the highest of this member that is known here]
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Where to write it [default: SLUG-SERIAL.request]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read the passphrase of the node's keys from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: RequestArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let home = context.home()?;
    let own = Own::read(&home)?;
    let validity = Validity {
        days: args.days,
        serial: args.serial,
    };
    let source = PassphraseSource::choose(args.passphrase_file, files::env);
    let bytes = make_request(&home, &own, validity, &source, ui)?;
    let request = read_request(&bytes)?;
    let path = args.output.unwrap_or_else(|| {
        PathBuf::from(format!("{}-{}.request", request.slug, request.cert.serial))
    });
    write_new(&path, &bytes, MODE_PUBLIC)?;
    let view = RequestView::new(path.display().to_string(), &request);
    if ui.json() {
        return ui.document("key-request", &view);
    }
    ui.fields(&view.fields())?;
    ui.note("next: carry the file to where the root key is, and run there, after comparing the fingerprint");
    ui.note("  watchfire key issue FILE --root-key root.key");
    if own.roster.is_some() && own.certificate.is_none() {
        ui.note("note: this node has no certificate yet, and cannot run before it has");
    }
    Ok(())
}

/// A file with this name is not overwritten; said before anybody types a PIN.
pub(crate) fn free(path: &std::path::Path) -> Result<(), CliError> {
    if path.exists() {
        return Err(CliError::new(
            Code::Failure,
            format!("{} exists and is not overwritten", path.display()),
        )
        .hint("move it away, or choose another name with --output"));
    }
    Ok(())
}
