//! `watchfire man`: the manual pages, one for each command, made from the help
//! that a person sees.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man;
use serde::Serialize;

use super::error::{CliError, Code};
use super::{Cli, Context};

/// Print the manual page, or write one for each command into a directory
///
/// Without --out the page of the program itself is printed, for a look through
/// "man -l -". With --out each command has a page of its own,
/// watchfire-publish.1 for "watchfire publish"; pages that stand there are
/// replaced, and the name of each is printed. With --json and without --out all
/// of them are in the document.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire man | man -l -
  watchfire man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Directory for the pages; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A manual page.
#[derive(Clone, Debug, Serialize)]
struct Page {
    /// Its file, `watchfire-publish.1`.
    file: String,
    /// Its source, in roff.
    text: String,
}

#[derive(Serialize)]
struct PagesView {
    pages: Vec<Page>,
}

#[derive(Serialize)]
struct WrittenView {
    files: Vec<String>,
}

pub(crate) fn run(context: &Context, args: &ManArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let pages = pages()?;
    if let Some(dir) = &args.out {
        let files = write(dir, &pages)?;
        if ui.json() {
            return ui.document("man", &WrittenView { files });
        }
        let rows: Vec<Vec<String>> = files.into_iter().map(|file| vec![file]).collect();
        return ui.rows(None, &["FILE"], &rows);
    }
    if ui.json() {
        return ui.document("man", &PagesView { pages });
    }
    let first = pages.first().map_or("", |page| page.text.as_str());
    ui.bytes(first.as_bytes())
}

/// Every page, the program's own first.
fn pages() -> Result<Vec<Page>, CliError> {
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    describe(&root, &mut pages)?;
    Ok(pages)
}

fn describe(command: &clap::Command, pages: &mut Vec<Page>) -> Result<(), CliError> {
    let source = format!("watchfire {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .source(source)
        .manual("Watchfire manual");
    let mut text = Vec::new();
    man.render(&mut text).map_err(|error| {
        CliError::new(
            Code::Failure,
            format!("could not make a manual page: {error}"),
        )
    })?;
    pages.push(Page {
        file: man.get_filename(),
        text: String::from_utf8_lossy(&text).into_owned(),
    });
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        describe(sub, pages)?;
    }
    Ok(())
}

/// Writes the pages and says where each is.
fn write(dir: &Path, pages: &[Page]) -> Result<Vec<String>, CliError> {
    let failed = |path: &Path, error: &std::io::Error| {
        CliError::new(
            Code::Failure,
            format!("could not write {}: {error}", path.display()),
        )
        .hint("name a directory that this user may write with --out")
    };
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    let mut files = Vec::new();
    for page in pages {
        let path = dir.join(&page.file);
        fs::write(&path, &page.text).map_err(|error| failed(&path, &error))?;
        files.push(path.display().to_string());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_name_and_how_it_is_called() {
        let pages = pages().expect("pages are made in memory");
        let mut commands = vec![("watchfire".to_owned(), Cli::command())];
        let mut at = 0;
        while let Some((name, command)) = commands.get(at).cloned() {
            let file = format!("{name}.1");
            let page = pages
                .iter()
                .find(|page| page.file == file)
                .unwrap_or_else(|| panic!("{file} is missing"));
            assert!(page.text.contains(".SH NAME"), "{}", page.text);
            assert!(page.text.contains(".SH SYNOPSIS"), "{}", page.text);
            for sub in command.get_subcommands() {
                commands.push((format!("{name}-{}", sub.get_name()), sub.clone()));
            }
            at += 1;
        }
        assert_eq!(pages.len(), commands.len());
    }
}
