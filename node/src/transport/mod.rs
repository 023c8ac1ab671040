//! The transport: libp2p, and of the protocol only the engine's verdict on a frame. It moves opaque bytes.
//!
//! One task owns the swarm; the rest of the node speaks to it by [`Command`] and hears from it by [`Event`], both over
//! bounded channels. Three ways lead through it:
//!
//! - **gossip**: [`Command::Publish`] to all, [`Event::Message`] from all, forwarded after a [`Command::Verdict`];
//! - **exchange**: [`Command::Request`] to one admitted peer, one [`Event::Response`] back, whatever happens;
//! - **the door** ([`door`]): one question from a stranger, one answer, on a port of its own.
//!
//! Who may connect to the main port is decided by peer id at the handshake, from [`Command::SetAdmitted`], before any
//! handler of a protocol exists. A connection to every admitted peer is sought, kept and sought again.
//!
//! A command is always taken, even while the owner leaves events unread, so that two bounded channels never wait for
//! each other: events then pile up to a bound, after which the network is no longer read.
//!
//! Logs name ids and sizes, never contents. Who sets up the log adds [`LOG_DIRECTIVE`].

mod codec;
mod counters;
pub mod door;
mod gate;
mod gossip;
mod identity;
mod links;
mod messages;
mod pace;
mod requests;
mod swarm;
mod task;
mod trips;
mod undecided;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

pub use counters::Counters;
use counters::Tally;
pub(crate) use gate::block_of;
pub use gossip::GossipConfig;
pub use identity::{keypair_of, peer_id_of, transport_key_of};
pub use messages::{Admitted, Command, Event, MessageId, RequestFailure, Unpublished, Unreachable};
pub use pace::ServingRate;
pub use trips::RoundTrip;
use trips::RoundTrips;

use crate::limits::{
    COMMANDS_MAX, CONNECTION_SOUND_AFTER, DOOR_CONNECTION_WITHIN, DOOR_IDLE, DOOR_WITHIN,
    EVENTS_MAX, EXCHANGE_WITHIN, HANDSHAKE_WITHIN, MEMORY_BYTES_MAX, PING_EVERY, PING_WITHIN,
    REDIAL_PAUSE_MAX, REDIAL_PAUSE_MIN, SERVED_BURST_BYTES, SERVED_BYTES_PER_SECOND,
};

/// A directive every filter of logs needs: gossipsub warns once for every frame it drops or refuses, so a hostile peer
/// would write our log. What it would say is in [`Counters`] and [`Event::SlowPeer`].
pub const LOG_DIRECTIVE: &str = "libp2p_gossipsub=off";

/// What a transport is started with.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Where the main port listens, for example `/ip4/0.0.0.0/tcp/7331` and `/ip4/0.0.0.0/udp/7331/quic-v1`. Nothing
    /// else is listened on. Empty: the node only dials.
    pub listen: Vec<Multiaddr>,
    /// Where the door listens. Empty: there is no door.
    pub door: Vec<Multiaddr>,
    /// The federation id. It is part of the names of topic and protocols, so that what is of another federation is not
    /// even understood.
    pub federation: [u8; 32],
    /// Who may connect from the start.
    pub admitted: Admitted,
    /// How gossip is tuned.
    pub gossip: GossipConfig,
    /// How long things may take.
    pub timing: Timing,
    /// Resident memory of the process above which no further connection is made or taken, in bytes.
    pub memory_bytes_max: usize,
    /// How fast one peer is served.
    pub serving: ServingRate,
}

impl TransportConfig {
    /// A configuration for a federation that listens nowhere, admits nobody and allows 4 GiB.
    pub fn new(federation: [u8; 32]) -> Self {
        Self {
            listen: Vec::new(),
            door: Vec::new(),
            federation,
            admitted: Admitted::new(),
            gossip: GossipConfig::default(),
            timing: Timing::default(),
            memory_bytes_max: MEMORY_BYTES_MAX,
            serving: ServingRate {
                burst_bytes: SERVED_BURST_BYTES,
                per_second_bytes: SERVED_BYTES_PER_SECOND,
            },
        }
    }
}

/// How long things may take. The defaults are the constants of [`crate::limits`]; tests shorten them.
#[derive(Debug, Clone)]
pub struct Timing {
    /// A handshake.
    pub handshake_within: Duration,
    /// A request of the exchange with its response.
    pub exchange_within: Duration,
    /// A request at the door with its answer.
    pub door_within: Duration,
    /// A connection at the door that does nothing.
    pub door_idle: Duration,
    /// A connection at the door, whatever it does.
    pub door_connection_within: Duration,
    /// The pause between two probes of a connection.
    pub ping_every: Duration,
    /// The answer to a probe.
    pub ping_within: Duration,
    /// The first pause before a peer is dialled again.
    pub redial_pause_min: Duration,
    /// The longest pause before a peer is dialled again.
    pub redial_pause_max: Duration,
    /// How long a connection lives until it counts as a good one.
    pub sound_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            handshake_within: HANDSHAKE_WITHIN,
            exchange_within: EXCHANGE_WITHIN,
            door_within: DOOR_WITHIN,
            door_idle: DOOR_IDLE,
            door_connection_within: DOOR_CONNECTION_WITHIN,
            ping_every: PING_EVERY,
            ping_within: PING_WITHIN,
            redial_pause_min: REDIAL_PAUSE_MIN,
            redial_pause_max: REDIAL_PAUSE_MAX,
            sound_after: CONNECTION_SOUND_AFTER,
        }
    }
}

/// Why a transport cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No asynchronous runtime.
    #[error("the transport needs a tokio runtime; start it inside one")]
    NoRuntime,
    /// The seed makes no key.
    #[error("the seed of the transport key was refused; make a new key")]
    Seed,
    /// The configuration contradicts itself.
    #[error("the configuration of the transport was refused: {0}; correct it")]
    Config(String),
    /// gossipsub's parameters contradict each other.
    #[error("the parameters of gossip were refused: {0}; correct them")]
    Gossip(String),
    /// The system's settings for names could not be read.
    #[error("the system's resolver could not be read: {0}; check /etc/resolv.conf")]
    Dns(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}; choose another address or free the port")]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
}

/// Why a command was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CommandRefused {
    /// Too many commands wait. The command is given back.
    #[error("the transport has {COMMANDS_MAX} commands waiting; try again, or wait with `send`")]
    Full(Box<Command>),
    /// The transport has ended.
    #[error("the transport has ended; start it again")]
    Ended,
}

/// The owner's end: commands go in here. Clones share one transport; it ends when the last is dropped.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    tally: Arc<Tally>,
    trips: Arc<RoundTrips>,
    peer: PeerId,
}

impl Handle {
    /// Gives a command, and waits while [`COMMANDS_MAX`] others wait. The wait is short: the transport takes commands
    /// whatever else it does.
    ///
    /// # Errors
    ///
    /// [`CommandRefused::Ended`] if the transport is gone.
    pub async fn send(&self, command: Command) -> Result<(), CommandRefused> {
        self.commands
            .send(command)
            .await
            .map_err(|_| CommandRefused::Ended)
    }

    /// Gives a command if there is room for it now.
    ///
    /// # Errors
    ///
    /// [`CommandRefused::Full`] with the command if there is no room, [`CommandRefused::Ended`] if the transport is
    /// gone.
    pub fn try_send(&self, command: Command) -> Result<(), CommandRefused> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(command) => CommandRefused::Full(Box::new(command)),
                TrySendError::Closed(_) => CommandRefused::Ended,
            })
    }

    /// What was dropped or refused so far.
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// How long the last probe of each connected peer took.
    pub fn round_trips(&self) -> BTreeMap<PeerId, RoundTrip> {
        self.trips.all()
    }

    /// The own peer id.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }
}

/// Starts the transport, and the door if one is configured.
///
/// # Errors
///
/// [`TransportError`] if there is no runtime, the configuration is refused, or an address cannot be listened on. Then
/// nothing runs and nothing listens.
pub fn start(
    config: TransportConfig,
    keypair: Keypair,
) -> Result<(Handle, mpsc::Receiver<Event>), TransportError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| TransportError::NoRuntime)?;
    let (command_sender, command_receiver) = mpsc::channel(COMMANDS_MAX);
    let (event_sender, event_receiver) = mpsc::channel(EVENTS_MAX);
    let tally = Arc::new(Tally::default());
    let trips = Arc::new(RoundTrips::default());
    let handle = Handle {
        commands: command_sender,
        tally: Arc::clone(&tally),
        trips: Arc::clone(&trips),
        peer: keypair.public().to_peer_id(),
    };
    let (task, door) = {
        let mut task = task::Task::new(config.clone(), keypair.clone(), Arc::clone(&tally))?;
        task.set_trips(trips);
        let door = if config.door.is_empty() {
            None
        } else {
            let (door, answers) = door::Door::new(&config, keypair, event_sender.clone(), tally)?;
            task.set_door(answers);
            Some(door)
        };
        (task, door)
    };
    if let Some(door) = door {
        runtime.spawn(door.run());
    }
    runtime.spawn(task.run(command_receiver, event_sender));
    Ok((handle, event_receiver))
}
