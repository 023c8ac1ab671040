//! What became of each file, for people and for programs.

use serde::Serialize;
use watchfire_protocol::marking::Marking;

use crate::cli::Ui;
use crate::cli::error::{CliError, Code, ErrorView};
use crate::cli::ui::{counted, visible};
use crate::control::PublishReply;
use crate::formats::{Account, Format};

/// How many refused lines a person is shown of one file.
const REFUSED_SHOWN_MAX: usize = 20;

fn entries(count: u64) -> String {
    counted(
        usize::try_from(count).unwrap_or(usize::MAX),
        "entry",
        "entries",
    )
}

/// One file.
#[derive(Serialize)]
pub(super) struct FileView {
    file: String,
    format: Option<&'static str>,
    entries: u64,
    accepted: u64,
    duplicate: u64,
    refused: Vec<RefusedView>,
    /// Whether what is refused travels all the same: of STIX the whole document
    /// is published, and refused is what is neither indexed nor shown.
    refused_travels: bool,
    published: Option<Published>,
    #[serde(serialize_with = "as_view")]
    error: Option<CliError>,
}

fn as_view<S: serde::Serializer>(
    error: &Option<CliError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let view: Option<ErrorView<'_>> = error.as_ref().map(CliError::view);
    view.serialize(serializer)
}

#[derive(Serialize)]
struct RefusedView {
    line: u64,
    value: String,
    reason: String,
}

/// A bundle, or in a dry run what it would be.
#[derive(Serialize)]
pub(super) struct Published {
    #[serde(flatten)]
    identity: Option<Identity>,
    marking: String,
    objects: u64,
    values: u64,
    not_indexed: u64,
}

#[derive(Serialize)]
struct Identity {
    bundle: String,
    envelope: String,
    sequence: u64,
}

impl Published {
    pub(super) fn of_reply(reply: PublishReply) -> Self {
        Self {
            identity: Some(Identity {
                bundle: reply.bundle,
                envelope: reply.envelope,
                sequence: reply.sequence,
            }),
            marking: reply.marking,
            objects: reply.objects,
            values: reply.values,
            not_indexed: reply.not_indexed,
        }
    }

    pub(super) fn would_be(marking: Marking, objects: u64, values: u64, not_indexed: u64) -> Self {
        Self {
            identity: None,
            marking: marking.label().to_owned(),
            objects,
            values,
            not_indexed,
        }
    }
}

impl FileView {
    pub(super) fn new(file: String) -> Self {
        Self {
            file,
            format: None,
            entries: 0,
            accepted: 0,
            duplicate: 0,
            refused: Vec::new(),
            refused_travels: false,
            published: None,
            error: None,
        }
    }

    pub(super) fn account(&mut self, format: Option<Format>, account: &Account) {
        self.format = format.map(Format::name);
        self.entries = account.input();
        self.accepted = account.accepted();
        self.duplicate = account.duplicate();
        self.refused = account
            .refused()
            .iter()
            .map(|refused| RefusedView {
                line: refused.line,
                value: refused.value.clone(),
                reason: refused.reason.clone(),
            })
            .collect();
    }

    pub(super) fn failed(mut self, error: CliError) -> Self {
        self.error = Some(error);
        self
    }

    pub(super) fn published(mut self, published: Published) -> Self {
        self.published = Some(published);
        self.refused_travels = self.is_stix() && !self.refused.is_empty();
        self
    }

    pub(super) const fn is_published(&self) -> bool {
        self.published.is_some()
    }

    /// How it is marked, if it is or would be published.
    pub(super) fn marking(&self) -> Option<Marking> {
        Marking::parse(&self.published.as_ref()?.marking)
    }

    fn is_stix(&self) -> bool {
        self.format == Some(Format::Stix.name())
    }

    pub(super) fn print(&self, ui: &Ui) -> Result<(), CliError> {
        // A file that could not be read at all has no account.
        let has_account = self.format.is_some() || self.entries > 0;
        if !ui.for_people() {
            return if has_account {
                self.print_lines(ui)
            } else {
                Ok(())
            };
        }
        if has_account {
            ui.line(&format!(
                "{}: {}: {} accepted, {} repeated, {} {}{}",
                visible(&self.file),
                entries(self.entries),
                self.accepted,
                self.duplicate,
                self.refused.len(),
                if self.is_stix() {
                    "not indexed"
                } else {
                    "refused"
                },
                self.format
                    .map(|format| format!(" (read as {format})"))
                    .unwrap_or_default(),
            ))?;
        }
        for refused in self.refused.iter().take(REFUSED_SHOWN_MAX) {
            let (value, reason) = (ui.cell(&refused.value), ui.cell(&refused.reason));
            // Some reasons repeat the value.
            let what = if reason.starts_with(&value) {
                reason
            } else {
                format!("{value}: {reason}")
            };
            ui.line(&format!("  line {}: {what}", refused.line))?;
        }
        if let Some(more) = self
            .refused
            .len()
            .checked_sub(REFUSED_SHOWN_MAX)
            .filter(|more| *more > 0)
        {
            ui.line(&format!("  and {more} more; --json lists all of them"))?;
        }
        let Some(published) = &self.published else {
            return Ok(());
        };
        if self.refused_travels {
            ui.line(match published.identity {
                Some(_) => "  what is not indexed is shown to nobody, and was sent: STIX travels byte for byte",
                None => "  what is not indexed is shown to nobody, and would be sent: STIX travels byte for byte",
            })?;
        }
        let count = |count: u64, one, many| {
            counted(usize::try_from(count).unwrap_or(usize::MAX), one, many)
        };
        let mut what = format!(
            "{}, {}, {}",
            published.marking,
            count(published.objects, "object", "objects"),
            count(published.values, "value", "values"),
        );
        if published.not_indexed > 0 {
            let some = count(published.not_indexed, "object", "objects");
            what.push_str(&format!(", {some} of which something cannot be searched"));
        }
        match &published.identity {
            Some(identity) => ui.line(&format!(
                "published as bundle {}, number {}: {what}",
                identity.bundle, identity.sequence
            )),
            None => ui.line(&format!("would be published: {what}")),
        }
    }

    fn print_lines(&self, ui: &Ui) -> Result<(), CliError> {
        let row = |record, cells: Vec<String>| ui.rows(Some(record), &[], &[cells]);
        row(
            "account",
            vec![
                self.file.clone(),
                self.format.unwrap_or("-").to_owned(),
                self.entries.to_string(),
                self.accepted.to_string(),
                self.duplicate.to_string(),
                self.refused.len().to_string(),
            ],
        )?;
        let refused: Vec<Vec<String>> = self
            .refused
            .iter()
            .map(|refused| {
                vec![
                    self.file.clone(),
                    refused.line.to_string(),
                    refused.value.clone(),
                    refused.reason.clone(),
                ]
            })
            .collect();
        ui.rows(Some("refused"), &[], &refused)?;
        let Some(published) = &self.published else {
            return Ok(());
        };
        let none = || "-".to_owned();
        let identity = published.identity.as_ref();
        row(
            if identity.is_some() {
                "published"
            } else {
                "would-publish"
            },
            vec![
                self.file.clone(),
                identity.map_or_else(none, |identity| identity.bundle.clone()),
                identity.map_or_else(none, |identity| identity.envelope.clone()),
                identity.map_or_else(none, |identity| identity.sequence.to_string()),
                published.marking.clone(),
                published.objects.to_string(),
                published.values.to_string(),
                published.not_indexed.to_string(),
            ],
        )
    }
}

/// The last word: what was refused decides the exit code.
pub(super) fn outcome(
    ui: &Ui,
    views: &[FileView],
    asked: usize,
    dry_run: bool,
) -> Result<(), CliError> {
    let errors: Vec<&CliError> = views
        .iter()
        .filter_map(|view| view.error.as_ref())
        .collect();
    let refused_of = |travels: bool| -> usize {
        views
            .iter()
            .filter(|view| view.refused_travels == travels)
            .map(|view| view.refused.len())
            .sum()
    };
    let (stayed, travelled) = (refused_of(false), refused_of(true));
    let published = views.iter().filter(|view| view.is_published()).count();
    match (errors.as_slice(), published, stayed + travelled) {
        ([], _, 0) => Ok(()),
        ([], _, _) => {
            let message = what_was_refused(stayed, travelled, dry_run);
            let mut error = CliError::new(Code::Partial, message)
                .hint("standard output names each refused line and the reason");
            if travelled > 0 {
                error = error.hint("to keep a STIX element here, take it out of the file");
            }
            Err(error)
        }
        ([only], 0, _) if asked == 1 => Err((*only).clone()),
        ([first, ..], published, _) => {
            for error in &errors {
                ui.note(&format!("note: {}", error.message));
            }
            let code = if published > 0 {
                Code::Partial
            } else {
                first.code
            };
            let left = counted(asked.saturating_sub(published), "file was", "files were");
            let mut last = CliError::new(code, format!("of {asked} files, {left} not published"));
            last.hints.clone_from(&first.hints);
            Err(last)
        }
    }
}

/// What of everything was refused, and where it is now.
fn what_was_refused(stayed: usize, travelled: usize, dry_run: bool) -> String {
    let mut parts = Vec::new();
    if stayed > 0 {
        parts.push(format!(
            "{} refused",
            counted(stayed, "entry was", "entries were")
        ));
    }
    if travelled > 0 {
        let sent = if dry_run { "would be sent" } else { "sent" };
        parts.push(format!(
            "{} not indexed but {sent} with the document",
            counted(travelled, "STIX element was", "STIX elements were")
        ));
    }
    let rest = if dry_run {
        "the rest would be published"
    } else {
        "the rest is published"
    };
    format!("{}, {rest}", parts.join(", "))
}
