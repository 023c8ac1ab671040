//! Requests on their way: ours that wait for an answer, and others' that wait for ours.

use std::collections::HashMap;

use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};

use crate::limits::{
    INBOUND_REQUESTS_MAX, INBOUND_REQUESTS_PER_PEER_MAX, OUTBOUND_REQUESTS_MAX,
    OUTBOUND_REQUESTS_PER_PEER_MAX,
};

/// Where the answer to a peer goes.
pub(crate) type Channel = ResponseChannel<Vec<u8>>;

/// The requests.
#[derive(Debug)]
pub(crate) struct Requests {
    outbound: HashMap<OutboundRequestId, (PeerId, u64)>,
    inbound: HashMap<InboundRequestId, Inbound>,
    tokens: HashMap<u64, InboundRequestId>,
    token_next: u64,
}

/// A request of a peer, from its arrival until the response has left: a peer that asks and does not read the answers
/// uses up its own places.
#[derive(Debug)]
struct Inbound {
    peer: PeerId,
    token: u64,
    /// Gone as soon as the owner has answered.
    channel: Option<Channel>,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self {
            outbound: HashMap::new(),
            inbound: HashMap::new(),
            tokens: HashMap::new(),
            token_next: 1,
        }
    }

    /// Whether one more own request to this peer may be sent.
    pub(crate) fn has_room_for(&self, peer: &PeerId) -> bool {
        let waiting = self
            .outbound
            .values()
            .filter(|(asked, _)| asked == peer)
            .count();
        waiting < OUTBOUND_REQUESTS_PER_PEER_MAX && self.outbound.len() < OUTBOUND_REQUESTS_MAX
    }

    /// An own request was sent; `request` is the owner's number.
    pub(crate) fn sent(&mut self, id: OutboundRequestId, peer: PeerId, request: u64) {
        self.outbound.insert(id, (peer, request));
    }

    /// An own request has ended: whom it asked, and the owner's number.
    pub(crate) fn ended(&mut self, id: &OutboundRequestId) -> Option<(PeerId, u64)> {
        self.outbound.remove(id)
    }

    /// Takes in a peer's request and gives it a token. Without room, `None`; the channel is then dropped, which
    /// declines the request.
    pub(crate) fn take_in(
        &mut self,
        peer: PeerId,
        id: InboundRequestId,
        channel: Channel,
    ) -> Option<u64> {
        let waiting = self
            .inbound
            .values()
            .filter(|inbound| inbound.peer == peer)
            .count();
        if waiting >= INBOUND_REQUESTS_PER_PEER_MAX || self.inbound.len() >= INBOUND_REQUESTS_MAX {
            return None;
        }
        let token = self.token_next;
        self.token_next = token.wrapping_add(1);
        self.tokens.insert(token, id);
        let inbound = Inbound {
            peer,
            token,
            channel: Some(channel),
        };
        self.inbound.insert(id, inbound);
        Some(token)
    }

    /// Where the answer to a token goes; `None` if it was answered, or its time has passed.
    pub(crate) fn channel(&mut self, token: u64) -> Option<Channel> {
        let id = self.tokens.remove(&token)?;
        self.inbound.get_mut(&id)?.channel.take()
    }

    /// A peer's request is over: answered and sent, or failed.
    pub(crate) fn over(&mut self, id: &InboundRequestId) {
        if let Some(inbound) = self.inbound.remove(id) {
            self.tokens.remove(&inbound.token);
        }
    }
}
