//! One file on its way: read, converted, then sent or only checked.

use std::path::Path;

use super::report::{FileView, Published};
use super::{PATIENCE, PublishArgs, above_clear, dry_run, source};
use crate::cli::error::{CliError, Code};
use crate::cli::ui::counted;
use crate::cli::{Context, Ui};
use crate::control::client::{ControlClient, ControlError};
use crate::control::{Op, Reply};
use crate::formats::{self, ImportError, Options};
use watchfire_protocol::marking::Marking;

/// Where the bundles go.
pub(super) enum Target<'a> {
    /// A dry run.
    Nobody,
    /// The running node, connected when the first file is ready for it.
    Node(&'a Context, Option<Box<ControlClient>>),
}

/// Does everything for one file. What fails is part of the view, so that the
/// other files go on; the second value says that no other file can.
pub(super) fn publish(
    ui: &Ui,
    path: &Path,
    options: &Options,
    args: &PublishArgs,
    target: &mut Target<'_>,
) -> (FileView, bool) {
    let name = source::name_of(path);
    let mut view = FileView::new(name.clone());
    let progress = ui.progress(&format!("reading {name}"));
    let bytes = match source::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return (view.failed(error), false),
    };
    progress.now(&format!("converting {name}"));
    let import = match formats::import(&name, &bytes, options) {
        Ok(import) => import,
        Err(ImportError::Nothing(account)) => {
            view.account(None, &account);
            return (
                view.failed(nothing(&name, &ImportError::Nothing(account))),
                false,
            );
        }
        Err(error) => return (view.failed(named(&name, error.into())), false),
    };
    drop(bytes);
    view.account(Some(import.format), &import.account);
    match target {
        Target::Nobody => {
            progress.now(&format!("checking {name}"));
            match dry_run::check(import.stix, args) {
                Ok(published) => (view.published(published), false),
                Err(error) => (view.failed(named(&name, error)), false),
            }
        }
        Target::Node(context, client) => {
            // Only STIX comes without --tlp. The node would refuse what is
            // stricter than CLEAR as well, but knows it as one payload; here
            // the objects are named.
            if args.tlp.is_none() {
                progress.now(&format!("checking {name}"));
                if let Err(error) = dry_run::check(import.stix.clone(), args) {
                    return (view.failed(named(&name, error)), false);
                }
            }
            progress.now(&format!("publishing {name}"));
            let node = match client {
                Some(node) => node,
                None => match context.connect(PATIENCE) {
                    Ok(node) => client.insert(Box::new(node)),
                    Err(error) => return (view.failed(error), true),
                },
            };
            let outcome = node.request(Op::Publish(args.op()), &import.stix);
            if let Ok(Reply::Published(reply)) = outcome {
                return (view.published(Published::of_reply(reply)), false);
            }
            let error = outcome.err().unwrap_or(ControlError::Unexpected);
            if let ControlError::Failed(failure) = error {
                return (view.failed(named(&name, failure.into())), false);
            }
            // The connection is of no further use.
            (view.failed(error.into()), true)
        }
    }
}

/// An error that says which file it is about.
fn named(name: &str, mut error: CliError) -> CliError {
    error.message = match error.message.strip_prefix("publish refused: ") {
        Some(why) => format!("publish of {name} refused: {why}"),
        None => format!("{name}: {}", error.message),
    };
    error
}

fn nothing(name: &str, error: &ImportError) -> CliError {
    // Its text ends with a reason of the first line, not with what to do.
    CliError::new(Code::Failure, format!("{name}: {error}"))
        .hint("name its format with --format if it was taken for another")
}

/// Refuses what may not leave yet, and names what makes it so.
pub(super) fn must_be_clear(
    marking: Marking,
    stricter: &[String],
    count: usize,
) -> Result<(), CliError> {
    if marking == Marking::Clear {
        return Ok(());
    }
    let mut error = above_clear(marking);
    if count > 0 {
        let named = crate::cli::error::some_of(stricter, count);
        error.message = format!(
            "{}: {} marked above TLP:CLEAR: {named}",
            error.message,
            counted(count, "object is", "objects are")
        );
    }
    Err(error)
}
