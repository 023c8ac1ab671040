//! A libp2p node that is not ours: it does what the test says, also what none of ours would do.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};

use crate::world::{FEDERATION, soon, topic};

/// What it speaks: gossip of any form, and streams of any bytes.
#[derive(NetworkBehaviour)]
pub(crate) struct Speech {
    pub(crate) gossip:
        gossipsub::Behaviour<gossipsub::IdentityTransform, gossipsub::AllowAllSubscriptionFilter>,
    pub(crate) exchange: request_response::Behaviour<AnyBytes>,
}

/// Bytes as they go onto a stream, length and all; and whether the stream then stays open in silence.
#[derive(Debug, Clone)]
pub(crate) struct Bytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then_silence: bool,
}

impl Bytes {
    /// The form the exchange expects.
    pub(crate) fn proper(bytes: &[u8]) -> Self {
        let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        framed.extend_from_slice(bytes);
        Self {
            bytes: framed,
            then_silence: false,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct AnyBytes;

impl request_response::Codec for AnyBytes {
    type Protocol = StreamProtocol;
    type Request = Bytes;
    type Response = Bytes;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Bytes> {
        read(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Bytes> {
        read(io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Bytes,
    ) -> io::Result<()> {
        write(io, bytes).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Bytes,
    ) -> io::Result<()> {
        write(io, bytes).await
    }
}

async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    io.take(4_000_000).read_to_end(&mut bytes).await?;
    Ok(Bytes {
        bytes,
        then_silence: false,
    })
}

async fn write(io: &mut (impl AsyncWrite + Unpin), bytes: Bytes) -> io::Result<()> {
    io.write_all(&bytes.bytes).await?;
    io.flush().await?;
    if bytes.then_silence {
        futures::future::pending::<()>().await;
    }
    Ok(())
}

/// The node.
pub(crate) struct Raw {
    pub(crate) swarm: Swarm<Speech>,
}

impl Raw {
    /// A node that speaks the exchange of the test federation.
    pub(crate) fn new(keypair: Keypair, authenticity: MessageAuthenticity) -> Self {
        Self::speaking(
            keypair,
            authenticity,
            format!("/watchfire/1/exchange/{}", hex::encode(FEDERATION)),
        )
    }

    /// A node that speaks to doors.
    pub(crate) fn knocking() -> Self {
        Self::speaking(
            Keypair::generate_ed25519(),
            MessageAuthenticity::Anonymous,
            format!("/watchfire/1/door/{}", hex::encode(FEDERATION)),
        )
    }

    /// A node that writes a stream of gossip by hand, beside its proper one.
    pub(crate) fn scribbling(keypair: Keypair) -> Self {
        Self::speaking(
            keypair,
            MessageAuthenticity::Anonymous,
            "/meshsub/1.0.0".to_owned(),
        )
    }

    fn speaking(keypair: Keypair, authenticity: MessageAuthenticity, exchange: String) -> Self {
        let config = gossipsub::ConfigBuilder::default()
            .validation_mode(ValidationMode::Permissive)
            .heartbeat_interval(Duration::from_millis(100))
            .message_id_fn(|message| gossipsub::MessageId::new(&message.data))
            .max_transmit_size(1_000_000)
            // What a flood publishes is sent, however long the other side takes.
            .publish_queue_duration(Duration::from_secs(3_600))
            .build()
            .unwrap();
        let mut gossip = gossipsub::Behaviour::new(authenticity, config).unwrap();
        gossip.subscribe(&IdentTopic::new(topic())).unwrap();
        let protocol = StreamProtocol::try_from_owned(exchange).unwrap();
        let streams =
            request_response::Config::default().with_request_timeout(Duration::from_secs(60));
        let exchange =
            request_response::Behaviour::new([(protocol, ProtocolSupport::Full)], streams);
        let swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(
                tcp::Config::new(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|_| Speech { gossip, exchange })
            .unwrap()
            .with_swarm_config(|config| {
                config.with_idle_connection_timeout(Duration::from_secs(3_600))
            })
            .build();
        Self { swarm }
    }

    pub(crate) fn dial(&mut self, address: &Multiaddr) {
        // Several connections to one node are wanted here, from ports of their own.
        let options = DialOpts::unknown_peer_id()
            .address(address.clone())
            .allocate_new_port()
            .build();
        self.swarm.dial(options).unwrap();
    }

    /// Runs until the picker takes an event.
    pub(crate) async fn pick<T>(
        &mut self,
        what: &str,
        mut picker: impl FnMut(SwarmEvent<SpeechEvent>) -> Option<T>,
    ) -> T {
        soon(what, async {
            loop {
                if let Some(picked) = picker(self.swarm.select_next_some().await) {
                    return picked;
                }
            }
        })
        .await
    }

    /// Runs while something else is waited for.
    pub(crate) async fn during<T>(&mut self, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            tokio::select! {
                value = &mut future => return value,
                _ = self.swarm.select_next_some() => {}
            }
        }
    }

    pub(crate) async fn connected(&mut self) {
        self.pick("connected", |event| {
            matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())
        })
        .await;
    }

    pub(crate) async fn closed(&mut self) {
        self.pick("closed", |event| {
            matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())
        })
        .await;
    }

    /// Waits until the other side has subscribed to the topic of the tests.
    pub(crate) async fn subscribed(&mut self) {
        self.pick("subscribed", |event| {
            let SwarmEvent::Behaviour(SpeechEvent::Gossip(gossipsub::Event::Subscribed { .. })) =
                event
            else {
                return None;
            };
            Some(())
        })
        .await;
    }

    pub(crate) fn publish(&mut self, bytes: &[u8]) {
        self.swarm
            .behaviour_mut()
            .gossip
            .publish(IdentTopic::new(topic()), bytes)
            .unwrap();
    }
}
