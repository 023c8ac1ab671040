//! What a store adds up to, written with every batch and compared by a check.
//!
//! A database that loses a piece from the middle of its log opens with older
//! values in the affected pages, each sound by its own checksum, or with
//! nothing where something was. Only a sum over everything shows it.

use super::value::claimed_checksum;

/// The sums after a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// How many batches have been applied since the store was made.
    pub(crate) batches: u64,
    /// How many entries there are.
    pub(crate) entries: u64,
    /// The checksums of all entries, added up and wrapped. Each binds its key
    /// and value, so that a lost, stale or surplus entry changes the sum but
    /// for one accident in 2⁶⁴.
    pub(crate) sum: u64,
}

impl Totals {
    /// Counts an entry in, as it is stored.
    pub(crate) fn add(&mut self, stored: &[u8]) {
        self.entries = self.entries.saturating_add(1);
        self.sum = self.sum.wrapping_add(claimed_checksum(stored));
    }

    /// Counts out an entry that is replaced or removed.
    pub(crate) fn subtract(&mut self, stored: &[u8]) {
        self.entries = self.entries.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(claimed_checksum(stored));
    }

    /// Three numbers of eight bytes, big end first.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.batches, self.entries, self.sum]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }

    /// What [`to_bytes`](Self::to_bytes) made, or nothing.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (batches, rest) = bytes.split_first_chunk::<8>()?;
        let (entries, rest) = rest.split_first_chunk::<8>()?;
        let sum: [u8; 8] = rest.try_into().ok()?;
        Some(Self {
            batches: u64::from_be_bytes(*batches),
            entries: u64::from_be_bytes(*entries),
            sum: u64::from_be_bytes(sum),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use super::*;
    use crate::disk::value::seal;

    #[test]
    fn what_is_counted_in_and_out_leaves_nothing() {
        let (a, b) = (seal(b"a", b"1"), seal(b"b", b"2"));
        let mut totals = Totals::default();
        totals.add(&a);
        let only_a = totals;
        totals.add(&b);
        assert_eq!(totals.entries, 2);
        totals.subtract(&b);
        assert_eq!(totals, only_a);
        totals.subtract(&a);
        assert_eq!(totals, Totals::default());
    }

    #[test]
    fn a_stale_value_changes_the_sum_and_not_the_count() {
        let (mut new, mut stale) = (Totals::default(), Totals::default());
        new.add(&seal(b"key", b"new"));
        stale.add(&seal(b"key", b"old"));
        assert_eq!(new.entries, stale.entries);
        assert_ne!(new.sum, stale.sum);
    }

    #[test]
    fn bytes_come_back_and_only_whole() {
        let totals = Totals {
            batches: 1,
            entries: 2,
            sum: u64::MAX,
        };
        let bytes = totals.to_bytes();
        assert_eq!(Totals::from_bytes(&bytes), Some(totals));
        assert_eq!(Totals::from_bytes(&bytes[..23]), None);
        assert_eq!(Totals::from_bytes(&[bytes, vec![0]].concat()), None);
    }
}
