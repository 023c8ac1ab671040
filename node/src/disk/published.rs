//! How far this node's own streams went, kept beside the store and not in it.
//!
//! An author that has lost its newest envelopes and does not know it would
//! sign others under the same numbers, which is what an attack looks like, and
//! the others would stop believing both. So each commit that lengthens an own
//! stream is noted here, durably, before anything of it is let out
//! (`Witnessed`); and while the store holds less than is noted, the node
//! publishes nothing (`OwnStreams::check`), until peers have brought its own
//! stream back.
//!
//! This is for the node that knows by itself what is missing, before it has
//! heard anybody; it is blind where the whole directory, note and store, was put
//! back from an old copy or made anew. That case is the engine's, which refuses
//! by what peers show (`PublishRefusal::Behind`: a gap, or more members who list
//! a longer own stream than may lie) and is blind until they are connected. The
//! engine refuses too while an own envelope is damaged on the disk: the store
//! holds as much as is noted then, and cannot read all of it.
//!
//! ```text
//! store.published   a first record that says what this is, then one for each
//!                   time a stream grew, only ever appended
//!   1 + 8 bytes     schema and checksum, as a value of the store has them
//!   57 bytes        key of the stream's end: "F", node, incarnation, tag
//!   8 bytes         sequence, big end first
//!   32 bytes        id of the envelope there
//! ```
//!
//! A record that is cut off was never vouched for. One that does not carry its
//! checksum makes the file unreadable: then a sound store says how far the
//! streams went; and where the store was lost as well, nobody knows, which is
//! noted as a mark in the place of a stream, and a person can end that, or a new
//! life of the node.
//!
//! A second mark says that the whole directory was put back from a copy
//! (`watchfire restore`): what this node published since the copy was made is
//! known to others alone, if at all, so it publishes nothing more in that life.
//! Only a later life ends that, which its root begins.
//!
//! ```text
//!   mark            1 byte: "U" unknown, "R" restored; 8 bytes: the life up to
//!                   which it counts, big end first; zeros to the end
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use watchfire_protocol::gate::Slot;
use watchfire_protocol::ids::{EnvelopeId, NodeId};
use watchfire_protocol::store::{Batch, Entry, Store, StoreError};
use watchfire_protocol::table::{self, StreamRow, Through};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::StreamId;

use super::durable::sync;
use super::{SledStore, chain, held, point, value};

/// What follows the store's name.
const SUFFIX: &str = ".published";

/// What the checksum of a record is bound to.
const RECORD_KEY: &[u8] = b"published";

/// Key of a stream's end: table, node, incarnation, tag.
const STREAM_KEY_BYTES: usize = 1 + 32 + 8 + 16;

/// Schema, checksum, stream, sequence, head.
const RECORD_BYTES: usize = 1 + 8 + STREAM_KEY_BYTES + 8 + 32;

/// Records after which the file is written anew with the newest of each
/// stream: 10,000 × 106 bytes are about one megabyte.
const RECORDS_MAX: usize = 10_000;

/// What is read of the file at most: twice what is written, and room for the
/// streams of a node, which the protocol bounds.
const FILE_BYTES_MAX: u64 = 2 * 1_024 * 1_024;

/// Where the note for a store is: beside it, under its name, so that it stays
/// when the store is moved away.
pub fn path_for(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(SUFFIX);
    store.with_file_name(name)
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Noted {
    streams: BTreeMap<StreamId, Through>,
    /// Nobody knows how far they went, up to this life.
    unknown_through: Option<u64>,
    /// Put back from a copy in this life or an earlier one.
    restored_through: Option<u64>,
    records: usize,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    End(StreamId, Through),
    Unknown(u64),
    Restored(u64),
}

/// How a mark begins that says "unknown".
const UNKNOWN: u8 = b'U';

/// How a mark begins that says "restored".
const RESTORED: u8 = b'R';

/// What reading the file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reading {
    Missing,
    Sound(Noted),
    /// With what could be read all the same.
    Damaged(Noted),
}

impl Reading {
    fn of(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Self::Missing),
            Err(cause) => return Err(cause),
        };
        let mut noted = Noted::default();
        let mut is_sound = true;
        let (records, _cut_off) = bytes.as_chunks::<RECORD_BYTES>();
        let mut records = records.iter();
        // An empty file is not one that says "nothing was published".
        if records
            .next()
            .is_none_or(|first| first.as_slice() != first_record())
        {
            is_sound = false;
        }
        for record in records {
            noted.records += 1;
            match value::open(RECORD_KEY, record).and_then(read_record) {
                Some(Record::End(stream, through)) => noted.note(stream, through),
                Some(Record::Unknown(life)) => {
                    noted.unknown_through = noted.unknown_through.max(Some(life));
                }
                Some(Record::Restored(life)) => {
                    noted.restored_through = noted.restored_through.max(Some(life));
                }
                // Space that a power cut left unwritten was never vouched for.
                None if record.iter().all(|byte| *byte == 0) => {}
                None => is_sound = false,
            }
        }
        Ok(if is_sound {
            Self::Sound(noted)
        } else {
            Self::Damaged(noted)
        })
    }

    fn into_noted(self) -> Noted {
        match self {
            Self::Missing => Noted::default(),
            Self::Sound(noted) | Self::Damaged(noted) => noted,
        }
    }
}

impl Noted {
    fn note(&mut self, stream: StreamId, through: Through) {
        let known = self.streams.entry(stream).or_insert(through);
        if through.sequence > known.sequence {
            *known = through;
        }
    }

    /// Adds what another note says.
    fn add(&mut self, other: Self) {
        for (stream, through) in other.streams {
            self.note(stream, through);
        }
        self.unknown_through = self.unknown_through.max(other.unknown_through);
        self.restored_through = self.restored_through.max(other.restored_through);
    }
}

fn read_record(bytes: &[u8]) -> Option<Record> {
    if let [kind @ (UNKNOWN | RESTORED), rest @ ..] = bytes {
        let (life, zeros) = rest.split_first_chunk::<8>()?;
        let life = u64::from_be_bytes(*life);
        return zeros.iter().all(|byte| *byte == 0).then_some(match *kind {
            UNKNOWN => Record::Unknown(life),
            _ => Record::Restored(life),
        });
    }
    let (stream, rest) = bytes.split_first_chunk::<STREAM_KEY_BYTES>()?;
    let (sequence, head) = rest.split_first_chunk::<8>()?;
    // As marks were written before they named a life.
    if stream.iter().all(|byte| *byte == 0) {
        return Some(Record::Unknown(u64::MAX));
    }
    let (stream, _) = table::stream_of(stream)?;
    let through = Through {
        sequence: u64::from_be_bytes(*sequence),
        head: EnvelopeId::from_bytes(head.try_into().ok()?),
    };
    Some(Record::End(stream, through))
}

fn record(stream: &StreamId, through: &Through) -> Vec<u8> {
    let mut bytes = table::stream(stream);
    bytes.extend(through.sequence.to_be_bytes());
    bytes.extend(through.head.as_bytes());
    value::seal(RECORD_KEY, &bytes)
}

/// What the file begins with.
fn first_record() -> Vec<u8> {
    let mut bytes = b"watchfire published 1".to_vec();
    bytes.resize(STREAM_KEY_BYTES + 8 + 32, 0);
    value::seal(RECORD_KEY, &bytes)
}

fn mark(kind: u8, life: u64) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(life.to_be_bytes());
    bytes.resize(STREAM_KEY_BYTES + 8 + 32, 0);
    value::seal(RECORD_KEY, &bytes)
}

/// Notes, before a store is given up in whole or in part, that nobody knows
/// how far the own streams went, unless the file says it. Durable.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn before_loss(store: &Path) -> io::Result<()> {
    let path = path_for(store);
    let noted = match Reading::of(&path)? {
        Reading::Sound(_) => return Ok(()),
        Reading::Missing => Noted::default(),
        Reading::Damaged(noted) => noted,
    };
    let noted = Noted {
        // Which life it is, the next start knows.
        unknown_through: Some(u64::MAX),
        ..noted
    };
    write_anew(&path, &noted).map(drop)
}

/// Notes, before a store is put back from a copy, that `node` publishes nothing
/// more up to the life `incarnation`, and up to the latest that either note knows
/// of. What the note beside the copy says is added to what the one beside the
/// store says. Durable.
///
/// # Errors
/// When a file cannot be read or written.
pub fn before_restore(
    store: &Path,
    copy: &Path,
    node: &NodeId,
    incarnation: u64,
) -> io::Result<u64> {
    let path = path_for(store);
    let mut noted = Reading::of(&path)?.into_noted();
    noted.add(Reading::of(&path_for(copy))?.into_noted());
    let noted_last = noted
        .streams
        .keys()
        .filter(|stream| stream.node == *node)
        .map(|stream| stream.incarnation)
        .max();
    let life = noted_last.map_or(incarnation, |last| last.max(incarnation));
    let life = noted.restored_through.map_or(life, |held| held.max(life));
    noted.restored_through = Some(life);
    // That mark says more.
    noted.unknown_through = None;
    write_anew(&path, &noted).map(|_| life)
}

/// The latest life in which the node of this store must not publish any more,
/// since it was put back from a copy; nothing where it was not.
///
/// # Errors
/// When the file cannot be read.
pub fn restored_through(store: &Path) -> io::Result<Option<u64>> {
    Ok(Reading::of(&path_for(store))?.into_noted().restored_through)
}

/// Takes the own streams as the store has them for whole, on a person's word
/// that no peer holds more. Returns how many streams the note was about.
///
/// # Errors
/// When store or file cannot be read or written.
pub fn accept(store: &SledStore, path: &Path) -> Result<usize, StoreError> {
    let noted = Reading::of(&path_for(path)).map_err(failed("read"))?;
    let noted = noted.into_noted();
    let mut accepted = Noted {
        // Nobody's word ends this: what others hold is not known here.
        restored_through: noted.restored_through,
        ..Noted::default()
    };
    let nodes: std::collections::BTreeSet<NodeId> =
        noted.streams.keys().map(|stream| stream.node).collect();
    for node in nodes {
        for (stream, through) in ends_of(store, &node)? {
            accepted.note(stream, through);
        }
    }
    write_anew(&path_for(path), &accepted).map_err(failed("write"))?;
    Ok(accepted.streams.len())
}

/// Writes the file anew in one piece, and returns it open for more.
fn write_anew(path: &Path, noted: &Noted) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let mut bytes = first_record();
    for (stream, through) in &noted.streams {
        bytes.extend(record(stream, through));
    }
    bytes.extend(
        noted
            .unknown_through
            .map(|life| mark(UNKNOWN, life))
            .unwrap_or_default(),
    );
    bytes.extend(
        noted
            .restored_through
            .map(|life| mark(RESTORED, life))
            .unwrap_or_default(),
    );
    point::before("make the note anew");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    point::before("write the note anew");
    file.write_all(&bytes)?;
    point::before("sync the note made anew");
    file.sync_all()?;
    point::before("put the note made anew in its place");
    fs::rename(&fresh, path)?;
    if let Some(parent) = path.parent() {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        sync(parent)?;
    }
    Ok(file)
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |cause| StoreError::Failed {
        operation: match operation {
            "read" => "read how far this node's own stream went",
            _ => "note how far this node's own stream went",
        },
        cause: cause.to_string(),
    }
}

/// Where a node's own streams end in the store.
pub(crate) fn ends_of<S: Store>(
    store: &S,
    node: &NodeId,
) -> Result<Vec<(StreamId, Through)>, StoreError> {
    let prefix = [table::STREAMS, node.as_bytes()].concat();
    let limit = watchfire_protocol::limits::STREAMS_PER_NODE_MAX;
    let mut found = Vec::new();
    let mut from = prefix.clone();
    loop {
        let page = store.scan(&prefix, &from, limit)?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        from.clone_from(last);
        from.push(0);
        for (key, bytes) in page {
            let damaged = || StoreError::Damaged {
                key: hex::encode(&key),
            };
            let (stream, _) = table::stream_of(&key).ok_or_else(damaged)?;
            let row: StreamRow = codec::decode(&bytes, 128).map_err(|_| damaged())?;
            found.extend(row.through.map(|through| (stream, through)));
        }
    }
}

/// Where the streams of one life end in the store.
fn held_in<S: Store>(
    store: &S,
    node: &NodeId,
    life: u64,
) -> Result<BTreeMap<StreamId, Through>, StoreError> {
    let mut held: BTreeMap<StreamId, Through> = ends_of(store, node)?.into_iter().collect();
    held.retain(|stream, _| stream.incarnation == life);
    Ok(held)
}

/// Why a node does not publish yet: its own note says that it published more
/// than it holds, whoever is connected. What peers alone can show is refused as
/// `PublishRefusal::Behind` of the engine; the module says why both are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("recovering: {}", progress(*held, *published, *life_over))]
pub struct Recovering {
    /// Envelopes of its own that it holds without a gap.
    pub held: u64,
    /// Envelopes that it is known to have published; nothing where that is
    /// not known, which only a person can end.
    pub published: Option<u64>,
    /// Why it publishes nothing more in this life, however much of its own stream
    /// is here.
    pub life_over: Option<LifeOver>,
}

/// Why a node needs a new life before it publishes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeOver {
    /// It was put back from a copy.
    Restored,
    /// It is proven that it signed two envelopes for one place: the others show
    /// nothing that it adds.
    Forked,
}

impl LifeOver {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Forked => "forked",
        }
    }

    /// In a sentence.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Restored => "this node was put back from a copy",
            Self::Forked => {
                "it is proven that this node signed two envelopes for one place, as two copies of one node do, and the others show nothing that it adds"
            }
        }
    }
}

fn progress(held: u64, published: Option<u64>, life_over: Option<LifeOver>) -> String {
    if let Some(why) = life_over {
        return format!(
            "{}, so it publishes again only in a new life; connect it to the other members, then ask the root key for one with \"watchfire key request --new-incarnation\"",
            why.about()
        );
    }
    let how_far = match published {
        Some(published) => format!("{held} of {published} envelopes are here"),
        None => format!(
            "{held} envelopes are here, and the note of how many there were, store.published, was lost as well"
        ),
    };
    format!(
        "this node's own stream is being fetched back from peers, and {how_far}; connect it to the other members and try again when \"watchfire status\" no longer says so"
    )
}

/// Whether a node's own streams are whole, and the file that says how far
/// they went.
#[derive(Debug)]
pub(crate) struct OwnStreams {
    node: NodeId,
    /// In which life the node is.
    incarnation: AtomicU64,
    /// What must be held before anything is published.
    due: BTreeMap<StreamId, Through>,
    unknown_through: Option<u64>,
    restored_through: Option<u64>,
    /// One more than the life in which everything was found here; 0 for none.
    whole_in: AtomicU64,
    file: Mutex<NoteFile>,
}

#[derive(Debug)]
struct NoteFile {
    path: PathBuf,
    open: File,
    noted: Noted,
    /// What a flush is to note.
    pending: BTreeMap<StreamId, Through>,
}

impl OwnStreams {
    /// Reads the note and compares it with the store, whose own streams may
    /// be longer after a crash between flush and note.
    ///
    /// # Errors
    /// When store or file cannot be read or written.
    pub(crate) fn open(
        store: &SledStore,
        path: &Path,
        node: NodeId,
        incarnation: u64,
    ) -> Result<Self, StoreError> {
        let path = path_for(path);
        let mut noted = Reading::of(&path).map_err(failed("read"))?.into_noted();
        for (stream, through) in ends_of(store, &node)? {
            noted.note(stream, through);
        }
        // It was lost in this life or before: a later one is not concerned.
        noted.unknown_through = noted.unknown_through.map(|life| life.min(incarnation));
        let open = write_anew(&path, &noted).map_err(failed("write"))?;
        noted.records = noted.streams.len();
        Ok(Self {
            node,
            incarnation: AtomicU64::new(incarnation),
            due: noted
                .streams
                .iter()
                .filter(|(stream, _)| stream.node == node)
                .map(|(stream, through)| (*stream, *through))
                .collect(),
            unknown_through: noted.unknown_through,
            restored_through: noted.restored_through,
            whole_in: AtomicU64::new(0),
            file: Mutex::new(NoteFile {
                path,
                open,
                noted,
                pending: BTreeMap::new(),
            }),
        })
    }

    /// The node is in this life from now on, if it is a later one.
    pub(crate) fn lives_in(&self, incarnation: u64) {
        self.incarnation.fetch_max(incarnation, Ordering::AcqRel);
    }

    /// Whether the node may publish.
    ///
    /// # Errors
    /// The inner one while it may not; the outer one when the store fails.
    pub(crate) fn check<S: Store>(&self, store: &S) -> Result<Result<(), Recovering>, StoreError> {
        let life = self.incarnation.load(Ordering::Acquire);
        if store
            .get(&table::notice(&Slot::Fork(self.node, life)))?
            .is_some()
        {
            return Ok(Err(self.recovering(store, life, Some(LifeOver::Forked))?));
        }
        // Streams only grow while a node runs.
        if self.whole_in.load(Ordering::Acquire) == life.saturating_add(1) {
            return Ok(Ok(()));
        }
        let is_restored = self.restored_through.is_some_and(|last| life <= last);
        let over = is_restored.then_some(LifeOver::Restored);
        let recovering = self.recovering(store, life, over)?;
        let is_whole = recovering.published.is_some() && {
            let held = held_in(store, &self.node, life)?;
            self.due_in(life)
                .all(|(stream, due)| held.get(stream).map_or(0, |end| end.sequence) >= due.sequence)
        };
        if is_whole && over.is_none() {
            self.whole_in
                .store(life.saturating_add(1), Ordering::Release);
            return Ok(Ok(()));
        }
        Ok(Err(recovering))
    }

    /// What must be held of a life before anything is published in it.
    fn due_in(&self, life: u64) -> impl Iterator<Item = (&StreamId, &Through)> {
        self.due
            .iter()
            .filter(move |(stream, _)| stream.incarnation == life)
    }

    fn recovering<S: Store>(
        &self,
        store: &S,
        life: u64,
        life_over: Option<LifeOver>,
    ) -> Result<Recovering, StoreError> {
        let is_unknown = self.unknown_through.is_some_and(|last| life <= last);
        let published = self.due_in(life).map(|(_, due)| due.sequence).sum();
        let held = held_in(store, &self.node, life)?;
        Ok(Recovering {
            held: held.values().map(|end| end.sequence).sum(),
            published: (!is_unknown).then_some(published),
            life_over,
        })
    }

    /// Looks for longer own streams in a batch that was applied.
    fn see(&self, batch: &Batch) {
        let prefix = [table::STREAMS, self.node.as_bytes()].concat();
        let mut file = held(&self.file);
        for (key, bytes) in batch.iter() {
            if !key.starts_with(&prefix) {
                continue;
            }
            let row = bytes.and_then(|bytes| codec::decode::<StreamRow>(bytes, 128).ok());
            let end = row.and_then(|row| row.through);
            if let (Some((stream, _)), Some(end)) = (table::stream_of(key), end) {
                let noted = file.noted.streams.get(&stream);
                if noted.is_none_or(|noted| end.sequence > noted.sequence) {
                    file.pending.insert(stream, end);
                }
            }
        }
    }

    /// Notes durably what [`see`](Self::see) saw.
    fn note(&self) -> io::Result<()> {
        let mut file = held(&self.file);
        if file.pending.is_empty() {
            return Ok(());
        }
        let pending = core::mem::take(&mut file.pending);
        let mut bytes = Vec::with_capacity(pending.len() * RECORD_BYTES);
        for (stream, end) in pending {
            bytes.extend(record(&stream, &end));
            file.noted.records += 1;
            file.noted.note(stream, end);
        }
        if file.noted.records > RECORDS_MAX {
            file.open = write_anew(&file.path, &file.noted)?;
            file.noted.records = file.noted.streams.len();
            return Ok(());
        }
        point::before("write the note");
        file.open.write_all(&bytes)?;
        point::before("sync the note");
        file.open.sync_data()
    }
}

/// A store whose flush also notes how far the own streams went, and that keeps
/// the roster chain in files of its own: what is reported durable after it may
/// be let out.
#[derive(Debug)]
pub(crate) struct Witnessed {
    store: Arc<SledStore>,
    own: Arc<OwnStreams>,
    /// Where the store is: the roster chain is kept beside it.
    path: PathBuf,
}

impl Witnessed {
    pub(crate) const fn new(store: Arc<SledStore>, own: Arc<OwnStreams>, path: PathBuf) -> Self {
        Self { store, own, path }
    }
}

impl Store for Witnessed {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.scan(prefix, from, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        chain::keep(&self.path, batch).map_err(|why| StoreError::Failed {
            operation: "keep the roster chain",
            cause: why.to_string(),
        })?;
        self.store.apply(batch)?;
        self.own.see(batch);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()?;
        self.own.note().map_err(failed("write"))
    }
}

#[cfg(test)]
mod tests;
