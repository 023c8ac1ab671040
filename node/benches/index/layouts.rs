//! The layouts of the value index that were compared.

use std::collections::{BTreeMap, HashMap};

use watchfire_crypto::sha256;
use watchfire_protocol::store::{Batch, Entry, Store};
use watchfire_protocol::table::blocks::{self, Block};

/// Arrival and number of an object.
pub(crate) type Place = (u64, u32);

/// One way to lay out which object is found by which key.
pub(crate) trait Layout<S: Store> {
    /// What to write so that a bundle's keys are found; keys in order.
    fn file(&mut self, store: &S, arrival: u64, keys: &[(Vec<u8>, u32)]) -> Batch;
    /// The places of keys that begin so. `exact` says that it is a whole key.
    fn find(&self, store: &S, beginning: &[u8], exact: bool) -> Vec<Place>;
}

/// A key of the store for each place, with nothing in it.
pub(crate) struct KeyPerPlace;

const TABLE: u8 = b'V';

fn key(parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![TABLE];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// Every entry under a prefix.
fn under<S: Store>(store: &S, prefix: &[u8]) -> Vec<Entry> {
    store
        .scan(prefix, prefix, usize::MAX)
        .expect("the store reads")
}

fn place_at_end(key: &[u8]) -> Place {
    let (arrival, object) = key[key.len() - 12..].split_at(8);
    (
        u64::from_be_bytes(arrival.try_into().expect("eight")),
        u32::from_be_bytes(object.try_into().expect("four")),
    )
}

impl<S: Store> Layout<S> for KeyPerPlace {
    fn file(&mut self, _: &S, arrival: u64, keys: &[(Vec<u8>, u32)]) -> Batch {
        let mut batch = Batch::default();
        for (value, object) in keys {
            let entry = blocks::entry(TABLE, value, arrival, *object);
            batch.put(entry.expect("it is short"), Vec::new());
        }
        batch
    }

    fn find(&self, store: &S, beginning: &[u8], _: bool) -> Vec<Place> {
        let found = under(store, &key(&[beginning]));
        found.iter().map(|(key, _)| place_at_end(key)).collect()
    }
}

/// A key of the store for each value, with all its places.
pub(crate) struct KeyPerValue;

fn push_places(list: &mut Vec<u8>, places: impl IntoIterator<Item = Place>) {
    for (arrival, object) in places {
        for number in [arrival, u64::from(object)] {
            let mut left = number;
            while left > 0x7f {
                list.push((left & 0x7f) as u8 | 0x80);
                left >>= 7;
            }
            list.push(left as u8);
        }
    }
}

fn read_places(list: &[u8]) -> Vec<Place> {
    let mut numbers = Vec::new();
    let (mut number, mut shift) = (0_u64, 0);
    for byte in list {
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            numbers.push(number);
            (number, shift) = (0, 0);
        }
    }
    numbers
        .chunks_exact(2)
        .map(|place| (place[0], place[1] as u32))
        .collect()
}

impl<S: Store> Layout<S> for KeyPerValue {
    fn file(&mut self, store: &S, arrival: u64, keys: &[(Vec<u8>, u32)]) -> Batch {
        let mut lists: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (value, object) in keys {
            let key = key(&[value, &[0]]);
            let list = lists.entry(key).or_insert_with_key(|key| {
                store.get(key).expect("the store reads").unwrap_or_default()
            });
            push_places(list, [(arrival, *object)]);
        }
        let mut batch = Batch::default();
        lists
            .into_iter()
            .for_each(|(key, list)| batch.put(key, list));
        batch
    }

    fn find(&self, store: &S, beginning: &[u8], exact: bool) -> Vec<Place> {
        if exact {
            let list = store.get(&key(&[beginning, &[0]]));
            return list
                .expect("the store reads")
                .map_or_else(Vec::new, |list| read_places(&list));
        }
        let found = under(store, &key(&[beginning]));
        found
            .iter()
            .flat_map(|(_, list)| read_places(list))
            .collect()
    }
}

/// Blocks in the order of the keys, across all bundles: what the engine has.
pub(crate) struct Ordered {
    pub(crate) block_bytes: usize,
}

impl<S: Store> Layout<S> for Ordered {
    fn file(&mut self, store: &S, arrival: u64, keys: &[(Vec<u8>, u32)]) -> Batch {
        let mut entries: Vec<Vec<u8>> = keys
            .iter()
            .filter_map(|(value, object)| blocks::entry(TABLE, value, arrival, *object))
            .collect();
        entries.sort_unstable();
        let first_from = |table, from: &[u8]| Ok(store.scan(&[table], from, 1)?.pop());
        let writes = blocks::insert(&entries, self.block_bytes, first_from, |_| {});
        let mut batch = Batch::default();
        for (key, value) in writes.expect("the store reads").writes {
            batch.put(key, value);
        }
        batch
    }

    fn find(&self, store: &S, beginning: &[u8], exact: bool) -> Vec<Place> {
        let beginning = key(&[beginning]);
        let mut places = Vec::new();
        let mut from = blocks::seek(&beginning);
        let mut limit = if exact { 1 } else { 4 };
        loop {
            let page = store.scan(&[TABLE], &from, limit).expect("the store reads");
            let Some((last, _)) = page.last() else {
                return places;
            };
            from = blocks::seek(last);
            limit = 64;
            let goes_on = last.starts_with(&beginning);
            for (key, value) in page {
                let block = Block::read(&key, &value).expect("it is whole");
                places.extend(block.places(&beginning).expect("it is whole"));
            }
            if !goes_on {
                return places;
            }
        }
    }
}

/// Blocks in the order of the keys for each bundle, and in memory a filter for
/// each bundle, of ten bits a key.
#[derive(Default)]
pub(crate) struct PerBundle {
    bundles: Vec<(u64, Filter)>,
}

/// Bloom's: seven bits of ten for each key.
struct Filter {
    bits: Vec<u64>,
}

impl Filter {
    fn of(keys: &[(Vec<u8>, u32)]) -> Self {
        let mut filter = Self {
            bits: vec![0; (keys.len() * 10).div_ceil(64)],
        };
        for (key, _) in keys {
            for bit in filter.bits_of(key) {
                filter.bits[bit / 64] |= 1 << (bit % 64);
            }
        }
        filter
    }

    fn bits_of(&self, key: &[u8]) -> [usize; 7] {
        let (first, second) = hashes(key);
        let length = self.bits.len() as u64 * 64;
        std::array::from_fn(|at| {
            (first.wrapping_add(second.wrapping_mul(at as u64)) % length) as usize
        })
    }

    fn may_hold(&self, key: &[u8]) -> bool {
        let bits = self.bits_of(key);
        bits.iter()
            .all(|bit| self.bits[bit / 64] >> (bit % 64) & 1 == 1)
    }
}

fn hashes(key: &[u8]) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = sha256(key);
    (
        u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        u64::from_le_bytes([i, j, k, l, m, n, o, p]) | 1,
    )
}

const BUNDLE_BLOCK_KEYS: usize = 64;

impl<S: Store> Layout<S> for PerBundle {
    fn file(&mut self, _: &S, arrival: u64, keys: &[(Vec<u8>, u32)]) -> Batch {
        self.bundles.push((arrival, Filter::of(keys)));
        let mut batch = Batch::default();
        for block in keys.chunks(BUNDLE_BLOCK_KEYS) {
            let mut value = Vec::new();
            let mut before: &[u8] = &[];
            for (key, object) in block {
                let shared = before.iter().zip(key).take_while(|(a, b)| a == b).count();
                value.extend([shared as u8, (key.len() - shared) as u8]);
                value.extend_from_slice(&key[shared..]);
                push_places(&mut value, [(0, *object)]);
                before = key;
            }
            let last = &block[block.len() - 1].0;
            batch.put(key(&[&arrival.to_be_bytes(), last]), value);
        }
        batch
    }

    fn find(&self, store: &S, beginning: &[u8], exact: bool) -> Vec<Place> {
        let mut places = Vec::new();
        for (arrival, filter) in &self.bundles {
            if exact && !filter.may_hold(beginning) {
                continue;
            }
            let prefix = key(&[&arrival.to_be_bytes()]);
            let mut from = key(&[&arrival.to_be_bytes(), beginning]);
            while let Some((key, block)) = store.scan(&prefix, &from, 1).expect("it reads").pop() {
                let mut rest = block.as_slice();
                let mut value = Vec::new();
                while let [shared, length, after @ ..] = rest {
                    value.truncate(usize::from(*shared));
                    value.extend_from_slice(&after[..usize::from(*length)]);
                    rest = &after[usize::from(*length)..];
                    let end = rest.iter().skip(1).position(|byte| byte & 0x80 == 0);
                    let (place, after) = rest.split_at(end.expect("it ends") + 2);
                    rest = after;
                    if value.starts_with(beginning) {
                        places.extend(read_places(place).iter().map(|place| (*arrival, place.1)));
                    }
                }
                if !key[9..].starts_with(beginning) || exact {
                    break;
                }
                from = key;
                from.push(0);
            }
        }
        places
    }
}

/// As many buckets as make some 4 KiB each, by a hash of the key; in a bucket
/// eight bytes of the hash and the place. Below which name a key is, it forgets.
pub(crate) struct Hashed {
    pub(crate) buckets: u64,
}

impl Hashed {
    fn bucket(&self, value: &[u8]) -> (Vec<u8>, [u8; 8]) {
        let (first, second) = hashes(value);
        let bucket = (first % self.buckets) as u32;
        (key(&[&bucket.to_be_bytes()]), second.to_le_bytes())
    }
}

const HASHED_BYTES: usize = 20;

impl<S: Store> Layout<S> for Hashed {
    fn file(&mut self, store: &S, arrival: u64, keys: &[(Vec<u8>, u32)]) -> Batch {
        let mut buckets: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        for (value, object) in keys {
            let (key, hash) = self.bucket(value);
            let bucket = buckets.entry(key).or_insert_with_key(|key| {
                store.get(key).expect("the store reads").unwrap_or_default()
            });
            bucket.extend_from_slice(&hash);
            bucket.extend_from_slice(&arrival.to_be_bytes());
            bucket.extend_from_slice(&object.to_be_bytes());
        }
        let mut batch = Batch::default();
        buckets
            .into_iter()
            .for_each(|(key, bucket)| batch.put(key, bucket));
        batch
    }

    fn find(&self, store: &S, beginning: &[u8], exact: bool) -> Vec<Place> {
        assert!(exact, "it knows no order");
        let (key, hash) = self.bucket(beginning);
        let bucket = store
            .get(&key)
            .expect("the store reads")
            .unwrap_or_default();
        let (entries, _) = bucket.as_chunks::<HASHED_BYTES>();
        let mut places = Vec::new();
        for entry in entries.iter().filter(|entry| entry.starts_with(&hash)) {
            let (arrival, object) = entry[8..].split_at(8);
            places.push((
                u64::from_be_bytes(arrival.try_into().expect("eight")),
                u32::from_be_bytes(object.try_into().expect("four")),
            ));
        }
        places
    }
}
