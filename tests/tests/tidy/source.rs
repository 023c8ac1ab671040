//! The source tree as text: walking it, and telling code from prose.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Generated or foreign, wherever it stands.
const NOT_OURS: [&str; 3] = ["target", ".git", ".venv"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn rust_files() -> Vec<(String, String)> {
    text_files()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .collect()
}

/// Every text file of the tree, by its path from the root, in order.
pub(crate) fn text_files() -> Vec<(String, String)> {
    let root = root();
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if NOT_OURS.contains(&name.as_str()) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let relative = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                files.insert(relative, text);
            }
        }
    }
    files.into_iter().collect()
}

/// The text without comments and with empty string and character literals;
/// lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let hashes = (i + 1..).take_while(|&j| at(j) == '#').count();
        let word_begins = i == 0 || !is_name(at(i - 1)) || at(i - 1) == 'b';
        match (at(i), at(i + 1)) {
            ('/', '/') => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            ('r', '#' | '"') if word_begins && at(i + 1 + hashes) == '"' => {
                let closes = |j: usize| at(j) == '"' && (1..=hashes).all(|k| at(j + k) == '#');
                i += 2 + hashes;
                while i < chars.len() && !closes(i) {
                    i += 1;
                }
                i += 1 + hashes;
                code.push_str("\"\"");
            }
            ('"', _) => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
                code.push_str("\"\"");
            }
            // A lifetime has no second quote two places on; a character has.
            ('\'', next) if next == '\\' || at(i + 2) == '\'' => {
                i += if next == '\\' { 3 } else { 2 };
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            (other, _) => {
                code.push(other);
                i += 1;
                continue;
            }
        }
        let skipped = &chars[start..i.min(chars.len())];
        code.extend(skipped.iter().filter(|c| **c == '\n'));
    }
    code
}

/// Whether the text has this word, and not merely as a part of a longer one.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_name) && !text[at + word.len()..].starts_with(is_name)
    })
}

#[test]
fn code_without_comments_and_strings() {
    let text = "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i \" j\"# '\"' '\\'' k<'l> b'm' n";
    let code = code_only(text);
    for kept in ["a", "f", "k", "l", "n"] {
        assert!(has_word(&code, kept), "{kept} is lost: {code}");
    }
    for gone in ["c", "d", "e", "g", "h", "i", "j", "m"] {
        assert!(!has_word(&code, gone), "{gone} is still there: {code}");
    }
    assert_eq!(code.lines().count(), text.lines().count());
}
