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
//! What stands in the file, `published/note.rs` says. A mark in it ends the life in
//! which a directory was put back from a copy: what this node published since the
//! copy was made is known to others alone, if at all.

mod note;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use watchfire_protocol::gate::Slot;
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::store::{Batch, Entry, Store, StoreError};
use watchfire_protocol::table::{self, StreamRow, Through};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::StreamId;

use super::{SledStore, chain, held, point, prepared};
use crate::keystore::beside;
use note::{Noted, RECORD_BYTES, Reading, record, write_anew};

/// What follows the store's name.
const SUFFIX: &str = ".published";

/// Records after which the file is written anew with the newest of each
/// stream: 10,000 × 106 bytes are about one megabyte.
const RECORDS_MAX: usize = 10_000;

/// Where the note for a store is: beside it, under its name, so that it stays
/// when the store is moved away.
pub fn path_for(store: &Path) -> PathBuf {
    beside(store, SUFFIX)
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
        prepared::keep(&self.path, batch).map_err(|why| StoreError::Failed {
            operation: "keep what this node prepared",
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
