//! The store on disk against what disks, operators and power cuts do to it.
//!
//! Some tests need a second process. They start this test binary again with
//! [`CHILD`] in its environment, and the one test named `child` does then what
//! it is told there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "disk/damage.rs"]
mod damage;
#[path = "disk/healing.rs"]
mod healing;
#[path = "disk/held.rs"]
mod held;
#[path = "disk/recovery.rs"]
mod recovery;
#[path = "disk/room.rs"]
mod room;
#[path = "disk/shaky.rs"]
mod shaky;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use watchfire_node::committer::Committer;
use watchfire_node::disk::{Loss, OpenError, SledStore};
use watchfire_node::keystore::own_uid;
use watchfire_protocol::store::testing::check_contract;
use watchfire_protocol::store::{Batch, CommitNo, Entry, Store, StoreError};

const CHILD: &str = "WATCHFIRE_TEST_CHILD";
const CHILD_STORE: &str = "WATCHFIRE_TEST_STORE";

struct Place {
    _dir: tempfile::TempDir,
    store: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    Place { _dir: dir, store }
}

fn put(key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::default();
    batch.put(key.to_vec(), value.to_vec());
    batch
}

/// The batch of one commit: two keys far apart, so that a half-applied batch
/// would show, and every sixty-fourth large enough for a file of its own.
fn numbered(number: u64) -> Batch {
    let length = if number.is_multiple_of(64) {
        600_000
    } else {
        200 + usize::try_from(number % 50).unwrap()
    };
    let value = vec![u8::try_from(number % 251).unwrap(); length];
    let mut batch = put(&[b"y", &number.to_be_bytes()[..]].concat(), &value);
    batch.put(
        [b"z", &number.to_be_bytes()[..]].concat(),
        number.to_be_bytes().to_vec(),
    );
    batch
}

fn holds(store: &SledStore, number: u64) -> bool {
    let want = numbered(number);
    let found: Vec<bool> = want
        .iter()
        .map(|(key, value)| store.get(key).unwrap().as_deref() == value)
        .collect();
    assert!(
        found.iter().all(|there| *there == found[0]),
        "batch {number} is there by half"
    );
    found[0]
}

/// A pseudo-random sequence that is the same in every run.
fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if from.ends_with("blobs") {
            // Large, and never written a second time.
            fs::hard_link(entry.path(), target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn start_child(role: &str, store: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, role)
        .env(CHILD_STORE, store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test unless [`CHILD`] is set: what the second process does.
#[test]
fn child() {
    let Ok(role) = std::env::var(CHILD) else {
        return;
    };
    let path = PathBuf::from(std::env::var_os(CHILD_STORE).unwrap());
    match role.as_str() {
        "commit" => {
            let store = Arc::new(SledStore::open(&path).unwrap());
            let committer = Committer::start(store, |report| {
                let mut out = std::io::stdout();
                writeln!(out, "\nack {}", report.unwrap()).unwrap();
                out.flush().unwrap();
            })
            .unwrap();
            let mut number = CommitNo::FIRST;
            // The parent ends this, or the disk does; never a count alone.
            while number.get() < 100_000 {
                committer.submit(number, numbered(number.get())).unwrap();
                number = number.next();
            }
        }
        "fill" => {
            let store = Arc::new(SledStore::open(&path).unwrap());
            let committer = Committer::start(Arc::clone(&store), |report| match report {
                Ok(number) => println!("\nack {number}"),
                Err(failure) => println!("\nfailed {failure}"),
            })
            .unwrap();
            let mut number = CommitNo::FIRST;
            while committer.submit(number, numbered(number.get())).is_ok() {
                number = number.next();
            }
            assert!(store.apply(&numbered(1)).is_err() && store.flush().is_err());
            println!("\nrefused again");
        }
        "hold" => {
            let _store = SledStore::open(&path).unwrap();
            println!("\nheld");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
        }
        // Opens and reads everything, and says how that went: in a process of
        // its own, so that an abort or a runaway allocation is seen as such.
        "read" => {
            let verdict = match SledStore::open(&path) {
                Ok(store) => match (store.check(1), damage::read_all(&store)) {
                    (Ok(report), read) if report.is_whole() => read,
                    (Ok(_), "lost without a word") => "lost, as the check says",
                    (Ok(_), "whole") => "whole, and the check says otherwise",
                    (Ok(_) | Err(_), read) => read,
                },
                Err(OpenError::Damaged { .. }) => "damaged store",
                Err(OpenError::NotAStore { .. } | OpenError::Newer { .. }) => "another format",
                Err(other) => panic!("{other}"),
            };
            println!("\nverdict {verdict}");
        }
        "recover" => recovery::judge_all(&path),
        "no-room" => room::judge_without_room(&path),
        "after-full" => room::read_after_full(&path),
        "fill-disk" => room::fill(&path),
        other => panic!("unknown role {other}"),
    }
}

#[test]
fn sled_keeps_the_contract() {
    let place = place();
    let store = SledStore::create(&place.store).unwrap();
    check_contract(&store);
    drop(store);
    let store = SledStore::open(&place.store).unwrap();
    check_contract(&store);
    assert!(store.check(1).unwrap().is_whole());
}

#[test]
fn what_was_written_is_there_after_reopening_many_times() {
    let place = place();
    drop(SledStore::create(&place.store).unwrap());
    for round in 1..=10 {
        let store = SledStore::open(&place.store).unwrap();
        store.apply(&numbered(round * 64)).unwrap();
        store.flush().unwrap();
        assert!((1..=round).all(|earlier| holds(&store, earlier * 64)));
    }
}

#[test]
fn attack_37_killed_at_any_moment_it_keeps_what_it_acknowledged() {
    let mut draw = draws(37);
    let place = place();
    drop(SledStore::create(&place.store).unwrap());
    for round in 0..8 {
        // Each round goes on in the store that the round before left behind.
        let acks_before_kill = 1 + draw(120);
        let mut child = start_child("commit", &place.store);
        let mut acknowledged = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(number) = line.unwrap().strip_prefix("ack ") {
                assert_eq!(
                    number.parse::<u64>().unwrap(),
                    acknowledged + 1,
                    "acknowledged in order"
                );
                acknowledged += 1;
            }
            if acknowledged == acks_before_kill {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        assert_eq!(
            acknowledged, acks_before_kill,
            "round {round}: the child ended by itself"
        );
        let store = SledStore::open(&place.store).unwrap();
        for number in 1..=acknowledged {
            assert!(
                holds(&store, number),
                "round {round}: {number} of {acknowledged} acknowledged is gone"
            );
        }
        // What was not acknowledged is there whole or not at all; `holds` asserts it.
        for number in acknowledged + 1..acknowledged + 300 {
            holds(&store, number);
        }
        assert!(store.check(1).unwrap().is_whole());
    }
}

#[test]
fn a_second_process_is_told_who_has_the_store() {
    let place = place();
    drop(SledStore::create(&place.store).unwrap());
    let mut child = start_child("hold", &place.store);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));
    let refused = SledStore::open(&place.store).unwrap_err();
    assert!(
        matches!(refused, OpenError::InUse { pid: Some(pid), .. } if pid == child.id()),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains(&format!("store in use by process {}", child.id())),
        "{refused}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    SledStore::open(&place.store).expect("a killed process holds nothing");
}

#[test]
fn attack_20_a_missing_store_is_refused_and_not_made() {
    let place = place();
    let refused = |why: &str| {
        let error = SledStore::open(&place.store).unwrap_err();
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    refused("does not exist");
    assert!(!place.store.exists());
    fs::create_dir(&place.store).unwrap();
    refused("no format marker");
    assert_eq!(
        fs::read_dir(&place.store).unwrap().count(),
        0,
        "nothing was made"
    );
    for marker in [
        "",
        "watchfire-store 0\n",
        "watchfire-store one\n",
        "watchfire-store 1",
        "something 1\n",
    ] {
        fs::write(place.store.join("store.format"), marker).unwrap();
        refused("is unreadable");
    }
    fs::remove_dir_all(&place.store).unwrap();
    fs::write(&place.store, "a file").unwrap();
    refused("not a directory");
}

#[test]
fn attack_20_a_store_with_a_part_missing_is_refused_and_not_mended() {
    let whole = place();
    let store = SledStore::create(&whole.store).unwrap();
    store.apply(&numbered(1)).unwrap();
    store.flush().unwrap();
    drop(store);
    for part in ["sled", "sled/db", "sled/conf", "store.flushed"] {
        let place = place();
        copy_dir(&whole.store, &place.store);
        SledStore::open(&place.store).expect("the copy is whole");
        let part = place.store.join(part);
        if part.is_dir() {
            fs::remove_dir_all(&part).unwrap()
        } else {
            fs::remove_file(&part).unwrap()
        }
        for _ in 0..2 {
            let refused = SledStore::open(&place.store).unwrap_err();
            assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
            assert!(!part.exists(), "{} was made anew", part.display());
        }
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let place = place();
    drop(SledStore::create(&place.store).unwrap());
    fs::write(place.store.join("store.format"), "watchfire-store 2\n").unwrap();
    let before = fs::read(place.store.join("sled/db")).unwrap();
    let refused = SledStore::open(&place.store).unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("use the newer program"),
        "{refused}"
    );
    assert_eq!(fs::read(place.store.join("sled/db")).unwrap(), before);
}

#[test]
fn a_store_is_never_made_over_anything() {
    let place = place();
    let store = SledStore::create(&place.store).unwrap();
    store.apply(&numbered(1)).unwrap();
    drop(store);
    assert!(matches!(
        SledStore::create(&place.store),
        Err(OpenError::NotEmpty { .. })
    ));
    assert!(holds(&SledStore::open(&place.store).unwrap(), 1));
    let mode = fs::metadata(&place.store).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn attack_14_an_older_database_put_in_its_place_is_noticed() {
    let place = place();
    let store = SledStore::create(&place.store).unwrap();
    store.apply(&put(b"revocations", b"one")).unwrap();
    store.flush().unwrap();
    drop(store);
    let older = place.store.with_file_name("older");
    copy_dir(&place.store.join("sled"), &older);
    let store = SledStore::open(&place.store).unwrap();
    store.apply(&put(b"revocations", b"one and two")).unwrap();
    store.flush().unwrap();
    drop(store);
    fs::remove_dir_all(place.store.join("sled")).unwrap();
    fs::rename(&older, place.store.join("sled")).unwrap();
    let refused = SledStore::open(&place.store).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("had 2 batches on disk and now ends at 1"),
        "{refused}"
    );

    // A person decides to go on with what is left.
    let (store, loss) = SledStore::open_with_loss(&place.store).unwrap();
    assert_eq!(loss, Some(Loss { had: 2, has: 1 }));
    assert_eq!(store.get(b"revocations").unwrap().unwrap(), b"one");
    drop(store);
    SledStore::open(&place.store).expect_err("nothing was flushed, so nothing was accepted");
    let (store, _) = SledStore::open_with_loss(&place.store).unwrap();
    store.flush().unwrap();
    drop(store);
    SledStore::open(&place.store).unwrap();
}

#[test]
fn attack_20_a_place_that_takes_no_files_is_an_error_in_words() {
    // `/proc` takes no new files from anyone, the superuser included, which a
    // directory without write permission does not ensure.
    let refused = SledStore::create(Path::new("/proc/watchfire")).unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
    let refused = SledStore::open(Path::new("/proc")).unwrap_err();
    assert!(matches!(refused, OpenError::NotAStore { .. }), "{refused}");
}

#[test]
fn attack_20_a_store_without_permission_is_an_error_in_words() {
    if own_uid().unwrap() == 0 {
        // Permission bits do not bind the superuser: nothing to see as root.
        return;
    }
    let place = place();
    let store = SledStore::create(&place.store).unwrap();
    store.apply(&numbered(1)).unwrap();
    store.flush().unwrap();
    drop(store);
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let database = place.store.join("sled");
    for (path, without, with) in [
        (place.store.clone(), 0o000, 0o700),
        (place.store.join("store.lock"), 0o400, 0o600),
        (place.store.join("store.flushed"), 0o400, 0o600),
        (database.clone(), 0o000, 0o700),
        (database.join("db"), 0o400, 0o600),
        (database.join("db"), 0o000, 0o600),
    ] {
        set(&path, without);
        let refused = SledStore::open(&place.store).unwrap_err();
        set(&path, with);
        let text = refused.to_string();
        assert!(
            matches!(refused, OpenError::Io { .. }),
            "{}: {text}",
            path.display()
        );
        assert!(
            text.contains("Permission denied"),
            "{}: {text}",
            path.display()
        );
    }
    assert!(
        holds(&SledStore::open(&place.store).unwrap(), 1),
        "refusing did no harm"
    );
}

#[test]
fn a_lock_that_cannot_be_written_is_an_error_in_words() {
    let place = place();
    drop(SledStore::create(&place.store).unwrap());
    fs::remove_file(place.store.join("store.lock")).unwrap();
    fs::create_dir(place.store.join("store.lock")).unwrap();
    let refused = SledStore::open(&place.store).unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Io {
                operation: "lock",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn a_full_disk_stops_the_commits_and_loses_none_acknowledged() {
    let place = place();
    drop(SledStore::create(&place.store).unwrap());
    // A limit on the size of files stands in for a full disk, since it needs
    // no privilege: with the signal ignored, a write past it fails. The unit is
    // 512 or 1,024 bytes, as the shell likes; the log passes either soon.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 1500; exec \"$0\" --exact child --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "fill")
        .env(CHILD_STORE, &place.store)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let acknowledged = text.lines().filter(|line| line.starts_with("ack ")).count();
    let failed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("failed "))
        .collect();
    assert!(acknowledged > 0, "{text}");
    assert_eq!(failed.len(), 1, "one failure, and nothing after it");
    assert!(
        failed[0].contains("File too large") && failed[0].contains("free disk space"),
        "{}",
        failed[0]
    );
    assert_eq!(
        text.lines()
            .rfind(|line| line.starts_with("ack ") || line.starts_with("failed ")),
        text.lines().rfind(|line| line.starts_with("failed ")),
        "nothing is acknowledged after it"
    );
    assert!(text.contains("refused again"), "{text}");
    let store = SledStore::open(&place.store).unwrap();
    for number in 1..=u64::try_from(acknowledged).unwrap() {
        assert!(
            holds(&store, number),
            "{number} of {acknowledged} acknowledged is gone"
        );
    }
}

/// Counts the flushes of a real store.
struct Counting {
    inner: SledStore,
    flushes: AtomicU64,
}

impl Store for Counting {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.scan(prefix, from, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.inner.apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.inner.flush()
    }
}

#[test]
fn the_committer_shares_flushes_on_a_real_disk() {
    let place = place();
    let store = Arc::new(Counting {
        inner: SledStore::create(&place.store).unwrap(),
        flushes: AtomicU64::new(0),
    });
    let reported = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&reported);
    let committer = Committer::start(Arc::clone(&store), move |report| {
        assert_eq!(
            report.unwrap().get(),
            told.fetch_add(1, Ordering::Relaxed) + 1
        );
    })
    .unwrap();
    let count = 2_000;
    let began = std::time::Instant::now();
    let mut number = CommitNo::FIRST;
    for _ in 0..count {
        committer
            .submit(number, put(&number.get().to_be_bytes(), &[7; 200]))
            .unwrap();
        number = number.next();
    }
    committer.shutdown().unwrap();
    let flushes = store.flushes.load(Ordering::Relaxed);
    println!("{count} batches, {flushes} flushes, {:?}", began.elapsed());
    assert_eq!(reported.load(Ordering::Relaxed), count);
    assert!(flushes < count, "{flushes} flushes");
    assert_eq!(store.scan(b"", b"", usize::MAX).unwrap().len(), 2_000);
}
