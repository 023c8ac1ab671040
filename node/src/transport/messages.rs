//! What goes into the transport and what comes out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use libp2p::{Multiaddr, PeerId};
// The one word of the protocol that the transport knows: it carries it out.
use watchfire_protocol::engine::Verdict;

/// The peers that may connect, each with the addresses at which to dial it. An empty list means: it dials us.
pub type Admitted = BTreeMap<PeerId, Vec<Multiaddr>>;

/// The id of a frame of gossip: SHA-256 over its complete bytes, signatures included. By the id inside an envelope
/// alone, whoever forwards the true bytes under a spoiled signature would suppress the good copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 32]);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// What the owner asks of the transport.
#[derive(Debug)]
pub enum Command {
    /// Send a frame to all peers. What fails comes back as [`Event::Unpublished`].
    Publish {
        /// The frame, at most [`FRAME_BYTES_MAX`](crate::limits::FRAME_BYTES_MAX).
        bytes: Vec<u8>,
    },
    /// The verdict on an [`Event::Message`]. It must come within
    /// [`GossipConfig::verdict_within`](super::GossipConfig::verdict_within).
    Verdict {
        /// Which frame.
        message: MessageId,
        /// Its fate.
        verdict: Verdict,
    },
    /// Ask one peer. Always answered by exactly one [`Event::Response`].
    Request {
        /// Whom.
        peer: PeerId,
        /// The owner's number for this request, given back with the response.
        request: u64,
        /// The question, at most [`EXCHANGE_REQUEST_BYTES_MAX`](crate::limits::EXCHANGE_REQUEST_BYTES_MAX).
        bytes: Vec<u8>,
        /// The largest response that will be read, in bytes; what announces more is cut off before it is read. At most
        /// [`EXCHANGE_RESPONSE_BYTES_MAX`](crate::limits::EXCHANGE_RESPONSE_BYTES_MAX).
        response_bytes_max: usize,
    },
    /// Answer an [`Event::Request`].
    Respond {
        /// The token of the request.
        token: u64,
        /// The answer, at most [`EXCHANGE_RESPONSE_BYTES_MAX`](crate::limits::EXCHANGE_RESPONSE_BYTES_MAX).
        bytes: Vec<u8>,
    },
    /// Answer an [`Event::DoorRequest`].
    DoorRespond {
        /// The token of the request.
        token: u64,
        /// The answer, at most [`DOOR_RESPONSE_BYTES_MAX`](crate::limits::DOOR_RESPONSE_BYTES_MAX).
        bytes: Vec<u8>,
    },
    /// Replace the set of admitted peers. Whoever is no longer in it is disconnected.
    SetAdmitted(Admitted),
    /// Close the connection to a peer and dial it anew: for a link that is silent although it looks alive.
    Reconnect(PeerId),
}

/// What happened on the network.
#[derive(Debug)]
pub enum Event {
    /// The main port listens here.
    Listening {
        /// The address, with the port the system chose if 0 was asked for.
        address: Multiaddr,
    },
    /// The door listens here.
    DoorListening {
        /// The address, with the port the system chose if 0 was asked for.
        address: Multiaddr,
    },
    /// A peer is connected, and has admitted us as we have admitted it.
    PeerUp {
        /// Who.
        peer: PeerId,
    },
    /// A peer that was up is no longer connected. The transport dials it again if it is still admitted.
    PeerDown {
        /// Who.
        peer: PeerId,
    },
    /// An attempt to reach an admitted peer failed; it is repeated after a pause.
    Unreachable {
        /// Whom we tried to reach.
        peer: PeerId,
        /// Why it failed.
        reason: Unreachable,
    },
    /// A frame arrived. It waits for a [`Command::Verdict`] and is not forwarded before.
    Message {
        /// The frame.
        bytes: Vec<u8>,
        /// Its id.
        message: MessageId,
        /// The peer that sent it here first; not its author.
        source: PeerId,
    },
    /// An own frame was not sent.
    Unpublished {
        /// Its id.
        message: MessageId,
        /// Why.
        reason: Unpublished,
    },
    /// A peer asks. Answer with [`Command::Respond`], or let it time out.
    Request {
        /// Who asks.
        peer: PeerId,
        /// Names the request in the answer.
        token: u64,
        /// The question.
        bytes: Vec<u8>,
    },
    /// The end of a [`Command::Request`].
    Response {
        /// Who was asked.
        peer: PeerId,
        /// The owner's number of the request.
        request: u64,
        /// The answer, or why there is none.
        outcome: Result<Vec<u8>, RequestFailure>,
    },
    /// A stranger asks at the door. Answer with [`Command::DoorRespond`].
    DoorRequest {
        /// Names the request in the answer.
        token: u64,
        /// The stranger, as its handshake proved: a certificate it offers must be for this key.
        peer: PeerId,
        /// The question.
        bytes: Vec<u8>,
        /// The stranger's IP address.
        remote: Option<IpAddr>,
    },
    /// Frames on their way to a peer were dropped because it, or the way to it, is too slow. Catch-up repairs it.
    SlowPeer {
        /// Who.
        peer: PeerId,
        /// How many frames since the last heartbeat.
        dropped: usize,
    },
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// There is no connection.
    #[error("the peer is not connected; ask again when it is up")]
    NotConnected,
    /// Too many own requests wait already.
    #[error("too many requests wait for an answer; ask again when one has ended")]
    Busy,
    /// The answer did not come in time.
    #[error("the peer did not answer in time; ask another one")]
    Timeout,
    /// Request or response exceed their limit.
    #[error("the request or its response is larger than allowed")]
    TooLarge,
    /// The connection ended first.
    #[error("the connection ended before the answer; ask again when the peer is up")]
    Disconnected,
    /// The peer closed the stream without an answer, or broke the form of it.
    #[error("the peer declined to answer")]
    Declined,
    /// The peer does not speak the exchange of this federation and version.
    #[error("the peer does not speak this exchange; compare federation and version")]
    Unsupported,
}

/// Why a frame was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unpublished {
    /// Every peer's queue is full. Publishing the same bytes again within
    /// [`GOSSIP_SEEN_FOR`](crate::limits::GOSSIP_SEEN_FOR) does nothing, because gossipsub counts them as seen: peers
    /// get the frame by catch-up. Publish less until [`Event::SlowPeer`] ends.
    #[error("every peer's queue is full; catch-up will carry it, publish more slowly")]
    QueuesFull,
    /// The frame is above the limit.
    #[error("the frame is above the limit; announce it and let peers pull it")]
    TooLarge,
    /// gossipsub refused it for another reason.
    #[error("the frame was refused by gossipsub")]
    Refused,
}

/// Why a peer could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Somebody else answered: the key at this address is not the one that is admitted.
    #[error("another peer answered at this address; compare its peer id with the roster")]
    WrongPeer {
        /// Who answered.
        found: PeerId,
    },
    /// Nobody answered, or the handshake failed.
    #[error("nobody answered at any address; check address and firewall")]
    NoAnswer,
    /// A limit of this node forbade it: memory, or the number of connections.
    #[error("a limit of this node forbade the connection; check memory")]
    Limit,
}
