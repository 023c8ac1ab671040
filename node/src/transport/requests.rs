//! Requests on their way: ours that wait for an answer, and others' that wait for ours.

use std::collections::HashMap;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};

use super::pace::{Held, Pace, ServingRate};
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
    pace: Pace,
}

/// What became of a request that came in.
#[derive(Debug)]
pub(crate) enum TakenIn {
    /// It goes to the owner.
    Now(Held),
    /// It waits for its peer's account.
    Later,
    /// There is no room for it.
    Refused,
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
    pub(crate) fn new(rate: ServingRate) -> Self {
        Self {
            outbound: HashMap::new(),
            inbound: HashMap::new(),
            tokens: HashMap::new(),
            token_next: 1,
            pace: Pace::new(rate),
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

    /// Takes in a peer's request and gives it a token. Without room the channel is dropped, which declines the request.
    pub(crate) fn take_in(
        &mut self,
        peer: PeerId,
        id: InboundRequestId,
        bytes: Vec<u8>,
        channel: Channel,
        now: Instant,
    ) -> TakenIn {
        let waiting = self
            .inbound
            .values()
            .filter(|inbound| inbound.peer == peer)
            .count();
        if waiting >= INBOUND_REQUESTS_PER_PEER_MAX || self.inbound.len() >= INBOUND_REQUESTS_MAX {
            return TakenIn::Refused;
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
        let request = Held {
            peer,
            id,
            token,
            bytes,
        };
        match self.pace.pass(request, now) {
            Ok(request) => TakenIn::Now(request),
            Err(request) => {
                self.pace.hold(request);
                TakenIn::Later
            }
        }
    }

    /// A request that has waited long enough.
    pub(crate) fn release(&mut self, now: Instant) -> Option<Held> {
        self.pace.release(now)
    }

    /// When [`Requests::release`] has something to give next.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        self.pace.next(now)
    }

    /// Where the answer to a token goes, charged to whoever asked; `None` if it was answered, or its time has passed.
    pub(crate) fn channel(
        &mut self,
        token: u64,
        answer_bytes: usize,
        now: Instant,
    ) -> Option<Channel> {
        let id = self.tokens.remove(&token)?;
        let inbound = self.inbound.get_mut(&id)?;
        let channel = inbound.channel.take()?;
        self.pace.charge(inbound.peer, answer_bytes, now);
        Some(channel)
    }

    /// A peer's request is over: answered and sent, or failed.
    pub(crate) fn over(&mut self, id: &InboundRequestId) {
        if let Some(inbound) = self.inbound.remove(id) {
            self.tokens.remove(&inbound.token);
            self.pace.forget(id);
        }
    }
}
