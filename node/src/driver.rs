//! The loop of a node: inputs in, outputs out, one `select!`.
//!
//! Nothing here knows the protocol. A change that needs an `if` about it
//! belongs in `watchfire-protocol`.

mod admission;
mod asked;
mod commands;
mod healing;
mod log;
pub mod membership;
mod orders;
mod owed;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use watchfire_protocol::engine::{
    AcceptRefusal, AcceptedCount, AnswerToken, ClientToken, DistrustRefusal, Engine, Event,
    GossipToken, Input, Output, RequestId, Said, SayingRefusal, Work,
};
use watchfire_protocol::gate;
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::limits::{
    ANSWER_BYTES_MAX, CHUNK_BYTES, KEY_BLOCK_BYTES_MAX, LINK_BYTES_MAX,
};
use watchfire_protocol::roster::{Certificate, Roster};
use watchfire_protocol::store::{CommitNo, StoreError};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::Request;

use crate::clock::Clock;
use crate::committer::Committer;
use crate::disk::{SledStore, tables};
use crate::invitations::Desk;
use crate::limits::{ASKED_LATER_MAX, CLIENTS_MAX, REFUSALS_MAX};
use crate::pool::Pool;
use crate::transport::{
    self, Command, Event as Net, MessageId, RequestFailure, peer_id_of, transport_key_of,
};

pub(crate) use admission::{admitted, admitted_by};
pub(crate) use healing::Healing;
use log::log;
use orders::summary_of;
use owed::Owed;
use work::unless_it_panics;

pub(crate) use work::Ready;

pub use commands::{
    DeskView, DeskWish, NodeCommand, NodeEvent, NodeStatus, Publication, PublishFailure,
    PublishedBundle, Summary,
};

/// Why a node ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The store failed.
    #[error("{}", tables::in_words(.0))]
    Store(#[from] StoreError),
    /// The transport ended.
    #[error("the network task has ended; start the node again")]
    Transport,
}

/// A person who waits for the outcome of a publication.
struct Client {
    reply: oneshot::Sender<Result<PublishedBundle, PublishFailure>>,
    summary: Option<Summary>,
}

/// Everything a running node owns.
pub(crate) struct Driver {
    pub(crate) engine: Engine<Arc<SledStore>>,
    pub(crate) clock: Clock,
    pub(crate) transport: transport::Handle,
    pub(crate) network: mpsc::Receiver<Net>,
    pub(crate) committer: Committer,
    pub(crate) committed: mpsc::Receiver<Result<CommitNo, StoreError>>,
    pub(crate) pool: Pool<Ready>,
    pub(crate) ready: mpsc::Receiver<Ready>,
    pub(crate) openers: Pool<Ready>,
    pub(crate) opened: mpsc::Receiver<Ready>,
    pub(crate) commands: mpsc::Receiver<NodeCommand>,
    pub(crate) publications: mpsc::Receiver<Publication>,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    pub(crate) roster: watch::Sender<Arc<Roster>>,
    pub(crate) me: watch::Sender<Certificate>,
    pub(crate) book: Book,
    pub(crate) healing: Healing,
    pub(crate) desk: Desk,
    pub(crate) has_door: bool,
}

/// Names that the engine and the world outside have for the same thing.
#[derive(Default)]
pub(crate) struct Book {
    messages: BTreeMap<GossipToken, MessageId>,
    clients: BTreeMap<ClientToken, Client>,
    barriers: BTreeMap<ClientToken, oneshot::Sender<()>>,
    syncs: BTreeMap<ClientToken, oneshot::Sender<()>>,
    sayings: BTreeMap<ClientToken, oneshot::Sender<Result<Said, SayingRefusal>>>,
    acceptances: BTreeMap<ClientToken, oneshot::Sender<Result<AcceptedCount, AcceptRefusal>>>,
    distrusts: BTreeMap<ClientToken, oneshot::Sender<Result<(), DistrustRefusal>>>,
    next: u64,
    refusals: BTreeMap<String, u64>,
    listening: Vec<String>,
    owed: Owed,
    /// Questions that wait for the disk.
    later: Vec<(NodeId, RequestId, Request)>,
}

/// How often admission is looked at again, because certificates end.
const ADMISSION_EVERY: Duration = Duration::from_secs(60);

impl Driver {
    /// Runs until told to end.
    ///
    /// # Errors
    /// When the store or the transport fails.
    pub(crate) async fn run(mut self) -> Result<(), DriverError> {
        let mut admission = tokio::time::interval(ADMISSION_EVERY);
        self.drain().await?;
        loop {
            let deadline = self
                .engine
                .deadline()
                .map(|(at, _)| self.clock.instant_of(at));
            let wake = deadline.unwrap_or_else(|| Instant::now() + ADMISSION_EVERY);
            let room = self.pool.has_room();
            // What is opened is filed, and what is published is written: both wait for a disk that is behind.
            let on_time = !self.engine.is_behind();
            let more_clients =
                on_time && self.openers.has_room() && self.book.clients.len() < CLIENTS_MAX;
            let input = tokio::select! {
                Some(ready) = self.ready.recv() => {
                    self.pool.finished_one();
                    self.on_ready(ready)
                }
                Some(opened) = self.opened.recv(), if on_time => {
                    self.openers.finished_one();
                    self.on_ready(opened)
                }
                Some(durable) = self.committed.recv() => Some(Input::Committed(durable?)),
                event = self.network.recv(), if room => match event {
                    Some(event) => self.on_network(event),
                    None => return Err(DriverError::Transport),
                },
                // Status and the end never wait for what is under way.
                Some(command) = self.commands.recv() => {
                    if matches!(command, NodeCommand::Shutdown) {
                        return self.end().await;
                    }
                    self.on_command(command)
                }
                Some(publication) = self.publications.recv(), if more_clients => {
                    self.on_publication(publication);
                    None
                }
                () = self.healing.wait(), if self.openers.has_room() => self.examine(),
                () = tokio::time::sleep_until(wake.into()) => Some(Input::Wake),
                _ = admission.tick() => {
                    self.admit().await?;
                    None
                }
            };
            if let Some(input) = input {
                self.engine.handle(self.clock.now(), input)?;
            }
            let unhealed = self.engine.take_unhealed();
            self.due(&unhealed);
            self.drain().await?;
        }
    }

    /// Brings out everything the engine has to say, and begins commits.
    async fn drain(&mut self) -> Result<(), DriverError> {
        while let Some(output) = self.engine.poll() {
            self.on_output(output).await?;
        }
        if !self.book.later.is_empty() && !self.engine.is_behind() {
            for (to, id, request) in std::mem::take(&mut self.book.later) {
                self.on_output(Output::Request { to, id, request }).await?;
            }
        }
        while let Some((number, batch)) = self.engine.begin_commit() {
            // The engine has fewer under way than the queue holds.
            if self.committer.try_submit(number, batch).is_err() {
                return Err(self
                    .committed
                    .recv()
                    .await
                    .and_then(Result::err)
                    .map_or(DriverError::Transport, DriverError::Store));
            }
        }
        Ok(())
    }

    async fn on_output(&mut self, output: Output) -> Result<(), DriverError> {
        let command = match output {
            Output::Verdict { token, verdict } => self
                .book
                .messages
                .remove(&token)
                .map(|message| Command::Verdict { message, verdict }),
            Output::Gossip { frame } => Some(Command::Publish {
                bytes: frame.into_inner().bytes,
            }),
            Output::Request { to, id, request } => {
                // What would have to be written is asked for when the disk has room again.
                if self.engine.is_behind()
                    && owed::brings_data(&request)
                    && self.book.later.len() < ASKED_LATER_MAX
                {
                    self.book.later.push((to, id, request));
                    return Ok(());
                }
                let command = self.request(&to, id, &request);
                if command.is_none() {
                    // Nobody to ask any more.
                    self.engine
                        .handle(self.clock.now(), Input::NotAsked { id })?;
                }
                command
            }
            Output::Answer { token, answer } => {
                self.book.owed.answered();
                Some(Command::Respond {
                    token: token.0,
                    bytes: codec::encode(&answer),
                })
            }
            Output::Door { token, answer } => {
                self.book.owed.answered_at_door();
                Some(Command::DoorRespond {
                    token: token.0,
                    bytes: codec::encode(&answer),
                })
            }
            Output::Reconnect { node } => self.peer_of(&node).map(Command::Reconnect),
            Output::Work(work) => {
                self.give(work);
                None
            }
            Output::Published { client, outcome } => {
                self.tell(client, outcome);
                None
            }
            Output::Durable { client } => {
                if let Some(reply) = self.book.barriers.remove(&client) {
                    // Whoever asked may have gone.
                    let _ = reply.send(());
                }
                None
            }
            Output::Synced { client } => {
                if let Some(reply) = self.book.syncs.remove(&client) {
                    // Whoever asked may have gone.
                    let _ = reply.send(());
                }
                None
            }
            Output::Said { client, outcome } => {
                if let Some(reply) = self.book.sayings.remove(&client) {
                    // Whoever asked may have gone.
                    let _ = reply.send(outcome);
                }
                None
            }
            Output::Accepted { client, outcome } => {
                if let Ok(count) = &outcome {
                    tracing::warn!(envelopes = count.envelopes, "accepted by a person here");
                }
                if let Some(reply) = self.book.acceptances.remove(&client) {
                    let _ = reply.send(outcome);
                }
                None
            }
            Output::Distrust { client, outcome } => {
                if let Some(reply) = self.book.distrusts.remove(&client) {
                    // Whoever asked may have gone.
                    let _ = reply.send(outcome);
                }
                None
            }
            Output::Admission => {
                self.admit().await?;
                None
            }
            Output::Roster(roster) => {
                self.roster.send_replace(roster);
                self.me.send_replace(self.engine.me().clone());
                self.admit().await?;
                None
            }
            Output::Event(event) => {
                self.note(event);
                None
            }
        };
        match command {
            Some(command) => self
                .transport
                .send(command)
                .await
                .map_err(|_| DriverError::Transport),
            None => Ok(()),
        }
    }

    /// Opening has threads of its own: it may take seconds, and verdicts must
    /// not wait for it.
    fn give(&mut self, work: Work) {
        match work {
            Work::Open { arrival, .. } => self.openers.give(Box::new(move || {
                Ready::Done(Box::new(unless_it_panics(arrival, move || work.run())))
            })),
            Work::Check { .. } | Work::Notices { .. } => self
                .pool
                .give(Box::new(move || Ready::Done(Box::new(work.run())))),
        };
    }

    fn request(&self, to: &NodeId, id: RequestId, request: &Request) -> Option<Command> {
        // What is announced above this is cut off before it is read.
        let response_bytes_max = match request {
            Request::Hello { .. } => 128,
            Request::Frontier { .. } | Request::Range { .. } | Request::Notices { .. } => {
                ANSWER_BYTES_MAX
            }
            Request::Link { .. } => LINK_BYTES_MAX + 64,
            Request::Chunk { .. } => CHUNK_BYTES + 512,
            Request::KeyBlock { .. } => KEY_BLOCK_BYTES_MAX + 64,
        };
        let peer = self.peer_of(to)?;
        Some(Command::Request {
            peer,
            request: id.0,
            bytes: codec::encode(request),
            response_bytes_max,
        })
    }

    fn peer_of(&self, node: &NodeId) -> Option<libp2p::PeerId> {
        self.engine
            .roster()
            .node(node)
            .and_then(|certificate| peer_id_of(&certificate.transport_key))
    }

    fn on_ready(&mut self, ready: Ready) -> Option<Input> {
        match ready {
            Ready::Input(input) => Some(*input),
            Ready::Done(done) => Some(Input::Done(*done)),
            Ready::Examined(damages) => self.on_examined(damages),
            Ready::Draft { client, draft } => match *draft {
                Ok(draft) => {
                    if let Some(waiting) = self.book.clients.get_mut(&client) {
                        waiting.summary = Some(summary_of(&draft));
                    }
                    Some(Input::Publish {
                        client,
                        draft: Box::new(draft),
                    })
                }
                Err(error) => {
                    if let Some(waiting) = self.book.clients.remove(&client) {
                        let _ = waiting.reply.send(Err(error.into()));
                    }
                    None
                }
            },
        }
    }

    fn on_network(&mut self, event: Net) -> Option<Input> {
        match event {
            Net::Listening { address } | Net::DoorListening { address } => {
                tracing::info!(%address, "listening");
                self.book.listening.push(address.to_string());
                None
            }
            Net::PeerUp { peer } => node_of(&peer).map(|node| Input::PeerConnected { node }),
            Net::PeerDown { peer } => node_of(&peer).map(|node| Input::PeerDisconnected { node }),
            Net::Unreachable { peer, reason } => {
                tracing::debug!(%peer, %reason, "not reached");
                None
            }
            Net::Message {
                bytes,
                message,
                source,
            } => {
                let from = node_of(&source)?;
                let token = GossipToken(self.book.number());
                self.book.messages.insert(token, message);
                let roster = self.engine.roster();
                self.pool.give_urgent(Box::new(move || {
                    Ready::Input(Box::new(Input::gossip(from, token, &bytes, &roster)))
                }));
                None
            }
            Net::Unpublished { message, reason } => {
                tracing::debug!(%message, %reason, "own frame not gossiped; peers get it by catch-up");
                Some(Input::Congested { node: None })
            }
            Net::Request { peer, token, bytes } => {
                let from = node_of(&peer)?;
                if !self.book.owed.ask() {
                    // Without room for this command either, the asker waits for nothing and asks again.
                    let _ = self.transport.try_send(Command::Respond {
                        token,
                        bytes: codec::encode(&owed::BUSY),
                    });
                    return None;
                }
                Some(Input::Request {
                    from,
                    token: AnswerToken(token),
                    request: gate::request(&bytes),
                })
            }
            Net::Response {
                request,
                outcome: Err(RequestFailure::Busy | RequestFailure::NotConnected),
                ..
            } => Some(Input::NotAsked {
                id: RequestId(request),
            }),
            Net::Response {
                request, outcome, ..
            } => {
                let answer = outcome
                    .ok()
                    .and_then(|bytes| gate::answer(&bytes).ok())
                    .map(Box::new);
                Some(Input::Answered {
                    id: RequestId(request),
                    answer,
                })
            }
            Net::DoorRequest {
                token,
                peer,
                bytes,
                remote,
            } => self.at_door(token, &peer, remote, &bytes),
            Net::SlowPeer { peer, dropped } => {
                tracing::warn!(%peer, dropped, "slow peer: frames dropped, catch-up repairs");
                Some(Input::Congested {
                    node: node_of(&peer),
                })
            }
        }
    }

    fn note(&mut self, event: Event) {
        log(&event);
        if let Event::NotTaken { why, .. } = &event {
            self.book.count_refusal(why.to_string());
        }
        // Nobody may be listening.
        let _ = self.events.send(NodeEvent {
            at: Instant::now(),
            event,
        });
    }

    /// Tells the transport who may connect: every node whose certificate is
    /// valid now, and whose member is not distrusted.
    async fn admit(&mut self) -> Result<(), DriverError> {
        let admitted = admitted_by(&self.engine, self.clock.now().wall_ms);
        self.transport
            .send(Command::SetAdmitted(admitted))
            .await
            .map_err(|_| DriverError::Transport)
    }

    /// Makes everything durable, tells whoever waits, and ends.
    async fn end(mut self) -> Result<(), DriverError> {
        self.drain().await?;
        while !self.engine.is_durable() {
            match self.committed.recv().await {
                Some(durable) => self
                    .engine
                    .handle(self.clock.now(), Input::Committed(durable?))?,
                None => break,
            }
            self.drain().await?;
        }
        Ok(self.committer.shutdown()?)
    }
}

impl Book {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn count_refusal(&mut self, why: String) {
        let known = self.refusals.len() < REFUSALS_MAX || self.refusals.contains_key(&why);
        *self
            .refusals
            .entry(if known { why } else { "other".to_owned() })
            .or_default() += 1;
    }
}

fn node_of(peer: &libp2p::PeerId) -> Option<NodeId> {
    transport_key_of(peer).map(|key| NodeId::of_transport(&key))
}
