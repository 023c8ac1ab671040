//! What a publication would be, worked out without asking the node.

use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{Draft, Wish};
use watchfire_protocol::policy::{Action, Peer, Standing, Subject, decide};
use watchfire_protocol::roster::CheckedCard;
use watchfire_protocol::wire::Role;

use super::report::{FileView, Published};
use super::work::must_be_clear;
use super::{MS_PER_DAY, MS_PER_HOUR, PublishArgs};
use crate::cli::error::CliError;
use crate::cli::{Ui, files};
use crate::encode;
use crate::home::Home;
use crate::limits::VALID_HOURS_DEFAULT;

/// How many stricter objects a refusal names.
const NAMED_MAX: usize = 10;

/// Makes the bundle as the node would, up to signing it.
pub(super) fn check(stix: Vec<u8>, args: &PublishArgs) -> Result<Published, CliError> {
    let wish = Wish {
        flag: args.tlp,
        valid_ms: args
            .valid
            .map_or(VALID_HOURS_DEFAULT * MS_PER_HOUR, |days| days * MS_PER_DAY),
        exercise: args.exercise,
        permissible_actions: args.pap.map(|pap| pap.0),
        supersedes: args.supersedes,
    };
    let encoded = encode::zstd_of(&stix);
    let draft = Draft::prepare(stix, encoded, wish)?;
    let opened = draft.opened();
    // Where the flag itself asks for more than CLEAR, no object is to blame.
    let by_flag = args.tlp.is_some_and(|flag| flag > Marking::Clear);
    let stricter = opened
        .rows()
        .iter()
        .filter(|row| row.marking > Marking::Clear && !by_flag);
    let named: Vec<String> = stricter
        .clone()
        .take(NAMED_MAX)
        .map(|row| row.id.as_str().to_owned())
        .collect();
    must_be_clear(draft.marking(), &named, stricter.count())?;
    Ok(Published::would_be(
        draft.marking(),
        opened.rows().len() as u64,
        opened.keys().len() as u64,
        opened.not_indexed(),
    ))
}

/// Which other members would get something of what passed: those whose node
/// the policy would let open it.
pub(super) fn recipients(
    home: &Home,
    own: &CheckedCard,
    views: &[FileView],
) -> Result<Vec<String>, CliError> {
    let markings: Vec<Marking> = views.iter().filter_map(FileView::marking).collect();
    let Some(roster) = files::roster(home)? else {
        return Ok(Vec::new());
    };
    let mut slugs: Vec<String> = roster
        .members()
        .filter(|member| member.root_key != own.root_key)
        .filter(|member| {
            // What is CLEAR, and nothing else passes, is for everyone.
            let peer = Peer::of(true, member.role == Role::Hub);
            markings
                .iter()
                .any(|marking| opens(*marking, Subject::Peer(peer)))
        })
        .map(|member| member.slug.to_string())
        .collect();
    slugs.sort();
    Ok(slugs)
}

fn opens(marking: Marking, subject: Subject) -> bool {
    decide(marking, Action::Open, subject, Standing::BEST).is_allowed()
}

/// Says who would receive it.
pub(super) fn print(ui: &Ui, recipients: &[String], views: &[FileView]) -> Result<(), CliError> {
    if recipients.is_empty() {
        if views.iter().any(FileView::is_published) {
            ui.note("note: nobody would receive it: this node has joined no federation, see \"watchfire join\"");
        }
        return Ok(());
    }
    if !ui.for_people() {
        let rows: Vec<Vec<String>> = recipients.iter().map(|slug| vec![slug.clone()]).collect();
        return ui.rows(Some("recipient"), &[], &rows);
    }
    ui.line(&format!(
        "would go to: {} (TLP:CLEAR may go on to anyone)",
        recipients.join(", ")
    ))
}
