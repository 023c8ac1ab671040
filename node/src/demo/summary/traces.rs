//! What a store really holds, read past every question that the policy
//! answers: each key and each value as they lie there, whatever is compressed
//! in them, and every payload of the log put together.

use std::collections::BTreeSet;
use std::io::Read as _;

use watchfire_protocol::gate::{Content, Frame, check, envelope_id};
use watchfire_protocol::ids::BundleId;
use watchfire_protocol::limits::{CHUNKS_MAX, FRAME_BYTES_MAX, PLAIN_BYTES_MAX};
use watchfire_protocol::opening::plain;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Entry, Store, StoreError};
use watchfire_protocol::table::{self, LogEntry};
use watchfire_protocol::wire::codec;

/// Entries read at once. The largest value is a chunk of 256 KiB, so a page is
/// at most 16 MiB.
const PAGE_ENTRIES: usize = 64;

/// A log entry is a frame, its length and a time: 32 bytes more are enough.
const LOG_ENTRY_BYTES_MAX: usize = FRAME_BYTES_MAX + 32;

/// A bundle that must be there, and what the search must see of it: a search
/// that finds nothing has shown nothing unless it also finds what is there.
pub(crate) struct Expected {
    /// Its id.
    pub(crate) bundle: BundleId,
    /// Some bytes of its payload, as its author sent it.
    pub(crate) in_payload: Vec<u8>,
    /// The beginning of a key of its index.
    pub(crate) in_key: Vec<u8>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// Entries with something forbidden in them, and envelopes of the log that
    /// carry nothing expected.
    pub(crate) leaks: u64,
    /// Bundles whose payload was read.
    pub(crate) read: BTreeSet<BundleId>,
    /// Bundles whose index was read.
    pub(crate) indexed: BTreeSet<BundleId>,
}

/// What to look for.
pub(crate) struct Search<'a> {
    expected: &'a [Expected],
    forbidden: Needles<'a>,
}

/// Texts that are looked for all at once. Their first bytes decide quickly.
struct Needles<'a> {
    first: [bool; 256],
    texts: Vec<&'a [u8]>,
}

impl<'a> Needles<'a> {
    fn new(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
        let mut first = [false; 256];
        for byte in texts.iter().filter_map(|text| text.first()) {
            if let Some(is_first) = first.get_mut(usize::from(*byte)) {
                *is_first = true;
            }
        }
        Self { first, texts }
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            let is_first = self.first.get(usize::from(*byte)).copied();
            if is_first == Some(true) && self.texts.iter().any(|text| rest.starts_with(text)) {
                return true;
            }
            rest = after;
        }
        false
    }
}

impl<'a> Search<'a> {
    pub(crate) fn new(expected: &'a [Expected], forbidden: &'a [Vec<u8>]) -> Self {
        Self {
            expected,
            forbidden: Needles::new(forbidden.iter().map(Vec::as_slice)),
        }
    }

    /// Reads a store from its first key to its last.
    pub(crate) fn through<S: Store>(
        &self,
        store: &S,
        roster: &Roster,
    ) -> Result<Traces, StoreError> {
        let mut traces = Traces::default();
        for_each(store, |key, value| {
            let mut texts = frames_in(value);
            if let Some((bundle, payload)) = self.carried(store, roster, key, value)? {
                match self.expected.iter().find(|known| known.bundle == bundle) {
                    Some(known) => {
                        if Needles::new([known.in_payload.as_slice()].into_iter()).are_in(&payload)
                        {
                            traces.read.insert(bundle);
                        }
                    }
                    None => traces.leaks += 1,
                }
                texts.push(payload);
            } else if table::log(0).first() == key.first() {
                // Nothing else belongs in the log of this story.
                traces.leaks += 1;
            }
            // As they would be read, since a block says only what differs.
            let entries = table::entries_in(key, value)?;
            let here = [key, value].into_iter();
            let mut all = here.chain(texts.iter().chain(&entries).map(Vec::as_slice));
            traces.leaks += u64::from(all.any(|text| self.forbidden.are_in(text)));
            for known in self.expected {
                if entries.iter().any(|entry| entry.starts_with(&known.in_key)) {
                    traces.indexed.insert(known.bundle);
                }
            }
            Ok(())
        })?;
        Ok(traces)
    }

    /// The bundle in an entry of the log, and its payload decoded: empty where
    /// that is not here or cannot be decoded. None for anything else.
    fn carried<S: Store>(
        &self,
        store: &S,
        roster: &Roster,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<(BundleId, Vec<u8>)>, StoreError> {
        if table::log(0).first() != key.first() {
            return Ok(None);
        }
        let Ok(entry) = codec::decode::<LogEntry>(value, LOG_ENTRY_BYTES_MAX) else {
            return Ok(None);
        };
        let Ok(verified) = check(entry.frame.as_slice(), roster) else {
            return Ok(None);
        };
        let frame: &Frame = verified.value();
        let (Content::Bundle(bundle), Some(id)) = (frame.content(), frame.bundle_id()) else {
            return Ok(None);
        };
        let payload = match frame.payload() {
            Some(payload) => payload.to_vec(),
            None => {
                let chunks = table::chunks(&envelope_id(&verified));
                let chunks = store.scan(&chunks, &chunks, CHUNKS_MAX)?;
                chunks.into_iter().flat_map(|(_, chunk)| chunk).collect()
            }
        };
        Ok(Some((
            id,
            plain(bundle.value(), &payload).unwrap_or_default(),
        )))
    }
}

/// Everything in a store, page by page.
fn for_each<S: Store>(
    store: &S,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let page: Vec<Entry> = store.scan(b"", &from, PAGE_ENTRIES)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        // The smallest key above it.
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in &page {
            each(key, value)?;
        }
    }
}

/// How many entries a store holds, whatever they are.
pub(crate) fn entries<S: Store>(store: &S) -> Result<u64, StoreError> {
    let mut entries = 0;
    for_each(store, |_, _| {
        entries += 1;
        Ok(())
    })?;
    Ok(entries)
}

/// What every zstd frame (RFC 8878, section 3.1.1) in some bytes decodes to,
/// wherever it begins. What does not decode to its end is taken as far as it
/// does.
fn frames_in(bytes: &[u8]) -> Vec<Vec<u8>> {
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
    let begins = bytes.windows(MAGIC.len()).enumerate();
    begins
        .filter(|(_, window)| *window == MAGIC)
        .filter_map(|(at, _)| bytes.get(at..))
        .filter_map(|frame| zstd::stream::read::Decoder::with_buffer(frame).ok())
        .map(|decoder| {
            let mut plain = Vec::new();
            let _ = decoder
                .single_frame()
                .take(PLAIN_BYTES_MAX)
                .read_to_end(&mut plain);
            plain
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use watchfire_protocol::founding::{Profile, make_card};
    use watchfire_protocol::roster::{draft_genesis, sign_genesis};
    use watchfire_protocol::store::{Batch, MemoryStore};
    use watchfire_protocol::wire::card::{Contact, Role};

    use super::super::super::cast::fresh_keys;
    use super::*;

    const FORBIDDEN: &str = "amber-case.example";

    fn roster() -> Roster {
        let members = ["north-cert", "south-cert"].map(|slug| {
            let keys = fresh_keys().unwrap();
            let profile = Profile {
                slug: slug.parse().unwrap(),
                role: Role::Agency,
                contact: Contact::default(),
                addresses: Vec::new(),
                door_addresses: Vec::new(),
            };
            let card = make_card(&profile, &keys, 1_000_000).unwrap();
            ((card, Vec::new()), keys)
        });
        let (cards, keys): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let mut genesis = draft_genesis("a test", 1_000_000, &cards).unwrap();
        for keys in keys {
            genesis = sign_genesis(&genesis, &keys.root).unwrap();
        }
        Roster::found(&genesis).unwrap()
    }

    fn leaks_of(entries: &[(&[u8], &[u8])]) -> u64 {
        let store = MemoryStore::default();
        let mut batch = Batch::default();
        for (key, value) in entries {
            batch.put(key.to_vec(), value.to_vec());
        }
        store.apply(&batch).unwrap();
        let forbidden = [FORBIDDEN.as_bytes().to_vec()];
        let search = Search::new(&[], &forbidden);
        search.through(&store, &roster()).unwrap().leaks
    }

    #[test]
    fn nothing_forbidden_is_no_leak() {
        let near: &[u8] = b"amber-case.exampl";
        assert_eq!(leaks_of(&[]), 0);
        assert_eq!(leaks_of(&[(b"Tx", near), (near, b"")]), 0);
    }

    #[test]
    fn what_is_forbidden_is_seen_wherever_it_lies() {
        let text = format!("seen: {FORBIDDEN}, again and again, again and again");
        let frame = crate::encode::zstd_of(text.as_bytes()).unwrap();
        let wrapped = [b"before".as_slice(), &frame, b"behind"].concat();
        // In the index most of it stands with the entry before.
        let (start, _) = FORBIDDEN.split_at(FORBIDDEN.len() - 1);
        let filed = [start, FORBIDDEN].map(|key| table::value(key.as_bytes(), 7, 0).unwrap());
        let inserted = table::blocks::insert(&filed, 1_024, |_, _| Ok(None), |_| {});
        let mut blocks = inserted.unwrap().writes;
        let (key, block) = blocks.pop().unwrap();
        let packed = String::from_utf8_lossy(&block).into_owned();
        assert!(blocks.is_empty() && !packed.contains(FORBIDDEN));
        let cases: [(&[u8], &[u8]); 3] = [
            (b"T in a value", text.as_bytes()),
            (b"C compressed", &wrapped),
            (&key, &block),
        ];
        for case in &cases {
            assert_eq!(
                leaks_of(&[*case]),
                1,
                "{:?}",
                String::from_utf8_lossy(case.0)
            );
        }
        assert_eq!(leaks_of(&cases), 3);
    }

    #[test]
    fn what_the_log_holds_beyond_the_story_is_a_leak() {
        assert_eq!(leaks_of(&[(&table::log(7), b"no frame of ours")]), 1);
    }

    #[test]
    fn a_store_of_many_pages_is_read_to_its_end() {
        let store = MemoryStore::default();
        let mut batch = Batch::default();
        for number in 0..=u8::try_from(PAGE_ENTRIES).unwrap() * 2 {
            batch.put(vec![b'T', number], vec![number]);
        }
        batch.put(vec![b'Z'], FORBIDDEN.as_bytes().to_vec());
        store.apply(&batch).unwrap();
        assert_eq!(entries(&store).unwrap(), 2 * 64 + 2);
        let forbidden = [FORBIDDEN.as_bytes().to_vec()];
        let traces = Search::new(&[], &forbidden).through(&store, &roster());
        assert_eq!(traces.unwrap().leaks, 1);
    }
}
