//! What an open or a check found wrong.

/// How much a damaged database has lost from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many batches it is known to have had on disk, counted from its
    /// creation.
    pub had: u64,
    /// How many of them, from the first, it still has.
    pub has: u64,
}

/// What [`SledStore::check`](super::SledStore::check) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Keys whose values do not carry their checksums, in key order.
    pub damaged: Vec<Vec<u8>>,
    /// How many entries there should be.
    pub entries_had: u64,
    /// How many there are.
    pub entries_has: u64,
    /// Whether they are the entries last written, and not older ones.
    pub is_sum_right: bool,
}

impl CheckReport {
    /// Whether nothing is damaged, lost or stale.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.entries_had == self.entries_has && self.is_sum_right
    }
}
