//! What a store must hold after a crash.

use std::collections::{BTreeMap, BTreeSet};

use watchfire_node::disk::SledStore;
use watchfire_protocol::gate::{check, envelope_id};
use watchfire_protocol::ids::{BundleId, EnvelopeId};
use watchfire_protocol::policy::Reader;
use watchfire_protocol::query::{Asker, Query};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::Store;
use watchfire_protocol::table::{self, LogEntry, Outcome, StreamRow};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::StreamId;
use watchfire_tests::mesh::wall_ms;

use super::program::Acknowledged;

/// Whose stream is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author<'a> {
    pub(crate) roster: &'a Roster,
    pub(crate) stream: StreamId,
}

/// The stream as it was found after the last crash.
#[derive(Debug, Default)]
pub(crate) struct Held {
    through: u64,
    head: Option<EnvelopeId>,
    acknowledged: BTreeMap<u64, BundleId>,
}

impl Held {
    /// How far the stream goes.
    pub(crate) const fn through(&self) -> u64 {
        self.through
    }

    /// How much of it was acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Follows the stream from where it ended before: no gap, no fork, every
    /// envelope genuine and chained to the one before it.
    pub(crate) fn check_new(&mut self, store: &SledStore, author: Author<'_>, at: &str) {
        let stream = author.stream;
        let prefix = table::sequences(&stream);
        for (key, value) in store
            .scan(
                &prefix,
                &table::sequence(&stream, self.through + 1),
                usize::MAX,
            )
            .unwrap()
        {
            let (_, sequence) = table::stream_of(&key).unwrap();
            let id: EnvelopeId = codec::decode(&value, 32).unwrap();
            assert_eq!(
                sequence,
                Some(self.through + 1),
                "{at}: a gap in the stream"
            );
            let arrival = store.get(&table::envelope(&id)).unwrap();
            let arrival = arrival.unwrap_or_else(|| {
                panic!("{at}: envelope {} is in the stream alone", self.through + 1)
            });
            let entry = store
                .get(&table::log(codec::decode(&arrival, 9).unwrap()))
                .unwrap();
            let entry: LogEntry = codec::decode(
                &entry.unwrap_or_else(|| panic!("{at}: not in the log")),
                1 << 17,
            )
            .unwrap();
            let frame = check(entry.frame.as_slice(), author.roster)
                .unwrap_or_else(|why| panic!("{at}: {why}"));
            assert_eq!(
                envelope_id(&frame),
                id,
                "{at}: another envelope stands there"
            );
            let position = frame.value().header().prefix.class.position().unwrap();
            assert_eq!(
                (position.sequence, position.previous),
                (self.through + 1, self.head),
                "{at}: the chain is cut"
            );
            self.through += 1;
            self.head = Some(id);
        }
        let row: Option<StreamRow> = store
            .get(&table::stream(&stream))
            .unwrap()
            .map(|value| codec::decode(&value, 80).unwrap());
        let through = row.and_then(|row| row.through);
        assert_eq!(
            through.map(|through| (through.sequence, through.head)),
            self.head.map(|head| (self.through, head)),
            "{at}"
        );
        assert_eq!(
            store.scan(b"X", b"X", usize::MAX).unwrap(),
            [],
            "{at}: evidence of a conflict"
        );
    }

    /// What a person was told is durable can be read, at the place they were
    /// told.
    pub(crate) fn check_acknowledged(
        &mut self,
        store: &SledStore,
        author: Author<'_>,
        new: &[Acknowledged],
        at: &str,
    ) {
        let query = Query::new(
            store,
            Asker {
                reader: Reader::LocalPerson,
                roster: author.roster,
                wall_ms: wall_ms(),
            },
        );
        for one in new {
            let Acknowledged {
                bundle,
                envelope,
                sequence,
            } = one;
            let record = query.bundle(bundle).unwrap();
            let record = record.unwrap_or_else(|| {
                panic!("{at}: acknowledged and lost: number {sequence}, {bundle}")
            });
            let record = record.value();
            assert_eq!(
                (record.envelope, record.statement.stream),
                (*envelope, Some((author.stream.tag, *sequence)))
            );
            assert!(
                matches!(record.outcome, Some(Outcome::Opened { objects: 1, .. })),
                "{at}: {:?}",
                record.outcome
            );
            let place = store
                .get(&table::sequence(&author.stream, *sequence))
                .unwrap();
            assert_eq!(
                place.map(|value| codec::decode(&value, 32).unwrap()),
                Some(*envelope),
                "{at}: {sequence}"
            );
            let other = self.acknowledged.insert(*sequence, *bundle);
            assert_eq!(
                other, None,
                "{at}: number {sequence} was acknowledged twice"
            );
        }
    }

    /// The whole store once more, with every checksum: a later crash harmed
    /// nothing of an earlier life.
    pub(crate) fn check_whole(&self, store: &SledStore, author: Author<'_>) {
        let report = store.check(10).unwrap();
        assert!(
            report.damaged.is_empty() && report.is_sum_right,
            "{report:?}"
        );
        let mut again = Self::default();
        again.check_new(store, author, "the whole stream");
        assert_eq!((again.through, again.head), (self.through, self.head));
        let log = store.scan(b"L", b"L", usize::MAX).unwrap().len();
        assert_eq!(
            log as u64, self.through,
            "the log holds the stream and nothing else"
        );
        let query = Query::new(
            store,
            Asker {
                reader: Reader::LocalPerson,
                roster: author.roster,
                wall_ms: wall_ms(),
            },
        );
        let held: BTreeSet<BundleId> = query
            .bundles(0, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|(_, record)| record.value().bundle)
            .collect();
        for (sequence, bundle) in &self.acknowledged {
            assert!(
                held.contains(bundle),
                "acknowledged and lost later: number {sequence}"
            );
        }
    }
}
