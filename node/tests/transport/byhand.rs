//! A connection whose yamux frames are written by hand, inside a proper Noise stream: what no library would send.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{Cursor, ReadHalf, WriteHalf};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::upgrade::{
    InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version,
};
use libp2p::core::{Endpoint, StreamMuxer, muxing::StreamMuxerEvent};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, Transport, noise, tcp};
use tokio::task::JoinHandle;

use crate::world::soon;

/// Kinds of yamux frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const WINDOW: u8 = 1;
pub(crate) const PING: u8 = 2;

/// Flags of yamux frames.
pub(crate) const SYN: u16 = 1;
pub(crate) const FIN: u16 = 4;
pub(crate) const RST: u16 = 8;

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// The connection.
pub(crate) struct ByHand {
    writing: WriteHalf<Box<dyn Duplex>>,
    reading: Reading,
}

enum Reading {
    /// Everything is read, until the other side ends it or says that it goes.
    All(JoinHandle<()>),
    /// Nothing is ever read.
    Nothing(
        #[allow(dead_code, reason = "held, so that the connection stands")]
        ReadHalf<Box<dyn Duplex>>,
    ),
}

impl ByHand {
    /// Dials as one of the admitted peers, and reads everything or nothing.
    pub(crate) async fn dial(address: &Multiaddr, keypair: &Keypair, reads: bool) -> Self {
        let mut transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(keypair).unwrap())
            .multiplex(NoMuxer);
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let dialled = transport.dial(address.clone(), options).unwrap();
        let (_, Unmuxed(io)) = soon("a connection by hand", dialled).await.unwrap();
        let io: Box<dyn Duplex> = Box::new(io);
        let (from, writing) = io.split();
        let reading = if reads {
            Reading::All(tokio::spawn(read_until_refused(from)))
        } else {
            Reading::Nothing(from)
        };
        Self { writing, reading }
    }

    /// Writes one frame; the length is what it says, whatever the body has.
    pub(crate) async fn frame(
        &mut self,
        kind: u8,
        flags: u16,
        stream: u32,
        length: u32,
        body: &[u8],
    ) -> io::Result<()> {
        let mut bytes = vec![0, kind];
        bytes.extend(flags.to_be_bytes());
        bytes.extend(stream.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        self.bytes(&bytes).await
    }

    /// Writes data with its true length.
    pub(crate) async fn data(&mut self, flags: u16, stream: u32, body: &[u8]) -> io::Result<()> {
        let length = body.len().try_into().unwrap();
        self.frame(DATA, flags, stream, length, body).await
    }

    /// Writes any bytes, up to the moment at which the other side takes no more.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        soon("the node reads, or closes", async {
            self.writing.write_all(bytes).await?;
            self.writing.flush().await
        })
        .await
    }

    /// Waits until the other side has closed the connection, or said that it is over: yamux says so (GOAWAY) of what is
    /// against its rules, and leaves the closing to the other side or to a probe.
    pub(crate) async fn refused(self) {
        match self.reading {
            Reading::All(ended) => soon("the connection is refused", ended).await.unwrap(),
            Reading::Nothing(mut from) => {
                soon("the connection is closed", async {
                    while from
                        .read(&mut [0; 4_096])
                        .await
                        .is_ok_and(|count| count > 0)
                    {}
                })
                .await;
            }
        }
    }
}

/// Reads frames, and drops what they carry, up to GOAWAY or the end.
async fn read_until_refused(mut from: ReadHalf<Box<dyn Duplex>>) {
    const GOAWAY: u8 = 3;
    let mut header = [0; 12];
    while from.read_exact(&mut header).await.is_ok() && header[1] != GOAWAY {
        let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if header[1] == DATA {
            let mut body = (&mut from).take(length.into());
            if body.read_to_end(&mut Vec::new()).await.is_err() {
                return;
            }
        }
    }
}

/// What opens a stream of a protocol, as multistream-select writes it.
pub(crate) fn negotiation(protocol: &str) -> Vec<u8> {
    let mut bytes = b"\x13/multistream/1.0.0\n".to_vec();
    bytes.extend(crate::scribe::wire::number(protocol.len() as u64 + 1));
    bytes.extend(protocol.as_bytes());
    bytes.push(b'\n');
    bytes
}

/// Agrees on yamux and leaves the rest to the caller.
#[derive(Clone)]
struct NoMuxer;

struct Unmuxed<C>(C);

impl UpgradeInfo for NoMuxer {
    type Info = &'static str;
    type InfoIter = std::iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<C> for NoMuxer {
    type Output = Unmuxed<C>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, io: C, _: Self::Info) -> Self::Future {
        ready(Ok(Unmuxed(io)))
    }
}

impl<C> OutboundConnectionUpgrade<C> for NoMuxer {
    type Output = Unmuxed<C>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, io: C, _: Self::Info) -> Self::Future {
        ready(Ok(Unmuxed(io)))
    }
}

impl<C> StreamMuxer for Unmuxed<C> {
    type Substream = Cursor<Vec<u8>>;
    type Error = io::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        Poll::Pending
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Poll::Pending
    }
}
