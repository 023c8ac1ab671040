//! Opening a bundle: from the payload as it travelled to objects that can be
//! searched. And the reverse, for its author.
//!
//! Pure and dear: it decodes up to 192 MiB. It runs off the engine's thread.

use crate::gate::{Content, Frame, Refusal};
use crate::ids::BundleId;
use crate::limits::{OBJECTS_MAX, PAYLOAD_BYTES_MAX, PLAIN_BYTES_MAX, ZSTD_WINDOW_BYTES_MAX};
use crate::marking::Marking;
use crate::stix::document::Document;
use crate::stix::index::Entry;
use crate::stix::markings::{MarkingRefusal, ObjectMarking, effective_of, survey};
use crate::table::Row;
use crate::wire::bundle::{Bundle, Encoding, Media, Part, PermissibleActions};
use crate::wire::{List, Text};
use core::fmt;
use std::io::Read as _;
use watchfire_crypto::sha256;

/// What opening a bundle found. Made only by [`open`] and [`Draft::prepare`],
/// so an index entry always comes from a payload that was checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    rows: Vec<Row>,
    keys: Vec<(Vec<u8>, u32)>,
    not_indexed: u64,
}

impl Opened {
    /// The objects, in the order of the payload.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Every value key, and the number of the object it belongs to.
    pub fn keys(&self) -> &[(Vec<u8>, u32)] {
        &self.keys
    }

    /// How many objects hold something that is kept whole and not indexed.
    pub const fn not_indexed(&self) -> u64 {
        self.not_indexed
    }
}

/// Values may be confidential, so only counts are printed.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Opened({} objects, {} values)",
            self.rows.len(),
            self.keys.len()
        )
    }
}

/// Why a bundle is not opened. It stays in the log as evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefusal {
    /// It no longer comes through the gate.
    #[error("it no longer comes through the gate: {0}")]
    Gate(Refusal),
    /// A newer version may open it.
    #[error("needs upgrade: this version does not know what it holds")]
    NeedsUpgrade,
    /// Its payload is not here.
    #[error("its payload is not here")]
    PayloadAbsent,
    /// The payload does not decode to what was signed.
    #[error("its payload does not decode: {why}")]
    Encoding {
        /// How.
        why: String,
    },
    /// A part is not the one that was signed.
    #[error("its payload is not what its author signed")]
    Digest,
    /// The STIX is not readable.
    #[error("its STIX cannot be read: {why}")]
    Stix {
        /// How.
        why: String,
    },
    /// The markings inside contradict the signed one.
    #[error("it is signed {signed}, and what it holds says otherwise: {why}")]
    Marking {
        /// What the author signed.
        signed: Marking,
        /// What was found.
        why: String,
    },
}

impl OpenRefusal {
    /// The kind of refusal, for logs: it quotes nothing of the contents.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Gate(_) => "gate",
            Self::NeedsUpgrade => "needs-upgrade",
            Self::PayloadAbsent => "payload-absent",
            Self::Encoding { .. } => "encoding",
            Self::Digest => "digest",
            Self::Stix { .. } => "stix",
            Self::Marking { .. } => "marking",
        }
    }
}

/// Opens the bundle in a frame. `pulled` is its payload where that did not
/// travel in the frame.
///
/// # Errors
/// When the payload is not what was signed, or contradicts its marking.
pub fn open(frame: &Frame, pulled: Option<&[u8]>) -> Result<Opened, OpenRefusal> {
    let bundle = match frame.content() {
        Content::Bundle(bundle) => bundle.value(),
        Content::Carried { .. } | Content::Sealed { .. } => return Err(OpenRefusal::NeedsUpgrade),
    };
    let payload = frame
        .payload()
        .or(pulled)
        .ok_or(OpenRefusal::PayloadAbsent)?;
    let plain = plain(bundle, payload)?;
    let stix = first_part(bundle, &plain).ok_or(OpenRefusal::Digest)?;
    index(stix, Some(bundle.marking))
        .map(|(opened, _)| opened)
        .map_err(|error| match error {
            IndexError::Empty => OpenRefusal::Stix {
                why: "it holds no object".to_owned(),
            },
            IndexError::Stix(why) => OpenRefusal::Stix { why },
            IndexError::Marking(why) => OpenRefusal::Marking {
                signed: bundle.marking,
                why: why.to_string(),
            },
        })
}

/// Decodes a payload and checks every part of it against its signed digest.
///
/// # Errors
/// When it is not what was signed.
pub fn plain(bundle: &Bundle, payload: &[u8]) -> Result<Vec<u8>, OpenRefusal> {
    let length = usize::try_from(bundle.plain_length()).map_err(|_| OpenRefusal::Digest)?;
    let plain = match bundle.encoding {
        Encoding::Identity => payload.to_vec(),
        Encoding::Zstd => decode_zstd(payload, length)?,
    };
    let mut rest = plain.as_slice();
    for part in bundle.parts.iter() {
        let split = usize::try_from(part.length)
            .ok()
            .and_then(|length| rest.split_at_checked(length));
        let (bytes, after) = split.ok_or(OpenRefusal::Digest)?;
        if sha256(bytes) != part.digest {
            return Err(OpenRefusal::Digest);
        }
        rest = after;
    }
    if rest.is_empty() {
        Ok(plain)
    } else {
        Err(OpenRefusal::Digest)
    }
}

/// The STIX within a plain payload.
pub fn first_part<'a>(bundle: &Bundle, plain: &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(bundle.parts.iter().next()?.length).ok()?;
    plain.split_at_checked(length).map(|(stix, _)| stix)
}

/// One zstd frame that gives exactly `length` bytes. Memory stays at the
/// window and the output that was signed, whatever the frame claims.
fn decode_zstd(payload: &[u8], length: usize) -> Result<Vec<u8>, OpenRefusal> {
    let wrong = |why: String| OpenRefusal::Encoding { why };
    let header = FrameHeader::of(payload).ok_or_else(|| wrong("it is no zstd frame".to_owned()))?;
    if header.has_checksum || header.has_reserved {
        // Decoders differ about a wrong checksum and about this bit; without
        // them, nobody can open what another refuses.
        return Err(wrong(
            "the zstd frame has a checksum or its reserved bit".to_owned(),
        ));
    }
    let mut decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(
        payload,
        ZSTD_WINDOW_BYTES_MAX,
    )
    .map_err(|error| wrong(error.to_string()))?;
    let stated = usize::try_from(decoder.decoder.content_size()).ok();
    if header.states_size && stated != Some(length) {
        return Err(wrong(
            "the zstd frame states another length than was signed".to_owned(),
        ));
    }
    // A frame can claim a length it does not have: what it gives is kept, no more.
    let mut plain = Vec::with_capacity(length.saturating_add(1).min(PLAIN_AHEAD_BYTES));
    // One byte more than was signed, so that a longer one is seen and stopped.
    let limit = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .by_ref()
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|error| wrong(error.to_string()))?;
    if plain.len() != length {
        return Err(wrong(
            "its length is not the one that was signed".to_owned(),
        ));
    }
    if !decoder.into_inner().is_empty() {
        return Err(wrong("something follows the zstd frame".to_owned()));
    }
    Ok(plain)
}

/// Room made for a plain payload before any of it is there.
const PLAIN_AHEAD_BYTES: usize = 64 * 1024;

/// What the first byte of a frame header says (RFC 8878, section 3.1.1.1.1).
struct FrameHeader {
    states_size: bool,
    has_reserved: bool,
    has_checksum: bool,
}

impl FrameHeader {
    fn of(payload: &[u8]) -> Option<Self> {
        const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
        let (magic, rest) = payload.split_first_chunk::<4>()?;
        let descriptor = rest.first().filter(|_| *magic == MAGIC)?;
        let (size_flag, single_segment) = (descriptor >> 6, descriptor & 0x20 != 0);
        Some(Self {
            states_size: size_flag != 0 || single_segment,
            has_reserved: descriptor & 0x08 != 0,
            has_checksum: descriptor & 0x04 != 0,
        })
    }
}

enum IndexError {
    Empty,
    Stix(String),
    Marking(MarkingRefusal),
}

/// Reads STIX, computes its marking, and lists what can be searched.
fn index(stix: &[u8], signed: Option<Marking>) -> Result<(Opened, Marking), IndexError> {
    let document = Document::read(stix).map_err(|error| IndexError::Stix(error.to_string()))?;
    let survey = survey(&document);
    let marking = effective_of(&document, &survey, signed).map_err(IndexError::Marking)?;
    let entries = document
        .entries(&survey)
        .map_err(|error| IndexError::Stix(error.to_string()))?;
    if entries.is_empty() {
        return Err(IndexError::Empty);
    }
    if entries.len() > OBJECTS_MAX {
        return Err(IndexError::Stix(format!("more than {OBJECTS_MAX} objects")));
    }
    let mut opened = Opened {
        rows: Vec::with_capacity(entries.len()),
        keys: Vec::new(),
        not_indexed: 0,
    };
    for entry in entries {
        let object = u32::try_from(opened.rows.len()).unwrap_or(u32::MAX);
        opened.not_indexed += u64::from(entry.not_indexed.is_some());
        opened
            .rows
            .push(row(&entry, marking).map_err(IndexError::Stix)?);
        opened
            .keys
            .extend(entry.keys.into_iter().map(|key| (key, object)));
    }
    Ok((opened, marking))
}

fn row(entry: &Entry, of_bundle: Marking) -> Result<Row, String> {
    let long = |error: crate::wire::TooLong| error.to_string();
    let marking = match &entry.marking {
        ObjectMarking::Marked(marking) => *marking,
        // What nothing marks goes as far as the bundle that brought it.
        ObjectMarking::Unmarked => of_bundle,
        ObjectMarking::Closed(_) => Marking::Red,
    };
    Ok(Row {
        id: Text::new(entry.id.as_str()).map_err(long)?,
        kind: Text::new(short(&entry.kind, 64)).map_err(long)?,
        name: Text::new(short(&entry.name, 256)).map_err(long)?,
        modified_ms: entry
            .modified
            .map_or(0, crate::stix::time::Timestamp::unix_ms),
        marking,
        offset: entry.offset,
        length: entry.len,
    })
}

/// At most so many bytes, cut between characters.
fn short(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.split_at_checked(end).map_or("", |(start, _)| start)
}

/// What a person wants of a publication.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Marks what carries no marking.
    pub flag: Option<Marking>,
    /// For how long it is valid, in milliseconds.
    pub valid_ms: u64,
    /// Drill data.
    pub exercise: bool,
    /// Limits what may be done with it.
    pub permissible_actions: Option<PermissibleActions>,
    /// The version it replaces.
    pub supersedes: Option<BundleId>,
}

/// A bundle ready to be signed.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(crate) wish: Wish,
    pub(crate) marking: Marking,
    pub(crate) encoding: Encoding,
    pub(crate) parts: List<Part, 4>,
    pub(crate) payload: Vec<u8>,
    pub(crate) opened: Opened,
}

/// What zstd must save, in bytes. To decode even the smallest frame costs each
/// receiver about half a check of a signature, and an envelope has some 700 bytes
/// besides its payload.
const ZSTD_SAVES_BYTES_MIN: usize = 512;

/// Why a payload cannot become a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// No STIX.
    #[error("not publishable STIX: {why}")]
    Stix {
        /// How.
        why: String,
    },
    /// No usable marking.
    #[error(transparent)]
    Marking(MarkingRefusal),
    /// Too large.
    #[error("{what} of {bytes} bytes, where at most {bytes_max} fit one bundle; split the input")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        bytes_max: u64,
    },
    /// Nothing in it.
    #[error("nothing to publish: the input holds no object")]
    Empty,
}

impl Draft {
    /// Checks STIX and makes it ready. `encoded` is the zstd form, if the
    /// caller made one; it is used where it saves enough.
    ///
    /// # Errors
    /// When it is no STIX, not marked, too large or empty.
    pub fn prepare(
        stix: Vec<u8>,
        encoded: Option<Vec<u8>>,
        wish: Wish,
    ) -> Result<Self, PrepareError> {
        let length = stix.len() as u64;
        if length > PLAIN_BYTES_MAX {
            return Err(PrepareError::TooLarge {
                what: "STIX",
                bytes: length,
                bytes_max: PLAIN_BYTES_MAX,
            });
        }
        let (opened, marking) = index(&stix, wish.flag).map_err(|error| match error {
            IndexError::Empty => PrepareError::Empty,
            IndexError::Stix(why) => PrepareError::Stix { why },
            IndexError::Marking(why) => PrepareError::Marking(why),
        })?;
        let part = Part {
            media: Media::Stix,
            length,
            digest: sha256(&stix),
        };
        let (encoding, payload) = match encoded {
            Some(encoded) if encoded.len().saturating_add(ZSTD_SAVES_BYTES_MIN) <= stix.len() => {
                (Encoding::Zstd, encoded)
            }
            Some(_) | None => (Encoding::Identity, stix),
        };
        let bytes = payload.len() as u64;
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(PrepareError::TooLarge {
                what: "payload",
                bytes,
                bytes_max: PAYLOAD_BYTES_MAX,
            });
        }
        let parts = List::new(vec![part]).map_err(|_| PrepareError::Empty)?;
        Ok(Self {
            wish,
            marking,
            encoding,
            parts,
            payload,
            opened,
        })
    }

    /// The effective marking.
    pub const fn marking(&self) -> Marking {
        self.marking
    }

    /// What can be searched of it.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_payload_is_compressed_where_that_saves_enough() {
        let stix = format!(
            r#"{{"type":"domain-name","id":"domain-name--22222222-2222-4222-8222-222222222222","value":"a.example","x_note":"{}"}}"#,
            "x".repeat(2 * ZSTD_SAVES_BYTES_MIN)
        );
        let wish = Wish {
            flag: Some(Marking::Clear),
            valid_ms: 1,
            exercise: false,
            permissible_actions: None,
            supersedes: None,
        };
        for (saved, expected) in [
            (ZSTD_SAVES_BYTES_MIN, Encoding::Zstd),
            (ZSTD_SAVES_BYTES_MIN - 1, Encoding::Identity),
        ] {
            let encoded = vec![0; stix.len() - saved];
            let draft =
                Draft::prepare(stix.clone().into_bytes(), Some(encoded), wish.clone()).unwrap();
            assert_eq!(draft.encoding, expected, "{saved} bytes saved");
            let carried = match expected {
                Encoding::Zstd => stix.len() - saved,
                Encoding::Identity => stix.len(),
            };
            assert_eq!(draft.payload.len(), carried);
        }
    }
}
