//! The layout of the store: which key holds what.
//!
//! One ordered key space, its tables told apart by the first byte. Eleven of
//! them are the truth; every other table can be made again from them, but for
//! `M` and `G`, which may be forgotten.
//!
//! | byte | key | value | |
//! |---|---|---|---|
//! | `L` | arrival | [`LogEntry`] | truth |
//! | `C` | envelope id, chunk index | the chunk | truth |
//! | `N` | certificate id | the certificate, admitted at the door | truth |
//! | `X` | stream, sequence, envelope id | a [`RangeItem`](crate::wire::exchange::RangeItem) kept as evidence | truth |
//! | `R` | arrival | the [remains](crate::wire::exchange::Remains) of an envelope that came after its expiry | truth |
//! | `Z` | epoch | the [link](crate::wire::roster::Link) that leads to it | truth |
//! | `Y` | slot | the newest [notice](crate::gate::Notice) for it | truth |
//! | `J` | | the last vote that this node [prepared](Prepared) | truth |
//! | `Q` | arrival | that it is [not believed](crate::engine::HeldBack) | truth |
//! | `K` | envelope id | that a person here [accepted](crate::engine::Accepted) it | truth |
//! | `a` | member id | since when and why this node [distrusts it](crate::engine::Distrust) | truth |
//! | `E` | envelope id | arrival | index |
//! | `S` | stream, sequence | envelope id | index |
//! | `F` | stream | [`StreamRow`] | index |
//! | `B` | bundle id | arrival | index |
//! | `H` | envelope id | leaf hashes of its chunks | index |
//! | `P` | arrival | envelope id whose body is still to be pulled | index |
//! | `W` | arrival | nothing: still to be opened | index |
//! | `O` | arrival | [`Outcome`] of opening | index |
//! | `T` | arrival, block | what a hit shows of 8 objects: [`rows`](mod@rows) | index |
//! | `I` | fence | a block of object ids and their places: [`blocks`] | index |
//! | `V` | fence | a block of value keys and their places: [`blocks`] | index |
//! | `D` | object id | nothing: it has more than one place | index |
//! | `A` | | the next arrival | index |
//! | `U` | stream | hash of what had ended of it when it was judged | index |
//! | `G` | | [`StoreNames`]: made anew with the indexes | index |
//! | `M` | node id | the mark up to which its frontier has been dealt with | index |

pub mod blocks;
mod pack;
pub mod rows;

use crate::ids::{BundleId, CertificateId, EnvelopeId, MemberId, NodeId, RosterId};
use crate::limits::{FORMER_STORES_MAX, FRAME_BYTES_MAX};
use crate::marking::Marking;
use crate::wire::exchange::StoreId;
use crate::wire::{Bytes, List, StreamId, Text};
use bincode::{Decode, Encode};

/// The tables that can be made again.
pub const INDEXES: &[u8] = b"AEFGMSBHPWOTIVDU";

/// The number of an envelope in the order in which this node took it.
pub type Arrival = u64;

/// The last vote that a node prepared: it prepares one roster in a round, and
/// never in an earlier round again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Prepared {
    /// The number of the roster.
    pub epoch: u64,
    /// In which round.
    pub round: u32,
    /// Which.
    pub roster: RosterId,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LogEntry {
    /// When it was taken, in milliseconds UTC.
    pub received_ms: u64,
    /// The frame as it arrived.
    pub frame: Bytes<FRAME_BYTES_MAX>,
}

/// How far a stream is held without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Through {
    /// The sequence.
    pub sequence: u64,
    /// The envelope there.
    pub head: EnvelopeId,
}

/// A stream as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StreamRow {
    /// How far without gaps; none where its beginning is missing.
    pub through: Option<Through>,
    /// The change of this store with which it began; 0 where it is sealed.
    pub born: u64,
    /// Its last change.
    pub changed: u64,
}

/// By what names peers know this store's changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StoreNames {
    /// Since its last start.
    pub now: StoreId,
    /// Before, each with the change at which it ended, the last one last.
    pub former: List<(StoreId, u64), FORMER_STORES_MAX>,
}

/// What came of opening a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// It is indexed.
    Opened {
        /// How many objects it holds.
        objects: u64,
        /// How many values of them can be found.
        values: u64,
        /// How many patterns are kept whole and not indexed.
        not_indexed: u64,
    },
    /// Shown to nobody, kept as evidence.
    Refused {
        /// Why.
        why: Text<512>,
    },
    /// A newer version may open it.
    NeedsUpgrade,
}

/// What a list shows of an object without decoding the payload.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Row {
    /// STIX id.
    pub id: Text<256>,
    /// STIX type.
    pub kind: Text<64>,
    /// Name, pattern or value, cut short.
    pub name: Text<256>,
    /// `modified`, in milliseconds UTC; 0 where the type has none.
    pub modified_ms: u64,
    /// Effective marking of the object.
    pub marking: Marking,
    /// Where it begins in the plain payload.
    pub offset: u64,
    /// How long it is.
    pub length: u32,
}

/// Rows in one value. Few large values suit the database better than many small
/// ones, and a hit copies and checks all of the one it is in: eight are some 900
/// bytes, about a block of the ordered indexes.
pub const ROWS_PER_BLOCK: u32 = 8;

fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(table);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

fn stream_bytes(stream: &StreamId) -> [u8; 56] {
    let mut bytes = [0; 56];
    let (node, rest) = bytes.split_at_mut(32);
    let (incarnation, tag) = rest.split_at_mut(8);
    node.copy_from_slice(stream.node.as_bytes());
    incarnation.copy_from_slice(&stream.incarnation.to_be_bytes());
    tag.copy_from_slice(stream.tag.as_bytes());
    bytes
}

/// Key of a log entry.
pub fn log(arrival: Arrival) -> Vec<u8> {
    key(b'L', &[&arrival.to_be_bytes()])
}

/// Key of what remains of an envelope.
pub fn remains(arrival: Arrival) -> Vec<u8> {
    key(b'R', &[&arrival.to_be_bytes()])
}

/// Key of a chunk.
pub fn chunk(envelope: &EnvelopeId, index: u32) -> Vec<u8> {
    key(b'C', &[envelope.as_bytes(), &index.to_be_bytes()])
}

/// Prefix of the chunks of a payload, in order.
pub fn chunks(envelope: &EnvelopeId) -> Vec<u8> {
    key(b'C', &[envelope.as_bytes()])
}

/// Key of a certificate admitted at the door.
pub fn certificate(id: &CertificateId) -> Vec<u8> {
    key(b'N', &[id.as_bytes()])
}

/// Prefix of every such certificate.
pub const CERTIFICATES: &[u8] = b"N";

/// Key of the link that leads to an epoch.
pub fn link(epoch: u64) -> Vec<u8> {
    key(b'Z', &[&epoch.to_be_bytes()])
}

/// Reads the epoch from a key of the chain.
pub fn epoch_of(key: &[u8]) -> Option<u64> {
    let (table, epoch) = key.split_first()?;
    (*table == b'Z').then_some(())?;
    Some(u64::from_be_bytes(epoch.try_into().ok()?))
}

/// Prefix of the chain, in order.
pub const LINKS: &[u8] = b"Z";

/// Key of the last vote that this node prepared.
pub fn prepared() -> Vec<u8> {
    key(b'J', &[])
}

/// Longest value there: a number of nine bytes, one of five, and an id.
pub const PREPARED_BYTES_MAX: usize = 9 + 5 + 32;

/// Key of the notice for a slot.
pub fn notice(slot: &crate::gate::Slot) -> Vec<u8> {
    key(b'Y', &[&crate::wire::codec::encode(slot)])
}

/// Prefix of every notice.
pub const NOTICES: &[u8] = b"Y";

/// Key of why an envelope is not believed.
pub fn quarantine(arrival: Arrival) -> Vec<u8> {
    key(b'Q', &[&arrival.to_be_bytes()])
}

/// Prefix of all of them.
pub const QUARANTINED: &[u8] = b"Q";

/// Key of a person's acceptance of an envelope.
pub fn accepted(envelope: &EnvelopeId) -> Vec<u8> {
    key(b'K', &[envelope.as_bytes()])
}

/// Key of what had ended of a stream when it was judged.
pub fn judged(stream: &StreamId) -> Vec<u8> {
    key(b'U', &[&stream_bytes(stream)])
}

/// Prefix of all of them.
pub const JUDGED: &[u8] = b"U";

/// Key of since when and why this node distrusts a member.
pub fn distrusted(member: &MemberId) -> Vec<u8> {
    key(b'a', &[member.as_bytes()])
}

/// Prefix of all of them.
pub const DISTRUSTED: &[u8] = b"a";

/// Reads the member from a key of `a`.
pub fn distrusted_of(key: &[u8]) -> Option<MemberId> {
    let (_, member) = key.split_first()?;
    Some(MemberId::from_bytes(member.try_into().ok()?))
}

/// Key of a frame kept as evidence.
pub fn evidence(stream: &StreamId, sequence: u64, envelope: &EnvelopeId) -> Vec<u8> {
    key(
        b'X',
        &[
            &stream_bytes(stream),
            &sequence.to_be_bytes(),
            envelope.as_bytes(),
        ],
    )
}

/// Prefix of all evidence.
pub const EVIDENCE: &[u8] = b"X";

/// Reads stream and sequence from a key of `X`.
pub fn evidence_of(key: &[u8]) -> Option<(StreamId, u64)> {
    let (place, _) = key.split_at_checked(key.len().checked_sub(32)?)?;
    let (stream, sequence) = stream_of(place)?;
    Some((stream, sequence?))
}

/// Key of where an envelope is in the log.
pub fn envelope(id: &EnvelopeId) -> Vec<u8> {
    key(b'E', &[id.as_bytes()])
}

/// Key of an envelope by its place in a stream.
pub fn sequence(stream: &StreamId, sequence: u64) -> Vec<u8> {
    key(b'S', &[&stream_bytes(stream), &sequence.to_be_bytes()])
}

/// Prefix of all places of a stream.
pub fn sequences(stream: &StreamId) -> Vec<u8> {
    key(b'S', &[&stream_bytes(stream)])
}

/// Key of a stream as it is held.
pub fn stream(stream: &StreamId) -> Vec<u8> {
    key(b'F', &[&stream_bytes(stream)])
}

/// Prefix of all of them.
pub const STREAMS: &[u8] = b"F";

/// Key of the store's names.
pub fn store_names() -> Vec<u8> {
    key(b'G', &[])
}

/// Key of the mark of a peer's frontier.
pub fn mark(node: &NodeId) -> Vec<u8> {
    key(b'M', &[node.as_bytes()])
}

/// Key of where a bundle is in the log.
pub fn bundle(id: &BundleId) -> Vec<u8> {
    key(b'B', &[id.as_bytes()])
}

/// Key of the leaf hashes of a payload in chunks.
pub fn leaves(envelope: &EnvelopeId) -> Vec<u8> {
    key(b'H', &[envelope.as_bytes()])
}

/// Key of a body still to be pulled.
pub fn pull(arrival: Arrival) -> Vec<u8> {
    key(b'P', &[&arrival.to_be_bytes()])
}

/// Prefix of all of them.
pub const PULLS: &[u8] = b"P";

/// Key of an envelope still to be opened.
pub fn unopened(arrival: Arrival) -> Vec<u8> {
    key(b'W', &[&arrival.to_be_bytes()])
}

/// Prefix of all of them.
pub const UNOPENED: &[u8] = b"W";

/// Key of what came of opening.
pub fn outcome(arrival: Arrival) -> Vec<u8> {
    key(b'O', &[&arrival.to_be_bytes()])
}

/// Prefix of all outcomes.
pub const OUTCOMES: &[u8] = b"O";

/// Key of a block of rows.
pub fn rows(arrival: Arrival, block: u32) -> Vec<u8> {
    key(b'T', &[&arrival.to_be_bytes(), &block.to_be_bytes()])
}

/// What the entries of every place of an object begin with.
pub fn objects(id: &str) -> Vec<u8> {
    key(b'I', &[id.as_bytes(), &[0]])
}

/// Entry of one place of an object; none for an id that is too long.
pub fn object(id: &str, arrival: Arrival, object: u32) -> Option<Vec<u8>> {
    blocks::entry(b'I', id.as_bytes(), arrival, object)
}

/// Key that says that an object has more than one place.
pub fn repeated(id: &[u8]) -> Vec<u8> {
    key(b'D', &[id])
}

/// As [`repeated`], from what an entry of the ids begins with; nothing from one of
/// another table.
pub fn repeated_object(key: &[u8]) -> Option<Vec<u8>> {
    let (table, id) = key.split_first()?;
    (*table == b'I').then(|| repeated(id))
}

/// What the entries of every value that begins so begin with.
pub fn values_beginning(value: &[u8]) -> Vec<u8> {
    key(b'V', &[value])
}

/// Entry of one place of a value; none for a value that is too long.
pub fn value(value: &[u8], arrival: Arrival, object: u32) -> Option<Vec<u8>> {
    blocks::entry(b'V', value, arrival, object)
}

/// The entries in a value of the store, if it is a block of an index.
///
/// # Errors
/// [`StoreError::Damaged`](crate::store::StoreError::Damaged) for a damaged block.
pub fn entries_in(key: &[u8], value: &[u8]) -> Result<Vec<Vec<u8>>, crate::store::StoreError> {
    match key.first() {
        Some(b'I' | b'V') => blocks::Block::read(key, value)?.entries(),
        Some(_) | None => Ok(Vec::new()),
    }
}

/// Key of the next arrival.
pub fn next_arrival() -> Vec<u8> {
    key(b'A', &[])
}

/// Reads the arrival from a key that is a table byte and an arrival.
pub fn arrival_of(key: &[u8]) -> Option<Arrival> {
    let (_, arrival) = key.split_first()?;
    Some(u64::from_be_bytes(arrival.try_into().ok()?))
}

/// Reads the stream and sequence from a key of `S`, or the stream of one of `F`.
pub fn stream_of(key: &[u8]) -> Option<(StreamId, Option<u64>)> {
    let (_, rest) = key.split_first()?;
    let (node, rest) = rest.split_first_chunk::<32>()?;
    let (incarnation, rest) = rest.split_first_chunk::<8>()?;
    let (tag, rest) = rest.split_first_chunk::<16>()?;
    let stream = StreamId {
        node: NodeId::from_bytes(*node),
        incarnation: u64::from_be_bytes(*incarnation),
        tag: crate::wire::Tag::from_bytes(*tag),
    };
    match rest {
        [] => Some((stream, None)),
        _ => Some((stream, Some(u64::from_be_bytes(rest.try_into().ok()?)))),
    }
}
