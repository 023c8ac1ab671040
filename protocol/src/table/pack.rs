//! Numbers and pieces of bytes within a value of the index, where the codec
//! would decode a whole block for one entry of it.
//!
//! Only this node writes and reads them, and the store has a checksum over each
//! value; so there is no canonical form to insist on, and one still cannot read
//! past the end.

/// The next so many bytes.
pub(crate) fn bytes<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

/// A number that is a length.
pub(crate) fn length(from: &mut &[u8]) -> Option<usize> {
    usize::try_from(number(from)?).ok()
}

/// The next number: seven bits a byte, the least first.
pub(crate) fn number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    // Ten times seven bits hold 64.
    for at in 0..10 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Writes a number.
pub(crate) fn push_number(to: &mut Vec<u8>, number: u64) {
    let mut left = number;
    loop {
        let [low, ..] = left.to_le_bytes();
        left >>= 7;
        if left == 0 {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}

/// Writes bytes behind their length.
pub(crate) fn push_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    push_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use super::*;

    #[test]
    fn numbers_come_back_and_no_cut_is_read_past() {
        let numbers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, u64::MAX >> bit]);
        for wanted in numbers {
            let mut packed = Vec::new();
            push_number(&mut packed, wanted);
            assert!(packed.len() <= 10);
            let mut rest = packed.as_slice();
            assert_eq!((number(&mut rest), rest.len()), (Some(wanted), 0));
            for end in 0..packed.len() {
                assert_eq!(number(&mut &packed[..end]), None);
            }
        }
        assert_eq!(number(&mut &[0xff; 11][..]), None, "a number without end");
        assert_eq!(bytes(&mut &[1, 2][..], 3), None);
    }
}
