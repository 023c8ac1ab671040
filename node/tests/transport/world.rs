//! Nodes for the tests: how to start them, join them and wait for what they tell.

use std::collections::VecDeque;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;
use watchfire_node::transport::{
    self, Admitted, Command, Event, Handle, MessageId, RequestFailure, TransportConfig, keypair_of,
};
use watchfire_protocol::engine::Verdict;

/// The limit of every wait. It is only reached when something is broken.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The federation of the tests.
pub(crate) const FEDERATION: [u8; 32] = [0xfe; 32];

/// The name of the federation's topic on the wire.
pub(crate) fn topic() -> String {
    format!("/watchfire/1/{}", hex::encode(FEDERATION))
}

/// Waits, at most [`LONG`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !condition() {
            tick.tick().await;
        }
    })
    .await;
}

/// The key pair of a test node.
pub(crate) fn keypair(seed: u8) -> Keypair {
    keypair_of(&mut [seed; 32]).unwrap()
}

/// The peer id of a test node.
pub(crate) fn peer(seed: u8) -> PeerId {
    keypair(seed).public().to_peer_id()
}

/// Those whom the victim of a flood admits.
pub(crate) fn flooders() -> impl Iterator<Item = (PeerId, Vec<Multiaddr>)> {
    (2..20).map(|seed| (peer(seed), Vec::new()))
}

/// A configuration with short times.
pub(crate) fn config() -> TransportConfig {
    let mut config = TransportConfig::new(FEDERATION);
    config.listen = vec![tcp()];
    config.gossip.heartbeat = Duration::from_millis(100);
    // As many heartbeats as make the usual time for a verdict.
    config.gossip.history = 120;
    config.timing.redial_pause_min = Duration::from_millis(20);
    config.timing.redial_pause_max = Duration::from_millis(200);
    config
}

/// Any free TCP port of loopback.
pub(crate) fn tcp() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

/// Any free QUIC port of loopback.
pub(crate) fn quic() -> Multiaddr {
    "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()
}

/// The socket behind an address.
pub(crate) fn socket(address: &Multiaddr) -> (Ipv4Addr, u16) {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    (Ipv4Addr::LOCALHOST, port.unwrap())
}

/// A node with what it told and nobody has asked for yet.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    events: mpsc::Receiver<Event>,
    unread: VecDeque<Event>,
}

impl Node {
    pub(crate) fn start(seed: u8, config: TransportConfig) -> Self {
        let (handle, events) = transport::start(config, keypair(seed)).unwrap();
        Self {
            handle,
            events,
            unread: VecDeque::new(),
        }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.handle.peer_id()
    }

    pub(crate) async fn send(&self, command: Command) {
        soon("a command is taken", self.handle.send(command))
            .await
            .unwrap();
    }

    pub(crate) async fn publish(&self, bytes: impl Into<Vec<u8>>) {
        self.send(Command::Publish {
            bytes: bytes.into(),
        })
        .await;
    }

    pub(crate) async fn decide(&self, message: MessageId, verdict: Verdict) {
        self.send(Command::Verdict { message, verdict }).await;
    }

    pub(crate) async fn admit(&self, admitted: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>) {
        self.send(Command::SetAdmitted(
            admitted.into_iter().collect::<Admitted>(),
        ))
        .await;
    }

    pub(crate) async fn request(&self, peer: PeerId, request: u64, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.send(Command::Request {
            peer,
            request,
            bytes,
            response_bytes_max: usize::MAX,
        })
        .await;
    }

    /// The first event, told or to come, that the picker takes. The others stay.
    pub(crate) async fn pick<T>(
        &mut self,
        what: &str,
        mut picker: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        for index in 0..self.unread.len() {
            if let Some(picked) = picker(&self.unread[index]) {
                self.unread.remove(index);
                return picked;
            }
        }
        soon(what, async {
            loop {
                let event = self
                    .events
                    .recv()
                    .await
                    .unwrap_or_else(|| panic!("the transport ended before: {what}"));
                match picker(&event) {
                    Some(picked) => return picked,
                    None => self.unread.push_back(event),
                }
            }
        })
        .await
    }

    /// Whether an event that was told, and not asked for, fits.
    pub(crate) fn told(&self, fits: impl Fn(&Event) -> bool) -> bool {
        self.unread.iter().any(fits)
    }

    pub(crate) async fn listening(&mut self) -> Multiaddr {
        self.pick("listening", |event| match event {
            Event::Listening { address } => Some(address.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn door(&mut self) -> Multiaddr {
        self.pick("the door listens", |event| match event {
            Event::DoorListening { address } => Some(address.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn up(&mut self, who: PeerId) {
        self.pick("a peer is up", |event| {
            matches!(event, Event::PeerUp { peer } if *peer == who).then_some(())
        })
        .await;
    }

    pub(crate) async fn down(&mut self, who: PeerId) {
        self.pick("a peer is down", |event| {
            matches!(event, Event::PeerDown { peer } if *peer == who).then_some(())
        })
        .await;
    }

    pub(crate) async fn message(&mut self) -> Frame {
        self.pick("a frame arrives", |event| match event {
            Event::Message {
                bytes,
                message,
                source,
            } => Some(Frame {
                bytes: bytes.clone(),
                message: *message,
                source: *source,
            }),
            _ => None,
        })
        .await
    }

    pub(crate) async fn request_in(&mut self) -> (PeerId, u64, Vec<u8>) {
        self.pick("a request arrives", |event| match event {
            Event::Request { peer, token, bytes } => Some((*peer, *token, bytes.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn response(&mut self, number: u64) -> Result<Vec<u8>, RequestFailure> {
        self.pick("a response arrives", |event| match event {
            Event::Response {
                request, outcome, ..
            } if *request == number => Some(outcome.clone()),
            _ => None,
        })
        .await
    }

    /// Gives up the node and waits until its ports are free.
    pub(crate) async fn stop(mut self) {
        drop(self.handle);
        soon("the transport ends", async {
            while self.events.recv().await.is_some() {}
        })
        .await;
    }
}

/// A frame that arrived.
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) message: MessageId,
    pub(crate) source: PeerId,
}

/// Lets `caller` dial `called` at its first address, and waits until both are up. Each admits only the other.
pub(crate) async fn join(caller: &mut Node, called: &mut Node) -> Multiaddr {
    let address = called.listening().await;
    called.admit([(caller.peer(), vec![])]).await;
    caller.admit([(called.peer(), vec![address.clone()])]).await;
    caller.up(called.peer()).await;
    called.up(caller.peer()).await;
    address
}

/// Two nodes, joined over what they listen on.
pub(crate) async fn pair(caller: TransportConfig, called: TransportConfig) -> (Node, Node) {
    let (mut caller, mut called) = (Node::start(1, caller), Node::start(2, called));
    join(&mut caller, &mut called).await;
    (caller, called)
}

/// Publishes until the other has it: subscriptions travel after the peers are up, and a frame sent before them reaches
/// nobody. Each attempt has its own bytes.
pub(crate) async fn meet(from: &Node, to: &mut Node) {
    soon("gossip flows", async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for attempt in 0_u32.. {
            from.publish(format!("meeting {} {attempt}", from.peer()))
                .await;
            let heard = async {
                loop {
                    let frame = to.message().await;
                    if frame
                        .bytes
                        .starts_with(format!("meeting {}", from.peer()).as_bytes())
                    {
                        return frame;
                    }
                }
            };
            tokio::select! {
                frame = heard => { to.decide(frame.message, Verdict::Ignore).await; return },
                _ = async { tick.tick().await; tick.tick().await } => {}
            }
        }
    })
    .await;
}

/// The next frame that is no greeting of [`meet`].
pub(crate) async fn proper(node: &mut Node) -> Frame {
    loop {
        let frame = node.message().await;
        if !frame.bytes.starts_with(b"meeting ") {
            return frame;
        }
    }
}
