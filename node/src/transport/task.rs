//! The task that owns the main swarm.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::connection_limits::Exceeded;
use libp2p::gossipsub::{
    Event as GossipEvent, MessageAcceptance, MessageId as GossipId, PublishError, TopicHash,
};
use libp2p::identity::Keypair;
use libp2p::request_response::{
    Event as ExchangeEvent, InboundRequestId, Message as ExchangeMessage, OutboundFailure,
    OutboundRequestId,
};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionDenied, DialError, ListenError, SwarmEvent};
use libp2p::{PeerId, Swarm, allow_block_list, identify, ping};
use tokio::sync::mpsc;
use watchfire_protocol::engine::Verdict;

use super::codec::{Question, is_too_large};
use super::counters::Tally;
use super::door::Answer;
use super::gossip::{message_id, topic};
use super::links::{Links, Pauses};
use super::pace::Held;
use super::requests::{Channel, Requests, TakenIn};
use super::swarm::{Main, MainEvent, SwarmShape, swarm};
use super::trips::RoundTrips;
use super::undecided::Undecided;
use super::{
    Admitted, Command, Event, MessageId, RequestFailure, TransportConfig, TransportError,
    Unpublished, Unreachable,
};
use crate::limits::{
    EXCHANGE_REQUEST_BYTES_MAX, EXCHANGE_RESPONSE_BYTES_MAX, FRAME_BYTES_MAX, OUTBOX_MAX,
    STREAMS_MAX, UNDECIDED_BYTES_MAX, UNDECIDED_BYTES_PER_PEER_MAX,
};

/// Connections of the main port end by decision, never by being quiet: members hold them as long as they run.
const NEVER_IDLE: Duration = Duration::from_secs(u64::MAX);

/// How long the task sleeps when nothing is planned.
const NOTHING_PLANNED: Duration = Duration::from_secs(3_600);

/// How long connections may take to say goodbye when the transport ends.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// The task's state.
pub(crate) struct Task {
    swarm: Swarm<Main>,
    links: Links,
    topic: TopicHash,
    verdict_within: Duration,
    undecided: Undecided,
    requests: Requests,
    door: Option<mpsc::Sender<Answer>>,
    outbox: VecDeque<Event>,
    tally: Arc<Tally>,
    trips: Arc<RoundTrips>,
}

impl Task {
    /// Builds the swarm and binds its ports.
    pub(crate) fn new(
        config: TransportConfig,
        keypair: Keypair,
        tally: Arc<Tally>,
    ) -> Result<Self, TransportError> {
        let behaviour = Main::new(&config, &keypair, Arc::clone(&tally))?;
        let shape = SwarmShape {
            streams_max: STREAMS_MAX,
            idle: NEVER_IDLE,
            handshake_within: config.timing.handshake_within,
        };
        let me = keypair.public().to_peer_id();
        let mut swarm = swarm(keypair, behaviour, shape)?;
        for address in config.listen {
            swarm
                .listen_on(address.clone())
                .map_err(|error| TransportError::Listen {
                    address,
                    reason: error.to_string(),
                })?;
        }
        let pauses = Pauses {
            min: config.timing.redial_pause_min,
            max: config.timing.redial_pause_max,
            sound_after: config.timing.sound_after,
        };
        // The seed only spreads pauses; without entropy all nodes would spread them alike, no worse.
        let jitter = getrandom::u64().unwrap_or_default();
        let mut task = Self {
            swarm,
            links: Links::new(me, pauses, jitter),
            topic: topic(&hex::encode(config.federation)).hash(),
            verdict_within: config.gossip.verdict_within(),
            undecided: Undecided::new(UNDECIDED_BYTES_PER_PEER_MAX, UNDECIDED_BYTES_MAX),
            requests: Requests::new(config.serving),
            door: None,
            outbox: VecDeque::new(),
            tally,
            trips: Arc::default(),
        };
        task.set_admitted(config.admitted);
        Ok(task)
    }

    /// Where it is noted how long probes take.
    pub(crate) fn set_trips(&mut self, trips: Arc<RoundTrips>) {
        self.trips = trips;
    }

    /// Where answers for the door go.
    pub(crate) fn set_door(&mut self, answers: mpsc::Sender<Answer>) {
        self.door = Some(answers);
    }

    /// Runs until every [`Handle`](super::Handle), or the owner's receiver of events, is gone.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) {
        loop {
            let held = self.requests.next(Instant::now());
            let wake = [self.links.next(), self.undecided.next(), held]
                .into_iter()
                .flatten()
                .min();
            let wake = wake.unwrap_or_else(|| Instant::now() + NOTHING_PLANNED);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                room = events.reserve(), if !self.outbox.is_empty() => match room {
                    Ok(room) => if let Some(event) = self.outbox.pop_front() { room.send(event) },
                    Err(_) => break,
                },
                event = self.swarm.select_next_some(), if self.outbox.len() < OUTBOX_MAX => self.on_swarm(event),
                () = tokio::time::sleep_until(wake.into()) => self.on_time(Instant::now()),
            }
        }
        self.say_goodbye().await;
    }

    /// Closes every connection in an orderly way, so that peers learn of it now and not by a probe.
    async fn say_goodbye(mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // Err means that it is not connected any more, which is what is wanted.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let all_closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.next().await;
            }
        };
        // Whoever does not hear it in time learns it by a probe.
        let _ = tokio::time::timeout(GOODBYE_WITHIN, all_closed).await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish { bytes } => self.publish(bytes),
            Command::Verdict { message, verdict } => self.decide(message, verdict),
            Command::Request {
                peer,
                request,
                bytes,
                response_bytes_max,
            } => {
                self.request(peer, request, bytes, response_bytes_max);
            }
            Command::Respond { token, bytes } => self.respond(token, bytes),
            Command::DoorRespond { token, bytes } => {
                let sent = self
                    .door
                    .as_ref()
                    .is_some_and(|door| door.try_send((token, bytes)).is_ok());
                if !sent {
                    self.tally.responses_late.one();
                }
            }
            Command::SetAdmitted(admitted) => self.set_admitted(admitted),
            Command::Reconnect(peer) => {
                tracing::debug!(%peer, "reconnecting");
                self.links.reconnect(&peer, Instant::now());
                // Err means that there is no connection to close; the dial is due already.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
        }
    }

    fn publish(&mut self, bytes: Vec<u8>) {
        let message = message_id(&bytes);
        let size = bytes.len();
        let outcome = if size > FRAME_BYTES_MAX {
            Err(Unpublished::TooLarge)
        } else {
            let topic = self.topic.clone();
            match self.swarm.behaviour_mut().gossip.publish(topic, bytes) {
                // A frame that was already sent needs no second sending.
                Ok(_) | Err(PublishError::Duplicate) => Ok(()),
                Err(PublishError::NoPeersSubscribedToTopic) => {
                    self.tally.published_to_nobody.one();
                    Ok(())
                }
                Err(PublishError::AllQueuesFull(_)) => Err(Unpublished::QueuesFull),
                Err(PublishError::MessageTooLarge) => Err(Unpublished::TooLarge),
                Err(PublishError::SigningError(_) | PublishError::TransformFailed(_)) => {
                    Err(Unpublished::Refused)
                }
            }
        };
        match outcome {
            Ok(()) => tracing::trace!(%message, size, "published"),
            Err(reason) => {
                tracing::debug!(%message, size, %reason, "not published");
                self.tally.unpublished.one();
                self.outbox
                    .push_back(Event::Unpublished { message, reason });
            }
        }
    }

    fn decide(&mut self, message: MessageId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        let known = self.undecided.decide(&message);
        if !known.is_some_and(|source| self.report(message, &source, acceptance)) {
            self.tally.verdicts_late.one();
        }
    }

    fn report(
        &mut self,
        message: MessageId,
        source: &PeerId,
        acceptance: MessageAcceptance,
    ) -> bool {
        let id = GossipId::new(&message.0);
        self.swarm
            .behaviour_mut()
            .gossip
            .report_message_validation_result(&id, source, acceptance)
    }

    fn request(&mut self, peer: PeerId, request: u64, bytes: Vec<u8>, response_bytes_max: usize) {
        let refusal = if !self.links.is_connected(&peer) {
            Some(RequestFailure::NotConnected)
        } else if bytes.len() > EXCHANGE_REQUEST_BYTES_MAX {
            Some(RequestFailure::TooLarge)
        } else if !self.requests.has_room_for(&peer) {
            Some(RequestFailure::Busy)
        } else {
            None
        };
        if let Some(failure) = refusal {
            self.outbox.push_back(Event::Response {
                peer,
                request,
                outcome: Err(failure),
            });
            return;
        }
        tracing::trace!(%peer, request, size = bytes.len(), "asking");
        let id = self.swarm.behaviour_mut().exchange.send_request(
            &peer,
            Question {
                bytes,
                response_bytes_max,
            },
        );
        self.requests.sent(id, peer, request);
    }

    fn respond(&mut self, token: u64, bytes: Vec<u8>) {
        let channel = self.requests.channel(token, bytes.len(), Instant::now());
        // An answer above the limit is the owner's mistake; dropping the channel declines the request.
        let sent = bytes.len() <= EXCHANGE_RESPONSE_BYTES_MAX
            && channel.is_some_and(|channel| {
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

    fn set_admitted(&mut self, admitted: Admitted) {
        let (added, removed) = self.links.set_admitted(admitted, Instant::now());
        let list = &mut self.swarm.behaviour_mut().admitted;
        for peer in added {
            list.allow_peer(peer);
        }
        for peer in removed {
            tracing::debug!(%peer, "no longer admitted");
            list.disallow_peer(peer);
        }
    }

    fn on_time(&mut self, now: Instant) {
        while let Some((message, source)) = self.undecided.expire(now) {
            tracing::debug!(%message, "no verdict in time");
            self.tally.verdicts_missing.one();
            self.report(message, &source, MessageAcceptance::Ignore);
        }
        while let Some(held) = self.requests.release(now) {
            self.asked(held);
        }
        for (peer, addresses) in self.links.due(now) {
            tracing::trace!(%peer, addresses = addresses.len(), "dialling");
            if let Err(error) = self
                .swarm
                .dial(DialOpts::peer_id(peer).addresses(addresses).build())
            {
                self.on_dial_failed(peer, error);
            }
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<MainEvent>) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum may grow; what is not named needs no answer"
        )]
        match event {
            SwarmEvent::Behaviour(MainEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(MainEvent::Exchange(event)) => self.on_exchange(event),
            SwarmEvent::Behaviour(MainEvent::Identify(identify::Event::Received {
                peer_id,
                ..
            })) => {
                self.on_up(peer_id);
            }
            SwarmEvent::Behaviour(MainEvent::Ping(event)) => self.on_ping(event),
            SwarmEvent::NewListenAddr { address, .. } => {
                self.outbox.push_back(Event::Listening { address })
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "connected");
                self.links.on_connected(peer_id, Instant::now());
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => {
                tracing::debug!(peer = %peer_id, "disconnected");
                self.trips.forget(&peer_id);
                if self.links.on_closed(&peer_id, Instant::now()) {
                    self.outbox.push_back(Event::PeerDown { peer: peer_id });
                }
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => self.on_dial_failed(peer, error),
            SwarmEvent::IncomingConnectionError { peer_id, error, .. } => {
                self.on_caller_refused(peer_id, error)
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
            SwarmEvent::ListenerClosed { addresses, .. } => {
                tracing::warn!(?addresses, "no longer listening")
            }
            _ => {}
        }
    }

    fn on_up(&mut self, peer: PeerId) {
        if self.links.on_up(&peer) {
            self.outbox.push_back(Event::PeerUp { peer });
        }
    }

    fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(took) => self.trips.note(event.peer, took),
            Err(ping::Failure::Unsupported) => {}
            Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                tracing::debug!(peer = %event.peer, "probe failed, closing");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    fn on_dial_failed(&mut self, peer: PeerId, error: DialError) {
        let reason = match error {
            DialError::WrongPeerId { obtained, .. } => Unreachable::WrongPeer { found: obtained },
            DialError::LocalPeerId { .. } => Unreachable::WrongPeer {
                found: *self.swarm.local_peer_id(),
            },
            DialError::Denied { .. } => Unreachable::Limit,
            DialError::Transport(_)
            | DialError::NoAddresses
            | DialError::Aborted
            | DialError::DialPeerConditionFalse(_) => Unreachable::NoAnswer,
        };
        if self.links.on_dial_failed(&peer, Instant::now()) {
            tracing::debug!(%peer, %reason, "unreachable");
            self.outbox.push_back(Event::Unreachable { peer, reason });
        }
    }

    fn on_caller_refused(&mut self, peer: Option<PeerId>, error: ListenError) {
        let denied: Option<ConnectionDenied> = if let ListenError::Denied { cause } = error {
            Some(cause)
        } else {
            None
        };
        let (Some(peer), Some(denied)) = (peer, denied) else {
            self.tally.connections_refused.one();
            return;
        };
        let denied = match denied.downcast::<allow_block_list::NotAllowed>() {
            Ok(_) => {
                tracing::debug!(%peer, "stranger refused");
                self.tally.strangers_refused.one();
                return;
            }
            Err(other) => other,
        };
        self.tally.connections_refused.one();
        // Our side of its last connection is dead and nobody told us: the peer will call again.
        if denied.downcast::<Exceeded>().is_ok() && self.links.is_stale(&peer, Instant::now()) {
            tracing::debug!(%peer, "the peer called anew, closing its old connection");
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn on_gossip(&mut self, event: GossipEvent) {
        match event {
            GossipEvent::Message {
                propagation_source: source,
                message,
                ..
            } => {
                self.on_up(source);
                let id = message_id(&message.data);
                let size = message.data.len();
                let until = Instant::now() + self.verdict_within;
                if self.undecided.admit(id, source, size, until) {
                    tracing::trace!(message = %id, %source, size, "frame");
                    self.outbox.push_back(Event::Message {
                        bytes: message.data,
                        message: id,
                        source,
                    });
                } else {
                    tracing::debug!(message = %id, %source, size, "no room for a frame");
                    self.tally.frames_without_room.one();
                    self.report(id, &source, MessageAcceptance::Ignore);
                }
            }
            GossipEvent::SlowPeer {
                peer_id: peer,
                failed_messages,
            } => {
                let dropped = failed_messages
                    .priority
                    .saturating_add(failed_messages.non_priority);
                tracing::debug!(%peer, dropped, "slow peer");
                self.tally.frames_dropped_for_slow_peers.many(dropped);
                self.outbox.push_back(Event::SlowPeer { peer, dropped });
            }
            GossipEvent::GossipsubNotSupported { peer_id } => {
                tracing::warn!(peer = %peer_id, "the peer speaks no gossip");
            }
            GossipEvent::Subscribed { .. } | GossipEvent::Unsubscribed { .. } => {}
        }
    }

    fn on_exchange(&mut self, event: ExchangeEvent<Question, Vec<u8>>) {
        match event {
            ExchangeEvent::Message {
                peer,
                message:
                    ExchangeMessage::Request {
                        request_id,
                        request,
                        channel,
                    },
                ..
            } => {
                self.on_up(peer);
                self.on_request(peer, request_id, request.bytes, channel);
            }
            ExchangeEvent::Message {
                message:
                    ExchangeMessage::Response {
                        request_id,
                        response,
                    },
                ..
            } => {
                self.end_request(request_id, Ok(response));
            }
            ExchangeEvent::OutboundFailure {
                request_id, error, ..
            } => {
                self.end_request(request_id, Err(failure_of(&error)));
            }
            ExchangeEvent::InboundFailure { request_id, .. }
            | ExchangeEvent::ResponseSent { request_id, .. } => {
                self.requests.over(&request_id);
            }
        }
    }

    fn on_request(&mut self, peer: PeerId, id: InboundRequestId, bytes: Vec<u8>, channel: Channel) {
        match self
            .requests
            .take_in(peer, id, bytes, channel, Instant::now())
        {
            TakenIn::Now(request) => self.asked(request),
            TakenIn::Later => {
                tracing::trace!(%peer, "asks too fast, waits");
                self.tally.requests_slowed.one();
            }
            TakenIn::Refused => {
                tracing::debug!(%peer, "too many requests");
                self.tally.requests_refused.one();
            }
        }
    }

    fn asked(&mut self, request: Held) {
        let Held {
            peer, token, bytes, ..
        } = request;
        tracing::trace!(%peer, token, size = bytes.len(), "asked");
        self.outbox.push_back(Event::Request { peer, token, bytes });
    }

    fn end_request(&mut self, id: OutboundRequestId, outcome: Result<Vec<u8>, RequestFailure>) {
        if let Some((peer, request)) = self.requests.ended(&id) {
            self.outbox.push_back(Event::Response {
                peer,
                request,
                outcome,
            });
        }
    }
}

/// What the owner is told of a failed request.
fn failure_of(error: &OutboundFailure) -> RequestFailure {
    match error {
        OutboundFailure::DialFailure => RequestFailure::NotConnected,
        OutboundFailure::Timeout => RequestFailure::Timeout,
        OutboundFailure::ConnectionClosed => RequestFailure::Disconnected,
        OutboundFailure::UnsupportedProtocols => RequestFailure::Unsupported,
        OutboundFailure::Io(error) if is_too_large(error) => RequestFailure::TooLarge,
        OutboundFailure::Io(_) => RequestFailure::Declined,
    }
}
