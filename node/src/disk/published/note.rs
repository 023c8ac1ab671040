//! The file `store.published`: what stands in it, and how it is read and written.
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
use std::path::Path;

use watchfire_protocol::ids::EnvelopeId;
use watchfire_protocol::table::{self, Through};
use watchfire_protocol::wire::exchange::StreamId;

use super::super::durable::sync;
use super::super::{point, value};

/// What the checksum of a record is bound to.
const RECORD_KEY: &[u8] = b"published";

/// Key of a stream's end: table, node, incarnation, tag.
const STREAM_KEY_BYTES: usize = 1 + 32 + 8 + 16;

/// Schema, checksum, stream, sequence, head.
pub(super) const RECORD_BYTES: usize = 1 + 8 + STREAM_KEY_BYTES + 8 + 32;

/// What is read of the file at most: twice what is written, and room for the
/// streams of a node, which the protocol bounds.
const FILE_BYTES_MAX: u64 = 2 * 1_024 * 1_024;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) streams: BTreeMap<StreamId, Through>,
    /// Nobody knows how far they went, up to this life.
    pub(super) unknown_through: Option<u64>,
    /// Put back from a copy in this life or an earlier one.
    pub(super) restored_through: Option<u64>,
    pub(super) records: usize,
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
pub(super) enum Reading {
    Missing,
    Sound(Noted),
    /// With what could be read all the same.
    Damaged(Noted),
}

impl Reading {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
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

    pub(super) fn into_noted(self) -> Noted {
        match self {
            Self::Missing => Noted::default(),
            Self::Sound(noted) | Self::Damaged(noted) => noted,
        }
    }
}

impl Noted {
    pub(super) fn note(&mut self, stream: StreamId, through: Through) {
        let known = self.streams.entry(stream).or_insert(through);
        if through.sequence > known.sequence {
            *known = through;
        }
    }

    /// Adds what another note says.
    pub(super) fn add(&mut self, other: Self) {
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

pub(super) fn record(stream: &StreamId, through: &Through) -> Vec<u8> {
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

/// Writes the file anew in one piece, and returns it open for more.
pub(super) fn write_anew(path: &Path, noted: &Noted) -> io::Result<File> {
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
