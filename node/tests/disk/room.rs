//! A disk with no room, with less every moment, or that may not be written:
//! what the store says, and that it harms nothing.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use watchfire_node::disk::SledStore;
use watchfire_node::disk::recovery;
use watchfire_protocol::store::Store;

use super::held::{Held, roster_of};
use super::recovery::WALL_MS;
use super::{CHILD, CHILD_STORE};

/// A second process in which `setup` has made a file system of its own at the
/// store's parent; nothing where the system does not let it. Said loudly: what
/// is not tested is not known.
fn in_own_file_system(role: &str, held: &Held, setup: &str, after: &str) -> Option<String> {
    let mount = tempfile::tempdir().unwrap();
    let script = format!(
        "set -e; mount -t tmpfs -o size=12m none \"$1\"; cp -r \"$2\" \"$1/store\"; cp \"$3\" \"$1/genesis\"; {setup}; \"$0\" --exact child --nocapture; {after}"
    );
    let output = Command::new("unshare")
        .args(["-r", "-m", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args([mount.path(), &held.place.store, &held.genesis_path()])
        .env(CHILD, role)
        .env(CHILD_STORE, mount.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .output();
    let Ok(output) = output else {
        println!("NOT TESTED: {role}: there is no \"unshare\" here");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    if !text.contains("verdict ") {
        assert!(
            said.contains("unshare") || said.contains("mount"),
            "{text}\n{said}"
        );
        println!("NOT TESTED: {role}: no file system of its own: {said}");
        return None;
    }
    Some(format!("{text}\n{said}"))
}

/// What the child does on a file system that takes nothing.
pub(crate) fn judge_without_room(place: &Path) {
    let roster = roster_of(&place.join("genesis"));
    let store = place.join("store");
    match recovery::start(&store, &roster, WALL_MS) {
        Ok(recovered) => println!("\nverdict opened, {:?}", recovered.happened),
        Err(refused) => println!("\nverdict {refused}"),
    }
    let names: Vec<String> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("store"))
        .collect();
    println!("there {names:?}");
}

#[test]
fn attack_37_a_full_disk_moves_no_store_aside() {
    let held = Held::filled();
    let full = "dd if=/dev/zero of=\"$1/filler\" bs=4k 2>/dev/null || true";
    let spoil = "printf x > \"$1/store/sled/conf\"";
    let Some(text) = in_own_file_system("no-room", &held, &format!("{spoil}; {full}"), "true")
    else {
        return;
    };
    assert!(text.contains("No space left on device"), "{text}");
    assert!(text.contains("free disk space"), "{text}");
    assert!(!text.contains("damaged-"), "{text}");
    // One that is whole opens, or says the same.
    let text = in_own_file_system("no-room", &held, full, "true").unwrap();
    assert!(
        text.contains("verdict opened, []") || text.contains("No space left on device"),
        "{text}"
    );
    assert!(!text.contains("damaged-"), "{text}");
    println!("{text}");
}

#[test]
fn attack_37_a_read_only_disk_moves_no_store_aside() {
    let held = Held::filled();
    for spoil in ["true", "printf x > \"$1/store/sled/conf\""] {
        let setup = format!("{spoil}; mount -o remount,ro none \"$1\"");
        let Some(text) = in_own_file_system("no-room", &held, &setup, "true") else {
            return;
        };
        assert!(text.contains("Read-only file system"), "{text}");
        assert!(!text.contains("damaged-"), "{text}");
    }
}

/// What the child does until the disk is full: acknowledges what was flushed.
pub(crate) fn fill(place: &Path) {
    let store = SledStore::open(&place.join("store")).unwrap();
    let mut acknowledged: u64 = 0;
    let failed = loop {
        let batch = super::numbered(acknowledged + 1);
        match store.apply(&batch).and_then(|()| store.flush()) {
            Ok(()) => acknowledged += 1,
            Err(failed) => break failed,
        }
        assert!(acknowledged < 100_000, "a disk of twelve megabytes fills");
    };
    println!("\nverdict {failed}");
    assert!(store.apply(&super::numbered(1)).is_err() && store.flush().is_err());
    drop(store);
    println!("acknowledged {acknowledged}");
}

/// What the child after it finds.
pub(crate) fn read_after_full(place: &Path) {
    let roster = roster_of(&place.join("genesis"));
    let recovered = recovery::start(&place.join("store"), &roster, WALL_MS).unwrap();
    assert_eq!(recovered.happened, []);
    let held = (1..)
        .take_while(|number| super::holds(&recovered.store, *number))
        .count();
    assert!(recovered.store.check(1).unwrap().is_whole());
    println!("\nheld {held}");
}

#[test]
fn attack_37_a_disk_that_fills_up_stops_the_commits_and_loses_none_acknowledged() {
    let held = Held::filled();
    let room = "dd if=/dev/zero of=\"$1/filler\" bs=1k count=3000";
    // Another process, since sled given up keeps its lock.
    let after = format!("rm \"$1/filler\"; {CHILD}=after-full \"$0\" --exact child --nocapture");
    let Some(text) = in_own_file_system("fill-disk", &held, room, &after) else {
        return;
    };
    assert!(text.contains("No space left on device"), "{text}");
    let count_of = |what: &str| -> u64 {
        let count = text.lines().find_map(|line| line.strip_prefix(what));
        count
            .unwrap_or_else(|| panic!("no {what:?}: {text}"))
            .parse()
            .unwrap()
    };
    let (acknowledged, held) = (count_of("acknowledged "), count_of("held "));
    assert!(acknowledged > 0, "{text}");
    assert!(held >= acknowledged, "{text}");
}
