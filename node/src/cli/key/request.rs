//! `watchfire key request`: the file that goes to the root key.

use std::path::PathBuf;

use clap::Args;
use watchfire_protocol::certify::{make_request as make_certificate_request, read_request};
use watchfire_protocol::ending::{make_end_request, read_end_request};
use watchfire_protocol::wire::notice::{Revocation, RevocationReason};

use super::end::{EndArgs, EndView, notes_of, revocation_of};
use super::known::{Known, known};
use super::own::{next_serial, wish};
use super::revoke::reason_of;
use super::{Own, RequestView, Validity, make_request};
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, files};
use crate::disk::published;
use crate::home::Home;
use crate::keystore::{MODE_PUBLIC, PassphraseSource, write_new};

/// Ask the root key for a certificate of this node, or for the end of a node, by a file
///
/// The file is signed by the node's own keys and holds no secret. Carry it to
/// where the root key is, sign it there with "watchfire key issue", carry what
/// comes of it back, and install it with "watchfire key install".
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire key request
  watchfire key request --days 30 -o /media/stick/at-cert.request --passphrase-file secret
  watchfire key request --new-incarnation
  watchfire key request --revoke 4f1c90ab77d2 --reason replaced")]
pub(crate) struct RequestArgs {
    /// For how many days from now
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
    /// Serial of the certificate [default: one more than the highest of this member that is known here]
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Ask for a new life of this node: the present one ends, up to where its streams are held here
    #[arg(long, conflicts_with = "revoke")]
    new_incarnation: bool,
    /// Ask for the end of a node of this member: the first digits of its id, eight at least
    #[arg(long, value_name = "NODE", conflicts_with = "serial")]
    revoke: Option<String>,
    #[command(flatten)]
    end: EndArgs,
    /// Take what is held here for all there is, though no other member was asked or one was not asked to the end
    #[arg(long, requires = "new_incarnation")]
    as_held: bool,
    /// Where to write it [default: SLUG-SERIAL.request; for an end SLUG-NODE-end.request, for a new life SLUG-SERIAL-life.request]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read the passphrase of the node's keys from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: RequestArgs) -> Result<(), CliError> {
    let home = context.home()?;
    let mut own = Own::read(&home)?;
    let source = PassphraseSource::choose(args.passphrase_file.clone(), files::env);
    if let Some(node) = &args.revoke {
        let reason = reason_of(&args.end)?;
        let known = known(context, &home, &own, Some(node))?;
        let serial = args.end.up_to.unwrap_or(u64::MAX);
        let revocation = revocation_of(&known.lives, serial, reason)?;
        return end(context, &home, &own, &args, (&known, revocation), &source);
    }
    if args.end.reason.is_some() || args.end.up_to.is_some() {
        return Err(CliError::new(
            Code::Usage,
            "--reason and --up-to are about the end of a node: name it with --revoke",
        ));
    }
    if args.new_incarnation {
        return new_life(context, &home, &own, &args, &source);
    }
    own.learn_serials(context, &home);
    certificate(context, &home, &own, args, &source)
}

fn certificate(
    context: &Context,
    home: &Home,
    own: &Own,
    args: RequestArgs,
    source: &PassphraseSource,
) -> Result<(), CliError> {
    let ui = &context.ui;
    let validity = Validity {
        days: args.days,
        serial: args.serial,
    };
    let bytes = make_request(home, own, validity, source, ui)?;
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
    next(context);
    if own.roster.is_some() && own.certificate.is_none() {
        ui.note("note: this node has no certificate yet, and cannot run before it has");
    }
    Ok(())
}

fn next(context: &Context) {
    context.ui.note("next: carry the file to where the root key is, and run there, after comparing the fingerprint");
    context
        .ui
        .note("  watchfire key issue FILE --root-key root.key");
}

/// Asks for the end of the present life and the certificate of the next.
fn new_life(
    context: &Context,
    home: &Home,
    own: &Own,
    args: &RequestArgs,
    source: &PassphraseSource,
) -> Result<(), CliError> {
    if own.certificate.is_none() {
        return Err(CliError::new(
            Code::NotFound,
            "this node has no certificate, so it has not lived yet",
        )
        .hint("\"watchfire key request\" asks for the first one"));
    }
    let known = known(context, home, own, None)?;
    if !args.as_held && !known.is_caught_up() {
        return Err(not_caught_up(&known));
    }
    let lives = &known.lives;
    if lives.serial == u64::MAX {
        return Err(
            CliError::new(Code::NotAllowed, "this node was ended for good")
                .hint("make a new node with \"watchfire init --node-of\", which has new keys"),
        );
    }
    let revocation = revocation_of(lives, lives.serial, RevocationReason::Restored)?;
    end(context, home, own, args, (&known, revocation), source)
}

fn not_caught_up(known: &Known) -> CliError {
    let (code, why) = match &known.sync {
        None => (
            Code::Unreachable,
            "the node does not run, so nobody was asked how far its streams went".to_owned(),
        ),
        Some(sync) if sync.connected == 0 => (
            Code::Degraded,
            "no other member is connected, so nobody was asked how far its streams went".to_owned(),
        ),
        Some(sync) => (
            Code::Degraded,
            format!(
                "{} envelopes are still missing here, and {} members hold something that is not here",
                sync.missing, sync.ahead
            ),
        ),
    };
    CliError::new(code, why)
        .hint("start the node, connect it to the other members, and try again when \"watchfire sync now\" is done")
        .hint("or, where that cannot be, give --as-held: what others hold beyond will not count any more")
}

/// Writes the request that ends what `revocation` says; with the certificate of a
/// new life where one is asked for.
fn end(
    context: &Context,
    home: &Home,
    own: &Own,
    args: &RequestArgs,
    (known, revocation): (&Known, Revocation),
    source: &PassphraseSource,
) -> Result<(), CliError> {
    let ui = &context.ui;
    let lives = &known.lives;
    let next_life = args
        .new_incarnation
        .then(|| {
            let serial_known = lives.serial_of_member.max(lives.serial);
            let serial = next_serial(own, serial_known, args.serial)?;
            let noted = published::restored_through(&home.store()).map_err(|cause| {
                CliError::new(
                    Code::Failure,
                    format!("could not read the note of what was published: {cause}"),
                )
            })?;
            let life = lives.incarnation.max(noted.unwrap_or(0));
            Ok::<_, CliError>((serial, life.saturating_add(1)))
        })
        .transpose()?;
    let path = args.output.clone().unwrap_or_else(|| {
        PathBuf::from(match next_life {
            Some((serial, _)) => format!("{}-{serial}-life.request", own.slug),
            None => format!("{}-{}-end.request", own.slug, revocation.node.short()),
        })
    });
    free(&path)?;
    let (signing, transport) = files::node_keys(home, source, ui)?;
    let certificate = next_life
        .map(|(serial, life)| {
            let wish = wish(own, args.days, serial, life);
            make_certificate_request(&wish, &signing, &transport)
        })
        .transpose()?;
    let bytes = make_end_request(&own.slug, &revocation, certificate, &signing)?;
    write_new(&path, &bytes, MODE_PUBLIC)?;
    let view = EndView::asked(path.display().to_string(), &read_end_request(&bytes)?);
    if ui.json() {
        return ui.document("key-request-end", &view);
    }
    ui.fields(&view.fields())?;
    for note in notes_of(lives) {
        ui.note(&note);
    }
    if !known.is_caught_up() {
        ui.note("note: this node may not hold all of it: what it does not hold will not count");
    }
    next(context);
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
