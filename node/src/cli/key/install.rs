//! `watchfire key install`: what the root signed comes home.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use watchfire_crypto::PublicKey;
use watchfire_protocol::certify::certificate_from_file;
use watchfire_protocol::limits::CARD_BYTES_MAX;
use watchfire_protocol::roster::{Certificate, check_card};
use watchfire_protocol::wire::card::CertificateBytes;
use watchfire_protocol::wire::genesis::{card_from_file, card_to_file};

use super::{Own, left};
use crate::certificates;
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, Ui, files};
use crate::clock::{moment, wall_ms};
use crate::home::Home;
use crate::keystore::{MODE_PUBLIC, read_bounded, write_new};

/// Install a certificate or a card that the root key signed
///
/// A running node takes a certificate within seconds, without a restart, and
/// offers it at the doors of the other members. A member without a door needs
/// the same file, and installs it with this command too.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key install at-cert-2.cert
  watchfire key install at-cert.card")]
pub(crate) struct InstallArgs {
    /// The certificate, or the card
    file: PathBuf,
}

#[derive(Serialize)]
struct Installed {
    kind: &'static str,
    member: String,
    node: String,
    own: bool,
    serial: u64,
    incarnation: u64,
    until: String,
    already_installed: bool,
}

pub(crate) fn run(context: &Context, args: &InstallArgs) -> Result<(), CliError> {
    let home = context.home()?;
    let bytes = read_bounded(&args.file, CARD_BYTES_MAX + 128).map_err(files::absent)?;
    if let Ok(certificate) = certificate_from_file(&bytes) {
        return install_certificate(context, &home, &certificate);
    }
    if card_from_file(&bytes).is_ok() {
        return install_card(context, &home, &bytes);
    }
    Err(CliError::new(
        Code::Verification,
        format!(
            "{} is neither a certificate nor a card",
            args.file.display()
        ),
    )
    .hint("install the file that \"watchfire key issue\" or \"watchfire key ceremony\" made"))
}

fn install_certificate(
    context: &Context,
    home: &Home,
    certificate: &CertificateBytes,
) -> Result<(), CliError> {
    let own = Own::read(home)?;
    let now_ms = wall_ms();
    let claimed = certificate.claims().map_err(|error| {
        CliError::new(
            Code::Verification,
            format!("the certificate is malformed: {error}"),
        )
    })?;
    // What is there already is not an older one of itself.
    let held = own
        .roster
        .as_ref()
        .and_then(|roster| roster.node(&claimed.node()))
        .or(own.certificate.as_ref())
        .filter(|held| held.node == claimed.node() && held.serial == claimed.serial);
    let same = |held: &&Certificate| {
        PublicKey::enrol(&claimed.root_key)
            .is_ok_and(|root| certificate.verify(&root).is_ok_and(|(id, _)| id == held.id))
    };
    if let Some(held) = held.filter(same) {
        return report(&context.ui, "certificate", &own, held, true);
    }
    let checked = match &own.roster {
        Some(roster) => roster.check_certificate(certificate, now_ms)?,
        None => of_own_root(&own, certificate, now_ms)?,
    };
    let shares_one = checked.signing_key == own.signing_key
        || checked.transport_key == *own.transport_key.as_bytes();
    if shares_one && !own.is_mine(&checked) {
        return Err(CliError::new(
            Code::Verification,
            "the certificate is of other keys than this node has",
        )
        .hint("make the request again on this node, with \"watchfire key request\""));
    }
    let new = certificates::keep(home, &checked.id, certificate)?;
    report(&context.ui, "certificate", &own, &checked, !new)
}

/// As a roster checks it, for a node that has not joined yet: it knows its own
/// root alone.
fn of_own_root(
    own: &Own,
    certificate: &CertificateBytes,
    now_ms: u64,
) -> Result<Certificate, CliError> {
    let refused = |why: String| CliError::new(Code::Verification, why);
    let (id, cert) = certificate.verify(&own.root_key).map_err(|error| {
        refused(format!("the certificate does not hold: {error}"))
            .hint("before \"watchfire join\" a node takes certificates of its own root key alone")
    })?;
    if cert.role != own.role {
        return Err(refused("its role is not the member's".to_owned()));
    }
    if !(cert.not_before_ms..=cert.not_after_ms).contains(&now_ms) {
        return Err(refused(format!(
            "the certificate is not valid now: {}",
            left(cert.not_after_ms, now_ms)
        )));
    }
    if cert.signing_key != *own.signing_key.as_bytes()
        || cert.transport_key != *own.transport_key.as_bytes()
    {
        return Err(
            refused("the certificate is of other keys than this node has".to_owned())
                .hint("install it in the data directory that made the request"),
        );
    }
    Ok(Certificate {
        id,
        member: watchfire_protocol::ids::MemberId::of_root(&own.root_key),
        root_key: own.root_key,
        serial: cert.serial,
        node: cert.node(),
        signing_key: own.signing_key,
        transport_key: cert.transport_key,
        incarnation: cert.incarnation,
        role: cert.role,
        not_before_ms: cert.not_before_ms,
        not_after_ms: cert.not_after_ms,
    })
}

fn install_card(context: &Context, home: &Home, bytes: &[u8]) -> Result<(), CliError> {
    let own = Own::read(home)?;
    let card = card_from_file(bytes).map_err(|error| {
        CliError::new(Code::Verification, format!("this is not a card: {error}"))
    })?;
    let checked = check_card(&card)?;
    if checked.root_key != own.root_key {
        return Err(CliError::new(
            Code::Verification,
            "the card is of another root key than this node asked",
        )
        .hint("compare the root key with \"watchfire key show\""));
    }
    if home.own_card().exists() {
        let present = files::own_card(home)?;
        if present.id == checked.id {
            return report(&context.ui, "card", &own, &checked.certificate, true);
        }
        return Err(CliError::new(
            Code::NotAllowed,
            "this node has a card already, and it is another",
        )
        .hint("a federation was or will be founded with the present one; keep it"));
    }
    if !own.is_mine(&checked.certificate) {
        return Err(CliError::new(
            Code::Verification,
            "the card is of other keys than this node has",
        )
        .hint("install it in the data directory that made the request"));
    }
    write_new(&home.own_card(), &card_to_file(&card), MODE_PUBLIC)?;
    report(&context.ui, "card", &own, &checked.certificate, false)?;
    context.ui.note(&format!(
        "card: {}, fingerprint {}",
        home.own_card().display(),
        files::grouped(&checked.id)
    ));
    context.ui.note("next: send the card to whoever creates the federation, and read its fingerprint to them by telephone");
    Ok(())
}

fn report(
    ui: &Ui,
    kind: &'static str,
    own: &Own,
    certificate: &Certificate,
    already_installed: bool,
) -> Result<(), CliError> {
    let is_own = own.is_mine(certificate);
    let member = own
        .roster
        .as_ref()
        .and_then(|roster| roster.member(&certificate.member))
        .map_or(&own.slug, |member| &member.slug);
    let now_ms = wall_ms();
    let installed = Installed {
        kind,
        member: member.to_string(),
        node: certificate.node.to_string(),
        own: is_own,
        serial: certificate.serial,
        incarnation: certificate.incarnation,
        until: moment(certificate.not_after_ms),
        already_installed,
    };
    if ui.json() {
        return ui.document("key-install", &installed);
    }
    ui.fields(&[
        (
            "installed for",
            if is_own {
                format!("{}, this node", installed.member)
            } else {
                format!("{}, another node", installed.member)
            },
        ),
        ("node", files::grouped(&installed.node)),
        ("serial", installed.serial.to_string()),
        ("incarnation", installed.incarnation.to_string()),
        (
            "until",
            format!(
                "{} ({})",
                installed.until,
                left(certificate.not_after_ms, now_ms)
            ),
        ),
    ])?;
    if already_installed {
        ui.note("note: it was installed before");
    }
    if let Some(roster) = own.roster.as_ref().filter(|_| is_own) {
        let closed: Vec<String> = roster
            .members()
            .filter(|member| member.id != certificate.member && member.door_addresses.is_empty())
            .map(|member| member.slug.to_string())
            .collect();
        if !closed.is_empty() {
            ui.note(&format!(
                "next: {} have no door: send them this file, for \"watchfire key install\"",
                closed.join(", ")
            ));
        }
    }
    Ok(())
}
