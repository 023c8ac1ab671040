//! `watchfire key install`: what the root signed comes home.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use watchfire_crypto::PublicKey;
use watchfire_protocol::certify::certificate_from_file;
use watchfire_protocol::ending::{
    END_REQUEST_FILE_BYTES_MAX, SignedRevocation, life_from_file, revocation_from_file,
    revocation_to_file,
};
use watchfire_protocol::roster::{Certificate, RosterError, check_card};
use watchfire_protocol::wire::card::CertificateBytes;
use watchfire_protocol::wire::genesis::{card_from_file, card_to_file};
use watchfire_protocol::wire::notice::Revocation;

use super::end::{EndView, root_of};
use super::{Own, left, revoke};
use crate::certificates;
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, TIMEOUT_DEFAULT, Ui, files};
use crate::clock::{moment, wall_ms};
use crate::control::client::ControlError;
use crate::control::{Op, Reply};
use crate::home::Home;
use crate::keystore::{MODE_PUBLIC, read_bounded, write_new};
use crate::revocations;

/// Install what the root key signed: a certificate, a card, the end of a node
///
/// A running node takes it within seconds, without a restart, and tells the
/// others. A member that cannot be reached may install the same file with this
/// command too.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key install at-cert-2.cert
  watchfire key install at-cert.card
  watchfire key install at-cert-3.life
  watchfire key install at-cert-4f1c90ab.revocation")]
pub(crate) struct InstallArgs {
    /// The certificate, the card, the revocation, or what came for a new life
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
    let bytes = read_bounded(&args.file, END_REQUEST_FILE_BYTES_MAX).map_err(files::absent)?;
    if let Ok((revocation, certificate)) = life_from_file(&bytes) {
        return install_life(context, &home, &revocation, &certificate);
    }
    if let Ok(revocation) = revocation_from_file(&bytes) {
        return install_revocation(context, &home, &revocation);
    }
    if let Ok(certificate) = certificate_from_file(&bytes) {
        return install_certificate(context, &home, &certificate);
    }
    if card_from_file(&bytes).is_ok() {
        return install_card(context, &home, &bytes);
    }
    Err(CliError::new(
        Code::Verification,
        format!(
            "{} is neither a certificate nor a card nor the end of a node",
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
    let (checked, is_new) = keep_certificate(home, &own, certificate)?;
    report(&context.ui, "certificate", &own, &checked, !is_new)
}

/// Checks a certificate and puts it into the data directory, and says whether it
/// was not there yet.
fn keep_certificate(
    home: &Home,
    own: &Own,
    certificate: &CertificateBytes,
) -> Result<(Certificate, bool), CliError> {
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
        return Ok((held.clone(), false));
    }
    let checked = match &own.roster {
        Some(roster) => roster.check_certificate(certificate, now_ms)?,
        None => of_own_root(own, certificate, now_ms)?,
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
    let is_new = certificates::keep(home, &checked.id, certificate)?;
    Ok((checked, is_new))
}

#[derive(Serialize)]
struct Ends {
    kind: &'static str,
    revocation: EndView,
    /// What the running node made of it: `accepted`, `held`, `refused`, or
    /// `waiting` for a node to run or for its next look.
    outcome: String,
    /// The life that begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
}

/// The old life ends, and the next one begins.
fn install_life(
    context: &Context,
    home: &Home,
    revocation: &SignedRevocation,
    certificate: &CertificateBytes,
) -> Result<(), CliError> {
    let own = Own::read(home)?;
    let said = check_revocation(&own, revocation)?;
    if said.node != own.node() {
        return Err(CliError::new(
            Code::Verification,
            "this is for the new life of another node",
        )
        .hint("install it in the data directory that made the request"));
    }
    // First who goes on, then who ended: the node takes them in this order.
    let (checked, _) = keep_certificate(home, &own, certificate)?;
    if !own.is_mine(&checked) || checked.serial <= said.serial {
        return Err(CliError::new(
            Code::Verification,
            "the certificate is not of the life that follows the one that ends",
        )
        .hint("have the request made and signed again"));
    }
    revocations::keep(home, revocation)?;
    let view = EndView::new(name_of(&own, &said), &slug_of(&own, &said), &said);
    let ui = &context.ui;
    if ui.json() {
        return ui.document(
            "key-install",
            &Ends {
                kind: "new life",
                revocation: view,
                outcome: "waiting".to_owned(),
                incarnation: Some(checked.incarnation),
            },
        );
    }
    ui.fields(&view.fields())?;
    ui.fields(&[
        ("new life", checked.incarnation.to_string()),
        ("serial", checked.serial.to_string()),
        ("until", moment(checked.not_after_ms)),
    ])?;
    ui.note("a running node takes it within seconds, without a restart, and publishes in its new life from then on");
    Ok(())
}

fn install_revocation(
    context: &Context,
    home: &Home,
    revocation: &SignedRevocation,
) -> Result<(), CliError> {
    let own = Own::read(home)?;
    let said = check_revocation(&own, revocation)?;
    let outcome = keep_revocation(context, &own, revocation)?;
    let view = EndView::new(name_of(&own, &said), &slug_of(&own, &said), &said);
    let ui = &context.ui;
    if ui.json() {
        return ui.document(
            "key-install",
            &Ends {
                kind: "revocation",
                revocation: view,
                outcome,
                incarnation: None,
            },
        );
    }
    ui.fields(&view.fields())?;
    note_outcome(ui, &own, &said, &outcome);
    Ok(())
}

/// What a revocation says, after everything in it that files can tell holds.
fn check_revocation(own: &Own, signed: &SignedRevocation) -> Result<Revocation, CliError> {
    let refused = |why: String| CliError::new(Code::Verification, why);
    let roster = own.roster.as_ref().ok_or_else(|| {
        CliError::new(
            Code::NotInitialised,
            "this node belongs to no federation yet, and a revocation is about one",
        )
        .hint("join first, with \"watchfire join\"")
    })?;
    match roster.check_revocation(signed.to_signed::<Revocation>()) {
        Ok(checked) => Ok(checked.into_value()),
        // Certificates that came over the network are not in files: whether it is
        // the member's node, the running node knows.
        Err(RosterError::UnknownNode) => {
            let signed = signed.to_signed::<Revocation>();
            let claimed = signed
                .claims()
                .map_err(|error| refused(format!("the revocation is malformed: {error}")))?;
            let root = root_of(&claimed)?;
            signed
                .verify(&root)
                .map(watchfire_crypto::Verified::into_value)
                .map_err(|error| refused(format!("the revocation does not hold: {error}")))
        }
        Err(RosterError::NotAMember) => Err(CliError::new(
            Code::NotAllowed,
            "the revocation is not signed by the present root key of a member",
        )
        .hint("check with \"watchfire key show\" which root key signed it")),
        Err(other) => Err(other.into()),
    }
}

/// Puts a revocation into the data directory and gives it to the node, if it
/// runs: what came of that.
pub(super) fn keep_revocation(
    context: &Context,
    own: &Own,
    signed: &SignedRevocation,
) -> Result<String, CliError> {
    check_revocation(own, signed)?;
    let home = context.home()?;
    let mut node = match context.connect(TIMEOUT_DEFAULT) {
        Ok(node) => node,
        Err(error) if error.code == Code::Unreachable => {
            revocations::keep(&home, signed)?;
            return Ok("waiting".to_owned());
        }
        Err(error) => return Err(error),
    };
    let Reply::Brought(brought) = node.request(Op::Bring, &revocation_to_file(signed))? else {
        return Err(ControlError::Unexpected.into());
    };
    if brought.outcome == "refused" {
        let why = brought.why.unwrap_or_default();
        return Err(
            CliError::new(Code::NotAllowed, format!("the node did not take it: {why}"))
                .hint("\"watchfire key show\" says what the file is about"),
        );
    }
    revocations::keep(&home, signed)?;
    Ok(brought.outcome)
}

/// Tells what came of it.
pub(super) fn note_outcome(ui: &Ui, own: &Own, said: &Revocation, outcome: &str) {
    ui.note(match outcome {
        "waiting" => "the node does not run: it takes it at its next start",
        "held" => "note: the node held it already",
        _ => "the node took it and tells everybody it is connected with",
    });
    let ends_here = own.certificate.as_ref().is_some_and(|held| {
        said.node == own.node() && held.serial <= said.serial && said.member == held.member
    });
    if ends_here {
        ui.note(
            "note: this ends this very node: it publishes nothing more, and gets no connection",
        );
    }
}

fn slug_of(own: &Own, said: &Revocation) -> String {
    own.roster
        .as_ref()
        .and_then(|roster| roster.member(&said.member))
        .map_or_else(|| said.member.short(), |member| member.slug.to_string())
}

fn name_of(own: &Own, said: &Revocation) -> String {
    revoke::name_of(&slug_of(own, said), said)
        .display()
        .to_string()
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
