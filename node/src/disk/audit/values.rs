//! Whether one value, by itself, is what its table holds.

use watchfire_protocol::engine::{
    ACCEPTED_BYTES_MAX, Accepted, Distrust, HELD_BACK_BYTES_MAX, HeldBack,
};
use watchfire_protocol::gate::{Slot, is_notice};
use watchfire_protocol::ids::EnvelopeId;
use watchfire_protocol::limits::{CHUNK_BYTES, DOOR_BYTES_MAX, FRAME_BYTES_MAX, REMAINS_BYTES_MAX};
use watchfire_protocol::table::{
    self, LogEntry, Outcome, PREPARED_BYTES_MAX, Prepared, StoreNames, StreamRow, rows,
};
use watchfire_protocol::wire::card::CertificateBytes;
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::{Mark, RangeItem, Remains};
use watchfire_protocol::wire::roster::Link;

/// What a value of the index takes at most, in bytes: a block of rows has 32 of
/// under 700 bytes.
const INDEX_VALUE_BYTES_MAX: usize = 65_536;

/// The longest name of a slot: three hashes and two numbers.
const SLOT_BYTES_MAX: usize = 128;

/// Length of a key of a table byte and a hash.
const HASH_KEY_BYTES: usize = 1 + 32;

/// Length of a key of a table byte and an arrival.
const ARRIVAL_KEY_BYTES: usize = 1 + 8;

/// Checks the form of key and value.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn check(key: &[u8], value: &[u8]) -> Result<(), &'static str> {
    let key_is = |length: usize| {
        if key.len() == length {
            Ok(())
        } else {
            Err("its key has another length than the table's")
        }
    };
    let reads = |is_read: bool| {
        if is_read {
            Ok(())
        } else {
            Err("it does not decode")
        }
    };
    let empty = || {
        if value.is_empty() {
            Ok(())
        } else {
            Err("it has a value where none belongs")
        }
    };
    match key.first().copied() {
        Some(b'L') => {
            key_is(ARRIVAL_KEY_BYTES)?;
            reads(codec::decode::<LogEntry>(value, FRAME_BYTES_MAX + 64).is_ok())
        }
        Some(b'R') => {
            key_is(ARRIVAL_KEY_BYTES)?;
            reads(codec::decode::<Remains>(value, REMAINS_BYTES_MAX).is_ok())
        }
        Some(b'C') => {
            key_is(HASH_KEY_BYTES + 4)?;
            reads((1..=CHUNK_BYTES).contains(&value.len()))
        }
        Some(b'N') => {
            key_is(HASH_KEY_BYTES)?;
            let certificate = codec::decode::<CertificateBytes>(value, DOOR_BYTES_MAX);
            reads(certificate.is_ok_and(|certificate| certificate.claims().is_ok()))
        }
        Some(b'X') => {
            key_is(1 + 56 + 8 + 32)?;
            reads(codec::decode::<RangeItem>(value, FRAME_BYTES_MAX + 64).is_ok())
        }
        Some(b'Q') => {
            key_is(ARRIVAL_KEY_BYTES)?;
            reads(codec::decode::<HeldBack>(value, HELD_BACK_BYTES_MAX).is_ok())
        }
        Some(b'K') => {
            key_is(HASH_KEY_BYTES)?;
            reads(codec::decode::<Accepted>(value, ACCEPTED_BYTES_MAX).is_ok())
        }
        Some(b'U') => {
            key_is(1 + 56)?;
            reads(value.len() == 32)
        }
        Some(b'a') => {
            key_is(HASH_KEY_BYTES)?;
            reads(codec::decode::<Distrust>(value, Distrust::BYTES_MAX).is_ok())
        }
        Some(b'Y') => {
            let slot = key.get(1..).unwrap_or_default();
            reads(
                codec::decode::<Slot>(slot, SLOT_BYTES_MAX).is_ok()
                    && is_notice(value)
                    && value.len() <= FRAME_BYTES_MAX,
            )
        }
        Some(b'Z') => {
            key_is(1 + 8)?;
            reads(Link::from_bytes(value).is_ok())
        }
        Some(b'J') => {
            key_is(1)?;
            reads(codec::decode::<Prepared>(value, PREPARED_BYTES_MAX).is_ok())
        }
        Some(b'E' | b'B') => {
            key_is(HASH_KEY_BYTES)?;
            reads(codec::decode::<u64>(value, 9).is_ok())
        }
        Some(b'S') => {
            key_is(1 + 56 + 8)?;
            reads(codec::decode::<EnvelopeId>(value, 32).is_ok())
        }
        Some(b'F') => {
            key_is(1 + 56)?;
            reads(codec::decode::<StreamRow>(value, INDEX_VALUE_BYTES_MAX).is_ok())
        }
        Some(b'H') => {
            key_is(HASH_KEY_BYTES)?;
            reads(!value.is_empty() && value.len().is_multiple_of(32))
        }
        Some(b'P') => {
            key_is(ARRIVAL_KEY_BYTES)?;
            reads(codec::decode::<EnvelopeId>(value, 32).is_ok())
        }
        Some(b'W') => {
            key_is(ARRIVAL_KEY_BYTES)?;
            empty()
        }
        Some(b'O') => {
            key_is(ARRIVAL_KEY_BYTES)?;
            reads(codec::decode::<Outcome>(value, INDEX_VALUE_BYTES_MAX).is_ok())
        }
        Some(b'T') => {
            key_is(ARRIVAL_KEY_BYTES + 4)?;
            reads(matches!(rows::read(key, value, 0), Ok(Some(_))))
        }
        Some(b'I' | b'V') => reads(table::entries_in(key, value).is_ok()),
        Some(b'D') => {
            reads(key.len() > 1)?;
            empty()
        }
        Some(b'G') => {
            key_is(1)?;
            reads(codec::decode::<StoreNames>(value, INDEX_VALUE_BYTES_MAX).is_ok())
        }
        Some(b'M') => {
            key_is(HASH_KEY_BYTES)?;
            reads(codec::decode::<Mark>(value, INDEX_VALUE_BYTES_MAX).is_ok())
        }
        Some(b'A') => {
            key_is(1)?;
            reads(codec::decode::<u64>(value, 9).is_ok())
        }
        // A newer program may have tables that this one does not know.
        Some(_) | None => Ok(()),
    }
}
