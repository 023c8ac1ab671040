//! The swarm of the main port: its behaviours in their order, and how a swarm of this node is built.

use std::sync::Arc;
use std::time::Duration;

use libp2p::allow_block_list::{AllowedPeers, Behaviour as AllowList};
use libp2p::connection_limits::{Behaviour as ConnectionLimit, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::memory_connection_limits::Behaviour as MemoryLimit;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};

use super::codec::Opaque;
use super::counters::Tally;
use super::gate::{Counted, Gate};
use super::gossip::{Gossip, gossip, topic};
use super::{TransportConfig, TransportError};
use crate::limits::{
    DIALS_MAX, EXCHANGE_REQUEST_BYTES_MAX, EXCHANGE_RESPONSE_BYTES_MAX, EXCHANGE_STREAMS_MAX,
    PENDING_INBOUND_MAX, PENDING_PER_ADDRESS_MAX, QUIC_CONNECTION_BYTES_MAX, QUIC_STREAM_BYTES_MAX,
    STREAMS_NEGOTIATING_MAX,
};

/// How often identify speaks after the first time. Nothing in it changes.
const IDENTIFY_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Everything the main port speaks. The order is the order of judgement: whoever is not admitted, or one too many, is
/// refused by the first four, before any behaviour with a handler knows of the connection.
#[derive(NetworkBehaviour)]
pub(crate) struct Main {
    pub(crate) admitted: AllowList<AllowedPeers>,
    pub(crate) limits: ConnectionLimit,
    pub(crate) memory: MemoryLimit,
    pub(crate) gate: Gate,
    pub(crate) ping: ping::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) exchange: request_response::Behaviour<Opaque>,
    pub(crate) gossip: Gossip,
}

impl Main {
    pub(crate) fn new(
        config: &TransportConfig,
        keypair: &Keypair,
        tally: Arc<Tally>,
    ) -> Result<Self, TransportError> {
        let federation = hex::encode(config.federation);
        // One connection a peer: see `links` for why a second one is refused and never closed afterwards.
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(PENDING_INBOUND_MAX))
            .with_max_pending_outgoing(Some(u32::try_from(DIALS_MAX).unwrap_or(u32::MAX)))
            .with_max_established_per_peer(Some(1));
        // Identify tells the version and nothing else: addresses come from the roster. Its arrival is also the sign
        // that the other side has admitted us.
        let identify = identify::Config::new("watchfire/1".to_owned(), keypair.public())
            .with_agent_version("watchfire/0.1".to_owned())
            .with_interval(IDENTIFY_EVERY)
            .with_push_listen_addr_updates(false)
            .with_cache_size(0)
            .with_hide_listen_addrs(true);
        let timing = &config.timing;
        let ping = ping::Config::new()
            .with_interval(timing.ping_every)
            .with_timeout(timing.ping_within);
        Ok(Self {
            admitted: AllowList::default(),
            limits: ConnectionLimit::new(limits),
            memory: MemoryLimit::with_max_bytes(config.memory_bytes_max),
            gate: Gate::new(PENDING_PER_ADDRESS_MAX, usize::MAX, Counted::Handshake),
            ping: ping::Behaviour::new(ping),
            identify: identify::Behaviour::new(identify),
            exchange: exchange(
                protocol(format!("/watchfire/1/exchange/{federation}"))?,
                Opaque::new(EXCHANGE_REQUEST_BYTES_MAX, EXCHANGE_RESPONSE_BYTES_MAX),
                ProtocolSupport::Full,
                timing.exchange_within,
                EXCHANGE_STREAMS_MAX,
            ),
            gossip: gossip(&config.gossip, &topic(&federation), tally)?,
        })
    }
}

/// A protocol's name as libp2p takes it.
pub(crate) fn protocol(name: String) -> Result<StreamProtocol, TransportError> {
    StreamProtocol::try_from_owned(name).map_err(|error| TransportError::Config(error.to_string()))
}

/// A behaviour of requests and responses over opaque bytes.
pub(crate) fn exchange(
    protocol: StreamProtocol,
    codec: Opaque,
    support: ProtocolSupport,
    within: Duration,
    streams_max: usize,
) -> request_response::Behaviour<Opaque> {
    let config = request_response::Config::default()
        .with_request_timeout(within)
        .with_max_concurrent_streams(streams_max);
    request_response::Behaviour::with_codec(codec, [(protocol, support)], config)
}

/// What differs between the swarms of this node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SwarmShape {
    /// Streams on one connection.
    pub(crate) streams_max: usize,
    /// How long a connection without streams lives.
    pub(crate) idle: Duration,
    /// How long a handshake may take.
    pub(crate) handshake_within: Duration,
}

/// Builds a swarm over TCP (Noise, yamux) and QUIC. It listens nowhere and dials nobody yet.
pub(crate) fn swarm<B: NetworkBehaviour>(
    keypair: Keypair,
    behaviour: B,
    shape: SwarmShape,
) -> Result<Swarm<B>, TransportError> {
    let muxer = move || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(shape.streams_max);
        config
    };
    let builder = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::new().nodelay(true), noise::Config::new, muxer)
        .map_err(|error| TransportError::Config(error.to_string()))?
        .with_quic_config(|mut config| {
            config.handshake_timeout = shape.handshake_within;
            config.max_concurrent_stream_limit =
                u32::try_from(shape.streams_max).unwrap_or(u32::MAX);
            config.max_stream_data = QUIC_STREAM_BYTES_MAX;
            config.max_connection_data = QUIC_CONNECTION_BYTES_MAX;
            config
        })
        .with_dns()
        .map_err(|error| TransportError::Dns(error.to_string()))?
        .with_behaviour(|_| behaviour)
        .map_err(|never| match never {})?;
    Ok(builder
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(shape.idle)
                .with_max_negotiating_inbound_streams(STREAMS_NEGOTIATING_MAX)
        })
        .with_connection_timeout(shape.handshake_within)
        .build())
}
