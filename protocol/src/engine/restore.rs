//! What a start reads of the store: certificates, streams, evidence.

use super::Evidence;
use super::kept::{self, Kept};
use super::staged::Staged;
use super::streams::Streams;
use crate::ids::EnvelopeId;
use crate::roster::Roster;
use crate::store::{Store, StoreError};
use crate::table::{self, StreamRow};
use crate::wire::card::CertificateBytes;
use crate::wire::codec;
use crate::wire::exchange::StreamId;
use std::collections::BTreeMap;

/// Goes through everything durable under a prefix, a page at a time.
pub(crate) fn for_each<S: Store>(
    staged: &Staged<S>,
    prefix: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    const PAGE: usize = 1_024;
    let mut from = prefix.to_vec();
    loop {
        let entries = staged.scan(prefix, &from, PAGE)?;
        for (key, value) in &entries {
            each(key, value)?;
        }
        match entries.last() {
            Some((last, _)) if entries.len() == PAGE => {
                from.clone_from(last);
                from.push(0);
            }
            Some(_) | None => return Ok(()),
        }
    }
}

pub(super) fn damaged(key: &[u8]) -> StoreError {
    StoreError::Damaged {
        key: hex::encode(key),
    }
}

pub(super) fn restore_certificates<S: Store>(
    staged: &Staged<S>,
    roster: &mut Roster,
) -> Result<(), StoreError> {
    let mut held = Vec::new();
    for_each(staged, table::CERTIFICATES, |key, value| {
        held.push(certificate_of(value).ok_or_else(|| damaged(key))?);
        Ok(())
    })?;
    admit_held(roster, held);
    Ok(())
}

/// A certificate as a store holds it; nothing from a value that does not read.
pub fn certificate_of(value: &[u8]) -> Option<CertificateBytes> {
    let certificate: CertificateBytes = codec::decode(value, crate::limits::DOOR_BYTES_MAX).ok()?;
    certificate.claims().is_ok().then_some(certificate)
}

/// Admits to a roster the certificates that were taken at the door and are held
/// in a store, as every start does. One that the roster no longer takes is left
/// out.
pub fn admit_held(roster: &mut Roster, held: Vec<CertificateBytes>) {
    for certificate in held {
        // A record of who a node was, also when it is over or its root was
        // replaced: what it signed must stay verifiable.
        if let Ok(record) = roster.check_record(&certificate) {
            roster.keep_certificate(record);
        }
    }
}

pub(super) fn restore_streams<S: Store>(staged: &Staged<S>) -> Result<Streams, StoreError> {
    let mut streams = Streams::default();
    let mut rows: Vec<(StreamId, StreamRow)> = Vec::new();
    for_each(staged, table::STREAMS, |key, value| {
        let (stream, _) = table::stream_of(key).ok_or_else(|| damaged(key))?;
        rows.push((stream, codec::decode(value, 80).map_err(|_| damaged(key))?));
        Ok(())
    })?;
    let limit = usize::try_from(crate::limits::SEQUENCE_AHEAD_MAX).unwrap_or(usize::MAX);
    for (stream, row) in rows {
        let next = row.through.map_or(0, |through| through.sequence) + 1;
        let prefix = table::sequences(&stream);
        let mut ahead = Vec::new();
        for (key, value) in staged.scan(&prefix, &table::sequence(&stream, next), limit)? {
            let (_, sequence) = table::stream_of(&key).ok_or_else(|| damaged(&key))?;
            let id = codec::decode(&value, 32).map_err(|_| damaged(&key))?;
            let sequence = sequence.ok_or_else(|| damaged(&key))?;
            ahead.push((sequence, id, previous_of(staged, &id)?));
        }
        streams.restore(stream, row, ahead);
    }
    Ok(streams)
}

/// What an envelope of the log cites as the one before.
fn previous_of<S: Store>(
    staged: &Staged<S>,
    id: &EnvelopeId,
) -> Result<Option<EnvelopeId>, StoreError> {
    let header = match kept::kept(staged, id)? {
        Kept::Whole(logged) => logged.header,
        Kept::Remains(_, header) => *header,
        Kept::Absent => return Ok(None),
    };
    let position = header.prefix.class.position();
    Ok(position.and_then(|position| position.previous))
}

/// How much evidence there is of each stream, and of which it proves that two
/// envelopes claim one place.
pub(super) fn restore_evidence<S: Store>(
    staged: &Staged<S>,
) -> Result<BTreeMap<StreamId, Evidence>, StoreError> {
    let mut found: BTreeMap<StreamId, Evidence> = BTreeMap::new();
    let mut from = table::EVIDENCE.to_vec();
    loop {
        let page = staged.keys(table::EVIDENCE, &from, 1_024)?;
        for key in &page {
            let (stream, sequence) = table::evidence_of(key).ok_or_else(|| damaged(key))?;
            let evidence = found.entry(stream).or_default();
            evidence.kept += 1;
            // Two at one place: another one than this stands there.
            let there: Option<EnvelopeId> =
                staged.sound_as(&table::sequence(&stream, sequence), 32)?;
            evidence.is_fork |= there.is_some_and(|there| !key.ends_with(there.as_bytes()));
        }
        match page.last() {
            Some(last) if page.len() == 1_024 => {
                from.clone_from(last);
                from.push(0);
            }
            Some(_) | None => return Ok(found),
        }
    }
}
