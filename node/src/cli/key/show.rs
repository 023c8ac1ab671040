//! `watchfire key show`: who this node is and how long it is certified; or what
//! a request, certificate or revocation says.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use watchfire_crypto::PublicKey;
use watchfire_protocol::certify::certificate_from_file;
use watchfire_protocol::ending::{
    END_REQUEST_FILE_BYTES_MAX, SignedRevocation, life_from_file, revocation_from_file,
};
use watchfire_protocol::wire::notice::Revocation;

use super::end::{EndView, root_of};
use super::issue::of_bytes;
use super::{Own, left, root_text};
use crate::certificates::RENEW_BEFORE_MS;
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, files};
use crate::clock::{moment, wall_ms};
use crate::keystore::read_bounded;

/// Show the keys and the certificate of this node, or what is in a file
///
/// The groups of four digits are what people read to each other.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key show
  watchfire key show at-cert-2.cert")]
pub(crate) struct ShowArgs {
    /// A request, a certificate, a revocation, or what came for a new life
    file: Option<PathBuf>,
}

#[derive(Serialize)]
struct View {
    member: String,
    role: &'static str,
    root_key: String,
    node: String,
    signing_key: String,
    transport_key: String,
    federation: Option<String>,
    certificate: Option<CertificateView>,
}

#[derive(Serialize)]
struct CertificateView {
    fingerprint: String,
    serial: u64,
    incarnation: u64,
    from: String,
    until: String,
    current: bool,
    left: String,
}

pub(crate) fn run(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    if let Some(path) = &args.file {
        return file(context, path);
    }
    let ui = &context.ui;
    let own = Own::read(&context.home()?)?;
    let now_ms = wall_ms();
    let view = View {
        member: own.slug.to_string(),
        role: own.role.name(),
        root_key: own.root_key.to_string(),
        node: own.node().to_string(),
        signing_key: own.signing_key.to_string(),
        transport_key: own.transport_key.to_string(),
        federation: own
            .roster
            .as_ref()
            .map(|roster| roster.federation().to_string()),
        certificate: own.certificate.as_ref().map(|held| CertificateView {
            fingerprint: held.id.to_string(),
            serial: held.serial,
            incarnation: held.incarnation,
            from: moment(held.not_before_ms),
            until: moment(held.not_after_ms),
            current: held.is_current(now_ms),
            left: left(held.not_after_ms, now_ms),
        }),
    };
    if ui.json() {
        return ui.document("key-show", &view);
    }
    let mut fields = vec![
        ("member", format!("{} ({})", view.member, view.role)),
        ("root key", root_text(&own.root_key)),
        ("node", files::grouped(&view.node)),
        ("signing key", files::grouped(&view.signing_key)),
        ("transport key", files::grouped(&view.transport_key)),
    ];
    match &view.certificate {
        None => fields.push(("certificate", "none yet".to_owned())),
        Some(held) => fields.extend([
            ("certificate", files::grouped(&held.fingerprint)),
            ("serial", held.serial.to_string()),
            ("incarnation", held.incarnation.to_string()),
            ("from", held.from.clone()),
            ("until", format!("{} ({})", held.until, held.left)),
        ]),
    }
    if let Some(federation) = &view.federation {
        fields.push(("federation", files::grouped(federation)));
    }
    ui.fields(&fields)?;
    let ends_soon = own
        .certificate
        .as_ref()
        .is_none_or(|held| held.not_after_ms.saturating_sub(now_ms) < RENEW_BEFORE_MS);
    if ends_soon {
        ui.note("next: \"watchfire key request\" makes the file that the root key has to sign");
    }
    Ok(())
}

/// What a file says, after everything in it that can be checked holds.
fn file(context: &Context, path: &Path) -> Result<(), CliError> {
    let ui = &context.ui;
    let bytes = read_bounded(path, END_REQUEST_FILE_BYTES_MAX).map_err(files::absent)?;
    let name = path.display().to_string();
    if let Ok(certificate) = certificate_from_file(&bytes) {
        let wrong = |why: String| {
            CliError::new(Code::Verification, format!("{name} does not hold: {why}"))
                .hint("do not use this file, have it made and carried again")
        };
        let claimed = certificate
            .claims()
            .map_err(|error| wrong(error.to_string()))?;
        let root = PublicKey::enrol(&claimed.root_key).map_err(|error| wrong(error.to_string()))?;
        let (id, cert) = certificate
            .verify(&root)
            .map_err(|error| wrong(error.to_string()))?;
        let now_ms = wall_ms();
        let view = CertificateView {
            fingerprint: id.to_string(),
            serial: cert.serial,
            incarnation: cert.incarnation,
            from: moment(cert.not_before_ms),
            until: moment(cert.not_after_ms),
            current: (cert.not_before_ms..=cert.not_after_ms).contains(&now_ms),
            left: left(cert.not_after_ms, now_ms),
        };
        if ui.json() {
            return ui.document("key-show-certificate", &view);
        }
        return ui.fields(&[
            ("certificate", files::grouped(&view.fingerprint)),
            ("root key", root_text(&root)),
            ("node", files::grouped(&cert.node())),
            ("role", cert.role.name().to_owned()),
            ("serial", view.serial.to_string()),
            ("incarnation", view.incarnation.to_string()),
            ("from", view.from),
            ("until", format!("{} ({})", view.until, view.left)),
        ]);
    }
    let ended = life_from_file(&bytes)
        .map(|(revocation, _)| revocation)
        .or_else(|_| revocation_from_file(&bytes));
    if let Ok(signed) = ended {
        let view = revocation_view(name, &signed)?;
        if ui.json() {
            return ui.document("key-show-revocation", &view);
        }
        return ui.fields(&view.fields());
    }
    let asked = of_bytes(&bytes).map_err(|error| {
        let mut error = CliError::from(error);
        error.message = format!("{name}: {}", error.message);
        error
    })?;
    let view = asked.view(name);
    if ui.json() {
        return ui.document("key-show-request", &view);
    }
    ui.fields(&view.fields())
}

/// What a revocation says, after its signature holds. The slug is not in it.
fn revocation_view(name: String, signed: &SignedRevocation) -> Result<EndView, CliError> {
    let wrong = |why: String| {
        CliError::new(Code::Verification, format!("{name} does not hold: {why}"))
            .hint("do not use this file, have it made and carried again")
    };
    let signed = signed.to_signed::<Revocation>();
    let claimed = signed.claims().map_err(|error| wrong(error.to_string()))?;
    let root = root_of(&claimed)?;
    let verified = signed
        .verify(&root)
        .map_err(|error| wrong(error.to_string()))?;
    let said = verified.into_value();
    Ok(EndView::new(name, &said.member.to_string(), &said))
}
