//! Mutations of bytes from a seed: the same seed, the same bytes.

/// Numbers from a seed (SplitMix64). Good enough to choose by, and for nothing
/// else.
#[derive(Clone, Debug)]
pub struct Chooser(u64);

impl Chooser {
    /// Begins with a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where nothing is below it.
    ///
    /// # Panics
    /// Never: what is below a `usize` is one.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap().max(1);
        usize::try_from(self.number() % bound).unwrap()
    }

    /// One byte.
    pub const fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}

/// Bytes at which parsers change their minds: bounds of the codec's integers,
/// signs of JSON, CSV and patterns, beginnings of UTF-8 sequences.
const EDGES: [u8; 28] = [
    0, 1, 2, 15, 0x7f, 0x80, 250, 251, 252, 253, 254, 255, b'\n', b'\r', b'\t', b' ', b'"', b'\'',
    b'\\', b'{', b'}', b'[', b']', b',', b':', b'.', 0xc3, 0xe2,
];

/// Longest piece that is removed, repeated or moved, in bytes.
const PIECE_BYTES_MAX: usize = 64;

/// A sample with one to six changes. `others` are pieces to splice in from.
pub fn mutated(
    sample: &[u8],
    others: &[Vec<u8>],
    words: &[&str],
    chooser: &mut Chooser,
) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=chooser.below(6) {
        change(&mut bytes, others, words, chooser);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], words: &[&str], chooser: &mut Chooser) {
    let at = chooser.below(bytes.len() + 1);
    let piece = at..(at + 1 + chooser.below(PIECE_BYTES_MAX)).min(bytes.len());
    match chooser.below(10) {
        0 if at < bytes.len() => bytes[at] = chooser.byte(),
        1 if at < bytes.len() => bytes[at] ^= 1 << chooser.below(8),
        2 if at < bytes.len() => bytes[at] = EDGES[chooser.below(EDGES.len())],
        3 => bytes.insert(at, EDGES[chooser.below(EDGES.len())]),
        4 if at < bytes.len() => {
            bytes.drain(piece);
        }
        5 if at < bytes.len() => {
            let again = bytes[piece].to_vec();
            let to = chooser.below(bytes.len() + 1);
            bytes.splice(to..to, again);
        }
        6 if !words.is_empty() => {
            let word = words[chooser.below(words.len())];
            bytes.splice(at..at, word.bytes());
        }
        7 if !others.is_empty() => {
            let other = &others[chooser.below(others.len())];
            let from = chooser.below(other.len() + 1);
            let to = (from + chooser.below(4 * PIECE_BYTES_MAX)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        8 => {
            let count = chooser.below(9);
            let noise = chooser.bytes(count);
            bytes.splice(at..at, noise);
        }
        9 if chooser.below(8) == 0 => bytes.truncate(at),
        _ => {}
    }
}
