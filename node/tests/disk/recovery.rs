//! Starting on a damaged store: opened with what is right, or set aside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use watchfire_node::disk::audit::audit;
use watchfire_node::disk::recovery::{self, Happened, Recovered, asides};
use watchfire_node::disk::repair::repair;
use watchfire_node::disk::{OpenError, SledStore, published};
use watchfire_protocol::engine::rebuild;
use watchfire_protocol::limits::SEQUENCE_AHEAD_MAX;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Batch, MemoryStore, Store, StoreError};
use watchfire_protocol::table;

use super::damage::{files_below, open_raw};
use super::held::{ENVELOPES, Held, entries, is_truth, roster_of};
use super::{copy_dir, draws, start_child};

/// A moment for names; any will do.
pub(crate) const WALL_MS: u64 = 1_795_000_000_000;

/// Damage to one file, by its bytes.
type Damage = (&'static str, Box<dyn Fn(&mut Vec<u8>)>);

fn damages(length: usize, draw: &mut impl FnMut(u64) -> u64) -> Vec<Damage> {
    let mut damages: Vec<Damage> = Vec::new();
    let mut at = |below: usize| usize::try_from(draw(below.max(1) as u64)).unwrap();
    let flips = [
        0,
        length / 2,
        length.saturating_sub(1),
        at(length),
        at(length),
    ];
    for place in flips.into_iter().filter(|place| *place < length) {
        damages.push(("a bit", Box::new(move |bytes| bytes[place] ^= 0x10)));
    }
    for cut in [0, 1, length / 2, length.saturating_sub(1), at(length)] {
        damages.push(("cut", Box::new(move |bytes| bytes.truncate(cut))));
    }
    let garbage = at(1 << 20);
    damages.push((
        "garbage behind it",
        Box::new(move |bytes| {
            let byte = |n: usize| u8::try_from((n * 31 + garbage) % 251).unwrap();
            bytes.extend((0..5_000).map(byte));
        }),
    ));
    damages.push((
        "zeros behind it",
        Box::new(|bytes| bytes.extend([0; 5_000])),
    ));
    let from = at(length);
    damages.push((
        "a page of zeros",
        Box::new(move |bytes| {
            let end = bytes.len().min(from + 4_096);
            bytes[from..end].fill(0);
        }),
    ));
    damages
}

#[test]
fn attack_37_damage_to_any_file_is_survived_and_said() {
    let whole = Held::filled();
    let files: Vec<PathBuf> = files_below(&whole.place.store)
        .into_iter()
        .map(|path| path.strip_prefix(&whole.place.store).unwrap().to_owned())
        .collect();
    for part in [
        "store.format",
        "store.lock",
        "store.flushed",
        "sled/db",
        "sled/conf",
    ] {
        assert!(files.contains(&PathBuf::from(part)), "{files:?}");
    }
    // Of large values, which are all alike, the first is enough.
    let (blobs, mut files): (Vec<PathBuf>, Vec<PathBuf>) = files
        .into_iter()
        .partition(|file| file.starts_with("sled/blobs"));
    files.push(blobs[0].clone());
    let mut draw = draws(373_737);
    let mut said = BTreeMap::<String, u32>::new();
    for file in &files {
        // A process for each file, so that an abort or a runaway allocation is
        // seen as such.
        let cases = tempfile::tempdir().unwrap();
        fs::copy(whole.genesis_path(), cases.path().join("genesis")).unwrap();
        copy_dir(&whole.place.store, &cases.path().join("whole"));
        let length =
            usize::try_from(fs::metadata(whole.place.store.join(file)).unwrap().len()).unwrap();
        let damages = damages(length, &mut draw);
        for (number, (_, damage)) in damages.iter().enumerate() {
            let store = cases.path().join(format!("case-{number:02}/store"));
            copy_dir(&whole.place.store, &store);
            let mut bytes = fs::read(store.join(file)).unwrap();
            damage(&mut bytes);
            fs::remove_file(store.join(file)).unwrap();
            fs::write(store.join(file), bytes).unwrap();
        }
        let output = start_child("recover", cases.path())
            .wait_with_output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let verdicts: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("verdict "))
            .collect();
        assert_eq!(
            verdicts.len(),
            damages.len(),
            "{}: a crash, {}: {text}",
            file.display(),
            output.status
        );
        for ((what, _), verdict) in damages.iter().zip(verdicts) {
            let case = format!("{} with {what}: {verdict}", file.display());
            println!("{case}");
            let good = [
                "whole",
                "set aside",
                "shortened",
                "told by the check, and mended",
            ];
            // One turned bit makes it the format of a later program.
            let is_newer = verdict == "refused: a newer format" && file.ends_with("store.format");
            assert!(good.contains(&verdict) || is_newer, "{case}");
            *said.entry(verdict.to_owned()).or_default() += 1;
        }
    }
    println!("{said:?}");
    for expected in ["whole", "set aside"] {
        assert!(said.contains_key(expected), "{said:?}");
    }
}

/// What the child does with the cases of one file.
pub(crate) fn judge_all(cases: &Path) {
    let roster = roster_of(&cases.join("genesis"));
    let reference = entries(&SledStore::open(&cases.join("whole")).unwrap());
    let mut paths: Vec<PathBuf> = fs::read_dir(cases)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("store"))
        .filter(|store| store.exists())
        .collect();
    paths.sort();
    for path in paths {
        println!("\nverdict {}", judge(&path, &roster, &reference));
    }
}

fn judge(path: &Path, roster: &Roster, reference: &BTreeMap<Vec<u8>, Vec<u8>>) -> String {
    let Recovered { store, happened } = match recovery::start(path, roster, WALL_MS) {
        Ok(recovered) => recovered,
        Err(OpenError::Newer { .. }) => return "refused: a newer format".to_owned(),
        Err(other) => return format!("refused: {other}"),
    };
    let mut is_less = false;
    for (key, value) in reference {
        match store.get(key) {
            Ok(Some(found)) if found == *value => {}
            // What can be made again may be older in a store that is.
            Ok(Some(_)) if is_truth(key) || happened.is_empty() => {
                return format!("a wrong value at {}", hex::encode(key));
            }
            Ok(Some(_) | None) | Err(StoreError::Damaged { .. }) => is_less = true,
            Err(failed @ StoreError::Failed { .. }) => return failed.to_string(),
        }
    }
    let report = audit(&store, Some(roster), 10, |_, _| {});
    let is_sound = report.as_ref().is_ok_and(|report| report.is_sound());
    match (happened.as_slice(), is_less, is_sound) {
        ([], false, true) => "whole".to_owned(),
        ([], true, true) => "lost without a word".to_owned(),
        ([], _, false) => match repair(&store, path, roster, |_, _| {}) {
            Ok(_) => match audit(&store, Some(roster), 10, |_, _| {}) {
                Ok(report) if report.is_sound() => "told by the check, and mended".to_owned(),
                other => format!("not mended: {other:?}"),
            },
            Err(why) => {
                // It does not read: the next start sets it aside.
                drop(store);
                match recovery::start(path, roster, WALL_MS) {
                    Ok(next) if matches!(next.happened[..], [Happened::SetAside { .. }]) => {
                        "set aside".to_owned()
                    }
                    other => format!("not mended ({why}), and then {other:?}"),
                }
            }
        },
        ([Happened::SetAside { to, why }], _, true) => {
            let there = asides(path).unwrap();
            let is_told = there.len() == 1 && there[0].path == *to && there[0].why == *why;
            let files = files_below(to).len();
            if is_told && files > 3 && entries(&store).is_empty() {
                "set aside".to_owned()
            } else {
                format!("set aside badly: {there:?}, {files} files")
            }
        }
        ([Happened::Shortened(_)], _, true) => "shortened".to_owned(),
        (other, _, _) => format!("{other:?}, then {report:?}"),
    }
}

#[test]
fn a_store_that_is_whole_is_left_as_it_is() {
    let held = Held::filled();
    let before = entries(&SledStore::open(&held.place.store).unwrap());
    let recovered = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap();
    assert_eq!(recovered.happened, []);
    assert_eq!(entries(&recovered.store), before);
    assert_eq!(asides(&held.place.store).unwrap(), []);
    let report = audit(&recovered.store, Some(&held.roster), 10, |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.verified, ENVELOPES);
}

/// Turns a bit in the value of the first key of each table.
fn spoil(held: &Held, tables: &[u8]) {
    let raw = open_raw(&held.place);
    for table in tables {
        let (key, stored) = raw.range(vec![1, *table]..).next().unwrap().unwrap();
        assert_eq!(key.get(1), Some(table), "the table has entries");
        let mut flipped = stored.to_vec();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        raw.insert(key, flipped).unwrap();
    }
    raw.flush().unwrap();
}

#[test]
fn attack_37_damaged_values_of_every_table_are_named_removed_and_made_again() {
    for table in b"ABCEFHLOSTVI" {
        let held = Held::filled();
        let before = entries(&SledStore::open(&held.place.store).unwrap());
        spoil(&held, &[*table]);
        let store = SledStore::open(&held.place.store).unwrap();
        let report = audit(&store, Some(&held.roster), 100, |_, _| {}).unwrap();
        let named = report
            .findings
            .iter()
            .find(|finding| finding.key.first() == Some(table))
            .unwrap_or_else(|| panic!("{}: {report:?}", char::from(*table)));
        assert_eq!(named.why, "it does not carry its checksum");
        drop(store);

        recovery::suspect(&held.place.store).unwrap();
        let Recovered { store, happened } =
            recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap();
        let [Happened::Repaired(repaired)] = happened.as_slice() else {
            panic!("{happened:?}");
        };
        let is_lost = is_truth(&[*table]);
        assert_eq!(repaired.removed_truth, u64::from(is_lost), "{repaired:?}");
        let report = audit(&store, Some(&held.roster), 100, |_, _| {}).unwrap();
        assert!(report.is_sound(), "{}: {report:?}", char::from(*table));
        let after = entries(&store);
        for (key, value) in before.iter().filter(|(key, _)| is_truth(key)) {
            match after.get(key) {
                Some(found) => assert_eq!(found, value),
                None => assert_eq!(key.first(), Some(table), "only what was damaged is gone"),
            }
        }
        drop(store);
        // And it is over with that.
        let again = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap();
        assert_eq!(again.happened, []);
    }
}

#[test]
fn attack_37_a_frame_that_its_author_did_not_sign_so_is_removed_and_no_other() {
    let held = Held::filled();
    let store = SledStore::open(&held.place.store).unwrap();
    // Written with a right checksum, by whoever can write the database.
    let key = table::log(3);
    let mut entry = store.get(&key).unwrap().unwrap();
    let last = entry.len() - 1;
    entry[last] ^= 1;
    let mut batch = Batch::default();
    batch.put(key.clone(), entry);
    // And a chunk of another body in the place of one.
    let (chunk, _) = store.scan(b"C", b"C", 1).unwrap().remove(0);
    batch.put(chunk, vec![1; 1_000]);
    store.apply(&batch).unwrap();
    let report = audit(&store, Some(&held.roster), 100, |_, _| {}).unwrap();
    let whys: Vec<&str> = report
        .findings
        .iter()
        .map(|finding| finding.why.as_str())
        .collect();
    assert_eq!(whys.len(), 2, "{whys:?}");
    assert!(whys.contains(&"its body is not the one its author signed"));
    let without_roster = audit(&store, None, 100, |_, _| {}).unwrap();
    assert!(without_roster.is_sound(), "no signature can be checked");

    repair(&store, &held.place.store, &held.roster, |_, _| {}).unwrap();
    assert_eq!(store.get(&key).unwrap(), None);
    let pulls = store.scan(table::PULLS, table::PULLS, 10).unwrap();
    assert_eq!(pulls.len(), 1, "the body is to be fetched again");
    assert!(
        audit(&store, Some(&held.roster), 100, |_, _| {})
            .unwrap()
            .is_sound()
    );
    // An engine takes it, and knows that its stream has a gap.
    let engine = held.engine(&store);
    assert_eq!(engine.status().pulls, 1);
}

#[test]
fn attack_37_an_interrupted_repair_is_begun_again_and_never_passed_over() {
    let held = Held::filled();
    let store = SledStore::open(&held.place.store).unwrap();
    let whole = entries(&store);
    // As far as a killed one may have come: the mark, and indexes gone.
    let mut batch = Batch::default();
    for key in whole.keys().filter(|key| !is_truth(key)) {
        batch.remove(key.clone());
    }
    store.apply(&batch).unwrap();
    store.flush().unwrap();
    drop(store);
    fs::write(held.place.store.join("store.repairing"), "").unwrap();
    let refused = SledStore::open(&held.place.store).unwrap_err();
    assert!(matches!(refused, OpenError::Unfinished { .. }), "{refused}");
    let Recovered { store, happened } =
        recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap();
    assert!(matches!(happened[..], [Happened::Repaired(_)]));
    let next = store.get(&table::next_arrival()).unwrap();
    assert_eq!(next.as_ref(), whole.get(&table::next_arrival()));
    drop(store);
    SledStore::open(&held.place.store).unwrap();
}

#[test]
fn what_lies_far_beyond_a_gap_waits_in_no_index() {
    let held = Held::empty();
    let store = MemoryStore::default();
    let mut engine = held.engine(&store);
    let count = SEQUENCE_AHEAD_MAX + 3;
    for number in 1..=count {
        held.publish(&mut engine, number, 10);
    }
    drop(engine);
    let lost = store.get(&table::log(0)).unwrap().unwrap();
    let mut batch = Batch::default();
    batch.remove(table::log(0));
    store.apply(&batch).unwrap();
    let found = rebuild(&store, &held.roster).unwrap();
    assert_eq!((found.envelopes, found.beyond), (SEQUENCE_AHEAD_MAX - 1, 3));
    // The lost one comes back, here under another number.
    let mut batch = Batch::default();
    batch.put(table::log(count + 10), lost);
    store.apply(&batch).unwrap();
    let found = rebuild(&store, &held.roster).unwrap();
    assert_eq!((found.envelopes, found.beyond), (count, 0));
    // A second copy of one is in no index, and harms no other.
    let copy = store.get(&table::log(5)).unwrap().unwrap();
    let mut batch = Batch::default();
    batch.put(table::log(count + 11), copy);
    store.apply(&batch).unwrap();
    let found = rebuild(&store, &held.roster).unwrap();
    assert_eq!((found.envelopes, found.repeated), (count, 1));
}

#[test]
fn two_that_are_set_aside_in_one_moment_have_two_names() {
    let held = Held::filled();
    let mut kept = Vec::new();
    for _ in 0..2 {
        fs::write(held.place.store.join("sled/conf"), "").unwrap();
        let recovered = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap();
        let [Happened::SetAside { to, .. }] = recovered.happened.as_slice() else {
            panic!("{:?}", recovered.happened);
        };
        kept.push(to.clone());
    }
    assert_ne!(kept[0], kept[1]);
    let name = kept[0].file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("store.damaged-20"), "{name}");
    let listed: Vec<PathBuf> = asides(&held.place.store)
        .unwrap()
        .into_iter()
        .map(|aside| aside.path)
        .collect();
    assert_eq!(listed, kept);
}

#[test]
fn attack_20_what_is_no_store_is_not_replaced_by_one() {
    let held = Held::empty();
    fs::remove_dir_all(&held.place.store).unwrap();
    let refused = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap_err();
    assert!(matches!(refused, OpenError::NotAStore { .. }), "{refused}");
    assert!(!held.place.store.exists());
    fs::create_dir(&held.place.store).unwrap();
    let refused = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap_err();
    assert!(matches!(refused, OpenError::NotAStore { .. }), "{refused}");
    assert_eq!(asides(&held.place.store).unwrap(), []);
}

#[test]
fn a_start_killed_between_the_two_moves_is_finished() {
    let held = Held::filled();
    let fresh = held.place.store.with_file_name("store.fresh");
    drop(SledStore::create(&fresh).unwrap());
    let aside = held.place.store.with_file_name("store.damaged-before");
    fs::rename(&held.place.store, aside).unwrap();
    let recovered = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap();
    assert_eq!(recovered.happened, []);
    assert!(entries(&recovered.store).is_empty() && !fresh.exists());
}

#[test]
fn what_the_operating_system_refuses_is_not_set_aside() {
    let held = Held::filled();
    // Lock and neighbourhood can be written, and one file cannot be opened, as
    // on a disk that fails in places: what is there may be whole.
    let witness = held.place.store.join("store.flushed");
    let kept = held.place.store.join("kept");
    fs::rename(&witness, &kept).unwrap();
    fs::create_dir(&witness).unwrap();
    let refused = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
    assert!(refused.to_string().contains("check the disk"), "{refused}");
    assert_eq!(asides(&held.place.store).unwrap(), []);
    fs::remove_dir(&witness).unwrap();
    fs::rename(&kept, &witness).unwrap();
    let recovered = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap();
    assert_eq!(recovered.happened, [], "refusing did no harm");
}

#[test]
fn a_store_in_use_is_not_set_aside() {
    let held = Held::filled();
    let mut child = start_child("hold", &held.place.store);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));
    fs::write(held.place.store.join("sled/conf"), "").unwrap();
    let refused = recovery::start(&held.place.store, &held.roster, WALL_MS).unwrap_err();
    assert!(
        matches!(refused, OpenError::InUse { pid: Some(pid), .. } if pid == child.id()),
        "{refused}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(asides(&held.place.store).unwrap(), []);
}

#[test]
fn the_note_of_own_streams_lies_beside_the_store() {
    let path = published::path_for(Path::new("/home/node/store"));
    assert_eq!(path, Path::new("/home/node/store.published"));
}
