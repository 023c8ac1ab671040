//! The door: the one place where a stranger may speak, and how to knock at another's.
//!
//! It is a swarm of its own on a port of its own, with the node's transport key, and speaks one protocol: one small
//! question, one small answer. What is said is the owner's affair. Everybody is a stranger here, so everything is
//! counted by address and ends soon.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::request_response::{
    self, Event as ExchangeEvent, InboundRequestId, Message as ExchangeMessage, OutboundFailure,
    ProtocolSupport, ResponseChannel,
};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::mpsc;

use super::codec::{Opaque, Question, is_too_large};
use super::counters::Tally;
use super::gate::{Counted, Gate, ip_of};
use super::swarm::{SwarmShape, exchange, protocol, swarm};
use super::{Event, TransportConfig, TransportError};
use crate::limits::{
    DOOR_ANSWERS_MAX, DOOR_ASK_WITHIN, DOOR_CONNECTIONS_MAX, DOOR_CONNECTIONS_PER_ADDRESS_MAX,
    DOOR_IDLE, DOOR_QUESTIONS_MAX, DOOR_REQUEST_BYTES_MAX, DOOR_RESPONSE_BYTES_MAX,
    DOOR_STREAMS_MAX, DOOR_WITHIN,
};

/// How often connections that lived too long are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// An answer of the owner: the token of the request, and the bytes.
pub(crate) type Answer = (u64, Vec<u8>);

#[derive(NetworkBehaviour)]
struct Entrance {
    gate: Gate,
    exchange: request_response::Behaviour<Opaque>,
}

/// The one protocol of a door. Whoever comes to it knows the federation: its id was compared out of band.
fn speech(
    federation: &[u8; 32],
    support: ProtocolSupport,
    within: Duration,
) -> Result<request_response::Behaviour<Opaque>, TransportError> {
    let name = protocol(format!("/watchfire/1/door/{}", hex::encode(federation)))?;
    let codec = Opaque::new(DOOR_REQUEST_BYTES_MAX, DOOR_RESPONSE_BYTES_MAX);
    Ok(exchange(name, codec, support, within, DOOR_STREAMS_MAX))
}

/// The serving side.
pub(crate) struct Door {
    swarm: Swarm<Entrance>,
    connection_within: Duration,
    guests: HashMap<ConnectionId, Guest>,
    waiting: HashMap<u64, (InboundRequestId, ResponseChannel<Vec<u8>>)>,
    token_next: u64,
    answers: mpsc::Receiver<Answer>,
    events: mpsc::Sender<Event>,
    tally: Arc<Tally>,
}

struct Guest {
    since: Instant,
    address: Multiaddr,
}

impl Door {
    /// Binds the door's ports. Answers are given into the sender that comes back with it.
    pub(crate) fn new(
        config: &TransportConfig,
        keypair: Keypair,
        events: mpsc::Sender<Event>,
        tally: Arc<Tally>,
    ) -> Result<(Self, mpsc::Sender<Answer>), TransportError> {
        let timing = &config.timing;
        let behaviour = Entrance {
            gate: Gate::new(
                DOOR_CONNECTIONS_PER_ADDRESS_MAX,
                DOOR_CONNECTIONS_MAX,
                Counted::Lifetime,
            ),
            exchange: speech(
                &config.federation,
                ProtocolSupport::Inbound,
                timing.door_within,
            )?,
        };
        let shape = SwarmShape {
            streams_max: DOOR_STREAMS_MAX,
            idle: timing.door_idle,
            handshake_within: timing.door_within,
        };
        let mut swarm = swarm(keypair, behaviour, shape)?;
        for address in &config.door {
            swarm
                .listen_on(address.clone())
                .map_err(|error| TransportError::Listen {
                    address: address.clone(),
                    reason: error.to_string(),
                })?;
        }
        let (sender, answers) = mpsc::channel(DOOR_ANSWERS_MAX);
        let door = Self {
            swarm,
            connection_within: timing.door_connection_within,
            guests: HashMap::new(),
            waiting: HashMap::new(),
            token_next: 1,
            answers,
            events,
            tally,
        };
        Ok((door, sender))
    }

    /// Serves until the transport's task has ended.
    pub(crate) async fn run(mut self) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY.min(self.connection_within));
        loop {
            tokio::select! {
                answer = self.answers.recv() => match answer {
                    Some((token, bytes)) => self.answer(token, bytes),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.on_swarm(event),
                _ = sweep.tick() => self.sweep(Instant::now()),
            }
        }
    }

    fn answer(&mut self, token: u64, bytes: Vec<u8>) {
        let waiting = self.waiting.remove(&token);
        let sent = bytes.len() <= DOOR_RESPONSE_BYTES_MAX
            && waiting.is_some_and(|(_, channel)| {
                self.swarm
                    .behaviour_mut()
                    .exchange
                    .send_response(channel, bytes)
                    .is_ok()
            });
        if !sent {
            self.tally.responses_late.one();
        }
    }

    fn sweep(&mut self, now: Instant) {
        for (connection, guest) in &self.guests {
            if now.saturating_duration_since(guest.since) >= self.connection_within {
                self.tally.door_connections_refused.one();
                self.swarm.close_connection(*connection);
            }
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<EntranceEvent>) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum may grow; what is not named needs no answer"
        )]
        match event {
            SwarmEvent::Behaviour(EntranceEvent::Exchange(event)) => self.on_exchange(event),
            SwarmEvent::NewListenAddr { address, .. } => {
                self.tell(Event::DoorListening { address });
            }
            SwarmEvent::ConnectionEstablished {
                connection_id,
                endpoint,
                ..
            } => {
                let address = endpoint.get_remote_address().clone();
                self.guests.insert(
                    connection_id,
                    Guest {
                        since: Instant::now(),
                        address,
                    },
                );
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.guests.remove(&connection_id);
            }
            SwarmEvent::IncomingConnectionError { .. } => self.tally.door_connections_refused.one(),
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "listener of the door")
            }
            _ => {}
        }
    }

    fn on_exchange(&mut self, event: ExchangeEvent<Question, Vec<u8>>) {
        match event {
            ExchangeEvent::Message {
                message:
                    ExchangeMessage::Request {
                        request_id,
                        request,
                        channel,
                    },
                connection_id,
                peer,
                ..
            } => {
                if self.waiting.len() >= DOOR_QUESTIONS_MAX {
                    self.tally.door_requests_dropped.one();
                    return;
                }
                let remote = self
                    .guests
                    .get(&connection_id)
                    .and_then(|guest| ip_of(&guest.address));
                let token = self.token_next;
                self.token_next = token.wrapping_add(1);
                tracing::trace!(token, size = request.bytes.len(), "asked at the door");
                if self.tell(Event::DoorRequest {
                    token,
                    peer,
                    bytes: request.bytes,
                    remote,
                }) {
                    self.waiting.insert(token, (request_id, channel));
                }
            }
            ExchangeEvent::InboundFailure { request_id, .. } => {
                self.waiting.retain(|_, (id, _)| *id != request_id);
            }
            ExchangeEvent::Message {
                message: ExchangeMessage::Response { .. },
                ..
            }
            | ExchangeEvent::OutboundFailure { .. }
            | ExchangeEvent::ResponseSent { .. } => {}
        }
    }

    /// Tells the owner, unless it has no room: strangers wait for nobody and nobody waits for strangers.
    fn tell(&mut self, event: Event) -> bool {
        let told = self.events.try_send(event).is_ok();
        if !told {
            self.tally.door_requests_dropped.one();
        }
        told
    }
}

/// Why a door gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The knocking side could not be set up.
    #[error("cannot open a connection: {0}")]
    Setup(#[from] TransportError),
    /// The question is too large.
    #[error("the question has {0} bytes; a door takes {DOOR_REQUEST_BYTES_MAX}")]
    QuestionTooLarge(usize),
    /// Somebody else answered.
    #[error(
        "the door at this address belongs to {found}; compare its peer id with what you were told"
    )]
    WrongPeer {
        /// Who answered.
        found: PeerId,
    },
    /// Nobody answered, or the handshake failed.
    #[error("nobody answered at this address; check address and firewall")]
    NoAnswer,
    /// It took too long.
    #[error("the door did not answer in time; try again later")]
    Timeout,
    /// The answer is too large.
    #[error("the answer is larger than a door may give; it was not read")]
    AnswerTooLarge,
    /// The door closed without an answer, or is none.
    #[error("the door declined to answer; it may be busy, or of another federation or version")]
    Declined,
}

/// Asks a door of `federation` one question. The key pair is this node's transport key, because a certificate offered
/// at a door must be for the key of the connection.
///
/// With `expected`, only the door of that peer will do. Without, whoever answers is believed to be the door, and what
/// it says must prove itself.
///
/// # Errors
///
/// [`AskError`]; after at most [`DOOR_ASK_WITHIN`].
pub async fn ask(
    keypair: &Keypair,
    federation: &[u8; 32],
    address: Multiaddr,
    expected: Option<PeerId>,
    question: Vec<u8>,
) -> Result<Vec<u8>, AskError> {
    let mut visit = Visit::new(keypair.clone(), *federation, vec![address], expected);
    visit.ask(question).await
}

/// A visit to a door: as many questions as one has, one after the other, over one connection for as long as the door
/// lets it live and over a new one after that.
pub struct Visit {
    keypair: Keypair,
    federation: [u8; 32],
    addresses: Vec<Multiaddr>,
    expected: Option<PeerId>,
    line: Option<Line>,
}

/// A connection to a door, and who answered there.
struct Line {
    swarm: Swarm<request_response::Behaviour<Opaque>>,
    peer: PeerId,
}

impl Visit {
    /// To the door at one of these addresses, which are tried in turn. Nothing is dialled before the first question.
    pub const fn new(
        keypair: Keypair,
        federation: [u8; 32],
        addresses: Vec<Multiaddr>,
        expected: Option<PeerId>,
    ) -> Self {
        Self {
            keypair,
            federation,
            addresses,
            expected,
            line: None,
        }
    }

    /// Asks one question.
    ///
    /// # Errors
    ///
    /// [`AskError`] of the last address that was tried; after at most [`DOOR_ASK_WITHIN`] for each.
    pub async fn ask(&mut self, question: Vec<u8>) -> Result<Vec<u8>, AskError> {
        if question.len() > DOOR_REQUEST_BYTES_MAX {
            return Err(AskError::QuestionTooLarge(question.len()));
        }
        if let Some(mut line) = self.line.take() {
            let asked = tokio::time::timeout(DOOR_ASK_WITHIN, line.ask(question.clone())).await;
            if let Ok(Ok(answer)) = asked {
                self.line = Some(line);
                return Ok(answer);
            }
            // The door ends every connection soon: a new one tells what is really the matter.
        }
        let mut failed = AskError::NoAnswer;
        let (keypair, federation, expected) = (&self.keypair, &self.federation, self.expected);
        for address in self.addresses.clone() {
            let conversation = async {
                let mut line = call(keypair, federation, address, expected).await?;
                let answer = line.ask(question.clone()).await?;
                Ok((line, answer))
            };
            let spoken = tokio::time::timeout(DOOR_ASK_WITHIN, conversation).await;
            match spoken.unwrap_or(Err(AskError::Timeout)) {
                Ok((line, answer)) => {
                    self.line = Some(line);
                    return Ok(answer);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

async fn call(
    keypair: &Keypair,
    federation: &[u8; 32],
    address: Multiaddr,
    expected: Option<PeerId>,
) -> Result<Line, AskError> {
    let shape = SwarmShape {
        streams_max: DOOR_STREAMS_MAX,
        idle: DOOR_IDLE,
        handshake_within: DOOR_WITHIN,
    };
    let behaviour = speech(federation, ProtocolSupport::Outbound, DOOR_WITHIN)?;
    let mut swarm = swarm(keypair.clone(), behaviour, shape)?;
    let options = match expected {
        Some(peer) => DialOpts::peer_id(peer).addresses(vec![address]).build(),
        None => DialOpts::unknown_peer_id().address(address).build(),
    };
    swarm
        .dial(options)
        .map_err(|error| unreachable_door(&error))?;
    loop {
        let event = swarm.select_next_some().await;
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } = event {
            let peer = peer_id;
            return Ok(Line { swarm, peer });
        } else if let SwarmEvent::OutgoingConnectionError { error, .. } = event {
            return Err(unreachable_door(&error));
        }
    }
}

impl Line {
    async fn ask(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, AskError> {
        let question = Question {
            bytes,
            response_bytes_max: DOOR_RESPONSE_BYTES_MAX,
        };
        let asked = self
            .swarm
            .behaviour_mut()
            .send_request(&self.peer, question);
        loop {
            let event = self.swarm.select_next_some().await;
            if let SwarmEvent::Behaviour(ExchangeEvent::OutboundFailure {
                error, request_id, ..
            }) = event
            {
                if request_id == asked {
                    return Err(declined(&error));
                }
            } else if let SwarmEvent::Behaviour(ExchangeEvent::Message {
                message:
                    ExchangeMessage::Response {
                        response,
                        request_id,
                    },
                ..
            }) = event
                && request_id == asked
            {
                return Ok(response);
            }
        }
    }
}

fn unreachable_door(error: &DialError) -> AskError {
    if let DialError::WrongPeerId { obtained, .. } = error {
        AskError::WrongPeer { found: *obtained }
    } else {
        AskError::NoAnswer
    }
}

fn declined(error: &OutboundFailure) -> AskError {
    match error {
        OutboundFailure::Timeout => AskError::Timeout,
        OutboundFailure::Io(error) if is_too_large(error) => AskError::AnswerTooLarge,
        OutboundFailure::Io(_)
        | OutboundFailure::ConnectionClosed
        | OutboundFailure::DialFailure
        | OutboundFailure::UnsupportedProtocols => AskError::Declined,
    }
}
