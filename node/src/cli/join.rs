//! `watchfire join`: take part in a federation that everybody signed.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use watchfire_protocol::ids::FederationId;
use watchfire_protocol::limits::PACKET_BYTES_MAX;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::Packet;
use watchfire_protocol::wire::invitation::{INVITATION_TEXT_BYTES_MAX, Invitation};

use super::error::{CliError, Code};
use super::key::{self, Own};
use super::roster::Chain;
use super::ui::Ui;
use super::{Context, files};
use crate::home::Home;
use crate::keystore::{MODE_PUBLIC, read_bounded, write_new};

mod consent;
mod door;
mod entry;
mod invited;

/// Join a federation: by an invitation, by the genesis that you signed, or by a packet whose roster you are in
///
/// With an invitation it asks the door of the member who invited you: for the
/// federation, which you compare, and then leaves your card there. The members
/// vote. Run it again, or let it --wait: it shows you the roster that would admit
/// you, asks for the consent of your root key, and joins once you are admitted.
/// The fingerprint is what protects you from a forged file or door: get it from
/// another member by telephone, not from where the file or the invitation came
/// from.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire join xk.invitation
  watchfire join xk.invitation --wait
  watchfire join xk.invitation --packet consent.packet
  watchfire join genesis --fingerprint \"4f1c 90ab 77d2 0e35 4f1c 90ab 77d2 0e35 4f1c 90ab 77d2 0e35 4f1c 90ab 77d2 0e35\"")]
pub(crate) struct JoinArgs {
    /// The invitation, as text or a file; or the genesis, or a packet of "watchfire roster export"
    #[arg(value_name = "INVITATION|FILE")]
    source: PathBuf,
    /// Fingerprint of the federation, all 64 digits; spaces and colons do not matter [default: you are asked on a terminal]
    #[arg(long, value_name = "DIGITS", value_parser = fingerprint)]
    fingerprint: Option<FederationId>,
    /// Go on asking at the door until you are admitted, for a day or for --timeout
    #[arg(long)]
    wait: bool,
    /// Consent to this proposal without being asked: its id, all 64 digits
    #[arg(long, value_name = "ID")]
    consent: Option<String>,
    /// For a root key elsewhere: write the proposal to this packet; once it is signed, bring the consent in it
    #[arg(long, value_name = "FILE", conflicts_with = "consent")]
    packet: Option<PathBuf>,
    /// Root key [default: keys/root.key in the data directory]
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// Read the passphrase of the keys from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase of the root key from this file [default: as that of the keys]
    #[arg(long, value_name = "FILE")]
    root_passphrase_file: Option<PathBuf>,
}

/// Whether somebody is there to be asked, who is told what it is about.
fn is_asked(ui: &Ui) -> bool {
    io::stdin().is_terminal() && !ui.json() && !ui.quiet()
}

/// The federation that a person vouches for: on the command line, or by comparing
/// what was found.
fn compared(ui: &Ui, found: &FederationId, given: Option<&FederationId>) -> Result<(), CliError> {
    if let Some(given) = given {
        return if found == given {
            Ok(())
        } else {
            Err(another(found, given))
        };
    }
    if !is_asked(ui) {
        return Err(nobody_compared());
    }
    ui.note(&format!(
        "the fingerprint of this federation is {}",
        files::grouped(found)
    ));
    ui.note(files::READ_ALOUD);
    let question = "Does a member read the same to you by telephone? Type yes:";
    if key::ask(ui, question)? == "yes" {
        Ok(())
    } else {
        Err(CliError::new(Code::NotAllowed, "not joined, as you wish"))
    }
}

fn nobody_compared() -> CliError {
    CliError::new(
        Code::Usage,
        "nobody compared the fingerprint of the federation",
    )
    .hint("get it from a member by telephone, and give it with --fingerprint")
}

/// The text of an invitation: of a file that begins as one, or the argument itself.
fn invitation_of(source: &Path) -> Result<Option<String>, CliError> {
    let text = source.to_string_lossy();
    if !source.exists() {
        return Ok(Invitation::is_one(&text).then(|| text.into_owned()));
    }
    let bytes = read_bounded(source, PACKET_BYTES_MAX).map_err(files::absent)?;
    let start = bytes.get(..bytes.len().min(INVITATION_TEXT_BYTES_MAX + 1));
    let text = String::from_utf8_lossy(start.unwrap_or_default());
    Ok(Invitation::is_one(&text).then(|| text.into_owned()))
}

/// Whether this node is of this federation already.
fn has_joined(home: &Home, federation: &FederationId) -> Result<bool, CliError> {
    match files::roster(home)? {
        None => Ok(false),
        Some(present) if present.federation() == *federation => Ok(true),
        Some(present) => Err(CliError::new(
            Code::NotAllowed,
            format!(
                "this node belongs to the federation {} already, fingerprint {}",
                present.name(),
                files::grouped(&present.federation())
            ),
        )
        .hint("a node belongs to one federation: run \"watchfire init\" in another directory for another")),
    }
}

/// This is another federation than the one that was compared.
fn another(found: &FederationId, compared: &FederationId) -> CliError {
    CliError::new(
        Code::Verification,
        format!(
            "this is another federation than the one you compared: its fingerprint is {}, and you gave {}",
            files::grouped(found),
            files::grouped(compared)
        ),
    )
    .hint("do not use this file or invitation; compare the fingerprint again by telephone and ask for another")
}

#[derive(Serialize)]
struct Joined {
    /// `joined`; of an invitation that is not answered yet it is `waiting`.
    state: &'static str,
    federation: String,
    name: String,
    member: String,
    members: Vec<String>,
    already_joined: bool,
}

pub(crate) fn run(context: &Context, args: &JoinArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let home = context.home()?;
    let own = files::own_card(&home)?;
    if let Some(text) = invitation_of(&args.source)? {
        return invited::run(context, args, &home, own, &text);
    }
    if args.fingerprint.is_none() && !is_asked(ui) {
        return Err(nobody_compared());
    }
    let bytes = read_bounded(&args.source, PACKET_BYTES_MAX).map_err(files::absent)?;
    if Packet::is_one(&bytes) {
        let chain = Chain::of_file(&args.source)?;
        let federation = chain.rebuilt.roster.federation();
        compared(ui, &federation, args.fingerprint.as_ref())?;
        return entry::run(context, &home, &own, &chain);
    }
    let (file, state) = files::genesis(&args.source)?;
    compared(ui, &state.federation, args.fingerprint.as_ref())?;
    let roster = Roster::found(&file)?;
    let Some(listed) = state
        .cards
        .iter()
        .find(|card| card.root_key == own.root_key)
    else {
        return Err(CliError::new(
            Code::NotAllowed,
            format!(
                "{} is no member of the federation {}",
                own.card.slug,
                roster.name()
            ),
        )
        .hint("check --data-dir; a member that was forgotten needs a new genesis"));
    };
    if listed.id != own.id {
        return Err(CliError::new(
            Code::Verification,
            format!("the genesis holds another card of {} than this directory", own.card.slug),
        )
        .hint("restore the directory the card came from, or found the federation anew with the present card"));
    }
    let already_joined = has_joined(&home, &roster.federation())?;
    if !already_joined {
        write_new(&home.genesis(), &file.to_bytes(), MODE_PUBLIC)?;
    }
    let joined = Joined {
        state: "joined",
        federation: roster.federation().to_string(),
        name: roster.name().to_owned(),
        member: own.card.slug.to_string(),
        members: state
            .genesis
            .members
            .iter()
            .map(|member| member.slug.to_string())
            .collect(),
        already_joined,
    };
    if ui.json() {
        return ui.document("join", &joined);
    }
    ui.fields(&[
        ("federation", joined.name),
        ("fingerprint", files::grouped(&joined.federation)),
        ("joined as", joined.member),
        ("members", joined.members.join(", ")),
    ])?;
    if already_joined {
        ui.note("note: this node had joined before");
    }
    match Own::read(&home)?.certificate {
        None => ui.note(
            "note: this node has no certificate yet; install it with \"watchfire key install\"",
        ),
        Some(certificate) if !certificate.is_current(crate::clock::wall_ms()) => {
            ui.note(&format!(
                "note: this node's certificate ended on {}: others will not accept it",
                crate::clock::moment(certificate.not_after_ms)
            ));
        }
        Some(_) => {}
    }
    ui.note("next: watchfire serve");
    Ok(())
}

/// Reads a fingerprint as people write it down.
fn fingerprint(text: &str) -> Result<FederationId, String> {
    let digits = files::digits(text)?;
    digits
        .parse()
        .map_err(|_| "64 digits and no fingerprint".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn fingerprints_are_read_as_people_write_them_and_never_in_part() {
        let id = FederationId::from_bytes([0xab; 32]);
        for text in [
            "ab".repeat(32),
            "AB:".repeat(32),
            "abab ".repeat(16),
            files::grouped(&id),
        ] {
            assert_eq!(fingerprint(&text), Ok(id), "{text}");
        }
        assert!(
            fingerprint(&"ab".repeat(31))
                .unwrap_err()
                .contains("this has 62")
        );
        assert!(fingerprint(&"ab".repeat(33)).is_err());
        assert!(fingerprint("").is_err());
        assert!(
            fingerprint(&"xy".repeat(32))
                .unwrap_err()
                .contains("no digit")
        );
    }
}
