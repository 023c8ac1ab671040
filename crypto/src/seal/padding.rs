//! Sizes that tell little of what is in them.

/// The sizes of a sealed header, in bytes, its padding included and its tag not.
pub const HEADER_SIZES: [usize; 5] = [512, 1_024, 2_048, 4_096, 8_192];

/// The small sizes of a sealed payload.
const PAYLOAD_SIZES: [u64; 5] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// Above those, a size keeps this many bits behind its highest, so it grows by a sixteenth at most: 6.25 %.
const STEP_BITS: u32 = 4;

/// The size that a header of so many bytes is padded to; `None` when it is too long.
pub fn header_size(bytes: usize) -> Option<usize> {
    HEADER_SIZES.into_iter().find(|size| *size >= bytes)
}

/// The size that a payload of so many bytes is padded to: 1, 4, 16, 64, 256 KiB, then in steps of at most 6.25 %.
pub fn payload_size(bytes: u64) -> u64 {
    if let Some(size) = PAYLOAD_SIZES.into_iter().find(|size| *size >= bytes) {
        return size;
    }
    let step = 1 << (bytes.ilog2() - STEP_BITS);
    bytes.next_multiple_of(step)
}
