//! The tables of a store as people read of them.

use watchfire_protocol::store::StoreError;
use watchfire_protocol::table;

/// A table: the byte its keys begin with, its name, and whether it is truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) byte: u8,
    pub(crate) name: &'static str,
    pub(crate) is_truth: bool,
}

const fn truth(byte: u8, name: &'static str) -> Table {
    Table {
        byte,
        name,
        is_truth: true,
    }
}

const fn index(byte: u8, name: &'static str) -> Table {
    Table {
        byte,
        name,
        is_truth: false,
    }
}

/// The layout of `protocol::table`, in key order.
pub(crate) const TABLES: [Table; 27] = [
    index(b'A', "next-arrival"),
    index(b'B', "bundles"),
    truth(b'C', "chunks"),
    index(b'D', "repeated-ids"),
    index(b'E', "envelopes"),
    index(b'F', "streams"),
    index(b'G', "store-names"),
    index(b'H', "chunk-hashes"),
    index(b'I', "objects"),
    truth(b'J', "prepared"),
    truth(b'K', "accepted"),
    truth(b'L', "log"),
    index(b'M', "marks"),
    truth(b'N', "certificates"),
    index(b'O', "outcomes"),
    index(b'P', "awaited-bodies"),
    truth(b'Q', "quarantined"),
    truth(b'R', "remains"),
    index(b'S', "stream-places"),
    index(b'T', "rows"),
    index(b'U', "judged"),
    index(b'V', "values"),
    index(b'W', "unopened"),
    truth(b'X', "evidence"),
    truth(b'Y', "notices"),
    truth(b'Z', "roster-chain"),
    truth(b'a', "distrusted"),
];

/// What is in no table that this program knows: a newer one may.
pub(crate) const OTHER: Table = truth(0, "other");

/// The table of a key.
pub(crate) fn of(key: &[u8]) -> Table {
    let byte = key.first().copied().unwrap_or(0);
    TABLES
        .into_iter()
        .find(|table| table.byte == byte)
        .unwrap_or(OTHER)
}

/// Where a key stands, in words: ids, numbers and never contents.
pub(crate) fn place(key: &[u8]) -> String {
    let rest = key.get(1..).unwrap_or_default();
    let named = match key.first().copied() {
        Some(b'A') => Some("the number of the next arrival".to_owned()),
        Some(b'G') => Some("the names of this store".to_owned()),
        Some(b'J') => Some("what this node prepared last".to_owned()),
        Some(b'M') => Some(format!("node {}", hex::encode(rest))),
        Some(b'Y') => Some(format!("notice {}", hex::encode(rest))),
        Some(b'a') => Some(format!("member {}", hex::encode(rest))),
        Some(b'Z') => table::epoch_of(key).map(|epoch| format!("epoch {epoch}")),
        Some(b'L' | b'Q' | b'R' | b'P' | b'W' | b'O') => {
            table::arrival_of(key).map(|arrival| format!("arrival {arrival}"))
        }
        Some(b'T') => rest.split_first_chunk::<8>().map(|(arrival, block)| {
            let block = block.try_into().map_or(0, u32::from_be_bytes);
            format!("arrival {}, block {block}", u64::from_be_bytes(*arrival))
        }),
        // So is the id of an object.
        Some(b'D') => Some("an id that more than one object has".to_owned()),
        // The fence of a block is a value that somebody published.
        Some(byte @ (b'I' | b'V')) => Some(format!(
            "a block of {}",
            if byte == b'I' { "ids" } else { "values" }
        )),
        Some(b'C') => rest.split_first_chunk::<32>().map(|(envelope, index)| {
            let index = index.try_into().map_or(0, u32::from_be_bytes);
            format!("envelope {}, chunk {index}", hex::encode(envelope))
        }),
        Some(b'S' | b'F' | b'U') => table::stream_of(key).map(|(stream, sequence)| {
            let node = stream.node;
            let life = stream.incarnation;
            let tag = hex::encode(stream.tag.as_bytes());
            let at = sequence.map_or_else(String::new, |at| format!(", sequence {at}"));
            format!("stream {tag} of node {node}, life {life}{at}")
        }),
        Some(b'X') => rest.split_first_chunk::<56>().and_then(|(stream, after)| {
            let (sequence, envelope) = after.split_first_chunk::<8>()?;
            let node = stream.first_chunk::<32>()?;
            Some(format!(
                "stream of node {}, sequence {}, envelope {}",
                hex::encode(node),
                u64::from_be_bytes(*sequence),
                hex::encode(envelope)
            ))
        }),
        Some(b'E' | b'H' | b'K') => Some(format!("envelope {}", hex::encode(rest))),
        Some(b'B') => Some(format!("bundle {}", hex::encode(rest))),
        Some(b'N') => Some(format!("certificate {}", hex::encode(rest))),
        Some(_) | None => None,
    };
    named.unwrap_or_else(|| format!("key {}", hex::encode(key)))
}

/// A failure of the store in words: a damaged value by its place.
pub(crate) fn in_words(error: &StoreError) -> String {
    match error {
        StoreError::Damaged { key } => {
            let key = hex::decode(key).unwrap_or_default();
            format!(
                "the store holds a damaged value in table {}, {}; it is not served",
                of(&key).name,
                place(&key)
            )
        }
        StoreError::Failed { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use watchfire_protocol::ids::{EnvelopeId, NodeId};
    use watchfire_protocol::wire::Tag;
    use watchfire_protocol::wire::exchange::StreamId;

    #[test]
    fn every_table_of_the_protocol_has_a_name() {
        let indexes: Vec<u8> = TABLES
            .iter()
            .filter(|table| !table.is_truth)
            .map(|table| table.byte)
            .collect();
        let mut known = table::INDEXES.to_vec();
        known.sort_unstable();
        assert_eq!(indexes, known);
        assert!(TABLES.is_sorted_by_key(|table| table.byte));
    }

    #[test]
    fn places_are_said_in_words_and_show_no_value() {
        let stream = StreamId {
            node: NodeId::from_bytes([1; 32]),
            incarnation: 2,
            tag: Tag::PUBLIC,
        };
        let envelope = EnvelopeId::from_bytes([3; 32]);
        for (key, said) in [
            (table::log(12), "arrival 12".to_owned()),
            (
                table::chunk(&envelope, 4),
                format!("envelope {}, chunk 4", "03".repeat(32)),
            ),
            (
                table::sequence(&stream, 9),
                format!(
                    "stream {} of node {}, life 2, sequence 9",
                    hex::encode(Tag::PUBLIC.as_bytes()),
                    "01".repeat(32)
                ),
            ),
            (
                table::evidence(&stream, 9, &envelope),
                format!(
                    "stream of node {}, sequence 9, envelope {}",
                    "01".repeat(32),
                    "03".repeat(32)
                ),
            ),
            (
                table::value(b"evil.example", 5, 6).unwrap(),
                "a block of values".to_owned(),
            ),
            (
                table::repeated(b"x--1"),
                "an id that more than one object has".to_owned(),
            ),
            (table::rows(5, 1), "arrival 5, block 1".to_owned()),
            (b"L\x01".to_vec(), "key 4c01".to_owned()),
        ] {
            assert_eq!(place(&key), said);
            let key = hex::encode(key);
            let words = in_words(&StoreError::Damaged { key });
            assert!(words.contains(&said), "{words}");
        }
    }

    #[test]
    fn attack_49_the_text_of_damage_shows_no_indicator() {
        let damaged = |key: &[u8]| StoreError::Damaged {
            key: hex::encode(key),
        };
        assert!(damaged(&[b'L', 0, 1]).to_string().contains("key 4c0001;"));
        for table in [b'I', b'V', b'D'] {
            let error = damaged(&[&[table], b"evil.example".as_slice()].concat());
            for said in [error.to_string(), in_words(&error)] {
                assert!(!said.contains(&hex::encode("evil")), "{said}");
            }
        }
    }
}
