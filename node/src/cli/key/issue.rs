//! `watchfire key issue`: the root key signs what a node asks for.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use watchfire_protocol::certify::{
    CheckedRequest, Granted, REQUEST_FILE_BYTES_MAX, certificate_to_file, read_request,
};
use watchfire_protocol::wire::genesis::card_to_file;

use super::{RequestView, RootArgs, compared, request, within};
use crate::cli::error::CliError;
use crate::cli::{Context, files};
use crate::keystore::{MODE_PUBLIC, RootSigner, read_bounded, write_new};

/// Sign a certificate request with the root key
///
/// Runs where the root key is, which need not be a node. It shows who asks for
/// what: compare the fingerprint with what the node shows, by telephone or in
/// person, before you say yes. A request of a new member gives its card, any
/// other a certificate.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key issue at-cert-2.request --root-key root.key
  watchfire key issue at-cert-2.request --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token at-cert --pkcs11-key root")]
pub(crate) struct IssueArgs {
    /// The request
    request: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    /// Refuse what is asked for more days than these
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
    /// Fingerprint of the request as the node shows it; then nothing is asked
    #[arg(long, value_name = "DIGITS", value_parser = files::digits)]
    fingerprint: Option<String>,
    /// Sign without asking: the fingerprint was compared otherwise
    #[arg(long, conflicts_with = "fingerprint")]
    yes: bool,
    /// Where to write it [default: SLUG-SERIAL.cert, for a card SLUG.card]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What came of a request.
#[derive(Serialize)]
pub(super) struct Issued {
    pub(super) file: String,
    pub(super) kind: &'static str,
    request: RequestView,
}

pub(crate) fn run(context: &Context, args: IssueArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let request = read(&args.request)?;
    let output = args.output.clone().unwrap_or_else(|| name_of(&request));
    request::free(&output)?;
    within(&request, args.days)?;
    let view = RequestView::new(args.request.display().to_string(), &request);
    if !ui.json() {
        ui.fields(&view.fields())?;
    }
    compared(ui, &request, args.fingerprint.as_deref(), args.yes)?;
    let root = args.root.open(ui, None)?;
    let issued = sign(&request, view, &*root, &output)?;
    if ui.json() {
        return ui.document("key-issue", &issued);
    }
    ui.fields(&[("issued", issued.kind.to_owned()), ("to", issued.file)])?;
    ui.note("next: carry this file to the node, and run there");
    ui.note("  watchfire key install FILE");
    Ok(())
}

/// Reads a request file; its name stands before what is wrong with it.
pub(super) fn read(path: &Path) -> Result<CheckedRequest, CliError> {
    let bytes = read_bounded(path, REQUEST_FILE_BYTES_MAX).map_err(files::absent)?;
    read_request(&bytes).map_err(|error| {
        let mut error = CliError::from(error)
            .hint("do not sign it: have it made again on the node, with \"watchfire key request\"");
        error.message = format!("{}: {}", path.display(), error.message);
        error
    })
}

/// What the file is called that comes of a request.
pub(super) fn name_of(request: &CheckedRequest) -> PathBuf {
    PathBuf::from(if request.card.is_some() {
        format!("{}.card", request.slug)
    } else {
        format!("{}-{}.cert", request.slug, request.cert.serial)
    })
}

/// Has the root sign, and writes what comes of it.
pub(super) fn sign(
    request: &CheckedRequest,
    view: RequestView,
    root: &dyn RootSigner,
    output: &Path,
) -> Result<Issued, CliError> {
    let granted = request.grant(&root.public(), |domain, message| root.sign(domain, message))?;
    let (kind, bytes) = file_of(&granted);
    write_new(output, &bytes, MODE_PUBLIC)?;
    Ok(Issued {
        file: output.display().to_string(),
        kind,
        request: view,
    })
}

fn file_of(granted: &Granted) -> (&'static str, Vec<u8>) {
    match &granted.card {
        Some(card) => ("card", card_to_file(card)),
        None => ("certificate", certificate_to_file(&granted.certificate)),
    }
}
