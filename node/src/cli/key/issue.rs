//! `watchfire key issue`: the root key signs what a node asks for.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use watchfire_protocol::certify::{
    CheckedRequest, Granted, RequestRefused, certificate_to_file, read_request,
};
use watchfire_protocol::ending::{
    CheckedEnd, END_REQUEST_FILE_BYTES_MAX, is_end_request, life_to_file, read_end_request,
    revocation_to_file,
};
use watchfire_protocol::wire::genesis::card_to_file;

use super::end::{EndView, not_ahead};
use super::{RequestView, RootArgs, compared, request, revoke, within};
use crate::cli::error::CliError;
use crate::cli::{Context, files};
use crate::keystore::{MODE_PUBLIC, RootSigner, read_bounded, write_new};

/// Sign a certificate request with the root key
///
/// Runs where the root key is, which need not be a node. It shows who asks for
/// what: compare the fingerprint with what the node shows, by telephone or in
/// person, before you say yes. A request of a new member gives its card, one to
/// end a node a revocation, one for a new life of a node both that and a
/// certificate in one file, any other a certificate.
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
    /// Where to write it [default: SLUG-SERIAL.cert; for a card SLUG.card, for an end SLUG-NODE.revocation, for a new life SLUG-SERIAL.life]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A request of either kind.
pub(super) enum Asked {
    /// For a certificate, or a card.
    Certificate(Box<CheckedRequest>),
    /// For the end of a node, or of one of its lives.
    End(Box<CheckedEnd>),
}

/// As people and programs are shown it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum AskedView {
    Certificate(Box<RequestView>),
    End(Box<EndView>),
}

impl AskedView {
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Certificate(view) => view.fields(),
            Self::End(view) => view.fields(),
        }
    }
}

/// What came of a request.
#[derive(Serialize)]
pub(super) struct Issued {
    pub(super) file: String,
    pub(super) kind: &'static str,
    request: AskedView,
}

pub(crate) fn run(context: &Context, args: IssueArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let asked = read(&args.request)?;
    let output = args.output.clone().unwrap_or_else(|| asked.name());
    request::free(&output)?;
    asked.within(args.days)?;
    let view = asked.view(args.request.display().to_string());
    if !ui.json() {
        ui.fields(&view.fields())?;
    }
    compared(
        ui,
        asked.fingerprint(),
        args.fingerprint.as_deref(),
        args.yes,
    )?;
    let root = args.root.open(ui, None)?;
    let issued = sign(&asked, view, &*root, &output)?;
    if ui.json() {
        return ui.document("key-issue", &issued);
    }
    ui.fields(&[("issued", issued.kind.to_owned()), ("to", issued.file)])?;
    ui.note("next: carry this file to the node, and run there");
    ui.note("  watchfire key install FILE");
    Ok(())
}

/// Reads a request file; its name stands before what is wrong with it.
pub(super) fn read(path: &Path) -> Result<Asked, CliError> {
    let bytes = read_bounded(path, END_REQUEST_FILE_BYTES_MAX).map_err(files::absent)?;
    of_bytes(&bytes).map_err(|error| {
        let mut error = CliError::from(error)
            .hint("do not sign it: have it made again on the node, with \"watchfire key request\"");
        error.message = format!("{}: {}", path.display(), error.message);
        error
    })
}

/// A request of either kind, out of its bytes.
pub(super) fn of_bytes(bytes: &[u8]) -> Result<Asked, RequestRefused> {
    Ok(if is_end_request(bytes) {
        Asked::End(Box::new(read_end_request(bytes)?))
    } else {
        Asked::Certificate(Box::new(read_request(bytes)?))
    })
}

impl Asked {
    /// What people compare.
    pub(super) fn fingerprint(&self) -> &[u8; 32] {
        match self {
            Self::Certificate(request) => &request.fingerprint,
            Self::End(end) => &end.fingerprint,
        }
    }

    pub(super) fn view(&self, file: String) -> AskedView {
        match self {
            Self::Certificate(request) => {
                AskedView::Certificate(Box::new(RequestView::new(file, request)))
            }
            Self::End(end) => AskedView::End(Box::new(EndView::asked(file, end))),
        }
    }

    /// What the file is called that comes of it.
    pub(super) fn name(&self) -> PathBuf {
        match self {
            Self::Certificate(request) if request.card.is_some() => {
                PathBuf::from(format!("{}.card", request.slug))
            }
            Self::Certificate(request) => {
                PathBuf::from(format!("{}-{}.cert", request.slug, request.cert.serial))
            }
            Self::End(end) => match &end.next {
                Some(next) => PathBuf::from(format!("{}-{}.life", end.slug, next.cert.serial)),
                None => revoke::name_of(end.slug.as_str(), &end.revocation),
            },
        }
    }

    /// Refuses what is for a time that is over, too long or too far ahead.
    pub(super) fn within(&self, days: u64) -> Result<(), CliError> {
        match self {
            Self::Certificate(request) => within(request, days),
            Self::End(end) => {
                not_ahead(&end.revocation)?;
                end.next.as_ref().map_or(Ok(()), |next| within(next, days))
            }
        }
    }
}

/// Has the root sign, and writes what comes of it.
pub(super) fn sign(
    asked: &Asked,
    view: AskedView,
    root: &dyn RootSigner,
    output: &Path,
) -> Result<Issued, CliError> {
    let public = root.public();
    let (kind, bytes) = match asked {
        Asked::Certificate(request) => {
            file_of(&request.grant(&public, |domain, message| root.sign(domain, message))?)
        }
        Asked::End(end) => {
            let ended = end.grant(&public, |domain, message| root.sign(domain, message))?;
            match &ended.certificate {
                Some(certificate) => ("new life", life_to_file(&ended.revocation, certificate)),
                None => ("revocation", revocation_to_file(&ended.revocation)),
            }
        }
    };
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
