//! Statement and payload under a content key.
//!
//! ```text
//! head      one piece: length u32 ‖ inner ‖ zeros, to 0.5, 1, 2, 4 or 8 KiB
//! payload   pieces of 262,128 bytes, so that each is a chunk of 262,144 when
//!           sealed: salt [32] ‖ length u64 ‖ what is encoded ‖ zeros, to a step
//! ```
//!
//! The padded length of the payload is chosen so that its sealed form, and not
//! what is in it, is of a step: [`payload_step`].

use crate::limits::{CHUNK_BYTES, INNER_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::wire::sealing::Commitments;
use watchfire_crypto::Secret;
use watchfire_crypto::seal::{
    ContentKey, NotOpened, PIECE_TAG_BYTES, PrefixDigest, Segment, SegmentKey, header_size,
    payload_size,
};

/// Plain bytes of a full chunk.
const PIECE_BYTES: usize = CHUNK_BYTES - PIECE_TAG_BYTES;

/// Before what is encoded: a salt and a length.
const BEFORE_BYTES: usize = SALT_BYTES + 8;

/// Without it, whoever learns a header could try which payload it is of.
pub const SALT_BYTES: usize = 32;

/// Steps below a quarter of a MiB; see [`payload_step`].
const SMALL_STEPS: u8 = 5;

/// What is not sealed: too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealRefusal {
    /// The statement, padded, does not fit a head.
    #[error("the statement is too long to be sealed; name fewer members")]
    Statement,
    /// The payload, padded and sealed, is over the bound of a payload.
    #[error("the payload is too long to be sealed; split it")]
    Payload,
}

/// A sealed body: what goes into head and payload of an envelope, and what its
/// binding says of the keys.
#[derive(Debug)]
pub struct SealedBody {
    /// The sealed statement.
    pub head: Vec<u8>,
    /// The sealed payload, where there is one.
    pub payload: Option<Vec<u8>>,
    /// For the binding.
    pub commitments: Commitments,
}

/// How long a sealed payload is, and the number of its padding step, for the
/// prefix; `None` when it is over the bound.
pub fn payload_step(encoded: usize) -> Option<(u8, u64)> {
    let plain = u64::try_from(encoded.checked_add(BEFORE_BYTES)?).ok()?;
    let sealed = payload_size(sealed_length(plain)?);
    (sealed <= PAYLOAD_BYTES_MAX).then(|| (step_of(sealed), sealed))
}

/// The number of a padded length: 1 to 5 up to 256 KiB, then one more for each
/// sixteenth of the power of two below.
fn step_of(sealed: u64) -> u8 {
    let small = sealed.max(1 << 10).next_power_of_two().ilog2() - 10;
    if sealed <= 256 << 10 {
        return u8::try_from(small / 2 + 1).unwrap_or(SMALL_STEPS);
    }
    let power = sealed.ilog2();
    let sixteenths = (sealed >> (power - 4)) - 16;
    u8::try_from(u64::from(power - 18) * 16 + sixteenths + u64::from(SMALL_STEPS))
        .unwrap_or(u8::MAX)
}

/// How long so many plain bytes are when sealed in pieces.
fn sealed_length(plain: u64) -> Option<u64> {
    let pieces = plain.div_ceil(PIECE_BYTES as u64).max(1);
    plain.checked_add(pieces.checked_mul(PIECE_TAG_BYTES as u64)?)
}

/// How many plain bytes are in so many sealed ones.
fn plain_length(sealed: usize) -> Option<usize> {
    let pieces = sealed.div_ceil(CHUNK_BYTES);
    sealed.checked_sub(pieces.checked_mul(PIECE_TAG_BYTES)?)
}

/// Seals a statement and its payload.
///
/// # Errors
/// When one is longer than an envelope may hold.
pub fn seal(
    content: &ContentKey,
    prefix: PrefixDigest,
    inner: &[u8],
    payload: Option<(&Secret<[u8; SALT_BYTES]>, &[u8])>,
) -> Result<SealedBody, SealRefusal> {
    let header_key = SegmentKey::derive(content, prefix, Segment::Header);
    let size = header_size(inner.len() + 4).ok_or(SealRefusal::Statement)?;
    let length = u32::try_from(inner.len()).map_err(|_| SealRefusal::Statement)?;
    let mut head = length.to_be_bytes().to_vec();
    head.extend(inner);
    head.resize(size, 0);
    let head = header_key.seal(0, true, &head);
    let Some((salt, encoded)) = payload else {
        return Ok(SealedBody {
            head,
            payload: None,
            commitments: Commitments {
                header: *header_key.commitment(),
                payload: None,
            },
        });
    };
    let payload_key = SegmentKey::derive(content, prefix, Segment::Payload);
    let (_, sealed) = payload_step(encoded.len()).ok_or(SealRefusal::Payload)?;
    let sealed = usize::try_from(sealed).map_err(|_| SealRefusal::Payload)?;
    let mut plain = Vec::with_capacity(sealed);
    plain.extend(salt.expose());
    plain.extend((encoded.len() as u64).to_be_bytes());
    plain.extend(encoded);
    plain.resize(plain_length(sealed).ok_or(SealRefusal::Payload)?, 0);
    let pieces = plain.len().div_ceil(PIECE_BYTES);
    let mut out = Vec::with_capacity(sealed);
    for (index, piece) in (0..).zip(plain.chunks(PIECE_BYTES)) {
        let is_last = usize::try_from(index).is_ok_and(|index| index + 1 == pieces);
        out.extend(payload_key.seal(index, is_last, piece));
    }
    Ok(SealedBody {
        head,
        payload: Some(out),
        commitments: Commitments {
            header: *header_key.commitment(),
            payload: Some(*payload_key.commitment()),
        },
    })
}

/// Opens the statement in a head.
///
/// # Errors
/// One and the same for everything that can be wrong.
pub fn open_head(
    content: &ContentKey,
    prefix: PrefixDigest,
    commitments: &Commitments,
    head: &[u8],
) -> Result<Vec<u8>, NotOpened> {
    let key = SegmentKey::committed(content, prefix, Segment::Header, &commitments.header)?;
    let plain = key.open(0, true, head)?;
    let (length, rest) = plain.split_first_chunk::<4>().ok_or(NotOpened)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotOpened)?;
    let (inner, zeros) = rest.split_at_checked(length).ok_or(NotOpened)?;
    // One padding for each statement: what is left over carries nothing.
    let is_padded = header_size(length + 4) == Some(plain.len()) && is_nought(zeros);
    if is_padded && length <= INNER_BYTES_MAX {
        Ok(inner.to_vec())
    } else {
        Err(NotOpened)
    }
}

/// A payload that was opened.
#[derive(Debug)]
pub struct OpenedPayload {
    /// What the digests of its parts are salted with.
    pub salt: [u8; SALT_BYTES],
    /// As the statement says that it is encoded.
    pub encoded: Vec<u8>,
}

/// Opens a payload.
///
/// # Errors
/// One and the same for everything that can be wrong.
pub fn open_payload(
    content: &ContentKey,
    prefix: PrefixDigest,
    commitments: &Commitments,
    payload: &[u8],
) -> Result<OpenedPayload, NotOpened> {
    let commitment = commitments.payload.as_ref().ok_or(NotOpened)?;
    let key = SegmentKey::committed(content, prefix, Segment::Payload, commitment)?;
    let pieces = payload.len().div_ceil(CHUNK_BYTES);
    let mut plain = Vec::with_capacity(payload.len());
    for (index, piece) in (0..).zip(payload.chunks(CHUNK_BYTES)) {
        let is_last = usize::try_from(index).is_ok_and(|index| index + 1 == pieces);
        plain.extend(key.open(index, is_last, piece)?);
    }
    let (salt, rest) = plain.split_first_chunk::<SALT_BYTES>().ok_or(NotOpened)?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or(NotOpened)?;
    let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| NotOpened)?;
    let (encoded, zeros) = rest.split_at_checked(length).ok_or(NotOpened)?;
    let sealed = payload_step(length).map(|(_, sealed)| sealed);
    if sealed != u64::try_from(payload.len()).ok() || !is_nought(zeros) {
        return Err(NotOpened);
    }
    Ok(OpenedPayload {
        salt: *salt,
        encoded: encoded.to_vec(),
    })
}

fn is_nought(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
