//! In which order notices were taken, so that a peer hears what changed since it
//! last asked.

use crate::gate::Slot;
use std::collections::BTreeMap;

/// Which notices are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeScope {
    /// All but signs of life.
    Lasting,
    /// Signs of life.
    Alives,
}

impl NoticeScope {
    pub(super) const fn of(slot: &Slot) -> Self {
        if slot.is_alive() {
            Self::Alives
        } else {
            Self::Lasting
        }
    }
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticePage {
    /// The slots, in the order of their last change, each with its number.
    pub slots: Vec<(u64, Slot)>,
    /// The newest change of the scope.
    pub newest: u64,
    /// Whether there are more.
    pub more: bool,
}

/// Slots by the number of their last change.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    newest: u64,
    /// The newest of each scope.
    newest_of: BTreeMap<NoticeScope, u64>,
    by_number: BTreeMap<u64, Slot>,
    by_slot: BTreeMap<Slot, u64>,
}

impl Changes {
    pub(super) fn changed(&mut self, slot: Slot) {
        self.newest += 1;
        self.newest_of.insert(NoticeScope::of(&slot), self.newest);
        if let Some(before) = self.by_slot.insert(slot, self.newest) {
            self.by_number.remove(&before);
        }
        self.by_number.insert(self.newest, slot);
    }

    pub(super) fn forget(&mut self, slot: &Slot) {
        if let Some(number) = self.by_slot.remove(slot) {
            self.by_number.remove(&number);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_number.len().max(self.by_slot.len())
    }

    pub(super) fn page(&self, scope: NoticeScope, since: u64, count_max: usize) -> NoticePage {
        let from = since.saturating_add(1);
        let mut slots: Vec<(u64, Slot)> = self
            .by_number
            .range(from..)
            .filter(|(_, slot)| NoticeScope::of(slot) == scope)
            .take(count_max.saturating_add(1))
            .map(|(number, slot)| (*number, *slot))
            .collect();
        let more = slots.len() > count_max;
        slots.truncate(count_max);
        NoticePage {
            slots,
            newest: self.newest_of.get(&scope).copied().unwrap_or(0),
            more,
        }
    }
}
