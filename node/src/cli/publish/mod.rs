//! `watchfire publish`: files in, one bundle each, and an account of every
//! line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use watchfire_protocol::engine::PublishRefusal;
use watchfire_protocol::ids::BundleId;
use watchfire_protocol::limits::BUNDLE_LIFE_MS_MAX;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::stix::time::Timestamp;
use watchfire_protocol::wire::bundle::PermissibleActions;

use super::error::{CliError, Code};
use super::{Context, files};
use crate::control::PublishOp;
use crate::formats::{Columns, Format, Options};
use crate::limits::VALID_HOURS_DEFAULT;

mod dry_run;
mod report;
mod source;
mod work;

/// How long the node may take over one bundle when `--timeout` does not say:
/// the largest is 192 MiB of STIX, which is read, indexed and stored.
const PATIENCE: Duration = Duration::from_secs(600);

/// Publish intelligence: STIX, CSV, a list of values, or a report
///
/// Each file becomes one bundle. STIX travels byte for byte as it is; of
/// everything else the values become indicators in your name. Nothing leaves
/// above the marking of what is in it: an object stricter than --tlp refuses
/// the file.
///
/// Whatever is refused is named with its line and the reason. A refused line of
/// a list, CSV or text stays here. A refused element of STIX is not indexed and
/// not shown, here and elsewhere, but travels with the document: to keep it
/// here, take it out of the file.
///
/// In a pipe every line begins with its kind: account (file, format, entries,
/// accepted, repeated, refused), refused (file, line, value, reason), published
/// (file, bundle, envelope, sequence, marking, objects, values, not indexed).
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire publish report.stix.json
  watchfire publish indicators.csv --tlp clear --columns date,-,type,value,tags
  watchfire publish advisory.txt --tlp clear --dry-run
  curl -s https://feed.example/list | watchfire publish - --tlp clear --format list")]
pub(crate) struct PublishArgs {
    /// Files to publish; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are: stix, csv, list or text [default: by name and content]
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// What the columns of a CSV file hold: value, type, date, tags, ref, note, user, - [default: by its header]
    #[arg(long, value_name = "NAMES")]
    columns: Option<String>,
    /// Marking of what carries none: clear, green, amber, amber+strict or red
    #[arg(long, value_name = "LABEL", value_parser = marking)]
    tlp: Option<Marking>,
    #[arg(long, value_name = "DAYS", help = valid_help(), value_parser = clap::value_parser!(u64).range(1..=DAYS_MAX))]
    valid: Option<u64>,
    /// Mark it as drill data
    #[arg(long)]
    exercise: bool,
    /// What recipients may do with it: clear, green, amber or red
    #[arg(long, value_name = "LABEL", value_parser = pap)]
    pap: Option<Pap>,
    /// Label for every indicator, repeatable
    #[arg(long, value_name = "TEXT")]
    label: Vec<String>,
    /// Name of the author in indicators [default: the name on your card]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The bundle this replaces, 64 digits
    #[arg(long, value_name = "BUNDLE")]
    supersedes: Option<BundleId>,
    /// Publish nothing; say what would be taken, what refused, and who would receive it
    #[arg(long)]
    dry_run: bool,
}

const DAYS_MAX: u64 = BUNDLE_LIFE_MS_MAX / MS_PER_DAY;

fn valid_help() -> String {
    format!(
        "How many days it is valid [default: {}]",
        VALID_HOURS_DEFAULT / HOURS_PER_DAY
    )
}

const HOURS_PER_DAY: u64 = 24;
const MS_PER_HOUR: u64 = 60 * 60 * 1_000;
const MS_PER_DAY: u64 = HOURS_PER_DAY * MS_PER_HOUR;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pap(PermissibleActions);

impl Pap {
    const ALL: [(&str, PermissibleActions); 4] = [
        ("clear", PermissibleActions::Clear),
        ("green", PermissibleActions::Green),
        ("amber", PermissibleActions::Amber),
        ("red", PermissibleActions::Red),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find(|(_, actions)| *actions == self.0)
            .map_or("red", |(name, _)| name)
    }
}

fn pap(text: &str) -> Result<Pap, String> {
    let lower = text.trim().to_ascii_lowercase();
    let name = lower.strip_prefix("pap:").unwrap_or(&lower);
    Pap::ALL
        .into_iter()
        .find(|(label, _)| *label == name)
        .map(|(_, actions)| Pap(actions))
        .ok_or_else(|| "not a PAP label: use clear, green, amber or red".to_owned())
}

fn marking(text: &str) -> Result<Marking, String> {
    Marking::parse(text)
        .ok_or_else(|| "not a TLP label: use clear, green, amber, amber+strict or red".to_owned())
}

fn format(text: &str) -> Result<Format, String> {
    Format::parse(text).ok_or_else(|| "not a format: use stix, csv, list or text".to_owned())
}

impl PublishArgs {
    /// What the node is asked for.
    fn op(&self) -> PublishOp {
        PublishOp {
            tlp: self.tlp.map(|marking| marking.label().to_owned()),
            valid_hours: self.valid.map(|days| days * HOURS_PER_DAY),
            exercise: self.exercise,
            pap: self.pap.map(|pap| pap.name().to_owned()),
            supersedes: self.supersedes.map(|bundle| bundle.to_string()),
        }
    }
}

#[derive(Serialize)]
struct PublishView {
    dry_run: bool,
    /// Who would receive it; only in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<Vec<String>>,
    files: Vec<report::FileView>,
}

pub(crate) fn run(context: &Context, args: &PublishArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    if args.supersedes.is_some() && args.files.len() > 1 {
        return Err(CliError::new(
            Code::Usage,
            "--supersedes names one bundle, and each file becomes one",
        )
        .hint("publish the file that replaces it on its own"));
    }
    let columns = args.columns.as_deref().map(Columns::parse).transpose()?;
    let home = context.home()?;
    let own = files::own_card(&home)?;
    // A version of an object keeps the time it was created with (STIX 2.1,
    // section 3.6), and nothing here remembers what was published before. So
    // everything of one member is as old as its card.
    let created_ms = own.card.created_ms;
    // Later than any earlier version, unless the clock went back.
    let modified_ms = crate::clock::wall_ms().max(created_ms);
    let options = Options {
        format: args.format,
        columns,
        author: own.certificate.member,
        author_name: author_name(args, own.card.contact.name.as_str(), own.card.slug.as_str()),
        marking: args.tlp,
        created: Timestamp::from_unix_ms(created_ms),
        modified: Timestamp::from_unix_ms(modified_ms),
        labels: args.label.clone(),
    };
    let mut target = if args.dry_run {
        work::Target::Nobody
    } else {
        if let Some(marking) = args.tlp.filter(|marking| *marking > Marking::Clear) {
            return Err(above_clear(marking));
        }
        work::Target::Node(context, None)
    };

    let mut views = Vec::new();
    for path in &args.files {
        let (view, stop) = work::publish(ui, path, &options, args, &mut target);
        views.push(view);
        if stop {
            break;
        }
    }
    let recipients = if args.dry_run {
        Some(dry_run::recipients(&home, &own, &views)?)
    } else {
        None
    };
    let view = PublishView {
        dry_run: args.dry_run,
        recipients,
        files: views,
    };
    if ui.json() {
        ui.document("publish", &view)?;
    } else {
        for file in &view.files {
            file.print(ui)?;
        }
        if let Some(recipients) = &view.recipients {
            dry_run::print(ui, recipients, &view.files)?;
        }
    }
    report::outcome(ui, &view.files, args.files.len(), args.dry_run)
}

fn author_name(args: &PublishArgs, on_card: &str, slug: &str) -> String {
    match (&args.name, on_card) {
        (Some(name), _) => name.clone(),
        (None, "") => slug.to_owned(),
        (None, name) => name.to_owned(),
    }
}

/// What must be sealed cannot be published yet, in the words of the node.
fn above_clear(marking: Marking) -> CliError {
    CliError::new(
        Code::Refused,
        PublishRefusal::SealingAbsent { marking }.to_string(),
    )
    .hint("only TLP:CLEAR can be published now; keep the rest on this machine until a version that seals")
}
