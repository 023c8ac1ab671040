//! What is held back: of whom, why and since when. Ids, places and reasons, never
//! contents: those are shown once a person accepted them.

use super::{Accepted, Query};
use crate::engine::{ACCEPTED_BYTES_MAX, HELD_BACK_BYTES_MAX, HeldBack, Reasons, header_of_frame};
use crate::ids::{EnvelopeId, MemberId, NodeId};
use crate::limits::{FRAME_BYTES_MAX, REMAINS_BYTES_MAX};
use crate::store::{Store, StoreError};
use crate::table::{self, Arrival, LogEntry};
use crate::wire::Tag;
use crate::wire::codec;
use crate::wire::envelope::Header;
use crate::wire::exchange::Remains;

/// An envelope that is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBackRecord {
    /// Which.
    pub envelope: EnvelopeId,
    /// Its author.
    pub author: MemberId,
    /// Of which node and which life of it; none where its certificate is not known
    /// any more.
    pub node: Option<(NodeId, u64)>,
    /// Its stream, and its place there.
    pub place: Option<(Tag, u64)>,
    /// Why.
    pub reasons: Reasons,
    /// Since when, in milliseconds UTC.
    pub since_ms: u64,
}

/// What is held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBackList {
    /// In the order in which they came.
    pub records: Vec<HeldBackRecord>,
    /// There are more.
    pub more: bool,
}

impl<S: Store> Query<'_, S> {
    /// What is held back, of these nodes or of all, as many as are asked for.
    ///
    /// # Errors
    /// When the store fails.
    pub fn held_back(
        &self,
        of: impl Fn(&MemberId, Option<&NodeId>) -> bool,
        limit: usize,
    ) -> Result<HeldBackList, StoreError> {
        const PAGE: usize = 1_024;
        let mut list = HeldBackList::default();
        let mut from = table::QUARANTINED.to_vec();
        loop {
            let page = self.store.scan(table::QUARANTINED, &from, PAGE)?;
            for (key, value) in &page {
                let held = codec::decode::<HeldBack>(value, HELD_BACK_BYTES_MAX);
                let (Some(arrival), Ok(held)) = (table::arrival_of(key), held) else {
                    continue;
                };
                let Some(record) = self.record_held_back(arrival, held)? else {
                    continue;
                };
                if !of(&record.author, record.node.as_ref().map(|(node, _)| node)) {
                    continue;
                }
                if list.records.len() >= limit {
                    list.more = true;
                    return Ok(list);
                }
                list.records.push(record);
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => {
                    from.clone_from(last);
                    from.push(0);
                }
                Some(_) | None => return Ok(list),
            }
        }
    }

    fn record_held_back(
        &self,
        arrival: Arrival,
        held: HeldBack,
    ) -> Result<Option<HeldBackRecord>, StoreError> {
        let Some((envelope, header)) = self.header_at(arrival)? else {
            return Ok(None);
        };
        let certificate = self.asker.roster.certificate(&header.prefix.certificate);
        let position = header.prefix.class.position();
        Ok(Some(HeldBackRecord {
            envelope,
            author: header.prefix.author,
            node: certificate.map(|of| (of.node, of.incarnation)),
            place: position.map(|position| (position.tag, position.sequence)),
            reasons: held.reasons,
            since_ms: held.since_ms,
        }))
    }

    fn header_at(&self, arrival: Arrival) -> Result<Option<(EnvelopeId, Header)>, StoreError> {
        let entry: Option<LogEntry> = self.get(&table::log(arrival), FRAME_BYTES_MAX + 64)?;
        if let Some(logged) = entry.and_then(|entry| header_of_frame(entry.frame.as_slice())) {
            return Ok(Some((logged.id, logged.header)));
        }
        let remains: Option<Remains> = self.get(&table::remains(arrival), REMAINS_BYTES_MAX)?;
        let signed = remains.map(|remains| remains.header.to_signed::<Header>());
        Ok(signed.and_then(|signed| {
            let header = signed.claims().ok()?;
            Some((EnvelopeId::from_bytes(signed.id()), header))
        }))
    }

    /// What a person accepted of an envelope.
    pub(super) fn accepted(&self, id: &EnvelopeId) -> Result<Option<Accepted>, StoreError> {
        self.get(&table::accepted(id), ACCEPTED_BYTES_MAX)
    }
}
