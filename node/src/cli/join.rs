//! `watchfire join`: take part in a federation that everybody signed.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use watchfire_protocol::ids::FederationId;
use watchfire_protocol::limits::PACKET_BYTES_MAX;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::Packet;

use super::error::{CliError, Code};
use super::key::Own;
use super::roster::Chain;
use super::{Context, files};
use crate::home::Home;
use crate::keystore::{MODE_PUBLIC, read_bounded, write_new};

mod entry;

/// Join the federation of a genesis that every member signed, or of a packet whose roster you are in
///
/// An organisation that was admitted later joins with a packet that a member
/// exported, which holds the rosters since. The fingerprint is what protects you from a forged file: get it from another
/// member by telephone, not from where the file came from.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  watchfire join genesis --fingerprint \"4f1c 90ab 77d2 0e35 4f1c 90ab 77d2 0e35 4f1c 90ab 77d2 0e35 4f1c 90ab 77d2 0e35\"")]
pub(crate) struct JoinArgs {
    /// The genesis, or a packet of "watchfire roster export"
    genesis: PathBuf,
    /// Fingerprint of the genesis, all 64 digits; spaces and colons do not matter
    #[arg(long, value_name = "DIGITS", value_parser = fingerprint)]
    fingerprint: FederationId,
}

/// Whether this node is of this federation already.
fn has_joined(home: &Home, roster: &Roster) -> Result<bool, CliError> {
    match files::roster(home)? {
        None => Ok(false),
        Some(present) if present.federation() == roster.federation() => Ok(true),
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
    .hint("do not use this file; compare the fingerprint again by telephone and ask for the file again")
}

#[derive(Serialize)]
struct Joined {
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
    let bytes = read_bounded(&args.genesis, PACKET_BYTES_MAX).map_err(files::absent)?;
    if Packet::is_one(&bytes) {
        let chain = Chain::of_file(&args.genesis)?;
        return entry::run(context, &home, &own, &chain, &args.fingerprint);
    }
    let (file, state) = files::genesis(&args.genesis)?;
    if state.federation != args.fingerprint {
        return Err(another(&state.federation, &args.fingerprint));
    }
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
    let already_joined = has_joined(&home, &roster)?;
    if !already_joined {
        write_new(&home.genesis(), &file.to_bytes(), MODE_PUBLIC)?;
    }
    let joined = Joined {
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
