//! What a publication would be, without asking the node.

use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{Draft, Wish};
use watchfire_protocol::roster::CheckedCard;

use super::report::{FileView, Published};
use super::work::must_be_clear;
use super::{MS_PER_DAY, PublishArgs};
use crate::cli::error::CliError;
use crate::cli::{Code, Ui, files};
use crate::home::Home;

/// How many stricter objects a refusal names.
const NAMED_MAX: usize = 10;

/// zstd's own default; only whether it fits depends on it.
const ZSTD_LEVEL: i32 = 3;

/// Days of validity that are assumed here; the node has its own default.
const DAYS_ASSUMED: u64 = 365;

/// Makes the bundle as the node would, up to signing it.
pub(super) fn check(stix: Vec<u8>, args: &PublishArgs) -> Result<Published, CliError> {
    let wish = Wish {
        flag: args.tlp,
        valid_ms: args.valid.unwrap_or(DAYS_ASSUMED) * MS_PER_DAY,
        exercise: args.exercise,
        permissible_actions: args.pap.map(|pap| pap.0),
        supersedes: args.supersedes,
    };
    let encoded = zstd::encode_all(stix.as_slice(), ZSTD_LEVEL)
        .map_err(|error| CliError::new(Code::Failure, format!("could not compress it: {error}")))?;
    let draft = Draft::prepare(stix, Some(encoded), wish)?;
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

/// Who would receive what passed: for TLP:CLEAR, which alone passes, every
/// other member.
pub(super) fn recipients(
    home: &Home,
    own: &CheckedCard,
    views: &[FileView],
) -> Result<Vec<String>, CliError> {
    if !views.iter().any(FileView::is_published) {
        return Ok(Vec::new());
    }
    let Some(roster) = files::roster(home)? else {
        return Ok(Vec::new());
    };
    let mut slugs: Vec<String> = roster
        .members()
        .filter(|member| member.root_key != own.root_key)
        .map(|member| member.slug.to_string())
        .collect();
    slugs.sort();
    Ok(slugs)
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
        "would go to: {} (every member; TLP:CLEAR may go on to anyone)",
        recipients.join(", ")
    ))
}
