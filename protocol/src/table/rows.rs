//! What a hit shows, in blocks of [`ROWS_PER_BLOCK`] rows of one bundle, with
//! what the policy asks about that bundle in front: one read answers for a hit.
//!
//! ```text
//! length ‖ [`Filed`], then for each row: length ‖ [`Row`]
//! ```

use bincode::{Decode, Encode};

use super::{Arrival, ROWS_PER_BLOCK, Row, key, pack};
use crate::gate::{Content, Frame};
use crate::ids::{BundleId, MemberId};
use crate::store::StoreError;
use crate::wire::codec;

/// What is known of the bundle in which an object came, as its author signed it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Filed {
    /// The bundle.
    pub bundle: BundleId,
    /// Its author.
    pub author: MemberId,
    /// When this node took it, in milliseconds UTC.
    pub received_ms: u64,
    /// When it ceases to be valid, in milliseconds UTC.
    pub not_after_ms: u64,
    /// Drill data.
    pub exercise: bool,
    /// Whether it may be relayed above CLEAR.
    pub relay_allowed: bool,
}

impl Filed {
    /// Of the bundle in a frame, if it holds one in clear.
    pub fn of(frame: &Frame, received_ms: u64) -> Option<Self> {
        let Content::Bundle(bundle) = frame.content() else {
            return None;
        };
        let statement = bundle.value();
        Some(Self {
            bundle: BundleId::from_bytes(bundle.id()),
            author: statement.author,
            received_ms,
            not_after_ms: statement.not_after_ms,
            exercise: statement.exercise,
            relay_allowed: statement.relay_allowed,
        })
    }
}

/// Longest [`Filed`]: two ids of 32 bytes, two numbers of nine, two flags.
const FILED_BYTES_MAX: usize = 84;

/// Longest [`Row`]: texts of 256, 64 and 256 with three bytes of length each,
/// three numbers of nine, a marking, and room.
const ROW_BYTES_MAX: usize = 640;

/// Keys and values of the blocks that hold these rows.
pub fn blocks(
    arrival: Arrival,
    filed: &Filed,
    rows: &[Row],
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let filed = codec::encode(filed);
    let length = usize::try_from(ROWS_PER_BLOCK).unwrap_or(usize::MAX);
    (0..).zip(rows.chunks(length)).map(move |(block, rows)| {
        let mut value = Vec::new();
        pack::push_bytes(&mut value, &filed);
        for row in rows {
            pack::push_bytes(&mut value, &codec::encode(row));
        }
        (super::rows(arrival, block), value)
    })
}

/// Key of the block in which an object's row is, and where in it.
pub fn place(arrival: Arrival, object: u32) -> (Vec<u8>, u32) {
    (
        super::rows(arrival, object / ROWS_PER_BLOCK),
        object % ROWS_PER_BLOCK,
    )
}

/// Prefix of all blocks of a bundle.
pub fn of(arrival: Arrival) -> Vec<u8> {
    key(b'T', &[&arrival.to_be_bytes()])
}

/// One row of a block, and what is known of its bundle; nothing if it has fewer.
///
/// # Errors
/// [`StoreError::Damaged`] for what [`blocks`] did not write.
pub fn read(key: &[u8], value: &[u8], at: u32) -> Result<Option<(Filed, Row)>, StoreError> {
    let mut rest = value;
    let filed = piece(key, &mut rest)?;
    for _ in 0..at {
        if rest.is_empty() {
            return Ok(None);
        }
        piece(key, &mut rest)?;
    }
    if rest.is_empty() {
        return Ok(None);
    }
    let row = piece(key, &mut rest)?;
    let filed = codec::decode(filed, FILED_BYTES_MAX).map_err(|_| damaged(key))?;
    let row = codec::decode(row, ROW_BYTES_MAX).map_err(|_| damaged(key))?;
    Ok(Some((filed, row)))
}

fn piece<'a>(key: &[u8], rest: &mut &'a [u8]) -> Result<&'a [u8], StoreError> {
    pack::length(rest)
        .and_then(|length| pack::bytes(rest, length))
        .ok_or_else(|| damaged(key))
}

fn damaged(key: &[u8]) -> StoreError {
    StoreError::Damaged {
        key: hex::encode(key),
    }
}
