//! A process killed before each write of its own in turn, and in the middle of
//! what its database writes.
//!
//! Each case begins with a copy of one directory; the same work goes on a
//! little further each time, until it comes to its end. What must hold after
//! every one of them is in [`Case::judge`].

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use watchfire_node::disk::audit::audit;
use watchfire_node::disk::{OpenError, SledStore, prepared, published, recovery};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Batch, Entry, Store as _};
use watchfire_protocol::table;
use watchfire_tests::mesh::{Listen, Mesh, wall_ms};

use super::child::{
    Alive, Role, Said, Until, copy_dir, copy_of, genesis_of, roster_of, run, store_of,
};
use super::held::{Author, Held};
use super::program::public_stream;

/// Cases under way together: two of them keep two cores busy.
const WORKERS: u64 = 2;

/// In how many places what the database writes is cut, as it opens and as the
/// node works.
const CUTS_OPENING: u64 = 6;
const CUTS: u64 = 60;

/// No work here takes as many writes; it ends what would never end.
const WRITES_MAX: u64 = 1_000;

/// What a case begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// No store.
    Nothing,
    /// Two empty stores.
    Empty,
    /// Some published; an envelope of the log is not what was signed, and that
    /// is known.
    Damaged,
    /// Some published; the store does not open.
    Torn,
    /// Set aside by a process that was killed before the fresh one was in
    /// place.
    Moved,
    /// Some published, and a copy from before the last of them.
    Copied,
}

/// Published where anything is.
const BEFORE: u64 = 3;

/// The directory that every case of one kind is a copy of.
struct Template {
    begin: Begin,
    mesh: Mesh,
    place: TempDir,
}

impl Template {
    fn of(begin: Begin, listen: &[Listen]) -> Self {
        let mesh = Mesh::of(listen);
        let place = tempfile::tempdir().unwrap();
        let template = Self { begin, mesh, place };
        let place = template.place.path();
        fs::write(genesis_of(place), template.mesh.genesis_file()).unwrap();
        if begin == Begin::Nothing {
            return template;
        }
        let store = store_of(place, 0);
        drop(SledStore::create(&store).unwrap());
        if begin == Begin::Empty {
            drop(SledStore::create(&store_of(place, 1)).unwrap());
            return template;
        }
        let author = Alive::start(place, 0);
        author.publish(1, 0);
        author.stop();
        if begin == Begin::Copied {
            let copy = copy_of(place);
            copy_dir(&store, &copy);
            fs::copy(published::path_for(&store), published::path_for(&copy)).unwrap();
        }
        let author = Alive::start(place, 0);
        for number in 2..=BEFORE {
            author.publish(number, 0);
        }
        author.stop();
        match begin {
            Begin::Damaged => spoil(&store),
            Begin::Torn => fs::write(store.join("sled/conf"), "").unwrap(),
            Begin::Moved => {
                fs::rename(&store, place.join("store-0.damaged-before")).unwrap();
                drop(SledStore::create(&place.join("store-0.fresh")).unwrap());
            }
            Begin::Nothing | Begin::Empty | Begin::Copied => {}
        }
        template
    }

    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(self.place.path(), copy.path());
        copy
    }
}

fn spoil(store: &Path) {
    let opened = SledStore::open(store).unwrap();
    let (key, mut value) = opened.scan(b"L", b"L", 2).unwrap().remove(1);
    let last = value.len() - 1;
    value[last] ^= 1;
    let mut batch = Batch::default();
    batch.put(key, value);
    opened.apply(&batch).unwrap();
    opened.flush().unwrap();
    drop(opened);
    recovery::suspect(store).unwrap();
}

/// How far the note says that a node's own stream went, read as its layout is
/// described in `node/src/disk/published.rs`: records of 106 bytes after the
/// first, a stream's key behind nine bytes, then the sequence.
fn noted(store: &Path, stream_key: &[u8]) -> u64 {
    let note = fs::read(published::path_for(store)).unwrap_or_default();
    let (records, _) = note.as_chunks::<106>();
    let ends = records.iter().skip(1).filter_map(|record| {
        let (_, rest) = record.split_at(9);
        let (stream, rest) = rest.split_at(stream_key.len());
        (stream == stream_key).then(|| u64::from_be_bytes(rest[..8].try_into().unwrap()))
    });
    ends.max().unwrap_or(0)
}

/// One case after its end.
struct Case<'a> {
    template: &'a Template,
    place: &'a Path,
    said: &'a Said,
    /// What a node that starts now would hold.
    roster: Roster,
    at: &'a str,
}

impl Case<'_> {
    fn author(&self) -> Author<'_> {
        Author {
            roster: &self.roster,
            stream: public_stream(self.template.mesh.node(0)),
        }
    }

    fn judge(&self) {
        match self.template.begin {
            Begin::Nothing => self.judge_made(),
            Begin::Empty => {
                self.judge_author();
                self.judge_taken();
            }
            Begin::Damaged | Begin::Torn | Begin::Moved => self.judge_recovered(),
            Begin::Copied => self.judge_restored(),
        }
    }

    /// `store check` finds nothing.
    fn checks(&self, store: &SledStore) {
        let found = audit(store, Some(self.author().roster), 10, |_, _| {}).unwrap();
        assert!(found.is_sound(), "{}: {found:?}", self.at);
        assert_eq!(found.unknown, 0, "{}", self.at);
    }

    fn open(&self, number: u64) -> SledStore {
        SledStore::open(&store_of(self.place, number))
            .unwrap_or_else(|why| panic!("{}: {why}", self.at))
    }

    /// Made, or not a store: never half of one.
    fn judge_made(&self) {
        let path = store_of(self.place, 0);
        match SledStore::open(&path) {
            Ok(store) => self.checks(&store),
            Err(OpenError::NotAStore { .. }) => {
                assert!(!self.said.is_done, "{}", self.at);
                let _ = fs::remove_dir_all(&path);
                drop(SledStore::create(&path).unwrap());
            }
            Err(other) => panic!("{}: {other}", self.at),
        }
    }

    /// What was acknowledged is there; the stream goes on behind it.
    fn judge_author(&self) {
        let path = store_of(self.place, 0);
        let told = self.said.acknowledged.last();
        let told = told.map_or(0, |last| last.sequence);
        // Were the store lost as well, this would keep its numbers from being
        // signed again.
        let noted = noted(&path, &table::stream(&self.author().stream));
        assert!(noted >= told, "{}: noted {noted}, told {told}", self.at);
        // Nor a second roster prepared in one round.
        let prepared = prepared::read(&path).unwrap_or_else(|why| panic!("{}: {why}", self.at));
        let round = prepared.map_or(0, |prepared| prepared.round);
        assert!(round >= self.said.prepared, "{}: round {round}", self.at);
        let mut held = Held::default();
        {
            let store = self.open(0);
            self.checks(&store);
            held.check_new(&store, self.author(), self.at);
            held.check_acknowledged(&store, self.author(), &self.said.acknowledged, self.at);
        }
        let author = Alive::start(self.place, 0);
        // Nothing that was left is gone back to.
        let epoch = author.epoch();
        assert!(epoch >= self.said.epoch, "{}: epoch {epoch}", self.at);
        let next = author.publish(100, 0);
        author.stop();
        assert_eq!(next.sequence, held.through() + 1, "{}", self.at);
        let store = self.open(0);
        self.checks(&store);
        held.check_new(&store, self.author(), self.at);
        held.check_acknowledged(&store, self.author(), &[next], self.at);
        held.check_whole(&store, self.author());
    }

    /// What the other said is durable is there; and what it holds is what the
    /// author holds at the same place.
    fn judge_taken(&self) {
        let taken = self.open(1);
        self.checks(&taken);
        let authored = self.open(0);
        let places = table::sequences(&self.author().stream);
        for (key, value) in taken.scan(&places, &places, usize::MAX).unwrap() {
            let here = authored.get(&key).unwrap();
            assert_eq!(here, Some(value), "{}: two at one place", self.at);
        }
        for bundle in &self.said.stored {
            let there = taken.get(&table::bundle(bundle)).unwrap();
            assert!(there.is_some(), "{}: {bundle} was said to be here", self.at);
        }
        assert_eq!(taken.scan(b"X", b"X", 1).unwrap(), [], "{}", self.at);
    }

    /// What was there or the copy, whole; and where it is the copy, the node knows
    /// that it must not go on where that one ends.
    fn judge_restored(&self) {
        let path = store_of(self.place, 0);
        let stream = table::stream(&self.author().stream);
        assert_eq!(noted(&path, &stream), BEFORE, "{}", self.at);
        let store = recovery::start(&path, &roster_of(self.place), wall_ms())
            .unwrap_or_else(|why| panic!("{}: {why}", self.at))
            .store;
        self.checks(&store);
        let log = store.scan(b"L", b"L", 10).unwrap().len() as u64;
        let ended = published::restored_through(&path).unwrap();
        assert!(log == 1 || log == BEFORE, "{}: {log} in the log", self.at);
        assert!(log == BEFORE || ended == Some(1), "{}: {ended:?}", self.at);
        assert!(!self.said.is_done || log == 1, "{}", self.at);
    }

    /// The next start ends what this one began; nothing of worth is gone.
    fn judge_recovered(&self) {
        let path = store_of(self.place, 0);
        let stream = table::stream(&self.author().stream);
        assert_eq!(noted(&path, &stream), BEFORE, "{}", self.at);
        let roster = roster_of(self.place);
        let store = recovery::start(&path, &roster, wall_ms())
            .unwrap_or_else(|why| panic!("{}: {why}", self.at))
            .store;
        self.checks(&store);
        let log: Vec<Entry> = store.scan(b"L", b"L", 10).unwrap();
        drop(store);
        let asides = recovery::asides(&path).unwrap();
        if self.template.begin == Begin::Damaged {
            assert_eq!(log.len() as u64, BEFORE - 1, "{}", self.at);
            assert_eq!(asides, [], "{}", self.at);
            return;
        }
        assert_eq!(log, [], "{}", self.at);
        let [aside] = asides.as_slice() else {
            panic!("{}: {asides:?}", self.at);
        };
        let begun = self.template.place.path();
        let before = if self.template.begin == Begin::Moved {
            begun.join("store-0.damaged-before")
        } else {
            store_of(begun, 0)
        };
        assert_eq!(
            fs::read(aside.path.join("sled/db")).unwrap(),
            fs::read(before.join("sled/db")).unwrap(),
            "{}: what was set aside is as it was",
            self.at
        );
    }
}

/// Kills one kind of work before its first write of each name. Which number a
/// write has differs by one or two from run to run, so a walk by numbers may
/// step over what is written once. Returns before what it was killed.
fn walk_names(
    role: Role,
    begin: Begin,
    listen: &[Listen],
    names: &BTreeSet<String>,
) -> BTreeSet<String> {
    let template = Template::of(begin, listen);
    names
        .iter()
        .filter(|name| {
            let place = template.copy();
            let said = run(role, place.path(), Until::Named(name));
            let at = format!("{role:?}, before {name:?}");
            Case {
                template: &template,
                place: place.path(),
                said: &said,
                roster: roster_of(place.path()),
                at: &at,
            }
            .judge();
            !said.is_done
        })
        .cloned()
        .collect()
}

/// Walks the writes of one kind of work to its end. Returns before what it was
/// killed.
fn walk(role: Role, begin: Begin, listen: &[Listen]) -> BTreeSet<String> {
    let worker = |first: u64| {
        let template = Template::of(begin, listen);
        let mut names = BTreeSet::new();
        let mut number = first;
        loop {
            assert!(number < WRITES_MAX, "{role:?} does not come to an end");
            let place = template.copy();
            let said = run(role, place.path(), Until::Write(number));
            let at = format!("{role:?}, before write {number}, {:?}", said.before);
            Case {
                template: &template,
                place: place.path(),
                said: &said,
                roster: roster_of(place.path()),
                at: &at,
            }
            .judge();
            if said.is_done {
                println!("{role:?} {begin:?}: {} writes", number - 1);
                return names;
            }
            names.extend(said.before);
            number += WORKERS;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=WORKERS)
            .map(|first| scope.spawn(move || worker(first)))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}

/// Every point that the code has, by its name.
fn points_of_the_code() -> BTreeSet<String> {
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/src");
    let mut places = vec![node.join("disk.rs"), node.join("disk")];
    let mut names = BTreeSet::new();
    while let Some(place) = places.pop() {
        if place.is_dir() {
            let entries = fs::read_dir(place).unwrap();
            places.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(place).unwrap();
        let calls = text.split("point::before(\"").skip(1);
        names.extend(calls.map(|call| call.split('"').next().unwrap().to_owned()));
    }
    names
}

// A release build has no points.
#[cfg(debug_assertions)]
#[test]
fn attack_37_killed_before_each_of_its_writes_in_turn() {
    let nowhere = [Listen::Nowhere, Listen::Nowhere];
    let works = [
        (Role::Make, Begin::Nothing, nowhere),
        (Role::Publish, Begin::Empty, nowhere),
        (Role::Open, Begin::Damaged, nowhere),
        (Role::Open, Begin::Torn, nowhere),
        (Role::Open, Begin::Moved, nowhere),
        (Role::Exchange, Begin::Empty, [Listen::Tcp, Listen::Tcp]),
        (Role::Govern, Begin::Empty, nowhere),
        (Role::Restore, Begin::Copied, nowhere),
    ];
    let mut killed_before = BTreeSet::new();
    for (role, begin, listen) in &works {
        killed_before.extend(walk(*role, *begin, listen));
    }
    let points = points_of_the_code();
    for (role, begin, listen) in &works {
        let stepped_over: BTreeSet<String> = points.difference(&killed_before).cloned().collect();
        killed_before.extend(walk_names(*role, *begin, listen, &stepped_over));
    }
    assert_eq!(killed_before, points);
}

/// Kills at one byte of the log after the other, and judges. Returns how much
/// each had acknowledged that did not come to its end.
fn cut_at(template: &Template, cuts: &[Until]) -> Vec<usize> {
    let cut = |until: &Until| {
        let place = template.copy();
        let said = run(Role::PublishSmall, place.path(), *until);
        let at = format!("killed at {until:?}");
        let case = Case {
            template,
            place: place.path(),
            said: &said,
            roster: roster_of(place.path()),
            at: &at,
        };
        case.judge();
        (!said.is_done).then_some(said.acknowledged.len())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let own = (0..).zip(cuts);
                let own = own.filter(move |(turn, _)| turn % WORKERS == worker);
                scope.spawn(move || own.map(|(_, until)| cut(until)).collect::<Vec<_>>())
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .flatten()
            .collect()
    })
}

#[test]
fn attack_37_killed_in_the_middle_of_what_its_database_writes() {
    let template = Template::of(Begin::Empty, &[Listen::Nowhere, Listen::Nowhere]);
    let log = |place: &Path| fs::read(store_of(place, 0).join("sled/db")).unwrap();
    let whole = template.copy();
    assert!(run(Role::PublishSmall, whole.path(), Until::Done).is_done);
    // Opening fills the log with zeros behind `first`; what is not zero up to
    // `last` was written by the work.
    let (before, after) = (log(template.place.path()), log(whole.path()));
    let first = before.len() as u64;
    let last = after.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    println!("the work writes the log from byte {first} to {last}");
    let spread = |count: u64, end: u64| {
        let step = move |turn: u64| first + (end - first) * turn / count;
        (0..count).map(step)
    };
    let opening = spread(CUTS_OPENING, after.len() as u64).map(Until::Byte);
    let working = spread(CUTS, last).map(Until::ByteOnceReady);
    let cuts: Vec<Until> = opening.chain(working).collect();
    let acknowledged = cut_at(&template, &cuts);
    // How much is written differs from run to run, so the last cuts
    // may lie behind its end.
    assert!(acknowledged.len() * 2 >= cuts.len(), "{acknowledged:?}");
    // Before each of the publications, and not all at one place.
    let places: BTreeSet<usize> = acknowledged.into_iter().collect();
    assert!(places.is_superset(&(0..4).collect()), "{places:?}");
}
