//! Who is who in a world: nodes by number, and who among them is honest.

use crate::host::Brain;
use crate::puppet::Habit;
use crate::scenario::When;
use crate::world::World;
use watchfire_protocol::ids::{MemberId, NodeId};

impl World {
    /// The host of a node, as seen from another: of two that run from one state
    /// the one that it is connected to.
    pub(crate) fn number_of(&self, from: usize, node: &NodeId) -> Option<usize> {
        let numbers = self.numbers.get(node)?;
        numbers
            .iter()
            .find(|number| self.connection(from, **number).is_some())
            .or_else(|| numbers.first())
            .copied()
    }

    /// What a host does instead of running our engine, if it does.
    pub(crate) fn habit_of(&self, host: usize) -> Option<Habit> {
        match self.hosts.get(host).map(|host| &host.brain) {
            Some(Brain::Puppet(puppet)) => Some(puppet.habit),
            Some(Brain::Engine(_) | Brain::Down) | None => None,
        }
    }

    /// When a host that does not run our engine acts of its own accord.
    pub(crate) fn when_of(&self, host: usize) -> Option<When> {
        if self.is_outsider(host) {
            return self.scenario.outsider;
        }
        let hostile = &self.scenario.hostile;
        hostile
            .iter()
            .find(|hostile| hostile.host == host)
            .map(|hostile| hostile.when)
    }

    /// Whether a host is of nobody's roster, ever: it stands after the members
    /// and the second hosts of those that run twice.
    pub(crate) fn is_outsider(&self, host: usize) -> bool {
        host >= self.scenario.members + self.scenario.agenda.clones.len()
    }

    /// Whether a host is a member that runs our engine, up or down.
    pub(crate) fn is_honest(&self, host: usize) -> bool {
        host < self.scenario.members
            && !self
                .scenario
                .hostile
                .iter()
                .any(|hostile| hostile.host == host)
    }

    /// Those that do.
    pub(crate) fn honest(&self) -> impl Iterator<Item = usize> {
        (0..self.scenario.members).filter(|host| self.is_honest(*host))
    }

    pub(crate) fn is_honest_member(&self, member: &MemberId) -> bool {
        self.honest()
            .filter(|host| !self.scenario.agenda.is_twofold(*host))
            .any(|host| {
                self.hosts
                    .get(host)
                    .is_some_and(|host| host.member == Some(*member))
            })
    }
}
