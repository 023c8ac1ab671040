//! What a running node answers at once, out of what it holds.

use std::net::IpAddr;

use libp2p::PeerId;
use watchfire_protocol::engine::{AnswerToken, Input};
use watchfire_protocol::gate;
use watchfire_protocol::wire::exchange::{DoorAnswer, DoorRequest};
use watchfire_protocol::wire::{Packet, codec};

use super::membership::MembershipView;
use super::{DeskView, DeskWish, Driver, NodeCommand, NodeStatus, node_of};
use crate::invitations::DeskRefusal;
use crate::transport::{Command, block_of, transport_key_of};

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
            | NodeCommand::Invitations { .. }
            | NodeCommand::Shutdown) => Some(other),
        }
    }

    /// Does what people want of the invitations. What it says is on disk.
    pub(super) fn at_desk(&mut self, wish: DeskWish) -> Result<DeskView, DeskRefusal> {
        let now = self.clock.now();
        let about = match wish {
            DeskWish::See => None,
            DeskWish::Invite {
                token,
                life_ms,
                note,
            } => Some(self.desk.invite(now.wall_ms, &token, life_ms, note)?),
            DeskWish::Withdraw { id } => Some(self.desk.withdraw(&id)?),
        };
        Ok(DeskView {
            has_door: self.has_door,
            about,
            invitations: self.desk.invitations()?.to_vec(),
        })
    }

    /// What a stranger asks at the door, for the engine; a knock is decided here,
    /// where the invitations are, and answered at once. It is written before it
    /// is answered, on this thread: that happens once for each invitation.
    pub(super) fn at_door(
        &mut self,
        token: u64,
        peer: &PeerId,
        from: Option<IpAddr>,
        bytes: &[u8],
    ) -> Option<Input> {
        let transport_key = transport_key_of(peer)?;
        match gate::door_request(bytes).ok() {
            Some(DoorRequest::Knock { token: shown, card }) => {
                let from = from.map(block_of);
                let now = self.clock.now();
                let accepted = self.desk.knock(now, from, &transport_key, &shown, &card);
                // Without room for this, the stranger asks again.
                let _ = self.transport.try_send(Command::DoorRespond {
                    token,
                    bytes: codec::encode(&DoorAnswer::Knock { accepted }),
                });
                None
            }
            // Strangers wait for nobody: the door's own time ends what is not answered.
            request => self.book.owed.ask_at_door().then_some(Input::Door {
                token: AnswerToken(token),
                transport_key,
                request,
            }),
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
