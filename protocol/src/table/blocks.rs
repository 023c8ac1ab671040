//! The layout of the two large indexes, by value and by object id: an ordered
//! set of entries, cut into blocks.
//!
//! An entry is the byte of its table, a key, a zero byte, and the place of one
//! object: arrival in eight bytes and number of the object in four, big end
//! first. Entries are in the order of these bytes, so whatever begins alike lies
//! together. The set is cut into blocks of about [`INDEX_BLOCK_BYTES`]; a block is
//! one value of the store, in which an entry says only what differs from the one
//! before. Why so: docs/decisions/0004.
//!
//! ```text
//! store key     fence, the table byte in front: every entry of the block is below it
//! store value   length ‖ from              where the block begins: the fence before it
//!               then for each entry:       shared ‖ length ‖ rest ‖ arrival ‖ object
//!
//! shared        how many bytes of the key are those of the key before
//! numbers       seven bits a byte, the least first; the eighth bit says that more follow
//! ```
//!
//! The fences cover everything that can be a key: the last is a byte above all
//! of them. So the block in which an entry is, or would be, is the first whose
//! fence is above it: one read, for what is there and for what is not. A block
//! that grows too large is cut, and its fence stays with the upper part; blocks
//! are never joined, since nothing is ever taken out. `from` shows a reader a
//! block that was cut while it was reading, and one that is lost.
//!
//! [`INDEX_BLOCK_BYTES`]: crate::limits::INDEX_BLOCK_BYTES

use crate::limits::INDEX_KEY_BYTES_MAX;
use crate::store::{Entry, StoreError};
use crate::table::{Arrival, pack};

/// Above every key of an index: the first byte of a value key says its kind, that
/// of an object id is a letter, and UTF-8 has no such byte.
const LAST_FENCE: u8 = 0xff;

/// Zero byte, arrival, object.
const PLACE_BYTES: usize = 13;

/// A block as it lies in the store.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    fence: &'a [u8],
    from: &'a [u8],
    entries: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads where a block begins; its entries are read when they are asked for.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for what [`insert`] did not write.
    pub fn read(key: &'a [u8], value: &'a [u8]) -> Result<Self, StoreError> {
        let mut entries = value;
        let from = pack::length(&mut entries)
            .and_then(|length| pack::bytes(&mut entries, length))
            .ok_or_else(|| damaged(key))?;
        Ok(Self {
            fence: key,
            from,
            entries,
        })
    }

    /// Where it begins: the fence of the block before, for the first the byte of
    /// its table.
    pub const fn from(&self) -> &'a [u8] {
        self.from
    }

    /// The places of entries that begin so, in order.
    ///
    /// # Errors
    /// As [`Block::read`].
    pub fn places(&self, beginning: &[u8]) -> Result<Vec<(Arrival, u32)>, StoreError> {
        // An entry has a zero byte behind its key.
        let whole = beginning.strip_suffix(&[0]);
        let mut places = Vec::new();
        self.for_each(|key, arrival, object| {
            if key.starts_with(beginning) || whole == Some(key) {
                places.push((arrival, object));
            }
        })?;
        Ok(places)
    }

    /// Every entry as [`entry`] makes them, in order.
    ///
    /// # Errors
    /// As [`Block::read`].
    pub fn entries(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut entries = Vec::new();
        self.for_each(|key, arrival, object| entries.push(whole(key, arrival, object)))?;
        Ok(entries)
    }

    fn for_each(&self, each: impl FnMut(&[u8], Arrival, u32)) -> Result<(), StoreError> {
        self.unpack(each).ok_or_else(|| damaged(self.fence))
    }

    fn unpack(&self, mut each: impl FnMut(&[u8], Arrival, u32)) -> Option<()> {
        let mut rest = self.entries;
        let mut key = Vec::new();
        while !rest.is_empty() {
            let shared = pack::length(&mut rest)?;
            let length = pack::length(&mut rest)?;
            if shared > key.len() || shared.saturating_add(length) > INDEX_KEY_BYTES_MAX {
                return None;
            }
            key.truncate(shared);
            key.extend_from_slice(pack::bytes(&mut rest, length)?);
            let arrival = pack::number(&mut rest)?;
            let object = pack::number(&mut rest)?;
            each(&key, arrival, u32::try_from(object).ok()?);
        }
        Some(())
    }
}

fn damaged(key: &[u8]) -> StoreError {
    StoreError::Damaged {
        key: hex::encode(key),
    }
}

/// An entry: that an object is found by a key. Nothing for a key longer than
/// any that is filed.
pub fn entry(table: u8, key: &[u8], arrival: Arrival, object: u32) -> Option<Vec<u8>> {
    let mut of_table = Vec::with_capacity(key.len() + 1 + PLACE_BYTES);
    of_table.push(table);
    of_table.extend_from_slice(key);
    (of_table.len() <= INDEX_KEY_BYTES_MAX).then(|| whole(&of_table, arrival, object))
}

fn whole(key: &[u8], arrival: Arrival, object: u32) -> Vec<u8> {
    let mut entry = Vec::with_capacity(key.len() + PLACE_BYTES);
    write_whole(&mut entry, key, arrival, object);
    entry
}

fn write_whole(entry: &mut Vec<u8>, key: &[u8], arrival: Arrival, object: u32) {
    entry.extend_from_slice(key);
    entry.push(0);
    entry.extend_from_slice(&arrival.to_be_bytes());
    entry.extend_from_slice(&object.to_be_bytes());
}

/// Table and key of an entry, and its place.
fn parts(entry: &[u8]) -> Option<(&[u8], Arrival, u32)> {
    let (key, place) = entry.split_at_checked(entry.len().checked_sub(PLACE_BYTES)?)?;
    let (_, place) = place.split_first()?;
    let (arrival, object) = place.split_at_checked(8)?;
    Some((
        key,
        Arrival::from_be_bytes(arrival.try_into().ok()?),
        u32::from_be_bytes(object.try_into().ok()?),
    ))
}

/// From where to scan a table for the block that holds what begins so: a fence
/// is above what is below it, so at least the smallest key above.
pub fn seek(beginning: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(beginning.len() + 1);
    key.extend_from_slice(beginning);
    key.push(0);
    key
}

/// What came of filing entries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// What has to be written.
    pub writes: Vec<Entry>,
    /// Entries that are not in it, since their blocks are damaged.
    pub left_out: usize,
}

/// What has to be written so that the store holds these entries, which are in
/// order, besides what it holds. `first_from` gives the first block of a table
/// at or after a key. A block larger than `block_bytes` is cut. `repeated` is
/// called with the key, table byte in front, of every new entry whose key has
/// another place as well. A damaged block is left as it is, and what belongs
/// there is left out.
///
/// # Errors
/// When the store fails.
pub fn insert(
    entries: &[Vec<u8>],
    block_bytes: usize,
    mut first_from: impl FnMut(u8, &[u8]) -> Result<Option<Entry>, StoreError>,
    mut repeated: impl FnMut(&[u8]),
) -> Result<Inserted, StoreError> {
    let mut inserted = Inserted::default();
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let table = first.first().copied().unwrap_or_default();
        let (fence, value) = match first_from(table, &seek(first)) {
            Ok(found) => found.unwrap_or_else(|| (vec![table, LAST_FENCE], vec![1, table])),
            Err(StoreError::Damaged { key }) => {
                rest = inserted.leave_out(rest, &hex::decode(key).unwrap_or_default());
                continue;
            }
            Err(failed @ StoreError::Failed { .. }) => return Err(failed),
        };
        let (new, after) = of_block(rest, &fence);
        let mut again = Vec::new();
        let merged = Block::read(&fence, &value).and_then(|block| {
            Ok((
                block,
                merge(&block, new, &mut |key| again.push(key.to_vec()))?,
            ))
        });
        let (block, merged) = match merged {
            Ok(merged) => merged,
            Err(StoreError::Damaged { .. }) => {
                rest = inserted.leave_out(rest, &fence);
                continue;
            }
            Err(failed @ StoreError::Failed { .. }) => return Err(failed),
        };
        rest = after;
        again.iter().for_each(|key| repeated(key));
        if merged.size <= block_bytes {
            let mut value = Vec::with_capacity(block.from().len() + 2 + merged.packed.len());
            pack::push_bytes(&mut value, block.from());
            value.extend_from_slice(&merged.packed);
            inserted.writes.push((fence, value));
        } else {
            let merged = Block {
                fence: &fence,
                from: block.from(),
                entries: &merged.packed,
            };
            let (from, entries) = (merged.from().to_vec(), merged.entries()?);
            cut(fence, from, &entries, block_bytes, &mut inserted.writes);
        }
    }
    Ok(inserted)
}

impl Inserted {
    /// Leaves out what belongs to a block, and gives what comes after it.
    fn leave_out<'a>(&mut self, rest: &'a [Vec<u8>], fence: &[u8]) -> &'a [Vec<u8>] {
        let (here, after) = of_block(rest, fence);
        self.left_out += here.len();
        after
    }
}

/// The entries of the block with a fence, and those behind it. At least the
/// first: an entry above the last fence is only here, and no key is one.
fn of_block<'a>(rest: &'a [Vec<u8>], fence: &[u8]) -> (&'a [Vec<u8>], &'a [Vec<u8>]) {
    let here = rest.partition_point(|entry| entry.as_slice() < fence);
    rest.split_at_checked(here.max(1)).unwrap_or((rest, &[]))
}

/// The entries of a block and new ones, in order, each once.
fn merge(
    block: &Block<'_>,
    new: &[Vec<u8>],
    repeated: &mut impl FnMut(&[u8]),
) -> Result<Packed, StoreError> {
    let mut merged = Packed::default();
    merged.packed.reserve(block.entries.len() + new.len() * 64);
    let mut new = new.iter().peekable();
    let mut held = Vec::new();
    block.for_each(|key, arrival, object| {
        held.clear();
        write_whole(&mut held, key, arrival, object);
        let mut is_new = false;
        while let Some(entry) = new.next_if(|entry| **entry <= held) {
            is_new = *entry == held;
            if !is_new {
                merged.push_whole(entry, repeated);
            }
        }
        merged.push(key, arrival, object, is_new, repeated);
    })?;
    for entry in new {
        merged.push_whole(entry, repeated);
    }
    Ok(merged)
}

/// Entries as they lie in a block, while they are put together.
#[derive(Default)]
struct Packed {
    packed: Vec<u8>,
    /// What they take, as [`packed_bytes`] counts.
    size: usize,
    key: Vec<u8>,
    last: Option<(Arrival, u32)>,
    is_last_new: bool,
}

impl Packed {
    fn push_whole(&mut self, entry: &[u8], repeated: &mut impl FnMut(&[u8])) {
        if let Some((key, arrival, object)) = parts(entry) {
            self.push(key, arrival, object, true, repeated);
        }
    }

    fn push(
        &mut self,
        key: &[u8],
        arrival: Arrival,
        object: u32,
        is_new: bool,
        repeated: &mut impl FnMut(&[u8]),
    ) {
        if self.key == key && self.last.is_some() {
            if self.last == Some((arrival, object)) {
                return;
            }
            if is_new || self.is_last_new {
                repeated(key);
            }
        }
        let (same, rest) = key.split_at(shared(&self.key, key));
        self.size += rest.len() + NUMBERS_BYTES;
        push_entry(&mut self.packed, same.len(), rest, arrival, object);
        self.key.truncate(same.len());
        self.key.extend_from_slice(rest);
        self.last = Some((arrival, object));
        self.is_last_new = is_new;
    }
}

fn push_entry(packed: &mut Vec<u8>, shared: usize, rest: &[u8], arrival: Arrival, object: u32) {
    pack::push_number(packed, shared as u64);
    pack::push_bytes(packed, rest);
    pack::push_number(packed, arrival);
    pack::push_number(packed, u64::from(object));
}

/// How many bytes are alike at the start.
fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// What an entry takes besides its key, about: two lengths, three bytes of
/// arrival and two of object.
const NUMBERS_BYTES: usize = 7;

/// How many bytes an entry takes behind another, about: its key from where it
/// differs, and the numbers.
fn packed_bytes(before: &[u8], entry: &[u8]) -> usize {
    let key = entry.len().saturating_sub(PLACE_BYTES);
    key - shared(before, entry).min(key) + NUMBERS_BYTES
}

/// Writes the entries of what was one block as one or several; `fence` is the
/// last one's.
fn cut(
    fence: Vec<u8>,
    from: Vec<u8>,
    entries: &[Vec<u8>],
    block_bytes: usize,
    writes: &mut Vec<Entry>,
) {
    let befores = core::iter::once(&[][..]).chain(entries.iter().map(Vec::as_slice));
    let sizes: Vec<usize> = befores
        .zip(entries)
        .map(|(before, entry)| packed_bytes(before, entry))
        .collect();
    let total: usize = sizes.iter().sum();
    // Half full each where one becomes two; three quarters where it becomes
    // many, so that the next few entries do not cut them all again.
    let filled = block_bytes - block_bytes / 4;
    let goal = if total <= block_bytes {
        total
    } else {
        total.div_ceil(total.div_ceil(filled).max(2))
    };
    let mut from = from;
    let mut rest = entries;
    let (mut bytes, mut count) = (0, 0);
    for size in sizes {
        if bytes >= goal
            && let Some((block, after)) = rest.split_at_checked(count)
            && let (Some(last), Some(next)) = (block.last(), after.first())
        {
            // The shortest that is above the one and not above the other.
            let between = next.get(..=shared(last, next)).unwrap_or(next).to_vec();
            writes.push((between.clone(), packed(&from, block)));
            from = between;
            rest = after;
            (bytes, count) = (0, 0);
        }
        bytes += size;
        count += 1;
    }
    writes.push((fence, packed(&from, rest)));
}

fn packed(from: &[u8], entries: &[Vec<u8>]) -> Vec<u8> {
    let mut packed = Vec::new();
    pack::push_bytes(&mut packed, from);
    let mut before: &[u8] = &[];
    for (key, arrival, object) in entries.iter().filter_map(|entry| parts(entry)) {
        let (same, rest) = key.split_at(shared(before, key));
        push_entry(&mut packed, same.len(), rest, arrival, object);
        before = key;
    }
    packed
}

#[cfg(test)]
mod tests;
