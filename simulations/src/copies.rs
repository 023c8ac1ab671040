//! Hosts that begin late, go on from an old copy, or run twice.

use crate::host::Brain;
use crate::workload;
use crate::world::{Happening, World};
use watchfire_protocol::engine::{ClientToken, Input, PublishRefusal, Published};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::Draft;
use watchfire_protocol::store::{Batch, Store as _, StoreError};
use watchfire_protocol::table;

/// Tokens of what a host publishes that runs from a copy; those below are of the
/// workload.
const OWN: u64 = 1 << 32;

/// How long a machine is down while it is put back.
const DOWN_MS: u64 = 60_000;

/// When a host that was put back or doubled publishes: at once, so that nobody
/// has told it anything yet, and when others have.
const PUBLISHES_MS: [u64; 3] = [1, 3_600_000, 6 * 3_600_000];

impl World {
    /// The host whose state this one runs from: itself but for a second one.
    pub(crate) fn original_of(&self, number: usize) -> usize {
        number
            .checked_sub(self.scenario.members)
            .and_then(|index| self.scenario.agenda.clones.get(index))
            .map_or(number, |clone| clone.host)
    }

    /// Where the second host of a clone stands.
    pub(crate) const fn second_of(&self, index: usize) -> usize {
        self.scenario.members + index
    }

    /// A member that was admitted starts for the first time, with the chain that
    /// somebody gave it at the door.
    pub(crate) fn on_join(&mut self, number: usize) -> Result<(), StoreError> {
        let sponsor = self.standing().filter(|host| *host != number).find(|host| {
            self.hosts.get(*host).is_some_and(|host| match &host.brain {
                Brain::Engine(engine) => engine.roster().id() == self.agreed().id(),
                Brain::Down | Brain::Puppet(_) => false,
            })
        });
        let Some(sponsor) = sponsor else {
            self.after_ms(DOWN_MS, Happening::Join { host: number });
            return Ok(());
        };
        let mut chain = Batch::default();
        for epoch in 1..=self.agreed().epoch() {
            let key = table::link(epoch);
            let link = match self.hosts.get(sponsor) {
                Some(sponsor) => sponsor.disk.get(&key)?,
                None => None,
            };
            if let Some(link) = link {
                chain.put(key, link);
            }
        }
        self.note(number, "join", &[&(sponsor as u64).to_be_bytes()]);
        if let Some(host) = self.hosts.get(number) {
            host.disk.apply(&chain)?;
        }
        self.start_engine(number)?;
        self.dial_everybody(number);
        Ok(())
    }

    pub(crate) fn dial_everybody(&mut self, number: usize) {
        for other in (0..self.hosts.len()).filter(|other| *other != number) {
            self.dial_later(number, other);
        }
    }

    /// A copy of a disk is laid aside.
    pub(crate) fn on_copy(&mut self, index: usize) {
        let Some(restore) = self.scenario.agenda.restores.get(index).copied() else {
            return;
        };
        if let Some(host) = self.hosts.get(restore.host) {
            self.copies.insert(index, host.disk.snapshot());
        }
        // What the copy does not hold.
        let between_ms = restore.at_ms.saturating_sub(restore.copied_ms) / 2;
        self.publishes_own(restore.host, between_ms);
    }

    /// A host goes on from the copy.
    pub(crate) fn on_restore(&mut self, index: usize) -> Result<(), StoreError> {
        let Some(restore) = self.scenario.agenda.restores.get(index).copied() else {
            return Ok(());
        };
        let Some(copy) = self.copies.remove(&index) else {
            return Ok(());
        };
        let number = restore.host;
        self.note(number, "restore", &[]);
        self.switch_off(number)?;
        if let Some(host) = self.hosts.get_mut(number) {
            host.disk.wipe();
            let mut batch = Batch::default();
            for (key, value) in copy {
                batch.put(key, value);
            }
            host.disk.apply(&batch)?;
            // What it claimed before, it does not know any more.
            host.epoch_claimed = 0;
        }
        self.after_ms(DOWN_MS, Happening::Restart { host: number });
        for after_ms in PUBLISHES_MS {
            self.publishes_own(number, DOWN_MS + after_ms);
        }
        Ok(())
    }

    /// A second host begins to run from the state of the first; or is found and
    /// ends. While both run, half of the members reach the second alone.
    pub(crate) fn on_clone(&mut self, index: usize, begins: bool) -> Result<(), StoreError> {
        let Some(clone) = self.scenario.agenda.clones.get(index).copied() else {
            return Ok(());
        };
        let (first, second) = (clone.host, self.second_of(index));
        self.note(second, if begins { "clone" } else { "unclone" }, &[]);
        let others: Vec<usize> = (0..self.scenario.members)
            // Every other pair, so that hubs are on both sides.
            .filter(|other| *other != first && (other / 2) % 2 == 1)
            .collect();
        for other in others {
            let (from, to) = if begins {
                (first, second)
            } else {
                (second, first)
            };
            self.cut(other, from, true)?;
            self.cut(other, to, false)?;
        }
        if !begins {
            return self.switch_off(second);
        }
        let copy = match self.hosts.get(first) {
            Some(host) => host.disk.snapshot(),
            None => Vec::new(),
        };
        if let Some(host) = self.hosts.get(second) {
            let mut batch = Batch::default();
            for (key, value) in copy {
                batch.put(key, value);
            }
            host.disk.apply(&batch)?;
        }
        self.start_engine(second)?;
        self.dial_everybody(second);
        for after_ms in PUBLISHES_MS {
            self.publishes_own(first, after_ms);
            self.publishes_own(second, after_ms);
        }
        Ok(())
    }

    fn publishes_own(&mut self, host: usize, after_ms: u64) {
        self.own_published += 1;
        let number = self.own_published;
        self.after_ms(after_ms, Happening::PublishOwn { host, number });
    }

    /// A host that was or will be copied publishes something of its own.
    pub(crate) fn on_publish_own(&mut self, number: usize, own: u64) -> Result<(), StoreError> {
        let Some(host) = self.hosts.get(number).filter(|host| !host.is_down()) else {
            return Ok(());
        };
        let wall_ms = host.now(self.now_us).wall_ms;
        let Some(member) = host.member else {
            return Ok(());
        };
        let domain = format!("own-{own}.s{}.example", self.scenario.seed);
        let stix = workload::stix(&member, &domain, Marking::Clear, 0, wall_ms);
        let draft = stix.and_then(|stix| Draft::prepare(stix, None, workload::wish()).ok());
        match draft {
            Some(draft) => self.feed(
                number,
                Input::Publish {
                    client: ClientToken(OWN + own),
                    draft: Box::new(draft),
                },
            ),
            None => Ok(()),
        }
    }

    /// Whether a publication was one of those; and what became of it.
    pub(crate) fn is_own(
        &mut self,
        number: usize,
        client: ClientToken,
        outcome: &Result<Published, PublishRefusal>,
    ) -> bool {
        if client.0 < OWN {
            return false;
        }
        let original = self.original_of(number);
        match outcome {
            Ok(_) => {}
            Err(PublishRefusal::Behind) => *self.roll.behind.entry(original).or_default() += 1,
            Err(why) => {
                self.wrong
                    .get_or_insert_with(|| format!("host {number} could not publish: {why}"));
            }
        }
        true
    }
}
