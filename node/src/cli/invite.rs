//! `watchfire invite`: let an organisation knock at this node's door, and see who
//! has.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use libp2p::Multiaddr;
use serde::Serialize;
use watchfire_protocol::ids::CardId;

use super::error::{CliError, Code};
use super::settings::dial_address;
use super::{Context, TIMEOUT_DEFAULT, files};
use crate::control::client::ControlError;
use crate::control::inviting::{InvitationView, InvitationsReply, InviteOp};
use crate::control::{Op, Reply};
use crate::keystore::{FileError, MODE_PRIVATE, MODE_PUBLIC, write_new};
use crate::limits::INVITATION_LIFE_MS_MAX;

/// With what a card that somebody left at the door is named, where a card's file
/// could stand.
const KNOCK: &str = "knock:";

/// Invite an organisation to become a member
///
/// Prints one line, the invitation. Whoever has it may leave one card at this
/// node's door, once, and may do nothing else: give it to the organisation by a
/// way that others do not read. It runs "watchfire join" with it; "watchfire
/// invite list" then shows its card. Compare the fingerprint by telephone before
/// you propose to admit it.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  watchfire invite --for \"CERT Kosovo, by telephone on Monday\" --output xk.invitation
  watchfire invite list
  watchfire roster propose --reason \"Kosovo joins\" --admit knock:1f90ab77=partners")]
pub(crate) struct InviteArgs {
    #[command(subcommand)]
    command: Option<InviteCommand>,
    /// For how long: days or hours, such as 7d or 12h, 30d at most
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = life)]
    expires: Duration,
    /// For whom, as a note for the people of this node
    #[arg(
        long = "for",
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    whom: String,
    /// Where the door is reached, up to 4 [default: the doors of this member's card]
    #[arg(long, value_name = "ADDRESS", value_parser = dial_address)]
    door: Vec<Multiaddr>,
    /// Write the invitation to this file, which only you may read, too
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum InviteCommand {
    /// Show the invitations, and who has knocked with which
    #[command(after_help = "Example:
  watchfire invite list")]
    List,
    /// Take an invitation back, with the card that was left with it
    #[command(after_help = "Example:
  watchfire invite withdraw 4f1c90ab")]
    Withdraw {
        /// Its id
        id: String,
    },
    /// Write the card of who has knocked to a file
    #[command(after_help = "Example:
  watchfire invite card 4f1c90ab -o ee-cert.card")]
    Card {
        /// Id of the invitation
        id: String,
        /// Where to write it
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

pub(crate) fn run(context: &Context, args: InviteArgs) -> Result<(), CliError> {
    match args.command {
        None => invite(context, args),
        Some(InviteCommand::List) => list(context),
        Some(InviteCommand::Withdraw { id }) => withdraw(context, id),
        Some(InviteCommand::Card { id, output }) => card(context, &id, output),
    }
}

/// Days or hours, in words of one letter.
fn life(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time: give days or hours, such as 7d or 12h");
    let seconds = match text.strip_suffix('d') {
        Some(days) => days
            .parse::<u32>()
            .map_err(|_| wrong())?
            .checked_mul(86_400),
        None => {
            let hours = text.strip_suffix('h').ok_or_else(wrong)?;
            hours
                .parse::<u32>()
                .map_err(|_| wrong())?
                .checked_mul(3_600)
        }
    };
    let life = Duration::from_secs(seconds.ok_or_else(wrong)?.into());
    if life.is_zero() || life > Duration::from_millis(INVITATION_LIFE_MS_MAX) {
        return Err("an invitation lasts from 1h to 30d".to_owned());
    }
    Ok(life)
}

fn ask(context: &Context, op: Op) -> Result<InvitationsReply, CliError> {
    let reply = context.connect(TIMEOUT_DEFAULT)?.request(op, &[])?;
    let Reply::Invitations(reply) = reply else {
        return Err(ControlError::Unexpected.into());
    };
    Ok(reply)
}

#[derive(Serialize)]
struct Invited<'a> {
    id: &'a str,
    invitation: &'a str,
    until: &'a str,
    file: Option<String>,
}

fn invite(context: &Context, args: InviteArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    if let Some(path) = args.output.as_ref().filter(|path| path.exists()) {
        return Err(FileError::Exists { path: path.clone() }.into());
    }
    let op = InviteOp {
        life_ms: u64::try_from(args.expires.as_millis()).unwrap_or(u64::MAX),
        note: args.whom,
        doors: args.door.iter().map(ToString::to_string).collect(),
    };
    let reply = ask(context, Op::Invite(op))?;
    let (Some(invitation), Some(made)) = (&reply.invitation, &reply.about) else {
        return Err(ControlError::Unexpected.into());
    };
    if let Some(path) = &args.output {
        write_new(path, format!("{invitation}\n").as_bytes(), MODE_PRIVATE)?;
    }
    let invited = Invited {
        id: &made.id,
        invitation,
        until: &made.until,
        file: args.output.map(|path| path.display().to_string()),
    };
    if ui.json() {
        return ui.document("invite", &invited);
    }
    let mut fields = vec![
        ("id", invited.id.to_owned()),
        ("until", invited.until.to_owned()),
    ];
    fields.extend(invited.file.map(|file| ("file", file)));
    ui.fields(&fields)?;
    ui.line(invitation)?;
    ui.note("note: this line is a secret until it is used, and is not shown again; give it to them by a way that others do not read");
    ui.note("next: they run \"watchfire join\" with it; then \"watchfire invite list\" shows who knocked");
    Ok(())
}

fn list(context: &Context) -> Result<(), CliError> {
    let mut reply = ask(context, Op::Invitations)?;
    show(context, "invite-list", &mut reply.invitations)?;
    let knocked = |view: &&InvitationView| view.state == "knocked";
    if let Some(first) = reply.invitations.iter().find(knocked) {
        context.ui.note(files::READ_ALOUD);
        context.ui.note(&format!(
            "then: watchfire roster propose --reason \"…\" --admit knock:{}=COMMUNITY",
            first.id
        ));
    }
    Ok(())
}

fn withdraw(context: &Context, id: String) -> Result<(), CliError> {
    let reply = ask(context, Op::WithdrawInvitation { id })?;
    let mut withdrawn: Vec<InvitationView> = reply.about.into_iter().collect();
    show(context, "invite-withdraw", &mut withdrawn)
}

/// Invitations as rows. The cards are for programs that ask for them by name.
fn show(context: &Context, document: &str, views: &mut [InvitationView]) -> Result<(), CliError> {
    let ui = &context.ui;
    for view in views.iter_mut() {
        if let Some(knock) = &mut view.knock {
            knock.card.clear();
        }
    }
    if ui.json() {
        return ui.document(document, &views);
    }
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            let knock = view.knock.as_ref();
            let of = |field: fn(&crate::control::inviting::KnockView) -> String| {
                knock.map_or_else(String::new, field)
            };
            vec![
                view.id.clone(),
                view.state.clone(),
                view.until.clone(),
                view.note.clone(),
                of(|knock| knock.slug.clone()),
                of(|knock| knock.role.clone()),
                of(|knock| knock.name.clone()),
                of(|knock| knock.at.clone()),
                of(|knock| files::grouped(&knock.card_fingerprint)),
            ]
        })
        .collect();
    let header = [
        "ID",
        "STATE",
        "UNTIL",
        "FOR",
        "SLUG",
        "ROLE",
        "NAME",
        "KNOCKED",
        "FINGERPRINT",
    ];
    ui.rows(None, &header, &rows)
}

#[derive(Serialize)]
struct Written {
    file: String,
    slug: String,
    card_fingerprint: String,
}

fn card(context: &Context, id: &str, output: PathBuf) -> Result<(), CliError> {
    let ui = &context.ui;
    if output.exists() {
        return Err(FileError::Exists { path: output }.into());
    }
    let (bytes, slug, fingerprint) = left_with(context, id)?;
    write_new(&output, &bytes, MODE_PUBLIC)?;
    let written = Written {
        file: output.display().to_string(),
        slug,
        card_fingerprint: fingerprint.to_string(),
    };
    if ui.json() {
        return ui.document("invite-card", &written);
    }
    ui.fields(&[
        ("card", written.file),
        ("member", written.slug),
        ("fingerprint", files::grouped(&written.card_fingerprint)),
    ])?;
    ui.note(files::READ_ALOUD);
    Ok(())
}

/// The card that was left with an invitation, which is checked here again.
fn left_with(context: &Context, id: &str) -> Result<(Vec<u8>, String, CardId), CliError> {
    let reply = ask(context, Op::Invitations)?;
    let missing = |what: String| {
        CliError::new(Code::NotFound, what).hint("\"watchfire invite list\" shows who has knocked")
    };
    let view = reply.invitations.iter().find(|view| view.id == id);
    let view = view.ok_or_else(|| missing(format!("there is no invitation {id}")))?;
    let knock = view.knock.as_ref();
    let knock = knock.ok_or_else(|| missing(format!("nobody has knocked with {id} yet")))?;
    let malformed = |why: String| CliError::from(ControlError::Malformed { why });
    let bytes = hex::decode(&knock.card).map_err(|why| malformed(why.to_string()))?;
    let (_, checked) = files::card_of(&bytes, &format!("the card left with {id}"))?;
    Ok((bytes, checked.card.slug.to_string(), checked.id))
}

/// The card that a text such as `knock:1f90ab77` names, and says whose it is;
/// nothing when the text names no knock.
pub(super) fn knock_named(context: &Context, text: &str) -> Result<Option<Vec<u8>>, CliError> {
    let Some(id) = text.strip_prefix(KNOCK) else {
        return Ok(None);
    };
    let (bytes, slug, fingerprint) = left_with(context, id)?;
    context.ui.note(&format!(
        "note: the card of {slug} has the fingerprint {}; propose it only if they read the same to you",
        files::grouped(&fingerprint)
    ));
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(life("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(life("12h"), Ok(Duration::from_secs(12 * 3_600)));
        assert_eq!(life("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for wrong in [
            "",
            "7",
            "d",
            "0d",
            "0h",
            "31d",
            "721h",
            "-1d",
            "7w",
            "99999999999d",
            "4294967295d",
        ] {
            assert!(life(wrong).is_err(), "{wrong}");
        }
    }
}
