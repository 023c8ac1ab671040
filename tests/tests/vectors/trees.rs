//! Chunks of a payload, and whether each proves itself under the root.

use crate::file::Vector;
use watchfire_crypto::sha256;
use watchfire_protocol::limits::CHUNK_BYTES;
use watchfire_protocol::wire::ChunkPath;
use watchfire_protocol::wire::chunk_tree::{Root, chunk_count, leaf, leaves, path_of};
use watchfire_tests::bytes::hex;

/// Byte i of every payload here is i mod 251.
fn payload(bytes: usize) -> Vec<u8> {
    (0..251_u8).cycle().take(bytes).collect()
}

/// The root by the definition in RFC 9162, section 2.1.1, written out again.
fn root_of(leaves: &[[u8; 32]]) -> [u8; 32] {
    if let [only] = leaves {
        return *only;
    }
    let mut split = 1;
    while split * 2 < leaves.len() {
        split *= 2;
    }
    let (left, right) = leaves.split_at(split);
    sha256(&[&[1], root_of(left).as_slice(), &root_of(right)].concat())
}

/// The piece of the payload that stands for a chunk, and its place.
struct Claim {
    start: usize,
    length: usize,
    index: u32,
    chunks: u64,
    path: Vec<[u8; 32]>,
}

pub(crate) fn make() -> Vec<(String, Vector)> {
    let mut vectors = Vec::new();
    for (name, what, bytes, index) in [
        ("one-byte", "a payload of one byte", 1, 0),
        ("one-chunk", "a payload of exactly one chunk", CHUNK_BYTES, 0),
        ("second-of-two", "a chunk of one byte", CHUNK_BYTES + 1, 1),
        ("first-of-three", "the left side of an uneven tree", 2 * CHUNK_BYTES + 100, 0),
        ("last-of-three", "the short path of an uneven tree", 2 * CHUNK_BYTES + 100, 2),
        ("fourth-of-seven", "somewhere in the middle", 7 * CHUNK_BYTES, 3),
        ("last-of-seven", "the last of an uneven tree", 7 * CHUNK_BYTES, 6),
    ] {
        vectors.push(good(name, what, bytes, index));
    }
    vectors.extend(bad());
    vectors
}

fn claim(payload: &[u8], index: u32) -> Claim {
    let start = CHUNK_BYTES * usize::try_from(index).unwrap();
    Claim {
        start,
        length: CHUNK_BYTES.min(payload.len() - start),
        index,
        chunks: chunk_count(payload.len() as u64),
        path: path_of(&leaves(payload), index).unwrap().into_vec(),
    }
}

fn describe(what: &str, bytes: usize, expect: &str, claim: &Claim) -> Vector {
    let vector = Vector::new(what, "chunk")
        .with("expect", expect)
        .with("payload_length", &bytes.to_string())
        .with("root", &hex(&root_of(&leaves(&payload(bytes)))))
        .with("chunks", &claim.chunks.to_string())
        .with("index", &claim.index.to_string())
        .with("chunk_start", &claim.start.to_string())
        .with("chunk_length", &claim.length.to_string());
    claim.path.iter().fold(vector, |vector, hash| vector.with("path", &hex(hash)))
}

fn good(name: &str, what: &str, bytes: usize, index: u32) -> (String, Vector) {
    let vector = describe(what, bytes, "accept", &claim(&payload(bytes), index));
    (format!("chunk-accept-{name}"), vector)
}

fn bad() -> Vec<(String, Vector)> {
    const BYTES: usize = 3 * CHUNK_BYTES;
    let payload = payload(BYTES);
    let hashes = leaves(&payload);
    type Change = fn(&mut Claim, &[[u8; 32]]);
    let cases: [(&str, &str, u32, Change); 10] = [
        ("of-another-index", "the first as the second", 0, |claim, _| claim.index = 1),
        ("index-past-the-end", "there is no fourth", 2, |claim, _| claim.index = 3),
        ("of-another-count", "as if there were four", 2, |claim, _| claim.chunks = 4),
        ("of-no-count", "as if there were none", 0, |claim, _| claim.chunks = 0),
        ("one-byte-short", "its last byte is missing", 0, |claim, _| claim.length -= 1),
        ("moved-by-one-byte", "from the byte after", 0, |claim, _| claim.start += 1),
        ("path-too-short", "the last hash is missing", 0, |claim, _| {
            claim.path.pop();
        }),
        ("path-too-long", "a hash more", 0, |claim, hashes| claim.path.push(hashes[0])),
        ("path-reversed", "the hashes in the other order", 0, |claim, _| claim.path.reverse()),
        ("path-of-the-leaf-itself", "its own hash in the place of its sibling's", 0, |claim, hashes| {
            claim.path[0] = hashes[0];
        }),
    ];
    let mut vectors: Vec<(String, Vector)> = cases
        .into_iter()
        .map(|(name, what, index, change)| {
            let mut claim = claim(&payload, index);
            change(&mut claim, &hashes);
            (format!("chunk-reject-{name}"), describe(what, BYTES, "reject", &claim))
        })
        .collect();
    // Two leaf hashes in a row, as if they were the one chunk of a payload.
    let node = [hashes[0], hashes[1]].concat();
    let vector = Vector::new("an inner node as if it were a chunk", "chunk")
        .with("expect", "reject")
        .with("payload_length", &(2 * CHUNK_BYTES).to_string())
        .with("root", &hex(&root_of(&hashes[..2])))
        .with("chunks", "1")
        .with("index", "0")
        .with_bytes("chunk", &node);
    vectors.push(("chunk-reject-inner-node".to_owned(), vector));
    vectors
}

pub(crate) fn judge(name: &str, vector: &Vector) {
    let length = usize::try_from(vector.number("payload_length")).unwrap();
    let payload = payload(length);
    let root = Root::of(&payload).unwrap();
    assert_eq!(hex(root.as_bytes()), vector.text("root"), "{name}");
    let chunk = if vector.all("chunk").is_empty() {
        let start = usize::try_from(vector.number("chunk_start")).unwrap();
        payload[start..start + usize::try_from(vector.number("chunk_length")).unwrap()].to_vec()
    } else {
        vector.bytes("chunk")
    };
    let path = vector.all("path").into_iter().map(|hash| crate::file::bytes_of(hash).try_into().unwrap());
    let path = ChunkPath::new(path.collect()).unwrap();
    let (index, chunks) = (vector.text("index").parse().unwrap(), vector.text("chunks").parse().unwrap());
    let holds = root.holds(&chunk, index, chunks, &path);
    assert_eq!(holds, vector.text("expect") == "accept", "{name}");
    assert_eq!(leaf(&chunk), sha256(&[&[0], chunk.as_slice()].concat()), "{name}");
}
