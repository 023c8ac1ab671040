//! The Merkle tree over payload chunks: RFC 9162, section 2.1, with SHA-256.
//!
//! A holder who cannot read a payload can still prove each chunk of it against
//! the root its author signed, so any chunk may come from anybody.

use super::bounded::List;
use crate::limits::{CHUNK_BYTES, CHUNK_PATH_MAX, CHUNKS_MAX};
use watchfire_crypto::sha256;

/// The root hash of a chunk tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Root([u8; 32]);

/// The sibling hashes from a chunk up to the root, nearest first.
pub type ChunkPath = List<[u8; 32], CHUNK_PATH_MAX>;

impl Root {
    /// The root over a payload, which is cut into chunks here. An empty payload
    /// has no tree.
    pub fn of(payload: &[u8]) -> Option<Self> {
        Self::of_leaves(&leaves(payload))
    }

    /// The root over leaf hashes that are already known.
    pub fn of_leaves(leaves: &[[u8; 32]]) -> Option<Self> {
        (!leaves.is_empty()).then(|| Self(subtree(leaves)))
    }

    /// Whether `chunk` is number `index` of `count` under this root.
    pub fn holds(&self, chunk: &[u8], index: u32, count: u32, path: &ChunkPath) -> bool {
        verify(leaf(chunk), index, count, path.as_slice()) == Some(self.0)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// How many chunks a payload of `length` bytes has.
pub fn chunk_count(length: u64) -> u64 {
    length.div_ceil(CHUNK_BYTES as u64)
}

/// How long chunk `index` of a payload of `length` bytes is; 0 past its end.
pub fn chunk_length(length: u64, index: u32) -> usize {
    let start = u64::from(index).saturating_mul(CHUNK_BYTES as u64);
    usize::try_from(length.saturating_sub(start))
        .unwrap_or(usize::MAX)
        .min(CHUNK_BYTES)
}

/// The inclusion path of chunk `index`, for whoever knows every leaf hash.
pub fn path_of(leaves: &[[u8; 32]], index: u32) -> Option<ChunkPath> {
    let index = usize::try_from(index).ok()?;
    if index >= leaves.len() || leaves.len() > CHUNKS_MAX {
        return None;
    }
    let mut path = Vec::new();
    collect_path(leaves, index, &mut path);
    ChunkPath::new(path).ok()
}

/// The leaf hashes of a payload, which is cut into chunks here.
pub fn leaves(payload: &[u8]) -> Vec<[u8; 32]> {
    payload.chunks(CHUNK_BYTES).map(leaf).collect()
}

/// The leaf hash of one chunk.
pub fn leaf(chunk: &[u8]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(chunk.len() + 1);
    bytes.push(0);
    bytes.extend_from_slice(chunk);
    sha256(&bytes)
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut bytes = [1; 65];
    let (_, rest) = bytes.split_at_mut(1);
    let (into_left, into_right) = rest.split_at_mut(32);
    into_left.copy_from_slice(left);
    into_right.copy_from_slice(right);
    sha256(&bytes)
}

/// Where a tree of `count` leaves is split: the largest power of two below.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// Depth is at most the logarithm of [`CHUNKS_MAX`], so recursion is bounded.
fn subtree(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [] => sha256(&[]),
        [only] => *only,
        several => {
            let (left, right) = several.split_at(split(several.len()));
            node(&subtree(left), &subtree(right))
        }
    }
}

fn collect_path(hashes: &[[u8; 32]], index: usize, path: &mut Vec<[u8; 32]>) {
    if hashes.len() < 2 {
        return;
    }
    let at = split(hashes.len());
    let (left, right) = hashes.split_at(at);
    if index < at {
        collect_path(left, index, path);
        path.push(subtree(right));
    } else {
        collect_path(right, index - at, path);
        path.push(subtree(left));
    }
}

/// RFC 9162, section 2.1.3.2.
fn verify(leaf: [u8; 32], index: u32, count: u32, path: &[[u8; 32]]) -> Option<[u8; 32]> {
    if index >= count {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, count - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_of_every_small_tree_proves_itself_and_nothing_else() {
        for count in 1..=17u32 {
            // Short "chunks" would not be chunks; what matters is the tree.
            let hashes: Vec<_> = (0..count).map(|at| leaf(&at.to_le_bytes())).collect();
            let root = Root(subtree(&hashes));
            for index in 0..count {
                let mut path = Vec::new();
                collect_path(&hashes, index as usize, &mut path);
                let path = ChunkPath::new(path).unwrap();
                assert!(root.holds(&index.to_le_bytes(), index, count, &path));
                for other in (0..count).filter(|other| *other != index) {
                    assert!(!root.holds(&other.to_le_bytes(), index, count, &path));
                    assert!(!root.holds(&index.to_le_bytes(), other, count, &path));
                }
                let mut longer = path.clone().into_vec();
                longer.push([0; 32]);
                assert!(!root.holds(
                    &index.to_le_bytes(),
                    index,
                    count,
                    &ChunkPath::new(longer).unwrap()
                ));
            }
        }
    }

    #[test]
    fn payload_of_several_chunks() {
        let payload: Vec<u8> = (0..=250).cycle().take(CHUNK_BYTES * 2 + 100).collect();
        let root = Root::of(&payload).unwrap();
        assert_eq!(chunk_count(payload.len() as u64), 3);
        assert_eq!(chunk_length(payload.len() as u64, 2), 100);
        assert_eq!(chunk_length(payload.len() as u64, 3), 0);
        for (index, chunk) in (0..).zip(payload.chunks(CHUNK_BYTES)) {
            let path = path_of(&leaves(&payload), index).unwrap();
            assert!(root.holds(chunk, index, 3, &path));
        }
        assert!(path_of(&leaves(&payload), 3).is_none());
        assert!(Root::of(&[]).is_none());
    }
}
