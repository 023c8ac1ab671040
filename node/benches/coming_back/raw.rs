//! What catching up cannot do without: checking signatures, and one write of
//! the frames.

use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use watchfire_crypto::{Domain, PublicKey, Signature, check};
use watchfire_node::disk::SledStore;
use watchfire_protocol::limits::{FRAME_BYTES_MAX, HEAD_BYTES_MAX};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Batch, Store as _};
use watchfire_protocol::table::LogEntry;
use watchfire_protocol::wire::bundle::Bundle;
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::envelope::{Envelope, Header, Inner};
use watchfire_protocol::wire::{Kind, SignedBytes};

/// How long the least takes.
pub(crate) struct Raw {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    /// Every signature, on one core.
    pub(crate) one_core: Duration,
    /// Every signature, on all cores.
    pub(crate) all_cores: Duration,
    /// One batch of the log's entries, and one flush.
    pub(crate) write: Duration,
}

/// One signature to check.
struct Claim {
    key: PublicKey,
    domain: Domain,
    bytes: Vec<u8>,
    signature: Signature,
}

impl Raw {
    /// Measures with the frames of a store that is not open.
    pub(crate) fn of(store: &Path, roster: &Roster, scratch: &Path) -> Self {
        let store = SledStore::open(store).unwrap();
        let log = store.scan(b"L", b"L", usize::MAX).unwrap();
        drop(store);
        let mut claims = Vec::new();
        for (_, value) in &log {
            let entry: LogEntry = codec::decode(value, FRAME_BYTES_MAX + 64).unwrap();
            let frame: Envelope =
                codec::decode(&entry.frame.as_slice()[2..], FRAME_BYTES_MAX).unwrap();
            let inner: Inner = codec::decode(frame.head.as_slice(), HEAD_BYTES_MAX).unwrap();
            let header = frame.header.to_signed::<Header>().claims().unwrap();
            let author = roster.certificate(&header.prefix.certificate).unwrap();
            let key = author.signing_key;
            claims.push(claim::<Header, _>(key, Kind::Envelope, &frame.header));
            claims.push(claim::<Bundle, _>(key, Kind::Bundle, &inner.statement));
        }
        let bytes = log.iter().map(|(key, value)| key.len() + value.len()).sum();
        Self {
            frames: log.len(),
            bytes,
            one_core: check_on(1, &claims),
            all_cores: check_on(available_parallelism().unwrap().get(), &claims),
            write: write(&log, scratch),
        }
    }
}

fn claim<T, const MAX: usize>(key: PublicKey, kind: Kind, signed: &SignedBytes<MAX>) -> Claim {
    let (bytes, signature) = signed.to_signed::<T>().into_parts();
    Claim {
        key,
        domain: kind.domain(),
        bytes,
        signature,
    }
}

fn check_on(threads: usize, claims: &[Claim]) -> Duration {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for part in claims.chunks(claims.len().div_ceil(threads)) {
            scope.spawn(move || {
                for claim in part {
                    check(&claim.key, claim.domain, &claim.bytes, &claim.signature).unwrap();
                }
            });
        }
    });
    begun.elapsed()
}

fn write(log: &[(Vec<u8>, Vec<u8>)], scratch: &Path) -> Duration {
    let store = SledStore::create(scratch).unwrap();
    let mut batch = Batch::default();
    for (key, value) in log {
        batch.put(key.clone(), value.clone());
    }
    let begun = Instant::now();
    store.apply(&batch).unwrap();
    store.flush().unwrap();
    begun.elapsed()
}
