//! What a page of the documentation shows in its `sh` blocks, run in one shell
//! as a person types it.
//!
//! The program is the binary under test, nodes are ended by their pids however
//! the shell ends, and the output is kept apart by block.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What stands before the blocks. `wait_until` runs a command until its
/// standard output has a text (what it says of errors repeats what was asked),
/// 600 times at most and with a pause of a tenth of a second. Nodes, whose pids
/// are in `$nodes`, are ended with the shell, and killed if they are still
/// there after 20 seconds.
const PREAMBLE: &str = r#"
set -eu
nodes=''
end_nodes() {
    set +e
    test -n "$nodes" || return
    kill $nodes
    (sleep 20; kill -9 $nodes) >/dev/null 2>&1 &
    guard=$!
    wait $nodes
    kill $guard
}
trap end_nodes EXIT
trap 'exit 1' TERM
wait_until() {
    text=$1
    shift
    tries=0
    while ! "$@" 2>/dev/null | grep -F -- "$text" >/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -ge 600 ]; then
            echo "never said '$text': $*" >&2
            "$@" >&2 || true
            exit 1
        fi
        sleep 0.1
    done
}
"#;

/// Longer than any walk takes; it ends what would never end.
const PATIENCE_S: &str = "400";

/// The `sh` blocks of a section that begins with this heading, in order. With
/// no heading, of the whole text.
///
/// # Panics
/// When there is no such section, or a block is not closed.
pub fn blocks(text: &str, heading: Option<&str>) -> Vec<String> {
    let section = match heading {
        None => text,
        Some(heading) => text
            .split("\n## ")
            .find(|section| section.starts_with(heading))
            .unwrap_or_else(|| panic!("no section {heading:?}")),
    };
    let mut blocks = Vec::new();
    let mut inside: Option<String> = None;
    for line in section.lines() {
        match (line, &mut inside) {
            ("```sh", None) => inside = Some(String::new()),
            ("```", Some(_)) => blocks.extend(inside.take()),
            (line, Some(block)) => {
                block.push_str(line);
                block.push('\n');
            }
            (_, None) => {}
        }
    }
    assert_eq!(inside, None, "a block is not closed");
    blocks
}

/// A script that grows block by block.
#[derive(Debug)]
pub struct Script {
    text: String,
    marks: usize,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            text: PREAMBLE.to_owned(),
            marks: 0,
        }
    }
}

impl Script {
    /// A line of whoever tests.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A block as it stands. What it starts in the background is a node.
    pub fn block(&mut self, block: &str) {
        self.line(&format!("echo '== {}'", self.marks));
        self.marks += 1;
        for line in block.lines() {
            self.line(line);
            if line.ends_with('&') {
                self.line("nodes=\"$nodes $!\"");
            }
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When a command fails.
    pub fn run(&self, binary: &str) -> Walked {
        let dir = tempfile::tempdir().unwrap();
        let [bin, start] = ["bin", "start"].map(|name| dir.path().join(name));
        fs::create_dir(&bin).unwrap();
        fs::create_dir(&start).unwrap();
        symlink(binary, bin.join("watchfire")).unwrap();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
        // In files, because nodes that outlived the shell would hold a pipe open.
        let [out, err] = ["out", "err"].map(|name| dir.path().join(name));
        let status = Command::new("timeout")
            .args([PATIENCE_S, "sh", "-c", &self.text])
            .current_dir(&start)
            .env_clear()
            .env("HOME", dir.path())
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .status()
            .unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let (out, err) = (read(&out), read(&err));
        assert!(status.success(), "{status}\n{out}\n{err}");
        Walked { dir, out }
    }
}

/// A walk after its end.
#[derive(Debug)]
pub struct Walked {
    /// Where it went: the blocks began in the folder `start`.
    pub dir: TempDir,
    out: String,
}

impl Walked {
    /// What the block of this number printed, counted from nought.
    ///
    /// # Panics
    /// When it did not run.
    pub fn said(&self, number: usize) -> &str {
        let (_, after) = self
            .out
            .split_once(&format!("== {number}\n"))
            .unwrap_or_else(|| panic!("block {number} did not run:\n{}", self.out));
        after.split("== ").next().unwrap_or(after)
    }
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn blocks_are_those_of_one_section_or_of_all() {
        let text = "# A\n```sh\nno\n```\n\n## B\n```text\nno\n```\n```sh\none\ntwo\n```\n## C\n```sh\nno\n```\n";
        assert_eq!(blocks(text, Some("B")), ["one\ntwo\n"]);
        assert_eq!(blocks(text, None), ["no\n", "one\ntwo\n", "no\n"]);
    }
}
