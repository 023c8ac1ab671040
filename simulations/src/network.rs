//! Links: latency, loss, partitions, and the dialling and closing of
//! connections.
//!
//! A cut link loses what is on it at once; that it is cut is noticed later, as
//! a silent peer is. If it heals first, the connection was never gone.

use crate::chance::pair;
use crate::host::Brain;
use crate::puppet::Habit;
use crate::world::{Happening, World};
use watchfire_protocol::engine::Input;
use watchfire_protocol::store::StoreError;

/// Between two hosts.
#[derive(Default)]
pub(crate) struct Link {
    /// Counts openings and closings: what was sent in an earlier one is lost.
    pub(crate) epoch: u64,
    pub(crate) open: bool,
    /// Partitions that hold it cut.
    pub(crate) cuts: u32,
    pub(crate) latency_us: u64,
}

const NOTICED_MS: (u64, u64) = (500, 20_000);
const REDIALLED_MS: (u64, u64) = (200, 3_000);

fn ordered(a: usize, b: usize) -> (usize, usize) {
    if a < b { (a, b) } else { (b, a) }
}

impl World {
    /// The epoch of an open connection; none if there is none.
    pub(crate) fn connection(&self, a: usize, b: usize) -> Option<u64> {
        self.links
            .get(&ordered(a, b))
            .filter(|link| link.open)
            .map(|link| link.epoch)
    }

    /// Hosts connected to this one, ascending.
    pub(crate) fn connected_to(&self, host: usize) -> Vec<usize> {
        (0..self.hosts.len())
            .filter(|other| self.connection(host, *other).is_some())
            .collect()
    }

    /// When a message sent now arrives; none if it is lost.
    pub(crate) fn arrival_us(&mut self, from: usize, to: usize) -> Option<u64> {
        let link = self.links.get(&ordered(from, to))?;
        let (cut, latency_us) = (link.cuts > 0, link.latency_us);
        let direction = ((from as u64) << 32) | to as u64;
        // Drawn even where the link is cut, so that a partition shifts nothing
        // else.
        let jitter = self.chance.below(
            "jitter",
            direction,
            self.scenario.network.jitter_ms * 1_000 + 1,
        );
        let lost = self.chance.happens("loss", direction, self.loss_ppm);
        (!cut && !lost).then(|| self.now_us() + latency_us + jitter)
    }

    /// Dials after a while, if nothing stands against it then.
    pub(crate) fn dial_later(&mut self, a: usize, b: usize) {
        let (a, b) = ordered(a, b);
        let after_ms = self.chance.between("dial", pair(a, b), REDIALLED_MS);
        self.after_ms(after_ms, Happening::Dial { a, b });
    }

    pub(crate) fn on_dial(&mut self, a: usize, b: usize) -> Result<(), StoreError> {
        let down = |host: usize| self.hosts.get(host).is_none_or(|host| host.is_down());
        if down(a) || down(b) {
            return Ok(());
        }
        if !self.admits(a, b) || !self.admits(b, a) {
            return Ok(());
        }
        let Some(link) = self.links.get_mut(&(a, b)) else {
            return Ok(());
        };
        // Whatever cut it dials again when it heals.
        if link.open || link.cuts > 0 {
            return Ok(());
        }
        link.open = true;
        link.epoch += 1;
        self.look_at_link(a, b);
        self.tell_connected(a, b)?;
        self.tell_connected(b, a)
    }

    /// Whether a host's transport lets another in: the node must stand in its
    /// roster. What members that do not run our engine do is their affair, and a
    /// stranger is heard, to see that nothing comes of it.
    pub(crate) fn admits(&self, host: usize, peer: usize) -> bool {
        match self.hosts.get(host).map(|host| &host.brain) {
            Some(Brain::Engine(_)) => self.is_outsider(peer) || self.knows(host, peer),
            Some(Brain::Puppet(_)) => true,
            Some(Brain::Down) | None => false,
        }
    }

    /// The roster of a host is another: who left is let in no more, and who came
    /// is.
    pub(crate) fn admit_anew(&mut self, number: usize) {
        for other in (0..self.hosts.len()).filter(|other| *other != number) {
            match self.connection(number, other) {
                Some(epoch) if !self.admits(number, other) => {
                    let (a, b) = ordered(number, other);
                    self.after_ms(0, Happening::Close { a, b, epoch });
                }
                Some(_) => {}
                None => self.dial_later(number, other),
            }
        }
    }

    /// A link is cut at once on both sides, or may be dialled again.
    pub(crate) fn cut(&mut self, a: usize, b: usize, is_cut: bool) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&ordered(a, b)) else {
            return Ok(());
        };
        if is_cut {
            link.cuts += 1;
            self.close(a, b)
        } else {
            link.cuts = link.cuts.saturating_sub(1);
            self.dial_later(a, b);
            Ok(())
        }
    }

    /// A host ends in order, with everything flushed.
    pub(crate) fn switch_off(&mut self, number: usize) -> Result<(), StoreError> {
        if let Some(host) = self.hosts.get_mut(number) {
            let unflushed = host.disk.unflushed();
            host.disk.crash(unflushed)?;
            host.forget();
        }
        for peer in self.connected_to(number) {
            self.close(number, peer)?;
        }
        Ok(())
    }

    fn tell_connected(&mut self, host: usize, peer: usize) -> Result<(), StoreError> {
        let Some(node) = self.hosts.get(peer).map(|peer| peer.node) else {
            return Ok(());
        };
        let hello = match self.hosts.get(host).map(|host| &host.brain) {
            Some(Brain::Puppet(puppet)) if puppet.habit == Habit::Silent => return Ok(()),
            Some(Brain::Puppet(puppet)) => Some(puppet.hello()),
            Some(Brain::Engine(_) | Brain::Down) | None => None,
        };
        match hello {
            Some(hello) => {
                self.ask_as_puppet(host, peer, hello);
                Ok(())
            }
            None => self.feed(host, Input::PeerConnected { node }),
        }
    }

    /// Closes a connection; both sides see it.
    pub(crate) fn close(&mut self, a: usize, b: usize) -> Result<(), StoreError> {
        let Some(link) = self.links.get_mut(&ordered(a, b)).filter(|link| link.open) else {
            return Ok(());
        };
        link.open = false;
        link.epoch += 1;
        for (host, peer) in [(a, b), (b, a)] {
            if let Some(node) = self.hosts.get(peer).map(|peer| peer.node) {
                self.feed(host, Input::PeerDisconnected { node })?;
            }
        }
        Ok(())
    }

    /// A link that is up only a part of the time goes down, or may be dialled
    /// again.
    pub(crate) fn on_session(&mut self, a: usize, b: usize, opens: bool) -> Result<(), StoreError> {
        let Some(sessions) = self.scenario.network.sessions else {
            return Ok(());
        };
        let Some(link) = self.links.get_mut(&(a, b)) else {
            return Ok(());
        };
        let next_ms = if opens {
            link.cuts = link.cuts.saturating_sub(1);
            sessions.open_ms
        } else {
            link.cuts += 1;
            sessions.every_ms.saturating_sub(sessions.open_ms)
        };
        let next = Happening::Session {
            a,
            b,
            opens: !opens,
        };
        self.after_ms(next_ms.max(1), next);
        if opens {
            self.dial_later(a, b);
            return Ok(());
        }
        self.close(a, b)
    }

    pub(crate) fn on_partition(&mut self, index: usize, begins: bool) {
        let Some(side) = self
            .scenario
            .partitions
            .get(index)
            .map(|partition| partition.side.clone())
        else {
            return;
        };
        let crossing: Vec<(usize, usize)> = self
            .links
            .keys()
            .copied()
            .filter(|(a, b)| side.contains(a) != side.contains(b))
            .collect();
        for (a, b) in crossing {
            let Some(link) = self.links.get_mut(&(a, b)) else {
                continue;
            };
            if begins {
                link.cuts += 1;
                let epoch = link.epoch;
                let after_ms = self.chance.between("notice", pair(a, b), NOTICED_MS);
                self.after_ms(after_ms, Happening::Notice { a, b, epoch });
            } else {
                link.cuts = link.cuts.saturating_sub(1);
                self.dial_later(a, b);
            }
        }
    }

    /// Somebody notices that a link is cut, if it still is.
    pub(crate) fn on_notice(&mut self, a: usize, b: usize, epoch: u64) -> Result<(), StoreError> {
        let still = self
            .links
            .get(&(a, b))
            .is_some_and(|link| link.cuts > 0 && link.open && link.epoch == epoch);
        if still { self.close(a, b) } else { Ok(()) }
    }

    pub(crate) fn on_crash(&mut self, number: usize, down_ms: u64) -> Result<(), StoreError> {
        let Some(host) = self
            .hosts
            .get_mut(number)
            .filter(|host| matches!(host.brain, Brain::Engine(_)))
        else {
            return Ok(());
        };
        let unflushed = host.disk.unflushed() as u64;
        let kept = self.chance.below("survives", number as u64, unflushed + 1);
        self.crashes_with_loss += u64::from(kept < unflushed);
        host.disk.crash(usize::try_from(kept).unwrap_or(0))?;
        host.forget();
        self.crashes += 1;
        for peer in self.connected_to(number) {
            self.close(number, peer)?;
        }
        self.after_ms(down_ms, Happening::Restart { host: number });
        Ok(())
    }

    pub(crate) fn on_restart(&mut self, number: usize) -> Result<(), StoreError> {
        if !self.hosts.get(number).is_some_and(|host| host.is_down()) {
            return Ok(());
        }
        self.start_engine(number)?;
        self.dial_everybody(number);
        Ok(())
    }
}
