//! `watchfire key`: the certificates of a member's nodes, and its root key,
//! which is kept away from them. What travels between the two is files.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Subcommand;
use serde::Serialize;
use watchfire_crypto::PublicKey;
use watchfire_protocol::certify::CheckedRequest;

use super::error::{CliError, Code};
use super::{Context, Ui, files};
use crate::clock::{moment, wall_ms};

mod ceremony;
mod end;
mod install;
mod issue;
mod known;
mod own;
mod renew;
mod request;
mod revoke;
mod root;
mod show;

pub(crate) use own::{Own, Validity, make_request};
pub(crate) use root::{RootArgs, TokenArgs, open as open_root};

/// Look after the keys and certificates of this member
///
/// A node proves that it belongs to its member by a certificate, which the
/// member's root key signs and which ends after 90 days at most. The root key
/// is kept offline or in a token; requests and certificates travel as files.
#[derive(Debug, Subcommand)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) enum KeyCommand {
    Show(show::ShowArgs),
    Request(request::RequestArgs),
    Issue(issue::IssueArgs),
    Install(install::InstallArgs),
    Renew(renew::RenewArgs),
    Revoke(revoke::RevokeArgs),
    Ceremony(ceremony::CeremonyArgs),
}

pub(crate) fn run(context: &Context, command: KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Show(args) => show::run(context, &args),
        KeyCommand::Request(args) => request::run(context, args),
        KeyCommand::Issue(args) => issue::run(context, args),
        KeyCommand::Install(args) => install::run(context, &args),
        KeyCommand::Renew(args) => renew::run(context, args),
        KeyCommand::Revoke(args) => revoke::run(context, args),
        KeyCommand::Ceremony(args) => ceremony::run(context, args),
    }
}

/// A day, in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A request as people and programs are shown it.
#[derive(Serialize)]
struct RequestView {
    file: String,
    fingerprint: String,
    member: String,
    role: &'static str,
    root_key: String,
    node: String,
    serial: u64,
    incarnation: u64,
    from: String,
    until: String,
    days: u64,
    /// With a card the member is made; without, one of its nodes is certified.
    card: Option<CardView>,
}

#[derive(Serialize)]
struct CardView {
    name: String,
    addresses: Vec<String>,
    doors: Vec<String>,
}

impl RequestView {
    fn new(file: String, request: &CheckedRequest) -> Self {
        let cert = &request.cert;
        let life_ms = cert.not_after_ms.saturating_sub(cert.not_before_ms);
        let texts = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::to_owned).collect();
        Self {
            file,
            fingerprint: hex::encode(request.fingerprint),
            member: request.slug.to_string(),
            role: cert.role.name(),
            root_key: hex::encode(cert.root_key),
            node: cert.node().to_string(),
            serial: cert.serial,
            incarnation: cert.incarnation,
            from: moment(cert.not_before_ms),
            until: moment(cert.not_after_ms),
            days: life_ms.div_ceil(DAY_MS),
            card: request.card.as_ref().map(|card| CardView {
                name: card.contact.name.as_str().to_owned(),
                addresses: texts(&mut card.addresses.iter().map(|text| text.as_str())),
                doors: texts(&mut card.door_addresses.iter().map(|text| text.as_str())),
            }),
        }
    }

    /// Names and values, the one that people compare first.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("fingerprint", files::grouped(&self.fingerprint)),
            ("member", format!("{} ({})", self.member, self.role)),
            ("root key", files::grouped(&self.root_key)),
            ("node", files::grouped(&self.node)),
            ("serial", self.serial.to_string()),
            ("incarnation", self.incarnation.to_string()),
            ("from", self.from.clone()),
            ("until", format!("{} ({} days)", self.until, self.days)),
        ];
        if let Some(card) = &self.card {
            fields.push(("name", card.name.clone()));
            fields.push(("reached at", card.addresses.join(" ")));
            fields.push(("doors", card.doors.join(" ")));
        }
        fields.push(("file", self.file.clone()));
        fields
    }
}

/// How long something is still good, in words.
fn left(not_after_ms: u64, now_ms: u64) -> String {
    let days = |ms: u64| match ms / DAY_MS {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    match not_after_ms.checked_sub(now_ms) {
        Some(left) => format!("{} left", days(left)),
        None => format!("ended {} ago", days(now_ms.saturating_sub(not_after_ms))),
    }
}

/// A root key as it is compared and typed: it is its own fingerprint.
fn root_text(root: &PublicKey) -> String {
    files::grouped(root)
}

/// One line of a person.
pub(super) fn ask(ui: &Ui, question: &str) -> Result<String, CliError> {
    if !ui.quiet() {
        // Nobody can be asked who cannot be told.
        let _ = write!(io::stderr(), "{question} ");
        let _ = io::stderr().flush();
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(|cause| {
        CliError::new(Code::Failure, format!("could not read the answer: {cause}"))
    })?;
    if read == 0 {
        return Err(CliError::new(
            Code::Usage,
            "an answer is needed, and standard input has ended",
        )
        .hint("run this on a terminal, or see --fingerprint and --yes"));
    }
    Ok(line.trim().to_owned())
}

/// Whether a person vouches for a request: by the fingerprint on the command
/// line, by `--yes`, or by typing yes on a terminal.
fn compared(
    ui: &Ui,
    found: &[u8; 32],
    fingerprint: Option<&str>,
    yes: bool,
) -> Result<(), CliError> {
    let found = hex::encode(found);
    if let Some(expected) = fingerprint {
        return if found == expected {
            Ok(())
        } else {
            Err(CliError::new(
                Code::Verification,
                format!(
                    "this is another request than the one you compared: its fingerprint is {}, and you gave {}",
                    files::grouped(&found),
                    files::grouped(&expected)
                ),
            )
            .hint("do not sign it; have the request made and carried again"))
        };
    }
    if yes {
        return Ok(());
    }
    // What is not shown cannot be compared.
    if !io::stdin().is_terminal() || ui.json() || ui.quiet() {
        return Err(CliError::new(
            Code::Usage,
            "nobody compared the fingerprint of this request",
        )
        .hint("give it with --fingerprint as the node shows it, or --yes if it was compared otherwise"));
    }
    ui.note(files::READ_ALOUD);
    if ask(ui, "Is this the fingerprint that the node shows? Type yes:")? == "yes" {
        Ok(())
    } else {
        Err(CliError::new(Code::NotAllowed, "not signed, as you wish"))
    }
}

/// Refuses a request that is over, for longer than the root allows here, or for
/// later: a day is for clocks that differ, and more would be a certificate kept
/// for when nobody looks.
fn within(request: &CheckedRequest, days: u64) -> Result<(), CliError> {
    let cert = &request.cert;
    let now_ms = wall_ms();
    if cert.not_after_ms < now_ms {
        return Err(CliError::new(
            Code::NotAllowed,
            format!(
                "the request is for a time that is over: it ends on {}, and now is {}",
                moment(cert.not_after_ms),
                moment(now_ms)
            ),
        )
        .hint("check the clock of this machine, or have the request made again"));
    }
    let life_ms = cert.not_after_ms.saturating_sub(cert.not_before_ms);
    if life_ms > days.saturating_mul(DAY_MS) {
        return Err(CliError::new(
            Code::NotAllowed,
            format!(
                "the request is for {} days, and {days} are allowed here",
                life_ms.div_ceil(DAY_MS)
            ),
        )
        .hint("have it made again with fewer --days, or allow more with --days, up to 90"));
    }
    let latest_ms = now_ms.saturating_add(days.saturating_add(1).saturating_mul(DAY_MS));
    if cert.not_after_ms > latest_ms {
        return Err(CliError::new(
            Code::NotAllowed,
            format!(
                "the request is for a time that is too far ahead: it ends on {}, and now is {}",
                moment(cert.not_after_ms),
                moment(now_ms)
            ),
        )
        .hint("check the clocks of this machine and of the node, and have it made again"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_words() {
        for (not_after, now, text) in [
            (90 * DAY_MS, 0, "90 days left"),
            (2 * DAY_MS - 1, 0, "1 day left"),
            (DAY_MS - 1, 0, "less than a day left"),
            (0, 1, "ended less than a day ago"),
            (0, 3 * DAY_MS, "ended 3 days ago"),
        ] {
            assert_eq!(left(not_after, now), text);
        }
    }
}
