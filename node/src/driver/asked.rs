//! What a running node answers at once, out of what it holds.

use watchfire_protocol::wire::Packet;

use super::membership::MembershipView;
use super::{Driver, NodeCommand, NodeStatus, node_of};

impl Driver {
    /// Answers what can be answered at once; gives back every other command.
    /// Whoever asked may have gone.
    pub(super) fn answer(&self, command: NodeCommand) -> Option<NodeCommand> {
        match command {
            NodeCommand::Membership { reply } => {
                let _ = reply.send(MembershipView::of(&self.engine, self.clock.now()));
                None
            }
            NodeCommand::Packet { reply } => {
                let _ = reply.send(self.packet());
                None
            }
            NodeCommand::Ends { member, reply } => {
                let _ = reply.send(self.engine.ends_of_member(&member));
                None
            }
            NodeCommand::Trace { id, reply } => {
                let _ = reply.send(self.engine.trace(id));
                None
            }
            NodeCommand::Status { reply } => {
                let _ = reply.send(self.status());
                None
            }
            other @ (NodeCommand::Barrier { .. }
            | NodeCommand::Sync { .. }
            | NodeCommand::Say { .. }
            | NodeCommand::Accept { .. }
            | NodeCommand::Distrust { .. }
            | NodeCommand::Certificate { .. }
            | NodeCommand::Shutdown) => Some(other),
        }
    }

    /// What of membership goes by file, or what prevents it.
    fn packet(&self) -> Result<Packet, String> {
        match self.engine.packet() {
            Ok(Ok(packet)) => Ok(packet),
            Ok(Err(full)) => Err(full.to_string()),
            Err(failed) => Err(failed.to_string()),
        }
    }

    /// How it is.
    fn status(&self) -> NodeStatus {
        let trips = self.transport.round_trips().into_iter();
        NodeStatus {
            engine: self.engine.status(),
            clock_jump: self.engine.clock_jump(self.clock.now()),
            uptime_ms: self.clock.now().mono.as_ms(),
            counters: self.transport.counters(),
            refusals: self.book.refusals.clone(),
            listening: self.book.listening.clone(),
            round_trips: trips
                .filter_map(|(peer, trip)| Some((node_of(&peer)?, trip)))
                .collect(),
        }
    }
}
