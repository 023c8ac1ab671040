//! `watchfire key renew`: request, issue and install at once, where the root
//! key is at hand: on a token, or on a medium that was plugged in.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use watchfire_protocol::certify::read_request;

use super::{Own, RootArgs, Validity, make_request, root};
use crate::certificates;
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, files};
use crate::clock::moment;
use crate::keystore::PassphraseSource;

/// Renew the certificate of this node, where the root key is at hand
///
/// Same keys, same incarnation, next serial. Where the root key is on another
/// machine, use "watchfire key request" and carry the file.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key renew --root-key /media/stick/root.key
  watchfire key renew --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token at-cert --pkcs11-key root")]
pub(crate) struct RenewArgs {
    /// For how many days from now
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
    #[command(flatten)]
    root: RootArgs,
    /// Read the passphrase of the node's keys from this file, which only you may read; the root key's too, unless it has its own
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Renewed {
    member: String,
    node: String,
    serial: u64,
    until: String,
}

pub(crate) fn run(context: &Context, args: RenewArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let home = context.home()?;
    let mut own = Own::read(&home)?;
    own.learn_serials(context, &home);
    if own.certificate.is_none() {
        return Err(
            CliError::new(Code::NotFound, "this node has no certificate to renew")
                .hint("\"watchfire key request\" asks for the first one"),
        );
    }
    let token = args.root.token.key();
    let file = args
        .root
        .root_key
        .clone()
        .unwrap_or_else(|| home.root_key());
    if token.is_none() && args.root.root_key.is_none() && !file.exists() {
        return Err(CliError::new(
            Code::NotFound,
            "the root key is not here, as it should be",
        )
        .hint("make a request with \"watchfire key request\" and carry it to the root key, or name the key with --root-key or --pkcs11-module"));
    }
    let validity = Validity {
        days: args.days,
        serial: None,
    };
    let root_source = if args.root.root_passphrase_file.is_none() && token.is_none() {
        args.passphrase_file
            .clone()
            .map_or_else(|| args.root.source(), PassphraseSource::File)
    } else {
        args.root.source()
    };
    let source = PassphraseSource::choose(args.passphrase_file, files::env);
    let bytes = make_request(&home, &own, validity, &source, ui)?;
    let request = read_request(&bytes)?;
    let root = root::open(token, Some(&file), &root_source, ui)?;
    let granted = request.grant(&root.public(), |domain, message| root.sign(domain, message))?;
    let (id, cert) = granted.certificate.verify(&own.root_key).map_err(|error| {
        CliError::new(
            Code::Verification,
            format!("the new certificate does not hold: {error}"),
        )
    })?;
    certificates::keep(&home, &id, &granted.certificate)?;
    let renewed = Renewed {
        member: own.slug.to_string(),
        node: cert.node().to_string(),
        serial: cert.serial,
        until: moment(cert.not_after_ms),
    };
    if ui.json() {
        return ui.document("key-renew", &renewed);
    }
    ui.fields(&[
        ("member", renewed.member),
        ("node", files::grouped(&renewed.node)),
        ("serial", renewed.serial.to_string()),
        ("until", renewed.until),
    ])?;
    ui.note("a running node takes it within seconds");
    Ok(())
}
