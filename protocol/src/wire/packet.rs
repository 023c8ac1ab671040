//! A packet: what of membership goes from one machine to another as a file, an
//! offline root's above all.
//!
//! ```text
//! "watchfire-packet 1\n"   19 bytes
//! links, notices           how many of each, two u32, most significant byte first
//! genesis file             length u32, bytes
//! link …                   length u32, bytes; ascending by epoch, from 1
//! notice …                 length u32, bytes; frames, ascending by their bytes
//! ```
//!
//! Nothing follows. Of the same things there is one packet. It is not signed:
//! everything in it is, and is checked as if it had come from anybody.

use super::codec::CodecError;
use crate::limits::{
    FRAME_BYTES_MAX, GENESIS_FILE_BYTES_MAX, LINK_BYTES_MAX, PACKET_BYTES_MAX, PACKET_LINKS_MAX,
    PACKET_NOTICES_MAX,
};
use std::collections::BTreeSet;

/// With what a packet begins.
pub const PACKET_MAGIC: &[u8] = b"watchfire-packet 1\n";

/// What lies around the bytes of an item.
const LENGTH_BYTES: usize = 4;

/// A genesis, the links after it, and notices, none of it checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    genesis: Vec<u8>,
    links: Vec<Vec<u8>>,
    notices: BTreeSet<Vec<u8>>,
    bytes: usize,
}

/// A packet has no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a packet has room for {PACKET_BYTES_MAX} bytes, {PACKET_LINKS_MAX} links and {PACKET_NOTICES_MAX} notices"
)]
pub struct PacketFull;

fn malformed(why: &str) -> CodecError {
    CodecError::Malformed {
        why: why.to_owned(),
    }
}

/// What is left of a packet that is being read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| malformed("the packet ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<usize, CodecError> {
        let bytes = self.take(LENGTH_BYTES)?;
        let number = bytes
            .iter()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        usize::try_from(number).map_err(|_| malformed("a number of the packet is too large"))
    }

    fn item(&mut self, bytes_max: usize) -> Result<&'a [u8], CodecError> {
        let bytes = self.number()?;
        if bytes > bytes_max {
            return Err(CodecError::TooLong { bytes, bytes_max });
        }
        self.take(bytes)
    }
}

fn put(to: &mut Vec<u8>, item: &[u8]) {
    to.extend(u32::try_from(item.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(item);
}

impl Packet {
    /// With a genesis file alone.
    ///
    /// # Errors
    /// When it is longer than one may be.
    pub fn new(genesis: Vec<u8>) -> Result<Self, PacketFull> {
        if genesis.len() > GENESIS_FILE_BYTES_MAX {
            return Err(PacketFull);
        }
        let mut packet = Self {
            genesis: Vec::new(),
            links: Vec::new(),
            notices: BTreeSet::new(),
            bytes: PACKET_MAGIC.len() + 2 * LENGTH_BYTES,
        };
        packet.make_room(genesis.len())?;
        packet.genesis = genesis;
        Ok(packet)
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), PacketFull> {
        let bytes = self
            .bytes
            .saturating_add(bytes)
            .saturating_add(LENGTH_BYTES);
        if bytes > PACKET_BYTES_MAX {
            return Err(PacketFull);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Adds the link that follows those in here.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn add_link(&mut self, link: Vec<u8>) -> Result<(), PacketFull> {
        if link.len() > LINK_BYTES_MAX || self.links.len() >= PACKET_LINKS_MAX {
            return Err(PacketFull);
        }
        self.make_room(link.len())?;
        self.links.push(link);
        Ok(())
    }

    /// Adds the frame of a notice. Gives whether it was not in here.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn add_notice(&mut self, frame: Vec<u8>) -> Result<bool, PacketFull> {
        if self.notices.contains(&frame) {
            return Ok(false);
        }
        if frame.len() > FRAME_BYTES_MAX || self.notices.len() >= PACKET_NOTICES_MAX {
            return Err(PacketFull);
        }
        self.make_room(frame.len())?;
        self.notices.insert(frame);
        Ok(true)
    }

    /// The genesis file.
    pub fn genesis(&self) -> &[u8] {
        &self.genesis
    }

    /// The links, ascending by epoch as whoever made it says.
    pub fn links(&self) -> impl Iterator<Item = &[u8]> {
        self.links.iter().map(Vec::as_slice)
    }

    /// The frames of the notices, ascending.
    pub fn notices(&self) -> impl Iterator<Item = &[u8]> {
        self.notices.iter().map(Vec::as_slice)
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes);
        bytes.extend(PACKET_MAGIC);
        for count in [self.links.len(), self.notices.len()] {
            bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
        }
        put(&mut bytes, &self.genesis);
        self.links.iter().for_each(|link| put(&mut bytes, link));
        self.notices.iter().for_each(|frame| put(&mut bytes, frame));
        bytes
    }

    /// Whether a file begins as a packet does.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(PACKET_MAGIC)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is no packet, not the only form of one, or over a bound.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > PACKET_BYTES_MAX {
            return Err(CodecError::TooLong {
                bytes: bytes.len(),
                bytes_max: PACKET_BYTES_MAX,
            });
        }
        let full = |_| malformed("the packet holds more than one may");
        let mut reader = Reader(bytes);
        if !Self::is_one(bytes) {
            return Err(malformed("this is not a packet of watchfire"));
        }
        reader.take(PACKET_MAGIC.len())?;
        let (links, notices) = (reader.number()?, reader.number()?);
        if links > PACKET_LINKS_MAX || notices > PACKET_NOTICES_MAX {
            return Err(full(PacketFull));
        }
        let mut packet = Self::new(reader.item(GENESIS_FILE_BYTES_MAX)?.to_vec()).map_err(full)?;
        for _ in 0..links {
            packet
                .add_link(reader.item(LINK_BYTES_MAX)?.to_vec())
                .map_err(full)?;
        }
        let mut last: Option<&[u8]> = None;
        for _ in 0..notices {
            let frame = reader.item(FRAME_BYTES_MAX)?;
            if last.is_some_and(|last| last >= frame) {
                return Err(CodecError::NotCanonical);
            }
            last = Some(frame);
            packet.add_notice(frame.to_vec()).map_err(full)?;
        }
        match reader.0.len() {
            0 => Ok(packet),
            bytes => Err(CodecError::Trailing { bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn packet() -> Packet {
        let mut packet = Packet::new(b"genesis".to_vec()).unwrap();
        packet.add_link(b"one".to_vec()).unwrap();
        packet.add_link(b"another".to_vec()).unwrap();
        for frame in [&b"\x01\x05b"[..], b"\x01\x03a", b"\x01\x04"] {
            assert!(packet.add_notice(frame.to_vec()).unwrap());
        }
        packet
    }

    #[test]
    fn a_packet_comes_back_and_has_one_form() {
        let packet = packet();
        let bytes = packet.to_bytes();
        assert_eq!(bytes.len(), packet.bytes);
        assert_eq!(Packet::from_bytes(&bytes), Ok(packet.clone()));
        let mut again = packet.clone();
        assert!(!again.add_notice(b"\x01\x03a".to_vec()).unwrap());
        assert_eq!(again.to_bytes(), bytes);
        let links: Vec<_> = packet.links().collect();
        assert_eq!(links, [&b"one"[..], b"another"], "in the order given");
        let notices: Vec<_> = packet.notices().collect();
        assert_eq!(notices, [&b"\x01\x03a"[..], b"\x01\x04", b"\x01\x05b"]);
    }

    #[test]
    fn attack_30_every_other_form_of_a_packet_is_refused() {
        let bytes = packet().to_bytes();
        for length in 0..bytes.len() {
            assert!(Packet::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        let trailing = [&bytes[..], b"x"].concat();
        assert_eq!(
            Packet::from_bytes(&trailing),
            Err(CodecError::Trailing { bytes: 1 })
        );
        // The same notices in another order, and one twice.
        let head = &bytes[..bytes.len() - 3 * 4 - 8];
        let item = |frame: &[u8]| {
            let mut item = Vec::new();
            put(&mut item, frame);
            item
        };
        let (a, b, c) = (item(b"\x01\x03a"), item(b"\x01\x04"), item(b"\x01\x05b"));
        let of = |items: [&Vec<u8>; 3]| {
            let items: Vec<u8> = items.into_iter().flatten().copied().collect();
            Packet::from_bytes(&[head, &items].concat())
        };
        assert!(of([&a, &b, &c]).is_ok());
        assert_eq!(of([&b, &a, &c]), Err(CodecError::NotCanonical));
        assert_eq!(of([&a, &a, &c]), Err(CodecError::NotCanonical));
    }

    #[test]
    fn attack_31_claimed_lengths_and_counts_reserve_nothing() {
        for at in [19, 23, 27, 38] {
            let mut bytes = packet().to_bytes();
            bytes[at] = 0xff;
            assert!(Packet::from_bytes(&bytes).is_err(), "{at}");
        }
        let mut full = Packet::new(Vec::new()).unwrap();
        assert_eq!(full.add_link(vec![0; LINK_BYTES_MAX + 1]), Err(PacketFull));
        assert_eq!(
            full.add_notice(vec![0; FRAME_BYTES_MAX + 1]),
            Err(PacketFull)
        );
        let most = PACKET_BYTES_MAX / (FRAME_BYTES_MAX + LENGTH_BYTES);
        for number in 0..most {
            let mut frame = vec![0; FRAME_BYTES_MAX];
            frame[..8].copy_from_slice(&(number as u64).to_be_bytes());
            assert_eq!(full.add_notice(frame), Ok(true));
        }
        assert_eq!(
            full.add_notice(vec![9; FRAME_BYTES_MAX]),
            Err(PacketFull),
            "bounded by its bytes too"
        );
        assert!(full.to_bytes().len() <= PACKET_BYTES_MAX);
        assert!(Packet::from_bytes(&full.to_bytes()).is_ok());
    }
}
